# SPDX-License-Identifier: Apache-2.0
"""``Network``, ``net_guard`` and the default network, under TensorRT-LLM's names.

    network = Builder().create_network()
    with net_guard(network):
        x = Tensor(name="x", dtype=trt.float32, shape=[-1, 4], dim_range=OrderedDict([("batch", [[1, 4, 8]]), ("hidden", [4])]))
        (x + x).mark_output("y")

The default network is one of the thread or task (a context variable); ``net_guard`` puts the old one back whatever happens.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import errors
from ._ffi import decode, error_of, ffi, lib
from .trt._layers import ITensor, address_of, to_name
from .trt._network import INetworkDefinition
from .trt._types import Dims

if TYPE_CHECKING:
    from .functional import Tensor
    from .graph_rewriting import FLayerInfo, FLayerInfoMemo, Layer

_default: "contextvars.ContextVar[Optional[Network]]" = contextvars.ContextVar("tenon_default_network", default=None)


def default_net() -> "Network":
    """InvalidArgumentError: outside of ``net_guard``."""
    network = _default.get()
    if network is None:
        raise errors.InvalidArgumentError("there is no default network: use `with net_guard(network):`")
    return network


def default_trtnet() -> INetworkDefinition:
    return default_net().trt_network


def set_network(network: Optional["Network"]) -> None:
    """Makes it the default; prefer ``net_guard``."""
    if network is not None and not isinstance(network, Network):
        raise TypeError(f"a default network is a Network, not {type(network).__name__}")
    _default.set(network)


@contextlib.contextmanager
def net_guard(network: "Network", before: Optional["Layer"] = None) -> Iterator["Network"]:
    """Functionals add to this network; with ``before`` (Tenon's own) they add in front of that layer."""
    if not isinstance(network, Network):
        raise TypeError(f"net_guard takes a Network, not {type(network).__name__}")
    token = _default.set(network)
    try:
        if before is None:
            yield network
        else:
            with network._standing_before(before):
                yield network
    finally:
        _default.reset(token)


class Profile(NamedTuple):
    """Ranges of one input in one optimization profile."""

    min: Tuple[int, ...]
    opt: Tuple[int, ...]
    max: Tuple[int, ...]
    dimension_names: Tuple[str, ...]


def _range_of(values: Any, name: str) -> Tuple[int, int, int]:
    if isinstance(values, int) and not isinstance(values, bool):
        return values, values, values
    values = tuple(values)
    if len(values) != 3 or not all(isinstance(value, int) for value in values):
        raise errors.InvalidArgumentError(f"the range of dimension '{name}' is an int or [min, opt, max], not {values!r}")
    if not 0 <= values[0] <= values[1] <= values[2]:
        raise errors.InvalidArgumentError(f"the range of dimension '{name}' is {list(values)}; min, opt and max must rise from 0 on")
    return values


def profiles_of(shape: Sequence[int], dim_range: Any) -> List[Profile]:
    """One profile for each entry that the dimensions' ranges have."""
    if not isinstance(dim_range, dict) or len(dim_range) != len(shape):
        count = len(dim_range) if isinstance(dim_range, dict) else type(dim_range).__name__
        raise errors.InvalidArgumentError(f"dim_range names each dimension in order: {len(shape)} of them, not {count}")
    counts = {len(ranges) for ranges in dim_range.values()}
    if len(counts) > 1:
        raise errors.InvalidArgumentError(f"each dimension has a range for each profile; dim_range has {sorted(counts)} of them")
    profiles = []
    for i in range(counts.pop() if counts else 0):
        ranges = [_range_of(values[i], name) for name, values in dim_range.items()]
        for axis, (size, (low, _, high)) in enumerate(zip(shape, ranges)):
            if size >= 0 and (low, high) != (size, size):
                raise errors.InvalidArgumentError(
                    f"dimension {axis} ('{list(dim_range)[axis]}') is fixed at {size}, its range is {list(ranges[axis])}")
        profiles.append(Profile(*(tuple(values[k] for values in ranges) for k in range(3)), tuple(str(name) for name in dim_range)))
    return profiles


# Functionals that patterns see as one layer, as TensorRT-LLM's plugins are: namespace and type
OPAQUE: Dict[str, Tuple[str, str]] = {
    "gpt_attention": ("tensorrt_llm", "GPTAttention"),
    "bert_attention": ("tensorrt_llm", "BertAttention"),
}


class Network:
    """A network definition with named inputs, profiles, weights by name and records of functional calls.

    ``trt_network`` is the definition; ``plugin_config`` its plugins' settings.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._trt_network: Optional[INetworkDefinition] = None
        self._inputs: "OrderedDict[str, Tensor]" = OrderedDict()
        self._named_parameters: Optional[Any] = None
        self._tensors: Dict[int, "Tensor"] = {}
        self._layers: Dict[int, "Layer"] = {}
        self._calls: Dict[int, "FLayerInfo"] = {}
        self._names: Dict[str, Any] = {}  # of layers that were asked for theirs: the library's layer
        self._run: Any = None  # of patterns
        self.strongly_typed = False

    def _init(self, trt_network: INetworkDefinition) -> "Network":
        from .plugin import PluginConfig

        if not isinstance(trt_network, INetworkDefinition):
            raise TypeError(f"a Network is made of an INetworkDefinition, not {type(trt_network).__name__}")
        self._trt_network = trt_network
        self.plugin_config = PluginConfig()
        return self

    @property
    def trt_network(self) -> INetworkDefinition:
        if self._trt_network is None:
            raise errors.InvalidArgumentError("the network is empty: make networks by Builder().create_network()")
        return self._trt_network

    @property
    def _raw(self) -> Any:
        """The library's network, with all layers in it."""
        return self.trt_network._handle

    def _check(self, status: int) -> None:
        trt_network = self.trt_network
        if status != 0:
            entries = trt_network._diag.take()
            lib.tn_network_forgive(trt_network._raw)
            raise error_of(status, entries)
        trt_network._done()

    # --- wrappers ---------------------------------------------------------------------------------------------------------------

    def _tensor(self, trt_tensor: Optional[ITensor]) -> Any:
        if trt_tensor is None:
            return None
        address = address_of(trt_tensor._handle)
        found = self._tensors.get(address)
        if found is None:
            from .functional import Tensor

            found = self._tensors[address] = Tensor(is_network_input=False)
            found._bind(self, trt_tensor)
        return found

    def _wrap(self, handle: Any) -> Any:
        return self._tensor(self.trt_network._tensor(handle))

    def _opaque_call(self, handle: Any) -> Any:
        """The outermost opaque call that the layer belongs to, or NULL."""
        found, call = ffi.NULL, lib.tn_layer_call(handle)
        while call != ffi.NULL:
            if decode(lib.tn_call_functional(call)) in OPAQUE:
                found = call
            call = lib.tn_call_outer(call)
        return found

    def _layer_of(self, handle: Any) -> Optional["Layer"]:
        """What a pattern sees of the library's layer: itself, or the opaque call that it is in."""
        if handle == ffi.NULL:
            return None
        call = self._opaque_call(handle)
        if call != ffi.NULL:
            maker = lib.tn_tensor_parent(lib.tn_call_output(call, 0))
            handle = maker if maker != ffi.NULL else handle
        address = address_of(handle)
        found = self._layers.get(address)
        if found is None:
            from .graph_rewriting import Layer

            found = self._layers[address] = Layer._of(self, handle, call)
        elif found._call != call and not lib.tn_layer_is_removed(handle):  # a call whose outputs were replaced is none any more
            found._call, found._trt_layer = call, None
        return found

    def _shown_layer(self, handle: Any) -> Optional["Layer"]:
        """As ``_layer_of``; None for what an opaque call hides."""
        layer = self._layer_of(handle)
        return layer if layer is not None and layer._handle == handle else None

    @contextlib.contextmanager
    def _standing_before(self, layer: "Layer") -> Iterator[None]:
        trt_network = self.trt_network
        first = layer._first_handle()
        guard = ffi.new("tn_network_guard *", lib.tn_network_guard_begin(self._raw, first))
        try:
            trt_network._done()
            yield
            trt_network._flush()
        finally:
            lib.tn_network_guard_end(guard)

    # --- inputs, outputs, weights -------------------------------------------------------------------------------------------------

    def _add_input(self, tensor: "Tensor", name: str, dtype: Any, shape: Any, dim_range: Any = None) -> None:
        shape = Dims(shape)
        profiles = profiles_of(shape, dim_range) if dim_range is not None else []
        trt_tensor = self.trt_network.add_input(name, dtype, shape)
        if dim_range is not None:
            for i, dim_name in enumerate(dim_range):
                if shape[i] < 0:
                    trt_tensor.set_dimension_name(i, str(dim_name))
        tensor._bind(self, trt_tensor)
        tensor.profiles = profiles
        self._tensors[address_of(trt_tensor._handle)] = tensor
        self._inputs[name] = tensor

    def _mark_output(self, tensor: "Tensor", name: Optional[str], dtype: Any = None) -> None:
        from .functional import cast

        if dtype is not None and tensor.dtype != dtype:
            with net_guard(self):
                tensor = cast(tensor, dtype)
        handle = tensor.trt_tensor._handle
        lib.tn_network_mark_output(self._raw, handle, ffi.NULL if name is None else to_name(name, "an output"))
        self.trt_network._done()

    def set_named_parameters(self, named_parameters: Iterable[Tuple[str, Any]]) -> None:
        """(name, ``Parameter``) pairs: the names by which weights are refitted."""
        self._named_parameters = list(named_parameters)

    @property
    def named_parameters(self) -> Optional[List[Tuple[str, Any]]]:
        return self._named_parameters

    # --- the graph ------------------------------------------------------------------------------------------------------------------

    def get_inputs(self) -> List["Tensor"]:
        raw = self._raw
        return [self._wrap(lib.tn_network_input(raw, i)) for i in range(lib.tn_network_num_inputs(raw))]

    def get_outputs(self) -> List["Tensor"]:
        raw = self._raw
        return [self._wrap(lib.tn_network_output(raw, i)) for i in range(lib.tn_network_num_outputs(raw))]

    def is_input(self, tensor: Union["Tensor", str]) -> bool:
        """A tensor, or a name."""
        return any(found is tensor or found.name == tensor for found in self.get_inputs()) if isinstance(tensor, str) else bool(
            lib.tn_tensor_is_input(tensor.trt_tensor._handle))

    def is_output(self, tensor: Union["Tensor", str]) -> bool:
        return any(found.name == tensor for found in self.get_outputs()) if isinstance(tensor, str) else bool(
            lib.tn_tensor_is_output(tensor.trt_tensor._handle))

    def get_layers(self) -> List["Layer"]:
        """In order; an opaque functional is one layer."""
        raw, layers = self._raw, []
        handle = lib.tn_network_next_layer(raw, ffi.NULL)
        while handle != ffi.NULL:
            layer = self._shown_layer(handle)
            if layer is not None:
                layers.append(layer)
            handle = lib.tn_network_next_layer(raw, handle)
        return layers

    def get_layer_by_name(self, name: str) -> Optional["Layer"]:
        """The first of that name, or None."""
        handle = self._names.get(name)
        if handle is None or lib.tn_layer_is_removed(handle) or decode(lib.tn_layer_name(handle)) != name:
            handle = lib.tn_network_find_layer(self._raw, to_name(name, "a layer"))
        return self._layer_of(handle)

    def get_tensor_users(self, tensor: "Tensor") -> List["Layer"]:
        return tensor.get_users()

    def get_tensor_parent(self, tensor: "Tensor") -> Optional["Layer"]:
        return tensor.get_parent()

    def mark_removed_layer(self, layer: "Layer") -> None:
        layer.mark_as_removed()

    def is_removed_layer(self, layer: "Layer") -> bool:
        return layer.is_removed()

    @property
    def removed_layers(self) -> List[str]:
        """Names of layers that were looked at and are removed now."""
        return [layer.name for layer in self._layers.values() if layer.is_removed()]

    def to_dot(self, path: Optional[str] = None) -> Optional[str]:
        """Graphviz text, or into a file."""
        text = self.trt_network.to_dot()
        if path is None:
            return text
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return None

    def to_onnx(self, path: Optional[str] = None) -> None:
        raise errors.UnsupportedError("Network.to_onnx is not in Tenon: take to_dot")

    @property
    def flayer_memo(self) -> "FLayerInfoMemo":
        from .graph_rewriting import FLayerInfoMemo

        return FLayerInfoMemo(self)

    dtype = property(lambda self: self.trt_network.get_input(0).dtype if self.trt_network.num_inputs else None, doc="Of the first input.")

    def __repr__(self) -> str:
        return f"Network('{self.trt_network.name}', {self.trt_network.num_layers} layers)" if self._trt_network is not None else "Network(empty)"
