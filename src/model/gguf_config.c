/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_config.c: a model's configuration from GGUF metadata ("<architecture>.<key>", gguf specification). A key of the
 * architecture that nothing here asks for could change the results, so it is refused.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"

typedef struct metadata_key {
    char text[160];
} metadata_key;

/* The whole key; it counts as asked for. */
static metadata_key make_key(tn_gguf_reader *reader, const char *name) {
    metadata_key key;
    snprintf(key.text, sizeof key.text, "%s.%s", reader->config->architecture, name);
    for (size_t i = 0; i < tn_gguf_num_values(reader->gguf); i++)
        if (strcmp(tn_gguf_value_at(reader->gguf, i)->key, key.text) == 0) reader->is_asked[i] = true;
    return key;
}

bool tn_gguf_has_key(tn_gguf_reader *reader, const char *name) {
    metadata_key key = make_key(reader, name);
    return tn_gguf_find(reader->gguf, key.text) != NULL;
}

int64_t tn_gguf_integer_key(tn_gguf_reader *reader, const char *name, int64_t min, int64_t max) {
    metadata_key key = make_key(reader, name);
    int64_t value = min;
    if (reader->status == TN_OK) reader->status = tn_gguf_get_integer(reader->gguf, key.text, min, max, reader->diag, &value);
    return reader->status == TN_OK ? value : min;
}

int64_t tn_gguf_integer_key_or(tn_gguf_reader *reader, const char *name, int64_t min, int64_t max, int64_t fallback) {
    return tn_gguf_has_key(reader, name) ? tn_gguf_integer_key(reader, name, min, max) : fallback;
}

double tn_gguf_number_key(tn_gguf_reader *reader, const char *name, double min, double max) {
    metadata_key key = make_key(reader, name);
    double value = min;
    if (reader->status == TN_OK) reader->status = tn_gguf_get_number(reader->gguf, key.text, min, max, reader->diag, &value);
    return reader->status == TN_OK ? value : min;
}

double tn_gguf_number_key_or(tn_gguf_reader *reader, const char *name, double min, double max, double fallback) {
    return tn_gguf_has_key(reader, name) ? tn_gguf_number_key(reader, name, min, max) : fallback;
}

bool tn_gguf_bool_key(tn_gguf_reader *reader, const char *name, bool fallback) {
    metadata_key key = make_key(reader, name);
    bool value = fallback;
    if (reader->status == TN_OK) reader->status = tn_gguf_get_bool_or(reader->gguf, key.text, fallback, reader->diag, &value);
    return reader->status == TN_OK ? value : fallback;
}

bool tn_gguf_has_tensor(const tn_gguf_reader *reader, const char *name) {
    return tn_gguf_find_tensor(reader->gguf, name) != NULL;
}

bool tn_gguf_is(const tn_gguf_reader *reader, const char *architecture) {
    return strcmp(reader->config->architecture, architecture) == 0;
}

void tn_gguf_norm(tn_gguf_reader *reader, bool is_layer_norm) {
    reader->config->is_layer_norm = is_layer_norm;
    reader->config->norm_epsilon =
        tn_gguf_number_key(reader, is_layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 1e-30, 1.0);
}

/* A tensor of factors for each pair; NULL: the file has none. */
static const float *read_factors(tn_gguf_reader *reader, const char *name) {
    const tn_gguf_tensor *tensor = tn_gguf_find_tensor(reader->gguf, name);
    int64_t pairs = reader->config->rope.dim / 2;
    if (tensor == NULL || reader->status != TN_OK) return NULL;
    if (tensor->type != TN_GGML_F32 || tensor->dims.rank != 1 || tensor->dims.d[0] != pairs) {
        reader->status = tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: tensor '%s' must be F32 with %lld values",
                                 tn_gguf_name(reader->gguf), name, (long long)pairs);
        return NULL;
    }
    float *factors = tn_arena_alloc(reader->arena, tensor->size_bytes);
    if (factors == NULL) {
        reader->status = tn_fail_memory(reader->diag, "rotary factors", tensor->size_bytes);
        return NULL;
    }
    reader->status = tn_gguf_read(reader->gguf, tensor, 0, factors, tensor->size_bytes, reader->diag);
    for (int64_t i = 0; reader->status == TN_OK && i < pairs; i++)
        if (!(factors[i] > 0.0f) || isinf(factors[i]))
            reader->status = tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: '%s' holds %g at %lld, must be above 0",
                                     tn_gguf_name(reader->gguf), name, (double)factors[i], (long long)i);
    return factors;
}

static void read_scaling(tn_gguf_reader *reader) {
    static const struct {
        const char *name;
        tn_rope_scaling scaling;
    } names[] = {{"none", TN_ROPE_DEFAULT}, {"linear", TN_ROPE_LINEAR}, {"yarn", TN_ROPE_YARN}, {"longrope", TN_ROPE_LONG}};
    metadata_key key = make_key(reader, "rope.scaling.type");
    if (tn_gguf_find(reader->gguf, key.text) == NULL || reader->status != TN_OK) return;
    const char *type;
    size_t size;
    reader->status = tn_gguf_get_string(reader->gguf, key.text, reader->diag, &type, &size);
    if (reader->status != TN_OK) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == size && memcmp(names[i].name, type, size) == 0) {
            reader->config->rope.scaling = names[i].scaling;
            return;
        }
    reader->status = tn_fail(reader->diag, TN_UNSUPPORTED, "cannot read %s: rotary scaling '%.*s' is not known to Tenon",
                             tn_gguf_name(reader->gguf), size < 64 ? (int)size : 64, type);
}

void tn_gguf_rope(tn_gguf_reader *reader, tn_rotary_type type) {
    tn_model_config *config = reader->config;
    tn_rope *rope = &config->rope;
    *rope = (tn_rope){.type = type, .factor = 1.0};
    rope->theta = tn_gguf_number_key_or(reader, "rope.freq_base", 1.001, 1e12, 10000.0);
    rope->dim = tn_gguf_integer_key_or(reader, "rope.dimension_count", 2, 1024, config->head_dim);
    rope->factor = tn_gguf_number_key_or(reader, "rope.scaling.factor", 1e-3, 1e6, 1.0);
    rope->attention_factor = tn_gguf_number_key_or(reader, "rope.scaling.attn_factor", 1e-6, 1e6, 0.0);
    rope->beta_fast = tn_gguf_number_key_or(reader, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0);
    rope->beta_slow = tn_gguf_number_key_or(reader, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0);
    rope->original_max_positions =
        tn_gguf_integer_key_or(reader, "rope.scaling.original_context_length", 1, 1 << 30, config->max_positions);
    (void)tn_gguf_bool_key(reader, "rope.scaling.finetuned", true); /* a note on training */
    read_scaling(reader);
    rope->frequency_factors = read_factors(reader, "rope_freqs.weight"); /* Llama 3.1's scaling */
    rope->long_factors = read_factors(reader, "rope_factors_long.weight");
    rope->short_factors = read_factors(reader, "rope_factors_short.weight");
    bool is_long = rope->long_factors != NULL && rope->short_factors != NULL;
    if (reader->status == TN_OK && rope->scaling == TN_ROPE_LONG && !is_long)
        reader->status = tn_fail(reader->diag, TN_INVALID_DATA,
                                 "cannot read %s: tensor 'rope_factors_long.weight' or 'rope_factors_short.weight' is missing",
                                 tn_gguf_name(reader->gguf));
    if (is_long) rope->scaling = TN_ROPE_LONG;
}

/* An array with a bool for each layer; NULL: the key is absent or no array. */
static const tn_gguf_value *find_list(tn_gguf_reader *reader, const char *name) {
    metadata_key key = make_key(reader, name);
    const tn_gguf_value *value = tn_gguf_find(reader->gguf, key.text);
    if (value == NULL || !value->is_array || reader->status != TN_OK) return NULL;
    if (value->type == TN_GGUF_BOOL && value->count == (uint64_t)reader->config->num_layers) return value;
    reader->status = tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: '%s' must have one bool for each of %lld layers",
                             tn_gguf_name(reader->gguf), key.text, (long long)reader->config->num_layers);
    return NULL;
}

void tn_gguf_windows(tn_gguf_reader *reader, int64_t pattern) {
    tn_model_config *config = reader->config;
    int64_t window = tn_gguf_integer_key_or(reader, "attention.sliding_window", 0, 1 << 30, 0);
    const tn_gguf_value *list = find_list(reader, "attention.sliding_window_pattern");
    if (list == NULL) pattern = tn_gguf_integer_key_or(reader, "attention.sliding_window_pattern", 1, 1 << 16, pattern);
    if (reader->status != TN_OK || window == 0) return;
    int64_t *windows = tn_arena_alloc_array(reader->arena, (size_t)config->num_layers, sizeof *windows);
    if (windows == NULL) {
        reader->status = tn_fail_memory(reader->diag, "the model's configuration", (size_t)config->num_layers * sizeof *windows);
        return;
    }
    for (int64_t layer = 0; layer < config->num_layers; layer++) {
        int64_t has_window = pattern == 0 || (layer + 1) % pattern != 0;
        if (list != NULL) (void)tn_gguf_integer(list, (uint64_t)layer, &has_window);
        windows[layer] = has_window != 0 ? window : 0;
    }
    config->layer_windows = windows;
}

static tn_status check_keys(tn_gguf_reader *reader) {
    const char *architecture = reader->config->architecture;
    size_t prefix = strlen(architecture);
    for (size_t i = 0; reader->status == TN_OK && i < tn_gguf_num_values(reader->gguf); i++) {
        const char *key = tn_gguf_value_at(reader->gguf, i)->key;
        if (reader->is_asked[i] || strncmp(key, architecture, prefix) != 0 || key[prefix] != '.') continue;
        tn_where where = {.subject = key, .file = tn_gguf_name(reader->gguf)};
        reader->status =
            tn_fail_at(reader->diag, TN_UNSUPPORTED, &where,
                       "cannot read %s: metadata '%s' is not known to Tenon and could change the results", tn_gguf_name(reader->gguf), key);
    }
    return reader->status;
}

static tn_status read_ids(tn_gguf_reader *reader) {
    tn_model_config *out = reader->config;
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id"}; /* end of turn: ends an answer too where it differs */
    int64_t ids[3];
    for (int i = 0; i < 3; i++) {
        tn_status status = tn_gguf_get_integer_or(reader->gguf, keys[i], 0, out->vocab_size - 1, -1, reader->diag, &ids[i]);
        if (status != TN_OK) return status;
    }
    out->bos_id = (int32_t)ids[0];
    if (ids[1] >= 0) out->end_ids[out->num_end_ids++] = (int32_t)ids[1];
    if (ids[2] >= 0 && ids[2] != ids[1]) out->end_ids[out->num_end_ids++] = (int32_t)ids[2];
    return TN_OK;
}

static void read_sizes(tn_gguf_reader *reader) {
    tn_model_config *out = reader->config;
    out->num_layers = tn_gguf_integer_key(reader, "block_count", 1, 4096);
    out->max_positions = tn_gguf_integer_key(reader, "context_length", 1, 1 << 30);
    out->max_scaled_positions = out->max_positions;
    out->hidden_size = tn_gguf_integer_key(reader, "embedding_length", 1, 1 << 24);
    out->intermediate_size = tn_gguf_integer_key(reader, "feed_forward_length", 1, 1 << 24);
    out->num_heads = tn_gguf_integer_key(reader, "attention.head_count", 1, 65536);
    out->num_kv_heads = tn_gguf_integer_key_or(reader, "attention.head_count_kv", 1, 65536, out->num_heads);
    out->head_dim = tn_gguf_integer_key_or(reader, "attention.key_length", 1, 1 << 16, 0);
    (void)tn_gguf_has_key(reader, "vocab_size");         /* the embeddings say it */
    (void)tn_gguf_has_key(reader, "tensor_data_layout"); /* a note */
    (void)tn_gguf_bool_key(reader, "attention.causal", true);
    if (reader->status != TN_OK) return;
    if (out->head_dim == 0) {
        out->head_dim = out->hidden_size / out->num_heads;
        if (out->hidden_size % out->num_heads != 0)
            reader->status =
                tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: %lld attention heads do not divide an embedding length of %lld",
                        tn_gguf_name(reader->gguf), (long long)out->num_heads, (long long)out->hidden_size);
    }
    out->v_head_dim = tn_gguf_integer_key_or(reader, "attention.value_length", 1, 1 << 16, out->head_dim);
    out->num_experts = tn_gguf_integer_key_or(reader, "expert_count", 0, 65536, 0);
    int64_t used = tn_gguf_integer_key_or(reader, "expert_used_count", 0, 65536, 0);
    out->expert_size = tn_gguf_integer_key_or(reader, "expert_feed_forward_length", 1, 1 << 24, out->intermediate_size);
    if (out->num_experts > 0) out->experts_per_token = used;
    if (reader->status == TN_OK && out->num_experts > 0 && (used < 1 || used > out->num_experts))
        reader->status = tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: '%s.expert_used_count' is %lld of %lld experts",
                                 tn_gguf_name(reader->gguf), out->architecture, (long long)used, (long long)out->num_experts);
}

/* Only latent attention has values of another size. */
static void check_value_heads(tn_gguf_reader *reader) {
    const tn_model_config *config = reader->config;
    if (reader->status == TN_OK && config->v_head_dim != config->head_dim && config->latent.kv_rank == 0)
        reader->status = tn_fail(reader->diag, TN_UNSUPPORTED, "cannot read %s: value heads of %lld beside key heads of %lld are not built",
                                 tn_gguf_name(reader->gguf), (long long)config->v_head_dim, (long long)config->head_dim);
}

static tn_status read_names(const tn_gguf *gguf, tn_arena *arena, tn_diag *diag, tn_model_config *out) {
    const char *name;
    size_t size;
    tn_status status = tn_gguf_get_string(gguf, "general.architecture", diag, &name, &size);
    if (status != TN_OK) return status;
    out->architecture = tn_arena_bytes(arena, name, size < 64 ? size : 64);
    if (out->architecture == NULL) return tn_fail_memory(diag, "the model's configuration", size);
    const tn_gguf_value *title = tn_gguf_find(gguf, "general.name");
    if (title == NULL || title->type != TN_GGUF_STRING || title->is_array) return TN_OK;
    name = tn_gguf_string(title, 0, &size);
    out->name = tn_arena_bytes(arena, name, size < 256 ? size : 256);
    return out->name != NULL ? TN_OK : tn_fail_memory(diag, "the model's configuration", size);
}

tn_status tn_model_config_from_gguf(const tn_gguf *gguf, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                    const tn_family **out_family) {
    *out_config = (tn_model_config){.bos_id = -1, .name = ""};
    *out_family = NULL;
    tn_status status = read_names(gguf, arena, diag, out_config);
    if (status != TN_OK) return status;
    *out_family = tn_family_find_gguf(out_config->architecture);
    if (*out_family == NULL)
        return tn_fail(diag, TN_UNSUPPORTED, "cannot read %s: architecture '%s' is %s", tn_gguf_name(gguf), out_config->architecture,
                       strcmp(out_config->architecture, "t5") == 0 ? "an encoder-decoder; only decoders are built" : "not known to Tenon");
    const tn_gguf_tensor *embedding = tn_gguf_find_tensor(gguf, "token_embd.weight");
    if (embedding == NULL || embedding->dims.rank != 2)
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: there is no matrix 'token_embd.weight'", tn_gguf_name(gguf));
    out_config->vocab_size = embedding->dims.d[0];
    if (out_config->vocab_size > 1 << 24)
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: 'token_embd.weight' has %lld rows, at most %d tokens are supported",
                       tn_gguf_name(gguf), (long long)out_config->vocab_size, 1 << 24);
    out_config->tie_embeddings = tn_gguf_find_tensor(gguf, "output.weight") == NULL;
    tn_gguf_reader reader = {.gguf = gguf, .arena = arena, .diag = diag, .config = out_config};
    reader.is_asked = tn_arena_alloc_array(arena, tn_gguf_num_values(gguf), sizeof *reader.is_asked);
    if (reader.is_asked == NULL) return tn_fail_memory(diag, "the model's configuration", tn_gguf_num_values(gguf));
    read_sizes(&reader);
    (*out_family)->read_gguf(&reader);
    check_value_heads(&reader);
    status = check_keys(&reader);
    if (status == TN_OK) status = read_ids(&reader);
    if (status == TN_OK) status = tn_model_config_check(out_config, tn_gguf_name(gguf), diag);
    return status;
}
