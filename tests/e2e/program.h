/* SPDX-License-Identifier: Apache-2.0
 *
 * program.h: running the program `tenon` (TN_BINARY) in a folder of its own, and what it said. A test program that includes it has
 * make_folder and remove_folder as its group's setup and teardown.
 */
#ifndef TN_TESTS_E2E_PROGRAM_H_
#define TN_TESTS_E2E_PROGRAM_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

static char folder[] = "/tmp/tenon-cli-XXXXXX", cache[64]; /* each test runs in the folder */

typedef struct outcome {
    int exit_code; /* -1: killed by a signal */
    char *output, *messages;
} outcome;
static outcome last;

static inline void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static inline char *read_text(const char *path) {
    char *text;
    size_t size;
    assert_int_equal(tn_file_read_all(path, 1 << 24, NULL, NULL, &text, &size), TN_OK);
    return text;
}

static inline void forget_last(void) {
    tn_free(NULL, last.output);
    tn_free(NULL, last.messages);
    last = (outcome){0};
}

static inline void become_tenon(const char *const *arguments) {
    const char *all[24] = {TN_BINARY};
    for (size_t i = 0; arguments[i] != NULL && i < 22; i++) all[1 + i] = arguments[i];
    bool is_open =
        freopen("stdin", "rb", stdin) != NULL && freopen("stdout", "wb", stdout) != NULL && freopen("stderr", "wb", stderr) != NULL;
    /* Files without permission shall be closed to root too. */
    (void)prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
    (void)prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
    if (!is_open) _exit(126);
    execv(TN_BINARY, (char *const *)(uintptr_t)all);
    _exit(127);
}

/* Runs `tenon ARGUMENTS…` with `input` on stdin. */
static inline void run(const char *input, const char *const *arguments) {
    forget_last();
    write_text("stdin", input);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) become_tenon(arguments);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    last.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    last.output = read_text("stdout");
    last.messages = read_text("stderr");
}
#define TENON(...) run("", (const char *const[]){__VA_ARGS__, NULL})

static inline void expect_success(const char *messages) {
    if (last.exit_code != 0 || strcmp(last.messages, messages) != 0)
        fail_msg("exit code %d, stderr is:\n%s\nmust be 0 and:\n%s", last.exit_code, last.messages, messages);
}

/* Nothing on stdout, and a message that begins so; at most one line of reason and two of advice (argp breaks its own). */
static inline void expect_failure(int exit_code, const char *message) {
    size_t num_lines = 0;
    for (const char *c = last.messages; *c != '\0'; c++) num_lines += *c == '\n';
    if (last.exit_code != exit_code || strncmp(last.messages, message, strlen(message)) != 0 || last.output[0] != '\0' || num_lines > 3)
        fail_msg("exit code %d, stdout:\n%s\nstderr:\n%s\nmust be %d and begin so, in at most three lines:\n%s", last.exit_code,
                 last.output, last.messages, exit_code, message);
}

static inline int make_folder(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) return 1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    return setenv("TENON_CACHE", cache, 1);
}

static inline int remove_folder(void **state) {
    (void)state;
    forget_last();
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

#endif
