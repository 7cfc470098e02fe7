/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls.c: see tool_calls.h. The parser holds the text it has not decided about; a step takes some of it and goes on, or
 * asks for more. Whether more will come is the only thing that depends on how the text was cut.
 */
#include "tokenizer/tool_calls.h"

#include <string.h>

#include "base/memory.h"
#include "tokenizer/tool_calls_json.h"

enum {
    MAX_MARKERS = 4,
    MAX_HEAD = 65536,    /* bytes before a call's arguments; longer, it is no call */
    MAX_NAME = 256,      /* of a name without quotes */
    MAX_HELD_SPACE = 256 /* white space that may turn out to stand before a marker */
};

#define CALLS_BEGIN    "<｜tool▁calls▁begin｜>"
#define CALLS_END      "<｜tool▁calls▁end｜>"
#define CALL_BEGIN     "<｜tool▁call▁begin｜>"
#define CALL_SEPARATOR "<｜tool▁sep｜>"
#define CALL_END       "<｜tool▁call▁end｜>"

typedef struct form_info {
    const char *name;
    const char *begin[MAX_MARKERS];  /* a call follows */
    const char *silent[MAX_MARKERS]; /* mean nothing by themselves, and are not shown */
    const char *end[MAX_MARKERS];    /* may follow calls, one after another in this order */
    bool at_start;                   /* an object that begins the answer may be a call */
} form_info;

static const form_info forms[] = {
    [TN_TOOLS_NONE] = {.name = "none"},
    [TN_TOOLS_HERMES] = {.name = "hermes", .begin = {"<tool_call>"}, .end = {"</tool_call>"}},
    [TN_TOOLS_LLAMA] = {.name = "llama", .begin = {"<|python_tag|>"}, .at_start = true},
    [TN_TOOLS_MISTRAL] = {.name = "mistral", .begin = {"[TOOL_CALLS]"}},
    [TN_TOOLS_DEEPSEEK] = {.name = "deepseek", .begin = {CALL_BEGIN}, .silent = {CALLS_BEGIN, CALLS_END}, .end = {"```", CALL_END}},
    [TN_TOOLS_GRANITE] = {.name = "granite", .begin = {"<|tool_call|>"}, .end = {"<|/tool_call|>"}},
    [TN_TOOLS_COMMAND] = {.name = "command",
                          .begin = {"<|START_ACTION|>", "Action:"},
                          .silent = {"<|START_RESPONSE|>", "<|END_RESPONSE|>"},
                          .end = {"```", "<|END_ACTION|>"}},
};

typedef enum state {
    STATE_CONTENT,
    STATE_OPEN,      /* behind a marker, or at an object that begins the answer */
    STATE_ARGUMENTS, /* inside them */
    STATE_REST,      /* behind them, inside the object around them */
    STATE_NEXT,      /* behind a call */
} state;

struct tn_tool_parser {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_tool_form form;
    state state;
    bool has_begun; /* something was shown, or a call: an object no longer begins the answer */
    bool is_final;  /* no more text will come */
    size_t opening; /* STATE_OPEN: bytes of white space and marker */
    bool is_marked; /* there is a marker */
    bool in_list;   /* calls are elements of an array */
    bool is_object_open;
    tn_tool_arguments arguments;
    tn_tool_cursor cursor; /* STATE_ARGUMENTS, STATE_REST */
    size_t num_calls;
    tn_text held; /* [at, size): not decided yet */
    size_t at;
    tn_text shown; /* texts of the events, one behind the other */
    TN_ARRAY(tn_tool_event) events;
    bool failed;
};

static bool holds(tn_bytes text, const char *what) {
    return memmem(text.data, text.size, what, strlen(what)) != NULL;
}

tn_tool_form tn_tool_form_of_template(const char *data, size_t size) {
    tn_bytes text = {data, size};
    if (holds(text, CALL_BEGIN)) return TN_TOOLS_DEEPSEEK;
    if (holds(text, "[TOOL_CALLS]")) return TN_TOOLS_MISTRAL;
    if (holds(text, "<|START_ACTION|>") || (holds(text, "Action:") && holds(text, "\"tool_name\""))) return TN_TOOLS_COMMAND;
    if (holds(text, "<|tool_call|>")) return TN_TOOLS_GRANITE;
    if (holds(text, "<tool_call>")) /* forms with elements inside instead of JSON are others */
        return holds(text, "<function=") || holds(text, "<arg_key>") ? TN_TOOLS_NONE : TN_TOOLS_HERMES;
    bool shows_form = holds(text, "{\"name\": function name, \"parameters\"");
    return shows_form || holds(text, "<|python_tag|>") ? TN_TOOLS_LLAMA : TN_TOOLS_NONE;
}

const char *tn_tool_form_name(tn_tool_form form) {
    return forms[form].name;
}

/* ---- events ---- */

static void add_event(tn_tool_parser *p, tn_tool_event_kind kind, size_t size) {
    size_t index = kind == TN_TOOL_CONTENT ? 0 : p->num_calls - 1;
    tn_tool_event *last = p->events.count ? &p->events.data[p->events.count - 1] : NULL;
    bool merges = last && last->kind == kind && last->index == index && (kind == TN_TOOL_CONTENT || kind == TN_TOOL_CALL_DELTA);
    if (merges)
        last->size_bytes += size;
    else if (!tn_array_push(p->allocator, &p->events, ((tn_tool_event){kind, index, NULL, size})))
        p->failed = true;
}

static void show(tn_tool_parser *p, tn_tool_event_kind kind, const char *text, size_t size) {
    if (size == 0 && kind != TN_TOOL_CALL_END) return;
    tn_text_append(&p->shown, text, size);
    add_event(p, kind, size);
    p->has_begun = true;
}

static tn_bytes view(const tn_tool_parser *p) {
    return (tn_bytes){p->held.data + p->at, p->held.size - p->at};
}

static void show_content(tn_tool_parser *p, size_t size) {
    show(p, TN_TOOL_CONTENT, view(p).data, size);
    p->at += size;
}

/* ---- content ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where the white space that ends at `end` begins, or as much of it as may be dropped. */
static size_t space_before(tn_bytes text, size_t end) {
    size_t begin = end;
    while (begin > 0 && end - begin < MAX_HELD_SPACE && is_space(text.data[begin - 1])) begin--;
    return begin;
}

/* The earliest marker of both lists; the text's size if there is none. */
static size_t find_marker(const form_info *form, tn_bytes text, const char **out_marker, bool *out_is_silent) {
    size_t earliest = text.size;
    for (size_t i = 0; i < 2 * MAX_MARKERS; i++) {
        const char *marker = i < MAX_MARKERS ? form->begin[i] : form->silent[i - MAX_MARKERS];
        const char *found = marker ? memmem(text.data, text.size, marker, strlen(marker)) : NULL;
        if (!found || (size_t)(found - text.data) >= earliest) continue;
        earliest = (size_t)(found - text.data);
        *out_marker = marker;
        *out_is_silent = i >= MAX_MARKERS;
    }
    return earliest;
}

/* Size of the longest end of the text that begins a marker. */
static size_t partial_marker(const form_info *form, tn_bytes text) {
    size_t longest = 0;
    for (size_t i = 0; i < 2 * MAX_MARKERS; i++) {
        const char *marker = i < MAX_MARKERS ? form->begin[i] : form->silent[i - MAX_MARKERS];
        size_t size = marker ? strlen(marker) - 1 : 0;
        if (size > text.size) size = text.size;
        while (size > longest && memcmp(text.data + text.size - size, marker, size) != 0) size--;
        if (size > longest) longest = size;
    }
    return longest;
}

/* ---- the begin of a call ---- */

/* A name without quotes, then what `ends` it: "[ARGS]" or a bracket, "<sep>". MORE while it may still come. */
static tn_tool_scan scan_name(tn_bytes text, size_t at, const char *stop_characters, tn_tool_head *head) {
    head->name_begin = at;
    while (at < text.size && !strchr(stop_characters, text.data[at])) at++;
    head->name_end = at;
    if (at - head->name_begin > MAX_NAME) return TN_SCAN_BAD;
    if (at == text.size) return TN_SCAN_MORE;
    while (head->name_end > head->name_begin && is_space(text.data[head->name_end - 1])) head->name_end--;
    return head->name_end > head->name_begin ? TN_SCAN_DONE : TN_SCAN_BAD;
}

/* Takes `what` at *at, or a beginning of it that the text ends in: MORE. */
static tn_tool_scan take(tn_bytes text, size_t *at, const char *what) {
    size_t size = strlen(what), rest = text.size - *at;
    if (memcmp(text.data + *at, what, size < rest ? size : rest) != 0) return TN_SCAN_BAD;
    if (rest < size) return TN_SCAN_MORE;
    *at += size;
    return TN_SCAN_DONE;
}

static tn_tool_scan expect_object(tn_bytes text, size_t at, tn_tool_head *head) {
    at = tn_tool_skip_space(text, at);
    if (at == text.size) return TN_SCAN_MORE;
    head->arguments = TN_ARGUMENTS_OBJECT;
    head->arguments_begin = head->end = at;
    return text.data[at] == '{' ? TN_SCAN_DONE : TN_SCAN_BAD;
}

/* name[ARGS]{…}, name[CALL_ID]id[ARGS]{…} */
static tn_tool_scan scan_mistral_name(tn_bytes text, size_t at, tn_tool_head *head) {
    tn_tool_scan scan = scan_name(text, at, "[{\n", head);
    if (scan != TN_SCAN_DONE) return scan;
    for (at = head->name_end; at < text.size && text.data[at] != '{'; at++)
        if (text.data[at] == '\n' || at - head->name_end > MAX_NAME) return TN_SCAN_BAD;
    return at == text.size ? TN_SCAN_MORE : expect_object(text, at, head);
}

/* function<sep>name\n```json\n{…}; name<sep>{…} */
static tn_tool_scan scan_deepseek(tn_bytes text, size_t at, tn_tool_head *head) {
    tn_tool_scan scan = scan_name(text, at, "<\n", head);
    if (scan != TN_SCAN_DONE) return scan;
    at = head->name_end;
    if ((scan = take(text, &at, CALL_SEPARATOR)) != TN_SCAN_DONE) return scan;
    at = tn_tool_skip_space(text, at);
    if (at == text.size || text.data[at] == '{') return expect_object(text, at, head);
    if ((scan = scan_name(text, at, "\n", head)) != TN_SCAN_DONE) return scan;
    at = tn_tool_skip_space(text, head->name_end);
    if ((scan = take(text, &at, "```json")) == TN_SCAN_BAD && text.data[at] == '{') scan = TN_SCAN_DONE;
    return scan == TN_SCAN_DONE ? expect_object(text, at, head) : scan;
}

/* A call at text[at], white space skipped. */
static tn_tool_scan scan_head(tn_tool_form form, tn_bytes text, size_t at, bool in_list, tn_tool_head *head) {
    *head = (tn_tool_head){0};
    at = tn_tool_skip_space(text, at);
    if (at == text.size) return TN_SCAN_MORE;
    if (form == TN_TOOLS_DEEPSEEK) return scan_deepseek(text, at, head);
    if (text.data[at] == '{') return tn_tool_scan_object(text, at, head);
    return form == TN_TOOLS_MISTRAL && !in_list ? scan_mistral_name(text, at, head) : TN_SCAN_BAD;
}

static void show_arguments(tn_tool_parser *p, tn_bytes inside, bool is_whole) {
    size_t before = p->shown.size;
    if (p->arguments == TN_ARGUMENTS_STRING) {
        p->at += tn_tool_unescape(inside, is_whole, &p->shown);
        if (p->shown.size > before) add_event(p, TN_TOOL_CALL_DELTA, p->shown.size - before);
    } else {
        show(p, TN_TOOL_CALL_DELTA, inside.data, inside.size);
        p->at += inside.size;
    }
}

static void end_arguments(tn_tool_parser *p) {
    show(p, TN_TOOL_CALL_END, "", 0);
    p->cursor = (tn_tool_cursor){.depth = 1, .objects = 1};
    p->state = p->is_object_open ? STATE_REST : STATE_NEXT;
}

static void begin_call(tn_tool_parser *p, const tn_tool_head *head) {
    tn_bytes text = view(p), name = {text.data + head->name_begin, head->name_end - head->name_begin};
    size_t begin = p->at, before = p->shown.size;
    p->num_calls++;
    p->has_begun = true;
    p->arguments = head->arguments;
    p->is_object_open = head->is_object_open;
    if (head->is_name_quoted)
        (void)tn_tool_unescape(name, true, &p->shown);
    else
        tn_text_append(&p->shown, name.data, name.size);
    add_event(p, TN_TOOL_CALL_BEGIN, p->shown.size - before);
    p->cursor = (tn_tool_cursor){.in_string = head->arguments == TN_ARGUMENTS_STRING};
    p->state = STATE_ARGUMENTS;
    bool is_none = head->arguments == TN_ARGUMENTS_NONE;
    if (is_none) show(p, TN_TOOL_CALL_DELTA, "{}", 2);
    if (head->arguments_end > 0)
        show_arguments(p, (tn_bytes){text.data + head->arguments_begin, head->arguments_end - head->arguments_begin}, true);
    p->at = begin + head->end;
    if (is_none || head->arguments_end > 0) end_arguments(p);
}

/* ---- steps: each takes something and returns true, or needs more ---- */

static bool step_content(tn_tool_parser *p) {
    const form_info *form = &forms[p->form];
    tn_bytes text = view(p);
    size_t space = tn_tool_skip_space(text, 0);
    if (form->at_start && !p->has_begun && space <= MAX_HELD_SPACE) {
        if (space == text.size && !p->is_final) return false;
        if (space < text.size && text.data[space] == '{') {
            p->opening = space;
            p->is_marked = false;
            p->state = STATE_OPEN;
            return true;
        }
    }
    const char *marker = NULL;
    bool is_silent = false;
    size_t at = find_marker(form, text, &marker, &is_silent);
    if (marker) {
        size_t begin = space_before(text, at);
        show_content(p, begin);
        p->opening = at - begin + strlen(marker);
        p->is_marked = true;
        if (is_silent)
            p->at += p->opening;
        else
            p->state = STATE_OPEN;
        return true;
    }
    if (!p->is_final)
        show_content(p, space_before(text, text.size - partial_marker(form, text)));
    else if (p->num_calls == 0 || space < text.size)
        show_content(p, text.size);
    return false;
}

static bool step_open(tn_tool_parser *p) {
    tn_tool_head head;
    tn_bytes text = view(p);
    size_t at = tn_tool_skip_space(text, p->opening);
    tn_tool_scan scan = TN_SCAN_DONE;
    if (p->form == TN_TOOLS_COMMAND && at < text.size && text.data[at] == '`') {
        scan = take(text, &at, "```json");
        at = tn_tool_skip_space(text, at);
    }
    bool in_list = p->is_marked && at < text.size && text.data[at] == '[';
    if (scan == TN_SCAN_DONE) scan = scan_head(p->form, text, at + in_list, in_list, &head);
    if (scan == TN_SCAN_MORE && !p->is_final && text.size - p->opening <= MAX_HEAD) return false;
    if (scan == TN_SCAN_DONE && head.end - p->opening <= MAX_HEAD && (p->is_marked || head.arguments != TN_ARGUMENTS_NONE)) {
        p->in_list = in_list;
        begin_call(p, &head);
        return true;
    }
    p->has_begun = true;
    p->state = STATE_CONTENT;
    show_content(p, p->opening);
    return true;
}

static bool step_arguments(tn_tool_parser *p) {
    tn_bytes text = view(p);
    tn_tool_scan scan = TN_SCAN_MORE;
    tn_tool_cursor cursor = p->cursor;
    size_t size = 0, begin = p->at;
    while (size < text.size && scan == TN_SCAN_MORE) scan = tn_tool_cursor_step(&cursor, text.data[size++]);
    if (scan == TN_SCAN_BAD) size--;
    bool is_string = p->arguments == TN_ARGUMENTS_STRING, is_over = scan == TN_SCAN_DONE;
    show_arguments(p, (tn_bytes){text.data, size - (is_string && is_over)}, is_over);
    if (scan == TN_SCAN_MORE) {
        if (!is_string) p->cursor = cursor; /* a string's bytes that are held, an unfinished escape, are walked again */
        return false;
    }
    p->at = begin + size;
    if (is_over)
        end_arguments(p);
    else
        p->state = STATE_NEXT;
    return true;
}

/* Other members of the call's object. What cannot belong to it ends it. */
static bool step_rest(tn_tool_parser *p) {
    tn_bytes text = view(p);
    tn_tool_scan scan = TN_SCAN_MORE;
    size_t size = 0;
    while (size < text.size && scan == TN_SCAN_MORE) scan = tn_tool_cursor_step(&p->cursor, text.data[size++]);
    p->at += scan == TN_SCAN_BAD ? size - 1 : size;
    if (scan != TN_SCAN_MORE) p->state = STATE_NEXT;
    return scan != TN_SCAN_MORE;
}

/* Another call of the list, the list's end, another object, an end marker; else this was the last call for now. */
static bool step_next(tn_tool_parser *p) {
    const form_info *form = &forms[p->form];
    tn_bytes text = view(p);
    tn_tool_head head;
    size_t at = tn_tool_skip_space(text, 0);
    if (at == text.size && at <= MAX_HELD_SPACE && !p->is_final) return false;
    char c = at < text.size && at <= MAX_HELD_SPACE ? text.data[at] : 0;
    bool is_separated = c == (p->in_list ? ',' : ';');
    if (p->in_list ? is_separated : form->at_start && (is_separated || c == '{')) {
        tn_tool_scan scan = scan_head(p->form, text, at + is_separated, p->in_list, &head);
        if (scan == TN_SCAN_MORE && !p->is_final && text.size - at <= MAX_HEAD) return false;
        if (scan == TN_SCAN_DONE && head.end - at <= MAX_HEAD && (p->in_list || head.arguments != TN_ARGUMENTS_NONE)) {
            begin_call(p, &head);
            return true;
        }
    }
    if (p->in_list && c == ']') {
        p->in_list = false;
        p->at += at + 1;
        return true;
    }
    for (size_t i = 0; i < MAX_MARKERS && form->end[i] && !p->in_list && c; i++) {
        size_t end = at;
        tn_tool_scan scan = take(text, &end, form->end[i]);
        if (scan == TN_SCAN_MORE && !p->is_final) return false;
        if (scan != TN_SCAN_DONE) continue;
        p->at += end;
        return true;
    }
    p->in_list = false;
    p->state = STATE_CONTENT;
    return true;
}

static bool step(tn_tool_parser *p) {
    switch (p->state) {
    case STATE_CONTENT: return step_content(p);
    case STATE_OPEN: return step_open(p);
    case STATE_ARGUMENTS: return step_arguments(p);
    case STATE_REST: return step_rest(p);
    default: return step_next(p);
    }
}

/* ---- the parser ---- */

tn_status tn_tool_parser_create(tn_tool_form form, const tn_allocator *allocator, tn_diag *diag, tn_tool_parser **out_parser) {
    *out_parser = NULL;
    if (form == TN_TOOLS_NONE)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot read tool calls: the model's chat template writes them in no form that is known");
    tn_tool_parser *p = tn_alloc_zero(allocator, sizeof *p);
    if (!p) return tn_fail_memory(diag, "a reader of tool calls", sizeof *p);
    p->allocator = p->held.allocator = p->shown.allocator = allocator;
    p->diag = diag;
    p->form = form;
    *out_parser = p;
    return TN_OK;
}

void tn_tool_parser_destroy(tn_tool_parser *p) {
    if (!p) return;
    tn_text_deinit(&p->held);
    tn_text_deinit(&p->shown);
    tn_array_deinit(p->allocator, &p->events);
    tn_free(p->allocator, p);
}

static tn_status run(tn_tool_parser *p, const tn_tool_event **out_events, size_t *out_num_events) {
    *out_events = NULL;
    *out_num_events = 0;
    while (!p->failed && p->held.data && step(p)) continue;
    if (p->failed || p->held.failed || p->shown.failed) {
        p->failed = true;
        return tn_fail_memory(p->diag, "a tool call", p->held.size + p->shown.size);
    }
    const char *text = p->shown.data ? p->shown.data : "";
    for (size_t i = 0; i < p->events.count; i++) {
        p->events.data[i].text = text;
        text += p->events.data[i].size_bytes;
    }
    *out_events = p->events.data;
    *out_num_events = p->events.count;
    return TN_OK;
}

/* The events of the call before are over, and so is the text that was decided about. */
static void forget(tn_tool_parser *p) {
    p->events.count = 0;
    tn_text_reset(&p->shown);
    if (p->at > 0) memmove(p->held.data, p->held.data + p->at, p->held.size - p->at);
    p->held.size -= p->at;
    p->at = 0;
}

tn_status tn_tool_parser_push(tn_tool_parser *p, const char *text, size_t size_bytes, const tn_tool_event **out_events,
                              size_t *out_num_events) {
    forget(p);
    tn_text_append(&p->held, text, size_bytes);
    return run(p, out_events, out_num_events);
}

tn_status tn_tool_parser_finish(tn_tool_parser *p, const tn_tool_event **out_events, size_t *out_num_events) {
    forget(p);
    p->is_final = true;
    return run(p, out_events, out_num_events);
}

size_t tn_tool_parser_num_calls(const tn_tool_parser *p) {
    return p->num_calls;
}

/* ---- a whole answer ---- */

/* Appends an event's text to the string that ends at *io_end with a NUL. */
static void extend(char **io_end, const tn_tool_event *event) {
    memcpy(*io_end, event->text, event->size_bytes);
    *io_end += event->size_bytes;
    **io_end = 0;
}

/* One block: the answer, its calls, the strings. Content first, since calls stand between its parts. */
static tn_tool_answer *make_answer(const tn_tool_parser *p, const tn_tool_event *events, size_t num_events) {
    size_t size = sizeof(tn_tool_answer) + p->num_calls * (sizeof(tn_tool_call) + 2) + p->shown.size + 1;
    tn_tool_answer *answer = tn_alloc_zero(p->allocator, size);
    if (!answer) return NULL;
    answer->num_calls = p->num_calls;
    answer->calls = (tn_tool_call *)(answer + 1);
    answer->content = (char *)(answer->calls + p->num_calls);
    char *end = answer->content;
    for (size_t i = 0; i < num_events; i++)
        if (events[i].kind == TN_TOOL_CONTENT) extend(&end, &events[i]);
    answer->content_size_bytes = (size_t)(end - answer->content);
    for (size_t i = 0; i < num_events; i++) {
        tn_tool_call *call = &answer->calls[events[i].index];
        if (events[i].kind == TN_TOOL_CALL_BEGIN) {
            call->name = ++end;
            extend(&end, &events[i]);
            call->arguments = ++end;
        } else if (events[i].kind == TN_TOOL_CALL_DELTA) {
            extend(&end, &events[i]);
        } else if (events[i].kind == TN_TOOL_CALL_END) {
            call->is_whole = true;
        }
    }
    return answer;
}

tn_status tn_tool_calls_parse(tn_tool_form form, const char *text, size_t size_bytes, const tn_allocator *allocator, tn_diag *diag,
                              tn_tool_answer **out_answer) {
    tn_tool_parser *p;
    const tn_tool_event *events;
    size_t num_events;
    *out_answer = NULL;
    tn_status status = tn_tool_parser_create(form, allocator, diag, &p);
    if (status != TN_OK) return status;
    p->is_final = true;
    status = tn_tool_parser_push(p, text, size_bytes, &events, &num_events);
    if (status == TN_OK && !(*out_answer = make_answer(p, events, num_events)))
        status = tn_fail_memory(diag, "an answer with tool calls", p->shown.size);
    tn_tool_parser_destroy(p);
    return status;
}
