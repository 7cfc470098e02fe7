/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c: defaults, ranges, and the server's own copy.
 */
#include <string.h>
#include <sys/resource.h>

#include "server/server_internal.h"

void tn_server_options_init(tn_server_options *options) {
    *options = (tn_server_options){
        .struct_size = sizeof *options,
        .host = "127.0.0.1",
        .port = 8000,
        .pooling = "last",
        .max_key_failures_per_minute = 60,
        .max_head_bytes = 16384,
        .max_headers = 100,
        .max_body_bytes = (size_t)8 << 20,
        .max_connections = 4096,
        .max_connections_per_address = 2048,
        .max_queued_requests = 1024,
        .max_queued_tokens = 4194304,
        .max_sequences_per_request = 128,
        .max_stream_buffer_bytes = (size_t)1 << 20,
        .max_prompt_logits_bytes = (size_t)1 << 30,
        .head_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 75000,
        .write_timeout_ms = 30000,
        .request_timeout_ms = 600000,
        .ping_interval_ms = 15000,
        .stall_timeout_ms = 30000,
        .log_requests = true,
        .throughput_interval_ms = 10000,
    };
}

static tn_status check_range(tn_diag *diag, const char *name, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return TN_OK;
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot start the server: %s is %lld, must be %lld to %lld", name,
                      (long long)value, (long long)min, (long long)max);
}

static int64_t as_i64(size_t value) {
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

tn_status tn_server_check_options(const tn_server_options *options, tn_diag *diag) {
    const int64_t day_ms = 86400000;
    if (options->struct_size != sizeof *options)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the server: its options were not made by tn_server_options_init");
    if (options->executor == NULL || options->model_name == NULL || options->host == NULL)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the server: executor, model_name or host is missing");
    if ((options->tls_certificate_path == NULL) != (options->tls_key_path == NULL))
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the server: of certificate and key only one is given");
    if (options->pooling == NULL || (strcmp(options->pooling, "last") != 0 && strcmp(options->pooling, "mean") != 0))
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the server: pooling is '%s', must be last or mean",
                       options->pooling != NULL ? options->pooling : "");
    struct {
        const char *name;
        int64_t value, min, max;
    } ranges[] = {
        {"max_key_failures_per_minute", options->max_key_failures_per_minute, 1, INT32_MAX},
        {"max_head_bytes", as_i64(options->max_head_bytes), 1024, 1 << 20},
        {"max_headers", options->max_headers, 1, 10000},
        {"max_body_bytes", as_i64(options->max_body_bytes), 1024, (int64_t)1 << 32},
        {"max_connections", options->max_connections, 1, 1 << 20},
        {"max_connections_per_address", options->max_connections_per_address, 1, 1 << 20},
        {"max_queued_requests", options->max_queued_requests, 1, INT32_MAX},
        {"max_queued_tokens", options->max_queued_tokens, 1, INT64_MAX},
        {"max_sequences_per_request", options->max_sequences_per_request, 1, 1024},
        {"max_stream_buffer_bytes", as_i64(options->max_stream_buffer_bytes), 1024, (int64_t)1 << 32},
        {"max_prompt_logits_bytes", as_i64(options->max_prompt_logits_bytes), 1, INT64_MAX},
        {"head_timeout_ms", options->head_timeout_ms, 1, day_ms},
        {"body_timeout_ms", options->body_timeout_ms, 1, day_ms},
        {"idle_timeout_ms", options->idle_timeout_ms, 1, day_ms},
        {"write_timeout_ms", options->write_timeout_ms, 1, day_ms},
        {"request_timeout_ms", options->request_timeout_ms, 1, day_ms},
        {"ping_interval_ms", options->ping_interval_ms, 1, day_ms},
        {"stall_timeout_ms", options->stall_timeout_ms, 1, day_ms},
        {"throughput_interval_ms", options->throughput_interval_ms, 0, day_ms},
    };
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < sizeof ranges / sizeof *ranges; i++)
        status = check_range(diag, ranges[i].name, ranges[i].value, ranges[i].min, ranges[i].max);
    return status;
}

/* Each connection is a descriptor; some are left for files and for lingering sockets. */
static tn_status check_descriptors(const tn_server_options *options, tn_diag *diag) {
    enum { NUM_RESERVED = 160 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return TN_OK;
    if (limit.rlim_cur >= (rlim_t)options->max_connections + NUM_RESERVED) return TN_OK;
    tn_where where = {.hint = "raise the limit (ulimit -n, LimitNOFILE=), or lower --max-connections"};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where,
                      "cannot start the server: %d connections and %d other descriptors are more than this process may open (%llu)",
                      (int)options->max_connections, NUM_RESERVED, (unsigned long long)limit.rlim_cur);
}

static void copy_string(tn_server *server, const char **string) {
    if (*string != NULL) *string = tn_arena_string(&server->arena, *string);
}

static void copy_strings(tn_server *server, const char *const **list, size_t count) {
    const char **copy = tn_arena_alloc_array(&server->arena, count, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = (*list)[i];
        copy_string(server, &copy[i]);
    }
    *list = copy;
}

tn_status tn_server_copy_options(tn_server *server, const tn_server_options *options, tn_diag *diag) {
    server->options = *options;
    server->options.diag = NULL;
    tn_server_options *own = &server->options;
    const char **strings[] = {&own->model_name, &own->chat_template,        &own->build_info_json, &own->host,
                              &own->keys_path,  &own->tls_certificate_path, &own->tls_key_path,    &own->pooling};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) copy_string(server, strings[i]);
    copy_strings(server, &own->allowed_hosts, own->num_allowed_hosts);
    copy_strings(server, &own->cors_origins, own->num_cors_origins);
    if (server->arena.out_of_memory) return tn_fail_memory(diag, "the server's options", 0);
    enum { LEAVING_MS = 100 };
    const int64_t times_ms[TN_NUM_DEADLINES] = {
        [TN_DEADLINE_HEAD] = own->head_timeout_ms,   [TN_DEADLINE_BODY] = own->body_timeout_ms,  [TN_DEADLINE_IDLE] = own->idle_timeout_ms,
        [TN_DEADLINE_WRITE] = own->write_timeout_ms, [TN_DEADLINE_PING] = own->ping_interval_ms,
    };
    for (int i = 0; i < TN_NUM_DEADLINES; i++) server->deadlines[i].timeout_ns = times_ms[i] * 1000000;
    return check_descriptors(own, diag);
}
