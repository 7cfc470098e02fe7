/* SPDX-License-Identifier: Apache-2.0
 *
 * pooling.h: where the windows of a pooling lie, found alike by tactics/pooling.c and by the kernel.
 */
#ifndef TN_BACKEND_CPU_POOLING_H_
#define TN_BACKEND_CPU_POOLING_H_

#include "backend/cpu/tensor.h"
#include "op/window.h"

/* Spatial dimensions padded to three by ones in front. */
typedef struct pooling_plan {
    int64_t in[3], out[3], pre[3], num_planes;
    tn_window windows[3];
} pooling_plan;

pooling_plan tn_cpu_pooling_plan(const tn_problem *problem, const int64_t *symbols);

#endif
