/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_check.h: do the shapes of a problem's operands fit its operation? A plan from elsewhere may state anything; kernels
 * trust what passes here. That indices which are data (block tables, token numbers) stay inside is not checked: they come from
 * the caller, or from kernels.
 */
#ifndef TN_RUNTIME_PROBLEM_CHECK_H_
#define TN_RUNTIME_PROBLEM_CHECK_H_

#include "op/problem.h"

/* False if they do not, at these values of the symbols. */
bool tn_problem_fits(const tn_problem *problem, const int64_t *values);

#endif
