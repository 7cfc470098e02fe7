/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/request.h: what a client asks an executor for. Filled by tn_request_init, changed member by member, copied by enqueue.
 * Names, defaults and ranges are those of TensorRT-LLM's Request, SamplingConfig, OutputConfig and KvCacheRetentionConfig.
 *
 *     tn_request req;                  tn_request_init(&req, ids, num_ids, 64);        // max_tokens
 *     req.sampling.top_k = 40;
 *     req.end_id = 2;
 *
 * Members of absent features are missing here; a client that was asked for one names it in `features` and the request is
 * refused with that name.
 */
#ifndef TENON_REQUEST_H_
#define TENON_REQUEST_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "Off" values are the defaults. Greedy if top_k and top_p are both 0, or temperature is 0. */
typedef struct tn_sampling_config {
    int32_t top_k;                /* 0 = off */
    float top_p;                  /* 0 = off, else in (0, 1] */
    float top_p_min;              /* 1e-6 */
    float top_p_decay;            /* 1; in (0, 1] */
    int32_t top_p_reset_id;       /* −1 = none */
    float min_p;                  /* 0 … 1; 0 = off */
    uint64_t seed;                /* 0 */
    float temperature;            /* 1 */
    int32_t min_tokens;           /* 1; so many are generated before end_id is possible */
    float repetition_penalty;     /* 1 = off; > 0 */
    float presence_penalty;       /* 0 */
    float frequency_penalty;      /* 0 */
    int32_t prompt_ignore_length; /* 0 */
    int32_t no_repeat_ngram_size; /* 0 = off */
    /* 0 (default): one, or all beams. Without beams: answers to draw from one prompt. Each is a sequence with responses of its own under
     * the request's id; sequence i draws as (seed, i). Takes as many ids, of which only the first is ever named. With beams: how many
     * of them responses carry, the best ones; at most beam_width. */
    int32_t num_return_sequences;

    /* Beam search: the beam_width most likely answers are followed side by side; top_k, top_p, min_p and seed are not looked at.
     * An answer that ends waits among those that ended, the best beam_width of them, until the search ends. It is worth its
     * log-probability / (its tokens ^ length_penalty). Log-probabilities are of the logits after bias, penalties, masks and temperature. */
    int32_t beam_width;               /* 1; at most the executor's max_beam_width */
    float beam_search_diversity_rate; /* 0; ≥ 0: the k-th best next token of a beam (k from 0) is chosen as if worth rate · k less */
    float length_penalty;             /* 0; ≥ 0 */
    /* When it ends before max_tokens. 1 (default): when beam_width answers have ended. 0: when they have and the best that still runs
     * is not worth more than the worst of them as long as it is now; any other: … as long as it can become, if length_penalty > 0. */
    int32_t early_stopping;
    /* [num_beam_widths] ≤ 8 of 1 … 1023: beams that are kept after the first, second … token, the last of them after all that follow.
     * NULL: beam_width after each. The largest of all is the beam_width. */
    const int32_t *beam_width_array;
    size_t num_beam_widths;
} tn_sampling_config;

typedef struct tn_token_list {
    const int32_t *ids;
    size_t num_ids;
} tn_token_list;

/* --- logits post-processors ---------------------------------------------------------------------------------------------- */

/* What a post-processor sees of one sequence, or of a request's beams together. Everything is lent for the call. */
typedef struct tn_logits_view {
    uint64_t request_id, client_id;
    bool has_client_id;
    int32_t sequence_index;
    float *logits; /* [num_beams, vocab_size], host memory; what is written here is what the next token is drawn from */
    int64_t vocab_size;
    const int32_t *ids; /* [num_ids] the prompt and what was generated so far; of beam 0 */
    size_t num_ids;
    tn_status status;  /* TN_OK; another value set here fails this request, and only this */
    int32_t num_beams; /* 1 without beam search, and for the first token: its logits are of the prompt, which all beams share */
    const int32_t *const *beam_ids; /* [num_beams] of num_ids each; beam_ids[0] is ids. They change places from token to token */
} tn_logits_view;

/* Runs on the executor's thread between the network and the drawing; it must not call the executor except cancel and enqueue.
 * A named or a request's own processor gets one view a call, the batched one all that asked for it in this step. */
typedef void (*tn_logits_callback)(void *user, tn_logits_view *views, size_t num_views);

/* The name that selects the batched post-processor. */
#define TN_BATCHED_POST_PROCESSOR_NAME "batched"

/* --- retention ------------------------------------------------------------------------------------------------------------ */

#define TN_DEFAULT_RETENTION_PRIORITY 35

/* Blocks whose first token lies in [token_start, token_end) are kept in the cache with this priority: of the blocks that may be
 * taken back those of the lowest priority go first, among equals the longest unused. */
typedef struct tn_retention_range {
    int32_t token_start, token_end; /* −1 of token_end: to the prompt's end; only of the last range */
    int32_t priority;               /* 0 … 100 */
    int64_t duration_ms;            /* after it the priority is 35 again; −1: for ever */
} tn_retention_range;

typedef struct tn_kv_retention {
    const tn_retention_range *ranges; /* in any order; may touch, not overlap. What they leave out has priority 35 */
    size_t num_ranges;                /* ≤ 64 */
    int32_t decode_priority;          /* of blocks with generated tokens only: 35 */
    int64_t decode_duration_ms;       /* −1 */
} tn_kv_retention;

/* --- requests ------------------------------------------------------------------------------------------------------------- */

/* Features that Tenon's requests do not have yet. */
typedef enum tn_request_feature {
    TN_REQUEST_LORA = 1 << 0,
    TN_REQUEST_PROMPT_TUNING = 1 << 1,
    TN_REQUEST_MULTIMODAL = 1 << 2,
    TN_REQUEST_MROPE = 1 << 3,
    TN_REQUEST_EXTERNAL_DRAFT_TOKENS = 1 << 4,
    TN_REQUEST_LOOKAHEAD = 1 << 5,
    TN_REQUEST_EAGLE = 1 << 6,
    TN_REQUEST_GUIDED_DECODING = 1 << 7,
    TN_REQUEST_ENCODER = 1 << 8, /* encoder ids, features or output; cross-attention mask */
    TN_REQUEST_DISAGGREGATED = 1 << 9,
    TN_REQUEST_POSITION_IDS = 1 << 10,
    TN_REQUEST_LANGUAGE_ADAPTER = 1 << 11,
} tn_request_feature;

/* The one additional output that there is: what goes into the product that makes the logits, the model's last norm done, float32.
 * Plans give it that were built with tn_model_build_options.hidden_states (`tenon build --embeddings`). */
#define TN_OUTPUT_HIDDEN_STATES "hidden_states"

/* An output of the model beside the logits: a row for each generated token, of the position that it is drawn from (the first one's
 * is the prompt's last token); with gather_context also a row for each token of the prompt. With max_tokens 1 the prompt alone is
 * read. Rows are the same bits whatever runs beside them, on the cpu. Read by tn_response_context_output and _generation_output. */
typedef struct tn_additional_output {
    const char *name;
    bool gather_context; /* the whole prompt is computed then: nothing of it is taken from the cache */
} tn_additional_output;

typedef struct tn_request {
    size_t struct_size; /* set by tn_request_init */
    const int32_t *input_ids;
    size_t num_input_ids;
    int32_t max_tokens; /* to generate; lowered to what the context holds, which the response says */
    /* One response a token, each with the new token only; else one response at the end. With beams each response has all tokens so
     * far of those that run then (return_all_generated_tokens) and no logits; the last has the answers. */
    bool streaming;
    tn_sampling_config sampling;
    int32_t end_id;              /* −1: none */
    const int32_t *more_end_ids; /* further ids that end the answer as end_id does (min_tokens blocks end_id only) */
    size_t num_more_end_ids;
    const tn_token_list *stop_words; /* generation ends after such a sequence of tokens; it stays in the output */
    size_t num_stop_words;
    const tn_token_list *bad_words; /* sequences that must not be generated: ≤ 64 of ≤ 512 tokens together */
    size_t num_bad_words;
    const float *embedding_bias;              /* [vocab_size], added to the logits; NULL: none */
    size_t embedding_bias_size;               /* elements; must be vocab_size */
    int32_t num_log_probs;                    /* −1 (default): none; K ≥ 0: of each generated token and of the K most likely */
    bool return_prompt_log_probs;             /* of each prompt token after the first, given those before it */
    bool return_context_logits;               /* [num_input_ids, vocab] in the final response; streaming: in the first too */
    bool return_generation_logits;            /* of the tokens of each response */
    float priority;                           /* 0.5; higher runs first; equal: first come */
    uint64_t client_id;                       /* echoed */
    uint64_t cache_salt;                      /* requests share blocks only with requests of the same salt */
    bool has_client_id;                       /* echoed: tells 0 from none */
    bool return_all_generated_tokens;         /* streaming: each response has all tokens so far */
    bool return_perf_metrics;                 /* tn_response_perf_metrics answers */
    int64_t allotted_time_ms;                 /* since enqueue; after it the request ends with TIMED_OUT. −1: none */
    const char *logits_post_processor_name;   /* of the executor's, or TN_BATCHED_POST_PROCESSOR_NAME; NULL: none */
    tn_logits_callback logits_post_processor; /* the request's own; NULL: none. Not together with a name */
    void *logits_post_processor_user;         /* borrowed until the final response is ready */
    const tn_kv_retention *retention;         /* NULL: all blocks have priority 35 */
    uint32_t features;                        /* tn_request_feature: any of them is refused by name */
    const tn_additional_output *additional_outputs;
    size_t num_additional_outputs;
} tn_request;
TN_API void tn_request_init(tn_request *request, const int32_t *input_ids, size_t num_input_ids, int32_t max_tokens);
TN_API void tn_kv_retention_init(tn_kv_retention *retention);

#ifdef __cplusplus
}
#endif
#endif
