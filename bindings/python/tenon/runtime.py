# SPDX-License-Identifier: Apache-2.0
"""Running a plan that was built from a network.

    engine = Engine.from_bytes(plan)
    y = engine.context().run({"x": numpy.ones((4, 784), numpy.float32)})["y"]

``Session`` has TensorRT-LLM's calls for the same. The GIL is released while a run computes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

import numpy as np

from . import errors
from ._ffi import Diag, check, decode, encode, ffi, lib, owned
from .trt._enums import DTYPE_NAMES, DataType
from .trt._types import Dims, array_type, from_dims, from_dtype_number, to_array, to_dims, volume

_ALIGNMENT = 64  # of a plan in memory


class Device:
    """Where networks compute: "cpu", "cuda" or "ref"; ``num_threads`` 0: all CPUs that the process may use.

    NotFoundError: no such backend; UnavailableError: the machine has no such device.
    """

    def __init__(self, backend: str = "cpu", num_threads: int = 0) -> None:
        if not isinstance(backend, str):
            raise TypeError(f"a device is named by a str, not {type(backend).__name__}")
        diag, options, out = Diag(), ffi.new("tn_device_options *"), ffi.new("tn_device **")
        lib.tn_device_options_init(options)
        options.diag, options.num_threads = diag.handle, num_threads
        check(lib.tn_device_create(encode(backend), options, out), diag)
        self.handle, self.backend = owned(out[0], lib.tn_device_destroy), backend

    @property
    def description(self) -> str:
        return decode(lib.tn_device_description(self.handle))

    def __repr__(self) -> str:
        return f"Device({self.description})"


def to_device(device: Union[None, str, Device]) -> Optional[Device]:
    if device is None or isinstance(device, Device):
        return device
    return Device(device)


class TensorInfo(NamedTuple):
    """An input or output of an engine, or a tensor that a session is asked about. −1: known at run time."""

    name: str
    dtype: DataType
    shape: Sequence[int]
    is_input: bool = True
    is_on_host: bool = False


def bytes_of(save: Callable[[bytes], None]) -> bytes:
    """What a function of the library writes to a file."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tenon-", dir=folder) as place:
        path = os.path.join(place, "plan")
        save(encode(path))
        with open(path, "rb") as file:
            return file.read()


class Engine:
    """A plan in memory. Never changes, and may be shared between threads; refitting swaps its weights."""

    def __init__(self, handle: Any, device: Optional[Device] = None) -> None:
        self.handle, self.device = handle, device
        count = lib.tn_engine_num_io(handle, ffi.NULL)
        self.tensors: Dict[str, TensorInfo] = {}
        info = ffi.new("tn_io_info *")
        for i in range(count):
            check(lib.tn_engine_get_io(handle, ffi.NULL, i, info))
            name = decode(info.name)
            self.tensors[name] = TensorInfo(name, from_dtype_number(info.dtype), from_dims(info.dims), info.is_input, info.is_on_host)

    @classmethod
    def load(cls, path: Union[str, os.PathLike], device: Union[None, str, Device] = None) -> "Engine":
        """A plan file. NotFoundError, InvalidDataError (damaged), IncompatibleError (made for another device), OutOfMemoryError."""
        return cls._make(lib.tn_engine_load, encode(path), device=to_device(device))

    @classmethod
    def from_bytes(cls, data: Any, device: Union[None, str, Device] = None) -> "Engine":
        """A plan's bytes, which are copied. Errors as ``load``."""
        try:
            source = np.frombuffer(data, dtype=np.uint8)
        except (TypeError, ValueError) as error:
            raise errors.InvalidDataError(f"cannot load a plan from {type(data).__name__}: {error}") from None
        room = np.empty(source.size + _ALIGNMENT, dtype=np.uint8)
        start = -room.ctypes.data % _ALIGNMENT
        room[start:start + source.size] = source
        address = ffi.cast("void *", room.ctypes.data + start)
        return cls._make(lib.tn_engine_load_memory, address, source.size, device=to_device(device), keep=[room])

    @classmethod
    def _make(cls, load: Any, *first: Any, device: Optional[Device], keep: Sequence[Any] = ()) -> "Engine":
        diag, options, out = Diag(), ffi.new("tn_engine_options *"), ffi.new("tn_engine **")
        lib.tn_engine_options_init(options)
        options.diag = diag.handle
        options.device = device.handle if device is not None else ffi.NULL
        check(load(*first, options, out), diag)
        return cls(owned(out[0], lib.tn_engine_destroy, device, *keep), device)

    @property
    def inputs(self) -> List[TensorInfo]:
        return [info for info in self.tensors.values() if info.is_input]

    @property
    def outputs(self) -> List[TensorInfo]:
        return [info for info in self.tensors.values() if not info.is_input]

    @property
    def functions(self) -> List[str]:
        return [decode(lib.tn_engine_function_name(self.handle, i)) for i in range(lib.tn_engine_num_functions(self.handle))]

    def context(self, profile: int = 0) -> "Context":
        """One execution's state; profiles count from 0."""
        return Context(self, profile)

    def serialize(self) -> bytes:
        """The plan, with the present weights."""
        diag = Diag()
        return bytes_of(lambda path: check(lib.tn_engine_save(self.handle, path, diag.handle), diag))

    def inspect(self) -> Dict[str, Any]:
        """Functions, steps, tactics, tensors and weights of the plan."""
        import json

        diag, plan, text = Diag(), ffi.new("tn_plan **"), ffi.new("char **")
        with tempfile.TemporaryDirectory(prefix="tenon-") as place:
            path = encode(os.path.join(place, "plan"))
            check(lib.tn_engine_save(self.handle, path, diag.handle), diag)
            check(lib.tn_plan_load(path, diag.handle, plan), diag)
            try:
                check(lib.tn_plan_inspect(plan[0], diag.handle, text), diag)
                return json.loads(decode(text[0]))
            finally:
                lib.tn_string_free(text[0])
                lib.tn_plan_destroy(plan[0])


@ffi.callback("void(void *, const char *, tn_dtype, const int64_t *, int, const void *)")
def _show_debug(user: Any, name: Any, dtype: Any, dims: Any, rank: int, data: Any) -> None:
    context = ffi.from_handle(user)
    try:
        kind, shape = array_type(from_dtype_number(dtype)), tuple(int(dims[i]) for i in range(rank))
        size = volume(shape) * kind.itemsize
        array = np.frombuffer(bytes(ffi.buffer(data, size)) if size else b"", dtype=kind).reshape(shape)
        context._debug(decode(name), array)
    except BaseException as error:  # told when the run returns: C code stands between
        context._callback_error = context._callback_error or error


@ffi.callback("void(void *, const char *, const char *, const char *, int64_t)")
def _show_profile(user: Any, step: Any, problem: Any, tactic: Any, duration_ns: int) -> None:
    context = ffi.from_handle(user)
    try:
        context._profiler(decode(step), decode(problem), decode(tactic), int(duration_ns))
    except BaseException as error:
        context._callback_error = context._callback_error or error


class Context:
    """One execution's state: shapes, addresses, activation memory. One thread at a time: calls wait for each other."""

    def __init__(self, engine: Engine, profile: int = 0) -> None:
        self.engine, self.profile = engine, int(profile)
        self._diag, options, out = Diag(), ffi.new("tn_context_options *"), ffi.new("tn_context **")
        lib.tn_context_options_init(options)
        options.diag, options.profile = self._diag.handle, self.profile
        check(lib.tn_context_create(engine.handle, options, out), self._diag)
        self.handle = owned(out[0], lib.tn_context_destroy, engine, self._diag)
        self._lock = threading.RLock()
        self._user = ffi.new_handle(self)
        self._debug: Any = None
        self._profiler: Any = None
        self._callback_error: Optional[BaseException] = None

    def _check(self, status: int) -> None:
        check(status, self._diag)

    def set_input_shape(self, name: str, shape: Any) -> None:
        """InvalidArgumentError: no such input, another rank, outside of the profile."""
        with self._lock:
            self._check(lib.tn_context_set_input_shape(self.handle, encode(name), to_dims(shape)))

    def get_shape(self, name: str) -> Dims:
        """For the inputs set; −1 where it is known only after running."""
        out = ffi.new("tn_dims *")
        with self._lock:
            self._check(lib.tn_context_get_shape(self.handle, encode(name), out))
        return from_dims(out[0])

    def get_max_output_size(self, name: str) -> int:
        """Bytes, of the bound where the shape is known only after running."""
        out = ffi.new("size_t *")
        with self._lock:
            self._check(lib.tn_context_get_max_size(self.handle, encode(name), out))
        return int(out[0])

    def set_debug_listener(self, listener: Optional[Callable[[str, np.ndarray], None]]) -> None:
        """Called with name and values of each debug tensor, on the thread that runs."""
        if listener is not None and not callable(listener):
            raise TypeError(f"a listener is callable, {type(listener).__name__} is not")
        with self._lock:
            self._debug = listener
            lib.tn_context_set_debug_callback(self.handle, _show_debug if listener is not None else ffi.NULL, self._user)

    def set_profiler(self, profiler: Optional[Callable[[str, str, str, int], None]]) -> None:
        """Called after a run with (step, problem, tactic, nanoseconds since the profiler was set)."""
        if profiler is not None and not callable(profiler):
            raise TypeError(f"a profiler is callable, {type(profiler).__name__} is not")
        with self._lock:
            self._profiler = profiler
            lib.tn_context_set_profiler(self.handle, _show_profile if profiler is not None else ffi.NULL, self._user)

    def enqueue(self) -> None:
        """Runs with the shapes and addresses that are set; returns when done."""
        with self._lock:
            status = lib.tn_context_enqueue(self.handle, ffi.NULL)
            error, self._callback_error = self._callback_error, None
            if error is not None:
                self._diag.clear()
                raise error
            self._check(status)

    def run(self, inputs: Mapping[str, Any], outputs: Optional[Sequence[str]] = None) -> Dict[str, Any]:
        """Inputs by name (NumPy, torch, or with DLPack) → outputs by name, as NumPy arrays, or torch tensors if an input was one.

        InvalidArgumentError: an input is missing, unknown, of another type, or of a shape outside the profile.
        """
        if not isinstance(inputs, Mapping):
            raise TypeError(f"inputs are a dict of arrays, not {type(inputs).__name__}")
        known = self.engine.tensors
        for name in inputs:
            if name not in known or not known[name].is_input:
                raise errors.InvalidArgumentError(
                    f"there is no input '{name}'; the engine has {', '.join(info.name for info in self.engine.inputs)}")
        missing = [info.name for info in self.engine.inputs if info.name not in inputs]
        if missing:
            raise errors.InvalidArgumentError(f"these inputs are missing: {', '.join(missing)}")
        wanted = [info.name for info in self.engine.outputs]
        for name in outputs if outputs is not None else ():
            if name not in wanted:
                raise errors.InvalidArgumentError(f"there is no output '{name}'; the engine has {', '.join(wanted)}")
        arrays = {name: self._input(known[name], value) for name, value in inputs.items()}
        is_torch = any(type(value).__module__.split(".")[0] == "torch" for value in inputs.values())
        with self._lock:
            for name, array in arrays.items():
                self.set_input_shape(name, array.shape)
                self._address(name, array.ctypes.data if array.size else ffi.NULL, array)
            rooms = {name: np.empty(max(self.get_max_output_size(name), 1), np.uint8) for name in wanted}
            for name, room in rooms.items():
                self._address(name, room.ctypes.data, room)
            self.enqueue()
            results = {name: self._output(known[name], rooms[name]) for name in (outputs if outputs is not None else wanted)}
            for name in (*arrays, *rooms):  # what they pointed to belongs to others now
                lib.tn_context_set_host_address(self.handle, encode(name), ffi.NULL)
        if is_torch:
            import torch

            return {name: torch.from_numpy(array) for name, array in results.items()}
        return results

    def _address(self, name: str, address: Any, owner: np.ndarray) -> None:
        if address == ffi.NULL:  # an empty array has no memory; any will do
            address = self._user
        self._check(lib.tn_context_set_host_address(self.handle, encode(name), ffi.cast("void *", address)))

    @staticmethod
    def _input(info: TensorInfo, value: Any) -> np.ndarray:
        array = to_array(value)
        want = array_type(info.dtype)
        if array.dtype != want and not (isinstance(value, (int, float, bool, list, tuple)) and np.can_cast(array.dtype, want, "same_kind")):
            raise errors.InvalidArgumentError(f"input '{info.name}' is {DTYPE_NAMES[info.dtype]}, the array is {array.dtype}")
        return np.ascontiguousarray(array, dtype=want).reshape(array.shape)

    def _output(self, info: TensorInfo, room: np.ndarray) -> np.ndarray:
        shape, kind = self.get_shape(info.name), array_type(info.dtype)
        return room[:volume(shape) * kind.itemsize].view(kind).reshape(tuple(shape))


class Session:
    """TensorRT-LLM's session: an engine with one context."""

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.pop("_engine", None) is None:
            raise TypeError("a Session is made by Session.from_serialized_engine or Session.from_engine")

    @classmethod
    def _of(cls, engine: Engine) -> "Session":
        session = cls(_engine=engine)
        session._engine, session._context = engine, engine.context()
        return session

    _engine: Engine
    _context: Context

    @classmethod
    def from_serialized_engine(cls, engine: Any) -> "Session":
        return cls._of(Engine.from_bytes(engine))

    @classmethod
    def from_engine(cls, engine: Any) -> "Session":
        return cls._of(getattr(engine, "_engine", engine))

    engine = property(lambda self: self._engine, doc="The engine.")
    context = property(lambda self: self._context, doc="The context.")

    def infer_shapes(self, inputs: Sequence[TensorInfo]) -> List[TensorInfo]:
        """Outputs for these inputs."""
        for info in inputs:
            self._context.set_input_shape(info.name, info.shape)
        return [TensorInfo(info.name, info.dtype, self._context.get_shape(info.name), False) for info in self._engine.outputs]

    def set_shapes(self, tensors: Mapping[str, Any]) -> None:
        for name, tensor in tensors.items():
            self._context.set_input_shape(name, tensor if isinstance(tensor, (tuple, list)) else tensor.shape)

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: Any = None, context: Optional[Context] = None) -> bool:
        """Writes into the given outputs; True when done. A stream is not needed: the call returns when the run is done."""
        for name, array in outputs.items():
            info = self._engine.tensors.get(name)
            if info is None or info.is_input:
                raise errors.InvalidArgumentError(f"there is no output '{name}'")
        results = (context or self._context).run(inputs, list(outputs))
        for name, array in outputs.items():
            if tuple(array.shape) != tuple(results[name].shape):
                raise errors.InvalidArgumentError(f"output '{name}' is {tuple(results[name].shape)}, the array given is {tuple(array.shape)}")
            array[...] = results[name]
        return True
