/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect.c: `tenon inspect MODEL|ENGINE`: what a plan holds: functions, steps with their tactics, weights, memory.
 */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/inspect_export.h"
#include "cli/inspect_time.h"
#include "cli/session.h"
#include "format/json.h"
#include "plan/plan.h"

typedef struct inspect_args {
    tn_engine_args engine;
    bool is_json, shows_why, is_timed, is_dot;
    const char *onnx_path, *html_path;
    tn_time_args time;
    const char *time_option; /* the last one given that only --time knows */
} inspect_args;

enum { OPTION_JSON = 1024, OPTION_WHY, OPTION_TIME, OPTION_TOKENS, OPTION_SEQUENCES, OPTION_CONTEXT, OPTION_DOT, OPTION_ONNX, OPTION_HTML };

static const struct argp_option options[] = {
    {"why", OPTION_WHY, 0, 0, "the tactics that were refused, and why", 0},
    {"time", OPTION_TIME, 0, 0, "run it: time, bytes and arithmetic of each step against what this machine can do", 0},
    {"sequences", OPTION_SEQUENCES, "N", 0, "--time: of the decode step; default 1", 0},
    {"context", OPTION_CONTEXT, "N", 0, "--time: tokens in the cache of each sequence; default 512", 0},
    {"tokens", OPTION_TOKENS, "N", 0, "--time: a prefill of so many tokens in place of a decode step", 0},
    {"html", OPTION_HTML, "FILE", 0, "write one page: the graph, --time against this machine's ceilings, refused tactics, weights", 0},
    {"dot", OPTION_DOT, 0, 0, "the graph of the steps for Graphviz", 0},
    {"onnx", OPTION_ONNX, "FILE", 0, "write the first function's graph as an ONNX file for viewers; it holds no weights and cannot be run",
     0},
    {"json", OPTION_JSON, 0, 0, "everything, as one JSON object", 0},
    {0},
};

static void check_options(struct argp_state *state, const inspect_args *args) {
    const tn_time_args *time = &args->time;
    if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
    if (args->time_option != NULL && !args->is_timed && args->html_path == NULL)
        argp_error(state, "%s goes with --time or --html", args->time_option);
    if (args->is_dot + args->is_json + args->shows_why + (args->onnx_path != NULL) + (args->html_path != NULL) > 1)
        argp_error(state, "--json, --why, --dot, --onnx and --html do not go together");
    if (args->is_timed && (args->is_dot || args->onnx_path != NULL)) argp_error(state, "--time goes with neither --dot nor --onnx");
    if (args->shows_why && args->is_timed) argp_error(state, "--why and --time do not go together");
    if (time->num_tokens > 0 && (time->num_seqs > 0 || time->num_cached >= 0))
        argp_error(state, "--tokens measures a prefill of one sequence from an empty cache: it takes no --sequences and no --context");
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    inspect_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->engine; return 0;
    case OPTION_JSON: args->is_json = true; return 0;
    case OPTION_WHY: args->shows_why = true; return 0;
    case OPTION_TIME: args->is_timed = true; return 0;
    case OPTION_DOT: args->is_dot = true; return 0;
    case OPTION_ONNX: args->onnx_path = value; return 0;
    case OPTION_HTML: args->html_path = value; return 0;
    case OPTION_TOKENS: args->time.num_tokens = tn_cli_integer(state, args->time_option = "--tokens", value, 1, 1 << 20); return 0;
    case OPTION_SEQUENCES: args->time.num_seqs = tn_cli_integer(state, args->time_option = "--sequences", value, 1, 1 << 16); return 0;
    case OPTION_CONTEXT: args->time.num_cached = tn_cli_integer(state, args->time_option = "--context", value, 0, 1 << 24); return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "too many arguments");
        args->engine.path = value;
        return 0;
    case ARGP_KEY_END: check_options(state, args); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const char *step_kind(uint32_t kind) {
    switch (kind) {
    case TN_STEP_LAUNCH: return "launch";
    case TN_STEP_COPY: return "copy";
    case TN_STEP_READ_SYMBOL: return "read_symbol";
    case TN_STEP_LOOP: return "loop";
    default: return "?";
    }
}

static void print_variants(const tn_plan_view *view, const tn_plan_step *step) {
    for (uint32_t i = 0; i < step->num_variants; i++) {
        const tn_plan_variant *variant = &view->variants[step->first_variant + i];
        char bytes[32];
        printf("        %lld..%lld  %s v%u", (long long)variant->bucket_min, (long long)variant->bucket_max,
               tn_plan_string(view, variant->tactic), variant->tactic_version);
        if (variant->workspace_bytes > 0) printf("  (workspace %s)", tn_format_bytes(variant->workspace_bytes, bytes));
        putchar('\n');
    }
}

static void print_function(const tn_plan_view *view, const tn_plan_function *function) {
    printf("\nfunction %s: %u steps\n", tn_plan_string(view, function->name), function->num_steps);
    for (uint32_t i = 0; i < function->num_tensors; i++) {
        const tn_plan_tensor *tensor = &view->tensors[function->first_tensor + i];
        if (tensor->space != TN_SPACE_INPUT && tensor->space != TN_SPACE_OUTPUT) continue;
        printf("  %-6s %s %s, rank %u\n", tensor->space == TN_SPACE_INPUT ? "input" : "output", tn_plan_string(view, tensor->name),
               tn_plan_string(view, tensor->dtype), tensor->rank);
    }
    for (uint32_t i = 0; i < function->num_steps; i++) {
        const tn_plan_step *step = &view->steps[function->first_step + i];
        printf("  %4u %-6s %s%s\n        %s\n", i, step_kind(step->kind), tn_plan_string(view, step->name),
               step->device == 0 ? " (host)" : "", tn_plan_string(view, step->problem));
        print_variants(view, step);
    }
}

static void print_weights(const tn_plan_view *view) {
    uint64_t total = 0;
    puts("\nweights");
    for (uint32_t i = 0; i < view->num_weights; i++) {
        const tn_plan_weight *weight = &view->weights[i];
        char bytes[32];
        printf("  %-40s %s, layout %s v%u, %s%s\n", tn_plan_string(view, weight->name), tn_plan_string(view, weight->encoding),
               tn_plan_string(view, weight->layout), weight->layout_version, tn_format_bytes(weight->size, bytes),
               weight->storage == TN_WEIGHT_EXTERNAL   ? ", in the model file"
               : weight->storage == TN_WEIGHT_STRIPPED ? ", stripped"
                                                       : "");
        total += weight->size;
    }
    char bytes[32];
    printf("  %u weights, %s\n", view->num_weights, tn_format_bytes(total, bytes));
}

static void print_states(const tn_plan_view *view) {
    for (uint32_t i = 0; i < view->num_states; i++) {
        const tn_plan_state *state = &view->states[i];
        if (strcmp(tn_plan_string(view, state->kind), "kv") == 0)
            printf("state %s: cache of %lld layers, %lld heads of %lld and %lld, %s, blocks of %lld tokens\n",
                   tn_plan_string(view, state->name), (long long)state->num_layers, (long long)state->num_kv_heads, (long long)state->k_dim,
                   (long long)state->v_dim, tn_plan_string(view, state->dtype), (long long)state->tokens_per_block);
        else
            printf("state %s: %s of %lld tokens, vocabulary %lld\n", tn_plan_string(view, state->name), tn_plan_string(view, state->kind),
                   (long long)state->max_seq_len, (long long)state->vocab_size);
    }
}

/* META's "refused": [{"problem": …, "tactics": [{"name": …, "reason": …}]}] */
static bool print_refusals(const tn_plan_view *view) {
    tn_json *json;
    if (tn_json_parse("the plan's notes", view->meta, strlen(view->meta), NULL, NULL, NULL, &json) != TN_OK) return false;
    const tn_json_value *problems = tn_json_find(tn_json_root(json), "refused");
    bool is_ok = true;
    for (size_t i = 0; problems != NULL && is_ok && i < tn_json_count(problems); i++) {
        const tn_json_value *entry = tn_json_at(problems, i), *tactics = tn_json_find(entry, "tactics");
        const char *problem, *name, *reason;
        is_ok = tn_json_get_string(entry, "problem", NULL, &problem, NULL) == TN_OK;
        if (is_ok) printf("%s\n", problem);
        for (size_t k = 0; tactics != NULL && is_ok && k < tn_json_count(tactics); k++) {
            is_ok = tn_json_get_string(tn_json_at(tactics, k), "name", NULL, &name, NULL) == TN_OK &&
                    tn_json_get_string(tn_json_at(tactics, k), "reason", NULL, &reason, NULL) == TN_OK;
            if (is_ok) printf("    %-36s %s\n", name, reason);
        }
    }
    tn_json_destroy(json);
    return is_ok;
}

static bool export_graph(const tn_plan_view *view, const inspect_args *args) {
    tn_text text = {0};
    bool is_ok = true;
    if (args->is_dot) {
        tn_export_dot(view, &text);
        is_ok = !text.failed && fputs(text.data, stdout) >= 0;
    } else {
        tn_export_onnx(view, &text);
        is_ok = tn_export_write(args->onnx_path, &text);
    }
    tn_text_deinit(&text);
    return is_ok;
}

static bool inspect(const tn_plan *plan, const inspect_args *args) {
    if (args->is_json) {
        char *json;
        if (tn_plan_inspect(plan, NULL, &json) != TN_OK) return false;
        puts(json);
        tn_string_free(json);
        return true;
    }
    const tn_plan_view *view = tn_plan_get_view(plan);
    if (args->is_dot || args->onnx_path != NULL) return export_graph(view, args);
    if (args->shows_why) return print_refusals(view);
    char bytes[32];
    printf("plan for %s, built by tenon %s, %s\n", view->header->backend, view->header->builder_version,
           tn_format_bytes(view->header->file_bytes, bytes));
    print_states(view);
    for (uint32_t i = 0; i < view->num_functions; i++) print_function(view, &view->functions[i]);
    print_weights(view);
    return true;
}

/* An engine directory's plan as it is; a model is built first (or taken from the cache). */
static tn_plan *open_plan(tn_session *session, const inspect_args *args) {
    char *plan_path = tn_path_join(NULL, args->engine.path, "rank0.plan");
    tn_plan *plan = NULL;
    bool is_engine = plan_path != NULL && tn_path_exists(plan_path);
    if (is_engine) {
        if (tn_plan_load(plan_path, NULL, &plan) != TN_OK) plan = NULL;
    } else if (tn_session_open_device(session, &args->engine) && !tn_session_build(session, NULL, &plan)) {
        plan = NULL;
    }
    tn_free(NULL, plan_path);
    return plan;
}

/* Steps are timed in the engine that the other verbs would run. */
static bool time_steps(tn_session *session, const inspect_args *args) {
    if (!tn_session_open(session, &args->engine)) return false;
    tn_session_save(session);
    return tn_inspect_time(session, &args->time);
}

static bool write_page(tn_session *session, inspect_args *args) {
    tn_text time = {0}, page = {0};
    args->time.json = &time;
    bool is_ok = tn_session_open(session, &args->engine);
    if (is_ok) {
        tn_session_save(session);
        is_ok = tn_inspect_time(session, &args->time) && !time.failed && tn_export_page(session->engine->plan, time.data, &page) &&
                tn_export_write(args->html_path, &page);
    }
    tn_text_deinit(&time);
    tn_text_deinit(&page);
    return is_ok;
}

static bool show(tn_session *session, const inspect_args *args) {
    tn_plan *plan = open_plan(session, args);
    bool is_ok = plan != NULL && inspect(plan, args);
    tn_plan_destroy(plan);
    return is_ok;
}

int tn_verb_inspect(int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {0}};
    static const struct argp argp = {
        options, parse_option, "MODEL|ENGINE", "Show what a plan holds, or how long its steps take.", children, 0, 0};
    inspect_args args = {.time = {.num_cached = -1}};
    tn_engine_args_init(&args.engine);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    args.time.is_json = args.is_json;
    tn_session session = {0};
    bool is_ok = args.html_path != NULL ? write_page(&session, &args) : args.is_timed ? time_steps(&session, &args) : show(&session, &args);
    tn_session_close(&session);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
