/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_c.c: matmul.h for plain C; src/backend/CMakeLists.txt gives the flags.
 */
#include "backend/cpu/kernels/matmul.h"
