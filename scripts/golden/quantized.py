#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/quantized: a small weight in each form of quantised Hugging Face checkpoints. Needs numpy, ml_dtypes.

    python3 scripts/golden/quantized.py

<name>.json          the directory's quantization_config
<name>.safetensors   the tensors of "x.weight", and "expected": the float32 values, computed here from the numbers before packing

and tests/fuzz/model_quantization_fuzz: both without "expected", a NUL between them.
"""
import json
import pathlib

import ml_dtypes
import numpy as np

import packing

out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/quantized"
seeds = out.parents[1] / "fuzz/model_quantization_fuzz"
out.mkdir(parents=True, exist_ok=True)
seeds.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(30)
N, K, G = 24, 128, 32  # rows (outputs), columns (inputs), columns of a group


def save(name, config, tensors):
    (out / f"{name}.safetensors").write_bytes(packing.safetensors_of(tensors))
    (out / f"{name}.json").write_text(json.dumps(config) + "\n")
    parts = {key: value for key, value in tensors.items() if key != "expected"}
    (seeds / name).write_bytes(json.dumps(config).encode() + b"\0" + packing.safetensors_of(parts))


def spread(values):
    return np.repeat(values.astype(np.float64), G, 1)


def scales(shape, dtype):
    return (rng.uniform(0.002, 0.05, shape) * rng.choice([-1.0, 1.0], shape, p=[0.1, 0.9])).astype(dtype)


named = lambda tensors: {"x" + suffix: value for suffix, value in tensors.items()}
codes, zeros, scale = rng.integers(0, 16, (N, K)), rng.integers(0, 16, (N, K // G)), scales((N, K // G), np.float16)
save("awq", {"quant_method": "awq", "bits": 4, "group_size": G, "zero_point": True, "version": "gemm"},
     named(packing.awq(codes, zeros, scale)) | {"expected": ((codes - spread(zeros)) * spread(scale)).astype(np.float32)})

for name, bits, symmetric, shuffled, second in (("gptq", 4, False, False, False), ("gptq_symmetric", 4, True, False, False),
                                                ("gptq_8", 8, False, False, False), ("gptq_8_order", 8, False, True, False),
                                                ("gptq_order", 4, False, True, False), ("gptq_v2", 4, False, False, True)):
    top = 2**bits
    codes, scale = rng.integers(0, top, (N, K)), scales((N, K // G), np.float16)
    zeros = np.full((N, K // G), top // 2) if symmetric else rng.integers(0, top, (N, K // G))
    group = np.arange(K) // G
    if shuffled:
        group = rng.permutation(group)
    config = {"quant_method": "gptq", "bits": bits, "group_size": G, "desc_act": shuffled, "sym": symmetric}
    if second:
        config["checkpoint_format"] = "gptq_v2"
    save(name, config, named(packing.gptq(codes, zeros, scale, group, bits, 0 if second else 1)) | {
        "expected": ((codes - zeros[:, group]) * scale[:, group].astype(np.float64)).astype(np.float32)})

for name, bits, symmetric, group in (("packed_int4", 4, True, G), ("packed_int4_zeros", 4, False, G), ("packed_int8", 8, True, K)):
    half = 2 ** (bits - 1)
    numbers, scale = rng.integers(-half, half, (N, K)), scales((N, K // group), ml_dtypes.bfloat16)
    zeros = np.zeros((N, K // group), int) if symmetric else rng.integers(-half, half, (N, K // group))
    wide = lambda x: np.repeat(x.astype(np.float64), group, 1)
    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group < K else "channel", "group_size": group}
    save(name, {"quant_method": "compressed-tensors", "format": "pack-quantized",
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]},
         named(packing.compressed(numbers, scale, bits, None if symmetric else zeros)) | {
             "expected": ((numbers - wide(zeros)) * wide(scale)).astype(np.float32)})
eight = lambda kind, form: {"quant_method": "compressed-tensors", "format": form, "config_groups": {
    "group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": kind, "symmetric": True, "strategy": "channel"},
                "input_activations": {"num_bits": 8, "type": kind, "dynamic": True}}}}
numbers, scale = rng.integers(-128, 128, (N, K)).astype(np.int8), scales((N, 1), ml_dtypes.bfloat16)
save("int8", eight("int", "int-quantized"), {"x.weight": numbers, "x.weight_scale": scale,
                                             "expected": (numbers.astype(np.float64) * scale.astype(np.float64)).astype(np.float32)})

# FP8: a scale a row, one for all, one for each block of rows and columns (the last block of rows is cut).
fp8 = (rng.standard_normal((N, K)) * 50).astype(ml_dtypes.float8_e4m3fn)
for name, config, key, scale, wide in (
        ("fp8_rows", eight("float", "float-quantized"), "x.weight_scale", scales((N, 1), ml_dtypes.bfloat16), lambda s: s),
        ("fp8_whole", {"quant_method": "fp8", "activation_scheme": "static"}, "x.weight_scale", scales((), np.float32), lambda s: s),
        ("fp8_blocks", {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [16, 64]}, "x.weight_scale_inv", scales((2, 2), np.float32),
         lambda s: np.repeat(np.repeat(s, 16, 0)[:N], 64, 1))):
    save(name, config, {"x.weight": fp8, key: np.asarray(scale),
                        "expected": (fp8.astype(np.float64) * wide(np.asarray(scale)).astype(np.float64)).astype(np.float32)})

# MXFP4: experts.
codes, power = rng.integers(0, 16, (2, N // 2, K // 32, 32)), rng.integers(110, 135, (2, N // 2, K // 32))
expected = (packing.FP4[codes] * np.ldexp(1.0, power - 127)[..., None]).reshape(2, N // 2, K).astype(np.float32)
save("mxfp4", {"quant_method": "mxfp4"}, named(packing.mxfp4(codes, power)) | {"expected": expected})
