/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache_scaled.cu: KV_CACHE_UPDATE and QKV_CACHE of int16, int8 and float8 caches: the largest magnitude of a head gives its scale.
 */
#include "backend/cuda/kernels/kv_cache.cuh"

TN_KERNEL(kv_cache_update_i16, 32 * WARPS) {
    update_cache<level16>(args);
}
TN_KERNEL(kv_cache_update_i8, 32 * WARPS) {
    update_cache<level8>(args);
}
TN_KERNEL(kv_cache_update_e4m3, 32 * WARPS) {
    update_cache<level_e4m3>(args);
}

QKV_CACHE(qkv_cache_i16_128, level16, 128)
QKV_CACHE(qkv_cache_i8_128, level8, 128)
QKV_CACHE(qkv_cache_e4m3_128, level_e4m3, 128)
QKV_CACHE(qkv_cache_i16_512, level16, MAX_HEAD_DIM)
QKV_CACHE(qkv_cache_i8_512, level8, MAX_HEAD_DIM)
QKV_CACHE(qkv_cache_e4m3_512, level_e4m3, MAX_HEAD_DIM)
