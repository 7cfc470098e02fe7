/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_reader.c: see hf_reader.h.
 */
#include "model/hf_reader.h"

#include <stdio.h>
#include <string.h>

/* Training, bookkeeping, or seen in the weights themselves. */
static const char *const ignored_keys[] = {
    "model_type",
    "activation_dropout",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "auto_map",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cls_token_id",
    "dropout",
    "dtype",
    "embd_pdrop",
    "emb_pdrop",
    "embedding_dropout",
    "expert_dropout",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "init_device",
    "init_std",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "layerdrop",
    "mask_token_id",
    "max_length",
    "model_max_length",
    "n_ctx",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "sep_token_id",
    "slow_but_exact",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "use_cache",
};

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

bool tn_hf_is_harmless(const tn_json_value *member) {
    const char *key = tn_json_key(member, NULL);
    return key[0] == '_' || contains(ignored_keys, sizeof ignored_keys / sizeof *ignored_keys, key) || says_off(member);
}

static bool key_is(const char *key, const char *name, size_t name_size) {
    return strncmp(key, name, name_size) == 0 && key[name_size] == '\0';
}

static const tn_json_value *find_default(const tn_hf_reader *reader, const char *keys) {
    size_t count = reader->defaults != NULL ? tn_json_count(reader->defaults) : 0;
    for (size_t i = 0; i < count; i++)
        if (key_is(tn_json_key(tn_json_at(reader->defaults, i), NULL), keys, strcspn(keys, "|"))) return tn_json_at(reader->defaults, i);
    return NULL;
}

/* The first of "name|older name" that is there, null or not; all of them count as asked for. */
static const tn_json_value *find_member(tn_hf_reader *reader, const char *keys) {
    const tn_json_value *found = NULL, *fallback = find_default(reader, keys);
    while (*keys != '\0') {
        size_t size = strcspn(keys, "|");
        for (size_t i = 0; i < tn_json_count(reader->json); i++) {
            const tn_json_value *member = tn_json_at(reader->json, i);
            if (!key_is(tn_json_key(member, NULL), keys, size)) continue;
            reader->is_asked[i] = true;
            if (found == NULL) found = member;
        }
        keys += size;
        if (*keys == '|') keys++;
    }
    return found != NULL ? found : fallback;
}

static bool is_null(const tn_json_value *value) {
    return value == NULL || tn_json_kind_of(value) == TN_JSON_NULL;
}

const tn_json_value *tn_hf_find(tn_hf_reader *reader, const char *keys) {
    const tn_json_value *member = find_member(reader, keys);
    return is_null(member) ? NULL : member;
}

bool tn_hf_has(tn_hf_reader *reader, const char *keys) {
    return tn_hf_find(reader, keys) != NULL;
}

/* Said as the getters of json.h say it. */
static void fail_missing(tn_hf_reader *reader, const char *keys) {
    char key[64];
    int64_t value;
    snprintf(key, sizeof key, "%.*s", (int)strcspn(keys, "|"), keys);
    if (reader->status == TN_OK) reader->status = tn_json_get_integer(reader->json, key, 0, 0, reader->diag, &value);
}

void tn_hf_fail(tn_hf_reader *reader, const tn_json_value *value, tn_status code, const char *what) {
    if (reader->status != TN_OK) return;
    reader->status = tn_json_fail(value != NULL ? value : reader->json, reader->diag, code, "%s", what);
}

void tn_hf_fail_memory(tn_hf_reader *reader, size_t bytes) {
    if (reader->status == TN_OK) reader->status = tn_fail_memory(reader->diag, "the model's configuration", bytes);
}

static int64_t to_integer(tn_hf_reader *reader, const tn_json_value *member, int64_t min, int64_t max, int64_t fallback) {
    int64_t value = fallback;
    if (reader->status == TN_OK) reader->status = tn_json_to_integer(member, min, max, reader->diag, &value);
    return reader->status == TN_OK ? value : fallback;
}

static double to_number(tn_hf_reader *reader, const tn_json_value *member, double min, double max, double fallback) {
    double value = fallback;
    if (reader->status == TN_OK) reader->status = tn_json_to_number(member, min, max, reader->diag, &value);
    return reader->status == TN_OK ? value : fallback;
}

int64_t tn_hf_integer(tn_hf_reader *reader, const char *keys, int64_t min, int64_t max) {
    const tn_json_value *member = find_member(reader, keys);
    if (member != NULL) return to_integer(reader, member, min, max, min);
    fail_missing(reader, keys);
    return min;
}

int64_t tn_hf_integer_or(tn_hf_reader *reader, const char *keys, int64_t min, int64_t max, int64_t fallback) {
    const tn_json_value *member = tn_hf_find(reader, keys);
    return member != NULL ? to_integer(reader, member, min, max, fallback) : fallback;
}

double tn_hf_number(tn_hf_reader *reader, const char *keys, double min, double max) {
    const tn_json_value *member = find_member(reader, keys);
    if (member != NULL) return to_number(reader, member, min, max, min);
    fail_missing(reader, keys);
    return min;
}

double tn_hf_number_or(tn_hf_reader *reader, const char *keys, double min, double max, double fallback) {
    const tn_json_value *member = tn_hf_find(reader, keys);
    return member != NULL ? to_number(reader, member, min, max, fallback) : fallback;
}

bool tn_hf_bool(tn_hf_reader *reader, const char *keys, bool fallback) {
    const tn_json_value *member = tn_hf_find(reader, keys);
    bool value = fallback;
    if (member != NULL && reader->status == TN_OK) reader->status = tn_json_to_bool(member, reader->diag, &value);
    return reader->status == TN_OK ? value : fallback;
}

tn_bias_rule tn_hf_bias(tn_hf_reader *reader, const char *keys, bool fallback) {
    return tn_hf_bool(reader, keys, fallback) ? TN_BIAS_REQUIRED : TN_BIAS_NONE;
}

void tn_hf_require_bool(tn_hf_reader *reader, const char *key, bool value, const char *what_else) {
    const tn_json_value *member = tn_hf_find(reader, key);
    if (member != NULL && tn_hf_bool(reader, key, value) != value) tn_hf_fail(reader, member, TN_UNSUPPORTED, what_else);
}

void tn_hf_activation(tn_hf_reader *reader, const char *keys, const char *fallback) {
    static const struct {
        const char *name;
        tn_activation_type type;
    } names[] = {
        {"silu", TN_ACTIVATION_SILU},          {"swish", TN_ACTIVATION_SILU},          {"gelu", TN_ACTIVATION_GELU_ERF},
        {"gelu_new", TN_ACTIVATION_GELU_TANH}, {"gelu_fast", TN_ACTIVATION_GELU_TANH}, {"gelu_pytorch_tanh", TN_ACTIVATION_GELU_TANH},
        {"relu", TN_ACTIVATION_RELU},          {"relu2", TN_ACTIVATION_RELU},          {"quick_gelu", TN_ACTIVATION_GELU_QUICK}};
    const tn_json_value *member = find_member(reader, keys);
    const char *name = fallback;
    if (member == NULL && fallback == NULL) fail_missing(reader, keys);
    if (member != NULL && (fallback == NULL || !is_null(member)) && reader->status == TN_OK)
        reader->status = tn_json_to_string(member, reader->diag, &name, NULL);
    if (reader->status != TN_OK) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            reader->config->activation = names[i].type;
            reader->config->squares_activation = strcmp(name, "relu2") == 0;
            return;
        }
    reader->status = tn_json_fail(member, reader->diag, TN_UNSUPPORTED, "is '%s', an activation that Tenon does not know", name);
}

static void read_head_size(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    config->head_dim = tn_hf_integer_or(reader, "head_dim", 1, TN_HF_MAX_SIZE, 0);
    if (reader->status != TN_OK || config->head_dim > 0) return;
    config->head_dim = config->hidden_size / config->num_heads;
    if (config->hidden_size % config->num_heads != 0)
        reader->status =
            tn_json_fail(reader->json, reader->diag, TN_INVALID_DATA, "has %lld attention heads, which do not divide a hidden size of %lld",
                         (long long)config->num_heads, (long long)config->hidden_size);
}

void tn_hf_sizes(tn_hf_reader *reader, const tn_hf_keys *keys) {
    static const tn_hf_keys defaults = {"hidden_size",         "num_hidden_layers", "num_attention_heads",
                                        "num_key_value_heads", "intermediate_size", "max_position_embeddings"};
#define KEY(name) (keys != NULL && keys->name != NULL ? keys->name : defaults.name)
    tn_model_config *config = reader->config;
    config->hidden_size = tn_hf_integer(reader, KEY(hidden), 1, TN_HF_MAX_SIZE);
    if (strcmp(KEY(inner), "intermediate_size") == 0)
        config->intermediate_size = tn_hf_integer(reader, KEY(inner), 1, TN_HF_MAX_SIZE);
    else
        config->intermediate_size = tn_hf_integer_or(reader, KEY(inner), 1, TN_HF_MAX_SIZE, 4 * config->hidden_size);
    config->num_layers = tn_hf_integer(reader, KEY(layers), 1, TN_HF_MAX_LAYERS);
    config->num_heads = tn_hf_integer(reader, KEY(heads), 1, TN_HF_MAX_HEADS);
    config->num_kv_heads = tn_hf_integer_or(reader, KEY(kv_heads), 1, TN_HF_MAX_HEADS, config->num_heads);
    read_head_size(reader);
    if (KEY(positions)[0] != '\0') config->max_positions = tn_hf_integer(reader, KEY(positions), 1, 1 << 30);
    config->max_scaled_positions = config->max_positions;
#undef KEY
}

/* The window of a layer that layer_types names. */
static int64_t window_of_type(tn_hf_reader *reader, const tn_json_value *entry, int64_t window) {
    const char *type;
    if (reader->status == TN_OK) reader->status = tn_json_to_string(entry, reader->diag, &type, NULL);
    if (reader->status != TN_OK || strcmp(type, "full_attention") == 0) return 0;
    if (strcmp(type, "sliding_attention") == 0 && window > 0) return window;
    reader->status =
        tn_json_fail(entry, reader->diag, TN_UNSUPPORTED, "is '%s', a kind of layer that Tenon cannot build from this file", type);
    return 0;
}

void tn_hf_windows(tn_hf_reader *reader, int64_t window, int64_t first, int64_t pattern) {
    int64_t num_layers = reader->config->num_layers;
    const tn_json_value *types = tn_hf_find(reader, "layer_types");
    if (reader->status == TN_OK && types != NULL) reader->status = tn_json_expect(types, TN_JSON_ARRAY, reader->diag);
    if (reader->status != TN_OK) return;
    if (types != NULL && (int64_t)tn_json_count(types) != num_layers) {
        reader->status = tn_json_fail(types, reader->diag, TN_INVALID_DATA, "has %zu entries for %lld layers", tn_json_count(types),
                                      (long long)num_layers);
        return;
    }
    int64_t *windows = tn_arena_alloc_array(reader->arena, (size_t)num_layers, sizeof *windows);
    if (windows == NULL) {
        tn_hf_fail_memory(reader, (size_t)num_layers * sizeof *windows);
        return;
    }
    for (int64_t layer = 0; layer < num_layers; layer++) {
        bool has_window = layer >= first && (pattern == 0 || (layer + 1) % pattern != 0);
        windows[layer] = types != NULL ? window_of_type(reader, tn_json_at(types, (size_t)layer), window) : has_window ? window : 0;
    }
    reader->config->layer_windows = windows;
}

tn_status tn_hf_finish(tn_hf_reader *reader) {
    for (size_t i = 0; reader->status == TN_OK && i < tn_json_count(reader->json); i++) {
        const tn_json_value *member = tn_json_at(reader->json, i);
        if (reader->is_asked[i] || tn_hf_is_harmless(member)) continue;
        reader->status =
            tn_json_fail(member, reader->diag, TN_UNSUPPORTED, "is a field that Tenon does not know of %s; it could change the results",
                         reader->config->architecture);
    }
    return reader->status;
}
