/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_test.c: allocation, growing arrays, arenas, hashing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/memory.h"
#include "support/fault_allocator.h"

static void blocks_of_no_bytes_can_be_freed(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    const tn_allocator *allocators[2] = {NULL, &fault.allocator};
    for (int i = 0; i < 2; i++) {
        void *block = tn_alloc(allocators[i], 0);
        assert_non_null(block);
        block = tn_realloc(allocators[i], block, 0); /* not a free */
        assert_non_null(block);
        tn_free(allocators[i], block);
        void *array = tn_alloc_array(allocators[i], 0, 8);
        assert_non_null(array);
        tn_free(allocators[i], array);
        tn_free(allocators[i], NULL);
    }
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void array_whose_size_overflows_is_refused_before_allocating(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    assert_null(tn_alloc_array(&fault.allocator, SIZE_MAX / 2, 3));
    assert_null(tn_copy_bytes(&fault.allocator, "", SIZE_MAX));
    assert_int_equal(atomic_load(&fault.num_calls), 0);
}

static void zeroed_blocks_are_zero(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    const tn_allocator *allocators[2] = {NULL, &fault.allocator};
    for (int i = 0; i < 2; i++) {
        uint8_t *block = tn_alloc_array(allocators[i], 100, 3);
        for (int j = 0; j < 300; j++) assert_int_equal(block[j], 0);
        tn_free(allocators[i], block);
    }
}

static void copied_bytes_end_with_a_nul(void **state) {
    (void)state;
    char *copy = tn_copy_bytes(NULL, "a\0bc", 3);
    assert_memory_equal(copy, "a\0b", 4);
    tn_free(NULL, copy);
    copy = tn_copy_string(NULL, "text");
    assert_string_equal(copy, "text");
    tn_free(NULL, copy);
}

static void pushed_elements_stay_in_order(void **state) {
    (void)state;
    TN_ARRAY(int) numbers = {0};
    for (int i = 0; i < 1000; i++) assert_true(tn_array_push(NULL, &numbers, i));
    assert_int_equal(numbers.count, 1000);
    assert_true(numbers.capacity < 2048 + 1);
    for (int i = 0; i < 1000; i++) assert_int_equal(numbers.data[i], i);
    tn_array_deinit(NULL, &numbers);
    assert_null(numbers.data);
    assert_int_equal(numbers.count, 0);
}

static void failed_push_leaves_the_array_unchanged(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 2);
    TN_ARRAY(int) numbers = {0};
    int num_pushed = 0;
    while (tn_array_push(&fault.allocator, &numbers, num_pushed)) num_pushed++;
    assert_int_equal(numbers.count, num_pushed);
    assert_int_equal(numbers.capacity, num_pushed);
    for (int i = 0; i < num_pushed; i++) assert_int_equal(numbers.data[i], i);
    int *data = numbers.data;
    assert_false(tn_array_reserve_raw(&fault.allocator, (void **)&numbers.data, &numbers.capacity, sizeof(int), SIZE_MAX / 2));
    assert_ptr_equal(numbers.data, data);
    tn_array_deinit(&fault.allocator, &numbers);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void checked_arithmetic_notices_overflow(void **state) {
    (void)state;
    size_t size = 7;
    int64_t number = 7;
    assert_false(tn_add_size(SIZE_MAX, 1, &size));
    assert_false(tn_mul_size(SIZE_MAX / 2, 3, &size));
    assert_false(tn_align_size(SIZE_MAX - 3, 16, &size));
    assert_false(tn_add_i64(INT64_MAX, 1, &number));
    assert_false(tn_mul_i64(INT64_MIN, -1, &number));
    assert_int_equal(size, 7);
    assert_int_equal(number, 7);
    assert_true(tn_align_size(17, 16, &size));
    assert_int_equal(size, 32);
    assert_int_equal(tn_round_up(33, 32), 64);
    assert_int_equal(tn_ceil_div(32, 32), 1);
}

static void arena_blocks_are_aligned_zeroed_and_do_not_overlap(void **state) {
    (void)state;
    tn_arena arena = {0};
    uint8_t *previous = NULL;
    size_t previous_size = 0;
    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *block = tn_arena_alloc(&arena, size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        for (size_t i = 0; i < size; i++) assert_int_equal(block[i], 0);
        memset(block, 0xAB, size);
        if (previous != NULL && previous_size > 0) assert_int_equal(previous[previous_size - 1], 0xAB);
        previous = block;
        previous_size = size;
    }
    tn_arena_deinit(&arena);
    assert_int_equal(arena.used_bytes, 0);
}

static void arena_gives_zeroed_memory_again_after_reset(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_arena arena = {.allocator = &fault.allocator};
    for (int i = 0; i < 50; i++) memset(tn_arena_alloc(&arena, 1000), 0xFF, 1000);
    tn_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 1);
    uint8_t *block = tn_arena_alloc(&arena, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(block[i], 0);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 1); /* the kept chunk was used */
    tn_arena_deinit(&arena);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void arena_copies_strings_and_formats(void **state) {
    (void)state;
    tn_arena arena = {0};
    assert_string_equal(tn_arena_string(&arena, "name"), "name");
    assert_string_equal(tn_arena_format(&arena, "blk.%d.%s", 3, "ffn"), "blk.3.ffn");
    assert_memory_equal(tn_arena_bytes(&arena, "a\0b", 3), "a\0b", 4);
    tn_arena_deinit(&arena);
}

static void arena_without_memory_answers_null_and_stays_usable(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 1);
    tn_arena arena = {.allocator = &fault.allocator};
    assert_null(tn_arena_string(&arena, "x"));
    assert_null(tn_arena_alloc_array(&arena, SIZE_MAX / 4, 5));
    assert_null(tn_arena_alloc(&arena, SIZE_MAX));
    assert_null(tn_arena_alloc(&arena, SIZE_MAX - 40));
    assert_string_equal(tn_arena_string(&arena, "x"), "x");
    tn_arena_deinit(&arena);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void hash_is_xxh3_and_pieces_give_the_hash_of_the_whole(void **state) {
    (void)state;
    uint8_t data[5000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 31 + 7);
    assert_int_equal(tn_hash("", 0, 0), 0x2d06800538d394c2u); /* published value of XXH3 for no bytes */
    assert_int_not_equal(tn_hash(data, sizeof data, 0), tn_hash(data, sizeof data, 1));

    tn_hasher *hasher = tn_hasher_create();
    assert_non_null(hasher);
    assert_int_equal(tn_hasher_get(hasher), tn_hash("", 0, 0));
    for (size_t begin = 0, piece = 1; begin < sizeof data; begin += piece, piece = piece * 2 + 1) {
        size_t left = sizeof data - begin;
        tn_hasher_update(hasher, data + begin, piece < left ? piece : left);
    }
    assert_int_equal(tn_hasher_get(hasher), tn_hash(data, sizeof data, 0));
    tn_hasher_destroy(hasher);
    tn_hasher_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_no_bytes_can_be_freed),
        cmocka_unit_test(array_whose_size_overflows_is_refused_before_allocating),
        cmocka_unit_test(zeroed_blocks_are_zero),
        cmocka_unit_test(copied_bytes_end_with_a_nul),
        cmocka_unit_test(pushed_elements_stay_in_order),
        cmocka_unit_test(failed_push_leaves_the_array_unchanged),
        cmocka_unit_test(checked_arithmetic_notices_overflow),
        cmocka_unit_test(arena_blocks_are_aligned_zeroed_and_do_not_overlap),
        cmocka_unit_test(arena_gives_zeroed_memory_again_after_reset),
        cmocka_unit_test(arena_copies_strings_and_formats),
        cmocka_unit_test(arena_without_memory_answers_null_and_stays_usable),
        cmocka_unit_test(hash_is_xxh3_and_pieces_give_the_hash_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
