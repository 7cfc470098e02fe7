/* SPDX-License-Identifier: Apache-2.0
 *
 * instructions.cuh: instructions without a name in the language: pairs of 16-bit floats, matrix fragments.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_INSTRUCTIONS_CUH_
#define TN_BACKEND_CUDA_KERNELS_INSTRUCTIONS_CUH_

#include "backend/cuda/kernels/common.cuh"

/* --- pairs of 16-bit floats in 32 bits, the first in the low half ------------------------------------------------------- */

__device__ __forceinline__ uint32_t subtract_f16x2(uint32_t a, uint32_t b) {
    uint32_t y;
    asm("sub.f16x2 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

__device__ __forceinline__ float2 f16x2_to_floats(uint32_t pair) {
    float2 y;
    asm("{\n\t.reg .b16 low, high;\n\tmov.b32 {low, high}, %2;\n\tcvt.f32.f16 %0, low;\n\tcvt.f32.f16 %1, high;\n\t}"
        : "=f"(y.x), "=f"(y.y)
        : "r"(pair));
    return y;
}

__device__ __forceinline__ uint32_t floats_to_bf16x2(float first, float second) {
    uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
    return y;
}

__device__ __forceinline__ uint32_t floats_to_f16x2(float first, float second) {
    uint32_t y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
    return y;
}

/* --- the special function unit: two units in the last place, exp2_fast(−∞) = 0 -------------------------------------------- */

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* --- global → shared memory beside the work: 16 bytes, zeros unless is_there; then one wait for all of a thread's copies --- */

__device__ __forceinline__ void copy_later(void *shared, const void *global, bool is_there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((uint32_t)__cvta_generic_to_shared(shared)), "l"(global),
                 "r"(is_there ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* --- shared memory → fragments → products ------------------------------------------------------------------------------- */

/* Four 8 × 8 matrices of 16-bit values; lanes 8i … 8i+7 give the 16-byte rows of matrix i. Lane l gets, of each matrix, the
 * pair at row l / 4, columns 2 (l % 4). */
__device__ __forceinline__ void load_matrices(uint32_t (&y)[4], const void *row) {
    uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(y[0]), "=r"(y[1]), "=r"(y[2]), "=r"(y[3])
                 : "r"(address)
                 : "memory");
}

/* The same with each matrix transposed: lane l gets the pair at rows 2 (l % 4) and the next, column l / 4. */
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&y)[4], const void *row) {
    uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(y[0]), "=r"(y[1]), "=r"(y[2]), "=r"(y[3])
                 : "r"(address)
                 : "memory");
}

/* sums[16][8] += a[16][16] · b[16][8]. Lane l, with g = l / 4 and t = l % 4: a: rows g, g+8 (columns 2t, 2t+1), then the same
 * rows (columns 2t+8, 2t+9); b: column g, rows 2t, 2t+1, then 2t+8, 2t+9; sums: row g columns 2t, 2t+1, then row g+8. */
__device__ __forceinline__ void multiply_bf16(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void multiply_f16(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif
