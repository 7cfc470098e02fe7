/* SPDX-License-Identifier: Apache-2.0
 *
 * transformer.h: the parts of tn_transformer_build. x [T, hidden] → [T, hidden].
 */
#ifndef TN_MODEL_TRANSFORMER_H_
#define TN_MODEL_TRANSFORMER_H_

#include "model/family.h"

/* What all layers share. */
typedef struct tn_transformer {
    tn_model_builder *builder;
    tn_tensor *rotary_tables[2]; /* by tn_layer_rope */
    const tn_weights *alibi_slopes;
} tn_transformer;

tn_tensor *tn_transformer_attention(const tn_transformer *self, tn_tensor *x, int64_t layer);
/* A dense MLP or experts, as the configuration has it for the layer. */
tn_tensor *tn_transformer_mlp(const tn_transformer *self, tn_tensor *x, int64_t layer);

#endif
