/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_internal.h: the books of the block manager. kv_cache.c: blocks and who may take them; kv_tree.c: finding and entering.
 *
 * A node of the prefix tree is a block's content: where it is (a device block or a host slot) may change, what it is does not.
 */
#ifndef TN_EXECUTOR_KV_INTERNAL_H_
#define TN_EXECUTOR_KV_INTERNAL_H_

#include "executor/kv_cache.h"

enum { TN_NONE = -1, TN_NUM_PRIORITIES = 101 };

typedef struct tn_kv_block {
    int32_t num_owners;
    int32_t node;      /* NONE: private or free */
    int32_t next_free; /* of free blocks */
} tn_kv_block;

typedef struct tn_kv_node {
    int32_t parent, first_child, next_sibling, previous_sibling; /* nodes; siblings of first blocks are not linked */
    int32_t num_device_children;
    int32_t block, host_slot; /* one of them is NONE */
    int32_t num_tokens;       /* fewer than a block's: a leaf for ever, found by its first token only */
    int32_t next_in_bucket, next_in_prefix;
    int32_t older, newer; /* in the list that it is in; `older` also links free nodes */
    int32_t heap_index;   /* in the heap of expiries; NONE: not in it */
    int32_t priority;
    bool is_listed;
    int64_t expiry_ns; /* −1: none */
    uint64_t salt, hash, prefix_hash;
} tn_kv_node;

typedef struct tn_kv_list {
    int32_t oldest, newest;
} tn_kv_list;

/* Nodes that may be taken, by priority. Level 0: on the device, without owner and children there; 1: on the host, childless. */
typedef struct tn_kv_level {
    tn_kv_list lists[TN_NUM_PRIORITIES];
    uint64_t used[2]; /* bit p: list p is not empty */
} tn_kv_level;

struct tn_kv_cache {
    tn_allocator allocator;
    tn_kv_cache_options options;
    int32_t num_nodes, num_free, num_cached, num_on_host;
    int32_t first_free, first_free_node, first_free_slot;
    int32_t num_buckets; /* power of two */
    int32_t *buckets;    /* whole blocks by hash */
    int32_t *prefixes;   /* all nodes by parent, salt and first token */
    tn_kv_block *blocks;
    tn_kv_node *nodes;
    int32_t *tokens;     /* [num_nodes, tokens_per_block] */
    int32_t *next_slots; /* [num_host_slots] links of the free ones */
    tn_kv_level levels[2];
    int32_t *heap; /* [num_nodes] nodes with an expiry, soonest first */
    int32_t heap_size;
    int64_t now_ns;
    tn_kv_copy *copies;                   /* [max_copies] */
    int32_t num_copies, num_asked_copies; /* asked for: by tn_kv_cache_copy */
    int32_t max_copies;                   /* beside those */
};

/* kv_tree.c */
void tn_kv_remove_node(tn_kv_cache *cache, int32_t node); /* and what hangs below it, which is on the host */
/* kv_cache.c */
void tn_kv_list_node(tn_kv_cache *cache, int32_t node, bool is_newest); /* if it may be taken */
void tn_kv_unlist_node(tn_kv_cache *cache, int32_t node);
bool tn_kv_has_room_for_copies(const tn_kv_cache *cache, int32_t count);
void tn_kv_add_copy(tn_kv_cache *cache, tn_kv_copy copy); /* there must be room */
void tn_kv_set_node_priority(tn_kv_cache *cache, int32_t node, tn_kv_priority priority);
void tn_kv_free_slot(tn_kv_cache *cache, int32_t slot);

#endif
