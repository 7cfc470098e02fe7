/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h: lines for whoever operates the server: words, or JSON objects with the same members.
 */
#ifndef TN_SERVER_LOG_H_
#define TN_SERVER_LOG_H_

#include "server/exchange.h"

struct tn_server;

/* {"event": event, "message": …}, or the message. */
void tn_log_message(struct tn_server *server, const char *event, const char *format, ...) TN_PRINTF(3, 4);
/* One line for an exchange that ended; counts it. `is_whole`: the client got all of its answer. */
void tn_log_exchange(struct tn_server *server, const tn_exchange *exchange, bool is_whole);
/* Tokens a second since the last line, what runs and waits. Nothing if nothing happened. */
void tn_log_throughput(struct tn_server *server, double seconds);

#endif
