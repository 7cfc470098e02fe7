/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h: how Tenon's code reports an error, warning or info to a tn_diag. The public side is tenon/diag.h.
 *
 * A function that fails reports once, where it knows most, and returns the code; its callers only pass the code on:
 *
 *     if (num_dims > TN_MAX_RANK)
 *         return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: tensor '%s' has %u dimensions, at most %d are allowed", …);
 *
 * Wording: lower case, attempted action + reason + value, no function names, no full stop, numbers with their limit.
 * With diag == NULL the text goes to stderr as "tenon: <message>" and the hint on the next line, indented by two.
 */
#ifndef TN_BASE_REPORT_H_
#define TN_BASE_REPORT_H_

#include <stdbool.h>

#include "tenon/diag.h"

/* Where and what next; unset members stay NULL. Set `has_offset` with offset. Strings are copied. */
typedef struct tn_where {
    const char *subject, *file, *hint;
    bool has_offset;
    int64_t offset;
} tn_where;

/* Both record an error and return `code`, so that `return tn_fail(…)` is the idiom. Never fail themselves. */
tn_status tn_fail(tn_diag *diag, tn_status code, const char *format, ...) TN_PRINTF(3, 4);
tn_status tn_fail_at(tn_diag *diag, tn_status code, const tn_where *where, const char *format, ...) TN_PRINTF(4, 5);

/* Records "out of memory: <what> needs <size> bytes" without allocating more than the entry; returns TN_OUT_OF_MEMORY. */
tn_status tn_fail_memory(tn_diag *diag, const char *what, size_t size_bytes);

void tn_warn(tn_diag *diag, const tn_where *where, const char *format, ...) TN_PRINTF(3, 4);
void tn_info(tn_diag *diag, const tn_where *where, const char *format, ...) TN_PRINTF(3, 4);

#endif
