/* SPDX-License-Identifier: Apache-2.0
 *
 * window.c: CONVOLUTION, DECONVOLUTION, POOLING over 1 to 3 spatial dimensions, as their sums are written.
 */
#include <math.h>

#include "backend/ref/ref.h"
#include "op/window.h"

/* Shapes with their spatial dimensions padded to three by ones in front. */
typedef struct grid {
    int64_t in[3], out[3];
    tn_window windows[3];
    int64_t pre[3]; /* padding before */
} grid;

static grid make_grid(const tn_ref_view *x, const tn_ref_view *y, int spatial) {
    grid g = {.in = {1, 1, 1}, .out = {1, 1, 1}};
    for (int i = 0; i < 3; i++) g.windows[i] = (tn_window){.size = 1, .stride = 1, .dilation = 1};
    for (int i = 0; i < spatial; i++) {
        g.in[3 - spatial + i] = x->dims[x->rank - spatial + i];
        g.out[3 - spatial + i] = y->dims[y->rank - spatial + i];
    }
    return g;
}

static int64_t volume(const int64_t dims[3]) {
    return dims[0] * dims[1] * dims[2];
}

/* Row-major index → coordinates. */
static void split(int64_t index, const int64_t dims[3], int64_t out[3]) {
    for (int i = 2; i >= 0; i--) {
        out[i] = index % dims[i];
        index /= dims[i];
    }
}

/* Where element `j` of the window that belongs to `at` stands in the input, as one index; −1: in the padding. */
static int64_t find_input(const grid *g, const int64_t at[3], const int64_t j[3]) {
    int64_t index = 0;
    for (int i = 0; i < 3; i++) {
        int64_t place = at[i] * g->windows[i].stride - g->pre[i] + j[i] * g->windows[i].dilation;
        if (place < 0 || place >= g->in[i]) return -1;
        index = index * g->in[i] + place;
    }
    return index;
}

/* The input element that output `at` gets through element `j` of the kernel in a deconvolution; −1: none. */
static int64_t find_transposed(const grid *g, const int64_t at[3], const int64_t j[3]) {
    int64_t index = 0;
    for (int i = 0; i < 3; i++) {
        int64_t place = at[i] + g->pre[i] - j[i] * g->windows[i].dilation;
        if (place < 0 || place % g->windows[i].stride != 0 || place / g->windows[i].stride >= g->in[i]) return -1;
        index = index * g->in[i] + place / g->windows[i].stride;
    }
    return index;
}

static void set_windows(grid *g, const tn_ref_view *kernel, const tn_convolution_params *params, bool is_transposed) {
    int spatial = kernel->rank - 2;
    for (int i = 0; i < spatial; i++) {
        int at = 3 - spatial + i;
        g->windows[at] = tn_window_of(kernel->dims[2 + i], &params->stride, &params->dilation, &params->pre_padding, &params->post_padding,
                                      params->padding_mode, i);
        g->pre[at] =
            is_transposed ? tn_window_pre(&g->windows[at], g->out[at], g->in[at]) : tn_window_pre(&g->windows[at], g->in[at], g->out[at]);
    }
}

/* Kernel [filters, channels of a group, ..]; transposed: [channels, filters of a group, ..]. */
static tn_status convolve(const tn_ref_call *call, bool is_transposed) {
    const tn_convolution_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), kernel = tn_ref_input(call, 1), bias = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    grid g = make_grid(&x, &y, x.rank - 2);
    set_windows(&g, &kernel, params, is_transposed);
    int64_t sizes[3] = {g.windows[0].size, g.windows[1].size, g.windows[2].size};
    int64_t groups = params->groups > 0 ? params->groups : 1, channels = x.dims[1] / groups, filters = y.dims[1] / groups;
    int64_t in_size = volume(g.in), out_size = volume(g.out), kernel_size = volume(sizes), at[3], j[3];
    for (int64_t i = 0; i < y.count; i++) {
        int64_t image = i / out_size / y.dims[1], filter = i / out_size % y.dims[1], group = filter / filters;
        double sum = bias.absent ? 0.0 : tn_ref_load(&bias, filter);
        split(i % out_size, g.out, at);
        for (int64_t c = 0; c < channels; c++) {
            int64_t channel = group * channels + c;
            int64_t weights = is_transposed ? channel * filters + filter % filters : filter * channels + c;
            for (int64_t k = 0; k < kernel_size; k++) {
                split(k, sizes, j);
                int64_t from = is_transposed ? find_transposed(&g, at, j) : find_input(&g, at, j);
                if (from < 0) continue;
                sum += tn_ref_load(&x, (image * x.dims[1] + channel) * in_size + from) * tn_ref_load(&kernel, weights * kernel_size + k);
            }
        }
        tn_ref_store(&y, i, sum);
    }
    return TN_OK;
}

tn_status tn_ref_convolve(const tn_ref_call *call) {
    return convolve(call, false);
}

tn_status tn_ref_deconvolve(const tn_ref_call *call) {
    return convolve(call, true);
}

/* --- POOLING ---------------------------------------------------------------------------------------------------------------- */

/* Elements of the window that lie inside input and padding (what an average with padding divides by): rounding up may let the
 * last window reach beyond both. */
static int64_t count_padded(const grid *g, const int64_t at[3]) {
    int64_t count = 1;
    for (int i = 0; i < 3; i++) {
        int64_t begin = at[i] * g->windows[i].stride - g->pre[i], end = begin + g->windows[i].size;
        int64_t post = tn_window_is_same(&g->windows[i]) ? g->windows[i].size : g->windows[i].post;
        if (end > g->in[i] + post) end = g->in[i] + post;
        count *= end > begin ? end - begin : 0;
    }
    return count;
}

tn_status tn_ref_pool(const tn_ref_call *call) {
    const tn_pooling_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    int spatial = params->window.rank;
    grid g = make_grid(&x, &y, spatial);
    for (int i = 0; i < spatial; i++) {
        int at = 3 - spatial + i;
        g.windows[at] =
            tn_window_of(params->window.d[i], &params->stride, NULL, &params->pre_padding, &params->post_padding, params->padding_mode, i);
        g.pre[at] = tn_window_pre(&g.windows[at], g.in[at], g.out[at]);
    }
    int64_t sizes[3] = {g.windows[0].size, g.windows[1].size, g.windows[2].size}, at[3], j[3];
    int64_t in_size = volume(g.in), out_size = volume(g.out), window_size = volume(sizes);
    for (int64_t i = 0; i < y.count; i++) {
        double sum = 0.0, largest = -INFINITY;
        int64_t count = 0;
        split(i % out_size, g.out, at);
        for (int64_t k = 0; k < window_size; k++) {
            split(k, sizes, j);
            int64_t from = find_input(&g, at, j);
            if (from < 0) continue;
            double value = tn_ref_load(&x, i / out_size * in_size + from);
            sum += value;
            largest = isnan(largest) || largest > value ? largest : value;
            count++;
        }
        int64_t divisor = params->counts_padding ? count_padded(&g, at) : count;
        double average = divisor > 0 ? sum / (double)divisor : 0.0;
        if (count == 0) largest = 0.0;
        if (params->type == TN_POOLING_MAX_AVERAGE_BLEND)
            tn_ref_store(&y, i, params->blend * average + (1.0 - params->blend) * largest);
        else
            tn_ref_store(&y, i, params->type == TN_POOLING_MAX ? largest : average);
    }
    return TN_OK;
}
