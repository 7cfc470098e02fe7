/* SPDX-License-Identifier: Apache-2.0
 *
 * nms.c: NMS: of boxes that overlap, the one with the highest score.
 */
#include <math.h>

#include "backend/ref/ref.h"

enum { DEFAULT_TOP_K = 5000 };

/* One class of one image: which boxes were looked at, and those kept. */
size_t tn_ref_nms_workspace(const tn_problem *problem, const int64_t *symbols) {
    return (size_t)tn_operand_dim(&problem->operands[1], 1, symbols) * (sizeof(int64_t) + 1);
}

typedef struct box {
    double low[2], high[2];
} box;

static box load_box(const tn_ref_view *boxes, int format, int64_t at) {
    double v[4];
    box result;
    for (int i = 0; i < 4; i++) v[i] = tn_ref_load(boxes, at * 4 + i);
    for (int i = 0; i < 2; i++) {
        double a = format == TN_BOX_CENTER_SIZES ? v[i] - v[i + 2] / 2.0 : v[i];
        double b = format == TN_BOX_CENTER_SIZES ? v[i] + v[i + 2] / 2.0 : v[i + 2];
        result.low[i] = fmin(a, b);
        result.high[i] = fmax(a, b);
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

typedef struct selection {
    const tn_nms_params *params;
    tn_ref_view boxes, scores, out;
    int64_t num_boxes, num_classes, most, num_found;
    bool has_threshold;
    double iou_threshold, score_threshold;
    int64_t *kept; /* [num_boxes] */
    uint8_t *seen; /* [num_boxes] */
} selection;

static int64_t box_index(const selection *s, int64_t image, int64_t class, int64_t i) {
    if (s->boxes.rank == 3) return image * s->num_boxes + i;
    int64_t classes = s->boxes.dims[2];
    return (image * s->num_boxes + i) * classes + (classes > 1 ? class : 0);
}

/* The best box that was not looked at; −1: none above the threshold. */
static int64_t find_next(const selection *s, int64_t image, int64_t class) {
    int64_t best = -1;
    double best_score = 0.0;
    for (int64_t i = 0; i < s->num_boxes; i++) {
        double score = tn_ref_load(&s->scores, (image * s->num_boxes + i) * s->num_classes + class);
        if (s->seen[i] != 0 || isnan(score) || (s->has_threshold && !(score > s->score_threshold))) continue;
        if (best >= 0 && score <= best_score) continue;
        best = i;
        best_score = score;
    }
    return best;
}

static void select_class(selection *s, int64_t image, int64_t class) {
    int64_t limit = s->params->top_k > 0 ? s->params->top_k : DEFAULT_TOP_K, num_kept = 0;
    for (int64_t i = 0; i < s->num_boxes; i++) s->seen[i] = 0;
    for (int64_t looked = 0; looked < limit && num_kept < s->most; looked++) {
        int64_t best = find_next(s, image, class);
        if (best < 0) return;
        s->seen[best] = 1;
        box candidate = load_box(&s->boxes, s->params->format, box_index(s, image, class, best));
        bool is_free = true;
        for (int64_t i = 0; i < num_kept && is_free; i++) {
            box other = load_box(&s->boxes, s->params->format, box_index(s, image, class, s->kept[i]));
            is_free = !(overlap(&candidate, &other) > s->iou_threshold);
        }
        if (!is_free) continue;
        s->kept[num_kept++] = best;
        const int64_t row[3] = {image, class, best};
        for (int i = 0; i < 3; i++) tn_ref_store_int(&s->out, s->num_found * 3 + i, row[i]);
        s->num_found++;
    }
}

tn_status tn_ref_nms(const tn_ref_call *call) {
    tn_ref_view most = tn_ref_input(call, 2), iou = tn_ref_input(call, 3), threshold = tn_ref_input(call, 4),
                count = tn_ref_output(call, 1);
    selection s = {
        .params = call->problem->params, .boxes = tn_ref_input(call, 0), .scores = tn_ref_input(call, 1), .out = tn_ref_output(call, 0)};
    s.num_boxes = s.scores.dims[1];
    s.num_classes = s.scores.dims[2];
    s.most = tn_ref_load_int(&most, 0);
    s.iou_threshold = iou.absent ? 0.0 : tn_ref_load(&iou, 0);
    s.has_threshold = !threshold.absent;
    s.score_threshold = threshold.absent ? 0.0 : tn_ref_load(&threshold, 0);
    s.kept = call->workspace;
    s.seen = (uint8_t *)call->workspace + s.num_boxes * (int64_t)sizeof *s.kept;
    for (int64_t image = 0; image < s.scores.dims[0]; image++)
        for (int64_t class = 0; class < s.num_classes; class ++) select_class(&s, image, class);
    tn_ref_store_int(&count, 0, s.num_found);
    return TN_OK;
}
