/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.h: who may ask. Keys come from a file: one a line, "KEY" or "NAME KEY"; empty lines and lines that begin with # are
 * passed over. Only their hashes are kept, and all of them are compared, so that the time of an answer tells nothing.
 */
#ifndef TN_SERVER_KEYS_H_
#define TN_SERVER_KEYS_H_

#include <stdbool.h>
#include <stdint.h>

#include "tenon/diag.h"

typedef struct tn_keys tn_keys;

/* TN_INVALID_DATA with the line: no key, one shorter than 8 or longer than 512 characters, a name or a key twice. */
TN_MUST_CHECK tn_status tn_keys_load(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_keys **out_keys);
void tn_keys_destroy(tn_keys *keys); /* accepts NULL */
/* True if `header`, the value of Authorization ("Bearer KEY"; NULL: there is none), has a key. `out_name` [64]: its name,
 * "" if it has none. `out_salt`: what keeps its blocks in the cache apart from those of other keys. */
bool tn_keys_check(const tn_keys *keys, const char *header, char out_name[64], uint64_t *out_salt);

#endif
