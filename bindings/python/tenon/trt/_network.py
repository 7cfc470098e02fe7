# SPDX-License-Identifier: Apache-2.0
"""The network definition under TensorRT's names."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .. import errors
from .._ffi import Diag, decode, encode, error_of, ffi, lib, owned
from . import _enums as enums
from ._enums import DataType
from . import _layers as layers
from ._layers import ILayer, ITensor, address_of, axis_of_mask, to_name, to_parameters, to_raw
from ._types import Dims, Weights, dtype_number, nptype, to_dims, to_dtype, to_weights, volume


class INetworkDefinition:
    """A graph of layers: ``add_…`` methods, inputs and outputs.

    Every mistake raises at once, with names and values of both sides, and leaves the network as it was. A layer that could still be
    completed by its properties (a convolution, a slice, a resize …) raises when it is first needed: its output, the next layer, a
    question to the network.
    """

    def __init__(self, flags: int = 0, name: str = "forward") -> None:
        known = 0
        for flag in enums.NetworkDefinitionCreationFlag:
            known |= 1 << int(flag)
        if not isinstance(flags, int) or flags & ~known:
            raise errors.InvalidArgumentError(f"there is no network creation flag in {flags!r}")
        self._diag = Diag()
        options = ffi.new("tn_network_options *")
        lib.tn_network_options_init(options)
        options.diag = self._diag.handle
        if flags & 1 << int(enums.NetworkDefinitionCreationFlag.STRONGLY_TYPED):
            options.flags = lib.TN_NETWORK_STRONGLY_TYPED
        encoded = ffi.new("char[]", to_name(name, "a network"))
        options.name = encoded
        out = ffi.new("tn_network **")
        status = lib.tn_network_create(options, out)
        if status != 0:
            raise error_of(status, self._diag.take())
        self._raw = owned(out[0], lib.tn_network_destroy, self._diag)
        self._flags = flags
        self._tensors: Dict[int, ITensor] = {}
        self._layers: Dict[int, ILayer] = {}
        self._pending: List[ILayer] = []  # layers that wait for their properties
        self._values: Dict[int, Weights] = {}  # of constants, by their tensors: borrowed by the library until the build
        self._constructs: List[Any] = []  # loops and conditionals that are open
        self._was_built = False

    # --- how calls end, and what is handed over ---------------------------------------------------------------------------------

    @property
    def _handle(self) -> Any:
        self._flush()
        return self._raw

    def _flush(self) -> None:
        """What waits for its properties enters the network."""
        while self._pending:
            self._pending[0]._settle()

    def _failure(self) -> BaseException:
        entries = self._diag.take()
        lib.tn_network_forgive(self._raw)
        found = [entry for entry in entries if entry.severity == lib.TN_SEVERITY_ERROR]
        return error_of(found[-1].status if found else lib.TN_INVALID_ARGUMENT, entries, "a call before has failed in this run of patterns")

    def _done(self) -> None:
        if lib.tn_network_has_failed(self._raw):
            raise self._failure()

    def _tensor(self, handle: Any) -> Any:
        if handle == ffi.NULL:
            return None
        address = address_of(handle)
        found = self._tensors.get(address)
        if found is None:
            found = self._tensors[address] = ITensor(self, handle)
        return found

    def _layer(self, handle: Any, layer_class: Optional[Any] = None) -> Any:
        if handle == ffi.NULL:
            if not lib.tn_network_has_failed(self._raw):
                return None
            raise self._failure()
        address = address_of(handle)
        found = self._layers.get(address)
        if found is None or (layer_class is not None and type(found) is not layer_class):
            layer_class = layer_class or layers.CLASSES.get(decode(lib.tn_layer_kind(handle)), ILayer)
            found = self._layers[address] = layer_class(self, handle)
        return found

    def _argument(self, tensor: Any, what: str) -> Any:
        if not isinstance(tensor, ITensor):
            raise TypeError(f"{what} is an ITensor, not {type(tensor).__name__}")
        return tensor._handle

    def _optional(self, tensor: Any, what: str) -> Any:
        return ffi.NULL if tensor is None else self._argument(tensor, what)

    def _raw_add(self, kind: str, inputs: Sequence[Optional[ITensor]], params: Dict[str, Any]) -> Any:
        handles = [self._optional(tensor, f"input {i} of {kind}") for i, tensor in enumerate(inputs)]
        array, keep = to_parameters({name: to_raw(value) for name, value in params.items()})
        made = lib.tn_network_add_layer_by_name(
            self._raw, encode(kind), ffi.new("tn_tensor *[]", handles or 1), len(handles), array, len(params))
        del keep
        if made == ffi.NULL:
            raise self._failure()
        return made

    def _add(self, kind: str, inputs: Sequence[Optional[ITensor]], layer_class: Optional[Any] = None, **params: Any) -> Any:
        """A layer of the operation table by name."""
        return self._layer(self._raw_add(kind, inputs, params), layer_class)

    def _defer(self, layer_class: Any, inputs: Sequence[Optional[ITensor]], params: Dict[str, Any], make: Callable[[Any], Any]) -> Any:
        """A layer that enters when it is needed; ``make`` gives the library's layer."""
        for i, tensor in enumerate(inputs):
            self._optional(tensor, f"input {i} of {layer_class.__name__}")
        layer = layer_class(self)
        layer._inputs = list(inputs)
        layer._params = {name: to_raw(value) for name, value in params.items()}
        layer._make = lambda: make(layer)
        self._pending.append(layer)
        return layer

    def _defer_kind(self, kind: str, inputs: Sequence[Optional[ITensor]], **params: Any) -> Any:
        return self._defer(layers.CLASSES[kind], inputs, params, lambda layer: self._raw_add(kind, layer._inputs, layer._params))

    def _enum(self, enum_class: Any, value: Any, what: str) -> Any:
        if not isinstance(value, enum_class):
            raise TypeError(f"{what} is a {enum_class.__name__}, not {value!r}")
        return value

    def _number(self, value: Any, prefix: str, enum_class: Any, what: str) -> int:
        return getattr(lib, f"TN_{prefix}_{self._enum(enum_class, value, what).name}")

    # --- values -----------------------------------------------------------------------------------------------------------------

    def _raw_constant(self, dims: Any, weights: Weights, name: Optional[str] = None) -> Any:
        dims = Dims(dims)
        data = ffi.new("tn_weights_data *")
        keep = ffi.new("char[]", encode(name)) if name else ffi.NULL
        data.dtype, data.data, data.count, data.name = dtype_number(weights.dtype), ffi.cast("void *", weights._address), weights.size, keep
        made = lib.tn_network_add_constant(self._raw, to_dims(dims), data)
        if made == ffi.NULL:
            raise self._failure()
        self._values[address_of(lib.tn_layer_output(made, 0))] = weights
        return made

    def _constant(self, values: Any, dims: Optional[Any] = None, dtype: Optional[Any] = None) -> ITensor:
        """A constant of a layer's own."""
        weights = values if isinstance(values, Weights) else Weights(np.asarray(values, dtype))
        if dims is None:
            assert weights._array is not None
            dims = weights._array.shape
        return self._tensor(lib.tn_layer_output(self._raw_constant(dims, weights), 0))

    def _weights_of(self, tensor: Optional[ITensor]) -> Weights:
        return Weights() if tensor is None else self._values.get(address_of(tensor._handle), Weights())

    def _known(self, tensor: Any, what: str) -> np.ndarray:
        """The values of a constant."""
        self._argument(tensor, what)
        weights = self._values.get(address_of(tensor._handle))
        if weights is None:
            raise errors.InvalidArgumentError(f"{what} must be a constant; '{tensor.name}' is not")
        return weights.numpy().reshape(tuple(tensor.shape))

    # --- inputs, outputs, questions -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return decode(lib.tn_network_name(self._raw))

    @name.setter
    def name(self, name: str) -> None:
        encoded = to_name(name, "a network")
        lib.tn_network_set_name(self._handle, encoded)
        self._done()

    num_inputs = property(lambda self: lib.tn_network_num_inputs(self._raw), doc="Inputs.")
    num_outputs = property(lambda self: lib.tn_network_num_outputs(self._handle), doc="Outputs.")
    num_layers = property(lambda self: len(self._live()), doc="Layers; some of TensorRT's are several here.")
    has_implicit_batch_dimension = False
    flags = property(lambda self: self._flags, doc="Creation flags.")

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> int(self._enum(enums.NetworkDefinitionCreationFlag, flag, "a flag")) & 1)

    def add_input(self, name: str, dtype: Any, shape: Any) -> ITensor:
        """An input; −1 in the shape is known at run time. InvalidArgumentError: the name is taken or empty, the shape is none."""
        handle = lib.tn_network_add_input(self._handle, to_name(name, "an input"), dtype_number(dtype), to_dims(shape))
        self._done()
        return self._tensor(handle)

    def mark_output(self, tensor: ITensor) -> None:
        """InvalidArgumentError: an input, an output already, or a tensor of a loop's body."""
        lib.tn_network_mark_output(self._handle, self._argument(tensor, "an output"), ffi.NULL)
        self._done()

    def unmark_output(self, tensor: ITensor) -> None:
        lib.tn_network_unmark_output(self._handle, self._argument(tensor, "an output"))
        self._done()

    def mark_output_for_shapes(self, tensor: ITensor) -> bool:
        lib.tn_network_mark_output_for_shapes(self._handle, self._argument(tensor, "an output"), ffi.NULL)
        self._done()
        return True

    def unmark_output_for_shapes(self, tensor: ITensor) -> bool:
        self.unmark_output(tensor)
        return True

    def mark_debug(self, tensor: ITensor) -> bool:
        """The tensor is kept, and shown by a context's debug listener."""
        lib.tn_network_mark_debug(self._handle, self._argument(tensor, "a debug tensor"))
        self._done()
        return True

    def unmark_debug(self, tensor: ITensor) -> bool:
        lib.tn_network_unmark_debug(self._handle, self._argument(tensor, "a debug tensor"))
        self._done()
        return True

    def is_debug_tensor(self, tensor: ITensor) -> bool:
        return bool(lib.tn_tensor_is_debug(self._argument(tensor, "a tensor")))

    def mark_unfused_tensors_as_debug_tensors(self) -> bool:
        lib.tn_network_mark_unfused_as_debug(self._handle, True)
        self._done()
        return True

    def unmark_unfused_tensors_as_debug_tensors(self) -> bool:
        lib.tn_network_mark_unfused_as_debug(self._handle, False)
        self._done()
        return True

    def remove_tensor(self, tensor: ITensor) -> None:
        """Removes the layer that makes it, which nothing may read."""
        lib.tn_network_remove_tensor(self._handle, self._argument(tensor, "a tensor"))
        self._done()

    def get_input(self, index: int) -> Optional[ITensor]:
        """None out of range."""
        return self._tensor(lib.tn_network_input(self._handle, index))

    def get_output(self, index: int) -> Optional[ITensor]:
        """None out of range."""
        return self._tensor(lib.tn_network_output(self._handle, index))

    def get_layer(self, index: int) -> Optional[ILayer]:
        """None out of range. Walk all layers by iterating over the network: this one counts from the first."""
        live = self._live()
        return self._view(live[index]) if 0 <= index < len(live) else None

    def _live(self) -> List[Any]:
        """The library's layers without removed ones."""
        handles, handle = [], lib.tn_network_next_layer(self._handle, ffi.NULL)
        while handle != ffi.NULL:
            handles.append(handle)
            handle = lib.tn_network_next_layer(self._raw, handle)
        return handles

    def _view(self, handle: Any) -> ILayer:
        """As TensorRT gives layers by index: ``layer.__class__ = trt.IConvolutionLayer`` makes it one."""
        view = ILayer(self, handle)
        view._own_type = self._layer(handle)._type
        return view

    def __getitem__(self, index: int) -> ILayer:
        layer = self.get_layer(index + self.num_layers if index < 0 else index)
        if layer is None:
            raise IndexError(f"layer {index} of {self.num_layers}")
        return layer

    def __len__(self) -> int:
        return self.num_layers

    def __iter__(self) -> Iterator[ILayer]:
        return iter([self._view(handle) for handle in self._live()])

    def set_weights_name(self, weights: Any, name: str) -> bool:
        """The name by which these weights are refitted. False: no layer has them."""
        wanted, encoded = to_weights(weights), to_name(name, "weights")
        self._flush()
        found = False
        for address, values in self._values.items():
            if (values._address, values.size, values.dtype) == (wanted._address, wanted.size, wanted.dtype):
                layer = lib.tn_tensor_parent(self._tensors[address]._handle if address in self._tensors else ffi.cast("tn_tensor *", address))
                if layer == ffi.NULL:
                    continue
                lib.tn_constant_set_weights_name(layer, encoded)
                self._done()
                found = True
        return found

    def to_text(self) -> str:
        """One line a layer (Tenon's own)."""
        return self._print(lib.TN_NETWORK_TEXT)

    def to_dot(self) -> str:
        """For Graphviz (Tenon's own)."""
        return self._print(lib.TN_NETWORK_DOT)

    def _print(self, form: int) -> str:
        out = ffi.new("char **")
        status = lib.tn_network_to_text(self._handle, form, self._diag.handle, out)
        if status != 0:
            raise error_of(status, self._diag.take())
        try:
            return decode(out[0])
        finally:
            lib.tn_string_free(out[0])

    # --- values, element by element -------------------------------------------------------------------------------------------------

    def add_constant(self, shape: Any, weights: Any) -> Any:
        """Values of a shape. InvalidArgumentError: their number is not the shape's."""
        return self._layer(self._raw_constant(shape, to_weights(weights)))

    def add_identity(self, input: ITensor) -> Any:
        return self._add("identity", [input])

    def add_cast(self, input: ITensor, to_type: Any) -> Any:
        return self._add("cast", [input], to=to_dtype(to_type))

    def add_shape(self, input: ITensor) -> Any:
        """int64 [rank]"""
        return self._add("shape", [input])

    def add_fill(self, shape: Any, op: Any, output_type: Any = DataType.FLOAT) -> Any:
        """``alpha`` (0) and ``beta`` (1) are properties; or inputs 0 to 2: shape, alpha, beta."""
        self._enum(enums.FillOperation, op, "the operation")
        params = {"op": op, "dtype": to_dtype(output_type), "shape": Dims(shape), "alpha": 0, "beta": 1, "seed": 0}
        return self._defer(layers.IFillLayer, [], params, self._make_fill)

    def _make_fill(self, layer: Any) -> Any:
        given = layer._inputs + [None] * (3 - len(layer._inputs))
        params = layer._params
        dtype = given[1].dtype if given[1] is not None else enums.member_of(DataType, params["dtype"])
        dims = given[0] if given[0] is not None else self._constant(np.array(params["shape"], np.int64))
        alpha = given[1] if given[1] is not None else self._constant(np.array(params["alpha"], nptype(dtype)))
        beta = given[2] if given[2] is not None else self._constant(np.array(params["beta"], nptype(dtype)))
        return self._raw_add("fill", [dims, alpha, beta], {"op": params["op"], "seed": params["seed"]})

    def add_assertion(self, condition: ITensor, message: str) -> Any:
        handle = lib.tn_network_add_assertion(self._raw, self._argument(condition, "the condition"), to_name(message, "a message"))
        return self._layer(handle)

    def add_unary(self, input: ITensor, op: Any) -> Any:
        return self._add("unary", [input], op=self._enum(enums.UnaryOperation, op, "the operation"))

    def add_activation(self, input: ITensor, type: Any) -> Any:
        number = self._number(type, "ACTIVATION", enums.ActivationType, "the activation")
        return self._layer(lib.tn_network_add_activation(self._raw, self._argument(input, "the input"), number))

    def add_parametric_relu(self, input: ITensor, slopes: ITensor) -> Any:
        return self._add("parametric_relu", [input, slopes])

    def add_elementwise(self, input1: ITensor, input2: ITensor, op: Any) -> Any:
        """Equal types and ranks; dimensions equal or 1."""
        return self._add("elementwise", [input1, input2], op=self._enum(enums.ElementWiseOperation, op, "the operation"))

    def add_select(self, condition: ITensor, then_input: ITensor, else_input: ITensor) -> Any:
        return self._add("select", [condition, then_input, else_input])

    def add_scale(self, input: ITensor, mode: Any, shift: Any = None, scale: Any = None, power: Any = None) -> Any:
        """(x · scale + shift) ^ power; channels are axis 1."""
        return self.add_scale_nd(input, mode, shift, scale, power, 1)

    def add_scale_nd(self, input: ITensor, mode: Any, shift: Any = None, scale: Any = None, power: Any = None, channel_axis: int = 1) -> Any:
        self._enum(enums.ScaleMode, mode, "the mode")
        self._argument(input, "the input")
        tensors = []
        for what, given in (("shift", shift), ("scale", scale), ("power", power)):
            weights = to_weights(given)
            if weights.size == 0:
                tensors.append(None)
                continue
            shape = input.shape
            dims = {"UNIFORM": (1,), "CHANNEL": shape[channel_axis:channel_axis + 1]}.get(mode.name, shape[channel_axis:])
            if volume(dims) != weights.size:
                raise errors.InvalidArgumentError(f"cannot add scale: its {what} has {weights.size} values, mode {mode.name} of an input "
                                                  f"{tuple(shape)} with channel axis {channel_axis} needs {volume(dims)}")
            tensors.append(self._constant(weights, dims))
        return self._layer(self._raw_add("scale", [input, *tensors], {"mode": mode, "axis": channel_axis}))

    # --- along axes -----------------------------------------------------------------------------------------------------------------

    def add_reduce(self, input: ITensor, op: Any, axes: int, keep_dims: bool) -> Any:
        """``axes``: a bit mask."""
        return self._add("reduce", [input], op=self._enum(enums.ReduceOperation, op, "the operation"), axes=int(axes), keep_dims=bool(keep_dims))

    def add_softmax(self, input: ITensor) -> Any:
        """Axis rank − 3, or 0 below rank 3, until ``axes`` (a bit mask) is set: as TensorRT has it."""
        self._argument(input, "the input")
        return self._defer_kind("softmax", [input], axis=max(len(input.shape) - 3, 0))

    def add_ragged_softmax(self, input: ITensor, bounds: ITensor) -> Any:
        return self._add("ragged_softmax", [input, bounds])

    def add_topk(self, input: ITensor, op: Any, k: int, axes: int, indices_type: Any = DataType.INT32) -> Any:
        """Outputs: the values in order, their indices. Input 1 (an integer scalar) may give k."""
        self._enum(enums.TopKOperation, op, "the operation")
        return self._defer_kind("topk", [input], op=op, k=int(k), axis=axis_of_mask(axes, "topk"), indices=to_dtype(indices_type))

    def add_cumulative(self, input: ITensor, axis_tensor: ITensor, op: Any, exclusive: bool, reverse: bool) -> Any:
        axis = self._known(axis_tensor, "the axis")
        return self._add("cumulative", [input], op=self._enum(enums.CumulativeOperation, op, "the operation"), axis=int(axis.reshape(())),
                         exclusive=bool(exclusive), reverse=bool(reverse))

    def add_lrn(self, input: ITensor, window: int, alpha: float, beta: float, k: float) -> Any:
        return self._add("lrn", [input], window=int(window), alpha=float(alpha), beta=float(beta), k=float(k))

    def add_normalization(self, input: ITensor, scale: ITensor, bias: ITensor, axesMask: int) -> Any:
        """scale and bias of the input's rank, broadcast to it; epsilon 1e-5, ``num_groups`` 1."""
        return self._defer_kind("normalization_nd", [input, scale, bias], axes=int(axesMask), groups=1, epsilon=1e-5, type="layer")

    add_normalization_v2 = add_normalization

    # --- moving values --------------------------------------------------------------------------------------------------------------

    def add_shuffle(self, input: ITensor) -> Any:
        """Then ``first_transpose``, ``reshape_dims`` (or input 1), ``second_transpose``."""
        params = {"first": Dims(), "reshape": Dims(), "has_reshape": False, "zero_is_zero": False, "second": Dims()}
        return self._defer_kind("shuffle", [input], **params)

    def _axes(self, axes: Any, what: str) -> Tuple[Any, int]:
        numbers = [int(axis) for axis in (self._known(axes, what).reshape(-1) if isinstance(axes, ITensor) else Dims(axes))]
        return ffi.new("int[]", numbers), len(numbers)

    def add_squeeze(self, input: ITensor, axes: Any) -> Any:
        """``axes``: a constant, or integers."""
        return self._layer(lib.tn_network_add_squeeze(self._raw, self._argument(input, "the input"), *self._axes(axes, "the axes")))

    def add_unsqueeze(self, input: ITensor, axes: Any) -> Any:
        return self._layer(lib.tn_network_add_unsqueeze(self._raw, self._argument(input, "the input"), *self._axes(axes, "the axes")))

    def add_slice(self, input: ITensor, start: Any, shape: Any, stride: Any) -> Any:
        """Inputs 1 to 5 may give start, shape, stride, fill value and axes."""
        params = {"start": Dims(start), "size": Dims(shape), "stride": Dims(stride), "mode": enums.SampleMode.STRICT_BOUNDS, "axes": Dims()}
        return self._defer(layers.ISliceLayer, [input], params, self._make_slice)

    def _make_slice(self, layer: Any) -> Any:
        params, inputs = dict(layer._params), list(layer._inputs)
        if len(inputs) > 5:
            if inputs[5] is not None:
                params["axes"] = Dims(int(axis) for axis in self._known(inputs[5], "the axes").reshape(-1))
            inputs = inputs[:5]
        return self._raw_add("slice", inputs, params)

    def add_padding_nd(self, input: ITensor, pre_padding: Any, post_padding: Any) -> Any:
        """Zeros around the last dimensions; negative crops."""
        handle = lib.tn_network_add_padding(self._raw, self._argument(input, "the input"), to_dims(pre_padding), to_dims(post_padding))
        return self._layer(handle, layers.IPaddingLayer)

    add_padding = add_padding_nd

    def add_concatenation(self, inputs: Sequence[ITensor]) -> Any:
        """``axis``: rank − 3, or 0 below rank 3, until it is set: as TensorRT has it."""
        inputs = list(inputs)
        for i, tensor in enumerate(inputs):
            self._argument(tensor, f"input {i} of a concatenation")
        return self._defer_kind("concatenation", inputs, axis=max(len(inputs[0].shape) - 3, 0) if inputs else 0)

    def add_gather(self, input: ITensor, indices: ITensor, axis: int) -> Any:
        return self._defer_kind("gather", [input, indices], mode=enums.GatherMode.DEFAULT, axis=int(axis), batch_dims=0)

    def add_gather_v2(self, input: ITensor, indices: ITensor, mode: Any) -> Any:
        self._enum(enums.GatherMode, mode, "the mode")
        return self._defer_kind("gather", [input, indices], mode=mode, axis=0, batch_dims=0)

    def add_scatter(self, data: ITensor, indices: ITensor, updates: ITensor, mode: Any) -> Any:
        self._enum(enums.ScatterMode, mode, "the mode")
        return self._defer_kind("scatter", [data, indices, updates], mode=mode, axis=0)

    def add_one_hot(self, indices: ITensor, values: ITensor, depth: Any, axis: int) -> Any:
        """``values`` [2]: off, on; ``depth``: a constant, or an integer."""
        number = int(self._known(depth, "the depth").reshape(())) if isinstance(depth, ITensor) else int(depth)
        return self._defer_kind("one_hot", [indices, values], depth=number, axis=int(axis))

    def add_reverse_sequence(self, input: ITensor, sequence_lens: ITensor) -> Any:
        return self._defer_kind("reverse_sequence", [input, sequence_lens], batch_axis=1, sequence_axis=0)

    def add_non_zero(self, input: ITensor, indices_type: Any = DataType.INT32) -> Any:
        """Indices [rank, n]; n is known when it has run."""
        return self._add("non_zero", [input], indices=to_dtype(indices_type))

    def add_nms(self, boxes: ITensor, scores: ITensor, max_output_boxes_per_class: ITensor, indices_type: Any = DataType.INT32) -> Any:
        return self._defer_kind("nms", [boxes, scores, max_output_boxes_per_class], format=enums.BoundingBoxFormat.CORNER_PAIRS, top_k=5000,
                                indices=to_dtype(indices_type))

    # --- windows and sampling ---------------------------------------------------------------------------------------------------------

    def add_convolution_nd(self, input: ITensor, num_output_maps: int, kernel_shape: Any, kernel: Any, bias: Any = None) -> Any:
        """x [n, c, …] with 1 to 3 spatial dimensions, kernel [maps, c / groups, …], bias [maps] or none."""
        return self._add_window("convolution", input, num_output_maps, kernel_shape, kernel, bias)

    def add_deconvolution_nd(self, input: ITensor, num_output_maps: int, kernel_shape: Any, kernel: Any, bias: Any = None) -> Any:
        """kernel [c, maps / groups, …]"""
        return self._add_window("deconvolution", input, num_output_maps, kernel_shape, kernel, bias)

    add_convolution, add_deconvolution = add_convolution_nd, add_deconvolution_nd

    def _add_window(self, kind: str, input: ITensor, num_output_maps: int, kernel_shape: Any, kernel: Any, bias: Any) -> Any:
        spatial = Dims(kernel_shape)
        if not 1 <= len(spatial) <= 3 or min(spatial) < 1:
            raise errors.InvalidArgumentError(f"a {kind}'s window has 1 to 3 dimensions of at least 1, not {tuple(spatial)}")
        if int(num_output_maps) < 1:
            raise errors.InvalidArgumentError(f"a {kind} has at least 1 output map, not {num_output_maps}")
        params = {"groups": 1, "padding_mode": enums.PaddingMode.EXPLICIT_ROUND_DOWN}
        for name in ("stride", "dilation", "pre_padding", "post_padding"):
            params[name] = Dims()
        layer = self._defer(layers.CLASSES[kind], [input], params, lambda layer: self._make_window(kind, layer))
        layer._params.update(num_output_maps=int(num_output_maps), kernel_shape=spatial, kernel=to_weights(kernel), bias=to_weights(bias))
        return layer

    def _make_window(self, kind: str, layer: Any) -> Any:
        params = dict(layer._params)
        own = {name: params.pop(name) for name in ("num_output_maps", "kernel_shape", "kernel", "bias")}
        inputs = (layer._inputs + [None, None])[:3]
        if inputs[1] is None:
            dims = layer._kernel_dims()
            if own["kernel"].size != volume(dims):
                raise errors.InvalidArgumentError(
                    f"cannot add '{layer.name}': its kernel has {own['kernel'].size} values, {tuple(dims)} needs {volume(dims)}")
            inputs[1] = self._constant(own["kernel"], dims)
        if inputs[2] is None and own["bias"].size > 0:
            inputs[2] = self._constant(own["bias"], (own["bias"].size,))
        return self._raw_add(kind, inputs, params)

    def add_pooling_nd(self, input: ITensor, type: Any, window_size: Any) -> Any:
        self._enum(enums.PoolingType, type, "the type")
        empty = Dims()
        return self._defer_kind("pooling", [input], type=type, window=Dims(window_size), stride=empty, pre_padding=empty, post_padding=empty,
                                padding_mode=enums.PaddingMode.EXPLICIT_ROUND_DOWN, blend=0.0, counts_padding=False)

    add_pooling = add_pooling_nd

    def add_resize(self, input: ITensor) -> Any:
        """Then ``shape``, ``scales`` or input 1."""
        params = {"size": Dims(), "mode": enums.InterpolationMode.NEAREST, "transform": enums.ResizeCoordinateTransformation.ASYMMETRIC,
                  "selector": enums.ResizeSelector.FORMULA, "rounding": enums.ResizeRoundMode.FLOOR, "cubic_coeff": -0.75,
                  "exclude_outside": False}
        return self._defer(layers.IResizeLayer, [input], params, self._make_resize)

    def _make_resize(self, layer: Any) -> Any:
        params, options = layer._params, ffi.new("tn_resize_options *")
        lib.tn_resize_options_init(options)
        if len(layer._inputs) > 1 and layer._inputs[1] is not None:
            options.size_tensor = layer._inputs[1]._handle
        options.size = to_dims(params["size"])
        scales = params.get("scales", ())
        if len(scales) > len(options.scales):
            raise errors.InvalidArgumentError(f"cannot add '{layer.name}': it has {len(scales)} scales, at most {len(options.scales)} are possible")
        for i, scale in enumerate(scales):
            options.scales[i] = scale
        options.num_scales = len(scales)
        options.mode = getattr(lib, f"TN_INTERPOLATION_{params['mode'].upper()}")
        options.transform = getattr(lib, f"TN_RESIZE_{params['transform'].upper()}")
        options.selector = getattr(lib, f"TN_RESIZE_SELECT_{params['selector'].upper()}")
        options.rounding = getattr(lib, f"TN_RESIZE_{params['rounding'].upper()}")
        options.cubic_coeff, options.exclude_outside = params["cubic_coeff"], params["exclude_outside"]
        made = lib.tn_network_add_resize(self._raw, layer._inputs[0]._handle, options)
        if made == ffi.NULL:
            raise self._failure()
        return made

    def add_grid_sample(self, input: ITensor, grid: ITensor) -> Any:
        """x [n, c, h, w], grid [n, h', w', 2]"""
        return self._defer_kind("grid_sample", [input, grid], mode=enums.InterpolationMode.LINEAR, align_corners=False,
                                outside=enums.SampleMode.FILL)

    # --- products and quantisation -------------------------------------------------------------------------------------------------------

    def add_matrix_multiply(self, input0: ITensor, op0: Any, input1: ITensor, op1: Any) -> Any:
        return self._add("matrix_multiply", [input0, input1], op_a=self._enum(enums.MatrixOperation, op0, "op0"),
                         op_b=self._enum(enums.MatrixOperation, op1, "op1"))

    def add_einsum(self, inputs: Sequence[ITensor], equation: str) -> Any:
        handles = [self._argument(tensor, f"input {i} of an einsum") for i, tensor in enumerate(inputs)]
        return self._layer(lib.tn_network_add_einsum(self._raw, ffi.new("tn_tensor *[]", handles or 1), len(handles), to_name(equation, "an equation")))

    def add_fully_connected(self, input: ITensor, num_outputs: int, kernel: Any, bias: Any = None) -> Any:
        """x [n, …] → [n, outputs, 1, 1]; kernel [outputs, k]. TensorRT dropped it in version 10."""
        self._argument(input, "the input")
        weights, offsets = to_weights(kernel), to_weights(bias)
        if num_outputs < 1 or weights.size % num_outputs:
            raise errors.InvalidArgumentError(f"cannot add fully_connected: {weights.size} weights are no matrix of {num_outputs} rows")
        w = self._constant(weights, (num_outputs, weights.size // num_outputs))
        b = self._constant(offsets, (offsets.size,)) if offsets.size else None
        handle = lib.tn_network_add_fully_connected(self._raw, input._handle, w._handle, self._optional(b, "the bias"))
        return self._layer(handle, layers.IFullyConnectedLayer)

    def add_attention(self, query: ITensor, key: ITensor, value: ITensor, norm_op: Any = enums.AttentionNormalizationOp.SOFTMAX,
                      causal: Any = False, mask: Optional[ITensor] = None) -> Any:
        """q [batch, heads, queries, size], k and v [batch, kv heads, keys, size]; scores are not scaled.

        ``causal``: a bool (upper left) or a ``CausalMaskKind``; ``mask``: bool (True is seen) or added.
        """
        options = ffi.new("tn_attention_options *")
        lib.tn_attention_options_init(options)
        options.softmax = self._enum(enums.AttentionNormalizationOp, norm_op, "the normalization").name == "SOFTMAX"
        kind = causal if isinstance(causal, enums.CausalMaskKind) else enums.CausalMaskKind.UPPER_LEFT if causal else enums.CausalMaskKind.NONE
        options.causal = getattr(lib, f"TN_CAUSAL_{kind.name}")
        options.mask = self._optional(mask, "the mask")
        handle = lib.tn_network_add_attention(self._raw, self._argument(query, "the query"), self._argument(key, "the key"),
                                              self._argument(value, "the value"), options)
        return self._layer(handle, layers.IAttention)

    add_attention_v2 = add_attention

    def add_rotary_embedding(self, input: ITensor, cos: ITensor, sin: ITensor, interleaved: bool, dim: int,
                             position_ids: Optional[ITensor] = None) -> Any:
        """x [batch, heads, length, size]; ``dim`` 0: the whole head."""
        handle = lib.tn_network_add_rotary_embedding(
            self._raw, self._argument(input, "the input"), self._argument(cos, "cos"), self._argument(sin, "sin"),
            self._optional(position_ids, "the position ids"), bool(interleaved), int(dim))
        return self._layer(handle, layers.IRotaryEmbeddingLayer)

    def add_kv_cache_update(self, cache: ITensor, update: ITensor, write_indices: ITensor, cache_mode: Any = enums.KVCacheMode.LINEAR) -> Any:
        """cache [batch, heads, max length, size] with update [batch, heads, length, size] from write_indices [batch] on."""
        self._enum(enums.KVCacheMode, cache_mode, "the mode")
        handle = lib.tn_network_add_kv_cache_update(self._raw, self._argument(cache, "the cache"), self._argument(update, "the update"),
                                                    self._argument(write_indices, "the write indices"), ffi.NULL)
        return self._layer(handle, layers.IKVCacheUpdateLayer)

    def add_moe(self, hidden_states: ITensor, selected_experts_for_tokens: ITensor, scores_for_selected_experts: ITensor) -> Any:
        """Σ over a token's experts of score · down(act(gate(x)) · up(x)); then ``set_gated_weights``.

        x [tokens, hidden] or [batch, tokens, hidden], experts (int32) and scores the same with one column an expert of the token.
        """
        inputs = [hidden_states, selected_experts_for_tokens, scores_for_selected_experts]
        layer = self._defer(layers.IMoELayer, inputs, {}, self._make_moe)
        layer._params = {"swiglu_limit": float("inf"), "swiglu_alpha": 1.0, "swiglu_beta": 0.0}
        return layer

    def _make_moe(self, layer: Any) -> Any:
        params = layer._params
        if "gate" not in params:
            raise errors.InvalidArgumentError("cannot add moe: it has no weights; call set_gated_weights")
        options = ffi.new("tn_moe_options *")
        lib.tn_moe_options_init(options)
        for name in ("gate", "up", "down", "gate_bias", "up_bias", "down_bias"):
            setattr(options, name, self._optional(params.get(name), name))
        options.activation = params["activation"]
        for name in ("swiglu_limit", "swiglu_alpha", "swiglu_beta"):
            setattr(options, name, params[name])
        made = lib.tn_network_add_moe(self._raw, *(tensor._handle for tensor in layer._inputs), options)
        if made == ffi.NULL:
            raise self._failure()
        return made

    def add_dist_collective(self, input: ITensor, op: Any, reduce_op: Any, root: int = 0, groups: Sequence[int] = ()) -> Any:
        """One rank runs in this version; a group that needs another is refused."""
        group = ffi.new("int64_t[]", [int(rank) for rank in groups] or 1)
        handle = lib.tn_network_add_collective(
            self._raw, self._argument(input, "the input"), self._number(op, "COLLECTIVE", enums.CollectiveOperation, "the operation"),
            self._number(reduce_op, "REDUCE", enums.ReduceOperation, "the reduction"), int(root), group, len(groups))
        return self._layer(handle, layers.IDistCollectiveLayer)

    def add_quantize(self, input: ITensor, scale: ITensor, output_type: Any = DataType.INT8) -> Any:
        """``axis``: of a scale [n]; ``block_shape``: of a scale for each block. Input 2, a zero point, must be zeros."""
        params = {"to": to_dtype(output_type), "axis": -1, "block": Dims()}
        return self._defer(layers.IQuantizeLayer, [input, scale], params, lambda layer: self._make_quantize("quantize", layer))

    def add_dequantize(self, input: ITensor, scale: ITensor, output_type: Any = DataType.FLOAT) -> Any:
        params = {"to": to_dtype(output_type), "axis": -1, "block": Dims()}
        return self._defer(layers.IDequantizeLayer, [input, scale], params, lambda layer: self._make_quantize("dequantize", layer))

    def _make_quantize(self, kind: str, layer: Any) -> Any:
        inputs = layer._inputs
        if len(inputs) > 2 and inputs[2] is not None and np.any(self._known(inputs[2], "the zero point")):
            raise errors.UnsupportedError(f"cannot add {kind}: quantisation is symmetric, its zero point must be zeros")
        return self._raw_add(kind, inputs[:2], layer._params)

    def add_dynamic_quantize(self, input: ITensor, axis: int, block_size: int, output_type: Any, scale_type: Any) -> Any:
        """Blocks of ``block_size`` along ``axis``. Outputs: the data, the scales."""
        self._argument(input, "the input")
        rank = len(input.shape)
        if not -rank <= axis < rank:
            raise errors.InvalidArgumentError(f"cannot add dynamic_quantize: its axis {axis} is outside {rank} dimensions")
        block = [1] * rank
        block[axis] = int(block_size)
        return self.add_dynamic_quantize_v2(input, block, output_type, scale_type)

    def add_dynamic_quantize_v2(self, input: ITensor, block_shape: Any, output_type: Any, scale_type: Any) -> Any:
        """Input 1 may give the scale of the scales (a scalar)."""
        return self._defer_kind("dynamic_quantize", [input], to=to_dtype(output_type), scale_type=to_dtype(scale_type), block=Dims(block_shape))

    def add_loop(self) -> "ILoop":
        """Layers that are added between the loop's first boundary layer and its first output form its body."""
        return ILoop(self)

    def add_if_conditional(self) -> "IIfConditional":
        return IIfConditional(self)

    # --- what is refused by name ------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        reason = _REFUSED.get(name)
        if reason is None:
            raise AttributeError(f"INetworkDefinition has no attribute '{name}'")
        raise errors.UnsupportedError(f"INetworkDefinition.{name} is not in Tenon: {reason}")


_REFUSED = {
    "add_plugin": "plugins are C vtables here (tenon/plugin.h)",
    "add_plugin_v2": "plugins are C vtables here (tenon/plugin.h)",
    "add_plugin_v3": "plugins are C vtables here (tenon/plugin.h)",
    "add_plugin_ext": "plugins are C vtables here (tenon/plugin.h)",
    "add_rnn": "TensorRT dropped it; write a loop",
    "add_rnn_v2": "TensorRT dropped it; write a loop",
    "mark_weights_refittable": "all named weights are, unless the configuration says otherwise",
    "unmark_weights_refittable": "all named weights are, unless the configuration says otherwise",
    "are_weights_marked_refittable": "all named weights are, unless the configuration says otherwise",
    "error_recorder": "errors are exceptions; each has .entries",
    "builder": "a network does not know its builder",
}


# --- control flow ---------------------------------------------------------------------------------------------------------------------


class ILoop:
    """A loop: trip limit, recurrences and iterators; then its body; then its outputs.

    The body is what is added after the first of its boundary layers and before its first output. Loops nest, and do not overlap.
    """

    def __init__(self, network: INetworkDefinition) -> None:
        self._network, self._loop, self._is_closed = network, ffi.NULL, False
        self.name = ""

    def _open(self) -> Any:
        self._network._flush()
        if self._loop == ffi.NULL:
            self._loop = lib.tn_network_begin_loop(self._network._raw)
            self._network._done()
        return self._loop

    def _boundary(self, handle: Any, layer_class: Any = None) -> Any:
        layer = self._network._layer(handle, layer_class)
        layer.loop = self
        return layer

    def add_trip_limit(self, tensor: ITensor, kind: Any) -> Any:
        """COUNT: an integer scalar from outside; WHILE: a bool scalar of the body."""
        network = self._network
        network._enum(enums.TripLimit, kind, "the kind")
        handle = network._argument(tensor, "the limit")
        loop = self._open()
        (lib.tn_loop_set_trip_limit if kind == enums.TripLimit.COUNT else lib.tn_loop_set_condition)(loop, handle)
        network._done()
        for i in range(lib.tn_tensor_num_users(handle) - 1, -1, -1):
            user = lib.tn_tensor_user(handle, i)
            if decode(lib.tn_layer_kind(user)) == "trip_limit":
                layer = self._boundary(user)
                layer.kind = kind
                return layer
        raise errors.InternalError("a loop's limit has no layer")

    def add_recurrence(self, initial_value: ITensor) -> Any:
        """Its output is the value at each round; ``set_input(1, next)`` gives the next round's."""
        handle = self._network._argument(initial_value, "the initial value")
        return self._boundary(lib.tn_loop_add_recurrence(self._open(), handle))

    def add_iterator(self, tensor: ITensor, axis: int = 0, reverse: bool = False) -> Any:
        handle = self._network._argument(tensor, "what is iterated over")
        return self._boundary(lib.tn_loop_add_iterator(self._open(), handle, int(axis), bool(reverse)))

    def add_loop_output(self, tensor: ITensor, kind: Any, axis: int = 0) -> Any:
        network = self._network
        network._enum(enums.LoopOutput, kind, "the kind")
        handle = network._argument(tensor, "a loop's output")
        if kind == enums.LoopOutput.REVERSE:
            raise errors.UnsupportedError("a loop's output in reverse is not in Tenon: concatenate, then slice with stride −1")
        if not self._is_closed:
            lib.tn_loop_end(self._open())
            network._done()
            self._is_closed = True
        layer = self._boundary(lib.tn_loop_add_output(self._loop, handle, kind == enums.LoopOutput.CONCATENATE, int(axis)))
        layer.kind = kind
        return layer


class IIfConditional:
    """A value of one of two branches.

    As TensorRT has it, layers belong to no branch until ``add_output``: both branches are computed and one is selected, so both must
    have the output's shape. In ``with conditional.if_true(): …`` and ``with conditional.if_false(): …`` (Tenon's own) layers belong to
    that branch, and only it runs.
    """

    def __init__(self, network: INetworkDefinition) -> None:
        self._network, self._if, self._stage = network, ffi.NULL, 0
        self._condition: Optional[ITensor] = None
        self.name = ""

    def set_condition(self, condition: ITensor) -> Any:
        """A bool scalar."""
        self._network._argument(condition, "the condition")
        if condition.dtype != DataType.BOOL or len(condition.shape) != 0:
            raise errors.InvalidArgumentError(f"a condition is a bool scalar; '{condition.name}' is {condition!r}")
        self._condition = condition
        layer = self._network.add_identity(condition)
        return layer

    def add_input(self, input: ITensor) -> Any:
        return self._network.add_identity(input)

    @contextlib.contextmanager
    def _branch(self, stage: int) -> Iterator[None]:
        network = self._network
        network._flush()
        if self._condition is None or self._stage != stage:
            raise errors.InvalidArgumentError("a conditional has its condition first, then if_true, then if_false, each once")
        if stage == 0:
            self._if = lib.tn_network_begin_if(network._raw, self._condition._handle)
        else:
            lib.tn_if_else(self._if)
        network._done()
        self._stage += 1
        try:
            yield
            network._flush()
        finally:
            if stage == 1:
                lib.tn_if_end(self._if)
        network._done()

    def if_true(self) -> Any:
        return self._branch(0)

    def if_false(self) -> Any:
        return self._branch(1)

    def add_output(self, true_subgraph_output: ITensor, false_subgraph_output: ITensor) -> Any:
        network = self._network
        if_true, if_false = network._argument(true_subgraph_output, "the value if true"), network._argument(false_subgraph_output, "the value if false")
        if self._condition is None:
            raise errors.InvalidArgumentError("cannot add an output of a conditional: it has no condition")
        network._flush()
        if self._stage == 1:
            raise errors.InvalidArgumentError("cannot add an output of a conditional: it has no branch if false")
        if self._stage == 2:
            return network._layer(lib.tn_if_add_output(self._if, if_true, if_false))
        if true_subgraph_output.shape != false_subgraph_output.shape:
            raise errors.UnsupportedError(
                f"cannot select between {true_subgraph_output!r} and {false_subgraph_output!r}: add the branches' layers in "
                "`with conditional.if_true():` and `with conditional.if_false():`")
        condition = self._condition
        rank = len(true_subgraph_output.shape)
        if rank > 0:
            condition = network.add_unsqueeze(condition, range(rank)).get_output(0)
        return network._add("select", [condition, true_subgraph_output, false_subgraph_output])
