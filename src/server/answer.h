/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.h: what a generation's choices look like as OpenAI's JSON: one object, or server-sent events.
 *
 * Events are made when the socket can take them: a reader that is slow gets more text in each, and costs no more memory.
 */
#ifndef TN_SERVER_ANSWER_H_
#define TN_SERVER_ANSWER_H_

#include <sys/types.h>

#include "server/exchange.h"

/* Makes what the events of a stream begin with, for tn_generation.event_head; once id and model are set. False: no memory. */
bool tn_generation_prepare_events(struct tn_generation *generation);
/* Fills the reply of an exchange whose generation is complete. */
void tn_exchange_finish(tn_exchange *exchange);
/* For MHD_ContentReaderCallback: bytes for the reader; 0 after suspending the exchange; or one of MHD's ends. */
ssize_t tn_stream_pull(tn_exchange *exchange, char *buffer, size_t size);

#endif
