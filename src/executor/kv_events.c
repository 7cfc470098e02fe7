/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_events.c: events of the block manager: recorded by the loop, taken by anyone.
 */
#include "executor/kv_events.h"

#include <pthread.h>
#include <string.h>

#include "base/memory.h"
#include "executor/wait.h"

typedef struct event_node {
    tn_kv_event event;
    TN_ARRAY(tn_kv_event_block) blocks;
    struct event_node *next;
} event_node;

typedef struct event_queue {
    event_node *first, *last;
    int32_t count;
} event_queue;

struct tn_kv_event_manager {
    tn_allocator allocator;
    int32_t max_events;
    uint64_t next_id;
    event_queue recorded; /* (loop) */
    bool has_lock;
    pthread_mutex_t lock;
    pthread_cond_t shown_or_stopped;
    event_queue shown; /* (lock) */
    bool is_stopped;   /* (lock) */
};

struct tn_kv_event_list {
    tn_allocator allocator;
    event_queue nodes; /* owns what the events point to */
    tn_kv_event *events;
};

static void destroy_node(const tn_allocator *allocator, event_node *node) {
    for (size_t i = 0; i < node->blocks.count; i++) tn_free(allocator, (void *)(uintptr_t)node->blocks.data[i].tokens);
    tn_array_deinit(allocator, &node->blocks);
    tn_free(allocator, node);
}

static event_node *take_first(event_queue *queue) {
    event_node *node = queue->first;
    if (node == NULL) return NULL;
    queue->first = node->next;
    if (queue->first == NULL) queue->last = NULL;
    queue->count--;
    return node;
}

static void clear(const tn_allocator *allocator, event_queue *queue) {
    for (event_node *node; (node = take_first(queue)) != NULL;) destroy_node(allocator, node);
}

tn_status tn_kv_events_create(int32_t max_events, const tn_allocator *allocator, tn_diag *diag, tn_kv_event_manager **out_manager) {
    *out_manager = NULL;
    tn_kv_event_manager *manager = tn_alloc_zero(allocator, sizeof *manager);
    if (manager == NULL) return tn_fail_memory(diag, "the cache's events", sizeof *manager);
    if (allocator != NULL) manager->allocator = *allocator;
    manager->max_events = max_events;
    manager->has_lock = pthread_mutex_init(&manager->lock, NULL) == 0;
    if (!manager->has_lock || !tn_condition_init(&manager->shown_or_stopped)) {
        tn_kv_events_destroy(manager);
        return tn_fail(diag, TN_UNAVAILABLE, "cannot start the executor: the system gives no locks");
    }
    *out_manager = manager;
    return TN_OK;
}

void tn_kv_events_destroy(tn_kv_event_manager *manager) {
    if (manager == NULL) return;
    tn_allocator allocator = manager->allocator;
    clear(&allocator, &manager->recorded);
    clear(&allocator, &manager->shown);
    if (manager->has_lock) {
        pthread_cond_destroy(&manager->shown_or_stopped);
        pthread_mutex_destroy(&manager->lock);
    }
    tn_free(&allocator, manager);
}

/* --- recording ----------------------------------------------------------------------------------------------------------------- */

static event_node *record(tn_kv_event_manager *manager, tn_kv_event_kind kind) {
    uint64_t id = manager->next_id++;
    event_node *node = tn_alloc_zero(&manager->allocator, sizeof *node);
    if (node == NULL) return NULL;
    node->event.event_id = id;
    node->event.kind = kind;
    event_queue *queue = &manager->recorded;
    if (queue->last != NULL)
        queue->last->next = node;
    else
        queue->first = node;
    queue->last = node;
    queue->count++;
    return node;
}

static void add_block(tn_kv_event_manager *manager, event_node *node, const tn_kv_event_block *block) {
    if (node == NULL) return;
    tn_kv_event_block copy = *block;
    if (block->num_tokens > 0)
        copy.tokens =
            (const int32_t *)(void *)tn_copy_bytes(&manager->allocator, block->tokens, (size_t)block->num_tokens * sizeof *block->tokens);
    if (block->num_tokens > 0 && copy.tokens == NULL) return;
    if (!tn_array_push(&manager->allocator, &node->blocks, copy)) tn_free(&manager->allocator, (void *)(uintptr_t)copy.tokens);
}

void tn_kv_events_created(tn_kv_event_manager *manager, int64_t num_blocks, int64_t num_host_slots) {
    if (manager == NULL) return;
    event_node *node = record(manager, TN_KV_EVENT_CREATED);
    if (node == NULL) return;
    node->event.num_blocks_per_level[0] = num_blocks;
    node->event.num_blocks_per_level[1] = num_host_slots;
}

void tn_kv_events_stored(tn_kv_event_manager *manager, const uint64_t *parent_hash, const tn_kv_event_block *block) {
    if (manager == NULL) return;
    event_node *node = manager->recorded.last;
    bool follows = node != NULL && node->event.kind == TN_KV_EVENT_STORED && parent_hash != NULL && node->blocks.count > 0 &&
                   node->blocks.data[node->blocks.count - 1].hash == *parent_hash;
    if (!follows) {
        node = record(manager, TN_KV_EVENT_STORED);
        if (node == NULL) return;
        node->event.has_parent = parent_hash != NULL;
        node->event.parent_hash = parent_hash != NULL ? *parent_hash : 0;
    }
    add_block(manager, node, block);
}

void tn_kv_events_removed(tn_kv_event_manager *manager, uint64_t hash) {
    if (manager == NULL) return;
    event_node *node = manager->recorded.last;
    if (node == NULL || node->event.kind != TN_KV_EVENT_REMOVED) node = record(manager, TN_KV_EVENT_REMOVED);
    add_block(manager, node, &(tn_kv_event_block){.hash = hash});
}

void tn_kv_events_updated(tn_kv_event_manager *manager, uint64_t hash, const int32_t *level, const int32_t *priority) {
    if (manager == NULL) return;
    event_node *node = record(manager, TN_KV_EVENT_UPDATED);
    if (node == NULL) return;
    tn_kv_event *event = &node->event;
    event->has_level = level != NULL;
    event->has_priority = priority != NULL;
    if (level != NULL) event->old_level = level[0], event->new_level = level[1];
    if (priority != NULL) event->old_priority = priority[0], event->new_priority = priority[1];
    add_block(manager, node, &(tn_kv_event_block){.hash = hash});
}

void tn_kv_events_show(tn_kv_event_manager *manager) {
    if (manager == NULL || manager->recorded.first == NULL) return;
    pthread_mutex_lock(&manager->lock);
    event_queue *shown = &manager->shown;
    if (shown->last != NULL)
        shown->last->next = manager->recorded.first;
    else
        shown->first = manager->recorded.first;
    shown->last = manager->recorded.last;
    shown->count += manager->recorded.count;
    manager->recorded = (event_queue){0};
    while (shown->count > manager->max_events) destroy_node(&manager->allocator, take_first(shown));
    pthread_cond_broadcast(&manager->shown_or_stopped);
    pthread_mutex_unlock(&manager->lock);
}

void tn_kv_events_stop(tn_kv_event_manager *manager) {
    if (manager == NULL) return;
    pthread_mutex_lock(&manager->lock);
    manager->is_stopped = true;
    pthread_cond_broadcast(&manager->shown_or_stopped);
    pthread_mutex_unlock(&manager->lock);
}

/* --- taking -------------------------------------------------------------------------------------------------------------------- */

tn_status tn_kv_event_manager_take(tn_kv_event_manager *manager, int64_t timeout_ms, tn_kv_event_list **out_list) {
    *out_list = NULL;
    struct timespec deadline = tn_deadline_after(timeout_ms);
    tn_status status = TN_OK;
    pthread_mutex_lock(&manager->lock);
    while (manager->shown.count == 0 && status == TN_OK) {
        if (manager->is_stopped)
            status = TN_UNAVAILABLE;
        else if (!tn_condition_wait(&manager->shown_or_stopped, &manager->lock, timeout_ms, &deadline))
            status = TN_TIMED_OUT;
    }
    tn_kv_event_list *list = NULL;
    if (status == TN_OK) {
        list = tn_alloc_zero(&manager->allocator, sizeof *list);
        if (list != NULL) list->events = tn_alloc_array(&manager->allocator, (size_t)manager->shown.count, sizeof *list->events);
        if (list == NULL || list->events == NULL) {
            tn_free(&manager->allocator, list);
            status = TN_OUT_OF_MEMORY;
        } else {
            list->allocator = manager->allocator;
            list->nodes = manager->shown;
            manager->shown = (event_queue){0};
        }
    }
    pthread_mutex_unlock(&manager->lock);
    if (status != TN_OK) return status;
    int32_t index = 0;
    for (event_node *node = list->nodes.first; node != NULL; node = node->next) {
        node->event.blocks = node->blocks.data;
        node->event.num_blocks = node->blocks.count;
        list->events[index++] = node->event;
    }
    *out_list = list;
    return TN_OK;
}

void tn_kv_event_list_destroy(tn_kv_event_list *list) {
    if (list == NULL) return;
    tn_allocator allocator = list->allocator;
    tn_free(&allocator, list->events);
    clear(&allocator, &list->nodes);
    tn_free(&allocator, list);
}

const tn_kv_event *tn_kv_event_list_get(const tn_kv_event_list *list, size_t *out_count) {
    *out_count = (size_t)list->nodes.count;
    return list->events;
}
