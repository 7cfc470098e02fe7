/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_test.c: each kind of defect that only the whole network shows, and that all of them are told at once.
 */
#include "network/testing.h"

static const tn_kv_geometry geometry = {
    .num_layers = 2, .num_kv_heads = 1, .k_dim = 4, .v_dim = 4, .tokens_per_block = 16, .dtype = TN_FLOAT32};

typedef struct cached {
    tn_tensor *cache, *kv, *starts, *lengths, *table;
} cached;

static cached add_cached(fixture *f) {
    cached c = {.kv = add_input(f, "kv", TN_DIMS(-1, 4)),
                .starts = tn_network_add_input(f->net, "starts", TN_INT32, TN_DIMS(-1)),
                .lengths = tn_network_add_input(f->net, "lengths", TN_INT32, TN_DIMS(-1)),
                .table = tn_network_add_input(f->net, "table", TN_INT32, TN_DIMS(-1, -1)),
                .cache = tn_network_add_kv_state(f->net, "kv.0", &geometry, 0, 0)};
    return c;
}

static tn_tensor *update(fixture *f, const cached *c, tn_tensor *cache, int64_t layer) {
    tn_op_params params = {
        .kv_cache_update = {
            .layer = layer, .num_layers = 2, .num_kv_heads = 1, .k_dim = 4, .v_dim = 4, .tokens_per_block = 16, .cache_dtype = TN_FLOAT32}};
    return output(tn_network_add_layer(f->net, TN_OP_KV_CACHE_UPDATE, &params,
                                       (tn_tensor *[]){c->kv, c->kv, cache, c->starts, c->lengths, c->table}, 6, NULL));
}

static tn_tensor *attend(fixture *f, const cached *c, tn_tensor *cache, const char *name) {
    tn_op_params params = {.attention = {.num_heads = 1,
                                         .scale = 0.5,
                                         .num_layers = 2,
                                         .num_kv_heads = 1,
                                         .k_dim = 4,
                                         .v_dim = 4,
                                         .tokens_per_block = 16,
                                         .cache_dtype = TN_FLOAT32}};
    return output(
        tn_network_add_layer(f->net, TN_OP_ATTENTION, &params, (tn_tensor *[]){c->kv, cache, c->starts, c->lengths, c->table}, 5, name));
}

static bool has_message(const fixture *f, const char *part) {
    tn_diag_entry entry;
    for (size_t i = 0; tn_diag_get(f->diag, i, &entry) == TN_OK; i++)
        if (strstr(entry.message, part) != NULL) return true;
    return false;
}

static void sound_networks_pass_without_a_word(void **state) {
    fixture *f = *state;
    cached c = add_cached(f);
    tn_tensor *first = update(f, &c, c.cache, 0);
    tn_network_mark_output(f->net, attend(f, &c, first, "attention"), "y");
    (void)update(f, &c, first, 1);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
}

static void networks_without_output_are_refused(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    (void)add(f, x, x);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
    assert_message(f, "the network has no output");
}

static void unread_inputs_are_a_warning(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3)), *role = add_input(f, "positions", TN_DIMS(3));
    (void)add_input(f, "unread", TN_DIMS(3));
    tn_tensor_set_role(role, "positions");
    tn_network_mark_output(f->net, add(f, x, x), "y");
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    assert_int_equal(tn_diag_num_entries(f->diag), 1);
    assert_message(f, "input 'unread' is read by nothing");
}

static void states_read_after_their_update_are_found(void **state) {
    fixture *f = *state;
    cached c = add_cached(f);
    (void)update(f, &c, c.cache, 0);
    tn_network_mark_output(f->net, attend(f, &c, c.cache, "late"), "y");
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
    assert_message(f, "layer 'late' reads state 'kv.0' as it was before 'kv_cache_update_");
}

static void states_updated_twice_from_one_version_are_found(void **state) {
    fixture *f = *state;
    cached c = add_cached(f);
    (void)update(f, &c, c.cache, 0);
    (void)update(f, &c, c.cache, 1);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
    assert_true(has_message(f, "state 'kv.0' is updated from one version by both"));
}

static void everything_wrong_is_told_at_once(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_tensor *a = add(f, x, x), *b = add(f, x, x);
    tn_layer *late = tn_network_add_identity(f->net, b);
    tn_layer_connect(a->producer, 0, output(late)); /* made after it */
    b->dims[0] = TN_SYM_INVALID;
    x->uses.data[0].input = 7; /* a damaged use-list */
    tn_network_mark_output(f->net, a, "a");
    a->is_output = false;
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
    assert_true(has_message(f, "which is made after it"));
    assert_true(has_message(f, "dimension 0 of "));
    assert_true(has_message(f, "is not among the users of its input 'x'"));
    assert_true(has_message(f, "output 'a' is made by no layer"));
}

static void missing_next_values_are_found(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, tn_network_add_input(f->net, "n", TN_INT32, TN_SCALAR));
    tn_layer *sum = tn_loop_add_recurrence(loop, x);
    tn_loop_end(loop);
    tn_network_mark_output(f->net, output(tn_loop_add_output(loop, output(sum), false, 0)), "y");
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
    assert_message(f, "has no next value");
}

static void regions_torn_apart_are_found(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_if *conditional = tn_network_begin_if(f->net, tn_network_add_input(f->net, "c", TN_BOOL, TN_SCALAR));
    tn_tensor *a = add(f, x, x);
    tn_if_else(conditional);
    tn_tensor *b = add(f, x, x);
    tn_if_end(conditional);
    tn_network_mark_output(f->net, output(tn_if_add_output(conditional, a, b)), "y");
    f->net->current_region = 1;
    (void)add(f, x, x);
    f->net->current_region = 0;
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
    assert_message(f, "stands apart from the others of its loop or conditional");
}

static void networks_with_recorded_errors_do_not_pass(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_network_mark_output(f->net, add(f, x, x), "y");
    (void)tn_network_add_softmax(f->net, x, 4);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(sound_networks_pass_without_a_word),
        TEST(networks_without_output_are_refused),
        TEST(unread_inputs_are_a_warning),
        TEST(states_read_after_their_update_are_found),
        TEST(states_updated_twice_from_one_version_are_found),
        TEST(everything_wrong_is_told_at_once),
        TEST(missing_next_values_are_found),
        TEST(regions_torn_apart_are_found),
        TEST(networks_with_recorded_errors_do_not_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
