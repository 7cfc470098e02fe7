/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.h: changing a network by patterns, as built-in passes do it. The public side is tenon/rewrite.h: the same driver with
 * checked replacing, patterns by label, and a network that is as before when a run fails. A pattern looks at one layer (its root) and what is around it, and replaces
 * layers by others; the driver shows it every layer until nothing changes any more.
 *
 *     static bool add_becomes_sub(tn_rewriter *rewriter, tn_layer *root) {
 *         if (root->params.elementwise.op != TN_ELEMENTWISE_SUM) return false;
 *         tn_layer *sub = tn_network_add_layer(rewriter->network, TN_OP_ELEMENTWISE, &params, root->inputs.data, 2, NULL);
 *         return tn_rewriter_replace(rewriter, root, sub);
 *     }
 *     static const tn_op_kind roots[] = {TN_OP_ELEMENTWISE};
 *     static const tn_pattern pattern = {
 *         .name = "add_becomes_sub", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = add_becomes_sub};
 *     tn_status status = tn_rewrite(network, &(const tn_pattern *){&pattern}, 1, NULL, &num_rewrites);
 *
 * Rules
 * 1. Patterns replace layers and never edit them: a new layer on the old inputs, tn_rewriter_replace, done. What nothing needs
 *    any more is taken out of use-lists at once and out of the network when the driver ends.
 * 2. Layers are shown in their order; larger benefit first, ties in the order of adding. A layer that was replaced is shown to
 *    no further pattern. New layers, and layers around a change, are shown again.
 * 3. New layers are put before the root and into its region, unless the pattern sets network->insert_before. Patterns do not
 *    match across a region's edge: tn_match_* answer within the region.
 * 4. A pattern that keeps matching its own result is stopped by a cap and named.
 *
 * Cost: linear in layers plus uses touched. Not locked.
 */
#ifndef TN_REWRITE_REWRITE_H_
#define TN_REWRITE_REWRITE_H_

#include "network/network.h"

/* What a pattern is given. */
struct tn_rewriter {
    tn_network *network;
    void *args;       /* of the call */
    tn_diag *diag;    /* the network's */
    const char *name; /* of the pattern that is asked at present, … */
    void *user;
    const tn_layer *root; /* …and of what */
    tn_status failure;    /* by tn_rewriter_fail */
};

typedef struct tn_pattern {
    const char *name;
    const tn_op_kind *root_kinds; /* borrowed */
    uint32_t num_root_kinds;      /* 0: every layer is tried */
    int benefit;
    /* Either match and rewrite, or match_and_rewrite. True from rewrite: the network was changed. match changes nothing. */
    bool (*match)(tn_rewriter *rewriter, tn_layer *root);
    bool (*rewrite)(tn_rewriter *rewriter, tn_layer *root);
    bool (*match_and_rewrite)(tn_rewriter *rewriter, tn_layer *root);
    void *user; /* the pattern's own */
} tn_pattern;

/* Looks and changes nothing. */
typedef struct tn_analysis {
    const char *name;
    const tn_op_kind *root_kinds;
    uint32_t num_root_kinds;
    int benefit;
    bool (*match)(tn_rewriter *rewriter, tn_layer *root); /* NULL: always */
    void (*analyze)(tn_rewriter *rewriter, tn_layer *root);
    void *user;
} tn_analysis;

/* Rewrites to a fixpoint, then sweeps. *out_num_rewrites may be NULL.
 * TN_INVALID_ARGUMENT: a pattern will not settle (named), is incomplete, or recorded an error of the network; TN_UNAVAILABLE: a
 * run of the network is under way. */
TN_MUST_CHECK tn_status tn_rewrite(tn_network *network, const tn_pattern *const *patterns, uint32_t num_patterns, void *args,
                                   size_t *out_num_rewrites);
/* The same without the sweep: dead layers stay in the list. */
TN_MUST_CHECK tn_status tn_rewrite_without_sweep(tn_network *network, const tn_pattern *const *patterns, uint32_t num_patterns, void *args,
                                                 size_t *out_num_rewrites);
/* The run of this network that is under way, or NULL. */
tn_rewriter *tn_rewriter_of(const tn_network *network);
/* Uses of `from` become uses of `to`; layers around are shown again. */
void tn_rewriter_replace_uses(tn_rewriter *rewriter, tn_tensor *from, tn_tensor *to);
/* One walk over the layers; the number of matches. */
TN_MUST_CHECK tn_status tn_analyze(tn_network *network, const tn_analysis *const *patterns, uint32_t num_patterns, void *args,
                                   size_t *out_num_matches);

/* For patterns: uses of root's outputs become uses of replacement's first outputs (root may have fewer); root is dead then.
 * False (after the replacement's own error) if replacement is NULL, so that it can end a pattern. */
bool tn_rewriter_replace(tn_rewriter *rewriter, tn_layer *root, tn_layer *replacement);
/* The same with a tensor for each output; NULL for one that nothing uses. */
bool tn_rewriter_replace_outputs(tn_rewriter *rewriter, tn_layer *root, tn_tensor *const *outputs, uint32_t num_outputs);

/* --- matching -------------------------------------------------------------------------------------------------------------- */

/* The layer of `kind` in layer's region that makes its input, or NULL. */
tn_layer *tn_match_producer(const tn_layer *layer, uint32_t input, tn_op_kind kind);
/* The same, if that layer's output is read by this one only, and is neither output nor debug tensor. */
tn_layer *tn_match_own_producer(const tn_layer *layer, uint32_t input, tn_op_kind kind);
/* Nothing but one input of one layer reads it. */
bool tn_match_is_read_once(const tn_tensor *tensor);
/* The recipe of a constant input, or NULL. */
const tn_weights *tn_match_weights(const tn_layer *layer, uint32_t input);
/* The value of a constant of one element that is known here (not loaded). */
bool tn_match_scalar(const tn_tensor *tensor, double *out_value);

#endif
