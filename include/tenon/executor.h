/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/executor.h: requests in, tokens out: in-flight batching over a paged key/value cache. Names and rules are those of
 * TensorRT-LLM's Executor API; docs/executor.md lists where they differ.
 *
 *     tn_executor *ex;                 tn_executor_create("engine_dir", NULL, &ex);
 *     tn_request req;                  tn_request_init(&req, ids, num_ids, 64);        // max_tokens
 *     req.streaming = true;
 *     uint64_t id;                     tn_executor_enqueue(ex, &req, &id);
 *     tn_response *resp;
 *     for (bool done = false; !done && tn_executor_await(ex, id, TN_FOREVER, &resp) == TN_OK; tn_response_destroy(resp)) {
 *         done = tn_response_is_final(resp);
 *         …                            // tn_response_ids(resp, &n)
 *     }
 *     tn_executor_destroy(ex);
 *
 * Threads: one loop thread belongs to the executor; every function may be called from any thread. A request's answer on the
 * cpu is the same bits whatever runs beside it.
 * A request is copied by enqueue. A response is the caller's and independent of the executor. A request lives until its final
 * response is taken; after that its id is TN_NOT_FOUND.
 */
#ifndef TENON_EXECUTOR_H_
#define TENON_EXECUTOR_H_

#include "tenon/engine.h"
#include "tenon/executor_stats.h"
#include "tenon/request.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_executor tn_executor;
typedef struct tn_response tn_response;

#define TN_FOREVER (-1) /* of timeout_ms */

/* --- executor ------------------------------------------------------------------------------------------------------- */

typedef enum tn_capacity_policy {
    /* Starts what this step has blocks for. When a running request finds none, the one that started last gives up its blocks and
     * is read again later, prompt and generated tokens: visible only as latency. When all places are taken, a request of higher
     * priority takes that of the lowest. */
    TN_MAX_UTILIZATION = 0,
    /* Starts a request only if the blocks for its prompt and max_tokens are there beside those of all running ones: never pauses. */
    TN_GUARANTEED_NO_EVICT = 1,
    /* The same, but a new batch starts only after the whole batch before it ended. */
    TN_STATIC_BATCH = 2,
} tn_capacity_policy;

/* How prompts share what generation leaves of max_num_tokens. */
typedef enum tn_chunking_policy {
    TN_FIRST_COME_FIRST_SERVED = 0, /* each takes as much as fits, in order */
    TN_EQUAL_PROGRESS = 1,          /* all grow by one chunk unit in turn until it is spent */
} tn_chunking_policy;

typedef struct tn_logits_post_processor {
    const char *name;
    tn_logits_callback callback;
    void *user; /* borrowed; must outlive the executor */
} tn_logits_post_processor;

typedef struct tn_executor_options {
    size_t struct_size;            /* set by tn_executor_options_init */
    tn_diag *diag;                 /* borrowed for the create call; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
    tn_device *device;             /* for tn_executor_create; borrowed; NULL: one of the plan's backend */
    int32_t max_batch_size;        /* sequences in a step; 0: what the engine was built for, which is also the most */
    int32_t max_num_tokens;        /* tokens in a step; 0: as above */
    int64_t max_cache_tokens;      /* of the key/value cache; 0: max_batch_size · max_seq_len or as much as cache_memory_fraction holds */
    double cache_memory_fraction;  /* of the memory that is free; default 0.9 */
    bool enable_block_reuse;       /* default true: prompts that begin alike share blocks. Off, a model whose layers all have a window
                                    * gives back the blocks behind it while it runs */
    bool enable_chunked_context;   /* default true: a long prompt is read in several steps */
    int32_t max_chunk_tokens;      /* of one prompt in one step; 0: max_num_tokens. A chunk may end at any token */
    int32_t max_queue_size;        /* waiting sequences; 0: no limit. Beyond it enqueue answers TN_UNAVAILABLE */
    int32_t pipeline_depth;        /* 0: 1 on synchronous devices, 2 on others */
    /* A request that the engine cannot serve (all checks but struct_size, post-processor names and the queue's limit) is refused
     * by enqueue (false, default), or gets an id and answers with an error response, as in TensorRT-LLM (true). */
    bool errors_as_responses;
    /* Default 1; at most max_batch_size: beams count as sequences of a step. Requests of different widths run side by side. Of a
     * request the capacity policy counts the blocks of all its beams: those of the prompt once, of what follows beam_width times. */
    int32_t max_beam_width;

    /* SchedulerConfig */
    tn_capacity_policy capacity_policy; /* default TN_GUARANTEED_NO_EVICT */
    tn_chunking_policy chunking_policy; /* default TN_FIRST_COME_FIRST_SERVED */
    int32_t chunk_unit_tokens;          /* chunks that do not end a prompt end at a multiple of it; 0: a block, or 1 where
                                         * max_chunk_tokens is less than a block */
    /* DynamicBatchConfig: the batch (of those allowed) that fits the cache by the lengths of the last requests. Default off. */
    bool enable_batch_size_tuning, enable_max_num_tokens_tuning;
    int32_t dynamic_batch_moving_average_window; /* requests; default 128 */

    /* KvCacheConfig, beside max_cache_tokens, cache_memory_fraction, enable_block_reuse */
    size_t max_cache_bytes;                 /* another limit of the cache; the smallest counts. 0: none */
    bool enable_partial_reuse;              /* default true: the first tokens of a block are reused too, by a copy */
    bool copy_on_partial_reuse;             /* default true; false: such a block is taken over if nobody uses it, never copied */
    int32_t max_attention_window;           /* 0: as built. Smaller than the context is refused by name: windows are built into plans */
    int32_t sink_token_length;              /* 0: as built; else refused by name */
    size_t host_cache_bytes;                /* memory for blocks that the cache has no room for; 0: off */
    bool onboard_blocks;                    /* default true: blocks come back from there to be reused */
    int32_t secondary_offload_min_priority; /* only blocks of a priority above it go there; default −1: all */
    int32_t event_buffer_max_size;          /* key/value cache events that are kept; 0: off */

    /* LogitsPostProcessorConfig; copied, users borrowed */
    const tn_logits_post_processor *logits_post_processors;
    size_t num_logits_post_processors;
    tn_logits_callback batched_logits_post_processor;
    void *batched_logits_post_processor_user;

    /* Statistics: how many iterations are kept; 0: off */
    int32_t iter_stats_max_iterations;    /* default 1000 */
    int32_t request_stats_max_iterations; /* default 0. These are allocated while the loop runs */

    /* DebugConfig: inputs and outputs of the engine's functions after each step, kept for that many iterations; 0: off */
    bool debug_input_tensors, debug_output_tensors;
    const char *const *debug_tensor_names; /* more of them by name; copied */
    size_t num_debug_tensor_names;
    int32_t debug_tensors_max_iterations;

    bool normalize_log_probs; /* default true: log-probabilities of a token's alternatives sum to 1. false is refused by name */
    /* A request that runs but got into no step for so long ends with TN_FINISH_TIMED_OUT and gives its place to others. > 0; default
     * 180,000,000 */
    int64_t max_seq_idle_microseconds;
} tn_executor_options;
TN_API void tn_executor_options_init(tn_executor_options *options);

/* path: an engine directory (rank0.plan) or a plan file. Errors of tn_engine_load; TN_INVALID_DATA if the plan is no decoder;
 * TN_INVALID_ARGUMENT, TN_UNSUPPORTED: an option, named; TN_OUT_OF_MEMORY with the table of what was needed. */
TN_API TN_MUST_CHECK tn_status tn_executor_create(const char *path, const tn_executor_options *options, tn_executor **out_executor);
/* The engine is borrowed and must outlive the executor. */
TN_API TN_MUST_CHECK tn_status tn_executor_create_from_engine(tn_engine *engine, const tn_executor_options *options,
                                                              tn_executor **out_executor);
/* Cancels what is left, waits for the step at hand. Accepts NULL. */
TN_API void tn_executor_destroy(tn_executor *executor);
/* Stops taking requests; those taken are finished if drain, else cancelled. Blocks until the loop has stopped, wakes all who
 * wait. Responses that are ready can still be taken. May be called again. */
TN_API void tn_executor_shutdown(tn_executor *executor, bool drain);
/* False after shutdown, and while the queue is full. */
TN_API bool tn_executor_can_enqueue(tn_executor *executor);

/* --- requests: see tenon/request.h ------------------------------------------------------------------------------------------ */

/* Checks, copies, queues. Ids count up from 1; a request with num_return_sequences = n takes n of them.
 * TN_INVALID_ARGUMENT  a field out of range, an id outside the vocabulary, or a prompt that does not fit the context (with
 *                      both numbers): the message names the field
 * TN_UNSUPPORTED       a feature that is not built, by name; an additional output that the plan does not give
 * TN_NOT_FOUND         no post-processor of that name
 * TN_UNAVAILABLE       the queue is full, or the executor is shutting down
 * diag NULL: stderr */
TN_API TN_MUST_CHECK tn_status tn_executor_enqueue_diag(tn_executor *executor, const tn_request *request, tn_diag *diag, uint64_t *out_id);
TN_API TN_MUST_CHECK tn_status tn_executor_enqueue(tn_executor *executor, const tn_request *request, uint64_t *out_id);
/* All of them or none: the first that cannot be queued decides. out_ids [num_requests] */
TN_API TN_MUST_CHECK tn_status tn_executor_enqueue_many(tn_executor *executor, const tn_request *requests, size_t num_requests,
                                                        tn_diag *diag, uint64_t *out_ids);

/* The next response of a request; several threads may wait for one id, each gets another response.
 * TN_TIMED_OUT      none within timeout_ms (≥ 0; TN_FOREVER waits)
 * TN_NOT_FOUND      no such request, or its final response was taken
 * TN_OUT_OF_MEMORY  nothing is lost: the response waits for the next call */
TN_API TN_MUST_CHECK tn_status tn_executor_await(tn_executor *executor, uint64_t id, int64_t timeout_ms, tn_response **out_response);
/* The next response of any request, in order of readiness; a request's first ones stand before the others. TN_NOT_FOUND: no request is
 * left. */
TN_API TN_MUST_CHECK tn_status tn_executor_await_any(tn_executor *executor, int64_t timeout_ms, tn_response **out_response);
/* Waits for the first response of any request, one that is enqueued meanwhile included, then takes all that are ready, at most
 * max_responses (≥ 1). TN_TIMED_OUT; TN_UNAVAILABLE: the executor shut down and nothing is left. */
TN_API TN_MUST_CHECK tn_status tn_executor_await_all_ready(tn_executor *executor, int64_t timeout_ms, tn_response **out_responses,
                                                           size_t max_responses, size_t *out_count);
/* For those who wait for other things too, an event loop say: `callback` is called after each step that made responses ready, and when the
 * executor has stopped, by the executor's thread, which waits for it: it is quick (a write to an eventfd) and calls no function of the
 * executor. Who is told takes all that is ready, by tn_executor_await_all_ready without a time-out. One listener: setting another one, or
 * NULL, waits until no call of the one before is under way. Threads that await responses beside it are woken as ever. */
typedef void (*tn_responses_callback)(void *user);
TN_API void tn_executor_set_listener(tn_executor *executor, tn_responses_callback callback, void *user);
/* The next response of each of these requests, waited for one after the other within one time-out: out_responses[i] of ids[i],
 * NULL where there is none. TN_OK if all have one; else TN_TIMED_OUT, or TN_NOT_FOUND if some id is unknown or used up. */
TN_API TN_MUST_CHECK tn_status tn_executor_await_ids(tn_executor *executor, const uint64_t *ids, size_t num_ids, int64_t timeout_ms,
                                                     tn_response **out_responses);
/* Responses that can be taken at once. id 0: of all requests. 0 for unknown ids. */
TN_API int32_t tn_executor_num_responses_ready(tn_executor *executor, uint64_t id);

/* Takes effect by the next step: blocks are freed, final responses of all its sequences with CANCELLED come. Unknown and
 * finished ids: no effect. */
TN_API void tn_executor_cancel(tn_executor *executor, uint64_t id);

/* --- responses ------------------------------------------------------------------------------------------------------------ */

typedef enum tn_finish_reason {
    TN_FINISH_NOT_FINISHED = 0,
    TN_FINISH_END_ID = 1,
    TN_FINISH_STOP_WORDS = 2,
    TN_FINISH_LENGTH = 3,
    TN_FINISH_TIMED_OUT = 4, /* allotted_time_ms, max_seq_idle_microseconds */
    TN_FINISH_CANCELLED = 5,
} tn_finish_reason;
TN_API const char *tn_finish_reason_name(tn_finish_reason reason); /* "end_id", "length" … */

TN_API void tn_response_destroy(tn_response *response); /* accepts NULL */
TN_API uint64_t tn_response_id(const tn_response *response);
TN_API uint64_t tn_response_client_id(const tn_response *response);
TN_API bool tn_response_has_client_id(const tn_response *response);
/* Of num_return_sequences: which one this response is of. It is final when all are done and this is the last response of all. */
TN_API int32_t tn_response_sequence_index(const tn_response *response);
TN_API bool tn_response_is_sequence_final(const tn_response *response);
TN_API bool tn_response_is_final(const tn_response *response);
/* Of its sequence; NOT_FINISHED unless this is the sequence's last response. */
TN_API tn_finish_reason tn_response_finish_reason(const tn_response *response);
/* NULL: none. The request failed; the executor goes on. */
TN_API const char *tn_response_error(const tn_response *response);
TN_API tn_status tn_response_status(const tn_response *response);
/* Generated tokens: of streaming requests those since the last response (or all: return_all_generated_tokens), else all. Lent. */
TN_API const int32_t *tn_response_ids(const tn_response *response, size_t *out_count);
/* Of token i of this response: its own log-probability, then the K largest: K + 1 pairs. Lent; NULL if not asked for. */
typedef struct tn_log_prob {
    int32_t id;
    float value;
} tn_log_prob;
TN_API const tn_log_prob *tn_response_log_probs(const tn_response *response, size_t token, size_t *out_count);
/* Sum over all tokens generated so far; 0 if log-probabilities were not asked for and there are no beams. */
TN_API float tn_response_cum_log_prob(const tn_response *response);
TN_API const float *tn_response_prompt_log_probs(const tn_response *response, size_t *out_count); /* [num_input_ids − 1] */
TN_API const float *tn_response_context_logits(const tn_response *response);                      /* [num_input_ids, vocab] */
TN_API const float *tn_response_generation_logits(const tn_response *response);                   /* [tokens of this response, vocab] */
/* Rows of an additional output that the request asked for. Lent; NULL and 0 if it did not, and for unknown names. Those of the context
 * come with the final response, and with the first of a streaming request: [num_input_ids, columns]; of generated tokens: [tokens of
 * this response, columns]. */
TN_API const float *tn_response_context_output(const tn_response *response, const char *name, size_t *out_columns);
TN_API const float *tn_response_generation_output(const tn_response *response, const char *name, size_t *out_columns);

/* Beam search: one response has all beams that the request wants (num_return_sequences), the best first; sequence_index is 0. The
 * functions above speak of beam 0. A response of a request that streams, before its last, has the beams that run then: fewer where
 * fewer are left. Arguments are checked: NULL, 0 and NOT_FINISHED beyond num_beams. 1 without beam search. */
TN_API int32_t tn_response_num_beams(const tn_response *response);
TN_API const int32_t *tn_response_beam_ids(const tn_response *response, int32_t beam, size_t *out_count);
TN_API tn_finish_reason tn_response_beam_finish_reason(const tn_response *response, int32_t beam);
TN_API const tn_log_prob *tn_response_beam_log_probs(const tn_response *response, int32_t beam, size_t token, size_t *out_count);
TN_API float tn_response_beam_cum_log_prob(const tn_response *response, int32_t beam); /* with beam search always, asked for or not */
TN_API float tn_response_beam_score(const tn_response *response, int32_t beam);        /* cum_log_prob / (tokens ^ length_penalty) */
TN_API const float *tn_response_beam_generation_logits(const tn_response *response, int32_t beam); /* [tokens of the beam, vocab] */
TN_API const float *tn_response_beam_generation_output(const tn_response *response, int32_t beam, const char *name, size_t *out_columns);

/* max_tokens after lowering; equal to the request's if it was not lowered. */
TN_API int32_t tn_response_max_tokens(const tn_response *response);
/* Iterations that its sequence took until the last token of this response, the one that read the end of the prompt included. */
TN_API int32_t tn_response_decoding_iter(const tn_response *response);
typedef struct tn_request_timings {
    int64_t queued_ns, first_token_ns, last_token_ns; /* since enqueue: when it was scheduled first, its first and last token */
    int32_t num_prompt_tokens, num_reused_tokens, num_generated_tokens;
} tn_request_timings;
TN_API void tn_response_timings(const tn_response *response, tn_request_timings *out_timings);
/* False: not asked for. */
TN_API bool tn_response_perf_metrics(const tn_response *response, tn_perf_metrics *out_metrics);

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

typedef struct tn_executor_info {
    int64_t vocab_size, max_seq_len;
    int32_t max_batch_size, max_num_tokens, tokens_per_block, max_log_probs;
    int64_t num_blocks, num_free_blocks, num_cached_blocks; /* free ones include cached blocks that may be taken */
    int32_t num_queued, num_active;
    int64_t num_steps;
    size_t cache_bytes;
    int64_t max_blocks_per_request; /* held at once, where all layers have a window and reuse is off; 0: as many as it is long */
    int32_t max_beam_width;
    int64_t hidden_size; /* columns of the additional output "hidden_states"; 0: the plan does not give it */
} tn_executor_info;
TN_API void tn_executor_get_info(tn_executor *executor, tn_executor_info *out_info);

/* Tensors of one iteration (DebugConfig). Free with destroy. TN_NOT_FOUND: none is left. */
typedef struct tn_debug_tensors tn_debug_tensors;
typedef struct tn_debug_tensor {
    const char *name; /* "forward.input_ids" */
    tn_dtype dtype;
    tn_dims dims;
    const void *data; /* lent by the list */
} tn_debug_tensor;
TN_API TN_MUST_CHECK tn_status tn_executor_take_debug_tensors(tn_executor *executor, tn_debug_tensors **out_tensors);
TN_API void tn_debug_tensors_destroy(tn_debug_tensors *tensors); /* accepts NULL */
TN_API uint64_t tn_debug_tensors_iter(const tn_debug_tensors *tensors);
TN_API const tn_debug_tensor *tn_debug_tensors_get(const tn_debug_tensors *tensors, size_t *out_count); /* lent */

#ifdef __cplusplus
}
#endif
#endif
