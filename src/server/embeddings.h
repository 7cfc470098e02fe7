/* SPDX-License-Identifier: Apache-2.0
 *
 * embeddings.h: /v1/embeddings: texts as vectors. Each prompt is one request that reads it and draws one token that nobody sees; its
 * hidden states become the vector: of the last token, or the mean over all (tn_server_options.pooling), the first `dimensions` of
 * them, of length 1.
 */
#ifndef TN_SERVER_EMBEDDINGS_H_
#define TN_SERVER_EMBEDDINGS_H_

#include "server/exchange.h"
#include "server/generation.h"
#include "server/prompt.h"

/* A body of /v1/embeddings: enqueues its requests and sets exchange->generation, or refuses. */
bool tn_embeddings_prepare(const tn_preparation *self, tn_exchange *exchange, const tn_json_value *body);
/* The final response of a prompt: its vector becomes the choice's text, as JSON. Under the generation's and the metrics' locks. */
bool tn_embedding_take(tn_choice *choice, const tn_response *response, tn_api_error *error);
/* The whole answer. Under the generation's lock. */
void tn_embeddings_write(const tn_generation *generation, tn_text *out);

#endif
