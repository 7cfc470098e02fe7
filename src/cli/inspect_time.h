/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_time.h: `tenon inspect --time`: the steps of one decode or prefill step of a decoder, timed one by one.
 */
#ifndef TN_CLI_INSPECT_TIME_H_
#define TN_CLI_INSPECT_TIME_H_

#include "base/text.h"
#include "cli/inspect_ceilings.h"
#include "cli/inspect_work.h"
#include "cli/session.h"

typedef struct tn_time_args {
    bool is_json;
    tn_text *json;      /* takes the JSON in place of the standard output; NULL: none */
    int64_t num_tokens; /* of a prefill; 0: decode */
    int64_t num_seqs;   /* of a decode; 0: 1 */
    int64_t num_cached; /* tokens in each one's cache; −1: 512, or as many as the engine takes */
} tn_time_args;

/* Measures and prints. false after reporting. */
bool tn_inspect_time(tn_session *session, const tn_time_args *args);

/* --- what is measured, and handed to the report --------------------------------------------------------------------------------- */

typedef struct tn_timed_step {
    const char *name, *problem, *op, *tactic; /* tactic: NULL if the step did not run */
    char *shape;                              /* of the operands that matter; owned */
    bool is_host;
    double us; /* median */
    tn_step_work work;
} tn_timed_step;

typedef struct tn_timed_function {
    const char *name;
    tn_timed_step *steps;
    uint32_t num_steps;
    double run_us; /* median of runs without a profile */
} tn_timed_function;

typedef struct tn_time_report {
    const char *device;
    bool is_prefill;
    tn_work_batch batch;
    tn_ceilings ceilings;
    tn_timed_function functions[2];
    int num_functions, num_runs;
} tn_time_report;

void tn_time_report_print(const tn_time_report *report);
void tn_time_report_put_json(const tn_time_report *report, tn_text *out);

#endif
