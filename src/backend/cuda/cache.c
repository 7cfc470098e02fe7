/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.c: the paged cache's blocks, as kv_layout.h lays them out: their size, and copying the head of one.
 */
#include <inttypes.h>

#include "backend/cuda/device.h"
#include "backend/cuda/kv_layout.h"

/* Constants of copy_kv_block, in bytes: places of the block to read and the block to write, of a head, its values behind its
 * keys, and how much of keys and values to copy; then where the scales of keys and of values stand, and how much of each to copy
 * (0: there are none). kernels/copy_blocks.cu has the same list. */
enum { C_SRC = 0, C_DST, C_HEAD, C_VALUES, C_KEY_BYTES, C_VALUE_BYTES, C_KEY_SCALES, C_VALUE_SCALES, C_SCALE_BYTES };

static tn_cuda_kv_layout layout_of(const tn_kv_geometry *geometry, size_t *out_element_bytes) {
    *out_element_bytes = tn_dtype_get_info(geometry->dtype)->bits / 8u;
    int64_t scale_elements = tn_kv_levels(geometry->dtype) > 0 ? (int64_t)(sizeof(float) / *out_element_bytes) : 0;
    return tn_cuda_kv_layout_make_scaled(geometry->num_layers, geometry->num_kv_heads, geometry->k_dim, geometry->v_dim,
                                         geometry->tokens_per_block, scale_elements);
}

size_t tn_cuda_kv_block_bytes(const tn_device *device, const tn_kv_geometry *geometry) {
    size_t element_bytes;
    (void)device;
    return (size_t)layout_of(geometry, &element_bytes).block * element_bytes;
}

tn_status tn_cuda_copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies,
                              size_t num_copies, tn_diag *diag) {
    size_t element_bytes;
    tn_cuda_kv_layout layout = layout_of(geometry, &element_bytes);
    int64_t element = (int64_t)element_bytes;
    tn_operand operand = {.role = TN_ROLE_STATE};
    tn_problem problem = {.op = TN_OP_KV_CACHE_UPDATE, .operands = &operand, .num_operands = 1, .num_inputs = 1};
    tn_status status = TN_OK;
    for (size_t i = 0; i < num_copies && status == TN_OK; i++) {
        const tn_block_copy *c = &copies[i];
        if (c->src < 0 || c->dst < 0 || c->num_tokens < 0 || c->num_tokens > geometry->tokens_per_block)
            return tn_fail(diag, TN_INTERNAL, "cannot copy %" PRId32 " tokens of cache block %" PRId32 " to block %" PRId32, c->num_tokens,
                           c->src, c->dst);
        if (c->num_tokens == 0 || c->src == c->dst) continue;
        tn_launch launch = {0};
        launch.constants[C_SRC] = c->src * layout.block * element;
        launch.constants[C_DST] = c->dst * layout.block * element;
        launch.constants[C_HEAD] = layout.head * element;
        launch.constants[C_VALUES] = layout.v_offset * element;
        launch.constants[C_KEY_BYTES] = c->num_tokens * geometry->k_dim * element;
        launch.constants[C_VALUE_BYTES] = c->num_tokens * geometry->v_dim * element;
        launch.constants[C_KEY_SCALES] = layout.scales * element;
        launch.constants[C_VALUE_SCALES] = launch.constants[C_KEY_SCALES] + geometry->tokens_per_block * (int64_t)sizeof(float);
        if (tn_kv_levels(geometry->dtype) > 0) launch.constants[C_SCALE_BYTES] = c->num_tokens * (int64_t)sizeof(float);
        tn_cuda_launch_add(&launch, TN_CUDA_KERNEL_copy_kv_block, geometry->num_layers * geometry->num_kv_heads, 1, 1, 128, 0);
        tn_bound_step step = {.launch = &launch, .problem = &problem, .buffers = &state};
        status = tn_cuda_run_segment(stream, &step, 1, NULL, diag);
    }
    return status;
}
