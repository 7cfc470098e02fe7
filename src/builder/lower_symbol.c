/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_symbol.c: symbols of the network in the function's numbers, and bounds of those that are known late.
 */
#include "builder/lower.h"
#include "op/dtype.h"

static uint32_t push_node(lowering *l, tn_sym_node node, uint32_t bound) {
    tn_draft_function *f = l->function;
    uint32_t index = (uint32_t)f->symbols.count;
    if (tn_array_reserve(l->draft->allocator, &f->value_bounds, 1) && tn_array_push(l->draft->allocator, &f->symbols, node)) {
        f->value_bounds.data[f->value_bounds.count++] = bound;
        return index;
    }
    (void)lower_fail_memory(l);
    return 0;
}

static tn_sym_node node_at(const lowering *l, tn_sym sym) {
    size_t count;
    return tn_symbols_nodes(l->network->symbols, &count)[sym];
}

/* The largest value of a leaf that is known late, as a network symbol; INVALID: unknown. */
static tn_sym leaf_bound(lowering *l, const tn_sym_node *node) {
    if (node->a >= l->num_ids) { /* the number of a loop's round */
        return l->regions[node->a - l->num_ids].count;
    }
    const tn_tensor *tensor = l->tensors[node->a].tensor;
    if (tensor == NULL || tensor->producer == NULL || !tn_op_counts_output(tensor->producer->kind) || tensor->output_index != 1)
        return TN_SYM_INVALID;
    return lower_element_count(l, tensor->producer->inputs.data[tensor->producer->kind == TN_OP_NMS ? 1 : 0]);
}

static bool is_late_leaf(const lowering *l, const tn_sym_node *node) {
    if (node->op != TN_SYM_HOST_VALUE) return false;
    return node->a >= l->num_ids || l->tensors[node->a].tensor == NULL || !l->tensors[node->a].tensor->is_input;
}

static uint32_t make_leaf(lowering *l, tn_sym_node node) {
    uint32_t bound = 0;
    if (node.op == TN_SYM_INPUT_DIM) {
        node.a = l->tensors[l->network->inputs.data[node.a]->id].at[l->network->inputs.data[node.a]->place].id;
    } else {
        tn_sym largest = is_late_leaf(l, &node) ? lower_upper_bound(l, leaf_bound(l, &node)) : TN_SYM_INVALID;
        if (largest != TN_SYM_INVALID) bound = lower_symbol(l, largest);
        uint32_t tensor = 0;
        if (node.a >= l->num_ids)
            tensor = l->regions[node.a - l->num_ids].iteration;
        else if (!lower_host_value_tensor(l, node.a, &tensor))
            return 0;
        node.a = tensor;
    }
    return push_node(l, node, bound);
}

uint32_t lower_symbol(lowering *l, tn_sym sym) {
    if (l->status != TN_OK) return 0;
    sym = tn_sym_canonical(l->network->symbols, sym);
    if (sym == TN_SYM_INVALID) {
        if (tn_symbols_out_of_memory(l->network->symbols))
            (void)lower_fail_memory(l);
        else
            l->status = tn_fail(l->diag, TN_INTERNAL, "a dimension has no symbol");
        return 0;
    }
    while (l->symbols.count <= sym)
        if (!tn_array_push(l->draft->allocator, &l->symbols, 0u)) return lower_fail_memory(l), 0u;
    if (l->symbols.data[sym] != 0) return l->symbols.data[sym] - 1;
    tn_sym_node node = node_at(l, sym);
    uint32_t index;
    if (node.op == TN_SYM_INPUT_DIM || node.op == TN_SYM_HOST_VALUE) {
        index = make_leaf(l, node);
    } else {
        if (node.op != TN_SYM_CONST) {
            uint32_t a = lower_symbol(l, node.a), b = lower_symbol(l, node.b);
            node.c = node.op == TN_SYM_SELECT ? lower_symbol(l, node.c) : 0;
            node.a = a;
            node.b = b;
        }
        index = push_node(l, node, 0);
    }
    if (l->status != TN_OK) return 0;
    l->symbols.data[sym] = index + 1; /* a recursive call may have moved the array: not kept in a pointer */
    return index;
}

uint32_t lower_symbol_not_0(lowering *l, tn_sym sym) {
    uint32_t index = lower_symbol(l, sym);
    return index != 0 || l->status != TN_OK ? index : push_node(l, (tn_sym_node){.op = TN_SYM_CONST, .value = 1}, 0);
}

/* --- bounds ---------------------------------------------------------------------------------------------------------------- */

typedef struct bounds {
    tn_sym min, max; /* INVALID: none */
} bounds;

static bool is_late(const lowering *l, tn_sym sym) {
    tn_sym_node node = node_at(l, sym);
    if (node.op == TN_SYM_CONST || node.op == TN_SYM_INPUT_DIM) return false;
    if (node.op == TN_SYM_HOST_VALUE) return is_late_leaf(l, &node);
    return is_late(l, node.a) || is_late(l, node.b) || (node.op == TN_SYM_SELECT && is_late(l, node.c));
}

static bool is_not_negative(const lowering *l, tn_sym sym) {
    int64_t min, max;
    return sym != TN_SYM_INVALID && tn_sym_bounds(l->network->symbols, sym, NULL, NULL, &min, &max) && min >= 0;
}

static tn_sym apply(lowering *l, tn_sym_op op, tn_sym a, tn_sym b) {
    if (a == TN_SYM_INVALID || b == TN_SYM_INVALID) return TN_SYM_INVALID;
    return tn_sym_binary(l->network->symbols, op, a, b);
}

static bounds bounds_of(lowering *l, tn_sym sym);

static bounds bounds_of_product(lowering *l, const tn_sym_node *node) {
    tn_symbols *symbols = l->network->symbols;
    int64_t factor;
    bool a_const = tn_sym_is_const(symbols, node->a, &factor), b_const = !a_const && tn_sym_is_const(symbols, node->b, &factor);
    if (a_const || b_const) {
        tn_sym constant = a_const ? node->a : node->b;
        bounds x = bounds_of(l, a_const ? node->b : node->a);
        bounds scaled = {apply(l, TN_SYM_MUL, constant, x.min), apply(l, TN_SYM_MUL, constant, x.max)};
        return factor >= 0 ? scaled : (bounds){scaled.max, scaled.min};
    }
    bounds a = bounds_of(l, node->a), b = bounds_of(l, node->b);
    if (!is_not_negative(l, a.min) || !is_not_negative(l, b.min)) return (bounds){TN_SYM_INVALID, TN_SYM_INVALID};
    return (bounds){apply(l, TN_SYM_MUL, a.min, b.min), apply(l, TN_SYM_MUL, a.max, b.max)};
}

static bounds bounds_of_quotient(lowering *l, const tn_sym_node *node) {
    int64_t divisor;
    if (!tn_sym_is_const(l->network->symbols, node->b, &divisor) || divisor <= 0) return (bounds){TN_SYM_INVALID, TN_SYM_INVALID};
    bounds a = bounds_of(l, node->a);
    return (bounds){apply(l, (tn_sym_op)node->op, a.min, node->b), apply(l, (tn_sym_op)node->op, a.max, node->b)};
}

static bounds bounds_of_expression(lowering *l, const tn_sym_node *node) {
    tn_sym one = TN_SYM_ONE, zero = tn_sym_const(l->network->symbols, 0);
    if (node->op == TN_SYM_MUL) return bounds_of_product(l, node);
    if (node->op == TN_SYM_FLOOR_DIV || node->op == TN_SYM_CEIL_DIV) return bounds_of_quotient(l, node);
    if (node->op == TN_SYM_EQUAL || node->op == TN_SYM_LESS) return (bounds){zero, one};
    bounds a = bounds_of(l, node->a), b = bounds_of(l, node->b);
    switch ((tn_sym_op)node->op) {
    case TN_SYM_ADD:
    case TN_SYM_MIN:
    case TN_SYM_MAX: return (bounds){apply(l, (tn_sym_op)node->op, a.min, b.min), apply(l, (tn_sym_op)node->op, a.max, b.max)};
    case TN_SYM_SUB: return (bounds){apply(l, TN_SYM_SUB, a.min, b.max), apply(l, TN_SYM_SUB, a.max, b.min)};
    case TN_SYM_MOD: /* of a positive divisor */
        if (!is_not_negative(l, b.min)) return (bounds){TN_SYM_INVALID, TN_SYM_INVALID};
        return (bounds){zero, apply(l, TN_SYM_SUB, b.max, one)};
    case TN_SYM_SELECT: {
        bounds c = bounds_of(l, node->c);
        return (bounds){apply(l, TN_SYM_MIN, b.min, c.min), apply(l, TN_SYM_MAX, b.max, c.max)};
    }
    default: return (bounds){TN_SYM_INVALID, TN_SYM_INVALID};
    }
}

static bounds bounds_of(lowering *l, tn_sym sym) {
    sym = tn_sym_canonical(l->network->symbols, sym);
    if (sym == TN_SYM_INVALID) return (bounds){TN_SYM_INVALID, TN_SYM_INVALID};
    if (!is_late(l, sym)) return (bounds){sym, sym};
    tn_sym_node node = node_at(l, sym);
    if (node.op != TN_SYM_HOST_VALUE) return bounds_of_expression(l, &node);
    tn_sym largest = leaf_bound(l, &node);
    if (largest == TN_SYM_INVALID) return (bounds){TN_SYM_INVALID, TN_SYM_INVALID};
    return (bounds){tn_sym_const(l->network->symbols, 0), bounds_of(l, largest).max};
}

tn_sym lower_upper_bound(lowering *l, tn_sym sym) {
    return sym == TN_SYM_INVALID ? sym : bounds_of(l, sym).max;
}

/* --- sizes ------------------------------------------------------------------------------------------------------------------ */

tn_sym lower_element_count(lowering *l, const tn_tensor *tensor) {
    tn_sym count = TN_SYM_ONE;
    for (int i = 0; i < tensor->rank; i++) count = apply(l, TN_SYM_MUL, count, tensor->dims[i]);
    return count;
}

tn_sym lower_byte_count(lowering *l, tn_dtype dtype, const tn_sym *dims, int rank) {
    unsigned bits = tn_dtype_get_info(dtype)->bits;
    if (bits == 0 || bits % 8 != 0) return TN_SYM_INVALID;
    tn_sym count = tn_sym_const(l->network->symbols, bits / 8);
    for (int i = 0; i < rank; i++) count = apply(l, TN_SYM_MUL, count, dims[i]);
    return count;
}
