/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_avx512.c: matmul.h for AVX-512 with VNNI; src/backend/CMakeLists.txt gives the flags.
 */
#if defined(__x86_64__)
#include "backend/cpu/kernels/matmul.h"
#else
typedef int tn_no_kernels_here;
#endif
