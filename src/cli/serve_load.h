/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_load.h: the requests of a dataset sent to an OpenAI-compatible server, streamed, and when which part of each answer came.
 *
 * A chunk counts as soon as it has text: a role alone, or an empty last chunk, is none. Tokens are counted by the server's usage,
 * which is asked for; a server that tells none has its chunks counted. Times are of one clock, taken when the bytes were read.
 */
#ifndef TN_CLI_SERVE_LOAD_H_
#define TN_CLI_SERVE_LOAD_H_

#include "base/memory.h"
#include "cli/dataset.h"
#include "cli/http_client.h"

typedef struct tn_serve_load_options {
    const tn_http_address *address;
    const char *endpoint; /* "/v1/completions"; behind the address' prefix */
    const char *model;    /* borrowed, like all strings here */
    const char *key;      /* NULL: none */
    bool is_chat;         /* prompts are messages; ids become words */
    bool ignore_eos;
    double temperature;                                                       /* negative: the server's own */
    size_t max_concurrency;                                                   /* requests under way at a time; 0: any number */
    double request_rate;                                                      /* a second, Poisson; 0: all at once */
    uint64_t seed;                                                            /* of the moments of sending */
    int64_t timeout_ns;                                                       /* of a request; 0: none */
    tn_diag *diag;                                                            /* NULL: stderr */
    void (*on_progress)(void *context, size_t num_done, size_t num_requests); /* NULL: not wanted */
    void *context;
} tn_serve_load_options;

typedef struct tn_serve_record {
    int64_t begin_ns, first_text_ns, last_text_ns, end_ns;
    int64_t num_input, num_output; /* tokens */
    bool is_ok, has_usage;
    char *error;             /* of a request that failed */
    TN_ARRAY(float) gaps_ms; /* between a chunk with text and the one before */
} tn_serve_record;

typedef struct tn_serve_result {
    tn_serve_record *records; /* [num_requests], as in the dataset */
    size_t num_requests, max_active;
    int64_t duration_ns;
    TN_ARRAY(uint32_t) chunks_each_second;
} tn_serve_result;

/* Waits for all answers. A request that fails is a record, not an error of the call. TN_NOT_FOUND: no server. TN_OUT_OF_MEMORY */
TN_MUST_CHECK tn_status tn_serve_load_run(const tn_serve_load_options *options, const tn_dataset *dataset, tn_serve_result *out_result);
void tn_serve_result_deinit(tn_serve_result *result); /* accepts a zeroed one */

/* The id of the first model of GET /v1/models; free with tn_free(NULL, …). TN_NOT_FOUND: no server; TN_INVALID_DATA: no such list. */
TN_MUST_CHECK tn_status tn_serve_find_model(const tn_http_address *address, const char *key, tn_diag *diag, char **out_model);

#endif
