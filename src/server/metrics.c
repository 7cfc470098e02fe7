/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c: counting, and Prometheus' text form.
 */
#include "server/metrics.h"

enum { BUCKETS_TTFT, BUCKETS_TPOT, BUCKETS_E2E, BUCKETS_PREFILL, BUCKETS_TOKENS, BUCKETS_STEP, BUCKETS_N, NUM_BUCKET_SETS };

/* Upper bounds, ascending; 0 ends. */
static const double bounds[NUM_BUCKET_SETS][TN_MAX_BUCKETS] = {
    [BUCKETS_TTFT] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560},
    [BUCKETS_TPOT] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80},
    [BUCKETS_E2E] = {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680},
    [BUCKETS_PREFILL] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640, 2560},
    [BUCKETS_TOKENS] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000},
    [BUCKETS_STEP] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384},
    [BUCKETS_N] = {1, 2, 5, 10, 20},
};

static const struct {
    const char *name, *help;
    int buckets;
} histograms[TN_NUM_HISTOGRAMS] = {
#define X(id, set, words) {#id, words, BUCKETS_##set},
    TN_HISTOGRAMS(X)
#undef X
};

static const struct {
    const char *name, *help;
} counters[TN_NUM_COUNTERS] = {
#define X(id, words) {#id, words},
    TN_COUNTERS(X)
#undef X
};

static const char *const finish_labels[TN_NUM_FINISH_LABELS] = {"stop", "length", "abort", "error"};

void tn_metrics_observe(tn_metrics *metrics, tn_histogram_id id, double value) {
    const double *set = bounds[histograms[id].buckets];
    size_t bucket = 0;
    while (bucket < TN_MAX_BUCKETS && set[bucket] != 0.0 && value > set[bucket]) bucket++;
    if (bucket == TN_MAX_BUCKETS || set[bucket] == 0.0) bucket = TN_MAX_BUCKETS;
    metrics->histograms[id].counts[bucket]++;
    metrics->histograms[id].sum += value;
}

void tn_metrics_count_status(tn_metrics *metrics, int status) {
    for (size_t i = 0; i < TN_MAX_STATUSES; i++) {
        if (metrics->http[i].status != 0 && metrics->http[i].status != status) continue;
        metrics->http[i].status = status;
        metrics->http[i].count++;
        return;
    }
}

static void write_head(tn_text *out, const char *name, const char *help, const char *type) {
    tn_text_append_format(out, "# HELP tenon_%s %s\n# TYPE tenon_%s %s\n", name, help, name, type);
}

static void write_histogram(tn_text *out, size_t index, const tn_histogram *histogram, const char *labels) {
    const char *name = histograms[index].name;
    const double *set = bounds[histograms[index].buckets];
    uint64_t sum = 0;
    write_head(out, name, histograms[index].help, "histogram");
    for (size_t i = 0; i < TN_MAX_BUCKETS && set[i] != 0.0; i++) {
        sum += histogram->counts[i];
        tn_text_append_format(out, "tenon_%s_bucket{%s,le=\"%.10g\"} %llu\n", name, labels, set[i], (unsigned long long)sum);
    }
    sum += histogram->counts[TN_MAX_BUCKETS];
    tn_text_append_format(out, "tenon_%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels, (unsigned long long)sum);
    tn_text_append_format(out, "tenon_%s_sum{%s} %.17g\n", name, labels, histogram->sum);
    tn_text_append_format(out, "tenon_%s_count{%s} %llu\n", name, labels, (unsigned long long)sum);
}

/* A label's value: backslash, quote and newline are escaped. */
static void write_label(tn_text *out, const char *value) {
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"') tn_text_append_char(out, '\\');
        if (*c == '\n')
            tn_text_append_string(out, "\\n");
        else
            tn_text_append_char(out, *c);
    }
}

void tn_metrics_write(tn_metrics *metrics, const char *model, const tn_gauge *gauges, size_t num_gauges, tn_text *out) {
    tn_text labels = {.allocator = out->allocator};
    tn_text_append_string(&labels, "model_name=\"");
    write_label(&labels, model);
    tn_text_append_string(&labels, "\",engine=\"0\"");
    const char *label = labels.failed ? "engine=\"0\"" : labels.data;
    for (size_t i = 0; i < num_gauges; i++) {
        write_head(out, gauges[i].name, gauges[i].help, "gauge");
        tn_text_append_format(out, "tenon_%s{%s} %.10g\n", gauges[i].name, label, gauges[i].value);
    }
    tn_metrics_lock(metrics);
    for (size_t i = 0; i < TN_NUM_COUNTERS; i++) {
        write_head(out, counters[i].name, counters[i].help, "counter");
        tn_text_append_format(out, "tenon_%s{%s} %llu\n", counters[i].name, label, (unsigned long long)metrics->counters[i]);
    }
    write_head(out, "request_success_total", "Requests that ended, by reason.", "counter");
    for (size_t i = 0; i < TN_NUM_FINISH_LABELS; i++)
        tn_text_append_format(out, "tenon_request_success_total{%s,finished_reason=\"%s\"} %llu\n", label, finish_labels[i],
                              (unsigned long long)metrics->finished[i]);
    write_head(out, "http_requests_total", "Answers, by status.", "counter");
    for (size_t i = 0; i < TN_MAX_STATUSES && metrics->http[i].status != 0; i++)
        tn_text_append_format(out, "tenon_http_requests_total{%s,status=\"%d\"} %llu\n", label, metrics->http[i].status,
                              (unsigned long long)metrics->http[i].count);
    for (size_t i = 0; i < TN_NUM_HISTOGRAMS; i++) write_histogram(out, i, &metrics->histograms[i], label);
    tn_metrics_unlock(metrics);
    if (labels.failed) out->failed = true;
    tn_text_deinit(&labels);
}
