/* SPDX-License-Identifier: Apache-2.0
 *
 * cubins.h: compiled kernels in the binary, where the build machine had NVRTC and TN_CUDA_CUBINS is on.
 */
#ifndef TN_BACKEND_CUDA_CUBINS_H_
#define TN_BACKEND_CUDA_CUBINS_H_

#include <stddef.h>
#include <stdint.h>

#include "backend/cuda/cuda.h"

/* The cubin that a card of this compute capability (10 · major + minor) runs; NULL: none. */
const void *tn_cuda_find_cubin(tn_cuda_source source, uint32_t isa, size_t *out_size_bytes);
/* What NVRTC compiles for: "sm_90a", "sm_86". */
void tn_cuda_architecture_name(uint32_t isa, char name[16]);

#endif
