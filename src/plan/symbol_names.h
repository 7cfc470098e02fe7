/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol_names.h: the names by which plans store the operators of symbols.
 */
#ifndef TN_PLAN_SYMBOL_NAMES_H_
#define TN_PLAN_SYMBOL_NAMES_H_

#include "op/symbol.h"

/* "const", "input_dim", "floor_div" …; NULL for a value outside the enum. */
const char *tn_sym_op_name(uint32_t op);
/* TN_NUM_SYM_OPS if unknown. */
tn_sym_op tn_sym_op_find(const char *name);
/* How many of a, b, c are symbols; leaves: 0. */
int tn_sym_op_arity(tn_sym_op op);

#endif
