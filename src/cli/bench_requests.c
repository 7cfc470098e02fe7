/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_requests.c: `tenon bench throughput|latency MODEL`: a dataset of requests through the executor, with the options, the
 * dataset format and the report of trtllm-bench.
 *
 * throughput: all requests at once, or --concurrency of them under way. latency: batches of one, streams, prompts read whole.
 * Answers have exactly their length: no id ends them. Nothing is shared between prompts unless --enable-block-reuse says so, and
 * then nothing with the warm-up.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/thread.h"
#include "cli/bench.h"
#include "cli/bench_report.h"
#include "cli/dataset.h"
#include "cli/session.h"
#include "format/json.h"
#include "runtime/runtime.h"

typedef struct bench_args {
    tn_engine_args engine;
    const char *engine_directory, *dataset, *report_path, *requests_path, *iterations_path;
    tn_dataset_shape shape; /* without a dataset; num_requests 0: the default */
    int32_t num_warmups, concurrency, beam_width, end_id;
    int64_t max_cache_tokens;
    double cache_fraction;
    tn_capacity_policy policy;
    bool is_latency, is_streaming, enable_block_reuse, allow_chunks;
} bench_args;

/* --- options ------------------------------------------------------------------------------------------------------------------ */

enum {
    OPTION_ENGINE_DIR = 1024,
    OPTION_DATASET,
    OPTION_NUM_REQUESTS,
    OPTION_INPUT_MEAN,
    OPTION_INPUT_STDEV,
    OPTION_OUTPUT_MEAN,
    OPTION_OUTPUT_STDEV,
    OPTION_SEED,
    OPTION_WARMUP,
    OPTION_CONCURRENCY,
    OPTION_BEAM_WIDTH,
    OPTION_END_ID,
    OPTION_CACHE_FRACTION,
    OPTION_CACHE_TOKENS,
    OPTION_BLOCK_REUSE,
    OPTION_REPORT,
    OPTION_REQUESTS,
    OPTION_ITERATIONS,
    OPTION_TP,
    OPTION_PP,
    OPTION_EP,
    OPTION_STREAMING,
    OPTION_CHUNKED_CONTEXT,
    OPTION_POLICY,
};

static const struct argp_option common_options[] = {
    {0, 0, 0, 0, "The requests:", 1},
    {"dataset", OPTION_DATASET, "FILE", 0, "JSON lines {task_id, input_ids or prompt, output_tokens}; - is standard input", 1},
    {"num-requests", OPTION_NUM_REQUESTS, "N", 0, "default: all of the dataset; without one 100 of random ids (latency: 10)", 1},
    {"input-mean", OPTION_INPUT_MEAN, "N", 0, "of random requests: tokens of the prompt; default 128", 1},
    {"input-stdev", OPTION_INPUT_STDEV, "N", 0, "default 0", 1},
    {"output-mean", OPTION_OUTPUT_MEAN, "N", 0, "of random requests: tokens to generate; default 128", 1},
    {"output-stdev", OPTION_OUTPUT_STDEV, "N", 0, "default 0", 1},
    {"seed", OPTION_SEED, "N", 0, "of random requests; default 0", 1},
    {"warmup", OPTION_WARMUP, "N", 0, "requests that run before, unmeasured; default 2", 1},
    {"concurrency", OPTION_CONCURRENCY, "N", 0, "requests under way at a time; -1: all (latency: default 1)", 1},
    {"eos-id", OPTION_END_ID, "ID", 0, "ends an answer early; default -1: none", 1},
    {"beam-width", OPTION_BEAM_WIDTH, "N", 0, "default 1", 1},
    {"report-json", OPTION_REPORT, "FILE", 0, "write the report there as JSON too", 1},
    {"request-json", OPTION_REQUESTS, "FILE", 0, "write the times of each request there as JSON", 1},
    {"iteration-log", OPTION_ITERATIONS, "FILE", 0, "write the statistics of each step there as JSON lines", 1},
    {"engine-dir", OPTION_ENGINE_DIR, "DIR", 0, "an engine directory, in place of MODEL", 2},
    {"model", 'm', "MODEL", 0, "the same as the argument MODEL", 2},
    {"kv-cache-free-gpu-mem-fraction", OPTION_CACHE_FRACTION, "F", 0, "of free memory that the cache may take; default 0.9", 2},
    {"kv-cache-tokens", OPTION_CACHE_TOKENS, "N", 0, "of the cache; default: of all sequences that may run, at full length", 2},
    {"enable-block-reuse", OPTION_BLOCK_REUSE, 0, 0, "prompts that begin alike share blocks", 2},
    {"tp", OPTION_TP, "N", 0, "ranks of tensor parallelism: 1", 2},
    {"pp", OPTION_PP, "N", 0, "ranks of pipeline parallelism: 1", 2},
    {"ep", OPTION_EP, "N", 0, "ranks of expert parallelism: 1", 2},
    {0},
};

static const struct argp_option throughput_options[] = {
    {"streaming", OPTION_STREAMING, 0, 0, "take each token when it is there, and report TTFT and TPOT", 1},
    {"enable-chunked-context", OPTION_CHUNKED_CONTEXT, "BOOL", OPTION_ARG_OPTIONAL, "default true; false: prompts are read whole", 2},
    {"scheduler-policy", OPTION_POLICY, "POLICY", 0, "guaranteed_no_evict (default), max_utilization or static_batch", 2},
    {0},
};

static void parse_ranks(struct argp_state *state, const char *option, const char *value) {
    if (tn_cli_integer(state, option, value, 1, 1 << 16) != 1)
        argp_error(state, "%s is %s: engines of several ranks are not built, must be 1", option, value);
}

static double parse_length(struct argp_state *state, const char *option, const char *value, double min) {
    return tn_cli_number(state, option, value, min, 1 << 24);
}

static error_t parse_common(int key, char *value, struct argp_state *state) {
    bench_args *args = state->input;
    switch (key) {
    case OPTION_ENGINE_DIR: args->engine_directory = value; return 0;
    case 'm': args->engine.path = value; return 0;
    case OPTION_DATASET: args->dataset = value; return 0;
    case OPTION_NUM_REQUESTS: args->shape.num_requests = (size_t)tn_cli_integer(state, "--num-requests", value, 0, 1 << 24); return 0;
    case OPTION_INPUT_MEAN: args->shape.input_mean = parse_length(state, "--input-mean", value, 1.0); return 0;
    case OPTION_INPUT_STDEV: args->shape.input_stdev = parse_length(state, "--input-stdev", value, 0.0); return 0;
    case OPTION_OUTPUT_MEAN: args->shape.output_mean = parse_length(state, "--output-mean", value, 1.0); return 0;
    case OPTION_OUTPUT_STDEV: args->shape.output_stdev = parse_length(state, "--output-stdev", value, 0.0); return 0;
    case OPTION_SEED: args->shape.seed = (uint64_t)tn_cli_integer(state, "--seed", value, 0, INT64_MAX); return 0;
    case OPTION_WARMUP: args->num_warmups = (int32_t)tn_cli_integer(state, "--warmup", value, 0, 1 << 24); return 0;
    case OPTION_CONCURRENCY: args->concurrency = (int32_t)tn_cli_integer(state, "--concurrency", value, -1, 1 << 24); return 0;
    case OPTION_BEAM_WIDTH: args->beam_width = (int32_t)tn_cli_integer(state, "--beam-width", value, 1, 1023); return 0;
    case OPTION_END_ID: args->end_id = (int32_t)tn_cli_integer(state, "--eos-id", value, -1, INT32_MAX); return 0;
    case OPTION_CACHE_FRACTION: args->cache_fraction = tn_cli_number(state, "--kv-cache-free-gpu-mem-fraction", value, 0.01, 1.0); return 0;
    case OPTION_CACHE_TOKENS: args->max_cache_tokens = tn_cli_integer(state, "--kv-cache-tokens", value, 1, (int64_t)1 << 40); return 0;
    case OPTION_BLOCK_REUSE: args->enable_block_reuse = true; return 0;
    case OPTION_REPORT: args->report_path = value; return 0;
    case OPTION_REQUESTS: args->requests_path = value; return 0;
    case OPTION_ITERATIONS: args->iterations_path = value; return 0;
    case OPTION_TP: parse_ranks(state, "--tp", value); return 0;
    case OPTION_PP: parse_ranks(state, "--pp", value); return 0;
    case OPTION_EP: parse_ranks(state, "--ep", value); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void check_args(bench_args *args, struct argp_state *state) {
    if (args->engine_directory != NULL) args->engine.path = args->engine_directory;
    if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
    if (args->concurrency == 0) argp_error(state, "--concurrency is 0, must be -1 (all) or at least 1");
}

static error_t parse_verb(int key, char *value, struct argp_state *state) {
    static const char *const policies[] = {"max_utilization", "guaranteed_no_evict", "static_batch", NULL};
    static const char *const booleans[] = {"false", "true", NULL};
    bench_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = args;
        state->child_inputs[1] = &args->engine;
        return 0;
    case OPTION_STREAMING: args->is_streaming = true; return 0;
    case OPTION_CHUNKED_CONTEXT:
        args->allow_chunks = value == NULL || tn_cli_choice(state, "--enable-chunked-context", value, booleans) == 1;
        return 0;
    case OPTION_POLICY: args->policy = (tn_capacity_policy)tn_cli_choice(state, "--scheduler-policy", value, policies); return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "too many arguments");
        args->engine.path = value;
        return 0;
    case ARGP_KEY_END: check_args(args, state); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* trtllm-bench writes its options with underscores. */
static void put_hyphens(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        for (char *c = argv[i]; strncmp(argv[i], "--", 2) == 0 && *c != '\0' && *c != '='; c++)
            if (*c == '_') *c = '-';
}

/* --- running ------------------------------------------------------------------------------------------------------------------ */

/* A run of requests. */
typedef struct bench_run {
    tn_executor *executor;
    const bench_args *args;
    const tn_dataset *dataset;
    size_t num_requests, num_sent, num_done, num_lowered;
    uint64_t cache_salt;
    tn_bench_record *records; /* [num_requests] */
    FILE *iterations;         /* NULL: not wanted */
    tn_bench_progress progress;
} bench_run;

static void fill_request(const bench_run *run, size_t index, tn_request *request) {
    const tn_dataset_request *item = &run->dataset->requests[index];
    tn_request_init(request, item->ids, (size_t)item->num_ids, item->output_tokens);
    request->streaming = run->args->is_streaming;
    request->end_id = run->args->end_id;
    request->sampling.beam_width = run->args->beam_width;
    request->cache_salt = run->cache_salt;
    request->client_id = index;
    request->has_client_id = true;
}

/* The first requests, all at one moment: a step sees all or none of them. */
static bool send_first(bench_run *run, size_t count) {
    tn_request *requests = tn_alloc_array(NULL, count, sizeof *requests);
    uint64_t *ids = tn_alloc_array(NULL, count, sizeof *ids);
    bool is_sent = requests != NULL && ids != NULL;
    if (!is_sent) tn_cli_fail("out of memory: %zu requests", count);
    for (size_t i = 0; is_sent && i < count; i++) fill_request(run, i, &requests[i]);
    int64_t now_ns = tn_now_ns();
    for (size_t i = 0; i < count; i++) run->records[i].begin_ns = now_ns;
    is_sent = is_sent && tn_executor_enqueue_many(run->executor, requests, count, NULL, ids) == TN_OK;
    run->num_sent = count;
    tn_free(NULL, requests);
    tn_free(NULL, ids);
    return is_sent;
}

static bool send_next(bench_run *run) {
    if (run->num_sent == run->num_requests) return true;
    tn_request request;
    uint64_t id;
    fill_request(run, run->num_sent, &request);
    run->records[run->num_sent++].begin_ns = tn_now_ns();
    return tn_executor_enqueue(run->executor, &request, &id) == TN_OK;
}

static bool take(bench_run *run, const tn_response *response, int64_t now_ns) {
    size_t index = (size_t)tn_response_client_id(response), count;
    tn_bench_record *record = &run->records[index];
    if (tn_response_error(response) != NULL) {
        tn_cli_fail("request %zu (task %lld) failed: %s", index, (long long)run->dataset->requests[index].task_id,
                    tn_response_error(response));
        return false;
    }
    (void)tn_response_ids(response, &count);
    if (record->num_output == 0) record->first_token_ns = now_ns;
    /* With beams each response has all tokens so far; counted are those of the best beam. */
    record->num_output = run->args->beam_width > 1 ? (int32_t)count : record->num_output + (int32_t)count;
    if (!tn_response_is_final(response)) return true;
    record->num_input = run->dataset->requests[index].num_ids;
    record->end_ns = now_ns;
    run->num_lowered += tn_response_max_tokens(response) < run->dataset->requests[index].output_tokens;
    run->num_done++;
    return send_next(run);
}

static void log_iterations(const bench_run *run) {
    tn_iteration_stats stats;
    char json[TN_ITERATION_STATS_JSON_SIZE];
    while (run->iterations != NULL && tn_executor_take_iteration_stats(run->executor, &stats) == TN_OK) {
        tn_iteration_stats_to_json(&stats, json, sizeof json);
        fprintf(run->iterations, "%s\n", json);
    }
}

static bool run_requests(bench_run *run) {
    enum { MAX_RESPONSES = 256 };
    tn_response *responses[MAX_RESPONSES];
    size_t limit = run->args->concurrency > 0 ? (size_t)run->args->concurrency : run->num_requests, count;
    bool is_ok = run->num_requests == 0 || send_first(run, limit < run->num_requests ? limit : run->num_requests);
    while (is_ok && run->num_done < run->num_requests) {
        is_ok = tn_executor_await_all_ready(run->executor, TN_FOREVER, responses, MAX_RESPONSES, &count) == TN_OK;
        int64_t now_ns = tn_now_ns();
        for (size_t i = 0; i < count; i++) {
            is_ok = is_ok && take(run, responses[i], now_ns);
            tn_response_destroy(responses[i]);
        }
        if (is_ok) tn_bench_progress_show(&run->progress, run->num_done, run->num_requests, now_ns);
        log_iterations(run);
    }
    return is_ok;
}

static bool measure(tn_session *session, const bench_args *args, const tn_dataset *dataset, FILE *iterations, tn_bench_record *records) {
    bench_run run = {.executor = session->executor,
                     .args = args,
                     .dataset = dataset,
                     .num_requests = (size_t)args->num_warmups < dataset->num_requests ? (size_t)args->num_warmups : dataset->num_requests,
                     .cache_salt = 1,
                     .records = records,
                     .iterations = iterations,
                     .progress = {.phase = "warm-up", .is_shown = isatty(STDERR_FILENO)}};
    if (!run_requests(&run)) return false;
    memset(records, 0, dataset->num_requests * sizeof *records);
    run = (bench_run){.executor = session->executor,
                      .args = args,
                      .dataset = dataset,
                      .num_requests = dataset->num_requests,
                      .records = records,
                      .iterations = iterations,
                      .progress = {.phase = "benchmark", .is_shown = isatty(STDERR_FILENO)}};
    if (!run_requests(&run)) return false;
    tn_executor_info info;
    tn_executor_get_info(session->executor, &info);
    if (run.num_lowered > 0)
        fprintf(stderr, "tenon: %zu answers are shorter than asked for: prompt and answer together may have %lld tokens (--max-seq-len)\n",
                run.num_lowered, (long long)info.max_seq_len);
    return true;
}

/* --- reporting ---------------------------------------------------------------------------------------------------------------- */

static bool write_requests(const char *path, const tn_dataset *dataset, const tn_bench_record *records, bool is_streaming) {
    tn_text text = {0};
    int64_t first_ns = records[0].begin_ns;
    for (size_t i = 0; i < dataset->num_requests; i++) {
        tn_text_append_format(&text,
                              "%s{\"task_id\": %lld, \"num_input_tokens\": %d, \"num_output_tokens\": %d, \"start_ms\": %.6f, "
                              "\"latency_ms\": %.6f",
                              i == 0 ? "[" : ",\n ", (long long)dataset->requests[i].task_id, (int)records[i].num_input,
                              (int)records[i].num_output, (double)(records[i].begin_ns - first_ns) * 1e-6,
                              (double)(records[i].end_ns - records[i].begin_ns) * 1e-6);
        if (is_streaming)
            tn_text_append_format(&text, ", \"ttft_ms\": %.6f", (double)(records[i].first_token_ns - records[i].begin_ns) * 1e-6);
        tn_text_append_string(&text, "}");
    }
    tn_text_append_string(&text, "]\n");
    bool is_written = tn_bench_write_text(path, &text);
    tn_text_deinit(&text);
    return is_written;
}

static const char *policy_name(tn_capacity_policy policy) {
    static const char *const names[] = {"MAX_UTILIZATION", "GUARANTEED_NO_EVICT", "STATIC_BATCH"};
    return names[policy];
}

static const char *cache_dtype_name(const tn_engine *engine) {
    for (int i = 0; i < tn_engine_num_states(engine); i++)
        if (strcmp(tn_engine_get_state(engine, i)->kind, "kv") == 0)
            return tn_dtype_get_info(tn_engine_get_state(engine, i)->kv.dtype)->name;
    return NULL;
}

static bool report(const tn_session *session, const bench_args *args, const tn_executor_options *options, const tn_dataset *dataset,
                   const tn_bench_record *records) {
    tn_executor_info info;
    tn_executor_get_info(session->executor, &info);
    const char *dataset_path = args->dataset == NULL ? "random" : strcmp(args->dataset, "-") == 0 ? "standard input" : args->dataset;
    const char *name = strrchr(args->engine.path, '/');
    tn_bench_setting setting = {
        .model = name != NULL && name[1] != '\0' ? name + 1 : args->engine.path,
        .model_path = args->engine.is_dummy ? NULL : args->engine.path,
        .engine_dir = session->plan == NULL ? session->engine_directory : NULL,
        .backend = session->device->backend->name,
        .dtype = args->engine.model.float_dtype != TN_DTYPE_NONE ? tn_dtype_get_info(args->engine.model.float_dtype)->name : "as stored",
        .kv_cache_dtype = cache_dtype_name(session->engine),
        .max_sequence_length = info.max_seq_len,
        .machine = tn_device_description(session->device),
        .memory_gib = (double)session->device->info.memory_bytes / (double)(1 << 30),
        .max_batch_size = options->max_batch_size > 0 ? options->max_batch_size : info.max_batch_size,
        .max_num_tokens = options->max_num_tokens > 0 ? options->max_num_tokens : info.max_num_tokens,
        .scheduling_policy = policy_name(args->policy),
        .kv_cache_percentage = args->cache_fraction * 100.0,
        .dataset_path = dataset_path,
    };
    tn_json *model = NULL;
    const char *text = tn_engine_model_info(session->engine);
    if (tn_json_parse("the plan's model", text, strlen(text), NULL, NULL, NULL, &model) != TN_OK) return false;
    tn_bench_summary summary;
    bool is_ok = tn_json_get_string_or(tn_json_root(model), "activations", NULL, NULL, &setting.quantization) == TN_OK &&
                 tn_bench_summarize(records, dataset->num_requests, args->is_streaming, &summary) == TN_OK;
    if (is_ok) tn_bench_report_print(&setting, &summary, stdout);
    if (is_ok && args->report_path != NULL) {
        tn_text json = {0};
        tn_bench_report_json(&setting, &summary, &json);
        is_ok = tn_bench_write_text(args->report_path, &json);
        tn_text_deinit(&json);
    }
    tn_json_destroy(model);
    if (is_ok && args->requests_path != NULL) is_ok = write_requests(args->requests_path, dataset, records, args->is_streaming);
    return is_ok;
}

/* --- both verbs --------------------------------------------------------------------------------------------------------------- */

static bool read_dataset(const tn_session *session, const bench_args *args, tn_dataset *out_dataset) {
    tn_executor_info info;
    tn_executor_get_info(session->executor, &info);
    if (args->dataset == NULL) return tn_dataset_generate(&args->shape, info.vocab_size, NULL, NULL, out_dataset) == TN_OK;
    tn_dataset_options options = {.tokenizer = session->tokenizer, .vocab_size = info.vocab_size, .max_requests = args->shape.num_requests};
    if (strcmp(args->dataset, "-") != 0) return tn_dataset_load(args->dataset, &options, out_dataset) == TN_OK;
    size_t size;
    char *text = tn_cli_read_stdin(&size);
    bool is_read = text != NULL && tn_dataset_parse("standard input", text, size, &options, out_dataset) == TN_OK;
    free(text);
    return is_read;
}

static void complete_args(bench_args *args) {
    tn_model_options *model = &args->engine.model;
    if (args->dataset == NULL && args->shape.num_requests == 0) args->shape.num_requests = args->is_latency ? 10 : 100;
    /* A shape's own context is long, and its cache would take all the memory there is. */
    if (args->engine.is_dummy && args->dataset == NULL && model->max_seq_len == 0)
        model->max_seq_len = (tn_dataset_shape_longest(&args->shape) + 255) / 256 * 256;
}

static void fill_executor_options(const bench_args *args, tn_executor_options *options) {
    tn_executor_options_init(options);
    options->max_batch_size = args->is_latency ? 1 : (int32_t)args->engine.model.max_batch_size;
    options->max_num_tokens = (int32_t)args->engine.model.max_num_tokens;
    options->max_cache_tokens = args->max_cache_tokens;
    options->cache_memory_fraction = args->cache_fraction;
    options->enable_block_reuse = args->enable_block_reuse;
    options->enable_chunked_context = args->allow_chunks;
    options->capacity_policy = args->policy;
    options->max_beam_width = args->beam_width;
    options->iter_stats_max_iterations = args->iterations_path != NULL ? 1 << 16 : 0;
}

static int run_verb(const bench_args *args) {
    tn_executor_options options;
    fill_executor_options(args, &options);
    tn_session session = {0};
    tn_dataset dataset = {0};
    tn_bench_record *records = NULL;
    FILE *iterations = args->iterations_path != NULL ? fopen(args->iterations_path, "wb") : NULL;
    bool is_ok = false;
    if (args->iterations_path != NULL && iterations == NULL) {
        tn_cli_fail("cannot create %s: %m", args->iterations_path);
        goto cleanup;
    }
    if (!tn_session_open(&session, &args->engine)) goto cleanup;
    tn_session_save(&session);
    if (!tn_session_start_executor(&session, &options) || !read_dataset(&session, args, &dataset)) goto cleanup;
    records = tn_alloc_array(NULL, dataset.num_requests, sizeof *records);
    if (records == NULL) tn_cli_fail("out of memory: the times of %zu requests", dataset.num_requests);
    is_ok =
        records != NULL && measure(&session, args, &dataset, iterations, records) && report(&session, args, &options, &dataset, records);

cleanup:
    if (iterations != NULL && fclose(iterations) != 0 && is_ok) {
        tn_cli_fail("cannot write %s: %m", args->iterations_path);
        is_ok = false;
    }
    tn_session_close(&session);
    tn_dataset_deinit(&dataset);
    tn_free(NULL, records);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}

static const struct argp common_argp = {.options = common_options, .parser = parse_common};
static const struct argp_child children[] = {{&common_argp, 0, 0, 0}, {&tn_engine_argp, 0, 0, 0}, {0}};

static void init_args(bench_args *args) {
    *args = (bench_args){.shape = {.input_mean = 128.0, .output_mean = 128.0},
                         .num_warmups = 2,
                         .concurrency = -1,
                         .beam_width = 1,
                         .end_id = -1,
                         .cache_fraction = 0.9,
                         .policy = TN_GUARANTEED_NO_EVICT,
                         .allow_chunks = true};
    tn_engine_args_init(&args->engine);
}

int tn_bench_throughput(int argc, char **argv) {
    static const struct argp argp = {throughput_options,
                                     parse_verb,
                                     "MODEL",
                                     "Measure tokens a second of many requests, all there from the start.\n"
                                     "Options, dataset and report are trtllm-bench's.",
                                     children,
                                     0,
                                     0};
    bench_args args;
    init_args(&args);
    put_hyphens(argc, argv);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    complete_args(&args);
    return run_verb(&args);
}

int tn_bench_latency(int argc, char **argv) {
    static const struct argp argp = {
        NULL,     parse_verb, "MODEL", "Measure the times of requests one after another.\nOptions, dataset and report are trtllm-bench's.",
        children, 0,          0};
    bench_args args;
    init_args(&args);
    args.is_latency = args.is_streaming = true;
    args.allow_chunks = false;
    args.concurrency = 1;
    put_hyphens(argc, argv);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    complete_args(&args);
    return run_verb(&args);
}
