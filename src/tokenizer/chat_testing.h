/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_testing.h: chats rendered with the small tokenizer, for the tests of templates.
 */
#ifndef TN_TOKENIZER_CHAT_TESTING_H_
#define TN_TOKENIZER_CHAT_TESTING_H_

#include "support/fault_allocator.h"
#include "tokenizer/testing.h"

typedef struct test_chat {
    const tn_chat_message *messages;
    size_t num_messages;
    tn_chat_options options;
} test_chat;

static inline test_chat make_chat(tn_diag *diag, const char *template_text, const tn_chat_message *messages, size_t num_messages) {
    test_chat chat = {.messages = messages, .num_messages = num_messages};
    tn_chat_options_init(&chat.options);
    chat.options.diag = diag;
    chat.options.template_text = template_text;
    return chat;
}

/* The text, or NULL and the status; the caller frees. out_marks, if wanted: one character a byte, 't' or 'm'. */
static inline char *render_chat(const test_chat *chat, tn_status *out_status, char **out_marks) {
    tn_tokenizer *t = load_small();
    tn_text_segment *segments;
    size_t count;
    if (out_marks) *out_marks = NULL;
    *out_status = tn_tokenizer_render_chat(t, chat->messages, chat->num_messages, &chat->options, &segments, &count);
    tn_text text = {0}, marks = {0};
    tn_text_append(&text, "", 0);
    tn_text_append(&marks, "", 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(segments[i].size_bytes > 0);
        if (i > 0) assert_true(segments[i].is_template != segments[i - 1].is_template);
        tn_text_append(&text, segments[i].text, segments[i].size_bytes);
        for (size_t k = 0; k < segments[i].size_bytes; k++) tn_text_append_char(&marks, segments[i].is_template ? 't' : 'm');
    }
    if (*out_status != TN_OK) {
        assert_null(segments);
        tn_text_deinit(&text);
    }
    if (*out_status == TN_OK && out_marks)
        *out_marks = marks.data;
    else
        tn_text_deinit(&marks);
    tn_tokenizer_free(t, segments);
    tn_tokenizer_destroy(t);
    return text.data;
}

static inline void assert_chat_renders(const test_chat *chat, const char *expected) {
    tn_status status;
    char *text = render_chat(chat, &status, NULL);
    if (status != TN_OK) fail_msg("'%s': %s", chat->options.template_text, first_message(chat->options.diag));
    assert_string_equal(text, expected);
    free(text);
}

static inline void assert_chat_is_refused(const test_chat *chat, tn_status expected, const char *words) {
    tn_status status;
    char *text = render_chat(chat, &status, NULL);
    tn_diag *diag = chat->options.diag;
    if (text) fail_msg("'%s' rendered '%s'", chat->options.template_text, text);
    if (status != expected) fail_msg("'%s': status %d, %s", chat->options.template_text, (int)status, first_message(diag));
    assert_mentions(diag, words);
    assert_int_equal(tn_diag_num_entries(diag), 1);
    tn_diag_clear(diag);
}

/* Each allocation fails once with all after it and once alone: out of memory, one message, no leak. */
static inline void assert_failing_allocations_are_reported(test_chat chat) {
    tn_diag *diag = chat.options.diag;
    for (size_t fail_at = 0;; fail_at++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        tn_tokenizer_options load = {.struct_size = sizeof load, .diag = diag, .allocator = &fault.allocator};
        tn_tokenizer *t;
        assert_int_equal(tn_tokenizer_load_json(SMALL_JSON, strlen(SMALL_JSON), &load, &t), TN_OK);
        fault.fail_at = fault.num_calls + fail_at / 2 + 1;
        fault.keep_failing = fail_at % 2 == 0;
        tn_text_segment *segments;
        size_t count;
        tn_status status = tn_tokenizer_render_chat(t, chat.messages, chat.num_messages, &chat.options, &segments, &count);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_clear(diag);
        tn_tokenizer_free(t, segments);
        tn_tokenizer_destroy(t);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (status == TN_OK) break;
        assert_true(fail_at < 1000);
    }
}

#endif
