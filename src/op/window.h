/* SPDX-License-Identifier: Apache-2.0
 *
 * window.h: where windows of convolutions and poolings lie along one axis.
 *
 * Window o of an input of `in` elements reads in[o · stride − pre + j · dilation], j = 0 … size − 1. For a deconvolution the
 * same holds with input and output exchanged.
 */
#ifndef TN_OP_WINDOW_H_
#define TN_OP_WINDOW_H_

#include "op/op.h"

typedef struct tn_window {
    int64_t size, stride, dilation, pre, post;
    tn_padding_mode mode;
} tn_window;

#define TN_MAX_WINDOW ((int64_t)1 << 30) /* of any member, so that sums of products fit */

/* Axis i of parameter lists; rank 0 has the defaults. */
static inline tn_window tn_window_of(int64_t size, const tn_dims *stride, const tn_dims *dilation, const tn_dims *pre, const tn_dims *post,
                                     int mode, int i) {
    tn_window window = {.size = size, .mode = (tn_padding_mode)mode};
    window.stride = stride->rank > 0 ? stride->d[i] : 1;
    window.dilation = dilation != NULL && dilation->rank > 0 ? dilation->d[i] : 1;
    window.pre = pre->rank > 0 ? pre->d[i] : 0;
    window.post = post->rank > 0 ? post->d[i] : 0;
    return window;
}

static inline bool tn_window_is_valid(const tn_window *w) {
    return w->size >= 1 && w->size <= TN_MAX_WINDOW && w->stride >= 1 && w->stride <= TN_MAX_WINDOW && w->dilation >= 1 &&
           w->dilation <= TN_MAX_WINDOW && w->pre >= 0 && w->pre <= TN_MAX_WINDOW && w->post >= 0 && w->post <= TN_MAX_WINDOW;
}

static inline bool tn_window_is_same(const tn_window *w) {
    return w->mode == TN_PADDING_SAME_UPPER || w->mode == TN_PADDING_SAME_LOWER;
}

/* Elements from a window's first to its last. */
static inline int64_t tn_window_span(const tn_window *w) {
    return (w->size - 1) * w->dilation + 1;
}

/* Number of windows over 0 ≤ in < 2^40 elements; < 0: not even one fits. */
static inline int64_t tn_window_count(const tn_window *w, int64_t in) {
    if (tn_window_is_same(w)) return (in + w->stride - 1) / w->stride;
    int64_t room = in + w->pre + w->post - tn_window_span(w);
    if (room < 0) return -1;
    return (w->mode == TN_PADDING_EXPLICIT_ROUND_UP ? (room + w->stride - 1) / w->stride : room / w->stride) + 1;
}

/* Output of a deconvolution of `in` elements. */
static inline int64_t tn_window_transposed_count(const tn_window *w, int64_t in) {
    if (tn_window_is_same(w)) return in * w->stride;
    return in == 0 ? 0 : (in - 1) * w->stride + tn_window_span(w) - w->pre - w->post;
}

/* The padding before, of `count` windows over `in` elements. */
static inline int64_t tn_window_pre(const tn_window *w, int64_t in, int64_t count) {
    if (!tn_window_is_same(w)) return w->pre;
    int64_t total = (count - 1) * w->stride + tn_window_span(w) - in;
    if (total < 0) total = 0;
    return w->mode == TN_PADDING_SAME_UPPER ? total / 2 : total - total / 2;
}

#endif
