/* SPDX-License-Identifier: Apache-2.0
 *
 * weights_test.c: every recipe operation against direct computation, in all row ranges; packing; bad arguments; no memory.
 */
#include <math.h>
#include <stdlib.h>

#include "support/fault_allocator.h"
#include "weights/testing.h"

static tn_encoding q4_1(void) {
    tn_encoding encoding;
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q4_1, &encoding), TN_OK);
    return encoding;
}

static tn_encoding affine(int64_t block_rows, int64_t block_cols) {
    return (tn_encoding){.kind = TN_ENCODING_AFFINE,
                         .storage = TN_INT4,
                         .scale_dtype = TN_FLOAT32,
                         .zero_dtype = TN_INT8,
                         .bits = 4,
                         .block_rows = block_rows,
                         .block_cols = block_cols,
                         .has_zero = true};
}

typedef struct fixture {
    tn_arena arena;
    tn_weight_source *source;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    tn_arena *arena = &f->arena;
    tn_memory_tensor tensors[] = {
        make_tensor(arena, "f32", tn_encoding_plain(TN_FLOAT32), TN_DIMS(8, 64), 1),
        make_tensor(arena, "f32b", tn_encoding_plain(TN_FLOAT32), TN_DIMS(8, 64), 2),
        make_tensor(arena, "bf16", tn_encoding_plain(TN_BFLOAT16), TN_DIMS(8, 64), 3),
        make_tensor(arena, "q4_1", q4_1(), TN_DIMS(8, 64), 4),
        make_tensor(arena, "q4_1b", q4_1(), TN_DIMS(8, 64), 5),
        make_tensor(arena, "affine", affine(2, 32), TN_DIMS(8, 64), 6),
        make_tensor(arena, "affine_b", affine(2, 32), TN_DIMS(8, 64), 7),
        make_tensor(arena, "affine_rows", affine(1, 0), TN_DIMS(8, 64), 8),
        make_tensor(arena, "affine_whole", affine(0, 0), TN_DIMS(8, 64), 9),
        make_tensor(arena, "vector", tn_encoding_plain(TN_FLOAT32), TN_DIMS(64), 10),
        make_tensor(arena, "vector_b", tn_encoding_plain(TN_FLOAT32), TN_DIMS(64), 11),
        make_tensor(arena, "column", tn_encoding_plain(TN_FLOAT32), TN_DIMS(8, 1), 12),
        make_tensor(arena, "scalar", tn_encoding_plain(TN_FLOAT32), TN_DIMS(1), 13),
        make_tensor(arena, "experts", q4_1(), TN_DIMS(3, 4, 64), 14),
        make_tensor(arena, "experts_b", q4_1(), TN_DIMS(3, 4, 64), 15),
        make_tensor(arena, "int4", tn_encoding_plain(TN_INT4), TN_DIMS(8, 64), 16),
        make_tensor(arena, "empty", tn_encoding_plain(TN_FLOAT32), TN_DIMS(0, 64), 17),
        make_tensor(arena, "tall", tn_encoding_plain(TN_FLOAT32), TN_DIMS(700, 200), 18),
    };
    *state = f;
    return tn_memory_source_create(tensors, sizeof tensors / sizeof tensors[0], NULL, NULL, &f->source) == TN_OK ? 0 : -1;
}

static int teardown(void **state) {
    fixture *f = *state;
    tn_weight_source_destroy(f->source);
    tn_arena_deinit(&f->arena);
    free(f);
    return 0;
}

static const tn_weights *load(fixture *f, const char *name) {
    const tn_weights *weights = tn_weights_load(&f->arena, f->source, name, NULL);
    assert_non_null(weights);
    return weights;
}

static float *all_floats(fixture *f, const tn_weights *x) {
    return read_floats(x, 0, tn_weight_num_rows(&x->desc), &f->arena);
}

/* Reads every range of rows that starts at a multiple of `multiple` and compares it with expected [rows, columns]. */
static void check(fixture *f, const tn_weights *x, const float *expected, int64_t multiple) {
    assert_non_null(x);
    int64_t rows = tn_weight_num_rows(&x->desc), columns = tn_weight_num_columns(&x->desc);
    for (int64_t begin = 0; begin < rows; begin += multiple)
        for (int64_t end = begin + 1; end <= rows; end++)
            assert_memory_equal(read_floats(x, begin, end, &f->arena), expected + begin * columns,
                                (size_t)((end - begin) * columns) * sizeof(float));
}

static void a_load_reads_what_the_source_holds(void **state) {
    fixture *f = *state;
    static const char *const names[] = {"f32", "bf16", "q4_1", "affine_rows", "affine_whole", "experts", "int4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) check(f, load(f, names[i]), all_floats(f, load(f, names[i])), 1);
    check(f, load(f, "affine"), all_floats(f, load(f, "affine")), 2);
}

static void slicing_rows_and_columns_takes_those_values(void **state) {
    fixture *f = *state;
    static const char *const names[] = {"f32", "bf16", "q4_1", "affine", "affine_rows", "affine_whole", "int4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const tn_weights *x = load(f, names[i]);
        int64_t multiple = strcmp(names[i], "affine") == 0 ? 2 : 1;
        float *whole = all_floats(f, x), right[8 * 32];
        check(f, tn_weights_slice(&f->arena, x, 0, 2, 7, NULL), whole + 2 * 64, multiple);
        for (int row = 0; row < 8; row++) memcpy(right + row * 32, whole + row * 64 + 32, sizeof right / 8);
        check(f, tn_weights_slice(&f->arena, x, -1, 32, 64, NULL), right, multiple);
    }
    float *experts = all_floats(f, load(f, "experts"));
    check(f, tn_weights_slice(&f->arena, load(f, "experts"), 0, 1, 3, NULL), experts + 4 * 64, 1);
    check(f, tn_weights_slice(&f->arena, load(f, "vector"), 0, 5, 9, NULL), all_floats(f, load(f, "vector")) + 5, 1);
    const tn_weights *x = load(f, "f32");
    assert_ptr_equal(tn_weights_slice(&f->arena, x, 0, 0, 8, NULL), x);
}

static void concat_puts_rows_or_columns_side_by_side(void **state) {
    fixture *f = *state;
    static const char *const pairs[][2] = {{"f32", "f32b"}, {"q4_1", "q4_1b"}, {"affine", "affine_b"}};
    for (size_t i = 0; i < 3; i++) {
        const tn_weights *inputs[3] = {load(f, pairs[i][0]), load(f, pairs[i][1]), NULL};
        inputs[2] = tn_weights_slice(&f->arena, inputs[0], 0, 4, 6, NULL);
        float *a = all_floats(f, inputs[0]), *b = all_floats(f, inputs[1]), rows[18 * 64], columns[8 * 128];
        memcpy(rows, a, 8 * 64 * sizeof *a);
        memcpy(rows + 8 * 64, b, 8 * 64 * sizeof *a);
        memcpy(rows + 16 * 64, a + 4 * 64, 2 * 64 * sizeof *a);
        check(f, tn_weights_concat(&f->arena, inputs, 3, 0, NULL), rows, i == 2 ? 2 : 1);
        for (int row = 0; row < 8; row++) {
            memcpy(columns + row * 128, a + row * 64, 64 * sizeof *a);
            memcpy(columns + row * 128 + 64, b + row * 64, 64 * sizeof *a);
        }
        check(f, tn_weights_concat(&f->arena, inputs, 2, -1, NULL), columns, i == 2 ? 2 : 1);
    }
}

static void concat_of_vectors_is_a_longer_vector(void **state) {
    fixture *f = *state;
    const tn_weights *inputs[2] = {load(f, "vector"), load(f, "vector_b")};
    const tn_weights *joined = tn_weights_concat(&f->arena, inputs, 2, 0, NULL);
    float expected[128];
    memcpy(expected, all_floats(f, inputs[0]), 64 * sizeof *expected);
    memcpy(expected + 64, all_floats(f, inputs[1]), 64 * sizeof *expected);
    check(f, joined, expected, 1);
    assert_int_equal(joined->desc.dims.rank, 1);
}

static void stack_makes_a_new_first_axis(void **state) {
    fixture *f = *state;
    const tn_weights *inputs[2] = {load(f, "q4_1"), load(f, "q4_1b")};
    const tn_weights *stacked = tn_weights_stack(&f->arena, inputs, 2, NULL);
    float expected[2 * 8 * 64];
    memcpy(expected, all_floats(f, inputs[0]), sizeof expected / 2);
    memcpy(expected + 8 * 64, all_floats(f, inputs[1]), sizeof expected / 2);
    check(f, stacked, expected, 1);
    assert_int_equal(stacked->desc.dims.rank, 3);
    assert_int_equal(stacked->desc.dims.d[0], 2);
}

static void reshape_keeps_the_order_of_elements(void **state) {
    fixture *f = *state;
    const tn_weights *x = load(f, "bf16"), *q = load(f, "q4_1");
    check(f, tn_weights_reshape(&f->arena, x, TN_DIMS(16, 32), NULL), all_floats(f, x), 1);
    check(f, tn_weights_reshape(&f->arena, x, TN_DIMS(4, 128), NULL), all_floats(f, x), 1);
    check(f, tn_weights_reshape(&f->arena, x, TN_DIMS(512), NULL), all_floats(f, x), 1);
    check(f, tn_weights_reshape(&f->arena, q, TN_DIMS(2, 4, 64), NULL), all_floats(f, q), 1);
    assert_null(tn_weights_reshape(&f->arena, q, TN_DIMS(16, 32), NULL));
    assert_null(tn_weights_reshape(&f->arena, x, TN_DIMS(8, 63), NULL));
}

static void transpose_exchanges_rows_and_columns(void **state) {
    fixture *f = *state;
    static const char *const names[] = {"f32", "bf16"};
    for (int i = 0; i < 2; i++) {
        const tn_weights *x = load(f, names[i]);
        float *values = all_floats(f, x), expected[64 * 8];
        for (int r = 0; r < 8; r++)
            for (int c = 0; c < 64; c++) expected[c * 8 + r] = values[r * 64 + c];
        const tn_weights *t = tn_weights_transpose(&f->arena, x, NULL);
        assert_memory_equal(all_floats(f, t), expected, sizeof expected);
        assert_memory_equal(read_floats(t, 13, 40, &f->arena), expected + 13 * 8, 27 * 8 * sizeof *expected);
    }
    const tn_weights *tall = load(f, "tall"), *t = tn_weights_transpose(&f->arena, tall, NULL);
    float *values = all_floats(f, tall), *turned = all_floats(f, t);
    for (int r = 0; r < 700; r++)
        for (int c = 0; c < 200; c++) assert_true(turned[c * 700 + r] == values[r * 200 + c]);
    assert_null(tn_weights_transpose(&f->arena, load(f, "q4_1"), NULL));
    assert_null(tn_weights_transpose(&f->arena, load(f, "int4"), NULL));
}

static void interleave_alternates_strips_of_rows(void **state) {
    fixture *f = *state;
    const tn_weights *a = load(f, "q4_1"), *b = load(f, "q4_1b");
    float *va = all_floats(f, a), *vb = all_floats(f, b), expected[16 * 64];
    for (int strip = 0; strip < 8; strip++)
        memcpy(expected + strip * 2 * 64, (strip % 2 ? vb : va) + strip / 2 * 2 * 64, 2 * 64 * sizeof *expected);
    check(f, tn_weights_interleave(&f->arena, a, b, 2, NULL), expected, 1);
    assert_null(tn_weights_interleave(&f->arena, a, b, 3, NULL));

    const tn_weights *ea = load(f, "experts"), *eb = load(f, "experts_b");
    va = all_floats(f, ea), vb = all_floats(f, eb);
    float each[3 * 8 * 64];
    for (int e = 0; e < 3; e++)
        for (int strip = 0; strip < 4; strip++)
            memcpy(each + (e * 8 + strip * 2) * 64, (strip % 2 ? vb : va) + (e * 4 + strip / 2 * 2) * 64, 2 * 64 * sizeof *each);
    check(f, tn_weights_interleave(&f->arena, ea, eb, 2, NULL), each, 1);

    va = all_floats(f, load(f, "vector")), vb = all_floats(f, load(f, "vector_b"));
    float vector[128];
    for (int strip = 0; strip < 8; strip++) memcpy(vector + strip * 16, (strip % 2 ? vb : va) + strip / 2 * 16, 16 * sizeof *vector);
    const tn_weights *bias = tn_weights_interleave(&f->arena, load(f, "vector"), load(f, "vector_b"), 16, NULL);
    check(f, bias, vector, 1);
    assert_int_equal(bias->desc.dims.rank, 1);
}

static void permute_rows_follows_the_table(void **state) {
    fixture *f = *state;
    static const int64_t table[8] = {3, 1, 2, 7, 0, 4, 5, 6};
    const tn_weights *x = load(f, "affine_rows");
    float *values = all_floats(f, x), expected[8 * 64];
    for (int row = 0; row < 8; row++) memcpy(expected + row * 64, values + table[row] * 64, 64 * sizeof *expected);
    check(f, tn_weights_permute_rows(&f->arena, x, table, NULL), expected, 1);
    assert_null(tn_weights_permute_rows(&f->arena, load(f, "affine"), table, NULL));
    assert_null(tn_weights_permute_rows(&f->arena, x, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 8}, NULL));
    int64_t reversed[64];
    for (int i = 0; i < 64; i++) reversed[i] = 63 - i;
    float *vector = all_floats(f, load(f, "vector")), turned[64];
    for (int i = 0; i < 64; i++) turned[i] = vector[63 - i];
    check(f, tn_weights_permute_rows(&f->arena, load(f, "vector"), reversed, NULL), turned, 1);
}

static void decode_and_encode_change_the_form_and_round_once(void **state) {
    fixture *f = *state;
    const tn_weights *q = load(f, "q4_1"), *blocks = load(f, "affine");
    const tn_weights *decoded = tn_weights_decode(&f->arena, q, TN_FLOAT32, NULL);
    check(f, decoded, all_floats(f, q), 1);
    check(f, tn_weights_decode(&f->arena, blocks, TN_FLOAT32, NULL), all_floats(f, blocks), 1); /* ranges inside a block of rows */
    assert_ptr_equal(tn_weights_decode(&f->arena, decoded, TN_FLOAT32, NULL), decoded);
    float *values = all_floats(f, q);
    for (int i = 0; i < 8 * 64; i++) values[i] = tn_f32_from_bf16(tn_bf16_from_f32(values[i]));
    check(f, tn_weights_decode(&f->arena, q, TN_BFLOAT16, NULL), values, 1);

    tn_encoding encoding = q4_1();
    const tn_weights *x = load(f, "f32"), *encoded = tn_weights_encode(&f->arena, x, &encoding, NULL);
    uint8_t bytes[8 * 2 * 20];
    void *parts[TN_NUM_WEIGHT_PARTS] = {bytes};
    assert_int_equal(tn_encoding_encode(&encoding, all_floats(f, x), 8, 64, parts), TN_OK);
    float expected[8 * 64];
    tn_encoding_decode(&encoding, &(tn_weight_parts){.part = {bytes}}, 8, 64, expected);
    check(f, encoded, expected, 1);
    assert_null(tn_weights_encode(&f->arena, q, &blocks->desc.encoding, NULL));
    assert_null(tn_weights_encode(&f->arena, x, &blocks->desc.encoding, NULL));
}

static void mul_and_add_take_a_scalar_a_row_or_a_column(void **state) {
    fixture *f = *state;
    static const char *const small[] = {"scalar", "vector", "column"};
    const tn_weights *x = load(f, "f32");
    float *values = all_floats(f, x);
    for (int i = 0; i < 3; i++) {
        const tn_weights *by = load(f, small[i]);
        float *operand = all_floats(f, by), product[8 * 64], sum[8 * 64];
        for (int row = 0; row < 8; row++)
            for (int c = 0; c < 64; c++) {
                float other = operand[i == 0 ? 0 : i == 1 ? c : row];
                product[row * 64 + c] = values[row * 64 + c] * other;
                sum[row * 64 + c] = values[row * 64 + c] + other;
            }
        check(f, tn_weights_mul(&f->arena, x, by, NULL), product, 1);
        check(f, tn_weights_add(&f->arena, x, by, NULL), sum, 1);
    }
    assert_null(tn_weights_mul(&f->arena, x, load(f, "f32b"), NULL));
    assert_null(tn_weights_mul(&f->arena, load(f, "q4_1"), load(f, "scalar"), NULL));
}

/* "affine_rows" with its columns stored backwards, and an order that is none. */
static const tn_weights *backwards(fixture *f, bool is_permutation, const char *name) {
    const tn_weights *x = load(f, "affine_rows");
    tn_memory_tensor tensor = make_tensor(&f->arena, name, affine(1, 0), TN_DIMS(8, 64), 8);
    int32_t *perm = tn_arena_alloc_array(&f->arena, 64, sizeof *perm);
    for (int32_t c = 0; c < 64; c++) perm[c] = is_permutation ? 63 - c : c / 2;
    tn_weight_desc desc = x->desc;
    desc.encoding.has_perm = true;
    tensor.parts.part[TN_PART_PERM] = perm;
    return tn_weights_value(&f->arena, &desc, &tensor.parts, name, NULL);
}

static void stored_columns_gathered_by_their_order_are_the_weight(void **state) {
    fixture *f = *state;
    const tn_weights *x = backwards(f, true, "x"), *order = tn_weights_column_order(&f->arena, x, NULL);
    float *stored = all_floats(f, load(f, "affine_rows")), values[8 * 64], columns[64];
    for (int i = 0; i < 8 * 64; i++) values[i] = stored[i / 64 * 64 + 63 - i % 64];
    for (int i = 0; i < 64; i++) columns[i] = (float)(63 - i);
    check(f, x, values, 1);
    check(f, tn_weights_as_stored(&f->arena, x, order, NULL), stored, 1);
    check(f, order, columns, 1);
    x = tn_weights_slice(&f->arena, x, 0, 3, 7, NULL);
    check(f, tn_weights_as_stored(&f->arena, x, order, NULL), stored + 3 * 64, 1);
}

static void another_order_than_that_of_the_weight_is_refused_when_it_is_read(void **state) {
    fixture *f = *state;
    const tn_weights *x = backwards(f, true, "x"), *none = backwards(f, false, "none");
    const tn_weights *order = tn_weights_column_order(&f->arena, none, NULL);
    static uint8_t data[8 * 64], scales[8 * 64], zeros[8];
    void *parts[TN_NUM_WEIGHT_PARTS] = {data, scales, zeros};
    tn_arena scratch = {0};
    assert_int_equal(tn_weights_read_rows(order, 0, 1, parts, &scratch, NULL), TN_INVALID_DATA);
    order = tn_weights_column_order(&f->arena, x, NULL);
    assert_int_equal(tn_weights_read_rows(tn_weights_as_stored(&f->arena, none, order, NULL), 0, 8, parts, &scratch, NULL),
                     TN_INVALID_DATA);
    assert_null(tn_weights_column_order(&f->arena, load(f, "affine_rows"), NULL));
    assert_null(tn_weights_as_stored(&f->arena, load(f, "affine_rows"), order, NULL));
    assert_null(tn_weights_as_stored(&f->arena, x, load(f, "vector"), NULL));
    tn_arena_deinit(&scratch);
}

static void inverse_norms_are_of_rows_in_any_encoding(void **state) {
    fixture *f = *state;
    static const char *const names[] = {"f32", "q4_1"};
    for (int i = 0; i < 2; i++) {
        const tn_weights *x = load(f, names[i]);
        float *values = all_floats(f, x), expected[8];
        for (int row = 0; row < 8; row++) {
            double sum = 0.0;
            for (int c = 0; c < 64; c++) sum += (double)values[row * 64 + c] * (double)values[row * 64 + c];
            expected[row] = (float)(1.0 / sqrt(sum));
        }
        check(f, tn_weights_inverse_norms(&f->arena, x, NULL), expected, 1);
    }
    const tn_weights *zeros = tn_weights_floats(&f->arena, (float[]){0.0f, 0.0f}, TN_DIMS(1, 2), NULL);
    check(f, tn_weights_inverse_norms(&f->arena, zeros, NULL), (float[]){1e12f}, 1);
    assert_null(tn_weights_inverse_norms(&f->arena, load(f, "scalar"), NULL));
}

static void impossible_arguments_are_refused(void **state) {
    fixture *f = *state;
    tn_arena *a = &f->arena;
    const tn_weights *q = load(f, "q4_1"), *x = load(f, "f32");
    assert_null(tn_weights_load(a, f->source, "absent", NULL));
    assert_null(tn_weights_slice(a, q, 0, 5, 9, NULL));
    assert_null(tn_weights_slice(a, q, 0, -1, 2, NULL));
    assert_null(tn_weights_slice(a, q, 0, 3, 2, NULL));
    assert_null(tn_weights_slice(a, q, -1, 16, 64, NULL));
    assert_null(tn_weights_slice(a, load(f, "affine"), 0, 1, 4, NULL));
    assert_null(tn_weights_slice(a, load(f, "int4"), -1, 1, 4, NULL));
    assert_null(tn_weights_concat(a, (const tn_weights *[]){q, x}, 2, 0, NULL));
    assert_null(tn_weights_concat(a, (const tn_weights *[]){load(f, "affine_whole"), load(f, "affine_whole")}, 2, 0, NULL));
    assert_null(tn_weights_concat(a, (const tn_weights *[]){load(f, "affine_rows"), load(f, "affine_rows")}, 2, -1, NULL));
    assert_null(tn_weights_concat(a, (const tn_weights *[]){q, NULL}, 2, 0, NULL));
    assert_null(tn_weights_stack(a, (const tn_weights *[]){q, tn_weights_slice(a, q, 0, 0, 4, NULL)}, 2, NULL));
    assert_null(tn_weights_transpose(a, NULL, NULL));
    tn_weight_desc huge = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(INT64_MAX / 2, 8)};
    assert_null(tn_weights_declare(a, NULL, "huge", &huge, NULL));
    huge.dims = TN_DIMS(-1, 8);
    assert_null(tn_weights_declare(a, NULL, "negative", &huge, NULL));
    huge.encoding = q4_1();
    huge.dims = TN_DIMS(2, 33);
    assert_null(tn_weights_declare(a, NULL, "no whole block", &huge, NULL));
}

static void a_load_without_a_source_says_which_weight_is_missing(void **state) {
    fixture *f = *state;
    const tn_weights *x = tn_weights_declare(&f->arena, NULL, "late.weight", &load(f, "f32")->desc, NULL);
    float row[64];
    void *parts[TN_NUM_WEIGHT_PARTS] = {row};
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_weights_read_rows(x, 0, 1, parts, &f->arena, diag), TN_NOT_FOUND);
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.subject, "late.weight");
    tn_diag_destroy(diag);
}

static void equal_recipes_are_one_weight(void **state) {
    fixture *f = *state;
    const tn_weights *pair[2] = {load(f, "q4_1"), load(f, "q4_1b")}, *again[2] = {load(f, "q4_1"), load(f, "q4_1b")};
    const tn_weights *a = tn_weights_concat(&f->arena, pair, 2, 0, NULL), *b = tn_weights_concat(&f->arena, again, 2, 0, NULL);
    assert_ptr_not_equal(a, b);
    assert_true(tn_weights_equal(a, b));
    assert_true(tn_weights_hash(a) == tn_weights_hash(b));
    const tn_weights *swapped = tn_weights_concat(&f->arena, (const tn_weights *[]){pair[1], pair[0]}, 2, 0, NULL);
    assert_false(tn_weights_equal(a, swapped));
    const tn_weights *one = tn_weights_floats(&f->arena, (float[]){1, 2}, TN_DIMS(2), NULL);
    const tn_weights *same = tn_weights_floats(&f->arena, (float[]){1, 2}, TN_DIMS(2), NULL);
    const tn_weights *other = tn_weights_floats(&f->arena, (float[]){1, 3}, TN_DIMS(2), NULL);
    assert_true(tn_weights_equal(one, same));
    assert_true(tn_weights_hash(one) == tn_weights_hash(same));
    assert_false(tn_weights_equal(one, other));
    assert_false(tn_weights_equal(one, tn_weights_value(&f->arena, &one->desc, &one->value, "named", NULL)));
    int64_t table[8] = {0, 1, 2, 3, 4, 5, 7, 6}, table2[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    assert_false(tn_weights_equal(tn_weights_permute_rows(&f->arena, pair[0], table, NULL),
                                  tn_weights_permute_rows(&f->arena, pair[0], table2, NULL)));
}

/* A layout for tests: strips of 4 rows, each element's bytes complemented. */
static bool strip_accepts(const tn_weight_desc *desc) {
    return desc->encoding.kind == TN_ENCODING_PLAIN && desc->encoding.storage == TN_FLOAT32;
}
static tn_status strip_size(const tn_weight_desc *desc, size_t *out_bytes) {
    *out_bytes = (size_t)((tn_weight_num_rows(desc) + 3) / 4 * 4 * tn_weight_num_columns(desc)) * 4;
    return TN_OK;
}
static tn_status strip_pack(const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) {
    int64_t columns = tn_weight_num_columns(desc);
    assert_int_equal(begin % 4, 0);
    for (int64_t row = begin; row < end; row++)
        for (int64_t c = 0; c < columns; c++)
            ((float *)dst)[(row / 4 * columns + c) * 4 + row % 4] = -((const float *)src->part[0])[(row - begin) * columns + c];
    return TN_OK;
}
static const tn_layout strip4 = {
    .name = "strip4", .version = 1, .row_multiple = 4, .accepts = strip_accepts, .size = strip_size, .pack_rows = strip_pack};

static void packing_in_ranges_gives_the_layouts_bytes(void **state) {
    fixture *f = *state;
    const tn_weights *x = load(f, "tall");
    size_t size;
    assert_int_equal(tn_weights_packed_bytes(&x->desc, &strip4, &size), TN_OK);
    float *packed = tn_arena_alloc(&f->arena, size), *values = all_floats(f, x);
    tn_arena scratch = {0};
    assert_int_equal(tn_weights_pack_step(x, &strip4), 4);
    assert_int_equal(tn_weights_pack_range(x, &strip4, 400, 700, packed, &scratch, NULL), TN_OK);
    assert_int_equal(tn_weights_pack_range(x, &strip4, 0, 400, packed, &scratch, NULL), TN_OK);
    assert_int_equal(tn_weights_pack_range(x, &strip4, 2, 400, packed, &scratch, NULL), TN_INVALID_ARGUMENT);
    for (int row = 0; row < 700; row++)
        for (int c = 0; c < 200; c++) assert_true(packed[(row / 4 * 200 + c) * 4 + row % 4] == -values[row * 200 + c]);
    assert_true(scratch.used_bytes == 0);
    tn_arena_deinit(&scratch);
}

static void the_plain_form_has_every_part_at_its_offset(void **state) {
    fixture *f = *state;
    static const char *const names[] = {"affine", "q4_1", "bf16", "int4", "empty", "affine_whole", "experts"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const tn_weights *x = load(f, names[i]);
        int64_t rows = tn_weight_num_rows(&x->desc), step = tn_weights_pack_step(x, NULL), half = rows / 2 / step * step;
        size_t size;
        assert_int_equal(tn_weights_packed_bytes(&x->desc, NULL, &size), TN_OK);
        assert_int_equal(size % 64, 0);
        uint8_t *packed = tn_arena_alloc(&f->arena, size + 1);
        memset(packed, 0xee, size + 1);
        tn_arena scratch = {0};
        assert_int_equal(tn_weights_pack_range(x, NULL, half, rows, packed, &scratch, NULL), TN_OK);
        assert_int_equal(tn_weights_pack_range(x, NULL, 0, half, packed, &scratch, NULL), TN_OK);
        assert_int_equal(packed[size], 0xee);
        tn_weight_parts parts = {{NULL}};
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
            parts.part[part] = packed + tn_weights_plain_offset(&x->desc, (tn_weight_part)part);
        float *values = tn_arena_alloc(&f->arena, (size_t)(rows * 64) * sizeof *values);
        tn_encoding_decode(&x->desc.encoding, &parts, rows, 64, values);
        assert_memory_equal(values, all_floats(f, x), (size_t)(rows * 64) * sizeof *values);
        tn_arena_deinit(&scratch);
    }
}

static void a_source_refuses_a_name_given_twice(void **state) {
    fixture *f = *state;
    tn_memory_tensor tensor = make_tensor(&f->arena, "a", tn_encoding_plain(TN_FLOAT32), TN_DIMS(2), 1);
    tn_memory_tensor twice[2] = {tensor, tensor};
    tn_weight_source *source;
    assert_int_equal(tn_memory_source_create(twice, 2, NULL, NULL, &source), TN_INVALID_ARGUMENT);
    assert_null(source);
}

/* A recipe through most operations, read in two ranges. */
static tn_status build_and_read(fixture *f, const tn_allocator *allocator) {
    tn_arena arena = {.allocator = allocator}, scratch = {.allocator = allocator};
    tn_diag *diag = NULL;
    tn_status status = tn_diag_create(NULL, &diag);
    const tn_weights *pair[2] = {tn_weights_load(&arena, f->source, "q4_1", diag), tn_weights_load(&arena, f->source, "q4_1b", diag)};
    const tn_weights *x = tn_weights_concat(&arena, pair, 2, 0, diag);
    x = tn_weights_decode(&arena, x, TN_FLOAT32, diag);
    x = tn_weights_mul(&arena, x, tn_weights_floats(&arena, (float[]){2.0f}, TN_DIMS(1), diag), diag);
    x = tn_weights_transpose(&arena, x, diag);
    float out[64 * 16];
    if (x == NULL)
        status = arena.out_of_memory ? TN_OUT_OF_MEMORY : TN_INTERNAL;
    else
        status = tn_weights_pack_range(x, NULL, 0, 64, out, &scratch, diag);
    tn_diag_destroy(diag);
    tn_arena_deinit(&scratch);
    tn_arena_deinit(&arena);
    return status;
}

static void each_failing_allocation_is_out_of_memory_and_leaks_nothing(void **state) {
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_status status = build_and_read(*state, &fault.allocator);
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
        cmocka_unit_test(a_load_reads_what_the_source_holds),
        cmocka_unit_test(slicing_rows_and_columns_takes_those_values),
        cmocka_unit_test(concat_puts_rows_or_columns_side_by_side),
        cmocka_unit_test(concat_of_vectors_is_a_longer_vector),
        cmocka_unit_test(stack_makes_a_new_first_axis),
        cmocka_unit_test(reshape_keeps_the_order_of_elements),
        cmocka_unit_test(transpose_exchanges_rows_and_columns),
        cmocka_unit_test(interleave_alternates_strips_of_rows),
        cmocka_unit_test(permute_rows_follows_the_table),
        cmocka_unit_test(decode_and_encode_change_the_form_and_round_once),
        cmocka_unit_test(mul_and_add_take_a_scalar_a_row_or_a_column),
        cmocka_unit_test(stored_columns_gathered_by_their_order_are_the_weight),
        cmocka_unit_test(another_order_than_that_of_the_weight_is_refused_when_it_is_read),
        cmocka_unit_test(inverse_norms_are_of_rows_in_any_encoding),
        cmocka_unit_test(impossible_arguments_are_refused),
        cmocka_unit_test(a_load_without_a_source_says_which_weight_is_missing),
        cmocka_unit_test(equal_recipes_are_one_weight),
        cmocka_unit_test(packing_in_ranges_gives_the_layouts_bytes),
        cmocka_unit_test(the_plain_form_has_every_part_at_its_offset),
        cmocka_unit_test(a_source_refuses_a_name_given_twice),
        cmocka_unit_test(each_failing_allocation_is_out_of_memory_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
