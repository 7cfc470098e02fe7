/* SPDX-License-Identifier: Apache-2.0
 *
 * expression.c: tokens inside tags, and expressions by recursive descent, one function a level of precedence.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tokenizer/jinja/parse_internal.h"

/* ---- tokens ---- */

static bool is_name_begin(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

tn_jinja_node *tn_jinja_node_create(tn_jinja_parser *p, tn_jinja_node_kind kind) {
    tn_jinja_node *node = tn_jinja_alloc(p->j, sizeof *node);
    if (!node) return NULL;
    node->kind = kind;
    node->line = p->j->line;
    return node;
}

bool tn_jinja_token_is(const tn_jinja_parser *p, const char *text) {
    return p->token.kind != TN_TOKEN_STRING && p->token.size == strlen(text) && memcmp(p->token.text, text, p->token.size) == 0;
}

static bool take(tn_jinja_parser *p, tn_jinja_token_kind kind, size_t size) {
    p->token = (tn_jinja_token){kind, p->at, size};
    p->at += size;
    return true;
}

static bool scan_string(tn_jinja_parser *p) {
    for (const char *at = p->at + 1; at < p->end; at++) {
        if (*at == '\n') p->j->line++;
        if (*at == '\\')
            at++;
        else if (*at == *p->at)
            return take(p, TN_TOKEN_STRING, (size_t)(at + 1 - p->at));
    }
    return tn_jinja_fail(p->j, TN_INVALID_DATA, "a string has no end");
}

static size_t number_size(const tn_jinja_parser *p) {
    const char *at = p->at;
    while (at < p->end && (is_digit(*at) || *at == '_')) at++;
    if (p->end - at >= 2 && *at == '.' && is_digit(at[1])) {
        at++;
        while (at < p->end && is_digit(*at)) at++;
    }
    if (p->end - at >= 2 && (*at == 'e' || *at == 'E')) {
        const char *digits = at + 1 + (at[1] == '-' || at[1] == '+');
        if (digits < p->end && is_digit(*digits)) {
            at = digits;
            while (at < p->end && is_digit(*at)) at++;
        }
    }
    return (size_t)(at - p->at);
}

bool tn_jinja_next_token(tn_jinja_parser *p) {
    static const char *const operators[] = {"-%}", "+%}", "-}}", "%}", "}}", "**", "//", "==", "!=", "<=", ">=", NULL};
    for (; p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n'); p->at++) p->j->line += *p->at == '\n';
    if (p->at == p->end) return tn_jinja_fail(p->j, TN_INVALID_DATA, "a tag has no end");
    size_t rest = (size_t)(p->end - p->at);
    if (*p->at == '"' || *p->at == '\'') return scan_string(p);
    if (is_digit(*p->at)) return take(p, TN_TOKEN_NUMBER, number_size(p));
    if (is_name_begin(*p->at)) {
        size_t size = 1;
        while (size < rest && (is_name_begin(p->at[size]) || is_digit(p->at[size]))) size++;
        return take(p, TN_TOKEN_NAME, size);
    }
    for (size_t i = 0; operators[i]; i++) {
        size_t size = strlen(operators[i]);
        bool is_end = operators[i][size - 1] == '}';
        if (rest < size || memcmp(p->at, operators[i], size) != 0 || (is_end && p->num_brackets > 0)) continue;
        return take(p, is_end ? TN_TOKEN_END_TAG : TN_TOKEN_OPERATOR, size);
    }
    if (!strchr("+-*/%~<>=()[]{},.:|", *p->at) || *p->at == 0)
        return tn_jinja_fail(p->j, TN_INVALID_DATA, "unexpected character (byte 0x%02x)", (unsigned)(unsigned char)*p->at);
    if (strchr("([{", *p->at)) p->num_brackets++;
    if (strchr(")]}", *p->at)) p->num_brackets--;
    return take(p, TN_TOKEN_OPERATOR, 1);
}

bool tn_jinja_expect(tn_jinja_parser *p, const char *text) {
    if (!tn_jinja_token_is(p, text))
        return tn_jinja_fail(p->j, TN_INVALID_DATA, "unexpected '%.*s' where '%s' should be",
                             (int)(p->token.size < 32 ? p->token.size : 32), p->token.text, text);
    return tn_jinja_next_token(p);
}

static char *copy_text(tn_jinja_parser *p, const char *text, size_t size) {
    char *copy = tn_jinja_alloc(p->j, size + 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}

bool tn_jinja_take_name(tn_jinja_parser *p, const char **out_name) {
    if (p->token.kind != TN_TOKEN_NAME)
        return tn_jinja_fail(p->j, TN_INVALID_DATA, "unexpected '%.*s' where a name should be",
                             (int)(p->token.size < 32 ? p->token.size : 32), p->token.text);
    *out_name = copy_text(p, p->token.text, p->token.size);
    return *out_name && tn_jinja_next_token(p);
}

/* ---- literals ---- */

static uint32_t read_hex(const char *digits, size_t count) {
    uint32_t value = 0;
    for (size_t i = 0; i < count; i++) {
        char c = digits[i];
        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F')) return UINT32_MAX;
        value = value * 16 + (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/* A string's bytes with escapes resolved, appended to those in *node (neighbouring literals are one). */
static bool append_literal(tn_jinja_parser *p, tn_jinja_node *node) {
    const char *text = p->token.text + 1, *end = p->token.text + p->token.size - 1;
    size_t old_size = node->value.string.size, size = old_size;
    char *bytes = tn_jinja_alloc(p->j, old_size + (size_t)(end - text) + 4);
    if (!bytes) return false;
    if (old_size) memcpy(bytes, node->value.string.data, old_size);
    while (text < end) {
        static const char letters[] = "nrtbfva\\'\"", values[] = "\n\r\t\b\f\v\a\\'\"";
        const char *letter;
        if (*text != '\\') {
            bytes[size++] = *text++;
        } else if ((letter = strchr(letters, text[1])) != NULL && text[1]) {
            bytes[size++] = values[letter - letters];
            text += 2;
        } else if (text[1] == '\n') {
            text += 2;
        } else if (text[1] == 'x' || text[1] == 'u') {
            size_t digits = text[1] == 'x' ? 2 : 4;
            uint32_t value = (size_t)(end - text) >= 2 + digits ? read_hex(text + 2, digits) : UINT32_MAX;
            int length = value <= 0xffff ? tn_utf8_encode(value, bytes + size) : 0;
            if (length == 0) return tn_jinja_fail(p->j, TN_INVALID_DATA, "a string has a bad escape");
            size += (size_t)length;
            text += 2 + digits;
        } else {
            bytes[size++] = *text++; /* an unknown escape is itself */
        }
    }
    node->value = tn_jinja_of_string((tn_jinja_string){.data = bytes, .size = size});
    return true;
}

static bool parse_number(tn_jinja_parser *p, tn_jinja_node *node) {
    char digits[64];
    size_t size = 0;
    bool is_real = false;
    for (size_t i = 0; i < p->token.size && size < sizeof digits - 1; i++) {
        if (p->token.text[i] == '_') continue;
        digits[size++] = p->token.text[i];
        is_real = is_real || strchr(".eE", p->token.text[i]);
    }
    digits[size] = 0;
    if (size > 18 && !is_real) return tn_jinja_fail(p->j, TN_INVALID_DATA, "the number %.20s… is too large", digits);
    node->value =
        is_real ? (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = strtod(digits, NULL)} : tn_jinja_of_integer(strtoll(digits, NULL, 10));
    return true;
}

/* ---- expressions, from the tightest binding to the loosest ---- */

static bool enter(tn_jinja_parser *p) {
    if (p->depth >= TN_JINJA_MAX_DEPTH) return tn_jinja_fail(p->j, TN_INVALID_DATA, "it nests deeper than %d", TN_JINJA_MAX_DEPTH);
    p->depth++;
    return true;
}

/* Items up to the closing bracket, which is taken. */
static bool parse_items(tn_jinja_parser *p, const char *close, bool is_dict, bool is_call, tn_jinja_node **tail) {
    bool is_first = true;
    while (!tn_jinja_token_is(p, close)) {
        if (!is_first && !tn_jinja_expect(p, ",")) return false;
        if (!is_first && tn_jinja_token_is(p, close)) break;
        is_first = false;
        if (tn_jinja_token_is(p, "*") || tn_jinja_token_is(p, "**"))
            return tn_jinja_fail(p->j, TN_UNSUPPORTED, "unpacking arguments is not supported");
        tn_jinja_node *item = tn_jinja_node_create(p, TN_NODE_ARGUMENT);
        if (!item) return false;
        if (is_call && p->token.kind == TN_TOKEN_NAME) { /* perhaps name=value */
            const char *at = p->at;
            while (at < p->end && (*at == ' ' || *at == '\n')) at++;
            if (p->end - at >= 2 && at[0] == '=' && at[1] != '=' && (!tn_jinja_take_name(p, &item->name) || !tn_jinja_next_token(p)))
                return false;
        }
        if (!tn_jinja_parse_expression(p, &item->a)) return false;
        if (is_dict && (!tn_jinja_expect(p, ":") || !tn_jinja_parse_expression(p, &item->b))) return false;
        *tail = item;
        tail = &item->next;
    }
    return tn_jinja_next_token(p);
}

static bool parse_constant(tn_jinja_parser *p, tn_jinja_node *node) {
    static const char *const names[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < 6; i++)
        if (tn_jinja_token_is(p, names[i])) {
            node->kind = TN_NODE_LITERAL;
            node->value = i < 4 ? tn_jinja_of_bool(i < 2) : (tn_jinja_value){.kind = TN_JINJA_NONE};
            return tn_jinja_next_token(p);
        }
    node->kind = TN_NODE_NAME;
    return tn_jinja_take_name(p, &node->name);
}

static bool parse_primary(tn_jinja_parser *p, tn_jinja_node **out) {
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_LITERAL);
    if (!node) return false;
    switch (p->token.kind) {
    case TN_TOKEN_NAME: return parse_constant(p, node);
    case TN_TOKEN_NUMBER: return parse_number(p, node) && tn_jinja_next_token(p);
    case TN_TOKEN_STRING:
        while (p->token.kind == TN_TOKEN_STRING)
            if (!append_literal(p, node) || !tn_jinja_next_token(p)) return false;
        return true;
    default: break;
    }
    if (tn_jinja_token_is(p, "[")) {
        node->kind = TN_NODE_LIST;
        return tn_jinja_next_token(p) && parse_items(p, "]", false, false, &node->arguments);
    }
    if (tn_jinja_token_is(p, "{")) {
        node->kind = TN_NODE_DICT;
        return tn_jinja_next_token(p) && parse_items(p, "}", true, false, &node->arguments);
    }
    if (tn_jinja_token_is(p, "(")) {
        if (!tn_jinja_next_token(p)) return false;
        if (tn_jinja_token_is(p, ")")) {
            node->kind = TN_NODE_TUPLE;
            return tn_jinja_next_token(p);
        }
        return tn_jinja_parse_tuple(p, out, true) && tn_jinja_expect(p, ")");
    }
    return tn_jinja_fail(p->j, TN_INVALID_DATA, "unexpected '%.*s'", (int)(p->token.size < 32 ? p->token.size : 32), p->token.text);
}

/* a[b], a[b:c], a[b:c:d] */
static bool parse_subscript(tn_jinja_parser *p, tn_jinja_node *node) {
    tn_jinja_node **parts[] = {&node->b, &node->c, &node->d};
    node->kind = TN_NODE_ITEM;
    for (size_t i = 0; i < 3; i++) {
        if (!tn_jinja_token_is(p, ":") && !tn_jinja_token_is(p, "]") && !tn_jinja_parse_expression(p, parts[i])) return false;
        if (!tn_jinja_token_is(p, ":")) break;
        node->kind = TN_NODE_SLICE;
        if (!tn_jinja_next_token(p)) return false;
    }
    if (node->kind == TN_NODE_ITEM && !node->b) return tn_jinja_fail(p->j, TN_INVALID_DATA, "empty brackets");
    return tn_jinja_expect(p, "]");
}

static bool parse_postfix(tn_jinja_parser *p, tn_jinja_node **io) {
    for (;;) {
        tn_jinja_node_kind kind;
        if (tn_jinja_token_is(p, "."))
            kind = TN_NODE_ATTRIBUTE;
        else if (tn_jinja_token_is(p, "["))
            kind = TN_NODE_ITEM;
        else if (tn_jinja_token_is(p, "("))
            kind = TN_NODE_CALL;
        else
            return true;
        tn_jinja_node *node = tn_jinja_node_create(p, kind);
        if (!node || !tn_jinja_next_token(p)) return false;
        node->a = *io;
        *io = node;
        if (kind == TN_NODE_CALL) {
            if (!tn_jinja_parse_arguments(p, &node->arguments)) return false;
        } else if (kind == TN_NODE_ITEM) {
            if (!parse_subscript(p, node)) return false;
        } else if (p->token.kind == TN_TOKEN_NUMBER) { /* a.0 */
            node->kind = TN_NODE_ITEM;
            node->b = tn_jinja_node_create(p, TN_NODE_LITERAL);
            if (!node->b || !parse_number(p, node->b) || !tn_jinja_next_token(p)) return false;
        } else if (!tn_jinja_take_name(p, &node->name)) {
            return false;
        }
    }
}

bool tn_jinja_parse_arguments(tn_jinja_parser *p, tn_jinja_node **out_arguments) {
    return parse_items(p, ")", false, true, out_arguments);
}

bool tn_jinja_parse_filters(tn_jinja_parser *p, tn_jinja_node **io) {
    for (;;) {
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_FILTER);
        if (!node || !tn_jinja_take_name(p, &node->name)) return false;
        node->a = *io;
        *io = node;
        if (tn_jinja_token_is(p, "(") && (!tn_jinja_next_token(p) || !tn_jinja_parse_arguments(p, &node->arguments))) return false;
        if (!tn_jinja_token_is(p, "|")) return true;
        if (!tn_jinja_next_token(p)) return false;
    }
}

static bool parse_filters_behind(tn_jinja_parser *p, tn_jinja_node **io) {
    return !tn_jinja_token_is(p, "|") || (tn_jinja_next_token(p) && tn_jinja_parse_filters(p, io));
}

static bool parse_unary(tn_jinja_parser *p, tn_jinja_node **out, bool with_filters);

static bool parse_tests(tn_jinja_parser *p, tn_jinja_node **io) {
    while (tn_jinja_token_is(p, "is")) {
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_TEST);
        if (!node || !tn_jinja_next_token(p)) return false;
        if (tn_jinja_token_is(p, "not")) {
            node->negated = true;
            if (!tn_jinja_next_token(p)) return false;
        }
        if (!tn_jinja_take_name(p, &node->name)) return false;
        node->a = *io;
        *io = node;
        bool is_operand = p->token.kind == TN_TOKEN_STRING || p->token.kind == TN_TOKEN_NUMBER || tn_jinja_token_is(p, "[") ||
                          (p->token.kind == TN_TOKEN_NAME && !tn_jinja_token_is(p, "else") && !tn_jinja_token_is(p, "or") &&
                           !tn_jinja_token_is(p, "and") && !tn_jinja_token_is(p, "is") && !tn_jinja_token_is(p, "if") &&
                           !tn_jinja_token_is(p, "in") && !tn_jinja_token_is(p, "not"));
        if (tn_jinja_token_is(p, "(")) {
            if (!tn_jinja_next_token(p) || !tn_jinja_parse_arguments(p, &node->arguments)) return false;
        } else if (is_operand) { /* "x is divisibleby 3" */
            node->arguments = tn_jinja_node_create(p, TN_NODE_ARGUMENT);
            if (!node->arguments || !parse_unary(p, &node->arguments->a, false)) return false;
        }
    }
    return true;
}

static bool parse_unary(tn_jinja_parser *p, tn_jinja_node **out, bool with_filters) {
    if (!enter(p)) return false;
    if (tn_jinja_token_is(p, "-")) {
        tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_MINUS);
        if (!node || !tn_jinja_next_token(p) || !parse_unary(p, &node->a, false)) return false;
    } else if (tn_jinja_token_is(p, "+")) {
        if (!tn_jinja_next_token(p) || !parse_unary(p, out, false)) return false;
    } else if (!parse_primary(p, out) || !parse_postfix(p, out)) {
        return false;
    }
    p->depth--;
    while (with_filters && (tn_jinja_token_is(p, "|") || tn_jinja_token_is(p, "is")))
        if (!parse_filters_behind(p, out) || !parse_tests(p, out)) return false;
    return true;
}

static bool parse_operand(tn_jinja_parser *p, tn_jinja_node **out) {
    return parse_unary(p, out, true);
}

/* Left-associative operators of one level. */
static bool parse_level(tn_jinja_parser *p, tn_jinja_node **out, const char *const *operators,
                        bool (*parse_side)(tn_jinja_parser *, tn_jinja_node **)) {
    if (!parse_side(p, out)) return false;
    for (;;) {
        size_t i = 0;
        while (operators[i] && !tn_jinja_token_is(p, operators[i])) i++;
        if (!operators[i]) return true;
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_BINARY);
        if (!node || !tn_jinja_next_token(p)) return false;
        node->name = operators[i];
        node->a = *out;
        *out = node;
        if (!parse_side(p, &node->b)) return false;
    }
}

static bool parse_power(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const operators[] = {"**", NULL};
    return parse_level(p, out, operators, parse_operand);
}

static bool parse_product(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const operators[] = {"*", "/", "//", "%", NULL};
    return parse_level(p, out, operators, parse_power);
}

static bool parse_concatenation(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const operators[] = {"~", NULL};
    return parse_level(p, out, operators, parse_product);
}

static bool parse_sum(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const operators[] = {"+", "-", NULL};
    return parse_level(p, out, operators, parse_concatenation);
}

static bool parse_comparison(tn_jinja_parser *p, tn_jinja_node **out) {
    static const char *const operators[] = {"==", "!=", "<=", ">=", "<", ">", "in", NULL};
    if (!parse_sum(p, out)) return false;
    for (tn_jinja_node *last = NULL;;) {
        size_t i = 0;
        bool negated = tn_jinja_token_is(p, "not");
        if (negated && (!tn_jinja_next_token(p) || !tn_jinja_token_is(p, "in")))
            return tn_jinja_fail(p->j, TN_INVALID_DATA, "'not' must be followed by 'in' here");
        while (operators[i] && !tn_jinja_token_is(p, operators[i])) i++;
        if (!operators[i]) return true;
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_BINARY);
        if (!node || !tn_jinja_next_token(p)) return false;
        node->name = operators[i];
        node->negated = negated;
        node->a = last ? last->b : *out;
        if (!parse_sum(p, &node->b)) return false;
        if (last) { /* "a < b < c" is "a < b and b < c" */
            tn_jinja_node *both = tn_jinja_node_create(p, TN_NODE_AND);
            if (!both) return false;
            both->a = *out;
            both->b = node;
            *out = both;
        } else {
            *out = node;
        }
        last = node;
    }
}

static bool parse_not(tn_jinja_parser *p, tn_jinja_node **out) {
    if (!tn_jinja_token_is(p, "not")) return parse_comparison(p, out);
    tn_jinja_node *node = *out = tn_jinja_node_create(p, TN_NODE_NOT);
    if (!node || !enter(p) || !tn_jinja_next_token(p) || !parse_not(p, &node->a)) return false;
    p->depth--;
    return true;
}

static bool parse_and(tn_jinja_parser *p, tn_jinja_node **out) {
    if (!parse_not(p, out)) return false;
    while (tn_jinja_token_is(p, "and")) {
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_AND);
        if (!node || !tn_jinja_next_token(p)) return false;
        node->a = *out;
        *out = node;
        if (!parse_not(p, &node->b)) return false;
    }
    return true;
}

static bool parse_or(tn_jinja_parser *p, tn_jinja_node **out) {
    if (!parse_and(p, out)) return false;
    while (tn_jinja_token_is(p, "or")) {
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_OR);
        if (!node || !tn_jinja_next_token(p)) return false;
        node->a = *out;
        *out = node;
        if (!parse_and(p, &node->b)) return false;
    }
    return true;
}

bool tn_jinja_parse_expression(tn_jinja_parser *p, tn_jinja_node **out) {
    if (!enter(p) || !parse_or(p, out)) return false;
    while (tn_jinja_token_is(p, "if")) {
        tn_jinja_node *node = tn_jinja_node_create(p, TN_NODE_CHOICE);
        if (!node || !tn_jinja_next_token(p)) return false;
        node->a = *out;
        *out = node;
        if (!parse_or(p, &node->b)) return false;
        if (tn_jinja_token_is(p, "else") && (!tn_jinja_next_token(p) || !tn_jinja_parse_expression(p, &node->c))) return false;
    }
    p->depth--;
    return true;
}

bool tn_jinja_parse_tuple(tn_jinja_parser *p, tn_jinja_node **out, bool with_choice) {
    if (!(with_choice ? tn_jinja_parse_expression(p, out) : parse_or(p, out))) return false;
    if (!tn_jinja_token_is(p, ",")) return true;
    tn_jinja_node *list = tn_jinja_node_create(p, TN_NODE_TUPLE), **tail;
    if (!list) return false;
    tail = &list->arguments;
    tn_jinja_node *item = *out;
    for (*out = list;;) {
        *tail = tn_jinja_node_create(p, TN_NODE_ARGUMENT);
        if (!*tail) return false;
        (*tail)->a = item;
        tail = &(*tail)->next;
        if (!tn_jinja_token_is(p, ",")) return true;
        if (!tn_jinja_next_token(p)) return false;
        if (p->token.kind == TN_TOKEN_END_TAG || tn_jinja_token_is(p, ")")) return true;
        if (!tn_jinja_parse_expression(p, &item)) return false;
    }
}
