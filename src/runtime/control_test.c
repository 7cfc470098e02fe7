/* SPDX-License-Identifier: Apache-2.0
 *
 * control_test.c: loops, guards, values that a function computes, copies between host and device; on every device.
 */
#include "runtime/testing.h"

static tn_device *device;
static const char *backend_name;
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

typedef struct running {
    test_plan plan;
    tn_engine *engine;
    tn_context *context;
} running;

static running start(tn_plan_maker *maker) {
    running r;
    r.plan = finish_plan(maker);
    r.engine = load_engine(&r.plan, device, NULL);
    r.context = make_context(r.engine, NULL, 0, diag);
    return r;
}

static void stop(running *r) {
    tn_context_destroy(r->context);
    tn_engine_destroy(r->engine);
    free(r->plan.bytes);
}

#define INPUT(id)      ((const uint32_t[]){TN_SPACE_INPUT, id})
#define OUTPUT(id)     ((const uint32_t[]){TN_SPACE_OUTPUT, id})
#define ACTIVATION(id) ((const uint32_t[]){TN_SPACE_ACTIVATION, id})
#define HOST(id)       ((const uint32_t[]){TN_SPACE_HOST, id})

static void host_launch(tn_plan_maker *maker, const char *name, const char *problem, uint32_t num_refs, const uint32_t (*refs)[2]) {
    (void)tn_maker_launch(maker, name, problem, NULL, 0, num_refs, refs);
}

/* y = x · (1 + count), count a host input that is a shape value of the plan: the loop's trip count. */
static void loop_runs_as_often_as_a_host_input_says(void **state) {
    (void)state;
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, backend_name);
    tn_maker_begin_function(&maker, "forward");
    uint32_t n = tn_maker_input_dim(&maker, 0, 0), count = tn_maker_symbol(&maker, "host_value", 4, 0, 0, 0);
    tn_maker_tensor(&maker, "x", "float32", TN_SPACE_INPUT, 1, &n);
    tn_maker_tensor(&maker, "y", "float32", TN_SPACE_OUTPUT, 1, &n);
    tn_maker_tensor(&maker, "sum", "float32", TN_SPACE_ACTIVATION, 1, &n);
    tn_maker_tensor(&maker, "next", "float32", TN_SPACE_ACTIVATION, 1, &n);
    tn_maker_tensor(&maker, "count", "int32", TN_SPACE_INPUT, 0, NULL);
    maker.tensors.data[4].place = 1;
    tn_maker_profile(&maker, 0, 0, 0, 1, 4, 100);
    tn_maker_transfer(&maker, "start", TN_STEP_COPY, INPUT(0), ACTIVATION(2));
    tn_maker_loop(&maker, "loop", count, 0, 4);
    add_launch(&maker, "add", TN_OP_ELEMENTWISE, "elementwise float32[s1] float32[s1] -> float32[s1]", 3,
               (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 3}});
    tn_maker_transfer(&maker, "carry", TN_STEP_COPY, ACTIVATION(3), ACTIVATION(2));
    tn_maker_transfer(&maker, "finish", TN_STEP_COPY, ACTIVATION(2), OUTPUT(1));
    tn_maker_end_function(&maker);
    running r = start(&maker);
    float x[100], y[100];
    int32_t trips;
    for (int i = 0; i < 100; i++) x[i] = (float)i;
    assert_int_equal(tn_context_set_input_shape(r.context, "x", TN_DIMS(3)), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(r.context, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "'count' has no address"));
    assert_int_equal(tn_context_set_host_address(r.context, "count", &trips), TN_OK);
    for (int round = 0; round < 12; round++) {
        trips = round * 5 % 7;
        int size = 1 + round * 31 % 100;
        assert_int_equal(tn_context_set_input_shape(r.context, "x", TN_DIMS(size)), TN_OK);
        assert_int_equal(tn_context_enqueue(r.context, NULL), TN_OK);
        for (int i = 0; i < size; i++) assert_true(y[i] == x[i] * (float)(1 + trips));
    }
    stop(&r);
}

/* Host arithmetic: n is halved until it is below 2; y = number of halvings. */
static void loop_runs_while_a_host_condition_holds(void **state) {
    (void)state;
    static const int64_t scalar_dims[1] = {0}, one = 1, two = 2;
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, backend_name);
    (void)tn_maker_weight(&maker, "one", "int64", "int64", 0, scalar_dims, &one, sizeof one, "");
    (void)tn_maker_weight(&maker, "two", "int64", "int64", 0, scalar_dims, &two, sizeof two, "");
    tn_maker_begin_function(&maker, "forward");
    uint32_t condition = tn_maker_symbol(&maker, "host_value", 4, 0, 0, 0);
    tn_maker_tensor(&maker, "n", "int64", TN_SPACE_INPUT, 0, NULL);
    tn_maker_tensor(&maker, "y", "int64", TN_SPACE_OUTPUT, 0, NULL);
    tn_maker_tensor(&maker, "value", "int64", TN_SPACE_HOST, 0, NULL);
    tn_maker_tensor(&maker, "count", "int64", TN_SPACE_HOST, 0, NULL);
    tn_maker_tensor(&maker, "more", "bool", TN_SPACE_HOST, 0, NULL);
    tn_maker_tensor(&maker, "next", "int64", TN_SPACE_HOST, 0, NULL);
    maker.tensors.data[0].place = maker.tensors.data[1].place = 1;
    const char *less = "elementwise{op=less} int64:plain[]@host int64[]@host -> bool[]@host";
    const uint32_t less_refs[][2] = {{TN_SPACE_WEIGHT, 0}, {TN_SPACE_HOST, 2}, {TN_SPACE_HOST, 4}};
    host_launch(&maker, "start", "elementwise{op=prod} int64[]@host int64:plain[]@host -> int64[]@host", 3,
                (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_HOST, 2}});
    host_launch(&maker, "zero", "elementwise{op=sub} int64:plain[]@host int64:plain[]@host -> int64[]@host", 3,
                (const uint32_t[][2]){{TN_SPACE_WEIGHT, 0}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_HOST, 3}});
    host_launch(&maker, "compare", less, 3, less_refs);
    tn_maker_loop(&maker, "loop", 0, condition, 9);
    host_launch(&maker, "halve", "elementwise{op=floor_div} int64[]@host int64:plain[]@host -> int64[]@host", 3,
                (const uint32_t[][2]){{TN_SPACE_HOST, 2}, {TN_SPACE_WEIGHT, 1}, {TN_SPACE_HOST, 5}});
    tn_maker_transfer(&maker, "carry", TN_STEP_COPY, HOST(5), HOST(2));
    host_launch(&maker, "count", "elementwise int64[]@host int64:plain[]@host -> int64[]@host", 3,
                (const uint32_t[][2]){{TN_SPACE_HOST, 3}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_HOST, 5}});
    tn_maker_transfer(&maker, "carry count", TN_STEP_COPY, HOST(5), HOST(3));
    host_launch(&maker, "compare again", less, 3, less_refs);
    tn_maker_transfer(&maker, "finish", TN_STEP_COPY, HOST(3), OUTPUT(1));
    tn_maker_end_function(&maker);
    running r = start(&maker);
    int64_t n, y;
    assert_int_equal(tn_context_set_address(r.context, "n", &n), TN_OK);
    assert_int_equal(tn_context_set_address(r.context, "y", &y), TN_OK);
    for (n = 0; n < 70; n++) {
        int64_t expected = 0;
        for (int64_t k = n; k > 1; k /= 2) expected++;
        assert_int_equal(tn_context_enqueue(r.context, NULL), TN_OK);
        assert_int_equal(y, expected);
    }
    stop(&r);
}

/* An If: the device finds out whether the sum of x is positive; y = x + x, or y = x · x. */
static void branches_follow_a_value_read_from_the_device(void **state) {
    (void)state;
    static const float zero = 0;
    static const int64_t scalar_dims[1] = {0};
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, "ref");
    (void)tn_maker_weight(&maker, "zero", "float32", "float32", 0, scalar_dims, &zero, sizeof zero, "");
    tn_maker_begin_function(&maker, "forward");
    uint32_t n = tn_maker_input_dim(&maker, 0, 0), taken = tn_maker_symbol(&maker, "host_value", 4, 0, 0, 0);
    uint32_t nothing = tn_maker_const(&maker, 0), other = tn_maker_symbol(&maker, "equal", taken, nothing, 0, 0);
    tn_maker_tensor(&maker, "x", "float32", TN_SPACE_INPUT, 1, &n);
    tn_maker_tensor(&maker, "y", "float32", TN_SPACE_OUTPUT, 1, &n);
    tn_maker_tensor(&maker, "sum", "float32", TN_SPACE_ACTIVATION, 0, NULL);
    tn_maker_tensor(&maker, "positive", "bool", TN_SPACE_ACTIVATION, 0, NULL);
    tn_maker_tensor(&maker, "taken", "bool", TN_SPACE_HOST, 0, NULL);
    tn_maker_profile(&maker, 0, 0, 0, 1, 4, 100);
    add_launch(&maker, "sum", TN_OP_REDUCE, "reduce{axes=1} float32[s1] -> float32[]", 2,
               (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}});
    add_launch(&maker, "compare", TN_OP_ELEMENTWISE, "elementwise{op=greater} float32[] float32:plain[] -> bool[]", 3,
               (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_ACTIVATION, 3}});
    tn_maker_transfer(&maker, "read", TN_STEP_READ_SYMBOL, ACTIVATION(3), HOST(4));
    uint32_t then_step = add_launch(&maker, "double", TN_OP_ELEMENTWISE, "elementwise float32[s1] float32[s1] -> float32[s1]", 3,
                                    (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_INPUT, 0}, {TN_SPACE_OUTPUT, 1}});
    uint32_t else_step = add_launch(&maker, "square", TN_OP_ELEMENTWISE, "elementwise{op=prod} float32[s1] float32[s1] -> float32[s1]", 3,
                                    (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_INPUT, 0}, {TN_SPACE_OUTPUT, 1}});
    maker.steps.data[then_step].guard = taken;
    maker.steps.data[else_step].guard = other;
    tn_maker_end_function(&maker);
    running r = start(&maker);
    float x[100], y[100];
    assert_int_equal(tn_context_set_host_address(r.context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "y", y), TN_OK);
    for (int round = 0; round < 20; round++) {
        int size = 1 + round * 13 % 100;
        float sign = round % 3 == 0 ? -1.0f : 1.0f;
        for (int i = 0; i < size; i++) x[i] = sign * (float)(i + 1);
        assert_int_equal(tn_context_set_input_shape(r.context, "x", TN_DIMS(size)), TN_OK);
        assert_int_equal(tn_context_enqueue(r.context, NULL), TN_OK);
        for (int i = 0; i < size; i++) assert_true(y[i] == (sign > 0 ? x[i] + x[i] : x[i] * x[i]));
    }
    stop(&r);
}

/* y = Σ of the rows of x, one an iteration, by the number of the iteration. */
static void iterations_address_slices(void **state) {
    (void)state;
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, backend_name);
    tn_maker_begin_function(&maker, "forward");
    uint32_t n = tn_maker_input_dim(&maker, 0, 0), four = tn_maker_const(&maker, 4), bytes = tn_maker_const(&maker, 16);
    uint32_t iteration = tn_maker_symbol(&maker, "host_value", 4, 0, 0, 0);
    tn_maker_tensor(&maker, "x", "float32", TN_SPACE_INPUT, 2, (uint32_t[]){n, four});
    tn_maker_tensor(&maker, "y", "float32", TN_SPACE_OUTPUT, 1, &four);
    tn_maker_tensor(&maker, "sum", "float32", TN_SPACE_ACTIVATION, 1, &four);
    tn_maker_tensor(&maker, "zero", "float32", TN_SPACE_ACTIVATION, 1, &four);
    tn_maker_tensor(&maker, "i", "int64", TN_SPACE_HOST, 0, NULL);
    maker.tensors.data[4].flags = TN_TENSOR_ITERATION;
    maker.tensors.data[4].first_step = 1;
    tn_maker_profile(&maker, 0, 0, 0, 1, 4, 100);
    add_launch(&maker, "zero", TN_OP_ELEMENTWISE, "elementwise{op=sub} float32[4] float32[4] -> float32[4]", 3,
               (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}});
    tn_maker_loop(&maker, "loop", n, 0, 4);
    uint32_t add = add_launch(&maker, "add", TN_OP_ELEMENTWISE, "elementwise float32[4] float32[4] -> float32[4]", 3,
                              (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}, {TN_SPACE_ACTIVATION, 3}});
    tn_plan_ref *slice = &maker.refs.data[maker.steps.data[add].first_ref];
    slice->index_symbol = iteration;
    slice->stride_symbol = bytes;
    tn_maker_transfer(&maker, "carry", TN_STEP_COPY, ACTIVATION(3), ACTIVATION(2));
    tn_maker_transfer(&maker, "finish", TN_STEP_COPY, ACTIVATION(2), OUTPUT(1));
    tn_maker_end_function(&maker);
    running r = start(&maker);
    float x[100][4], y[4];
    for (int i = 0; i < 400; i++) x[i / 4][i % 4] = (float)i;
    assert_int_equal(tn_context_set_host_address(r.context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "y", y), TN_OK);
    for (int rows = 1; rows <= 100; rows += 9) {
        assert_int_equal(tn_context_set_input_shape(r.context, "x", TN_DIMS(rows, 4)), TN_OK);
        assert_int_equal(tn_context_enqueue(r.context, NULL), TN_OK);
        for (int k = 0; k < 4; k++) {
            float expected = 0;
            for (int i = 0; i < rows; i++) expected += x[i][k];
            assert_true(y[k] == expected);
        }
    }
    stop(&r);
}

/* indices of x ≠ 0, then their float form: its size is known only after the first step ran. */
static void make_non_zero_plan(tn_plan_maker *maker) {
    tn_plan_maker_init(maker, "ref");
    tn_maker_begin_function(maker, "forward");
    uint32_t n = tn_maker_input_dim(maker, 0, 0), count = tn_maker_symbol(maker, "host_value", 4, 0, 0, 0);
    tn_maker_tensor(maker, "x", "int32", TN_SPACE_INPUT, 1, &n);
    tn_maker_tensor(maker, "y", "float32", TN_SPACE_OUTPUT, 2, (uint32_t[]){0, count});
    tn_maker_tensor(maker, "indices", "int64", TN_SPACE_ACTIVATION, 2, (uint32_t[]){0, count});
    tn_maker_tensor(maker, "device count", "int64", TN_SPACE_ACTIVATION, 0, NULL);
    tn_maker_tensor(maker, "count", "int64", TN_SPACE_HOST, 0, NULL);
    maker->tensors.data[1].max_dims[1] = maker->tensors.data[2].max_dims[1] = n;
    tn_maker_profile(maker, 0, 0, 0, 1, 4, 100);
    add_launch(maker, "find", TN_OP_NON_ZERO, "non_zero int32[s1] -> int64[1,s2] int64[]", 3,
               (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}, {TN_SPACE_ACTIVATION, 3}});
    tn_maker_transfer(maker, "read", TN_STEP_READ_SYMBOL, ACTIVATION(3), HOST(4));
    add_launch(maker, "convert", TN_OP_CAST, "cast{to=float32} int64[1,s2] -> float32[1,s2]", 2,
               (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_OUTPUT, 1}});
    tn_maker_end_function(maker);
}

static void sizes_found_by_a_step_are_known_afterwards(void **state) {
    (void)state;
    tn_plan_maker maker;
    make_non_zero_plan(&maker);
    running r = start(&maker);
    int32_t x[100];
    float y[100];
    tn_dims dims;
    assert_int_equal(tn_context_set_host_address(r.context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "y", y), TN_OK);
    for (int round = 0; round < 10; round++) {
        int size = 10 + round * 9, count = 0;
        for (int i = 0; i < size; i++) x[i] = i * (round + 3) % 4 == 0 ? 0 : 7;
        assert_int_equal(tn_context_set_input_shape(r.context, "x", TN_DIMS(size)), TN_OK);
        assert_int_equal(tn_context_get_shape(r.context, "y", &dims), TN_OK);
        assert_int_equal(dims.d[1], -1);
        assert_int_equal(tn_context_enqueue(r.context, NULL), TN_OK);
        for (int i = 0; i < size; i++)
            if (x[i] != 0) assert_true(y[count++] == (float)i);
        assert_int_equal(tn_context_get_shape(r.context, "y", &dims), TN_OK);
        assert_int_equal(dims.d[1], count);
    }
    stop(&r);
}

/* --- plans that would reach where they must not ---------------------------------------------------------------------------- */

static void run_expecting(tn_plan_maker *maker, int size, const char *words) {
    running r = start(maker);
    static int32_t x[400];
    static float y[400];
    assert_int_equal(tn_context_set_input_shape(r.context, "x", TN_DIMS(size)), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(r.context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(r.context, NULL), TN_INVALID_DATA);
    assert_true(diag_says(diag, words));
    tn_diag_clear(diag);
    stop(&r);
}

static void steps_that_reach_beyond_their_tensors_are_refused(void **state) {
    (void)state;
    tn_plan_maker maker;
    make_non_zero_plan(&maker); /* the bound of what NonZero writes is too small */
    maker.tensors.data[2].max_dims[1] = 0;
    run_expecting(&maker, 50, "step 'find' reaches beyond one of its tensors");
    make_non_zero_plan(&maker); /* a value is used before it is read */
    maker.steps.data[1] = maker.steps.data[2];
    maker.steps.data[1].name = maker.steps.data[0].name;
    run_expecting(&maker, 50, "needs a value that is not known yet");
    make_non_zero_plan(&maker); /* an operand is larger than its tensor */
    maker.steps.data[0].problem = tn_maker_string(&maker, "non_zero int32[4096] -> int64[1,s2] int64[]");
    run_expecting(&maker, 50, "step 'find' reaches beyond one of its tensors");
    make_non_zero_plan(&maker);
    maker.refs.data[0].offset = 8;
    run_expecting(&maker, 50, "step 'find' reaches beyond one of its tensors");
    make_non_zero_plan(&maker);
    maker.refs.data[0].offset = 1 << 20;
    run_expecting(&maker, 50, "a step reaches beyond tensor 'x'");
    make_non_zero_plan(&maker); /* a guard that nothing makes known */
    maker.steps.data[0].guard = 2;
    run_expecting(&maker, 50, "step 'find' needs a value that is not known yet");
}

static void each_allocation_may_fail_with_host_work(void **state) {
    (void)state;
    tn_plan_maker maker;
    make_non_zero_plan(&maker);
    test_plan plan = finish_plan(&maker);
    int32_t x[20] = {1, 0, 2, 0};
    float y[20];
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_engine_options options;
        tn_engine *engine = NULL;
        tn_context *context = NULL;
        tn_engine_options_init(&options);
        options.device = device;
        options.diag = diag;
        options.allocator = &fault.allocator;
        tn_context_options context_options;
        tn_context_options_init(&context_options);
        context_options.diag = diag;
        tn_status status = tn_engine_load_memory(plan.bytes, plan.size, &options, &engine);
        if (status == TN_OK) status = tn_context_create(engine, &context_options, &context);
        if (status == TN_OK) {
            assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(20)), TN_OK);
            assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
            assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
            status = tn_context_enqueue(context, NULL);
        }
        tn_context_destroy(context);
        tn_engine_destroy(engine);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        tn_diag_clear(diag);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            assert_true(y[1] == 2);
            break;
        }
        assert_true(status == TN_OUT_OF_MEMORY || status == TN_OK);
    }
    free(plan.bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    /* the last ones need operations that only ref has */
    const struct CMUnitTest tests[] = {
        TEST(loop_runs_as_often_as_a_host_input_says),
        TEST(loop_runs_while_a_host_condition_holds),
        TEST(iterations_address_slices),
        TEST(branches_follow_a_value_read_from_the_device),
        TEST(sizes_found_by_a_step_are_known_afterwards),
        TEST(steps_that_reach_beyond_their_tensors_are_refused),
        TEST(each_allocation_may_fail_with_host_work),
    };
    const struct CMUnitTest tests_of_cpu[] = {tests[0], tests[1], tests[2]};
    int failed = 0;
    for (size_t i = 0; i < sizeof test_devices / sizeof test_devices[0]; i++) {
        device = try_device(&test_devices[i]);
        if (device == NULL) continue;
        backend_name = test_devices[i].backend;
        print_message("--- %s%s\n", backend_name, test_devices[i].async ? " async" : "");
        if (strcmp(backend_name, "ref") == 0)
            failed += cmocka_run_group_tests(tests, NULL, NULL);
        else
            failed += cmocka_run_group_tests(tests_of_cpu, NULL, NULL);
        tn_device_destroy(device);
    }
    return failed;
}
