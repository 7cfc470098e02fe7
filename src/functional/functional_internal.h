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

#endif
