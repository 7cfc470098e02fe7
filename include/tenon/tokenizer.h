/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/tokenizer.h: text to token ids and back, and a model's chat template. To run a model with the ids, see
 * tenon/executor.h.
 *
 * A tokenizer gives the ids that the model's own tokenizer gives, one for one; a part that Tenon does not know is refused by
 * its name when the tokenizer is loaded, never skipped. It comes from a tokenizer.json, a sentencepiece model, a model
 * directory or a GGUF file, or from the compiled form that tn_tokenizer_save writes and that an engine directory holds.
 *
 *     tn_tokenizer *tokenizer;
 *     if (tn_tokenizer_load("SmolLM2-135M-Instruct", NULL, &tokenizer) != TN_OK) return 1;  // the reason went to stderr
 *     int32_t *ids;
 *     size_t num_ids;
 *     if (tn_tokenizer_encode(tokenizer, "Hello world", 11, NULL, &ids, &num_ids) == TN_OK) {
 *         …
 *         tn_tokenizer_free(tokenizer, ids);
 *     }
 *     tn_tokenizer_destroy(tokenizer);
 *
 * Special tokens (also: control tokens) have ids that text alone never gives: their strings count only where the caller says
 * so (parse_special, or a segment with is_template). Text from users is encoded without.
 *
 * Text is UTF-8 with its size, no NUL needed. Bytes that are not UTF-8 are read as U+FFFD, one for each maximal bad part (for
 * each bad byte where sentencepiece's normalizer reads them).
 * Ids are int32_t and ≥ 0; -1 means none.
 *
 * Threads: a tokenizer never changes after loading, any number of threads may use it. A tn_detokenizer belongs to one thread
 * at a time. Results are the caller's: release them with tn_tokenizer_free. What a getter lends lives as long as its object.
 */
#ifndef TENON_TOKENIZER_H_
#define TENON_TOKENIZER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/allocator.h"
#include "tenon/diag.h"
#include "tenon/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_tokenizer tn_tokenizer;

/* ---- load and save ---- */

typedef struct tn_tokenizer_options {
    size_t struct_size;            /* set by tn_tokenizer_options_init */
    tn_diag *diag;                 /* borrowed for the call; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
} tn_tokenizer_options;
TN_API void tn_tokenizer_options_init(tn_tokenizer_options *options);

/* Loads by what `path` is: a directory with tokenizer.bin or with tokenizer.json (and, where present, tokenizer_config.json,
 * special_tokens_map.json, generation_config.json, chat_template.jinja), a tokenizer.json, a sentencepiece model (by the end of
 * its name, .model), a compiled form, a GGUF file.
 * TN_NOT_FOUND     no such file, or the directory has no tokenizer
 * TN_INVALID_DATA  damaged, or contradicts itself: the diagnostic says what and where
 * TN_UNSUPPORTED   uses a part that Tenon does not have: the diagnostic names it
 * TN_INCOMPATIBLE  a compiled form of another version: build the engine again
 * Blocks until usable. A compiled form is mapped, not copied. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_load(const char *path, const tn_tokenizer_options *options, tn_tokenizer **out_tokenizer);

/* From the text of a tokenizer.json. Such a tokenizer knows no begin and end ids and has no chat template: these stand in
 * the files beside it. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_load_json(const char *json, size_t size_bytes, const tn_tokenizer_options *options,
                                                      tn_tokenizer **out_tokenizer);

/* From a compiled form in memory, which is borrowed: it must outlive the tokenizer. Any address will do. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_load_compiled(const void *data, size_t size_bytes, const tn_tokenizer_options *options,
                                                          tn_tokenizer **out_tokenizer);

/* Writes the compiled form, whole or not at all. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_save(const tn_tokenizer *tokenizer, const char *path, tn_diag *diag);
/* Lends the compiled form. */
TN_API void tn_tokenizer_get_compiled(const tn_tokenizer *tokenizer, const void **out_data, size_t *out_size_bytes);

TN_API void tn_tokenizer_destroy(tn_tokenizer *tokenizer); /* accepts NULL */

/* Releases ids or text that a function below gave out for this tokenizer. Accepts NULL for `block`. */
TN_API void tn_tokenizer_free(const tn_tokenizer *tokenizer, void *block);

/* ---- look ---- */

/* One more than the largest id. Ids in between may be unused. */
TN_API size_t tn_tokenizer_vocab_size(const tn_tokenizer *tokenizer);
/* The token's string as the vocabulary writes it ("Ġworld"), lent with its size; NULL for an unused or foreign id. */
TN_API const char *tn_tokenizer_piece(const tn_tokenizer *tokenizer, int32_t id, size_t *out_size_bytes);
/* The id of exactly this piece, or -1. */
TN_API int32_t tn_tokenizer_find(const tn_tokenizer *tokenizer, const char *piece, size_t size_bytes);
TN_API bool tn_tokenizer_is_special(const tn_tokenizer *tokenizer, int32_t id);
TN_API int32_t tn_tokenizer_bos_id(const tn_tokenizer *tokenizer); /* begin of text, or -1 */
TN_API int32_t tn_tokenizer_eos_id(const tn_tokenizer *tokenizer); /* end of text, or -1 */
TN_API int32_t tn_tokenizer_pad_id(const tn_tokenizer *tokenizer); /* padding, or -1 */
/* All ids that end an answer, the end id first; lends them and returns how many. */
TN_API size_t tn_tokenizer_end_ids(const tn_tokenizer *tokenizer, const int32_t **out_ids);
TN_API bool tn_tokenizer_is_end(const tn_tokenizer *tokenizer, int32_t id);

/* ---- encode ---- */

typedef struct tn_encode_options {
    size_t struct_size; /* set by tn_encode_options_init */
    tn_diag *diag;      /* borrowed for the call; NULL: stderr */
    bool add_special;   /* default true: what the model's post-processor adds around a text, such as the begin token */
    bool parse_special; /* default false: strings of special tokens in the text become these tokens */
} tn_encode_options;
TN_API void tn_encode_options_init(tn_encode_options *options);

/* TN_INVALID_DATA  the pre-tokenizer's pattern needs more steps on this text than the limit allows
 * TN_OUT_OF_MEMORY
 * Time and memory grow with the size of the text times its logarithm at most. *out_ids is never NULL on success. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_encode(const tn_tokenizer *tokenizer, const char *text, size_t size_bytes,
                                                   const tn_encode_options *options, int32_t **out_ids, size_t *out_num_ids);

/* A stretch of a text. Special strings count only where every byte of them stands in template segments. */
typedef struct tn_text_segment {
    const char *text;
    size_t size_bytes;
    bool is_template;
} tn_text_segment;

/* Encodes the segments as the one text that they make together (a word may cross from one to the next). parse_special is
 * not read. A chat template writes its own begin token, so chats are encoded with add_special = false. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_encode_segments(const tn_tokenizer *tokenizer, const tn_text_segment *segments,
                                                            size_t num_segments, const tn_encode_options *options, int32_t **out_ids,
                                                            size_t *out_num_ids);

/* ---- decode ---- */

/* The text of the ids, valid UTF-8 (U+FFFD for what is not), with a NUL after it. Ids that no token has add nothing.
 * skip_special: special tokens add nothing. NULL diag: stderr. */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_decode(const tn_tokenizer *tokenizer, const int32_t *ids, size_t num_ids, bool skip_special,
                                                   tn_diag *diag, char **out_text, size_t *out_size_bytes);

/* Decodes a token at a time. All that push and finish give out, put together, is what tn_tokenizer_decode gives for the same
 * ids; each part is valid UTF-8 made of whole code points. A code point whose bytes are spread over tokens comes with the
 * last of them. */
typedef struct tn_detokenizer tn_detokenizer;

typedef struct tn_detokenizer_options {
    size_t struct_size; /* set by tn_detokenizer_options_init */
    tn_diag *diag;      /* borrowed for the object's life; NULL: stderr */
    bool skip_special;  /* default true */
} tn_detokenizer_options;
TN_API void tn_detokenizer_options_init(tn_detokenizer_options *options);

/* The tokenizer is borrowed and must outlive the detokenizer. */
TN_API TN_MUST_CHECK tn_status tn_detokenizer_create(const tn_tokenizer *tokenizer, const tn_detokenizer_options *options,
                                                     tn_detokenizer **out_detokenizer);
/* Lends the text that this id completes, often none, with a NUL after it; it lives until the next call. */
TN_API TN_MUST_CHECK tn_status tn_detokenizer_push(tn_detokenizer *detokenizer, int32_t id, const char **out_text, size_t *out_size_bytes);
/* Lends what was held back, then starts anew. */
TN_API TN_MUST_CHECK tn_status tn_detokenizer_finish(tn_detokenizer *detokenizer, const char **out_text, size_t *out_size_bytes);
TN_API void tn_detokenizer_destroy(tn_detokenizer *detokenizer); /* accepts NULL */

/* ---- chat ---- */

/* The model's chat template (Jinja), lent with its size; NULL if it has none. */
TN_API const char *tn_tokenizer_chat_template(const tn_tokenizer *tokenizer, size_t *out_size_bytes);

typedef struct tn_chat_message {
    const char *role;    /* "system", "user", "assistant", "tool" */
    const char *content; /* UTF-8 */
    size_t content_size_bytes;
} tn_chat_message;

typedef struct tn_chat_options {
    size_t struct_size;         /* set by tn_chat_options_init */
    tn_diag *diag;              /* borrowed for the call; NULL: stderr */
    bool add_generation_prompt; /* default true: ends where the assistant's answer begins */
    /* A JSON array in place of `messages`, for what tn_chat_message cannot say, borrowed; NULL: none. The form is that of
     * OpenAI's API: {"role", "content": text, null or parts, "tool_calls": [{"id", "type", "function": {"name",
     * "arguments"}}], "tool_call_id", …}; what the template does not ask for is not looked at. Where the arguments of a
     * tool call are a string that holds a JSON object, the template sees the object, as most expect, and where it prints
     * or joins that, the string; any other string stays a string. */
    const char *messages_json;
    /* A JSON object of further template variables ("documents", "enable_thinking"; a server's chat_template_kwargs), borrowed;
     * NULL: none. It cannot replace messages, add_generation_prompt, the special tokens, or tools where tools_json is given. */
    const char *variables_json;
    const char *template_text; /* used in place of the tokenizer's own, borrowed, with a NUL; NULL: the tokenizer's */
    bool has_now;              /* default false: a template that asks for the time is refused */
    int64_t now_unix_s;        /* the time strftime_now shows, in seconds since 1970, UTC */
    /* A JSON array of the tools that the model may call: [{"type": "function", "function": {"name", "description",
     * "parameters"}}], borrowed; NULL: none. The template's variable `tools`; `tools` and `documents` are none if not given. */
    const char *tools_json;
    /* Default false. Ends right behind the content of the last message, so that the model goes on with it;
     * add_generation_prompt must be false. The end is cut at the last place where this content stands, without white space
     * around it if the template has trimmed it. */
    bool continue_final_message;
} tn_chat_options;
TN_API void tn_chat_options_init(tn_chat_options *options);

/* Renders the chat into segments: what the template wrote, and what came from messages or variables, wherever the template
 * moved it. Segments and texts are one block: release it with tn_tokenizer_free. No two neighbours are of one kind.
 * TN_NOT_FOUND         the model has no chat template: use `--raw`, or give one
 * TN_UNSUPPORTED       the template uses a construct that Tenon's subset of Jinja lacks: the diagnostic names it and the line
 * TN_INVALID_DATA      the template is malformed, or went beyond the limits on steps, output, memory or depth
 * TN_INVALID_ARGUMENT  the template refuses this conversation (raise_exception): the diagnostic has its words; messages, tools
 *                      or variables are no JSON of the form above; continue_final_message cannot be done */
TN_API TN_MUST_CHECK tn_status tn_tokenizer_render_chat(const tn_tokenizer *tokenizer, const tn_chat_message *messages, size_t num_messages,
                                                        const tn_chat_options *options, tn_text_segment **out_segments,
                                                        size_t *out_num_segments);

#ifdef __cplusplus
}
#endif
#endif
