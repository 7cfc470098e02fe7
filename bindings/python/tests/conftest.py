# SPDX-License-Identifier: Apache-2.0
"""What the tests of the package share: the golden GPT-2 as an engine directory, and what it answers."""

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
GPT2 = GOLDEN / "models" / "gpt2"
TOKENIZER = GOLDEN / "tokenizers" / "gpt2-bytelevel"
VOCAB = 320


@pytest.fixture(scope="session")
def golden():
    """The folder of golden data."""
    return GOLDEN


@pytest.fixture(scope="session")
def gpt2_cases():
    """Prompts with Hugging Face's logits and greedy tokens, the longest first."""
    return sorted(json.loads((GPT2 / "expected.json").read_text())["cases"], key=lambda case: -len(case["input_ids"]))


@pytest.fixture(scope="session")
def gpt2_hidden_states():
    """Prompts with rows of Hugging Face's last_hidden_state."""
    return json.loads((GPT2 / "hidden_states.json").read_text())["cases"]


@pytest.fixture(scope="session")
def gpt2_engine(tmp_path_factory):
    """An engine directory of the golden GPT-2: blocks of 32 tokens, 16 sequences a step."""
    from tenon.engine import build_engine

    directory = tmp_path_factory.mktemp("gpt2") / "engine"
    build_engine(GPT2, directory, optimization_level=0)
    return directory
