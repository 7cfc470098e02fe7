/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.h: ATTENTION over the paged cache: for each token and query head, softmax(scale · q·K) · V of the positions it sees.
 *
 * Shapes   q f32 [T, H·Dk], cache kv_layout.h, y f32 or quantised [T, H·Dv]
 * Order    positions in chunks of 256 from 0. In a chunk groups of 16: score = Σ_d k·q by fma, d ascending; the running
 *          maximum moves once a group; weights e^(score − maximum); their sum in sixteen lanes, the fixed tree at the chunk's
 *          end; y = fma(weight, v, y), positions ascending. Chunks are merged ascending. The numerics f32_chunked_softmax:
 *          the same for prefill, decode and split work, any tile, any thread
 * Scaled   caches: a score is (Σ_d level·q) · the key's scale, a weight is multiplied by the value's scale before the value's levels
 * Masked   positions are given the weight 0 and their values are not read: what a block held before cannot reach a result
 * Method   A tile is some tokens × the query heads of one key/value head (or one of them): scores of all rows against 64
 *          positions, softmax of each row, then values; keys and values are widened to float32 once a tile. With few tokens a
 *          second axis of tiles is the chunk, partial results go to the workspace and a second phase merges them.
 * Bound    prefill: float32 multiply-adds; decode: bytes of the cache
 *
 * launch constants: [0] tokens a tile, [1] query heads a tile, [2] tiles of heads, [3] most chunks there can be (0: a tile walks
 * all chunks), [4] tiles that share the chunks of a row, every so many-th each
 */
#ifndef TN_BACKEND_CPU_ATTENTION_H_
#define TN_BACKEND_CPU_ATTENTION_H_
#include "backend/cpu/kernels/attention_chunk.h"

V_INLINE float exp_one(float x) {
    float all[LANES];
    v_store(all, v_exp_negative(v_set1(x)));
    return all[0];
}

/* (values, maximum, sum) and those of a later chunk → both */
V_INLINE void merge_chunk(float *values, float *maximum, float *sum, const float *chunk_values, float chunk_maximum, float chunk_sum,
                          int64_t v_dim) {
    if (chunk_maximum == -INFINITY) return; /* saw nothing */
    float larger = *maximum > chunk_maximum ? *maximum : chunk_maximum;
    float old = *maximum == -INFINITY ? 0.0f : exp_one(*maximum - larger), now = exp_one(chunk_maximum - larger);
    for (int64_t d = 0; d < v_dim; d += LANES)
        v_store(values + d, v_fma(v_load(chunk_values + d), v_set1(now), v_mul(v_load(values + d), v_set1(old))));
    *sum = __builtin_fmaf(chunk_sum, now, *sum * old);
    *maximum = larger;
}

/* Divides by the sum (with the sink's logit in it) and stores one row. values: padded to whole vectors. */
V_INLINE void store_row(const attention_work *work, int64_t token, int64_t head, float *values, float maximum, float sum) {
    int64_t v_dim = work->layout.v_dim, columns = work->params->num_heads * v_dim;
    float scale = 1.0f;
    if (work->sinks != NULL) {
        float sink = work->sinks[head], larger = maximum > sink ? maximum : sink;
        scale = maximum == -INFINITY ? 0.0f : exp_one(maximum - larger);
        sum = __builtin_fmaf(sum, scale, exp_one(sink - larger));
    }
    float factor = sum > 0.0f || sum != sum ? scale / sum : 0.0f; /* a NaN stays one */
    for (int64_t d = 0; d < v_dim; d += LANES) v_store(values + d, v_mul(v_load(values + d), v_set1(factor)));
    char *out = work->out + (size_t)token * work->out_row_bytes;
    if (work->out_dtype == TN_FLOAT32) {
        memcpy((float *)(void *)out + head * v_dim, values, (size_t)v_dim * sizeof(float));
    } else {
        v_quantize_columns(work->out_dtype, values, head * v_dim, v_dim, columns, out);
    }
}

/* Rows for tokens [first, …) of one sequence, at most `end`, and heads [head, head + heads); returns the token after. */
V_INLINE int64_t make_rows(const attention_work *work, attention_tile *tile, int64_t first, int64_t end, int64_t head, int64_t heads) {
    int64_t sequence = sequence_of_token(work->query_start, work->num_seqs, first);
    tile->num_rows = 0;
    if (sequence == work->num_seqs) return first + 1; /* a token of no sequence is passed over */
    tile->sequence = sequence;
    tile->kv_head = head / work->heads_per_group;
    int64_t sequence_end = work->query_start[sequence + 1] < end ? work->query_start[sequence + 1] : end;
    for (int64_t token = first; token < sequence_end; token++) {
        for (int64_t h = head; h < head + heads; h++) {
            attention_row *row = &tile->rows[tile->num_rows++];
            row->token = token;
            row->head = h;
            row->position = work->kv_length[sequence] - (work->query_start[sequence + 1] - token);
            row->first =
                work->params->window > 0 && row->position + 1 > work->params->window ? row->position + 1 - work->params->window : 0;
            row->q = work->q + (token * work->params->num_heads + h) * work->layout.k_dim;
            row->maximum = -INFINITY;
            row->sum = 0;
        }
    }
    return sequence_end;
}

/* Walks all chunks of a tile's rows and stores them. */
static void attend_rows(const attention_work *work, attention_tile *tile) {
    int64_t v_dim = work->layout.v_dim, last = -1, first = INT64_MAX;
    for (int r = 0; r < tile->num_rows; r++) {
        memset(tile->values[r], 0, (size_t)((v_dim + LANES - 1) / LANES * LANES) * sizeof(float));
        last = tile->rows[r].position > last ? tile->rows[r].position : last;
        first = tile->rows[r].first < first ? tile->rows[r].first : first;
    }
    for (int64_t chunk = 0; chunk * CHUNK <= last; chunk++) {
        if ((chunk + 1) * CHUNK <= first && chunk * CHUNK >= work->params->sink_tokens) continue;
        attend_chunk(work, tile, chunk);
        for (int r = 0; r < tile->num_rows; r++) {
            attention_row *row = &tile->rows[r];
            merge_chunk(tile->values[r], &row->maximum, &row->sum, tile->chunk_values[r], row->chunk_maximum, v_sum(row->chunk_sum), v_dim);
        }
    }
    for (int r = 0; r < tile->num_rows; r++) {
        attention_row *row = &tile->rows[r];
        store_row(work, row->token, row->head, tile->values[r], row->maximum, row->sum);
    }
}

V_INLINE int64_t partial_stride(const attention_work *work) {
    return (work->layout.v_dim + LANES - 1) / LANES * LANES + LANES;
}

void TN_ISA_NAME(tn_cpu_attention)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_attention)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    attention_work work = attention_work_make(step);
    const int64_t *constants = step->launch->constants;
    int64_t tokens = constants[0], heads = constants[1], head_tiles = constants[2], shares = work.num_chunks > 0 ? constants[4] : 1;
    int64_t stride = partial_stride(&work), v_dim = work.layout.v_dim;
    attention_tile tile; /* 90 KB: not cleared */
    tile.num_rows = 0;
    for (int64_t index = begin; index < end; index++) {
        int64_t share = index % shares, head = index / shares % head_tiles * heads, token = index / shares / head_tiles * tokens;
        int64_t last = token + tokens < work.num_tokens ? token + tokens : work.num_tokens;
        while (token < last) {
            token = make_rows(&work, &tile, token, last, head, heads);
            if (tile.num_rows == 0) continue;
            if (work.num_chunks == 0) {
                attend_rows(&work, &tile);
                continue;
            }
            for (int64_t chunk = share; chunk < work.num_chunks; chunk += shares) {
                if (chunk * CHUNK > tile.rows[tile.num_rows - 1].position) break;
                attend_chunk(&work, &tile, chunk);
                for (int r = 0; r < tile.num_rows; r++) {
                    attention_row *row = &tile.rows[r];
                    float *partial = work.partial + ((row->token * work.params->num_heads + row->head) * work.num_chunks + chunk) * stride;
                    for (int64_t d = 0; d < v_dim; d += LANES) v_store(partial + d, v_load(tile.chunk_values[r] + d));
                    partial[stride - 2] = row->chunk_maximum;
                    partial[stride - 1] = v_sum(row->chunk_sum);
                }
            }
        }
    }
}

/* Second phase: a tile is a token × query head; merges its chunks in order. */
void TN_ISA_NAME(tn_cpu_attention_merge)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_attention_merge)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    attention_work work = attention_work_make(step);
    int64_t stride = partial_stride(&work), num_heads = work.params->num_heads, v_dim = work.layout.v_dim;
    attention_tile tile;
    tile.num_rows = 0;
    for (int64_t index = begin; index < end; index++) {
        int64_t token = index / num_heads, head = index % num_heads;
        (void)make_rows(&work, &tile, token, token + 1, head, 1);
        if (tile.num_rows == 0) continue;
        float maximum = -INFINITY, sum = 0;
        memset(tile.values[0], 0, (size_t)(stride - LANES) * sizeof(float));
        for (int64_t chunk = 0; chunk * CHUNK <= tile.rows[0].position && chunk < work.num_chunks; chunk++) {
            const float *partial = work.partial + (index * work.num_chunks + chunk) * stride;
            merge_chunk(tile.values[0], &maximum, &sum, partial, partial[stride - 2], partial[stride - 1], v_dim);
        }
        store_row(&work, token, head, tile.values[0], maximum, sum);
    }
}

#endif
