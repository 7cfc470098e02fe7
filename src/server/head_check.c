/* SPDX-License-Identifier: Apache-2.0
 *
 * head_check.c: refusing before reading.
 *
 * libmicrohttpd parses heads leniently: of two Content-Length it takes the first, with Transfer-Encoding it forgets them, a NUL
 * ends a value early, folded lines are joined. A proxy in front may read the same bytes otherwise, and then somebody's body
 * is another's request. So such heads are refused here. Names and values lie in the head as they came, one behind the other:
 * where there is more between them than a line end, there was a NUL or a fold.
 */
#include "server/head_check.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/server_internal.h"

typedef struct head {
    const char *host, *origin, *authorization, *content_type, *content_encoding, *transfer_encoding;
    int64_t content_length; /* -1: none */
    int num_headers, num_hosts, num_lengths;
    const char *end; /* of what was seen last */
    bool is_broken;  /* a gap, a name that is none, a length that is no number */
} head;

static bool is_token(const char *name, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c <= ' ' || c >= 127 || strchr("()<>@,;:\\\"/[]?={}", c) != NULL) return false;
    }
    return size > 0;
}

static bool is_field_value(const char *value, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 127) return false;
    return true;
}

/* A line end lies between the end of what came before and what comes now. */
static bool is_next_line(const char *end, const char *next) {
    return next == end + 1 || next == end + 2;
}

static int64_t parse_length(const char *text, size_t size) {
    int64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || value > INT64_MAX / 10 - 10) return -1;
        value = value * 10 + (text[i] - '0');
    }
    return size > 0 ? value : -1;
}

static enum MHD_Result look_at(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_size, const char *value, size_t value_size) {
    head *self = cls;
    (void)kind;
    self->num_headers++;
    if (value == NULL || !is_next_line(self->end, key) || !is_token(key, key_size) || !is_field_value(value, value_size)) {
        self->is_broken = true;
        return MHD_NO;
    }
    self->end = value + value_size;
    if (strcasecmp(key, "Host") == 0) {
        self->host = value;
        self->num_hosts++;
    } else if (strcasecmp(key, "Content-Length") == 0) {
        self->content_length = parse_length(value, value_size);
        self->num_lengths++;
        self->is_broken |= self->content_length < 0;
    } else if (strcasecmp(key, "Transfer-Encoding") == 0) {
        self->is_broken |= self->transfer_encoding != NULL;
        self->transfer_encoding = value;
    } else if (strcasecmp(key, "Origin") == 0) {
        self->origin = value;
    } else if (strcasecmp(key, "Authorization") == 0) {
        self->authorization = value;
    } else if (strcasecmp(key, "Content-Type") == 0) {
        self->content_type = value;
    } else if (strcasecmp(key, "Content-Encoding") == 0) {
        self->content_encoding = value;
    }
    return MHD_YES;
}

/* --- the form -------------------------------------------------------------------------------------------------------------------- */

static bool check_form(tn_exchange *exchange, const tn_request_line *line, head *self, tn_api_error *error) {
    const tn_server_options *options = &exchange->server->options;
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(exchange->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    *self = (head){.content_length = -1, .end = line->version + strlen(line->version)};
    (void)MHD_get_connection_values_n(exchange->mhd, MHD_HEADER_KIND, look_at, self);
    const char *target_end = line->url + line->target_size, *head_end = size != NULL ? line->method + size->header_size : self->end;
    if (size != NULL && size->header_size > options->max_head_bytes)
        return tn_api_fail(error, 431, "head_too_large", NULL, "the head has %zu bytes, at most %zu are read", size->header_size,
                           options->max_head_bytes);
    if (self->num_headers > options->max_headers)
        return tn_api_fail(error, 431, "head_too_large", NULL, "the request has more than %d headers", (int)options->max_headers);
    if (line->version[0] == '\0' || target_end >= line->version || target_end + strspn(target_end, " ") + 1 < line->version)
        return tn_api_fail(error, 400, "bad_request", NULL, "the request line is malformed");
    /* one line end after the last header, one more after the empty line */
    if (self->is_broken || head_end < self->end + 2 || head_end > self->end + 4)
        return tn_api_fail(error, 400, "bad_request", NULL, "a header is malformed, folded, or has a control character");
    if (self->num_lengths > 1 || self->num_hosts > 1)
        return tn_api_fail(error, 400, "bad_request", NULL, "the request has %s twice", self->num_hosts > 1 ? "Host" : "Content-Length");
    if (self->transfer_encoding != NULL && self->num_lengths > 0)
        return tn_api_fail(error, 400, "bad_request", NULL, "the request has both Content-Length and Transfer-Encoding");
    if (self->transfer_encoding != NULL && strcasecmp(self->transfer_encoding, "chunked") != 0)
        return tn_api_fail(error, 501, "unsupported", NULL, "this Transfer-Encoding is not supported; chunked is");
    if (self->num_hosts == 0 && strcmp(line->version, "HTTP/1.1") == 0)
        return tn_api_fail(error, 400, "bad_request", NULL, "the request has no Host");
    return true;
}

/* --- Host and Origin --------------------------------------------------------------------------------------------------------------- */

/* The name in "name", "name:80" or "[::1]:80" is `name`. */
static bool is_host(const char *value, const char *name) {
    size_t size = strlen(name);
    const char *rest = value + size;
    if (strncasecmp(value, name, size) != 0) return false;
    return *rest == '\0' || (*rest == ':' && rest[1] != '\0' && strspn(rest + 1, "0123456789") == strlen(rest + 1));
}

static bool is_host_allowed(const tn_server *server, const char *value) {
    static const char *const local[] = {"localhost", "127.0.0.1", "[::1]"};
    const tn_server_options *options = &server->options;
    if (server->is_public && options->num_allowed_hosts == 0) return true;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (is_host(value, local[i])) return true;
    if (is_host(value, options->host)) return true;
    for (size_t i = 0; i < options->num_allowed_hosts; i++)
        if (is_host(value, options->allowed_hosts[i])) return true;
    return false;
}

/* A page that was loaded from this server sends its own address as the origin. */
static bool is_own_origin(const char *origin, const char *host) {
    const char *name = strstr(origin, "://");
    return name != NULL && host != NULL && strcasecmp(name + 3, host) == 0;
}

static bool check_origin(tn_exchange *exchange, const head *self, tn_api_error *error) {
    const tn_server_options *options = &exchange->server->options;
    if (self->origin == NULL || is_own_origin(self->origin, self->host)) return true;
    for (size_t i = 0; i < options->num_cors_origins; i++) {
        const char *allowed = options->cors_origins[i];
        if (strcmp(allowed, "*") != 0 && strcasecmp(allowed, self->origin) != 0) continue;
        snprintf(exchange->origin, sizeof exchange->origin, "%s", allowed);
        return true;
    }
    return tn_api_fail(error, 403, "origin_not_allowed", NULL, "pages of this origin may not ask; see --cors-origin");
}

/* --- who ---------------------------------------------------------------------------------------------------------------------------- */

static bool check_key(tn_exchange *exchange, const head *self, tn_api_error *error) {
    tn_server *server = exchange->server;
    tn_peer *peer = exchange->connection->peer;
    bool has_keys, is_right = false;
    if (server->now_ns - peer->failures_since_ns > (int64_t)60 * 1000000000) {
        peer->failures_since_ns = server->now_ns;
        peer->num_key_failures = 0;
    }
    pthread_mutex_lock(&server->lock);
    has_keys = server->keys != NULL;
    if (has_keys && peer->num_key_failures < server->options.max_key_failures_per_minute)
        is_right = tn_keys_check(server->keys, self->authorization, exchange->key_name, &exchange->key_salt);
    pthread_mutex_unlock(&server->lock);
    if (!has_keys || is_right) return true;
    if (peer->num_key_failures >= server->options.max_key_failures_per_minute) {
        tn_api_fail(error, 429, "rate_limit_exceeded", NULL, "too many wrong keys came from this address");
        error->retry_after_s = 60;
        return false;
    }
    peer->num_key_failures++;
    return tn_api_fail(error, 401, "invalid_api_key", NULL, "%s",
                       self->authorization == NULL ? "a key is needed: send it as 'Authorization: Bearer KEY'" : "this key is not known");
}

/* --- the body ------------------------------------------------------------------------------------------------------------------------ */

static bool is_json_type(const char *type) {
    size_t size = strcspn(type, "; \t");
    return (size == 16 && strncasecmp(type, "application/json", size) == 0) || (size > 5 && strncasecmp(type + size - 5, "+json", 5) == 0);
}

static bool check_body(const tn_exchange *exchange, const head *self, tn_api_error *error) {
    size_t limit = exchange->server->options.max_body_bytes;
    if (exchange->route->fields == 0 && self->content_length <= 0 && self->transfer_encoding == NULL) return true;
    if (exchange->route->method == TN_METHOD_GET && self->content_length > 0)
        return tn_api_fail(error, 400, "bad_request", NULL, "this route takes no body");
    if (self->content_encoding != NULL && strcasecmp(self->content_encoding, "identity") != 0)
        return tn_api_fail(error, 415, "unsupported_media_type", NULL, "encoded bodies are not read; send plain JSON");
    if (self->content_type != NULL && !is_json_type(self->content_type))
        return tn_api_fail(error, 415, "unsupported_media_type", NULL, "the body must be 'Content-Type: application/json'");
    if (self->content_length > 0 && (uint64_t)self->content_length > limit)
        return tn_api_fail(error, 413, "body_too_large", NULL, "the body has %lld bytes, at most %zu are read",
                           (long long)self->content_length, limit);
    return true;
}

bool tn_head_check(tn_exchange *exchange, const tn_request_line *line, tn_api_error *error) {
    head self;
    if (!check_form(exchange, line, &self, error)) return false;
    if (self.host != NULL && !is_host_allowed(exchange->server, self.host))
        return tn_api_fail(error, 403, "host_not_allowed", NULL, "this Host is not served; see --allow-host");
    if (!check_origin(exchange, &self, error)) return false;
    bool is_preflight = strcmp(line->method, "OPTIONS") == 0 && exchange->origin[0] != '\0';
    const char *method = is_preflight ? "POST" : line->method;
    const tn_connection *connection = exchange->connection;
    exchange->route = connection->is_path_cut ? NULL : tn_route_find(connection->path, method, &exchange->allowed_methods, error);
    if (connection->is_path_cut) tn_api_fail(error, 404, "not_found", NULL, "there is no such route");
    if (is_preflight && (exchange->route != NULL || error->status == 405)) {
        exchange->status = 204;
        exchange->allowed_methods = "GET, POST, OPTIONS";
        return true;
    }
    if (exchange->route == NULL) return false;
    if (!exchange->route->is_open && !check_key(exchange, &self, error)) return false;
    if (exchange->route->needs_executor && atomic_load(&exchange->server->is_draining)) {
        tn_api_fail(error, 503, "shutting_down", NULL, "the server is shutting down");
        error->retry_after_s = 5;
        return false;
    }
    return check_body(exchange, &self, error);
}
