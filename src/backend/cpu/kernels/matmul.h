/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.h: the tile functions of MATRIX_MULTIPLY (a linear layer) and GROUPED_MATMUL over strip16 weights.
 *
 * A tile is a block of rows × a granule of up to 4 strips (1 for a few rows where nothing is gated or quantised), so that
 * gating and quantising stay inside a tile and need no barrier. Tiles of one row block stand together: its activations stay
 * in the second-level cache while the weights pass. Inside a tile rows go by chunks of TILE_ROWS; sums are kept in float32
 * between blocks of columns, exactly.
 *
 * Several quantised rows are first gathered into the workspace, once for all tiles, by a phase of their own: gathered by each
 * claim of tiles they took a sixth of a product with 16 rows, and by each strip, where k > 1,024, half of it. One row alone, and
 * an expert's rows, which nobody knows beforehand, are gathered by who multiplies them.
 *
 * Weights that come from memory can be streamed: asked for ahead of the first rows that meet them, one row alone taking the
 * strips of a granule side by side (matmul_integer.h has the figures). The sums and their order are the same.
 *
 * launch constants: [0] rows a block, [1] strips a granule, [2] granules, [3] 1: the weights are streamed, [4] 1: gathered
 */
#ifndef TN_BACKEND_CPU_MATMUL_H_
#define TN_BACKEND_CPU_MATMUL_H_

#include "backend/cpu/kernels/epilogue.h"
#include "backend/cpu/kernels/matmul_float.h"
#include "backend/cpu/kernels/matmul_integer.h"
#include "base/checked.h"

enum {
    TILE_ROWS = 32,
    K_BLOCK = 1024,                            /* with 8 rows, what activations and weights of a block leave of the first cache */
    GATHERED_BLOCKS = TILE_ROWS * K_BLOCK / 32 /* row × block pairs that a chunk gathers */
};

typedef struct matmul_work {
    const uint8_t *weights; /* first strip */
    int64_t strip_bytes, n, k;
    tn_strip_type type;
    tn_dtype x_dtype;
    const char *x;
    size_t x_row_bytes;
    bool streams;
    char *gathered; /* the workspace */
    int64_t gathered_row_bytes;
    tile_output output;
} matmul_work;

V_INLINE matmul_work matmul_work_make(const tn_bound_step *step) {
    const tn_problem *problem = step->problem;
    const tn_operand *x = &problem->operands[0], *w = &problem->operands[1];
    matmul_work work = {.weights = step->buffers[1], .x = step->buffers[0], .x_dtype = x->dtype};
    work.streams = step->launch->constants[3] != 0;
    (void)tn_strip_type_of(&w->encoding, &work.type);
    work.k = tn_operand_dim(w, w->rank - 1, step->symbols);
    work.n = tn_operand_dim(w, w->rank - 2, step->symbols);
    work.strip_bytes = tn_strip_bytes(work.type, work.k);
    if (x->dtype == TN_FLOAT32) {
        work.x_row_bytes = (size_t)work.k * sizeof(float);
    } else {
        work.x_row_bytes = tn_quantized_row_bytes(x->dtype, work.k);
        work.gathered = step->buffers[problem->num_operands];
        work.gathered_row_bytes = work.k / 32 * tile_block_bytes(tn_strip_halves(work.type), 1, x->dtype == TN_Q15_32);
    }
    work.output = tile_output_make(step, work.n);
    return work;
}

/* Rows of one chunk. Their tiles stand in the workspace or here; those gathered here stay for the next tile that has the same rows. */
typedef struct matmul_chunk {
    const char *rows[TILE_ROWS];
    int64_t num_rows;
    gathered_rows gathered;
    int64_t gathered_end;                          /* blocks from gathered.first up to here are there */
    _Alignas(64) char tiles[GATHERED_BLOCKS * 76]; /* two planes and two sums */
} matmul_chunk;

/* Columns that are met at once: all if they fit, else even shares of at most K_BLOCK, whole units of 64. */
V_INLINE int64_t columns_at_once(int64_t k, int64_t num_rows) {
    if (k / 32 * num_rows <= GATHERED_BLOCKS && (num_rows < 8 || k <= K_BLOCK)) return k;
    return tn_round_up(tn_ceil_div(k, tn_ceil_div(k, K_BLOCK)), 128);
}

/* Columns [first, end) of num_strips strips, which `weights` begins. streams: they are met for the first time here. */
V_INLINE void matmul_run_columns(const matmul_work *work, const matmul_chunk *chunk, bool streams, const uint8_t *weights, int64_t first,
                                 int64_t end, int num_strips, float (*y)[TILE_COLUMNS]) {
    if (work->x_dtype == TN_FLOAT32) {
        int64_t ahead = streams ? tn_strip_bytes(work->type, DECODE_COLUMNS) : 0;
        for (int s = 0; s < num_strips; s++)
            float_strip(work->type, weights + s * work->strip_bytes, ahead, chunk->rows, chunk->num_rows, first, end, &y[0][s * LANES],
                        TILE_COLUMNS);
        return;
    }
    bool two_planes = work->x_dtype == TN_Q15_32;
    const gathered_rows *rows = &chunk->gathered;
    if (chunk->num_rows == 1) {
        const char *tile = rows->tiles + (first / 32 - rows->first) * tile_block_bytes(tn_strip_halves(work->type), 1, two_planes);
        for (int s = 0, count; s < num_strips; s += count) {
            count = streams && s + V_TILE_STRIPS <= num_strips ? V_TILE_STRIPS : 1;
            integer_row_function multiply = row_function_for(work->type, two_planes, count == V_TILE_STRIPS && streams);
            multiply(weights + s * work->strip_bytes, work->strip_bytes, tile, first / 32, end / 32, &y[0][s * LANES]);
        }
        return;
    }
    integer_strip_function multiply = native_function_for(work->type, two_planes, streams);
    for (int s = 0; s < num_strips; s++) {
        const uint8_t *strip = weights + s * work->strip_bytes;
        if (multiply != NULL)
            multiply(strip, rows, chunk->num_rows, first / 32, end / 32, &y[0][s * LANES], TILE_COLUMNS);
        else
            expanded_strip(work->type, two_planes, strip, streams ? TILE_STREAMS : 0, rows, chunk->num_rows, first / 32, end / 32,
                           &y[0][s * LANES], TILE_COLUMNS);
    }
}

/* The chunk's columns [first, end) as tiles, unless they are there. */
V_INLINE void gather_columns(const matmul_work *work, matmul_chunk *chunk, int64_t first, int64_t end) {
    if (first / 32 >= chunk->gathered.first && end / 32 <= chunk->gathered_end) return;
    gather_tiles(work->x_dtype, work->type, work->k, chunk->rows, chunk->num_rows, first / 32, end / 32, chunk->tiles);
    chunk->gathered = (gathered_rows){chunk->tiles, first / 32,
                                      (end - first) / 32 * tile_block_bytes(tn_strip_halves(work->type), 1, work->x_dtype == TN_Q15_32)};
    chunk->gathered_end = end / 32;
}

/* Output rows [row, row + chunk rows); strips [strip, strip + num_strips) of n. */
static void matmul_run_chunk(const matmul_work *work, matmul_chunk *chunk, bool streams, int64_t row, int64_t strip, int num_strips) {
    float y[TILE_ROWS][TILE_COLUMNS];
    int64_t num_rows = chunk->num_rows, step = columns_at_once(work->k, num_rows);
    for (int64_t r = 0; r < num_rows; r++)
        for (int s = 0; s < num_strips; s++) v_store(&y[r][s * LANES], v_zero());
    for (int64_t k = 0; k < work->k; k += step) {
        int64_t end = k + step < work->k ? k + step : work->k;
        if (work->x_dtype != TN_FLOAT32) gather_columns(work, chunk, k, end);
        matmul_run_columns(work, chunk, streams, work->weights + strip * work->strip_bytes, k, end, num_strips, y);
    }
    for (int64_t r = 0; r < num_rows; r++) finish_row(&work->output, y[r], row + r, strip * LANES, num_strips, work->n);
}

V_INLINE int strips_of_granule(const matmul_work *work, int64_t strip, int64_t per_granule) {
    int64_t left = tn_ceil_div(work->n, LANES) - strip;
    return (int)(left < per_granule ? left : per_granule);
}

enum { GATHER_ROWS = 8 /* of a tile of the first phase: whole tiles at every level */ };

void TN_ISA_NAME(tn_cpu_gather_rows)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_gather_rows)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    matmul_work work = matmul_work_make(step);
    int64_t num_rows = tn_operand_rows(&step->problem->operands[0], step->symbols);
    for (int64_t tile = begin; tile < end; tile++) {
        const char *rows[GATHER_ROWS];
        int64_t row = tile * GATHER_ROWS, count = num_rows - row < GATHER_ROWS ? num_rows - row : GATHER_ROWS;
        for (int64_t r = 0; r < count; r++) rows[r] = work.x + (size_t)(row + r) * work.x_row_bytes;
        gather_tiles(work.x_dtype, work.type, work.k, rows, count, 0, work.k / 32, work.gathered + row * work.gathered_row_bytes);
    }
}

void TN_ISA_NAME(tn_cpu_matmul)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_matmul)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    matmul_work work = matmul_work_make(step);
    const int64_t *constants = step->launch->constants;
    int64_t num_rows = tn_operand_rows(&step->problem->operands[0], step->symbols), gathered_row = -1;
    matmul_chunk chunk;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t first = tile / constants[2] * constants[0], strip = tile % constants[2] * constants[1];
        int64_t last = first + constants[0] < num_rows ? first + constants[0] : num_rows;
        int num_strips = strips_of_granule(&work, strip, constants[1]);
        for (int64_t row = first; row < last; row += TILE_ROWS) {
            if (row != gathered_row) {
                chunk.num_rows = last - row < TILE_ROWS ? last - row : TILE_ROWS;
                chunk.gathered_end = 0;
                for (int64_t r = 0; r < chunk.num_rows; r++) chunk.rows[r] = work.x + (size_t)(row + r) * work.x_row_bytes;
                if (constants[4] != 0) {
                    chunk.gathered = (gathered_rows){work.gathered + row * work.gathered_row_bytes, 0, work.gathered_row_bytes};
                    chunk.gathered_end = work.k / 32;
                }
                gathered_row = row;
            }
            matmul_run_chunk(&work, &chunk, work.streams && row == first, row, strip, num_strips);
        }
    }
}

/* A tile is an expert × a granule; its rows are known only now. */
void TN_ISA_NAME(tn_cpu_grouped_matmul)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_grouped_matmul)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    matmul_work work = matmul_work_make(step);
    const tn_grouped_matmul_params *params = step->problem->params;
    const int64_t *constants = step->launch->constants;
    const int32_t *expert_start = step->buffers[2], *order = step->buffers[3];
    const uint8_t *weights = work.weights;
    matmul_chunk chunk;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t expert = tile / constants[2], strip = tile % constants[2] * constants[1];
        int num_strips = strips_of_granule(&work, strip, constants[1]);
        work.weights = weights + expert * tn_ceil_div(work.n, LANES) * work.strip_bytes;
        work.output.group = expert;
        int64_t last = expert_start[expert + 1];
        for (int64_t row = expert_start[expert]; row < last; row += TILE_ROWS) {
            chunk.num_rows = last - row < TILE_ROWS ? last - row : TILE_ROWS;
            chunk.gathered_end = 0;
            for (int64_t r = 0; r < chunk.num_rows; r++) {
                int64_t from = params->sorted ? row + r : order[row + r] / params->top_k;
                chunk.rows[r] = work.x + (size_t)from * work.x_row_bytes;
            }
            matmul_run_chunk(&work, &chunk, false, row, strip, num_strips);
        }
    }
}

#endif
