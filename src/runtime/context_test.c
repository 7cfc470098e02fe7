/* SPDX-License-Identifier: Apache-2.0
 *
 * context_test.c: shapes, addresses, streams, memory, debugging and profiling of contexts, on every device there is.
 */
#include <pthread.h>

#include "runtime/testing.h"

static tn_device *device; /* of the group */
static const char *backend_name;
static tn_diag *diag; /* of the test */
static test_plan plan;
static tn_engine *engine;

static int set_up(void **state) {
    (void)state;
    tn_plan_maker maker;
    if (tn_diag_create(NULL, &diag) != TN_OK) return -1;
    make_scale_plan(&maker, backend_name);
    plan = finish_plan(&maker);
    engine = load_engine(&plan, device, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tn_engine_destroy(engine);
    free(plan.bytes);
    tn_diag_destroy(diag);
    return 0;
}

static void fill(float *x, int count, float start) {
    for (int i = 0; i < count; i++) x[i] = (i % 2 == 0 ? 1.0f : -1.0f) * (start + (float)i);
}

static void assert_scaled(const float *x, const float *y, int n) {
    for (int i = 0; i < n * 4; i++) assert_true(y[i] == (x[i] > 0 ? x[i] : 0) * (float)(i % 4 + 1));
}

static void run_at(tn_context *context, int n, float *x, float *y, tn_stream *stream) {
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(n, 4)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(context, stream), TN_OK);
}

/* --- shapes -------------------------------------------------------------------------------------------------------------- */

static void hand_made_plan_runs_at_several_shapes(void **state) {
    (void)state;
    tn_context *context = make_context(engine, NULL, 0, diag);
    float x[32], y[32];
    for (int round = 0; round < 20; round++) {
        int n = 1 + round * 3 % 8;
        fill(x, 32, (float)round);
        memset(y, 0x55, sizeof y);
        run_at(context, n, x, y, NULL);
        assert_scaled(x, y, n);
        for (int i = n * 4; i < 32; i++) assert_true(((uint8_t *)&y[i])[0] == 0x55);
        tn_dims dims;
        size_t bytes;
        assert_int_equal(tn_context_get_shape(context, "y", &dims), TN_OK);
        assert_int_equal(tn_context_get_max_size(context, "y", &bytes), TN_OK);
        assert_int_equal(bytes, dims.d[0] * dims.d[1] * 4);
        assert_int_equal(dims.rank, 2);
        assert_int_equal(dims.d[0], n);
        assert_int_equal(tn_context_get_shape(context, "x", &dims), TN_OK);
        assert_int_equal(dims.d[0], n);
    }
    tn_context_destroy(context);
}

static void wrong_shapes_are_refused_with_both_ranges(void **state) {
    (void)state;
    tn_context *context = make_context(engine, "forward", 0, diag);
    tn_dims dims;
    assert_int_equal(tn_context_get_shape(context, "y", &dims), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "the shape of input 'x' is not set"));
    size_t bytes;
    assert_int_equal(tn_context_get_max_size(context, "y", &bytes), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "the shape of input 'x' is not set"));
    assert_int_equal(tn_context_get_max_size(context, "nothing", &bytes), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "no input or output 'nothing'"));
    assert_int_equal(bytes, 0);
    assert_int_equal(tn_context_set_input_shape(context, "z", TN_DIMS(1, 4)), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "no input 'z'"));
    assert_int_equal(tn_context_set_input_shape(context, "y", TN_DIMS(1, 4)), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "no input 'y'"));
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(4)), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "1 dimensions given, it has 2"));
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(1, 5)), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "'x' to [1, 5]: profile 0 of function 'forward' allows [1, 4] to [8, 4]"));
    tn_diag_clear(diag);
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(12, 4)), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "'x' to [12, 4]: profile 0 of function 'forward' allows [1, 4] to [8, 4]"));
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.hint, "profile 1 allows it"));
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(0, 4)), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(-1, 4)), TN_INVALID_ARGUMENT);
    tn_context_destroy(context);
}

static void second_profile_takes_other_shapes(void **state) {
    (void)state;
    tn_context *context = make_context(engine, NULL, 1, diag);
    float x[64], y[64];
    fill(x, 64, 3);
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(8, 4)), TN_INVALID_ARGUMENT);
    run_at(context, 16, x, y, NULL);
    assert_scaled(x, y, 16);
    tn_context_destroy(context);
    tn_context_options options;
    tn_context_options_init(&options);
    options.diag = diag;
    options.profile = 2;
    assert_int_equal(tn_context_create(engine, &options, &context), TN_INVALID_ARGUMENT);
    options.profile = 0;
    options.function = "backward";
    assert_int_equal(tn_context_create(engine, &options, &context), TN_NOT_FOUND);
    assert_null(context);
    assert_true(diag_says(diag, "no function 'backward'"));
}

/* z = x + b, both with the dimension "batch" */
static test_plan make_sum_plan(void) {
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, backend_name);
    tn_maker_begin_function(&maker, "sum");
    uint32_t n = tn_maker_input_dim(&maker, 0, 0), m = tn_maker_input_dim(&maker, 1, 0);
    for (uint32_t i = 0; i < 2; i++) {
        tn_maker_tensor(&maker, i == 0 ? "x" : "b", "float32", TN_SPACE_INPUT, 1, i == 0 ? &n : &m);
        maker.tensors.data[i].dim_names[0] = tn_maker_string(&maker, "batch");
        tn_maker_profile(&maker, 0, i, 0, 1, 4, 64);
    }
    tn_maker_tensor(&maker, "z", "float32", TN_SPACE_OUTPUT, 1, &n);
    add_launch(&maker, "sum", TN_OP_ELEMENTWISE, "elementwise float32[s1] float32[s1] -> float32[s1]", 3,
               (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_INPUT, 1}, {TN_SPACE_OUTPUT, 2}});
    tn_maker_end_function(&maker);
    return finish_plan(&maker);
}

static void dimensions_of_one_name_must_be_equal(void **state) {
    (void)state;
    test_plan sum = make_sum_plan();
    tn_engine *sum_engine = load_engine(&sum, device, NULL);
    tn_context *context = make_context(sum_engine, NULL, 0, diag);
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {10, 20, 30, 40, 50, 60, 70, 80}, z[8];
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(8)), TN_OK);
    assert_int_equal(tn_context_set_input_shape(context, "b", TN_DIMS(4)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "b", b), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "z", z), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "dimension 'batch' is 8 in 'x' and 4 in 'b'"));
    assert_int_equal(tn_context_set_input_shape(context, "b", TN_DIMS(8)), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    for (int i = 0; i < 8; i++) assert_true(z[i] == x[i] + b[i]);
    assert_int_equal(tn_engine_max_dim(sum_engine, "sum", "batch"), 64);
    assert_int_equal(tn_engine_max_dim(sum_engine, "sum", "tokens"), -1);
    assert_int_equal(tn_engine_max_dim(sum_engine, "other", "batch"), -1);
    tn_context_destroy(context);
    tn_engine_destroy(sum_engine);
    free(sum.bytes);
}

/* --- addresses and memory ------------------------------------------------------------------------------------------------ */

static void missing_addresses_are_named(void **state) {
    (void)state;
    tn_context *context = make_context(engine, NULL, 0, diag);
    float x[4] = {1, 2, 3, 4}, y[4];
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(1, 4)), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "input 'x' has no address"));
    tn_diag_clear(diag);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "output 'y' has no address"));
    assert_int_equal(tn_context_set_host_address(context, "q", y), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_context_read(context, "y", 0, 4, y, NULL), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_scaled(x, y, 1);
    assert_int_equal(tn_context_set_host_address(context, "y", NULL), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    tn_context_destroy(context);
}

static void buffer_of_one_context_is_input_of_another(void **state) {
    (void)state;
    tn_context *first = make_context(engine, NULL, 0, diag), *second = make_context(engine, NULL, 0, diag);
    tn_stream *stream;
    float x[32], y[32], twice[32];
    fill(x, 32, 1);
    assert_int_equal(tn_stream_create(device, NULL, &stream), TN_OK);
    for (int n = 1; n <= 8; n++) {
        assert_int_equal(tn_context_set_input_shape(first, "x", TN_DIMS(n, 4)), TN_OK);
        assert_int_equal(tn_context_set_input_shape(second, "x", TN_DIMS(n, 4)), TN_OK);
        assert_int_equal(tn_context_set_host_address(first, "x", x), TN_OK);
        void *middle = tn_context_buffer(first, "y");
        assert_non_null(middle);
        assert_int_equal(tn_context_set_address(second, "x", middle), TN_OK);
        assert_int_equal(tn_context_set_host_address(second, "y", y), TN_OK);
        assert_int_equal(tn_context_enqueue(first, stream), TN_OK);
        assert_int_equal(tn_context_enqueue(second, stream), TN_OK);
        assert_int_equal(tn_context_read(first, "y", 0, sizeof(float) * (size_t)n * 4, twice, stream), TN_OK);
        assert_int_equal(tn_stream_synchronize(stream, NULL), TN_OK);
        assert_scaled(x, twice, n);
        assert_scaled(twice, y, n);
    }
    assert_int_equal(tn_context_read(first, "y", 100, 29, twice, NULL), TN_INVALID_ARGUMENT);
    assert_null(tn_context_buffer(second, "y"));
    assert_true(diag_says(diag, "'y' has an address already") || diag_says(diag, "29 bytes from 100 on, it has 128"));
    tn_context_destroy(first);
    tn_context_destroy(second);
    tn_stream_destroy(stream);
}

static void queued_runs_with_other_addresses_do_not_disturb_each_other(void **state) {
    (void)state;
    enum { NUM_RUNS = 50 };
    static float x[NUM_RUNS][32], y[NUM_RUNS][32];
    tn_context *context = make_context(engine, NULL, 0, diag);
    tn_stream *stream;
    assert_int_equal(tn_stream_create(device, NULL, &stream), TN_OK);
    for (int i = 0; i < NUM_RUNS; i++) {
        fill(x[i], 32, (float)i);
        run_at(context, 1 + i % 8, x[i], y[i], stream);
    }
    assert_int_equal(tn_stream_synchronize(stream, NULL), TN_OK);
    for (int i = 0; i < NUM_RUNS; i++) assert_scaled(x[i], y[i], 1 + i % 8);
    for (int i = 0; i < 5; i++) { /* and when streams change */
        fill(x[0], 32, (float)i);
        run_at(context, 4, x[0], y[0], i % 2 ? stream : NULL);
        if (i % 2) assert_int_equal(tn_stream_synchronize(stream, NULL), TN_OK);
        assert_scaled(x[0], y[0], 4);
    }
    run_at(context, 3, x[0], y[0], stream);
    tn_context_destroy(context); /* waits */
    assert_scaled(x[0], y[0], 3);
    tn_stream_destroy(stream);
}

static void shapes_seen_before_run_without_allocating(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_engine_options options;
    tn_engine *counted;
    tn_engine_options_init(&options);
    options.device = device;
    options.allocator = &fault.allocator;
    assert_int_equal(tn_engine_load_memory(plan.bytes, plan.size, &options, &counted), TN_OK);
    tn_context *context = make_context(counted, NULL, 0, diag);
    float x[2][32], y[2][32];
    fill(x[0], 32, 1);
    fill(x[1], 32, 2);
    size_t num_calls = 0;
    for (int round = 0; round < 6; round++) {
        for (int n = 1; n <= 8; n++)
            for (int i = 0; i < 2; i++) {
                run_at(context, n, x[i], y[i], NULL);
                assert_scaled(x[i], y[i], n);
            }
        if (round == 0) num_calls = fault.num_calls;
    }
    assert_int_equal(fault.num_calls, num_calls);
    tn_context_destroy(context);
    tn_engine_destroy(counted);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void more_shapes_than_the_caches_hold_still_run(void **state) {
    (void)state;
    test_plan sum = make_sum_plan();
    tn_engine *sum_engine = load_engine(&sum, device, NULL);
    tn_context *context = make_context(sum_engine, NULL, 0, diag);
    float x[64], z[64];
    for (int i = 0; i < 64; i++) x[i] = (float)i;
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "b", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "z", z), TN_OK);
    for (int round = 0; round < 3; round++)
        for (int n = 1; n <= 64; n++) {
            assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(n)), TN_OK);
            assert_int_equal(tn_context_set_input_shape(context, "b", TN_DIMS(n)), TN_OK);
            assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
            for (int i = 0; i < n; i++) assert_true(z[i] == 2 * x[i]);
        }
    tn_context_destroy(context);
    tn_engine_destroy(sum_engine);
    free(sum.bytes);
}

static void memory_limit_is_an_error_with_the_table(void **state) {
    (void)state;
    tn_engine_options options;
    tn_engine *limited;
    tn_engine_options_init(&options);
    options.device = device;
    options.diag = diag;
    options.weight_loading = TN_WEIGHTS_COPY;
    options.memory_limit_bytes = 63;
    assert_int_equal(tn_engine_load_memory(plan.bytes, plan.size, &options, &limited), TN_OUT_OF_MEMORY);
    assert_null(limited);
    assert_true(diag_says(diag, "the weights need 64 B, 63 B are left of 63 B"));
    tn_diag_clear(diag);
    options.memory_limit_bytes = 64 + 64 + 4 * 64;
    assert_int_equal(tn_engine_load_memory(plan.bytes, plan.size, &options, &limited), TN_OK);
    tn_context *context = make_context(limited, NULL, 1, diag);
    float x[64], y[64];
    fill(x, 64, 1);
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(16, 4)), TN_OK);
    assert_int_equal(tn_context_set_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_address(context, "y", y), TN_OK);
    tn_engine_memory memory;
    tn_engine_get_memory(limited, &memory);
    assert_int_equal(memory.weights_bytes, 64);
    assert_int_equal(memory.activations_bytes, 0);
    void *block = NULL; /* 256 bytes of activations fit, not twice */
    tn_context *other = make_context(limited, NULL, 1, diag);
    assert_int_equal(tn_context_set_input_shape(other, "x", TN_DIMS(16, 4)), TN_OK);
    block = tn_context_buffer(other, "y");
    assert_null(block);
    assert_true(diag_says(diag, "need 256 B"));
    assert_true(diag_says(diag, "in use: weights 64 B, activations "));
    tn_context_destroy(other);
    if (!tn_engine_is_asynchronous(limited)) {
        assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
        assert_scaled(x, y, 16);
    }
    tn_context_destroy(context);
    tn_engine_get_memory(limited, &memory);
    assert_int_equal(memory.activations_bytes, 0);
    tn_engine_destroy(limited);
}

/* --- debugging and profiling ------------------------------------------------------------------------------------------------ */

typedef struct seen_tensor {
    int count;
    float data[32];
    int64_t rows;
    char name[16];
} seen_tensor;

static void see_tensor(void *user, const char *name, tn_dtype dtype, const int64_t *dims, int rank, const void *data) {
    seen_tensor *seen = user;
    assert_int_equal(dtype, TN_FLOAT32);
    assert_int_equal(rank, 2);
    assert_int_equal(dims[1], 4);
    seen->count++;
    seen->rows = dims[0];
    (void)snprintf(seen->name, sizeof seen->name, "%s", name);
    memcpy(seen->data, data, (size_t)(dims[0] * 4) * sizeof(float));
}

static void debug_tensors_are_shown_while_wanted(void **state) {
    (void)state;
    tn_context *context = make_context(engine, NULL, 0, diag);
    seen_tensor seen = {0};
    float x[32], y[32];
    fill(x, 32, 5);
    run_at(context, 3, x, y, NULL);
    assert_int_equal(seen.count, 0);
    tn_context_set_debug_callback(context, see_tensor, &seen);
    for (int n = 3; n < 6; n++) {
        run_at(context, n, x, y, NULL);
        assert_scaled(x, y, n);
        assert_int_equal(seen.count, n - 2);
        assert_string_equal(seen.name, "a");
        assert_int_equal(seen.rows, n);
        for (int i = 0; i < n * 4; i++) assert_true(seen.data[i] == (x[i] > 0 ? x[i] : 0));
    }
    tn_context_set_debug_callback(context, NULL, NULL);
    run_at(context, 3, x, y, NULL);
    assert_int_equal(seen.count, 3);
    tn_context_destroy(context);
}

typedef struct step_times {
    int num_calls;
    int64_t relu, scale;
    bool named;
} step_times;

static void see_time(void *user, const char *step, const char *problem, const char *tactic, int64_t duration_ns) {
    step_times *times = user;
    times->num_calls++;
    times->named = times->named && strlen(tactic) > 0 && strchr(problem, '[') != NULL;
    if (strcmp(step, "relu") == 0) times->relu = duration_ns;
    if (strcmp(step, "scale") == 0) times->scale = duration_ns;
}

static void profiler_sums_the_time_of_each_step(void **state) {
    (void)state;
    tn_context *context = make_context(engine, NULL, 0, diag);
    step_times times = {.named = true};
    float x[32], y[32];
    fill(x, 32, 5);
    tn_context_set_profiler(context, see_time, &times);
    run_at(context, 8, x, y, NULL);
    assert_int_equal(times.num_calls, 2);
    assert_true(times.named);
    assert_true(times.relu > 0 && times.scale > 0);
    int64_t relu = times.relu;
    run_at(context, 8, x, y, NULL);
    assert_int_equal(times.num_calls, 4);
    assert_true(times.relu > relu);
    tn_context_set_profiler(context, NULL, NULL);
    run_at(context, 8, x, y, NULL);
    assert_int_equal(times.num_calls, 4);
    assert_scaled(x, y, 8);
    tn_context_destroy(context);
}

/* --- threads, failures ----------------------------------------------------------------------------------------------------- */

static void *run_many(void *user) {
    float x[32], y[32];
    const int *salt = user;
    tn_context *context;
    if (tn_context_create(engine, NULL, &context) != TN_OK) return "create";
    const char *error = NULL;
    for (int i = 0; i < 200 && error == NULL; i++) {
        int n = 1 + (i * *salt) % 8;
        fill(x, 32, (float)(i * *salt));
        bool ok = tn_context_set_input_shape(context, "x", TN_DIMS(n, 4)) == TN_OK &&
                  tn_context_set_host_address(context, "x", x) == TN_OK && tn_context_set_host_address(context, "y", y) == TN_OK &&
                  tn_context_enqueue(context, NULL) == TN_OK;
        for (int k = 0; k < n * 4; k++) ok = ok && y[k] == (x[k] > 0 ? x[k] : 0) * (float)(k % 4 + 1);
        if (!ok) error = "run";
    }
    tn_context_destroy(context);
    return (void *)error;
}

static void two_contexts_run_in_two_threads(void **state) {
    (void)state;
    pthread_t threads[2];
    int salts[2] = {3, 5};
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_many, &salts[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *error;
        assert_int_equal(pthread_join(threads[i], &error), 0);
        assert_null(error);
    }
}

static tn_status load_and_run(tn_fault_allocator *fault, tn_diag *quiet) {
    tn_engine_options options;
    tn_engine *failing = NULL;
    tn_context *context = NULL;
    float x[32], y[32];
    fill(x, 32, 1);
    tn_engine_options_init(&options);
    options.device = device;
    options.allocator = &fault->allocator;
    options.diag = quiet;
    options.weight_loading = TN_WEIGHTS_COPY;
    tn_status status = tn_engine_load_memory(plan.bytes, plan.size, &options, &failing);
    tn_context_options context_options;
    tn_context_options_init(&context_options);
    context_options.diag = quiet;
    if (status == TN_OK) status = tn_context_create(failing, &context_options, &context);
    for (int n = 1; n <= 8 && status == TN_OK; n += 3) {
        assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(n, 4)), TN_OK);
        assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
        assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
        status = tn_context_enqueue(context, NULL);
        if (status == TN_OK) assert_scaled(x, y, n);
        if (status == TN_OUT_OF_MEMORY) assert_int_equal(tn_context_enqueue(context, NULL), TN_OK); /* nothing was lost */
    }
    tn_context_destroy(context);
    tn_engine_destroy(failing);
    return status;
}

static void each_allocation_may_fail_in_load_and_run(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_status status = load_and_run(&fault, diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            assert_true(n > 20);
            break;
        }
        assert_true(status == TN_OUT_OF_MEMORY || status == TN_OK);
        tn_diag_clear(diag);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(hand_made_plan_runs_at_several_shapes),
        TEST(wrong_shapes_are_refused_with_both_ranges),
        TEST(second_profile_takes_other_shapes),
        TEST(dimensions_of_one_name_must_be_equal),
        TEST(missing_addresses_are_named),
        TEST(buffer_of_one_context_is_input_of_another),
        TEST(queued_runs_with_other_addresses_do_not_disturb_each_other),
        TEST(shapes_seen_before_run_without_allocating),
        TEST(more_shapes_than_the_caches_hold_still_run),
        TEST(memory_limit_is_an_error_with_the_table),
        TEST(debug_tensors_are_shown_while_wanted),
        TEST(profiler_sums_the_time_of_each_step),
        TEST(two_contexts_run_in_two_threads),
        TEST(each_allocation_may_fail_in_load_and_run),
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof test_devices / sizeof test_devices[0]; i++) {
        device = try_device(&test_devices[i]);
        if (device == NULL) continue;
        backend_name = test_devices[i].backend;
        print_message("--- %s%s\n", backend_name, test_devices[i].async ? " async" : "");
        failed += cmocka_run_group_tests(tests, NULL, NULL);
        tn_device_destroy(device);
    }
    return failed;
}
