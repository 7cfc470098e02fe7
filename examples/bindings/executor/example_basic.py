#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Executor in ten lines: one request, its answer awaited by id.

    tenon build MODEL -o engine && python3 example_basic.py --model_path engine
"""

import argparse

from tenon.bindings import executor as trtllm


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_path", required=True, help="an engine directory")
    arguments = parser.parse_args()

    with trtllm.Executor(arguments.model_path, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()) as executor:
        if executor.can_enqueue_requests():
            request_id = executor.enqueue_request(trtllm.Request(input_token_ids=[1, 2, 3, 4], max_tokens=10))
            for response in executor.await_responses(request_id):
                print(response.result.output_token_ids)


if __name__ == "__main__":
    main()
