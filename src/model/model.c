/* SPDX-License-Identifier: Apache-2.0
 *
 * model.c: from a path to config, weights, networks.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/text.h"
#include "model/dummy.h"
#include "model/model_info.h"
#include "model/sources.h"

struct tn_model {
    tn_allocator allocator;
    tn_arena arena;
    tn_model_config config;
    const tn_family *family;
    bool is_gguf, is_dummy;
    tn_gguf *gguf;
    tn_safetensors *safetensors;
    tn_weight_source *source;
    char *tokenizer_path; /* NULL: none */
};

static tn_status open_gguf(tn_model *model, const char *path, tn_diag *diag) {
    tn_status status = tn_gguf_open(path, &model->allocator, diag, &model->gguf);
    if (status != TN_OK) return status;
    model->is_gguf = true;
    status = tn_model_config_from_gguf(model->gguf, &model->arena, diag, &model->config, &model->family);
    if (status == TN_OK) status = tn_gguf_source_create(model->gguf, &model->allocator, diag, &model->source);
    if (status != TN_OK || tn_gguf_find(model->gguf, "tokenizer.ggml.tokens") == NULL) return status;
    model->tokenizer_path = tn_copy_string(&model->allocator, path);
    return model->tokenizer_path != NULL ? TN_OK : tn_fail_memory(diag, "a path", strlen(path));
}

static tn_status open_directory(tn_model *model, const char *path, tn_diag *diag) {
    tn_status status = tn_model_config_from_hf(path, &model->arena, diag, &model->config, &model->family);
    if (status == TN_OK) status = tn_safetensors_open(path, &model->allocator, diag, &model->safetensors);
    if (status == TN_OK)
        status = tn_safetensors_source_create(model->safetensors, &model->config.quantization, &model->allocator, diag, &model->source);
    if (status != TN_OK) return status;
    char *tokenizer = tn_path_join(&model->allocator, path, "tokenizer.json");
    if (tokenizer == NULL) return tn_fail_memory(diag, "a path", strlen(path));
    bool exists = tn_path_exists(tokenizer);
    tn_free(&model->allocator, tokenizer);
    if (!exists) return TN_OK;
    model->tokenizer_path = tn_copy_string(&model->allocator, path);
    return model->tokenizer_path != NULL ? TN_OK : tn_fail_memory(diag, "a path", strlen(path));
}

static tn_status open_dummy(tn_model *model, const char *name, tn_diag *diag) {
    tn_status status = tn_dummy_config(name, &model->arena, diag, &model->config, &model->family);
    model->is_dummy = true;
    return status == TN_OK ? tn_dummy_source_create(&model->config, model->family, &model->allocator, diag, &model->source) : status;
}

static tn_status open_as(tn_status (*open)(tn_model *model, const char *name, tn_diag *diag), const char *name,
                         const tn_allocator *allocator, tn_diag *diag, tn_model **out_model) {
    *out_model = NULL;
    tn_model *model = tn_alloc_zero(allocator, sizeof *model);
    if (model == NULL) return tn_fail_memory(diag, "a model", sizeof *model);
    if (allocator != NULL) model->allocator = *allocator;
    model->arena.allocator = &model->allocator;
    tn_status status = open(model, name, diag);
    if (status != TN_OK) {
        tn_model_close(model);
        return status;
    }
    *out_model = model;
    return TN_OK;
}

tn_status tn_model_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_model **out_model) {
    return open_as(tn_path_is_directory(path) ? open_directory : open_gguf, path, allocator, diag, out_model);
}

tn_status tn_model_open_dummy(const char *name, const tn_allocator *allocator, tn_diag *diag, tn_model **out_model) {
    return open_as(open_dummy, name, allocator, diag, out_model);
}

void tn_model_close(tn_model *model) {
    if (model == NULL) return;
    tn_weight_source_destroy(model->source);
    tn_gguf_close(model->gguf);
    tn_safetensors_close(model->safetensors);
    tn_arena_deinit(&model->arena);
    tn_allocator allocator = model->allocator;
    tn_free(&allocator, model->tokenizer_path);
    tn_free(&allocator, model);
}

const tn_model_config *tn_model_get_config(const tn_model *model) {
    return &model->config;
}

const char *tn_model_tokenizer_path(const tn_model *model) {
    return model->tokenizer_path;
}

uint64_t tn_model_weight_bytes(const tn_model *model) {
    uint64_t bytes = 0;
    if (model->is_dummy) return tn_dummy_weight_bytes(model->source);
    if (model->is_gguf)
        for (size_t i = 0; i < tn_gguf_num_tensors(model->gguf); i++) bytes += tn_gguf_tensor_at(model->gguf, i)->size_bytes;
    else
        for (size_t i = 0; i < tn_safetensors_num_tensors(model->safetensors); i++)
            bytes += tn_safetensors_at(model->safetensors, i)->size_bytes;
    return bytes;
}

/* --- networks --------------------------------------------------------------------------------------------------------- */

void tn_model_options_init(tn_model_options *options) {
    *options = (tn_model_options){.mapping = tn_mapping_single()};
}

static tn_status check_range(tn_diag *diag, const char *name, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return TN_OK;
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot build the network: %s is %lld, must be %lld to %lld", name,
                      (long long)value, (long long)min, (long long)max);
}

/* Fills in the defaults and checks the rest. */
static tn_status complete_options(const tn_model *model, const tn_model_options *given, tn_diag *diag, tn_model_options *out) {
    *out = *given;
    const tn_model_config *config = &model->config;
    if (out->max_seq_len == 0) out->max_seq_len = config->max_positions;
    if (out->max_num_tokens == 0) out->max_num_tokens = 2048;
    if (out->max_batch_size == 0) out->max_batch_size = 16;
    if (out->tokens_per_block == 0) out->tokens_per_block = 32;
    if (out->max_log_probs == 0) out->max_log_probs = config->vocab_size < 20 ? config->vocab_size : 20;
    if (out->cache_dtype == TN_DTYPE_NONE) out->cache_dtype = TN_FLOAT32;
    if (out->mapping.tp_size != 1 || out->mapping.pp_size != 1 || out->mapping.ep_size != 1)
        return tn_fail(diag, TN_UNSUPPORTED,
                       "cannot build the network: a mapping of %d x %d x %d ranks (tp x pp x ep) is not built; use 1 x 1 x 1",
                       out->mapping.tp_size, out->mapping.pp_size, out->mapping.ep_size);
    if (!tn_kv_dtype_is_known(out->cache_dtype))
        return tn_fail(diag, TN_UNSUPPORTED, "cannot build the network: a key/value cache of %s is not built; use one of " TN_KV_DTYPES,
                       tn_dtype_name(out->cache_dtype));
    if ((out->tokens_per_block & (out->tokens_per_block - 1)) != 0)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot build the network: tokens_per_block is %lld, must be a power of two",
                       (long long)out->tokens_per_block);
    tn_status status = check_range(diag, "max_seq_len", out->max_seq_len, 1, config->max_scaled_positions);
    if (status == TN_OK) status = check_range(diag, "max_num_tokens", out->max_num_tokens, 1, 1 << 20);
    if (status == TN_OK) status = check_range(diag, "max_batch_size", out->max_batch_size, 1, 1 << 16);
    if (status == TN_OK) status = check_range(diag, "tokens_per_block", out->tokens_per_block, 16, 256);
    if (status == TN_OK) status = check_range(diag, "max_log_probs", out->max_log_probs, 0, config->vocab_size);
    return status;
}

int64_t tn_model_cache_token_bytes(const tn_model *model, tn_dtype cache_dtype) {
    const tn_model_config *config = &model->config;
    tn_kv_geometry geometry = {.num_layers = config->num_layers,
                               .num_kv_heads = config->num_kv_heads,
                               .k_dim = config->head_dim,
                               .v_dim = config->v_head_dim > 0 ? config->v_head_dim : config->head_dim,
                               .dtype = cache_dtype != TN_DTYPE_NONE ? cache_dtype : TN_FLOAT32};
    return tn_kv_token_bytes(&geometry);
}

static tn_status make_forward(const tn_model *model, const tn_model_options *options, tn_diag *diag, tn_network **out_network) {
    tn_network_options network_options;
    tn_network_options_init(&network_options);
    network_options.diag = diag;
    network_options.allocator = &model->allocator;
    network_options.name = "forward";
    tn_status status = tn_network_create(&network_options, out_network);
    if (status != TN_OK) return status;
    const tn_model_config *config = &model->config;
    const tn_weight_names *gguf_names = model->family->gguf_names;
    tn_model_builder builder = {
        .network = *out_network,
        .config = config,
        .names = !model->is_gguf      ? model->family->hf_names
                 : gguf_names != NULL ? gguf_names
                                      : &tn_gguf_names,
        .source = model->source,
        .float_dtype = options->float_dtype,
        .mapping = options->mapping,
    };
    tn_decoder_options decoder = {
        .vocab_size = config->vocab_size,
        .max_seq_len = options->max_seq_len,
        .num_layers = config->num_layers,
        .tokens_per_block = options->tokens_per_block,
        .cache_dtype = options->cache_dtype,
        .num_kv_heads = config->num_kv_heads,
        .k_dim = config->head_dim,
        .v_dim = config->v_head_dim > 0 ? config->v_head_dim : config->head_dim,
        .layer_windows = config->layer_windows,
        /* What is lost here reaches the answer at once; it is one product, and the last rows' only. */
        .head_activations = options->activations == TN_ACTIVATIONS_INT8 ? TN_ACTIVATIONS_Q15 : TN_ACTIVATIONS_AUTO,
        .gives_hidden_states = options->hidden_states,
    };
    tn_decoder_begin(*out_network, &decoder, &builder.decoder);
    tn_transformer_build(&builder);
    if ((*out_network)->out_of_memory) return tn_fail_memory(diag, "the network", 0);
    if ((*out_network)->arena.out_of_memory) return TN_OUT_OF_MEMORY; /* a weight's recipe has said so */
    return (*out_network)->failed ? TN_INVALID_DATA : TN_OK;
}

tn_status tn_model_make_networks(const tn_model *model, const tn_model_options *options, tn_diag *diag, tn_model_networks *out_networks) {
    *out_networks = (tn_model_networks){0};
    tn_model_options complete;
    tn_status status = complete_options(model, options, diag, &complete);
    if (status != TN_OK) return status;
    status = make_forward(model, &complete, diag, &out_networks->forward);
    if (status != TN_OK) goto cleanup;
    tn_network_options network_options;
    tn_network_options_init(&network_options);
    network_options.diag = diag;
    network_options.allocator = &model->allocator;
    network_options.name = "sample";
    status = tn_network_create(&network_options, &out_networks->sample);
    if (status != TN_OK) goto cleanup;
    tn_sample_network(out_networks->sample, model->config.vocab_size, complete.max_seq_len, complete.max_log_probs);
    out_networks->info = tn_model_info_text(&model->config, &complete, &model->allocator);
    if (out_networks->sample->failed || out_networks->info == NULL) status = tn_fail_memory(diag, "the network", 0);

cleanup:
    if (status != TN_OK) tn_model_networks_deinit(model, out_networks);
    return status;
}

void tn_model_networks_deinit(const tn_model *model, tn_model_networks *networks) {
    tn_network_destroy(networks->forward);
    tn_network_destroy(networks->sample);
    tn_free(&model->allocator, networks->info);
    *networks = (tn_model_networks){0};
}

void tn_model_set_profile(const tn_model *model, const tn_model_options *options, tn_builder_config *config) {
    tn_model_options complete;
    if (complete_options(model, options, NULL, &complete) != TN_OK) return; /* tn_model_make_networks has reported it */
    tn_profile *profile = tn_builder_config_add_profile(config);
    int64_t batch = complete.max_batch_size, tokens = complete.max_num_tokens;
    int64_t blocks = tn_ceil_div(complete.max_seq_len, complete.tokens_per_block);
    tn_profile_set_dim(profile, "num_tokens", 1, 1, tokens);
    tn_profile_set_dim(profile, "num_seqs", 1, 1, batch);
    tn_profile_set_dim(profile, "num_seqs_plus_1", 2, 2, batch + 1);
    tn_profile_set_dim(profile, "num_logits", 1, 1, tokens > batch ? tokens : batch);
    tn_profile_set_dim(profile, "max_blocks", 1, blocks < 8 ? blocks : 8, blocks);
}

char *tn_model_info_text(const tn_model_config *config, const tn_model_options *options, const tn_allocator *allocator) {
    tn_text text = {.allocator = allocator};
    tn_text_append_string(&text, "{\"name\": ");
    tn_text_append_json_string(&text, config->name, strlen(config->name));
    tn_text_append_string(&text, ", \"architecture\": ");
    tn_text_append_json_string(&text, config->architecture, strlen(config->architecture));
    tn_text_append_format(&text,
                          ", \"vocab_size\": %lld, \"max_seq_len\": %lld, \"max_num_tokens\": %lld, \"max_batch_size\": %lld, "
                          "\"tokens_per_block\": %lld, \"max_log_probs\": %lld, \"cache_dtype\": \"%s\", \"bos_id\": %d, \"end_ids\": [",
                          (long long)config->vocab_size, (long long)options->max_seq_len, (long long)options->max_num_tokens,
                          (long long)options->max_batch_size, (long long)options->tokens_per_block, (long long)options->max_log_probs,
                          tn_dtype_name(options->cache_dtype), (int)config->bos_id);
    for (int i = 0; i < config->num_end_ids; i++) tn_text_append_format(&text, "%s%d", i > 0 ? ", " : "", (int)config->end_ids[i]);
    static const char *const activations[] = {"auto", "float32", "bfloat16", "q15", "int8"};
    tn_text_append_format(&text, "], \"activations\": \"%s\"", activations[options->activations]);
    if (options->hidden_states) tn_text_append_format(&text, ", \"hidden_states\": %lld", (long long)tn_model_head_columns(config));
    tn_text_append_char(&text, '}');
    if (text.failed) {
        tn_text_deinit(&text);
        return NULL;
    }
    return text.data;
}
