/* SPDX-License-Identifier: Apache-2.0
 *
 * pipeline.c: the passes in their order. What stands where, and why:
 *
 *     orders of columns before anything joins weights, and before what is left of them is decoded
 *     biases first: every later pattern sees a linear layer as one matrix multiplication
 *     gate and up before activations (which would take the gate's) and before qkv (which would take both)
 *     qkv before residual sums: a product that adds something cannot be joined
 *     precision after all that: the fused layers decide who reads a tensor, so that it is quantised once
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "passes/passes_internal.h"

typedef struct pass {
    const char *name;
    const tn_pattern *pattern; /* one of the two */
    tn_status (*run)(tn_network *network, size_t *out_num_changes);
} pass;

static const pass pipeline[] = {
    {"drop_collectives", &tn_drop_collectives, NULL},
    {"gather_columns", &tn_gather_columns, NULL},
    {"decode_vectors", &tn_decode_vectors, NULL},
    {"common_subexpressions", NULL, tn_eliminate_common_subexpressions},
    {"fold_identity_slices", &tn_fold_identity_slices, NULL},
    {"fuse_bias", &tn_fuse_bias, NULL},
    {"fuse_gated_activation", &tn_fuse_gated_activation, NULL},
    {"fuse_soft_cap", &tn_fuse_soft_cap, NULL},
    {"fuse_activation", &tn_fuse_activation, NULL},
    {"fuse_scale", &tn_fuse_scale, NULL},
    {"fuse_qkv", &tn_fuse_qkv, NULL},
    {"fuse_qkv_cache", &tn_fuse_qkv_cache, NULL},
    {"fuse_residual_add", &tn_fuse_residual_add, NULL},
    {"fuse_residual_norm", &tn_fuse_residual_norm, NULL},
    {"activation_precision", &tn_activation_precision_pattern, NULL},
    {"fuse_quantize", &tn_fuse_quantize, NULL},
    {"common_subexpressions", NULL, tn_eliminate_common_subexpressions},
};

/* `name` is one of the comma-separated words of TN_DUMP. */
static bool dumps(const char *name) {
    const char *words = getenv("TN_DUMP");
    size_t size = strlen(name);
    while (words != NULL && words[0] != '\0') {
        size_t word = strcspn(words, ",");
        if (word == size && strncmp(words, name, size) == 0) return true;
        words += words[word] == ',' ? word + 1 : word;
    }
    return false;
}

static void dump(const tn_network *network, const char *pass_name, size_t num_changes) {
    tn_text text = {.allocator = network->allocator};
    tn_network_print(network, &text);
    if (!text.failed && text.data != NULL) fprintf(stderr, "; %s: %zu changes\n%s\n", pass_name, num_changes, text.data);
    tn_text_deinit(&text);
}

tn_status tn_passes_run(tn_network *network, const tn_pass_options *options) {
    if (network->failed) return tn_fail(options->diag, TN_INVALID_ARGUMENT, "cannot run the passes: the network's definition has errors");
    if (options->activations == TN_ACTIVATIONS_BFLOAT16)
        return tn_fail(options->diag, TN_UNSUPPORTED, "cannot run the passes: activations of type bfloat16 are not built");
    tn_pass_options args = *options;
    tn_diag *diag = network->diag;
    bool dump_passes = dumps("passes");
    if (options->diag != NULL) network->diag = options->diag;
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < sizeof pipeline / sizeof pipeline[0]; i++) {
        size_t num_changes = 0;
        status = pipeline[i].run != NULL ? pipeline[i].run(network, &num_changes)
                                         : tn_rewrite(network, &pipeline[i].pattern, 1, &args, &num_changes);
        if (status == TN_OK && dump_passes && num_changes > 0) dump(network, pipeline[i].name, num_changes);
    }
    network->diag = diag;
    return status;
}
