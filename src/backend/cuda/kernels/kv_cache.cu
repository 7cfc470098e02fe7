/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.cu: ROTARY, KV_CACHE_UPDATE and QKV_CACHE: a warp a head of a token. Reads the float32 that products wrote, writes
 * float32 queries and the paged cache in its own type.
 */
#include "backend/cuda/kernels/kv_cache.cuh"

/* Turns pairs of head[0 .. dim) in shared memory by the token's row of the table: cosines, then sines. The whole warp calls. */
__device__ __forceinline__ void rotate(float *head, int dim, const float *table, int table_columns, bool is_interleaved) {
    int lane = threadIdx.x % 32, half = (table_columns < dim ? table_columns : dim) / 2;
    for (int i = lane; i < half; i += 32) {
        int first = is_interleaved ? 2 * i : i, second = is_interleaved ? 2 * i + 1 : i + half;
        float cosine = table[i], sine = table[table_columns / 2 + i], a = head[first], b = head[second];
        head[first] = a * cosine - b * sine;
        head[second] = b * cosine + a * sine;
    }
    __syncwarp();
}

/* --- ROTARY. constants as in tactics/kv_cache.c --------------------------------------------------------------------------------- */

enum { ROTARY_NUM_HEADS, ROTARY_HEADS_A_TOKEN, ROTARY_DIM, ROTARY_TABLE_COLUMNS, ROTARY_IS_INTERLEAVED };

TN_KERNEL(rotary, 32 * WARPS) {
    __shared__ float heads[WARPS][MAX_HEAD_DIM];
    float *head = heads[threadIdx.x / 32];
    int lane = threadIdx.x % 32, dim = (int)args.constants[ROTARY_DIM], columns = (int)args.constants[ROTARY_TABLE_COLUMNS];
    int64_t index = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    let_next_start();
    wait_for_previous();
    if (index >= args.constants[ROTARY_NUM_HEADS]) return;
    const float *x = (const float *)args.buffers[0] + index * dim;
    float *y = (float *)args.buffers[2] + index * dim;
    for (int i = lane; i < dim; i += 32) head[i] = x[i];
    __syncwarp();
    rotate(head, dim, (const float *)args.buffers[1] + index / args.constants[ROTARY_HEADS_A_TOKEN] * columns, columns,
           args.constants[ROTARY_IS_INTERLEAVED]);
    for (int i = lane; i < dim; i += 32) y[i] = head[i];
}

/* --- both updates -------------------------------------------------------------------------------------------------------------------- */

TN_KERNEL(kv_cache_update_f32, 32 * WARPS) {
    update_cache<float>(args);
}
TN_KERNEL(kv_cache_update_f16, 32 * WARPS) {
    update_cache<f16>(args);
}
TN_KERNEL(kv_cache_update_bf16, 32 * WARPS) {
    update_cache<bf16>(args);
}

QKV_CACHE(qkv_cache_f32_128, float, 128)
QKV_CACHE(qkv_cache_f16_128, f16, 128)
QKV_CACHE(qkv_cache_bf16_128, bf16, 128)
QKV_CACHE(qkv_cache_f32_512, float, MAX_HEAD_DIM)
QKV_CACHE(qkv_cache_f16_512, f16, MAX_HEAD_DIM)
QKV_CACHE(qkv_cache_bf16_512, bf16, MAX_HEAD_DIM)
