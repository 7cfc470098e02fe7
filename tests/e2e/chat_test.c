/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_test.c: `tenon chat` in a terminal: what is typed goes into a pseudo-terminal, what the user sees comes out of it.
 *
 * Nothing here depends on who is quicker: where an answer is to be stopped it ignores the end token, and where keys are typed in
 * a race the outcome is the same on both sides. Waiting has a limit only so that a hang fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "support/model_file.h"

enum { MAX_TEXT = 1 << 18, WAIT_LIMIT_S = 60 };

typedef struct terminal {
    int fd;
    pid_t program; /* 0: ended */
    struct termios modes_before;
    size_t size, seen; /* of text: what came, and how much of it a test has waited for */
    char text[MAX_TEXT + 1];
} terminal;

static terminal user;
static char model_path[4096], engine_path[] = "/tmp/tenon-chat-XXXXXX";

/* --- the terminal ------------------------------------------------------------------------------------------------------------------ */

static void run_program(const char *slave_name, const char *const *options) {
    const char *arguments[16] = {TN_BINARY, "chat", engine_path};
    for (size_t i = 0; options[i] != NULL; i++) arguments[3 + i] = options[i];
    setsid();
    int slave = open(slave_name, O_RDWR); /* becomes the controlling terminal */
    if (slave < 0 || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0) _exit(126);
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C", 1);
    execv(TN_BINARY, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* options: at most 12, NULL at the end */
static void start_chat(const char *const *options) {
    user = (terminal){.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    assert_true(user.fd >= 0);
    assert_int_equal(grantpt(user.fd), 0);
    assert_int_equal(unlockpt(user.fd), 0);
    assert_int_equal(ioctl(user.fd, TIOCSWINSZ, &(struct winsize){.ws_row = 50, .ws_col = 200}), 0);
    assert_int_equal(tcgetattr(user.fd, &user.modes_before), 0);
    const char *slave_name = ptsname(user.fd);
    user.program = fork();
    assert_true(user.program >= 0);
    if (user.program == 0) run_program(slave_name, options);
}

static int stop_chat(void **state) {
    (void)state;
    if (user.program > 0) {
        kill(user.program, SIGKILL);
        waitpid(user.program, NULL, 0);
    }
    if (user.fd > 0) close(user.fd);
    user = (terminal){0};
    return 0;
}

/* False: the program has closed the terminal. */
static bool read_more(const char *wanted, time_t limit) {
    struct pollfd ready = {.fd = user.fd, .events = POLLIN};
    int count = poll(&ready, 1, 1000);
    if (time(NULL) > limit) fail_msg("'%s' does not come; on the screen is:\n%s", wanted, user.text);
    if (count <= 0) return true;
    if (user.size == MAX_TEXT) fail_msg("'%s' does not come in %d bytes", wanted, MAX_TEXT);
    ssize_t size = read(user.fd, user.text + user.size, MAX_TEXT - user.size);
    if (size <= 0) return false;
    user.size += (size_t)size;
    user.text[user.size] = '\0';
    return true;
}

/* Until `wanted` is on the screen, behind what was waited for before. */
static void wait_for(const char *wanted) {
    time_t limit = time(NULL) + WAIT_LIMIT_S;
    const char *found;
    while ((found = strstr(user.text + user.seen, wanted)) == NULL)
        if (!read_more(wanted, limit)) fail_msg("the program ended before '%s'; on the screen is:\n%s", wanted, user.text);
    user.seen = (size_t)(found - user.text) + strlen(wanted);
}

static void type(const char *keys) {
    assert_int_equal(write(user.fd, keys, strlen(keys)), strlen(keys));
}

static void wait_for_the_end(void) {
    time_t limit = time(NULL) + WAIT_LIMIT_S;
    while (read_more("the end of the program", limit)) continue;
    int status;
    assert_int_equal(waitpid(user.program, &status, 0), user.program);
    user.program = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("wait status %d; on the screen is:\n%s", status, user.text);
}

static void leave(void) {
    type("\x04");
    wait_for_the_end();
}

static const char *const no_options[] = {NULL};
static const char *const endless[] = {"--ignore-eos", NULL};
#define STORY    "Write a very long story about the sea, with many chapters."
#define CTRL_C   "\x03"
#define CTRL_D   "\x04"
#define ARROW_UP "\x1b[A"

/* --- tests --------------------------------------------------------------------------------------------------------------------------- */

static void a_question_is_answered_and_ctrl_d_ends_with_success(void **state) {
    (void)state;
    start_chat(no_options);
    wait_for("> ");
    type("What is the capital of France?\r");
    wait_for("France?\r\n");
    wait_for("Paris");
    wait_for("\r\n> ");
    leave();
}

static void an_answer_sees_what_was_said_before(void **state) {
    (void)state;
    start_chat((const char *const[]){"--max-tokens", "40", NULL});
    wait_for("> ");
    type("What is the capital of France?\r");
    wait_for("Paris");
    wait_for("\r\n> ");
    type("Repeat the name of that city.\r");
    wait_for("city.\r\n");
    wait_for("Paris");
    leave();
}

static void ctrl_c_stops_the_answer_and_not_the_program(void **state) {
    (void)state;
    start_chat(endless);
    wait_for("> ");
    for (int i = 0; i < 3; i++) {
        type(STORY "\r");
        wait_for("chapters.\r\n");
        wait_for("e"); /* it streams */
        type(CTRL_C);
        wait_for(" [stopped]\r\n> ");
    }
    type("/one\r");
    wait_for("there is no command /one;");
    wait_for("\r\n> ");
    leave();
}

/* Whenever it comes, from the moment Enter is pressed to the middle of the answer. */
static void no_ctrl_c_after_enter_is_lost_and_no_key_after_it(void **state) {
    (void)state;
    start_chat(endless);
    wait_for("> ");
    for (int i = 0; i < 12; i++) {
        char command[32], reply[64];
        snprintf(command, sizeof command, "/number%d\r", i);
        snprintf(reply, sizeof reply, "there is no command /number%d;", i);
        type("Tell me a story.\r");
        nanosleep(&(struct timespec){.tv_nsec = i * i * 100000L}, NULL);
        type(CTRL_C);
        type(command);
        wait_for(" [stopped]\r\n> ");
        wait_for(reply);
        wait_for("\r\n> ");
    }
    leave();
}

static void ctrl_c_at_the_prompt_drops_the_line_and_keeps_the_next_one(void **state) {
    (void)state;
    start_chat(no_options);
    wait_for("> ");
    type(CTRL_C);
    wait_for("^C\r\n> ");
    type("/one\r");
    wait_for("there is no command /one;");
    wait_for("> ");
    type("/ha");
    wait_for("/ha");
    type(CTRL_C);
    wait_for("^C\r\n> ");
    type("/two\r");
    wait_for("there is no command /two;");
    wait_for("> ");
    type("\"\"\"\r");
    wait_for(". ");
    type("/three\r");
    wait_for("/three\r\n. ");
    type(CTRL_C);
    wait_for("^C\r\n> ");
    type("/four\r");
    wait_for("there is no command /four;");
    leave();
}

static void arrow_up_brings_back_what_was_typed(void **state) {
    (void)state;
    start_chat(no_options);
    wait_for("> ");
    type("/first\r");
    wait_for("there is no command /first;");
    wait_for("> ");
    type("/second\r");
    wait_for("there is no command /second;");
    wait_for("> ");
    type(ARROW_UP ARROW_UP "\r");
    wait_for("there is no command /first;");
    leave();
}

static void a_message_goes_over_several_lines(void **state) {
    (void)state;
    start_chat(no_options);
    wait_for("> ");
    type("/one\\\r");
    wait_for(". ");
    type("two\r");
    wait_for("there is no command /one\r\ntwo;");
    wait_for("> ");
    type("\"\"\"\r");
    wait_for(". ");
    type("/three\r");
    wait_for("/three\r\n. ");
    type("\r");
    wait_for("\r\n. ");
    type("four\r");
    wait_for("four\r\n. ");
    type("\"\"\"\r");
    wait_for("there is no command /three\r\n\r\nfour;");
    leave();
}

static void keys_typed_during_the_answer_wait_for_the_prompt(void **state) {
    (void)state;
    start_chat((const char *const[]){"--ignore-eos", "--max-tokens", "30", NULL});
    wait_for("> ");
    type(STORY "\r");
    wait_for("chapters.\r\n");
    wait_for("e");
    type("/later\r" CTRL_D);
    wait_for("[the context or --max-tokens is used up]");
    wait_for("there is no command /later;");
    wait_for_the_end();
}

static void keys_typed_before_the_first_prompt_count(void **state) {
    (void)state;
    start_chat(no_options);
    type("/early\r" CTRL_D);
    wait_for("there is no command /early;");
    wait_for_the_end();
}

static void letters_outside_ascii_arrive_without_a_locale(void **state) {
    (void)state;
    start_chat(no_options);
    wait_for("> ");
    type("/\xc3\xa4\xe4\xb8\xad\r");
    wait_for("there is no command /\xc3\xa4\xe4\xb8\xad;");
    leave();
}

static void the_terminal_is_left_as_it_was(void **state) {
    (void)state;
    start_chat(no_options);
    wait_for("> ");
    leave();
    struct termios modes;
    assert_int_equal(tcgetattr(user.fd, &modes), 0);
    assert_int_equal(modes.c_lflag, user.modes_before.c_lflag);
    assert_int_equal(modes.c_iflag, user.modes_before.c_iflag);
    assert_int_equal(modes.c_oflag, user.modes_before.c_oflag);
    assert_memory_equal(modes.c_cc, user.modes_before.c_cc, sizeof modes.c_cc);
}

/* --- one engine for all --------------------------------------------------------------------------------------------------------------- */

static int build_engine(void **state) {
    (void)state;
    char command[8192];
    assert_non_null(mkdtemp(engine_path));
    snprintf(command, sizeof command, "'%s' build '%s' -o '%s' --no-cache --level 0 --max-seq-len 4096 >/dev/null", TN_BINARY, model_path,
             engine_path);
    return system(command);
}

static int remove_engine(void **state) {
    (void)state;
    char command[8192];
    snprintf(command, sizeof command, "rm -r '%s'", engine_path);
    return system(command);
}

static bool has_pseudo_terminals(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -1;
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0) slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave >= 0) close(slave);
    if (master >= 0) close(master);
    return slave >= 0;
}

int main(void) {
    if (!has_pseudo_terminals()) {
        puts("skipped: there are no pseudo-terminals here (/dev/ptmx and /dev/pts)");
        return 77;
    }
    if (tn_test_smollm2_path(model_path, sizeof model_path) == NULL) {
        puts(tn_test_no_model);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_question_is_answered_and_ctrl_d_ends_with_success, stop_chat),
        cmocka_unit_test_teardown(an_answer_sees_what_was_said_before, stop_chat),
        cmocka_unit_test_teardown(ctrl_c_stops_the_answer_and_not_the_program, stop_chat),
        cmocka_unit_test_teardown(no_ctrl_c_after_enter_is_lost_and_no_key_after_it, stop_chat),
        cmocka_unit_test_teardown(ctrl_c_at_the_prompt_drops_the_line_and_keeps_the_next_one, stop_chat),
        cmocka_unit_test_teardown(arrow_up_brings_back_what_was_typed, stop_chat),
        cmocka_unit_test_teardown(a_message_goes_over_several_lines, stop_chat),
        cmocka_unit_test_teardown(keys_typed_during_the_answer_wait_for_the_prompt, stop_chat),
        cmocka_unit_test_teardown(keys_typed_before_the_first_prompt_count, stop_chat),
        cmocka_unit_test_teardown(letters_outside_ascii_arrive_without_a_locale, stop_chat),
        cmocka_unit_test_teardown(the_terminal_is_left_as_it_was, stop_chat),
    };
    return cmocka_run_group_tests(tests, build_engine, remove_engine);
}
