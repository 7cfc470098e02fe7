#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# hidden_states.py: what Hugging Face's models give to their heads (last_hidden_state), for prompts of expected.json of two golden
# models, into tests/golden/models/NAME/hidden_states.json: rows at some positions, and the mean over all. Needs torch and transformers
# (made with 2.15 and 5.23).
import json
import pathlib

import torch
import transformers

MODELS = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models"


def rounded(row):
    return [round(float(x), 5) for x in row]


def case_of(model, ids):
    with torch.no_grad():
        rows = model(torch.tensor([ids])).last_hidden_state[0].double()
    positions = sorted({0, len(ids) // 2, len(ids) - 1})
    return {"input_ids": ids, "positions": positions, "rows": [rounded(rows[i]) for i in positions], "mean": rounded(rows.mean(0))}


def main():
    for name in ("gpt2", "llama-gqa"):
        model = transformers.AutoModel.from_pretrained(MODELS / name, dtype=torch.float32).eval()
        prompts = [case["input_ids"] for case in json.loads((MODELS / name / "expected.json").read_text())["cases"]]
        cases = [case_of(model, ids) for ids in prompts]
        (MODELS / name / "hidden_states.json").write_text(json.dumps({"cases": cases}) + "\n")
        print(name, "done")


main()
