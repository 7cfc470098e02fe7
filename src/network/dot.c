/* SPDX-License-Identifier: Apache-2.0
 *
 * dot.c: a network for Graphviz: layers as boxes, inputs, states and outputs as ellipses, regions as clusters.
 */
#include <inttypes.h>

#include "network/network_internal.h"

/* Text inside a quoted label. */
static void print_label(tn_text *out, const char *string) {
    for (; *string != '\0'; string++) {
        if (*string == '"' || *string == '\\') tn_text_append_char(out, '\\');
        tn_text_append_char(out, *string == '\n' ? ' ' : *string);
    }
}

static void print_node(tn_text *out, char prefix, uint32_t id, const char *shape, const char *kind, const char *name) {
    tn_text_append_format(out, "  %c%" PRIu32 " [shape=%s, label=\"%s\\n", prefix, id, shape, kind);
    print_label(out, name);
    tn_text_append_string(out, "\"];\n");
}

static void print_edges(tn_text *out, const tn_layer *layer) {
    for (size_t i = 0; i < layer->inputs.count; i++) {
        const tn_tensor *input = layer->inputs.data[i];
        if (input == NULL) continue;
        bool is_layer = input->producer != NULL;
        tn_text_append_format(out, "  %c%" PRIu32 " -> l%" PRIu32 " [label=\"", is_layer ? 'l' : 't',
                              is_layer ? input->producer->id : input->id, layer->id);
        tn_text type = {.allocator = layer->network->allocator};
        tn_tensor_print_type(input, &type);
        print_label(out, type.data != NULL ? type.data : "");
        out->failed = out->failed || type.failed;
        tn_text_deinit(&type);
        tn_text_append_string(out, "\"];\n");
    }
}

static void print_layers_of(const tn_network *network, uint32_t region, tn_text *out) {
    for (const tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        if (layer->region == region && !layer->is_dead)
            print_node(out, 'l', layer->id, "box", tn_op_get_info(layer->kind)->name, layer->name);
}

void tn_network_print_dot(const tn_network *network, struct tn_text *out) {
    tn_text_append_string(out, "digraph \"");
    print_label(out, network->name);
    tn_text_append_string(out, "\" {\n  rankdir=TB;\n");
    for (size_t i = 0; i < network->tensors.count; i++) {
        const tn_tensor *tensor = network->tensors.data[i];
        if (tensor->producer == NULL) print_node(out, 't', tensor->id, "ellipse", tensor->is_input ? "input" : "state", tensor->name);
    }
    print_layers_of(network, 0, out);
    for (size_t i = 1; i < network->regions.count; i++) {
        const tn_region *region = &network->regions.data[i];
        tn_text_append_format(out, "  subgraph cluster_%" PRIu32 " {\n  label=\"region %" PRIu32 "%s\";\n", region->id, region->id,
                              region->is_loop   ? " (loop)"
                              : region->is_else ? " (else)"
                                                : " (if)");
        print_layers_of(network, region->id, out);
        tn_text_append_string(out, "  }\n");
    }
    for (const tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        if (!layer->is_dead) print_edges(out, layer);
    for (size_t i = 0; i < network->outputs.count; i++) {
        const tn_tensor *output = network->outputs.data[i];
        tn_text_append_format(out, "  o%" PRIu32 " [shape=ellipse, label=\"output\\n", output->id);
        print_label(out, output->name);
        tn_text_append_format(out, "\"];\n  l%" PRIu32 " -> o%" PRIu32 ";\n", output->producer->id, output->id);
    }
    tn_text_append_string(out, "}\n");
}
