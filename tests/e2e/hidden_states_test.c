/* SPDX-License-Identifier: Apache-2.0
 *
 * hidden_states_test.c: the additional output hidden_states: Hugging Face's values, the same bits in any company, next to logits that
 * it does not change.
 */
#include "support/executor.h"

#include "format/json.h"

enum { HIDDEN = 64, MAX_PROMPT = 64, PROMPT = 45, ANSWER = 6 };

static const tn_additional_output generated = {TN_OUTPUT_HIDDEN_STATES, false}, with_context = {TN_OUTPUT_HIDDEN_STATES, true};

static void open_model(tn_test_decoder *decoder, const char *name, const char *backend, const tn_device_options *device,
                       bool hidden_states) {
    char path[256];
    tn_model_options options;
    tn_model_options_init(&options);
    options.tokens_per_block = 16;
    options.max_num_tokens = MAX_NUM_TOKENS;
    options.max_batch_size = MAX_BATCH;
    options.hidden_states = hidden_states;
    snprintf(path, sizeof path, TN_TEST_DATA "/models/%s", name);
    tn_test_decoder_open(decoder, path, backend, device, &options);
    start(decoder, 0, 0);
}

static tn_request make_hidden_request(const int32_t *ids, size_t count, int32_t max_tokens, const tn_additional_output *output) {
    tn_request request = make_request(ids, count, max_tokens);
    request.additional_outputs = output;
    request.num_additional_outputs = 1;
    return request;
}

static const float *context_rows(const tn_response *response) {
    size_t columns;
    const float *rows = tn_response_context_output(response, TN_OUTPUT_HIDDEN_STATES, &columns);
    assert_int_equal(columns, rows != NULL ? HIDDEN : 0);
    return rows;
}

static const float *generation_rows(const tn_response *response, int32_t beam) {
    size_t columns;
    const float *rows = tn_response_beam_generation_output(response, beam, TN_OUTPUT_HIDDEN_STATES, &columns);
    assert_int_equal(columns, rows != NULL ? HIDDEN : 0);
    return rows;
}

/* --- Hugging Face's values -------------------------------------------------------------------------------------------------------- */

/* Rounded to 1e-5; sums in another order (e2e/golden.h). */
static void compare_row(const tn_json_value *wanted, const double *got, const char *what, size_t index) {
    assert_int_equal(tn_json_count(wanted), HIDDEN);
    for (size_t i = 0; i < HIDDEN; i++) {
        double value;
        assert_int_equal(tn_json_to_number(tn_json_at(wanted, i), -1e6, 1e6, NULL, &value), TN_OK);
        if (!(fabs(got[i] - value) <= 2e-4)) fail_msg("%s: row %zu: %zu is %g, wanted %g", what, index, i, got[i], value);
    }
}

static void compare_case(tn_test_decoder *decoder, const tn_json_value *example, const char *what) {
    const tn_json_value *ids_value, *positions, *rows, *mean;
    int32_t ids[MAX_PROMPT];
    double row[HIDDEN], sum[HIDDEN] = {0};
    assert_int_equal(tn_json_get_array(example, "input_ids", NULL, &ids_value), TN_OK);
    assert_int_equal(tn_json_get_array(example, "positions", NULL, &positions), TN_OK);
    assert_int_equal(tn_json_get_array(example, "rows", NULL, &rows), TN_OK);
    assert_int_equal(tn_json_get_array(example, "mean", NULL, &mean), TN_OK);
    size_t count = tn_json_count(ids_value);
    assert_true(count <= MAX_PROMPT);
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        assert_int_equal(tn_json_to_integer(tn_json_at(ids_value, i), 0, VOCAB - 1, NULL, &id), TN_OK);
        ids[i] = (int32_t)id;
    }
    tn_request request = make_hidden_request(ids, count, 1, &with_context);
    tn_response *response = tn_test_answer(decoder, &request);
    const float *got = context_rows(response);
    assert_non_null(got);
    for (size_t i = 0; i < tn_json_count(positions); i++) {
        int64_t position;
        assert_int_equal(tn_json_to_integer(tn_json_at(positions, i), 0, (int64_t)count - 1, NULL, &position), TN_OK);
        for (size_t k = 0; k < HIDDEN; k++) row[k] = (double)got[(size_t)position * HIDDEN + k];
        compare_row(tn_json_at(rows, i), row, what, (size_t)position);
    }
    for (size_t i = 0; i < count * HIDDEN; i++) sum[i % HIDDEN] += (double)got[i] / (double)count;
    compare_row(mean, sum, what, count);
    /* the first generated token is drawn from the row of the prompt's last one */
    assert_memory_equal(generation_rows(response, 0), got + (count - 1) * HIDDEN, HIDDEN * sizeof *got);
    tn_response_destroy(response);
}

static void compare_model(const char *name, const char *backend) {
    char path[256], what[64];
    tn_test_decoder decoder;
    tn_json *json;
    const tn_json_value *cases;
    snprintf(path, sizeof path, TN_TEST_DATA "/models/%s/hidden_states.json", name);
    snprintf(what, sizeof what, "%s on %s", name, backend);
    assert_int_equal(tn_json_load(path, NULL, NULL, NULL, &json), TN_OK);
    assert_int_equal(tn_json_get_array(tn_json_root(json), "cases", NULL, &cases), TN_OK);
    assert_true(tn_json_count(cases) > 0);
    open_model(&decoder, name, backend, NULL, true);
    for (size_t i = 0; i < tn_json_count(cases); i++) compare_case(&decoder, tn_json_at(cases, i), what);
    tn_test_decoder_close(&decoder);
    tn_json_destroy(json);
}

static void on_ref_they_are_hugging_faces(void **state) {
    (void)state;
    compare_model("gpt2", "ref");
    compare_model("llama-gqa", "ref");
}

static void on_cpu_they_are_hugging_faces(void **state) {
    (void)state;
    compare_model("gpt2", "cpu");
    compare_model("llama-gqa", "cpu");
}

/* --- the same bits in any company -------------------------------------------------------------------------------------------------- */

static void assert_same_rows(const tn_response *a, const tn_response *b) {
    assert_same_answer(a, b);
    assert_memory_equal(generation_rows(a, 0), generation_rows(b, 0), ANSWER * HIDDEN * sizeof(float));
    assert_memory_equal(context_rows(a), context_rows(b), PROMPT * HIDDEN * sizeof(float));
}

static tn_request make_whole_request(const int32_t *ids) {
    tn_request request = make_hidden_request(ids, PROMPT, ANSWER, &with_context);
    request.return_generation_logits = true;
    return request;
}

/* In a batch with other lengths, with and without rows of their own. */
static void check_batch(tn_test_decoder *decoder, const int32_t *ids, const tn_response *alone) {
    static int32_t others[MAX_BATCH][120];
    uint64_t requests[MAX_BATCH];
    for (uint32_t i = 0; i < MAX_BATCH; i++) {
        size_t count = 1 + (i * 29) % 113;
        make_prompt(others[i], count, 100 + i);
        tn_request request = make_hidden_request(others[i], count, 1 + (int32_t)i, i % 3 == 0 ? &with_context : &generated);
        if (i % 3 == 1) request.num_additional_outputs = 0;
        if (i == 5) request = make_whole_request(ids);
        requests[i] = enqueue(decoder, &request);
    }
    for (int i = 0; i < MAX_BATCH; i++) {
        tn_response *response = await(decoder, requests[i]);
        if (i == 5) assert_same_rows(alone, response);
        tn_response_destroy(response);
    }
}

static void check_invariance(const char *name, const char *backend) {
    int32_t ids[PROMPT];
    tn_response *alone = NULL;
    make_prompt(ids, PROMPT, 77);
    for (int num_threads = 1; num_threads <= 2; num_threads++) {
        tn_test_decoder decoder;
        tn_device_options device;
        tn_device_options_init(&device);
        device.num_threads = num_threads;
        open_model(&decoder, name, backend, &device, true);
        static const int32_t chunks[] = {0, 8};
        for (int c = 0; c < 2; c++) {
            start(&decoder, chunks[c], 0);
            tn_request request = make_whole_request(ids);
            tn_response *response = tn_test_answer(&decoder, &request), *again = tn_test_answer(&decoder, &request);
            if (alone == NULL) alone = tn_test_answer(&decoder, &request);
            assert_same_rows(alone, response);
            assert_same_rows(alone, again); /* the prompt lies in the cache, and its rows are all there */
            tn_response_destroy(response);
            tn_response_destroy(again);
            check_batch(&decoder, ids, alone);
        }
        tn_test_decoder_close(&decoder);
    }
    tn_response_destroy(alone);
}

static void no_row_depends_on_batch_chunks_cache_or_threads(void **state) {
    (void)state;
    check_invariance("llama-gqa", "cpu");
    check_invariance("gpt2", "cpu");
}

static void a_prompt_of_the_cache_gives_the_row_of_its_last_token(void **state) {
    (void)state;
    int32_t ids[PROMPT];
    tn_test_decoder decoder;
    tn_request_timings timings;
    make_prompt(ids, PROMPT, 5);
    open_model(&decoder, "llama-gqa", "cpu", NULL, true);
    tn_request request = make_hidden_request(ids, PROMPT, 1, &generated);
    tn_response *cold = tn_test_answer(&decoder, &request), *hit = tn_test_answer(&decoder, &request);
    tn_response_timings(hit, &timings);
    assert_int_equal(timings.num_reused_tokens, PROMPT - 1);
    assert_null(context_rows(hit));
    assert_memory_equal(generation_rows(cold, 0), generation_rows(hit, 0), HIDDEN * sizeof(float));
    tn_response_destroy(cold);
    tn_response_destroy(hit);
    tn_test_decoder_close(&decoder);
}

/* Where the head is quantised its norm quantises too, but for an output: then that is a step of its own. */
static void check_logits(const char *name, int64_t hidden_size) {
    int32_t ids[PROMPT];
    tn_response *responses[2];
    tn_executor_info info;
    for (int32_t i = 0; i < PROMPT; i++) ids[i] = 3 + i * 7 % 80;
    for (int gives = 0; gives < 2; gives++) {
        tn_test_decoder decoder;
        open_model(&decoder, name, "cpu", NULL, gives == 1);
        tn_executor_get_info(decoder.executor, &info);
        assert_int_equal(info.hidden_size, gives == 1 ? hidden_size : 0);
        tn_request request = make_request(ids, PROMPT, ANSWER);
        request.return_generation_logits = true;
        responses[gives] = tn_test_answer(&decoder, &request);
        assert_null(generation_rows(responses[gives], 0)); /* nobody asked */
        tn_test_decoder_close(&decoder);
    }
    assert_same_ids(responses[0], responses[1]);
    assert_memory_equal(tn_response_generation_logits(responses[0]), tn_response_generation_logits(responses[1]),
                        ANSWER * (size_t)info.vocab_size * sizeof(float));
    for (int i = 0; i < 2; i++) tn_response_destroy(responses[i]);
}

static void logits_are_the_same_bits_with_and_without_them(void **state) {
    (void)state;
    check_logits("llama-gqa", HIDDEN);
    check_logits("../quantized_models/llama-gguf/model.gguf", 256);
}

/* --- answers of several responses and of beams ------------------------------------------------------------------------------------ */

static void a_streamed_answer_has_its_rows_token_by_token(void **state) {
    (void)state;
    int32_t ids[PROMPT];
    tn_test_decoder decoder;
    tn_device_options device;
    make_prompt(ids, PROMPT, 8);
    tn_device_options_init(&device);
    device.async = true;
    open_model(&decoder, "llama-gqa", "ref", &device, true);
    start(&decoder, 0, 2); /* overlapped steps */
    tn_request request = make_whole_request(ids);
    tn_response *whole = tn_test_answer(&decoder, &request);
    request.streaming = true;
    uint64_t id = enqueue(&decoder, &request);
    for (size_t i = 0; i < ANSWER; i++) {
        tn_response *response = await(&decoder, id);
        assert_memory_equal(generation_rows(response, 0), generation_rows(whole, 0) + i * HIDDEN, HIDDEN * sizeof(float));
        if (i > 0 && i + 1 < ANSWER)
            assert_null(context_rows(response));
        else
            assert_memory_equal(context_rows(response), context_rows(whole), PROMPT * HIDDEN * sizeof(float));
        tn_response_destroy(response);
    }
    tn_response_destroy(whole);
    tn_test_decoder_close(&decoder);
}

/* Row i of a beam is that of the prompt and its first i tokens. */
static void each_beam_has_the_rows_of_its_own_tokens(void **state) {
    (void)state;
    int32_t ids[PROMPT + ANSWER];
    tn_test_decoder decoder;
    tn_executor_options options = make_options();
    options.max_beam_width = 3;
    make_prompt(ids, PROMPT, 9);
    open_model(&decoder, "llama-gqa", "cpu", NULL, true);
    tn_test_decoder_start(&decoder, &options);
    tn_request request = make_hidden_request(ids, PROMPT, ANSWER, &generated);
    request.sampling.beam_width = 3;
    tn_response *beams = tn_test_answer(&decoder, &request);
    assert_int_equal(tn_response_num_beams(beams), 3);
    for (int32_t beam = 0; beam < 3; beam++) {
        size_t count;
        const int32_t *tokens = tn_response_beam_ids(beams, beam, &count);
        assert_int_equal(count, ANSWER);
        memcpy(ids + PROMPT, tokens, ANSWER * sizeof *ids);
        tn_request one = make_hidden_request(ids, PROMPT + ANSWER - 1, 1, &with_context);
        tn_response *response = tn_test_answer(&decoder, &one);
        assert_memory_equal(generation_rows(beams, beam), context_rows(response) + (PROMPT - 1) * HIDDEN, ANSWER * HIDDEN * sizeof(float));
        tn_response_destroy(response);
    }
    assert_null(generation_rows(beams, 3));
    tn_response_destroy(beams);
    tn_test_decoder_close(&decoder);
}

/* --- refusals ------------------------------------------------------------------------------------------------------------------------ */

static void assert_refused(const tn_test_decoder *decoder, const tn_additional_output *outputs, size_t count, tn_status code,
                           const char *message) {
    static const int32_t ids[] = {5, 6, 7};
    tn_diag *diag;
    tn_diag_entry entry;
    uint64_t id;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_request request = make_hidden_request(ids, 3, 1, outputs);
    request.num_additional_outputs = count;
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, &request, diag, &id), code);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, message);
    tn_diag_destroy(diag);
}

static void outputs_that_are_not_there_are_refused_by_name(void **state) {
    (void)state;
    tn_test_decoder decoder;
    open_model(&decoder, "llama-gqa", "null", NULL, true);
    const tn_additional_output unknown = {"logits", true}, nameless = {NULL, false}, twice[] = {generated, with_context};
    assert_refused(&decoder, &unknown, 1, TN_INVALID_ARGUMENT, "cannot take the request: there is no additional output 'logits'");
    assert_refused(&decoder, &nameless, 1, TN_INVALID_ARGUMENT, "cannot take the request: additional output 0 has no name");
    assert_refused(&decoder, twice, 2, TN_INVALID_ARGUMENT,
                   "cannot take the request: the additional output 'hidden_states' is asked for twice");
    tn_test_decoder_close(&decoder);
    open_model(&decoder, "llama-gqa", "null", NULL, false);
    assert_refused(&decoder, &generated, 1, TN_UNSUPPORTED,
                   "cannot take the request: the plan does not give the additional output 'hidden_states'");
    assert_refused(&decoder, &unknown, 1, TN_INVALID_ARGUMENT, "cannot take the request: there is no additional output 'logits'");
    tn_test_decoder_close(&decoder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_ref_they_are_hugging_faces),
        cmocka_unit_test(on_cpu_they_are_hugging_faces),
        cmocka_unit_test(no_row_depends_on_batch_chunks_cache_or_threads),
        cmocka_unit_test(a_prompt_of_the_cache_gives_the_row_of_its_last_token),
        cmocka_unit_test(logits_are_the_same_bits_with_and_without_them),
        cmocka_unit_test(a_streamed_answer_has_its_rows_token_by_token),
        cmocka_unit_test(each_beam_has_the_rows_of_its_own_tokens),
        cmocka_unit_test(outputs_that_are_not_there_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
