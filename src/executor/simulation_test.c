/* SPDX-License-Identifier: Apache-2.0
 *
 * simulation_test.c: the scheduler and the block manager under 100,000 random requests, with no engine.
 *
 * The fake engine keeps what a cache would: at each place of a block a hash of all tokens up to there, as keys and values depend
 * on them. It draws the next token from that hash, or gives beams logits that depend on it. A block shared, copied, moved to the
 * host or taken back wrongly gives a wrong answer, which the end of each request compares with what its prompt alone says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "executor/beam_blocks.h"

enum { BLOCK = 4, VOCAB = 40, MAX_SEQ_LEN = 96, MAX_BATCH = 8, MAX_BLOCKS = 64, MAX_SLOTS = 24, NUM_STARTS = 6, MAX_LIVE = 256 };
enum { NUM_REQUESTS = 100000, MAX_WIDTH = 4 };

typedef struct setting {
    tn_capacity_policy policy;
    tn_chunking_policy chunking;
    int32_t depth, num_blocks, num_host_slots, max_num_tokens, max_chunk_tokens, chunk_unit;
    bool allow_chunks, reuse, partial, copies, priorities;
    int32_t window, sink_tokens;
    bool beams;
} setting;

typedef struct flight {
    tn_schedule_row rows[MAX_BATCH];
    int32_t tokens[MAX_BATCH];
    int32_t num_rows;
} flight;

typedef struct simulation {
    setting set;
    uint64_t random, trace;
    int64_t now_ns, num_steps, num_idle_steps;
    tn_executor_info info;
    tn_kv_cache *cache;
    tn_arena arena;
    tn_scheduler scheduler;
    tn_sequence *live[MAX_LIVE];
    int32_t num_live;
    uint64_t next_id;
    uint64_t contents[MAX_BLOCKS][BLOCK], host[MAX_SLOTS][BLOCK];
    int32_t last_tokens[MAX_BATCH];
    flight flights[2];
    int first_flight, num_flights;
    int64_t num_ended, num_cancelled, num_timed_out, num_reused, num_onboarded, num_copied, num_searches, num_beam_pauses;
} simulation;

static uint32_t random_below(simulation *self, uint32_t below) {
    self->random = self->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(self->random >> 33) % below;
}

static uint64_t mix(uint64_t hash, int32_t token) {
    hash = (hash ^ (uint64_t)(uint32_t)token) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 31;
}

static int32_t draw(uint64_t hash) {
    return (int32_t)((hash >> 17) % VOCAB);
}

/* --- requests ----------------------------------------------------------------------------------------------------------------- */

/* Prompts begin in a few ways, so that many share blocks and parts of blocks. */
static int32_t make_prompt(simulation *self, int32_t *ids) {
    int32_t count = 1 + (int32_t)random_below(self, random_below(self, 4) == 0 ? 60 : 24), start = (int32_t)random_below(self, NUM_STARTS);
    int32_t common = (int32_t)random_below(self, 40);
    for (int32_t i = 0; i < count; i++) ids[i] = i < common ? (start * 7 + i * (start + 3)) % VOCAB : (int32_t)random_below(self, VOCAB);
    return count;
}

/* As many beams as can be served, 1 to MAX_WIDTH. */
static void ask_for_beams(simulation *self, tn_request *request) {
    int32_t count = (int32_t)request->num_input_ids, total = count + request->max_tokens;
    if (total > MAX_SEQ_LEN) total = MAX_SEQ_LEN;
    int32_t width = 1 + (int32_t)random_below(self, MAX_WIDTH);
    while (width > 1 && (tn_beam_blocks_most(count, total, width, BLOCK) > self->set.num_blocks ||
                         (!self->set.allow_chunks && width * request->max_tokens > self->set.max_num_tokens)))
        width--;
    static const int32_t widths[] = {1, 3, 2};
    request->sampling.beam_width = width;
    request->sampling.early_stopping = (int32_t)random_below(self, 3);
    request->sampling.length_penalty = (float)random_below(self, 3) * 0.5f;
    if (width < 3 || random_below(self, 8) > 0) return;
    request->sampling.beam_width_array = widths;
    request->sampling.num_beam_widths = 3;
}

static void arrive(simulation *self) {
    int32_t ids[MAX_SEQ_LEN], count = make_prompt(self, ids);
    tn_request request;
    tn_request_init(&request, ids, (size_t)count, 1 + (int32_t)random_below(self, 24));
    if (random_below(self, 4) == 0) request.end_id = (int32_t)random_below(self, VOCAB);
    if (self->set.priorities) request.priority = (float)random_below(self, 4) / 4.0f;
    request.cache_salt = random_below(self, 10) == 0;
    tn_retention_range range = {0, -1, (int32_t)random_below(self, 101), (int64_t)random_below(self, 50)};
    tn_kv_retention retention;
    tn_kv_retention_init(&retention);
    retention.ranges = &range;
    retention.num_ranges = 1;
    if (random_below(self, 8) == 0) request.retention = &retention;
    if (self->set.beams && random_below(self, 4) == 0) ask_for_beams(self, &request);
    if (!self->set.allow_chunks && count + request.max_tokens > self->set.max_num_tokens) return; /* enqueue refuses these */
    tn_sequence *sequence;
    assert_int_equal(tn_sequence_create(&request, 0, &self->info, NULL, NULL, &sequence), TN_OK);
    sequence->id = self->next_id++;
    sequence->enqueue_ns = self->now_ns;
    if (random_below(self, 16) == 0) sequence->deadline_ns = self->now_ns + (int64_t)random_below(self, 60) * 1000000;
    assert_true(tn_heap_reserve(&self->scheduler.queue, NULL, (size_t)self->num_live + 1));
    self->live[self->num_live++] = sequence;
    tn_scheduler_push(&self->scheduler, sequence);
}

/* Any next token, more likely or less, by all before it. */
static void make_logits(uint64_t hash, float *out) {
    for (int32_t i = 0; i < VOCAB; i++) {
        hash = hash * 6364136223846793005u + 1442695040888963407u;
        out[i] = (float)(hash >> 40) / (float)(1 << 23);
    }
}

/* The same search as far as it came, without a scheduler. */
static void check_beams(const simulation *self, tn_sequence *sequence) {
    const tn_beams *beams = sequence->beams;
    tn_request request;
    tn_request_init(&request, sequence->tokens, (size_t)sequence->num_prompt, sequence->max_tokens);
    request.end_id = sequence->end_id;
    request.sampling.beam_width = beams->width;
    request.sampling.early_stopping = beams->early_stopping;
    request.sampling.length_penalty = (float)beams->length_penalty;
    request.sampling.beam_width_array = beams->widths;
    request.sampling.num_beam_widths = (size_t)beams->num_widths;
    tn_sequence *alone;
    assert_int_equal(tn_sequence_create(&request, 0, &self->info, NULL, NULL, &alone), TN_OK);
    while (alone->num_known < sequence->num_known) {
        assert_false(alone->is_done);
        for (int32_t row = 0; row < tn_beams_num_rows(alone->beams); row++) {
            uint64_t hash = 1;
            for (int32_t i = 0; i < alone->num_known; i++) hash = mix(hash, alone->beams->tokens[row][i]);
            make_logits(hash, alone->beams->logits + row * VOCAB);
        }
        tn_beams_advance(alone, 0);
    }
    tn_beams_end(alone, sequence->done_reason);
    tn_beams_end(sequence, sequence->done_reason);
    int32_t num_tokens = alone->num_known - alone->num_prompt;
    assert_int_equal(beams->num_answers, alone->beams->num_answers);
    if (sequence->done_reason <= TN_FINISH_LENGTH) assert_true(alone->is_done);
    for (int32_t i = 0; i < beams->num_answers; i++) {
        int32_t ids[2][MAX_SEQ_LEN];
        tn_beam_answer answer = tn_beams_get(beams, i, num_tokens, true), wanted = tn_beams_get(alone->beams, i, num_tokens, true);
        assert_memory_equal(&answer.score, &wanted.score, sizeof answer.score);
        assert_true(answer.num_tokens == wanted.num_tokens && answer.reason == wanted.reason);
        tn_beams_copy(beams, &answer, ids[0], NULL, 0);
        tn_beams_copy(alone->beams, &wanted, ids[1], NULL, 0);
        assert_memory_equal(ids[0], ids[1], (size_t)answer.num_tokens * sizeof **ids);
    }
    tn_sequence_destroy(alone);
}

static void check_answer(const tn_sequence *sequence) {
    uint64_t hash = 1;
    for (int32_t i = 0; i < sequence->num_known; i++) {
        if (i >= sequence->num_prompt && sequence->tokens[i] != draw(hash))
            fail_msg("token %d of request %d is %d, alone it is %d", (int)i, (int)sequence->id, (int)sequence->tokens[i], (int)draw(hash));
        hash = mix(hash, sequence->tokens[i]);
    }
    if (sequence->done_reason == TN_FINISH_LENGTH) assert_int_equal(sequence->num_known, sequence->max_total);
}

static void leave(simulation *self, tn_sequence *sequence) {
    if (sequence->beams != NULL)
        check_beams(self, sequence);
    else
        check_answer(sequence);
    if (self->set.policy != TN_MAX_UTILIZATION) assert_int_equal(sequence->num_pauses, 0);
    self->num_searches += sequence->beams != NULL;
    if (sequence->beams != NULL) self->num_beam_pauses += sequence->num_pauses;
    assert_int_equal(sequence->num_blocks, 0);
    self->num_ended++;
    self->num_cancelled += sequence->done_reason == TN_FINISH_CANCELLED;
    self->num_timed_out += sequence->done_reason == TN_FINISH_TIMED_OUT;
    self->num_reused += sequence->account.num_reused_tokens;
    for (int32_t i = 0; i < self->num_live; i++)
        if (self->live[i] == sequence) self->live[i] = self->live[--self->num_live];
    tn_sequence_destroy(sequence);
}

static void stop(simulation *self, tn_sequence *sequence, tn_finish_reason reason) {
    if (sequence->is_done) return;
    sequence->is_done = true;
    sequence->done_reason = reason;
    if (!tn_heap_has(&self->scheduler.queue, sequence)) return;
    tn_heap_remove(&self->scheduler.queue, sequence);
    leave(self, sequence);
}

/* --- the fake engine ------------------------------------------------------------------------------------------------------------ */

static void run_copies(simulation *self) {
    int32_t count;
    const tn_kv_copy *copies = tn_kv_cache_take_copies(self->cache, &count);
    for (int32_t i = 0; i < count; i++) {
        const tn_kv_copy *copy = &copies[i];
        if (copy->kind == TN_KV_OFFLOAD) memcpy(self->host[copy->dst], self->contents[copy->src], sizeof *self->host);
        if (copy->kind == TN_KV_ONBOARD) memcpy(self->contents[copy->dst], self->host[copy->src], sizeof *self->host);
        if (copy->kind == TN_KV_COPY_TOKENS)
            memmove(self->contents[copy->dst], self->contents[copy->src], (size_t)copy->num_tokens * sizeof **self->host);
        self->num_onboarded += copy->kind == TN_KV_ONBOARD;
        self->num_copied += copy->kind == TN_KV_COPY_TOKENS;
    }
}

static uint64_t *place_of(simulation *self, const tn_schedule_row *row, int32_t position) {
    return &self->contents[row->blocks[position / BLOCK]][position % BLOCK];
}

/* Attention reads everything before: a random place is compared. */
static void check_past(simulation *self, const tn_schedule_row *row) {
    const tn_sequence *sequence = row->sequence;
    int32_t end = row->first_token < sequence->num_known ? row->first_token : sequence->num_known;
    if (end == 0) return;
    int32_t position = (int32_t)random_below(self, (uint32_t)end);
    if (self->set.window > 0 && position >= self->set.sink_tokens && position <= end - self->set.window) return; /* not seen */
    uint64_t hash = 1;
    for (int32_t i = 0; i <= position; i++) hash = mix(hash, row->tokens[i]);
    if (position < sequence->num_known && *place_of(self, row, position) != hash)
        fail_msg("request %d finds something else at %d of %d tokens", (int)sequence->id, (int)position, (int)end);
}

static int32_t run_row(simulation *self, const tn_schedule_row *row) {
    const tn_sequence *sequence = row->sequence;
    check_past(self, row);
    if (row->needs_slot) self->last_tokens[sequence->slot] = sequence->tokens[sequence->num_prefill - 1];
    uint64_t hash = row->first_token > 0 ? *place_of(self, row, row->first_token - 1) : 1;
    for (int32_t i = row->first_token; i < row->first_token + row->num_tokens; i++) {
        hash = mix(hash, i < sequence->num_known ? row->tokens[i] : self->last_tokens[sequence->slot]);
        *place_of(self, row, i) = hash;
    }
    if (row->draws && sequence->beams != NULL) make_logits(hash, sequence->beams->logits + row->beam * VOCAB);
    if (sequence->beams != NULL) return 0;
    if (row->draws) self->last_tokens[sequence->slot] = draw(hash);
    return draw(hash);
}

/* --- steps ---------------------------------------------------------------------------------------------------------------------- */

static void check_rows(simulation *self, int32_t num_rows) {
    int32_t num_tokens = 0;
    bool seen_generation = false, slots[MAX_BATCH] = {false};
    assert_in_range(num_rows, 1, MAX_BATCH);
    for (int32_t i = 0; i < num_rows; i++) {
        const tn_schedule_row *row = &self->scheduler.rows[i];
        const tn_beams *beams = row->sequence->beams;
        int32_t end = row->first_token + row->num_tokens, trunk = beams != NULL ? beams->num_trunk : row->sequence->num_prefill;
        num_tokens += row->num_tokens;
        assert_false(slots[row->slot]);
        slots[row->slot] = true;
        if (row->beam > 0) assert_ptr_equal(self->scheduler.rows[i - row->beam].sequence, row->sequence);
        if (row->beam == 0 && beams != NULL) assert_int_equal(row->num_beams, row->first_token < trunk ? 1 : beams->num_live);
        assert_true(!row->is_context || !seen_generation);
        seen_generation = seen_generation || !row->is_context;
        assert_true(end <= row->sequence->max_total && row->sequence->num_blocks * BLOCK >= end);
        if (!row->is_context) assert_int_equal(row->num_tokens, 1);
        if (row->is_context && end < trunk && self->set.allow_chunks) assert_true(row->num_tokens <= self->set.max_chunk_tokens);
        if (row->is_context && !self->set.allow_chunks) assert_true(end == trunk || end == row->sequence->num_prefill);
        self->trace = mix(mix(mix(self->trace, (int32_t)row->sequence->id), row->first_token), row->num_tokens);
    }
    assert_in_range(num_tokens, 1, self->set.max_num_tokens);
}

static bool launch(simulation *self) {
    int32_t num_rows = tn_scheduler_plan(&self->scheduler, self->set.max_num_tokens);
    run_copies(self);
    assert_true(tn_scheduler_check(&self->scheduler));
    if (num_rows == 0) return false;
    check_rows(self, num_rows);
    flight *next = &self->flights[(self->first_flight + self->num_flights++) % self->set.depth];
    next->num_rows = num_rows;
    memcpy(next->rows, self->scheduler.rows, (size_t)num_rows * sizeof *next->rows);
    for (int32_t i = 0; i < num_rows; i++) next->tokens[i] = run_row(self, &next->rows[i]);
    self->num_steps++;
    return true;
}

static void land(simulation *self) {
    const flight *done = &self->flights[self->first_flight];
    self->first_flight = (self->first_flight + 1) % self->set.depth;
    self->num_flights--;
    for (int32_t i = 0; i < done->num_rows; i++) {
        tn_sequence *sequence = done->rows[i].sequence;
        tn_scheduler_retire(&self->scheduler, &done->rows[i], true);
        if (sequence->is_done || !done->rows[i].draws || done->rows[i].beam > 0) continue;
        if (sequence->beams != NULL)
            tn_beams_advance(sequence, self->now_ns);
        else
            tn_sequence_accept_token(sequence, done->tokens[i], self->now_ns);
    }
    tn_scheduler_retire_step(&self->scheduler);
}

static void stop_some(simulation *self) {
    if (self->num_live > 0 && random_below(self, 24) == 0)
        stop(self, self->live[random_below(self, (uint32_t)self->num_live)], TN_FINISH_CANCELLED);
    for (int32_t i = self->num_live - 1; i >= 0; i--)
        if (self->live[i]->deadline_ns >= 0 && self->live[i]->deadline_ns <= self->now_ns) stop(self, self->live[i], TN_FINISH_TIMED_OUT);
}

static void end_some(simulation *self) {
    tn_scheduler *scheduler = &self->scheduler;
    for (int32_t i = 0; i < scheduler->num_active; i++) {
        tn_sequence *sequence = scheduler->active[i];
        if (!sequence->is_done || sequence->num_in_flight > 0) continue;
        tn_scheduler_end(scheduler, i);
        leave(self, sequence);
    }
    tn_scheduler_compact(scheduler);
}

static void step(simulation *self) {
    tn_scheduler *scheduler = &self->scheduler;
    self->now_ns += 1000000;
    tn_scheduler_requeue(scheduler);
    stop_some(self);
    end_some(self);
    int32_t num_before = scheduler->num_active;
    tn_kv_cache_set_time(self->cache, self->now_ns);
    int32_t num_started = tn_scheduler_admit(scheduler, self->now_ns);
    if (self->set.policy == TN_STATIC_BATCH && num_started > 0) assert_int_equal(num_before, 0);
    assert_true(tn_scheduler_check(scheduler));
    bool is_launched = self->num_flights < self->set.depth && launch(self);
    if (self->num_flights == self->set.depth || !is_launched) {
        self->num_idle_steps = self->num_flights > 0 || self->num_live == 0 ? 0 : self->num_idle_steps + 1;
        if (self->num_flights > 0) land(self);
    }
    assert_true(self->num_idle_steps < 4); /* something always goes on */
}

static uint64_t simulate(const setting *set, uint64_t seed, int32_t num_requests, simulation *out) {
    static simulation self;
    self = (simulation){.set = *set, .random = seed, .next_id = 1};
    self.info = (tn_executor_info){.vocab_size = VOCAB,
                                   .max_seq_len = MAX_SEQ_LEN,
                                   .tokens_per_block = BLOCK,
                                   .num_blocks = set->num_blocks,
                                   .max_beam_width = MAX_WIDTH};
    tn_kv_cache_options cache = {.num_blocks = set->num_blocks,
                                 .tokens_per_block = BLOCK,
                                 .num_host_slots = set->num_host_slots,
                                 .max_copies = MAX_BATCH,
                                 .enable_partial_reuse = set->partial,
                                 .copy_on_partial_reuse = set->copies,
                                 .onboard_blocks = true,
                                 .offload_min_priority = 10};
    tn_scheduler_options options = {.policy = set->policy,
                                    .limits = {.max_num_tokens = set->max_num_tokens,
                                               .max_chunk_tokens = set->max_chunk_tokens,
                                               .chunk_unit = set->chunk_unit,
                                               .allow_chunks = set->allow_chunks,
                                               .policy = set->chunking},
                                    .max_batch_size = MAX_BATCH,
                                    .tokens_per_block = BLOCK,
                                    .enable_block_reuse = set->reuse,
                                    .window = set->window,
                                    .sink_tokens = set->sink_tokens};
    assert_int_equal(tn_kv_cache_create(&cache, NULL, NULL, &self.cache), TN_OK);
    assert_int_equal(tn_scheduler_init(&self.scheduler, &options, self.cache, &self.arena, NULL), TN_OK);
    if (self.scheduler.most_held < INT32_MAX) self.info.max_blocks_per_request = self.scheduler.most_held;
    while (self.next_id <= (uint64_t)num_requests || self.num_live > 0) {
        int32_t num_new = random_below(&self, 3) == 0 ? (int32_t)random_below(&self, 6) : 0;
        for (int32_t i = 0; i < num_new && self.next_id <= (uint64_t)num_requests && self.num_live < MAX_LIVE; i++) arrive(&self);
        step(&self);
    }
    assert_int_equal(self.num_ended, num_requests);
    assert_int_equal(tn_kv_cache_num_available(self.cache), set->num_blocks);
    assert_int_equal(self.scheduler.num_promised, 0);
    *out = self;
    tn_heap_deinit(&self.scheduler.queue, NULL);
    tn_kv_cache_destroy(self.cache);
    tn_arena_deinit(&self.arena);
    return self.trace;
}

static const setting settings[] = {
    {TN_GUARANTEED_NO_EVICT, TN_FIRST_COME_FIRST_SERVED, 1, 64, 0, 32, 32, 4, true, true, true, true, true, 0, 0, false},
    {TN_GUARANTEED_NO_EVICT, TN_EQUAL_PROGRESS, 2, 40, 24, 24, 16, 4, true, true, true, true, false, 0, 0, true},
    {TN_GUARANTEED_NO_EVICT, TN_FIRST_COME_FIRST_SERVED, 2, 24, 8, 64, 64, 4, true, true, true, false, true, 0, 0, true},
    {TN_GUARANTEED_NO_EVICT, TN_FIRST_COME_FIRST_SERVED, 1, 24, 0, 96, 96, 4, false, false, false, false, false, 0, 0, true},
    {TN_MAX_UTILIZATION, TN_FIRST_COME_FIRST_SERVED, 1, 24, 0, 32, 32, 4, true, true, true, true, true, 0, 0, true},
    {TN_MAX_UTILIZATION, TN_FIRST_COME_FIRST_SERVED, 2, 24, 16, 32, 3, 1, true, true, true, true, true, 0, 0, true},
    {TN_MAX_UTILIZATION, TN_EQUAL_PROGRESS, 2, 32, 0, 16, 16, 4, true, false, false, false, false, 0, 0, false},
    {TN_MAX_UTILIZATION, TN_FIRST_COME_FIRST_SERVED, 2, 28, 0, 96, 96, 4, false, true, false, false, true, 0, 0, true},
    {TN_STATIC_BATCH, TN_FIRST_COME_FIRST_SERVED, 1, 48, 0, 32, 32, 4, true, true, true, true, true, 0, 0, true},
    {TN_STATIC_BATCH, TN_EQUAL_PROGRESS, 2, 24, 24, 16, 8, 4, true, true, true, true, false, 0, 0, true},
    {TN_GUARANTEED_NO_EVICT, TN_FIRST_COME_FIRST_SERVED, 2, 12, 0, 16, 8, 4, true, false, false, false, true, 10, 3, true},
    {TN_MAX_UTILIZATION, TN_EQUAL_PROGRESS, 1, 11, 0, 32, 5, 1, true, false, false, false, true, 9, 0, true},
    {TN_GUARANTEED_NO_EVICT, TN_FIRST_COME_FIRST_SERVED, 1, 40, 0, 32, 32, 4, true, true, true, true, true, 12, 5, true},
};
enum { NUM_SETTINGS = sizeof settings / sizeof *settings };

static void every_request_ends_with_its_own_answer_and_every_block_is_accounted_for(void **state) {
    (void)state;
    simulation *result = calloc(1, sizeof *result);
    int64_t num_pauses = 0, num_onboarded = 0, num_copied = 0, num_reused = 0, num_cancelled = 0, num_timed_out = 0;
    int64_t num_searches = 0, num_beam_pauses = 0;
    assert_non_null(result);
    for (int i = 0; i < NUM_SETTINGS; i++) {
        (void)simulate(&settings[i], 1000 + (uint64_t)i, (NUM_REQUESTS + NUM_SETTINGS - 1) / NUM_SETTINGS, result);
        num_pauses += result->scheduler.num_pauses;
        num_onboarded += result->num_onboarded;
        num_copied += result->num_copied;
        num_reused += result->num_reused;
        num_cancelled += result->num_cancelled;
        num_timed_out += result->num_timed_out;
        num_searches += result->num_searches;
        num_beam_pauses += result->num_beam_pauses;
        if (settings[i].policy == TN_MAX_UTILIZATION) assert_true(result->scheduler.num_pauses > 100);
    }
    print_message("%d pauses, %d blocks from the host, %d parts copied, %d tokens reused, %d cancelled, %d timed out, "
                  "%d searches paused %d times\n",
                  (int)num_pauses, (int)num_onboarded, (int)num_copied, (int)num_reused, (int)num_cancelled, (int)num_timed_out,
                  (int)num_searches, (int)num_beam_pauses);
    assert_true(num_searches > 10000 && num_beam_pauses > 1000);
    assert_true(num_onboarded > 100 && num_copied > 1000 && num_reused > 10000 && num_cancelled > 1000 && num_timed_out > 1000);
    free(result);
}

static void the_same_seed_gives_the_same_trace(void **state) {
    (void)state;
    simulation *result = calloc(1, sizeof *result);
    assert_non_null(result);
    for (int i = 0; i < NUM_SETTINGS; i++) {
        uint64_t first = simulate(&settings[i], 7, 500, result);
        assert_true(first == simulate(&settings[i], 7, 500, result));
        assert_true(first != simulate(&settings[i], 8, 500, result));
    }
    free(result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_ends_with_its_own_answer_and_every_block_is_accounted_for),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
