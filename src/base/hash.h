/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.h: XXH3 64-bit. For finding things and for noticing accidents; never for trust: whoever can write a file can write
 * its checksum. */
#ifndef TN_BASE_HASH_H_
#define TN_BASE_HASH_H_

#include <stddef.h>
#include <stdint.h>

uint64_t tn_hash(const void *data, size_t size_bytes, uint64_t seed);

typedef struct tn_hasher tn_hasher; /* for data that comes in pieces: same value as tn_hash of the whole with seed 0 */
tn_hasher *tn_hasher_create(void);  /* NULL: out of memory */
void tn_hasher_update(tn_hasher *hasher, const void *data, size_t size_bytes);
uint64_t tn_hasher_get(const tn_hasher *hasher);
void tn_hasher_destroy(tn_hasher *hasher);

#endif
