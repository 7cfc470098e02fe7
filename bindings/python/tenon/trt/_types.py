# SPDX-License-Identifier: Apache-2.0
"""Shapes and weights, and how they go to the library and back."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Tuple

import numpy as np

from .. import errors
from .._ffi import ffi, lib
from ._enums import DTYPE_NAMES, DTYPES_BY_NAME, DataType

MAX_DIMS = 8


class Dims(tuple):
    """A shape: a tuple of at most 8 integers. −1 is known at run time only."""

    MAX_DIMS = MAX_DIMS

    def __new__(cls, dims: Iterable[int] = ()) -> "Dims":
        values = tuple(dims)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"a dimension is an int, not {type(value).__name__}: {values!r}")
            if not -(1 << 63) <= int(value) < 1 << 63:
                raise OverflowError(f"dimension {value} does not fit 64 bits")
        if len(values) > MAX_DIMS:
            raise errors.InvalidArgumentError(f"a shape has at most {MAX_DIMS} dimensions, not {len(values)}")
        return super().__new__(cls, (int(value) for value in values))

    def __repr__(self) -> str:
        return tuple.__repr__(self)


def _fixed(name: str, length: int) -> Any:
    def new(cls: Any, *values: Any) -> Any:
        if len(values) == 1 and not isinstance(values[0], (int, np.integer)):
            values = tuple(values[0])
        if not values:
            values = (0,) * length
        if len(values) != length:
            raise TypeError(f"{name} has {length} dimensions, not {len(values)}")
        return Dims.__new__(cls, values)

    return type(name, (Dims,), {"__new__": new, "__doc__": f"A shape of {length} dimensions.", "__module__": __name__})


Dims2, Dims3, Dims4 = _fixed("Dims2", 2), _fixed("Dims3", 3), _fixed("Dims4", 4)


class DimsHW(Dims2):  # type: ignore[valid-type,misc]
    """Height and width."""

    h = property(lambda self: self[0])
    w = property(lambda self: self[1])


def volume(dims: Iterable[int]) -> int:
    """The number of elements; −1 if a dimension is −1."""
    product = 1
    for dim in dims:
        if dim < 0:
            return -1
        product *= int(dim)
    return product


def to_dims(dims: Any) -> Any:
    """A ``tn_dims`` of a shape, or of one integer for a shape of one dimension."""
    values = Dims((dims,) if isinstance(dims, (int, np.integer)) and not isinstance(dims, bool) else dims)
    made = ffi.new("tn_dims *")
    made.rank = len(values)
    for i, value in enumerate(values):
        made.d[i] = value
    return made[0]


def from_dims(dims: Any) -> Dims:
    return Dims(int(dims.d[i]) for i in range(dims.rank))


# --- types ----------------------------------------------------------------------------------------------------------------------

_NUMPY = {
    DataType.FLOAT: np.float32, DataType.HALF: np.float16, DataType.INT8: np.int8, DataType.INT32: np.int32, DataType.BOOL: np.bool_,
    DataType.UINT8: np.uint8, DataType.INT64: np.int64, DataType.INT16: np.int16, DataType.UINT16: np.uint16, DataType.UINT32: np.uint32,
    DataType.UINT64: np.uint64, DataType.DOUBLE: np.float64, DataType.COMPLEX64: np.complex64, DataType.COMPLEX128: np.complex128,
}
_FROM_NUMPY = {np.dtype(numpy_type): dtype for dtype, numpy_type in _NUMPY.items()}
try:  # NumPy has no such types of its own
    import ml_dtypes

    _EXTRA = {DataType.BF16: ml_dtypes.bfloat16, DataType.FP8: ml_dtypes.float8_e4m3fn, DataType.FP8_E5M2: ml_dtypes.float8_e5m2}
    _FROM_NUMPY.update({np.dtype(numpy_type): dtype for dtype, numpy_type in _EXTRA.items()})
except ImportError:
    _EXTRA = {}
# How their bits are held without ml_dtypes
_RAW = {DataType.BF16: np.uint16, DataType.FP8: np.uint8, DataType.FP8_E5M2: np.uint8, DataType.E8M0: np.uint8,
        DataType.FP8_E4M3FNUZ: np.uint8, DataType.FP8_E5M2FNUZ: np.uint8}
NUM_DTYPES = int(lib.TN_NUM_DTYPES)
_NUMBERS = {ffi.string(lib.tn_dtype_name(i)).decode(): i for i in range(NUM_DTYPES)}


def nptype(dtype: DataType) -> Any:
    """NumPy's type for one of TensorRT's. TypeError: it has none (bfloat16, float8, 4 bits)."""
    if dtype not in _NUMPY:
        raise TypeError(f"NumPy has no type for {dtype}")
    return _NUMPY[dtype]


def array_type(dtype: DataType) -> Any:
    """As ``nptype``, with ml_dtypes' types if it is there, else the bits as unsigned integers."""
    found = _NUMPY.get(dtype) or _EXTRA.get(dtype) or _RAW.get(dtype)
    if found is None:
        raise errors.UnsupportedError(f"{DTYPE_NAMES[dtype]} has no array type: its elements are packed")
    return np.dtype(found)


def to_dtype(dtype: Any) -> DataType:
    """A ``DataType`` of one, of a NumPy type, of torch's, or of a name ("float16", "fp8")."""
    if isinstance(dtype, DataType):
        return dtype
    if isinstance(dtype, str):
        name = {"fp8": "float8_e4m3fn", "half": "float16", "float": "float32", "nvfp4": "float4_e2m1"}.get(dtype, dtype)
        if name in DTYPES_BY_NAME:
            return DTYPES_BY_NAME[name]
    elif type(dtype).__module__.split(".")[0] == "torch":
        return to_dtype(str(dtype).split(".")[-1])
    elif dtype is not None:
        try:
            return _FROM_NUMPY[np.dtype(dtype)]
        except (TypeError, KeyError):
            pass
    raise errors.InvalidArgumentError(f"{dtype!r} is no element type; give a DataType such as trt.float32")


def dtype_number(dtype: Any) -> int:
    return _NUMBERS[DTYPE_NAMES[to_dtype(dtype)]]


def from_dtype_number(number: int) -> DataType:
    name = ffi.string(lib.tn_dtype_name(number)).decode()
    if name not in DTYPES_BY_NAME:
        raise errors.InternalError(f"the type {name} exists only between fused layers")
    return DTYPES_BY_NAME[name]


def to_array(values: Any, dtype: Optional[Any] = None) -> np.ndarray:
    """A contiguous array of NumPy, torch, DLPack or Python values; ``dtype`` converts."""
    if isinstance(values, np.ndarray):
        array = values
    elif type(values).__module__.split(".")[0] == "torch":
        values = values.detach().cpu().contiguous()
        if str(values.dtype) == "torch.bfloat16":
            array = values.view(__import__("torch").uint16).numpy().view(array_type(DataType.BF16))
        else:
            array = values.numpy()
    elif hasattr(values, "__dlpack__"):
        array = np.from_dlpack(values)
    else:
        array = np.asarray(values)
        if array.dtype == object:
            raise errors.InvalidArgumentError(f"cannot make an array of {type(values).__name__}")
        if array.dtype == np.float64 and dtype is None:
            array = array.astype(np.float32)
    if dtype is not None:
        array = array.astype(array_type(to_dtype(dtype)), copy=False)
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes a scalar [1]


class Weights:
    """Values of a layer: ``Weights(array)``, ``Weights()`` or ``Weights(dtype)`` for none, ``Weights(dtype, address, count)``.

    The bytes are borrowed: an array is kept as long as the network, an address is the caller's business until the build is done.
    """

    def __init__(self, a: Any = DataType.FLOAT, address: int = 0, count: int = 0) -> None:
        if isinstance(a, DataType):
            if count < 0 or (count > 0 and address == 0):
                raise errors.InvalidArgumentError(f"weights of {count} elements at address {address} are not possible")
            self.dtype = a
            self._array: Optional[np.ndarray] = None
            self._address, self.size = int(address), int(count)
        else:
            self._array = to_array(a)
            if self._array.dtype not in _FROM_NUMPY:
                raise errors.InvalidArgumentError(f"weights cannot be of NumPy's type {self._array.dtype}")
            self.dtype = _FROM_NUMPY[self._array.dtype]
            self._address, self.size = self._array.ctypes.data, int(self._array.size)

    @property
    def nbytes(self) -> int:
        from ._enums import _BITS

        return (self.size * _BITS[self.dtype] + 7) // 8

    def numpy(self) -> np.ndarray:
        """The values as an array, without a copy."""
        if self._array is not None:
            return self._array
        raw = np.frombuffer(ffi.buffer(ffi.cast("void *", self._address), self.nbytes), dtype=np.uint8) if self.size else np.empty(0, np.uint8)
        return raw.view(array_type(self.dtype))

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Weights({DTYPE_NAMES[self.dtype]}, {self.size})"


def to_weights(values: Any) -> Weights:
    """Weights of weights, an array, or None for none."""
    if isinstance(values, Weights):
        return values
    return Weights() if values is None else Weights(values)


def shape_of(weights: Weights) -> Tuple[int, ...]:
    return weights._array.shape if weights._array is not None else (weights.size,)
