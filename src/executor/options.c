/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c: the executor's options: defaults, checks.
 */
#include "executor/options.h"

#include "executor/executor_internal.h"

void tn_executor_options_init(tn_executor_options *options) {
    *options = (tn_executor_options){
        .struct_size = sizeof *options,
        .cache_memory_fraction = 0.9,
        .enable_block_reuse = true,
        .enable_chunked_context = true,
        .max_beam_width = 1,
        .capacity_policy = TN_GUARANTEED_NO_EVICT,
        .dynamic_batch_moving_average_window = 128,
        .enable_partial_reuse = true,
        .copy_on_partial_reuse = true,
        .onboard_blocks = true,
        .secondary_offload_min_priority = -1,
        .iter_stats_max_iterations = 1000,
        .normalize_log_probs = true,
        .max_seq_idle_microseconds = 180000000,
    };
}

static tn_status bad_option(tn_diag *diag, const char *name, int64_t value, int64_t max) {
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot start the executor: %s is %lld, must be 0 (default) or 1 to %lld", name,
                      (long long)value, (long long)max);
}

static tn_status out_of_range(tn_diag *diag, const char *name, int64_t value, const char *rule) {
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot start the executor: %s is %lld, must be %s", name, (long long)value, rule);
}

static tn_status not_built(tn_diag *diag, const char *name, const char *what) {
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_UNSUPPORTED, &where, "cannot start the executor: %s: %s", name, what);
}

static tn_status check_limits(const tn_executor_options *options, const tn_executor_info *info, tn_diag *diag) {
    if (options->struct_size != sizeof *options)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the executor: its options were not set up by tn_executor_options_init");
    if (options->max_batch_size < 0 || options->max_batch_size > info->max_batch_size)
        return bad_option(diag, "max_batch_size", options->max_batch_size, info->max_batch_size);
    if (options->max_num_tokens < 0 || options->max_num_tokens > info->max_num_tokens)
        return bad_option(diag, "max_num_tokens", options->max_num_tokens, info->max_num_tokens);
    if (options->max_chunk_tokens < 0 || options->max_chunk_tokens > info->max_num_tokens)
        return bad_option(diag, "max_chunk_tokens", options->max_chunk_tokens, info->max_num_tokens);
    if (options->chunk_unit_tokens < 0 || options->chunk_unit_tokens > info->max_num_tokens)
        return bad_option(diag, "chunk_unit_tokens", options->chunk_unit_tokens, info->max_num_tokens);
    if (options->pipeline_depth < 0 || options->pipeline_depth > TN_MAX_PIPELINE_DEPTH)
        return bad_option(diag, "pipeline_depth", options->pipeline_depth, TN_MAX_PIPELINE_DEPTH);
    if (options->max_cache_tokens < 0) return bad_option(diag, "max_cache_tokens", options->max_cache_tokens, INT64_MAX);
    if (options->max_queue_size < 0) return bad_option(diag, "max_queue_size", options->max_queue_size, INT32_MAX);
    if (!(options->cache_memory_fraction > 0.0 && options->cache_memory_fraction <= 1.0))
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the executor: cache_memory_fraction is %g, must be above 0 and at most 1",
                       options->cache_memory_fraction);
    return TN_OK;
}

static tn_status check_scheduling(const tn_executor_options *options, tn_diag *diag) {
    if (options->capacity_policy < TN_MAX_UTILIZATION || options->capacity_policy > TN_STATIC_BATCH)
        return out_of_range(diag, "capacity_policy", options->capacity_policy, "one of tn_capacity_policy");
    if (options->chunking_policy < TN_FIRST_COME_FIRST_SERVED || options->chunking_policy > TN_EQUAL_PROGRESS)
        return out_of_range(diag, "chunking_policy", options->chunking_policy, "one of tn_chunking_policy");
    if (options->max_beam_width < 1 || options->max_beam_width > 1024)
        return out_of_range(diag, "max_beam_width", options->max_beam_width, "1 to 1024");
    int32_t window = options->dynamic_batch_moving_average_window;
    if (window < 1 || window > 1 << 20) return out_of_range(diag, "dynamic_batch_moving_average_window", window, "1 to 1048576");
    if (options->secondary_offload_min_priority < -1 || options->secondary_offload_min_priority > 100)
        return out_of_range(diag, "secondary_offload_min_priority", options->secondary_offload_min_priority, "-1 to 100");
    if (options->event_buffer_max_size < 0) return out_of_range(diag, "event_buffer_max_size", options->event_buffer_max_size, "0 or more");
    if (options->iter_stats_max_iterations < 0)
        return out_of_range(diag, "iter_stats_max_iterations", options->iter_stats_max_iterations, "0 or more");
    if (options->request_stats_max_iterations < 0)
        return out_of_range(diag, "request_stats_max_iterations", options->request_stats_max_iterations, "0 or more");
    if (options->max_seq_idle_microseconds < 1 || options->max_seq_idle_microseconds > INT64_MAX / 1000)
        return out_of_range(diag, "max_seq_idle_microseconds", options->max_seq_idle_microseconds, "1 or more");
    if (options->debug_tensors_max_iterations < 0)
        return out_of_range(diag, "debug_tensors_max_iterations", options->debug_tensors_max_iterations, "0 or more");
    return TN_OK;
}

static tn_status check_absent(const tn_executor_options *options, const tn_executor_info *info, tn_diag *diag) {
    if (!options->normalize_log_probs)
        return not_built(diag, "normalize_log_probs", "log-probabilities that are not normalised are not built");
    if (options->max_attention_window < 0) return out_of_range(diag, "max_attention_window", options->max_attention_window, "0 or more");
    if (options->max_attention_window > 0 && options->max_attention_window < info->max_seq_len)
        return not_built(diag, "max_attention_window", "windows are built into plans and cannot be narrowed here");
    if (options->sink_token_length != 0)
        return not_built(diag, "sink_token_length", "sink tokens are built into plans and cannot be set here");
    if ((options->debug_input_tensors || options->debug_output_tensors || options->num_debug_tensor_names > 0) &&
        options->debug_tensors_max_iterations == 0)
        return not_built(diag, "debug_tensors_max_iterations", "0 would write files, which is not built; set how many to keep");
    return TN_OK;
}

tn_status tn_executor_complete_options(tn_executor_options *options, tn_executor_info *info, const tn_engine *engine, tn_diag *diag) {
    tn_status status = check_limits(options, info, diag);
    if (status == TN_OK) status = check_scheduling(options, diag);
    if (status == TN_OK) status = check_absent(options, info, diag);
    if (status != TN_OK) return status;
    if (options->max_batch_size == 0) options->max_batch_size = info->max_batch_size;
    if (options->max_num_tokens == 0) options->max_num_tokens = info->max_num_tokens;
    if (options->max_chunk_tokens == 0) options->max_chunk_tokens = options->max_num_tokens;
    if (options->pipeline_depth == 0) options->pipeline_depth = tn_engine_is_asynchronous(engine) ? 2 : 1;
    if (options->max_num_tokens < options->max_batch_size) options->max_batch_size = options->max_num_tokens;
    if (options->max_beam_width > options->max_batch_size)
        return tn_fail(diag, TN_INVALID_ARGUMENT,
                       "cannot start the executor: max_beam_width is %d, beams are sequences, and a step holds %d",
                       (int)options->max_beam_width, (int)options->max_batch_size);
    int32_t block = info->tokens_per_block;
    if (options->chunk_unit_tokens == 0) options->chunk_unit_tokens = options->max_chunk_tokens < block ? 1 : block;
    info->max_batch_size = options->max_batch_size;
    info->max_beam_width = options->max_beam_width;
    info->max_num_tokens = options->max_num_tokens;
    return TN_OK;
}
