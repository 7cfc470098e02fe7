/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_load_test.c: the load generator against a small server in this program, which answers as each test says: well, in pieces,
 * with errors, not to the end, not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/serve_load.h"

/* --- the server --------------------------------------------------------------------------------------------------------------- */

enum { MAX_CONNECTIONS = 256, MAX_REQUEST = 64 << 10 };

/* Answers request number `number` (from 0, over all connections) on `socket`. False: close the connection. */
typedef bool (*script)(int socket, const char *request, int number);

static struct server {
    int socket, port;
    script answer;
    pthread_t acceptor, workers[MAX_CONNECTIONS];
    int sockets[MAX_CONNECTIONS];
    _Atomic int num_connections, num_requests, num_active, max_active;
    char last_request[MAX_REQUEST];
    pthread_mutex_t mutex;
} server;

static void send_all(int socket, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t count = send(socket, bytes, size, MSG_NOSIGNAL);
        if (count <= 0) return;
        bytes += count, size -= (size_t)count;
    }
}

static void say(int socket, const char *text) {
    send_all(socket, text, strlen(text));
}

/* Reads one request; false at the connection's end. */
static bool read_request(int socket, char *request) {
    size_t size = 0;
    for (;;) {
        ssize_t count = recv(socket, request + size, MAX_REQUEST - 1 - size, 0);
        if (count <= 0) return false;
        size += (size_t)count;
        request[size] = '\0';
        const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
        if (end == NULL) continue;
        size_t body = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (size >= (size_t)(end + 4 - request) + body) return true;
    }
}

static void *serve(void *context) {
    int socket = *(const int *)context;
    char *request = malloc(MAX_REQUEST);
    bool is_open = request != NULL;
    while (is_open && read_request(socket, request)) {
        int number = atomic_fetch_add(&server.num_requests, 1), active = atomic_fetch_add(&server.num_active, 1) + 1;
        int most = atomic_load(&server.max_active);
        while (active > most && !atomic_compare_exchange_weak(&server.max_active, &most, active)) continue;
        pthread_mutex_lock(&server.mutex);
        memcpy(server.last_request, request, strlen(request) + 1);
        pthread_mutex_unlock(&server.mutex);
        is_open = server.answer(socket, request, number);
        atomic_fetch_sub(&server.num_active, 1);
    }
    free(request);
    (void)shutdown(socket, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *context) {
    (void)context;
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        server.sockets[i] = accept(server.socket, NULL, NULL);
        if (server.sockets[i] < 0) break;
        atomic_store(&server.num_connections, i + 1);
        if (pthread_create(&server.workers[i], NULL, serve, &server.sockets[i]) != 0) abort();
    }
    return NULL;
}

static void start(script answer) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    server = (struct server){.answer = answer, .socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(pthread_mutex_init(&server.mutex, NULL), 0);
    assert_int_equal(bind(server.socket, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server.socket, MAX_CONNECTIONS), 0);
    assert_int_equal(getsockname(server.socket, (struct sockaddr *)&address, &size), 0);
    server.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server.acceptor, NULL, accept_all, NULL), 0);
}

static int stop(void **state) {
    (void)state;
    if (server.socket < 0) return 0;
    (void)shutdown(server.socket, SHUT_RDWR);
    (void)pthread_join(server.acceptor, NULL);
    for (int i = 0; i < atomic_load(&server.num_connections); i++) {
        (void)shutdown(server.sockets[i], SHUT_RDWR);
        (void)pthread_join(server.workers[i], NULL);
        (void)close(server.sockets[i]);
    }
    (void)close(server.socket);
    (void)pthread_mutex_destroy(&server.mutex);
    server.socket = -1;
    return 0;
}

/* --- running ------------------------------------------------------------------------------------------------------------------ */

static const int32_t ids[] = {3, 5, 8};
static tn_serve_result result;

static tn_serve_load_options make_options(void) {
    return (tn_serve_load_options){.endpoint = "/v1/completions", .model = "m", .temperature = -1.0, .timeout_ns = 30000000000};
}

static tn_status run(const tn_serve_load_options *options, size_t num_requests, const char *text) {
    char url[64];
    tn_http_address address;
    tn_serve_load_options with = *options;
    tn_dataset dataset = {.num_requests = num_requests, .requests = calloc(num_requests, sizeof(tn_dataset_request))};
    assert_non_null(dataset.requests);
    for (size_t i = 0; i < num_requests; i++) {
        dataset.requests[i] = (tn_dataset_request){.ids = ids, .num_ids = 3, .output_tokens = 4};
        if (text != NULL) dataset.requests[i] = (tn_dataset_request){.text = text, .text_size = strlen(text), .output_tokens = 4};
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%d", server.port);
    assert_int_equal(tn_http_address_parse(url, NULL, NULL, &address), TN_OK);
    with.address = &address;
    tn_serve_result_deinit(&result);
    tn_status status = tn_serve_load_run(&with, &dataset, &result);
    tn_http_address_deinit(&address);
    free(dataset.requests);
    return status;
}

static void expect_error(size_t index, const char *error) {
    assert_false(result.records[index].is_ok);
    assert_non_null(result.records[index].error);
    assert_string_equal(result.records[index].error, error);
}

static int tear_down(void **state) {
    tn_serve_result_deinit(&result);
    return stop(state);
}

/* --- scripts ------------------------------------------------------------------------------------------------------------------ */

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static void say_chunk(int socket, const char *text) {
    char size[32];
    snprintf(size, sizeof size, "%zx\r\n", strlen(text));
    say(socket, size);
    say(socket, text);
    say(socket, "\r\n");
}

static bool answer_well(int socket, const char *request, int number) {
    (void)request, (void)number;
    say(socket, HEAD);
    say_chunk(socket, "data: {\"choices\":[{\"index\":0,\"text\":\" a\"}]}\n\n");
    usleep(2000);
    say_chunk(socket, ": ping\n\ndata: {\"choices\":[{\"index\":0,\"text\":\" b\"}],\"usage\":null}\n\nda");
    usleep(2000);
    say_chunk(socket, "ta: {\"choices\":[{\"index\":0,\"text\":\" c\"}]}\n\n");
    say_chunk(socket, "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}]}\n\n");
    say_chunk(socket, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n");
    say_chunk(socket, "data: [DONE]\n\n");
    say(socket, "0\r\n\r\n");
    return true;
}

static bool answer_a_chat(int socket, const char *request, int number) {
    (void)request, (void)number;
    say(socket, HEAD);
    say_chunk(socket, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
    say_chunk(socket, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n");
    say_chunk(socket, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    say(socket, "0\r\n\r\n");
    return true;
}

/* One after another: what each way of going wrong is called. */
static bool answer_badly(int socket, const char *request, int number) {
    (void)request;
    switch (number) {
    case 0: say(socket, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 99\r\n\r\n{\"error\":"); return false;
    case 1: say(socket, "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"); return true;
    case 2: say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"); return true;
    case 3:
        say(socket, HEAD);
        say_chunk(socket, "data: {\"choices\":[{\"text\":\" a\"}]}\n\n");
        return false;
    case 4:
        say(socket, HEAD);
        say_chunk(socket, "data: {\"choices\":[{\"text\":\" a\"}]}\n\n");
        say(socket, "0\r\n\r\n");
        return true;
    case 5:
        say(socket, HEAD);
        say_chunk(socket, "data: {\"choices\":\n\n");
        return true;
    case 6:
        say(socket, HEAD);
        say_chunk(socket, "data: {\"error\":{\"message\":\"the engine has stopped\"}}\n\n");
        return true;
    case 7: say(socket, "this is no HTTP\r\n"); return true;
    default: return false;
    }
}

static bool answer_and_close(int socket, const char *request, int number) {
    answer_well(socket, request, number);
    return false;
}

/* Keeps the first connection, but closes it without a word when it is used again, as a server does whose idle time is over. */
static bool answer_once_a_connection(int socket, const char *request, int number) {
    if (number == 1) return false;
    return answer_well(socket, request, number);
}

static bool answer_never(int socket, const char *request, int number) {
    (void)socket, (void)request, (void)number;
    char byte;
    return recv(socket, &byte, 1, MSG_PEEK) > 0;
}

static bool name_models(int socket, const char *request, int number) {
    (void)number;
    if (strncmp(request, "GET /v1/models HTTP/1.1\r\n", 25) != 0) return false;
    say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"data\":[{\"id\":\"first\"},{\"id\":\"other\"}]}");
    return true;
}

/* --- tests -------------------------------------------------------------------------------------------------------------------- */

static void an_answer_has_its_times_and_the_servers_count(void **state) {
    (void)state;
    start(answer_well);
    tn_serve_load_options options = make_options();
    options.key = "secret";
    options.ignore_eos = true;
    options.temperature = 0.0;
    assert_int_equal(run(&options, 1, NULL), TN_OK);
    const tn_serve_record *record = &result.records[0];
    if (!record->is_ok) fail_msg("%s", record->error);
    assert_int_equal(record->num_input, 3);
    assert_int_equal(record->num_output, 4);
    assert_true(record->has_usage);
    assert_int_equal(record->gaps_ms.count, 2);
    assert_true(record->begin_ns < record->first_text_ns && record->first_text_ns < record->last_text_ns);
    assert_true(record->last_text_ns <= record->end_ns && record->end_ns - record->begin_ns <= result.duration_ns);
    uint32_t num_chunks = 0;
    for (size_t i = 0; i < result.chunks_each_second.count; i++) num_chunks += result.chunks_each_second.data[i];
    assert_int_equal(num_chunks, 3);
    assert_non_null(strstr(server.last_request, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_non_null(strstr(server.last_request, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(server.last_request, "\r\n\r\n{\"model\":\"m\",\"prompt\":[3,5,8],\"max_tokens\":4,\"stream\":true,"
                                                "\"stream_options\":{\"include_usage\":true},\"temperature\":0,\"ignore_eos\":true}"));
}

static void a_chat_begins_with_its_first_text_and_without_usage_chunks_count(void **state) {
    (void)state;
    start(answer_a_chat);
    tn_serve_load_options options = make_options();
    options.is_chat = true;
    options.endpoint = "/v1/chat/completions";
    assert_int_equal(run(&options, 1, "Say \"hi\""), TN_OK);
    assert_true(result.records[0].is_ok);
    assert_false(result.records[0].has_usage);
    assert_int_equal(result.records[0].num_output, 1);
    assert_int_equal(result.records[0].gaps_ms.count, 0);
    assert_non_null(strstr(server.last_request, "\"messages\":[{\"role\":\"user\",\"content\":\"Say \\\"hi\\\"\"}],\"max_tokens\":4"));
    assert_int_equal(run(&options, 1, NULL), TN_OK);
    assert_non_null(strstr(server.last_request, "\"content\":\"way man life\"}]"));
}

static void each_way_of_going_wrong_has_a_name(void **state) {
    (void)state;
    start(answer_badly);
    tn_serve_load_options options = make_options();
    options.max_concurrency = 1;
    assert_int_equal(run(&options, 9, NULL), TN_OK);
    expect_error(0, "the server closed the connection before the answer's end");
    expect_error(1, "HTTP 500");
    expect_error(2, "the answer is no event stream");
    expect_error(3, "the server closed the connection before the answer's end");
    expect_error(4, "the stream ended before its [DONE]");
    expect_error(5, "an event of the stream is no JSON");
    expect_error(6, "in the stream: the engine has stopped");
    expect_error(7, "the answer is not HTTP/1.1");
    expect_error(8, "the server closed the connection without an answer");
    assert_int_equal(result.records[3].gaps_ms.count, 0);
}

static bool refuse(int socket, const char *request, int number) {
    (void)request, (void)number;
    say(socket, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 41\r\n\r\n{\"error\":{\"message\":\"the queue is full\"}} ");
    return true;
}

static void a_refusal_is_told_with_its_message(void **state) {
    (void)state;
    start(refuse);
    tn_serve_load_options options = make_options();
    assert_int_equal(run(&options, 1, NULL), TN_OK);
    expect_error(0, "HTTP 429: the queue is full");
}

static void no_more_requests_than_asked_for_are_under_way(void **state) {
    (void)state;
    start(answer_well);
    tn_serve_load_options options = make_options();
    options.max_concurrency = 4;
    assert_int_equal(run(&options, 40, NULL), TN_OK);
    for (size_t i = 0; i < 40; i++) assert_true(result.records[i].is_ok);
    assert_int_equal(result.max_active, 4);
    assert_in_range(atomic_load(&server.max_active), 1, 4);
    assert_int_equal(atomic_load(&server.num_connections), 4); /* connections are used again */
}

static void without_a_limit_all_are_under_way(void **state) {
    (void)state;
    start(answer_well);
    tn_serve_load_options options = make_options();
    assert_int_equal(run(&options, 60, NULL), TN_OK);
    for (size_t i = 0; i < 60; i++) assert_true(result.records[i].is_ok);
    assert_int_equal(result.max_active, 60);
}

static void a_rate_spreads_the_requests_the_same_way_each_time(void **state) {
    (void)state;
    int64_t first[20];
    start(answer_well);
    tn_serve_load_options options = make_options();
    options.request_rate = 400.0;
    options.seed = 7;
    assert_int_equal(run(&options, 20, NULL), TN_OK);
    for (size_t i = 0; i < 20; i++) first[i] = result.records[i].begin_ns - result.records[0].begin_ns;
    for (size_t i = 1; i < 20; i++) assert_true(first[i] >= first[i - 1]);
    assert_true(first[19] > 10000000); /* 19 intervals of 2.5 ms on average: not all at once */
    assert_int_equal(run(&options, 20, NULL), TN_OK);
    assert_true(result.records[19].begin_ns - result.records[0].begin_ns > 10000000);
}

static void connections_that_the_server_closes_are_opened_again(void **state) {
    (void)state;
    start(answer_and_close);
    tn_serve_load_options options = make_options();
    options.max_concurrency = 2;
    assert_int_equal(run(&options, 20, NULL), TN_OK);
    for (size_t i = 0; i < 20; i++) assert_true(result.records[i].is_ok);
    assert_int_equal(atomic_load(&server.num_requests), 20);
}

static void a_kept_connection_that_is_gone_costs_no_request(void **state) {
    (void)state;
    start(answer_once_a_connection);
    tn_serve_load_options options = make_options();
    options.max_concurrency = 1;
    assert_int_equal(run(&options, 3, NULL), TN_OK);
    for (size_t i = 0; i < 3; i++) assert_true(result.records[i].is_ok);
    assert_int_equal(atomic_load(&server.num_requests), 4);
    assert_int_equal(atomic_load(&server.num_connections), 2);
}

static void a_request_without_an_end_fails_at_its_time_limit(void **state) {
    (void)state;
    start(answer_never);
    tn_serve_load_options options = make_options();
    options.timeout_ns = 50000000;
    assert_int_equal(run(&options, 3, NULL), TN_OK);
    for (size_t i = 0; i < 3; i++) expect_error(i, "no answer within the time limit");
}

static void the_first_model_is_found(void **state) {
    (void)state;
    start(name_models);
    char url[64], *model;
    tn_http_address address;
    snprintf(url, sizeof url, "http://localhost:%d/", server.port);
    assert_int_equal(tn_http_address_parse(url, NULL, NULL, &address), TN_OK);
    assert_int_equal(tn_serve_find_model(&address, NULL, NULL, &model), TN_OK);
    assert_string_equal(model, "first");
    tn_free(NULL, model);
    tn_http_address_deinit(&address);
}

static void without_a_server_the_address_is_named(void **state) {
    (void)state;
    start(answer_well);
    int port = server.port;
    (void)stop(state);
    char url[64], expected[96];
    tn_http_address address;
    tn_diag *diag;
    tn_diag_entry entry;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%d: Connection refused", port);
    assert_int_equal(tn_http_address_parse(url, NULL, diag, &address), TN_OK);
    char *model;
    assert_int_equal(tn_serve_find_model(&address, NULL, diag, &model), TN_NOT_FOUND);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, expected);
    tn_http_address_deinit(&address);
    tn_diag_destroy(diag);
}

static void addresses_are_taken_apart_or_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *port, *prefix, *authority;
    } good[] = {
        {"http://localhost", "localhost", "80", "", "localhost"},
        {"http://10.0.0.1:8000/", "10.0.0.1", "8000", "", "10.0.0.1:8000"},
        {"http://[::1]:9/api/v1//", "::1", "9", "/api/v1", "[::1]:9"},
        {"http://[fe80::1]/x", "fe80::1", "80", "/x", "[fe80::1]"},
    };
    static const char *const wrong[] = {"",           "localhost:8000",  "ftp://a",      "http://",          "http://:80", "http://a:",
                                        "http://a:x", "http://a:123456", "http://[::1",  "http://[::1]x:80", "http://u@a", "http://a?b",
                                        "http://a#b", "http://a b",      "http://a\r\n", "http://[]:80"};
    tn_http_address address;
    tn_diag *diag;
    tn_diag_entry entry;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(tn_http_address_parse(good[i].text, NULL, NULL, &address), TN_OK);
        assert_string_equal(address.host, good[i].host);
        assert_string_equal(address.port, good[i].port);
        assert_string_equal(address.prefix, good[i].prefix);
        assert_string_equal(address.authority, good[i].authority);
        tn_http_address_deinit(&address);
    }
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (tn_http_address_parse(wrong[i], NULL, diag, &address) != TN_INVALID_ARGUMENT) fail_msg("'%s' is accepted", wrong[i]);
    tn_diag_clear(diag);
    assert_int_equal(tn_http_address_parse("https://a", NULL, diag, &address), TN_UNSUPPORTED);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot use the address 'https://a': https is not built into the load generator");
    tn_diag_destroy(diag);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void) {
    server.socket = -1;
    const struct CMUnitTest tests[] = {
        TEST(an_answer_has_its_times_and_the_servers_count),
        TEST(a_chat_begins_with_its_first_text_and_without_usage_chunks_count),
        TEST(each_way_of_going_wrong_has_a_name),
        TEST(a_refusal_is_told_with_its_message),
        TEST(no_more_requests_than_asked_for_are_under_way),
        TEST(without_a_limit_all_are_under_way),
        TEST(a_rate_spreads_the_requests_the_same_way_each_time),
        TEST(connections_that_the_server_closes_are_opened_again),
        TEST(a_kept_connection_that_is_gone_costs_no_request),
        TEST(a_request_without_an_end_fails_at_its_time_limit),
        TEST(the_first_model_is_found),
        TEST(without_a_server_the_address_is_named),
        TEST(addresses_are_taken_apart_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
