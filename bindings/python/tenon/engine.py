# SPDX-License-Identifier: Apache-2.0
"""Engines: a plan in memory that any number of executors may use."""

from __future__ import annotations

import os
from typing import Any, List, Union

import numpy

from ._ffi import Diag, check, encode, ffi, lib, owned

_ALIGNMENT = 64  # of a plan in memory


class Engine:
    """A loaded plan (``tn_engine``). Made by ``load`` and ``from_bytes``; never changes, may be shared between threads."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    @classmethod
    def load(cls, path: Union[str, os.PathLike]) -> "Engine":
        """A plan file, or an engine directory (``rank0.plan``).

        Raises: NotFoundError, InvalidDataError (damaged), IncompatibleError (made for another device), OutOfMemoryError.
        """
        path = os.fspath(path)
        return cls._make(lib.tn_engine_load, encode(os.path.join(path, "rank0.plan") if os.path.isdir(path) else path))

    @classmethod
    def from_bytes(cls, data: Union[bytes, bytearray, memoryview]) -> "Engine":
        """A plan's bytes, which are copied. Errors as ``load``."""
        source = numpy.frombuffer(data, dtype=numpy.uint8)
        room = numpy.empty(source.size + _ALIGNMENT, dtype=numpy.uint8)
        start = -room.ctypes.data % _ALIGNMENT
        aligned = room[start : start + source.size]
        aligned[:] = source
        buffer = ffi.from_buffer(aligned)
        return cls._make(lambda *rest: lib.tn_engine_load_memory(buffer, source.size, *rest), keep=[buffer, room])

    @classmethod
    def _make(cls, load: Any, *first: Any, keep: Any = ()) -> "Engine":
        diag = Diag()
        options = ffi.new("tn_engine_options *")
        lib.tn_engine_options_init(options)
        options.diag = diag.handle
        out = ffi.new("tn_engine **")
        check(load(*first, options, out), diag)
        return cls(owned(out[0], lib.tn_engine_destroy, *keep))

    def functions(self) -> List[str]:
        """Names of its functions: ``forward`` and ``sample`` of a decoder."""
        return [ffi.string(lib.tn_engine_function_name(self.handle, i)).decode() for i in range(lib.tn_engine_num_functions(self.handle))]
