#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# quantized_models.py [NAME ...]: tiny random checkpoints in each form of quantised Hugging Face checkpoints, and GGUF files with every
# block type, into tests/golden/quantized_models. Expected logits and greedy tokens are transformers', in float32, of the weights as
# they decode. A seed counts only if no greedy token was a close call. Needs torch, transformers, gguf, ml_dtypes (made with 2.15, 5.23,
# 0.19 and 0.6).
import json
import shutil
import sys

import gguf
import ml_dtypes
import numpy as np
import torch
import transformers as hf
from gguf.constants import GGMLQuantizationType as T

import models
import packing

OUT = models.OUT.parent / "quantized_models"
GROUP, MIN_MARGIN = 32, 0.02
SHAPE = models.BASE | dict(hidden_size=64, intermediate_size=96, tie_word_embeddings=False)
FP8_SHAPE = SHAPE | dict(hidden_size=128, intermediate_size=256, num_hidden_layers=1)
GGUF_SHAPE = SHAPE | dict(hidden_size=256, intermediate_size=256, num_key_value_heads=1, head_dim=32)
EXPERTS = SHAPE | dict(head_dim=16, num_local_experts=4, num_experts_per_tok=2, intermediate_size=32, sliding_window=6,
                       layer_types=["sliding_attention", "full_attention"])


# --- a float weight [outputs, inputs] → (tensors behind its name, the values they stand for) ------------------------------------


def affine(w, bits, groups):
    """(codes, zeros, float16 scales) of columns that share groups[column]."""
    top, count = 2**bits - 1, groups.max() + 1
    low = np.stack([w[:, groups == g].min(1) for g in range(count)], 1).clip(max=0)
    high = np.stack([w[:, groups == g].max(1) for g in range(count)], 1).clip(min=0)
    scale = ((high - low) / top).astype(np.float16)
    wide = scale.astype(np.float64)
    zeros = np.rint(-low / wide).clip(0, top).astype(int)
    codes = (np.rint(w / wide[:, groups]) + zeros[:, groups]).clip(0, top).astype(int)
    return codes, zeros, scale, (codes - zeros[:, groups]) * wide[:, groups]


def to_awq(name, w, rng):
    codes, zeros, scale, values = affine(w, 4, np.arange(w.shape[1]) // GROUP)
    return packing.awq(codes, zeros, scale), values


def gptq_with(bits, order):
    """order: None; "input": weights that read one input agree on the columns' order, as they do where one Hessian gave it; "own"."""

    def to_gptq(name, w, rng):
        groups = np.arange(w.shape[1]) // GROUP
        if order:
            reads = name.rsplit(".", 2)[0] + str(w.shape[1]) + ("o" if "o_proj" in name else "") if order == "input" else name
            groups = np.random.default_rng(list(reads.encode())).permutation(groups)
        codes, zeros, scale, values = affine(w, bits, groups)
        return packing.gptq(codes, zeros, scale, groups, bits), values

    return to_gptq


def to_int4(name, w, rng):
    groups = w.reshape(w.shape[0], -1, GROUP)
    scale = (np.abs(groups).max(2) / 7.5).astype(ml_dtypes.bfloat16)
    wide = np.repeat(scale.astype(np.float64), GROUP, 1)
    numbers = np.rint(w / wide).clip(-8, 7).astype(int)
    return packing.compressed(numbers, scale, 4), numbers * wide


def to_int8(name, w, rng):
    scale = (np.abs(w).max(1, keepdims=True) / 127.5).astype(ml_dtypes.bfloat16)
    numbers = np.rint(w / scale.astype(np.float64)).clip(-128, 127).astype(np.int8)
    return {".weight": numbers, ".weight_scale": scale}, numbers * scale.astype(np.float64)


def to_fp8(name, w, rng):
    scale = (np.abs(w).max(1, keepdims=True) / 448).astype(ml_dtypes.bfloat16)
    numbers = (w / scale.astype(np.float64)).clip(-448, 448).astype(ml_dtypes.float8_e4m3fn)
    return {".weight": numbers, ".weight_scale": scale}, numbers.astype(np.float64) * scale.astype(np.float64)


def to_fp8_blocks(name, w, rng):
    spread = lambda s: np.repeat(np.repeat(s, 128, 0)[:w.shape[0]], 128, 1).astype(np.float64)
    scale = np.array([[np.abs(w[r:r + 128, c:c + 128]).max() / 448 for c in range(0, w.shape[1], 128)] for r in range(0, w.shape[0], 128)],
                     np.float32)
    numbers = (w / spread(scale)).clip(-448, 448).astype(ml_dtypes.float8_e4m3fn)
    return {".weight": numbers, ".weight_scale_inv": scale}, numbers.astype(np.float64) * spread(scale)


def to_mxfp4(w):
    """[..., outputs, inputs]"""
    blocks = w.reshape(*w.shape[:-1], -1, 32)
    power = np.ceil(np.log2(np.abs(blocks).max(-1) / 6)).astype(int)
    scaled = blocks / np.ldexp(1.0, power)[..., None]
    codes = np.abs(scaled[..., None] - packing.FP4).argmin(-1)
    return packing.mxfp4(codes, power + 127), (packing.FP4[codes] * np.ldexp(1.0, power)[..., None]).reshape(w.shape)


# --- models ---------------------------------------------------------------------------------------------------------------------


def compressed_config(kind, form, bits, strategy):
    weights = {"num_bits": bits, "type": kind, "symmetric": True, "strategy": strategy, "group_size": GROUP if strategy == "group" else None}
    return {"quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"], "kv_cache_scheme": None,
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}}


def gptq_config(bits, act_order):
    return {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "desc_act": act_order, "sym": False, "damp_percent": 0.1,
            "true_sequential": True}


# name: (fields of LlamaConfig, quantization_config, form of the layers' matrices)
LLAMAS = {
    "llama-awq": (SHAPE, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}, to_awq),
    "llama-gptq": (SHAPE, gptq_config(4, False), gptq_with(4, None)),
    "llama-gptq-order": (SHAPE, gptq_config(4, True), gptq_with(4, "input")),
    "llama-gptq-8": (SHAPE, gptq_config(8, False), gptq_with(8, None)),
    "llama-gptq-8-orders": (SHAPE, gptq_config(8, True), gptq_with(8, "own")),
    "llama-int4": (SHAPE, compressed_config("int", "pack-quantized", 4, "group"), to_int4),
    "llama-int8": (SHAPE, compressed_config("int", "int-quantized", 8, "channel"), to_int8),
    "llama-fp8": (FP8_SHAPE, compressed_config("float", "float-quantized", 8, "channel"), to_fp8),
    "llama-fp8-blocks": (FP8_SHAPE, {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]},
                         to_fp8_blocks),
}

# Types of the matrices of both layers: blocks of 256 columns where a row has so many, some weights that are joined alike, some not.
GGUF_TYPES = {
    "q": (T.Q2_K, T.Q5_K), "k": (T.Q3_K, T.IQ4_XS), "v": (T.Q4_K, T.Q8_0), "output": (T.IQ4_NL, T.Q5_1), "gate": (T.Q4_K, T.IQ4_XS),
    "up": (T.Q4_K, T.MXFP4), "down": (T.Q6_K, T.Q3_K), "token_embd": (T.Q6_K,), "head": (T.Q5_0,),
}


def floats_of(model):
    return {name: p.detach().numpy().astype(np.float64) for name, p in model.named_parameters()}


def put(model, name, values):
    with torch.no_grad():
        model.get_parameter(name).copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)))


def quantize_llama(form):
    def quantize(model, rng):
        tensors = {}
        for name, w in floats_of(model).items():
            if name.endswith("_proj.weight"):
                parts, values = form(name, w, rng)
                tensors |= {name.removesuffix(".weight") + suffix: part for suffix, part in parts.items()}
                put(model, name, values)
            else:
                tensors[name] = w.astype(ml_dtypes.bfloat16)
        return tensors

    return quantize


def quantize_gpt_oss(model, rng):
    """Experts [experts, inputs, outputs] in transformers are [experts, outputs, inputs] in the file."""
    tensors = {}
    for name, w in floats_of(model).items():
        if name.endswith(("gate_up_proj", "down_proj")):
            parts, values = to_mxfp4(w.swapaxes(1, 2))
            tensors |= {name + suffix: part for suffix, part in parts.items()}
            put(model, name, values.swapaxes(1, 2))
        else:
            tensors[name] = w.astype(ml_dtypes.bfloat16)
    return tensors


def cases_of(model, generator):
    """None: a close call."""
    cases = []
    for length in (5, 19):
        ids = torch.randint(3, models.VOCAB, (length,), generator=generator).tolist()
        logits, positions = models.run(model, ids), [0, length // 2, length - 1]
        tokens, margins = models.greedy(model, ids)
        if min(margins) < MIN_MARGIN:
            return None
        cases.append({"input_ids": ids, "logits_positions": positions,
                      "logits": [[round(v, 5) for v in logits[p].tolist()] for p in positions],
                      "greedy": tokens, "greedy_margin": [round(m, 5) for m in margins]})
    return cases if len({token for case in cases for token in case["greedy"]}) >= 3 else None


def make(name, config_class, fields, quantize, write):
    """quantize(model, rng) puts what the stored tensors stand for into the model and returns them; write(folder, config, tensors)."""
    for seed in range(1, 300):
        config, generator = config_class(**fields), torch.Generator().manual_seed(seed)
        model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        models.randomize(model, generator)
        tensors = quantize(model, np.random.default_rng(seed))
        cases = cases_of(model, generator)
        if cases:
            break
    else:
        raise SystemExit(f"{name}: no seed without a close call")
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder, model.config, tensors)
    source = f"scripts/golden/quantized_models.py, transformers {hf.__version__}, torch {torch.__version__}, seed {seed}"
    (folder / "expected.json").write_text(json.dumps({"source": source, "cases": cases}, separators=(",", ":")) + "\n")
    print(f"{name}: seed {seed}, {sum(file.stat().st_size for file in folder.iterdir()) >> 10} KB", flush=True)


def writer_with(quantization):
    def write(folder, config, tensors):
        config.dtype = torch.bfloat16
        fields = config.to_diff_dict() | {"architectures": [type(hf.AutoModelForCausalLM.from_config(config)).__name__],
                                          "quantization_config": quantization}
        (folder / "config.json").write_text(json.dumps(fields, indent=2, sort_keys=True, default=str) + "\n")
        (folder / "model.safetensors").write_bytes(packing.safetensors_of(tensors))

    return write


# --- GGUF -----------------------------------------------------------------------------------------------------------------------

# Where a block's float16 scale and minimum stand.
SCALES_AT = {T.Q4_0: (0,), T.Q4_1: (0, 2), T.Q5_0: (0,), T.Q5_1: (0, 2), T.Q8_0: (0,), T.Q2_K: (80, 82), T.Q3_K: (108,), T.Q4_K: (0, 2),
             T.Q5_K: (0, 2), T.Q6_K: (208,), T.IQ4_NL: (0,), T.IQ4_XS: (0,)}


def random_blocks(kind, rows, columns, deviation, rng):
    """Rows of blocks in which every bit is drawn; scales and minima such that values lie around zero with about this deviation."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows * columns // values, size), dtype=np.uint8)
    if kind == T.MXFP4:
        blocks[:, 0] = rng.integers(-1, 2, len(blocks)) + round(np.log2(deviation / 3)) + 127
        return blocks.reshape(rows, -1)

    def decode(*scales):
        for at, scale in zip(SCALES_AT[kind], scales):
            blocks[:, at:at + 2] = np.full((len(blocks), 1), scale, np.float16).view(np.uint8)
        return gguf.quants.dequantize(blocks, kind)

    shift = 0.0
    if len(SCALES_AT[kind]) == 2:
        shift = -decode(1, 0).mean() / decode(0, 1).mean()
    scale = deviation / decode(1, shift).std() * rng.uniform(0.7, 1.3, (len(blocks), 1))
    for at, factor in zip(SCALES_AT[kind], (1.0, shift)):
        blocks[:, at:at + 2] = (scale * factor).astype(np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


def quantize_gguf(model, rng):
    config, tensors = model.config, {}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, w in floats_of(model).items():
        new = names.get_name(name, try_suffixes=(".weight",))
        part = new.split(".")[-2].removeprefix("attn_").removeprefix("ffn_")
        if w.ndim < 2:
            tensors[new] = (w.astype(np.float32), None)
            continue
        layer = int(new.split(".")[1]) if new.startswith("blk") else 0
        kind = GGUF_TYPES["head" if new == "output.weight" else part][layer]
        blocks = random_blocks(kind, *w.shape, w.std(), rng)
        tensors[new] = (blocks, kind)
        values = gguf.quants.dequantize(blocks, kind)
        if part in ("q", "k"):  # stored with the halves of a head alternating
            values = values.reshape(w.shape[0] // config.head_dim, config.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)
        put(model, name, values)
    return tensors


def write_gguf(folder, config, tensors):
    w = gguf.GGUFWriter(folder / "model.gguf", "llama")
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_key_length(config.head_dim)
    w.add_value_length(config.head_dim)
    w.add_rope_dimension_count(config.head_dim)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_vocab_size(config.vocab_size)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    for name, (data, kind) in tensors.items():
        w.add_tensor(name, data, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    torch.set_num_threads(1)
    names = [*LLAMAS, "gpt_oss-mxfp4", "llama-gguf"]
    for name in sys.argv[1:] or names:
        if name == "llama-gguf":
            make(name, hf.LlamaConfig, GGUF_SHAPE, quantize_gguf, write_gguf)
        elif name == "gpt_oss-mxfp4":
            config = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"]}
            make(name, hf.GptOssConfig, EXPERTS, quantize_gpt_oss, writer_with(config))
        else:
            fields, config, form = LLAMAS[name]
            make(name, hf.LlamaConfig, fields, quantize_llama(form), writer_with(config))


if __name__ == "__main__":
    main()
