/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_mma.cu: matmul_mma.cuh's kernels of bfloat16, float16 and GGUF weights whose 16 bytes are one aligned load.
 */
#include "backend/cuda/kernels/matmul_mma.cuh"

MMA(bf16)
MMA(f16)
MMA(q4_0)
MMA(q4_1)
MMA(q8_0)
