/* SPDX-License-Identifier: Apache-2.0
 *
 * sse.h: a stream of server-sent events as its bytes come, split at any place.
 *
 *     tn_sse sse;
 *     tn_sse_init(&sse, NULL);
 *     while (tn_sse_next(&sse, &bytes, &size, &data, &data_size) == TN_OK && data != NULL) take(data, data_size);
 *     tn_sse_deinit(&sse);
 *
 * As the HTML standard has it: lines end with LF, CR LF or CR; a byte-order mark at the beginning is skipped; the `data` lines of an
 * event are joined by LF; comments, event names, ids and retry times are skipped; an event without data is none; one that the end of
 * the stream cuts is dropped. An event beyond 1 MiB is refused.
 */
#ifndef TN_CLI_SSE_H_
#define TN_CLI_SSE_H_

#include "base/report.h"
#include "base/text.h"

typedef struct tn_sse {
    tn_text line, data;
    bool follows_cr, has_begun, has_data, was_given;
} tn_sse;

void tn_sse_init(tn_sse *sse, const tn_allocator *allocator);
void tn_sse_deinit(tn_sse *sse); /* accepts a zeroed one */
void tn_sse_reset(tn_sse *sse);  /* for another stream; keeps the memory */

/* Reads on in (*bytes)[0..*size), moving both, up to the end of an event: *out_data is its data with a NUL after it, until the next
 * call. NULL when all bytes were read. TN_INVALID_DATA: too large. TN_OUT_OF_MEMORY. Neither is reported elsewhere. */
TN_MUST_CHECK tn_status tn_sse_next(tn_sse *sse, const char **bytes, size_t *size, const char **out_data, size_t *out_size);

#endif
