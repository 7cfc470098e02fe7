/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_config.c: config.json of a Hugging Face directory, in its current form (rope_parameters) and the older one (rope_theta,
 * rope_scaling). A key that is not in one of the tables below could change results, so it is refused unless its value says
 * "off" (null, false, empty). Absent keys have the defaults that transformers gives the architecture.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "model/family.h"

/* Read below. */
static const char *const read_keys[] = {
    "architectures",
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "tie_word_embeddings",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "bos_token_id",
    "eos_token_id",
    "sliding_window",
    "layer_types",
    "max_window_layers",
    "use_sliding_window",
    "num_local_experts",
    "num_experts_per_tok",
    "n_embd",
    "n_head",
    "n_layer",
    "n_positions",
    "n_inner",
    "activation_function",
    "layer_norm_epsilon",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "add_cross_attention",
    "attention_bias",
    "mlp_bias",
};

/* Training, bookkeeping, or seen in the weights themselves (biases). */
static const char *const ignored_keys[] = {
    "attention_dropout",
    "initializer_range",
    "use_cache",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "pretraining_tp",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "cls_token_id",
    "mask_token_id",
    "output_router_logits",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "id2label",
    "label2id",
    "problem_type",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "chunk_size_feed_forward",
    "n_ctx",
    "reorder_and_upcast_attn",
    "is_llama_config",
    "transformers.js_config",
    "gradient_checkpointing",
    "auto_map",
    "finetuning_task",
    "hidden_dropout",
    "attention_probs_dropout_prob",
    "tokenizer_class",
};

static const char *const rope_keys[] = {
    "rope_type",        "type",
    "rope_theta",       "partial_rotary_factor",
    "factor",           "original_max_position_embeddings",
    "low_freq_factor",  "high_freq_factor",
    "beta_fast",        "beta_slow",
    "attention_factor", "mscale",
    "mscale_all_dim",   "truncate",
    "finetuned",
};

/* Where the relatives of Llama differ. */
typedef struct hf_traits {
    const char *architecture;
    double theta;
    int64_t window;                     /* default of sliding_window; 0: none */
    bool has_window, has_window_switch; /* sliding_window; use_sliding_window and max_window_layers */
    bool has_experts, has_qk_norm;
    bool has_qkv_bias, has_bias_switch; /* always; by attention_bias */
    bool has_mlp_bias_switch;
} hf_traits;
static const hf_traits traits_table[] = {
    {.architecture = "LlamaForCausalLM", .theta = 1e4, .has_bias_switch = true, .has_mlp_bias_switch = true},
    {.architecture = "MistralForCausalLM", .theta = 1e4, .has_window = true, .window = 4096},
    {.architecture = "MixtralForCausalLM", .theta = 1e6, .has_window = true, .has_experts = true},
    {.architecture = "Qwen2ForCausalLM", .theta = 1e4, .has_window = true, .has_window_switch = true, .window = 4096, .has_qkv_bias = true},
    {.architecture = "Qwen3ForCausalLM",
     .theta = 1e4,
     .has_window = true,
     .has_window_switch = true,
     .window = 4096,
     .has_bias_switch = true,
     .has_qk_norm = true},
};

static const hf_traits *find_traits(const char *architecture) {
    size_t i = 0;
    while (strcmp(traits_table[i].architecture, architecture) != 0) i++; /* one for each of the family's names */
    return &traits_table[i];
}

static bool contains(const char *const *keys, size_t count, const char *key) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i], key) == 0) return true;
    return false;
}

static bool says_off(const tn_json_value *value) {
    bool is_true;
    switch (tn_json_kind_of(value)) {
    case TN_JSON_NULL: return true;
    case TN_JSON_BOOL: return tn_json_to_bool(value, NULL, &is_true) == TN_OK && !is_true;
    case TN_JSON_ARRAY:
    case TN_JSON_OBJECT: return tn_json_count(value) == 0;
    default: return false;
    }
}

static tn_status fail_unknown(const tn_json_value *member, tn_diag *diag) {
    return tn_json_fail(member, diag, TN_UNSUPPORTED, "is a field that Tenon does not know; it could change the results");
}

static tn_status check_keys(const tn_json_value *config, tn_diag *diag) {
    tn_status status = TN_OK;
    for (size_t i = 0; i < tn_json_count(config); i++) {
        const tn_json_value *member = tn_json_at(config, i);
        const char *key = tn_json_key(member, NULL);
        if (key[0] == '_' || contains(read_keys, sizeof read_keys / sizeof *read_keys, key) ||
            contains(ignored_keys, sizeof ignored_keys / sizeof *ignored_keys, key) || says_off(member))
            continue;
        status = fail_unknown(member, diag);
    }
    return status;
}

/* A field that other architectures have. */
static tn_status refuse_field(const tn_json_value *config, const char *key, const char *architecture, tn_diag *diag) {
    const tn_json_value *member = tn_json_find(config, key);
    if (member == NULL || says_off(member)) return TN_OK;
    return tn_json_fail(member, diag, TN_UNSUPPORTED, "is set, which means nothing for %s", architecture);
}

static tn_status read_architecture(const tn_json_value *config, tn_diag *diag, tn_arena *arena, tn_model_config *out,
                                   const tn_family **family) {
    const tn_json_value *architectures;
    const char *name;
    tn_status status = tn_json_get_array(config, "architectures", diag, &architectures);
    if (status != TN_OK) return status;
    if (tn_json_count(architectures) != 1)
        return tn_json_fail(architectures, diag, TN_INVALID_DATA, "has %zu names, must have one", tn_json_count(architectures));
    status = tn_json_to_string(tn_json_at(architectures, 0), diag, &name, NULL);
    if (status != TN_OK) return status;
    *family = tn_family_find_hf(name);
    if (*family == NULL)
        return tn_json_fail(tn_json_at(architectures, 0), diag, TN_UNSUPPORTED, "is '%s', an architecture that Tenon does not know", name);
    out->architecture = tn_arena_string(arena, name);
    return out->architecture != NULL ? TN_OK : tn_fail_memory(diag, "the model's configuration", strlen(name));
}

static tn_status read_activation(const tn_json_value *config, const char *key, tn_diag *diag, tn_activation_type *out_type) {
    static const struct {
        const char *name;
        tn_activation_type type;
    } names[] = {{"silu", TN_ACTIVATION_SILU},           {"swish", TN_ACTIVATION_SILU},
                 {"gelu", TN_ACTIVATION_GELU_ERF},       {"gelu_new", TN_ACTIVATION_GELU_TANH},
                 {"gelu_fast", TN_ACTIVATION_GELU_TANH}, {"gelu_pytorch_tanh", TN_ACTIVATION_GELU_TANH},
                 {"relu", TN_ACTIVATION_RELU},           {"quick_gelu", TN_ACTIVATION_GELU_QUICK}};
    const char *name;
    tn_status status = tn_json_get_string(config, key, diag, &name, NULL);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            *out_type = names[i].type;
            return TN_OK;
        }
    return tn_json_fail(tn_json_find(config, key), diag, TN_UNSUPPORTED, "is '%s', an activation that Tenon does not know", name);
}

/* An id, a list of ids, or null. */
static tn_status read_end_ids(const tn_json_value *config, tn_diag *diag, tn_model_config *out) {
    const tn_json_value *value = tn_json_find(config, "eos_token_id");
    if (value == NULL || tn_json_kind_of(value) == TN_JSON_NULL) return TN_OK;
    bool is_list = tn_json_kind_of(value) == TN_JSON_ARRAY;
    size_t count = is_list ? tn_json_count(value) : 1;
    if (count > TN_MAX_END_IDS)
        return tn_json_fail(value, diag, TN_UNSUPPORTED, "has %zu ids, at most %d are supported", count, TN_MAX_END_IDS);
    out->num_end_ids = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        tn_status status = tn_json_to_integer(is_list ? tn_json_at(value, i) : value, 0, out->vocab_size - 1, diag, &id);
        if (status != TN_OK) return status;
        out->end_ids[out->num_end_ids++] = (int32_t)id;
    }
    return TN_OK;
}

/* --- rotary embedding ------------------------------------------------------------------------------------------------ */

static tn_status read_rope_numbers(const tn_json_value *scaling, tn_rope *rope, int64_t max_positions, bool needs_factor, tn_diag *diag) {
    tn_status status =
        tn_json_get_integer_or(scaling, "original_max_position_embeddings", 1, 1 << 30, max_positions, diag, &rope->original_max_positions);
    if (status != TN_OK) return status;
    if (rope->scaling == TN_ROPE_DYNAMIC) rope->original_max_positions = max_positions; /* what Hugging Face compares with */
    double implied = (double)max_positions / (double)rope->original_max_positions;
    if (needs_factor)
        status = tn_json_get_number(scaling, "factor", 1e-3, 1e6, diag, &rope->factor);
    else
        status = tn_json_get_number_or(scaling, "factor", 1e-3, 1e6, implied, diag, &rope->factor);
    return status;
}

static tn_status read_rope_scaling(const tn_json_value *scaling, int64_t max_positions, tn_rope *rope, tn_diag *diag) {
    const char *type;
    tn_status status = tn_json_get_string_or(scaling, "rope_type", NULL, diag, &type);
    if (status == TN_OK && type == NULL) status = tn_json_get_string_or(scaling, "type", "default", diag, &type);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < tn_json_count(scaling); i++) {
        const tn_json_value *member = tn_json_at(scaling, i);
        if (!contains(rope_keys, sizeof rope_keys / sizeof *rope_keys, tn_json_key(member, NULL)) && !says_off(member))
            status = fail_unknown(member, diag);
    }
    if (status != TN_OK || strcmp(type, "default") == 0) return status;
    if (strcmp(type, "linear") == 0)
        rope->scaling = TN_ROPE_LINEAR;
    else if (strcmp(type, "dynamic") == 0)
        rope->scaling = TN_ROPE_DYNAMIC;
    else if (strcmp(type, "llama3") == 0)
        rope->scaling = TN_ROPE_LLAMA3;
    else if (strcmp(type, "yarn") == 0)
        rope->scaling = TN_ROPE_YARN;
    else
        return tn_json_fail(scaling, diag, TN_UNSUPPORTED, "has type '%s', a rotary scaling that Tenon does not know", type);
    status = read_rope_numbers(scaling, rope, max_positions, rope->scaling != TN_ROPE_YARN, diag);
    if (status != TN_OK) return status;
    if (rope->scaling == TN_ROPE_LLAMA3) {
        status = tn_json_get_number(scaling, "low_freq_factor", 1e-3, 1e6, diag, &rope->low_freq_factor);
        if (status == TN_OK) status = tn_json_get_number(scaling, "high_freq_factor", 1e-3, 1e6, diag, &rope->high_freq_factor);
        if (status == TN_OK && rope->high_freq_factor <= rope->low_freq_factor)
            status = tn_json_fail(scaling, diag, TN_INVALID_DATA, "has high_freq_factor <= low_freq_factor");
        return status;
    }
    if (rope->scaling != TN_ROPE_YARN) return TN_OK;
    bool is_truncated = true;
    double mscale = 0.0, mscale_all_dim = 0.0;
    status = tn_json_get_number_or(scaling, "beta_fast", 1e-3, 1e6, 32.0, diag, &rope->beta_fast);
    if (status == TN_OK) status = tn_json_get_number_or(scaling, "beta_slow", 1e-3, 1e6, 1.0, diag, &rope->beta_slow);
    if (status == TN_OK) status = tn_json_get_number_or(scaling, "attention_factor", 1e-6, 1e6, 0.0, diag, &rope->attention_factor);
    if (status == TN_OK) status = tn_json_get_bool_or(scaling, "truncate", true, diag, &is_truncated);
    if (status == TN_OK) status = tn_json_get_number_or(scaling, "mscale", 0.0, 1e6, 0.0, diag, &mscale);
    if (status == TN_OK) status = tn_json_get_number_or(scaling, "mscale_all_dim", 0.0, 1e6, 0.0, diag, &mscale_all_dim);
    if (status != TN_OK) return status;
    rope->keep_correction_range_fractional = !is_truncated;
    if (rope->attention_factor == 0.0 && mscale != 0.0 && mscale_all_dim != 0.0 && rope->factor > 1.0)
        rope->attention_factor = (0.1 * mscale * log(rope->factor) + 1.0) / (0.1 * mscale_all_dim * log(rope->factor) + 1.0);
    return TN_OK;
}

/* How far the scaling reaches: the default of max_seq_len stays max_positions. */
static int64_t scaled_positions(const tn_rope *rope, int64_t max_positions) {
    int64_t base = rope->scaling == TN_ROPE_YARN ? rope->original_max_positions : max_positions;
    bool is_stretched = rope->scaling == TN_ROPE_YARN || rope->scaling == TN_ROPE_DYNAMIC || rope->scaling == TN_ROPE_LINEAR;
    double reach = is_stretched ? fmin((double)base * rope->factor, 1 << 30) : (double)max_positions;
    return reach > (double)max_positions ? (int64_t)reach : max_positions;
}

static tn_status read_rope(const tn_json_value *config, double default_theta, tn_model_config *out, tn_rotary_type type, tn_diag *diag) {
    tn_rope *rope = &out->rope;
    *rope = (tn_rope){.type = type, .factor = 1.0, .original_max_positions = out->max_positions};
    const tn_json_value *scaling = tn_json_find(config, "rope_parameters");
    if (scaling == NULL || tn_json_kind_of(scaling) == TN_JSON_NULL) scaling = tn_json_find(config, "rope_scaling");
    if (scaling != NULL && tn_json_kind_of(scaling) == TN_JSON_NULL) scaling = NULL;
    double partial = 1.0;
    tn_status status = scaling != NULL ? tn_json_expect(scaling, TN_JSON_OBJECT, diag) : TN_OK;
    if (status == TN_OK) status = tn_json_get_number_or(config, "rope_theta", 1.001, 1e12, default_theta, diag, &rope->theta);
    if (status == TN_OK) status = tn_json_get_number_or(config, "partial_rotary_factor", 1e-3, 1.0, 1.0, diag, &partial);
    if (status == TN_OK && scaling != NULL) {
        status = tn_json_get_number_or(scaling, "rope_theta", 1.001, 1e12, rope->theta, diag, &rope->theta);
        if (status == TN_OK) status = tn_json_get_number_or(scaling, "partial_rotary_factor", 1e-3, 1.0, partial, diag, &partial);
        if (status == TN_OK) status = read_rope_scaling(scaling, out->max_positions, rope, diag);
    }
    rope->dim = (int64_t)((double)out->head_dim * partial);
    if (status == TN_OK) out->max_scaled_positions = scaled_positions(rope, out->max_positions);
    return status;
}

/* --- windows ------------------------------------------------------------------------------------------------------------ */

/* The window that windowed layers have (0: none) and the first of them. */
static tn_status read_window(const tn_json_value *config, const hf_traits *traits, tn_diag *diag, int64_t *out_window, int64_t *out_first) {
    *out_window = *out_first = 0;
    if (!traits->has_window) return refuse_field(config, "sliding_window", traits->architecture, diag);
    const tn_json_value *given = tn_json_find(config, "sliding_window");
    int64_t fallback = given == NULL ? traits->window : 0; /* null says none */
    tn_status status = tn_json_get_integer_or(config, "sliding_window", 1, 1 << 30, fallback, diag, out_window);
    if (status != TN_OK || !traits->has_window_switch) return status;
    bool is_used = false;
    status = tn_json_get_bool_or(config, "use_sliding_window", false, diag, &is_used);
    if (status == TN_OK) status = tn_json_get_integer_or(config, "max_window_layers", 0, 1 << 20, 28, diag, out_first);
    if (!is_used) *out_window = 0;
    return status;
}

static tn_status read_windows(const tn_json_value *config, const hf_traits *traits, tn_arena *arena, tn_model_config *out, tn_diag *diag) {
    int64_t window, first_windowed;
    tn_status status = read_window(config, traits, diag, &window, &first_windowed);
    const tn_json_value *types = tn_json_find(config, "layer_types");
    if (types != NULL && tn_json_kind_of(types) == TN_JSON_NULL) types = NULL;
    if (status == TN_OK && types != NULL) status = tn_json_expect(types, TN_JSON_ARRAY, diag);
    if (status != TN_OK) return status;
    if (types != NULL && (int64_t)tn_json_count(types) != out->num_layers)
        return tn_json_fail(types, diag, TN_INVALID_DATA, "has %zu entries for %lld layers", tn_json_count(types),
                            (long long)out->num_layers);

    int64_t *windows = tn_arena_alloc_array(arena, (size_t)out->num_layers, sizeof *windows);
    if (windows == NULL) return tn_fail_memory(diag, "the model's configuration", (size_t)out->num_layers * sizeof *windows);
    for (int64_t layer = 0; layer < out->num_layers; layer++) {
        windows[layer] = layer >= first_windowed ? window : 0;
        if (types == NULL) continue;
        const tn_json_value *entry = tn_json_at(types, (size_t)layer);
        const char *type;
        status = tn_json_to_string(entry, diag, &type, NULL);
        if (status != TN_OK) return status;
        if (strcmp(type, "full_attention") == 0)
            windows[layer] = 0;
        else if (strcmp(type, "sliding_attention") == 0 && window > 0)
            windows[layer] = window;
        else
            return tn_json_fail(entry, diag, TN_UNSUPPORTED, "is '%s', a kind of layer that Tenon cannot build from this file", type);
    }
    out->layer_windows = windows;
    return TN_OK;
}

/* --- families' fields --------------------------------------------------------------------------------------------------- */

enum { MAX_SIZE = 1 << 24, MAX_LAYERS = 4096, MAX_HEADS = 65536, MAX_EXPERTS = 65536 };

static tn_status read_head_size(const tn_json_value *config, tn_model_config *out, tn_diag *diag) {
    tn_status status = tn_json_get_integer_or(config, "head_dim", 1, MAX_SIZE, 0, diag, &out->head_dim);
    if (status != TN_OK || out->head_dim > 0) return status;
    out->head_dim = out->hidden_size / out->num_heads;
    if (out->hidden_size % out->num_heads == 0) return TN_OK;
    return tn_json_fail(config, diag, TN_INVALID_DATA, "has %lld attention heads, which do not divide a hidden size of %lld",
                        (long long)out->num_heads, (long long)out->hidden_size);
}

static tn_status read_biases(const tn_json_value *config, const hf_traits *traits, tn_model_config *out, tn_diag *diag) {
    bool has_attention_bias = false, has_mlp_bias = false;
    tn_status status = tn_json_get_bool_or(config, "attention_bias", false, diag, &has_attention_bias);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "mlp_bias", false, diag, &has_mlp_bias);
    if (status == TN_OK && !traits->has_bias_switch) status = refuse_field(config, "attention_bias", traits->architecture, diag);
    if (status == TN_OK && !traits->has_mlp_bias_switch) status = refuse_field(config, "mlp_bias", traits->architecture, diag);
    out->qkv_bias = has_attention_bias || traits->has_qkv_bias ? TN_BIAS_REQUIRED : TN_BIAS_NONE;
    out->o_bias = has_attention_bias ? TN_BIAS_REQUIRED : TN_BIAS_NONE;
    out->mlp_bias = has_mlp_bias ? TN_BIAS_REQUIRED : TN_BIAS_NONE;
    return status;
}

static tn_status read_experts(const tn_json_value *config, const hf_traits *traits, tn_model_config *out, tn_diag *diag) {
    if (!traits->has_experts) return refuse_field(config, "num_local_experts", traits->architecture, diag);
    tn_status status = tn_json_get_integer(config, "num_local_experts", 1, MAX_EXPERTS, diag, &out->num_experts);
    if (status == TN_OK) status = tn_json_get_integer(config, "num_experts_per_tok", 1, out->num_experts, diag, &out->experts_per_token);
    return status;
}

static tn_status read_llama(const tn_json_value *config, tn_arena *arena, tn_model_config *out, const tn_family *family, tn_diag *diag) {
    const hf_traits *traits = find_traits(out->architecture);
    tn_status status = tn_json_get_integer(config, "hidden_size", 1, MAX_SIZE, diag, &out->hidden_size);
    if (status == TN_OK) status = tn_json_get_integer(config, "intermediate_size", 1, MAX_SIZE, diag, &out->intermediate_size);
    if (status == TN_OK) status = tn_json_get_integer(config, "num_hidden_layers", 1, MAX_LAYERS, diag, &out->num_layers);
    if (status == TN_OK) status = tn_json_get_integer(config, "num_attention_heads", 1, MAX_HEADS, diag, &out->num_heads);
    if (status == TN_OK)
        status = tn_json_get_integer_or(config, "num_key_value_heads", 1, MAX_HEADS, out->num_heads, diag, &out->num_kv_heads);
    if (status == TN_OK) status = read_head_size(config, out, diag);
    if (status == TN_OK) status = tn_json_get_integer(config, "max_position_embeddings", 1, 1 << 30, diag, &out->max_positions);
    if (status == TN_OK) status = tn_json_get_number(config, "rms_norm_eps", 1e-30, 1.0, diag, &out->norm_epsilon);
    if (status == TN_OK) status = read_activation(config, "hidden_act", diag, &out->activation);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "tie_word_embeddings", false, diag, &out->tie_embeddings);
    if (status == TN_OK) status = read_experts(config, traits, out, diag);
    if (status == TN_OK) status = read_biases(config, traits, out, diag);
    if (status == TN_OK) status = read_rope(config, traits->theta, out, family->hf_rotary, diag);
    if (status == TN_OK) status = read_windows(config, traits, arena, out, diag);
    out->has_qk_norm = traits->has_qk_norm;
    return status;
}

static tn_status read_gpt2(const tn_json_value *config, tn_model_config *out, tn_diag *diag) {
    bool has_cross_attention = false;
    tn_status status = tn_json_get_integer(config, "n_embd", 1, MAX_SIZE, diag, &out->hidden_size);
    if (status == TN_OK)
        status = tn_json_get_integer_or(config, "n_inner", 1, MAX_SIZE, 4 * out->hidden_size, diag, &out->intermediate_size);
    if (status == TN_OK) status = tn_json_get_integer(config, "n_layer", 1, MAX_LAYERS, diag, &out->num_layers);
    if (status == TN_OK) status = tn_json_get_integer(config, "n_head", 1, MAX_HEADS, diag, &out->num_heads);
    if (status == TN_OK) status = tn_json_get_integer(config, "n_positions", 1, 1 << 30, diag, &out->max_positions);
    if (status == TN_OK) status = tn_json_get_number(config, "layer_norm_epsilon", 1e-30, 1.0, diag, &out->norm_epsilon);
    if (status == TN_OK) status = read_activation(config, "activation_function", diag, &out->activation);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "tie_word_embeddings", true, diag, &out->tie_embeddings);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "scale_attn_weights", true, diag, &out->scale_attention);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "scale_attn_by_inverse_layer_idx", false, diag, &out->scale_by_layer);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "add_cross_attention", false, diag, &has_cross_attention);
    if (status == TN_OK && has_cross_attention)
        status = tn_json_fail(tn_json_find(config, "add_cross_attention"), diag, TN_UNSUPPORTED, "is true: cross attention is not built");
    if (status != TN_OK) return status;
    out->num_kv_heads = out->num_heads;
    out->head_dim = out->hidden_size / out->num_heads;
    out->max_scaled_positions = out->max_positions;
    if (out->hidden_size % out->num_heads != 0)
        return tn_json_fail(config, diag, TN_INVALID_DATA, "has %lld attention heads, which do not divide a hidden size of %lld",
                            (long long)out->num_heads, (long long)out->hidden_size);
    return TN_OK;
}

/* generation_config.json has the last word on what ends an answer; many directories have none. */
static tn_status read_generation_config(const char *directory, const tn_allocator *allocator, tn_diag *diag, tn_model_config *out) {
    char *path = tn_path_join(allocator, directory, "generation_config.json");
    if (path == NULL) return tn_fail_memory(diag, "a path", strlen(directory));
    tn_json *json = NULL;
    tn_status status = TN_OK;
    if (tn_path_exists(path)) {
        status = tn_json_load(path, NULL, allocator, diag, &json);
        if (status == TN_OK) status = tn_json_expect(tn_json_root(json), TN_JSON_OBJECT, diag);
        if (status == TN_OK) status = read_end_ids(tn_json_root(json), diag, out);
    }
    tn_json_destroy(json);
    tn_free(allocator, path);
    return status;
}

tn_status tn_model_config_from_json(const tn_json *json, const char *file, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                    const tn_family **out_family) {
    *out_config = (tn_model_config){.bos_id = -1, .scale_attention = true, .name = ""};
    *out_family = NULL;
    const tn_json_value *config = tn_json_root(json);
    tn_status status = tn_json_expect(config, TN_JSON_OBJECT, diag);
    if (status == TN_OK) status = read_architecture(config, diag, arena, out_config, out_family);
    if (status == TN_OK) status = check_keys(config, diag);
    if (status == TN_OK) status = tn_json_get_integer(config, "vocab_size", 1, MAX_SIZE, diag, &out_config->vocab_size);
    if (status == TN_OK)
        status =
            *out_family == &tn_family_gpt2 ? read_gpt2(config, out_config, diag) : read_llama(config, arena, out_config, *out_family, diag);
    int64_t bos_id = -1;
    if (status == TN_OK) status = tn_json_get_integer_or(config, "bos_token_id", 0, out_config->vocab_size - 1, -1, diag, &bos_id);
    if (status == TN_OK) status = read_end_ids(config, diag, out_config);
    if (status == TN_OK) status = tn_model_config_check(out_config, file, diag);
    out_config->bos_id = (int32_t)bos_id;
    return status;
}

tn_status tn_model_config_from_hf(const char *directory, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                  const tn_family **out_family) {
    *out_config = (tn_model_config){.bos_id = -1};
    *out_family = NULL;
    char *path = tn_path_join(arena->allocator, directory, "config.json");
    if (path == NULL) return tn_fail_memory(diag, "a path", strlen(directory));
    tn_json *json = NULL;
    tn_status status = tn_json_load(path, NULL, arena->allocator, diag, &json);
    if (status == TN_OK) status = tn_model_config_from_json(json, path, arena, diag, out_config, out_family);
    if (status == TN_OK) status = read_generation_config(directory, arena->allocator, diag, out_config);
    tn_json_destroy(json);
    tn_free(arena->allocator, path);
    return status;
}
