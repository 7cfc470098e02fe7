# SPDX-License-Identifier: Apache-2.0
"""Plugin settings that TensorRT-LLM's scripts make. Tenon has no such plugins: settings are kept, saved with the configuration, and
change nothing."""

from __future__ import annotations

import enum
from typing import Any, Dict


class ContextFMHAType(enum.IntEnum):
    """How prompts' attention is computed."""

    disabled = 0
    enabled = 1
    enabled_with_fp32_acc = 2


_FIELDS: Dict[str, Any] = {
    "bert_attention_plugin": False, "gpt_attention_plugin": False, "multi_block_mode": False, "identity_plugin": False, "gemm_plugin": False,
    "smooth_quant_gemm_plugin": False, "layernorm_plugin": False, "layernorm_quantization_plugin": False, "rmsnorm_plugin": False,
    "rmsnorm_quantization_plugin": False, "attention_qk_half_accumulation": False, "remove_input_padding": False, "context_fmha_type":
    ContextFMHAType.disabled, "weight_only_groupwise_quant_matmul_plugin": False, "weight_only_quant_matmul_plugin": False, "nccl_plugin":
    False, "use_custom_all_reduce": False, "quantize_per_token_plugin": False, "quantize_tensor_plugin": False, "paged_kv_cache": False,
    "tokens_per_block": 0, "lookup_plugin": False, "lora_plugin": False, "in_flight_batching": False, "moe_plugin": False,
    "use_paged_context_fmha": False, "context_fmha": True,
}


class PluginConfig:
    """``set_<field>(value)`` and ``enable_<field>()``, as TensorRT-LLM 0.5 has them; fields are attributes too."""

    def __init__(self) -> None:
        self.init()

    def init(self) -> None:
        self.__dict__.update(_FIELDS)

    def __getattr__(self, name: str) -> Any:
        verb, _, field = name.partition("_")
        if verb in ("set", "enable") and (field in _FIELDS or field == "context_fmha"):
            field = "context_fmha_type" if field == "context_fmha" else field

            def change(value: Any = "float16" if field.endswith("_plugin") else True, **more: Any) -> "PluginConfig":
                if field == "paged_kv_cache" and value is not True:
                    more, value = {"tokens_per_block": value}, True
                value = more.pop("dtype", value)
                if field == "context_fmha_type":
                    value = ContextFMHAType(int(value))
                for key, given in {field: value, **more}.items():
                    if key not in _FIELDS:
                        raise AttributeError(f"PluginConfig has no field '{key}'")
                    setattr(self, key, given)
                return self

            return change
        raise AttributeError(f"PluginConfig has no attribute '{name}'")

    def to_dict(self) -> Dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}
