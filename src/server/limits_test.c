/* SPDX-License-Identifier: Apache-2.0
 *
 * limits_test.c: time limits, steps that do not end, full servers, keys, CORS, draining. Each test has a server of its own.
 */
#include "server/testing.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <time.h>

#define LONG_ANSWER "{\"prompt\": \"a\", \"max_tokens\": 400, \"ignore_eos\": true, \"stream\": true, \"temperature\": 0}"
#define SHORT       "{\"prompt\": \"a\", \"max_tokens\": 1}"

static int send_post(const char *path, const char *body, int buffer_bytes) {
    char head[512];
    int fd = tn_test_connect_small(self.port, buffer_bytes);
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             path, strlen(body));
    assert_true(tn_test_send_text(fd, head) && tn_test_send_text(fd, body));
    return fd;
}

/* Until the server has taken so many requests. */
static void await_requests(int64_t count) {
    tn_server_info info = {0};
    for (int i = 0; i < 4000 && info.num_exchanges + info.num_requests < count; i++) {
        tn_server_get_info(self.server, &info);
        usleep(2000);
    }
    assert_true(info.num_exchanges + info.num_requests >= count);
}

/* Nothing spins: 300 ms cost less than 100 ms of the processor. */
static void expect_rest(void) {
    struct timespec before, after;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
    usleep(300000);
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
    assert_in_range((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec, 0, 100000000);
}

static int stop(void **state) {
    (void)state;
    if (self.server != NULL) tn_test_server_stop(&self);
    return 0;
}

/* --- time ----------------------------------------------------------------------------------------------------------------------------- */

static void slow_heads_and_bodies_get_408(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.head_timeout_ms = 400;
    options.body_timeout_ms = 400;
    tn_test_server_start(&self, NULL, &options);
    int silent = tn_test_connect(self.port), head = tn_test_connect(self.port), body = tn_test_connect(self.port);
    assert_true(tn_test_send_text(head, "GET /health HTTP/1.1\r\nHost: loc"));
    assert_true(tn_test_send_text(body, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{\"pro"));
    expect_answer(tn_test_receive(silent, false), 408, "the head did not arrive");
    expect_answer(tn_test_receive(head, false), 408, "the head did not arrive");
    expect_answer(tn_test_receive(body, false), 408, "the body did not arrive");
    assert_true(tn_test_is_closed(silent, 1000) && tn_test_is_closed(head, 1000) && tn_test_is_closed(body, 1000));
    close(silent), close(head), close(body);
    expect_answer(tn_test_post(self.port, "/v1/completions", SHORT), 200, "choices");
}

/* libmicrohttpd neither reads it to its end nor refuses it. */
static void line_of_a_chunk_without_an_end_gets_408(void **state) {
    (void)state;
    static char line[100000];
    tn_server_options options = tn_test_server_options(&self);
    options.body_timeout_ms = 700;
    tn_test_server_start(&self, NULL, &options);
    memset(line, 'x', sizeof line);
    int fd = tn_test_connect(self.port);
    assert_true(tn_test_send_text(fd, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;"));
    assert_true(tn_test_send(fd, line, sizeof line));
    usleep(100000);
    expect_rest();
    expect_answer(tn_test_receive(fd, false), 408, "the body did not arrive");
    close(fd);
}

static void idle_connections_are_closed(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.idle_timeout_ms = 100;
    tn_test_server_start(&self, NULL, &options);
    int fd = tn_test_connect(self.port);
    assert_true(tn_test_send_text(fd, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    expect_answer(tn_test_receive(fd, false), 200, "ok");
    assert_true(tn_test_is_closed(fd, 5000));
    close(fd);
}

static void readers_that_take_nothing_are_dropped(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.write_timeout_ms = 300;
    tn_test_server_start(&self, NULL, &options);
    char text[256];
    int fds[2];
    /* an answer larger than both sockets' buffers: many choices, each told by many events */
    snprintf(text, sizeof text,
             "{\"prompt\": \"a\", \"n\": 16, \"max_tokens\": 300, \"ignore_eos\": true, \"stream\": true, \"logprobs\": 20}");
    for (int i = 0; i < 2; i++) fds[i] = send_post("/v1/completions", text, 2048);
    await_requests(2);
    tn_test_server_settle(&self);
    for (int i = 0; i < 2; i++) {
        assert_true(tn_test_is_closed(fds[i], 5000));
        close(fds[i]);
    }
    expect_answer(tn_test_post(self.port, "/v1/completions", SHORT), 200, "choices");
}

static void text_that_nobody_takes_is_bounded(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.max_stream_buffer_bytes = 4096;
    tn_test_server_start(&self, NULL, &options);
    int fd =
        send_post("/v1/completions",
                  "{\"prompt\": \"a\", \"n\": 30, \"max_tokens\": 500, \"ignore_eos\": true, \"stream\": true, \"logprobs\": 20}", 2048);
    await_requests(1);
    tn_test_server_settle(&self);
    assert_true(tn_test_is_closed(fd, 5000));
    close(fd);
}

static void silence_in_a_stream_is_broken_by_pings(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    options.ping_interval_ms = 1;
    executor.max_batch_size = 1;
    tn_test_server_start(&self, &executor, &options);
    int first = send_post("/v1/completions", LONG_ANSWER, 0), second = send_post("/v1/completions", LONG_ANSWER, 0);
    tn_test_http one = tn_test_receive(first, false), two = tn_test_receive(second, false);
    assert_true(one.is_whole && two.is_whole);
    assert_non_null(strstr(one.body, ": ping\n\n") != NULL ? one.body : strstr(two.body, ": ping\n\n"));
    tn_test_http_free(&one);
    tn_test_http_free(&two);
    close(first), close(second);
}

static void requests_that_take_too_long_end_with_length(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.request_timeout_ms = 1;
    tn_test_server_start(&self, NULL, &options);
    expect_answer(tn_test_post(self.port, "/v1/completions", "{\"prompt\": \"a\", \"max_tokens\": 400, \"ignore_eos\": true}"), 200,
                  "\"finish_reason\": \"length\", \"stop_reason\": \"timed_out\"");
}

/* --- a step that does not end ------------------------------------------------------------------------------------------------------------ */

static void wait_for_a_byte(void *user, tn_logits_view *views, size_t num_views) {
    char byte;
    (void)views, (void)num_views;
    (void)!read(*(int *)user, &byte, 1);
}

/* Until /ready says so. */
static void await_state(int status, const char *state_name) {
    tn_test_http answer = {0};
    for (int i = 0; i < 1000 && answer.status != status; i++) {
        usleep(5000);
        tn_test_http_free(&answer);
        answer = tn_test_get(self.port, "/ready");
    }
    expect_answer(answer, status, state_name);
}

static void server_whose_step_does_not_end_is_not_ready(void **state) {
    (void)state;
    const int32_t ids[] = {5, 6, 7};
    int pipe_ends[2];
    uint64_t id;
    tn_request request;
    tn_server_options options = tn_test_server_options(&self);
    options.stall_timeout_ms = 100;
    tn_test_server_start(&self, NULL, &options);
    await_state(200, "ready");
    assert_int_equal(pipe(pipe_ends), 0);
    tn_request_init(&request, ids, 3, 1);
    request.logits_post_processor = wait_for_a_byte;
    request.logits_post_processor_user = pipe_ends;
    assert_int_equal(tn_executor_enqueue(self.decoder.executor, &request, &id), TN_OK);
    await_state(503, "stalled");
    expect_answer(tn_test_get(self.port, "/health"), 200, "ok");
    assert_int_equal(write(pipe_ends[1], "x", 1), 1);
    await_state(200, "ready");
    tn_test_server_settle(&self);
    close(pipe_ends[0]), close(pipe_ends[1]);
}

/* --- room ----------------------------------------------------------------------------------------------------------------------------- */

static void full_server_turns_connections_away(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.max_connections = 3;
    tn_test_server_start(&self, NULL, &options);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = tn_test_connect(self.port);
        assert_true(tn_test_send_text(fds[i], "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        expect_answer(tn_test_receive(fds[i], false), 200, "ok");
    }
    tn_test_http answer = tn_test_get(self.port, "/health");
    assert_non_null(strstr(answer.head, "Retry-After: 1"));
    expect_answer(answer, 503, "too many connections");
    for (int i = 0; i < 3; i++) close(fds[i]);
    for (int i = 0; i < 200 && (answer = tn_test_get(self.port, "/health")).status != 200; i++) {
        tn_test_http_free(&answer);
        usleep(10000);
    }
    expect_answer(answer, 200, "ok");
}

static void address_with_too_many_connections_is_turned_away(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.max_connections_per_address = 1;
    tn_test_server_start(&self, NULL, &options);
    int fd = tn_test_connect(self.port);
    assert_true(tn_test_send_text(fd, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    expect_answer(tn_test_receive(fd, false), 200, "ok");
    expect_answer(tn_test_get(self.port, "/health"), 429, "this address");
    close(fd);
}

/* Clients wait in the system's queue, and the loop does not spin on what it cannot take. */
static void server_without_descriptors_takes_clients_later(void **state) {
    (void)state;
    enum { NUM_WAITING = 4 };
    tn_test_server_start(&self, NULL, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(self.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit limit;
    int fds[NUM_WAITING], first_free;
    for (int i = 0; i < NUM_WAITING; i++) assert_true((fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    assert_true((first_free = dup(fds[0])) >= 0 && close(first_free) == 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)first_free, limit.rlim_max}), 0);
    for (int i = 0; i < NUM_WAITING; i++) {
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
        assert_true(tn_test_send_text(fds[i], "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }
    usleep(50000); /* it has met the limit */
    expect_rest();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < NUM_WAITING; i++) {
        expect_answer(tn_test_receive(fds[i], false), 200, "ok");
        close(fds[i]);
    }
}

static void full_queue_answers_429(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_batch_size = 1;
    options.max_queued_requests = 2;
    options.max_queued_tokens = 100;
    tn_test_server_start(&self, &executor, &options);
    expect_answer(tn_test_post(self.port, "/v1/completions", "{\"prompt\": [\"a\", \"b\", \"c\"], \"max_tokens\": 1}"), 429,
                  "at most 2 requests wait");
    tn_text body = {0};
    tn_text_append_string(&body, "{\"max_tokens\": 1, \"prompt\": [5");
    for (int i = 0; i < 150; i++) tn_text_append_string(&body, ", 5");
    tn_text_append_string(&body, "]}");
    tn_test_http answer = tn_test_post(self.port, "/v1/completions", body.data);
    assert_non_null(strstr(answer.head, "Retry-After: 1"));
    expect_answer(answer, 429, "at most 100 prompt tokens wait");
    tn_text_deinit(&body);
    expect_answer(tn_test_post(self.port, "/v1/completions", SHORT), 200, "choices");
    expect_answer(tn_test_get(self.port, "/metrics"), 200, "tenon_admission_rejections_total{model_name=\"test\",engine=\"0\"} 2");
}

static void log_probs_of_prompts_have_a_budget(void **state) {
    (void)state;
    tn_server_options options = tn_test_server_options(&self);
    options.max_prompt_logits_bytes = 10 * 320 * 4;
    tn_test_server_start(&self, NULL, &options);
    expect_answer(tn_test_post(self.port, "/v1/completions",
                               "{\"prompt\": [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], \"max_tokens\": 0, \"echo\": true, \"logprobs\": 1}"),
                  429, "log-probabilities");
    expect_answer(tn_test_post(self.port, "/v1/completions", "{\"prompt\": [5, 5], \"max_tokens\": 0, \"echo\": true, \"logprobs\": 1}"),
                  200, "choices");
}

static void beams_are_answered(void **state) {
    (void)state;
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_beam_width = 4;
    tn_test_server_start(&self, &executor, NULL);
    expect_answer(tn_test_post(self.port, "/v1/completions",
                               "{\"prompt\": \"a\", \"max_tokens\": 8, \"use_beam_search\": true, \"n\": 2, \"best_of\": 4}"),
                  200, "\"index\": 1");
    expect_answer(tn_test_post(self.port, "/v1/completions", "{\"prompt\": \"a\", \"max_tokens\": 8, \"use_beam_search\": true, \"n\": 5}"),
                  400, "at most 4");
}

/* --- who ------------------------------------------------------------------------------------------------------------------------------ */

static char keys_path[] = "/tmp/tenon-keys-XXXXXX";

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void start_with_keys(const char *keys) {
    tn_server_options options = tn_test_server_options(&self);
    write_file(keys_path, keys);
    options.keys_path = keys_path;
    options.max_key_failures_per_minute = 5;
    tn_test_server_start(&self, NULL, &options);
}

static tn_test_http get_with(const char *headers) {
    return tn_test_request(self.port, "GET", "/v1/models", headers, NULL);
}

static void keys_are_asked_for_before_anything_else(void **state) {
    (void)state;
    start_with_keys("# a comment\n\nalice key-of-alice\nkey-of-nobody\n");
    tn_test_http answer = tn_test_get(self.port, "/v1/models");
    assert_non_null(strstr(answer.head, "WWW-Authenticate: Bearer"));
    expect_answer(answer, 401, "a key is needed");
    expect_answer(get_with("Authorization: Bearer key-of-alice\r\n"), 200, "test");
    expect_answer(get_with("Authorization: bearer key-of-nobody\r\n"), 200, "test");
    expect_answer(get_with("Authorization: Bearer key-of-alic\r\n"), 401, "not known");
    expect_answer(get_with("Authorization: Basic key-of-alice\r\n"), 401, "not known");
    expect_answer(tn_test_get(self.port, "/health"), 200, "ok");
    expect_answer(tn_test_get(self.port, "/metrics"), 401, "");
    expect_answer(tn_test_post(self.port, "/tokenize", "{\"prompt\": \"a\"}"), 401, "");
}

static void many_wrong_keys_of_an_address_get_429(void **state) {
    (void)state;
    start_with_keys("key-of-alice\n");
    for (int i = 0; i < 5; i++) expect_answer(get_with("Authorization: Bearer wrong-key\r\n"), 401, "");
    tn_test_http answer = get_with("Authorization: Bearer key-of-alice\r\n");
    assert_non_null(strstr(answer.head, "Retry-After: 60"));
    expect_answer(answer, 429, "too many wrong keys");
    for (int i = 0; i < 1000; i++) expect_answer(get_with("Authorization: Bearer wrong-key\r\n"), 429, "");
    expect_answer(tn_test_get(self.port, "/health"), 200, "ok");
}

static void keys_are_read_again(void **state) {
    (void)state;
    start_with_keys("key-of-alice\n");
    write_file(keys_path, "key-of-bob-1\n");
    assert_int_equal(tn_server_reload(self.server, NULL), TN_OK);
    expect_answer(get_with("Authorization: Bearer key-of-alice\r\n"), 401, "");
    expect_answer(get_with("Authorization: Bearer key-of-bob-1\r\n"), 200, "test");
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    write_file(keys_path, "short\n");
    assert_int_equal(tn_server_reload(self.server, diag), TN_INVALID_DATA);
    tn_diag_destroy(diag);
    expect_answer(get_with("Authorization: Bearer key-of-bob-1\r\n"), 200, "test");
}

static void wrong_key_files_are_refused(void **state) {
    (void)state;
    static const char *const files[] = {
        "", "# nothing\n", "short\n", "a b c\n", "same-key-1\nsame-key-1\n", "x same-key-1\nx same-key-2\n"};
    tn_server *server;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_test_decoder_start(&self.decoder, NULL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        tn_server_options options = tn_test_server_options(&self);
        write_file(keys_path, files[i]);
        options.executor = self.decoder.executor;
        options.keys_path = keys_path;
        options.diag = diag;
        assert_int_equal(tn_server_create(&options, &server), TN_INVALID_DATA);
        assert_null(server);
    }
    tn_diag_destroy(diag);
}

static void public_address_without_keys_is_refused(void **state) {
    (void)state;
    tn_server *server;
    tn_diag *diag;
    tn_diag_entry entry;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_test_decoder_start(&self.decoder, NULL);
    tn_server_options options = tn_test_server_options(&self);
    options.executor = self.decoder.executor;
    options.host = "0.0.0.0";
    options.diag = diag;
    assert_int_equal(tn_server_create(&options, &server), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.hint, "--insecure"));
    tn_diag_destroy(diag);
}

static void origins_are_allowed_by_name(void **state) {
    (void)state;
    static const char *const origins[] = {"https://app.example"};
    tn_server_options options = tn_test_server_options(&self);
    options.cors_origins = origins;
    options.num_cors_origins = 1;
    tn_test_server_start(&self, NULL, &options);
    tn_test_http answer = tn_test_request(self.port, "OPTIONS", "/v1/completions",
                                          "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n", NULL);
    assert_int_equal(answer.status, 204);
    assert_non_null(strstr(answer.head, "Access-Control-Allow-Origin: https://app.example\r\n"));
    tn_test_http_free(&answer);
    answer = get_with("Origin: https://app.example\r\n");
    assert_non_null(strstr(answer.head, "Access-Control-Allow-Origin: https://app.example\r\n"));
    expect_answer(answer, 200, "test");
    expect_answer(get_with("Origin: https://evil.example\r\n"), 403, "");
}

static void cached_prompts_are_not_shared_between_keys(void **state) {
    (void)state;
    start_with_keys("key-of-alice\nkey-of-bob-1\n");
    tn_text body = {0};
    tn_text_append_string(&body, "{\"max_tokens\": 1, \"prompt\": [5");
    for (int i = 0; i < 100; i++) tn_text_append_string(&body, ", 9");
    tn_text_append_string(&body, "]}");
    const char *alice = "Authorization: Bearer key-of-alice\r\n", *bob = "Authorization: Bearer key-of-bob-1\r\n";
    expect_answer(tn_test_request(self.port, "POST", "/v1/completions", alice, body.data), 200, "\"cached_tokens\": 0}");
    expect_answer(tn_test_request(self.port, "POST", "/v1/completions", bob, body.data), 200, "\"cached_tokens\": 0}");
    expect_answer(tn_test_request(self.port, "POST", "/v1/completions", alice, body.data), 200, "\"cached_tokens\": 100}");
    tn_text_deinit(&body);
}

/* --- the end -------------------------------------------------------------------------------------------------------------------------- */

static void draining_server_finishes_what_runs(void **state) {
    (void)state;
    tn_test_server_start(&self, NULL, NULL);
    int running = send_post("/v1/completions", LONG_ANSWER, 0), idle = tn_test_connect(self.port);
    char byte;
    assert_int_equal(recv(running, &byte, 1, MSG_PEEK), 1);
    tn_server_drain(self.server);
    tn_test_http answer = tn_test_post(self.port, "/v1/completions", SHORT);
    assert_non_null(strstr(answer.head, "Retry-After: 5"));
    assert_non_null(strstr(answer.head, "Connection: close"));
    expect_answer(answer, 503, "shutting down");
    expect_answer(tn_test_get(self.port, "/ready"), 503, "draining");
    expect_answer(tn_test_get(self.port, "/health"), 200, "ok");
    expect_answer(tn_test_receive(running, false), 200, "[DONE]");
    assert_int_equal(tn_server_wait(self.server, 10000), TN_OK);
    close(running), close(idle);
}

static void stopped_server_cancels_what_runs(void **state) {
    (void)state;
    tn_test_server_start(&self, NULL, NULL);
    int fds[8];
    for (int i = 0; i < 8; i++) fds[i] = send_post("/v1/completions", LONG_ANSWER, 0);
    tn_server_stop(self.server);
    for (int i = 0; i < 8; i++) {
        assert_true(tn_test_is_closed(fds[i], 5000));
        close(fds[i]);
    }
}

static int open_model(void **state) {
    (void)state;
    int fd = mkstemp(keys_path);
    if (fd < 0) return 1;
    close(fd);
    tn_test_server_open(&self, "cpu");
    return 0;
}

static int close_model(void **state) {
    (void)state;
    tn_test_server_close(&self);
    return unlink(keys_path);
}

#define CASE(name) cmocka_unit_test_teardown(name, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(slow_heads_and_bodies_get_408),
        CASE(line_of_a_chunk_without_an_end_gets_408),
        CASE(idle_connections_are_closed),
        CASE(readers_that_take_nothing_are_dropped),
        CASE(text_that_nobody_takes_is_bounded),
        CASE(silence_in_a_stream_is_broken_by_pings),
        CASE(requests_that_take_too_long_end_with_length),
        CASE(server_whose_step_does_not_end_is_not_ready),
        CASE(full_server_turns_connections_away),
        CASE(address_with_too_many_connections_is_turned_away),
        CASE(server_without_descriptors_takes_clients_later),
        CASE(full_queue_answers_429),
        CASE(log_probs_of_prompts_have_a_budget),
        CASE(beams_are_answered),
        CASE(keys_are_asked_for_before_anything_else),
        CASE(many_wrong_keys_of_an_address_get_429),
        CASE(keys_are_read_again),
        CASE(wrong_key_files_are_refused),
        CASE(public_address_without_keys_is_refused),
        CASE(origins_are_allowed_by_name),
        CASE(cached_prompts_are_not_shared_between_keys),
        CASE(draining_server_finishes_what_runs),
        CASE(stopped_server_cancels_what_runs),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
