/* SPDX-License-Identifier: Apache-2.0
 *
 * map.h: the nest of operations on elements, built alike by tactics/map.c and by the kernels.
 */
#ifndef TN_BACKEND_CPU_OWN_MAP_H_
#define TN_BACKEND_CPU_OWN_MAP_H_

#include "backend/cpu/tensor.h"

/* tensors[0] is the output, the inputs follow; buffers NULL: shapes only. */
void tn_cpu_map_nest(const tn_problem *problem, const int64_t *symbols, void *const *buffers, tensor tensors[NEST_MAX_OPERANDS], nest *out);

#endif
