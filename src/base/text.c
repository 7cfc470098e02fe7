/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: growable byte strings, UTF-8, numbers for people; see text.h.
 */
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

enum { SMALLEST_CAPACITY = 64 };

/* Room for `extra` bytes and a NUL; sets `failed` if there is none. */
static bool reserve(tn_text *text, size_t extra) {
    if (text->failed) return false;
    size_t new_size, needed;
    if (!tn_add_size(text->size, extra, &new_size) || !tn_add_size(new_size, 1, &needed) ||
        (text->max_size > 0 && new_size > text->max_size)) {
        text->failed = true;
        return false;
    }
    if (needed <= text->capacity) return true;
    size_t capacity = text->capacity > SMALLEST_CAPACITY / 2 ? text->capacity : SMALLEST_CAPACITY / 2;
    if (!tn_mul_size(capacity, 2, &capacity) || capacity < needed) capacity = needed;
    char *data = tn_realloc(text->allocator, text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void tn_text_append(tn_text *text, const void *bytes, size_t size_bytes) {
    if (!reserve(text, size_bytes)) return;
    if (size_bytes > 0) memcpy(text->data + text->size, bytes, size_bytes);
    text->size += size_bytes;
    text->data[text->size] = '\0';
}

void tn_text_append_string(tn_text *text, const char *string) {
    tn_text_append(text, string, strlen(string));
}

void tn_text_append_char(tn_text *text, char c) {
    tn_text_append(text, &c, 1);
}

void tn_text_append_format(tn_text *text, const char *format, ...) {
    va_list args;
    size_t room = text->failed ? 0 : text->capacity - text->size;
    va_start(args, format);
    int length = vsnprintf(room > 0 ? text->data + text->size : NULL, room, format, args); /* mostly there is room */
    va_end(args);
    if (length < 0 || !reserve(text, (size_t)length)) {
        text->failed = true;
        if (room > 0) text->data[text->size] = '\0';
        return;
    }
    if ((size_t)length >= room) {
        va_start(args, format);
        (void)vsnprintf(text->data + text->size, (size_t)length + 1, format, args);
        va_end(args);
    }
    text->size += (size_t)length;
}

void tn_text_reset(tn_text *text) {
    text->size = 0;
    text->failed = false;
    if (text->data != NULL) text->data[0] = '\0';
}

void tn_text_deinit(tn_text *text) {
    tn_free(text->allocator, text->data);
    text->data = NULL;
    text->size = text->capacity = 0;
    text->failed = false;
}

/* What table 3-7 allows after a lead byte: how many bytes in all, and the range of the second. length 0: not a lead byte. */
typedef struct utf8_lead {
    int length;
    uint8_t second_min, second_max;
} utf8_lead;

static utf8_lead read_lead(uint8_t lead) {
    if (lead < 0x80) return (utf8_lead){1, 0, 0};
    if (lead >= 0xC2 && lead <= 0xDF) return (utf8_lead){2, 0x80, 0xBF};
    if (lead == 0xE0) return (utf8_lead){3, 0xA0, 0xBF};
    if (lead == 0xED) return (utf8_lead){3, 0x80, 0x9F};
    if (lead >= 0xE1 && lead <= 0xEF) return (utf8_lead){3, 0x80, 0xBF};
    if (lead == 0xF0) return (utf8_lead){4, 0x90, 0xBF};
    if (lead >= 0xF1 && lead <= 0xF3) return (utf8_lead){4, 0x80, 0xBF};
    if (lead == 0xF4) return (utf8_lead){4, 0x80, 0x8F};
    return (utf8_lead){0, 0, 0};
}

/* As tn_utf8_decode; *out_part is the length of the sequence, or of the maximal part that is bad (at least 1). */
static int decode_part(const uint8_t *bytes, size_t size, uint32_t *out_code_point, size_t *out_part) {
    *out_part = 1;
    utf8_lead lead = read_lead(bytes[0]);
    if (lead.length == 0) return 0;
    if (lead.length == 1) {
        *out_code_point = bytes[0];
        return 1;
    }
    uint32_t code_point = bytes[0] & (0x7Fu >> lead.length);
    for (size_t i = 1; i < (size_t)lead.length; i++) {
        *out_part = i;
        if (i >= size) return -1;
        uint8_t low = i == 1 ? lead.second_min : 0x80, high = i == 1 ? lead.second_max : 0xBF;
        if (bytes[i] < low || bytes[i] > high) return 0;
        code_point = code_point << 6 | (bytes[i] & 0x3Fu);
    }
    *out_part = (size_t)lead.length;
    *out_code_point = code_point;
    return lead.length;
}

int tn_utf8_decode(const char *bytes, size_t size, uint32_t *out_code_point) {
    *out_code_point = 0;
    if (size == 0) return -1;
    size_t part;
    return decode_part((const uint8_t *)bytes, size, out_code_point, &part);
}

int tn_utf8_encode(uint32_t code_point, char out_bytes[4]) {
    uint8_t *out = (uint8_t *)out_bytes;
    if (code_point < 0x80) {
        out[0] = (uint8_t)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (uint8_t)(0xC0 | code_point >> 6);
        out[1] = (uint8_t)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point >= 0xD800 && code_point <= 0xDFFF) return 0;
    if (code_point < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code_point >> 12);
        out[1] = (uint8_t)(0x80 | (code_point >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code_point & 0x3F));
        return 3;
    }
    if (code_point > 0x10FFFF) return 0;
    out[0] = (uint8_t)(0xF0 | code_point >> 18);
    out[1] = (uint8_t)(0x80 | (code_point >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code_point >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code_point & 0x3F));
    return 4;
}

bool tn_utf8_is_valid(const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        uint32_t code_point;
        int length = tn_utf8_decode(bytes + i, size - i, &code_point);
        if (length <= 0) return false;
        i += (size_t)length;
    }
    return true;
}

/* The two-character escape of c, or NULL. */
static const char *short_escape(uint32_t c) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

/* Bytes at the beginning that stand for themselves in a JSON string. */
static size_t count_plain(const char *bytes, size_t size_bytes) {
    size_t count = 0;
    while (count < size_bytes && bytes[count] >= 0x20 && bytes[count] < 0x7F && bytes[count] != '"' && bytes[count] != '\\') count++;
    return count;
}

void tn_text_append_json_string(tn_text *text, const char *bytes, size_t size_bytes) {
    size_t size_before = text->size;
    tn_text_append_char(text, '"');
    for (size_t i = 0; i < size_bytes && !text->failed;) {
        uint32_t code_point = 0;
        size_t part = count_plain(bytes + i, size_bytes - i);
        if (part > 0) {
            tn_text_append(text, bytes + i, part);
            i += part;
            continue;
        }
        int length = decode_part((const uint8_t *)bytes + i, size_bytes - i, &code_point, &part);
        const char *escape = length == 1 ? short_escape(code_point) : NULL;
        if (length <= 0) {
            tn_text_append(text, "\xEF\xBF\xBD", 3);
        } else if (escape != NULL) {
            tn_text_append(text, escape, 2);
        } else if (code_point < 0x20) {
            tn_text_append_format(text, "\\u%04" PRIx32, code_point);
        } else {
            tn_text_append(text, bytes + i, part);
        }
        i += part;
    }
    tn_text_append_char(text, '"');
    if (text->failed && text->data != NULL) { /* half a string would be worse than none */
        text->size = size_before;
        text->data[size_before] = '\0';
    }
}

bool tn_string_starts_with(const char *string, const char *prefix) {
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool tn_string_ends_with(const char *string, const char *suffix) {
    size_t length = strlen(string), suffix_length = strlen(suffix);
    return length >= suffix_length && memcmp(string + length - suffix_length, suffix, suffix_length) == 0;
}

const char *tn_format_count(uint64_t count, char buffer[32]) {
    char digits[24];
    int num_digits = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *out = buffer;
    for (int i = 0; i < num_digits; i++) {
        if (i > 0 && (num_digits - i) % 3 == 0) *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return buffer;
}

const char *tn_format_bytes(uint64_t size_bytes, char buffer[32]) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)size_bytes;
    size_t unit = 0;
    /* 999.5 would print as 1000 */
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(buffer, 32, "%.3g %s", value, units[unit]); /* %g drops the zeros after the point */
    return buffer;
}
