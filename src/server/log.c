/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c: log lines.
 */
#include "server/log.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/generation.h"
#include "server/server_internal.h"

static void put(tn_server *server, const tn_text *line) {
    if (line->failed || server->options.log == NULL) return;
    pthread_mutex_lock(&server->log_lock);
    server->options.log(server->options.log_user, line->data, line->size);
    pthread_mutex_unlock(&server->log_lock);
}

static void begin(const tn_server *server, const char *event, tn_text *line) {
    char stamp[32];
    struct timespec now;
    struct tm calendar;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &calendar);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &calendar);
    if (server->options.log_json)
        tn_text_append_format(line, "{\"time\": \"%s.%03ldZ\", \"event\": \"%s\"", stamp, now.tv_nsec / 1000000, event);
    else
        tn_text_append_format(line, "%s.%03ldZ", stamp, now.tv_nsec / 1000000);
}

void tn_log_message(tn_server *server, const char *event, const char *format, ...) {
    char message[512];
    tn_text line = {.allocator = &server->allocator};
    if (server->options.log == NULL) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    begin(server, event, &line);
    if (server->options.log_json) {
        tn_text_append_string(&line, ", \"message\": ");
        tn_text_append_json_string(&line, message, strlen(message));
        tn_text_append_char(&line, '}');
    } else {
        tn_text_append_format(&line, " %s", message);
    }
    put(server, &line);
    tn_text_deinit(&line);
}

static const char *address_of(const tn_connection *connection, char text[64]) {
    const struct sockaddr *address = (const struct sockaddr *)&connection->address;
    const void *bytes = address->sa_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
                                                       : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    return inet_ntop(address->sa_family, bytes, text, 64) != NULL ? text : "?";
}

/* The path as it came is the client's: quoted. */
void tn_log_exchange(tn_server *server, const tn_exchange *exchange, bool is_whole) {
    char address[64];
    int64_t num_prompt = 0, num_generated = 0;
    tn_generation *generation = exchange->generation;
    tn_metrics_lock(&server->metrics);
    tn_metrics_count_status(&server->metrics, is_whole ? exchange->status : 499);
    if (!is_whole) tn_metrics_add(&server->metrics, TN_COUNTER_client_disconnects_total, 1);
    tn_metrics_unlock(&server->metrics);
    if (server->options.log == NULL || !server->options.log_requests) return;
    if (generation != NULL) {
        for (int32_t i = 0; i < generation->num_jobs; i++) num_prompt += generation->jobs[i].num_prompt_tokens;
        for (int32_t i = 0; i < generation->num_choices; i++) num_generated += generation->choices[i].num_tokens;
    }
    tn_text line = {.allocator = &server->allocator};
    double seconds = (double)(server->now_ns - exchange->begin_ns) * 1e-9;
    const tn_connection *connection = exchange->connection;
    begin(server, "request", &line);
    if (server->options.log_json) {
        tn_text_append_format(&line, ", \"id\": \"req-%llx\", \"address\": \"%s\", \"path\": ", (unsigned long long)exchange->id,
                              address_of(connection, address));
        tn_text_append_json_string(&line, connection->path, strlen(connection->path));
        tn_text_append_string(&line, ", \"key\": ");
        tn_text_append_json_string(&line, exchange->key_name, strlen(exchange->key_name));
        tn_text_append_format(
            &line, ", \"status\": %d, \"complete\": %s, \"seconds\": %.6f, \"prompt_tokens\": %lld, \"completion_tokens\": %lld}",
            exchange->status, is_whole ? "true" : "false", seconds, (long long)num_prompt, (long long)num_generated);
    } else {
        tn_text_append_format(&line, " %s %s", address_of(connection, address), exchange->key_name[0] != '\0' ? exchange->key_name : "-");
        tn_text_append_char(&line, ' ');
        tn_text_append_json_string(&line, connection->path, strlen(connection->path));
        tn_text_append_format(&line, " %d%s %.3f s", exchange->status, is_whole ? "" : " left", seconds);
        if (generation != NULL) tn_text_append_format(&line, " %lld+%lld tokens", (long long)num_prompt, (long long)num_generated);
        tn_text_append_format(&line, " req-%llx", (unsigned long long)exchange->id);
    }
    put(server, &line);
    tn_text_deinit(&line);
}

void tn_log_throughput(tn_server *server, double seconds) {
    tn_executor_info info;
    tn_metrics *metrics = &server->metrics;
    tn_metrics_lock(metrics);
    int64_t num_prompt = (int64_t)metrics->counters[TN_COUNTER_prompt_tokens_total];
    int64_t num_generated = (int64_t)metrics->counters[TN_COUNTER_generation_tokens_total];
    double num_queries = (double)metrics->counters[TN_COUNTER_prefix_cache_queries_total];
    double num_hits = (double)metrics->counters[TN_COUNTER_prefix_cache_hits_total];
    tn_metrics_unlock(metrics);
    if (num_prompt == server->last_num_prompt_tokens && num_generated == server->last_num_generated_tokens) return;
    tn_executor_get_info(server->executor, &info);
    tn_log_message(server, "throughput",
                   "prompt %.1f tok/s, generation %.1f tok/s, running %d, waiting %d, cache used %.1f %%, prefix hits %.1f %%",
                   (double)(num_prompt - server->last_num_prompt_tokens) / seconds,
                   (double)(num_generated - server->last_num_generated_tokens) / seconds, (int)info.num_active, (int)info.num_queued,
                   info.num_blocks > 0 ? 100.0 * (double)(info.num_blocks - info.num_free_blocks) / (double)info.num_blocks : 0.0,
                   num_queries > 0.0 ? 100.0 * num_hits / num_queries : 0.0);
    server->last_num_prompt_tokens = num_prompt;
    server->last_num_generated_tokens = num_generated;
}
