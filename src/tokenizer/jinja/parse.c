/* SPDX-License-Identifier: Apache-2.0
 *
 * parse.c: template text → nodes. Blocks are trimmed as model repositories expect: the newline behind a block goes
 * (trim_blocks), so does white space before one that begins its line (lstrip_blocks), and one newline at the very end.
 */
#include <string.h>

#include "base/text.h"
#include "tokenizer/jinja/parse_internal.h"

/* ---- pieces of the template ---- */

static bool starts(const tn_jinja_parser *p, const char *at, const char *with) {
    size_t size = strlen(with);
    return (size_t)(p->end - at) >= size && memcmp(at, with, size) == 0;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* The next "{{", "{%" or "{#" at or behind `at`, or the end. */
static const char *find_tag(const tn_jinja_parser *p, const char *at) {
    for (; at < p->end; at++) {
        at = memchr(at, '{', (size_t)(p->end - at));
        if (!at) break;
        if (p->end - at >= 2 && (at[1] == '{' || at[1] == '%' || at[1] == '#')) return at;
    }
    return p->end;
}

static void count_lines(tn_jinja_parser *p, const char *from, const char *to) {
    for (; from < to; from++) p->j->line += *from == '\n';
}

/* Text up to the tag, trimmed as the tags on both sides ask for. */
static bool add_text(tn_jinja_parser *p, const char *from, const char *to, tn_jinja_node ***tail) {
    if (to < p->end) {
        if (p->end - to >= 3 && to[2] == '-') {
            while (to > from && is_space(to[-1])) to--;
        } else if (to[1] != '{' && !(p->end - to >= 3 && to[2] == '+')) {
            const char *begin = to;
            while (begin > from && (begin[-1] == ' ' || begin[-1] == '\t')) begin--;
            if (begin > from ? begin[-1] == '\n' : from == p->begin || from[-1] == '\n') to = begin;
        }
    }
    if (p->strip_next)
        while (from < to && is_space(*from)) from++;
    else if (p->trim_next && from < to && *from == '\n')
        from++;
    p->strip_next = p->trim_next = false;
    if (from >= to) return true;
    tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_TEXT);
    if (!node) return false;
    node->value = tn_jinja_of_string((tn_jinja_string){.data = from, .size = (size_t)(to - from)});
    **tail = node;
    *tail = &node->next;
    return true;
}

static bool skip_comment(tn_jinja_parser *p) {
    for (const char *at = p->at + 2; at + 1 < p->end; at++)
        if (at[0] == '#' && at[1] == '}') {
            p->strip_next = at[-1] == '-' && at > p->at + 2;
            p->trim_next = !(at[-1] == '+' && at > p->at + 2);
            count_lines(p, p->at, at + 2);
            p->at = at + 2;
            return true;
        }
    return tn_jinja_fail(p->j, TN_INVALID_DATA, "a comment has no end");
}

/* Behind the tag's tokens: "%}", "-%}" or "+%}". */
static bool end_tag(tn_jinja_parser *p, const char *end) {
    const tn_jinja_token *t = &p->token;
    if (t->kind != TN_TOKEN_END_TAG || t->text[t->size - 2] != end[0])
        return tn_jinja_fail(p->j, TN_INVALID_DATA, "unexpected '%.*s' where '%s' should be", (int)(t->size < 32 ? t->size : 32), t->text,
                             end);
    p->strip_next = t->size == 3 && t->text[0] == '-';
    p->trim_next = end[0] == '%' && !(t->size == 3 && t->text[0] == '+');
    p->at = t->text + t->size;
    return true;
}

static bool begin_tag(tn_jinja_parser *p) {
    p->at += 2;
    p->num_brackets = 0;
    if (p->at < p->end && (*p->at == '-' || *p->at == '+')) p->at++;
    return tn_jinja_next_token(p);
}

static bool is_word(const tn_jinja_parser *p, const char *word) {
    return p->token.kind == TN_TOKEN_NAME && tn_jinja_token_is(p, word);
}

/* ---- statements ---- */

static bool parse_body(tn_jinja_parser *p, const char *const *ends, tn_jinja_node **out_body);

/* Names with commas between, perhaps in parentheses. */
static bool parse_targets(tn_jinja_parser *p, tn_jinja_node **out_targets) {
    tn_jinja_node **tail = out_targets;
    bool parenthesis = tn_jinja_token_is(p, "(") && tn_jinja_next_token(p);
    do {
        if (*out_targets && !tn_jinja_next_token(p)) return false;
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_NAME);
        if (tn_jinja_token_is(p, "(")) return tn_jinja_fail(p->j, TN_UNSUPPORTED, "unpacking into nested names is not supported");
        if (!node || !tn_jinja_take_name(p, &node->name)) return false;
        *tail = node;
        tail = &node->next;
    } while (tn_jinja_token_is(p, ","));
    return !parenthesis || tn_jinja_expect(p, ")");
}

static bool parse_if(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_IF);
    if (!node || !tn_jinja_next_token(p) || !tn_jinja_parse_expression(p, &node->a) || !end_tag(p, "%}")) return false;
    if (!parse_body(p, ends, &node->body)) return false;
    while (is_word(p, "elif")) {
        tn_jinja_node *branch = node->other = tn_jinja_node_create(p, TN_NODE_IF);
        if (!branch || !tn_jinja_next_token(p) || !tn_jinja_parse_expression(p, &branch->a) || !end_tag(p, "%}")) return false;
        if (!parse_body(p, ends, &branch->body)) return false;
        node = branch;
    }
    if (is_word(p, "else") && (!tn_jinja_next_token(p) || !end_tag(p, "%}") || !parse_body(p, last, &node->other))) return false;
    return tn_jinja_next_token(p) && end_tag(p, "%}");
}

static bool parse_for(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_FOR);
    if (!node || !tn_jinja_next_token(p) || !parse_targets(p, &node->targets) || !tn_jinja_expect(p, "in")) return false;
    if (!tn_jinja_parse_tuple(p, &node->a, false)) return false;
    if (is_word(p, "if") && (!tn_jinja_next_token(p) || !tn_jinja_parse_expression(p, &node->b))) return false;
    if (is_word(p, "recursive")) return tn_jinja_fail(p->j, TN_UNSUPPORTED, "a recursive loop is not supported");
    if (!end_tag(p, "%}") || !parse_body(p, ends, &node->body)) return false;
    if (is_word(p, "else") && (!tn_jinja_next_token(p) || !end_tag(p, "%}") || !parse_body(p, last, &node->other))) return false;
    return tn_jinja_next_token(p) && end_tag(p, "%}");
}

/* The body up to the tag that `ends` names, and that tag. */
static bool parse_to_end(tn_jinja_parser *p, const char *const *ends, tn_jinja_node **out_body) {
    return end_tag(p, "%}") && parse_body(p, ends, out_body) && tn_jinja_next_token(p) && end_tag(p, "%}");
}

/* Filters of what a block prints, behind the word or bar before them. */
static bool parse_block_filters(tn_jinja_parser *p, tn_jinja_node **out) {
    *out = tn_jinja_node_create(p, TN_NODE_NAME);
    if (!*out) return false;
    (*out)->name = TN_JINJA_CAPTURED;
    return tn_jinja_next_token(p) && tn_jinja_parse_filters(p, out);
}

static bool parse_set(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"endset", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_SET);
    if (!node || !tn_jinja_next_token(p) || !parse_targets(p, &node->targets)) return false;
    if (tn_jinja_token_is(p, ".") && !node->targets->next) {
        tn_jinja_node *attribute = tn_jinja_node_create(p, TN_NODE_ATTRIBUTE);
        if (!attribute || !tn_jinja_next_token(p) || !tn_jinja_take_name(p, &attribute->name)) return false;
        attribute->a = node->targets;
        node->targets = attribute;
    }
    if (tn_jinja_token_is(p, "=")) return tn_jinja_next_token(p) && tn_jinja_parse_tuple(p, &node->a, true) && end_tag(p, "%}");
    node->kind = TN_NODE_SET_BLOCK;
    if (node->targets->next) return tn_jinja_fail(p->j, TN_INVALID_DATA, "a set block has one name");
    if (tn_jinja_token_is(p, "|") && !parse_block_filters(p, &node->a)) return false;
    return parse_to_end(p, ends, &node->body);
}

/* Names with their defaults, behind "(" and with the ")". */
static bool parse_parameters(tn_jinja_parser *p, tn_jinja_node **out_parameters) {
    tn_jinja_node **tail = out_parameters;
    while (!tn_jinja_token_is(p, ")")) {
        if (tail != out_parameters && !tn_jinja_expect(p, ",")) return false;
        tn_jinja_node *parameter = tn_jinja_node_create(p, TN_NODE_ARGUMENT);
        if (!parameter || !tn_jinja_take_name(p, &parameter->name)) return false;
        if (tn_jinja_token_is(p, "=") && (!tn_jinja_next_token(p) || !tn_jinja_parse_expression(p, &parameter->a))) return false;
        *tail = parameter;
        tail = &parameter->next;
    }
    return tn_jinja_next_token(p);
}

static bool parse_macro(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"endmacro", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_MACRO);
    return node && tn_jinja_next_token(p) && tn_jinja_take_name(p, &node->name) && tn_jinja_expect(p, "(") &&
           parse_parameters(p, &node->targets) && parse_to_end(p, ends, &node->body);
}

/* {% call(a, b) f(x) %}…{% endcall %} */
static bool parse_call(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"endcall", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_CALL_BLOCK);
    if (!node || !tn_jinja_next_token(p)) return false;
    node->name = "caller";
    if (tn_jinja_token_is(p, "(") && (!tn_jinja_next_token(p) || !parse_parameters(p, &node->targets))) return false;
    if (!tn_jinja_parse_expression(p, &node->a)) return false;
    if (node->a->kind != TN_NODE_CALL) return tn_jinja_fail(p->j, TN_INVALID_DATA, "a call block needs a call");
    return parse_to_end(p, ends, &node->body);
}

/* {% with a = 1, b = 2 %}…{% endwith %} */
static bool parse_with(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"endwith", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_WITH), **tail;
    if (!node || !tn_jinja_next_token(p)) return false;
    for (tail = &node->arguments; p->token.kind != TN_TOKEN_END_TAG; tail = &(*tail)->next) {
        if (tail != &node->arguments && !tn_jinja_expect(p, ",")) return false;
        tn_jinja_node *argument = *tail = tn_jinja_node_create(p, TN_NODE_ARGUMENT);
        if (!argument || !tn_jinja_take_name(p, &argument->name) || !tn_jinja_expect(p, "=") || !tn_jinja_parse_expression(p, &argument->a))
            return false;
    }
    return parse_to_end(p, ends, &node->body);
}

static bool parse_filter(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const ends[] = {"endfilter", NULL};
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_FILTER_BLOCK);
    return node && parse_block_filters(p, &node->a) && parse_to_end(p, ends, &node->body);
}

static bool parse_raw(tn_jinja_parser *p, tn_jinja_node **out) {
    if (!tn_jinja_next_token(p) || !end_tag(p, "%}")) return false;
    for (const char *at = p->at; at < p->end; at++) {
        if (!starts(p, at, "{%")) continue;
        tn_jinja_parser ahead = *p;
        ahead.at = at;
        if (!begin_tag(&ahead)) return false;
        if (!is_word(&ahead, "endraw")) continue;
        tn_jinja_node **tail = out;
        if (!add_text(p, p->at, at, &tail)) return false;
        if (!*out && !(*out = tn_jinja_node_create(p, TN_NODE_GROUP))) return false;
        count_lines(p, p->at, at);
        p->at = at;
        return begin_tag(p) && tn_jinja_next_token(p) && end_tag(p, "%}");
    }
    return tn_jinja_fail(p->j, TN_INVALID_DATA, "a raw block has no end");
}

static bool parse_statement(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const generation_end[] = {"endgeneration", NULL};
    if (is_word(p, "if")) return parse_if(p, out);
    if (is_word(p, "for")) return parse_for(p, out);
    if (is_word(p, "set")) return parse_set(p, out);
    if (is_word(p, "macro")) return parse_macro(p, out);
    if (is_word(p, "raw")) return parse_raw(p, out);
    if (is_word(p, "call")) return parse_call(p, out);
    if (is_word(p, "with")) return parse_with(p, out);
    if (is_word(p, "filter")) return parse_filter(p, out);
    if (is_word(p, "break") || is_word(p, "continue")) {
        *out = tn_jinja_node_create(p, is_word(p, "break") ? TN_NODE_BREAK : TN_NODE_CONTINUE);
        return *out && tn_jinja_next_token(p) && end_tag(p, "%}");
    }
    if (is_word(p, "generation")) {
        tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_GROUP);
        return node && tn_jinja_next_token(p) && parse_to_end(p, generation_end, &node->body);
    }
    int size = (int)(p->token.size < 40 ? p->token.size : 40);
    if (p->token.kind == TN_TOKEN_NAME && !(p->token.size > 3 && memcmp(p->token.text, "end", 3) == 0) && !is_word(p, "else") &&
        !is_word(p, "elif"))
        return tn_jinja_fail(p->j, TN_UNSUPPORTED, "the statement '%.*s' is not supported", size, p->token.text);
    return tn_jinja_fail(p->j, TN_INVALID_DATA, "unexpected '%.*s'", size, p->token.text);
}

/* Statements up to a tag that begins with one of `ends`, whose first word is then the token; ends NULL: to the end. */
static bool parse_body(tn_jinja_parser *p, const char *const *ends, tn_jinja_node **out_body) {
    tn_jinja_node **tail = out_body;
    if (++p->depth > TN_JINJA_MAX_DEPTH) return tn_jinja_fail(p->j, TN_INVALID_DATA, "it nests deeper than %d", TN_JINJA_MAX_DEPTH);
    for (;;) {
        const char *tag = find_tag(p, p->at);
        if (!add_text(p, p->at, tag, &tail)) return false;
        count_lines(p, p->at, tag);
        p->at = tag;
        if (tag == p->end) {
            p->depth--;
            return !ends || tn_jinja_fail(p->j, TN_INVALID_DATA, "'%s' is missing", ends[0]);
        }
        if (tag[1] == '#') {
            if (!skip_comment(p)) return false;
            continue;
        }
        if (!begin_tag(p)) return false;
        tn_jinja_node *node = NULL;
        if (tag[1] == '{') {
            if (!(node = tn_jinja_node_create(p, TN_NODE_OUTPUT)) || !tn_jinja_parse_tuple(p, &node->a, true) || !end_tag(p, "}}"))
                return false;
        } else {
            for (size_t i = 0; ends && ends[i]; i++)
                if (is_word(p, ends[i])) {
                    p->depth--;
                    return true;
                }
            if (!parse_statement(p, &node)) return false;
        }
        *tail = node;
        tail = &node->next;
    }
}

bool tn_jinja_parse(tn_jinja *j, const char *text, size_t size, tn_jinja_node **out_body) {
    *out_body = NULL;
    j->line = 1;
    /* Line ends are newlines from here on. */
    char *copy = tn_jinja_alloc(j, size + 1);
    if (!copy) return false;
    size_t copied = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n') continue;
        copy[copied++] = (char)(text[i] == '\r' ? '\n' : text[i]);
    }
    if (copied > 0 && copy[copied - 1] == '\n') copied--;
    if (!tn_utf8_is_valid(copy, copied)) return tn_jinja_fail(j, TN_INVALID_DATA, "it is not UTF-8");
    tn_jinja_parser p = {.j = j, .begin = copy, .at = copy, .end = copy + copied};
    return parse_body(&p, NULL, out_body);
}
