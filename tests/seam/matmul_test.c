/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_test.c: a linear layer with a dynamic batch, from the public API to numbers.
 */
#include "seam.h"

static const float w[3 * 4] = {1, 0, 0, 0, 0, 2, 0, 0, 1, 1, 1, 1};

static tn_network *linear_network(void) {
    tn_network *net = seam_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, 4));
    tn_tensor_set_dim_name(x, 0, "batch");
    tn_tensor *weight = constant_f32(net, TN_DIMS(3, 4), w, "w");
    tn_layer *mm = tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, weight, TN_MATRIX_TRANSPOSE);
    tn_network_mark_output(net, out(mm), "y");
    return net;
}

static void set_batch(seam *s, int64_t min, int64_t opt, int64_t max) {
    tn_profile *profile = tn_builder_config_add_profile(s->config);
    tn_profile_set_dim(profile, "batch", min, opt, max);
}

static void a_linear_layer_computes_at_every_batch(void **state) {
    seam *s = seam_ready(state);
    set_batch(s, 1, 8, 40);
    tn_engine *engine = seam_build(s, linear_network());
    tn_context *context = seam_context(engine, NULL);
    static float x[40 * 4], y[40 * 3];
    for (int n = 1; n <= 40; n++) {
        for (int i = 0; i < n * 4; i++) x[i] = (float)(i * 7 % 11) - 5.0f;
        seam_bind(context, "x", TN_DIMS(n, 4), x);
        seam_bind(context, "y", SEAM_OUTPUT, y);
        seam_run(context);
        for (int row = 0; row < n; row++) {
            assert_true(y[row * 3] == x[row * 4]);
            assert_true(y[row * 3 + 1] == 2 * x[row * 4 + 1]);
            assert_true(y[row * 3 + 2] == x[row * 4] + x[row * 4 + 1] + x[row * 4 + 2] + x[row * 4 + 3]);
        }
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SEAM_TEST(a_linear_layer_computes_at_every_batch),
        SEAM_ASYNC_TEST(a_linear_layer_computes_at_every_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
