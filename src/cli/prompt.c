/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.c: sampling options and prompts.
 */
#include "cli/prompt.h"

#include <math.h>
#include <string.h>

#include "format/json.h"
#include "runtime/runtime.h"

void tn_answer_args_init(tn_answer_args *args) {
    tn_request defaults;
    tn_request_init(&defaults, NULL, 0, 1);
    *args = (tn_answer_args){.sampling = defaults.sampling};
    args->sampling.temperature = 0.0f;
}

enum {
    OPTION_TOP_K = 512,
    OPTION_TOP_P,
    OPTION_MIN_P,
    OPTION_SEED,
    OPTION_REPETITION,
    OPTION_PRESENCE,
    OPTION_FREQUENCY,
    OPTION_MIN_TOKENS,
    OPTION_NO_REPEAT,
    OPTION_IGNORE_EOS,
    OPTION_TOP_P_DECAY,
    OPTION_TOP_P_MIN,
};

static const struct argp_option answer_options[] = {
    {0, 0, 0, 0, "The answer:", 1},
    {"max-tokens", 'n', "N", 0, "at most; default: as many as the context holds", 1},
    {"temperature", 'T', "X", 0, "0 (default): the most likely token each time", 1},
    {"top-k", OPTION_TOP_K, "N", 0, "draw from the N most likely tokens", 1},
    {"top-p", OPTION_TOP_P, "X", 0, "draw from the most likely tokens that make up X", 1},
    {"top-p-decay", OPTION_TOP_P_DECAY, "X", 0, "top-p is multiplied by X after each token", 1},
    {"top-p-min", OPTION_TOP_P_MIN, "X", 0, "the least that top-p decays to", 1},
    {"min-p", OPTION_MIN_P, "X", 0, "drop tokens less likely than X times the most likely", 1},
    {"seed", OPTION_SEED, "N", 0, "equal seeds draw equal answers; default 0", 1},
    {"repetition-penalty", OPTION_REPETITION, "X", 0, "1 (default): none", 1},
    {"presence-penalty", OPTION_PRESENCE, "X", 0, "0 (default): none", 1},
    {"frequency-penalty", OPTION_FREQUENCY, "X", 0, "0 (default): none", 1},
    {"no-repeat-ngram-size", OPTION_NO_REPEAT, "N", 0, "never repeat N tokens in a row; 0 (default): off", 1},
    {"min-tokens", OPTION_MIN_TOKENS, "N", 0, "the end token is blocked before", 1},
    {"ignore-eos", OPTION_IGNORE_EOS, 0, 0, "go on after the end token", 1},
    {0},
};

static error_t parse_answer_option(int key, char *value, struct argp_state *state) {
    tn_answer_args *args = state->input;
    tn_sampling_config *sampling = &args->sampling;
    switch (key) {
    case 'n': args->max_tokens = (int32_t)tn_cli_integer(state, "--max-tokens", value, 1, 1 << 30); return 0;
    case 'T':
        sampling->temperature = (float)tn_cli_number(state, "--temperature", value, 0.0, 1e6);
        args->has_temperature = true;
        return 0;
    case OPTION_TOP_K:
        sampling->top_k = (int32_t)tn_cli_integer(state, "--top-k", value, 0, 1 << 30);
        args->has_top_k_or_p = true;
        return 0;
    case OPTION_TOP_P:
        sampling->top_p = (float)tn_cli_number(state, "--top-p", value, 1e-9, 1.0);
        args->has_top_k_or_p = true;
        return 0;
    case OPTION_TOP_P_DECAY: sampling->top_p_decay = (float)tn_cli_number(state, "--top-p-decay", value, 1e-6, 1.0); return 0;
    case OPTION_TOP_P_MIN: sampling->top_p_min = (float)tn_cli_number(state, "--top-p-min", value, 1e-9, 1.0); return 0;
    case OPTION_MIN_P: sampling->min_p = (float)tn_cli_number(state, "--min-p", value, 0.0, 1.0); return 0;
    case OPTION_SEED: sampling->seed = (uint64_t)tn_cli_integer(state, "--seed", value, 0, INT64_MAX); return 0;
    case OPTION_REPETITION: sampling->repetition_penalty = (float)tn_cli_number(state, "--repetition-penalty", value, 1e-6, 1e6); return 0;
    case OPTION_PRESENCE: sampling->presence_penalty = (float)tn_cli_number(state, "--presence-penalty", value, -1e6, 1e6); return 0;
    case OPTION_FREQUENCY: sampling->frequency_penalty = (float)tn_cli_number(state, "--frequency-penalty", value, -1e6, 1e6); return 0;
    case OPTION_NO_REPEAT:
        sampling->no_repeat_ngram_size = (int32_t)tn_cli_integer(state, "--no-repeat-ngram-size", value, 0, 1 << 20);
        return 0;
    case OPTION_MIN_TOKENS: sampling->min_tokens = (int32_t)tn_cli_integer(state, "--min-tokens", value, 0, 1 << 30); return 0;
    case OPTION_IGNORE_EOS: args->ignore_eos = true; return 0;
    case ARGP_KEY_END:
        /* With neither top-k nor top-p a request is greedy; someone who gives a temperature wants draws. */
        if (sampling->temperature > 0.0f && !args->has_top_k_or_p) sampling->top_p = 1.0f;
        /* And who gives top-k or top-p alone wants draws at temperature 1. */
        if (args->has_top_k_or_p && !args->has_temperature) sampling->temperature = 1.0f;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp tn_answer_argp = {.options = answer_options, .parser = parse_answer_option};

bool tn_prompt_from_chat(const tn_tokenizer *tokenizer, const tn_chat_message *messages, size_t num_messages, int32_t **out_ids,
                         size_t *out_num_ids) {
    tn_text_segment *segments;
    size_t num_segments;
    if (tn_tokenizer_render_chat(tokenizer, messages, num_messages, NULL, &segments, &num_segments) != TN_OK) return false;
    tn_encode_options options;
    tn_encode_options_init(&options);
    options.add_special = false;
    tn_status status = tn_tokenizer_encode_segments(tokenizer, segments, num_segments, &options, out_ids, out_num_ids);
    tn_tokenizer_free(tokenizer, segments);
    return status == TN_OK;
}

bool tn_prompt_from_text(const tn_tokenizer *tokenizer, const char *text, size_t size, int32_t **out_ids, size_t *out_num_ids) {
    tn_encode_options options;
    tn_encode_options_init(&options);
    options.parse_special = true;
    return tn_tokenizer_encode(tokenizer, text, size, &options, out_ids, out_num_ids) == TN_OK;
}

/* The plan's end ids, where there is no tokenizer to ask. */
static int32_t end_id_of_plan(const tn_session *session) {
    const char *text = tn_engine_model_info(session->engine);
    tn_json *json;
    int64_t id = -1;
    if (tn_json_parse("the plan's model", text, strlen(text), NULL, NULL, NULL, &json) != TN_OK) return -1;
    const tn_json_value *ids = tn_json_find(tn_json_root(json), "end_ids");
    if (ids != NULL && tn_json_count(ids) > 0 && tn_json_to_integer(tn_json_at(ids, 0), 0, INT32_MAX, NULL, &id) != TN_OK) id = -1;
    tn_json_destroy(json);
    return (int32_t)id;
}

void tn_prompt_request(const tn_session *session, const tn_answer_args *args, const int32_t *ids, size_t num_ids, tn_request *out_request) {
    tn_executor_info info;
    tn_executor_get_info(session->executor, &info);
    int32_t max_tokens = args->max_tokens > 0 ? args->max_tokens : (int32_t)info.max_seq_len;
    tn_request_init(out_request, ids, num_ids, max_tokens);
    out_request->sampling = args->sampling;
    if (args->ignore_eos) return;
    if (session->tokenizer == NULL) {
        out_request->end_id = end_id_of_plan(session);
        return;
    }
    const int32_t *end_ids;
    size_t num_end_ids = tn_tokenizer_end_ids(session->tokenizer, &end_ids);
    if (num_end_ids == 0) return;
    out_request->end_id = end_ids[0];
    out_request->more_end_ids = end_ids + 1;
    out_request->num_more_end_ids = num_end_ids - 1;
}
