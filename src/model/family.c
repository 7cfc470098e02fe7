/* SPDX-License-Identifier: Apache-2.0
 *
 * family.c: the table of families, and weights by name.
 */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

tn_mapping tn_mapping_single(void) {
    return (tn_mapping){.tp_size = 1, .pp_size = 1, .ep_size = 1};
}

const tn_family *const *tn_families(void) {
    static const tn_family *const families[] = {
        &tn_family_llama,    &tn_family_gpt2,       &tn_family_gpt_bigcode, &tn_family_gemma,
        &tn_family_gemma2,   &tn_family_phi,        &tn_family_phi3,        &tn_family_gptj,
        &tn_family_gpt_neox, &tn_family_falcon,     &tn_family_opt,         &tn_family_bloom,
        &tn_family_qwen_moe, &tn_family_starcoder2, &tn_family_olmo,        &tn_family_olmo2,
        &tn_family_granite,  &tn_family_cohere,     &tn_family_stablelm,    &tn_family_smollm3,
        &tn_family_nemotron, &tn_family_mpt,        &tn_family_gpt_oss,     &tn_family_deepseek,
        &tn_family_exaone,   &tn_family_exaone4,    &tn_family_internlm2,   &tn_family_baichuan,
        &tn_family_glm,      &tn_family_chatglm,    &tn_family_glm4_moe,    NULL,
    };
    return families;
}

const tn_weight_names tn_gguf_names = TN_GGUF_NAMES("blk.%d.attn_norm", "blk.%d.ffn_norm");

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

/* The prefix and "blk.%d.x.%d" with layer and expert filled in, "." and the suffix appended (tn_weight_names says what "=" means). */
static char *make_name(tn_arena *arena, const char *prefix, const char *pattern, size_t size, int64_t layer, int64_t expert,
                       const char *suffix) {
    int64_t numbers[2] = {layer, expert};
    tn_text text = {.allocator = arena->allocator};
    int count = 0;
    bool is_whole = size > 0 && pattern[size - 1] == '=';
    tn_text_append_string(&text, prefix);
    for (size_t i = 0; i < size - (is_whole ? 1 : 0); i++) {
        if (count < 2 && i + 1 < size && pattern[i] == '%' && pattern[i + 1] == 'd') {
            tn_text_append_format(&text, "%lld", (long long)numbers[count++]);
            i++;
        } else {
            tn_text_append_char(&text, pattern[i]);
        }
    }
    if (!is_whole) tn_text_append_format(&text, ".%s", suffix);
    if (is_whole && strcmp(suffix, "bias") == 0) tn_text_append_string(&text, "_bias");
    char *name = text.failed ? NULL : tn_arena_string(arena, text.data);
    tn_text_deinit(&text);
    return name;
}

/* As make_name; NULL: out of memory, which the network remembers. */
static const char *keep_name(tn_model_builder *builder, const char *prefix, const char *pattern, size_t size, int64_t layer, int64_t expert,
                             const char *suffix) {
    const char *name = make_name(&builder->network->arena, prefix, pattern, size, layer, expert, suffix);
    if (name == NULL) builder->network->failed = builder->network->out_of_memory = true;
    return name;
}

static bool has_tensor(tn_model_builder *builder, const char *name) {
    tn_weight_desc desc;
    return builder->source->find(builder->source, name, &desc) != TN_NOT_FOUND;
}

/* The name under which the file has it, of the alternatives of a pattern; else the first of them. NULL: out of memory. */
static const char *find_name(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t expert, const char *suffix,
                             bool *out_exists) {
    const char *first = NULL, *bare = builder->names->bare_prefix, *text = builder->names->text_prefix;
    *out_exists = true;
    while (*pattern != '\0') {
        size_t size = strcspn(pattern, "|");
        const char *name = keep_name(builder, "", pattern, size, layer, expert, suffix), *inner = NULL;
        if (name == NULL || has_tensor(builder, name)) return name;
        if (bare != NULL && strncmp(name, bare, strlen(bare)) == 0 && has_tensor(builder, name + strlen(bare))) return name + strlen(bare);
        if (text != NULL && (inner = keep_name(builder, text, pattern, size, layer, expert, suffix)) == NULL) return NULL;
        if (inner != NULL && has_tensor(builder, inner)) return inner;
        if (first == NULL) first = name;
        pattern += size;
        if (*pattern == '|') pattern++;
    }
    *out_exists = false;
    return first;
}

static const tn_weights *load(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t expert, const char *suffix,
                              bool is_required) {
    tn_network *network = builder->network;
    bool exists;
    if (pattern == NULL) return NULL;
    const char *name = find_name(builder, pattern, layer, expert, suffix, &exists);
    if (name == NULL || (!exists && !is_required)) return NULL;
    if (!exists) {
        tn_where where = {.subject = name, .hint = "the file is incomplete, or it is not the architecture it says it is"};
        tn_fail_at(network->diag, TN_INVALID_DATA, &where, "cannot build the network: tensor '%s' is missing", name);
        network->failed = true;
        return NULL;
    }
    const tn_weights *weights = tn_weights_load(&network->arena, builder->source, name, network->diag);
    if (weights == NULL) network->failed = true;
    return weights;
}

bool tn_model_has_weight(tn_model_builder *builder, const char *pattern, int64_t layer, const char *suffix) {
    bool exists;
    return pattern != NULL && find_name(builder, pattern, layer, 0, suffix, &exists) != NULL && exists;
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

const tn_weights *tn_model_linear(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t rows, int64_t columns) {
    const tn_weights *weights = load(builder, pattern, layer, 0, "weight", true);
    if (weights != NULL && builder->names->linear_is_transposed)
        weights = tn_weights_transpose(&builder->network->arena, weights, builder->network->diag);
    return tn_model_expect(builder, as_matrix(builder, weights), TN_DIMS(rows, columns));
}

const tn_weights *tn_model_bias(tn_model_builder *builder, const char *pattern, int64_t layer, tn_bias_rule rule, int64_t size) {
    if (rule == TN_BIAS_NONE) return NULL;
    const tn_weights *bias = load(builder, pattern, layer, 0, "bias", rule == TN_BIAS_REQUIRED);
    return tn_model_expect(builder, as_float32(builder, bias), TN_DIMS(size));
}

static bool has_two_numbers(const char *pattern) {
    const char *first = strstr(pattern, "%d");
    return first != NULL && strstr(first + 2, "%d") != NULL;
}

/* `count` tensors of one layer, each of `dims`, as one. */
static const tn_weights *load_each(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t count, tn_dims dims) {
    tn_network *network = builder->network;
    const tn_weights **each = tn_arena_alloc_array(&network->arena, (size_t)count, sizeof *each);
    if (each == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) {
        each[i] = load(builder, pattern, layer, i, "weight", true);
        if (each[i] != NULL && each[i]->desc.encoding.has_perm) each[i] = as_float32(builder, each[i]); /* each has its own order */
        each[i] = tn_model_expect(builder, dims.rank == 1 ? as_float32(builder, each[i]) : as_matrix(builder, each[i]), dims);
    }
    return tn_weights_stack(&network->arena, each, (uint32_t)count, network->diag);
}

const tn_weights *tn_model_norm(tn_model_builder *builder, const char *pattern, int64_t layer, tn_dims dims) {
    tn_network *network = builder->network;
    const tn_weights *scale = dims.rank == 2 && has_two_numbers(pattern)
                                  ? load_each(builder, pattern, layer, dims.d[0], TN_DIMS(dims.d[1]))
                                  : as_float32(builder, load(builder, pattern, layer, 0, "weight", true));
    scale = tn_model_expect(builder, scale, dims);
    float offset = (float)builder->config->norm_offset;
    if (scale == NULL || offset == 0.0f) return scale;
    return tn_weights_add(&network->arena, scale, tn_weights_floats(&network->arena, &offset, TN_DIMS(1), network->diag), network->diag);
}

/* Rows of a matrix whose even ones (first 0) or odd ones (first 1) are one weight, the others another. */
static const tn_weights *every_second_row(tn_model_builder *builder, const tn_weights *x, int64_t first) {
    tn_network *network = builder->network;
    int64_t rows = x != NULL ? x->desc.dims.d[0] : 0;
    int64_t *table = tn_arena_alloc_array(&network->arena, (size_t)rows, sizeof *table);
    if (table == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t i = 0; i < rows / 2; i++) table[i] = table[rows / 2 + i] = 2 * i + first;
    return tn_model_rows(builder, tn_weights_permute_rows(&network->arena, x, table, network->diag), 0, rows / 2);
}

/* Quantised checkpoints keep each expert as [out, in]. */
static bool is_quantized(const tn_weights *weights) {
    return weights != NULL && weights->desc.encoding.kind != TN_ENCODING_PLAIN;
}

/* [E, k, n] as [E, n, k]; step 2: of n every second from `first` on. */
static const tn_weights *transpose_experts(tn_model_builder *builder, const tn_weights *stacked, int64_t first, int64_t step) {
    tn_network *network = builder->network;
    if (stacked == NULL) return NULL;
    int64_t count = stacked->desc.dims.d[0], columns = stacked->desc.dims.d[1], rows = stacked->desc.dims.d[2];
    const tn_weights *flat = tn_weights_reshape(&network->arena, stacked, TN_DIMS(count * columns, rows), network->diag);
    const tn_weights **experts = tn_arena_alloc_array(&network->arena, (size_t)count, sizeof *experts);
    if (experts == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) {
        const tn_weights *expert = tn_model_rows(builder, flat, i * columns, (i + 1) * columns);
        expert = as_matrix(builder, tn_weights_transpose(&network->arena, expert, network->diag));
        experts[i] = step == 2 ? every_second_row(builder, expert, first) : expert;
    }
    return tn_weights_stack(&network->arena, experts, (uint32_t)count, network->diag);
}

const tn_weights *tn_model_experts(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t rows, int64_t columns) {
    int64_t count = builder->config->num_experts;
    if (has_two_numbers(pattern)) return load_each(builder, pattern, layer, count, TN_DIMS(rows, columns));
    const tn_weights *stacked = load(builder, pattern, layer, 0, "weight", true);
    if (!builder->names->experts_are_transposed || is_quantized(stacked))
        return tn_model_expect(builder, as_matrix(builder, stacked), TN_DIMS(count, rows, columns));
    return transpose_experts(builder, tn_model_expect(builder, stacked, TN_DIMS(count, columns, rows)), 0, 1);
}

const tn_weights *tn_model_joined_experts(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t first, int64_t rows,
                                          int64_t columns) {
    tn_network *network = builder->network;
    int64_t count = builder->config->num_experts;
    const tn_weights *both = load(builder, pattern, layer, 0, "weight", true);
    both = as_matrix(builder, tn_model_expect(builder, both, TN_DIMS(count, 2 * rows, columns)));
    both = tn_weights_reshape(&network->arena, both, TN_DIMS(count * 2 * rows, columns), network->diag);
    const tn_weights **halves = tn_arena_alloc_array(&network->arena, (size_t)count, sizeof *halves);
    if (halves == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) halves[i] = tn_model_rows(builder, both, (2 * i + first) * rows, (2 * i + first + 1) * rows);
    return tn_weights_stack(&network->arena, halves, (uint32_t)count, network->diag);
}

const tn_weights *tn_model_heads(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t rows, int64_t columns,
                                 bool is_transposed) {
    tn_network *network = builder->network;
    int64_t heads = builder->config->num_heads;
    const tn_weights *x = load(builder, pattern, layer, 0, "weight", true);
    x = tn_model_expect(builder, x, is_transposed ? TN_DIMS(heads, columns, rows) : TN_DIMS(heads, rows, columns));
    if (is_transposed) {
        if (is_quantized(x)) x = tn_weights_decode(&network->arena, x, TN_FLOAT32, network->diag); /* blocks stand along its rows */
        x = transpose_experts(builder, x, 0, 1);
    }
    return tn_weights_reshape(&network->arena, as_matrix(builder, x), TN_DIMS(heads * rows, columns), network->diag);
}

const tn_weights *tn_model_expert_half(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t first, int64_t rows,
                                       int64_t columns) {
    const tn_weights *both = load(builder, pattern, layer, 0, "weight", true);
    if (is_quantized(both)) {
        tn_network *network = builder->network;
        int64_t count = builder->config->num_experts;
        both = tn_model_expect(builder, both, TN_DIMS(count, 2 * rows, columns));
        both = tn_weights_reshape(&network->arena, both, TN_DIMS(count * 2 * rows, columns), network->diag);
        return tn_weights_reshape(&network->arena, every_second_row(builder, both, first), TN_DIMS(count, rows, columns), network->diag);
    }
    return transpose_experts(builder, tn_model_expect(builder, both, TN_DIMS(builder->config->num_experts, columns, 2 * rows)), first, 2);
}

const tn_weights *tn_model_expert_half_bias(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t first, int64_t rows) {
    tn_network *network = builder->network;
    int64_t count = builder->config->num_experts;
    const tn_weights *both = tn_model_expect(builder, load(builder, pattern, layer, 0, "bias", true), TN_DIMS(count, 2 * rows));
    both = tn_weights_reshape(&network->arena, as_float32(builder, both), TN_DIMS(count * 2 * rows), network->diag);
    return tn_weights_reshape(&network->arena, every_second_row(builder, both, first), TN_DIMS(count, rows), network->diag);
}

const tn_weights *tn_model_rows(tn_model_builder *builder, const tn_weights *weights, int64_t begin, int64_t end) {
    if (weights == NULL) return NULL;
    const tn_weights *rows =
        tn_weights_slice(&builder->network->arena, weights, weights->desc.dims.rank == 1 ? -1 : 0, begin, end, builder->network->diag);
    if (rows == NULL) builder->network->failed = true;
    return rows;
}

const uint8_t *tn_model_ropes_of_windows(const tn_model_config *config, tn_arena *arena, tn_layer_rope with_window, tn_layer_rope without) {
    uint8_t *ropes = tn_arena_alloc(arena, (size_t)config->num_layers);
    for (int64_t i = 0; ropes != NULL && i < config->num_layers; i++)
        ropes[i] = (uint8_t)(config->layer_windows != NULL && config->layer_windows[i] > 0 ? with_window : without);
    return ropes;
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
