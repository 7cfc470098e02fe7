#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/rope.json: inverse frequencies of every rotary scaling as Hugging Face transformers computes them.

    pip install numpy && pip download --no-deps transformers==5.17.0 && unzip transformers-*.whl
    scripts/golden/rope.py transformers/modeling_rope_utils.py > tests/golden/rope.json

The functions of ROPE_INIT_FUNCTIONS run unchanged, on NumPy in float64 in the place of torch in float32: what is compared is
then the formula, to the last bit of a float32 result.
"""
import json
import sys
import types

import numpy as np


class Tensor(np.ndarray):
    def to(self, **_):
        return self


def tensor(values):
    return np.asarray(values, dtype=np.float64).view(Tensor)


torch = types.SimpleNamespace(
    int64=None, float=None, float32=None, Tensor=Tensor,
    arange=lambda *a, **_: tensor(np.arange(*a)),
    clamp=lambda x, low, high: tensor(np.clip(x, low, high)),
    where=lambda c, a, b: tensor(np.where(np.asarray(c, dtype=bool), a, b)),
)


class Config:
    def __init__(self, max_positions, head_dim, parameters):
        self.max_position_embeddings = max_positions
        self.head_dim = self.hidden_size = head_dim
        self.num_attention_heads = 1
        self.rope_parameters = parameters

    def standardize_rope_params(self):
        self.rope_parameters.setdefault("original_max_position_embeddings", self.max_position_embeddings)


CASES = [
    ("default of Llama 2", 4096, 128, 4096, {"rope_type": "default", "rope_theta": 10000.0}),
    ("default, small head", 512, 16, 512, {"rope_type": "default", "rope_theta": 1000000.0}),
    ("linear by 4", 2048, 64, 8192, {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}),
    ("dynamic within its context", 2048, 64, 2048, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    ("dynamic beyond its context", 2048, 64, 8192, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}),
    ("llama3 of Llama 3.1", 131072, 128, 131072,
     {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}),
    ("llama3, small", 512, 16, 512,
     {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64}),
    ("yarn of Qwen 2.5", 131072, 128, 131072,
     {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32768}),
    ("yarn, own betas, fractional range", 1024, 32, 1024,
     {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "original_max_position_embeddings": 64, "beta_fast": 8.0,
      "beta_slow": 2.0, "truncate": False}),
    ("yarn, given attention factor", 1024, 64, 1024,
     {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 128,
      "attention_factor": 1.25}),
    ("yarn, shrinking factor", 1024, 64, 1024,
     {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 1.0, "original_max_position_embeddings": 1024}),
]


def default_parameters(config, *_, **__):
    """As every modeling file's compute_default_rope_parameters."""
    dim = config.head_dim
    return tensor(1.0 / (config.rope_parameters["rope_theta"] ** (np.arange(0, dim, 2) / dim))), 1.0


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        source = file.read()
    source = source.replace("from .utils import is_torch_available, logging", "")
    source = source.replace("logger = logging.get_logger(__name__)", "logger = None")
    source = source.replace("if is_torch_available():\n    import torch\n", "")
    scope = {"torch": torch, "__name__": "rope"}
    exec(compile(source, sys.argv[1], "exec"), scope)
    functions = dict(scope["ROPE_INIT_FUNCTIONS"], default=default_parameters)
    cases = []
    for name, max_positions, head_dim, seq_len, parameters in CASES:
        config = Config(max_positions, head_dim, dict(parameters))
        frequencies, scale = functions[parameters["rope_type"]](config, None, seq_len)
        cases.append({"name": name, "max_positions": max_positions, "dim": head_dim, "seq_len": seq_len, **parameters,
                      "inverse_frequencies": [float(f) for f in frequencies], "scale": float(scale)})
    print(json.dumps(cases, indent=0))


if __name__ == "__main__":
    main()
