#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many requests at once: prompts from a CSV file, a row of token ids each; answers into another, a row for each beam.

    python3 example_advanced.py --model_path engine --input_tokens_csv_file input_tokens.csv
"""

import argparse
import csv
import datetime
import sys
import time

from tenon.bindings import executor as trtllm


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_path", required=True, help="an engine directory")
    parser.add_argument("--input_tokens_csv_file", required=True, help="a prompt a row: token ids")
    parser.add_argument("--output_tokens_csv_file", default="output_tokens.csv", help="an answer a row (default: %(default)s)")
    parser.add_argument("--beam_width", type=int, default=1)
    parser.add_argument("--streaming", action="store_true", help="a response for each token")
    parser.add_argument("--use_orchestrator_mode", action="store_true", help="not built: refused by name")
    parser.add_argument("--exclude_input_from_output", action="store_true", help="rows without their prompts")
    parser.add_argument("--max_tokens", type=int, default=10, help="to generate (default: %(default)s)")
    parser.add_argument("--timeout_ms", type=int, default=10000, help="for all answers together (default: %(default)s)")
    return parser.parse_args()


def read_prompts(path):
    with open(path, newline="") as file:
        return [[int(field) for field in row] for row in csv.reader(file) if row]


def make_config(arguments):
    config = trtllm.ExecutorConfig(arguments.beam_width)
    if arguments.use_orchestrator_mode:
        orchestrator = trtllm.OrchestratorConfig(True, sys.executable)
        config.parallel_config = trtllm.ParallelConfig(communication_mode=trtllm.CommunicationMode.ORCHESTRATOR, orchestrator_config=orchestrator)
    return config


def answer(executor, prompts, arguments):
    """[prompts][beams][tokens]"""
    output = trtllm.OutputConfig(exclude_input_from_output=arguments.exclude_input_from_output)
    sampling = trtllm.SamplingConfig(arguments.beam_width)
    requests = [trtllm.Request(ids, arguments.max_tokens, arguments.streaming, sampling, output) for ids in prompts]
    request_ids = executor.enqueue_requests(requests)
    keeps_prompt = arguments.streaming and not arguments.exclude_input_from_output  # a streaming response never holds it
    tokens = {request_id: [list(ids) if keeps_prompt else [] for _ in range(arguments.beam_width)] for request_id, ids in zip(request_ids, prompts)}
    starts = {request_id: len(rows[0]) for request_id, rows in tokens.items()}
    deadline, left = time.monotonic() + arguments.timeout_ms / 1000, len(request_ids)
    while left > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} of {len(prompts)} requests were not done after {arguments.timeout_ms} ms")
        for response in executor.await_responses(datetime.timedelta(milliseconds=100)):
            if response.has_error():
                raise RuntimeError(f"request {response.request_id}: {response.error_msg}")
            result = response.result
            left -= result.is_final
            for row, ids in zip(tokens[response.request_id], result.output_token_ids):
                if arguments.streaming and arguments.beam_width > 1:
                    del row[starts[response.request_id]:]  # each response has all tokens of a beam
                row += ids
    return [tokens[request_id] for request_id in request_ids]


def main():
    arguments = parse_arguments()
    prompts = read_prompts(arguments.input_tokens_csv_file)
    with trtllm.Executor(arguments.model_path, trtllm.ModelType.DECODER_ONLY, make_config(arguments)) as executor:
        answers = answer(executor, prompts, arguments)
        steps = len(executor.get_latest_iteration_stats())
    with open(arguments.output_tokens_csv_file, "w", newline="") as file:
        csv.writer(file).writerows(row for rows in answers for row in rows)
    print(f"{len(prompts)} requests, {steps} iterations; answers in {arguments.output_tokens_csv_file}")


if __name__ == "__main__":
    main()
