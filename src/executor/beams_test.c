/* SPDX-License-Identifier: Apache-2.0
 *
 * beams_test.c: beam search without a model: against a plain one that sorts all next tokens of all beams, and rule by rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "executor/beams.h"
#include "support/fault_allocator.h"

enum { MAX_VOCAB = 40, MAX_WIDTH = 6, MAX_TOKENS = 12, NUM_PROMPT = 3, MAX_TOTAL = NUM_PROMPT + MAX_TOKENS };
static const int32_t prompt[NUM_PROMPT] = {1, 2, 1};

/* Logits that depend on all tokens before. */
static void make_logits(const int32_t *tokens, int32_t count, uint64_t seed, int32_t vocab, float *out) {
    uint64_t hash = seed;
    for (int32_t i = 0; i < count; i++) hash = (hash ^ (uint64_t)(uint32_t)tokens[i]) * 0x9e3779b97f4a7c15u + 1, hash ^= hash >> 29;
    for (int32_t i = 0; i < vocab; i++) {
        hash = hash * 6364136223846793005u + 1442695040888963407u;
        out[i] = (float)(hash >> 40) / (float)(1 << 24) * 6.0f - 3.0f;
    }
}

static tn_executor_info limits_of(int32_t vocab) {
    return (tn_executor_info){.vocab_size = vocab,
                              .max_seq_len = 64,
                              .tokens_per_block = 16,
                              .num_blocks = 64,
                              .max_log_probs = 4,
                              .max_batch_size = 16,
                              .max_beam_width = 16};
}

static tn_request make_request(int32_t width, int32_t max_tokens) {
    tn_request request;
    tn_request_init(&request, prompt, NUM_PROMPT, max_tokens);
    request.sampling.beam_width = width;
    return request;
}

static tn_sequence *make_sequence(const tn_request *request, int32_t vocab) {
    tn_executor_info limits = limits_of(vocab);
    tn_sequence *sequence;
    assert_int_equal(tn_sequence_create(request, 0, &limits, NULL, NULL, &sequence), TN_OK);
    return sequence;
}

static void advance(tn_sequence *sequence, uint64_t seed) {
    tn_beams *beams = sequence->beams;
    for (int32_t row = 0; row < tn_beams_num_rows(beams); row++)
        make_logits(beams->tokens[row], sequence->num_known, seed, (int32_t)sequence->vocab_size,
                    beams->logits + (int64_t)row * sequence->vocab_size);
    tn_beams_advance(sequence, 0);
}

static void search(tn_sequence *sequence, uint64_t seed) {
    while (!sequence->is_done) advance(sequence, seed);
    tn_beams_end(sequence, sequence->done_reason);
}

/* --- a plain search ----------------------------------------------------------------------------------------------------------- */

typedef struct plain_beam {
    int32_t tokens[MAX_TOTAL], count, parent;
    double sum, rank, score;
    tn_finish_reason reason;
} plain_beam;

typedef struct plain_search {
    const tn_request *request;
    uint64_t seed;
    int32_t vocab, width;
    plain_beam live[MAX_WIDTH], ended[MAX_WIDTH + 1];
    int32_t num_live, num_ended;
    plain_beam all[MAX_WIDTH * MAX_VOCAB];
    int32_t num_all;
} plain_search;

static int compare_ranks(const void *a, const void *b) {
    const plain_beam *left = a, *right = b;
    if (left->rank != right->rank) return left->rank > right->rank ? -1 : 1;
    if (left->parent != right->parent) return left->parent - right->parent;
    return left->tokens[left->count - 1] - right->tokens[right->count - 1];
}

static bool tail_is(const int32_t *tokens, int32_t count, const int32_t *tail, size_t size) {
    return size <= (size_t)count && memcmp(tokens + (size_t)count - size, tail, size * sizeof *tail) == 0;
}

static void plain_log_probs(const plain_search *self, const plain_beam *beam, double *out) {
    const tn_sampling_config *sampling = &self->request->sampling;
    float logits[MAX_VOCAB];
    double total = 0.0;
    make_logits(beam->tokens, beam->count, self->seed, self->vocab, logits);
    for (int32_t id = 0; id < self->vocab; id++) {
        int32_t occurs = 0;
        double x = (double)logits[id];
        if (self->request->embedding_bias != NULL) x += (double)self->request->embedding_bias[id];
        for (int32_t i = sampling->prompt_ignore_length; i < beam->count; i++) occurs += beam->tokens[i] == id;
        if (occurs > 0) {
            x = x > 0 ? x / (double)sampling->repetition_penalty : x * (double)sampling->repetition_penalty;
            x -= (double)sampling->presence_penalty + (double)sampling->frequency_penalty * occurs;
        }
        int32_t longer[MAX_TOTAL + 1], size = sampling->no_repeat_ngram_size;
        memcpy(longer, beam->tokens, (size_t)beam->count * sizeof *longer);
        longer[beam->count] = id;
        bool is_banned = id == self->request->end_id && beam->count - NUM_PROMPT < sampling->min_tokens;
        for (size_t i = 0; i < self->request->num_bad_words; i++)
            is_banned = is_banned || tail_is(longer, beam->count + 1, self->request->bad_words[i].ids, self->request->bad_words[i].num_ids);
        for (int32_t i = 0; size > 0 && i + size <= beam->count; i++)
            is_banned = is_banned || tail_is(longer, beam->count + 1, beam->tokens + i, (size_t)size);
        out[id] = is_banned ? -INFINITY : x / (double)(sampling->temperature > 0 ? sampling->temperature : 1.0f);
        total += exp(out[id]);
    }
    for (int32_t id = 0; id < self->vocab && total > 0.0; id++) out[id] -= log(total);
}

/* All next tokens of one beam, ranked. */
static void plain_extend(plain_search *self, int32_t parent) {
    const plain_beam *beam = &self->live[parent];
    double log_probs[MAX_VOCAB];
    plain_log_probs(self, beam, log_probs);
    for (int32_t id = 0; id < self->vocab; id++) {
        if (log_probs[id] == -INFINITY) continue;
        plain_beam *next = &self->all[self->num_all++];
        *next = *beam;
        next->tokens[next->count++] = id;
        next->parent = parent;
        next->sum += log_probs[id];
        int32_t place = 0;
        for (int32_t other = 0; other < self->vocab; other++)
            place += log_probs[other] > log_probs[id] || (log_probs[other] == log_probs[id] && other < id);
        next->rank = next->sum - (double)self->request->sampling.beam_search_diversity_rate * place;
    }
}

static void plain_classify(const plain_search *self, plain_beam *beam) {
    const tn_request *request = self->request;
    int32_t token = beam->tokens[beam->count - 1], num_tokens = beam->count - NUM_PROMPT;
    beam->reason = num_tokens == request->max_tokens ? TN_FINISH_LENGTH : TN_FINISH_NOT_FINISHED;
    for (size_t i = 0; i < request->num_stop_words; i++)
        if (tail_is(beam->tokens + NUM_PROMPT, num_tokens, request->stop_words[i].ids, request->stop_words[i].num_ids))
            beam->reason = TN_FINISH_STOP_WORDS;
    if (token == request->end_id) beam->reason = TN_FINISH_END_ID;
    for (size_t i = 0; i < request->num_more_end_ids; i++)
        if (token == request->more_end_ids[i]) beam->reason = TN_FINISH_END_ID;
    beam->score = beam->sum / pow(num_tokens, (double)request->sampling.length_penalty);
}

static void plain_end(plain_search *self, const plain_beam *beam) {
    int32_t place = self->num_ended;
    for (; place > 0 && self->ended[place - 1].score < beam->score; place--) self->ended[place] = self->ended[place - 1];
    self->ended[place] = *beam;
    if (self->num_ended < self->width) self->num_ended++;
}

static bool plain_step(plain_search *self, int32_t num_tokens) {
    const tn_sampling_config *sampling = &self->request->sampling;
    int32_t width = self->width, num_next = 0;
    plain_beam next[MAX_WIDTH];
    if (sampling->num_beam_widths > 0)
        width = sampling->beam_width_array[(size_t)num_tokens <= sampling->num_beam_widths ? (size_t)num_tokens - 1
                                                                                           : sampling->num_beam_widths - 1];
    self->num_all = 0;
    for (int32_t i = 0; i < self->num_live; i++) plain_extend(self, i);
    qsort(self->all, (size_t)self->num_all, sizeof *self->all, compare_ranks);
    bool is_last = num_tokens == self->request->max_tokens;
    for (int32_t i = 0; i < self->num_all; i++) {
        plain_classify(self, &self->all[i]);
        if (self->all[i].reason == TN_FINISH_NOT_FINISHED && num_next < width) next[num_next++] = self->all[i];
        if (self->all[i].reason != TN_FINISH_NOT_FINISHED && i < (is_last ? self->width : width)) plain_end(self, &self->all[i]);
    }
    memcpy(self->live, next, (size_t)num_next * sizeof *next);
    self->num_live = num_next;
    if (num_next == 0) return false;
    if (self->num_ended < self->width) return true;
    if (sampling->early_stopping == 1) return false;
    double best = -INFINITY, length = num_tokens;
    if (sampling->early_stopping > 1 && sampling->length_penalty > 0) length = self->request->max_tokens;
    for (int32_t i = 0; i < num_next; i++) best = fmax(best, next[i].sum);
    return best / pow(length, (double)sampling->length_penalty) > self->ended[self->width - 1].score;
}

static void compare_with_plain(const tn_request *request, int32_t vocab, uint64_t seed) {
    static plain_search self;
    self = (plain_search){.request = request, .seed = seed, .vocab = vocab, .width = tn_beam_width(&request->sampling), .num_live = 1};
    memcpy(self.live[0].tokens, prompt, sizeof prompt);
    self.live[0].count = NUM_PROMPT;
    int32_t num_tokens = 1;
    while (plain_step(&self, num_tokens)) num_tokens++;
    tn_sequence *sequence = make_sequence(request, vocab);
    search(sequence, seed);
    assert_int_equal(sequence->num_known - NUM_PROMPT, num_tokens);
    assert_int_equal(sequence->beams->num_answers, self.num_ended);
    for (int32_t i = 0; i < self.num_ended; i++) {
        int32_t ids[MAX_TOKENS];
        tn_beam_answer answer = tn_beams_get(sequence->beams, i, num_tokens, true);
        tn_beams_copy(sequence->beams, &answer, ids, NULL, 0);
        assert_int_equal(answer.num_tokens, self.ended[i].count - NUM_PROMPT);
        assert_memory_equal(ids, self.ended[i].tokens + NUM_PROMPT, (size_t)answer.num_tokens * sizeof *ids);
        assert_int_equal(answer.reason, self.ended[i].reason);
        assert_true(fabs(answer.score - self.ended[i].score) < 2e-5);
        assert_true(fabs(tn_beams_sum(sequence->beams, &answer) - self.ended[i].sum) < 2e-5);
    }
    assert_int_equal(sequence->status, self.num_ended > 0 ? TN_OK : TN_INVALID_DATA); /* everything may be forbidden */
    if (self.num_ended > 0) assert_int_equal(sequence->done_reason, self.ended[0].reason);
    tn_sequence_destroy(sequence);
}

static uint32_t random_below(uint64_t *random, uint32_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % below;
}

static void any_setting_finds_what_a_plain_search_finds(void **state) {
    (void)state;
    uint64_t random = 11;
    static const int32_t ends[] = {4, 5}, stop_a[] = {0, 3}, stop_b[] = {2}, bad_a[] = {1}, bad_b[] = {0, 1, 2};
    const tn_token_list stops[] = {{stop_a, 2}, {stop_b, 1}}, bads[] = {{bad_a, 1}, {bad_b, 3}};
    static const int32_t widths[] = {1, 4, 2, 3};
    float bias[MAX_VOCAB] = {[3] = 2.0f, [4] = -1.5f};
    for (int i = 0; i < 4000; i++) {
        int32_t vocab = 6 + (int32_t)random_below(&random, MAX_VOCAB - 5);
        tn_request request = make_request(2 + (int32_t)random_below(&random, 4), 1 + (int32_t)random_below(&random, MAX_TOKENS));
        tn_sampling_config *sampling = &request.sampling;
        sampling->early_stopping = (int32_t)random_below(&random, 3);
        sampling->length_penalty = (float)random_below(&random, 4) * 0.5f;
        if (random_below(&random, 2) == 0) request.end_id = 3;
        if (random_below(&random, 3) == 0) request.more_end_ids = ends, request.num_more_end_ids = 2;
        if (random_below(&random, 3) == 0) request.stop_words = stops, request.num_stop_words = 2;
        if (random_below(&random, 3) == 0) request.bad_words = bads, request.num_bad_words = 2;
        if (random_below(&random, 4) == 0) sampling->beam_search_diversity_rate = 0.3f;
        if (random_below(&random, 4) == 0) sampling->repetition_penalty = 1.3f, sampling->prompt_ignore_length = 1;
        if (random_below(&random, 4) == 0) sampling->presence_penalty = 0.4f, sampling->frequency_penalty = 0.2f;
        if (random_below(&random, 4) == 0) sampling->no_repeat_ngram_size = 1 + (int32_t)random_below(&random, 3);
        if (random_below(&random, 4) == 0) sampling->min_tokens = 4;
        if (random_below(&random, 4) == 0) sampling->temperature = (float)random_below(&random, 3) * 0.7f;
        if (random_below(&random, 4) == 0) sampling->beam_width_array = widths, sampling->num_beam_widths = 1 + random_below(&random, 4);
        if (random_below(&random, 4) == 0) request.embedding_bias = bias, request.embedding_bias_size = (size_t)vocab;
        compare_with_plain(&request, vocab, 1000 + (uint64_t)i);
    }
}

/* --- single rules ------------------------------------------------------------------------------------------------------------- */

/* Logits of one beam; the rest of the vocabulary is far away. */
static void set_logits(tn_sequence *sequence, int32_t row, const float *logits, int32_t count) {
    float *out = sequence->beams->logits + (int64_t)row * sequence->vocab_size;
    for (int32_t i = 0; i < sequence->vocab_size; i++) out[i] = i < count ? logits[i] : -50.0f;
}

static void expect_beam(const tn_sequence *sequence, int32_t beam, const int32_t *ids, size_t count) {
    assert_memory_equal(sequence->beams->tokens[beam] + NUM_PROMPT, ids, count * sizeof *ids);
}

static void beams_that_follow_one_beam_go_on_from_its_tokens(void **state) {
    (void)state;
    tn_request request = make_request(3, 6);
    tn_sequence *sequence = make_sequence(&request, 8);
    set_logits(sequence, 0, (float[]){3.0f, 2.0f, 1.0f}, 3);
    tn_beams_advance(sequence, 0);
    assert_int_equal(sequence->beams->num_live, 3);
    for (int32_t row = 0; row < 3; row++) set_logits(sequence, row, (float[]){0.0f}, 1);
    set_logits(sequence, 1, (float[]){5.0f, 4.9f, 4.8f, 4.7f}, 4); /* by itself worse than beam 0, which goes on with token 0 */
    tn_beams_advance(sequence, 0);
    assert_int_equal(sequence->num_known, NUM_PROMPT + 2);
    expect_beam(sequence, 0, (int32_t[]){0, 0}, 2);
    expect_beam(sequence, 1, (int32_t[]){2, 0}, 2);
    expect_beam(sequence, 2, (int32_t[]){1, 0}, 2);
    set_logits(sequence, 0, (float[]){4.0f, 4.0f, 4.0f}, 3); /* equal: the lower id first */
    set_logits(sequence, 1, (float[]){0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, 8);
    set_logits(sequence, 2, (float[]){0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, 8);
    tn_beams_advance(sequence, 0);
    expect_beam(sequence, 0, (int32_t[]){0, 0, 0}, 3);
    expect_beam(sequence, 1, (int32_t[]){0, 0, 1}, 3);
    expect_beam(sequence, 2, (int32_t[]){0, 0, 2}, 3);
    assert_ptr_equal(sequence->tokens, sequence->beams->tokens[0]);
    tn_sequence_destroy(sequence);
}

static void logits_that_are_no_numbers_are_never_chosen(void **state) {
    (void)state;
    tn_request request = make_request(2, 4);
    tn_sequence *sequence = make_sequence(&request, 8);
    float none[8];
    for (int i = 0; i < 8; i++) none[i] = i == 5 ? 1.0f : NAN;
    set_logits(sequence, 0, none, 8);
    tn_beams_advance(sequence, 0); /* one beam is all there is */
    assert_int_equal(sequence->beams->num_live, 1);
    assert_int_equal(sequence->beams->tokens[0][NUM_PROMPT], 5);
    assert_true(sequence->beams->sums[0] == 0.0);
    none[5] = -INFINITY;
    set_logits(sequence, 0, none, 8);
    tn_beams_advance(sequence, 0);
    assert_true(sequence->is_done);
    assert_int_equal(sequence->status, TN_INVALID_DATA);
    assert_string_equal(sequence->error, "the logits left no token to choose: all are -inf or NaN, or were forbidden");
    tn_sequence_destroy(sequence);

    sequence = make_sequence(&request, 8);
    set_logits(sequence, 0, (float[]){1.0f, INFINITY, 2.0f, INFINITY}, 4);
    tn_beams_advance(sequence, 0);
    assert_int_equal(sequence->beams->num_live, 2);
    assert_int_equal(sequence->beams->tokens[0][NUM_PROMPT], 1);
    assert_int_equal(sequence->beams->tokens[1][NUM_PROMPT], 3);
    assert_true(fabs(sequence->beams->sums[0] - log(0.5)) < 1e-6);
    tn_sequence_destroy(sequence);
}

static void a_search_that_is_stopped_answers_with_what_it_has(void **state) {
    (void)state;
    tn_request request = make_request(3, 8);
    request.end_id = 0;
    request.sampling.min_tokens = 0;
    request.sampling.length_penalty = 1.0f;
    tn_sequence *sequence = make_sequence(&request, 8);
    set_logits(sequence, 0, (float[]){3.0f, 2.9f, 2.0f, 1.0f}, 4); /* token 0 ends */
    tn_beams_advance(sequence, 0);
    assert_int_equal(sequence->beams->num_ends, 1);
    for (int32_t row = 0; row < 3; row++) set_logits(sequence, row, (float[]){-9.0f, 9.0f}, 2);
    tn_beams_advance(sequence, 0);
    assert_false(sequence->is_done);
    tn_beams_end(sequence, TN_FINISH_CANCELLED);
    assert_int_equal(sequence->beams->num_answers, 3);
    tn_beam_answer answers[3];
    for (int32_t i = 0; i < 3; i++) answers[i] = tn_beams_get(sequence->beams, i, 2, true);
    assert_int_equal(answers[0].reason, TN_FINISH_CANCELLED); /* two tokens for about one's log-probability */
    assert_int_equal(answers[1].reason, TN_FINISH_END_ID);
    assert_int_equal(answers[2].reason, TN_FINISH_CANCELLED);
    assert_int_equal(answers[0].num_tokens, 2);
    assert_int_equal(answers[1].num_tokens, 1);
    assert_true(answers[0].score > answers[1].score && answers[1].score > answers[2].score);
    tn_sequence_destroy(sequence);
}

static void what_was_shown_after_each_token_stays_as_it_was(void **state) {
    (void)state;
    enum { VOCAB = 20, WIDTH = 4 };
    tn_request request = make_request(WIDTH, 10);
    request.num_log_probs = 2;
    request.return_generation_logits = true;
    request.sampling.num_return_sequences = 3;
    tn_sequence *sequence = make_sequence(&request, VOCAB);
    static int32_t seen[10][WIDTH][10];
    for (int32_t step = 0; step < 9; step++) {
        for (int32_t row = 0; row < tn_beams_num_rows(sequence->beams); row++) {
            float *logits = sequence->beams->logits + row * VOCAB;
            make_logits(sequence->beams->tokens[row], sequence->num_known, 5, VOCAB, logits);
            memcpy(sequence->rows[TN_ROW_LOGITS].generation + (step * WIDTH + row) * VOCAB, logits, VOCAB * sizeof *logits);
        }
        tn_beams_advance(sequence, 0);
        for (int32_t i = 0; i < WIDTH; i++)
            memcpy(seen[step][i], sequence->beams->tokens[i] + NUM_PROMPT, (size_t)(step + 1) * sizeof(int32_t));
    }
    for (int32_t step = 0; step < 9; step++) {
        assert_int_equal(tn_beams_num_shown(sequence->beams, step + 1, false), 3);
        for (int32_t i = 0; i < 3; i++) {
            int32_t ids[10], tokens[MAX_TOTAL];
            tn_log_prob top[10][3];
            float logits[10][VOCAB], wanted[VOCAB];
            tn_beam_answer answer = tn_beams_get(sequence->beams, i, step + 1, false);
            tn_beams_copy(sequence->beams, &answer, ids, top[0], 3);
            tn_beams_copy_rows(sequence->beams, &answer, &sequence->rows[TN_ROW_LOGITS], logits[0]);
            assert_memory_equal(ids, seen[step][i], (size_t)(step + 1) * sizeof *ids);
            memcpy(tokens, prompt, sizeof prompt);
            memcpy(tokens + NUM_PROMPT, ids, (size_t)(step + 1) * sizeof *ids);
            double sum = 0.0;
            for (int32_t t = 0; t <= step; t++) {
                make_logits(tokens, NUM_PROMPT + t, 5, VOCAB, wanted);
                assert_memory_equal(logits[t], wanted, sizeof wanted);
                assert_int_equal(top[t][0].id, ids[t]);
                assert_true(top[t][1].value >= top[t][0].value && top[t][1].value > top[t][2].value);
                for (int32_t v = 0; v < VOCAB; v++) assert_true(wanted[v] <= wanted[top[t][1].id]);
                sum += (double)top[t][0].value;
            }
            assert_true(fabs(sum - tn_beams_sum(sequence->beams, &answer)) < 1e-9);
        }
    }
    tn_sequence_destroy(sequence);
}

static void each_failing_allocation_of_creation_is_reported_and_leaks_nothing(void **state) {
    (void)state;
    tn_request request = make_request(3, 6);
    request.num_log_probs = 2;
    request.return_generation_logits = true;
    tn_executor_info limits = limits_of(30);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_sequence *sequence;
        tn_diag *diag;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_status status = tn_sequence_create(&request, 0, &limits, &fault.allocator, diag, &sequence);
        tn_diag_destroy(diag);
        bool has_failed = tn_fault_has_failed(&fault);
        assert_int_equal(status, has_failed ? TN_OUT_OF_MEMORY : TN_OK);
        tn_sequence_destroy(sequence);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!has_failed) {
            assert_true(n > 2);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_setting_finds_what_a_plain_search_finds),
        cmocka_unit_test(beams_that_follow_one_beam_go_on_from_its_tokens),
        cmocka_unit_test(logits_that_are_no_numbers_are_never_chosen),
        cmocka_unit_test(a_search_that_is_stopped_answers_with_what_it_has),
        cmocka_unit_test(what_was_shown_after_each_token_stays_as_it_was),
        cmocka_unit_test(each_failing_allocation_of_creation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
