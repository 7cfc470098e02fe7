/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_test.c: the operation tables, and the canonical text of problems.
 */
#include "op/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "op/tactic.h"

static void every_operation_is_found_by_its_name(void **state) {
    (void)state;
    for (int kind = 0; kind < TN_NUM_OP_KINDS; kind++) {
        const tn_op_info *info = tn_op_get_info((tn_op_kind)kind);
        tn_op_kind found = TN_NUM_OP_KINDS;
        assert_true(tn_op_find(info->name, &found));
        assert_int_equal(found, kind);
        assert_true(info->max_inputs < 0 || info->max_inputs >= info->min_inputs);
        for (int i = 0; i < info->num_fields; i++) {
            assert_string_not_equal(info->fields[i].name, "unused");
            assert_true(info->fields[i].offset < info->params_size);
        }
    }
    tn_op_kind kind;
    assert_false(tn_op_find("matrix_divide", &kind));
    assert_true(tn_op_is_reserved(TN_OP_LORA_LINEAR));
    assert_false(tn_op_is_reserved(TN_OP_SAMPLE));
}

static void fields_lie_where_the_parameter_struct_has_them(void **state) {
    (void)state;
    const tn_op_info *info = tn_op_get_info(TN_OP_ATTENTION);
    assert_int_equal(info->num_fields, 13);
    assert_string_equal(info->fields[2].name, "scale");
    assert_int_equal(info->fields[2].type, TN_TYPE_REAL);
    assert_int_equal(info->fields[2].offset, offsetof(tn_attention_params, scale));
    assert_int_equal(tn_op_get_info(TN_OP_IDENTITY)->num_fields, 0);
}

static void enum_values_are_found_by_name(void **state) {
    (void)state;
    assert_int_equal(tn_enum_find(TN_ENUM_ID_ACTIVATION, "silu"), TN_ACTIVATION_SILU);
    assert_int_equal(tn_enum_find(TN_ENUM_ID_ROTARY, "interleaved"), TN_ROTARY_INTERLEAVED);
    assert_int_equal(tn_enum_find(TN_ENUM_ID_ROUTE, "spin"), -1);
    for (int id = 0; id < TN_NUM_ENUM_IDS; id++) {
        const tn_enum_info *info = tn_enum_get_info((tn_enum_id)id);
        for (int i = 0; i < info->num_values; i++) assert_int_equal(tn_enum_find((tn_enum_id)id, info->values[i]), i);
    }
    for (int i = 0; i < TN_NUM_NUMERICS; i++) assert_string_not_equal(tn_numerics_name((tn_numerics)i), "unknown");
}

static const tn_sym_node nodes[] = {
    {TN_SYM_CONST, 0, 0, 0, 1},     {TN_SYM_CONST, 0, 0, 0, 576}, {TN_SYM_CONST, 0, 0, 0, 1536},
    {TN_SYM_INPUT_DIM, 0, 0, 0, 0}, {TN_SYM_CONST, 0, 0, 0, 768},
};

static void a_problem_prints_as_one_line_without_defaults(void **state) {
    (void)state;
    tn_matrix_multiply_params params = {.op_b = TN_MATRIX_TRANSPOSE};
    tn_operand operands[3] = {
        {.dtype = TN_FLOAT32, .rank = 2, .dims = {3, 1}},
        {.dtype = TN_FLOAT32, .role = TN_ROLE_WEIGHT, .rank = 2, .dims = {2, 1}, .layout = "strip16_q4_1"},
        {.dtype = TN_Q15_32, .role = TN_ROLE_OUTPUT, .rank = 2, .dims = {3, 4}},
    };
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q4_1, &operands[1].encoding), TN_OK);
    tn_epilogue epilogues[2] = {{.kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = TN_ACTIVATION_SILU, .operand = -1},
                                {.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q15_32, .operand = -1}};
    tn_problem problem = {.op = TN_OP_MATRIX_MULTIPLY,
                          .params = &params,
                          .epilogues = epilogues,
                          .num_epilogues = 2,
                          .operands = operands,
                          .num_operands = 3,
                          .num_inputs = 2};
    tn_text text = {0};
    tn_problem_print(&problem, nodes, sizeof nodes / sizeof nodes[0], &text);
    assert_string_equal(text.data, "matrix_multiply{op_b=transpose} float32[s3,576] q4_1:strip16_q4_1[1536,576] -> q15_32[s3,768] "
                                   "|gated_activation(silu),quantize(q15_32)");
    tn_text_reset(&text);
    operands[1].layout = NULL;
    operands[0].absent = true;
    operands[2].place = TN_PLACE_HOST;
    epilogues[0] = (tn_epilogue){.kind = TN_EPILOGUE_SCALE, .value = 0.1};
    problem.num_epilogues = 1;
    problem.compute.batch_invariant = true;
    tn_problem_print(&problem, NULL, 0, &text);
    assert_string_equal(text.data, "matrix_multiply{op_b=transpose} - q4_1:?[s2,s1] -> q15_32[s3,s4]@host |scale(0.1) batch_invariant");
    tn_text_deinit(&text);
}

static void operand_sizes_follow_the_symbols(void **state) {
    (void)state;
    const int64_t values[] = {1, 33, -1, INT64_MAX, 5};
    tn_operand operand = {.dtype = TN_INT4, .rank = 3, .dims = {4, 4, 1}};
    size_t bytes;
    assert_int_equal(tn_operand_rows(&operand, values), 25);
    assert_int_equal(tn_operand_columns(&operand, values), 33);
    assert_true(tn_operand_bytes(&operand, values, &bytes));
    assert_int_equal(bytes, 448); /* 25 × 17 to a multiple of 64 */
    operand.dims[0] = 2;
    assert_false(tn_operand_bytes(&operand, values, &bytes));
    operand.dims[0] = 3;
    assert_false(tn_operand_bytes(&operand, values, &bytes));
    operand.rank = 0;
    assert_true(tn_operand_bytes(&operand, values, &bytes));
    assert_int_equal(bytes, 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_found_by_its_name), cmocka_unit_test(fields_lie_where_the_parameter_struct_has_them),
        cmocka_unit_test(enum_values_are_found_by_name),        cmocka_unit_test(a_problem_prints_as_one_line_without_defaults),
        cmocka_unit_test(operand_sizes_follow_the_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
