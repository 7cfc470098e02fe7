/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_decode.cu: ATTENTION over the paged cache for decoding: a token a block, products on tensor cores, so that reading the
 * cache is what takes time. Caches of float16 and bfloat16, heads of up to 128 values.
 *
 * A block takes one token and up to HEADS query heads that share a key/value head; a warp takes TILE positions at a time. Keys and
 * values go from memory to registers as they stand: a sum over a head's values, and one over positions, has any order, so each
 * product takes the values that a lane has loaded with 16 bytes, and queries are put in the same order. With g = lane / 4,
 * t = lane % 4:
 *     scores [2 · HEADS, TILE] = queries · keysᵀ: row g is head g's query rounded to the cache's type, row g + 8 what the rounding
 *         left, so that their sum has twice the bits; lane: key g and g + 8 of the tile, values 32c + 8t … + 7
 *     results [values, HEADS] += valuesᵀ · weightsᵀ, the weights in two parts as well; lane: positions 2t, 2t + 1, 2t + 8, 2t + 9,
 *         values 64c + 8g … + 7; the scores' fragment is the weights' fragment
 * The next tile's keys are asked for when the scores are there, its values when the results are: one of both is always on its way.
 *
 * Warps are merged in shared memory; the splits of a long sequence, blocks of a cluster, in each other's. A split takes at
 * least SPLIT_ROUNDS tiles a warp, so that a short sequence has a single one that need not wait for the others. Where all are
 * that short and heads are long, blocks stand alone: a cluster starts only when several multiprocessors of its group are empty.
 * Bound: the bytes of the cache. 8B shape, 256 sequences of 192 tokens: 200 MB, 67 µs at 3.0 TB/s.
 */
#include "backend/cuda/kernels/attention_args.h"
#include "backend/cuda/kernels/cluster.cuh"
#include "backend/cuda/kernels/instructions.cuh"
#include "backend/cuda/kernels/packed_rows.cuh"
#include "backend/cuda/kernels/sequence.cuh"
#include "backend/cuda/kv_layout.h"

enum { HEADS = 8, TILE = 16 /* no block of the cache is smaller */, SPLITS = 8, SPLIT_ROUNDS = 2 /* tiles a warp, at least */ };
enum { WARPS = 4, WIDE_WARPS = 16 };
#define LOG2_E 1.44269504f

template <typename T> struct half_of;
template <> struct half_of<f16> {
    static __device__ __forceinline__ uint32_t pack(float first, float second) { return floats_to_f16x2(first, second); }
    static __device__ __forceinline__ float2 unpack(uint32_t pair) { return f16x2_to_floats(pair); }
    static __device__ __forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_f16(sums, a, b0, b1);
    }
};
template <> struct half_of<bf16> {
    static __device__ __forceinline__ uint32_t pack(float first, float second) { return floats_to_bf16x2(first, second); }
    static __device__ __forceinline__ float2 unpack(uint32_t pair) { return make_float2(bf16_low(pair), bf16_high(pair)); }
    static __device__ __forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_bf16(sums, a, b0, b1);
    }
};

/* 16 bytes of the cache, which the kernel before may have written: past the first-level cache, as they are read once. */
__device__ __forceinline__ uint4 load_cached(const void *address) {
    uint4 x;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w) : "l"(address));
    return x;
}

/* Two floats as a pair of halves, and the pair of what is left of them. */
template <typename T> __device__ __forceinline__ void split_pair(float first, float second, uint32_t *out_pair, uint32_t *out_rest) {
    *out_pair = half_of<T>::pack(first, second);
    float2 rounded = half_of<T>::unpack(*out_pair);
    *out_rest = half_of<T>::pack(first - rounded.x, second - rounded.y);
}

/* What the block does: a token, its head of the cache and its query heads, its tiles of positions. */
struct task {
    int token, sequence, index; /* index: the token's place in its sequence; −1: it has none */
    int kv_head, first_head, num_heads;
    int num_sink_tiles, window_tile;       /* tiles of sink tokens, then from window_tile on */
    int first_tile, end_tile, used_splits; /* of all those */
    const int32_t *table;                  /* of the sequence */
    int shift, blocks[2];                  /* log2 of a block's tokens; where the warp's first two tiles stand */
    int64_t block, first_key, first_value; /* elements of a block of the cache; to the head's keys and values in block 0 */

    __device__ __forceinline__ void find_heads(const tn_cuda_args &args) {
        int group = (int)args.constants[TN_ATTENTION_NUM_HEADS] / (int)args.constants[TN_ATTENTION_NUM_KV_HEADS],
            heads = (int)args.constants[TN_ATTENTION_HEADS_A_BLOCK];
        int parts = (group + heads - 1) / heads, in_group = (int)blockIdx.y % parts * heads;
        token = blockIdx.x;
        kv_head = blockIdx.y / parts;
        first_head = kv_head * group + in_group;
        num_heads = min(heads, group - in_group);
        tn_cuda_kv_layout layout = tn_cuda_kv_layout_make(
            args.constants[TN_ATTENTION_NUM_LAYERS], args.constants[TN_ATTENTION_NUM_KV_HEADS], args.constants[TN_ATTENTION_K_DIM],
            args.constants[TN_ATTENTION_V_DIM], args.constants[TN_ATTENTION_TOKENS_PER_BLOCK]);
        block = layout.block;
        first_key = args.constants[TN_ATTENTION_LAYER] * layout.layer + kv_head * layout.head;
        first_value = first_key + layout.v_offset;
    }

    /* What most blocks need is asked for at once: a step of decoding has a token for each sequence, and the first tiles of a warp
     * stand where they do without a window. */
    template <int NUM_WARPS, bool CLUSTER> __device__ __forceinline__ void find_tiles(const tn_cuda_args &args) {
        const int32_t *query_start = (const int32_t *)args.buffers[2], *kv_length = (const int32_t *)args.buffers[3];
        int window = (int)args.constants[TN_ATTENTION_WINDOW], columns = (int)args.constants[TN_ATTENTION_TABLE_COLUMNS];
        int tokens_per_block = (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK], warp = threadIdx.x / 32;
        sequence = max(min(token, (int)args.constants[TN_ATTENTION_NUM_SEQS] - 1), 0);
        table = (const int32_t *)args.buffers[4] + (int64_t)sequence * columns;
        shift = 31 - __clz(tokens_per_block); /* a power of two */
        int start = 0, end = 0, length = 0;
        if (args.constants[TN_ATTENTION_NUM_SEQS] > 0)
            start = query_start[sequence], end = query_start[sequence + 1], length = kv_length[sequence];
        int early[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int column = (warp + i * NUM_WARPS) * TILE >> shift;
            early[i] = column < columns && args.constants[TN_ATTENTION_NUM_SEQS] > 0 ? table[column] : -1;
        }
        bool is_guessed = start <= token && token < end;
        if (!is_guessed) {
            sequence = find_sequence(query_start, (int)args.constants[TN_ATTENTION_NUM_SEQS], token);
            table = (const int32_t *)args.buffers[4] + (int64_t)sequence * columns;
            if (sequence >= 0) end = query_start[sequence + 1], length = kv_length[sequence];
        }
        index = sequence < 0 ? -1 : length - (end - token);
        if (index >= columns * tokens_per_block) index = -1;
        window_tile = window > 0 && index >= window ? (index - window + 1) / TILE : 0;
        num_sink_tiles = min(((int)args.constants[TN_ATTENTION_SINK_TOKENS] + TILE - 1) / TILE, window_tile);
        int num_tiles = index < 0 ? 0 : num_sink_tiles + index / TILE + 1 - window_tile;
        first_tile = 0, end_tile = num_tiles, used_splits = 1;
        if (CLUSTER) {
            int split = max((num_tiles + SPLITS - 1) / SPLITS, NUM_WARPS * SPLIT_ROUNDS);
            first_tile = min((int)blockIdx.z * split, num_tiles);
            end_tile = min(first_tile + split, num_tiles);
            used_splits = max((num_tiles + split - 1) / split, 1);
        }
        bool stands = is_guessed && window_tile == 0 && first_tile == 0;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int n = first_tile + warp + i * NUM_WARPS;
            blocks[i] = n >= end_tile ? -1 : stands ? early[i] : find_block(n);
        }
    }

    __device__ __forceinline__ int position_of(int n) const {
        return (n < num_sink_tiles ? n : n - num_sink_tiles + window_tile) * TILE;
    }
    __device__ __forceinline__ int find_block(int n) const {
        return n < end_tile ? table[position_of(n) >> shift] : -1;
    }
};

/* A row of one warp's or one block's findings: results [v_dim], the largest score (base 2), the sum of the weights. */
__device__ __forceinline__ int part_stride(int v_dim) {
    return v_dim + 4;
}

template <typename T, int DIM> struct warp_state {
    /* Long heads let the next kernel start behind their first loads: the weights that it asks for would stand before these. With
     * short ones the next kernel's head start is worth more. */
    enum { K_CHUNKS = DIM / 32, V_CHUNKS = DIM / 64, IS_LONG = DIM > 64 };
    uint4 keys[2][K_CHUNKS], values[4][V_CHUNKS];
    float results[V_CHUNKS][4][4]; /* [c][w]: values 64c + 8g + 2w (first two) and the next, heads 2t and 2t + 1 */
    float largest, sum;            /* of head g; the sum is this lane's share */

    __device__ __forceinline__ static int value_row(int i) { return i % 2 + i / 2 * 8 + (int)threadIdx.x % 4 * 2; }

    __device__ __forceinline__ void load_keys(const T *rows, int k_dim, int known);
    __device__ __forceinline__ void load_values(const T *rows, int v_dim, int known);
    __device__ __forceinline__ void multiply_keys(uint4 (*queries)[2][32], float (&scores)[4]) const;
    __device__ __forceinline__ void make_weights(float (&scores)[4]);
    __device__ __forceinline__ void multiply_values(const float (&weights)[4]);
};

template <typename T, int DIM> __device__ __forceinline__ void warp_state<T, DIM>::load_keys(const T *rows, int k_dim, int known) {
    int g = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 8;
    const T *from = rows + g * k_dim + column;
    if (known >= TILE && k_dim == DIM) {
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int c = 0; c < K_CHUNKS; c++) keys[j][c] = load_cached(from + 8 * j * DIM + 32 * c);
        return;
    }
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
        for (int c = 0; c < K_CHUNKS; c++) {
            keys[j][c] = uint4{0, 0, 0, 0};
            if (8 * j + g < known && 32 * c + column < k_dim) keys[j][c] = load_cached(from + 8 * j * k_dim + 32 * c);
        }
}

/* Positions that were not written may be no numbers: zeros. */
template <typename T, int DIM> __device__ __forceinline__ void warp_state<T, DIM>::load_values(const T *rows, int v_dim, int known) {
    int column = threadIdx.x % 32 / 4 * 8;
    if (known >= TILE && v_dim == DIM) {
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int c = 0; c < V_CHUNKS; c++) values[i][c] = load_cached(rows + value_row(i) * DIM + 64 * c + column);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int c = 0; c < V_CHUNKS; c++) {
            values[i][c] = uint4{0, 0, 0, 0};
            if (value_row(i) < known && 64 * c + column < v_dim) values[i][c] = load_cached(rows + value_row(i) * v_dim + 64 * c + column);
        }
}

/* scores[2j + e] of head g at position 8j + 2t + e. queries: [chunk][rounded, rest][lane] */
template <typename T, int DIM>
__device__ __forceinline__ void warp_state<T, DIM>::multiply_keys(uint4 (*queries)[2][32], float (&scores)[4]) const {
    int lane = threadIdx.x % 32;
    float sums[2][4] = {};
#pragma unroll
    for (int c = 0; c < K_CHUNKS; c++) {
        uint4 q = queries[c][0][lane], rest = queries[c][1][lane];
        const uint32_t low[4] = {q.x, rest.x, q.y, rest.y}, high[4] = {q.z, rest.z, q.w, rest.w};
#pragma unroll
        for (int j = 0; j < 2; j++) {
            half_of<T>::multiply(sums[j], low, keys[j][c].x, keys[j][c].y);
            half_of<T>::multiply(sums[j], high, keys[j][c].z, keys[j][c].w);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) scores[i] = sums[i / 2][i % 2] + sums[i / 2][i % 2 + 2];
}

/* Scores become weights; what was gathered is brought to the new maximum. */
template <typename T, int DIM> __device__ __forceinline__ void warp_state<T, DIM>::make_weights(float (&scores)[4]) {
    int t = threadIdx.x % 4;
    float most = fmaxf(fmaxf(scores[0], scores[1]), fmaxf(scores[2], scores[3]));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2)), largest);
    float origin = most == -INFINITY ? 0.0f : most, old_scale = exp2_fast(largest - origin);
    bool is_new = most != largest;
    largest = most;
#pragma unroll
    for (int i = 0; i < 4; i++) scores[i] = exp2_fast(scores[i] - origin);
    sum = sum * old_scale + ((scores[0] + scores[1]) + (scores[2] + scores[3]));
    if (!__any_sync(0xffffffffu, is_new)) return;
    float first = __shfl_sync(0xffffffffu, old_scale, 8 * t), second = __shfl_sync(0xffffffffu, old_scale, 8 * t + 4);
#pragma unroll
    for (int c = 0; c < V_CHUNKS; c++)
#pragma unroll
        for (int w = 0; w < 4; w++) {
            results[c][w][0] *= first, results[c][w][1] *= second;
            results[c][w][2] *= first, results[c][w][3] *= second;
        }
}

template <typename T, int DIM> __device__ __forceinline__ void warp_state<T, DIM>::multiply_values(const float (&weights)[4]) {
    uint32_t pairs[2], rests[2];
    split_pair<T>(weights[0], weights[1], &pairs[0], &rests[0]);
    split_pair<T>(weights[2], weights[3], &pairs[1], &rests[1]);
#pragma unroll
    for (int c = 0; c < V_CHUNKS; c++)
#pragma unroll
        for (int w = 0; w < 4; w++) {
            uint32_t words[4], a[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                words[i] = w == 0 ? values[i][c].x : w == 1 ? values[i][c].y : w == 2 ? values[i][c].z : values[i][c].w;
            a[0] = __byte_perm(words[0], words[1], 0x5410), a[1] = __byte_perm(words[0], words[1], 0x7632);
            a[2] = __byte_perm(words[2], words[3], 0x5410), a[3] = __byte_perm(words[2], words[3], 0x7632);
            half_of<T>::multiply(results[c][w], a, pairs[0], pairs[1]);
            half_of<T>::multiply(results[c][w], a, rests[0], rests[1]);
        }
}

/* A warp's chunk of the queries, in the order of the keys' fragments; heads that there are not are zeros. */
struct query_chunk {
    float4 first, second;

    __device__ __forceinline__ void load(const float *q, int num_heads, int k_dim) {
        int lane = threadIdx.x % 32, head = lane / 4, column = (int)threadIdx.x / 32 * 32 + lane % 4 * 8;
        first = second = float4{0.0f, 0.0f, 0.0f, 0.0f};
        if (head >= num_heads || column >= k_dim) return;
        first = *(const float4 *)(q + head * k_dim + column);
        second = *(const float4 *)(q + head * k_dim + column + 4);
    }

    /* To queries[chunk][rounded, rest][lane], times `scale`. */
    template <typename T> __device__ __forceinline__ void place(uint4 (*queries)[2][32], float scale) const {
        uint4 pairs, rests;
        split_pair<T>(first.x * scale, first.y * scale, &pairs.x, &rests.x);
        split_pair<T>(first.z * scale, first.w * scale, &pairs.y, &rests.y);
        split_pair<T>(second.x * scale, second.y * scale, &pairs.z, &rests.z);
        split_pair<T>(second.z * scale, second.w * scale, &pairs.w, &rests.w);
        queries[threadIdx.x / 32][0][threadIdx.x % 32] = pairs;
        queries[threadIdx.x / 32][1][threadIdx.x % 32] = rests;
    }
};

/* How scores are changed and which count. */
struct score_rules {
    float soft_cap, slope; /* scores were scaled by 1 / soft_cap */
    int index, window, sink_tokens;

    __device__ __forceinline__ void apply(float (&scores)[4], int position) const {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int p = position + i / 2 * 8 + (int)threadIdx.x % 4 * 2 + i % 2;
            if (soft_cap > 0.0f) scores[i] = soft_cap * LOG2_E * tanhf(scores[i]);
            scores[i] += slope * (float)(p - index);
            bool is_seen = p <= index && (window <= 0 || p > index - window || p < sink_tokens);
            if (!is_seen) scores[i] = -INFINITY;
        }
    }
};

/* This warp's tiles. */
template <int NUM_WARPS, typename T, int DIM>
__device__ __forceinline__ void attend_tiles(const tn_cuda_args &args, const task &t, const query_chunk &query, float scale,
                                             const score_rules &rules, warp_state<T, DIM> &own) {
    __shared__ uint4 queries[NUM_WARPS][2][32]; /* DIM / 32 chunks are used */
    int k_dim = (int)args.constants[TN_ATTENTION_K_DIM], v_dim = (int)args.constants[TN_ATTENTION_V_DIM];
    int in_block = (1 << t.shift) - 1;
    const T *cache = (const T *)args.buffers[1];
    auto known_of = [&](int n, int block) { return block < 0 ? 0 : t.index + 1 - t.position_of(n); };
    auto load_keys = [&](int n, int block) {
        int64_t at = t.first_key + (block < 0 ? 0 : block) * t.block + (int64_t)(t.position_of(n) & in_block) * k_dim;
        own.load_keys(cache + at, k_dim, known_of(n, block));
    };
    auto load_values = [&](int n, int block) {
        int64_t at = t.first_value + (block < 0 ? 0 : block) * t.block + (int64_t)(t.position_of(n) & in_block) * v_dim;
        own.load_values(cache + at, v_dim, known_of(n, block));
    };
    int n = t.first_tile + (int)threadIdx.x / 32, block = t.blocks[0], next_block = t.blocks[1];
    if (n < t.end_tile) {
        load_keys(n, block);
        load_values(n, block);
    }
    if (warp_state<T, DIM>::IS_LONG) let_next_start();
    query.template place<T>(queries, scale);
    __syncthreads();
    for (; n < t.end_tile; n += NUM_WARPS) {
        int later_block = t.find_block(n + 2 * NUM_WARPS);
        bool has_next = n + NUM_WARPS < t.end_tile;
        float scores[4];
        own.multiply_keys(queries, scores);
        if (has_next) load_keys(n + NUM_WARPS, next_block);
        if (block < 0) /* not in the cache */
            scores[0] = scores[1] = scores[2] = scores[3] = -INFINITY;
        else
            rules.apply(scores, t.position_of(n));
        own.make_weights(scores);
        own.multiply_values(scores);
        if (has_next) load_values(n + NUM_WARPS, next_block);
        block = next_block, next_block = later_block;
    }
}

/* parts: [head][stride] of this warp. */
template <typename T, int DIM>
__device__ __forceinline__ void write_part(const warp_state<T, DIM> &own, float *parts, int num_heads, int v_dim) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, stride = part_stride(v_dim);
    float sum = own.sum + __shfl_xor_sync(0xffffffffu, own.sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (t == 0 && g < num_heads) parts[g * stride + v_dim] = own.largest, parts[g * stride + v_dim + 1] = sum;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float *part = parts + (2 * t + h) * stride;
        if (2 * t + h >= num_heads) continue;
#pragma unroll
        for (int c = 0; c < warp_state<T, DIM>::V_CHUNKS; c++)
#pragma unroll
            for (int w = 0; w < 4; w += 2) {
                float4 x = {own.results[c][w][h], own.results[c][w][2 + h], own.results[c][w + 1][h], own.results[c][w + 1][2 + h]};
                if (64 * c + 8 * g < v_dim) *(float4 *)(part + 64 * c + 8 * g + 2 * w) = x;
            }
    }
}

/* Several parts of one head become one: its largest score, sum, and value i. */
struct merged_part {
    float largest, sum, x;
};

/* The first `count` of COUNT; all are asked for before any is used. */
template <int COUNT, typename READ> __device__ __forceinline__ merged_part merge_parts(int count, int v_dim, int i, READ read) {
    merged_part parts[COUNT], m = {-INFINITY, 0.0f, 0.0f};
#pragma unroll
    for (int p = 0; p < COUNT; p++) {
        int from = p < count ? p : 0;
        parts[p].largest = read(from, v_dim), parts[p].sum = read(from, v_dim + 1), parts[p].x = read(from, i);
    }
#pragma unroll
    for (int p = 0; p < COUNT; p++) m.largest = fmaxf(m.largest, parts[p].largest);
#pragma unroll
    for (int p = 0; p < COUNT; p++) {
        float scale = p >= count || parts[p].largest == -INFINITY ? 0.0f : exp2_fast(parts[p].largest - m.largest);
        m.sum += scale * parts[p].sum;
        m.x += scale * parts[p].x;
    }
    return m;
}

/* Ends a head's softmax: the sink counts, then all is divided by the sum. */
template <bool MAY_PACK> __device__ __forceinline__ void store_value(const tn_cuda_args &args, const task &t, int h, int i, merged_part m) {
    int head = t.first_head + h;
    if ((args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SINKS) != 0) {
        float sink = ((const float *)args.buffers[5])[head] * LOG2_E, most = fmaxf(m.largest, sink);
        float scale = m.largest == -INFINITY ? 0.0f : exp2_fast(m.largest - most);
        m.sum = m.sum * scale + (sink == -INFINITY ? 0.0f : exp2_fast(sink - most));
        m.x *= scale;
    }
    int v_dim = (int)args.constants[TN_ATTENTION_V_DIM], width = (int)args.constants[TN_ATTENTION_NUM_HEADS] * v_dim;
    float *y = (float *)args.buffers[args.constants[TN_ATTENTION_OUTPUT]], value = m.sum != 0.0f ? m.x / m.sum : 0.0f;
    if (MAY_PACK && (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_Y_IS_PACKED) != 0)
        *(bf16 *)packed_place(y, t.token, head * v_dim + i, width) = from_float<bf16>(value);
    else
        y[(int64_t)t.token * width + head * v_dim + i] = value;
}

/* shared: a part a warp (and CLUSTER: one more) of [heads of a block][stride]. */
template <typename T, int DIM, int NUM_WARPS, bool CLUSTER>
__device__ __forceinline__ void attend(const tn_cuda_args &args, float *shared) {
    int v_dim = (int)args.constants[TN_ATTENTION_V_DIM], stride = part_stride(v_dim), warp = threadIdx.x / 32;
    float soft_cap = (float)constant_real(args, TN_ATTENTION_SOFT_CAP), scale = (float)constant_real(args, TN_ATTENTION_SCALE);
    int k_dim = (int)args.constants[TN_ATTENTION_K_DIM], part_size = (int)args.constants[TN_ATTENTION_HEADS_A_BLOCK] * stride;
    query_chunk query;
    task t;
    if (!warp_state<T, DIM>::IS_LONG) let_next_start();
    t.find_heads(args);
    wait_for_previous();
    query.load((const float *)args.buffers[0] + ((int64_t)t.token * args.constants[TN_ATTENTION_NUM_HEADS] + t.first_head) * k_dim,
               t.num_heads, k_dim);
    t.find_tiles<NUM_WARPS, CLUSTER>(args);                      /* while the query is on its way */
    if (CLUSTER && t.used_splits == 1 && blockIdx.z > 0) return; /* in this cluster nobody waits */

    warp_state<T, DIM> own = {};
    own.largest = -INFINITY;
    int g = threadIdx.x % 32 / 4;
    bool has_slope = (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SLOPES) != 0 && g < t.num_heads;
    score_rules rules = {soft_cap, has_slope ? ((const float *)args.buffers[6])[t.first_head + g] * LOG2_E : 0.0f, t.index,
                         (int)args.constants[TN_ATTENTION_WINDOW], (int)args.constants[TN_ATTENTION_SINK_TOKENS]};
    attend_tiles<NUM_WARPS>(args, t, query, soft_cap > 0.0f ? scale / soft_cap : scale * LOG2_E, rules, own);
    write_part(own, shared + warp * part_size, t.num_heads, v_dim);
    __syncthreads();

    float *of_block = shared + NUM_WARPS * part_size;
    for (int at = threadIdx.x; at < t.num_heads * v_dim; at += 32 * NUM_WARPS) {
        int h = at / v_dim, i = at % v_dim;
        const float *first = shared + h * stride;
        merged_part m = merge_parts<NUM_WARPS>(NUM_WARPS, v_dim, i, [&](int p, int j) { return first[p * part_size + j]; });
        if (!CLUSTER || t.used_splits == 1) {
            store_value<NUM_WARPS == WARPS>(args, t, h, i, m);
            continue;
        }
        of_block[h * stride + i] = m.x;
        if (i == 0) of_block[h * stride + v_dim] = m.largest, of_block[h * stride + v_dim + 1] = m.sum;
    }
    if (!CLUSTER || t.used_splits == 1) return;
    wait_for_cluster();
    for (int at = blockIdx.z * (32 * NUM_WARPS) + threadIdx.x; at < t.num_heads * v_dim; at += SPLITS * 32 * NUM_WARPS) {
        int h = at / v_dim, i = at % v_dim;
        const float *first = of_block + h * stride;
        store_value<false>(args, t, h, i, merge_parts<SPLITS>(t.used_splits, v_dim, i, [&](int p, int j) {
                               return load_of_block(first + j, (uint32_t)p);
                           }));
    }
    wait_for_cluster(); /* nobody leaves while others read its memory */
}

#if __CUDA_ARCH__ >= 900
#define IN_CLUSTERS __cluster_dims__(1, 1, SPLITS)
#else
#define IN_CLUSTERS
#endif
#define ATTENTION_DECODE(type, dim)                                                        \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 3)                            \
        attention_decode_##type##_##dim(const __grid_constant__ tn_cuda_args args) {       \
        extern __shared__ __align__(16) float shared[];                                    \
        attend<type, dim, WARPS, false>(args, shared);                                     \
    }                                                                                      \
    extern "C" __global__ void IN_CLUSTERS __launch_bounds__(32 * WIDE_WARPS, 1)           \
        attention_decode_split_##type##_##dim(const __grid_constant__ tn_cuda_args args) { \
        extern __shared__ __align__(16) float shared[];                                    \
        attend<type, dim, WIDE_WARPS, true>(args, shared);                                 \
    }
#define ATTENTION_DECODE_WIDE(type, dim)                                                  \
    extern "C" __global__ void __launch_bounds__(32 * WIDE_WARPS, 1)                      \
        attention_decode_wide_##type##_##dim(const __grid_constant__ tn_cuda_args args) { \
        extern __shared__ __align__(16) float shared[];                                   \
        attend<type, dim, WIDE_WARPS, false>(args, shared);                               \
    }
ATTENTION_DECODE(f16, 64)
ATTENTION_DECODE(f16, 128)
ATTENTION_DECODE_WIDE(f16, 128)
ATTENTION_DECODE(bf16, 64)
ATTENTION_DECODE(bf16, 128)
ATTENTION_DECODE_WIDE(bf16, 128)
