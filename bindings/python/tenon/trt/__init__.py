# SPDX-License-Identifier: Apache-2.0
"""TensorRT's network definition, builder and runtime, so that a script runs with ``import tensorrt as trt`` changed to
``from tenon import trt``.

Mistakes raise (``tenon.errors``) where TensorRT answers None and logs. What does not exist here is refused by name. docs/python.md has
the differences.
"""

from __future__ import annotations

from typing import Any

from .. import version as _version
from ._builder import Builder, IBuilderConfig, IHostMemory, ILogger, IOptimizationProfile, ITimingCache, Logger
from ._enums import *  # noqa: F401,F403
from ._enums import DataType, _Enum
from ._layers import *  # noqa: F401,F403
from ._layers import ILayer, ITensor
from ._network import IIfConditional, ILoop, INetworkDefinition
from ._runtime import EngineInspector, ICudaEngine, IExecutionContext, IProfiler, Refitter, Runtime
from ._types import Dims, Dims2, Dims3, Dims4, DimsHW, Weights, nptype, volume

__version__ = "10.16.0"  # whose names these are; Tenon's own is tenon.__version__
tenon_version = _version.__version__

float32, float16, int8, int32, bool, uint8 = DataType.FLOAT, DataType.HALF, DataType.INT8, DataType.INT32, DataType.BOOL, DataType.UINT8
fp8, bfloat16, int64, int4, fp4, e8m0 = DataType.FP8, DataType.BF16, DataType.INT64, DataType.INT4, DataType.FP4, DataType.E8M0

_REFUSED = {
    "OnnxParser": "there is no ONNX importer in Python yet",
    "OnnxParserFlag": "there is no ONNX importer in Python yet",
    "OnnxParserRefitter": "there is no ONNX importer in Python yet",
    "IPluginV2": "plugins are C vtables here", "IPluginV2DynamicExt": "plugins are C vtables here", "IPluginV3": "plugins are C vtables here",
    "IPluginCreator": "plugins are C vtables here", "PluginField": "plugins are C vtables here",
    "PluginFieldCollection": "plugins are C vtables here", "get_plugin_registry": "plugins are C vtables here",
    "init_libnvinfer_plugins": "there are no plugins of TensorRT's", "IInt8Calibrator": "int8 calibration is not in Tenon",
    "IInt8EntropyCalibrator2": "int8 calibration is not in Tenon", "IInt8MinMaxCalibrator": "int8 calibration is not in Tenon",
    "IErrorRecorder": "errors are exceptions; each has .entries", "IGpuAllocator": "the device's memory is its own",
    "IOutputAllocator": "ask IExecutionContext.get_max_output_size", "IStreamReader": "give bytes", "IStreamReaderV2": "give bytes",
    "IProgressMonitor": "progress is not reported to Python yet", "IAlgorithmSelector": "there is no algorithm selector",
    "IDebugListener": "a debug listener is a callable: IExecutionContext.set_debug_listener",
}


def __getattr__(name: str) -> Any:
    if name in _REFUSED:
        from ..errors import UnsupportedError

        raise UnsupportedError(f"trt.{name} is not in Tenon: {_REFUSED[name]}")
    raise AttributeError(f"module 'tenon.trt' has no attribute '{name}'")
