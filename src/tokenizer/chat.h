/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.h: tn_tokenizer_render_chat of JSON that is parsed already, for the server, whose request holds messages, tools and
 * variables as parts of one document. To read tool calls out of an answer see tool_calls.h.
 */
#ifndef TN_TOKENIZER_CHAT_H_
#define TN_TOKENIZER_CHAT_H_

#include "format/json.h"
#include "tenon/tokenizer.h"

/* Borrowed for the call; each may be NULL but messages. null counts as NULL. */
typedef struct tn_chat_values {
    const tn_json_value *messages;  /* array */
    const tn_json_value *tools;     /* array */
    const tn_json_value *documents; /* array; in place of a variable of that name */
    const tn_json_value *variables; /* object: chat_template_kwargs */
    size_t size_bytes;              /* of the text that they came from: the memory limit grows with it */
    bool joins_parts;               /* a content that is a list of parts with a `text` is seen as one text, lines of which they are: most
                                       templates know only that */
} tn_chat_values;

/* The three texts of the options are not read; everything else is as tn_tokenizer_render_chat has it. */
TN_MUST_CHECK tn_status tn_chat_render_values(const tn_tokenizer *tokenizer, const tn_chat_values *values, const tn_chat_options *options,
                                              tn_text_segment **out_segments, size_t *out_num_segments);

#endif
