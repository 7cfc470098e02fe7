/* SPDX-License-Identifier: Apache-2.0
 *
 * dummy.c: see dummy.h.
 */
#include "model/dummy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/json.h"

/* Shapes as the models' own config.json gives them. */
#define LLAMA(hidden, intermediate, layers, heads, kv_heads, vocab, positions, more)                                                    \
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": " #hidden ", \"intermediate_size\": " #intermediate                   \
    ", \"num_hidden_layers\": " #layers ", \"num_attention_heads\": " #heads ", \"num_key_value_heads\": " #kv_heads                    \
    ", \"vocab_size\": " #vocab ", \"max_position_embeddings\": " #positions ", \"rms_norm_eps\": 1e-05, \"hidden_act\": \"silu\"" more \
    "}"

static const char *const names[] = {"llama-3.1-8b", "llama-3.2-1b",  "llama-3.1-70b", "llama-2-13b", "mixtral-8x7b",
                                    "gpt-j-6b",     "qwen3-30b-a3b", "falcon-180b",   NULL};
static const char *const configs[] = {
    LLAMA(4096, 14336, 32, 32, 8, 128256, 131072, ", \"rope_theta\": 500000.0, \"tie_word_embeddings\": false"),
    LLAMA(2048, 8192, 16, 32, 8, 128256, 131072, ", \"rope_theta\": 500000.0, \"tie_word_embeddings\": true"),
    LLAMA(8192, 28672, 80, 64, 8, 128256, 131072, ", \"rope_theta\": 500000.0, \"tie_word_embeddings\": false"),
    LLAMA(5120, 13824, 40, 40, 40, 32000, 4096, ", \"rope_theta\": 10000.0, \"tie_word_embeddings\": false"),
    "{\"architectures\": [\"MixtralForCausalLM\"], \"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_hidden_layers\": 32, "
    "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": 32000, \"max_position_embeddings\": 32768, "
    "\"rms_norm_eps\": 1e-05, \"hidden_act\": \"silu\", \"rope_theta\": 1000000.0, \"tie_word_embeddings\": false, "
    "\"num_local_experts\": 8, \"num_experts_per_tok\": 2, \"sliding_window\": null}",
    "{\"architectures\": [\"GPTJForCausalLM\"], \"n_embd\": 4096, \"n_layer\": 28, \"n_head\": 16, \"n_positions\": 2048, "
    "\"rotary_dim\": 64, \"vocab_size\": 50400, \"activation_function\": \"gelu_new\", \"layer_norm_epsilon\": 1e-05, "
    "\"tie_word_embeddings\": false}",
    "{\"architectures\": [\"Qwen3MoeForCausalLM\"], \"hidden_size\": 2048, \"intermediate_size\": 6144, \"moe_intermediate_size\": 768, "
    "\"num_hidden_layers\": 48, \"num_attention_heads\": 32, \"num_key_value_heads\": 4, \"head_dim\": 128, \"vocab_size\": 151936, "
    "\"max_position_embeddings\": 40960, \"rms_norm_eps\": 1e-06, \"hidden_act\": \"silu\", \"rope_theta\": 1000000.0, "
    "\"tie_word_embeddings\": false, \"num_experts\": 128, \"num_experts_per_tok\": 8, \"norm_topk_prob\": true, "
    "\"decoder_sparse_step\": 1, \"mlp_only_layers\": []}",
    "{\"architectures\": [\"FalconForCausalLM\"], \"hidden_size\": 14848, \"num_hidden_layers\": 80, \"num_attention_heads\": 232, "
    "\"num_kv_heads\": 8, \"vocab_size\": 65024, \"layer_norm_epsilon\": 1e-05, \"new_decoder_architecture\": true, \"bias\": false, "
    "\"parallel_attn\": true, \"multi_query\": true, \"alibi\": false, \"tie_word_embeddings\": false}",
};

const char *const *tn_dummy_names(void) {
    return names;
}

tn_status tn_dummy_config(const char *name, tn_arena *arena, tn_diag *diag, tn_model_config *out_config, const tn_family **out_family) {
    size_t index = 0;
    while (names[index] != NULL && strcmp(names[index], name) != 0) index++;
    if (names[index] == NULL) {
        tn_text list = {.allocator = arena->allocator};
        for (size_t i = 0; names[i] != NULL; i++) tn_text_append_format(&list, "%s%s", i > 0 ? ", " : "there are ", names[i]);
        tn_where where = {.subject = name, .hint = list.data};
        tn_status status = tn_fail_at(diag, TN_NOT_FOUND, &where, "cannot make a dummy model: there is no shape '%s'", name);
        tn_text_deinit(&list);
        return status;
    }
    tn_json *json;
    tn_status status = tn_json_parse(name, configs[index], strlen(configs[index]), NULL, arena->allocator, diag, &json);
    if (status == TN_OK) status = tn_model_config_from_json(json, name, arena, diag, out_config, out_family);
    tn_json_destroy(json);
    return status;
}

/* --- the source ----------------------------------------------------------------------------------------------------------- */

typedef struct dummy_source {
    tn_weight_source base;
    const tn_allocator *allocator;
    const tn_model_config *config;
    const tn_weight_names *names;
} dummy_source;

/* Does `name` fill in the pattern up to `end`, with numbers below the limits, and go on with `suffix`? */
static bool fills_in(const char *pattern, const char *end, const char *suffix, const char *name, const int64_t limits[2]) {
    for (int number = 0; pattern != end;) {
        if (strncmp(pattern, "%d", 2) != 0) {
            if (*pattern++ != *name++) return false;
            continue;
        }
        char *digits_end;
        if (*name < '0' || *name > '9' || number == 2) return false;
        long long value = strtoll(name, &digits_end, 10);
        if (value >= limits[number++]) return false;
        name = digits_end;
        pattern += 2;
    }
    return strcmp(name, suffix) == 0;
}

/* The same for the alternatives of a pattern, "a|b". */
static bool matches(const char *pattern, const char *suffix, const char *name, const tn_model_config *c) {
    const int64_t limits[2] = {c->num_layers, c->num_experts};
    while (pattern != NULL && *pattern != '\0') {
        const char *end = pattern + strcspn(pattern, "|");
        if (fills_in(pattern, end, suffix, name, limits)) return true;
        pattern = *end == '|' ? end + 1 : end;
    }
    return false;
}

static int64_t q_size(const tn_model_config *c) {
    return c->num_heads * c->head_dim;
}
static int64_t kv_size(const tn_model_config *c) {
    return c->num_kv_heads * c->head_dim;
}

/* A tensor, or one a layer or an expert: [rows, columns], a vector if columns is 0, and a bias [rows] by the rule. */
typedef struct dummy_tensor {
    const char *pattern;
    int64_t rows, columns;
    bool exists;
    tn_bias_rule bias;
} dummy_tensor;
enum { MAX_TENSORS = 24 };

static size_t list_tensors(const tn_model_config *c, const tn_weight_names *n, dummy_tensor out[MAX_TENSORS]) {
    int64_t hidden = c->hidden_size, inner = c->intermediate_size, expert = c->expert_size;
    bool is_dense = c->num_experts == 0, is_joined = n->qkv != NULL, has_head_norms = c->qk_norm == TN_QK_NORM_HEAD;
    const dummy_tensor tensors[] = {
        {n->embedding, c->vocab_size, hidden, true, TN_BIAS_NONE},
        {n->head, c->vocab_size, hidden, !c->tie_embeddings, c->head_bias},
        {n->final_norm, hidden, 0, true, c->norm_bias},
        {n->attention_norm, hidden, 0, true, c->norm_bias},
        {n->mlp_norm, hidden, 0, c->residual != TN_RESIDUAL_PARALLEL_ONE_NORM, c->norm_bias},
        {n->qkv, q_size(c) + 2 * kv_size(c), hidden, is_joined, c->qkv_bias},
        {n->q, q_size(c), hidden, !is_joined, c->qkv_bias},
        {n->k, kv_size(c), hidden, !is_joined, c->qkv_bias},
        {n->v, kv_size(c), hidden, !is_joined, c->qkv_bias},
        {n->o, hidden, q_size(c), true, c->o_bias},
        {n->q_norm, c->head_dim, 0, has_head_norms, TN_BIAS_NONE},
        {n->k_norm, c->head_dim, 0, has_head_norms, TN_BIAS_NONE},
        {n->gate, inner, hidden, is_dense && !c->has_plain_mlp, c->mlp_bias},
        {n->up, inner, hidden, is_dense, c->mlp_bias},
        {n->down, hidden, inner, is_dense, c->mlp_bias},
        {n->router, c->num_experts, hidden, !is_dense, TN_BIAS_NONE},
        {n->expert_gate, expert, hidden, !is_dense, TN_BIAS_NONE},
        {n->expert_up, expert, hidden, !is_dense, TN_BIAS_NONE},
        {n->expert_down, hidden, expert, !is_dense, TN_BIAS_NONE},
    };
    memcpy(out, tensors, sizeof tensors);
    return sizeof tensors / sizeof tensors[0];
}

static bool find_dims(const dummy_source *self, const char *name, tn_dims *out_dims) {
    dummy_tensor tensors[MAX_TENSORS];
    size_t count = list_tensors(self->config, self->names, tensors);
    for (size_t i = 0; i < count; i++) {
        const dummy_tensor *t = &tensors[i];
        if (!t->exists) continue;
        if (matches(t->pattern, ".weight", name, self->config)) {
            *out_dims = t->columns > 0 ? TN_DIMS(t->rows, t->columns) : TN_DIMS(t->rows);
            return true;
        }
        if (t->bias == TN_BIAS_REQUIRED && matches(t->pattern, ".bias", name, self->config)) {
            *out_dims = TN_DIMS(t->rows);
            return true;
        }
    }
    return false;
}

static tn_status dummy_find(tn_weight_source *source, const char *name, tn_weight_desc *out_desc) {
    *out_desc = (tn_weight_desc){.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_BFLOAT16)};
    return find_dims((dummy_source *)source, name, &out_desc->dims) ? TN_OK : TN_NOT_FOUND;
}

/* The finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint16_t round_to_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Elements 4·group … 4·group + 3 of a tensor. */
static void make_group(uint64_t seed, uint64_t group, float center, float scale, uint16_t out[4]) {
    uint64_t bits = mix(seed + group);
    for (int i = 0; i < 4; i++) out[i] = round_to_bfloat16(center + (float)(int16_t)(bits >> 16 * i) * scale);
}

static tn_status dummy_read(tn_weight_source *source, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst,
                            tn_diag *diag) {
    tn_dims dims;
    if (part != TN_PART_DATA || !find_dims((dummy_source *)source, name, &dims))
        return tn_fail(diag, TN_NOT_FOUND, "cannot read weight '%s': the dummy model has no such tensor", name);
    bool is_vector = dims.rank == 1, is_norm = is_vector && strcmp(name + strlen(name) - strlen(".bias"), ".bias") != 0;
    float center = is_norm ? 1.0f : 0.0f, scale = (is_vector ? 0.1f : sqrtf(3.0f / (float)dims.d[dims.rank - 1])) / 32768.0f;
    uint64_t seed = tn_hash(name, strlen(name), 0);
    uint8_t *out = dst;
    enum { GROUP_BYTES = 4 * sizeof(uint16_t) };
    while (size_bytes > 0) {
        uint16_t group[4];
        size_t skip = (size_t)(offset % GROUP_BYTES), count = GROUP_BYTES - skip < size_bytes ? GROUP_BYTES - skip : size_bytes;
        make_group(seed, offset / GROUP_BYTES, center, scale, group);
        memcpy(out, (const uint8_t *)group + skip, count);
        out += count;
        offset += count;
        size_bytes -= count;
    }
    return TN_OK;
}

static void dummy_destroy(tn_weight_source *source) {
    dummy_source *self = (dummy_source *)source;
    tn_free(self->allocator, self);
}

tn_status tn_dummy_source_create(const tn_model_config *config, const tn_family *family, const tn_allocator *allocator, tn_diag *diag,
                                 tn_weight_source **out_source) {
    *out_source = NULL;
    dummy_source *self = tn_alloc_zero(allocator, sizeof *self);
    if (self == NULL) return tn_fail_memory(diag, "a weight source", sizeof *self);
    self->base = (tn_weight_source){.find = dummy_find, .read = dummy_read, .destroy = dummy_destroy};
    self->allocator = allocator;
    self->config = config;
    self->names = family->hf_names;
    *out_source = &self->base;
    return TN_OK;
}

uint64_t tn_dummy_weight_bytes(const tn_weight_source *source) {
    const dummy_source *self = (const dummy_source *)source;
    const tn_model_config *c = self->config;
    dummy_tensor tensors[MAX_TENSORS];
    size_t count = list_tensors(c, self->names, tensors);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const dummy_tensor *t = &tensors[i];
        if (!t->exists || t->pattern == NULL) continue;
        const char *layer = strstr(t->pattern, "%d"), *end = t->pattern + strcspn(t->pattern, "|");
        const char *expert = layer != NULL ? strstr(layer + 2, "%d") : NULL;
        int64_t copies = layer == NULL ? 1 : c->num_layers * (expert != NULL && expert < end ? c->num_experts : 1);
        int64_t values = t->rows * (t->columns > 0 ? t->columns : 1) + (t->bias == TN_BIAS_REQUIRED ? t->rows : 0);
        bytes += (uint64_t)(copies * values) * sizeof(uint16_t);
    }
    return bytes;
}
