/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h: the measurements of `tenon bench` that have options of their own. argv[0] is "tenon bench throughput"; each returns an
 * exit code.
 */
#ifndef TN_CLI_BENCH_H_
#define TN_CLI_BENCH_H_

#include "base/text.h"

int tn_bench_throughput(int argc, char **argv);
int tn_bench_latency(int argc, char **argv);
int tn_bench_scheduler(int argc, char **argv);
int tn_bench_serve(int argc, char **argv);

/* A bar on the terminal, gone when all is done. */
typedef struct tn_bench_progress {
    const char *phase;
    bool is_shown; /* stderr is a terminal */
    int64_t shown_ns;
} tn_bench_progress;
void tn_bench_progress_show(tn_bench_progress *progress, size_t num_done, size_t num_requests, int64_t now_ns);

bool tn_bench_write_text(const char *path, const tn_text *text); /* false after reporting */

#endif
