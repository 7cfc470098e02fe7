# SPDX-License-Identifier: Apache-2.0
"""Logits post-processors: Python functions that the executor's thread calls between the network and the drawing of a token."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict

import numpy

from ..._ffi import ffi, inside_callback, lib
from ..._tensor import as_array, give, is_tensor


def _takes_client_id(function: Callable) -> bool:
    """False for a function of exactly four arguments, as v0.11 had it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) != 4


def _logits_of(view: Any) -> numpy.ndarray:
    size = view.num_beams * view.vocab_size * ffi.sizeof("float")
    return numpy.frombuffer(ffi.buffer(view.logits, size), dtype=numpy.float32).reshape(1, view.num_beams, view.vocab_size)


def _take_returned(logits: numpy.ndarray, returned: Any) -> None:
    """A tensor of the logits' size that a function returns replaces them; anything else is ignored."""
    if is_tensor(returned):
        values = as_array(returned, numpy.float32)
        if values.size == logits.size and values.ctypes.data != logits.ctypes.data:
            logits[...] = values.reshape(logits.shape)


class Processor:
    """A function behind a handle that C carries as ``user``. ``failures``: request id → words of the exception."""

    def __init__(self, function: Callable, is_batched: bool, failures: Dict[int, str]) -> None:
        self._function, self._is_batched, self._failures = function, is_batched, failures
        self._has_client_id = _takes_client_id(function)
        self.handle = ffi.new_handle(self)

    def __call__(self, views: Any, num_views: int) -> None:
        views = [views[i] for i in range(num_views)]
        try:
            logits = [_logits_of(view) for view in views]
            ids = [[ffi.unpack(view.beam_ids[beam], view.num_ids) for beam in range(view.num_beams)] for view in views]
            clients = [view.client_id if view.has_client_id else None for view in views]
            tensors = [give(array) for array in logits]
            arguments: Any = ([view.request_id for view in views], tensors, ids, 0, clients)
            if not self._is_batched:
                arguments = (views[0].request_id, tensors[0], ids[0], 0, clients[0])
            returned = self._function(*arguments[: 5 if self._has_client_id else 4])
            if not self._is_batched:
                _take_returned(logits[0], returned)
        except BaseException as error:  # nothing may leave into C
            for view in views:
                self._failures[view.request_id] = f"{type(error).__name__}: {error}"
                view.status = lib.TN_INVALID_ARGUMENT


@ffi.callback("void(void *, tn_logits_view *, size_t)")
def call_processor(user: Any, views: Any, num_views: int) -> None:
    processor = ffi.from_handle(user)  # lives for this call, whatever it does
    with inside_callback():
        processor(views, num_views)
