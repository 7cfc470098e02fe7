/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_set.c: sets of weights and the memory they stand in, both counted.
 */
#include "base/memory.h"
#include "runtime/engine.h"

tn_status tn_weight_block_create(tn_engine *engine, size_t size_bytes, tn_diag *diag, tn_weight_block **out_block) {
    *out_block = NULL;
    tn_weight_block *block = tn_alloc_zero(engine->allocator, sizeof *block);
    if (block == NULL) return tn_fail_memory(diag, "weights", sizeof *block);
    atomic_init(&block->references, 1);
    block->engine = engine;
    block->file.descriptor = -1;
    if (size_bytes > 0) {
        tn_status status = tn_engine_allocate(engine, TN_ACCOUNT_WEIGHTS, "the weights", size_bytes, diag, &block->memory);
        if (status != TN_OK) {
            tn_weight_block_release(block);
            return status;
        }
        block->size_bytes = size_bytes;
    }
    *out_block = block;
    return TN_OK;
}

tn_weight_block *tn_weight_block_retain(tn_weight_block *block) {
    if (block != NULL) (void)atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void tn_weight_block_release(tn_weight_block *block) {
    if (block == NULL || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) > 1) return;
    tn_engine_free(block->engine, TN_ACCOUNT_WEIGHTS, block->memory, block->size_bytes);
    tn_free(block->engine->allocator, block->host_memory);
    tn_plan_destroy(block->plan);
    tn_file_close(&block->file);
    tn_free(block->engine->allocator, block);
}

tn_weight_set *tn_weight_set_create(tn_engine *engine, tn_diag *diag) {
    size_t size = sizeof(tn_weight_set) + engine->view->num_weights * sizeof(tn_weight_slot);
    tn_weight_set *set = tn_alloc_zero(engine->allocator, size);
    if (set == NULL) {
        (void)tn_fail_memory(diag, "a set of weights", size);
        return NULL;
    }
    atomic_init(&set->references, 1);
    set->engine = engine;
    return set;
}

void tn_weight_set_release(tn_weight_set *set) {
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) > 1) return;
    for (uint32_t i = 0; i < set->engine->view->num_weights; i++) {
        tn_weight_block_release(set->slots[i].block);
        tn_weight_block_release(set->slots[i].host_block);
    }
    tn_free(set->engine->allocator, set);
}

tn_weight_set *tn_engine_retain_weights(tn_engine *engine, unsigned *out_generation) {
    (void)pthread_mutex_lock(&engine->mutex);
    tn_weight_set *set = engine->present;
    (void)atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    *out_generation = atomic_load_explicit(&engine->weights_generation, memory_order_relaxed);
    (void)pthread_mutex_unlock(&engine->mutex);
    return set;
}

void tn_engine_set_weights(tn_engine *engine, tn_weight_set *set) {
    (void)pthread_mutex_lock(&engine->mutex);
    tn_weight_set *old = engine->present;
    engine->present = set;
    (void)atomic_fetch_add_explicit(&engine->weights_generation, 1, memory_order_release);
    (void)pthread_mutex_unlock(&engine->mutex);
    tn_weight_set_release(old);
}
