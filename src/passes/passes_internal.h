/* SPDX-License-Identifier: Apache-2.0
 *
 * passes_internal.h: what passes share. A pass is a pattern (or several) with the options as args, or a function.
 */
#ifndef TN_PASSES_PASSES_INTERNAL_H_
#define TN_PASSES_PASSES_INTERNAL_H_

#include "passes/passes.h"
#include "rewrite/rewrite.h"

extern const tn_pattern tn_drop_collectives;
extern const tn_pattern tn_gather_columns;
extern const tn_pattern tn_decode_vectors;
extern const tn_pattern tn_fold_identity_slices;
extern const tn_pattern tn_fuse_bias;
extern const tn_pattern tn_fuse_gated_activation;
extern const tn_pattern tn_fuse_soft_cap;
extern const tn_pattern tn_fuse_activation;
extern const tn_pattern tn_fuse_scale;
extern const tn_pattern tn_fuse_qkv;
extern const tn_pattern tn_fuse_qkv_cache;
extern const tn_pattern tn_fuse_residual_add;
extern const tn_pattern tn_fuse_residual_norm;
extern const tn_pattern tn_activation_precision_pattern;
extern const tn_pattern tn_fuse_quantize;
TN_MUST_CHECK tn_status tn_eliminate_common_subexpressions(tn_network *network, size_t *out_num_changes);

static inline const tn_pass_options *tn_pass_options_of(const tn_rewriter *rewriter) {
    return rewriter->args;
}

/* Would the engine's device run it? If not, or if it is NULL, the layer is taken back. NULL then. */
tn_layer *tn_pass_keep_if_supported(tn_rewriter *rewriter, tn_layer *layer);
/* The layer once more at the place of insertion, with one epilogue more; operand NULL: the epilogue has none.
 * NULL: it cannot take one, or the device does not run it. */
tn_layer *tn_pass_add_epilogue(tn_rewriter *rewriter, const tn_layer *layer, tn_epilogue epilogue, tn_tensor *operand);
/* "layers.0.attn.q" and "layers.0.attn.k" → "layers.0.attn.q+k". NULL: out of memory (recorded). */
const char *tn_pass_join_names(tn_network *network, const char *const *names, uint32_t num_names);

/* The matrix multiplication whose output is read by input `input` of the layer only; NULL if none. */
tn_layer *tn_pass_own_matmul(const tn_layer *layer, uint32_t input);
/* The same kind of thing for both MATRIX_MULTIPLY and GROUPED_MATMUL. */
tn_layer *tn_pass_own_any_matmul(const tn_layer *layer, uint32_t input);
bool tn_pass_is_elementwise(const tn_layer *layer, tn_elementwise_op op);
/* YES for every dimension. */
bool tn_pass_same_dims(const tn_tensor *a, const tn_tensor *b);
bool tn_pass_dim_is(const tn_tensor *tensor, int axis, int64_t *out_value);
/* Can rows of these two stand in one weight? */
bool tn_pass_rows_join(const tn_weights *a, const tn_weights *b);
/* The recipe as float32 [n]; NULL after recording. */
const tn_weights *tn_pass_float_vector(tn_network *network, const tn_weights *weights);

#endif
