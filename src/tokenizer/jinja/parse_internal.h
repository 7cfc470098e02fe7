/* SPDX-License-Identifier: Apache-2.0
 *
 * parse_internal.h: what parse.c (statements) and expression.c (tokens and expressions) share.
 */
#ifndef TN_TOKENIZER_JINJA_PARSE_INTERNAL_H_
#define TN_TOKENIZER_JINJA_PARSE_INTERNAL_H_

#include "tokenizer/jinja/ast.h"

typedef enum tn_jinja_token_kind {
    TN_TOKEN_NAME,
    TN_TOKEN_NUMBER,
    TN_TOKEN_STRING,   /* with its quotes */
    TN_TOKEN_OPERATOR, /* or punctuation */
    TN_TOKEN_END_TAG,  /* "}}", "%}", perhaps with - or + */
} tn_jinja_token_kind;

typedef struct tn_jinja_token {
    tn_jinja_token_kind kind;
    const char *text;
    size_t size;
} tn_jinja_token;

typedef struct tn_jinja_parser {
    tn_jinja *j;
    const char *begin, *at, *end;
    tn_jinja_token token; /* the one looked at, inside a tag */
    bool strip_next, trim_next;
    int depth, num_brackets; /* open ones: in them "}}" may be two brackets */
} tn_jinja_parser;

tn_jinja_node *tn_jinja_node_create(tn_jinja_parser *p, tn_jinja_node_kind kind); /* NULL: failed */
bool tn_jinja_next_token(tn_jinja_parser *p);
bool tn_jinja_token_is(const tn_jinja_parser *p, const char *text); /* never true for a string */
bool tn_jinja_expect(tn_jinja_parser *p, const char *text);         /* takes it, or fails */
bool tn_jinja_take_name(tn_jinja_parser *p, const char **out_name);
bool tn_jinja_parse_expression(tn_jinja_parser *p, tn_jinja_node **out);
/* The arguments of a call, behind its "(". */
bool tn_jinja_parse_arguments(tn_jinja_parser *p, tn_jinja_node **out_arguments);
/* "name(arguments) | name …", filters of *io, which becomes the last of them. */
bool tn_jinja_parse_filters(tn_jinja_parser *p, tn_jinja_node **io);
/* An expression, or several with commas between: then a TUPLE. with_choice: "a if b" belongs to it. */
bool tn_jinja_parse_tuple(tn_jinja_parser *p, tn_jinja_node **out, bool with_choice);

#endif
