/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_time.c: fills a batch as the executor does, runs `forward` and `sample` with and without a profile, and takes medians.
 *
 * Runs with a profile take the time of each step alone (on a GPU every step waits for the one before), runs without one the time
 * of the whole as a user gets it. The two alternate, so that a drift of the machine reaches both. Caches hold numbers, not zeros,
 * and the blocks of a sequence lie in random order, as they do after a while of serving.
 */
#include "cli/inspect_time.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"

enum { NUM_RUNS = 21, NUM_WARM_UPS = 5, DEFAULT_CACHED = 512, MAX_STATES = 16 };

typedef struct bench {
    tn_engine *engine;
    tn_stream *stream;
    tn_state_set *states;
    tn_context *forward, *sample;
    int slots_state;
    int kv_states[MAX_STATES], num_groups;
    int64_t vocab_size, max_seq_len, tokens_per_block, max_blocks;
    tn_work_batch batch;
    int64_t num_tokens; /* of all sequences */
    uint32_t random;
    int32_t *input_ids, *positions, *query_start, *seq_slot, *kv_length, *block_table, *logits_rows, *sample_slot, *sample_position;
    int32_t *next_ids, *top_ids;
    float *top_log_probs;
} bench;

static int64_t random_below(bench *b, int64_t limit) {
    b->random = b->random * 1664525u + 1013904223u;
    return (int64_t)(((uint64_t)(b->random >> 8) * (uint64_t)limit) >> 24);
}

/* --- what to run --------------------------------------------------------------------------------------------------------------------- */

static bool find_states(bench *b) {
    int num_states = tn_engine_num_states(b->engine);
    b->slots_state = -1;
    for (int i = 0; i < num_states && num_states <= MAX_STATES; i++) {
        const tn_state_info *state = tn_engine_get_state(b->engine, i);
        if (strcmp(state->kind, "slots") == 0) {
            b->slots_state = i;
            b->vocab_size = state->vocab_size;
            b->max_seq_len = state->max_seq_len;
        } else {
            b->kv_states[b->num_groups++] = i;
            b->tokens_per_block = state->kv.tokens_per_block;
        }
    }
    bool is_decoder = b->slots_state >= 0 && b->num_groups > 0 && tn_engine_has_function(b->engine, "forward") &&
                      tn_engine_has_function(b->engine, "sample");
    if (is_decoder)
        b->max_blocks = tn_ceil_div(b->max_seq_len, b->tokens_per_block);
    else
        (void)tn_cli_fail("cannot time the steps: the engine is no decoder: it lacks a function 'forward' or 'sample', slots, or a cache");
    return is_decoder;
}

static bool choose_batch(bench *b, const tn_time_args *args) {
    int64_t max_seqs = tn_engine_max_dim(b->engine, "forward", "num_seqs"),
            max_tokens = tn_engine_max_dim(b->engine, "forward", "num_tokens");
    int64_t most_new = max_tokens < b->max_seq_len ? max_tokens : b->max_seq_len;
    bool fits = false;
    if (args->num_tokens > most_new)
        (void)tn_cli_fail("--tokens is %" PRId64 ", a step of this engine takes at most %" PRId64 " of one sequence", args->num_tokens,
                          most_new);
    else if (args->num_seqs > max_seqs)
        (void)tn_cli_fail("--sequences is %" PRId64 ", a step of this engine takes at most %" PRId64
                          "\n  build it with a larger --max-batch-size",
                          args->num_seqs, max_seqs);
    else if (args->num_cached >= b->max_seq_len)
        (void)tn_cli_fail("--context is %" PRId64 ", a sequence of this engine has at most %" PRId64
                          " tokens, the next one among them\n  build it with a larger --max-seq-len",
                          args->num_cached, b->max_seq_len);
    else
        fits = true;
    if (!fits) return false;
    int64_t num_cached = args->num_cached >= 0 ? args->num_cached : DEFAULT_CACHED < b->max_seq_len ? DEFAULT_CACHED : b->max_seq_len - 1;
    b->batch = args->num_tokens > 0
                   ? (tn_work_batch){.num_seqs = 1, .num_new = args->num_tokens}
                   : (tn_work_batch){.num_seqs = args->num_seqs > 0 ? args->num_seqs : 1, .num_cached = num_cached, .num_new = 1};
    b->num_tokens = b->batch.num_seqs * b->batch.num_new;
    return true;
}

/* --- states ---------------------------------------------------------------------------------------------------------------------------- */

static bool fill_caches(bench *b, int64_t num_blocks) {
    bool is_ok = true;
    for (int group = 0; group < b->num_groups && is_ok; group++) {
        size_t size = tn_engine_get_state(b->engine, b->kv_states[group])->unit_bytes;
        uint16_t *block = tn_alloc(NULL, size + 1);
        is_ok = block != NULL;
        /* around 1 in every float type */
        for (size_t i = 0; i < size / sizeof *block && is_ok; i++) block[i] = (uint16_t)((random_below(b, 1 << 16) & 0x83ff) | 0x3c00);
        for (int64_t i = 0; i < num_blocks && is_ok; i++)
            is_ok = tn_state_set_write_block(b->states, b->kv_states[group], i, block, b->stream, NULL) == TN_OK;
        is_ok = tn_stream_synchronize(b->stream, NULL) == TN_OK && is_ok;
        tn_free(NULL, block);
    }
    return is_ok;
}

static bool create_states(bench *b) {
    int64_t units[MAX_STATES], num_blocks = b->batch.num_seqs * tn_ceil_div(b->batch.num_cached + b->batch.num_new, b->tokens_per_block);
    for (int i = 0; i < tn_engine_num_states(b->engine); i++) units[i] = i == b->slots_state ? b->batch.num_seqs : num_blocks;
    if (tn_state_set_create(b->engine, units, NULL, &b->states) != TN_OK || !fill_caches(b, num_blocks)) return false;
    tn_slot_params params = {.repetition_penalty = 1.0f, .top_p_decay = 1.0f, .top_p_reset_id = -1, .end_id = -1};
    for (int64_t i = 0; i < b->batch.num_seqs; i++)
        if (tn_state_set_write_slot(b->states, b->slots_state, i, &params, NULL, 0, NULL, b->stream, NULL) != TN_OK) return false;
    return tn_stream_synchronize(b->stream, NULL) == TN_OK;
}

static bool create_context(bench *b, const char *function, tn_context **out_context) {
    tn_context_options options;
    tn_context_options_init(&options);
    options.function = function;
    if (tn_context_create(b->engine, &options, out_context) != TN_OK) return false;
    tn_context_set_states(*out_context, b->states);
    return true;
}

/* --- the batch -------------------------------------------------------------------------------------------------------------------------- */

static bool allocate_batch(bench *b, int64_t top_columns) {
    size_t seqs = (size_t)b->batch.num_seqs;
    struct {
        int32_t **array;
        size_t count;
    } const arrays[] = {
        {&b->input_ids, (size_t)b->num_tokens},
        {&b->positions, (size_t)b->num_tokens},
        {&b->query_start, seqs + 1},
        {&b->seq_slot, seqs},
        {&b->kv_length, seqs},
        {&b->block_table, seqs * (size_t)b->max_blocks},
        {&b->logits_rows, seqs},
        {&b->sample_slot, seqs},
        {&b->sample_position, seqs},
        {&b->next_ids, seqs},
        {&b->top_ids, seqs * (size_t)top_columns},
    };
    b->top_log_probs = tn_alloc_array(NULL, seqs * (size_t)top_columns, sizeof *b->top_log_probs);
    bool is_ok = b->top_log_probs != NULL;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i].array = tn_alloc_array(NULL, arrays[i].count, sizeof(int32_t));
        is_ok = is_ok && *arrays[i].array != NULL;
    }
    return is_ok;
}

/* Sequences take the blocks in a random order; columns past a row's blocks are −1. */
static bool fill_tables(bench *b) {
    int64_t blocks_of_one = tn_ceil_div(b->batch.num_cached + b->batch.num_new, b->tokens_per_block);
    int64_t num_blocks = b->batch.num_seqs * blocks_of_one;
    int32_t *order = tn_alloc_array(NULL, (size_t)num_blocks, sizeof *order);
    if (order == NULL) return false;
    for (int64_t i = 0; i < num_blocks; i++) { /* each in turn to a random place among those before */
        int64_t place = random_below(b, i + 1);
        order[i] = order[place];
        order[place] = (int32_t)i;
    }
    for (int64_t i = 0; i < b->batch.num_seqs * b->max_blocks; i++) {
        int64_t seq = i / b->max_blocks, column = i % b->max_blocks;
        b->block_table[i] = column < blocks_of_one ? order[seq * blocks_of_one + column] : -1;
    }
    tn_free(NULL, order);
    return true;
}

static bool fill_batch(bench *b) {
    const tn_work_batch *batch = &b->batch;
    for (int64_t i = 0; i < b->num_tokens; i++) {
        b->input_ids[i] = (int32_t)random_below(b, b->vocab_size);
        b->positions[i] = (int32_t)(batch->num_cached + i % batch->num_new);
    }
    b->query_start[0] = 0;
    for (int64_t i = 0; i < batch->num_seqs; i++) {
        b->query_start[i + 1] = (int32_t)((i + 1) * batch->num_new);
        b->seq_slot[i] = b->sample_slot[i] = (int32_t)i;
        b->kv_length[i] = b->sample_position[i] = (int32_t)(batch->num_cached + batch->num_new);
        b->logits_rows[i] = b->query_start[i + 1] - 1;
    }
    return fill_tables(b);
}

static bool bind(tn_context *context, const char *name, tn_dims dims, void *memory) {
    return tn_context_set_input_shape(context, name, dims) == TN_OK && tn_context_set_host_address(context, name, memory) == TN_OK;
}

static bool bind_forward(bench *b) {
    int64_t seqs = b->batch.num_seqs;
    bool is_ok = bind(b->forward, "input_ids", TN_DIMS(b->num_tokens), b->input_ids) &&
                 bind(b->forward, "positions", TN_DIMS(b->num_tokens), b->positions) &&
                 bind(b->forward, "query_start", TN_DIMS(seqs + 1), b->query_start) &&
                 bind(b->forward, "seq_slot", TN_DIMS(seqs), b->seq_slot) && bind(b->forward, "kv_length", TN_DIMS(seqs), b->kv_length) &&
                 bind(b->forward, "logits_rows", TN_DIMS(seqs), b->logits_rows);
    for (int group = 0; group < b->num_groups && is_ok; group++) {
        char name[32];
        snprintf(name, sizeof name, "block_table.%d", group);
        is_ok = bind(b->forward, name, TN_DIMS(seqs, b->max_blocks), b->block_table);
    }
    return is_ok;
}

/* A plan may have more outputs of `forward` than the one that `sample` reads. */
static bool give_buffers(bench *b) {
    tn_io_info io;
    for (int i = 0; i < tn_engine_num_io(b->engine, "forward"); i++)
        if (tn_engine_get_io(b->engine, "forward", i, &io) != TN_OK || (!io.is_input && tn_context_buffer(b->forward, io.name) == NULL))
            return false;
    return true;
}

static bool bind_sample(bench *b) {
    void *logits = tn_context_buffer(b->forward, "logits");
    return logits != NULL && tn_context_set_address(b->sample, "logits", logits) == TN_OK &&
           tn_context_set_host_address(b->sample, "sample_slot", b->sample_slot) == TN_OK &&
           tn_context_set_host_address(b->sample, "sample_position", b->sample_position) == TN_OK &&
           tn_context_set_host_address(b->sample, "next_ids", b->next_ids) == TN_OK &&
           tn_context_set_host_address(b->sample, "top_ids", b->top_ids) == TN_OK &&
           tn_context_set_host_address(b->sample, "top_log_probs", b->top_log_probs) == TN_OK;
}

/* Contexts and batch; the shapes of `sample` come first, for they say how wide its outputs are. */
static bool prepare(bench *b) {
    tn_dims top;
    int64_t seqs = b->batch.num_seqs;
    if (!create_states(b) || !create_context(b, "forward", &b->forward) || !create_context(b, "sample", &b->sample)) return false;
    bool is_ok = tn_context_set_input_shape(b->sample, "logits", TN_DIMS(seqs, b->vocab_size)) == TN_OK &&
                 tn_context_set_input_shape(b->sample, "sample_slot", TN_DIMS(seqs)) == TN_OK &&
                 tn_context_set_input_shape(b->sample, "sample_position", TN_DIMS(seqs)) == TN_OK &&
                 tn_context_get_shape(b->sample, "top_ids", &top) == TN_OK;
    if (!is_ok) return false;
    if (allocate_batch(b, top.d[1]) && fill_batch(b)) return bind_forward(b) && give_buffers(b) && bind_sample(b);
    (void)tn_cli_fail("out of memory");
    return false;
}

static void bench_deinit(bench *b) {
    tn_context_destroy(b->forward);
    tn_context_destroy(b->sample);
    tn_stream_destroy(b->stream);
    tn_state_set_destroy(b->states);
    int32_t *const arrays[] = {b->input_ids,   b->positions,   b->query_start,     b->seq_slot, b->kv_length, b->block_table,
                               b->logits_rows, b->sample_slot, b->sample_position, b->next_ids, b->top_ids};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) tn_free(NULL, arrays[i]);
    tn_free(NULL, b->top_log_probs);
}

/* --- running ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct profile {
    tn_timed_function *function;
    double (*us)[NUM_RUNS]; /* [num_steps] */
    uint32_t next;          /* steps are reported in order */
    int run;
} profile;

/* A step that did not run is not reported: the next one of that name and problem is meant. */
static void take_time(void *user, const char *step, const char *problem, const char *tactic, int64_t duration_ns) {
    profile *p = user;
    tn_timed_function *function = p->function;
    while (p->next < function->num_steps &&
           (strcmp(function->steps[p->next].name, step) != 0 || strcmp(function->steps[p->next].problem, problem) != 0))
        p->next++;
    if (p->next == function->num_steps) return;
    function->steps[p->next].tactic = tactic;
    p->us[p->next++][p->run] = (double)duration_ns * 1e-3;
}

static bool run_once(bench *b, tn_context *context, double *out_us) {
    int64_t begin_ns = tn_now_ns();
    if (tn_context_enqueue(context, b->stream) != TN_OK || tn_stream_synchronize(b->stream, NULL) != TN_OK) return false;
    *out_us = (double)(tn_now_ns() - begin_ns) * 1e-3;
    return true;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[NUM_RUNS]) {
    qsort(values, NUM_RUNS, sizeof *values, compare_doubles);
    return values[NUM_RUNS / 2];
}

static bool time_function(bench *b, tn_context *context, tn_timed_function *function) {
    double run_us[NUM_RUNS], ignored;
    profile p = {.function = function, .us = tn_alloc_array(NULL, function->num_steps, sizeof *p.us)};
    bool is_ok = p.us != NULL;
    for (int run = -NUM_WARM_UPS; run < NUM_RUNS && is_ok; run++) {
        p.run = run > 0 ? run : 0;
        p.next = 0;
        is_ok = run_once(b, context, run >= 0 ? &run_us[run] : &ignored);
        tn_context_set_profiler(context, take_time, &p);
        is_ok = is_ok && run_once(b, context, &ignored);
        tn_context_set_profiler(context, NULL, NULL);
    }
    for (uint32_t i = 0; i < function->num_steps && is_ok; i++) function->steps[i].us = median(p.us[i]);
    if (is_ok) function->run_us = median(run_us);
    tn_free(NULL, p.us);
    return is_ok;
}

/* --- what the steps are ---------------------------------------------------------------------------------------------------------------------- */

typedef struct leaf_values {
    const tn_engine *engine;
    const tn_function *function;
    const tn_context *context;
} leaf_values;

/* Dimensions of inputs; values that lie on the host stay unknown. */
static bool leaf_value(void *user, const tn_sym_node *node, int64_t *out_value) {
    const leaf_values *leaf = user;
    tn_dims dims;
    if (node->op != TN_SYM_INPUT_DIM) return false;
    const char *name = tn_engine_string(leaf->engine, leaf->function->tensors[node->a].name);
    if (tn_context_get_shape(leaf->context, name, &dims) != TN_OK || node->b >= (uint32_t)dims.rank) return false;
    *out_value = dims.d[node->b];
    return true;
}

static void append_operand(const tn_operand *operand, const int64_t *values, tn_text *out) {
    char encoding[64];
    if (out->size > 0) tn_text_append_char(out, ' ');
    bool is_weight = operand->role == TN_ROLE_WEIGHT;
    tn_text_append_string(out, is_weight ? tn_encoding_name(&operand->encoding, encoding) : tn_dtype_get_info(operand->dtype)->name);
    tn_text_append_char(out, '[');
    for (int i = 0; i < operand->rank; i++) {
        int64_t dim = values[operand->dims[i]];
        if (i > 0) tn_text_append_char(out, ',');
        if (dim >= 0)
            tn_text_append_format(out, "%" PRId64, dim);
        else
            tn_text_append_char(out, '?');
    }
    tn_text_append_char(out, ']');
}

/* Input 0, weights that are matrices, the cache, and the first output. */
static char *make_shape(const tn_engine *engine, const tn_function_step *step, const int64_t *values) {
    const tn_problem *problem = &step->problem;
    tn_text text = {0};
    for (uint32_t i = 0; i < problem->num_inputs && step->record->kind == TN_STEP_LAUNCH; i++) {
        const tn_operand *operand = &problem->operands[i];
        if (operand->absent) continue;
        if (operand->role == TN_ROLE_STATE) {
            const tn_state_info *state = &engine->states[step->refs[i].id];
            if (strcmp(state->kind, "kv") == 0)
                tn_text_append_format(&text, " %s-cache[%" PRId64 " x %" PRId64 "+%" PRId64 "]", tn_dtype_get_info(state->kv.dtype)->name,
                                      state->kv.num_kv_heads, state->kv.k_dim, state->kv.v_dim);
        } else if (i == 0 || (operand->role == TN_ROLE_WEIGHT && operand->rank > 1)) {
            append_operand(operand, values, &text);
        }
    }
    if (step->record->kind == TN_STEP_LAUNCH && problem->num_operands > problem->num_inputs) {
        tn_text_append_string(&text, " ->");
        append_operand(&problem->operands[problem->num_inputs], values, &text);
    }
    if (text.size == 0) tn_text_append_char(&text, '-');
    if (!text.failed) return text.data;
    tn_text_deinit(&text);
    return NULL;
}

static const char *op_name(const tn_function_step *step) {
    switch (step->record->kind) {
    case TN_STEP_LAUNCH: return tn_op_get_info(step->problem.op)->name;
    case TN_STEP_COPY: return "copy";
    case TN_STEP_READ_SYMBOL: return "read_symbol";
    default: return "loop";
    }
}

static bool describe_function(bench *b, tn_context *context, const char *name, tn_timed_function *out) {
    const tn_function *function = tn_engine_find_function(b->engine, name);
    leaf_values leaf = {b->engine, function, context};
    int64_t *values = tn_alloc_array(NULL, function->num_symbols, sizeof *values);
    out->name = function->name;
    out->steps = tn_alloc_array(NULL, function->num_steps, sizeof *out->steps);
    bool is_ok = values != NULL && out->steps != NULL;
    if (is_ok) out->num_steps = function->num_steps;
    if (!is_ok) (void)tn_cli_fail("out of memory");
    is_ok = is_ok && tn_sym_evaluate(function->nodes, function->num_symbols, leaf_value, &leaf, NULL, values) == TN_OK;
    for (uint32_t i = 0; i < out->num_steps && is_ok; i++) {
        const tn_function_step *step = &function->steps[i];
        out->steps[i] = (tn_timed_step){.name = tn_engine_string(b->engine, step->record->name),
                                        .problem = tn_engine_string(b->engine, step->record->problem),
                                        .op = op_name(step),
                                        .shape = make_shape(b->engine, step, values),
                                        .is_host = step->record->device == 0,
                                        .work = tn_step_work_count(b->engine, function, i, values, &b->batch)};
        is_ok = out->steps[i].shape != NULL;
    }
    tn_free(NULL, values);
    return is_ok;
}

/* --- the verb -------------------------------------------------------------------------------------------------------------------------------- */

static bool measure(bench *b, tn_time_report *report) {
    tn_timed_function *functions = report->functions;
    const tn_function *forward = tn_engine_find_function(b->engine, "forward");
    bool is_ok = tn_ceilings_measure_copy(b->engine, &report->ceilings) &&
                 tn_ceilings_measure_product(b->engine, forward, &report->ceilings) &&
                 tn_stream_create(tn_engine_device(b->engine), NULL, &b->stream) == TN_OK && prepare(b) &&
                 describe_function(b, b->forward, "forward", &functions[0]) && describe_function(b, b->sample, "sample", &functions[1]) &&
                 time_function(b, b->forward, &functions[0]) && time_function(b, b->sample, &functions[1]);
    /* Again: a machine that others use is slower at one time than at another. */
    is_ok = is_ok && tn_ceilings_measure_copy(b->engine, &report->ceilings);
    report->batch = b->batch;
    return is_ok;
}

bool tn_inspect_time(tn_session *session, const tn_time_args *args) {
    bench b = {.engine = session->engine, .random = 1};
    tn_time_report report = {
        .device = tn_device_description(session->device), .is_prefill = args->num_tokens > 0, .num_functions = 2, .num_runs = NUM_RUNS};
    bool is_ok = find_states(&b) && choose_batch(&b, args) && measure(&b, &report);
    tn_text text = {0};
    if (is_ok && (args->is_json || args->json != NULL)) {
        tn_time_report_put_json(&report, args->json != NULL ? args->json : &text);
        if (text.failed) (void)tn_cli_fail("out of memory");
        is_ok = !text.failed;
        if (is_ok && args->json == NULL) puts(text.data);
    } else if (is_ok)
        tn_time_report_print(&report);
    for (int i = 0; i < report.num_functions; i++) {
        for (uint32_t k = 0; k < report.functions[i].num_steps; k++) tn_free(NULL, report.functions[i].steps[k].shape);
        tn_free(NULL, report.functions[i].steps);
    }
    tn_text_deinit(&text);
    bench_deinit(&b);
    return is_ok;
}
