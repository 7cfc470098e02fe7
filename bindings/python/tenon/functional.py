# SPDX-License-Identifier: Apache-2.0
"""What networks are written in, under TensorRT-LLM's names: functions of ``Tensor`` that add layers to the default network.

    with net_guard(network):
        y = softmax(matmul(x, constant(weights), transb=True), dim=-1)

Every call is recorded as an ``FLayerInfo`` (``tenon.graph_rewriting``). Numbers and arrays stand for constants of the other operand's
type; ranks that differ are filled up with dimensions of 1 in front. Every mistake raises at once, with names and shapes of both sides.
What Tenon does not have is refused by name.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from . import errors, trt
from .graph_rewriting import Layer, record_signature
from .network import Network, Profile, default_net, default_trtnet
from .trt._enums import DataType
from .trt._layers import ITensor
from .trt._types import Dims, Weights, array_type, to_array, to_dtype

Number = Union[int, float, bool]


class Tensor:
    """A tensor of a network. ``Tensor(name=…, dtype=…, shape=…, dim_range=…)`` adds an input to the default network.

    ``dim_range``: dimension names in order → for each profile an int or [min, opt, max]. −1 in ``shape``: known at run time.
    Operators add layers; ``a == b`` is elementwise too: compare tensors by ``is``.
    """

    def __init__(self, name: Optional[str] = None, dtype: Any = None, shape: Any = None, dim_range: Any = None,
                 is_network_input: bool = True, location: Any = None, network: Optional[Network] = None, trt_tensor: Any = None) -> None:
        self.profiles: List[Profile] = []
        self._network: Any = None
        self._trt_tensor: Any = None
        if trt_tensor is not None:
            self._bind(network or default_net(), trt_tensor)
        elif is_network_input:
            if name is None or dtype is None or shape is None:
                raise errors.InvalidArgumentError("an input has a name, a dtype and a shape")
            (network or default_net())._add_input(self, name, dtype, shape, dim_range)

    def _bind(self, network: Network, trt_tensor: ITensor) -> None:
        self._network, self._trt_tensor = network, trt_tensor

    @property
    def trt_tensor(self) -> ITensor:
        if self._trt_tensor is None:
            raise errors.InvalidArgumentError("the tensor stands in no network")
        return self._trt_tensor

    network = property(lambda self: self._network, doc="Its network.")
    shape = property(lambda self: self.trt_tensor.shape, doc="−1 where a dimension is known at run time only.")
    dtype = property(lambda self: self.trt_tensor.dtype, doc="Its element type.")
    location = property(lambda self: self.trt_tensor.location, doc="Where it lies.")

    @property
    def name(self) -> str:
        return self.trt_tensor.name

    @name.setter
    def name(self, name: str) -> None:
        self.trt_tensor.name = name

    def ndim(self) -> int:
        return len(self.shape)

    rank = ndim

    def size(self, dim: Optional[int] = None) -> Any:
        """The shape, or one dimension of it."""
        return self.shape if dim is None else self.shape[_axis(self, dim)]

    def is_dynamic(self, dim: Optional[int] = None) -> bool:
        return builtin_min(self.shape, default=0) < 0 if dim is None else self.shape[_axis(self, dim)] < 0

    def mark_output(self, name: Optional[str] = None, dtype: Any = None) -> None:
        """An output of the network, cast to ``dtype`` if given. InvalidArgumentError: an input, or an output already."""
        self._network._mark_output(self, name, to_dtype(dtype) if dtype is not None else None)

    # Graph rewriting

    def get_parent(self) -> Optional[Layer]:
        """The layer that makes it; None: an input."""
        from ._ffi import lib

        return self._network._layer_of(lib.tn_tensor_parent(self.trt_tensor._handle))

    def get_users(self) -> List[Layer]:
        """The layers that read it, each once."""
        from ._ffi import lib

        handle, found = self.trt_tensor._handle, {}
        self._network.trt_network._flush()
        for i in range(lib.tn_tensor_num_users(handle)):
            layer = self._network._layer_of(lib.tn_tensor_user(handle, i))
            found[layer] = layer
        return list(found)

    def replace_all_uses_with(self, new_tensor: "Tensor") -> None:
        """All readers read ``new_tensor``, which takes its place and name as an output of the network.

        InvalidArgumentError: another type or shape, another network, or made behind a reader (a cycle).
        """
        from ._ffi import lib

        if not isinstance(new_tensor, Tensor):
            raise TypeError(f"replace_all_uses_with takes a Tensor, not {type(new_tensor).__name__}")
        self._network.trt_network._flush()
        self._network._check(lib.tn_tensor_replace_all_uses_with(self.trt_tensor._handle, new_tensor.trt_tensor._handle))

    # Operators

    def __add__(self, b: Any) -> "Tensor":
        return add(self, b)

    def __radd__(self, b: Any) -> "Tensor":
        return add(b, self)

    def __sub__(self, b: Any) -> "Tensor":
        return sub(self, b)

    def __rsub__(self, b: Any) -> "Tensor":
        return sub(b, self)

    def __mul__(self, b: Any) -> "Tensor":
        return mul(self, b)

    def __rmul__(self, b: Any) -> "Tensor":
        return mul(b, self)

    def __truediv__(self, b: Any) -> "Tensor":
        return div(self, b)

    def __rtruediv__(self, b: Any) -> "Tensor":
        return div(b, self)

    def __floordiv__(self, b: Any) -> "Tensor":
        return floordiv(self, b)

    def __mod__(self, b: Any) -> "Tensor":
        return modulo(self, b)

    def __pow__(self, b: Any) -> "Tensor":
        return pow(self, b)

    def __matmul__(self, b: Any) -> "Tensor":
        return matmul(self, b)

    def __lt__(self, b: Any) -> "Tensor":
        return lt(self, b)

    def __gt__(self, b: Any) -> "Tensor":
        return gt(self, b)

    def __le__(self, b: Any) -> "Tensor":
        return not_op(gt(self, b))

    def __ge__(self, b: Any) -> "Tensor":
        return not_op(lt(self, b))

    def __eq__(self, b: Any) -> "Tensor":  # type: ignore[override]
        return eq(self, b)

    def __ne__(self, b: Any) -> "Tensor":  # type: ignore[override]
        return not_op(eq(self, b))

    def __neg__(self) -> "Tensor":
        return unary(self, trt.UnaryOperation.NEG)

    def __bool__(self) -> bool:
        raise TypeError(f"the values of '{self.name}' are known when the network runs; compare tensors by `is`, choose by functional.where")

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> "Tensor":
        """Integers, slices with int bounds, ``...`` and None, as NumPy has them."""
        return _index(self, index)

    def __len__(self) -> int:
        if self.ndim() == 0 or self.shape[0] < 0:
            raise TypeError(f"the length of '{self.name}' {tuple(self.shape)} is not fixed")
        return self.shape[0]

    def __iter__(self) -> Any:
        raise TypeError(f"'{self.name}' cannot be iterated over; take functional.unbind")

    def __repr__(self) -> str:
        return "Tensor()" if self._trt_tensor is None else f"Tensor('{self.name}', {self.dtype.name}, {tuple(self.shape)})"

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            functional = globals()[name]
            return lambda *args, **kwargs: functional(self, *args, **kwargs)
        raise AttributeError(f"Tensor has no attribute '{name}'")


_METHODS = frozenset(
    "abs cast exp log sqrt sin cos max mean min prod sum view flatten permute transpose squeeze unsqueeze expand split select unbind "
    "repeat_interleave softmax argmax topk cumsum relu sigmoid tanh clip".split())

# --- what the functions share ------------------------------------------------------------------------------------------------------------


def _check_tensor(value: Any, what: str = "the input") -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} is a Tensor, not {type(value).__name__}")
    return value


def _axis(input: Tensor, dim: Any, extra: int = 0) -> int:
    rank = input.ndim() + extra
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise TypeError(f"a dimension is an int, not {type(dim).__name__}")
    if not -rank <= dim < rank:
        raise errors.InvalidArgumentError(f"'{input.name}' {tuple(input.shape)} has no dimension {dim}")
    return int(dim) % rank


def _axes(input: Tensor, dim: Any) -> List[int]:
    if dim is None:
        return list(range(input.ndim()))
    axes = [_axis(input, one) for one in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(axes)) != len(axes):
        raise errors.InvalidArgumentError(f"a dimension stands twice in {dim}")
    return axes


def _out(layer: Any, index: int = 0) -> Tensor:
    return default_net()._tensor(layer.get_output(index))


def _add(kind: str, inputs: Sequence[Optional[Tensor]], **params: Any) -> Tensor:
    return _out(default_trtnet()._add(kind, [one.trt_tensor if one is not None else None for one in inputs], **params))


def _constant_of(weights: Weights, shape: Any) -> Tensor:
    return _out(default_trtnet().add_constant(shape, weights))


def _array(values: Any, dtype: DataType) -> np.ndarray:
    array = to_array(values)
    want = array_type(dtype)
    if dtype == DataType.BF16 and want == np.uint16 and array.dtype != np.uint16:  # no ml_dtypes: rounded to nearest even by hand
        bits = np.atleast_1d(array.astype(np.float32)).view(np.uint32).astype(np.int64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).reshape(array.shape)
    return array.astype(want)


def _constant(values: Any, dtype: DataType) -> Tensor:
    array = np.ascontiguousarray(_array(values, dtype)).reshape(np.shape(values))
    if dtype == DataType.BF16 and array.dtype == np.uint16:
        weights = Weights(DataType.BF16, array.ctypes.data if array.size else 0, array.size)
        weights._array, weights._raw = None, array  # type: ignore[attr-defined]
        return _constant_of(weights, array.shape)
    return _constant_of(Weights(array), array.shape)


def constant(ndarray: Any, as_dtype: Any = None) -> Tensor:
    """An array (NumPy, torch, or with DLPack) as a constant."""
    array = to_array(ndarray)
    return _constant(array, to_dtype(as_dtype)) if as_dtype is not None else _constant_of(Weights(array), array.shape)


def constant_to_tensor_(input: Any, dtype: Any = DataType.FLOAT, to_array: bool = True) -> Tensor:
    """A number as a constant [1] (``to_array``) or scalar; tensors as they are."""
    if isinstance(input, Tensor):
        return input
    return _constant([input] if to_array and np.ndim(input) == 0 else input, globals()["to_dtype"](dtype))


def constants_to_tensors_(*inputs: Any) -> Tuple[Tensor, ...]:
    """Numbers as constants of the first tensor's type."""
    dtype = next((one.dtype for one in inputs if isinstance(one, Tensor)), DataType.FLOAT)
    return tuple(constant_to_tensor_(one, dtype) for one in inputs)


def _operand(value: Any, other: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not isinstance(other, Tensor):
        raise TypeError("one of two operands is a Tensor")
    if not isinstance(value, (int, float, bool, np.generic, np.ndarray)) and not hasattr(value, "__dlpack__"):
        raise TypeError(f"an operand is a Tensor, a number or an array, not {type(value).__name__}")
    dtype = other.dtype
    if isinstance(value, float) and dtype in (DataType.INT32, DataType.INT64, DataType.INT8, DataType.UINT8, DataType.BOOL):
        if value != int(value) or dtype == DataType.BOOL:
            raise errors.InvalidArgumentError(f"{value} is no value of '{other.name}', which is {dtype.name}; cast one of them")
        value = int(value)
    return _constant(value, dtype)


def _raise_rank(input: Tensor, rank: int) -> Tensor:
    missing = rank - input.ndim()
    return input if missing <= 0 else _out(default_trtnet().add_unsqueeze(input.trt_tensor, tuple(range(missing))))


def broadcast_helper(left: Any, right: Any) -> Tuple[Tensor, Tensor]:
    """Both as tensors of one rank; numbers and arrays become constants."""
    left, right = _operand(left, right), _operand(right, left)
    rank = builtin_max(left.ndim(), right.ndim())
    return _raise_rank(left, rank), _raise_rank(right, rank)


builtin_max, builtin_min, builtin_sum, builtin_abs, builtin_slice, builtin_round, builtin_pow = max, min, sum, abs, slice, round, pow


def _ints(values: Any) -> Any:
    """Shapes that may hold tensors: a tuple of ints, or one int64 tensor."""
    if isinstance(values, Tensor):
        return values
    values = list(values)
    if not any(isinstance(value, Tensor) for value in values):
        return Dims(values)
    return concat([_as_length(value) for value in values], 0)


def _as_length(value: Any) -> Tensor:
    """One int64 element, [1]."""
    if not isinstance(value, Tensor):
        return _constant(np.array([value], np.int64), DataType.INT64)
    value = cast(value, DataType.INT64)
    return _out(default_trtnet().add_unsqueeze(value.trt_tensor, (0,))) if value.ndim() == 0 else value


# --- elementwise -------------------------------------------------------------------------------------------------------------------------


def elementwise_binary(left: Any, right: Any, op: Any) -> Tensor:
    """Two tensors of equal types; ranks and dimensions of 1 broadcast."""
    a, b = broadcast_helper(left, right)
    return _out(default_trtnet().add_elementwise(a.trt_tensor, b.trt_tensor, op))


def _binary(name: str, op: Any, doc: str) -> Any:
    def functional(left: Any, right: Any) -> Tensor:
        return elementwise_binary(left, right, op)

    functional.__name__ = functional.__qualname__ = name
    functional.__doc__ = doc
    return functional


_E = trt.ElementWiseOperation
add = _binary("add", _E.SUM, "left + right")
sub = _binary("sub", _E.SUB, "left − right")
mul = _binary("mul", _E.PROD, "left · right")
div = _binary("div", _E.DIV, "left / right; integers truncate")
floordiv = _binary("floordiv", _E.FLOOR_DIV, "⌊left / right⌋")
modulo = _binary("modulo", _E.MOD, "The rest of ``floordiv``.")
gt = _binary("gt", _E.GREATER, "left > right, bool")
lt = _binary("lt", _E.LESS, "left < right, bool")
eq = _binary("eq", _E.EQUAL, "left = right, bool")
op_and = _binary("op_and", _E.AND, "Of bools.")
op_or = _binary("op_or", _E.OR, "Of bools.")
op_xor = _binary("op_xor", _E.XOR, "Of bools.")
minimum = _binary("minimum", _E.MIN, "The smaller of two.")
maximum = _binary("maximum", _E.MAX, "The larger of two.")
pow = _binary("pow", _E.POW, "left ^ right")


def _unary_layer(input: Tensor, op: Any) -> Tensor:
    return _out(default_trtnet().add_unary(_check_tensor(input).trt_tensor, op))


def unary(input: Tensor, op: Any) -> Tensor:
    return _unary_layer(input, op)


def _unary(name: str, op: Any, doc: str) -> Any:
    def functional(input: Tensor) -> Tensor:
        return _unary_layer(input, op)

    functional.__name__ = functional.__qualname__ = name
    functional.__doc__ = doc
    return functional


_U = trt.UnaryOperation
round = _unary("round", _U.ROUND, "To the nearest integer, halves to even.")
sqrt = _unary("sqrt", _U.SQRT, "√x")
exp = _unary("exp", _U.EXP, "eˣ")
sin = _unary("sin", _U.SIN, "sin x")
cos = _unary("cos", _U.COS, "cos x")
abs = _unary("abs", _U.ABS, "|x|")
log = _unary("log", _U.LOG, "ln x")
not_op = _unary("not_op", _U.NOT, "Of bools.")


def cast(input: Tensor, dtype: Any) -> Tensor:
    """The input in another type (a ``DataType``, or its name); the input itself if it has it."""
    dtype = to_dtype(dtype)
    return input if _check_tensor(input).dtype == dtype else _out(default_trtnet().add_cast(input.trt_tensor, dtype))


def identity(input: Tensor) -> Tensor:
    return _out(default_trtnet().add_identity(_check_tensor(input).trt_tensor))


def where(condition: Tensor, left: Any, right: Any) -> Tensor:
    """left where the condition (bool) is true, else right."""
    left, right = broadcast_helper(left, right)
    condition = _check_tensor(condition, "the condition")
    rank = builtin_max(condition.ndim(), left.ndim())
    return _add("select", [_raise_rank(condition, rank), _raise_rank(left, rank), _raise_rank(right, rank)])


# --- activations -----------------------------------------------------------------------------------------------------------------------------


def _activation_layer(input: Tensor, act_type: Any) -> Tensor:
    return _out(default_trtnet().add_activation(_check_tensor(input).trt_tensor, act_type))


def activation(input: Tensor, act_type: Any) -> Tensor:
    return _activation_layer(input, act_type)


def _activation(name: str, act_type: Any, doc: str) -> Any:
    def functional(input: Tensor) -> Tensor:
        return _activation_layer(input, act_type)

    functional.__name__ = functional.__qualname__ = name
    functional.__doc__ = doc
    return functional


_A = trt.ActivationType
relu = _activation("relu", _A.RELU, "max(x, 0)")
tanh = _activation("tanh", _A.TANH, "tanh x")
sigmoid = _activation("sigmoid", _A.SIGMOID, "1 / (1 + e⁻ˣ)")
silu = _activation("silu", _A.SILU, "x · sigmoid(x)")
gelu = _activation("gelu", _A.GELU_TANH, "By tanh, as TensorRT-LLM has it.")
quick_gelu = _activation("quick_gelu", _A.GELU_QUICK, "x · sigmoid(1.702 · x)")


def _activation_with(input: Tensor, act_type: Any, alpha: float, beta: float = 0.0) -> Tensor:
    return _add("activation", [_check_tensor(input)], type=act_type, alpha=float(alpha), beta=float(beta))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta · x)) / beta, and x where beta · x is above the threshold."""
    soft = _activation_with(input, _A.SOFTPLUS, 1.0 / beta, beta)
    return where(gt(input, float(threshold) / beta), input, soft)


def clip(input: Tensor, alpha: float, beta: float) -> Tensor:
    """max(alpha, min(beta, x)) of floats."""
    return _activation_with(input, _A.CLIP, alpha, beta)


def int_clip(input: Tensor, lower: int, upper: int) -> Tensor:
    """The same of integers."""
    return minimum(maximum(input, int(lower)), int(upper))


def squared_relu(input: Tensor) -> Tensor:
    return pow(relu(input), 2.0)


def _halves(input: Tensor) -> Tuple[Tensor, Tensor]:
    a, b = chunk(input, 2, -1)
    return a, b


def swiglu(input: Tensor) -> Tensor:
    """a · silu(b) of the last dimension's halves."""
    a, b = _halves(input)
    return mul(silu(b), a)


def geglu(input: Tensor) -> Tensor:
    """a · gelu(b) of the last dimension's halves."""
    a, b = _halves(input)
    return mul(a, gelu(b))


def gegelu(input: Tensor, limit: Optional[float] = None) -> Tensor:
    """(b + 1) · quick_gelu(a) of even and odd elements; clipped to ``limit`` before."""
    last = input.shape[-1]
    if last < 0 or last % 2:
        raise errors.InvalidArgumentError(f"gegelu needs an even last dimension, '{input.name}' is {tuple(input.shape)}")
    a, b = input[..., 0::2], input[..., 1::2]
    if limit is not None:
        a, b = minimum(a, float(limit)), clip(b, -float(limit), float(limit))
    return mul(quick_gelu(a), add(b, 1.0))


ACT2FN: Dict[str, Any] = {
    "relu": relu, "tanh": tanh, "gelu": gelu, "gelu_new": gelu, "gelu_fast": gelu, "gelu_pytorch_tanh": gelu, "openai-gelu": gelu,
    "geglu": geglu, "gegelu": gegelu, "identity": identity, "silu": silu, "softplus": softplus, "relu2": squared_relu,
    "squared-relu": squared_relu, "swiglu": swiglu, "fast-swiglu": swiglu, "sigmoid": sigmoid, "quick_gelu": quick_gelu,
}
GATED_ACT_2_ACT = {"swiglu": "silu", "fast-swiglu": "silu", "geglu": "gelu"}


def is_gated_activation(activation: str) -> bool:
    return activation in GATED_ACT_2_ACT


def non_gated_version(activation: str) -> str:
    return GATED_ACT_2_ACT.get(activation, activation)


# --- along dimensions ----------------------------------------------------------------------------------------------------------------------------


def _reduce_layer(input: Tensor, op: Any, dim: Any, keepdim: bool = False) -> Tensor:
    axes = _axes(_check_tensor(input), dim)
    return _out(default_trtnet().add_reduce(input.trt_tensor, op, builtin_sum(1 << axis for axis in axes), bool(keepdim)))


def reduce(input: Tensor, op: Any, dim: Any, keepdim: bool = False) -> Tensor:
    """``dim``: one, several, or None for all."""
    return _reduce_layer(input, op, dim, keepdim)


def _reduction(name: str, op: Any, doc: str) -> Any:
    def functional(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
        return _reduce_layer(input, op, dim, keepdim)

    functional.__name__ = functional.__qualname__ = name
    functional.__doc__ = doc
    return functional


_R = trt.ReduceOperation
sum = _reduction("sum", _R.SUM, "Σ x")
prod = _reduction("prod", _R.PROD, "Π x")
max = _reduction("max", _R.MAX, "The largest.")
min = _reduction("min", _R.MIN, "The smallest.")
mean = _reduction("mean", _R.AVG, "The mean.")


def topk(input: Tensor, k: Union[int, Tensor], dim: int = -1, largest: bool = True, sorted: bool = True, prefer_plugin: bool = True) -> Tuple[Tensor, Tensor]:
    """Values in order and their int32 indices."""
    trtnet, axis = default_trtnet(), _axis(_check_tensor(input), dim)
    op = trt.TopKOperation.MAX if largest else trt.TopKOperation.MIN
    layer = trtnet.add_topk(input.trt_tensor, op, 0 if isinstance(k, Tensor) else int(k), 1 << axis)
    if isinstance(k, Tensor):
        layer.set_input(1, k.trt_tensor)
    return _out(layer, 0), _out(layer, 1)


def argmax(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """int32 indices of the largest elements, the first of equal ones."""
    indices = topk(input, 1, dim)[1]
    return indices if keepdim else squeeze(indices, _axis(input, dim))


def softmax(input: Tensor, dim: Optional[int] = None) -> Tensor:
    """``dim`` None: the last."""
    return _add("softmax", [_check_tensor(input)], axis=_axis(input, -1 if dim is None else dim))


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """x − max − log Σ e^(x − max)"""
    shifted = sub(input, max(input, dim, keepdim=True))
    return sub(shifted, log(sum(exp(shifted), dim, keepdim=True)))


def cumsum(input: Tensor, dim: int, prefer_plugin: bool = True) -> Tensor:
    return _add("cumulative", [_check_tensor(input)], op="sum", axis=_axis(input, dim), exclusive=False, reverse=False)


# --- shapes ------------------------------------------------------------------------------------------------------------------------------------------


def shape(input: Tensor, dim: Optional[int] = None, cast_to_dtype: Any = None) -> Tensor:
    """The dimensions, int64 [rank], or one of them (a scalar)."""
    result = _out(default_trtnet().add_shape(_check_tensor(input).trt_tensor))
    if dim is not None:
        result = squeeze(slice(result, [_axis(input, dim)], [1]), 0)
    return result if cast_to_dtype is None else cast(result, cast_to_dtype)


def slice(input: Tensor, starts: Any, sizes: Any, strides: Any = None, mode: Any = None, fill_value: Any = None) -> Tensor:
    """Each an int for each dimension, or an int64 tensor [rank]. ``mode`` (SampleMode) tells what stands outside."""
    rank, trtnet = _check_tensor(input).ndim(), default_trtnet()
    given = [_ints(one) for one in (starts, sizes, strides if strides is not None else [1] * rank)]
    tensors = [cast(one, DataType.INT64) if isinstance(one, Tensor) else None for one in given]
    fill = None if fill_value is None else _constant(fill_value, input.dtype)
    layer = trtnet.add_slice(input.trt_tensor, *((0,) * rank if isinstance(one, Tensor) else one for one in given))
    for i, one in enumerate([*tensors, fill]):
        if one is not None:
            layer.set_input(i + 1, one.trt_tensor)
    if mode is not None:
        layer.mode = mode
    return _out(layer)


def _index(input: Tensor, index: Any) -> Tensor:
    items = list(index) if isinstance(index, tuple) else [index]
    if builtin_sum(1 for item in items if item is Ellipsis) > 1:
        raise errors.InvalidArgumentError("an index has one ellipsis at most")
    used = builtin_sum(1 for item in items if item is not None and item is not Ellipsis)
    if used > input.ndim():
        raise errors.InvalidArgumentError(f"'{input.name}' {tuple(input.shape)} has fewer dimensions than the index has places: {used}")
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    items[at:at + 1] = [builtin_slice(None)] * (input.ndim() - used)
    starts, sizes, strides, gone, new, axis, is_whole = [], [], [], [], [], 0, True
    for item in items:
        if item is None:
            new.append(axis - len(gone) + len(new))
            continue
        size = input.shape[axis]
        if isinstance(item, builtin_slice):
            whole = item.start is None and item.stop is None and item.step in (None, 1)
            if size < 0 and not whole:
                start, step = item.start or 0, item.step or 1
                if start < 0 or step < 1 or (item.stop is not None and item.stop < 0):
                    raise errors.UnsupportedError(f"dimension {axis} of '{input.name}' is known at run time: its slice counts from the front")
                length = floordiv(add(sub(shape(input, axis), start), step - 1), step) if item.stop is None else -(-(item.stop - start) // step)
            elif whole:
                start, step, length = 0, 1, size if size >= 0 else shape(input, axis)
            else:
                start, stop, step = item.indices(size)
                length = len(range(start, stop, step))
            is_whole = is_whole and whole
        elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            if size >= 0 and not -size <= item < size:
                raise IndexError(f"index {item} is outside dimension {axis} of '{input.name}' {tuple(input.shape)}")
            start = item + size if item < 0 and size >= 0 else item if item >= 0 else add(shape(input, axis), int(item))
            length, step, is_whole = 1, 1, False
            gone.append(axis)
        else:
            raise TypeError(f"an index is an int, a slice, None or ..., not {type(item).__name__}; take gather for tensors")
        starts.append(start), sizes.append(length), strides.append(step)
        axis += 1
    result = input if is_whole else slice(input, starts, sizes, strides)
    result = _out(default_trtnet().add_squeeze(result.trt_tensor, gone)) if gone else result
    return _out(default_trtnet().add_unsqueeze(result.trt_tensor, new)) if new else result


def view(input: Tensor, shape: Any, zero_is_placeholder: bool = True) -> Tensor:
    """Another shape: ints and scalar tensors, one −1 is inferred, 0 copies a dimension; or an int64 tensor [rank]."""
    dims = _ints(shape)
    layer = default_trtnet().add_shuffle(_check_tensor(input).trt_tensor)
    if not zero_is_placeholder:
        layer.zero_is_placeholder = False
    if isinstance(dims, Tensor):
        layer.set_input(1, dims.trt_tensor)
    else:
        layer.reshape_dims = dims
    return _out(layer)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start to end as one."""
    start, end = _axis(_check_tensor(input), start_dim), _axis(input, end_dim)
    if end < start:
        raise errors.InvalidArgumentError(f"cannot flatten dimensions {start_dim} to {end_dim}")
    rest = input.shape[end + 1:]
    if any(size < 0 for size in rest):
        return view(input, [0] * start + [-1] + [globals()["shape"](input, end + 1 + i) if size < 0 else size for i, size in enumerate(rest)])
    return view(input, [0] * start + [-1] + list(rest))


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Dimension i of the result is dims[i] of the input."""
    order = [_axis(_check_tensor(input), dim) for dim in dims]
    if sorted(order) != list(range(input.ndim())):
        raise errors.InvalidArgumentError(f"{tuple(dims)} is no permutation of the dimensions of '{input.name}' {tuple(input.shape)}")
    return _add("shuffle", [input], first=Dims(order))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    order = list(range(_check_tensor(input).ndim()))
    a, b = _axis(input, dim0), _axis(input, dim1)
    order[a], order[b] = order[b], order[a]
    return permute(input, order)


def expand_dims(input: Tensor, dim: Any, shape_cast_dtype: Any = None) -> Tensor:
    """New dimensions of 1 at these places of the result."""
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = [_axis(_check_tensor(input), one, len(dims)) for one in dims]
    return _out(default_trtnet().add_unsqueeze(input.trt_tensor, axes))


def unsqueeze(input: Tensor, axis: int) -> Tensor:
    return expand_dims(input, axis)


def expand_dims_like(left: Any, right: Tensor) -> Tensor:
    """left with dimensions of 1 in front, up to right's rank."""
    return _raise_rank(_operand(left, right), right.ndim())


def squeeze(input: Tensor, dim: Any = None, zero_is_placeholder: bool = False) -> Tensor:
    """Without dimensions of 1: these, or all that are known to be."""
    axes = _axes(_check_tensor(input), dim) if dim is not None else [axis for axis, size in enumerate(input.shape) if size == 1]
    return _out(default_trtnet().add_squeeze(input.trt_tensor, axes)) if axes else input


def expand(input: Tensor, expand_shape: Any) -> Tensor:
    """Dimensions of 1 repeated up to a shape: ints, or an int64 tensor [rank]."""
    sizes, rank = _ints(expand_shape), _check_tensor(input).ndim()
    count = sizes.shape[0] if isinstance(sizes, Tensor) else len(sizes)
    if count != rank:
        raise errors.InvalidArgumentError(f"cannot expand '{input.name}' {tuple(input.shape)}: the shape has {count} dimensions")
    if not isinstance(sizes, Tensor):
        for axis, (have, want) in enumerate(zip(input.shape, sizes)):
            if have not in (1, want) and have >= 0:
                raise errors.InvalidArgumentError(f"cannot expand '{input.name}' {tuple(input.shape)} to {tuple(sizes)}: dimension {axis} is not 1")
        strides: Any = [0 if have == 1 else 1 for have in input.shape]
    elif input.is_dynamic():
        strides = minimum(sub(shape(input), 1), 1)
    else:
        strides = [0 if have == 1 else 1 for have in input.shape]
    return slice(input, [0] * rank, sizes, strides)


def concat(inputs: Sequence[Any], dim: int = 0) -> Tensor:
    """One behind the other; ints are int64 elements, scalars [1]."""
    tensors = list(inputs)
    if not tensors:
        raise errors.InvalidArgumentError("concat needs at least one input")
    if not any(isinstance(one, Tensor) for one in tensors):
        return _constant(np.array(tensors, np.int64), DataType.INT64)
    dtype = next(one.dtype for one in tensors if isinstance(one, Tensor))
    tensors = [one if isinstance(one, Tensor) else _constant(np.array([one]), dtype) for one in tensors]
    tensors = [expand_dims(one, 0) if one.ndim() == 0 else one for one in tensors]
    return _add("concatenation", tensors, axis=_axis(tensors[0], dim))


def stack(inputs: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Along a new dimension."""
    inputs = list(inputs)
    if not inputs:
        raise errors.InvalidArgumentError("stack needs at least one input")
    axis = _axis(_check_tensor(inputs[0]), dim, 1)
    return concat([expand_dims(one, axis) for one in inputs], axis)


def split(tensor: Tensor, split_size_or_sections: Union[int, Sequence[int]], dim: int = 0) -> List[Tensor]:
    """Parts of a size, or of these sizes, along a fixed dimension."""
    axis = _axis(_check_tensor(tensor), dim)
    total = tensor.shape[axis]
    if total < 0:
        raise errors.InvalidArgumentError(f"cannot split dimension {dim} of '{tensor.name}': it is known at run time only")
    given = split_size_or_sections
    sizes = [int(size) for size in given] if isinstance(given, (list, tuple)) else [int(given)] * (total // int(given) if int(given) > 0 else 0)
    if builtin_sum(sizes) != total or any(size < 0 for size in sizes):
        raise errors.InvalidArgumentError(f"cannot split dimension {dim} of '{tensor.name}', which is {total}, by {given}")
    parts, start = [], 0
    for size in sizes:
        index: List[Any] = [builtin_slice(None)] * tensor.ndim()
        index[axis] = builtin_slice(start, start + size)
        parts.append(_index(tensor, tuple(index)))
        start += size
    return parts


def chunk(tensor: Tensor, chunks: int, dim: int = 0) -> List[Tensor]:
    total = tensor.shape[_axis(_check_tensor(tensor), dim)]
    if chunks < 1 or total < 0 or total % chunks:
        raise errors.InvalidArgumentError(f"cannot take {chunks} chunks of dimension {dim} of '{tensor.name}' {tuple(tensor.shape)}")
    return split(tensor, total // chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> List[Tensor]:
    """The slices along a fixed dimension, without it."""
    axis = _axis(_check_tensor(input), dim)
    return [squeeze(part, axis) for part in split(input, 1, axis)]


def flip(input: Tensor, dims: Sequence[int]) -> Tensor:
    index: List[Any] = [builtin_slice(None)] * _check_tensor(input).ndim()
    for dim in dims:
        axis = _axis(input, dim)
        if input.shape[axis] < 0:
            raise errors.InvalidArgumentError(f"cannot flip dimension {dim} of '{input.name}': it is known at run time only")
        index[axis] = builtin_slice(None, None, -1)
    return _index(input, tuple(index))


def repeat_interleave(tensor: Tensor, repeats: int, dim: int) -> Tensor:
    """Each element ``repeats`` times."""
    axis = _axis(_check_tensor(tensor), dim)
    wide = expand_dims(tensor, axis + 1)
    sizes: List[Any] = [shape(wide, i) if size < 0 else size for i, size in enumerate(wide.shape)]
    sizes[axis + 1] = int(repeats)
    return flatten(expand(wide, sizes), axis, axis + 1)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Optional[float] = None) -> Tensor:
    """(before, after) pairs from the last dimension on, as torch has them; mode constant."""
    if mode != "constant":
        raise errors.UnsupportedError(f"pad: mode '{mode}' is not in Tenon; constant is")
    if len(pad) % 2 or len(pad) // 2 > _check_tensor(input).ndim():
        raise errors.InvalidArgumentError(f"pad has (before, after) pairs for the last dimensions, not {tuple(pad)}")
    rank = input.ndim()
    before, after = [0] * rank, [0] * rank
    for i in range(len(pad) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = int(pad[2 * i]), int(pad[2 * i + 1])
    sizes = [add(shape(input, axis), before[axis] + after[axis]) if size < 0 else size + before[axis] + after[axis]
             for axis, size in enumerate(input.shape)]
    return slice(input, [-amount for amount in before], sizes, None, trt.SampleMode.FILL, value)


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool = False,
                recompute_scale_factor: bool = False, antialias: bool = False) -> Tensor:
    """The spatial dimensions of x [n, c, …] in another size."""
    rank = _check_tensor(input).ndim()
    modes = {"nearest": "NEAREST", "linear": "LINEAR", "bilinear": "LINEAR", "trilinear": "LINEAR", "bicubic": "CUBIC"}
    if mode not in modes or antialias or recompute_scale_factor:
        raise errors.UnsupportedError(f"interpolate: mode '{mode}', antialias {antialias}, recompute_scale_factor {recompute_scale_factor} is not in Tenon")
    if (size is None) == (scale_factor is None):
        raise errors.InvalidArgumentError("interpolate takes a size or a scale_factor")
    layer = default_trtnet().add_resize(input.trt_tensor)
    if size is not None:
        sizes = [size] * (rank - 2) if isinstance(size, int) else list(size)
        layer.shape = Dims([*input.shape[:2], *sizes])
    else:
        layer.scales = [1.0, 1.0] + ([float(scale_factor)] * (rank - 2) if isinstance(scale_factor, (int, float)) else [float(one) for one in scale_factor])
    layer.resize_mode = trt.InterpolationMode[modes[mode]]
    transform = "ASYMMETRIC" if mode == "nearest" else "ALIGN_CORNERS" if align_corners else "HALF_PIXEL"
    layer.coordinate_transformation = trt.ResizeCoordinateTransformation[transform]
    return _out(layer)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """x [n], y [m] → [n, m]"""
    return mul(expand_dims(input, 1), expand_dims(vec2, 0))


# --- by index --------------------------------------------------------------------------------------------------------------------------------------------


def gather(input: Tensor, dim: int, indices: Union[Tensor, int]) -> Tensor:
    """Elements along a dimension, where indices has the input's rank: as torch.gather; an int: one element."""
    if isinstance(indices, int):
        return index_select(input, dim, _constant(np.array([indices], np.int32), DataType.INT32))
    axis = _axis(_check_tensor(input), dim)
    return _add("gather", [input, _check_tensor(indices, "the indices")], mode="element", axis=axis, batch_dims=0)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices along a dimension by index [n]."""
    axis = _axis(_check_tensor(input), dim)
    return _add("gather", [input, _check_tensor(index, "the index")], mode="default", axis=axis, batch_dims=0)


def select(input: Tensor, dim: int, index: Union[Tensor, int]) -> Tensor:
    """One slice along a dimension, without it."""
    axis = _axis(_check_tensor(input), dim)
    if isinstance(index, Tensor):
        index = index if index.ndim() == 1 else view(index, [1])
    else:
        index = _constant(np.array([index], np.int32), DataType.INT32)
    return squeeze(index_select(input, axis, index), axis)


def gather_nd(input: Tensor, indices: Tensor, batch_dims: int = 1) -> Tensor:
    """The last dimension of the indices is a place."""
    return _add("gather", [_check_tensor(input), _check_tensor(indices, "the indices")], mode="nd", axis=0, batch_dims=int(batch_dims))


def scatter(input: Tensor, dim: int, indices: Tensor, updates: Tensor) -> Tensor:
    """Updates by index along a dimension; an index outside drops its update."""
    axis = _axis(_check_tensor(input), dim)
    return _add("scatter", [input, _check_tensor(indices, "the indices"), _check_tensor(updates, "the updates")], mode="element", axis=axis)


def scatter_nd(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The last dimension of ``mask`` is a place."""
    return _add("scatter", [_check_tensor(input), _check_tensor(mask, "the places"), _check_tensor(source, "the updates")], mode="nd", axis=0)


def nonzero(input: Tensor) -> Tensor:
    """int32 [rank, n]: where elements are not 0."""
    return _out(default_trtnet().add_non_zero(_check_tensor(input).trt_tensor))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """[n]: the elements where the mask (bool, of the input's shape) is true."""
    places = permute(nonzero(_check_tensor(mask, "the mask")), (1, 0))
    return gather_nd(_check_tensor(input), places, 0)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The source's elements in order where the mask is true."""
    places = permute(nonzero(_check_tensor(mask, "the mask")), (1, 0))
    count = shape(places, 0)
    return scatter_nd(_check_tensor(input), places, slice(flatten(source), [0], [count]))


def embedding(input: Tensor, weight: Tensor, tp_size: int = 1, tp_group: Any = None, sharding_dim: int = 0, tp_rank: Any = None,
              **more: Any) -> Tensor:
    """ids […] → rows of weight [vocab, hidden]: […, hidden]."""
    if tp_size != 1:
        raise errors.UnsupportedError("embedding: one rank runs in this version, tp_size is 1")
    return _add("gather", [_check_tensor(weight, "the weight"), _check_tensor(input)], mode="default", axis=0, batch_dims=0)


# --- made values ------------------------------------------------------------------------------------------------------------------------------------------


def arange(start: Union[Tensor, int, float], end: Union[Tensor, int, float], dtype: Any) -> Tensor:
    """start, start + 1 … below end: [n]"""
    dtype = to_dtype(dtype)
    if not isinstance(start, Tensor) and not isinstance(end, Tensor):
        return _constant(np.arange(start, end).astype(array_type(dtype)), dtype)
    like = start if isinstance(start, Tensor) else end
    if like.ndim() != 0:
        raise errors.InvalidArgumentError(f"arange goes between scalars, '{like.name}' is {tuple(like.shape)}")
    length = _as_length(sub(end, start))
    inputs = [length, cast(start, dtype) if isinstance(start, Tensor) else _constant(start, dtype), _constant(1, dtype)]
    layer = default_trtnet().add_fill((), trt.FillOperation.LINSPACE, dtype)
    for i, one in enumerate(inputs):
        layer.set_input(i, one.trt_tensor)
    return _out(layer)


def rand(shape: Any, low: float = 0.0, high: float = 1.0, dtype: Any = DataType.FLOAT, seed: int = 0) -> Tensor:
    """Uniform in [low, high): a function of seed and place."""
    dtype, dims = to_dtype(dtype), _ints(shape)
    bounds = [_constant(low, dtype), _constant(high, dtype)] if isinstance(dims, Tensor) else []
    layer = default_trtnet().add_fill(() if isinstance(dims, Tensor) else dims, trt.FillOperation.RANDOM_UNIFORM, dtype)
    layer.seed = seed
    if isinstance(dims, Tensor):
        for i, one in enumerate([dims, *bounds]):
            layer.set_input(i, one.trt_tensor)
    else:
        layer.alpha, layer.beta = float(low), float(high)
    return _out(layer)


def categorical_sample(probs: Tensor, rand_data: Optional[Tensor] = None, seed: int = 0) -> Tensor:
    """probs […, n] → […] int32: drawn by inverse of the running sum."""
    sums = cumsum(_check_tensor(probs), -1)
    if rand_data is None:
        rand_data = rand([globals()["shape"](probs, i) if size < 0 else size for i, size in enumerate(probs.shape[:-1])], 0.0, 1.0, probs.dtype, seed)
    below = cast(lt(sums, expand_dims(rand_data, -1)), DataType.INT32)
    last = probs.shape[-1] - 1 if probs.shape[-1] > 0 else sub(globals()["shape"](probs, -1, DataType.INT32), 1)
    return minimum(sum(below, -1), last)


# --- products, convolutions, pooling ----------------------------------------------------------------------------------------------------------------------------


def matmul(input: Tensor, mat2: Tensor, transa: bool = False, transb: bool = False, use_fp32_acc: bool = True) -> Tensor:
    """Matrices in the last two dimensions; those before broadcast."""
    a, b = _check_tensor(input), _operand(mat2, input)
    if a.ndim() < 2 or b.ndim() < 2:
        raise errors.InvalidArgumentError(f"matmul needs 2 dimensions, '{a.name}' is {tuple(a.shape)} and '{b.name}' {tuple(b.shape)}")
    rank = builtin_max(a.ndim(), b.ndim())
    op = trt.MatrixOperation
    # a matrix behind a batch is taken as it is: that form has kernels of its own
    right = b if b.ndim() == 2 else _raise_rank(b, rank)
    return _out(default_trtnet().add_matrix_multiply(
        _raise_rank(a, right.ndim()).trt_tensor, op.TRANSPOSE if transa else op.NONE, right.trt_tensor, op.TRANSPOSE if transb else op.NONE))


def einsum(einsum_eq: str, inputs: Sequence[Tensor]) -> Tensor:
    return _out(default_trtnet().add_einsum([_check_tensor(one).trt_tensor for one in inputs], einsum_eq))


def _window(values: Any, count: int, what: str) -> Dims:
    dims = Dims([values] * count if isinstance(values, (int, np.integer)) else values)
    if len(dims) != count:
        raise errors.InvalidArgumentError(f"{what} has {len(dims)} values, it needs {count}")
    return dims


def _convolve(kind: str, input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int, spatial: int) -> Tensor:
    if _check_tensor(input).ndim() != spatial + 2:
        raise errors.InvalidArgumentError(f"the input of a {spatial}D {kind} is [n, c, …] of {spatial + 2} dimensions, '{input.name}' is {tuple(input.shape)}")
    pads = _window(padding, spatial, "padding")
    inputs = [input, _operand(weight, input), None if bias is None else _operand(bias, input)]
    return _add(kind, inputs, stride=_window(stride, spatial, "stride"), dilation=_window(dilation, spatial, "dilation"), pre_padding=pads,
                post_padding=pads, groups=int(groups))


def conv1d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """x [n, c, l], weight [k, c / groups, w]"""
    return _convolve("convolution", input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Any = (1, 1), padding: Any = (0, 0), dilation: Any = (1, 1),
           groups: int = 1, pre_padding: Any = None, post_padding: Any = None) -> Tensor:
    """x [n, c, h, w], weight [k, c / groups, kh, kw]"""
    if pre_padding is None and post_padding is None:
        return _convolve("convolution", input, weight, bias, stride, padding, dilation, groups, 2)
    return _add("convolution", [_check_tensor(input), weight, bias], stride=_window(stride, 2, "stride"), dilation=_window(dilation, 2, "dilation"),
                pre_padding=_window(pre_padding or 0, 2, "padding"), post_padding=_window(post_padding or 0, 2, "padding"), groups=int(groups))


def conv3d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    return _convolve("convolution", input, weight, bias, stride, padding, dilation, groups, 3)


def conv_transpose2d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Any = (1, 1), padding: Any = (0, 0),
                     output_padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1) -> Tensor:
    """weight [c, k / groups, kh, kw]"""
    if any(_window(output_padding, 2, "output_padding")):
        raise errors.UnsupportedError("conv_transpose2d: output_padding is not in Tenon")
    return _convolve("deconvolution", input, weight, bias, stride, padding, dilation, groups, 2)


def _pool(input: Tensor, kind: str, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, counts: bool) -> Tensor:
    spatial = _check_tensor(input).ndim() - 2
    window = _window(kernel_size, spatial, "the window")
    pads = _window(padding, spatial, "padding")
    return _add("pooling", [input], type=kind, window=window, stride=_window(kernel_size if stride is None else stride, spatial, "stride"),
                pre_padding=pads, post_padding=pads, padding_mode="explicit_round_up" if ceil_mode else "explicit_round_down",
                counts_padding=bool(counts))


def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = (0, 0), ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    return _pool(input, "average", kernel_size, stride, padding, ceil_mode, count_include_pad)


def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = (0, 0), ceil_mode: bool = False) -> Tensor:
    return _pool(input, "max", kernel_size, stride, padding, ceil_mode, False)


# --- normalization ------------------------------------------------------------------------------------------------------------------------------------------------


def _normalize(input: Tensor, kind: str, normalized_shape: Any, weight: Optional[Tensor], bias: Optional[Tensor], eps: float) -> Tensor:
    sizes = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    if tuple(_check_tensor(input).shape[input.ndim() - len(sizes):]) != sizes:
        raise errors.InvalidArgumentError(f"the last dimensions of '{input.name}' {tuple(input.shape)} are not {sizes}")
    scale = _constant(np.ones(sizes, np.float32), input.dtype) if weight is None else weight
    if len(sizes) == 1:
        return _add("normalization", [input, scale, bias], type=kind, epsilon=float(eps))
    axes = builtin_sum(1 << axis for axis in range(input.ndim() - len(sizes), input.ndim()))
    inputs = [input, _raise_rank(scale, input.ndim()), None if bias is None else _raise_rank(bias, input.ndim())]
    return _add("normalization_nd", inputs, type=kind, axes=axes, groups=1, epsilon=float(eps))


def layer_norm(input: Tensor, normalized_shape: Any, weight: Optional[Tensor] = None, bias: Optional[Tensor] = None, eps: float = 1e-05,
               use_diff_of_squares: bool = True) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias over the last dimensions."""
    return _normalize(input, "layer", normalized_shape, weight, bias, eps)


def rms_norm(input: Tensor, normalized_shape: Any, num_groups: int = 1, weight: Optional[Tensor] = None, eps: float = 1e-06) -> Tensor:
    """x / √(mean(x²) + eps) · weight over the last dimensions."""
    if num_groups != 1:
        raise errors.UnsupportedError("rms_norm: groups are not in Tenon; reshape before and after")
    return _normalize(input, "rms", normalized_shape, weight, None, eps)


def group_norm(input: Tensor, num_groups: int, weight: Optional[Tensor] = None, bias: Optional[Tensor] = None, eps: float = 1e-05) -> Tensor:
    """x [n, c, …], weight and bias [c]"""
    rank = _check_tensor(input).ndim()
    if rank < 3 or input.shape[1] < 0:
        raise errors.InvalidArgumentError(f"group_norm needs [n, c, …] with fixed channels, '{input.name}' is {tuple(input.shape)}")
    spread = [1, input.shape[1]] + [1] * (rank - 2)
    scale = _constant(np.ones(spread, np.float32), input.dtype) if weight is None else view(weight, spread)
    inputs = [input, scale, None if bias is None else view(bias, spread)]
    axes = builtin_sum(1 << axis for axis in range(2, rank)) if num_groups > 1 else builtin_sum(1 << axis for axis in range(1, rank))
    return _add("normalization_nd", inputs, type="layer", axes=axes, groups=int(num_groups), epsilon=float(eps))


def moe(input: Tensor, experts: Tensor, scores: Tensor, gate: Tensor, up: Tensor, down: Tensor, act_type: Any = None) -> Tensor:
    """Σ over a token's experts of score · down(act(gate(x)) · up(x)) (Tenon's own).

    x [tokens, hidden]; experts (int32) and scores [tokens, k]; gate and up [experts, inner, hidden], down [experts, hidden, inner], constants.
    """
    layer = default_trtnet().add_moe(*(_check_tensor(one).trt_tensor for one in (input, experts, scores)))
    layer.set_gated_weights(*(_check_tensor(one, "weights").trt_tensor for one in (gate, up, down)), act_type or _A.SILU)
    return _out(layer)


# --- quantisation, control, ranks --------------------------------------------------------------------------------------------------------------------------------------


def quantize(input: Tensor, scale_factor: Tensor, dtype: Any, axis: int = -1) -> Tensor:
    """float → int8, int4, float8 or float4: x / scale, rounded."""
    layer = default_trtnet().add_quantize(_check_tensor(input).trt_tensor, _operand(scale_factor, input).trt_tensor, to_dtype(dtype))
    layer.axis = axis
    return _out(layer)


def dequantize(input: Tensor, scale_factor: Tensor, axis: int = -1, output_type: Any = None) -> Tensor:
    scale = _check_tensor(scale_factor, "the scale")
    layer = default_trtnet().add_dequantize(_check_tensor(input).trt_tensor, scale.trt_tensor, to_dtype(output_type or scale.dtype))
    layer.axis = axis
    return _out(layer)


def assertion(condition: Tensor, message: str = "") -> None:
    """Stops a run with the message where the condition (bool, scalar or [n]) is false."""
    default_trtnet().add_assertion(_check_tensor(condition, "the condition").trt_tensor, message)


class Conditional:
    """One of two values by a bool scalar; both are computed unless they are made in ``with …layer.if_true():``."""

    def __init__(self, condition: Tensor) -> None:
        self.layer = default_trtnet().add_if_conditional()
        condition = _check_tensor(condition, "the condition")
        if condition.ndim() > 0:
            condition = view(condition, [])
        self.layer.set_condition(condition.trt_tensor)

    def add_input(self, input: Tensor) -> Tensor:
        return _out(self.layer.add_input(_check_tensor(input).trt_tensor))

    def add_output(self, true_value: Tensor, false_value: Tensor) -> Tensor:
        return _out(self.layer.add_output(_check_tensor(true_value).trt_tensor, _check_tensor(false_value).trt_tensor))


def _one_rank(name: str, group: Any) -> None:
    if group is not None and len(group) > 1:
        raise errors.UnsupportedError(f"{name}: one rank runs in this version, the group has {len(group)}")


def allreduce(tensor: Tensor, group: Sequence[int] = (), **more: Any) -> Tensor:
    """Of one rank: the tensor."""
    _one_rank("allreduce", group)
    return _check_tensor(tensor)


def allgather(tensor: Tensor, group: Sequence[int] = (), gather_dim: int = 0) -> Tensor:
    _one_rank("allgather", group)
    return _check_tensor(tensor)


def reduce_scatter(tensor: Tensor, group: Sequence[int] = ()) -> Tensor:
    _one_rank("reduce_scatter", group)
    return _check_tensor(tensor)


from ._attention import (  # noqa: E402  these are made of the functions above
    AttentionMaskType, PositionEmbeddingType, RopeEmbeddingUtils, RotaryScalingType, bert_attention, expand_mask, gather_last_token_logits,
    generate_alibi_biases, generate_alibi_slopes, gpt_attention, rotary_embedding)

_RECORDED = (
    "activation add sub mul div floordiv modulo gt lt eq op_and op_or op_xor minimum maximum pow unary round sqrt exp sin cos abs log not_op "
    "cast identity where relu tanh sigmoid silu gelu quick_gelu softplus clip int_clip squared_relu swiglu geglu gegelu reduce sum prod max min "
    "mean topk argmax softmax log_softmax cumsum shape slice view flatten permute transpose expand_dims expand_dims_like unsqueeze squeeze "
    "expand concat stack split chunk unbind flip repeat_interleave pad interpolate outer gather index_select select gather_nd scatter "
    "scatter_nd nonzero masked_select masked_scatter embedding arange rand categorical_sample matmul einsum conv1d conv2d conv3d "
    "conv_transpose2d avg_pool2d max_pool2d layer_norm rms_norm group_norm moe quantize dequantize constant bert_attention gpt_attention "
    "rotary_embedding gather_last_token_logits generate_alibi_biases expand_mask").split()
for _name in _RECORDED:
    globals()[_name] = record_signature(globals()[_name])
for _table in (ACT2FN,):
    _table.update({key: globals()[value.__name__] for key, value in _table.items()})

_REFUSED = {
    "lora_plugin": "LoRA is the executor's", "dora_plugin": "DoRA is not built", "mamba_conv1d": "state space models are not built",
    "selective_scan": "state space models are not built", "rg_lru": "state space models are not built", "send": "one rank runs in this version",
    "recv": "one rank runs in this version", "create_allreduce_plugin": "one rank runs in this version", "cp_split_plugin":
    "one rank runs in this version", "cuda_stream_sync": "runs are synchronous", "gemm_swiglu": "write matmul and swiglu: passes fuse them",
    "low_latency_gemm": "write matmul: tactics choose the kernel", "low_latency_gemm_swiglu": "write matmul and swiglu: passes fuse them",
    "gemm_allreduce": "one rank runs in this version", "smooth_quant_gemm": "write quantize, matmul and dequantize",
    "fp8_rowwise_gemm": "write quantize, matmul and dequantize", "weight_only_quant_matmul": "write dequantize and matmul",
    "weight_only_groupwise_quant_matmul": "write dequantize and matmul",
}


def __getattr__(name: str) -> Any:
    if name in _REFUSED:
        raise errors.UnsupportedError(f"functional.{name} is not in Tenon: {_REFUSED[name]}")
    raise AttributeError(f"module 'tenon.functional' has no attribute '{name}'")
