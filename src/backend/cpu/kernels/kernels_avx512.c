/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_avx512.c: the kernels of decoders but matmul for AVX-512 with VNNI; src/backend/CMakeLists.txt gives the flags.
 */
#if defined(__x86_64__)
#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/kernels/experts.h"
#include "backend/cpu/kernels/norm.h"
#include "backend/cpu/kernels/quantize_rows.h"
#include "backend/cpu/kernels/rotary.h"
#include "backend/cpu/kernels/sample.h"
#else
typedef int tn_no_kernels_here;
#endif
