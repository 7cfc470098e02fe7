/* SPDX-License-Identifier: Apache-2.0
 *
 * debug_test.c: debug tensors of a network: what is marked by hand, and all that is left when layers have been fused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "plan/plan.h"
#include "tenon/builder.h"
#include "tenon/context.h"

typedef struct shown {
    int count;
    char names[256];
} shown;

static void remember(void *user, const char *name, tn_dtype dtype, const int64_t *dims, int rank, const void *data) {
    shown *s = user;
    (void)dtype, (void)dims, (void)rank, (void)data;
    s->count++;
    (void)strncat(s->names, name, sizeof s->names - strlen(s->names) - 2);
    (void)strncat(s->names, " ", 2);
}

/* y = relu(x · w + b) as three layers, run once; what debugging showed, and how many steps the plan has. */
static uint32_t run(bool unfused, bool by_hand, shown *out) {
    static float values[64];
    tn_device_options device_options;
    tn_builder_options builder_options;
    tn_engine_options engine_options;
    tn_device *device;
    tn_network *net;
    tn_builder *builder;
    tn_builder_config *config;
    tn_plan *plan;
    tn_engine *engine;
    tn_context *context;
    for (int i = 0; i < 64; i++) values[i] = (float)(i % 7) - 3.0f;
    tn_device_options_init(&device_options);
    tn_builder_options_init(&builder_options);
    tn_engine_options_init(&engine_options);
    assert_int_equal(tn_device_create("cpu", &device_options, &device), TN_OK);
    builder_options.device = engine_options.device = device;
    assert_int_equal(tn_network_create(NULL, &net), TN_OK);
    const tn_weights_data weight = {.dtype = TN_FLOAT32, .data = values, .count = 64},
                          bias = {.dtype = TN_FLOAT32, .data = values, .count = 8};
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(2, 8));
    tn_tensor *w = tn_layer_output(tn_network_add_constant(net, TN_DIMS(8, 8), &weight), 0);
    tn_tensor *b = tn_layer_output(tn_network_add_constant(net, TN_DIMS(1, 8), &bias), 0);
    tn_layer *product = tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE);
    tn_layer_set_name(product, "product");
    tn_tensor *sum = tn_layer_output(tn_network_add_elementwise(net, tn_layer_output(product, 0), b, TN_ELEMENTWISE_SUM), 0);
    tn_tensor_set_name(sum, "sum");
    tn_layer *relu = tn_network_add_activation(net, sum, TN_ACTIVATION_RELU);
    tn_network_mark_output(net, tn_layer_output(relu, 0), "y");
    tn_network_mark_unfused_as_debug(net, unfused);
    if (by_hand) tn_network_mark_debug(net, sum);
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    tn_builder_config_set_optimization_level(config, 0);
    assert_int_equal(tn_builder_build(builder, net, config, &plan), TN_OK);
    uint32_t num_steps = tn_plan_get_view(plan)->num_steps;
    assert_int_equal(tn_engine_create(plan, &engine_options, &engine), TN_OK);
    assert_int_equal(tn_context_create(engine, NULL, &context), TN_OK);
    float y[16];
    assert_int_equal(tn_context_set_address(context, "x", values), TN_OK);
    assert_int_equal(tn_context_set_address(context, "y", y), TN_OK);
    *out = (shown){0};
    tn_context_set_debug_callback(context, remember, out);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_network_destroy(net);
    tn_device_destroy(device);
    return num_steps;
}

static void unfused_tensors_are_shown_and_nothing_is_kept_from_fusing(void **state) {
    (void)state;
    shown none, all, one;
    uint32_t fused = run(false, false, &none);
    assert_int_equal(none.count, 0);
    assert_int_equal(run(true, false, &all), fused);
    assert_int_equal(all.count, (int)fused);
    assert_non_null(strstr(all.names, "y "));
    assert_true(run(false, true, &one) > fused); /* what is marked by hand stands by itself */
    assert_string_equal(one.names, "sum ");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(unfused_tensors_are_shown_and_nothing_is_kept_from_fusing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
