/* SPDX-License-Identifier: Apache-2.0
 *
 * notify.h: what a program tells systemd (sd_notify's protocol): a datagram of NAME=VALUE lines to the socket of $NOTIFY_SOCKET.
 */
#ifndef TN_CLI_NOTIFY_H_
#define TN_CLI_NOTIFY_H_

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…". Without the variable, or if nobody listens, nothing happens. */
void tn_notify(const char *lines);
/* How often systemd wants to hear WATCHDOG=1, in milliseconds: half of $WATCHDOG_USEC; 0: not at all. */
int64_t tn_notify_watchdog_interval_ms(void);

#endif
