/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.cuh: what the kernels of matrix products share: how a weight is read, and what happens to a sum before it is stored.
 *
 * A weight type is a struct:
 *     VALUES        values in one 16-byte vector
 *     IS_SCALED     a vector's values share a scale, which multiplies their sum
 *     HAS_MINIMUM   and a minimum, which multiplies the sum of the activations
 *     scale         of a vector as loaded, as raw bits
 *     decode4       values 4p … 4p+3 of a vector, before the scale
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_CUH_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_CUH_

#include "backend/cuda/kernels/activation.cuh"
#include "backend/cuda/kernels/instructions.cuh"
#include "backend/cuda/kernels/matmul_args.h"
#include "backend/cuda/layout_planes.h"

__device__ __forceinline__ uint32_t word_of(const uint4 &v, int index) {
    return index == 0 ? v.x : index == 1 ? v.y : index == 2 ? v.z : v.w;
}

__device__ __forceinline__ uint32_t load_once_16(const void *address) {
    return *(const uint16_t *)address;
}

/* --- weights ------------------------------------------------------------------------------------------------------------ */

struct weight_f32 {
    typedef float element;
    enum { VALUES = 4, IS_SCALED = 0, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ uint32_t scale(const uint8_t *, int) { return 0; }
    static __device__ __forceinline__ void decode4(const uint4 &v, int, float (&y)[4]) {
        y[0] = __uint_as_float(v.x), y[1] = __uint_as_float(v.y), y[2] = __uint_as_float(v.z), y[3] = __uint_as_float(v.w);
    }
};

struct weight_bf16 {
    typedef bf16 element;
    enum { VALUES = 8, IS_SCALED = 0, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ uint32_t scale(const uint8_t *, int) { return 0; }
    static __device__ __forceinline__ void decode4(const uint4 &v, int piece, float (&y)[4]) {
        uint32_t a = word_of(v, 2 * piece), b = word_of(v, 2 * piece + 1);
        y[0] = bf16_low(a), y[1] = bf16_high(a), y[2] = bf16_low(b), y[3] = bf16_high(b);
    }
};

struct weight_f16 {
    typedef f16 element;
    enum { VALUES = 8, IS_SCALED = 0, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ uint32_t scale(const uint8_t *, int) { return 0; }
    static __device__ __forceinline__ void decode4(const uint4 &v, int piece, float (&y)[4]) {
        float2 a = f16x2_to_floats(word_of(v, 2 * piece)), b = f16x2_to_floats(word_of(v, 2 * piece + 1));
        y[0] = a.x, y[1] = a.y, y[2] = b.x, y[3] = b.y;
    }
};

/* A pair of four-bit quants as 1024 + q in float16, less `zero` (1024 + what q stands for 0). */
__device__ __forceinline__ float2 decode_nibbles(uint32_t word, int pair, uint32_t zero) {
    return f16x2_to_floats(subtract_f16x2((word >> (4 * pair) & 0x000f000fu) | 0x64006400u, zero));
}

struct weight_q4_0 {
    enum { VALUES = 32, IS_SCALED = 1, HAS_MINIMUM = 0, PLANES = TN_PLANES_Q4_0 };
    static __device__ __forceinline__ uint32_t scale(const uint8_t *row, int vector) { return load_once_16(row + 2 * vector); }
    static __device__ __forceinline__ void decode4(const uint4 &v, int piece, float (&y)[4]) {
        uint32_t word = word_of(v, piece / 2);
        float2 a = decode_nibbles(word, piece % 2 * 2, 0x64086408u), b = decode_nibbles(word, piece % 2 * 2 + 1, 0x64086408u);
        y[0] = a.x, y[1] = a.y, y[2] = b.x, y[3] = b.y;
    }
};

struct weight_q4_1 {
    enum { VALUES = 32, IS_SCALED = 1, HAS_MINIMUM = 1, PLANES = TN_PLANES_Q4_1 };
    static __device__ __forceinline__ uint32_t scale(const uint8_t *row, int vector) { return *(const uint32_t *)(row + 4 * vector); }
    static __device__ __forceinline__ void decode4(const uint4 &v, int piece, float (&y)[4]) {
        uint32_t word = word_of(v, piece / 2);
        float2 a = decode_nibbles(word, piece % 2 * 2, 0x64006400u), b = decode_nibbles(word, piece % 2 * 2 + 1, 0x64006400u);
        y[0] = a.x, y[1] = a.y, y[2] = b.x, y[3] = b.y;
    }
};

/* A byte in the low bits of 2^23's float: exact after the subtraction. */
__device__ __forceinline__ float decode_byte(uint32_t word, int byte) {
    return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7440u + byte)) - 8388736.0f; /* 2^23 + 128 */
}

struct weight_q8_0 {
    enum { VALUES = 16, IS_SCALED = 1, HAS_MINIMUM = 0, PLANES = TN_PLANES_Q8_0 };
    static __device__ __forceinline__ uint32_t scale(const uint8_t *row, int vector) { return load_once_16(row + vector / 2 * 2); }
    static __device__ __forceinline__ void decode4(const uint4 &v, int piece, float (&y)[4]) {
        uint32_t word = word_of(v, piece);
        y[0] = decode_byte(word, 0), y[1] = decode_byte(word, 1), y[2] = decode_byte(word, 2), y[3] = decode_byte(word, 3);
    }
};

/* Where a weight of `rows` rows stands: quants (or values) and scales, and the step from row to row, in bytes. */
struct weight_place {
    const uint8_t *data, *scales;
    long long row_bytes, scale_row_bytes;
};

template <typename W> __device__ __forceinline__ weight_place place_weight(const tn_cuda_args &args) {
    weight_place place;
    long long k = args.constants[TN_MATMUL_K];
    place.data = (const uint8_t *)args.buffers[1];
    place.row_bytes = k / W::VALUES * 16;
    place.scales = place.data;
    place.scale_row_bytes = 0;
    if constexpr (W::IS_SCALED) {
        place.scales += tn_planes_scale_plane((tn_planes_type)W::PLANES, args.constants[TN_MATMUL_WEIGHT_ROWS], k);
        place.scale_row_bytes = k / TN_PLANES_BLOCK * tn_planes_scale_bytes((tn_planes_type)W::PLANES);
    }
    return place;
}

/* --- epilogues ----------------------------------------------------------------------------------------------------------- */

__device__ __forceinline__ bool is_gated(const tn_cuda_args &args) {
    return args.constants[TN_MATMUL_NUM_EPILOGUES] >= 16;
}

/* Row of the weight that gives column c of a gated output; its up row stands one strip behind. */
__device__ __forceinline__ long long gate_row(long long c) {
    return c / TN_MATMUL_STRIP * (2 * TN_MATMUL_STRIP) + c % TN_MATMUL_STRIP;
}

/* Applies the epilogues in their order and stores. `column` is the weight's row of `value`; with a gate, of the gate's sum, and
 * `up` is that of column + 16. `group`: the expert. */
__device__ __forceinline__ void finish(const tn_cuda_args &args, long long row, long long column, long long group, float value, float up) {
    long long width = args.constants[TN_MATMUL_N];
    int count = (int)args.constants[TN_MATMUL_NUM_EPILOGUES] & 15;
    bool has_up = is_gated(args);
    for (int e = 0; e < count; e++) {
        int code = (int)args.constants[TN_MATMUL_EPILOGUES + 2 * e];
        int activation = code >> 8 & 255;
        const float *operand = (const float *)args.buffers[code >> 16 & 255];
        float real = (float)constant_real(args, TN_MATMUL_EPILOGUES + 2 * e + 1);
        switch (code & 255) {
        case TN_MATMUL_BIAS: operand += code >> 24 != 0 ? group * width : 0; /* fall through: a row of its own or everybody's */
        case TN_MATMUL_ADD:
            if ((code & 255) == TN_MATMUL_ADD) operand += row * width;
            value += operand[column];
            if (has_up) up += operand[column + TN_MATMUL_STRIP];
            break;
        case TN_MATMUL_ACTIVATION: value = activate(activation, value), up = activate(activation, up); break;
        case TN_MATMUL_GATE:
            value = activate(activation, value) * up;
            column = column / (2 * TN_MATMUL_STRIP) * TN_MATMUL_STRIP + column % TN_MATMUL_STRIP;
            width /= 2;
            has_up = false;
            break;
        case TN_MATMUL_SCALE: value *= real, up *= real; break;
        default: value = real * tanhf(value / real), up = real * tanhf(up / real); break;
        }
    }
    ((float *)args.buffers[args.constants[TN_MATMUL_OUTPUT]])[row * width + column] = value;
}

/* The same for 16 × 32 sums in shared memory, rows of `stride` floats, by one warp: rows row … row + num_rows of y, columns from
 * `column` on, a multiple of 32. A function of its own: many copies of the activations would cost minutes to compile. */
static __device__ __noinline__ void finish_part(const tn_cuda_args &args, float *part, int stride, long long row, long long column,
                                                int num_rows, long long group) {
    int lane = threadIdx.x % 32, count = (int)args.constants[TN_MATMUL_NUM_EPILOGUES] & 15;
    long long width = args.constants[TN_MATMUL_N];
    int c = lane, first = 0, step = 1; /* this lane's: column c, rows first, first + step … */
    __syncwarp();
    for (int e = 0; e < count; e++) {
        int code = (int)args.constants[TN_MATMUL_EPILOGUES + 2 * e];
        int activation = code >> 8 & 255;
        const float *operand = (const float *)args.buffers[code >> 16 & 255] + column + c;
        float real = (float)constant_real(args, TN_MATMUL_EPILOGUES + 2 * e + 1);
        bool is_there = column + c < width;
        switch (code & 255) {
        case TN_MATMUL_BIAS: {
            float bias = is_there ? operand[code >> 24 != 0 ? group * width : 0] : 0.0f;
            for (int r = first; r < num_rows; r += step) part[r * stride + c] += bias;
            break;
        }
        case TN_MATMUL_ADD: { /* all 16 on the way at a time: they come from far */ float added[16];
#pragma unroll
            for (int i = 0; i < 16; i++) {
                int r = first + i * step;
                added[i] = is_there && r < num_rows ? operand[(row + r) * width] : 0.0f;
            }
#pragma unroll
            for (int i = 0; i < 16; i++)
                if (first + i * step < num_rows) part[(first + i * step) * stride + c] += added[i];
            break;
        }
        case TN_MATMUL_ACTIVATION:
            for (int r = first; r < num_rows; r += step) part[r * stride + c] = activate(activation, part[r * stride + c]);
            break;
        case TN_MATMUL_GATE:
            __syncwarp();
            c = lane % TN_MATMUL_STRIP, first = lane / TN_MATMUL_STRIP, step = 2;
            for (int r = first; r < num_rows; r += step) {
                float *value = part + r * stride + c;
                value[0] = activate(activation, value[0]) * value[TN_MATMUL_STRIP];
            }
            column /= 2, width /= 2;
            break;
        case TN_MATMUL_SCALE:
            for (int r = first; r < num_rows; r += step) part[r * stride + c] *= real;
            break;
        default:
            for (int r = first; r < num_rows; r += step) part[r * stride + c] = real * tanhf(part[r * stride + c] / real);
            break;
        }
    }
    float *y = (float *)args.buffers[args.constants[TN_MATMUL_OUTPUT]] + column + c;
    if (column + c < width) {
#pragma unroll 8
        for (int r = first; r < num_rows; r += step) y[(row + r) * width] = part[r * stride + c];
    }
    __syncwarp();
}

/* --- expert groups --------------------------------------------------------------------------------------------------------- */

/* buffers 2 and 3 of GROUPED_MATMUL: expert_start, order. */

__device__ __forceinline__ int num_groups(const tn_cuda_args &args) {
    return (int)args.constants[TN_MATMUL_WEIGHT_ROWS] / (int)args.constants[TN_MATMUL_N];
}

/* Whose row it is; called by whole warps. start: expert_start, several of whose numbers are on their way at a time. */
__device__ __forceinline__ int group_of_row(const tn_cuda_args &args, const int *start, long long row) {
    int count = num_groups(args), group = 0;
#pragma unroll 4
    for (int first = 0; first < count; first += 32) {
        int g = first + threadIdx.x % 32;
        group += __popc(__ballot_sync(0xffffffffu, g < count && start[g + 1] <= row));
    }
    return group;
}
__device__ __forceinline__ long long grouped_x_row(const tn_cuda_args &args, long long row) {
    long long top_k = args.constants[TN_MATMUL_TOP_K];
    return top_k > 0 ? ((const int *)args.buffers[3])[row] / top_k : row;
}

#endif
