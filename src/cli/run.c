/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: `tenon run MODEL [PROMPT]`: one prompt, one answer, streamed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "base/thread.h"
#include "cli/npy.h"
#include "cli/prompt.h"

typedef struct run_args {
    tn_engine_args engine;
    tn_answer_args answer;
    const char *prompt, *logits_path;
    int32_t *ids; /* of --ids */
    size_t num_ids;
    int32_t num_log_probs, chunk_tokens;
    bool is_raw, is_chat, is_json;
} run_args;

enum { OPTION_IDS = 1024, OPTION_RAW, OPTION_CHAT, OPTION_JSON, OPTION_LOG_PROBS, OPTION_LOGITS, OPTION_CHUNK };

static const struct argp_option options[] = {
    {"chat", OPTION_CHAT, 0, 0, "the prompt is a user's message (default where the model has a template)", 0},
    {"raw", OPTION_RAW, 0, 0, "the prompt is text as it is; special strings in it count", 0},
    {"ids", OPTION_IDS, "LIST", 0, "the prompt as token ids: 3,5,8", 0},
    {"json", OPTION_JSON, 0, 0, "print one JSON object when done", 0},
    {"log-probs", OPTION_LOG_PROBS, "K", 0, "with --json: of each token and of the K most likely", 0},
    {"logits", OPTION_LOGITS, "FILE", 0, "write the prompt positions' logits as FILE (.npy, float32)", 0},
    {"chunk-tokens", OPTION_CHUNK, "N", 0, "read the prompt in steps of at most N tokens", 0},
    {0},
};

static void parse_ids(struct argp_state *state, run_args *args, const char *text) {
    size_t count = 1;
    for (const char *c = text; *c != '\0'; c++) count += *c == ',';
    args->ids = calloc(count, sizeof *args->ids);
    for (const char *c = text; args->ids != NULL && args->num_ids < count;) {
        char *end;
        long long id = strtoll(c, &end, 10);
        if (end == c || id < 0 || id > INT32_MAX || (*end != ',' && *end != '\0'))
            argp_error(state, "--ids is '%s', must be token ids with commas between them", text);
        args->ids[args->num_ids++] = (int32_t)id;
        if (*end == '\0') break;
        c = end + 1;
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    run_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->engine;
        state->child_inputs[1] = &args->answer;
        return 0;
    case OPTION_IDS: parse_ids(state, args, value); return 0;
    case OPTION_RAW: args->is_raw = true; return 0;
    case OPTION_CHAT: args->is_chat = true; return 0;
    case OPTION_JSON: args->is_json = true; return 0;
    case OPTION_LOG_PROBS: args->num_log_probs = (int32_t)tn_cli_integer(state, "--log-probs", value, 0, 1 << 20); return 0;
    case OPTION_LOGITS: args->logits_path = value; return 0;
    case OPTION_CHUNK: args->chunk_tokens = (int32_t)tn_cli_integer(state, "--chunk-tokens", value, 1, 1 << 20); return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->engine.path = value;
        else if (state->arg_num == 1)
            args->prompt = value;
        else
            argp_error(state, "too many arguments: put the prompt in quotes");
        return 0;
    case ARGP_KEY_END:
        if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
        if (args->is_raw && args->is_chat) argp_error(state, "--raw and --chat exclude each other");
        if (args->ids != NULL && args->prompt != NULL) argp_error(state, "--ids and PROMPT exclude each other");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* The prompt's ids; malloc'ed by the tokenizer or args->ids. */
static bool make_prompt(const tn_session *session, const run_args *args, int32_t **out_ids, size_t *out_num_ids) {
    if (args->ids != NULL) {
        *out_ids = args->ids;
        *out_num_ids = args->num_ids;
        return true;
    }
    if (session->tokenizer == NULL) {
        tn_cli_fail("this model has no tokenizer\n  give the prompt as --ids 3,5,8");
        return false;
    }
    char *input = NULL;
    const char *prompt = args->prompt;
    size_t size = prompt != NULL ? strlen(prompt) : 0;
    if (prompt == NULL) {
        prompt = input = tn_cli_read_stdin(&size);
        if (input == NULL) return false;
        while (size > 0 && !args->is_raw && (input[size - 1] == '\n' || input[size - 1] == '\r')) size--;
    }
    size_t template_size;
    bool has_template = tn_tokenizer_chat_template(session->tokenizer, &template_size) != NULL;
    bool is_chat = args->is_chat || (!args->is_raw && has_template);
    tn_chat_message message = {.role = "user", .content = prompt, .content_size_bytes = size};
    bool is_made = is_chat ? tn_prompt_from_chat(session->tokenizer, &message, 1, out_ids, out_num_ids)
                           : tn_prompt_from_text(session->tokenizer, prompt, size, out_ids, out_num_ids);
    free(input);
    if (is_made && *out_num_ids == 0) {
        tn_cli_fail("the prompt is empty");
        tn_tokenizer_free(session->tokenizer, *out_ids);
        is_made = false;
    }
    return is_made;
}

/* --- printing ------------------------------------------------------------------------------------------------------------------- */

static void print_ids(tn_text *text, const char *name, const int32_t *ids, size_t count) {
    tn_text_append_format(text, "\"%s\": [", name);
    for (size_t i = 0; i < count; i++) tn_text_append_format(text, "%s%d", i > 0 ? ", " : "", (int)ids[i]);
    tn_text_append_string(text, "], ");
}

static void print_log_probs(tn_text *text, const tn_response *response, size_t num_tokens) {
    tn_text_append_string(text, "\"log_probs\": [");
    for (size_t i = 0; i < num_tokens; i++) {
        size_t count;
        const tn_log_prob *log_probs = tn_response_log_probs(response, i, &count);
        tn_text_append_string(text, i > 0 ? ", [" : "[");
        for (size_t k = 0; k < count; k++)
            tn_text_append_format(text, "%s[%d, %.7g]", k > 0 ? ", " : "", (int)log_probs[k].id, (double)log_probs[k].value);
        tn_text_append_char(text, ']');
    }
    tn_text_append_string(text, "], ");
}

static bool print_json(const tn_session *session, const run_args *args, const int32_t *ids, size_t num_ids, const tn_response *response) {
    tn_text text = {0};
    size_t count;
    const int32_t *output = tn_response_ids(response, &count);
    tn_text_append_char(&text, '{');
    print_ids(&text, "prompt_ids", ids, num_ids);
    print_ids(&text, "output_ids", output, count);
    char *answer = NULL;
    size_t size = 0;
    if (session->tokenizer != NULL && tn_tokenizer_decode(session->tokenizer, output, count, true, NULL, &answer, &size) != TN_OK)
        return false;
    tn_text_append_string(&text, "\"text\": ");
    tn_text_append_json_string(&text, answer != NULL ? answer : "", size);
    if (session->tokenizer != NULL) tn_tokenizer_free(session->tokenizer, answer);
    tn_text_append_format(&text, ", \"finish_reason\": \"%s\", ", tn_finish_reason_name(tn_response_finish_reason(response)));
    if (args->num_log_probs >= 0) print_log_probs(&text, response, count);
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    double prefill = (double)(timings.first_token_ns - timings.queued_ns) * 1e-9,
           decode = (double)(timings.last_token_ns - timings.first_token_ns) * 1e-9;
    tn_text_append_format(&text,
                          "\"timings\": {\"load_s\": %.4f, \"build_s\": %.4f, \"prefill_s\": %.6f, \"decode_s\": %.6f, "
                          "\"prompt_tokens\": %d, \"generated_tokens\": %zu}}",
                          (double)session->load_ns * 1e-9, (double)session->build_ns * 1e-9, prefill, decode,
                          (int)timings.num_prompt_tokens, count);
    if (!text.failed) puts(text.data);
    bool is_printed = !text.failed;
    tn_text_deinit(&text);
    return is_printed;
}

static void print_statistics(const tn_session *session, const tn_response *response, size_t num_generated) {
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    double prefill = (double)(timings.first_token_ns - timings.queued_ns) * 1e-9,
           decode = (double)(timings.last_token_ns - timings.first_token_ns) * 1e-9;
    fprintf(stderr, "\n%d prompt tokens in %.3f s (%.1f/s), %zu tokens in %.3f s (%.1f/s), %.2f s in all, ended by %s\n",
            (int)timings.num_prompt_tokens, prefill, (double)timings.num_prompt_tokens / prefill, num_generated, decode,
            num_generated > 1 ? (double)(num_generated - 1) / decode : 0.0, (double)(tn_now_ns() - session->start_ns) * 1e-9,
            tn_finish_reason_name(tn_response_finish_reason(response)));
}

/* Text as it comes; without a tokenizer, ids. */
static bool stream_answer(tn_session *session, const run_args *args, uint64_t id) {
    tn_detokenizer *detokenizer = NULL;
    if (session->tokenizer != NULL && tn_detokenizer_create(session->tokenizer, NULL, &detokenizer) != TN_OK) return false;
    bool is_done = false, is_ok = true;
    size_t num_generated = 0;
    const char *piece;
    size_t size;
    while (!is_done && is_ok) {
        tn_response *response;
        if (tn_executor_await(session->executor, id, TN_FOREVER, &response) != TN_OK) break;
        size_t count;
        const int32_t *ids = tn_response_ids(response, &count);
        for (size_t i = 0; i < count && is_ok; i++) {
            num_generated++;
            if (detokenizer == NULL)
                printf("%s%d", num_generated > 1 ? "," : "", (int)ids[i]);
            else if ((is_ok = tn_detokenizer_push(detokenizer, ids[i], &piece, &size) == TN_OK))
                fwrite(piece, 1, size, stdout);
        }
        fflush(stdout);
        is_done = tn_response_is_final(response);
        if (is_done && tn_response_error(response) != NULL) is_ok = tn_cli_fail("%s", tn_response_error(response)) == TN_EXIT_OK;
        if (is_done && is_ok && detokenizer != NULL && tn_detokenizer_finish(detokenizer, &piece, &size) == TN_OK)
            fwrite(piece, 1, size, stdout);
        if (is_done) putchar('\n');
        fflush(stdout);
        if (is_done && args->engine.verbose) print_statistics(session, response, num_generated);
        tn_response_destroy(response);
    }
    tn_detokenizer_destroy(detokenizer);
    return is_done && is_ok;
}

static bool whole_answer(tn_session *session, const run_args *args, const int32_t *ids, size_t num_ids, uint64_t id) {
    tn_response *response;
    if (tn_executor_await(session->executor, id, TN_FOREVER, &response) != TN_OK) return false;
    bool is_ok = true;
    if (tn_response_error(response) != NULL) is_ok = tn_cli_fail("%s", tn_response_error(response)) == TN_EXIT_OK;
    tn_executor_info info;
    tn_executor_get_info(session->executor, &info);
    if (is_ok && args->logits_path != NULL)
        is_ok = tn_npy_write(args->logits_path, tn_response_context_logits(response), (int64_t)num_ids, info.vocab_size);
    if (is_ok) is_ok = print_json(session, args, ids, num_ids, response);
    tn_response_destroy(response);
    return is_ok;
}

static bool answer(tn_session *session, const run_args *args) {
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_batch_size = 1;
    executor.max_chunk_tokens = args->chunk_tokens;
    executor.enable_block_reuse = false;
    int32_t *ids = NULL;
    size_t num_ids = 0;
    if (!tn_session_start_executor(session, &executor) || !make_prompt(session, args, &ids, &num_ids)) return false;
    tn_request request;
    tn_prompt_request(session, &args->answer, ids, num_ids, &request);
    bool is_streaming = !args->is_json && args->logits_path == NULL;
    request.streaming = is_streaming;
    request.num_log_probs = args->num_log_probs;
    request.return_context_logits = args->logits_path != NULL;
    uint64_t id;
    bool is_ok = tn_executor_enqueue(session->executor, &request, &id) == TN_OK;
    if (is_ok) is_ok = is_streaming ? stream_answer(session, args, id) : whole_answer(session, args, ids, num_ids, id);
    if (ids != args->ids) tn_tokenizer_free(session->tokenizer, ids);
    return is_ok;
}

int tn_verb_run(int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {&tn_answer_argp, 0, 0, 0}, {0}};
    static const struct argp argp = {
        options, parse_option, "MODEL [PROMPT]", "Answer a prompt. Without PROMPT it is read from standard input.", children, 0, 0};
    run_args args = {.num_log_probs = -1};
    tn_engine_args_init(&args.engine);
    tn_answer_args_init(&args.answer);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    tn_session session;
    bool is_ok = tn_session_open(&session, &args.engine) && answer(&session, &args);
    if (session.engine != NULL) tn_session_save(&session);
    tn_session_close(&session);
    free(args.ids);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
