/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_token.cuh: ATTENTION over the paged cache, for any number of tokens; made for decoding. attention.cu has its kernels of
 * caches that hold values, attention_scaled.cu those of caches that hold levels and scales.
 *
 * A block takes one token and HEADS query heads that share a key/value head, so that a key is read once for all of them. A
 * row of lanes holds one key: 16 bytes a lane, ROW_LANES lanes and CHUNKS such pieces. Each row of lanes takes TILE
 * positions at a time and keeps its own running maximum, sum and weighted values; rows are merged by warp, then by block.
 * Positions are split over blocks by the sequence's length, which is data: a split without positions ends at once. With
 * several splits, what they found is merged: by a cluster of eight blocks (cards from 9.0 on), each reading the others' shared
 * memory, or by a second kernel from the workspace. Either way a split's part is, for each head: values [v_dim], maximum, sum.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ATTENTION_TOKEN_CUH_
#define TN_BACKEND_CUDA_KERNELS_ATTENTION_TOKEN_CUH_

#include "backend/cuda/kernels/attention_args.h"
#include "backend/cuda/kernels/cluster.cuh"
#include "backend/cuda/kernels/levels.cuh"
#include "backend/cuda/kernels/sequence.cuh"

enum { WARPS = 8, TILE = 4, CLUSTER_SPLITS = 8 };

/* Which positions a token sees, in tiles of TILE: first those that hold sink tokens, then those of its window. */
struct visible {
    int sequence, index;      /* the token's place in its sequence; −1: it has none */
    int num_sink_tiles, tile; /* after the sink tiles the window's begin at `tile` */
    int num_tiles, tiles_a_split;
};

__device__ __forceinline__ visible find_visible(const tn_cuda_args &args, int token) {
    visible v;
    const int32_t *query_start = (const int32_t *)args.buffers[2], *kv_length = (const int32_t *)args.buffers[3];
    int window = (int)args.constants[TN_ATTENTION_WINDOW], sinks = (int)args.constants[TN_ATTENTION_SINK_TOKENS],
        splits = (int)args.constants[TN_ATTENTION_NUM_SPLITS];
    v.sequence = find_sequence(query_start, (int)args.constants[TN_ATTENTION_NUM_SEQS], token);
    v.index = v.sequence < 0 ? -1 : kv_length[v.sequence] - (query_start[v.sequence + 1] - token);
    if (v.index >= args.constants[TN_ATTENTION_TABLE_COLUMNS] * args.constants[TN_ATTENTION_TOKENS_PER_BLOCK]) v.index = -1;
    v.tile = window > 0 && v.index >= window ? (v.index - window + 1) / TILE : 0;
    v.num_sink_tiles = (sinks + TILE - 1) / TILE < v.tile ? (sinks + TILE - 1) / TILE : v.tile;
    v.num_tiles = v.index < 0 ? 0 : v.num_sink_tiles + v.index / TILE + 1 - v.tile;
    /* A split of less than one pass of the block's rows is not worth a block. */
    v.tiles_a_split = (v.num_tiles + splits - 1) / splits;
    if (v.tiles_a_split < 2 * WARPS) v.tiles_a_split = 2 * WARPS;
    return v;
}

/* SIZE values of a cached row, as stored (16 bytes, of 8-bit levels 8) and as floats. IS_SCALED: a row has a scale of its own. */
template <typename T> struct vector_of;
template <> struct vector_of<float> {
    enum { SIZE = 4, ROW_LANES = 32, IS_SCALED = 0 };
    static __device__ __forceinline__ void unpack(uint4 v, float *out) {
        out[0] = __uint_as_float(v.x), out[1] = __uint_as_float(v.y), out[2] = __uint_as_float(v.z), out[3] = __uint_as_float(v.w);
    }
};
template <> struct vector_of<bf16> {
    enum { SIZE = 8, ROW_LANES = 16, IS_SCALED = 0 };
    static __device__ __forceinline__ void unpack(uint4 v, float *out) {
        const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) out[2 * i] = bf16_low(words[i]), out[2 * i + 1] = bf16_high(words[i]);
    }
};
template <> struct vector_of<f16> {
    enum { SIZE = 8, ROW_LANES = 16, IS_SCALED = 0 };
    static __device__ __forceinline__ void unpack(uint4 v, float *out) {
        const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[2 * i] = to_float(f16{(uint16_t)words[i]});
            out[2 * i + 1] = to_float(f16{(uint16_t)(words[i] >> 16)});
        }
    }
};

template <> struct vector_of<level16> {
    enum { SIZE = 8, ROW_LANES = 16, IS_SCALED = 1 };
    static __device__ __forceinline__ uint4 load(const level16 *at) { return *(const uint4 *)at; }
    static __device__ __forceinline__ void unpack(uint4 v, float *out) {
        const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 8; i++) out[i] = (float)(int16_t)(words[i / 2] >> (i % 2 * 16));
    }
};
template <typename T> struct vector_of_bytes {
    enum { SIZE = 8, ROW_LANES = 16, IS_SCALED = 1 };
    static __device__ __forceinline__ uint4 load(const T *at) {
        uint2 bytes = *(const uint2 *)at;
        return uint4{bytes.x, bytes.y, 0, 0};
    }
    static __device__ __forceinline__ void unpack(uint4 v, float *out) {
#pragma unroll
        for (int i = 0; i < 8; i++) out[i] = level_to_float(T{(uint8_t)((i < 4 ? v.x : v.y) >> (i % 4 * 8))});
    }
};
template <> struct vector_of<level8> : vector_of_bytes<level8> {};
template <> struct vector_of<level_e4m3> : vector_of_bytes<level_e4m3> {};

/* Two partial results become one. An empty one has maximum −∞ and sum 0. */
__device__ __forceinline__ void merge_scales(float max_a, float max_b, float *scale_a, float *scale_b, float *max_out) {
    float largest = fmaxf(max_a, max_b);
    *scale_a = max_a == -INFINITY ? 0.0f : expf(max_a - largest);
    *scale_b = max_b == -INFINITY ? 0.0f : expf(max_b - largest);
    *max_out = largest;
}

/* Ends a head's softmax: the sink counts, then all is divided by the sum. */
__device__ __forceinline__ void store_value(const tn_cuda_args &args, int64_t token_head, int head, int i, float x, float top,
                                            float total) {
    if ((args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SINKS) != 0) {
        float part_scale, sink_scale;
        merge_scales(top, ((const float *)args.buffers[5])[head], &part_scale, &sink_scale, &top);
        total = total * part_scale + sink_scale;
        x *= part_scale;
    }
    ((float *)args.buffers[args.constants[TN_ATTENTION_OUTPUT]])[token_head * args.constants[TN_ATTENTION_V_DIM] + i] =
        total != 0.0f ? x / total : 0.0f;
}

/* What one row of lanes knows of the heads: the query, and the softmax so far. */
template <typename T, int CHUNKS, int HEADS> struct row_state {
    enum { SIZE = vector_of<T>::SIZE, ROW_LANES = vector_of<T>::ROW_LANES };
    float query[HEADS][CHUNKS][SIZE], values[HEADS][CHUNKS][SIZE], largest[HEADS], sum[HEADS];

    /* This lane's first element of a chunk. */
    static __device__ __forceinline__ int place(int chunk) { return (chunk * ROW_LANES + threadIdx.x % ROW_LANES) * SIZE; }

    __device__ __forceinline__ void load_query(const float *q, int k_dim) {
#pragma unroll
        for (int h = 0; h < HEADS; h++)
#pragma unroll
            for (int c = 0; c < CHUNKS; c++)
#pragma unroll
                for (int i = 0; i < SIZE; i++) query[h][c][i] = place(c) < k_dim ? q[(int64_t)h * k_dim + place(c) + i] : 0.0f;
    }

    __device__ __forceinline__ void begin(float scale) {
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            largest[h] = -INFINITY;
            sum[h] = 0.0f;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++)
#pragma unroll
                for (int i = 0; i < SIZE; i++) {
                    query[h][c][i] *= scale;
                    values[h][c][i] = 0.0f;
                }
        }
    }
};

/* How scores are changed and which count. */
struct score_rules {
    float soft_cap;
    const float *slopes; /* of the block's heads; null: none */
    int index, window, sink_tokens;

    __device__ __forceinline__ float apply(float score, int head, int position, bool is_known) const {
        if (soft_cap > 0.0f) score = soft_cap * tanhf(score / soft_cap);
        if (slopes != nullptr) score += slopes[head] * (float)(position - index);
        return is_known && (window <= 0 || position > index - window || position < sink_tokens) ? score : -INFINITY;
    }
};

/* Loads TILE cached rows; those from num_known on are zeros. */
template <typename T, int CHUNKS, int HEADS>
__device__ __forceinline__ void load_rows(const T *rows, int dim, int num_known, uint4 (&out)[TILE][CHUNKS]) {
#pragma unroll
    for (int j = 0; j < TILE; j++)
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            int at = row_state<T, CHUNKS, HEADS>::place(c);
            if constexpr (vector_of<T>::IS_SCALED)
                out[j][c] = at < dim && j < num_known ? vector_of<T>::load(rows + j * dim + at) : uint4{0, 0, 0, 0};
            else
                out[j][c] = at < dim && j < num_known ? *(const uint4 *)(rows + j * dim + at) : uint4{0, 0, 0, 0};
        }
}

/* scores: in, each lane's share of the products; out, the weights of the positions. */
template <typename T, int CHUNKS, int HEADS>
__device__ __forceinline__ void weigh(row_state<T, CHUNKS, HEADS> &row, const score_rules &rules, int position, int num_known,
                                      float (&scores)[HEADS][TILE]) {
    enum { SIZE = vector_of<T>::SIZE, ROW_LANES = vector_of<T>::ROW_LANES };
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        float new_largest = row.largest[h], old_scale, unused;
#pragma unroll
        for (int j = 0; j < TILE; j++) {
            float s = scores[h][j];
#pragma unroll
            for (int offset = ROW_LANES / 2; offset > 0; offset >>= 1) s += __shfl_xor_sync(0xffffffffu, s, offset, ROW_LANES);
            scores[h][j] = rules.apply(s, h, position + j, j < num_known);
            new_largest = fmaxf(new_largest, scores[h][j]);
        }
        merge_scales(row.largest[h], new_largest, &old_scale, &unused, &row.largest[h]);
        row.sum[h] *= old_scale;
#pragma unroll
        for (int j = 0; j < TILE; j++) {
            scores[h][j] = scores[h][j] == -INFINITY ? 0.0f : expf(scores[h][j] - row.largest[h]);
            row.sum[h] += scores[h][j];
        }
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
#pragma unroll
            for (int i = 0; i < SIZE; i++) row.values[h][c][i] *= old_scale;
    }
}

/* Scales of TILE keys and of their values; 0 for those that are not there. */
struct tile_scales {
    float key[TILE], value[TILE];

    __device__ __forceinline__ void load(const float *keys, const float *values, int num_known) {
#pragma unroll
        for (int j = 0; j < TILE; j++) {
            key[j] = j < num_known ? keys[j] : 0.0f;
            value[j] = j < num_known ? values[j] : 0.0f;
        }
    }
};

/* TILE positions from `position` on, whose keys and values stand at `key` and `value`. scales: of caches that have them. */
template <typename T, int CHUNKS, int HEADS>
__device__ __forceinline__ void attend_tile(row_state<T, CHUNKS, HEADS> &row, const score_rules &rules, const T *key, const T *value,
                                            int k_dim, int v_dim, int position, int num_known, const tile_scales &scales) {
    enum { SIZE = vector_of<T>::SIZE };
    enum { LOADS_EARLY = HEADS * CHUNKS * SIZE <= 32 }; /* values beside keys, where registers have room */
    uint4 keys[TILE][CHUNKS], stored[TILE][CHUNKS];
    float scores[HEADS][TILE];
    load_rows<T, CHUNKS, HEADS>(key, k_dim, num_known, keys);
    if (LOADS_EARLY) load_rows<T, CHUNKS, HEADS>(value, v_dim, num_known, stored);
#pragma unroll
    for (int j = 0; j < TILE; j++) {
#pragma unroll
        for (int h = 0; h < HEADS; h++) scores[h][j] = 0.0f;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            float x[SIZE];
            vector_of<T>::unpack(keys[j][c], x);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
#pragma unroll
                for (int i = 0; i < SIZE; i++) scores[h][j] += row.query[h][c][i] * x[i];
        }
    }
    if constexpr (vector_of<T>::IS_SCALED) {
#pragma unroll
        for (int h = 0; h < HEADS; h++)
#pragma unroll
            for (int j = 0; j < TILE; j++) scores[h][j] *= scales.key[j];
    }
    weigh(row, rules, position, num_known, scores);
    if constexpr (vector_of<T>::IS_SCALED) {
#pragma unroll
        for (int h = 0; h < HEADS; h++)
#pragma unroll
            for (int j = 0; j < TILE; j++) scores[h][j] *= scales.value[j];
    }
    if (!LOADS_EARLY) load_rows<T, CHUNKS, HEADS>(value, v_dim, num_known, stored);
#pragma unroll
    for (int j = 0; j < TILE; j++)
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            float x[SIZE];
            vector_of<T>::unpack(stored[j][c], x);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
#pragma unroll
                for (int i = 0; i < SIZE; i++) row.values[h][c][i] += scores[h][j] * x[i];
        }
}

/* The rows of a warp become one, which goes to parts [head][v_dim + 2]. */
template <typename T, int CHUNKS, int HEADS>
__device__ __forceinline__ void merge_rows(row_state<T, CHUNKS, HEADS> &row, float *parts, int v_dim) {
    enum { SIZE = vector_of<T>::SIZE, ROW_LANES = vector_of<T>::ROW_LANES };
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
#pragma unroll
        for (int offset = ROW_LANES; offset < 32; offset <<= 1) {
            float other_max = __shfl_xor_sync(0xffffffffu, row.largest[h], offset), mine, others;
            float other_sum = __shfl_xor_sync(0xffffffffu, row.sum[h], offset);
            merge_scales(row.largest[h], other_max, &mine, &others, &row.largest[h]);
            row.sum[h] = row.sum[h] * mine + other_sum * others;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++)
#pragma unroll
                for (int i = 0; i < SIZE; i++) {
                    float x = __shfl_xor_sync(0xffffffffu, row.values[h][c][i], offset);
                    row.values[h][c][i] = row.values[h][c][i] * mine + x * others;
                }
        }
        float *part = parts + h * (v_dim + 2);
        if (threadIdx.x % 32 >= ROW_LANES) continue;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
#pragma unroll
            for (int i = 0; i < SIZE; i++)
                if (row.place(c) < v_dim) part[row.place(c) + i] = row.values[h][c][i];
        if (threadIdx.x % 32 == 0) part[v_dim] = row.largest[h], part[v_dim + 1] = row.sum[h];
    }
}

/* The parts of a block's warps, [warp][head][v_dim + 2] in shared memory, become the result (a single split), or a part of the
 * split: behind them in shared memory (CLUSTER), or in the workspace. */
template <int HEADS, bool CLUSTER> __device__ __forceinline__ void merge_warps(const tn_cuda_args &args, float *shared, int first_head) {
    int v_dim = (int)args.constants[TN_ATTENTION_V_DIM], stride = v_dim + 2, num_splits = (int)args.constants[TN_ATTENTION_NUM_SPLITS];
    for (int at = threadIdx.x; at < HEADS * v_dim; at += blockDim.x) {
        int h = at / v_dim, i = at % v_dim;
        int64_t token_head = blockIdx.x * args.constants[TN_ATTENTION_NUM_HEADS] + first_head + h;
        float top = -INFINITY, total = 0.0f, x = 0.0f;
        for (int w = 0; w < WARPS; w++) top = fmaxf(top, shared[(w * HEADS + h) * stride + v_dim]);
        for (int w = 0; w < WARPS; w++) {
            const float *part = shared + (w * HEADS + h) * stride;
            float part_scale = part[v_dim] == -INFINITY ? 0.0f : expf(part[v_dim] - top);
            total += part_scale * part[v_dim + 1];
            x += part_scale * part[i];
        }
        if (!CLUSTER && num_splits == 1) {
            store_value(args, token_head, first_head + h, i, x, top, total);
            continue;
        }
        float *part =
            CLUSTER ? shared + (WARPS * HEADS + h) * stride
                    : (float *)args.buffers[args.constants[TN_ATTENTION_OUTPUT] + 1] + (token_head * num_splits + blockIdx.z) * stride;
        part[i] = x;
        if (i == 0) part[v_dim] = top, part[v_dim + 1] = total;
    }
}

/* merged [head][v_dim + 2] of every block of the cluster; each block makes its share of the result. */
template <int HEADS> __device__ __forceinline__ void merge_cluster(const tn_cuda_args &args, const float *merged, int first_head) {
    int v_dim = (int)args.constants[TN_ATTENTION_V_DIM];
    wait_for_cluster();
    for (int at = blockIdx.z * blockDim.x + threadIdx.x; at < HEADS * v_dim; at += CLUSTER_SPLITS * blockDim.x) {
        int h = at / v_dim, i = at % v_dim;
        const float *part = merged + h * (v_dim + 2);
        float tops[CLUSTER_SPLITS], totals[CLUSTER_SPLITS], xs[CLUSTER_SPLITS], top = -INFINITY, total = 0.0f, x = 0.0f;
#pragma unroll
        for (int r = 0; r < CLUSTER_SPLITS; r++) {
            tops[r] = load_of_block(part + v_dim, r);
            totals[r] = load_of_block(part + v_dim + 1, r);
            xs[r] = load_of_block(part + i, r);
            top = fmaxf(top, tops[r]);
        }
#pragma unroll
        for (int r = 0; r < CLUSTER_SPLITS; r++) {
            float part_scale = tops[r] == -INFINITY ? 0.0f : expf(tops[r] - top);
            total += part_scale * totals[r];
            x += part_scale * xs[r];
        }
        store_value(args, blockIdx.x * args.constants[TN_ATTENTION_NUM_HEADS] + first_head + h, first_head + h, i, x, top, total);
    }
    wait_for_cluster(); /* nobody leaves while others read its memory */
}

/* CLUSTER: the splits of a token and its heads are one cluster of CLUSTER_SPLITS blocks. */
template <typename T, int CHUNKS, int HEADS, bool CLUSTER> __device__ __forceinline__ void attend(const tn_cuda_args &args, float *shared) {
    enum { ROWS = 32 / vector_of<T>::ROW_LANES };
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, token = blockIdx.x, first_head = blockIdx.y * HEADS, split = blockIdx.z;
    int k_dim = (int)args.constants[TN_ATTENTION_K_DIM], v_dim = (int)args.constants[TN_ATTENTION_V_DIM],
        num_heads = (int)args.constants[TN_ATTENTION_NUM_HEADS];
    int tokens_per_block = (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK],
        num_kv_heads = (int)args.constants[TN_ATTENTION_NUM_KV_HEADS];
    row_state<T, CHUNKS, HEADS> row;
    let_next_start();
    wait_for_previous();

    row.load_query((const float *)args.buffers[0] + ((int64_t)token * num_heads + first_head) * k_dim, k_dim);
    visible v = find_visible(args, token); /* while the query is on its way */
    int first_tile = split * v.tiles_a_split;
    int last_tile = first_tile + v.tiles_a_split < v.num_tiles ? first_tile + v.tiles_a_split : v.num_tiles;
    if (!CLUSTER && first_tile >= last_tile && split > 0) return;
    tn_cuda_kv_layout layout = tn_cuda_kv_layout_make_scaled(args.constants[TN_ATTENTION_NUM_LAYERS], num_kv_heads, k_dim, v_dim,
                                                             tokens_per_block, scale_elements<T>());
    const T *cache = (const T *)args.buffers[1] + args.constants[TN_ATTENTION_LAYER] * layout.layer +
                     first_head / (num_heads / num_kv_heads) * layout.head;
    const int32_t *table = (const int32_t *)args.buffers[4] + (int64_t)v.sequence * args.constants[TN_ATTENTION_TABLE_COLUMNS];
    score_rules rules = {(float)constant_real(args, TN_ATTENTION_SOFT_CAP),
                         (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SLOPES) != 0 ? (const float *)args.buffers[6] + first_head
                                                                                             : nullptr,
                         v.index, (int)args.constants[TN_ATTENTION_WINDOW], (int)args.constants[TN_ATTENTION_SINK_TOKENS]};
    row.begin((float)constant_real(args, TN_ATTENTION_SCALE));
    for (int base = first_tile + warp * ROWS; base < last_tile; base += WARPS * ROWS) { /* the same for the whole warp */
        int n = base + lane / vector_of<T>::ROW_LANES, tile = n < v.num_sink_tiles ? n : n - v.num_sink_tiles + v.tile;
        int position = tile * TILE, block = n < last_tile ? table[position / tokens_per_block] : -1;
        int num_known = block < 0 ? 0 : v.index + 1 - position; /* positions of the tile that were written */
        if (block < 0) block = 0;
        tile_scales scales;
        const T *keys = cache + block * layout.block;
        if constexpr (vector_of<T>::IS_SCALED) {
            const float *key_scales = (const float *)(keys + layout.scales) + position % tokens_per_block;
            scales.load(key_scales, key_scales + tokens_per_block, num_known);
        }
        attend_tile(row, rules, keys + (int64_t)(position % tokens_per_block) * k_dim,
                    keys + layout.v_offset + (int64_t)(position % tokens_per_block) * v_dim, k_dim, v_dim, position, num_known, scales);
    }
    merge_rows(row, shared + warp * HEADS * (v_dim + 2), v_dim);
    __syncthreads();
    merge_warps<HEADS, CLUSTER>(args, shared, first_head);
    if (CLUSTER) merge_cluster<HEADS>(args, shared + WARPS * HEADS * (v_dim + 2), first_head);
}

#if __CUDA_ARCH__ >= 900
#define IN_CLUSTERS __cluster_dims__(1, 1, CLUSTER_SPLITS)
#else
#define IN_CLUSTERS
#endif
#define ATTENTION(name, type, chunks, heads)                                  \
    TN_KERNEL(attention_##name, 32 * WARPS) {                                 \
        extern __shared__ float shared[];                                     \
        attend<type, chunks, heads, false>(args, shared);                     \
    }                                                                         \
    extern "C" __global__ void IN_CLUSTERS __launch_bounds__(32 * WARPS)      \
        attention_cluster_##name(const __grid_constant__ tn_cuda_args args) { \
        extern __shared__ float shared[];                                     \
        attend<type, chunks, heads, true>(args, shared);                      \
    }
#define ATTENTIONS(name, type)        \
    ATTENTION(name##_1_1, type, 1, 1) \
    ATTENTION(name##_1_2, type, 1, 2) \
    ATTENTION(name##_1_4, type, 1, 4) \
    ATTENTION(name##_2_1, type, 2, 1) \
    ATTENTION(name##_2_2, type, 2, 2)

#endif
