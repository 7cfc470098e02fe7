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

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_executor tn_executor;
typedef struct tn_response tn_response;

#define TN_FOREVER (-1) /* of timeout_ms */

/* --- executor ------------------------------------------------------------------------------------------------------- */

typedef struct tn_executor_options {
    size_t struct_size;            /* set by tn_executor_options_init */
    tn_diag *diag;                 /* borrowed for the create call; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
    tn_device *device;             /* for tn_executor_create; borrowed; NULL: one of the plan's backend */
    int32_t max_batch_size;        /* sequences in a step; 0: what the engine was built for, which is also the most */
    int32_t max_num_tokens;        /* tokens in a step; 0: as above */
    int64_t max_cache_tokens;      /* of the key/value cache; 0: max_batch_size · max_seq_len or as much as cache_memory_fraction holds */
    double cache_memory_fraction;  /* of the memory that is free; default 0.9 */
    bool enable_block_reuse;       /* default true: prompts that begin alike share blocks */
    bool enable_chunked_context;   /* default true: a long prompt is read in several steps */
    int32_t max_chunk_tokens;      /* of one prompt in one step; 0: max_num_tokens. A chunk may end at any token */
    int32_t max_queue_size;        /* waiting requests; 0: no limit. Beyond it enqueue answers TN_UNAVAILABLE */
    int32_t pipeline_depth;        /* 0: 1 on synchronous devices, 2 on others */
} tn_executor_options;
TN_API void tn_executor_options_init(tn_executor_options *options);

/* path: an engine directory (rank0.plan) or a plan file. Errors of tn_engine_load; TN_INVALID_DATA if the plan is no decoder;
 * TN_OUT_OF_MEMORY with the table of what was needed. */
TN_API TN_MUST_CHECK tn_status tn_executor_create(const char *path, const tn_executor_options *options, tn_executor **out_executor);
/* The engine is borrowed and must outlive the executor. */
TN_API TN_MUST_CHECK tn_status tn_executor_create_from_engine(tn_engine *engine, const tn_executor_options *options,
                                                              tn_executor **out_executor);
/* Cancels what is left, waits for the step at hand. Accepts NULL. */
TN_API void tn_executor_destroy(tn_executor *executor);
/* Stops taking requests; those taken are finished if drain, else cancelled. Blocks until the loop has stopped. */
TN_API void tn_executor_shutdown(tn_executor *executor, bool drain);

/* --- requests ----------------------------------------------------------------------------------------------------------- */

/* All fields as SamplingConfig's; "off" values are the defaults. Greedy if top_k and top_p are both 0, or temperature is 0. */
typedef struct tn_sampling_config {
    int32_t top_k;                /* 0 = off */
    float top_p;                  /* 0 = off, else in (0, 1] */
    float top_p_min;              /* 1e-6 */
    float top_p_decay;            /* 1 */
    int32_t top_p_reset_id;       /* −1 = none */
    float min_p;                  /* 0 … 1; 0 = off */
    uint64_t seed;                /* 0 */
    float temperature;            /* 1 */
    int32_t min_tokens;           /* 1 (no effect) */
    float repetition_penalty;     /* 1 = off; > 0 */
    float presence_penalty;       /* 0 */
    float frequency_penalty;      /* 0 */
    int32_t prompt_ignore_length; /* 0 */
    int32_t no_repeat_ngram_size; /* 0 = off */
} tn_sampling_config;

typedef struct tn_token_list {
    const int32_t *ids;
    size_t num_ids;
} tn_token_list;

typedef struct tn_request {
    size_t struct_size; /* set by tn_request_init */
    const int32_t *input_ids;
    size_t num_input_ids;
    int32_t max_tokens; /* to generate; lowered to what the context holds, which the response says */
    bool streaming;     /* one response a token, each with the new token only; else one response at the end */
    tn_sampling_config sampling;
    int32_t end_id;              /* −1: none */
    const int32_t *more_end_ids; /* further ids that end the answer as end_id does (min_tokens blocks end_id only) */
    size_t num_more_end_ids;
    const tn_token_list *stop_words; /* generation ends after such a sequence of tokens; it stays in the output */
    size_t num_stop_words;
    const tn_token_list *bad_words; /* sequences that must not be generated: ≤ 64 of ≤ 512 tokens together */
    size_t num_bad_words;
    const float *embedding_bias;   /* [vocab_size], added to the logits; NULL: none */
    size_t embedding_bias_size;    /* elements; must be vocab_size */
    int32_t num_log_probs;         /* −1 (default): none; K ≥ 0: of each generated token and of the K most likely */
    bool return_prompt_log_probs;  /* of each prompt token after the first, given those before it */
    bool return_context_logits;    /* [num_input_ids, vocab] in the final response */
    bool return_generation_logits; /* [generated, vocab] in the final response */
    float priority;                /* 0.5; higher runs first; equal: first come */
    uint64_t client_id;            /* echoed */
    uint64_t cache_salt;           /* requests share blocks only with requests of the same salt */
} tn_request;
TN_API void tn_request_init(tn_request *request, const int32_t *input_ids, size_t num_input_ids, int32_t max_tokens);

/* Checks, copies, queues.
 * TN_INVALID_ARGUMENT  a field out of range, an id outside the vocabulary, or a prompt that does not fit the context (with
 *                      both numbers): the message names the field
 * TN_UNAVAILABLE       the queue is full, or the executor is shutting down
 * diag NULL: stderr */
TN_API TN_MUST_CHECK tn_status tn_executor_enqueue_diag(tn_executor *executor, const tn_request *request, tn_diag *diag, uint64_t *out_id);
TN_API TN_MUST_CHECK tn_status tn_executor_enqueue(tn_executor *executor, const tn_request *request, uint64_t *out_id);

/* The next response of a request; several threads may wait for one id, each gets another response.
 * TN_TIMED_OUT   none within timeout_ms (≥ 0; TN_FOREVER waits)
 * TN_NOT_FOUND   no such request, or its final response was taken */
TN_API TN_MUST_CHECK tn_status tn_executor_await(tn_executor *executor, uint64_t id, int64_t timeout_ms, tn_response **out_response);
/* The next response of any request, in order of readiness. TN_NOT_FOUND: no request is left. */
TN_API TN_MUST_CHECK tn_status tn_executor_await_any(tn_executor *executor, int64_t timeout_ms, tn_response **out_response);
TN_API int32_t tn_executor_num_responses_ready(tn_executor *executor, uint64_t id); /* 0 for unknown ids */

/* Takes effect by the next step: its blocks are freed, a final response with CANCELLED comes. Unknown ids: no effect. */
TN_API void tn_executor_cancel(tn_executor *executor, uint64_t id);

/* --- responses ------------------------------------------------------------------------------------------------------------ */

typedef enum tn_finish_reason {
    TN_FINISH_NOT_FINISHED = 0,
    TN_FINISH_END_ID = 1,
    TN_FINISH_STOP_WORDS = 2,
    TN_FINISH_LENGTH = 3,
    TN_FINISH_TIMED_OUT = 4,
    TN_FINISH_CANCELLED = 5,
} tn_finish_reason;
TN_API const char *tn_finish_reason_name(tn_finish_reason reason); /* "end_id", "length" … */

TN_API void tn_response_destroy(tn_response *response); /* accepts NULL */
TN_API uint64_t tn_response_id(const tn_response *response);
TN_API uint64_t tn_response_client_id(const tn_response *response);
TN_API bool tn_response_is_final(const tn_response *response);
TN_API tn_finish_reason tn_response_finish_reason(const tn_response *response);
/* NULL: none. The request failed; the executor goes on. */
TN_API const char *tn_response_error(const tn_response *response);
TN_API tn_status tn_response_status(const tn_response *response);
/* Generated tokens: of streaming requests those since the last response, else all. Lent. */
TN_API const int32_t *tn_response_ids(const tn_response *response, size_t *out_count);
/* Of token i of this response: its own log-probability, then the K largest: K + 1 pairs. Lent; NULL if not asked for. */
typedef struct tn_log_prob {
    int32_t id;
    float value;
} tn_log_prob;
TN_API const tn_log_prob *tn_response_log_probs(const tn_response *response, size_t token, size_t *out_count);
TN_API const float *tn_response_prompt_log_probs(const tn_response *response, size_t *out_count); /* [num_input_ids − 1] */
TN_API const float *tn_response_context_logits(const tn_response *response);                      /* [num_input_ids, vocab] */
TN_API const float *tn_response_generation_logits(const tn_response *response);                   /* [generated, vocab] */
/* max_tokens after lowering; equal to the request's if it was not lowered. */
TN_API int32_t tn_response_max_tokens(const tn_response *response);
typedef struct tn_request_timings {
    int64_t queued_ns, first_token_ns, last_token_ns; /* since enqueue: when it was scheduled first, its first and last token */
    int32_t num_prompt_tokens, num_reused_tokens, num_generated_tokens;
} tn_request_timings;
TN_API void tn_response_timings(const tn_response *response, tn_request_timings *out_timings);

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

typedef struct tn_executor_info {
    int64_t vocab_size, max_seq_len;
    int32_t max_batch_size, max_num_tokens, tokens_per_block, max_log_probs;
    int64_t num_blocks, num_free_blocks, num_cached_blocks; /* free ones include cached blocks that may be taken */
    int32_t num_queued, num_active;
    int64_t num_steps;
    size_t cache_bytes;
} tn_executor_info;
TN_API void tn_executor_get_info(tn_executor *executor, tn_executor_info *out_info);

#ifdef __cplusplus
}
#endif
#endif
