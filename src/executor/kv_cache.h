/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.h: which tokens of which sequence live in which block. Blocks are numbers; the runtime knows their memory. One number
 * stands for a block of every cache group.
 *
 * 1. A block is free, owned by sequences (reference count), or cached: in the prefix tree without an owner, to be taken back
 *    when no free block is left: lowest priority first, then longest unused, leaves before parents.
 * 2. A block enters the tree only when its tokens are computed and nobody will write to it again. The first tokens of a block
 *    are shared by copying: a block with two writers would make results depend on timing.
 * 3. The hash finds a candidate, token ids, salt and parent decide: a collision costs a compare, never a wrong answer.
 * 4. A block that is taken back may go to a slot of host memory and come back when it is matched. What is on the device has
 *    its parents there too.
 * 5. What is to be copied stands in a list, in order. The caller queues it before the next step: order on the stream is all
 *    that keeps contents right.
 * 6. tn_kv_cache_check proves that every block is in exactly one state.
 *
 * Pure bookkeeping; all memory is taken at creation (events aside). Not locked: the executor's loop owns it.
 */
#ifndef TN_EXECUTOR_KV_CACHE_H_
#define TN_EXECUTOR_KV_CACHE_H_

#include "base/report.h"
#include "executor/kv_events.h"

typedef struct tn_kv_cache tn_kv_cache;

typedef struct tn_kv_cache_options {
    int32_t num_blocks, tokens_per_block;
    int32_t num_host_slots;                           /* 0: nothing goes to the host */
    int32_t max_copies;                               /* by tn_kv_cache_copy between two calls of tn_kv_cache_take_copies */
    bool enable_partial_reuse, copy_on_partial_reuse; /* see tenon/executor.h */
    bool onboard_blocks;
    int32_t offload_min_priority; /* only blocks of a priority above it go to the host */
    tn_kv_event_manager *events;  /* borrowed; NULL: none */
} tn_kv_cache_options;

TN_MUST_CHECK tn_status tn_kv_cache_create(const tn_kv_cache_options *options, const tn_allocator *allocator, tn_diag *diag,
                                           tn_kv_cache **out_cache);
void tn_kv_cache_destroy(tn_kv_cache *cache);

/* The clock of retention durations; does not go backwards. */
void tn_kv_cache_set_time(tn_kv_cache *cache, int64_t now_ns);

typedef struct tn_kv_match {
    int32_t num_blocks; /* in out_blocks, owned by the caller now */
    int32_t num_tokens; /* that they hold: the last block may hold fewer than a block's */
    int32_t num_shared; /* leading blocks that are in the tree; at most one more, private, holds the rest */
} tn_kv_match;

/* The longest beginning of tokens that the tree has, whole blocks and then a part of one. max_new: how many blocks may be taken
 * for parts and for what comes back from the host. out_blocks [num_tokens / tokens_per_block + 1] */
tn_kv_match tn_kv_cache_match(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens, int32_t max_new,
                              int32_t *out_blocks);
/* How many leading blocks of tokens others own: to retain these takes nothing from what is available. */
int32_t tn_kv_cache_count_owned(const tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens);
/* The block after `parent` (−1: the first) with these tokens, if it is on the device; retained for the caller. −1: none. */
int32_t tn_kv_cache_find(tn_kv_cache *cache, uint64_t salt, const int32_t *block_tokens, int32_t parent);
/* What identifies that block, whether it exists or not. */
uint64_t tn_kv_cache_key(const tn_kv_cache *cache, uint64_t salt, const int32_t *block_tokens, int32_t parent);

/* One block, taken from the free ones or the least valuable cached one; −1 if all are owned. */
int32_t tn_kv_cache_allocate(tn_kv_cache *cache);

typedef struct tn_kv_priority {
    int32_t priority;    /* 0 … 100 */
    int64_t duration_ns; /* −1: for ever; after it the priority is TN_DEFAULT_RETENTION_PRIORITY */
} tn_kv_priority;
#define TN_KV_DEFAULT_PRIORITY ((tn_kv_priority){35, -1})

/* The sequence's block `block` holds num_tokens final tokens (fewer than a block's only if nothing will follow). Makes it
 * findable. If the tree has an equal one already, this one stays private. parent: the sequence's block before it, −1 for the
 * first. */
void tn_kv_cache_commit(tn_kv_cache *cache, uint64_t salt, const int32_t *block_tokens, int32_t num_tokens, int32_t parent, int32_t block,
                        tn_kv_priority priority);
/* A block in the tree is wanted with another priority. */
void tn_kv_cache_set_priority(tn_kv_cache *cache, int32_t block, tn_kv_priority priority);
/* One owner more of a block that has some. */
void tn_kv_cache_retain(tn_kv_cache *cache, int32_t block);
/* Lists a copy of the first num_tokens of a block that stays owned until it was listed. */
void tn_kv_cache_copy(tn_kv_cache *cache, int32_t src, int32_t dst, int32_t num_tokens);
/* Gives back one reference; call from the last block to the first. */
void tn_kv_cache_release(tn_kv_cache *cache, int32_t block);

typedef enum tn_kv_copy_kind { TN_KV_COPY_TOKENS = 0, TN_KV_OFFLOAD, TN_KV_ONBOARD } tn_kv_copy_kind;
typedef struct tn_kv_copy {
    tn_kv_copy_kind kind;
    int32_t src, dst;   /* blocks; OFFLOAD: dst is a host slot, ONBOARD: src is one */
    int32_t num_tokens; /* COPY_TOKENS */
} tn_kv_copy;
/* The copies to queue, in order; valid until the next call of the cache. Empties the list. */
const tn_kv_copy *tn_kv_cache_take_copies(tn_kv_cache *cache, int32_t *out_count);

int32_t tn_kv_cache_num_blocks(const tn_kv_cache *cache);
int32_t tn_kv_cache_num_available(const tn_kv_cache *cache); /* free + cached */
int32_t tn_kv_cache_num_cached(const tn_kv_cache *cache);
int32_t tn_kv_cache_num_on_host(const tn_kv_cache *cache);
/* False if the books do not add up. O(blocks). */
bool tn_kv_cache_check(const tn_kv_cache *cache);
int32_t tn_kv_cache_num_owners(const tn_kv_cache *cache, int32_t block);

#endif
