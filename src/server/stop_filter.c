/* SPDX-License-Identifier: Apache-2.0
 *
 * stop_filter.c: holding back what may become a stop string.
 */
#include "server/stop_filter.h"

#include <string.h>

typedef struct match {
    size_t begin, end;
    const char *string;
} match;

static bool find_first(const tn_stop_filter *filter, match *out) {
    bool is_found = false;
    for (size_t i = 0; i < filter->stops->count; i++) {
        const char *string = filter->stops->strings[i];
        size_t size = filter->stops->sizes[i];
        const char *place = memmem(filter->held.data, filter->held.size, string, size);
        if (place == NULL) continue;
        size_t begin = (size_t)(place - filter->held.data);
        if (is_found && (begin + size > out->end || (begin + size == out->end && begin >= out->begin))) continue;
        *out = (match){begin, begin + size, string};
        is_found = true;
    }
    return is_found;
}

/* How many bytes at the end of what is held begin some stop string. */
static size_t count_undecided(const tn_stop_filter *filter) {
    size_t longest = 0;
    for (size_t i = 0; i < filter->stops->count; i++) {
        size_t size = filter->stops->sizes[i] - 1 < filter->held.size ? filter->stops->sizes[i] - 1 : filter->held.size;
        for (; size > longest; size--)
            if (memcmp(filter->held.data + filter->held.size - size, filter->stops->strings[i], size) == 0) longest = size;
    }
    return longest;
}

bool tn_stop_filter_push(tn_stop_filter *filter, const char *text, size_t size_bytes, tn_text *out) {
    if (filter->stops->count == 0) {
        tn_text_append(out, text, size_bytes);
        return true;
    }
    if (filter->found != NULL) return false;
    if (size_bytes == 0) return true;
    tn_text_append(&filter->held, text, size_bytes);
    if (filter->held.failed) {
        out->failed = true;
        return true;
    }
    match first = {0};
    if (find_first(filter, &first)) {
        filter->found = first.string;
        tn_text_append(out, filter->held.data, filter->stops->keep ? first.end : first.begin);
        return false;
    }
    size_t num_held = count_undecided(filter), num_told = filter->held.size - num_held;
    if (num_told == 0) return true;
    tn_text_append(out, filter->held.data, num_told);
    memmove(filter->held.data, filter->held.data + num_told, num_held + 1);
    filter->held.size = num_held;
    return true;
}

void tn_stop_filter_finish(tn_stop_filter *filter, tn_text *out) {
    if (filter->found == NULL && filter->held.size > 0) tn_text_append(out, filter->held.data, filter->held.size);
    tn_text_reset(&filter->held);
}

void tn_stop_filter_deinit(tn_stop_filter *filter) {
    tn_text_deinit(&filter->held);
}
