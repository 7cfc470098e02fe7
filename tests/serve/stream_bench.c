/* SPDX-License-Identifier: Apache-2.0
 *
 * stream_bench.c: what the server itself costs: processor time for each streamed token, and time to the first one. Prints JSON;
 * bench/serve-costs makes a table of it.
 *
 * The engine is the null backend with a pause in each step, so that the server gets up with every step: one event a token, which is
 * counted. Processor time is this process's; the client is another process. It holds all that a stream costs: the request, the
 * executor, text, JSON, the socket. It does not depend on what else runs, as times do.
 *
 * What the server adds to the time to the first token: from before the request is sent until the client's kernel has the first event,
 * less what the executor says it took from taking the request to drawing the token (the histogram behind /metrics, before and after).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/thread.h"
#include "server/server_internal.h"
#include "support/server.h"

enum { NUM_STREAMS = 64, NUM_PROBES = 300, NUM_ROUNDS = 5 };

/* --- the engine ------------------------------------------------------------------------------------------------------------------------ */

static tn_test_server self;
static tn_backend paced; /* the null backend, whose steps take their time */
static atomic_int_fast64_t step_ns;
static atomic_bool is_gated;                 /* a step waits until the client has all events of those before */
static atomic_int_fast64_t *num_events_read; /* shared with the client */

static void pause_ns(int64_t time_ns) {
    (void)nanosleep(&(struct timespec){.tv_sec = time_ns / 1000000000, .tv_nsec = time_ns % 1000000000}, NULL);
}

/* Tokens that the client has no event of: on their way, or told together with others. */
static int64_t count_unread(void) {
    tn_metrics_lock(&self.server->metrics);
    int64_t num_tokens = (int64_t)self.server->metrics.counters[TN_COUNTER_generation_tokens_total];
    tn_metrics_unlock(&self.server->metrics);
    return num_tokens - atomic_load(num_events_read);
}

static void wait_for_client(void) {
    enum { LOOK_NS = 200000, MAX_LOOKS = 100 };
    static int64_t num_lost; /* told together with others */
    for (int i = 0; i < MAX_LOOKS; i++) {
        if (tn_executor_num_responses_ready(self.decoder.executor, 0) == 0 && count_unread() <= num_lost) return;
        pause_ns(LOOK_NS);
    }
    num_lost = count_unread();
}

static tn_status run_paced(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag) {
    if (steps[num_steps - 1].problem->op == TN_OP_SAMPLE) { /* once a step */
        if (atomic_load(&step_ns) > 0) pause_ns(atomic_load(&step_ns));
        if (atomic_load(&is_gated)) wait_for_client();
    }
    return tn_backend_find("null")->run_segment(stream, steps, num_steps, sink, diag);
}

/* --- the client ------------------------------------------------------------------------------------------------------------------------- */

/* What the client process does next; it answers with a result. */
typedef struct task {
    uint16_t port;
    int num_connections, requests_each, max_tokens;
    bool until_told; /* goes on with requests until the next task comes */
} task;

typedef struct result {
    int64_t num_requests, num_events;
} result;

/* A text that is looked for in a stream of bytes. */
typedef struct needle {
    const char *text;
    size_t num_matched;
} needle;

static bool needle_feed(needle *sought, char c) {
    if (c != sought->text[sought->num_matched]) sought->num_matched = 0;
    if (c == sought->text[sought->num_matched]) sought->num_matched++;
    if (sought->text[sought->num_matched] != '\0') return false;
    sought->num_matched = 0;
    return true;
}

typedef struct client_connection {
    int fd, num_left;
    needle event, end;
    int64_t begin_ns, first_ns; /* first_ns: of this request's first event; 0: not there yet */
} client_connection;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static size_t write_request(char *out, size_t size, int max_tokens) {
    static const char text[] =
        "Tell me, in a few sentences, what the people of a small town by the sea do all day when the weather is good and "
        "nobody has to be anywhere before the evening.";
    char body[512];
    static unsigned number;
    int count = snprintf(body, sizeof body,
                         "{\"model\": \"test\", \"prompt\": \"%u %s\", \"max_tokens\": %d, \"ignore_eos\": true, \"stream\": true, "
                         "\"skip_special_tokens\": false, \"temperature\": 0}",
                         number++, text, max_tokens);
    return (size_t)snprintf(
        out, size, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        count, body);
}

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) != 0)
        die("setsockopt");
    return fd;
}

static int64_t wall_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) die("clock_gettime");
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void ask(client_connection *connection, int max_tokens) {
    char request[1024];
    size_t size = write_request(request, sizeof request, max_tokens);
    connection->event = (needle){.text = "data: {"};
    connection->end = (needle){.text = "\r\n0\r\n\r\n"};
    connection->first_ns = 0;
    connection->num_left--;
    connection->begin_ns = wall_ns();
    if (send(connection->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
}

/* What has come, and when the kernel got it: a client that has to wait for a processor is no cost of the server's. */
static ssize_t receive(int fd, char *bytes, size_t size, int64_t *out_ns) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);
    *out_ns = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); count > 0 && at != NULL; at = CMSG_NXTHDR(&message, at)) {
        struct timespec time;
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_TIMESTAMPNS) continue;
        memcpy(&time, CMSG_DATA(at), sizeof time);
        *out_ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    }
    return count;
}

/* Reads what has come; true if the answer has ended. */
static bool read_answer(client_connection *connection, result *out) {
    static char bytes[1 << 16];
    bool has_ended = false;
    int64_t time_ns;
    ssize_t size = receive(connection->fd, bytes, sizeof bytes, &time_ns);
    if (size == 0) die("the server closed the connection");
    for (ssize_t i = 0; i < size; i++) {
        if (needle_feed(&connection->event, bytes[i])) {
            out->num_events++;
            atomic_fetch_add(num_events_read, 1);
            if (connection->first_ns == 0) connection->first_ns = time_ns;
        }
        has_ended = needle_feed(&connection->end, bytes[i]) || has_ended;
    }
    return has_ended;
}

static void run_task(const task *todo, int commands, result *out) {
    static client_connection connections[NUM_STREAMS];
    int epoll = epoll_create1(EPOLL_CLOEXEC), num_running = todo->num_connections;
    *out = (result){0};
    for (int i = 0; i < todo->num_connections; i++) {
        connections[i] = (client_connection){.fd = connect_to(todo->port), .num_left = todo->requests_each};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event) != 0) die("epoll_ctl");
    }
    for (int i = 0; i < todo->num_connections; i++) ask(&connections[i], todo->max_tokens);
    bool is_told = false;
    while (num_running > 0) {
        struct epoll_event events[NUM_STREAMS];
        int count = epoll_wait(epoll, events, NUM_STREAMS, 100);
        if (!is_told && todo->until_told) is_told = poll(&(struct pollfd){.fd = commands, .events = POLLIN}, 1, 0) == 1;
        for (int i = 0; i < count; i++) {
            client_connection *connection = events[i].data.ptr;
            if (!read_answer(connection, out)) continue;
            out->num_requests++;
            if (todo->until_told ? !is_told : connection->num_left > 0)
                ask(connection, todo->max_tokens);
            else
                num_running--;
        }
    }
    for (int i = 0; i < todo->num_connections; i++) close(connections[i].fd);
    close(epoll);
}

static void run_client(int commands, int answers) {
    task todo;
    result done;
    while (read(commands, &todo, sizeof todo) == sizeof todo) {
        if (todo.num_connections == 0) continue; /* told to stop, and has */
        run_task(&todo, commands, &done);
        if (write(answers, &done, sizeof done) != sizeof done) die("write");
    }
    exit(0);
}

/* --- measuring --------------------------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare);
    return count > 0 ? values[count / 2] : 0.0;
}

static int commands[2], answers[2];

static void tell(const task *todo) {
    assert_int_equal(write(commands[1], todo, sizeof *todo), sizeof *todo);
}

static result hear(void) {
    result done;
    assert_int_equal(read(answers[0], &done, sizeof done), sizeof done);
    return done;
}

static double processor_us(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double thread_us(pthread_t thread) {
    clockid_t clock;
    struct timespec time;
    assert_int_equal(pthread_getcpuclockid(thread, &clock), 0);
    assert_int_equal(clock_gettime(clock, &time), 0);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

/* Rounds of 64 streams; gated: one event a token. */
static void measure_cost(bool gated, int max_tokens, int requests_each, const char *name, const char *end) {
    double costs[NUM_ROUNDS], loops[NUM_ROUNDS];
    int64_t num_tokens = 0, num_events = 0;
    atomic_store(&is_gated, gated);
    atomic_store(&step_ns, gated ? 300000 : 0);         /* what the server has to do is begun by then */
    for (int round = -1; round < NUM_ROUNDS; round++) { /* the first warms up */
        task todo = {.port = self.port, .num_connections = NUM_STREAMS, .requests_each = requests_each, .max_tokens = max_tokens};
        double before = processor_us(), loop = thread_us(self.server->loop);
        tell(&todo);
        result done = hear();
        if (round < 0) continue;
        double count = (double)(done.num_requests * max_tokens);
        costs[round] = (processor_us() - before) / count;
        loops[round] = (thread_us(self.server->loop) - loop) / count;
        num_tokens += done.num_requests * max_tokens;
        num_events += done.num_events;
    }
    printf("\"%s\": {\"streams\": %d, \"tokens_each\": %d, \"events_per_token\": %.4f, "
           "\"processor_us_per_token\": %.3f, \"loop_us\": %.3f}%s\n",
           name, NUM_STREAMS, max_tokens, (double)num_events / (double)num_tokens, median(costs, NUM_ROUNDS), median(loops, NUM_ROUNDS),
           end);
    fflush(stdout);
    atomic_store(&is_gated, false);
}

static void read_first_tokens(double *out_sum_us, uint64_t *out_count) {
    const tn_histogram *histogram = &self.server->metrics.histograms[TN_HISTOGRAM_time_to_first_token_seconds];
    tn_metrics_lock(&self.server->metrics);
    *out_sum_us = histogram->sum * 1e6;
    *out_count = 0;
    for (int i = 0; i <= TN_MAX_BUCKETS; i++) *out_count += histogram->counts[i];
    tn_metrics_unlock(&self.server->metrics);
}

/* One request over a kept connection: microseconds to its first event, and those of them that were the executor's. False: another
 * request got its first token meanwhile, so it cannot be told. */
static bool probe(client_connection *connection, double *out_us, double *out_executor_us) {
    double sum, sum_after;
    uint64_t count, count_after;
    result done = {0};
    read_first_tokens(&sum, &count);
    ask(connection, 2);
    bool has_ended = false;
    while (!has_ended) {
        if (poll(&(struct pollfd){.fd = connection->fd, .events = POLLIN}, 1, 20000) != 1) die("no answer");
        has_ended = read_answer(connection, &done);
    }
    read_first_tokens(&sum_after, &count_after);
    *out_us = (double)(connection->first_ns - connection->begin_ns) * 1e-3;
    *out_executor_us = sum_after - sum;
    return count_after == count + 1;
}

static void measure_first(int num_background, int64_t pause_us, const char *name, const char *end) {
    static double all[NUM_PROBES], executor[NUM_PROBES], added[NUM_PROBES];
    task todo = {.port = self.port, .num_connections = num_background, .max_tokens = 320, .until_told = true}, stop = {0};
    client_connection connection = {.fd = connect_to(self.port)};
    atomic_store(&step_ns, pause_us * 1000);
    if (num_background > 0) tell(&todo);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    uint32_t random = 1;
    size_t count = 0;
    for (int tries = 0; count < NUM_PROBES && tries < 4 * NUM_PROBES; tries++) {
        random = random * 1664525u + 1013904223u;
        nanosleep(&(struct timespec){.tv_nsec = (long)(random >> 8) % 5000000}, NULL); /* not in time with the steps */
        double us, executor_us;
        if (!probe(&connection, &us, &executor_us)) continue;
        all[count] = us;
        executor[count] = executor_us;
        added[count++] = us - executor_us;
    }
    if (num_background > 0) {
        tell(&stop);
        (void)hear();
    }
    close(connection.fd);
    double middle = median(added, count);
    printf("\"%s\": {\"other_streams\": %d, \"step_pause_us\": %lld, \"requests\": %zu, \"first_us\": %.1f, \"executor_us\": %.1f, "
           "\"added_us\": %.1f, \"added_p90_us\": %.1f}%s\n",
           name, num_background, (long long)pause_us, count, median(all, count), median(executor, count), middle,
           count > 0 ? added[count * 9 / 10] : 0.0, end);
    fflush(stdout);
}

int main(void) {
    assert_int_equal(pipe(commands), 0);
    assert_int_equal(pipe(answers), 0);
    num_events_read = mmap(NULL, sizeof *num_events_read, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(num_events_read != MAP_FAILED);
    pid_t client = fork(); /* before there are threads */
    assert_true(client >= 0);
    if (client == 0) {
        close(commands[1]);
        run_client(commands[0], answers[1]);
    }
    close(commands[0]);
    close(answers[1]);
    (void)signal(SIGPIPE, SIG_IGN);
    tn_test_server_open(&self, "null");
    paced = *self.decoder.device->backend;
    paced.run_segment = run_paced;
    self.decoder.device->backend = &paced;
    tn_server_options options = tn_test_server_options(&self);
    options.log_requests = false;
    tn_test_server_start(&self, NULL, &options);
    printf("{");
    measure_cost(true, 320, 2, "one_event_a_token", ",");
    measure_cost(false, 320, 40, "as_fast_as_it_goes", ",");
    measure_first(0, 1000, "first_alone", ",");
    measure_first(NUM_STREAMS - 1, 10000, "first_beside_streams", "}");
    tn_test_server_stop(&self);
    close(commands[1]);
    (void)waitpid(client, NULL, 0);
    self.decoder.device->backend = tn_backend_find("null");
    tn_test_server_close(&self);
    return 0;
}
