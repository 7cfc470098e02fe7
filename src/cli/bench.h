/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h: the measurements of `tenon bench` that have options of their own. argv[0] is "tenon bench throughput"; each returns an
 * exit code.
 */
#ifndef TN_CLI_BENCH_H_
#define TN_CLI_BENCH_H_

int tn_bench_throughput(int argc, char **argv);
int tn_bench_latency(int argc, char **argv);
int tn_bench_scheduler(int argc, char **argv);

#endif
