# SPDX-License-Identifier: Apache-2.0
"""The builder under TensorRT's names."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import errors
from .._ffi import Diag, check, encode, error_of, ffi, lib, owned
from ..runtime import Device, bytes_of, to_device
from . import _enums as enums
from ._enums import BuilderFlag
from ._network import INetworkDefinition
from ._types import Dims, to_dims


class Logger:
    """Takes messages: prints warnings and errors to stderr until ``log`` is overridden."""

    Severity = enums._make("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", "How much a message matters.")
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity  # type: ignore[misc]

    def __init__(self, min_severity: Any = Severity.WARNING) -> None:
        if not isinstance(min_severity, Logger.Severity):
            raise TypeError(f"a severity is Logger.WARNING or its like, not {min_severity!r}")
        self.min_severity = min_severity

    def log(self, severity: Any, msg: str) -> None:
        import sys

        if int(severity) <= int(self.min_severity):
            print(f"[tenon] [{severity.name}] {msg}", file=sys.stderr)


ILogger = Logger


def tell(logger: Any, entries: Any) -> None:
    """Messages of a call to a logger of the caller's."""
    if logger is None:
        return
    by_severity = {lib.TN_SEVERITY_INFO: Logger.INFO, lib.TN_SEVERITY_WARNING: Logger.WARNING, lib.TN_SEVERITY_ERROR: Logger.ERROR}
    for entry in entries:
        logger.log(by_severity[entry.severity], entry.message + (f"; {entry.hint}" if entry.hint else ""))


class IHostMemory(bytes):
    """A plan's bytes, or a timing cache's."""

    nbytes = property(len, doc="Their number.")
    dtype = enums.DataType.UINT8

    def __enter__(self) -> "IHostMemory":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def __repr__(self) -> str:
        return f"IHostMemory({len(self)} bytes)"

    __str__ = __repr__


class IOptimizationProfile:
    """Ranges of the inputs' dimensions, checked against the network when it is built."""

    def __init__(self) -> None:
        self._shapes: Dict[str, Tuple[Dims, Dims, Dims]] = {}
        self._values: Dict[str, Tuple[Dims, Dims, Dims]] = {}
        self.extra_memory_target = 1.0

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        """InvalidArgumentError: other ranks, or not min ≤ opt ≤ max."""
        if not isinstance(input, str):
            raise TypeError(f"the name of an input is a str, not {type(input).__name__}")
        low, best, high = Dims(min), Dims(opt), Dims(max)
        if not len(low) == len(best) == len(high):
            raise errors.InvalidArgumentError(f"cannot set the range of '{input}': min, opt and max have {len(low)}, {len(best)} and {len(high)} dimensions")
        for axis, (a, b, c) in enumerate(zip(low, best, high)):
            if not 0 <= a <= b <= c:
                raise errors.InvalidArgumentError(f"cannot set the range of '{input}': dimension {axis} has min {a}, opt {b}, max {c}; they must rise from 0 on")
        self._shapes[input] = (low, best, high)

    def get_shape(self, input: str) -> List[Dims]:
        """min, opt, max; empty if none was set."""
        return list(self._shapes.get(input, ()))

    def set_shape_input(self, input: str, min: Any, opt: Any, max: Any) -> None:
        """Ranges of the elements of a shape input. Optional: without them any values that fit run."""
        low, best, high = Dims(min), Dims(opt), Dims(max)
        if not len(low) == len(best) == len(high):
            raise errors.InvalidArgumentError(f"cannot set the range of '{input}': min, opt and max have {len(low)}, {len(best)} and {len(high)} values")
        self._values[input] = (low, best, high)

    def get_shape_input(self, input: str) -> List[Dims]:
        """min, opt, max; empty if none was set."""
        return list(self._values.get(input, ()))

    def __bool__(self) -> bool:
        return True


class ITimingCache:
    """Measured times, shared between builds."""

    def __init__(self, blob: Any = b"") -> None:
        out = ffi.new("tn_timing_cache **")
        check(lib.tn_timing_cache_create(ffi.NULL, out))
        self._handle = owned(out[0], lib.tn_timing_cache_destroy)
        if len(blob) > 0:
            self._load(bytes(blob))

    def _load(self, blob: bytes) -> None:
        diag = Diag()
        with tempfile.TemporaryDirectory(prefix="tenon-") as place:
            path = os.path.join(place, "cache")
            with open(path, "wb") as file:
                file.write(blob)
            check(lib.tn_timing_cache_load(self._handle, encode(path), diag.handle), diag)

    def serialize(self) -> IHostMemory:
        diag = Diag()
        return IHostMemory(bytes_of(lambda path: check(lib.tn_timing_cache_save(self._handle, path, diag.handle), diag)))

    def combine(self, input_cache: "ITimingCache", ignore_mismatch: bool = False) -> bool:
        """Takes the other's entries; those of other devices and versions are kept and not used."""
        if not isinstance(input_cache, ITimingCache):
            raise TypeError(f"a timing cache is an ITimingCache, not {type(input_cache).__name__}")
        self._load(bytes(input_cache.serialize()))
        return True

    def reset(self) -> bool:
        raise errors.UnsupportedError("a timing cache cannot be emptied: make a new one")

    @property
    def num_measured(self) -> int:
        """Timings made since it was created, not loaded (Tenon's own)."""
        return int(lib.tn_timing_cache_num_measured(self._handle))


_REFUSED_FLAGS = {
    "SAFETY_SCOPE": "there is no safety runtime",
    "WEIGHT_STREAMING": "weights are mapped from the plan where that is as fast",
    "REFIT_INDIVIDUAL": "every named weight is refittable",
    "ERROR_ON_TIMING_CACHE_MISS": "a missing time is measured",
    "EDITABLE_TIMING_CACHE": "a timing cache is a text file: edit that",
    "REJECT_EMPTY_ALGORITHMS": "there is no algorithm selector",
}


class IBuilderConfig:
    """What a build is to make of a network.

    Tenon's own properties: ``activation_precision`` (auto, float32, bfloat16, q15, int8), ``timing_budget_ms``, and ``host_fallback``
    (True): layers that the device has no kernel for run on the host instead of failing the build.
    """

    def __init__(self) -> None:
        self._flags = 1 << int(BuilderFlag.TF32)
        self._profiles: List[IOptimizationProfile] = []
        self._cache: Optional[ITimingCache] = None
        self._limits: Dict[Any, int] = {}
        self._preview: Dict[Any, bool] = {}
        self._level: Optional[int] = None
        self.profiling_verbosity = enums.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = enums.HardwareCompatibilityLevel.NONE
        self.runtime_platform = enums.RuntimePlatform.SAME_AS_BUILD
        self.engine_capability = enums.EngineCapability.STANDARD
        self.default_device_type = enums.DeviceType.GPU
        self.tiling_optimization_level = enums.TilingOptimizationLevel.NONE
        self.avg_timing_iterations = 1
        self.max_aux_streams = 0
        self.max_num_tactics = -1
        self.activation_precision = "auto"
        self.host_fallback = True
        self.timing_budget_ms: Optional[int] = None

    # Flags

    @staticmethod
    def _flag(flag: Any) -> int:
        if not isinstance(flag, BuilderFlag):
            raise TypeError(f"a builder flag is a BuilderFlag, not {flag!r}")
        return int(flag)

    def set_flag(self, flag: Any) -> None:
        number = self._flag(flag)
        if flag.name in _REFUSED_FLAGS:
            raise errors.UnsupportedError(f"BuilderFlag.{flag.name} is not in Tenon: {_REFUSED_FLAGS[flag.name]}")
        self._flags |= 1 << number

    def clear_flag(self, flag: Any) -> None:
        self._flags &= ~(1 << self._flag(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> self._flag(flag) & 1)

    @property
    def flags(self) -> int:
        return self._flags

    @flags.setter
    def flags(self, flags: int) -> None:
        for flag in BuilderFlag:
            if flags >> int(flag) & 1:
                self.set_flag(flag)
        self._flags = int(flags)

    # Values

    @property
    def builder_optimization_level(self) -> int:
        """0: estimates only; 1 to 3: the best few are timed; 4 and 5: all within the budget."""
        return 3 if self._level is None else self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        if isinstance(level, bool) or not isinstance(level, int):
            raise TypeError(f"an optimization level is an int, not {type(level).__name__}")
        if level < 0:
            raise errors.InvalidArgumentError(f"an optimization level is 0 to 5, not {level}")
        self._level = min(level, 5)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        """WORKSPACE: peak bytes of build and engine."""
        if not isinstance(pool, enums.MemoryPoolType):
            raise TypeError(f"a pool is a MemoryPoolType, not {pool!r}")
        if isinstance(pool_size, bool) or not isinstance(pool_size, int):
            raise TypeError(f"a size is an int, not {type(pool_size).__name__}")
        if not 0 <= pool_size < 1 << 63:
            raise errors.InvalidArgumentError(f"cannot set the limit of {pool.name}: {pool_size} bytes are not possible")
        if pool.name.startswith("DLA"):
            raise errors.UnsupportedError(f"MemoryPoolType.{pool.name} is not in Tenon: it has no DLA")
        self._limits[pool] = pool_size

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._limits.get(pool, 0)

    def set_preview_feature(self, feature: Any, enable: bool) -> None:
        if not isinstance(feature, enums.PreviewFeature):
            raise TypeError(f"a feature is a PreviewFeature, not {feature!r}")
        self._preview[feature] = bool(enable)

    def get_preview_feature(self, feature: Any) -> bool:
        return self._preview.get(feature, False)

    def set_tactic_sources(self, tactic_sources: int) -> bool:
        """Accepted, without effect: kernels are Tenon's own."""
        self._sources = int(tactic_sources)
        return True

    def get_tactic_sources(self) -> int:
        return getattr(self, "_sources", 0)

    # Profiles and the timing cache

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Its number."""
        if not isinstance(profile, IOptimizationProfile):
            raise TypeError(f"a profile is an IOptimizationProfile, not {type(profile).__name__}")
        self._profiles.append(profile)
        return len(self._profiles) - 1

    num_optimization_profiles = property(lambda self: len(self._profiles), doc="Profiles added.")

    def create_timing_cache(self, serialized_timing_cache: Any) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool = False) -> bool:
        if not isinstance(cache, ITimingCache):
            raise TypeError(f"a timing cache is an ITimingCache, not {type(cache).__name__}")
        self._cache = cache
        return True

    def get_timing_cache(self) -> Optional[ITimingCache]:
        return self._cache

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        reason = {
            "int8_calibrator": "int8 calibration is not in Tenon", "algorithm_selector": "there is no algorithm selector",
            "progress_monitor": "progress is not reported to Python yet", "DLA_core": "Tenon has no DLA", "plugins_to_serialize":
            "plugins are named to the engine", "max_workspace_size": "set_memory_pool_limit has it",
            "set_calibration_profile": "int8 calibration is not in Tenon",
        }.get(name)
        if reason is None:
            raise AttributeError(f"IBuilderConfig has no attribute '{name}'")
        raise errors.UnsupportedError(f"IBuilderConfig.{name} is not in Tenon: {reason}")

    # For the builder

    def _make(self, builder: Any) -> Any:
        out = ffi.new("tn_builder_config **")
        check(lib.tn_builder_config_create(builder, out))
        config = owned(out[0], lib.tn_builder_config_destroy, builder)
        for profile in self._profiles:
            made = lib.tn_builder_config_add_profile(config)
            if made == ffi.NULL:
                raise errors.OutOfMemoryError("out of memory: a profile")
            for name, (low, best, high) in profile._shapes.items():
                lib.tn_profile_set_dims(made, encode(name), to_dims(low), to_dims(best), to_dims(high))
            for name, ranges in profile._values.items():
                lib.tn_profile_set_values(made, encode(name), *(ffi.new("int64_t[]", list(values)) for values in ranges), len(ranges[0]))
        if self._level is not None:
            lib.tn_builder_config_set_optimization_level(config, self._level)
        if self.timing_budget_ms is not None:
            lib.tn_builder_config_set_timing_budget_ms(config, int(self.timing_budget_ms))
        precision = getattr(lib, f"TN_ACTIVATIONS_{str(self.activation_precision).upper()}", None)
        if precision is None:
            raise errors.InvalidArgumentError(f"activations are auto, float32, bfloat16, q15 or int8, not {self.activation_precision!r}")
        lib.tn_builder_config_set_activation_precision(config, precision)
        if self.get_flag(BuilderFlag.DISTRIBUTIVE_INDEPENDENCE):
            lib.tn_builder_config_set_batch_invariant(config, True)
        if self.get_flag(BuilderFlag.STRIP_PLAN):
            lib.tn_builder_config_set_strip(config, True)
        if self.host_fallback or self.get_flag(BuilderFlag.GPU_FALLBACK):
            lib.tn_builder_config_set_host_fallback(config, True)
        limit = self._limits.get(enums.MemoryPoolType.WORKSPACE)
        if limit is not None:
            lib.tn_builder_config_set_memory_limit(config, limit)
        if self._cache is not None and not self.get_flag(BuilderFlag.DISABLE_TIMING_CACHE):
            lib.tn_builder_config_set_timing_cache(config, self._cache._handle)
        return config


class Builder:
    """Turns networks into plans. ``device``: "cpu" (the default), "cuda", "ref", or a ``tenon.runtime.Device``."""

    def __init__(self, logger: Any = None, device: Union[None, str, Device] = None) -> None:
        if logger is not None and not hasattr(logger, "log"):
            raise TypeError(f"a logger has a method log, {type(logger).__name__} has none")
        self._logger, self.device = logger, to_device(device)
        self._diag, options, out = Diag(), ffi.new("tn_builder_options *"), ffi.new("tn_builder **")
        lib.tn_builder_options_init(options)
        options.diag = self._diag.handle
        options.device = self.device.handle if self.device is not None else ffi.NULL
        check(lib.tn_builder_create(options, out), self._diag)
        self._handle = owned(out[0], lib.tn_builder_destroy, self.device, self._diag)
        self.max_threads = 1

    logger = property(lambda self: self._logger, doc="The logger given.")
    num_DLA_cores = 0

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory:
        """The plan. Raises with every mistake of network, profiles and configuration at once.

        A build uses the network up: its layers are the fused ones then. It can be built again.
        """
        if not isinstance(network, INetworkDefinition) or not isinstance(config, IBuilderConfig):
            raise TypeError("a build takes an INetworkDefinition and an IBuilderConfig")
        made = config._make(self._handle)
        out = ffi.new("tn_plan **")
        network_handle = network._handle
        network._was_built = True
        status = lib.tn_builder_build(self._handle, network_handle, made, out)
        entries = self._diag.take() + network._diag.take()
        tell(self._logger, entries)
        if status != 0:
            raise error_of(status, entries)
        plan = ffi.gc(out[0], lib.tn_plan_destroy)
        diag = Diag()
        return IHostMemory(bytes_of(lambda path: check(lib.tn_plan_save(plan, path, diag.handle), diag)))

    def build_engine_with_config(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
        from ._runtime import Runtime

        return Runtime(self._logger, self.device).deserialize_cuda_engine(self.build_serialized_network(network, config))

    def reset(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        reason = {
            "is_network_supported": "build it: a build says everything that is wrong", "platform_has_fast_fp16": "ask tenon doctor",
            "platform_has_fast_int8": "ask tenon doctor", "platform_has_tf32": "ask tenon doctor", "gpu_allocator":
            "the device's memory is its own", "max_batch_size": "dimensions have ranges in profiles", "build_engine":
            "build_engine_with_config has it", "build_cuda_engine": "build_engine_with_config has it", "error_recorder":
            "errors are exceptions; each has .entries", "get_plugin_registry": "plugins are C vtables here",
        }.get(name)
        if reason is None:
            raise AttributeError(f"Builder has no attribute '{name}'")
        raise errors.UnsupportedError(f"Builder.{name} is not in Tenon: {reason}")
