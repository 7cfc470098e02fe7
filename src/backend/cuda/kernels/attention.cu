/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.cu: attention_token.cuh's kernels of float32, float16 and bfloat16 caches, and the one that merges splits.
 */
#include "backend/cuda/kernels/attention_token.cuh"

ATTENTIONS(f32, float)
ATTENTIONS(f16, f16)
ATTENTIONS(bf16, bf16)
ATTENTION(f32_1_8, float, 1, 8)
ATTENTION(f16_1_8, f16, 1, 8)
ATTENTION(bf16_1_8, bf16, 1, 8)

/* The splits of one token and head: a block each. */
TN_KERNEL(attention_merge, 128) {
    int num_heads = (int)args.constants[TN_ATTENTION_NUM_HEADS], v_dim = (int)args.constants[TN_ATTENTION_V_DIM], stride = v_dim + 2;
    int num_splits = (int)args.constants[TN_ATTENTION_NUM_SPLITS], token = blockIdx.x, head = blockIdx.y;
    let_next_start();
    wait_for_previous();
    visible v = find_visible(args, token);
    int used = (v.num_tiles + v.tiles_a_split - 1) / v.tiles_a_split;
    if (used < 1) used = 1;
    const float *parts =
        (const float *)args.buffers[args.constants[TN_ATTENTION_OUTPUT] + 1] + ((int64_t)token * num_heads + head) * num_splits * stride;
    float top = -INFINITY, total = 0.0f;
    for (int s = 0; s < used; s++) top = fmaxf(top, parts[s * stride + v_dim]);
    for (int s = 0; s < used; s++)
        if (parts[s * stride + v_dim] != -INFINITY) total += expf(parts[s * stride + v_dim] - top) * parts[s * stride + v_dim + 1];
    for (int i = threadIdx.x; i < v_dim; i += blockDim.x) {
        float x = 0.0f;
        for (int s = 0; s < used; s++)
            if (parts[s * stride + v_dim] != -INFINITY) x += expf(parts[s * stride + v_dim] - top) * parts[s * stride + i];
        store_value(args, (int64_t)token * num_heads + head, head, i, x, top, total);
    }
}
