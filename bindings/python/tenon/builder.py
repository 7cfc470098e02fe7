# SPDX-License-Identifier: Apache-2.0
"""``Builder`` and ``BuilderConfig`` under TensorRT-LLM's names.

    builder = Builder()
    network = builder.create_network()
    with net_guard(network):
        …
    config = builder.create_builder_config(precision="float32", timing_cache="model.cache")
    engine = builder.build_engine(network, config)         # bytes
    Builder.save_timing_cache(config, "model.cache")
    Builder.save_config(config, "config.json")
"""

from __future__ import annotations

import enum
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional, Union

from . import errors, trt
from .logger import logger
from .network import Network
from .runtime import Device


class BuilderConfig:
    """Made by ``Builder.create_builder_config``. Its arguments, and any others given there, are its attributes."""

    def __init__(self, **kwargs: Any) -> None:
        self._trt_builder_config: Optional[trt.IBuilderConfig] = None

    def _init(self, trt_builder_config: trt.IBuilderConfig, /, **kwargs: Any) -> "BuilderConfig":
        self._trt_builder_config = trt_builder_config
        for name, value in kwargs.items():
            if hasattr(type(self), name) or name.startswith("_"):
                raise errors.InvalidArgumentError(f"'{name}' cannot be attached to a builder configuration: it has one of its own")
            setattr(self, name, value)
        return self

    @property
    def trt_builder_config(self) -> trt.IBuilderConfig:
        if self._trt_builder_config is None:
            raise errors.InvalidArgumentError("make configurations by Builder.create_builder_config")
        return self._trt_builder_config

    def to_dict(self) -> Dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_trt_builder_config", "plugin_config")}


def _to_json(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)


class Builder:
    """Turns networks into plans. ``device``: "cpu" (the default), "cuda", "ref", or a ``tenon.runtime.Device``."""

    _ALLOWED_PRECISIONS = ["float32", "float16", "bfloat16"]

    def __init__(self, device: Union[None, str, Device] = None) -> None:
        self._trt_builder = trt.Builder(None, device)
        self.strongly_typed = False

    @property
    def trt_builder(self) -> trt.Builder:
        return self._trt_builder

    def create_network(self) -> Network:
        """An empty network, strongly typed if ``create_builder_config`` said so before."""
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
        if self.strongly_typed:
            flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = Network()._init(self._trt_builder.create_network(flags))
        network.strongly_typed = self.strongly_typed
        return network

    def create_builder_config(self, precision: str, timing_cache: Union[None, str, Path, trt.ITimingCache] = None, tensor_parallel: int = 1,
                              use_refit: bool = False, int8: bool = False, fp8: bool = False, strongly_typed: bool = False,
                              opt_level: Optional[int] = None, **kwargs: Any) -> BuilderConfig:
        """``precision``: float32, float16 or bfloat16; ``timing_cache``: one, or a file; other arguments become attributes.

        InvalidArgumentError: another precision, or ``use_refit`` with ``int8``. UnsupportedError: more than one rank.
        """
        if not strongly_typed and precision not in self._ALLOWED_PRECISIONS:
            raise errors.InvalidArgumentError(f"precision should be one of {self._ALLOWED_PRECISIONS}, not {precision!r}")
        if use_refit and int8:
            raise errors.InvalidArgumentError("can't use refit and int8 mode at the same time")
        if isinstance(tensor_parallel, bool) or not isinstance(tensor_parallel, int) or tensor_parallel < 1:
            raise errors.InvalidArgumentError(f"tensor_parallel is an int of at least 1, not {tensor_parallel!r}")
        if tensor_parallel > 1:
            raise errors.UnsupportedError(f"one rank runs in this version, tensor_parallel is {tensor_parallel}")
        self.strongly_typed = bool(strongly_typed)
        config, flags = self._trt_builder.create_builder_config(), trt.BuilderFlag
        if not strongly_typed and precision != "float32":
            config.set_flag(flags.FP16 if precision == "float16" else flags.BF16)
            config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
        if int8:
            config.set_flag(flags.INT8)
        if fp8:
            config.set_flag(flags.FP8)
            config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
        if use_refit:
            config.set_flag(flags.REFIT)
        if opt_level is not None:
            config.builder_optimization_level = opt_level
        config.set_timing_cache(self._timing_cache(config, timing_cache), ignore_mismatch=False)
        return BuilderConfig()._init(config, precision=precision, tensor_parallel=tensor_parallel, use_refit=use_refit, int8=int8, fp8=fp8,
                                     strongly_typed=strongly_typed, opt_level=opt_level, **kwargs)

    @staticmethod
    def _timing_cache(config: trt.IBuilderConfig, given: Any) -> trt.ITimingCache:
        if isinstance(given, trt.ITimingCache):
            return given
        if given is not None and not isinstance(given, (str, Path)):
            raise TypeError(f"a timing cache is an ITimingCache or a path, not {type(given).__name__}")
        if given is not None and os.path.exists(given):
            return config.create_timing_cache(Path(given).read_bytes())
        if given is not None:
            logger.warning(f"there is no timing cache {given}: a fresh one is used")
        return config.create_timing_cache(b"")

    def _validate_named_dimensions(self, network: Network) -> None:
        """Dimensions of one name have one range in each profile."""
        wrong = []
        inputs = {name: tensor for name, tensor in network._inputs.items() if tensor.profiles}
        for index in range(max((len(tensor.profiles) for tensor in inputs.values()), default=0)):
            ranges: Dict[str, Dict[str, Any]] = {}
            for name, tensor in inputs.items():
                profile = tensor.profiles[index]
                for dim_name, *limits in zip(profile.dimension_names, profile.min, profile.opt, profile.max):
                    ranges.setdefault(dim_name, {})[name] = tuple(limits)
            for dim_name, by_input in ranges.items():
                if len(set(by_input.values())) > 1:
                    tensors = ", ".join(f"{limits} in '{name}'" for name, limits in by_input.items())
                    wrong.append(f"found illegal dimension setting for profile {index}, dimension name is: {dim_name}; it is {tensors}")
        if wrong:
            raise errors.InvalidArgumentError("validation of the tensor dimension ranges failed: " + "\n".join(wrong))

    def _add_optimization_profile(self, network: Network, builder_config: BuilderConfig) -> None:
        with_ranges = {name: tensor for name, tensor in network._inputs.items() if tensor.profiles}
        counts = {len(tensor.profiles) for tensor in with_ranges.values()}
        if len(counts) > 1:
            said = ", ".join(f"'{name}' has {len(tensor.profiles)}" for name, tensor in with_ranges.items())
            raise errors.InvalidArgumentError(f"every input has ranges for every profile: {said}")
        for name, tensor in network._inputs.items():
            if tensor.is_dynamic() and not tensor.profiles:
                raise errors.InvalidArgumentError(f"input '{name}' {tuple(tensor.shape)} has dimensions that are known at run time and no dim_range")
        self._validate_named_dimensions(network)
        config = builder_config.trt_builder_config
        config._profiles.clear()  # of an earlier build
        for i in range(counts.pop() if counts else 0):
            profile = self._trt_builder.create_optimization_profile()
            for name, tensor in with_ranges.items():
                ranges = tensor.profiles[i]
                profile.set_shape(name, ranges.min, ranges.opt, ranges.max)
            config.add_optimization_profile(profile)

    def build_engine(self, network: Network, builder_config: BuilderConfig) -> trt.IHostMemory:
        """The plan's bytes. Raises with every mistake at once: InvalidArgumentError for dimensions of one name with different ranges …"""
        if not isinstance(network, Network) or not isinstance(builder_config, BuilderConfig):
            raise TypeError("build_engine takes a Network and a BuilderConfig")
        builder_config.plugin_config = network.plugin_config
        self._add_optimization_profile(network, builder_config)
        for name, parameter in network.named_parameters or ():
            if not network.trt_network.set_weights_name(parameter._get_weights(), name):
                raise errors.NotFoundError(f"failed to set weight: {name}; no layer of the network has it")
        return self._trt_builder.build_serialized_network(network.trt_network, builder_config.trt_builder_config)

    def refit_engine(self, network: Network, engine_buffer: Any) -> trt.IHostMemory:
        """The plan with the weights that the network's named parameters have now. NotFoundError: the plan has no weights of a name."""
        if not isinstance(network, Network):
            raise TypeError(f"refit_engine takes a Network, not {type(network).__name__}")
        if not network.named_parameters:
            raise errors.InvalidArgumentError("please set named parameters before refitting: network.set_named_parameters")
        engine = trt.Runtime(None, self._trt_builder.device).deserialize_cuda_engine(engine_buffer)
        refitter = trt.Refitter(engine)
        for name, parameter in network.named_parameters:
            refitter.set_named_weights(name, parameter._get_weights())
        refitter.refit_cuda_engine()
        return engine.serialize()

    @staticmethod
    def save_timing_cache(builder_config: BuilderConfig, out_path: Union[str, os.PathLike]) -> bool:
        """False: the configuration has none."""
        cache = builder_config.trt_builder_config.get_timing_cache()
        if cache is None:
            logger.warning("no timing cache found in the given builder config, skip saving")
            return False
        with open(out_path, "wb") as file:
            file.write(cache.serialize())
            file.flush()
            os.fsync(file.fileno())
        return True

    @staticmethod
    def save_config(builder_config: BuilderConfig, config_path: Union[str, os.PathLike]) -> None:
        """{"builder_config": attributes, "plugin_config": plugins' settings}"""
        plugin_config = getattr(builder_config, "plugin_config", None)
        config = {"builder_config": builder_config.to_dict(), "plugin_config": plugin_config.to_dict() if plugin_config is not None else {}}
        with open(config_path, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=4, default=_to_json)
