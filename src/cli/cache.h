/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.h: the folder of engines built before: <cache>/engines/<key>/. The key stands for the model file (device, inode, size,
 * time of change, a hash of its head and of sampled blocks), the options of the build, the device and Tenon's version.
 */
#ifndef TN_CLI_CACHE_H_
#define TN_CLI_CACHE_H_

#include "cli/cli.h"

/* The folder for this model and these options; NULL: there is no cache folder (no home), or the model cannot be read. free(). */
char *tn_engine_cache_path(const tn_engine_args *args, const char *device_description);
/* The timing cache's file, its folder made if it was missing; NULL as above or if that failed. free(). */
char *tn_timing_cache_path(void);
/* Removes the engines longest unused until all together are within limit_bytes; never `keep`. */
void tn_engine_cache_trim(const char *keep, size_t limit_bytes);

#endif
