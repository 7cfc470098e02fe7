/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.h: which tokens of which sequence live in which block. Blocks are numbers; the runtime knows their memory. One number
 * stands for a block of every cache group.
 *
 * 1. A block is free, owned by sequences (reference count), or cached: in the prefix tree without an owner, to be taken back
 *    when no free block is left, longest unused first, leaves before parents.
 * 2. A block enters the tree only when all its tokens are computed. Half blocks are never shared: a block with two writers
 *    would make results depend on timing.
 * 3. The hash finds a candidate, token ids, salt and parent decide: a collision costs a compare, never a wrong answer.
 * 4. tn_kv_cache_check proves that every block is in exactly one of these states.
 *
 * Pure bookkeeping; all memory is taken at creation. Not locked: the executor's loop owns it.
 */
#ifndef TN_EXECUTOR_KV_CACHE_H_
#define TN_EXECUTOR_KV_CACHE_H_

#include "base/report.h"

typedef struct tn_kv_cache tn_kv_cache;

TN_MUST_CHECK tn_status tn_kv_cache_create(int32_t num_blocks, int32_t tokens_per_block, const tn_allocator *allocator, tn_diag *diag,
                                           tn_kv_cache **out_cache);
void tn_kv_cache_destroy(tn_kv_cache *cache);

/* Whole blocks of tokens [0, num_tokens) that the tree has, from the first on, at most max_blocks; they are retained for the
 * caller. Returns how many. */
int32_t tn_kv_cache_match(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int64_t num_tokens, int32_t max_blocks,
                          int32_t *out_blocks);
/* One block, taken from the free or the oldest cached ones; −1 if all are owned. */
int32_t tn_kv_cache_allocate(tn_kv_cache *cache);
/* The sequence's block number `index` is complete: tokens are those of the whole sequence up to its end. Makes it findable. If
 * the tree has an equal one already, this one stays private. parent: block index−1 of the sequence, −1 for the first. */
void tn_kv_cache_commit(tn_kv_cache *cache, uint64_t salt, const int32_t *block_tokens, int32_t parent, int32_t block);
/* Gives back one reference; call from the last block to the first so that leaves age before parents. */
void tn_kv_cache_release(tn_kv_cache *cache, int32_t block);

int32_t tn_kv_cache_num_blocks(const tn_kv_cache *cache);
int32_t tn_kv_cache_num_available(const tn_kv_cache *cache); /* free + cached */
int32_t tn_kv_cache_num_cached(const tn_kv_cache *cache);
/* False if the books do not add up. O(blocks). */
bool tn_kv_cache_check(const tn_kv_cache *cache);

#endif
