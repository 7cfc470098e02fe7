/* SPDX-License-Identifier: Apache-2.0
 *
 * einsum.c: EINSUM: for each element of the output, the sum over all other labels of the product of the inputs.
 */
#include "op/einsum.h"

#include "backend/ref/ref.h"

typedef struct labels {
    int count;
    uint8_t label[TN_EINSUM_NUM_LABELS];
} labels;

/* Row-major index over the labels, added to each label's place. */
static void place(const labels *list, const int64_t *sizes, int64_t index, int64_t *at) {
    for (int i = list->count - 1; i >= 0; i--) {
        at[list->label[i]] = index % sizes[list->label[i]];
        index /= sizes[list->label[i]];
    }
}

static int64_t offset_of(const tn_ref_view *x, const uint8_t *label, const int64_t *at) {
    int64_t offset = 0;
    for (int d = 0; d < x->rank; d++) offset = offset * x->dims[d] + (x->dims[d] == 1 ? 0 : at[label[d]]);
    return offset;
}

tn_status tn_ref_einsum(const tn_ref_call *call) {
    tn_einsum einsum;
    tn_ref_view x[TN_EINSUM_MAX_INPUTS], y = tn_ref_output(call, 0);
    int64_t shapes[TN_EINSUM_MAX_INPUTS][TN_MAX_RANK], sizes[TN_EINSUM_NUM_LABELS], at[TN_EINSUM_NUM_LABELS] = {0}, num_terms = 1;
    if (!tn_einsum_read(&((const tn_einsum_params *)call->problem->params)->equation, &einsum))
        return tn_fail(call->diag, TN_INVALID_DATA, "cannot compute einsum: its equation cannot be read");
    for (int i = 0; i < einsum.num_inputs; i++) {
        x[i] = tn_ref_input(call, (uint32_t)i);
        for (int d = 0; d < x[i].rank; d++) shapes[i][d] = x[i].dims[d];
    }
    if (!tn_einsum_sizes(&einsum, (const int64_t(*)[TN_MAX_RANK])shapes, sizes))
        return tn_fail(call->diag, TN_INVALID_DATA, "cannot compute einsum: its inputs do not fit");
    labels kept = {.count = einsum.rank[TN_EINSUM_OUTPUT]}, summed = {.count = 0};
    bool is_kept[TN_EINSUM_NUM_LABELS] = {false};
    for (int d = 0; d < kept.count; d++) {
        kept.label[d] = einsum.labels[TN_EINSUM_OUTPUT][d];
        is_kept[kept.label[d]] = true;
    }
    for (int label = 0; label < TN_EINSUM_NUM_LABELS; label++) {
        if (is_kept[label] || sizes[label] == 1) continue;
        summed.label[summed.count++] = (uint8_t)label;
        num_terms *= sizes[label];
    }
    bool is_integer = tn_ref_is_integer(y.dtype);
    for (int64_t i = 0; i < y.count; i++) {
        double sum = 0.0;
        uint64_t exact = 0;
        place(&kept, sizes, i, at);
        for (int64_t term = 0; term < num_terms; term++) {
            double product = 1.0;
            uint64_t exact_product = 1;
            place(&summed, sizes, term, at);
            for (int k = 0; k < einsum.num_inputs; k++) {
                int64_t from = offset_of(&x[k], einsum.labels[k], at);
                if (is_integer)
                    exact_product *= (uint64_t)tn_ref_load_int(&x[k], from);
                else
                    product *= tn_ref_load(&x[k], from);
            }
            sum += product;
            exact += exact_product;
        }
        if (is_integer)
            tn_ref_store_int(&y, i, (int64_t)exact);
        else
            tn_ref_store(&y, i, sum);
    }
    return TN_OK;
}
