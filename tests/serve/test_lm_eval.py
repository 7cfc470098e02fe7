# SPDX-License-Identifier: Apache-2.0
"""lm-eval's local-completions with a task of our own: each log-likelihood is what the library says without a server."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from items import items

TASK = """task: tenon_facts
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/items.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_target: answer
doc_to_choice: choices
target_delimiter: " "
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""


# As `lm_eval --include_path` does it, but without reading the 14,000 tasks that lm-eval brings with it first.
RUN = """import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
folder, model_args = sys.argv[1:]
tasks = TaskManager(include_path=folder, include_defaults=False)
found = simple_evaluate(model="local-completions", model_args=model_args, tasks=["tenon_facts"], task_manager=tasks, log_samples=True)
samples = [{"question": sample["doc"]["question"], "answers": sample["resps"]} for sample in found["samples"]["tenon_facts"]]
json.dump({"samples": samples, "accuracy": found["results"]["tenon_facts"]["acc,none"]}, open(folder + "/found.json", "w"))
"""


def run_lm_eval(url, folder):
    """{question: (log-likelihoods of its choices, which of them are the model's own words)}, and the accuracy."""
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items()))
    (folder / "facts.yaml").write_text(TASK.format(folder=folder))
    command = [sys.executable, "-c", RUN, str(folder),
               f"model=smollm2,base_url={url}/v1/completions,tokenizer_backend=remote,tokenized_requests=True,num_concurrent=4,max_length=2048"]
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment, timeout=500)
    assert run.returncode == 0, run.stdout[-4000:]
    found = json.loads((folder / "found.json").read_text())
    answers = {sample["question"]: [tuple(answer[0] if isinstance(answer[0], list) else answer) for answer in sample["answers"]] for sample in found["samples"]}
    return answers, found["accuracy"]


def own_scores(llm, question, choices):
    from tenon import SamplingParams

    scores = []
    for choice in choices:
        context = llm.tokenizer.encode(question, add_special_tokens=False)
        ids = llm.tokenizer.encode(f"{question} {choice}", add_special_tokens=False)
        values = llm.generate([ids], SamplingParams(max_tokens=1, prompt_logprobs=0))[0].outputs[0].prompt_logprobs
        scores.append(sum(values[len(context) - len(ids):]))
    return scores


def test_lm_eval_scores_what_the_library_scores(serving, model, tmp_path):
    for name in ("lm_eval", "cffi", "tenon"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"no {name} here: run make test-serve")
    from tenon import LLM

    questions = items()
    assert len(questions) >= 50
    answers, accuracy = run_lm_eval(serving.url, tmp_path)
    assert len(answers) == len(questions)
    llm = LLM(model)
    num_right = 0
    for item in questions:
        own = own_scores(llm, item["question"], item["choices"])
        served = [float(value) for value, _ in answers[item["question"]]]
        assert served == pytest.approx(own, abs=1e-4), item
        num_right += own.index(max(own)) == item["answer"]
    assert accuracy == pytest.approx(num_right / len(questions))
    assert accuracy > 0.6  # chance is 0.25: the scores mean something
