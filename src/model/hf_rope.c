/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_rope.c: rotary embedding of config.json in its current form (rope_parameters, with one object for each kind of layer where
 * they differ) and the older one (rope_theta, rope_scaling, partial_rotary_factor beside them).
 */
#include <math.h>
#include <string.h>

#include "model/hf_reader.h"

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

static bool is_rope_key(const char *key, tn_rope_scaling scaling) {
    for (size_t i = 0; i < sizeof rope_keys / sizeof *rope_keys; i++)
        if (strcmp(rope_keys[i], key) == 0) return true;
    return scaling == TN_ROPE_LONG && (strcmp(key, "long_factor") == 0 || strcmp(key, "short_factor") == 0);
}

static tn_status check_keys(const tn_json_value *scaling, tn_rope_scaling kind, tn_diag *diag) {
    for (size_t i = 0; i < tn_json_count(scaling); i++) {
        const tn_json_value *member = tn_json_at(scaling, i);
        bool is_true = false,
             is_off = tn_json_kind_of(member) == TN_JSON_NULL ||
                      (tn_json_kind_of(member) == TN_JSON_BOOL && tn_json_to_bool(member, NULL, &is_true) == TN_OK && !is_true);
        if (!is_rope_key(tn_json_key(member, NULL), kind) && !is_off)
            return tn_json_fail(member, diag, TN_UNSUPPORTED, "is a field that Tenon does not know; it could change the results");
    }
    return TN_OK;
}

static tn_status read_kind(const tn_json_value *scaling, tn_diag *diag, tn_rope_scaling *out_kind) {
    static const struct {
        const char *name;
        tn_rope_scaling kind;
    } names[] = {{"default", TN_ROPE_DEFAULT}, {"linear", TN_ROPE_LINEAR}, {"dynamic", TN_ROPE_DYNAMIC}, {"llama3", TN_ROPE_LLAMA3},
                 {"yarn", TN_ROPE_YARN},       {"longrope", TN_ROPE_LONG}, {"su", TN_ROPE_LONG}};
    const char *type;
    tn_status status = tn_json_get_string_or(scaling, "rope_type", NULL, diag, &type);
    if (status == TN_OK && type == NULL) status = tn_json_get_string_or(scaling, "type", "default", diag, &type);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, type) == 0) {
            *out_kind = names[i].kind;
            return TN_OK;
        }
    return tn_json_fail(scaling, diag, TN_UNSUPPORTED, "has type '%s', a rotary scaling that Tenon does not know", type);
}

static tn_status read_factor(const tn_json_value *scaling, tn_rope *rope, int64_t max_positions, tn_diag *diag) {
    tn_status status = tn_json_get_integer_or(scaling, "original_max_position_embeddings", 1, 1 << 30, rope->original_max_positions, diag,
                                              &rope->original_max_positions);
    if (status != TN_OK) return status;
    if (rope->scaling == TN_ROPE_DYNAMIC) rope->original_max_positions = max_positions; /* what Hugging Face compares with */
    double implied = (double)max_positions / (double)rope->original_max_positions;
    if (rope->scaling == TN_ROPE_YARN || rope->scaling == TN_ROPE_LONG)
        return tn_json_get_number_or(scaling, "factor", 1e-3, 1e6, implied, diag, &rope->factor);
    return tn_json_get_number(scaling, "factor", 1e-3, 1e6, diag, &rope->factor);
}

static tn_status read_llama3(const tn_json_value *scaling, tn_rope *rope, tn_diag *diag) {
    tn_status status = tn_json_get_number(scaling, "low_freq_factor", 1e-3, 1e6, diag, &rope->low_freq_factor);
    if (status == TN_OK) status = tn_json_get_number(scaling, "high_freq_factor", 1e-3, 1e6, diag, &rope->high_freq_factor);
    if (status == TN_OK && rope->high_freq_factor <= rope->low_freq_factor)
        status = tn_json_fail(scaling, diag, TN_INVALID_DATA, "has high_freq_factor <= low_freq_factor");
    return status;
}

static tn_status read_yarn(const tn_json_value *scaling, tn_rope *rope, tn_diag *diag) {
    bool is_truncated = true;
    double mscale = 0.0, mscale_all_dim = 0.0;
    tn_status status = tn_json_get_number_or(scaling, "beta_fast", 1e-3, 1e6, 32.0, diag, &rope->beta_fast);
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

static tn_status read_factors(tn_hf_reader *reader, const tn_json_value *scaling, const char *key, int64_t count, const float **out) {
    const tn_json_value *list;
    tn_status status = tn_json_get_array(scaling, key, reader->diag, &list);
    if (status != TN_OK) return status;
    if ((int64_t)tn_json_count(list) != count)
        return tn_json_fail(list, reader->diag, TN_INVALID_DATA, "has %zu factors, the rotated part of a head needs %lld",
                            tn_json_count(list), (long long)count);
    float *factors = tn_arena_alloc_array(reader->arena, (size_t)count, sizeof *factors);
    if (factors == NULL) return tn_fail_memory(reader->diag, "rotary factors", (size_t)count * sizeof *factors);
    for (int64_t i = 0; i < count; i++) {
        double factor;
        status = tn_json_to_number(tn_json_at(list, (size_t)i), 1e-6, 1e6, reader->diag, &factor);
        if (status != TN_OK) return status;
        factors[i] = (float)factor;
    }
    *out = factors;
    return TN_OK;
}

static tn_status read_long(tn_hf_reader *reader, const tn_json_value *scaling, tn_rope *rope) {
    int64_t pairs = rope->dim / 2;
    tn_status status = tn_json_get_number_or(scaling, "attention_factor", 1e-6, 1e6, 0.0, reader->diag, &rope->attention_factor);
    if (status == TN_OK) status = read_factors(reader, scaling, "long_factor", pairs, &rope->long_factors);
    if (status == TN_OK) status = read_factors(reader, scaling, "short_factor", pairs, &rope->short_factors);
    return status;
}

static tn_status read_scaling(tn_hf_reader *reader, const tn_json_value *scaling, tn_rope *rope) {
    tn_status status = read_kind(scaling, reader->diag, &rope->scaling);
    if (status == TN_OK) status = check_keys(scaling, rope->scaling, reader->diag);
    if (status != TN_OK || rope->scaling == TN_ROPE_DEFAULT) return status;
    status = read_factor(scaling, rope, reader->config->max_positions, reader->diag);
    if (status != TN_OK) return status;
    switch (rope->scaling) {
    case TN_ROPE_LLAMA3: return read_llama3(scaling, rope, reader->diag);
    case TN_ROPE_YARN: return read_yarn(scaling, rope, reader->diag);
    case TN_ROPE_LONG: return read_long(reader, scaling, rope);
    default: return TN_OK;
    }
}

/* How far the scaling reaches: the default of max_seq_len stays max_positions. */
static int64_t scaled_positions(const tn_rope *rope, int64_t max_positions) {
    int64_t base = rope->scaling == TN_ROPE_YARN ? rope->original_max_positions : max_positions;
    bool is_stretched = rope->scaling == TN_ROPE_YARN || rope->scaling == TN_ROPE_DYNAMIC || rope->scaling == TN_ROPE_LINEAR;
    double reach = is_stretched ? fmin((double)base * rope->factor, 1 << 30) : (double)max_positions;
    return reach > (double)max_positions ? (int64_t)reach : max_positions;
}

/* rope_parameters, or those of one kind of layer in it. */
static const tn_json_value *find_scaling(tn_hf_reader *reader, const char *layer_type) {
    const tn_json_value *scaling = tn_hf_find(reader, "rope_parameters"), *older = tn_hf_find(reader, "rope_scaling");
    const tn_json_value *own = scaling != NULL && layer_type != NULL ? tn_json_find(scaling, layer_type) : NULL;
    if (own != NULL) return own;
    return scaling != NULL ? scaling : older;
}

void tn_hf_rope(tn_hf_reader *reader, const char *layer_type, double theta, double partial, tn_rotary_type type, tn_rope *out_rope) {
    tn_model_config *config = reader->config;
    tn_rope rope = {.type = type, .factor = 1.0};
    rope.original_max_positions = tn_hf_integer_or(reader, "original_max_position_embeddings", 1, 1 << 30, config->max_positions);
    rope.theta = tn_hf_number_or(reader, "rope_theta|rotary_emb_base", 1.001, 1e12, theta);
    partial = tn_hf_number_or(reader, "partial_rotary_factor|rotary_pct|rope_pct", 1e-3, 1.0, partial);
    const tn_json_value *scaling = find_scaling(reader, layer_type);
    if (reader->status == TN_OK && scaling != NULL) reader->status = tn_json_expect(scaling, TN_JSON_OBJECT, reader->diag);
    if (reader->status == TN_OK && scaling != NULL)
        reader->status = tn_json_get_number_or(scaling, "rope_theta", 1.001, 1e12, rope.theta, reader->diag, &rope.theta);
    if (reader->status == TN_OK && scaling != NULL)
        reader->status = tn_json_get_number_or(scaling, "partial_rotary_factor", 1e-3, 1.0, partial, reader->diag, &partial);
    rope.dim = (int64_t)((double)config->head_dim * partial);
    if (reader->status == TN_OK && scaling != NULL) reader->status = read_scaling(reader, scaling, &rope);
    if (reader->status != TN_OK) return;
    int64_t reach = scaled_positions(&rope, config->max_positions);
    if (reach > config->max_scaled_positions) config->max_scaled_positions = reach;
    *out_rope = rope;
}
