/* SPDX-License-Identifier: Apache-2.0
 *
 * option_sources.c: configuration file and variables as words of a command line.
 */
#include "cli/option_sources.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "cli/cli.h"

enum { MAX_FILE = 1 << 20 };

static bool push(tn_option_words *self, const char *word) {
    char *copy = tn_copy_string(NULL, word);
    if (copy != NULL && tn_array_push(NULL, &self->words, copy)) return true;
    tn_free(NULL, copy);
    tn_cli_fail("out of memory");
    return false;
}

static const struct argp_option *find_option(const struct argp_option *const *tables, const char *name) {
    for (; *tables != NULL; tables++)
        for (const struct argp_option *option = *tables; option->name != NULL || option->doc != NULL; option++)
            if (option->name != NULL && strcmp(option->name, name) == 0) return option;
    return NULL;
}

/* 1, 0, -1: neither */
static int truth_of(const char *value) {
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no", "off"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(value, yes[i]) == 0) return 1;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strcasecmp(value, no[i]) == 0) return 0;
    return -1;
}

static bool push_option(tn_option_words *self, const struct argp_option *option, const char *value, const char *source) {
    char word[4096];
    if (option->arg != NULL) {
        if (snprintf(word, sizeof word, "--%s=%s", option->name, value) < (int)sizeof word) return push(self, word);
        tn_cli_fail("%s is too long", source);
        return false;
    }
    int truth = truth_of(value);
    snprintf(word, sizeof word, "--%s", option->name);
    if (truth >= 0) return truth == 0 || push(self, word);
    tn_cli_fail("%s is '%s', must be true or false", source, value);
    return false;
}

static bool set_model(tn_option_words *self, const char *path) {
    tn_free(NULL, self->model);
    self->model = tn_copy_string(NULL, path);
    if (self->model == NULL) tn_cli_fail("out of memory");
    return self->model != NULL;
}

static char *trim(char *text) {
    while (isspace((unsigned char)*text)) text++;
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1])) text[--size] = '\0';
    return text;
}

static bool push_line(tn_option_words *self, const struct argp_option *const *tables, const char *path, unsigned number, char *line) {
    char source[512];
    char *name = trim(line), *value = strchr(name, '=');
    if (name[0] == '\0' || name[0] == '#') return true;
    snprintf(source, sizeof source, "%s, line %u", path, number);
    if (value == NULL) {
        tn_cli_fail("%s is no `name = value`", source);
        return false;
    }
    *value = '\0';
    value = trim(value + 1);
    name = trim(name);
    if (strcmp(name, "model") == 0) return set_model(self, value);
    const struct argp_option *option = find_option(tables, name);
    if (option != NULL) return push_option(self, option, value, source);
    tn_cli_fail("%s: there is no option '%s'", source, name);
    return false;
}

static bool push_file(tn_option_words *self, const struct argp_option *const *tables, const char *path) {
    char *text, *rest;
    size_t size;
    if (tn_file_read_all(path, MAX_FILE, NULL, NULL, &text, &size) != TN_OK) return false;
    bool is_ok = true;
    unsigned number = 1;
    rest = text;
    for (char *line; is_ok && (line = strsep(&rest, "\n")) != NULL; number++) is_ok = push_line(self, tables, path, number, line);
    tn_free(NULL, text);
    return is_ok;
}

static void variable_of(const char *name, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "TENON_");
    for (; *name != '\0' && used + 1 < size; name++) out[used++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    out[used] = '\0';
}

static bool push_variables(tn_option_words *self, const struct argp_option *const *tables) {
    char variable[128];
    for (; *tables != NULL; tables++)
        for (const struct argp_option *option = *tables; option->name != NULL || option->doc != NULL; option++) {
            if (option->name == NULL) continue;
            variable_of(option->name, variable, sizeof variable);
            const char *value = getenv(variable);
            if (value != NULL && strcmp(option->name, "config") != 0 && !push_option(self, option, value, variable)) return false;
        }
    return true;
}

static const char *find_config(int argc, char **argv) {
    const char *path = getenv("TENON_CONFIG");
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) path = argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) path = argv[i + 1];
    }
    return path;
}

bool tn_option_words_make(const struct argp_option *const *tables, int argc, char **argv, tn_option_words *out) {
    const char *path = find_config(argc, argv), *model = getenv("TENON_MODEL");
    bool is_ok = push(out, argv[0]) && (path == NULL || push_file(out, tables, path)) && push_variables(out, tables);
    for (int i = 1; is_ok && i < argc; i++) is_ok = push(out, argv[i]);
    is_ok = is_ok && (model == NULL || set_model(out, model)) && tn_array_push(NULL, &out->words, NULL);
    if (is_ok) out->words.count--;
    return is_ok;
}

void tn_option_words_deinit(tn_option_words *self) {
    for (size_t i = 0; i < self->words.count; i++) tn_free(NULL, self->words.data[i]);
    tn_array_deinit(NULL, &self->words);
    tn_free(NULL, self->model);
    self->model = NULL;
}
