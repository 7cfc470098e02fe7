/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda.h: the seam inside the cuda backend: kernels have numbers, tactics prepare launches of them, the device runs launches.
 *
 *     tactics/ *.c    host: supports, estimate, prepare        need: this header, op/tactic.h
 *     kernels/ *.cu   device: the arithmetic                   need: kernels/common.cuh
 *     device.c …      driver, memory, streams, graphs          know nothing of any operation
 *
 * What a tactic may know of the card stands in tn_device_info: isa = 10 · major + minor of the compute capability,
 * num_workers = multiprocessors, l2_bytes, memory_bytes, read_bytes_per_us.
 *
 * Rules of a kernel
 *   1. Its only parameter is a tn_cuda_args (kernels/args.h): buffers in the problem's order, then the workspace; constants.
 *   2. Row counts are the problem's symbols, put into constants by prepare(); lengths of sequences are data in device memory.
 *   3. No allocation, no device-side launch, no state between launches; workspace holds anything when a kernel starts.
 *   4. The order with the kernels before and after it: kernels/common.cuh.
 *   5. Equal inputs give equal bits: no floating-point atomics.
 */
#ifndef TN_BACKEND_CUDA_CUDA_H_
#define TN_BACKEND_CUDA_CUDA_H_

#include "backend/backend.h"
#include "backend/cuda/kernels/args.h"

typedef enum tn_cuda_source {
#define TN_CUDA_SOURCE(file) TN_CUDA_SOURCE_##file,
#define TN_CUDA_KERNEL(file, name)
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE
#undef TN_CUDA_KERNEL
    TN_NUM_CUDA_SOURCES
} tn_cuda_source;

typedef enum tn_cuda_kernel {
#define TN_CUDA_SOURCE(file)
#define TN_CUDA_KERNEL(file, name) TN_CUDA_KERNEL_##name,
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE
#undef TN_CUDA_KERNEL
    TN_NUM_CUDA_KERNELS
} tn_cuda_kernel;

extern const tn_backend tn_cuda_backend;

/* --- for tactics (tactics/common.c); what they ask of problems stands in backend/checks.h ------------------------------- */

/* Every tactic's symbol suffix, in order of preference where estimates are equal. */
#define TN_CUDA_TACTICS(X)  \
    X(matmul_gemv)          \
    X(matmul_wgmma)         \
    X(matmul_float)         \
    X(matmul_mma)           \
    X(matmul_product)       \
    X(grouped_matmul_gemv)  \
    X(grouped_matmul_wgmma) \
    X(grouped_matmul_float) \
    X(grouped_matmul_mma)   \
    X(normalization)        \
    X(attention_tile)       \
    X(attention_decode)     \
    X(attention)            \
    X(attention_any)        \
    X(sample)               \
    X(route)                \
    X(combine)              \
    X(rotary)               \
    X(kv_cache_update)      \
    X(qkv_cache)            \
    X(elementwise)          \
    X(unary)                \
    X(activation)           \
    X(parametric_relu)      \
    X(scale)                \
    X(cast)                 \
    X(select)               \
    X(reduce)               \
    X(softmax)              \
    X(ragged_softmax)       \
    X(cumulative)           \
    X(identity)             \
    X(squeeze)              \
    X(unsqueeze)            \
    X(shuffle)              \
    X(slice)                \
    X(concatenation)        \
    X(reverse_sequence)     \
    X(gather)               \
    X(gather_any)           \
    X(scatter)              \
    X(one_hot)              \
    X(token_ids)            \
    X(rotary_table)

#define X(name) extern const tn_tactic tn_cuda_tactic_##name;
TN_CUDA_TACTICS(X)
#undef X

/* Adds a phase to the launch; a block of threads × 1 × 1. Kernels of a launch run in order. */
void tn_cuda_launch_add(tn_launch *launch, tn_cuda_kernel kernel, int64_t grid_x, int64_t grid_y, int64_t grid_z, uint32_t num_threads,
                        uint32_t shared_bytes);
void tn_cuda_set_real(tn_launch *launch, int constant, double value); /* read by constant_real() of kernels/common.cuh */

/* attention.c: a launch with the constants that all kernels of ATTENTION read (kernels/attention_args.h), but for the first. */
void tn_cuda_begin_attention(const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch);

/* Time to move so many bytes through device memory, or to do so many operations at `flops_per_us`, the longer, and a launch. */
double tn_cuda_estimate_us(const tn_device_info *device, double bytes, double flops, double flops_per_us);
/* All operands pass once. */
double tn_cuda_estimate_operands_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols);

#endif
