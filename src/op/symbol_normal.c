/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol_normal.c: the normal form of expressions. Operands come in as nodes, are opened into sums of monomials on the stack,
 * combined, and written back as nodes in one fixed order, so that equal values have one name.
 */
#include <string.h>

#include "base/checked.h"
#include "op/symbol_table.h"

/* --- sums of monomials ------------------------------------------------------------------------------------------------ */

static int compare_factors(const tn_poly_term *a, const tn_poly_term *b) {
    for (uint32_t i = 0; i < a->num_factors && i < b->num_factors; i++)
        if (a->factors[i] != b->factors[i]) return a->factors[i] < b->factors[i] ? -1 : 1;
    return a->num_factors == b->num_factors ? 0 : a->num_factors < b->num_factors ? -1 : 1;
}

static tn_poly_result add_term(tn_poly *poly, const tn_poly_term *term) {
    if (term->coefficient == 0) return TN_POLY_OK;
    if (term->num_factors == 0) return tn_add_i64(poly->constant, term->coefficient, &poly->constant) ? TN_POLY_OK : TN_POLY_OVERFLOW;
    uint32_t at = 0;
    while (at < poly->num_terms && compare_factors(&poly->terms[at], term) < 0) at++;
    if (at < poly->num_terms && compare_factors(&poly->terms[at], term) == 0) {
        if (!tn_add_i64(poly->terms[at].coefficient, term->coefficient, &poly->terms[at].coefficient)) return TN_POLY_OVERFLOW;
        if (poly->terms[at].coefficient == 0) {
            poly->num_terms--;
            memmove(&poly->terms[at], &poly->terms[at + 1], (poly->num_terms - at) * sizeof *poly->terms);
        }
        return TN_POLY_OK;
    }
    if (poly->num_terms == TN_POLY_MAX_TERMS) return TN_POLY_TOO_LARGE;
    memmove(&poly->terms[at + 1], &poly->terms[at], (poly->num_terms - at) * sizeof *poly->terms);
    poly->terms[at] = *term;
    poly->num_terms++;
    return TN_POLY_OK;
}

static bool is_opaque(const tn_symbols *symbols, tn_sym sym) {
    return symbols->entries.data[sym].is_opaque;
}

static bool add_factor(tn_poly_term *term, tn_sym atom) {
    if (term->num_factors == TN_POLY_MAX_FACTORS) return false;
    uint32_t at = term->num_factors++;
    for (; at > 0 && term->factors[at - 1] > atom; at--) term->factors[at] = term->factors[at - 1];
    term->factors[at] = atom;
    return true;
}

/* A monomial in normal form: MUL(MUL(atom, atom), constant), or less of it. */
static tn_poly_result open_monomial(const tn_symbols *symbols, tn_sym sym, int64_t factor, tn_poly_term *out) {
    *out = (tn_poly_term){.coefficient = factor};
    const tn_sym_node *nodes = symbols->nodes.data;
    for (;;) {
        const tn_sym_node *node = &nodes[sym];
        bool is_product = node->op == TN_SYM_MUL && !is_opaque(symbols, sym);
        tn_sym last = is_product ? node->b : sym;
        if (nodes[last].op == TN_SYM_CONST) {
            if (!tn_mul_i64(out->coefficient, nodes[last].value, &out->coefficient)) return TN_POLY_OVERFLOW;
        } else if (!add_factor(out, last)) {
            return TN_POLY_TOO_LARGE;
        }
        if (!is_product) return TN_POLY_OK;
        sym = node->a;
    }
}

tn_poly_result tn_poly_add_sym(const tn_symbols *symbols, tn_poly *poly, tn_sym sym, int64_t factor) {
    for (;;) {
        const tn_sym_node *node = &symbols->nodes.data[sym];
        bool is_sum = node->op == TN_SYM_ADD && !is_opaque(symbols, sym);
        tn_poly_term term;
        tn_poly_result result = open_monomial(symbols, is_sum ? node->b : sym, factor, &term);
        if (result == TN_POLY_OK) result = add_term(poly, &term);
        if (result != TN_POLY_OK || !is_sum) return result;
        sym = node->a;
    }
}

tn_poly_result tn_poly_difference(const tn_symbols *symbols, tn_sym a, tn_sym b, tn_poly *out) {
    out->constant = 0;
    out->num_terms = 0;
    tn_poly_result result = tn_poly_add_sym(symbols, out, a, 1);
    return result == TN_POLY_OK ? tn_poly_add_sym(symbols, out, b, -1) : result;
}

static tn_poly_result open_sym(const tn_symbols *symbols, tn_sym sym, tn_poly *out) {
    out->constant = 0;
    out->num_terms = 0;
    return tn_poly_add_sym(symbols, out, sym, 1);
}

static tn_poly_result multiply_terms(const tn_poly_term *a, const tn_poly_term *b, tn_poly_term *out) {
    *out = *a;
    if (!tn_mul_i64(a->coefficient, b->coefficient, &out->coefficient)) return TN_POLY_OVERFLOW;
    for (uint32_t i = 0; i < b->num_factors; i++)
        if (!add_factor(out, b->factors[i])) return TN_POLY_TOO_LARGE;
    return TN_POLY_OK;
}

static tn_poly_term constant_term(int64_t value) {
    return (tn_poly_term){.coefficient = value};
}

static tn_poly_result multiply(const tn_poly *a, const tn_poly *b, tn_poly *out) {
    out->constant = 0;
    out->num_terms = 0;
    for (uint32_t i = 0; i <= a->num_terms; i++) {
        tn_poly_term left = i < a->num_terms ? a->terms[i] : constant_term(a->constant);
        for (uint32_t j = 0; j <= b->num_terms; j++) {
            tn_poly_term right = j < b->num_terms ? b->terms[j] : constant_term(b->constant), product;
            if (left.coefficient == 0 || right.coefficient == 0) continue;
            tn_poly_result result = multiply_terms(&left, &right, &product);
            if (result == TN_POLY_OK) result = add_term(out, &product);
            if (result != TN_POLY_OK) return result;
        }
    }
    return TN_POLY_OK;
}

/* --- back to nodes ---------------------------------------------------------------------------------------------------- */

static tn_sym make_node(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    if (a == TN_SYM_INVALID || b == TN_SYM_INVALID) return TN_SYM_INVALID;
    return tn_sym_intern(symbols, (tn_sym_node){.op = (uint32_t)op, .a = a, .b = b}, false);
}

static tn_sym make_monomial(tn_symbols *symbols, const tn_poly_term *term) {
    tn_sym product = term->factors[0];
    for (uint32_t i = 1; i < term->num_factors; i++) product = make_node(symbols, TN_SYM_MUL, product, term->factors[i]);
    if (term->coefficient == 1) return product;
    return make_node(symbols, TN_SYM_MUL, product, tn_sym_const(symbols, term->coefficient));
}

static tn_sym make_sum(tn_symbols *symbols, const tn_poly *poly) {
    if (poly->num_terms == 0) return tn_sym_const(symbols, poly->constant);
    tn_sym sum = make_monomial(symbols, &poly->terms[0]);
    for (uint32_t i = 1; i < poly->num_terms; i++) sum = make_node(symbols, TN_SYM_ADD, sum, make_monomial(symbols, &poly->terms[i]));
    return poly->constant == 0 ? sum : make_node(symbols, TN_SYM_ADD, sum, tn_sym_const(symbols, poly->constant));
}

/* A sum or product that the normal form cannot carry: its operands in order of their names, and never opened again. */
static tn_sym make_opaque(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    bool swap = op != TN_SYM_SUB && a > b;
    return tn_sym_intern(symbols, (tn_sym_node){.op = (uint32_t)op, .a = swap ? b : a, .b = swap ? a : b}, true);
}

static tn_sym combine_sum(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    tn_poly sum;
    tn_poly_result result = open_sym(symbols, a, &sum);
    if (result == TN_POLY_OK) result = tn_poly_add_sym(symbols, &sum, b, op == TN_SYM_SUB ? -1 : 1);
    if (result == TN_POLY_OVERFLOW) return TN_SYM_INVALID;
    return result == TN_POLY_OK ? make_sum(symbols, &sum) : make_opaque(symbols, op, a, b);
}

static tn_sym combine_product(tn_symbols *symbols, tn_sym a, tn_sym b) {
    tn_poly left, right, product;
    tn_poly_result result = open_sym(symbols, a, &left);
    if (result == TN_POLY_OK) result = open_sym(symbols, b, &right);
    if (result == TN_POLY_OK) result = multiply(&left, &right, &product);
    if (result == TN_POLY_OVERFLOW) return TN_SYM_INVALID;
    return result == TN_POLY_OK ? make_sum(symbols, &product) : make_opaque(symbols, TN_SYM_MUL, a, b);
}

/* --- division ----------------------------------------------------------------------------------------------------------- */

static int64_t greatest_divisor(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest < 0 ? -rest : rest;
    }
    return a;
}

/* term / divisor without a rest, both monomials. */
static bool divide_term(const tn_poly_term *term, const tn_poly_term *divisor, tn_poly_term *out) {
    if (divisor->coefficient == 0 || (divisor->coefficient == -1 && term->coefficient == INT64_MIN)) return false;
    if (term->coefficient % divisor->coefficient != 0) return false;
    *out = (tn_poly_term){.coefficient = term->coefficient / divisor->coefficient};
    uint32_t j = 0;
    for (uint32_t i = 0; i < term->num_factors; i++) {
        if (j < divisor->num_factors && term->factors[i] == divisor->factors[j])
            j++;
        else
            out->factors[out->num_factors++] = term->factors[i];
    }
    return j == divisor->num_factors;
}

/* Splits poly into quotient · divisor + rest, term by term. False on overflow. */
static bool split_by_term(const tn_poly *poly, const tn_poly_term *divisor, tn_poly *quotient, tn_poly *rest) {
    quotient->constant = rest->constant = 0;
    quotient->num_terms = rest->num_terms = 0;
    for (uint32_t i = 0; i <= poly->num_terms; i++) {
        tn_poly_term term = i < poly->num_terms ? poly->terms[i] : constant_term(poly->constant), part;
        if (term.coefficient == 0) continue;
        tn_poly_result result = divide_term(&term, divisor, &part) ? add_term(quotient, &part) : add_term(rest, &term);
        if (result != TN_POLY_OK) return false;
    }
    return true;
}

/* a = k · b for a constant k. */
static bool is_multiple(const tn_poly *a, const tn_poly *b, int64_t *out_k) {
    if (b->num_terms == 0 || a->num_terms != b->num_terms) return false;
    tn_poly_term ratio;
    if (!divide_term(&a->terms[0], &b->terms[0], &ratio) || ratio.num_factors > 0) return false;
    for (uint32_t i = 0; i <= a->num_terms; i++) {
        tn_poly_term left = i < a->num_terms ? a->terms[i] : constant_term(a->constant);
        tn_poly_term right = i < a->num_terms ? b->terms[i] : constant_term(b->constant);
        int64_t expected;
        if (compare_factors(&left, &right) != 0 || !tn_mul_i64(right.coefficient, ratio.coefficient, &expected) ||
            expected != left.coefficient)
            return false;
    }
    *out_k = ratio.coefficient;
    return true;
}

/* rest / c by a constant c > 0 with the common divisor taken out, and ⌊⌊x/a⌋/b⌋ = ⌊x/(a·b)⌋. */
static tn_sym make_reduced_division(tn_symbols *symbols, tn_sym_op op, tn_poly *rest, int64_t c) {
    int64_t common = c;
    for (uint32_t i = 0; i < rest->num_terms; i++) common = greatest_divisor(rest->terms[i].coefficient, common);
    if (!tn_sym_apply(op, rest->constant, common, 0, &rest->constant)) return TN_SYM_INVALID;
    for (uint32_t i = 0; i < rest->num_terms; i++) rest->terms[i].coefficient /= common;
    c /= common;
    /* The constant's own whole part comes out too. */
    int64_t whole;
    if (!tn_sym_apply(op, rest->constant, c, 0, &whole)) return TN_SYM_INVALID;
    rest->constant -= whole * c;
    if (rest->num_terms == 0) return tn_sym_const(symbols, whole);
    tn_sym dividend = make_sum(symbols, rest);
    if (dividend == TN_SYM_INVALID) return TN_SYM_INVALID;
    const tn_sym_node node = symbols->nodes.data[dividend];
    int64_t inner;
    if (node.op == (uint32_t)op && tn_sym_is_const(symbols, node.b, &inner) && inner > 0 && tn_mul_i64(inner, c, &c)) dividend = node.a;
    tn_sym quotient = c == 1 ? dividend : make_node(symbols, op, dividend, tn_sym_const(symbols, c));
    return whole == 0 ? quotient : tn_sym_binary(symbols, TN_SYM_ADD, quotient, tn_sym_const(symbols, whole));
}

static tn_sym combine_division(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    tn_poly dividend, divisor, quotient, rest;
    int64_t constant;
    if (open_sym(symbols, a, &dividend) != TN_POLY_OK || open_sym(symbols, b, &divisor) != TN_POLY_OK) return make_node(symbols, op, a, b);
    if (is_multiple(&dividend, &divisor, &constant)) return tn_sym_const(symbols, constant);
    bool is_const = divisor.num_terms == 0;
    bool is_monomial = is_const || (divisor.num_terms == 1 && divisor.constant == 0);
    tn_poly_term by = is_const ? constant_term(divisor.constant) : divisor.terms[0];
    if (!is_monomial || by.coefficient == 0 || !split_by_term(&dividend, &by, &quotient, &rest)) return make_node(symbols, op, a, b);
    tn_sym rest_quotient;
    if (rest.num_terms == 0 && rest.constant == 0) {
        rest_quotient = tn_sym_const(symbols, 0);
    } else if (is_const && by.coefficient > 0) {
        rest_quotient = make_reduced_division(symbols, op, &rest, by.coefficient);
    } else {
        rest_quotient = make_node(symbols, op, make_sum(symbols, &rest), b);
    }
    return tn_sym_binary(symbols, TN_SYM_ADD, make_sum(symbols, &quotient), rest_quotient);
}

static tn_sym combine_mod(tn_symbols *symbols, tn_sym a, tn_sym b) {
    tn_poly dividend, divisor, quotient, rest;
    int64_t constant;
    if (open_sym(symbols, a, &dividend) != TN_POLY_OK || open_sym(symbols, b, &divisor) != TN_POLY_OK)
        return make_node(symbols, TN_SYM_MOD, a, b);
    if (is_multiple(&dividend, &divisor, &constant)) return tn_sym_const(symbols, 0);
    bool is_const = divisor.num_terms == 0;
    bool is_monomial = is_const || (divisor.num_terms == 1 && divisor.constant == 0);
    tn_poly_term by = is_const ? constant_term(divisor.constant) : divisor.terms[0];
    if (!is_monomial || by.coefficient == 0 || !split_by_term(&dividend, &by, &quotient, &rest))
        return make_node(symbols, TN_SYM_MOD, a, b);
    if (is_const) { /* coefficients count modulo the divisor too */
        tn_poly reduced = {0};
        for (uint32_t i = 0; i <= rest.num_terms; i++) {
            tn_poly_term term = i < rest.num_terms ? rest.terms[i] : constant_term(rest.constant);
            if (!tn_sym_apply(TN_SYM_MOD, term.coefficient, by.coefficient, 0, &term.coefficient)) return TN_SYM_INVALID;
            if (add_term(&reduced, &term) != TN_POLY_OK) return TN_SYM_INVALID;
        }
        rest = reduced;
    }
    if (rest.num_terms == 0 && (is_const || rest.constant == 0)) return tn_sym_const(symbols, rest.constant);
    return make_node(symbols, TN_SYM_MOD, make_sum(symbols, &rest), b);
}

/* --- the other operators ------------------------------------------------------------------------------------------------ */

/* a − b where that is a constant. */
static bool constant_difference(const tn_symbols *symbols, tn_sym a, tn_sym b, int64_t *out) {
    tn_poly difference;
    if (tn_poly_difference(symbols, a, b, &difference) != TN_POLY_OK || difference.num_terms > 0) return false;
    *out = difference.constant;
    return true;
}

enum { MAX_FLATTENED = 32 };

/* min and max: operands of nested ones in one sorted list, without those that another one decides. */
static tn_sym combine_extreme(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    tn_sym operands[MAX_FLATTENED], pending[MAX_FLATTENED] = {a, b};
    uint32_t count = 0, num_pending = 2;
    while (num_pending > 0) {
        tn_sym sym = pending[--num_pending];
        const tn_sym_node node = symbols->nodes.data[sym];
        if (node.op == (uint32_t)op && num_pending + 2 + count < MAX_FLATTENED) {
            pending[num_pending++] = node.a;
            pending[num_pending++] = node.b;
            continue;
        }
        bool is_decided = false;
        for (uint32_t i = 0; i < count && !is_decided; i++) {
            int64_t difference;
            if (!constant_difference(symbols, sym, operands[i], &difference)) continue;
            if ((op == TN_SYM_MIN) == (difference < 0)) operands[i] = sym;
            is_decided = true;
        }
        if (!is_decided) operands[count++] = sym;
    }
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && operands[j - 1] > operands[j]; j--) {
            tn_sym swapped = operands[j];
            operands[j] = operands[j - 1];
            operands[j - 1] = swapped;
        }
    tn_sym result = operands[0];
    for (uint32_t i = 1; i < count; i++) result = make_node(symbols, op, result, operands[i]);
    return result;
}

static tn_sym combine_comparison(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    int64_t difference;
    if (constant_difference(symbols, a, b, &difference))
        return tn_sym_const(symbols, op == TN_SYM_EQUAL ? difference == 0 : difference < 0);
    if (op == TN_SYM_EQUAL && a > b) return make_node(symbols, op, b, a);
    return make_node(symbols, op, a, b);
}

tn_sym tn_sym_binary(tn_symbols *symbols, tn_sym_op op, tn_sym a, tn_sym b) {
    a = tn_sym_resolve(symbols, a);
    b = tn_sym_resolve(symbols, b);
    if (a == TN_SYM_INVALID || b == TN_SYM_INVALID) return TN_SYM_INVALID;
    int64_t left, right, value;
    if (tn_sym_is_const(symbols, a, &left) && tn_sym_is_const(symbols, b, &right))
        return tn_sym_apply(op, left, right, 0, &value) ? tn_sym_const(symbols, value) : TN_SYM_INVALID;
    switch (op) {
    case TN_SYM_ADD:
    case TN_SYM_SUB: return combine_sum(symbols, op, a, b);
    case TN_SYM_MUL: return combine_product(symbols, a, b);
    case TN_SYM_FLOOR_DIV:
    case TN_SYM_CEIL_DIV: return combine_division(symbols, op, a, b);
    case TN_SYM_MOD: return combine_mod(symbols, a, b);
    case TN_SYM_MIN:
    case TN_SYM_MAX: return combine_extreme(symbols, op, a, b);
    case TN_SYM_EQUAL:
    case TN_SYM_LESS: return combine_comparison(symbols, op, a, b);
    default: return TN_SYM_INVALID;
    }
}

tn_sym tn_sym_select(tn_symbols *symbols, tn_sym condition, tn_sym if_true, tn_sym if_false) {
    condition = tn_sym_resolve(symbols, condition);
    if_true = tn_sym_resolve(symbols, if_true);
    if_false = tn_sym_resolve(symbols, if_false);
    if (condition == TN_SYM_INVALID || if_true == TN_SYM_INVALID || if_false == TN_SYM_INVALID) return TN_SYM_INVALID;
    int64_t value;
    if (tn_sym_is_const(symbols, condition, &value)) return value != 0 ? if_true : if_false;
    if (if_true == if_false) return if_true;
    return tn_sym_intern(symbols, (tn_sym_node){.op = TN_SYM_SELECT, .a = condition, .b = if_true, .c = if_false}, false);
}
