# SPDX-License-Identifier: Apache-2.0
"""Events of the key/value cache: which blocks can be reused, and which no longer."""

from __future__ import annotations

import datetime
import time
from typing import Any, List, Optional, Union

from ..._ffi import check, ffi, lib, owned
from ..._record import A, Anything, Int32, Int64, ListOf, Record, UInt64, field

_SLICE_MS = 200  # how long a wait goes on before Python may see a signal


class UniqueToken(Record):
    token_id: int = field(Int32)
    token_extra_id: int = field(UInt64, default=0)


class KVCacheStoredBlockData(Record):
    """``cache_level`` 0: the device, 1: the host."""

    block_hash: int = field(UInt64)
    tokens: List[UniqueToken] = field(ListOf(A(UniqueToken)), default_factory=list)
    lora_id: Optional[int] = field(UInt64, default=None)
    cache_level: int = field(Int32, default=0)
    priority: int = field(Int32, default=35)


class KVCacheCreatedData(Record):
    """The first event, id 0."""

    num_blocks_per_cache_level: List[int] = field(ListOf(Int64))


class KVCacheStoredData(Record):
    """A chain of blocks from parent to child; ``parent_hash`` None: it begins a prompt."""

    parent_hash: Optional[int] = field(UInt64, default=None)
    blocks: List[KVCacheStoredBlockData] = field(ListOf(A(KVCacheStoredBlockData)), default_factory=list)


class KVCacheRemovedData(Record):
    block_hashes: List[int] = field(ListOf(UInt64), default_factory=list)


class KVCacheEventDiffInt(Record):
    old_value: int = field(Int64)
    new_value: int = field(Int64)


class KVCacheUpdatedData(Record):
    """A block went to another level, or got another priority."""

    block_hash: int = field(UInt64)
    cache_level: Optional[KVCacheEventDiffInt] = field(A(KVCacheEventDiffInt), default=None)
    priority: Optional[KVCacheEventDiffInt] = field(A(KVCacheEventDiffInt), default=None)


class KVCacheEvent(Record):
    """``event_id`` counts up by one: a gap says that the buffer was too small. ``data``: one of the four classes above."""

    event_id: int = field(UInt64)
    data: Any = field(Anything)
    window_size: int = field(Int64, default=0)
    attention_dp_rank: Optional[int] = field(Int32, default=None)


def _block(block: Any) -> KVCacheStoredBlockData:
    tokens = [UniqueToken(token) for token in ffi.unpack(block.tokens, block.num_tokens)] if block.num_tokens else []
    return KVCacheStoredBlockData(block.hash, tokens, None, block.cache_level, block.priority)


def _data(event: Any) -> Any:
    blocks = [event.blocks[i] for i in range(event.num_blocks)]
    if event.kind == lib.TN_KV_EVENT_CREATED:
        return KVCacheCreatedData(list(event.num_blocks_per_level))
    if event.kind == lib.TN_KV_EVENT_STORED:
        return KVCacheStoredData(event.parent_hash if event.has_parent else None, [_block(block) for block in blocks])
    if event.kind == lib.TN_KV_EVENT_REMOVED:
        return KVCacheRemovedData([block.hash for block in blocks])
    return KVCacheUpdatedData(
        blocks[0].hash,
        KVCacheEventDiffInt(event.old_level, event.new_level) if event.has_level else None,
        KVCacheEventDiffInt(event.old_priority, event.new_priority) if event.has_priority else None)


def milliseconds(timeout: Union[datetime.timedelta, float, int, None]) -> Optional[float]:
    """A time-out in ms; None: none. A number is taken as ms."""
    if timeout is None:
        return None
    value = timeout.total_seconds() * 1e3 if isinstance(timeout, datetime.timedelta) else float(timeout)
    return max(value, 0.0)


class Deadline:
    """Cuts a wait into slices, so that signals are seen; None: for ever."""

    def __init__(self, timeout_ms: Optional[float]) -> None:
        self._end = None if timeout_ms is None else time.monotonic() + timeout_ms / 1e3

    def slice_ms(self) -> int:
        """How long to wait now; 0 when the time is over."""
        if self._end is None:
            return _SLICE_MS
        left = self._end - time.monotonic()
        return min(_SLICE_MS, int(left * 1e3 + 0.999)) if left > 0 else 0


class KVCacheEventManager:
    """Made by ``Executor.get_kv_cache_event_manager()``."""

    def __init__(self, executor: Any, handle: Any, window_size: int) -> None:
        self._executor, self._handle, self._window_size = executor, handle, window_size  # the executor lives as long as this

    def get_latest_events(self, timeout: Union[datetime.timedelta, float, None] = None) -> List[KVCacheEvent]:
        """Takes all events there are. Waits for the first one: up to ``timeout`` (timedelta, or ms), None: until there is one or the executor
        shuts down. [] when there is none."""
        deadline = Deadline(milliseconds(timeout))
        out = ffi.new("tn_kv_event_list **")
        while True:
            wait_ms = deadline.slice_ms()
            status = lib.tn_kv_event_manager_take(self._handle, wait_ms, out)
            if status == lib.TN_UNAVAILABLE or (status == lib.TN_TIMED_OUT and wait_ms == 0):
                return []
            if status != lib.TN_TIMED_OUT:
                break
        check(status)
        events = owned(out[0], lib.tn_kv_event_list_destroy)
        count = ffi.new("size_t *")
        array = lib.tn_kv_event_list_get(events, count)
        return [KVCacheEvent(array[i].event_id, _data(array[i]), self._window_size) for i in range(count[0])]
