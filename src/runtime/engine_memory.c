/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_memory.c: device memory of an engine within its limit, and the accounts of it.
 */
#include "base/text.h"
#include "runtime/engine.h"
#include "runtime/runtime.h"

static size_t used(const tn_engine *engine, tn_memory_account account) {
    return atomic_load_explicit(&engine->used_bytes[account], memory_order_relaxed);
}

void tn_engine_get_memory(const tn_engine *engine, tn_engine_memory *out_memory) {
    *out_memory = (tn_engine_memory){.weights_bytes = used(engine, TN_ACCOUNT_WEIGHTS),
                                     .activations_bytes = used(engine, TN_ACCOUNT_ACTIVATIONS),
                                     .states_bytes = used(engine, TN_ACCOUNT_STATES)};
}

static size_t used_in_all(const tn_engine *engine) {
    return used(engine, TN_ACCOUNT_WEIGHTS) + used(engine, TN_ACCOUNT_ACTIVATIONS) + used(engine, TN_ACCOUNT_STATES);
}

size_t tn_engine_room_bytes(const tn_engine *engine) {
    if (engine->memory_limit_bytes > 0) {
        size_t in_use = used_in_all(engine);
        return engine->memory_limit_bytes > in_use ? engine->memory_limit_bytes - in_use : 0;
    }
    return tn_device_available_memory_bytes(engine->device);
}

size_t tn_engine_available_memory_bytes(const tn_engine *engine) {
    return tn_device_available_memory_bytes(engine->device);
}

static tn_status check_room(const tn_engine *engine, const char *what, size_t size_bytes, tn_diag *diag) {
    size_t room = tn_engine_room_bytes(engine);
    if (size_bytes <= room) return TN_OK;
    char needed[32], left[32], limit[32], weights[32], activations[32], states[32];
    tn_where where = {.subject = what, .hint = "raise the memory limit, free memory, or use smaller shapes or fewer cache blocks"};
    return tn_fail_at(
        diag, TN_OUT_OF_MEMORY, &where, "out of memory: %s need %s, %s are left of %s; in use: weights %s, activations %s, states %s", what,
        tn_format_bytes(size_bytes, needed), tn_format_bytes(room, left),
        engine->memory_limit_bytes > 0 ? tn_format_bytes(engine->memory_limit_bytes, limit) : "what the device allows",
        tn_format_bytes(used(engine, TN_ACCOUNT_WEIGHTS), weights), tn_format_bytes(used(engine, TN_ACCOUNT_ACTIVATIONS), activations),
        tn_format_bytes(used(engine, TN_ACCOUNT_STATES), states));
}

tn_status tn_engine_allocate(tn_engine *engine, tn_memory_account account, const char *what, size_t size_bytes, tn_diag *diag,
                             void **out_memory) {
    static const tn_memory_kind kinds[TN_NUM_ACCOUNTS] = {
        [TN_ACCOUNT_WEIGHTS] = TN_MEMORY_WEIGHTS,
        [TN_ACCOUNT_ACTIVATIONS] = TN_MEMORY_ACTIVATIONS,
        [TN_ACCOUNT_STATES] = TN_MEMORY_STATE,
    };
    *out_memory = NULL;
    tn_status status = check_room(engine, what, size_bytes, diag);
    if (status != TN_OK) return status;
    status = engine->device->backend->memory_allocate(engine->device, kinds[account], size_bytes, diag, out_memory);
    if (status == TN_OK) (void)atomic_fetch_add_explicit(&engine->used_bytes[account], size_bytes, memory_order_relaxed);
    return status;
}

void tn_engine_free(tn_engine *engine, tn_memory_account account, void *memory, size_t size_bytes) {
    if (memory == NULL) return;
    engine->device->backend->memory_free(engine->device, memory, size_bytes);
    (void)atomic_fetch_sub_explicit(&engine->used_bytes[account], size_bytes, memory_order_relaxed);
}
