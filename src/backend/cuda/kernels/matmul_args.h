/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_args.h: the constants of every kernel of MATRIX_MULTIPLY and GROUPED_MATMUL, for tactics/matmul.c and matmul*.cu.
 *
 * buffers: 0 x, 1 weight (in parts: data, then 2 scales, 3 zero points), (grouped: expert_start, order,) the epilogues' operands, the
 * output.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_ARGS_H_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_ARGS_H_

enum {
    TN_MATMUL_ROWS = 0,                   /* of the output */
    TN_MATMUL_N,                          /* rows of the weight, of one expert */
    TN_MATMUL_K,                          /* its columns */
    TN_MATMUL_OUTPUT,                     /* buffer */
    TN_MATMUL_WEIGHT_ROWS,                /* all: experts · n */
    TN_MATMUL_THREADS,                    /* gemv: threads that share a row of the weight */
    TN_MATMUL_PARTS = TN_MATMUL_THREADS,  /* of a weight in parts: what they are, below */
    TN_MATMUL_PACKED = TN_MATMUL_THREADS, /* wgmma: of x and y, below */
    TN_MATMUL_TOP_K,                      /* grouped: choices of a token; 0: rows of x come sorted */
    TN_MATMUL_NUM_EPILOGUES,              /* + 16 if one of them is gated */
    TN_MATMUL_EPILOGUES,                  /* two places each: the code below, a float64 */
};

/* kind | activation << 8 | buffer << 16 | (1 if a bias has a row an expert) << 24 */
enum {
    TN_MATMUL_BIAS = 0,
    TN_MATMUL_ACTIVATION,
    TN_MATMUL_GATE,
    TN_MATMUL_ADD,
    TN_MATMUL_SCALE,
    TN_MATMUL_SOFT_CAP,
};

/* data | scale << 4 | (1 if there are zero points) << 8 | block rows << 16 | block columns << 40 (0: whole). */
enum { TN_PARTS_I4 = 0, TN_PARTS_U4, TN_PARTS_I8, TN_PARTS_U8, TN_PARTS_E4M3, TN_PARTS_E2M1 };
enum { TN_PARTS_SCALE_F32 = 0, TN_PARTS_SCALE_F16, TN_PARTS_SCALE_BF16, TN_PARTS_SCALE_E8M0 };

enum { TN_MATMUL_X_IS_PACKED = 1, TN_MATMUL_Y_IS_PACKED = 2 }; /* kernels/packed_rows.cuh; else x is packed in the workspace */

enum { TN_MATMUL_MAX_GROUPS = 512 }; /* experts of wgmma_grouped */

#define TN_MATMUL_STRIP 16 /* rows of the weight alternate in strips: gate, up */

#endif
