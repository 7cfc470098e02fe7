/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.c: `tenon bench …`. Here decode|prefill MODEL: tokens a second of one sequence, as llama-bench's tg and pp measure them.
 *
 * prefill: a prompt of N random ids, until its first token is drawn. decode: N tokens one after another from an empty cache,
 * end ids ignored. One warm-up run, then the repetitions; prompts of different ids each, no shared blocks.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/bench.h"
#include "cli/session.h"

typedef struct bench_args {
    tn_engine_args engine;
    const char *test;
    int32_t num_tokens, num_repetitions;
    bool is_json;
} bench_args;

enum { OPTION_TOKENS = 1024, OPTION_REPETITIONS, OPTION_JSON };

static const struct argp_option options[] = {
    {"tokens", OPTION_TOKENS, "N", 0, "default 128 for decode, 512 for prefill", 0},
    {"repetitions", OPTION_REPETITIONS, "N", 0, "default 5", 0},
    {"json", OPTION_JSON, 0, 0, "print a list of objects", 0},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    static const char *const tests[] = {"decode", "prefill", "throughput", "latency", "scheduler", "serve", NULL};
    bench_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->engine; return 0;
    case OPTION_TOKENS: args->num_tokens = (int32_t)tn_cli_integer(state, "--tokens", value, 1, 1 << 20); return 0;
    case OPTION_REPETITIONS: args->num_repetitions = (int32_t)tn_cli_integer(state, "--repetitions", value, 1, 1000); return 0;
    case OPTION_JSON: args->is_json = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) {
            int test = tn_cli_choice(state, "the first argument", value, tests);
            if (test > 1) argp_error(state, "%s must come right after `tenon bench`", value);
            args->test = tests[test];
        } else if (state->arg_num == 1)
            args->engine.path = value;
        else
            argp_error(state, "too many arguments");
        return 0;
    case ARGP_KEY_END:
        if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Seconds of one run; negative after a failure. */
static double run_once(tn_session *session, const int32_t *ids, int32_t num_prompt, int32_t num_generated) {
    tn_request request;
    tn_request_init(&request, ids, (size_t)num_prompt, num_generated);
    uint64_t id;
    tn_response *response;
    if (tn_executor_enqueue(session->executor, &request, &id) != TN_OK) return -1.0;
    if (tn_executor_await(session->executor, id, TN_FOREVER, &response) != TN_OK) return -1.0;
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    bool is_failed = tn_response_error(response) != NULL;
    if (is_failed) tn_cli_fail("%s", tn_response_error(response));
    tn_response_destroy(response);
    return is_failed ? -1.0 : (double)(timings.last_token_ns - timings.queued_ns) * 1e-9;
}

static bool measure(tn_session *session, const bench_args *args, double *rates) {
    tn_executor_info info;
    tn_executor_get_info(session->executor, &info);
    bool is_decode = strcmp(args->test, "decode") == 0;
    int32_t num_prompt = is_decode ? 1 : args->num_tokens, num_generated = is_decode ? args->num_tokens : 1;
    int32_t *ids = calloc((size_t)num_prompt, sizeof *ids);
    bool is_ok = ids != NULL;
    uint32_t random = 1;
    for (int32_t run = -1; is_ok && run < args->num_repetitions; run++) {
        for (int32_t i = 0; i < num_prompt; i++) {
            random = random * 1664525u + 1013904223u;
            ids[i] = (int32_t)((random >> 8) % (uint32_t)info.vocab_size);
        }
        double seconds = run_once(session, ids, num_prompt, num_generated);
        is_ok = seconds > 0.0;
        if (is_ok && run >= 0) rates[run] = (double)args->num_tokens / seconds;
    }
    free(ids);
    return is_ok;
}

static void print_results(const tn_session *session, const bench_args *args, const double *rates, int num_threads) {
    double mean = 0.0, variance = 0.0;
    for (int32_t i = 0; i < args->num_repetitions; i++) mean += rates[i] / args->num_repetitions;
    for (int32_t i = 0; i < args->num_repetitions; i++) variance += (rates[i] - mean) * (rates[i] - mean);
    double deviation = args->num_repetitions > 1 ? sqrt(variance / (args->num_repetitions - 1)) : 0.0;
    if (args->is_json) {
        printf(
            "[{\"test\": \"%s\", \"tokens\": %d, \"tokens_per_second\": %.3f, \"stddev\": %.3f, \"repetitions\": %d, \"threads\": %d}]\n",
            args->test, (int)args->num_tokens, mean, deviation, (int)args->num_repetitions, num_threads);
        return;
    }
    printf("%s\n\n", tn_device_description(session->device));
    printf("| %-32s | %7s | %12s | %20s |\n", "model", "threads", "test", "t/s");
    printf("| -------------------------------- | ------: | -----------: | -------------------: |\n");
    const char *name = strrchr(args->engine.path, '/');
    char test[32], rate[48];
    snprintf(test, sizeof test, "%s%d", strcmp(args->test, "decode") == 0 ? "tg" : "pp", (int)args->num_tokens);
    snprintf(rate, sizeof rate, "%.2f ± %.2f", mean, deviation);
    printf("| %-32.32s | %7d | %12s | %21s |\n", name != NULL ? name + 1 : args->engine.path, num_threads, test, rate);
}

void tn_bench_progress_show(tn_bench_progress *progress, size_t num_done, size_t num_requests, int64_t now_ns) {
    if (!progress->is_shown) return;
    bool is_done = num_done == num_requests;
    if (!is_done && now_ns - progress->shown_ns < 100000000) return;
    progress->shown_ns = now_ns;
    int width = (int)(num_done * 30 / num_requests);
    fprintf(stderr, "\r\033[K%s [%.*s%*s] %zu of %zu requests", progress->phase, width, "##############################", 30 - width, "",
            num_done, num_requests);
    if (is_done) fputs("\r\033[K", stderr);
}

bool tn_bench_write_text(const char *path, const tn_text *text) {
    FILE *file = fopen(path, "wb");
    bool is_written = !text->failed && file != NULL && fwrite(text->data, 1, text->size, file) == text->size;
    if (file != NULL && fclose(file) != 0) is_written = false;
    if (!is_written) tn_cli_fail("cannot write %s: %m", path);
    return is_written;
}

/* Measurements with options of their own. */
static const tn_verb others[] = {
    {"throughput", "", tn_bench_throughput},
    {"latency", "", tn_bench_latency},
    {"scheduler", "", tn_bench_scheduler},
    {"serve", "", tn_bench_serve},
};

int tn_verb_bench(int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {0}};
    static const struct argp argp = {
        options,
        parse_option,
        "decode|prefill MODEL\nthroughput|latency|scheduler MODEL [OPTION...]\nserve [OPTION...]",
        "Measure tokens a second of one sequence (decode, prefill), of many requests (throughput), the times of "
        "requests (latency), the host's work in a step (scheduler), or a running server (serve). The last four have options of their "
        "own: `tenon bench throughput --help`.",
        children,
        0,
        0};
    for (size_t i = 0; argc > 1 && i < sizeof others / sizeof *others; i++) {
        if (strcmp(argv[1], others[i].name) != 0) continue;
        char name[48];
        snprintf(name, sizeof name, "%s %s", argv[0], others[i].name);
        argv[1] = name;
        return others[i].run(argc - 1, argv + 1);
    }
    bench_args args = {.num_repetitions = 5};
    tn_engine_args_init(&args.engine);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    if (args.num_tokens == 0) args.num_tokens = strcmp(args.test, "decode") == 0 ? 128 : 512;
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_batch_size = 1;
    executor.enable_block_reuse = false;
    double *rates = calloc((size_t)args.num_repetitions, sizeof *rates);
    tn_session session = {0};
    bool is_ok = rates != NULL && tn_session_open(&session, &args.engine);
    if (is_ok) tn_session_save(&session);
    is_ok = is_ok && tn_session_start_executor(&session, &executor) && measure(&session, &args, rates);
    if (is_ok) print_results(&session, &args, rates, tn_device_num_threads(session.device));
    tn_session_close(&session);
    free(rates);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
