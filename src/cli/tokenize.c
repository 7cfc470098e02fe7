/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenize.c: `tenon tokenize MODEL|tokenizer.json`: text on standard input to ids, or ids to text.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/cli.h"

typedef struct tokenize_args {
    const char *path;
    bool is_json, is_decoding, no_special, skip_special;
} tokenize_args;

enum { OPTION_JSON = 1024, OPTION_DECODE, OPTION_NO_SPECIAL, OPTION_SKIP_SPECIAL };

static const struct argp_option options[] = {
    {"json", OPTION_JSON, 0, 0, "print an object with ids, pieces, and the ids decoded again", 0},
    {"no-special", OPTION_NO_SPECIAL, 0, 0, "add no special tokens around the text", 0},
    {"decode", OPTION_DECODE, 0, 0, "read ids, print text", 0},
    {"skip-special", OPTION_SKIP_SPECIAL, 0, 0, "with --decode: leave special tokens out of the text", 0},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    tokenize_args *args = state->input;
    switch (key) {
    case OPTION_JSON: args->is_json = true; return 0;
    case OPTION_DECODE: args->is_decoding = true; return 0;
    case OPTION_NO_SPECIAL: args->no_special = true; return 0;
    case OPTION_SKIP_SPECIAL: args->skip_special = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "too many arguments: the text is read from standard input");
        args->path = value;
        return 0;
    case ARGP_KEY_END:
        if (args->path == NULL) argp_error(state, "MODEL is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static bool print_encoded(const tn_tokenizer *tokenizer, const tokenize_args *args, const int32_t *ids, size_t num_ids) {
    tn_text text = {0};
    if (args->is_json) tn_text_append_string(&text, "{\"ids\": [");
    for (size_t i = 0; i < num_ids; i++) tn_text_append_format(&text, "%s%d", i == 0 ? "" : args->is_json ? ", " : " ", (int)ids[i]);
    if (args->is_json) {
        tn_text_append_string(&text, "], \"pieces\": [");
        for (size_t i = 0; i < num_ids; i++) {
            size_t size;
            const char *piece = tn_tokenizer_piece(tokenizer, ids[i], &size);
            if (i > 0) tn_text_append_string(&text, ", ");
            tn_text_append_json_string(&text, piece != NULL ? piece : "", piece != NULL ? size : 0);
        }
        char *decoded;
        size_t size;
        if (tn_tokenizer_decode(tokenizer, ids, num_ids, false, NULL, &decoded, &size) != TN_OK) {
            tn_text_deinit(&text);
            return false;
        }
        tn_text_append_string(&text, "], \"decoded\": ");
        tn_text_append_json_string(&text, decoded, size);
        tn_tokenizer_free(tokenizer, decoded);
        tn_text_append_char(&text, '}');
    }
    tn_text_append_char(&text, '\n');
    bool is_ok = !text.failed && fwrite(text.data, 1, text.size, stdout) == text.size;
    tn_text_deinit(&text);
    return is_ok;
}

static bool encode(const tn_tokenizer *tokenizer, const tokenize_args *args, const char *text, size_t size) {
    tn_encode_options encode_options;
    tn_encode_options_init(&encode_options);
    encode_options.parse_special = true;
    encode_options.add_special = !args->no_special;
    int32_t *ids;
    size_t num_ids;
    if (tn_tokenizer_encode(tokenizer, text, size, &encode_options, &ids, &num_ids) != TN_OK) return false;
    bool is_ok = print_encoded(tokenizer, args, ids, num_ids);
    tn_tokenizer_free(tokenizer, ids);
    return is_ok;
}

/* Ids between spaces, commas, brackets or line ends. */
static bool decode(const tn_tokenizer *tokenizer, const tokenize_args *args, const char *text) {
    TN_ARRAY(int32_t) ids = {0};
    bool is_ok = true;
    for (const char *c = text; is_ok && *c != '\0';) {
        if (isspace((unsigned char)*c) || *c == ',' || *c == '[' || *c == ']') {
            c++;
            continue;
        }
        char *end;
        long long id = strtoll(c, &end, 10);
        if (end == c || id < 0 || id >= (long long)tn_tokenizer_vocab_size(tokenizer)) {
            tn_cli_fail("'%.20s' is no id of this vocabulary (0 to %zu)", c, tn_tokenizer_vocab_size(tokenizer) - 1);
            is_ok = false;
        } else {
            is_ok = tn_array_push(NULL, &ids, (int32_t)id);
        }
        c = end;
    }
    char *decoded = NULL;
    size_t size;
    if (is_ok) is_ok = tn_tokenizer_decode(tokenizer, ids.data, ids.count, args->skip_special, NULL, &decoded, &size) == TN_OK;
    if (is_ok) fwrite(decoded, 1, size, stdout);
    tn_tokenizer_free(tokenizer, decoded);
    tn_array_deinit(NULL, &ids);
    return is_ok;
}

int tn_verb_tokenize(int argc, char **argv) {
    static const struct argp argp = {
        options, parse_option, "MODEL|tokenizer.json", "Turn text on standard input into ids, or ids into text.", 0, 0, 0};
    tokenize_args args = {0};
    argp_parse(&argp, argc, argv, 0, 0, &args);
    tn_tokenizer *tokenizer;
    if (tn_tokenizer_load(args.path, NULL, &tokenizer) != TN_OK) return TN_EXIT_FAILED;
    size_t size;
    char *text = tn_cli_read_stdin(&size);
    bool is_ok = text != NULL && (args.is_decoding ? decode(tokenizer, &args, text) : encode(tokenizer, &args, text, size));
    free(text);
    tn_tokenizer_destroy(tokenizer);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
