/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h: an OpenAI-compatible HTTP server over one executor. src/cli/serve.c makes one from flags; tests make one on
 * a port of their own:
 *
 *     tn_server_options options;
 *     tn_server_options_init(&options);
 *     options.executor = executor;                       // borrowed, with the tokenizer; must outlive the server
 *     options.tokenizer = tokenizer;
 *     options.model_name = "SmolLM2";
 *     options.port = 0;                                  // any free one
 *     tn_server *server;
 *     if (tn_server_create(&options, &server) != TN_OK) …  // bound and listening; nobody is answered yet
 *     if (tn_server_start(server) != TN_OK) …              // answers from here on
 *     … tn_server_port(server) …
 *     tn_server_drain(server);                           // new work gets 503, what runs goes on
 *     (void)tn_server_wait(server, 30000);               // TN_OK: all answered
 *     tn_server_stop(server);                            // cancels what is left
 *     tn_server_destroy(server);
 *
 * Routes are a table (route.c), request fields are a table (fields.def), docs/api.md is made from both. docs/server.md is
 * the operator's page. Errors have OpenAI's shape: {"error": {"message", "type", "param", "code"}}.
 *
 * Threads: two belong to a server. The loop owns sockets, HTTP and the life of each exchange, takes the executor's responses
 * and makes text of them; the preparer reads large bodies, so that their tokenizing holds up nobody. All functions here may be
 * called from any thread; no two of start, stop and destroy at once. Whatever the executor answers is taken by the server,
 * which is also its listener: nobody else may wait on that executor.
 *
 * The server neither catches signals nor exits: SIGTERM, SIGHUP and NOTIFY_SOCKET are the program's (src/cli/serve.c).
 * Writes never raise SIGPIPE.
 */
#ifndef TN_SERVER_SERVER_H_
#define TN_SERVER_SERVER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/executor.h"
#include "tenon/tokenizer.h"

typedef struct tn_server tn_server;

/* What the log gets: one line without its newline, valid UTF-8. Called from the server's threads, one call at a time. */
typedef void (*tn_server_log)(void *user, const char *line, size_t size_bytes);

typedef struct tn_server_options {
    size_t struct_size;            /* set by tn_server_options_init */
    tn_diag *diag;                 /* borrowed for the call; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */

    tn_executor *executor;         /* borrowed; required */
    const tn_tokenizer *tokenizer; /* borrowed; NULL: prompts are token ids, and answers have no text */
    const char *model_name;        /* what /v1/models tells; required */
    bool require_model_name;       /* default false: any `model` is served; true: another is 404 */
    const char *chat_template;     /* in place of the tokenizer's own; NULL: that */
    bool allow_request_template;   /* default false: `chat_template` in a request is refused */
    const char *pooling;           /* of /v1/embeddings: "last" (default), the vector of a text's last token, or "mean", of all */
    const char *build_info_json;   /* a JSON object shown by /version and /v1/models as "meta"; NULL: none */

    /* Where. A host that is neither a loopback address nor "localhost" needs keys, unless insecure is set. */
    const char *host; /* default "127.0.0.1"; an address, or "localhost" */
    uint16_t port;    /* default 8000; 0: any free one */
    bool insecure;    /* public without keys: default false */

    /* Who. */
    const char *keys_path;                           /* a file of keys, one a line, "KEY" or "NAME KEY"; NULL: no keys */
    const char *tls_certificate_path, *tls_key_path; /* PEM; both or neither */
    const char *const *allowed_hosts;                /* names besides localhost and the bound address that Host may have */
    size_t num_allowed_hosts;                        /* with none, and keys: any name */
    const char *const *cors_origins;                 /* origins whose pages may read answers; "*": all; default none */
    size_t num_cors_origins;
    int32_t max_key_failures_per_minute; /* of one address, then 429; default 60 */

    /* How much. 0 is not "no limit" anywhere: it is refused. */
    size_t max_head_bytes;               /* request line and headers; default 16 KiB, 431 beyond */
    int32_t max_headers;                 /* default 100, 431 beyond */
    size_t max_body_bytes;               /* default 8 MiB, 413 beyond, before it is read */
    int32_t max_connections;             /* default 4096; 503 beyond */
    int32_t max_connections_per_address; /* default 2048; 429 beyond */
    int32_t max_queued_requests;         /* executor requests that have no token yet; default 1024, 429 beyond */
    int64_t max_queued_tokens;           /* their prompts together; default 4,194,304, 429 beyond */
    int32_t max_sequences_per_request;   /* prompts · n of one HTTP request; default 128 */
    size_t max_stream_buffer_bytes;      /* of text that a reader has not taken; default 1 MiB, then it is dropped */
    size_t max_prompt_logits_bytes;      /* of log-probabilities and hidden states of prompts at once; default 1 GiB, 429 beyond */

    /* How long, in milliseconds. */
    int64_t head_timeout_ms;    /* from the first byte, or the connection, to the end of the headers; default 10,000 */
    int64_t body_timeout_ms;    /* for the whole body; default 60,000 */
    int64_t idle_timeout_ms;    /* between requests of a connection; default 75,000 */
    int64_t write_timeout_ms;   /* without a byte taken by a reader for whom there is one; default 30,000 */
    int64_t request_timeout_ms; /* of a request in the executor, queueing included; default 600,000; it ends with "length" */
    int64_t ping_interval_ms;   /* of silence in a stream, then a comment; default 15,000 */
    int64_t stall_timeout_ms;   /* requests run and no step ended for so long: /ready is 503; default 30,000 */

    /* What is told. */
    tn_server_log log; /* NULL: nobody */
    void *log_user;
    bool log_requests;              /* default true: a line for each answered request */
    bool log_json;                  /* default false: lines are JSON objects */
    int64_t throughput_interval_ms; /* a line about tokens a second, quiet when idle; 0: never; default 10,000 */
} tn_server_options;
void tn_server_options_init(tn_server_options *options);

/* Checks the options, reads keys and certificate, binds and listens.
 * TN_INVALID_ARGUMENT  an option, named; also a public address without keys
 * TN_INVALID_DATA      the key file or the certificate, with the reason
 * TN_IO_ERROR          the address cannot be bound: the message has the system's reason */
TN_MUST_CHECK tn_status tn_server_create(const tn_server_options *options, tn_server **out_server);
/* Warms the executor with one token, then starts the threads. /ready is 200 when this returns. */
TN_MUST_CHECK tn_status tn_server_start(tn_server *server);
/* Requests that need the executor get 503 with Retry-After, /ready is 503, connections close after their answer. What
 * was taken before goes on. Returns at once; may be called again. */
void tn_server_drain(tn_server *server);
/* Waits until no exchange is under way. TN_OK, or TN_TIMED_OUT. */
TN_MUST_CHECK tn_status tn_server_wait(tn_server *server, int64_t timeout_ms);
/* Cancels what is left, closes all connections, joins the threads. May be called again. */
void tn_server_stop(tn_server *server);
void tn_server_destroy(tn_server *server); /* stops; accepts NULL */

/* Reads the key file and the certificate again; on failure the old ones stay and the reason is in diag. */
TN_MUST_CHECK tn_status tn_server_reload(tn_server *server, tn_diag *diag);

uint16_t tn_server_port(const tn_server *server);
/* "http://127.0.0.1:8000", lent */
const char *tn_server_url(const tn_server *server);
/* False while requests run and no step has ended for stall_timeout_ms, before start and after drain: what /ready tells. */
bool tn_server_is_ready(tn_server *server);

/* Looking, for tests and operators: what is under way now. */
typedef struct tn_server_info {
    int32_t num_connections, num_exchanges, num_generations; /* sockets; requests at hand; of these with work in the executor */
    int64_t num_requests;                                    /* answered since the start */
    int64_t heartbeat_age_ms;                                /* since the loop went round: more than a second is a defect */
    bool is_stalled;                                         /* requests run and no step ends */
} tn_server_info;
void tn_server_get_info(tn_server *server, tn_server_info *out_info);

#endif
