#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/op: what the packages gguf and ml_dtypes make of fixed values. Needs numpy, gguf, ml_dtypes.

    python3 scripts/golden/op.py

<type>.bin (q4_0, q4_1, q8_0)   512 float32 values, their blocks, the 512 float32 that the blocks decode to
<type>.bin (other GGUF types)   random blocks of two rows of 1,024 values, the 2,048 float32 that they decode to
small_floats.bin                for each format: all codes as float32, then the codes of 1024 rounding cases
rounding_cases.bin              those 1024 float32 values, none beyond any format's largest
"""
import pathlib

import gguf
import ml_dtypes
import numpy as np

out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/op"
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(20)

blocks = rng.standard_normal((16, 32)).astype(np.float32)
blocks *= (10.0 ** rng.integers(-4, 3, (16, 1))).astype(np.float32)
blocks[3] = 0.0
blocks[4, 7] = 0.0
blocks[5] = np.abs(blocks[5])
values = blocks.reshape(2, 256)
for name in ("Q4_0", "Q4_1", "Q8_0"):
    kind = gguf.GGMLQuantizationType[name]
    stored = gguf.quants.quantize(values, kind)
    decoded = gguf.quants.dequantize(stored, kind).astype(np.float32)
    (out / f"{name.lower()}.bin").write_bytes(values.tobytes() + stored.tobytes() + decoded.tobytes())

formats = [
    (ml_dtypes.float8_e4m3fn, 256),
    (ml_dtypes.float8_e4m3fnuz, 256),
    (ml_dtypes.float8_e5m2, 256),
    (ml_dtypes.float8_e5m2fnuz, 256),
    (ml_dtypes.float4_e2m1fn, 16),
]
cases = (rng.standard_normal(1024) * 2.0 ** rng.integers(-20, 2, 1024)).astype(np.float32)
cases[:256] = np.arange(256) / 64.0  # ties
cases[256:320] = np.arange(64) * 2.0**-18  # around the subnormals
cases = np.clip(cases, -6.0, 6.0).astype(np.float32)
data = b""
for dtype, count in formats:
    data += np.arange(count, dtype=np.uint8).view(dtype).astype(np.float32).tobytes()
    data += cases.astype(dtype).view(np.uint8).tobytes()
(out / "small_floats.bin").write_bytes(data)
(out / "rounding_cases.bin").write_bytes(cases.tobytes())

# where the blocks' float16 stand; their extremes (zeros, subnormals, the largest) among random ones
halves = {"Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
          "IQ4_XS": [0], "MXFP4": []}
rng = np.random.default_rng(21)
extremes = np.array([0x7BFF, 0x0001, 0x8000, 0xFBFF, 0x0000, 0x8001, 0x03FF, 0x0400], np.uint16)
for name, places in halves.items():
    kind = gguf.GGMLQuantizationType[name]
    values, size = gguf.GGML_QUANT_SIZES[kind]
    stored = rng.integers(0, 256, (2048 // values, size), np.uint8)
    for place in places:
        scales = (rng.standard_normal(len(stored)) * 2.0 ** rng.integers(-14, 1, len(stored))).astype(np.float16).view(np.uint16)
        for i, bits in enumerate(extremes[: len(stored) // 2]):
            scales[i * 7 % len(stored)] = bits
        stored[:, place : place + 2] = scales[:, None].view(np.uint8)
    if name == "MXFP4":
        stored[:, 0] = rng.integers(100, 140, len(stored))
        stored[:6, 0] = [0, 1, 2, 3, 250, 127]
    stored = stored.reshape(2, -1)
    decoded = gguf.quants.dequantize(stored, kind).astype(np.float32)
    (out / f"{name.lower()}.bin").write_bytes(stored.tobytes() + decoded.tobytes())
