/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c: from a model on disk to a plan in one call (tenon/model.h).
 */
#include "tenon/model.h"

#include "base/report.h"
#include "base/thread.h"
#include "model/model.h"

enum { MIN_FITTED_SEQ_LEN = 256 };

void tn_model_build_options_init(tn_model_build_options *options) {
    *options = (tn_model_build_options){.struct_size = sizeof *options, .optimization_level = 1};
}

/* The longest sequence whose cache fits beside the weights (as stored and as packed), if the model's own does not. */
static int64_t fitting_seq_len(const tn_model *model, const tn_model_build_options *options) {
    const tn_model_config *config = tn_model_get_config(model);
    uint64_t available = tn_available_memory_bytes();
    if (options->memory_limit_bytes > 0 && options->memory_limit_bytes < available) available = options->memory_limit_bytes;
    uint64_t weights = tn_model_weight_bytes(model) * 2 + 300000000;
    uint64_t per_token = (uint64_t)tn_model_cache_token_bytes(model, options->cache_dtype);
    uint64_t fitting = available > weights ? (available - weights) / 10 * 9 / per_token : 0;
    if (fitting >= (uint64_t)config->max_positions || fitting < MIN_FITTED_SEQ_LEN) return config->max_positions;
    int64_t lowered = (int64_t)(fitting / MIN_FITTED_SEQ_LEN * MIN_FITTED_SEQ_LEN);
    tn_warn(options->diag, NULL, "the context is lowered from %lld to %lld tokens: a longer one's cache does not fit beside the weights",
            (long long)config->max_positions, (long long)lowered);
    return lowered;
}

static tn_status build(const tn_model *model, const tn_model_build_options *options, const tn_model_options *model_options,
                       const tn_model_networks *networks, tn_plan **out_plan) {
    tn_builder *builder = NULL;
    tn_builder_config *config = NULL;
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.diag = options->diag;
    builder_options.allocator = options->allocator;
    builder_options.device = options->device;
    tn_status status = tn_builder_create(&builder_options, &builder);
    if (status == TN_OK) status = tn_builder_config_create(builder, &config);
    if (status == TN_OK) {
        tn_model_set_profile(model, model_options, config);
        tn_builder_config_set_activation_precision(config, options->activations);
        tn_builder_config_set_optimization_level(config, options->optimization_level);
        tn_builder_config_set_memory_limit(config, options->memory_limit_bytes);
        tn_builder_config_set_timing_cache(config, options->timing_cache);
        tn_builder_config_set_model_info(config, networks->info);
        tn_builder_config_set_output_path(config, options->output_path);
        tn_builder_config_set_progress(config, &options->progress);
        status = tn_builder_build_functions(builder, (tn_network *[]){networks->forward, networks->sample}, 2, config, out_plan);
    }
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    return status;
}

tn_status tn_model_build(const char *path, const tn_model_build_options *options, tn_plan **out_plan) {
    *out_plan = NULL;
    tn_model_build_options defaults;
    tn_model_build_options_init(&defaults);
    if (options == NULL) options = &defaults;
    if (options->struct_size != sizeof *options)
        return tn_fail(options->diag, TN_INVALID_ARGUMENT,
                       "cannot build a model: the options were not set up by tn_model_build_options_init");
    if (path == NULL) return tn_fail(options->diag, TN_INVALID_ARGUMENT, "cannot build a model: the path is NULL");
    tn_model *model = NULL;
    tn_model_networks networks = {0};
    tn_status status = tn_model_open(path, options->allocator, options->diag, &model);
    if (status != TN_OK) return status;
    tn_model_options model_options;
    tn_model_options_init(&model_options);
    model_options.max_seq_len = options->max_seq_len != 0 ? options->max_seq_len : fitting_seq_len(model, options);
    model_options.max_num_tokens = options->max_num_tokens;
    model_options.max_batch_size = options->max_batch_size;
    model_options.tokens_per_block = options->tokens_per_block;
    model_options.max_log_probs = options->max_log_probs;
    model_options.cache_dtype = options->cache_dtype;
    model_options.activations = options->activations;
    model_options.hidden_states = options->hidden_states;
    status = tn_model_make_networks(model, &model_options, options->diag, &networks);
    if (status == TN_OK) status = build(model, options, &model_options, &networks, out_plan);
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
    return status;
}
