/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.c: the tactics of MATRIX_MULTIPLY by a weight and of GROUPED_MATMUL: few rows (gemv), many rows of float32 weights
 * (float), many rows of 16-bit and GGUF weights on tensor cores (mma; wgmma on compute capability 9.0).
 *
 * A plain weight whose k is no multiple of 8 has rows at odd addresses: every tactic then runs the kernels `any`, which read
 * single values.
 */
#include <math.h>
#include <string.h>

#include "backend/checks.h"
#include "backend/cost.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/matmul_args.h"
#include "backend/cuda/layouts.h"
#include "base/checked.h"

typedef enum weight_form {
    FORM_F32 = 0,
    FORM_BF16,
    FORM_F16,
    FORM_Q4_0, /* planes */
    FORM_Q4_1,
    FORM_Q8_0,
    FORM_Q5_0, /* from here on GGUF's blocks as the file has them */
    FORM_Q5_1,
    FORM_Q2_K,
    FORM_Q3_K,
    FORM_Q4_K,
    FORM_Q5_K,
    FORM_Q6_K,
    FORM_IQ4_NL,
    FORM_IQ4_XS,
    FORM_MXFP4,
    FORM_PARTS, /* data, scales and zero points apart: AFFINE and MX */
    NUM_FORMS,
} weight_form;

typedef struct form_kernels {
    tn_cuda_kernel gemv[4], grouped_gemv; /* gemv: 1, 2, 4, 8 rows */
    tn_cuda_kernel any, grouped_any;      /* plain forms */
    tn_cuda_kernel mma[2], grouped_mma;   /* mma: tiles of 64 and 128 rows; not of f32 */
    int values_per_vector;                /* of 16 bytes */
    int gemv_blocks[4];                   /* of 256 threads a multiprocessor holds, by their registers */
} form_kernels;

#define GEMV_KERNELS(type)                                                                                   \
    .gemv = {TN_CUDA_KERNEL_gemv_##type##_1, TN_CUDA_KERNEL_gemv_##type##_2, TN_CUDA_KERNEL_gemv_##type##_4, \
             TN_CUDA_KERNEL_gemv_##type##_8},                                                                \
    .grouped_gemv = TN_CUDA_KERNEL_grouped_gemv_##type
#define ANY_KERNELS(type) .any = TN_CUDA_KERNEL_any_##type, .grouped_any = TN_CUDA_KERNEL_grouped_any_##type
#define MMA_KERNELS(type) \
    .mma = {TN_CUDA_KERNEL_mma_##type##_64, TN_CUDA_KERNEL_mma_##type##_128}, .grouped_mma = TN_CUDA_KERNEL_grouped_mma_##type##_64
static const form_kernels kernels_of[NUM_FORMS] = {
    [FORM_F32] = {GEMV_KERNELS(f32), ANY_KERNELS(f32), .values_per_vector = 4, .gemv_blocks = {4, 3, 2, 2}},
    [FORM_BF16] = {GEMV_KERNELS(bf16), ANY_KERNELS(bf16), MMA_KERNELS(bf16), .values_per_vector = 8, .gemv_blocks = {4, 3, 2, 2}},
    [FORM_F16] = {GEMV_KERNELS(f16), ANY_KERNELS(f16), MMA_KERNELS(f16), .values_per_vector = 8, .gemv_blocks = {4, 3, 2, 2}},
    [FORM_Q4_0] = {GEMV_KERNELS(q4_0), MMA_KERNELS(q4_0), .values_per_vector = 32, .gemv_blocks = {3, 2, 1, 1}},
    [FORM_Q4_1] = {GEMV_KERNELS(q4_1), MMA_KERNELS(q4_1), .values_per_vector = 32, .gemv_blocks = {3, 2, 1, 1}},
    [FORM_Q8_0] = {GEMV_KERNELS(q8_0), MMA_KERNELS(q8_0), .values_per_vector = 16, .gemv_blocks = {3, 2, 1, 1}},
    [FORM_Q5_0] = {GEMV_KERNELS(q5_0), MMA_KERNELS(q5_0)},
    [FORM_Q5_1] = {GEMV_KERNELS(q5_1), MMA_KERNELS(q5_1)},
    [FORM_Q2_K] = {GEMV_KERNELS(q2_k), MMA_KERNELS(q2_k)},
    [FORM_Q3_K] = {GEMV_KERNELS(q3_k), MMA_KERNELS(q3_k)},
    [FORM_Q4_K] = {GEMV_KERNELS(q4_k), MMA_KERNELS(q4_k)},
    [FORM_Q5_K] = {GEMV_KERNELS(q5_k), MMA_KERNELS(q5_k)},
    [FORM_Q6_K] = {GEMV_KERNELS(q6_k), MMA_KERNELS(q6_k)},
    [FORM_IQ4_NL] = {GEMV_KERNELS(iq4_nl), MMA_KERNELS(iq4_nl)},
    [FORM_IQ4_XS] = {GEMV_KERNELS(iq4_xs), MMA_KERNELS(iq4_xs)},
    [FORM_MXFP4] = {GEMV_KERNELS(mxfp4), MMA_KERNELS(mxfp4)},
    [FORM_PARTS] = {GEMV_KERNELS(parts), .mma = {TN_CUDA_KERNEL_mma_parts_64, TN_CUDA_KERNEL_mma_parts_128}}, /* experts: gemv alone */
};

static const char *const all_layouts[] = {TN_LAYOUT_PLAIN, "planes_q4_0", "planes_q4_1", "planes_q8_0", NULL};

static const uint32_t block_types[NUM_FORMS] = {
    [FORM_Q5_0] = TN_GGUF_Q5_0,     [FORM_Q5_1] = TN_GGUF_Q5_1,   [FORM_Q2_K] = TN_GGUF_Q2_K, [FORM_Q3_K] = TN_GGUF_Q3_K,
    [FORM_Q4_K] = TN_GGUF_Q4_K,     [FORM_Q5_K] = TN_GGUF_Q5_K,   [FORM_Q6_K] = TN_GGUF_Q6_K, [FORM_IQ4_NL] = TN_GGUF_IQ4_NL,
    [FORM_IQ4_XS] = TN_GGUF_IQ4_XS, [FORM_MXFP4] = TN_GGUF_MXFP4,
};

/* What kernels are told of a weight in parts (matmul_args.h); false: they cannot read it. */
static bool find_parts(const tn_encoding *e, int64_t *out_parts) {
    bool is_mx = e->kind == TN_ENCODING_MX;
    int64_t block_rows = is_mx ? 1 : e->block_rows, block_cols = is_mx ? 32 : e->block_cols, data, scale;
    enum { MAX_BLOCK = (1 << 24) - 1 };
    if ((!is_mx && e->kind != TN_ENCODING_AFFINE) || e->has_scale2 || e->has_perm) return false;
    if (e->has_zero && e->zero_dtype != TN_UINT8) return false;
    if (block_rows > MAX_BLOCK || block_cols > MAX_BLOCK) return false;
    switch (e->storage) {
    case TN_INT4: data = TN_PARTS_I4; break;
    case TN_UINT4: data = TN_PARTS_U4; break;
    case TN_INT8: data = TN_PARTS_I8; break;
    case TN_UINT8: data = TN_PARTS_U8; break;
    case TN_FLOAT8_E4M3FN: data = TN_PARTS_E4M3; break;
    case TN_FLOAT4_E2M1: data = TN_PARTS_E2M1; break;
    default: return false;
    }
    switch (e->scale_dtype) {
    case TN_FLOAT32: scale = TN_PARTS_SCALE_F32; break;
    case TN_FLOAT16: scale = TN_PARTS_SCALE_F16; break;
    case TN_BFLOAT16: scale = TN_PARTS_SCALE_BF16; break;
    case TN_FLOAT8_E8M0: scale = TN_PARTS_SCALE_E8M0; break;
    default: return false;
    }
    *out_parts = data | scale << 4 | (int64_t)e->has_zero << 8 | block_rows << 16 | (int64_t)((uint64_t)block_cols << 40);
    return true;
}

static bool find_form(const tn_encoding *encoding, weight_form *out_form) {
    int64_t parts;
    if (find_parts(encoding, &parts)) {
        *out_form = FORM_PARTS;
        return true;
    }
    tn_planes_type planes;
    if (tn_planes_type_of(encoding, &planes)) {
        *out_form = planes == TN_PLANES_Q4_0 ? FORM_Q4_0 : planes == TN_PLANES_Q4_1 ? FORM_Q4_1 : FORM_Q8_0;
        return true;
    }
    for (int form = FORM_Q5_0; encoding->kind == TN_ENCODING_GGUF && form <= FORM_MXFP4; form++) {
        if (block_types[form] != encoding->gguf_type) continue;
        *out_form = (weight_form)form;
        return true;
    }
    *out_form = encoding->storage == TN_BFLOAT16 ? FORM_BF16 : encoding->storage == TN_FLOAT16 ? FORM_F16 : FORM_F32;
    return encoding->kind == TN_ENCODING_PLAIN && (*out_form != FORM_F32 || encoding->storage == TN_FLOAT32);
}

/* --- what is accepted ------------------------------------------------------------------------------------------------------- */

static bool weight_fits(const tn_operand *w, int rank, weight_form *out_form, char *reason, size_t reason_size) {
    if (w->role != TN_ROLE_WEIGHT) return tn_refuse(reason, reason_size, "the second operand must be a weight");
    if (w->rank != rank) return tn_refuse(reason, reason_size, "the weight must have rank %d, it has %d", rank, w->rank);
    if (w->dtype != TN_FLOAT32) return tn_refuse(reason, reason_size, "a float32 weight, not %s", tn_dtype_name(w->dtype));
    if (!find_form(&w->encoding, out_form))
        return tn_refuse(
            reason, reason_size,
            "weights of float32, bfloat16, float16, GGUF's types, and in parts of 4 or 8 bits or float8 without a permutation");
    tn_planes_type planes;
    const char *layout = tn_planes_type_of(&w->encoding, &planes) ? tn_planes_layout_name(planes) : TN_LAYOUT_PLAIN;
    if (w->layout != NULL && strcmp(w->layout, layout) != 0)
        return tn_refuse(reason, reason_size, "reads layout %s, not %s", layout, w->layout);
    return true;
}

static bool supports(const tn_problem *problem, int weight_rank, weight_form *out_form, char *reason, size_t reason_size) {
    const uint32_t allowed = 1u << TN_EPILOGUE_BIAS | 1u << TN_EPILOGUE_ACTIVATION | 1u << TN_EPILOGUE_GATED_ACTIVATION |
                             1u << TN_EPILOGUE_ADD | 1u << TN_EPILOGUE_SCALE | 1u << TN_EPILOGUE_SOFT_CAP;
    if (!tn_check_complete(problem, 0, true, reason, reason_size) || !tn_check_plain_f32(problem, 0, reason, reason_size)) return false;
    if (!weight_fits(&problem->operands[1], weight_rank, out_form, reason, reason_size)) return false;
    if (!tn_check_epilogues(problem, allowed, reason, reason_size)) return false;
    int num_gates = 0;
    for (uint32_t i = 0; i < problem->num_epilogues; i++) {
        const tn_epilogue *e = &problem->epilogues[i];
        if (e->operand >= 0 && !tn_check_plain_f32(problem, (uint32_t)e->operand, reason, reason_size)) return false;
        if (e->activation > TN_ACTIVATION_GELU_QUICK) return tn_refuse(reason, reason_size, "no activation with parameters");
        num_gates += e->kind == TN_EPILOGUE_GATED_ACTIVATION;
    }
    if (num_gates > 1) return tn_refuse(reason, reason_size, "one gate only");
    for (uint32_t i = 2; weight_rank == 3 && i < 4; i++)
        if (problem->operands[i].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 expert starts and order only");
    return true;
}

static bool supports_linear(const tn_problem *problem, weight_form *out_form, char *reason, size_t reason_size) {
    const tn_matrix_multiply_params *params = problem->params;
    if (params->op_a != TN_MATRIX_NONE || params->op_b != TN_MATRIX_TRANSPOSE)
        return tn_refuse(reason, reason_size, "a · transposed weight only");
    return supports(problem, 2, out_form, reason, reason_size);
}

static bool is_f32(weight_form form, char *reason, size_t reason_size) {
    return form == FORM_F32 || tn_refuse(reason, reason_size, "float32 weights only");
}
static bool is_narrow(weight_form form, char *reason, size_t reason_size) {
    return form != FORM_F32 || tn_refuse(reason, reason_size, "weights narrower than float32 only");
}

/* --- shapes and launches ------------------------------------------------------------------------------------------------------ */

typedef struct shape {
    weight_form form;
    int64_t rows, n, k, experts; /* rows of the output */
    bool grouped, has_vectors;   /* rows of w start at multiples of 16 bytes */
} shape;

static shape shape_of(const tn_problem *problem, const int64_t *symbols) {
    const tn_operand *w = &problem->operands[1];
    shape s = {.grouped = w->rank == 3};
    (void)find_form(&w->encoding, &s.form);
    s.rows = s.grouped ? tn_operand_rows(&problem->operands[3], symbols) * tn_operand_columns(&problem->operands[3], symbols)
                       : tn_operand_rows(&problem->operands[0], symbols);
    s.n = tn_operand_dim(w, w->rank - 2, symbols);
    s.k = tn_operand_columns(w, symbols);
    s.experts = s.grouped ? tn_operand_dim(w, 0, symbols) : 1;
    s.has_vectors = s.k > 0 && s.k % 8 == 0;
    return s;
}

static void fill_constants(const tn_problem *problem, const shape *s, tn_launch *launch) {
    static const int codes[TN_NUM_EPILOGUE_KINDS] = {
        [TN_EPILOGUE_BIAS] = TN_MATMUL_BIAS,
        [TN_EPILOGUE_ACTIVATION] = TN_MATMUL_ACTIVATION,
        [TN_EPILOGUE_GATED_ACTIVATION] = TN_MATMUL_GATE,
        [TN_EPILOGUE_ADD] = TN_MATMUL_ADD,
        [TN_EPILOGUE_SCALE] = TN_MATMUL_SCALE,
        [TN_EPILOGUE_SOFT_CAP] = TN_MATMUL_SOFT_CAP,
    };
    int64_t *constants = launch->constants;
    constants[TN_MATMUL_ROWS] = s->rows;
    constants[TN_MATMUL_N] = s->n;
    constants[TN_MATMUL_K] = s->k;
    int64_t more_parts = (int64_t)tn_problem_num_buffers(problem) - problem->num_operands; /* all of the weight */
    constants[TN_MATMUL_OUTPUT] = problem->num_inputs + more_parts;
    constants[TN_MATMUL_WEIGHT_ROWS] = s->experts * s->n;
    if (s->grouped) {
        const tn_grouped_matmul_params *params = problem->params;
        constants[TN_MATMUL_TOP_K] = params->sorted ? 0 : params->top_k;
    }
    constants[TN_MATMUL_NUM_EPILOGUES] = problem->num_epilogues;
    for (uint32_t i = 0; i < problem->num_epilogues; i++) {
        const tn_epilogue *e = &problem->epilogues[i];
        int64_t buffer = e->operand >= 0 ? e->operand + more_parts : 0;
        bool by_group = e->kind == TN_EPILOGUE_BIAS && problem->operands[e->operand].rank > 1;
        if (e->kind == TN_EPILOGUE_GATED_ACTIVATION) constants[TN_MATMUL_NUM_EPILOGUES] += 16;
        constants[TN_MATMUL_EPILOGUES + 2 * i] = codes[e->kind] | (int64_t)e->activation << 8 | buffer << 16 | (int64_t)by_group << 24;
        tn_cuda_set_real(launch, TN_MATMUL_EPILOGUES + 2 * (int)i + 1, e->value);
    }
}

static void launch_any(const tn_problem *problem, const shape *s, tn_launch *launch) {
    enum { WARPS = 8 };
    int64_t columns = tn_has_epilogue(problem, TN_EPILOGUE_GATED_ACTIVATION) ? s->n / 2 : s->n;
    tn_cuda_kernel kernel = s->grouped ? kernels_of[s->form].grouped_any : kernels_of[s->form].any;
    tn_cuda_launch_add(launch, kernel, tn_ceil_div(columns, WARPS), s->rows < UINT16_MAX ? s->rows : UINT16_MAX, 1, 32 * WARPS, 0);
}

enum { GEMV_WEIGHT_ROWS = 4, GEMV_BLOCK = 256 };

/* Threads that share a row take at least two vectors each where k allows; blocks are made smaller until there are enough of
 * them; each block then takes as many steps as the others. */
static void launch_gemv(const tn_device_info *device, const shape *s, tn_launch *launch) {
    const form_kernels *kernels = &kernels_of[s->form];
    int64_t vectors = s->k / kernels->values_per_vector;
    int64_t threads = 32, block = GEMV_BLOCK, workers = device->num_workers > 0 ? device->num_workers : 1;
    while (threads < GEMV_BLOCK && vectors >= 4 * threads) threads *= 2;
    while (block > 64 && block > threads && tn_ceil_div(s->n, block / threads * GEMV_WEIGHT_ROWS) < 2 * workers) block /= 2;
    int index = s->grouped || s->rows <= 1 ? 0 : s->rows <= 2 ? 1 : s->rows <= 4 ? 2 : 3;
    int64_t granules = tn_ceil_div(s->n, block / threads * GEMV_WEIGHT_ROWS);
    int64_t most = workers * kernels->gemv_blocks[index] * (GEMV_BLOCK / block);
    int64_t grid = tn_ceil_div(granules, tn_ceil_div(granules, most));
    launch->constants[TN_MATMUL_THREADS] = threads;
    if (s->grouped)
        tn_cuda_launch_add(launch, kernels->grouped_gemv, grid, s->rows, 1, (uint32_t)block, 0);
    else
        tn_cuda_launch_add(launch, kernels->gemv[index], grid, tn_ceil_div(s->rows, 1 << index), 1, (uint32_t)block, 0);
}

/* A warp a column of y. */
static void launch_blocks(const tn_problem *problem, const shape *s, tn_launch *launch) {
    enum { WARPS = 8 };
    const form_kernels *kernels = &kernels_of[s->form];
    if (s->form == FORM_PARTS) (void)find_parts(&problem->operands[1].encoding, &launch->constants[TN_MATMUL_PARTS]);
    int64_t columns = tn_has_epilogue(problem, TN_EPILOGUE_GATED_ACTIVATION) ? s->n / 2 : s->n;
    int index = s->grouped || s->rows <= 1 ? 0 : s->rows <= 2 ? 1 : s->rows <= 4 ? 2 : 3;
    tn_cuda_launch_add(launch, s->grouped ? kernels->grouped_gemv : kernels->gemv[index], tn_ceil_div(columns, WARPS),
                       tn_ceil_div(s->rows, 1 << index), 1, 32 * WARPS, 0);
}

/* 3 to 8 rows and bfloat16 weights: sums of a GEMV take longer than its weights, tensor cores' do not. */
enum { ROWS_TILE = 32, ROWS_UNIT = 64, ROWS_WARPS = 8 };

static bool fits_rows(const tn_device_info *device, const shape *s) {
    return device->isa >= 80 && s->form == FORM_BF16 && !s->grouped && s->rows > 2 && s->rows <= 8 && s->k % ROWS_UNIT == 0 &&
           s->k >= ROWS_UNIT * ROWS_WARPS;
}

/* Two blocks of 8 warps a multiprocessor; one of 16 where there are fewer tiles. */
static void launch_rows(const tn_device_info *device, const shape *s, tn_launch *launch) {
    int64_t tiles = tn_ceil_div(s->n, ROWS_TILE), workers = device->num_workers > 0 ? device->num_workers : 1;
    bool are_few = tiles < 2 * workers && s->k >= 2 * ROWS_UNIT * ROWS_WARPS;
    int64_t most = are_few ? workers : 2 * workers;
    tn_cuda_launch_add(launch, TN_CUDA_KERNEL_rows_bf16, tn_ceil_div(tiles, tn_ceil_div(tiles, most)), 1, 1,
                       32 * ROWS_WARPS * (are_few ? 2 : 1), 0);
}

/* Tiles of rows: of a group's rows the last tile is not full. */
static int64_t row_tiles(const shape *s, int64_t tile) {
    int64_t tiles = tn_ceil_div(s->rows, tile);
    return s->grouped ? tiles + (s->experts < s->rows ? s->experts : s->rows) : tiles;
}

static tn_status prepare_gemv(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    shape s = shape_of(problem, symbols);
    *out_launch = (tn_launch){0};
    fill_constants(problem, &s, out_launch);
    if (fits_rows(device, &s))
        launch_rows(device, &s, out_launch);
    else if (s.form >= FORM_Q5_0)
        launch_blocks(problem, &s, out_launch);
    else if (s.has_vectors)
        launch_gemv(device, &s, out_launch);
    else
        launch_any(problem, &s, out_launch);
    return TN_OK;
}

static bool fills(const tn_device_info *device, const shape *s, int64_t rows, int64_t columns) {
    return row_tiles(s, rows) * tn_ceil_div(s->n, columns) >= device->num_workers;
}

static tn_status prepare_float(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    shape s = shape_of(problem, symbols);
    *out_launch = (tn_launch){0};
    fill_constants(problem, &s, out_launch);
    bool large = !s.grouped && s.rows > 64 && fills(device, &s, 128, 128);
    int64_t tile = large ? 128 : 64;
    tn_cuda_kernel kernel = s.grouped ? TN_CUDA_KERNEL_grouped_float_64 : large ? TN_CUDA_KERNEL_float_128 : TN_CUDA_KERNEL_float_64;
    tn_cuda_launch_add(out_launch, kernel, row_tiles(&s, tile), tn_ceil_div(s.n, tile), 1, 256, 0);
    return TN_OK;
}

static tn_status prepare_mma(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    enum { COLUMNS = 128 };
    shape s = shape_of(problem, symbols);
    const form_kernels *kernels = &kernels_of[s.form];
    *out_launch = (tn_launch){0};
    fill_constants(problem, &s, out_launch);
    if (s.form == FORM_PARTS && (s.grouped || !s.has_vectors)) {
        launch_blocks(problem, &s, out_launch);
        return TN_OK;
    }
    if (s.form == FORM_PARTS) (void)find_parts(&problem->operands[1].encoding, &out_launch->constants[TN_MATMUL_PARTS]);
    if (!s.has_vectors) {
        launch_any(problem, &s, out_launch);
        return TN_OK;
    }
    bool large = !s.grouped && s.rows > 64 && fills(device, &s, 128, COLUMNS);
    tn_cuda_launch_add(out_launch, s.grouped ? kernels->grouped_mma : kernels->mma[large], row_tiles(&s, large ? 128 : 64),
                       tn_ceil_div(s.n, COLUMNS), 1, 256, 0);
    return TN_OK;
}

/* A block of wgmma_<rows>x<columns>. stages: slices of 64 columns of both. Clusters: sharers, one below the other, read the weight
 * once; a split gives each of two blocks half of k. slice_us: time of a slice on an H100 (cuda_matmul_bench). */
typedef struct wgmma_block {
    tn_cuda_kernel kernel;
    int64_t rows, columns, stages, sharers, split;
    double slice_us;
} wgmma_block;
static const wgmma_block blocks[] = {
    /* in matmul_wgmma.cu too */
    {TN_CUDA_KERNEL_wgmma_64x64, 64, 64, 12, 1, 1, 0.24},          {TN_CUDA_KERNEL_wgmma_128x96, 128, 96, 8, 1, 1, 0.465},
    {TN_CUDA_KERNEL_wgmma_128x128, 128, 128, 6, 1, 1, 0.52},       {TN_CUDA_KERNEL_wgmma_128x256, 128, 256, 4, 1, 1, 0.79},
    {TN_CUDA_KERNEL_wgmma_128x192_pair, 128, 192, 5, 2, 1, 0.62},  {TN_CUDA_KERNEL_wgmma_128x224_pair, 128, 224, 5, 2, 1, 0.705},
    {TN_CUDA_KERNEL_wgmma_128x256_pair, 128, 256, 4, 2, 1, 0.8},   {TN_CUDA_KERNEL_wgmma_64x64_split, 64, 64, 12, 1, 2, 0.29},
    {TN_CUDA_KERNEL_wgmma_128x128_split, 128, 128, 6, 1, 2, 0.58}, {TN_CUDA_KERNEL_wgmma_128x256_split, 128, 256, 3, 1, 2, 0.91},
};
static const wgmma_block grouped_blocks[] = {
    /* in matmul_wgmma_grouped.cu too */
    {TN_CUDA_KERNEL_wgmma_grouped_64x128, 64, 128, 8, 1, 1, 0.3},
    {TN_CUDA_KERNEL_wgmma_grouped_128x256, 128, 256, 4, 1, 1, 0.79},
};
enum { NUM_BLOCKS = sizeof blocks / sizeof blocks[0], NUM_GROUPED_BLOCKS = sizeof grouped_blocks / sizeof grouped_blocks[0] };
enum { SLICE = 64, SLICE_BYTES = 64 * SLICE * 2 };

/* Rows of w at multiples of 16 bytes; of experts what the kernels count in 32 bits and keep in shared memory. */
static bool fits_wgmma(const shape *s) {
    return s->has_vectors && (!s->grouped || (s->experts <= TN_MATMUL_MAX_GROUPS && s->n <= INT32_MAX / TN_MATMUL_MAX_GROUPS));
}

/* Of y, as clusters make them. */
static int64_t num_parts(const shape *s, const wgmma_block *block) {
    return row_tiles(s, block->rows * block->sharers) * tn_ceil_div(s->n, block->columns);
}

/* What is shorter is hidden, mostly. */
static double overlapped_us(double a_us, double b_us) {
    return a_us > b_us ? a_us + 0.1 * b_us : b_us + 0.1 * a_us;
}

/* The blocks of all multiprocessors take part after part. Those that share nothing drift apart, so that the second-level cache helps
 * them less; a split ends with an exchange. */
static double plain_block_us(const tn_device_info *device, const shape *s, const wgmma_block *block) {
    const double drift = block->sharers == 1 ? 0.005 : 0.0, exchange_us = block->split > 1 ? 2.2 : 0.0;
    int64_t workers = device->num_workers > 0 ? device->num_workers : 1;
    double rounds = (double)tn_ceil_div(num_parts(s, block) * block->sharers * block->split, workers);
    double slices = (double)tn_ceil_div(s->k, SLICE) / (double)block->split;
    double compute_us = rounds * (slices * block->slice_us * (1.0 + drift * (rounds - 1.0)) + exchange_us);
    return overlapped_us(compute_us, tn_cuda_estimate_us(device, 2.0 * (double)s->n * (double)s->k, 0.0, 1.0));
}

/* Of experts chosen evenly at random: those that get rows at all are read, and the last unit of each is half empty. */
static double grouped_block_us(const tn_device_info *device, const shape *s, const wgmma_block *block) {
    double experts = (double)s->experts, rows = (double)s->rows, workers = device->num_workers > 0 ? device->num_workers : 1.0;
    double chosen = experts * (1.0 - pow(1.0 - 1.0 / experts, rows)), units = rows / (double)block->rows;
    units = chosen > units + 0.5 * chosen ? chosen : units + 0.5 * chosen;
    double parts = units * (double)tn_ceil_div(s->n, block->columns), slices = (double)tn_ceil_div(s->k, SLICE);
    double compute_us = ceil(parts / workers) * slices * block->slice_us;
    return overlapped_us(compute_us, tn_cuda_estimate_us(device, 2.0 * chosen * (double)s->n * (double)s->k, 0.0, 1.0));
}

static double block_us(const tn_device_info *device, const shape *s, const wgmma_block *block) {
    return s->grouped ? grouped_block_us(device, s, block) : plain_block_us(device, s, block);
}

static const wgmma_block *best_block(const tn_device_info *device, const shape *s) {
    const wgmma_block *best = s->grouped ? grouped_blocks : blocks, *end = best + (s->grouped ? NUM_GROUPED_BLOCKS : NUM_BLOCKS);
    for (const wgmma_block *block = best + 1; block < end; block++)
        if (block_us(device, s, block) < block_us(device, s, best)) best = block;
    return best;
}

/* x in bfloat16, in tiles of 64 × 64. */
static size_t workspace_wgmma(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    shape s = shape_of(problem, symbols);
    return s.has_vectors ? (size_t)(row_tiles(&s, SLICE) * tn_ceil_div(s.k, SLICE)) * SLICE_BYTES : 0;
}

static tn_status prepare_wgmma(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    enum { SLICES_A_BLOCK = 4 }; /* a block of pack_groups first finds out whose rows its tile has */
    shape s = shape_of(problem, symbols);
    if (!fits_wgmma(&s)) return prepare_mma(device, problem, symbols, out_launch);
    *out_launch = (tn_launch){.workspace_bytes = workspace_wgmma(device, problem, symbols)};
    fill_constants(problem, &s, out_launch);
    const wgmma_block *block = best_block(device, &s);
    int64_t cluster = block->sharers * block->split, clusters = num_parts(&s, block), most = device->num_workers / cluster;
    if (block->split == 1 && clusters > most) clusters = most > 0 ? most : 1;
    int64_t bytes = block->stages * (block->rows + block->columns) * SLICE * 2 + 1024; /* to a multiple of 1,024 */
    if (block->split > 1) bytes += 2 * block->rows * block->columns;                   /* what a block gives the other */
    tn_cuda_launch_add(out_launch, s.grouped ? TN_CUDA_KERNEL_pack_groups : TN_CUDA_KERNEL_pack_rows,
                       tn_ceil_div(s.k, SLICE * (s.grouped ? SLICES_A_BLOCK : 1)), row_tiles(&s, SLICE), 1, 512, 0);
    out_launch->cuda.boxes.buffer = 1, out_launch->cuda.boxes.box_rows = (uint32_t)(block->columns / block->sharers);
    out_launch->cuda.boxes.rows = s.experts * s.n, out_launch->cuda.boxes.columns = s.k;
    tn_cuda_launch_add(out_launch, block->kernel, clusters * cluster, 1, 1, (uint32_t)(128 + 2 * block->rows), (uint32_t)bytes);
    return TN_OK;
}

/* --- estimates ---------------------------------------------------------------------------------------------------------------- */

/* Of one multiprocessor, in steady state. */
static const double fma_flops_per_us = 1.6e5, mma_flops_per_us = 2.0e6;
/* What kernels took over what the sizes alone say, on an H100 at the shapes of an 8B model (cuda_matmul_bench): a GEMV slows down by
 * 8 % for each row after the first, as its sums take issue slots from its loads. */
static const double gemv_slowdown_a_row = 0.08, rows_slowdown = 1.15, mma_slowdown = 2.4;

static double estimate_gemv(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    shape s = shape_of(problem, symbols);
    double bytes = tn_problem_cost(problem, symbols).bytes, weights = (double)s.n * (double)s.k;
    double passes = s.grouped ? (double)s.rows : (double)tn_ceil_div(s.rows, 8);
    /* an expert's weight is read for each of its rows; taking values apart costs as much as a row or two of products */
    double conversions = s.form == FORM_F32 ? 0.0 : s.form < FORM_Q4_0 ? 1.0 : 2.0;
    double flops = 2.0 * weights * ((double)s.rows + conversions * passes);
    double read = s.grouped ? bytes / (double)s.experts * passes : bytes * passes;
    if (!s.has_vectors) read *= 4.0, flops *= 4.0;
    if (fits_rows(device, &s)) return rows_slowdown * tn_cuda_estimate_us(device, bytes, 0.0, 1.0);
    double slowdown = 1.0 + gemv_slowdown_a_row * (double)(s.grouped ? 0 : s.rows > 8 ? 7 : s.rows > 0 ? s.rows - 1 : 0);
    return slowdown * tn_cuda_estimate_us(device, read, flops, 2.0 * fma_flops_per_us * device->num_workers);
}

/* Rounds of tiles on all multiprocessors, or the bytes, the longer. */
static double estimate_tiles(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, int64_t rows, int64_t columns,
                             double flops_per_us) {
    shape s = shape_of(problem, symbols);
    int64_t tiles = row_tiles(&s, rows) * tn_ceil_div(s.n, columns), workers = device->num_workers > 0 ? device->num_workers : 1;
    double tile_flops = 2.0 * (double)(rows * columns) * (double)s.k;
    return tn_cuda_estimate_us(device, tn_problem_cost(problem, symbols).bytes, (double)tn_ceil_div(tiles, workers) * tile_flops,
                               flops_per_us);
}

static double estimate_float(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return estimate_tiles(device, problem, symbols, 64, 64, fma_flops_per_us);
}

static double estimate_mma(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return mma_slowdown * estimate_tiles(device, problem, symbols, 64, 128, mma_flops_per_us);
}

static double estimate_wgmma(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    shape s = shape_of(problem, symbols);
    if (!fits_wgmma(&s)) return estimate_mma(device, problem, symbols);
    double pack_us = tn_cuda_estimate_us(device, 6.0 * (double)(s.rows * s.k) / 2.0, 0.0, 1.0); /* mostly in the second-level cache */
    return pack_us + block_us(device, &s, best_block(device, &s));
}

/* --- the tactics -------------------------------------------------------------------------------------------------------------- */

#define ANY_FORM(form, reason, reason_size) ((void)(form), true)
#define MATMUL_TACTICS(member, rounding, form_fits)                                                                                      \
    static bool linear_##member##_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {  \
        weight_form form = FORM_F32;                                                                                                     \
        (void)device;                                                                                                                    \
        return supports_linear(problem, &form, reason, reason_size) && form_fits(form, reason, reason_size);                             \
    }                                                                                                                                    \
    static bool grouped_##member##_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) { \
        weight_form form = FORM_F32;                                                                                                     \
        (void)device;                                                                                                                    \
        return supports(problem, 3, &form, reason, reason_size) && form_fits(form, reason, reason_size);                                 \
    }                                                                                                                                    \
    const tn_tactic tn_cuda_tactic_matmul_##member = {                                                                                   \
        .name = "matmul_" #member,                                                                                                       \
        .version = 2,                                                                                                                    \
        .numerics = rounding,                                                                                                            \
        .op = TN_OP_MATRIX_MULTIPLY,                                                                                                     \
        .layouts = all_layouts,                                                                                                          \
        .supports = linear_##member##_supports,                                                                                          \
        .estimate_us = estimate_##member,                                                                                                \
        .prepare = prepare_##member,                                                                                                     \
    };                                                                                                                                   \
    const tn_tactic tn_cuda_tactic_grouped_matmul_##member = {                                                                           \
        .name = "grouped_matmul_" #member,                                                                                               \
        .version = 2,                                                                                                                    \
        .numerics = rounding,                                                                                                            \
        .op = TN_OP_GROUPED_MATMUL,                                                                                                      \
        .layouts = all_layouts,                                                                                                          \
        .supports = grouped_##member##_supports,                                                                                         \
        .estimate_us = estimate_##member,                                                                                                \
        .prepare = prepare_##member,                                                                                                     \
    };
MATMUL_TACTICS(gemv, TN_NUMERICS_F32_CUDA, ANY_FORM)
MATMUL_TACTICS(float, TN_NUMERICS_F32_CUDA, is_f32)
MATMUL_TACTICS(mma, TN_NUMERICS_BF16_CUDA, is_narrow)

static bool can_multiply_warpgroups(const tn_device_info *device, weight_form form, char *reason, size_t reason_size) {
    if (device->isa != 90) return tn_refuse(reason, reason_size, "needs compute capability 9.0");
    return form == FORM_BF16 || tn_refuse(reason, reason_size, "bf16 weights only");
}

static bool wgmma_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    weight_form form = FORM_F32;
    return supports_linear(problem, &form, reason, reason_size) && can_multiply_warpgroups(device, form, reason, reason_size);
}

static bool grouped_wgmma_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    weight_form form = FORM_F32;
    return supports(problem, 3, &form, reason, reason_size) && can_multiply_warpgroups(device, form, reason, reason_size);
}

const tn_tactic tn_cuda_tactic_matmul_wgmma = {
    .name = "matmul_wgmma",
    .version = 2,
    .numerics = TN_NUMERICS_BF16_CUDA,
    .op = TN_OP_MATRIX_MULTIPLY,
    .supports = wgmma_supports,
    .estimate_us = estimate_wgmma,
    .workspace_bytes = workspace_wgmma,
    .prepare = prepare_wgmma,
};

const tn_tactic tn_cuda_tactic_grouped_matmul_wgmma = {
    .name = "grouped_matmul_wgmma",
    .version = 1,
    .numerics = TN_NUMERICS_BF16_CUDA,
    .op = TN_OP_GROUPED_MATMUL,
    .supports = grouped_wgmma_supports,
    .estimate_us = estimate_wgmma,
    .workspace_bytes = workspace_wgmma,
    .prepare = prepare_wgmma,
};
