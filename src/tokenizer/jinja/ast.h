/* SPDX-License-Identifier: Apache-2.0
 *
 * ast.h: a parsed template. Nodes lie in the interpreter's arena. Lists of nodes hang together by `next`.
 */
#ifndef TN_TOKENIZER_JINJA_AST_H_
#define TN_TOKENIZER_JINJA_AST_H_

#include "tokenizer/jinja/value.h"

typedef enum tn_jinja_node_kind {
    /* statements */
    TN_NODE_TEXT,      /* value */
    TN_NODE_OUTPUT,    /* a */
    TN_NODE_IF,        /* a: condition, body, other */
    TN_NODE_FOR,       /* targets: names; a: what; b: filter or NULL; body, other */
    TN_NODE_SET,       /* targets: names, or one ATTRIBUTE of a namespace; a: value */
    TN_NODE_SET_BLOCK, /* targets: one name; a: filters of TN_JINJA_CAPTURED, or NULL; body */
    TN_NODE_MACRO,     /* name; targets: parameters with default in a; body */
    TN_NODE_BREAK,
    TN_NODE_CONTINUE,
    TN_NODE_GROUP,        /* body: {% generation %}, which only marks */
    TN_NODE_WITH,         /* arguments: name and a; body, in a scope of its own */
    TN_NODE_CALL_BLOCK,   /* a: a call; targets and body: the macro `caller` */
    TN_NODE_FILTER_BLOCK, /* a: filters of the name TN_JINJA_CAPTURED; body */
    /* expressions */
    TN_NODE_LITERAL,   /* value */
    TN_NODE_NAME,      /* name */
    TN_NODE_ATTRIBUTE, /* a.name */
    TN_NODE_ITEM,      /* a[b] */
    TN_NODE_SLICE,     /* a[b:c:d], each of b, c, d may be NULL */
    TN_NODE_CALL,      /* a(arguments) */
    TN_NODE_FILTER,    /* a | name(arguments) */
    TN_NODE_TEST,      /* a is name(arguments); negated */
    TN_NODE_NOT,       /* a */
    TN_NODE_MINUS,     /* a */
    TN_NODE_BINARY,    /* a operator b; name is the operator */
    TN_NODE_AND,
    TN_NODE_OR,
    TN_NODE_CHOICE,   /* a if b else c; c may be NULL */
    TN_NODE_LIST,     /* arguments */
    TN_NODE_TUPLE,    /* arguments */
    TN_NODE_DICT,     /* arguments: a is the key, b the value */
    TN_NODE_ARGUMENT, /* name or NULL; a; in `arguments` */
} tn_jinja_node_kind;

typedef struct tn_jinja_node {
    tn_jinja_node_kind kind;
    uint32_t line;
    bool negated;
    const char *name; /* with a NUL */
    tn_jinja_value value;
    struct tn_jinja_node *a, *b, *c, *d;
    struct tn_jinja_node *body, *other, *targets, *arguments, *next;
} tn_jinja_node;

/* What a block has printed, while its filters run. No template can say this name. */
#define TN_JINJA_CAPTURED "(captured)"

/* *out_body: the template's statements, possibly NULL. `text` must be UTF-8 and outlive the nodes. */
bool tn_jinja_parse(tn_jinja *j, const char *text, size_t size, tn_jinja_node **out_body);

/* Runs statements; output goes to j->out. */
bool tn_jinja_run(tn_jinja *j, const tn_jinja_node *body);
bool tn_jinja_evaluate(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out);

/* Evaluated arguments of a call, filter or test. */
enum { TN_JINJA_MAX_ARGUMENTS = 16 };
typedef struct tn_jinja_arguments {
    size_t num_positional, num_named;
    tn_jinja_value positional[TN_JINJA_MAX_ARGUMENTS];
    struct {
        const char *name;
        tn_jinja_value value;
    } named[TN_JINJA_MAX_ARGUMENTS];
} tn_jinja_arguments;
/* The argument at a place or by name, or NULL. */
const tn_jinja_value *tn_jinja_argument(const tn_jinja_arguments *arguments, size_t index, const char *name);

/* Each refuses a name it lacks (TN_UNSUPPORTED). */
bool tn_jinja_filter(tn_jinja *j, const char *name, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out);
bool tn_jinja_test(tn_jinja *j, const char *name, const tn_jinja_value *input, const tn_jinja_arguments *arguments, bool *out);
bool tn_jinja_call_method(tn_jinja *j, const char *name, const tn_jinja_value *self, const tn_jinja_arguments *arguments,
                          tn_jinja_value *out);
bool tn_jinja_has_method(const tn_jinja_value *self, const char *name);
bool tn_jinja_call_function(tn_jinja *j, const char *name, const tn_jinja_arguments *arguments, tn_jinja_value *out);
bool tn_jinja_has_function(const char *name);
/* value.name or value[name]: undefined if absent. */
bool tn_jinja_member(tn_jinja *j, const tn_jinja_value *value, const char *name, tn_jinja_value *out);
/* <, <=, >, >= of two numbers or two strings. */
bool tn_jinja_compare(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, int *out_order);
bool tn_jinja_add(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, tn_jinja_value *out); /* a + b */
bool tn_jinja_contains(tn_jinja *j, const tn_jinja_value *container, const tn_jinja_value *item, bool *out);

#endif
