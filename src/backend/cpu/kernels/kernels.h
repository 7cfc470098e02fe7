/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h: the tile functions of the cpu backend, one for each operation and instruction set level. Their sources are the
 * headers beside this file, compiled once a level by kernels_<level>.c, layers_<level>.c and matmul_<level>.c with that level's compiler flags.
 */
#ifndef TN_BACKEND_CPU_KERNELS_H_
#define TN_BACKEND_CPU_KERNELS_H_

#include "backend/cpu/isa.h"
#include "op/tactic.h"

#define TN_CPU_KERNELS(X) \
    X(matmul)             \
    X(gather_rows)        \
    X(grouped_matmul)     \
    X(quantize_rows)      \
    X(normalization)      \
    X(rotary)             \
    X(kv_cache_update)    \
    X(qkv_cache)          \
    X(attention)          \
    X(attention_merge)    \
    X(sample)             \
    X(route)              \
    X(combine_places)     \
    X(combine)            \
    X(map)                \
    X(select)             \
    X(cast)               \
    X(quantize)           \
    X(reduce)             \
    X(softmax)            \
    X(ragged_softmax)     \
    X(normalization_nd)   \
    X(lrn)                \
    X(cumulative)         \
    X(pooling)            \
    X(product_rows)       \
    X(product)

typedef enum tn_cpu_kernel {
#define X(name) TN_KERNEL_##name,
    TN_CPU_KERNELS(X)
#undef X
        TN_NUM_CPU_KERNELS
} tn_cpu_kernel;

#define X(name)                                                                                   \
    void tn_cpu_##name##_c(const tn_bound_step *step, int64_t begin, int64_t end, int worker);    \
    void tn_cpu_##name##_avx2(const tn_bound_step *step, int64_t begin, int64_t end, int worker); \
    void tn_cpu_##name##_avx512(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
TN_CPU_KERNELS(X)
#undef X

/* The level's form of a kernel; isa is tn_device_info.isa. */
tn_tile_function tn_cpu_kernel_get(uint32_t isa, tn_cpu_kernel kernel);

#endif
