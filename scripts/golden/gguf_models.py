#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# gguf_models.py [NAME ...]: model.gguf beside golden models of tests/golden/models, with llama.cpp's names (the package gguf maps
# them), metadata keys, and what its converter does to tensors: rows of q and k put in pairs, q, k and v pulled apart, experts
# stacked, 1 added to scales that Hugging Face keeps without it. Needs gguf (made with 0.19), numpy and ml_dtypes.
import json
import pathlib
import struct
import sys

import gguf
import ml_dtypes
import numpy as np

MODELS = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models"
ARCH = gguf.MODEL_ARCH
TYPES = {"BF16": ml_dtypes.bfloat16, "F32": np.float32, "F16": np.float16}


def load(folder):
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(data[8 + size + begin:8 + size + end], TYPES[entry["dtype"]])
        tensors[name] = raw.astype(np.float32).reshape(entry["shape"])
    return json.loads((folder / "config.json").read_text()), tensors


def get(config, *names, default=None):
    for name in names:
        if config.get(name) is not None:
            return config[name]
    return default


def heads_of(config):
    heads = get(config, "num_attention_heads", "n_head", "n_heads")
    return heads, get(config, "num_key_value_heads", default=heads)


# --- what the converter does to tensors: (config, name, array) → [(name, array)] ------------------------------------------


def pairs(config, name, x):
    """Rows of q and k so that the two halves of a head alternate."""
    heads, kv_heads = heads_of(config)
    for part, count in (("q_proj", heads), ("k_proj", kv_heads)):
        if f"{part}." in name:
            x = x.reshape(count, 2, x.shape[0] // count // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
    return [(name, x)]


def add_one(config, name, x):
    return [(name, x + 1.0 if name.endswith("norm.weight") else x)]


def split_heads(config, name, x):
    """q, k, v of each head → all of q, of k, of v."""
    if config["model_type"] == "bloom":
        name = name.removeprefix("transformer.")
    if "query_key_value" not in name:
        return [(name, x)]
    heads, _ = heads_of(config)
    each = x.reshape(heads, 3, -1, *x.shape[1:])
    return [(name, np.concatenate([each[:, i].reshape(-1, *x.shape[1:]) for i in range(3)]))]


def split_groups(config, name, x):
    if "query_key_value" not in name:
        return [(name, x)]
    heads, _ = heads_of(config)
    kv_heads = config["num_kv_heads"] if config.get("new_decoder_architecture") else 1
    each = x.reshape(kv_heads, heads // kv_heads + 2, -1, *x.shape[1:])
    rows = [each[:, :-2], each[:, -2:-1], each[:, -1:]]
    return [(name, np.concatenate([part.reshape(-1, *x.shape[1:]) for part in rows]))]


def split_gates(config, name, x):
    """gpt-oss: gates and ups are alternate columns of [experts, in, 2 · out]."""
    if name.endswith("gate_up_proj"):
        x = x.swapaxes(1, 2)
        return [(name.replace("gate_up_proj", part) + ".weight", x[:, i::2]) for i, part in enumerate(("gate_proj", "up_proj"))]
    if name.endswith("gate_up_proj_bias"):
        return [(name.replace("gate_up_proj_bias", part) + ".bias", x[:, i::2]) for i, part in enumerate(("gate_proj", "up_proj"))]
    if name.endswith("down_proj"):
        return [(name + ".weight", x.swapaxes(1, 2))]
    if name.endswith("down_proj_bias"):
        return [(name.removesuffix("_bias") + ".bias", x)]
    return [(name + ".weight" if name.endswith("sinks") else name, x)]


def split_latent(config, name, x):
    """DeepSeek: what the latent is multiplied by, for keys the other way round, as absorbed projections need it."""
    if "kv_b_proj" not in name:
        return [(name.replace("e_score_correction_bias", "e_score_correction.bias"), x)]
    each = x.reshape(config["num_attention_heads"], -1, x.shape[-1])
    k, v = np.split(each, [config["qk_nope_head_dim"]], axis=1)
    return [(name.replace("kv_b_proj", "k_b_proj"), k.swapaxes(1, 2)), (name.replace("kv_b_proj", "v_b_proj"), v)]


def split_experts(config, name, x):
    """Granite: gates and ups are halves of [experts, 2 · out, in]; q and k in pairs."""
    if "input_linear" not in name:
        return pairs(config, name, x)
    return [(name.replace("block_sparse_moe.input_linear", f"mlp.experts.{part}"), half) for part, half in
            zip(("gate_proj", "up_proj"), np.split(x, 2, axis=1))]


def split_wqkv(config, name, x):
    """InternLM 2: q, k and v of each key/value head → all of q, of k, of v; q and k in pairs."""
    if "wqkv" not in name:
        return [(name, x)]
    heads, kv_heads = heads_of(config)
    each = x.reshape(kv_heads, heads // kv_heads + 2, -1, *x.shape[1:])
    parts = {"q_proj": each[:, :-2], "k_proj": each[:, -2:-1], "v_proj": each[:, -1:]}
    return [pairs(config, name.replace("attention.wqkv", f"self_attn.{part}"), rows.reshape(-1, *x.shape[1:]))[0] for part, rows in parts.items()]


def split_pack(config, name, x):
    """Baichuan: q, k, v; q and k in pairs."""
    if "W_pack" not in name:
        return [(name, x)]
    return [pairs(config, name.replace("W_pack", part), rows)[0] for part, rows in zip(("q_proj", "k_proj", "v_proj"), np.split(x, 3))]


def bare(config, name, x):
    return [(name.removeprefix("transformer."), x)]


# --- metadata -----------------------------------------------------------------------------------------------------------


def num_layers(config):
    return get(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers")


def sizes(w, config):
    heads, kv_heads = heads_of(config)
    hidden = get(config, "hidden_size", "n_embd", "d_model")
    w.add_block_count(num_layers(config) + (config["model_type"] == "glm4_moe"))  # and one that guesses
    w.add_context_length(get(config, "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", default=2048))
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(get(config, "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", default=4 * hidden))
    w.add_head_count(heads)
    if config["model_type"] == "falcon":
        kv_heads = config["num_kv_heads"] if config.get("new_decoder_architecture") else 1
    if config["model_type"] in ("gpt_bigcode", "deepseek_v3"):
        kv_heads = 1
    if config["model_type"] == "chatglm":
        kv_heads = config["multi_query_group_num"]
    w.add_head_count_kv(kv_heads)
    w.add_vocab_size(get(config, "vocab_size", "padded_vocab_size"))
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    if config.get("kv_lora_rank"):
        w.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
        w.add_value_length(config["kv_lora_rank"])
    elif config.get("head_dim"):
        w.add_key_length(config["head_dim"])
        w.add_value_length(config["head_dim"])
    epsilon = config["layer_norm_epsilon"] if config["model_type"] == "exaone" else get(config, "rms_norm_eps", "layernorm_epsilon")
    if epsilon is not None:
        w.add_layer_norm_rms_eps(epsilon)
    else:
        w.add_layer_norm_eps(1e-5 if config["model_type"] == "olmo" else get(config, "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps"))


def rotary(w, config):
    heads, _ = heads_of(config)
    head = config.get("head_dim") or get(config, "hidden_size", "n_embd") // heads
    rope = config.get("rope_parameters") or (config.get("rope_scaling") or {}) | {"rope_theta": config.get("rope_theta", 10000.0)}
    if config["model_type"] == "chatglm":
        rope = {"rope_theta": 10000.0 * config["rope_ratio"], "partial_rotary_factor": 0.5}
    whole = rope.get("full_attention", rope)
    w.add_rope_dimension_count(config.get("rotary_dim") or int(head * whole.get("partial_rotary_factor", 1.0)))
    w.add_rope_freq_base(whole.get("rope_theta", 10000.0))
    if whole.get("rope_type") in ("linear", "yarn"):
        kind = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}[whole["rope_type"]]
        w.add_rope_scaling_type(kind)
        w.add_rope_scaling_factor(whole["factor"])
        if kind == gguf.RopeScalingType.YARN:
            w.add_rope_scaling_orig_ctx_len(whole["original_max_position_embeddings"])
            if "beta_fast" in whole:
                w.add_rope_scaling_yarn_beta_fast(whole["beta_fast"])
                w.add_rope_scaling_yarn_beta_slow(whole["beta_slow"])
    if config["model_type"] in ("exaone4", "olmo3"):
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
    if config.get("sliding_window") and config["model_type"] != "qwen2_moe":
        w.add_sliding_window(config["sliding_window"])


def caps(w, config):
    for key, add in (("attn_logit_softcapping", w.add_attn_logit_softcapping), ("final_logit_softcapping", w.add_final_logit_softcapping)):
        if config.get(key):
            add(config[key])


def experts(w, config):
    w.add_expert_count(get(config, "num_experts", "num_local_experts", "n_routed_experts"))
    w.add_expert_used_count(config["num_experts_per_tok"])
    w.add_expert_feed_forward_length(get(config, "moe_intermediate_size", "intermediate_size"))
    if config.get("shared_expert_intermediate_size"):
        w.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])


def sigmoids(w, config):
    w.add_leading_dense_block_count(config["first_k_dense_replace"])
    w.add_expert_shared_count(config["n_shared_experts"])
    w.add_expert_weights_scale(config["routed_scaling_factor"])
    w.add_expert_weights_norm(config["norm_topk_prob"])
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if config["model_type"] == "glm4_moe":
        w.add_nextn_predict_layers(1)
    else:
        w.add_expert_group_count(config["n_group"])
        w.add_expert_group_used_count(config["topk_group"])


def latent(w, config):
    w.add_q_lora_rank(config["q_lora_rank"])
    w.add_kv_lora_rank(config["kv_lora_rank"])
    w.add_key_length_mla(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
    w.add_value_length_mla(config["v_head_dim"])
    w.add_rope_scaling_yarn_log_mul(0.1 * config["rope_parameters"]["mscale_all_dim"])


def granite_scales(w, config):
    w.add_attention_scale(config["attention_multiplier"])
    w.add_embedding_scale(config["embedding_multiplier"])
    w.add_residual_scale(config["residual_multiplier"])
    w.add_logit_scale(config["logits_scaling"])


def logit_scale(w, config):
    w.add_logit_scale(config["logit_scale"])


def alibi(w, config):
    w.add_max_alibi_bias(config["attn_config"]["alibi_bias_max"])
    if config["attn_config"]["clip_qkv"]:
        w.add_clamp_kqv(config["attn_config"]["clip_qkv"])


def clip(w, config):
    w.add_clamp_kqv(config["clip_qkv"])


def parallel(w, config):
    w.add_parallel_residual(config["use_parallel_residual"])


# name: (architecture, change of tensors, metadata beside the sizes)
CONVERSIONS = {
    "llama-yarn-rope": (ARCH.LLAMA, pairs, [rotary]),
    "qwen3-biases": (ARCH.QWEN3, None, [rotary]),
    "qwen3_moe": (ARCH.QWEN3MOE, None, [rotary, experts]),
    "gemma": (ARCH.GEMMA, add_one, [rotary]),
    "phi": (ARCH.PHI2, None, [rotary]),
    "phi3-partial": (ARCH.PHI3, None, [rotary]),
    "phi3-longrope": (ARCH.PHI3, None, [rotary]),
    "gpt_neox-sequential": (ARCH.GPTNEOX, split_heads, [rotary, parallel]),
    "falcon-groups": (ARCH.FALCON, split_groups, [rotary]),
    "starcoder2": (ARCH.STARCODER2, None, [rotary]),
    "gpt_bigcode": (ARCH.STARCODER, None, []),
    "olmo2": (ARCH.OLMO2, None, [rotary]),
    "granite": (ARCH.GRANITE, pairs, [rotary, granite_scales]),
    "cohere": (ARCH.COMMAND_R, None, [rotary, logit_scale]),
    "stablelm": (ARCH.STABLELM, None, [rotary, parallel]),
    "stablelm-parallel": (ARCH.STABLELM, None, [rotary, parallel]),
    "nemotron": (ARCH.NEMOTRON, add_one, [rotary]),
    "mpt": (ARCH.MPT, None, [alibi]),
    "mixtral-all": (ARCH.LLAMA, pairs, [rotary, experts]),
    "qwen2_moe-all": (ARCH.QWEN2MOE, None, [rotary, experts]),
    "gemma2-caps": (ARCH.GEMMA2, add_one, [rotary, caps]),
    "gemma3-six": (ARCH.GEMMA3, add_one, [rotary]),
    "bloom-four-heads": (ARCH.BLOOM, split_heads, []),
    "cohere2-four": (ARCH.COHERE2, None, [rotary, logit_scale]),
    "smollm3-four": (ARCH.SMOLLM3, pairs, [rotary]),
    "deepseek_v3": (ARCH.DEEPSEEK2, split_latent, [rotary, experts, sigmoids, latent]),
    "olmo": (ARCH.OLMO, pairs, [rotary, clip]),
    "olmo3": (ARCH.OLMO2, None, [rotary]),
    "granitemoe": (ARCH.GRANITE_MOE, split_experts, [rotary, experts, granite_scales]),
    "exaone": (ARCH.EXAONE, None, [rotary]),
    "exaone4": (ARCH.EXAONE4, None, [rotary]),
    "internlm2": (ARCH.INTERNLM2, split_wqkv, [rotary]),
    "baichuan": (ARCH.BAICHUAN, split_pack, [rotary]),
    "chatglm": (ARCH.CHATGLM, bare, [rotary]),
    "glm4_moe": (ARCH.GLM4_MOE, split_latent, [rotary, experts, sigmoids]),
    "glm4": (ARCH.GLM4, None, [rotary]),
    "gpt_oss": (ARCH.GPT_OSS, split_gates, [rotary, experts]),
}


def stack(tensors, config):
    """Tensors of experts and of norms of single heads → one."""
    out, groups = {}, {}
    for name, x in tensors.items():
        parts = name.split(".")
        at = parts.index("experts") if "experts" in parts else parts.index("norms") if "norms" in parts else -1
        if at < 0 or not parts[at + 1].isdigit():
            out[name] = x
            continue
        whole = ".".join(parts[:at + (parts[at] == "experts")] + parts[at + 2:])
        groups.setdefault(whole, {})[int(parts[at + 1])] = x
    for name, each in groups.items():
        out[name] = np.stack([each[i] for i in sorted(each)])
    return out


def llama3_factors(theta, size, scaling):
    """What each frequency is divided by: 1 where its wave is short, the factor where it is long, in between a blend."""
    waves = 2 * np.pi * theta ** (np.arange(0, size, 2) / size)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    blend = np.clip((scaling["original_max_position_embeddings"] / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - blend) / scaling["factor"] + blend)).astype(np.float32)


def convert(name):
    arch, change, keys = CONVERSIONS[name]
    config, tensors = load(MODELS / name)
    path = MODELS / name / "model.gguf"
    w = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    sizes(w, config)
    for add in keys:
        add(w, config)
    names = gguf.get_tensor_name_map(arch, num_layers(config))
    llama3 = config.get("rope_scaling") or {}
    if llama3.get("rope_type") == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_factors(config["rope_theta"], config["head_dim"], llama3))
    long = (config.get("rope_parameters") or {}).get("long_factor")
    if long:
        rope = config["rope_parameters"]
        original = get(rope, "original_max_position_embeddings", default=config.get("original_max_position_embeddings"))
        factor = config["max_position_embeddings"] / original
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors((1 + np.log(factor) / np.log(original)) ** 0.5)
        w.add_tensor("rope_factors_long.weight", np.array(long, np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))
    changed = {}
    for old, x in tensors.items():
        changed.update(change(config, old, x) if change else [(old, x)])
    for old, x in stack(changed, config).items():
        new = names.get_name(old, try_suffixes=(".weight", ".bias"))
        if new is None:
            raise SystemExit(f"{name}: {old} has no name in {arch}")
        x = x.squeeze() if "shared_expert_gate" in old else x
        if x.ndim < 2 or new.endswith(("norm.weight", ".bias")):
            w.add_tensor(new, np.ascontiguousarray(x, np.float32))
        else:
            bits = np.ascontiguousarray(x.astype(ml_dtypes.bfloat16)).view(np.uint8)
            w.add_tensor(new, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"{name}: {path.stat().st_size >> 10} KB", flush=True)


for chosen in sys.argv[1:] or CONVERSIONS:
    convert(chosen)
