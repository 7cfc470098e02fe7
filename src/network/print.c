/* SPDX-License-Identifier: Apache-2.0
 *
 * print.c: types and dimensions as text.
 */
#include <inttypes.h>

#include "network/network_internal.h"

static const char *leaf_name(void *user, const tn_sym_node *node) {
    const tn_network *network = user;
    if (node->op != TN_SYM_INPUT_DIM || node->a >= network->inputs.count || node->b >= TN_MAX_RANK) return NULL;
    return network->inputs.data[node->a]->dim_names[node->b];
}

void tn_network_print_dim(const tn_network *network, tn_sym dim, struct tn_text *out) {
    tn_sym_print(network->symbols, dim, leaf_name, (void *)(uintptr_t)network, out);
}

void tn_tensor_print_type(const tn_tensor *tensor, struct tn_text *out) {
    tn_text_append_format(out, "%s [", tn_dtype_get_info(tensor->dtype)->name);
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (axis > 0) tn_text_append_string(out, ", ");
        tn_network_print_dim(tensor->network, tensor->dims[axis], out);
    }
    tn_text_append_char(out, ']');
}
