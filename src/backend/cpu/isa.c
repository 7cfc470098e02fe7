/* SPDX-License-Identifier: Apache-2.0
 *
 * isa.c: what the processor and the system allow; see isa.h.
 */
#include "backend/cpu/isa.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const isa_names[TN_NUM_CPU_ISAS] = {"c", "avx2", "avx512_vnni"};

const char *tn_cpu_isa_name(tn_cpu_isa isa) {
    return isa_names[isa];
}

bool tn_cpu_isa_find(const char *name, tn_cpu_isa *out_isa) {
    for (int i = 0; i < TN_NUM_CPU_ISAS; i++) {
        if (strcmp(name, isa_names[i]) == 0) {
            *out_isa = (tn_cpu_isa)i;
            return true;
        }
    }
    return false;
}

#if defined(__x86_64__)

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_bits(uint32_t value, uint32_t bits) {
    return (value & bits) == bits;
}

tn_cpu_isa tn_cpu_isa_detect(void) {
    enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return TN_CPU_ISA_C;
    if (!has_bits(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return TN_CPU_ISA_C;
    uint64_t state = enabled_state();
    if ((state & XCR0_AVX) != XCR0_AVX) return TN_CPU_ISA_C;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_bits(b, bit_AVX2)) return TN_CPU_ISA_C;
    bool avx512 = (state & XCR0_AVX512) == XCR0_AVX512 && has_bits(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);
    return avx512 && has_bits(c, bit_AVX512VNNI) ? TN_CPU_ISA_AVX512_VNNI : TN_CPU_ISA_AVX2;
}

void tn_cpu_model_name(char *buffer, int buffer_size) {
    uint32_t words[13] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t *w = words + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3])) break;
    }
    const char *name = (const char *)words;
    while (*name == ' ') name++;
    int length = (int)strlen(name);
    while (length > 0 && name[length - 1] == ' ') length--;
    if (length == 0) {
        name = "unknown processor";
        length = (int)strlen(name);
    }
    (void)snprintf(buffer, (size_t)buffer_size, "%.*s", length, name);
}

#else

tn_cpu_isa tn_cpu_isa_detect(void) {
    return TN_CPU_ISA_C;
}

void tn_cpu_model_name(char *buffer, int buffer_size) {
    (void)snprintf(buffer, (size_t)buffer_size, "unknown processor");
}

#endif
