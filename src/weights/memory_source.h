/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_source.h: named tensors in memory as a weight source: refit, tests, weights that a program made itself.
 *
 *     tn_memory_tensor tensors[] = {{.name = "w", .desc = desc, .parts = {{values}}}};
 *     tn_weight_source *source;
 *     tn_status status = tn_memory_source_create(tensors, 1, allocator, diag, &source);
 *     …
 *     tn_weight_source_destroy(source);
 *
 * Names are copied, bytes are borrowed until the source is destroyed.
 */
#ifndef TN_WEIGHTS_MEMORY_SOURCE_H_
#define TN_WEIGHTS_MEMORY_SOURCE_H_

#include "weights/weights.h"

typedef struct tn_memory_tensor {
    const char *name;
    tn_weight_desc desc;
    tn_weight_parts parts; /* each as long as tn_encoding_part_bytes says for all rows */
} tn_memory_tensor;

/* Names must differ: TN_INVALID_ARGUMENT names one that does not. */
TN_MUST_CHECK tn_status tn_memory_source_create(const tn_memory_tensor *tensors, size_t num_tensors, const tn_allocator *allocator,
                                                tn_diag *diag, tn_weight_source **out_source);

#endif
