/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_layout.h: where a key or value stands in a block of the cuda backend's paged cache. Plain C for host and kernels.
 *
 * A block of B = tokens_per_block positions holds, for each layer and in it for each key/value head:
 *     K [B][k_dim], then V [B][v_dim]: a position's key or value is one run of bytes, which the lanes of a warp share
 * Of caches that hold levels (int16, int8, float8) the float32 scales [B] of the keys and then [B] of the values follow. B is at least
 * 16, so K, V and scales start at multiples of 16 bytes; where dims are multiples of 8, so does each position of 16-bit elements.
 */
#ifndef TN_BACKEND_CUDA_KV_LAYOUT_H_
#define TN_BACKEND_CUDA_KV_LAYOUT_H_

#include <stdint.h>

/* In elements. */
typedef struct tn_cuda_kv_layout {
    int64_t v_offset; /* of a head's values behind its keys */
    int64_t scales;   /* behind both, of keys first; nothing stands there where elements are values */
    int64_t head, layer, block;
} tn_cuda_kv_layout;

/* scale_elements: elements in whose place a scale stands; 0: elements are values. */
static inline tn_cuda_kv_layout tn_cuda_kv_layout_make_scaled(int64_t num_layers, int64_t num_kv_heads, int64_t k_dim, int64_t v_dim,
                                                              int64_t tokens_per_block, int64_t scale_elements) {
    tn_cuda_kv_layout layout;
    layout.v_offset = tokens_per_block * k_dim;
    layout.scales = layout.v_offset + tokens_per_block * v_dim;
    layout.head = layout.scales + 2 * tokens_per_block * scale_elements;
    layout.layer = layout.head * num_kv_heads;
    layout.block = layout.layer * num_layers;
    return layout;
}

static inline tn_cuda_kv_layout tn_cuda_kv_layout_make(int64_t num_layers, int64_t num_kv_heads, int64_t k_dim, int64_t v_dim,
                                                       int64_t tokens_per_block) {
    return tn_cuda_kv_layout_make_scaled(num_layers, num_kv_heads, k_dim, v_dim, tokens_per_block, 0);
}

#endif
