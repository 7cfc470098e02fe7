/* SPDX-License-Identifier: Apache-2.0
 *
 * expected.h: the expected answers of a real model (tests/golden/smollm2/expected.json), and a decoder held against them.
 */
#ifndef TN_TESTS_SUPPORT_EXPECTED_H_
#define TN_TESTS_SUPPORT_EXPECTED_H_

#include "format/json.h"
#include "support/decoder.h"

enum { TN_TEST_MAX_IDS = 2048 };

/* A JSON array of 1 to TN_TEST_MAX_IDS token ids into `ids`; how many. */
size_t tn_test_read_ids(const tn_json_value *array, int32_t *ids);

/* Answers the prompts of the first `most_cases` cases: greedy tokens equal the expected ones up to the first margin that is not above
 * `margin`, and the ten likeliest first tokens have their log-probability (natural) within `tolerance`. The decoder has started. */
void tn_test_check_expected(tn_test_decoder *decoder, const tn_json *expected, size_t most_cases, double margin, double tolerance);

#endif
