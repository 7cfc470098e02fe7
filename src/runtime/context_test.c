/* SPDX-License-Identifier: Apache-2.0
 *
 * context_test.c: contexts on the reference device, synchronous and asynchronous.
 */
#include "runtime/testing.h"

static tn_device *device; /* of the group */
static tn_diag *diag;

static int set_up(void **state) {
    (void)state;
    return tn_diag_create(NULL, &diag) == TN_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    tn_diag_destroy(diag);
    return 0;
}

static void fill(float *x, int count, float start) {
    for (int i = 0; i < count; i++) x[i] = (i % 2 == 0 ? 1.0f : -1.0f) * (start + (float)i);
}

static void assert_scaled(const float *x, const float *y, int n) {
    for (int i = 0; i < n * 4; i++) assert_true(y[i] == (x[i] > 0 ? x[i] : 0) * (float)(i % 4 + 1));
}

static void hand_made_plan_runs_at_several_shapes(void **state) {
    (void)state;
    tn_plan_maker maker;
    make_scale_plan(&maker, "ref");
    test_plan plan = finish_plan(&maker);
    tn_engine *engine = load_engine(&plan, device, NULL);
    tn_context *context = make_context(engine, NULL, 0, diag);
    float x[32], y[32];
    for (int round = 0; round < 20; round++) {
        int n = 1 + round * 3 % 8;
        fill(x, 32, (float)round);
        memset(y, 0x55, sizeof y);
        assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(n, 4)), TN_OK);
        assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
        assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
        assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
        assert_scaled(x, y, n);
        for (int i = n * 4; i < 32; i++) assert_true(((uint8_t *)&y[i])[0] == 0x55);
        tn_dims dims;
        assert_int_equal(tn_context_get_shape(context, "y", &dims), TN_OK);
        assert_int_equal(dims.rank, 2);
        assert_int_equal(dims.d[0], n);
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    free(plan.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hand_made_plan_runs_at_several_shapes, set_up, tear_down),
    };
    int failed = 0;
    device = make_device("ref", false);
    failed += cmocka_run_group_tests_name("context on ref", tests, NULL, NULL);
    tn_device_destroy(device);
    return failed;
}
