/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_c.c: every kernel but matmul for plain C; src/backend/CMakeLists.txt gives the flags.
 */
#include "backend/cpu/kernels/quantize_rows.h"
