/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_test.c: two groups of the paged cache with different windows in one function.
 */
#include "seam.h"

#include <math.h>

#include "network/network.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

enum { HEADS = 2, DIM = 4, WIDTH = HEADS * DIM, TOKENS = 20, WINDOW = 3, BLOCKS = 2, TOKENS_PER_BLOCK = 16 };

static tn_tensor *add_input(tn_network *net, const char *name, tn_dtype dtype, tn_dims dims, const char *first_dim) {
    tn_tensor *tensor = tn_network_add_input(net, name, dtype, dims);
    tn_tensor_set_dim_name(tensor, 0, first_dim);
    return tensor;
}

/* y<group>[t] = the mean of v over what token t sees: with q = 0 every token weighs the same. */
static tn_network *windows_network(void) {
    static const char *const states[] = {"kv.0", "kv.1"}, *const tables[] = {"block_table.0", "block_table.1"},
                             *const outputs[] = {"y0", "y1"};
    tn_network *net = seam_network(NULL);
    tn_tensor *q = add_input(net, "q", TN_FLOAT32, TN_DIMS(-1, WIDTH), "num_tokens");
    tn_tensor *k = add_input(net, "k", TN_FLOAT32, TN_DIMS(-1, WIDTH), "num_tokens");
    tn_tensor *v = add_input(net, "v", TN_FLOAT32, TN_DIMS(-1, WIDTH), "num_tokens");
    tn_tensor *query_start = add_input(net, "query_start", TN_INT32, TN_DIMS(2), NULL);
    tn_tensor *kv_length = add_input(net, "kv_length", TN_INT32, TN_DIMS(1), NULL);
    for (int group = 0; group < 2; group++) {
        tn_kv_geometry geometry = {
            .num_layers = 1, .num_kv_heads = HEADS, .k_dim = DIM, .v_dim = DIM, .tokens_per_block = TOKENS_PER_BLOCK, .dtype = TN_FLOAT32};
        int64_t window = group == 0 ? 0 : WINDOW;
        tn_tensor *cache = tn_network_add_kv_state(net, states[group], &geometry, window, 0);
        tn_tensor *table = add_input(net, tables[group], TN_INT32, TN_DIMS(1, BLOCKS), NULL);
        tn_op_params update = {.kv_cache_update = {.group = group,
                                                   .num_layers = 1,
                                                   .num_kv_heads = HEADS,
                                                   .k_dim = DIM,
                                                   .v_dim = DIM,
                                                   .tokens_per_block = TOKENS_PER_BLOCK,
                                                   .cache_dtype = TN_FLOAT32}};
        tn_layer *written =
            tn_network_add_layer(net, TN_OP_KV_CACHE_UPDATE, &update, (tn_tensor *[]){k, v, cache, query_start, kv_length, table}, 6, NULL);
        tn_op_params attention = {.attention = {.num_heads = HEADS,
                                                .scale = 1.0,
                                                .window = window,
                                                .group = group,
                                                .num_layers = 1,
                                                .num_kv_heads = HEADS,
                                                .k_dim = DIM,
                                                .v_dim = DIM,
                                                .tokens_per_block = TOKENS_PER_BLOCK,
                                                .cache_dtype = TN_FLOAT32}};
        tn_layer *read = tn_network_add_layer(net, TN_OP_ATTENTION, &attention,
                                              (tn_tensor *[]){q, out(written), query_start, kv_length, table}, 5, NULL);
        tn_network_mark_output(net, out(read), outputs[group]);
    }
    return net;
}

static void assert_means(const float *y, const float *v, int first, int count, int window) {
    for (int t = first; t < first + count; t++)
        for (int c = 0; c < WIDTH; c++) {
            int begin = window > 0 && t - window + 1 > 0 ? t - window + 1 : 0;
            double sum = 0;
            for (int i = begin; i <= t; i++) sum += (double)v[i * WIDTH + c];
            assert_true(fabs((double)y[(t - first) * WIDTH + c] - sum / (t - begin + 1)) < 1e-5);
        }
}

static void two_groups_of_the_cache_keep_their_own_windows(void **state) {
    seam *s = seam_ready(state);
    tn_profile_set_dim(tn_builder_config_add_profile(s->config), "num_tokens", 1, 4, TOKENS);
    tn_engine *engine = seam_build(s, windows_network());
    assert_int_equal(tn_engine_num_states(engine), 2);
    assert_int_equal(tn_engine_get_state(engine, 0)->window, 0);
    assert_int_equal(tn_engine_get_state(engine, 1)->window, WINDOW);
    tn_state_set *states;
    assert_int_equal(tn_state_set_create(engine, (int64_t[]){4, 4}, NULL, &states), TN_OK);
    tn_context *context = seam_context(engine, NULL);
    tn_context_set_states(context, states);
    float q[TOKENS * WIDTH] = {0}, k[TOKENS * WIDTH], v[TOKENS * WIDTH], y[2][TOKENS * WIDTH];
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        k[i] = (float)(i % 5) - 2.0f;
        v[i] = (float)(i * 3 % 23);
    }
    int32_t table0[BLOCKS] = {3, 1}, table1[BLOCKS] = {0, 2};
    for (int done = 0, count; done < TOKENS; done += count) { /* a prompt of 14, then one by one and two at once */
        count = done == 0 ? 14 : done == 16 ? 2 : 1;
        int32_t query_start[2] = {0, count}, kv_length[1] = {done + count};
        seam_bind(context, "q", TN_DIMS(count, WIDTH), q);
        seam_bind(context, "k", TN_DIMS(count, WIDTH), k + done * WIDTH);
        seam_bind(context, "v", TN_DIMS(count, WIDTH), v + done * WIDTH);
        seam_bind(context, "query_start", TN_DIMS(2), query_start);
        seam_bind(context, "kv_length", TN_DIMS(1), kv_length);
        seam_bind(context, "block_table.0", TN_DIMS(1, BLOCKS), table0);
        seam_bind(context, "block_table.1", TN_DIMS(1, BLOCKS), table1);
        seam_bind(context, "y0", SEAM_OUTPUT, y[0]);
        seam_bind(context, "y1", SEAM_OUTPUT, y[1]);
        seam_run(context);
        assert_means(y[0], v, done, count, 0);
        assert_means(y[1], v, done, count, WINDOW);
    }
    tn_context_destroy(context);
    tn_state_set_destroy(states);
    tn_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SEAM_TEST(two_groups_of_the_cache_keep_their_own_windows),
        SEAM_ASYNC_TEST(two_groups_of_the_cache_keep_their_own_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
