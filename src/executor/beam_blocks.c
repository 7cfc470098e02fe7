/* SPDX-License-Identifier: Apache-2.0
 *
 * beam_blocks.c: tables of blocks that follow the beams.
 */
#include "executor/beam_blocks.h"

#include <assert.h>
#include <string.h>

static int32_t num_blocks_of(int32_t num_tokens, int32_t size) {
    return (int32_t)(((int64_t)num_tokens + size - 1) / size);
}

int32_t tn_beam_blocks_most(int32_t num_trunk, int32_t num_tokens, int32_t width, int32_t tokens_per_block) {
    int64_t whole = num_trunk / tokens_per_block, all = num_blocks_of(num_tokens, tokens_per_block);
    int64_t most = whole + width * (all - whole);
    return most < INT32_MAX ? (int32_t)most : INT32_MAX;
}

void tn_beam_blocks_begin(tn_sequence *sequence) {
    tn_beams *beams = sequence->beams;
    beams->num_tables = 1;
    beams->num_trunk = tn_beams_find_trunk(sequence);
    beams->has_parted = false;
    beams->has_moved = beams->num_live > 0;
    memset(beams->parents, 0, (size_t)beams->num_live * sizeof *beams->parents);
}

/* A block after the trunk has no owners but beams of this request. */
static void release_table(tn_scheduler *scheduler, tn_beams *beams, const int32_t *table, int32_t num_blocks) {
    for (int32_t i = num_blocks - 1; i >= 0; i--) {
        tn_kv_cache_release(scheduler->cache, table[i]);
        bool is_own = i >= beams->num_trunk / scheduler->options.tokens_per_block;
        if (is_own && tn_kv_cache_num_owners(scheduler->cache, table[i]) == 0) beams->num_held--;
    }
}

void tn_beam_blocks_drop(tn_scheduler *scheduler, tn_sequence *sequence) {
    tn_beams *beams = sequence->beams;
    if (!beams->has_moved) return;
    int32_t *places = beams->copied_from, num_kept = 0, num_before = beams->num_tables; /* places: new numbers of tables, −1: none */
    for (int32_t i = 0; i < num_before; i++) places[i] = -1;
    for (int32_t i = 0; i < beams->num_live; i++) places[beams->parents[i]] = 0;
    memcpy(beams->spare, beams->tables, (size_t)num_before * sizeof(int32_t *));
    for (int32_t i = 0; i < num_before; i++)
        if (places[i] == 0) places[i] = num_kept++;
    for (int32_t i = 0, num_dropped = 0; i < num_before; i++) {
        if (places[i] < 0) release_table(scheduler, beams, beams->spare[i], sequence->num_blocks);
        beams->tables[places[i] >= 0 ? places[i] : num_kept + num_dropped++] = beams->spare[i];
    }
    for (int32_t i = 0; i < beams->num_live; i++) beams->parents[i] = places[beams->parents[i]];
    beams->num_tables = num_kept;
    sequence->blocks = beams->tables[0];
    if (num_kept < num_before) tn_scheduler_promise(scheduler, sequence);
}

int32_t tn_beam_blocks_needed(const tn_scheduler *scheduler, const tn_sequence *sequence, int32_t end) {
    const tn_beams *beams = sequence->beams;
    int32_t size = scheduler->options.tokens_per_block;
    bool has_part = sequence->num_computed % size != 0;
    int32_t num_copies = beams->has_moved && has_part ? beams->num_live - beams->num_tables : 0;
    return num_copies + beams->num_live * (num_blocks_of(end, size) - sequence->num_blocks);
}

static int32_t take_block(tn_scheduler *scheduler, tn_sequence *sequence) {
    int32_t block = tn_scheduler_take_block(scheduler, sequence);
    assert(block >= 0); /* they were counted */
    sequence->beams->num_held++;
    return block;
}

/* Whole blocks are shared with the beam that the table was copied from, what is written next is copied. */
static void share_table(tn_scheduler *scheduler, tn_sequence *sequence, int32_t *table) {
    int32_t size = scheduler->options.tokens_per_block, num_whole = sequence->num_computed / size, part = sequence->num_computed % size;
    for (int32_t i = 0; i < num_whole; i++) tn_kv_cache_retain(scheduler->cache, table[i]);
    if (part == 0) return;
    int32_t src = table[num_whole];
    table[num_whole] = take_block(scheduler, sequence);
    tn_kv_cache_copy(scheduler->cache, src, table[num_whole], part);
}

void tn_beam_blocks_take(tn_scheduler *scheduler, tn_sequence *sequence, int32_t end) {
    tn_beams *beams = sequence->beams;
    if (!beams->has_parted) beams->num_held = sequence->num_blocks;
    beams->has_parted = true;
    if (beams->has_moved) {
        tn_beams_move(beams, beams->tables, beams->parents, beams->num_live, beams->copied_from);
        for (int32_t i = 0; i < beams->num_live; i++) {
            if (beams->copied_from[i] < 0) continue;
            memcpy(beams->tables[i], beams->tables[beams->copied_from[i]], (size_t)sequence->num_blocks * sizeof **beams->tables);
            share_table(scheduler, sequence, beams->tables[i]);
        }
        beams->num_tables = beams->num_live;
        beams->has_moved = false;
        sequence->blocks = beams->tables[0];
    }
    for (; sequence->num_blocks < num_blocks_of(end, scheduler->options.tokens_per_block); sequence->num_blocks++)
        for (int32_t i = 0; i < beams->num_live; i++) beams->tables[i][sequence->num_blocks] = take_block(scheduler, sequence);
}

void tn_beam_blocks_release(tn_scheduler *scheduler, tn_sequence *sequence) {
    tn_beams *beams = sequence->beams;
    for (int32_t i = 0; i < beams->num_tables; i++) release_table(scheduler, beams, beams->tables[i], sequence->num_blocks);
    beams->num_tables = 1;
    beams->num_held = 0;
    beams->has_parted = beams->has_moved = false;
}
