/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.h: from a body to work in the executor. Knows nothing of HTTP's connections, so that any thread may do it.
 */
#ifndef TN_SERVER_PREPARE_H_
#define TN_SERVER_PREPARE_H_

#include "server/exchange.h"
#include "server/generation.h"
#include "server/prompt.h"

/* The handler of /v1/completions, /v1/chat/completions and /v1/embeddings: enqueues the body's requests and sets exchange->generation, or
 * refuses. */
void tn_exchange_generate(tn_exchange *exchange);

/* What the bodies of these routes share (embeddings.c). */
bool tn_prepare_check_model(const tn_preparation *self, const tn_api_fields *fields);
bool tn_prepare_check_context(const tn_preparation *self, const char *param, const tn_prompt *prompts, size_t count);
/* Names the generation and enqueues its requests, one a prompt, each as `pattern` with the body's salt; num_bytes: of rows that they
 * return. */
bool tn_generation_start(const tn_preparation *self, const tn_api_fields *fields, tn_exchange *exchange, tn_generation *generation,
                         tn_request *pattern, const tn_prompt *prompts, int64_t num_bytes);

/* The preparer shall run the exchange's handler. */
void tn_exchange_hand_over(tn_exchange *exchange);

#endif
