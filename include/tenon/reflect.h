/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/reflect.h: what language bindings and tools need of a network: adding layers by the names of the operation table
 * (src/op/op_kinds.def), errors one by one, and the network as a text. A C program says tn_network_add_softmax (tenon/network.h).
 *
 *     tn_parameter axis = {.name = "axis", .type = TN_PARAMETER_INT, .integer = -1};
 *     tn_layer *y = tn_network_add_layer_by_name(network, "softmax", &x, 1, &axis, 1);
 */
#ifndef TENON_REFLECT_H_
#define TENON_REFLECT_H_

#include "tenon/rewrite.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of every kind that is made of tensors alone; values, control flow, plugins and collectives have adders of their own. Parameters
 * that are not given are zero, as the table says (an activation's alpha is 0 then, not its usual value). An integer does for a bool
 * and for a real; enums and types go by text, or by number where the text is empty. NULL after recording the reason. */
TN_API tn_layer *tn_network_add_layer_by_name(tn_network *network, const char *kind, tn_tensor *const *inputs, int num_inputs,
                                              const tn_parameter *parameters, int num_parameters);

/* An adder or setter failed, so that a build will refuse. */
TN_API bool tn_network_has_failed(const tn_network *network);
/* For callers that handle each error when it comes, as exceptions do: what was recorded no longer counts. A call that failed has
 * not changed what was there before. False: memory was missing, or a run of patterns is under way; then it still counts. */
TN_API bool tn_network_forgive(tn_network *network);

typedef enum tn_network_format {
    TN_NETWORK_TEXT = 0, /* one line a layer */
    TN_NETWORK_DOT,      /* Graphviz: layers as boxes, regions as clusters */
} tn_network_format;
/* The caller frees the text with tn_string_free (tenon/plan.h). */
TN_API TN_MUST_CHECK tn_status tn_network_to_text(const tn_network *network, tn_network_format format, tn_diag *diag, char **out_text);

#ifdef __cplusplus
}
#endif
#endif
