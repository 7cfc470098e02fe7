/* SPDX-License-Identifier: Apache-2.0
 *
 * routes.c: the table of routes, and those that need no generation.
 */
#include <stdio.h>
#include <string.h>

#include "server/fields.h"
#include "server/page/page.h"
#include "server/prepare.h"
#include "server/prompt.h"
#include "server/server_internal.h"

/* --- looking --------------------------------------------------------------------------------------------------------------------------- */

static void handle_health(tn_exchange *exchange) {
    tn_text_append_string(&exchange->reply, "{\"status\": \"ok\"}");
    tn_exchange_reply(exchange, 200, "application/json");
}

static void handle_ready(tn_exchange *exchange) {
    tn_server *server = exchange->server;
    bool is_ready = tn_server_is_ready(server);
    const char *state = is_ready ? "ready" : atomic_load(&server->is_draining) ? "draining" : "stalled";
    tn_text_append_format(&exchange->reply, "{\"status\": \"%s\"}", state);
    exchange->retry_after_s = is_ready ? 0 : 1;
    tn_exchange_reply(exchange, is_ready ? 200 : 503, "application/json");
}

static void handle_version(tn_exchange *exchange) {
    const char *info = exchange->server->options.build_info_json;
    tn_text_append_format(&exchange->reply, "{\"version\": \"" TN_VERSION "\", \"build\": %s}", info != NULL ? info : "{}");
    tn_exchange_reply(exchange, 200, "application/json");
}

static void append_model(const tn_server *server, tn_text *out) {
    const char *name = server->options.model_name, *info = server->options.build_info_json;
    tn_text_append_string(out, "{\"id\": ");
    tn_text_append_json_string(out, name, strlen(name));
    tn_text_append_format(out,
                          ", \"object\": \"model\", \"created\": %lld, \"owned_by\": \"tenon\", \"max_model_len\": %lld, "
                          "\"meta\": {\"vocab_size\": %lld, \"max_batch_size\": %d, \"build\": %s}}",
                          (long long)server->created_unix_s, (long long)server->limits.max_seq_len, (long long)server->limits.vocab_size,
                          (int)server->limits.max_batch_size, info != NULL ? info : "{}");
}

static void handle_models(tn_exchange *exchange) {
    tn_text_append_string(&exchange->reply, "{\"object\": \"list\", \"data\": [");
    append_model(exchange->server, &exchange->reply);
    tn_text_append_string(&exchange->reply, "]}");
    tn_exchange_reply(exchange, 200, "application/json");
}

static void handle_model(tn_exchange *exchange) {
    tn_api_error error;
    const char *name = exchange->connection->path + strlen("/v1/models/");
    if (strcmp(name, exchange->server->options.model_name) == 0) {
        append_model(exchange->server, &exchange->reply);
        tn_exchange_reply(exchange, 200, "application/json");
        return;
    }
    tn_api_fail(&error, 404, "model_not_found", "model", "this server has the model '%s'", exchange->server->options.model_name);
    tn_exchange_refuse(exchange, &error);
}

static void handle_page(tn_exchange *exchange) {
    tn_api_error error;
    const tn_page_file *file = tn_page_find(exchange->connection->path);
    if (file == NULL) {
        tn_api_fail(&error, 404, "not_found", NULL, "there is no such file");
        tn_exchange_refuse(exchange, &error);
        return;
    }
    tn_text_append(&exchange->reply, file->bytes, file->size_bytes);
    exchange->etag = file->etag;
    exchange->content_policy = tn_page_policy;
    tn_exchange_reply(exchange, 200, file->content_type);
}

static void handle_metrics(tn_exchange *exchange) {
    tn_server *server = exchange->server;
    tn_executor_info info;
    tn_executor_get_info(server->executor, &info);
    double num_blocks = info.num_blocks > 0 ? (double)info.num_blocks : 1.0;
    const tn_gauge gauges[] = {
        {"num_requests_running", "Sequences that run.", info.num_active},
        {"num_requests_waiting", "Sequences that wait.", info.num_queued},
        {"kv_cache_usage_perc", "Part of the cache's blocks that is in use, 0 to 1.",
         (num_blocks - (double)info.num_free_blocks) / num_blocks},
        {"kv_cache_blocks", "Blocks of the cache.", (double)info.num_blocks},
        {"kv_cache_cached_blocks", "Blocks that keep prompts for reuse.", (double)info.num_cached_blocks},
        {"queued_prompt_tokens", "Tokens of prompts that wait.", (double)atomic_load(&server->num_queued_tokens)},
        {"connections", "Open connections.", atomic_load(&server->num_connections)},
        {"ready", "1 while /ready answers 200.", tn_server_is_ready(server) ? 1.0 : 0.0},
    };
    tn_metrics_write(&server->metrics, server->options.model_name, gauges, sizeof gauges / sizeof *gauges, &exchange->reply);
    tn_exchange_reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8");
}

/* --- tokens ------------------------------------------------------------------------------------------------------------------------------ */

/* What the handlers below share: the body's fields, and memory for the answer. */
typedef struct reading {
    tn_arena arena;
    tn_json *json;
    tn_api_fields fields;
    tn_api_error error;
    tn_preparation preparation;
} reading;

static bool begin_reading(tn_exchange *exchange, reading *self) {
    tn_server *server = exchange->server;
    *self = (reading){.arena = {.allocator = &server->allocator}};
    self->preparation = (tn_preparation){server, &self->arena, exchange->diag, &self->error, exchange->body.size};
    return tn_fields_parse(exchange->body.data != NULL ? exchange->body.data : "", exchange->body.size, &server->allocator, exchange->diag,
                           &self->json, &self->error) &&
           tn_fields_read(tn_json_root(self->json), exchange->route->fields, exchange->diag, &self->fields, &self->error);
}

static void end_reading(tn_exchange *exchange, reading *self, bool is_ok) {
    if (is_ok)
        tn_exchange_reply(exchange, 200, "application/json");
    else
        tn_exchange_refuse(exchange, &self->error);
    tn_json_destroy(self->json);
    tn_arena_deinit(&self->arena);
}

static void append_pieces(const tn_server *server, const tn_prompt *prompt, tn_text *out) {
    tn_text_append_string(out, ", \"token_strs\": [");
    for (size_t i = 0; i < prompt->num_ids; i++) {
        size_t size;
        const char *piece = tn_tokenizer_piece(server->tokenizer, prompt->ids[i], &size);
        if (i > 0) tn_text_append_string(out, ", ");
        tn_text_append_json_string(out, piece != NULL ? piece : "", piece != NULL ? size : 0);
    }
    tn_text_append_char(out, ']');
}

static bool tokenize(tn_exchange *exchange, reading *self) {
    const tn_api_fields *fields = &self->fields;
    const tn_json_value *value = fields->text != NULL ? fields->text : fields->content;
    tn_text *out = &exchange->reply;
    tn_prompt prompt;
    const char *text;
    size_t size;
    if (value == NULL && fields->messages == NULL)
        return tn_api_fail(&self->error, 400, "missing_field", "prompt", "'prompt' or 'messages' is missing");
    if (value != NULL) {
        tn_status status = tn_json_to_string(value, self->preparation.diag, &text, &size);
        if (status != TN_OK) return tn_api_fail_from(&self->error, status, self->preparation.diag, "prompt");
        if (!tn_prompt_encode(&self->preparation, text, size, fields->add_special_tokens && fields->add_special, fields->parse_special,
                              "prompt", &prompt))
            return false;
    } else if (!tn_chat_encode(&self->preparation, fields, &prompt)) {
        return false;
    }
    tn_text_append_format(out, "{\"count\": %zu, \"max_model_len\": %lld, \"tokens\": [", prompt.num_ids,
                          (long long)exchange->server->limits.max_seq_len);
    for (size_t i = 0; i < prompt.num_ids; i++) tn_text_append_format(out, "%s%d", i > 0 ? ", " : "", (int)prompt.ids[i]);
    tn_text_append_char(out, ']');
    if (fields->return_token_strs || fields->with_pieces) append_pieces(exchange->server, &prompt, out);
    tn_text_append_char(out, '}');
    return true;
}

static void handle_tokenize(tn_exchange *exchange) {
    reading self;
    end_reading(exchange, &self, begin_reading(exchange, &self) && tokenize(exchange, &self));
}

static bool detokenize(tn_exchange *exchange, reading *self) {
    const tn_server *server = exchange->server;
    int32_t *ids;
    size_t count, size;
    char *text;
    if (self->fields.tokens == NULL) return tn_api_fail(&self->error, 400, "missing_field", "tokens", "'tokens' is missing");
    if (!tn_ids_read(&self->preparation, self->fields.tokens, "tokens", SIZE_MAX, &ids, &count)) return false;
    if (server->tokenizer == NULL) return tn_api_fail(&self->error, 400, "unsupported", "tokens", "this model has no tokenizer");
    tn_status status = tn_tokenizer_decode(server->tokenizer, ids, count, false, self->preparation.diag, &text, &size);
    if (status != TN_OK) return tn_api_fail_from(&self->error, status, self->preparation.diag, "tokens");
    tn_text_append_string(&exchange->reply, "{\"prompt\": ");
    tn_text_append_json_string(&exchange->reply, text, size);
    tn_text_append_char(&exchange->reply, '}');
    tn_tokenizer_free(server->tokenizer, text);
    return true;
}

static void handle_detokenize(tn_exchange *exchange) {
    reading self;
    end_reading(exchange, &self, begin_reading(exchange, &self) && detokenize(exchange, &self));
}

static bool apply_template(tn_exchange *exchange, reading *self) {
    tn_text_segment *segments;
    size_t count;
    tn_text prompt = {.allocator = &exchange->server->allocator};
    if (!tn_chat_render(&self->preparation, &self->fields, &segments, &count)) return false;
    for (size_t i = 0; i < count; i++) tn_text_append(&prompt, segments[i].text, segments[i].size_bytes);
    tn_tokenizer_free(exchange->server->tokenizer, segments);
    tn_text_append_string(&exchange->reply, "{\"prompt\": ");
    tn_text_append_json_string(&exchange->reply, prompt.data != NULL ? prompt.data : "", prompt.size);
    tn_text_append_char(&exchange->reply, '}');
    exchange->reply.failed |= prompt.failed;
    tn_text_deinit(&prompt);
    return true;
}

static void handle_template(tn_exchange *exchange) {
    reading self;
    end_reading(exchange, &self, begin_reading(exchange, &self) && apply_template(exchange, &self));
}

static void append_special(const tn_tokenizer *tokenizer, const char *name, int32_t id, tn_text *out) {
    size_t size;
    const char *piece = id >= 0 ? tn_tokenizer_piece(tokenizer, id, &size) : NULL;
    tn_text_append_format(out, ", \"%s_token\": ", name);
    if (piece != NULL)
        tn_text_append_json_string(out, piece, size);
    else
        tn_text_append_string(out, "null");
    tn_text_append_format(out, ", \"%s_token_id\": ", name);
    if (piece != NULL)
        tn_text_append_format(out, "%d", (int)id);
    else
        tn_text_append_string(out, "null");
}

static void handle_tokenizer_info(tn_exchange *exchange) {
    const tn_server *server = exchange->server;
    const tn_tokenizer *tokenizer = server->tokenizer;
    tn_text *out = &exchange->reply;
    tn_api_error error;
    size_t size;
    if (tokenizer == NULL) {
        tn_api_fail(&error, 404, "unsupported", NULL, "this model has no tokenizer");
        tn_exchange_refuse(exchange, &error);
        return;
    }
    tn_text_append_format(out, "{\"tokenizer_class\": \"tenon\", \"vocab_size\": %zu, \"model_max_length\": %lld",
                          tn_tokenizer_vocab_size(tokenizer), (long long)server->limits.max_seq_len);
    append_special(tokenizer, "bos", tn_tokenizer_bos_id(tokenizer), out);
    append_special(tokenizer, "eos", tn_tokenizer_eos_id(tokenizer), out);
    append_special(tokenizer, "pad", tn_tokenizer_pad_id(tokenizer), out);
    const char *template = server->options.chat_template != NULL ? server->options.chat_template : NULL;
    if (template != NULL)
        size = strlen(template);
    else
        template = tn_tokenizer_chat_template(tokenizer, &size);
    tn_text_append_string(out, ", \"chat_template\": ");
    if (template != NULL)
        tn_text_append_json_string(out, template, size);
    else
        tn_text_append_string(out, "null");
    tn_text_append_char(out, '}');
    tn_exchange_reply(exchange, 200, "application/json");
}

/* --- the table ---------------------------------------------------------------------------------------------------------------------------- */

/* A path that ends in * stands for all that begin so. */
static const tn_route routes[] = {
    {"/", TN_METHOD_GET, true, false, 0, handle_page, "The web page."},
    {"/page/*", TN_METHOD_GET, true, false, 0, handle_page, "Its files."},
    {"/health", TN_METHOD_GET, true, false, 0, handle_health, "200 while the process lives."},
    {"/ready", TN_METHOD_GET, true, false, 0, handle_ready, "503 while it drains, and when requests run but no step ends."},
    {"/version", TN_METHOD_GET, true, false, 0, handle_version, "Version and build."},
    {"/metrics", TN_METHOD_GET, false, false, 0, handle_metrics, "Prometheus' text form."},
    {"/v1/models", TN_METHOD_GET, false, false, 0, handle_models, "The model."},
    {"/v1/models/*", TN_METHOD_GET, false, false, 0, handle_model, "The model, by its name."},
    {"/v1/completions", TN_METHOD_POST, false, true, TN_FIELDS_COMPLETIONS, tn_exchange_generate, "Goes on with a text."},
    {"/v1/chat/completions", TN_METHOD_POST, false, true, TN_FIELDS_CHAT, tn_exchange_generate, "Answers a conversation."},
    {"/v1/embeddings", TN_METHOD_POST, false, true, TN_FIELDS_EMBEDDINGS, tn_exchange_generate,
     "Texts as vectors; 501 without `--embeddings`."},
    {"/tokenize", TN_METHOD_POST, false, false, TN_FIELDS_TOKENIZE, handle_tokenize, "A text or a conversation as tokens."},
    {"/detokenize", TN_METHOD_POST, false, false, TN_FIELDS_DETOKENIZE, handle_detokenize, "Tokens as text."},
    {"/tokenizer_info", TN_METHOD_GET, false, false, 0, handle_tokenizer_info, "Vocabulary, special tokens, chat template."},
    {"/apply-template", TN_METHOD_POST, false, false, TN_FIELDS_TEMPLATE, handle_template, "A conversation as the template writes it."},
};

const tn_route *tn_routes(size_t *out_count) {
    *out_count = sizeof routes / sizeof *routes;
    return routes;
}

static bool is_path(const char *pattern, const char *path) {
    size_t size = strlen(pattern);
    if (pattern[size - 1] == '*') return strncmp(pattern, path, size - 1) == 0 && path[size - 1] != '\0';
    return strcmp(pattern, path) == 0;
}

const tn_route *tn_route_find(const char *path, const char *method, const char **out_allowed, tn_api_error *error) {
    size_t count;
    const tn_route *table = tn_routes(&count);
    for (size_t i = 0; i < count; i++) {
        bool is_get = table[i].method == TN_METHOD_GET;
        if (!is_path(table[i].path, path)) continue;
        if (strcmp(method, is_get ? "GET" : "POST") == 0 || (is_get && strcmp(method, "HEAD") == 0)) return &table[i];
        *out_allowed = is_get ? "GET, HEAD" : "POST";
        tn_api_fail(error, 405, "method_not_allowed", NULL, "%s takes %s", table[i].path, *out_allowed);
        return NULL;
    }
    tn_api_fail(error, 404, "not_found", NULL, "there is no such route");
    return NULL;
}
