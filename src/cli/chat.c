/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c: `tenon chat MODEL`: a conversation in the terminal.
 *
 * A line that ends in \ goes on in the next; a line of """ opens and closes a text of several lines. /help lists the commands.
 * Ctrl-C stops the answer at hand, not the program; Ctrl-D ends it. The conversation so far stands in the cache, so only what is
 * new is read.
 *
 * No key is lost or overtakes another: while the program has the terminal, Ctrl-C and Ctrl-Z are characters like all others, at
 * the prompt and during an answer, instead of signals that come at their own time and throw away what was typed. Line mode stays
 * off between two prompts too: it would turn a Ctrl-D typed there into a zero byte.
 */
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/prompt.h"

typedef struct chat_args {
    tn_engine_args engine;
    tn_answer_args answer;
    const char *system;
} chat_args;

typedef struct chat {
    tn_session session;
    const chat_args *args;
    TN_ARRAY(tn_chat_message) messages; /* roles are static, contents owned */
    EditLine *edit;
    History *history;
    bool is_more;         /* the prompt shown is that of a continued text */
    bool is_interrupted;  /* the line was ended by a Ctrl-C */
    bool is_terminal;     /* keys come from a terminal */
    struct termios modes; /* of the terminal before */
    tn_text typed;        /* during an answer; typed.data[num_taken] is next */
    size_t num_taken;
} chat;

enum { OPTION_SYSTEM = 1024 };
static const struct argp_option options[] = {
    {"system", OPTION_SYSTEM, "TEXT", 0, "the system message", 0},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    chat_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->engine;
        state->child_inputs[1] = &args->answer;
        return 0;
    case OPTION_SYSTEM: args->system = value; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "too many arguments");
        args->engine.path = value;
        return 0;
    case ARGP_KEY_END:
        if (args->engine.path == NULL) argp_error(state, "MODEL is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* --- reading ----------------------------------------------------------------------------------------------------------------------- */

static chat *chat_of(EditLine *edit) {
    chat *self = NULL;
    el_get(edit, EL_CLIENTDATA, &self);
    return self;
}

static char *prompt_text(EditLine *edit) {
    static char first[] = "> ", more[] = ". ";
    return chat_of(edit)->is_more ? more : first;
}

enum { CTRL_C = 3, CTRL_D = 4, CTRL_Z = 26 };

/* As the terminal's own Ctrl-Z, which is off: the shell gets the terminal as it was. */
static void suspend(const chat *self) {
    struct termios modes;
    if (tcgetattr(STDIN_FILENO, &modes) != 0) return;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &self->modes);
    kill(0, SIGTSTP);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
}

/* 1, 0 at the end of input, -1 after a failure. */
static int read_byte(char *out_byte) {
    ssize_t size;
    do size = read(STDIN_FILENO, out_byte, 1);
    while (size < 0 && errno == EINTR);
    if (size == 1 && *out_byte == '\0') *out_byte = CTRL_D; /* what line mode made of one typed before the editor was open */
    return (int)size;
}

/* libedit's reader of characters: 1, 0 at the end of input, -1 after a failure or a Ctrl-C. */
static int read_key(EditLine *edit, wchar_t *out_key) {
    chat *self = chat_of(edit);
    mbstate_t state = {0};
    for (;;) {
        char byte;
        int size = 1;
        if (self->num_taken < self->typed.size)
            byte = self->typed.data[self->num_taken++];
        else
            size = read_byte(&byte);
        if (size != 1) return size;
        if (self->is_terminal && byte == CTRL_C) {
            self->is_interrupted = true;
            return -1;
        }
        if (self->is_terminal && byte == CTRL_Z) {
            suspend(self);
            el_set(edit, EL_REFRESH);
            continue;
        }
        size_t length = mbrtowc(out_key, &byte, 1, &state);
        if (length == 1) return 1;
        if (length == (size_t)-1) state = (mbstate_t){0}; /* no character of this encoding */
    }
}

/* Keeps what is typed during an answer for the next prompt. True: a Ctrl-C was among it; nothing typed before that counts. */
static bool watch_keys(chat *self) {
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    while (self->is_terminal && poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0 && read_byte(&byte) == 1) {
        if (byte == CTRL_C) {
            tn_text_reset(&self->typed);
            self->num_taken = 0;
            return true;
        }
        if (byte == CTRL_Z)
            suspend(self);
        else
            tn_text_append_char(&self->typed, byte);
    }
    return false;
}

static bool open_editor(chat *self) {
    /* Models speak UTF-8, also where no locale is set. */
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    self->is_terminal = tcgetattr(STDIN_FILENO, &self->modes) == 0;
    self->edit = el_init("tenon", stdin, stderr, stderr);
    self->history = history_init();
    if (self->edit == NULL || self->history == NULL) {
        tn_cli_fail("out of memory");
        return false;
    }
    HistEvent event;
    history(self->history, &event, H_SETSIZE, 1000);
    el_set(self->edit, EL_CLIENTDATA, self);
    el_set(self->edit, EL_GETCFN, read_key);
    el_set(self->edit, EL_PROMPT, prompt_text);
    el_set(self->edit, EL_EDITOR, "emacs");
    el_set(self->edit, EL_HIST, history, self->history);
    el_set(self->edit, EL_SIGNAL, 0);
    el_set(self->edit, EL_SETTY, "-d", "intr=", "susp=", NULL);                     /* at a prompt */
    el_set(self->edit, EL_SETTY, "-x", "intr=", "susp=", "-icanon", "-echo", NULL); /* between two */
    return true;
}

/* One message without its line end; NULL at the end of input. An interrupted line is given up. free with tn_free. */
static char *read_message(chat *self) {
    tn_text text = {0};
    bool is_block = false;
    self->is_more = false;
    for (;;) {
        int length;
        self->is_interrupted = false;
        const char *line = el_gets(self->edit, &length);
        if (self->is_interrupted) {
            tn_text_reset(&text);
            is_block = self->is_more = false;
            fputs("^C\n", stderr);
            continue;
        }
        if (line == NULL || length <= 0) {
            tn_text_deinit(&text);
            return NULL;
        }
        size_t size = (size_t)length;
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r')) size--;
        bool is_mark = size == 3 && memcmp(line, "\"\"\"", 3) == 0;
        if (is_mark) is_block = !is_block;
        bool goes_on = !is_mark && !is_block && size > 0 && line[size - 1] == '\\';
        if (!is_mark) tn_text_append(&text, line, goes_on ? size - 1 : size);
        self->is_more = is_block || goes_on;
        if (!self->is_more) break;
        if (!is_mark) tn_text_append_char(&text, '\n');
    }
    if (text.data == NULL) tn_text_append_string(&text, "");
    if (text.size > 0 && text.data[text.size - 1] == '\n') text.data[--text.size] = '\0';
    HistEvent event;
    if (text.size > 0) history(self->history, &event, H_ENTER, text.data);
    return text.data;
}

/* --- the conversation ---------------------------------------------------------------------------------------------------------------- */

static bool add_message(chat *self, const char *role, const char *content, size_t size) {
    char *copy = tn_copy_bytes(NULL, content, size);
    tn_chat_message message = {.role = role, .content = copy, .content_size_bytes = size};
    if (copy != NULL && tn_array_push(NULL, &self->messages, message)) return true;
    tn_free(NULL, copy);
    tn_cli_fail("out of memory");
    return false;
}

static void drop_messages(chat *self, size_t keep) {
    while (self->messages.count > keep) tn_free(NULL, (char *)(uintptr_t)self->messages.data[--self->messages.count].content);
}

static void forget(chat *self) {
    drop_messages(self, 0);
    if (self->args->system != NULL) add_message(self, "system", self->args->system, strlen(self->args->system));
}

/* Prints the answer as it comes and appends it to `answer`. */
static bool stream(chat *self, uint64_t id, tn_text *answer) {
    tn_detokenizer *detokenizer;
    if (tn_detokenizer_create(self->session.tokenizer, NULL, &detokenizer) != TN_OK) return false;
    bool is_done = false, is_ok = true;
    while (!is_done) {
        tn_response *response;
        tn_status status = tn_executor_await(self->session.executor, id, 50, &response);
        if (watch_keys(self)) tn_executor_cancel(self->session.executor, id);
        if (status == TN_TIMED_OUT) continue;
        if (status != TN_OK) break;
        size_t count, size;
        const char *piece;
        const int32_t *ids = tn_response_ids(response, &count);
        for (size_t i = 0; i < count; i++)
            if (tn_detokenizer_push(detokenizer, ids[i], &piece, &size) == TN_OK) {
                fwrite(piece, 1, size, stdout);
                tn_text_append(answer, piece, size);
            }
        is_done = tn_response_is_final(response);
        if (is_done && tn_detokenizer_finish(detokenizer, &piece, &size) == TN_OK) {
            fwrite(piece, 1, size, stdout);
            tn_text_append(answer, piece, size);
        }
        fflush(stdout);
        if (is_done && tn_response_error(response) != NULL) is_ok = tn_cli_fail("%s", tn_response_error(response)) == TN_EXIT_OK;
        if (is_done && tn_response_finish_reason(response) == TN_FINISH_LENGTH) fputs("\n[the context or --max-tokens is used up]", stderr);
        if (is_done && tn_response_finish_reason(response) == TN_FINISH_CANCELLED) fputs(" [stopped]", stderr);
        tn_response_destroy(response);
    }
    putchar('\n');
    fflush(stdout);
    tn_detokenizer_destroy(detokenizer);
    return is_ok && is_done;
}

static void answer_message(chat *self, const char *text) {
    size_t before = self->messages.count;
    if (!add_message(self, "user", text, strlen(text))) return;
    int32_t *ids = NULL;
    size_t num_ids;
    tn_text answer = {0};
    bool is_ok = tn_prompt_from_chat(self->session.tokenizer, self->messages.data, self->messages.count, &ids, &num_ids);
    uint64_t id = 0;
    if (is_ok) {
        tn_request request;
        tn_prompt_request(&self->session, &self->args->answer, ids, num_ids, &request);
        request.streaming = true;
        is_ok = tn_executor_enqueue(self->session.executor, &request, &id) == TN_OK;
        if (!is_ok) fputs("  /clear forgets the conversation\n", stderr);
    }
    if (is_ok) is_ok = stream(self, id, &answer);
    if (is_ok) is_ok = add_message(self, "assistant", answer.data != NULL ? answer.data : "", answer.size);
    if (!is_ok) drop_messages(self, before);
    tn_text_deinit(&answer);
    tn_tokenizer_free(self->session.tokenizer, ids);
}

/* False: leave. */
static bool run_command(chat *self, const char *command) {
    if (strcmp(command, "/exit") == 0 || strcmp(command, "/quit") == 0) return false;
    if (strcmp(command, "/clear") == 0) {
        forget(self);
        fputs("the conversation is forgotten\n", stderr);
    } else if (strcmp(command, "/help") == 0) {
        fputs("/clear  forget the conversation\n/exit   leave (also Ctrl-D)\n"
              "Ctrl-C  stop the answer\n\\ at the end of a line, or \"\"\" around several lines: a longer message\n",
              stderr);
    } else {
        fprintf(stderr, "there is no command %s; /help lists them\n", command);
    }
    return true;
}

static void talk(chat *self) {
    for (bool goes_on = true; goes_on;) {
        char *text = read_message(self);
        if (text == NULL) break;
        if (text[0] == '/')
            goes_on = run_command(self, text);
        else if (text[0] != '\0')
            answer_message(self, text);
        if (goes_on) tn_session_save(&self->session);
        tn_free(NULL, text);
    }
    fputs("\n", stderr);
}

static bool open_chat(chat *self) {
    if (!tn_session_open(&self->session, &self->args->engine)) return false;
    size_t size;
    if (self->session.tokenizer == NULL) {
        tn_cli_fail("this model has no tokenizer\n  use `tenon run --ids 3,5,8`");
        return false;
    }
    if (tn_tokenizer_chat_template(self->session.tokenizer, &size) == NULL) {
        tn_cli_fail("this model has no chat template\n  use `tenon run --raw` for plain continuation");
        return false;
    }
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_batch_size = 1;
    if (!tn_session_start_executor(&self->session, &executor)) return false;
    return open_editor(self);
}

int tn_verb_chat(int argc, char **argv) {
    static const struct argp_child children[] = {{&tn_engine_argp, 0, 0, 0}, {&tn_answer_argp, 0, 0, 0}, {0}};
    static const struct argp argp = {options, parse_option, "MODEL", "Talk with a model.", children, 0, 0};
    chat_args args = {0};
    tn_engine_args_init(&args.engine);
    tn_answer_args_init(&args.answer);
    argp_parse(&argp, argc, argv, 0, 0, &args);
    chat self = {.args = &args};
    bool is_open = open_chat(&self);
    if (is_open) {
        forget(&self);
        if (self.is_terminal) fputs("/help lists the commands\n", stderr);
        talk(&self);
        tn_session_save(&self.session);
    }
    drop_messages(&self, 0);
    tn_array_deinit(NULL, &self.messages);
    tn_text_deinit(&self.typed);
    if (self.history != NULL) history_end(self.history);
    if (self.edit != NULL) el_end(self.edit);
    tn_session_close(&self.session);
    return is_open ? TN_EXIT_OK : TN_EXIT_FAILED;
}
