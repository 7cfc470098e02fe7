/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_report.h: from the times of answers to the report of `vllm bench serve`: its names, its layout, its JSON keys.
 *
 *     TTFT   first text − begin                               of requests that succeeded, as all below
 *     TPOT   (last text − begin − TTFT) / (tokens − 1)        of requests with more than one token
 *     ITL    between a chunk with text and the one before
 *     E2EL   last text − begin
 *     throughputs: over the duration of the whole run; goodput: requests a second that meet every limit given
 *     percentiles interpolate between the two values around them
 */
#ifndef TN_CLI_SERVE_REPORT_H_
#define TN_CLI_SERVE_REPORT_H_

#include <stdio.h>

#include "cli/serve_load.h"

typedef enum tn_serve_metric { TN_SERVE_TTFT = 0, TN_SERVE_TPOT, TN_SERVE_ITL, TN_SERVE_E2EL, TN_NUM_SERVE_METRICS } tn_serve_metric;
enum { TN_MAX_SERVE_PERCENTILES = 8 };

/* What was measured and what is to be told. Strings are borrowed. */
typedef struct tn_serve_setting {
    const char *backend, *model, *dataset; /* "openai" or "openai-chat"; "random" or a path */
    double request_rate;                   /* 0: all at once */
    size_t max_concurrency;                /* 0: any number */
    bool shows[TN_NUM_SERVE_METRICS];
    double percentiles[TN_MAX_SERVE_PERCENTILES]; /* 0 to 100 */
    size_t num_percentiles;
    double goodput_ms[TN_NUM_SERVE_METRICS]; /* limits; 0: none. Not of ITL */
} tn_serve_setting;

typedef struct tn_serve_figures {
    size_t count;
    double mean, median, deviation, percentiles[TN_MAX_SERVE_PERCENTILES]; /* ms; 0 without values */
} tn_serve_figures;

typedef struct tn_serve_summary {
    size_t num_completed, num_failed, max_active;
    int64_t num_input, num_output;
    double duration_s, requests_per_s, good_requests_per_s, output_per_s, total_per_s, peak_output_per_s;
    bool has_goodput;
    tn_serve_figures metrics[TN_NUM_SERVE_METRICS];
} tn_serve_summary;

TN_MUST_CHECK tn_status tn_serve_summarize(const tn_serve_setting *setting, const tn_serve_result *result, tn_serve_summary *out_summary);
void tn_serve_report_print(const tn_serve_setting *setting, const tn_serve_summary *summary, FILE *file);
/* is_detailed: each request's times too. */
void tn_serve_report_json(const tn_serve_setting *setting, const tn_serve_summary *summary, const tn_serve_result *result, bool is_detailed,
                          tn_text *out_text);

#endif
