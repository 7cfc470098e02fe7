/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol_names.c: see symbol_names.h.
 */
#include "plan/symbol_names.h"

#include <string.h>

const char *tn_sym_op_name(uint32_t op) {
    static const char *const names[TN_NUM_SYM_OPS] = {
        [TN_SYM_CONST] = "const",
        [TN_SYM_INPUT_DIM] = "input_dim",
        [TN_SYM_HOST_VALUE] = "host_value",
        [TN_SYM_ADD] = "add",
        [TN_SYM_SUB] = "sub",
        [TN_SYM_MUL] = "mul",
        [TN_SYM_FLOOR_DIV] = "floor_div",
        [TN_SYM_CEIL_DIV] = "ceil_div",
        [TN_SYM_MOD] = "mod",
        [TN_SYM_MIN] = "min",
        [TN_SYM_MAX] = "max",
        [TN_SYM_EQUAL] = "equal",
        [TN_SYM_LESS] = "less",
        [TN_SYM_SELECT] = "select",
    };
    return op < TN_NUM_SYM_OPS ? names[op] : NULL;
}

tn_sym_op tn_sym_op_find(const char *name) {
    uint32_t op = 0;
    while (op < TN_NUM_SYM_OPS && strcmp(name, tn_sym_op_name(op)) != 0) op++;
    return (tn_sym_op)op;
}

int tn_sym_op_arity(tn_sym_op op) {
    return op <= TN_SYM_HOST_VALUE ? 0 : op == TN_SYM_SELECT ? 3 : 2;
}
