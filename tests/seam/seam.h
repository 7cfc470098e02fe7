/* SPDX-License-Identifier: Apache-2.0
 *
 * seam.h: what the seam tests share: a device (synchronous or not), a network, a build, and a run with host memory.
 */
#ifndef TN_TESTS_SEAM_SEAM_H_
#define TN_TESTS_SEAM_SEAM_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tenon/builder.h"
#include "tenon/context.h"

typedef struct seam {
    tn_device *device;
    tn_builder *builder;
    tn_builder_config *config;
    bool is_async;
} seam;

static inline int seam_open(void **state, bool is_async) {
    seam *s = calloc(1, sizeof *s);
    tn_device_options options;
    tn_device_options_init(&options);
    options.async = is_async;
    options.async_seed = 3;
    s->is_async = is_async;
    *state = s;
    tn_status status = tn_device_create("ref", &options, &s->device);
    if (is_async && status == TN_UNSUPPORTED) return 0;
    if (status != TN_OK) return -1;
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.device = s->device;
    if (tn_builder_create(&builder_options, &s->builder) != TN_OK) return -1;
    return tn_builder_config_create(s->builder, &s->config) == TN_OK ? 0 : -1;
}

/* The fixture of a test; skips it where the device is not built. */
static inline seam *seam_ready(void **state) {
    seam *s = *state;
    if (s->device == NULL) skip();
    return s;
}

static inline int seam_set_up(void **state) {
    return seam_open(state, false);
}

static inline int seam_set_up_async(void **state) {
    return seam_open(state, true);
}

static inline int seam_tear_down(void **state) {
    seam *s = *state;
    tn_builder_config_destroy(s->config);
    tn_builder_destroy(s->builder);
    tn_device_destroy(s->device);
    free(s);
    return 0;
}

#define SEAM_TEST(function)       cmocka_unit_test_setup_teardown(function, seam_set_up, seam_tear_down)
#define SEAM_ASYNC_TEST(function) cmocka_unit_test_setup_teardown(function, seam_set_up_async, seam_tear_down)

static inline tn_network *seam_network(const char *name) {
    tn_network_options options;
    tn_network *network;
    tn_network_options_init(&options);
    options.flags = TN_NETWORK_STRONGLY_TYPED;
    options.name = name;
    assert_int_equal(tn_network_create(&options, &network), TN_OK);
    return network;
}

static inline tn_tensor *out(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

static inline tn_tensor *constant_f32(tn_network *network, tn_dims dims, const float *data, const char *name) {
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.d[i];
    return out(tn_network_add_constant(network, dims, &(tn_weights_data){TN_FLOAT32, data, count, name}));
}

static inline tn_tensor *constant_i64(tn_network *network, tn_dims dims, const int64_t *data) {
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.d[i];
    return out(tn_network_add_constant(network, dims, &(tn_weights_data){TN_INT64, data, count, NULL}));
}

static inline tn_engine *seam_engine(seam *s, tn_plan *plan) {
    tn_engine_options options;
    tn_engine *engine;
    tn_engine_options_init(&options);
    options.device = s->device;
    assert_int_equal(tn_engine_create(plan, &options, &engine), TN_OK);
    return engine;
}

/* The plan and the network are gone after it. */
static inline tn_engine *seam_build(seam *s, tn_network *network) {
    tn_plan *plan;
    assert_int_equal(tn_builder_build(s->builder, network, s->config, &plan), TN_OK);
    tn_network_destroy(network);
    tn_engine *engine = seam_engine(s, plan);
    tn_plan_destroy(plan);
    return engine;
}

static inline tn_context *seam_context(tn_engine *engine, const char *function) {
    tn_context_options options;
    tn_context *context;
    tn_context_options_init(&options);
    options.function = function;
    assert_int_equal(tn_context_create(engine, &options, &context), TN_OK);
    return context;
}

static inline void seam_bind(tn_context *context, const char *name, tn_dims dims, void *memory) {
    if (dims.rank >= 0) assert_int_equal(tn_context_set_input_shape(context, name, dims), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, name, memory), TN_OK);
}
#define SEAM_OUTPUT ((tn_dims){-1, {0}})

static inline void seam_run(tn_context *context) {
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
}

#endif
