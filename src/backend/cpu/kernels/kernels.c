/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.c: the table of kernels.h.
 */
#include "backend/cpu/kernels/kernels.h"

tn_tile_function tn_cpu_kernel_get(uint32_t isa, tn_cpu_kernel kernel) {
#if defined(__x86_64__)
#define X(name) {tn_cpu_##name##_c, tn_cpu_##name##_avx2, tn_cpu_##name##_avx512},
#else
#define X(name) {tn_cpu_##name##_c, tn_cpu_##name##_c, tn_cpu_##name##_c},
#endif
    static const tn_tile_function table[TN_NUM_CPU_KERNELS][TN_NUM_CPU_ISAS] = {TN_CPU_KERNELS(X)};
#undef X
    return table[kernel][isa];
}
