/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: the micro-batch.
 */
#include "executor/scheduler.h"

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t chunk_size(const tn_micro_batch_entry *entry, int32_t budget, const tn_micro_batch_limits *limits) {
    if (!limits->allow_chunks) return entry->num_waiting <= budget ? entry->num_waiting : 0;
    int32_t size = min_i32(min_i32(entry->num_waiting, budget), limits->max_chunk_tokens);
    if (size == entry->num_waiting || limits->chunk_unit <= 1) return size;
    int32_t past_unit = (entry->num_computed + size) % limits->chunk_unit;
    return past_unit < size ? size - past_unit : size;
}

int32_t tn_micro_batch_schedule(tn_micro_batch_entry *entries, int32_t num_entries, const tn_micro_batch_limits *limits) {
    int32_t used = 0;
    for (int32_t i = 0; i < num_entries; i++) {
        entries[i].num_scheduled = 0;
        if (entries[i].is_context || entries[i].num_waiting == 0 || used == limits->max_num_tokens) continue;
        entries[i].num_scheduled = 1;
        used++;
    }
    for (int32_t i = 0; i < num_entries && used < limits->max_num_tokens; i++) {
        if (!entries[i].is_context || entries[i].num_waiting == 0) continue;
        int32_t size = chunk_size(&entries[i], limits->max_num_tokens - used, limits);
        if (size == 0) break; /* whole prompts only: what comes later waits behind it */
        entries[i].num_scheduled = size;
        used += size;
    }
    return used;
}
