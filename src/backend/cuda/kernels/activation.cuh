/* SPDX-License-Identifier: Apache-2.0
 *
 * activation.cuh: tn_activation_type in float32, as tenon/op_enums.h defines each.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ACTIVATION_CUH_
#define TN_BACKEND_CUDA_KERNELS_ACTIVATION_CUH_

#include "backend/cuda/kernels/common.cuh"

/* One unit in the last place, 1 / ∞ = 0. */
__device__ __forceinline__ float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float sigmoid(float x) {
    return reciprocal(1.0f + expf(-x));
}

__device__ __forceinline__ float silu(float x) {
    return x * sigmoid(x);
}

__device__ __forceinline__ float activate(int type, float x) {
    switch (type) {
    case TN_ACTIVATION_RELU: return x < 0.0f ? 0.0f : x; /* NaN stays */
    case TN_ACTIVATION_SIGMOID: return sigmoid(x);
    case TN_ACTIVATION_TANH: return tanhf(x);
    case TN_ACTIVATION_SILU: return silu(x);
    case TN_ACTIVATION_GELU_ERF: return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case TN_ACTIVATION_GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case TN_ACTIVATION_GELU_QUICK: return x * sigmoid(1.702f * x);
    default: return x;
    }
}

#endif
