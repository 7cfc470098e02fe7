/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.c: blocks, the prefix tree (a hash table of parent, salt and ids), and the list of cached blocks by age.
 */
#include "executor/kv_cache.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

enum { NONE = -1 };

typedef struct kv_block {
    int32_t num_owners;
    int32_t parent;       /* in the tree: the block before it; NONE for a first block */
    int32_t num_children; /* blocks in the tree whose parent it is */
    bool is_in_tree;
    uint64_t salt, hash;
    int32_t next_in_bucket;
    int32_t older, newer; /* in the list of cached blocks; `older` also links the free list */
} kv_block;

struct tn_kv_cache {
    tn_allocator allocator;
    int32_t num_blocks, tokens_per_block, num_free, num_cached;
    int32_t first_free, oldest, newest;
    int32_t num_buckets; /* power of two */
    int32_t *buckets;
    kv_block *blocks;
    int32_t *tokens; /* [num_blocks, tokens_per_block] of blocks in the tree */
};

tn_status tn_kv_cache_create(int32_t num_blocks, int32_t tokens_per_block, const tn_allocator *allocator, tn_diag *diag,
                             tn_kv_cache **out_cache) {
    *out_cache = NULL;
    tn_kv_cache *cache = tn_alloc_zero(allocator, sizeof *cache);
    if (cache == NULL) return tn_fail_memory(diag, "the block manager", sizeof *cache);
    if (allocator != NULL) cache->allocator = *allocator;
    cache->num_blocks = num_blocks;
    cache->tokens_per_block = tokens_per_block;
    cache->num_buckets = 16;
    while (cache->num_buckets < num_blocks && cache->num_buckets < 1 << 30) cache->num_buckets *= 2;
    cache->buckets = tn_alloc_array(allocator, (size_t)cache->num_buckets, sizeof *cache->buckets);
    cache->blocks = tn_alloc_array(allocator, (size_t)num_blocks, sizeof *cache->blocks);
    cache->tokens = tn_alloc_array(allocator, (size_t)num_blocks, (size_t)tokens_per_block * sizeof *cache->tokens);
    if (cache->buckets == NULL || cache->blocks == NULL || cache->tokens == NULL) {
        tn_kv_cache_destroy(cache);
        return tn_fail_memory(diag, "the block manager", (size_t)num_blocks * (sizeof *cache->blocks + (size_t)tokens_per_block * 4));
    }
    for (int32_t i = 0; i < cache->num_buckets; i++) cache->buckets[i] = NONE;
    for (int32_t i = 0; i < num_blocks; i++) cache->blocks[i].older = i + 1 < num_blocks ? i + 1 : NONE;
    cache->first_free = num_blocks > 0 ? 0 : NONE;
    cache->num_free = num_blocks;
    cache->oldest = cache->newest = NONE;
    *out_cache = cache;
    return TN_OK;
}

void tn_kv_cache_destroy(tn_kv_cache *cache) {
    if (cache == NULL) return;
    tn_allocator allocator = cache->allocator;
    tn_free(&allocator, cache->buckets);
    tn_free(&allocator, cache->blocks);
    tn_free(&allocator, cache->tokens);
    tn_free(&allocator, cache);
}

/* --- the list of cached blocks ------------------------------------------------------------------------------------------ */

static void unlink_cached(tn_kv_cache *cache, int32_t index) {
    kv_block *block = &cache->blocks[index];
    if (block->older != NONE)
        cache->blocks[block->older].newer = block->newer;
    else
        cache->oldest = block->newer;
    if (block->newer != NONE)
        cache->blocks[block->newer].older = block->older;
    else
        cache->newest = block->older;
    cache->num_cached--;
}

static void link_newest(tn_kv_cache *cache, int32_t index) {
    kv_block *block = &cache->blocks[index];
    block->older = cache->newest;
    block->newer = NONE;
    if (cache->newest != NONE)
        cache->blocks[cache->newest].newer = index;
    else
        cache->oldest = index;
    cache->newest = index;
    cache->num_cached++;
}

static void retain(tn_kv_cache *cache, int32_t index) {
    if (cache->blocks[index].num_owners++ == 0) unlink_cached(cache, index);
}

static void put_free(tn_kv_cache *cache, int32_t index) {
    cache->blocks[index].older = cache->first_free;
    cache->first_free = index;
    cache->num_free++;
}

/* --- the tree -------------------------------------------------------------------------------------------------------------- */

static uint64_t block_hash(const tn_kv_cache *cache, uint64_t salt, int32_t parent, const int32_t *tokens) {
    uint64_t seed = salt;
    if (parent != NONE) seed ^= cache->blocks[parent].hash * 0x9e3779b97f4a7c15u;
    return tn_hash(tokens, (size_t)cache->tokens_per_block * sizeof *tokens, seed);
}

static int32_t *bucket_of(tn_kv_cache *cache, uint64_t hash) {
    return &cache->buckets[hash & (uint64_t)(cache->num_buckets - 1)];
}

static int32_t find(tn_kv_cache *cache, uint64_t salt, int32_t parent, const int32_t *tokens, uint64_t hash) {
    size_t size = (size_t)cache->tokens_per_block * sizeof *tokens;
    for (int32_t i = *bucket_of(cache, hash); i != NONE; i = cache->blocks[i].next_in_bucket) {
        const kv_block *block = &cache->blocks[i];
        if (block->hash == hash && block->salt == salt && block->parent == parent &&
            memcmp(cache->tokens + (size_t)i * (size_t)cache->tokens_per_block, tokens, size) == 0)
            return i;
    }
    return NONE;
}

static void remove_from_tree(tn_kv_cache *cache, int32_t index) {
    kv_block *block = &cache->blocks[index];
    int32_t *link = bucket_of(cache, block->hash);
    while (*link != index) link = &cache->blocks[*link].next_in_bucket;
    *link = block->next_in_bucket;
    if (block->parent != NONE) cache->blocks[block->parent].num_children--;
    block->is_in_tree = false;
}

int32_t tn_kv_cache_match(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int64_t num_tokens, int32_t max_blocks,
                          int32_t *out_blocks) {
    int32_t count = 0, parent = NONE;
    while (count < max_blocks && (int64_t)(count + 1) * cache->tokens_per_block <= num_tokens) {
        const int32_t *block_tokens = tokens + (int64_t)count * cache->tokens_per_block;
        int32_t found = find(cache, salt, parent, block_tokens, block_hash(cache, salt, parent, block_tokens));
        if (found == NONE) break;
        retain(cache, found);
        out_blocks[count++] = parent = found;
    }
    return count;
}

/* The oldest cached block without children: a parent outlives the blocks that continue it. */
static int32_t evict(tn_kv_cache *cache) {
    int32_t index = cache->oldest;
    while (index != NONE && cache->blocks[index].num_children > 0) index = cache->blocks[index].newer;
    if (index == NONE) return NONE;
    unlink_cached(cache, index);
    remove_from_tree(cache, index);
    return index;
}

int32_t tn_kv_cache_allocate(tn_kv_cache *cache) {
    int32_t index = cache->first_free;
    if (index != NONE) {
        cache->first_free = cache->blocks[index].older;
        cache->num_free--;
    } else {
        index = evict(cache);
        if (index == NONE) return NONE;
    }
    cache->blocks[index] = (kv_block){.num_owners = 1, .parent = NONE, .next_in_bucket = NONE, .older = NONE, .newer = NONE};
    return index;
}

void tn_kv_cache_commit(tn_kv_cache *cache, uint64_t salt, const int32_t *block_tokens, int32_t parent, int32_t index) {
    kv_block *block = &cache->blocks[index];
    /* A private parent (an equal block was there first) leaves its followers private too: the tree has no gaps. */
    if (block->is_in_tree || (parent != NONE && !cache->blocks[parent].is_in_tree)) return;
    uint64_t hash = block_hash(cache, salt, parent, block_tokens);
    if (find(cache, salt, parent, block_tokens, hash) != NONE) return;
    memcpy(cache->tokens + (size_t)index * (size_t)cache->tokens_per_block, block_tokens,
           (size_t)cache->tokens_per_block * sizeof *block_tokens);
    block->salt = salt;
    block->hash = hash;
    block->parent = parent;
    block->is_in_tree = true;
    int32_t *bucket = bucket_of(cache, hash);
    block->next_in_bucket = *bucket;
    *bucket = index;
    if (parent != NONE) cache->blocks[parent].num_children++;
}

void tn_kv_cache_release(tn_kv_cache *cache, int32_t index) {
    kv_block *block = &cache->blocks[index];
    if (--block->num_owners > 0) return;
    if (block->is_in_tree)
        link_newest(cache, index);
    else
        put_free(cache, index);
}

int32_t tn_kv_cache_num_blocks(const tn_kv_cache *cache) {
    return cache->num_blocks;
}
int32_t tn_kv_cache_num_available(const tn_kv_cache *cache) {
    return cache->num_free + cache->num_cached;
}
int32_t tn_kv_cache_num_cached(const tn_kv_cache *cache) {
    return cache->num_cached;
}

bool tn_kv_cache_check(const tn_kv_cache *cache) {
    int32_t num_free = 0, num_cached = 0, num_owned = 0;
    for (int32_t i = cache->first_free; i != NONE && num_free <= cache->num_blocks; i = cache->blocks[i].older) {
        if (cache->blocks[i].num_owners != 0 || cache->blocks[i].is_in_tree) return false;
        num_free++;
    }
    for (int32_t i = cache->oldest; i != NONE && num_cached <= cache->num_blocks; i = cache->blocks[i].newer) {
        if (cache->blocks[i].num_owners != 0 || !cache->blocks[i].is_in_tree) return false;
        num_cached++;
    }
    int64_t num_children = 0, num_with_parent = 0;
    for (int32_t i = 0; i < cache->num_blocks; i++) {
        const kv_block *block = &cache->blocks[i];
        if (block->num_owners < 0) return false;
        num_owned += block->num_owners > 0;
        if (!block->is_in_tree) continue;
        num_children += block->num_children;
        num_with_parent += block->parent != NONE;
    }
    return num_free == cache->num_free && num_cached == cache->num_cached && num_free + num_cached + num_owned == cache->num_blocks &&
           num_children == num_with_parent;
}
