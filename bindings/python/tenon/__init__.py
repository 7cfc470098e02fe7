# SPDX-License-Identifier: Apache-2.0
"""Tenon: an inference compiler and LLM runtime.

    from tenon import LLM, SamplingParams
    llm = LLM("SmolLM2-135M-Instruct.gguf")
    print(llm.generate("What is the capital of France?", SamplingParams(max_tokens=32)).outputs[0].text)

``tenon.LLM`` answers; ``tenon.bindings.executor`` is TensorRT-LLM's Executor API under its names; the network side is ``tenon.Builder``,
``tenon.Network``, ``tenon.functional``, ``tenon.graph_rewriting`` and, under TensorRT's names, ``tenon.trt``.

The modules are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

from .version import __version__

if TYPE_CHECKING:
    from .builder import Builder, BuilderConfig
    from .engine import build_engine
    from .functional import Tensor
    from .llm import LLM, CompletionOutput, RequestOutput
    from .network import Network, default_net, default_trtnet, net_guard, set_network
    from .parameter import Parameter
    from .sampling_params import SamplingParams
    from .tokenizer import Tokenizer

# name in this package: module that defines it
_NAMES = {
    "LLM": "llm",
    "RequestOutput": "llm",
    "CompletionOutput": "llm",
    "SamplingParams": "sampling_params",
    "Tokenizer": "tokenizer",
    "build_engine": "engine",
    "Builder": "builder",
    "BuilderConfig": "builder",
    "Network": "network",
    "net_guard": "network",
    "default_net": "network",
    "default_trtnet": "network",
    "set_network": "network",
    "Tensor": "functional",
    "Parameter": "parameter",
}
_MODULES = ("bindings", "builder", "engine", "errors", "functional", "graph_rewriting", "llm", "logger", "network", "parameter", "plugin", "runtime",
            "sampling_params", "tokenizer", "trt")

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'tenon' has no attribute '{name}'")


def __dir__() -> List[str]:
    return sorted(set(globals()) | set(__all__))
