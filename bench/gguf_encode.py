# SPDX-License-Identifier: Apache-2.0
"""gguf_encode.py: values into blocks of GGUF's types, by rounding to the nearest: no search for better scales, so files are worse than
llama.cpp's own, but of the same bytes and speed. For the programs beside it. Needs numpy and PyPI's gguf, which encodes the simple types."""
import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as T

IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)


def nearest_iq4(x):
    return np.searchsorted((IQ4[1:] + IQ4[:-1]) / 2, x).astype(np.uint8)


def over(x, y):
    return np.divide(x, y, out=np.zeros(np.broadcast(x, y).shape, np.float32), where=y != 0)


def half(x):
    return x.astype(np.float16)


def as_bytes(x):
    return np.ascontiguousarray(half(x)).view(np.uint8)


def with_minima(x, width, levels, integer_levels):
    """(codes [n, groups, width], small integers of scales and minima [n, groups], d, dmin [n, 1]) of values scale · code − minimum."""
    groups = x.reshape(len(x), -1, width)
    low, high = groups.min(2).clip(max=0), groups.max(2)
    scale, minimum = (high - low) / levels, -low
    d, dmin = half(scale.max(1, keepdims=True) / integer_levels), half(minimum.max(1, keepdims=True) / integer_levels)
    ls = np.rint(over(scale, d.astype(np.float32))).clip(0, integer_levels)
    lm = np.rint(over(minimum, dmin.astype(np.float32))).clip(0, integer_levels)
    codes = np.rint(over(groups + (dmin * lm)[..., None], (d * ls)[..., None])).clip(0, levels)
    return codes.astype(np.uint8), ls.astype(np.uint8), lm.astype(np.uint8), d, dmin


def with_signs(x, width, most, integer_most):
    """(numbers [n, groups, width], small integers [n, groups], d [n, 1]) of values scale · number."""
    groups = x.reshape(len(x), -1, width)
    scale = np.abs(groups).max(2) / most
    d = half(scale.max(1, keepdims=True) / integer_most)
    ls = np.rint(over(scale, d.astype(np.float32))).clip(0, integer_most).astype(np.int8)
    return over(groups, (d.astype(np.float32) * ls)[..., None]), ls, d


def halves(codes):
    """[n, 256] → [n, 2, 4, 32]: of each 128 columns four times 32."""
    return codes.reshape(len(codes), 2, 4, 32)


def two_bits(codes):
    parts = halves(codes) & 3
    return (parts[:, :, 0] | parts[:, :, 1] << 2 | parts[:, :, 2] << 4 | parts[:, :, 3] << 6).reshape(len(codes), 64)


def one_bit(codes, bit):
    """Of 256 columns eight times 32: byte l has column 32 j + l at bit j."""
    parts = (codes.reshape(len(codes), 8, 32) >> bit & 1) << np.arange(8, dtype=np.uint8)[None, :, None]
    return np.bitwise_or.reduce(parts, 1)


def nibbles(codes):
    """Of each 64 columns: the first 32 low, the others high."""
    parts = codes.reshape(len(codes), 4, 2, 32) & 15
    return (parts[:, :, 0] | parts[:, :, 1] << 4).reshape(len(codes), 128)


def split_nibbles(codes):
    """Of each 32 columns: the first 16 low, the others high."""
    parts = codes.reshape(len(codes), -1, 2, 16)
    return (parts[:, :, 0] | parts[:, :, 1] << 4).reshape(len(codes), -1)


def six_bit_pairs(ls, lm):
    first = ls[:, :4] | (ls[:, 4:] >> 4) << 6, lm[:, :4] | (lm[:, 4:] >> 4) << 6
    return np.concatenate([*first, ls[:, 4:] & 15 | (lm[:, 4:] & 15) << 4], 1)


def q2_k(x):
    codes, ls, lm, d, dmin = with_minima(x, 16, 3, 15)
    return [ls | lm << 4, two_bits(codes.reshape(len(x), 256)), as_bytes(d), as_bytes(dmin)]


def q3_k(x):
    numbers, ls, d = with_signs(x, 16, 4, 31)
    codes, six = (np.rint(numbers).clip(-4, 3) + 4).astype(np.uint8).reshape(len(x), 256), (ls + 32).astype(np.uint8)
    high = six >> 4
    scales = [six[:, :8] & 15 | (six[:, 8:] & 15) << 4, high[:, :4] | high[:, 4:8] << 2 | high[:, 8:12] << 4 | high[:, 12:] << 6]
    return [one_bit(codes, 2), two_bits(codes), *scales, as_bytes(d)]


def q4_k(x):
    codes, ls, lm, d, dmin = with_minima(x, 32, 15, 63)
    return [as_bytes(d), as_bytes(dmin), six_bit_pairs(ls, lm), nibbles(codes.reshape(len(x), 256))]


def q5_k(x):
    codes, ls, lm, d, dmin = with_minima(x, 32, 31, 63)
    codes = codes.reshape(len(x), 256)
    return [as_bytes(d), as_bytes(dmin), six_bit_pairs(ls, lm), one_bit(codes, 4), nibbles(codes)]


def q6_k(x):
    numbers, ls, d = with_signs(x, 16, 32, 127)
    codes = (np.rint(numbers).clip(-32, 31) + 32).astype(np.uint8).reshape(len(x), 256)
    parts = halves(codes) & 15
    low = np.concatenate([parts[:, :, 0] | parts[:, :, 2] << 4, parts[:, :, 1] | parts[:, :, 3] << 4], 2).reshape(len(x), 128)
    return [low, two_bits(codes >> 4), ls.view(np.uint8), as_bytes(d)]


def iq4_nl(x):
    d = half(np.abs(x).max(1, keepdims=True) / 113)
    return [as_bytes(d), split_nibbles(nearest_iq4(over(x, d.astype(np.float32))))]


def iq4_xs(x):
    numbers, ls, d = with_signs(x, 32, 113, 31)
    six = (ls + 32).astype(np.uint16)
    high = np.bitwise_or.reduce((six >> 4) << (2 * np.arange(8, dtype=np.uint16)), 1).astype(np.uint16)
    low = (six[:, 0::2] & 15 | (six[:, 1::2] & 15) << 4).astype(np.uint8)
    return [as_bytes(d), high[:, None].view(np.uint8), low, split_nibbles(nearest_iq4(numbers).reshape(len(x), 256))]


BLOCKS = {T.Q2_K: q2_k, T.Q3_K: q3_k, T.Q4_K: q4_k, T.Q5_K: q5_k, T.Q6_K: q6_k, T.IQ4_NL: iq4_nl, T.IQ4_XS: iq4_xs}


def encode(values, kind):
    """float32 [rows, columns] → the blocks' bytes [rows, bytes of a row]."""
    if kind not in BLOCKS:
        return gguf.quants.quantize(values, kind)
    size = gguf.GGML_QUANT_SIZES[kind][0]
    rows = []
    for begin in range(0, len(values), 2048):
        part = np.ascontiguousarray(values[begin:begin + 2048], np.float32)
        rows.append(np.concatenate(BLOCKS[kind](part.reshape(-1, size)), 1).reshape(len(part), -1))
    return np.concatenate(rows)
