/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_blocks.cu: copies the first tokens of one block of the paged cache to another, in all layers and heads.
 *
 * Shapes   state: bytes, laid out by kv_layout.h; a block of threads takes one head of one layer
 * Bound    bytes copied; runs begin at multiples of 16 bytes, since a block holds at least 16 tokens
 */
#include "backend/cuda/kernels/common.cuh"

/* backend/cuda/cache.c has the same list. */
enum { C_SRC = 0, C_DST, C_HEAD, C_VALUES, C_KEY_BYTES, C_VALUE_BYTES, C_KEY_SCALES, C_VALUE_SCALES, C_SCALE_BYTES };

static void copy_run(char *dst, const char *src, long long size_bytes) {
    long long whole = size_bytes / 16 * 16;
    for (long long at = 16 * threadIdx.x; at < whole; at += 16 * blockDim.x) *(uint4 *)(dst + at) = *(const uint4 *)(src + at);
    if (whole + threadIdx.x < size_bytes) dst[whole + threadIdx.x] = src[whole + threadIdx.x];
}

TN_KERNEL(copy_kv_block, 128) {
    let_next_start();
    wait_for_previous();
    char *head = (char *)args.buffers[0] + blockIdx.x * args.constants[C_HEAD];
    char *dst = head + args.constants[C_DST];
    const char *src = head + args.constants[C_SRC];
    copy_run(dst, src, args.constants[C_KEY_BYTES]);
    copy_run(dst + args.constants[C_VALUES], src + args.constants[C_VALUES], args.constants[C_VALUE_BYTES]);
    copy_run(dst + args.constants[C_KEY_SCALES], src + args.constants[C_KEY_SCALES], args.constants[C_SCALE_BYTES]);
    copy_run(dst + args.constants[C_VALUE_SCALES], src + args.constants[C_VALUE_SCALES], args.constants[C_SCALE_BYTES]);
}
