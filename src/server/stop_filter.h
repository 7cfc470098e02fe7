/* SPDX-License-Identifier: Apache-2.0
 *
 * stop_filter.h: text up to the first stop string, given out as early as can be: held back is only what may still become one.
 *
 * The stop string that ends first counts, of those that end together the one that begins first: so the answer does not
 * depend on how the text was cut into tokens.
 */
#ifndef TN_SERVER_STOP_FILTER_H_
#define TN_SERVER_STOP_FILTER_H_

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Borrowed by filters; strings are not empty. */
typedef struct tn_stop_strings {
    const char *const *strings;
    const size_t *sizes;
    size_t count;
    bool keep; /* the one that was found stays in the text */
} tn_stop_strings;

typedef struct tn_stop_filter {
    const tn_stop_strings *stops;
    tn_text held;
    const char *found; /* NULL: none yet */
} tn_stop_filter;

/* Appends to `out` what can be told after `text` came. False: a stop string is complete, nothing more will be told. */
bool tn_stop_filter_push(tn_stop_filter *filter, const char *text, size_t size_bytes, tn_text *out);
/* The text ended: appends what was held back. */
void tn_stop_filter_finish(tn_stop_filter *filter, tn_text *out);
void tn_stop_filter_deinit(tn_stop_filter *filter);

#endif
