/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: choices as JSON.
 */
#include "server/answer.h"

#include <math.h>
#include <microhttpd.h>
#include <string.h>

#include "server/embeddings.h"
#include "server/generation.h"
#include "server/server_internal.h"

/* --- log-probabilities ---------------------------------------------------------------------------------------------------------------- */

/* One token's text alone, as a JSON string; ids without a tokenizer. */
static void write_token(const tn_server *server, int32_t id, tn_text *out) {
    char *text = NULL;
    size_t size = 0;
    if (server->tokenizer == NULL)
        tn_text_append_format(out, "\"%d\"", (int)id);
    else if (tn_tokenizer_decode(server->tokenizer, &id, 1, false, NULL, &text, &size) == TN_OK)
        tn_text_append_json_string(out, text, size);
    else
        out->failed = true;
    if (server->tokenizer != NULL) tn_tokenizer_free(server->tokenizer, text);
}

/* JSON has no infinity: what cannot be is told as -9999, as vLLM does. */
static void write_log_prob(float value, tn_text *out) {
    tn_text_append_format(out, "%.7g", isfinite(value) ? (double)value : -9999.0);
}

static void write_bytes(const char *json, size_t size, tn_text *out);

/* {"token", "logprob", "bytes"} without the closing brace */
static void write_chat_token(const tn_server *server, int32_t id, float log_prob, tn_text *out) {
    tn_text_append_string(out, "{\"token\": ");
    write_token(server, id, out);
    tn_text_append_string(out, ", \"logprob\": ");
    write_log_prob(log_prob, out);
    tn_text_append_string(out, ", \"bytes\": ");
    char *text = NULL;
    size_t size = 0;
    if (server->tokenizer != NULL && tn_tokenizer_decode(server->tokenizer, &id, 1, false, NULL, &text, &size) != TN_OK) out->failed = true;
    write_bytes(text, size, out);
    if (server->tokenizer != NULL) tn_tokenizer_free(server->tokenizer, text);
}

static void write_bytes(const char *text, size_t size, tn_text *out) {
    tn_text_append_char(out, '[');
    for (size_t i = 0; i < size; i++) tn_text_append_format(out, "%s%u", i > 0 ? ", " : "", (unsigned)(unsigned char)text[i]);
    tn_text_append_char(out, ']');
}

static void write_chat_log_probs(const tn_generation *generation, const tn_choice *choice, tn_text *out) {
    tn_text_append_string(out, "{\"content\": [");
    for (size_t i = 0; i < choice->entries.count; i++) {
        const tn_token_entry *entry = &choice->entries.data[i];
        if (i > 0) tn_text_append_string(out, ", ");
        write_chat_token(generation->server, entry->id, entry->log_prob, out);
        tn_text_append_string(out, ", \"top_logprobs\": [");
        for (size_t k = 0; k < entry->num_top; k++) {
            const tn_log_prob *top = &choice->tops.data[entry->first_top + k];
            if (k > 0) tn_text_append_string(out, ", ");
            write_chat_token(generation->server, top->id, top->value, out);
            tn_text_append_char(out, '}');
        }
        tn_text_append_string(out, "]}");
    }
    tn_text_append_string(out, "]}");
}

/* An object names each text once: of two tokens with one text (parts of code points have U+FFFD) the likelier stays. */
static bool is_named_before(const tn_text *out, const size_t *begins, const size_t *ends, size_t count) {
    for (size_t i = 0; i + 1 < count; i++)
        if (ends[i] - begins[i] == ends[count - 1] - begins[count - 1] &&
            memcmp(out->data + begins[i], out->data + begins[count - 1], ends[i] - begins[i]) == 0)
            return true;
    return false;
}

static void write_tops(const tn_generation *generation, const tn_choice *choice, const tn_token_entry *entry, tn_text *out) {
    enum { MAX_TOPS = 32 };
    size_t begins[MAX_TOPS], ends[MAX_TOPS], count = 0;
    if (!entry->has_log_prob) {
        tn_text_append_string(out, "null");
        return;
    }
    tn_text_append_char(out, '{');
    for (size_t k = 0; k < entry->num_top && k < MAX_TOPS && !out->failed; k++) {
        const tn_log_prob *top = &choice->tops.data[entry->first_top + k];
        size_t before = out->size;
        if (count > 0) tn_text_append_string(out, ", ");
        begins[count] = out->size;
        write_token(generation->server, top->id, out);
        ends[count++] = out->size;
        if (!out->failed && is_named_before(out, begins, ends, count)) {
            out->size = before;
            out->data[before] = '\0';
            count--;
            continue;
        }
        tn_text_append_string(out, ": ");
        write_log_prob(top->value, out);
    }
    tn_text_append_char(out, '}');
}

static void write_completion_log_probs(const tn_generation *generation, const tn_choice *choice, tn_text *out) {
    tn_text_append_string(out, "{\"tokens\": [");
    for (size_t i = 0; i < choice->entries.count; i++) {
        if (i > 0) tn_text_append_string(out, ", ");
        write_token(generation->server, choice->entries.data[i].id, out);
    }
    tn_text_append_string(out, "], \"token_logprobs\": [");
    for (size_t i = 0; i < choice->entries.count; i++) {
        if (i > 0) tn_text_append_string(out, ", ");
        if (choice->entries.data[i].has_log_prob)
            write_log_prob(choice->entries.data[i].log_prob, out);
        else
            tn_text_append_string(out, "null");
    }
    tn_text_append_string(out, "], \"top_logprobs\": [");
    for (size_t i = 0; i < choice->entries.count; i++) {
        if (i > 0) tn_text_append_string(out, ", ");
        write_tops(generation, choice, &choice->entries.data[i], out);
    }
    tn_text_append_string(out, "], \"text_offset\": [");
    for (size_t i = 0; i < choice->entries.count; i++)
        tn_text_append_format(out, "%s%zu", i > 0 ? ", " : "", choice->entries.data[i].text_offset);
    tn_text_append_string(out, "]}");
}

/* --- parts of both forms ------------------------------------------------------------------------------------------------------------- */

/* One element of tool_calls; from `begin` on of its arguments. */
static void write_call(const tn_generation *generation, const tn_choice *choice, size_t index, bool is_delta, size_t begin, tn_text *out) {
    const tn_choice_call *call = &choice->calls.data[index];
    const char *arguments = call->arguments.data != NULL ? call->arguments.data : "";
    bool is_first = !is_delta || !call->is_named;
    tn_text_append_char(out, '{');
    if (is_delta) tn_text_append_format(out, "\"index\": %zu, ", index);
    if (is_first)
        tn_text_append_format(out, "\"id\": \"call-%s-%d-%zu\", \"type\": \"function\", ", generation->id,
                              (int)(choice - generation->choices), index);
    tn_text_append_string(out, "\"function\": {");
    if (is_first) {
        tn_text_append_string(out, "\"name\": ");
        tn_text_append_json_string(out, call->name.data != NULL ? call->name.data : "", call->name.size);
        tn_text_append_string(out, ", ");
    }
    tn_text_append_string(out, "\"arguments\": ");
    tn_text_append_json_string(out, arguments + begin, call->arguments.size - begin);
    tn_text_append_string(out, "}}");
}

static void write_end(const tn_choice *choice, tn_text *out) {
    static const char *const reasons[] = {[TN_CHOICE_STOP] = "\"stop\"",
                                          [TN_CHOICE_LENGTH] = "\"length\"",
                                          [TN_CHOICE_TIMED_OUT] = "\"length\"",
                                          [TN_CHOICE_CANCELLED] = "\"length\""};
    if (choice->end == TN_CHOICE_RUNS) {
        tn_text_append_string(out, ", \"finish_reason\": null, \"stop_reason\": null");
        return;
    }
    bool has_calls = choice->end == TN_CHOICE_STOP && choice->calls.count > 0;
    tn_text_append_format(out, ", \"finish_reason\": %s, \"stop_reason\": ", has_calls ? "\"tool_calls\"" : reasons[choice->end]);
    if (choice->stop_string != NULL)
        tn_text_append_json_string(out, choice->stop_string, strlen(choice->stop_string));
    else if (choice->stop_id >= 0)
        tn_text_append_format(out, "%d", (int)choice->stop_id);
    else if (choice->end == TN_CHOICE_TIMED_OUT)
        tn_text_append_string(out, "\"timed_out\"");
    else
        tn_text_append_string(out, "null");
}

static void write_log_probs(const tn_generation *generation, const tn_choice *choice, tn_text *out) {
    tn_text_append_string(out, ", \"logprobs\": ");
    if (!generation->has_log_probs)
        tn_text_append_string(out, "null");
    else if (generation->is_chat)
        write_chat_log_probs(generation, choice, out);
    else
        write_completion_log_probs(generation, choice, out);
}

static void write_usage(const tn_generation *generation, tn_text *out) {
    int64_t num_prompt = 0, num_cached = 0, num_generated = 0;
    for (int32_t i = 0; i < generation->num_jobs; i++) {
        num_prompt += generation->jobs[i].num_prompt_tokens;
        num_cached += generation->jobs[i].num_reused_tokens;
    }
    for (int32_t i = 0; i < generation->num_choices; i++) num_generated += generation->choices[i].num_tokens;
    tn_text_append_format(out,
                          "\"usage\": {\"prompt_tokens\": %lld, \"completion_tokens\": %lld, \"total_tokens\": %lld, "
                          "\"prompt_tokens_details\": {\"cached_tokens\": %lld}}",
                          (long long)num_prompt, (long long)num_generated, (long long)(num_prompt + num_generated), (long long)num_cached);
}

static void write_head(const tn_generation *generation, const char *object, tn_text *out) {
    tn_text_append_format(out, "{\"id\": \"%s\", \"object\": \"%s\", \"created\": %lld, \"model\": ", generation->id, object,
                          (long long)generation->created_unix_s);
    tn_text_append_json_string(out, generation->model, strlen(generation->model));
    tn_text_append_string(out, ", \"choices\": [");
}

/* --- whole ---------------------------------------------------------------------------------------------------------------------------- */

static void write_whole_choice(const tn_generation *generation, int32_t index, tn_text *out) {
    const tn_choice *choice = &generation->choices[index];
    tn_text_append_format(out, "%s{\"index\": %d, ", index > 0 ? ", " : "", (int)index);
    tn_text_append_string(out, generation->is_chat ? "\"message\": {\"role\": \"assistant\", \"content\": " : "\"text\": ");
    if (choice->calls.count > 0 && choice->text.size == 0)
        tn_text_append_string(out, "null");
    else
        tn_text_append_json_string(out, choice->text.data != NULL ? choice->text.data : "", choice->text.size);
    for (size_t i = 0; i < choice->calls.count; i++) {
        tn_text_append_string(out, i == 0 ? ", \"tool_calls\": [" : ", ");
        write_call(generation, choice, i, false, 0, out);
    }
    if (choice->calls.count > 0) tn_text_append_char(out, ']');
    if (generation->is_chat) tn_text_append_char(out, '}');
    write_log_probs(generation, choice, out);
    write_end(choice, out);
    tn_text_append_char(out, '}');
}

void tn_exchange_finish(tn_exchange *exchange) {
    tn_generation *generation = exchange->generation;
    tn_text *out = &exchange->reply;
    if (generation->is_failed) {
        tn_exchange_refuse(exchange, &generation->error);
    } else if (generation->num_dimensions > 0) {
        tn_embeddings_write(generation, out);
        tn_exchange_reply(exchange, 200, "application/json");
    } else {
        write_head(generation, generation->is_chat ? "chat.completion" : "text_completion", out);
        for (int32_t i = 0; i < generation->num_choices; i++) write_whole_choice(generation, i, out);
        tn_text_append_string(out, "], ");
        write_usage(generation, out);
        tn_text_append_char(out, '}');
        tn_exchange_reply(exchange, 200, "application/json");
    }
}

/* --- streamed -------------------------------------------------------------------------------------------------------------------------- */

static void begin_event(const tn_generation *generation, tn_text *out) {
    tn_text_append_string(out, "data: ");
    write_head(generation, generation->is_chat ? "chat.completion.chunk" : "text_completion", out);
}

bool tn_generation_prepare_events(tn_generation *generation) {
    tn_text head = {.allocator = generation->arena.allocator};
    bool is_ok = true;
    for (int32_t i = 0; is_ok && i < generation->num_choices; i++) {
        tn_choice *choice = &generation->choices[i];
        tn_text_reset(&head);
        begin_event(generation, &head);
        tn_text_append_format(&head, "{\"index\": %d, ", (int)i);
        choice->event_head = head.failed ? NULL : tn_arena_bytes(&generation->arena, head.data, head.size);
        choice->event_head_size = head.size;
        is_ok = choice->event_head != NULL;
    }
    tn_text_deinit(&head);
    return is_ok;
}

static bool has_untold_calls(const tn_choice *choice) {
    const tn_choice_call *last = choice->calls.count > 0 ? &choice->calls.data[choice->calls.count - 1] : NULL;
    return last != NULL && (!last->is_named || last->num_told < last->arguments.size);
}

static void write_call_deltas(const tn_generation *generation, tn_choice *choice, tn_text *out) {
    bool is_first = true;
    for (size_t i = 0; i < choice->calls.count; i++) {
        tn_choice_call *call = &choice->calls.data[i];
        if (call->is_named && call->num_told == call->arguments.size) continue;
        tn_text_append_string(out, is_first ? "\"tool_calls\": [" : ", ");
        write_call(generation, choice, i, true, call->num_told, out);
        call->is_named = true;
        call->num_told = call->arguments.size;
        is_first = false;
    }
    if (!is_first) tn_text_append_char(out, ']');
}

static void write_chat_delta(const tn_generation *generation, tn_choice *choice, tn_text *out) {
    bool has_calls = has_untold_calls(choice), has_ended = choice->end != TN_CHOICE_RUNS;
    bool has_content = choice->text.size > 0 || (!has_calls && (!choice->has_begun || generation->has_log_probs || !has_ended));
    tn_text_append_string(out, choice->has_begun ? "\"delta\": {" : "\"delta\": {\"role\": \"assistant\"");
    if (!choice->has_begun && (has_content || has_calls)) tn_text_append_string(out, ", ");
    if (has_content) {
        tn_text_append_string(out, "\"content\": ");
        tn_text_append_json_string(out, choice->text.data != NULL ? choice->text.data : "", choice->text.size);
    }
    if (has_content && has_calls) tn_text_append_string(out, ", ");
    if (has_calls) write_call_deltas(generation, choice, out);
    tn_text_append_char(out, '}');
}

/* What a choice has to tell, if anything. Its text and tokens are told then. */
static void write_delta(const tn_generation *generation, int32_t index, tn_text *out) {
    tn_choice *choice = &generation->choices[index];
    bool has_ended = choice->end != TN_CHOICE_RUNS;
    bool has_news = choice->text.size > 0 || has_ended || has_untold_calls(choice) || (!choice->has_begun && choice->num_tokens > 0);
    if (choice->is_told || !has_news) return;
    tn_text_append(out, choice->event_head, choice->event_head_size);
    if (generation->is_chat) {
        write_chat_delta(generation, choice, out);
    } else {
        tn_text_append_string(out, "\"text\": ");
        tn_text_append_json_string(out, choice->text.data != NULL ? choice->text.data : "", choice->text.size);
    }
    write_log_probs(generation, choice, out);
    write_end(choice, out);
    tn_text_append_string(out, "}]");
    if (generation->continuous_usage) {
        tn_text_append_string(out, ", ");
        write_usage(generation, out);
    } else if (generation->include_usage) {
        tn_text_append_string(out, ", \"usage\": null");
    }
    tn_text_append_string(out, "}\n\n");
    choice->has_begun = true;
    choice->is_told = has_ended;
    tn_text_reset(&choice->text);
    choice->entries.count = choice->tops.count = 0;
}

static void write_stream_end(const tn_generation *generation, tn_text *out) {
    if (generation->include_usage && !generation->is_failed) {
        begin_event(generation, out);
        tn_text_append_string(out, "], ");
        write_usage(generation, out);
        tn_text_append_string(out, "}\n\n");
    }
    if (generation->is_failed) {
        tn_text_append_string(out, "data: ");
        tn_api_error_write(&generation->error, out);
        tn_text_append_string(out, "\n\n");
    }
    tn_text_append_string(out, "data: [DONE]\n\n");
}

static void write_events(tn_exchange *exchange) {
    tn_generation *generation = exchange->generation;
    for (int32_t i = 0; i < generation->num_choices; i++) write_delta(generation, i, &exchange->reply);
    if (tn_generation_is_complete(generation)) {
        write_stream_end(generation, &exchange->reply);
        exchange->is_stream_ended = true;
    }
}

ssize_t tn_stream_pull(tn_exchange *exchange, char *buffer, size_t size) {
    if (exchange->connection->is_gone) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (exchange->num_taken == exchange->reply.size) {
        tn_text_reset(&exchange->reply);
        exchange->num_taken = 0;
        if (exchange->is_stream_ended) return MHD_CONTENT_READER_END_OF_STREAM;
        write_events(exchange);
    }
    if (exchange->reply.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t num_left = exchange->reply.size - exchange->num_taken;
    if (num_left == 0) {
        exchange->is_suspended = true;
        tn_connection_set_deadline(exchange->connection, TN_DEADLINE_PING);
        MHD_suspend_connection(exchange->mhd);
        return 0;
    }
    tn_connection_set_deadline(exchange->connection, TN_DEADLINE_WRITE);
    if (num_left < size) size = num_left;
    memcpy(buffer, exchange->reply.data + exchange->num_taken, size);
    exchange->num_taken += size;
    exchange->num_sent_bytes += size;
    return (ssize_t)size;
}
