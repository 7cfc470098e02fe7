/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls_fuzz.c: any text as an answer, of any form (the first byte), whole and cut (the second byte): the same events, no
 * byte of content invented.
 * covers: tool_calls.c tool_calls_json.c
 */
#include "tokenizer/tool_calls.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void collect(tn_text *line, const tn_tool_event *events, size_t num_events) {
    for (size_t i = 0; i < num_events; i++) {
        if (events[i].kind == TN_TOOL_CALL_BEGIN || events[i].kind == TN_TOOL_CALL_END)
            tn_text_append_format(line, "\x01%d %zu\x01", (int)events[i].kind, events[i].index);
        tn_text_append(line, events[i].text, events[i].size_bytes);
    }
}

/* Pieces of `step` bytes, longer by the rest of a code point. */
static tn_text stream(tn_tool_form form, const char *text, size_t size, size_t step) {
    tn_tool_parser *parser;
    tn_text line = {0};
    const tn_tool_event *events;
    size_t num_events;
    if (tn_tool_parser_create(form, NULL, NULL, &parser) != TN_OK) abort();
    for (size_t at = 0, end; at < size; at = end) {
        end = size - at < step ? size : at + step;
        while (end < size && ((unsigned char)text[end] & 0xC0) == 0x80) end++;
        if (tn_tool_parser_push(parser, text + at, end - at, &events, &num_events) != TN_OK) abort();
        collect(&line, events, num_events);
    }
    if (tn_tool_parser_finish(parser, &events, &num_events) != TN_OK) abort();
    collect(&line, events, num_events);
    tn_tool_parser_destroy(parser);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || !tn_utf8_is_valid((const char *)data + 2, size - 2)) return 0;
    tn_tool_form form = (tn_tool_form)(1 + data[0] % TN_TOOLS_COMMAND);
    const char *text = (const char *)data + 2;
    tn_text whole = stream(form, text, size - 2, size), cut = stream(form, text, size - 2, 1 + data[1] % 32u);
    if (whole.size != cut.size || (whole.size && memcmp(whole.data, cut.data, whole.size) != 0)) abort();
    tn_tool_answer *answer;
    if (tn_tool_calls_parse(form, text, size - 2, NULL, NULL, &answer) != TN_OK || answer->content_size_bytes > size - 2) abort();
    tn_free(NULL, answer);
    tn_text_deinit(&whole);
    tn_text_deinit(&cut);
    return 0;
}
