/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_test.c: loading: weights copied, mapped, borrowed, external; damaged, missing and shrinking files; other machines.
 */
#include "base/hash.h"
#include "plan/plan.h"
#include "runtime/engine.h"
#include "runtime/testing.h"

static tn_device *device;
static const char *backend_name;
static tn_diag *diag;
static char folder[64], plan_path[96], weights_path[96];

static int set_up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/tenon_engine_XXXXXX");
    if (mkdtemp(folder) == NULL || tn_diag_create(NULL, &diag) != TN_OK) return -1;
    (void)snprintf(plan_path, sizeof plan_path, "%s/test.plan", folder);
    (void)snprintf(weights_path, sizeof weights_path, "%s/weights.bin", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    (void)unlink(plan_path);
    (void)unlink(weights_path);
    (void)rmdir(folder);
    tn_diag_destroy(diag);
    return 0;
}

static void save_scale_plan(void) {
    tn_plan_maker maker;
    make_scale_plan(&maker, backend_name);
    tn_plan_maker_save(&maker, plan_path);
    tn_plan_maker_deinit(&maker);
}

static tn_engine_options loading(tn_weight_loading mode, bool verify) {
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = device;
    options.diag = diag;
    options.weight_loading = mode;
    options.verify_weights = verify;
    return options;
}

static bool is_host(void) {
    return device->backend->is_host;
}

/* y = relu(x) · {1, 2, 3, 4} */
static void assert_runs(tn_engine *engine) {
    tn_context *context = make_context(engine, NULL, 0, diag);
    float x[8] = {1, -2, 3, 4, 5, 6, -7, 8}, y[8];
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(2, 4)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    for (int i = 0; i < 8; i++) assert_true(y[i] == (x[i] > 0 ? x[i] : 0) * (float)(i % 4 + 1));
    tn_context_destroy(context);
}

static void assert_load_fails(const tn_engine_options *options, tn_status status, const char *words) {
    tn_engine *engine;
    tn_diag_clear(diag);
    assert_int_equal(tn_engine_load(plan_path, options, &engine), status);
    assert_null(engine);
    assert_true(diag_says(diag, words));
}

static void flip_last_byte(const char *path) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -1, SEEK_END), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_END), 0);
    assert_int_not_equal(fputc(byte ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

/* --- modes --------------------------------------------------------------------------------------------------------------- */

static void weights_load_in_every_mode(void **state) {
    (void)state;
    static const tn_weight_loading modes[] = {TN_WEIGHTS_AUTO, TN_WEIGHTS_COPY, TN_WEIGHTS_MAP};
    save_scale_plan();
    for (int i = 0; i < 6; i++) {
        tn_engine_options options = loading(modes[i / 2], i % 2 == 1);
        tn_engine *engine;
        if (modes[i / 2] == TN_WEIGHTS_MAP && !is_host()) {
            assert_load_fails(&options, TN_UNSUPPORTED, "cannot map the weights");
            continue;
        }
        assert_int_equal(tn_engine_load(plan_path, &options, &engine), TN_OK);
        assert_runs(engine);
        tn_engine_memory memory;
        tn_engine_get_memory(engine, &memory);
        assert_int_equal(memory.weights_bytes, modes[i / 2] == TN_WEIGHTS_MAP ? 0 : 64);
        tn_engine_destroy(engine);
    }
}

static void plan_in_memory_lends_its_weights_and_may_be_destroyed(void **state) {
    (void)state;
    tn_plan_maker maker;
    make_scale_plan(&maker, backend_name);
    test_plan bytes = finish_plan(&maker);
    tn_plan *plan;
    tn_engine *engine;
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, true);
    assert_int_equal(tn_plan_open_memory(bytes.bytes, bytes.size, NULL, NULL, NULL, diag, &plan), TN_OK);
    assert_int_equal(tn_engine_create(plan, &options, &engine), TN_OK);
    tn_plan_destroy(plan);
    assert_runs(engine);
    tn_engine_memory memory;
    tn_engine_get_memory(engine, &memory);
    assert_int_equal(memory.weights_bytes, is_host() ? 0 : 64);
    tn_engine_destroy(engine);
    ((uint8_t *)bytes.bytes)[bytes.size - 1] ^= 1;
    assert_int_equal(tn_engine_load_memory(bytes.bytes, bytes.size, &options, &engine), TN_INVALID_DATA);
    assert_true(diag_says(diag, "the checksum of weight 'w' differs"));
    free(bytes.bytes);
}

static void damaged_weight_is_noticed_in_every_mode(void **state) {
    (void)state;
    save_scale_plan();
    flip_last_byte(plan_path);
    tn_engine_options options = loading(TN_WEIGHTS_COPY, false);
    assert_load_fails(&options, TN_INVALID_DATA, "the checksum of weight 'w' differs (64 bytes at byte");
    if (!is_host()) return;
    options = loading(TN_WEIGHTS_MAP, true);
    assert_load_fails(&options, TN_INVALID_DATA, "the checksum of weight 'w' differs (64 bytes at byte");
    tn_engine *engine; /* in the background: runs are refused once it is found */
    options = loading(TN_WEIGHTS_MAP, false);
    assert_int_equal(tn_engine_load(plan_path, &options, &engine), TN_OK);
    tn_context *context = make_context(engine, NULL, 0, diag);
    float x[4] = {0}, y[4];
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(1, 4)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    tn_status status = TN_OK;
    for (int i = 0; i < 10000 && status == TN_OK; i++) {
        status = tn_context_enqueue(context, NULL);
        if (status == TN_OK) (void)usleep(1000);
    }
    assert_int_equal(status, TN_INVALID_DATA);
    tn_context_destroy(context);
    tn_engine_destroy(engine);
}

/* With every weight verified, what loads computes what the undamaged plan computes: only padding and names that nobody reads
 * differ. */
static void every_flipped_byte_of_a_plan_is_refused_or_changes_no_result(void **state) {
    (void)state;
    tn_plan_maker maker;
    make_scale_plan(&maker, backend_name);
    test_plan plan = finish_plan(&maker);
    uint8_t *copy = aligned_alloc(64, (plan.size + 63) / 64 * 64);
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, true);
    size_t num_refused = 0;
    assert_non_null(copy);
    assert_true(plan.size <= 16384);
    for (size_t i = 0; i < plan.size; i++) {
        memcpy(copy, plan.bytes, plan.size);
        copy[i] ^= (uint8_t)(1u << i % 8);
        tn_engine *engine;
        tn_diag_clear(diag);
        tn_status status = tn_engine_load_memory(copy, plan.size, &options, &engine);
        if (status == TN_OK) {
            assert_runs(engine);
        } else {
            assert_null(engine);
            assert_true(message_of(diag, 0)[0] != 0);
            num_refused++;
        }
        tn_engine_destroy(engine);
    }
    print_message("%s: %zu of %zu flipped bytes refused\n", backend_name, num_refused, plan.size);
    assert_true(num_refused > 1000);
    free(copy);
    free(plan.bytes);
}

static void file_that_shrinks_while_loading_is_an_error(void **state) {
    (void)state;
    tn_plan *plan;
    tn_engine *engine;
    tn_engine_options options = loading(TN_WEIGHTS_COPY, false);
    save_scale_plan();
    assert_int_equal(tn_plan_open_file(plan_path, NULL, diag, &plan), TN_OK);
    assert_int_equal(truncate(plan_path, (off_t)tn_plan_size_bytes(plan) - 1), 0);
    assert_int_equal(tn_engine_create(plan, &options, &engine), TN_INVALID_DATA);
    assert_true(diag_says(diag, "it ends before"));
    tn_plan_destroy(plan);
}

/* --- external weights ------------------------------------------------------------------------------------------------------- */

/* The weight stands in weights.bin at `offset`, as long as its values only. */
static void save_external_plan(size_t offset, size_t file_bytes) {
    static const float values[4] = {1, 2, 3, 4};
    tn_plan_maker maker;
    make_scale_plan(&maker, backend_name);
    tn_plan_weight *weight = &maker.weights.data[0];
    weight->storage = TN_WEIGHT_EXTERNAL;
    weight->file = tn_maker_string(&maker, "weights.bin");
    weight->offset = offset;
    weight->size = sizeof values;
    weight->hash = tn_hash(values, sizeof values, 0);
    tn_plan_maker_save(&maker, plan_path);
    tn_plan_maker_deinit(&maker);
    FILE *file = fopen(weights_path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < file_bytes; i++) {
        uint8_t byte = i >= offset && i < offset + sizeof values ? ((const uint8_t *)values)[i - offset] : 0xee;
        assert_int_not_equal(fputc(byte, file), EOF);
    }
    assert_int_equal(fclose(file), 0);
}

static void external_weights_are_copied_or_mapped(void **state) {
    (void)state;
    static const size_t offsets[] = {0, 64, 8, 3, 64}, sizes[] = {64, 256, 24, 64, 80};
    for (int i = 0; i < 5; i++)
        for (int mode = 0; mode < 3; mode++) {
            tn_engine *engine;
            tn_engine_options options = loading((tn_weight_loading)mode, true);
            if (options.weight_loading == TN_WEIGHTS_MAP && !is_host()) continue;
            save_external_plan(offsets[i], sizes[i]);
            assert_int_equal(tn_engine_load(plan_path, &options, &engine), TN_OK);
            assert_runs(engine);
            tn_engine_memory memory;
            tn_engine_get_memory(engine, &memory);
            bool is_mapped = options.weight_loading == TN_WEIGHTS_MAP && i < 2; /* aligned, and whole with its padding */
            assert_int_equal(memory.weights_bytes, is_mapped ? 0 : 64);
            tn_engine_destroy(engine);
        }
}

static void external_file_that_is_missing_short_or_changed_is_named(void **state) {
    (void)state;
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, false);
    save_external_plan(64, 128);
    flip_last_byte(weights_path); /* behind the weight */
    tn_engine *engine;
    assert_int_equal(tn_engine_load(plan_path, &options, &engine), TN_OK);
    tn_engine_destroy(engine);
    assert_int_equal(truncate(weights_path, 79), 0);
    assert_load_fails(&options, TN_INVALID_DATA, "it ends before");
    assert_int_equal(truncate(weights_path, 80), 0);
    assert_load_fails(&options, TN_INVALID_DATA, "the checksum of weight 'w' differs");
    assert_int_equal(unlink(weights_path), 0);
    assert_load_fails(&options, TN_NOT_FOUND, "weight 'w' stands in");
}

/* --- other machines, contradictions -------------------------------------------------------------------------------------------- */

static void plan_of_another_machine_is_refused_with_the_command(void **state) {
    (void)state;
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, false);
    for (int i = 0; i < 4; i++) {
        tn_plan_maker maker;
        make_scale_plan(&maker, backend_name);
        if (i == 0) maker.variants.data[0].tactic = tn_maker_string(&maker, "activation_sse9");
        char version[32];
        (void)snprintf(version, sizeof version, "this build has %u", maker.variants.data[0].tactic_version);
        if (i == 1) maker.variants.data[0].tactic_version += 7;
        if (i == 2) maker.weights.data[0].layout = tn_maker_string(&maker, "strip99");
        if (i == 2)
            maker.steps.data[1].problem =
                tn_maker_string(&maker, "elementwise{op=prod} float32[s1,4] float32:strip99[1,4] -> float32[s1,4]");
        if (i == 3)
            (void)snprintf(maker.header.backend, sizeof maker.header.backend, "%s", strcmp(backend_name, "ref") == 0 ? "null" : "ref");
        tn_plan_maker_save(&maker, plan_path);
        tn_plan_maker_deinit(&maker);
        const char *const words[] = {"step 'relu' needs tactic 'activation_sse9' (this build does not have it)", version,
                                     "is stored as 'strip99'", "it was made for the backend"};
        assert_load_fails(&options, TN_INCOMPATIBLE, words[i]);
        tn_diag_entry entry;
        assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
        char command[128];
        (void)snprintf(command, sizeof command, "tenon build --retune %s", folder);
        if (i < 2) assert_non_null(strstr(entry.hint, command));
        assert_true(entry.hint[0] != '\0');
    }
}

static void weights_that_contradict_their_shape_are_refused(void **state) {
    (void)state;
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, false);
    for (int i = 0; i < 3; i++) {
        tn_plan_maker maker;
        make_scale_plan(&maker, backend_name);
        if (i == 0) maker.weights.data[0].dims[1] = 400;
        if (i == 1) maker.weights.data[0].dims[0] = 4, maker.weights.data[0].dims[1] = 1;
        if (i == 2) maker.weights.data[0].size = 16;
        tn_plan_maker_save(&maker, plan_path);
        tn_plan_maker_deinit(&maker);
        static const char *const words[] = {"has 64 bytes, its layout 'plain' has 1600", "reads a weight of another shape", "has 16 bytes"};
        assert_load_fails(&options, TN_INVALID_DATA, words[i]);
    }
}

/* A cache that the parameters of its step do not describe would be written beyond its end. */
static void states_that_contradict_their_steps_are_refused(void **state) {
    (void)state;
    if (strcmp(backend_name, "ref") != 0) return;
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, false);
    for (int i = 0; i < 5; i++) {
        tn_plan_maker maker;
        tn_plan_maker_init(&maker, backend_name);
        tn_plan_state kv = {.name = tn_maker_string(&maker, "kv.0"),
                            .kind = tn_maker_string(&maker, "kv"),
                            .dtype = tn_maker_string(&maker, i == 1 ? "float16" : "float32"),
                            .num_layers = 2,
                            .num_kv_heads = i == 2 ? 1 : 2,
                            .k_dim = 8,
                            .v_dim = 8,
                            .tokens_per_block = 16};
        if (i == 3) kv = (tn_plan_state){.name = kv.name, .kind = tn_maker_string(&maker, "slots"), .vocab_size = 9, .max_seq_len = 9};
        assert_true(tn_array_push(NULL, &maker.states, kv));
        tn_maker_begin_function(&maker, "forward");
        uint32_t t = tn_maker_input_dim(&maker, 0, 0), wide = tn_maker_const(&maker, 16), s1 = tn_maker_const(&maker, 2);
        static const char *const names[] = {"k", "v", "query_start", "kv_length", "block_table"};
        for (uint32_t k = 0; k < 5; k++)
            tn_maker_tensor(&maker, names[k], k < 2 ? "float32" : "int32", TN_SPACE_INPUT, k < 2 || k == 4 ? 2 : 1,
                            k < 2    ? (uint32_t[]){t, wide}
                            : k == 2 ? &s1
                                     : (uint32_t[]){0, 0});
        tn_maker_profile(&maker, 0, 0, 0, 1, 4, 8);
        char problem[400];
        (void)snprintf(problem, sizeof problem,
                       "kv_cache_update{layer=%d,num_layers=2,num_kv_heads=2,k_dim=8,v_dim=8,tokens_per_block=16,cache_dtype=float32} "
                       "float32[s1,16] float32[s1,16] float32[1,1]@state int32[2] int32[1] int32[1,1] -> float32[1,1]@state",
                       i == 4 ? 2 : 1);
        add_launch(&maker, "update", TN_OP_KV_CACHE_UPDATE, problem, 7,
                   (const uint32_t[][2]){{TN_SPACE_INPUT, 0},
                                         {TN_SPACE_INPUT, 1},
                                         {TN_SPACE_STATE, 0},
                                         {TN_SPACE_INPUT, 2},
                                         {TN_SPACE_INPUT, 3},
                                         {TN_SPACE_INPUT, 4},
                                         {TN_SPACE_STATE, 0}});
        tn_maker_end_function(&maker);
        tn_plan_maker_save(&maker, plan_path);
        tn_plan_maker_deinit(&maker);
        tn_engine *engine;
        if (i > 0) {
            assert_load_fails(&options, TN_INVALID_DATA, "step 'update' of function 'forward' uses a state of another shape");
            continue;
        }
        assert_int_equal(tn_engine_load(plan_path, &options, &engine), TN_OK);
        assert_int_equal(tn_engine_num_states(engine), 1);
        assert_string_equal(tn_engine_get_state(engine, 0)->kind, "kv");
        assert_true(tn_engine_get_state(engine, 0)->unit_bytes >= 2 * 2 * 16 * 16 * sizeof(float));
        assert_null(tn_engine_get_state(engine, 1));
        tn_engine_destroy(engine);
    }
}

/* --- questions ---------------------------------------------------------------------------------------------------------------- */

static void engine_tells_its_functions_inputs_and_model(void **state) {
    (void)state;
    static const char *const metas[] = {"{}",
                                        "{\"model\":{\"a\":\"}\\\"{\",\"b\":[1,{\"model\":2}]} ,\"x\":1}",
                                        " {\"x\":[{\"model\":{}}],\"model\" : {\"c\":true}}",
                                        "",
                                        "[",
                                        "{\"model\":3}",
                                        "{\"model\":{\"a\":1",
                                        "{\"x\" 1}",
                                        "{\"x\":\"\\"};
    static const char *const models[] = {"{}", "{\"a\":\"}\\\"{\",\"b\":[1,{\"model\":2}]}", "{\"c\":true}", "{}", "{}", "{}", "{}", "{}",
                                         "{}"};
    for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++) {
        tn_plan_maker maker;
        make_scale_plan(&maker, backend_name);
        maker.meta = metas[i];
        test_plan plan = finish_plan(&maker);
        tn_engine *engine = load_engine(&plan, device, diag);
        assert_string_equal(tn_engine_model_info(engine), models[i]);
        assert_int_equal(tn_engine_num_functions(engine), 1);
        assert_string_equal(tn_engine_function_name(engine, 0), "forward");
        assert_null(tn_engine_function_name(engine, 1));
        assert_true(tn_engine_has_function(engine, "forward"));
        assert_false(tn_engine_has_function(engine, "sample"));
        assert_ptr_equal(tn_engine_device(engine), device);
        assert_int_equal(tn_engine_is_asynchronous(engine), !is_host());
        tn_io_info info;
        assert_int_equal(tn_engine_num_io(engine, NULL), 2);
        assert_int_equal(tn_engine_get_io(engine, NULL, 0, &info), TN_OK);
        assert_string_equal(info.name, "x");
        assert_true(info.is_input && !info.is_on_host && info.dtype == TN_FLOAT32 && info.dims.rank == 2 && info.dims.d[0] == -1 &&
                    info.dims.d[1] == 4);
        assert_int_equal(tn_engine_get_io(engine, "forward", 1, &info), TN_OK);
        assert_false(info.is_input);
        assert_int_equal(tn_engine_get_io(engine, NULL, 2, &info), TN_NOT_FOUND);
        assert_int_equal(tn_engine_get_io(engine, "sample", 0, &info), TN_NOT_FOUND);
        assert_int_equal(tn_engine_max_dim(engine, NULL, "batch"), 16);
        tn_engine_destroy(engine);
        free(plan.bytes);
    }
}

static void bad_arguments_are_refused(void **state) {
    (void)state;
    tn_engine *engine;
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, false);
    assert_int_equal(tn_engine_load(NULL, &options, &engine), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_engine_load_memory(NULL, 0, &options, &engine), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_engine_create(NULL, &options, &engine), TN_INVALID_ARGUMENT);
    assert_load_fails(&options, TN_NOT_FOUND, "No such file");
    tn_engine_destroy(NULL);
    tn_context_destroy(NULL);
    tn_state_set_destroy(NULL);
    tn_refitter_destroy(NULL);
}

static void engine_makes_its_own_device(void **state) {
    (void)state;
    if (!is_host()) return;
    save_scale_plan();
    tn_engine_options options = loading(TN_WEIGHTS_AUTO, false);
    tn_engine *engine;
    options.device = NULL;
    assert_int_equal(tn_engine_load(plan_path, &options, &engine), TN_OK);
    assert_runs(engine);
    tn_engine_destroy(engine);
}

/* --- tensors between two steps ------------------------------------------------------------------------------------------------- */

/* relu writes a, scale reads it. */
static void only_a_whole_tensor_of_two_steps_has_a_reader(void **state) {
    (void)state;
    enum { PLAIN = 0, DEBUG, PART, CONDITION, READ_TWICE, NUM_CASES };
    for (int i = 0; i < NUM_CASES; i++) {
        tn_plan_maker maker;
        make_scale_plan(&maker, backend_name);
        maker.tensors.data[2].flags = i == DEBUG ? TN_TENSOR_DEBUG : 0;
        if (i == PART) maker.refs.data[2].offset = 16;
        if (i == CONDITION) maker.steps.data[1].guard = tn_maker_const(&maker, 1);
        if (i == READ_TWICE) {
            add_launch(&maker, "again", TN_OP_ACTIVATION, "activation{type=relu} float32[s1,4] -> float32[s1,4]", 2,
                       (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_OUTPUT, 1}});
            maker.steps.data[2].first_variant = 0, maker.steps.data[2].num_variants = 2;
            maker.tensors.data[2].last_step = 2;
        }
        if (i >= CONDITION) tn_maker_end_function(&maker);
        test_plan plan = finish_plan(&maker);
        tn_engine *engine = load_engine(&plan, device, diag);
        assert_int_equal(engine->functions[0].steps[0].reader, i == PLAIN ? 1 : TN_NO_STEP);
        assert_int_equal(engine->functions[0].steps[1].reader, TN_NO_STEP);
        tn_engine_destroy(engine);
        free(plan.bytes);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(weights_load_in_every_mode),
        TEST(plan_in_memory_lends_its_weights_and_may_be_destroyed),
        TEST(damaged_weight_is_noticed_in_every_mode),
        TEST(every_flipped_byte_of_a_plan_is_refused_or_changes_no_result),
        TEST(file_that_shrinks_while_loading_is_an_error),
        TEST(external_weights_are_copied_or_mapped),
        TEST(external_file_that_is_missing_short_or_changed_is_named),
        TEST(plan_of_another_machine_is_refused_with_the_command),
        TEST(weights_that_contradict_their_shape_are_refused),
        TEST(states_that_contradict_their_steps_are_refused),
        TEST(engine_tells_its_functions_inputs_and_model),
        TEST(only_a_whole_tensor_of_two_steps_has_a_reader),
        TEST(bad_arguments_are_refused),
        TEST(engine_makes_its_own_device),
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
