/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_layout.h: where a key or value stands in a block of the cuda backend's paged cache. Plain C for host and kernels.
 *
 * A block of B = tokens_per_block positions holds, for each layer and in it for each key/value head:
 *     K [B][k_dim], then V [B][v_dim]: a position's key or value is one run of bytes, which the lanes of a warp share
 * Elements are float32, float16 or bfloat16. Dims are multiples of 8, so that every run starts at a multiple of 16 bytes.
 */
#ifndef TN_BACKEND_CUDA_KV_LAYOUT_H_
#define TN_BACKEND_CUDA_KV_LAYOUT_H_

#include <stdint.h>

/* In elements. */
typedef struct tn_cuda_kv_layout {
    int64_t v_offset; /* of a head's values behind its keys */
    int64_t head, layer, block;
} tn_cuda_kv_layout;

static inline tn_cuda_kv_layout tn_cuda_kv_layout_make(int64_t num_layers, int64_t num_kv_heads, int64_t k_dim, int64_t v_dim,
                                                       int64_t tokens_per_block) {
    tn_cuda_kv_layout layout;
    layout.v_offset = tokens_per_block * k_dim;
    layout.head = layout.v_offset + tokens_per_block * v_dim;
    layout.layer = layout.head * num_kv_heads;
    layout.block = layout.layer * num_layers;
    return layout;
}

#endif
