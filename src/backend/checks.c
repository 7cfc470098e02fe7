/* SPDX-License-Identifier: Apache-2.0
 *
 * checks.c: see checks.h.
 */
#include "backend/checks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "op/layout.h"

bool tn_refuse(char *reason, size_t reason_size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (reason_size > 0) (void)vsnprintf(reason, reason_size, format, arguments);
    va_end(arguments);
    return false;
}

bool tn_check_complete(const tn_problem *problem, uint32_t optional, bool has_epilogues, char *reason, size_t reason_size) {
    for (uint32_t i = 0; i < problem->num_operands; i++)
        if (problem->operands[i].absent && (i >= problem->num_inputs || (optional >> i & 1u) == 0))
            return tn_refuse(reason, reason_size, "operand %u is absent", i);
    return has_epilogues || problem->num_epilogues == 0 || tn_refuse(reason, reason_size, "no epilogues");
}

static bool is_plain(const tn_problem *problem, uint32_t i, tn_dtype dtype, char *reason, size_t reason_size) {
    const tn_operand *operand = &problem->operands[i];
    if (operand->absent) return true;
    if (operand->dtype != dtype)
        return tn_refuse(reason, reason_size, "%s operands only, operand %u is %s", tn_dtype_name(dtype), i, tn_dtype_name(operand->dtype));
    if (operand->role != TN_ROLE_WEIGHT) return true;
    if (operand->encoding.kind != TN_ENCODING_PLAIN || operand->encoding.storage != dtype)
        return tn_refuse(reason, reason_size, "weights stored as %s only", tn_dtype_name(dtype));
    if (operand->layout != NULL && strcmp(operand->layout, TN_LAYOUT_PLAIN) != 0)
        return tn_refuse(reason, reason_size, "weights in the plain layout only");
    return true;
}

bool tn_check_plain_f32(const tn_problem *problem, uint32_t operand, char *reason, size_t reason_size) {
    return is_plain(problem, operand, TN_FLOAT32, reason, reason_size);
}

bool tn_check_all_are(const tn_problem *problem, tn_dtype dtype, char *reason, size_t reason_size) {
    for (uint32_t i = 0; i < problem->num_operands; i++)
        if (!is_plain(problem, i, dtype, reason, reason_size)) return false;
    return true;
}

/* --- sets of types ----------------------------------------------------------------------------------------------------------- */

bool tn_check_type(const tn_problem *problem, uint32_t operand, uint32_t dtypes, char *reason, size_t reason_size) {
    const tn_operand *o = &problem->operands[operand];
    if (o->absent) return true;
    if (o->role == TN_ROLE_STATE) return tn_refuse(reason, reason_size, "no states");
    if (o->dtype >= TN_NUM_DTYPES || (dtypes >> o->dtype & 1u) == 0)
        return tn_refuse(reason, reason_size, "operand %u cannot be %s", operand, tn_dtype_get_info(o->dtype)->name);
    return is_plain(problem, operand, o->dtype, reason, reason_size);
}

bool tn_check_types(const tn_problem *problem, uint32_t optional, uint32_t dtypes, char *reason, size_t reason_size) {
    if (!tn_check_complete(problem, optional, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++)
        if (!tn_check_type(problem, i, dtypes, reason, reason_size)) return false;
    return true;
}

static bool are_of(const tn_problem *problem, tn_dtype dtype, uint32_t first, char *reason, size_t reason_size) {
    for (uint32_t i = first; i < problem->num_operands; i++)
        if (!problem->operands[i].absent && problem->operands[i].dtype != dtype)
            return tn_refuse(reason, reason_size, "operands of one type only");
    return true;
}

bool tn_check_equal_types(const tn_problem *problem, uint32_t optional, uint32_t dtypes, char *reason, size_t reason_size) {
    return tn_check_types(problem, optional, dtypes, reason, reason_size) &&
           are_of(problem, problem->operands[0].dtype, 0, reason, reason_size);
}

bool tn_check_moves(const tn_problem *problem, uint32_t indices, uint32_t dtypes, uint32_t optional, char *reason, size_t reason_size) {
    tn_dtype dtype = problem->operands[problem->num_inputs].dtype;
    if (!tn_check_complete(problem, optional, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        bool is_index = i < problem->num_inputs && (indices >> i & 1) != 0;
        if (!tn_check_type(problem, i, is_index ? TN_DTYPES_INDICES : dtypes, reason, reason_size)) return false;
        if (!problem->operands[i].absent && !is_index && problem->operands[i].dtype != dtype)
            return tn_refuse(reason, reason_size, "values of one type only");
    }
    return true;
}

static bool result_is(const tn_problem *problem, tn_dtype dtype, char *reason, size_t reason_size) {
    return problem->operands[problem->num_inputs].dtype == dtype ||
           tn_refuse(reason, reason_size, "the result is %s here", tn_dtype_name(dtype));
}

bool tn_check_unary(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size) {
    int op = ((const tn_unary_params *)problem->params)->op;
    tn_dtype dtype = problem->operands[0].dtype;
    bool tests = op == TN_UNARY_ISINF || op == TN_UNARY_ISNAN, is_integer = tn_dtype_get_info(dtype)->is_integer;
    bool of_integers = op == TN_UNARY_ABS || op == TN_UNARY_NEG || op == TN_UNARY_SIGN || op == TN_UNARY_FLOOR || op == TN_UNARY_CEIL ||
                       op == TN_UNARY_ROUND;
    if (!tn_check_types(problem, 0, dtypes | TN_DTYPE_BIT(TN_BOOL), reason, reason_size)) return false;
    if ((dtype == TN_BOOL) != (op == TN_UNARY_NOT)) return tn_refuse(reason, reason_size, "not of bools, and nothing else of them");
    if (is_integer && !of_integers) return tn_refuse(reason, reason_size, "abs, neg, sign and rounding only of integers");
    return result_is(problem, tests ? TN_BOOL : dtype, reason, reason_size);
}

bool tn_check_activation(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size) {
    bool is_integer = tn_dtype_get_info(problem->operands[0].dtype)->is_integer;
    if (!tn_check_equal_types(problem, 0, dtypes, reason, reason_size)) return false;
    return !is_integer || ((const tn_activation_params *)problem->params)->type <= TN_ACTIVATION_RELU ||
           tn_refuse(reason, reason_size, "only relu of integers");
}

bool tn_check_elementwise(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size) {
    int op = ((const tn_elementwise_params *)problem->params)->op;
    tn_dtype dtype = problem->operands[0].dtype;
    bool is_logical = op == TN_ELEMENTWISE_AND || op == TN_ELEMENTWISE_OR || op == TN_ELEMENTWISE_XOR;
    bool compares = op == TN_ELEMENTWISE_EQUAL || op == TN_ELEMENTWISE_GREATER || op == TN_ELEMENTWISE_LESS;
    if (!tn_check_types(problem, 0, dtypes | TN_DTYPE_BIT(TN_BOOL), reason, reason_size)) return false;
    if (problem->operands[1].dtype != dtype) return tn_refuse(reason, reason_size, "operands of one type only");
    if (is_logical != (dtype == TN_BOOL) && !(dtype == TN_BOOL && op == TN_ELEMENTWISE_EQUAL))
        return tn_refuse(reason, reason_size, "logic and equality only of bools, and logic of nothing else");
    return result_is(problem, compares ? TN_BOOL : dtype, reason, reason_size);
}

bool tn_check_select(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size) {
    if (!tn_check_types(problem, 0, dtypes | TN_DTYPE_BIT(TN_BOOL), reason, reason_size)) return false;
    if (problem->operands[0].dtype != TN_BOOL) return tn_refuse(reason, reason_size, "bool conditions only");
    return are_of(problem, problem->operands[1].dtype, 1, reason, reason_size);
}

/* --- products and caches ----------------------------------------------------------------------------------------------------- */

bool tn_has_epilogue(const tn_problem *problem, tn_epilogue_kind kind) {
    for (uint32_t i = 0; i < problem->num_epilogues; i++)
        if (problem->epilogues[i].kind == kind) return true;
    return false;
}

bool tn_check_epilogues(const tn_problem *problem, uint32_t allowed, char *reason, size_t reason_size) {
    tn_dtype stored = TN_FLOAT32;
    for (uint32_t i = 0; i < problem->num_epilogues; i++) {
        const tn_epilogue *e = &problem->epilogues[i];
        if ((allowed >> e->kind & 1u) == 0) return tn_refuse(reason, reason_size, "no epilogue %s", tn_epilogue_kind_name(e->kind));
        if (!tn_activation_is_plain(e->activation)) return tn_refuse(reason, reason_size, "no activation with parameters");
        if (e->kind == TN_EPILOGUE_BIAS || e->kind == TN_EPILOGUE_ADD) {
            if (e->operand < 0 || (uint32_t)e->operand >= problem->num_inputs)
                return tn_refuse(reason, reason_size, "epilogue %s lacks its operand", tn_epilogue_kind_name(e->kind));
            const tn_operand *operand = &problem->operands[e->operand];
            bool plain = operand->role != TN_ROLE_WEIGHT || operand->encoding.kind == TN_ENCODING_PLAIN;
            if (operand->dtype != TN_FLOAT32 || !plain || (operand->role == TN_ROLE_WEIGHT && operand->encoding.storage != TN_FLOAT32))
                return tn_refuse(reason, reason_size, "float32 operands of epilogues only");
        }
        if (e->kind == TN_EPILOGUE_QUANTIZE) {
            if (i + 1 != problem->num_epilogues) return tn_refuse(reason, reason_size, "epilogue quantize stands last only");
            stored = e->dtype;
        }
    }
    tn_dtype output = problem->operands[problem->num_inputs].dtype;
    if (output != stored || (stored != TN_FLOAT32 && stored != TN_Q15_32 && stored != TN_Q8_32))
        return tn_refuse(reason, reason_size, "output float32, or q15_32 and q8_32 by epilogue; it is %s", tn_dtype_name(output));
    return true;
}

bool tn_check_cache(const tn_problem *problem, const tn_kv_geometry *geometry, uint32_t first, int64_t max_head_dim, char *reason,
                    size_t reason_size) {
    int64_t block = geometry->tokens_per_block;
    if (block < 16 || block > 256 || (block & (block - 1)) != 0)
        return tn_refuse(reason, reason_size, "blocks of 16 to 256 tokens, a power of two, not %lld", (long long)block);
    if (geometry->k_dim < 1 || geometry->v_dim < 1 || geometry->k_dim > max_head_dim || geometry->v_dim > max_head_dim)
        return tn_refuse(reason, reason_size, "heads of at most %lld values", (long long)max_head_dim);
    for (uint32_t i = first + 1; i <= first + 3; i++)
        if (problem->operands[i].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 lengths and block tables only");
    return true;
}
