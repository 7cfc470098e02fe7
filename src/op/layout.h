/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.h: a lossless physical form of a weight in memory, named by its shape ("strip16_q4_1"), not by an ISA.
 *
 * The form "plain" is the encoding's own parts one after another, each aligned to 64 bytes; it needs no tn_layout here and
 * every backend with ref-like kernels reads it. Packed forms turn a weight into one block of bytes of `size`.
 */
#ifndef TN_OP_LAYOUT_H_
#define TN_OP_LAYOUT_H_

#include "op/encoding.h"

#define TN_LAYOUT_PLAIN "plain"

typedef struct tn_layout {
    const char *name;
    uint32_t version;
    int64_t row_multiple; /* pack and unpack ranges start at multiples of this (strip height) */
    /* Can this layout hold the weight? */
    bool (*accepts)(const tn_weight_desc *desc);
    /* Bytes of the packed weight, a multiple of 64. */
    tn_status (*size)(const tn_weight_desc *desc, size_t *out_bytes);
    /* Packs rows [begin, end) (end a multiple of row_multiple or the last row): src points at row `begin` of each part, dst at the
     * start of the whole packed weight. Ranges may be packed in parallel. Padding is written too. */
    tn_status (*pack_rows)(const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst);
    /* The exact inverse: parts of rows [begin, end) from the packed weight. */
    tn_status (*unpack_rows)(const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end, void *dst_parts[TN_NUM_WEIGHT_PARTS]);
} tn_layout;

#endif
