/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_control.c: shapes and types of the layers of Ifs and Loops.
 */
#include <inttypes.h>

#include "network/network_internal.h"

/* The construct's first region, or NULL after recording. */
static const tn_region *find_construct(const tn_shape *shape, int64_t construct, bool is_loop) {
    const tn_network *network = shape->network;
    const tn_region *region = construct > 0 && construct < (int64_t)network->regions.count ? &network->regions.data[construct] : NULL;
    if (region != NULL && region->is_loop == is_loop && !region->is_else &&
        (is_loop || region->owner != NULL || shape->kind == TN_OP_CONDITION))
        return region;
    (void)tn_shape_fail(shape, "there is no %s %" PRId64, is_loop ? "loop" : "conditional", construct);
    return NULL;
}

static bool want_scalar(const tn_shape *shape, uint32_t input, const char *what) {
    return tn_shape_want_rank(shape, input, what, 0);
}

/* A scalar that decides what runs must be known on the host. */
static bool want_host_scalar(const tn_shape *shape, const char *what) {
    if (!want_scalar(shape, 0, what)) return false;
    if (tn_tensor_require_host(shape->inputs[0])) return true;
    return tn_shape_fail(shape, "%s must be an integer or bool, it is %s", what, tn_shape_describe(shape, shape->inputs[0]));
}

bool tn_shape_condition(tn_shape *shape) {
    shape->num_outputs = 0;
    return find_construct(shape, shape->params->condition.construct, false) != NULL &&
           tn_shape_want_dtype(shape, 0, "the condition", TN_BOOL) && want_host_scalar(shape, "the condition");
}

bool tn_shape_condition_input(tn_shape *shape) {
    return find_construct(shape, shape->params->condition_input.construct, false) != NULL && tn_shape_output_is_input(shape);
}

/* A branch's value: made in that branch's region, or outside of both. */
static bool comes_from(const tn_shape *shape, uint32_t input, uint32_t region, const char *which) {
    const tn_tensor *value = shape->inputs[input];
    uint32_t made_in = value->producer != NULL ? value->producer->region : 0;
    if (tn_region_contains(shape->network, made_in, region)) return true;
    return tn_shape_fail(shape, "the value if %s ('%s') does not come from that branch", which, value->name);
}

bool tn_shape_condition_output(tn_shape *shape) {
    const tn_region *region = find_construct(shape, shape->params->condition_output.construct, false);
    if (region == NULL) return false;
    if (!comes_from(shape, 0, region->id, "true") || !comes_from(shape, 1, region->id + 1, "false")) return false;
    const tn_tensor *if_true = shape->inputs[0], *if_false = shape->inputs[1];
    if (if_true->dtype != if_false->dtype || if_true->rank != if_false->rank)
        return tn_shape_fail(shape, "the branches give %s and %s: type and rank must be equal", tn_shape_describe(shape, if_true),
                             tn_shape_describe(shape, if_false));
    tn_shape_copy(shape, 0, if_true, if_true->dtype);
    tn_sym condition = region->owner->inputs.data[0]->host_syms[0];
    for (int axis = 0; axis < if_true->rank; axis++) {
        if (tn_sym_equal(shape->network->symbols, if_true->dims[axis], if_false->dims[axis]) == TN_YES) continue;
        shape->outputs[0].dims[axis] = tn_sym_select(shape->network->symbols, condition, if_true->dims[axis], if_false->dims[axis]);
    }
    return true;
}

bool tn_shape_trip_limit(tn_shape *shape) {
    const tn_trip_limit_params *params = &shape->params->trip_limit;
    const tn_region *region = find_construct(shape, params->construct, true);
    shape->num_outputs = 0;
    if (region == NULL) return false;
    if (params->is_while) return tn_shape_want_dtype(shape, 0, "the condition", TN_BOOL) && want_host_scalar(shape, "the condition");
    tn_dtype dtype = shape->inputs[0]->dtype;
    if (dtype != TN_INT32 && dtype != TN_INT64)
        return tn_shape_fail(shape, "the count must be int32 or int64, it is %s", tn_shape_describe(shape, shape->inputs[0]));
    return want_host_scalar(shape, "the count");
}

bool tn_shape_recurrence(tn_shape *shape) {
    return find_construct(shape, shape->params->recurrence.construct, true) != NULL && tn_shape_output_is_input(shape);
}

bool tn_shape_iterator(tn_shape *shape) {
    tn_iterator_params *params = &shape->params->iterator;
    const tn_tensor *x = shape->inputs[0];
    if (find_construct(shape, params->construct, true) == NULL || !tn_shape_want_axis(shape, &params->axis, x->rank)) return false;
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = x->dtype;
    for (int axis = 0; axis < x->rank; axis++)
        if (axis != params->axis) output->dims[output->rank++] = x->dims[axis];
    shape->num_outputs = 1;
    return true;
}

/* How often a loop runs: its count's symbol. A loop that a condition ends as well may run less often. */
static tn_sym trip_count(const tn_shape *shape, int64_t construct) {
    const tn_layer *owner = shape->network->regions.data[construct].owner;
    if (owner == NULL || owner->params.trip_limit.is_while) return TN_SYM_INVALID;
    return owner->inputs.data[0]->host_syms[0];
}

bool tn_shape_loop_output(tn_shape *shape) {
    tn_loop_output_params *params = &shape->params->loop_output;
    const tn_region *region = find_construct(shape, params->construct, true);
    if (region == NULL) return false;
    tn_tensor *x = shape->inputs[0];
    uint32_t made_in = x->producer != NULL ? x->producer->region : 0;
    if (made_in != region->id) return tn_shape_fail(shape, "'%s' does not come from the loop's body", x->name);
    if (!params->concatenate) {
        if (x->producer->kind != TN_OP_RECURRENCE)
            return tn_shape_fail(shape, "the last value must be a recurrence's, '%s' is none", x->name);
        return tn_shape_output_is_input(shape);
    }
    if (x->rank == TN_MAX_RANK) return tn_shape_fail(shape, "'%s' has %d dimensions already", x->name, TN_MAX_RANK);
    if (!tn_shape_want_axis(shape, &params->axis, x->rank + 1)) return false;
    tn_tensor *length = shape->num_inputs > 1 ? shape->inputs[1] : NULL;
    tn_sym count = trip_count(shape, params->construct);
    if (length != NULL) {
        if (!want_scalar(shape, 1, "the length") || !tn_tensor_require_host(length))
            return tn_shape_fail(shape, "the length must be a scalar integer, it is %s", tn_shape_describe(shape, length));
        count = length->host_syms[0];
    }
    if (count == TN_SYM_INVALID)
        return tn_shape_fail_status(shape, TN_UNSUPPORTED, "a loop without a count cannot join its values: their number is unknown");
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = x->dtype;
    for (int axis = 0; axis <= x->rank; axis++)
        output->dims[output->rank++] = axis < params->axis ? x->dims[axis] : axis == params->axis ? count : x->dims[axis - 1];
    shape->num_outputs = 1;
    return true;
}
