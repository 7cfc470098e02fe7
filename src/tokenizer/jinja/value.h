/* SPDX-License-Identifier: Apache-2.0
 *
 * value.h: what a template computes with, and the interpreter's state. Values are plain structs; what they point to lies in
 * the state's arena and dies with it.
 *
 * Every byte of a string knows whether the template wrote it or a message brought it in (its mark: 0 or 1). Marks follow the
 * bytes through concatenation, slices and filters; where a filter mixes bytes beyond following, all its output is marked 1.
 *
 * Nothing a template does is without a limit: each step, byte of memory, byte of output and level of nesting is counted, and
 * whoever exceeds a limit fails the rendering. All functions return false after that; the reason is in the state.
 */
#ifndef TN_TOKENIZER_JINJA_VALUE_H_
#define TN_TOKENIZER_JINJA_VALUE_H_

#include "base/arena.h"
#include "base/report.h"

enum {
    TN_JINJA_MAX_STEPS = 4000000,
    TN_JINJA_MAX_DEPTH = 200,
    TN_JINJA_MAX_RANGE = 100000,
};
#define TN_JINJA_MAX_BYTES ((size_t)64 << 20) /* of memory, besides 8 times the input */

typedef enum tn_jinja_kind {
    TN_JINJA_UNDEFINED = 0,
    TN_JINJA_NONE,
    TN_JINJA_BOOL,
    TN_JINJA_INTEGER,
    TN_JINJA_FLOAT,
    TN_JINJA_STRING,
    TN_JINJA_LIST,
    TN_JINJA_DICT,
    TN_JINJA_NAMESPACE, /* a dict that {% set ns.x = … %} may change */
    TN_JINJA_LOOP,
    TN_JINJA_MACRO,
    TN_JINJA_FUNCTION, /* a global one, by name */
    TN_JINJA_METHOD,   /* bound to `self`, by name */
} tn_jinja_kind;

typedef struct tn_jinja_string {
    const char *data; /* UTF-8 */
    size_t size;
    const uint8_t *marks; /* [size]; NULL: all are `mark` */
    uint8_t mark;
    bool is_safe; /* came through the filter safe: text that it is joined with gets HTML's escapes, as in Jinja */
} tn_jinja_string;

typedef struct tn_jinja_value tn_jinja_value;
struct tn_jinja_node;
struct tn_jinja_frame;
typedef enum tn_jinja_sequence {
    TN_JINJA_PROPER = 0,
    TN_JINJA_TUPLE, /* prints with parentheses, equals no proper list */
    TN_JINJA_LAZY,  /* an iterator of Python, such as map gives: true even if it is empty */
} tn_jinja_sequence;
typedef struct tn_jinja_list {
    tn_jinja_value *items;
    size_t count, capacity;
    tn_jinja_sequence sequence;
} tn_jinja_list;
typedef struct tn_jinja_pair tn_jinja_pair;
typedef struct tn_jinja_dict {
    tn_jinja_pair *pairs; /* in the order of insertion */
    size_t count, capacity;
    tn_jinja_string text; /* data not NULL: how the caller wrote it; {{ }} and + give this (arguments of tool calls) */
} tn_jinja_dict;
typedef struct tn_jinja_loop {
    const tn_jinja_list *items;
    size_t index, depth;
} tn_jinja_loop;

typedef struct tn_jinja_closure {
    const struct tn_jinja_node *macro; /* or call block, whose body is `caller` */
    struct tn_jinja_frame *frame;      /* where it was defined */
} tn_jinja_closure;

struct tn_jinja_value {
    tn_jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        tn_jinja_string string;
        tn_jinja_list *list;
        tn_jinja_dict *dict; /* DICT, NAMESPACE */
        const tn_jinja_loop *loop;
        const tn_jinja_closure *closure; /* MACRO */
        struct {
            const char *name; /* FUNCTION, METHOD; of UNDEFINED the name looked for, or NULL */
            const tn_jinja_value *self;
        } named;
    };
};
struct tn_jinja_pair {
    tn_jinja_value key, value;
};

typedef struct tn_jinja_frame {
    struct tn_jinja_frame *outer;
    tn_jinja_dict variables;
} tn_jinja_frame;

/* A string under construction. */
typedef struct tn_jinja_builder {
    char *data;
    uint8_t *marks;
    size_t size, capacity;
} tn_jinja_builder;

typedef struct tn_jinja {
    tn_diag *diag;
    tn_arena arena;
    size_t max_bytes, num_steps;
    int depth;
    uint32_t line; /* of the node at work */
    tn_status status;
    tn_jinja_frame globals, *frame;
    tn_jinja_builder *out;
    bool has_now;
    int64_t now_unix_s;
} tn_jinja;

/* input_size: bytes of messages and template together, which the memory limit grows with. */
void tn_jinja_init(tn_jinja *j, const tn_allocator *allocator, tn_diag *diag, size_t input_size);
void tn_jinja_deinit(tn_jinja *j);

/* Reports "chat template, line N: …", once; returns false. */
bool tn_jinja_fail(tn_jinja *j, tn_status code, const char *format, ...) TN_PRINTF(3, 4);
bool tn_jinja_charge(tn_jinja *j, size_t num_steps);
void *tn_jinja_alloc(tn_jinja *j, size_t size_bytes); /* zeroed; NULL: failed */

bool tn_jinja_append(tn_jinja *j, tn_jinja_builder *builder, tn_jinja_string string);
bool tn_jinja_append_bytes(tn_jinja *j, tn_jinja_builder *builder, const char *bytes, size_t size, uint8_t mark);
tn_jinja_string tn_jinja_built(const tn_jinja_builder *builder); /* borrows the builder's memory */

tn_jinja_string tn_jinja_slice(tn_jinja_string string, size_t from, size_t to);
bool tn_jinja_has_input(tn_jinja_string string); /* any byte marked 1 */

static inline tn_jinja_value tn_jinja_of_string(tn_jinja_string string) {
    return (tn_jinja_value){.kind = TN_JINJA_STRING, .string = string};
}
static inline tn_jinja_value tn_jinja_of_integer(int64_t integer) {
    return (tn_jinja_value){.kind = TN_JINJA_INTEGER, .integer = integer};
}
static inline tn_jinja_value tn_jinja_of_bool(bool boolean) {
    return (tn_jinja_value){.kind = TN_JINJA_BOOL, .boolean = boolean};
}
/* A template's own string, with a NUL, borrowed. */
tn_jinja_value tn_jinja_of_text(const char *text);
bool tn_jinja_string_is(tn_jinja_string string, const char *text);

bool tn_jinja_list_create(tn_jinja *j, size_t capacity, tn_jinja_value *out);
bool tn_jinja_list_push(tn_jinja *j, tn_jinja_list *list, tn_jinja_value value);
bool tn_jinja_dict_create(tn_jinja *j, tn_jinja_value *out);
bool tn_jinja_dict_set(tn_jinja *j, tn_jinja_dict *dict, tn_jinja_value key, tn_jinja_value value);
/* NULL: absent, or failed (see status). */
const tn_jinja_value *tn_jinja_dict_find(tn_jinja *j, const tn_jinja_dict *dict, const tn_jinja_value *key);

bool tn_jinja_is_true(const tn_jinja_value *value);
bool tn_jinja_equal(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, bool *out_equal);
/* Appends as {{ }} prints it: Python's str(), or its repr() inside lists. */
bool tn_jinja_print(tn_jinja *j, tn_jinja_builder *builder, const tn_jinja_value *value, bool as_repr);
const char *tn_jinja_kind_name(const tn_jinja_value *value);
/* The items of what can be iterated over: a list, a dict's keys, a string's characters. */
bool tn_jinja_items(tn_jinja *j, const tn_jinja_value *value, const tn_jinja_list **out_items);

#endif
