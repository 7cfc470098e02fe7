/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.h: what `run` and `chat` share: sampling options, prompts as ids, and printing an answer as it comes.
 */
#ifndef TN_CLI_PROMPT_H_
#define TN_CLI_PROMPT_H_

#include "cli/session.h"

typedef struct tn_answer_args {
    int32_t max_tokens; /* 0: to the end of the context */
    tn_sampling_config sampling;
    bool has_top_k_or_p, has_temperature;
    bool ignore_eos;
} tn_answer_args;
void tn_answer_args_init(tn_answer_args *args);
extern const struct argp tn_answer_argp; /* input: tn_answer_args * */

/* A conversation through the model's template, or raw text with its special strings. tn_tokenizer_free the ids. */
bool tn_prompt_from_chat(const tn_tokenizer *tokenizer, const tn_chat_message *messages, size_t num_messages, int32_t **out_ids,
                         size_t *out_num_ids);
bool tn_prompt_from_text(const tn_tokenizer *tokenizer, const char *text, size_t size, int32_t **out_ids, size_t *out_num_ids);

/* Request with the sampling options and the model's end ids. The ids are borrowed. */
void tn_prompt_request(const tn_session *session, const tn_answer_args *args, const int32_t *ids, size_t num_ids, tn_request *out_request);

#endif
