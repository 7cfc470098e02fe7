/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_soak_test.c: 10,000 requests, some with beams, with cancels, time limits and failing post-processors in every phase, on a real engine:
 * nothing is left behind, and whoever was left alone answers bitwise as alone.
 */
#include "support/executor.h"

#include <dirent.h>
#include <time.h>

#include "support/fault_allocator.h"

enum { NUM_REQUESTS = 5000, NUM_PROMPTS = 16, MAX_PROMPT = 100, ANSWER = 12, WINDOW = 200 };

typedef struct soak {
    tn_test_decoder decoder;
    int32_t ids[NUM_PROMPTS][MAX_PROMPT];
    size_t lengths[NUM_PROMPTS];
    tn_response *alone[NUM_PROMPTS];
    uint32_t random;
    int num_cancelled, num_timed_out, num_failed, num_whole, num_searches;
} soak;

static uint32_t random_below(soak *self, uint32_t below) {
    self->random = self->random * 1664525u + 1013904223u;
    return (self->random >> 12) % below;
}

static tn_request request_of(const soak *self, uint32_t prompt) {
    tn_request request;
    tn_request_init(&request, self->ids[prompt], self->lengths[prompt], ANSWER);
    request.client_id = prompt;
    if (prompt % 4 == 1) request.return_generation_logits = true;
    if (prompt % 8 == 3) {
        request.sampling.beam_width = 2 + (int32_t)(prompt / 8);
        request.sampling.length_penalty = 1.0f;
    }
    if (prompt % 4 != 2) return request;
    request.sampling.top_p = 0.9f;
    request.sampling.temperature = 1.5f;
    request.sampling.top_p_decay = 0.95f;
    request.sampling.repetition_penalty = 1.2f;
    request.sampling.seed = prompt;
    return request;
}

static int num_descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL) count++;
    closedir(directory);
    return count;
}

static void refuse(void *user, tn_logits_view *views, size_t num_views) {
    (void)user;
    for (size_t i = 0; i < num_views; i++)
        if (views[i].num_ids % 7 == 0) views[i].status = TN_CANCELLED;
}

/* Whole searches are compared; those that were stopped show what they had. */
static void compare_beams(const tn_response *response, const tn_response *alone) {
    for (int32_t beam = 0; beam < tn_response_num_beams(alone); beam++) {
        size_t count, wanted;
        const int32_t *ids = tn_response_beam_ids(response, beam, &count), *expected = tn_response_beam_ids(alone, beam, &wanted);
        assert_int_equal(count, wanted);
        assert_memory_equal(ids, expected, count * sizeof *ids);
        assert_true(tn_response_beam_score(response, beam) == tn_response_beam_score(alone, beam));
    }
}

static bool take_beams(soak *self, tn_response *response, const tn_response *alone) {
    bool is_final = tn_response_is_final(response), is_whole = tn_response_finish_reason(response) == TN_FINISH_LENGTH;
    if (is_whole && tn_response_num_beams(response) == tn_response_num_beams(alone)) compare_beams(response, alone);
    self->num_searches += is_whole;
    tn_response_destroy(response);
    return is_final;
}

/* Returns whether the request has ended. */
static bool take(soak *self, tn_response *response, size_t *num_taken) {
    size_t count, wanted, prompt = (size_t)tn_response_client_id(response);
    const int32_t *tokens = tn_response_ids(response, &count), *expected = tn_response_ids(self->alone[prompt], &wanted);
    if (tn_response_num_beams(self->alone[prompt]) > 1) return take_beams(self, response, self->alone[prompt]);
    bool is_final = tn_response_is_final(response);
    assert_true(*num_taken + count <= wanted);
    assert_memory_equal(tokens, expected + *num_taken, count * sizeof *tokens);
    const float *logits = tn_response_generation_logits(response);
    if (logits != NULL && count > 0)
        assert_memory_equal(logits, tn_response_generation_logits(self->alone[prompt]) + *num_taken * VOCAB,
                            count * VOCAB * sizeof *logits);
    *num_taken += count;
    if (is_final) {
        tn_finish_reason reason = tn_response_finish_reason(response);
        self->num_cancelled += reason == TN_FINISH_CANCELLED;
        self->num_timed_out += reason == TN_FINISH_TIMED_OUT;
        self->num_failed += tn_response_error(response) != NULL;
        if (reason == TN_FINISH_LENGTH) assert_int_equal(*num_taken, wanted);
        self->num_whole += reason == TN_FINISH_LENGTH;
    }
    tn_response_destroy(response);
    return is_final;
}

static void run(soak *self, const tn_executor_options *options) {
    static uint64_t pending[WINDOW];
    static size_t num_taken[WINDOW];
    tn_test_decoder_start(&self->decoder, options);
    for (int i = 0; i < NUM_REQUESTS + WINDOW; i++) {
        int place = i % WINDOW;
        for (bool is_final = i < WINDOW; !is_final;) {
            tn_response *response;
            assert_int_equal(tn_executor_await(self->decoder.executor, pending[place], TN_FOREVER, &response), TN_OK);
            is_final = take(self, response, &num_taken[place]);
        }
        if (i >= NUM_REQUESTS) continue;
        tn_request request = request_of(self, random_below(self, NUM_PROMPTS));
        request.streaming = random_below(self, 3) == 0;
        request.priority = (float)random_below(self, 3) / 2.0f;
        if (random_below(self, 12) == 0) request.allotted_time_ms = (int64_t)random_below(self, 20);
        if (random_below(self, 16) == 0) request.logits_post_processor = refuse;
        num_taken[place] = 0;
        pending[place] = enqueue(&self->decoder, &request);
        if (random_below(self, 6) == 0) {
            int other = (int)random_below(self, (uint32_t)(i < WINDOW ? i + 1 : WINDOW));
            tn_executor_cancel(self->decoder.executor, pending[other]);
        }
        if (random_below(self, 64) == 0) nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    assert_no_block_left(&self->decoder);
}

static void thousands_of_requests_leave_nothing_behind_and_disturb_nobody(void **state) {
    (void)state;
    soak *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->random = 3;
    open_decoder(&self->decoder, "cpu", NULL);
    tn_executor_options alone_options = make_options();
    alone_options.max_beam_width = 3;
    tn_test_decoder_start(&self->decoder, &alone_options);
    tn_executor_info info;
    tn_executor_get_info(self->decoder.executor, &info);
    for (uint32_t i = 0; i < NUM_PROMPTS; i++) {
        self->lengths[i] = 1 + (i * 37) % 97;
        make_prompt(self->ids[i], self->lengths[i], 100 + i % 5); /* several begin alike */
        tn_request request = request_of(self, i);
        request.return_generation_logits = true;
        self->alone[i] = tn_test_answer(&self->decoder, &request);
    }
    tn_executor_destroy(self->decoder.executor);
    self->decoder.executor = NULL;
    int num_before = num_descriptors();
    tn_fault_allocator counter;
    tn_fault_allocator_init(&counter, 0);
    for (int policy = TN_MAX_UTILIZATION; policy <= TN_GUARANTEED_NO_EVICT; policy++) {
        tn_executor_options options;
        tn_executor_options_init(&options);
        options.allocator = &counter.allocator;
        options.capacity_policy = (tn_capacity_policy)policy;
        options.max_cache_tokens = 640;
        options.max_num_tokens = 64;
        options.max_batch_size = 12;
        options.host_cache_bytes = policy == TN_MAX_UTILIZATION ? info.cache_bytes / (size_t)info.num_blocks * 20 : 0;
        options.event_buffer_max_size = 50;
        options.max_beam_width = 3;
        options.request_stats_max_iterations = 10;
        run(self, &options);
    }
    assert_true(self->num_cancelled > 100 && self->num_timed_out > 100 && self->num_failed > 100 && self->num_whole > 4000 &&
                self->num_searches > 500);
    tn_executor_destroy(self->decoder.executor);
    self->decoder.executor = NULL;
    assert_int_equal(tn_fault_num_live_blocks(&counter), 0);
    assert_int_equal(num_descriptors(), num_before);
    for (int i = 0; i < NUM_PROMPTS; i++) tn_response_destroy(self->alone[i]);
    tn_test_decoder_close(&self->decoder);
    free(self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_requests_leave_nothing_behind_and_disturb_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
