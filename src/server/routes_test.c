/* SPDX-License-Identifier: Apache-2.0
 *
 * routes_test.c: each route by loopback, as a client sees it.
 */
#include "server/testing.h"

static void small_routes_answer(void **state) {
    (void)state;
    expect_answer(tn_test_get(self.port, "/health"), 200, "\"ok\"");
    expect_answer(tn_test_get(self.port, "/ready"), 200, "\"ready\"");
    expect_answer(tn_test_get(self.port, "/version"), 200, TN_VERSION);
    expect_answer(tn_test_get(self.port, "/v1/models"), 200, "\"id\": \"test\"");
    expect_answer(tn_test_get(self.port, "/v1/models/test"), 200, "\"max_model_len\": 512");
    expect_answer(tn_test_get(self.port, "/v1/models/other"), 404, "model_not_found");
    expect_answer(tn_test_get(self.port, "/tokenizer_info"), 200, "\"vocab_size\": 320");
    expect_answer(tn_test_get(self.port, "/metrics"), 200, "# TYPE tenon_time_to_first_token_seconds histogram");
    expect_answer(tn_test_get(self.port, "/health?x=1"), 200, "ok");
    expect_post("/v1/embeddings", "{\"input\": \"a\"}", 501, "with --embeddings");
}

static void head_and_unknown_methods_are_answered(void **state) {
    (void)state;
    tn_test_http answer = tn_test_request(self.port, "HEAD", "/health", NULL, NULL);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "");
    tn_test_http_free(&answer);
    expect_answer(tn_test_get(self.port, "/nothing"), 404, "not_found_error");
    expect_answer(tn_test_request(self.port, "DELETE", "/health", NULL, NULL), 405, "method_not_allowed");
    expect_answer(tn_test_get(self.port, "/v1/completions"), 405, "takes POST");
}

static void tokens_go_there_and_back(void **state) {
    (void)state;
    tn_test_http answer = tn_test_post(self.port, "/tokenize", "{\"prompt\": \"the end\", \"return_token_strs\": true}");
    assert_int_equal(answer.status, 200);
    char *list = strstr(answer.body, "\"tokens\": ");
    assert_non_null(list);
    list += strlen("\"tokens\": ");
    *(strchr(list, ']') + 1) = '\0';
    tn_text body = {0};
    tn_text_append_format(&body, "{\"tokens\": %s}", list);
    expect_post("/detokenize", body.data, 200, "\"prompt\": \"the end\"");
    tn_text_deinit(&body);
    tn_test_http_free(&answer);
    const char *messages = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}";
    expect_post("/apply-template", messages, 200, "<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n");
    expect_post("/tokenize", messages, 200, "\"tokens\": [3, ");
}

static void completions_answer(void **state) {
    (void)state;
    expect_post("/v1/completions", "{\"prompt\": \"Hello\", \"max_tokens\": 5, \"temperature\": 0}", 200, "\"completion_tokens\": 5");
    expect_post("/v1/completions", "{\"prompt\": [\"a\", \"b\"], \"n\": 2, \"max_tokens\": 3, \"seed\": 1}", 200, "\"index\": 3");
    expect_post("/v1/completions", "{\"prompt\": [[5, 6], [7]], \"max_tokens\": 2, \"logprobs\": 2}", 200, "\"text_offset\": [0, ");
    expect_post("/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"max_tokens\": 4}", 200,
                "\"role\": \"assistant\"");
}

static void streams_end_with_usage_and_done(void **state) {
    (void)state;
    expect_post("/v1/completions",
                "{\"prompt\": \"Hello\", \"max_tokens\": 5, \"temperature\": 0, \"stream\": true, "
                "\"stream_options\": {\"include_usage\": true}}",
                200, "}}}\n\ndata: [DONE]\n\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_routes_answer),
        cmocka_unit_test(head_and_unknown_methods_are_answered),
        cmocka_unit_test(tokens_go_there_and_back),
        cmocka_unit_test(completions_answer),
        cmocka_unit_test(streams_end_with_usage_and_done),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
