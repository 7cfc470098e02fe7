/* SPDX-License-Identifier: Apache-2.0
 *
 * print.c: a network as text, one line an input, state, layer and output. parse.c reads it back.
 *
 *     network "forward"
 *     region 1 in 0 loop
 *     %0 = input "x" float32 ["num_tokens", ?, 64] role "input"
 *     %1 = state "kv.0" kv num_layers=2 num_kv_heads=1 k_dim=16 v_dim=16 tokens_per_block=32 dtype=float16 window=0 sink_tokens=0
 *     %2 = constant "w" {dtype=float32, dims=[8,64]} weights load("w" float32[8,64])
 *     @1 %3 = matrix_multiply "mlp.up" (%0, %2, -) {op_b=transpose} |bias(2),quantize(q15_32) precision=q15 ; float32 [num_tokens, 8]
 *     output %3 "y" role "logits"
 *     debug %3
 *
 * "@1" is the region, "-" an absent input; only fields that differ from zero are printed. What follows ";" is for people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/network_internal.h"
#include "weights/recipe_text.h"

typedef struct printer {
    const tn_network *network;
    tn_text *out;
    uint32_t *numbers; /* of tensors, by id */
    char leaf[32];
} printer;

/* --- types ------------------------------------------------------------------------------------------------------------------ */

static const char *dim_name_of(const tn_network *network, const tn_sym_node *node) {
    if (node->op != TN_SYM_INPUT_DIM || node->a >= network->inputs.count || node->b >= TN_MAX_RANK) return NULL;
    return network->inputs.data[node->a]->dim_names[node->b];
}

static const char *name_leaf(void *user, const tn_sym_node *node) {
    return dim_name_of(user, node);
}

void tn_network_print_dim(const tn_network *network, tn_sym dim, struct tn_text *out) {
    tn_sym_print(network->symbols, dim, name_leaf, (void *)(uintptr_t)network, out);
}

void tn_tensor_print_type(const tn_tensor *tensor, struct tn_text *out) {
    tn_text_append_format(out, "%s [", tn_dtype_get_info(tensor->dtype)->name);
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (axis > 0) tn_text_append_string(out, ", ");
        tn_network_print_dim(tensor->network, tensor->dims[axis], out);
    }
    tn_text_append_char(out, ']');
}

/* Values of host tensors by the numbers that the text uses. */
static const char *name_numbered_leaf(void *user, const tn_sym_node *node) {
    printer *p = user;
    const char *name = dim_name_of(p->network, node);
    if (name != NULL || node->op != TN_SYM_HOST_VALUE || node->a >= p->network->next_id) return name;
    (void)snprintf(p->leaf, sizeof p->leaf, "%%%" PRIu32 "[%" PRIu32 "]", p->numbers[node->a], node->b);
    return p->leaf;
}

static void print_type(printer *p, const tn_tensor *tensor) {
    tn_text_append_format(p->out, "%s [", tn_dtype_get_info(tensor->dtype)->name);
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (axis > 0) tn_text_append_string(p->out, ", ");
        tn_sym_print(p->network->symbols, tensor->dims[axis], name_numbered_leaf, p, p->out);
    }
    tn_text_append_char(p->out, ']');
}

/* --- values ----------------------------------------------------------------------------------------------------------------- */

static void print_string(printer *p, const char *string) {
    tn_text_append_json_string(p->out, string, strlen(string));
}

/* The shortest decimal form that reads back as the same double. */
static void print_real(printer *p, double value) {
    char buffer[40];
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(buffer, sizeof buffer, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value) break;
    }
    tn_text_append_string(p->out, buffer);
}

static void print_dims(printer *p, const tn_dims *dims) {
    tn_text_append_char(p->out, '[');
    for (int i = 0; i < dims->rank; i++) tn_text_append_format(p->out, "%s%" PRId64, i > 0 ? "," : "", dims->d[i]);
    tn_text_append_char(p->out, ']');
}

static bool is_zero(const tn_op_field *field, const void *value) {
    switch (field->type) {
    case TN_TYPE_BOOL: return !*(const bool *)value;
    case TN_TYPE_INT: return *(const int64_t *)value == 0;
    case TN_TYPE_REAL: return *(const double *)value == 0.0;
    case TN_TYPE_DTYPE: return *(const tn_dtype *)value == TN_DTYPE_NONE;
    case TN_TYPE_DIMS: return ((const tn_dims *)value)->rank == 0;
    case TN_TYPE_ENUM: return *(const int *)value == 0;
    case TN_TYPE_TEXT: return ((const tn_label *)value)->text[0] == '\0';
    }
    return true;
}

static void print_field(printer *p, const tn_op_field *field, const void *value) {
    tn_text_append_format(p->out, "%s=", field->name);
    switch (field->type) {
    case TN_TYPE_BOOL: tn_text_append_string(p->out, "true"); break;
    case TN_TYPE_INT: tn_text_append_format(p->out, "%" PRId64, *(const int64_t *)value); break;
    case TN_TYPE_REAL: print_real(p, *(const double *)value); break;
    case TN_TYPE_DTYPE: tn_text_append_string(p->out, tn_dtype_get_info(*(const tn_dtype *)value)->name); break;
    case TN_TYPE_DIMS: print_dims(p, value); break;
    case TN_TYPE_ENUM: tn_text_append_string(p->out, tn_enum_get_info(field->enum_id)->values[*(const int *)value]); break;
    case TN_TYPE_TEXT: print_string(p, ((const tn_label *)value)->text); break;
    }
}

static void print_params(printer *p, const tn_layer *layer) {
    const tn_op_info *info = tn_op_get_info(layer->kind);
    const char *separator = " {";
    for (int i = 0; i < info->num_fields; i++) {
        const void *value = (const char *)&layer->params + info->fields[i].offset;
        if (is_zero(&info->fields[i], value)) continue;
        tn_text_append_string(p->out, separator);
        print_field(p, &info->fields[i], value);
        separator = ", ";
    }
    if (separator[0] == ',') tn_text_append_char(p->out, '}');
}

static void print_epilogues(printer *p, const tn_layer *layer) {
    for (uint32_t i = 0; i < layer->num_epilogues; i++) {
        const tn_epilogue *epilogue = &layer->epilogues[i];
        tn_text_append_format(p->out, "%s%s(", i == 0 ? " |" : ",", tn_epilogue_kind_name(epilogue->kind));
        switch (epilogue->kind) {
        case TN_EPILOGUE_BIAS:
        case TN_EPILOGUE_ADD: tn_text_append_format(p->out, "%" PRId32, epilogue->operand); break;
        case TN_EPILOGUE_ACTIVATION:
        case TN_EPILOGUE_GATED_ACTIVATION:
            tn_text_append_string(p->out, tn_enum_get_info(TN_ENUM_ID_ACTIVATION)->values[epilogue->activation]);
            break;
        case TN_EPILOGUE_SCALE:
        case TN_EPILOGUE_SOFT_CAP: print_real(p, epilogue->value); break;
        case TN_EPILOGUE_QUANTIZE: tn_text_append_string(p->out, tn_dtype_get_info(epilogue->dtype)->name); break;
        default: break;
        }
        tn_text_append_char(p->out, ')');
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

static void print_input(printer *p, const tn_tensor *input) {
    tn_text_append_format(p->out, "%%%" PRIu32 " = input ", p->numbers[input->id]);
    print_string(p, input->name);
    tn_text_append_format(p->out, " %s [", tn_dtype_get_info(input->dtype)->name);
    for (int axis = 0; axis < input->rank; axis++) {
        int64_t value;
        bool is_const = tn_sym_is_const(p->network->symbols, input->dims[axis], &value);
        if (axis > 0) tn_text_append_string(p->out, ", ");
        if (input->dim_names[axis] != NULL) print_string(p, input->dim_names[axis]);
        if (is_const) tn_text_append_format(p->out, "%s%" PRId64, input->dim_names[axis] != NULL ? "=" : "", value);
        if (!is_const && input->dim_names[axis] == NULL) tn_text_append_char(p->out, '?');
    }
    tn_text_append_char(p->out, ']');
    if (input->role != NULL) {
        tn_text_append_string(p->out, " role ");
        print_string(p, input->role);
    }
    tn_text_append_char(p->out, '\n');
}

static void print_state(printer *p, const tn_network_state *state) {
    tn_text_append_format(p->out, "%%%" PRIu32 " = state ", p->numbers[state->tensor->id]);
    print_string(p, state->name);
    const tn_kv_geometry *kv = &state->kv;
    if (strcmp(state->kind, "kv") == 0)
        tn_text_append_format(p->out,
                              " kv num_layers=%" PRId64 " num_kv_heads=%" PRId64 " k_dim=%" PRId64 " v_dim=%" PRId64
                              " tokens_per_block=%" PRId64 " dtype=%s window=%" PRId64 " sink_tokens=%" PRId64 "\n",
                              kv->num_layers, kv->num_kv_heads, kv->k_dim, kv->v_dim, kv->tokens_per_block,
                              tn_dtype_get_info(kv->dtype)->name, state->window, state->sink_tokens);
    else
        tn_text_append_format(p->out, " slots vocab_size=%" PRId64 " max_seq_len=%" PRId64 "\n", state->vocab_size, state->max_seq_len);
}

static void print_weights(printer *p, const tn_layer *layer) {
    tn_text_append_string(p->out, " weights ");
    if (layer->weights == NULL) {
        tn_text_append_char(p->out, '?');
        return;
    }
    tn_weights unnamed = *layer->weights; /* values that shapes depend on must stand in the text itself */
    if (layer->outputs.data[0]->host_syms != NULL && unnamed.op == TN_WEIGHTS_VALUE) unnamed.name = NULL;
    if (!tn_weights_print(&unnamed, p->out)) tn_text_append_char(p->out, '?');
}

static void print_outputs_of(printer *p, const tn_layer *layer) {
    for (size_t i = 0; i < layer->outputs.count; i++)
        tn_text_append_format(p->out, "%s%%%" PRIu32, i > 0 ? ", " : "", p->numbers[layer->outputs.data[i]->id]);
    if (layer->outputs.count > 0) tn_text_append_string(p->out, " = ");
}

static void print_layer(printer *p, const tn_layer *layer) {
    if (layer->region != 0) tn_text_append_format(p->out, "@%" PRIu32 " ", layer->region);
    print_outputs_of(p, layer);
    tn_text_append_format(p->out, "%s ", tn_op_get_info(layer->kind)->name);
    print_string(p, layer->name);
    for (size_t i = 0; i < layer->inputs.count; i++) {
        tn_text_append_string(p->out, i == 0 ? " (" : ", ");
        if (layer->inputs.data[i] != NULL)
            tn_text_append_format(p->out, "%%%" PRIu32, p->numbers[layer->inputs.data[i]->id]);
        else
            tn_text_append_char(p->out, '-');
    }
    if (layer->inputs.count > 0) tn_text_append_char(p->out, ')');
    print_params(p, layer);
    print_epilogues(p, layer);
    if (layer->precision != TN_ACTIVATIONS_AUTO) {
        static const char *const names[] = {
#define NAME(value, name) name,
            TN_ENUM_ACTIVATION_PRECISION(NAME)
#undef NAME
        };
        tn_text_append_format(p->out, " precision=%s", names[layer->precision]);
    }
    if (layer->metadata != NULL) {
        tn_text_append_string(p->out, " metadata ");
        print_string(p, layer->metadata);
    }
    if (layer->kind == TN_OP_CONSTANT) {
        print_weights(p, layer);
    } else if (layer->outputs.count > 0) {
        for (size_t i = 0; i < layer->outputs.count; i++) {
            tn_text_append_string(p->out, i == 0 ? " ; " : ", ");
            print_type(p, layer->outputs.data[i]);
            if (layer->outputs.data[i]->place == TN_PLACE_HOST) tn_text_append_string(p->out, " host");
        }
    }
    tn_text_append_char(p->out, '\n');
}

/* Numbers in the order of printing: inputs and states as they were made, then outputs of layers. */
static void number_tensors(printer *p) {
    uint32_t next = 0;
    for (size_t i = 0; i < p->network->tensors.count; i++) {
        const tn_tensor *tensor = p->network->tensors.data[i];
        if (tensor->producer == NULL) p->numbers[tensor->id] = next++;
    }
    for (const tn_layer *layer = p->network->first_layer; layer != NULL; layer = layer->next)
        for (size_t i = 0; i < layer->outputs.count; i++) p->numbers[layer->outputs.data[i]->id] = next++;
}

static void print_head(printer *p) {
    const tn_network *network = p->network;
    tn_text_append_string(p->out, "network ");
    print_string(p, network->name);
    tn_text_append_string(p->out, (network->flags & TN_NETWORK_STRONGLY_TYPED) != 0 ? " strongly_typed\n" : "\n");
    for (size_t i = 1; i < network->regions.count; i++) {
        const tn_region *region = &network->regions.data[i];
        tn_text_append_format(p->out, "region %" PRIu32 " in %" PRIu32 "%s\n", region->id, region->parent,
                              region->is_loop   ? " loop"
                              : region->is_else ? " else"
                                                : "");
    }
    for (size_t i = 0; i < network->tensors.count; i++) {
        const tn_tensor *tensor = network->tensors.data[i];
        if (tensor->is_input) print_input(p, tensor);
        if (tensor->producer == NULL && tensor->state != NULL) print_state(p, tn_network_find_state(network, tensor->state));
    }
}

void tn_network_print(const tn_network *network, struct tn_text *out) {
    printer p = {.network = network, .out = out};
    p.numbers = tn_alloc_array(network->allocator, network->next_id, sizeof *p.numbers);
    if (p.numbers == NULL) {
        out->failed = true;
        return;
    }
    number_tensors(&p);
    print_head(&p);
    for (const tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        if (!layer->is_dead) print_layer(&p, layer);
    for (size_t i = 0; i < network->outputs.count; i++) {
        const tn_tensor *output = network->outputs.data[i];
        tn_text_append_format(out, "output %%%" PRIu32 " ", p.numbers[output->id]);
        print_string(&p, output->name);
        if (output->role != NULL) {
            tn_text_append_string(out, " role ");
            print_string(&p, output->role);
        }
        tn_text_append_char(out, '\n');
    }
    for (size_t i = 0; i < network->tensors.count; i++)
        if (network->tensors.data[i]->is_debug)
            tn_text_append_format(out, "debug %%%" PRIu32 "\n", p.numbers[network->tensors.data[i]->id]);
    tn_free(network->allocator, p.numbers);
}
