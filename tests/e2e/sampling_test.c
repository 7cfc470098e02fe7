/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling_test.c: draws of the plan function `sample` follow the distribution that the rules of op/slot.h give, computed here in
 * float64. 20,000 draws a setting, fixed seeds, chi-square at p = 1e-4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "functional/functional.h"
#include "runtime/runtime.h"
#include "tenon/builder.h"

enum { VOCAB = 40, MAX_SEQ_LEN = 32, ROWS = 250, STEPS = 80, DRAWS = ROWS * STEPS, NUM_HISTORY = 9 };
static const int32_t history[NUM_HISTORY] = {3, 7, 7, 1, 12, 7, 30, 3, 25};

typedef struct sampler {
    tn_device *device;
    tn_plan *plan;
    tn_engine *engine;
    tn_state_set *states;
    tn_context *context;
    float logits[ROWS][VOCAB];
    int32_t slots[ROWS], positions[ROWS], next_ids[ROWS], top_ids[ROWS][2];
    float top_log_probs[ROWS][2];
} sampler;

static sampler *open_sampler(const char *backend) {
    sampler *self = calloc(1, sizeof *self);
    assert_non_null(self);
    assert_int_equal(tn_device_create(backend, NULL, &self->device), TN_OK);
    tn_network_options network_options;
    tn_network_options_init(&network_options);
    network_options.name = "sample";
    tn_network *network;
    assert_int_equal(tn_network_create(&network_options, &network), TN_OK);
    tn_sample_network(network, VOCAB, MAX_SEQ_LEN, 1);
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.device = self->device;
    tn_builder *builder;
    tn_builder_config *config;
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    tn_builder_config_set_optimization_level(config, 0);
    tn_profile_set_dim(tn_builder_config_add_profile(config), "num_logits", 1, ROWS, ROWS);
    assert_int_equal(tn_builder_build(builder, network, config, &self->plan), TN_OK);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_network_destroy(network);
    tn_engine_options engine_options;
    tn_engine_options_init(&engine_options);
    engine_options.device = self->device;
    assert_int_equal(tn_engine_create(self->plan, &engine_options, &self->engine), TN_OK);
    const int64_t units[] = {ROWS};
    assert_int_equal(tn_engine_num_states(self->engine), 1);
    assert_int_equal(tn_state_set_create(self->engine, units, NULL, &self->states), TN_OK);
    assert_int_equal(tn_context_create(self->engine, NULL, &self->context), TN_OK);
    tn_context_set_states(self->context, self->states);
    assert_int_equal(tn_context_set_input_shape(self->context, "logits", TN_DIMS(ROWS, VOCAB)), TN_OK);
    assert_int_equal(tn_context_set_input_shape(self->context, "sample_slot", TN_DIMS(ROWS)), TN_OK);
    assert_int_equal(tn_context_set_input_shape(self->context, "sample_position", TN_DIMS(ROWS)), TN_OK);
    struct {
        const char *name;
        void *memory;
    } const bindings[] = {{"logits", self->logits},     {"sample_slot", self->slots}, {"sample_position", self->positions},
                          {"next_ids", self->next_ids}, {"top_ids", self->top_ids},   {"top_log_probs", self->top_log_probs}};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(tn_context_set_host_address(self->context, bindings[i].name, bindings[i].memory), TN_OK);
    return self;
}

static void close_sampler(sampler *self) {
    tn_context_destroy(self->context);
    tn_state_set_destroy(self->states);
    tn_engine_destroy(self->engine);
    tn_plan_destroy(self->plan);
    tn_device_destroy(self->device);
    free(self);
}

static void make_logits(float *logits) {
    uint32_t seed = 11;
    for (int i = 0; i < VOCAB; i++) {
        seed = seed * 1664525u + 1013904223u;
        logits[i] = (float)(seed >> 8) / (float)(1 << 24) * 6.0f - 3.0f;
    }
    logits[17] = logits[4]; /* equal ones, the lower id first */
}

static tn_slot_params make_params(void) {
    return (tn_slot_params){.temperature = 1.0f,
                            .top_p = 1.0f,
                            .top_p_min = 1e-6f,
                            .top_p_decay = 1.0f,
                            .repetition_penalty = 1.0f,
                            .top_p_reset_id = -1,
                            .end_id = -1,
                            .min_tokens = 1,
                            .prompt_length = NUM_HISTORY};
}

/* --- the rules in float64 -------------------------------------------------------------------------------------------------- */

static void sort_by_probability(const double *probability, int *order) {
    for (int i = 0; i < VOCAB; i++) {
        int at = i;
        while (at > 0 && probability[order[at - 1]] < probability[i]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

static void normalize(double *probability) {
    double sum = 0.0;
    for (int i = 0; i < VOCAB; i++) sum += probability[i];
    for (int i = 0; i < VOCAB; i++) probability[i] /= sum;
}

static void expected_distribution(const float *logits, const tn_slot_params *params, const float *bias, double *out) {
    double x[VOCAB], largest = -INFINITY;
    for (int i = 0; i < VOCAB; i++) {
        int count = 0;
        for (int h = params->prompt_ignore_length; h < NUM_HISTORY; h++) count += history[h] == i;
        x[i] = (double)logits[i] + (bias != NULL ? (double)bias[i] : 0.0);
        if (count > 0) {
            double penalty = (double)params->repetition_penalty;
            x[i] = x[i] > 0.0 ? x[i] / penalty : x[i] * penalty;
            x[i] -= (double)params->presence_penalty + (double)params->frequency_penalty * count;
        }
        if (params->end_id == i && params->min_tokens > 0) x[i] = -INFINITY; /* nothing is generated yet */
        x[i] /= (double)params->temperature;
        largest = fmax(largest, x[i]);
    }
    for (int i = 0; i < VOCAB; i++) out[i] = exp(x[i] - largest);
    normalize(out);
    int order[VOCAB];
    sort_by_probability(out, order);
    if (params->top_k > 0) {
        for (int i = params->top_k; i < VOCAB; i++) out[order[i]] = 0.0;
        normalize(out);
    }
    if (params->top_p > 0.0f) {
        double sum = 0.0;
        int kept = 0;
        while (kept < VOCAB && sum < (double)params->top_p) sum += out[order[kept++]];
        for (int i = kept; i < VOCAB; i++) out[order[i]] = 0.0;
        normalize(out);
    }
    double floor = (double)params->min_p * out[order[0]];
    for (int i = 0; i < VOCAB; i++)
        if (out[i] < floor) out[i] = 0.0;
    normalize(out);
}

/* --- drawing ------------------------------------------------------------------------------------------------------------------ */

static void draw_all(sampler *self, const tn_slot_params *params, const float *bias, int32_t *counts) {
    for (int row = 0; row < ROWS; row++) {
        make_logits(self->logits[row]);
        self->slots[row] = row;
        self->positions[row] = NUM_HISTORY;
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t row = 0; row < ROWS; row++) {
            tn_slot_params own = *params;
            own.seed = params->seed + step * ROWS + row;
            assert_int_equal(tn_state_set_write_slot(self->states, 0, row, &own, history, NUM_HISTORY, bias, NULL, NULL), TN_OK);
        }
        assert_int_equal(tn_context_enqueue(self->context, NULL), TN_OK);
        for (int row = 0; row < ROWS; row++) {
            assert_in_range(self->next_ids[row], 0, VOCAB - 1);
            counts[self->next_ids[row]]++;
        }
    }
}

/* Sum over bins of at least 5 expected draws; rarer tokens share one. */
static void check_counts(const char *name, const int32_t *counts, const double *expected) {
    double sum = 0.0, rare_expected = 0.0, rare_count = 0.0;
    int bins = 0;
    for (int i = 0; i < VOCAB; i++) {
        double wanted = expected[i] * DRAWS;
        if (expected[i] == 0.0 && counts[i] != 0) fail_msg("%s: token %d was drawn %d times, never possible", name, i, (int)counts[i]);
        if (wanted < 5.0) {
            rare_expected += wanted;
            rare_count += counts[i];
            continue;
        }
        sum += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
        bins++;
    }
    if (rare_expected > 0.5) {
        sum += (rare_count - rare_expected) * (rare_count - rare_expected) / rare_expected;
        bins++;
    }
    if (bins < 2) {
        assert_true(sum == 0.0);
        return;
    }
    double df = bins - 1, root = 1.0 - 2.0 / (9.0 * df) + 3.72 * sqrt(2.0 / (9.0 * df)); /* Wilson and Hilferty */
    if (!(sum <= df * root * root * root)) fail_msg("%s: chi-square is %.1f at %d degrees of freedom", name, sum, bins - 1);
}

static void check_settings(const char *backend) {
    sampler *self = open_sampler(backend);
    float bias[VOCAB] = {[2] = 3.0f, [9] = -2.0f, [33] = 1.5f};
#define CHECK(setting, bias_or_null)                                      \
    do {                                                                  \
        tn_slot_params params = make_params();                            \
        setting;                                                          \
        params.seed = (uint64_t)__LINE__ << 32;                           \
        params.has_bias = (bias_or_null) != NULL;                         \
        int32_t counts[VOCAB] = {0};                                      \
        double expected[VOCAB];                                           \
        float logits[VOCAB];                                              \
        make_logits(logits);                                              \
        expected_distribution(logits, &params, (bias_or_null), expected); \
        draw_all(self, &params, (bias_or_null), counts);                  \
        check_counts(#setting, counts, expected);                         \
    } while (0)
    CHECK((void)0, NULL);
    CHECK(params.temperature = 0.5f, NULL);
    CHECK(params.temperature = 2.5f, NULL);
    CHECK((params.top_k = 7, params.top_p = 0.0f), NULL);
    CHECK((params.top_k = 1, params.top_p = 0.0f), NULL);
    CHECK((params.top_k = 1000, params.top_p = 0.0f), NULL);
    CHECK(params.top_p = 0.6f, NULL);
    CHECK(params.top_p = 0.05f, NULL);
    CHECK((params.top_k = 12, params.top_p = 0.7f), NULL);
    CHECK(params.min_p = 0.2f, NULL);
    CHECK(params.repetition_penalty = 1.8f, NULL);
    CHECK(params.repetition_penalty = 0.6f, NULL);
    CHECK(params.presence_penalty = 1.5f, NULL);
    CHECK(params.frequency_penalty = 0.7f, NULL);
    CHECK((params.frequency_penalty = -0.5f, params.prompt_ignore_length = 4), NULL);
    CHECK((params.end_id = 20, params.min_tokens = 3), NULL);
    CHECK((void)0, bias);
    CHECK((params.temperature = 0.8f, params.top_k = 20, params.top_p = 0.9f, params.min_p = 0.05f, params.repetition_penalty = 1.3f,
           params.presence_penalty = 0.4f, params.frequency_penalty = 0.2f),
          bias);
#undef CHECK
    close_sampler(self);
}

static void draws_on_ref_follow_the_distribution(void **state) {
    (void)state;
    check_settings("ref");
}

static void draws_on_cpu_follow_the_distribution(void **state) {
    (void)state;
    check_settings("cpu");
}

static bool has_device(const char *backend) {
    tn_device_options options;
    tn_device *device = NULL;
    tn_device_options_init(&options);
    assert_int_equal(tn_diag_create(NULL, &options.diag), TN_OK);
    bool is_there = tn_device_create(backend, &options, &device) == TN_OK;
    tn_device_destroy(device);
    tn_diag_destroy(options.diag);
    return is_there;
}

static void draws_on_cuda_follow_the_distribution(void **state) {
    (void)state;
    if (!has_device("cuda")) skip();
    check_settings("cuda");
}

/* A draw depends on seed, sequence and position: not on the row, the slot, or the rows beside it. */
static void draws_do_not_depend_on_the_row(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "cpu", "cuda"};
    int32_t first[ROWS];
    for (int b = 0; b < 3 && has_device(backends[b]); b++) {
        sampler *self = open_sampler(backends[b]);
        for (int turn = 0; turn < 2; turn++) {
            for (int row = 0; row < ROWS; row++) {
                int place = turn == 0 ? row : ROWS - 1 - row;
                tn_slot_params params = make_params();
                params.seed = (uint64_t)row;
                make_logits(self->logits[place]);
                self->slots[place] = place;
                self->positions[place] = NUM_HISTORY;
                assert_int_equal(tn_state_set_write_slot(self->states, 0, place, &params, history, NUM_HISTORY, NULL, NULL, NULL), TN_OK);
            }
            assert_int_equal(tn_context_enqueue(self->context, NULL), TN_OK);
            for (int row = 0; row < ROWS; row++) {
                int32_t id = self->next_ids[turn == 0 ? row : ROWS - 1 - row];
                if (b == 0 && turn == 0) first[row] = id;
                assert_int_equal(id, first[row]); /* the backends agree too */
            }
        }
        close_sampler(self);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_on_ref_follow_the_distribution),
        cmocka_unit_test(draws_on_cpu_follow_the_distribution),
        cmocka_unit_test(draws_on_cuda_follow_the_distribution),
        cmocka_unit_test(draws_do_not_depend_on_the_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
