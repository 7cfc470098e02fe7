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

static const char *const names[] = {"llama-3.1-8b", "llama-3.2-1b", "llama-3.1-70b", "llama-2-13b", "mixtral-8x7b", NULL};
static const char *const configs[] = {
    LLAMA(4096, 14336, 32, 32, 8, 128256, 131072, ", \"rope_theta\": 500000.0, \"tie_word_embeddings\": false"),
    LLAMA(2048, 8192, 16, 32, 8, 128256, 131072, ", \"rope_theta\": 500000.0, \"tie_word_embeddings\": true"),
    LLAMA(8192, 28672, 80, 64, 8, 128256, 131072, ", \"rope_theta\": 500000.0, \"tie_word_embeddings\": false"),
    LLAMA(5120, 13824, 40, 40, 40, 32000, 4096, ", \"rope_theta\": 10000.0, \"tie_word_embeddings\": false"),
    "{\"architectures\": [\"MixtralForCausalLM\"], \"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_hidden_layers\": 32, "
    "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": 32000, \"max_position_embeddings\": 32768, "
    "\"rms_norm_eps\": 1e-05, \"hidden_act\": \"silu\", \"rope_theta\": 1000000.0, \"tie_word_embeddings\": false, "
    "\"num_local_experts\": 8, \"num_experts_per_tok\": 2, \"sliding_window\": null}",
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

/* Does `name` fill in the pattern, with numbers below the limits, and end in ".weight"? */
static bool matches(const char *pattern, const char *name, int64_t num_layers, int64_t num_experts) {
    if (pattern == NULL) return false;
    int64_t limits[2] = {num_layers, num_experts};
    for (int number = 0; *pattern != '\0';) {
        if (strncmp(pattern, "%d", 2) != 0) {
            if (*pattern++ != *name++) return false;
            continue;
        }
        char *end;
        if (*name < '0' || *name > '9' || number == 2) return false;
        long long value = strtoll(name, &end, 10);
        if (value >= limits[number++]) return false;
        name = end;
        pattern += 2;
    }
    return strcmp(name, ".weight") == 0;
}

static bool find_dims(const dummy_source *self, const char *name, tn_dims *out_dims) {
    const tn_model_config *c = self->config;
    const tn_weight_names *n = self->names;
    int64_t hidden = c->hidden_size, q_size = c->num_heads * c->head_dim, kv_size = c->num_kv_heads * c->head_dim;
    const struct {
        const char *pattern;
        tn_dims dims;
        bool exists;
    } tensors[] = {
        {n->embedding, TN_DIMS(c->vocab_size, hidden), true},
        {n->head, TN_DIMS(c->vocab_size, hidden), !c->tie_embeddings},
        {n->final_norm, TN_DIMS(hidden), true},
        {n->attention_norm, TN_DIMS(hidden), true},
        {n->mlp_norm, TN_DIMS(hidden), true},
        {n->q, TN_DIMS(q_size, hidden), true},
        {n->k, TN_DIMS(kv_size, hidden), true},
        {n->v, TN_DIMS(kv_size, hidden), true},
        {n->o, TN_DIMS(hidden, q_size), true},
        {n->q_norm, TN_DIMS(c->head_dim), c->qk_norm == TN_QK_NORM_HEAD},
        {n->k_norm, TN_DIMS(c->head_dim), c->qk_norm == TN_QK_NORM_HEAD},
        {n->gate, TN_DIMS(c->intermediate_size, hidden), c->num_experts == 0},
        {n->up, TN_DIMS(c->intermediate_size, hidden), c->num_experts == 0},
        {n->down, TN_DIMS(hidden, c->intermediate_size), c->num_experts == 0},
        {n->router, TN_DIMS(c->num_experts, hidden), c->num_experts > 0},
        {n->expert_gate, TN_DIMS(c->intermediate_size, hidden), c->num_experts > 0},
        {n->expert_up, TN_DIMS(c->intermediate_size, hidden), c->num_experts > 0},
        {n->expert_down, TN_DIMS(hidden, c->intermediate_size), c->num_experts > 0},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        if (!tensors[i].exists || !matches(tensors[i].pattern, name, c->num_layers, c->num_experts)) continue;
        *out_dims = tensors[i].dims;
        return true;
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
    bool is_norm = dims.rank == 1;
    float center = is_norm ? 1.0f : 0.0f, scale = (is_norm ? 0.1f : sqrtf(3.0f / (float)dims.d[dims.rank - 1])) / 32768.0f;
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
    const tn_model_config *c = ((const dummy_source *)source)->config;
    int64_t hidden = c->hidden_size, q_size = c->num_heads * c->head_dim, kv_size = c->num_kv_heads * c->head_dim;
    int64_t mlp = 3 * hidden * c->intermediate_size * (c->num_experts > 0 ? c->num_experts : 1);
    int64_t layer = hidden * (2 * q_size + 2 * kv_size + c->num_experts + 2) + mlp;
    return 2 * (uint64_t)(c->num_layers * layer + hidden * (c->vocab_size * (c->tie_embeddings ? 1 : 2) + 1));
}
