/* SPDX-License-Identifier: Apache-2.0
 *
 * host_values.c: small integer tensors whose elements are known as symbols, so that shape arithmetic folds when it is written.
 *
 * A tensor with host_syms is on the host (or a constant). A layer all of whose inputs are so, and which is shape arithmetic,
 * runs on the host; its outputs' elements are expressions, or, where there is none, HOST_VALUE symbols of the outputs.
 */
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"
#include "op/dtype.h"

/* Deeper chains of arithmetic on run-time values are read back from the device instead. */
enum { MAX_DEPTH = 256 };

bool tn_tensor_host_count(const tn_tensor *tensor, int64_t *out_count) {
    const tn_dtype_info *info = tn_dtype_get_info(tensor->dtype);
    if (tensor->rank > 1 || tensor->state != NULL || (tensor->dtype != TN_BOOL && !info->is_integer)) return false;
    *out_count = 1;
    if (tensor->rank == 1 && !tn_sym_is_const(tensor->network->symbols, tensor->dims[0], out_count)) return false;
    return *out_count >= 0 && *out_count <= TN_MAX_HOST_VALUES;
}

/* Takes the symbols; as numbers too if all are constants. */
static bool set_host_syms(tn_tensor *tensor, const tn_sym *syms, int64_t count) {
    tn_network *network = tensor->network;
    tn_sym *copy = tn_network_alloc(network, (size_t)count * sizeof *copy);
    int64_t *values = tn_network_alloc(network, (size_t)count * sizeof *values);
    if (copy == NULL || values == NULL) return false;
    bool all_const = true;
    for (int64_t i = 0; i < count; i++) {
        copy[i] = syms[i];
        all_const = all_const && tn_sym_is_const(network->symbols, syms[i], &values[i]);
    }
    tensor->host_syms = copy;
    tensor->host_value = all_const ? values : NULL;
    tensor->num_host_values = count;
    return true;
}

bool tn_tensor_make_host_values(tn_tensor *tensor) {
    int64_t count;
    tn_sym syms[TN_MAX_HOST_VALUES];
    if (!tn_tensor_host_count(tensor, &count)) return false;
    for (int64_t i = 0; i < count; i++) {
        syms[i] = tn_sym_host_value(tensor->network->symbols, tensor->id, (uint32_t)i);
        if (syms[i] != TN_SYM_INVALID) continue;
        tn_network_fail_memory(tensor->network);
        return false;
    }
    return set_host_syms(tensor, syms, count);
}

/* --- what one layer makes of its inputs' symbols -------------------------------------------------------------------------- */

typedef struct folder {
    const tn_layer *layer;
    tn_symbols *symbols;
    const tn_tensor *output;
    int64_t count;
    tn_sym syms[TN_MAX_HOST_VALUES]; /* the result */
} folder;

static const tn_tensor *input_of(const folder *f, uint32_t index) {
    return index < f->layer->inputs.count ? f->layer->inputs.data[index] : NULL;
}

/* Element i of an input, broadcast from one element. */
static tn_sym element(const folder *f, uint32_t input, int64_t i) {
    const tn_tensor *tensor = input_of(f, input);
    return tensor->host_syms[tensor->num_host_values == 1 ? 0 : i];
}

static tn_sym binary(const folder *f, tn_sym_op op, tn_sym a, tn_sym b) {
    return tn_sym_binary(f->symbols, op, a, b);
}

static bool fold_constant(folder *f) {
    const tn_weights *weights = f->layer->weights;
    if (weights == NULL || weights->op != TN_WEIGHTS_VALUE || weights->desc.encoding.kind != TN_ENCODING_PLAIN) return false;
    for (int64_t i = 0; i < f->count; i++) {
        double value = tn_dtype_load(weights->desc.encoding.storage, weights->value.part[TN_PART_DATA], i);
        int64_t exact = 0;
        if (weights->desc.encoding.storage == TN_INT64) /* a double holds 53 bits */
            memcpy(&exact, (const char *)weights->value.part[TN_PART_DATA] + i * 8, sizeof exact);
        else
            exact = (int64_t)value;
        f->syms[i] = tn_sym_const(f->symbols, exact);
    }
    return true;
}

static bool fold_shape(folder *f) {
    for (int64_t i = 0; i < f->count; i++) f->syms[i] = input_of(f, 0)->dims[i];
    return true;
}

static bool fold_copy(folder *f) {
    for (int64_t i = 0; i < f->count; i++) f->syms[i] = input_of(f, 0)->host_syms[i];
    return input_of(f, 0)->num_host_values == f->count;
}

static bool fold_cast(folder *f) {
    if (f->output->dtype != TN_BOOL) return fold_copy(f);
    tn_sym zero = tn_sym_const(f->symbols, 0);
    for (int64_t i = 0; i < f->count; i++)
        f->syms[i] = binary(f, TN_SYM_EQUAL, binary(f, TN_SYM_EQUAL, input_of(f, 0)->host_syms[i], zero), zero);
    return true;
}

static bool fold_gather(folder *f) {
    const tn_tensor *data = input_of(f, 0), *indices = input_of(f, 1);
    if (f->layer->params.gather.mode != TN_GATHER_DEFAULT || f->layer->params.gather.batch_dims != 0 || data->rank != 1 ||
        indices->host_value == NULL)
        return false;
    for (int64_t i = 0; i < f->count; i++) {
        int64_t index = indices->host_value[i];
        f->syms[i] = index >= 0 && index < data->num_host_values ? data->host_syms[index] : tn_sym_const(f->symbols, 0);
    }
    return true;
}

static bool fold_slice(folder *f) {
    const tn_slice_params *params = &f->layer->params.slice;
    const tn_tensor *x = input_of(f, 0), *start = input_of(f, 1), *stride = input_of(f, 3);
    if (params->mode != TN_SAMPLE_STRICT_BOUNDS) return false;
    if (x->rank != 1 || (start != NULL && start->host_value == NULL) || (stride != NULL && stride->host_value == NULL)) return false;
    int64_t first = start != NULL ? start->host_value[0] : params->start.d[0];
    int64_t step = stride != NULL ? stride->host_value[0] : params->stride.d[0];
    for (int64_t i = 0; i < f->count; i++) {
        int64_t from;
        if (__builtin_mul_overflow(i, step, &from) || __builtin_add_overflow(from, first, &from) || from < 0 || from >= x->num_host_values)
            return false;
        f->syms[i] = x->host_syms[from];
    }
    return true;
}

static bool fold_concatenation(folder *f) {
    int64_t count = 0;
    for (uint32_t i = 0; i < f->layer->inputs.count; i++) {
        const tn_tensor *input = input_of(f, i);
        for (int64_t j = 0; j < input->num_host_values && count < f->count; j++) f->syms[count++] = input->host_syms[j];
    }
    return count == f->count;
}

static bool is_at_least(const folder *f, tn_sym sym, int64_t least) {
    int64_t min, max;
    (void)tn_sym_bounds(f->symbols, sym, NULL, NULL, &min, &max);
    return min >= least;
}

static tn_sym fold_binary(const folder *f, int op, tn_sym a, tn_sym b) {
    switch (op) {
    case TN_ELEMENTWISE_SUM: return binary(f, TN_SYM_ADD, a, b);
    case TN_ELEMENTWISE_SUB: return binary(f, TN_SYM_SUB, a, b);
    case TN_ELEMENTWISE_PROD: return binary(f, TN_SYM_MUL, a, b);
    case TN_ELEMENTWISE_AND:
    case TN_ELEMENTWISE_MIN: return binary(f, TN_SYM_MIN, a, b);
    case TN_ELEMENTWISE_OR:
    case TN_ELEMENTWISE_MAX: return binary(f, TN_SYM_MAX, a, b);
    case TN_ELEMENTWISE_DIV: /* truncates: the same where both are ≥ 0 */
        return is_at_least(f, a, 0) && is_at_least(f, b, 0) ? binary(f, TN_SYM_FLOOR_DIV, a, b) : TN_SYM_INVALID;
    case TN_ELEMENTWISE_FLOOR_DIV: return binary(f, TN_SYM_FLOOR_DIV, a, b);
    case TN_ELEMENTWISE_MOD: return binary(f, TN_SYM_MOD, a, b);
    case TN_ELEMENTWISE_EQUAL: return binary(f, TN_SYM_EQUAL, a, b);
    case TN_ELEMENTWISE_LESS: return binary(f, TN_SYM_LESS, a, b);
    case TN_ELEMENTWISE_GREATER: return binary(f, TN_SYM_LESS, b, a);
    default: return TN_SYM_INVALID;
    }
}

static bool fold_elementwise(folder *f) {
    for (int64_t i = 0; i < f->count; i++) f->syms[i] = fold_binary(f, f->layer->params.elementwise.op, element(f, 0, i), element(f, 1, i));
    return true;
}

static bool fold_unary(folder *f) {
    int op = f->layer->params.unary.op;
    tn_sym zero = tn_sym_const(f->symbols, 0);
    for (int64_t i = 0; i < f->count; i++) {
        tn_sym x = element(f, 0, i), negated = binary(f, TN_SYM_SUB, zero, x);
        if (op == TN_UNARY_NEG)
            f->syms[i] = negated;
        else if (op == TN_UNARY_ABS)
            f->syms[i] = binary(f, TN_SYM_MAX, x, negated);
        else if (op == TN_UNARY_NOT)
            f->syms[i] = binary(f, TN_SYM_EQUAL, x, zero);
        else
            return false;
    }
    return true;
}

static bool fold_select(folder *f) {
    for (int64_t i = 0; i < f->count; i++) f->syms[i] = tn_sym_select(f->symbols, element(f, 0, i), element(f, 1, i), element(f, 2, i));
    return true;
}

static bool fold_reduce(folder *f) {
    static const tn_sym_op ops[TN_NUM_REDUCE_OPS] = {
        [TN_REDUCE_SUM] = TN_SYM_ADD, [TN_REDUCE_PROD] = TN_SYM_MUL, [TN_REDUCE_MAX] = TN_SYM_MAX, [TN_REDUCE_MIN] = TN_SYM_MIN};
    const tn_tensor *x = input_of(f, 0);
    int op = f->layer->params.reduce.op;
    if (op == TN_REDUCE_AVG || x->rank != 1 || f->count != 1 || x->num_host_values < 1) return false;
    f->syms[0] = x->host_syms[0];
    for (int64_t i = 1; i < x->num_host_values; i++) f->syms[0] = binary(f, ops[op], f->syms[0], x->host_syms[i]);
    return true;
}

static bool fold_fill(folder *f) {
    if (f->layer->params.fill.op != TN_FILL_LINSPACE) return false;
    for (int64_t i = 0; i < f->count; i++)
        f->syms[i] = binary(f, TN_SYM_ADD, element(f, 1, 0), binary(f, TN_SYM_MUL, element(f, 2, 0), tn_sym_const(f->symbols, i)));
    return true;
}

static bool fold_condition_output(folder *f) {
    const tn_region *region = &f->layer->network->regions.data[f->layer->params.condition_output.construct];
    tn_sym condition = region->owner->inputs.data[0]->host_syms[0];
    for (int64_t i = 0; i < f->count; i++) f->syms[i] = tn_sym_select(f->symbols, condition, element(f, 0, i), element(f, 1, i));
    return true;
}

typedef bool (*fold_step)(folder *f);

/* NULL: no shape arithmetic, stays where it is. */
static fold_step fold_function(tn_op_kind kind) {
    switch (kind) {
    case TN_OP_SHAPE: return fold_shape;
    case TN_OP_IDENTITY:
    case TN_OP_CONDITION_INPUT:
    case TN_OP_ASSERTION:
    case TN_OP_SQUEEZE:
    case TN_OP_UNSQUEEZE:
    case TN_OP_SHUFFLE: return fold_copy;
    case TN_OP_CAST: return fold_cast;
    case TN_OP_GATHER: return fold_gather;
    case TN_OP_SLICE: return fold_slice;
    case TN_OP_CONCATENATION: return fold_concatenation;
    case TN_OP_ELEMENTWISE: return fold_elementwise;
    case TN_OP_UNARY: return fold_unary;
    case TN_OP_SELECT: return fold_select;
    case TN_OP_REDUCE: return fold_reduce;
    case TN_OP_FILL: return fold_fill;
    case TN_OP_CONDITION_OUTPUT: return fold_condition_output;
    default: return NULL;
    }
}

static bool all_known(const folder *f) {
    for (int64_t i = 0; i < f->count; i++)
        if (f->syms[i] == TN_SYM_INVALID) return false;
    return true;
}

/* A value that changes from round to round is itself, whatever it starts with. */
static bool is_carried(tn_op_kind kind) {
    return kind == TN_OP_RECURRENCE || kind == TN_OP_LOOP_OUTPUT;
}

static bool inputs_are_known(const tn_layer *layer) {
    if (layer->kind == TN_OP_SHAPE) return true;
    for (size_t i = 0; i < layer->inputs.count; i++) {
        const tn_tensor *input = layer->inputs.data[i];
        if (input != NULL && input->host_syms == NULL) return false;
    }
    return true;
}

bool tn_layer_fold_host_values(tn_layer *layer) {
    tn_symbols *symbols = layer->network->symbols;
    bool is_constant = layer->kind == TN_OP_CONSTANT;
    for (size_t i = 0; i < layer->outputs.count && layer->kind == TN_OP_PLUGIN; i++) layer->outputs.data[i]->place = TN_PLACE_HOST;
    if (tn_op_counts_output(layer->kind)) return tn_tensor_make_host_values(layer->outputs.data[1]); /* read back */
    fold_step fold = is_constant ? fold_constant : fold_function(layer->kind);
    if (layer->outputs.count != 1 || (fold == NULL && !is_carried(layer->kind))) return true;
    tn_tensor *output = layer->outputs.data[0];
    folder f = {.layer = layer, .symbols = symbols, .output = output};
    if (output->host_syms != NULL || !tn_tensor_host_count(output, &f.count) || !inputs_are_known(layer)) return true;
    if (layer->kind == TN_OP_LOOP_OUTPUT && layer->params.loop_output.concatenate) return true;
    bool folded = fold != NULL && fold(&f) && all_known(&f);
    if (tn_symbols_out_of_memory(symbols)) return false;
    if (is_constant) return folded ? set_host_syms(output, f.syms, f.count) : true;
    output->place = TN_PLACE_HOST;
    return folded ? set_host_syms(output, f.syms, f.count) : tn_tensor_make_host_values(output);
}

/* --- on demand ------------------------------------------------------------------------------------------------------------ */

static bool require_host(tn_tensor *tensor, int depth) {
    if (tensor->host_syms != NULL) return true;
    int64_t count;
    if (!tn_tensor_host_count(tensor, &count)) return false;
    tn_layer *layer = tensor->producer;
    if (layer != NULL && depth < MAX_DEPTH && (fold_function(layer->kind) != NULL || is_carried(layer->kind))) {
        bool complete = true; /* all or none: what stays on the device for one input's sake takes no other with it */
        for (size_t i = 0; complete && i < layer->inputs.count; i++) {
            const tn_tensor *input = layer->inputs.data[i];
            complete = input == NULL || input->host_syms != NULL || tn_tensor_host_count(input, &count);
        }
        for (size_t i = 0; complete && i < layer->inputs.count; i++)
            complete = layer->inputs.data[i] == NULL || require_host(layer->inputs.data[i], depth + 1);
        if (complete && !tn_layer_fold_host_values(layer)) return false;
        if (tensor->host_syms != NULL) return true;
    }
    if (layer == NULL) tensor->place = TN_PLACE_HOST; /* an input: the caller gives it in host memory */
    return tn_tensor_make_host_values(tensor);
}

bool tn_tensor_require_host(tn_tensor *tensor) {
    return require_host(tensor, 0);
}
