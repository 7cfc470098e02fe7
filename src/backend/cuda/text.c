/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: the kernels' sources as part of the binary, and the headers that they may include. cuda_headers.def is made by the
 * build (cuda.cmake): TN_CUDA_HEADER(number, name, path) for each.
 */
#include "backend/cuda/nvrtc.h"

#define EMBED(symbol, path)                                                                                                       \
    __asm__(".pushsection .rodata,\"a\"\n.hidden " #symbol "\n.global " #symbol "\n" #symbol ":\n.incbin \"" path "\"\n.byte 0\n" \
            ".popsection\n");                                                                                                     \
    extern const char symbol[] __attribute__((visibility("hidden")));

#define TN_CUDA_KERNEL(file, name)
#define TN_CUDA_SOURCE(file) EMBED(tn_cuda_text_of_##file, TN_SOURCE_ROOT "/backend/cuda/kernels/" #file ".cu")
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE
#define TN_CUDA_HEADER(number, name, path) EMBED(tn_cuda_header_##number, path)
#include <cuda_headers.def>
#undef TN_CUDA_HEADER

const tn_cuda_text tn_cuda_kernel_texts[] = {
#define TN_CUDA_SOURCE(file) {#file ".cu", tn_cuda_text_of_##file},
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE
#undef TN_CUDA_KERNEL
};

const tn_cuda_text tn_cuda_header_texts[] = {
    {"stdint.h",
     "#pragma once\n"
     "typedef signed char int8_t;\ntypedef short int16_t;\ntypedef int int32_t;\ntypedef long int64_t;\n"
     "typedef unsigned char uint8_t;\ntypedef unsigned short uint16_t;\ntypedef unsigned int uint32_t;\n"
     "typedef unsigned long uint64_t;\ntypedef long intptr_t;\ntypedef unsigned long uintptr_t;\n"
     "#define INT8_MAX 127\n#define INT16_MAX 32767\n#define INT32_MIN (-2147483647 - 1)\n#define INT32_MAX 2147483647\n"
     "#define UINT8_MAX 255\n#define UINT16_MAX 65535\n#define UINT32_MAX 4294967295u\n"
     "#define INT64_MIN (-9223372036854775807l - 1)\n#define INT64_MAX 9223372036854775807l\n#define UINT64_MAX 18446744073709551615ul\n"},
    {"stddef.h", "#pragma once\n#define NULL 0\n#define offsetof(type, member) __builtin_offsetof(type, member)\n"
                 "typedef long ptrdiff_t;\n"},
    {"stdbool.h", "#pragma once\n"},
    {"math.h", "#pragma once\n"}, /* the compiler knows its functions */
#define TN_CUDA_HEADER(number, name, path) {name, tn_cuda_header_##number},
#include <cuda_headers.def>
#undef TN_CUDA_HEADER
};
const int tn_cuda_num_header_texts = sizeof tn_cuda_header_texts / sizeof tn_cuda_header_texts[0];
