/* SPDX-License-Identifier: Apache-2.0
 *
 * rope_test.c: rotary frequencies against tests/golden/rope.json, which Hugging Face's own functions made in float64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "format/json.h"
#include "functional/functional.h"

enum { MAX_PAIRS = 128 };

static double number_or(const tn_json_value *object, const char *key, double fallback) {
    double number;
    assert_int_equal(tn_json_get_number_or(object, key, -1e30, 1e30, fallback, NULL, &number), TN_OK);
    return number;
}

static tn_rope read_case(const tn_json_value *object) {
    static const struct {
        const char *name;
        tn_rope_scaling scaling;
    } types[] = {{"default", TN_ROPE_DEFAULT},
                 {"linear", TN_ROPE_LINEAR},
                 {"dynamic", TN_ROPE_DYNAMIC},
                 {"llama3", TN_ROPE_LLAMA3},
                 {"yarn", TN_ROPE_YARN}};
    const char *type;
    bool is_truncated;
    assert_int_equal(tn_json_get_string(object, "rope_type", NULL, &type, NULL), TN_OK);
    assert_int_equal(tn_json_get_bool_or(object, "truncate", true, NULL, &is_truncated), TN_OK);
    tn_rope rope = {
        .dim = (int64_t)number_or(object, "dim", 0),
        .theta = number_or(object, "rope_theta", 0),
        .factor = number_or(object, "factor", 1),
        .low_freq_factor = number_or(object, "low_freq_factor", 0),
        .high_freq_factor = number_or(object, "high_freq_factor", 0),
        .beta_fast = number_or(object, "beta_fast", 32),
        .beta_slow = number_or(object, "beta_slow", 1),
        .attention_factor = number_or(object, "attention_factor", 0),
        .keep_correction_range_fractional = !is_truncated,
        .original_max_positions = (int64_t)number_or(object, "original_max_position_embeddings", number_or(object, "max_positions", 0)),
    };
    size_t i = 0;
    while (i < sizeof types / sizeof *types && strcmp(types[i].name, type) != 0) i++;
    assert_true(i < sizeof types / sizeof *types);
    rope.scaling = types[i].scaling;
    return rope;
}

static void frequencies_of_all_scalings_equal_hugging_faces(void **state) {
    (void)state;
    tn_json *json;
    assert_int_equal(tn_json_load(TN_TEST_DATA "/rope.json", NULL, NULL, NULL, &json), TN_OK);
    unsigned seen = 0;
    for (size_t c = 0; c < tn_json_count(tn_json_root(json)); c++) {
        const tn_json_value *object = tn_json_at(tn_json_root(json), c), *expected;
        const char *name;
        assert_int_equal(tn_json_get_string(object, "name", NULL, &name, NULL), TN_OK);
        tn_rope rope = read_case(object);
        seen |= 1u << rope.scaling;
        float frequencies[MAX_PAIRS];
        double scale;
        assert_true(rope.dim / 2 <= MAX_PAIRS);
        tn_rope_frequencies(&rope, (int64_t)number_or(object, "seq_len", 0), frequencies, &scale);
        assert_int_equal(tn_json_get_array(object, "inverse_frequencies", NULL, &expected), TN_OK);
        assert_int_equal(tn_json_count(expected), rope.dim / 2);
        for (size_t i = 0; i < tn_json_count(expected); i++) {
            double value;
            assert_int_equal(tn_json_to_number(tn_json_at(expected, i), 0.0, 1.0, NULL, &value), TN_OK);
            /* float32 of nearly the same double: half a unit in the last place, and a little for the double's own */
            if (!(fabs((double)frequencies[i] - value) <= value * 6.1e-8))
                fail_msg("%s: frequency %zu is %.9g, wanted %.9g", name, i, (double)frequencies[i], value);
        }
        if (!(fabs(scale - number_or(object, "scale", 0)) <= 1e-14 * scale)) fail_msg("%s: scale is %.17g", name, scale);
    }
    assert_int_equal(seen, 0x1f); /* every scaling has a case */
    tn_json_destroy(json);
}

static void frequency_factors_divide_each_frequency(void **state) {
    (void)state;
    const float factors[] = {1.0f, 2.0f, 8.0f, 0.5f};
    tn_rope rope = {.dim = 8, .theta = 10000.0, .factor = 1.0};
    float plain[4], divided[4];
    double scale;
    tn_rope_frequencies(&rope, 512, plain, &scale);
    rope.frequency_factors = factors;
    tn_rope_frequencies(&rope, 512, divided, &scale);
    for (int i = 0; i < 4; i++) assert_float_equal(divided[i], plain[i] / factors[i], 1e-9f);
}

/* Otherwise a prompt read in chunks would be rotated differently from one read whole. */
static void dynamic_scaling_depends_on_the_engines_length_only(void **state) {
    (void)state;
    tn_rope rope = {.dim = 8, .theta = 10000.0, .scaling = TN_ROPE_DYNAMIC, .factor = 4.0, .original_max_positions = 1024};
    float within[4], plain[4], beyond[4];
    double scale;
    tn_rope_frequencies(&rope, 1024, within, &scale);
    tn_rope_frequencies(&rope, 2048, beyond, &scale);
    rope.scaling = TN_ROPE_DEFAULT;
    tn_rope_frequencies(&rope, 1024, plain, &scale);
    assert_memory_equal(within, plain, sizeof within);
    assert_true(beyond[3] < plain[3]);
    assert_true(beyond[0] == plain[0]);
}

static void long_rope_divides_by_one_list_up_to_the_original_length_and_by_another_beyond(void **state) {
    (void)state;
    static const float shorter[] = {1.0f, 2.0f}, longer[] = {4.0f, 8.0f};
    tn_rope rope = {.scaling = TN_ROPE_LONG,
                    .dim = 4,
                    .theta = 10000.0,
                    .factor = 4.0,
                    .original_max_positions = 64,
                    .short_factors = shorter,
                    .long_factors = longer};
    float frequencies[2];
    double scale;
    tn_rope_frequencies(&rope, 64, frequencies, &scale);
    assert_true(frequencies[0] == 1.0f && fabs((double)frequencies[1] - 0.005) < 1e-9);
    assert_true(fabs(scale - sqrt(1.0 + log(4.0) / log(64.0))) < 1e-12);
    tn_rope_frequencies(&rope, 65, frequencies, &scale);
    assert_true(frequencies[0] == 0.25f && fabs((double)frequencies[1] - 0.00125) < 1e-9);
    rope.attention_factor = 1.5;
    tn_rope_frequencies(&rope, 65, frequencies, &scale);
    assert_true(scale == 1.5);
}

static void alibi_slopes_fall_by_powers_of_two_and_odd_ones_follow(void **state) {
    (void)state;
    static const float of_four[] = {0.25f, 0.0625f, 0.015625f, 0.00390625f};
    float slopes[6];
    tn_alibi_slopes(4, 8.0, slopes);
    for (int i = 0; i < 4; i++) assert_true(slopes[i] == of_four[i]);
    tn_alibi_slopes(6, 8.0, slopes); /* then 2^(−1), 2^(−3) of the slopes of eight */
    for (int i = 0; i < 4; i++) assert_true(slopes[i] == of_four[i]);
    assert_true(slopes[4] == 0.5f && slopes[5] == 0.125f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_of_all_scalings_equal_hugging_faces),
        cmocka_unit_test(frequency_factors_divide_each_frequency),
        cmocka_unit_test(dynamic_scaling_depends_on_the_engines_length_only),
        cmocka_unit_test(long_rope_divides_by_one_list_up_to_the_original_length_and_by_another_beyond),
        cmocka_unit_test(alibi_slopes_fall_by_powers_of_two_and_odd_ones_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
