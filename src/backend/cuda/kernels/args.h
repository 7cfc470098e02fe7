/* SPDX-License-Identifier: Apache-2.0
 *
 * args.h: what every kernel gets, by value, as its only parameter. Read by the host in C and by the kernels in CUDA C.
 *
 * buffers: the step's buffers in the problem's order (absent ones NULL), then the workspace. constants: the launch's, chosen
 * by the tactic's prepare(); a tactic's file and its kernels' file name the places by one enum, written twice, side by side
 * in their head comments. A float64 stands in a constant by its bits.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ARGS_H_
#define TN_BACKEND_CUDA_KERNELS_ARGS_H_

#define TN_CUDA_MAX_BUFFERS   20
#define TN_CUDA_NUM_CONSTANTS 16 /* TN_MAX_CONSTANTS */

typedef struct tn_cuda_args {
    void *buffers[TN_CUDA_MAX_BUFFERS];
    long long constants[TN_CUDA_NUM_CONSTANTS];
} tn_cuda_args;

#endif
