/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.h: from a body to work in the executor. Knows nothing of HTTP's connections, so that any thread may do it.
 */
#ifndef TN_SERVER_PREPARE_H_
#define TN_SERVER_PREPARE_H_

#include "server/exchange.h"

/* Reads the body of /v1/completions or /v1/chat/completions, enqueues its requests and sets exchange->generation; or fills
 * exchange->error. `diag` is scratch. */
void tn_prepare_generation(tn_exchange *exchange, tn_diag *diag);

/* Does it at once, or hands the exchange to the preparer if its body is large. */
void tn_exchange_generate(tn_exchange *exchange);
/* After the preparer: what it made of it. */
void tn_exchange_take_prepared(tn_exchange *exchange);

#endif
