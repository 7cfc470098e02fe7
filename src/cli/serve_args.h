/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_args.h: what `tenon serve` was told, by flags, variables and its configuration file.
 */
#ifndef TN_CLI_SERVE_ARGS_H_
#define TN_CLI_SERVE_ARGS_H_

#include "base/memory.h"
#include "cli/cli.h"
#include "cli/option_sources.h"
#include "server/server.h"

typedef TN_ARRAY(const char *) tn_string_list;

typedef struct tn_serve_args {
    tn_engine_args engine;
    tn_server_options server;
    tn_executor_options executor;
    const char *chat_template_path;
    int64_t drain_timeout_ms;
    tn_string_list allowed_hosts, cors_origins;
    tn_option_words words; /* the members above lend from it */
} tn_serve_args;

/* Reads flags, then variables and the file where no flag says otherwise; exits with TN_EXIT_USAGE as argp does. */
void tn_serve_args_read(tn_serve_args *args, int argc, char **argv);
void tn_serve_args_deinit(tn_serve_args *args);
/* "host = 127.0.0.1", one a line: all that can be set, as it is in force. */
void tn_serve_args_print(const tn_serve_args *args, FILE *file);

#endif
