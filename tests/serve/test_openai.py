# SPDX-License-Identifier: Apache-2.0
"""The server by OpenAI's own client: what it parses, streams and raises."""

import pytest

from serving import Serving

openai = pytest.importorskip("openai", reason="no openai client here: make test-serve installs it")

CAPITAL = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city",
                                         "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


@pytest.fixture(scope="module")
def client(serving):
    return openai.OpenAI(base_url=serving.url + "/v1", api_key="none", max_retries=0, timeout=60)


def test_models_are_listed_and_found(client):
    models = client.models.list().data
    assert [model.id for model in models] == ["smollm2"]
    assert client.models.retrieve("smollm2").id == "smollm2"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_a_completion_goes_on_with_the_text(client):
    answer = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=4, temperature=0)
    assert "Paris" in answer.choices[0].text
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 4


def test_prompts_may_be_many_and_ids(client):
    texts = ["One, two,", "The sky is"]
    answer = client.completions.create(model="smollm2", prompt=texts, max_tokens=3, temperature=0, n=2)
    assert [choice.index for choice in sorted(answer.choices, key=lambda choice: choice.index)] == [0, 1, 2, 3]
    by_ids = client.completions.create(model="smollm2", prompt=[504, 3575, 282, 4649, 314], max_tokens=2, temperature=0)
    assert by_ids.usage.prompt_tokens == 5


def test_echo_gives_the_log_probabilities_of_the_prompt(client):
    answer = client.completions.create(model="smollm2", prompt="The capital of France is Paris", max_tokens=0, echo=True, logprobs=2, temperature=0)
    choice = answer.choices[0]
    assert choice.text == "The capital of France is Paris" and "".join(choice.logprobs.tokens) == choice.text
    assert choice.logprobs.token_logprobs[0] is None and all(value <= 0 for value in choice.logprobs.token_logprobs[1:])
    assert choice.logprobs.token_logprobs[-1] == max(choice.logprobs.top_logprobs[-1].values())
    assert choice.logprobs.text_offset[:2] == [0, len(choice.logprobs.tokens[0])]


def test_a_stream_of_a_completion_is_the_whole_answer(client):
    arguments = {"model": "smollm2", "prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
    whole = client.completions.create(**arguments)
    chunks = list(client.completions.create(**arguments, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 24
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_a_chat_is_answered(client):
    answer = client.chat.completions.create(model="smollm2", messages=CAPITAL, max_completion_tokens=12, temperature=0)
    assert answer.choices[0].message.role == "assistant" and "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length") and answer.object == "chat.completion"


def test_a_stream_of_a_chat_is_the_whole_answer(client):
    arguments = {"model": "smollm2", "messages": CAPITAL, "max_completion_tokens": 20, "temperature": 0.9, "seed": 5}
    whole = client.chat.completions.create(**arguments)
    chunks = list(client.chat.completions.create(**arguments, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == [whole.choices[0].finish_reason]


def test_the_same_seed_gives_the_same_answer(client):
    arguments = {"model": "smollm2", "messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 16, "temperature": 1.2}
    first = client.chat.completions.create(**arguments, seed=1).choices[0].message.content
    assert client.chat.completions.create(**arguments, seed=1).choices[0].message.content == first
    assert client.chat.completions.create(**arguments, seed=2).choices[0].message.content != first


def test_answers_differ_and_have_log_probabilities(client):
    answer = client.chat.completions.create(model="smollm2", messages=CAPITAL, n=3, max_tokens=4, temperature=1.5, seed=3, logprobs=True, top_logprobs=3)
    assert sorted(choice.index for choice in answer.choices) == [0, 1, 2]
    for choice in answer.choices:
        content = choice.logprobs.content
        assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in content)
        assert b"".join(bytes(token.bytes) for token in content).decode(errors="replace").startswith(choice.message.content[:4])


def test_a_stop_string_ends_the_answer_before_it(client):
    arguments = {"model": "smollm2", "prompt": "1, 2, 3, 4,", "max_tokens": 32, "temperature": 0}
    text = client.completions.create(**arguments).choices[0].text
    assert "7" in text
    stopped = client.completions.create(**arguments, stop=["7"]).choices[0]
    assert stopped.text == text[:text.index("7")] and stopped.finish_reason == "stop"
    streamed = client.completions.create(**arguments, stop=["7"], stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == stopped.text
    kept = client.completions.create(**arguments, stop=["7"], extra_body={"include_stop_str_in_output": True}).choices[0]
    assert kept.text == stopped.text + "7"


def test_settings_beside_openais_are_taken(client):
    arguments = {"model": "smollm2", "prompt": "The sea", "max_tokens": 8, "temperature": 1.0, "seed": 1}
    greedy = client.completions.create(**{**arguments, "temperature": 0}).choices[0].text
    assert client.completions.create(**arguments, extra_body={"top_k": 1}).choices[0].text == greedy
    assert client.completions.create(**arguments, extra_body={"min_p": 1.0}).choices[0].text == greedy
    answer = client.completions.create(**arguments, extra_body={"ignore_eos": True, "min_tokens": 8, "repetition_penalty": 1.3})
    assert answer.usage.completion_tokens == 8


def test_a_banned_token_does_not_come(client):
    first = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=1, temperature=0, logprobs=1)
    ids = client.post("/../tokenize", cast_to=object, body={"prompt": first.choices[0].text, "add_special_tokens": False})["tokens"]
    other = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=1, temperature=0, logit_bias={str(ids[0]): -100})
    assert other.choices[0].text != first.choices[0].text


def test_tools_are_taken_and_calls_have_openais_shape(client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    try:
        answer = client.chat.completions.create(model="smollm2", messages=messages, tools=[TOOL], tool_choice="auto", max_tokens=32, temperature=0)
    except openai.BadRequestError as error:  # SmolLM2's template has no tools: refused by name
        assert "tool" in error.body["message"]
        return
    for call in answer.choices[0].message.tool_calls or []:
        assert call.type == "function" and call.id and isinstance(call.function.arguments, str)


HERMES = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if tools and false %}<tool_call>{% endif %}<|im_start|>assistant
"""


@pytest.fixture(scope="module")
def calling(program, model, tmp_path_factory):
    """SmolLM2 with a template of the form that Hermes and Qwen write calls in."""
    template = tmp_path_factory.mktemp("template") / "hermes.jinja"
    template.write_text(HERMES)
    server = Serving(program, model, "--chat-template", str(template), "--cache-size", "200M")
    yield openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=60)
    assert server.stop() == 0, server.said()


def test_calls_of_tools_are_read_back_plain_and_streaming(calling):
    messages = []
    for city in ("Rome", "Oslo", "Cairo", "Lima"):
        messages += [{"role": "user", "content": f"What is the weather in {city}?"},
                     {"role": "assistant", "content": f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'}]
    messages.append({"role": "user", "content": "What is the weather in Paris?"})
    arguments = {"model": "smollm2", "messages": messages, "tools": [TOOL], "max_tokens": 48, "temperature": 0}
    choice = calling.chat.completions.create(**arguments).choices[0]
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name, call.function.arguments) == ("function", "get_weather", '{"city": "Paris"}')
    assert choice.finish_reason == "tool_calls" and not choice.message.content
    chunks = [chunk.choices[0] for chunk in calling.chat.completions.create(**arguments, stream=True)]
    parts = [part for chunk in chunks for part in chunk.delta.tool_calls or []]
    assert [part.function.name for part in parts if part.function.name] == ["get_weather"] and parts[0].id
    assert "".join(part.function.arguments or "" for part in parts) == '{"city": "Paris"}' and chunks[-1].finish_reason == "tool_calls"
    without = calling.chat.completions.create(**{**arguments, "tool_choice": "none"}).choices[0]
    assert without.message.tool_calls is None and "<tool_call>" in without.message.content


def test_history_with_tool_calls_is_taken_or_refused_by_name(client):
    messages = [{"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{not json"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"}]
    try:
        assert client.chat.completions.create(model="smollm2", messages=messages, max_tokens=4).choices[0].message is not None
    except openai.BadRequestError as error:
        assert error.body["message"]


def test_embeddings_are_vectors_of_length_one(client):
    texts = ["The cat sat on the mat.", "Stock prices fell sharply on Monday."]
    answer = client.embeddings.create(model="smollm2", input=texts)  # this client asks for base64
    assert [item.index for item in answer.data] == [0, 1] and answer.usage.prompt_tokens == answer.usage.total_tokens > 8
    vectors = [item.embedding for item in answer.data]
    assert [len(vector) for vector in vectors] == [576, 576] and vectors[0] != vectors[1]
    assert all(abs(sum(x * x for x in vector) - 1) < 1e-5 for vector in vectors)
    for text, vector in zip(texts, vectors):
        assert client.embeddings.create(model="smollm2", input=text, encoding_format="float").data[0].embedding == pytest.approx(vector, rel=1e-6)
        ids = client.post("/../tokenize", cast_to=object, body={"prompt": text})["tokens"]
        assert client.embeddings.create(model="smollm2", input=ids).data[0].embedding == vector
    short = client.embeddings.create(model="smollm2", input=texts[0], dimensions=100).data[0].embedding
    length = sum(x * x for x in vectors[0][:100]) ** 0.5
    assert short == pytest.approx([x / length for x in vectors[0][:100]], abs=1e-6)


@pytest.mark.parametrize("arguments,param", [
    ({"input": []}, "input"), ({"input": [[]]}, "input"), ({"input": ["a"] * 129}, "input"), ({"input": [1] * 9000}, "input"),
    ({"input": [10**6]}, "input"), ({"input": "a", "dimensions": 577}, "dimensions"), ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "encoding_format": "hex"}, "encoding_format"), ({"input": {"text": "a"}}, "input"), ({"input": [1, "a"]}, "input")])
def test_wrong_bodies_of_embeddings_are_refused_by_field(client, arguments, param):
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(model="smollm2", **arguments)
    assert raised.value.body["param"] == param


@pytest.mark.parametrize("arguments,param", [
    ({"temperature": -1}, "temperature"), ({"top_p": 0}, "top_p"), ({"n": 10**9}, "n"), ({"max_tokens": -1}, "max_tokens"),
    ({"presence_penalty": 5}, "presence_penalty"), ({"logprobs": True, "top_logprobs": 1000}, "top_logprobs"), ({"stop": ["x"] * 10000}, "stop"),
    ({"seed": "one"}, "seed"), ({"logit_bias": {"x": 1}}, "logit_bias"), ({"extra_body": {"top_k": -5}}, "top_k"), ({"extra_body": {"min_p": 2}}, "min_p")])
def test_a_field_out_of_range_is_named(client, arguments, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="smollm2", messages=CAPITAL, **{"max_tokens": 4, **arguments})
    assert caught.value.type == "invalid_request_error" and param in (caught.value.param or caught.value.body["message"])


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="smollm2", prompt=[5] * 9000, max_tokens=1)
    assert caught.value.code == "context_length_exceeded" and "9000" in caught.value.body["message"].replace(",", "") and "8192" in caught.value.body["message"].replace(",", "")


def test_a_body_beyond_the_limit_is_413(client):
    with pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model="smollm2", prompt="x" * 3000000, max_tokens=1)
    assert caught.value.status_code == 413


def test_an_unknown_route_is_404_and_a_wrong_method_405(client):
    with pytest.raises(openai.NotFoundError):
        client.post("/nothing", cast_to=object, body={})
    with pytest.raises(openai.APIStatusError) as caught:
        client.get("/chat/completions", cast_to=object)
    assert caught.value.status_code == 405


def test_a_client_that_leaves_frees_its_place(client, serving):
    import time
    import urllib.request

    stream = client.completions.create(model="smollm2", prompt="Count:", max_tokens=4000, extra_body={"ignore_eos": True}, stream=True)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        metrics = urllib.request.urlopen(serving.url + "/metrics").read().decode()
        if [line for line in metrics.splitlines() if line.startswith("tenon_num_requests_running")][0].endswith(" 0"):
            return
        time.sleep(0.05)
    raise AssertionError("the request still runs")


def test_many_at_once_get_the_answers_that_they_get_alone(client):
    import concurrent.futures

    def ask(number):
        return client.completions.create(model="smollm2", prompt=f"Number {number} is", max_tokens=6, temperature=0).choices[0].text
    alone = [ask(number) for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == alone


@pytest.mark.parametrize("is_streaming", [False, True])
def test_the_asynchronous_client_works_too(serving, is_streaming):
    import asyncio

    async def ask():
        async with openai.AsyncOpenAI(base_url=serving.url + "/v1", api_key="none", max_retries=0, timeout=60) as client:
            answer = await client.chat.completions.create(model="smollm2", messages=CAPITAL, max_tokens=4, temperature=0, stream=is_streaming)
            if not is_streaming:
                return answer.choices[0].message.content
            return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
    assert asyncio.run(ask()) != ""


def test_keys_are_asked_for(program, model, tmp_path):
    (tmp_path / "keys").write_text("alice sk-alice-0123456789\n")
    server = Serving(program, model, "--keys", str(tmp_path / "keys"), "--cache-size", "200M")
    try:
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0, timeout=60).models.list()
        assert openai.OpenAI(base_url=server.url + "/v1", api_key="sk-alice-0123456789", max_retries=0, timeout=60).models.list().data
    finally:
        assert server.stop() == 0
