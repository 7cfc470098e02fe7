/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.c: XXH3 by libxxhash; see hash.h. A tn_hasher is an XXH3_state_t, which wants 64-byte alignment and therefore
 * libxxhash's own allocation.
 */
#include "base/hash.h"

#include <xxhash.h>

uint64_t tn_hash(const void *data, size_t size_bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, size_bytes, seed);
}

tn_hasher *tn_hasher_create(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL) (void)XXH3_64bits_reset(state);
    return (tn_hasher *)state;
}

void tn_hasher_update(tn_hasher *hasher, const void *data, size_t size_bytes) {
    if (size_bytes > 0) (void)XXH3_64bits_update((XXH3_state_t *)hasher, data, size_bytes);
}

uint64_t tn_hasher_get(const tn_hasher *hasher) {
    return XXH3_64bits_digest((const XXH3_state_t *)hasher);
}

void tn_hasher_destroy(tn_hasher *hasher) {
    (void)XXH3_freeState((XXH3_state_t *)hasher);
}
