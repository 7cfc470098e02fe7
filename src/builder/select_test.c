/* SPDX-License-Identifier: Apache-2.0
 *
 * select_test.c: layouts, tactics, timing cache and retuning, on a device with made-up tactics.
 */
#include "builder/testing.h"

#include "base/file.h"
#include "base/memory.h"

static const tn_tactic *ref_matmul(void) {
    return tn_backend_find_tactic(tn_backend_find("ref"), "ref_matrix_multiply");
}

static bool supports_any(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    bool plain = problem->operands[1].layout == NULL || strcmp(problem->operands[1].layout, TN_LAYOUT_PLAIN) == 0;
    if (!plain) (void)snprintf(reason, reason_size, "plain weights only");
    return plain;
}

static bool supports_strip(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    bool strip = problem->operands[1].role == TN_ROLE_WEIGHT &&
                 (problem->operands[1].layout == NULL || strcmp(problem->operands[1].layout, "strip") == 0);
    if (!strip) (void)snprintf(reason, reason_size, "strips only");
    return strip;
}

static int64_t rows_of(const tn_problem *problem, const int64_t *symbols) {
    return symbols[problem->operands[0].dims[0]];
}

static double estimate_10(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return 10.0 * (double)rows_of(problem, symbols);
}
static double estimate_12(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return 12.0 * (double)rows_of(problem, symbols);
}
/* Good at many rows, bad at few. */
static double estimate_block(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return 100.0 + (double)rows_of(problem, symbols);
}
static double estimate_1(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return (double)rows_of(problem, symbols);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return ref_matmul()->prepare(device, problem, symbols, out_launch);
}

static const tn_tactic tactic_a = {"matmul_a", 1,      TN_NUMERICS_DOUBLE, TN_OP_MATRIX_MULTIPLY, NULL, supports_any, estimate_10,
                                   NULL,       prepare};
static const tn_tactic tactic_b = {"matmul_b", 1,      TN_NUMERICS_DOUBLE, TN_OP_MATRIX_MULTIPLY, NULL, supports_any, estimate_12,
                                   NULL,       prepare};
static const tn_tactic tactic_block = {
    "matmul_block", 1, TN_NUMERICS_F32_LANES16, TN_OP_MATRIX_MULTIPLY, NULL, supports_any, estimate_block, NULL, prepare};
static const tn_tactic tactic_strip = {"matmul_strip", 1,      TN_NUMERICS_DOUBLE, TN_OP_MATRIX_MULTIPLY, NULL, supports_strip, estimate_1,
                                       NULL,           prepare};

static bool accepts_matrix(const tn_weight_desc *desc) {
    return desc->dims.rank == 2;
}
static tn_status strip_size(const tn_weight_desc *desc, size_t *out_bytes) {
    return tn_weights_packed_bytes(desc, NULL, out_bytes);
}
static tn_status strip_pack(const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) {
    int64_t columns = tn_weight_num_columns(desc);
    for (int64_t i = 0; i < (end - begin) * columns; i++) ((float *)dst)[begin * columns + i] = -((const float *)src->part[0])[i];
    return TN_OK;
}
static const tn_layout strip = {"strip", 3, 16, accepts_matrix, strip_size, strip_pack, NULL};

static void ranges_are_one_few_batch_and_the_rest(void **state) {
    fixture *f = *state;
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &tactic_a);
    fake_add_tactic(&f->fake, &tactic_block);
    tn_builder_config_set_batch_invariant(f->config, false);
    set_batch(f, 1, 1, 1000);
    tn_plan *plan = build(f, linear_network(NULL, matrix, NULL));
    const tn_plan_view *view = tn_plan_get_view(plan);
    const tn_plan_step *step = find_step(plan, "matrix_multiply");
    assert_int_equal(step->num_variants, 2);
    const tn_plan_variant *variants = view->variants + step->first_variant;
    assert_string_equal(tactic_of(plan, "matrix_multiply", 0), "matmul_a"); /* 10 and 40 against 101 and 104 */
    assert_int_equal(variants[0].bucket_min, 1);
    assert_int_equal(variants[0].bucket_max, 4);
    assert_string_equal(tactic_of(plan, "matrix_multiply", 1), "matmul_block");
    assert_int_equal(variants[1].bucket_max, 1000);
    tn_plan_destroy(plan);
}

/* A decoder's head: as many rows as logits are wanted, whatever the number of tokens. */
static void a_step_is_chosen_by_the_rows_that_its_work_grows_with(void **state) {
    fixture *f = *state;
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &tactic_a);
    fake_add_tactic(&f->fake, &tactic_block);
    tn_builder_config_set_batch_invariant(f->config, false);
    tn_profile *profile = tn_builder_config_add_profile(f->config);
    tn_profile_set_dim(profile, "rows", 1, 1, 1000);
    tn_profile_set_dim(profile, "num_tokens", 1, 1, 4);
    tn_network *net = make_network(NULL);
    static const char *const names[] = {"rows", "num_tokens"};
    tn_layer *weight = tn_network_add_constant(net, TN_DIMS(OUT, IN), &(tn_weights_data){TN_FLOAT32, matrix, OUT * IN, "w"});
    for (int i = 0; i < 2; i++) {
        tn_tensor *x = tn_network_add_input(net, names[i], TN_FLOAT32, TN_DIMS(-1, IN));
        tn_tensor_set_dim_name(x, 0, names[i]);
        tn_layer *product = tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, first(weight), TN_MATRIX_TRANSPOSE);
        tn_network_mark_output(net, first(product), i == 0 ? "a" : "b");
    }
    tn_plan *plan = build(f, net);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_steps, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const tn_plan_symbol *symbol = &view->symbols[view->steps[i].bucket_symbol];
        assert_string_equal(tn_plan_string(view, symbol->op), "input_dim");
        assert_string_equal(tn_plan_string(view, view->tensors[symbol->a].name), names[i]);
        assert_int_equal(view->steps[i].num_variants, i == 0 ? 2 : 1);
    }
    tn_plan_destroy(plan);
}

static void batch_invariance_keeps_one_numerics_for_all_ranges(void **state) {
    fixture *f = *state;
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &tactic_a);
    fake_add_tactic(&f->fake, &tactic_block);
    tn_builder_config_set_batch_invariant(f->config, true);
    set_batch(f, 1, 1, 1000);
    tn_plan *plan = build(f, linear_network(NULL, matrix, NULL));
    assert_int_equal(find_step(plan, "matrix_multiply")->num_variants, 1);
    assert_non_null(strstr(tn_plan_string(tn_plan_get_view(plan), find_step(plan, "matrix_multiply")->problem), "batch_invariant"));
    tn_plan_destroy(plan);
}

static void a_better_layout_is_chosen_and_packed(void **state) {
    fixture *f = *state;
    fake_add_tactic(&f->fake, &tactic_strip);
    f->fake.layouts[f->fake.backend.num_layouts++] = &strip;
    set_batch(f, 1, 8, 100);
    tn_plan *plan = build(f, linear_network(NULL, matrix, "w"));
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_string_equal(tactic_of(plan, "matrix_multiply", 0), "matmul_strip");
    assert_string_equal(tn_plan_string(view, view->weights[0].layout), "strip");
    assert_int_equal(view->weights[0].layout_version, 3);
    const float *packed = (const float *)(const void *)(view->weight_data + view->weights[0].offset);
    for (int i = 0; i < OUT * IN; i++) assert_true(packed[i] == -matrix[i]);
    tn_plan_destroy(plan);
}

/* An embedding and a head by one matrix. */
static tn_network *tied_network(void) {
    tn_network *net = make_network(NULL);
    tn_tensor *ids = tn_network_add_input(net, "ids", TN_INT32, TN_DIMS(-1));
    tn_tensor_set_dim_name(ids, 0, "batch");
    tn_layer *w = tn_network_add_constant(net, TN_DIMS(OUT, IN), &(tn_weights_data){TN_FLOAT32, matrix, OUT * IN, "w"});
    tn_tensor *x = first(tn_network_add_gather(net, first(w), ids, TN_GATHER_DEFAULT, 0));
    tn_network_mark_output(net, first(tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, first(w), TN_MATRIX_TRANSPOSE)), "y");
    return net;
}

static void a_weight_takes_the_layout_that_all_its_readers_read(void **state) {
    fixture *f = *state;
    fake_add_tactic(&f->fake, &tactic_strip); /* faster, but the gather reads plain rows only */
    f->fake.layouts[f->fake.backend.num_layouts++] = &strip;
    set_batch(f, 1, 8, 100);
    tn_plan *plan = build(f, tied_network());
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_weights, 1);
    assert_string_equal(tn_plan_string(view, view->weights[0].layout), "plain");
    tn_plan_destroy(plan);
}

static void readers_without_a_common_layout_get_a_copy_each(void **state) {
    fixture *f = *state;
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &tactic_strip);
    f->fake.layouts[f->fake.backend.num_layouts++] = &strip;
    set_batch(f, 1, 8, 100);
    tn_plan *plan = build(f, tied_network());
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_weights, 2);
    assert_string_not_equal(tn_plan_string(view, view->weights[0].layout), tn_plan_string(view, view->weights[1].layout));
    tn_plan_destroy(plan);
}

static void refused_tactics_and_their_reasons_are_in_the_plan(void **state) {
    fixture *f = *state;
    fake_add_tactic(&f->fake, &tactic_strip);
    set_batch(f, 1, 8, 100);
    tn_plan *plan = build(f, linear_network(NULL, matrix, NULL));
    assert_non_null(strstr(tn_plan_get_view(plan)->meta, "{\"name\":\"matmul_strip\",\"reason\":\"strips only\"}"));
    tn_plan_destroy(plan);
}

/* --- timing cache ------------------------------------------------------------------------------------------------------------- */

static void use_two_tactics(fixture *f) {
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &tactic_a);
    fake_add_tactic(&f->fake, &tactic_b);
    tn_builder_config_set_optimization_level(f->config, 1);
    tn_builder_config_set_timing_budget_ms(f->config, 0);
    set_batch(f, 1, 2, 40);
}

static void assert_same_bytes(const tn_plan *a, const tn_plan *b) {
    const tn_file *unused;
    assert_int_equal(tn_plan_size_bytes(a), tn_plan_size_bytes(b));
    assert_memory_equal(tn_plan_bytes(a, &unused), tn_plan_bytes(b, &unused), tn_plan_size_bytes(a));
}

static void a_second_build_with_the_cache_times_nothing_and_gives_the_same_bytes(void **state) {
    fixture *f = *state;
    tn_timing_cache *cache, *again;
    use_two_tactics(f);
    assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
    tn_builder_config_set_timing_cache(f->config, cache);
    tn_plan *one = build(f, linear_network(NULL, matrix, NULL));
    size_t measured = tn_timing_cache_num_measured(cache);
    assert_true(measured >= 2 * 4); /* two tactics in four ranges */
    assert_int_equal(tn_timing_cache_save(cache, f->path, NULL), TN_OK);
    assert_int_equal(tn_timing_cache_create(NULL, &again), TN_OK);
    assert_int_equal(tn_timing_cache_load(again, f->path, NULL), TN_OK);
    tn_builder_config_set_timing_cache(f->config, again);
    tn_plan *two = build(f, linear_network(NULL, matrix, NULL));
    assert_int_equal(tn_timing_cache_num_measured(again), 0);
    assert_same_bytes(one, two);
    tn_plan_destroy(one);
    tn_plan_destroy(two);
    tn_timing_cache_destroy(cache);
    tn_timing_cache_destroy(again);
}

/* Replaces the time of every entry of a tactic in the file. */
static void edit_cache(const char *path, const char *tactic, const char *time) {
    char *text, *rest, *line;
    size_t size;
    assert_int_equal(tn_file_read_all(path, 1 << 20, NULL, NULL, &text, &size), TN_OK);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (rest = text; (line = strsep(&rest, "\n")) != NULL && (rest != NULL || line[0] != '\0');) {
        char *tab = strrchr(line, '\t');
        if (tab != NULL && strstr(line, tactic) != NULL)
            (void)fprintf(file, "%.*s\t%s\n", (int)(tab - line), line, time);
        else
            (void)fprintf(file, "%s\n", line);
    }
    assert_int_equal(fclose(file), 0);
    tn_free(NULL, text);
}

static void an_edited_entry_changes_the_choice(void **state) {
    fixture *f = *state;
    tn_timing_cache *cache;
    use_two_tactics(f);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
        if (round > 0) {
            edit_cache(f->path, "matmul_a", "5000");
            edit_cache(f->path, "matmul_b", "0.5");
        }
        assert_int_equal(tn_timing_cache_load(cache, f->path, NULL), TN_OK); /* a missing file is an empty cache */
        tn_builder_config_set_timing_cache(f->config, cache);
        tn_plan *plan = build(f, linear_network(NULL, matrix, NULL));
        if (round > 0) {
            assert_string_equal(tactic_of(plan, "matrix_multiply", 0), "matmul_b");
            assert_int_equal(tn_timing_cache_num_measured(cache), 0);
        }
        assert_int_equal(tn_timing_cache_save(cache, f->path, NULL), TN_OK);
        tn_plan_destroy(plan);
        tn_timing_cache_destroy(cache);
    }
}

static void a_challenger_must_win_by_five_percent(void **state) {
    fixture *f = *state;
    tn_timing_cache *cache;
    use_two_tactics(f);
    assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
    tn_builder_config_set_timing_cache(f->config, cache);
    tn_plan_destroy(build(f, linear_network(NULL, matrix, NULL)));
    assert_int_equal(tn_timing_cache_save(cache, f->path, NULL), TN_OK);
    tn_timing_cache_destroy(cache);
    static const struct {
        const char *time, *winner;
    } cases[] = {{"96", "matmul_a"}, {"94", "matmul_b"}, {"100", "matmul_a"}, {"120", "matmul_a"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        edit_cache(f->path, "matmul_a", "100");
        edit_cache(f->path, "matmul_b", cases[i].time);
        assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
        assert_int_equal(tn_timing_cache_load(cache, f->path, NULL), TN_OK);
        tn_builder_config_set_timing_cache(f->config, cache);
        tn_plan *plan = build(f, linear_network(NULL, matrix, NULL));
        assert_string_equal(tactic_of(plan, "matrix_multiply", 0), cases[i].winner);
        tn_plan_destroy(plan);
        tn_timing_cache_destroy(cache);
    }
}

static void damaged_lines_are_skipped_and_foreign_ones_kept(void **state) {
    fixture *f = *state;
    static const char lines[] = "# tenon timing cache 1\n"
                                "other device\tmatmul_x\t7\tmatrix_multiply float32[2]\t12.5\n"
                                "no tabs\n"
                                "ref\ta\t1\tproblem\tnan\n"
                                "ref\ta\t1\tproblem\t-1\n"
                                "ref\ta\t1\tproblem\t1x\n"
                                "ref\ta\t1\tproblem\t\n"
                                "ref\ta\t1\tproblem\t~3.25";
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    (void)fputs(lines, file);
    assert_int_equal(fclose(file), 0);
    tn_timing_cache *cache;
    assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
    assert_int_equal(tn_timing_cache_load(cache, f->path, f->diag), TN_OK);
    assert_int_equal(tn_diag_num_entries(f->diag), 5);
    assert_true(diag_says(f->diag, "skipped line 3"));
    assert_int_equal(tn_timing_cache_save(cache, f->path, NULL), TN_OK);
    char *text;
    size_t size;
    assert_int_equal(tn_file_read_all(f->path, 1 << 20, NULL, NULL, &text, &size), TN_OK);
    assert_string_equal(text, "# tenon timing cache 1\n"
                              "other device\tmatmul_x\t7\tmatrix_multiply float32[2]\t12.5\n"
                              "ref\ta\t1\tproblem\t~3.25\n");
    tn_free(NULL, text);
    tn_timing_cache_destroy(cache);
}

static void equal_layers_are_timed_once(void **state) {
    fixture *f = *state;
    use_two_tactics(f);
    tn_timing_cache *cache;
    assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
    tn_builder_config_set_timing_cache(f->config, cache);
    static float square[IN * IN];
    tn_network *net = make_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, IN));
    tn_tensor_set_dim_name(x, 0, "batch");
    static char names[6][8];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(names[i], sizeof names[i], "w%d", i);
        tn_layer *w = tn_network_add_constant(net, TN_DIMS(IN, IN), &(tn_weights_data){TN_FLOAT32, square, IN * IN, names[i]});
        x = first(tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, first(w), TN_MATRIX_TRANSPOSE));
        x = first(tn_network_add_unary(net, x, TN_UNARY_SIN));
    }
    tn_network_mark_output(net, x, "y");
    tn_plan_destroy(build(f, net));
    assert_int_equal(tn_timing_cache_num_measured(cache), 2 * 4);
    tn_timing_cache_destroy(cache);
}

/* --- retune -------------------------------------------------------------------------------------------------------------------- */

static void retune_chooses_again_and_keeps_the_weights(void **state) {
    fixture *f = *state;
    fake_add_tactic(&f->fake, &tactic_strip);
    f->fake.layouts[f->fake.backend.num_layouts++] = &strip;
    set_batch(f, 1, 8, 100);
    tn_builder_config_set_model_info(f->config, "{\"a\":\"}\\\"\"}");
    tn_plan *plan = build(f, linear_network(NULL, matrix, "w")), *retuned, *same;
    tn_builder_config_set_model_info(f->config, NULL);
    assert_int_equal(tn_builder_retune(f->builder, plan, f->config, &same), TN_OK);
    assert_same_bytes(plan, same);
    static const tn_tactic newer = {"matmul_newer", 1,      TN_NUMERICS_DOUBLE, TN_OP_MATRIX_MULTIPLY, NULL, supports_strip, estimate_1,
                                    NULL,           prepare};
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &newer);
    assert_int_equal(tn_builder_retune(f->builder, plan, f->config, &retuned), TN_OK);
    assert_string_equal(tactic_of(retuned, "matrix_multiply", 0), "matmul_newer");
    assert_int_equal(tn_plan_verify_weights(retuned, NULL), TN_OK);
    tn_plan_destroy(retuned);
    tn_plan_destroy(same);

    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    fake_add_tactic(&f->fake, &tactic_a); /* reads no strips */
    assert_int_equal(tn_builder_retune(f->builder, plan, f->config, &retuned), TN_INCOMPATIBLE);
    assert_true(diag_says(f->diag, "plain weights only"));
    f->fake.backend.num_layouts = 0;
    assert_int_equal(tn_builder_retune(f->builder, plan, f->config, &retuned), TN_INCOMPATIBLE);
    assert_true(diag_says(f->diag, "weight 'w' is stored as strip version 3"));
    tn_plan_destroy(plan);
}

int main(void) {
    for (int i = 0; i < OUT * IN; i++) matrix[i] = (float)(i % 13) - 6.0f;
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ranges_are_one_few_batch_and_the_rest),
        TEST(a_step_is_chosen_by_the_rows_that_its_work_grows_with),
        TEST(batch_invariance_keeps_one_numerics_for_all_ranges),
        TEST(a_better_layout_is_chosen_and_packed),
        TEST(a_weight_takes_the_layout_that_all_its_readers_read),
        TEST(readers_without_a_common_layout_get_a_copy_each),
        TEST(refused_tactics_and_their_reasons_are_in_the_plan),
        TEST(a_second_build_with_the_cache_times_nothing_and_gives_the_same_bytes),
        TEST(an_edited_entry_changes_the_choice),
        TEST(a_challenger_must_win_by_five_percent),
        TEST(damaged_lines_are_skipped_and_foreign_ones_kept),
        TEST(equal_layers_are_timed_once),
        TEST(retune_chooses_again_and_keeps_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
