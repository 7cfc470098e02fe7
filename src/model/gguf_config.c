/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_config.c: a model's configuration from GGUF metadata ("<architecture>.<key>", gguf specification). A key of the
 * architecture that is not in the tables below could change results, so it is refused.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/gguf.h"
#include "model/family.h"

static const char *const known_keys[] = {
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.causal",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.attn_factor",
    "expert_count",
    "expert_used_count",
    "attention.sliding_window",
    "vocab_size",
    "use_parallel_residual",
};

typedef struct gguf_reader {
    const tn_gguf *gguf;
    const char *architecture;
    tn_diag *diag;
    char key[160];
} gguf_reader;

static const char *make_key(gguf_reader *reader, const char *name) {
    snprintf(reader->key, sizeof reader->key, "%s.%s", reader->architecture, name);
    return reader->key;
}

static tn_status get_integer(gguf_reader *reader, const char *name, int64_t min, int64_t max, int64_t *out) {
    return tn_gguf_get_integer(reader->gguf, make_key(reader, name), min, max, reader->diag, out);
}

static tn_status get_integer_or(gguf_reader *reader, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *out) {
    return tn_gguf_get_integer_or(reader->gguf, make_key(reader, name), min, max, fallback, reader->diag, out);
}

static tn_status get_number_or(gguf_reader *reader, const char *name, double min, double max, double fallback, double *out) {
    return tn_gguf_get_number_or(reader->gguf, make_key(reader, name), min, max, fallback, reader->diag, out);
}

static tn_status check_keys(gguf_reader *reader) {
    size_t prefix = strlen(reader->architecture);
    tn_status status = TN_OK;
    for (size_t i = 0; i < tn_gguf_num_values(reader->gguf); i++) {
        const char *key = tn_gguf_value_at(reader->gguf, i)->key;
        if (strncmp(key, reader->architecture, prefix) != 0 || key[prefix] != '.') continue;
        bool is_known = false;
        for (size_t k = 0; k < sizeof known_keys / sizeof *known_keys && !is_known; k++)
            is_known = strcmp(key + prefix + 1, known_keys[k]) == 0;
        if (is_known) continue;
        tn_where where = {.subject = key, .file = tn_gguf_name(reader->gguf)};
        status =
            tn_fail_at(reader->diag, TN_UNSUPPORTED, &where,
                       "cannot read %s: metadata '%s' is not known to Tenon and could change the results", tn_gguf_name(reader->gguf), key);
    }
    return status;
}

static tn_status read_rope(gguf_reader *reader, tn_model_config *out, const tn_family *family) {
    tn_rope *rope = &out->rope;
    if (family->gguf_rotary == NULL) return TN_OK;
    *rope = (tn_rope){.type = family->gguf_rotary(reader->architecture), .factor = 1.0, .beta_fast = 32.0, .beta_slow = 1.0};
    tn_status status = get_number_or(reader, "rope.freq_base", 1.001, 1e12, 10000.0, &rope->theta);
    if (status == TN_OK) status = get_integer_or(reader, "rope.dimension_count", 2, 1024, out->head_dim, &rope->dim);
    if (status == TN_OK) status = get_number_or(reader, "rope.scaling.factor", 1e-3, 1e6, 1.0, &rope->factor);
    if (status == TN_OK) status = get_number_or(reader, "rope.scaling.attn_factor", 1e-6, 1e6, 0.0, &rope->attention_factor);
    if (status == TN_OK)
        status =
            get_integer_or(reader, "rope.scaling.original_context_length", 1, 1 << 30, out->max_positions, &rope->original_max_positions);
    const char *key = make_key(reader, "rope.scaling.type");
    if (status != TN_OK || tn_gguf_find(reader->gguf, key) == NULL) return status;
    const char *type;
    size_t size;
    status = tn_gguf_get_string(reader->gguf, key, reader->diag, &type, &size);
    if (status != TN_OK) return status;
    if (size == 4 && memcmp(type, "none", 4) == 0)
        rope->scaling = TN_ROPE_DEFAULT;
    else if (size == 6 && memcmp(type, "linear", 6) == 0)
        rope->scaling = TN_ROPE_LINEAR;
    else if (size == 4 && memcmp(type, "yarn", 4) == 0)
        rope->scaling = TN_ROPE_YARN;
    else
        return tn_fail(reader->diag, TN_UNSUPPORTED, "cannot read %s: rotary scaling '%.*s' is not known to Tenon",
                       tn_gguf_name(reader->gguf), size < 64 ? (int)size : 64, type);
    return TN_OK;
}

/* Llama 3.1's scaling comes as a tensor of factors. */
static tn_status read_frequency_factors(gguf_reader *reader, tn_arena *arena, tn_rope *rope) {
    const tn_gguf_tensor *tensor = tn_gguf_find_tensor(reader->gguf, "rope_freqs.weight");
    if (tensor == NULL) return TN_OK;
    if (tensor->type != TN_GGML_F32 || tensor->dims.rank != 1 || tensor->dims.d[0] != rope->dim / 2)
        return tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: tensor 'rope_freqs.weight' must be F32 with %lld values",
                       tn_gguf_name(reader->gguf), (long long)(rope->dim / 2));
    float *factors = tn_arena_alloc(arena, tensor->size_bytes);
    if (factors == NULL) return tn_fail_memory(reader->diag, "rotary factors", tensor->size_bytes);
    tn_status status = tn_gguf_read(reader->gguf, tensor, 0, factors, tensor->size_bytes, reader->diag);
    for (int64_t i = 0; status == TN_OK && i < rope->dim / 2; i++)
        if (!(factors[i] > 0.0f) || isinf(factors[i]))
            status = tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: 'rope_freqs.weight' holds %g at %lld, must be above 0",
                             tn_gguf_name(reader->gguf), (double)factors[i], (long long)i);
    rope->frequency_factors = factors;
    return status;
}

static tn_status read_ids(gguf_reader *reader, tn_model_config *out) {
    int64_t bos_id, end_id;
    tn_status status =
        tn_gguf_get_integer_or(reader->gguf, "tokenizer.ggml.bos_token_id", 0, out->vocab_size - 1, -1, reader->diag, &bos_id);
    if (status == TN_OK)
        status = tn_gguf_get_integer_or(reader->gguf, "tokenizer.ggml.eos_token_id", 0, out->vocab_size - 1, -1, reader->diag, &end_id);
    if (status != TN_OK) return status;
    out->bos_id = (int32_t)bos_id;
    if (end_id >= 0) out->end_ids[out->num_end_ids++] = (int32_t)end_id;
    /* End of turn: ends an answer too where it differs. */
    int64_t turn_id;
    status = tn_gguf_get_integer_or(reader->gguf, "tokenizer.ggml.eot_token_id", 0, out->vocab_size - 1, -1, reader->diag, &turn_id);
    if (status == TN_OK && turn_id >= 0 && turn_id != end_id) out->end_ids[out->num_end_ids++] = (int32_t)turn_id;
    return status;
}

static tn_status read_sizes(gguf_reader *reader, tn_model_config *out) {
    tn_status status = get_integer(reader, "block_count", 1, 4096, &out->num_layers);
    if (status == TN_OK) status = get_integer(reader, "context_length", 1, 1 << 30, &out->max_positions);
    if (status == TN_OK) status = get_integer(reader, "embedding_length", 1, 1 << 24, &out->hidden_size);
    if (status == TN_OK) status = get_integer(reader, "feed_forward_length", 1, 1 << 24, &out->intermediate_size);
    if (status == TN_OK) status = get_integer(reader, "attention.head_count", 1, 65536, &out->num_heads);
    if (status == TN_OK) out->max_scaled_positions = out->max_positions;
    if (status == TN_OK) status = get_integer_or(reader, "attention.head_count_kv", 1, 65536, out->num_heads, &out->num_kv_heads);
    if (status == TN_OK) status = get_integer_or(reader, "attention.key_length", 1, 1 << 16, 0, &out->head_dim);
    if (status == TN_OK && out->head_dim == 0) {
        out->head_dim = out->hidden_size / out->num_heads;
        if (out->hidden_size % out->num_heads != 0)
            return tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: %lld attention heads do not divide an embedding length of %lld",
                           tn_gguf_name(reader->gguf), (long long)out->num_heads, (long long)out->hidden_size);
    }
    int64_t value_length = 0, window = 0;
    if (status == TN_OK) status = get_integer_or(reader, "attention.value_length", 1, 1 << 16, out->head_dim, &value_length);
    if (status == TN_OK && value_length != out->head_dim)
        status = tn_fail(reader->diag, TN_UNSUPPORTED, "cannot read %s: value heads of %lld beside key heads of %lld are not built",
                         tn_gguf_name(reader->gguf), (long long)value_length, (long long)out->head_dim);
    if (status == TN_OK) status = get_integer_or(reader, "attention.sliding_window", 0, 1 << 30, 0, &window);
    if (status == TN_OK && window > 0)
        status = tn_fail(reader->diag, TN_UNSUPPORTED, "cannot read %s: '%s.attention.sliding_window' is not built for this architecture",
                         tn_gguf_name(reader->gguf), reader->architecture);
    if (status == TN_OK) status = get_integer_or(reader, "expert_count", 0, 65536, 0, &out->num_experts);
    if (status == TN_OK && out->num_experts > 0)
        status = get_integer(reader, "expert_used_count", 1, out->num_experts, &out->experts_per_token);
    return status;
}

tn_status tn_model_config_from_gguf(const tn_gguf *gguf, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                    const tn_family **out_family) {
    *out_config = (tn_model_config){.bos_id = -1, .scale_attention = true, .name = ""};
    *out_family = NULL;
    const char *name;
    size_t size;
    tn_status status = tn_gguf_get_string(gguf, "general.architecture", diag, &name, &size);
    if (status != TN_OK) return status;
    out_config->architecture = tn_arena_bytes(arena, name, size < 64 ? size : 64);
    if (out_config->architecture == NULL) return tn_fail_memory(diag, "the model's configuration", size);
    *out_family = tn_family_find_gguf(out_config->architecture);
    if (*out_family == NULL)
        return tn_fail(diag, TN_UNSUPPORTED, "cannot read %s: architecture '%s' is not known to Tenon", tn_gguf_name(gguf),
                       out_config->architecture);
    const tn_gguf_value *title = tn_gguf_find(gguf, "general.name");
    if (title != NULL && title->type == TN_GGUF_STRING && !title->is_array) {
        name = tn_gguf_string(title, 0, &size);
        out_config->name = tn_arena_bytes(arena, name, size < 256 ? size : 256);
    }
    const tn_gguf_tensor *embedding = tn_gguf_find_tensor(gguf, "token_embd.weight");
    if (embedding == NULL || embedding->dims.rank != 2)
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: there is no matrix 'token_embd.weight'", tn_gguf_name(gguf));
    out_config->vocab_size = embedding->dims.d[0];
    if (out_config->vocab_size > 1 << 24)
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: 'token_embd.weight' has %lld rows, at most %d tokens are supported",
                       tn_gguf_name(gguf), (long long)out_config->vocab_size, 1 << 24);
    out_config->tie_embeddings = tn_gguf_find_tensor(gguf, "output.weight") == NULL;
    out_config->has_qk_norm = strcmp(out_config->architecture, "qwen3") == 0;

    gguf_reader reader = {.gguf = gguf, .architecture = out_config->architecture, .diag = diag};
    bool is_gpt2 = *out_family == &tn_family_gpt2;
    out_config->activation = is_gpt2 ? TN_ACTIVATION_GELU_TANH : TN_ACTIVATION_SILU;
    status = check_keys(&reader);
    if (status == TN_OK) status = read_sizes(&reader, out_config);
    if (status == TN_OK)
        status = tn_gguf_get_number(gguf, make_key(&reader, is_gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"),
                                    1e-30, 1.0, diag, &out_config->norm_epsilon);
    if (status == TN_OK) status = read_rope(&reader, out_config, *out_family);
    if (status == TN_OK) status = read_frequency_factors(&reader, arena, &out_config->rope);
    if (status == TN_OK) status = read_ids(&reader, out_config);
    if (status == TN_OK) status = tn_model_config_check(out_config, tn_gguf_name(gguf), diag);
    return status;
}
