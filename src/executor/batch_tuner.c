/* SPDX-License-Identifier: Apache-2.0
 *
 * batch_tuner.c: batch size and tokens of a step from the lengths of past requests.
 */
#include "executor/batch_tuner.h"

int32_t tn_batch_size_for(int64_t capacity) {
    static const struct {
        int32_t below, batch_size;
    } table[] = {{144, 128}, {336, 256}, {672, 512}, {832, 768}, {1280, 1024}, {1664, 1536}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (capacity < table[i].below) return table[i].batch_size;
    return capacity > INT32_MAX / 2 ? INT32_MAX / 2 : (int32_t)(capacity / 512 * 512);
}

bool tn_batch_tuner_init(tn_batch_tuner *tuner, int64_t cache_tokens, int32_t max_batch_size, int32_t max_num_tokens, int32_t window,
                         tn_arena *arena) {
    *tuner = (tn_batch_tuner){
        .cache_tokens = cache_tokens, .max_batch_size = max_batch_size, .max_num_tokens = max_num_tokens, .window = window};
    tuner->lengths = tn_arena_alloc_array(arena, (size_t)window, sizeof *tuner->lengths);
    return tuner->lengths != NULL;
}

void tn_batch_tuner_add(tn_batch_tuner *tuner, int32_t num_prompt, int32_t num_generated) {
    struct tn_batch_lengths *entry = &tuner->lengths[tuner->count++ % tuner->window];
    tuner->sum_prompt += num_prompt - entry->num_prompt;
    tuner->sum_generated += num_generated - entry->num_generated;
    *entry = (struct tn_batch_lengths){num_prompt, num_generated};
}

static int64_t num_known(const tn_batch_tuner *tuner) {
    return tuner->count < tuner->window ? tuner->count : tuner->window;
}

int32_t tn_batch_tuner_batch_size(const tn_batch_tuner *tuner) {
    int64_t sum = tuner->sum_prompt + tuner->sum_generated;
    if (sum == 0) return tuner->max_batch_size;
    int32_t size = tn_batch_size_for(tuner->cache_tokens * num_known(tuner) / sum);
    return size < tuner->max_batch_size ? size : tuner->max_batch_size;
}

int32_t tn_batch_tuner_num_tokens(const tn_batch_tuner *tuner, int32_t batch_size) {
    if (tuner->sum_generated == 0) return tuner->max_num_tokens;
    int64_t tokens = batch_size + (int64_t)batch_size * tuner->sum_prompt / tuner->sum_generated;
    tokens = (tokens + 63) / 64 * 64;
    if (tokens < batch_size) tokens = batch_size;
    return tokens < tuner->max_num_tokens ? (int32_t)tokens : tuner->max_num_tokens;
}
