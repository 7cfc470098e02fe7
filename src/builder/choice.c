/* SPDX-License-Identifier: Apache-2.0
 *
 * choice.c: which tactic runs a problem in each range: asks them all, estimates, measures the few that matter.
 *
 * The favourite is the one with the least estimate; another one must beat its measured time by 5 %, so that noise does not
 * change plans. Under batch invariance all ranges share one numerics: the one that costs least over all of them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/thread.h"
#include "builder/select.h"
#include "builder/timing.h"
#include "builder/timing_cache.h"

enum { MAX_CANDIDATES = 64, BEST_FEW = 4 };
static const double worth_timing = 3.0, challenger_factor = 0.95;

/* --- the table of decisions ----------------------------------------------------------------------------------------------------- */

tn_status choice_start(selector *s) {
    s->text.allocator = s->draft->allocator;
    if (s->options->timing_budget_ms > 0) s->deadline_ns = tn_now_ns() + s->options->timing_budget_ms * 1000000;
    s->cache = s->options->cache;
    if (s->cache != NULL) return TN_OK;
    s->owns_cache = true;
    return tn_timing_cache_create_diag(s->draft->allocator, s->draft->diag, &s->cache);
}

void choice_finish(selector *s) {
    for (size_t i = 0; i < s->buckets.count; i++) tn_array_deinit(s->draft->allocator, &s->buckets.data[i].ranges);
    tn_array_deinit(s->draft->allocator, &s->buckets);
    tn_free(s->draft->allocator, s->slots);
    tn_text_deinit(&s->text);
    if (s->owns_cache) tn_timing_cache_destroy(s->cache);
}

static size_t find_slot(const selector *s, const char *key) {
    size_t mask = s->num_slots - 1, slot = (size_t)tn_hash(key, strlen(key), 0) & mask;
    while (s->slots[slot] != NULL && strcmp(s->slots[slot]->key, key) != 0) slot = (slot + 1) & mask;
    return slot;
}

static bool grow_slots(selector *s) {
    if (s->num_choices * 2 < s->num_slots) return true;
    size_t old_count = s->num_slots, count = old_count == 0 ? 128 : old_count * 2;
    choice **old = s->slots, **slots = tn_alloc_array(s->draft->allocator, count, sizeof(choice *));
    if (slots == NULL) return false;
    s->slots = slots;
    s->num_slots = count;
    for (size_t i = 0; i < old_count; i++)
        if (old[i] != NULL) slots[find_slot(s, old[i]->key)] = old[i];
    tn_free(s->draft->allocator, old);
    return true;
}

/* --- one problem ------------------------------------------------------------------------------------------------------------------- */

typedef struct decision {
    selector *s;
    const tn_draft_step *step;
    const selector_bucket *bucket;
    bool measure;
    const tn_tactic *candidates[MAX_CANDIDATES];
    int num_candidates;
    double *us;     /* [ranges][candidates]; INFINITY: left out there */
    bool *measured; /* of the range: the times were taken, not estimated */
} decision;

static double *times_of(const decision *d, size_t range) {
    return d->us + range * (size_t)d->num_candidates;
}

/* Asks every tactic of the op; what was said goes to the inspector's notes if the layouts are final. */
static tn_status ask_all(decision *d, choice *made, const char *problem_text) {
    const tn_device *device = d->s->options->device;
    tn_text reasons = {.allocator = d->s->draft->allocator};
    tn_text *notes = d->measure ? d->s->draft->refused : NULL;
    bool noted = false;
    for (size_t i = 0; i < device->backend->num_tactics; i++) {
        const tn_tactic *tactic = device->backend->tactics[i];
        if (tactic->op != d->step->problem.op) continue;
        char why[256] = "";
        if (tactic->supports(&device->info, &d->step->problem, why, sizeof why)) {
            if (d->num_candidates < MAX_CANDIDATES) d->candidates[d->num_candidates++] = tactic;
            continue;
        }
        tn_text_append_format(&reasons, "%s%s: %s", reasons.size > 0 ? "; " : "", tactic->name, why);
        if (notes == NULL) continue;
        if (!noted) {
            tn_text_append_format(notes, "%s{\"problem\":", notes->size > 0 ? "," : "");
            tn_text_append_json_string(notes, problem_text, strlen(problem_text));
            tn_text_append_string(notes, ",\"tactics\":[");
        }
        tn_text_append_string(notes, noted ? ",{\"name\":" : "{\"name\":");
        tn_text_append_json_string(notes, tactic->name, strlen(tactic->name));
        tn_text_append_string(notes, ",\"reason\":");
        tn_text_append_json_string(notes, why, strlen(why));
        tn_text_append_char(notes, '}');
        noted = true;
    }
    if (noted) tn_text_append_string(notes, "]}");
    made->is_possible = d->num_candidates > 0;
    made->reasons = "";
    if (!made->is_possible) {
        if (reasons.size == 0)
            tn_text_append_format(&reasons, "%s has no %s", device->backend->name, tn_op_get_info(d->step->problem.op)->name);
        made->reasons = reasons.failed ? NULL : tn_arena_string(&d->s->draft->arena, reasons.data);
    }
    bool failed = reasons.failed || made->reasons == NULL || (notes != NULL && notes->failed);
    tn_text_deinit(&reasons);
    return failed ? tn_fail_memory(d->s->draft->diag, "selecting tactics", 256) : TN_OK;
}

/* The problem with numbers for its dims: what the timing cache is keyed by. */
static tn_status print_at_point(decision *d, const int64_t *values, tn_text *out) {
    const tn_draft *draft = d->s->draft;
    size_t count = 0;
    for (uint32_t i = 0; i < d->step->problem.num_operands; i++)
        for (int k = 0; k < d->step->operands[i].rank; k++)
            if (!d->step->operands[i].absent && d->step->operands[i].dims[k] >= count) count = d->step->operands[i].dims[k] + 1;
    tn_sym_node *nodes = tn_alloc_array(draft->allocator, count, sizeof *nodes);
    if (nodes == NULL) return tn_fail_memory(draft->diag, "selecting tactics", count * sizeof *nodes);
    for (size_t i = 0; i < count; i++) nodes[i] = (tn_sym_node){.op = TN_SYM_CONST, .value = values[i]};
    tn_text_reset(out);
    tn_problem_print(&d->step->problem, nodes, count, out);
    tn_free(draft->allocator, nodes);
    return out->failed ? tn_fail_memory(draft->diag, "selecting tactics", out->size) : TN_OK;
}

/* Keeps in `few` the candidates worth timing: near the best estimate, or known to the cache already. */
static int pick_few(decision *d, const double *us, const char *problem, int few[TN_MAX_TIMED], double known[TN_MAX_TIMED]) {
    int level = d->s->options->optimization_level, count = 0, most = level >= 4 ? TN_MAX_TIMED : BEST_FEW;
    double best = INFINITY;
    for (int i = 0; i < d->num_candidates; i++) best = us[i] < best ? us[i] : best;
    bool taken[MAX_CANDIDATES] = {false};
    for (int pass = 0; pass < 2; pass++)
        while (count < (pass == 0 ? most : TN_MAX_TIMED)) {
            int next = -1;
            double next_known = NAN;
            for (int i = 0; i < d->num_candidates; i++) {
                if (taken[i] || (next >= 0 && us[i] >= us[next])) continue;
                tn_timing_key key = {d->s->options->device->info.fingerprint, d->candidates[i]->name, problem, d->candidates[i]->version};
                double cached;
                bool is_estimate, hit = tn_timing_cache_find(d->s->cache, &key, &cached, &is_estimate) && !(is_estimate && level >= 4);
                if (pass == 0 ? level < 4 && us[i] > best * worth_timing : !hit) continue;
                next = i;
                next_known = hit ? cached : NAN;
            }
            if (next < 0) break;
            taken[next] = true;
            few[count] = next;
            known[count++] = next_known;
        }
    return count;
}

static tn_status remember(decision *d, const char *problem, int candidate, double us, bool is_estimate) {
    const tn_tactic *tactic = d->candidates[candidate];
    tn_timing_key key = {d->s->options->device->info.fingerprint, tactic->name, problem, tactic->version};
    return tn_timing_cache_put(d->s->cache, &key, us, is_estimate, d->s->draft->diag);
}

/* Measures those of `few` that the cache does not know. All are measured together or not at all. */
static tn_status measure_few(decision *d, const selector_range *range, const char *problem, const int *few, int count, double *known,
                             const double *estimates, bool *out_measured) {
    bool all_known = true;
    const tn_tactic *tactics[TN_MAX_TIMED];
    for (int i = 0; i < count; i++) {
        all_known = all_known && !isnan(known[i]);
        tactics[i] = d->candidates[few[i]];
    }
    *out_measured = true;
    if (all_known) return TN_OK;
    tn_timing_request request = {.device = d->s->options->device,
                                 .problem = &d->step->problem,
                                 .symbols = range->point_values,
                                 .tactics = tactics,
                                 .num_tactics = count,
                                 .deadline_ns = d->s->deadline_ns};
    double us[TN_MAX_TIMED];
    bool measured = false;
    tn_status status = TN_OK;
    if (d->s->deadline_ns == 0 || tn_now_ns() < d->s->deadline_ns)
        status = tn_timing_measure(&request, d->s->draft->allocator, d->s->draft->diag, us, &measured);
    for (int i = 0; i < count && status == TN_OK; i++) {
        if (!isnan(known[i])) continue; /* what the cache says stands */
        known[i] = measured ? us[i] : estimates[few[i]];
        status = remember(d, problem, few[i], known[i], !measured);
    }
    return status;
}

/* Fills the times of one range: estimates, or measured ones for the few that matter and nothing for the rest. */
static tn_status time_range(decision *d, size_t index) {
    const selector_range *range = &d->bucket->ranges.data[index];
    const tn_device_info *info = &d->s->options->device->info;
    double *us = times_of(d, index);
    for (int i = 0; i < d->num_candidates; i++) {
        us[i] = d->candidates[i]->estimate_us(info, &d->step->problem, range->point_values);
        if (!(us[i] > 0.0)) us[i] = 0.001;
    }
    if (!d->measure || d->num_candidates < 2 || d->s->options->optimization_level == 0 || !tn_timing_is_possible(&d->step->problem))
        return TN_OK;
    tn_text problem = {.allocator = d->s->draft->allocator};
    tn_status status = print_at_point(d, range->point_values, &problem);
    int few[TN_MAX_TIMED], count = 0;
    double known[TN_MAX_TIMED];
    if (status == TN_OK) count = pick_few(d, us, problem.data, few, known);
    if (status == TN_OK && count > 1) {
        status = measure_few(d, range, problem.data, few, count, known, us, &d->measured[index]);
        if (status == TN_OK && d->measured[index]) {
            /* the favourite stays the one with the least estimate: a challenger's time is what it must beat it by */
            double favourite = known[0] * challenger_factor;
            for (int i = 0; i < d->num_candidates; i++) us[i] = INFINITY;
            for (int i = 0; i < count; i++)
                us[few[i]] = i > 0 && known[i] >= favourite && known[i] <= known[0] ? known[0] * 1.0001 : known[i];
        }
    }
    tn_text_deinit(&problem);
    return status;
}

/* The candidate of a numerics (−1: of any) that is least there; −1 if there is none. */
static int least_of(const decision *d, size_t range, int numerics) {
    const double *us = times_of(d, range);
    int best = -1;
    for (int i = 0; i < d->num_candidates; i++) {
        if (numerics >= 0 && (int)d->candidates[i]->numerics != numerics) continue;
        if (isfinite(us[i]) && (best < 0 || us[i] < us[best])) best = i;
    }
    return best;
}

/* What a numerics costs over all ranges, each relative to the best there; INFINITY if some range has none of it. */
static double cost_of_numerics(const decision *d, int numerics) {
    double cost = 0.0;
    for (size_t r = 0; r < d->bucket->ranges.count; r++) {
        int best = least_of(d, r, -1), own = least_of(d, r, numerics);
        if (own < 0) return INFINITY;
        cost += times_of(d, r)[own] / times_of(d, r)[best];
    }
    return cost;
}

/* Candidates that were left out of timing in a range come back there by their estimate, if their numerics has nobody else. */
static void restore_left_out(decision *d) {
    for (size_t r = 0; r < d->bucket->ranges.count; r++) {
        double *us = times_of(d, r);
        for (int i = 0; i < d->num_candidates; i++)
            if (!isfinite(us[i]) && least_of(d, r, (int)d->candidates[i]->numerics) < 0) {
                double estimate =
                    d->candidates[i]->estimate_us(&d->s->options->device->info, &d->step->problem, d->bucket->ranges.data[r].point_values);
                double slowest = 0.0;
                for (int k = 0; k < d->num_candidates; k++)
                    if (isfinite(us[k]) && us[k] > slowest) slowest = us[k];
                us[i] = estimate > slowest * worth_timing ? estimate : slowest * worth_timing;
            }
    }
}

static void decide(decision *d, choice *made) {
    int numerics = -1;
    if (d->s->options->batch_invariant) {
        double least = INFINITY;
        restore_left_out(d);
        for (int i = 0; i < d->num_candidates; i++) {
            double cost = cost_of_numerics(d, (int)d->candidates[i]->numerics);
            if (cost < least) {
                least = cost;
                numerics = (int)d->candidates[i]->numerics;
            }
        }
    }
    for (size_t r = 0; r < d->bucket->ranges.count; r++) {
        int best = least_of(d, r, numerics);
        made->tactics[r] = d->candidates[best];
        made->us[r] = times_of(d, r)[best];
    }
}

static tn_status make_decision(selector *s, uint32_t function, const tn_draft_step *step, bool measure, const char *problem_text,
                               choice *made) {
    decision d = {.s = s, .step = step, .bucket = bucket_of(s, function, step), .measure = measure};
    tn_status status = ask_all(&d, made, problem_text);
    if (status != TN_OK || !made->is_possible) return status;
    size_t num_ranges = d.bucket->ranges.count;
    d.us = tn_alloc_array(s->draft->allocator, num_ranges * (size_t)d.num_candidates, sizeof *d.us);
    d.measured = tn_alloc_array(s->draft->allocator, num_ranges, sizeof *d.measured);
    made->tactics = tn_arena_alloc_array(&s->draft->arena, num_ranges, sizeof *made->tactics);
    made->us = tn_arena_alloc_array(&s->draft->arena, num_ranges, sizeof *made->us);
    if (d.us == NULL || d.measured == NULL || made->tactics == NULL || made->us == NULL)
        status = tn_fail_memory(s->draft->diag, "selecting tactics", num_ranges * sizeof *d.us);
    for (size_t r = 0; r < num_ranges && status == TN_OK; r++) status = time_range(&d, r);
    if (status == TN_OK) decide(&d, made);
    tn_free(s->draft->allocator, d.us);
    tn_free(s->draft->allocator, d.measured);
    return status;
}

tn_status choice_make(selector *s, uint32_t function, const tn_draft_step *step, bool measure, const choice **out_choice) {
    tn_text_reset(&s->text);
    tn_text_append_format(&s->text, "%u %d ", function, measure ? 1 : 0);
    size_t prefix = s->text.size;
    const tn_draft_function *f = &s->draft->functions.data[function];
    tn_problem_print(&step->problem, f->symbols.data, f->symbols.count, &s->text);
    if (s->text.failed || !grow_slots(s)) return tn_fail_memory(s->draft->diag, "selecting tactics", s->text.size);
    size_t slot = find_slot(s, s->text.data);
    if (s->slots[slot] == NULL) {
        choice *made = tn_arena_alloc(&s->draft->arena, sizeof *made);
        if (made != NULL) made->key = tn_arena_string(&s->draft->arena, s->text.data);
        if (made == NULL || made->key == NULL) return tn_fail_memory(s->draft->diag, "selecting tactics", s->text.size);
        tn_status status = make_decision(s, function, step, measure, made->key + prefix, made);
        if (status != TN_OK) return status;
        s->slots[slot] = made;
        s->num_choices++;
    }
    *out_choice = s->slots[slot];
    return TN_OK;
}

size_t choice_workspace(const selector *s, const tn_tactic *tactic, const tn_draft_step *step, const selector_range *range) {
    return tactic->workspace_bytes != NULL ? tactic->workspace_bytes(&s->options->device->info, &step->problem, range->max_values) : 0;
}
