#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/networks/networks.json: outputs of a LeNet-shaped CNN and of a GPT-2 block, computed by NumPy in float64 from
values that both sides make by one formula (`values`; tests/layers/models_test.c has it in C). Needs numpy.

    python3 scripts/golden/networks.py
"""
import json
import math
import pathlib

import numpy as np

seed = 0


def values(*dims, scale=1.0):
    """The next tensor: element i of the n-th is (bits of (i · 2654435761 + n · 40503) / 2^16 − 0.5) · scale, as float32."""
    global seed
    seed += 1
    i = np.arange(math.prod(dims), dtype=np.uint64)
    bits = (i * 2654435761 + seed * 40503) % (1 << 32) >> 16
    return (((bits % 65536).astype(np.float32) / np.float32(65536) - np.float32(0.5)) * np.float32(scale)).astype(np.float64).reshape(dims)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def convolve(x, w, b, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    oh, ow = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    y = sum(np.einsum("nchw,kc->nkhw", x[:, :, i:i + oh, j:j + ow], w[:, :, i, j]) for i in range(w.shape[2]) for j in range(w.shape[3]))
    return y + b[:, None, None]


def pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def lenet():
    x = values(2, 1, 28, 28, scale=2.0)
    for maps, channels, padding in ((6, 1, 2), (16, 6, 0)):
        x = pool(np.maximum(convolve(x, values(maps, channels, 5, 5, scale=0.5), values(maps), padding), 0))
    x = x.reshape(2, -1)
    for i, (rows, columns) in enumerate(((120, 400), (84, 120), (10, 84))):
        x = x @ values(rows, columns, scale=0.4).T + values(rows)
        x = np.maximum(x, 0) if i < 2 else softmax(x)
    return x


def layer_norm(x, w, b):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


def gpt2(hidden=16, heads=2):
    def linear(x, rows, columns):
        return x @ values(rows, columns).T + values(rows)

    x = values(2, 5, hidden, scale=2.0)
    qkv = linear(layer_norm(x, values(hidden), values(hidden)), 3 * hidden, hidden)
    q, k, v = (part.reshape(2, 5, heads, -1).transpose(0, 2, 1, 3) for part in np.split(qkv, 3, -1))
    scores = np.where(np.tri(5) > 0, q @ k.swapaxes(2, 3) / math.sqrt(hidden // heads), -np.inf)
    x = x + linear((softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(2, 5, hidden), hidden, hidden)
    y = linear(layer_norm(x, values(hidden), values(hidden)), 4 * hidden, hidden)
    y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    return x + linear(y, hidden, 4 * hidden)


result = {}
for model in (lenet, gpt2):
    seed = 0  # each counts its own
    result[model.__name__] = model()
out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/networks/networks.json"
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({name: [round(float(v), 9) for v in y.reshape(-1)] for name, y in result.items()}) + "\n")
