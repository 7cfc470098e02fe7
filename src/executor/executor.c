/* SPDX-License-Identifier: Apache-2.0
 *
 * executor.c: creating and ending an executor.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/report.h"
#include "base/text.h"
#include "executor/executor_internal.h"
#include "executor/options.h"
#include "executor/wait.h"
#include "format/json.h"

/* What the plan says of the model it was built from (model/model_info.h writes it). */
static tn_status read_model_info(tn_executor *executor, tn_diag *diag) {
    tn_executor_info *info = &executor->info;
    const char *text = tn_engine_model_info(executor->engine);
    tn_json *json;
    tn_status status = tn_json_parse("the plan's model", text, strlen(text), NULL, &executor->allocator, diag, &json);
    if (status != TN_OK) return status;
    const tn_json_value *root = tn_json_root(json);
    int64_t batch_size = 0, num_tokens = 0, tokens_per_block = 0, max_log_probs = 0;
    status = tn_json_get_integer(root, "vocab_size", 1, INT32_MAX, diag, &info->vocab_size);
    if (status == TN_OK) status = tn_json_get_integer(root, "max_seq_len", 1, INT32_MAX / 2, diag, &info->max_seq_len);
    if (status == TN_OK) status = tn_json_get_integer(root, "max_batch_size", 1, 1 << 20, diag, &batch_size);
    if (status == TN_OK) status = tn_json_get_integer(root, "max_num_tokens", 1, 1 << 24, diag, &num_tokens);
    if (status == TN_OK) status = tn_json_get_integer(root, "tokens_per_block", 16, 256, diag, &tokens_per_block);
    if (status == TN_OK) status = tn_json_get_integer(root, "max_log_probs", 0, info->vocab_size, diag, &max_log_probs);
    if (status == TN_OK) status = tn_json_get_integer_or(root, TN_OUTPUT_HIDDEN_STATES, 1, 1 << 24, 0, diag, &info->hidden_size);
    info->max_batch_size = (int32_t)batch_size;
    info->max_num_tokens = (int32_t)num_tokens;
    info->tokens_per_block = (int32_t)tokens_per_block;
    info->max_log_probs = (int32_t)max_log_probs;
    tn_json_destroy(json);
    return status;
}

static tn_status size_cache(tn_executor *executor, tn_diag *diag) {
    tn_executor_info *info = &executor->info;
    size_t block_bytes = 0;
    for (int i = 0; i < tn_engine_num_states(executor->engine); i++) {
        const tn_state_info *state = tn_engine_get_state(executor->engine, i);
        if (strcmp(state->kind, "kv") == 0) block_bytes += state->unit_bytes;
    }
    if (block_bytes == 0) return tn_fail(diag, TN_INVALID_DATA, "cannot start the executor: the plan is no decoder: it has no cache");
    int64_t blocks_of_one = tn_ceil_div(info->max_seq_len, info->tokens_per_block);
    int64_t wanted = executor->options.max_cache_tokens > 0 ? tn_ceil_div(executor->options.max_cache_tokens, info->tokens_per_block)
                                                            : blocks_of_one * info->max_batch_size;
    int64_t held = (int64_t)((double)tn_engine_available_memory_bytes(executor->engine) * executor->options.cache_memory_fraction /
                             (double)block_bytes);
    info->num_blocks = wanted < held ? wanted : held;
    if (executor->options.max_cache_bytes > 0 && (uint64_t)info->num_blocks > executor->options.max_cache_bytes / block_bytes)
        info->num_blocks = (int64_t)(executor->options.max_cache_bytes / block_bytes);
    executor->num_host_slots = (int64_t)(executor->options.host_cache_bytes / block_bytes);
    if (executor->num_host_slots > INT32_MAX / 4) executor->num_host_slots = INT32_MAX / 4;
    if (info->num_blocks > INT32_MAX / 4) info->num_blocks = INT32_MAX / 4;
    info->cache_bytes = (size_t)info->num_blocks * block_bytes;
    if (info->num_blocks > 0) return TN_OK;
    char need[32], have[32];
    if (executor->options.max_cache_bytes > 0 && executor->options.max_cache_bytes < block_bytes)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the executor: max_cache_bytes is %zu, a block needs %zu",
                       executor->options.max_cache_bytes, block_bytes);
    tn_where where = {.hint = "free memory, or build with a smaller --max-seq-len"};
    return tn_fail_at(diag, TN_OUT_OF_MEMORY, &where, "cannot start the executor: a block of the cache needs %s, %s are free",
                      tn_format_bytes(block_bytes, need), tn_format_bytes(tn_engine_available_memory_bytes(executor->engine), have));
}

static tn_status create_locks(tn_executor *executor, tn_diag *diag) {
    executor->has_lock =
        pthread_mutex_init(&executor->lock, NULL) == 0 && tn_condition_init(&executor->work) && tn_condition_init(&executor->progress);
    return executor->has_lock ? TN_OK : tn_fail(diag, TN_UNAVAILABLE, "cannot start the executor: the system gives no locks");
}

static tn_status create_cache(tn_executor *executor, tn_diag *diag) {
    const tn_executor_options *options = &executor->options;
    tn_status status = TN_OK;
    if (options->event_buffer_max_size > 0)
        status = tn_kv_events_create(options->event_buffer_max_size, &executor->allocator, diag, &executor->events);
    if (status != TN_OK) return status;
    tn_kv_events_created(executor->events, executor->info.num_blocks, executor->num_host_slots);
    tn_kv_events_show(executor->events);
    tn_kv_cache_options cache = {
        .num_blocks = (int32_t)executor->info.num_blocks,
        .tokens_per_block = executor->info.tokens_per_block,
        .num_host_slots = (int32_t)executor->num_host_slots,
        .max_copies = executor->info.max_batch_size, /* a beam asks for one in a step */
        .enable_partial_reuse = options->enable_partial_reuse,
        .copy_on_partial_reuse = options->copy_on_partial_reuse,
        .onboard_blocks = options->onboard_blocks,
        .offload_min_priority = options->secondary_offload_min_priority,
        .events = executor->events,
    };
    return tn_kv_cache_create(&cache, &executor->allocator, diag, &executor->cache);
}

/* How far back any layer looks; 0: to the beginning. */
static void find_window(const tn_engine *engine, tn_scheduler_options *options) {
    bool has_all = true;
    for (int i = 0; i < tn_engine_num_states(engine); i++) {
        const tn_state_info *state = tn_engine_get_state(engine, i);
        if (strcmp(state->kind, "kv") != 0) continue;
        has_all = has_all && state->window > 0 && state->window < INT32_MAX / 4 && state->sink_tokens < INT32_MAX / 4;
        if (!has_all) break;
        if (state->window > options->window) options->window = (int32_t)state->window;
        if (state->sink_tokens > options->sink_tokens) options->sink_tokens = (int32_t)state->sink_tokens;
    }
    if (!has_all) options->window = options->sink_tokens = 0;
}

static tn_status create_scheduler(tn_executor *executor, tn_diag *diag) {
    const tn_executor_options *options = &executor->options;
    const tn_executor_info *info = &executor->info;
    tn_scheduler_options scheduler = {
        .policy = options->capacity_policy,
        .limits = {.max_num_tokens = options->max_num_tokens,
                   .max_chunk_tokens = options->max_chunk_tokens,
                   .chunk_unit = options->chunk_unit_tokens,
                   .allow_chunks = options->enable_chunked_context,
                   .policy = options->chunking_policy},
        .max_batch_size = info->max_batch_size,
        .tokens_per_block = info->tokens_per_block,
        .enable_block_reuse = options->enable_block_reuse,
    };
    find_window(executor->engine, &scheduler);
    int32_t most_held = tn_scheduler_most_held(&scheduler);
    executor->info.max_blocks_per_request = most_held < INT32_MAX ? most_held : 0;
    tn_status status = tn_scheduler_init(&executor->scheduler, &scheduler, executor->cache, &executor->arena, diag);
    if (status != TN_OK) return status;
    executor->deadlines = (tn_heap){.is_before = tn_sequence_times_out_before, .order = 1};
    bool is_ok = tn_batch_tuner_init(&executor->tuner, info->num_blocks * info->tokens_per_block, info->max_batch_size,
                                     info->max_num_tokens, options->dynamic_batch_moving_average_window, &executor->arena) &&
                 tn_stats_init(&executor->stats, options->iter_stats_max_iterations, options->request_stats_max_iterations,
                               &executor->allocator, &executor->arena) &&
                 tn_debug_ring_init(&executor->debug, options, &executor->allocator, &executor->arena);
    return is_ok ? TN_OK : tn_fail_memory(diag, "the executor", executor->arena.used_bytes);
}

/* The caller's array goes away; names and users stay known. */
static tn_status copy_post_processors(tn_executor *executor, tn_diag *diag) {
    tn_executor_options *options = &executor->options;
    size_t count = options->num_logits_post_processors;
    tn_logits_post_processor *copy = tn_arena_alloc_array(&executor->arena, count, sizeof *copy);
    if (copy == NULL) return tn_fail_memory(diag, "the executor", count * sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = options->logits_post_processors[i];
        if (copy[i].name == NULL || copy[i].callback == NULL)
            return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot start the executor: logits post-processor %zu has no name or no callback", i);
        copy[i].name = tn_arena_string(&executor->arena, copy[i].name);
        if (copy[i].name == NULL) return tn_fail_memory(diag, "the executor", count * sizeof *copy);
    }
    options->logits_post_processors = copy;
    return TN_OK;
}

static tn_status create_parts(tn_executor *executor, tn_diag *diag) {
    tn_executor_info *info = &executor->info;
    tn_step_runner_options runner = {
        .max_batch_size = info->max_batch_size,
        .max_num_tokens = info->max_num_tokens,
        .max_blocks = (int32_t)tn_ceil_div(info->max_seq_len, info->tokens_per_block),
        .num_slots = info->max_batch_size,
        .top_columns = info->max_log_probs + 1,
        .num_blocks = info->num_blocks,
        .num_host_slots = executor->num_host_slots,
        .vocab_size = info->vocab_size,
        .hidden_size = info->hidden_size,
        .batched_callback = executor->options.batched_logits_post_processor,
        .batched_user = executor->options.batched_logits_post_processor_user,
    };
    tn_status status = copy_post_processors(executor, diag);
    if (status == TN_OK) status = create_cache(executor, diag);
    if (status == TN_OK) status = create_scheduler(executor, diag);
    if (status == TN_OK) status = tn_step_runner_init(&executor->runner, executor->engine, &runner, &executor->arena, diag);
    for (int i = 0; status == TN_OK && i < executor->options.pipeline_depth; i++)
        status = tn_engine_step_init(&executor->steps[i], &executor->runner, &executor->arena, diag);
    if (status != TN_OK) return status;
    tn_debug_ring_attach(&executor->debug, &executor->runner);
    executor->num_buckets = 64;
    executor->buckets = tn_alloc_array(&executor->allocator, executor->num_buckets, sizeof *executor->buckets);
    if (executor->buckets == NULL) return tn_fail_memory(diag, "the executor", executor->arena.used_bytes);
    executor->info.num_free_blocks = info->num_blocks;
    return TN_OK;
}

static tn_status start(tn_executor *executor, tn_engine *engine, tn_diag *diag) {
    executor->engine = engine;
    executor->is_on_host = !tn_engine_is_asynchronous(engine);
    executor->next_id = 1;
    tn_status status = create_locks(executor, diag);
    if (status == TN_OK) status = read_model_info(executor, diag);
    if (status == TN_OK) status = tn_executor_complete_options(&executor->options, &executor->info, executor->engine, diag);
    if (status == TN_OK) status = size_cache(executor, diag);
    if (status == TN_OK) status = create_parts(executor, diag);
    if (status != TN_OK) return status;
    if (pthread_create(&executor->thread, NULL, tn_executor_loop, executor) != 0)
        return tn_fail(diag, TN_UNAVAILABLE, "cannot start the executor: the system gives no thread");
    executor->has_thread = true;
    return TN_OK;
}

static tn_executor *allocate(const tn_executor_options *options) {
    tn_executor *executor = tn_alloc_zero(options->allocator, sizeof *executor);
    if (executor == NULL) return NULL;
    if (options->allocator != NULL) executor->allocator = *options->allocator;
    executor->arena.allocator = &executor->allocator;
    executor->options = *options;
    return executor;
}

tn_status tn_executor_create_from_engine(tn_engine *engine, const tn_executor_options *options, tn_executor **out_executor) {
    *out_executor = NULL;
    tn_executor_options defaults;
    tn_executor_options_init(&defaults);
    if (options == NULL) options = &defaults;
    tn_executor *executor = allocate(options);
    if (executor == NULL) return tn_fail_memory(options->diag, "the executor", sizeof *executor);
    tn_status status = start(executor, engine, options->diag);
    if (status != TN_OK) {
        tn_executor_destroy(executor);
        return status;
    }
    *out_executor = executor;
    return TN_OK;
}

tn_status tn_executor_create(const char *path, const tn_executor_options *options, tn_executor **out_executor) {
    *out_executor = NULL;
    tn_executor_options defaults;
    tn_executor_options_init(&defaults);
    if (options == NULL) options = &defaults;
    tn_executor *executor = allocate(options);
    if (executor == NULL) return tn_fail_memory(options->diag, "the executor", sizeof *executor);
    tn_status status = TN_OUT_OF_MEMORY;
    char *plan_path =
        tn_path_is_directory(path) ? tn_path_join(&executor->allocator, path, "rank0.plan") : tn_copy_string(&executor->allocator, path);
    if (plan_path == NULL) {
        tn_fail_memory(options->diag, "a path", strlen(path));
        goto cleanup;
    }
    tn_engine_options engine_options;
    tn_engine_options_init(&engine_options);
    engine_options.diag = options->diag;
    engine_options.allocator = options->allocator;
    engine_options.device = options->device;
    status = tn_engine_load(plan_path, &engine_options, &executor->owned_engine);
    if (status == TN_OK) status = start(executor, executor->owned_engine, options->diag);

cleanup:
    tn_free(&executor->allocator, plan_path);
    if (status != TN_OK) {
        tn_executor_destroy(executor);
        return status;
    }
    *out_executor = executor;
    return TN_OK;
}

void tn_executor_shutdown(tn_executor *executor, bool drain) {
    pthread_mutex_lock(&executor->lock);
    executor->is_draining = drain && (!executor->is_stopping || executor->is_draining);
    executor->is_stopping = true;
    pthread_cond_signal(&executor->work);
    while (executor->has_thread && !executor->is_stopped) pthread_cond_wait(&executor->progress, &executor->lock);
    pthread_mutex_unlock(&executor->lock);
}

void tn_executor_destroy(tn_executor *executor) {
    if (executor == NULL) return;
    if (executor->has_thread) {
        tn_executor_shutdown(executor, false);
        pthread_join(executor->thread, NULL);
    }
    for (size_t i = 0; executor->buckets != NULL && i < executor->num_buckets; i++)
        while (executor->buckets[i] != NULL) tn_executor_remove(executor, executor->buckets[i]);
    tn_free(&executor->allocator, executor->buckets);
    tn_heap_deinit(&executor->scheduler.queue, &executor->allocator);
    tn_heap_deinit(&executor->deadlines, &executor->allocator);
    tn_stats_deinit(&executor->stats);
    tn_debug_ring_deinit(&executor->debug);
    for (int i = 0; i < TN_MAX_PIPELINE_DEPTH; i++) tn_engine_step_deinit(&executor->steps[i]);
    tn_step_runner_deinit(&executor->runner);
    tn_kv_cache_destroy(executor->cache);
    tn_kv_events_destroy(executor->events);
    tn_engine_destroy(executor->owned_engine);
    if (executor->has_lock) {
        pthread_cond_destroy(&executor->work);
        pthread_cond_destroy(&executor->progress);
        pthread_mutex_destroy(&executor->lock);
    }
    tn_arena_deinit(&executor->arena);
    tn_allocator allocator = executor->allocator;
    tn_free(&allocator, executor);
}

tn_kv_event_manager *tn_executor_get_kv_event_manager(tn_executor *executor) {
    return executor->events;
}

tn_status tn_executor_take_debug_tensors(tn_executor *executor, tn_debug_tensors **out_tensors) {
    pthread_mutex_lock(&executor->lock);
    *out_tensors = tn_debug_ring_take(&executor->debug);
    pthread_mutex_unlock(&executor->lock);
    return *out_tensors != NULL ? TN_OK : TN_NOT_FOUND;
}

void tn_executor_get_info(tn_executor *executor, tn_executor_info *out_info) {
    pthread_mutex_lock(&executor->lock);
    *out_info = executor->info;
    pthread_mutex_unlock(&executor->lock);
}
