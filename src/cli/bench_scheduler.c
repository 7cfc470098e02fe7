/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_scheduler.c: `tenon bench scheduler MODEL`: what the host costs: µs of a step for each active request, on the null backend,
 * where a step computes nothing.
 *
 * All requests of a round are enqueued at once and generate the same number of tokens. Counted are the steps between the moment when
 * the last of them has its first token and the moment when the first of them ends: all are active in each. The time of those steps
 * is the executor's own (tn_perf_metrics) and holds all the loop does: planning, filling and launching the step, taking its tokens,
 * publishing. Scales with the requests, and a little with the model's layers, which are bound and launched once a step.
 *
 * On a busy machine that time holds what other processes took. The processor time does not: that of a round of twice the steps less
 * that of a round, both of all threads (the waiting client's too), so that reading prompts and ending cancels out.
 */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "cli/bench.h"
#include "cli/session.h"

enum { MAX_SIZES = 16, MAX_ACTIVE = 1 << 16, TOKENS_PER_STEP = 8192 };

typedef struct scheduler_args {
    tn_engine_args engine;
    int32_t sizes[MAX_SIZES], num_sizes, num_steps, num_rounds, num_prompt;
    bool is_streaming, is_json;
} scheduler_args;

enum { OPTION_ACTIVE = 1024, OPTION_STEPS, OPTION_ROUNDS, OPTION_PROMPT, OPTION_STREAMING, OPTION_JSON };

static const struct argp_option options[] = {
    {"active", OPTION_ACTIVE, "N,N…", 0, "numbers of active requests; default 1,64,256,2048", 0},
    {"steps", OPTION_STEPS, "N", 0, "in a round; default 100", 0},
    {"rounds", OPTION_ROUNDS, "N", 0, "default 5; the median and the fastest are shown", 0},
    {"prompt", OPTION_PROMPT, "N", 0, "tokens of each prompt; default 16", 0},
    {"streaming", OPTION_STREAMING, 0, 0, "hand out each token, as a server does", 0},
    {"json", OPTION_JSON, 0, 0, "print a list of objects", 0},
    {0},
};

static void parse_sizes(struct argp_state *state, scheduler_args *args, const char *value) {
    args->num_sizes = 0;
    for (const char *at = value;; at++) {
        char *end;
        long size = strtol(at, &end, 10);
        if (end == at || size < 1 || size > MAX_ACTIVE || (*end != ',' && *end != '\0') || args->num_sizes == MAX_SIZES)
            argp_error(state, "--active is '%s', must be at most %d numbers from 1 to %d with commas between them", value, MAX_SIZES,
                       MAX_ACTIVE);
        args->sizes[args->num_sizes++] = (int32_t)size;
        at = end;
        if (*at == '\0') return;
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    scheduler_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->engine; return 0;
    case OPTION_ACTIVE: parse_sizes(state, args, value); return 0;
    case OPTION_STEPS: args->num_steps = (int32_t)tn_cli_integer(state, "--steps", value, 1, 1 << 16); return 0;
    case OPTION_ROUNDS: args->num_rounds = (int32_t)tn_cli_integer(state, "--rounds", value, 1, 1000); return 0;
    case OPTION_PROMPT: args->num_prompt = (int32_t)tn_cli_integer(state, "--prompt", value, 1, TOKENS_PER_STEP); return 0;
    case OPTION_STREAMING: args->is_streaming = true; return 0;
    case OPTION_JSON: args->is_json = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "too many arguments");
        args->engine.path = value;
        return 0;
    case ARGP_KEY_END:
        if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Steps until all prompts of a round are read, and one more. */
static int32_t num_steps_before(const scheduler_args *args, int32_t num_active) {
    return (int32_t)((int64_t)num_active * args->num_prompt / (TOKENS_PER_STEP - num_active < 1024 ? 1024 : TOKENS_PER_STEP - num_active)) +
           2;
}

/* --- a round ------------------------------------------------------------------------------------------------------------------ */

/* When all requests were active, and in how many steps. */
typedef struct active_window {
    int64_t begin_ns, end_ns, first_iter, last_iter;
} active_window;

typedef struct round_shape {
    int32_t num_active, num_steps;
    uint32_t seed; /* of the prompts: no two rounds share blocks */
} round_shape;

static bool enqueue_all(tn_executor *executor, const scheduler_args *args, const round_shape *shape) {
    tn_executor_info info;
    tn_executor_get_info(executor, &info);
    size_t count = (size_t)shape->num_active, length = (size_t)args->num_prompt;
    int32_t *tokens = tn_alloc_array(NULL, count * length, sizeof *tokens);
    tn_request *requests = tn_alloc_array(NULL, count, sizeof *requests);
    uint64_t *ids = tn_alloc_array(NULL, count, sizeof *ids);
    bool is_ok = tokens != NULL && requests != NULL && ids != NULL;
    if (!is_ok) tn_cli_fail("out of memory: %d requests", (int)shape->num_active);
    uint32_t random = shape->seed;
    for (size_t i = 0; is_ok && i < count * length; i++) {
        random = random * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((random >> 8) % (uint32_t)info.vocab_size);
    }
    for (size_t i = 0; is_ok && i < count; i++) {
        tn_request_init(&requests[i], tokens + i * length, length, shape->num_steps + num_steps_before(args, shape->num_active));
        requests[i].streaming = args->is_streaming;
        requests[i].return_perf_metrics = true;
    }
    is_ok = is_ok && tn_executor_enqueue_many(executor, requests, count, NULL, ids) == TN_OK;
    tn_free(NULL, tokens);
    tn_free(NULL, requests);
    tn_free(NULL, ids);
    return is_ok;
}

static bool narrow(active_window *window, const tn_response *response) {
    tn_perf_metrics metrics;
    if (tn_response_error(response) != NULL) {
        tn_cli_fail("a request failed: %s", tn_response_error(response));
        return false;
    }
    if (!tn_response_is_final(response) || !tn_response_perf_metrics(response, &metrics)) return true;
    if (metrics.first_token_ns > window->begin_ns) window->begin_ns = metrics.first_token_ns;
    if (metrics.last_token_ns < window->end_ns) window->end_ns = metrics.last_token_ns;
    if (metrics.first_iter > window->first_iter) window->first_iter = metrics.first_iter;
    if (metrics.last_iter < window->last_iter) window->last_iter = metrics.last_iter;
    return true;
}

static double processor_us(void) {
    struct timespec now;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0 ? (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3 : 0.0;
}

typedef struct round_times {
    double step_us, processor_us; /* of one step when all are active; of the whole round */
} round_times;

static bool run_round(tn_executor *executor, const scheduler_args *args, const round_shape *shape, round_times *out_times) {
    enum { MAX_RESPONSES = 256 };
    tn_response *responses[MAX_RESPONSES];
    active_window window = {.end_ns = INT64_MAX, .last_iter = INT64_MAX};
    double begin_us = processor_us();
    bool is_ok = enqueue_all(executor, args, shape);
    for (int32_t num_done = 0; is_ok && num_done < shape->num_active;) {
        size_t count;
        is_ok = tn_executor_await_all_ready(executor, TN_FOREVER, responses, MAX_RESPONSES, &count) == TN_OK;
        for (size_t i = 0; i < count; i++) {
            num_done += tn_response_is_final(responses[i]);
            is_ok = is_ok && narrow(&window, responses[i]);
            tn_response_destroy(responses[i]);
        }
    }
    if (!is_ok) return false;
    int64_t num_steps = window.last_iter - window.first_iter;
    if (num_steps < 1) {
        tn_cli_fail("%d requests were never active together\n  ask for more --steps", (int)shape->num_active);
        return false;
    }
    *out_times = (round_times){(double)(window.end_ns - window.begin_ns) * 1e-3 / (double)num_steps, processor_us() - begin_us};
    return true;
}

/* --- all sizes ---------------------------------------------------------------------------------------------------------------- */

typedef struct step_timing {
    double median_us, fastest_us, processor_us; /* of a step */
} step_timing;

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* steps, once, twice: [num_rounds] of step times, processor times of rounds with num_steps, and with twice as many. */
static bool run_rounds(tn_executor *executor, const scheduler_args *args, int32_t num_active, double *steps, double *once, double *twice) {
    for (int32_t round = -1; round < args->num_rounds; round++) { /* the first warms up */
        round_times short_round, long_round;
        round_shape shape = {num_active, args->num_steps, 2 * (uint32_t)(round + 1)};
        if (!run_round(executor, args, &shape, &short_round)) return false;
        shape = (round_shape){num_active, 2 * args->num_steps, shape.seed + 1};
        if (!run_round(executor, args, &shape, &long_round)) return false;
        if (round < 0) continue;
        steps[round] = long_round.step_us;
        once[round] = short_round.processor_us;
        twice[round] = long_round.processor_us;
    }
    return true;
}

static bool measure(tn_session *session, const scheduler_args *args, int32_t num_active, step_timing *out_timing) {
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_batch_size = num_active;
    executor.iter_stats_max_iterations = 0;
    size_t count = (size_t)args->num_rounds;
    double *steps = tn_alloc_array(NULL, 3 * count, sizeof *steps);
    if (steps == NULL) {
        tn_cli_fail("out of memory: %zu rounds", count);
        return false;
    }
    double *once = steps + count, *twice = once + count;
    bool is_ok = tn_session_start_executor(session, &executor) && run_rounds(session->executor, args, num_active, steps, once, twice);
    tn_executor_destroy(session->executor);
    session->executor = NULL;
    if (is_ok) {
        qsort(steps, count, sizeof *steps, compare);
        qsort(once, count, sizeof *once, compare);
        qsort(twice, count, sizeof *twice, compare);
        *out_timing = (step_timing){steps[count / 2], steps[0], fmax(twice[count / 2] - once[count / 2], 0.0) / args->num_steps};
    }
    tn_free(NULL, steps);
    return is_ok;
}

static void print_timing(const scheduler_args *args, int32_t index, step_timing timing) {
    int32_t size = args->sizes[index];
    if (args->is_json) {
        printf("%s{\"active_requests\": %d, \"us_per_step\": %.4f, \"us_per_request_step\": %.5f, \"fastest_us_per_request_step\": %.5f, "
               "\"processor_us_per_request_step\": %.5f, "
               "\"steps\": %d, \"rounds\": %d, \"streaming\": %s}%s",
               index == 0 ? "[" : ",\n ", (int)size, timing.median_us, timing.median_us / size, timing.fastest_us / size,
               timing.processor_us / size, (int)args->num_steps, (int)args->num_rounds, args->is_streaming ? "true" : "false",
               index == args->num_sizes - 1 ? "]\n" : "");
        return;
    }
    if (index == 0) {
        printf("| active requests | µs a step | µs a request and step | fastest round | processor time |\n");
        printf("| --------------: | --------: | --------------------: | ------------: | -------------: |\n");
    }
    printf("| %15d | %9.2f | %21.4f | %13.4f | %14.4f |\n", (int)size, timing.median_us, timing.median_us / size, timing.fastest_us / size,
           timing.processor_us / size);
    fflush(stdout);
}

static void size_engine(scheduler_args *args) {
    tn_model_options *model = &args->engine.model;
    int32_t largest = 0, longest = 0;
    for (int32_t i = 0; i < args->num_sizes; i++) {
        int32_t length = args->num_prompt + 2 * args->num_steps + num_steps_before(args, args->sizes[i]);
        if (args->sizes[i] > largest) largest = args->sizes[i];
        if (length > longest) longest = length;
    }
    args->engine.device = "null";
    args->engine.use_cache = false;
    args->engine.optimization_level = 0;
    model->max_batch_size = largest;
    model->max_num_tokens = largest > TOKENS_PER_STEP ? largest : TOKENS_PER_STEP;
    if (model->max_seq_len == 0) model->max_seq_len = longest;
}

int tn_bench_scheduler(int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {0}};
    static const struct argp argp = {
        options, parse_option, "MODEL", "Measure the host's work: µs for each active request and step. Nothing is computed.", children, 0,
        0};
    scheduler_args args = {.sizes = {1, 64, 256, 2048}, .num_sizes = 4, .num_steps = 100, .num_rounds = 5, .num_prompt = 16};
    tn_engine_args_init(&args.engine);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    size_engine(&args);
    tn_session session = {0};
    bool is_ok = tn_session_open(&session, &args.engine);
    for (int32_t i = 0; is_ok && i < args.num_sizes; i++) {
        step_timing timing;
        is_ok = measure(&session, &args, args.sizes[i], &timing);
        if (is_ok) print_timing(&args, i, timing);
    }
    tn_session_close(&session);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
