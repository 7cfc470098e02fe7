/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h: from engine options to something that runs: device, engine, tokenizer, and an executor when wanted. A model file
 * is built on the way, or taken from the cache of engines built before.
 */
#ifndef TN_CLI_SESSION_H_
#define TN_CLI_SESSION_H_

#include "cli/cli.h"

typedef struct tn_session {
    const tn_engine_args *args;
    tn_device *device;
    tn_plan *plan; /* NULL once loaded from disk */
    tn_engine *engine;
    tn_tokenizer *tokenizer; /* NULL: the model has none */
    tn_executor *executor;
    char *engine_directory; /* where the plan was read from, or will be kept; NULL: nowhere */
    bool is_unsaved;        /* built in this run, not in the cache yet */
    int64_t start_ns, load_ns, build_ns;
} tn_session;

/* Opens device, engine and tokenizer; errors are on stderr already. Returns false on failure; close in any case. */
bool tn_session_open(tn_session *session, const tn_engine_args *args);
/* Only the device, for verbs that make an engine and do not run it. */
bool tn_session_open_device(tn_session *session, const tn_engine_args *args);
/* Chooses kernels again for this device from what the plan says, opens the result as the session's engine, and keeps it in the
 * place of the old plan if it can be written. */
bool tn_session_retune(tn_session *session, const char *plan_path);
bool tn_session_start_executor(tn_session *session, const tn_executor_options *options);
/* Keeps a new engine in the cache folder, after the answer; failing that is a warning. */
void tn_session_save(tn_session *session);
void tn_session_close(tn_session *session);

/* Builds a model into a plan (in memory if path is NULL) and its tokenizer; used by `build` too. Lowers max_seq_len to what memory
 * holds, with a line that says so. */
bool tn_session_build(tn_session *session, const char *plan_path, tn_plan **out_plan);

#endif
