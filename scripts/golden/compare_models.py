#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# compare_models.py [--seed N] [--count N] [--tenon PATH] [FAMILY ...]: random configurations of every family that transformers
# has, as tiny random checkpoints: Hugging Face's logits against Tenon's on ref and cpu. Fields take values that models.py does
# not have, together; a configuration is written as transformers 5 does or as 4 did, its weights in one file or in shards. What
# Tenon refuses is counted by its message: read those lines too. Needs torch, transformers, cffi, numpy, PYTHONPATH=BUILD/python.
import argparse
import collections
import datetime
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers as hf

import models
from models import rope
from tenon.bindings import executor as trtllm

ACTIVATIONS = ["silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu"]
# Sums of 30 to 200 terms in float32, in another order
RELATIVE, ABSOLUTE = 1e-4, 2e-4
PROMPTS = (1, 9, 19, 45)  # beyond the original context of LongRoPE, 8, or one token, which no rotation changes


def flag(r):
    return r.random() < 0.5


def rope_of(r, head_dim, kinds=("default", "linear", "dynamic", "yarn", "llama3")):
    kind, theta = r.choice(kinds), r.choice([10000.0, 500000.0, 1000000.0])
    if kind in ("linear", "dynamic"):
        return rope(kind, theta, factor=r.choice([2.0, 4.0, 8.0]))
    if kind == "yarn":
        more = {"attention_factor": 1.2} if flag(r) else {"mscale": 0.7, "mscale_all_dim": 0.9} if flag(r) else {}
        if flag(r):
            more |= {"beta_fast": 16.0, "beta_slow": 2.0}
        if flag(r):
            more["truncate"] = False
        return rope(kind, theta, factor=r.choice([2.0, 4.0]), original_max_position_embeddings=64, **more)
    if kind == "llama3":
        return rope(kind, theta, factor=8.0, low_freq_factor=1.0, high_freq_factor=r.choice([2.0, 4.0]), original_max_position_embeddings=64)
    if kind == "longrope":
        pairs = head_dim // 2
        return rope(kind, theta, short_factor=[1.0 + 0.1 * i for i in range(pairs)], long_factor=[1.0 + i for i in range(pairs)])
    return rope("default", theta)


def base(r, groups=True, head_dim=True):
    heads = r.choice([2, 3, 4, 6])
    kv_heads = r.choice([k for k in range(1, heads + 1) if heads % k == 0]) if groups else heads
    own_head_dim = r.choice([8, 16, 24])
    hidden = heads * (r.choice([8, 12, 20]) if head_dim else own_head_dim)
    fields = dict(vocab_size=r.choice([83, 96, 130]), hidden_size=hidden, intermediate_size=r.choice([24, 40, 56, 72]),
                  num_hidden_layers=r.choice([1, 2, 3]), num_attention_heads=heads, max_position_embeddings=256, pad_token_id=0,
                  bos_token_id=1, eos_token_id=2, tie_word_embeddings=flag(r))
    if groups:
        fields["num_key_value_heads"] = kv_heads
    if head_dim:
        fields["head_dim"] = own_head_dim
    return fields, own_head_dim


def rms(r):
    return dict(rms_norm_eps=r.choice([1e-6, 1e-5, 1e-2]))


def windows(r, fields):
    return {"layer_types": [r.choice(["sliding_attention", "full_attention"]) for _ in range(fields["num_hidden_layers"])],
            "sliding_window": r.choice([3, 6, 40])}


def experts(r):
    count = r.choice([4, 5, 8])
    return dict(num_experts=count, num_experts_per_tok=r.choice([1, 2, 3]), moe_intermediate_size=r.choice([16, 24]))


def llama(r):
    fields, d = base(r)
    return hf.LlamaConfig, fields | rms(r) | dict(attention_bias=flag(r), mlp_bias=flag(r), hidden_act=r.choice(ACTIVATIONS),
                                                  rope_parameters=rope_of(r, d))


def mistral(r):
    fields, d = base(r)
    return hf.MistralConfig, fields | rms(r) | dict(sliding_window=r.choice([None, 5, 30]), hidden_act=r.choice(ACTIVATIONS),
                                                    rope_parameters=rope_of(r, d))


def mixtral(r):
    fields, d = base(r)
    return hf.MixtralConfig, fields | rms(r) | dict(num_local_experts=r.choice([3, 4]), num_experts_per_tok=r.choice([1, 2]),
                                                    sliding_window=r.choice([None, 5]), rope_parameters=rope_of(r, d))


def qwen2(r):
    fields, d = base(r, head_dim=False)
    more = dict(use_sliding_window=True, sliding_window=5, max_window_layers=1) if flag(r) else {}
    return hf.Qwen2Config, fields | rms(r) | more | dict(hidden_act=r.choice(ACTIVATIONS), rope_parameters=rope_of(r, d))


def qwen3(r):
    fields, d = base(r)
    return hf.Qwen3Config, fields | rms(r) | dict(attention_bias=flag(r), rope_parameters=rope_of(r, d))


def qwen2_moe(r):
    fields, d = base(r, head_dim=False)
    more = dict(decoder_sparse_step=2) if flag(r) else dict(mlp_only_layers=[0]) if flag(r) else {}
    return hf.Qwen2MoeConfig, fields | rms(r) | experts(r) | more | dict(
        shared_expert_intermediate_size=r.choice([16, 40]), norm_topk_prob=flag(r), qkv_bias=flag(r), rope_parameters=rope_of(r, d))


def qwen3_moe(r):
    fields, d = base(r)
    return hf.Qwen3MoeConfig, fields | rms(r) | experts(r) | dict(norm_topk_prob=flag(r), attention_bias=flag(r),
                                                                  rope_parameters=rope_of(r, d))


def gemma(r):
    fields, d = base(r)
    return hf.GemmaConfig, fields | rms(r) | dict(hidden_act=r.choice(["gelu", "gelu_pytorch_tanh"]), rope_parameters=rope("default"))


def gemma2(r):
    fields, d = base(r)
    return hf.Gemma2Config, fields | rms(r) | windows(r, fields) | dict(
        query_pre_attn_scalar=r.choice([8, 24, 100]), attention_bias=flag(r), attn_logit_softcapping=r.choice([None, 5.0, 50.0]),
        final_logit_softcapping=r.choice([None, 3.0, 30.0]), rope_parameters=rope("default", r.choice([10000.0, 500000.0])))


def gemma3(r):
    fields, d = base(r)
    full = rope_of(r, d, ("default", "linear"))
    return hf.Gemma3TextConfig, fields | rms(r) | windows(r, fields) | dict(
        query_pre_attn_scalar=r.choice([8, 24, 100]), attention_bias=flag(r), final_logit_softcapping=r.choice([None, 3.0]),
        rope_parameters={"full_attention": full, "sliding_attention": rope("default", r.choice([10000.0, 500000.0]))})


def phi(r):
    fields, d = base(r, head_dim=False)
    return hf.PhiConfig, fields | dict(qk_layernorm=flag(r), layer_norm_eps=r.choice([1e-5, 1e-2]), hidden_act=r.choice(ACTIVATIONS),
                                       rope_parameters=rope_of(r, d) | {"partial_rotary_factor": r.choice([0.5, 1.0])})


def phi3(r):
    fields, d = base(r, head_dim=False)
    if flag(r):
        return hf.Phi3Config, fields | rms(r) | dict(original_max_position_embeddings=r.choice([8, 256]), sliding_window=r.choice([None, 9]),
                                                     rope_parameters=rope_of(r, d, ["longrope"]))
    return hf.Phi3Config, fields | rms(r) | dict(sliding_window=r.choice([None, 9]),
                                                 rope_parameters=rope("default", partial_rotary_factor=r.choice([0.5, 1.0])))


def starcoder2(r):
    fields, d = base(r, head_dim=False)
    return hf.Starcoder2Config, fields | dict(use_bias=flag(r), sliding_window=r.choice([None, 7]), hidden_act=r.choice(ACTIVATIONS),
                                              norm_epsilon=r.choice([1e-5, 1e-2]), rope_parameters=rope_of(r, d))


def olmo2(r):
    fields, d = base(r, head_dim=False)
    return hf.Olmo2Config, fields | rms(r) | dict(attention_bias=flag(r), hidden_act=r.choice(ACTIVATIONS), rope_parameters=rope_of(r, d))


def olmo(r):
    fields, d = base(r, head_dim=False)
    return hf.OlmoConfig, fields | dict(attention_bias=flag(r), clip_qkv=r.choice([None, 1.0]), hidden_act=r.choice(ACTIVATIONS),
                                        rope_parameters=rope_of(r, d))


def olmo3(r):
    fields, d = base(r, head_dim=False)
    theta = r.choice([10000.0, 500000.0])
    full = rope_of(r, d, ("default", "linear", "yarn")) | {"rope_theta": theta}
    full.pop("truncate", None)  # transformers looks for it beside the kinds of layers
    return hf.Olmo3Config, fields | rms(r) | windows(r, fields) | dict(
        attention_bias=flag(r), rope_parameters={"full_attention": full, "sliding_attention": rope("default", theta)})


def exaone4(r):
    fields, d = base(r, head_dim=False)
    more = windows(r, fields) if flag(r) else dict(sliding_window=r.choice([None, 5]))
    return hf.Exaone4Config, fields | rms(r) | more | dict(hidden_act=r.choice(ACTIVATIONS), rope_parameters=rope_of(r, d))


def glm(r, config_class=hf.GlmConfig):
    fields, d = base(r)
    return config_class, fields | rms(r) | dict(attention_bias=flag(r), rope_parameters=rope(
        "default", r.choice([10000.0, 500000.0]), partial_rotary_factor=r.choice([0.5, 1.0])))


def glm4_moe(r):
    fields, d = base(r)
    groups = r.choice([(1, 1), (2, 1), (4, 2)])
    return hf.Glm4MoeConfig, fields | rms(r) | dict(
        attention_bias=flag(r), use_qk_norm=flag(r), n_group=groups[0], topk_group=groups[1], n_routed_experts=8, num_experts_per_tok=2,
        n_shared_experts=r.choice([1, 2]), moe_intermediate_size=24, first_k_dense_replace=r.choice([0, 1]), norm_topk_prob=flag(r),
        rope_parameters=rope("default", partial_rotary_factor=r.choice([0.5, 1.0])))


def glm4(r):
    return glm(r, hf.Glm4Config)


def multipliers(r):
    return dict(embedding_multiplier=r.choice([1.0, 6.0]), residual_multiplier=r.choice([1.0, 0.3]),
                attention_multiplier=r.choice([1.0, 0.2]), logits_scaling=r.choice([1.0, 4.0]), attention_bias=flag(r))


def granite(r):
    fields, d = base(r, head_dim=False)
    return hf.GraniteConfig, fields | rms(r) | multipliers(r) | dict(mlp_bias=flag(r), rope_parameters=rope_of(r, d))


def granitemoe(r):
    fields, d = base(r, head_dim=False)
    return hf.GraniteMoeConfig, fields | rms(r) | multipliers(r) | dict(
        num_local_experts=r.choice([4, 5]), num_experts_per_tok=r.choice([1, 2]), rope_parameters=rope_of(r, d))


def cohere(r):
    fields, d = base(r, head_dim=False)
    return hf.CohereConfig, fields | dict(logit_scale=r.choice([0.0625, 1.0]), use_qk_norm=flag(r), attention_bias=flag(r),
                                          layer_norm_eps=r.choice([1e-5, 1e-2]), rope_parameters=rope_of(r, d, ["default", "linear"]))


def cohere2(r):
    fields, d = base(r, head_dim=False)
    return hf.Cohere2Config, fields | windows(r, fields) | dict(logit_scale=r.choice([0.0625, 1.0]), attention_bias=flag(r),
                                                                layer_norm_eps=r.choice([1e-5, 1e-2]), rope_parameters=rope("default"))


def stablelm(r):
    fields, d = base(r, head_dim=False)
    return hf.StableLmConfig, fields | dict(
        use_parallel_residual=flag(r), use_qkv_bias=flag(r), qk_layernorm=flag(r), layer_norm_eps=r.choice([1e-5, 1e-2]),
        rope_parameters=rope_of(r, d, ["default", "linear"]) | {"partial_rotary_factor": r.choice([0.25, 0.5, 1.0])})


def smollm3(r):
    fields, d = base(r, head_dim=False)
    n = fields["num_hidden_layers"]
    more = dict(use_sliding_window=True, sliding_window=6) if flag(r) else {}
    return hf.SmolLM3Config, fields | rms(r) | more | dict(no_rope_layers=[r.choice([0, 1]) for _ in range(n)], attention_bias=flag(r),
                                                           mlp_bias=flag(r), rope_parameters=rope_of(r, d, ["default", "linear", "yarn"]))


def nemotron(r):
    fields, d = base(r)
    return hf.NemotronConfig, fields | dict(
        attention_bias=flag(r), mlp_bias=flag(r), norm_eps=r.choice([1e-5, 1e-2]), hidden_act=r.choice(["relu2", "gelu"]),
        rope_parameters=rope("default", partial_rotary_factor=r.choice([0.5, 1.0])))


def gpt(r):
    heads = r.choice([2, 3, 4])
    return dict(vocab_size=r.choice([83, 96]), n_embd=heads * r.choice([8, 16]), n_layer=r.choice([1, 2]), n_head=heads, n_positions=256,
                pad_token_id=0, bos_token_id=1, eos_token_id=2, n_inner=r.choice([None, 40]), activation_function=r.choice(ACTIVATIONS),
                tie_word_embeddings=flag(r), layer_norm_epsilon=r.choice([1e-5, 1e-2]))


def gpt2(r):
    return hf.GPT2Config, gpt(r) | dict(scale_attn_by_inverse_layer_idx=flag(r), scale_attn_weights=flag(r))


def gptj(r):
    return hf.GPTJConfig, gpt(r) | dict(rotary_dim=r.choice([4, 8]))


def gpt_bigcode(r):
    return hf.GPTBigCodeConfig, gpt(r) | dict(multi_query=flag(r), scale_attn_weights=flag(r))


def gpt_neox(r):
    fields, d = base(r, groups=False, head_dim=False)
    return hf.GPTNeoXConfig, fields | dict(
        use_parallel_residual=flag(r), attention_bias=flag(r), layer_norm_eps=r.choice([1e-5, 1e-2]), hidden_act=r.choice(ACTIVATIONS),
        rope_parameters=rope_of(r, d, ["default", "linear"]) | {"partial_rotary_factor": r.choice([0.25, 0.5, 1.0])})


def falcon(r):
    fields, d = base(r, head_dim=False)
    kv_heads = fields.pop("num_key_value_heads")
    inner = fields.pop("intermediate_size")
    if flag(r):
        more = dict(new_decoder_architecture=True, num_kv_heads=kv_heads, num_ln_in_parallel_attn=r.choice([None, 1, 2]))
    else:
        more = dict(multi_query=flag(r), parallel_attn=flag(r))
    return hf.FalconConfig, fields | more | dict(bias=flag(r), alibi=flag(r), activation=r.choice(["gelu", "relu"]),
                                                 ffn_hidden_size=r.choice([None, inner]), layer_norm_epsilon=r.choice([1e-5, 1e-2]))


def opt(r):
    fields, d = base(r, groups=False, head_dim=False)
    inner = fields.pop("intermediate_size")
    return hf.OPTConfig, fields | dict(ffn_dim=inner, do_layer_norm_before=flag(r), word_embed_proj_dim=r.choice([16, fields["hidden_size"]]),
                                       enable_bias=flag(r), activation_function=r.choice(ACTIVATIONS))


def bloom(r):
    heads = r.choice([2, 3, 4, 6])
    return hf.BloomConfig, dict(vocab_size=96, hidden_size=heads * 8, n_layer=r.choice([1, 2]), n_head=heads, pad_token_id=0, bos_token_id=1,
                                eos_token_id=2, apply_residual_connection_post_layernorm=flag(r), layer_norm_epsilon=r.choice([1e-5, 1e-2]))


def mpt(r):
    heads = r.choice([2, 4, 6])
    more = dict(clip_qkv=r.choice([None, 0.5]), softmax_scale=r.choice([None, 0.4]))
    return hf.MptConfig, dict(vocab_size=96, d_model=heads * 8, n_heads=heads, n_layers=r.choice([1, 2]), expansion_ratio=4,
                              max_seq_len=256, pad_token_id=0, bos_token_id=1, eos_token_id=2, attn_config=more)


def gpt_oss(r):
    fields, d = base(r)
    return hf.GptOssConfig, fields | rms(r) | windows(r, fields) | dict(
        num_local_experts=r.choice([4, 5]), num_experts_per_tok=r.choice([1, 2]), rope_parameters=rope_of(r, d, ["yarn", "default"]))


def deepseek(r, config_class, more):
    fields, d = base(r, head_dim=False)
    fields["num_key_value_heads"] = fields["num_attention_heads"]
    return config_class, fields | rms(r) | more | dict(
        q_lora_rank=r.choice([None, 24]), kv_lora_rank=r.choice([16, 24]), qk_rope_head_dim=8, qk_nope_head_dim=r.choice([8, 16]),
        v_head_dim=r.choice([8, 12, 16]), n_shared_experts=r.choice([1, 2]), moe_intermediate_size=24,
        first_k_dense_replace=r.choice([0, 1]), routed_scaling_factor=r.choice([1.0, 2.5]), attention_bias=flag(r),
        rope_parameters=rope_of(r, 8, ["default", "yarn"]))


def deepseek_v2(r):
    groups = dict(topk_method="group_limited_greedy", n_group=2, topk_group=1) if flag(r) else dict(topk_method="greedy", n_group=1, topk_group=1)
    return deepseek(r, hf.DeepseekV2Config, groups | dict(n_routed_experts=8, num_experts_per_tok=r.choice([1, 2])))


def deepseek_v3(r):
    groups = r.choice([(1, 1), (2, 1), (4, 2)])
    return deepseek(r, hf.DeepseekV3Config, dict(n_group=groups[0], topk_group=groups[1], n_routed_experts=8, norm_topk_prob=flag(r),
                                                 num_experts_per_tok=2))


FAMILIES = [llama, mistral, mixtral, qwen2, qwen3, qwen2_moe, qwen3_moe, gemma, gemma2, gemma3, phi, phi3, starcoder2, olmo, olmo2,
            olmo3, exaone4, glm, glm4, glm4_moe, granite, granitemoe,
            cohere, cohere2, stablelm, smollm3, nemotron, gpt2, gptj, gpt_bigcode, gpt_neox, falcon, opt, bloom, mpt, gpt_oss,
            deepseek_v2, deepseek_v3]


def as_version_4(config):
    """config.json as transformers 4 wrote it; None where that had no words for it."""
    parameters = config.pop("rope_parameters", None)
    config["torch_dtype"] = config.pop("dtype")
    if parameters is None:
        return config
    if "full_attention" in parameters:  # a rope for each kind of layer
        if config["model_type"] not in ("gemma3_text", "olmo3"):
            return None
        if config["model_type"] == "gemma3_text":
            config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
    parameters = dict(parameters)
    theta, kind, share = parameters.pop("rope_theta"), parameters.pop("rope_type"), parameters.pop("partial_rotary_factor", None)
    config["rotary_emb_base" if config["model_type"] == "gpt_neox" else "rope_theta"] = theta
    if share is not None:
        config["rotary_pct" if config["model_type"] == "gpt_neox" else "partial_rotary_factor"] = share
    config["rope_scaling"] = None if kind == "default" else {"rope_type": kind, **parameters}
    return config


def logits_of(tenon, folder, device, prompts):
    engine = folder / ("engine-" + device)
    done = subprocess.run([tenon, "build", str(folder), "-o", str(engine), "--device", device, "--level", "0", "--no-cache", "--max-seq-len",
                           "128", "--threads", "1"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    result = []
    with trtllm.Executor(engine, trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()) as executor:
        for ids in prompts:
            request = executor.enqueue_request(trtllm.Request(ids, max_tokens=1, output_config=trtllm.OutputConfig(return_context_logits=True)))
            response = executor.await_responses(request, datetime.timedelta(seconds=60))[-1]
            result.append(np.asarray(response.result.context_logits, dtype=np.float64))
    return result


def compare(tenon, family, seed, refused):
    """None, or what is wrong."""
    r = random.Random(f"{family.__name__} {seed}")
    config_class, fields = family(r)
    config = config_class(**fields)
    attention = "sdpa" if getattr(config, "alibi", False) else "eager"
    generator = torch.Generator().manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval()
    models.randomize(model, generator)
    model.tie_weights()
    prompts = [torch.randint(3, config.vocab_size, (length,), generator=generator).tolist() for length in PROMPTS]
    wanted = [models.run(model, ids).double().numpy() for ids in prompts]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        getattr(model, r.choice(["bfloat16", "float", "bfloat16"]))().save_pretrained(folder, max_shard_size=r.choice(["20KB", "5GB"]))
        written = json.loads((folder / "config.json").read_text())
        version_4 = as_version_4(dict(written)) if flag(r) else None
        if version_4 is not None:
            (folder / "config.json").write_text(json.dumps(version_4))
        shown = json.dumps({key: value for key, value in fields.items() if not key.endswith("token_id")}) + (" as 4" if version_4 else "")
        for device in ("ref", "cpu"):
            try:
                found = logits_of(tenon, folder, device, prompts)
            except Exception as error:
                refused[str(error).replace(name, "").splitlines()[0] + "  [" + family.__name__ + "]"] += 1
                return None
            for ids, a, b in zip(prompts, wanted, found):
                bound = ABSOLUTE + RELATIVE * np.abs(a).max()
                worst = np.abs(a - b[: len(ids)]).max() if b.shape == a.shape else float("inf")
                if not worst <= bound:
                    return f"{family.__name__} seed {seed} on {device}, {len(ids)} tokens: {worst:.2e} > {bound:.2e}\n    {shown}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--tenon", default="build/bin/tenon")
    args = parser.parse_args()
    torch.set_num_threads(1)
    refused, wrong, ran = collections.Counter(), 0, 0
    for family in FAMILIES:
        if args.families and family.__name__ not in args.families:
            continue
        for seed in range(args.seed, args.seed + args.count):
            try:
                problem = compare(args.tenon, family, seed, refused)
            except Exception as error:  # of transformers: it has no such model
                print(f"{family.__name__} seed {seed}: transformers: {type(error).__name__} {error}", flush=True)
                continue
            ran += 1
            if problem:
                wrong += 1
                print(problem, flush=True)
    for message, count in refused.most_common():
        print(f"refused {count} times: {message}")
    print(f"{ran} configurations, {wrong} differ, {sum(refused.values())} refused")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
