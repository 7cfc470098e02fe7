/* SPDX-License-Identifier: Apache-2.0
 *
 * family.c: the table of families, and weights by name.
 */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

tn_mapping tn_mapping_single(void) {
    return (tn_mapping){.tp_size = 1, .pp_size = 1, .ep_size = 1};
}

const tn_family *const *tn_families(void) {
    static const tn_family *const families[] = {&tn_family_llama, &tn_family_gpt2, NULL};
    return families;
}

static bool contains(const char *const *names, const char *name) {
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

const tn_family *tn_family_find_hf(const char *architecture) {
    for (const tn_family *const *family = tn_families(); *family != NULL; family++)
        if (contains((*family)->hf_architectures, architecture)) return *family;
    return NULL;
}

const tn_family *tn_family_find_gguf(const char *architecture) {
    for (const tn_family *const *family = tn_families(); *family != NULL; family++)
        if (contains((*family)->gguf_architectures, architecture)) return *family;
    return NULL;
}

/* "blk.%d.x.%d" with layer and expert filled in, "." and the suffix appended. */
static char *make_name(tn_arena *arena, const char *pattern, int64_t layer, int64_t expert, const char *suffix) {
    const char *first = strstr(pattern, "%d");
    if (first == NULL) return tn_arena_format(arena, "%s.%s", pattern, suffix);
    const char *second = strstr(first + 2, "%d");
    if (second == NULL)
        return tn_arena_format(arena, "%.*s%lld%s.%s", (int)(first - pattern), pattern, (long long)layer, first + 2, suffix);
    return tn_arena_format(arena, "%.*s%lld%.*s%lld%s.%s", (int)(first - pattern), pattern, (long long)layer, (int)(second - first - 2),
                           first + 2, (long long)expert, second + 2, suffix);
}

static const tn_weights *load(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t expert, const char *suffix,
                              bool is_required) {
    tn_network *network = builder->network;
    if (pattern == NULL) return NULL;
    const char *name = make_name(&network->arena, pattern, layer, expert, suffix);
    if (name == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    tn_weight_desc desc;
    tn_status status = builder->source->find(builder->source, name, &desc);
    /* Checkpoints of the bare model lack the prefix of the one with a head. */
    static const char prefix[] = "transformer.";
    if (status == TN_NOT_FOUND && strncmp(name, prefix, sizeof prefix - 1) == 0) {
        const char *bare = name + sizeof prefix - 1;
        if (builder->source->find(builder->source, bare, &desc) == TN_OK) {
            name = bare;
            status = TN_OK;
        }
    }
    if (status == TN_NOT_FOUND && !is_required) return NULL;
    if (status == TN_NOT_FOUND) {
        tn_where where = {.subject = name, .hint = "the file is incomplete, or it is not the architecture it says it is"};
        tn_fail_at(network->diag, TN_INVALID_DATA, &where, "cannot build the network: tensor '%s' is missing", name);
        network->failed = true;
        return NULL;
    }
    const tn_weights *weights = tn_weights_load(&network->arena, builder->source, name, network->diag);
    if (weights == NULL) network->failed = true;
    return weights;
}

static bool is_float_dtype(tn_dtype dtype) {
    return dtype == TN_FLOAT32 || dtype == TN_FLOAT16 || dtype == TN_BFLOAT16;
}

/* Vectors are computed with as float32 whatever the file keeps. */
static const tn_weights *as_float32(tn_model_builder *builder, const tn_weights *weights) {
    if (weights == NULL || (weights->desc.encoding.kind == TN_ENCODING_PLAIN && weights->desc.encoding.storage == TN_FLOAT32))
        return weights;
    return tn_weights_decode(&builder->network->arena, weights, TN_FLOAT32, builder->network->diag);
}

static const tn_weights *as_matrix(tn_model_builder *builder, const tn_weights *weights) {
    if (weights == NULL || builder->float_dtype == TN_DTYPE_NONE || weights->desc.encoding.kind != TN_ENCODING_PLAIN ||
        !is_float_dtype(weights->desc.encoding.storage) || weights->desc.encoding.storage == builder->float_dtype)
        return weights;
    tn_network *network = builder->network;
    const tn_weights *kept = tn_weights_decode(&network->arena, weights, builder->float_dtype, network->diag);
    tn_weights *copy = kept != NULL ? tn_arena_alloc(&network->arena, sizeof *copy) : NULL;
    if (copy == NULL) {
        network->failed = true;
        network->out_of_memory = network->out_of_memory || kept != NULL;
        return NULL;
    }
    *copy = *kept;
    copy->desc.dtype = TN_FLOAT32; /* kept as float_dtype, computed with as float32 */
    return copy;
}

const tn_weights *tn_model_weight(tn_model_builder *builder, const char *pattern, int64_t layer, const char *suffix, bool is_required) {
    const tn_weights *weights = load(builder, pattern, layer, 0, suffix, is_required);
    if (weights == NULL) return NULL;
    return weights->desc.dims.rank <= 1 ? as_float32(builder, weights) : as_matrix(builder, weights);
}

const tn_weights *tn_model_linear(tn_model_builder *builder, const char *pattern, int64_t layer) {
    const tn_weights *weights = load(builder, pattern, layer, 0, "weight", true);
    if (weights != NULL && builder->names->linear_is_transposed)
        weights = tn_weights_transpose(&builder->network->arena, weights, builder->network->diag);
    return as_matrix(builder, weights);
}

const tn_weights *tn_model_bias(tn_model_builder *builder, const char *pattern, int64_t layer, tn_bias_rule rule, int64_t size) {
    if (rule == TN_BIAS_NONE) return NULL;
    const tn_weights *bias = load(builder, pattern, layer, 0, "bias", rule == TN_BIAS_REQUIRED);
    return tn_model_expect(builder, as_float32(builder, bias), TN_DIMS(size));
}

const tn_weights *tn_model_experts(tn_model_builder *builder, const char *pattern, int64_t layer) {
    const char *first = pattern != NULL ? strstr(pattern, "%d") : NULL;
    bool is_stacked = first == NULL || strstr(first + 2, "%d") == NULL;
    if (is_stacked) return as_matrix(builder, load(builder, pattern, layer, 0, "weight", true));
    tn_network *network = builder->network;
    int64_t count = builder->config->num_experts;
    const tn_weights **experts = tn_arena_alloc_array(&network->arena, (size_t)count, sizeof *experts);
    if (experts == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) experts[i] = as_matrix(builder, load(builder, pattern, layer, i, "weight", true));
    return tn_weights_stack(&network->arena, experts, (uint32_t)count, network->diag);
}

static void print_dims(tn_dims dims, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < dims.rank && used + 24 < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i > 0 ? ", " : "", (long long)dims.d[i]);
}

const tn_weights *tn_model_expect(tn_model_builder *builder, const tn_weights *weights, tn_dims dims) {
    if (weights == NULL) return NULL;
    bool is_equal = weights->desc.dims.rank == dims.rank;
    for (int i = 0; is_equal && i < dims.rank; i++) is_equal = weights->desc.dims.d[i] == dims.d[i];
    if (is_equal) return weights;
    const tn_weights *leaf = weights;
    while (leaf->num_inputs > 0) leaf = leaf->inputs[0];
    char found[192], expected[192];
    print_dims(weights->desc.dims, found, sizeof found);
    print_dims(dims, expected, sizeof expected);
    tn_where where = {.subject = leaf->name};
    tn_fail_at(builder->network->diag, TN_INVALID_DATA, &where,
               "cannot build the network: tensor '%s' has shape [%s], the configuration needs [%s]", leaf->name != NULL ? leaf->name : "",
               found, expected);
    builder->network->failed = true;
    return NULL;
}
