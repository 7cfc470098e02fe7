# SPDX-License-Identifier: Apache-2.0
"""The runtime under TensorRT's names. Addresses are those of host memory on the CPU, of device memory on a GPU."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Set, Union

from .. import errors
from .._ffi import Diag, check, encode, ffi, lib, owned
from ..runtime import Device, Engine, to_device
from . import _enums as enums
from ._builder import IHostMemory
from ._types import Dims, Weights, to_weights


class Runtime:
    """Loads plans. ``device``: as ``Builder``'s; None: one of the plan's backend."""

    def __init__(self, logger: Any = None, device: Union[None, str, Device] = None) -> None:
        if logger is not None and not hasattr(logger, "log"):
            raise TypeError(f"a logger has a method log, {type(logger).__name__} has none")
        self.logger, self.device = logger, to_device(device)
        self.max_threads = 1

    def deserialize_cuda_engine(self, serialized_engine: Any) -> "ICudaEngine":
        """InvalidDataError: damaged, or no plan; IncompatibleError: made for another device."""
        return ICudaEngine(Engine.from_bytes(serialized_engine, self.device))


class ICudaEngine:
    """A loaded plan."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    name = property(lambda self: (self._engine.functions or [""])[0], doc="The first function's name.")
    num_io_tensors = property(lambda self: len(self._engine.tensors), doc="Inputs and outputs.")
    refittable = property(lambda self: True, doc="Named weights are.")

    def _info(self, name: str) -> Any:
        info = self._engine.tensors.get(name)
        if info is None:
            raise errors.InvalidArgumentError(f"there is no input or output '{name}'; the engine has {', '.join(self._engine.tensors)}")
        return info

    def get_tensor_name(self, index: int) -> str:
        names = list(self._engine.tensors)
        if not 0 <= index < len(names):
            raise errors.InvalidArgumentError(f"there is no tensor {index}; the engine has {len(names)}")
        return names[index]

    def get_tensor_shape(self, name: str) -> Dims:
        return Dims(self._info(name).shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return self._info(name).dtype

    def get_tensor_mode(self, name: str) -> Any:
        return enums.TensorIOMode.INPUT if self._info(name).is_input else enums.TensorIOMode.OUTPUT

    def get_tensor_location(self, name: str) -> Any:
        return enums.TensorLocation.HOST if self._info(name).is_on_host else enums.TensorLocation.DEVICE

    def is_shape_inference_io(self, name: str) -> bool:
        return self._info(name).is_on_host

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        self._info(name)
        return enums.TensorFormat.LINEAR

    def create_execution_context(self, strategy: Any = None) -> "IExecutionContext":
        return IExecutionContext(self)

    def create_engine_inspector(self) -> "EngineInspector":
        return EngineInspector(self)

    def serialize(self) -> IHostMemory:
        """The plan, with the present weights."""
        return IHostMemory(self._engine.serialize())

    def __enter__(self) -> "ICudaEngine":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def __iter__(self) -> Any:
        return iter(list(self._engine.tensors))


class EngineInspector:
    """What a plan consists of, as JSON."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self.execution_context: Any = None

    def get_engine_information(self, format: Any = enums.LayerInformationFormat.JSON) -> str:
        return json.dumps(self._engine._engine.inspect())


class IProfiler:
    """Override ``report_layer_time``."""

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class IExecutionContext:
    """One execution: shapes, addresses, a run."""

    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.name = ""
        self._context = engine._engine.context()
        self._addresses: Dict[str, int] = {}
        self._shaped: Set[str] = set()
        self._profiler: Optional[IProfiler] = None
        self._times: Dict[str, int] = {}

    active_optimization_profile = property(lambda self: self._context.profile, doc="The profile.")

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int = 0) -> bool:
        """Before shapes are set."""
        self._context = self.engine._engine.context(profile_index)
        self._addresses, self._shaped = {}, set()
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self._context.set_input_shape(name, shape)
        self._shaped.add(name)
        return True

    def get_tensor_shape(self, name: str) -> Dims:
        return self._context.get_shape(name)

    def get_max_output_size(self, name: str) -> int:
        return self._context.get_max_output_size(name)

    def infer_shapes(self) -> List[str]:
        """Inputs whose shape is not set yet."""
        return [info.name for info in self.engine._engine.inputs if info.name not in self._shaped and min(info.shape, default=0) < 0]

    all_binding_shapes_specified = property(lambda self: not self.infer_shapes(), doc="All inputs have shapes.")

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Memory of at least the tensor's bytes, the caller's until the run is done."""
        if isinstance(memory, bool) or not isinstance(memory, int):
            raise TypeError(f"an address is an int, not {type(memory).__name__}")
        if not 0 <= memory < 1 << 64:
            raise errors.InvalidArgumentError(f"{memory:#x} is no address")
        context = self._context
        with context._lock:
            context._check(lib.tn_context_set_address(context.handle, encode(name), ffi.cast("void *", memory)))
        self._addresses[name] = memory
        return True

    set_input_tensor_address = set_output_tensor_address = set_tensor_address

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int = 0) -> bool:
        """Returns when the run is done, whatever the stream."""
        for info in self.engine._engine.inputs:  # what has no dynamic dimension needs no call
            if min(info.shape, default=0) >= 0:
                self._context.set_input_shape(info.name, info.shape)
        self._context.enqueue()
        return True

    def execute_v2(self, bindings: Sequence[int]) -> bool:
        """Addresses in the order of the engine's tensors."""
        names = list(self.engine._engine.tensors)
        if len(bindings) != len(names):
            raise errors.InvalidArgumentError(f"there are {len(bindings)} bindings, the engine has {len(names)} inputs and outputs")
        for name, address in zip(names, bindings):
            self.set_tensor_address(name, address)
        return self.execute_async_v3()

    @property
    def profiler(self) -> Optional[IProfiler]:
        return self._profiler

    @profiler.setter
    def profiler(self, profiler: Optional[IProfiler]) -> None:
        self._profiler, self._times = profiler, {}

        def report(step: str, problem: str, tactic: str, duration_ns: int) -> None:
            before, self._times[step] = self._times.get(step, 0), duration_ns
            profiler.report_layer_time(step, (duration_ns - before) / 1e6)  # type: ignore[union-attr]

        self._context.set_profiler(report if profiler is not None else None)

    def set_debug_listener(self, listener: Any) -> bool:
        """A callable of name and array (Tenon's own form)."""
        self._context.set_debug_listener(listener)
        return True

    def __enter__(self) -> "IExecutionContext":
        return self

    def __exit__(self, *error: Any) -> None:
        pass


class Refitter:
    """New values for named weights."""

    def __init__(self, engine: ICudaEngine, logger: Any = None) -> None:
        if not isinstance(engine, ICudaEngine):
            raise TypeError(f"a refitter takes an ICudaEngine, not {type(engine).__name__}")
        self._engine, self._diag, out = engine, Diag(), ffi.new("tn_refitter **")
        check(lib.tn_refitter_create(engine._engine.handle, self._diag.handle, out), self._diag)
        self._handle = owned(out[0], lib.tn_refitter_destroy, engine._engine, self._diag)
        self._keep: List[Weights] = []

    def set_named_weights(self, name: str, weights: Any, location: Any = None) -> bool:
        """Of the type and number of the old ones. NotFoundError: no weights of that name."""
        values = to_weights(weights)
        check(lib.tn_refitter_set(self._handle, encode(name), ffi.cast("void *", values._address), values.nbytes), self._diag)
        self._keep.append(values)
        return True

    def get_missing_weights(self) -> List[str]:
        """What a stripped engine still needs."""
        return [ffi.string(lib.tn_refitter_missing(self._handle, i)).decode() for i in range(lib.tn_refitter_num_missing(self._handle))]

    def refit_cuda_engine(self) -> bool:
        """Swaps the new weights in; on failure the engine is as before."""
        check(lib.tn_refitter_commit(self._handle), self._diag)
        self._keep.clear()
        return True

    def set_weights(self, layer_name: str, role: Any, weights: Any) -> bool:
        raise errors.UnsupportedError("Refitter.set_weights is not in Tenon: name weights by INetworkDefinition.set_weights_name, then set_named_weights")
