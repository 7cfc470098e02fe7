/* SPDX-License-Identifier: Apache-2.0
 *
 * cases_matmul.c: linear layers in every pairing of activations and weights, with every epilogue; expert groups; products of
 * two activations.
 */
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"
#include "op/gguf_blocks.h"

enum { BIAS_WEIGHT, BIAS_INPUT, BIAS_BY_EXPERT }; /* variants: where a bias comes from */

/* Epilogue operands in order, then the list. Rows of y stand in the case's rows. */
static void add_epilogues(tn_case_build *build, tn_problem_builder *b, int64_t rows, int64_t num_experts) {
    const tn_case *from = build->from;
    tn_encoding plain = tn_encoding_plain(TN_FLOAT32);
    int64_t columns = from->n;
    for (uint32_t i = 0; i < from->num_epilogues; i++) {
        tn_epilogue epilogue = from->epilogues[i];
        epilogue.operand = -1;
        if (epilogue.kind == TN_EPILOGUE_GATED_ACTIVATION) columns /= 2;
        if (epilogue.kind == TN_EPILOGUE_BIAS || epilogue.kind == TN_EPILOGUE_ADD) {
            epilogue.operand = (int32_t)b->problem.num_inputs;
            if (epilogue.kind == TN_EPILOGUE_ADD)
                (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(rows, columns), true);
            else if (from->variant == BIAS_INPUT)
                (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(columns), false);
            else
                tn_case_weight(build, &plain, from->variant == BIAS_BY_EXPERT ? TN_DIMS(num_experts, columns) : TN_DIMS(columns));
        }
        tn_build_epilogue(b, epilogue);
    }
    tn_case_output(build, from->y, TN_DIMS(rows, columns));
}

static void make_linear(tn_case_build *build) {
    const tn_case *from = build->from;
    tn_problem_builder *b = tn_case_begin(build, TN_OP_MATRIX_MULTIPLY);
    tn_case_params(build)->matrix_multiply.op_b = TN_MATRIX_TRANSPOSE;
    (void)tn_case_input(build, from->a, TN_DIMS(build->num_rows, from->k), true);
    tn_case_weight(build, &from->encoding, TN_DIMS(from->n, from->k));
    add_epilogues(build, b, build->num_rows, 1);
}

/* Four experts; the third gets nothing. `option`: rows come sorted already. */
static void make_grouped(tn_case_build *build) {
    const tn_case *from = build->from;
    enum { EXPERTS = 4, TOP_K = 2 };
    int64_t tokens = from->rows / TOP_K, rows = tokens * TOP_K;
    int32_t start[EXPERTS + 1] = {0}, order[1024];
    int32_t at = 0;
    for (int32_t expert = 0; expert < EXPERTS; expert++) {
        start[expert] = at;
        for (int32_t i = 0; i < rows && expert != 2; i++) {
            int32_t chosen = i % TOP_K == 0 ? (i / TOP_K % 3 == 0 ? 0 : 1) : 3;
            if (chosen == expert) order[at++] = i;
        }
    }
    start[EXPERTS] = at;
    tn_problem_builder *b = tn_case_begin(build, TN_OP_GROUPED_MATMUL);
    tn_grouped_matmul_params *params = &tn_case_params(build)->grouped_matmul;
    params->top_k = TOP_K;
    params->sorted = from->option != 0;
    (void)tn_case_input(build, from->a, TN_DIMS(params->sorted ? rows : tokens, from->k), false);
    tn_case_weight(build, &from->encoding, TN_DIMS(EXPERTS, from->n, from->k));
    tn_case_given(build, TN_INT32, start, sizeof start, TN_DIMS(EXPERTS + 1));
    tn_case_given(build, TN_INT32, order, (size_t)rows * sizeof *order, TN_DIMS(rows));
    add_epilogues(build, b, rows, EXPERTS);
}

/* Both operands are activations. variant: bit 0 transposes a, bit 1 b; option 1: a is a vector, 2: b is one, 3: batches. */
static void make_product(tn_case_build *build) {
    const tn_case *from = build->from;
    int64_t m = 5, n = from->n, k = from->k;
    (void)tn_case_begin(build, TN_OP_MATRIX_MULTIPLY);
    tn_matrix_multiply_params *params = &tn_case_params(build)->matrix_multiply;
    bool ta = (from->variant & 1) != 0, tb = (from->variant & 2) != 0;
    params->op_a = from->option == 1 ? TN_MATRIX_VECTOR : ta ? TN_MATRIX_TRANSPOSE : TN_MATRIX_NONE;
    params->op_b = from->option == 2 ? TN_MATRIX_VECTOR : tb ? TN_MATRIX_TRANSPOSE : TN_MATRIX_NONE;
    tn_dims a = ta ? TN_DIMS(k, m) : TN_DIMS(m, k), b = tb ? TN_DIMS(n, k) : TN_DIMS(k, n), y = TN_DIMS(m, n);
    if (from->option == 1) a = TN_DIMS(k), y = TN_DIMS(n);
    if (from->option == 2) b = TN_DIMS(k), y = TN_DIMS(m);
    if (from->option == 3) {
        a = ta ? TN_DIMS(2, 1, k, m) : TN_DIMS(2, 1, m, k);
        b = tb ? TN_DIMS(3, n, k) : TN_DIMS(3, k, n);
        y = TN_DIMS(2, 3, m, n);
    }
    (void)tn_case_input(build, from->a, a, false);
    (void)tn_case_input(build, from->a, b, false);
    tn_case_output(build, from->y, y);
}

#define NUM_WEIGHTS 6
static void list_encodings(tn_encoding list[NUM_WEIGHTS]) {
    static const uint32_t types[] = {0, 1, 30, TN_GGUF_Q4_0, TN_GGUF_Q4_1, TN_GGUF_Q8_0};
    for (int i = 0; i < NUM_WEIGHTS; i++) (void)tn_encoding_from_gguf(types[i], &list[i]);
}

/* Epilogue lists as they come out of the passes, and each kind alone. */
#define ACT(type) \
    { .kind = TN_EPILOGUE_ACTIVATION, .activation = TN_ACTIVATION_##type }
#define GATE(type) \
    { .kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = TN_ACTIVATION_##type }
#define BIAS \
    { .kind = TN_EPILOGUE_BIAS }
#define ADD \
    { .kind = TN_EPILOGUE_ADD }
#define SCALE \
    { .kind = TN_EPILOGUE_SCALE, .value = 0.375 }
#define SOFT_CAP \
    { .kind = TN_EPILOGUE_SOFT_CAP, .value = 3.0 }
#define Q15 \
    { .kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q15_32 }
#define Q8 \
    { .kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q8_32 }
static const struct {
    const char *name;
    uint32_t count;
    tn_epilogue list[TN_CASE_MAX_EPILOGUES];
} epilogue_lists[] = {
    {"", 0, {{0}}},
    {" bias", 1, {BIAS}},
    {" add", 1, {ADD}},
    {" scale", 1, {SCALE}},
    {" soft_cap", 1, {SOFT_CAP}},
    {" none", 1, {ACT(NONE)}},
    {" relu", 1, {ACT(RELU)}},
    {" sigmoid", 1, {ACT(SIGMOID)}},
    {" tanh", 1, {ACT(TANH)}},
    {" silu", 1, {ACT(SILU)}},
    {" gelu_erf", 1, {ACT(GELU_ERF)}},
    {" gelu_tanh", 1, {ACT(GELU_TANH)}},
    {" gelu_quick", 1, {ACT(GELU_QUICK)}},
    {" gated none", 1, {GATE(NONE)}},
    {" gated relu", 1, {GATE(RELU)}},
    {" gated sigmoid", 1, {GATE(SIGMOID)}},
    {" gated tanh", 1, {GATE(TANH)}},
    {" gated silu", 1, {GATE(SILU)}},
    {" gated gelu_erf", 1, {GATE(GELU_ERF)}},
    {" gated gelu_tanh", 1, {GATE(GELU_TANH)}},
    {" gated gelu_quick", 1, {GATE(GELU_QUICK)}},
    {" bias add", 2, {BIAS, ADD}},
    {" bias gelu_tanh q15", 3, {BIAS, ACT(GELU_TANH), Q15}},
    {" bias silu add", 3, {BIAS, ACT(SILU), ADD}},
    {" gated silu q15", 2, {GATE(SILU), Q15}},
    {" gated silu q8", 2, {GATE(SILU), Q8}},
    {" bias gated silu", 2, {BIAS, GATE(SILU)}},
    {" bias gated silu q15", 3, {BIAS, GATE(SILU), Q15}},
    {" q15", 1, {Q15}},
    {" q8", 1, {Q8}},
};

enum { BIAS_GATED_SILU = 26 };

static bool is_gated(const tn_epilogue *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (list[i].kind == TN_EPILOGUE_GATED_ACTIVATION) return true;
    return false;
}

/* What saturates does not show the size of the sums, whose error it passes on. */
static bool saturates(const tn_epilogue *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (list[i].activation == TN_ACTIVATION_TANH || list[i].activation == TN_ACTIVATION_SIGMOID) return true;
    return false;
}

static void add_linear(tn_case_list *list, tn_dtype a, const tn_encoding *encoding, size_t epilogue, bool is_grouped, int64_t rows,
                       int64_t n, int64_t k) {
    char name[64];
    uint32_t count = epilogue_lists[epilogue].count;
    const tn_epilogue *epilogues = epilogue_lists[epilogue].list;
    if (is_gated(epilogues, count)) n = (n + 31) / 32 * 32;
    tn_case *added = tn_cases_add(list, is_grouped ? TN_OP_GROUPED_MATMUL : TN_OP_MATRIX_MULTIPLY, is_grouped ? make_grouped : make_linear,
                                  "%s x %s %lldx%lldx%lld%s", tn_dtype_name(a), tn_encoding_name(encoding, name), (long long)rows,
                                  (long long)n, (long long)k, epilogue_lists[epilogue].name);
    added->a = a, added->encoding = *encoding, added->rows = rows, added->n = n, added->k = k;
    added->has_windows = !is_grouped;
    added->num_epilogues = count;
    memcpy(added->epilogues, epilogues, sizeof added->epilogues);
    if (is_gated(epilogues, count)) added->rounded_factor = 2.0; /* the product of two rounded sums */
    if (saturates(epilogues, count) || n == 1) added->rounded_factor = 8.0;
    if (n == 1) added->tolerance_factor = 4.0; /* a row of one sum, perhaps a small one, does not show the size of its terms */
    if (count > 0 && epilogues[count - 1].kind == TN_EPILOGUE_QUANTIZE) added->y = epilogues[count - 1].dtype;
}

/* Row counts around those that kernels treat apart, sizes that no tile divides, and k that no vector divides. */
static void add_shapes(tn_case_list *list, tn_dtype activations, const tn_encoding *encoding) {
    static const int64_t shapes[][3] = {{1, 520, 512}, {2, 40, 2080}, {3, 100, 96},  {4, 36, 64},  {6, 7, 160},
                                        {8, 96, 320},  {9, 72, 64},   {17, 130, 96}, {64, 80, 32}, {130, 136, 64}};
    static const int64_t odd_shapes[][3] = {{1, 20, 75}, {3, 33, 7}, {9, 40, 100}, {70, 66, 36}, {18, 5, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        add_linear(list, activations, encoding, 0, false, shapes[s][0], shapes[s][1], shapes[s][2]);
    if (activations != TN_FLOAT32) return;
    for (size_t s = 0; s < sizeof odd_shapes / sizeof odd_shapes[0] && encoding->kind == TN_ENCODING_PLAIN; s++)
        add_linear(list, activations, encoding, 0, false, odd_shapes[s][0], odd_shapes[s][1], odd_shapes[s][2]);
    add_linear(list, activations, encoding, BIAS_GATED_SILU, false, 70, 160, 96);  /* a gate in tiles of many rows */
    if (encoding->kind == TN_ENCODING_PLAIN && encoding->storage == TN_BFLOAT16) { /* few rows, a long k shared by warps */
        add_linear(list, activations, encoding, 0, false, 5, 100, 576);
        add_linear(list, activations, encoding, BIAS_GATED_SILU, false, 8, 96, 1088);
        add_linear(list, activations, encoding, 0, false, 3, 9000, 512);
        list->data[list->count - 1].is_for_accelerators = true;
        /* experts with more rows than a tile, more slices of k than a ring, more parts than a device has multiprocessors */
        static const int64_t grouped[][3] = {{70, 136, 72}, {300, 200, 640}, {720, 1056, 576}, {1000, 2080, 200}};
        for (size_t s = 0; s < sizeof grouped / sizeof grouped[0]; s++) {
            add_linear(list, activations, encoding, s == 2 ? BIAS_GATED_SILU : 0, true, grouped[s][0], grouped[s][1], grouped[s][2]);
            list->data[list->count - 1].option = s % 2 == 1;
            list->data[list->count - 1].is_for_accelerators = true;
        }
    }
    if (encoding->kind == TN_ENCODING_PLAIN) add_linear(list, activations, encoding, 0, true, 22, 24, 20);
    add_linear(list, activations, encoding, 0, true, 2, 64, 64);
    add_linear(list, activations, encoding, 0, false, 2, 20000, 64); /* more rows of the weight than a device has threads */
    list->data[list->count - 1].is_for_accelerators = true;
    add_linear(list, activations, encoding, 0, false, 130, 8500, 32); /* more tiles than a device has multiprocessors */
    list->data[list->count - 1].is_for_accelerators = true;
}

/* Each kind of epilogue behind each, whether or not a pass puts them so: for backends that apply lists of any order. */
static void add_pairs(tn_case_list *list, const tn_encoding *encoding) {
    static const tn_epilogue kinds[] = {BIAS, ADD, SCALE, SOFT_CAP, ACT(SILU), GATE(SILU)};
    enum { NUM_KINDS = sizeof kinds / sizeof kinds[0] };
    for (size_t i = 0; i < NUM_KINDS * NUM_KINDS; i++)
        for (int is_grouped = 0; is_grouped < 2; is_grouped++) {
            const tn_epilogue *first = &kinds[i / NUM_KINDS], *second = &kinds[i % NUM_KINDS];
            if (first->kind == TN_EPILOGUE_GATED_ACTIVATION && second->kind == TN_EPILOGUE_GATED_ACTIVATION) continue;
            add_linear(list, TN_FLOAT32, encoding, 0, is_grouped, is_grouped ? 22 : 70, 64, 64);
            tn_case *added = &list->data[list->count - 1];
            size_t length = strlen(added->name);
            (void)snprintf(added->name + length, sizeof added->name - length, " %s %s", tn_epilogue_kind_name(first->kind),
                           tn_epilogue_kind_name(second->kind));
            added->epilogues[0] = *first, added->epilogues[1] = *second, added->num_epilogues = 2;
            added->rounded_factor = 4.0; /* products of rounded sums */
            added->is_for_accelerators = true;
        }
}

/* Sums alone, as epilogues do not know where sums come from. `unit`: the columns of a shape are multiples of it. */
static void add_sums(tn_case_list *list, tn_dtype activations, const tn_encoding *encoding, int64_t unit) {
    static const int64_t shapes[][3] = {{1, 80, 3}, {2, 40, 1}, {3, 36, 2}, {6, 50, 5}, {9, 130, 1}, {33, 34, 2}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        add_linear(list, activations, encoding, 0, false, shapes[s][0], shapes[s][1], shapes[s][2] * unit);
    if (encoding->kind == TN_ENCODING_AFFINE && encoding->block_rows != 1) return;
    add_linear(list, activations, encoding, 0, true, 22, 32, unit);
    list->data[list->count - 1].option = 1;
    add_linear(list, activations, encoding, 0, true, 22, 24, 5 * unit);
}

/* Encodings that are only read: GGUF's other types, and what Hugging Face checkpoints bring. */
static void add_other_encodings(tn_case_list *list, tn_dtype activations) {
    static const char *const names[] = {"affine_int4_b1x32_sf16",
                                        "affine_int4_b1x128_sbf16",
                                        "affine_uint4_b1x128_sf16_zuint8",
                                        "affine_uint4_b1x64_sf16_zuint8",
                                        "affine_int8_b1x0",
                                        "affine_uint8_b1x128_sf16_zuint8",
                                        "affine_int8_b1x32",
                                        "affine_e4m3fn_b128x128",
                                        "affine_e4m3fn_b1x0_sbf16",
                                        "affine_e4m3fn_b0x0",
                                        "mx_e2m1"};
    tn_encoding encoding;
    for (size_t i = 0; i < tn_gguf_num_block_types(); i++) {
        const tn_gguf_block_type *type = tn_gguf_block_type_at(i);
        if (tn_gguf_encoder_of(type) != NULL || tn_encoding_from_gguf(type->number, &encoding) != TN_OK) continue;
        add_sums(list, activations, &encoding, type->values > 32 ? type->values : 7 * 32);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (tn_encoding_parse(names[i], &encoding)) add_sums(list, activations, &encoding, encoding.block_cols == 0 ? 7 * 32 : 256);
}

void tn_cases_add_matmul(tn_case_list *list) {
    static const tn_dtype activations[] = {TN_FLOAT32, TN_Q15_32, TN_Q8_32};
    tn_encoding encodings[NUM_WEIGHTS];
    list_encodings(encodings);
    for (size_t a = 0; a < 3; a++)
        for (size_t w = 0; w < NUM_WEIGHTS; w++) {
            for (size_t e = 0; e < sizeof epilogue_lists / sizeof epilogue_lists[0]; e++) {
                add_linear(list, activations[a], &encodings[w], e, false, 7, 96, 96);
                add_linear(list, activations[a], &encodings[w], e, true, 22, 64, 64);
            }
            for (int special = 0; special < 2; special++) {
                static const int64_t shapes[][3] = {{1, 16, 32}, {33, 50, 160}, {70, 200, 64}, {2, 1, 96}, {5, 130, 1120}};
                for (size_t s = 0; s < 5; s++) {
                    add_linear(list, activations[a], &encodings[w], 0, false, shapes[s][0], shapes[s][1], shapes[s][2]);
                    list->data[list->count - 1].has_special_values = special != 0;
                }
            }
            add_shapes(list, activations[a], &encodings[w]);
            if (activations[a] == TN_FLOAT32) add_pairs(list, &encodings[w]);
            add_linear(list, activations[a], &encodings[w], 0, true, 22, 64, 64);
            list->data[list->count - 1].option = 1;
            add_linear(list, activations[a], &encodings[w], 1, false, 7, 96, 96);
            list->data[list->count - 1].variant = BIAS_INPUT;
            for (int variant = BIAS_INPUT; variant <= BIAS_BY_EXPERT; variant++) {
                add_linear(list, activations[a], &encodings[w], 1, true, 22, 64, 64);
                list->data[list->count - 1].variant = variant;
            }
        }
    for (size_t a = 0; a < 3; a++) add_other_encodings(list, activations[a]);
    for (int variant = 0; variant < 4; variant++)
        for (int option = 0; option < 4; option++) {
            if ((option == 1 && (variant & 1) != 0) || (option == 2 && (variant & 2) != 0)) continue;
            static const char *const options[] = {"", " vector a", " vector b", " batches"};
            tn_case *added = tn_cases_add(list, TN_OP_MATRIX_MULTIPLY, make_product, "activations %s %s%s", (variant & 1) != 0 ? "aT" : "a",
                                          (variant & 2) != 0 ? "bT" : "b", options[option]);
            added->variant = variant, added->option = option, added->n = 19, added->k = 75;
        }
}
