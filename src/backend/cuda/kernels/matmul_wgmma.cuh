/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_wgmma.cuh: y = x · wᵀ of many rows with bfloat16 weights on compute capability 9.0: products of warpgroups (wgmma).
 * matmul_wgmma.cu has the kernels of one matrix, matmul_wgmma_grouped.cu those of experts' matrices.
 *
 * Two kernels. The first rounds x to bfloat16 into the workspace (packed_rows.cuh), where no kernel before has done so already. Rows
 * behind the last are left as they are: they only reach rows of y that are not stored. Columns behind k are zeros.
 *
 * The product: a block makes parts of y of ROWS × COLUMNS, one after the other. One thread has the copy engine fill a ring of STAGES
 * slices of 64 columns of x and w, and goes on with the next part while the last is finished; the warpgroups behind the first take
 * 64 rows each. Clusters of two blocks are of one of two kinds. SHARERS 2: their parts stand one below the other and need the same
 * part of w; each asks for half of it and for delivery to both. SPLIT 2: both make the same part, the only one of theirs, each from
 * half of k, and then finish half of its columns each. full[s]: one arrival, and bytes of x and w. empty[s]: one arrival a warp that
 * multiplies, of all sharers.
 *
 * GROUPED: rows of y come sorted by expert; an expert's rows begin a tile of their own in the workspace and a part of their own.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_WGMMA_CUH_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_WGMMA_CUH_

#include "backend/cuda/kernels/matmul_groups.cuh"
#include "backend/cuda/kernels/matmul_sums.cuh"
#include "backend/cuda/kernels/wgmma.cuh"

enum { GROUP_THREADS = 128, BAND_ROWS = 2048 };

__device__ __forceinline__ int num_slices(const tn_cuda_args &args) {
    return (int)((args.constants[TN_MATMUL_K] + DEPTH - 1) / DEPTH);
}

/* The workspace's buffer is the one after the output. */
__device__ __forceinline__ uint8_t *packed_rows(const tn_cuda_args &args) {
    bool is_x = (args.constants[TN_MATMUL_PACKED] & TN_MATMUL_X_IS_PACKED) != 0;
    return (uint8_t *)args.buffers[is_x ? 0 : args.constants[TN_MATMUL_OUTPUT] + 1];
}

/* The piece of 8 values of x in bfloat16 at `column`, a multiple of 8; zeros from k on, a multiple of 8 too. */
__device__ __forceinline__ uint4 pack_eight(const float *row, int column, int k) {
    uint4 packed = {0, 0, 0, 0};
    if (column < k) {
        const float4 *x = (const float4 *)(row + column);
        float4 a = x[0], b = x[1];
        packed.x = floats_to_bf16x2(a.x, a.y), packed.y = floats_to_bf16x2(a.z, a.w);
        packed.z = floats_to_bf16x2(b.x, b.y), packed.w = floats_to_bf16x2(b.z, b.w);
    }
    return packed;
}

#if TN_HAS_WGMMA

template <int ROWS_, int COLUMNS_, int STAGES_, int SHARERS_, int SPLIT_, bool GROUPED_ = false> struct shape {
    enum {
        ROWS = ROWS_,
        COLUMNS = COLUMNS_,
        STAGES = STAGES_,
        SHARERS = SHARERS_,
        SPLIT = SPLIT_,
        GROUPED = GROUPED_,
        CLUSTER = SHARERS * SPLIT,
        WARPS = ROWS / 16, /* that multiply */
        X_BYTES = ROWS * DEPTH * 2,
        SLICE_BYTES = X_BYTES + COLUMNS * DEPTH * 2,
    };
};

/* In shared memory. slices: STAGES × (x, w), at a multiple of 1,024. given: of a split, behind them, ROWS × COLUMNS / 2 sums. */
struct slice_ring {
    uint8_t *slices;
    float *given;
    uint64_t *full, *empty;
};

/* The ring's next slice, and the parity of the phase in which it is filled. */
template <int STAGES> struct ring_place {
    int stage = 0;
    uint32_t parity = 0;
    __device__ __forceinline__ void advance() {
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
};

/* Slices [first, end) of k are this block's. */
struct slice_range {
    int first, end;
};
template <typename S> __device__ __forceinline__ slice_range own_slices(const tn_cuda_args &args) {
    int slices = num_slices(args), half = (slices + 1) / 2;
    if constexpr (S::SPLIT == 1) return {0, slices};
    return blockIdx.x % 2 == 0 ? slice_range{0, half} : slice_range{half, slices};
}

/* Parts of y as clusters take them: down a band of rows, then its next columns, so that those of one time share x and w. */
template <typename S, bool GROUPED = S::GROUPED> struct part_walk {
    enum { UNIT = S::ROWS * S::SHARERS, BAND = BAND_ROWS / UNIT };
    int row_units, column_units, part;
    __device__ __forceinline__ part_walk(const tn_cuda_args &args, const row_groups *) {
        row_units = (int)((args.constants[TN_MATMUL_ROWS] + UNIT - 1) / UNIT);
        column_units = (int)((args.constants[TN_MATMUL_N] + S::COLUMNS - 1) / S::COLUMNS);
        part = blockIdx.x / S::CLUSTER;
    }
    __device__ __forceinline__ bool is_there() const { return part < row_units * column_units; }
    __device__ __forceinline__ void advance() { part += gridDim.x / S::CLUSTER; }
    __device__ __forceinline__ int band() const { return part / (BAND * column_units) * BAND; }
    __device__ __forceinline__ int height() const { return row_units - band() < BAND ? row_units - band() : BAND; }
    __device__ __forceinline__ long long row() const {
        int unit = band() + (part - band() * column_units) % height();
        return (long long)unit * UNIT + (S::SHARERS == 1 ? 0 : blockIdx.x % 2 * S::ROWS);
    }
    __device__ __forceinline__ int column() const { return (part - band() * column_units) / height() * S::COLUMNS; }
    __device__ __forceinline__ long long end(const tn_cuda_args &args) const { return args.constants[TN_MATMUL_ROWS]; }
};

/* Of each expert: down its rows, then its next columns. */
template <typename S> struct part_walk<S, true> {
    const tn_cuda_args &args;
    const row_groups *groups;
    int part, group;
    __device__ __forceinline__ part_walk(const tn_cuda_args &all_args, const row_groups *all) : args(all_args) {
        groups = all;
        part = blockIdx.x;
        group = find_group(groups->unit_end, groups->count, part / column_units());
    }
    __device__ __forceinline__ int column_units() const { return ((int)args.constants[TN_MATMUL_N] + S::COLUMNS - 1) / S::COLUMNS; }
    __device__ __forceinline__ bool is_there() const { return group < groups->count; }
    __device__ __forceinline__ void advance() {
        part += gridDim.x;
        group = find_group(groups->unit_end, groups->count, part / column_units());
    }
    __device__ __forceinline__ int before(const int *ends) const { return group > 0 ? ends[group - 1] : 0; }
    __device__ __forceinline__ int height() const { return groups->unit_end[group] - before(groups->unit_end); }
    __device__ __forceinline__ int place() const { return part - before(groups->unit_end) * column_units(); }
    __device__ __forceinline__ int unit() const { return place() % height(); } /* ROWS of the expert's */
    __device__ __forceinline__ int row() const { return groups->start[group] + unit() * S::ROWS; }
    __device__ __forceinline__ int end() const { return groups->start[group + 1]; }
    __device__ __forceinline__ int tile() const { return before(groups->tile_end) + unit() * (S::ROWS / TILE_ROWS); }
    __device__ __forceinline__ int column() const { return place() / height() * S::COLUMNS; }
};

/* What an epilogue adds to each row lies in short pieces far apart: these come to the second-level cache while products run. */
struct added_rows {
    const float *from; /* NULL: none */
    long long width;
    int next, end;
    uint32_t num_bytes;
    __device__ __forceinline__ added_rows(const tn_cuda_args &args, long long row, long long column, int rows, int columns) {
        int count = (int)args.constants[TN_MATMUL_NUM_EPILOGUES];
        long long left = args.constants[TN_MATMUL_ROWS] - row;
        width = args.constants[TN_MATMUL_N];
        from = nullptr, next = 0, end = left < rows ? (int)left : rows;
        num_bytes = 4 * (uint32_t)(width - column < columns ? width - column : columns);
        for (int e = 0; e < count && width % 4 == 0 && column < width && !is_gated(args); e++) {
            int code = (int)args.constants[TN_MATMUL_EPILOGUES + 2 * e];
            if ((code & 255) == TN_MATMUL_ADD) from = (const float *)args.buffers[code >> 16 & 255] + row * width + column;
        }
    }
    __device__ __forceinline__ void fetch(int count) {
        for (int i = 0; i < count && from != nullptr && next < end; i++, next++) fetch_to_l2(from + next * width, num_bytes);
    }
};

template <typename S> __device__ __forceinline__ void fill_ring(const tn_cuda_args &args, const tensor_map *map, const slice_ring &ring) {
    enum { SHARE = S::COLUMNS / S::SHARERS };
    const slice_range own = own_slices<S>(args);
    int slices = num_slices(args), rank = blockIdx.x % 2, share = S::SHARERS == 1 ? 0 : rank * SHARE;
    long long last_tile = (args.constants[TN_MATMUL_ROWS] + TILE_ROWS - 1) / TILE_ROWS;
    ring_place<S::STAGES> place;
    bool has_waited = false;
    for (part_walk<S> walk(args, nullptr); walk.is_there(); walk.advance()) {
        long long row = walk.row(), first_tile = row / TILE_ROWS, num_tiles = last_tile - first_tile;
        int column = walk.column();
        num_tiles = num_tiles > S::ROWS / TILE_ROWS ? S::ROWS / TILE_ROWS : num_tiles < 0 ? 0 : num_tiles;
        const uint8_t *x = packed_rows(args) + first_tile * slices * TILE_BYTES;
        added_rows added(args, row, column + (S::SPLIT == 1 ? 0 : rank * (S::COLUMNS / 2)), S::ROWS, S::COLUMNS / S::SPLIT);
        for (int i = own.first; i < own.end; i++) {
            uint64_t *full = &ring.full[place.stage];
            uint8_t *slice = ring.slices + place.stage * S::SLICE_BYTES, *w = slice + S::X_BYTES + share * (DEPTH * 2);
            barrier_wait(&ring.empty[place.stage], place.parity ^ 1); /* at first it is */
            barrier_arrive_expect(full, (uint32_t)num_tiles * TILE_BYTES + S::SLICE_BYTES - S::X_BYTES);
            if constexpr (S::SHARERS == 1)
                copy_box(w, map, i * DEPTH, column, full);
            else
                copy_box_to(w, map, i * DEPTH, column + share, full, (1 << S::SHARERS) - 1);
            if (!has_waited) { /* weights are on their way; x comes from the kernel before */
                let_next_start();
                wait_for_previous();
                has_waited = true;
            }
            for (int t = 0; t < num_tiles; t++)
                copy_bulk(slice + t * TILE_BYTES, x + ((long long)t * slices + i) * TILE_BYTES, TILE_BYTES, full);
            added.fetch((S::ROWS + own.end - own.first - 1) / (own.end - own.first));
            place.advance();
        }
    }
}

/* Only the rows of x that are there are read. */
template <typename S>
__device__ __forceinline__ void fill_ring_grouped(const tn_cuda_args &args, const tensor_map *map, const slice_ring &ring,
                                                  const row_groups *groups) {
    int slices = num_slices(args), n = (int)args.constants[TN_MATMUL_N];
    ring_place<S::STAGES> place;
    let_next_start();
    for (part_walk<S> walk(args, groups); walk.is_there(); walk.advance()) {
        int left = walk.end() - walk.row(), rows = left < S::ROWS ? left : S::ROWS;
        int w_row = walk.group * n + walk.column(); /* behind the expert's last row: rows of the next, for columns that are not stored */
        const uint8_t *x = packed_rows(args) + (long long)walk.tile() * slices * TILE_BYTES;
#pragma unroll 1
        for (int i = 0; i < slices; i++) { /* not unrolled: the thread has few registers */
            uint64_t *full = &ring.full[place.stage];
            uint8_t *slice = ring.slices + place.stage * S::SLICE_BYTES;
            barrier_wait(&ring.empty[place.stage], place.parity ^ 1); /* at first it is */
            barrier_arrive_expect(full, (uint32_t)(rows * DEPTH * 2 + S::SLICE_BYTES - S::X_BYTES));
            copy_box(slice + S::X_BYTES, map, i * DEPTH, w_row, full);
            for (int row = 0; row < rows; row += TILE_ROWS) {
                uint32_t num_rows = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
                copy_bulk(slice + row * (DEPTH * 2), x + ((long long)(row / TILE_ROWS) * slices + i) * TILE_BYTES, num_rows * DEPTH * 2,
                          full);
            }
            place.advance();
        }
    }
}

/* Its warp's products no longer need the slice. */
template <typename S> __device__ __forceinline__ void release_slice(uint64_t *empty) {
    int lane = threadIdx.x % 32;
    if constexpr (S::SHARERS == 1) {
        if (lane == 0) barrier_arrive(empty);
    } else {
        if (lane < S::SHARERS) barrier_arrive_at(empty, lane);
    }
}

/* Adds the other block's sums of the half of the columns that is this block's: the first with rank 0. */
template <int COUNT> __device__ __forceinline__ void join_split(float *given, const float (&sums)[2 * COUNT], float (&joined)[COUNT]) {
    int threads = blockDim.x - GROUP_THREADS;
    bool is_second = blockIdx.x % 2 == 1;
    float *mine = given + (threadIdx.x - GROUP_THREADS) * 4;
#pragma unroll
    for (int i = 0; i < COUNT; i += 4) {
        float4 other;
        other.x = is_second ? sums[i] : sums[COUNT + i], other.y = is_second ? sums[i + 1] : sums[COUNT + i + 1];
        other.z = is_second ? sums[i + 2] : sums[COUNT + i + 2], other.w = is_second ? sums[i + 3] : sums[COUNT + i + 3];
        *(float4 *)(mine + i * threads) = other;
    }
    sync_cluster();
#pragma unroll
    for (int i = 0; i < COUNT; i += 4) {
        float4 other = load_of_other_block(mine + i * threads, !is_second);
        joined[i] = (is_second ? sums[COUNT + i] : sums[i]) + other.x;
        joined[i + 1] = (is_second ? sums[COUNT + i + 1] : sums[i + 1]) + other.y;
        joined[i + 2] = (is_second ? sums[COUNT + i + 2] : sums[i + 2]) + other.z;
        joined[i + 3] = (is_second ? sums[COUNT + i + 3] : sums[i + 3]) + other.w;
    }
}

template <typename S>
__device__ __forceinline__ void multiply_parts(const tn_cuda_args &args, const slice_ring &ring, const row_groups *groups) {
    int group = threadIdx.x / GROUP_THREADS - 1, lane = threadIdx.x % 32, warp = threadIdx.x % GROUP_THREADS / 32;
    const slice_range own = own_slices<S>(args);
    ring_place<S::STAGES> place;
    wait_for_previous(); /* the epilogue's operands, and y */
    for (part_walk<S> walk(args, groups); walk.is_there(); walk.advance()) {
        float sums[S::COLUMNS / 2];
        uint64_t *empty = nullptr; /* of the slice before */
#pragma unroll
        for (int i = 0; i < S::COLUMNS / 2; i++) sums[i] = 0.0f;
        for (int i = own.first; i < own.end; i++) {
            const uint8_t *slice = ring.slices + place.stage * S::SLICE_BYTES;
            barrier_wait(&ring.full[place.stage], place.parity);
            uint64_t a = matrix_descriptor(slice + group * TILE_BYTES), b = matrix_descriptor(slice + S::X_BYTES);
            hold_sums(sums);
            products_begin();
#pragma unroll
            for (int step = 0; step < DEPTH / 16; step++) warpgroup_product<S::COLUMNS>::add(sums, a + 2 * step, b + 2 * step);
            products_commit();
            hold_sums(sums);
            if (empty != nullptr) {
                products_wait<1>();
                release_slice<S>(empty);
            }
            empty = &ring.empty[place.stage];
            place.advance();
        }
        products_wait<0>();
        hold_sums(sums);
        if (empty != nullptr) release_slice<S>(empty);

        const auto row = walk.row() + group * TILE_ROWS + warp * 16 + lane / 4;
        const decltype(row) column = walk.column() + lane % 4 * 2;
        if constexpr (S::GROUPED) {
            finish_sums<true>(args, sums, row, column, walk.end(), walk.group);
        } else if constexpr (S::SPLIT == 1) {
            finish_sums<false>(args, sums, row, column, walk.end(args), 0);
        } else {
            float joined[S::COLUMNS / 4];
            join_split(ring.given, sums, joined);
            finish_sums<false>(args, joined, row, column + blockIdx.x % 2 * (S::COLUMNS / 2), walk.end(args), 0);
        }
    }
}

/* Shared memory: the ring, from a multiple of 1,024 on; the barriers are static. */
template <typename S> __device__ __forceinline__ void multiply_block(const tn_cuda_args &args, const tensor_map *map) {
    extern __shared__ uint8_t dynamic_shared[];
    __shared__ __align__(8) uint64_t barriers[2 * S::STAGES];
    uint8_t *slices = dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024;
    const row_groups *groups = nullptr;
    if constexpr (S::GROUPED) {
        __shared__ row_groups all;
        wait_for_previous();
        find_groups(args, all, S::ROWS);
        groups = &all;
    }
    slice_ring ring = {slices, (float *)(slices + S::STAGES * S::SLICE_BYTES), barriers, barriers + S::STAGES};
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::STAGES; i++) barrier_init(&ring.full[i], 1), barrier_init(&ring.empty[i], S::WARPS * S::SHARERS);
        barrier_init_done();
    }
    __syncthreads();
    if constexpr (S::SHARERS > 1) sync_cluster(); /* the other's barriers are there */
    if (threadIdx.x < GROUP_THREADS) {
        if constexpr (S::COLUMNS > 128) set_registers_fewer<56>();
        if constexpr (S::GROUPED) {
            if (threadIdx.x == 0) fill_ring_grouped<S>(args, map, ring, groups);
        } else {
            if (threadIdx.x == 0) fill_ring<S>(args, map, ring);
        }
        if constexpr (S::SPLIT > 1) sync_cluster(); /* as in join_split */
    } else {
        if constexpr (S::COLUMNS > 128) set_registers_more<224>();
        multiply_parts<S>(args, ring, groups);
    }
    if constexpr (S::CLUSTER > 1) sync_cluster(); /* a block's shared memory is wanted to the last */
}

#endif
#endif
