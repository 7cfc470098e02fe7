/* SPDX-License-Identifier: Apache-2.0
 *
 * move.cu: what moves values and changes no bits, a thread a unit: SHUFFLE, SLICE and plain copies by strides; SLICE beyond the
 * edges; CONCATENATION; REVERSE_SEQUENCE.
 *
 * A unit is as many bytes, up to 16, as lie together on both sides. Bound: bytes moved; of transpositions, sectors of 32 bytes.
 */
#include "backend/cuda/kernels/elements.cuh"
#include "backend/cuda/kernels/walk.cuh"

/* constants, as in tactics/move.c */
enum { COUNT = TN_ELEMENTS_COUNT, UNIT_BYTES };

/* Unit i of the output → (axes of the second transposition) → place in the reshaped tensor → (axes of the first) → unit of x. */
enum { FIRST = 2 /* unit of x where it begins */, NUM_AXES /* second | first << 8 */, OUTPUT, AXES };

TN_KERNEL(copy_strided, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int second = (int)args.constants[NUM_AXES] & 255, first = (int)args.constants[NUM_AXES] >> 8;
    int64_t at = walk_axes(args, AXES, second, i);
    at = args.constants[FIRST] + walk_axes(args, AXES + second, first, at);
    move_element((int)args.constants[UNIT_BYTES], args.buffers[args.constants[OUTPUT]], i, args.buffers[0], at);
}

/* Two constants an axis: sizes of y (low half) and x; begin (low) and step, signed. */
enum { MODE = 2, OUTSIDE_FORM /* rank | has a fill value << 8 | output's buffer << 16 */, OUTSIDE_AXES };

/* An index outside as the mode sees it; −1: the fill value. */
__device__ __forceinline__ int64_t bring_inside(int mode, int64_t index, int64_t size) {
    if (index >= 0 && index < size) return index;
    int64_t period = mode == TN_SAMPLE_WRAP ? size : 2 * (size - 1), rest;
    switch (mode) {
    case TN_SAMPLE_CLAMP: return index < 0 ? 0 : size - 1;
    case TN_SAMPLE_WRAP:
    case TN_SAMPLE_REFLECT:
        if (period == 0) return 0;
        rest = index % period < 0 ? index % period + period : index % period;
        return rest < size ? rest : period - rest;
    default: return -1;
    }
}

TN_KERNEL(slice_outside, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int mode = (int)args.constants[MODE], form = (int)args.constants[OUTSIDE_FORM], rank = form & 255;
    int64_t rest = i, from = 0, stride = 1;
    for (int a = rank - 1; a >= 0; a--) {
        uint64_t sizes = (uint64_t)args.constants[OUTSIDE_AXES + 2 * a], place = (uint64_t)args.constants[OUTSIDE_AXES + 2 * a + 1];
        int64_t y_size = (int64_t)(sizes & 0xffffffffu), x_size = (int64_t)(sizes >> 32);
        int64_t index = bring_inside(mode, (int32_t)place + rest % y_size * (int32_t)(place >> 32), x_size);
        rest /= y_size;
        from = index < 0 || from < 0 ? -1 : from + index * stride;
        stride *= x_size;
    }
    const void *src = from >= 0 ? args.buffers[0] : (form >> 8 & 1) != 0 ? args.buffers[4] : nullptr;
    move_element((int)args.constants[UNIT_BYTES], args.buffers[form >> 16], i, src, from < 0 ? 0 : from);
}

/* The end of each input's run in a run of the output, in units, two a constant. */
enum { NUM_INPUTS = 2, ENDS };

TN_KERNEL(concatenate, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int num_inputs = (int)args.constants[NUM_INPUTS], input = 0;
    auto end_of = [&](int k) { return (int64_t)((uint64_t)args.constants[ENDS + k / 2] >> (k % 2 * 32) & 0xffffffffu); };
    int64_t run = end_of(num_inputs - 1), outer = i / run, place = i - outer * run, begin = 0;
    for (; end_of(input) <= place; input++) begin = end_of(input);
    move_element((int)args.constants[UNIT_BYTES], args.buffers[num_inputs], i, args.buffers[input],
                 outer * (end_of(input) - begin) + place - begin);
}

enum { INDEX_IS_64 = 2, SEQUENCE_SIZE, SEQUENCE_STRIDE, BATCH_SIZE, BATCH_STRIDE };

TN_KERNEL(reverse_sequence, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int64_t size = args.constants[SEQUENCE_SIZE], stride = args.constants[SEQUENCE_STRIDE], place = i / stride % size;
    int64_t length =
        load_index(args.constants[INDEX_IS_64], args.buffers[1], i / args.constants[BATCH_STRIDE] % args.constants[BATCH_SIZE]);
    if (length > size) length = size;
    move_element((int)args.constants[UNIT_BYTES], args.buffers[2], i, args.buffers[0],
                 place < length ? i + (length - 1 - 2 * place) * stride : i);
}
