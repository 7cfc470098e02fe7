/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_args.c: the options of `tenon serve`, read and printed by their table.
 */
#include "cli/serve_args.h"

#include <stdlib.h>
#include <string.h>

typedef enum option_kind { KIND_TEXT, KIND_LIST, KIND_COUNT, KIND_BYTES, KIND_SECONDS, KIND_SWITCH } option_kind;

typedef struct serve_option {
    const char *name, *argument, *help;
    option_kind kind;
    size_t offset, size; /* of the member in tn_serve_args */
    int64_t min, max;    /* SWITCH: max is the value */
} serve_option;

#define MEMBER(member)                         .offset = offsetof(tn_serve_args, member), .size = sizeof((tn_serve_args *)0)->member
#define TEXT(option_name, word, member, words) {.name = option_name, .argument = word, .help = words, .kind = KIND_TEXT, MEMBER(member)},
#define LIST(option_name, word, member, words) {.name = option_name, .argument = word, .help = words, .kind = KIND_LIST, MEMBER(member)},
#define COUNT(option_name, member, least, most, words) \
    {.name = option_name, .argument = "N", .help = words, .kind = KIND_COUNT, .min = least, .max = most, MEMBER(member)},
#define BYTES(option_name, member, words)         {.name = option_name, .argument = "SIZE", .help = words, .kind = KIND_BYTES, MEMBER(member)},
#define SECONDS(option_name, member, words)       {.name = option_name, .argument = "S", .help = words, .kind = KIND_SECONDS, MEMBER(member)},
#define SWITCH(option_name, member, value, words) {.name = option_name, .help = words, .kind = KIND_SWITCH, .max = value, MEMBER(member)},

static const serve_option table[] = {
#include "cli/serve_options.def"
};
enum { NUM_OPTIONS = sizeof table / sizeof *table, FIRST_KEY = 2048, KEY_PORT = 1024, KEY_CONFIG };

/* argp's own form of the table, with what stands outside of it. */
static void make_argp_options(struct argp_option out[NUM_OPTIONS + 4]) {
    size_t count = 0;
    out[count++] = (struct argp_option){"port", KEY_PORT, "N", 0, "default 8000; 0: any free one", 0};
    out[count++] =
        (struct argp_option){"config", KEY_CONFIG, "FILE", 0, "lines `option = value`; every option is a TENON_ variable too", 0};
    for (int i = 0; i < NUM_OPTIONS; i++)
        out[count++] = (struct argp_option){table[i].name, FIRST_KEY + i, table[i].argument, 0, table[i].help, 0};
    out[count] = (struct argp_option){0};
}

static void push_list(struct argp_state *state, tn_string_list *list, char *text) {
    for (char *word; (word = strsep(&text, ",")) != NULL;)
        if (word[0] != '\0' && !tn_array_push(NULL, list, word)) argp_failure(state, TN_EXIT_FAILED, 0, "out of memory");
}

static void set_option(struct argp_state *state, const serve_option *option, char *value) {
    void *member = (char *)state->input + option->offset;
    char name[64];
    snprintf(name, sizeof name, "--%s", option->name);
    switch (option->kind) {
    case KIND_TEXT: *(const char **)member = value; break;
    case KIND_LIST: push_list(state, member, value); break;
    case KIND_COUNT:
        if (option->size == sizeof(int32_t))
            *(int32_t *)member = (int32_t)tn_cli_integer(state, name, value, option->min, option->max);
        else
            *(int64_t *)member = tn_cli_integer(state, name, value, option->min, option->max);
        break;
    case KIND_BYTES: *(size_t *)member = tn_cli_bytes(state, name, value); break;
    case KIND_SECONDS: *(int64_t *)member = (int64_t)(tn_cli_number(state, name, value, 0.0, 86400.0) * 1000.0); break;
    case KIND_SWITCH: *(bool *)member = option->max != 0; break;
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    tn_serve_args *args = state->input;
    if (key >= FIRST_KEY && key < FIRST_KEY + NUM_OPTIONS) {
        set_option(state, &table[key - FIRST_KEY], value);
        return 0;
    }
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->engine; return 0;
    case KEY_PORT: args->server.port = (uint16_t)tn_cli_integer(state, "--port", value, 0, 65535); return 0;
    case KEY_CONFIG: return 0; /* read before: option_sources.h */
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) args->engine.path = value;
        if (state->arg_num > 0) argp_error(state, "too many arguments");
        return 0;
    case ARGP_KEY_END:
        if (args->engine.path == NULL) args->engine.path = args->words.model;
        if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

void tn_serve_args_read(tn_serve_args *args, int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {0}};
    static struct argp_option options[NUM_OPTIONS + 4];
    make_argp_options(options);
    const struct argp argp = {
        options, parse_option, "MODEL", "Serve a model to OpenAI's clients, with a web page at / and metrics at /metrics.", children, 0, 0};
    *args = (tn_serve_args){.drain_timeout_ms = 300000};
    tn_engine_args_init(&args->engine);
    tn_server_options_init(&args->server);
    tn_executor_options_init(&args->executor);
    const struct argp_option *const tables[] = {options, tn_engine_argp.options, NULL};
    if (!tn_option_words_make(tables, argc, argv, &args->words)) exit(TN_EXIT_USAGE);
    argp_parse(&argp, (int)args->words.words.count, args->words.words.data, 0, 0, args);
    args->server.allowed_hosts = args->allowed_hosts.data;
    args->server.num_allowed_hosts = args->allowed_hosts.count;
    args->server.cors_origins = args->cors_origins.data;
    args->server.num_cors_origins = args->cors_origins.count;
}

void tn_serve_args_deinit(tn_serve_args *args) {
    tn_option_words_deinit(&args->words);
    tn_array_deinit(NULL, &args->allowed_hosts);
    tn_array_deinit(NULL, &args->cors_origins);
}

static void print_value(const serve_option *option, const void *member, FILE *file) {
    const tn_string_list *list = member;
    switch (option->kind) {
    case KIND_TEXT: fprintf(file, "%s", *(const char *const *)member != NULL ? *(const char *const *)member : ""); break;
    case KIND_LIST:
        for (size_t i = 0; i < list->count; i++) fprintf(file, "%s%s", i > 0 ? "," : "", list->data[i]);
        break;
    case KIND_COUNT:
        fprintf(file, "%lld", option->size == sizeof(int32_t) ? (long long)*(const int32_t *)member : (long long)*(const int64_t *)member);
        break;
    case KIND_BYTES: fprintf(file, "%zu", *(const size_t *)member); break;
    case KIND_SECONDS: fprintf(file, "%g", (double)*(const int64_t *)member * 1e-3); break;
    case KIND_SWITCH: fprintf(file, "%s", *(const bool *)member == (option->max != 0) ? "true" : "false"); break;
    }
}

void tn_serve_args_print(const tn_serve_args *args, FILE *file) {
    fprintf(file, "model = %s\nport = %u\n", args->engine.path, (unsigned)args->server.port);
    for (int i = 0; i < NUM_OPTIONS; i++) {
        fprintf(file, "%s = ", table[i].name);
        print_value(&table[i], (const char *)args + table[i].offset, file);
        fputc('\n', file);
    }
}
