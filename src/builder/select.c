/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c: a layout for each weight, then a tactic for each step, profile and range of its bucket symbol (bucket.c).
 *
 * Equal steps (the layers of a model) have equal problems: each distinct problem is decided once (choice.c).
 */
#include "builder/select.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- layouts -------------------------------------------------------------------------------------------------------------------- */

static const char *layout_name(const tn_layout *layout) {
    return layout != NULL ? layout->name : TN_LAYOUT_PLAIN;
}

static tn_draft_step *reader_step(const selector *s, const tn_weight_reader *reader) {
    return &s->draft->functions.data[reader->function].steps.data[reader->step];
}

static void set_layout(const selector *s, const tn_draft_weight *weight, const char *name) {
    for (size_t i = 0; i < weight->readers.count; i++)
        reader_step(s, &weight->readers.data[i])->operands[weight->readers.data[i].operand].layout = name;
}

/* One layout tried for one weight: how many readers can, and what it costs them (each range relative to the best layout). */
typedef struct layout_trial {
    const tn_layout *layout;
    size_t num_able;
    double cost;
} layout_trial;

enum { MAX_TRIALS = 16 };

/* choices[trial · readers + reader]: NULL where the reader cannot. */
static tn_status try_layouts(selector *s, tn_draft_weight *weight, layout_trial *trials, int num_trials, const choice **choices,
                             bool measure) {
    for (int t = 0; t < num_trials; t++) {
        trials[t].num_able = 0;
        trials[t].cost = 0.0;
        set_layout(s, weight, layout_name(trials[t].layout));
        for (size_t r = 0; r < weight->readers.count; r++) {
            const choice *made;
            tn_status status = choice_make(s, weight->readers.data[r].function, reader_step(s, &weight->readers.data[r]), measure, &made);
            if (status != TN_OK) return status;
            choices[(size_t)t * weight->readers.count + r] = made->is_possible ? made : NULL;
            trials[t].num_able += made->is_possible;
        }
    }
    for (size_t r = 0; r < weight->readers.count; r++) {
        const tn_weight_reader *reader = &weight->readers.data[r];
        size_t num_ranges = bucket_of(s, reader->function, reader_step(s, reader))->ranges.count;
        for (size_t range = 0; range < num_ranges; range++) {
            double best = INFINITY;
            for (int t = 0; t < num_trials; t++) {
                const choice *made = choices[(size_t)t * weight->readers.count + r];
                if (made != NULL && made->us[range] < best) best = made->us[range];
            }
            for (int t = 0; t < num_trials; t++) {
                const choice *made = choices[(size_t)t * weight->readers.count + r];
                if (made != NULL) trials[t].cost += best > 0.0 ? made->us[range] / best : 1.0;
            }
        }
    }
    return TN_OK;
}

static const layout_trial *best_trial(const layout_trial *trials, int num_trials) {
    const layout_trial *best = &trials[0];
    for (int t = 1; t < num_trials; t++)
        if (trials[t].num_able > best->num_able || (trials[t].num_able == best->num_able && trials[t].cost < best->cost * 0.99))
            best = &trials[t];
    return best;
}

/* Readers that cannot take the layout get a second copy of the weight. */
static tn_status split_readers(selector *s, size_t index, const layout_trial *best, const choice *const *choices_of_best) {
    tn_draft *draft = s->draft;
    tn_draft_weight copy = draft->weights.data[index];
    memset(&copy.readers, 0, sizeof copy.readers);
    size_t kept = 0;
    uint32_t number = (uint32_t)draft->weights.count;
    tn_draft_weight *weight = &draft->weights.data[index];
    if (best->num_able == weight->readers.count) return TN_OK;
    for (size_t r = 0; r < weight->readers.count; r++) {
        tn_weight_reader reader = weight->readers.data[r];
        if (choices_of_best[r] != NULL) {
            weight->readers.data[kept++] = reader;
            continue;
        }
        if (!tn_array_push(draft->allocator, &copy.readers, reader)) return tn_fail_memory(draft->diag, "selecting layouts", sizeof reader);
        reader_step(s, &reader)->refs[reader.operand].id = number;
        reader_step(s, &reader)->operands[reader.operand].layout = NULL;
    }
    weight->readers.count = kept;
    if (tn_array_push(draft->allocator, &draft->weights, copy)) return TN_OK;
    tn_array_deinit(draft->allocator, &copy.readers);
    return tn_fail_memory(draft->diag, "selecting layouts", sizeof copy);
}

static tn_status fail_weight(const selector *s, const tn_draft_weight *weight) {
    const tn_draft_step *step = reader_step(s, &weight->readers.data[0]);
    char encoding[64];
    return tn_fail_at(s->draft->diag, TN_UNSUPPORTED, &(tn_where){.subject = step->name},
                      "cannot build '%s': no kernel of %s reads its weight '%s' (%s) in any layout", step->name,
                      s->options->device->backend->name, weight->name, tn_encoding_name(&weight->weights->desc.encoding, encoding));
}

static tn_status choose_layout(selector *s, size_t index) {
    tn_draft_weight *weight = &s->draft->weights.data[index];
    layout_trial trials[MAX_TRIALS] = {{.layout = NULL}};
    int num_trials = 1;
    const tn_backend *backend = s->options->device->backend;
    for (size_t i = 0; i < backend->num_layouts && num_trials < MAX_TRIALS && !weight->is_plain; i++)
        if (strcmp(backend->layouts[i]->name, TN_LAYOUT_PLAIN) != 0 && backend->layouts[i]->accepts(&weight->weights->desc))
            trials[num_trials++].layout = backend->layouts[i];
    weight->layout = NULL;
    if (num_trials == 1) {
        set_layout(s, weight, TN_LAYOUT_PLAIN);
        return TN_OK; /* whether its readers can is seen when they are decided */
    }
    size_t num_readers = weight->readers.count;
    const choice **choices = tn_alloc_array(s->draft->allocator, (size_t)num_trials * num_readers, sizeof *choices);
    if (choices == NULL) return tn_fail_memory(s->draft->diag, "selecting layouts", num_readers * sizeof *choices);
    tn_status status = try_layouts(s, weight, trials, num_trials, choices, false);
    const layout_trial *best = best_trial(trials, num_trials);
    if (status == TN_OK && best->num_able > 0) {
        int num_close = 0; /* those near the best by estimate are measured */
        for (int t = 0; t < num_trials; t++)
            if (trials[t].num_able == best->num_able && trials[t].cost <= best->cost * 1.5) trials[num_close++] = trials[t];
        if (num_close > 1 || best != &trials[0]) {
            status = try_layouts(s, weight, trials, num_close, choices, num_close > 1);
            best = best_trial(trials, num_close);
        }
    }
    if (status == TN_OK && best->num_able == 0) status = fail_weight(s, weight);
    if (status == TN_OK) {
        const tn_layout *layout = best->layout;
        status = split_readers(s, index, best, choices + (size_t)(best - trials) * num_readers);
        weight = &s->draft->weights.data[index]; /* the table may have moved */
        weight->layout = layout;
        set_layout(s, weight, layout_name(layout));
    }
    tn_free(s->draft->allocator, choices);
    return status;
}

/* Small weights first: with theirs known, a matrix is tried against steps that lack nothing else. */
static tn_status choose_layouts(selector *s) {
    const tn_backend *backend = s->options->device->backend;
    tn_status status = TN_OK;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < s->draft->weights.count && status == TN_OK; i++) {
            const tn_draft_weight *weight = &s->draft->weights.data[i];
            bool has_choice = false;
            for (size_t k = 0; k < backend->num_layouts && !weight->is_plain; k++)
                has_choice = has_choice || (strcmp(backend->layouts[k]->name, TN_LAYOUT_PLAIN) != 0 &&
                                            backend->layouts[k]->accepts(&weight->weights->desc));
            if (has_choice != (round == 1)) continue;
            status = choose_layout(s, i);
        }
    return status;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------------- */

static tn_status fail_step(const selector *s, const tn_draft_step *step, const char *reasons) {
    tn_where where = {.subject = step->name};
    if (s->options->layouts_are_fixed) {
        where.hint = "build the plan again from its model: tenon build MODEL -o DIR";
        return tn_fail_at(s->draft->diag, TN_INCOMPATIBLE, &where, "cannot retune step '%s' for %s: %s", step->name,
                          s->options->device->description, reasons);
    }
    return tn_fail_at(s->draft->diag, TN_UNSUPPORTED, &where, "cannot build '%s' for %s: %s", step->name, s->options->device->description,
                      reasons);
}

/* Variants of a step: neighbouring ranges of one tactic become one. */
static tn_status set_variants(selector *s, const selector_bucket *bucket, tn_draft_step *step, const choice *made) {
    tn_draft_variant *variants = tn_arena_alloc_array(&s->draft->arena, bucket->ranges.count, sizeof *variants);
    if (variants == NULL) return tn_fail_memory(s->draft->diag, "selecting tactics", bucket->ranges.count * sizeof *variants);
    uint32_t count = 0;
    for (size_t r = 0; r < bucket->ranges.count; r++) {
        const selector_range *range = &bucket->ranges.data[r];
        tn_draft_variant *last = count > 0 ? &variants[count - 1] : NULL;
        size_t workspace = choice_workspace(s, made->tactics[r], step, range);
        if (last != NULL && last->profile == range->profile && last->tactic == made->tactics[r]) {
            last->bucket_max = range->max;
            if (workspace > last->workspace_bytes) last->workspace_bytes = workspace;
            continue;
        }
        variants[count++] = (tn_draft_variant){range->profile, range->min, range->max, made->tactics[r], workspace};
    }
    step->variants = variants;
    step->num_variants = count;
    return TN_OK;
}

static tn_status choose_tactics(selector *s) {
    uint64_t done = 0, total = 0;
    for (size_t f = 0; f < s->draft->functions.count; f++) total += s->draft->functions.data[f].steps.count;
    tn_status first_failure = TN_OK;
    for (uint32_t f = 0; f < s->draft->functions.count; f++)
        for (size_t i = 0; i < s->draft->functions.data[f].steps.count; i++, done++) {
            tn_draft_step *step = &s->draft->functions.data[f].steps.data[i];
            if (!step->has_problem || step->record.device == 0) continue;
            if (!tn_progress_report(s->options->progress, "time tactics", done, total))
                return tn_fail(s->draft->diag, TN_CANCELLED, "the build was cancelled while timing tactics");
            const choice *made;
            tn_status status = choice_make(s, f, step, true, &made);
            if (status == TN_OK && !made->is_possible)
                status = fail_step(s, step, made->reasons);
            else if (status == TN_OK)
                status = set_variants(s, bucket_of(s, f, step), step, made);
            if (status == TN_UNSUPPORTED || status == TN_INCOMPATIBLE) {
                if (first_failure == TN_OK) first_failure = status; /* all of them are reported */
            } else if (status != TN_OK) {
                return status;
            }
        }
    return first_failure;
}

static void set_host_layouts(tn_draft *draft) {
    for (size_t f = 0; f < draft->functions.count; f++)
        for (size_t i = 0; i < draft->functions.data[f].steps.count; i++) {
            tn_draft_step *step = &draft->functions.data[f].steps.data[i];
            for (uint32_t k = 0; step->has_problem && step->record.device == 0 && k < step->problem.num_operands; k++)
                if (step->operands[k].role == TN_ROLE_WEIGHT) step->operands[k].layout = TN_LAYOUT_PLAIN;
        }
}

tn_status tn_select_tactics(tn_draft *draft, const tn_select_options *options) {
    selector s = {.draft = draft, .options = options};
    tn_status status = choice_start(&s);
    if (status == TN_OK) status = bucket_assign_all(&s);
    set_host_layouts(draft);
    if (status == TN_OK && !options->layouts_are_fixed) status = choose_layouts(&s);
    if (status == TN_OK) status = choose_tactics(&s);
    choice_finish(&s);
    return status;
}
