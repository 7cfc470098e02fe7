/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_upstream_test.c: what TensorRT-LLM's tests of its Executor on a GPT-2 engine ask, asked of this one on the golden GPT-2.
 * Written from the meaning of those tests; docs/executor.md names the test of ours for each of theirs.
 */
#include "e2e/golden.h"

#include <float.h>
#include <pthread.h>
#include <time.h>

enum { BLOCK = 32, MAX_POLLS = 10000 };

typedef struct world {
    golden_model *golden;
    tn_test_decoder decoder;
} world;

static tn_executor *restart(world *self, void (*change)(tn_executor_options *options)) {
    tn_executor_options options;
    tn_executor_options_init(&options);
    if (change != NULL) change(&options);
    tn_test_decoder_start(&self->decoder, &options);
    return self->decoder.executor;
}

static const golden_case *longest_case(const world *self) {
    const golden_case *longest = &self->golden->cases[0];
    for (size_t i = 1; i < self->golden->num_cases; i++)
        if (self->golden->cases[i].num_ids > longest->num_ids) longest = &self->golden->cases[i];
    return longest;
}

static tn_request request_of(const golden_case *example, int32_t max_tokens, bool streaming) {
    tn_request request;
    tn_request_init(&request, example->ids, example->num_ids, max_tokens);
    request.streaming = streaming;
    return request;
}

/* --- constructors, shutdown ------------------------------------------------------------------------------------------------- */

static void from_a_path_from_memory_and_not_from_nothing(void **state) {
    world *self = *state;
    char path[64] = "/tmp/tenon-executor-XXXXXX", plan[96];
    assert_non_null(mkdtemp(path));
    snprintf(plan, sizeof plan, "%s/rank0.plan", path);
    assert_int_equal(tn_plan_save(self->decoder.plan, plan, NULL), TN_OK);
    tn_executor_options options;
    tn_executor_options_init(&options);
    tn_executor *executor;
    assert_int_equal(tn_executor_create(path, &options, &executor), TN_OK);
    tn_executor_destroy(executor);

    FILE *file = fopen(plan, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    void *bytes = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    tn_engine *engine;
    assert_int_equal(tn_engine_load_memory(bytes, size, NULL, &engine), TN_OK);
    assert_int_equal(tn_executor_create_from_engine(engine, &options, &executor), TN_OK);
    tn_executor_destroy(executor);
    tn_engine_destroy(engine);
    free(bytes);
    unlink(plan);
    rmdir(path);

    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    options.diag = diag;
    assert_int_equal(tn_executor_create("Bla", &options, &executor), TN_NOT_FOUND);
    tn_diag_destroy(diag);
}

/* --- answers ---------------------------------------------------------------------------------------------------------------- */

static void an_embedding_bias_of_flt_max_forces_its_token(void **state) {
    world *self = *state;
    tn_executor *executor = restart(self, NULL);
    float bias[GOLDEN_VOCAB] = {[10] = FLT_MAX};
    tn_request request = request_of(longest_case(self), 5, false);
    request.embedding_bias = bias;
    request.embedding_bias_size = GOLDEN_VOCAB;
    tn_response *response = tn_test_answer(&self->decoder, &request);
    size_t count;
    const int32_t *ids = tn_response_ids(response, &count);
    assert_int_equal(count, 5);
    for (size_t i = 0; i < 5; i++) assert_int_equal(ids[i], 10);
    tn_response_destroy(response);
    (void)executor;
}

/* Polls as a client would until a request is final; returns its tokens of each sequence. */
static void collect(tn_executor *executor, const uint64_t *ids, size_t num_ids, size_t *num_tokens, size_t *num_responses) {
    size_t num_final = 0;
    for (int poll = 0; poll < MAX_POLLS && num_final < num_ids; poll++) {
        tn_response *responses[16];
        size_t count;
        if (tn_executor_await_all_ready(executor, 100, responses, 16, &count) != TN_OK) continue;
        for (size_t i = 0; i < count; i++) {
            size_t index = 0, tokens;
            while (index < num_ids && ids[index] != tn_response_id(responses[i])) index++;
            assert_true(index < num_ids);
            assert_null(tn_response_error(responses[i]));
            (void)tn_response_ids(responses[i], &tokens);
            num_tokens[index] += tokens;
            num_responses[index]++;
            num_final += tn_response_is_final(responses[i]);
            tn_response_destroy(responses[i]);
        }
    }
    assert_int_equal(num_final, num_ids);
}

static void single_requests_give_as_many_tokens_as_asked(void **state) {
    world *self = *state;
    for (int streaming = 0; streaming < 2; streaming++) {
        tn_executor *executor = restart(self, NULL);
        tn_request request = request_of(longest_case(self), 5, streaming == 1);
        uint64_t id;
        assert_int_equal(tn_executor_enqueue(executor, &request, &id), TN_OK);
        size_t num_tokens = 0, num_responses = 0;
        collect(executor, &id, 1, &num_tokens, &num_responses);
        assert_int_equal(num_tokens, 5);
        assert_int_equal(num_responses, streaming == 1 ? 5 : 1);
        tn_iteration_stats stats;
        assert_int_equal(tn_executor_take_iteration_stats(executor, &stats), TN_OK);
        tn_request_stats_list *list;
        assert_int_equal(tn_executor_take_request_stats(executor, &list), TN_NOT_FOUND);
    }
}

enum { NUM_REQUESTS = 20 };

static void enqueue_twenty(const world *self, tn_executor *executor, bool streaming, uint64_t *ids, int32_t *sequences, int32_t *lengths) {
    const golden_case *example = longest_case(self);
    for (int i = 0; i < NUM_REQUESTS; i++) {
        sequences[i] = i % 5 == 1 ? 2 : 1;
        lengths[i] = 1 + (i * 7) % 20;
        tn_request request = request_of(example, lengths[i], streaming);
        request.num_input_ids = 1 + (size_t)(i * 5) % example->num_ids;
        request.sampling.num_return_sequences = sequences[i];
        assert_int_equal(tn_executor_enqueue(executor, &request, &ids[i]), TN_OK);
    }
}

static void twenty_requests_some_with_two_sequences(void **state) {
    world *self = *state;
    for (int streaming = 0; streaming < 2; streaming++) {
        tn_executor *executor = restart(self, NULL);
        uint64_t ids[NUM_REQUESTS];
        int32_t sequences[NUM_REQUESTS], lengths[NUM_REQUESTS];
        size_t num_tokens[NUM_REQUESTS] = {0}, num_responses[NUM_REQUESTS] = {0};
        enqueue_twenty(self, executor, streaming == 1, ids, sequences, lengths);
        collect(executor, ids, NUM_REQUESTS, num_tokens, num_responses);
        for (int i = 0; i < NUM_REQUESTS; i++) assert_int_equal(num_tokens[i], lengths[i] * sequences[i]);
    }
}

static void twenty_requests_awaited_by_their_ids(void **state) {
    world *self = *state;
    for (int streaming = 0; streaming < 2; streaming++) {
        tn_executor *executor = restart(self, NULL);
        uint64_t ids[NUM_REQUESTS];
        int32_t sequences[NUM_REQUESTS], lengths[NUM_REQUESTS];
        size_t num_tokens[NUM_REQUESTS] = {0}, num_final = 0;
        enqueue_twenty(self, executor, streaming == 1, ids, sequences, lengths);
        for (int poll = 0; poll < MAX_POLLS && num_final < NUM_REQUESTS; poll++) {
            tn_response *responses[NUM_REQUESTS];
            tn_status status = tn_executor_await_ids(executor, ids, NUM_REQUESTS, 1, responses);
            assert_true(status == TN_OK || status == TN_TIMED_OUT || status == TN_NOT_FOUND); /* NOT_FOUND: final was taken */
            for (int i = 0; i < NUM_REQUESTS; i++) {
                size_t count = 0;
                if (responses[i] == NULL) continue;
                (void)tn_response_ids(responses[i], &count);
                num_tokens[i] += count;
                num_final += tn_response_is_final(responses[i]);
                tn_response_destroy(responses[i]);
            }
        }
        for (int i = 0; i < NUM_REQUESTS; i++) assert_int_equal(num_tokens[i], lengths[i] * sequences[i]);
    }
}

static void ready_responses_are_counted(void **state) {
    world *self = *state;
    for (int streaming = 0; streaming < 2; streaming++) {
        tn_executor *executor = restart(self, NULL);
        uint64_t ids[NUM_REQUESTS];
        int32_t sequences[NUM_REQUESTS], lengths[NUM_REQUESTS], total = 0;
        enqueue_twenty(self, executor, streaming == 1, ids, sequences, lengths);
        for (int i = 0; i < NUM_REQUESTS; i++) {
            int32_t wanted = (streaming == 1 ? lengths[i] : 1) * sequences[i];
            while (tn_executor_num_responses_ready(executor, ids[i]) < wanted) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
            assert_int_equal(tn_executor_num_responses_ready(executor, ids[i]), wanted);
            total += wanted;
        }
        assert_int_equal(tn_executor_num_responses_ready(executor, 0), total);
    }
}

/* stream × log-probs × context logits × generation logits: the tokens are Hugging Face's whatever else is asked for. */
static void tokens_are_the_golden_ones_whatever_is_returned_with_them(void **state) {
    world *self = *state;
    const golden_case *example = longest_case(self);
    tn_executor *executor = restart(self, NULL);
    for (int mode = 0; mode < 16; mode++) {
        tn_request request = request_of(example, GOLDEN_TOKENS, (mode & 1) != 0);
        request.num_log_probs = (mode & 2) != 0 ? 0 : -1;
        request.return_context_logits = (mode & 4) != 0;
        request.return_generation_logits = (mode & 8) != 0;
        uint64_t id;
        assert_int_equal(tn_executor_enqueue(executor, &request, &id), TN_OK);
        size_t total = 0;
        double cum_log_prob = 0.0;
        for (bool is_final = false; !is_final;) {
            tn_response *response;
            assert_int_equal(tn_executor_await(executor, id, TN_FOREVER, &response), TN_OK);
            size_t count, columns;
            const int32_t *ids = tn_response_ids(response, &count);
            assert_memory_equal(ids, example->greedy + total, count * sizeof *ids);
            is_final = tn_response_is_final(response);
            assert_int_equal(tn_response_generation_logits(response) != NULL, (mode & 8) != 0);
            assert_int_equal(tn_response_context_logits(response) != NULL, (total == 0 || is_final) && (mode & 4) != 0);
            for (size_t i = 0; i < count; i++) {
                const tn_log_prob *row = tn_response_log_probs(response, i, &columns);
                assert_int_equal(row != NULL, (mode & 2) != 0);
                if (row == NULL) continue;
                assert_int_equal(columns, 1);
                assert_int_equal(row[0].id, ids[i]);
                assert_true(row[0].value <= 0.0f);
                cum_log_prob += (double)row[0].value;
            }
            assert_true(fabs(cum_log_prob - (double)tn_response_cum_log_prob(response)) < 1e-3);
            for (size_t p = 0; is_final && (mode & 4) != 0 && p < example->num_positions; p++)
                for (size_t v = 0; v < GOLDEN_VOCAB; v++) {
                    double got = (double)tn_response_context_logits(response)[example->positions[p] * GOLDEN_VOCAB + v];
                    assert_true(fabs(got - (double)example->logits[p][v]) < 2e-4);
                }
            total += count;
            tn_response_destroy(response);
        }
        assert_int_equal(total, GOLDEN_TOKENS);
    }
}

static void each_way_of_ending_has_its_reason(void **state) {
    world *self = *state;
    const golden_case *example = longest_case(self);
    tn_executor *executor = restart(self, NULL);
    const tn_token_list stop = {example->greedy + 1, 2};
    for (int streaming = 0; streaming < 2; streaming++)
        for (int way = 0; way < 3; way++) {
            tn_request request = request_of(example, 5, streaming == 1);
            if (way == 1) request.end_id = example->greedy[1];
            if (way == 2) request.stop_words = &stop, request.num_stop_words = 1;
            static const tn_finish_reason wanted[] = {TN_FINISH_LENGTH, TN_FINISH_END_ID, TN_FINISH_STOP_WORDS};
            uint64_t id;
            assert_int_equal(tn_executor_enqueue(executor, &request, &id), TN_OK);
            for (bool is_final = false; !is_final;) {
                tn_response *response;
                assert_int_equal(tn_executor_await(executor, id, TN_FOREVER, &response), TN_OK);
                is_final = tn_response_is_final(response);
                assert_int_equal(tn_response_finish_reason(response), is_final ? wanted[way] : TN_FINISH_NOT_FINISHED);
                tn_response_destroy(response);
            }
        }
}

/* --- waiting ---------------------------------------------------------------------------------------------------------------- */

static void without_work_nothing_is_ready_and_waiting_ends(void **state) {
    world *self = *state;
    tn_executor *executor = restart(self, NULL);
    tn_response *response;
    size_t count;
    assert_int_equal(tn_executor_num_responses_ready(executor, 0), 0);
    assert_int_equal(tn_executor_await_all_ready(executor, 10, &response, 1, &count), TN_TIMED_OUT);
    assert_int_equal(count, 0);
}

/* --- the cache's events and metrics ------------------------------------------------------------------------------------------- */

static void keep_events(tn_executor_options *options) {
    options->event_buffer_max_size = 1024;
}

static void without_new_events_taking_waits_its_time(void **state) {
    world *self = *state;
    tn_kv_event_manager *manager = tn_executor_get_kv_event_manager(restart(self, keep_events));
    tn_kv_event_list *list;
    size_t count;
    assert_int_equal(tn_kv_event_manager_take(manager, TN_FOREVER, &list), TN_OK);
    (void)tn_kv_event_list_get(list, &count);
    assert_int_equal(count, 1);
    tn_kv_event_list_destroy(list);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(tn_kv_event_manager_take(manager, 50, &list), TN_TIMED_OUT);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec >= 50000000);
}

static void a_prompt_of_known_tokens_and_a_few_reuses_two_blocks(void **state) {
    world *self = *state;
    const golden_case *example = longest_case(self);
    restart(self, NULL);
    int32_t ids[40];
    for (size_t i = 0; i < 40; i++) ids[i] = example->ids[i % example->num_ids];
    tn_request request;
    tn_request_init(&request, ids, 36, 1);
    tn_response_destroy(tn_test_answer(&self->decoder, &request));
    tn_request_init(&request, ids, 40, 1);
    request.return_perf_metrics = true;
    tn_response *response = tn_test_answer(&self->decoder, &request);
    tn_perf_metrics metrics;
    assert_true(tn_response_perf_metrics(response, &metrics));
    assert_int_equal(metrics.num_reused_blocks, 2);
    assert_int_equal(metrics.num_new_allocated_blocks, 0);
    assert_true(metrics.kv_cache_hit_rate == 1.0);
    tn_response_destroy(response);
}

static int open_group(void **state) {
    static world self;
    self.golden = golden_load("gpt2", "config.json");
    tn_model_options options;
    tn_model_options_init(&options);
    options.tokens_per_block = BLOCK;
    tn_test_decoder_open(&self.decoder, TN_TEST_DATA "/models/gpt2", "cpu", NULL, &options);
    *state = &self;
    return 0;
}

static int close_group(void **state) {
    world *self = *state;
    tn_test_decoder_close(&self->decoder);
    free(self->golden);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_a_path_from_memory_and_not_from_nothing),
        cmocka_unit_test(an_embedding_bias_of_flt_max_forces_its_token),
        cmocka_unit_test(single_requests_give_as_many_tokens_as_asked),
        cmocka_unit_test(twenty_requests_some_with_two_sequences),
        cmocka_unit_test(twenty_requests_awaited_by_their_ids),
        cmocka_unit_test(ready_responses_are_counted),
        cmocka_unit_test(tokens_are_the_golden_ones_whatever_is_returned_with_them),
        cmocka_unit_test(each_way_of_ending_has_its_reason),
        cmocka_unit_test(without_work_nothing_is_ready_and_waiting_ends),
        cmocka_unit_test(without_new_events_taking_waits_its_time),
        cmocka_unit_test(a_prompt_of_known_tokens_and_a_few_reuses_two_blocks),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
