/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_report.c: see serve_report.h.
 */
#include "cli/serve_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *key, *name, *title;
} metrics[TN_NUM_SERVE_METRICS] = {{"ttft", "TTFT", "Time to First Token"},
                                   {"tpot", "TPOT", "Time per Output Token (excl. 1st token)"},
                                   {"itl", "ITL", "Inter-token Latency"},
                                   {"e2el", "E2EL", "End-to-end Latency"}};

/* --- figures ------------------------------------------------------------------------------------------------------------------ */

static double ms_between(int64_t from_ns, int64_t to_ns) {
    return (double)(to_ns - from_ns) * 1e-6;
}

/* False: this request has no such value. */
static bool value_of(const tn_serve_record *record, tn_serve_metric metric, double *out_ms) {
    switch (metric) {
    case TN_SERVE_TTFT: *out_ms = ms_between(record->begin_ns, record->first_text_ns); return true;
    case TN_SERVE_E2EL: *out_ms = ms_between(record->begin_ns, record->last_text_ns); return true;
    case TN_SERVE_TPOT:
        if (record->num_output < 2) return false;
        *out_ms = ms_between(record->first_text_ns, record->last_text_ns) / (double)(record->num_output - 1);
        return true;
    default: return false;
    }
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double percentile(const double *sorted, size_t count, double percent) {
    double place = (double)(count - 1) * percent / 100.0;
    size_t below = (size_t)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (sorted[above] - sorted[below]) * (place - (double)below);
}

static tn_serve_figures find_figures(const tn_serve_setting *setting, double *values, size_t count) {
    tn_serve_figures figures = {.count = count};
    if (count == 0) return figures;
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    figures.mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) squares += (values[i] - figures.mean) * (values[i] - figures.mean);
    figures.deviation = sqrt(squares / (double)count);
    qsort(values, count, sizeof *values, compare);
    figures.median = percentile(values, count, 50.0);
    for (size_t i = 0; i < setting->num_percentiles; i++) figures.percentiles[i] = percentile(values, count, setting->percentiles[i]);
    return figures;
}

static size_t gather(const tn_serve_result *result, tn_serve_metric metric, double *values) {
    size_t count = 0;
    for (size_t i = 0; i < result->num_requests; i++) {
        const tn_serve_record *record = &result->records[i];
        if (!record->is_ok) continue;
        if (metric == TN_SERVE_ITL)
            for (size_t k = 0; k < record->gaps_ms.count; k++) values[count++] = (double)record->gaps_ms.data[k];
        else
            count += value_of(record, metric, &values[count]);
    }
    return count;
}

static bool is_good(const tn_serve_setting *setting, const tn_serve_record *record) {
    for (tn_serve_metric metric = 0; metric < TN_NUM_SERVE_METRICS; metric++) {
        double value_ms;
        if (setting->goodput_ms[metric] > 0.0 && value_of(record, metric, &value_ms) && value_ms > setting->goodput_ms[metric])
            return false;
    }
    return true;
}

tn_status tn_serve_summarize(const tn_serve_setting *setting, const tn_serve_result *result, tn_serve_summary *out_summary) {
    tn_serve_summary *summary = out_summary;
    *summary = (tn_serve_summary){.max_active = result->max_active, .duration_s = (double)result->duration_ns * 1e-9};
    size_t num_values = result->num_requests + 1, num_good = 0; /* one more: a value is written before it is known to count */
    for (size_t i = 0; i < result->num_requests; i++) num_values += result->records[i].gaps_ms.count;
    double *values = tn_alloc_array(NULL, num_values, sizeof *values);
    if (values == NULL) return tn_fail_memory(NULL, "the report", num_values * sizeof *values);
    for (tn_serve_metric metric = 0; metric < TN_NUM_SERVE_METRICS; metric++) {
        summary->has_goodput |= setting->goodput_ms[metric] > 0.0;
        summary->metrics[metric] = find_figures(setting, values, gather(result, metric, values));
    }
    tn_free(NULL, values);
    for (size_t i = 0; i < result->num_requests; i++) {
        const tn_serve_record *record = &result->records[i];
        summary->num_completed += record->is_ok;
        summary->num_failed += !record->is_ok;
        if (!record->is_ok) continue;
        summary->num_input += record->num_input;
        summary->num_output += record->num_output;
        num_good += is_good(setting, record);
    }
    for (size_t i = 0; i < result->chunks_each_second.count; i++)
        summary->peak_output_per_s = fmax(summary->peak_output_per_s, (double)result->chunks_each_second.data[i]);
    if (summary->duration_s <= 0.0) return TN_OK;
    summary->requests_per_s = (double)summary->num_completed / summary->duration_s;
    summary->good_requests_per_s = (double)num_good / summary->duration_s;
    summary->output_per_s = (double)summary->num_output / summary->duration_s;
    summary->total_per_s = (double)(summary->num_input + summary->num_output) / summary->duration_s;
    return TN_OK;
}

/* --- text --------------------------------------------------------------------------------------------------------------------- */

enum { REPORT_WIDTH = 50 };

/* The title in the middle of a line of `fill`. */
static void print_title(FILE *file, const char *title, char fill) {
    int length = (int)strlen(title), left = (REPORT_WIDTH - length) / 2;
    for (int i = 0; i < left; i++) fputc(fill, file);
    fputs(title, file);
    for (int i = left + length; i < REPORT_WIDTH; i++) fputc(fill, file);
    fputc('\n', file);
}

static void print_count(FILE *file, const char *label, int64_t count) {
    fprintf(file, "%-40s %-10lld\n", label, (long long)count);
}

static void print_number(FILE *file, const char *label, double value) {
    fprintf(file, "%-40s %-10.2f\n", label, value);
}

static void print_metric(const tn_serve_setting *setting, const tn_serve_figures *figures, tn_serve_metric metric, FILE *file) {
    char label[64];
    print_title(file, metrics[metric].title, '-');
    snprintf(label, sizeof label, "Mean %s (ms):", metrics[metric].name);
    print_number(file, label, figures->mean);
    snprintf(label, sizeof label, "Median %s (ms):", metrics[metric].name);
    print_number(file, label, figures->median);
    for (size_t i = 0; i < setting->num_percentiles; i++) {
        snprintf(label, sizeof label, "P%g %s (ms):", setting->percentiles[i], metrics[metric].name);
        print_number(file, label, figures->percentiles[i]);
    }
}

void tn_serve_report_print(const tn_serve_setting *setting, const tn_serve_summary *summary, FILE *file) {
    print_title(file, " Serving Benchmark Result ", '=');
    print_count(file, "Successful requests:", (int64_t)summary->num_completed);
    print_count(file, "Failed requests:", (int64_t)summary->num_failed);
    if (setting->max_concurrency > 0) print_count(file, "Maximum request concurrency:", (int64_t)setting->max_concurrency);
    if (setting->request_rate > 0.0) print_number(file, "Request rate configured (RPS):", setting->request_rate);
    print_number(file, "Benchmark duration (s):", summary->duration_s);
    print_count(file, "Total input tokens:", summary->num_input);
    print_count(file, "Total generated tokens:", summary->num_output);
    print_number(file, "Request throughput (req/s):", summary->requests_per_s);
    if (summary->has_goodput) print_number(file, "Request goodput (req/s):", summary->good_requests_per_s);
    print_number(file, "Output token throughput (tok/s):", summary->output_per_s);
    print_number(file, "Peak output token throughput (tok/s):", summary->peak_output_per_s);
    print_number(file, "Peak concurrent requests:", (double)summary->max_active);
    print_number(file, "Total Token throughput (tok/s):", summary->total_per_s);
    for (tn_serve_metric metric = 0; metric < TN_NUM_SERVE_METRICS; metric++)
        if (setting->shows[metric]) print_metric(setting, &summary->metrics[metric], metric, file);
    print_title(file, "", '=');
}

/* --- JSON --------------------------------------------------------------------------------------------------------------------- */

static void add_string(tn_text *text, const char *key, const char *value) {
    tn_text_append_format(text, "  \"%s\": ", key);
    tn_text_append_json_string(text, value, strlen(value));
    tn_text_append_string(text, ",\n");
}

static void add_count(tn_text *text, const char *key, int64_t count) {
    tn_text_append_format(text, "  \"%s\": %lld,\n", key, (long long)count);
}

static void add_number(tn_text *text, const char *key, double value) {
    tn_text_append_format(text, "  \"%s\": %.9g,\n", key, value);
}

static void add_metric(tn_text *text, const tn_serve_setting *setting, const tn_serve_figures *figures, tn_serve_metric metric) {
    char key[64];
    const struct {
        const char *name;
        double value;
    } values[] = {{"mean", figures->mean}, {"median", figures->median}, {"std", figures->deviation}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(key, sizeof key, "%s_%s_ms", values[i].name, metrics[metric].key);
        add_number(text, key, values[i].value);
    }
    for (size_t i = 0; i < setting->num_percentiles; i++) {
        snprintf(key, sizeof key, "p%g_%s_ms", setting->percentiles[i], metrics[metric].key);
        add_number(text, key, figures->percentiles[i]);
    }
}

static void add_gaps(tn_text *text, const tn_serve_record *record) {
    tn_text_append_char(text, '[');
    for (size_t i = 0; i < record->gaps_ms.count; i++)
        tn_text_append_format(text, "%s%.6g", i > 0 ? ", " : "", (double)record->gaps_ms.data[i] * 1e-3);
    tn_text_append_char(text, ']');
}

/* Lists with an element a request, in seconds. */
static void add_details(tn_text *text, const tn_serve_result *result) {
    static const char *const keys[] = {"input_lens", "output_lens", "start_times", "ttfts", "itls", "errors"};
    for (size_t key = 0; key < sizeof keys / sizeof *keys; key++) {
        tn_text_append_format(text, "  \"%s\": [", keys[key]);
        for (size_t i = 0; i < result->num_requests; i++) {
            const tn_serve_record *record = &result->records[i];
            const char *error = record->error != NULL ? record->error : "";
            if (i > 0) tn_text_append_string(text, ", ");
            switch (key) {
            case 0: tn_text_append_format(text, "%lld", (long long)record->num_input); break;
            case 1: tn_text_append_format(text, "%lld", (long long)record->num_output); break;
            case 2: tn_text_append_format(text, "%.9g", ms_between(result->records[0].begin_ns, record->begin_ns) * 1e-3); break;
            case 3:
                tn_text_append_format(text, "%.9g", record->is_ok ? ms_between(record->begin_ns, record->first_text_ns) * 1e-3 : 0.0);
                break;
            case 4: add_gaps(text, record); break;
            default: tn_text_append_json_string(text, error, strlen(error)); break;
            }
        }
        tn_text_append_string(text, "],\n");
    }
}

void tn_serve_report_json(const tn_serve_setting *setting, const tn_serve_summary *summary, const tn_serve_result *result, bool is_detailed,
                          tn_text *out_text) {
    char date[32] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts) != NULL) (void)strftime(date, sizeof date, "%Y%m%d-%H%M%S", &parts);
    tn_text_append_string(out_text, "{\n");
    add_string(out_text, "date", date);
    add_string(out_text, "backend", setting->backend);
    add_string(out_text, "model_id", setting->model);
    add_string(out_text, "dataset", setting->dataset);
    add_count(out_text, "num_prompts", (int64_t)result->num_requests);
    if (setting->request_rate > 0.0)
        add_number(out_text, "request_rate", setting->request_rate);
    else
        add_string(out_text, "request_rate", "inf");
    if (setting->max_concurrency > 0)
        add_count(out_text, "max_concurrency", (int64_t)setting->max_concurrency);
    else
        tn_text_append_string(out_text, "  \"max_concurrency\": null,\n");
    add_number(out_text, "duration", summary->duration_s);
    add_count(out_text, "completed", (int64_t)summary->num_completed);
    add_count(out_text, "failed", (int64_t)summary->num_failed);
    add_count(out_text, "total_input_tokens", summary->num_input);
    add_count(out_text, "total_output_tokens", summary->num_output);
    add_number(out_text, "request_throughput", summary->requests_per_s);
    if (summary->has_goodput) add_number(out_text, "request_goodput", summary->good_requests_per_s);
    add_number(out_text, "output_throughput", summary->output_per_s);
    add_number(out_text, "total_token_throughput", summary->total_per_s);
    add_number(out_text, "max_output_tokens_per_s", summary->peak_output_per_s);
    for (tn_serve_metric metric = 0; metric < TN_NUM_SERVE_METRICS; metric++)
        if (setting->shows[metric]) add_metric(out_text, setting, &summary->metrics[metric], metric);
    if (is_detailed) add_details(out_text, result);
    tn_text_append_format(out_text, "  \"max_concurrent_requests\": %zu\n}\n", summary->max_active);
}
