/* SPDX-License-Identifier: Apache-2.0
 *
 * text_test.c: what a stream says, put together, is what the whole answer says; stop strings end both at the same place, whatever
 * tokens they lie across; calls of tools come out of both.
 */
#include "format/json.h"
#include "server/stop_filter.h"
#include "server/testing.h"

/* --- the filter alone ---------------------------------------------------------------------------------------------------------------- */

/* The filter's text for `text` cut at `cut` and at every place after it in steps of `step`. */
static void filter(const tn_stop_strings *stops, const char *text, size_t cut, size_t step, tn_text *out, const char **out_found) {
    tn_stop_filter self_filter = {.stops = stops};
    size_t size = strlen(text), at = 0;
    bool goes_on = true;
    while (goes_on && at < size) {
        size_t count = at == 0 && cut > 0 ? cut : step;
        if (count > size - at) count = size - at;
        goes_on = tn_stop_filter_push(&self_filter, text + at, count, out);
        at += count;
    }
    if (goes_on) tn_stop_filter_finish(&self_filter, out);
    *out_found = self_filter.found;
    tn_stop_filter_deinit(&self_filter);
}

static void stop_filter_gives_the_same_for_every_cut(void **state) {
    (void)state;
    static const char *const strings[] = {"abcab", "ca", "xyz", "aab", "\xc3\xa9!"};
    static const size_t sizes[] = {5, 2, 3, 3, 3};
    static const char *const texts[] = {"abcab",    "aaab", "xxyxyz", "ababcabab", "nothing here", "ab", "xy", "caf\xc3\xa9? \xc3\xa9!",
                                        "aaxyaaab", ""};
    for (int keep = 0; keep < 2; keep++) {
        tn_stop_strings stops = {strings, sizes, 5, keep == 1};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            tn_text whole = {0};
            const char *found, *other;
            filter(&stops, texts[i], 0, 1000, &whole, &found);
            for (size_t cut = 0; cut <= strlen(texts[i]); cut++)
                for (size_t step = 1; step < 4; step++) {
                    tn_text parts = {0};
                    filter(&stops, texts[i], cut, step, &parts, &other);
                    assert_ptr_equal(found, other);
                    assert_int_equal(parts.size, whole.size);
                    if (whole.size > 0) assert_memory_equal(parts.data, whole.data, whole.size);
                    tn_text_deinit(&parts);
                }
            tn_text_deinit(&whole);
        }
    }
}

static void stop_filter_holds_back_only_what_may_stop(void **state) {
    (void)state;
    static const char *const strings[] = {"STOP"};
    static const size_t sizes[] = {4};
    tn_stop_strings stops = {strings, sizes, 1, false};
    tn_stop_filter one = {.stops = &stops};
    tn_text out = {0};
    assert_true(tn_stop_filter_push(&one, "go STO", 6, &out));
    assert_string_equal(out.data, "go ");
    assert_true(tn_stop_filter_push(&one, "RY", 2, &out));
    assert_string_equal(out.data, "go STORY");
    assert_true(tn_stop_filter_push(&one, "S", 1, &out));
    assert_string_equal(out.data, "go STORY");
    assert_false(tn_stop_filter_push(&one, "TOP now", 7, &out));
    assert_string_equal(out.data, "go STORY");
    tn_stop_filter_deinit(&one);
    tn_text_deinit(&out);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------------- */

typedef struct told {
    tn_text texts[4], calls; /* by choice; calls: names and arguments of all */
    char ends[4][16];
    size_t num_events;
    bool is_done;
} told;

static void free_told(told *one) {
    for (int i = 0; i < 4; i++) tn_text_deinit(&one->texts[i]);
    tn_text_deinit(&one->calls);
}

static void take_calls(const tn_json_value *calls, told *out) {
    const char *text;
    size_t size;
    for (size_t i = 0; calls != NULL && i < tn_json_count(calls); i++) {
        const tn_json_value *function = tn_json_find(tn_json_at(calls, i), "function");
        const tn_json_value *name = tn_json_find(function, "name"), *arguments = tn_json_find(function, "arguments");
        if (name != NULL && tn_json_to_string(name, NULL, &text, &size) == TN_OK) {
            tn_text_append_string(&out->calls, "|");
            tn_text_append(&out->calls, text, size);
            tn_text_append_string(&out->calls, ":");
        }
        if (arguments != NULL && tn_json_to_string(arguments, NULL, &text, &size) == TN_OK) tn_text_append(&out->calls, text, size);
    }
}

/* The model may say a zero byte, which our reader takes from nobody. */
static tn_json *parse(char *text, size_t size) {
    tn_json *json;
    for (char *at = text; (at = memmem(at, size - (size_t)(at - text), "\\u0000", 6)) != NULL; at += 6) at[5] = '1';
    assert_int_equal(tn_json_parse("an answer", text, size, NULL, NULL, NULL, &json), TN_OK);
    return json;
}

/* One object of either form. */
static void take_object(char *text, size_t size, told *out) {
    tn_json *json = parse(text, size);
    const tn_json_value *choices = tn_json_find(tn_json_root(json), "choices");
    assert_non_null(choices);
    for (size_t i = 0; i < tn_json_count(choices); i++) {
        const tn_json_value *choice = tn_json_at(choices, i), *body = tn_json_find(choice, "message"),
                            *end = tn_json_find(choice, "finish_reason");
        int64_t index;
        const char *piece;
        size_t piece_size;
        assert_int_equal(tn_json_get_integer(choice, "index", 0, 3, NULL, &index), TN_OK);
        if (body == NULL) body = tn_json_find(choice, "delta");
        const tn_json_value *content = body != NULL ? tn_json_find(body, "content") : tn_json_find(choice, "text");
        if (body != NULL) take_calls(tn_json_find(body, "tool_calls"), out);
        if (content != NULL && tn_json_kind_of(content) == TN_JSON_STRING) {
            assert_int_equal(tn_json_to_string(content, NULL, &piece, &piece_size), TN_OK); /* valid UTF-8, in each event */
            tn_text_append(&out->texts[index], piece, piece_size);
        }
        if (end == NULL || tn_json_kind_of(end) != TN_JSON_STRING) continue;
        assert_string_equal(out->ends[index], "");
        assert_int_equal(tn_json_to_string(end, NULL, &piece, NULL), TN_OK);
        snprintf(out->ends[index], sizeof out->ends[index], "%s", piece);
    }
    tn_json_destroy(json);
}

static void take_stream(const tn_test_http *answer, told *out) {
    for (char *at = answer->body, *next; *at != '\0'; at = next) {
        char *end = strstr(at, "\n\n");
        assert_non_null(end);
        next = end + 2;
        assert_false(out->is_done);
        if (*at == ':') continue;
        assert_memory_equal(at, "data: ", 6);
        out->is_done = strncmp(at, "data: [DONE]", 12) == 0;
        if (!out->is_done) take_object(at + 6, (size_t)(end - at) - 6, out);
        out->num_events++;
    }
    assert_true(out->is_done);
}

static told ask(const char *path, const char *fields, bool streams) {
    told out = {0};
    tn_text body = {0};
    tn_text_append_format(&body, "{%s%s}", fields, streams ? ", \"stream\": true" : "");
    tn_test_http answer = tn_test_post(self.port, path, body.data);
    if (answer.status != 200) fail_msg("%s\n%d %s", body.data, answer.status, answer.body);
    if (streams)
        take_stream(&answer, &out);
    else
        take_object(answer.body, answer.size, &out);
    tn_test_http_free(&answer);
    tn_text_deinit(&body);
    return out;
}

static void expect_same(const char *path, const char *fields) {
    told whole = ask(path, fields, false), stream = ask(path, fields, true);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(stream.ends[i], whole.ends[i]);
        assert_int_equal(stream.texts[i].size, whole.texts[i].size);
        if (whole.texts[i].size > 0) assert_memory_equal(stream.texts[i].data, whole.texts[i].data, whole.texts[i].size);
    }
    assert_int_equal(stream.calls.size, whole.calls.size);
    if (whole.calls.size > 0) assert_string_equal(stream.calls.data, whole.calls.data);
    free_told(&whole);
    free_told(&stream);
}

/* Random weights say random bytes: broken code points, special tokens, everything. */
static void streams_put_together_equal_the_whole(void **state) {
    (void)state;
    char fields[512];
    for (int seed = 0; seed < 40; seed++) {
        snprintf(
            fields, sizeof fields,
            "\"prompt\": \"Hello %d\", \"max_tokens\": 40, \"temperature\": %s, \"seed\": %d, \"n\": %d, \"skip_special_tokens\": %s%s",
            seed, seed % 3 == 0 ? "0" : "1.5", seed, 1 + seed % 3, seed % 2 == 0 ? "true" : "false",
            seed % 4 == 0 ? "" : ", \"stop\": [\"e\", \"\\u00e9\", \"th\", \" a\"]");
        expect_same("/v1/completions", fields);
    }
}

static void chats_put_together_equal_the_whole(void **state) {
    (void)state;
    char fields[512];
    for (int seed = 0; seed < 12; seed++) {
        snprintf(fields, sizeof fields,
                 "\"messages\": [{\"role\": \"user\", \"content\": \"Hi %d\"}], \"max_tokens\": 30, \"seed\": %d, \"temperature\": 1.2, "
                 "\"logprobs\": %s, \"include_stop_str_in_output\": %s, \"stop\": \"e\"",
                 seed, seed, seed % 2 == 0 ? "true" : "false", seed % 3 == 0 ? "true" : "false");
        expect_same("/v1/chat/completions", fields);
    }
}

static void answers_do_not_depend_on_what_else_runs(void **state) {
    (void)state;
    const char *fields = "\"prompt\": \"Once\", \"max_tokens\": 32, \"temperature\": 1, \"seed\": 7";
    told alone = ask("/v1/completions", fields, false);
    told beside =
        ask("/v1/completions",
            "\"prompt\": [\"Once\", \"Twice or more\", \"x\", \"Once upon\"], \"max_tokens\": 32, \"temperature\": 1, \"seed\": 7", false);
    assert_string_equal(alone.texts[0].data, beside.texts[0].data);
    free_told(&alone);
    free_told(&beside);
}

/* Large bodies are read by another thread: their answers are the same, and none is forgotten. */
static void large_bodies_are_answered_like_small_ones(void **state) {
    (void)state;
    tn_text fields = {0};
    const char *rest = "\"prompt\": \"Once\", \"max_tokens\": 1, \"temperature\": 1, \"seed\": 7";
    told small = ask("/v1/completions", rest, false);
    tn_text_append_format(&fields, "%s, \"user\": \"", rest);
    for (int i = 0; i < 40000; i++) tn_text_append_char(&fields, 'u');
    tn_text_append_char(&fields, '"');
    for (int i = 0; i < 40; i++) {
        told large = ask("/v1/completions", fields.data, i % 2 == 1);
        assert_string_equal(large.texts[0].data, small.texts[0].data);
        assert_string_equal(large.ends[0], small.ends[0]);
        free_told(&large);
    }
    free_told(&small);
    tn_text_reset(&fields);
    tn_text_append_string(&fields, "{\"prompt\": \"");
    for (int i = 0; i < 40000; i++) tn_text_append_char(&fields, 'u');
    tn_text_append_string(&fields, "\"}");
    tn_test_http answer = tn_test_post(self.port, "/tokenize", fields.data);
    assert_int_equal(answer.status, 200);
    tn_test_http_free(&answer);
    tn_text_deinit(&fields);
}

static void echoed_prompts_stand_before_the_answer_with_their_log_probs(void **state) {
    (void)state;
    tn_test_http answer =
        tn_test_post(self.port, "/v1/completions",
                     "{\"prompt\": [\"the end\", [200, 201]], \"max_tokens\": 0, \"echo\": true, \"logprobs\": 3, \"temperature\": 0}");
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "\"text\": \"the end\""));
    assert_non_null(strstr(answer.body, "\"token_logprobs\": [null, -"));
    assert_non_null(strstr(answer.body, "\"top_logprobs\": [null, {"));
    assert_non_null(strstr(answer.body, "\"completion_tokens\": 0"));
    tn_test_http_free(&answer);
}

static void echoed_prompts_are_told_by_the_first_event(void **state) {
    (void)state;
    char fields[256];
    for (int i = 0; i < 8; i++) {
        snprintf(fields, sizeof fields,
                 "\"prompt\": [\"the end\", \"of it\"], \"max_tokens\": %d, \"echo\": true, \"seed\": 4, \"n\": %d%s%s", i % 4 == 0 ? 0 : 9,
                 1 + i / 4, i % 2 == 0 ? "" : ", \"logprobs\": 3", i == 3 ? ", \"stop\": \"the\"" : "");
        expect_same("/v1/completions", fields);
    }
    tn_test_http answer =
        tn_test_post(self.port, "/v1/completions",
                     "{\"prompt\": [5, 6, 7], \"max_tokens\": 9, \"echo\": true, \"logprobs\": 2, \"stream\": true, \"ignore_eos\": true}");
    char *end = strstr(answer.body, "\n\n");
    assert_non_null(end);
    assert_non_null(strstr(answer.body, "\"token_logprobs\": [null, -"));
    assert_true(strstr(answer.body, "\"top_logprobs\": [null, {") < end);
    assert_null(strstr(end, "null, -"));
    tn_test_http_free(&answer);
}

/* The log-probabilities of an echoed text are those that the model had when it said it. */
static void log_probs_of_echo_and_answer_agree(void **state) {
    (void)state;
    const char *forms[] = {"{\"prompt\": [5, 6, 7], \"max_tokens\": 1, \"logprobs\": 1, \"temperature\": 0, \"logit_bias\": {\"70\": 100}}",
                           "{\"prompt\": [5, 6, 7, 70], \"max_tokens\": 0, \"echo\": true, \"logprobs\": 1}"};
    double values[2] = {0};
    for (int i = 0; i < 2; i++) {
        tn_test_http answer = tn_test_post(self.port, "/v1/completions", forms[i]);
        assert_int_equal(answer.status, 200);
        tn_json *json = parse(answer.body, answer.size);
        const tn_json_value *choice = tn_json_at(tn_json_find(tn_json_root(json), "choices"), 0);
        const tn_json_value *list = tn_json_find(tn_json_find(choice, "logprobs"), "token_logprobs");
        assert_int_equal(tn_json_to_number(tn_json_at(list, tn_json_count(list) - 1), -1e9, 0.0, NULL, &values[i]), TN_OK);
        tn_json_destroy(json);
        tn_test_http_free(&answer);
    }
    assert_true(values[0] < 0.0 && values[0] - values[1] < 1e-4 && values[1] - values[0] < 1e-4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_filter_gives_the_same_for_every_cut),
        cmocka_unit_test(stop_filter_holds_back_only_what_may_stop),
        cmocka_unit_test(streams_put_together_equal_the_whole),
        cmocka_unit_test(chats_put_together_equal_the_whole),
        cmocka_unit_test(answers_do_not_depend_on_what_else_runs),
        cmocka_unit_test(large_bodies_are_answered_like_small_ones),
        cmocka_unit_test(echoed_prompts_stand_before_the_answer_with_their_log_probs),
        cmocka_unit_test(echoed_prompts_are_told_by_the_first_event),
        cmocka_unit_test(log_probs_of_echo_and_answer_agree),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
