/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_layout.h: where a key or value stands in a block of the cpu backend's paged cache.
 *
 * A block of tokens_per_block = B positions holds, for each layer and in it for each key/value head:
 *     K  [B/16 groups][k_dim][16 tokens]   lanes are tokens in Q·K: no horizontal sums
 *     V  [B tokens][v_dim]                 lanes are head dimensions in P·V
 *     scaled types (op/kv_geometry.h) then: scales of K [B] f32, scales of V [B] f32
 * each a multiple of 64 bytes long, so that everything a kernel loads as a vector is aligned.
 */
#ifndef TN_BACKEND_CPU_KV_LAYOUT_H_
#define TN_BACKEND_CPU_KV_LAYOUT_H_

#include "op/kv_geometry.h"

#define TN_KV_GROUP 16

typedef struct tn_cpu_kv_layout {
    int64_t element_bytes, k_dim, v_dim, tokens_per_block;
    int64_t v_offset;    /* of a head's values after its keys, in bytes */
    int64_t scales;      /* of a head's scales; 0: the type has none */
    int64_t head_bytes;  /* keys, values and scales of one head */
    int64_t layer_bytes; /* all heads */
    int64_t block_bytes; /* all layers */
} tn_cpu_kv_layout;

static inline tn_cpu_kv_layout tn_cpu_kv_layout_make(const tn_kv_geometry *geometry) {
    tn_cpu_kv_layout layout = {.element_bytes = geometry->dtype == TN_FLOAT32                                       ? 4
                                                : geometry->dtype == TN_INT8 || geometry->dtype == TN_FLOAT8_E4M3FN ? 1
                                                                                                                    : 2,
                               .k_dim = geometry->k_dim,
                               .v_dim = geometry->v_dim,
                               .tokens_per_block = geometry->tokens_per_block};
    layout.v_offset = (layout.tokens_per_block * layout.k_dim * layout.element_bytes + 63) & ~(int64_t)63;
    layout.head_bytes = layout.v_offset + ((layout.tokens_per_block * layout.v_dim * layout.element_bytes + 63) & ~(int64_t)63);
    if (tn_kv_levels(geometry->dtype) > 0) {
        layout.scales = layout.head_bytes;
        layout.head_bytes += 2 * layout.tokens_per_block * (int64_t)sizeof(float);
    }
    layout.layer_bytes = layout.head_bytes * geometry->num_kv_heads;
    layout.block_bytes = layout.layer_bytes * geometry->num_layers;
    return layout;
}

/* Byte offsets inside a head's part of a block, for the position `slot` of the block. */
static inline int64_t tn_cpu_kv_key_group(const tn_cpu_kv_layout *layout, int64_t slot) {
    return slot / TN_KV_GROUP * TN_KV_GROUP * layout->k_dim * layout->element_bytes;
}
static inline int64_t tn_cpu_kv_scale(const tn_cpu_kv_layout *layout, bool is_value, int64_t slot) {
    return layout->scales + ((is_value ? layout->tokens_per_block : 0) + slot) * (int64_t)sizeof(float);
}
static inline int64_t tn_cpu_kv_value(const tn_cpu_kv_layout *layout, int64_t slot) {
    return layout->v_offset + slot * layout->v_dim * layout->element_bytes;
}

#endif
