/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_tile.cu: ATTENTION over the paged cache on tensor cores (mma.sync), made for prompts: queries and weights are rounded
 * to the cache's type, float16 or bfloat16; scores, sums and results are float32.
 *
 * Rows of a sequence are (token, head of those that share a key/value head), heads within tokens, so that a tile of keys serves
 * all of them. A block takes ROWS = 128 of them; a warp 32 or 16. Keys and values come in tiles of POSITIONS through two
 * places in shared memory: one is read while the next is on its way. Maximum and sum go along (base 2), the results of a row
 * stay in registers.
 *
 * The tiles of sequence s are numbered from query_start[s] · group / ROWS + s on: there is room for a tile that is not full in
 * each, and a block finds its sequence by halving. After the last sequence come rows without one, whose results are zero.
 * Numbers without a tile end at once. Blocks start from the last tile, which sees most positions.
 *
 * A shared row has 8 values more than DIM: an odd number of 16-byte pieces, so that ldmatrix (8 rows, one piece) meets each
 * bank once.
 */
#include "backend/cuda/kernels/instructions.cuh"
#include "backend/cuda/kernels/sequence.cuh"
#include "backend/cuda/kv_layout.h"

/* constants, as in tactics/attention_tile.c */
enum {
    NUM_TOKENS,
    NUM_SEQS,
    TABLE_COLUMNS,
    LAYER,
    NUM_LAYERS,
    NUM_KV_HEADS,
    K_DIM,
    V_DIM,
    TOKENS_PER_BLOCK,
    NUM_HEADS,
    WINDOW,
    SINK_TOKENS,
    SCALE,
    SOFT_CAP,
    FLAGS,
    OUTPUT
};
enum { FLAG_SINKS = 1, FLAG_SLOPES = 2 };
enum { ROWS = 128, GROUP = 16 /* positions whose place is looked up together: no block of the cache is smaller */ };
#define LOG2_E 1.44269504f

template <typename T> struct half_of;
template <> struct half_of<f16> {
    static __device__ __forceinline__ uint32_t pack(float first, float second) { return floats_to_f16x2(first, second); }
    static __device__ __forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_f16(sums, a, b0, b1);
    }
};
template <> struct half_of<bf16> {
    static __device__ __forceinline__ uint32_t pack(float first, float second) { return floats_to_bf16x2(first, second); }
    static __device__ __forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_bf16(sums, a, b0, b1);
    }
};

/* The block's rows, and the tiles of positions that some of them see: first those of sink tokens, then those of the window. */
struct query_tile {
    int sequence, first_token, first_row, num_rows; /* first_row: in the sequence; no rows: the number has no tile */
    int base, last_index;                           /* row r stands at position base + (first_row + r) / group */
    int num_sink_tiles, window_tile, num_tiles;
};

__device__ __forceinline__ int find_tile_sequence(const int32_t *query_start, int num_seqs, int group, int tile) {
    int low = 0, high = num_seqs + 1;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (query_start[middle] * group / ROWS + middle <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

template <int POSITIONS> __device__ __forceinline__ query_tile find_query_tile(const tn_cuda_args &args, int group, int tile) {
    const int32_t *query_start = (const int32_t *)args.buffers[2], *kv_length = (const int32_t *)args.buffers[3];
    int num_seqs = (int)args.constants[NUM_SEQS], window = (int)args.constants[WINDOW];
    query_tile q = {};
    q.sequence = find_tile_sequence(query_start, num_seqs, group, tile);
    q.first_token = query_start[q.sequence];
    int end = q.sequence < num_seqs ? query_start[q.sequence + 1] : (int)args.constants[NUM_TOKENS];
    q.first_row = (tile - q.first_token * group / ROWS - q.sequence) * ROWS;
    q.num_rows = min((end - q.first_token) * group - q.first_row, (int)ROWS);
    if (q.num_rows <= 0 || q.sequence == num_seqs) {
        q.base = q.last_index = -(end - q.first_token);
        return q;
    }
    q.base = kv_length[q.sequence] - (end - q.first_token);
    int capacity = (int)args.constants[TABLE_COLUMNS] * (int)args.constants[TOKENS_PER_BLOCK];
    int first_index = q.base + q.first_row / group;
    q.last_index = min(q.base + (q.first_row + q.num_rows - 1) / group, capacity - 1);
    if (q.last_index < 0) return q;
    q.window_tile = window > 0 && first_index >= window ? (first_index - window + 1) / POSITIONS : 0;
    q.num_sink_tiles = min(((int)args.constants[SINK_TOKENS] + POSITIONS - 1) / POSITIONS, q.window_tile);
    q.num_tiles = max(q.num_sink_tiles + q.last_index / POSITIONS + 1 - q.window_tile, 0);
    return q;
}

/* One query head of one token. */
struct row_place {
    int index; /* the token's position; −1: it sees none */
    int head;  /* token · num_heads + head */
    float slope;
};

template <int DIM, int POSITIONS> struct shared_memory {
    enum { STRIDE = DIM + 8, GROUPS = POSITIONS / GROUP };
    uint16_t queries[ROWS][STRIDE], keys[2][POSITIONS][STRIDE], values[2][POSITIONS][STRIDE];
    row_place rows[ROWS];
    int64_t groups[4][GROUPS][2]; /* of tile n in n % 4: elements to its keys and to its values; −1: it is not in the cache */
};

template <typename T, int DIM, int WARP_ROWS, int POSITIONS>
__device__ __forceinline__ void attend_tile(const tn_cuda_args &args, char *memory) {
    enum {
        THREADS = ROWS / WARP_ROWS * 32,
        ROW_TILES = WARP_ROWS / 16,
        COLUMN_TILES = POSITIONS / 8,
        PIECES = DIM / 8, /* of 16 bytes, a row */
        GROUPS = POSITIONS / GROUP
    };
    shared_memory<DIM, POSITIONS> &shared = *(shared_memory<DIM, POSITIONS> *)memory;
    int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * WARP_ROWS;
    int num_heads = (int)args.constants[NUM_HEADS], num_kv_heads = (int)args.constants[NUM_KV_HEADS], group = num_heads / num_kv_heads;
    int k_dim = (int)args.constants[K_DIM], v_dim = (int)args.constants[V_DIM], tokens_per_block = (int)args.constants[TOKENS_PER_BLOCK];
    int window = (int)args.constants[WINDOW], sink_tokens = (int)args.constants[SINK_TOKENS];
    float soft_cap = (float)constant_real(args, SOFT_CAP);
    bool has_slopes = (args.constants[FLAGS] & FLAG_SLOPES) != 0, is_plain = !has_slopes && soft_cap <= 0.0f;
    wait_for_previous();
    let_next_start();

    int kv_head = blockIdx.x % num_kv_heads;
    query_tile q = find_query_tile<POSITIONS>(args, group, (int)(gridDim.x / num_kv_heads - 1 - blockIdx.x / num_kv_heads));
    if (q.num_rows <= 0) return;
    int first_index = q.base + q.first_row / group;
    tn_cuda_kv_layout layout = tn_cuda_kv_layout_make(args.constants[NUM_LAYERS], num_kv_heads, k_dim, v_dim, tokens_per_block);
    const T *cache = (const T *)args.buffers[1] + args.constants[LAYER] * layout.layer + kv_head * layout.head;
    const int32_t *table = (const int32_t *)args.buffers[4] + (int64_t)q.sequence * args.constants[TABLE_COLUMNS];

    auto tile_position = [&](int n) { return (n < q.num_sink_tiles ? n : n - q.num_sink_tiles + q.window_tile) * POSITIONS; };
    /* a few threads look up where a tile stands, one tile before it is copied */
    auto find_block = [&](int n) {
        int position = tile_position(n) + (int)threadIdx.x * GROUP;
        return threadIdx.x < GROUPS && n < q.num_tiles && position <= q.last_index ? table[position / tokens_per_block] : -1;
    };
    auto keep_block = [&](int n, int block) {
        if (threadIdx.x >= GROUPS) return;
        int place = (tile_position(n) + (int)threadIdx.x * GROUP) % tokens_per_block;
        shared.groups[n % 4][threadIdx.x][0] = block < 0 ? -1 : block * layout.block + (int64_t)place * k_dim;
        shared.groups[n % 4][threadIdx.x][1] = block < 0 ? -1 : block * layout.block + layout.v_offset + (int64_t)place * v_dim;
    };
    auto copy_tile = [&](int n) {
        int known = q.last_index + 1 - tile_position(n); /* what is not written yet may be no number: zeros */
#pragma unroll
        for (int i = 0; i < POSITIONS * PIECES / THREADS; i++) {
            int at = i * THREADS + (int)threadIdx.x, row = at / PIECES, column = at % PIECES * 8;
            int64_t key = shared.groups[n % 4][row / GROUP][0], value = shared.groups[n % 4][row / GROUP][1];
            bool is_there = key >= 0 && row < known, has_key = is_there && column < k_dim, has_value = is_there && column < v_dim;
            copy_later(&shared.keys[n % 2][row][column], has_key ? cache + key + row % GROUP * k_dim + column : cache, has_key);
            copy_later(&shared.values[n % 2][row][column], has_value ? cache + value + row % GROUP * v_dim + column : cache, has_value);
        }
    };

    if (threadIdx.x < ROWS) {
        int row = q.first_row + (int)threadIdx.x, index = q.base + row / group, head = kv_head * group + row % group;
        bool is_row = (int)threadIdx.x < q.num_rows;
        row_place place = {is_row && index <= q.last_index ? index : -1, (q.first_token + row / group) * num_heads + head, 0.0f};
        if (has_slopes) place.slope = ((const float *)args.buffers[6])[head] * LOG2_E;
        shared.rows[threadIdx.x] = place;
    }
    keep_block(0, find_block(0));
    keep_block(1, find_block(1));
    __syncthreads();
    if (q.num_tiles > 0) copy_tile(0);
    float scale = (float)constant_real(args, SCALE) * (soft_cap > 0.0f ? 1.0f / soft_cap : LOG2_E);
    for (int at = threadIdx.x; at < ROWS * PIECES; at += THREADS) {
        int row = at / PIECES, column = at % PIECES * 8;
        uint4 packed = {};
        if (row < q.num_rows && column < k_dim) {
            const float *x = (const float *)args.buffers[0] + (int64_t)shared.rows[row].head * k_dim + column;
            float4 a = *(const float4 *)x, b = *(const float4 *)(x + 4);
            packed.x = half_of<T>::pack(a.x * scale, a.y * scale), packed.y = half_of<T>::pack(a.z * scale, a.w * scale);
            packed.z = half_of<T>::pack(b.x * scale, b.y * scale), packed.w = half_of<T>::pack(b.z * scale, b.w * scale);
        }
        *(uint4 *)&shared.queries[row][column] = packed;
    }

    /* a thread's rows: 16 i + lane / 4 + 8 h of the warp; its columns: 8 j + 2 (lane % 4) + c % 2 */
    float values[ROW_TILES][DIM / 8][4], largest[ROW_TILES][2], sum[ROW_TILES][2];
#pragma unroll
    for (int i = 0; i < ROW_TILES; i++) {
        largest[i][0] = largest[i][1] = -INFINITY;
        sum[i][0] = sum[i][1] = 0.0f;
#pragma unroll
        for (int j = 0; j < DIM / 8; j++) values[i][j][0] = values[i][j][1] = values[i][j][2] = values[i][j][3] = 0.0f;
    }
    int warp_last = warp_row < q.num_rows ? q.base + (q.first_row + min(warp_row + WARP_ROWS, q.num_rows) - 1) / group : -1;

    for (int n = 0; n < q.num_tiles; n++) {
        wait_for_copies();
        __syncthreads(); /* tile n is there for all; tile n − 1 was read by all */
        if (n + 1 < q.num_tiles) copy_tile(n + 1);
        int later_block = find_block(n + 2), position = tile_position(n);
        if (position <= warp_last) {
            float scores[ROW_TILES][COLUMN_TILES][4] = {};
#pragma unroll
            for (int k = 0; k < DIM; k += 16) {
                uint32_t a[ROW_TILES][4];
#pragma unroll
                for (int i = 0; i < ROW_TILES; i++) load_matrices(a[i], &shared.queries[warp_row + 16 * i + lane % 16][k + lane / 16 * 8]);
#pragma unroll
                for (int j = 0; j < COLUMN_TILES; j += 2) {
                    uint32_t b[4];
                    load_matrices(b, &shared.keys[n % 2][8 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8]);
#pragma unroll
                    for (int i = 0; i < ROW_TILES; i++) {
                        half_of<T>::multiply(scores[i][j], a[i], b[0], b[1]);
                        half_of<T>::multiply(scores[i][j + 1], a[i], b[2], b[3]);
                    }
                }
            }
            if (!is_plain) {
#pragma unroll
                for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
                    for (int j = 0; j < COLUMN_TILES; j++)
#pragma unroll
                        for (int c = 0; c < 4; c++) {
                            const row_place &row = shared.rows[warp_row + 16 * i + lane / 4 + c / 2 * 8];
                            float s = scores[i][j][c];
                            if (soft_cap > 0.0f) /* tanh(s) = 1 − 2 / (1 + e^2s) */
                                s = soft_cap * LOG2_E * (1.0f - __fdividef(2.0f, 1.0f + exp2_fast(2.0f * LOG2_E * s)));
                            s += row.slope * (float)(position + 8 * j + lane % 4 * 2 + c % 2 - row.index);
                            scores[i][j][c] = s;
                        }
            }
            uint32_t absent = 0;
#pragma unroll
            for (int g = 0; g < GROUPS; g++) absent |= (uint32_t)(shared.groups[n % 4][g][0] < 0) << g;
            bool is_whole = absent == 0 && position + POSITIONS - 1 <= first_index && (window <= 0 || position > q.last_index - window);
            if (!is_whole) {
#pragma unroll
                for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
                    for (int h = 0; h < 2; h++) {
                        int index = shared.rows[warp_row + 16 * i + lane / 4 + 8 * h].index;
                        int begin = window > 0 ? index - window + 1 : 0;
#pragma unroll
                        for (int j = 0; j < COLUMN_TILES; j++)
#pragma unroll
                            for (int c = 2 * h; c < 2 * h + 2; c++) {
                                int p = position + 8 * j + lane % 4 * 2 + c % 2;
                                bool is_seen = p <= index && (p >= begin || p < sink_tokens) && (absent >> j / 2 & 1) == 0;
                                if (!is_seen) scores[i][j][c] = -INFINITY;
                            }
                    }
            }
#pragma unroll
            for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    float most = largest[i][h];
#pragma unroll
                    for (int j = 0; j < COLUMN_TILES; j++) most = fmaxf(most, fmaxf(scores[i][j][2 * h], scores[i][j][2 * h + 1]));
                    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
                    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
                    float origin = most == -INFINITY ? 0.0f : most, old_scale = exp2_fast(largest[i][h] - origin), added = 0.0f;
                    largest[i][h] = most;
#pragma unroll
                    for (int j = 0; j < COLUMN_TILES; j++)
#pragma unroll
                        for (int c = 2 * h; c < 2 * h + 2; c++) {
                            scores[i][j][c] = exp2_fast(scores[i][j][c] - origin);
                            added += scores[i][j][c];
                        }
                    sum[i][h] = sum[i][h] * old_scale + added;
#pragma unroll
                    for (int j = 0; j < DIM / 8; j++) values[i][j][2 * h] *= old_scale, values[i][j][2 * h + 1] *= old_scale;
                }
#pragma unroll
            for (int j = 0; j < COLUMN_TILES; j += 2) {
                uint32_t a[ROW_TILES][4];
#pragma unroll
                for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
                    for (int v = 0; v < 4; v++)
                        a[i][v] = half_of<T>::pack(scores[i][j + v / 2][v % 2 * 2], scores[i][j + v / 2][v % 2 * 2 + 1]);
#pragma unroll
                for (int c = 0; c < DIM / 8; c += 2) {
                    uint32_t b[4];
                    load_matrices_transposed(b, &shared.values[n % 2][8 * j + lane % 16][8 * c + lane / 16 * 8]);
#pragma unroll
                    for (int i = 0; i < ROW_TILES; i++) {
                        half_of<T>::multiply(values[i][c], a[i], b[0], b[1]);
                        half_of<T>::multiply(values[i][c + 1], a[i], b[2], b[3]);
                    }
                }
            }
        }
        keep_block(n + 2, later_block);
    }

#pragma unroll
    for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int r = warp_row + 16 * i + lane / 4 + 8 * h;
            row_place place = shared.rows[r]; /* written before the barrier that stands after it */
            float total = sum[i][h], factor = 1.0f;
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            if ((args.constants[FLAGS] & FLAG_SINKS) != 0) {
                float sink = ((const float *)args.buffers[5])[place.head % num_heads] * LOG2_E, most = fmaxf(largest[i][h], sink);
                factor = most == -INFINITY ? 0.0f : exp2_fast(largest[i][h] - most);
                total = total * factor + (most == -INFINITY ? 0.0f : exp2_fast(sink - most));
            }
            factor = place.index < 0 || total == 0.0f ? 0.0f : factor / total;
            if (r >= q.num_rows) continue;
            float *y = (float *)args.buffers[args.constants[OUTPUT]] + (int64_t)place.head * v_dim;
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) {
                float2 pair = {values[i][j][2 * h] * factor, values[i][j][2 * h + 1] * factor};
                if (8 * j < v_dim) *(float2 *)(y + 8 * j + lane % 4 * 2) = pair;
            }
        }
}

#define ATTENTION_TILE(type, dim, warp_rows, positions)               \
    TN_KERNEL(attention_tile_##type##_##dim, ROWS / warp_rows * 32) { \
        extern __shared__ __align__(16) char memory[];                \
        attend_tile<type, dim, warp_rows, positions>(args, memory);   \
    }
ATTENTION_TILE(f16, 64, 32, 64)
ATTENTION_TILE(f16, 96, 32, 64)
ATTENTION_TILE(f16, 128, 32, 64)
ATTENTION_TILE(f16, 256, 16, 32)
ATTENTION_TILE(bf16, 64, 32, 64)
ATTENTION_TILE(bf16, 96, 32, 64)
ATTENTION_TILE(bf16, 128, 32, 64)
ATTENTION_TILE(bf16, 256, 16, 32)
