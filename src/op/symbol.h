/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol.h: integers that are known only when a function runs: dimensions, counts, conditions.
 *
 * A tn_sym names a node of a tn_symbols table (one table a function). Nodes are leaves (a constant, a dimension of an input,
 * an element of a small host tensor) or expressions; equal nodes have equal names (hash-consed, in normal form: sums as
 * sorted multiples of products with a constant last, so that `a+b` and `b+a`, `(n·4)/4` and `n` are one node).
 * Node 0 is the constant 1: a zeroed guard or dimension means "always" and "one".
 *
 * Operands come before the nodes that use them, so one pass in order evaluates a table. The plan stores the node array as
 * it is; the runtime evaluates it into `int64_t values[num_nodes]`, and kernels read dimensions from there.
 *
 * Not locked. Out of memory: the functions return TN_SYM_INVALID, which every function accepts and passes on.
 */
#ifndef TN_OP_SYMBOL_H_
#define TN_OP_SYMBOL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

typedef uint32_t tn_sym;
#define TN_SYM_ONE     ((tn_sym)0)
#define TN_SYM_INVALID UINT32_MAX

typedef enum tn_sym_op {
    TN_SYM_CONST = 0,  /* value */
    TN_SYM_INPUT_DIM,  /* a: input index, b: axis */
    TN_SYM_HOST_VALUE, /* a: tensor index, b: element index; unknown until the step that makes the tensor has run */
    TN_SYM_ADD,
    TN_SYM_SUB,
    TN_SYM_MUL,
    TN_SYM_FLOOR_DIV, /* b ≠ 0, rounds towards −∞ */
    TN_SYM_CEIL_DIV,
    TN_SYM_MOD, /* sign of b */
    TN_SYM_MIN,
    TN_SYM_MAX,
    TN_SYM_EQUAL,  /* 0 or 1 */
    TN_SYM_LESS,   /* a < b */
    TN_SYM_SELECT, /* a ≠ 0 ? b : c */
    TN_NUM_SYM_OPS
} tn_sym_op;

typedef struct tn_sym_node {
    uint32_t op; /* tn_sym_op */
    uint32_t a, b, c;
    int64_t value; /* CONST */
} tn_sym_node;

typedef struct tn_symbols tn_symbols;
tn_symbols *tn_symbols_create(const tn_allocator *allocator); /* NULL: out of memory */
void tn_symbols_destroy(tn_symbols *symbols);
bool tn_symbols_out_of_memory(const tn_symbols *symbols); /* tells the two reasons of TN_SYM_INVALID apart; sticky */
const tn_sym_node *tn_symbols_nodes(const tn_symbols *symbols, size_t *out_count); /* valid until the next node is made */

tn_sym tn_sym_const(tn_symbols *symbols, int64_t value);
tn_sym tn_sym_input_dim(tn_symbols *symbols, uint32_t input, uint32_t axis);
tn_sym tn_sym_host_value(tn_symbols *symbols, uint32_t tensor, uint32_t index);
tn_sym tn_sym_binary(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b); /* folds constants; overflow gives TN_SYM_INVALID */
tn_sym tn_sym_select(tn_symbols *symbols, tn_sym condition, tn_sym if_true, tn_sym if_false);

/* The table as it is, to go back to; restoring cannot fail. Nodes made since are forgotten. */
typedef struct tn_symbols_saved {
    tn_sym *canonical; /* [num_nodes] */
    size_t num_nodes;
    bool out_of_memory;
} tn_symbols_saved;
bool tn_symbols_save(const tn_symbols *symbols, tn_symbols_saved *out_saved); /* false: out of memory */
void tn_symbols_restore(tn_symbols *symbols, const tn_symbols_saved *saved);
void tn_symbols_saved_deinit(const tn_symbols *symbols, tn_symbols_saved *saved);

/* Two leaves that the user named alike are one value from now on (`a` stands for both). */
void tn_sym_alias(tn_symbols *symbols, tn_sym a, tn_sym b);
/* The node that stands for `sym` after the aliases so far; equal values have equal ones wherever tn_sym_equal says YES. */
tn_sym tn_sym_canonical(const tn_symbols *symbols, tn_sym sym);

bool tn_sym_is_const(const tn_symbols *symbols, tn_sym sym, int64_t *out_value);
typedef enum tn_tri { TN_NO = 0, TN_YES = 1, TN_UNKNOWN = 2 } tn_tri;
/* YES: equal for all inputs; NO: for none (bounds apart or a constant difference). Passes fuse only on YES. */
tn_tri tn_sym_equal(const tn_symbols *symbols, tn_sym a, tn_sym b);

/* Interval arithmetic. leaf(user, node, out_min, out_max) bounds INPUT_DIM and HOST_VALUE leaves; false = unbounded. */
typedef bool (*tn_sym_leaf_bounds)(void *user, const tn_sym_node *node, int64_t *out_min, int64_t *out_max);
bool tn_sym_bounds(const tn_symbols *symbols, tn_sym sym, tn_sym_leaf_bounds leaf, void *user, int64_t *out_min, int64_t *out_max);

/* Evaluates the nodes in order into values; leaves by `leaf`, false = not known yet: the node and all that
 * depend on it get INT64_MIN ("unknown"); of a select only the side taken counts. Division by zero or overflow: TN_INVALID_DATA, reported with the expression. */
typedef bool (*tn_sym_leaf_value)(void *user, const tn_sym_node *node, int64_t *out_value);
#define TN_SYM_UNKNOWN INT64_MIN
TN_MUST_CHECK tn_status tn_sym_evaluate(const tn_sym_node *nodes, size_t count, tn_sym_leaf_value leaf, void *user, tn_diag *diag,
                                        int64_t *values);
/* Structure only: operands before users, operators known, constants folded or not. For the plan reader. */
bool tn_sym_nodes_are_valid(const tn_sym_node *nodes, size_t count, uint32_t num_inputs, uint32_t num_tensors);

/* "num_tokens * 3 + 1"; leaf names by callback (NULL: "input0.1"). Appends to a tn_text. */
struct tn_text;
void tn_sym_print(const tn_symbols *symbols, tn_sym sym, const char *(*leaf_name)(void *user, const tn_sym_node *node), void *user,
                  struct tn_text *out);

#endif
