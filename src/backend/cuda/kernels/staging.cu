/* SPDX-License-Identifier: Apache-2.0
 *
 * staging.cu: brings what the host staged in pinned memory to its places: one block a copy.
 *
 * Shapes   up to 16 copies of at most 64 KB each; buffers[i] = where to, buffers[16] = the pinned memory
 * Bound    the latency of reading host memory, so each thread has several loads on their way
 */
#include "backend/cuda/kernels/common.cuh"

/* backend/cuda/staging.c packs the same way: a copy's offset above its size. */
enum { SIZE_BITS = 20, MEMORY = 16 };

template <typename T> static void copy_as(char *dst, const char *src, int size_bytes) {
    int count = size_bytes / (int)sizeof(T);
#pragma unroll 4
    for (int i = threadIdx.x; i < count; i += blockDim.x) ((T *)dst)[i] = ((const T *)src)[i];
    for (int i = count * (int)sizeof(T) + threadIdx.x; i < size_bytes; i += blockDim.x) dst[i] = src[i];
}

TN_KERNEL(deliver_copies, 256) {
    wait_for_previous();
    long long packed = args.constants[blockIdx.x];
    int size_bytes = (int)(packed & ((1 << SIZE_BITS) - 1));
    const char *src = (const char *)args.buffers[MEMORY] + (packed >> SIZE_BITS); /* at a multiple of 16 */
    char *dst = (char *)args.buffers[blockIdx.x];
    if ((uintptr_t)dst % 16 == 0)
        copy_as<uint4>(dst, src, size_bytes);
    else if ((uintptr_t)dst % 4 == 0)
        copy_as<uint32_t>(dst, src, size_bytes);
    else
        copy_as<char>(dst, src, size_bytes);
}
