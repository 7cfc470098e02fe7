/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h: a server for tests: the golden model llama-gqa with the tokenizer bytes320 on a port of its own, in this process. What
 * it must not leave behind is checked when it ends.
 */
#ifndef TN_TESTS_SUPPORT_SERVER_H_
#define TN_TESTS_SUPPORT_SERVER_H_

#include "server/server.h"
#include "support/decoder.h"
#include "support/http.h"

typedef struct tn_test_server {
    tn_test_decoder decoder;
    tn_tokenizer *tokenizer;
    tn_server *server;
    uint16_t port;
    int num_descriptors; /* of this process before it started */
} tn_test_server;

/* Backend "cpu" or "null"; the model stays open over several servers. */
void tn_test_server_open(tn_test_server *self, const char *backend);
/* The same with hidden states in the plan. */
void tn_test_server_open_for_embeddings(tn_test_server *self, const char *backend);
/* Options with the executor, the tokenizer and port 0; change what a test is about and start. */
tn_server_options tn_test_server_options(const tn_test_server *self);
/* executor_options and options may be NULL: defaults. */
void tn_test_server_start(tn_test_server *self, const tn_executor_options *executor_options, const tn_server_options *options);
/* Stops the server; fails if a block, a request, a generation or a descriptor is left. */
void tn_test_server_stop(tn_test_server *self);
void tn_test_server_close(tn_test_server *self);

/* Waits until nothing is under way in server and executor; fails after 20 s. */
void tn_test_server_settle(tn_test_server *self);
int tn_test_num_descriptors(void);
/* In use in all of the process, libmicrohttpd's memory too, once no connection is left: each has memory for its head. 0 with
 * sanitizers, whose own leak check looks at the end. Needs the next function. */
size_t tn_test_server_heap_bytes(tn_test_server *self);
/* What malloc keeps for each thread counts as in use, a quarter of a megabyte each at most: main turns that off before anything else,
 * by starting the program again. */
void tn_test_turn_off_thread_caches(char **arguments);

#endif
