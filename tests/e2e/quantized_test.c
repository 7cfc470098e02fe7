/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_test.c: whole models in each form of quantised checkpoints (scripts/golden/quantized_models.py) against the float32 logits
 * and greedy tokens of the weights as they decode.
 */
#include "e2e/golden.h"

/* The largest differences measured: 8e-6 with float32 activations, of which 5e-6 is the rounding of the expected ones; 3.8e-4 with 15
 * bits, each of whose products is off by up to 1.5e-5 of a block's largest activation. */
static const double float32_tolerance = 2e-5, default_tolerance = 1e-3;

/* All cases in one batch; chunks of 8, so that one row, a few and many meet the weights. */
static void check_path(const golden_model *model, const char *path, const char *backend, tn_activation_precision activations) {
    bool is_exact = activations == TN_ACTIVATIONS_FLOAT32;
    const char *how = is_exact ? "float32 activations" : "default";
    tn_model_options options;
    tn_model_options_init(&options);
    options.activations = activations;
    options.tokens_per_block = 16;
    options.max_num_tokens = 64;
    options.max_batch_size = 4;
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_chunk_tokens = 8;
    executor.max_cache_tokens = 256;
    tn_test_decoder decoder;
    tn_test_decoder_open(&decoder, path, backend, NULL, &options);
    tn_test_decoder_start(&decoder, &executor);
    uint64_t ids[GOLDEN_MAX_CASES];
    for (size_t i = 0; i < model->num_cases; i++) ids[i] = golden_enqueue(&decoder, &model->cases[i]);
    for (size_t i = 0; i < model->num_cases; i++) {
        tn_response *response;
        assert_int_equal(tn_executor_await(decoder.executor, ids[i], TN_FOREVER, &response), TN_OK);
        golden_compare(model, i, how, is_exact ? float32_tolerance : default_tolerance, response);
        tn_response_destroy(response);
    }
    tn_test_decoder_close(&decoder);
}

/* ref, the oracle, once; under sanitizers, which need ten times as long, with the file that has most encodings alone. */
static void check(const char *name, const char *file) {
    golden_model *model = golden_load_from("quantized_models", name, "config.json");
    char path[256];
    snprintf(path, sizeof path, TN_TEST_DATA "/quantized_models/%s/%s", name, file);
    bool has_all = !GOLDEN_IS_SLOW || file[0] != '\0';
    if (has_all) check_path(model, path, "cpu", TN_ACTIVATIONS_FLOAT32);
    check_path(model, path, "cpu", TN_ACTIVATIONS_AUTO);
    if (has_all) check_path(model, path, "ref", TN_ACTIVATIONS_AUTO);
    free(model);
}

static void checkpoint_test(void **state) {
    check(*state, "");
}

static void gguf_file_with_every_block_type_gives_the_logits_and_tokens_of_its_decoded_weights(void **state) {
    (void)state;
    check("llama-gguf", "model.gguf");
}

int main(void) {
    static const char *const names[] = {"llama-awq",  "llama-gptq", "llama-gptq-order", "llama-gptq-8",     "llama-gptq-8-orders",
                                        "llama-int4", "llama-int8", "llama-fp8",        "llama-fp8-blocks", "gpt_oss-mxfp4"};
    enum { NUM_NAMES = sizeof names / sizeof *names };
    static char titles[NUM_NAMES][96];
    struct CMUnitTest tests[NUM_NAMES + 1] = {
        cmocka_unit_test(gguf_file_with_every_block_type_gives_the_logits_and_tokens_of_its_decoded_weights)};
    for (size_t i = 0; i < NUM_NAMES; i++) {
        snprintf(titles[i], sizeof titles[i], "%s_gives_the_logits_and_tokens_of_its_decoded_weights", names[i]);
        tests[i + 1] = (struct CMUnitTest){.name = titles[i], .test_func = checkpoint_test, .initial_state = (void *)(uintptr_t)names[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
