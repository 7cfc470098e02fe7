/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: starting, pausing and ending sequences.
 */
#include "executor/scheduler.h"

#include <string.h>

#include "executor/schedule.h"

tn_status tn_scheduler_init(tn_scheduler *scheduler, const tn_scheduler_options *options, tn_kv_cache *cache, tn_arena *arena,
                            tn_diag *diag) {
    memset(scheduler, 0, sizeof *scheduler);
    scheduler->options = *options;
    scheduler->cache = cache;
    scheduler->most_held = tn_scheduler_most_held(options);
    scheduler->queue = (tn_heap){.is_before = tn_sequence_is_more_urgent, .order = 0};
    size_t count = (size_t)options->max_batch_size;
    scheduler->active = tn_arena_alloc_array(arena, count, sizeof(tn_sequence *));
    scheduler->paused = tn_arena_alloc_array(arena, count, sizeof(tn_sequence *));
    scheduler->free_slots = tn_arena_alloc_array(arena, count, sizeof *scheduler->free_slots);
    scheduler->entries = tn_arena_alloc_array(arena, count, sizeof *scheduler->entries);
    scheduler->rows = tn_arena_alloc_array(arena, count, sizeof *scheduler->rows);
    if (scheduler->active == NULL || scheduler->paused == NULL || scheduler->free_slots == NULL || scheduler->entries == NULL ||
        scheduler->rows == NULL)
        return tn_fail_memory(diag, "the scheduler", arena->used_bytes);
    for (int32_t i = 0; i < options->max_batch_size; i++) scheduler->free_slots[i] = options->max_batch_size - 1 - i;
    scheduler->num_free_slots = scheduler->batch_limit = options->max_batch_size;
    return TN_OK;
}

static int32_t num_blocks_of(const tn_scheduler *scheduler, int32_t num_tokens) {
    return (num_tokens + scheduler->options.tokens_per_block - 1) / scheduler->options.tokens_per_block;
}

int64_t tn_scheduler_num_spare(const tn_scheduler *scheduler) {
    return tn_kv_cache_num_available(scheduler->cache) - scheduler->num_promised;
}

int32_t tn_scheduler_most_held(const tn_scheduler_options *options) {
    if (options->window <= 0 || options->enable_block_reuse) return INT32_MAX;
    int32_t size = options->tokens_per_block, chunk = options->limits.max_chunk_tokens;
    if (!options->limits.allow_chunks || chunk > options->limits.max_num_tokens) chunk = options->limits.max_num_tokens;
    int64_t num_tokens = (int64_t)options->window + chunk - 1; /* seen by the tokens of a chunk, anywhere in blocks */
    int64_t most = (num_tokens + size - 2) / size + 1 + (options->sink_tokens + size - 1) / size;
    return most < INT32_MAX ? (int32_t)most : INT32_MAX;
}

/* What it may still take: to the end, or to the most that it holds at once. */
void tn_scheduler_promise(tn_scheduler *scheduler, tn_sequence *sequence) {
    int32_t wanted = sequence->num_target - sequence->num_blocks, room = scheduler->most_held - (sequence->num_blocks - sequence->num_left);
    int32_t promised = wanted < room ? wanted : room;
    if (promised < 0) promised = 0;
    scheduler->num_promised += promised - sequence->num_promised;
    sequence->num_promised = promised;
}

/* --- giving back ------------------------------------------------------------------------------------------------------------ */

/* The tokens of its last block that will not become whole: others may copy them. */
static void commit_tail(tn_scheduler *scheduler, const tn_sequence *sequence) {
    int32_t size = scheduler->options.tokens_per_block, index = sequence->num_committed_blocks;
    int32_t complete = sequence->num_finished < sequence->num_known ? sequence->num_finished : sequence->num_known;
    if (!scheduler->options.enable_block_reuse || sequence->status != TN_OK || complete <= index * size || index >= sequence->num_blocks)
        return;
    tn_kv_cache_commit(scheduler->cache, sequence->cache_salt, sequence->tokens + index * size, complete - index * size,
                       index > 0 ? sequence->blocks[index - 1] : -1, sequence->blocks[index],
                       tn_sequence_block_priority(sequence, index, size));
}

static void give_back(tn_scheduler *scheduler, tn_sequence *sequence) {
    commit_tail(scheduler, sequence);
    for (int32_t i = sequence->num_blocks - 1; i >= 0; i--)
        if (sequence->blocks[i] >= 0) tn_kv_cache_release(scheduler->cache, sequence->blocks[i]);
    scheduler->num_promised -= sequence->num_promised;
    sequence->num_blocks = sequence->num_committed_blocks = sequence->num_promised = sequence->num_left = 0;
    if (sequence->slot >= 0) scheduler->free_slots[scheduler->num_free_slots++] = sequence->slot;
    sequence->slot = -1;
}

void tn_scheduler_end(tn_scheduler *scheduler, int32_t index) {
    give_back(scheduler, scheduler->active[index]);
    scheduler->active[index] = NULL;
}

void tn_scheduler_compact(tn_scheduler *scheduler) {
    int32_t count = 0;
    for (int32_t i = 0; i < scheduler->num_active; i++)
        if (scheduler->active[i] != NULL) scheduler->active[count++] = scheduler->active[i];
    scheduler->num_active = count;
}

void tn_scheduler_pause(tn_scheduler *scheduler, int32_t index) {
    tn_sequence *sequence = scheduler->active[index];
    tn_scheduler_end(scheduler, index);
    sequence->num_computed = sequence->num_finished = 0;
    sequence->wants_pause = false;
    sequence->is_paused = true;
    sequence->num_pauses++;
    scheduler->num_pauses++;
    scheduler->counts.num_paused++;
    scheduler->paused[scheduler->num_paused++] = sequence;
}

int32_t tn_scheduler_find_victim(const tn_scheduler *scheduler) {
    int32_t victim = -1;
    for (int32_t i = scheduler->num_active - 1; i >= 0; i--) {
        const tn_sequence *sequence = scheduler->active[i];
        if (sequence == NULL || sequence->is_done) continue;
        if (victim < 0 || sequence->priority < scheduler->active[victim]->priority) victim = i;
    }
    return victim;
}

/* --- starting --------------------------------------------------------------------------------------------------------------- */

void tn_scheduler_push(tn_scheduler *scheduler, tn_sequence *sequence) {
    tn_heap_push(&scheduler->queue, sequence);
}

static bool may_share(const tn_scheduler *scheduler, const tn_sequence *sequence) {
    bool wants_prompt = (sequence->return_context_logits || sequence->return_prompt_log_probs) && !sequence->has_prompt_results;
    return scheduler->options.enable_block_reuse && !wants_prompt;
}

/* The blocks that the policy wants for it. */
static int32_t num_wanted(const tn_scheduler *scheduler, const tn_sequence *sequence) {
    if (scheduler->options.policy != TN_MAX_UTILIZATION) return sequence->max_blocks;
    return num_blocks_of(scheduler, sequence->num_known < sequence->max_total ? sequence->num_known + 1 : sequence->max_total);
}

static void count_blocks(tn_scheduler *scheduler, tn_sequence *sequence, int32_t num_reused) {
    int32_t num_missed = num_blocks_of(scheduler, sequence->num_known) - num_reused;
    sequence->num_reused_blocks += num_reused;
    sequence->num_missed_blocks += num_missed;
    scheduler->num_reused_blocks += num_reused;
    scheduler->num_missed_blocks += num_missed;
}

/* Blocks that others own cost nothing; cached ones stop being available when they are matched, as new ones do. The last token
 * always runs: its logits draw the next one. */
static bool start(tn_scheduler *scheduler, tn_sequence *sequence, int64_t now_ns) {
    bool shares = may_share(scheduler, sequence);
    int32_t wanted = num_wanted(scheduler, sequence), num_tokens = sequence->num_known - 1;
    int32_t num_held = wanted < scheduler->most_held ? wanted : scheduler->most_held;
    int32_t num_owned = shares ? tn_kv_cache_count_owned(scheduler->cache, sequence->cache_salt, sequence->tokens, num_tokens) : 0;
    int64_t spare = tn_scheduler_num_spare(scheduler);
    if (num_held - num_owned > spare) return false;
    tn_kv_match match = {0};
    if (shares)
        match =
            tn_kv_cache_match(scheduler->cache, sequence->cache_salt, sequence->tokens, num_tokens, wanted - num_owned, sequence->blocks);
    sequence->num_blocks = match.num_blocks;
    sequence->num_committed_blocks = match.num_shared;
    sequence->num_computed = sequence->num_finished = match.num_tokens;
    sequence->num_prefill = sequence->num_drawn = sequence->num_known;
    sequence->num_target = wanted;
    sequence->first_held = num_blocks_of(scheduler, scheduler->options.sink_tokens);
    tn_scheduler_promise(scheduler, sequence);
    sequence->slot = scheduler->free_slots[--scheduler->num_free_slots];
    sequence->needs_slot = true;
    sequence->is_paused = false;
    if (sequence->num_pauses == 0) sequence->num_reused_tokens = match.num_tokens;
    count_blocks(scheduler, sequence, match.num_blocks);
    for (int32_t i = 0; i < match.num_shared && sequence->retention != NULL; i++)
        tn_kv_cache_set_priority(scheduler->cache, sequence->blocks[i],
                                 tn_sequence_block_priority(sequence, i, scheduler->options.tokens_per_block));
    if (sequence->num_pauses == 0) sequence->queued_ns = now_ns - sequence->enqueue_ns;
    scheduler->active[scheduler->num_active++] = sequence;
    return true;
}

/* A place for a sequence of higher priority than one that runs. */
static bool make_place(tn_scheduler *scheduler, const tn_sequence *sequence) {
    if (scheduler->options.policy != TN_MAX_UTILIZATION) return false;
    int32_t victim = tn_scheduler_find_victim(scheduler);
    if (victim < 0 || scheduler->active[victim]->priority >= sequence->priority) return false;
    if (scheduler->active[victim]->num_in_flight > 0) {
        scheduler->active[victim]->wants_pause = true;
        return false;
    }
    tn_sequence *paused = scheduler->active[victim];
    tn_scheduler_pause(scheduler, victim);
    tn_scheduler_compact(scheduler);
    scheduler->num_paused--;
    tn_heap_push(&scheduler->queue, paused);
    return true;
}

void tn_scheduler_requeue(tn_scheduler *scheduler) {
    for (int32_t i = 0; i < scheduler->num_paused; i++) tn_heap_push(&scheduler->queue, scheduler->paused[i]);
    scheduler->num_paused = 0;
}

int32_t tn_scheduler_admit(tn_scheduler *scheduler, int64_t now_ns) {
    if (scheduler->options.policy == TN_STATIC_BATCH && scheduler->num_active > 0) return 0;
    int32_t num_started = 0;
    for (tn_sequence *first; (first = tn_heap_first(&scheduler->queue)) != NULL; num_started++) {
        if (scheduler->num_active >= scheduler->batch_limit && !make_place(scheduler, first)) break;
        if (!start(scheduler, first, now_ns)) break;
        tn_heap_remove(&scheduler->queue, first);
    }
    return num_started;
}

/* --- checking --------------------------------------------------------------------------------------------------------------- */

bool tn_scheduler_check(const tn_scheduler *scheduler) {
    int64_t num_promised = 0, num_owned = 0;
    for (int32_t i = 0; i < scheduler->num_active; i++) {
        const tn_sequence *sequence = scheduler->active[i];
        if (sequence == NULL || sequence->slot < 0 || sequence->num_promised < 0 || sequence->num_blocks > sequence->max_blocks)
            return false;
        if (sequence->num_finished > sequence->num_computed || num_blocks_of(scheduler, sequence->num_computed) > sequence->num_blocks)
            return false;
        num_promised += sequence->num_promised;
        num_owned += sequence->num_blocks - sequence->num_left;
        if (sequence->num_blocks - sequence->num_left > scheduler->most_held) return false;
    }
    int64_t num_references = 0;
    for (int32_t i = 0; i < tn_kv_cache_num_blocks(scheduler->cache); i++) num_references += tn_kv_cache_num_owners(scheduler->cache, i);
    return num_promised == scheduler->num_promised && num_owned == num_references && tn_scheduler_num_spare(scheduler) >= 0 &&
           scheduler->num_active <= scheduler->options.max_batch_size &&
           scheduler->num_active + scheduler->num_free_slots == scheduler->options.max_batch_size && tn_kv_cache_check(scheduler->cache);
}
