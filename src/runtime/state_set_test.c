/* SPDX-License-Identifier: Apache-2.0
 *
 * state_set_test.c: caches and slots as the executor uses them, on every device.
 */
#include "runtime/state_set.h"
#include "runtime/testing.h"

enum { VOCAB = 50, MAX_LEN = 20, HEADS = 2, DIM = 4, TOKENS = 16, WIDTH = HEADS * DIM };

static tn_device *device;
static const char *backend_name;
static tn_diag *diag;
static test_plan plan;
static tn_engine *engine;

#define KV "num_layers=2,num_kv_heads=2,k_dim=4,v_dim=4,tokens_per_block=16,cache_dtype=float32"

/* forward: writes k and v of tokens into layer 1 of the cache and reads them back as attention of one head each. ids: slots'
 * last tokens. */
static void make_plan(void) {
    tn_plan_maker maker;
    tn_plan_maker_init(&maker, backend_name);
    tn_plan_state kv = {.name = tn_maker_string(&maker, "kv.0"),
                        .kind = tn_maker_string(&maker, "kv"),
                        .dtype = tn_maker_string(&maker, "float32"),
                        .num_layers = 2,
                        .num_kv_heads = HEADS,
                        .k_dim = DIM,
                        .v_dim = DIM,
                        .tokens_per_block = TOKENS};
    tn_plan_state slots = {
        .name = tn_maker_string(&maker, "slots"), .kind = tn_maker_string(&maker, "slots"), .vocab_size = VOCAB, .max_seq_len = MAX_LEN};
    assert_true(tn_array_push(NULL, &maker.states, kv));
    assert_true(tn_array_push(NULL, &maker.states, slots));
    tn_maker_begin_function(&maker, "forward");
    uint32_t t = tn_maker_input_dim(&maker, 0, 0), width = tn_maker_const(&maker, WIDTH), two = tn_maker_const(&maker, 2);
    tn_maker_tensor(&maker, "kv", "float32", TN_SPACE_INPUT, 2, (uint32_t[]){t, width});
    tn_maker_tensor(&maker, "query_start", "int32", TN_SPACE_INPUT, 1, &two);
    tn_maker_tensor(&maker, "kv_length", "int32", TN_SPACE_INPUT, 1, (uint32_t[]){0});
    tn_maker_tensor(&maker, "block_table", "int32", TN_SPACE_INPUT, 2, (uint32_t[]){0, 0});
    tn_maker_tensor(&maker, "y", "float32", TN_SPACE_OUTPUT, 2, (uint32_t[]){t, width});
    tn_maker_profile(&maker, 0, 0, 0, 1, 4, 8);
    add_launch(&maker, "update", TN_OP_KV_CACHE_UPDATE,
               "kv_cache_update{layer=1," KV
               "} float32[s1,8] float32[s1,8] float32[1,1]@state int32[2] int32[1] int32[1,1] -> float32[1,1]@state",
               7,
               (const uint32_t[][2]){{TN_SPACE_INPUT, 0},
                                     {TN_SPACE_INPUT, 0},
                                     {TN_SPACE_STATE, 0},
                                     {TN_SPACE_INPUT, 1},
                                     {TN_SPACE_INPUT, 2},
                                     {TN_SPACE_INPUT, 3},
                                     {TN_SPACE_STATE, 0}});
    add_launch(
        &maker, "attention", TN_OP_ATTENTION,
        "attention{layer=1,num_heads=2,scale=1," KV "} float32[s1,8] float32[1,1]@state int32[2] int32[1] int32[1,1] -> float32[s1,8]", 6,
        (const uint32_t[][2]){
            {TN_SPACE_INPUT, 0}, {TN_SPACE_STATE, 0}, {TN_SPACE_INPUT, 1}, {TN_SPACE_INPUT, 2}, {TN_SPACE_INPUT, 3}, {TN_SPACE_OUTPUT, 4}});
    tn_maker_end_function(&maker);
    tn_maker_begin_function(&maker, "ids");
    t = tn_maker_input_dim(&maker, 0, 0);
    two = tn_maker_const(&maker, 2);
    tn_maker_tensor(&maker, "input_ids", "int32", TN_SPACE_INPUT, 1, &t);
    tn_maker_tensor(&maker, "query_start", "int32", TN_SPACE_INPUT, 1, &two);
    tn_maker_tensor(&maker, "seq_slot", "int32", TN_SPACE_INPUT, 1, (uint32_t[]){0});
    tn_maker_tensor(&maker, "ids", "int32", TN_SPACE_OUTPUT, 1, &t);
    tn_maker_profile(&maker, 0, 0, 0, 1, 4, 8);
    add_launch(
        &maker, "ids", TN_OP_TOKEN_IDS, "token_ids{vocab_size=50,max_seq_len=20} int32[s1] int32[2] int32[1] uint8[1]@state -> int32[s1]",
        5, (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_INPUT, 1}, {TN_SPACE_INPUT, 2}, {TN_SPACE_STATE, 1}, {TN_SPACE_OUTPUT, 3}});
    tn_maker_end_function(&maker);
    plan = finish_plan(&maker);
}

static int set_up(void **state) {
    (void)state;
    if (tn_diag_create(NULL, &diag) != TN_OK) return -1;
    make_plan();
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

static tn_state_set *make_states(int64_t blocks, int64_t slots) {
    tn_state_set *set;
    assert_int_equal(tn_state_set_create(engine, (const int64_t[]){blocks, slots}, diag, &set), TN_OK);
    return set;
}

/* Appends `count` tokens of value `value` at position `from` in `block`; y of the last token. */
static void forward(tn_context *context, float value, int32_t from, int32_t count, int32_t block, float y[WIDTH]) {
    float kv[8 * WIDTH], all[8 * WIDTH];
    int32_t query_start[2] = {0, count}, kv_length = from + count;
    for (int i = 0; i < count * WIDTH; i++) kv[i] = value;
    assert_int_equal(tn_context_set_input_shape(context, "kv", TN_DIMS(count, WIDTH)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "kv", kv), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "query_start", query_start), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "kv_length", &kv_length), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "block_table", &block), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", all), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    memcpy(y, all + (count - 1) * WIDTH, WIDTH * sizeof *y);
}

static void functions_share_a_cache_and_blocks_are_copied(void **state) {
    (void)state;
    tn_state_set *set = make_states(4, 1);
    tn_context *context = make_context(engine, "forward", 0, diag), *other = make_context(engine, "forward", 0, diag);
    float first[WIDTH], second[WIDTH], copied[WIDTH];
    tn_context_set_states(context, set);
    tn_context_set_states(other, set);
    forward(context, 0.5f, 0, 3, 2, first);
    forward(other, 0.25f, 3, 1, 2, second); /* reads what the other context wrote */
    assert_true(second[0] > 0.25f && second[0] < 0.5f);
    /* three tokens of block 2 to block 0, there continued in the same way: the same answer */
    assert_int_equal(tn_state_set_copy_blocks(set, 0, (const tn_block_move[]){{2, 0, 3}}, 1, NULL, diag), TN_OK);
    forward(context, 0.25f, 3, 1, 0, copied);
    assert_memory_equal(copied, second, sizeof copied);
    /* a new set at perhaps the same address: nothing of the old one is used */
    tn_state_set_destroy(set);
    set = make_states(4, 1);
    tn_context_set_states(context, set);
    forward(context, 0.25f, 3, 1, 2, copied);
    assert_memory_not_equal(copied, second, sizeof copied);
    tn_engine_memory memory;
    tn_engine_get_memory(engine, &memory);
    assert_int_equal(memory.states_bytes, 4 * tn_engine_get_state(engine, 0)->unit_bytes + tn_engine_get_state(engine, 1)->unit_bytes);
    tn_context_destroy(context);
    tn_context_destroy(other);
    tn_state_set_destroy(set);
}

static void slot_rows_hold_what_sampling_needs(void **state) {
    (void)state;
    tn_state_set *set = make_states(0, 3);
    tn_context *context = make_context(engine, "ids", 0, diag);
    int32_t tokens[4] = {7, 9, 7, 11}, ids[3] = {5, -1, -1}, query_start[2] = {0, 3}, slot = 2, out[3];
    float bias[VOCAB];
    for (int i = 0; i < VOCAB; i++) bias[i] = (float)i;
    /* The last two tokens were drawn before: top_p decayed twice. */
    tn_slot_params params = {.seed = 42,
                             .top_p = 0.5f,
                             .top_p_decay = 0.5f,
                             .top_p_min = 0.01f,
                             .top_p_reset_id = -1,
                             .end_id = 3,
                             .prompt_length = 2,
                             .prompt_ignore_length = 1};
    tn_context_set_states(context, set);
    assert_int_equal(tn_state_set_write_slot(set, 1, slot, &params, tokens, 4, bias, NULL, diag), TN_OK);
    tokens[3] = 0; /* reused on return */
    assert_int_equal(tn_context_set_input_shape(context, "input_ids", TN_DIMS(3)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "input_ids", ids), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "query_start", query_start), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "seq_slot", &slot), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "ids", out), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_int_equal(out[0], 5);
    assert_int_equal(out[1], 11);
    assert_int_equal(out[2], 11);
    /* the row itself */
    tn_slot_layout layout = tn_slot_layout_make(VOCAB, MAX_LEN);
    uint8_t *row = malloc(layout.row_bytes);
    tn_stream *stream;
    assert_non_null(row);
    assert_int_equal(tn_stream_create(device, diag, &stream), TN_OK);
    assert_int_equal(device->backend->copy(stream, TN_COPY_TO_HOST, row, (uint8_t *)tn_state_set_memory(set, 1) + 2 * layout.row_bytes,
                                           layout.row_bytes, diag),
                     TN_OK);
    assert_int_equal(tn_stream_synchronize(stream, diag), TN_OK);
    const tn_slot *written = (const tn_slot *)(const void *)row;
    const int32_t *counts = (const int32_t *)(const void *)(row + layout.counts_offset);
    assert_true(written->params.seed == 42 && written->params.has_bias && written->current_top_p == 0.125f);
    assert_int_equal(written->history_count, 4);
    assert_int_equal(((const int32_t *)(const void *)(row + layout.history_offset))[3], 11);
    assert_int_equal(counts[7], 1);
    assert_int_equal(counts[9], 1);
    assert_int_equal(counts[11], 1);
    assert_memory_equal(row + layout.bias_offset, bias, sizeof bias);
    free(row);
    tn_stream_destroy(stream);
    tn_context_destroy(context);
    tn_state_set_destroy(set);
}

static void many_slots_are_written_while_the_stream_is_busy(void **state) {
    (void)state;
    enum { NUM_SLOTS = 40 };
    tn_state_set *set = make_states(1, NUM_SLOTS);
    tn_context *context = make_context(engine, "ids", 0, diag);
    static int32_t out[NUM_SLOTS][1], slots[NUM_SLOTS];
    int32_t ids[1] = {-1}, query_start[2] = {0, 1};
    tn_slot_params params = {.prompt_ignore_length = -1};
    tn_stream *stream;
    assert_int_equal(tn_stream_create(device, diag, &stream), TN_OK);
    tn_context_set_states(context, set);
    assert_int_equal(tn_context_set_input_shape(context, "input_ids", TN_DIMS(1)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "input_ids", ids), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "query_start", query_start), TN_OK);
    for (int32_t i = 0; i < NUM_SLOTS; i++) {
        int32_t token = (i * 7) % VOCAB;
        slots[i] = i;
        assert_int_equal(tn_state_set_write_slot(set, 1, i, &params, &token, 1, NULL, stream, diag), TN_OK);
        assert_int_equal(tn_context_set_host_address(context, "seq_slot", &slots[i]), TN_OK);
        assert_int_equal(tn_context_set_host_address(context, "ids", out[i]), TN_OK);
        assert_int_equal(tn_context_enqueue(context, stream), TN_OK);
    }
    assert_int_equal(tn_stream_synchronize(stream, diag), TN_OK);
    for (int32_t i = 0; i < NUM_SLOTS; i++) assert_int_equal(out[i][0], (i * 7) % VOCAB);
    tn_context_destroy(context);
    tn_state_set_destroy(set);
    tn_stream_destroy(stream);
}

static void wrong_states_are_refused(void **state) {
    (void)state;
    tn_state_set *set = make_states(4, 2);
    tn_context *context = make_context(engine, "ids", 0, diag);
    int32_t tokens[MAX_LEN + 1] = {0}, out;
    tn_slot_params params = {0};
    assert_int_equal(tn_context_set_input_shape(context, "input_ids", TN_DIMS(1)), TN_OK);
    static const char *const names[] = {"input_ids", "query_start", "seq_slot", "ids"};
    for (int i = 0; i < 4; i++) assert_int_equal(tn_context_set_host_address(context, names[i], i < 3 ? tokens : &out), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "no state set of its engine is given"));
    tn_engine *other = load_engine(&plan, device, NULL);
    tn_state_set *foreign;
    assert_int_equal(tn_state_set_create(other, (const int64_t[]){1, 1}, diag, &foreign), TN_OK);
    tn_context_set_states(context, foreign);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_INVALID_ARGUMENT);
    tn_state_set_destroy(foreign);
    tn_engine_destroy(other);
    static const tn_block_move moves[] = {{4, 0, 1}, {0, 4, 1}, {-1, 0, 1}, {0, 1, 17}, {0, 1, -1}};
    for (int i = 0; i < 5; i++) assert_int_equal(tn_state_set_copy_blocks(set, 0, &moves[i], 1, NULL, diag), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_state_set_copy_blocks(set, 1, moves, 1, NULL, diag), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_state_set_copy_blocks(set, 2, moves, 1, NULL, diag), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_state_set_write_slot(set, 0, 0, &params, tokens, 1, NULL, NULL, diag), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_state_set_write_slot(set, 1, 2, &params, tokens, 1, NULL, NULL, diag), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_state_set_write_slot(set, 1, -1, &params, tokens, 1, NULL, NULL, diag), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_state_set_write_slot(set, 1, 0, &params, tokens, MAX_LEN + 1, NULL, NULL, diag), TN_INVALID_ARGUMENT);
    tokens[0] = VOCAB;
    assert_int_equal(tn_state_set_write_slot(set, 1, 0, &params, tokens, 1, NULL, NULL, diag), TN_INVALID_ARGUMENT);
    assert_true(diag_says(diag, "token 50 is not in the vocabulary of 50"));
    tn_state_set *huge;
    assert_int_equal(tn_state_set_create(engine, (const int64_t[]){INT32_MAX, 1}, diag, &huge), TN_OUT_OF_MEMORY);
    assert_int_equal(tn_state_set_create(engine, (const int64_t[]){-1, 1}, diag, &huge), TN_INVALID_ARGUMENT);
    assert_null(huge);
    assert_true(diag_says(diag, "kv.0 need "));
    tn_context_destroy(context);
    tn_state_set_destroy(set);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        tn_engine_options options;
        tn_engine *failing;
        tn_state_set *set = NULL;
        tn_engine_options_init(&options);
        options.device = device;
        options.allocator = &fault.allocator;
        assert_int_equal(tn_engine_load_memory(plan.bytes, plan.size, &options, &failing), TN_OK);
        fault.fail_at = fault.num_calls + n;
        tn_slot_params params = {0};
        tn_status status = tn_state_set_create(failing, (const int64_t[]){2, 2}, diag, &set);
        if (status == TN_OK) status = tn_state_set_copy_blocks(set, 0, (const tn_block_move[]){{0, 1, 16}}, 1, NULL, diag);
        if (status == TN_OK) status = tn_state_set_write_slot(set, 1, 0, &params, (const int32_t[]){1}, 1, NULL, NULL, diag);
        tn_state_set_destroy(set);
        tn_engine_destroy(failing);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
        tn_diag_clear(diag);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(functions_share_a_cache_and_blocks_are_copied),
        TEST(slot_rows_hold_what_sampling_needs),
        TEST(many_slots_are_written_while_the_stream_is_busy),
        TEST(wrong_states_are_refused),
        TEST(each_allocation_may_fail),
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
