# SPDX-License-Identifier: Apache-2.0
"""Engines: a plan in memory that any number of executors may use, and how to make one of a model.

    build_engine("SmolLM2.gguf", "engine")          # a directory that Executor, LLM and the command `tenon` read
    engine = Engine.load("engine")
"""

from __future__ import annotations

import os
from typing import Any, Callable, List, Optional, Union

import numpy

from ._ffi import Diag, check, decode, encode, ffi, lib, owned
from .errors import InvalidArgumentError, NotFoundError

_ALIGNMENT = 64  # of a plan in memory


PLAN_FILE, TOKENIZER_FILE = "rank0.plan", "tokenizer.bin"


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
        return cls._make(lib.tn_engine_load, encode(os.path.join(path, PLAN_FILE) if os.path.isdir(path) else path))

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
    def from_plan(cls, plan: Any) -> "Engine":
        """Of what :func:`build_plan` gave; the weights are used where they are."""
        return cls._make(lib.tn_engine_create, plan)

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


_DTYPES = {"float32": lib.TN_FLOAT32, "float16": lib.TN_FLOAT16, "bfloat16": lib.TN_BFLOAT16, "int16": lib.TN_INT16, "int8": lib.TN_INT8,
           "float8_e4m3fn": lib.TN_FLOAT8_E4M3FN}
_ACTIVATIONS = {"auto": lib.TN_ACTIVATIONS_AUTO, "float32": lib.TN_ACTIVATIONS_FLOAT32, "bfloat16": lib.TN_ACTIVATIONS_BFLOAT16,
                "q15": lib.TN_ACTIVATIONS_Q15, "int8": lib.TN_ACTIVATIONS_INT8}


def _choice(choices: Any, value: str, what: str) -> int:
    if value not in choices:
        raise InvalidArgumentError(f"{what} is {value!r}, must be one of {', '.join(choices)}")
    return choices[value]


def build_plan(model: Union[str, os.PathLike], *, max_seq_len: Optional[int] = None, max_num_tokens: Optional[int] = None,
               max_batch_size: Optional[int] = None, tokens_per_block: Optional[int] = None, kv_cache_dtype: str = "float32",
               activations: str = "auto", optimization_level: int = 1, memory_limit_bytes: Optional[int] = None, hidden_states: bool = False,
               progress: Optional[Callable[[str, int, int], Any]] = None) -> Any:
    """A plan (``tn_plan *``) of a GGUF file or a Hugging Face directory; limits None: the library's defaults (2,048 tokens and 16 sequences a
    step, the model's own context). ``hidden_states``: the engine gives the additional output of that name. ``progress(phase, done, total)`` may give False to cancel.

    Raises: NotFoundError, InvalidDataError, UnsupportedError (architecture, encoding), InvalidArgumentError, OutOfMemoryError, CancelledError.
    """
    diag = Diag()
    options = ffi.new("tn_model_build_options *")
    lib.tn_model_build_options_init(options)
    options.diag = diag.handle
    limits = {"max_seq_len": max_seq_len, "max_num_tokens": max_num_tokens, "max_batch_size": max_batch_size,
              "tokens_per_block": tokens_per_block, "memory_limit_bytes": memory_limit_bytes}
    for name, value in limits.items():
        if value is not None:
            setattr(options, name, value)
    options.cache_dtype = _choice(_DTYPES, kv_cache_dtype, "kv_cache_dtype")
    options.activations = _choice(_ACTIVATIONS, activations, "activations")
    options.optimization_level = optimization_level
    options.hidden_states = hidden_states
    failures: List[BaseException] = []
    if progress is not None:

        def report(user: Any, phase: Any, done: int, total: int) -> bool:
            try:
                return progress(decode(phase), done, total) is not False
            except BaseException as error:  # it is raised below: nothing may leave into C
                failures.append(error)
                return False

        callback = ffi.callback("bool(void *, const char *, uint64_t, uint64_t)", report)
        options.progress.report = callback
    out = ffi.new("tn_plan **")
    status = lib.tn_model_build(encode(model), options, out)
    if failures:
        raise failures[0]
    check(status, diag)
    return owned(out[0], lib.tn_plan_destroy)


def save_plan(plan: Any, directory: Union[str, os.PathLike], tokenizer: Any = None) -> None:
    """Makes an engine directory of a plan, with the tokenizer if there is one. The plan comes last: a directory with a plan is complete."""
    os.makedirs(directory, exist_ok=True)
    diag = Diag()
    if tokenizer is not None:
        tokenizer.save(os.path.join(os.fspath(directory), TOKENIZER_FILE))
    check(lib.tn_plan_save(plan, encode(os.path.join(os.fspath(directory), PLAN_FILE)), diag.handle), diag)


def build_engine(model: Union[str, os.PathLike], directory: Union[str, os.PathLike], **options: Any) -> None:
    """Builds a model into an engine directory (plan and tokenizer), as ``tenon build`` does. Options and errors as :func:`build_plan`."""
    save_plan(build_plan(model, **options), directory, load_tokenizer(model))


def load_tokenizer(path: Union[str, os.PathLike]) -> Any:
    """The Tokenizer of a model or an engine directory; None if it has none."""
    from .tokenizer import Tokenizer

    try:
        return Tokenizer(path)
    except NotFoundError:
        return None
