/* SPDX-License-Identifier: Apache-2.0
 *
 * stats_json.c: statistics as JSON with the keys of TensorRT-LLM.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "executor/stats.h"

/* Where text goes: as snprintf does, what does not fit is counted only. */
typedef struct writer {
    char *buffer;
    size_t size, length;
} writer;

static void write_text(writer *out, const char *format, ...) TN_PRINTF(2, 3);
static void write_text(writer *out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t left = out->length < out->size ? out->size - out->length : 0;
    int count = vsnprintf(left > 0 ? out->buffer + out->length : NULL, left, format, arguments);
    va_end(arguments);
    if (count > 0) out->length += (size_t)count;
}

static void write_number(writer *out, const char *name, double value) {
    write_text(out, "\"%s\":%.9g,", name, isfinite(value) ? value : 0.0);
}

static void write_integer(writer *out, const char *name, int64_t value) {
    write_text(out, "\"%s\":%" PRId64 ",", name, value);
}

/* The last member has no comma. */
static void write_last(writer *out, const char *name, double value, const char *end) {
    write_text(out, "\"%s\":%.9g%s", name, isfinite(value) ? value : 0.0, end);
}

static void write_kv_cache(writer *out, const tn_kv_cache_stats *stats) {
    write_text(out, "\"kvCacheStats\":{");
    write_integer(out, "maxNumBlocks", stats->max_num_blocks);
    write_integer(out, "freeNumBlocks", stats->free_num_blocks);
    write_integer(out, "usedNumBlocks", stats->used_num_blocks);
    write_integer(out, "tokensPerBlock", stats->tokens_per_block);
    write_integer(out, "allocTotalBlocks", stats->alloc_total_blocks);
    write_integer(out, "allocNewBlocks", stats->alloc_new_blocks);
    write_integer(out, "reusedBlocks", stats->reused_blocks);
    write_integer(out, "missedBlocks", stats->missed_blocks);
    write_last(out, "cacheHitRate", stats->cache_hit_rate, "},");
}

static void write_batching(writer *out, const tn_iteration_stats *stats) {
    if (stats->has_static_batching_stats) {
        const tn_static_batching_stats *batching = &stats->static_batching_stats;
        write_text(out, "\"staticBatchingStats\":{");
        write_integer(out, "numScheduledRequests", batching->num_scheduled_requests);
        write_integer(out, "numContextRequests", batching->num_context_requests);
        write_integer(out, "numCtxTokens", batching->num_ctx_tokens);
        write_integer(out, "numGenTokens", batching->num_gen_tokens);
        write_last(out, "emptyGenSlots", batching->empty_gen_slots, "},\"inflightBatchingStats\":null,");
        return;
    }
    const tn_inflight_batching_stats *batching = &stats->inflight_batching_stats;
    write_text(out, "\"staticBatchingStats\":null,\"inflightBatchingStats\":{");
    write_integer(out, "numScheduledRequests", batching->num_scheduled_requests);
    write_integer(out, "numContextRequests", batching->num_context_requests);
    write_integer(out, "numGenRequests", batching->num_gen_requests);
    write_integer(out, "numPausedRequests", batching->num_paused_requests);
    write_integer(out, "numCtxTokens", batching->num_ctx_tokens);
    write_integer(out, "microBatchId", batching->micro_batch_id);
    write_last(out, "avgNumDecodedTokensPerIter", (double)batching->avg_num_decoded_tokens_per_iter, "},");
}

size_t tn_iteration_stats_to_json(const tn_iteration_stats *stats, char *buffer, size_t size) {
    writer out = {buffer, size, 0};
    write_text(&out, "{\"timestamp\":\"%.*s\",", (int)sizeof stats->timestamp, stats->timestamp);
    write_integer(&out, "iter", (int64_t)stats->iter);
    write_number(&out, "iterLatencyMS", stats->iter_latency_ms);
    write_number(&out, "newActiveRequestsQueueLatencyMS", stats->new_active_requests_queue_latency_ms);
    write_integer(&out, "numNewActiveRequests", stats->num_new_active_requests);
    write_integer(&out, "numActiveRequests", stats->num_active_requests);
    write_integer(&out, "numQueuedRequests", stats->num_queued_requests);
    write_integer(&out, "numCompletedRequests", stats->num_completed_requests);
    write_integer(&out, "maxNumActiveRequests", stats->max_num_active_requests);
    write_integer(&out, "maxBatchSizeStatic", stats->max_batch_size_static);
    write_integer(&out, "maxBatchSizeTunerRecommended", stats->max_batch_size_tuner_recommended);
    write_integer(&out, "maxBatchSizeRuntime", stats->max_batch_size_runtime);
    write_integer(&out, "maxNumTokensStatic", stats->max_num_tokens_static);
    write_integer(&out, "maxNumTokensTunerRecommended", stats->max_num_tokens_tuner_recommended);
    write_integer(&out, "maxNumTokensRuntime", stats->max_num_tokens_runtime);
    write_integer(&out, "gpuMemUsage", (int64_t)stats->gpu_mem_usage);
    write_integer(&out, "cpuMemUsage", (int64_t)stats->cpu_mem_usage);
    write_integer(&out, "pinnedMemUsage", (int64_t)stats->pinned_mem_usage);
    write_kv_cache(&out, &stats->kv_cache_stats);
    write_batching(&out, stats);
    write_text(&out, "\"specDecodingStats\":null}");
    return out.length;
}

const char *tn_request_stage_name(tn_request_stage stage) {
    static const char *const names[] = {"QUEUED", "ENCODER_IN_PROGRESS", "CONTEXT_IN_PROGRESS", "GENERATION_IN_PROGRESS",
                                        "GENERATION_COMPLETE"};
    return (unsigned)stage < sizeof names / sizeof *names ? names[stage] : "QUEUED";
}

static void write_request(writer *out, const tn_request_stats *stats) {
    write_text(out, "{");
    write_text(out, "\"id\":%" PRIu64 ",\"stage\":\"%s\",", stats->id, tn_request_stage_name(stats->stage));
    write_integer(out, "contextPrefillPosition", stats->context_prefill_position);
    write_integer(out, "numGeneratedTokens", stats->num_generated_tokens);
    write_number(out, "avgNumDecodedTokensPerIter", (double)stats->avg_num_decoded_tokens_per_iter);
    write_text(out, "\"scheduled\":%s,\"paused\":%s,", stats->scheduled ? "true" : "false", stats->paused ? "true" : "false");
    write_text(out, "\"disServingStats\":null,");
    write_integer(out, "allocTotalBlocksPerRequest", stats->alloc_total_blocks);
    write_integer(out, "allocNewBlocksPerRequest", stats->alloc_new_blocks);
    write_integer(out, "reusedBlocksPerRequest", stats->reused_blocks);
    write_integer(out, "missedBlocksPerRequest", stats->missed_blocks);
    write_last(out, "kvCacheHitRatePerRequest", stats->kv_cache_hit_rate, "}");
}

size_t tn_request_stats_to_json(const tn_request_stats *stats, char *buffer, size_t size) {
    writer out = {buffer, size, 0};
    write_request(&out, stats);
    return out.length;
}

size_t tn_request_stats_list_to_json(const tn_request_stats_list *list, char *buffer, size_t size) {
    writer out = {buffer, size, 0};
    write_text(&out, "{\"iter\":%" PRIu64 ",\"requestStats\":[", list->iter);
    for (size_t i = 0; i < list->requests.count; i++) {
        if (i > 0) write_text(&out, ",");
        write_request(&out, &list->requests.data[i]);
    }
    write_text(&out, "]}");
    return out.length;
}
