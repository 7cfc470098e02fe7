/* SPDX-License-Identifier: Apache-2.0
 *
 * expected.c: see expected.h.
 */
#include "support/expected.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

size_t tn_test_read_ids(const tn_json_value *array, int32_t *ids) {
    size_t count = tn_json_count(array);
    assert_in_range(count, 1, TN_TEST_MAX_IDS);
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        assert_int_equal(tn_json_to_integer(tn_json_at(array, i), 0, INT32_MAX, NULL, &id), TN_OK);
        ids[i] = (int32_t)id;
    }
    return count;
}

static void check_tokens(const tn_response *response, const tn_json_value *test, size_t test_index, double margin) {
    static int32_t greedy[TN_TEST_MAX_IDS];
    const tn_json_value *margins = tn_json_find(test, "greedy_margin");
    size_t count, num_greedy = tn_test_read_ids(tn_json_find(test, "greedy"), greedy);
    const int32_t *ids = tn_response_ids(response, &count);
    assert_int_equal(count, num_greedy);
    for (size_t i = 0; i < count; i++) {
        double at;
        assert_int_equal(tn_json_to_number(tn_json_at(margins, i), 0.0, 1e9, NULL, &at), TN_OK);
        if (at <= margin) break;
        if (ids[i] != greedy[i]) fail_msg("case %zu: token %zu is %d, must be %d (margin %g)", test_index, i, ids[i], greedy[i], at);
    }
}

/* The distance of the log-probability of `id` from `value`; infinite if it is not among the pairs. Pair 0 is the token chosen. */
static double distance_of(const tn_log_prob *pairs, size_t num_pairs, int64_t id, double value) {
    for (size_t k = 1; k < num_pairs; k++)
        if (pairs[k].id == id) return fabs((double)pairs[k].value - value);
    return INFINITY;
}

static double check_log_probs(const tn_response *response, const tn_json_value *test, size_t test_index, double tolerance) {
    const tn_json_value *top10 = tn_json_find(test, "first_top10");
    size_t num_pairs;
    const tn_log_prob *pairs = tn_response_log_probs(response, 0, &num_pairs);
    double largest = 0.0;
    assert_int_equal(num_pairs, 11);
    for (size_t i = 0; i < tn_json_count(top10); i++) {
        int64_t id;
        double value;
        assert_int_equal(tn_json_to_integer(tn_json_at(tn_json_at(top10, i), 0), 0, INT32_MAX, NULL, &id), TN_OK);
        assert_int_equal(tn_json_to_number(tn_json_at(tn_json_at(top10, i), 1), -1e9, 0.0, NULL, &value), TN_OK);
        double distance = distance_of(pairs, num_pairs, id, value);
        if (!(distance <= tolerance))
            fail_msg("case %zu: token %lld is %g from the log-probability %g, at most %g", test_index, (long long)id, distance, value,
                     tolerance);
        largest = fmax(largest, distance);
    }
    return largest;
}

void tn_test_check_expected(tn_test_decoder *decoder, const tn_json *expected, size_t most_cases, double margin, double tolerance) {
    const tn_json_value *cases = tn_json_find(tn_json_root(expected), "cases");
    double largest = 0.0;
    assert_true(tn_json_count(cases) > 0);
    for (size_t c = 0; c < tn_json_count(cases) && c < most_cases; c++) {
        const tn_json_value *test = tn_json_at(cases, c);
        static int32_t prompt[TN_TEST_MAX_IDS];
        size_t num_prompt = tn_test_read_ids(tn_json_find(test, "ids"), prompt);
        tn_request request;
        tn_request_init(&request, prompt, num_prompt, (int32_t)tn_json_count(tn_json_find(test, "greedy")));
        request.num_log_probs = 10;
        tn_response *response = tn_test_answer(decoder, &request);
        check_tokens(response, test, c, margin);
        largest = fmax(largest, check_log_probs(response, test, c, tolerance));
        tn_response_destroy(response);
    }
    print_message("largest distance of a log-probability: %.2g, at most %.2g\n", largest, tolerance);
}
