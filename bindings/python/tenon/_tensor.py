# SPDX-License-Identifier: Apache-2.0
"""Tensors in and out: torch's where torch is importable, else NumPy's. In: anything of these, of DLPack, or of the buffer protocol."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy


@functools.lru_cache(maxsize=1)
def torch() -> Any:
    """The module torch, or None. It is imported when the first tensor is given out, not before."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        import torch as module
    except ImportError:  # found, but broken: NumPy then
        return None
    return module


def is_tensor(value: Any) -> bool:
    return isinstance(value, numpy.ndarray) or hasattr(value, "__dlpack__")


def give(array: numpy.ndarray) -> Any:
    """An array of ours as the caller's tensor type, without a copy: its memory belongs to the tensor from now on."""
    module = torch()
    return array if module is None else module.from_numpy(array)


def take(value: Any, what: str) -> Any:
    """A tensor of the caller's as an attribute holds it: torch's and NumPy's as they are, others through DLPack."""
    module = torch()
    if isinstance(value, numpy.ndarray):
        return value if module is None or value.dtype.kind not in "biuf" else module.from_numpy(value)
    if module is not None and isinstance(value, module.Tensor):
        return value
    if hasattr(value, "__dlpack__"):
        return numpy.from_dlpack(value) if module is None else module.from_dlpack(value)
    raise TypeError(f"{what} is {type(value).__name__}, must be a tensor (torch, NumPy, or with DLPack)")


def shape_of(value: Any) -> tuple:
    return tuple(int(size) for size in value.shape)


def as_array(value: Any, dtype: Any) -> numpy.ndarray:
    """A tensor, list or number as a contiguous array of this type in host memory; bfloat16 and memory of GPUs through torch."""
    module = torch()
    if module is not None and isinstance(value, module.Tensor):
        value = value.detach().cpu()
        if value.dtype == module.bfloat16:
            value = value.float()
        value = value.numpy()
    elif hasattr(value, "__dlpack__") and not isinstance(value, numpy.ndarray):
        value = numpy.from_dlpack(value)
    return numpy.ascontiguousarray(value, dtype=dtype)
