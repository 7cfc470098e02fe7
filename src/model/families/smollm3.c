/* SPDX-License-Identifier: Apache-2.0
 *
 * smollm3.c: SmolLM3: a Llama that does not rotate every fourth layer.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { INTERVAL = 4 };

static uint8_t *make_ropes(const tn_model_config *config, tn_arena *arena, int64_t interval) {
    uint8_t *ropes = tn_arena_alloc(arena, (size_t)config->num_layers);
    for (int64_t i = 0; ropes != NULL && i < config->num_layers; i++)
        ropes[i] = (i + 1) % interval != 0 ? TN_LAYER_ROPE : TN_LAYER_ROPE_NONE;
    return ropes;
}

/* no_rope_layers says of each layer whether it is rotated, despite its name. */
static void read_ropes(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    int64_t interval = tn_hf_integer_or(reader, "no_rope_layer_interval", 1, TN_HF_MAX_LAYERS, INTERVAL);
    const tn_json_value *list = tn_hf_find(reader, "no_rope_layers");
    uint8_t *ropes = make_ropes(config, reader->arena, interval);
    if (ropes == NULL) tn_hf_fail_memory(reader, (size_t)config->num_layers);
    if (list != NULL && (int64_t)tn_json_count(list) != config->num_layers)
        tn_hf_fail(reader, list, TN_INVALID_DATA, "must have one entry for each layer");
    for (int64_t i = 0; list != NULL && reader->status == TN_OK && i < config->num_layers; i++) {
        int64_t is_rotated;
        reader->status = tn_json_to_integer(tn_json_at(list, (size_t)i), 0, 1, reader->diag, &is_rotated);
        if (reader->status == TN_OK) ropes[i] = is_rotated != 0 ? TN_LAYER_ROPE : TN_LAYER_ROPE_NONE;
    }
    config->layer_ropes = ropes;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->mlp_bias = tn_hf_bias(reader, "mlp_bias", false);
    tn_hf_rope(reader, NULL, 2e6, 1.0, TN_ROTARY_HALVES, &config->rope);
    read_ropes(reader);
    bool has_window = tn_hf_bool(reader, "use_sliding_window", false);
    int64_t window = tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, 0);
    (void)tn_hf_has(reader, "max_window_layers");
    if (has_window && window > 0 && !tn_hf_has(reader, "layer_types"))
        tn_hf_fail(reader, tn_hf_find(reader, "use_sliding_window"), TN_UNSUPPORTED, "is true without layer_types, which is not built");
    tn_hf_windows(reader, has_window ? window : 0, 0, 0);
}

static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED); /* q and k permuted as Llama's */
    config->layer_ropes = make_ropes(config, reader->arena, INTERVAL);
    if (config->layer_ropes == NULL && reader->status == TN_OK)
        reader->status = tn_fail_memory(reader->diag, "the model's configuration", (size_t)config->num_layers);
}

static const char *const hf_architectures[] = {"SmolLM3ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"smollm3", NULL};

const tn_family tn_family_smollm3 = {
    .name = "smollm3",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &tn_llama_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
