/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_c.c: kernels of layers over whole tensors for plain C; src/backend/CMakeLists.txt gives the flags.
 */
#include "backend/cpu/kernels/axes.h"
#include "backend/cpu/kernels/map.h"
#include "backend/cpu/kernels/normalization_nd.h"
#include "backend/cpu/kernels/pooling.h"
#include "backend/cpu/kernels/product.h"
