/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol_bounds.c: operators on values and on intervals. INT64_MIN and INT64_MAX as ends mean unbounded; what overflows
 * becomes unbounded, so an interval never promises too much.
 */
#include "base/checked.h"
#include "op/symbol_table.h"

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    int64_t quotient = a / b;
    return a % b != 0 && (a < 0) == (b < 0) ? quotient + 1 : quotient;
}

bool tn_sym_apply(tn_sym_op op, int64_t a, int64_t b, int64_t c, int64_t *out) {
    bool is_division = op == TN_SYM_FLOOR_DIV || op == TN_SYM_CEIL_DIV || op == TN_SYM_MOD;
    if (is_division && (b == 0 || (a == INT64_MIN && b == -1))) return false;
    switch (op) {
    case TN_SYM_ADD: return tn_add_i64(a, b, out);
    case TN_SYM_SUB: return !__builtin_sub_overflow(a, b, out);
    case TN_SYM_MUL: return tn_mul_i64(a, b, out);
    case TN_SYM_FLOOR_DIV: *out = floor_div(a, b); return true;
    case TN_SYM_CEIL_DIV: *out = ceil_div(a, b); return true;
    case TN_SYM_MOD: *out = a - b * floor_div(a, b); return true;
    case TN_SYM_MIN: *out = a < b ? a : b; return true;
    case TN_SYM_MAX: *out = a > b ? a : b; return true;
    case TN_SYM_EQUAL: *out = a == b; return true;
    case TN_SYM_LESS: *out = a < b; return true;
    case TN_SYM_SELECT: *out = a != 0 ? b : c; return true;
    default: return false;
    }
}

static bool is_infinite(int64_t value) {
    return value == INT64_MIN || value == INT64_MAX;
}

/* An end of an interval; infinite if an operand is or the sum overflows. */
static int64_t add_ends(int64_t a, int64_t b, int64_t infinite) {
    int64_t sum;
    return is_infinite(a) || is_infinite(b) || !tn_add_i64(a, b, &sum) ? infinite : sum;
}

static int64_t negate_end(int64_t a) {
    return a == INT64_MIN ? INT64_MAX : a == INT64_MAX ? INT64_MIN : -a;
}

/* 0 · ∞ is 0: the infinite end stands for finite values. */
static int64_t multiply_ends(int64_t a, int64_t b) {
    int64_t product;
    if (a == 0 || b == 0) return 0;
    if (!is_infinite(a) && !is_infinite(b) && tn_mul_i64(a, b, &product)) return product;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static int64_t divide_end(int64_t a, int64_t b, bool up) {
    if (is_infinite(a)) return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    if (is_infinite(b)) return a == 0 || (a < 0) == (b < 0) ? (up && a != 0 ? 1 : 0) : (up ? 0 : -1);
    return up ? ceil_div(a, b) : floor_div(a, b);
}

/* The hull of f over the four corners; right for functions that are monotonic in each operand. */
static tn_sym_interval hull(const int64_t corners[4]) {
    tn_sym_interval result = {corners[0], corners[0]};
    for (int i = 1; i < 4; i++) {
        if (corners[i] < result.min) result.min = corners[i];
        if (corners[i] > result.max) result.max = corners[i];
    }
    return result;
}

static tn_sym_interval divide_intervals(tn_sym_interval a, tn_sym_interval b, bool up) {
    if (b.min <= 0 && b.max >= 0) { /* b ≠ 0 is promised: only the side that is there */
        if (b.min < 0 && b.max > 0) return (tn_sym_interval){INT64_MIN, INT64_MAX};
        if (b.min == 0) b.min = 1;
        if (b.max == 0) b.max = -1;
        if (b.min > b.max) return (tn_sym_interval){INT64_MIN, INT64_MAX};
    }
    const int64_t corners[4] = {divide_end(a.min, b.min, up), divide_end(a.min, b.max, up), divide_end(a.max, b.min, up),
                                divide_end(a.max, b.max, up)};
    return hull(corners);
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

tn_sym_interval tn_sym_interval_apply(tn_sym_op op, tn_sym_interval a, tn_sym_interval b, tn_sym_interval c) {
    switch (op) {
    case TN_SYM_ADD: return (tn_sym_interval){add_ends(a.min, b.min, INT64_MIN), add_ends(a.max, b.max, INT64_MAX)};
    case TN_SYM_SUB: return (tn_sym_interval){add_ends(a.min, negate_end(b.max), INT64_MIN), add_ends(a.max, negate_end(b.min), INT64_MAX)};
    case TN_SYM_MUL: {
        const int64_t corners[4] = {multiply_ends(a.min, b.min), multiply_ends(a.min, b.max), multiply_ends(a.max, b.min),
                                    multiply_ends(a.max, b.max)};
        return hull(corners);
    }
    case TN_SYM_FLOOR_DIV: return divide_intervals(a, b, false);
    case TN_SYM_CEIL_DIV: return divide_intervals(a, b, true);
    case TN_SYM_MOD:
        return (tn_sym_interval){b.min < 0 ? (b.min == INT64_MIN ? b.min : b.min + 1) : 0,
                                 b.max > 0 ? (b.max == INT64_MAX ? b.max : b.max - 1) : 0};
    case TN_SYM_MIN: return (tn_sym_interval){smaller(a.min, b.min), smaller(a.max, b.max)};
    case TN_SYM_MAX: return (tn_sym_interval){larger(a.min, b.min), larger(a.max, b.max)};
    case TN_SYM_EQUAL: return (tn_sym_interval){a.min == a.max && b.min == b.max && a.min == b.min, !(a.max < b.min || b.max < a.min)};
    case TN_SYM_LESS: return (tn_sym_interval){a.max < b.min, a.min < b.max};
    case TN_SYM_SELECT:
        if (a.min > 0 || a.max < 0) return b;
        if (a.min == 0 && a.max == 0) return c;
        return (tn_sym_interval){smaller(b.min, c.min), larger(b.max, c.max)};
    default: return (tn_sym_interval){INT64_MIN, INT64_MAX};
    }
}

tn_sym_interval tn_poly_bounds(const tn_symbols *symbols, const tn_poly *poly) {
    static const tn_sym_interval none = {0, 0};
    tn_sym_interval sum = {poly->constant, poly->constant};
    for (uint32_t i = 0; i < poly->num_terms; i++) {
        const tn_poly_term *term = &poly->terms[i];
        tn_sym_interval product = {term->coefficient, term->coefficient};
        for (uint32_t j = 0; j < term->num_factors; j++)
            product = tn_sym_interval_apply(TN_SYM_MUL, product, symbols->entries.data[term->factors[j]].bounds, none);
        sum = tn_sym_interval_apply(TN_SYM_ADD, sum, product, none);
    }
    return sum;
}

bool tn_sym_bounds(const tn_symbols *symbols, tn_sym sym, tn_sym_leaf_bounds leaf, void *user, int64_t *out_min, int64_t *out_max) {
    *out_min = INT64_MIN;
    *out_max = INT64_MAX;
    sym = tn_sym_canonical(symbols, sym);
    if (sym == TN_SYM_INVALID) return false;
    tn_sym_interval *intervals = tn_alloc_array(symbols->allocator, (size_t)sym + 1, sizeof *intervals);
    if (intervals == NULL) return false;
    for (tn_sym i = 0; i <= sym; i++) {
        const tn_sym_node *node = &symbols->nodes.data[i];
        intervals[i] = symbols->entries.data[i].bounds;
        if (node->op == TN_SYM_INPUT_DIM || node->op == TN_SYM_HOST_VALUE) {
            int64_t min, max;
            if (leaf != NULL && leaf(user, node, &min, &max)) intervals[i] = (tn_sym_interval){min, max};
        } else if (node->op != TN_SYM_CONST) {
            tn_sym_interval c = node->op == TN_SYM_SELECT ? intervals[node->c] : intervals[0];
            intervals[i] = tn_sym_interval_apply((tn_sym_op)node->op, intervals[node->a], intervals[node->b], c);
        }
    }
    *out_min = intervals[sym].min;
    *out_max = intervals[sym].max;
    tn_free(symbols->allocator, intervals);
    return !is_infinite(*out_min) && !is_infinite(*out_max);
}
