# SPDX-License-Identifier: Apache-2.0
"""``Parameter``: values of a model that become a constant where they are used, under TensorRT-LLM's name."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np

from . import errors
from .trt._enums import DataType
from .trt._types import Weights, array_type, to_array, to_dtype


class Parameter:
    """``Parameter(array)`` or ``Parameter(shape=…, dtype=…)`` (zeros). ``value`` is the tensor in the default network."""

    def __init__(self, value: Any = None, shape: Optional[Tuple[int, ...]] = None, dtype: Any = None) -> None:
        if value is None and shape is None:
            raise errors.InvalidArgumentError("a parameter has a value or a shape")
        kind = to_dtype(dtype) if dtype is not None else None
        self._value = np.zeros(shape, array_type(kind or DataType.FLOAT)) if value is None else to_array(value, kind)
        self._weights: Optional[Weights] = None
        self._tensors: Any = None

    shape = property(lambda self: self._value.shape, doc="Its dimensions.")
    raw_value = property(lambda self: self._value, doc="The array.")
    dtype = property(lambda self: self._get_weights().dtype, doc="Its type.")

    @property
    def value(self) -> Any:
        """The constant in the default network: one for each network."""
        import weakref

        from .functional import _constant_of
        from .network import default_net

        if self._tensors is None:
            self._tensors = weakref.WeakKeyDictionary()
        network = default_net()
        if network not in self._tensors:
            self._tensors[network] = weakref.ref(_constant_of(self._get_weights(), self._value.shape))
        return self._tensors[network]()

    @value.setter
    def value(self, value: Any) -> None:
        array = to_array(value)
        if array.shape != self._value.shape:
            raise errors.InvalidArgumentError(f"a parameter of shape {self._value.shape} cannot take values of shape {array.shape}")
        self._value = np.ascontiguousarray(array, dtype=self._value.dtype).reshape(array.shape)
        self._weights = None

    def _get_weights(self) -> Weights:
        if self._weights is None:
            self._weights = Weights(self._value)
        return self._weights
