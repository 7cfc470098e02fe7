/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_any.cu: ATTENTION over the paged cache for heads that no vector divides or that are longer than other kernels hold.
 *
 * A block takes one token and one query head; its warps take positions in turn, lanes the values of a head. Each warp keeps its own
 * running maximum, sum and weighted values; warps are merged in their order. Bound: latency of a key's sum over the warp.
 */
#include "backend/cuda/kernels/attention_token.cuh"

enum { ANY_WARPS = 4, MAX_DIM = 512, PIECES = MAX_DIM / 32 };

__device__ __forceinline__ float stored_value(float x) {
    return x;
}
__device__ __forceinline__ float stored_value(f16 x) {
    return to_float(x);
}
__device__ __forceinline__ float stored_value(bf16 x) {
    return to_float(x);
}
__device__ __forceinline__ float stored_value(level16 x) {
    return (float)(int16_t)x.bits;
}
__device__ __forceinline__ float stored_value(level8 x) {
    return level_to_float(x);
}
__device__ __forceinline__ float stored_value(level_e4m3 x) {
    return level_to_float(x);
}

/* What a token sees: the first `num_sinks` positions, then those from `first` to its own. */
struct seen_positions {
    int sequence, index, first, num_sinks, count;

    __device__ __forceinline__ seen_positions(const tn_cuda_args &args, int token) {
        const int32_t *query_start = (const int32_t *)args.buffers[2], *kv_length = (const int32_t *)args.buffers[3];
        int window = (int)args.constants[TN_ATTENTION_WINDOW];
        sequence = find_sequence(query_start, (int)args.constants[TN_ATTENTION_NUM_SEQS], token);
        index = sequence < 0 ? -1 : kv_length[sequence] - (query_start[sequence + 1] - token);
        if (index >= args.constants[TN_ATTENTION_TABLE_COLUMNS] * args.constants[TN_ATTENTION_TOKENS_PER_BLOCK]) index = -1;
        first = window > 0 && index >= window ? index - window + 1 : 0;
        num_sinks = min((int)args.constants[TN_ATTENTION_SINK_TOKENS], first);
        count = index < 0 ? 0 : num_sinks + index + 1 - first;
    }
    __device__ __forceinline__ int position(int n) const { return n < num_sinks ? n : first + n - num_sinks; }
};

template <typename T> __device__ __forceinline__ void attend_any(const tn_cuda_args &args) {
    __shared__ float query[MAX_DIM], part_values[ANY_WARPS][MAX_DIM], part_largest[ANY_WARPS], part_sum[ANY_WARPS];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, token = blockIdx.x, head = blockIdx.y;
    int k_dim = (int)args.constants[TN_ATTENTION_K_DIM], v_dim = (int)args.constants[TN_ATTENTION_V_DIM],
        num_heads = (int)args.constants[TN_ATTENTION_NUM_HEADS], num_kv_heads = (int)args.constants[TN_ATTENTION_NUM_KV_HEADS],
        tokens_per_block = (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK];
    let_next_start();
    wait_for_previous();
    int64_t token_head = (int64_t)token * num_heads + head;
    const float *q = (const float *)args.buffers[0] + token_head * k_dim;
    float scale = (float)constant_real(args, TN_ATTENTION_SCALE);
    for (int i = threadIdx.x; i < k_dim; i += blockDim.x) query[i] = q[i] * scale;
    __syncthreads();
    seen_positions seen(args, token);
    tn_cuda_kv_layout layout = tn_cuda_kv_layout_make_scaled(args.constants[TN_ATTENTION_NUM_LAYERS], num_kv_heads, k_dim, v_dim,
                                                             tokens_per_block, scale_elements<T>());
    const T *cache =
        (const T *)args.buffers[1] + args.constants[TN_ATTENTION_LAYER] * layout.layer + head / (num_heads / num_kv_heads) * layout.head;
    const int32_t *table = (const int32_t *)args.buffers[4] + (int64_t)seen.sequence * args.constants[TN_ATTENTION_TABLE_COLUMNS];
    bool has_slopes = (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SLOPES) != 0;
    score_rules rules = {(float)constant_real(args, TN_ATTENTION_SOFT_CAP), has_slopes ? (const float *)args.buffers[6] + head : nullptr,
                         seen.index, (int)args.constants[TN_ATTENTION_WINDOW], (int)args.constants[TN_ATTENTION_SINK_TOKENS]};

    float values[PIECES] = {}, largest = -INFINITY, sum = 0.0f;
    for (int n = warp; n < seen.count; n += ANY_WARPS) { /* the same for the whole warp */
        int position = seen.position(n), place = position % tokens_per_block, block = table[position / tokens_per_block];
        if (block < 0) continue;
        const T *keys = cache + block * layout.block, *key = keys + (int64_t)place * k_dim;
        const T *value = keys + layout.v_offset + (int64_t)place * v_dim;
        float key_scale = 1.0f, value_scale = 1.0f, score = 0.0f, old_scale, weight;
        if constexpr (scale_elements<T>() > 0) {
            const float *scales = (const float *)(keys + layout.scales) + place;
            key_scale = scales[0], value_scale = scales[tokens_per_block];
        }
        for (int i = lane; i < k_dim; i += 32) score = fmaf(query[i], stored_value(key[i]), score);
        score = rules.apply(warp_sum(score) * key_scale, 0, position, true);
        merge_scales(largest, score, &old_scale, &weight, &largest);
        sum = sum * old_scale + weight;
        weight *= value_scale;
#pragma unroll
        for (int p = 0; p < PIECES; p++)
            if (p * 32 + lane < v_dim) values[p] = fmaf(weight, stored_value(value[p * 32 + lane]), values[p] * old_scale);
    }
#pragma unroll
    for (int p = 0; p < PIECES; p++)
        if (p * 32 + lane < v_dim) part_values[warp][p * 32 + lane] = values[p];
    if (lane == 0) part_largest[warp] = largest, part_sum[warp] = sum;
    __syncthreads();
    float top = -INFINITY, total = 0.0f, part_scales[ANY_WARPS];
#pragma unroll
    for (int w = 0; w < ANY_WARPS; w++) top = fmaxf(top, part_largest[w]);
#pragma unroll
    for (int w = 0; w < ANY_WARPS; w++) {
        part_scales[w] = part_largest[w] == -INFINITY ? 0.0f : expf(part_largest[w] - top);
        total += part_scales[w] * part_sum[w];
    }
    for (int i = threadIdx.x; i < v_dim; i += blockDim.x) {
        float x = 0.0f;
#pragma unroll
        for (int w = 0; w < ANY_WARPS; w++) x += part_scales[w] * part_values[w][i];
        store_value(args, token_head, head, i, x, top, total);
    }
}

#define ATTENTION_ANY(name, type)                     \
    TN_KERNEL(attention_any_##name, 32 * ANY_WARPS) { \
        attend_any<type>(args);                       \
    }
ATTENTION_ANY(f32, float)
ATTENTION_ANY(f16, f16)
ATTENTION_ANY(bf16, bf16)
ATTENTION_ANY(i16, level16)
ATTENTION_ANY(i8, level8)
ATTENTION_ANY(e4m3, level_e4m3)
