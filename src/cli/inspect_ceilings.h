/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_ceilings.h: what this device can do at best, measured now: how fast it copies, how fast it multiplies.
 */
#ifndef TN_CLI_INSPECT_CEILINGS_H_
#define TN_CLI_INSPECT_CEILINGS_H_

#include "runtime/engine.h"

typedef struct tn_ceilings {
    double copy_bytes_per_us; /* of a large copy inside the device's memory; bytes read and bytes written both count */
    size_t copy_bytes;        /* size of that copy */
    double flops_per_us;      /* of a large square matrix product by one of the plan's own tactics; 0: not measured */
    int64_t product_size;     /* rows, columns and depth of that product */
    const char *product_tactic;
    char product_types[96];    /* "bfloat16 x bfloat16" */
    char product_refusal[160]; /* why flops_per_us is 0 */
} tn_ceilings;

/* The best of a few runs; a second call keeps what is better. false after reporting. */
bool tn_ceilings_measure_copy(tn_engine *engine, tn_ceilings *ceilings);
bool tn_ceilings_measure_product(tn_engine *engine, const tn_function *function, tn_ceilings *ceilings);

#endif
