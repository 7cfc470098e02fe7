/* SPDX-License-Identifier: Apache-2.0
 *
 * network.c: the network object: creation, inputs, outputs, states, tensors, and questions about them.
 */
#include "network/network.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "network/network_internal.h"

void tn_network_options_init(tn_network_options *options) {
    *options = (tn_network_options){.struct_size = sizeof *options};
}

tn_status tn_network_create(const tn_network_options *options, tn_network **out_network) {
    *out_network = NULL;
    tn_network_options defaults;
    tn_network_options_init(&defaults);
    if (options == NULL) options = &defaults;
    tn_diag *diag = options->diag;
    if (options->struct_size != sizeof *options)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot create a network: its options were not made by tn_network_options_init");
    if ((options->flags & ~TN_NETWORK_STRONGLY_TYPED) != 0)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot create a network: unknown flags 0x%" PRIx32,
                       options->flags & ~TN_NETWORK_STRONGLY_TYPED);
    tn_network *network = tn_alloc_zero(options->allocator, sizeof *network);
    if (network == NULL) return tn_fail_memory(diag, "a network", sizeof *network);
    if (options->allocator != NULL) {
        network->allocator_copy = *options->allocator;
        network->allocator = &network->allocator_copy;
    }
    network->diag = diag;
    network->flags = options->flags;
    network->arena.allocator = network->allocator;
    network->symbols = tn_symbols_create(network->allocator);
    network->name = tn_arena_string(&network->arena, options->name != NULL ? options->name : "forward");
    if (network->symbols == NULL || network->name == NULL ||
        !tn_array_push(network->allocator, &network->regions, ((tn_region){.id = 0}))) {
        tn_network_destroy(network);
        return tn_fail_memory(diag, "a network", sizeof *network);
    }
    *out_network = network;
    return TN_OK;
}

void tn_network_destroy(tn_network *network) {
    if (network == NULL) return;
    tn_allocator copy = network->allocator_copy;
    const tn_allocator *allocator = network->allocator != NULL ? &copy : NULL;
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) {
        tn_array_deinit(allocator, &layer->inputs);
        tn_array_deinit(allocator, &layer->use_positions);
        tn_array_deinit(allocator, &layer->outputs);
        tn_plugin_destroy(layer->plugin);
    }
    for (size_t i = 0; i < network->tensors.count; i++) tn_array_deinit(allocator, &network->tensors.data[i]->uses);
    tn_array_deinit(allocator, &network->tensors);
    tn_array_deinit(allocator, &network->inputs);
    tn_array_deinit(allocator, &network->outputs);
    tn_array_deinit(allocator, &network->regions);
    tn_array_deinit(allocator, &network->states);
    tn_symbols_destroy(network->symbols);
    network->arena.allocator = allocator;
    tn_arena_deinit(&network->arena);
    tn_free(allocator, network);
}

/* --- failing and memory --------------------------------------------------------------------------------------------------- */

void tn_network_fail_memory(tn_network *network) {
    if (!network->out_of_memory) (void)tn_fail_memory(network->diag, "the network's definition", network->arena.used_bytes);
    network->failed = network->out_of_memory = true;
}

void tn_network_fail_missing(tn_network *network, const char *what) {
    if (network->failed) return;
    TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s: an input is missing", what);
}

bool tn_network_is_frozen(tn_network *network, const char *what) {
    if (network->frozen_by == NULL) return false;
    network->failed = true;
    (void)tn_fail_at(network->diag, TN_INVALID_ARGUMENT,
                     &(tn_where){.subject = network->frozen_by, .hint = "match and analyze only look; change the network in rewrite"},
                     "cannot %s: pattern '%s' is only looking at the network", what, network->frozen_by);
    return true;
}

void *tn_network_alloc(tn_network *network, size_t size_bytes) {
    void *block = tn_arena_alloc(&network->arena, size_bytes);
    if (block == NULL) tn_network_fail_memory(network);
    return block;
}

char *tn_network_copy_string(tn_network *network, const char *string) {
    char *copy = tn_arena_string(&network->arena, string);
    if (copy == NULL) tn_network_fail_memory(network);
    return copy;
}

/* --- tensors -------------------------------------------------------------------------------------------------------------- */

tn_tensor *tn_network_make_tensor(tn_network *network, const char *name, tn_dtype dtype) {
    tn_tensor *tensor = tn_network_alloc(network, sizeof *tensor);
    if (tensor == NULL) return NULL;
    *tensor = (tn_tensor){.network = network, .name = name, .id = network->next_id, .dtype = dtype, .input_index = -1};
    if (!tn_array_push(network->allocator, &network->tensors, tensor)) {
        tn_network_fail_memory(network);
        return NULL;
    }
    network->next_id++;
    return tensor;
}

static bool name_is_valid(tn_network *network, const char *what, const char *name) {
    if (name == NULL || name[0] == '\0') {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s: its name is empty", what);
        return false;
    }
    size_t size = strnlen(name, TN_MAX_NAME_BYTES);
    if (size >= TN_MAX_NAME_BYTES) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s: its name has more than %d bytes", what, TN_MAX_NAME_BYTES - 1);
        return false;
    }
    if (!tn_utf8_is_valid(name, size)) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s: its name is not UTF-8", what);
        return false;
    }
    return true;
}

bool tn_network_input_dims_are_valid(tn_network *network, const char *what, const char *name, const tn_dims *dims) {
    if (dims->rank < 0 || dims->rank > TN_MAX_RANK) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s '%s': it has %" PRId32 " dimensions, at most %d are allowed", what, name,
                        dims->rank, TN_MAX_RANK);
        return false;
    }
    for (int i = 0; i < dims->rank; i++) {
        if (dims->d[i] >= -1) continue;
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot %s '%s': dimension %d is %" PRId64 ", it must be ≥ 0, or −1 if known at run time", what, name, i,
                        dims->d[i]);
        return false;
    }
    return true;
}

bool tn_network_input_dtype_is_valid(tn_network *network, const char *what, const char *name, tn_dtype dtype) {
    const char *dtype_name = tn_dtype_name(dtype);
    if (dtype_name != NULL && dtype != TN_DTYPE_NONE && dtype != TN_Q15_32 && dtype != TN_Q8_32) return true;
    TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s '%s': inputs cannot be of type %s", what, name,
                    dtype_name != NULL ? dtype_name : "unknown");
    return false;
}

tn_tensor *tn_network_add_input(tn_network *network, const char *name, tn_dtype dtype, tn_dims dims) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot add an input: the network is missing");
        return NULL;
    }
    if (tn_network_is_frozen(network, "add an input")) return NULL;
    if (!name_is_valid(network, "add an input", name) || !tn_network_input_dims_are_valid(network, "add input", name, &dims) ||
        !tn_network_input_dtype_is_valid(network, "add input", name, dtype))
        return NULL;
    for (size_t i = 0; i < network->inputs.count; i++) {
        if (strcmp(network->inputs.data[i]->name, name) != 0) continue;
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add input '%s': there is an input of that name already", name);
        return NULL;
    }
    char *copy = tn_network_copy_string(network, name);
    tn_tensor *tensor = copy != NULL ? tn_network_make_tensor(network, copy, dtype) : NULL;
    if (tensor == NULL) return NULL;
    tensor->rank = (uint8_t)dims.rank;
    tensor->is_input = true;
    tensor->input_index = (int32_t)network->inputs.count;
    bool complete = true;
    for (int i = 0; i < dims.rank; i++) {
        tensor->dims[i] = dims.d[i] < 0 ? tn_sym_input_dim(network->symbols, (uint32_t)tensor->input_index, (uint32_t)i)
                                        : tn_sym_const(network->symbols, dims.d[i]);
        complete = complete && tensor->dims[i] != TN_SYM_INVALID;
    }
    if (!complete || !tn_array_push(network->allocator, &network->inputs, tensor)) {
        tn_network_fail_memory(network);
        return NULL;
    }
    return tensor;
}

void tn_network_refresh_dims(tn_network *network) {
    for (size_t i = 0; i < network->tensors.count; i++) {
        tn_tensor *tensor = network->tensors.data[i];
        for (int axis = 0; axis < tensor->rank; axis++) tensor->dims[axis] = tn_sym_canonical(network->symbols, tensor->dims[axis]);
        if (tensor->host_syms == NULL) continue;
        tn_sym *syms = tn_network_alloc(network, (size_t)tensor->num_host_values * sizeof *syms);
        if (syms == NULL) return;
        for (int64_t j = 0; j < tensor->num_host_values; j++) syms[j] = tn_sym_canonical(network->symbols, tensor->host_syms[j]);
        tensor->host_syms = syms;
    }
}

/* Another input's dimension of that name, or NULL. */
static const tn_sym *find_named_dim(const tn_network *network, const tn_tensor *except, int except_axis, const char *name) {
    for (size_t i = 0; i < network->inputs.count; i++) {
        const tn_tensor *input = network->inputs.data[i];
        for (int axis = 0; axis < input->rank; axis++) {
            if ((input == except && axis == except_axis) || input->dim_names[axis] == NULL) continue;
            if (strcmp(input->dim_names[axis], name) == 0) return &input->dims[axis];
        }
    }
    return NULL;
}

void tn_tensor_set_dim_name(tn_tensor *tensor, int axis, const char *name) {
    if (tensor == NULL) return;
    tn_network *network = tensor->network;
    if (tn_network_is_frozen(network, "name a dimension")) return;
    if (!tensor->is_input || axis < 0 || axis >= tensor->rank) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot name dimension %d of '%s': %s", axis, tensor->name,
                        tensor->is_input ? "it has no such dimension" : "only dimensions of inputs have names");
        return;
    }
    if (name == NULL) {
        tensor->dim_names[axis] = NULL;
        return;
    }
    if (!name_is_valid(network, "name a dimension", name)) return;
    const tn_sym *other = find_named_dim(network, tensor, axis, name);
    int64_t mine, theirs;
    if (other != NULL && tn_sym_is_const(network->symbols, tensor->dims[axis], &mine) &&
        tn_sym_is_const(network->symbols, *other, &theirs) && mine != theirs) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot name dimension %d of '%s' '%s': it is %" PRId64 ", the other dimension of that name is %" PRId64, axis,
                        tensor->name, name, mine, theirs);
        return;
    }
    tensor->dim_names[axis] = tn_network_copy_string(network, name);
    if (other == NULL || tn_sym_equal(network->symbols, *other, tensor->dims[axis]) == TN_YES) return;
    bool mine_is_const = tn_sym_is_const(network->symbols, tensor->dims[axis], NULL);
    tn_sym_alias(network->symbols, mine_is_const ? tensor->dims[axis] : *other, mine_is_const ? *other : tensor->dims[axis]);
    if (tn_symbols_out_of_memory(network->symbols)) tn_network_fail_memory(network);
    tn_network_refresh_dims(network);
}

const char *tn_tensor_dim_name(const tn_tensor *tensor, int axis) {
    return tensor != NULL && axis >= 0 && axis < tensor->rank ? tensor->dim_names[axis] : NULL;
}

const char *tn_tensor_name(const tn_tensor *tensor) {
    return tensor != NULL ? tensor->name : "";
}

/* Two outputs, or two inputs, of one name could not be told apart at run time. */
static bool output_name_is_free(tn_network *network, const tn_tensor *tensor, const char *name) {
    for (size_t i = 0; i < network->outputs.count; i++) {
        const tn_tensor *other = network->outputs.data[i];
        if (other == tensor || strcmp(other->name, name) != 0) continue;
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot name an output '%s': there is an output of that name already", name);
        return false;
    }
    for (size_t i = 0; i < network->inputs.count; i++) {
        const tn_tensor *other = network->inputs.data[i];
        if (other == tensor || strcmp(other->name, name) != 0) continue;
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot name an input or output '%s': there is an input of that name already", name);
        return false;
    }
    return true;
}

void tn_tensor_set_name(tn_tensor *tensor, const char *name) {
    if (tensor == NULL || tn_network_is_frozen(tensor->network, "name a tensor")) return;
    if (!name_is_valid(tensor->network, "name a tensor", name)) return;
    if ((tensor->is_output || tensor->is_input) && !output_name_is_free(tensor->network, tensor, name)) return;
    const char *copy = tn_network_copy_string(tensor->network, name);
    if (copy != NULL) tensor->name = copy;
}

tn_dtype tn_tensor_dtype(const tn_tensor *tensor) {
    return tensor != NULL ? tensor->dtype : TN_DTYPE_NONE;
}

tn_dims tn_tensor_dims(const tn_tensor *tensor) {
    tn_dims dims = {0};
    if (tensor == NULL) return dims;
    dims.rank = tensor->rank;
    for (int i = 0; i < tensor->rank; i++)
        if (!tn_sym_is_const(tensor->network->symbols, tensor->dims[i], &dims.d[i])) dims.d[i] = -1;
    return dims;
}

void tn_tensor_set_role(tn_tensor *tensor, const char *role) {
    if (tensor == NULL) return;
    tensor->role = role != NULL ? tn_network_copy_string(tensor->network, role) : NULL;
}

const tn_weights *tn_tensor_weights(const tn_tensor *tensor) {
    return tensor != NULL && tensor->producer != NULL && tensor->producer->kind == TN_OP_CONSTANT ? tensor->producer->weights : NULL;
}

/* --- outputs -------------------------------------------------------------------------------------------------------------- */

void tn_network_mark_output(tn_network *network, tn_tensor *tensor, const char *name) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot mark an output: the network is missing");
        return;
    }
    if (tensor == NULL) {
        tn_network_fail_missing(network, "mark an output");
        return;
    }
    if (tn_network_is_frozen(network, "mark an output")) return;
    const char *reason = NULL, *hint = NULL;
    if (tensor->network != network)
        reason = "it belongs to another network";
    else if (tensor->is_input)
        reason = "it is an input", hint = "add an identity layer and mark its output";
    else if (tensor->state != NULL)
        reason = "it is a state";
    else if (tensor->producer->region != 0)
        reason = "it stands inside a loop or conditional", hint = "take it out with tn_if_add_output or tn_loop_add_output";
    else if (tensor->dtype == TN_Q15_32 || tensor->dtype == TN_Q8_32)
        reason = "its type exists only between layers";
    else if (tensor->is_output)
        reason = "it is an output already";
    if (reason != NULL) {
        network->failed = true;
        (void)tn_fail_at(network->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = tensor->name, .hint = hint},
                         "cannot mark '%s' as an output: %s", tensor->name, reason);
        return;
    }
    if (name != NULL && !name_is_valid(network, "mark an output", name)) return;
    if (!output_name_is_free(network, tensor, name != NULL ? name : tensor->name)) return;
    if (name != NULL) {
        const char *copy = tn_network_copy_string(network, name);
        if (copy == NULL) return;
        tensor->name = copy;
    }
    if (!tn_array_push(network->allocator, &network->outputs, tensor)) {
        tn_network_fail_memory(network);
        return;
    }
    tensor->is_output = true;
}

void tn_network_unmark_output(tn_network *network, tn_tensor *tensor) {
    if (network == NULL || tensor == NULL || !tensor->is_output || tn_network_is_frozen(network, "unmark an output")) return;
    for (size_t i = 0; i < network->outputs.count; i++) {
        if (network->outputs.data[i] != tensor) continue;
        network->outputs.count--;
        memmove(&network->outputs.data[i], &network->outputs.data[i + 1], (network->outputs.count - i) * sizeof *network->outputs.data);
        break;
    }
    tensor->is_output = false;
}

void tn_network_mark_debug(tn_network *network, tn_tensor *tensor) {
    if (network == NULL || tn_network_is_frozen(network, "mark a debug tensor")) return;
    if (tensor == NULL)
        tn_network_fail_missing(network, "mark a debug tensor");
    else
        tensor->is_debug = true;
}

void tn_network_unmark_debug(tn_network *network, tn_tensor *tensor) {
    if (network != NULL && tensor != NULL && !tn_network_is_frozen(network, "unmark a debug tensor")) tensor->is_debug = false;
}

void tn_network_mark_unfused_as_debug(tn_network *network, bool mark) {
    if (network != NULL && !tn_network_is_frozen(network, "mark debug tensors")) network->unfused_are_debug = mark;
}

void tn_network_mark_output_for_shapes(tn_network *network, tn_tensor *tensor, const char *name) {
    if (network != NULL && tensor != NULL && tensor->network == network && !tn_tensor_require_host(tensor)) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot mark '%s' as an output for shapes: it must be integers or bools, a scalar or of 1 fixed dimension",
                        tensor->name);
        return;
    }
    tn_network_mark_output(network, tensor, name);
}

bool tn_tensor_is_output(const tn_tensor *tensor) {
    return tensor != NULL && tensor->is_output;
}
bool tn_tensor_is_debug(const tn_tensor *tensor) {
    return tensor != NULL && tensor->is_debug;
}
bool tn_tensor_is_input(const tn_tensor *tensor) {
    return tensor != NULL && tensor->is_input;
}
bool tn_tensor_is_made_on_host(const tn_tensor *tensor) {
    return tensor != NULL && tensor->place == TN_PLACE_HOST;
}
bool tn_tensor_is_shape(const tn_tensor *tensor) {
    return tensor != NULL && tensor->host_syms != NULL && tensor->place == TN_PLACE_HOST;
}

tn_tensor *tn_network_find_tensor(const tn_network *network, const char *name) {
    for (size_t i = 0; network != NULL && name != NULL && i < network->tensors.count; i++) {
        tn_tensor *tensor = network->tensors.data[i];
        bool is_there = tensor->producer == NULL || !tensor->producer->is_dead;
        if (is_there && strcmp(tensor->name, name) == 0) return tensor;
    }
    return NULL;
}

tn_layer *tn_network_find_layer(const tn_network *network, const char *name) {
    tn_layer *layer = network != NULL && name != NULL ? network->first_layer : NULL;
    while (layer != NULL && (layer->is_dead || strcmp(layer->name, name) != 0)) layer = layer->next;
    return layer;
}

const char *tn_network_name(const tn_network *network) {
    return network != NULL ? network->name : "";
}
void tn_network_set_name(tn_network *network, const char *name) {
    if (network == NULL || tn_network_is_frozen(network, "name the network") || !name_is_valid(network, "name the network", name)) return;
    const char *copy = tn_network_copy_string(network, name);
    if (copy != NULL) network->name = copy;
}
uint32_t tn_network_flags(const tn_network *network) {
    return network != NULL ? network->flags : 0;
}

int tn_network_num_inputs(const tn_network *network) {
    return network != NULL ? (int)network->inputs.count : 0;
}
int tn_network_num_outputs(const tn_network *network) {
    return network != NULL ? (int)network->outputs.count : 0;
}
int tn_network_num_layers(const tn_network *network) {
    return network != NULL ? (int)network->num_layers : 0;
}
tn_tensor *tn_network_input(const tn_network *network, int index) {
    return network != NULL && index >= 0 && (size_t)index < network->inputs.count ? network->inputs.data[index] : NULL;
}
tn_tensor *tn_network_output(const tn_network *network, int index) {
    return network != NULL && index >= 0 && (size_t)index < network->outputs.count ? network->outputs.data[index] : NULL;
}
tn_layer *tn_network_layer(const tn_network *network, int index) {
    if (network == NULL || index < 0) return NULL;
    tn_layer *layer = network->first_layer;
    for (; layer != NULL && index > 0; index--) layer = layer->next;
    return layer;
}

/* --- states --------------------------------------------------------------------------------------------------------------- */

tn_network_state *tn_network_find_state(const tn_network *network, const char *name) {
    for (size_t i = 0; i < network->states.count; i++)
        if (strcmp(network->states.data[i].name, name) == 0) return &network->states.data[i];
    return NULL;
}

static tn_tensor *add_state(tn_network *network, const char *name, const char *kind, tn_network_state *state, tn_dtype dtype) {
    if (tn_network_find_state(network, name) != NULL) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add state '%s': there is a state of that name already", name);
        return NULL;
    }
    state->name = tn_network_copy_string(network, name);
    state->kind = kind;
    tn_tensor *tensor = state->name != NULL ? tn_network_make_tensor(network, state->name, dtype) : NULL;
    if (tensor == NULL) return NULL;
    tensor->state = state->name;
    tensor->rank = 1; /* its extent is the runtime's; no kernel reads it */
    tensor->dims[0] = TN_SYM_ONE;
    state->tensor = state->last = tensor;
    if (!tn_array_push(network->allocator, &network->states, *state)) {
        tn_network_fail_memory(network);
        return NULL;
    }
    return tensor;
}

tn_tensor *tn_network_add_kv_state(tn_network *network, const char *name, const tn_kv_geometry *geometry, int64_t window,
                                   int64_t sink_tokens) {
    if (network == NULL || !name_is_valid(network, "add a state", name)) return NULL;
    int64_t block = geometry->tokens_per_block;
    bool is_valid = geometry->num_layers > 0 && geometry->num_kv_heads > 0 && geometry->k_dim > 0 && geometry->v_dim > 0 && block >= 16 &&
                    block <= 256 && (block & (block - 1)) == 0 && tn_kv_dtype_is_known(geometry->dtype) && window >= 0 && sink_tokens >= 0;
    if (!is_valid) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot add state '%s': layers %" PRId64 ", heads %" PRId64 ", head sizes %" PRId64 " and %" PRId64
                        " must be positive, tokens_per_block %" PRId64 " a power of two from 16 to 256, the type one of " TN_KV_DTYPES,
                        name, geometry->num_layers, geometry->num_kv_heads, geometry->k_dim, geometry->v_dim, block);
        return NULL;
    }
    tn_network_state state = {.kv = *geometry, .window = window, .sink_tokens = sink_tokens};
    return add_state(network, name, "kv", &state, geometry->dtype);
}

tn_tensor *tn_network_add_slots_state(tn_network *network, int64_t vocab_size, int64_t max_seq_len) {
    if (network == NULL) return NULL;
    if (vocab_size <= 0 || max_seq_len <= 0 || vocab_size > INT32_MAX || max_seq_len > INT32_MAX) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot add state 'slots': vocabulary %" PRId64 " and sequence length %" PRId64 " must be 1 to %d", vocab_size,
                        max_seq_len, INT32_MAX);
        return NULL;
    }
    tn_network_state state = {.vocab_size = vocab_size, .max_seq_len = max_seq_len};
    return add_state(network, "slots", "slots", &state, TN_UINT8);
}
