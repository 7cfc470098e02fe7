/* SPDX-License-Identifier: Apache-2.0
 *
 * debug_tensors.c: the ring of captured steps.
 */
#include "executor/debug_tensors.h"

#include <string.h>

#include "op/dtype.h"

struct tn_debug_tensors {
    tn_allocator allocator;
    tn_arena arena;
    uint64_t iter;
    TN_ARRAY(tn_debug_tensor) tensors;
    struct tn_debug_tensors *next;
};

bool tn_debug_ring_init(tn_debug_ring *ring, const tn_executor_options *options, tn_allocator *allocator, tn_arena *arena) {
    *ring = (tn_debug_ring){.allocator = allocator,
                            .wants_inputs = options->debug_input_tensors,
                            .wants_outputs = options->debug_output_tensors,
                            .max_iterations = options->debug_tensors_max_iterations,
                            .num_names = options->num_debug_tensor_names};
    ring->names = tn_arena_alloc_array(arena, ring->num_names, sizeof *ring->names);
    if (ring->names == NULL) return false;
    for (size_t i = 0; i < ring->num_names; i++) {
        ring->names[i] = tn_arena_string(arena, options->debug_tensor_names[i]);
        if (ring->names[i] == NULL) return false;
    }
    return true;
}

void tn_debug_ring_deinit(tn_debug_ring *ring) {
    for (tn_debug_tensors *tensors; (tensors = tn_debug_ring_take(ring)) != NULL;) tn_debug_tensors_destroy(tensors);
    tn_debug_tensors_destroy(ring->open);
    ring->open = NULL;
}

static tn_debug_tensors *open_step(tn_debug_ring *ring) {
    if (ring->open != NULL) return ring->open;
    tn_debug_tensors *tensors = tn_alloc_zero(ring->allocator, sizeof *tensors);
    if (tensors == NULL) return NULL;
    tensors->allocator = *ring->allocator;
    tensors->arena.allocator = &tensors->allocator;
    ring->open = tensors;
    return tensors;
}

/* Room for a tensor; NULL: out of memory, it is left out. */
static void *add_tensor(tn_debug_ring *ring, const char *name, tn_dtype dtype, tn_dims dims, size_t size_bytes) {
    tn_debug_tensors *step = open_step(ring);
    if (step == NULL) return NULL;
    void *data = tn_arena_alloc(&step->arena, size_bytes);
    const char *copy = tn_arena_string(&step->arena, name);
    tn_debug_tensor tensor = {.name = copy, .dtype = dtype, .dims = dims, .data = data};
    return data != NULL && copy != NULL && tn_array_push(&step->allocator, &step->tensors, tensor) ? data : NULL;
}

static void on_marked(void *user, const char *name, tn_dtype dtype, const int64_t *dims, int rank, const void *data) {
    tn_debug_ring *ring = user;
    bool is_wanted = false;
    for (size_t i = 0; i < ring->num_names; i++) is_wanted = is_wanted || strcmp(ring->names[i], name) == 0;
    if (!is_wanted) return;
    tn_dims copy = {.rank = rank};
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        copy.d[i] = dims[i];
        count *= (size_t)dims[i];
    }
    size_t size_bytes = (count * tn_dtype_get_info(dtype)->bits + 7) / 8;
    void *memory = add_tensor(ring, name, dtype, copy, size_bytes);
    if (memory != NULL) memcpy(memory, data, size_bytes);
}

void tn_debug_ring_attach(tn_debug_ring *ring, tn_step_runner *runner) {
    if (ring->max_iterations == 0 || ring->num_names == 0) return;
    tn_context_set_debug_callback(runner->forward, on_marked, ring);
    tn_context_set_debug_callback(runner->sample, on_marked, ring);
}

static void add_array(tn_debug_ring *ring, const char *name, tn_dtype dtype, tn_dims dims, const void *data) {
    size_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= (size_t)dims.d[i];
    void *memory = add_tensor(ring, name, dtype, dims, count * 4);
    if (memory != NULL) memcpy(memory, data, count * 4);
}

static void add_inputs(tn_debug_ring *ring, const tn_step_runner *runner, const tn_batch *batch) {
    const struct {
        const char *name;
        const int32_t *data;
        int64_t count;
    } inputs[] = {
        {"forward.input_ids", batch->input_ids, batch->num_tokens},
        {"forward.positions", batch->positions, batch->num_tokens},
        {"forward.query_start", batch->query_start, batch->num_seqs + 1},
        {"forward.seq_slot", batch->seq_slot, batch->num_seqs},
        {"forward.kv_length", batch->kv_length, batch->num_seqs},
        {"forward.logits_rows", batch->logits_rows, batch->num_logits},
        {"sample.sample_slot", batch->sample_slot, batch->num_logits},
        {"sample.sample_position", batch->sample_position, batch->num_logits},
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        add_array(ring, inputs[i].name, TN_INT32, TN_DIMS(inputs[i].count), inputs[i].data);
    add_array(ring, "forward.block_table", TN_INT32, TN_DIMS(batch->num_seqs, runner->max_blocks), batch->block_table);
}

/* Rows that `forward` made, one a row of logits. */
static tn_status add_rows(tn_debug_ring *ring, tn_step_runner *runner, const char *name, const char *output, int64_t num_rows,
                          int64_t num_columns) {
    size_t size = (size_t)num_rows * (size_t)num_columns * sizeof(float);
    void *memory = add_tensor(ring, name, TN_FLOAT32, TN_DIMS(num_rows, num_columns), size);
    return memory != NULL ? tn_context_read(runner->forward, output, 0, size, memory, runner->stream) : TN_OK;
}

tn_status tn_debug_ring_capture(tn_debug_ring *ring, tn_step_runner *runner, const tn_engine_step *step) {
    if (ring->max_iterations == 0) return TN_OK;
    const tn_batch *batch = &step->batch;
    tn_status status = tn_stream_synchronize(runner->stream, runner->diag);
    if (status != TN_OK) return status;
    if (ring->wants_inputs) add_inputs(ring, runner, batch);
    if (ring->wants_outputs) {
        status = add_rows(ring, runner, "forward.logits", "logits", batch->num_logits, runner->vocab_size);
        if (status == TN_OK && runner->hidden_size > 0)
            status = add_rows(ring, runner, "forward.hidden_states", TN_OUTPUT_HIDDEN_STATES, batch->num_logits, runner->hidden_size);
        if (status == TN_OK) status = tn_stream_synchronize(runner->stream, runner->diag);
    }
    if (status == TN_OK && ring->wants_outputs && batch->has_draws) {
        add_array(ring, "sample.next_ids", TN_INT32, TN_DIMS(batch->num_logits), step->next_ids);
        add_array(ring, "sample.top_ids", TN_INT32, TN_DIMS(batch->num_logits, runner->top_columns), step->top_ids);
        add_array(ring, "sample.top_log_probs", TN_FLOAT32, TN_DIMS(batch->num_logits, runner->top_columns), step->top_log_probs);
    }
    if (ring->open != NULL) ring->open->iter = (uint64_t)step->iter;
    return status;
}

void tn_debug_ring_show(tn_debug_ring *ring) {
    if (ring->open == NULL) return;
    if (ring->last != NULL)
        ring->last->next = ring->open;
    else
        ring->first = ring->open;
    ring->last = ring->open;
    ring->open = NULL;
    ring->num_iterations++;
    while (ring->num_iterations > ring->max_iterations) tn_debug_tensors_destroy(tn_debug_ring_take(ring));
}

tn_debug_tensors *tn_debug_ring_take(tn_debug_ring *ring) {
    tn_debug_tensors *tensors = ring->first;
    if (tensors == NULL) return NULL;
    ring->first = tensors->next;
    if (ring->first == NULL) ring->last = NULL;
    ring->num_iterations--;
    return tensors;
}

void tn_debug_tensors_destroy(tn_debug_tensors *tensors) {
    if (tensors == NULL) return;
    tn_allocator allocator = tensors->allocator;
    tn_arena_deinit(&tensors->arena);
    tn_array_deinit(&allocator, &tensors->tensors);
    tn_free(&allocator, tensors);
}

uint64_t tn_debug_tensors_iter(const tn_debug_tensors *tensors) {
    return tensors->iter;
}

const tn_debug_tensor *tn_debug_tensors_get(const tn_debug_tensors *tensors, size_t *out_count) {
    *out_count = tensors->tensors.count;
    return tensors->tensors.data;
}
