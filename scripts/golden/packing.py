# SPDX-License-Identifier: Apache-2.0
"""What quantised Hugging Face checkpoints are packed like, for the scripts beside it. Needs numpy, ml_dtypes."""
import json

import ml_dtypes
import numpy as np

NAMES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(ml_dtypes.bfloat16): "BF16", np.dtype(np.int32): "I32",
         np.dtype(np.int64): "I64", np.dtype(np.int8): "I8", np.dtype(np.uint8): "U8", np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3"}
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def safetensors_of(tensors):
    """The bytes of a file that holds them."""
    header, data = {}, b""
    for key, value in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        raw = np.ascontiguousarray(value).tobytes()
        header[key] = {"dtype": NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def pack(codes, bits, axis):
    """int32 words of 32 / bits numbers along an axis, the first in the low bits."""
    codes = np.moveaxis(codes.astype(np.uint32), axis, -1)
    words = codes.reshape(*codes.shape[:-1], -1, 32 // bits) << (np.arange(32 // bits, dtype=np.uint32) * bits)
    return np.moveaxis(np.bitwise_or.reduce(words, -1).astype(np.uint32).view(np.int32), -1, axis)


def awq(codes, zeros, scale):
    """gemm: [inputs, outputs / 8]; the words of eight outputs hold them in the order 0 2 4 6 1 3 5 7."""
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    mixed = lambda x: x.T.reshape(x.shape[1], -1, 8)[:, :, order].reshape(x.shape[1], -1)
    return {".qweight": pack(mixed(codes), 4, 1), ".qzeros": pack(mixed(zeros), 4, 1), ".scales": scale.T}


def gptq(codes, zeros, scale, groups, bits, less=1):
    """[inputs, outputs]: weights packed along inputs; zeros along outputs and `less` too small."""
    return {".qweight": pack(codes.T, bits, 0), ".qzeros": pack((zeros - less).T % 2**bits, bits, 1), ".scales": scale.T,
            ".g_idx": groups.astype(np.int32)}


def compressed(numbers, scale, bits, zeros=None):
    """compressed-tensors, pack-quantized: [outputs, inputs], numbers packed along inputs as much above themselves as makes them positive."""
    half = 2 ** (bits - 1)
    tensors = {".weight_packed": pack(numbers + half, bits, 1), ".weight_scale": scale,
               ".weight_shape": np.array(numbers.shape, np.int64)}
    return tensors if zeros is None else tensors | {".weight_zero_point": pack(zeros + half, bits, 0)}


def mxfp4(codes, powers):
    """gpt-oss: [..., outputs, inputs / 32, 32] codes as 16 bytes, the first in the low half; exponents beside."""
    return {"_blocks": (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8), "_scales": powers.astype(np.uint8)}
