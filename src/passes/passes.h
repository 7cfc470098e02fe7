/* SPDX-License-Identifier: Apache-2.0
 *
 * passes.h: the rewriting that turns the layers people write into the fused layers that kernels run. One pass a file, named
 * by its effect; the order is the table in pipeline.c.
 */
#ifndef TN_PASSES_PASSES_H_
#define TN_PASSES_PASSES_H_

#include "network/network.h"

typedef struct tn_pass_options {
    tn_activation_precision activations; /* AUTO: q15 for matrix multiplications by integer-encoded weights, float32 else */
    /* Would the engine's device run this? Asked by passes before they make a fused form, so that a backend that lacks one
     * keeps the unfused layers. NULL: everything is supported. */
    bool (*supports)(void *user, const tn_problem *problem);
    void *user;
    tn_diag *diag;
} tn_pass_options;

/* Runs the pipeline in place. TN_DUMP=passes writes the network to stderr after each pass that changed it. */
TN_MUST_CHECK tn_status tn_passes_run(tn_network *network, const tn_pass_options *options);

#endif
