/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol.c: the table of symbols: nodes found by their content, leaves, aliases, evaluation, printing.
 */
#include "op/symbol.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/text.h"
#include "op/symbol_table.h"
#include "tenon/dtype.h"

static uint64_t hash_node(const tn_sym_node *node) {
    const uint64_t words[3] = {(uint64_t)node->op << 32 | node->a, (uint64_t)node->b << 32 | node->c, (uint64_t)node->value};
    return tn_hash(words, sizeof words, 0);
}

static bool nodes_equal(const tn_sym_node *a, const tn_sym_node *b) {
    return a->op == b->op && a->a == b->a && a->b == b->b && a->c == b->c && a->value == b->value;
}

static void place_in_slots(tn_sym *slots, size_t num_slots, uint64_t hash, tn_sym sym) {
    size_t slot = (size_t)hash & (num_slots - 1);
    while (slots[slot] != 0) slot = (slot + 1) & (num_slots - 1);
    slots[slot] = sym + 1;
}

/* Keeps the hash table at most half full. */
static bool reserve_slots(tn_symbols *symbols) {
    if ((symbols->nodes.count + 1) * 2 <= symbols->num_slots) return true;
    size_t num_slots = symbols->num_slots == 0 ? 64 : symbols->num_slots * 2;
    tn_sym *slots = tn_alloc_array(symbols->allocator, num_slots, sizeof *slots);
    if (slots == NULL) return false;
    for (size_t i = 0; i < symbols->nodes.count; i++) place_in_slots(slots, num_slots, hash_node(&symbols->nodes.data[i]), (tn_sym)i);
    tn_free(symbols->allocator, symbols->slots);
    symbols->slots = slots;
    symbols->num_slots = num_slots;
    return true;
}

static tn_sym_interval bounds_of_node(const tn_symbols *symbols, const tn_sym_node *node) {
    static const tn_sym_interval unbounded = {INT64_MIN, INT64_MAX};
    switch ((tn_sym_op)node->op) {
    case TN_SYM_CONST: return (tn_sym_interval){node->value, node->value};
    case TN_SYM_INPUT_DIM: return (tn_sym_interval){0, INT64_MAX};
    case TN_SYM_HOST_VALUE: return unbounded;
    default: {
        const tn_sym_entry *entries = symbols->entries.data;
        tn_sym_interval c = node->op == TN_SYM_SELECT ? entries[node->c].bounds : unbounded;
        return tn_sym_interval_apply((tn_sym_op)node->op, entries[node->a].bounds, entries[node->b].bounds, c);
    }
    }
}

tn_sym tn_sym_intern(tn_symbols *symbols, tn_sym_node node, bool is_opaque) {
    uint64_t hash = hash_node(&node);
    if (symbols->num_slots > 0) {
        for (size_t slot = (size_t)hash & (symbols->num_slots - 1); symbols->slots[slot] != 0;
             slot = (slot + 1) & (symbols->num_slots - 1)) {
            tn_sym found = symbols->slots[slot] - 1;
            if (nodes_equal(&symbols->nodes.data[found], &node)) return found;
        }
    }
    if (symbols->nodes.count >= TN_SYM_INVALID - 1 || !reserve_slots(symbols) ||
        !tn_array_reserve(symbols->allocator, &symbols->nodes, 1) || !tn_array_reserve(symbols->allocator, &symbols->entries, 1)) {
        symbols->out_of_memory = true;
        return TN_SYM_INVALID;
    }
    tn_sym sym = (tn_sym)symbols->nodes.count;
    tn_sym_entry entry = {.bounds = bounds_of_node(symbols, &node), .canonical = sym, .is_opaque = is_opaque};
    symbols->nodes.data[symbols->nodes.count++] = node;
    symbols->entries.data[symbols->entries.count++] = entry;
    place_in_slots(symbols->slots, symbols->num_slots, hash, sym);
    return sym;
}

tn_sym tn_sym_resolve(const tn_symbols *symbols, tn_sym sym) {
    if (sym >= symbols->nodes.count) return TN_SYM_INVALID;
    while (symbols->entries.data[sym].canonical != sym) sym = symbols->entries.data[sym].canonical;
    return sym;
}

tn_symbols *tn_symbols_create(const tn_allocator *allocator) {
    tn_symbols *symbols = tn_alloc_zero(allocator, sizeof *symbols);
    if (symbols == NULL) return NULL;
    if (allocator != NULL) {
        symbols->allocator_copy = *allocator;
        symbols->allocator = &symbols->allocator_copy;
    }
    if (tn_sym_const(symbols, 1) != TN_SYM_ONE) {
        tn_symbols_destroy(symbols);
        return NULL;
    }
    return symbols;
}

void tn_symbols_destroy(tn_symbols *symbols) {
    if (symbols == NULL) return;
    tn_allocator allocator = symbols->allocator_copy;
    const tn_allocator *used = symbols->allocator != NULL ? &allocator : NULL;
    tn_array_deinit(used, &symbols->nodes);
    tn_array_deinit(used, &symbols->entries);
    tn_free(used, symbols->slots);
    tn_free(used, symbols);
}

bool tn_symbols_out_of_memory(const tn_symbols *symbols) {
    return symbols->out_of_memory;
}

const tn_sym_node *tn_symbols_nodes(const tn_symbols *symbols, size_t *out_count) {
    *out_count = symbols->nodes.count;
    return symbols->nodes.data;
}

tn_sym tn_sym_const(tn_symbols *symbols, int64_t value) {
    return tn_sym_intern(symbols, (tn_sym_node){.op = TN_SYM_CONST, .value = value}, false);
}

static tn_sym make_leaf(tn_symbols *symbols, tn_sym_op op, uint32_t a, uint32_t b) {
    tn_sym leaf = tn_sym_intern(symbols, (tn_sym_node){.op = (uint32_t)op, .a = a, .b = b}, false);
    return leaf == TN_SYM_INVALID ? leaf : tn_sym_resolve(symbols, leaf);
}

tn_sym tn_sym_input_dim(tn_symbols *symbols, uint32_t input, uint32_t axis) {
    return make_leaf(symbols, TN_SYM_INPUT_DIM, input, axis);
}

tn_sym tn_sym_host_value(tn_symbols *symbols, uint32_t tensor, uint32_t index) {
    return make_leaf(symbols, TN_SYM_HOST_VALUE, tensor, index);
}

tn_sym tn_sym_canonical(const tn_symbols *symbols, tn_sym sym) {
    return tn_sym_resolve(symbols, sym);
}

static bool is_leaf(const tn_sym_node *node) {
    return node->op == TN_SYM_INPUT_DIM || node->op == TN_SYM_HOST_VALUE;
}

/* The node again, from operands that stand for its own. */
static tn_sym rebuild(tn_symbols *symbols, const tn_sym_node *node) {
    tn_sym a = tn_sym_resolve(symbols, node->a), b = tn_sym_resolve(symbols, node->b);
    if (node->op == TN_SYM_SELECT) return tn_sym_select(symbols, a, b, tn_sym_resolve(symbols, node->c));
    return tn_sym_binary(symbols, (tn_sym_op)node->op, a, b);
}

bool tn_symbols_save(const tn_symbols *symbols, tn_symbols_saved *out_saved) {
    size_t count = symbols->nodes.count;
    *out_saved = (tn_symbols_saved){.num_nodes = count, .out_of_memory = symbols->out_of_memory};
    out_saved->canonical = tn_alloc_array(symbols->allocator, count, sizeof *out_saved->canonical);
    if (out_saved->canonical == NULL) return false;
    for (size_t i = 0; i < count; i++) out_saved->canonical[i] = symbols->entries.data[i].canonical;
    return true;
}

void tn_symbols_restore(tn_symbols *symbols, const tn_symbols_saved *saved) {
    symbols->nodes.count = symbols->entries.count = saved->num_nodes;
    symbols->out_of_memory = saved->out_of_memory;
    if (symbols->num_slots > 0) memset(symbols->slots, 0, symbols->num_slots * sizeof *symbols->slots);
    for (size_t i = 0; i < saved->num_nodes; i++) {
        symbols->entries.data[i].canonical = saved->canonical[i];
        place_in_slots(symbols->slots, symbols->num_slots, hash_node(&symbols->nodes.data[i]), (tn_sym)i);
    }
}

void tn_symbols_saved_deinit(const tn_symbols *symbols, tn_symbols_saved *saved) {
    tn_free(symbols->allocator, saved->canonical);
    *saved = (tn_symbols_saved){0};
}

void tn_sym_alias(tn_symbols *symbols, tn_sym a, tn_sym b) {
    a = tn_sym_resolve(symbols, a);
    b = tn_sym_resolve(symbols, b);
    if (a == TN_SYM_INVALID || b == TN_SYM_INVALID || a == b) return;
    if (!is_leaf(&symbols->nodes.data[b])) return; /* a constant or an expression stands for itself */
    symbols->entries.data[b].canonical = a;
    /* What was made before is made again; the new nodes are in terms of `a` already. */
    size_t count = symbols->nodes.count;
    for (size_t i = 0; i < count; i++) {
        tn_sym_node node = symbols->nodes.data[i];
        if (node.op == TN_SYM_CONST || is_leaf(&node) || symbols->entries.data[i].canonical != i) continue;
        tn_sym again = rebuild(symbols, &node);
        if (again != TN_SYM_INVALID) symbols->entries.data[i].canonical = again;
    }
}

bool tn_sym_is_const(const tn_symbols *symbols, tn_sym sym, int64_t *out_value) {
    sym = tn_sym_resolve(symbols, sym);
    if (sym == TN_SYM_INVALID || symbols->nodes.data[sym].op != TN_SYM_CONST) return false;
    if (out_value != NULL) *out_value = symbols->nodes.data[sym].value;
    return true;
}

tn_tri tn_sym_equal(const tn_symbols *symbols, tn_sym a, tn_sym b) {
    a = tn_sym_resolve(symbols, a);
    b = tn_sym_resolve(symbols, b);
    if (a == TN_SYM_INVALID || b == TN_SYM_INVALID) return TN_UNKNOWN;
    if (a == b) return TN_YES;
    tn_poly difference;
    if (tn_poly_difference(symbols, a, b, &difference) != TN_POLY_OK) return TN_UNKNOWN;
    if (difference.num_terms == 0) return difference.constant == 0 ? TN_YES : TN_NO;
    tn_sym_interval bounds = tn_poly_bounds(symbols, &difference);
    return bounds.min > 0 || bounds.max < 0 ? TN_NO : TN_UNKNOWN;
}

/* --- evaluation --------------------------------------------------------------------------------------------------- */

static tn_status fail_evaluation(const tn_sym_node *nodes, size_t index, const int64_t *values, tn_diag *diag) {
    static const char *const signs[TN_NUM_SYM_OPS] = {
        [TN_SYM_ADD] = "+", [TN_SYM_SUB] = "-",   [TN_SYM_MUL] = "*",   [TN_SYM_FLOOR_DIV] = "/", [TN_SYM_CEIL_DIV] = "ceil-divided by",
        [TN_SYM_MOD] = "%", [TN_SYM_MIN] = "min", [TN_SYM_MAX] = "max", [TN_SYM_EQUAL] = "==",    [TN_SYM_LESS] = "<",
    };
    const tn_sym_node *node = &nodes[index];
    int64_t a = values[node->a], b = values[node->b];
    bool is_division = node->op == TN_SYM_FLOOR_DIV || node->op == TN_SYM_CEIL_DIV || node->op == TN_SYM_MOD;
    return tn_fail(diag, TN_INVALID_DATA, "cannot compute a dimension: %" PRId64 " %s %" PRId64 " %s (symbol s%zu)", a, signs[node->op], b,
                   is_division && b == 0 ? "divides by zero" : "overflows", index);
}

tn_status tn_sym_evaluate(const tn_sym_node *nodes, size_t count, tn_sym_leaf_value leaf, void *user, tn_diag *diag, int64_t *values) {
    for (size_t i = 0; i < count; i++) {
        const tn_sym_node *node = &nodes[i];
        int64_t value = TN_SYM_UNKNOWN;
        if (node->op == TN_SYM_CONST) {
            value = node->value;
        } else if (is_leaf(node)) {
            if (leaf == NULL || !leaf(user, node, &value)) value = TN_SYM_UNKNOWN;
        } else if (node->op == TN_SYM_SELECT) {
            int64_t condition = values[node->a];
            if (condition != TN_SYM_UNKNOWN) value = condition != 0 ? values[node->b] : values[node->c];
        } else if (values[node->a] != TN_SYM_UNKNOWN && values[node->b] != TN_SYM_UNKNOWN) {
            if (!tn_sym_apply((tn_sym_op)node->op, values[node->a], values[node->b], 0, &value) || value == TN_SYM_UNKNOWN)
                return fail_evaluation(nodes, i, values, diag);
        }
        values[i] = value;
    }
    return TN_OK;
}

bool tn_sym_nodes_are_valid(const tn_sym_node *nodes, size_t count, uint32_t num_inputs, uint32_t num_tensors) {
    if (count == 0 || nodes[0].op != TN_SYM_CONST || nodes[0].value != 1) return false;
    for (size_t i = 0; i < count; i++) {
        const tn_sym_node *node = &nodes[i];
        switch (node->op) {
        case TN_SYM_CONST: break;
        case TN_SYM_INPUT_DIM:
            if (node->a >= num_inputs || node->b >= TN_MAX_RANK) return false;
            break;
        case TN_SYM_HOST_VALUE:
            if (node->a >= num_tensors) return false;
            break;
        case TN_SYM_SELECT:
            if (node->a >= i || node->b >= i || node->c >= i) return false;
            break;
        default:
            if (node->op >= TN_NUM_SYM_OPS || node->a >= i || node->b >= i) return false;
        }
    }
    return true;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

typedef const char *(*leaf_namer)(void *user, const tn_sym_node *node);

enum { MAX_PRINT_DEPTH = 64 };

typedef struct printer {
    const tn_symbols *symbols;
    leaf_namer leaf_name;
    void *user;
    tn_text *out;
} printer;

static void print_sym(const printer *p, tn_sym sym, int outer, int depth);

static void print_call(const printer *p, const char *name, const tn_sym *operands, int num_operands, int depth) {
    tn_text_append_format(p->out, "%s(", name);
    for (int i = 0; i < num_operands; i++) {
        if (i > 0) tn_text_append_string(p->out, ", ");
        print_sym(p, operands[i], 0, depth);
    }
    tn_text_append_char(p->out, ')');
}

static void print_infix(const printer *p, const tn_sym_node *node, const char *sign, int level, int outer, int depth) {
    if (level < outer) tn_text_append_char(p->out, '(');
    print_sym(p, node->a, level, depth);
    int64_t constant;
    if (node->op == TN_SYM_ADD && tn_sym_is_const(p->symbols, node->b, &constant) && constant < 0 && constant != INT64_MIN) {
        tn_text_append_format(p->out, " - %" PRId64, -constant);
    } else {
        tn_text_append_format(p->out, " %s ", sign);
        print_sym(p, node->b, level + 1, depth);
    }
    if (level < outer) tn_text_append_char(p->out, ')');
}

static void print_leaf(const printer *p, const tn_sym_node *node) {
    const char *name = p->leaf_name != NULL ? p->leaf_name(p->user, node) : NULL;
    if (name != NULL)
        tn_text_append_string(p->out, name);
    else
        tn_text_append_format(p->out, node->op == TN_SYM_INPUT_DIM ? "input%" PRIu32 ".%" PRIu32 : "value%" PRIu32 ".%" PRIu32, node->a,
                              node->b);
}

/* outer: precedence of the operator around; 1 comparison, 2 sum, 3 product. */
static void print_sym(const printer *p, tn_sym sym, int outer, int depth) {
    if (sym >= p->symbols->nodes.count || depth > MAX_PRINT_DEPTH) {
        tn_text_append_string(p->out, sym >= p->symbols->nodes.count ? "?" : "…");
        return;
    }
    const tn_sym_node *node = &p->symbols->nodes.data[sym];
    const tn_sym operands[3] = {node->a, node->b, node->c};
    depth++;
    switch ((tn_sym_op)node->op) {
    case TN_SYM_CONST: tn_text_append_format(p->out, "%" PRId64, node->value); break;
    case TN_SYM_INPUT_DIM:
    case TN_SYM_HOST_VALUE: print_leaf(p, node); break;
    case TN_SYM_EQUAL: print_infix(p, node, "==", 1, outer, depth); break;
    case TN_SYM_LESS: print_infix(p, node, "<", 1, outer, depth); break;
    case TN_SYM_ADD: print_infix(p, node, "+", 2, outer, depth); break;
    case TN_SYM_SUB: print_infix(p, node, "-", 2, outer, depth); break;
    case TN_SYM_MUL: print_infix(p, node, "*", 3, outer, depth); break;
    case TN_SYM_FLOOR_DIV: print_infix(p, node, "/", 3, outer, depth); break;
    case TN_SYM_MOD: print_infix(p, node, "%", 3, outer, depth); break;
    case TN_SYM_CEIL_DIV: print_call(p, "ceil_div", operands, 2, depth); break;
    case TN_SYM_MIN: print_call(p, "min", operands, 2, depth); break;
    case TN_SYM_MAX: print_call(p, "max", operands, 2, depth); break;
    case TN_SYM_SELECT: print_call(p, "select", operands, 3, depth); break;
    case TN_NUM_SYM_OPS: break;
    }
}

void tn_sym_print(const tn_symbols *symbols, tn_sym sym, const char *(*leaf_name)(void *user, const tn_sym_node *node), void *user,
                  struct tn_text *out) {
    printer p = {symbols, leaf_name, user, out};
    print_sym(&p, sym, 0, 0);
}
