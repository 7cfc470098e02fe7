/* SPDX-License-Identifier: Apache-2.0
 *
 * rotary.h: ROTARY (rotates the first R of each head's D values), KV_CACHE_UPDATE (writes keys and values into their blocks)
 * and QKV_CACHE (both, after the heads' norms, on the joint projection). A tile is a token.
 *
 * Order    pair (a, b) → fma(a, cos, −(b · sin)), fma(b, cos, a · sin); norms as norm.h
 * Bound    bytes; at one token the latency of a few hundred instructions
 */
#ifndef TN_BACKEND_CPU_ROTARY_H_
#define TN_BACKEND_CPU_ROTARY_H_

#include "backend/cpu/kernels/kv_element.h"
#include "backend/cpu/kernels/norm.h"
#include "backend/cpu/kernels/sequence.h"
#include "backend/cpu/kv_layout.h"

/* out may be x. table: cos [R/2], sin [R/2] */
V_INLINE void rotate_head(tn_rotary_type type, const float *x, const float *table, int64_t rotary_dim, int64_t head_dim, float *out) {
    int64_t half = rotary_dim / 2, i = 0;
    const float *cosines = table, *sines = table + half;
    if (type == TN_ROTARY_HALVES) {
        for (; i + LANES <= half; i += LANES) {
            vf a = v_load(x + i), b = v_load(x + half + i), c = v_load(cosines + i), s = v_load(sines + i);
            v_store(out + i, v_fma(a, c, v_negate(v_mul(b, s))));
            v_store(out + half + i, v_fma(b, c, v_mul(a, s)));
        }
    }
    for (; i < half; i++) {
        int64_t first = type == TN_ROTARY_HALVES ? i : 2 * i, second = type == TN_ROTARY_HALVES ? i + half : 2 * i + 1;
        float a = x[first], b = x[second];
        out[first] = __builtin_fmaf(a, cosines[i], -(b * sines[i]));
        out[second] = __builtin_fmaf(b, cosines[i], a * sines[i]);
    }
    if (out != x && head_dim > rotary_dim) memcpy(out + rotary_dim, x + rotary_dim, (size_t)(head_dim - rotary_dim) * sizeof(float));
}

void TN_ISA_NAME(tn_cpu_rotary)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_rotary)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_rotary_params *params = step->problem->params;
    int64_t columns = tn_operand_columns(&step->problem->operands[0], step->symbols), head_dim = params->head_dim;
    int64_t rotary_dim = tn_operand_columns(&step->problem->operands[1], step->symbols);
    const float *x = step->buffers[0], *table = step->buffers[1];
    float *out = step->buffers[2];
    for (int64_t t = begin; t < end; t++)
        for (int64_t d = 0; d < columns; d += head_dim)
            rotate_head((tn_rotary_type)params->type, x + t * columns + d, table + t * rotary_dim, rotary_dim, head_dim,
                        out + t * columns + d);
}

/* --- the cache -------------------------------------------------------------------------------------------------------- */

typedef struct cache_target {
    tn_cpu_kv_layout layout;
    char *cache; /* at this layer */
    const int32_t *query_start, *kv_length, *block_table;
    int64_t num_seqs, max_blocks;
    tn_dtype dtype;
} cache_target;

/* `first` is the index of the cache among the operands; query_start, kv_length and block_table follow it. */
V_INLINE cache_target cache_target_make(const tn_bound_step *step, const tn_kv_geometry *geometry, int64_t layer, uint32_t first) {
    const tn_operand *operands = step->problem->operands;
    cache_target target = {.layout = tn_cpu_kv_layout_make(geometry), .dtype = geometry->dtype};
    target.cache = (char *)step->buffers[first] + layer * target.layout.layer_bytes;
    target.query_start = step->buffers[first + 1];
    target.kv_length = step->buffers[first + 2];
    target.block_table = step->buffers[first + 3];
    target.num_seqs = tn_operand_dim(&operands[first + 2], 0, step->symbols);
    target.max_blocks = tn_operand_dim(&operands[first + 3], 1, step->symbols);
    return target;
}

/* Where head 0 of a token's position stands, and which slot of the block it is; NULL: the token is dropped. */
V_INLINE char *token_block(const cache_target *target, int64_t token, int64_t *out_slot) {
    int64_t s = sequence_of_token(target->query_start, target->num_seqs, token);
    if (s == target->num_seqs) return NULL;
    int64_t index = target->kv_length[s] - (target->query_start[s + 1] - token), place = index / target->layout.tokens_per_block;
    if (index < 0 || place >= target->max_blocks) return NULL;
    int32_t block = target->block_table[s * target->max_blocks + place];
    *out_slot = index % target->layout.tokens_per_block;
    return block < 0 ? NULL : target->cache + block * target->layout.block_bytes;
}

/* What a head's values are multiplied by before they are stored; the scale itself is stored here. */
V_INLINE float write_scale(const cache_target *target, char *head, bool is_value, int64_t slot, const float *x, int64_t dim) {
    if (target->layout.scales == 0) return 1.0f;
    tn_kv_scale scale = tn_kv_scale_of(target->dtype, head_largest(x, dim));
    memcpy(head + tn_cpu_kv_scale(&target->layout, is_value, slot), &scale.scale, sizeof scale.scale);
    return scale.inverse;
}

/* Sixteen values of a head as elements; inverse 0: zeros, whatever they are. */
V_INLINE void narrow_values(const cache_target *target, const float *x, int64_t left, float inverse, char *out) {
    vf values = v_load_upto(x, left);
    if (target->layout.scales != 0) values = inverse == 0.0f ? v_zero() : v_mul(values, v_set1(inverse));
    v_store_element(target->dtype, out, values);
}

/* One head's key: a column of its group of 16 tokens. */
V_INLINE void write_key(const cache_target *target, char *head, int64_t slot, const float *k) {
    char *group = head + tn_cpu_kv_key_group(&target->layout, slot);
    int64_t lane = slot % TN_KV_GROUP, dim = target->layout.k_dim, bytes = target->layout.element_bytes;
    if (target->dtype == TN_FLOAT32) {
        float *out = (float *)(void *)group + lane;
        for (int64_t d = 0; d < dim; d++) out[d * TN_KV_GROUP] = k[d];
        return;
    }
    float inverse = write_scale(target, head, false, slot, k, dim);
    _Alignas(4) char narrow[4 * LANES];
    for (int64_t d = 0; d < dim; d += LANES) {
        int64_t count = dim - d < LANES ? dim - d : LANES;
        narrow_values(target, k + d, dim - d, inverse, narrow);
        if (bytes == 1) {
            for (int64_t i = 0; i < count; i++) group[(d + i) * TN_KV_GROUP + lane] = narrow[i];
        } else {
            uint16_t *out = (uint16_t *)(void *)group + lane;
            for (int64_t i = 0; i < count; i++) memcpy(out + (d + i) * TN_KV_GROUP, narrow + 2 * i, 2);
        }
    }
}

V_INLINE void write_value(const cache_target *target, char *head, int64_t slot, const float *v) {
    char *row = head + tn_cpu_kv_value(&target->layout, slot);
    int64_t dim = target->layout.v_dim, bytes = target->layout.element_bytes;
    if (target->dtype == TN_FLOAT32) {
        memcpy(row, v, (size_t)dim * sizeof(float));
        return;
    }
    float inverse = write_scale(target, head, true, slot, v, dim);
    _Alignas(4) char narrow[4 * LANES];
    for (int64_t d = 0; d < dim; d += LANES) {
        int64_t count = dim - d < LANES ? dim - d : LANES;
        narrow_values(target, v + d, dim - d, inverse, narrow);
        memcpy(row + d * bytes, narrow, (size_t)(count * bytes));
    }
}

void TN_ISA_NAME(tn_cpu_kv_cache_update)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_kv_cache_update)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_kv_cache_update_params *params = step->problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    cache_target target = cache_target_make(step, &geometry, params->layer, 2);
    int64_t heads = params->num_kv_heads, k_dim = params->k_dim, v_dim = params->v_dim;
    const float *k = step->buffers[0], *v = step->buffers[1];
    for (int64_t t = begin; t < end; t++) {
        int64_t slot;
        char *block = token_block(&target, t, &slot);
        for (int64_t h = 0; block != NULL && h < heads; h++) {
            char *head = block + h * target.layout.head_bytes;
            write_key(&target, head, slot, k + (t * heads + h) * k_dim);
            write_value(&target, head, slot, v + (t * heads + h) * v_dim);
        }
    }
}

enum { MAX_ROTARY_HEAD = 512 };

/* norm (if weights are given), then rotation (if a table is given) of one head; out may be x */
V_INLINE void prepare_head(const tn_qkv_cache_params *params, const float *x, const float *norm, const float *table, int64_t rotary_dim,
                           float *out) {
    int64_t dim = params->k_dim;
    if (norm != NULL) {
        norm_row row = {.scale = norm, .inverse = inverse_deviation(x, dim, 0.0f, (float)params->epsilon)};
        for (int64_t i = 0; i < dim; i += LANES) v_store_upto(out + i, normalise(&row, x, i, dim - i), dim - i);
        x = out;
    }
    if (table != NULL) {
        rotate_head((tn_rotary_type)params->rotary, x, table, rotary_dim, dim, out);
    } else if (x != out) {
        memcpy(out, x, (size_t)dim * sizeof(float));
    }
}

void TN_ISA_NAME(tn_cpu_qkv_cache)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_qkv_cache)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_qkv_cache_params *params = step->problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    cache_target target = cache_target_make(step, &geometry, params->layer, 4);
    int64_t num_heads = params->num_heads, num_kv = params->num_kv_heads, k_dim = params->k_dim, v_dim = params->v_dim;
    int64_t columns = (num_heads + num_kv) * k_dim + num_kv * v_dim;
    const float *qkv = step->buffers[0], *tables = step->buffers[1], *q_norm = step->buffers[2], *k_norm = step->buffers[3];
    int64_t rotary_dim = tables != NULL ? tn_operand_columns(&step->problem->operands[1], step->symbols) : 0;
    float *q = step->buffers[8], key[MAX_ROTARY_HEAD];
    for (int64_t t = begin; t < end; t++) {
        const float *row = qkv + t * columns, *table = tables != NULL ? tables + t * rotary_dim : NULL;
        int64_t slot;
        for (int64_t h = 0; h < num_heads; h++)
            prepare_head(params, row + h * k_dim, q_norm, table, rotary_dim, q + (t * num_heads + h) * k_dim);
        char *block = token_block(&target, t, &slot);
        for (int64_t h = 0; block != NULL && h < num_kv; h++) {
            char *head = block + h * target.layout.head_bytes;
            prepare_head(params, row + (num_heads + h) * k_dim, k_norm, table, rotary_dim, key);
            write_key(&target, head, slot, key);
            write_value(&target, head, slot, row + (num_heads + num_kv) * k_dim + h * v_dim);
        }
    }
}

#endif
