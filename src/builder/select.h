/* SPDX-License-Identifier: Apache-2.0
 *
 * select.h: what select.c, bucket.c and choice.c share: the ranges of each step's bucket symbol, and the decision for one problem.
 */
#ifndef TN_BUILDER_SELECT_H_
#define TN_BUILDER_SELECT_H_

#include "base/progress.h"
#include "builder/builder_internal.h"

/* A range of a bucket symbol in one profile, with the symbols' values where it is judged and at its largest. */
typedef struct selector_range {
    uint32_t profile;
    int64_t min, max;
    int64_t *point_values, *max_values;
} selector_range;

/* The symbol that a step's tactics are chosen by, with its ranges: that of the function's tokens, or another dimension where the
 * step's work does not grow with those (the head's, with the rows of logits). 0: one range. */
typedef struct selector_bucket {
    uint32_t function, symbol;
    TN_ARRAY(selector_range) ranges;
} selector_bucket;

/* What was decided for a problem: a tactic and its time for each range of its bucket. */
typedef struct choice {
    const char *key;
    bool is_possible;
    const tn_tactic **tactics; /* [ranges] */
    double *us;                /* [ranges] */
    const char *reasons;       /* why it is not possible */
} choice;

typedef struct selector {
    tn_draft *draft;
    const tn_select_options *options;
    TN_ARRAY(selector_bucket) buckets;
    tn_timing_cache *cache; /* the caller's, or one of our own */
    bool owns_cache;
    choice **slots; /* by hash of the key */
    size_t num_slots, num_choices;
    int64_t deadline_ns; /* 0: none */
    tn_text text;        /* scratch */
} selector;

/* bucket.c: gives every device step its bucket symbol and makes the ranges of all. */
TN_MUST_CHECK tn_status bucket_assign_all(selector *s);
const selector_bucket *bucket_of(const selector *s, uint32_t function, const tn_draft_step *step);

TN_MUST_CHECK tn_status choice_start(selector *s);
void choice_finish(selector *s);
/* The decision for a step's problem with the layouts as they stand. measure false: by estimates. Notes refused tactics for the
 * inspector when measure is true. */
TN_MUST_CHECK tn_status choice_make(selector *s, uint32_t function, const tn_draft_step *step, bool measure, const choice **out_choice);
size_t choice_workspace(const selector *s, const tn_tactic *tactic, const tn_draft_step *step, const selector_range *range);

#endif
