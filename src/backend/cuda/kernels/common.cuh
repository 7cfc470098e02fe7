/* SPDX-License-Identifier: Apache-2.0
 *
 * common.cuh: what all kernels share. NVRTC compiles a .cu file with the headers embedded in the binary and no other: those of
 * this folder, a few of op/ and tenon/ that hold plain C, and small stand-ins for stdint.h, stddef.h and stdbool.h. Nothing of
 * the CUDA toolkit is included: types of 16 bits are converted by the instructions below. Functions without a mark are
 * device functions (-default-device), so that plain C headers serve both sides.
 *
 * A kernel starts while the one before it may still run (programmatic dependent launch):
 *   1. it may read weights at once: nothing in a segment writes them;
 *   2. every thread that reads or writes anything else calls wait_for_previous() first, and at least one thread of each
 *      block does, so that "this kernel has ended" means "all before it have ended";
 *   3. it calls let_next_start() as soon as its own loads of weights are on their way, before it waits: the kernels behind a
 *      small one then read weights while the one before it is at work. A kernel starts when all blocks of the one before it have
 *      come this far, so nothing that waits takes the place of what it waits for. attention_decode, whose loads are long where
 *      heads are, calls it after those then: weights on their way would stand before them.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_COMMON_CUH_
#define TN_BACKEND_CUDA_KERNELS_COMMON_CUH_

#include "backend/cuda/kernels/args.h"
#include "tenon/op_enums.h"

#include <stdint.h>

#define TN_KERNEL(name, max_threads) \
    extern "C" __global__ void __launch_bounds__(max_threads) name(const __grid_constant__ tn_cuda_args args)

__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#define INFINITY __int_as_float(0x7f800000)
#define NAN      __int_as_float(0x7fc00000)

/* bf16 and f16 as their bits. */
struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

__device__ __forceinline__ float to_float(float x) {
    return x;
}
__device__ __forceinline__ float to_float(bf16 x) {
    return __uint_as_float((uint32_t)x.bits << 16);
}
__device__ __forceinline__ float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> __device__ __forceinline__ f16 from_float<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

/* Two bf16 of a 32-bit word: the low half first. */
__device__ __forceinline__ float bf16_low(uint32_t pair) {
    return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float bf16_high(uint32_t pair) {
    return __uint_as_float(pair & 0xffff0000u);
}

/* 16 bytes that are read once: past the first-level cache. */
__device__ __forceinline__ uint4 load_once(const void *address) {
    uint4 x;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w) : "l"(address));
    return x;
}

/* 16 bytes and multiples of them, from an address that is one, on their way to the second-level cache. */
__device__ __forceinline__ void fetch_to_l2(const void *address, uint32_t num_bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(address), "r"(num_bytes));
#endif
}

__device__ __forceinline__ float warp_sum(float x) {
    for (int offset = 16; offset > 0; offset >>= 1) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (int offset = 16; offset > 0; offset >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
    return x;
}

__device__ __forceinline__ double constant_real(const tn_cuda_args &args, int index) {
    return __longlong_as_double(args.constants[index]);
}

#endif
