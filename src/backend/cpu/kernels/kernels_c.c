/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_c.c: the kernels of decoders but matmul for plain C; src/backend/CMakeLists.txt gives the flags.
 */
#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/kernels/experts.h"
#include "backend/cpu/kernels/norm.h"
#include "backend/cpu/kernels/quantize_rows.h"
#include "backend/cpu/kernels/rotary.h"
#include "backend/cpu/kernels/sample.h"
