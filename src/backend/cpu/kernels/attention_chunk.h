/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_chunk.h: one chunk of 256 positions of attention for a tile of rows: scores, softmax, values. The mathematics and
 * the order of operations stand in attention.h, which walks and merges chunks.
 */
#ifndef TN_BACKEND_CPU_ATTENTION_CHUNK_H_
#define TN_BACKEND_CPU_ATTENTION_CHUNK_H_

#include "backend/cpu/kernels/kv_element.h"
#include "backend/cpu/kernels/quantize.h"
#include "backend/cpu/kernels/sequence.h"
#include "backend/cpu/kernels/vector_math.h"
#include "backend/cpu/kv_layout.h"
#include "op/tactic.h"

enum {
    CHUNK = 256,             /* positions of one online softmax: part of the numerics */
    PIECE = 64,              /* positions whose scores are held at once */
    MAX_ATTENTION_ROWS = 32, /* rows (token × head) of a tile */
    MAX_HEAD_DIM = 256
};

typedef struct attention_work {
    const tn_attention_params *params;
    tn_cpu_kv_layout layout;
    const char *cache; /* at this layer */
    const float *q, *sinks, *slopes;
    const int32_t *query_start, *kv_length, *block_table;
    int64_t num_tokens, num_seqs, max_blocks, heads_per_group;
    tn_dtype dtype; /* of the cache */
    char *out;
    size_t out_row_bytes;
    tn_dtype out_dtype;
    float *partial; /* [T][H][chunks][v_dim + 2]: values, maximum, sum */
    int64_t num_chunks;
} attention_work;

V_INLINE attention_work attention_work_make(const tn_bound_step *step) {
    const tn_problem *problem = step->problem;
    const tn_attention_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    attention_work work = {.params = params, .layout = tn_cpu_kv_layout_make(&geometry)};
    work.cache = (const char *)step->buffers[1] + params->layer * work.layout.layer_bytes;
    work.q = step->buffers[0];
    work.query_start = step->buffers[2];
    work.kv_length = step->buffers[3];
    work.block_table = step->buffers[4];
    work.sinks = problem->num_inputs > 5 ? step->buffers[5] : NULL;
    work.slopes = problem->num_inputs > 6 ? step->buffers[6] : NULL;
    work.num_tokens = tn_operand_rows(&problem->operands[0], step->symbols);
    work.num_seqs = tn_operand_dim(&problem->operands[3], 0, step->symbols);
    work.max_blocks = tn_operand_dim(&problem->operands[4], 1, step->symbols);
    work.heads_per_group = params->num_heads / params->num_kv_heads;
    work.dtype = params->cache_dtype;
    work.out = step->buffers[problem->num_inputs];
    work.out_dtype = problem->operands[problem->num_inputs].dtype;
    int64_t columns = params->num_heads * params->v_dim;
    work.out_row_bytes = work.out_dtype == TN_FLOAT32 ? (size_t)columns * sizeof(float) : tn_quantized_row_bytes(work.out_dtype, columns);
    work.partial = step->buffers[problem->num_operands];
    work.num_chunks = step->launch->constants[3];
    return work;
}

/* One row of a tile: what is known of one token and head. */
typedef struct attention_row {
    const float *q;
    int64_t token, head, position; /* in its sequence */
    int64_t first;                 /* positions first … position are seen, and those below params.sink_tokens */
    float maximum, sum;            /* of the chunks merged so far */
    float chunk_maximum;
    vf chunk_sum;
} attention_row;

typedef struct attention_tile {
    attention_row rows[MAX_ATTENTION_ROWS];
    int num_rows; /* those of one token stand together */
    int64_t sequence, kv_head;
    float scores[MAX_ATTENTION_ROWS][PIECE];
    float corrections[MAX_ATTENTION_ROWS][PIECE / TN_KV_GROUP];
    float chunk_values[MAX_ATTENTION_ROWS][MAX_HEAD_DIM];
    float values[MAX_ATTENTION_ROWS][MAX_HEAD_DIM];
    _Alignas(64) float widened[TN_KV_GROUP * MAX_HEAD_DIM + LANES];
} attention_tile;

/* The head's part of the block that holds a position; NULL: dropped. */
V_INLINE const char *head_block(const attention_work *work, const attention_tile *tile, int64_t position) {
    int64_t index = position / work->layout.tokens_per_block;
    int32_t block = index < work->max_blocks ? work->block_table[tile->sequence * work->max_blocks + index] : -1;
    if (block < 0) return NULL;
    return work->cache + block * work->layout.block_bytes + tile->kv_head * work->layout.head_bytes;
}

/* Sixteen rows of `columns` elements as float32, levels of scaled types as they are: in place if whole vectors of a row can be
 * read there, else in `widened`. */
V_INLINE const float *as_floats(const attention_work *work, const char *data, int64_t columns, float *widened) {
    int64_t count = TN_KV_GROUP * columns;
    switch (work->dtype) {
#define WIDEN(dtype)                                                                                     \
    case dtype:                                                                                          \
        for (int64_t i = 0; i < count; i += LANES) v_store(widened + i, v_load_element(dtype, data, i)); \
        return widened;
        WIDEN(TN_FLOAT16)
        WIDEN(TN_BFLOAT16)
        WIDEN(TN_INT16)
        WIDEN(TN_INT8)
        WIDEN(TN_FLOAT8_E4M3FN)
#undef WIDEN
    default:
        if (columns % LANES == 0) return (const float *)(const void *)data;
        return memcpy(widened, data, (size_t)count * sizeof(float));
    }
}

V_INLINE bool row_sees(const attention_work *work, const attention_row *row, int64_t group) {
    return group <= row->position && (group + TN_KV_GROUP > row->first || group < work->params->sink_tokens);
}

/* −∞ for the positions of the group that a row does not see. */
V_INLINE vf hide_unseen(const attention_work *work, const attention_row *row, int64_t group, vf scores) {
    vf hidden = v_set1(-INFINITY);
    scores = v_select(v_mask_range(0, row->position + 1 - group), scores, hidden);
    if (group >= row->first) return scores;
    vf window = v_select(v_mask_range(row->first - group, LANES), scores, hidden);
    return v_select(v_mask_range(0, work->params->sink_tokens - group), scores, window);
}

V_INLINE vf shape_scores(const attention_work *work, const attention_row *row, vf scores, int64_t group) {
    static const float lane[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    scores = v_mul(scores, v_set1((float)work->params->scale));
    if (work->params->soft_cap > 0) {
        vf cap = v_set1((float)work->params->soft_cap);
        scores = v_mul(cap, v_tanh(v_div(scores, cap)));
    }
    if (work->slopes != NULL) {
        vf distance = v_add(v_load(lane), v_set1((float)(group - row->position)));
        scores = v_fma(v_set1(work->slopes[row->head]), distance, scores);
    }
    return scores;
}

V_INLINE void score_rows(const int num_rows, const float *keys, attention_row *rows, int64_t k_dim, float (*scores)[PIECE],
                         int64_t column) {
    vf sums[V_TILE_ROWS];
    const float *q[V_TILE_ROWS];
    V_UNROLL for (int r = 0; r < num_rows; r++) {
        sums[r] = v_zero();
        q[r] = rows[r].q;
    }
    for (int64_t d = 0; d < k_dim; d++) {
        vf k = v_load(keys + d * LANES);
        V_UNROLL for (int r = 0; r < num_rows; r++) sums[r] = v_fma(k, v_set1(q[r][d]), sums[r]);
    }
    V_UNROLL for (int r = 0; r < num_rows; r++) v_store(scores[r] + column, sums[r]);
}

/* What the levels of a group's keys or values are multiplied by. */
V_INLINE vf load_scales(const attention_work *work, const char *block, bool is_value, int64_t group) {
    const char *scales = block + tn_cpu_kv_scale(&work->layout, is_value, group % work->layout.tokens_per_block);
    return v_load((const float *)(const void *)scales);
}

/* Raw scores of all rows against one group of positions, into column `column` of the piece. */
V_INLINE void score_group(const attention_work *work, attention_tile *tile, int64_t group, int64_t column) {
    const char *block = head_block(work, tile, group);
    if (block == NULL) {
        for (int r = 0; r < tile->num_rows; r++) v_store(tile->scores[r] + column, v_set1(-INFINITY));
        return;
    }
    const char *stored = block + tn_cpu_kv_key_group(&work->layout, group % work->layout.tokens_per_block);
    const float *keys = as_floats(work, stored, work->layout.k_dim, tile->widened);
    int r = 0;
#if V_TILE_ROWS > 1
    for (; r + V_TILE_ROWS <= tile->num_rows; r += V_TILE_ROWS)
        score_rows(V_TILE_ROWS, keys, tile->rows + r, work->layout.k_dim, tile->scores + r, column);
    for (; r + 3 <= tile->num_rows; r += 3) score_rows(3, keys, tile->rows + r, work->layout.k_dim, tile->scores + r, column);
#endif
    for (; r < tile->num_rows; r++) score_rows(1, keys, tile->rows + r, work->layout.k_dim, tile->scores + r, column);
    if (work->layout.scales == 0) return;
    vf scales = load_scales(work, block, false, group);
    for (r = 0; r < tile->num_rows; r++) v_store(tile->scores[r] + column, v_mul(v_load(tile->scores[r] + column), scales));
}

/* Scores of a row's piece become weights; a group's correction is what all weights before it are multiplied by. */
V_INLINE void soften_row(const attention_work *work, attention_row *row, float *scores, float *corrections, int64_t piece, int64_t end) {
    for (int64_t group = piece; group < end; group += TN_KV_GROUP) {
        float *column = scores + (group - piece), *correction = corrections + (group - piece) / TN_KV_GROUP;
        *correction = 1.0f;
        if (!row_sees(work, row, group)) {
            v_store(column, v_zero());
            continue;
        }
        vf s = hide_unseen(work, row, group, shape_scores(work, row, v_load(column), group));
        float largest = v_largest(s);
        if (!(largest > row->chunk_maximum)) largest = row->chunk_maximum;
        if (largest == -INFINITY) { /* nothing seen so far, or every score −∞ */
            v_store(column, v_zero());
            continue;
        }
        if (largest > row->chunk_maximum) {
            vf factor = v_exp_negative(v_set1(row->chunk_maximum - largest));
            float first[LANES];
            v_store(first, factor);
            *correction = first[0];
            row->chunk_sum = v_mul(row->chunk_sum, factor);
            row->chunk_maximum = largest;
        }
        vf weights = v_select(v_equal(s, v_set1(-INFINITY)), v_zero(), v_exp_negative(v_sub(s, v_set1(largest))));
        row->chunk_sum = v_add(row->chunk_sum, weights);
        v_store(column, weights);
    }
}

/* Adds weights · values of the positions [first, end) of one group to rows that all see exactly those. */
V_INLINE void add_values(const int num_rows, const float *values, float (*weights)[PIECE], float (*out)[MAX_HEAD_DIM], int64_t v_dim,
                         int64_t first, int64_t end) {
    for (int64_t d = 0; d < v_dim; d += LANES * 2) {
        bool two = d + LANES < v_dim;
        vf low[4], high[4];
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            low[r] = v_load(out[r] + d);
            high[r] = two ? v_load(out[r] + d + LANES) : v_zero();
        }
        for (int64_t j = first; j < end; j++) {
            vf v0 = v_load(values + j * v_dim + d), v1 = two ? v_load(values + j * v_dim + d + LANES) : v_zero();
            V_UNROLL for (int r = 0; r < num_rows; r++) {
                vf weight = v_set1(weights[r][j]);
                low[r] = v_fma(weight, v0, low[r]);
                high[r] = v_fma(weight, v1, high[r]);
            }
        }
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            v_store(out[r] + d, low[r]);
            if (two) v_store(out[r] + d + LANES, high[r]);
        }
    }
}

/* The first and last + 1 of the positions of a group that a row sees; positions between that it does not see (between sink
 * tokens and window) have weight 0 and are written. */
V_INLINE void seen_range(const attention_work *work, const attention_row *row, int64_t group, int64_t *first, int64_t *end) {
    *first = group < work->params->sink_tokens || row->first <= group ? 0 : row->first - group;
    *end = row->position + 1 - group < TN_KV_GROUP ? row->position + 1 - group : TN_KV_GROUP;
}

V_INLINE void value_group(const attention_work *work, attention_tile *tile, int64_t group, int64_t column) {
    const char *block = head_block(work, tile, group);
    if (block == NULL) return;
    int64_t v_dim = work->layout.v_dim, index = column / TN_KV_GROUP;
    const char *stored = block + tn_cpu_kv_value(&work->layout, group % work->layout.tokens_per_block);
    const float *values = as_floats(work, stored, v_dim, tile->widened);
    bool scaled = work->layout.scales != 0;
    vf scales = scaled ? load_scales(work, block, true, group) : v_zero();
    float weights[4][PIECE];
    for (int r = 0; r < tile->num_rows;) {
        int64_t first, end, next_first, next_end;
        int count = 1;
        bool sees = row_sees(work, &tile->rows[r], group);
        seen_range(work, &tile->rows[r], group, &first, &end);
        while (sees && V_TILE_ROWS > 1 && count < 4 && r + count < tile->num_rows && row_sees(work, &tile->rows[r + count], group)) {
            seen_range(work, &tile->rows[r + count], group, &next_first, &next_end);
            if (next_first != first || next_end != end) break;
            count++;
        }
        for (int i = 0; sees && i < count; i++) {
            float correction = tile->corrections[r + i][index];
            float *out = tile->chunk_values[r + i];
            if (correction != 1.0f)
                for (int64_t d = 0; d < v_dim; d += LANES) v_store(out + d, v_mul(v_load(out + d), v_set1(correction)));
            vf these = v_load(tile->scores[r + i] + column);
            v_store(weights[i], scaled ? v_mul(these, scales) : these);
        }
        if (sees) {
            float(*out)[MAX_HEAD_DIM] = tile->chunk_values + r;
            switch (count) {
#if V_TILE_ROWS > 1
            case 4: add_values(4, values, weights, out, v_dim, first, end); break;
            case 3: add_values(3, values, weights, out, v_dim, first, end); break;
            case 2: add_values(2, values, weights, out, v_dim, first, end); break;
#endif
            default: add_values(1, values, weights, out, v_dim, first, end); break;
            }
        }
        r += count;
    }
}

/* One chunk for all rows of a tile: values, maximum and sum of each, from nothing. */
V_INLINE void attend_chunk(const attention_work *work, attention_tile *tile, int64_t chunk) {
    int64_t last = 0, v_dim = work->layout.v_dim;
    for (int r = 0; r < tile->num_rows; r++) {
        attention_row *row = &tile->rows[r];
        row->chunk_maximum = -INFINITY;
        row->chunk_sum = v_zero();
        memset(tile->chunk_values[r], 0, (size_t)((v_dim + LANES - 1) / LANES * LANES) * sizeof(float));
        last = row->position > last ? row->position : last;
    }
    int64_t chunk_end = chunk * CHUNK + CHUNK < last + 1 ? chunk * CHUNK + CHUNK : last + 1;
    for (int64_t piece = chunk * CHUNK; piece < chunk_end; piece += PIECE) {
        int64_t end = piece + PIECE < chunk_end ? piece + PIECE : chunk_end;
        bool any = false;
        for (int64_t group = piece; group < end; group += TN_KV_GROUP)
            for (int r = 0; !any && r < tile->num_rows; r++) any = row_sees(work, &tile->rows[r], group);
        if (!any) continue;
        for (int64_t group = piece; group < end; group += TN_KV_GROUP) score_group(work, tile, group, group - piece);
        for (int r = 0; r < tile->num_rows; r++) soften_row(work, &tile->rows[r], tile->scores[r], tile->corrections[r], piece, end);
        for (int64_t group = piece; group < end; group += TN_KV_GROUP) value_group(work, tile, group, group - piece);
    }
}

#endif
