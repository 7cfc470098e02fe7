/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.h: what the verbs share: exit codes, reporting, the options that say which engine to use.
 */
#ifndef TN_CLI_CLI_H_
#define TN_CLI_CLI_H_

#include <argp.h>
#include <stdio.h>

#include "model/model.h"
#include "tenon/executor.h"
#include "tenon/tokenizer.h"

enum { TN_EXIT_OK = 0, TN_EXIT_FAILED = 1, TN_EXIT_USAGE = 2 };

/* A verb gets its own arguments with argv[0] = "tenon run". Returns an exit code. */
typedef struct tn_verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} tn_verb;
int tn_verb_run(int argc, char **argv);
int tn_verb_chat(int argc, char **argv);
int tn_verb_serve(int argc, char **argv);
int tn_verb_build(int argc, char **argv);
int tn_verb_inspect(int argc, char **argv);
int tn_verb_tokenize(int argc, char **argv);
int tn_verb_bench(int argc, char **argv);
int tn_verb_doctor(int argc, char **argv);

/* "tenon: <format>" on stderr; returns TN_EXIT_FAILED. */
int tn_cli_fail(const char *format, ...) TN_PRINTF(1, 2);

/* Numbers from the command line; on failure argp_error, which exits with TN_EXIT_USAGE. */
int64_t tn_cli_integer(struct argp_state *state, const char *option, const char *text, int64_t min, int64_t max);
double tn_cli_number(struct argp_state *state, const char *option, const char *text, double min, double max);
/* "256M", "1.5G", "4096": bytes, decimal units */
size_t tn_cli_bytes(struct argp_state *state, const char *option, const char *text);
/* Index of `text` in a NULL-terminated list. */
int tn_cli_choice(struct argp_state *state, const char *option, const char *text, const char *const *choices);

/* All of standard input; NULL after reporting. Free with free(). */
char *tn_cli_read_stdin(size_t *out_size);

/* --- engine options: a child parser of run, chat, build, inspect, bench -------------------------------------------------------- */

typedef struct tn_engine_args {
    const char *path;   /* GGUF file, Hugging Face directory, engine directory, plan file; or a dummy's name */
    const char *device; /* "cpu" */
    const char *isa;
    int num_threads;
    tn_model_options model;
    size_t memory_limit_bytes;
    size_t cache_limit_bytes;
    int optimization_level;
    bool is_dummy, use_cache, external_weights, verbose;
} tn_engine_args;
void tn_engine_args_init(tn_engine_args *args);
extern const struct argp tn_engine_argp; /* input: tn_engine_args * */

#endif
