/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_tree.c: the prefix tree: nodes found by parent, salt and token ids.
 *
 * Two tables: whole blocks by the hash of all before and in them, and every node by parent, salt and first token, for the part of
 * a block that a prompt shares with it.
 */
#include <string.h>

#include "base/hash.h"
#include "executor/kv_internal.h"

/* Blocks that begin with the same token after the same parent and are compared for the longest common part. */
enum { MAX_CANDIDATES = 64 };

static uint64_t chain_seed(const tn_kv_cache *cache, uint64_t salt, int32_t parent) {
    return parent == TN_NONE ? salt : salt ^ cache->nodes[parent].hash * 0x9e3779b97f4a7c15u;
}

static uint64_t hash_tokens(const tn_kv_cache *cache, uint64_t salt, int32_t parent, const int32_t *tokens, int32_t num_tokens) {
    return tn_hash(tokens, (size_t)num_tokens * sizeof *tokens, chain_seed(cache, salt, parent));
}

static uint64_t hash_first(const tn_kv_cache *cache, uint64_t salt, int32_t parent, int32_t token) {
    uint64_t hash = (chain_seed(cache, salt, parent) ^ (uint64_t)(uint32_t)token) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 29;
}

static int32_t *bucket_of(const tn_kv_cache *cache, int32_t *table, uint64_t hash) {
    return &table[hash & (uint64_t)(cache->num_buckets - 1)];
}

static const int32_t *tokens_of(const tn_kv_cache *cache, int32_t node) {
    return cache->tokens + (size_t)node * (size_t)cache->options.tokens_per_block;
}

static int32_t node_of(const tn_kv_cache *cache, int32_t block) {
    return block == TN_NONE ? TN_NONE : cache->blocks[block].node;
}

static int32_t find_whole(const tn_kv_cache *cache, uint64_t salt, int32_t parent, const int32_t *tokens, uint64_t hash) {
    size_t size = (size_t)cache->options.tokens_per_block * sizeof *tokens;
    for (int32_t i = *bucket_of(cache, cache->buckets, hash); i != TN_NONE; i = cache->nodes[i].next_in_bucket) {
        const tn_kv_node *node = &cache->nodes[i];
        if (node->hash == hash && node->salt == salt && node->parent == parent && memcmp(tokens_of(cache, i), tokens, size) == 0) return i;
    }
    return TN_NONE;
}

/* The node after `parent` that shares most leading tokens. */
static int32_t find_part(const tn_kv_cache *cache, uint64_t salt, int32_t parent, const int32_t *tokens, int32_t num_tokens,
                         int32_t *out_common) {
    int32_t best = TN_NONE, num_candidates = 0;
    *out_common = 0;
    if (num_tokens > cache->options.tokens_per_block) num_tokens = cache->options.tokens_per_block;
    if (num_tokens <= 0) return TN_NONE;
    uint64_t hash = hash_first(cache, salt, parent, tokens[0]);
    for (int32_t i = *bucket_of(cache, cache->prefixes, hash); i != TN_NONE && num_candidates < MAX_CANDIDATES;
         i = cache->nodes[i].next_in_prefix) {
        const tn_kv_node *node = &cache->nodes[i];
        if (node->prefix_hash != hash || node->salt != salt || node->parent != parent) continue;
        num_candidates++;
        const int32_t *ids = tokens_of(cache, i);
        int32_t common = 0, most = node->num_tokens < num_tokens ? node->num_tokens : num_tokens;
        while (common < most && ids[common] == tokens[common]) common++;
        if (common <= *out_common) continue;
        *out_common = common;
        best = i;
    }
    return best;
}

/* --- entering and leaving ----------------------------------------------------------------------------------------------------- */

static void unlink_from(tn_kv_cache *cache, int32_t *link, int32_t index, bool is_prefix) {
    while (*link != index) link = is_prefix ? &cache->nodes[*link].next_in_prefix : &cache->nodes[*link].next_in_bucket;
    *link = is_prefix ? cache->nodes[index].next_in_prefix : cache->nodes[index].next_in_bucket;
}

static void unlink_sibling(tn_kv_cache *cache, const tn_kv_node *node) {
    if (node->previous_sibling != TN_NONE)
        cache->nodes[node->previous_sibling].next_sibling = node->next_sibling;
    else
        cache->nodes[node->parent].first_child = node->next_sibling;
    if (node->next_sibling != TN_NONE) cache->nodes[node->next_sibling].previous_sibling = node->previous_sibling;
}

/* A childless node. */
static void remove_leaf(tn_kv_cache *cache, int32_t index) {
    tn_kv_node *node = &cache->nodes[index];
    tn_kv_unlist_node(cache, index);
    if (node->num_tokens == cache->options.tokens_per_block) unlink_from(cache, bucket_of(cache, cache->buckets, node->hash), index, false);
    unlink_from(cache, bucket_of(cache, cache->prefixes, node->prefix_hash), index, true);
    tn_kv_events_removed(cache->options.events, node->hash);
    if (node->host_slot != TN_NONE) tn_kv_free_slot(cache, node->host_slot);
    int32_t parent = node->parent;
    if (parent != TN_NONE) {
        unlink_sibling(cache, node);
        if (node->block != TN_NONE) cache->nodes[parent].num_device_children--;
        tn_kv_list_node(cache, parent, false); /* its last use is not older than what is left */
    }
    node->older = cache->first_free_node;
    cache->first_free_node = index;
}

void tn_kv_remove_node(tn_kv_cache *cache, int32_t index) {
    for (int32_t at = index;;) { /* deepest first */
        while (cache->nodes[at].first_child != TN_NONE) at = cache->nodes[at].first_child;
        int32_t parent = cache->nodes[at].parent;
        remove_leaf(cache, at);
        if (at == index) return;
        at = parent;
        tn_kv_unlist_node(cache, at); /* its children were in its way; it goes too */
    }
}

static int32_t add_node(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens, int32_t parent, uint64_t hash) {
    int32_t index = cache->first_free_node;
    tn_kv_node *node = &cache->nodes[index];
    cache->first_free_node = node->older;
    *node = (tn_kv_node){.parent = parent,
                         .first_child = TN_NONE,
                         .next_sibling = TN_NONE,
                         .previous_sibling = TN_NONE,
                         .block = TN_NONE,
                         .host_slot = TN_NONE,
                         .num_tokens = num_tokens,
                         .heap_index = TN_NONE,
                         .expiry_ns = -1,
                         .salt = salt,
                         .hash = hash,
                         .prefix_hash = hash_first(cache, salt, parent, tokens[0])};
    memcpy(cache->tokens + (size_t)index * (size_t)cache->options.tokens_per_block, tokens, (size_t)num_tokens * sizeof *tokens);
    int32_t *prefix = bucket_of(cache, cache->prefixes, node->prefix_hash), *bucket = bucket_of(cache, cache->buckets, hash);
    node->next_in_prefix = *prefix;
    *prefix = index;
    if (num_tokens == cache->options.tokens_per_block) {
        node->next_in_bucket = *bucket;
        *bucket = index;
    }
    if (parent == TN_NONE) return index;
    node->next_sibling = cache->nodes[parent].first_child;
    if (node->next_sibling != TN_NONE) cache->nodes[node->next_sibling].previous_sibling = index;
    cache->nodes[parent].first_child = index;
    return index;
}

/* The node is at `block` of the device from now on. */
static void place(tn_kv_cache *cache, int32_t index, int32_t block) {
    tn_kv_node *node = &cache->nodes[index];
    tn_kv_unlist_node(cache, index);
    if (node->host_slot != TN_NONE) {
        tn_kv_free_slot(cache, node->host_slot);
        node->host_slot = TN_NONE;
        tn_kv_events_updated(cache->options.events, node->hash, (int32_t[]){1, 0}, NULL);
    }
    node->block = block;
    cache->blocks[block].node = index;
    if (node->parent != TN_NONE) cache->nodes[node->parent].num_device_children++;
}

void tn_kv_cache_commit(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens, int32_t parent_block, int32_t block,
                        tn_kv_priority priority) {
    /* A private parent (an equal block was there first) leaves its followers private too: the tree has no gaps. */
    int32_t parent = node_of(cache, parent_block);
    if (num_tokens <= 0 || cache->blocks[block].node != TN_NONE || (parent_block != TN_NONE && parent == TN_NONE)) return;
    uint64_t hash = hash_tokens(cache, salt, parent, tokens, num_tokens);
    if (num_tokens == cache->options.tokens_per_block) {
        int32_t found = find_whole(cache, salt, parent, tokens, hash);
        if (found != TN_NONE && cache->nodes[found].block == TN_NONE) place(cache, found, block);
        if (found != TN_NONE) return;
    } else {
        int32_t common;
        if (!cache->options.enable_partial_reuse) return;
        (void)find_part(cache, salt, parent, tokens, num_tokens, &common);
        if (common == num_tokens) return; /* another block has them all */
    }
    int32_t index = add_node(cache, salt, tokens, num_tokens, parent, hash);
    tn_kv_node *node = &cache->nodes[index];
    node->priority = priority.priority;
    node->expiry_ns = priority.duration_ns < 0 ? -1 : cache->now_ns + priority.duration_ns;
    place(cache, index, block);
    tn_kv_events_stored(cache->options.events, parent == TN_NONE ? NULL : &cache->nodes[parent].hash,
                        &(tn_kv_event_block){.hash = hash, .tokens = tokens, .num_tokens = num_tokens, .priority = node->priority});
}

/* --- finding ------------------------------------------------------------------------------------------------------------------- */

/* Brings a node back from the host into a block of the device that the caller owns; NONE if there is no room. */
static int32_t onboard(tn_kv_cache *cache, int32_t node, int32_t *max_new) {
    if (!cache->options.onboard_blocks || *max_new <= 0 || !tn_kv_has_room_for_copies(cache, 2)) return TN_NONE;
    tn_kv_unlist_node(cache, node); /* making room must not throw it out */
    int32_t block = tn_kv_cache_allocate(cache);
    if (block == TN_NONE) {
        tn_kv_list_node(cache, node, true);
        return TN_NONE;
    }
    (*max_new)--;
    tn_kv_add_copy(cache, (tn_kv_copy){.kind = TN_KV_ONBOARD, .src = cache->nodes[node].host_slot, .dst = block});
    place(cache, node, block);
    return block;
}

/* A block of the caller's own with the first tokens of a node's; NONE: not possible. */
static int32_t take_part(tn_kv_cache *cache, int32_t index, int32_t num_tokens, int32_t max_new) {
    tn_kv_node *node = &cache->nodes[index];
    bool is_on_device = node->block != TN_NONE;
    if (!cache->options.copy_on_partial_reuse) {
        if (!is_on_device || cache->blocks[node->block].num_owners > 0 || node->first_child != TN_NONE) return TN_NONE;
        int32_t block = node->block;
        tn_kv_cache_retain(cache, block);
        tn_kv_remove_node(cache, index);
        cache->blocks[block].node = TN_NONE;
        return block;
    }
    if (max_new <= 0 || !tn_kv_has_room_for_copies(cache, 2) || (!is_on_device && !cache->options.onboard_blocks)) return TN_NONE;
    int32_t src = node->block;
    if (is_on_device)
        tn_kv_cache_retain(cache, src); /* for as long as room is made */
    else
        tn_kv_unlist_node(cache, index);
    int32_t block = tn_kv_cache_allocate(cache);
    tn_kv_copy copy = {.kind = TN_KV_COPY_TOKENS, .src = src, .dst = block, .num_tokens = num_tokens};
    if (!is_on_device) copy = (tn_kv_copy){.kind = TN_KV_ONBOARD, .src = node->host_slot, .dst = block};
    if (block != TN_NONE) tn_kv_add_copy(cache, copy);
    if (is_on_device)
        tn_kv_cache_release(cache, src);
    else
        tn_kv_list_node(cache, index, true);
    return block;
}

tn_kv_match tn_kv_cache_match(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens, int32_t max_new,
                              int32_t *out_blocks) {
    tn_kv_match match = {0};
    int32_t parent = TN_NONE, size = cache->options.tokens_per_block;
    while (match.num_tokens + size <= num_tokens) {
        const int32_t *block_tokens = tokens + match.num_tokens;
        int32_t found = find_whole(cache, salt, parent, block_tokens, hash_tokens(cache, salt, parent, block_tokens, size));
        if (found == TN_NONE) break;
        int32_t block = cache->nodes[found].block;
        if (block != TN_NONE)
            tn_kv_cache_retain(cache, block);
        else
            block = onboard(cache, found, &max_new);
        if (block == TN_NONE) break;
        out_blocks[match.num_blocks++] = block;
        match.num_tokens += size;
        parent = found;
    }
    match.num_shared = match.num_blocks;
    if (!cache->options.enable_partial_reuse) return match;
    int32_t common, found = find_part(cache, salt, parent, tokens + match.num_tokens, num_tokens - match.num_tokens, &common);
    if (found == TN_NONE) return match;
    int32_t block = take_part(cache, found, common, max_new);
    if (block == TN_NONE) return match;
    out_blocks[match.num_blocks++] = block;
    match.num_tokens += common;
    return match;
}

int32_t tn_kv_cache_count_owned(const tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens) {
    int32_t count = 0, parent = TN_NONE, size = cache->options.tokens_per_block;
    for (; (count + 1) * size <= num_tokens; count++) {
        const int32_t *block_tokens = tokens + count * size;
        int32_t found = find_whole(cache, salt, parent, block_tokens, hash_tokens(cache, salt, parent, block_tokens, size));
        if (found == TN_NONE || cache->nodes[found].block == TN_NONE || cache->blocks[cache->nodes[found].block].num_owners == 0) break;
        parent = found;
    }
    return count;
}

int32_t tn_kv_cache_find(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t parent_block) {
    int32_t parent = node_of(cache, parent_block);
    if (parent_block != TN_NONE && parent == TN_NONE) return TN_NONE;
    uint64_t hash = hash_tokens(cache, salt, parent, tokens, cache->options.tokens_per_block);
    int32_t found = find_whole(cache, salt, parent, tokens, hash);
    if (found == TN_NONE || cache->nodes[found].block == TN_NONE) return TN_NONE;
    tn_kv_cache_retain(cache, cache->nodes[found].block);
    return cache->nodes[found].block;
}

uint64_t tn_kv_cache_key(const tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t parent_block) {
    return hash_tokens(cache, salt, node_of(cache, parent_block), tokens, cache->options.tokens_per_block);
}
