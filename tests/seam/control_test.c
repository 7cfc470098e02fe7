/* SPDX-License-Identifier: Apache-2.0
 *
 * control_test.c: Ifs, Loops, sizes that the data decides: what runs when, and on which side.
 */
#include <math.h>

#include "seam.h"

static tn_tensor *scalar_i64(tn_network *net, int64_t value) {
    static int64_t values[64]; /* borrowed until the build returns */
    static int used;
    int slot = used++ % 64;
    values[slot] = value;
    return constant_i64(net, TN_SCALAR, &values[slot]);
}

static tn_tensor *scalar_f32(tn_network *net, tn_dims dims, float value) {
    static float values[64];
    static int used;
    int slot = used++ % 64;
    values[slot] = value;
    return constant_f32(net, dims, &values[slot], NULL);
}

static tn_tensor *elementwise(tn_network *net, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return out(tn_network_add_elementwise(net, a, b, op));
}

/* --- an If inside a Loop ---------------------------------------------------------------------------------------------------- */

enum { N = 4, MAX_COUNT = 6 };

/* count = 2·n − 1 rounds; even rounds: acc·2 + 1, odd ones: |acc − 3|. */
static tn_network *if_in_loop_network(void) {
    tn_network *net = seam_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(N));
    tn_tensor *n = tn_network_add_input(net, "n", TN_INT64, TN_SCALAR);
    tn_tensor *count =
        elementwise(net, elementwise(net, n, scalar_i64(net, 2), TN_ELEMENTWISE_PROD), scalar_i64(net, 1), TN_ELEMENTWISE_SUB);
    tn_loop *loop = tn_network_begin_loop(net);
    tn_loop_set_trip_limit(loop, count);
    tn_layer *acc = tn_loop_add_recurrence(loop, x);
    tn_layer *round = tn_loop_add_recurrence(loop, scalar_i64(net, 0));
    tn_tensor *odd = elementwise(net, out(round), scalar_i64(net, 2), TN_ELEMENTWISE_MOD);
    tn_tensor *is_even = elementwise(net, odd, scalar_i64(net, 0), TN_ELEMENTWISE_EQUAL);
    tn_if *conditional = tn_network_begin_if(net, is_even);
    tn_tensor *doubled = elementwise(net, out(acc), scalar_f32(net, TN_DIMS(1), 2.0f), TN_ELEMENTWISE_PROD);
    tn_tensor *if_true = elementwise(net, doubled, scalar_f32(net, TN_DIMS(1), 1.0f), TN_ELEMENTWISE_SUM);
    tn_if_else(conditional);
    tn_tensor *less = elementwise(net, out(acc), scalar_f32(net, TN_DIMS(1), 3.0f), TN_ELEMENTWISE_SUB);
    tn_tensor *if_false = out(tn_network_add_unary(net, less, TN_UNARY_ABS));
    tn_if_end(conditional);
    tn_tensor *next = out(tn_if_add_output(conditional, if_true, if_false));
    tn_recurrence_set_next(acc, next);
    tn_recurrence_set_next(round, elementwise(net, out(round), scalar_i64(net, 1), TN_ELEMENTWISE_SUM));
    tn_loop_end(loop);
    tn_network_mark_output(net, out(tn_loop_add_output(loop, out(acc), false, 0)), "y");
    tn_network_mark_output(net, out(tn_loop_add_output(loop, next, true, 0)), "all");
    return net;
}

static void an_if_inside_a_loop_with_a_computed_count_takes_each_branch_in_turn(void **state) {
    seam *s = seam_ready(state);
    tn_engine *engine = seam_build(s, if_in_loop_network());
    tn_context *context = seam_context(engine, NULL);
    for (int64_t n = MAX_COUNT; n >= 1; n--) {
        float x[N] = {1.0f, -2.5f, 3.0f, 0.25f}, y[N], expected[N], all[2 * MAX_COUNT * N];
        memcpy(expected, x, sizeof x);
        seam_bind(context, "x", TN_DIMS(N), x);
        seam_bind(context, "n", TN_SCALAR, &n);
        seam_bind(context, "y", SEAM_OUTPUT, y);
        seam_bind(context, "all", SEAM_OUTPUT, all);
        seam_run(context);
        for (int round = 0; round < 2 * n - 1; round++) {
            for (int i = 0; i < N; i++) expected[i] = round % 2 == 0 ? expected[i] * 2 + 1 : fabsf(expected[i] - 3);
            assert_memory_equal(all + round * N, expected, sizeof expected);
        }
        assert_memory_equal(y, expected, sizeof expected);
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

/* --- a condition that the device computes ------------------------------------------------------------------------------------ */

/* while sum(acc) < limit: acc = acc + x. The round that finds the sum too large changes nothing. */
static tn_network *while_network(void) {
    tn_network *net = seam_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(N));
    tn_tensor *limit = tn_network_add_input(net, "limit", TN_FLOAT32, TN_SCALAR);
    tn_loop *loop = tn_network_begin_loop(net);
    tn_layer *acc = tn_loop_add_recurrence(loop, x);
    tn_tensor *sum = out(tn_network_add_reduce(net, out(acc), TN_REDUCE_SUM, 1, false));
    tn_loop_set_condition(loop, elementwise(net, sum, limit, TN_ELEMENTWISE_LESS));
    tn_recurrence_set_next(acc, elementwise(net, out(acc), x, TN_ELEMENTWISE_SUM));
    tn_loop_end(loop);
    tn_network_mark_output(net, out(tn_loop_add_output(loop, out(acc), false, 0)), "y");
    return net;
}

static void a_loop_ends_by_a_condition_that_its_body_computes(void **state) {
    seam *s = seam_ready(state);
    tn_engine *engine = seam_build(s, while_network());
    tn_context *context = seam_context(engine, NULL);
    for (int run = 0; run < 8; run++) {
        float x[N] = {1, 2, 3, 4}, y[N], limit = (float)(run * 17);
        seam_bind(context, "x", TN_DIMS(N), x);
        seam_bind(context, "limit", TN_SCALAR, &limit);
        seam_bind(context, "y", SEAM_OUTPUT, y);
        seam_run(context);
        int times = 1;
        while ((float)times * 10 < limit) times++;
        for (int i = 0; i < N; i++) assert_true(y[i] == (float)times * x[i]);
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

/* --- recurrences that exchange values, iterators, a loop in a loop --------------------------------------------------------------- */

/* a, b = b, a + b */
static tn_network *fibonacci_network(void) {
    tn_network *net = seam_network(NULL);
    tn_tensor *a0 = tn_network_add_input(net, "a", TN_FLOAT32, TN_DIMS(1)), *b0 = tn_network_add_input(net, "b", TN_FLOAT32, TN_DIMS(1));
    tn_tensor *n = tn_network_add_input(net, "n", TN_INT32, TN_SCALAR);
    tn_loop *loop = tn_network_begin_loop(net);
    tn_loop_set_trip_limit(loop, n);
    tn_layer *b = tn_loop_add_recurrence(loop, b0), *a = tn_loop_add_recurrence(loop, a0);
    tn_recurrence_set_next(b, elementwise(net, out(a), out(b), TN_ELEMENTWISE_SUM));
    tn_recurrence_set_next(a, out(b));
    tn_loop_end(loop);
    tn_network_mark_output(net, out(tn_loop_add_output(loop, out(a), false, 0)), "y");
    return net;
}

static void recurrences_that_exchange_values_see_the_old_ones(void **state) {
    seam *s = seam_ready(state);
    tn_engine *engine = seam_build(s, fibonacci_network());
    tn_context *context = seam_context(engine, NULL);
    static const float expected[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34};
    for (int32_t n = 0; n < 10; n++) {
        float a = 0, b = 1, y = -1;
        seam_bind(context, "a", TN_DIMS(1), &a);
        seam_bind(context, "b", TN_DIMS(1), &b);
        seam_bind(context, "n", TN_SCALAR, &n);
        seam_bind(context, "y", SEAM_OUTPUT, &y);
        seam_run(context);
        assert_true(y == expected[n]);
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

/* For each row of x (backwards) the sum of its products with every row of w: a loop in a loop. */
static tn_network *nested_network(void) {
    static const float w[3 * N] = {1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1};
    tn_network *net = seam_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, N));
    tn_tensor *weight = constant_f32(net, TN_DIMS(3, N), w, NULL);
    tn_tensor *shape = out(tn_network_add_shape(net, x));
    tn_tensor *rows = out(tn_network_add_gather(net, shape, scalar_i64(net, 0), TN_GATHER_DEFAULT, 0));
    tn_loop *outer = tn_network_begin_loop(net);
    tn_loop_set_trip_limit(outer, rows);
    tn_tensor *row = out(tn_loop_add_iterator(outer, x, 0, true));
    tn_tensor *three = scalar_i64(net, 3), *zero = scalar_f32(net, TN_DIMS(1), 0.0f);
    tn_loop *inner = tn_network_begin_loop(net);
    tn_loop_set_trip_limit(inner, three);
    tn_layer *acc = tn_loop_add_recurrence(inner, zero);
    tn_tensor *product = elementwise(net, row, out(tn_loop_add_iterator(inner, weight, 0, false)), TN_ELEMENTWISE_PROD);
    tn_tensor *sum = out(tn_network_add_reduce(net, product, TN_REDUCE_SUM, 1, true));
    tn_recurrence_set_next(acc, elementwise(net, out(acc), sum, TN_ELEMENTWISE_SUM));
    tn_loop_end(inner);
    tn_tensor *total = out(tn_loop_add_output(inner, out(acc), false, 0));
    tn_loop_end(outer);
    tn_network_mark_output(net, out(tn_loop_add_output(outer, total, true, 0)), "y");
    return net;
}

static void a_loop_in_a_loop_starts_anew_each_time(void **state) {
    seam *s = seam_ready(state);
    tn_profile *profile = tn_builder_config_add_profile(s->config);
    tn_profile_set_dims(profile, "x", TN_DIMS(1, N), TN_DIMS(3, N), TN_DIMS(5, N));
    tn_engine *engine = seam_build(s, nested_network());
    tn_context *context = seam_context(engine, NULL);
    for (int n = 5; n >= 1; n--) {
        float x[5 * N], y[5];
        for (int i = 0; i < n * N; i++) x[i] = (float)(i * 5 % 7);
        seam_bind(context, "x", TN_DIMS(n, N), x);
        seam_bind(context, "y", SEAM_OUTPUT, y);
        seam_run(context);
        for (int i = 0; i < n; i++) {
            const float *row = x + (n - 1 - i) * N;
            assert_true(y[i] == row[0] * 2 + row[1] * 2 + row[2] + row[3]);
        }
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

/* --- an If of Ifs ------------------------------------------------------------------------------------------------------------------ */

/* a ? (b ? x + 1 : x + 2) : x · 10; b is computed inside the branch. */
static tn_network *nested_if_network(void) {
    tn_network *net = seam_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(N));
    tn_tensor *a = tn_network_add_input(net, "a", TN_BOOL, TN_SCALAR);
    tn_if *outer = tn_network_begin_if(net, a);
    tn_tensor *sum = out(tn_network_add_reduce(net, x, TN_REDUCE_SUM, 1, false));
    tn_if *inner = tn_network_begin_if(net, elementwise(net, sum, scalar_f32(net, TN_SCALAR, 0.0f), TN_ELEMENTWISE_GREATER));
    tn_tensor *one = elementwise(net, x, scalar_f32(net, TN_DIMS(1), 1.0f), TN_ELEMENTWISE_SUM);
    tn_if_else(inner);
    tn_tensor *two = elementwise(net, x, scalar_f32(net, TN_DIMS(1), 2.0f), TN_ELEMENTWISE_SUM);
    tn_if_end(inner);
    tn_tensor *if_true = out(tn_if_add_output(inner, one, two));
    tn_if_else(outer);
    tn_tensor *if_false = elementwise(net, x, scalar_f32(net, TN_DIMS(1), 10.0f), TN_ELEMENTWISE_PROD);
    tn_if_end(outer);
    tn_network_mark_output(net, out(tn_if_add_output(outer, if_true, if_false)), "y");
    return net;
}

static void a_condition_inside_a_branch_is_read_only_if_the_branch_runs(void **state) {
    seam *s = seam_ready(state);
    tn_engine *engine = seam_build(s, nested_if_network());
    for (int order = 0; order < 2; order++) { /* the inner condition is unknown, or left from the run before */
        tn_context *context = seam_context(engine, NULL);
        for (int run = 0; run < 6; run++) {
            bool a = (run + order) % 2 == 1;
            float sign = run % 3 == 0 ? -1.0f : 1.0f, x[N] = {sign * 1, sign * 2, sign * 3, sign * 4}, y[N];
            seam_bind(context, "x", TN_DIMS(N), x);
            seam_bind(context, "a", TN_SCALAR, &a);
            seam_bind(context, "y", SEAM_OUTPUT, y);
            seam_run(context);
            for (int i = 0; i < N; i++) assert_true(y[i] == (!a ? x[i] * 10 : sign > 0 ? x[i] + 1 : x[i] + 2));
        }
        tn_context_destroy(context);
    }
    tn_engine_destroy(engine);
}

/* --- sizes that the data decides ------------------------------------------------------------------------------------------------------ */

/* The places of what is not zero, as [2, count] → transposed and reshaped to [count · 2], plus the doubled values' count. */
static tn_network *non_zero_network(void) {
    static const int64_t minus_one[1] = {-1};
    tn_network *net = seam_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, 3));
    tn_tensor_set_dim_name(x, 0, "rows");
    tn_tensor *places = out(tn_network_add_non_zero(net, x));
    tn_tensor *shape = constant_i64(net, TN_DIMS(1), minus_one);
    tn_layer *flat = tn_network_add_shuffle(net, places);
    tn_shuffle_set_first_transpose(flat, TN_DIMS(1, 0));
    tn_shuffle_set_reshape_tensor(flat, shape);
    tn_network_mark_output(net, out(flat), "places");
    tn_tensor *as_float = out(tn_network_add_cast(net, out(flat), TN_FLOAT32));
    tn_network_mark_output(net, out(tn_network_add_reduce(net, as_float, TN_REDUCE_SUM, 1, true)), "sum");
    return net;
}

static void non_zero_gives_a_size_that_a_reshape_uses(void **state) {
    seam *s = seam_ready(state);
    tn_profile *profile = tn_builder_config_add_profile(s->config);
    tn_profile_set_dim(profile, "rows", 1, 2, 8);
    tn_engine *engine = seam_build(s, non_zero_network());
    tn_context *context = seam_context(engine, NULL);
    for (int rows = 8; rows >= 1; rows--) {
        float x[8 * 3] = {0}, sum = -1, expected_sum = 0;
        int64_t places[8 * 3 * 2], expected[8 * 3 * 2];
        int count = 0;
        for (int i = 0; i < rows * 3; i++) {
            if ((i * rows) % 4 == 1 || rows == 3) continue;
            x[i] = 2.0f;
            expected[count++] = i / 3;
            expected[count++] = i % 3;
            expected_sum += (float)(i / 3 + i % 3);
        }
        seam_bind(context, "x", TN_DIMS(rows, 3), x);
        seam_bind(context, "places", SEAM_OUTPUT, places);
        seam_bind(context, "sum", SEAM_OUTPUT, &sum);
        seam_run(context);
        tn_dims dims;
        assert_int_equal(tn_context_get_shape(context, "places", &dims), TN_OK);
        assert_int_equal(dims.rank, 1);
        assert_int_equal(dims.d[0], count);
        assert_memory_equal(places, expected, (size_t)count * sizeof *places);
        assert_true(sum == expected_sum);
    }
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SEAM_TEST(an_if_inside_a_loop_with_a_computed_count_takes_each_branch_in_turn),
        SEAM_ASYNC_TEST(an_if_inside_a_loop_with_a_computed_count_takes_each_branch_in_turn),
        SEAM_TEST(a_loop_ends_by_a_condition_that_its_body_computes),
        SEAM_ASYNC_TEST(a_loop_ends_by_a_condition_that_its_body_computes),
        SEAM_TEST(recurrences_that_exchange_values_see_the_old_ones),
        SEAM_ASYNC_TEST(recurrences_that_exchange_values_see_the_old_ones),
        SEAM_TEST(a_loop_in_a_loop_starts_anew_each_time),
        SEAM_ASYNC_TEST(a_loop_in_a_loop_starts_anew_each_time),
        SEAM_TEST(a_condition_inside_a_branch_is_read_only_if_the_branch_runs),
        SEAM_ASYNC_TEST(a_condition_inside_a_branch_is_read_only_if_the_branch_runs),
        SEAM_TEST(non_zero_gives_a_size_that_a_reshape_uses),
        SEAM_ASYNC_TEST(non_zero_gives_a_size_that_a_reshape_uses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
