/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.h: the threads of a cpu device. They run the steps of a segment in order, as one parallel region.
 *
 * A step's phase is a number of tiles. Workers claim tiles from one atomic word; the worker that finishes a phase's last
 * tile opens the next phase. Nobody waits for a *worker*, only for claimed tiles: a thread that the system has put aside
 * holds up the others only if it holds a claim. A phase of a single claim is run by whoever opens it, without telling anyone.
 *
 * Claims shrink as a phase ends: 1/(2·workers) of what is left, at least the launch's grain.
 *
 * The caller of run is worker 0. Waiting workers spin for at most TN_CPU_SPIN_NS, then sleep on a futex, so that an idle
 * device costs nothing and a core shared with another process is given up to a worker that was put aside.
 */
#ifndef TN_BACKEND_CPU_POOL_H_
#define TN_BACKEND_CPU_POOL_H_

#include "backend/backend.h"

#define TN_CPU_SPIN_NS     50000
#define TN_CPU_MAX_WORKERS 256

typedef struct tn_cpu_pool tn_cpu_pool;

/* num_workers ≥ 1, the caller among them. Pins nothing: the system moves threads away from busy cores. */
TN_MUST_CHECK tn_status tn_cpu_pool_create(const tn_allocator *allocator, int num_workers, tn_diag *diag, tn_cpu_pool **out_pool);
void tn_cpu_pool_destroy(tn_cpu_pool *pool); /* accepts NULL; no run may be in progress */

/* Runs all steps; returns when they are done. Calls from several threads run one after another. sink may be NULL; it is
 * called from whichever worker ends a step, one call at a time, in order. */
void tn_cpu_pool_run(tn_cpu_pool *pool, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink);

#endif
