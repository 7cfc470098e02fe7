/* SPDX-License-Identifier: Apache-2.0
 *
 * http_response.c: see http_response.h.
 */
#include "cli/http_response.h"

#include <string.h>
#include <strings.h>

enum { MAX_LINE_BYTES = 16 << 10, MAX_HEAD_BYTES = 64 << 10, MAX_FIELDS = 100 };

void tn_http_response_init(tn_http_response *response, const tn_allocator *allocator) {
    *response = (tn_http_response){.line = {.allocator = allocator, .max_size = MAX_LINE_BYTES}};
}

void tn_http_response_deinit(tn_http_response *response) {
    tn_text_deinit(&response->line);
}

void tn_http_response_reset(tn_http_response *response) {
    tn_text line = response->line;
    tn_text_reset(&line);
    *response = (tn_http_response){.line = line};
}

static tn_status refuse(tn_http_response *response, const char *error) {
    response->error = error;
    return TN_INVALID_DATA;
}

/* --- lines -------------------------------------------------------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" */
static tn_status read_status_line(tn_http_response *response, const char *line, size_t size) {
    bool is_http = size >= 12 && memcmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') && line[8] == ' ' &&
                   is_digit(line[9]) && is_digit(line[10]) && is_digit(line[11]) && (size == 12 || line[12] == ' ');
    if (!is_http) return refuse(response, "the answer is not HTTP/1.1");
    response->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (response->status < 100 || response->status == 101) return refuse(response, "the answer's status cannot be used");
    response->keeps_connection = line[7] == '1';
    response->phase = TN_HTTP_FIELDS;
    return TN_OK;
}

static tn_status read_length(tn_http_response *response, const char *value, size_t size) {
    uint64_t length = 0;
    for (size_t i = 0; i < size; i++)
        if (!is_digit(value[i]) || length > (UINT64_MAX - 9) / 10)
            return refuse(response, "its Content-Length is no number");
        else
            length = length * 10 + (uint64_t)(value[i] - '0');
    if (size == 0) return refuse(response, "its Content-Length is no number");
    if (response->has_length && length != response->remaining_bytes) return refuse(response, "it has two different Content-Lengths");
    response->has_length = true;
    response->remaining_bytes = length;
    return TN_OK;
}

static bool is_word(const char *value, size_t size, const char *word) {
    return size == strlen(word) && strncasecmp(value, word, size) == 0;
}

/* Whether a word is in a list such as "keep-alive, Upgrade". */
static bool has_word(const char *value, size_t size, const char *word) {
    for (size_t begin = 0, end; begin < size; begin = end + 1) {
        for (end = begin; end < size && value[end] != ',';) end++;
        size_t first = begin, last = end;
        while (first < last && (value[first] == ' ' || value[first] == '\t')) first++;
        while (last > first && (value[last - 1] == ' ' || value[last - 1] == '\t')) last--;
        if (is_word(value + first, last - first, word)) return true;
    }
    return false;
}

static tn_status read_field(tn_http_response *response, const char *line, size_t size) {
    static const char event_stream[] = "text/event-stream";
    if (++response->num_fields > MAX_FIELDS) return refuse(response, "it has more than 100 header fields");
    const char *colon = memchr(line, ':', size);
    if (line[0] == ' ' || line[0] == '\t') return refuse(response, "it has a folded header line");
    if (colon == NULL || colon == line || colon[-1] == ' ' || colon[-1] == '\t')
        return refuse(response, "it has a header line without name");
    size_t name_size = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t value_size = (size_t)(end - value);
    if (is_word(line, name_size, "content-length")) return read_length(response, value, value_size);
    if (is_word(line, name_size, "transfer-encoding")) {
        if (response->is_chunked || !is_word(value, value_size, "chunked"))
            return refuse(response, "its Transfer-Encoding is not just chunked");
        response->is_chunked = true;
    } else if (is_word(line, name_size, "content-encoding")) {
        if (!is_word(value, value_size, "identity")) return refuse(response, "it is compressed, which was not asked for");
    } else if (is_word(line, name_size, "connection")) {
        if (has_word(value, value_size, "close")) response->keeps_connection = false;
        if (has_word(value, value_size, "keep-alive")) response->keeps_connection = true;
    } else if (is_word(line, name_size, "content-type")) {
        size_t size_there = sizeof event_stream - 1;
        response->is_event_stream = value_size >= size_there && strncasecmp(value, event_stream, size_there) == 0 &&
                                    (value_size == size_there || strchr("; \t", value[size_there]) != NULL);
    }
    return TN_OK;
}

/* The empty line after the header fields. */
static tn_status end_fields(tn_http_response *response) {
    if (response->status < 200) { /* the real answer follows */
        response->phase = TN_HTTP_STATUS_LINE;
        response->has_length = response->is_chunked = false;
        response->remaining_bytes = 0;
        return TN_OK;
    }
    if (response->is_chunked && response->has_length) return refuse(response, "it has a Content-Length and a Transfer-Encoding");
    if (response->status == 204 || response->status == 304)
        response->is_complete = true;
    else if (response->is_chunked)
        response->phase = TN_HTTP_CHUNK_SIZE;
    else if (!response->has_length) {
        response->phase = TN_HTTP_BODY_TO_CLOSE;
        response->keeps_connection = false;
    } else {
        response->phase = TN_HTTP_BODY;
        response->is_complete = response->remaining_bytes == 0;
    }
    return TN_OK;
}

/* "1a2b;name=value" */
static tn_status read_chunk_size(tn_http_response *response, const char *line, size_t size) {
    uint64_t length = 0;
    size_t num_digits = 0;
    for (; num_digits < size; num_digits++) {
        char c = line[num_digits];
        int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) break;
        if (length >> 60 != 0) return refuse(response, "a chunk's size is beyond 64 bits");
        length = length << 4 | (uint64_t)digit;
    }
    if (num_digits == 0 || (num_digits < size && strchr("; \t", line[num_digits]) == NULL))
        return refuse(response, "a chunk's size is no number");
    response->remaining_bytes = length;
    response->phase = length > 0 ? TN_HTTP_CHUNK : TN_HTTP_TRAILERS;
    /* A stream has any number of chunks: what is bounded is each line, and the trailers. */
    response->num_head_bytes = 0;
    return TN_OK;
}

static tn_status read_line(tn_http_response *response) {
    const char *line = response->line.data;
    size_t size = response->line.size - 1; /* without the LF */
    if (size > 0 && line[size - 1] == '\r') size--;
    if (memchr(line, '\0', size) != NULL) return refuse(response, "it has a NUL in a line");
    switch (response->phase) {
    case TN_HTTP_STATUS_LINE: return read_status_line(response, line, size);
    case TN_HTTP_FIELDS: return size == 0 ? end_fields(response) : read_field(response, line, size);
    case TN_HTTP_CHUNK_SIZE: return read_chunk_size(response, line, size);
    case TN_HTTP_CHUNK_END:
        if (size != 0) return refuse(response, "a chunk is longer than its size");
        response->phase = TN_HTTP_CHUNK_SIZE;
        return TN_OK;
    default: response->is_complete = size == 0; return TN_OK; /* a trailer */
    }
}

/* Takes bytes up to the line's end, if it is there. */
static tn_status gather_line(tn_http_response *response, const char *bytes, size_t size, size_t *out_used) {
    const char *newline = memchr(bytes, '\n', size);
    *out_used = newline != NULL ? (size_t)(newline - bytes) + 1 : size;
    response->num_head_bytes += *out_used;
    if (response->num_head_bytes > MAX_HEAD_BYTES) return refuse(response, "its head is larger than 64 KiB");
    if (response->line.size + *out_used > MAX_LINE_BYTES) return refuse(response, "it has a line of more than 16 KiB");
    tn_text_append(&response->line, bytes, *out_used);
    if (response->line.failed) {
        response->error = "out of memory";
        return TN_OUT_OF_MEMORY;
    }
    if (newline == NULL) return TN_OK;
    tn_status status = read_line(response);
    tn_text_reset(&response->line);
    return status;
}

/* --- bytes -------------------------------------------------------------------------------------------------------------------- */

tn_status tn_http_response_feed(tn_http_response *response, const char *bytes, size_t size_bytes, size_t *out_used, const char **out_body,
                                size_t *out_body_size) {
    *out_used = 0;
    *out_body = NULL;
    *out_body_size = 0;
    while (*out_used < size_bytes && !response->is_complete) {
        const char *at = bytes + *out_used;
        size_t size = size_bytes - *out_used, used;
        bool has_length = response->phase == TN_HTTP_BODY || response->phase == TN_HTTP_CHUNK;
        if (has_length || response->phase == TN_HTTP_BODY_TO_CLOSE) {
            if (has_length && size > response->remaining_bytes) size = (size_t)response->remaining_bytes;
            if (has_length) response->remaining_bytes -= size;
            if (response->phase == TN_HTTP_BODY) response->is_complete = response->remaining_bytes == 0;
            if (response->phase == TN_HTTP_CHUNK && response->remaining_bytes == 0) response->phase = TN_HTTP_CHUNK_END;
            *out_used += size;
            *out_body = at;
            *out_body_size = size;
            return TN_OK;
        }
        tn_status status = gather_line(response, at, size, &used);
        *out_used += used;
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

tn_status tn_http_response_end(tn_http_response *response) {
    if (response->phase == TN_HTTP_BODY_TO_CLOSE) response->is_complete = true;
    return response->is_complete ? TN_OK : refuse(response, "the server closed the connection before the answer's end");
}
