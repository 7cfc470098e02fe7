/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_blocks_test.c: taking a block apart and putting it together again. Values are compared in encoding_test.c.
 */
#include "op/gguf_blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "op/encoding.h"

static void a_block_is_its_codes_integers_and_scales(void **state) {
    (void)state;
    unsigned seed = 5;
    for (size_t t = 0; t < tn_gguf_num_block_types(); t++) {
        const tn_gguf_block_type *type = tn_gguf_block_type_at(t);
        uint8_t block[256], again[256] = {0}, codes[TN_GGUF_PIECE];
        for (int i = 0; i < type->size_bytes; i++) block[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        for (int piece = 0; piece < type->values / TN_GGUF_PIECE; piece++) {
            tn_gguf_load_codes(type, block, piece, codes);
            for (int i = 0; i < TN_GGUF_PIECE; i++) assert_true(codes[i] >> type->code_bits == 0);
            tn_gguf_store_codes(type, again, piece, codes);
            if (type->scale_columns > 0) tn_gguf_store_integers(type, again, piece, tn_gguf_load_integers(type, block, piece));
        }
        memcpy(again + type->scale_at, block + type->scale_at, type->number == TN_GGUF_MXFP4 ? 1 : 2);
        if (type->minimum_at >= 0) memcpy(again + type->minimum_at, block + type->minimum_at, 2);
        assert_memory_equal(again, block, type->size_bytes);
    }
}

static void tables_hold_no_number_below_the_offset(void **state) {
    (void)state;
    for (size_t t = 0; t < tn_gguf_num_block_types(); t++) {
        const tn_gguf_block_type *type = tn_gguf_block_type_at(t);
        for (int i = 0; type->table != NULL && i < 16; i++) assert_true(type->table[i] + type->offset >= 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_its_codes_integers_and_scales),
        cmocka_unit_test(tables_hold_no_number_below_the_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
