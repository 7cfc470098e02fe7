/* SPDX-License-Identifier: Apache-2.0
 *
 * dataset_test.c: datasets good and bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/dataset.h"
#include "support/fault_allocator.h"

#define TOKENIZER TN_TEST_DATA "/tokenizers/gpt2-bytelevel/tokenizer.json"

static tn_dataset dataset;
static tn_diag *diag;

static tn_status parse(const char *text, size_t max_requests) {
    tn_dataset_options options = {.vocab_size = 320, .max_requests = max_requests, .diag = diag};
    return tn_dataset_parse("requests.jsonl", text, strlen(text), &options, &dataset);
}

static int set_up(void **state) {
    (void)state;
    return tn_diag_create(NULL, &diag) == TN_OK ? 0 : 1;
}

static int tear_down(void **state) {
    (void)state;
    tn_dataset_deinit(&dataset);
    tn_diag_destroy(diag);
    return 0;
}

/* --- good ones ---------------------------------------------------------------------------------------------------------------- */

static void a_line_is_a_request(void **state) {
    (void)state;
    static const char text[] = "{\"task_id\": 7, \"input_ids\": [3, 5, 319], \"output_tokens\": 16}\n"
                               "\n"
                               "{\"logits\": [0], \"output_tokens\": 1, \"prompt\": null}\r\n"
                               "{\"task_id\": -1, \"output_tokens\": 2, \"input_ids\": [9, 9], \"prompt\": \"not read\"}";
    assert_int_equal(parse(text, 0), TN_OK);
    assert_int_equal(dataset.num_requests, 3);
    const tn_dataset_request *requests = dataset.requests;
    static const int32_t first[] = {3, 5, 319};
    assert_int_equal(requests[0].task_id, 7);
    assert_int_equal(requests[0].num_ids, 3);
    assert_memory_equal(requests[0].ids, first, sizeof first);
    assert_int_equal(requests[0].output_tokens, 16);
    assert_int_equal(requests[1].task_id, 1); /* its place */
    assert_int_equal(requests[1].num_ids, 1);
    assert_int_equal(requests[2].task_id, -1);
    assert_int_equal(requests[2].ids[1], 9);
}

static void only_the_first_requests_are_read(void **state) {
    (void)state;
    static const char text[] = "{\"input_ids\": [1], \"output_tokens\": 1}\n{\"input_ids\": [2], \"output_tokens\": 1}\nnot JSON\n";
    assert_int_equal(parse(text, 2), TN_OK);
    assert_int_equal(dataset.num_requests, 2);
    assert_int_equal(dataset.requests[1].ids[0], 2);
}

static void a_prompt_becomes_the_tokenizers_ids(void **state) {
    (void)state;
    static const char text[] = "{\"prompt\": \"Hello, world\", \"output_tokens\": 4}";
    tn_tokenizer *tokenizer;
    int32_t *ids;
    size_t num_ids;
    assert_int_equal(tn_tokenizer_load(TOKENIZER, NULL, &tokenizer), TN_OK);
    assert_int_equal(tn_tokenizer_encode(tokenizer, "Hello, world", 12, NULL, &ids, &num_ids), TN_OK);
    tn_dataset_options options = {.tokenizer = tokenizer, .vocab_size = 320, .diag = diag};
    assert_int_equal(tn_dataset_parse("requests.jsonl", text, strlen(text), &options, &dataset), TN_OK);
    assert_int_equal(dataset.requests[0].num_ids, num_ids);
    assert_memory_equal(dataset.requests[0].ids, ids, num_ids * sizeof *ids);
    tn_tokenizer_free(tokenizer, ids);
    tn_tokenizer_destroy(tokenizer);
}

/* --- bad ones ----------------------------------------------------------------------------------------------------------------- */

static void expect_message(size_t index, const char *message) {
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(diag, index, &entry), TN_OK);
    if (strncmp(entry.message, message, strlen(message)) != 0)
        fail_msg("message %zu is:\n%s\nmust begin:\n%s", index, entry.message, message);
}

static void a_prompt_may_stay_text(void **state) {
    (void)state;
    static const char text[] = "{\"prompt\": \"Once \\u20ac\", \"output_tokens\": 2}\n{\"input_ids\": [7], \"output_tokens\": 3}\n";
    const tn_dataset_options options = {.keep_text = true, .vocab_size = 320, .diag = diag};
    assert_int_equal(tn_dataset_parse("requests.jsonl", text, sizeof text - 1, &options, &dataset), TN_OK);
    assert_int_equal(dataset.num_requests, 2);
    assert_string_equal(dataset.requests[0].text, "Once \xe2\x82\xac");
    assert_int_equal(dataset.requests[0].text_size, 8);
    assert_null(dataset.requests[0].ids);
    assert_null(dataset.requests[1].text);
    assert_int_equal(dataset.requests[1].ids[0], 7);
}

static void each_wrong_line_is_named_with_its_number(void **state) {
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"{\"input_ids\": [1], \"output_tokens\": 1", "cannot read requests.jsonl line 2: "},
        {"{\"input_ids\": [1, 2], \"output_tokens\": 1}}", "cannot read requests.jsonl line 2: "},
        {"[1, 2]", "requests.jsonl line 2: "},
        {"{\"input_ids\": [1]}", "requests.jsonl line 2: 'output_tokens' is missing"},
        {"{\"input_ids\": [1], \"output_tokens\": 0}", "requests.jsonl line 2: 'output_tokens' is 0, must be 1 to "},
        {"{\"input_ids\": [1], \"output_tokens\": \"8\"}", "requests.jsonl line 2: 'output_tokens' is \"8\", must be "},
        {"{\"input_ids\": [], \"output_tokens\": 1}", "requests.jsonl line 2: 'input_ids' has 0 ids, must be 1 to "},
        {"{\"input_ids\": [1, 320], \"output_tokens\": 1}", "requests.jsonl line 2: 'input_ids[1]' is 320, must be 0 to 319"},
        {"{\"input_ids\": [-1], \"output_tokens\": 1}", "requests.jsonl line 2: 'input_ids[0]' is -1, must be 0 to 319"},
        {"{\"input_ids\": 5, \"output_tokens\": 1}", "requests.jsonl line 2: 'input_ids' is 5, must be an array"},
        {"{\"output_tokens\": 1}", "requests.jsonl line 2: the document has neither 'input_ids' nor 'prompt'"},
        {"{\"prompt\": \"a\", \"output_tokens\": 1}", "requests.jsonl line 2: 'prompt' needs a tokenizer, this model has none"},
        {"{\"input_ids\": [1], \"output_tokens\": 1, \"task_id\": \"x\"}", "requests.jsonl line 2: 'task_id' is \"x\", must be "},
        {"{\"input_ids\": [1], \"output_tokens\": 1, \"lora_request\": {}}", "requests.jsonl line 2: 'lora_request' is not built"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"input_ids\": [1], \"output_tokens\": 1}\n%s\n", cases[i].line);
        tn_diag_clear(diag);
        assert_int_equal(parse(text, 0), strstr(cases[i].line, "lora") != NULL ? TN_UNSUPPORTED : TN_INVALID_DATA);
        assert_int_equal(dataset.num_requests, 0);
        assert_int_equal(tn_diag_num_entries(diag), 1);
        expect_message(0, cases[i].message);
    }
}

static void all_wrong_lines_are_named_up_to_ten(void **state) {
    (void)state;
    assert_int_equal(parse("{}\n{\"input_ids\": [1], \"output_tokens\": 1}\n{}\n", 0), TN_INVALID_DATA);
    assert_int_equal(tn_diag_num_entries(diag), 2);
    expect_message(0, "requests.jsonl line 1: ");
    expect_message(1, "requests.jsonl line 3: ");
    tn_diag_clear(diag);
    assert_int_equal(parse("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", 0), TN_INVALID_DATA);
    assert_int_equal(tn_diag_num_entries(diag), 10);
}

static void a_dataset_without_requests_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n", " \t\r\n\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tn_diag_clear(diag);
        assert_int_equal(parse(texts[i], 0), TN_INVALID_DATA);
        expect_message(0, "cannot read requests.jsonl: it has no requests");
    }
    tn_dataset_options options = {.vocab_size = 320, .diag = diag};
    assert_int_equal(tn_dataset_load("/no/such/requests.jsonl", &options, &dataset), TN_NOT_FOUND);
}

static void a_dataset_cut_at_any_byte_is_whole_lines_or_refused(void **state) {
    (void)state;
    static const char text[] =
        "{\"input_ids\": [1, 2], \"output_tokens\": 3}\n{\"task_id\": 5, \"input_ids\": [3], \"output_tokens\": 4}\n";
    size_t first = strcspn(text, "\n"), whole = sizeof text - 1;
    for (size_t size = 0; size <= whole; size++) {
        tn_dataset_options options = {.vocab_size = 320, .diag = diag};
        bool is_whole = size == first || size == first + 1 || size >= whole - 1;
        tn_status status = tn_dataset_parse("requests.jsonl", text, size, &options, &dataset);
        assert_int_equal(status, is_whole ? TN_OK : TN_INVALID_DATA);
        assert_int_equal(dataset.num_requests, !is_whole ? 0 : size <= first + 1 ? 1 : 2);
        tn_dataset_deinit(&dataset);
    }
}

static void each_allocation_failing_leaves_nothing_behind(void **state) {
    (void)state;
    static const char text[] = "{\"input_ids\": [1, 2], \"output_tokens\": 3}\n{\"input_ids\": [3], \"output_tokens\": 4}\n";
    static const tn_dataset_shape shape = {.num_requests = 3, .input_mean = 4.0, .output_mean = 2.0};
    for (int is_generated = 0; is_generated < 2; is_generated++)
        for (size_t n = 1;; n++) {
            tn_fault_allocator fault;
            tn_fault_allocator_init(&fault, n);
            tn_dataset_options options = {.vocab_size = 320, .allocator = &fault.allocator, .diag = diag};
            tn_status status = is_generated == 0 ? tn_dataset_parse("requests.jsonl", text, strlen(text), &options, &dataset)
                                                 : tn_dataset_generate(&shape, 320, &fault.allocator, diag, &dataset);
            tn_dataset_deinit(&dataset);
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
            assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
            if (!tn_fault_has_failed(&fault)) break;
        }
}

/* --- random ones -------------------------------------------------------------------------------------------------------------- */

static void without_deviation_all_lengths_are_the_mean(void **state) {
    (void)state;
    static const tn_dataset_shape shape = {.num_requests = 50, .input_mean = 13.0, .output_mean = 7.0, .seed = 3};
    assert_int_equal(tn_dataset_generate(&shape, 320, NULL, diag, &dataset), TN_OK);
    assert_int_equal(dataset.num_requests, 50);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(dataset.requests[i].task_id, i);
        assert_int_equal(dataset.requests[i].num_ids, 13);
        assert_int_equal(dataset.requests[i].output_tokens, 7);
    }
    assert_int_equal(tn_dataset_shape_longest(&shape), 20);
}

static void lengths_have_their_mean_and_deviation(void **state) {
    (void)state;
    enum { COUNT = 4000 };
    static const tn_dataset_shape shape = {
        .num_requests = COUNT, .input_mean = 100.0, .input_stdev = 10.0, .output_mean = 2.0, .output_stdev = 4.0, .seed = 1};
    assert_int_equal(tn_dataset_generate(&shape, 320, NULL, diag, &dataset), TN_OK);
    double sum = 0.0, squares = 0.0;
    int64_t longest = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const tn_dataset_request *request = &dataset.requests[i];
        sum += request->num_ids;
        squares += (request->num_ids - 100.0) * (request->num_ids - 100.0);
        assert_true(request->output_tokens >= 1);
        if (request->num_ids + request->output_tokens > longest) longest = request->num_ids + request->output_tokens;
    }
    assert_true(fabs(sum / COUNT - 100.0) < 1.0);
    assert_true(fabs(sqrt(squares / COUNT) - 10.0) < 0.5);
    assert_int_equal(tn_dataset_shape_longest(&shape), longest);
}

static void ids_cover_the_vocabulary_and_follow_the_seed(void **state) {
    (void)state;
    static tn_dataset_shape shape = {.num_requests = 40, .input_mean = 200.0, .output_mean = 1.0};
    tn_dataset same, other;
    bool is_seen[320] = {false};
    assert_int_equal(tn_dataset_generate(&shape, 320, NULL, diag, &dataset), TN_OK);
    assert_int_equal(tn_dataset_generate(&shape, 320, NULL, diag, &same), TN_OK);
    shape.seed = 1;
    assert_int_equal(tn_dataset_generate(&shape, 320, NULL, diag, &other), TN_OK);
    for (size_t i = 0; i < 40; i++) {
        for (size_t t = 0; t < 200; t++) {
            assert_in_range(dataset.requests[i].ids[t], 0, 319);
            is_seen[dataset.requests[i].ids[t]] = true;
        }
        assert_memory_equal(dataset.requests[i].ids, same.requests[i].ids, 200 * sizeof(int32_t));
        assert_memory_not_equal(dataset.requests[i].ids, other.requests[i].ids, 200 * sizeof(int32_t));
        if (i > 0) assert_memory_not_equal(dataset.requests[i].ids, dataset.requests[i - 1].ids, 16 * sizeof(int32_t));
    }
    for (size_t id = 0; id < 320; id++) assert_true(is_seen[id]);
    tn_dataset_deinit(&same);
    tn_dataset_deinit(&other);
}

static void a_range_ratio_makes_lengths_uniform_within_it(void **state) {
    (void)state;
    enum { COUNT = 2000 };
    static const tn_dataset_shape shape = {.num_requests = COUNT, .input_mean = 10.0, .output_mean = 1.0, .range_ratio = 0.35, .seed = 5};
    int counts[15] = {0};
    assert_int_equal(tn_dataset_generate(&shape, 320, NULL, diag, &dataset), TN_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_in_range(dataset.requests[i].num_ids, 6, 14);
        assert_in_range(dataset.requests[i].output_tokens, 1, 2);
        counts[dataset.requests[i].num_ids]++;
    }
    for (int length = 6; length <= 14; length++) assert_in_range(counts[length], COUNT / 9 - 80, COUNT / 9 + 80);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_a_request),
        TEST(only_the_first_requests_are_read),
        TEST(a_prompt_becomes_the_tokenizers_ids),
        TEST(a_prompt_may_stay_text),
        TEST(each_wrong_line_is_named_with_its_number),
        TEST(all_wrong_lines_are_named_up_to_ten),
        TEST(a_dataset_without_requests_is_refused),
        TEST(a_dataset_cut_at_any_byte_is_whole_lines_or_refused),
        TEST(each_allocation_failing_leaves_nothing_behind),
        TEST(without_deviation_all_lengths_are_the_mean),
        TEST(lengths_have_their_mean_and_deviation),
        TEST(ids_cover_the_vocabulary_and_follow_the_seed),
        TEST(a_range_ratio_makes_lengths_uniform_within_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
