/* SPDX-License-Identifier: Apache-2.0
 *
 * micro_batch.c: dividing the tokens of a step.
 */
#include "executor/micro_batch.h"

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* `size` more tokens, ended at a multiple of the unit where that is possible. */
static int32_t round_chunk(const tn_micro_batch_entry *entry, int32_t size, const tn_micro_batch_limits *limits) {
    if (size == entry->num_waiting || limits->chunk_unit <= 1) return size;
    int32_t past_unit = (entry->num_computed + size) % limits->chunk_unit;
    return past_unit < size ? size - past_unit : size;
}

static int32_t first_come_first_served(tn_micro_batch_entry *entries, int32_t num_entries, int32_t budget,
                                       const tn_micro_batch_limits *limits) {
    int32_t used = 0;
    for (int32_t i = 0; i < num_entries && used < budget; i++) {
        tn_micro_batch_entry *entry = &entries[i];
        if (!entry->is_context || entry->num_waiting == 0) continue;
        int32_t room = (budget - used) / entry->width, size = entry->num_waiting;
        if (!limits->allow_chunks && size > room) break; /* what comes later waits behind it */
        if (limits->allow_chunks) size = round_chunk(entry, min_i32(min_i32(size, room), limits->max_chunk_tokens), limits);
        entry->num_scheduled = size;
        used += size * entry->width;
    }
    return used;
}

/* Rounds of one unit; the first unit of a prompt that starts inside one ends at its multiple. */
static int32_t equal_progress(tn_micro_batch_entry *entries, int32_t num_entries, int32_t budget, const tn_micro_batch_limits *limits) {
    int32_t used = 0, unit = limits->chunk_unit > 1 ? limits->chunk_unit : 1;
    for (bool has_grown = true; has_grown && used < budget;) {
        has_grown = false;
        for (int32_t i = 0; i < num_entries && used < budget; i++) {
            tn_micro_batch_entry *entry = &entries[i];
            int32_t have = entry->num_scheduled, most = min_i32(entry->num_waiting, limits->max_chunk_tokens);
            if (!entry->is_context || have >= most) continue;
            int32_t wanted = have + unit - (entry->num_computed + have) % unit;
            wanted = round_chunk(entry, min_i32(min_i32(wanted, most), have + (budget - used) / entry->width), limits);
            if (wanted <= have) continue;
            used += (wanted - have) * entry->width;
            entry->num_scheduled = wanted;
            has_grown = true;
        }
    }
    return used;
}

int32_t tn_micro_batch_schedule(tn_micro_batch_entry *entries, int32_t num_entries, const tn_micro_batch_limits *limits) {
    int32_t used = 0, num_contexts = 0;
    for (int32_t i = 0; i < num_entries; i++) {
        entries[i].num_scheduled = 0;
        num_contexts += entries[i].is_context && entries[i].num_waiting > 0;
        if (entries[i].is_context || entries[i].num_waiting == 0 || used + entries[i].width > limits->max_num_tokens) continue;
        entries[i].num_scheduled = 1;
        used += entries[i].width;
    }
    int32_t budget = limits->max_num_tokens - used;
    if (num_contexts == 0 || budget == 0) return used;
    bool is_equal = limits->allow_chunks && limits->policy == TN_EQUAL_PROGRESS;
    return used + (is_equal ? equal_progress : first_come_first_served)(entries, num_entries, budget, limits);
}
