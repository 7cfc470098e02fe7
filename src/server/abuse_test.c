/* SPDX-License-Identifier: Apache-2.0
 *
 * abuse_test.c: heads and bodies as no honest client sends them. Each gets its status, and the server goes on: after every test a
 * normal request is answered, nothing is under way, no descriptor is left.
 */
#include "server/testing.h"

#define HOST     "Host: localhost\r\n"
#define GET      "GET /health HTTP/1.1\r\n"
#define POST     "POST /v1/completions HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
#define COMPLETE "{\"prompt\": \"a\", \"max_tokens\": 1}"

static void expect_raw(const void *bytes, size_t size, int status, const char *words) {
    expect_answer(tn_test_raw(self.port, bytes, size), status, words);
}
#define RAW(text, status, words) expect_raw(text, sizeof(text) - 1, status, words)

/* The server closes without an answer, or answers with one of 4xx. */
static void expect_refused(const void *bytes, size_t size) {
    int fd = tn_test_connect(self.port);
    (void)tn_test_send(fd, bytes, size);
    (void)shutdown(fd, SHUT_WR);
    tn_test_http answer = tn_test_receive(fd, false);
    if (answer.status != 0 && (answer.status < 400 || answer.status > 505)) fail_msg("it was answered with %d", answer.status);
    tn_test_http_free(&answer);
    close(fd);
}
#define REFUSED(text) expect_refused(text, sizeof(text) - 1)

/* --- heads ---------------------------------------------------------------------------------------------------------------------------- */

static void duplicate_content_length_is_refused(void **state) {
    (void)state;
    RAW(POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "Content-Length twice");
    RAW(POST "Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}", 400, "Content-Length twice");
}

static void content_length_with_transfer_encoding_is_refused(void **state) {
    (void)state;
    RAW(POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "both Content-Length");
    RAW(POST "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "both Content-Length");
}

static void content_length_that_is_no_number_is_refused(void **state) {
    (void)state;
    REFUSED(POST "Content-Length: +5\r\n\r\nhello");
    REFUSED(POST "Content-Length: -1\r\n\r\n");
    REFUSED(POST "Content-Length: 0x5\r\n\r\nhello");
    REFUSED(POST "Content-Length: 99999999999999999999\r\n\r\nhello");
    REFUSED(POST "Content-Length: 5, 5\r\n\r\nhello");
    REFUSED(POST "Content-Length: \r\n\r\nhello");
}

static void unknown_transfer_encoding_is_refused(void **state) {
    (void)state;
    RAW(POST "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 501, "Transfer-Encoding");
    RAW(POST "Transfer-Encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 501, "Transfer-Encoding");
    RAW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "malformed");
}

static void host_must_be_there_once(void **state) {
    (void)state;
    RAW(GET "\r\n", 400, "no Host");
    RAW(GET HOST "Host: other\r\n\r\n", 400, "Host twice");
    RAW("GET /health HTTP/1.0\r\n\r\n", 200, "ok");
}

static void foreign_host_is_refused(void **state) {
    (void)state;
    RAW(GET "Host: evil.example\r\n\r\n", 403, "host_not_allowed");
    RAW(GET "Host: localhost.evil.example\r\n\r\n", 403, "host_not_allowed");
    RAW(GET "Host: 127.0.0.1:99x\r\n\r\n", 403, "host_not_allowed");
    RAW(GET "Host: LOCALHOST:8000\r\n\r\n", 200, "ok");
}

static void foreign_origin_is_refused(void **state) {
    (void)state;
    RAW(GET HOST "Origin: https://evil.example\r\n\r\n", 403, "origin_not_allowed");
    RAW(GET HOST "Origin: null\r\n\r\n", 403, "origin_not_allowed");
    RAW(GET HOST "Origin: http://localhost\r\n\r\n", 200, "ok");
}

static void nul_in_the_head_is_refused(void **state) {
    (void)state;
    RAW(GET HOST "X: a\0b\r\n\r\n", 400, "malformed");
    RAW(GET HOST "X: a\0b\r\nY: c\r\n\r\n", 400, "malformed");
    RAW(GET "Host: localhost\0\r\n\r\n", 400, "malformed");
    RAW(GET HOST "X\0Y: a\r\n\r\n", 400, "");
    RAW("GET /heal\0th HTTP/1.1\r\n" HOST "\r\n", 400, "request line");
}

static void folded_and_malformed_headers_are_refused(void **state) {
    (void)state;
    RAW(GET HOST "X: a\r\n b\r\n\r\n", 400, "folded");
    RAW(GET HOST "no colon\r\n\r\n", 400, "");
    RAW(GET HOST "X : a\r\n\r\n", 400, "malformed");
    RAW(GET HOST ": a\r\n\r\n", 400, "malformed");
    RAW(GET HOST "X: a\x01\r\n\r\n", 400, "malformed");
    RAW(GET HOST "X: a\rb\r\n\r\n", 400, "malformed");
}

static void bare_line_feeds_are_taken_as_line_ends(void **state) {
    (void)state;
    RAW("GET /health HTTP/1.1\nHost: localhost\n\n", 200, "ok");
}

static void large_head_is_refused(void **state) {
    (void)state;
    tn_text head = {0};
    tn_text_append_string(&head, GET HOST "X: ");
    for (int i = 0; i < 20000; i++) tn_text_append_char(&head, 'a');
    tn_text_append_string(&head, "\r\n\r\n");
    expect_raw(head.data, head.size, 431, "");
    tn_text_reset(&head);
    tn_text_append_string(&head, GET HOST "X: ");
    for (int i = 0; i < 1000000; i++) tn_text_append_char(&head, 'a');
    tn_text_append_string(&head, "\r\n\r\n");
    expect_refused(head.data, head.size);
    tn_text_deinit(&head);
}

static void many_headers_are_refused(void **state) {
    (void)state;
    tn_text head = {0};
    tn_text_append_string(&head, GET HOST);
    for (int i = 0; i < 200; i++) tn_text_append_format(&head, "X%d: a\r\n", i);
    tn_text_append_string(&head, "\r\n");
    expect_raw(head.data, head.size, 431, "more than 100 headers");
    tn_text_reset(&head);
    tn_text_append_string(&head, GET HOST);
    for (int i = 0; i < 10000; i++) tn_text_append_format(&head, "X%d: a\r\n", i);
    tn_text_append_string(&head, "\r\n");
    expect_refused(head.data, head.size);
    tn_text_deinit(&head);
}

static void long_target_is_refused(void **state) {
    (void)state;
    tn_text head = {0};
    tn_text_append_string(&head, "GET /");
    for (int i = 0; i < 500; i++) tn_text_append_char(&head, 'a');
    tn_text_append_string(&head, " HTTP/1.1\r\n" HOST "\r\n");
    expect_raw(head.data, head.size, 404, "no such route");
    tn_text_reset(&head);
    tn_text_append_string(&head, "GET /");
    for (int i = 0; i < 100000; i++) tn_text_append_char(&head, 'a');
    tn_text_append_string(&head, " HTTP/1.1\r\n" HOST "\r\n");
    expect_refused(head.data, head.size);
    tn_text_deinit(&head);
}

static void strange_paths_are_not_found(void **state) {
    (void)state;
    RAW("GET /health%00 HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET /../health HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET /%2e%2e/health HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET /page/../../etc/passwd HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET /heal\xc0\xae HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET http://localhost/health HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET //health HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
    RAW("GET /v1/models/%74est HTTP/1.1\r\n" HOST "\r\n", 404, "not_found");
}

static void other_methods_are_answered(void **state) {
    (void)state;
    RAW("TRACE /health HTTP/1.1\r\n" HOST "\r\n", 405, "takes GET");
    RAW("OPTIONS /v1/completions HTTP/1.1\r\n" HOST "\r\n", 405, "takes POST");
    RAW("BREW /health HTTP/1.1\r\n" HOST "\r\n", 405, "takes GET");
    RAW("PUT /v1/completions HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 405, "takes POST");
    REFUSED("CONNECT localhost:80 HTTP/1.1\r\n" HOST "\r\n");
}

static void other_protocols_are_refused(void **state) {
    (void)state;
    REFUSED("GET /health\r\n\r\n");
    REFUSED("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00");
    REFUSED("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    REFUSED("GET /health HTTP/9.9\r\n" HOST "\r\n");
    REFUSED("\r\n\r\n\r\n");
    REFUSED("");
    RAW(GET HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200, "ok");
}

/* --- bodies --------------------------------------------------------------------------------------------------------------------------- */

static void large_body_is_refused_before_it_is_read(void **state) {
    (void)state;
    RAW(POST "Content-Length: 1000000000\r\n\r\n{", 413, "body_too_large");
    RAW(POST "Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n", 413, "body_too_large");
}

static void large_chunked_body_is_refused_where_it_gets_too_large(void **state) {
    (void)state;
    int fd = tn_test_connect(self.port);
    static char chunk[65536 + 16];
    assert_true(tn_test_send_text(fd, POST "Transfer-Encoding: chunked\r\n\r\n"));
    size_t head = (size_t)snprintf(chunk, sizeof chunk, "10000\r\n");
    memset(chunk + head, 'a', 65536);
    memcpy(chunk + head + 65536, "\r\n", 2);
    for (int i = 0; i < 400; i++)
        if (!tn_test_send(fd, chunk, head + 65538)) break;
    tn_test_http answer = tn_test_receive(fd, false);
    assert_int_equal(answer.status, 413);
    tn_test_http_free(&answer);
    close(fd);
    tn_test_server_settle(&self);
    expect_answer(tn_test_get(self.port, "/metrics"), 200, "status=\"413\"");
}

static void chunks_of_all_kinds_are_read_or_refused(void **state) {
    (void)state;
    tn_text body = {0};
    tn_text_append_string(&body, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (const char *c = COMPLETE; *c != '\0'; c++) tn_text_append_format(&body, "1\r\n%c\r\n", *c);
    tn_text_append_string(&body, "0\r\n\r\n");
    expect_raw(body.data, body.size, 200, "choices");
    tn_text_reset(&body);
    tn_text_append_format(&body, POST "Transfer-Encoding: chunked\r\n\r\n%zx;name=value\r\n%s\r\n0\r\nTrailer: x\r\n\r\n", strlen(COMPLETE),
                          COMPLETE);
    expect_raw(body.data, body.size, 200, "choices");
    tn_text_deinit(&body);
    REFUSED(POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}");
    REFUSED(POST "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n");
    REFUSED(POST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n");
    REFUSED(POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}garbage");
}

/* CVE-2025-23310: three megabytes of one-byte chunks filled a stack. Here chunks are put together where the body's limit is. */
static void floods_of_chunks_are_read_or_refused(void **state) {
    (void)state;
    tn_text body = {0};
    tn_text_append_string(&body, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 50000; i++) tn_text_append_string(&body, "1;a=b;c=d\r\n \r\n");
    tn_text_append_format(&body, "%zx\r\n%s\r\n0\r\n\r\n", strlen(COMPLETE), COMPLETE);
    expect_raw(body.data, body.size, 200, "choices");
    tn_text_reset(&body);
    tn_text_append_format(&body, POST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n", strlen(COMPLETE), COMPLETE);
    for (int i = 0; i < 20000; i++) tn_text_append_format(&body, "X%d: trailer\r\n", i);
    tn_text_append_string(&body, "\r\n");
    expect_refused(body.data, body.size);
    tn_text_deinit(&body);
}

static void encoded_and_foreign_bodies_are_refused(void **state) {
    (void)state;
    RAW(POST "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, "encoded bodies");
    RAW("POST /v1/completions HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415, "application/json");
    RAW("POST /v1/completions HTTP/1.1\r\n" HOST "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n{}", 415, "");
}

static void body_on_a_route_without_one_is_refused(void **state) {
    (void)state;
    RAW("GET /v1/models HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 400, "takes no body");
}

static void expect_continue_is_answered(void **state) {
    (void)state;
    int fd = tn_test_connect(self.port);
    char head[256];
    snprintf(head, sizeof head, POST "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n", strlen(COMPLETE));
    assert_true(tn_test_send_text(fd, head));
    char line[64] = "";
    assert_true(recv(fd, line, 25, MSG_WAITALL) == 25);
    assert_memory_equal(line, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    assert_true(tn_test_send_text(fd, COMPLETE));
    expect_answer(tn_test_receive(fd, false), 200, "choices");
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    (void)state;
    int fd = tn_test_connect(self.port);
    char text[512];
    snprintf(text, sizeof text, GET HOST "\r\n" POST "Content-Length: %zu\r\n\r\n%sGET /version HTTP/1.1\r\n" HOST "\r\n", strlen(COMPLETE),
             COMPLETE);
    assert_true(tn_test_send_text(fd, text));
    expect_answer(tn_test_receive(fd, false), 200, "ok");
    expect_answer(tn_test_receive(fd, false), 200, "choices");
    expect_answer(tn_test_receive(fd, false), 200, "version");
    close(fd);
}

/* Who has ended its side has left: nothing is computed for it, and it hears the end. */
static void clients_that_end_their_side_and_wait_are_let_go(void **state) {
    (void)state;
    char text[512];
    const char *body = "{\"prompt\": \"a\", \"max_tokens\": 400, \"ignore_eos\": true}";
    int head = snprintf(text, sizeof text, POST "Content-Length: %zu\r\n\r\n", strlen(body));
    snprintf(text + head, sizeof text - (size_t)head, "%s", body);
    size_t ends[] = {0, 10, (size_t)head, (size_t)head + 10, strlen(text)};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int fd = tn_test_connect(self.port);
        assert_true(tn_test_send(fd, text, ends[i]));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_true(tn_test_is_closed(fd, 20000));
        close(fd);
    }
}

/* --- JSON ----------------------------------------------------------------------------------------------------------------------------- */

#define expect_complete(body, status, words) expect_post("/v1/completions", body, status, words)

static void json_that_is_none_is_refused(void **state) {
    (void)state;
    static const char *const bodies[] = {"",
                                         "[",
                                         "null",
                                         "[]",
                                         "\"a\"",
                                         "{\"prompt\": NaN}",
                                         "{\"prompt\": 1e400}",
                                         "{\"a\":1,",
                                         "{} {}",
                                         "\xef\xbb\xbf{}",
                                         "{'a': 1}",
                                         "{\"a\" 1}",
                                         "{\"\\ud800\": 1}",
                                         "{\"prompt\": \"\xff\"}",
                                         "{\"a\": -0x1}",
                                         "{\"a\": 01}",
                                         "{\"prompt\": \"a\", \"prompt\": \"b\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) expect_complete(bodies[i], 400, "\"error\"");
}

static void numbers_of_any_form_are_taken_or_refused(void **state) {
    (void)state;
    expect_complete("{\"prompt\": \"a\", \"max_tokens\": 1, \"temperature\": -0}", 200, "choices");
    expect_complete("{\"prompt\": \"a\", \"max_tokens\": 1, \"temperature\": -0.0e-0}", 200, "choices");
    expect_complete("{\"prompt\": \"a\", \"max_tokens\": 1, \"temperature\": 1e-400}", 200, "choices");
    tn_text body = {0};
    for (int i = 0; i < 2; i++) {
        tn_text_reset(&body);
        tn_text_append_format(&body, "{\"prompt\": \"a\", \"max_tokens\": %s", i == 0 ? "" : "0.");
        for (int k = 0; k < 1000000; k++) tn_text_append_char(&body, '1');
        tn_text_append_char(&body, '}');
        expect_complete(body.data, 400, "\"error\"");
    }
    tn_text_deinit(&body);
}

static void deep_and_wide_json_is_refused(void **state) {
    (void)state;
    tn_text body = {0};
    tn_text_append_string(&body, "{\"prompt\": ");
    for (int i = 0; i < 1000000; i++) tn_text_append_char(&body, '[');
    expect_complete(body.data, 400, "nesting deeper");
    tn_text_reset(&body);
    tn_text_append_string(&body, "{\"prompt\": \"a\", \"logit_bias\": {");
    for (int i = 0; i < 400000; i++) tn_text_append_format(&body, "%s\"%d\": 1", i > 0 ? "," : "", i);
    tn_text_append_string(&body, "}}");
    expect_complete(body.data, 400, "at most 1024 are taken");
    tn_text_reset(&body);
    tn_text_append_char(&body, '{');
    for (int i = 0; i < 500000; i++) tn_text_append_format(&body, "%s\"k%d\": 1", i > 0 ? "," : "", i);
    tn_text_append_char(&body, '}');
    expect_complete(body.data, 400, "no field 'k0'");
    tn_text_reset(&body);
    tn_text_append_string(&body, "{\"prompt\": [");
    for (int i = 0; i < 2100000; i++) tn_text_append_string(&body, i > 0 ? ",1" : "1");
    tn_text_append_string(&body, "]}");
    expect_complete(body.data, 400, "values");
    tn_text_deinit(&body);
}

static void prompts_that_cannot_be_are_refused(void **state) {
    (void)state;
    expect_complete("{\"max_tokens\": 1}", 400, "'prompt' is missing");
    expect_complete("{\"prompt\": \"\"}", 400, "is empty");
    expect_complete("{\"prompt\": []}", 400, "is empty");
    expect_complete("{\"prompt\": [[]]}", 400, "is empty");
    expect_complete("{\"prompt\": 5}", 400, "\"param\": \"prompt\"");
    expect_complete("{\"prompt\": {}}", 400, "\"param\": \"prompt\"");
    expect_complete("{\"prompt\": [320]}", 400, "0 to 319");
    expect_complete("{\"prompt\": [-1]}", 400, "0 to 319");
    expect_complete("{\"prompt\": [5, \"a\"]}", 400, "\"param\": \"prompt\"");
    expect_complete("{\"prompt\": \"<s></s><|im_start|>\", \"max_tokens\": 1}", 200, "choices");
    tn_text body = {0};
    tn_text_append_string(&body, "{\"prompt\": \"");
    for (int i = 0; i < 1000000; i++) tn_text_append_string(&body, "x ");
    tn_text_append_string(&body, "\"}");
    expect_complete(body.data, 400, "context_length_exceeded");
    tn_text_reset(&body);
    tn_text_append_string(&body, "{\"prompt\": [");
    for (int i = 0; i < 1000000; i++) tn_text_append_string(&body, i > 0 ? ",5" : "5");
    tn_text_append_string(&body, "]}");
    expect_complete(body.data, 400, "\"param\": \"prompt\"");
    tn_text_deinit(&body);
}

#define CASE(name) cmocka_unit_test_teardown(name, goes_on)

int main(int argc, char **argv) {
    (void)argc;
    tn_test_turn_off_thread_caches(argv);
    const struct CMUnitTest tests[] = {
        CASE(duplicate_content_length_is_refused),
        CASE(content_length_with_transfer_encoding_is_refused),
        CASE(content_length_that_is_no_number_is_refused),
        CASE(unknown_transfer_encoding_is_refused),
        CASE(host_must_be_there_once),
        CASE(foreign_host_is_refused),
        CASE(foreign_origin_is_refused),
        CASE(nul_in_the_head_is_refused),
        CASE(folded_and_malformed_headers_are_refused),
        CASE(bare_line_feeds_are_taken_as_line_ends),
        CASE(large_head_is_refused),
        CASE(many_headers_are_refused),
        CASE(long_target_is_refused),
        CASE(strange_paths_are_not_found),
        CASE(other_methods_are_answered),
        CASE(other_protocols_are_refused),
        CASE(large_body_is_refused_before_it_is_read),
        CASE(large_chunked_body_is_refused_where_it_gets_too_large),
        CASE(chunks_of_all_kinds_are_read_or_refused),
        CASE(floods_of_chunks_are_read_or_refused),
        CASE(encoded_and_foreign_bodies_are_refused),
        CASE(body_on_a_route_without_one_is_refused),
        CASE(expect_continue_is_answered),
        CASE(pipelined_requests_are_answered_in_order),
        CASE(clients_that_end_their_side_and_wait_are_let_go),
        CASE(json_that_is_none_is_refused),
        CASE(numbers_of_any_form_are_taken_or_refused),
        CASE(deep_and_wide_json_is_refused),
        CASE(prompts_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
