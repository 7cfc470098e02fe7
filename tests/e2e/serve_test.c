/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_test.c: `tenon serve` as a process: what systemd hears, what signals do, where options come from, and that a kill in the
 * middle of anything breaks nothing.
 */
#include "e2e/program.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "support/http.h"

#define BODY "{\"prompt\": \"Hello\", \"max_tokens\": 8, \"temperature\": 0}"
#define LONG "{\"prompt\": \"Hello\", \"max_tokens\": 450, \"ignore_eos\": true, \"stream\": true}"

static pid_t child;
static uint16_t port;
static int notify_socket = -1;

/* A model directory: the golden model with the tokenizer of its 320 tokens. */
static void make_model(void) {
    char command[1024];
    snprintf(command, sizeof command,
             "mkdir model && cp '%s'/models/llama-gqa/config.json '%s'/models/llama-gqa/model.safetensors '%s'/tokenizers/bytes320/* model",
             TN_TEST_DATA, TN_TEST_DATA, TN_TEST_DATA);
    assert_int_equal(system(command), 0);
}

/* What comes next to NOTIFY_SOCKET; "" after 20 s of silence. */
static const char *next_notice(void) {
    static char text[256];
    struct timeval patience = {.tv_sec = 20};
    assert_int_equal(setsockopt(notify_socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ssize_t size = recv(notify_socket, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void listen_for_notices(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
    unlink(address.sun_path);
    assert_true(notify_socket >= 0 && bind(notify_socket, (struct sockaddr *)&address, sizeof address) == 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
}

/* The port that stderr names. */
static void read_port(void) {
    char line[512];
    for (int i = 0; i < 2000; i++) {
        FILE *file = fopen("stderr", "r");
        assert_non_null(file);
        unsigned number = 0;
        while (number == 0 && fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "tenon: serving %*s on http://127.0.0.1:%u", &number) != 1) number = 0;
        fclose(file);
        port = (uint16_t)number;
        if (number != 0) return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("the server does not say where it serves");
}

static void forget_notices(void) {
    char scratch[256];
    while (recv(notify_socket, scratch, sizeof scratch, MSG_DONTWAIT) >= 0) {}
}

static void start_with(const char *const *arguments) {
    forget_notices();
    write_text("stdin", "");
    write_text("stderr", "");
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) become_tenon(arguments);
    assert_string_equal(next_notice(), "READY=1\nSTATUS=serving");
    read_port();
}
#define START(...) start_with((const char *const[]){"serve", "model", "--port", "0", "--threads", "1", "--level", "0", __VA_ARGS__, NULL})

static int wait_for_exit(void) {
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 4000 && (ended = waitpid(child, &status, WNOHANG)) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (ended != child) return -1; /* it is killed by the teardown */
    child = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int send_post(const char *body) {
    char text[1024];
    int fd = tn_test_connect(port);
    snprintf(text, sizeof text,
             "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    assert_true(tn_test_send_text(fd, text));
    return fd;
}

static int end_child(void **state) {
    (void)state;
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        child = 0;
    }
    return 0;
}

static void first_term_drains_and_exits_with_0(void **state) {
    (void)state;
    START("--no-access-log");
    int fd = send_post(LONG);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1);
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_string_equal(next_notice(), "STOPPING=1\nSTATUS=draining");
    tn_test_http answer = tn_test_receive(fd, false);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "\"finish_reason\": \"length\""));
    assert_non_null(strstr(answer.body, "data: [DONE]"));
    tn_test_http_free(&answer);
    close(fd);
    assert_int_equal(wait_for_exit(), 0);
}

static void second_term_cancels_and_exits_with_0(void **state) {
    (void)state;
    START("--max-batch-size", "1");
    int fds[60];
    for (int i = 0; i < 60; i++) fds[i] = send_post(LONG);
    char byte;
    assert_int_equal(recv(fds[0], &byte, 1, MSG_PEEK), 1);
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_string_equal(next_notice(), "STOPPING=1\nSTATUS=draining");
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_int_equal(wait_for_exit(), 0);
    for (int i = 0; i < 60; i++) close(fds[i]);
}

static void watchdog_hears_of_it(void **state) {
    (void)state;
    assert_int_equal(setenv("WATCHDOG_USEC", "100000", 1), 0);
    START("--no-access-log");
    assert_string_equal(next_notice(), "WATCHDOG=1");
    assert_string_equal(next_notice(), "WATCHDOG=1");
    assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
}

static void hangup_reads_keys_again(void **state) {
    (void)state;
    write_text("keys", "first-key\n");
    START("--keys", "keys");
    tn_test_http answer = tn_test_request(port, "GET", "/v1/models", "Authorization: Bearer first-key\r\n", NULL);
    assert_int_equal(answer.status, 200);
    tn_test_http_free(&answer);
    write_text("keys", "second-key\n");
    assert_int_equal(kill(child, SIGHUP), 0);
    assert_string_equal(next_notice(), "RELOADING=1");
    assert_string_equal(next_notice(), "READY=1");
    answer = tn_test_request(port, "GET", "/v1/models", "Authorization: Bearer first-key\r\n", NULL);
    assert_int_equal(answer.status, 401);
    tn_test_http_free(&answer);
}

static void flags_beat_variables_and_variables_the_file(void **state) {
    (void)state;
    write_text("config",
               "# a server\nmodel = nowhere\nserved-model-name = of-file\nlog-json = yes\nmax-body-size = 2000\n  max-headers=50\n");
    assert_int_equal(setenv("TENON_SERVED_MODEL_NAME", "of-variable", 1), 0);
    assert_int_equal(setenv("TENON_MAX_HEADERS", "60", 1), 0);
    START("--config", "config", "--max-headers", "70");
    char *text = read_text("stderr");
    assert_non_null(strstr(text, "model = model\n"));
    assert_non_null(strstr(text, "served-model-name = of-variable\n"));
    assert_non_null(strstr(text, "log-json = true\n"));
    assert_non_null(strstr(text, "max-body-size = 2000\n"));
    assert_non_null(strstr(text, "max-headers = 70\n"));
    assert_non_null(strstr(text, "memory: weights "));
    tn_free(NULL, text);
    assert_int_equal(unsetenv("TENON_SERVED_MODEL_NAME") + unsetenv("TENON_MAX_HEADERS"), 0);
    tn_test_http answer = tn_test_post(port, "/v1/completions", BODY);
    assert_int_equal(answer.status, 200);
    tn_test_http_free(&answer);
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_int_equal(wait_for_exit(), 0);
    text = read_text("stderr");
    assert_non_null(strstr(text, "\"event\": \"request\""));
    assert_non_null(strstr(text, "\"path\": \"/v1/completions\", \"key\": \"\", \"status\": 200"));
    tn_free(NULL, text);
}

static void throughput_is_told_while_there_is_any(void **state) {
    (void)state;
    START("--no-access-log", "--throughput-interval", "0.25");
    char *text = read_text("stderr");
    for (int i = 0; i < 400 && strstr(text, " tok/s, running ") == NULL; i++) {
        tn_test_http answer = tn_test_post(port, "/v1/completions", BODY);
        assert_int_equal(answer.status, 200);
        tn_test_http_free(&answer);
        tn_free(NULL, text);
        text = read_text("stderr");
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    assert_non_null(strstr(text, " tok/s, running "));
    tn_free(NULL, text);
}

static void wrong_options_are_refused_by_name(void **state) {
    (void)state;
    write_text("config", "max-heders = 5\n");
    TENON("serve", "model", "--config", "config");
    expect_failure(2, "tenon: config, line 1: there is no option 'max-heders'");
    write_text("config", "log-json = perhaps\n");
    TENON("serve", "model", "--config", "config");
    expect_failure(2, "tenon: config, line 1 is 'perhaps', must be true or false");
    TENON("serve", "model", "--max-headers", "0");
    expect_failure(2, "tenon serve: --max-headers is '0', must be a whole number from 1 to 10000");
    TENON("serve");
    expect_failure(2, "tenon serve: MODEL is missing");
}

static void killed_server_leaves_nothing_broken(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        START("--no-access-log");
        int fds[8];
        for (int k = 0; k < 8; k++) fds[k] = send_post(LONG);
        nanosleep(&(struct timespec){.tv_nsec = 5000000 * i}, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        waitpid(child, NULL, 0);
        for (int k = 0; k < 8; k++) close(fds[k]);
    }
    /* and while it starts, where the cache of engines is written */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(system("rm -rf cache"), 0);
        fflush(NULL);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) become_tenon((const char *const[]){"serve", "model", "--port", "0", "--level", "0", NULL});
        nanosleep(&(struct timespec){.tv_nsec = 15000000 * i}, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        START("--no-access-log");
        tn_test_http answer = tn_test_post(port, "/v1/completions", BODY);
        assert_int_equal(answer.status, 200);
        tn_test_http_free(&answer);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        child = 0;
    }
}

static int open_all(void **state) {
    if (make_folder(state) != 0) return 1;
    make_model();
    listen_for_notices();
    return 0;
}

static int close_all(void **state) {
    close(notify_socket);
    return remove_folder(state);
}

#define CASE(name) cmocka_unit_test_teardown(name, end_child)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(first_term_drains_and_exits_with_0),
        CASE(second_term_cancels_and_exits_with_0),
        CASE(watchdog_hears_of_it),
        CASE(hangup_reads_keys_again),
        CASE(flags_beat_variables_and_variables_the_file),
        CASE(throughput_is_told_while_there_is_any),
        CASE(wrong_options_are_refused_by_name),
        CASE(killed_server_leaves_nothing_broken),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
