/* SPDX-License-Identifier: Apache-2.0
 *
 * cubins.c: the compiled kernels that the build made (cuda.cmake), by architecture. A cubin for 8.0 runs on every 8.x, one for
 * 10.0 on every 10.x; one for 9.0a on 9.0 alone.
 */
#include "backend/cuda/cubins.h"

#include <stdio.h>

#ifdef TN_CUDA_CUBIN_FOLDER

#define EMBED(symbol, path)                                                                                                   \
    __asm__(".pushsection .rodata,\"a\"\n.balign 64\n.hidden " #symbol "\n.global " #symbol "\n" #symbol ":\n.incbin \"" path \
            "\"\n.hidden " #symbol "_end\n.global " #symbol "_end\n" #symbol "_end:\n.byte 0\n.popsection\n");                \
    extern const char symbol[] __attribute__((visibility("hidden"))), symbol##_end[] __attribute__((visibility("hidden")));

#define TN_CUDA_KERNEL(file, name)
#define TN_CUDA_SOURCE(file)                                                  \
    EMBED(tn_cubin_80_##file, TN_CUDA_CUBIN_FOLDER "/" #file ".sm_80.cubin")  \
    EMBED(tn_cubin_90_##file, TN_CUDA_CUBIN_FOLDER "/" #file ".sm_90a.cubin") \
    EMBED(tn_cubin_100_##file, TN_CUDA_CUBIN_FOLDER "/" #file ".sm_100.cubin")
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE

typedef struct cubin {
    const char *begin, *end;
} cubin;

const void *tn_cuda_find_cubin(tn_cuda_source source, uint32_t isa, size_t *out_size_bytes) {
    static const cubin cubins[3][TN_NUM_CUDA_SOURCES] = {
#define TN_CUDA_SOURCE(file) {tn_cubin_80_##file, tn_cubin_80_##file##_end},
        {
#include "backend/cuda/kernels.def"
        },
#undef TN_CUDA_SOURCE
#define TN_CUDA_SOURCE(file) {tn_cubin_90_##file, tn_cubin_90_##file##_end},
        {
#include "backend/cuda/kernels.def"
        },
#undef TN_CUDA_SOURCE
#define TN_CUDA_SOURCE(file) {tn_cubin_100_##file, tn_cubin_100_##file##_end},
        {
#include "backend/cuda/kernels.def"
        },
#undef TN_CUDA_SOURCE
    };
    int of = isa / 10 == 8 ? 0 : isa == 90 ? 1 : isa / 10 == 10 ? 2 : -1;
    *out_size_bytes = 0;
    if (of < 0) return NULL;
    *out_size_bytes = (size_t)(cubins[of][source].end - cubins[of][source].begin);
    return cubins[of][source].begin;
}

#else

const void *tn_cuda_find_cubin(tn_cuda_source source, uint32_t isa, size_t *out_size_bytes) {
    (void)source, (void)isa;
    *out_size_bytes = 0;
    return NULL;
}

#endif

void tn_cuda_architecture_name(uint32_t isa, char name[16]) {
    (void)snprintf(name, 16, "sm_%u%s", isa, isa == 90 ? "a" : "");
}
