/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.c: the driver: a worklist of layers, filled with all of them until a whole round changes nothing.
 */
#include "rewrite/rewrite.h"

#include <inttypes.h>
#include <string.h>

/* A pattern that rewrites a network of n layers more often than this will not settle. */
enum { REWRITES_PER_LAYER = 16, REWRITES_MORE = 1000 };

typedef struct driver {
    tn_rewriter rewriter;        /* first: patterns see the driver through it */
    const tn_pattern **patterns; /* by benefit */
    size_t *counts;              /* rewrites of each */
    uint32_t num_patterns;
    TN_ARRAY(tn_layer *) queue;
    size_t head; /* of the queue */
    size_t num_rewrites, max_rewrites;
    size_t num_left; /* layers that patterns added and left there, without rewriting */
} driver;

/* --- the worklist ----------------------------------------------------------------------------------------------------------- */

static void enqueue(driver *d, tn_layer *layer) {
    if (layer->is_queued || layer->is_dead) return;
    if (!tn_array_push(d->rewriter.network->allocator, &d->queue, layer)) {
        if (!d->rewriter.network->out_of_memory) (void)tn_fail_memory(d->rewriter.diag, "rewriting", d->queue.count * sizeof layer);
        d->rewriter.network->failed = d->rewriter.network->out_of_memory = true;
        return;
    }
    layer->is_queued = true;
}

static tn_layer *dequeue(driver *d) {
    if (d->head == d->queue.count) {
        d->head = d->queue.count = 0;
        return NULL;
    }
    tn_layer *layer = d->queue.data[d->head++];
    layer->is_queued = false;
    return layer;
}

static void enqueue_added(void *user, tn_layer *layer) {
    enqueue(user, layer);
}

/* Uses from `first` on. */
static void enqueue_users(driver *d, const tn_tensor *tensor, size_t first) {
    for (size_t i = first; i < tensor->uses.count; i++) enqueue(d, tensor->uses.data[i].layer);
}

/* --- replacing -------------------------------------------------------------------------------------------------------------- */

tn_rewriter *tn_rewriter_of(const tn_network *network) {
    return network->layer_added == enqueue_added ? network->layer_added_user : NULL;
}

void tn_rewriter_replace_uses(tn_rewriter *rewriter, tn_tensor *from, tn_tensor *to) {
    size_t before = to->uses.count;
    tn_network_replace_uses(rewriter->network, from, to);
    enqueue_users((driver *)rewriter, to, before);
}

bool tn_rewriter_replace_outputs(tn_rewriter *rewriter, tn_layer *root, tn_tensor *const *outputs, uint32_t num_outputs) {
    driver *d = (driver *)rewriter;
    for (uint32_t i = 0; i < num_outputs && i < root->outputs.count; i++)
        if (outputs[i] != NULL) tn_rewriter_replace_uses(rewriter, root->outputs.data[i], outputs[i]);
    /* What made the inputs has one reader less: a pattern that wants the only one may match there now. */
    for (size_t i = 0; i < root->inputs.count; i++)
        if (root->inputs.data[i] != NULL && root->inputs.data[i]->producer != NULL) enqueue(d, root->inputs.data[i]->producer);
    tn_network_retire(rewriter->network, root);
    return !rewriter->network->failed;
}

bool tn_rewriter_replace(tn_rewriter *rewriter, tn_layer *root, tn_layer *replacement) {
    if (replacement == NULL) return false;
    return tn_rewriter_replace_outputs(rewriter, root, replacement->outputs.data, (uint32_t)replacement->outputs.count);
}

/* --- the driver ------------------------------------------------------------------------------------------------------------- */

static bool wants_kind(const tn_op_kind *kinds, uint32_t num_kinds, tn_op_kind kind) {
    for (uint32_t i = 0; i < num_kinds; i++)
        if (kinds[i] == kind) return true;
    return num_kinds == 0;
}

/* New layers go before the root and into its region. */
static void stand_at(tn_network *network, tn_layer *layer) {
    network->insert_before = layer;
    network->current_region = layer->region;
    network->current_call = layer->call;
}

/* While `ask` looks, nothing may be changed: adders and setters refuse. */
static bool only_look(tn_rewriter *rewriter, bool (*ask)(tn_rewriter *rewriter, tn_layer *root), tn_layer *layer) {
    tn_network *network = rewriter->network;
    const char *frozen_by = network->frozen_by;
    network->frozen_by = rewriter->name;
    bool answer = ask(rewriter, layer);
    network->frozen_by = frozen_by;
    return answer && !network->failed;
}

static bool try_pattern(driver *d, const tn_pattern *pattern, tn_layer *layer) {
    tn_rewriter *rewriter = &d->rewriter;
    rewriter->name = pattern->name;
    rewriter->user = pattern->user;
    rewriter->root = layer;
    stand_at(rewriter->network, layer);
    if (pattern->match_and_rewrite != NULL) return pattern->match_and_rewrite(rewriter, layer);
    return only_look(rewriter, pattern->match, layer) && pattern->rewrite(rewriter, layer);
}

static tn_status fail_unsettled(const driver *d) {
    uint32_t most = 0;
    for (uint32_t i = 1; i < d->num_patterns; i++)
        if (d->counts[i] > d->counts[most]) most = i;
    return tn_fail_at(d->rewriter.diag, TN_INVALID_ARGUMENT,
                      &(tn_where){.subject = d->patterns[most]->name, .hint = "a pattern must not match what it makes"},
                      "cannot rewrite the network: pattern '%s' does not settle, it rewrote %zu times", d->patterns[most]->name,
                      d->counts[most]);
}

static tn_status status_of_failure(const tn_network *network) {
    return network->out_of_memory ? TN_OUT_OF_MEMORY : TN_INVALID_ARGUMENT;
}

/* Why a run whose network has failed ends. */
static tn_status status_of_run(const tn_rewriter *rewriter) {
    return rewriter->failure != TN_OK ? rewriter->failure : status_of_failure(rewriter->network);
}

/* What a pattern added before it changed its mind, from place `first` of the queue on: users before producers. */
static tn_status take_back(driver *d, const tn_pattern *pattern, size_t first, uint32_t first_id) {
    for (size_t i = d->queue.count; i > first; i--) {
        tn_layer *added = d->queue.data[i - 1];
        if (added->id < first_id) continue;
        tn_network_retire(d->rewriter.network, added);
        d->num_left += !added->is_dead;
    }
    if (d->num_left <= d->max_rewrites) return TN_OK;
    return tn_fail_at(d->rewriter.diag, TN_INVALID_ARGUMENT,
                      &(tn_where){.subject = pattern->name, .hint = "a pattern that changes the network must answer true"},
                      "cannot rewrite the network: pattern '%s' does not settle, it adds layers and answers that it rewrote nothing",
                      pattern->name);
}

static tn_status show_layer(driver *d, tn_layer *layer) {
    for (uint32_t i = 0; i < d->num_patterns && !layer->is_dead; i++) {
        const tn_pattern *pattern = d->patterns[i];
        if (!wants_kind(pattern->root_kinds, pattern->num_root_kinds, layer->kind)) continue;
        size_t first = d->queue.count;
        uint32_t first_id = d->rewriter.network->next_id;
        bool changed = try_pattern(d, pattern, layer);
        if (d->rewriter.network->failed) return status_of_run(&d->rewriter);
        if (!changed) {
            tn_status status = take_back(d, pattern, first, first_id);
            if (status != TN_OK) return status;
            continue;
        }
        tn_network_retire(d->rewriter.network, layer); /* its users may be gone without a word about the layer */
        d->counts[i]++;
        if (++d->num_rewrites > d->max_rewrites) return fail_unsettled(d);
        enqueue(d, layer); /* if it still stands */
        break;
    }
    return TN_OK;
}

static tn_status run_rounds(driver *d) {
    tn_network *network = d->rewriter.network;
    for (size_t before = SIZE_MAX; before != d->num_rewrites;) {
        before = d->num_rewrites;
        for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) enqueue(d, layer);
        if (network->out_of_memory) return TN_OUT_OF_MEMORY;
        for (tn_layer *layer = dequeue(d); layer != NULL; layer = dequeue(d)) {
            tn_status status = layer->is_dead ? TN_OK : show_layer(d, layer);
            if (status != TN_OK) return status;
        }
    }
    return TN_OK;
}

/* Copies the patterns, larger benefit first. */
static tn_status sort_patterns(driver *d, const tn_pattern *const *patterns, uint32_t num_patterns) {
    for (uint32_t i = 0; i < num_patterns; i++) {
        const tn_pattern *pattern = patterns[i];
        if (pattern->match_and_rewrite == NULL && (pattern->match == NULL || pattern->rewrite == NULL))
            return tn_fail(d->rewriter.diag, TN_INVALID_ARGUMENT, "cannot rewrite the network: pattern '%s' has nothing to run",
                           pattern->name);
        uint32_t at = i;
        for (; at > 0 && d->patterns[at - 1]->benefit < pattern->benefit; at--) d->patterns[at] = d->patterns[at - 1];
        d->patterns[at] = pattern;
    }
    d->num_patterns = num_patterns;
    return TN_OK;
}

tn_status tn_rewrite_without_sweep(tn_network *network, const tn_pattern *const *patterns, uint32_t num_patterns, void *args,
                                   size_t *out_num_rewrites) {
    if (out_num_rewrites != NULL) *out_num_rewrites = 0;
    if (network->failed) return status_of_failure(network);
    if (network->layer_added != NULL || network->frozen_by != NULL)
        return tn_fail(network->diag, TN_UNAVAILABLE, "cannot rewrite the network: a run of its patterns is under way");
    driver d = {.rewriter = {.network = network, .args = args, .diag = network->diag},
                .max_rewrites = (size_t)network->num_layers * REWRITES_PER_LAYER + REWRITES_MORE};
    tn_layer *insert_before = network->insert_before;
    uint32_t region = network->current_region;
    tn_call *call = network->current_call;
    d.patterns = tn_alloc_array(network->allocator, num_patterns, sizeof *d.patterns);
    d.counts = tn_alloc_array(network->allocator, num_patterns, sizeof *d.counts);
    tn_status status = d.patterns != NULL && d.counts != NULL
                           ? sort_patterns(&d, patterns, num_patterns)
                           : tn_fail_memory(network->diag, "rewriting", num_patterns * sizeof *d.patterns);
    if (status == TN_OK) {
        network->layer_added = enqueue_added;
        network->layer_added_user = &d;
        status = run_rounds(&d);
        network->layer_added = NULL;
        network->layer_added_user = NULL;
        while (dequeue(&d) != NULL) continue; /* after a failure: no layer keeps its mark */
        network->insert_before = insert_before;
        network->current_region = region;
        network->current_call = call;
    }
    tn_array_deinit(network->allocator, &d.queue);
    tn_free(network->allocator, d.patterns);
    tn_free(network->allocator, d.counts);
    if (status == TN_OK && out_num_rewrites != NULL) *out_num_rewrites = d.num_rewrites;
    return status;
}

tn_status tn_rewrite(tn_network *network, const tn_pattern *const *patterns, uint32_t num_patterns, void *args, size_t *out_num_rewrites) {
    tn_status status = tn_rewrite_without_sweep(network, patterns, num_patterns, args, out_num_rewrites);
    if (status != TN_UNAVAILABLE) tn_network_sweep(network);
    return status;
}

/* --- analysis ------------------------------------------------------------------------------------------------------------- */

static bool analyze_layer(tn_rewriter *rewriter, const tn_analysis *pattern, tn_layer *layer) {
    rewriter->name = pattern->name;
    rewriter->user = pattern->user;
    rewriter->root = layer;
    rewriter->network->frozen_by = pattern->name;
    if (pattern->match != NULL && !pattern->match(rewriter, layer)) return false;
    pattern->analyze(rewriter, layer);
    return true;
}

tn_status tn_analyze(tn_network *network, const tn_analysis *const *patterns, uint32_t num_patterns, void *args, size_t *out_num_matches) {
    *out_num_matches = 0;
    if (network->failed) return status_of_failure(network);
    tn_rewriter rewriter = {.network = network, .args = args, .diag = network->diag};
    const tn_analysis **sorted = tn_alloc_array(network->allocator, num_patterns, sizeof *sorted);
    if (sorted == NULL) return tn_fail_memory(network->diag, "analysing", num_patterns * sizeof *sorted);
    for (uint32_t i = 0; i < num_patterns; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1]->benefit < patterns[i]->benefit; at--) sorted[at] = sorted[at - 1];
        sorted[at] = patterns[i];
    }
    const char *frozen_by = network->frozen_by;
    for (tn_layer *layer = network->first_layer; layer != NULL && !network->failed; layer = layer->next)
        for (uint32_t i = 0; i < num_patterns && !layer->is_dead && !network->failed; i++)
            if (wants_kind(sorted[i]->root_kinds, sorted[i]->num_root_kinds, layer->kind))
                *out_num_matches += analyze_layer(&rewriter, sorted[i], layer);
    network->frozen_by = frozen_by;
    tn_free(network->allocator, sorted);
    if (!network->failed) return TN_OK;
    *out_num_matches = 0;
    return status_of_run(&rewriter);
}
