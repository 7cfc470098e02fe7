/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.c: blocks: free, owned or cached; which cached one is given up next, and what becomes of it.
 */
#include "executor/kv_cache.h"

#include <assert.h>

#include "base/memory.h"
#include "executor/kv_internal.h"
#include "tenon/request.h"

static void link_free(tn_kv_cache *cache) {
    const tn_kv_cache_options *options = &cache->options;
    for (int32_t i = 0; i < options->num_blocks; i++)
        cache->blocks[i] = (tn_kv_block){.node = TN_NONE, .next_free = i + 1 < options->num_blocks ? i + 1 : TN_NONE};
    for (int32_t i = 0; i < cache->num_nodes; i++) cache->nodes[i].older = i + 1 < cache->num_nodes ? i + 1 : TN_NONE;
    for (int32_t i = 0; i < options->num_host_slots; i++) cache->next_slots[i] = i + 1 < options->num_host_slots ? i + 1 : TN_NONE;
    for (int32_t i = 0; i < cache->num_buckets; i++) cache->buckets[i] = cache->prefixes[i] = TN_NONE;
    for (int level = 0; level < 2; level++)
        for (int i = 0; i < TN_NUM_PRIORITIES; i++) cache->levels[level].lists[i] = (tn_kv_list){TN_NONE, TN_NONE};
    cache->first_free = options->num_blocks > 0 ? 0 : TN_NONE;
    cache->first_free_node = cache->num_nodes > 0 ? 0 : TN_NONE;
    cache->first_free_slot = options->num_host_slots > 0 ? 0 : TN_NONE;
    cache->num_free = options->num_blocks;
}

tn_status tn_kv_cache_create(const tn_kv_cache_options *options, const tn_allocator *allocator, tn_diag *diag, tn_kv_cache **out_cache) {
    *out_cache = NULL;
    tn_kv_cache *cache = tn_alloc_zero(allocator, sizeof *cache);
    if (cache == NULL) return tn_fail_memory(diag, "the block manager", sizeof *cache);
    if (allocator != NULL) cache->allocator = *allocator;
    cache->options = *options;
    cache->num_nodes = options->num_blocks + options->num_host_slots;
    cache->max_copies = 2 * options->num_blocks + 64;
    cache->num_buckets = 16;
    while (cache->num_buckets < cache->num_nodes && cache->num_buckets < 1 << 30) cache->num_buckets *= 2;
    size_t nodes = (size_t)cache->num_nodes, num_copies = (size_t)cache->max_copies + (size_t)options->max_copies;
    cache->buckets = tn_alloc_array(allocator, (size_t)cache->num_buckets, sizeof *cache->buckets);
    cache->prefixes = tn_alloc_array(allocator, (size_t)cache->num_buckets, sizeof *cache->prefixes);
    cache->blocks = tn_alloc_array(allocator, (size_t)options->num_blocks, sizeof *cache->blocks);
    cache->nodes = tn_alloc_array(allocator, nodes, sizeof *cache->nodes);
    cache->tokens = tn_alloc_array(allocator, nodes, (size_t)options->tokens_per_block * sizeof *cache->tokens);
    cache->heap = tn_alloc_array(allocator, nodes, sizeof *cache->heap);
    cache->next_slots = tn_alloc_array(allocator, (size_t)options->num_host_slots, sizeof *cache->next_slots);
    cache->copies = tn_alloc_array(allocator, num_copies, sizeof *cache->copies);
    if (cache->buckets == NULL || cache->prefixes == NULL || cache->blocks == NULL || cache->nodes == NULL || cache->tokens == NULL ||
        cache->heap == NULL || cache->next_slots == NULL || cache->copies == NULL) {
        tn_kv_cache_destroy(cache);
        return tn_fail_memory(diag, "the block manager", nodes * (sizeof *cache->nodes + (size_t)options->tokens_per_block * 4));
    }
    link_free(cache);
    *out_cache = cache;
    return TN_OK;
}

void tn_kv_cache_destroy(tn_kv_cache *cache) {
    if (cache == NULL) return;
    tn_allocator allocator = cache->allocator;
    tn_free(&allocator, cache->buckets);
    tn_free(&allocator, cache->prefixes);
    tn_free(&allocator, cache->blocks);
    tn_free(&allocator, cache->nodes);
    tn_free(&allocator, cache->tokens);
    tn_free(&allocator, cache->heap);
    tn_free(&allocator, cache->next_slots);
    tn_free(&allocator, cache->copies);
    tn_free(&allocator, cache);
}

void tn_kv_cache_set_time(tn_kv_cache *cache, int64_t now_ns) {
    cache->now_ns = now_ns;
}

bool tn_kv_has_room_for_copies(const tn_kv_cache *cache, int32_t count) {
    return cache->num_copies - cache->num_asked_copies + count <= cache->max_copies;
}

void tn_kv_add_copy(tn_kv_cache *cache, tn_kv_copy copy) {
    cache->copies[cache->num_copies++] = copy;
}

void tn_kv_cache_copy(tn_kv_cache *cache, int32_t src, int32_t dst, int32_t num_tokens) {
    assert(cache->num_asked_copies < cache->options.max_copies);
    cache->num_asked_copies++;
    tn_kv_add_copy(cache, (tn_kv_copy){.kind = TN_KV_COPY_TOKENS, .src = src, .dst = dst, .num_tokens = num_tokens});
}

const tn_kv_copy *tn_kv_cache_take_copies(tn_kv_cache *cache, int32_t *out_count) {
    *out_count = cache->num_copies;
    cache->num_copies = cache->num_asked_copies = 0;
    return cache->copies;
}

/* --- the heap of expiries ------------------------------------------------------------------------------------------------- */

static bool is_sooner(const tn_kv_cache *cache, int32_t a, int32_t b) {
    return cache->nodes[a].expiry_ns < cache->nodes[b].expiry_ns;
}

static void put_in_heap(tn_kv_cache *cache, int32_t index, int32_t node) {
    cache->heap[index] = node;
    cache->nodes[node].heap_index = index;
}

/* Moves the entry at `index` to where it belongs. */
static void settle(tn_kv_cache *cache, int32_t index) {
    int32_t node = cache->heap[index];
    while (index > 0 && is_sooner(cache, node, cache->heap[(index - 1) / 2])) {
        put_in_heap(cache, index, cache->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        int32_t child = 2 * index + 1;
        if (child + 1 < cache->heap_size && is_sooner(cache, cache->heap[child + 1], cache->heap[child])) child++;
        if (child >= cache->heap_size || !is_sooner(cache, cache->heap[child], node)) break;
        put_in_heap(cache, index, cache->heap[child]);
        index = child;
    }
    put_in_heap(cache, index, node);
}

static void add_expiry(tn_kv_cache *cache, int32_t node) {
    if (cache->nodes[node].expiry_ns < 0) return;
    put_in_heap(cache, cache->heap_size, node);
    settle(cache, cache->heap_size++);
}

static void remove_expiry(tn_kv_cache *cache, int32_t node) {
    int32_t index = cache->nodes[node].heap_index;
    if (index == TN_NONE) return;
    cache->nodes[node].heap_index = TN_NONE;
    int32_t last = cache->heap[--cache->heap_size];
    if (last == node) return;
    put_in_heap(cache, index, last);
    settle(cache, index);
}

/* --- lists of what may be taken -------------------------------------------------------------------------------------------- */

static int level_of(const tn_kv_node *node) {
    return node->block != TN_NONE ? 0 : 1;
}

void tn_kv_list_node(tn_kv_cache *cache, int32_t index, bool is_newest) {
    tn_kv_node *node = &cache->nodes[index];
    bool is_device = node->block != TN_NONE;
    if (node->is_listed ||
        (is_device ? cache->blocks[node->block].num_owners > 0 || node->num_device_children > 0 : node->first_child != TN_NONE))
        return;
    tn_kv_level *level = &cache->levels[level_of(node)];
    tn_kv_list *list = &level->lists[node->priority];
    node->older = is_newest ? list->newest : TN_NONE;
    node->newer = is_newest ? TN_NONE : list->oldest;
    if (node->older != TN_NONE) cache->nodes[node->older].newer = index;
    if (node->newer != TN_NONE) cache->nodes[node->newer].older = index;
    if (node->older == TN_NONE) list->oldest = index;
    if (node->newer == TN_NONE) list->newest = index;
    level->used[node->priority / 64] |= (uint64_t)1 << node->priority % 64;
    node->is_listed = true;
    add_expiry(cache, index);
}

void tn_kv_unlist_node(tn_kv_cache *cache, int32_t index) {
    tn_kv_node *node = &cache->nodes[index];
    if (!node->is_listed) return;
    tn_kv_level *level = &cache->levels[level_of(node)];
    tn_kv_list *list = &level->lists[node->priority];
    if (node->older != TN_NONE)
        cache->nodes[node->older].newer = node->newer;
    else
        list->oldest = node->newer;
    if (node->newer != TN_NONE)
        cache->nodes[node->newer].older = node->older;
    else
        list->newest = node->older;
    if (list->oldest == TN_NONE) level->used[node->priority / 64] &= ~((uint64_t)1 << node->priority % 64);
    node->is_listed = false;
    remove_expiry(cache, index);
}

void tn_kv_set_node_priority(tn_kv_cache *cache, int32_t index, tn_kv_priority priority) {
    tn_kv_node *node = &cache->nodes[index];
    bool was_listed = node->is_listed;
    tn_kv_unlist_node(cache, index);
    if (node->priority != priority.priority)
        tn_kv_events_updated(cache->options.events, node->hash, NULL, (int32_t[]){node->priority, priority.priority});
    node->priority = priority.priority;
    node->expiry_ns = priority.duration_ns < 0 ? -1 : cache->now_ns + priority.duration_ns;
    if (was_listed) tn_kv_list_node(cache, index, true);
}

void tn_kv_cache_set_priority(tn_kv_cache *cache, int32_t block, tn_kv_priority priority) {
    int32_t node = cache->blocks[block].node;
    if (node != TN_NONE) tn_kv_set_node_priority(cache, node, priority);
}

/* The least valuable node of a level; NONE. */
static int32_t least_valuable(tn_kv_cache *cache, int level) {
    while (cache->heap_size > 0 && cache->nodes[cache->heap[0]].expiry_ns <= cache->now_ns)
        tn_kv_set_node_priority(cache, cache->heap[0], TN_KV_DEFAULT_PRIORITY);
    const tn_kv_level *lists = &cache->levels[level];
    if (lists->used[0] != 0) return lists->lists[__builtin_ctzll(lists->used[0])].oldest;
    if (lists->used[1] != 0) return lists->lists[64 + __builtin_ctzll(lists->used[1])].oldest;
    return TN_NONE;
}

/* --- giving up blocks --------------------------------------------------------------------------------------------------------- */

void tn_kv_free_slot(tn_kv_cache *cache, int32_t slot) {
    cache->next_slots[slot] = cache->first_free_slot;
    cache->first_free_slot = slot;
    cache->num_on_host--;
}

static int32_t take_slot(tn_kv_cache *cache) {
    if (cache->first_free_slot == TN_NONE) {
        int32_t victim = least_valuable(cache, 1);
        if (victim == TN_NONE) return TN_NONE;
        tn_kv_remove_node(cache, victim);
    }
    int32_t slot = cache->first_free_slot;
    cache->first_free_slot = cache->next_slots[slot];
    cache->num_on_host++;
    return slot;
}

/* Moves a node that was just unlisted to the host, if it may go there. */
static bool offload(tn_kv_cache *cache, int32_t index) {
    tn_kv_node *node = &cache->nodes[index];
    if (cache->options.num_host_slots == 0 || node->priority <= cache->options.offload_min_priority || !tn_kv_has_room_for_copies(cache, 1))
        return false;
    int32_t slot = take_slot(cache);
    if (slot == TN_NONE) return false;
    tn_kv_unlist_node(cache, index); /* the slot's last node may have been its child */
    tn_kv_add_copy(cache, (tn_kv_copy){.kind = TN_KV_OFFLOAD, .src = node->block, .dst = slot});
    node->block = TN_NONE;
    node->host_slot = slot;
    tn_kv_list_node(cache, index, true);
    if (node->parent != TN_NONE && --cache->nodes[node->parent].num_device_children == 0) tn_kv_list_node(cache, node->parent, false);
    tn_kv_events_updated(cache->options.events, node->hash, (int32_t[]){0, 1}, NULL);
    return true;
}

/* A cached block for another use; NONE: all are owned. */
static int32_t evict(tn_kv_cache *cache) {
    int32_t node = least_valuable(cache, 0);
    if (node == TN_NONE) return TN_NONE;
    int32_t block = cache->nodes[node].block;
    tn_kv_unlist_node(cache, node);
    if (!offload(cache, node)) tn_kv_remove_node(cache, node);
    cache->blocks[block].node = TN_NONE;
    cache->num_cached--;
    return block;
}

int32_t tn_kv_cache_allocate(tn_kv_cache *cache) {
    int32_t index = cache->first_free;
    if (index != TN_NONE) {
        cache->first_free = cache->blocks[index].next_free;
        cache->num_free--;
    } else {
        index = evict(cache);
        if (index == TN_NONE) return TN_NONE;
    }
    cache->blocks[index] = (tn_kv_block){.num_owners = 1, .node = TN_NONE, .next_free = TN_NONE};
    return index;
}

void tn_kv_cache_retain(tn_kv_cache *cache, int32_t index) {
    tn_kv_block *block = &cache->blocks[index];
    if (block->num_owners++ > 0) return;
    tn_kv_unlist_node(cache, block->node);
    cache->num_cached--;
}

void tn_kv_cache_release(tn_kv_cache *cache, int32_t index) {
    tn_kv_block *block = &cache->blocks[index];
    if (--block->num_owners > 0) return;
    if (block->node != TN_NONE) {
        cache->num_cached++;
        tn_kv_list_node(cache, block->node, true);
        return;
    }
    block->next_free = cache->first_free;
    cache->first_free = index;
    cache->num_free++;
}

/* --- looking ------------------------------------------------------------------------------------------------------------------ */

int32_t tn_kv_cache_num_blocks(const tn_kv_cache *cache) {
    return cache->options.num_blocks;
}
int32_t tn_kv_cache_num_available(const tn_kv_cache *cache) {
    return cache->num_free + cache->num_cached;
}
int32_t tn_kv_cache_num_cached(const tn_kv_cache *cache) {
    return cache->num_cached;
}
int32_t tn_kv_cache_num_on_host(const tn_kv_cache *cache) {
    return cache->num_on_host;
}
int32_t tn_kv_cache_num_owners(const tn_kv_cache *cache, int32_t block) {
    return cache->blocks[block].num_owners;
}

/* Nodes in the lists of a level; −1 if one does not belong there. */
static int32_t count_listed(const tn_kv_cache *cache, int level) {
    int32_t count = 0;
    for (int priority = 0; priority < TN_NUM_PRIORITIES; priority++)
        for (int32_t i = cache->levels[level].lists[priority].oldest; i != TN_NONE && count <= cache->num_nodes;
             i = cache->nodes[i].newer) {
            const tn_kv_node *node = &cache->nodes[i];
            if (!node->is_listed || level_of(node) != level || node->priority != priority) return TN_NONE;
            if (level == 0 ? cache->blocks[node->block].num_owners != 0 || node->num_device_children != 0 : node->first_child != TN_NONE)
                return TN_NONE;
            count++;
        }
    return count;
}

/* Is the tree sound below the nodes that blocks know? */
static bool check_nodes(const tn_kv_cache *cache, int32_t *out_num_leaves) {
    *out_num_leaves = 0;
    for (int32_t i = 0; i < cache->options.num_blocks; i++) {
        const tn_kv_block *block = &cache->blocks[i];
        if (block->node == TN_NONE) continue;
        const tn_kv_node *node = &cache->nodes[block->node];
        if (node->block != i || node->host_slot != TN_NONE) return false;
        int32_t num_device_children = 0;
        for (int32_t child = node->first_child; child != TN_NONE; child = cache->nodes[child].next_sibling) {
            if (cache->nodes[child].parent != block->node) return false;
            num_device_children += cache->nodes[child].block != TN_NONE;
        }
        if (num_device_children != node->num_device_children) return false;
        if (node->parent != TN_NONE && cache->nodes[node->parent].block == TN_NONE) return false;
        *out_num_leaves += block->num_owners == 0 && num_device_children == 0;
        if (block->num_owners > 0 && node->parent != TN_NONE && cache->blocks[cache->nodes[node->parent].block].num_owners == 0)
            return false;
    }
    return true;
}

bool tn_kv_cache_check(const tn_kv_cache *cache) {
    int32_t num_free = 0, num_cached = 0, num_owned = 0, num_free_slots = 0, num_leaves;
    for (int32_t i = cache->first_free; i != TN_NONE && num_free <= cache->options.num_blocks; i = cache->blocks[i].next_free) {
        if (cache->blocks[i].num_owners != 0 || cache->blocks[i].node != TN_NONE) return false;
        num_free++;
    }
    for (int32_t i = cache->first_free_slot; i != TN_NONE && num_free_slots <= cache->options.num_host_slots; i = cache->next_slots[i])
        num_free_slots++;
    for (int32_t i = 0; i < cache->options.num_blocks; i++) {
        if (cache->blocks[i].num_owners < 0) return false;
        num_owned += cache->blocks[i].num_owners > 0;
        num_cached += cache->blocks[i].num_owners == 0 && cache->blocks[i].node != TN_NONE;
    }
    return check_nodes(cache, &num_leaves) && count_listed(cache, 0) == num_leaves && count_listed(cache, 1) != TN_NONE &&
           num_free == cache->num_free && num_cached == cache->num_cached &&
           num_free + num_cached + num_owned == cache->options.num_blocks &&
           num_free_slots + cache->num_on_host == cache->options.num_host_slots;
}
