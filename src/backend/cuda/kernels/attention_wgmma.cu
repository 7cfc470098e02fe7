/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_wgmma.cu: ATTENTION over the paged cache for prompts on compute capability 9.0: products of warpgroups. Rows of queries,
 * tiles of positions and roundings are attention_tile's; scores are not bent (no soft cap, slopes, sinks), heads have 64 or 128 values.
 *
 * Warpgroup 0 fills a ring of SLOTS tiles of POSITIONS rows, keys and values in turn, by 16-byte copies of its threads, which it
 * announces LAG tiles later, when they have come. The other two take 64 rows of queries each: scores = queries · keysᵀ from shared
 * memory; weights stay in registers, where the scores' places are those that the second product reads; results += weights · values,
 * the values turned by the product. The two take turns: scores of a tile and results of the one before are one batch of products, and
 * while one warpgroup makes weights of its scores, the other multiplies.
 * Tried: to wait for the results behind the next tile's scores; the compiler then waits after each single product (C7515).
 *
 * Shared memory: rows of 128 bytes, 64 values; 16-byte piece c of row r stands at c ^ (r % 8). Queries [group of 64 rows][64 values],
 * tiles [64 values][position].
 * full[s]: one arrival a warp that copies; empty[s]: one arrival a warp that multiplies.
 */
#include "backend/cuda/kernels/attention_products.cuh"
#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/instructions.cuh"
#include "backend/cuda/kernels/packed_rows.cuh"

enum { POSITIONS = 128, GROUP_THREADS = 128, GROUP_ROWS = 64, GROUPS = ROWS / GROUP_ROWS, SLOTS = 6, LAG = 2, ROW_BYTES = 128 };

template <typename T> __device__ __forceinline__ uint32_t pack_pair(float first, float second);
template <> __device__ __forceinline__ uint32_t pack_pair<f16>(float first, float second) {
    return floats_to_f16x2(first, second);
}
template <> __device__ __forceinline__ uint32_t pack_pair<bf16>(float first, float second) {
    return floats_to_bf16x2(first, second);
}

#if TN_HAS_WGMMA

__device__ __forceinline__ int piece_offset(int row, int piece) {
    return row * ROW_BYTES + (piece ^ row % 8) * 16;
}

template <int DIM> struct shared_places {
    enum { HALVES = DIM / 64, QUERY_BYTES = GROUP_ROWS * ROW_BYTES, HALF_BYTES = POSITIONS * ROW_BYTES, TILE_BYTES = HALVES * HALF_BYTES };
    uint8_t *queries, *tiles; /* at multiples of 1,024 */
    uint64_t *full, *empty;
    uint32_t *absent; /* of each slot: groups of GROUP positions that are not in the cache, a bit each */
};

__device__ __forceinline__ int tile_position(const query_tile &q, int n) {
    return (n < q.num_sink_tiles ? n : n - q.num_sink_tiles + q.window_tile) * POSITIONS;
}

template <typename T, int DIM>
__device__ __forceinline__ void fill_slots(const tn_cuda_args &args, const query_tile &q, const shared_places<DIM> &shared) {
    enum { PIECES = DIM / 8, ROWS_AT_ONCE = GROUP_THREADS / PIECES, LOOKUPS = POSITIONS / GROUP };
    int piece = threadIdx.x % PIECES, first_row = threadIdx.x / PIECES, num_items = 2 * q.num_tiles, last_index = q.last_index;
    int tokens_per_block = (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK], shift = 31 - __clz(tokens_per_block); /* a power of two */
    const int32_t *table = (const int32_t *)args.buffers[4] + q.sequence * args.constants[TN_ATTENTION_TABLE_COLUMNS];
    int64_t block_size = q.block, to_values = q.first_value - q.first_key;
    const T *cache = (const T *)args.buffers[1] + q.first_key + 8 * piece;
    int blocks[LOOKUPS] = {}; /* of the tile, for keys and values */
    for (int i = 0; i < num_items + LAG; i++) {
        if (i < num_items) {
            int slot = i % SLOTS, position = tile_position(q, i / 2);
            if (i % 2 == 0) {
#pragma unroll
                for (int l = 0; l < LOOKUPS; l++)
                    blocks[l] = position + l * GROUP <= last_index ? table[(position + l * GROUP) >> shift] : -1;
            }
            if (i >= SLOTS) barrier_wait(&shared.empty[slot], (i / SLOTS - 1) & 1);
            uint8_t *tile = shared.tiles + slot * shared_places<DIM>::TILE_BYTES + piece / 8 * shared_places<DIM>::HALF_BYTES;
            uint32_t absent = 0;
#pragma unroll
            for (int l = 0; l < LOOKUPS; l++) {
                int p = position + l * GROUP;
                absent |= (uint32_t)(blocks[l] < 0 && p <= last_index) << l;
                const T *from = cache + (i % 2 == 0 ? 0 : to_values) + (blocks[l] < 0 ? 0 : blocks[l]) * block_size +
                                (p & (tokens_per_block - 1)) * DIM;
#pragma unroll
                for (int j = 0; j < GROUP / ROWS_AT_ONCE; j++) {
                    int row = first_row + j * ROWS_AT_ONCE;
                    copy_16(tile + piece_offset(l * GROUP + row, piece % 8), from + row * DIM, blocks[l] >= 0 && p + row <= last_index);
                }
            }
            if (threadIdx.x == 0) shared.absent[slot] = absent;
        }
        copy_commit();
        if (i < LAG) continue;
        copy_wait<LAG>();
        fence_shared_writes();
        __syncwarp();
        if (threadIdx.x % 32 == 0) barrier_arrive(&shared.full[(i - LAG) % SLOTS]);
    }
}

/* What a thread knows of its two rows, eight apart. */
struct row_pair {
    int index[2]; /* position; −1: it sees none */
    float largest[2], sum[2];
};

__device__ __forceinline__ void mask_scores(float (&scores)[POSITIONS / 2], const row_pair &rows, int position, int window, int sink_tokens,
                                            uint32_t absent) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int index = rows.index[h], begin = window > 0 ? index - window + 1 : 0;
#pragma unroll
        for (int j = 0; j < POSITIONS / 8; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int p = position + 8 * j + (int)threadIdx.x % 4 * 2 + e;
                bool is_seen = p <= index && (p >= begin || p < sink_tokens) && (absent >> j / 2 & 1) == 0;
                if (!is_seen) scores[4 * j + 2 * h + e] = -INFINITY;
            }
    }
}

/* Scores become weights; what was gathered is brought to the new maximum. */
template <int COUNT> __device__ __forceinline__ void make_weights(float (&scores)[POSITIONS / 2], row_pair &rows, float (&values)[COUNT]) {
    float scale[2];
    bool is_new = false;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = rows.largest[h], added = 0.0f;
#pragma unroll
        for (int j = 0; j < POSITIONS / 8; j++) most = fmaxf(most, fmaxf(scores[4 * j + 2 * h], scores[4 * j + 2 * h + 1]));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        float origin = most == -INFINITY ? 0.0f : most;
        scale[h] = exp2_fast(rows.largest[h] - origin);
        is_new = is_new || most != rows.largest[h];
        rows.largest[h] = most;
#pragma unroll
        for (int j = 0; j < POSITIONS / 8; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float weight = exp2_fast(scores[4 * j + 2 * h + e] - origin);
                scores[4 * j + 2 * h + e] = weight;
                added += weight;
            }
        rows.sum[h] = rows.sum[h] * scale[h] + added;
    }
    if (!__any_sync(0xffffffffu, is_new)) return;
#pragma unroll
    for (int i = 0; i < COUNT; i++) values[i] *= scale[i / 2 % 2];
}

/* A warpgroup's queries times `scale`, rounded. */
template <typename T, int DIM>
__device__ __forceinline__ void place_queries(const tn_cuda_args &args, const query_tile &q, int group_size, int kv_head, int group,
                                              float scale, uint8_t *queries) {
    enum { PIECES = DIM / 8 };
    for (int at = threadIdx.x % GROUP_THREADS; at < GROUP_ROWS * PIECES; at += GROUP_THREADS) {
        int r = at / PIECES, piece = at % PIECES, row = q.first_row + group * GROUP_ROWS + r;
        uint4 packed = {0, 0, 0, 0};
        if (group * GROUP_ROWS + r < q.num_rows) {
            int64_t head = (int64_t)(q.first_token + row / group_size) * args.constants[TN_ATTENTION_NUM_HEADS] + kv_head * group_size +
                           row % group_size;
            const float *x = (const float *)args.buffers[0] + head * DIM + 8 * piece;
            float4 a = *(const float4 *)x, b = *(const float4 *)(x + 4);
            packed.x = pack_pair<T>(a.x * scale, a.y * scale), packed.y = pack_pair<T>(a.z * scale, a.w * scale);
            packed.z = pack_pair<T>(b.x * scale, b.y * scale), packed.w = pack_pair<T>(b.z * scale, b.w * scale);
        }
        *(uint4 *)(queries + piece / 8 * shared_places<DIM>::QUERY_BYTES + piece_offset(r, piece % 8)) = packed;
    }
}

template <int DIM>
__device__ __forceinline__ void write_rows(const tn_cuda_args &args, const query_tile &q, int group_size, int kv_head, int first_row,
                                           const row_pair &rows, const float (&values)[DIM / 2]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float total = rows.sum[h];
        total += __shfl_xor_sync(0xffffffffu, total, 1);
        total += __shfl_xor_sync(0xffffffffu, total, 2);
        if (first_row + 8 * h >= q.num_rows) continue;
        int row = q.first_row + first_row + 8 * h, width = (int)args.constants[TN_ATTENTION_NUM_HEADS] * DIM;
        int column = (kv_head * group_size + row % group_size) * DIM + (int)threadIdx.x % 4 * 2;
        int64_t token = q.first_token + row / group_size;
        float factor = rows.index[h] < 0 || total == 0.0f ? 0.0f : 1.0f / total;
        float *y = (float *)args.buffers[args.constants[TN_ATTENTION_OUTPUT]];
        bool is_packed = (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_Y_IS_PACKED) != 0;
#pragma unroll
        for (int j = 0; j < DIM / 8; j++) {
            float2 pair = {values[4 * j + 2 * h] * factor, values[4 * j + 2 * h + 1] * factor};
            if (is_packed)
                *(uint32_t *)packed_place(y, token, column + 8 * j, width) = floats_to_bf16x2(pair.x, pair.y);
            else
                *(float2 *)(y + token * width + column + 8 * j) = pair;
        }
    }
}

template <typename T, int DIM>
__device__ __forceinline__ void attend_rows(const tn_cuda_args &args, const query_tile &q, const shared_places<DIM> &shared, int group_size,
                                            int kv_head) {
    typedef shared_places<DIM> S;
    int group = threadIdx.x / GROUP_THREADS - 1, lane = threadIdx.x % 32;
    int first_row = group * GROUP_ROWS + (int)threadIdx.x % GROUP_THREADS / 32 * 16 + lane / 4,
        window = (int)args.constants[TN_ATTENTION_WINDOW];
    int first_index = q.base + q.first_row / group_size, sink_tokens = (int)args.constants[TN_ATTENTION_SINK_TOKENS];
    uint8_t *queries = shared.queries + group * S::HALVES * S::QUERY_BYTES;
    place_queries<T, DIM>(args, q, group_size, kv_head, group, (float)constant_real(args, TN_ATTENTION_SCALE) * LOG2_E, queries);
    fence_shared_writes();
    sync_threads<GROUPS * GROUP_THREADS>();

    row_pair rows;
    float values[DIM / 2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int index = q.base + (q.first_row + first_row + 8 * h) / group_size;
        rows.index[h] = first_row + 8 * h < q.num_rows && index <= q.last_index ? index : -1;
        rows.largest[h] = -INFINITY, rows.sum[h] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < DIM / 2; i++) values[i] = 0.0f;
    uint64_t a = matrix_descriptor(queries);
    uint32_t weights[POSITIONS / 16][4]; /* of the tile before */
    if (group == 1) give_turn<2>();
    for (int n = 0; n <= q.num_tiles; n++) {
        bool has_keys = n<q.num_tiles, has_values = n> 0;
        int key_slot = 2 * n % SLOTS, value_slot = (2 * n + SLOTS - 1) % SLOTS, position = tile_position(q, n);
        uint32_t absent = 0;
        float scores[POSITIONS / 2];
        uint64_t keys = matrix_descriptor(shared.tiles + key_slot * S::TILE_BYTES);
        uint64_t stored = turned_descriptor(shared.tiles + value_slot * S::TILE_BYTES, S::HALF_BYTES);
        if (has_keys) {
            barrier_wait(&shared.full[key_slot], 2 * n / SLOTS & 1);
            absent = __shfl_sync(0xffffffffu, lane == 0 ? shared.absent[key_slot] : 0, 0); /* read by who says that the slot is free */
        }
        if (has_values) barrier_wait(&shared.full[value_slot], (2 * n - 1) / SLOTS & 1);
        if (group == 0)
            take_turn<2>();
        else
            take_turn<3>();
        hold_sums(values);
        products_begin();
        if (has_keys) {
            attention_product<T>::first_scores(scores, a, keys);
#pragma unroll
            for (int k = 1; k < DIM / 16; k++)
                attention_product<T>::more_scores(scores, a + k / 4 * (S::QUERY_BYTES / 16) + k % 4 * 2,
                                                  keys + k / 4 * (S::HALF_BYTES / 16) + k % 4 * 2);
        }
        if (has_values) {
#pragma unroll
            for (int k = 0; k < POSITIONS / 16; k++) attention_product<T>::values(values, weights[k], stored + k * (16 * ROW_BYTES / 16));
        }
        products_commit();
        products_wait<0>();
        hold_sums(scores);
        hold_sums(values);
        if (group == 0)
            give_turn<3>();
        else if (has_keys)
            give_turn<2>();
        if (has_keys && lane == 0) barrier_arrive(&shared.empty[key_slot]);
        if (has_values && lane == 0) barrier_arrive(&shared.empty[value_slot]);
        if (!has_keys) break;
        if (absent != 0 || position + POSITIONS - 1 > first_index || (window > 0 && position <= q.last_index - window))
            mask_scores(scores, rows, position, window, sink_tokens, absent);
        make_weights(scores, rows, values);
#pragma unroll
        for (int k = 0; k < POSITIONS / 16; k++)
#pragma unroll
            for (int v = 0; v < 4; v++) weights[k][v] = pack_pair<T>(scores[8 * k + 2 * v], scores[8 * k + 2 * v + 1]);
    }
    write_rows<DIM>(args, q, group_size, kv_head, first_row, rows, values);
}

template <typename T, int DIM> __device__ __forceinline__ void attend_block(const tn_cuda_args &args) {
    extern __shared__ uint8_t dynamic_shared[];
    typedef shared_places<DIM> S;
    __shared__ __align__(8) uint64_t barriers[2 * SLOTS];
    __shared__ uint32_t absent[SLOTS];
    __shared__ query_tile q;
    int num_kv_heads = (int)args.constants[TN_ATTENTION_NUM_KV_HEADS],
        group_size = (int)args.constants[TN_ATTENTION_NUM_HEADS] / num_kv_heads;
    shared_places<DIM> shared;
    shared.queries = dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024;
    shared.tiles = shared.queries + GROUPS * S::HALVES * S::QUERY_BYTES;
    shared.full = barriers, shared.empty = barriers + SLOTS, shared.absent = absent;
    let_next_start();
    wait_for_previous();
    if (threadIdx.x == 0) {
        for (int i = 0; i < SLOTS; i++) barrier_init(&shared.full[i], GROUP_THREADS / 32), barrier_init(&shared.empty[i], GROUPS * 4);
        barrier_init_done();
        q = find_query_tile<POSITIONS>(args, group_size, (int)(gridDim.x / num_kv_heads - 1 - blockIdx.x / num_kv_heads));
    }
    __syncthreads();
    if (q.num_rows <= 0) return;
    if (threadIdx.x < GROUP_THREADS) {
        set_registers_fewer<56>();
        fill_slots<T, DIM>(args, q, shared);
    } else {
        set_registers_more<224>();
        attend_rows<T, DIM>(args, q, shared, group_size, blockIdx.x % num_kv_heads);
    }
}

#define ATTENTION_WGMMA(type, dim)                                                  \
    extern "C" __global__ void __launch_bounds__(3 * GROUP_THREADS, 1)              \
        attention_wgmma_##type##_##dim(const __grid_constant__ tn_cuda_args args) { \
        attend_block<type, dim>(args);                                              \
    }
#else
#define ATTENTION_WGMMA(type, dim) \
    TN_KERNEL(attention_wgmma_##type##_##dim, 128) {}
#endif
ATTENTION_WGMMA(f16, 64)
ATTENTION_WGMMA(f16, 128)
ATTENTION_WGMMA(bf16, 64)
ATTENTION_WGMMA(bf16, 128)
