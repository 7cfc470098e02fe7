/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_products.cuh: the products of a warpgroup that attention takes, for float16 and bfloat16. Include only where
 * TN_HAS_WGMMA is asked for. Sums lie as in wgmma.cuh.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ATTENTION_PRODUCTS_CUH_
#define TN_BACKEND_CUDA_KERNELS_ATTENTION_PRODUCTS_CUH_

#include "backend/cuda/kernels/wgmma.cuh"

#if TN_HAS_WGMMA

/* Rows of 128 bytes as in matrix_descriptor, but along k: [k][64 values], the next 64 values `bytes` further. Add 128 for the next
 * 16 of k. */
__device__ __forceinline__ uint64_t turned_descriptor(const void *shared, uint32_t bytes) {
    return (uint64_t)(shared_address(shared) >> 4 & 0x3fff) | (uint64_t)(bytes >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

/* Two warpgroups take turns at the tensor cores, so that one makes weights while the other multiplies. */
template <int BARRIER> __device__ __forceinline__ void take_turn() {
    asm volatile("bar.sync %0, 256;" ::"n"(BARRIER) : "memory");
}
template <int BARRIER> __device__ __forceinline__ void give_turn() {
    asm volatile("bar.arrive %0, 256;" ::"n"(BARRIER) : "memory");
}

/* scores[64][128] = (first) or += (more) a[64][16] · b[128][16]ᵀ, both in shared memory. Written, not read by the first one, the scores
 * have no value that another instruction gives while products are under way.
 * values[64][N] += a[64][16] · b[16][N]: a as mma.sync's fragments of the warps' 16 rows, b turned. */
template <typename T> struct attention_product;

#define SCORES(types, how, adds)                                                                                             \
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." types " {" SUM_NAMES_64 "}, %64, %65, " adds ", 1, 1, 0, 0;" \
                 : SUMS_64(how, 0)                                                                                           \
                 : "l"(a), "l"(b))
#define VALUES(types, columns, count, a_names, b_name)                                                                           \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." types " {" SUM_NAMES_##count "}, {" a_names "}, " b_name \
                                                                                                     ", 1, 1, 1, 1;"             \
                 : SUMS_##count("+f", 0)                                                                                         \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define ATTENTION_PRODUCT(type, types)                                                                                               \
    template <> struct attention_product<type> {                                                                                     \
        static __device__ __forceinline__ void first_scores(float (&sums)[64], uint64_t a, uint64_t b) { SCORES(types, "=f", "0"); } \
        static __device__ __forceinline__ void more_scores(float (&sums)[64], uint64_t a, uint64_t b) { SCORES(types, "+f", "1"); }  \
        static __device__ __forceinline__ void values(float (&sums)[32], const uint32_t (&a)[4], uint64_t b) {                       \
            VALUES(types, "64", 32, "%32, %33, %34, %35", "%36");                                                                    \
        }                                                                                                                            \
        static __device__ __forceinline__ void values(float (&sums)[64], const uint32_t (&a)[4], uint64_t b) {                       \
            VALUES(types, "128", 64, "%64, %65, %66, %67", "%68");                                                                   \
        }                                                                                                                            \
    };
ATTENTION_PRODUCT(f16, "f16.f16")
ATTENTION_PRODUCT(bf16, "bf16.bf16")

#endif
#endif
