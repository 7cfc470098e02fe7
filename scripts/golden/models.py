#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# models.py [NAME ...]: tiny random checkpoints of model families with Hugging Face's logits and greedy tokens, into
# tests/golden/models. For each family, and each field of its configuration that changes results, one with another value than
# the default. Needs torch and transformers (made with 2.15 and 5.23). Weights are rounded to bfloat16 and kept so; the sums are
# float32. A seed counts only if no greedy token was a close call. Architectures that transformers has no code for are what another
# one computes under other names (RENAMED).
import json
import pathlib
import shutil
import sys

import safetensors.torch
import torch
import transformers as hf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models"
VOCAB, TOKENS, MIN_MARGIN = 96, 24, 1e-3
BASE = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2)
GPT = dict(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=256, pad_token_id=0, bos_token_id=1, eos_token_id=2)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24)
VISION = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
ALTERNATE = ["sliding_attention", "full_attention", "sliding_attention"]


def rope(kind, theta=10000.0, **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def without(fields, *names):
    return {key: value for key, value in fields.items() if key not in names}


# name: (configuration class, fields)
MODELS = {
    # the families of the given goldens, with other values
    "llama-biases": (hf.LlamaConfig, BASE | dict(attention_bias=True, mlp_bias=True, hidden_act="gelu_pytorch_tanh", head_dim=16)),
    "llama-linear-rope": (hf.LlamaConfig, BASE | dict(rope_parameters=rope("linear", factor=4.0), hidden_act="relu")),
    "llama-dynamic-rope": (hf.LlamaConfig, BASE | dict(rope_parameters=rope("dynamic", factor=2.0), tie_word_embeddings=True)),
    "llama-yarn-rope": (hf.LlamaConfig, BASE | dict(
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=64, beta_fast=16.0, beta_slow=2.0))),
    "mistral-window": (hf.MistralConfig, BASE | dict(sliding_window=7)),
    "mixtral-window": (hf.MixtralConfig, BASE | dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=7, intermediate_size=24)),
    "qwen2-windows": (hf.Qwen2Config, BASE | dict(use_sliding_window=True, sliding_window=7, max_window_layers=1, num_hidden_layers=3)),
    "qwen3-biases": (hf.Qwen3Config, BASE | dict(attention_bias=True, head_dim=16, tie_word_embeddings=True)),
    "gpt2-scales": (hf.GPT2Config, GPT | dict(scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False, n_inner=48,
                                              activation_function="relu", tie_word_embeddings=False)),
    "gemma2-no-caps": (hf.Gemma2Config, BASE | dict(head_dim=16, attention_bias=True, attn_logit_softcapping=None, num_hidden_layers=3,
                                                    final_logit_softcapping=None, sliding_window=6, query_pre_attn_scalar=24)),
    "phi3-longrope": (hf.Phi3Config, BASE | dict(
        original_max_position_embeddings=8, sliding_window=20, tie_word_embeddings=True,
        rope_parameters=rope("longrope", short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.0, 2.0, 4.0, 8.0]))),
    "phi3-partial": (hf.Phi3Config, BASE | dict(rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "gptj-whole-head": (hf.GPTJConfig, GPT | dict(rotary_dim=8, n_inner=48, activation_function="gelu", tie_word_embeddings=False)),
    "gpt_neox-sequential": (hf.GPTNeoXConfig, without(BASE, "num_key_value_heads") | dict(
        use_parallel_residual=False, attention_bias=False, rope_parameters=rope("default", 5000.0, partial_rotary_factor=0.5),
        tie_word_embeddings=True)),
    "falcon-groups": (hf.FalconConfig, without(BASE, "num_key_value_heads", "intermediate_size") | dict(
        new_decoder_architecture=True, num_kv_heads=2, bias=True, ffn_hidden_size=48)),
    "falcon-one-norm": (hf.FalconConfig, without(BASE, "num_key_value_heads", "intermediate_size") | dict(
        new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1, tie_word_embeddings=False)),
    "falcon-alibi": (hf.FalconConfig, without(BASE, "num_key_value_heads", "intermediate_size") | dict(
        alibi=True, multi_query=False, parallel_attn=False, bias=True)),
    "opt-narrow": (hf.OPTConfig, without(BASE, "num_key_value_heads", "intermediate_size") | dict(
        ffn_dim=48, do_layer_norm_before=False, word_embed_proj_dim=16)),
    "opt-no-biases": (hf.OPTConfig, without(BASE, "num_key_value_heads", "intermediate_size") | dict(
        ffn_dim=48, enable_bias=False, activation_function="gelu", word_embed_proj_dim=32, tie_word_embeddings=False)),
    "bloom-six-heads": (hf.BloomConfig, dict(vocab_size=VOCAB, hidden_size=48, n_layer=2, n_head=6, pad_token_id=0, bos_token_id=1,
                                             eos_token_id=2, apply_residual_connection_post_layernorm=True)),
    # more families
    "gemma": (hf.GemmaConfig, BASE | dict(head_dim=16)),
    "gemma3": (hf.Gemma3TextConfig, BASE | dict(
        head_dim=16, num_hidden_layers=3, sliding_window=6, layer_types=ALTERNATE, query_pre_attn_scalar=24,
        rope_parameters={"full_attention": rope("linear", 1000000.0, factor=8.0), "sliding_attention": rope("default")})),
    "qwen2_moe": (hf.Qwen2MoeConfig, BASE | EXPERTS | dict(shared_expert_intermediate_size=40, num_hidden_layers=3, mlp_only_layers=[1])),
    "qwen2_moe-normed": (hf.Qwen2MoeConfig, BASE | EXPERTS | dict(
        shared_expert_intermediate_size=24, norm_topk_prob=True, decoder_sparse_step=2, qkv_bias=False)),
    "qwen3_moe": (hf.Qwen3MoeConfig, BASE | EXPERTS | dict(head_dim=16, norm_topk_prob=True)),
    "qwen3_moe-plain": (hf.Qwen3MoeConfig, BASE | EXPERTS | dict(head_dim=8, norm_topk_prob=False, attention_bias=True, mlp_only_layers=[0],
                                                                tie_word_embeddings=True)),
    "phi": (hf.PhiConfig, BASE | dict(rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "phi-qk-norms": (hf.PhiConfig, BASE | dict(qk_layernorm=True, rope_parameters=rope("default", partial_rotary_factor=1.0),
                                               num_key_value_heads=4)),
    "starcoder2": (hf.Starcoder2Config, BASE | dict(use_bias=True)),
    "starcoder2-window": (hf.Starcoder2Config, BASE | dict(use_bias=False, sliding_window=7, tie_word_embeddings=False,
                                                           hidden_act="gelu")),
    "olmo2": (hf.Olmo2Config, BASE),
    "olmo2-biases": (hf.Olmo2Config, BASE | dict(attention_bias=True, tie_word_embeddings=True)),
    "granite": (hf.GraniteConfig, BASE | dict(embedding_multiplier=6.0, residual_multiplier=0.3, attention_multiplier=0.2,
                                              logits_scaling=4.0)),
    "granite-biases": (hf.GraniteConfig, BASE | dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "cohere": (hf.CohereConfig, BASE | dict(logit_scale=0.25)),
    "cohere-qk-norms": (hf.CohereConfig, BASE | dict(use_qk_norm=True, attention_bias=True, tie_word_embeddings=False)),
    "cohere2": (hf.Cohere2Config, BASE | dict(num_hidden_layers=3, sliding_window=6, layer_types=ALTERNATE)),
    "stablelm": (hf.StableLmConfig, BASE | dict(rope_parameters=rope("default", partial_rotary_factor=0.25))),
    "stablelm-parallel": (hf.StableLmConfig, BASE | dict(use_parallel_residual=True, use_qkv_bias=True, qk_layernorm=True,
                                                         rope_parameters=rope("default", partial_rotary_factor=0.5),
                                                         tie_word_embeddings=True)),
    "smollm3": (hf.SmolLM3Config, BASE | dict(num_hidden_layers=3, no_rope_layers=[1, 0, 1], tie_word_embeddings=True)),
    "smollm3-windows": (hf.SmolLM3Config, BASE | dict(num_hidden_layers=3, no_rope_layers=[1, 1, 0], attention_bias=True, mlp_bias=True,
                                                      use_sliding_window=True, sliding_window=6)),
    "nemotron": (hf.NemotronConfig, BASE | dict(rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "nemotron-biases": (hf.NemotronConfig, BASE | dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True, hidden_act="gelu",
                                                       rope_parameters=rope("default", partial_rotary_factor=1.0))),
    "mpt": (hf.MptConfig, dict(vocab_size=VOCAB, d_model=48, n_heads=6, n_layers=2, expansion_ratio=4, max_seq_len=256, pad_token_id=0,
                               bos_token_id=1, eos_token_id=2)),
    "mpt-clipped": (hf.MptConfig, dict(vocab_size=VOCAB, d_model=32, n_heads=4, n_layers=2, expansion_ratio=4, max_seq_len=256,
                                       pad_token_id=0, bos_token_id=1, eos_token_id=2,
                                       attn_config=dict(clip_qkv=0.5, softmax_scale=0.4))),
    "gpt_bigcode": (hf.GPTBigCodeConfig, GPT | dict(n_inner=48)),
    "gpt_bigcode-heads": (hf.GPTBigCodeConfig, GPT | dict(multi_query=False, n_inner=48, scale_attn_weights=False,
                                                          tie_word_embeddings=False)),
    "gpt_oss": (hf.GptOssConfig, BASE | dict(
        head_dim=16, num_local_experts=4, num_experts_per_tok=2, intermediate_size=24, num_hidden_layers=3, sliding_window=6,
        layer_types=ALTERNATE,
        rope_parameters=rope("yarn", 150000.0, factor=8.0, original_max_position_embeddings=32, beta_fast=32.0, beta_slow=1.0,
                             truncate=False))),
    "deepseek_v2": (hf.DeepseekV2Config, BASE | dict(
        num_key_value_heads=4, q_lora_rank=None, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12,
        n_routed_experts=8, n_shared_experts=2, moe_intermediate_size=16, num_experts_per_tok=3, first_k_dense_replace=1,
        topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=1.5,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=64, mscale=1.0, mscale_all_dim=0.8))),
    "deepseek_v3": (hf.DeepseekV3Config, BASE | dict(
        rms_norm_eps=1e-2, num_key_value_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=16,
        n_routed_experts=8, n_shared_experts=1, moe_intermediate_size=16, num_experts_per_tok=3, first_k_dense_replace=1, n_group=4,
        topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=64, mscale=0.8, mscale_all_dim=0.8))),
    "exaone4": (hf.Exaone4Config, BASE | dict(num_hidden_layers=4, sliding_window=6, sliding_window_pattern=2)),
    "olmo": (hf.OlmoConfig, BASE | dict(clip_qkv=1.5)),
    "olmo3": (hf.Olmo3Config, BASE | dict(
        num_hidden_layers=3, sliding_window=6, layer_types=ALTERNATE, rope_parameters={
            "full_attention": rope("yarn", 500000.0, factor=4.0, original_max_position_embeddings=64, beta_fast=32.0, beta_slow=1.0),
            "sliding_attention": rope("default", 500000.0)})),
    "granitemoe": (hf.GraniteMoeConfig, BASE | dict(
        num_local_experts=4, num_experts_per_tok=2, intermediate_size=24, embedding_multiplier=6.0, residual_multiplier=0.3,
        attention_multiplier=0.2, logits_scaling=4.0)),
    "glm": (hf.GlmConfig, BASE | dict(head_dim=16)),
    "glm4_moe": (hf.Glm4MoeConfig, BASE | dict(
        head_dim=16, attention_bias=True, use_qk_norm=True, n_routed_experts=4, n_shared_experts=1, moe_intermediate_size=24,
        num_experts_per_tok=2, first_k_dense_replace=1, routed_scaling_factor=1.5)),
    "glm4": (hf.Glm4Config, BASE | dict(head_dim=8)),
    # decoders of checkpoints that read images too
    "gemma3-images": (hf.Gemma3Config, dict(
        text_config=BASE | dict(head_dim=16, num_hidden_layers=3, sliding_window=6, layer_types=ALTERNATE, query_pre_attn_scalar=24),
        vision_config=VISION, mm_tokens_per_image=4, image_token_index=90, boi_token_index=91, eoi_token_index=92)),
    "mistral3": (hf.Mistral3Config, dict(
        text_config=BASE | dict(model_type="mistral", sliding_window=None, rms_norm_eps=1e-5), tie_word_embeddings=False,
        vision_config=VISION | dict(model_type="pixtral", head_dim=8), image_token_index=90)),
    # as GGUF can say them
    "mixtral-all": (hf.MixtralConfig, BASE | dict(num_local_experts=4, num_experts_per_tok=2, intermediate_size=24)),
    "qwen2_moe-all": (hf.Qwen2MoeConfig, BASE | EXPERTS | dict(shared_expert_intermediate_size=40)),
    "gemma2-caps": (hf.Gemma2Config, BASE | dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=6, attn_logit_softcapping=5.0,
                                                 final_logit_softcapping=3.0)),
    "gemma3-six": (hf.Gemma3TextConfig, BASE | dict(head_dim=8, num_hidden_layers=6, sliding_window=6, query_pre_attn_scalar=8)),
    "bloom-four-heads": (hf.BloomConfig, dict(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, pad_token_id=0, bos_token_id=1,
                                              eos_token_id=2)),
    "cohere2-four": (hf.Cohere2Config, BASE | dict(num_hidden_layers=4, sliding_window=6, logit_scale=0.25)),
    "smollm3-four": (hf.SmolLM3Config, BASE | dict(num_hidden_layers=4)),
}


# --- architectures without code in transformers: another one's weights and fields under their names -------------------------


def chatglm(config, tensors):
    renames = (("model.embed_tokens", "transformer.embedding.word_embeddings"), ("model.norm", "transformer.encoder.final_layernorm"),
               ("lm_head", "transformer.output_layer"), ("model.layers", "transformer.encoder.layers"),
               ("self_attn.o_proj", "self_attention.dense"), ("gate_up_proj", "dense_h_to_4h"), ("down_proj", "dense_4h_to_h"))
    return dict(
        architectures=["ChatGLMModel"], model_type="chatglm", add_bias_linear=False, add_qkv_bias=True, hidden_size=config.hidden_size,
        apply_query_key_layer_scaling=True, apply_residual_connection_post_layernorm=False, attention_softmax_in_fp32=True,
        bias_dropout_fusion=True, ffn_hidden_size=config.intermediate_size, fp32_residual_connection=False, kv_channels=config.head_dim,
        layernorm_epsilon=config.rms_norm_eps, multi_query_attention=True, multi_query_group_num=config.num_key_value_heads,
        num_attention_heads=config.num_attention_heads, num_layers=config.num_hidden_layers, original_rope=True,
        padded_vocab_size=config.vocab_size, post_layer_norm=True, quantization_bit=0, rmsnorm=True, rope_ratio=2.0,
        seq_length=config.max_position_embeddings, tie_word_embeddings=False), joined(
            renamed(tensors, renames), "self_attn", lambda q, k, v: torch.cat([q, k, v]), "self_attention.query_key_value")


def exaone(config, tensors):
    renames = (("model.embed_tokens", "transformer.wte"), ("model.norm", "transformer.ln_f"), ("model.layers", "transformer.h"),
               ("input_layernorm", "ln_1"), ("post_attention_layernorm", "ln_2"), ("self_attn", "attn.attention"), ("o_proj", "out_proj"),
               ("gate_proj", "c_fc_0"), ("up_proj", "c_fc_1"), ("down_proj", "c_proj"))
    return dict(
        architectures=["ExaoneForCausalLM"], model_type="exaone", activation_function="silu", attention_dropout=0.0, embed_dropout=0.0,
        head_dim=config.head_dim, hidden_size=config.hidden_size, intermediate_size=config.intermediate_size,
        layer_norm_epsilon=config.rms_norm_eps, max_position_embeddings=config.max_position_embeddings,
        num_attention_heads=config.num_attention_heads, num_key_value_heads=config.num_key_value_heads,
        num_layers=config.num_hidden_layers, rope_scaling=without(config.rope_parameters, "rope_theta"),
        rope_theta=config.rope_parameters["rope_theta"], tie_word_embeddings=True,
        vocab_size=config.vocab_size), renamed(tensors, renames)


def internlm2(config, tensors):
    renames = (("embed_tokens", "tok_embeddings"), ("lm_head", "output"), ("input_layernorm", "attention_norm"),
               ("post_attention_layernorm", "ffn_norm"), ("self_attn.o_proj", "attention.wo"), ("mlp.gate_proj", "feed_forward.w1"),
               ("mlp.up_proj", "feed_forward.w3"), ("mlp.down_proj", "feed_forward.w2"))
    size, groups = config.head_dim, config.num_key_value_heads

    def by_groups(*parts):
        return torch.cat([part.reshape(groups, -1, size, *part.shape[1:]) for part in parts], 1).flatten(0, 2)

    return dict(
        architectures=["InternLM2ForCausalLM"], model_type="internlm2", attn_implementation="eager", bias=True, hidden_act="silu",
        hidden_size=config.hidden_size, intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_position_embeddings, num_attention_heads=config.num_attention_heads,
        num_hidden_layers=config.num_hidden_layers, num_key_value_heads=groups, rms_norm_eps=config.rms_norm_eps,
        rope_scaling={"type": "dynamic", "factor": 2.0}, rope_theta=config.rope_parameters["rope_theta"], tie_word_embeddings=False,
        vocab_size=config.vocab_size), joined(renamed(tensors, renames), "self_attn", by_groups, "attention.wqkv")


def baichuan(config, tensors):
    positions = "model_max_length" if config.is_large else "max_position_embeddings"
    second = dict(z_loss_weight=0) if config.is_large else {}
    return dict(
        architectures=["BaichuanForCausalLM"], model_type="baichuan", hidden_act="silu", hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size, num_attention_heads=config.num_attention_heads,
        num_hidden_layers=config.num_hidden_layers, rms_norm_eps=config.rms_norm_eps, tie_word_embeddings=False,
        vocab_size=config.vocab_size, **{positions: config.max_position_embeddings}, **second), joined(
            tensors, "self_attn", lambda q, k, v: torch.cat([q, k, v]), "self_attn.W_pack")


def renamed(tensors, renames):
    out = {}
    for name, x in tensors.items():
        for old, new in renames:
            name = name.replace(old, new)
        out[name] = x
    return out


def joined(tensors, attention, join, whole):
    """q, k and v, weights and biases, as one."""
    out = dict(tensors)
    for name in tensors:
        if f"{attention}.q_proj" in name:
            parts = [out.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
            out[name.replace(f"{attention}.q_proj", whole)] = join(*parts).contiguous()
    return out


class UnitHead(torch.nn.Linear):
    def forward(self, x):
        return torch.nn.functional.linear(x, torch.nn.functional.normalize(self.weight))


def as_large_baichuan(model):
    """ALiBi instead of rotary embedding (a position's cosine is 1 and its sine 0), and rows of the head of length 1."""
    heads, forward = model.config.num_attention_heads, model.forward
    model.lm_head.__class__ = UnitHead
    model.model.rotary_emb.inv_freq.zero_()

    def with_alibi(ids, **more):
        at = torch.arange(ids.shape[1])
        slopes = torch.tensor([2.0 ** (-8.0 * (h + 1) / heads) for h in range(heads)])
        bias = slopes[:, None, None] * (at[None, :] - at[:, None])
        return forward(ids, attention_mask=bias.masked_fill(at[None, :] > at[:, None], -torch.inf)[None], **more)

    model.forward = with_alibi


# name: (what is computed: configuration class, fields; what is written: (config, tensors) of (configuration, tensors))
RENAMED = {
    "chatglm": (hf.GlmConfig, BASE | dict(head_dim=8, rope_parameters=rope("default", 20000.0, partial_rotary_factor=0.5)), chatglm),
    "exaone": (hf.LlamaConfig, BASE | dict(tie_word_embeddings=True, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)), exaone),
    "internlm2": (hf.LlamaConfig, BASE | dict(attention_bias=True, rope_parameters=rope("dynamic", factor=2.0)), internlm2),
    "baichuan": (hf.LlamaConfig, BASE | dict(num_key_value_heads=4, is_large=False), baichuan),
    "baichuan-large": (hf.LlamaConfig, BASE | dict(num_key_value_heads=4, is_large=True), baichuan),
}


def randomize(model, generator):
    """Scales that keep activations near 1, so that every part shows in the logits."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            is_norm = "norm" in name or "ln_" in name or ".q_layernorm" in name
            if is_norm and name.endswith("weight"):
                offset = 0.0 if "Gemma" in type(model).__name__ or "Nemotron" in type(model).__name__ else 1.0
                p.copy_(offset + 0.2 * noise)
            elif p.dim() < 2:
                p.copy_(0.2 * noise)
            elif "emb" in name or "wte" in name or "wpe" in name:
                p.copy_((0.12 if model.config.tie_word_embeddings else 0.7) * noise)  # tied ones would repeat their input
            else:
                p.copy_(noise * 1.2 / p.shape[-1] ** 0.5)
            p.copy_(p.bfloat16().float())
        for name, b in model.named_buffers():
            if "correction_bias" in name:
                b.copy_((0.3 * torch.randn(b.shape, generator=generator)).bfloat16().float())


def run(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def greedy(model, ids):
    tokens, margins = [], []
    for _ in range(TOKENS):
        row = run(model, ids + tokens)[-1]
        top = row.topk(2)
        tokens.append(int(top.indices[0]))
        margins.append(float(top.values[0] - top.values[1]) if tokens[-1] != 2 else 0.0)  # no end
        if margins[-1] < MIN_MARGIN:
            break
    return tokens, margins


def make(name):
    config_class, fields, *rename = (MODELS | RENAMED)[name]
    for seed in range(1, 120):
        config = config_class(**fields)
        # eager Falcon adds its ALiBi twice, once with the mask
        attention = "sdpa" if getattr(config, "alibi", False) else "eager"
        generator = torch.Generator().manual_seed(seed)
        auto = hf.AutoModelForImageTextToText if hasattr(config, "vision_config") else hf.AutoModelForCausalLM
        model = auto.from_config(config, attn_implementation=attention).float().eval()
        randomize(model, generator)
        model.tie_weights()
        if getattr(config, "is_large", False):
            as_large_baichuan(model)
        cases = []
        for length in (11 if "longrope" in name else 5, 19):  # LongRoPE: beyond the original context
            ids = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
            logits, positions = run(model, ids), [0, length // 2, length - 1]
            tokens, margins = greedy(model, ids)
            cases.append({"input_ids": ids, "logits_positions": positions,
                          "logits": [[round(v, 5) for v in logits[p].tolist()] for p in positions],
                          "greedy": tokens, "greedy_margin": [round(m, 5) for m in margins]})
            if margins[-1] < MIN_MARGIN:
                break
        smallest = min(min(case["greedy_margin"]) for case in cases)
        distinct = len({token for case in cases for token in case["greedy"]})
        if smallest >= MIN_MARGIN and distinct >= 3:
            break
    else:
        print(f"{name}: no seed without a close call ({smallest}, {distinct} tokens)", flush=True)
        return
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.bfloat16().save_pretrained(folder)
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    if rename:
        fields, tensors = rename[0](config, safetensors.torch.load_file(folder / "model.safetensors"))
        safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        fields |= dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, torch_dtype="bfloat16", use_cache=True)
        (folder / "config.json").write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    source = f"scripts/golden/models.py, transformers {hf.__version__}, torch {torch.__version__}, seed {seed}"
    (folder / "expected.json").write_text(json.dumps({"source": source, "cases": cases}, separators=(",", ":")) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, smallest margin {smallest}, {distinct} tokens, {size >> 10} KB", flush=True)


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or MODELS | RENAMED:
        try:
            make(name)
        except Exception as error:  # the others are made all the same
            print(f"{name}: {error}", flush=True)


if __name__ == "__main__":
    main()
