/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule.c: one step: what of which running sequence, and its blocks.
 */
#include "executor/beam_blocks.h"

static tn_sequence *active_at(const tn_scheduler *scheduler, int32_t index) {
    return scheduler->active[index];
}

/* Tokens that the sequence can run now. */
static int32_t num_waiting(const tn_sequence *sequence) {
    if (sequence->is_done || sequence->wants_pause) return 0;
    if (sequence->num_computed < sequence->num_prefill) {
        bool is_trunk = sequence->beams != NULL && sequence->num_computed < sequence->beams->num_trunk;
        return (is_trunk ? sequence->beams->num_trunk : sequence->num_prefill) - sequence->num_computed;
    }
    if (sequence->needs_host && sequence->num_in_flight > 0) return 0; /* the host must know the last token */
    /* A drawn token that would be the last needs no further step. */
    return sequence->num_drawn > sequence->num_computed && sequence->num_drawn < sequence->max_total ? 1 : 0;
}

/* --- sharing while reading -------------------------------------------------------------------------------------------------- */

/* Is the block with this key being computed? If not, it is from now on. */
static bool is_pending(tn_scheduler *scheduler, uint64_t key) {
    tn_pending_key *entry = &scheduler->pending[(key ^ key >> 32) % TN_NUM_PENDING_KEYS];
    bool is_in_flight = entry->step > scheduler->num_retired_steps && entry->step <= scheduler->num_steps;
    if (entry->key == key && (is_in_flight || entry->plan == scheduler->num_plans)) return true;
    *entry = (tn_pending_key){key, scheduler->num_steps + 1, scheduler->num_plans};
    return false;
}

/* True: another prompt computes its next block right now. Takes over blocks that became shareable since it started. */
static bool shares_or_waits(tn_scheduler *scheduler, tn_sequence *sequence) {
    int32_t size = scheduler->options.tokens_per_block;
    bool wants_prompt = sequence->wants_prompt_results && !sequence->has_prompt_results;
    if (wants_prompt || sequence->num_in_flight > 0) return false;
    int32_t end = sequence->beams != NULL ? sequence->beams->num_trunk : sequence->num_prefill;
    while (sequence->num_committed_blocks == sequence->num_blocks && sequence->num_computed == sequence->num_blocks * size &&
           sequence->num_computed + size < end) {
        const int32_t *tokens = sequence->tokens + sequence->num_computed;
        int32_t parent = sequence->num_blocks > 0 ? sequence->blocks[sequence->num_blocks - 1] : -1;
        int32_t found = tn_kv_cache_find(scheduler->cache, sequence->cache_salt, tokens, parent);
        if (found < 0) {
            uint64_t key = tn_kv_cache_key(scheduler->cache, sequence->cache_salt, tokens, parent);
            return is_pending(scheduler, key);
        }
        sequence->blocks[sequence->num_blocks++] = found;
        sequence->num_committed_blocks++;
        sequence->num_computed = sequence->num_finished = sequence->num_blocks * size;
        if (sequence->num_promised > 0) {
            sequence->num_promised--;
            scheduler->num_promised--;
        }
        if (sequence->num_pauses == 0) sequence->account.num_reused_tokens = sequence->num_computed;
        sequence->account.num_reused_blocks++, sequence->account.num_missed_blocks--;
        scheduler->num_reused_blocks++, scheduler->num_missed_blocks--;
    }
    return false;
}

/* --- blocks ------------------------------------------------------------------------------------------------------------------ */

int32_t tn_scheduler_take_block(tn_scheduler *scheduler, tn_sequence *sequence) {
    if (sequence->num_promised == 0 && tn_scheduler_num_spare(scheduler) <= 0) return -1;
    int32_t block = tn_kv_cache_allocate(scheduler->cache);
    if (block < 0) return block;
    if (sequence->num_promised > 0) {
        sequence->num_promised--;
        scheduler->num_promised--;
    }
    sequence->account.num_new_blocks++;
    scheduler->num_new_blocks++;
    return block;
}

/* Blocks that the next token and all after it do not look at. A step in flight that does is before the next on the stream. */
static void leave_blocks(tn_scheduler *scheduler, tn_sequence *sequence) {
    int32_t size = scheduler->options.tokens_per_block, first_seen = sequence->num_computed - scheduler->options.window + 1;
    int32_t num_before = sequence->num_left;
    for (; (sequence->first_held + 1) * size <= first_seen && sequence->first_held < sequence->num_blocks; sequence->first_held++) {
        tn_kv_cache_release(scheduler->cache, sequence->blocks[sequence->first_held]);
        sequence->blocks[sequence->first_held] = -1;
        sequence->num_left++;
    }
    if (sequence->num_left == num_before) return;
    sequence->table_stamp = ++scheduler->num_stamps;
    tn_scheduler_promise(scheduler, sequence);
}

/* Blocks for the tokens that the entry has; pauses others, or the sequence itself, if there are none. */
static void ensure_blocks(tn_scheduler *scheduler, int32_t index) {
    tn_sequence *sequence = active_at(scheduler, index);
    int32_t end = sequence->num_computed + scheduler->entries[index].num_scheduled, size = scheduler->options.tokens_per_block;
    bool is_beams = tn_beams_run(sequence);
    if (is_beams) tn_beam_blocks_drop(scheduler, sequence);
    int32_t num_needed = is_beams ? tn_beam_blocks_needed(scheduler, sequence, end) : (end + size - 1) / size - sequence->num_blocks;
    while (num_needed > sequence->num_promised + tn_scheduler_num_spare(scheduler)) {
        int32_t victim = tn_scheduler_find_victim(scheduler);
        if (victim < 0 || active_at(scheduler, victim)->num_in_flight > 0) {
            if (victim >= 0) active_at(scheduler, victim)->wants_pause = true;
            scheduler->entries[index].num_scheduled = 0; /* sits this step out */
            return;
        }
        scheduler->entries[victim].num_scheduled = 0;
        tn_scheduler_pause(scheduler, victim);
        if (victim == index) return;
    }
    if (is_beams) tn_beam_blocks_take(scheduler, sequence, end);
    for (int32_t i = 0; i < num_needed && !is_beams; i++)
        sequence->blocks[sequence->num_blocks++] = tn_scheduler_take_block(scheduler, sequence);
}

static void pause_those_that_should(tn_scheduler *scheduler) {
    bool has_gaps = false;
    for (int32_t i = 0; i < scheduler->num_active; i++) {
        const tn_sequence *sequence = active_at(scheduler, i);
        if (!sequence->wants_pause || sequence->num_in_flight > 0 || sequence->is_done) continue;
        tn_scheduler_pause(scheduler, i);
        has_gaps = true;
    }
    if (has_gaps) tn_scheduler_compact(scheduler);
}

/* --- rows --------------------------------------------------------------------------------------------------------------------- */

/* What the sequence has at `position`; −1: it is being drawn. */
static int32_t id_at(const tn_sequence *sequence, const int32_t *tokens, int32_t position) {
    if (position >= sequence->num_known) return -1;
    return position == sequence->num_known - 1 && sequence->beams == NULL ? sequence->last_token : tokens[position];
}

static void add_rows(tn_scheduler *scheduler, tn_sequence *sequence, const tn_micro_batch_entry *entry) {
    tn_schedule_row *rows = &scheduler->rows[scheduler->counts.num_rows];
    int32_t end = sequence->num_computed + entry->num_scheduled;
    rows[0] = (tn_schedule_row){.sequence = sequence,
                                .tokens = sequence->tokens,
                                .blocks = sequence->blocks,
                                .table_stamp = sequence->beams == NULL ? sequence->table_stamp : 0,
                                .slot = sequence->slot,
                                .num_blocks = sequence->num_blocks,
                                .num_beams = entry->width,
                                .first_token = sequence->num_computed,
                                .num_tokens = entry->num_scheduled,
                                .num_known = sequence->num_known,
                                .first_id = id_at(sequence, sequence->tokens, sequence->num_computed),
                                .is_context = entry->is_context,
                                .draws = end >= sequence->num_prefill,
                                .needs_slot = sequence->needs_slot,
                                .reads_rows = sequence->reads_rows};
    bool wants_prompt =
        entry->is_context && !sequence->has_prompt_results && rows->first_token < sequence->num_prompt && sequence->wants_prompt_results;
    rows->num_logits = wants_prompt ? rows->num_tokens : rows->draws ? 1 : 0;
    for (int32_t beam = 1; beam < entry->width; beam++) {
        rows[beam] = rows[0];
        rows[beam].beam = beam;
        rows[beam].tokens = sequence->beams->tokens[beam];
        rows[beam].first_id = id_at(sequence, rows[beam].tokens, sequence->num_computed);
        rows[beam].blocks = sequence->beams->tables[beam];
        rows[beam].slot = sequence->beams->slots[beam];
    }
    sequence->needs_slot = false;
    sequence->num_computed = end;
    sequence->num_in_flight++;
    sequence->last_step = scheduler->num_steps;
    if (rows->draws) sequence->num_drawn = end + 1;
    scheduler->counts.num_rows += entry->width;
    scheduler->counts.num_requests++;
    scheduler->counts.num_tokens += rows->num_tokens * entry->width;
    if (!rows->is_context) return;
    scheduler->counts.num_context_requests++;
    scheduler->counts.num_context_tokens += rows->num_tokens * entry->width;
}

static void prefetch_row(const tn_sequence *sequence) {
    if (sequence == NULL) return; /* paused */
    tn_sequence_prefetch(sequence, 0);
    tn_sequence_prefetch(sequence, 1);
}

int32_t tn_scheduler_plan(tn_scheduler *scheduler, int32_t max_num_tokens) {
    scheduler->counts = (tn_schedule_counts){0};
    scheduler->num_plans++;
    if (scheduler->options.policy == TN_MAX_UTILIZATION) pause_those_that_should(scheduler);
    bool can_share = scheduler->options.enable_block_reuse;
    for (int32_t i = 0; i < scheduler->num_active; i++) {
        if (i + TN_PREFETCH_DISTANCE < scheduler->num_active) tn_sequence_prefetch(active_at(scheduler, i + TN_PREFETCH_DISTANCE), 0);
        tn_sequence *sequence = active_at(scheduler, i);
        tn_micro_batch_entry *entry = &scheduler->entries[i];
        bool is_context = sequence->num_computed < sequence->num_prefill;
        if (scheduler->most_held < INT32_MAX && sequence->beams == NULL) leave_blocks(scheduler, sequence);
        bool waits = is_context && can_share && !sequence->is_done && shares_or_waits(scheduler, sequence);
        *entry = (tn_micro_batch_entry){.num_computed = sequence->num_computed,
                                        .num_waiting = waits ? 0 : num_waiting(sequence),
                                        .width = tn_beams_run(sequence) ? sequence->beams->num_live : 1,
                                        .is_context = is_context};
    }
    tn_micro_batch_limits limits = scheduler->options.limits;
    if (max_num_tokens < limits.max_num_tokens) limits.max_num_tokens = max_num_tokens;
    if (tn_micro_batch_schedule(scheduler->entries, scheduler->num_active, &limits) == 0) return 0;
    for (int32_t i = 0; i < scheduler->num_active; i++)
        if (active_at(scheduler, i) != NULL && scheduler->entries[i].num_scheduled > 0) ensure_blocks(scheduler, i);
    scheduler->num_steps++;
    for (int pass = 0; pass < 2; pass++) /* contexts first */
        for (int32_t i = 0; i < scheduler->num_active; i++) {
            const tn_micro_batch_entry *entry = &scheduler->entries[i];
            if (i + TN_PREFETCH_DISTANCE < scheduler->num_active && pass == 1) prefetch_row(active_at(scheduler, i + TN_PREFETCH_DISTANCE));
            if (entry->num_scheduled > 0 && entry->is_context == (pass == 0)) add_rows(scheduler, active_at(scheduler, i), entry);
        }
    if (scheduler->counts.num_paused > 0) tn_scheduler_compact(scheduler);
    if (scheduler->counts.num_rows == 0) scheduler->num_steps--;
    return scheduler->counts.num_rows;
}

/* Blocks whose tokens the host knows and whose keys and values are computed may be shared from now on. */
static void commit_blocks(tn_scheduler *scheduler, tn_sequence *sequence) {
    int32_t size = scheduler->options.tokens_per_block, complete = tn_scheduler_num_sharable(sequence);
    for (int32_t i = sequence->num_committed_blocks; (i + 1) * size <= complete; i++) {
        tn_kv_cache_commit(scheduler->cache, sequence->cache_salt, sequence->tokens + i * size, size, i > 0 ? sequence->blocks[i - 1] : -1,
                           sequence->blocks[i], tn_sequence_block_priority(sequence, i, size));
        sequence->num_committed_blocks = i + 1;
    }
}

void tn_scheduler_retire(tn_scheduler *scheduler, const tn_schedule_row *row, bool is_right) {
    tn_sequence *sequence = row->sequence;
    if (row->beam > 0) return;
    sequence->num_in_flight--;
    if (!is_right || sequence->is_done) return;
    sequence->num_finished = row->first_token + row->num_tokens;
    if (row->is_context && sequence->num_finished >= sequence->num_prompt) sequence->has_prompt_results = true;
    if (scheduler->options.enable_block_reuse &&
        sequence->num_finished >= (sequence->num_committed_blocks + 1) * scheduler->options.tokens_per_block)
        commit_blocks(scheduler, sequence);
}
