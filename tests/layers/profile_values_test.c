/* SPDX-License-Identifier: Apache-2.0
 *
 * profile_values_test.c: ranges of values that shapes depend on, through builder, plan and context.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tenon/builder.h"
#include "tenon/context.h"

typedef struct fixture {
    tn_diag *diag;
    tn_network *net;
    tn_device *device;
    tn_builder *builder;
    tn_builder_config *config;
    tn_profile *profile;
} fixture;

/* y = x [6] reshaped to `dims` (a shape input of 2 elements), plus itself. */
static int setup(void **state) {
    static fixture f;
    tn_network_options network_options;
    tn_device_options device_options;
    tn_builder_options builder_options;
    assert_int_equal(tn_diag_create(NULL, &f.diag), TN_OK);
    tn_network_options_init(&network_options);
    tn_device_options_init(&device_options);
    tn_builder_options_init(&builder_options);
    network_options.diag = device_options.diag = builder_options.diag = f.diag;
    assert_int_equal(tn_network_create(&network_options, &f.net), TN_OK);
    assert_int_equal(tn_device_create("ref", &device_options, &f.device), TN_OK);
    builder_options.device = f.device;
    assert_int_equal(tn_builder_create(&builder_options, &f.builder), TN_OK);
    assert_int_equal(tn_builder_config_create(f.builder, &f.config), TN_OK);
    tn_tensor *x = tn_network_add_input(f.net, "x", TN_FLOAT32, TN_DIMS(6));
    tn_tensor *dims = tn_network_add_input(f.net, "dims", TN_INT64, TN_DIMS(2));
    tn_layer *shuffle = tn_network_add_shuffle(f.net, x);
    tn_shuffle_set_reshape_tensor(shuffle, dims);
    tn_tensor *y = tn_layer_output(shuffle, 0);
    tn_network_mark_output(f.net, tn_layer_output(tn_network_add_elementwise(f.net, y, y, TN_ELEMENTWISE_SUM), 0), "y");
    f.profile = tn_builder_config_add_profile(f.config);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    tn_builder_config_destroy(f->config);
    tn_builder_destroy(f->builder);
    tn_device_destroy(f->device);
    tn_network_destroy(f->net);
    tn_diag_destroy(f->diag);
    return 0;
}

static bool says(const fixture *f, const char *part) {
    tn_diag_entry entry;
    for (size_t i = 0; tn_diag_get(f->diag, i, &entry) == TN_OK; i++)
        if (strstr(entry.message, part) != NULL) return true;
    return false;
}

static void values_inside_their_range_run_and_others_are_refused(void **state) {
    fixture *f = *state;
    const int64_t min[2] = {1, 2}, opt[2] = {2, 3}, max[2] = {3, 6};
    tn_plan *plan;
    tn_engine *engine;
    tn_context *context;
    tn_engine_options engine_options;
    tn_context_options context_options;
    tn_profile_set_values(f->profile, "dims", min, opt, max, 2);
    tn_profile_set_values(f->profile, "dims", min, opt, max, 2); /* the last one counts */
    assert_int_equal(tn_builder_build(f->builder, f->net, f->config, &plan), TN_OK);
    tn_engine_options_init(&engine_options);
    engine_options.diag = f->diag;
    engine_options.device = f->device;
    assert_int_equal(tn_engine_create(plan, &engine_options, &engine), TN_OK);
    tn_context_options_init(&context_options);
    context_options.diag = f->diag;
    assert_int_equal(tn_context_create(engine, &context_options, &context), TN_OK);
    float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {0};
    int64_t dims[2] = {2, 3};
    tn_dims shape;
    assert_int_equal(tn_context_set_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_address(context, "dims", dims), TN_OK);
    assert_int_equal(tn_context_set_address(context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_true(y[5] == 12.0f);
    dims[0] = 3, dims[1] = 2;
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_int_equal(tn_context_get_shape(context, "y", &shape), TN_OK);
    assert_true(shape.d[0] == 3 && shape.d[1] == 2);
    dims[0] = 6, dims[1] = 1;
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    assert_true(says(f, "value 0 of input 'dims' is 6, profile 0 allows 1 to 3"));
    dims[0] = 1, dims[1] = 6;
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    char *json = NULL;
    if (tn_plan_inspect(plan, f->diag, &json) == TN_OK) {
        assert_non_null(strstr(json, "\"value\":1,\"min\":2,\"opt\":3,\"max\":6"));
        tn_string_free(json);
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
}

static void ranges_of_values_that_cannot_be_are_all_told(void **state) {
    fixture *f = *state;
    const int64_t min[3] = {4, 2, 1}, opt[3] = {2, 3, 1}, max[3] = {3, 6, 1};
    tn_plan *plan;
    tn_profile *second = tn_builder_config_add_profile(f->config), *third = tn_builder_config_add_profile(f->config);
    tn_profile_set_values(f->profile, "dims", min, opt, max, 2);
    tn_profile_set_values(f->profile, "x", opt, opt, max, 2);
    tn_profile_set_values(second, "dims", opt, opt, max, 3);
    tn_profile_set_values(third, "nobody", opt, opt, max, 1);
    assert_int_equal(tn_builder_build(f->builder, f->net, f->config, &plan), TN_INVALID_ARGUMENT);
    assert_true(says(f, "profile 0: the range of value 0 of 'dims' is 4, 2, 3; it must be min <= opt <= max"));
    assert_true(says(f, "profile 0 gives the values of input 'x' a range, but no shape depends on them"));
    assert_true(says(f, "profile 1 gives 3 values of input 'dims' a range, it has 2"));
    assert_true(says(f, "profile 2 sets input 'nobody', but the network has no such input"));
    tn_profile_set_values(second, NULL, min, opt, max, 2);
    assert_true(says(f, "cannot set the values of a profile: no input is named"));
    tn_profile_set_values(second, "dims", min, NULL, max, 2);
    tn_profile_set_values(second, "dims", min, opt, max, 65);
    assert_true(says(f, "1 to 64 values are needed"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_inside_their_range_run_and_others_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges_of_values_that_cannot_be_are_all_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
