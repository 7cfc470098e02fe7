/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: starting, pausing and ending sequences.
 */
#include "executor/scheduler.h"

#include <string.h>

#include "executor/beam_blocks.h"

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
    const tn_beams *beams = sequence->beams;
    int32_t num_taken = beams != NULL && beams->has_parted ? beams->num_held : sequence->num_blocks;
    int32_t promised = sequence->num_target - num_taken, room = scheduler->most_held - (sequence->num_blocks - sequence->num_left);
    if (beams == NULL && promised > room) promised = room;
    if (promised < 0) promised = 0;
    scheduler->num_promised += promised - sequence->num_promised;
    sequence->num_promised = promised;
}

/* --- giving back ------------------------------------------------------------------------------------------------------------ */

int32_t tn_scheduler_num_sharable(const tn_sequence *sequence) {
    int32_t count = sequence->num_finished < sequence->num_known ? sequence->num_finished : sequence->num_known;
    return sequence->beams != NULL && sequence->beams->num_trunk < count ? sequence->beams->num_trunk : count;
}

/* The tokens of its last block that will not become whole: others may copy them. */
static void commit_tail(tn_scheduler *scheduler, const tn_sequence *sequence) {
    int32_t size = scheduler->options.tokens_per_block, index = sequence->num_committed_blocks;
    int32_t complete = tn_scheduler_num_sharable(sequence);
    if (!scheduler->options.enable_block_reuse || sequence->status != TN_OK || complete <= index * size || index >= sequence->num_blocks)
        return;
    tn_kv_cache_commit(scheduler->cache, sequence->cache_salt, sequence->tokens + index * size, complete - index * size,
                       index > 0 ? sequence->blocks[index - 1] : -1, sequence->blocks[index],
                       tn_sequence_block_priority(sequence, index, size));
}

static void give_back(tn_scheduler *scheduler, tn_sequence *sequence) {
    commit_tail(scheduler, sequence);
    if (sequence->beams != NULL) tn_beam_blocks_release(scheduler, sequence);
    for (int32_t i = sequence->num_blocks - 1; i >= 0 && sequence->beams == NULL; i--)
        if (sequence->blocks[i] >= 0) tn_kv_cache_release(scheduler->cache, sequence->blocks[i]);
    scheduler->num_promised -= sequence->num_promised;
    sequence->num_blocks = sequence->num_committed_blocks = sequence->num_promised = sequence->num_left = 0;
    if (sequence->slot >= 0) scheduler->free_slots[scheduler->num_free_slots++] = sequence->slot;
    for (int32_t i = 1; i < tn_scheduler_num_places(sequence) && sequence->slot >= 0; i++)
        scheduler->free_slots[scheduler->num_free_slots++] = sequence->beams->slots[i];
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
    bool wants_prompt = sequence->wants_prompt_results && !sequence->has_prompt_results;
    return scheduler->options.enable_block_reuse && !wants_prompt;
}

/* The blocks that the policy wants for it. */
static int32_t num_wanted(const tn_scheduler *scheduler, const tn_sequence *sequence) {
    if (scheduler->options.policy != TN_MAX_UTILIZATION) return sequence->max_held;
    int32_t num_tokens = sequence->num_known < sequence->max_total ? sequence->num_known + 1 : sequence->max_total;
    const tn_beams *beams = sequence->beams;
    if (beams == NULL) return num_blocks_of(scheduler, num_tokens);
    return tn_beam_blocks_most(beams->num_trunk, num_tokens, beams->width, scheduler->options.tokens_per_block);
}

/* What the trunk of beams ends with is computed too, unless they part there. */
static int32_t num_to_match(const tn_sequence *sequence) {
    int32_t count = sequence->num_known - 1;
    return sequence->beams != NULL && sequence->beams->num_trunk < count ? sequence->beams->num_trunk : count;
}

static void take_slots(tn_scheduler *scheduler, tn_sequence *sequence) {
    sequence->slot = scheduler->free_slots[--scheduler->num_free_slots];
    sequence->needs_slot = sequence->beams == NULL; /* beams draw nothing from theirs */
    if (sequence->beams == NULL) return;
    sequence->beams->slots[0] = sequence->slot;
    for (int32_t i = 1; i < sequence->beams->width; i++) sequence->beams->slots[i] = scheduler->free_slots[--scheduler->num_free_slots];
}

static void count_blocks(tn_scheduler *scheduler, tn_sequence *sequence, int32_t num_reused) {
    int32_t num_missed = num_blocks_of(scheduler, sequence->num_known) - num_reused;
    sequence->account.num_reused_blocks += num_reused;
    sequence->account.num_missed_blocks += num_missed;
    scheduler->num_reused_blocks += num_reused;
    scheduler->num_missed_blocks += num_missed;
}

/* Blocks that others own cost nothing; cached ones stop being available when they are matched, as new ones do. The last token
 * always runs: its logits draw the next one. */
static bool start(tn_scheduler *scheduler, tn_sequence *sequence, int64_t now_ns) {
    if (sequence->beams != NULL) tn_beam_blocks_begin(sequence);
    bool shares = may_share(scheduler, sequence);
    int32_t wanted = num_wanted(scheduler, sequence), num_tokens = num_to_match(sequence);
    int32_t num_held = sequence->beams != NULL || wanted < scheduler->most_held ? wanted : scheduler->most_held;
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
    take_slots(scheduler, sequence);
    sequence->table_stamp = ++scheduler->num_stamps;
    sequence->idle_since_ns = now_ns;
    sequence->is_paused = false;
    if (sequence->num_pauses == 0) sequence->account.num_reused_tokens = match.num_tokens;
    count_blocks(scheduler, sequence, match.num_blocks);
    for (int32_t i = 0; i < match.num_shared && sequence->retention != NULL; i++)
        tn_kv_cache_set_priority(scheduler->cache, sequence->blocks[i],
                                 tn_sequence_block_priority(sequence, i, scheduler->options.tokens_per_block));
    if (sequence->num_pauses == 0) sequence->account.queued_ns = now_ns - sequence->enqueue_ns;
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

/* With nothing else running it may take what it needs, whatever the limit is. */
static bool has_place(tn_scheduler *scheduler, const tn_sequence *sequence) {
    int32_t num_places = tn_scheduler_num_places(sequence);
    while (scheduler->options.max_batch_size - scheduler->num_free_slots + num_places > scheduler->batch_limit && scheduler->num_active > 0)
        if (!make_place(scheduler, sequence)) return false;
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
        if (!has_place(scheduler, first) || !start(scheduler, first, now_ns)) break;
        tn_heap_remove(&scheduler->queue, first);
    }
    return num_started;
}

/* --- checking --------------------------------------------------------------------------------------------------------------- */

/* A block that is written to has one owner; what the beams hold together is what the books say, and within what it may be. */
static bool check_beams(const tn_scheduler *scheduler, const tn_sequence *sequence) {
    const tn_beams *beams = sequence->beams;
    int32_t size = scheduler->options.tokens_per_block, written = sequence->num_computed / size, num_held = 0;
    if (!beams->has_parted) return beams->num_tables == 1 && sequence->num_blocks <= sequence->max_blocks;
    for (int32_t i = 0; i < beams->num_tables; i++) {
        if (sequence->num_computed % size != 0 && tn_kv_cache_num_owners(scheduler->cache, beams->tables[i][written]) != 1) return false;
        for (int32_t block = 0; block < sequence->num_blocks; block++) {
            int32_t first = 0;
            while (beams->tables[first][block] != beams->tables[i][block]) first++;
            num_held += first == i;
        }
    }
    return beams->num_tables <= beams->width && num_held == beams->num_held && num_held <= sequence->max_held &&
           sequence->blocks == beams->tables[0];
}

bool tn_scheduler_check(const tn_scheduler *scheduler) {
    int64_t num_promised = 0, num_owned = 0;
    int32_t num_places = 0;
    for (int32_t i = 0; i < scheduler->num_active; i++) {
        const tn_sequence *sequence = scheduler->active[i];
        if (sequence == NULL || sequence->slot < 0 || sequence->num_promised < 0 || sequence->num_blocks > sequence->max_blocks)
            return false;
        if (sequence->num_finished > sequence->num_computed || num_blocks_of(scheduler, sequence->num_computed) > sequence->num_blocks)
            return false;
        num_promised += sequence->num_promised;
        num_places += tn_scheduler_num_places(sequence);
        if (sequence->beams != NULL && !check_beams(scheduler, sequence)) return false;
        num_owned += (int64_t)(sequence->num_blocks - sequence->num_left) * (sequence->beams != NULL ? sequence->beams->num_tables : 1);
        if (sequence->beams == NULL && sequence->num_blocks - sequence->num_left > scheduler->most_held) return false;
    }
    int64_t num_references = 0;
    for (int32_t i = 0; i < tn_kv_cache_num_blocks(scheduler->cache); i++) num_references += tn_kv_cache_num_owners(scheduler->cache, i);
    return num_promised == scheduler->num_promised && num_owned == num_references && tn_scheduler_num_spare(scheduler) >= 0 &&
           scheduler->num_active <= scheduler->options.max_batch_size &&
           num_places + scheduler->num_free_slots == scheduler->options.max_batch_size && tn_kv_cache_check(scheduler->cache);
}
