/* SPDX-License-Identifier: Apache-2.0
 *
 * wgmma.cuh: the instructions of a pipelined product on compute capability 9.0: barriers in shared memory, copies that run by
 * themselves, products of a warpgroup. Include only where TN_HAS_WGMMA is asked for.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_WGMMA_CUH_
#define TN_BACKEND_CUDA_KERNELS_WGMMA_CUH_

#include "backend/cuda/kernels/common.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define TN_HAS_WGMMA 1
#else
#define TN_HAS_WGMMA 0
#endif

#if TN_HAS_WGMMA

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* --- barriers: a phase ends when `count` arrivals and all announced bytes have come ---------------------------------------- */

__device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
/* After the inits, before other threads and copies use them. */
__device__ __forceinline__ void barrier_init_done() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void barrier_arrive_expect(uint64_t *barrier, uint32_t num_bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(num_bytes) : "memory");
}
/* Until the phase of this parity has ended. */
__device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity) {
    asm volatile("{\n\t"
                 ".reg .pred done;\n\t"
                 "again:\n\t"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t"
                 "@!done bra again;\n\t"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

/* At the barrier in the same place of the cluster's block `block`. It orders nothing but what copies and products wrote and read:
 * with .release.cluster and .acquire.cluster each arrival flushed, and each wait emptied, the first-level cache. */
__device__ __forceinline__ void barrier_arrive_at(uint64_t *barrier, uint32_t block) {
    asm volatile("{\n\t"
                 ".reg .b32 there;\n\t"
                 "mapa.shared::cluster.u32 there, %0, %1;\n\t"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n\t"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(block)
                 : "memory");
}
/* The same place in the shared memory of the cluster's block `block`. */
__device__ __forceinline__ float4 load_of_other_block(const float *mine, uint32_t block) {
    float4 x;
    asm volatile("{\n\t"
                 ".reg .b32 there;\n\t"
                 "mapa.shared::cluster.u32 there, %4, %5;\n\t"
                 "ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [there];\n\t"
                 "}"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "r"(shared_address(mine)), "r"(block)
                 : "memory");
    return x;
}
/* All threads of all blocks of the cluster, from whatever branches of a warp (cluster.cuh: from one). */
__device__ __forceinline__ void sync_cluster() {
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}

/* A barrier among COUNT threads that call it, whole warps; not for all of a block. */
template <int COUNT> __device__ __forceinline__ void sync_threads() {
    asm volatile("bar.sync 1, %0;" ::"n"(COUNT) : "memory");
}

/* --- copies from device to shared memory ------------------------------------------------------------------------------------- */

/* A multiple of 16 bytes, by the copy engine; counts on the barrier. Its writes need no fence before products read them. */
__device__ __forceinline__ void copy_bulk(void *shared, const void *global, uint32_t num_bytes, uint64_t *barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
                 "l"(global), "r"(num_bytes), "r"(shared_address(barrier))
                 : "memory");
}
/* A box of the matrix that the launch described, from this column and row on; beyond the edges zeros, which count as bytes too. */
struct __align__(64) tensor_map {
    unsigned long long words[16];
};
__device__ __forceinline__ void copy_box(void *shared, const tensor_map *map, int column, int row, uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                     shared_address(shared)),
                 "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
                 : "memory");
}
/* The same to the same place of each block of the cluster whose bit is set; counts on each one's barrier. */
__device__ __forceinline__ void copy_box_to(void *shared, const tensor_map *map, int column, int row, uint64_t *barrier, uint16_t blocks) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
                 "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
                 : "memory");
}
/* 16 bytes, zeros if not is_there. */
__device__ __forceinline__ void copy_16(void *shared, const void *global, bool is_there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(is_there ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until at most N of this thread's committed groups are on their way. */
template <int N> __device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
/* This thread's writes to shared memory are seen by products and the copy engine. */
__device__ __forceinline__ void fence_shared_writes() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* --- products of a warpgroup --------------------------------------------------------------------------------------------------- */

template <int N> __device__ __forceinline__ void set_registers_more() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> __device__ __forceinline__ void set_registers_fewer() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

/* Rows of 128 bytes (64 bf16 of k), 8 rows after another, at a multiple of 1,024 bytes; the 16-byte piece c of row r stands at
 * c ^ (r % 8). Add 2 for the next 16 of k. */
__device__ __forceinline__ uint64_t matrix_descriptor(const void *shared) {
    return (uint64_t)(shared_address(shared) >> 4 & 0x3fff) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

__device__ __forceinline__ void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N> __device__ __forceinline__ void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
/* The compiler must not move reads or writes of sums over this place. */
template <int COUNT> __device__ __forceinline__ void hold_sums(float (&sums)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(sums[i])::"memory");
}

/* Operands of products: names of the first sums, and `how` ("+f": read and written) with sums[i] and those behind it. */
#define SUM_NAMES_32                                                       \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SUM_NAMES_48 \
    SUM_NAMES_32     \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define SUM_NAMES_64                                                                   \
    SUM_NAMES_32                                                                       \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SUM_NAMES_96                                                                   \
    SUM_NAMES_64                                                                       \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define SUM_NAMES_112 \
    SUM_NAMES_96      \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define SUM_NAMES_128                                                                              \
    SUM_NAMES_96                                                                                   \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define SUMS_8(how, i)                                                                                                                    \
    how(sums[i]), how(sums[(i) + 1]), how(sums[(i) + 2]), how(sums[(i) + 3]), how(sums[(i) + 4]), how(sums[(i) + 5]), how(sums[(i) + 6]), \
        how(sums[(i) + 7])
#define SUMS_16(how, i)  SUMS_8(how, i), SUMS_8(how, (i) + 8)
#define SUMS_32(how, i)  SUMS_16(how, i), SUMS_16(how, (i) + 16)
#define SUMS_48(how, i)  SUMS_32(how, i), SUMS_16(how, (i) + 32)
#define SUMS_64(how, i)  SUMS_32(how, i), SUMS_32(how, (i) + 32)
#define SUMS_96(how, i)  SUMS_64(how, i), SUMS_32(how, (i) + 64)
#define SUMS_112(how, i) SUMS_96(how, i), SUMS_16(how, (i) + 96)
#define SUMS_128(how, i) SUMS_64(how, i), SUMS_64(how, (i) + 64)

/* sums += a[64][16] · b[N][16]ᵀ: thread t of the warpgroup, with g = t % 32 / 4: sums[4j + v] is row 16 (t / 32) + g + 8 (v / 2),
 * column 8j + 2 (t % 4) + v % 2. */
template <int N> struct warpgroup_product;
#define WARPGROUP_PRODUCT(n, count, a_name, b_name)                                                                              \
    template <> struct warpgroup_product<n> {                                                                                    \
        static __device__ __forceinline__ void add(float (&sums)[count], uint64_t a, uint64_t b) {                               \
            asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" SUM_NAMES_##count "}, " a_name ", " b_name \
                                                                                                        ", 1, 1, 1, 0, 0;"       \
                         : SUMS_##count("+f", 0)                                                                                 \
                         : "l"(a), "l"(b));                                                                                      \
        }                                                                                                                        \
    };
WARPGROUP_PRODUCT(64, 32, "%32", "%33")
WARPGROUP_PRODUCT(96, 48, "%48", "%49")
WARPGROUP_PRODUCT(128, 64, "%64", "%65")
WARPGROUP_PRODUCT(192, 96, "%96", "%97")
WARPGROUP_PRODUCT(224, 112, "%112", "%113")
WARPGROUP_PRODUCT(256, 128, "%128", "%129")

#endif
#endif
