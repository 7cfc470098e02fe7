/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls_json.h: JSON that arrives in pieces and may end anywhere, as far as tool calls need it: where a value ends, and
 * what name and arguments an object has.
 */
#ifndef TN_TOKENIZER_TOOL_CALLS_JSON_H_
#define TN_TOKENIZER_TOOL_CALLS_JSON_H_

#include "base/text.h"
#include "tokenizer/regex.h"

typedef enum tn_tool_scan {
    TN_SCAN_MORE, /* so far it may be */
    TN_SCAN_DONE,
    TN_SCAN_BAD, /* it is not, whatever follows */
} tn_tool_scan;

/* Walks over one string or container, byte by byte. */
typedef struct tn_tool_cursor {
    uint64_t objects; /* bit d: level d is an object */
    int depth;
    bool in_string, escaped;
} tn_tool_cursor;
tn_tool_scan tn_tool_cursor_step(tn_tool_cursor *cursor, char c); /* DONE with the last byte of the value */

typedef enum tn_tool_arguments { TN_ARGUMENTS_NONE, TN_ARGUMENTS_OBJECT, TN_ARGUMENTS_STRING } tn_tool_arguments;

/* What stands before the arguments of a call. Offsets into the text that was scanned. */
typedef struct tn_tool_head {
    size_t name_begin, name_end;
    bool is_name_quoted; /* between the quotes of a JSON string */
    tn_tool_arguments arguments;
    size_t arguments_begin; /* at the bracket, or behind the quote */
    size_t arguments_end;   /* behind the bracket, or at the quote; 0: not seen, the text goes on there */
    size_t end;             /* scanned up to here */
    bool is_object_open;    /* an object around name and arguments has yet to end */
} tn_tool_head;

size_t tn_tool_skip_space(tn_bytes text, size_t at);
/* The object at text[at] == '{' as a call with its name under "name" or "tool_name" and its arguments under "arguments" or
 * "parameters", in any order. DONE as soon as both are found, the arguments perhaps unfinished, or the object has ended. */
tn_tool_scan tn_tool_scan_object(tn_bytes text, size_t at, tn_tool_head *out_head);

/* Appends what the inside of a JSON string means; returns how many bytes were read: all but an escape that more bytes could
 * finish (is_whole: none could). */
size_t tn_tool_unescape(tn_bytes inside, bool is_whole, tn_text *out);

#endif
