/* SPDX-License-Identifier: Apache-2.0
 *
 * ordering.c: the tactics of TOPK and NMS: heaps over keys that are ordered as the values are. Plain C, the same at every
 * instruction set level; NMS compares in double, as the reference does.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/tactics/move.h"
#include "base/checked.h"

/* A value by its order: the larger key stands first, of equal ones the smaller index. */
typedef struct ranked {
    int64_t key, index;
} ranked;

static bool stands_before(const ranked *a, const ranked *b) {
    return a->key != b->key ? a->key > b->key : a->index < b->index;
}

/* Restores the heap below `at`. is_last_first: the root is the one that stands last, else first. */
static void sift_down(ranked *heap, int64_t count, int64_t at, bool is_last_first) {
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && stands_before(&heap[child], &heap[child + 1]) == is_last_first) child++;
        if (stands_before(&heap[child], &heap[at]) == is_last_first) return;
        ranked swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
    }
}

/* −0 is 0, a NaN the largest. */
static int64_t key_of(const tensor *t, int64_t at) {
    if (!tn_dtype_get_info(t->dtype)->is_float) {
        switch (t->dtype) {
        case TN_INT64: return ((const int64_t *)(const void *)t->data)[at];
        case TN_INT32: return ((const int32_t *)(const void *)t->data)[at];
        case TN_INT8: return ((const int8_t *)t->data)[at];
        default: return ((const uint8_t *)t->data)[at];
        }
    }
    double value = tensor_double(t, at);
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return INT64_MAX;
    return bits >= 0 ? bits : -(bits & INT64_MAX);
}

/* --- TOPK ------------------------------------------------------------------------------------------------------------------------- */

static void topk_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    const tn_topk_params *params = step->problem->params;
    tensor x = tensor_input(step, 0), y = tensor_output(step, 0), indices = tensor_output(step, 1);
    axis_walk from = tensor_axis(&x, params->axis), to = tensor_axis(&y, params->axis);
    int64_t k = to.length < from.length ? to.length : from.length;
    ranked *heap = (ranked *)step_workspace(step) + worker * to.length;
    for (int64_t line = begin; line < end; line++) {
        int64_t base = line / from.inner * from.length * from.inner + line % from.inner;
        int64_t place = line / to.inner * to.length * to.inner + line % to.inner;
        for (int64_t i = 0; i < from.length; i++) {
            int64_t key = key_of(&x, base + i * from.inner);
            ranked next = {params->op == TN_TOPK_MIN ? ~key : key, i};
            if (i < k)
                heap[i] = next;
            else if (stands_before(&next, &heap[0]))
                heap[0] = next, sift_down(heap, k, 0, true);
            for (int64_t at = k / 2 - 1; i + 1 == k && at >= 0; at--) sift_down(heap, k, at, true);
        }
        for (int64_t left = k; left > 0; left--) { /* the last one first */
            ranked last = heap[0];
            heap[0] = heap[left - 1];
            sift_down(heap, left - 1, 0, true);
            int64_t at = place + (left - 1) * to.inner;
            tn_cpu_copy_elements(y.bits, y.data, at, 1, x.data, base + last.index * from.inner, 1, 1);
            tensor_set_index(&indices, at, last.index);
        }
    }
}

static bool topk_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_operand *x = &problem->operands[0], *outputs = &problem->operands[problem->num_inputs];
    if (!tn_check_complete(problem, 1u << 1, false, reason, reason_size)) return false;
    if (outputs[0].dtype != x->dtype) return tn_refuse(reason, reason_size, "values of x's type only");
    return tn_check_type(problem, 0, TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS, reason, reason_size) &&
           (problem->num_inputs < 2 || tn_check_type(problem, 1, TN_DTYPES_INDICES, reason, reason_size)) &&
           tn_check_type(problem, problem->num_inputs + 1, TN_DTYPES_INDICES, reason, reason_size);
}

static size_t topk_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    return (size_t)device->num_workers * (size_t)y.dims[((const tn_topk_params *)problem->params)->axis] * sizeof(ranked);
}

static tn_status topk_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0), y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    axis_walk w = tensor_axis(&x, ((const tn_topk_params *)problem->params)->axis);
    (void)tn_cpu_move_launch(topk_tile, y.count > 0 ? w.outer * w.inner : 0, w.length * 16, out_launch);
    out_launch->workspace_bytes = topk_workspace(device, problem, symbols);
    return TN_OK;
}

/* --- NMS: each class of an image keeps a list in the workspace, then one tile writes them all in order -------------------------------- */

enum { DEFAULT_TOP_K = 5000 };

typedef struct box {
    double low[2], high[2];
} box;

typedef struct nms_call {
    const tn_nms_params *params;
    tensor boxes, scores;
    int64_t num_boxes, num_classes, limit, list; /* list: entries of a class in the workspace, its count first */
    int64_t *lists;
} nms_call;

static nms_call nms_begin(const tn_problem *problem, const int64_t *symbols, void *const *buffers) {
    nms_call c = {.params = problem->params, .boxes = tensor_make(problem, symbols, buffers, 0)};
    c.scores = tensor_make(problem, symbols, buffers, 1);
    c.num_boxes = c.scores.dims[1];
    c.num_classes = c.scores.dims[2];
    c.limit = c.params->top_k > 0 ? c.params->top_k : DEFAULT_TOP_K;
    c.list = 1 + (c.num_boxes < c.limit ? c.num_boxes : c.limit);
    c.lists = buffers != NULL ? buffers[problem->num_operands] : NULL;
    return c;
}

static box load_box(const nms_call *c, int64_t image, int64_t class, int64_t i) {
    int64_t at = image * c->num_boxes + i;
    if (c->boxes.rank == 4) at = at * c->boxes.dims[2] + (c->boxes.dims[2] > 1 ? class : 0);
    box result;
    double v[4];
    for (int d = 0; d < 4; d++) v[d] = tensor_double(&c->boxes, at * 4 + d);
    for (int d = 0; d < 2; d++) {
        bool is_centre = c->params->format == TN_BOX_CENTER_SIZES;
        double a = is_centre ? v[d] - v[d + 2] / 2.0 : v[d], b = is_centre ? v[d] + v[d + 2] / 2.0 : v[d + 2];
        result.low[d] = fmin(a, b);
        result.high[d] = fmax(a, b);
    }
    return result;
}

static double area(const box *b) {
    return (b->high[0] - b->low[0]) * (b->high[1] - b->low[1]);
}

/* Intersection over union. */
static double overlap(const box *a, const box *b) {
    double common = 1.0;
    for (int i = 0; i < 2; i++) common *= fmax(0.0, fmin(a->high[i], b->high[i]) - fmax(a->low[i], b->low[i]));
    double whole = area(a) + area(b) - common;
    return whole > 0.0 ? common / whole : 0.0;
}

static void select_class(const nms_call *c, int64_t image, int64_t class, int64_t most, double iou_threshold, const double *threshold,
                         ranked *heap, int64_t *list) {
    int64_t count = 0, num_kept = 0;
    for (int64_t i = 0; i < c->num_boxes; i++) {
        int64_t at = (image * c->num_boxes + i) * c->num_classes + class;
        double score = tensor_double(&c->scores, at);
        if (isnan(score) || (threshold != NULL && !(score > *threshold))) continue;
        heap[count++] = (ranked){key_of(&c->scores, at), i};
    }
    for (int64_t at = count / 2 - 1; at >= 0; at--) sift_down(heap, count, at, false);
    for (int64_t looked = 0; looked < c->limit && num_kept < most && count > 0; looked++) {
        int64_t best = heap[0].index;
        heap[0] = heap[--count];
        sift_down(heap, count, 0, false);
        box candidate = load_box(c, image, class, best);
        bool is_free = true;
        for (int64_t i = 0; i < num_kept && is_free; i++) {
            box other = load_box(c, image, class, list[1 + i]);
            is_free = !(overlap(&candidate, &other) > iou_threshold);
        }
        if (is_free) list[1 + num_kept++] = best;
    }
    list[0] = num_kept;
}

static void nms_select_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    nms_call c = nms_begin(step->problem, step->symbols, step->buffers);
    tensor most = tensor_input(step, 2), iou = tensor_input(step, 3), least = tensor_input(step, 4);
    double iou_threshold = iou.is_given ? tensor_double(&iou, 0) : 0.0, threshold = least.is_given ? tensor_double(&least, 0) : 0.0;
    ranked *heaps = (ranked *)(void *)(c.lists + c.scores.dims[0] * c.num_classes * c.list);
    for (int64_t tile = begin; tile < end; tile++)
        select_class(&c, tile / c.num_classes, tile % c.num_classes, tensor_index(&most, 0), iou_threshold,
                     least.is_given ? &threshold : NULL, heaps + worker * c.num_boxes, c.lists + tile * c.list);
}

static void nms_list_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    nms_call c = nms_begin(step->problem, step->symbols, step->buffers);
    tensor out = tensor_output(step, 0), count = tensor_output(step, 1);
    int64_t num_found = 0;
    for (int64_t tile = 0; begin < end && tile < c.scores.dims[0] * c.num_classes; tile++) {
        const int64_t *list = c.lists + tile * c.list;
        for (int64_t i = 0; i < list[0]; i++, num_found++) {
            tensor_set_index(&out, num_found * 3, tile / c.num_classes);
            tensor_set_index(&out, num_found * 3 + 1, tile % c.num_classes);
            tensor_set_index(&out, num_found * 3 + 2, list[1 + i]);
        }
    }
    tensor_set_index(&count, 0, num_found);
}

static bool nms_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 1u << 3 | 1u << 4, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        uint32_t output = problem->num_inputs;
        uint32_t types = i == output + 1 ? TN_DTYPE_BIT(TN_INT64) : i == 2 || i == output ? TN_DTYPES_INDICES : TN_DTYPE_BIT(TN_FLOAT32);
        if (!tn_check_type(problem, i, types, reason, reason_size)) return false;
    }
    return true;
}

static size_t nms_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    nms_call c = nms_begin(problem, symbols, NULL);
    return (size_t)(c.scores.dims[0] * c.num_classes * c.list) * sizeof(int64_t) +
           (size_t)device->num_workers * (size_t)c.num_boxes * sizeof(ranked);
}

static tn_status nms_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    nms_call c = nms_begin(problem, symbols, NULL);
    (void)tn_cpu_move_launch(nms_select_tile, c.scores.dims[0] * c.num_classes, c.num_boxes * 64, out_launch);
    tn_cpu_launch_tiles(out_launch, nms_list_tile, 1, 1, 1);
    out_launch->workspace_bytes = nms_workspace(device, problem, symbols);
    return TN_OK;
}

TN_CPU_TACTIC(topk, "topk", 1, TOPK, EXACT, topk_supports, topk_workspace, topk_prepare)
TN_CPU_TACTIC(nms, "nms", 1, NMS, EXACT, nms_supports, nms_workspace, nms_prepare)
