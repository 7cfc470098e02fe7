/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_serve.c: `tenon bench serve`: load on an OpenAI-compatible server, ours or another, with the options and the report of
 * `vllm bench serve`.
 *
 * Requests go out all at once, at a Poisson rate, or at most so many under way. Random prompts are token ids (completions) or words
 * (chat). One unmeasured request of other ids goes before, to see that all is well.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/thread.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/serve_report.h"

typedef struct serve_args {
    const char *base_url, *host, *endpoint, *model, *key, *dataset, *result_path;
    int port;
    int64_t vocab_size;
    double timeout_s;
    bool is_chat, is_detailed;
    tn_dataset_shape shape; /* num_requests 0: all of the dataset */
    tn_serve_load_options load;
    tn_serve_setting setting;
} serve_args;

/* --- options ------------------------------------------------------------------------------------------------------------------ */

enum {
    OPTION_BACKEND = 1024,
    OPTION_BASE_URL,
    OPTION_HOST,
    OPTION_PORT,
    OPTION_ENDPOINT,
    OPTION_KEY,
    OPTION_NUM_PROMPTS,
    OPTION_MAX_CONCURRENCY,
    OPTION_REQUEST_RATE,
    OPTION_SEED,
    OPTION_DATASET,
    OPTION_INPUT_LEN,
    OPTION_OUTPUT_LEN,
    OPTION_RANGE_RATIO,
    OPTION_VOCAB_SIZE,
    OPTION_IGNORE_EOS,
    OPTION_TEMPERATURE,
    OPTION_TIMEOUT,
    OPTION_METRICS,
    OPTION_PERCENTILES,
    OPTION_GOODPUT,
    OPTION_RESULT,
    OPTION_DETAILED,
};

static const struct argp_option options[] = {
    {0, 0, 0, 0, "The server:", 1},
    {"base-url", OPTION_BASE_URL, "URL", 0, "http://host:port; default: of --host and --port", 1},
    {"host", OPTION_HOST, "NAME", 0, "default 127.0.0.1", 1},
    {"port", OPTION_PORT, "N", 0, "default 8000", 1},
    {"backend", OPTION_BACKEND, "NAME", 0, "openai (default): completions; openai-chat: chat", 1},
    {"endpoint", OPTION_ENDPOINT, "PATH", 0, "default /v1/completions, or /v1/chat/completions", 1},
    {"model", 'm', "NAME", 0, "default: the first that the server names", 1},
    {"key", OPTION_KEY, "KEY", 0, "sent as bearer token; default: $OPENAI_API_KEY", 1},
    {0, 0, 0, 0, "The requests:", 2},
    {"num-prompts", OPTION_NUM_PROMPTS, "N", 0, "default 1000, or all of the dataset", 2},
    {"max-concurrency", OPTION_MAX_CONCURRENCY, "N", 0, "requests under way at a time; default: any number", 2},
    {"request-rate", OPTION_REQUEST_RATE, "R", 0, "requests a second, Poisson; default inf: all at once", 2},
    {"random-input-len", OPTION_INPUT_LEN, "N", 0, "tokens of a random prompt (chat: words); default 1024", 2},
    {"random-output-len", OPTION_OUTPUT_LEN, "N", 0, "default 128", 2},
    {"random-range-ratio", OPTION_RANGE_RATIO, "R", 0, "both lengths are uniform within ± R of that; default 0", 2},
    {"random-vocab-size", OPTION_VOCAB_SIZE, "N", 0, "random ids are below it; default 10000", 2},
    {"dataset", OPTION_DATASET, "FILE", 0, "JSON lines {task_id, input_ids or prompt, output_tokens}", 2},
    {"ignore-eos", OPTION_IGNORE_EOS, 0, 0, "answers have exactly their length", 2},
    {"temperature", OPTION_TEMPERATURE, "T", 0, "default: the server's", 2},
    {"seed", OPTION_SEED, "N", 0, "of prompts, lengths and moments; default 0", 2},
    {"timeout", OPTION_TIMEOUT, "SECONDS", 0, "a request without an end by then has failed; default 21600", 2},
    {0, 0, 0, 0, "The report:", 3},
    {"percentile-metrics", OPTION_METRICS, "LIST", 0, "of ttft,tpot,itl,e2el; default: all", 3},
    {"metric-percentiles", OPTION_PERCENTILES, "LIST", 0, "default 99", 3},
    {"goodput", OPTION_GOODPUT, "LIST", 0, "limits in ms, such as ttft:200,tpot:50: count what keeps them", 3},
    {"result-filename", OPTION_RESULT, "FILE", 0, "write the report there as JSON too", 3},
    {"save-detailed", OPTION_DETAILED, 0, 0, "with each request's times", 3},
    {0},
};

static const char *const metric_names[] = {"ttft", "tpot", "itl", "e2el", NULL};

/* Calls take(state, element) for each element of "a,b c". */
static void for_each_element(struct argp_state *state, char *list, void (*take)(struct argp_state *state, char *element)) {
    for (char *element; (element = strsep(&list, ", ")) != NULL;)
        if (*element != '\0') take(state, element);
}

static void take_metric(struct argp_state *state, char *element) {
    serve_args *args = state->input;
    args->setting.shows[tn_cli_choice(state, "--percentile-metrics", element, metric_names)] = true;
}

static void take_percentile(struct argp_state *state, char *element) {
    tn_serve_setting *setting = &((serve_args *)state->input)->setting;
    if (setting->num_percentiles == TN_MAX_SERVE_PERCENTILES)
        argp_error(state, "--metric-percentiles has more than %d", TN_MAX_SERVE_PERCENTILES);
    setting->percentiles[setting->num_percentiles++] = tn_cli_number(state, "--metric-percentiles", element, 0.0, 100.0);
}

static void take_goodput(struct argp_state *state, char *element) {
    serve_args *args = state->input;
    char *value = strchr(element, ':');
    if (value == NULL) argp_error(state, "--goodput has '%s', must be metric:milliseconds", element);
    *value++ = '\0';
    int metric = tn_cli_choice(state, "--goodput", element, metric_names);
    if (metric == TN_SERVE_ITL) argp_error(state, "--goodput knows ttft, tpot and e2el: a request has many values of itl");
    args->setting.goodput_ms[metric] = tn_cli_number(state, "--goodput", value, 1e-6, 1e9);
}

static double parse_rate(struct argp_state *state, const char *value) {
    return strcmp(value, "inf") == 0 ? 0.0 : tn_cli_number(state, "--request-rate", value, 1e-6, 1e6);
}

static error_t parse_server(int key, char *value, struct argp_state *state) {
    static const char *const backends[] = {"openai", "openai-chat", "vllm", NULL};
    serve_args *args = state->input;
    switch (key) {
    case OPTION_BACKEND: args->is_chat = tn_cli_choice(state, "--backend", value, backends) == 1; return 0;
    case OPTION_BASE_URL: args->base_url = value; return 0;
    case OPTION_HOST: args->host = value; return 0;
    case OPTION_PORT: args->port = (int)tn_cli_integer(state, "--port", value, 1, 65535); return 0;
    case OPTION_ENDPOINT: args->endpoint = value; return 0;
    case 'm': args->model = value; return 0;
    case OPTION_KEY: args->key = value; return 0;
    case OPTION_TIMEOUT: args->timeout_s = tn_cli_number(state, "--timeout", value, 1e-3, 1e9); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    serve_args *args = state->input;
    tn_dataset_shape *shape = &args->shape;
    switch (key) {
    case OPTION_NUM_PROMPTS: shape->num_requests = (size_t)tn_cli_integer(state, "--num-prompts", value, 1, 1 << 24); return 0;
    case OPTION_MAX_CONCURRENCY:
        args->load.max_concurrency = (size_t)tn_cli_integer(state, "--max-concurrency", value, 1, 1 << 20);
        return 0;
    case OPTION_REQUEST_RATE: args->load.request_rate = parse_rate(state, value); return 0;
    case OPTION_SEED: shape->seed = (uint64_t)tn_cli_integer(state, "--seed", value, 0, INT64_MAX); return 0;
    case OPTION_DATASET: args->dataset = value; return 0;
    case OPTION_INPUT_LEN: shape->input_mean = tn_cli_number(state, "--random-input-len", value, 1.0, 1 << 24); return 0;
    case OPTION_OUTPUT_LEN: shape->output_mean = tn_cli_number(state, "--random-output-len", value, 1.0, 1 << 24); return 0;
    case OPTION_RANGE_RATIO: shape->range_ratio = tn_cli_number(state, "--random-range-ratio", value, 0.0, 0.999999); return 0;
    case OPTION_VOCAB_SIZE: args->vocab_size = tn_cli_integer(state, "--random-vocab-size", value, 1, INT32_MAX); return 0;
    case OPTION_IGNORE_EOS: args->load.ignore_eos = true; return 0;
    case OPTION_TEMPERATURE: args->load.temperature = tn_cli_number(state, "--temperature", value, 0.0, 1e3); return 0;
    case OPTION_METRICS:
        memset(args->setting.shows, 0, sizeof args->setting.shows);
        for_each_element(state, value, take_metric);
        return 0;
    case OPTION_PERCENTILES:
        args->setting.num_percentiles = 0;
        for_each_element(state, value, take_percentile);
        return 0;
    case OPTION_GOODPUT: for_each_element(state, value, take_goodput); return 0;
    case OPTION_RESULT: args->result_path = value; return 0;
    case OPTION_DETAILED: args->is_detailed = true; return 0;
    case ARGP_KEY_ARG: argp_error(state, "too many arguments: name the server with --base-url"); return 0;
    default: return parse_server(key, value, state);
    }
}

/* --- running ------------------------------------------------------------------------------------------------------------------ */

static void show_progress(void *context, size_t num_done, size_t num_requests) {
    tn_bench_progress *progress = context;
    tn_bench_progress_show(progress, num_done, num_requests, tn_now_ns());
}

static tn_status make_dataset(const serve_args *args, tn_dataset *out_dataset) {
    tn_dataset_shape shape = args->shape;
    if (shape.num_requests == 0) shape.num_requests = 1000;
    if (args->dataset == NULL) return tn_dataset_generate(&shape, args->vocab_size, NULL, NULL, out_dataset);
    const tn_dataset_options dataset_options = {.keep_text = true, .vocab_size = INT32_MAX, .max_requests = args->shape.num_requests};
    return tn_dataset_load(args->dataset, &dataset_options, out_dataset);
}

/* Room for a socket a request. False after reporting. */
static bool raise_descriptor_limit(size_t num_sockets) {
    enum { OTHER_FILES = 32 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
    rlim_t needed = num_sockets + OTHER_FILES;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed) return true;
    tn_cli_fail("%zu requests under way need %zu open files, this process may have %llu: lower --max-concurrency, or raise `ulimit -n`",
                num_sockets, (size_t)needed, (unsigned long long)limit.rlim_cur);
    return false;
}

/* One request of the dataset's kind, unmeasured. False after reporting. */
static bool try_server(const serve_args *args, const tn_dataset *dataset) {
    tn_dataset one = {0};
    tn_dataset_shape shape = args->shape;
    tn_serve_result result = {0};
    tn_serve_load_options load = args->load;
    load.request_rate = 0.0;
    shape.num_requests = 1;
    shape.seed = ~shape.seed; /* its prompt shall not be in the server's cache of prefixes */
    if (args->dataset != NULL) one = (tn_dataset){.requests = dataset->requests, .num_requests = 1};
    tn_status status = args->dataset != NULL ? TN_OK : tn_dataset_generate(&shape, args->vocab_size, NULL, NULL, &one);
    if (status == TN_OK) status = tn_serve_load_run(&load, &one, &result);
    if (args->dataset == NULL) tn_dataset_deinit(&one);
    bool is_ok = status == TN_OK && result.records[0].is_ok;
    if (status == TN_OK && !is_ok) tn_cli_fail("the first request failed: %s", result.records[0].error);
    tn_serve_result_deinit(&result);
    return is_ok;
}

static void tell_failures(const tn_serve_result *result, size_t num_failed) {
    enum { MAX_TOLD = 3 };
    size_t num_told = 0;
    for (size_t i = 0; i < result->num_requests && num_told < MAX_TOLD; i++)
        if (result->records[i].error != NULL && ++num_told > 0) tn_cli_fail("request %zu failed: %s", i, result->records[i].error);
    if (num_failed > num_told) fprintf(stderr, "tenon: %zu more requests failed\n", num_failed - num_told);
}

static bool report(const serve_args *args, const tn_serve_result *result) {
    tn_serve_summary summary;
    if (tn_serve_summarize(&args->setting, result, &summary) != TN_OK) return false;
    size_t num_uncounted = 0;
    for (size_t i = 0; i < result->num_requests; i++) num_uncounted += result->records[i].is_ok && !result->records[i].has_usage;
    if (num_uncounted > 0)
        fprintf(stderr, "tenon: the server told no usage for %zu answers; their tokens are counted as chunks\n", num_uncounted);
    tell_failures(result, summary.num_failed);
    tn_serve_report_print(&args->setting, &summary, stdout);
    bool is_ok = summary.num_completed > 0;
    if (args->result_path == NULL) return is_ok;
    tn_text json = {0};
    tn_serve_report_json(&args->setting, &summary, result, args->is_detailed, &json);
    is_ok = tn_bench_write_text(args->result_path, &json) && is_ok;
    tn_text_deinit(&json);
    return is_ok;
}

static bool run(serve_args *args, const tn_http_address *address) {
    char *found_model = NULL;
    tn_dataset dataset = {0};
    tn_serve_result result = {0};
    tn_bench_progress progress = {.phase = "benchmark", .is_shown = isatty(STDERR_FILENO)};
    bool is_ok = args->model != NULL || tn_serve_find_model(address, args->load.key, NULL, &found_model) == TN_OK;
    if (!is_ok || make_dataset(args, &dataset) != TN_OK) goto cleanup;
    args->load.address = address;
    args->load.model = args->setting.model = args->model != NULL ? args->model : found_model;
    size_t num_sockets = args->load.max_concurrency > 0 && args->load.max_concurrency < dataset.num_requests ? args->load.max_concurrency
                                                                                                             : dataset.num_requests;
    is_ok = raise_descriptor_limit(num_sockets) && try_server(args, &dataset);
    args->load.on_progress = show_progress;
    args->load.context = &progress;
    is_ok = is_ok && tn_serve_load_run(&args->load, &dataset, &result) == TN_OK && report(args, &result);

cleanup:
    tn_serve_result_deinit(&result);
    tn_dataset_deinit(&dataset);
    tn_free(NULL, found_model);
    return is_ok;
}

/* With --host and --port, or --base-url, which may end with the /v1 that clients of OpenAI's library give. */
static tn_status find_address(const serve_args *args, tn_http_address *out_address) {
    tn_text url = {0};
    bool is_ipv6 = strchr(args->host, ':') != NULL;
    tn_text_append_format(&url, "http://%s%s%s:%d", is_ipv6 ? "[" : "", args->host, is_ipv6 ? "]" : "", args->port);
    if (url.failed) return tn_fail_memory(NULL, "an address", url.size);
    tn_status status = tn_http_address_parse(args->base_url != NULL ? args->base_url : url.data, NULL, NULL, out_address);
    tn_text_deinit(&url);
    if (status == TN_OK && tn_string_ends_with(out_address->prefix, "/v1")) out_address->prefix[strlen(out_address->prefix) - 3] = '\0';
    return status;
}

int tn_bench_serve(int argc, char **argv) {
    static const struct argp argp = {options,
                                     parse_option,
                                     "",
                                     "Put load on an OpenAI-compatible server and report latencies and throughput.\n"
                                     "Options, report and JSON are those of `vllm bench serve`.",
                                     0,
                                     0,
                                     0};
    serve_args args = {.host = "127.0.0.1",
                       .port = 8000,
                       .vocab_size = 10000,
                       .timeout_s = 21600.0,
                       .key = getenv("OPENAI_API_KEY"),
                       .shape = {.input_mean = 1024.0, .output_mean = 128.0},
                       .load = {.temperature = -1.0},
                       .setting = {.shows = {true, true, true, true}, .percentiles = {99.0}, .num_percentiles = 1}};
    argp_parse(&argp, argc, argv, 0, 0, &args);
    args.load.is_chat = args.is_chat;
    args.load.endpoint = args.endpoint != NULL ? args.endpoint : args.is_chat ? "/v1/chat/completions" : "/v1/completions";
    args.load.key = args.key;
    args.load.seed = args.shape.seed;
    args.load.timeout_ns = (int64_t)(args.timeout_s * 1e9);
    args.setting.backend = args.is_chat ? "openai-chat" : "openai";
    args.setting.dataset = args.dataset != NULL ? args.dataset : "random";
    args.setting.request_rate = args.load.request_rate;
    args.setting.max_concurrency = args.load.max_concurrency;
    tn_http_address address = {0};
    bool is_ok = find_address(&args, &address) == TN_OK && run(&args, &address);
    tn_http_address_deinit(&address);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
