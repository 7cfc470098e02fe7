/* SPDX-License-Identifier: Apache-2.0
 *
 * philox_test.c: the known answers that the authors of Philox published with Random123.
 */
#include "op/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void known_answers_are_met(void **state) {
    (void)state;
    static const uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        tn_philox4x32(cases[i], cases[i] + 4, out);
        assert_memory_equal(out, cases[i] + 6, sizeof out);
    }
}

static void uniform_takes_the_top_53_bits(void **state) {
    (void)state;
    double expected = (double)(0x6627e8d5e169c58dull >> 11) / 9007199254740992.0;
    assert_true(tn_philox_uniform(0, 0, 0) == expected);
    assert_true(tn_philox_uniform(0, 0, 1) != tn_philox_uniform(0, 1, 0));
    assert_true(tn_philox_uniform(1, 0, 0) != tn_philox_uniform((uint64_t)1 << 32, 0, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers_are_met), cmocka_unit_test(uniform_takes_the_top_53_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
