/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_report.h: from the times of requests to the figures of trtllm-bench's report, as JSON with its keys and as text.
 *
 * Times are the client's: begin before enqueue, first token and end when the response was taken. The first token's is known only of
 * streams. Definitions, with n requests:
 *
 *     total latency        last end − first begin
 *     latency              end − begin of one request
 *     per-user speed       tokens / latency of one request, then the mean over requests
 *     time per token       TPOT = (end − first token) / (tokens − 1); 0 if there is one token
 *     time to first token  TTFT = first token − begin
 *     generation speed     (tokens − 1) / (end − first token); 0 if there is one token
 *     concurrency          sum of latencies / total latency: requests under way, on average
 *     issue rate           (n − 1) / (last begin − first begin); null if all began at once
 *     percentile q         the sorted values' element number ⌊n · q⌋; no interpolation
 */
#ifndef TN_CLI_BENCH_REPORT_H_
#define TN_CLI_BENCH_REPORT_H_

#include <stdio.h>

#include "base/report.h"
#include "base/text.h"

typedef struct tn_bench_record {
    int64_t begin_ns, first_token_ns, end_ns; /* of one clock; first_token_ns of streams only */
    int32_t num_input, num_output;            /* tokens; num_output ≥ 1 */
} tn_bench_record;

typedef struct tn_percentiles {
    double p50, p90, p95, p99, minimum, maximum, average;
} tn_percentiles;

typedef struct tn_bench_summary {
    size_t num_requests;
    bool is_streaming;
    double total_latency_ms, issue_rate_req_s; /* issue rate: 0 = all at once */
    double num_concurrent_requests, request_throughput_req_s, output_throughput_tok_s, total_throughput_tok_s, user_throughput_tok_s;
    tn_percentiles latency_ms, ttft_ms, tpot_ms, generation_tok_s; /* the last three of streams only */
    tn_percentiles input_length, output_length, sequence_length;
} tn_bench_summary;

/* num_records ≥ 1. TN_OUT_OF_MEMORY */
TN_MUST_CHECK tn_status tn_bench_summarize(const tn_bench_record *records, size_t num_records, bool is_streaming,
                                           tn_bench_summary *out_summary);

/* What was measured. Strings are borrowed; NULL is null in JSON and not printed. */
typedef struct tn_bench_setting {
    const char *model, *model_path, *engine_dir, *backend, *dtype, *kv_cache_dtype, *quantization;
    int64_t max_sequence_length;
    const char *machine;
    double memory_gib; /* 0: unknown */
    int64_t max_batch_size, max_num_tokens;
    const char *scheduling_policy;
    double kv_cache_percentage;
    const char *dataset_path; /* "random", "standard input" */
} tn_bench_setting;

/* Sections engine, machine, world_info, request_info, performance, streaming_metrics (streams only), dataset. */
void tn_bench_report_json(const tn_bench_setting *setting, const tn_bench_summary *summary, tn_text *out_text);
void tn_bench_report_print(const tn_bench_setting *setting, const tn_bench_summary *summary, FILE *file);

#endif
