# SPDX-License-Identifier: Apache-2.0
"""tenon.LLM: on the golden GPT-2 with a tokenizer that fits its vocabulary, and on SmolLM2 where the cache folder has it."""

import asyncio
import gc
import json
import os
import pathlib
import threading

import numpy
import pytest

import tenon
from conftest import GPT2, TOKENIZER, VOCAB
from tenon import LLM, SamplingParams, errors
from tenon.bindings import executor as trtllm


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The golden GPT-2 as a Hugging Face directory with a tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).write_bytes((GPT2 / name).read_bytes())
    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    kept = {token: id for token, id in tokenizer["model"]["vocab"].items() if id < VOCAB}
    tokenizer["model"]["vocab"] = kept
    pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in tokenizer["model"]["merges"]]
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in pairs if pair[0] in kept and pair[1] in kept and "".join(pair) in kept]
    tokenizer["added_tokens"] = [token for token in tokenizer.get("added_tokens", []) if token["id"] < VOCAB]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture(scope="module")
def llm(model):
    with LLM(model, build_options={"optimization_level": 0}, kv_cache_config=trtllm.KvCacheConfig(event_buffer_max_size=100)) as opened:
        yield opened


def greedy(llm, ids, count, **params):
    return llm.generate(ids, SamplingParams(max_tokens=count, ignore_eos=True, **params))


def test_answers_are_those_of_the_model(llm, gpt2_cases):
    outputs = llm.generate([case["input_ids"] for case in gpt2_cases], SamplingParams(max_tokens=12, ignore_eos=True))
    for case, output in zip(gpt2_cases, outputs):
        assert output.finished and output.prompt is None and output.prompt_token_ids == case["input_ids"]
        answer = output.outputs[0]
        assert answer.token_ids == case["greedy"][:12] and answer.length == 12
        assert answer.finish_reason == "length" and answer.stop_reason is None
        assert answer.text == llm.tokenizer.decode(answer.token_ids)


def test_prompts_come_as_text_ids_or_dict(llm):
    text = "Hello world"
    ids = llm.tokenizer.encode(text)
    answers = [llm.generate(prompt, SamplingParams(max_tokens=5)) for prompt in (text, ids, numpy.array(ids), {"prompt": text}, {"prompt_token_ids": ids})]
    assert len({tuple(answer.outputs[0].token_ids) for answer in answers}) == 1
    assert answers[0].prompt == text and answers[0].prompt_token_ids == ids
    assert llm.generate(text, SamplingParams(truncate_prompt_tokens=2, max_tokens=1)).prompt_token_ids == ids[-2:]
    assert llm.generate([]) == [] and len(llm.generate([text, ids], [SamplingParams(max_tokens=1), SamplingParams(max_tokens=2)])) == 2
    for bad in ({}, {"prompt": text, "prompt_token_ids": ids}, {"text": text}):
        with pytest.raises(ValueError):
            llm.generate(bad)
    with pytest.raises(ValueError):
        llm.generate([text, text], [SamplingParams()])


def test_streams_add_up_to_the_answer(llm, gpt2_cases):
    case = gpt2_cases[0]
    whole = greedy(llm, case["input_ids"], 12).outputs[0]
    parts = []
    for output in llm.generate_async(case["input_ids"], SamplingParams(max_tokens=12, ignore_eos=True), streaming=True):
        parts.append((list(output.outputs[0].token_ids_diff), output.outputs[0].text_diff, output.finished))
    assert [ids for ids, _, _ in parts] == [[id] for id in whole.token_ids]
    assert "".join(text for _, text, _ in parts) == whole.text
    assert [finished for _, _, finished in parts] == [False] * 11 + [True]


def test_asyncio_awaits_and_iterates(llm, gpt2_cases):
    params = SamplingParams(max_tokens=6, ignore_eos=True)

    async def ask(case):
        whole = await llm.generate_async(case["input_ids"], params)
        streamed = []
        async for output in llm.generate_async(case["input_ids"], params, streaming=True):
            streamed += output.outputs[0].token_ids_diff
        return whole.outputs[0].token_ids, streamed

    async def ask_all():
        return await asyncio.gather(*(ask(case) for case in gpt2_cases))

    for case, (whole, streamed) in zip(gpt2_cases, asyncio.run(ask_all())):
        assert whole == streamed == case["greedy"][:6]


def test_results_can_be_waited_for_with_a_time_limit(llm):
    output = llm.generate_async([1, 2, 3], SamplingParams(max_tokens=100000, ignore_eos=True, logits_processor=lambda *arguments: threading.Event().wait(0.02)))
    with pytest.raises(TimeoutError):
        output.result(timeout=0.05)
    output.abort()
    assert output.result(10).outputs[0].finish_reason == "cancelled"


def test_end_ids_end_an_answer(llm, gpt2_cases):
    ids, tokens = gpt2_cases[0]["input_ids"], gpt2_cases[0]["greedy"]
    ended = llm.generate(ids, SamplingParams(max_tokens=12, end_id=tokens[1])).outputs[0]
    assert (ended.finish_reason, ended.stop_reason, ended.token_ids) == ("stop", None, tokens[:2])
    assert ended.text == llm.tokenizer.decode(tokens[:1])
    ended = llm.generate(ids, SamplingParams(max_tokens=12, ignore_eos=True, stop_token_ids=[tokens[1], 7])).outputs[0]
    assert (ended.finish_reason, ended.stop_reason) == ("stop", tokens[1])


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("included", [False, True])
def test_stop_texts_end_an_answer_wherever_token_borders_are(llm, gpt2_cases, streaming, included):
    case = max(gpt2_cases, key=lambda case: len(set(case["greedy"][:12])))
    whole = greedy(llm, case["input_ids"], 12).outputs[0]
    begin = len(whole.text) // 2
    stop = whole.text[begin : begin + 3]
    place = whole.text.find(stop)
    wanted = whole.text[: place + (len(stop) if included else 0)]
    params = SamplingParams(max_tokens=12, ignore_eos=True, stop=["\x00never", stop], include_stop_str_in_output=included)
    text = ""
    output = llm.generate_async(case["input_ids"], params, streaming=streaming)
    for output in output:
        text += output.outputs[0].text_diff
        assert wanted.startswith(output.outputs[0].text)
    answer = output.outputs[0]
    assert answer.text == wanted and (text == wanted or not streaming)
    assert answer.finish_reason == "stop" and answer.stop_reason == stop
    assert answer.token_ids == whole.token_ids[: len(answer.token_ids)]


def test_what_may_be_a_stop_text_is_held_back_and_given_if_it_is_none(llm, gpt2_cases):
    whole = greedy(llm, gpt2_cases[0]["input_ids"], 8).outputs[0]
    params = SamplingParams(max_tokens=8, ignore_eos=True, stop=whole.text[-2:] + "\x00")
    assert llm.generate(gpt2_cases[0]["input_ids"], params).outputs[0].text == whole.text


def test_several_answers_and_the_best_of_them(llm):
    params = SamplingParams(max_tokens=8, n=3, temperature=2.0, seed=5, ignore_eos=True)
    output = llm.generate([1, 2, 3], params)
    assert [answer.index for answer in output.outputs] == [0, 1, 2]
    assert len({tuple(answer.token_ids) for answer in output.outputs}) > 1
    assert [a.token_ids for a in llm.generate([1, 2, 3], params).outputs] == [a.token_ids for a in output.outputs]
    best = llm.generate([1, 2, 3], SamplingParams(max_tokens=8, n=2, best_of=6, temperature=2.0, ignore_eos=True)).outputs
    assert len(best) == 2 and best[0].cumulative_logprob >= best[1].cumulative_logprob
    assert llm.generate([1, 2, 3], SamplingParams(max_tokens=8, temperature=2.0, ignore_eos=True, seed=1)).outputs[0].token_ids != greedy(
        llm, [1, 2, 3], 8).outputs[0].token_ids


def test_log_probabilities_and_logits(llm, gpt2_cases):
    case = gpt2_cases[0]
    output = greedy(llm, case["input_ids"], 6, logprobs=3, prompt_logprobs=0, return_context_logits=True, return_generation_logits=True,
                    return_perf_metrics=True)
    answer = output.outputs[0]
    assert len(answer.logprobs) == 6 and answer.request_perf_metrics.last_iter is not None
    for id, row in zip(answer.token_ids, answer.logprobs):
        assert len(row) == 3 and row[id].rank == 1 and row[id].logprob == max(entry.logprob for entry in row.values())
    assert abs(answer.cumulative_logprob - sum(row[id].logprob for id, row in zip(answer.token_ids, answer.logprobs))) < 1e-4
    assert len(answer.prompt_logprobs) == len(case["input_ids"]) - 1
    assert tuple(output.context_logits.shape) == (len(case["input_ids"]), VOCAB)
    assert tuple(answer.generation_logits.shape) == (6, VOCAB)
    logits = numpy.asarray(answer.generation_logits, dtype=numpy.float64)
    softmax = logits[0] - numpy.log(numpy.exp(logits[0] - logits[0].max()).sum()) - logits[0].max()
    assert abs(softmax[answer.token_ids[0]] - answer.logprobs[0][answer.token_ids[0]].logprob) < 1e-4
    stopped = llm.generate(case["input_ids"], SamplingParams(max_tokens=6, stop="\x00never", ignore_eos=True, return_generation_logits=True))
    assert numpy.array_equal(numpy.asarray(stopped.outputs[0].generation_logits), numpy.asarray(answer.generation_logits))


@pytest.mark.parametrize("streaming", [False, True])
def test_beams(model, gpt2_cases, streaming):
    with LLM(model, max_beam_width=3, build_options={"optimization_level": 0}) as opened:
        params = SamplingParams(max_tokens=6, n=2, best_of=3, use_beam_search=True, ignore_eos=True, logprobs=0)
        for output in opened.generate_async(gpt2_cases[0]["input_ids"], params, streaming=streaming):
            pass
        assert [answer.index for answer in output.outputs] == [0, 1] and [len(answer.token_ids) for answer in output.outputs] == [6, 6]
        assert output.outputs[0].cumulative_logprob >= output.outputs[1].cumulative_logprob
        assert output.outputs[1].text == opened.tokenizer.decode(output.outputs[1].token_ids)


def test_processors_bad_words_and_bias(llm):
    def force(request_id, logits, ids, stream, client_id):
        logits[:] = float("-inf")
        logits[..., 42] = 0

    assert greedy(llm, [1, 2], 3, logits_processor=force).outputs[0].token_ids == [42] * 3
    first = greedy(llm, [1, 2, 3], 4).outputs[0].token_ids[0]
    assert first not in greedy(llm, [1, 2, 3], 4, bad_token_ids=[first]).outputs[0].token_ids
    bias = numpy.zeros(VOCAB, numpy.float32)
    bias[9] = 1e9
    assert greedy(llm, [1, 2, 3], 2, embedding_bias=bias).outputs[0].token_ids == [9, 9]


def test_a_bad_prompt_fails_alone_and_in_a_list(llm):
    with pytest.raises(errors.RequestError, match="vocabulary"):
        llm.generate([1, VOCAB])
    with pytest.raises(errors.RequestError):
        llm.generate([[1, 2], [1, VOCAB]])

    def fail(*arguments):
        raise ValueError("on purpose")

    with pytest.raises(errors.RequestError, match="on purpose"):
        greedy(llm, [1, 2], 3, logits_processor=fail)
    assert greedy(llm, [1, 2], 3).finished


BAD_PARAMS = [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"n": 0}, {"n": 2}, {"n": 3, "best_of": 2, "temperature": 1.0}, {"stop": [""]},
              {"logprobs": -1}, {"min_p": 2.0}]


@pytest.mark.parametrize("params", BAD_PARAMS, ids=str)
def test_params_out_of_range_are_refused(params):
    with pytest.raises(ValueError):
        SamplingParams(**params)


def test_params_of_unknown_names_and_types_are_refused():
    for params in ({"max_token": 3}, {"max_tokens": "3"}, {"stop": 3}):
        with pytest.raises(TypeError):
            SamplingParams(**params)


def test_engines_are_saved_and_opened(llm, tmp_path, gpt2_cases):
    llm.save(tmp_path / "engine")
    assert sorted(os.listdir(tmp_path / "engine")) == ["rank0.plan", "tokenizer.bin"]
    with LLM(tmp_path / "engine", max_batch_size=2) as opened:
        assert opened.max_seq_len == llm.max_seq_len
        assert greedy(opened, gpt2_cases[0]["input_ids"], 5).outputs[0].token_ids == gpt2_cases[0]["greedy"][:5]
        assert opened.tokenizer.decode([70, 71]) == llm.tokenizer.decode([70, 71])
        with pytest.raises(ValueError):
            opened.save(tmp_path / "again")
    with pytest.raises(ValueError):
        LLM(tmp_path / "engine", build_options={"activations": "q15"})


def test_models_that_cannot_be_opened_say_why(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such"):
        LLM(tmp_path / "no_such.gguf")
    with pytest.raises(errors.UnsupportedError, match="more than one rank"):
        LLM(model, tensor_parallel_size=2)
    with pytest.raises(errors.UnsupportedError, match="bfloat16"):
        LLM(model, dtype="bfloat16")
    with pytest.raises(ValueError, match="max_seq_len"):
        LLM(model, max_seq_len=10**6)
    with pytest.raises(TypeError):
        LLM(model, no_such_option=1)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(errors.TenonError):
        LLM(tmp_path / "bad.gguf")


def test_without_a_tokenizer_ids_do(model):
    with LLM(model, skip_tokenizer_init=True, build_options={"optimization_level": 0}) as opened:
        output = opened.generate([1, 2], SamplingParams(max_tokens=2))
        assert output.outputs[0].text == "" and len(output.outputs[0].token_ids) == 2
        with pytest.raises(ValueError, match="tokenizer"):
            opened.generate("text")
        with pytest.raises(ValueError, match="tokenizer"):
            opened.generate([1], SamplingParams(stop="x"))


def test_builds_report_progress_and_can_be_cancelled(model):
    phases = []
    tenon.engine.build_plan(model, optimization_level=0, progress=lambda phase, done, total: phases.append((phase, done, total)))
    assert phases and all(done <= total for _, done, total in phases)
    with pytest.raises(errors.CancelledError):
        tenon.engine.build_plan(model, progress=lambda *arguments: False)

    def fail(*arguments):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tenon.engine.build_plan(model, progress=fail)


def test_statistics_and_events(llm):
    greedy(llm, [5, 6, 7], 3)
    stats = llm.get_stats()
    assert stats[0]["kvCacheStats"]["tokensPerBlock"] == 32 and "iterLatencyMS" in stats[0]
    assert llm.get_kv_cache_events(1.0)[0].event_id == 0


def test_many_threads_share_one_llm(llm, gpt2_cases):
    wrong = []

    def ask(case):
        if greedy(llm, case["input_ids"], 8).outputs[0].token_ids != case["greedy"][:8]:
            wrong.append(case)

    threads = [threading.Thread(target=ask, args=(case,)) for case in gpt2_cases * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_shutdown_ends_what_is_under_way(model):
    opened = LLM(model, build_options={"optimization_level": 0})
    slow = SamplingParams(max_tokens=100000, ignore_eos=True, logits_processor=lambda *arguments: threading.Event().wait(0.02))
    output = opened.generate_async([1, 2], slow)
    opened.shutdown()
    opened.shutdown()
    try:
        assert output.result(10).outputs[0].finish_reason == "cancelled"
    except errors.UnavailableError:
        pass
    with pytest.raises(errors.UnavailableError):
        opened.generate([1])
    again = LLM(model, build_options={"optimization_level": 0})
    thread = again._book._thread
    del again
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def smollm2():
    cache = os.environ.get("TENON_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tenon")
    return pathlib.Path(cache) / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.skipif(not smollm2().exists(), reason="SmolLM2 is not in the cache folder (scripts/fetch_model.sh)")
def test_a_real_model_answers_a_chat():
    with LLM(smollm2(), max_seq_len=512, build_options={"optimization_level": 0}) as opened:
        chat = [{"role": "user", "content": "What is the capital of France?"}]
        text = opened.tokenizer.apply_chat_template(chat, tokenize=False)
        assert "capital of France" in text
        begun = opened.tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": "It is"}], tokenize=False, continue_final_message=True)
        assert begun == text + "It is"
        shown = opened.tokenizer.apply_chat_template(chat, tokenize=False, tools=[{"name": "f"}], chat_template="{{ tools[0].name }}")
        assert shown == "f"
        with pytest.raises(errors.InvalidArgumentError):
            opened.tokenizer.apply_chat_template(chat, add_generation_prompt=True, continue_final_message=True)
        output = opened.generate(opened.tokenizer.apply_chat_template(chat), SamplingParams(max_tokens=24))
        assert "Paris" in output.outputs[0].text and output.outputs[0].finish_reason in ("stop", "length")
