/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_wgmma.cu: y = x · wᵀ of many rows with bfloat16 weights on compute capability 9.0: products of warpgroups (wgmma).
 *
 * Two kernels. pack_rows rounds x to bfloat16 into the workspace: tiles of 64 rows × 64 columns, 8 KB each, in the form that
 * the products read from shared memory (wgmma.cuh). Tile (i, j) is number i · ⌈k / 64⌉ + j. Rows behind the last are left as
 * they are: they only reach rows of y that are not stored. Columns behind k are zeros.
 *
 * The product: a block makes ROWS × COLUMNS of y. One thread of warpgroup 0 has the copy engine fill a ring of STAGES slices of 64
 * columns of x and w; the other warpgroups take 64 rows each. SPLIT 2: the two blocks of a cluster make the same part of y, each
 * from half of k, and then finish half of its columns each. full[s]: one arrival, and bytes of x and w. empty[s]: one arrival a warp
 * that multiplies.
 */
#include "backend/cuda/kernels/matmul_tile.cuh"
#include "backend/cuda/kernels/wgmma.cuh"

enum { DEPTH = 64, TILE_ROWS = 64, TILE_BYTES = TILE_ROWS * DEPTH * 2, GROUP_THREADS = 128 };

/* Bytes from a slice's start to 16-byte piece `piece` of row `row`. */
__device__ __forceinline__ int piece_offset(int row, int piece) {
    return row * (DEPTH * 2) + (piece ^ row % 8) * 16;
}

__device__ __forceinline__ int num_slices(const tn_cuda_args &args) {
    return (int)((args.constants[TN_MATMUL_K] + DEPTH - 1) / DEPTH);
}

/* x comes behind the operands: the workspace's buffer is the one after the output. */
__device__ __forceinline__ uint8_t *packed_rows(const tn_cuda_args &args) {
    return (uint8_t *)args.buffers[args.constants[TN_MATMUL_OUTPUT] + 1];
}

/* A thread packs 8 values: piece threadIdx.x % 8 of slice blockIdx.x, rows of tile blockIdx.y. */
TN_KERNEL(pack_rows, 512) {
    int k = (int)args.constants[TN_MATMUL_K], piece = threadIdx.x % 8, in_tile = threadIdx.x / 8;
    long long row = (long long)blockIdx.y * TILE_ROWS + in_tile;
    int column = blockIdx.x * DEPTH + 8 * piece;
    let_next_start();
    wait_for_previous();
    if (row >= args.constants[TN_MATMUL_ROWS]) return;
    uint4 packed = {0, 0, 0, 0};
    if (column < k) { /* k is a multiple of 8 */
        const float4 *x = (const float4 *)((const float *)args.buffers[0] + row * k + column);
        float4 a = x[0], b = x[1];
        packed.x = floats_to_bf16x2(a.x, a.y), packed.y = floats_to_bf16x2(a.z, a.w);
        packed.z = floats_to_bf16x2(b.x, b.y), packed.w = floats_to_bf16x2(b.z, b.w);
    }
    uint8_t *tile = packed_rows(args) + ((long long)blockIdx.y * gridDim.x + blockIdx.x) * TILE_BYTES;
    *(uint4 *)(tile + piece_offset(in_tile, piece)) = packed;
}

template <int ROWS, int COLUMNS, int STAGES, int SPLIT> struct slice_ring {
    enum { X_BYTES = ROWS * DEPTH * 2, W_BYTES = COLUMNS * DEPTH * 2, BYTES = X_BYTES + W_BYTES };
    uint8_t *slices; /* STAGES × (x, w), at a multiple of 1,024 */
    uint64_t *full, *empty;
};

#if TN_HAS_WGMMA

/* Slices [first, end) of k are this block's. */
struct slice_range {
    int first, end;
};
template <int SPLIT> __device__ __forceinline__ slice_range own_slices(const tn_cuda_args &args) {
    int slices = num_slices(args), half = (slices + 1) / 2;
    if constexpr (SPLIT == 1) return {0, slices};
    return blockIdx.x % 2 == 0 ? slice_range{0, half} : slice_range{half, slices};
}

template <int ROWS, int COLUMNS, int STAGES, int SPLIT>
__device__ __forceinline__ void fill_ring(const tn_cuda_args &args, const tensor_map *map,
                                          const slice_ring<ROWS, COLUMNS, STAGES, SPLIT> &ring) {
    typedef slice_ring<ROWS, COLUMNS, STAGES, SPLIT> R;
    int slices = num_slices(args);
    const slice_range own = own_slices<SPLIT>(args);
    long long first_tile = (long long)(blockIdx.x / SPLIT) * (ROWS / TILE_ROWS);
    long long num_tiles = (args.constants[TN_MATMUL_ROWS] + TILE_ROWS - 1) / TILE_ROWS - first_tile;
    num_tiles = num_tiles > ROWS / TILE_ROWS ? ROWS / TILE_ROWS : num_tiles < 0 ? 0 : num_tiles;
    const uint8_t *x = packed_rows(args) + (first_tile * slices + own.first) * TILE_BYTES;

    for (int i = 0; i < own.end - own.first; i++) {
        int stage = i % STAGES;
        if (i >= STAGES) barrier_wait(&ring.empty[stage], (i / STAGES - 1) & 1);
        uint8_t *slice = ring.slices + stage * R::BYTES;
        barrier_arrive_expect(&ring.full[stage], (uint32_t)num_tiles * TILE_BYTES + R::W_BYTES);
        copy_box(slice + R::X_BYTES, map, (own.first + i) * DEPTH, blockIdx.y * COLUMNS, &ring.full[stage]);
        if (i == 0) { /* weights are on their way; x comes from the kernel before */
            let_next_start();
            wait_for_previous();
        }
        for (int t = 0; t < num_tiles; t++)
            copy_bulk(slice + t * TILE_BYTES, x + ((long long)t * slices + i) * TILE_BYTES, TILE_BYTES, &ring.full[stage]);
    }
}

/* 16 × WIDTH sums of a warp: those in the same place of the cluster's other block are added. */
template <int WIDTH> __device__ __forceinline__ void add_other_block(float *part, int stride) {
    enum { VECTORS = WIDTH / 4, COUNT = 16 * VECTORS / 32 };
    float4 other[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        int v = threadIdx.x % 32 + 32 * i;
        other[i] = load_of_other_block(part + v / VECTORS * stride + v % VECTORS * 4, (blockIdx.x + 1) % 2);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        int v = threadIdx.x % 32 + 32 * i;
        float4 *to = (float4 *)(part + v / VECTORS * stride + v % VECTORS * 4);
        *to = make_float4(to->x + other[i].x, to->y + other[i].y, to->z + other[i].z, to->w + other[i].w);
    }
}

/* What epilogues add to this block lies in short rows far apart, slow to read: it comes to the second-level cache while products
 * run. By the three warps that have nothing else to do. */
template <int ROWS, int COLUMNS, int SPLIT> __device__ __forceinline__ void fetch_added(const tn_cuda_args &args) {
    long long n = args.constants[TN_MATMUL_N], column = (long long)blockIdx.y * COLUMNS, first = (long long)(blockIdx.x / SPLIT) * ROWS;
    long long bytes = 4 * (n - column < COLUMNS ? n - column : COLUMNS);
    int count = (int)args.constants[TN_MATMUL_NUM_EPILOGUES];
    if (n % 4 != 0 || is_gated(args)) return;
    for (int e = 0; e < count; e++) {
        int code = (int)args.constants[TN_MATMUL_EPILOGUES + 2 * e];
        const float *operand = (const float *)args.buffers[code >> 16 & 255];
        if ((code & 255) != TN_MATMUL_ADD) continue;
        for (long long r = first + threadIdx.x - 32; r < first + ROWS && r < args.constants[TN_MATMUL_ROWS]; r += GROUP_THREADS - 32)
            fetch_bulk(operand + r * n + column, (uint32_t)bytes);
    }
}

template <int ROWS, int COLUMNS, int STAGES, int SPLIT>
__device__ __forceinline__ void multiply_ring(const tn_cuda_args &args, const slice_ring<ROWS, COLUMNS, STAGES, SPLIT> &ring) {
    typedef slice_ring<ROWS, COLUMNS, STAGES, SPLIT> R;
    enum { STRIDE = COLUMNS + 8 };
    static_assert(ROWS * STRIDE * 4 <= STAGES * R::BYTES, "the sums take the place of the slices");
    int group = threadIdx.x / GROUP_THREADS - 1, lane = threadIdx.x % 32, warp = threadIdx.x % GROUP_THREADS / 32;
    const slice_range own = own_slices<SPLIT>(args);
    int slices = own.end - own.first;
    float sums[COLUMNS / 2];
    wait_for_previous(); /* the epilogue's operands, and y */
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) sums[i] = 0.0f;
    for (int i = 0; i < slices; i++) {
        int stage = i % STAGES;
        const uint8_t *slice = ring.slices + stage * R::BYTES;
        barrier_wait(&ring.full[stage], i / STAGES & 1);
        uint64_t a = matrix_descriptor(slice + group * TILE_BYTES), b = matrix_descriptor(slice + R::X_BYTES);
        hold_sums(sums);
        products_begin();
#pragma unroll
        for (int step = 0; step < DEPTH / 16; step++) warpgroup_product<COLUMNS>::add(sums, a + 2 * step, b + 2 * step);
        products_commit();
        hold_sums(sums);
        if (i == 0) continue;
        products_wait<1>(); /* those of the slice before: it may be filled again */
        if (lane == 0) barrier_arrive(&ring.empty[(i - 1) % STAGES]);
    }
    products_wait<0>();
    hold_sums(sums);

    /* All sums to shared memory, where no slice is wanted any more, then through the epilogue 16 × 32 at a time. */
    sync_threads<ROWS / TILE_ROWS * GROUP_THREADS>();
    long long row = (long long)(blockIdx.x / SPLIT) * ROWS + group * TILE_ROWS + warp * 16;
    long long rows_left = args.constants[TN_MATMUL_ROWS] - row;
    float *part = (float *)ring.slices + (group * 4 + warp) * (16 * STRIDE);
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j++) {
        float *to = part + lane / 4 * STRIDE + 8 * j + lane % 4 * 2;
        *(float2 *)to = make_float2(sums[4 * j], sums[4 * j + 1]);
        *(float2 *)(to + 8 * STRIDE) = make_float2(sums[4 * j + 2], sums[4 * j + 3]);
    }
    int first = 0, end = COLUMNS;
    if constexpr (SPLIT == 2) {
        first = blockIdx.x % 2 * (COLUMNS / 2), end = first + COLUMNS / 2;
        cluster_arrive(), cluster_wait();
        add_other_block<COLUMNS / 2>(part + first, STRIDE);
    }
    for (int c = first; c < end; c += 32)
        finish_part(args, part + c, STRIDE, row, (long long)blockIdx.y * COLUMNS + c, rows_left < 16 ? (int)rows_left : 16, 0);
}

/* Shared memory: the ring, from a multiple of 1,024 on; the barriers are static. */
template <int ROWS, int COLUMNS, int STAGES, int SPLIT>
__device__ __forceinline__ void multiply_block(const tn_cuda_args &args, const tensor_map *map) {
    extern __shared__ uint8_t dynamic_shared[];
    enum { GROUPS = ROWS / TILE_ROWS };
    __shared__ __align__(8) uint64_t barriers[2 * STAGES];
    slice_ring<ROWS, COLUMNS, STAGES, SPLIT> ring;
    ring.slices = dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024;
    ring.full = barriers, ring.empty = barriers + STAGES;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) barrier_init(&ring.full[i], 1), barrier_init(&ring.empty[i], GROUPS * 4);
        barrier_init_done();
    }
    __syncthreads();
    if (threadIdx.x < GROUP_THREADS) {
        if constexpr (COLUMNS == 256) set_registers_fewer<56>();
        if (threadIdx.x == 0) fill_ring(args, map, ring);
        if (threadIdx.x >= 32) {
            wait_for_previous();
            fetch_added<ROWS, COLUMNS, SPLIT>(args);
        }
        if constexpr (SPLIT > 1) cluster_arrive(), cluster_wait(); /* the sums are there */
    } else {
        if constexpr (COLUMNS == 256) set_registers_more<224>();
        multiply_ring(args, ring);
    }
    if constexpr (SPLIT > 1) cluster_arrive(), cluster_wait(); /* the other block reads this one's sums */
}

#define WGMMA(name, rows, columns, stages, split)                                                         \
    extern "C" __global__ void __launch_bounds__(128 + 2 * (rows), 1) __cluster_dims__(split, 1, 1)       \
        wgmma_##name(const __grid_constant__ tn_cuda_args args, const __grid_constant__ tensor_map map) { \
        multiply_block<rows, columns, stages, split>(args, &map);                                         \
    }
#else
#define WGMMA(name, rows, columns, stages, split) \
    TN_KERNEL(wgmma_##name, 128) {}
#endif
/* Rows, columns, stages, split: `blocks` of tactics/matmul.c has the same numbers. */
WGMMA(64x64, 64, 64, 12, 1)
WGMMA(128x64, 128, 64, 8, 1)
WGMMA(128x128, 128, 128, 6, 1)
WGMMA(128x256, 128, 256, 4, 1)
WGMMA(64x64_split, 64, 64, 12, 2)
WGMMA(128x128_split, 128, 128, 6, 2)
