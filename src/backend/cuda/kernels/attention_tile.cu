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
 * A shared row has 8 values more than DIM: an odd number of 16-byte pieces, so that ldmatrix (8 rows, one piece) meets each
 * bank once.
 */
#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/instructions.cuh"

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

template <int DIM, int POSITIONS> struct shared_memory {
    enum { STRIDE = DIM + 8, GROUPS = POSITIONS / GROUP };
    uint16_t queries[ROWS][STRIDE], keys[2][POSITIONS][STRIDE], values[2][POSITIONS][STRIDE];
    query_tile tile; /* here, not in registers, which the sums need */
    row_place rows[ROWS];
    int64_t groups[4][GROUPS][2]; /* of tile n in n % 4: elements to its keys and to its values; −1: it is not in the cache */
};

/* What the functions below share. */
template <typename T_, int DIM_, int WARP_ROWS_, int POSITIONS_> struct shape {
    using T = T_;
    enum {
        DIM = DIM_,
        WARP_ROWS = WARP_ROWS_,
        POSITIONS = POSITIONS_,
        THREADS = ROWS / WARP_ROWS * 32,
        ROW_TILES = WARP_ROWS / 16,
        COLUMN_TILES = POSITIONS / 8,
        PIECES = DIM / 8, /* of 16 bytes, a row */
        GROUPS = POSITIONS / GROUP
    };
    using memory = shared_memory<DIM, POSITIONS>;
    /* a thread's rows: 16 i + lane / 4 + 8 h of its warp; columns of element c of tile j: 8 j + 2 (lane % 4) + c % 2, h = c / 2 */
    float scores[ROW_TILES][COLUMN_TILES][4], values[ROW_TILES][DIM / 8][4], largest[ROW_TILES][2], sum[ROW_TILES][2];
    int warp_row;

    __device__ __forceinline__ static int row_of(int warp_row, int i, int c) {
        return warp_row + 16 * i + (int)threadIdx.x % 32 / 4 + c / 2 * 8;
    }
    __device__ __forceinline__ static int column_of(int j, int c) { return 8 * j + (int)threadIdx.x % 4 * 2 + c % 2; }
};

template <typename S> __device__ __forceinline__ void clear(S &own) {
#pragma unroll
    for (int i = 0; i < S::ROW_TILES; i++) {
        own.largest[i][0] = own.largest[i][1] = -INFINITY;
        own.sum[i][0] = own.sum[i][1] = 0.0f;
#pragma unroll
        for (int j = 0; j < S::PIECES; j++) own.values[i][j][0] = own.values[i][j][1] = own.values[i][j][2] = own.values[i][j][3] = 0.0f;
    }
}

/* scores = queries · keysᵀ */
template <typename S> __device__ __forceinline__ void multiply_keys(S &own, const typename S::memory &shared, int side) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < S::ROW_TILES; i++)
#pragma unroll
        for (int j = 0; j < S::COLUMN_TILES; j++)
            own.scores[i][j][0] = own.scores[i][j][1] = own.scores[i][j][2] = own.scores[i][j][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < S::DIM; k += 16) {
        uint32_t a[S::ROW_TILES][4];
#pragma unroll
        for (int i = 0; i < S::ROW_TILES; i++) load_matrices(a[i], &shared.queries[own.warp_row + 16 * i + lane % 16][k + lane / 16 * 8]);
#pragma unroll
        for (int j = 0; j < S::COLUMN_TILES; j += 2) {
            uint32_t b[4];
            load_matrices(b, &shared.keys[side][8 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8]);
#pragma unroll
            for (int i = 0; i < S::ROW_TILES; i++) {
                half_of<typename S::T>::multiply(own.scores[i][j], a[i], b[0], b[1]);
                half_of<typename S::T>::multiply(own.scores[i][j + 1], a[i], b[2], b[3]);
            }
        }
    }
}

/* Soft cap (scores were scaled by 1 / soft_cap) and slopes; then base 2. */
template <typename S> __device__ __forceinline__ void bend_scores(S &own, const typename S::memory &shared, int position, float soft_cap) {
#pragma unroll
    for (int i = 0; i < S::ROW_TILES; i++)
#pragma unroll
        for (int j = 0; j < S::COLUMN_TILES; j++)
#pragma unroll
            for (int c = 0; c < 4; c++) {
                const row_place &row = shared.rows[S::row_of(own.warp_row, i, c)];
                float s = own.scores[i][j][c];
                if (soft_cap > 0.0f) /* tanh(s) = 1 − 2 / (1 + e^2s) */
                    s = soft_cap * LOG2_E * (1.0f - __fdividef(2.0f, 1.0f + exp2_fast(fminf(2.0f * LOG2_E * s, 64.0f))));
                own.scores[i][j][c] = s + row.slope * (float)(position + S::column_of(j, c) - row.index);
            }
}

template <typename S>
__device__ __forceinline__ void mask_scores(S &own, const typename S::memory &shared, int position, int window, int sink_tokens,
                                            uint32_t absent) {
#pragma unroll
    for (int i = 0; i < S::ROW_TILES; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int index = shared.rows[S::row_of(own.warp_row, i, 2 * h)].index, begin = window > 0 ? index - window + 1 : 0;
#pragma unroll
            for (int j = 0; j < S::COLUMN_TILES; j++)
#pragma unroll
                for (int c = 2 * h; c < 2 * h + 2; c++) {
                    int p = position + S::column_of(j, c);
                    bool is_seen = p <= index && (p >= begin || p < sink_tokens) && (absent >> j / 2 & 1) == 0;
                    if (!is_seen) own.scores[i][j][c] = -INFINITY;
                }
        }
}

/* Scores become weights; what was gathered is brought to the new maximum. */
template <typename S> __device__ __forceinline__ void make_weights(S &own) {
#pragma unroll
    for (int i = 0; i < S::ROW_TILES; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float most = own.largest[i][h];
#pragma unroll
            for (int j = 0; j < S::COLUMN_TILES; j++) most = fmaxf(most, fmaxf(own.scores[i][j][2 * h], own.scores[i][j][2 * h + 1]));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
            float origin = most == -INFINITY ? 0.0f : most, old_scale = exp2_fast(own.largest[i][h] - origin), added = 0.0f;
            own.largest[i][h] = most;
#pragma unroll
            for (int j = 0; j < S::COLUMN_TILES; j++)
#pragma unroll
                for (int c = 2 * h; c < 2 * h + 2; c++) {
                    own.scores[i][j][c] = exp2_fast(own.scores[i][j][c] - origin);
                    added += own.scores[i][j][c];
                }
            own.sum[i][h] = own.sum[i][h] * old_scale + added;
#pragma unroll
            for (int j = 0; j < S::PIECES; j++) own.values[i][j][2 * h] *= old_scale, own.values[i][j][2 * h + 1] *= old_scale;
        }
}

/* values += weights · the tile's values */
template <typename S> __device__ __forceinline__ void multiply_values(S &own, const typename S::memory &shared, int side) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < S::COLUMN_TILES; j += 2) {
        uint32_t a[S::ROW_TILES][4];
#pragma unroll
        for (int i = 0; i < S::ROW_TILES; i++)
#pragma unroll
            for (int v = 0; v < 4; v++)
                a[i][v] = half_of<typename S::T>::pack(own.scores[i][j + v / 2][v % 2 * 2], own.scores[i][j + v / 2][v % 2 * 2 + 1]);
#pragma unroll
        for (int c = 0; c < S::PIECES; c += 2) {
            uint32_t b[4];
            load_matrices_transposed(b, &shared.values[side][8 * j + lane % 16][8 * c + lane / 16 * 8]);
#pragma unroll
            for (int i = 0; i < S::ROW_TILES; i++) {
                half_of<typename S::T>::multiply(own.values[i][c], a[i], b[0], b[1]);
                half_of<typename S::T>::multiply(own.values[i][c + 1], a[i], b[2], b[3]);
            }
        }
    }
}

/* sinks: of all heads, or null */
template <typename S>
__device__ __forceinline__ void write_rows(S &own, const typename S::memory &shared, int num_rows, const float *sinks, int num_heads,
                                           float *y, int v_dim) {
#pragma unroll
    for (int i = 0; i < S::ROW_TILES; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int r = S::row_of(own.warp_row, i, 2 * h);
            row_place place = shared.rows[r];
            float total = own.sum[i][h], factor = 1.0f;
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            if (r >= num_rows) continue;
            if (sinks != nullptr) {
                float sink = sinks[place.head % num_heads] * LOG2_E, most = fmaxf(own.largest[i][h], sink);
                factor = most == -INFINITY ? 0.0f : exp2_fast(own.largest[i][h] - most);
                total = total * factor + (most == -INFINITY ? 0.0f : exp2_fast(sink - most));
            }
            factor = place.index < 0 || total == 0.0f ? 0.0f : factor / total;
            float *row = y + (int64_t)place.head * v_dim;
#pragma unroll
            for (int j = 0; j < S::PIECES; j++) {
                float2 pair = {own.values[i][j][2 * h] * factor, own.values[i][j][2 * h + 1] * factor};
                if (8 * j < v_dim) *(float2 *)(row + S::column_of(j, 0)) = pair;
            }
        }
}

/* The block's rows: where they stand, then their queries times `scale`. */
template <typename S>
__device__ __forceinline__ void place_rows(const tn_cuda_args &args, const query_tile &q, typename S::memory &shared, int group,
                                           int kv_head) {
    if (threadIdx.x >= ROWS) return;
    int row = q.first_row + (int)threadIdx.x, index = q.base + row / group, head = kv_head * group + row % group;
    bool is_row = (int)threadIdx.x < q.num_rows, has_slopes = (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SLOPES) != 0;
    row_place place = {is_row && index <= q.last_index ? index : -1,
                       (q.first_token + row / group) * (int)args.constants[TN_ATTENTION_NUM_HEADS] + head,
                       has_slopes ? ((const float *)args.buffers[6])[head] * LOG2_E : 0.0f};
    shared.rows[threadIdx.x] = place;
}

template <typename S>
__device__ __forceinline__ void load_queries(typename S::memory &shared, const float *queries, int num_rows, int k_dim, float scale) {
    using half = half_of<typename S::T>;
    for (int at = threadIdx.x; at < ROWS * S::PIECES; at += S::THREADS) {
        int row = at / S::PIECES, column = at % S::PIECES * 8;
        uint4 packed = {};
        if (row < num_rows && column < k_dim) {
            const float *x = queries + (int64_t)shared.rows[row].head * k_dim + column;
            float4 a = *(const float4 *)x, b = *(const float4 *)(x + 4);
            packed.x = half::pack(a.x * scale, a.y * scale), packed.y = half::pack(a.z * scale, a.w * scale);
            packed.z = half::pack(b.x * scale, b.y * scale), packed.w = half::pack(b.z * scale, b.w * scale);
        }
        *(uint4 *)&shared.queries[row][column] = packed;
    }
}

/* Tile n of keys and values into its place. known: positions of the tile that were written; the rest may be no numbers: zeros. */
template <typename S>
__device__ __forceinline__ void copy_tile(typename S::memory &shared, const typename S::T *cache, int n, int known, int k_dim, int v_dim) {
#pragma unroll 1
    for (int at = threadIdx.x; at < S::POSITIONS * S::PIECES; at += S::THREADS) {
        int row = at / S::PIECES, column = at % S::PIECES * 8;
        int64_t key = shared.groups[n % 4][row / GROUP][0], value = shared.groups[n % 4][row / GROUP][1];
        bool is_there = key >= 0 && row < known, has_key = is_there && column < k_dim, has_value = is_there && column < v_dim;
        copy_later(&shared.keys[n % 2][row][column], has_key ? cache + key + row % GROUP * k_dim + column : cache, has_key);
        copy_later(&shared.values[n % 2][row][column], has_value ? cache + value + row % GROUP * v_dim + column : cache, has_value);
    }
}

template <typename S> __device__ __forceinline__ void attend_tile(const tn_cuda_args &args, char *memory) {
    typename S::memory &shared = *(typename S::memory *)memory;
    int num_heads = (int)args.constants[TN_ATTENTION_NUM_HEADS], num_kv_heads = (int)args.constants[TN_ATTENTION_NUM_KV_HEADS],
        group = num_heads / num_kv_heads;
    int k_dim = (int)args.constants[TN_ATTENTION_K_DIM], v_dim = (int)args.constants[TN_ATTENTION_V_DIM];
    int window = (int)args.constants[TN_ATTENTION_WINDOW], kv_head = blockIdx.x % num_kv_heads;
    float soft_cap = (float)constant_real(args, TN_ATTENTION_SOFT_CAP);
    let_next_start();
    wait_for_previous();
    if (threadIdx.x == 0)
        shared.tile = find_query_tile<S::POSITIONS>(args, group, (int)(gridDim.x / num_kv_heads - 1 - blockIdx.x / num_kv_heads));
    __syncthreads();
    const query_tile &q = shared.tile;
    if (q.num_rows <= 0) return;

    auto tile_position = [&](int n) { return (n < q.num_sink_tiles ? n : n - q.num_sink_tiles + q.window_tile) * S::POSITIONS; };
    /* a few threads look up where a tile stands, one tile before it is copied */
    auto find_block = [&](int n) {
        if (threadIdx.x >= S::GROUPS || n >= q.num_tiles) return -1;
        int position = tile_position(n) + (int)threadIdx.x * GROUP;
        if (position > q.last_index) return -1;
        return ((const int32_t *)args.buffers[4])[q.sequence * args.constants[TN_ATTENTION_TABLE_COLUMNS] +
                                                  position / (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK]];
    };
    auto keep_block = [&](int n, int block) {
        if (threadIdx.x >= S::GROUPS) return;
        int place = (tile_position(n) + (int)threadIdx.x * GROUP) % (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK];
        shared.groups[n % 4][threadIdx.x][0] = block < 0 ? -1 : q.first_key + block * q.block + place * args.constants[TN_ATTENTION_K_DIM];
        shared.groups[n % 4][threadIdx.x][1] =
            block < 0 ? -1 : q.first_value + block * q.block + place * args.constants[TN_ATTENTION_V_DIM];
    };

    place_rows<S>(args, q, shared, group, kv_head);
    keep_block(0, find_block(0));
    keep_block(1, find_block(1));
    __syncthreads();
    if (q.num_tiles > 0) copy_tile<S>(shared, (const typename S::T *)args.buffers[1], 0, q.last_index + 1 - tile_position(0), k_dim, v_dim);
    load_queries<S>(shared, (const float *)args.buffers[0], q.num_rows, k_dim,
                    (float)constant_real(args, TN_ATTENTION_SCALE) * (soft_cap > 0.0f ? 1.0f / soft_cap : LOG2_E));

    S own;
    own.warp_row = (int)threadIdx.x / 32 * S::WARP_ROWS;
    clear(own);
    int first_index = q.base + q.first_row / group, warp_last = -1; /* positions of the block's first and the warp's last row */
    if (own.warp_row < q.num_rows) warp_last = q.base + (q.first_row + min(own.warp_row + S::WARP_ROWS, q.num_rows) - 1) / group;
    for (int n = 0; n < q.num_tiles; n++) {
        wait_for_copies();
        __syncthreads(); /* tile n is there for all; tile n − 1 was read by all */
        if (n + 1 < q.num_tiles)
            copy_tile<S>(shared, (const typename S::T *)args.buffers[1], n + 1, q.last_index + 1 - tile_position(n + 1), k_dim, v_dim);
        int later_block = find_block(n + 2), position = tile_position(n);
        if (position <= warp_last) {
            multiply_keys(own, shared, n % 2);
            if (soft_cap > 0.0f || (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SLOPES) != 0)
                bend_scores(own, shared, position, soft_cap);
            uint32_t absent = 0;
#pragma unroll
            for (int g = 0; g < S::GROUPS; g++) absent |= (uint32_t)(shared.groups[n % 4][g][0] < 0) << g;
            if (absent != 0 || position + S::POSITIONS - 1 > first_index || (window > 0 && position <= q.last_index - window))
                mask_scores(own, shared, position, window, (int)args.constants[TN_ATTENTION_SINK_TOKENS], absent);
            make_weights(own);
            multiply_values(own, shared, n % 2);
        }
        keep_block(n + 2, later_block);
    }
    write_rows(own, shared, q.num_rows,
               (args.constants[TN_ATTENTION_FLAGS] & TN_ATTENTION_HAS_SINKS) != 0 ? (const float *)args.buffers[5] : nullptr, num_heads,
               (float *)args.buffers[args.constants[TN_ATTENTION_OUTPUT]], v_dim);
}

#define ATTENTION_TILE(type, dim, warp_rows, positions)                    \
    TN_KERNEL(attention_tile_##type##_##dim, ROWS / warp_rows * 32) {      \
        extern __shared__ __align__(16) char memory[];                     \
        attend_tile<shape<type, dim, warp_rows, positions>>(args, memory); \
    }
ATTENTION_TILE(f16, 64, 32, 64)
ATTENTION_TILE(f16, 96, 32, 64)
ATTENTION_TILE(f16, 128, 32, 64)
ATTENTION_TILE(f16, 256, 16, 32)
ATTENTION_TILE(bf16, 64, 32, 64)
ATTENTION_TILE(bf16, 96, 32, 64)
ATTENTION_TILE(bf16, 128, 32, 64)
ATTENTION_TILE(bf16, 256, 16, 32)
