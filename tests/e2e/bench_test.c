/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_test.c: `tenon bench throughput|latency|scheduler` on a tiny model: options, reports and their arithmetic. No test asserts
 * on time.
 */
#include "program.h"

#include <math.h>

#include "format/json.h"

#define MODEL TN_TEST_DATA "/models/llama-gqa"

/* Level 0: no kernel is timed. */
#define BENCH(what, ...) TENON("bench", what, MODEL, "--level", "0", __VA_ARGS__)

static tn_json *load(const char *path) {
    tn_json *json;
    assert_int_equal(tn_json_load(path, NULL, NULL, NULL, &json), TN_OK);
    return json;
}

static double number(const tn_json *json, const char *section, const char *key) {
    double value;
    assert_int_equal(tn_json_get_number(tn_json_find(tn_json_root(json), section), key, -1e15, 1e15, NULL, &value), TN_OK);
    return value;
}

static void assert_close(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-6 * fabs(expected))) fail_msg("%.9g, must be %.9g", value, expected);
}

/* --- reports ------------------------------------------------------------------------------------------------------------------ */

static void throughput_reports_what_was_asked_for(void **state) {
    (void)state;
    BENCH("throughput", "--num-requests", "9", "--input-mean", "12", "--output-mean", "5", "--report-json", "report.json");
    expect_success("");
    assert_non_null(strstr(last.output, "= PERFORMANCE OVERVIEW\n"));
    assert_non_null(strstr(last.output, "Request Throughput (req/sec): "));
    assert_non_null(strstr(last.output, "Average Input Length (tokens):               12.0000\n"));
    assert_non_null(strstr(last.output, "Average Output Length (tokens):              5.0000\n"));
    tn_json *json = load("report.json");
    assert_null(tn_json_find(tn_json_root(json), "streaming_metrics"));
    assert_close(number(json, "request_info", "num_requests"), 9);
    assert_close(number(json, "request_info", "avg_output_length"), 5);
    assert_close(number(json, "world_info", "max_batch_size"), 16);
    double seconds = number(json, "performance", "total_latency_ms") * 1e-3;
    assert_true(seconds > 0.0);
    assert_close(number(json, "performance", "request_throughput_req_s"), 9 / seconds);
    assert_close(number(json, "performance", "system_output_throughput_tok_s"), 45 / seconds);
    assert_close(number(json, "performance", "system_total_throughput_tok_s"), 9 * 17 / seconds);
    assert_close(number(json, "request_info", "avg_num_concurrent_requests"),
                 9 * number(json, "performance", "avg_request_latency_ms") * 1e-3 / seconds);
    tn_json_destroy(json);
}

static void beams_count_the_tokens_of_the_best(void **state) {
    (void)state;
    BENCH("throughput", "--num-requests", "3", "--output-mean", "6", "--beam-width", "4", "--streaming", "--report-json", "beams.json");
    expect_success("");
    tn_json *json = load("beams.json");
    assert_close(number(json, "request_info", "avg_output_length"), 6);
    tn_json_destroy(json);
}

static void a_dataset_file_decides_lengths_and_streams_tell_each_token(void **state) {
    (void)state;
    write_text("requests.jsonl", "{\"task_id\": 5, \"input_ids\": [3, 5, 8], \"output_tokens\": 4}\n"
                                 "{\"task_id\": 6, \"input_ids\": [9], \"output_tokens\": 1}\n"
                                 "{\"task_id\": 7, \"input_ids\": [9, 9, 9, 9], \"output_tokens\": 7}\n");
    BENCH("throughput", "--dataset", "requests.jsonl", "--streaming", "--concurrency", "2", "--report_json=report.json", "--request_json",
          "times.json");
    expect_success("");
    assert_non_null(strstr(last.output, "Average time-to-first-token [TTFT] (ms): "));
    tn_json *json = load("report.json"), *times = load("times.json");
    assert_close(number(json, "request_info", "avg_input_length"), 8.0 / 3.0);
    assert_close(number(json, "request_info", "avg_output_length"), 4.0);
    assert_true(number(json, "streaming_metrics", "avg_ttft_ms") > 0.0);
    assert_int_equal(tn_json_count(tn_json_root(times)), 3);
    static const int64_t tasks[] = {5, 6, 7}, outputs[] = {4, 1, 7};
    for (size_t i = 0; i < 3; i++) {
        const tn_json_value *request = tn_json_at(tn_json_root(times), i);
        int64_t task, output;
        double latency_ms, ttft_ms;
        assert_int_equal(tn_json_get_integer(request, "task_id", 0, 100, NULL, &task), TN_OK);
        assert_int_equal(tn_json_get_integer(request, "num_output_tokens", 0, 100, NULL, &output), TN_OK);
        assert_int_equal(tn_json_get_number(request, "latency_ms", 0.0, 1e9, NULL, &latency_ms), TN_OK);
        assert_int_equal(tn_json_get_number(request, "ttft_ms", 0.0, latency_ms, NULL, &ttft_ms), TN_OK);
        assert_int_equal(task, tasks[i]);
        assert_int_equal(output, outputs[i]);
    }
    tn_json_destroy(json);
    tn_json_destroy(times);
}

static void latency_runs_one_stream_at_a_time(void **state) {
    (void)state;
    run("{\"input_ids\": [3, 5], \"output_tokens\": 3}\n{\"input_ids\": [4], \"output_tokens\": 3}\n",
        (const char *const[]){"bench", "latency", MODEL, "--level", "0", "--dataset", "-", "--warmup", "0", "--report-json", "report.json",
                              "--iteration-log", "steps.jsonl", NULL});
    expect_success("");
    tn_json *json = load("report.json");
    assert_close(number(json, "world_info", "max_batch_size"), 1);
    assert_non_null(tn_json_find(tn_json_root(json), "streaming_metrics"));
    tn_json_destroy(json);
    char *steps = read_text("steps.jsonl");
    const char *line = steps;
    size_t num_steps = 0;
    for (; *line != '\0'; num_steps++) {
        assert_memory_equal(line, "{\"timestamp\":", 13);
        line = strchr(line, '\n') + 1;
    }
    assert_true(num_steps >= 6);
    tn_free(NULL, steps);
}

static void answers_that_the_context_cuts_are_told(void **state) {
    (void)state;
    BENCH("throughput", "--num-requests", "2", "--input-mean", "20", "--output-mean", "20", "--max-seq-len", "32", "--warmup", "0");
    assert_int_equal(last.exit_code, 0);
    assert_string_equal(last.messages,
                        "tenon: 2 answers are shorter than asked for: prompt and answer together may have 32 tokens (--max-seq-len)\n");
    assert_null(strstr(last.output, "Average Output Length (tokens):              20.0000\n"));
}

static void every_scheduler_policy_and_host_device_gives_a_report(void **state) {
    (void)state;
    static const char *const policies[] = {"guaranteed_no_evict", "max_utilization", "static_batch"}, *const devices[] = {"ref", "null"};
    for (size_t i = 0; i < 3; i++) {
        BENCH("throughput", "--num-requests", "20", "--input-mean", "8", "--output-mean", "6", "--kv-cache-tokens", "128",
              "--scheduler-policy", policies[i], "--max-batch-size", "8", "--enable-chunked-context=false", "--enable-block-reuse");
        expect_success("");
        assert_non_null(strstr(last.output, "Number of requests:                          20\n"));
    }
    for (size_t i = 0; i < 2; i++) {
        BENCH("throughput", "--num-requests", "2", "--input-mean", "4", "--output-mean", "3", "--device", devices[i]);
        expect_success("");
        assert_non_null(strstr(last.output, "Average Output Length (tokens):              3.0000\n"));
    }
}

/* --- refusals ----------------------------------------------------------------------------------------------------------------- */

static void options_that_cannot_be_are_refused_by_name(void **state) {
    (void)state;
    TENON("bench", "throughput");
    expect_failure(2, "tenon bench throughput: MODEL is missing\n");
    BENCH("throughput", "--tp", "2");
    expect_failure(2, "tenon bench throughput: --tp is 2: engines of several ranks are not built, must be 1\n");
    BENCH("throughput", "--concurrency", "0");
    expect_failure(2, "tenon bench throughput: --concurrency is 0, must be -1 (all) or at least 1\n");
    BENCH("throughput", "--input-mean", "0");
    expect_failure(2, "tenon bench throughput: --input-mean is '0', must be a number from 1 to ");
    BENCH("throughput", "--scheduler_policy", "fastest");
    expect_failure(2, "tenon bench throughput: --scheduler-policy is 'fastest', must be one of: max_utilization, guaranteed_no_evict, ");
    BENCH("latency", "--streaming");
    expect_failure(2, "tenon bench latency: unrecognized option '--streaming'\n");
    BENCH("scheduler", "--active", "1,x");
    expect_failure(2, "tenon bench scheduler: --active is '1,x', must be at most 16 numbers from 1 to 65536 with commas between them\n");
    TENON("bench", "fastness", MODEL);
    expect_failure(
        2, "tenon bench: the first argument is 'fastness', must be one of: decode, prefill, throughput, latency, scheduler, serve\n");
}

static void what_cannot_run_fails_with_its_reason(void **state) {
    (void)state;
    BENCH("throughput", "--beam-width", "17");
    assert_int_equal(last.exit_code, 1);
    assert_non_null(strstr(last.messages, "max_beam_width is 17, beams are sequences, and a step holds 16"));
    BENCH("throughput", "--input-mean", "600");
    expect_failure(1, "tenon: cannot take the request: the prompt has 600 tokens, the context holds 512 ");
    BENCH("throughput", "--dataset", "/no/such/file.jsonl");
    expect_failure(1, "tenon: cannot open /no/such/file.jsonl: No such file or directory\n");
    BENCH("throughput", "--num-requests", "1", "--output-mean", "1", "--iteration-log", "/no/such/folder/steps.jsonl");
    expect_failure(1, "tenon: cannot create /no/such/folder/steps.jsonl: No such file or directory\n");
    BENCH("throughput", "--num-requests", "1", "--output-mean", "1", "--report-json", "/no/such/folder/report.json");
    assert_int_equal(last.exit_code, 1);
    assert_string_equal(last.messages, "tenon: cannot write /no/such/folder/report.json: No such file or directory\n");
}

static void a_wrong_line_of_a_dataset_is_named(void **state) {
    (void)state;
    write_text("wrong.jsonl", "{\"input_ids\": [3], \"output_tokens\": 4}\n{\"input_ids\": [320], \"output_tokens\": 4}\n");
    BENCH("throughput", "--dataset", "wrong.jsonl");
    expect_failure(1, "tenon: wrong.jsonl line 2: 'input_ids[0]' is 320, must be 0 to 319\n");
    write_text("prompts.jsonl", "{\"prompt\": \"Hello\", \"output_tokens\": 4}\n");
    BENCH("throughput", "--dataset", "prompts.jsonl");
    expect_failure(1, "tenon: prompts.jsonl line 1: 'prompt' needs a tokenizer, this model has none: give 'input_ids'\n");
    BENCH("throughput", "--dataset", "wrong.jsonl", "--num-requests", "1", "--warmup", "0");
    expect_success("");
}

/* --- scheduler ---------------------------------------------------------------------------------------------------------------- */

static void scheduler_tells_the_time_of_each_number_of_active_requests(void **state) {
    (void)state;
    TENON("bench", "scheduler", MODEL, "--active", "1,40", "--steps", "8", "--rounds", "2", "--json");
    expect_success("");
    tn_json *json;
    assert_int_equal(tn_json_parse("the output", last.output, strlen(last.output), NULL, NULL, NULL, &json), TN_OK);
    assert_int_equal(tn_json_count(tn_json_root(json)), 2);
    for (size_t i = 0; i < 2; i++) {
        const tn_json_value *row = tn_json_at(tn_json_root(json), i);
        int64_t active;
        double step_us, request_us;
        assert_int_equal(tn_json_get_integer(row, "active_requests", 1, 40, NULL, &active), TN_OK);
        assert_int_equal(tn_json_get_number(row, "us_per_step", 0.0, 1e9, NULL, &step_us), TN_OK);
        assert_int_equal(tn_json_get_number(row, "us_per_request_step", 0.0, 1e9, NULL, &request_us), TN_OK);
        assert_int_equal(active, i == 0 ? 1 : 40);
        assert_true(step_us > 0.0);
        assert_true(fabs(request_us - step_us / (double)active) <= 1e-4);
        assert_int_equal(tn_json_get_number(row, "processor_us_per_request_step", 0.0, 1e9, NULL, &request_us), TN_OK);
    }
    tn_json_destroy(json);
    TENON("bench", "scheduler", MODEL, "--active", "3", "--steps", "4", "--rounds", "1", "--streaming");
    expect_success("");
    assert_non_null(strstr(last.output, "| active requests | "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throughput_reports_what_was_asked_for),
        cmocka_unit_test(beams_count_the_tokens_of_the_best),
        cmocka_unit_test(a_dataset_file_decides_lengths_and_streams_tell_each_token),
        cmocka_unit_test(latency_runs_one_stream_at_a_time),
        cmocka_unit_test(answers_that_the_context_cuts_are_told),
        cmocka_unit_test(every_scheduler_policy_and_host_device_gives_a_report),
        cmocka_unit_test(options_that_cannot_be_are_refused_by_name),
        cmocka_unit_test(what_cannot_run_fails_with_its_reason),
        cmocka_unit_test(a_wrong_line_of_a_dataset_is_named),
        cmocka_unit_test(scheduler_tells_the_time_of_each_number_of_active_requests),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
