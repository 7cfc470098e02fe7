/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_listener_test.c: who is told of responses instead of waiting for them, and which come first.
 */
#include "support/executor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { PROMPT = 40 };

typedef struct ear {
    pthread_mutex_t lock;
    pthread_cond_t heard;
    int num_told;
    atomic_bool is_being_told;
} ear;

static void open_ear(ear *self) {
    *self = (ear){.num_told = 0};
    assert_int_equal(pthread_mutex_init(&self->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&self->heard, NULL), 0);
}

static void close_ear(ear *self) {
    pthread_cond_destroy(&self->heard);
    pthread_mutex_destroy(&self->lock);
}

static void tell_ear(void *user) {
    ear *self = user;
    atomic_store(&self->is_being_told, true);
    pthread_mutex_lock(&self->lock);
    self->num_told++;
    pthread_cond_signal(&self->heard);
    pthread_mutex_unlock(&self->lock);
    atomic_store(&self->is_being_told, false);
}

/* Waits until it was told since the last call. */
static void hear(ear *self) {
    pthread_mutex_lock(&self->lock);
    while (self->num_told == 0) pthread_cond_wait(&self->heard, &self->lock);
    self->num_told = 0;
    pthread_mutex_unlock(&self->lock);
}

/* Takes what is ready, without waiting: how many tokens. */
static size_t take_ready(tn_test_decoder *decoder, bool *out_is_final) {
    tn_response *responses[8];
    size_t count, num_tokens = 0, num_ids;
    while (tn_executor_await_all_ready(decoder->executor, 0, responses, 8, &count) == TN_OK)
        for (size_t i = 0; i < count; i++) {
            (void)tn_response_ids(responses[i], &num_ids);
            num_tokens += num_ids;
            *out_is_final = *out_is_final || tn_response_is_final(responses[i]);
            tn_response_destroy(responses[i]);
        }
    return num_tokens;
}

static void a_listener_is_told_of_all_responses_and_of_the_end(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 21);
    tn_request request = make_request(ids, PROMPT, 20);
    for (int depth = 1; depth <= 2; depth++) {
        ear listener;
        open_ear(&listener);
        start(decoder, 0, depth);
        tn_executor_set_listener(decoder->executor, tell_ear, &listener);
        for (int i = 0; i < 6; i++) { /* from idle each time; answers whole and streamed */
            size_t num_tokens = 0;
            bool is_final = false;
            request.streaming = i % 2 == 1;
            (void)enqueue(decoder, &request);
            while (!is_final) {
                hear(&listener);
                num_tokens += take_ready(decoder, &is_final);
            }
            assert_int_equal(num_tokens, 20);
        }
        pthread_mutex_lock(&listener.lock);
        listener.num_told = 0;
        pthread_mutex_unlock(&listener.lock);
        tn_executor_shutdown(decoder->executor, true);
        hear(&listener);
        tn_response *response;
        size_t count;
        assert_int_equal(tn_executor_await_all_ready(decoder->executor, 0, &response, 1, &count), TN_UNAVAILABLE);
        tn_executor_set_listener(decoder->executor, NULL, NULL);
        close_ear(&listener);
    }
}

static void wait_until_ready(tn_test_decoder *decoder, uint64_t id) {
    while (tn_executor_num_responses_ready(decoder->executor, id) == 0) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void a_listener_is_told_of_what_was_ready_before_it_came(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 22);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 2);
    wait_until_ready(decoder, enqueue(decoder, &request));
    ear listener;
    bool is_final = false;
    open_ear(&listener);
    tn_executor_set_listener(decoder->executor, tell_ear, &listener);
    hear(&listener);
    assert_int_equal(take_ready(decoder, &is_final), 2);
    assert_true(is_final);
    tn_executor_set_listener(decoder->executor, NULL, NULL);
    close_ear(&listener);
}

static void taking_a_listener_away_waits_for_the_call_under_way(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 23);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 450);
    request.streaming = true;
    uint64_t id = enqueue(decoder, &request);
    for (int i = 0; i < 50; i++) {
        ear listener;
        open_ear(&listener);
        tn_executor_set_listener(decoder->executor, tell_ear, &listener);
        if (i % 2 == 0) hear(&listener);
        tn_executor_set_listener(decoder->executor, NULL, NULL);
        assert_false(atomic_load(&listener.is_being_told));
        close_ear(&listener); /* a call after this one would find it destroyed */
    }
    tn_executor_cancel(decoder->executor, id);
}

static void first_responses_stand_before_the_others(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 24);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 450);
    request.streaming = true;
    uint64_t running[3], fresh[2];
    for (int i = 0; i < 3; i++) running[i] = enqueue(decoder, &request);
    for (int i = 0; i < 3; i++) tn_response_destroy(await(decoder, running[i])); /* their first */
    for (int i = 0; i < 3; i++) wait_until_ready(decoder, running[i]);
    for (int i = 0; i < 2; i++) {
        fresh[i] = enqueue(decoder, &request);
        wait_until_ready(decoder, fresh[i]);
    }
    for (int i = 0; i < 2; i++) {
        tn_response *response;
        assert_int_equal(tn_executor_await_any(decoder->executor, TN_FOREVER, &response), TN_OK);
        assert_int_equal(tn_response_id(response), fresh[i]);
        tn_response_destroy(response);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_is_told_of_all_responses_and_of_the_end),
        cmocka_unit_test(a_listener_is_told_of_what_was_ready_before_it_came),
        cmocka_unit_test(taking_a_listener_away_waits_for_the_call_under_way),
        cmocka_unit_test(first_responses_stand_before_the_others),
    };
    int failed = cmocka_run_group_tests_name("ref", tests, open_synchronous, close_group);
    return failed + cmocka_run_group_tests_name("ref, asynchronous", tests, open_asynchronous, close_group);
}
