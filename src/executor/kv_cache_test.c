/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache_test.c: the books of blocks, alone and against a model that knows nothing of trees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "executor/kv_cache.h"
#include "support/fault_allocator.h"

enum { BLOCK = 4, NONE = -1 };

static tn_kv_cache *make_cache(int32_t num_blocks) {
    tn_kv_cache *cache;
    assert_int_equal(tn_kv_cache_create(&(tn_kv_cache_options){.num_blocks = num_blocks, .tokens_per_block = BLOCK}, NULL, NULL, &cache),
                     TN_OK);
    return cache;
}

/* Whole blocks on the device, at most max_blocks. */
static int32_t match_whole(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_tokens, int32_t max_blocks,
                           int32_t *out_blocks) {
    int32_t most = max_blocks * BLOCK;
    return tn_kv_cache_match(cache, salt, tokens, num_tokens < most ? num_tokens : most, 0, out_blocks).num_blocks;
}

/* A sequence of whole blocks: takes what the tree has, allocates and commits the rest. */
static int32_t put_sequence(tn_kv_cache *cache, uint64_t salt, const int32_t *tokens, int32_t num_blocks, int32_t *blocks) {
    int32_t matched = match_whole(cache, salt, tokens, num_blocks * BLOCK, num_blocks, blocks);
    for (int32_t i = matched; i < num_blocks; i++) {
        blocks[i] = tn_kv_cache_allocate(cache);
        assert_true(blocks[i] >= 0);
        tn_kv_cache_commit(cache, salt, tokens + i * BLOCK, BLOCK, i > 0 ? blocks[i - 1] : NONE, blocks[i], TN_KV_DEFAULT_PRIORITY);
    }
    return matched;
}

static void release_all(tn_kv_cache *cache, const int32_t *blocks, int32_t count) {
    for (int32_t i = count - 1; i >= 0; i--) tn_kv_cache_release(cache, blocks[i]);
}

static void blocks_are_given_once_until_none_is_left(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(3);
    bool seen[3] = {false};
    for (int i = 0; i < 3; i++) {
        int32_t block = tn_kv_cache_allocate(cache);
        assert_in_range(block, 0, 2);
        assert_false(seen[block]);
        seen[block] = true;
    }
    assert_int_equal(tn_kv_cache_allocate(cache), NONE);
    assert_int_equal(tn_kv_cache_num_available(cache), 0);
    tn_kv_cache_release(cache, 1);
    assert_int_equal(tn_kv_cache_num_available(cache), 1);
    assert_int_equal(tn_kv_cache_allocate(cache), 1);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

static void equal_prompts_share_whole_blocks(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(8);
    const int32_t tokens[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    int32_t a[3], b[3];
    assert_int_equal(put_sequence(cache, 0, tokens, 3, a), 0);
    assert_int_equal(match_whole(cache, 0, tokens, 11, 3, b), 2); /* the third block is not whole */
    assert_memory_equal(a, b, 2 * sizeof *a);
    assert_int_equal(tn_kv_cache_num_available(cache), 5);
    release_all(cache, b, 2);
    release_all(cache, a, 3);
    assert_int_equal(tn_kv_cache_num_available(cache), 8);
    assert_int_equal(tn_kv_cache_num_cached(cache), 3);
    assert_int_equal(match_whole(cache, 0, tokens, 12, 2, b), 2); /* as many as asked for */
    release_all(cache, b, 2);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

static void a_block_is_found_only_after_equal_blocks_and_with_its_salt(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(8);
    const int32_t ab[8] = {1, 1, 1, 1, 2, 2, 2, 2}, cb[8] = {3, 3, 3, 3, 2, 2, 2, 2}, b[4] = {2, 2, 2, 2};
    int32_t blocks[2], found[2];
    put_sequence(cache, 7, ab, 2, blocks);
    assert_int_equal(match_whole(cache, 8, ab, 8, 2, found), 0);
    assert_int_equal(match_whole(cache, 7, cb, 8, 2, found), 0);
    assert_int_equal(match_whole(cache, 7, b, 4, 1, found), 0);
    assert_int_equal(match_whole(cache, 7, ab, 8, 2, found), 2);
    release_all(cache, found, 2);
    release_all(cache, blocks, 2);
    tn_kv_cache_destroy(cache);
}

static void an_equal_block_computed_twice_stays_private(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(8);
    const int32_t tokens[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    int32_t first[2], second[2] = {tn_kv_cache_allocate(cache), tn_kv_cache_allocate(cache)};
    put_sequence(cache, 0, tokens, 2, first);
    for (int i = 0; i < 2; i++)
        tn_kv_cache_commit(cache, 0, tokens + i * BLOCK, BLOCK, i > 0 ? second[0] : NONE, second[i], TN_KV_DEFAULT_PRIORITY);
    assert_true(tn_kv_cache_check(cache));
    release_all(cache, second, 2);
    assert_int_equal(tn_kv_cache_num_cached(cache), 0); /* they went back to the free ones */
    release_all(cache, first, 2);
    assert_int_equal(tn_kv_cache_num_cached(cache), 2);
    tn_kv_cache_destroy(cache);
}

static void the_longest_unused_leaf_is_taken_back_first_and_parents_last(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(4);
    const int32_t old[8] = {1, 1, 1, 1, 2, 2, 2, 2}, new[8] = {1, 1, 1, 1, 3, 3, 3, 3}, other[4] = {9, 9, 9, 9};
    int32_t a[2], b[2], c[1], found[2];
    put_sequence(cache, 0, old, 2, a);
    assert_int_equal(put_sequence(cache, 0, new, 2, b), 1);
    put_sequence(cache, 0, other, 1, c);
    release_all(cache, a, 2);
    release_all(cache, c, 1);
    release_all(cache, b, 2);
    assert_int_equal(tn_kv_cache_num_cached(cache), 4);
    assert_int_equal(tn_kv_cache_allocate(cache), a[1]); /* the oldest leaf, though its parent was used later */
    assert_int_equal(match_whole(cache, 0, old, 8, 2, found), 1);
    release_all(cache, found, 1);
    assert_int_equal(tn_kv_cache_allocate(cache), c[0]);
    assert_int_equal(tn_kv_cache_allocate(cache), b[1]);
    assert_int_equal(tn_kv_cache_allocate(cache), a[0]); /* the shared parent, when nothing continues it any more */
    assert_int_equal(tn_kv_cache_allocate(cache), NONE);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

static void a_cached_block_in_use_again_is_not_taken_back(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(2);
    const int32_t tokens[4] = {1, 2, 3, 4};
    int32_t a[1], b[1];
    put_sequence(cache, 0, tokens, 1, a);
    release_all(cache, a, 1);
    assert_int_equal(put_sequence(cache, 0, tokens, 1, b), 1);
    assert_int_not_equal(tn_kv_cache_allocate(cache), a[0]);
    assert_int_equal(tn_kv_cache_allocate(cache), NONE);
    tn_kv_cache_destroy(cache);
}

static void a_taken_back_block_is_found_no_more(void **state) {
    (void)state;
    tn_kv_cache *cache = make_cache(1);
    const int32_t tokens[4] = {1, 2, 3, 4};
    int32_t a[1], found[1];
    put_sequence(cache, 0, tokens, 1, a);
    release_all(cache, a, 1);
    assert_int_equal(tn_kv_cache_allocate(cache), a[0]);
    assert_int_equal(match_whole(cache, 0, tokens, 4, 1, found), 0);
    tn_kv_cache_release(cache, a[0]);
    assert_int_equal(tn_kv_cache_num_cached(cache), 0);
    tn_kv_cache_destroy(cache);
}

/* --- parts, priorities, the host ------------------------------------------------------------------------------------------- */

static tn_kv_cache *make_full_cache(int32_t num_blocks, int32_t num_host_slots, int32_t offload_min_priority) {
    tn_kv_cache_options options = {.num_blocks = num_blocks,
                                   .tokens_per_block = BLOCK,
                                   .num_host_slots = num_host_slots,
                                   .enable_partial_reuse = true,
                                   .copy_on_partial_reuse = true,
                                   .onboard_blocks = true,
                                   .offload_min_priority = offload_min_priority};
    tn_kv_cache *cache;
    assert_int_equal(tn_kv_cache_create(&options, NULL, NULL, &cache), TN_OK);
    return cache;
}

static void expect_copy(tn_kv_cache *cache, tn_kv_copy_kind kind, int32_t src, int32_t dst, int32_t num_tokens) {
    int32_t count;
    const tn_kv_copy *copies = tn_kv_cache_take_copies(cache, &count);
    assert_int_equal(count, 1);
    assert_int_equal(copies[0].kind, kind);
    assert_int_equal(copies[0].src, src);
    assert_int_equal(copies[0].dst, dst);
    if (kind == TN_KV_COPY_TOKENS) assert_int_equal(copies[0].num_tokens, num_tokens);
}

static void the_longest_common_part_of_a_block_is_copied(void **state) {
    (void)state;
    tn_kv_cache *cache = make_full_cache(8, 0, -1);
    const int32_t near[8] = {1, 2, 3, 4, 5, 6, 9, 9}, nearer[8] = {1, 2, 3, 4, 5, 6, 7, 9}, wanted[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    int32_t a[2], b[2], found[3];
    put_sequence(cache, 0, near, 2, a);
    put_sequence(cache, 0, nearer, 2, b);
    tn_kv_match match = tn_kv_cache_match(cache, 0, wanted, 8, 1, found);
    assert_int_equal(match.num_tokens, 7);
    assert_int_equal(match.num_blocks, 2);
    assert_int_equal(match.num_shared, 1);
    assert_int_equal(found[0], a[0]);
    assert_true(found[1] != a[1] && found[1] != b[1]);
    expect_copy(cache, TN_KV_COPY_TOKENS, b[1], found[1], 3);
    release_all(cache, found, 2);
    match = tn_kv_cache_match(cache, 0, wanted, 8, 0, found); /* no block may be taken for it */
    assert_int_equal(match.num_tokens, 4);
    release_all(cache, found, 1);
    assert_int_equal(tn_kv_cache_match(cache, 5, wanted, 8, 1, found).num_tokens, 0); /* another salt */
    release_all(cache, a, 2);
    release_all(cache, b, 2);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

static void a_block_that_is_not_whole_is_found_by_its_tokens_only_in_part(void **state) {
    (void)state;
    tn_kv_cache *cache = make_full_cache(4, 0, -1);
    const int32_t tokens[4] = {1, 2, 3, 4};
    int32_t block = tn_kv_cache_allocate(cache), found[2];
    tn_kv_cache_commit(cache, 0, tokens, 3, NONE, block, TN_KV_DEFAULT_PRIORITY);
    tn_kv_cache_release(cache, block);
    assert_int_equal(tn_kv_cache_num_cached(cache), 1);
    tn_kv_match match = tn_kv_cache_match(cache, 0, tokens, 4, 4, found);
    assert_int_equal(match.num_tokens, 3);
    assert_int_equal(match.num_shared, 0);
    expect_copy(cache, TN_KV_COPY_TOKENS, block, found[0], 3);
    /* A second one with fewer of the same tokens is not worth keeping. */
    tn_kv_cache_commit(cache, 0, tokens, 2, NONE, found[0], TN_KV_DEFAULT_PRIORITY);
    tn_kv_cache_release(cache, found[0]);
    assert_int_equal(tn_kv_cache_num_cached(cache), 1);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

static void lower_priorities_are_taken_back_first_and_durations_end(void **state) {
    (void)state;
    tn_kv_cache *cache = make_full_cache(4, 0, -1);
    int32_t blocks[4], priorities[4] = {90, 10, 35, 100}; /* the last for a while only */
    for (int32_t i = 0; i < 4; i++) {
        const int32_t tokens[4] = {i, i, i, i};
        blocks[i] = tn_kv_cache_allocate(cache);
        tn_kv_cache_commit(cache, 0, tokens, 4, NONE, blocks[i], (tn_kv_priority){priorities[i], i == 3 ? 1000 : -1});
    }
    for (int32_t i = 0; i < 4; i++) tn_kv_cache_release(cache, blocks[i]);
    assert_int_equal(tn_kv_cache_allocate(cache), blocks[1]);
    tn_kv_cache_set_time(cache, 999);
    assert_int_equal(tn_kv_cache_allocate(cache), blocks[2]);
    tn_kv_cache_set_time(cache, 1000);
    assert_int_equal(tn_kv_cache_allocate(cache), blocks[3]);
    assert_int_equal(tn_kv_cache_allocate(cache), blocks[0]);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

static void a_block_goes_to_the_host_and_comes_back(void **state) {
    (void)state;
    tn_kv_cache *cache = make_full_cache(2, 1, 20);
    const int32_t kept[4] = {1, 2, 3, 4}, cheap[4] = {5, 6, 7, 8};
    int32_t a[1], b[1], found[2], count;
    put_sequence(cache, 0, kept, 1, a);
    b[0] = tn_kv_cache_allocate(cache);
    tn_kv_cache_commit(cache, 0, cheap, 4, NONE, b[0], (tn_kv_priority){20, -1});
    release_all(cache, a, 1);
    release_all(cache, b, 1);
    assert_int_equal(tn_kv_cache_allocate(cache), b[0]); /* not worth a slot */
    (void)tn_kv_cache_take_copies(cache, &count);
    assert_int_equal(count, 0);
    assert_int_equal(tn_kv_cache_allocate(cache), a[0]);
    expect_copy(cache, TN_KV_OFFLOAD, a[0], 0, 0);
    assert_int_equal(tn_kv_cache_num_on_host(cache), 1);
    assert_int_equal(tn_kv_cache_match(cache, 0, kept, 4, 1, found).num_tokens, 0); /* no room on the device */
    tn_kv_cache_release(cache, b[0]);
    tn_kv_match match = tn_kv_cache_match(cache, 0, kept, 4, 1, found);
    assert_int_equal(match.num_tokens, 4);
    assert_int_equal(match.num_shared, 1);
    assert_int_equal(found[0], b[0]);
    expect_copy(cache, TN_KV_ONBOARD, 0, b[0], 0);
    assert_int_equal(tn_kv_cache_num_on_host(cache), 0);
    assert_true(tn_kv_cache_check(cache));
    tn_kv_cache_destroy(cache);
}

/* --- against a model ------------------------------------------------------------------------------------------------------- */

/* What a block holds is written as the sequence's ids up to the block's end, the way keys and values depend on all tokens
 * before. A match that returned a block with other contents would be a wrong answer of a model. */
enum { NUM_BLOCKS = 24, MAX_SEQUENCES = 6, MAX_SEQUENCE_BLOCKS = 6, MAX_TOKENS = MAX_SEQUENCE_BLOCKS * BLOCK, STEPS = 100000 };

typedef struct fake_sequence {
    bool is_live;
    uint64_t salt;
    int32_t tokens[MAX_TOKENS], num_blocks, num_committed, target;
    int32_t blocks[MAX_SEQUENCE_BLOCKS];
} fake_sequence;

typedef struct fake_executor {
    tn_kv_cache *cache;
    fake_sequence sequences[MAX_SEQUENCES];
    struct {
        uint64_t salt;
        int32_t count, tokens[MAX_TOKENS];
    } contents[NUM_BLOCKS];
    uint64_t random;
    int64_t num_matched, num_evictions;
} fake_executor;

static uint32_t next_random(fake_executor *self, uint32_t below) {
    self->random = self->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(self->random >> 33) % below;
}

static int32_t owners_of(const fake_executor *self, int32_t block) {
    int32_t owners = 0;
    for (int s = 0; s < MAX_SEQUENCES; s++)
        for (int32_t i = 0; self->sequences[s].is_live && i < self->sequences[s].num_blocks; i++)
            owners += self->sequences[s].blocks[i] == block;
    return owners;
}

static void start(fake_executor *self, fake_sequence *sequence) {
    *sequence = (fake_sequence){.is_live = true, .salt = next_random(self, 2)};
    sequence->target = 1 + (int32_t)next_random(self, MAX_SEQUENCE_BLOCKS);
    for (int i = 0; i < MAX_TOKENS; i++) sequence->tokens[i] = (int32_t)next_random(self, 8) == 0; /* mostly alike */
    sequence->num_blocks = sequence->num_committed =
        match_whole(self->cache, sequence->salt, sequence->tokens, MAX_TOKENS, sequence->target, sequence->blocks);
    self->num_matched += sequence->num_blocks;
    for (int32_t i = 0; i < sequence->num_blocks; i++) {
        int32_t block = sequence->blocks[i], count = (i + 1) * BLOCK;
        assert_true(self->contents[block].salt == sequence->salt);
        assert_int_equal(self->contents[block].count, count);
        assert_memory_equal(self->contents[block].tokens, sequence->tokens, (size_t)count * sizeof(int32_t));
    }
}

static void grow(fake_executor *self, fake_sequence *sequence) {
    if (sequence->num_blocks == sequence->target) return;
    int32_t available = tn_kv_cache_num_available(self->cache), cached = tn_kv_cache_num_cached(self->cache);
    int32_t block = tn_kv_cache_allocate(self->cache);
    assert_int_equal(block >= 0, available > 0);
    if (block < 0) return;
    self->num_evictions += cached != tn_kv_cache_num_cached(self->cache);
    assert_int_equal(owners_of(self, block), 0);
    sequence->blocks[sequence->num_blocks++] = block;
    self->contents[block].salt = sequence->salt;
    self->contents[block].count = sequence->num_blocks * BLOCK;
    memcpy(self->contents[block].tokens, sequence->tokens, sizeof sequence->tokens);
}

static void commit(fake_executor *self, fake_sequence *sequence) {
    if (sequence->num_committed == sequence->num_blocks) return;
    int32_t i = sequence->num_committed++;
    tn_kv_cache_commit(self->cache, sequence->salt, sequence->tokens + i * BLOCK, BLOCK, i > 0 ? sequence->blocks[i - 1] : NONE,
                       sequence->blocks[i], TN_KV_DEFAULT_PRIORITY);
}

static void check_books(const fake_executor *self) {
    assert_true(tn_kv_cache_check(self->cache));
    int32_t owned = 0;
    for (int32_t block = 0; block < NUM_BLOCKS; block++) owned += owners_of(self, block) > 0;
    assert_int_equal(tn_kv_cache_num_available(self->cache), NUM_BLOCKS - owned);
}

static void books_and_contents_stay_right_over_many_random_steps(void **state) {
    (void)state;
    fake_executor self = {.cache = make_cache(NUM_BLOCKS), .random = 20};
    for (int step = 0; step < STEPS; step++) {
        fake_sequence *sequence = &self.sequences[next_random(&self, MAX_SEQUENCES)];
        if (!sequence->is_live) {
            start(&self, sequence);
        } else {
            uint32_t choice = next_random(&self, 8);
            if (choice < 4) {
                grow(&self, sequence);
            } else if (choice < 7) {
                commit(&self, sequence);
            } else {
                release_all(self.cache, sequence->blocks, sequence->num_blocks);
                sequence->is_live = false;
            }
        }
        check_books(&self);
    }
    assert_true(self.num_matched > 1000);
    assert_true(self.num_evictions > 1000);
    for (int s = 0; s < MAX_SEQUENCES; s++)
        if (self.sequences[s].is_live) release_all(self.cache, self.sequences[s].blocks, self.sequences[s].num_blocks);
    assert_int_equal(tn_kv_cache_num_available(self.cache), NUM_BLOCKS);
    tn_kv_cache_destroy(self.cache);
}

static void each_failing_allocation_of_create_is_reported(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_diag *diag;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_kv_cache *cache;
        tn_status status =
            tn_kv_cache_create(&(tn_kv_cache_options){.num_blocks = 8, .tokens_per_block = BLOCK}, &fault.allocator, diag, &cache);
        tn_kv_cache_destroy(cache);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_destroy(diag);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
        assert_null(cache);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_given_once_until_none_is_left),
        cmocka_unit_test(equal_prompts_share_whole_blocks),
        cmocka_unit_test(a_block_is_found_only_after_equal_blocks_and_with_its_salt),
        cmocka_unit_test(an_equal_block_computed_twice_stays_private),
        cmocka_unit_test(the_longest_unused_leaf_is_taken_back_first_and_parents_last),
        cmocka_unit_test(a_cached_block_in_use_again_is_not_taken_back),
        cmocka_unit_test(a_taken_back_block_is_found_no_more),
        cmocka_unit_test(the_longest_common_part_of_a_block_is_copied),
        cmocka_unit_test(a_block_that_is_not_whole_is_found_by_its_tokens_only_in_part),
        cmocka_unit_test(lower_priorities_are_taken_back_first_and_durations_end),
        cmocka_unit_test(a_block_goes_to_the_host_and_comes_back),
        cmocka_unit_test(books_and_contents_stay_right_over_many_random_steps),
        cmocka_unit_test(each_failing_allocation_of_create_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
