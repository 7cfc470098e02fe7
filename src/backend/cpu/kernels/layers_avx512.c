/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_avx512.c: kernels of layers over whole tensors for AVX-512 with VNNI; src/backend/CMakeLists.txt gives the flags.
 */
#if defined(__x86_64__)
#include "backend/cpu/kernels/axes.h"
#include "backend/cpu/kernels/map.h"
#include "backend/cpu/kernels/normalization_nd.h"
#include "backend/cpu/kernels/pooling.h"
#include "backend/cpu/kernels/product.h"
#else
typedef int tn_no_kernels_here;
#endif
