/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_report_test.c: the figures of `tenon bench serve` worked out by hand, its page to the letter, and its keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/serve_report.h"
#include "format/json.h"

#define MS 1000000LL

static float gaps_a[] = {10.0f, 30.0f}, gaps_b[] = {20.0f};

/* Three answers of 3, 2 and 1 tokens in two seconds, and one that failed. */
static tn_serve_record records[] = {
    {.begin_ns = 0,
     .first_text_ns = 100 * MS,
     .last_text_ns = 140 * MS,
     .end_ns = 150 * MS,
     .num_input = 10,
     .num_output = 3,
     .is_ok = true,
     .gaps_ms = {gaps_a, 2, 2}},
    {.begin_ns = 50 * MS,
     .first_text_ns = 250 * MS,
     .last_text_ns = 270 * MS,
     .end_ns = 270 * MS,
     .num_input = 20,
     .num_output = 2,
     .is_ok = true,
     .gaps_ms = {gaps_b, 1, 1}},
    {.begin_ns = 100 * MS,
     .first_text_ns = 400 * MS,
     .last_text_ns = 400 * MS,
     .end_ns = 400 * MS,
     .num_input = 30,
     .num_output = 1,
     .is_ok = true},
    {.begin_ns = 100 * MS, .end_ns = 101 * MS, .num_input = 40, .error = (char *)(uintptr_t) "HTTP 429: \"busy\""},
};
static uint32_t chunks[] = {4, 2};
static const tn_serve_result result = {
    .records = records, .num_requests = 4, .max_active = 3, .duration_ns = 2000 * MS, .chunks_each_second = {chunks, 2, 2}};

static tn_serve_setting setting(void) {
    return (tn_serve_setting){.backend = "openai",
                              .model = "a \"model\"",
                              .dataset = "random",
                              .max_concurrency = 3,
                              .request_rate = 12.5,
                              .shows = {true, true, true, true},
                              .percentiles = {90.0, 99.5},
                              .num_percentiles = 2,
                              .goodput_ms = {[TN_SERVE_TTFT] = 250.0, [TN_SERVE_TPOT] = 20.0}};
}

static void assert_close(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-9 * (1.0 + fabs(expected)))) fail_msg("%.12g, must be %.12g", value, expected);
}

static void figures_are_those_worked_out_by_hand(void **state) {
    (void)state;
    tn_serve_setting with = setting();
    tn_serve_summary summary;
    assert_int_equal(tn_serve_summarize(&with, &result, &summary), TN_OK);
    assert_int_equal(summary.num_completed, 3);
    assert_int_equal(summary.num_failed, 1);
    assert_int_equal(summary.num_input, 60);
    assert_int_equal(summary.num_output, 6);
    assert_close(summary.requests_per_s, 1.5);
    assert_close(summary.good_requests_per_s, 1.0); /* the third waited 300 ms */
    assert_close(summary.output_per_s, 3.0);
    assert_close(summary.total_per_s, 33.0);
    assert_close(summary.peak_output_per_s, 4.0);
    const tn_serve_figures *ttft = &summary.metrics[TN_SERVE_TTFT], *tpot = &summary.metrics[TN_SERVE_TPOT];
    const tn_serve_figures *itl = &summary.metrics[TN_SERVE_ITL], *e2el = &summary.metrics[TN_SERVE_E2EL];
    assert_close(ttft->mean, 200.0);
    assert_close(ttft->median, 200.0);
    assert_close(ttft->deviation, sqrt(20000.0 / 3.0));
    assert_close(ttft->percentiles[0], 280.0);
    assert_close(ttft->percentiles[1], 299.0);
    assert_int_equal(tpot->count, 2);
    assert_close(tpot->mean, 20.0);
    assert_int_equal(itl->count, 3);
    assert_close(itl->median, 20.0);
    assert_close(itl->percentiles[0], 28.0);
    assert_close(e2el->mean, (140.0 + 220.0 + 300.0) / 3.0);
}

static void a_run_in_which_all_failed_has_a_report(void **state) {
    (void)state;
    tn_serve_setting with = setting();
    tn_serve_summary summary;
    const tn_serve_result failed = {.records = &records[3], .num_requests = 1};
    assert_int_equal(tn_serve_summarize(&with, &failed, &summary), TN_OK);
    assert_int_equal(summary.num_completed, 0);
    assert_close(summary.requests_per_s, 0.0);
    assert_close(summary.metrics[TN_SERVE_TTFT].mean, 0.0);
}

static void the_report_is_laid_out_as_vllm_benchs(void **state) {
    (void)state;
    static const char expected[] = "============ Serving Benchmark Result ============\n"
                                   "Successful requests:                     3         \n"
                                   "Failed requests:                         1         \n"
                                   "Maximum request concurrency:             3         \n"
                                   "Request rate configured (RPS):           12.50     \n"
                                   "Benchmark duration (s):                  2.00      \n"
                                   "Total input tokens:                      60        \n"
                                   "Total generated tokens:                  6         \n"
                                   "Request throughput (req/s):              1.50      \n"
                                   "Request goodput (req/s):                 1.00      \n"
                                   "Output token throughput (tok/s):         3.00      \n"
                                   "Peak output token throughput (tok/s):    4.00      \n"
                                   "Peak concurrent requests:                3.00      \n"
                                   "Total Token throughput (tok/s):          33.00     \n"
                                   "---------------Time to First Token----------------\n"
                                   "Mean TTFT (ms):                          200.00    \n"
                                   "Median TTFT (ms):                        200.00    \n"
                                   "P90 TTFT (ms):                           280.00    \n"
                                   "P99.5 TTFT (ms):                         299.00    \n"
                                   "-----Time per Output Token (excl. 1st token)------\n"
                                   "Mean TPOT (ms):                          20.00     \n"
                                   "Median TPOT (ms):                        20.00     \n"
                                   "P90 TPOT (ms):                           20.00     \n"
                                   "P99.5 TPOT (ms):                         20.00     \n"
                                   "---------------Inter-token Latency----------------\n"
                                   "Mean ITL (ms):                           20.00     \n"
                                   "Median ITL (ms):                         20.00     \n"
                                   "P90 ITL (ms):                            28.00     \n"
                                   "P99.5 ITL (ms):                          29.90     \n"
                                   "==================================================\n";
    char text[4096] = "";
    tn_serve_setting with = setting();
    with.shows[TN_SERVE_E2EL] = false;
    tn_serve_summary summary;
    assert_int_equal(tn_serve_summarize(&with, &result, &summary), TN_OK);
    FILE *file = fmemopen(text, sizeof text, "w");
    assert_non_null(file);
    tn_serve_report_print(&with, &summary, file);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, expected);
}

static void the_json_has_vllm_benchs_keys(void **state) {
    (void)state;
    static const char *const keys[] = {"date",
                                       "backend",
                                       "model_id",
                                       "dataset",
                                       "num_prompts",
                                       "request_rate",
                                       "max_concurrency",
                                       "duration",
                                       "completed",
                                       "failed",
                                       "total_input_tokens",
                                       "total_output_tokens",
                                       "request_throughput",
                                       "request_goodput",
                                       "output_throughput",
                                       "total_token_throughput",
                                       "max_output_tokens_per_s",
                                       "mean_ttft_ms",
                                       "median_ttft_ms",
                                       "std_ttft_ms",
                                       "p90_ttft_ms",
                                       "p99.5_ttft_ms",
                                       "mean_tpot_ms",
                                       "median_tpot_ms",
                                       "std_tpot_ms",
                                       "p90_tpot_ms",
                                       "p99.5_tpot_ms",
                                       "mean_itl_ms",
                                       "median_itl_ms",
                                       "std_itl_ms",
                                       "p90_itl_ms",
                                       "p99.5_itl_ms",
                                       "mean_e2el_ms",
                                       "median_e2el_ms",
                                       "std_e2el_ms",
                                       "p90_e2el_ms",
                                       "p99.5_e2el_ms",
                                       "input_lens",
                                       "output_lens",
                                       "start_times",
                                       "ttfts",
                                       "itls",
                                       "errors",
                                       "max_concurrent_requests"};
    tn_serve_setting with = setting();
    tn_serve_summary summary;
    tn_text text = {0};
    tn_json *json;
    assert_int_equal(tn_serve_summarize(&with, &result, &summary), TN_OK);
    tn_serve_report_json(&with, &summary, &result, true, &text);
    assert_int_equal(tn_json_parse("the report", text.data, text.size, NULL, NULL, NULL, &json), TN_OK);
    const tn_json_value *root = tn_json_root(json);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (tn_json_find(root, keys[i]) == NULL) fail_msg("the key %s is missing", keys[i]);
    assert_int_equal(tn_json_count(root), sizeof keys / sizeof *keys);
    double value;
    const char *error;
    assert_int_equal(tn_json_to_number(tn_json_at(tn_json_at(tn_json_find(root, "itls"), 0), 1), 0.0, 1.0, NULL, &value), TN_OK);
    assert_close(value, 0.03);
    assert_int_equal(tn_json_to_string(tn_json_at(tn_json_find(root, "errors"), 3), NULL, &error, NULL), TN_OK);
    assert_string_equal(error, "HTTP 429: \"busy\"");
    tn_json_destroy(json);
    tn_text_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_worked_out_by_hand),
        cmocka_unit_test(a_run_in_which_all_failed_has_a_report),
        cmocka_unit_test(the_report_is_laid_out_as_vllm_benchs),
        cmocka_unit_test(the_json_has_vllm_benchs_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
