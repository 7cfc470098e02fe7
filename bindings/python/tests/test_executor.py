# SPDX-License-Identifier: Apache-2.0
"""The Executor on the golden GPT-2: what upstream's tests with an engine ask, written from their meaning; then what they leave out."""

import datetime
import gc
import random
import signal
import threading
import time

import numpy
import pytest

from conftest import VOCAB
from tenon import errors
from tenon.bindings import executor as trtllm

ms = lambda n: datetime.timedelta(milliseconds=n)  # noqa: E731
MAX_POLLS = 10000


@pytest.fixture
def start(gpt2_engine):
    """Starts an executor with these members of ExecutorConfig; all are shut down after the test."""
    started = []

    def make(**config):
        started.append(trtllm.Executor(gpt2_engine, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig(**config)))
        return started[-1]

    yield make
    for executor in started:
        executor.shutdown()


def answer(executor, request):
    """The result of a request that does not stream."""
    responses = executor.await_responses(executor.enqueue_request(request), ms(10000))
    assert len(responses) == 1 and not responses[0].has_error(), responses
    return responses[0].result


def error_of(executor, request):
    responses = executor.await_responses(executor.enqueue_request(request), ms(10000))
    assert len(responses) == 1 and responses[0].has_error()
    return responses[0].error_msg


def collect(executor, wait, ids):
    """All responses of these requests by id; wait() gives a list of responses."""
    found, final = {id: [] for id in ids}, 0
    for _ in range(MAX_POLLS):
        for response in wait():
            assert not response.has_error(), response.error_msg
            found[response.request_id].append(response.result)
            final += response.result.is_final
        if final == len(ids):
            return found
    raise AssertionError("not all requests ended")


# --- constructors and shutdown -------------------------------------------------------------------------------------------------


def test_executor_valid_ctor(start):
    assert start().can_enqueue_requests()


def test_executor_from_memory(gpt2_engine, gpt2_cases):
    data = (gpt2_engine / "rank0.plan").read_bytes()
    with trtllm.Executor(data, "{}", trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()) as executor:
        del data
        gc.collect()
        case = gpt2_cases[0]
        assert answer(executor, trtllm.Request(case["input_ids"], 8)).output_token_ids[0][-8:] == case["greedy"][:8]


def test_executors_of_one_engine(gpt2_engine, gpt2_cases):
    from tenon.engine import Engine

    engine = Engine.load(gpt2_engine)
    assert engine.functions() == ["forward", "sample"]
    with trtllm.Executor(engine, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()) as first:
        with trtllm.Executor(engine, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()) as second:
            request = trtllm.Request(gpt2_cases[0]["input_ids"], 4)
            assert answer(first, request).output_token_ids == answer(second, request).output_token_ids


def test_constructors_refuse_what_they_cannot_do(gpt2_engine, tmp_path):
    config, decoder = trtllm.ExecutorConfig(), trtllm.ModelType.DECODER_ONLY
    damaged = tmp_path / "rank0.plan"
    damaged.write_bytes((gpt2_engine / "rank0.plan").read_bytes()[:1000])
    for arguments, error in (
        ((str(damaged), decoder, config), errors.InvalidDataError),
        ((b"no plan", "{}", decoder, config), errors.InvalidDataError),
        ((gpt2_engine, trtllm.ModelType.ENCODER_ONLY, config), errors.UnsupportedError),
        ((gpt2_engine, gpt2_engine, decoder, config), errors.UnsupportedError),
        ((gpt2_engine, decoder), TypeError),
        ((gpt2_engine, decoder, None), TypeError),
        ((3, decoder, config), TypeError),
    ):
        with pytest.raises(error):
            trtllm.Executor(*arguments)
    with pytest.raises(errors.UnsupportedError, match="managed weights"):
        trtllm.Executor(b"", "{}", decoder, config, {"w": numpy.zeros(2)})


def refused_configs():
    lookahead = trtllm.DecodingConfig(trtllm.DecodingMode.Lookahead(), trtllm.LookaheadDecodingConfig(3, 3, 3))
    guided = trtllm.GuidedDecodingConfig(trtllm.GuidedDecodingConfig.GuidedDecodingBackend.XGRAMMAR, ["a"])
    orchestrator = trtllm.ParallelConfig(communication_mode=trtllm.CommunicationMode.ORCHESTRATOR)
    return [
        ("STATIC", {"batching_type": trtllm.BatchingType.STATIC}),
        ("orchestrator", {"parallel_config": orchestrator}),
        ("more than one rank", {"parallel_config": trtllm.ParallelConfig(participant_ids=[0, 1])}),
        ("LoRA", {"peft_cache_config": trtllm.PeftCacheConfig(num_put_workers=4)}),
        ("Lookahead", {"decoding_config": lookahead}),
        ("weight streaming", {"gpu_weights_percent": 0.5}),
        ("GPU direct storage", {"use_gpu_direct_storage": True}),
        ("speculative", {"spec_dec_config": trtllm.SpeculativeDecodingConfig()}),
        ("guided", {"guided_decoding_config": guided}),
        ("additional model output 'x'", {"additional_model_outputs": [trtllm.AdditionalModelOutput("x")]}),
        ("additional model output 'hidden_states'", {"additional_model_outputs": [trtllm.AdditionalModelOutput("hidden_states")]}),
        ("disaggregated", {"cache_transceiver_config": trtllm.CacheTransceiverConfig()}),
        ("multimodal", {"mm_embedding_offloading": True}),
        ("unified memory", {"kv_cache_config": trtllm.KvCacheConfig(use_uvm=True)}),
        ("cross attention", {"kv_cache_config": trtllm.KvCacheConfig(cross_kv_cache_fraction=0.5)}),
        ("files", {"debug_config": trtllm.DebugConfig(debug_input_tensors=True)}),
        ("normalize_log_probs", {"normalize_log_probs": False}),
        ("max_batch_size", {"max_batch_size": 1 << 20}),
        ("window", {"kv_cache_config": trtllm.KvCacheConfig(max_attention_window=[16])}),
    ]


@pytest.mark.parametrize("name, config", refused_configs(), ids=lambda value: value if isinstance(value, str) else "")
def test_configurations_of_absent_features_are_refused_by_name(start, name, config):
    with pytest.raises(errors.TenonError, match=name):
        start(**config)


def test_shutdown(start):
    executor = start()
    assert executor.can_enqueue_requests()
    executor.shutdown()
    executor.shutdown()
    assert not executor.can_enqueue_requests()
    request = trtllm.Request([1, 2, 3, 4], 10)
    for call in (lambda: executor.enqueue_request(request), lambda: executor.enqueue_requests([request]), lambda: executor.await_responses(),
                 lambda: executor.await_responses(1), lambda: executor.await_responses([1, 2]), lambda: executor.cancel_request(1),
                 lambda: executor.get_num_responses_ready(), lambda: executor.get_latest_iteration_stats(),
                 lambda: executor.get_latest_request_stats(), lambda: executor.get_latest_debug_tensors(),
                 lambda: executor.get_kv_cache_event_manager()):
        with pytest.raises(errors.UnavailableError, match="shut down"):
            call()


def test_shutdown_finishes_what_runs(gpt2_engine):
    seen = []
    config = trtllm.ExecutorConfig(logits_post_processor_config=trtllm.LogitsPostProcessorConfig({"count": lambda *a: seen.append(a[0])}))
    with trtllm.Executor(gpt2_engine, trtllm.ModelType.DECODER_ONLY, config) as executor:
        id = executor.enqueue_request(trtllm.Request([1, 2, 3, 4], 20, logits_post_processor_name="count"))
    assert seen == [id] * 20


def test_wakeup(start):
    executor = start()
    given = []
    waiter = threading.Thread(target=lambda: given.append(executor.await_responses(timeout=None)))
    waiter.start()
    time.sleep(0.05)
    executor.shutdown()
    waiter.join(10)
    assert not waiter.is_alive() and given == [[]]


def test_an_executor_that_nobody_shut_down_goes_with_its_last_reference(gpt2_engine):
    executor = trtllm.Executor(gpt2_engine, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig())
    for i in range(4):
        executor.enqueue_request(trtllm.Request([1, 2], 300, logits_post_processor=lambda *arguments: None))
    time.sleep(0.02)
    del executor
    gc.collect()


# --- answers ---------------------------------------------------------------------------------------------------------------------


def test_embedding_bias(start, gpt2_cases):
    bias = numpy.zeros(VOCAB, dtype=numpy.float32)
    bias[10] = numpy.finfo(numpy.float32).max
    prompt = gpt2_cases[0]["input_ids"]
    result = answer(start(), trtllm.Request(prompt, 5, embedding_bias=bias))
    assert result.output_token_ids == [prompt + [10] * 5]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("exclude", [False, True])
def test_single_request(start, streaming, exclude):
    executor = start()
    output = trtllm.OutputConfig(exclude_input_from_output=exclude)
    id = executor.enqueue_request(trtllm.Request([1, 2, 3, 4], 5, streaming, trtllm.SamplingConfig(), output))
    results = collect(executor, lambda: executor.await_responses(id, ms(1)), [id])[id]
    assert sum(len(result.output_token_ids[0]) for result in results) == (5 if streaming or exclude else 9)
    assert len(results) == (5 if streaming else 1)
    assert [result.is_final for result in results] == [False] * (len(results) - 1) + [True]
    assert all(isinstance(stats, trtllm.IterationStats) for stats in executor.get_latest_iteration_stats())
    assert executor.get_latest_request_stats() == [] and executor.get_latest_debug_tensors() == []


def twenty(executor, streaming):
    """20 requests, every fifth with two sequences: id → (tokens, sequences, prompt)."""
    draw, asked = random.Random(3), {}
    for i in range(20):
        sequences, length, prompt = 2 if i % 5 == 1 else 1, draw.randint(1, 20), [1 + j % 300 for j in range(draw.randint(1, 30))]
        request = trtllm.Request(prompt, length, streaming, trtllm.SamplingConfig(num_return_sequences=sequences), end_id=-1)
        asked[executor.enqueue_request(request)] = (length, sequences, prompt)
    return asked


def assert_lengths(asked, found, streaming):
    for id, (length, sequences, prompt) in asked.items():
        for sequence in range(sequences):
            own = [result for result in found[id] if result.sequence_index == sequence]
            tokens = sum((result.output_token_ids[0] for result in own), [])
            assert len(tokens) == length + (0 if streaming else len(prompt))
            assert [result.is_sequence_final for result in own] == [False] * (len(own) - 1) + [True]
        assert sum(result.is_final for result in found[id]) == 1 and found[id][-1].is_final


@pytest.mark.parametrize("streaming", [False, True])
def test_multi_request(start, streaming):
    executor = start()
    asked = twenty(executor, streaming)
    assert_lengths(asked, collect(executor, lambda: executor.await_responses(ms(1)), list(asked)), streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_multi_request_with_ids(start, streaming):
    executor = start()
    asked = twenty(executor, streaming)
    ids = list(asked)
    found, final = {id: [] for id in ids}, 0
    for _ in range(MAX_POLLS):
        lists = executor.await_responses(ids, ms(1))
        assert len(lists) == len(ids)
        for id, responses in zip(ids, lists):
            for response in responses:
                assert response.request_id == id
                if response.has_error():
                    assert response.error_msg == f"ReqId {id} has already been processed and was terminated."
                    continue
                found[id].append(response.result)
                final += response.result.is_final
        if final == len(ids):
            break
    assert_lengths(asked, found, streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_get_num_responses_ready(start, streaming):
    executor = start()
    asked = twenty(executor, streaming)
    wanted = {id: (length if streaming else 1) * sequences for id, (length, sequences, _) in asked.items()}
    for _ in range(MAX_POLLS):
        if executor.get_num_responses_ready() == sum(wanted.values()):
            break
        time.sleep(0.001)
    assert {id: executor.get_num_responses_ready(id) for id in asked} == wanted
    assert executor.get_num_responses_ready(10**6) == 0 and executor.get_num_responses_ready(id=0) == 0
    assert len(executor.await_responses()) == sum(wanted.values())


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("log_probs", [False, True])
@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("generation", [False, True])
def test_token_comparison(start, gpt2_cases, streaming, log_probs, context, generation):
    executor = start(gather_generation_logits=generation)
    case = gpt2_cases[0]
    num_tokens = len(case["greedy"])
    output = trtllm.OutputConfig(return_log_probs=log_probs, return_context_logits=context, return_generation_logits=generation)
    id = executor.enqueue_request(trtllm.Request(case["input_ids"], num_tokens, streaming, output_config=output))
    results = collect(executor, lambda: executor.await_responses(id, ms(1)), [id])[id]
    tokens = sum((result.output_token_ids[0] for result in results), [])
    assert tokens == ([] if streaming else case["input_ids"]) + case["greedy"]
    last = results[-1]
    if log_probs:
        assert len(last.log_probs[0]) == num_tokens
        assert abs(sum(last.log_probs[0]) - last.cum_log_probs[0]) < 1e-3
        for i, result in enumerate(results):
            assert len(result.log_probs[0]) == (i + 1 if streaming else num_tokens)
    else:
        assert last.log_probs is None and last.cum_log_probs is None
    if context:
        assert tuple(last.context_logits.shape) == (len(case["input_ids"]), VOCAB)
        for position, row in zip(case["logits_positions"], case["logits"]):
            assert numpy.abs(numpy.asarray(last.context_logits)[position] - numpy.asarray(row)).max() < 2e-4
    else:
        assert last.context_logits is None
    if generation:
        shape = (1, 1, VOCAB) if streaming else (1, num_tokens, VOCAB)
        for result in results:
            assert tuple(result.generation_logits.shape) == shape
        drawn = numpy.concatenate([numpy.asarray(result.generation_logits).reshape(-1, VOCAB) for result in results]).argmax(axis=1)
        assert drawn.tolist() == case["greedy"]
    else:
        assert last.generation_logits is None


@pytest.mark.parametrize("streaming", [False, True])
def test_finish_reason(start, gpt2_cases, streaming):
    executor = start()
    case = gpt2_cases[0]
    greedy, reasons = case["greedy"], trtllm.FinishReason
    for wanted, ending in ((reasons.LENGTH, {}), (reasons.END_ID, {"end_id": greedy[1]}), (reasons.STOP_WORDS, {"stop_words": [greedy[1:3]]})):
        id = executor.enqueue_request(trtllm.Request(case["input_ids"], 5, streaming, **ending))
        results = collect(executor, lambda: executor.await_responses(id, ms(1)), [id])[id]
        for result in results:
            assert result.finish_reasons == [wanted if result.is_final else reasons.NOT_FINISHED]


def test_streaming_with_all_tokens(start, gpt2_cases):
    executor = start()
    case = gpt2_cases[0]
    output = trtllm.OutputConfig(return_log_probs=True)
    id = executor.enqueue_request(trtllm.Request(case["input_ids"], 6, True, output_config=output, return_all_generated_tokens=True))
    results = collect(executor, lambda: executor.await_responses(id, ms(1)), [id])[id]
    assert [result.output_token_ids[0] for result in results] == [case["greedy"][: i + 1] for i in range(6)]
    assert [len(result.log_probs[0]) for result in results] == [1, 2, 3, 4, 5, 6]


def test_sampling_depends_on_the_seed_only(start):
    executor = start()
    def draw(seed):
        return answer(executor, trtllm.Request([1, 2, 3], 20, sampling_config=trtllm.SamplingConfig(top_p=0.95, temperature=2.0, seed=seed)))
    assert draw(1).output_token_ids == draw(1).output_token_ids
    assert draw(1).output_token_ids != draw(2).output_token_ids


def test_sampling_fields_reach_the_sampler(start, gpt2_cases):
    executor = start()
    prompt = gpt2_cases[0]["input_ids"]
    def tokens(**sampling):
        return answer(executor, trtllm.Request(prompt, 16, sampling_config=trtllm.SamplingConfig(**sampling))).output_token_ids[0][len(prompt):]
    greedy = tokens()
    assert greedy == gpt2_cases[0]["greedy"][:16]
    assert tokens(top_k=1) == greedy and tokens(temperature=0.0, top_k=5) == greedy
    ngrams = list(zip(tokens(no_repeat_ngram_size=2), tokens(no_repeat_ngram_size=2)[1:]))
    assert len(ngrams) == len(set(ngrams))
    assert tokens(repetition_penalty=100.0) != greedy
    assert len(set(tokens(presence_penalty=1000.0))) == 16
    assert tokens(top_k=50, temperature=5.0, seed=3) != greedy
    bad = trtllm.Request(prompt, 4, bad_words=[[greedy[0]]])
    assert greedy[0] not in answer(executor, bad).output_token_ids[0][len(prompt):]


def test_requests_of_many_threads(start, gpt2_cases):
    executor = start()
    wrong = []

    def client(case):
        for _ in range(5):
            if answer(executor, trtllm.Request(case["input_ids"], 12)).output_token_ids[0][-12:] != case["greedy"][:12]:
                wrong.append(case)

    clients = [threading.Thread(target=client, args=(case,)) for case in gpt2_cases * 2]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60)
    assert wrong == [] and not any(thread.is_alive() for thread in clients)


def test_beam_search(start, gpt2_cases):
    executor = start(max_beam_width=4)
    case = gpt2_cases[0]
    prompt = case["input_ids"]
    for wanted in (None, 2):
        sampling = trtllm.SamplingConfig(4, num_return_sequences=wanted)
        output = trtllm.OutputConfig(return_log_probs=True, return_generation_logits=True)
        result = answer(executor, trtllm.Request(prompt, 8, sampling_config=sampling, output_config=output))
        beams = wanted or 4
        assert len(result.output_token_ids) == len(result.cum_log_probs) == len(result.log_probs) == len(result.finish_reasons) == beams
        assert all(ids[: len(prompt)] == prompt and len(ids) == len(prompt) + 8 for ids in result.output_token_ids)
        assert result.cum_log_probs == sorted(result.cum_log_probs, reverse=True)
        assert tuple(result.generation_logits.shape) == (beams, 8, VOCAB)
    id = executor.enqueue_request(trtllm.Request(prompt, 8, True, trtllm.SamplingConfig(4)))
    results = collect(executor, lambda: executor.await_responses(id, ms(1)), [id])[id]
    assert [len(ids) for ids in results[-1].output_token_ids] == [8] * 4
    assert error_of(executor, trtllm.Request(prompt, 8, sampling_config=trtllm.SamplingConfig(5)))


def test_beam_search_gives_the_golden_beams(start, gpt2_cases):
    case = next(case for case in gpt2_cases if "beam4" in case)
    golden, prompt = case["beam4"], case["input_ids"]
    output = trtllm.OutputConfig(return_log_probs=True, exclude_input_from_output=True)
    sampling = trtllm.SamplingConfig(4, length_penalty=1.0)
    result = answer(start(max_beam_width=4), trtllm.Request(prompt, len(golden["sequences"][0]), sampling_config=sampling, output_config=output))
    assert result.output_token_ids == golden["sequences"]
    for ids, total, score in zip(result.output_token_ids, result.cum_log_probs, golden["scores"]):
        assert abs(total / len(ids) - score) < 1e-4


def test_a_post_processor_sees_all_beams(start):
    shapes = []
    executor = start(max_beam_width=3)

    def look(request_id, logits, ids, stream, client_id):
        shapes.append((tuple(logits.shape), len(ids)))

    answer(executor, trtllm.Request([1, 2, 3], 4, sampling_config=trtllm.SamplingConfig(3), logits_post_processor=look))
    assert shapes == [((1, 1, VOCAB), 1)] + [((1, 3, VOCAB), 3)] * 3


# --- waiting ----------------------------------------------------------------------------------------------------------------------


def test_gpt_executor_timed_out(start):
    executor = start()
    assert executor.get_num_responses_ready() == 0
    begin = time.monotonic()
    assert executor.await_responses(ms(10)) == []
    assert executor.await_responses(timeout=ms(10)) == [] and executor.await_responses(None, ms(10)) == []
    assert time.monotonic() - begin >= 0.03


def test_ids_that_nobody_has_and_that_are_used_up(start):
    executor = start()
    with pytest.raises(KeyError, match="no such id"):
        executor.await_responses(1, ms(1))
    id = executor.enqueue_request(trtllm.Request([1, 2], 1))
    assert id == 1 and len(executor.await_responses(id)) == 1
    again = executor.await_responses(id, ms(1))
    assert [response.error_msg for response in again] == ["ReqId 1 has already been processed and was terminated."]
    assert [len(found) for found in executor.await_responses(ids=[id], timeout=ms(1))] == [1]
    for arguments in ((1.5,), ("1",), (id, 5), (id, ms(1), 3)):
        with pytest.raises(TypeError):
            executor.await_responses(*arguments)


def test_one_wait_for_several_ids_has_one_deadline(start):
    executor = start(logits_post_processor_config=trtllm.LogitsPostProcessorConfig({"slow": lambda *arguments: time.sleep(0.02)}))
    ids = [executor.enqueue_request(trtllm.Request([1, 2], 200, logits_post_processor_name="slow")) for _ in range(3)]
    begin = time.monotonic()
    assert executor.await_responses(ids, ms(50)) == [[], [], []]
    assert time.monotonic() - begin < 2.0
    for id in ids:
        executor.cancel_request(id)
    for found in executor.await_responses(ids):
        assert found[0].result.finish_reasons == [trtllm.FinishReason.CANCELLED]


def test_a_wait_without_end_can_be_interrupted(start):
    executor = start()
    id = executor.enqueue_request(trtllm.Request([1, 2], 10**6, logits_post_processor=lambda *arguments: time.sleep(0.02)))
    for wait in (lambda: executor.await_responses(id), executor.await_responses, lambda: executor.await_responses([id])):
        threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            wait()
    executor.cancel_request(id)
    assert executor.await_responses(id)[0].result.finish_reasons == [trtllm.FinishReason.CANCELLED]


def test_several_threads_may_wait_for_one_id(start):
    executor = start()
    for _ in range(5):
        id = executor.enqueue_request(trtllm.Request([1, 2, 3], 60, True))
        tokens, ended = [], threading.Event()

        def take():
            while not ended.is_set():
                for response in executor.await_responses(id, ms(5)):
                    if not response.has_error():
                        tokens.extend(response.result.output_token_ids[0])
                        if response.result.is_final:
                            ended.set()

        takers = [threading.Thread(target=take) for _ in range(4)]
        for thread in takers:
            thread.start()
        for thread in takers:
            thread.join(20)
        assert len(tokens) == 60


def test_cancelled_requests_say_so_and_others_go_on(start, gpt2_cases):
    executor = start()
    case = gpt2_cases[0]
    endless = [executor.enqueue_request(trtllm.Request([1, 2, i + 3], 400, True)) for i in range(4)]
    other = executor.enqueue_request(trtllm.Request(case["input_ids"], 12))
    for id in endless:
        executor.cancel_request(id)
    executor.cancel_request(10**9)
    for id in endless:
        results = collect(executor, lambda: executor.await_responses(id), [id])[id]
        assert results[-1].finish_reasons == [trtllm.FinishReason.CANCELLED]
    assert executor.await_responses(other)[0].result.output_token_ids[0][-12:] == case["greedy"][:12]


def test_allotted_time_ends_a_request(start):
    executor = start(logits_post_processor_config=trtllm.LogitsPostProcessorConfig({"slow": lambda *arguments: time.sleep(0.02)}))
    request = trtllm.Request([1, 2], 400, logits_post_processor_name="slow", allotted_time_ms=ms(60))
    assert answer(executor, request).finish_reasons == [trtllm.FinishReason.TIMED_OUT]


def test_a_full_queue_is_unavailable(start):
    begun, gate = threading.Event(), threading.Event()

    def wait(*arguments):
        begun.set()
        gate.wait(10)

    executor = start(max_queue_size=2, max_batch_size=1, logits_post_processor_config=trtllm.LogitsPostProcessorConfig({"wait": wait}))
    request = trtllm.Request([1, 2], 1, logits_post_processor_name="wait")
    executor.enqueue_request(request)
    assert begun.wait(10)  # it is in a step, and no longer in the queue
    executor.enqueue_request(request)
    executor.enqueue_request(request)
    with pytest.raises(errors.UnavailableError, match="queue"):
        executor.enqueue_request(request)
    assert not executor.can_enqueue_requests()
    gate.set()


# --- invalid requests ---------------------------------------------------------------------------------------------------------------


def test_single_request_invalid_inputs(start):
    executor = start()
    assert "embedding bias shape is not as expected" in error_of(executor, trtllm.Request([1, 2], 3, embedding_bias=numpy.zeros(1, numpy.float32)))
    assert answer(executor, trtllm.Request([1, 2], 3)).is_final


BAD_REQUESTS = [
    ("end_id", {"end_id": VOCAB}), ("id 320", {"input_token_ids": [1, VOCAB]}), ("tokens", {"input_token_ids": [1] * 5000}),
    ("stop_words", {"stop_words": [[]]}), ("bad_words", {"bad_words": [[VOCAB]]}), ("beam", {"sampling_config": trtllm.SamplingConfig(3)}),
    ("LoRA", {"lora_config": trtllm.LoraConfig(1)}),
    ("prompt tuning", {"prompt_tuning_config": trtllm.PromptTuningConfig(numpy.zeros((2, 2)))}),
    ("multimodal", {"multimodal_embedding": numpy.zeros((2, 2))}),
    ("multimodal", {"multimodal_input": trtllm.MultimodalInput([[1]], [2], [3])}),
    ("MRoPE", {"mrope_config": trtllm.MropeConfig(numpy.zeros((1, 2)), 0)}),
    ("external draft", {"external_draft_tokens_config": trtllm.ExternalDraftTokensConfig([1])}),
    ("lookahead", {"lookahead_config": trtllm.LookaheadDecodingConfig(3, 3, 3)}),
    ("EAGLE", {"eagle_config": trtllm.EagleConfig()}),
    ("guided", {"guided_decoding_params": trtllm.GuidedDecodingParams(trtllm.GuidedDecodingParams.GuideType.JSON)}),
    ("encoder", {"encoder_input_token_ids": [1]}), ("encoder", {"encoder_output_length": 3}),
    ("encoder", {"output_config": trtllm.OutputConfig(return_encoder_output=True)}),
    ("disaggregated", {"request_type": trtllm.RequestType.REQUEST_TYPE_CONTEXT_ONLY}),
    ("position ids", {"position_ids": [0, 1]}), ("language adapter", {"language_adapter_uid": 1}),
    ("additional output 'x'", {"output_config": trtllm.OutputConfig(additional_model_outputs=[trtllm.AdditionalModelOutput("x")])}),
    ("does not give the additional output 'hidden_states'",
     {"output_config": trtllm.OutputConfig(additional_model_outputs=[trtllm.AdditionalModelOutput("hidden_states")])}),
]


@pytest.mark.parametrize("words, change", BAD_REQUESTS, ids=lambda value: value if isinstance(value, str) else "")
def test_requests_that_cannot_be_served_get_an_error_that_names_why(start, words, change):
    executor = start()
    message = error_of(executor, trtllm.Request(**{"input_token_ids": [1, 2], "max_tokens": 3, **change}))
    assert message.startswith("Encountered an error when fetching new request: ") and words in message
    assert answer(executor, trtllm.Request([1, 2], 3)).is_final


def test_enqueue_refuses_what_is_no_request(start):
    executor = start()
    with pytest.raises(TypeError):
        executor.enqueue_request([1, 2])
    with pytest.raises(TypeError):
        executor.enqueue_requests(trtllm.Request([1], 1))
    with pytest.raises(KeyError, match="no_such"):
        executor.enqueue_request(trtllm.Request([1], 1, logits_post_processor_name="no_such"))
    with pytest.raises(KeyError):
        executor.enqueue_requests([trtllm.Request([1], 1), trtllm.Request([1], 1, logits_post_processor_name="no_such")])
    assert executor.get_num_responses_ready() == 0 and executor.enqueue_requests([]) == []


# --- additional outputs -------------------------------------------------------------------------------------------------------------


def additional(result):
    return {output.name: numpy.asarray(output.output) for output in result.additional_outputs}


def test_hidden_states_come_as_additional_outputs(gpt2_hidden_states, tmp_path):
    from conftest import GPT2
    from tenon.engine import build_engine

    build_engine(GPT2, tmp_path, optimization_level=0, hidden_states=True)
    asked = trtllm.AdditionalModelOutput("hidden_states", gather_context=True)
    config = trtllm.ExecutorConfig(max_beam_width=2, additional_model_outputs=[asked])
    with trtllm.Executor(tmp_path, trtllm.ModelType.DECODER_ONLY, config) as executor:
        for case in gpt2_hidden_states:
            ids = case["input_ids"]
            output = trtllm.OutputConfig(additional_model_outputs=[asked])
            result = answer(executor, trtllm.Request(ids, 3, output_config=output))
            rows = additional(result)
            context, generation = rows["context_hidden_states"], rows["generation_hidden_states"]
            assert context.shape == (len(ids), 64) and generation.shape == (1, 3, 64)
            assert numpy.abs(context[case["positions"]] - numpy.array(case["rows"])).max() < 2e-4
            assert numpy.abs(context.mean(axis=0) - numpy.array(case["mean"])).max() < 2e-4
            assert (generation[0, 0] == context[-1]).all()

            streamed = collect(executor, executor.await_responses, [executor.enqueue_request(trtllm.Request(ids, 3, True, output_config=output))])
            results = next(iter(streamed.values()))
            assert ["context_hidden_states" in additional(result) for result in results] == [True, False, True]
            assert (numpy.concatenate([additional(result)["generation_hidden_states"][:, 0] for result in results]) == generation[0]).all()
            assert (additional(results[-1])["context_hidden_states"] == context).all()

            output.additional_model_outputs = [trtllm.AdditionalModelOutput("hidden_states")]
            beams = answer(executor, trtllm.Request(ids, 3, sampling_config=trtllm.SamplingConfig(2), output_config=output))
            assert list(additional(beams)) == ["generation_hidden_states"] and additional(beams)["generation_hidden_states"].shape == (2, 3, 64)
            assert answer(executor, trtllm.Request(ids, 3)).additional_outputs == []


# --- logits post-processors ---------------------------------------------------------------------------------------------------------


def test_logits_post_processor(start):
    seen = []

    def force(request_id, logits, ids, stream, client_id):
        seen.append((request_id, tuple(logits.shape), ids, client_id))
        logits[:] = float("-inf")
        logits[..., 42] = 0

    executor = start(logits_post_processor_config=trtllm.LogitsPostProcessorConfig({"force": force}))
    id = executor.enqueue_request(trtllm.Request([1, 2, 3], 4, client_id=123, logits_post_processor_name="force"))
    response = executor.await_responses(id)[0]
    assert response.client_id == 123 and response.result.output_token_ids == [[1, 2, 3, 42, 42, 42, 42]]
    assert seen[0] == (id, (1, 1, VOCAB), [[1, 2, 3]], 123) and seen[-1][2] == [[1, 2, 3, 42, 42, 42]]


def test_logits_post_processor_batched(start):
    calls = []

    def force(request_ids, logits, ids, stream, client_ids):
        calls.append(len(request_ids))
        for client_id, row in zip(client_ids, logits):
            row[:] = float("-inf")
            row[..., client_id] = 0

    executor = start(logits_post_processor_config=trtllm.LogitsPostProcessorConfig(processor_batched=force))
    name = trtllm.Request.BATCHED_POST_PROCESSOR_NAME
    requests = [trtllm.Request([1, 2, 3], 5, client_id=40 + i, logits_post_processor_name=name) for i in range(4)]
    for i, responses in enumerate(executor.await_responses(executor.enqueue_requests(requests))):
        assert responses[0].result.output_token_ids[0][3:] == [40 + i] * 5
    assert max(calls) > 1 and sum(calls) == 20


def test_a_requests_own_post_processor(start):
    def five(request_id, logits, ids, stream):  # four arguments, as in v0.11
        logits[:] = float("-inf")
        logits[..., 5] = 0

    def returned(request_id, logits, ids, stream, client_id):  # as the page has it
        changed = numpy.full((1, 1, VOCAB), -1e9, dtype=numpy.float32)
        changed[..., 6] = 0
        return changed

    executor = start()
    assert answer(executor, trtllm.Request([1], 3, logits_post_processor=five)).output_token_ids == [[1, 5, 5, 5]]
    assert answer(executor, trtllm.Request([1], 3, logits_post_processor=returned)).output_token_ids == [[1, 6, 6, 6]]
    gc.collect()
    assert executor._pending == {}


def test_an_exception_in_a_post_processor_fails_its_request_only(start, gpt2_cases):
    def fail(request_id, logits, ids, stream, client_id):
        if len(ids[0]) >= 4:
            raise ValueError("no more")

    def fail_all(*arguments):
        raise KeyError("nothing")

    executor = start(logits_post_processor_config=trtllm.LogitsPostProcessorConfig({"fail": fail}, fail_all))
    case = gpt2_cases[0]
    other = executor.enqueue_request(trtllm.Request(case["input_ids"], 12))
    bad = executor.enqueue_request(trtllm.Request([1, 2], 12, logits_post_processor_name="fail", client_id=9))
    batched = executor.enqueue_request(trtllm.Request([1, 2], 12, logits_post_processor_name="batched"))
    response = executor.await_responses(bad)[0]
    assert response.has_error() and "ValueError: no more" in response.error_msg and response.client_id == 9
    assert "KeyError" in executor.await_responses(batched)[0].error_msg
    assert executor.await_responses(other)[0].result.output_token_ids[0][-12:] == case["greedy"][:12]
    assert executor._failures == {}


def test_an_executor_may_go_while_its_own_thread_runs_python(gpt2_engine):
    holder, seen = [], threading.Event()

    def let_go(*arguments):
        holder.clear()
        gc.collect()
        seen.set()

    holder.append(trtllm.Executor(gpt2_engine, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()))
    holder[0].enqueue_request(trtllm.Request([1, 2], 50, logits_post_processor=let_go))
    assert seen.wait(10)
    for thread in threading.enumerate():
        if thread.name == "tenon-outside":
            thread.join(10)
            assert not thread.is_alive()
    assert holder == []


def test_a_post_processor_may_cancel_and_enqueue(start):
    made = []

    def act(request_id, logits, ids, stream, client_id):
        if not made:
            made.append(executor.enqueue_request(trtllm.Request([7], 2)))
        executor.cancel_request(request_id)

    executor = start()
    first = executor.enqueue_request(trtllm.Request([1, 2], 300, logits_post_processor=act))
    assert executor.await_responses(first)[0].result.finish_reasons == [trtllm.FinishReason.CANCELLED]
    assert executor.await_responses(made[0])[0].result.is_final


# --- statistics, metrics, events ------------------------------------------------------------------------------------------------------


def test_statistics_of_iterations_and_requests(start):
    executor = start(iter_stats_max_iterations=100, request_stats_max_iterations=100)
    id = executor.enqueue_request(trtllm.Request([1, 2, 3, 4], 6))
    executor.await_responses(id)
    time.sleep(0.05)
    stats = executor.get_latest_iteration_stats()
    assert stats[0].iter == 0 and [s.iter for s in stats] == list(range(len(stats))) and len(stats) >= 6
    assert stats[0].inflight_batching_stats.num_context_requests == 1 and stats[0].inflight_batching_stats.num_ctx_tokens == 4
    assert stats[0].kv_cache_stats.max_num_blocks > 0 and stats[0].static_batching_stats is None
    assert executor.get_latest_iteration_stats() == []
    requests = executor.get_latest_request_stats()
    of_id = [r for iteration in requests for r in iteration.request_stats if r.id == id]
    assert of_id[-1].stage == trtllm.RequestStage.GENERATION_COMPLETE and of_id[-1].num_generated_tokens == 6
    executor = start(iter_stats_max_iterations=0, scheduler_config=trtllm.SchedulerConfig(trtllm.CapacitySchedulerPolicy.STATIC_BATCH))
    answer(executor, trtllm.Request([1], 2))
    assert executor.get_latest_iteration_stats() == []
    executor = start(scheduler_config=trtllm.SchedulerConfig(trtllm.CapacitySchedulerPolicy.STATIC_BATCH))
    answer(executor, trtllm.Request([1], 2))
    assert executor.get_latest_iteration_stats()[0].static_batching_stats.num_scheduled_requests == 1


def test_debug_tensors(start):
    executor = start(debug_config=trtllm.DebugConfig(True, True, [], 3))
    answer(executor, trtllm.Request([1, 2, 3, 4], 5))
    kept = executor.get_latest_debug_tensors()
    assert len(kept) == 3 and kept[0].iter < kept[1].iter
    tensors = kept[-1].debug_tensors
    assert tuple(tensors["forward.logits"].shape) == (1, VOCAB) and "forward.input_ids" in tensors
    assert executor.get_latest_debug_tensors() == []


@pytest.mark.parametrize("streaming", [False, True])
def test_request_perf_metrics(start, streaming):
    executor = start()
    id = executor.enqueue_request(trtllm.Request([1, 2, 3, 4], 5, streaming, output_config=trtllm.OutputConfig(return_perf_metrics=True)))
    results = collect(executor, lambda: executor.await_responses(id, ms(1)), [id])[id]
    for i, result in enumerate(results):
        metrics, timing = result.request_perf_metrics, result.request_perf_metrics.timing_metrics
        assert timing.arrival_time < timing.first_scheduled_time < timing.first_token_time
        assert timing.first_token_time < timing.last_token_time if result.is_final else timing.last_token_time == ms(0)
        blocks = metrics.kv_cache_metrics
        assert (blocks.num_total_allocated_blocks, blocks.num_new_allocated_blocks, blocks.num_reused_blocks, blocks.num_missed_blocks) == (1, 1, 0, 1)
        assert metrics.first_iter == results[0].request_perf_metrics.first_iter
        assert metrics.iter == (i if streaming else 4)
        assert metrics.last_iter == (metrics.first_iter + 4 if result.is_final else None)
    assert answer(executor, trtllm.Request([1], 1)).request_perf_metrics is None


def test_request_perf_metrics_kv_cache(start):
    executor = start()
    prompt = [1 + i % 300 for i in range(40)]
    answer(executor, trtllm.Request(prompt[:36], 1))
    metrics = answer(executor, trtllm.Request(prompt, 1, output_config=trtllm.OutputConfig(return_perf_metrics=True))).request_perf_metrics
    assert metrics.kv_cache_metrics.num_reused_blocks == 2 and metrics.kv_cache_metrics.num_new_allocated_blocks == 0
    assert metrics.kv_cache_metrics.kv_cache_hit_rate == 1.0


def keep_events(**cache):
    return {"kv_cache_config": trtllm.KvCacheConfig(event_buffer_max_size=1024, **cache)}


def test_kv_event_stream(start):
    assert start().get_kv_cache_event_manager() is None
    executor = start(**keep_events(max_tokens=32 * 12, host_cache_size=0))
    manager = executor.get_kv_cache_event_manager()
    events = manager.get_latest_events()
    assert isinstance(events[0].data, trtllm.kv_cache.KVCacheCreatedData) and events[0].event_id == 0
    assert events[0].data.num_blocks_per_cache_level[0] == 12
    prompt = [1 + i % 300 for i in range(40)]
    answer(executor, trtllm.Request(prompt, 30))
    events = manager.get_latest_events(ms(1000))
    stored = [event.data for event in events if isinstance(event.data, trtllm.kv_cache.KVCacheStoredData)]
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert stored[0].parent_hash is None
    assert [unique.token_id for unique in stored[0].blocks[0].tokens] == prompt[:32]
    known = {block.block_hash for data in stored for block in data.blocks}
    assert all(data.parent_hash in known for data in stored[1:])
    for i in range(12):
        answer(executor, trtllm.Request([200 + i] * 40, 30))
    removed = [event.data for event in manager.get_latest_events(ms(1000)) if isinstance(event.data, trtllm.kv_cache.KVCacheRemovedData)]
    assert known & {hash for data in removed for hash in data.block_hashes}


def test_kv_event_stream_timeout(start):
    manager = start(**keep_events()).get_kv_cache_event_manager()
    assert len(manager.get_latest_events()) == 1
    begin = time.monotonic()
    assert manager.get_latest_events(ms(300)) == [] and manager.get_latest_events(50.0) == []
    assert time.monotonic() - begin >= 0.35


def test_retention_salt_and_priority_are_taken(start):
    executor = start()
    prompt = [1 + i % 300 for i in range(64)]
    perf = trtllm.OutputConfig(return_perf_metrics=True)
    ranges = [trtllm.KvCacheRetentionConfig.TokenRangeRetentionConfig(0, None, 90, ms(1000))]
    retention = trtllm.KvCacheRetentionConfig(ranges, 10)
    answer(executor, trtllm.Request(prompt, 1, kv_cache_retention_config=retention, priority=0.9, cache_salt="a"))
    def reused(**salt):
        return answer(executor, trtllm.Request(prompt, 1, output_config=perf, **salt)).request_perf_metrics.kv_cache_metrics.num_reused_blocks
    assert reused(cache_salt="a") == 2
    assert reused(cache_salt="b") == 0 and reused() == 0 and reused(cache_salt_id=7) == 0


@pytest.mark.parametrize("policy", list(trtllm.CapacitySchedulerPolicy), ids=lambda policy: policy.name)
def test_schedulers_answer_alike(start, gpt2_cases, policy):
    config = trtllm.SchedulerConfig(policy, trtllm.ContextChunkingPolicy.EQUAL_PROGRESS, trtllm.DynamicBatchConfig(True, True, 16))
    executor = start(scheduler_config=config, enable_chunked_context=True, max_num_tokens=64, max_batch_size=4)
    ids = executor.enqueue_requests([trtllm.Request(case["input_ids"], 12) for case in gpt2_cases])
    for case, responses in zip(gpt2_cases, executor.await_responses(ids)):
        assert responses[0].result.output_token_ids[0][-12:] == case["greedy"][:12]
