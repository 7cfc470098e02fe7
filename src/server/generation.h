/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.h: one HTTP request's work in the executor: a job for each prompt, choices of each job, and their text as it comes.
 *
 * It is the thread's that prepares it until its requests are queued, then the loop's: no lock guards it. It lives while one of these holds
 * it: an exchange, a job without its last response.
 */
#ifndef TN_SERVER_GENERATION_H_
#define TN_SERVER_GENERATION_H_

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/memory.h"
#include "server/api_error.h"
#include "server/stop_filter.h"
#include "tenon/executor.h"
#include "tenon/tokenizer.h"
#include "tokenizer/tool_calls.h"

struct tn_server;
struct tn_exchange;
typedef struct tn_generation tn_generation;

/* A token with its log-probability and the most likely ones: `num_top` pairs at tops[first_top]. */
typedef struct tn_token_entry {
    int32_t id;
    float log_prob;
    bool has_log_prob; /* the first token of a prompt has none */
    size_t first_top, num_top;
    size_t text_offset; /* in code points of the whole text */
} tn_token_entry;

/* A call of a tool as the model wrote it. */
typedef struct tn_choice_call {
    tn_text name, arguments;
    size_t num_told; /* streaming: bytes of the arguments */
    bool is_named;   /* streaming: its first event is made */
} tn_choice_call;

typedef enum tn_choice_end { TN_CHOICE_RUNS, TN_CHOICE_STOP, TN_CHOICE_LENGTH, TN_CHOICE_TIMED_OUT, TN_CHOICE_CANCELLED } tn_choice_end;

typedef struct tn_choice {
    struct tn_job *job;
    tn_detokenizer *detokenizer; /* NULL: no tokenizer */
    tn_stop_filter filter;
    tn_text text;          /* streaming: what was not told yet */
    tn_tool_parser *tools; /* NULL: all text is content */
    tn_text raw;           /* text on its way to `tools` */
    TN_ARRAY(tn_choice_call) calls;
    TN_ARRAY(tn_token_entry) entries;
    TN_ARRAY(tn_log_prob) tops;
    size_t num_code_points; /* of all text that tokens made */
    size_t num_echo_bytes;  /* of the prompt and its log-probabilities, which no reader could have taken yet */
    bool has_echo;
    tn_choice_end end;
    const char *event_head; /* streaming: what each of its events begins with */
    size_t event_head_size;
    const char *stop_string; /* that ended it; NULL: none */
    int32_t stop_id;         /* of stop_token_ids; -1: none */
    int32_t num_tokens;
    int64_t last_token_ns;
    bool has_begun, is_told; /* streaming: its first, its last event is made */
} tn_choice;

typedef struct tn_job {
    tn_generation *generation;
    uint64_t id; /* of the executor */
    tn_choice *choices;
    int32_t num_choices, num_running; /* without a last token or a stop string */
    const int32_t *prompt_ids;        /* kept only for echo */
    int32_t num_prompt_tokens, num_reused_tokens;
    bool is_queued, is_live, is_cancelled; /* has no token yet; has no last response yet; needs no more of them */
} tn_job;

struct tn_generation {
    struct tn_server *server;
    tn_arena arena;
    int32_t num_holders;
    struct tn_exchange *exchange; /* the loop's; NULL once it let go */

    /* never change after it was made */
    char id[40];
    const char *model;
    int64_t created_unix_s;
    bool is_chat, streams, include_usage, continuous_usage, include_stop, skip_special, echo, has_log_probs, one_call;
    int32_t num_top, n, max_tokens; /* num_top: asked for; max_tokens: 0 = only echo */
    tn_stop_strings stops;
    const int32_t *stop_ids;
    size_t num_stop_ids;
    int32_t num_dimensions;      /* of the vectors of /v1/embeddings; 0: another route */
    bool is_base64;              /* they are told so */
    int64_t prompt_logits_bytes; /* given back to the server's budget at the end */
    tn_job *jobs;
    int32_t num_jobs, num_choices;
    tn_choice *choices; /* [num_choices] in order of prompts */

    int32_t num_running; /* choices */
    bool is_failed;      /* the reason is in error */
    tn_api_error error;
    bool is_overflowing; /* the reader does not take what is told */
};

tn_generation *tn_generation_create(struct tn_server *server, int32_t num_jobs, int32_t choices_per_job);
/* Lets go of the exchange's hold: what still runs is cancelled, no exchange is told any more. */
void tn_generation_abandon(tn_generation *generation);
void tn_generation_release(tn_generation *generation);
/* All choices have ended, or it failed. */
bool tn_generation_is_complete(const tn_generation *generation);

/* Tokens become text. Under the metrics' lock. */
void tn_job_take(tn_job *job, const tn_response *response);
/* After the last response: lets go of the job's hold. */
void tn_job_end(tn_job *job);

#endif
