/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_geometry.h: the shape of a paged key/value cache group: layers that share a block table. Block = tokens_per_block
 * positions of one sequence in all layers of the group; how bytes lie inside a block is the backend's business.
 */
#ifndef TN_OP_KV_GEOMETRY_H_
#define TN_OP_KV_GEOMETRY_H_

#include "op/op.h"

typedef struct tn_kv_geometry {
    int64_t num_layers, num_kv_heads, k_dim, v_dim; /* dims are a head's */
    int64_t tokens_per_block;                       /* power of two, 16 to 256 */
    tn_dtype dtype;                                 /* TN_FLOAT16 or TN_FLOAT32 */
} tn_kv_geometry;

/* From the TN_KV_FIELDS of a parameter struct. */
#define TN_KV_GEOMETRY(params)                                                                                                    \
    ((tn_kv_geometry){(params)->num_layers, (params)->num_kv_heads, (params)->k_dim, (params)->v_dim, (params)->tokens_per_block, \
                      (params)->cache_dtype})

#endif
