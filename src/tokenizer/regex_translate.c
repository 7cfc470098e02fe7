/* SPDX-License-Identifier: Apache-2.0
 *
 * regex_translate.c: from the source library's dialect (Oniguruma, Ruby syntax, UTF-8) to PCRE2 with UTF and MULTILINE.
 *
 * What differs and is rewritten: \s \d \w \h and \b are Unicode there; \v is one character; \uHHHH; {,n}; property names
 * (\p{Greek} is the script there, its extensions in PCRE2). What is refused by name: nested character classes and &&, named
 * and numbered references, conditionals, possessive intervals (they mean something else there), comments, raw bytes.
 */
#include "format/quote.h"
#include "tokenizer/regex.h"

#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}" /* the last six: from its table for Latin-1 */

typedef struct reader {
    const char *at, *end;
    tn_bytes pattern;
    tn_diag *diag;
    tn_text *out;
    bool can_repeat; /* a quantifier may follow */
} reader;

static tn_status refuse(const reader *r, const char *what) {
    char quoted[TN_QUOTE_SIZE];
    return tn_fail(r->diag, TN_UNSUPPORTED, "cannot use the pattern '%s': %s at byte %zu is not supported",
                   tn_quote(r->pattern.data, r->pattern.size, quoted), what, (size_t)(r->at - r->pattern.data));
}

static tn_status malformed(const reader *r, const char *what) {
    char quoted[TN_QUOTE_SIZE];
    return tn_fail(r->diag, TN_INVALID_DATA, "cannot use the pattern '%s': %s", tn_quote(r->pattern.data, r->pattern.size, quoted), what);
}

static bool next_is(const reader *r, const char *string) {
    size_t size = strlen(string);
    return (size_t)(r->end - r->at) >= size && memcmp(r->at, string, size) == 0;
}

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One code point of the pattern as a literal. */
static void copy_literal(reader *r) {
    char c = *r->at;
    if ((unsigned char)c < 0x80 && !is_alnum(c) && c > ' ' && c != 0x7f) tn_text_append_char(r->out, '\\');
    do tn_text_append_char(r->out, *r->at++);
    while (r->at < r->end && ((unsigned char)*r->at & 0xC0) == 0x80);
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* \xHH, \x{H…}, \uHHHH; r->at is behind the letter. */
static tn_status translate_code_point(reader *r, char letter) {
    uint32_t value = 0;
    int num_digits = 0, max_digits = letter == 'u' ? 4 : 2;
    bool braces = letter == 'x' && r->at < r->end && *r->at == '{';
    if (braces) {
        r->at++;
        max_digits = 8;
    }
    while (r->at < r->end && num_digits < max_digits && hex_value(*r->at) >= 0) {
        if (value > 0x10FFFF) break;
        value = value * 16 + (uint32_t)hex_value(*r->at++);
        num_digits++;
    }
    if (num_digits == 0 || (letter == 'u' && num_digits != 4) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        return malformed(r, "a hexadecimal escape is not a code point");
    if (braces && (r->at == r->end || *r->at++ != '}')) return malformed(r, "a hexadecimal escape has no end");
    if (letter == 'x' && !braces && value >= 0x80) return refuse(r, "a raw byte");
    tn_text_append_format(r->out, "\\x{%X}", (unsigned)value);
    return TN_OK;
}

/* The name of a property as PCRE2 writes it; scripts with "sc:", since \p{Greek} would also match what Greek borrows. */
static void append_property(tn_text *out, const char *name, size_t size) {
    static const char *const pairs[][2] = {
        {"letter", "L"},
        {"uppercase_letter", "Lu"},
        {"lowercase_letter", "Ll"},
        {"titlecase_letter", "Lt"},
        {"modifier_letter", "Lm"},
        {"other_letter", "Lo"},
        {"mark", "M"},
        {"nonspacing_mark", "Mn"},
        {"spacing_mark", "Mc"},
        {"enclosing_mark", "Me"},
        {"number", "N"},
        {"decimal_number", "Nd"},
        {"letter_number", "Nl"},
        {"other_number", "No"},
        {"punctuation", "P"},
        {"symbol", "S"},
        {"math_symbol", "Sm"},
        {"currency_symbol", "Sc"},
        {"modifier_symbol", "Sk"},
        {"other_symbol", "So"},
        {"separator", "Z"},
        {"space_separator", "Zs"},
        {"other", "C"},
        {"control", "Cc"},
        {"format", "Cf"},
        {"alpha", "Alphabetic"},
        {"alphabetic", "Alphabetic"},
        {"space", "White_Space"},
        {"white_space", "White_Space"},
        {"digit", "Nd"},
        {"upper", "Uppercase"},
        {"uppercase", "Uppercase"},
        {"lower", "Lowercase"},
        {"lowercase", "Lowercase"},
        {"any", "Any"},
        {"emoji", "Emoji"},
        {"extended_pictographic", "Extended_Pictographic"},
        {"ideographic", "Ideographic"},
        {"join_control", "Join_Control"},
        {"ascii", "ASCII"},
    };
    char lower[40];
    size_t i = 0;
    for (; i < size && i < sizeof lower - 1; i++) lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    lower[i] = 0;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        if (i == size && strcmp(lower, pairs[k][0]) == 0) {
            tn_text_append_string(out, pairs[k][1]);
            return;
        }
    if (size > 2) tn_text_append_string(out, "sc:");
    tn_text_append(out, name, size);
}

static tn_status translate_property(reader *r, char letter) {
    if (r->at == r->end || *r->at != '{') return refuse(r, "a property without braces");
    const char *name = ++r->at;
    while (r->at < r->end && (is_alnum(*r->at) || *r->at == '_' || *r->at == ' ' || *r->at == '^')) r->at++;
    if (r->at == r->end || *r->at != '}' || r->at == name) return malformed(r, "a property has no name or no end");
    bool negated = letter == 'P';
    size_t size = (size_t)(r->at - name);
    if (*name == '^') {
        negated = !negated;
        name++;
        size--;
    }
    tn_text_append_string(r->out, negated ? "\\P{" : "\\p{");
    append_property(r->out, name, size);
    tn_text_append_char(r->out, '}');
    r->at++;
    return TN_OK;
}

/* What \X means: first as an item of a class, then on its own. NULL: not there. */
static bool translate_shorthand(reader *r, char letter, bool in_class) {
    static const struct {
        char letter;
        const char *in_class, *alone;
    } shorthands[] = {
        {'s', "\\p{White_Space}", "\\p{White_Space}"},
        {'S', "\\P{White_Space}", "\\P{White_Space}"},
        {'d', "\\p{Nd}", "\\p{Nd}"},
        {'D', "\\P{Nd}", "\\P{Nd}"},
        {'w', WORD, "[" WORD "]"},
        {'W', NULL, "[^" WORD "]"},
        {'h', "0-9A-Fa-f", "[0-9A-Fa-f]"},
        {'H', NULL, "[^0-9A-Fa-f]"},
        {'b', "\\x{8}", "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))"},
        {'B', NULL, "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))"},
        {'A', NULL, "\\A"},
        {'z', NULL, "\\z"},
        {'Z', NULL, "\\Z"},
        {'t', "\\t", "\\t"},
        {'n', "\\n", "\\n"},
        {'r', "\\r", "\\r"},
        {'f', "\\f", "\\f"},
        {'v', "\\x{B}", "\\x{B}"},
        {'a', "\\x{7}", "\\x{7}"},
        {'e', "\\x{1B}", "\\x{1B}"},
    };
    for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++)
        if (shorthands[i].letter == letter) {
            const char *text = in_class ? shorthands[i].in_class : shorthands[i].alone;
            if (text) tn_text_append_string(r->out, text);
            return text != NULL;
        }
    return false;
}

static tn_status translate_escape(reader *r, bool in_class) {
    r->at++;
    if (r->at == r->end) return malformed(r, "it ends in a backslash");
    char letter = *r->at;
    if (!is_alnum(letter)) {
        copy_literal(r);
        return TN_OK;
    }
    r->at++;
    if (letter == 'p' || letter == 'P') return translate_property(r, letter);
    if (letter == 'x' || letter == 'u') return translate_code_point(r, letter);
    if (translate_shorthand(r, letter, in_class)) return TN_OK;
    char what[24] = "the escape \\?";
    what[12] = letter;
    return refuse(r, what);
}

static tn_status translate_posix(reader *r) {
    static const char *const names[][2] = {
        {"[:alpha:]", "\\p{Alphabetic}"},
        {"[:digit:]", "\\p{Nd}"},
        {"[:space:]", "\\p{White_Space}"},
        {"[:upper:]", "\\p{Uppercase}"},
        {"[:lower:]", "\\p{Lowercase}"},
        {"[:xdigit:]", "0-9A-Fa-f"},
        {"[:word:]", WORD},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (next_is(r, names[i][0])) {
            r->at += strlen(names[i][0]);
            tn_text_append_string(r->out, names[i][1]);
            return TN_OK;
        }
    return refuse(r, next_is(r, "[:") ? "this POSIX class" : "a class inside a class");
}

static tn_status translate_class(reader *r) {
    tn_text_append_char(r->out, *r->at++);
    if (r->at < r->end && *r->at == '^') tn_text_append_char(r->out, *r->at++);
    if (r->at < r->end && *r->at == ']') copy_literal(r);
    while (r->at < r->end && *r->at != ']') {
        tn_status status = TN_OK;
        if (*r->at == '\\') {
            status = translate_escape(r, true);
        } else if (*r->at == '[') {
            status = translate_posix(r);
        } else if (next_is(r, "&&")) {
            status = refuse(r, "the intersection &&");
        } else if (*r->at == '-') {
            tn_text_append_char(r->out, *r->at++);
        } else {
            copy_literal(r);
        }
        if (status != TN_OK) return status;
    }
    if (r->at == r->end) return malformed(r, "a character class has no end");
    tn_text_append_char(r->out, *r->at++);
    return TN_OK;
}

/* "(…": only groups that both dialects read alike. */
static tn_status translate_group(reader *r) {
    static const char *const openers[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++)
        if (next_is(r, openers[i])) {
            tn_text_append_string(r->out, openers[i]);
            r->at += strlen(openers[i]);
            return TN_OK;
        }
    if (!next_is(r, "(?")) {
        tn_text_append_string(r->out, "(?:"); /* a capture: nobody asks for it */
        r->at++;
        return TN_OK;
    }
    bool is_first = r->at == r->pattern.data;
    const char *flags = r->at + 2;
    tn_text_append_string(r->out, "(?");
    for (r->at = flags; r->at < r->end && (*r->at == 'i' || *r->at == 'm' || *r->at == '-'); r->at++)
        tn_text_append_char(r->out, *r->at == 'm' ? 's' : *r->at); /* Ruby's m: the dot matches newlines */
    if (r->at == flags || r->at == r->end) return refuse(r, "this kind of group");
    if (*r->at == ')' && !is_first) return refuse(r, "a flag for the rest of a group");
    if (*r->at != ':' && *r->at != ')') return refuse(r, "this kind of group or flag");
    tn_text_append_char(r->out, *r->at++);
    return TN_OK;
}

/* "{n,m}"; anything else is a literal brace. */
static tn_status translate_interval(reader *r) {
    const char *at = r->at + 1, *low = at;
    while (at < r->end && *at >= '0' && *at <= '9') at++;
    const char *low_end = at, *high = NULL;
    if (at < r->end && *at == ',') {
        high = ++at;
        while (at < r->end && *at >= '0' && *at <= '9') at++;
    }
    bool has_number = low_end > low || (high && at > high);
    if (at == r->end || *at != '}' || !has_number) {
        copy_literal(r);
        r->can_repeat = true;
        return TN_OK;
    }
    if (!r->can_repeat) return malformed(r, "an interval has nothing to repeat");
    tn_text_append_char(r->out, '{');
    if (low_end == low) tn_text_append_char(r->out, '0');
    tn_text_append(r->out, low, (size_t)(at + 1 - low));
    r->at = at + 1;
    if (r->at < r->end && *r->at == '+') return refuse(r, "an interval with + behind it");
    if (r->at < r->end && *r->at == '?') {
        if (!high) return refuse(r, "an interval {n}?");
        tn_text_append_char(r->out, *r->at++);
    }
    r->can_repeat = false;
    return TN_OK;
}

static tn_status translate_one(reader *r) {
    char c = *r->at;
    switch (c) {
    case '\\': r->can_repeat = true; return translate_escape(r, false);
    case '[': r->can_repeat = true; return translate_class(r);
    case '(': r->can_repeat = false; return translate_group(r);
    case '{': return translate_interval(r);
    case '*':
    case '+':
    case '?':
        if (!r->can_repeat) return malformed(r, "a quantifier has nothing to repeat");
        tn_text_append_char(r->out, *r->at++);
        if (r->at < r->end && (*r->at == '?' || *r->at == '+')) tn_text_append_char(r->out, *r->at++);
        r->can_repeat = false;
        return TN_OK;
    case '|':
    case '^':
        r->can_repeat = false;
        tn_text_append_char(r->out, *r->at++);
        return TN_OK;
    case '$':
    case '.':
    case ')':
        r->can_repeat = c != '$';
        tn_text_append_char(r->out, *r->at++);
        return TN_OK;
    default:
        r->can_repeat = true;
        copy_literal(r);
        return TN_OK;
    }
}

tn_status tn_regex_translate(tn_bytes pattern, tn_diag *diag, tn_text *out) {
    reader r = {.at = pattern.data, .end = pattern.data + pattern.size, .pattern = pattern, .diag = diag, .out = out};
    tn_status status = TN_OK;
    while (status == TN_OK && r.at < r.end) status = translate_one(&r);
    return status;
}
