/* SPDX-License-Identifier: Apache-2.0
 *
 * philox.h: the counter-based random generator Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011). A draw is a function of key and counter alone, so it never depends on batch, rank or step.
 */
#ifndef TN_OP_PHILOX_H_
#define TN_OP_PHILOX_H_

#include <math.h>
#include <stdint.h>

static inline void tn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c0, product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The u in [0, 1) of TN_OP_SAMPLE's draw: 53 bits of the first two words; key = seed, counter = (sequence index, position),
 * low words first. */
static inline double tn_philox_uniform(uint64_t seed, uint64_t sequence_index, uint64_t position) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)sequence_index, (uint32_t)(sequence_index >> 32), (uint32_t)position,
                                 (uint32_t)(position >> 32)};
    uint32_t words[4];
    tn_philox4x32(counter, key, words);
    return (double)(((uint64_t)words[0] << 32 | words[1]) >> 11) * 0x1p-53;
}

/* Number `index` of a standard normal sequence: Box and Muller from the two pairs of words of counter (index, 0). */
static inline double tn_philox_normal(uint64_t seed, uint64_t index) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), 0, 0};
    uint32_t words[4];
    tn_philox4x32(counter, key, words);
    double radius = ((double)(((uint64_t)words[0] << 32 | words[1]) >> 11) + 1.0) * 0x1p-53; /* (0, 1] */
    double angle = (double)(((uint64_t)words[2] << 32 | words[3]) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(radius)) * cos(6.28318530717958647692 * angle);
}

#endif
