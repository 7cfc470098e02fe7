/* SPDX-License-Identifier: Apache-2.0
 *
 * build_test.c: a model on disk becomes a plan in one call, or says why not.
 */
#include "model/testing.h"
#include "tenon/engine.h"
#include "tenon/model.h"

static tn_model_build_options options_with(tn_diag *diag) {
    tn_model_build_options options;
    tn_model_build_options_init(&options);
    options.diag = diag;
    options.optimization_level = 0;
    return options;
}

static void a_model_directory_becomes_a_plan_that_loads(void **state) {
    tn_model_build_options options = options_with(*state);
    char model[256];
    golden_path("gpt2", model);
    tn_plan *plan;
    assert_int_equal(tn_model_build(model, &options, &plan), TN_OK);
    tn_engine *engine;
    assert_int_equal(tn_engine_create(plan, NULL, &engine), TN_OK);
    assert_int_equal(tn_engine_num_functions(engine), 2);
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
}

static void a_memory_limit_below_the_weights_is_out_of_memory(void **state) {
    tn_model_build_options options = options_with(*state);
    options.memory_limit_bytes = 1000;
    char model[256];
    golden_path("gpt2", model);
    tn_plan *plan;
    assert_int_equal(tn_model_build(model, &options, &plan), TN_OUT_OF_MEMORY);
    assert_null(plan);
    tn_diag_clear(*state);
}

static void what_cannot_be_built_is_refused_with_its_reason(void **state) {
    tn_model_build_options options = options_with(*state);
    char model[256];
    golden_path("gpt2", model);
    tn_plan *plan;
    assert_failed(*state, tn_model_build("/no/such/model.gguf", &options, &plan), TN_NOT_FOUND, "/no/such/model.gguf");
    assert_null(plan);
    assert_failed(*state, tn_model_build(NULL, &options, &plan), TN_INVALID_ARGUMENT, "the path is NULL");
    options.cache_dtype = TN_INT32;
    assert_failed(*state, tn_model_build(model, &options, &plan), TN_UNSUPPORTED, "cache of int32");
    options = options_with(*state);
    options.max_seq_len = 1 << 20;
    assert_failed(*state, tn_model_build(model, &options, &plan), TN_INVALID_ARGUMENT, "max_seq_len");
    options.struct_size = 0;
    assert_failed(*state, tn_model_build(model, &options, &plan), TN_INVALID_ARGUMENT, "tn_model_build_options_init");
    assert_null(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_model_directory_becomes_a_plan_that_loads),
        TEST(a_memory_limit_below_the_weights_is_out_of_memory),
        TEST(what_cannot_be_built_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
