/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.h: from a body to work in the executor. Knows nothing of HTTP's connections, so that any thread may do it.
 */
#ifndef TN_SERVER_PREPARE_H_
#define TN_SERVER_PREPARE_H_

#include "server/exchange.h"

/* The handler of /v1/completions and /v1/chat/completions: enqueues the body's requests and sets exchange->generation, or refuses. */
void tn_exchange_generate(tn_exchange *exchange);

/* The preparer shall run the exchange's handler. */
void tn_exchange_hand_over(tn_exchange *exchange);

#endif
