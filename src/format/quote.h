/* SPDX-License-Identifier: Apache-2.0
 *
 * quote.h: names out of untrusted files, made fit for a message.
 */
#ifndef TN_FORMAT_QUOTE_H_
#define TN_FORMAT_QUOTE_H_

#include <stddef.h>

#define TN_QUOTE_SIZE 104 /* up to 96 bytes of the name, "...", NUL */

/* Copies a name for use in a message and returns buffer: control characters and ill-formed UTF-8 become '?' (a terminal
 * would obey them), what is longer than 96 bytes ends in "...". */
const char *tn_quote(const char *bytes, size_t size, char buffer[TN_QUOTE_SIZE]);

#endif
