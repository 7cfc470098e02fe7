/* SPDX-License-Identifier: Apache-2.0
 *
 * http_response.h: one HTTP/1.x response as its bytes come, from a server that nobody trusts.
 *
 *     tn_http_response response;
 *     tn_http_response_init(&response, NULL);
 *     for (size_t used; size > 0 && !response.is_complete; bytes += used, size -= used)
 *         if (tn_http_response_feed(&response, bytes, size, &used, &body, &body_size) != TN_OK) …   // response.error says why
 *         else if (body_size > 0) take(body, body_size);          // a piece of the body, inside of `bytes`
 *     // the connection closed: tn_http_response_end
 *     tn_http_response_deinit(&response);
 *
 * Read are: 1xx answers (skipped), Content-Length, chunked coding with extensions and trailers (both skipped), bodies that end with
 * the connection. Refused: more than 64 KiB of lines before or after a body, a line beyond 16 KiB, more than 100 header fields,
 * folded lines, a Content-Length that is no number or is told twice differently or beside a Transfer-Encoding, codings other than
 * chunked, compressed bodies, 101. Lines may end with LF alone.
 */
#ifndef TN_CLI_HTTP_RESPONSE_H_
#define TN_CLI_HTTP_RESPONSE_H_

#include "base/report.h"
#include "base/text.h"

typedef enum tn_http_phase {
    TN_HTTP_STATUS_LINE = 0,
    TN_HTTP_FIELDS,
    TN_HTTP_BODY,          /* remaining_bytes of it */
    TN_HTTP_BODY_TO_CLOSE, /* no length was told */
    TN_HTTP_CHUNK_SIZE,
    TN_HTTP_CHUNK,     /* remaining_bytes of it */
    TN_HTTP_CHUNK_END, /* the empty line after its bytes */
    TN_HTTP_TRAILERS,
} tn_http_phase;

typedef struct tn_http_response {
    tn_http_phase phase;
    int status; /* 0 until its line was read */
    bool is_complete, is_event_stream;
    bool keeps_connection; /* once complete: another request may use the connection */
    const char *error;     /* after TN_INVALID_DATA */
    tn_text line;          /* of the head, so far */
    size_t num_head_bytes, num_fields;
    uint64_t remaining_bytes;
    bool has_length, is_chunked;
} tn_http_response;

void tn_http_response_init(tn_http_response *response, const tn_allocator *allocator);
void tn_http_response_deinit(tn_http_response *response); /* accepts a zeroed one */
/* For the next response of the same connection; keeps the memory. */
void tn_http_response_reset(tn_http_response *response);

/* Reads from bytes[0..size_bytes) up to a piece of the body, *out_used ≥ 1 of them. Bytes behind a complete response are not read.
 * TN_INVALID_DATA    no HTTP, or refused: response->error
 * TN_OUT_OF_MEMORY   also there; neither is reported elsewhere: to a load generator it is an outcome among others */
TN_MUST_CHECK tn_status tn_http_response_feed(tn_http_response *response, const char *bytes, size_t size_bytes, size_t *out_used,
                                              const char **out_body, size_t *out_body_size);
/* The connection closed. TN_INVALID_DATA if the response was not at its end. */
TN_MUST_CHECK tn_status tn_http_response_end(tn_http_response *response);

#endif
