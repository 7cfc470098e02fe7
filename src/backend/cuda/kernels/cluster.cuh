/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.cuh: blocks of a cluster (compute capability 9.0) read each other's shared memory.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_CLUSTER_CUH_
#define TN_BACKEND_CUDA_KERNELS_CLUSTER_CUH_

#include "backend/cuda/kernels/common.cuh"

/* The same place in the shared memory of the cluster's block `rank`. */
__device__ __forceinline__ float load_of_block(const float *mine, uint32_t rank) {
    uint32_t address = (uint32_t)__cvta_generic_to_shared(mine);
    float x = 0.0f;
#if __CUDA_ARCH__ >= 900
    uint32_t remote;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(remote) : "memory");
#endif
    return x;
}

__device__ __forceinline__ void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

#endif
