/* SPDX-License-Identifier: Apache-2.0
 *
 * refit_test.c: new weights for a loaded engine; saving it; refilling a stripped plan; on every device.
 */
#include <pthread.h>

#include "runtime/testing.h"
#include "weights/recipe_text.h"
#include "weights/weights.h"

enum { K = 32, ROWS = 48 }; /* qkv [48, 32] = q, k, v of 16 rows each */

static tn_device *device;
static const char *backend_name;
static tn_diag *diag;
static char path[64];

static int set_up(void **state) {
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/tenon_refit_XXXXXX");
    int descriptor = mkstemp(path);
    return descriptor >= 0 && close(descriptor) == 0 && tn_diag_create(NULL, &diag) == TN_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    (void)unlink(path);
    tn_diag_destroy(diag);
    return 0;
}

static void fill(float *values, int count, int salt) {
    for (int i = 0; i < count; i++) values[i] = (float)((i * 7 + salt * 13) % 11 - 5);
}

static const char concat_recipe[] = "concat(0, load(\"q\" float32[16,32]), load(\"k\" float32[16,32]), load(\"v\" float32[16,32]))";

/* y[n, 48] = x[n, 32] · Wᵀ, W in the first layout that the backend's multiplication takes (ref: plain). */
static test_plan make_plan(const char *recipe, bool stripped) {
    float values[ROWS * K];
    static const int64_t dims[2] = {ROWS, K};
    for (int i = 0; i < 3; i++) fill(values + i * 16 * K, 16 * K, i);
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, backend_name);
    const tn_backend *backend = device->backend;
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(ROWS, K)};
    const tn_layout *layout = NULL;
    for (size_t i = 0; i < backend->num_layouts && layout == NULL; i++)
        if (backend->layouts[i]->accepts(&desc)) layout = backend->layouts[i];
    if (layout == NULL) {
        (void)tn_maker_weight(&maker, "qkv", "float32", "float32", 2, dims, values, sizeof values, recipe);
    } else {
        size_t size;
        assert_int_equal(layout->size(&desc, &size), TN_OK);
        void *packed = aligned_alloc(64, size);
        assert_non_null(packed);
        tn_weight_parts parts = {{values}};
        assert_int_equal(layout->pack_rows(&desc, &parts, 0, ROWS, packed), TN_OK);
        (void)tn_maker_weight(&maker, "qkv", "float32", "float32", 2, dims, packed, size, recipe);
        maker.weights.data[0].layout = tn_maker_string(&maker, layout->name);
        maker.weights.data[0].layout_version = layout->version;
        free(packed);
    }
    if (stripped) {
        maker.weights.data[0].storage = TN_WEIGHT_STRIPPED;
        maker.weights.data[0].offset = 0;
        maker.header.flags = TN_PLAN_STRIPPED;
        tn_text_reset(&maker.weight_data);
    }
    tn_maker_begin_function(&maker, "forward");
    uint32_t n = tn_maker_input_dim(&maker, 0, 0), k = tn_maker_const(&maker, K), rows = tn_maker_const(&maker, ROWS);
    tn_maker_tensor(&maker, "x", "float32", TN_SPACE_INPUT, 2, (uint32_t[]){n, k});
    tn_maker_tensor(&maker, "y", "float32", TN_SPACE_OUTPUT, 2, (uint32_t[]){n, rows});
    tn_maker_profile(&maker, 0, 0, 0, 1, 1, 8);
    char problem[160], reason[160];
    (void)snprintf(problem, sizeof problem, "matrix_multiply{op_b=transpose} float32[s1,32] float32:%s[48,32] -> float32[s1,48]",
                   layout != NULL ? layout->name : "plain");
    const tn_tactic *tactic = NULL; /* cpu has one a kind of weight */
    tn_matrix_multiply_params params = {.op_b = TN_MATRIX_TRANSPOSE};
    tn_operand operands[3] = {{.dtype = TN_FLOAT32, .rank = 2, .dims = {n, k}},
                              {.dtype = TN_FLOAT32,
                               .role = TN_ROLE_WEIGHT,
                               .rank = 2,
                               .dims = {rows, k},
                               .encoding = desc.encoding,
                               .layout = layout != NULL ? layout->name : "plain"},
                              {.dtype = TN_FLOAT32, .role = TN_ROLE_OUTPUT, .rank = 2, .dims = {n, rows}}};
    tn_problem stated = {.op = TN_OP_MATRIX_MULTIPLY, .params = &params, .operands = operands, .num_operands = 3, .num_inputs = 2};
    for (size_t i = 0; i < backend->num_tactics && tactic == NULL; i++)
        if (backend->tactics[i]->op == TN_OP_MATRIX_MULTIPLY &&
            backend->tactics[i]->supports(&device->info, &stated, reason, sizeof reason))
            tactic = backend->tactics[i];
    assert_non_null(tactic);
    tn_maker_launch(&maker, "qkv", problem, tactic->name, tactic->version, 3,
                    (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_OUTPUT, 1}});
    tn_maker_end_function(&maker);
    return finish_plan(&maker);
}

static void bind(tn_context *context, float *x, float *y) {
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(1, K)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
}

/* y for weights whose third i was filled with salts[i] */
static void expect(const int salts[3], const float *x, float *y) {
    float values[16 * K];
    for (int i = 0; i < ROWS; i++) {
        if (i % 16 == 0) fill(values, 16 * K, salts[i / 16]);
        y[i] = 0;
        for (int c = 0; c < K; c++) y[i] += x[c] * values[i % 16 * K + c];
    }
}

static void assert_weights(tn_context *context, int q, int k, int v) {
    float x[K], y[ROWS], expected[ROWS];
    for (int i = 0; i < K; i++) x[i] = (float)(i % 5 - 2);
    bind(context, x, y);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    expect((const int[]){q, k, v}, x, expected);
    for (int i = 0; i < ROWS; i++) assert_true(y[i] == expected[i]); /* small integers: exact */
}

static tn_refitter *refit(tn_engine *engine) {
    tn_refitter *refitter;
    assert_int_equal(tn_refitter_create(engine, diag, &refitter), TN_OK);
    return refitter;
}

/* --- refit -------------------------------------------------------------------------------------------------------------------- */

static void refit_of_one_weight_leaves_the_others_alone(void **state) {
    (void)state;
    test_plan plan = make_plan(concat_recipe, false);
    tn_engine *engine = load_engine(&plan, device, diag);
    tn_context *context = make_context(engine, NULL, 0, diag);
    float k[16 * K], v[16 * K];
    assert_weights(context, 0, 1, 2);
    tn_refitter *refitter = refit(engine);
    assert_int_equal(tn_refitter_num_missing(refitter), 0);
    assert_int_equal(tn_refitter_commit(refitter), TN_OK); /* nothing given: nothing changes */
    assert_weights(context, 0, 1, 2);
    fill(k, 16 * K, 8);
    assert_int_equal(tn_refitter_set(refitter, "k", k, sizeof k), TN_OK);
    assert_weights(context, 0, 1, 2);
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    assert_weights(context, 0, 8, 2);
    fill(k, 16 * K, 3);
    fill(v, 16 * K, 9);
    assert_int_equal(tn_refitter_set(refitter, "k", k, sizeof k), TN_OK);
    assert_int_equal(tn_refitter_set(refitter, "v", v, sizeof v), TN_OK);
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    assert_weights(context, 0, 3, 9);
    tn_refitter_destroy(refitter);
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    free(plan.bytes);
}

static void refitted_engine_is_saved_and_loads_again(void **state) {
    (void)state;
    test_plan plan = make_plan(concat_recipe, false);
    tn_engine *engine = load_engine(&plan, device, diag), *again;
    float q[16 * K];
    tn_refitter *refitter = refit(engine);
    fill(q, 16 * K, 4);
    assert_int_equal(tn_refitter_set(refitter, "q", q, sizeof q), TN_OK);
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    tn_refitter_destroy(refitter);
    assert_int_equal(tn_engine_save(engine, path, diag), TN_OK);
    tn_engine_destroy(engine);
    free(plan.bytes);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = device;
    options.verify_weights = true;
    assert_int_equal(tn_engine_load(path, &options, &again), TN_OK);
    tn_context *context = make_context(again, NULL, 0, diag);
    assert_weights(context, 4, 1, 2);
    refitter = refit(again); /* and can be refitted further */
    assert_int_equal(tn_refitter_set(refitter, "v", q, sizeof q), TN_OK);
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    assert_weights(context, 4, 1, 4);
    tn_refitter_destroy(refitter);
    tn_context_destroy(context);
    assert_int_equal(tn_engine_save(again, path, diag), TN_OK); /* over the file it may be mapped from */
    tn_engine_destroy(again);
}

static void stripped_plan_runs_once_it_is_refilled(void **state) {
    (void)state;
    test_plan plan = make_plan(concat_recipe, true);
    tn_engine *engine = load_engine(&plan, device, diag);
    tn_context *context = make_context(engine, NULL, 0, diag);
    float x[K] = {0}, y[ROWS], values[3][16 * K];
    bind(context, x, y);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_DATA);
    assert_true(diag_says(diag, "1 weights of the stripped plan are missing"));
    tn_refitter *refitter = refit(engine);
    assert_int_equal(tn_refitter_num_missing(refitter), 3);
    assert_string_equal(tn_refitter_missing(refitter, 0), "q");
    assert_null(tn_refitter_missing(refitter, 3));
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++) {
        fill(values[i], 16 * K, i + 5);
        if (i == 2) {
            tn_diag_clear(diag);
            assert_int_equal(tn_refitter_commit(refitter), TN_INVALID_ARGUMENT);
            assert_true(diag_says(diag, "tensor 'v' is not given and the plan was stripped of it"));
        }
        assert_int_equal(tn_refitter_set(refitter, names[i], values[i], sizeof values[i]), TN_OK);
        assert_int_equal(tn_refitter_num_missing(refitter), 2 - i);
    }
    assert_int_equal(tn_engine_save(engine, path, diag), TN_OK); /* still stripped */
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    assert_int_equal(tn_refitter_num_missing(refitter), 0);
    assert_weights(context, 5, 6, 7);
    tn_refitter_destroy(refitter);
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = device;
    assert_int_equal(tn_engine_load(path, &options, &engine), TN_OK);
    refitter = refit(engine);
    assert_int_equal(tn_refitter_num_missing(refitter), 3);
    tn_refitter_destroy(refitter);
    tn_engine_destroy(engine);
    free(plan.bytes);
}

static void wrong_names_and_sizes_are_refused(void **state) {
    (void)state;
    test_plan plan = make_plan(concat_recipe, false);
    tn_engine *engine = load_engine(&plan, device, diag);
    tn_refitter *refitter = refit(engine);
    float k[16 * K];
    assert_int_equal(tn_refitter_set(refitter, "o", k, sizeof k), TN_NOT_FOUND);
    assert_true(diag_says(diag, "cannot refit tensor 'o'"));
    assert_int_equal(tn_refitter_set(refitter, NULL, k, sizeof k), TN_NOT_FOUND);
    tn_diag_clear(diag);
    assert_int_equal(tn_refitter_set(refitter, "k", k, sizeof k - 4), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "2044 bytes given, as float32 it has 2048"));
    assert_int_equal(tn_refitter_set(refitter, "k", NULL, sizeof k), TN_INVALID_ARGUMENT);
    tn_refitter_destroy(refitter);
    tn_engine_destroy(engine);
    free(plan.bytes);
}

/* Where rows mix both sides, all tensors of the recipe must be given. */
static void tensors_that_cannot_be_taken_apart_must_be_given_together(void **state) {
    (void)state;
    static const char *const recipes[] = {"add(load(\"q\" float32[48,32]), load(\"k\" float32[32]))",
                                          "concat(-1, load(\"q\" float32[48,16]), load(\"k\" float32[48,16]))"};
    static float q[48 * 32], k[48 * 32];
    for (int i = 0; i < 2; i++) {
        test_plan plan = make_plan(recipes[i], false);
        tn_engine *engine = load_engine(&plan, device, diag);
        tn_context *context = make_context(engine, NULL, 0, diag);
        tn_refitter *refitter = refit(engine);
        tn_diag_clear(diag);
        assert_int_equal(tn_refitter_set(refitter, "q", q, i == 0 ? sizeof q : sizeof q / 2), TN_OK);
        assert_int_equal(tn_refitter_commit(refitter), TN_INVALID_ARGUMENT);
        assert_true(diag_says(diag, "tensor 'k' is not given and cannot be taken from the present weight"));
        assert_weights(context, 0, 1, 2);
        assert_int_equal(tn_refitter_set(refitter, "k", k, i == 0 ? 32 * sizeof(float) : sizeof k / 2), TN_OK);
        assert_int_equal(tn_refitter_commit(refitter), TN_OK);
        tn_refitter_destroy(refitter);
        tn_context_destroy(context);
        tn_engine_destroy(engine);
        free(plan.bytes);
    }
}

/* All ways in which rows keep apart. */
static void rows_are_found_through_every_structural_operation(void **state) {
    (void)state;
    static const struct {
        const char *recipe;
        int64_t rows_of_k[ROWS]; /* row of k that stands in each row; −1: q's */
    } cases[] = {
        {"interleave(8, load(\"q\" float32[24,32]), load(\"k\" float32[24,32]))",
         {-1, -1, -1, -1, -1, -1, -1, -1, 0,  1,  2,  3,  4,  5,  6,  7,  -1, -1, -1, -1, -1, -1, -1, -1,
          8,  9,  10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, 16, 17, 18, 19, 20, 21, 22, 23}},
        {"reshape([48,32], stack(load(\"q\" float32[24,32]), load(\"k\" float32[24,32])))",
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
          0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}},
        {"slice(0, 12, 60, concat(0, load(\"q\" float32[24,32]), load(\"k\" float32[40,32])))",
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
          12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35}},
    };
    static float k[40 * K], x[K], before[ROWS], after[ROWS];
    for (int i = 0; i < K; i++) x[i] = (float)(i % 3);
    fill(k, 40 * K, 6);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_plan plan = make_plan(cases[i].recipe, false);
        tn_engine *engine = load_engine(&plan, device, diag);
        tn_context *context = make_context(engine, NULL, 0, diag);
        tn_refitter *refitter = refit(engine);
        bind(context, x, before);
        assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
        assert_int_equal(tn_refitter_set(refitter, "k", k, (size_t)(i == 2 ? 40 : 24) * K * sizeof(float)), TN_OK);
        assert_int_equal(tn_refitter_commit(refitter), TN_OK);
        bind(context, x, after);
        assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
        for (int row = 0; row < ROWS; row++) {
            float expected = before[row];
            if (cases[i].rows_of_k[row] >= 0) {
                expected = 0;
                for (int c = 0; c < K; c++) expected += x[c] * k[cases[i].rows_of_k[row] * K + c];
            }
            assert_true(after[row] == expected);
        }
        tn_refitter_destroy(refitter);
        tn_context_destroy(context);
        tn_engine_destroy(engine);
        free(plan.bytes);
    }
}

static void damaged_recipes_are_refused(void **state) {
    (void)state;
    static const char *const recipes[] = {"concat(0, load(\"q\"", "load(\"q\" float32[16,32])"};
    for (int i = 0; i < 2; i++) {
        test_plan plan = make_plan(recipes[i], false);
        tn_engine *engine = load_engine(&plan, device, diag);
        tn_refitter *refitter;
        assert_int_equal(tn_refitter_create(engine, diag, &refitter), TN_INVALID_DATA);
        assert_null(refitter);
        tn_engine_destroy(engine);
        free(plan.bytes);
    }
    assert_true(diag_says(diag, "its recipe makes something else") || tn_diag_num_entries(diag) > 1);
}

/* --- threads, failures -------------------------------------------------------------------------------------------------------- */

typedef struct runner {
    tn_engine *engine;
    const char *error;
    atomic_bool stops;
} runner;

/* Every answer is that of one set of weights, never of a mixture. */
static void *run_while_refitted(void *user) {
    runner *r = user;
    tn_context *context;
    float x[K], y[ROWS], first[ROWS], second[ROWS];
    for (int i = 0; i < K; i++) x[i] = (float)(i % 5 - 2);
    expect((const int[]){0, 1, 2}, x, first);
    expect((const int[]){3, 3, 3}, x, second);
    if (tn_context_create(r->engine, NULL, &context) != TN_OK) {
        r->error = "create";
        return NULL;
    }
    bool ok = tn_context_set_input_shape(context, "x", TN_DIMS(1, K)) == TN_OK && tn_context_set_host_address(context, "x", x) == TN_OK &&
              tn_context_set_host_address(context, "y", y) == TN_OK;
    while (ok && !atomic_load(&r->stops)) {
        ok = tn_context_enqueue(context, NULL) == TN_OK;
        ok = ok && (memcmp(y, first, sizeof y) == 0 || memcmp(y, second, sizeof y) == 0);
    }
    if (!ok) r->error = "a run failed or mixed two sets of weights";
    tn_context_destroy(context);
    return NULL;
}

static void running_contexts_see_one_set_or_the_other(void **state) {
    (void)state;
    test_plan plan = make_plan(concat_recipe, false);
    tn_engine *engine = load_engine(&plan, device, diag);
    runner r = {.engine = engine};
    pthread_t thread;
    float old[3][16 * K], new[16 * K];
    fill(new, 16 * K, 3);
    for (int i = 0; i < 3; i++) fill(old[i], 16 * K, i);
    assert_int_equal(pthread_create(&thread, NULL, run_while_refitted, &r), 0);
    static const char *const names[] = {"q", "k", "v"};
    for (int round = 0; round < 40; round++) {
        tn_refitter *refitter = refit(engine);
        for (int i = 0; i < 3; i++) assert_int_equal(tn_refitter_set(refitter, names[i], round % 2 == 0 ? new : old[i], sizeof new), TN_OK);
        assert_int_equal(tn_refitter_commit(refitter), TN_OK);
        tn_refitter_destroy(refitter);
    }
    atomic_store(&r.stops, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (r.error != NULL) fail_msg("%s", r.error);
    tn_engine_destroy(engine);
    free(plan.bytes);
}

static void each_allocation_may_fail_and_leaves_the_engine_as_it_was(void **state) {
    (void)state;
    test_plan plan = make_plan(concat_recipe, false);
    float k[16 * K];
    fill(k, 16 * K, 8);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        tn_engine_options options;
        tn_engine *engine;
        tn_refitter *refitter = NULL;
        tn_engine_options_init(&options);
        options.device = device;
        options.allocator = &fault.allocator;
        assert_int_equal(tn_engine_load_memory(plan.bytes, plan.size, &options, &engine), TN_OK);
        tn_context *context = make_context(engine, NULL, 0, diag);
        fault.fail_at = fault.num_calls + n;
        tn_status status = tn_refitter_create(engine, diag, &refitter);
        if (status == TN_OK) status = tn_refitter_set(refitter, "k", k, sizeof k);
        if (status == TN_OK) status = tn_refitter_commit(refitter);
        bool changed = status == TN_OK;
        if (status == TN_OK) status = tn_engine_save(engine, path, diag);
        fault.fail_at = 0;
        tn_refitter_destroy(refitter);
        assert_weights(context, 0, changed ? 8 : 1, 2);
        tn_context_destroy(context);
        tn_engine_destroy(engine);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
        tn_diag_clear(diag);
    }
    free(plan.bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(refit_of_one_weight_leaves_the_others_alone),
        TEST(refitted_engine_is_saved_and_loads_again),
        TEST(stripped_plan_runs_once_it_is_refilled),
        TEST(wrong_names_and_sizes_are_refused),
        TEST(tensors_that_cannot_be_taken_apart_must_be_given_together),
        TEST(rows_are_found_through_every_structural_operation),
        TEST(damaged_recipes_are_refused),
        TEST(running_contexts_see_one_set_or_the_other),
        TEST(each_allocation_may_fail_and_leaves_the_engine_as_it_was),
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
