/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_work.c: see inspect_work.h.
 */
#include "cli/inspect_work.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"

typedef struct counter {
    const tn_engine *engine;
    const tn_function *function;
    const tn_function_step *step;
    const int64_t *values;
    const tn_work_batch *batch;
    bool is_known;
} counter;

static double elements_of(counter *c, const tn_operand *operand) {
    double count = 1.0;
    for (int i = 0; i < operand->rank; i++) {
        int64_t dim = c->values[operand->dims[i]];
        c->is_known = c->is_known && dim >= 0;
        count *= (double)dim;
    }
    return count;
}

/* A weight that is read in part counts with its share of the stored bytes. */
static double stored_bytes(counter *c, const tn_operand *operand, const tn_plan_ref *ref) {
    const tn_plan_weight *weight = &c->engine->view->weights[ref->id];
    double total = 1.0;
    for (uint32_t i = 0; i < weight->rank; i++) total *= (double)weight->dims[i];
    return total > 0.0 ? (double)weight->size * elements_of(c, operand) / total : 0.0;
}

static double operand_bytes(counter *c, uint32_t index) {
    const tn_operand *operand = &c->step->problem.operands[index];
    const tn_plan_ref *ref = &c->step->refs[index];
    size_t bytes = 0;
    if (operand->absent || operand->role == TN_ROLE_STATE || ref->space == TN_SPACE_NONE) return 0.0;
    if (ref->space == TN_SPACE_WEIGHT) return stored_bytes(c, operand, ref);
    c->is_known = c->is_known && tn_tensor_span(operand->dtype, operand->rank, operand->dims, c->values, &bytes);
    return (double)bytes;
}

/* --- paged caches --------------------------------------------------------------------------------------------------------------- */

/* The first position, after the sink tokens, that any new token of a sequence sees. */
static int64_t first_seen(const tn_work_batch *batch, const tn_attention_params *params) {
    int64_t first = batch->num_cached + 1 - params->window;
    return params->window > 0 && first > 0 ? first : 0;
}

/* Pairs of a new token and a position that it sees, of one sequence. */
static double seen_pairs(const tn_work_batch *batch, const tn_attention_params *params) {
    double pairs = 0.0;
    for (int64_t i = batch->num_cached; i < batch->num_cached + batch->num_new; i++) {
        int64_t seen = i + 1;
        if (params->window > 0 && seen > params->window) {
            int64_t hidden = seen - params->window;
            seen = params->window + (params->sink_tokens < hidden ? params->sink_tokens : hidden);
        }
        pairs += (double)seen;
    }
    return pairs;
}

/* Bytes of one position in one layer, as the device stores it. */
static double position_bytes(const counter *c, uint32_t operand) {
    const tn_state_info *state = &c->engine->states[c->step->refs[operand].id];
    return (double)state->unit_bytes / (double)(state->kv.tokens_per_block * state->kv.num_layers);
}

/* The operand's table counts with the columns of positions [first, end) and of the leading ones. */
static void replace_table(counter *c, tn_step_work *work, uint32_t operand, int64_t first, int64_t leading, int64_t tokens_per_block) {
    int64_t end = c->batch->num_cached + c->batch->num_new;
    int64_t num_columns = tn_ceil_div(end, tokens_per_block) - first / tokens_per_block + tn_ceil_div(leading, tokens_per_block);
    work->bytes_read -= operand_bytes(c, operand);
    work->bytes_read += (double)(c->batch->num_seqs * num_columns) * sizeof(int32_t);
}

static void count_attention(counter *c, tn_step_work *work) {
    const tn_attention_params *params = c->step->problem.params;
    const tn_work_batch *batch = c->batch;
    int64_t first = first_seen(batch, params), sinks = params->sink_tokens < first ? params->sink_tokens : first;
    double positions = (double)(batch->num_seqs * (batch->num_cached + batch->num_new - first + sinks));
    work->bytes_read += positions * position_bytes(c, 1);
    replace_table(c, work, 4, first, sinks, params->tokens_per_block);
    work->flops = 2.0 * (double)batch->num_seqs * seen_pairs(batch, params) * (double)(params->num_heads * (params->k_dim + params->v_dim));
}

static void count_cache_write(counter *c, tn_step_work *work, uint32_t cache, uint32_t table, int64_t tokens_per_block) {
    work->bytes_written += (double)(c->batch->num_seqs * c->batch->num_new) * position_bytes(c, cache);
    replace_table(c, work, table, c->batch->num_cached, 0, tokens_per_block);
}

/* --- products ---------------------------------------------------------------------------------------------------------------------- */

/* op(a) [.., m, k] · op(b) [.., k, n] */
static double product_flops(counter *c) {
    const tn_problem *problem = &c->step->problem;
    const tn_matrix_multiply_params *params = problem->params;
    const tn_operand *a = &problem->operands[0], *b = &problem->operands[1];
    double size_a = elements_of(c, a), size_b = elements_of(c, b);
    if (a->rank == 0 || b->rank == 0 || size_a == 0.0) return 0.0;
    int k_axis = params->op_a == TN_MATRIX_TRANSPOSE && a->rank > 1 ? a->rank - 2 : a->rank - 1;
    int n_axis = params->op_b == TN_MATRIX_TRANSPOSE && b->rank > 1 ? b->rank - 2 : b->rank - 1;
    double k = (double)c->values[a->dims[k_axis]], n = params->op_b == TN_MATRIX_VECTOR ? 1.0 : (double)c->values[b->dims[n_axis]];
    double m = 1.0;
    if (params->op_a != TN_MATRIX_VECTOR && a->rank > 1) m = (double)c->values[a->dims[2 * a->rank - 3 - k_axis]];
    double batch = fmax(size_a / (m * k), size_b / (n * k));
    return 2.0 * batch * m * n * k;
}

/* Experts that tokens choose evenly: expected number of different ones among those of all rows. */
static void count_grouped_product(counter *c, tn_step_work *work) {
    const tn_problem *problem = &c->step->problem;
    const tn_grouped_matmul_params *params = problem->params;
    const tn_operand *weight = &problem->operands[1];
    double rows = elements_of(c, &problem->operands[3]), weight_bytes = operand_bytes(c, 1), size = elements_of(c, weight);
    double num_experts = (double)c->values[weight->dims[0]], chosen = (double)params->top_k;
    if (num_experts <= 0.0 || chosen <= 0.0) return;
    double share = 1.0 - pow(1.0 - fmin(chosen / num_experts, 1.0), rows / chosen);
    work->bytes_read -= weight_bytes * (1.0 - share);
    work->flops = 2.0 * rows * size / num_experts;
}

/* --- steps -------------------------------------------------------------------------------------------------------------------------- */

/* Input 0 counts only with the elements that reach the output, each once. */
static void count_taken(counter *c, tn_step_work *work) {
    const tn_problem *problem = &c->step->problem;
    double all = elements_of(c, &problem->operands[0]), taken = elements_of(c, &problem->operands[problem->num_inputs]);
    if (taken < all) work->bytes_read -= operand_bytes(c, 0) * (1.0 - taken / all);
}

static void count_launch(counter *c, tn_step_work *work) {
    const tn_problem *problem = &c->step->problem;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        double bytes = operand_bytes(c, i);
        if (i < problem->num_inputs)
            work->bytes_read += bytes;
        else
            work->bytes_written += bytes;
    }
    switch (problem->op) {
    case TN_OP_MATRIX_MULTIPLY: work->flops = product_flops(c); break;
    case TN_OP_GROUPED_MATMUL: count_grouped_product(c, work); break;
    case TN_OP_ATTENTION: count_attention(c, work); break;
    case TN_OP_QKV_CACHE: count_cache_write(c, work, 4, 7, ((const tn_qkv_cache_params *)problem->params)->tokens_per_block); break;
    case TN_OP_KV_CACHE_UPDATE:
        count_cache_write(c, work, 2, 5, ((const tn_kv_cache_update_params *)problem->params)->tokens_per_block);
        break;
    case TN_OP_GATHER:
    case TN_OP_SLICE: count_taken(c, work); break;
    default: break;
    }
}

static void count_copy(counter *c, tn_step_work *work) {
    const tn_plan_ref *source = &c->step->refs[0];
    size_t bytes = 0;
    if (source->space == TN_SPACE_WEIGHT) {
        bytes = (size_t)c->engine->view->weights[source->id].size;
    } else if (source->space != TN_SPACE_STATE) {
        const tn_plan_tensor *tensor = &c->function->tensors[source->id];
        c->is_known = tn_tensor_span(c->function->dtypes[source->id], tensor->rank, tensor->dims, c->values, &bytes);
    }
    work->bytes_read = work->bytes_written = (double)bytes;
}

static bool is_in_loop(const tn_function *function, uint32_t step) {
    for (uint32_t i = 0; i <= step; i++) {
        const tn_plan_step *record = function->steps[i].record;
        if (record->kind == TN_STEP_LOOP && step < record->body_end) return true;
    }
    return false;
}

tn_step_work tn_step_work_count(const tn_engine *engine, const tn_function *function, uint32_t step, const int64_t *values,
                                const tn_work_batch *batch) {
    counter c = {
        .engine = engine, .function = function, .step = &function->steps[step], .values = values, .batch = batch, .is_known = true};
    tn_step_work work = {0};
    if (is_in_loop(function, step)) return work;
    if (c.step->record->kind == TN_STEP_LAUNCH)
        count_launch(&c, &work);
    else if (c.step->record->size_symbol == 0)
        count_copy(&c, &work);
    else
        c.is_known = false;
    if (!c.is_known) return (tn_step_work){0};
    work.is_known = true;
    return work;
}
