/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_report_test.c: the figures of a report worked out by hand, and its keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench_report.h"
#include "format/json.h"

#define MS 1000000

/* Three requests: 10 → 5 tokens in 1,000 to 1,100 ms, 20 → 1 in 1,010 to 1,060, 30 → 3 in 1,050 to 1,250. */
static const tn_bench_record records[] = {
    {.begin_ns = 1000LL * MS, .first_token_ns = 1020LL * MS, .end_ns = 1100LL * MS, .num_input = 10, .num_output = 5},
    {.begin_ns = 1010LL * MS, .first_token_ns = 1060LL * MS, .end_ns = 1060LL * MS, .num_input = 20, .num_output = 1},
    {.begin_ns = 1050LL * MS, .first_token_ns = 1150LL * MS, .end_ns = 1250LL * MS, .num_input = 30, .num_output = 3},
};

static const tn_bench_setting setting = {
    .model = "a \"model\"",
    .model_path = "/models/a",
    .backend = "cpu",
    .kv_cache_dtype = "float32",
    .max_sequence_length = 512,
    .machine = "a machine",
    .memory_gib = 24.0,
    .max_batch_size = 16,
    .max_num_tokens = 2048,
    .scheduling_policy = "GUARANTEED_NO_EVICT",
    .kv_cache_percentage = 90.0,
    .dataset_path = "random",
};

static void assert_close(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-9 * (1.0 + fabs(expected)))) fail_msg("%.12g, must be %.12g", value, expected);
}

static void assert_percentiles(const tn_percentiles *values, double p50, double minimum, double maximum, double average) {
    assert_close(values->p50, p50);
    assert_close(values->p90, maximum);
    assert_close(values->p99, maximum);
    assert_close(values->minimum, minimum);
    assert_close(values->maximum, maximum);
    assert_close(values->average, average);
}

static void figures_are_those_worked_out_by_hand(void **state) {
    (void)state;
    tn_bench_summary summary;
    assert_int_equal(tn_bench_summarize(records, 3, true, &summary), TN_OK);
    assert_close(summary.total_latency_ms, 250.0);
    assert_close(summary.issue_rate_req_s, 2.0 / 0.050);
    assert_close(summary.num_concurrent_requests, 350.0 / 250.0);
    assert_close(summary.request_throughput_req_s, 12.0);
    assert_close(summary.output_throughput_tok_s, 36.0);
    assert_close(summary.total_throughput_tok_s, 69.0 / 0.250);
    assert_close(summary.user_throughput_tok_s, (50.0 + 20.0 + 15.0) / 3.0);
    assert_percentiles(&summary.latency_ms, 100.0, 50.0, 200.0, 350.0 / 3.0);
    assert_percentiles(&summary.ttft_ms, 50.0, 20.0, 100.0, 170.0 / 3.0);
    assert_percentiles(&summary.tpot_ms, 20.0, 0.0, 50.0, 70.0 / 3.0);
    assert_percentiles(&summary.generation_tok_s, 20.0, 0.0, 50.0, 70.0 / 3.0);
    assert_percentiles(&summary.input_length, 20.0, 10.0, 30.0, 20.0);
    assert_percentiles(&summary.output_length, 3.0, 1.0, 5.0, 3.0);
    assert_percentiles(&summary.sequence_length, 21.0, 15.0, 33.0, 23.0);
}

static void a_percentile_is_an_element_not_between_two(void **state) {
    (void)state;
    tn_bench_record many[100] = {0};
    for (int i = 0; i < 100; i++) many[i] = (tn_bench_record){.end_ns = (int64_t)(100 - i) * MS, .num_input = 1, .num_output = 1};
    tn_bench_summary summary;
    assert_int_equal(tn_bench_summarize(many, 100, false, &summary), TN_OK);
    assert_close(summary.latency_ms.p50, 51.0);
    assert_close(summary.latency_ms.p90, 91.0);
    assert_close(summary.latency_ms.p95, 96.0);
    assert_close(summary.latency_ms.p99, 100.0);
    assert_close(summary.latency_ms.average, 50.5);
}

static void no_time_at_all_divides_by_nothing(void **state) {
    (void)state;
    static const tn_bench_record instant = {.num_input = 1, .num_output = 1};
    tn_bench_summary summary;
    assert_int_equal(tn_bench_summarize(&instant, 1, true, &summary), TN_OK);
    assert_close(summary.request_throughput_req_s, 0.0);
    assert_close(summary.num_concurrent_requests, 0.0);
    assert_close(summary.user_throughput_tok_s, 0.0);
}

/* --- keys --------------------------------------------------------------------------------------------------------------------- */

static tn_json *report(bool is_streaming) {
    tn_bench_summary summary;
    tn_text text = {0};
    tn_json *json;
    assert_int_equal(tn_bench_summarize(records, 3, is_streaming, &summary), TN_OK);
    tn_bench_report_json(&setting, &summary, &text);
    assert_false(text.failed);
    assert_int_equal(tn_json_parse("the report", text.data, text.size, NULL, NULL, NULL, &json), TN_OK);
    tn_text_deinit(&text);
    return json;
}

static void expect_keys(const tn_json_value *object, const char *const *keys) {
    size_t count = 0;
    assert_non_null(object);
    for (; keys[count] != NULL; count++)
        if (tn_json_find(object, keys[count]) == NULL) fail_msg("the key %s is missing", keys[count]);
    assert_int_equal(tn_json_count(object), count);
}
#define KEYS(object, ...) expect_keys(object, (const char *const[]){__VA_ARGS__, NULL})
#define PERCENTILES       "p50", "p90", "p95", "p99", "minimum", "maximum", "average"

static void the_report_has_trtllm_benchs_keys(void **state) {
    (void)state;
    tn_json *json = report(true);
    const tn_json_value *root = tn_json_root(json);
    KEYS(root, "engine", "machine", "world_info", "request_info", "performance", "streaming_metrics", "dataset");
    KEYS(tn_json_find(root, "engine"), "model", "model_path", "engine_dir", "version", "backend", "dtype", "kv_cache_dtype", "quantization",
         "max_sequence_length");
    KEYS(tn_json_find(root, "machine"), "name", "memory.total", "clocks.mem");
    KEYS(tn_json_find(root, "world_info"), "tp_size", "pp_size", "ep_size", "world_size", "max_batch_size", "max_num_tokens",
         "scheduling_policy", "kv_cache_percentage", "issue_rate");
    KEYS(tn_json_find(root, "request_info"), "num_requests", "avg_num_concurrent_requests", "avg_input_length", "avg_output_length");
    const tn_json_value *performance = tn_json_find(root, "performance"), *streaming = tn_json_find(root, "streaming_metrics");
    KEYS(performance, "total_latency_ms", "avg_request_latency_ms", "request_throughput_req_s", "system_output_throughput_tok_s",
         "system_total_throughput_tok_s", "output_throughput_per_user_tok_s", "output_throughput_per_gpu_tok_s",
         "request_latency_percentiles_ms");
    KEYS(tn_json_find(performance, "request_latency_percentiles_ms"), PERCENTILES);
    KEYS(streaming, "token_output_speed_tok_s", "avg_ttft_ms", "avg_tpot_ms", "tpot_percentiles", "ttft_percentiles",
         "gen_tps_percentiles");
    KEYS(tn_json_find(streaming, "ttft_percentiles"), PERCENTILES);
    const tn_json_value *dataset = tn_json_find(root, "dataset");
    KEYS(dataset, "isl_stats", "osl_stats", "seq_len_stats", "num_requests", "dataset_path");
    KEYS(tn_json_find(dataset, "osl_stats"), PERCENTILES);
    double value;
    const char *text;
    assert_int_equal(tn_json_get_number(performance, "system_output_throughput_tok_s", 0, 1e9, NULL, &value), TN_OK);
    assert_close(value, 36.0);
    assert_int_equal(tn_json_get_string(tn_json_find(root, "engine"), "model", NULL, &text, NULL), TN_OK);
    assert_string_equal(text, "a \"model\"");
    assert_int_equal(tn_json_kind_of(tn_json_find(tn_json_find(root, "engine"), "engine_dir")), TN_JSON_NULL);
    tn_json_destroy(json);
}

static void without_streams_there_are_no_streaming_metrics(void **state) {
    (void)state;
    tn_json *json = report(false);
    KEYS(tn_json_root(json), "engine", "machine", "world_info", "request_info", "performance", "dataset");
    tn_json_destroy(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_worked_out_by_hand),
        cmocka_unit_test(a_percentile_is_an_element_not_between_two),
        cmocka_unit_test(no_time_at_all_divides_by_nothing),
        cmocka_unit_test(the_report_has_trtllm_benchs_keys),
        cmocka_unit_test(without_streams_there_are_no_streaming_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
