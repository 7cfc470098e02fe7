/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_avx2.c: matmul.h for AVX2, FMA, F16C; src/backend/CMakeLists.txt gives the flags.
 */
#if defined(__x86_64__)
#include "backend/cpu/kernels/matmul.h"
#else
typedef int tn_no_kernels_here;
#endif
