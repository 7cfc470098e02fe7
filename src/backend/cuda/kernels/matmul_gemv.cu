/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_gemv.cu: y[r][c] = Σ_k x[r][k] · w[c][k] for few rows r: bound by reading w once.
 *
 * A set of threads_per_row threads takes NUM_WEIGHT_ROWS rows of w at once; its threads split k by 16-byte vectors. A block
 * holds one or more sets and goes on to other rows, gridDim.x sets further. The vectors of the next step are on their way while
 * the present ones are used, and the first before the wait for the kernel that makes x. At the end of a row's k: a butterfly
 * over the warp, then partial sums of the set's warps in shared memory in their order, epilogue.
 * blockIdx.y: which `ROWS` rows of x (grouped: which row).
 *
 * Gated: a set takes NUM_WEIGHT_ROWS / 2 gate rows and the up rows 16 further.
 * The order of a row's sum depends on k, threads_per_row and the weight type alone.
 */
#include "backend/cuda/kernels/matmul.cuh"

enum { NUM_WEIGHT_ROWS = 4, MAX_WARPS = 8 };
enum { FETCHED = 8 << 10 /* bytes a block: 4 MB in all. More delays what the kernels before still read */ };

/* Sums each of N values over the warp: lane l returns the sum of value l / (32 / N). N is a power of two up to 32. */
template <int N, int OFFSET = 16> __device__ __forceinline__ float warp_sums(float (&values)[N]) {
    if constexpr (N > 1) {
        bool is_upper = (threadIdx.x & OFFSET) != 0;
        float half[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            float kept = is_upper ? values[i + N / 2] : values[i], sent = is_upper ? values[i] : values[i + N / 2];
            half[i] = kept + __shfl_xor_sync(0xffffffffu, sent, OFFSET);
        }
        return warp_sums<N / 2, OFFSET / 2>(half);
    } else {
        float sum = values[0];
#pragma unroll
        for (int offset = OFFSET; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        return sum;
    }
}

/* The rows of a step: vectors and scales. */
struct step_weights {
    uint4 data[NUM_WEIGHT_ROWS];
    uint32_t scale[NUM_WEIGHT_ROWS];
};

struct gemv_shape {
    int num_rows;                                   /* of w */
    int num_vectors, num_chunks;                    /* along k; a chunk is one vector a thread */
    int threads, set, num_sets, lane, num_granules; /* a granule: what the sets of a block take at once */
    bool gated;
};

/* Row i of a set in a granule. Behind the end: the last row, which is read and not stored. */
__device__ __forceinline__ int weight_row(const gemv_shape &s, int granule, int set, int i) {
    int slot = granule * s.num_sets + set, row;
    if (s.gated)
        row = (int)gate_row(slot * (NUM_WEIGHT_ROWS / 2) + i % (NUM_WEIGHT_ROWS / 2)) + i / (NUM_WEIGHT_ROWS / 2) * TN_MATMUL_STRIP;
    else
        row = slot * NUM_WEIGHT_ROWS + i;
    return row < s.num_rows ? row : s.num_rows - 1;
}

template <typename W>
__device__ __forceinline__ void load_step(step_weights &w, const weight_place &place, const gemv_shape &s, int granule, int chunk) {
    int vector = chunk * s.threads + s.lane;
    if (granule >= s.num_granules || vector >= s.num_vectors) return;
#pragma unroll
    for (int i = 0; i < NUM_WEIGHT_ROWS; i++) {
        long long row = weight_row(s, granule, s.set, i);
        w.data[i] = load_once(place.data + row * place.row_bytes + vector * 16ll);
        w.scale[i] = W::scale(place.scales + row * place.scale_row_bytes, vector);
    }
}

/* Rows of the weight are on their way to the second-level cache while the kernels before are at work: of each set, the first
 * thread of row i asks for what follows the first step in the row, then for rows of the next granules, FETCHED bytes in all. */
__device__ __forceinline__ void fetch_ahead(const weight_place &place, const gemv_shape &s) {
    int set = threadIdx.x / NUM_WEIGHT_ROWS, i = threadIdx.x % NUM_WEIGHT_ROWS;
    long long left = FETCHED / (s.num_sets * NUM_WEIGHT_ROWS), first = s.threads * 16ll;
    for (int granule = blockIdx.x; granule < s.num_granules && left > 0; granule += gridDim.x) {
        const uint8_t *row = place.data + (long long)weight_row(s, granule, set, i) * place.row_bytes;
        long long bytes = place.row_bytes - first < left ? place.row_bytes - first : left;
        if (bytes > 0) {
            fetch_to_l2(row + first, (uint32_t)bytes);
            left -= bytes;
        }
        first = 0;
    }
}

/* sums[row of w][row of x] += over the thread's vector. */
template <typename W, int ROWS>
__device__ __forceinline__ void add_products(float (&sums)[NUM_WEIGHT_ROWS][ROWS], float (&totals)[ROWS], const step_weights &w,
                                             const float *x, const int (&x_offset)[ROWS]) {
#pragma unroll
    for (int piece = 0; piece < W::VALUES / 4; piece++) {
        float values[NUM_WEIGHT_ROWS][4];
#pragma unroll
        for (int i = 0; i < NUM_WEIGHT_ROWS; i++) W::decode4(w.data[i], piece, values[i]);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float4 a = *(const float4 *)(x + x_offset[r] + 4 * piece);
            if (W::HAS_MINIMUM) totals[r] += a.x + a.y + a.z + a.w;
#pragma unroll
            for (int i = 0; i < NUM_WEIGHT_ROWS; i++) {
                float sum = fmaf(a.x, values[i][0], sums[i][r]);
                sum = fmaf(a.y, values[i][1], sum);
                sum = fmaf(a.z, values[i][2], sum);
                sums[i][r] = fmaf(a.w, values[i][3], sum);
            }
        }
    }
}

template <typename W, int ROWS>
__device__ __forceinline__ void add_step(float (&sums)[NUM_WEIGHT_ROWS][ROWS], const step_weights &w, const float *x,
                                         const int (&x_offset)[ROWS]) {
    float totals[ROWS] = {};
    if constexpr (!W::IS_SCALED) {
        add_products<W, ROWS>(sums, totals, w, x, x_offset);
    } else {
        float products[NUM_WEIGHT_ROWS][ROWS] = {};
        add_products<W, ROWS>(products, totals, w, x, x_offset);
#pragma unroll
        for (int i = 0; i < NUM_WEIGHT_ROWS; i++) {
            float2 scale = f16x2_to_floats(w.scale[i]);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                sums[i][r] = fmaf(scale.x, products[i][r], sums[i][r]);
                if (W::HAS_MINIMUM) sums[i][r] = fmaf(scale.y, totals[r], sums[i][r]);
            }
        }
    }
}

/* partial: [MAX_WARPS][N], value i · ROWS + r of a set's row i and x's row r. first_row, group: of x and y. */
template <int ROWS>
__device__ __forceinline__ void store_sums(const tn_cuda_args &args, const gemv_shape &s, float (&sums)[NUM_WEIGHT_ROWS][ROWS],
                                           float *partial, int granule, long long first_row, int num_rows, long long group) {
    enum { N = NUM_WEIGHT_ROWS * ROWS };
    float values[N];
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = sums[i / ROWS][i % ROWS];
    float sum = warp_sums<N>(values);
    int lane = threadIdx.x % 32, warps_per_set = s.threads / 32;
    if (lane % (32 / N) == 0) partial[threadIdx.x / 32 * N + lane / (32 / N)] = sum;
    __syncthreads();
    int per_set = s.gated ? N / 2 : N;
    for (int at = threadIdx.x; at < s.num_sets * per_set; at += blockDim.x) {
        int set = at / per_set, i = at % per_set / ROWS, r = at % ROWS;
        int slot = granule * s.num_sets + set;
        const float *first = partial + set * warps_per_set * N + i * ROWS + r;
        float value = 0.0f, up = 0.0f;
        for (int w = 0; w < warps_per_set; w++) value += first[w * N];
        for (int w = 0; w < warps_per_set && s.gated; w++) up += first[w * N + N / 2];
        long long column = s.gated ? gate_row(slot * (NUM_WEIGHT_ROWS / 2) + i) : slot * NUM_WEIGHT_ROWS + i;
        if (column < s.num_rows && r < num_rows) finish(args, first_row + r, column, group, value, up);
    }
}

template <typename W, int ROWS, bool GROUPED> __device__ __forceinline__ void multiply_few_rows(const tn_cuda_args &args) {
    __shared__ float partial[2][MAX_WARPS * NUM_WEIGHT_ROWS * ROWS];
    gemv_shape s;
    int k = (int)args.constants[TN_MATMUL_K];
    s.num_rows = (int)args.constants[TN_MATMUL_N];
    s.gated = is_gated(args);
    s.threads = (int)args.constants[TN_MATMUL_THREADS];
    s.lane = threadIdx.x % s.threads, s.set = threadIdx.x / s.threads, s.num_sets = blockDim.x / s.threads;
    s.num_vectors = k / W::VALUES;
    s.num_chunks = (s.num_vectors + s.threads - 1) / s.threads;
    s.num_granules = (s.num_rows + s.num_sets * NUM_WEIGHT_ROWS - 1) / (s.num_sets * NUM_WEIGHT_ROWS);
    weight_place place = place_weight<W>(args);
    long long first_row = (long long)blockIdx.y * ROWS, group = 0, x_row = first_row;
    int num_rows = (int)(args.constants[TN_MATMUL_ROWS] - first_row < ROWS ? args.constants[TN_MATMUL_ROWS] - first_row : ROWS);

    if constexpr (GROUPED) {
        wait_for_previous();
        group = group_of_row(args, (const int *)args.buffers[2], first_row);
        x_row = grouped_x_row(args, first_row);
        place.data += group * s.num_rows * place.row_bytes;
        place.scales += group * s.num_rows * place.scale_row_bytes;
    }
    step_weights now = {}, next = {};
    int granule = blockIdx.x, chunk = 0, parity = 0;
    load_step<W>(now, place, s, granule, chunk);
    if constexpr (GROUPED) {
        let_next_start();
    } else {
        if (threadIdx.x < s.num_sets * NUM_WEIGHT_ROWS) fetch_ahead(place, s);
        let_next_start();
        wait_for_previous();
    }

    const float *x = (const float *)args.buffers[0] + x_row * k;
    int x_offset[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) x_offset[r] = (r < num_rows ? r : num_rows - 1) * k;
    float sums[NUM_WEIGHT_ROWS][ROWS] = {};
    while (granule < s.num_granules) {
        bool is_last = chunk + 1 == s.num_chunks;
        int next_granule = is_last ? granule + (int)gridDim.x : granule, next_chunk = is_last ? 0 : chunk + 1;
        load_step<W>(next, place, s, next_granule, next_chunk);
        int vector = chunk * s.threads + s.lane;
        if (vector < s.num_vectors) add_step<W, ROWS>(sums, now, x + vector * W::VALUES, x_offset);
        if (is_last) {
            store_sums<ROWS>(args, s, sums, partial[parity], granule, first_row, num_rows, group);
            parity ^= 1; /* the next granule's partial sums: this one's may still be read */
#pragma unroll
            for (int i = 0; i < NUM_WEIGHT_ROWS * ROWS; i++) sums[i / ROWS][i % ROWS] = 0.0f;
        }
        now = next;
        granule = next_granule, chunk = next_chunk;
    }
}

/* Any k, rows at any address: a warp takes one column of y (with a gate two rows of w), a lane every 32nd value. */
template <typename W, bool GROUPED> __device__ __forceinline__ void multiply_any(const tn_cuda_args &args) {
    typedef typename W::element element;
    long long n = args.constants[TN_MATMUL_N], k = args.constants[TN_MATMUL_K];
    bool gated = is_gated(args);
    long long column = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (gated) column = gate_row(column);
    let_next_start();
    wait_for_previous();
    if (column >= n) return;
    for (long long row = blockIdx.y; row < args.constants[TN_MATMUL_ROWS]; row += gridDim.y) {
        long long x_row = row, group = 0;
        if constexpr (GROUPED) {
            group = group_of_row(args, (const int *)args.buffers[2], row);
            x_row = grouped_x_row(args, row);
        }
        const float *x = (const float *)args.buffers[0] + x_row * k;
        const element *w = (const element *)args.buffers[1] + (group * n + column) * k;
        float value = 0.0f, up = 0.0f;
        for (long long i = threadIdx.x % 32; i < k; i += 32) {
            value = fmaf(x[i], to_float(w[i]), value);
            if (gated) up = fmaf(x[i], to_float(w[TN_MATMUL_STRIP * k + i]), up);
        }
        value = warp_sum(value);
        if (gated) up = warp_sum(up);
        if (threadIdx.x % 32 == 0) finish(args, row, column, group, value, up);
    }
}

#define GEMV(name, weight, rows, grouped, min_blocks)                                                               \
    extern "C" __global__ void __launch_bounds__(256, min_blocks) name(const __grid_constant__ tn_cuda_args args) { \
        multiply_few_rows<weight, rows, grouped>(args);                                                             \
    }
/* The last numbers: blocks of 256 threads that a multiprocessor shall hold with 1, 2, 4 and 8 rows; gemv_blocks of the tactic. */
#define GEMVS(type, blocks_1, blocks_2, blocks_4, blocks_8)  \
    GEMV(gemv_##type##_1, weight_##type, 1, false, blocks_1) \
    GEMV(gemv_##type##_2, weight_##type, 2, false, blocks_2) \
    GEMV(gemv_##type##_4, weight_##type, 4, false, blocks_4) \
    GEMV(gemv_##type##_8, weight_##type, 8, false, blocks_8) \
    GEMV(grouped_gemv_##type, weight_##type, 1, true, blocks_1)
GEMVS(f32, 4, 3, 2, 2)
GEMVS(bf16, 4, 3, 2, 2)
GEMVS(f16, 4, 3, 2, 2)
GEMVS(q4_0, 3, 2, 1, 1)
GEMVS(q4_1, 3, 2, 1, 1)
GEMVS(q8_0, 3, 2, 1, 1)

#define ANY(type)                                 \
    TN_KERNEL(any_##type, 256) {                  \
        multiply_any<weight_##type, false>(args); \
    }                                             \
    TN_KERNEL(grouped_any_##type, 256) {          \
        multiply_any<weight_##type, true>(args);  \
    }
ANY(f32)
ANY(bf16)
ANY(f16)
