/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.h: writes a float32 matrix as a NumPy file (format version 1.0).
 */
#ifndef TN_CLI_NPY_H_
#define TN_CLI_NPY_H_

#include <stdbool.h>
#include <stdint.h>

/* values: [rows, columns]. Reports on stderr and returns false on failure; no partial file is left. */
bool tn_npy_write(const char *path, const float *values, int64_t rows, int64_t columns);

#endif
