# SPDX-License-Identifier: Apache-2.0
"""Changing a network by patterns, under TensorRT-LLM's names, over ``include/tenon/rewrite.h``.

    class AddBecomesSub(PatternRewriter):
        def __init__(self):
            super().__init__("add_becomes_sub", root_layer={trt.LayerType.ELEMENTWISE}, separate_match_rewrite=True)

        def match(self, layer):
            return layer.as_layer().op == trt.ElementWiseOperation.SUM

        def rewrite(self, layer):
            with net_guard(layer.network):
                a, b = layer.get_inputs(0, 1)
                layer.get_outputs(0)[0].replace_all_uses_with(a - b)
                layer.mark_as_removed()

    manager = RewritePatternManager()
    manager.add("add_to_sub", AddBecomesSub())
    count = manager.rewrite(network)

A run
1. shows every layer to the patterns that want its type, larger benefit first, ties in the order of adding, until nothing changes;
2. shows a replaced layer to no further pattern;
3. puts new layers in front of the one that is rewritten;
4. that fails (an exception in a pattern, a wrong change, patterns that do not settle) leaves network and default network as they were.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from . import errors
from ._ffi import Diag, check, decode, encode, error_of, ffi, lib, owned
from .logger import logger
from .network import OPAQUE, Network, default_net, net_guard
from .trt._enums import LayerType
from .trt._layers import CLASSES, ILayer, IPluginV2Layer, address_of

if TYPE_CHECKING:
    from .functional import Tensor

# What an opaque call ends with, so that patterns for plugins are shown it
_PLUGIN_TYPES = (LayerType.PLUGIN, LayerType.PLUGIN_V2, LayerType.PLUGIN_V3)
_PLUGIN_KINDS = ("plugin", "identity")


class _Plugin:
    """What an opaque layer says of itself."""

    plugin_version = "1"

    def __init__(self, namespace: str, kind: str) -> None:
        self.plugin_namespace, self.plugin_type = namespace, kind


class Layer:
    """One layer of a network, or one call of an opaque functional (``gpt_attention``): then its type is PLUGIN_V2.

    What is not here is asked of the layer under TensorRT's names (``as_layer``).
    """

    def __init__(self, trt_layer: ILayer) -> None:
        if not isinstance(trt_layer, ILayer):
            raise TypeError(f"a Layer is made of an ILayer, not {type(trt_layer).__name__}")
        network = default_net()
        if network.trt_network is not trt_layer._network:
            raise errors.InvalidArgumentError(f"layer '{trt_layer.name}' is not of the default network")
        self._set(network, trt_layer._handle, ffi.NULL)

    @classmethod
    def _of(cls, network: Network, handle: Any, call: Any) -> "Layer":
        layer = cls.__new__(cls)
        layer._set(network, handle, call)
        return layer

    def _set(self, network: Network, handle: Any, call: Any) -> None:
        self._network, self._handle, self._call = network, handle, call
        self._trt_layer: Optional[ILayer] = None

    network = property(lambda self: self._network, doc="The network.")

    @property
    def trt_layer(self) -> ILayer:
        return self.as_layer()

    @property
    def name(self) -> str:
        name = decode(lib.tn_layer_name(self._handle))
        self._network._names[name] = self._handle  # a pattern may ask FLayerInfoMemo for it next
        return name

    @name.setter
    def name(self, name: str) -> None:
        self.as_layer().name = name

    @property
    def type(self) -> LayerType:
        """What the layer does, also where ``as_layer().type`` is an activation's function."""
        return LayerType.PLUGIN_V2 if self._call != ffi.NULL else self._network.trt_network._layer(self._handle).layer_type

    def as_layer(self) -> Any:
        """The layer as its TensorRT class: ``IElementWiseLayer`` with ``op`` …; an opaque call is an ``IPluginV2Layer``."""
        if self._trt_layer is None:
            trt_network = self._network.trt_network
            if self._call == ffi.NULL:
                self._trt_layer = trt_network._layer(self._handle)
            else:
                self._trt_layer = IPluginV2Layer(trt_network, self._handle)
                self._trt_layer.plugin = _Plugin(*OPAQUE[decode(lib.tn_call_functional(self._call))])
        return self._trt_layer

    def _select(self, tensors: List[Any], indices: Sequence[int], what: str) -> List[Any]:
        for index in indices:
            if isinstance(index, bool) or not isinstance(index, int):
                raise TypeError(f"an index of {what} is an int, not {type(index).__name__}")
            if not 0 <= index < len(tensors):
                raise errors.InvalidArgumentError(f"layer '{self.name}' has no {what[:-1]} {index}: it has {len(tensors)} {what}")
        return [tensors[index] for index in indices] if indices else tensors

    def get_inputs(self, *indices: int) -> List["Tensor"]:
        """Tensors, without absent ones. An opaque call's are its tensor arguments that it reads, in their order."""
        if self._call != ffi.NULL:
            tensors = self._arguments()
        else:
            handles = [lib.tn_layer_input(self._handle, i) for i in range(lib.tn_layer_num_inputs(self._handle))]
            tensors = [self._network._wrap(handle) for handle in handles if handle != ffi.NULL]
        return self._select(tensors, indices, "inputs")

    def _arguments(self) -> List["Tensor"]:
        found: List[Any] = []
        for i in range(lib.tn_call_num_arguments(self._call)):
            tensor = lib.tn_call_get_argument(self._call, i).tensor
            if tensor == ffi.NULL or any(self._network._wrap(tensor) is one for one in found):
                continue
            for k in range(lib.tn_tensor_num_users(tensor)):
                if self._network._layer_of(lib.tn_tensor_user(tensor, k)) is self:
                    found.append(self._network._wrap(tensor))
                    break
        return found

    def get_outputs(self, *indices: int) -> List["Tensor"]:
        if self._call != ffi.NULL:
            handles = [lib.tn_call_output(self._call, i) for i in range(lib.tn_call_num_outputs(self._call))]
        else:
            handles = [lib.tn_layer_output(self._handle, i) for i in range(lib.tn_layer_num_outputs(self._handle))]
        return self._select([self._network._wrap(handle) for handle in handles], indices, "outputs")

    num_inputs = property(lambda self: len(self.get_inputs()), doc="Inputs, without absent ones.")
    num_outputs = property(lambda self: len(self.get_outputs()), doc="Outputs.")

    def is_removed(self) -> bool:
        return bool(lib.tn_layer_is_removed(self._handle))

    def mark_as_removed(self) -> None:
        """Takes it out, with what only it needed. InvalidArgumentError: something reads it, or it is an output."""
        network = self._network
        network.trt_network._flush()
        network._check(lib.tn_layer_mark_as_removed(self._handle))

    def _first_handle(self) -> Any:
        """The first of the library's layers that it stands for."""
        if self._call == ffi.NULL:
            return self._handle
        raw = self._network._raw
        handle = lib.tn_network_next_layer(raw, ffi.NULL)
        while handle != ffi.NULL and self._network._layer_of(handle) is not self:
            handle = lib.tn_network_next_layer(raw, handle)
        return handle if handle != ffi.NULL else self._handle

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layer) and self._handle == other._handle

    def __hash__(self) -> int:
        return address_of(self._handle)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.as_layer(), name)

    def __repr__(self) -> str:
        return f"Layer('{decode(lib.tn_layer_name(self._handle))}', {self.type.name})"


# --- calls of functionals ------------------------------------------------------------------------------------------------------------


class _Place:
    """Where a tensor stands among a call's arguments."""

    def __init__(self, path: str) -> None:
        self.path = path


def _split(value: Any, path: str, tensors: Dict[str, Any]) -> Any:
    """The structure with places for its tensors, which go to ``tensors`` by path."""
    from .functional import Tensor

    if isinstance(value, Tensor):
        tensors[path] = value
        return _Place(path)
    if isinstance(value, dict):
        return {key: _split(item, f"{path}.{key}", tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_split(item, f"{path}.{i}", tensors) for i, item in enumerate(value))
    return value


def _join(template: Any, tensor_at: Callable[[str], Any]) -> Any:
    if isinstance(template, _Place):
        return tensor_at(template.path)
    if isinstance(template, dict):
        return {key: _join(item, tensor_at) for key, item in template.items()}
    if isinstance(template, (list, tuple)) and not hasattr(template, "_fields"):
        return type(template)(_join(item, tensor_at) for item in template)
    return template


class FLayerInfo:
    """One call of a functional: its inputs by name and its outputs. Tensors follow ``replace_all_uses_with``."""

    def __init__(self, layer_kind: str, raw_inputs: Dict[str, Any], _network: Optional[Network] = None) -> None:
        if not isinstance(layer_kind, str) or not isinstance(raw_inputs, dict):
            raise TypeError("an FLayerInfo has the name of a functional and a dict of its inputs")
        self.layer_kind = layer_kind
        self._network = _network if _network is not None else default_net()
        self._given: Dict[str, Any] = {}
        self._template = {name: _split(value, name, self._given) for name, value in raw_inputs.items()}
        self._outputs: Any = None
        self._call = ffi.NULL
        self._previous: Any = None

    # The record in the library

    def _begin(self) -> None:
        network, keep = self._network, []
        numbers = {name: value for name, value in self._template.items() if isinstance(value, (int, float, str)) and name not in self._given}
        arguments = ffi.new("tn_call_argument[]", max(len(self._given) + len(numbers), 1))
        for argument, (path, value) in zip(arguments, [*self._given.items(), *numbers.items()]):
            keep.append(ffi.new("char[]", encode(path)))
            argument.name = keep[-1]
            if path in self._given:
                argument.tensor = value.trt_tensor._handle
            elif isinstance(value, str):
                keep.append(ffi.new("char[]", encode(value)))
                argument.text = keep[-1]
            else:
                argument.number = float(value)
        network.trt_network._flush()
        call = lib.tn_call_begin(network.trt_network._raw, encode(self.layer_kind), arguments, len(self._given) + len(numbers))
        network.trt_network._done()
        self._call = call
        network._calls[address_of(call)] = self

    def _end(self, outputs: Any) -> None:
        tensors: Dict[str, Any] = {}
        self._outputs = _split(outputs, "", tensors)
        self._network.trt_network._flush()
        handles = [tensor.trt_tensor._handle for tensor in tensors.values()]
        self._output_paths = list(tensors)
        lib.tn_call_end(self._call, ffi.new("tn_tensor *[]", handles or 1), len(handles))
        self._network.trt_network._done()

    def _abort(self) -> None:
        """After an exception: the record goes, and the one around it is open again."""
        trt_network = self._network.trt_network
        if self._call == ffi.NULL:
            return
        self._network._calls.pop(address_of(self._call), None)
        had_failed = lib.tn_network_has_failed(trt_network._raw)
        lib.tn_call_end(self._call, ffi.NULL, 0)
        trt_network._pending.clear()
        if not had_failed:
            trt_network._diag.clear()
            lib.tn_network_forgive(trt_network._raw)

    def _tensor_at(self, path: str) -> Any:
        argument = lib.tn_call_find_argument(self._call, encode(path)) if self._call != ffi.NULL else ffi.NULL
        return self._given[path] if argument == ffi.NULL else self._network._wrap(argument.tensor)

    # What patterns ask

    @property
    def raw_inputs(self) -> Dict[str, Any]:
        """All inputs by name, as they are now."""
        return {name: _join(template, self._tensor_at) for name, template in self._template.items()}

    @property
    def raw_outputs(self) -> Any:
        """As the functional returned them."""
        def output_at(path: str) -> Any:
            index = self._output_paths.index(path)
            return self._network._wrap(lib.tn_call_output(self._call, index))

        return _join(self._outputs, output_at)

    @property
    def layer_name(self) -> str:
        layer = lib.tn_tensor_parent(lib.tn_call_output(self._call, 0))
        return decode(lib.tn_layer_name(layer))

    @property
    def signature(self) -> Tuple[str, Dict[str, Any]]:
        """The functional and its inputs, with "T" for tensors."""
        return self.layer_kind, {name: _join(template, lambda path: "T") for name, template in self._template.items()}

    def get_input(self, name: str) -> Any:
        """NotFoundError: the functional has no input of that name."""
        if name not in self._template:
            raise errors.NotFoundError(f"the call of '{self.layer_kind}' has no input '{name}'; it has {', '.join(self._template)}")
        return _join(self._template[name], self._tensor_at)

    def clone_inputs(self) -> Dict[str, Any]:
        """To change and to call again with: ``gpt_attention(**info.clone_inputs())``."""
        return self.raw_inputs

    def set_outputs(self, outputs: Any) -> None:
        self._end(outputs)

    def replace_input_with(self, src: "Tensor", dst: "Tensor") -> None:
        """In the record, also in lists and dicts; layers do not change. NotFoundError: ``src`` is no input."""
        from .functional import Tensor

        if not isinstance(src, Tensor) or not isinstance(dst, Tensor):
            raise TypeError("replace_input_with takes two Tensors")
        self._network._check(lib.tn_call_replace_input_with(self._call, src.trt_tensor._handle, dst.trt_tensor._handle))

    def replace_outputs_uses_with(self, net: Network, new_outs: Any) -> None:
        """Users of the outputs read the new ones, which take names and places as network outputs.

        As many tensors as the functional returned, in a structure like it. A new output of another type is cast; one of another shape
        with as many elements is reshaped to the old one's (TensorRT derives the shapes behind it again instead).
        """
        if not isinstance(net, Network) or net is not self._network:
            raise errors.InvalidArgumentError("replace_outputs_uses_with takes the network of the call")
        tensors: Dict[str, Any] = {}
        _split(new_outs, "", tensors)
        old = self.raw_outputs
        if type(new_outs) is not type(old):
            raise errors.InvalidArgumentError(
                f"the call of '{self.layer_kind}' gives a {type(old).__name__}, the new outputs are a {type(new_outs).__name__}")
        old_tensors: Dict[str, Any] = {}
        _split(old, "", old_tensors)
        if list(tensors) != list(old_tensors):
            raise errors.InvalidArgumentError(
                f"the call of '{self.layer_kind}' has {len(old_tensors)} outputs, the new ones are {len(tensors)} tensors")
        fitted = [_reshaped_like(net, new, old_tensors[path]) for path, new in tensors.items()]
        net.trt_network._flush()
        handles = ffi.new("tn_tensor *[]", [tensor.trt_tensor._handle for tensor in fitted])
        net._check(lib.tn_call_replace_outputs_uses_with(self._call, handles, len(fitted)))

    replace_output_uses_with = replace_outputs_uses_with

    def __repr__(self) -> str:
        return f"FLayerInfo({self.layer_kind}, {list(self._template)})"


def _reshaped_like(net: Network, new: "Tensor", old: "Tensor") -> "Tensor":
    from .functional import view
    from .trt._types import volume

    a, b = new.shape, old.shape
    if a == b or volume(a) != volume(b) or volume(a) < 0:
        return new
    parent = new.get_parent()
    with net_guard(net):
        if net._run is not None or parent is None:
            return view(new, tuple(b))
        following = lib.tn_network_next_layer(net._raw, parent._handle)
        if following == ffi.NULL:
            return view(new, tuple(b))
        with net._standing_before(Layer._of(net, following, ffi.NULL)):
            return view(new, tuple(b))


class FLayerInfoMemo:
    """The calls of a network by the names of their layers. ``FLayerInfoMemo.instance()``: of the default network."""

    def __init__(self, network: Optional[Network] = None) -> None:
        self._network = network if network is not None else default_net()

    @classmethod
    def instance(cls) -> "FLayerInfoMemo":
        return default_net().flayer_memo

    def get(self, layer_name: str) -> Optional[FLayerInfo]:
        """The innermost call that the layer belongs to; an opaque layer's call; None: no such layer, or no call."""
        layer = self._network.get_layer_by_name(layer_name)
        if layer is None:
            return None
        call = layer._call if layer._call != ffi.NULL and not layer.is_removed() else lib.tn_layer_call(layer._handle)
        return self._network._calls.get(address_of(call)) if call != ffi.NULL else None

    def __contains__(self, layer_name: str) -> bool:
        return self.get(layer_name) is not None


def record_signature(functional: Callable[..., Any]) -> Callable[..., Any]:
    """Records calls of a functional (a function of tensors that adds layers to the default network) as ``FLayerInfo``."""
    if not callable(functional):
        raise TypeError(f"record_signature decorates a function, not {type(functional).__name__}")
    signature = inspect.signature(functional)
    rest = [name for name, parameter in signature.parameters.items() if parameter.kind is inspect.Parameter.VAR_KEYWORD]

    @functools.wraps(functional)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        inputs = dict(bound.arguments)
        for name in rest:
            inputs.update(inputs.pop(name))
        info = FLayerInfo(functional.__name__, inputs, default_net())
        info._begin()
        try:
            outputs = functional(*args, **kwargs)
            info._end(outputs)
        except BaseException:
            info._abort()
            raise
        return outputs

    return recorded


# --- patterns ----------------------------------------------------------------------------------------------------------------------------


def _standing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Called without a manager, a pattern's method adds layers in front of the one that it is given."""

    @functools.wraps(method)
    def inner(self: Any, layer: Any, *args: Any) -> Any:
        if not isinstance(layer, Layer) or layer.network._run is not None or layer.is_removed():
            return method(self, layer, *args)
        with net_guard(layer.network, before=layer):
            return method(self, layer, *args)

    inner._is_standing = True  # type: ignore[attr-defined]
    return inner


class _Pattern:
    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"a pattern's name is a str that is not empty, not {name!r}")
        self.name = name
        self.args: Dict[str, Any] = {}

    def log_info(self, message: str) -> None:
        logger.info(f"pattern {self.name}: {message}")

    def log_warn(self, message: str) -> None:
        logger.warning(f"pattern {self.name}: {message}")

    def log_error(self, message: str) -> None:
        logger.error(f"pattern {self.name}: {message}")


def _check_root(root_layer: Any) -> Optional[Set[LayerType]]:
    if root_layer is None:
        return None
    if not isinstance(root_layer, (set, frozenset, list, tuple)) or not root_layer:
        raise TypeError(f"root_layer is a set of LayerType, or None for all layers, not {root_layer!r}")
    for layer_type in root_layer:
        if not isinstance(layer_type, LayerType):
            raise TypeError(f"root_layer holds LayerType, not {layer_type!r}")
    return set(root_layer)


class PatternRewriter(_Pattern):
    """Override ``match`` and ``rewrite`` (``separate_match_rewrite=True``), or ``match_and_rewrite``, which tells whether it changed
    the network. ``self.args``: what the run was given."""

    def __init__(self, name: str, root_layer: Optional[Set[LayerType]] = None, separate_match_rewrite: bool = False,
                 seperate_match_rewrite: Optional[bool] = None) -> None:
        super().__init__(name)
        self.root_layer = _check_root(root_layer)
        self._separate_match_rewrite = bool(separate_match_rewrite if seperate_match_rewrite is None else seperate_match_rewrite)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("rewrite", "match_and_rewrite"):
            method = cls.__dict__.get(name)
            if method is not None and not getattr(method, "_is_standing", False):
                setattr(cls, name, _standing(method))

    def match(self, layer: Layer) -> bool:
        raise NotImplementedError(f"pattern '{self.name}' has no match")

    def rewrite(self, layer: Layer) -> None:
        raise NotImplementedError(f"pattern '{self.name}' has no rewrite")

    def match_and_rewrite(self, layer: Layer) -> bool:
        raise NotImplementedError(f"pattern '{self.name}' has no match_and_rewrite")


class PatternAnalyzer(_Pattern):
    """Override ``match`` and ``analyze``, which is given a list of layers: what ``match`` answered if that is one, else the layer."""

    def __init__(self, name: str, root_layer: Optional[Set[LayerType]] = None) -> None:
        super().__init__(name)
        self.root_layer = _check_root(root_layer)

    def match(self, layer: Layer) -> Any:
        raise NotImplementedError(f"pattern '{self.name}' has no match")

    def analyze(self, subgraph: List[Layer]) -> None:
        raise NotImplementedError(f"pattern '{self.name}' has no analyze")


class _Entry:
    """A pattern in a run; what the library's pattern carries as user."""

    def __init__(self, run: "_Run", pattern: Any) -> None:
        self.run, self.pattern = run, pattern
        self.handle = ffi.new_handle(self)
        self.subgraph: Any = None


class _Run:
    def __init__(self, network: Network, args: Any) -> None:
        self.network, self.args = network, args
        self.error: Optional[BaseException] = None

    def call(self, rewriter: Any, handle: Any, what: Callable[[Any, Layer, _Entry], bool]) -> bool:
        """Shows the layer to the pattern; an exception ends the run."""
        if self.error is not None:
            return False
        entry: _Entry = ffi.from_handle(lib.tn_rewriter_user(rewriter))
        try:
            layer = self.network._shown_layer(handle)
            roots = entry.pattern.root_layer
            if layer is None or (roots is not None and layer.type not in roots):
                return False
            entry.pattern.args = self.args if self.args is not None else {}
            answer = what(entry.pattern, layer, entry)
            self.network.trt_network._flush()
            return bool(answer)
        except BaseException as error:
            self.error = error
            self.network.trt_network._pending.clear()
            text = ffi.new("char[]", f"{type(error).__name__}: {error}".encode()[:400])
            return bool(lib.tn_rewriter_fail(rewriter, lib.TN_INVALID_ARGUMENT, b"%s", text))


def _match(pattern: Any, layer: Layer, entry: _Entry) -> bool:
    return bool(pattern.match(layer))


def _rewrite(pattern: Any, layer: Layer, entry: _Entry) -> bool:
    pattern.rewrite(layer)
    return True


def _match_and_rewrite(pattern: Any, layer: Layer, entry: _Entry) -> bool:
    answer = pattern.match_and_rewrite(layer)
    if not isinstance(answer, bool):
        raise TypeError(f"match_and_rewrite of pattern '{pattern.name}' tells by a bool whether it changed the network, not {answer!r}")
    return answer


def _match_subgraph(pattern: Any, layer: Layer, entry: _Entry) -> bool:
    answer = pattern.match(layer)
    entry.subgraph = list(answer) if isinstance(answer, (list, tuple)) else [layer]
    return bool(answer)


def _callback(what: Callable[[Any, Layer, _Entry], bool]) -> Any:
    def call(rewriter: Any, handle: Any) -> bool:
        return ffi.from_handle(lib.tn_rewriter_user(rewriter)).run.call(rewriter, handle, what)

    return ffi.callback("bool(tn_rewriter *, tn_layer *)", call, error=False)


_MATCH, _REWRITE, _MATCH_AND_REWRITE, _MATCH_SUBGRAPH = (
    _callback(_match), _callback(_rewrite), _callback(_match_and_rewrite), _callback(_match_subgraph))


@ffi.callback("void(tn_rewriter *, tn_layer *)")
def _ANALYZE(rewriter: Any, handle: Any) -> None:
    def analyze(pattern: Any, layer: Layer, entry: _Entry) -> bool:
        pattern.analyze(entry.subgraph)
        return True

    ffi.from_handle(lib.tn_rewriter_user(rewriter)).run.call(rewriter, handle, analyze)


def _kinds_of(roots: Optional[Set[LayerType]]) -> List[bytes]:
    """The library's kinds whose layers can be of these types; none: all."""
    kinds = {kind for kind, layer_class in CLASSES.items() if roots and layer_class._type in roots}
    if roots and any(layer_type in _PLUGIN_TYPES for layer_type in roots):
        kinds.update(_PLUGIN_KINDS)
    if roots and not kinds:
        return [b"identity"]  # a type that no kind has: whatever is shown is then of another type
    return [encode(kind) for kind in sorted(kinds)]


class _PatternManager:
    """Patterns by label."""

    _pattern_class: Any = _Pattern

    def __init__(self) -> None:
        self.patterns: "OrderedDict[str, Tuple[int, Any]]" = OrderedDict()

    @classmethod
    def instance(cls) -> Any:
        """One for the process."""
        if "_instance" not in cls.__dict__:
            cls._instance = cls()
        return cls._instance

    def add(self, label: str, pattern: Any, benefit: int = 0) -> None:
        """Larger benefit first. InvalidArgumentError: the label is taken."""
        if not isinstance(label, str):
            raise TypeError(f"a label is a str, not {type(label).__name__}")
        if not isinstance(pattern, self._pattern_class):
            raise TypeError(f"{type(self).__name__} takes a {self._pattern_class.__name__}, not {type(pattern).__name__}")
        if isinstance(benefit, bool) or not isinstance(benefit, int) or not -(1 << 31) <= benefit < 1 << 31:
            raise TypeError(f"a benefit is an int of 32 bits, not {benefit!r}")
        if label in self.patterns:
            raise errors.InvalidArgumentError(f"there is a pattern with the label '{label}' already")
        self.patterns[label] = (benefit, pattern)

    def get(self, label: str) -> Any:
        """NotFoundError: no such label."""
        if label not in self.patterns:
            raise errors.NotFoundError(f"there is no pattern with the label '{label}'")
        return self.patterns[label][1]

    def _go(self, net: Network, args: Any, function: Any) -> int:
        if not isinstance(net, Network):
            raise TypeError(f"patterns run on a Network, not {type(net).__name__}")
        if net._run is not None and isinstance(self, RewritePatternManager):
            raise errors.UnavailableError("cannot rewrite the network: a run of its patterns is under way")
        raw, diag, run = net._raw, Diag(), _Run(net, args)
        inputs, outer = net._inputs.copy(), net._run
        options, out, count = ffi.new("tn_pattern_manager_options *"), ffi.new("tn_pattern_manager **"), ffi.new("size_t *")
        lib.tn_pattern_manager_options_init(options)
        options.diag = diag.handle
        check(lib.tn_pattern_manager_create(options, out), diag)
        manager = owned(out[0], lib.tn_pattern_manager_destroy, diag)
        entries = [self._add(manager, diag, run, label, benefit, pattern) for label, (benefit, pattern) in self.patterns.items()]
        net._run = run
        try:
            with net_guard(net):
                status = function(manager, raw, ffi.NULL, count)
        finally:
            net._run = outer
        del entries
        if status == 0:
            return int(count[0])
        net._inputs = inputs
        said = net.trt_network._diag.take()
        lib.tn_network_forgive(net.trt_network._raw)
        if run.error is not None:
            raise run.error
        raise error_of(status, said)

    def _add(self, manager: Any, diag: Diag, run: _Run, label: str, benefit: int, pattern: Any) -> _Entry:
        entry = _Entry(run, pattern)
        kinds = [ffi.new("char[]", kind) for kind in _kinds_of(pattern.root_layer)]
        array = ffi.new("char *[]", kinds) if kinds else ffi.NULL
        name = ffi.new("char[]", encode(pattern.name))
        made = self._make(pattern)
        made.name, made.benefit, made.user = name, benefit, entry.handle
        made.root_kinds, made.num_root_kinds = ffi.cast("const char *const *", array), len(kinds)
        check(self._register(manager, encode(label), made), diag)
        return entry

    def _make(self, pattern: Any) -> Any:
        raise NotImplementedError

    def _register(self, manager: Any, label: bytes, made: Any) -> int:
        raise NotImplementedError


class RewritePatternManager(_PatternManager):
    """Changes networks."""

    _pattern_class = PatternRewriter

    def rewrite(self, net: Network, args: Optional[Dict[str, Any]] = None) -> int:
        """To a fixpoint; the number of rewrites. What a pattern raises comes out here, and the network is as it was."""
        return self._go(net, args, lambda *call: lib.tn_pattern_manager_rewrite(*call))

    def _make(self, pattern: PatternRewriter) -> Any:
        made = ffi.new("tn_pattern_rewriter *")
        lib.tn_pattern_rewriter_init(made)
        if pattern._separate_match_rewrite:
            made.match, made.rewrite = _MATCH, _REWRITE
        else:
            made.match_and_rewrite = _MATCH_AND_REWRITE
        return made

    def _register(self, manager: Any, label: bytes, made: Any) -> int:
        return lib.tn_pattern_manager_add_rewriter(manager, label, made)


class AnalysisPatternManager(_PatternManager):
    """Looks at networks: every layer once, for each pattern that wants it."""

    _pattern_class = PatternAnalyzer

    def analyze(self, net: Network, args: Optional[Dict[str, Any]] = None) -> int:
        """The number of matches."""
        return self._go(net, args, lambda *call: lib.tn_pattern_manager_analyze(*call))

    def _make(self, pattern: PatternAnalyzer) -> Any:
        made = ffi.new("tn_pattern_analyzer *")
        lib.tn_pattern_analyzer_init(made)
        made.match, made.analyze = _MATCH_SUBGRAPH, _ANALYZE
        return made

    def _register(self, manager: Any, label: bytes, made: Any) -> int:
        return lib.tn_pattern_manager_add_analyzer(manager, label, made)


# --- the pattern that comes with it --------------------------------------------------------------------------------------------------------


class FuseAttentionWithBiasPass(PatternRewriter):
    """A constant that is added to an attention's ``qkv`` becomes its ``qkv_bias``."""

    def __init__(self) -> None:
        super().__init__("fuse_attention_with_bias", separate_match_rewrite=False)

    @staticmethod
    def _is_constant(tensor: "Tensor", depth: int = 10) -> bool:
        """Constants, and what is made of them alone."""
        parent = tensor.get_parent()
        if parent is None or depth == 0:
            return False
        return parent.type == LayerType.CONSTANT or (
            parent.num_inputs > 0 and all(FuseAttentionWithBiasPass._is_constant(one, depth - 1) for one in parent.get_inputs()))

    def match_and_rewrite(self, layer: Layer) -> bool:
        from .functional import gpt_attention

        plugin = getattr(layer.as_layer(), "plugin", None) if layer.type == LayerType.PLUGIN_V2 else None
        if plugin is None or (plugin.plugin_namespace, plugin.plugin_type) != OPAQUE["gpt_attention"]:
            return False
        flayer = FLayerInfoMemo(layer.network).get(layer.name)
        if flayer is None or isinstance(flayer.get_input("qkv"), (list, tuple)) or flayer.raw_inputs.get("qkv_bias") is not None:
            return False
        qkv = flayer.get_input("qkv")
        parent = qkv.get_parent()
        if parent is None or len(qkv.get_users()) != 1 or parent.type != LayerType.ELEMENTWISE or parent.as_layer().op.name != "SUM":
            return False
        a, b = parent.get_inputs(0, 1)
        if self._is_constant(a) == self._is_constant(b):
            return False
        bias, x = (a, b) if self._is_constant(a) else (b, a)
        if any(size != 1 for size in bias.shape[:-1]):
            return False
        with net_guard(layer.network):
            inputs = flayer.clone_inputs()
            inputs["qkv"], inputs["qkv_bias"] = x, bias
            flayer.replace_outputs_uses_with(layer.network, gpt_attention(**inputs))
        return True


def optimize(network: Network) -> int:
    """The patterns that come with Tenon; the number of rewrites."""
    manager = RewritePatternManager()
    manager.add("fuse_attention_with_bias", FuseAttentionWithBiasPass())
    return manager.rewrite(network)
