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

out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/quantized"
seeds = out.parents[1] / "fuzz/model_quantization_fuzz"
out.mkdir(parents=True, exist_ok=True)
seeds.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(30)
N, K, G = 24, 128, 32  # rows (outputs), columns (inputs), columns of a group
names = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(ml_dtypes.bfloat16): "BF16", np.dtype(np.int32): "I32",
         np.dtype(np.int64): "I64", np.dtype(np.int8): "I8", np.dtype(np.uint8): "U8", np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3"}


def file_of(tensors):
    header, data = {}, b""
    for key, value in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        raw = np.ascontiguousarray(value).tobytes()
        header[key] = {"dtype": names[value.dtype], "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def save(name, config, tensors):
    (out / f"{name}.safetensors").write_bytes(file_of(tensors))
    (out / f"{name}.json").write_text(json.dumps(config) + "\n")
    parts = {key: value for key, value in tensors.items() if key != "expected"}
    (seeds / name).write_bytes(json.dumps(config).encode() + b"\0" + file_of(parts))


def pack(codes, bits, axis):
    """int32 words of 32 / bits numbers along an axis, the first in the low bits."""
    codes = np.moveaxis(codes.astype(np.uint32), axis, -1)
    words = codes.reshape(*codes.shape[:-1], -1, 32 // bits) << (np.arange(32 // bits, dtype=np.uint32) * bits)
    return np.moveaxis(np.bitwise_or.reduce(words, -1).astype(np.uint32).view(np.int32), -1, axis)


def spread(values):
    return np.repeat(values.astype(np.float64), G, 1)


def scales(shape, dtype):
    return (rng.uniform(0.002, 0.05, shape) * rng.choice([-1.0, 1.0], shape, p=[0.1, 0.9])).astype(dtype)


# AWQ, gemm: [inputs, outputs / 8]; the words of eight outputs hold them in the order 0 2 4 6 1 3 5 7.
codes, zeros, scale = rng.integers(0, 16, (N, K)), rng.integers(0, 16, (N, K // G)), scales((N, K // G), np.float16)
order = [0, 2, 4, 6, 1, 3, 5, 7]
mixed = lambda x: x.T.reshape(x.shape[1], -1, 8)[:, :, order].reshape(x.shape[1], -1)
save("awq", {"quant_method": "awq", "bits": 4, "group_size": G, "zero_point": True, "version": "gemm"},
     {"x.qweight": pack(mixed(codes), 4, 1), "x.qzeros": pack(mixed(zeros), 4, 1), "x.scales": scale.T,
      "expected": ((codes - spread(zeros)) * spread(scale)).astype(np.float32)})

# GPTQ: weights packed along inputs, zeros along outputs and one too small, [inputs, outputs].
for name, bits, symmetric, shuffled, second in (("gptq", 4, False, False, False), ("gptq_symmetric", 4, True, False, False),
                                                ("gptq_8", 8, False, False, False), ("gptq_8_order", 8, False, True, False),
                                                ("gptq_order", 4, False, True, False), ("gptq_v2", 4, False, False, True)):
    top = 2**bits
    codes, scale = rng.integers(0, top, (N, K)), scales((N, K // G), np.float16)
    zeros = np.full((N, K // G), top // 2) if symmetric else rng.integers(0, top, (N, K // G))
    group = np.arange(K) // G
    if shuffled:
        group = rng.permutation(group)
    stored = zeros if second else (zeros - 1) % top
    config = {"quant_method": "gptq", "bits": bits, "group_size": G, "desc_act": shuffled, "sym": symmetric}
    if second:
        config["checkpoint_format"] = "gptq_v2"
    save(name, config,
         {"x.qweight": pack(codes.T, bits, 0), "x.qzeros": pack(stored.T, bits, 1), "x.scales": scale.T, "x.g_idx": group.astype(np.int32),
          "expected": ((codes - zeros[:, group]) * scale[:, group].astype(np.float64)).astype(np.float32)})

# compressed-tensors: [outputs, inputs], numbers packed along inputs as much above themselves as makes them positive.
for name, bits, symmetric, group in (("packed_int4", 4, True, G), ("packed_int4_zeros", 4, False, G), ("packed_int8", 8, True, K)):
    half = 2 ** (bits - 1)
    numbers, scale = rng.integers(-half, half, (N, K)), scales((N, K // group), ml_dtypes.bfloat16)
    zeros = np.zeros((N, K // group), int) if symmetric else rng.integers(-half, half, (N, K // group))
    wide = lambda x: np.repeat(x.astype(np.float64), group, 1)
    tensors = {"x.weight_packed": pack(numbers + half, bits, 1), "x.weight_scale": scale, "x.weight_shape": np.array([N, K], np.int64),
               "expected": ((numbers - wide(zeros)) * wide(scale)).astype(np.float32)}
    if not symmetric:
        tensors["x.weight_zero_point"] = pack(zeros + half, bits, 0)
    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group < K else "channel", "group_size": group}
    save(name, {"quant_method": "compressed-tensors", "format": "pack-quantized",
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]}, tensors)
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

# MXFP4 as gpt-oss stores experts: [experts, outputs, inputs / 32, 16 bytes], the first number in the low half.
values = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
codes, power = rng.integers(0, 16, (2, N // 2, K // 32, 32)), rng.integers(110, 135, (2, N // 2, K // 32))
blocks = (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)
expected = (values[codes] * np.ldexp(1.0, power - 127)[..., None]).reshape(2, N // 2, K).astype(np.float32)
save("mxfp4", {"quant_method": "mxfp4"}, {"x_blocks": blocks, "x_scales": power.astype(np.uint8), "expected": expected})
