/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls.h: reads the tool calls that a model writes into its answer, from the whole text or piece by piece.
 *
 *     tn_tool_form form = tn_tool_form_of_template(template_text, template_size);   // once a model
 *     if (form == TN_TOOLS_NONE) …                                                  // requests with tools are refused by name
 *     tn_tool_parser *parser;
 *     status = tn_tool_parser_create(form, allocator, diag, &parser);               // once an answer
 *     for each piece of text:
 *         status = tn_tool_parser_push(parser, text, size, &events, &num_events);
 *         for each event:
 *             TN_TOOL_CONTENT      text that is no call: delta.content
 *             TN_TOOL_CALL_BEGIN   a call's name: delta.tool_calls[0] = {index, id, type, function: {name, arguments: ""}}
 *             TN_TOOL_CALL_DELTA   the next bytes of its arguments: delta.tool_calls[0] = {index, function: {arguments}}
 *             TN_TOOL_CALL_END     its arguments are whole
 *     status = tn_tool_parser_finish(parser, &events, &num_events);                 // what was held back
 *     finish_reason is "tool_calls" where tn_tool_parser_num_calls(parser) > 0
 *     tn_tool_parser_destroy(parser);
 *
 * What to feed: the answer's text decoded with special tokens shown (skip_special false: most markers are such tokens) and
 * without the end id. Pieces are whole code points, as tn_detokenizer gives them.
 *
 * Promises. However the text is cut into pieces, the events put together are the same (tn_tool_calls_parse is one push
 * and finish). No part of a marker is ever shown as content: text that may become a marker is held back, and comes as content as
 * soon as it cannot. White space before a marker, between calls and behind the last one belongs to nobody. A call begins
 * when its name is known and its arguments begin; what only looked like a call until then is content, byte for byte. The
 * arguments are the JSON object as the model wrote it ("{}" where it wrote none), not checked beyond strings and brackets; a
 * text that ends inside them leaves the call without its end.
 *
 * A parser belongs to one thread at a time. It keeps no more than the text held back and the events of one push.
 */
#ifndef TN_TOKENIZER_TOOL_CALLS_H_
#define TN_TOKENIZER_TOOL_CALLS_H_

#include "base/report.h"

/* How a family of templates has calls written. */
typedef enum tn_tool_form {
    TN_TOOLS_NONE = 0, /* in no way that is known here */
    TN_TOOLS_HERMES,   /* <tool_call>{"name", "arguments"}</tool_call>: Hermes, Qwen 2.5 and 3, Granite 4 */
    TN_TOOLS_LLAMA,    /* {"name", "parameters"} as the whole answer, perhaps behind <|python_tag|>: Llama 3.1 to 3.3 */
    TN_TOOLS_MISTRAL,  /* [TOOL_CALLS][{"name", "arguments"}, …], or [TOOL_CALLS]name[ARGS]{…} for each call */
    TN_TOOLS_DEEPSEEK, /* <｜tool▁call▁begin｜>function<｜tool▁sep｜>name, fenced JSON; or name<｜tool▁sep｜>{…} (V3.1) */
    TN_TOOLS_GRANITE,  /* <|tool_call|>[{"name", "arguments"}, …]: Granite 3, Phi-4-mini */
    TN_TOOLS_COMMAND,  /* <|START_ACTION|>[{"tool_name", "parameters"}, …]<|END_ACTION|>, or Action: and fenced JSON: Command R */
} tn_tool_form;

/* Found by the markers that the template's text holds. */
tn_tool_form tn_tool_form_of_template(const char *text, size_t size_bytes);
/* "hermes", "llama", …; "none". */
const char *tn_tool_form_name(tn_tool_form form);

typedef enum tn_tool_event_kind { TN_TOOL_CONTENT, TN_TOOL_CALL_BEGIN, TN_TOOL_CALL_DELTA, TN_TOOL_CALL_END } tn_tool_event_kind;

typedef struct tn_tool_event {
    tn_tool_event_kind kind;
    size_t index; /* of the call, from 0; of CONTENT 0 */
    /* CONTENT: text. BEGIN: the name. DELTA: a stretch of the arguments. END: "". Whole code points, no NUL behind. */
    const char *text;
    size_t size_bytes;
} tn_tool_event;

typedef struct tn_tool_parser tn_tool_parser;

/* diag is borrowed for the parser's life. TN_INVALID_ARGUMENT for TN_TOOLS_NONE; TN_OUT_OF_MEMORY. */
TN_MUST_CHECK tn_status tn_tool_parser_create(tn_tool_form form, const tn_allocator *allocator, tn_diag *diag, tn_tool_parser **out_parser);
void tn_tool_parser_destroy(tn_tool_parser *parser); /* accepts NULL */

/* Both lend the events until the next call. TN_OUT_OF_MEMORY is the only error; the parser is then only good for destroy. */
TN_MUST_CHECK tn_status tn_tool_parser_push(tn_tool_parser *parser, const char *text, size_t size_bytes, const tn_tool_event **out_events,
                                            size_t *out_num_events);
TN_MUST_CHECK tn_status tn_tool_parser_finish(tn_tool_parser *parser, const tn_tool_event **out_events, size_t *out_num_events);
size_t tn_tool_parser_num_calls(const tn_tool_parser *parser); /* begun so far */

/* A whole answer. */
typedef struct tn_tool_call {
    const char *name, *arguments; /* each with a NUL; arguments: JSON text */
    bool is_whole;                /* false: the text ended inside the arguments */
} tn_tool_call;
typedef struct tn_tool_answer {
    char *content; /* with a NUL */
    size_t content_size_bytes;
    tn_tool_call *calls;
    size_t num_calls;
} tn_tool_answer;

/* One block behind *out_answer: release it with tn_free(allocator, answer). */
TN_MUST_CHECK tn_status tn_tool_calls_parse(tn_tool_form form, const char *text, size_t size_bytes, const tn_allocator *allocator,
                                            tn_diag *diag, tn_tool_answer **out_answer);

#endif
