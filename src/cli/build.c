/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c: `tenon build MODEL -o DIR`: an engine directory; `tenon build --retune DIR`: kernels chosen again for this machine.
 */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/session.h"

typedef struct build_args {
    tn_engine_args engine;
    const char *output, *retune;
} build_args;

enum { OPTION_RETUNE = 1024, OPTION_EXTERNAL };

static const struct argp_option options[] = {
    {"output", 'o', "DIR", 0, "the engine directory to make", 0},
    {"retune", OPTION_RETUNE, "DIR", 0, "choose kernels again for this machine; weights stay as they are", 0},
    {"external-weights", OPTION_EXTERNAL, 0, 0, "leave weights in the model file where their bytes can be used as they are", 0},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    build_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->engine; return 0;
    case 'o': args->output = value; return 0;
    case OPTION_RETUNE: args->retune = value; return 0;
    case OPTION_EXTERNAL: args->engine.external_weights = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "too many arguments");
        args->engine.path = value;
        return 0;
    case ARGP_KEY_END:
        if (args->retune != NULL && (args->engine.path != NULL || args->output != NULL))
            argp_error(state, "--retune takes neither MODEL nor -o");
        if (args->retune == NULL && args->engine.path == NULL) argp_error(state, "MODEL is missing");
        if (args->retune == NULL && args->output == NULL) argp_error(state, "-o DIR is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static bool write_config(const char *directory, const build_args *args) {
    char *path = tn_path_join(NULL, directory, "config.json");
    tn_text text = {0};
    tn_text_append_string(&text, "{\"tenon\": \"" TN_VERSION "\", \"model\": ");
    tn_text_append_json_string(&text, args->engine.path, strlen(args->engine.path));
    tn_text_append_string(&text, ", \"device\": ");
    tn_text_append_json_string(&text, args->engine.device, strlen(args->engine.device));
    tn_text_append_string(&text, "}\n");
    tn_file_writer *writer = NULL;
    bool is_written = path != NULL && !text.failed && tn_file_writer_create(path, NULL, NULL, &writer) == TN_OK &&
                      tn_file_writer_write_at(writer, 0, text.data, text.size) == TN_OK && tn_file_writer_commit(writer) == TN_OK;
    tn_file_writer_destroy(writer);
    tn_text_deinit(&text);
    tn_free(NULL, path);
    return is_written;
}

static bool build(tn_session *session, const build_args *args) {
    char *plan_path = tn_path_join(NULL, args->output, "rank0.plan"), *tokenizer_path = tn_path_join(NULL, args->output, "tokenizer.bin");
    tn_plan *plan = NULL;
    bool is_ok = plan_path != NULL && tokenizer_path != NULL && tn_make_directories(args->output, NULL) == TN_OK &&
                 tn_session_build(session, plan_path, &plan);
    if (is_ok && session->tokenizer != NULL) is_ok = tn_tokenizer_save(session->tokenizer, tokenizer_path, NULL) == TN_OK;
    if (is_ok) is_ok = write_config(args->output, args);
    if (is_ok) {
        char size[32];
        printf("%s: %s, built in %.2f s\n", args->output, tn_format_bytes(tn_plan_size_bytes(plan), size),
               (double)session->build_ns * 1e-9);
    }
    tn_plan_destroy(plan);
    tn_free(NULL, plan_path);
    tn_free(NULL, tokenizer_path);
    return is_ok;
}

static bool retune(tn_session *session, const build_args *args) {
    char *plan_path = tn_path_join(NULL, args->retune, "rank0.plan");
    bool is_ok = plan_path != NULL && tn_session_retune(session, plan_path);
    if (is_ok) printf("%s: retuned for %s\n", args->retune, tn_device_description(session->device));
    tn_free(NULL, plan_path);
    return is_ok;
}

int tn_verb_build(int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {0}};
    static const struct argp argp = {
        options, parse_option, "MODEL -o DIR\n--retune DIR", "Make an engine directory from a model.", children, 0, 0};
    build_args args = {0};
    tn_engine_args_init(&args.engine);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    tn_session session;
    bool is_ok = tn_session_open_device(&session, &args.engine) && (args.retune != NULL ? retune(&session, &args) : build(&session, &args));
    tn_session_close(&session);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
