/* SPDX-License-Identifier: Apache-2.0
 *
 * models_test.c: a LeNet-shaped CNN and a GPT-2 block, defined through the public interface, built, run and compared with NumPy
 * (tests/golden/networks), with dimensions known at run time, on ref and on cpu with layers that it lacks on the host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/json.h"
#include "tenon/builder.h"
#include "tenon/context.h"

enum { MAX_TENSORS = 32, MAX_OUTPUT = 256 };

/* A network under construction; its values live until the build is done. */
typedef struct model {
    tn_network *net;
    float *values[MAX_TENSORS];
    int num_values;
} model;

/* The next tensor: as scripts/golden/networks.py has it. */
static const float *make_values(model *m, int64_t count, float scale) {
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    assert_true(m->num_values < MAX_TENSORS);
    m->values[m->num_values++] = values;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)((uint64_t)i * 2654435761u + (uint64_t)m->num_values * 40503u) >> 16;
        values[i] = ((float)bits / 65536.0f - 0.5f) * scale;
    }
    return values;
}

static tn_tensor *out(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

static int64_t count_of(tn_dims dims) {
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.d[i];
    return count;
}

static tn_tensor *weights(model *m, tn_dims dims, float scale) {
    int64_t count = count_of(dims);
    const tn_weights_data data = {.dtype = TN_FLOAT32, .data = make_values(m, count, scale), .count = count};
    return out(tn_network_add_constant(m->net, dims, &data));
}

static tn_tensor *reshape(model *m, tn_tensor *x, tn_dims dims) {
    tn_layer *layer = tn_network_add_shuffle(m->net, x);
    tn_shuffle_set_reshape(layer, dims);
    return out(layer);
}

static tn_tensor *transpose(model *m, tn_tensor *x, tn_dims permutation) {
    tn_layer *layer = tn_network_add_shuffle(m->net, x);
    tn_shuffle_set_first_transpose(layer, permutation);
    return out(layer);
}

static tn_tensor *binary(model *m, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return out(tn_network_add_elementwise(m->net, a, b, op));
}

/* x [.., columns] · weight [rows, columns]ᵀ + bias [rows] */
static tn_tensor *linear(model *m, tn_tensor *x, int64_t rows, int64_t columns, float scale) {
    int rank = tn_tensor_dims(x).rank;
    tn_tensor *weight = weights(m, TN_DIMS(rows, columns), scale);
    tn_tensor *y = out(tn_network_add_matrix_multiply(m->net, x, TN_MATRIX_NONE, weight, TN_MATRIX_TRANSPOSE));
    tn_tensor *bias = weights(m, TN_DIMS(rows), 1.0f);
    return binary(m, y, reshape(m, bias, rank == 2 ? TN_DIMS(1, rows) : TN_DIMS(1, 1, rows)), TN_ELEMENTWISE_SUM);
}

/* --- LeNet ------------------------------------------------------------------------------------------------------------------ */

static tn_tensor *convolve_and_pool(model *m, tn_tensor *x, int64_t maps, int64_t channels, int64_t padding) {
    tn_window_options window, pool;
    tn_window_options_init(&window);
    tn_window_options_init(&pool);
    window.pre_padding = window.post_padding = TN_DIMS(padding, padding);
    pool.stride = TN_DIMS(2, 2);
    tn_tensor *kernel = weights(m, TN_DIMS(maps, channels, 5, 5), 0.5f), *bias = weights(m, TN_DIMS(maps), 1.0f);
    x = out(tn_network_add_convolution(m->net, x, kernel, bias, &window));
    x = out(tn_network_add_activation(m->net, x, TN_ACTIVATION_RELU));
    return out(tn_network_add_pooling(m->net, x, TN_POOLING_MAX, TN_DIMS(2, 2), &pool));
}

static tn_tensor *define_lenet(model *m, tn_tensor *x) {
    x = convolve_and_pool(m, x, 6, 1, 2);
    x = convolve_and_pool(m, x, 16, 6, 0);
    x = reshape(m, x, TN_DIMS(0, 400));
    x = out(tn_network_add_activation(m->net, linear(m, x, 120, 400, 0.4f), TN_ACTIVATION_RELU));
    x = out(tn_network_add_activation(m->net, linear(m, x, 84, 120, 0.4f), TN_ACTIVATION_RELU));
    return out(tn_network_add_softmax(m->net, linear(m, x, 10, 84, 0.4f), -1));
}

/* --- GPT-2 ------------------------------------------------------------------------------------------------------------------ */

enum { HIDDEN = 16, HEADS = 2, HEAD_DIM = HIDDEN / HEADS };

static tn_tensor *layer_norm(model *m, tn_tensor *x) {
    tn_tensor *scale = weights(m, TN_DIMS(HIDDEN), 1.0f), *bias = weights(m, TN_DIMS(HIDDEN), 1.0f);
    return out(tn_network_add_normalization(m->net, x, scale, bias, TN_NORMALIZATION_LAYER, 1e-5));
}

/* One of q, k and v: [batch, heads, length, size] */
static tn_tensor *heads_of(model *m, tn_tensor *qkv, int part) {
    tn_slice_options slice;
    tn_slice_options_init(&slice);
    slice.axes = TN_DIMS(2), slice.start = TN_DIMS(part * HIDDEN), slice.size = TN_DIMS(HIDDEN), slice.stride = TN_DIMS(1);
    tn_tensor *x = out(tn_network_add_slice_with(m->net, qkv, &slice));
    return transpose(m, reshape(m, x, TN_DIMS(0, 0, HEADS, HEAD_DIM)), TN_DIMS(0, 2, 1, 3));
}

static tn_tensor *define_gpt2(model *m, tn_tensor *x) {
    static const float scale = 0.35355339059327373f; /* 1 / √HEAD_DIM */
    tn_tensor *qkv = linear(m, layer_norm(m, x), 3 * HIDDEN, HIDDEN, 1.0f);
    tn_attention_options attention;
    tn_attention_options_init(&attention);
    attention.causal = TN_CAUSAL_UPPER_LEFT;
    const tn_weights_data data = {.dtype = TN_FLOAT32, .data = &scale, .count = 1};
    tn_tensor *factor = out(tn_network_add_constant(m->net, TN_DIMS(1, 1, 1, 1), &data));
    tn_tensor *q = binary(m, heads_of(m, qkv, 0), factor, TN_ELEMENTWISE_PROD);
    tn_tensor *y = out(tn_network_add_attention(m->net, q, heads_of(m, qkv, 1), heads_of(m, qkv, 2), &attention));
    y = reshape(m, transpose(m, y, TN_DIMS(0, 2, 1, 3)), TN_DIMS(0, 0, HIDDEN));
    x = binary(m, x, linear(m, y, HIDDEN, HIDDEN, 1.0f), TN_ELEMENTWISE_SUM);
    y = linear(m, layer_norm(m, x), 4 * HIDDEN, HIDDEN, 1.0f);
    y = out(tn_network_add_activation(m->net, y, TN_ACTIVATION_GELU_TANH));
    return binary(m, x, linear(m, y, HIDDEN, 4 * HIDDEN, 1.0f), TN_ELEMENTWISE_SUM);
}

/* --- building and running --------------------------------------------------------------------------------------------------- */

typedef struct model_case {
    const char *name;
    tn_tensor *(*define)(model *m, tn_tensor *x);
    tn_dims input, min, max, shape; /* of the network, of its profile, of the run */
} model_case;

static tn_engine *build(const model_case *c, tn_device *device, model *m, tn_diag *diag) {
    tn_network_options network_options;
    tn_builder_options builder_options;
    tn_engine_options engine_options;
    tn_builder *builder;
    tn_builder_config *config;
    tn_plan *plan;
    tn_engine *engine;
    tn_network_options_init(&network_options);
    network_options.diag = diag;
    network_options.flags = TN_NETWORK_STRONGLY_TYPED;
    assert_int_equal(tn_network_create(&network_options, &m->net), TN_OK);
    tn_network_mark_output(m->net, c->define(m, tn_network_add_input(m->net, "x", TN_FLOAT32, c->input)), "y");
    tn_builder_options_init(&builder_options);
    builder_options.diag = diag, builder_options.device = device;
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    tn_builder_config_set_host_fallback(config, true);
    tn_builder_config_set_optimization_level(config, 0);
    tn_builder_config_set_activation_precision(config, TN_ACTIVATIONS_FLOAT32);
    tn_profile_set_dims(tn_builder_config_add_profile(config), "x", c->min, c->shape, c->max);
    assert_int_equal(tn_builder_build(builder, m->net, config, &plan), TN_OK);
    tn_engine_options_init(&engine_options);
    engine_options.diag = diag, engine_options.device = device;
    assert_int_equal(tn_engine_create(plan, &engine_options, &engine), TN_OK);
    tn_plan_destroy(plan);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_network_destroy(m->net);
    return engine;
}

static void compare(const char *name, const float *y, int64_t count) {
    tn_json *json;
    assert_int_equal(tn_json_load(TN_TEST_DATA "/networks/networks.json", NULL, NULL, NULL, &json), TN_OK);
    const tn_json_value *expected = tn_json_find(tn_json_root(json), name);
    assert_int_equal(tn_json_count(expected), count);
    for (int64_t i = 0; i < count; i++) {
        double value;
        assert_int_equal(tn_json_to_number(tn_json_at(expected, (size_t)i), -INFINITY, INFINITY, NULL, &value), TN_OK);
        if (!(fabs((double)y[i] - value) <= 2e-5 * (1.0 + fabs(value))))
            fail_msg("%s: y[%d] is %g, not %g", name, (int)i, (double)y[i], value);
    }
    tn_json_destroy(json);
}

static void run_on(const model_case *c, const char *backend) {
    tn_device_options device_options;
    tn_context_options context_options;
    tn_device *device;
    tn_context *context;
    tn_diag *diag;
    tn_dims dims;
    size_t bytes;
    float y[MAX_OUTPUT];
    model m = {0};
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_device_options_init(&device_options);
    device_options.num_threads = 1;
    assert_int_equal(tn_device_create(backend, &device_options, &device), TN_OK);
    const float *x = make_values(&m, count_of(c->shape), 2.0f);
    tn_engine *engine = build(c, device, &m, diag);
    tn_context_options_init(&context_options);
    context_options.diag = diag;
    assert_int_equal(tn_context_create(engine, &context_options, &context), TN_OK);
    assert_int_equal(tn_context_set_input_shape(context, "x", c->shape), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", (void *)(uintptr_t)x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    assert_int_equal(tn_context_get_max_size(context, "y", &bytes), TN_OK);
    assert_true(bytes <= sizeof y);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_int_equal(tn_context_get_shape(context, "y", &dims), TN_OK);
    compare(c->name, y, count_of(dims));
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    tn_device_destroy(device);
    tn_diag_destroy(diag);
    for (int i = 0; i < m.num_values; i++) free(m.values[i]);
}

static void a_lenet_equals_numpy(void **state) {
    (void)state;
    const model_case c = {.name = "lenet",
                          .define = define_lenet,
                          .input = TN_DIMS(-1, 1, 28, 28),
                          .min = TN_DIMS(1, 1, 28, 28),
                          .max = TN_DIMS(4, 1, 28, 28),
                          .shape = TN_DIMS(2, 1, 28, 28)};
    run_on(&c, "ref");
    run_on(&c, "cpu");
}

static void a_gpt2_block_equals_numpy(void **state) {
    (void)state;
    const model_case c = {.name = "gpt2",
                          .define = define_gpt2,
                          .input = TN_DIMS(-1, -1, HIDDEN),
                          .min = TN_DIMS(1, 1, HIDDEN),
                          .max = TN_DIMS(4, 8, HIDDEN),
                          .shape = TN_DIMS(2, 5, HIDDEN)};
    run_on(&c, "ref");
    run_on(&c, "cpu");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lenet_equals_numpy),
        cmocka_unit_test(a_gpt2_block_equals_numpy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
