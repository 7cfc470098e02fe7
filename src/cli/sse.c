/* SPDX-License-Identifier: Apache-2.0
 *
 * sse.c: see sse.h.
 */
#include "cli/sse.h"

#include <string.h>

enum { MAX_EVENT_BYTES = 1 << 20 };

void tn_sse_init(tn_sse *sse, const tn_allocator *allocator) {
    *sse = (tn_sse){.line = {.allocator = allocator}, .data = {.allocator = allocator}};
}

void tn_sse_deinit(tn_sse *sse) {
    tn_text_deinit(&sse->line);
    tn_text_deinit(&sse->data);
}

void tn_sse_reset(tn_sse *sse) {
    tn_text line = sse->line, data = sse->data;
    tn_text_reset(&line);
    tn_text_reset(&data);
    *sse = (tn_sse){.line = line, .data = data};
}

/* A whole line without its end. */
static void read_line(tn_sse *sse, const char *line, size_t size) {
    static const char mark[] = "\xef\xbb\xbf";
    if (!sse->has_begun && size >= 3 && memcmp(line, mark, 3) == 0) line += 3, size -= 3;
    sse->has_begun = true;
    if (size < 4 || memcmp(line, "data", 4) != 0 || (size > 4 && line[4] != ':')) return;
    size_t begin = size > 4 ? 5 : 4;
    if (begin < size && line[begin] == ' ') begin++;
    if (sse->has_data) tn_text_append_char(&sse->data, '\n');
    tn_text_append(&sse->data, line + begin, size - begin);
    sse->has_data = true;
}

/* Bytes before the first CR or LF. */
static size_t find_line_end(const char *bytes, size_t size) {
    const char *newline = memchr(bytes, '\n', size);
    if (newline != NULL) size = (size_t)(newline - bytes);
    const char *carriage_return = memchr(bytes, '\r', size);
    return carriage_return != NULL ? (size_t)(carriage_return - bytes) : size;
}

tn_status tn_sse_next(tn_sse *sse, const char **bytes, size_t *size, const char **out_data, size_t *out_size) {
    *out_data = NULL;
    *out_size = 0;
    if (sse->was_given) tn_text_reset(&sse->data);
    sse->was_given = false;
    while (*size > 0) {
        if (sse->follows_cr && **bytes == '\n') {
            sse->follows_cr = false;
            ++*bytes, --*size;
            continue;
        }
        sse->follows_cr = false;
        size_t length = find_line_end(*bytes, *size);
        bool is_whole = length < *size;
        if (length > MAX_EVENT_BYTES - sse->line.size || sse->line.size + length > MAX_EVENT_BYTES - sse->data.size) return TN_INVALID_DATA;
        bool is_here = is_whole && sse->line.size == 0; /* the usual case: no copy of the line */
        if (!is_here) tn_text_append(&sse->line, *bytes, length);
        const char *line = is_here ? *bytes : sse->line.data;
        size_t line_size = is_here ? length : sse->line.size;
        *bytes += length, *size -= length;
        if (sse->line.failed) return TN_OUT_OF_MEMORY;
        if (!is_whole) return TN_OK;
        sse->follows_cr = **bytes == '\r';
        ++*bytes, --*size;
        read_line(sse, line, line_size);
        tn_text_reset(&sse->line);
        if (sse->data.failed) return TN_OUT_OF_MEMORY;
        if (line_size > 0 || !sse->has_data) continue;
        *out_data = sse->data.data;
        *out_size = sse->data.size;
        sse->has_data = false;
        sse->was_given = true;
        return TN_OK;
    }
    return TN_OK;
}
