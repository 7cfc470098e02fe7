# SPDX-License-Identifier: Apache-2.0
"""Under TensorRT-LLM's names: ``tenon.bindings.executor``, and the few types that its users import beside it."""

from __future__ import annotations

import enum

from . import executor

binding_type = "pybind"  # whose conventions hold: getters give datetime.timedelta, enums are Python's


class DataType(enum.IntEnum):
    """Element types that upstream names."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    FP8 = 6
    BF16 = 7
    INT64 = 8


class KVCacheType(enum.IntEnum):
    """How a key/value cache is kept; Tenon's is always paged."""

    CONTINUOUS = 0
    PAGED = 1
    DISABLED = 2


__all__ = ["DataType", "KVCacheType", "binding_type", "executor"]
