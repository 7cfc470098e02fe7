/* SPDX-License-Identifier: Apache-2.0
 *
 * step.c: filling a batch, launching it, and taking its results.
 */
#include "executor/step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/report.h"
#include "base/thread.h"
#include "executor/beams.h"

/* --- runner ------------------------------------------------------------------------------------------------------------- */

static tn_status find_states(tn_step_runner *runner, const tn_step_runner_options *options, tn_diag *diag) {
    int64_t units[16];
    int num_states = tn_engine_num_states(runner->engine);
    runner->slots_state = -1;
    if (num_states > 16)
        return tn_fail(diag, TN_UNSUPPORTED, "cannot start the executor: the plan has %d states, at most 16 are possible", num_states);
    for (int i = 0; i < num_states; i++) {
        const tn_state_info *state = tn_engine_get_state(runner->engine, i);
        bool is_slots = strcmp(state->kind, "slots") == 0;
        units[i] = is_slots ? options->num_slots : options->num_blocks;
        if (is_slots) {
            runner->slots_state = i;
            continue;
        }
        if (runner->num_groups == 8)
            return tn_fail(diag, TN_UNSUPPORTED, "cannot start the executor: the plan has more than 8 cache groups");
        int group = runner->num_groups++;
        runner->kv_states[group] = i;
        snprintf(runner->block_table_names[group], sizeof runner->block_table_names[group], "block_table.%d", group);
    }
    if (runner->slots_state < 0 || runner->num_groups == 0)
        return tn_fail(diag, TN_INVALID_DATA, "cannot start the executor: the plan is no decoder: it has no slots or no cache");
    return tn_state_set_create(runner->engine, units, diag, &runner->states);
}

/* A context keeps the diag that it was made with, so that is the loop's; what it says of the creation is the caller's. */
static tn_status hand_over_report(tn_step_runner *runner, tn_status status, tn_diag *diag) {
    tn_diag_entry entry;
    size_t num_entries = tn_diag_num_entries(runner->diag);
    for (size_t i = 0; i < num_entries; i++) {
        if (tn_diag_get(runner->diag, i, &entry) != TN_OK || entry.severity != TN_SEVERITY_ERROR) continue;
        tn_where where = {
            .subject = entry.subject, .file = entry.file, .hint = entry.hint, .has_offset = entry.offset >= 0, .offset = entry.offset};
        tn_fail_at(diag, entry.code, &where, "%s", entry.message);
    }
    if (tn_diag_num_dropped(runner->diag) > 0) tn_fail(diag, status, "out of memory: the executor's contexts and the report of it");
    tn_diag_clear(runner->diag);
    return status;
}

static tn_status allocate_host_blocks(tn_step_runner *runner, int64_t num_slots, tn_arena *arena, tn_diag *diag) {
    for (int group = 0; group < runner->num_groups; group++) {
        size_t unit_bytes = tn_engine_get_state(runner->engine, runner->kv_states[group])->unit_bytes;
        runner->host_blocks[group] = tn_arena_alloc_array(arena, (size_t)num_slots, unit_bytes);
        if (runner->host_blocks[group] == NULL) return tn_fail_memory(diag, "the host cache", (size_t)num_slots * unit_bytes);
    }
    return TN_OK;
}

/* To the host or back. */
static tn_status move_block(tn_step_runner *runner, int group, const tn_kv_copy *copy) {
    int state = runner->kv_states[group];
    size_t unit_bytes = tn_engine_get_state(runner->engine, state)->unit_bytes;
    uint8_t *host = runner->host_blocks[group];
    if (copy->kind == TN_KV_OFFLOAD)
        return tn_state_set_read_block(runner->states, state, copy->src, host + (size_t)copy->dst * unit_bytes, runner->stream,
                                       runner->diag);
    return tn_state_set_write_block(runner->states, state, copy->dst, host + (size_t)copy->src * unit_bytes, runner->stream, runner->diag);
}

enum { MAX_MOVES = 64 };

/* Leading copies inside the device that may run in any order: none reads or writes what another writes. */
static int32_t gather_moves(const tn_kv_copy *copies, int32_t num_copies, tn_block_move *out_moves) {
    int32_t count = 0;
    for (; count < num_copies && count < MAX_MOVES && copies[count].kind == TN_KV_COPY_TOKENS; count++) {
        const tn_kv_copy *copy = &copies[count];
        for (int32_t i = 0; i < count; i++)
            if (out_moves[i].dst == copy->src || out_moves[i].dst == copy->dst || out_moves[i].src == copy->dst) return count;
        out_moves[count] = (tn_block_move){copy->src, copy->dst, copy->num_tokens};
    }
    return count;
}

tn_status tn_step_runner_copy(tn_step_runner *runner, const tn_kv_copy *copies, int32_t num_copies) {
    tn_block_move moves[MAX_MOVES];
    tn_status status = TN_OK;
    for (int32_t i = 0, num_done; i < num_copies && status == TN_OK; i += num_done) {
        int32_t num_moves = gather_moves(copies + i, num_copies - i, moves);
        for (int group = 0; group < runner->num_groups && status == TN_OK; group++)
            status = num_moves > 0 ? tn_state_set_copy_blocks(runner->states, runner->kv_states[group], moves, (size_t)num_moves,
                                                              runner->stream, runner->diag)
                                   : move_block(runner, group, &copies[i]);
        num_done = num_moves > 0 ? num_moves : 1;
    }
    return status;
}

static tn_status create_context(tn_step_runner *runner, const char *function, tn_diag *diag, tn_context **out_context) {
    if (!tn_engine_has_function(runner->engine, function))
        return tn_fail(diag, TN_INVALID_DATA, "cannot start the executor: the plan is no decoder: it has no function '%s'", function);
    tn_context_options options;
    tn_context_options_init(&options);
    options.diag = runner->diag;
    options.function = function;
    tn_status status = tn_context_create(runner->engine, &options, out_context);
    if (status != TN_OK) return hand_over_report(runner, status, diag);
    tn_context_set_states(*out_context, runner->states);
    return TN_OK;
}

tn_status tn_step_runner_init(tn_step_runner *runner, tn_engine *engine, const tn_step_runner_options *options, tn_arena *arena,
                              tn_diag *diag) {
    *runner = (tn_step_runner){
        .engine = engine,
        .max_batch_size = options->max_batch_size,
        .max_num_tokens = options->max_num_tokens,
        .max_logits = options->max_num_tokens > options->max_batch_size ? options->max_num_tokens : options->max_batch_size,
        .max_blocks = options->max_blocks,
        .top_columns = options->top_columns,
        .vocab_size = options->vocab_size,
        .hidden_size = options->hidden_size,
        .batched_callback = options->batched_callback,
        .batched_user = options->batched_user,
    };
    tn_status status = tn_diag_create(arena->allocator, &runner->diag);
    if (status != TN_OK) return tn_fail_memory(diag, "the executor", 0);
    runner->logits_row = tn_arena_alloc_array(arena, (size_t)options->vocab_size, sizeof *runner->logits_row);
    runner->views = tn_arena_alloc_array(arena, (size_t)options->max_batch_size, sizeof *runner->views);
    if (runner->logits_row == NULL || runner->views == NULL)
        return tn_fail_memory(diag, "the executor", (size_t)options->vocab_size * sizeof(float));
    status = find_states(runner, options, diag);
    if (status == TN_OK && options->num_host_slots > 0) status = allocate_host_blocks(runner, options->num_host_slots, arena, diag);
    if (status == TN_OK) status = tn_stream_create(tn_engine_device(engine), diag, &runner->stream);
    if (status == TN_OK) status = create_context(runner, "forward", diag, &runner->forward);
    if (status == TN_OK) status = create_context(runner, "sample", diag, &runner->sample);
    return status;
}

void tn_step_runner_deinit(tn_step_runner *runner) {
    tn_context_destroy(runner->forward);
    tn_context_destroy(runner->sample);
    tn_stream_destroy(runner->stream);
    tn_state_set_destroy(runner->states);
    tn_diag_destroy(runner->diag);
    *runner = (tn_step_runner){0};
}

tn_status tn_step_runner_write_slot(tn_step_runner *runner, const tn_sequence *sequence) {
    return tn_state_set_write_slot(runner->states, runner->slots_state, sequence->slot, sequence->slot_params, sequence->tokens,
                                   sequence->num_prefill, sequence->bias, runner->stream, runner->diag);
}

/* --- filling ---------------------------------------------------------------------------------------------------------------- */

tn_status tn_engine_step_init(tn_engine_step *step, const tn_step_runner *runner, tn_arena *arena, tn_diag *diag) {
    *step = (tn_engine_step){0};
    tn_batch *batch = &step->batch;
    size_t tokens = (size_t)runner->max_num_tokens, seqs = (size_t)runner->max_batch_size, logits = (size_t)runner->max_logits;
    struct {
        int32_t **array;
        size_t count;
    } const arrays[] = {
        {&batch->input_ids, tokens},   {&batch->positions, tokens},   {&batch->query_start, seqs + 1},
        {&batch->seq_slot, seqs},      {&batch->kv_length, seqs},     {&batch->block_table, seqs * (size_t)runner->max_blocks},
        {&batch->logits_rows, logits}, {&batch->sample_slot, logits}, {&batch->sample_position, logits},
        {&step->next_ids, logits},     {&step->table_columns, seqs},  {&step->top_ids, logits * (size_t)runner->top_columns},
    };
    bool is_allocated = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i].array = tn_arena_alloc_array(arena, arrays[i].count, sizeof(int32_t));
        is_allocated = is_allocated && *arrays[i].array != NULL;
    }
    step->top_log_probs = tn_arena_alloc_array(arena, logits * (size_t)runner->top_columns, sizeof *step->top_log_probs);
    step->rows = tn_arena_alloc_array(arena, seqs, sizeof *step->rows);
    step->table_stamps = tn_arena_alloc_array(arena, seqs, sizeof *step->table_stamps);
    if (!is_allocated || step->top_log_probs == NULL || step->rows == NULL || step->table_stamps == NULL)
        return tn_fail_memory(diag, "the executor's step", arena->used_bytes);
    for (size_t i = 0; i < seqs * (size_t)runner->max_blocks; i++) batch->block_table[i] = -1;
    return tn_fence_create(runner->engine, diag, &step->fence);
}

void tn_engine_step_deinit(tn_engine_step *step) {
    tn_fence_destroy(step->fence);
    *step = (tn_engine_step){0};
}

void tn_engine_step_begin(tn_engine_step *step) {
    step->num_rows = step->num_rows_that_read = 0;
    step->batch.num_seqs = step->batch.num_tokens = step->batch.num_logits = 0;
    step->batch.has_draws = false;
    step->batch.query_start[0] = 0;
}

/* Columns past a row's blocks are −1: only those that the row's last user left are written again. Most rows are those of the same
 * sequence as in the step before, with a block more at times. */
static void fill_table_row(tn_engine_step *step, const tn_step_runner *runner, int32_t seq, const tn_schedule_row *plan) {
    int32_t *table = step->batch.block_table + (size_t)seq * (size_t)runner->max_blocks;
    bool is_same = plan->table_stamp != 0 && plan->table_stamp == step->table_stamps[seq];
    int32_t num_there = is_same ? step->table_columns[seq] : 0;
    if (num_there == plan->num_blocks) return;
    memcpy(table + num_there, plan->blocks + num_there, (size_t)(plan->num_blocks - num_there) * sizeof *table);
    for (int32_t i = plan->num_blocks; i < step->table_columns[seq]; i++) table[i] = -1;
    step->table_columns[seq] = plan->num_blocks;
    step->table_stamps[seq] = plan->table_stamp;
}

void tn_engine_step_add(tn_engine_step *step, const tn_step_runner *runner, const tn_schedule_row *plan) {
    tn_batch *batch = &step->batch;
    int32_t first = plan->first_token, end = first + plan->num_tokens, seq = batch->num_seqs++;
    for (int32_t i = first; i < end; i++) {
        batch->input_ids[batch->num_tokens] = i == first ? plan->first_id : i < plan->num_known ? plan->tokens[i] : -1;
        batch->positions[batch->num_tokens] = i;
        batch->num_tokens++;
    }
    bool draws = plan->draws && (!plan->reads_rows || plan->sequence->beams == NULL); /* beams are chosen on the host */
    batch->query_start[seq + 1] = batch->num_tokens;
    batch->seq_slot[seq] = plan->slot;
    batch->kv_length[seq] = end;
    fill_table_row(step, runner, seq, plan);
    step->rows[step->num_rows++] = (tn_step_row){.plan = *plan, .first_logits = batch->num_logits};
    for (int32_t i = 0; i < plan->num_logits; i++) {
        bool is_drawn = draws && i == plan->num_logits - 1;
        batch->logits_rows[batch->num_logits] = batch->num_tokens - plan->num_logits + i;
        batch->sample_slot[batch->num_logits] = is_drawn ? plan->slot : -1;
        batch->sample_position[batch->num_logits] = is_drawn ? end : 0;
        batch->num_logits++;
    }
    batch->has_draws = batch->has_draws || draws;
    step->num_rows_that_read += plan->reads_rows;
}

/* --- launching ------------------------------------------------------------------------------------------------------------- */

static tn_status bind(tn_context *context, const char *name, tn_dims dims, void *memory) {
    tn_status status = tn_context_set_input_shape(context, name, dims);
    return status == TN_OK ? tn_context_set_host_address(context, name, memory) : status;
}

static tn_status launch_forward(tn_step_runner *runner, tn_batch *batch) {
    /* A chunk that ends inside its prompt wants no logits; the function always makes at least one row. */
    if (batch->num_logits == 0) {
        batch->logits_rows[0] = batch->num_tokens - 1;
        batch->sample_slot[0] = -1;
        batch->sample_position[0] = 0;
        batch->num_logits = 1;
    }
    /* More logits than ever move their buffer, which `sample` of the step before may still read. */
    tn_status status = TN_OK;
    if (batch->num_logits > runner->largest_num_logits) {
        status = tn_stream_synchronize(runner->stream, runner->diag);
        runner->largest_num_logits = batch->num_logits;
    }
    if (status == TN_OK) status = bind(runner->forward, "input_ids", TN_DIMS(batch->num_tokens), batch->input_ids);
    if (status == TN_OK) status = bind(runner->forward, "positions", TN_DIMS(batch->num_tokens), batch->positions);
    if (status == TN_OK) status = bind(runner->forward, "query_start", TN_DIMS(batch->num_seqs + 1), batch->query_start);
    if (status == TN_OK) status = bind(runner->forward, "seq_slot", TN_DIMS(batch->num_seqs), batch->seq_slot);
    if (status == TN_OK) status = bind(runner->forward, "kv_length", TN_DIMS(batch->num_seqs), batch->kv_length);
    if (status == TN_OK) status = bind(runner->forward, "logits_rows", TN_DIMS(batch->num_logits), batch->logits_rows);
    for (int group = 0; status == TN_OK && group < runner->num_groups; group++)
        status = bind(runner->forward, runner->block_table_names[group], TN_DIMS(batch->num_seqs, runner->max_blocks), batch->block_table);
    if (status != TN_OK) return status;
    if (runner->hidden_size > 0 && tn_context_buffer(runner->forward, TN_OUTPUT_HIDDEN_STATES) == NULL) return TN_OUT_OF_MEMORY;
    runner->logits = tn_context_buffer(runner->forward, "logits");
    return runner->logits != NULL ? tn_context_enqueue(runner->forward, runner->stream) : TN_OUT_OF_MEMORY;
}

static tn_status launch_sample(tn_step_runner *runner, tn_engine_step *step) {
    tn_batch *batch = &step->batch;
    tn_status status = tn_context_set_input_shape(runner->sample, "logits", TN_DIMS(batch->num_logits, runner->vocab_size));
    if (status == TN_OK) status = tn_context_set_address(runner->sample, "logits", runner->logits);
    if (status == TN_OK) status = bind(runner->sample, "sample_slot", TN_DIMS(batch->num_logits), batch->sample_slot);
    if (status == TN_OK) status = bind(runner->sample, "sample_position", TN_DIMS(batch->num_logits), batch->sample_position);
    if (status == TN_OK) status = tn_context_set_host_address(runner->sample, "next_ids", step->next_ids);
    if (status == TN_OK) status = tn_context_set_host_address(runner->sample, "top_ids", step->top_ids);
    if (status == TN_OK) status = tn_context_set_host_address(runner->sample, "top_log_probs", step->top_log_probs);
    return status == TN_OK ? tn_context_enqueue(runner->sample, runner->stream) : status;
}

static int32_t drawn_row(const tn_step_row *row) {
    return row->first_logits + row->plan.num_logits - 1;
}

/* Those of all its beams, for the host to choose from. */
static tn_status read_beam_logits(tn_step_runner *runner, const tn_step_row *row) {
    const tn_schedule_row *plan = &row->plan;
    const tn_beams *beams = plan->sequence->beams;
    if (beams == NULL || !plan->draws || plan->beam > 0) return TN_OK;
    size_t row_bytes = (size_t)runner->vocab_size * sizeof(float);
    return tn_context_read(runner->forward, "logits", (size_t)drawn_row(row) * row_bytes, (size_t)plan->num_beams * row_bytes,
                           beams->logits, runner->stream);
}

/* Queues the copies of rows that requests asked for, while the buffer still holds what the network made. */
static tn_status read_rows(tn_step_runner *runner, const tn_step_row *row, tn_row_kind kind) {
    const tn_schedule_row *plan = &row->plan;
    const tn_sequence *sequence = plan->sequence;
    const tn_row_results *rows = &sequence->rows[kind];
    const char *name = tn_row_kind_name(kind);
    size_t row_bytes = rows->num_columns * sizeof(float);
    tn_status status = TN_OK;
    bool has_prompt = plan->is_context && !sequence->has_prompt_results && plan->num_logits == plan->num_tokens;
    if (rows->context != NULL && has_prompt)
        status = tn_context_read(runner->forward, name, (size_t)row->first_logits * row_bytes, (size_t)plan->num_logits * row_bytes,
                                 rows->context + (size_t)plan->first_token * rows->num_columns, runner->stream);
    if (status != TN_OK || rows->generation == NULL || !plan->draws || plan->beam > 0) return status;
    size_t place = (size_t)(plan->first_token + plan->num_tokens - sequence->num_prompt);
    if (sequence->beams != NULL) place *= (size_t)sequence->beams->width;
    return tn_context_read(runner->forward, name, (size_t)drawn_row(row) * row_bytes, (size_t)plan->num_beams * row_bytes,
                           rows->generation + place * rows->num_columns, runner->stream);
}

static double log_softmax_at(const float *logits, int64_t count, int32_t id) {
    double largest = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, (double)logits[i]);
    for (int64_t i = 0; i < count; i++) sum += exp((double)logits[i] - largest);
    return (double)logits[id] - largest - log(sum);
}

/* Prompt log-probabilities need one logit of each row and the row's sum: computed here from a copy. */
static tn_status read_prompt_log_probs(tn_step_runner *runner, const tn_step_row *row) {
    const tn_schedule_row *plan = &row->plan;
    tn_sequence *sequence = plan->sequence;
    if (sequence->prompt_log_probs == NULL || sequence->has_prompt_results || !plan->is_context) return TN_OK;
    size_t row_bytes = (size_t)runner->vocab_size * sizeof(float);
    for (int32_t i = 0; i < plan->num_logits; i++) {
        int32_t next = plan->first_token + i + 1;
        if (next >= sequence->num_prompt) break;
        tn_status status = tn_context_read(runner->forward, "logits", (size_t)(row->first_logits + i) * row_bytes, row_bytes,
                                           runner->logits_row, runner->stream);
        if (status == TN_OK) status = tn_stream_synchronize(runner->stream, runner->diag);
        if (status != TN_OK) return status;
        sequence->prompt_log_probs[next - 1] = (float)log_softmax_at(runner->logits_row, runner->vocab_size, sequence->tokens[next]);
    }
    return TN_OK;
}

tn_status tn_step_runner_launch(tn_step_runner *runner, tn_engine_step *step) {
    step->is_in_flight = true;
    tn_status status = launch_forward(runner, &step->batch);
    for (int32_t i = 0; status == TN_OK && i < step->num_rows && step->num_rows_that_read > 0; i++) {
        if (!step->rows[i].plan.reads_rows) continue;
        for (tn_row_kind kind = 0; status == TN_OK && kind < TN_NUM_ROW_KINDS; kind++) status = read_rows(runner, &step->rows[i], kind);
        if (status == TN_OK) status = read_beam_logits(runner, &step->rows[i]);
        if (status == TN_OK) status = read_prompt_log_probs(runner, &step->rows[i]);
    }
    if (status == TN_OK && step->num_rows_that_read > 0) status = tn_step_runner_process_logits(runner, step);
    if (status == TN_OK && step->batch.has_draws) status = launch_sample(runner, step);
    if (status == TN_OK) status = tn_fence_record(step->fence, runner->stream);
    /* What was queued before the failure reads the step's arrays, which the next step may overwrite. */
    if (status != TN_OK) {
        tn_status waited = tn_stream_synchronize(runner->stream, runner->diag);
        if (waited != TN_OK) status = waited;
    }
    return status;
}

/* --- results -------------------------------------------------------------------------------------------------------------------- */

static void take_log_probs(const tn_step_runner *runner, const tn_engine_step *step, const tn_step_row *row, int32_t token) {
    tn_sequence *sequence = row->plan.sequence;
    if (sequence->log_probs == NULL) return;
    size_t columns = (size_t)sequence->num_log_probs + 1;
    tn_log_prob *out = sequence->log_probs + (size_t)(sequence->num_known - sequence->num_prompt) * columns;
    size_t logits_row = (size_t)drawn_row(row) * (size_t)runner->top_columns;
    for (size_t i = 0; i < columns; i++) out[i] = (tn_log_prob){step->top_ids[logits_row + i], step->top_log_probs[logits_row + i]};
    out[0].id = token;
}

/* Where the logits leave nothing to draw, the engine gives the end id, or 0 where there is none, and says so in the slot. Looked at
 * when an answer ends so, unless the slot has been drawn for again meanwhile. */
static tn_status check_last_draw(tn_step_runner *runner, tn_sequence *sequence) {
    int32_t error;
    if (sequence->last_token != (sequence->end_id >= 0 ? sequence->end_id : 0) || sequence->num_in_flight > 0) return TN_OK;
    tn_status status =
        tn_state_set_read_slot_error(runner->states, runner->slots_state, sequence->slot, &error, runner->stream, runner->diag);
    if (status == TN_OK) status = tn_stream_synchronize(runner->stream, runner->diag);
    if (status == TN_OK && error != 0) tn_sequence_fail_without_token(sequence);
    return status;
}

tn_status tn_step_runner_wait(tn_step_runner *runner, tn_engine_step *step) {
    step->is_in_flight = false;
    tn_status status = tn_fence_wait(step->fence, runner->diag);
    if (status != TN_OK) { /* takes the error off the stream, or all that follows would fail too */
        tn_status waited = tn_stream_synchronize(runner->stream, runner->diag);
        if (waited != TN_OK) status = waited;
    }
    return status;
}

bool tn_step_row_ends_context(const tn_step_row *row) {
    return row->plan.is_context && row->plan.draws && row->plan.sequence->beams == NULL;
}

tn_status tn_step_runner_hand_out(tn_step_runner *runner, const tn_engine_step *step, tn_scheduler *scheduler, bool ends_context,
                                  tn_status status) {
    int64_t now_ns = tn_now_ns();
    for (int32_t i = 0; i < step->num_rows; i++) {
        if (i + TN_PREFETCH_DISTANCE < step->num_rows)
            for (unsigned line = 0; line < 3; line++) tn_sequence_prefetch(step->rows[i + TN_PREFETCH_DISTANCE].plan.sequence, line);
        const tn_step_row *row = &step->rows[i];
        tn_sequence *sequence = row->plan.sequence;
        if (tn_step_row_ends_context(row) != ends_context) continue;
        tn_scheduler_retire(scheduler, &row->plan, status == TN_OK);
        if (status != TN_OK || sequence->is_done) continue;
        if (sequence->account.first_iter < 0) sequence->account.first_iter = step->iter;
        sequence->account.last_iter = step->iter;
        if (!row->plan.draws) continue;
        if (sequence->beams != NULL) {
            if (row->plan.beam == 0) tn_beams_advance(sequence, now_ns);
            continue;
        }
        int32_t token = step->next_ids[drawn_row(row)];
        take_log_probs(runner, step, row, token);
        tn_sequence_accept_token(sequence, token, now_ns);
        if (sequence->is_done) status = check_last_draw(runner, sequence);
    }
    return status;
}
