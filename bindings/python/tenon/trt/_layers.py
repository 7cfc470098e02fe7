# SPDX-License-Identifier: Apache-2.0
"""Tensors and layers under TensorRT's names.

A property of a layer is a field of the library's operation table: ``_Field`` reads and writes it by name. A layer whose defaults need
not fit its inputs (a convolution before its groups are set) enters the network when something needs it: an output, another layer, a
question to the network. An error of such a layer is raised then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from .. import errors
from .._ffi import decode, encode, ffi, lib
from . import _enums as enums
from ._enums import DataType, LayerType
from ._types import Dims, DimsHW, Weights, dtype_number, from_dims, from_dtype_number, to_dims, to_weights

if TYPE_CHECKING:
    from ._network import INetworkDefinition


def address_of(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def to_name(name: Any, what: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"the name of {what} is a str, not {type(name).__name__}")
    return encode(name)


# --- parameters -----------------------------------------------------------------------------------------------------------------

_NUMBER_TYPES = (bool, int, np.integer, np.bool_)


def to_raw(value: Any) -> Any:
    """A parameter as it is kept: enums and types by the library's names, shapes as tuples."""
    if isinstance(value, enums._Enum):
        return enums.library_name(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, (str, Dims)):
        return value
    return Dims(value)


def to_parameters(values: Dict[str, Any]) -> Any:
    """(array of tn_parameter, what must live as long)."""
    array, keep = ffi.new("tn_parameter[]", max(len(values), 1)), []

    def text(string: str) -> Any:
        keep.append(ffi.new("char[]", encode(string)))
        return keep[-1]

    for parameter, (name, value) in zip(array, values.items()):
        parameter.name = text(name)
        if isinstance(value, bool):
            parameter.type, parameter.integer = lib.TN_PARAMETER_BOOL, value
        elif isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 63:
                raise OverflowError(f"{name} {value} does not fit 64 bits")
            parameter.type, parameter.integer = lib.TN_PARAMETER_INT, value
        elif isinstance(value, float):
            parameter.type, parameter.real = lib.TN_PARAMETER_REAL, value
        elif isinstance(value, str):
            parameter.type, parameter.text = lib.TN_PARAMETER_TEXT, text(value)
        else:
            parameter.type, parameter.dims = lib.TN_PARAMETER_DIMS, to_dims(value)
    return array, keep


def from_parameter(parameter: Any) -> Any:
    if parameter.type == lib.TN_PARAMETER_BOOL:
        return bool(parameter.integer)
    if parameter.type == lib.TN_PARAMETER_INT:
        return int(parameter.integer)
    if parameter.type == lib.TN_PARAMETER_REAL:
        return float(parameter.real)
    if parameter.type == lib.TN_PARAMETER_DIMS:
        return from_dims(parameter.dims) if parameter.dims.rank >= 0 else Dims()
    return decode(parameter.text)


class _Field:
    """A property that is one field of the layer's kind. ``of``: an enum, ``DataType``, ``Dims``, int, float, bool or str."""

    def __init__(self, name: str, of: Any, doc: str = "", default: Any = None) -> None:
        self.name, self.of, self.default = name, of, default
        self.__doc__ = doc or f"The layer's {name.replace('_', ' ')}."

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        if layer is None:
            return self
        raw = layer._get(self.name)
        if raw is None or (raw in ("none", "") and self.default is not None):
            return self.default
        if isinstance(self.of, type) and issubclass(self.of, enums._Enum):
            return enums.member_of(self.of, raw)
        return raw

    def __set__(self, layer: Any, value: Any) -> None:
        layer._set(self.name, self.check(value, f"{type(layer).__name__}.{self.name}"))

    def check(self, value: Any, what: str) -> Any:
        of = self.of
        if of is DataType:
            from ._types import to_dtype

            return to_raw(to_dtype(value))
        if of is Dims:
            return Dims((value,) if isinstance(value, int) else value)
        good = isinstance(value, (float, np.floating, *_NUMBER_TYPES)) if of is float else isinstance(value, _NUMBER_TYPES) if of in (
            int, bool) else isinstance(value, of)
        if not good:
            raise TypeError(f"{what} is of type {of.__name__}, not {type(value).__name__}")
        return to_raw(of(value) if of in (int, bool, float) else value)


class _Spatial(_Field):
    """A shape for each spatial dimension of a window; not given: ``fill`` everywhere."""

    def __init__(self, name: str, fill: int, also: Sequence[str] = (), doc: str = "") -> None:
        super().__init__(name, Dims, doc)
        self.fill, self.also = fill, also

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        if layer is None:
            return self
        raw = layer._get(self.name)
        return raw if raw else Dims((self.fill,) * layer._num_spatial())

    def __set__(self, layer: Any, value: Any) -> None:
        dims = self.check(value, self.name)
        if len(dims) != layer._num_spatial():
            raise errors.InvalidArgumentError(
                f"cannot set {self.name} of '{layer.name}': it has {len(dims)} values, the window has {layer._num_spatial()} dimensions")
        for name in (self.name, *self.also):
            layer._set(name, dims)


class _AxisMask:
    """One axis as a bit mask."""

    def __init__(self, name: str = "axis") -> None:
        self.name = name
        self.__doc__ = "A bit mask with one bit: the axis."

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        return self if layer is None else 1 << layer._get(self.name)

    def __set__(self, layer: Any, value: Any) -> None:
        layer._set(self.name, axis_of_mask(value, layer.name))


def axis_of_mask(mask: Any, what: str) -> int:
    if not isinstance(mask, _NUMBER_TYPES):
        raise TypeError(f"axes are a bit mask (int), not {type(mask).__name__}")
    mask = int(mask)
    if mask <= 0 or mask & (mask - 1):
        raise errors.InvalidArgumentError(f"cannot take the axes {mask:#x} for '{what}': exactly one bit must be set")
    return mask.bit_length() - 1


# --- tensors --------------------------------------------------------------------------------------------------------------------


class ITensor:
    """An input of a network, or an output of a layer. It lives as long as its network."""

    def __init__(self, network: "INetworkDefinition", handle: Any) -> None:
        self._network, self._handle = network, handle

    @property
    def name(self) -> str:
        return decode(lib.tn_tensor_name(self._handle))

    @name.setter
    def name(self, name: str) -> None:
        lib.tn_tensor_set_name(self._handle, to_name(name, "a tensor"))
        self._network._done()

    @property
    def shape(self) -> Dims:
        """−1 where a dimension is known at run time only."""
        return from_dims(lib.tn_tensor_dims(self._handle))

    @shape.setter
    def shape(self, shape: Any) -> None:
        lib.tn_tensor_set_dims(self._handle, to_dims(shape))
        self._network._done()

    @property
    def dtype(self) -> DataType:
        return from_dtype_number(lib.tn_tensor_dtype(self._handle))

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        number = dtype_number(dtype)
        if number == lib.tn_tensor_dtype(self._handle):
            return
        if not self.is_network_input:
            raise errors.UnsupportedError(
                f"cannot set the type of '{self.name}': types follow from layers here, as in a strongly typed network; add a cast")
        lib.tn_tensor_set_dtype(self._handle, number)
        self._network._done()

    is_network_input = property(lambda self: bool(lib.tn_tensor_is_input(self._handle)), doc="It is an input of the network.")
    is_network_output = property(lambda self: bool(lib.tn_tensor_is_output(self._handle)), doc="It is marked as an output.")
    is_shape_tensor = property(lambda self: bool(lib.tn_tensor_is_shape(self._handle)), doc="Its elements are known to the shapes.")
    is_execution_tensor = property(lambda self: not self.is_shape_tensor, doc="It is computed on the device.")
    broadcast_across_batch = False
    allowed_formats = 1 << int(enums.TensorFormat.LINEAR)

    @property
    def location(self) -> Any:
        return enums.TensorLocation.HOST if self.is_shape_tensor else enums.TensorLocation.DEVICE

    def get_dimension_name(self, index: int) -> Optional[str]:
        return decode(lib.tn_tensor_dim_name(self._handle, index)) or None

    def set_dimension_name(self, index: int, name: Optional[str]) -> None:
        """Inputs only; equal names mean equal values. None takes the name away."""
        lib.tn_tensor_set_dim_name(self._handle, index, ffi.NULL if name is None else to_name(name, "a dimension"))
        self._network._done()

    def set_dynamic_range(self, min: float, max: float) -> bool:
        raise errors.UnsupportedError("dynamic ranges are not in Tenon: quantise with add_quantize and add_dequantize")

    def __repr__(self) -> str:
        return f"ITensor('{self.name}', {enums.DTYPE_NAMES[self.dtype]}, {tuple(self.shape)})"


# --- layers ---------------------------------------------------------------------------------------------------------------------


class ILayer:
    """One layer of a network."""

    _type = LayerType.PLUGIN  # of kinds that TensorRT does not have
    _own_type: Optional[LayerType] = None  # of a view that is of no class yet
    _num_visible_outputs: Optional[int] = None

    def __init__(self, network: "INetworkDefinition", handle: Any = None) -> None:
        self._network, self._layer = network, handle
        self._inputs: List[Optional[ITensor]] = []  # until it is made; then they are asked of the library
        self._params: Dict[str, Any] = {}
        self._make: Optional[Callable[[], Any]] = None
        self._name: Optional[str] = None
        self._error: Optional[BaseException] = None

    # What enters the network when it is needed

    @property
    def _handle(self) -> Any:
        if self._layer is None:
            if self._error is not None:
                raise self._error
            self._settle()
        return self._layer

    def _settle(self) -> None:
        assert self._make is not None
        self._network._pending = [layer for layer in self._network._pending if layer is not self]
        try:
            self._layer = self._make()
            if self._name is not None:
                lib.tn_layer_set_name(self._layer, encode(self._name))
                self._network._done()
        except BaseException as error:
            self._error = error
            raise
        self._make = None
        self._network._layers[address_of(self._layer)] = self

    def _get(self, name: str) -> Any:
        if self._layer is None and self._error is None:
            return self._params.get(name)
        parameter = ffi.new("tn_parameter *")
        found = lib.tn_layer_find_parameter(self._handle, encode(name), parameter)
        return from_parameter(parameter) if found else self._params.get(name)

    def _set(self, name: str, value: Any) -> None:
        raw = to_raw(value)
        if self._layer is None and self._error is None:
            self._params[name] = raw
            return
        field = encode(name)
        if isinstance(raw, str):
            lib.tn_layer_set_text(self._handle, field, encode(raw))
        elif isinstance(raw, (bool, int)):
            current = self._get(name)
            if isinstance(current, float):
                lib.tn_layer_set_real(self._handle, field, float(raw))
            else:
                lib.tn_layer_set_int(self._handle, field, int(raw))
        elif isinstance(raw, float):
            lib.tn_layer_set_real(self._handle, field, raw)
        else:
            lib.tn_layer_set_dims(self._handle, field, to_dims(raw))
        self._network._done()

    # TensorRT's members

    @property
    def type(self) -> LayerType:
        """What it does. Activations and pooling have a property of this name for their function, as TensorRT has it; layers that a
        network gives by index are of no class yet, and tell their ``LayerType``. ``layer_type`` is the same everywhere."""
        return self.layer_type

    @property
    def layer_type(self) -> LayerType:
        return self._own_type or self._type

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ILayer) and other._network is self._network and other._handle == self._handle)

    def __hash__(self) -> int:
        return address_of(self._handle)

    @property
    def name(self) -> str:
        if self._layer is None and self._error is None:
            return self._name or "(unnamed layer)"
        return decode(lib.tn_layer_name(self._handle))

    @name.setter
    def name(self, name: str) -> None:
        encoded = to_name(name, "a layer")
        if self._layer is None and self._error is None:
            self._name = name
            return
        lib.tn_layer_set_name(self._handle, encoded)
        self._network._done()

    @property
    def metadata(self) -> str:
        return decode(lib.tn_layer_metadata(self._handle))

    @metadata.setter
    def metadata(self, text: str) -> None:
        lib.tn_layer_set_metadata(self._handle, to_name(text, "metadata"))
        self._network._done()

    @property
    def num_inputs(self) -> int:
        """Without absent ones at the end."""
        if self._layer is None and self._error is None:
            return len(self._inputs)
        count = lib.tn_layer_num_inputs(self._handle)
        while count > 0 and lib.tn_layer_input(self._handle, count - 1) == ffi.NULL:
            count -= 1
        return count

    @property
    def num_outputs(self) -> int:
        count = lib.tn_layer_num_outputs(self._handle)
        return count if self._num_visible_outputs is None else min(count, self._num_visible_outputs)

    def get_input(self, index: int) -> Optional[ITensor]:
        """None: out of range, or absent."""
        if self._layer is None and self._error is None:
            return self._inputs[index] if 0 <= index < len(self._inputs) else None
        return self._network._tensor(lib.tn_layer_input(self._handle, index))

    def get_output(self, index: int) -> Optional[ITensor]:
        """None: out of range."""
        return self._network._tensor(lib.tn_layer_output(self._handle, index))

    def set_input(self, index: int, tensor: ITensor) -> None:
        """Another tensor for an input, or one for an optional input. It must be made before the layer."""
        handle = self._network._argument(tensor, f"input {index} of '{self.name}'")
        if self._layer is None and self._error is None:
            while len(self._inputs) <= index:
                self._inputs.append(None)
            self._inputs[index] = tensor
            return
        lib.tn_layer_set_input(self._handle, index, handle)
        self._network._done()

    def get_output_type(self, index: int) -> DataType:
        tensor = self.get_output(index)
        if tensor is None:
            raise errors.InvalidArgumentError(f"'{self.name}' has no output {index}")
        return tensor.dtype

    def set_output_type(self, index: int, dtype: Any) -> None:
        """Only to the type that it has: types follow from layers."""
        tensor = self.get_output(index)
        if tensor is None:
            raise errors.InvalidArgumentError(f"'{self.name}' has no output {index}")
        tensor.dtype = dtype

    def output_type_is_set(self, index: int) -> bool:
        return False

    def reset_output_type(self, index: int) -> None:
        pass

    @property
    def precision(self) -> DataType:
        return self.get_output_type(0)

    @precision.setter
    def precision(self, dtype: Any) -> None:
        self.set_output_type(0, dtype)

    precision_is_set = False

    def reset_precision(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.name}')"


def _class(name: str, layer_type: LayerType, doc: str, _base: type = ILayer, **members: Any) -> Any:
    return type(name, (_base,), {"_type": layer_type, "__doc__": doc, "__module__": __name__.rsplit(".", 1)[0], **members})


class _Window(ILayer):
    """What convolutions and pooling have in common."""

    stride_nd = _Spatial("stride", 1, doc="Step of the window.")
    pre_padding = _Spatial("pre_padding", 0, doc="Padding before.")
    post_padding = _Spatial("post_padding", 0, doc="Padding after.")
    padding_nd = _Spatial("pre_padding", 0, also=("post_padding",), doc="Padding before and after.")
    padding_mode = _Field("padding_mode", enums.PaddingMode)
    stride, padding = stride_nd, padding_nd  # of 2D, as TensorRT 9 has them

    def _num_spatial(self) -> int:
        raise NotImplementedError


class _Convolution(_Window):
    """Weights that come by inputs (``set_input(1, kernel)``) are given as empty ``Weights``."""

    dilation_nd = _Spatial("dilation", 1, doc="Step between the window's elements.")
    dilation = dilation_nd
    num_groups = _Field("groups", int, "Groups of channels.")
    _is_transposed = False

    def _num_spatial(self) -> int:
        return len(self.kernel_size_nd)

    @property
    def kernel_size_nd(self) -> Dims:
        if self._layer is None and self._error is None:
            return self._params["kernel_shape"]
        kernel = self.get_input(1)
        assert kernel is not None
        return Dims(kernel.shape[2:])

    @property
    def kernel_size(self) -> DimsHW:
        return DimsHW(self.kernel_size_nd)

    @property
    def num_output_maps(self) -> int:
        if self._layer is None and self._error is None:
            return self._params["num_output_maps"]
        output = self.get_output(0)
        assert output is not None
        return output.shape[1]

    def _weights(self, input: int) -> Weights:
        if self._layer is None and self._error is None:
            return self._params["kernel" if input == 1 else "bias"]
        return self._network._weights_of(self.get_input(input))

    def _set_weights(self, input: int, weights: Any) -> None:
        if self._layer is not None:
            raise errors.UnsupportedError(f"cannot change the weights of '{self.name}': the layer is made already")
        self._params["kernel" if input == 1 else "bias"] = to_weights(weights)

    kernel = property(lambda self: self._weights(1), lambda self, weights: self._set_weights(1, weights), doc="The kernel's weights.")
    bias = property(lambda self: self._weights(2), lambda self, weights: self._set_weights(2, weights), doc="The bias' weights.")

    def _kernel_dims(self) -> Dims:
        assert self._inputs[0] is not None
        shape, groups, maps = self._inputs[0].shape, self.num_groups, self.num_output_maps
        spatial = self._params["kernel_shape"]
        if len(shape) != len(spatial) + 2:
            raise errors.InvalidArgumentError(
                f"cannot add '{self.name}': its input is {tuple(shape)}, a window of {len(spatial)} dimensions needs {len(spatial) + 2}")
        if shape[1] < 0:
            raise errors.InvalidArgumentError(f"cannot add '{self.name}': the channels of '{self._inputs[0].name}' must be fixed")
        if groups < 1 or shape[1] % groups or maps % groups:
            raise errors.InvalidArgumentError(
                f"cannot add '{self.name}': {groups} groups do not divide {shape[1]} channels and {maps} output maps")
        return Dims((shape[1], maps // groups, *spatial) if self._is_transposed else (maps, shape[1] // groups, *spatial))


IConvolutionLayer = _class("IConvolutionLayer", LayerType.CONVOLUTION, "A convolution of 1 to 3 dimensions.", _Convolution)
IDeconvolutionLayer = _class(
    "IDeconvolutionLayer", LayerType.DECONVOLUTION, "The transpose of a convolution.", _Convolution, _is_transposed=True)


class _Pooling(_Window):
    type = _Field("type", enums.PoolingType)
    window_size_nd = _Field("window", Dims)
    window_size = window_size_nd
    blend_factor = _Field("blend", float, "Share of the average.")
    _counts_padding = _Field("counts_padding", bool)

    @property
    def average_count_excludes_padding(self) -> bool:
        return not self._counts_padding

    @average_count_excludes_padding.setter
    def average_count_excludes_padding(self, excludes: bool) -> None:
        self._counts_padding = not excludes

    def _num_spatial(self) -> int:
        return len(self.window_size_nd)


IPoolingLayer = _class("IPoolingLayer", LayerType.POOLING, "A window's largest or average element.", _Pooling)
IActivationLayer = _class(
    "IActivationLayer", LayerType.ACTIVATION, "An activation.", type=_Field("type", enums.ActivationType), alpha=_Field("alpha", float),
    beta=_Field("beta", float))
ILRNLayer = _class(
    "ILRNLayer", LayerType.LRN, "Local response normalisation.", window_size=_Field("window", int), alpha=_Field("alpha", float),
    beta=_Field("beta", float), k=_Field("k", float))


class _Scale(ILayer):
    mode = _Field("mode", enums.ScaleMode)
    channel_axis = _Field("axis", int)
    shift = property(lambda self: self._network._weights_of(self.get_input(1)))
    scale = property(lambda self: self._network._weights_of(self.get_input(2)))
    power = property(lambda self: self._network._weights_of(self.get_input(3)))


IScaleLayer = _class("IScaleLayer", LayerType.SCALE, "(x · scale + shift) ^ power.", _Scale)
ISoftMaxLayer = _class("ISoftMaxLayer", LayerType.SOFTMAX, "Softmax along one axis.", axes=_AxisMask())
IConcatenationLayer = _class("IConcatenationLayer", LayerType.CONCATENATION, "Tensors one behind the other.", axis=_Field("axis", int))
IElementWiseLayer = _class(
    "IElementWiseLayer", LayerType.ELEMENTWISE, "An operation of two tensors.", op=_Field("op", enums.ElementWiseOperation))
IUnaryLayer = _class("IUnaryLayer", LayerType.UNARY, "An operation of one tensor.", op=_Field("op", enums.UnaryOperation))
IGatherLayer = _class(
    "IGatherLayer", LayerType.GATHER, "Elements by index.", axis=_Field("axis", int), mode=_Field("mode", enums.GatherMode),
    num_elementwise_dims=_Field("batch_dims", int))
IScatterLayer = _class(
    "IScatterLayer", LayerType.SCATTER, "Updates by index.", axis=_Field("axis", int), mode=_Field("mode", enums.ScatterMode))
IReduceLayer = _class(
    "IReduceLayer", LayerType.REDUCE, "A reduction.", op=_Field("op", enums.ReduceOperation), axes=_Field("axes", int, "A bit mask."),
    keep_dims=_Field("keep_dims", bool))


class _Shuffle(ILayer):
    first_transpose = _Field("first", Dims, "A permutation of the input's axes.")
    second_transpose = _Field("second", Dims, "A permutation of the reshaped axes.")
    _zero_is_zero = _Field("zero_is_zero", bool)

    @property
    def reshape_dims(self) -> Dims:
        """0 copies a dimension (unless ``zero_is_placeholder`` is False), one −1 is inferred."""
        return self._get("reshape")

    @reshape_dims.setter
    def reshape_dims(self, dims: Any) -> None:
        given = Dims((dims,) if isinstance(dims, int) else dims)
        if self._layer is None and self._error is None:
            self._params.update(reshape=given, has_reshape=True)
            return
        lib.tn_shuffle_set_reshape(self._handle, to_dims(given))
        self._network._done()

    @property
    def zero_is_placeholder(self) -> bool:
        return not self._zero_is_zero

    @zero_is_placeholder.setter
    def zero_is_placeholder(self, is_placeholder: bool) -> None:
        self._zero_is_zero = not is_placeholder


IShuffleLayer = _class("IShuffleLayer", LayerType.SHUFFLE, "Transpose, reshape, transpose.", _Shuffle)
ISliceLayer = _class(
    "ISliceLayer", LayerType.SLICE, "A part of a tensor. Inputs 1 to 5: start, size, stride, fill value, axes.",
    start=_Field("start", Dims), shape=_Field("size", Dims), stride=_Field("stride", Dims), mode=_Field("mode", enums.SampleMode),
    axes=_Field("axes", Dims))
IPaddingLayer = _class("IPaddingLayer", LayerType.PADDING, "Zeros around the last dimensions.")
IShapeLayer = _class("IShapeLayer", LayerType.SHAPE, "The dimensions of a tensor, int64.")
ITopKLayer = _class(
    "ITopKLayer", LayerType.TOPK, "The largest or smallest elements, and their indices.", op=_Field("op", enums.TopKOperation),
    k=_Field("k", int), axes=_AxisMask(), indices_type=_Field("indices", DataType, default=DataType.INT32))
IMatrixMultiplyLayer = _class(
    "IMatrixMultiplyLayer", LayerType.MATRIX_MULTIPLY, "A product of matrices.", op0=_Field("op_a", enums.MatrixOperation),
    op1=_Field("op_b", enums.MatrixOperation))
IRaggedSoftMaxLayer = _class("IRaggedSoftMaxLayer", LayerType.RAGGED_SOFTMAX, "Softmax over a part of each row.")
IIdentityLayer = _class("IIdentityLayer", LayerType.IDENTITY, "The input.")
ICastLayer = _class("ICastLayer", LayerType.CAST, "The input in another type.", to_type=_Field("to", DataType))


class _Constant(ILayer):
    @property
    def weights(self) -> Weights:
        return self._network._weights_of(self.get_output(0))

    @property
    def shape(self) -> Dims:
        output = self.get_output(0)
        assert output is not None
        return output.shape


IConstantLayer = _class("IConstantLayer", LayerType.CONSTANT, "Values.", _Constant)
IParametricReLULayer = _class("IParametricReLULayer", LayerType.PARAMETRIC_RELU, "x < 0 ? slope · x : x.")
ISelectLayer = _class("ISelectLayer", LayerType.SELECT, "One of two elements by a condition.")
IAssertionLayer = _class("IAssertionLayer", LayerType.ASSERTION, "Stops a run with a message.", message=_Field("message", str))
IEinsumLayer = _class("IEinsumLayer", LayerType.EINSUM, "Einstein's sum.", equation=_Field("equation", str))
IOneHotLayer = _class("IOneHotLayer", LayerType.ONE_HOT, "Indices as vectors.", axis=_Field("axis", int), depth=_Field("depth", int))
INonZeroLayer = _class(
    "INonZeroLayer", LayerType.NON_ZERO, "Where elements are not 0: [rank, n].", _num_visible_outputs=1,
    indices_type=_Field("indices", DataType, default=DataType.INT64))
IGridSampleLayer = _class(
    "IGridSampleLayer", LayerType.GRID_SAMPLE, "Elements at places of a grid.", interpolation_mode=_Field("mode", enums.InterpolationMode),
    align_corners=_Field("align_corners", bool), sample_mode=_Field("outside", enums.SampleMode))
IReverseSequenceLayer = _class(
    "IReverseSequenceLayer", LayerType.REVERSE_SEQUENCE, "The beginnings of sequences in reverse.", batch_axis=_Field("batch_axis", int),
    sequence_axis=_Field("sequence_axis", int))
ISqueezeLayer = _class("ISqueezeLayer", LayerType.SQUEEZE, "Without dimensions of 1.")
IUnsqueezeLayer = _class("IUnsqueezeLayer", LayerType.UNSQUEEZE, "With more dimensions of 1.")
ICumulativeLayer = _class(
    "ICumulativeLayer", LayerType.CUMULATIVE, "Running sums.", op=_Field("op", enums.CumulativeOperation),
    exclusive=_Field("exclusive", bool), reverse=_Field("reverse", bool))
INMSLayer = _class(
    "INMSLayer", LayerType.NMS, "Boxes that do not overlap: (batch, class, box), and how many. Inputs 3 and 4: IoU and score threshold.",
    bounding_box_format=_Field("format", enums.BoundingBoxFormat), topk_box_limit=_Field("top_k", int),
    indices_type=_Field("indices", DataType, default=DataType.INT32))
INormalizationLayer = _class(
    "INormalizationLayer", LayerType.NORMALIZATION, "Mean 0 and variance 1 over axes, then scale and bias.",
    axes=_Field("axes", int, "A bit mask."), num_groups=_Field("groups", int), epsilon=_Field("epsilon", float),
    compute_precision=DataType.FLOAT)


class _Resize(ILayer):
    resize_mode = _Field("mode", enums.InterpolationMode)
    interpolation_mode = resize_mode
    coordinate_transformation = _Field("transform", enums.ResizeCoordinateTransformation)
    selector_for_single_pixel = _Field("selector", enums.ResizeSelector)
    nearest_rounding = _Field("rounding", enums.ResizeRoundMode)
    cubic_coeff = _Field("cubic_coeff", float)
    exclude_outside = _Field("exclude_outside", bool)
    shape = _Field("size", Dims, "The output's dimensions.")

    @property
    def scales(self) -> List[float]:
        return list(self._params.get("scales", ()))

    @scales.setter
    def scales(self, scales: Sequence[float]) -> None:
        values = [float(scale) for scale in scales]
        if self._layer is not None:
            lib.tn_resize_set_scales(self._handle, ffi.new("double[]", values), len(values))
            self._network._done()
        self._params["scales"] = values


IResizeLayer = _class("IResizeLayer", LayerType.RESIZE, "Another size. Input 1: the size.", _Resize)


class _Fill(ILayer):
    operation = _Field("op", enums.FillOperation)
    op = operation
    to_type = _Field("dtype", DataType)

    def _get_value(self, name: str) -> Any:
        return self._params.get(name)

    def _set_value(self, name: str, value: Any) -> None:
        if self._layer is not None:
            raise errors.UnsupportedError(f"cannot change {name} of '{self.name}': the layer is made already")
        self._params[name] = float(value) if isinstance(value, (float, np.floating)) else int(value)

    alpha = property(lambda self: self._get_value("alpha"), lambda self, value: self._set_value("alpha", value))
    beta = property(lambda self: self._get_value("beta"), lambda self, value: self._set_value("beta", value))
    shape = property(lambda self: self._params.get("shape"))

    @property
    def seed(self) -> int:
        """Of random numbers: equal seeds give equal numbers (Tenon's own property)."""
        return self._get("seed") or 0

    @seed.setter
    def seed(self, seed: int) -> None:
        self._set("seed", int(seed))

    def is_alpha_beta_int64(self) -> bool:
        return isinstance(self._params.get("alpha"), int) and isinstance(self._params.get("beta"), int)


IFillLayer = _class("IFillLayer", LayerType.FILL, "Values by rule. Inputs: shape, alpha, beta.", _Fill)
IQuantizeLayer = _class(
    "IQuantizeLayer", LayerType.QUANTIZE, "float → quantised.", axis=_Field("axis", int), to_type=_Field("to", DataType),
    block_shape=_Field("block", Dims))
IDequantizeLayer = _class(
    "IDequantizeLayer", LayerType.DEQUANTIZE, "quantised → float.", axis=_Field("axis", int), to_type=_Field("to", DataType),
    block_shape=_Field("block", Dims))
IDynamicQuantizeLayer = _class(
    "IDynamicQuantizeLayer", LayerType.DYNAMIC_QUANTIZE, "Quantised by scales of its own: data, scales.", to_type=_Field("to", DataType),
    scale_type=_Field("scale_type", DataType), block_shape=_Field("block", Dims))
IFullyConnectedLayer = _class("IFullyConnectedLayer", LayerType.MATRIX_MULTIPLY, "x · kernelᵀ + bias; several layers here.")
IAttention = _class("IAttention", LayerType.ATTENTION_OUTPUT, "Attention; several layers here.")
IRotaryEmbeddingLayer = _class("IRotaryEmbeddingLayer", LayerType.ROTARY_EMBEDDING, "Rotated heads; several layers here.")
IKVCacheUpdateLayer = _class("IKVCacheUpdateLayer", LayerType.KVCACHE_UPDATE, "A cache with new rows; several layers here.")


class _MoE(ILayer):
    swiglu_param_limit = property(lambda self: self._params["swiglu_limit"], lambda self, value: self._give("swiglu_limit", float(value)))
    swiglu_param_alpha = property(lambda self: self._params["swiglu_alpha"], lambda self, value: self._give("swiglu_alpha", float(value)))
    swiglu_param_beta = property(lambda self: self._params["swiglu_beta"], lambda self, value: self._give("swiglu_beta", float(value)))

    def _give(self, name: str, value: Any) -> None:
        if self._layer is not None:
            raise errors.UnsupportedError(f"cannot change {name} of '{self.name}': the layer is made already")
        self._params[name] = value

    def set_gated_weights(self, fc_gate_weights: ITensor, fc_up_weights: ITensor, fc_down_weights: ITensor, activation_type: Any) -> None:
        """Constants [experts, inner, hidden] twice, and [experts, hidden, inner]; SILU or another activation."""
        for name, tensor in (("gate", fc_gate_weights), ("up", fc_up_weights), ("down", fc_down_weights)):
            self._network._argument(tensor, f"the {name} weights")
            self._give(name, tensor)
        self._give("activation", self._network._number(activation_type, "ACTIVATION", enums.ActivationType, "the activation"))

    def set_gated_biases(self, fc_gate_biases: ITensor, fc_up_biases: ITensor, fc_down_biases: ITensor) -> None:
        """[experts, inner] twice, and [experts, hidden]"""
        for name, tensor in (("gate_bias", fc_gate_biases), ("up_bias", fc_up_biases), ("down_bias", fc_down_biases)):
            self._network._argument(tensor, f"the {name}")
            self._give(name, tensor)


IMoELayer = _class("IMoELayer", LayerType.MOE, "A mixture of experts; several layers here.", _MoE)
IDistCollectiveLayer = _class("IDistCollectiveLayer", LayerType.DIST_COLLECTIVE, "Between ranks; one rank runs in this version.")


class ILoopBoundaryLayer(ILayer):
    """A layer between a loop and what is outside."""

    loop: Any = None


class IIfConditionalBoundaryLayer(ILayer):
    """A layer between a conditional and what is outside."""

    conditional: Any = None


class _Recurrence(ILoopBoundaryLayer):
    def set_input(self, index: int, tensor: ITensor) -> None:
        if index != 1:
            super().set_input(index, tensor)
            return
        lib.tn_recurrence_set_next(self._handle, self._network._argument(tensor, f"the next value of '{self.name}'"))
        self._network._done()


IRecurrenceLayer = _class("IRecurrenceLayer", LayerType.RECURRENCE, "A value of a loop. Input 1: of the next round.", _Recurrence)
IIteratorLayer = _class(
    "IIteratorLayer", LayerType.ITERATOR, "A slice for each round.", ILoopBoundaryLayer, axis=_Field("axis", int),
    reverse=_Field("reverse", bool))
ITripLimitLayer = _class("ITripLimitLayer", LayerType.TRIP_LIMIT, "What ends a loop.", ILoopBoundaryLayer, kind=None)
ILoopOutputLayer = _class(
    "ILoopOutputLayer", LayerType.LOOP_OUTPUT, "What leaves a loop.", ILoopBoundaryLayer, axis=_Field("axis", int), kind=None)
IConditionLayer = _class("IConditionLayer", LayerType.CONDITION, "What chooses a branch.", IIfConditionalBoundaryLayer)
IIfConditionalInputLayer = _class(
    "IIfConditionalInputLayer", LayerType.CONDITIONAL_INPUT, "A value for the branches.", IIfConditionalBoundaryLayer)
IIfConditionalOutputLayer = _class(
    "IIfConditionalOutputLayer", LayerType.CONDITIONAL_OUTPUT, "The value of the branch taken.", IIfConditionalBoundaryLayer)
IPluginV2Layer = _class("IPluginV2Layer", LayerType.PLUGIN_V2, "A layer that is opaque.", plugin=None)

CLASSES: Dict[str, Any] = {
    "constant": IConstantLayer, "identity": IIdentityLayer, "cast": ICastLayer, "shape": IShapeLayer, "fill": IFillLayer,
    "assertion": IAssertionLayer, "unary": IUnaryLayer, "activation": IActivationLayer, "parametric_relu": IParametricReLULayer,
    "scale": IScaleLayer, "elementwise": IElementWiseLayer, "select": ISelectLayer, "reduce": IReduceLayer, "softmax": ISoftMaxLayer,
    "ragged_softmax": IRaggedSoftMaxLayer, "topk": ITopKLayer, "cumulative": ICumulativeLayer, "normalization_nd": INormalizationLayer,
    "normalization": INormalizationLayer, "lrn": ILRNLayer, "shuffle": IShuffleLayer, "squeeze": ISqueezeLayer,
    "unsqueeze": IUnsqueezeLayer, "slice": ISliceLayer, "concatenation": IConcatenationLayer, "gather": IGatherLayer,
    "scatter": IScatterLayer, "one_hot": IOneHotLayer, "reverse_sequence": IReverseSequenceLayer, "non_zero": INonZeroLayer,
    "nms": INMSLayer, "convolution": IConvolutionLayer, "deconvolution": IDeconvolutionLayer, "pooling": IPoolingLayer,
    "resize": IResizeLayer, "grid_sample": IGridSampleLayer, "matrix_multiply": IMatrixMultiplyLayer, "einsum": IEinsumLayer,
    "dynamic_quantize": IDynamicQuantizeLayer, "quantize_rows": IDynamicQuantizeLayer, "quantize": IQuantizeLayer,
    "dequantize": IDequantizeLayer, "condition": IConditionLayer, "condition_input": IIfConditionalInputLayer,
    "condition_output": IIfConditionalOutputLayer, "trip_limit": ITripLimitLayer, "recurrence": IRecurrenceLayer,
    "iterator": IIteratorLayer, "loop_output": ILoopOutputLayer, "rotary": IRotaryEmbeddingLayer, "attention": IAttention,
    "kv_cache_update": IKVCacheUpdateLayer, "collective": IDistCollectiveLayer, "plugin": IPluginV2Layer,
}

__all__ = [name for name, value in list(globals().items()) if isinstance(value, type) and issubclass(value, (ILayer, ITensor)) and name[0] == "I"]
