/* SPDX-License-Identifier: Apache-2.0
 *
 * isa.h: the instruction set levels that the cpu backend has kernels for. One binary holds all of them; a device picks the
 * best that processor and operating system allow, at most the level its options name. Every level gives the same bits.
 */
#ifndef TN_BACKEND_CPU_ISA_H_
#define TN_BACKEND_CPU_ISA_H_

#include <stdbool.h>

typedef enum tn_cpu_isa {
    TN_CPU_ISA_C = 0,       /* plain C11 */
    TN_CPU_ISA_AVX2,        /* AVX2, FMA, F16C */
    TN_CPU_ISA_AVX512_VNNI, /* AVX-512 F, BW, DQ, VL and VNNI */
    TN_NUM_CPU_ISAS
} tn_cpu_isa;

const char *tn_cpu_isa_name(tn_cpu_isa isa); /* "c", "avx2", "avx512_vnni" */
bool tn_cpu_isa_find(const char *name, tn_cpu_isa *out_isa);
tn_cpu_isa tn_cpu_isa_detect(void); /* the best of this machine: CPUID for the processor, XCR0 for the system */
/* The processor's own name, trimmed; "unknown processor" where it has none. */
void tn_cpu_model_name(char *buffer, int buffer_size);

#endif
