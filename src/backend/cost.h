/* SPDX-License-Identifier: Apache-2.0
 *
 * cost.h: a rough count of a problem's work, for estimates of backends that know nothing better.
 */
#ifndef TN_BACKEND_COST_H_
#define TN_BACKEND_COST_H_

#include "op/tactic.h"

typedef struct tn_cost {
    double flops, bytes; /* bytes: every operand once */
} tn_cost;

tn_cost tn_problem_cost(const tn_problem *problem, const int64_t *symbols);
/* The larger of the times for arithmetic and for memory on this device, plus `fixed_us`. */
double tn_cost_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, double fixed_us);

#endif
