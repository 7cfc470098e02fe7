#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Answers that follow a JSON schema whatever the model wants: a logits post-processor leaves only the tokens that may come next.

    python3 example_logits_processor.py --tokenizer_path model --engine_path engine

The schema: {"last_name": <letters>, "year_of_birth": <1000 to 2999>}
"""

import argparse
import datetime
import json

import numpy

from tenon import Tokenizer
from tenon.bindings import executor as trtllm

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
DIGITS = frozenset("0123456789")
MAX_LETTERS = 12
# Each place of the text: the characters that may stand there, and how often (least, most)
SCHEMA = [*((frozenset(c), 1, 1) for c in '{"last_name": "'), (LETTERS, 1, MAX_LETTERS), *((frozenset(c), 1, 1) for c in '", "year_of_birth": '),
          (frozenset("12"), 1, 1), (DIGITS, 3, 3), (frozenset("}"), 1, 1)]
PROMPT = "Please give me information about Michael Jordan. Answer in JSON with last_name and year_of_birth:\n"


def advance(state, text):
    """The state after the text, None if it cannot stand here. A state is (place in SCHEMA, how often it was used)."""
    place, used = state
    for character in text:
        if place < len(SCHEMA) and used >= SCHEMA[place][1] and character not in SCHEMA[place][0]:
            place, used = place + 1, 0
        if place == len(SCHEMA) or character not in SCHEMA[place][0] or used == SCHEMA[place][2]:
            return None
        used += 1
        if used == SCHEMA[place][1] == SCHEMA[place][2]:
            place, used = place + 1, 0
    return place, used


class SchemaProcessor:
    """Knows which tokens keep a text inside the schema."""

    def __init__(self, tokenizer):
        self.texts = [tokenizer.decode([id], skip_special_tokens=False) for id in range(tokenizer.vocab_size)]
        self.end_id = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else 0
        self.prompt_lengths = {}  # client id → tokens
        self.allowed_in = {}  # state → ids

    def allowed(self, ids, client_id):
        state = (0, 0)
        for id in ids[self.prompt_lengths[client_id]:]:
            state = advance(state, self.texts[id]) if id != self.end_id else (len(SCHEMA), 0)
        if state not in self.allowed_in:
            found = [id for id, text in enumerate(self.texts) if text and advance(state, text) is not None]
            self.allowed_in[state] = found if state[0] < len(SCHEMA) else [self.end_id]
        return self.allowed_in[state]

    def __call__(self, request_id, logits, ids, stream, client_id):
        values = numpy.asarray(logits)  # the same memory, whether torch's or NumPy's
        mask = numpy.full_like(values, -numpy.inf)
        for beam, tokens in enumerate(ids):
            mask[:, beam, self.allowed(tokens, client_id)] = 0
        values += mask


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer_path", "-t", required=True, help="a model or engine directory, a GGUF file, or a tokenizer.json")
    parser.add_argument("--engine_path", "-e", required=True, help="an engine directory")
    parser.add_argument("--beam_width", type=int, default=1)
    parser.add_argument("--batch_size", type=int, default=1, help="requests at once (default: %(default)s)")
    parser.add_argument("--timeout_ms", type=int, default=60000, help="for each answer (default: %(default)s)")
    parser.add_argument("--lpp_batched", action="store_true", help="one call for all requests of a step")
    arguments = parser.parse_args()

    tokenizer = Tokenizer(arguments.tokenizer_path)
    processor = SchemaProcessor(tokenizer)

    def batched(request_ids, logits, ids, stream, client_ids):
        for row in zip(request_ids, logits, ids, [stream] * len(ids), client_ids):
            processor(*row)

    config = trtllm.ExecutorConfig(arguments.beam_width)
    config.logits_post_processor_config = trtllm.LogitsPostProcessorConfig({"schema": processor}, batched)
    name = trtllm.Request.BATCHED_POST_PROCESSOR_NAME if arguments.lpp_batched else "schema"
    prompt = tokenizer.encode(PROMPT)
    output = trtllm.OutputConfig(exclude_input_from_output=True)
    requests = []
    for client_id in range(arguments.batch_size):
        processor.prompt_lengths[client_id] = len(prompt)
        requests.append(trtllm.Request(prompt, 64, sampling_config=trtllm.SamplingConfig(arguments.beam_width), output_config=output,
                                       end_id=processor.end_id, client_id=client_id, logits_post_processor_name=name))
    with trtllm.Executor(arguments.engine_path, trtllm.ModelType.DECODER_ONLY, config) as executor:
        request_ids = executor.enqueue_requests(requests)
        for request_id in request_ids:
            responses = executor.await_responses(request_id, datetime.timedelta(milliseconds=arguments.timeout_ms))
            if not responses:
                raise TimeoutError(f"request {request_id} was not done after {arguments.timeout_ms} ms")
            if responses[0].has_error():
                raise RuntimeError(responses[0].error_msg)
            for ids in responses[0].result.output_token_ids:
                text = tokenizer.decode(ids)
                print(json.dumps(json.loads(text)))  # it is JSON


if __name__ == "__main__":
    main()
