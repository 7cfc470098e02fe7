/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_report.c: see bench_report.h.
 */
#include "cli/bench_report.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* --- figures ------------------------------------------------------------------------------------------------------------------ */

static double per_second(double count, double time_ns) {
    return time_ns > 0.0 ? count * 1e9 / time_ns : 0.0;
}

static double latency_ms(const tn_bench_record *record) {
    return (double)(record->end_ns - record->begin_ns) * 1e-6;
}

static double ttft_ms(const tn_bench_record *record) {
    return (double)(record->first_token_ns - record->begin_ns) * 1e-6;
}

static double tpot_ms(const tn_bench_record *record) {
    if (record->num_output < 2) return 0.0;
    return (double)(record->end_ns - record->first_token_ns) * 1e-6 / (record->num_output - 1);
}

static double generation_tok_s(const tn_bench_record *record) {
    return per_second(record->num_output - 1, (double)(record->end_ns - record->first_token_ns));
}

static double input_length(const tn_bench_record *record) {
    return record->num_input;
}

static double output_length(const tn_bench_record *record) {
    return record->num_output;
}

static double sequence_length(const tn_bench_record *record) {
    return (double)record->num_input + record->num_output;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

typedef double (*figure)(const tn_bench_record *record);

static tn_percentiles find_percentiles(const tn_bench_record *records, size_t count, figure figure_of, double *values) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += values[i] = figure_of(&records[i]);
    qsort(values, count, sizeof *values, compare);
    double n = (double)count;
    return (tn_percentiles){
        .p50 = values[(size_t)(n * 0.5)],
        .p90 = values[(size_t)(n * 0.9)],
        .p95 = values[(size_t)(n * 0.95)],
        .p99 = values[(size_t)(n * 0.99)],
        .minimum = values[0],
        .maximum = values[count - 1],
        .average = sum / n,
    };
}

tn_status tn_bench_summarize(const tn_bench_record *records, size_t num_records, bool is_streaming, tn_bench_summary *out_summary) {
    *out_summary = (tn_bench_summary){.num_requests = num_records, .is_streaming = is_streaming};
    double *values = tn_alloc_array(NULL, num_records, sizeof *values);
    if (values == NULL) return tn_fail_memory(NULL, "the report", num_records * sizeof *values);
    int64_t first_begin = records[0].begin_ns, last_begin = first_begin, last_end = records[0].end_ns;
    double input = 0.0, output = 0.0, latencies_ns = 0.0, user_speed = 0.0, n = (double)num_records;
    for (size_t i = 0; i < num_records; i++) {
        const tn_bench_record *record = &records[i];
        double latency_ns = (double)(record->end_ns - record->begin_ns);
        if (record->begin_ns < first_begin) first_begin = record->begin_ns;
        if (record->begin_ns > last_begin) last_begin = record->begin_ns;
        if (record->end_ns > last_end) last_end = record->end_ns;
        input += record->num_input;
        output += record->num_output;
        latencies_ns += latency_ns;
        user_speed += per_second(record->num_output, latency_ns) / n;
    }
    double total_ns = (double)(last_end - first_begin);
    out_summary->total_latency_ms = total_ns * 1e-6;
    out_summary->issue_rate_req_s = per_second(n - 1.0, (double)(last_begin - first_begin));
    out_summary->num_concurrent_requests = total_ns > 0.0 ? latencies_ns / total_ns : 0.0;
    out_summary->request_throughput_req_s = per_second(n, total_ns);
    out_summary->output_throughput_tok_s = per_second(output, total_ns);
    out_summary->total_throughput_tok_s = per_second(input + output, total_ns);
    out_summary->user_throughput_tok_s = user_speed;
    out_summary->latency_ms = find_percentiles(records, num_records, latency_ms, values);
    out_summary->input_length = find_percentiles(records, num_records, input_length, values);
    out_summary->output_length = find_percentiles(records, num_records, output_length, values);
    out_summary->sequence_length = find_percentiles(records, num_records, sequence_length, values);
    if (is_streaming) {
        out_summary->ttft_ms = find_percentiles(records, num_records, ttft_ms, values);
        out_summary->tpot_ms = find_percentiles(records, num_records, tpot_ms, values);
        out_summary->generation_tok_s = find_percentiles(records, num_records, generation_tok_s, values);
    }
    tn_free(NULL, values);
    return TN_OK;
}

/* --- JSON --------------------------------------------------------------------------------------------------------------------- */

static void add_string(tn_text *text, const char *key, const char *value) {
    tn_text_append_format(text, "\"%s\": ", key);
    if (value != NULL)
        tn_text_append_json_string(text, value, strlen(value));
    else
        tn_text_append_string(text, "null");
}

/* Each string, then a comma. */
static void add_strings(tn_text *text, const char *const (*pairs)[2], size_t count) {
    for (size_t i = 0; i < count; i++) {
        add_string(text, pairs[i][0], pairs[i][1]);
        tn_text_append_string(text, ", ");
    }
}

static void add_percentiles(tn_text *text, const char *key, const tn_percentiles *values) {
    tn_text_append_format(
        text,
        "\"%s\": {\"p50\": %.9g, \"p90\": %.9g, \"p95\": %.9g, \"p99\": %.9g, \"minimum\": %.9g, \"maximum\": %.9g, \"average\": %.9g}",
        key, values->p50, values->p90, values->p95, values->p99, values->minimum, values->maximum, values->average);
}

static void add_number_or_null(tn_text *text, const char *key, double value) {
    if (value > 0.0)
        tn_text_append_format(text, "\"%s\": %.9g", key, value);
    else
        tn_text_append_format(text, "\"%s\": null", key);
}

static void add_setting(const tn_bench_setting *setting, const tn_bench_summary *summary, tn_text *text) {
    const char *const engine[][2] = {{"model", setting->model},
                                     {"model_path", setting->model_path},
                                     {"engine_dir", setting->engine_dir},
                                     {"version", TN_VERSION},
                                     {"backend", setting->backend},
                                     {"dtype", setting->dtype},
                                     {"kv_cache_dtype", setting->kv_cache_dtype},
                                     {"quantization", setting->quantization}};
    tn_text_append_string(text, "{\n  \"engine\": {");
    add_strings(text, engine, sizeof engine / sizeof *engine);
    tn_text_append_format(text, "\"max_sequence_length\": %lld},\n  \"machine\": {", (long long)setting->max_sequence_length);
    add_string(text, "name", setting->machine);
    tn_text_append_string(text, ", ");
    add_number_or_null(text, "memory.total", setting->memory_gib);
    tn_text_append_string(text, ", \"clocks.mem\": null},\n"); /* no device tells it */
    tn_text_append_format(text,
                          "  \"world_info\": {\"tp_size\": 1, \"pp_size\": 1, \"ep_size\": 1, \"world_size\": 1, \"max_batch_size\": %lld, "
                          "\"max_num_tokens\": %lld, ",
                          (long long)setting->max_batch_size, (long long)setting->max_num_tokens);
    add_string(text, "scheduling_policy", setting->scheduling_policy);
    tn_text_append_format(text, ", \"kv_cache_percentage\": %.9g, ", setting->kv_cache_percentage);
    add_number_or_null(text, "issue_rate", summary->issue_rate_req_s);
    tn_text_append_string(text, "},\n");
}

void tn_bench_report_json(const tn_bench_setting *setting, const tn_bench_summary *summary, tn_text *out_text) {
    tn_text *text = out_text;
    add_setting(setting, summary, text);
    tn_text_append_format(text,
                          "  \"request_info\": {\"num_requests\": %zu, \"avg_num_concurrent_requests\": %.9g, \"avg_input_length\": %.9g, "
                          "\"avg_output_length\": %.9g},\n",
                          summary->num_requests, summary->num_concurrent_requests, summary->input_length.average,
                          summary->output_length.average);
    tn_text_append_format(text,
                          "  \"performance\": {\"total_latency_ms\": %.9g, \"avg_request_latency_ms\": %.9g, \"request_throughput_req_s\": "
                          "%.9g, \"system_output_throughput_tok_s\": %.9g, \"system_total_throughput_tok_s\": %.9g, "
                          "\"output_throughput_per_user_tok_s\": %.9g, \"output_throughput_per_gpu_tok_s\": %.9g,\n    ",
                          summary->total_latency_ms, summary->latency_ms.average, summary->request_throughput_req_s,
                          summary->output_throughput_tok_s, summary->total_throughput_tok_s, summary->user_throughput_tok_s,
                          summary->output_throughput_tok_s);
    add_percentiles(text, "request_latency_percentiles_ms", &summary->latency_ms);
    tn_text_append_string(text, "},\n");
    if (summary->is_streaming) {
        tn_text_append_format(
            text, "  \"streaming_metrics\": {\"token_output_speed_tok_s\": %.9g, \"avg_ttft_ms\": %.9g, \"avg_tpot_ms\": %.9g,\n    ",
            summary->generation_tok_s.average, summary->ttft_ms.average, summary->tpot_ms.average);
        add_percentiles(text, "tpot_percentiles", &summary->tpot_ms);
        tn_text_append_string(text, ",\n    ");
        add_percentiles(text, "ttft_percentiles", &summary->ttft_ms);
        tn_text_append_string(text, ",\n    ");
        add_percentiles(text, "gen_tps_percentiles", &summary->generation_tok_s);
        tn_text_append_string(text, "},\n");
    }
    tn_text_append_string(text, "  \"dataset\": {");
    add_percentiles(text, "isl_stats", &summary->input_length);
    tn_text_append_string(text, ",\n    ");
    add_percentiles(text, "osl_stats", &summary->output_length);
    tn_text_append_string(text, ",\n    ");
    add_percentiles(text, "seq_len_stats", &summary->sequence_length);
    tn_text_append_format(text, ",\n    \"num_requests\": %zu, ", summary->num_requests);
    add_string(text, "dataset_path", setting->dataset_path);
    tn_text_append_string(text, "}\n}\n");
}

/* --- text --------------------------------------------------------------------------------------------------------------------- */

static void print_title(FILE *file, const char *title) {
    static const char bar[] = "===========================================================";
    fprintf(file, "%s\n= %s\n%s\n", bar, title, bar);
}

static void print_string(FILE *file, const char *label, const char *value) {
    if (value != NULL) fprintf(file, "%-44s %s\n", label, value);
}

static void print_number(FILE *file, const char *label, double value) {
    fprintf(file, "%-44s %.4f\n", label, value);
}

static void print_percentiles(FILE *file, const char *title, const tn_percentiles *values) {
    fprintf(file, "\n-- %s\n", title);
    const struct {
        const char *label;
        double value;
    } rows[] = {{"P50", values->p50},         {"P90", values->p90},         {"P95", values->p95},        {"P99", values->p99},
                {"MINIMUM", values->minimum}, {"MAXIMUM", values->maximum}, {"AVERAGE", values->average}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) fprintf(file, "%-8s %.4f\n", rows[i].label, rows[i].value);
}

static void print_performance(const tn_bench_summary *summary, FILE *file) {
    print_title(file, "PERFORMANCE OVERVIEW");
    print_number(file, "Request Throughput (req/sec):", summary->request_throughput_req_s);
    print_number(file, "Total Output Throughput (tokens/sec):", summary->output_throughput_tok_s);
    print_number(file, "Total Token Throughput (tokens/sec):", summary->total_throughput_tok_s);
    print_number(file, "Total Latency (ms):", summary->total_latency_ms);
    print_number(file, "Average request latency (ms):", summary->latency_ms.average);
    print_number(file, "Per User Output Throughput (tps/user):", summary->user_throughput_tok_s);
    print_number(file, "Per GPU Output Throughput (tps/gpu):", summary->output_throughput_tok_s);
    if (summary->is_streaming) {
        print_number(file, "Average time-to-first-token [TTFT] (ms):", summary->ttft_ms.average);
        print_number(file, "Average time-per-output-token [TPOT] (ms):", summary->tpot_ms.average);
        print_number(file, "Per User Output Speed (tps/user):", summary->generation_tok_s.average);
        print_percentiles(file, "Time-per-Output-Token [TPOT] (ms)", &summary->tpot_ms);
        print_percentiles(file, "Time-to-First-Token [TTFT] (ms)", &summary->ttft_ms);
        print_percentiles(file, "Per-Request Generation Speed (tps)", &summary->generation_tok_s);
    }
    print_percentiles(file, "Request Latency (ms)", &summary->latency_ms);
}

void tn_bench_report_print(const tn_bench_setting *setting, const tn_bench_summary *summary, FILE *file) {
    print_title(file, "ENGINE DETAILS");
    print_string(file, "Model:", setting->model);
    print_string(file, "Model Path:", setting->model_path);
    print_string(file, "Engine Directory:", setting->engine_dir);
    print_string(file, "Tenon Version:", TN_VERSION);
    print_string(file, "Backend:", setting->backend);
    print_string(file, "Dtype:", setting->dtype);
    print_string(file, "KV Cache Dtype:", setting->kv_cache_dtype);
    print_string(file, "Quantization:", setting->quantization);
    fprintf(file, "%-44s %lld\n\n", "Max Sequence Length:", (long long)setting->max_sequence_length);
    print_title(file, "MACHINE DETAILS");
    print_string(file, "Name:", setting->machine);
    if (setting->memory_gib > 0.0) fprintf(file, "%-44s %.2f\n", "Memory (GiB):", setting->memory_gib);
    fputc('\n', file);
    print_title(file, "WORLD + RUNTIME INFORMATION");
    fprintf(file, "%-44s %d\n%-44s %d\n%-44s %d\n", "TP Size:", 1, "PP Size:", 1, "EP Size:", 1);
    fprintf(file, "%-44s %lld\n", "Max Runtime Batch Size:", (long long)setting->max_batch_size);
    fprintf(file, "%-44s %lld\n", "Max Runtime Tokens:", (long long)setting->max_num_tokens);
    print_string(file, "Scheduling Policy:", setting->scheduling_policy);
    fprintf(file, "%-44s %.2f%%\n", "KV Memory Percentage:", setting->kv_cache_percentage);
    if (summary->issue_rate_req_s > 0.0)
        fprintf(file, "%-44s %.4e\n\n", "Issue Rate (req/sec):", summary->issue_rate_req_s);
    else
        fprintf(file, "%-44s all at once\n\n", "Issue Rate (req/sec):");
    print_title(file, "REQUEST DETAILS");
    fprintf(file, "%-44s %zu\n", "Number of requests:", summary->num_requests);
    print_number(file, "Number of concurrent requests:", summary->num_concurrent_requests);
    print_number(file, "Average Input Length (tokens):", summary->input_length.average);
    print_number(file, "Average Output Length (tokens):", summary->output_length.average);
    print_string(file, "Dataset:", setting->dataset_path);
    fputc('\n', file);
    print_performance(summary, file);
}
