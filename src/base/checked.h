/* SPDX-License-Identifier: Apache-2.0
 *
 * checked.h: arithmetic on sizes that come from a file, a request or a shape. Each returns false on overflow and then
 * leaves *out alone. A size that was not checked against what remains is a defect. */
#ifndef TN_BASE_CHECKED_H_
#define TN_BASE_CHECKED_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tn_add_size(size_t a, size_t b, size_t *out) {
    size_t result;
    if (__builtin_add_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

static inline bool tn_mul_size(size_t a, size_t b, size_t *out) {
    size_t result;
    if (__builtin_mul_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

static inline bool tn_add_i64(int64_t a, int64_t b, int64_t *out) {
    int64_t result;
    if (__builtin_add_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

static inline bool tn_mul_i64(int64_t a, int64_t b, int64_t *out) {
    int64_t result;
    if (__builtin_mul_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

/* Rounds up to a multiple of `alignment`, a power of two. */
static inline bool tn_align_size(size_t size, size_t alignment, size_t *out) {
    size_t sum;
    if (!tn_add_size(size, alignment - 1, &sum)) return false;
    *out = sum & ~(alignment - 1);
    return true;
}

/* For values known to be small: shapes already checked, tile counts. b > 0. */
static inline int64_t tn_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t tn_round_up(int64_t a, int64_t b) {
    return tn_ceil_div(a, b) * b;
}

#endif
