# SPDX-License-Identifier: Apache-2.0
"""The enums of TensorRT's network definition, builder and runtime, with their numbers.

Members convert to ``int`` and stand in shifts, as ``1 << int(BuilderFlag.FP16)``; each is equal to itself only. The library's
name of a value is the member's in lower case.
"""

from __future__ import annotations

import enum
from typing import Any, Dict


class _Enum(enum.Enum):
    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


def _make(name: str, members: str, doc: str, start: int = 0) -> Any:
    made = _Enum(name, [(member, start + i) for i, member in enumerate(members.split())], module=__name__.rsplit(".", 1)[0])
    made.__doc__ = doc
    return made


class DataType(_Enum):
    """Element types. From ``UINT4`` on they are Tenon's own."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    FP8 = 6
    BF16 = 7
    INT64 = 8
    INT4 = 9
    FP4 = 10
    E8M0 = 11
    UINT4 = 100
    INT16 = 101
    UINT16 = 102
    UINT32 = 103
    UINT64 = 104
    DOUBLE = 105
    FP8_E5M2 = 106
    COMPLEX64 = 107
    COMPLEX128 = 108
    INT2 = 109
    UINT2 = 110
    FP8_E4M3FNUZ = 111
    FP8_E5M2FNUZ = 112

    @property
    def itemsize(self) -> int:
        """Bytes of one element; types below a byte are packed and have none."""
        bits = _BITS[self]
        if bits % 8 != 0:
            raise TypeError(f"elements of {self} have {bits} bits: they are packed")
        return bits // 8


DTYPE_NAMES: Dict[DataType, str] = {
    DataType.FLOAT: "float32", DataType.HALF: "float16", DataType.INT8: "int8", DataType.INT32: "int32", DataType.BOOL: "bool",
    DataType.UINT8: "uint8", DataType.FP8: "float8_e4m3fn", DataType.BF16: "bfloat16", DataType.INT64: "int64", DataType.INT4: "int4",
    DataType.FP4: "float4_e2m1", DataType.E8M0: "float8_e8m0", DataType.UINT4: "uint4", DataType.INT16: "int16",
    DataType.UINT16: "uint16", DataType.UINT32: "uint32", DataType.UINT64: "uint64", DataType.DOUBLE: "float64",
    DataType.FP8_E5M2: "float8_e5m2", DataType.COMPLEX64: "complex64", DataType.COMPLEX128: "complex128", DataType.INT2: "int2",
    DataType.UINT2: "uint2", DataType.FP8_E4M3FNUZ: "float8_e4m3fnuz", DataType.FP8_E5M2FNUZ: "float8_e5m2fnuz",
}
DTYPES_BY_NAME: Dict[str, DataType] = {name: dtype for dtype, name in DTYPE_NAMES.items()}
_BITS = {dtype: 32 for dtype in (DataType.FLOAT, DataType.INT32, DataType.UINT32)}
_BITS.update({dtype: 16 for dtype in (DataType.HALF, DataType.BF16, DataType.INT16, DataType.UINT16)})
_BITS.update({dtype: 64 for dtype in (DataType.INT64, DataType.UINT64, DataType.DOUBLE, DataType.COMPLEX64)})
_BITS.update({dtype: 4 for dtype in (DataType.INT4, DataType.UINT4, DataType.FP4)})
_BITS.update({dtype: 2 for dtype in (DataType.INT2, DataType.UINT2)})
_BITS[DataType.COMPLEX128] = 128
for _dtype in DataType:
    _BITS.setdefault(_dtype, 8)

LayerType = _make(
    "LayerType",
    "CONVOLUTION CAST ACTIVATION POOLING LRN SCALE SOFTMAX DECONVOLUTION CONCATENATION ELEMENTWISE PLUGIN UNARY PADDING SHUFFLE REDUCE "
    "TOPK GATHER MATRIX_MULTIPLY RAGGED_SOFTMAX CONSTANT IDENTITY PLUGIN_V2 SLICE SHAPE PARAMETRIC_RELU RESIZE TRIP_LIMIT RECURRENCE "
    "ITERATOR LOOP_OUTPUT SELECT FILL QUANTIZE DEQUANTIZE CONDITION CONDITIONAL_INPUT CONDITIONAL_OUTPUT SCATTER EINSUM ASSERTION "
    "ONE_HOT NON_ZERO GRID_SAMPLE NMS REVERSE_SEQUENCE NORMALIZATION PLUGIN_V3 SQUEEZE UNSQUEEZE CUMULATIVE DYNAMIC_QUANTIZE "
    "ATTENTION_INPUT ATTENTION_OUTPUT ROTARY_EMBEDDING KVCACHE_UPDATE MOE DIST_COLLECTIVE",
    "What a layer does.",
)
ActivationType = _make(
    "ActivationType",
    "RELU SIGMOID TANH LEAKY_RELU ELU SELU SOFTSIGN SOFTPLUS CLIP HARD_SIGMOID SCALED_TANH THRESHOLDED_RELU GELU_ERF GELU_TANH SILU "
    "GELU_QUICK",
    "Activations; ``SILU`` and ``GELU_QUICK`` are Tenon's own.",
)
ElementWiseOperation = _make(
    "ElementWiseOperation", "SUM PROD MAX MIN SUB DIV POW FLOOR_DIV AND OR XOR EQUAL GREATER LESS MOD",
    "Operations of two tensors; ``MOD`` (sign of the divisor) is Tenon's own.",
)
UnaryOperation = _make(
    "UnaryOperation",
    "EXP LOG SQRT RECIP ABS NEG SIN COS TAN SINH COSH ASIN ACOS ATAN ASINH ACOSH ATANH CEIL FLOOR ERF NOT SIGN ROUND ISINF ISNAN",
    "Operations of one tensor.",
)
ReduceOperation = _make("ReduceOperation", "SUM PROD MAX MIN AVG", "Reductions.")
MatrixOperation = _make("MatrixOperation", "NONE TRANSPOSE VECTOR", "What is done with an operand of a product.")
PoolingType = _make("PoolingType", "MAX AVERAGE MAX_AVERAGE_BLEND", "What is made of a window.")
PaddingMode = _make("PaddingMode", "EXPLICIT_ROUND_DOWN EXPLICIT_ROUND_UP SAME_UPPER SAME_LOWER", "How windows end.")
ScaleMode = _make("ScaleMode", "UNIFORM CHANNEL ELEMENTWISE", "How many weights a scale layer has.")
SampleMode = _make("SampleMode", "STRICT_BOUNDS WRAP CLAMP FILL REFLECT", "What stands outside a tensor.")
GatherMode = _make("GatherMode", "DEFAULT ELEMENT ND", "How indices are read.")
ScatterMode = _make("ScatterMode", "ELEMENT ND", "How indices are read.")
TopKOperation = _make("TopKOperation", "MAX MIN", "Largest or smallest.")
FillOperation = _make("FillOperation", "LINSPACE RANDOM_UNIFORM RANDOM_NORMAL", "What a fill layer makes.")
CumulativeOperation = _make("CumulativeOperation", "SUM", "What is accumulated.")
InterpolationMode = _make("InterpolationMode", "NEAREST LINEAR CUBIC", "How a place between elements is read.")
ResizeMode = InterpolationMode
ResizeCoordinateTransformation = _make(
    "ResizeCoordinateTransformation", "ALIGN_CORNERS ASYMMETRIC HALF_PIXEL", "Output index to place in the input."
)
ResizeSelector = _make("ResizeSelector", "FORMULA UPPER", "Where an output dimension is 1.")
ResizeRoundMode = _make("ResizeRoundMode", "HALF_UP HALF_DOWN FLOOR CEIL", "How nearest rounds.")
BoundingBoxFormat = _make("BoundingBoxFormat", "CORNER_PAIRS CENTER_SIZES", "Four numbers of a box.")
TripLimit = _make("TripLimit", "COUNT WHILE", "What ends a loop.")
LoopOutput = _make("LoopOutput", "LAST_VALUE CONCATENATE REVERSE", "What leaves a loop.")
AttentionNormalizationOp = _make("AttentionNormalizationOp", "NONE SOFTMAX", "What is done with the scores.")
CausalMaskKind = _make("CausalMaskKind", "NONE UPPER_LEFT LOWER_RIGHT", "Which keys a query sees.")
CollectiveOperation = _make("CollectiveOperation", "ALL_REDUCE ALL_GATHER BROADCAST REDUCE REDUCE_SCATTER ALL_TO_ALL GATHER SCATTER", "Between ranks.")
KVCacheMode = _make("KVCacheMode", "LINEAR", "How a cache is written.")
WeightsRole = _make("WeightsRole", "KERNEL BIAS SHIFT SCALE CONSTANT ANY", "What weights do in a layer.")
TensorLocation = _make("TensorLocation", "DEVICE HOST", "Where a tensor lies.")
TensorIOMode = _make("TensorIOMode", "NONE INPUT OUTPUT", "What a tensor of an engine is.")
TensorFormat = _make(
    "TensorFormat", "LINEAR CHW2 HWC8 CHW4 CHW16 CHW32 DHWC8 CDHW32 HWC DLA_LINEAR DLA_HWC4 HWC16 DHWC", "Only LINEAR is used."
)
ExecutionContextAllocationStrategy = _make("ExecutionContextAllocationStrategy", "STATIC ON_PROFILE_CHANGE USER_MANAGED", "Memory.")
NetworkDefinitionCreationFlag = _make(
    "NetworkDefinitionCreationFlag", "EXPLICIT_BATCH STRONGLY_TYPED PREFER_JIT_PYTHON_PLUGINS PREFER_AOT_PYTHON_PLUGINS",
    "EXPLICIT_BATCH is always on."
)
BuilderFlag = _make(
    "BuilderFlag",
    "FP16 INT8 DEBUG GPU_FALLBACK REFIT DISABLE_TIMING_CACHE TF32 SPARSE_WEIGHTS SAFETY_SCOPE OBEY_PRECISION_CONSTRAINTS "
    "PREFER_PRECISION_CONSTRAINTS DIRECT_IO REJECT_EMPTY_ALGORITHMS VERSION_COMPATIBLE EXCLUDE_LEAN_RUNTIME FP8 "
    "ERROR_ON_TIMING_CACHE_MISS BF16 DISABLE_COMPILATION_CACHE STRIP_PLAN REFIT_IDENTICAL WEIGHT_STREAMING INT4 REFIT_INDIVIDUAL "
    "STRICT_NANS MONITOR_MEMORY FP4 EDITABLE_TIMING_CACHE DISTRIBUTIVE_INDEPENDENCE",
    "Numbers of TensorRT 10.16. What each does here: docs/python.md."
)
PreviewFeature = _make(
    "PreviewFeature", "PROFILE_SHARING_0806 ALIASED_PLUGIN_IO_10_03 RUNTIME_ACTIVATION_RESIZE_10_10 FASTER_DYNAMIC_SHAPES_0805 "
    "DISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE_0805", "Accepted; what they preview is the rule here."
)
MemoryPoolType = _make(
    "MemoryPoolType", "WORKSPACE DLA_MANAGED_SRAM DLA_LOCAL_DRAM DLA_GLOBAL_DRAM TACTIC_DRAM TACTIC_SHARED_MEMORY", "Limits of a build."
)
ProfilingVerbosity = _make("ProfilingVerbosity", "LAYER_NAMES_ONLY NONE DETAILED", "Tenon's inspector tells everything.")
TacticSource = _make("TacticSource", "CUBLAS CUBLAS_LT CUDNN EDGE_MASK_CONVOLUTIONS JIT_CONVOLUTIONS", "Tenon uses its own kernels.")
HardwareCompatibilityLevel = _make("HardwareCompatibilityLevel", "NONE AMPERE_PLUS SAME_COMPUTE_CAPABILITY", "Plans are retuned.")
TilingOptimizationLevel = _make("TilingOptimizationLevel", "NONE FAST MODERATE FULL", "Tiles are tactics' own.")
EngineCapability = _make("EngineCapability", "STANDARD SAFETY DLA_STANDALONE", "STANDARD only.")
DeviceType = _make("DeviceType", "GPU DLA", "GPU stands for the builder's device.")
RuntimePlatform = _make("RuntimePlatform", "SAME_AS_BUILD WINDOWS_AMD64", "SAME_AS_BUILD only.")
LayerInformationFormat = _make("LayerInformationFormat", "ONELINE JSON", "Of the inspector.")
OptProfileSelector = _make("OptProfileSelector", "MIN OPT MAX", "Of a profile.")

def library_name(member: Any) -> str:
    """``ElementWiseOperation.SUM`` → ``"sum"``."""
    return DTYPE_NAMES[member] if isinstance(member, DataType) else member.name.lower()


def member_of(enum_class: Any, name: str) -> Any:
    """``(ElementWiseOperation, "sum")`` → the member."""
    return DTYPES_BY_NAME[name] if enum_class is DataType else enum_class[name.upper()]


__all__ = [name for name, value in list(globals().items()) if isinstance(value, type) and issubclass(value, _Enum) and value is not _Enum]
