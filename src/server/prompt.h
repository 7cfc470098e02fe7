/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.h: prompts as token ids: texts, lists of ids, chats through the model's template.
 */
#ifndef TN_SERVER_PROMPT_H_
#define TN_SERVER_PROMPT_H_

#include "base/arena.h"
#include "server/fields.h"
#include "tenon/tokenizer.h"

struct tn_server;

typedef struct tn_prompt {
    const int32_t *ids; /* the arena's */
    size_t num_ids;
} tn_prompt;

/* What a request's preparation needs besides its fields; `diag` collects and is cleared by whoever reports from it. */
typedef struct tn_preparation {
    struct tn_server *server;
    tn_arena *arena; /* of what must live as long as the request */
    tn_diag *diag;
    tn_api_error *error;
    size_t body_bytes;
} tn_preparation;

/* `prompt` of /v1/completions: a string, a list of strings, of ids, or of lists of ids. At most max_prompts. */
bool tn_prompts_read(const tn_preparation *self, const tn_json_value *value, const char *param, size_t max_prompts, tn_prompt **out_prompts,
                     size_t *out_count);
/* A list of ids within the vocabulary. */
bool tn_ids_read(const tn_preparation *self, const tn_json_value *value, const char *param, size_t max_ids, int32_t **out_ids,
                 size_t *out_count);
/* A text as ids. */
bool tn_prompt_encode(const tn_preparation *self, const char *text, size_t size, bool add_special, bool parse_special, const char *param,
                      tn_prompt *out);
/* messages, tools, documents, chat_template_kwargs and chat_template: what the template makes of them. The segments are the
 * tokenizer's: tn_tokenizer_free. */
bool tn_chat_render(const tn_preparation *self, const tn_api_fields *fields, tn_text_segment **out_segments, size_t *out_count);
bool tn_chat_encode(const tn_preparation *self, const tn_api_fields *fields, tn_prompt *out);

#endif
