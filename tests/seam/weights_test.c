/* SPDX-License-Identifier: Apache-2.0
 *
 * weights_test.c: weights between builder and engine: shared, merged and refitted, left out and refilled, kept in a file.
 */
#include "seam.h"

#include "network/network.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

enum { IN = 8, OUT = 16, ROWS = 3 };

static float q_values[OUT * IN], k_values[OUT * IN], v_values[OUT * IN], x[ROWS * IN];

static void fill(float *values, int count, int seed) {
    for (int i = 0; i < count; i++) values[i] = (float)((i * 7 + seed * 13) % 17 - 8);
}

static void expect_product(const float *w, float *y) {
    for (int row = 0; row < ROWS; row++)
        for (int n = 0; n < OUT; n++) {
            y[row * OUT + n] = 0;
            for (int i = 0; i < IN; i++) y[row * OUT + n] += x[row * IN + i] * w[n * IN + i];
        }
}

static tn_tensor *product(tn_network *net, tn_tensor *a, const float *w, const char *name) {
    return out(tn_network_add_matrix_multiply(net, a, TN_MATRIX_NONE, constant_f32(net, TN_DIMS(OUT, IN), w, name), TN_MATRIX_TRANSPOSE));
}

/* --- one weight, two functions ------------------------------------------------------------------------------------------------ */

static tn_network *function_network(const char *name, bool negated) {
    tn_network *net = seam_network(name);
    tn_tensor *y = product(net, tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(ROWS, IN)), q_values, "q");
    tn_network_mark_output(net, negated ? out(tn_network_add_unary(net, y, TN_UNARY_NEG)) : y, "y");
    return net;
}

static void two_functions_share_a_weight(void **state) {
    seam *s = seam_ready(state);
    tn_network *networks[2] = {function_network("plain", false), function_network("negated", true)};
    tn_plan *plan;
    assert_int_equal(tn_builder_build_functions(s->builder, networks, 2, s->config, &plan), TN_OK);
    tn_network_destroy(networks[0]);
    tn_network_destroy(networks[1]);
    assert_int_equal(tn_plan_get_view(plan)->num_weights, 1);
    tn_engine *engine = seam_engine(s, plan);
    tn_plan_destroy(plan);
    assert_int_equal(tn_engine_num_functions(engine), 2);
    assert_string_equal(tn_engine_function_name(engine, 1), "negated");
    float y[2][ROWS * OUT], expected[ROWS * OUT];
    for (int i = 0; i < 2; i++) {
        tn_context *context = seam_context(engine, i == 0 ? "plain" : "negated");
        seam_bind(context, "x", TN_DIMS(ROWS, IN), x);
        seam_bind(context, "y", SEAM_OUTPUT, y[i]);
        seam_run(context);
        tn_context_destroy(context);
    }
    expect_product(q_values, expected);
    for (int i = 0; i < ROWS * OUT; i++) {
        assert_true(y[0][i] == expected[i]);
        assert_true(y[1][i] == -expected[i]);
    }
    tn_engine_destroy(engine);
}

/* --- refit, strip -------------------------------------------------------------------------------------------------------------- */

static tn_network *qkv_network(void) {
    tn_network *net = seam_network(NULL);
    tn_tensor *input = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(ROWS, IN));
    tn_network_mark_output(net, product(net, input, q_values, "q"), "q.out");
    tn_network_mark_output(net, product(net, input, k_values, "k"), "k.out");
    tn_network_mark_output(net, product(net, input, v_values, "v"), "v.out");
    return net;
}

enum { Q, K, V };

static void run_qkv(tn_engine *engine, float y[3][ROWS * OUT]) {
    static const char *const names[] = {"q.out", "k.out", "v.out"};
    tn_context *context = seam_context(engine, NULL);
    seam_bind(context, "x", TN_DIMS(ROWS, IN), x);
    for (int i = 0; i < 3; i++) seam_bind(context, names[i], SEAM_OUTPUT, y[i]);
    seam_run(context);
    tn_context_destroy(context);
}

static void refit_of_one_of_three_merged_weights_leaves_the_others_alone(void **state) {
    seam *s = seam_ready(state);
    tn_plan *plan;
    tn_network *net = qkv_network();
    assert_int_equal(tn_builder_build(s->builder, net, s->config, &plan), TN_OK);
    tn_network_destroy(net);
    assert_int_equal(tn_plan_get_view(plan)->num_weights, 1); /* the passes merged them */
    tn_engine *engine = seam_engine(s, plan);
    tn_plan_destroy(plan);
    float before[3][ROWS * OUT], after[3][ROWS * OUT], expected[ROWS * OUT], new_k[OUT * IN];
    run_qkv(engine, before);
    expect_product(k_values, expected);
    assert_memory_equal(before[K], expected, sizeof expected);

    fill(new_k, OUT * IN, 99);
    tn_refitter *refitter;
    assert_int_equal(tn_refitter_create(engine, NULL, &refitter), TN_OK);
    assert_int_equal(tn_refitter_num_missing(refitter), 0);
    assert_int_equal(tn_refitter_set(refitter, "k", new_k, sizeof new_k), TN_OK);
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    tn_refitter_destroy(refitter);
    run_qkv(engine, after);
    expect_product(new_k, expected);
    assert_memory_equal(after[Q], before[Q], sizeof before[Q]);
    assert_memory_equal(after[K], expected, sizeof expected);
    assert_memory_equal(after[V], before[V], sizeof before[V]);

    char path[80];
    (void)snprintf(path, sizeof path, "/tmp/tenon-seam-refit-%d.plan", (int)getpid());
    assert_int_equal(tn_engine_save(engine, path, NULL), TN_OK);
    tn_engine_destroy(engine);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = s->device;
    options.verify_weights = true;
    assert_int_equal(tn_engine_load(path, &options, &engine), TN_OK);
    assert_int_equal(unlink(path), 0);
    float again[3][ROWS * OUT];
    run_qkv(engine, again);
    assert_memory_equal(again, after, sizeof after);
    tn_engine_destroy(engine);
}

static void a_stripped_plan_runs_once_it_is_refilled(void **state) {
    seam *s = seam_ready(state);
    tn_builder_config_set_strip(s->config, true);
    tn_engine *engine = seam_build(s, qkv_network());
    tn_refitter *refitter;
    assert_int_equal(tn_refitter_create(engine, NULL, &refitter), TN_OK);
    assert_int_equal(tn_refitter_num_missing(refitter), 3);
    const float *values[3] = {q_values, k_values, v_values};
    for (int i = tn_refitter_num_missing(refitter); i-- > 0;) {
        const char *name = tn_refitter_missing(refitter, i);
        int which = strcmp(name, "q") == 0 ? Q : strcmp(name, "k") == 0 ? K : V;
        assert_int_equal(tn_refitter_set(refitter, name, values[which], sizeof q_values), TN_OK);
    }
    assert_int_equal(tn_refitter_commit(refitter), TN_OK);
    tn_refitter_destroy(refitter);
    float y[3][ROWS * OUT], expected[ROWS * OUT];
    run_qkv(engine, y);
    for (int i = 0; i < 3; i++) {
        expect_product(values[i], expected);
        assert_memory_equal(y[i], expected, sizeof expected);
    }
    tn_engine_destroy(engine);
}

/* --- a weight in a file of its own ------------------------------------------------------------------------------------------------ */

enum { FILE_OFFSET = 192 };

typedef struct file_source {
    tn_weight_source base;
    char path[80];
} file_source;

static tn_status file_find(tn_weight_source *base, const char *name, tn_weight_desc *out_desc) {
    (void)base;
    if (strcmp(name, "q") != 0) return TN_NOT_FOUND;
    *out_desc = (tn_weight_desc){.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(OUT, IN)};
    return TN_OK;
}

static tn_status file_read(tn_weight_source *base, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst,
                           tn_diag *diag) {
    (void)base;
    (void)name;
    (void)part;
    (void)diag;
    memcpy(dst, (const char *)q_values + offset, size_bytes);
    return TN_OK;
}

static tn_status file_locate(tn_weight_source *base, const char *name, tn_weight_part part, const char **out_path, uint64_t *out_offset) {
    (void)name;
    (void)part;
    *out_path = ((file_source *)(void *)base)->path;
    *out_offset = FILE_OFFSET;
    return TN_OK;
}

static void write_source(const file_source *source) {
    FILE *file = fopen(source->path, "wb");
    assert_non_null(file);
    static const char head[FILE_OFFSET];
    assert_int_equal(fwrite(head, sizeof head, 1, file), 1);
    assert_int_equal(fwrite(q_values, sizeof q_values, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void an_external_weight_is_read_from_its_own_file(void **state) {
    seam *s = seam_ready(state);
    file_source source = {.base = {.find = file_find, .read = file_read, .locate = file_locate}};
    (void)snprintf(source.path, sizeof source.path, "/tmp/tenon-seam-external-%d.bin", (int)getpid());
    write_source(&source);
    tn_network *net = seam_network(NULL);
    tn_tensor *input = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(ROWS, IN));
    tn_tensor *w = tn_network_add_weights(net, tn_weights_load(&net->arena, &source.base, "q", NULL), "q");
    tn_network_mark_output(net, out(tn_network_add_matrix_multiply(net, input, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE)), "y");
    tn_builder_config_set_external_weights(s->config, true);
    tn_plan *plan;
    assert_int_equal(tn_builder_build(s->builder, net, s->config, &plan), TN_OK);
    tn_network_destroy(net);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->weights[0].storage, TN_WEIGHT_EXTERNAL);
    assert_int_equal(view->weights[0].offset, FILE_OFFSET);
    assert_int_equal(view->weight_data_bytes, 0);
    tn_engine *engine = seam_engine(s, plan);
    tn_context *context = seam_context(engine, NULL);
    float y[ROWS * OUT], expected[ROWS * OUT];
    seam_bind(context, "x", TN_DIMS(ROWS, IN), x);
    seam_bind(context, "y", SEAM_OUTPUT, y);
    seam_run(context);
    expect_product(q_values, expected);
    assert_memory_equal(y, expected, sizeof expected);
    tn_context_destroy(context);
    tn_engine_destroy(engine);

    assert_int_equal(unlink(source.path), 0);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = s->device;
    assert_int_equal(tn_engine_create(plan, &options, &engine), TN_NOT_FOUND);
    tn_plan_destroy(plan);
}

int main(void) {
    fill(q_values, OUT * IN, 1);
    fill(k_values, OUT * IN, 2);
    fill(v_values, OUT * IN, 3);
    fill(x, ROWS * IN, 4);
    const struct CMUnitTest tests[] = {
        SEAM_TEST(two_functions_share_a_weight),
        SEAM_ASYNC_TEST(two_functions_share_a_weight),
        SEAM_TEST(refit_of_one_of_three_merged_weights_leaves_the_others_alone),
        SEAM_ASYNC_TEST(refit_of_one_of_three_merged_weights_leaves_the_others_alone),
        SEAM_TEST(a_stripped_plan_runs_once_it_is_refilled),
        SEAM_ASYNC_TEST(a_stripped_plan_runs_once_it_is_refilled),
        SEAM_TEST(an_external_weight_is_read_from_its_own_file),
        SEAM_ASYNC_TEST(an_external_weight_is_read_from_its_own_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
