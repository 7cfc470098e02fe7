/* SPDX-License-Identifier: Apache-2.0
 *
 * evaluate.c: runs statements and evaluates expressions.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "tokenizer/jinja/ast.h"

typedef enum flow { FLOW_ON = 0, FLOW_BREAK, FLOW_CONTINUE } flow;

static bool run(tn_jinja *j, const tn_jinja_node *body, flow *out_flow);
static bool call(tn_jinja *j, const tn_jinja_node *node, const tn_jinja_value *caller, tn_jinja_value *out);

static bool enter(tn_jinja *j) {
    if (j->depth >= TN_JINJA_MAX_DEPTH) return tn_jinja_fail(j, TN_INVALID_DATA, "it nests deeper than %d", TN_JINJA_MAX_DEPTH);
    j->depth++;
    return tn_jinja_charge(j, 1);
}

/* ---- names ---- */

static bool set_name(tn_jinja *j, const char *name, tn_jinja_value value) {
    return tn_jinja_dict_set(j, &j->frame->variables, tn_jinja_of_text(name), value);
}

static bool find_name(tn_jinja *j, const char *name, tn_jinja_value *out) {
    tn_jinja_value key = tn_jinja_of_text(name);
    for (const tn_jinja_frame *frame = j->frame; frame; frame = frame->outer) {
        const tn_jinja_value *found = tn_jinja_dict_find(j, &frame->variables, &key);
        if (found) {
            *out = *found;
            return true;
        }
        if (j->status != TN_OK) return false;
    }
    *out = (tn_jinja_value){.kind = tn_jinja_has_function(name) ? TN_JINJA_FUNCTION : TN_JINJA_UNDEFINED};
    out->named.name = name;
    return true;
}

static bool push_frame(tn_jinja *j, tn_jinja_frame *outer) {
    tn_jinja_frame *frame = tn_jinja_alloc(j, sizeof *frame);
    if (!frame) return false;
    frame->outer = outer;
    j->frame = frame;
    return true;
}

/* One name takes the value, several unpack it. */
static bool assign(tn_jinja *j, const tn_jinja_node *targets, tn_jinja_value value) {
    if (!targets->next) return set_name(j, targets->name, value);
    const tn_jinja_list *items;
    if (!tn_jinja_items(j, &value, &items)) return false;
    size_t i = 0;
    for (const tn_jinja_node *target = targets; target; target = target->next, i++) {
        if (i >= items->count) break;
        if (!set_name(j, target->name, items->items[i])) return false;
    }
    size_t num_targets = 0;
    for (const tn_jinja_node *target = targets; target; target = target->next) num_targets++;
    return num_targets == items->count ||
           tn_jinja_fail(j, TN_INVALID_DATA, "%zu values cannot be unpacked into %zu names", items->count, num_targets);
}

/* ---- statements ---- */

/* The items that pass the loop's own filter. */
static bool select_items(tn_jinja *j, const tn_jinja_node *node, const tn_jinja_list *items, const tn_jinja_list **out) {
    tn_jinja_value selected;
    tn_jinja_frame *outer = j->frame;
    if (!tn_jinja_list_create(j, 0, &selected)) return false;
    for (size_t i = 0; i < items->count; i++) {
        tn_jinja_value passes;
        bool fits = push_frame(j, outer) && assign(j, node->targets, items->items[i]) && tn_jinja_evaluate(j, node->b, &passes);
        j->frame = outer;
        if (!fits) return false;
        if (tn_jinja_is_true(&passes) && !tn_jinja_list_push(j, selected.list, items->items[i])) return false;
    }
    *out = selected.list;
    return true;
}

static bool run_for(tn_jinja *j, const tn_jinja_node *node, flow *out_flow) {
    tn_jinja_value what;
    const tn_jinja_list *items;
    tn_jinja_frame *outer = j->frame;
    if (!tn_jinja_evaluate(j, node->a, &what) || !tn_jinja_items(j, &what, &items)) return false;
    if (node->b && !select_items(j, node, items, &items)) return false;
    if (items->count == 0) return run(j, node->other, out_flow);
    tn_jinja_loop *loop = tn_jinja_alloc(j, sizeof *loop);
    if (!loop) return false;
    loop->items = items;
    loop->depth = 1;
    tn_jinja_value loop_value = {.kind = TN_JINJA_LOOP, .loop = loop};
    size_t count = items->count; /* a list that grows inside does not lengthen its loop */
    for (size_t i = 0; i < count; i++) {
        loop->index = i;
        flow inner = FLOW_ON;
        bool fits = push_frame(j, outer) && set_name(j, "loop", loop_value) && assign(j, node->targets, items->items[i]) &&
                    run(j, node->body, &inner);
        j->frame = outer;
        if (!fits) return false;
        if (inner == FLOW_BREAK) break;
    }
    return true;
}

static bool set_targets(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value value) {
    if (node->targets->kind != TN_NODE_ATTRIBUTE) return assign(j, node->targets, value);
    tn_jinja_value space;
    if (!find_name(j, node->targets->a->name, &space)) return false;
    if (space.kind != TN_JINJA_NAMESPACE)
        return tn_jinja_fail(j, TN_INVALID_DATA, "'%s' is %s, only a namespace's attributes can be set", node->targets->a->name,
                             tn_jinja_kind_name(&space));
    return tn_jinja_dict_set(j, space.dict, tn_jinja_of_text(node->targets->name), value);
}

/* What a body prints, as a string. */
static bool capture(tn_jinja *j, const tn_jinja_node *body, flow *out_flow, tn_jinja_value *out) {
    tn_jinja_builder builder = {0}, *outer = j->out;
    j->out = &builder;
    bool fits = run(j, body, out_flow);
    j->out = outer;
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return fits;
}

/* What a body prints in a scope of its own, through the block's filters. */
static bool capture_block(tn_jinja *j, const tn_jinja_node *node, flow *out_flow, tn_jinja_value *out) {
    tn_jinja_frame *outer = j->frame;
    bool fits = push_frame(j, outer) && capture(j, node->body, out_flow, out);
    if (fits && node->a) fits = set_name(j, TN_JINJA_CAPTURED, *out) && tn_jinja_evaluate(j, node->a, out);
    j->frame = outer;
    return fits;
}

static bool run_with(tn_jinja *j, const tn_jinja_node *node, flow *out_flow) {
    tn_jinja_frame *outer = j->frame, *inner = NULL;
    bool fits = push_frame(j, outer);
    inner = j->frame;
    for (const tn_jinja_node *argument = node->arguments; argument && fits; argument = argument->next) {
        tn_jinja_value value;
        j->frame = outer; /* values do not see each other */
        fits = tn_jinja_evaluate(j, argument->a, &value);
        j->frame = inner;
        fits = fits && set_name(j, argument->name, value);
    }
    fits = fits && run(j, node->body, out_flow);
    j->frame = outer;
    return fits;
}

static bool make_macro(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_closure *closure = tn_jinja_alloc(j, sizeof *closure);
    if (!closure) return false;
    *closure = (tn_jinja_closure){node, j->frame};
    *out = (tn_jinja_value){.kind = TN_JINJA_MACRO, .closure = closure};
    return true;
}

static bool run_one(tn_jinja *j, const tn_jinja_node *node, flow *out_flow) {
    tn_jinja_value value;
    switch (node->kind) {
    case TN_NODE_TEXT: return tn_jinja_append(j, j->out, node->value.string);
    case TN_NODE_OUTPUT: return tn_jinja_evaluate(j, node->a, &value) && tn_jinja_print(j, j->out, &value, false);
    case TN_NODE_IF:
        if (!tn_jinja_evaluate(j, node->a, &value)) return false;
        return run(j, tn_jinja_is_true(&value) ? node->body : node->other, out_flow);
    case TN_NODE_FOR: return run_for(j, node, out_flow);
    case TN_NODE_SET: return tn_jinja_evaluate(j, node->a, &value) && set_targets(j, node, value);
    case TN_NODE_SET_BLOCK: return capture_block(j, node, out_flow, &value) && set_targets(j, node, value);
    case TN_NODE_FILTER_BLOCK: return capture_block(j, node, out_flow, &value) && tn_jinja_print(j, j->out, &value, false);
    case TN_NODE_WITH: return run_with(j, node, out_flow);
    case TN_NODE_CALL_BLOCK:
        return make_macro(j, node, &value) && call(j, node->a, &value, &value) && tn_jinja_print(j, j->out, &value, false);
    case TN_NODE_MACRO: return make_macro(j, node, &value) && set_name(j, node->name, value);
    case TN_NODE_BREAK: *out_flow = FLOW_BREAK; return true;
    case TN_NODE_CONTINUE: *out_flow = FLOW_CONTINUE; return true;
    case TN_NODE_GROUP: return run(j, node->body, out_flow);
    default: return tn_jinja_fail(j, TN_INTERNAL, "an expression stands where a statement should");
    }
}

static bool run(tn_jinja *j, const tn_jinja_node *body, flow *out_flow) {
    if (!enter(j)) return false;
    for (const tn_jinja_node *node = body; node && *out_flow == FLOW_ON; node = node->next) {
        j->line = node->line;
        if (!tn_jinja_charge(j, 1) || !run_one(j, node, out_flow)) return false;
    }
    j->depth--;
    return true;
}

bool tn_jinja_run(tn_jinja *j, const tn_jinja_node *body) {
    flow ignored = FLOW_ON;
    return run(j, body, &ignored);
}

/* ---- calls ---- */

const tn_jinja_value *tn_jinja_argument(const tn_jinja_arguments *arguments, size_t index, const char *name) {
    if (index < arguments->num_positional) return &arguments->positional[index];
    for (size_t i = 0; name && i < arguments->num_named; i++)
        if (strcmp(arguments->named[i].name, name) == 0) return &arguments->named[i].value;
    return NULL;
}

static bool evaluate_arguments(tn_jinja *j, const tn_jinja_node *list, tn_jinja_arguments *out) {
    out->num_positional = out->num_named = 0;
    for (const tn_jinja_node *node = list; node; node = node->next) {
        tn_jinja_value value;
        if (out->num_positional + out->num_named >= TN_JINJA_MAX_ARGUMENTS)
            return tn_jinja_fail(j, TN_UNSUPPORTED, "more than %d arguments are not supported", TN_JINJA_MAX_ARGUMENTS);
        if (!tn_jinja_evaluate(j, node->a, &value)) return false;
        if (node->name) {
            out->named[out->num_named].name = node->name;
            out->named[out->num_named++].value = value;
        } else {
            out->positional[out->num_positional++] = value;
        }
    }
    return true;
}

static bool has_parameter(const tn_jinja_node *macro, const char *name) {
    for (const tn_jinja_node *parameter = macro->targets; parameter; parameter = parameter->next)
        if (strcmp(parameter->name, name) == 0) return true;
    return false;
}

/* caller: what the body of a call block is, or NULL. */
static bool call_macro(tn_jinja *j, const tn_jinja_closure *closure, const tn_jinja_arguments *arguments, const tn_jinja_value *caller,
                       tn_jinja_value *out) {
    const tn_jinja_node *macro = closure->macro;
    tn_jinja_frame *outer = j->frame;
    for (size_t i = 0; i < arguments->num_named; i++)
        if (!has_parameter(macro, arguments->named[i].name))
            return tn_jinja_fail(j, TN_INVALID_DATA, "macro '%s' has no argument '%s'", macro->name, arguments->named[i].name);
    if (!push_frame(j, closure->frame)) return false;
    size_t i = 0;
    bool fits = !caller || set_name(j, "caller", *caller);
    for (const tn_jinja_node *parameter = macro->targets; parameter && fits; parameter = parameter->next, i++) {
        const tn_jinja_value *given = tn_jinja_argument(arguments, i, parameter->name);
        tn_jinja_value value = {.kind = TN_JINJA_UNDEFINED};
        value.named.name = parameter->name;
        if (given)
            value = *given;
        else if (parameter->a)
            fits = tn_jinja_evaluate(j, parameter->a, &value);
        fits = fits && set_name(j, parameter->name, value);
    }
    if (fits && arguments->num_positional > i)
        fits = tn_jinja_fail(j, TN_INVALID_DATA, "macro '%s' takes %zu arguments, not %zu", macro->name, i, arguments->num_positional);
    flow ignored = FLOW_ON;
    fits = fits && capture(j, macro->body, &ignored, out);
    j->frame = outer;
    return fits;
}

/* loop.cycle(a, b, …): the one whose turn it is. */
static bool cycle(tn_jinja *j, const tn_jinja_loop *loop, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    if (arguments->num_positional == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "loop.cycle needs values");
    *out = arguments->positional[loop->index % arguments->num_positional];
    return true;
}

static bool call(tn_jinja *j, const tn_jinja_node *node, const tn_jinja_value *caller, tn_jinja_value *out) {
    tn_jinja_value callee;
    tn_jinja_arguments *arguments = tn_jinja_alloc(j, sizeof *arguments); /* not on the stack: calls nest */
    if (!arguments || !tn_jinja_evaluate(j, node->a, &callee) || !evaluate_arguments(j, node->arguments, arguments)) return false;
    if (caller && callee.kind != TN_JINJA_MACRO)
        return tn_jinja_fail(j, TN_INVALID_DATA, "%s cannot be called by a block", tn_jinja_kind_name(&callee));
    switch (callee.kind) {
    case TN_JINJA_MACRO: return call_macro(j, callee.closure, arguments, caller, out);
    case TN_JINJA_FUNCTION: return tn_jinja_call_function(j, callee.named.name, arguments, out);
    case TN_JINJA_METHOD:
        if (callee.named.self->kind == TN_JINJA_LOOP) return cycle(j, callee.named.self->loop, arguments, out);
        return tn_jinja_call_method(j, callee.named.name, callee.named.self, arguments, out);
    case TN_JINJA_UNDEFINED:
        return tn_jinja_fail(j, TN_UNSUPPORTED, "the function '%s' is not supported", callee.named.name ? callee.named.name : "?");
    default: return tn_jinja_fail(j, TN_INVALID_DATA, "%s cannot be called", tn_jinja_kind_name(&callee));
    }
}

/* ---- members ---- */

static bool loop_member(tn_jinja *j, const tn_jinja_loop *loop, const char *name, tn_jinja_value *out) {
    int64_t index = (int64_t)loop->index, count = (int64_t)loop->items->count;
    if (strcmp(name, "index") == 0)
        *out = tn_jinja_of_integer(index + 1);
    else if (strcmp(name, "index0") == 0)
        *out = tn_jinja_of_integer(index);
    else if (strcmp(name, "revindex") == 0)
        *out = tn_jinja_of_integer(count - index);
    else if (strcmp(name, "revindex0") == 0)
        *out = tn_jinja_of_integer(count - index - 1);
    else if (strcmp(name, "first") == 0)
        *out = tn_jinja_of_bool(index == 0);
    else if (strcmp(name, "last") == 0)
        *out = tn_jinja_of_bool(index == count - 1);
    else if (strcmp(name, "length") == 0)
        *out = tn_jinja_of_integer(count);
    else if (strcmp(name, "depth") == 0 || strcmp(name, "depth0") == 0) /* loops that call themselves are refused */
        *out = tn_jinja_of_integer(name[5] == 0);
    else if (strcmp(name, "previtem") == 0 && index > 0)
        *out = loop->items->items[index - 1];
    else if (strcmp(name, "nextitem") == 0 && index + 1 < count)
        *out = loop->items->items[index + 1];
    else if (strcmp(name, "previtem") != 0 && strcmp(name, "nextitem") != 0)
        return tn_jinja_fail(j, TN_UNSUPPORTED, "loop.%s is not supported", name);
    return true;
}

bool tn_jinja_member(tn_jinja *j, const tn_jinja_value *value, const char *name, tn_jinja_value *out) {
    *out = (tn_jinja_value){.kind = TN_JINJA_UNDEFINED};
    out->named.name = name;
    if (value->kind == TN_JINJA_UNDEFINED)
        return tn_jinja_fail(j, TN_INVALID_DATA, "'%s' is undefined, so it has no '%s'", value->named.name ? value->named.name : "a value",
                             name);
    bool is_cycle = value->kind == TN_JINJA_LOOP && strcmp(name, "cycle") == 0;
    if (value->kind == TN_JINJA_LOOP && !is_cycle) return loop_member(j, value->loop, name, out);
    if (is_cycle || tn_jinja_has_method(value, name)) {
        tn_jinja_value *self = tn_jinja_alloc(j, sizeof *self);
        if (!self) return false;
        *self = *value;
        out->kind = TN_JINJA_METHOD;
        out->named.self = self;
        return true;
    }
    if (value->kind == TN_JINJA_DICT || value->kind == TN_JINJA_NAMESPACE) {
        tn_jinja_value key = tn_jinja_of_text(name);
        const tn_jinja_value *found = tn_jinja_dict_find(j, value->dict, &key);
        if (found) *out = *found;
    }
    return j->status == TN_OK;
}

/* A negative index counts from the end; clamped into [0, count]. */
static size_t clamp_index(int64_t index, size_t count) {
    if (index < 0) index += (int64_t)count;
    return index < 0 ? 0 : (size_t)index > count ? count : (size_t)index;
}

static bool item(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_value value, key;
    if (!tn_jinja_evaluate(j, node->a, &value) || !tn_jinja_evaluate(j, node->b, &key)) return false;
    *out = (tn_jinja_value){.kind = TN_JINJA_UNDEFINED};
    if (value.kind == TN_JINJA_DICT) {
        const tn_jinja_value *found = tn_jinja_dict_find(j, value.dict, &key);
        if (found) {
            *out = *found;
            return true;
        }
        if (j->status != TN_OK) return false;
    }
    if (key.kind == TN_JINJA_STRING) {
        char *name = tn_jinja_alloc(j, key.string.size + 1);
        if (!name) return false;
        memcpy(name, key.string.data, key.string.size);
        if (value.kind == TN_JINJA_DICT) {
            out->named.name = name;
            return true;
        }
        return tn_jinja_member(j, &value, name, out);
    }
    if (value.kind == TN_JINJA_UNDEFINED)
        return tn_jinja_fail(j, TN_INVALID_DATA, "'%s' is undefined, so it has no items", value.named.name ? value.named.name : "a value");
    if (key.kind != TN_JINJA_INTEGER || (value.kind != TN_JINJA_LIST && value.kind != TN_JINJA_STRING)) return true;
    const tn_jinja_list *items;
    if (!tn_jinja_items(j, &value, &items)) return false;
    int64_t index = key.integer < 0 ? key.integer + (int64_t)items->count : key.integer;
    if (index >= 0 && (size_t)index < items->count) *out = items->items[index];
    return true;
}

static bool slice_part(tn_jinja *j, const tn_jinja_node *node, int64_t fallback, int64_t *out) {
    tn_jinja_value value = {.kind = TN_JINJA_NONE};
    if (node && !tn_jinja_evaluate(j, node, &value)) return false;
    if (value.kind != TN_JINJA_NONE && value.kind != TN_JINJA_INTEGER)
        return tn_jinja_fail(j, TN_INVALID_DATA, "a slice needs integers, not %s", tn_jinja_kind_name(&value));
    *out = value.kind == TN_JINJA_INTEGER ? value.integer : fallback;
    return true;
}

static bool slice(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_value value;
    const tn_jinja_list *items;
    int64_t step = 1, from, to;
    if (!tn_jinja_evaluate(j, node->a, &value) || !slice_part(j, node->d, 1, &step)) return false;
    if (value.kind != TN_JINJA_LIST && value.kind != TN_JINJA_STRING)
        return tn_jinja_fail(j, TN_INVALID_DATA, "%s cannot be sliced", tn_jinja_kind_name(&value));
    if (step == 0 || step == INT64_MIN) return tn_jinja_fail(j, TN_INVALID_DATA, "this step of a slice is not possible");
    if (!tn_jinja_items(j, &value, &items)) return false;
    int64_t count = (int64_t)items->count;
    if (!slice_part(j, node->b, step > 0 ? 0 : INT64_MAX, &from) || !slice_part(j, node->c, step > 0 ? INT64_MAX : INT64_MIN, &to))
        return false;
    tn_jinja_value list;
    if (!tn_jinja_list_create(j, 0, &list)) return false;
    if (step > 0) {
        size_t end = clamp_index(to, items->count);
        for (size_t i = clamp_index(from, items->count); i < end; i += (size_t)step) {
            if (!tn_jinja_list_push(j, list.list, items->items[i])) return false;
            if ((size_t)step >= end - i) break;
        }
    } else {
        int64_t first = from < 0 ? from + count : from, last = to == INT64_MIN ? -1 : to < 0 ? to + count : to;
        if (first >= count) first = count - 1;
        if (last < -1) last = -1;
        for (int64_t i = first; i > last && i >= 0; i += step)
            if (!tn_jinja_list_push(j, list.list, items->items[i])) return false;
    }
    if (value.kind == TN_JINJA_LIST && value.list->sequence == TN_JINJA_TUPLE) list.list->sequence = TN_JINJA_TUPLE;
    *out = list;
    if (value.kind == TN_JINJA_LIST) return true;
    tn_jinja_builder builder = {0};
    for (size_t i = 0; i < list.list->count; i++)
        if (!tn_jinja_append(j, &builder, list.list->items[i].string)) return false;
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

/* ---- operators ---- */

static bool is_number(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_BOOL || value->kind == TN_JINJA_INTEGER || value->kind == TN_JINJA_FLOAT;
}

static int64_t integer_of(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_BOOL ? value->boolean : value->integer;
}

static double real_of(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_FLOAT ? value->real : (double)integer_of(value);
}

bool tn_jinja_compare(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, int *out_order) {
    if (is_number(a) && is_number(b)) {
        double x = real_of(a), y = real_of(b);
        *out_order = x < y ? -1 : x > y;
        return true;
    }
    if (a->kind != TN_JINJA_STRING || b->kind != TN_JINJA_STRING)
        return tn_jinja_fail(j, TN_INVALID_DATA, "%s cannot be compared with %s", tn_jinja_kind_name(a), tn_jinja_kind_name(b));
    size_t size = a->string.size < b->string.size ? a->string.size : b->string.size;
    int order = memcmp(a->string.data, b->string.data, size);
    *out_order = order ? order : a->string.size < b->string.size ? -1 : a->string.size > b->string.size;
    return tn_jinja_charge(j, size / 64);
}

bool tn_jinja_contains(tn_jinja *j, const tn_jinja_value *container, const tn_jinja_value *item_value, bool *out) {
    *out = false;
    if (container->kind == TN_JINJA_UNDEFINED) return true; /* as empty */
    if (container->kind == TN_JINJA_STRING && item_value->kind == TN_JINJA_STRING) {
        *out = item_value->string.size == 0 ||
               memmem(container->string.data, container->string.size, item_value->string.data, item_value->string.size) != NULL;
        return tn_jinja_charge(j, container->string.size / 64);
    }
    if (container->kind == TN_JINJA_DICT || container->kind == TN_JINJA_NAMESPACE) {
        *out = tn_jinja_dict_find(j, container->dict, item_value) != NULL;
        return j->status == TN_OK;
    }
    if (container->kind == TN_JINJA_LIST) {
        for (size_t i = 0; i < container->list->count && !*out; i++)
            if (!tn_jinja_charge(j, 1) || !tn_jinja_equal(j, &container->list->items[i], item_value, out)) return false;
        return true;
    }
    return tn_jinja_fail(j, TN_INVALID_DATA, "'in' cannot search %s", tn_jinja_kind_name(container));
}

static bool integer_arithmetic(tn_jinja *j, char operation, int64_t a, int64_t b, tn_jinja_value *out) {
    int64_t result = 0;
    bool fits = true;
    if ((operation == '%' || operation == 'd') && b == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "a division by zero");
    if ((operation == '%' || operation == 'd') && b == -1) {
        operation = operation == '%' ? '%' : 'n';
        b = 1; /* INT64_MIN / -1 overflows */
    }
    switch (operation) {
    case '+': fits = tn_add_i64(a, b, &result); break;
    case '-': fits = !__builtin_sub_overflow(a, b, &result); break;
    case '*': fits = tn_mul_i64(a, b, &result); break;
    case '%': result = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0); break;
    case 'd': result = a / b - (a % b != 0 && (a < 0) != (b < 0)); break;
    default: fits = !__builtin_sub_overflow((int64_t)0, a, &result); break; /* 'n': negation */
    }
    *out = tn_jinja_of_integer(result);
    return fits || tn_jinja_fail(j, TN_INVALID_DATA, "a number is too large");
}

static bool power(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, tn_jinja_value *out) {
    if (a->kind == TN_JINJA_FLOAT || b->kind == TN_JINJA_FLOAT || integer_of(b) < 0) {
        if (real_of(a) <= 0) return tn_jinja_fail(j, TN_UNSUPPORTED, "this power is not supported");
        *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = pow(real_of(a), real_of(b))};
        return true;
    }
    int64_t base = integer_of(a), result = 1;
    for (int64_t exponent = integer_of(b); exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && !tn_mul_i64(result, base, &result)) return tn_jinja_fail(j, TN_INVALID_DATA, "a number is too large");
        if (exponent > 1 && !tn_mul_i64(base, base, &base)) return tn_jinja_fail(j, TN_INVALID_DATA, "a number is too large");
    }
    *out = tn_jinja_of_integer(result);
    return true;
}

static bool arithmetic(tn_jinja *j, const char *name, const tn_jinja_value *a, const tn_jinja_value *b, tn_jinja_value *out) {
    char operation = strcmp(name, "//") == 0 ? 'd' : name[0];
    if (strcmp(name, "**") == 0) return power(j, a, b, out);
    if (a->kind != TN_JINJA_FLOAT && b->kind != TN_JINJA_FLOAT && operation != '/')
        return integer_arithmetic(j, operation, integer_of(a), integer_of(b), out);
    double x = real_of(a), y = real_of(b), result;
    if ((operation == '/' || operation == 'd' || operation == '%') && y == 0)
        return tn_jinja_fail(j, TN_INVALID_DATA, "a division by zero");
    switch (operation) {
    case '+': result = x + y; break;
    case '-': result = x - y; break;
    case '*': result = x * y; break;
    case '/': result = x / y; break;
    case 'd': result = floor(x / y); break;
    default: result = x - y * floor(x / y); break;
    }
    *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = result};
    return true;
}

static bool join_lists(tn_jinja *j, const tn_jinja_list *a, const tn_jinja_list *b, tn_jinja_value *out) {
    if (!tn_jinja_charge(j, (a->count + b->count) / 16) || !tn_jinja_list_create(j, a->count + b->count, out)) return false;
    for (size_t i = 0; i < a->count; i++) out->list->items[i] = a->items[i];
    for (size_t i = 0; i < b->count; i++) out->list->items[a->count + i] = b->items[i];
    out->list->count = a->count + b->count;
    if (a->sequence == TN_JINJA_TUPLE && b->sequence == TN_JINJA_TUPLE) out->list->sequence = TN_JINJA_TUPLE;
    return true;
}

static bool is_safe(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_STRING && value->string.is_safe;
}

/* Appends with HTML's escapes. */
static bool append_escaped(tn_jinja *j, tn_jinja_builder *builder, const tn_jinja_value *value) {
    static const char characters[] = "&<>\"'", *const escapes[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    tn_jinja_builder plain = {0};
    if (!tn_jinja_print(j, &plain, value, false)) return false;
    tn_jinja_string text = tn_jinja_built(&plain);
    size_t copied = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *found = text.data[i] ? strchr(characters, text.data[i]) : NULL;
        if (!found) continue;
        const char *escape = escapes[found - characters];
        if (!tn_jinja_append(j, builder, tn_jinja_slice(text, copied, i)) ||
            !tn_jinja_append_bytes(j, builder, escape, strlen(escape), text.marks[i]))
            return false;
        copied = i + 1;
    }
    return tn_jinja_append(j, builder, tn_jinja_slice(text, copied, text.size));
}

static bool join_texts(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, tn_jinja_value *out) {
    tn_jinja_builder builder = {0};
    if (!tn_jinja_print(j, &builder, a, false) || !tn_jinja_print(j, &builder, b, false)) return false;
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

/* a + b of texts. */
static bool concatenate(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, tn_jinja_value *out) {
    tn_jinja_builder builder = {0};
    bool escapes = is_safe(a) != is_safe(b);
    if (!(escapes && !is_safe(a) ? append_escaped(j, &builder, a) : tn_jinja_print(j, &builder, a, false))) return false;
    if (!(escapes && !is_safe(b) ? append_escaped(j, &builder, b) : tn_jinja_print(j, &builder, b, false))) return false;
    bool stays_safe = is_safe(a) || is_safe(b); /* out may be one of them */
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    out->string.is_safe = stays_safe;
    return true;
}

static bool repeat_string(tn_jinja *j, const tn_jinja_value *text, int64_t count, tn_jinja_value *out) {
    tn_jinja_builder builder = {0};
    for (int64_t i = 0; i < count; i++)
        if (!tn_jinja_charge(j, 1) || !tn_jinja_append(j, &builder, text->string)) return false;
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

static bool has_text(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_STRING || (value->kind == TN_JINJA_DICT && value->dict->text.data);
}

static bool cannot_apply(tn_jinja *j, const char *name, const tn_jinja_value *a, const tn_jinja_value *b) {
    return tn_jinja_fail(j, TN_INVALID_DATA, "'%s' cannot be applied to %s and %s", name, tn_jinja_kind_name(a), tn_jinja_kind_name(b));
}

bool tn_jinja_add(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, tn_jinja_value *out) {
    if (is_number(a) && is_number(b)) return arithmetic(j, "+", a, b, out);
    if (has_text(a) && has_text(b)) return concatenate(j, a, b, out);
    if (a->kind == TN_JINJA_LIST && b->kind == TN_JINJA_LIST) return join_lists(j, a->list, b->list, out);
    return cannot_apply(j, "+", a, b);
}

static bool binary(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_value a, b;
    bool result;
    const char *name = node->name;
    if (!tn_jinja_evaluate(j, node->a, &a) || !tn_jinja_evaluate(j, node->b, &b)) return false;
    j->line = node->line;
    if (strcmp(name, "==") == 0 || strcmp(name, "!=") == 0) {
        if (!tn_jinja_equal(j, &a, &b, &result)) return false;
        *out = tn_jinja_of_bool(result == (name[0] == '='));
        return true;
    }
    if (strcmp(name, "in") == 0) {
        if (!tn_jinja_contains(j, &b, &a, &result)) return false;
        *out = tn_jinja_of_bool(result != node->negated);
        return true;
    }
    if (name[0] == '<' || name[0] == '>') {
        int order;
        if (!tn_jinja_compare(j, &a, &b, &order)) return false;
        *out = tn_jinja_of_bool((name[0] == '<' ? order < 0 : order > 0) || (name[1] == '=' && order == 0));
        return true;
    }
    if (name[0] == '~') return join_texts(j, &a, &b, out);
    if (is_number(&a) && is_number(&b)) return arithmetic(j, name, &a, &b, out);
    if (name[0] == '+') return tn_jinja_add(j, &a, &b, out);
    if (strcmp(name, "*") == 0 && a.kind == TN_JINJA_STRING && b.kind == TN_JINJA_INTEGER) return repeat_string(j, &a, b.integer, out);
    if (strcmp(name, "*") == 0 && b.kind == TN_JINJA_STRING && a.kind == TN_JINJA_INTEGER) return repeat_string(j, &b, a.integer, out);
    if (name[0] == '%' && a.kind == TN_JINJA_STRING) return tn_jinja_fail(j, TN_UNSUPPORTED, "formatting with %% is not supported");
    return cannot_apply(j, name, &a, &b);
}

static bool minus(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_value value;
    if (!tn_jinja_evaluate(j, node->a, &value)) return false;
    if (!is_number(&value)) return tn_jinja_fail(j, TN_INVALID_DATA, "%s has no negative", tn_jinja_kind_name(&value));
    if (value.kind != TN_JINJA_FLOAT) return integer_arithmetic(j, 'n', integer_of(&value), 0, out);
    *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = -value.real};
    return true;
}

static bool container(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    bool is_list = node->kind != TN_NODE_DICT;
    if (!(is_list ? tn_jinja_list_create(j, 0, out) : tn_jinja_dict_create(j, out))) return false;
    for (const tn_jinja_node *argument = node->arguments; argument; argument = argument->next) {
        tn_jinja_value a, b;
        if (!tn_jinja_evaluate(j, argument->a, &a)) return false;
        if (is_list ? !tn_jinja_list_push(j, out->list, a)
                    : !tn_jinja_evaluate(j, argument->b, &b) || !tn_jinja_dict_set(j, out->dict, a, b))
            return false;
    }
    if (node->kind == TN_NODE_TUPLE) out->list->sequence = TN_JINJA_TUPLE;
    return true;
}

static bool filter_or_test(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_value input;
    tn_jinja_arguments *arguments = tn_jinja_alloc(j, sizeof *arguments);
    if (!arguments || !tn_jinja_evaluate(j, node->a, &input) || !evaluate_arguments(j, node->arguments, arguments)) return false;
    j->line = node->line;
    if (node->kind == TN_NODE_FILTER) return tn_jinja_filter(j, node->name, &input, arguments, out);
    bool result;
    if (!tn_jinja_test(j, node->name, &input, arguments, &result)) return false;
    *out = tn_jinja_of_bool(result != node->negated);
    return true;
}

static bool evaluate(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    tn_jinja_value value;
    switch (node->kind) {
    case TN_NODE_LITERAL: *out = node->value; return true;
    case TN_NODE_NAME: return find_name(j, node->name, out);
    case TN_NODE_ATTRIBUTE: return tn_jinja_evaluate(j, node->a, &value) && tn_jinja_member(j, &value, node->name, out);
    case TN_NODE_ITEM: return item(j, node, out);
    case TN_NODE_SLICE: return slice(j, node, out);
    case TN_NODE_CALL: return call(j, node, NULL, out);
    case TN_NODE_FILTER:
    case TN_NODE_TEST: return filter_or_test(j, node, out);
    case TN_NODE_MINUS: return minus(j, node, out);
    case TN_NODE_BINARY: return binary(j, node, out);
    case TN_NODE_NOT:
        if (!tn_jinja_evaluate(j, node->a, &value)) return false;
        *out = tn_jinja_of_bool(!tn_jinja_is_true(&value));
        return true;
    case TN_NODE_AND:
    case TN_NODE_OR:
        if (!tn_jinja_evaluate(j, node->a, out)) return false;
        return tn_jinja_is_true(out) == (node->kind == TN_NODE_OR) || tn_jinja_evaluate(j, node->b, out);
    case TN_NODE_CHOICE:
        if (!tn_jinja_evaluate(j, node->b, &value)) return false;
        *out = (tn_jinja_value){.kind = TN_JINJA_UNDEFINED};
        if (tn_jinja_is_true(&value)) return tn_jinja_evaluate(j, node->a, out);
        return !node->c || tn_jinja_evaluate(j, node->c, out);
    case TN_NODE_LIST:
    case TN_NODE_TUPLE:
    case TN_NODE_DICT: return container(j, node, out);
    default: return tn_jinja_fail(j, TN_INTERNAL, "a statement stands where an expression should");
    }
}

bool tn_jinja_evaluate(tn_jinja *j, const tn_jinja_node *node, tn_jinja_value *out) {
    if (!enter(j)) return false;
    j->line = node->line;
    bool fits = evaluate(j, node, out);
    j->depth--;
    return fits;
}
