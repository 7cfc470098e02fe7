/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol_table.h: inside of the symbol table, shared by symbol.c (the table), symbol_normal.c (the normal form) and
 * symbol_bounds.c (intervals).
 *
 * Normal form of a node is what tn_sym_binary gives; a chain ADD(ADD(m, m), c) of monomials m = MUL(MUL(atom, atom), c), atoms
 * sorted by id, monomials sorted, the constant last. An atom is a leaf, an operator other than + − ×, or an *opaque* sum or
 * product: one that has more terms than the normal form carries.
 */
#ifndef TN_OP_SYMBOL_TABLE_H_
#define TN_OP_SYMBOL_TABLE_H_

#include "base/memory.h"
#include "op/symbol.h"

typedef struct tn_sym_interval {
    int64_t min, max; /* INT64_MIN, INT64_MAX: unbounded */
} tn_sym_interval;

/* What the table knows of a node beside the node itself. */
typedef struct tn_sym_entry {
    tn_sym_interval bounds; /* for all inputs: dimensions are ≥ 0 */
    tn_sym canonical;       /* the node that stands for this one since tn_sym_alias; itself else */
    bool is_opaque;
} tn_sym_entry;

struct tn_symbols {
    const tn_allocator *allocator;
    tn_allocator allocator_copy;
    TN_ARRAY(tn_sym_node) nodes;
    TN_ARRAY(tn_sym_entry) entries;
    tn_sym *slots; /* hash table: node + 1, 0 = free */
    size_t num_slots;
    bool out_of_memory; /* sticky */
};

/* Adds the node or finds the equal one. TN_SYM_INVALID when out of memory. */
tn_sym tn_sym_intern(tn_symbols *symbols, tn_sym_node node, bool is_opaque);
/* The node that stands for `sym`; TN_SYM_INVALID for what is no node. */
tn_sym tn_sym_resolve(const tn_symbols *symbols, tn_sym sym);

/* One operator on intervals; never fails, unbounded where it cannot say. */
tn_sym_interval tn_sym_interval_apply(tn_sym_op op, tn_sym_interval a, tn_sym_interval b, tn_sym_interval c);
/* One operator on values. False: division by zero or overflow. */
bool tn_sym_apply(tn_sym_op op, int64_t a, int64_t b, int64_t c, int64_t *out);

/* A sum of monomials on the stack. Sorted, no zero coefficient. */
enum { TN_POLY_MAX_TERMS = 64, TN_POLY_MAX_FACTORS = 8 };
typedef struct tn_poly_term {
    int64_t coefficient;
    uint32_t num_factors;
    tn_sym factors[TN_POLY_MAX_FACTORS]; /* ascending */
} tn_poly_term;
typedef struct tn_poly {
    int64_t constant;
    uint32_t num_terms;
    tn_poly_term terms[TN_POLY_MAX_TERMS];
} tn_poly;

typedef enum tn_poly_result { TN_POLY_OK = 0, TN_POLY_TOO_LARGE, TN_POLY_OVERFLOW } tn_poly_result;
/* poly += factor · sym. */
tn_poly_result tn_poly_add_sym(const tn_symbols *symbols, tn_poly *poly, tn_sym sym, int64_t factor);
/* out = a − b, as far as the form carries it. */
tn_poly_result tn_poly_difference(const tn_symbols *symbols, tn_sym a, tn_sym b, tn_poly *out);
tn_sym_interval tn_poly_bounds(const tn_symbols *symbols, const tn_poly *poly);

#endif
