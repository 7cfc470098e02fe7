# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/ run as a user runs them."""

import csv
import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT, TOKENIZER

EXAMPLES = ROOT / "examples" / "bindings" / "executor"


def run(name, *arguments, code=0):
    done = subprocess.run([sys.executable, str(EXAMPLES / name), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_example_basic(gpt2_engine):
    assert re.fullmatch(r"\[\[1, 2, 3, 4(, \d+){10}\]\]\n", run("example_basic.py", "--model_path", gpt2_engine))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("exclude", [False, True])
def test_example_advanced(gpt2_engine, gpt2_cases, tmp_path, streaming, exclude):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    with open(source, "w", newline="") as file:
        csv.writer(file).writerows(case["input_ids"] for case in gpt2_cases)
    flags = ["--streaming"] * streaming + ["--exclude_input_from_output"] * exclude
    run("example_advanced.py", "--model_path", gpt2_engine, "--input_tokens_csv_file", source, "--output_tokens_csv_file", target,
        "--max_tokens", 8, "--timeout_ms", 60000, *flags)
    rows = [[int(field) for field in row] for row in csv.reader(open(target, newline=""))]
    assert rows == [([] if exclude else case["input_ids"]) + case["greedy"][:8] for case in gpt2_cases]


@pytest.mark.parametrize("streaming", [False, True])
def test_example_advanced_with_beams(gpt2_engine, tmp_path, streaming):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("1,2,3\n4,5\n")
    run("example_advanced.py", "--model_path", gpt2_engine, "--input_tokens_csv_file", source, "--output_tokens_csv_file", target,
        "--beam_width", 2, *["--streaming"] * streaming)
    rows = [row.split(",") for row in target.read_text().split()]
    assert [(row[:2], len(row)) for row in rows] == [(["1", "2"], 13)] * 2 + [(["4", "5"], 12)] * 2


def test_example_advanced_says_what_is_not_built(gpt2_engine, tmp_path):
    (tmp_path / "in.csv").write_text("1,2,3\n")
    said = run("example_advanced.py", "--model_path", gpt2_engine, "--input_tokens_csv_file", tmp_path / "in.csv", "--use_orchestrator_mode", code=1)
    assert "orchestrator mode is not built" in said


@pytest.mark.parametrize("flags", [[], ["--lpp_batched", "--batch_size", 3]], ids=["named", "batched"])
def test_example_logits_processor(gpt2_engine, tmp_path, flags):
    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    kept = {token: id for token, id in tokenizer["model"]["vocab"].items() if id < 320}  # of the golden model's vocabulary
    tokenizer["model"].update(vocab=kept, merges=[])
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    said = run("example_logits_processor.py", "-t", tmp_path / "tokenizer.json", "-e", gpt2_engine, *flags).splitlines()
    assert len(said) == (3 if flags else 1)
    for line in said:
        answer = json.loads(line)
        assert answer["last_name"].isalpha() and 1000 <= answer["year_of_birth"] <= 2999
