/* SPDX-License-Identifier: Apache-2.0
 *
 * dummy.h: models without a file: known shapes, seeded random bfloat16 weights of realistic scale, for measuring.
 *
 * A weight is uniform in ±√(3 / columns), so that products keep the scale of what they multiply; a norm's scale is within 10 %
 * of 1. Each value depends on its tensor's name and its place alone: equal on every machine, in whatever pieces it is read.
 */
#ifndef TN_MODEL_DUMMY_H_
#define TN_MODEL_DUMMY_H_

#include "model/family.h"

/* NULL-terminated. */
const char *const *tn_dummy_names(void);

/* The config and family of a name. TN_NOT_FOUND lists the names there are. */
TN_MUST_CHECK tn_status tn_dummy_config(const char *name, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                        const tn_family **out_family);
/* config and family are borrowed. */
TN_MUST_CHECK tn_status tn_dummy_source_create(const tn_model_config *config, const tn_family *family, const tn_allocator *allocator,
                                               tn_diag *diag, tn_weight_source **out_source);
uint64_t tn_dummy_weight_bytes(const tn_weight_source *source);

#endif
