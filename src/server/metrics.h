/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h: counters and histograms in Prometheus' text form. Base names and buckets are vLLM's, under tenon_, so that its
 * boards work after one find-and-replace.
 *
 * The loop counts under one lock for all responses of a step: tn_metrics_lock, any number of counts, tn_metrics_unlock.
 */
#ifndef TN_SERVER_METRICS_H_
#define TN_SERVER_METRICS_H_

#include <pthread.h>
#include <stdint.h>

#include "base/text.h"

/* X(name, buckets, "help") */
#define TN_HISTOGRAMS(X)                                                                                 \
    X(time_to_first_token_seconds, TTFT, "From a request's arrival in the executor to its first token.") \
    X(time_per_output_token_seconds, TPOT, "Between two tokens of a request.")                           \
    X(inter_token_latency_seconds, TPOT, "Between two tokens of a request.")                             \
    X(request_time_per_output_token_seconds, TPOT, "Mean time between tokens of a request.")             \
    X(e2e_request_latency_seconds, E2E, "From arrival to the last token.")                               \
    X(request_queue_time_seconds, E2E, "Waiting.")                                                       \
    X(request_inference_time_seconds, E2E, "Running.")                                                   \
    X(request_prefill_time_seconds, PREFILL, "Running until the first token.")                           \
    X(request_decode_time_seconds, E2E, "From the first token to the last.")                             \
    X(request_prompt_tokens, TOKENS, "Tokens of prompts.")                                               \
    X(request_generation_tokens, TOKENS, "Tokens of answers.")                                           \
    X(request_params_n, N, "n of requests.")                                                             \
    X(request_params_max_tokens, TOKENS, "max_tokens of requests.")                                      \
    X(iteration_tokens, STEP, "Tokens of a step.")

/* X(name, "help") */
#define TN_COUNTERS(X)                                                                    \
    X(prompt_tokens_total, "Tokens of prompts that were read.")                           \
    X(generation_tokens_total, "Tokens that were generated.")                             \
    X(prefix_cache_queries_total, "Tokens of prompts that were looked for in the cache.") \
    X(prefix_cache_hits_total, "Tokens of prompts that the cache had.")                   \
    X(num_preemptions_total, "Requests that were paused for lack of blocks.")             \
    X(admission_rejections_total, "Requests refused since the queue was full.")           \
    X(client_disconnects_total, "Clients that left before their answer ended.")

typedef enum tn_histogram_id {
#define X(name, buckets, help) TN_HISTOGRAM_##name,
    TN_HISTOGRAMS(X)
#undef X
        TN_NUM_HISTOGRAMS
} tn_histogram_id;

typedef enum tn_counter_id {
#define X(name, help) TN_COUNTER_##name,
    TN_COUNTERS(X)
#undef X
        TN_NUM_COUNTERS
} tn_counter_id;

typedef enum tn_finish_label { TN_LABEL_STOP, TN_LABEL_LENGTH, TN_LABEL_ABORT, TN_LABEL_ERROR, TN_NUM_FINISH_LABELS } tn_finish_label;

enum { TN_MAX_BUCKETS = 24, TN_MAX_STATUSES = 32 };

typedef struct tn_histogram {
    uint64_t counts[TN_MAX_BUCKETS + 1]; /* the last: beyond all bounds */
    double sum;
} tn_histogram;

typedef struct tn_metrics {
    pthread_mutex_t lock;
    tn_histogram histograms[TN_NUM_HISTOGRAMS];
    uint64_t counters[TN_NUM_COUNTERS], finished[TN_NUM_FINISH_LABELS];
    struct {
        int status;
        uint64_t count;
    } http[TN_MAX_STATUSES]; /* answers by status */
} tn_metrics;

static inline void tn_metrics_lock(tn_metrics *metrics) {
    pthread_mutex_lock(&metrics->lock);
}
static inline void tn_metrics_unlock(tn_metrics *metrics) {
    pthread_mutex_unlock(&metrics->lock);
}
void tn_metrics_observe(tn_metrics *metrics, tn_histogram_id id, double value);
static inline void tn_metrics_add(tn_metrics *metrics, tn_counter_id id, uint64_t count) {
    metrics->counters[id] += count;
}
void tn_metrics_count_status(tn_metrics *metrics, int status);

/* What is looked up at the moment of a scrape. */
typedef struct tn_gauge {
    const char *name, *help;
    double value;
} tn_gauge;
/* Locks itself. `model` is the label of all series. */
void tn_metrics_write(tn_metrics *metrics, const char *model, const tn_gauge *gauges, size_t num_gauges, tn_text *out);

#endif
