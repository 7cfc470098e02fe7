/* SPDX-License-Identifier: Apache-2.0
 *
 * norm_args.h: the constants of the kernels of NORMALIZATION, for tactics/norm.c, link.c and norm.cu.
 *
 * buffers: 0 x, 1 scale, 2 bias, 3 residual, the output, the sum of x and the residual.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_NORM_ARGS_H_
#define TN_BACKEND_CUDA_KERNELS_NORM_ARGS_H_

enum {
    TN_NORM_COLUMNS = 0,
    TN_NORM_IS_RMS,
    TN_NORM_EPSILON,
    TN_NORM_SCALE_OFFSET,
    TN_NORM_OUTPUT, /* its buffer; the sum's is the next */
    TN_NORM_HAS_BIAS,
    TN_NORM_HAS_RESIDUAL,
    TN_NORM_Y_IS_PACKED, /* kernels/packed_rows.cuh; normalize_short_rows alone */
};

#endif
