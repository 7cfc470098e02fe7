/* SPDX-License-Identifier: Apache-2.0
 *
 * place.cu: what places values by index: GATHER in all modes, SCATTER, ONE_HOT. Bits do not change; an index outside gives zeros,
 * or drops its update. A thread a unit: as many bytes, up to 16, as lie together behind an index.
 */
#include "backend/cuda/kernels/elements.cuh"
#include "backend/cuda/kernels/walk.cuh"

/* constants, as in tactics/place.c */
enum { COUNT = TN_ELEMENTS_COUNT, UNIT_BYTES, INDEX_IS_64 };

__device__ __forceinline__ int64_t read_index(const tn_cuda_args &args, int64_t i) {
    return load_index(args.constants[INDEX_IS_64], args.buffers[1], i);
}

/* --- GATHER ----------------------------------------------------------------------------------------------------------------------- */

/* DEFAULT: batch dims, the outer ones, the indices of a batch, inner. */
enum { INNER = 3, PER_BATCH, OUTER_PER_BATCH, LENGTH };

TN_KERNEL(gather_along, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int64_t inner = args.constants[INNER], per_batch = args.constants[PER_BATCH], length = args.constants[LENGTH];
    int64_t row = i / inner, outer = row / per_batch;
    int64_t index = read_index(args, outer / args.constants[OUTER_PER_BATCH] * per_batch + row % per_batch);
    bool is_inside = index >= 0 && index < length;
    move_element((int)args.constants[UNIT_BYTES], args.buffers[2], i, is_inside ? args.buffers[0] : nullptr,
                 is_inside ? (outer * length + index) * inner + i % inner : 0);
}

/* ELEMENT: an index for each element, along the axis; the others are its own. The axes are y's with the data's strides. */
enum { AXIS_STRIDE = 3, AXIS_LENGTH, NUM_AXES, AXES };

TN_KERNEL(gather_elements, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int64_t index = read_index(args, i);
    bool is_inside = index >= 0 && index < args.constants[AXIS_LENGTH];
    int64_t from = walk_axes(args, AXES, (int)args.constants[NUM_AXES], i) + index * args.constants[AXIS_STRIDE];
    move_element((int)args.constants[UNIT_BYTES], args.buffers[2], i, is_inside ? args.buffers[0] : nullptr, is_inside ? from : 0);
}

/* ND: a row of `depth` indices is a place; behind it `inner` units lie together. */
enum { PLACE_INNER = 3, ROWS_PER_BATCH, BATCH_STRIDE, DEPTH, PLACE_AXES };

/* Unit of the data where row `row` of the indices points; −1: outside. */
__device__ __forceinline__ int64_t find_place(const tn_cuda_args &args, int64_t row) {
    int depth = (int)args.constants[DEPTH];
    int64_t place = row / args.constants[ROWS_PER_BATCH] * args.constants[BATCH_STRIDE];
    for (int d = 0; d < depth; d++) {
        uint64_t axis = (uint64_t)args.constants[PLACE_AXES + d];
        int64_t index = read_index(args, row * depth + d);
        if (index < 0 || index >= (int64_t)(axis & 0xffffffffu)) return -1;
        place += index * (int64_t)(int32_t)(axis >> 32);
    }
    return place;
}

TN_KERNEL(gather_places, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int64_t inner = args.constants[PLACE_INNER], place = find_place(args, i / inner);
    move_element((int)args.constants[UNIT_BYTES], args.buffers[2], i, place >= 0 ? args.buffers[0] : nullptr,
                 place >= 0 ? place + i % inner : 0);
}

/* --- SCATTER: the data is copied, then updates go in ascending order, so that of several for one element the last one stays --------- */

/* AXIS_STRIDE … AXES as of gather_elements, or the places as of gather_places, and: */
enum { UPDATE_STRIDE = 13 /* from one update of a line to the next */, NUM_LINES, NUM_UPDATES };

TN_KERNEL(scatter_copy, 256) {
    int64_t i;
    if (find_own(args, &i)) move_element((int)args.constants[UNIT_BYTES], args.buffers[3], i, args.buffers[0], i);
}

/* A thread a line of updates along the axis: lines do not meet. The axes are those of the updates but the axis, with the data's
 * strides. */
TN_KERNEL(scatter_elements, 256) {
    int64_t line = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, stride = args.constants[UPDATE_STRIDE];
    let_next_start();
    wait_for_previous();
    if (line >= args.constants[NUM_LINES]) return;
    int64_t first = line / stride * stride * args.constants[NUM_UPDATES] + line % stride;
    int64_t to = walk_axes(args, AXES, (int)args.constants[NUM_AXES], line);
    for (int64_t k = 0; k < args.constants[NUM_UPDATES]; k++) {
        int64_t at = first + k * stride, index = read_index(args, at);
        if (index < 0 || index >= args.constants[AXIS_LENGTH]) continue;
        move_element((int)args.constants[UNIT_BYTES], args.buffers[3], to + index * args.constants[AXIS_STRIDE], args.buffers[2], at);
    }
}

/* A thread an offset behind the places: all updates of it. */
TN_KERNEL(scatter_places, 256) {
    int64_t offset = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, inner = args.constants[PLACE_INNER];
    let_next_start();
    wait_for_previous();
    if (offset >= inner) return;
    for (int64_t k = 0; k < args.constants[NUM_UPDATES]; k++) {
        int64_t place = find_place(args, k);
        if (place >= 0) move_element((int)args.constants[UNIT_BYTES], args.buffers[3], place + offset, args.buffers[2], k * inner + offset);
    }
}

/* --- ONE_HOT ------------------------------------------------------------------------------------------------------------------------- */

/* y [outer, depth, inner]; values: off, on. buffers[0] holds the indices. */
enum { HOT_INNER = 3, HOT_DEPTH };

TN_KERNEL(one_hot, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int64_t inner = args.constants[HOT_INNER], depth = args.constants[HOT_DEPTH], outer = i / (inner * depth);
    int64_t index = load_index(args.constants[INDEX_IS_64], args.buffers[0], outer * inner + i % inner);
    if (index < 0) index += depth;
    move_element((int)args.constants[UNIT_BYTES], args.buffers[2], i, args.buffers[1], i / inner % depth == index);
}
