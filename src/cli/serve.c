/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c: `tenon serve MODEL`: a server's process: signals, systemd, what is told at the start.
 *
 * TERM and INT: new work is refused, what runs is finished, exit 0; a second one cancels what is left, exit 0. HUP: keys and
 * certificate are read again. All signals come by sigtimedwait to the main thread, which has nothing else to do.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/thread.h"
#include "cli/notify.h"
#include "cli/serve_args.h"
#include "cli/session.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

enum { MAX_TEMPLATE = 1 << 20, LOOP_PERIOD_MS = 1000, MAX_HEARTBEAT_MS = 10000 };

static void write_line(void *user, const char *line, size_t size) {
    (void)user;
    fprintf(stderr, "%.*s\n", (int)size, line);
}

/* --- the start ------------------------------------------------------------------------------------------------------------------------ */

/* Every connection is a descriptor: the soft limit of most systems is too low, the hard one is ours to use. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void print_memory(const tn_session *session) {
    char text[4][32];
    tn_engine_memory memory;
    tn_executor_info info;
    tn_engine_get_memory(session->engine, &memory);
    tn_executor_get_info(session->executor, &info);
    /* a plan that was built just now holds the weights itself */
    if (memory.weights_bytes == 0 && session->plan != NULL) memory.weights_bytes = tn_plan_get_view(session->plan)->weight_data_bytes;
    fprintf(stderr, "memory: weights %s, key/value cache %s (%lld tokens), activations %s; %s may still be taken\n",
            tn_format_bytes(memory.weights_bytes, text[0]), tn_format_bytes(info.cache_bytes, text[1]),
            (long long)(info.num_blocks * info.tokens_per_block), tn_format_bytes(memory.activations_bytes, text[2]),
            tn_format_bytes(tn_available_memory_bytes(), text[3]));
    fprintf(stderr, "limits: context %lld tokens, %d sequences and %d tokens a step\n", (long long)info.max_seq_len,
            (int)info.max_batch_size, (int)info.max_num_tokens);
}

/* "models/SmolLM2.gguf" → "SmolLM2" */
static char *name_of(const char *path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    size_t begin = size;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    char *name = tn_copy_bytes(NULL, path + begin, size - begin);
    if (name != NULL && tn_string_ends_with(name, ".gguf")) name[strlen(name) - 5] = '\0';
    return name;
}

/* What /version and /v1/models tell of the engine; the path is nobody's business. */
static void describe_build(const tn_session *session, tn_text *out) {
    const char *device = tn_device_description(session->device);
    tn_text_append_string(out, "{\"device\": ");
    tn_text_append_json_string(out, device, strlen(device));
    tn_text_append_format(out, ", \"model\": %s}",
                          tn_engine_model_info(session->engine)[0] != '\0' ? tn_engine_model_info(session->engine) : "{}");
}

/* --- the life -------------------------------------------------------------------------------------------------------------------------- */

static bool is_alive(tn_server *server) {
    tn_server_info info;
    tn_server_get_info(server, &info);
    return info.heartbeat_age_ms < MAX_HEARTBEAT_MS && !info.is_stalled;
}

static void reload(tn_server *server) {
    tn_notify("RELOADING=1");
    if (tn_server_reload(server, NULL) == TN_OK)
        fputs("tenon: keys and certificate were read again\n", stderr);
    else
        fputs("tenon: the old keys and certificate stay\n", stderr);
    tn_notify("READY=1");
}

/* Until a TERM or INT; true if there was one before the time was over. */
static bool wait_for_end(tn_server *server, const sigset_t *signals, int64_t timeout_ms) {
    int64_t watchdog_ms = tn_notify_watchdog_interval_ms(), now_ns = tn_now_ns(), end_ns = now_ns + timeout_ms * 1000000;
    while (timeout_ms < 0 || now_ns < end_ns) {
        int64_t period_ms = watchdog_ms > 0 && watchdog_ms < LOOP_PERIOD_MS ? watchdog_ms : LOOP_PERIOD_MS;
        if (timeout_ms >= 0 && period_ms > (end_ns - now_ns) / 1000000 + 1) period_ms = (end_ns - now_ns) / 1000000 + 1;
        struct timespec period = {.tv_sec = (time_t)(period_ms / 1000), .tv_nsec = (long)(period_ms % 1000 * 1000000)};
        int number = sigtimedwait(signals, NULL, &period);
        if (number == SIGTERM || number == SIGINT) return true;
        if (number == SIGHUP) reload(server);
        if (watchdog_ms > 0 && is_alive(server)) tn_notify("WATCHDOG=1");
        now_ns = tn_now_ns();
    }
    return false;
}

static void drain(tn_server *server, const sigset_t *signals, int64_t timeout_ms) {
    enum { STEP_MS = 100 };
    int64_t end_ns = tn_now_ns() + timeout_ms * 1000000;
    fputs("tenon: draining: what runs is finished; a second TERM cancels it\n", stderr);
    tn_notify("STOPPING=1\nSTATUS=draining");
    tn_server_drain(server);
    while (tn_server_wait(server, STEP_MS) != TN_OK && tn_now_ns() < end_ns)
        if (wait_for_end(server, signals, 0) || wait_for_end(server, signals, 1)) break;
}

static bool serve(tn_session *session, tn_serve_args *args, const sigset_t *signals) {
    char *name = name_of(args->engine.path), *template_text = NULL;
    size_t size;
    tn_text build = {0};
    tn_server *server = NULL;
    describe_build(session, &build);
    args->server.executor = session->executor;
    args->server.tokenizer = session->tokenizer;
    args->server.build_info_json = build.data;
    args->server.log = write_line;
    if (args->server.model_name == NULL) args->server.model_name = name;
    bool is_ok = args->chat_template_path == NULL ||
                 tn_file_read_all(args->chat_template_path, MAX_TEMPLATE, NULL, NULL, &template_text, &size) == TN_OK;
    args->server.chat_template = template_text;
    is_ok = is_ok && tn_server_create(&args->server, &server) == TN_OK;
    if (is_ok) tn_serve_args_print(args, stderr);
    is_ok = is_ok && tn_server_start(server) == TN_OK;
    if (is_ok) {
        print_memory(session); /* after the first token: activations are there */
        fprintf(stderr, "tenon: serving %s on %s\n", args->server.model_name, tn_server_url(server));
        tn_notify("READY=1\nSTATUS=serving");
        (void)wait_for_end(server, signals, -1);
        drain(server, signals, args->drain_timeout_ms);
    }
    tn_server_destroy(server);
    tn_text_deinit(&build);
    tn_free(NULL, template_text);
    tn_free(NULL, name);
    return is_ok;
}

int tn_verb_serve(int argc, char **argv) {
    tn_serve_args args;
    sigset_t signals;
    tn_serve_args_read(&args, argc, argv);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    tn_session session = {0};
    raise_descriptor_limit();
    bool is_ok = tn_session_open(&session, &args.engine);
    if (is_ok) tn_session_save(&session);
    /* From here on signals wait for us; until here they end the program, which nobody depends on yet. */
    is_ok = is_ok && pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR;
    is_ok = is_ok && tn_session_start_executor(&session, &args.executor);
    is_ok = is_ok && serve(&session, &args, &signals);
    tn_session_close(&session);
    tn_serve_args_deinit(&args);
    return is_ok ? TN_EXIT_OK : TN_EXIT_FAILED;
}
