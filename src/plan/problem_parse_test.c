/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_parse_test.c: what tn_problem_print writes reads back as the same problem; everything else is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "plan/plan.h"
#include "support/fault_allocator.h"

/* Two dynamic dimensions and some constants. */
static const tn_sym_node nodes[] = {{.op = TN_SYM_CONST, .value = 1},    {.op = TN_SYM_INPUT_DIM},
                                    {.op = TN_SYM_INPUT_DIM, .b = 1},    {.op = TN_SYM_CONST, .value = 64},
                                    {.op = TN_SYM_CONST, .value = -3},   {.op = TN_SYM_CONST, .value = 0},
                                    {.op = TN_SYM_CONST, .value = 4096}, {.op = TN_SYM_CONST, .value = 32}};
enum { NUM_NODES = sizeof nodes / sizeof nodes[0] };

static tn_sym find_constant(void *user, int64_t value) {
    (void)user;
    for (uint32_t i = 0; i < NUM_NODES; i++)
        if (nodes[i].op == TN_SYM_CONST && nodes[i].value == value) return i;
    return TN_SYM_INVALID;
}

static tn_status parse(const char *text, tn_arena *arena, tn_diag *diag, tn_problem *out_problem) {
    return tn_problem_parse(text, find_constant, NULL, NUM_NODES, arena, diag, out_problem);
}

static void assert_same_text(const tn_problem *problem) {
    tn_text first = {0}, second = {0};
    tn_arena arena = {0};
    tn_problem parsed;
    tn_problem_print(problem, nodes, NUM_NODES, &first);
    assert_int_equal(parse(first.data, &arena, NULL, &parsed), TN_OK);
    tn_problem_print(&parsed, nodes, NUM_NODES, &second);
    assert_string_equal(first.data, second.data);
    assert_int_equal(parsed.num_inputs, problem->num_inputs);
    assert_int_equal(parsed.num_operands, problem->num_operands);
    for (uint32_t i = 0; i < parsed.num_operands; i++) {
        const tn_operand *a = &problem->operands[i], *b = &parsed.operands[i];
        assert_int_equal(a->absent, b->absent);
        if (a->absent) continue;
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->role, b->role);
        assert_int_equal(a->place, b->place);
        assert_int_equal(a->rank, b->rank);
        for (int k = 0; k < a->rank; k++) assert_int_equal(nodes[a->dims[k]].value, nodes[b->dims[k]].value);
        if (a->role == TN_ROLE_WEIGHT) assert_true(tn_encoding_equal(&a->encoding, &b->encoding));
    }
    tn_arena_deinit(&arena);
    tn_text_deinit(&first);
    tn_text_deinit(&second);
}

/* Values that differ from every default and from each other. */
static void fill_params(const tn_op_info *info, void *params, int salt) {
    for (int i = 0; i < info->num_fields; i++) {
        const tn_op_field *field = &info->fields[i];
        void *at = (char *)params + field->offset;
        switch (field->type) {
        case TN_TYPE_BOOL: *(bool *)at = (salt + i) % 2 == 0; break;
        case TN_TYPE_INT: *(int64_t *)at = (salt + 1) * 1000003 * (i % 2 == 0 ? 1 : -1); break;
        case TN_TYPE_REAL: *(double *)at = (salt + 1) * 0.1 + i * 1e-9; break;
        case TN_TYPE_DTYPE: *(tn_dtype *)at = (tn_dtype)(1 + (salt + i) % (TN_NUM_DTYPES - 1)); break;
        case TN_TYPE_DIMS: *(tn_dims *)at = TN_DIMS(salt, -1, 7); break;
        case TN_TYPE_TEXT: assert_true(tn_label_set((tn_label *)at, "a b,{c}->|=1", 12)); break;
        case TN_TYPE_ENUM: *(int *)at = (salt + i) % tn_enum_get_info(field->enum_id)->num_values; break;
        }
    }
}

static void every_operation_reads_back(void **state) {
    (void)state;
    for (int kind = 0; kind < TN_NUM_OP_KINDS; kind++)
        for (int salt = 0; salt < 8; salt++) {
            const tn_op_info *info = tn_op_get_info((tn_op_kind)kind);
            tn_op_params params;
            memset(&params, 0, sizeof params);
            fill_params(info, &params, salt);
            tn_operand operands[16] = {{0}};
            uint32_t num_inputs = (uint32_t)info->min_inputs, num_outputs = info->num_outputs >= 0 ? (uint32_t)info->num_outputs : 2;
            for (uint32_t i = 0; i < num_inputs + num_outputs; i++) {
                operands[i] = (tn_operand){.dtype = (tn_dtype)(1 + ((uint32_t)salt * 5 + i) % (TN_NUM_DTYPES - 1)),
                                           .rank = (uint8_t)((i + (uint32_t)salt) % (TN_MAX_RANK + 1)),
                                           .role = i < num_inputs ? TN_ROLE_INPUT : TN_ROLE_OUTPUT,
                                           .place = (uint8_t)((i + (uint32_t)salt) % 3 == 0)};
                for (uint32_t k = 0; k < operands[i].rank; k++) operands[i].dims[k] = (k + (uint32_t)salt) % NUM_NODES;
                if (i < num_inputs && salt == 3) operands[i] = (tn_operand){.absent = true};
                if (salt == 4) operands[i].role = TN_ROLE_STATE;
                if (i < num_inputs && salt == 5) {
                    operands[i].role = TN_ROLE_WEIGHT;
                    operands[i].encoding = tn_encoding_plain(TN_FLOAT16);
                    operands[i].layout = "plain";
                }
            }
            tn_problem problem = {.op = (tn_op_kind)kind,
                                  .params = &params,
                                  .operands = operands,
                                  .num_operands = num_inputs + num_outputs,
                                  .num_inputs = num_inputs};
            if (num_outputs > 0) assert_same_text(&problem);
        }
}

static void weights_epilogues_and_compute_read_back(void **state) {
    (void)state;
    static const char *const encodings[] = {"float32", "float16", "q4_0", "q4_1", "q8_0", "affine_int4_b1x128_sf16_zint4_perm",
                                            "mx_e2m1", "nvfp4"};
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16};
    for (size_t i = 0; i < 3 * sizeof encodings / sizeof encodings[0]; i++) {
        tn_operand operands[] = {
            {.dtype = TN_Q15_32, .rank = 2, .dims = {1, 3}},
            {.dtype = dtypes[i % 3], .role = TN_ROLE_WEIGHT, .rank = 2, .dims = {6, 3}, .layout = i % 2 ? "strip16_q4_1" : NULL},
            {.dtype = TN_FLOAT32, .role = TN_ROLE_WEIGHT, .encoding = tn_encoding_plain(TN_FLOAT32), .rank = 1, .dims = {6}},
            {.dtype = TN_FLOAT32, .rank = 2, .dims = {1, 6}},
            {.dtype = TN_Q8_32, .role = TN_ROLE_OUTPUT, .rank = 2, .dims = {1, 6}}};
        assert_true(tn_encoding_parse(encodings[i / 3], &operands[1].encoding));
        tn_epilogue lists[][4] = {{{.kind = TN_EPILOGUE_BIAS, .operand = 2},
                                   {.kind = TN_EPILOGUE_ACTIVATION, .activation = TN_ACTIVATION_GELU_TANH},
                                   {.kind = TN_EPILOGUE_ADD, .operand = 3},
                                   {.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q8_32}},
                                  {{.kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = TN_ACTIVATION_SILU},
                                   {.kind = TN_EPILOGUE_SCALE, .value = 1.0 / 3.0},
                                   {.kind = TN_EPILOGUE_SOFT_CAP, .value = 50},
                                   {.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q15_32}}};
        tn_matrix_multiply_params params = {.op_b = TN_MATRIX_TRANSPOSE};
        for (uint32_t k = 0; k < 10; k++) {
            tn_problem problem = {.op = TN_OP_MATRIX_MULTIPLY,
                                  .params = &params,
                                  .operands = operands,
                                  .num_operands = 5,
                                  .num_inputs = 4,
                                  .epilogues = lists[k % 2],
                                  .num_epilogues = k / 2,
                                  .compute = {.accumulator = k % 3 ? TN_FLOAT32 : TN_DTYPE_NONE,
                                              .tf32 = k % 4 == 1,
                                              .strict_nans = k % 4 == 2,
                                              .batch_invariant = k % 2 == 0}};
            assert_same_text(&problem);
        }
    }
}

static void damaged_texts_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "missing a name"},
        {"nothing float32[] -> float32[]", "unknown operation 'nothing'"},
        {"cast{to=float7} float32[] -> float32[]", "unknown element type 'float7'"},
        {"cast{from=int8} float32[] -> int8[]", "unknown field 'from'"},
        {"cast{to} float32[] -> int8[]", "missing '='"},
        {"cast{to=int8 float32[] -> int8[]", "missing '}'"},
        {"activation{type=sin} float32[] -> float32[]", "unknown value 'sin'"},
        {"cast{to=f32} int8[] -> float32[]", "unknown element type 'f32'"},
        {"softmax{axis=x} float32[] -> float32[]", "missing an integer"},
        {"softmax{axis=99999999999999999999} float32[] -> float32[]", "out of range"},
        {"rotary_table{scale= } float32[] float32[] -> float32[]", "missing a number"},
        {"slice{start=[1,2} float32[] -> float32[]", "missing ']'"},
        {"slice{start=[1,2,3,4,5,6,7,8,9]} float32[] -> float32[]", "more than 8 dimensions"},
        {"identity float32[s8] -> float32[]", "a symbol that the function does not have"},
        {"identity float32[s-1] -> float32[]", "missing a symbol's number"},
        {"identity float32[1,2,3,4,5,6,7,8,9] -> float32[]", "out of memory"},
        {"identity float32[1,1,1,1,1,1,1,1,1] -> float32[]", "more than 8 dimensions"},
        {"identity float32[1 -> float32[]", "missing ']'"},
        {"identity float32 -> float32[]", "missing '['"},
        {"identity float32[] -> float32:plain[]", "a weight among the outputs"},
        {"identity q9_9:plain[] -> float32[]", "unknown encoding 'q9_9'"},
        {"identity float32:[] -> float32[]", "missing a name"},
        {"identity float32:plain[]@state -> float32[]", "a weight that is a state"},
        {"identity float32[]@moon -> float32[]", "something unknown"},
        {"identity float32[] float32[] float32[] float32[] float32[] float32[] -> float32[]", "a number of inputs"},
        {"identity -> float32[]", "a number of inputs"},
        {"identity float32[]", "a number of outputs"},
        {"identity float32[] -> float32[] -> float32[]", "something unknown"},
        {"identity float32[] -> float32[] |bias(1)", "not among the inputs"},
        {"identity float32[] -> float32[] |bias(-1)", "not among the inputs"},
        {"identity float32[] -> float32[] |none(1)", "unknown epilogue 'none'"},
        {"identity float32[] -> float32[] |bias", "missing '('"},
        {"identity float32[] -> float32[] |bias(0),bias(0),bias(0),bias(0),bias(0)", "more than 4 epilogues"},
        {"identity float32[] -> float32[] accumulator=x", "unknown element type 'x'"},
        {"identity float32[] -> float32[] batch_invariant tf32", "unknown element type 'batch_invariant'"},
        {"identity float32[] -> float32[] ", "missing a name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_arena arena = {0};
        tn_problem problem;
        tn_diag *diag;
        tn_diag_entry entry;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_status status = parse(cases[i].text, &arena, diag, &problem);
        assert_int_equal(tn_diag_num_entries(diag), 1);
        assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
        if (strstr(entry.message, cases[i].words) == NULL) print_error("wanted '%s', got: %s\n", cases[i].words, entry.message);
        assert_non_null(strstr(entry.message, cases[i].words));
        assert_int_equal(status, strcmp(cases[i].words, "out of memory") == 0 ? TN_OUT_OF_MEMORY : TN_INVALID_DATA);
        tn_diag_destroy(diag);
        tn_arena_deinit(&arena);
    }
}

static const char long_text[] = "matrix_multiply{op_b=transpose} q15_32[s1,64] q4_1:strip16_q4_1[4096,64] float32:plain[4096] -> "
                                "q15_32[s1,4096] |bias(2),gated_activation(silu),quantize(q15_32) accumulator=float32 batch_invariant";

static void every_truncation_is_refused_or_another_problem(void **state) {
    (void)state;
    char text[sizeof long_text];
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t length = 0; length < sizeof long_text; length++) {
        tn_arena arena = {0};
        tn_problem problem;
        memcpy(text, long_text, length);
        text[length] = '\0';
        if (parse(text, &arena, diag, &problem) == TN_OK) {
            tn_text printed = {0};
            tn_problem_print(&problem, nodes, NUM_NODES, &printed);
            assert_string_equal(printed.data, text);
            tn_text_deinit(&printed);
        }
        tn_diag_clear(diag);
        tn_arena_deinit(&arena);
    }
    tn_diag_destroy(diag);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_diag *diag;
        tn_problem problem;
        tn_fault_allocator_init(&fault, n);
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_arena arena = {.allocator = &fault.allocator};
        tn_status status = parse(long_text, &arena, diag, &problem);
        tn_arena_deinit(&arena);
        tn_diag_destroy(diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_reads_back), cmocka_unit_test(weights_epilogues_and_compute_read_back),
        cmocka_unit_test(damaged_texts_are_refused),  cmocka_unit_test(every_truncation_is_refused_or_another_problem),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
