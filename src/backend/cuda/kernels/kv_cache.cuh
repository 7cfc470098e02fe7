/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.cuh: writing keys and values to the paged cache, a warp a head of a token. kv_cache.cu has the kernels of caches that hold
 * values, kv_cache_scaled.cu those of caches that hold levels and scales.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_KV_CACHE_CUH_
#define TN_BACKEND_CUDA_KERNELS_KV_CACHE_CUH_

#include "backend/cuda/kernels/levels.cuh"
#include "backend/cuda/kernels/sequence.cuh"

enum { WARPS = 4, MAX_HEAD_DIM = 512 };

/* Places of the constants that describe the cache and the step; the kernels' own follow. */
enum {
    NUM_TOKENS,
    NUM_SEQS,
    TABLE_COLUMNS, /* of the block table */
    LAYER,
    NUM_LAYERS,
    NUM_KV_HEADS,
    K_DIM,
    V_DIM,
    TOKENS_PER_BLOCK,
    NUM_HEADS, /* query heads */
    ROTARY_COLUMNS,
    IS_INTERLEAVED,
    NORM_EPSILON
};

/* Where the key (or value) of a token's head goes, and its scale where there are any; null: nowhere. first: the buffer of query_start. */
template <typename T>
__device__ __forceinline__ T *find_head(const tn_cuda_args &args, void *cache, int first, int token, int head, bool is_value,
                                        float **out_scale) {
    int64_t block;
    int place, tokens_per_block = (int)args.constants[TOKENS_PER_BLOCK], k_dim = (int)args.constants[K_DIM],
               v_dim = (int)args.constants[V_DIM];
    if (!find_place((const int32_t *)args.buffers[first], (const int32_t *)args.buffers[first + 1],
                    (const int32_t *)args.buffers[first + 2], (int)args.constants[NUM_SEQS], (int)args.constants[TABLE_COLUMNS],
                    tokens_per_block, token, &block, &place))
        return nullptr;
    tn_cuda_kv_layout layout =
        tn_cuda_kv_layout_make_scaled(args.constants[NUM_LAYERS], args.constants[NUM_KV_HEADS], k_dim, v_dim, tokens_per_block,
                                      scale_elements<T>());
    T *at = (T *)cache + block * layout.block + args.constants[LAYER] * layout.layer + head * layout.head;
    if constexpr (scale_elements<T>() > 0) *out_scale = (float *)(at + layout.scales) + (is_value ? tokens_per_block : 0) + place;
    return is_value ? at + layout.v_offset + place * v_dim : at + place * k_dim;
}

/* NaN where either is not finite. */
__device__ __forceinline__ float larger_magnitude(float a, float b) {
    return a != a || !(fabsf(b) < INFINITY) ? NAN : fmaxf(a, fabsf(b));
}

template <typename T> __device__ __forceinline__ void update_cache(const tn_cuda_args &args) {
    int lane = threadIdx.x % 32, num_kv_heads = (int)args.constants[NUM_KV_HEADS];
    int64_t index = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    let_next_start();
    wait_for_previous();
    if (index >= args.constants[NUM_TOKENS] * 2 * num_kv_heads) return;
    int token = (int)(index / (2 * num_kv_heads)), head = (int)(index % num_kv_heads);
    bool is_value = index % (2 * num_kv_heads) >= num_kv_heads;
    int dim = (int)args.constants[is_value ? V_DIM : K_DIM];
    const float *x = (const float *)args.buffers[is_value ? 1 : 0] + ((int64_t)token * num_kv_heads + head) * dim;
    float *scale = nullptr;
    T *y = find_head<T>(args, args.buffers[2], 3, token, head, is_value, &scale);
    if constexpr (scale_elements<T>() > 0) {
        float largest = 0.0f, inverse;
        if (y == nullptr) return; /* the whole warp */
        for (int i = lane; i < dim; i += 32) largest = larger_magnitude(largest, x[i]);
        find_warp_scale<T>(largest, &largest, &inverse);
        if (lane == 0) *scale = largest;
        for (int i = lane; i < dim; i += 32) y[i] = level_from_float<T>(x[i] * inverse);
    } else {
        for (int i = lane; y != nullptr && i < dim; i += 32) y[i] = from_float<T>(x[i]);
    }
}

__device__ __forceinline__ void rotate_pair(float &first, float &second, float cosine, float sine) {
    float a = first, b = second;
    first = a * cosine - b * sine;
    second = b * cosine + a * sine;
}

/* buffers: qkv, rotary table?, q_norm?, k_norm?, cache, query_start, kv_length, block table, q, cache
 * What does not depend on one another is loaded together: with one token this kernel is all latency. */
template <typename T, int MAX_DIM> __device__ __forceinline__ void split_qkv(const tn_cuda_args &args, float *head) {
    enum { PIECES = MAX_DIM / 32 };
    int lane = threadIdx.x % 32, num_heads = (int)args.constants[NUM_HEADS], num_kv_heads = (int)args.constants[NUM_KV_HEADS];
    int k_dim = (int)args.constants[K_DIM], v_dim = (int)args.constants[V_DIM], heads_a_token = num_heads + 2 * num_kv_heads;
    uint32_t index = blockIdx.x * WARPS + threadIdx.x / 32;
    let_next_start();
    wait_for_previous();
    if (index >= args.constants[NUM_TOKENS] * heads_a_token) return;
    int token = (int)(index / (uint32_t)heads_a_token), h = (int)(index % (uint32_t)heads_a_token), kv_head = h - num_heads;
    bool is_query = h < num_heads, is_value = kv_head >= num_kv_heads;
    if (is_value) kv_head -= num_kv_heads;
    int64_t row = (int64_t)(num_heads + num_kv_heads) * k_dim + (int64_t)num_kv_heads * v_dim;
    const float *x = (const float *)args.buffers[0] + token * row +
                     (is_value ? (int64_t)(num_heads + num_kv_heads) * k_dim + (int64_t)kv_head * v_dim : (int64_t)h * k_dim);
    int dim = is_value ? v_dim : k_dim, columns = is_value || args.buffers[1] == nullptr ? 0 : (int)args.constants[ROTARY_COLUMNS];
    int half = (columns < dim ? columns : dim) / 2;
    const float *table = (const float *)args.buffers[1] + (int64_t)token * columns;
    float values[PIECES], cosines[PIECES / 2], sines[PIECES / 2];
#pragma unroll
    for (int p = 0; p < PIECES; p++) values[p] = p * 32 + lane < dim ? x[p * 32 + lane] : 0.0f;
#pragma unroll
    for (int p = 0; p < PIECES / 2; p++) {
        cosines[p] = p * 32 + lane < half ? table[p * 32 + lane] : 0.0f;
        sines[p] = p * 32 + lane < half ? table[columns / 2 + p * 32 + lane] : 0.0f;
    }
    float *scale = nullptr;
    T *target = is_query ? nullptr : find_head<T>(args, args.buffers[4], 5, token, kv_head, is_value, &scale);

    const float *norm = is_value ? nullptr : (const float *)args.buffers[is_query ? 2 : 3];
    if (norm != nullptr) {
        float squares = 0.0f;
#pragma unroll
        for (int p = 0; p < PIECES; p++) squares += values[p] * values[p];
        float inverse = 1.0f / sqrtf(warp_sum(squares) / (float)dim + (float)constant_real(args, NORM_EPSILON));
#pragma unroll
        for (int p = 0; p < PIECES; p++)
            if (p * 32 + lane < dim) values[p] *= inverse * norm[p * 32 + lane];
    }
    bool is_interleaved = args.constants[IS_INTERLEAVED];
    if (!is_interleaved && (half == 32 || half == 64)) { /* both values of a pair stand in one lane */
        if (half == 32) rotate_pair(values[0], values[1], cosines[0], sines[0]);
        if (half == 64) {
            rotate_pair(values[0], values[2], cosines[0], sines[0]);
            rotate_pair(values[1], values[3], cosines[1], sines[1]);
        }
    } else if (half > 0) { /* pairs may stand in two lanes */
#pragma unroll
        for (int p = 0; p < PIECES; p++)
            if (p * 32 + lane < dim) head[p * 32 + lane] = values[p];
        __syncwarp();
#pragma unroll
        for (int p = 0; p < PIECES / 2; p++) {
            int i = p * 32 + lane, first = is_interleaved ? 2 * i : i, second = is_interleaved ? 2 * i + 1 : i + half;
            if (i >= half) continue;
            rotate_pair(head[first], head[second], cosines[p], sines[p]);
        }
        __syncwarp();
#pragma unroll
        for (int p = 0; p < PIECES; p++)
            if (p * 32 + lane < dim) values[p] = head[p * 32 + lane];
    }
    if constexpr (scale_elements<T>() > 0) {
        if (target != nullptr) { /* the whole warp */
            float largest = 0.0f, inverse;
#pragma unroll
            for (int p = 0; p < PIECES; p++)
                if (p * 32 + lane < dim) largest = larger_magnitude(largest, values[p]);
            find_warp_scale<T>(largest, &largest, &inverse);
            if (lane == 0) *scale = largest;
#pragma unroll
            for (int p = 0; p < PIECES; p++)
                if (p * 32 + lane < dim) target[p * 32 + lane] = level_from_float<T>(values[p] * inverse);
        }
    }
    float *q = (float *)args.buffers[8] + ((int64_t)token * num_heads + h) * k_dim;
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        int i = p * 32 + lane;
        if (i >= dim) continue;
        if (is_query) {
            q[i] = values[p];
        } else if constexpr (scale_elements<T>() == 0) {
            if (target != nullptr) target[i] = from_float<T>(values[p]);
        }
    }
}

#define QKV_CACHE(name, type, dim)                           \
    TN_KERNEL(name, 32 * WARPS) {                            \
        __shared__ float heads[WARPS][dim];                  \
        split_qkv<type, dim>(args, heads[threadIdx.x / 32]); \
    }

#endif
