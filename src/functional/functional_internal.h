/* SPDX-License-Identifier: Apache-2.0
 *
 * functional_internal.h: what the files of functional/ share.
 */
#ifndef TN_FUNCTIONAL_FUNCTIONAL_INTERNAL_H_
#define TN_FUNCTIONAL_FUNCTIONAL_INTERNAL_H_

#include "functional/functional.h"

/* One more tensor of an open call, which the functional made from weights; NULL: none. */
void tn_fn_record(tn_call *call, const char *name, tn_tensor *tensor);

/* A bias or scale [n] as [1, n], to broadcast over rows; NULL: none. */
tn_tensor *tn_fn_row_constant(tn_network *network, const tn_weights *weights, const char *name);

/* The first table's elements of each head turned; a table of NULL: x. */
tn_tensor *tn_fn_rotate(const tn_decoder *decoder, tn_tensor *x, int64_t head_dim, const tn_attention_config *params, const char *name);
/* Writes k and v to the layer's cache, then attends with q. sinks and alibi_slopes may be NULL. */
tn_tensor *tn_fn_attend(tn_decoder *decoder, tn_tensor *q, tn_tensor *k, tn_tensor *v, const tn_weights *sinks,
                        const tn_weights *alibi_slopes, const tn_attention_config *params, const char *name);

#endif
