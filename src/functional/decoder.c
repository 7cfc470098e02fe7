/* SPDX-License-Identifier: Apache-2.0
 *
 * decoder.c: what every decoder has: the executor's inputs and states, attention over the paged cache, logits, sampling.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "functional/functional_internal.h"

static tn_tensor *add_input(tn_network *network, const char *name, tn_dims dims, const char *dim0, const char *dim1) {
    tn_tensor *tensor = tn_network_add_input(network, name, TN_INT32, dims);
    tn_tensor_set_role(tensor, name);
    if (dim0 != NULL) tn_tensor_set_dim_name(tensor, 0, dim0);
    if (dim1 != NULL) tn_tensor_set_dim_name(tensor, 1, dim1);
    return tensor;
}

static int64_t layer_window(const tn_decoder_options *options, int64_t layer) {
    return options->layer_windows != NULL ? options->layer_windows[layer] : 0;
}

static int find_group(const tn_decoder *decoder, int64_t window) {
    for (int group = 0; group < decoder->num_groups; group++)
        if (decoder->group_windows[group] == window) return group;
    return -1;
}

static void assign_groups(tn_decoder *decoder) {
    for (int64_t layer = 0; layer < decoder->options.num_layers; layer++) {
        int64_t window = layer_window(&decoder->options, layer);
        int group = find_group(decoder, window);
        if (group < 0 && decoder->num_groups < TN_MAX_KV_GROUPS) {
            group = decoder->num_groups++;
            decoder->group_windows[group] = window;
        }
        if (group >= 0) {
            decoder->group_layers[group]++;
            continue;
        }
        tn_fail(decoder->network->diag, TN_UNSUPPORTED,
                "cannot build the network: its layers have more than %d different attention windows", TN_MAX_KV_GROUPS);
        decoder->network->failed = true;
        return;
    }
}

static void add_cache(tn_decoder *decoder, int group) {
    const tn_decoder_options *options = &decoder->options;
    tn_kv_geometry geometry = {
        .num_layers = decoder->group_layers[group],
        .num_kv_heads = options->num_kv_heads,
        .k_dim = options->k_dim,
        .v_dim = options->v_dim,
        .tokens_per_block = options->tokens_per_block,
        .dtype = options->cache_dtype,
    };
    char name[32];
    snprintf(name, sizeof name, "kv.%d", group);
    decoder->cache[group] = tn_network_add_kv_state(decoder->network, name, &geometry, decoder->group_windows[group], options->sink_tokens);
    snprintf(name, sizeof name, "block_table.%d", group);
    decoder->block_table[group] = add_input(decoder->network, name, TN_DIMS(-1, -1), "num_seqs", "max_blocks");
}

void tn_decoder_begin(tn_network *network, const tn_decoder_options *options, tn_decoder *out_decoder) {
    *out_decoder = (tn_decoder){.network = network, .options = *options};
    assign_groups(out_decoder);
    tn_tensor *input_ids = add_input(network, "input_ids", TN_DIMS(-1), "num_tokens", NULL);
    out_decoder->positions = add_input(network, "positions", TN_DIMS(-1), "num_tokens", NULL);
    out_decoder->query_start = add_input(network, "query_start", TN_DIMS(-1), "num_seqs_plus_1", NULL);
    tn_tensor *seq_slot = add_input(network, "seq_slot", TN_DIMS(-1), "num_seqs", NULL);
    out_decoder->kv_length = add_input(network, "kv_length", TN_DIMS(-1), "num_seqs", NULL);
    out_decoder->logits_rows = add_input(network, "logits_rows", TN_DIMS(-1), "num_logits", NULL);
    for (int group = 0; group < out_decoder->num_groups; group++) add_cache(out_decoder, group);

    tn_tensor *slots = tn_network_add_slots_state(network, options->vocab_size, options->max_seq_len);
    tn_op_params params = {.token_ids = {.vocab_size = options->vocab_size, .max_seq_len = options->max_seq_len}};
    tn_tensor *inputs[] = {input_ids, out_decoder->query_start, seq_slot, slots};
    out_decoder->ids = tn_layer_output(tn_network_add_layer(network, TN_OP_TOKEN_IDS, &params, inputs, 4, "token_ids"), 0);
}

tn_tensor *tn_decoder_rotary(tn_decoder *decoder, const tn_rope *rope, const char *name) {
    tn_network *network = decoder->network;
    if (rope->theta == 0.0) return NULL;
    float *frequencies = tn_arena_alloc_array(&network->arena, (size_t)rope->dim / 2, sizeof *frequencies);
    if (frequencies == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    tn_op_params params = {0};
    tn_rope_frequencies(rope, decoder->options.max_seq_len, frequencies, &params.rotary_table.scale);
    const tn_weights *weights = tn_weights_floats(&network->arena, frequencies, TN_DIMS(rope->dim / 2), network->diag);
    char part[64];
    snprintf(part, sizeof part, "%s.frequencies", name);
    tn_tensor *inputs[] = {decoder->positions, tn_network_add_weights(network, weights, part)};
    snprintf(part, sizeof part, "%s.table", name);
    return tn_layer_output(tn_network_add_layer(network, TN_OP_ROTARY_TABLE, &params, inputs, 2, part), 0);
}

void tn_alibi_slopes(int64_t num_heads, double max_bias, float *out_slopes) {
    int64_t power = 1;
    while (power * 2 <= num_heads) power *= 2;
    for (int64_t head = 0; head < num_heads; head++) {
        double step = head < power ? (double)(head + 1) / (double)power : (double)(2 * (head - power) + 1) / (double)(2 * power);
        out_slopes[head] = (float)exp2(-max_bias * step);
    }
}

static tn_tensor *reshape(tn_network *network, tn_tensor *x, int64_t columns) {
    tn_layer *layer = tn_network_add_shuffle(network, x);
    tn_shuffle_set_reshape(layer, TN_DIMS(-1, columns));
    return tn_layer_output(layer, 0);
}

static tn_tensor *norm_rows(tn_network *network, tn_tensor *x, const tn_weights *scale, const tn_weights *bias,
                            const tn_attention_config *params, const char *name) {
    if (params->norm_type == TN_NORMALIZATION_LAYER) return tn_fn_layer_norm(network, x, scale, bias, params->norm_epsilon, name);
    return tn_fn_rms_norm(network, x, scale, params->norm_epsilon, name);
}

/* Heads with scales of their own: over each head with a scale of ones, then times all scales. */
static tn_tensor *norm_each_head(tn_network *network, tn_tensor *x, const tn_weights *scale, const tn_attention_config *params,
                                 const char *name) {
    int64_t heads = scale->desc.dims.d[0], head_dim = scale->desc.dims.d[1];
    float *ones = tn_arena_alloc_array(&network->arena, (size_t)head_dim, sizeof *ones);
    if (ones == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t i = 0; i < head_dim; i++) ones[i] = 1.0f;
    const tn_weights *no_scale = tn_weights_floats(&network->arena, ones, TN_DIMS(head_dim), network->diag);
    x = reshape(network, norm_rows(network, reshape(network, x, head_dim), no_scale, NULL, params, name), heads * head_dim);
    char part[128];
    snprintf(part, sizeof part, "%s.scales", name);
    const tn_weights *row = tn_weights_reshape(&network->arena, scale, TN_DIMS(heads * head_dim), network->diag);
    return tn_fn_multiply(network, x, tn_fn_row_constant(network, row, part), NULL);
}

/* [T, heads·D] by the shape of `scale` (tn_attention_weights). */
static tn_tensor *norm_heads(tn_network *network, tn_tensor *x, const tn_weights *scale, const tn_weights *bias, int64_t columns,
                             const tn_attention_config *params, const char *name) {
    if (scale == NULL) return x;
    if (scale->desc.dims.rank == 2) return norm_each_head(network, x, scale, params, name);
    int64_t size = tn_weight_num_columns(&scale->desc);
    if (size == columns) return norm_rows(network, x, scale, bias, params, name);
    return reshape(network, norm_rows(network, reshape(network, x, size), scale, bias, params, name), columns);
}

tn_tensor *tn_fn_rotate(const tn_decoder *decoder, tn_tensor *x, int64_t head_dim, const tn_attention_config *params, const char *name) {
    if (params->rotary_table == NULL) return x;
    tn_op_params rotary = {.rotary = {.type = (int)params->rotary, .head_dim = head_dim}};
    tn_tensor *inputs[] = {x, params->rotary_table};
    return tn_layer_output(tn_network_add_layer(decoder->network, TN_OP_ROTARY, &rotary, inputs, 2, name), 0);
}

tn_tensor *tn_fn_attend(tn_decoder *decoder, tn_tensor *q, tn_tensor *k, tn_tensor *v, const tn_weights *sinks,
                        const tn_weights *alibi_slopes, const tn_attention_config *params, const char *name) {
    tn_network *network = decoder->network;
    const tn_decoder_options *options = &decoder->options;
    int64_t window = layer_window(options, params->layer);
    int group = find_group(decoder, window);
    if (group < 0) return NULL; /* reported by assign_groups */
    tn_kv_cache_update_params cache = {.layer = decoder->next_layer[group]++,
                                       .group = group,
                                       .num_layers = decoder->group_layers[group],
                                       .num_kv_heads = options->num_kv_heads,
                                       .k_dim = options->k_dim,
                                       .v_dim = options->v_dim,
                                       .tokens_per_block = options->tokens_per_block,
                                       .cache_dtype = options->cache_dtype};
    char layer_name[128];
    snprintf(layer_name, sizeof layer_name, "%s.cache", name);
    tn_tensor *update_inputs[] = {k, v, decoder->cache[group], decoder->query_start, decoder->kv_length, decoder->block_table[group]};
    tn_layer *update =
        tn_network_add_layer(network, TN_OP_KV_CACHE_UPDATE, &(tn_op_params){.kv_cache_update = cache}, update_inputs, 6, layer_name);
    decoder->cache[group] = tn_layer_output(update, 0);

    tn_op_params attention = {.attention = {.layer = cache.layer,
                                            .num_heads = params->num_heads,
                                            .scale = params->scale != 0.0 ? params->scale : 1.0 / sqrt((double)options->k_dim),
                                            .soft_cap = params->soft_cap,
                                            .window = window,
                                            .sink_tokens = options->sink_tokens,
                                            .group = group,
                                            .num_layers = cache.num_layers,
                                            .num_kv_heads = cache.num_kv_heads,
                                            .k_dim = cache.k_dim,
                                            .v_dim = cache.v_dim,
                                            .tokens_per_block = cache.tokens_per_block,
                                            .cache_dtype = cache.cache_dtype}};
    tn_tensor *inputs[7] = {q, decoder->cache[group], decoder->query_start, decoder->kv_length, decoder->block_table[group], NULL, NULL};
    uint32_t num_inputs = 5;
    if (sinks != NULL) {
        snprintf(layer_name, sizeof layer_name, "%s.sinks", name);
        inputs[5] = tn_network_add_weights(network, sinks, layer_name);
        num_inputs = 6;
    }
    if (alibi_slopes != NULL) {
        snprintf(layer_name, sizeof layer_name, "%s.alibi_slopes", name);
        inputs[6] = tn_network_add_weights(network, alibi_slopes, layer_name);
        num_inputs = 7;
    }
    return tn_layer_output(tn_network_add_layer(network, TN_OP_ATTENTION, &attention, inputs, num_inputs, name), 0);
}

static tn_tensor *project(const tn_decoder *decoder, tn_tensor *x, const tn_weights *weight, const tn_weights *bias,
                          const tn_attention_config *params, const char *name, char which) {
    char part[128];
    snprintf(part, sizeof part, "%s.%c", name, which);
    tn_tensor *y = tn_fn_linear(decoder->network, x, weight, bias, part);
    return params->clip > 0.0 ? tn_fn_clip(decoder->network, y, -params->clip, params->clip, NULL) : y;
}

tn_tensor *tn_fn_attention(tn_decoder *decoder, tn_tensor *x, const tn_attention_weights *weights, const tn_attention_config *params,
                           const char *name) {
    tn_network *network = decoder->network;
    const tn_decoder_options *options = &decoder->options;
    tn_call_argument arguments[] = {{.name = "x", .tensor = x},
                                    {.name = "layer", .number = (double)params->layer},
                                    {.name = "num_heads", .number = (double)params->num_heads},
                                    {.name = "num_kv_heads", .number = (double)options->num_kv_heads},
                                    {.name = "scale", .number = params->scale},
                                    {.name = "soft_cap", .number = params->soft_cap},
                                    {.name = "window", .number = (double)layer_window(options, params->layer)}};
    tn_call *call = tn_call_begin(network, "attention", arguments, 7);
    tn_tensor *q = project(decoder, x, weights->q, weights->q_bias, params, name, 'q');
    tn_tensor *k = project(decoder, x, weights->k, weights->k_bias, params, name, 'k');
    tn_tensor *v = project(decoder, x, weights->v, weights->v_bias, params, name, 'v');
    int64_t q_columns = params->num_heads * options->k_dim, k_columns = options->num_kv_heads * options->k_dim;
    char part[128];
    snprintf(part, sizeof part, "%s.q_norm", name);
    q = norm_heads(network, q, weights->q_norm, weights->q_norm_bias, q_columns, params, part);
    snprintf(part, sizeof part, "%s.k_norm", name);
    k = norm_heads(network, k, weights->k_norm, weights->k_norm_bias, k_columns, params, part);
    snprintf(part, sizeof part, "%s.q_rotary", name);
    q = tn_fn_rotate(decoder, q, options->k_dim, params, part);
    snprintf(part, sizeof part, "%s.k_rotary", name);
    k = tn_fn_rotate(decoder, k, options->k_dim, params, part);
    tn_fn_record(call, "q", q);
    tn_fn_record(call, "k", k);
    tn_fn_record(call, "v", v);
    tn_tensor *y = tn_fn_attend(decoder, q, k, v, weights->sinks, weights->alibi_slopes, params, name);
    snprintf(part, sizeof part, "%s.o", name);
    y = tn_fn_linear(network, y, weights->o, weights->o_bias, part);
    tn_call_end(call, &y, 1);
    return y;
}

tn_tensor *tn_decoder_gather_rows(tn_decoder *decoder, tn_tensor *x) {
    tn_op_params params = {.gather = {.mode = TN_GATHER_DEFAULT, .axis = 0}};
    tn_tensor *inputs[] = {x, decoder->logits_rows};
    return tn_layer_output(tn_network_add_layer(decoder->network, TN_OP_GATHER, &params, inputs, 2, "logits_rows.gather"), 0);
}

void tn_decoder_end(tn_decoder *decoder, tn_tensor *x, const tn_weights *head, const tn_weights *head_bias, const tn_weights *head_scale,
                    double scale, double soft_cap) {
    tn_network *network = decoder->network;
    tn_tensor *logits = tn_fn_linear(network, x, head, head_bias, "head");
    tn_layer *product = logits != NULL ? logits->producer : NULL;
    while (product != NULL && product->kind != TN_OP_MATRIX_MULTIPLY) product = product->inputs.data[0]->producer; /* the bias's sum */
    if (product != NULL) product->precision = decoder->options.head_activations;
    if (head_scale != NULL) logits = tn_fn_multiply(network, logits, tn_network_add_weights(network, head_scale, "head.scale"), NULL);
    logits = tn_fn_scale(network, logits, scale, "logits.scale");
    if (soft_cap > 0.0) {
        logits = tn_fn_activation(network, tn_fn_scale(network, logits, 1.0 / soft_cap, NULL), TN_ACTIVATION_TANH, NULL);
        logits = tn_fn_scale(network, logits, soft_cap, "logits.soft_cap");
    }
    tn_network_mark_output(network, logits, "logits");
    tn_tensor_set_role(logits, "logits");
    if (!decoder->options.gives_hidden_states) return;
    tn_network_mark_output(network, x, "hidden_states");
    tn_tensor_set_role(x, "hidden_states");
}

void tn_sample_network(tn_network *network, int64_t vocab_size, int64_t max_seq_len, int64_t max_log_probs) {
    tn_tensor *logits = tn_network_add_input(network, "logits", TN_FLOAT32, TN_DIMS(-1, vocab_size));
    tn_tensor_set_role(logits, "logits");
    tn_tensor_set_dim_name(logits, 0, "num_logits");
    tn_tensor *sample_slot = add_input(network, "sample_slot", TN_DIMS(-1), "num_logits", NULL);
    tn_tensor *sample_position = add_input(network, "sample_position", TN_DIMS(-1), "num_logits", NULL);
    tn_tensor *slots = tn_network_add_slots_state(network, vocab_size, max_seq_len);
    tn_op_params params = {.sample = {.max_log_probs = max_log_probs, .vocab_size = vocab_size, .max_seq_len = max_seq_len}};
    tn_tensor *inputs[] = {logits, sample_slot, sample_position, slots};
    tn_layer *sample = tn_network_add_layer(network, TN_OP_SAMPLE, &params, inputs, 4, "sample");
    static const char *const names[] = {"next_ids", "top_ids", "top_log_probs"};
    for (int i = 0; i < 3; i++) {
        tn_network_mark_output(network, tn_layer_output(sample, i), names[i]);
        tn_tensor_set_role(tn_layer_output(sample, i), names[i]);
    }
}
