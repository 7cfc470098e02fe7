/* SPDX-License-Identifier: Apache-2.0
 *
 * quantization_test.c: quantised checkpoints against scripts/golden/quantized.py, and broken ones.
 */
#include "model/quantization.h"
#include "model/sources.h"
#include "model/testing.h"
#include "weights/weights.h"

#define QUANTIZED TN_TEST_DATA "/quantized/"

typedef struct checkpoint {
    tn_json *json;
    tn_quantization quantization;
    tn_safetensors *files;
} checkpoint;

static checkpoint open_golden(const char *name, tn_diag *diag) {
    checkpoint it = {0};
    char path[256];
    snprintf(path, sizeof path, QUANTIZED "%s.json", name);
    assert_int_equal(tn_json_load(path, NULL, NULL, diag, &it.json), TN_OK);
    assert_int_equal(tn_quantization_from_json(tn_json_root(it.json), diag, &it.quantization), TN_OK);
    snprintf(path, sizeof path, QUANTIZED "%s.safetensors", name);
    assert_int_equal(tn_safetensors_open(path, NULL, diag, &it.files), TN_OK);
    return it;
}

static void close_golden(checkpoint *it) {
    tn_json_destroy(it->json);
    tn_safetensors_close(it->files);
}

static void each_form_has_the_values_that_were_packed(void **state) {
    static const char *const names[][2] = {
        {"awq", "affine_uint4_b1x32_sf16_zuint8"},
        {"gptq", "affine_uint4_b1x32_sf16_zuint8"},
        {"gptq_symmetric", "affine_uint4_b1x32_sf16_zuint8"},
        {"gptq_v2", "affine_uint4_b1x32_sf16_zuint8"},
        {"gptq_8", "affine_uint8_b1x32_sf16_zuint8"},
        {"gptq_order", "affine_uint4_b1x32_sf16_zuint8_perm"},
        {"gptq_8_order", "affine_uint8_b1x32_sf16_zuint8_perm"},
        {"packed_int4", "affine_int4_b1x32_sbf16"},
        {"packed_int4_zeros", "affine_uint4_b1x32_sbf16_zuint8"},
        {"packed_int8", "affine_int8_b1x0_sbf16"},
        {"int8", "affine_int8_b1x0_sbf16"},
        {"fp8_rows", "affine_e4m3fn_b1x0_sbf16"},
        {"fp8_whole", "affine_e4m3fn_b0x0"},
        {"fp8_blocks", "affine_e4m3fn_b16x64"},
        {"mxfp4", "mx_e2m1"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum { ROWS = 24, COLUMNS = 128 };
        static float expected[ROWS * COLUMNS], values[ROWS * COLUMNS];
        checkpoint it = open_golden(names[i][0], *state);
        tn_arena arena = {0}, scratch = {0};
        tn_weight_source *source;
        char name[64];
        assert_int_equal(tn_safetensors_source_create(it.files, &it.quantization, NULL, *state, &source), TN_OK);
        const tn_weights *weight = tn_weights_load(&arena, source, "x.weight", *state);
        assert_non_null(weight);
        assert_string_equal(tn_encoding_name(&weight->desc.encoding, name), names[i][1]);
        assert_int_equal(tn_weight_num_rows(&weight->desc), ROWS);
        assert_int_equal(tn_weight_num_columns(&weight->desc), COLUMNS);
        assert_int_equal(tn_safetensors_read(it.files, tn_safetensors_find(it.files, "expected"), 0, expected, sizeof expected, *state),
                         TN_OK);
        weight = tn_weights_decode(&arena, weight, TN_FLOAT32, *state);
        for (int64_t begin = 0, end; begin < ROWS; begin = end) { /* a range that begins within a word of rows, and within a block */
            void *parts[TN_NUM_WEIGHT_PARTS] = {values + begin * COLUMNS};
            end = begin == 0 ? 11 : begin == 11 ? 18 : ROWS;
            assert_int_equal(tn_weights_read_rows(weight, begin, end, parts, &scratch, *state), TN_OK);
            tn_arena_reset(&scratch);
        }
        assert_memory_equal(values, expected, sizeof expected);
        tn_arena_deinit(&arena);
        tn_arena_deinit(&scratch);
        tn_weight_source_destroy(source);
        close_golden(&it);
    }
}

static void refused_config(tn_diag *diag, const char *text, tn_status status, const char *message) {
    tn_json *json;
    tn_quantization quantization;
    assert_int_equal(tn_json_parse("config.json", text, strlen(text), NULL, NULL, diag, &json), TN_OK);
    assert_failed(diag, tn_quantization_from_json(tn_json_root(json), diag, &quantization), status, message);
    tn_json_destroy(json);
}

static void methods_that_are_not_built_are_refused_by_name(void **state) {
    refused_config(*state, "{\"quant_method\": \"bitsandbytes\"}", TN_UNSUPPORTED, "is 'bitsandbytes', a form of quantised weights");
    refused_config(*state, "{\"bits\": 4}", TN_INVALID_DATA, "quant_method");
    refused_config(*state, "{\"quant_method\": \"awq\", \"version\": \"gemv\"}", TN_UNSUPPORTED, "is 'gemv', a form of quantised weights");
    refused_config(*state, "{\"quant_method\": \"awq\", \"bits\": 8}", TN_UNSUPPORTED, "is 8: weights of so many bits are not built");
    refused_config(*state, "{\"quant_method\": \"gptq\", \"bits\": 3}", TN_UNSUPPORTED, "is 3: weights of so many bits are not built");
    refused_config(*state, "{\"quant_method\": \"gptq\", \"bits\": 4, \"checkpoint_format\": \"marlin\"}", TN_UNSUPPORTED, "is 'marlin'");
    refused_config(*state, "{\"quant_method\": \"compressed-tensors\", \"format\": \"marlin-24\"}", TN_UNSUPPORTED, "is 'marlin-24'");
    refused_config(*state, "{\"quant_method\": \"fp8\", \"fmt\": \"e5m2\"}", TN_UNSUPPORTED, "is 'e5m2'");
    refused_config(*state, "{\"quant_method\": \"fp8\", \"weight_block_size\": [128]}", TN_INVALID_DATA, "has 1 sizes, must have two");
}

/* The golden file with one tensor's entry under another name. */
static void refused_without(tn_diag *diag, const char *name, const char *tensor, const char *message) {
    checkpoint it = open_golden(name, diag);
    char path[256], from[64];
    size_t size;
    snprintf(path, sizeof path, QUANTIZED "%s.safetensors", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char bytes[1 << 15];
    size = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    snprintf(from, sizeof from, "\"%s\"", tensor);
    char *at = memmem(bytes, size, from, strlen(from));
    assert_non_null(at);
    at[1] = 'y';
    tn_safetensors *files;
    tn_weight_source *source;
    assert_int_equal(tn_safetensors_open_memory("broken", bytes, size, NULL, diag, &files), TN_OK);
    assert_failed(diag, tn_safetensors_source_create(files, &it.quantization, NULL, diag, &source), TN_INVALID_DATA, message);
    assert_null(source);
    tn_safetensors_close(files);
    close_golden(&it);
}

static void a_weight_whose_tensors_do_not_fit_is_refused_by_name(void **state) {
    refused_without(*state, "awq", "x.qzeros", "tensor 'x.qweight' is no quantised weight: its .qzeros does not fit its .scales");
    refused_without(*state, "gptq", "x.scales", "tensor 'x.qweight' is no quantised weight: its .scales is no matrix of floats");
    refused_without(*state, "packed_int4", "x.weight_scale", "'x.weight_packed' is no quantised weight: its .weight_scale does not fit");
    refused_without(*state, "fp8_rows", "x.weight_scale", "'x.weight' is no quantised weight: its .weight_scale does not fit");
    refused_without(*state, "mxfp4", "x_scales", "'x_blocks' is no quantised weight: its _blocks and _scales do not fit each other");
}

static void columns_in_groups_of_unequal_sizes_are_refused(void **state) {
    checkpoint it = open_golden("gptq_order", *state);
    static char bytes[1 << 15];
    FILE *file = fopen(QUANTIZED "gptq_order.safetensors", "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    const tn_safetensors_tensor *order = tn_safetensors_find(it.files, "x.g_idx");
    int32_t group;
    memcpy(&group, bytes + order->offset, sizeof group);
    group = (group + 1) % 4;
    memcpy(bytes + order->offset, &group, sizeof group);
    tn_safetensors *files;
    tn_weight_source *source;
    assert_int_equal(tn_safetensors_open_memory("broken", bytes, size, NULL, *state, &files), TN_OK);
    assert_failed(*state, tn_safetensors_source_create(files, &it.quantization, NULL, *state, &source), TN_INVALID_DATA,
                  "tensor 'x.qweight' is no quantised weight: its g_idx has groups of unequal sizes");
    tn_safetensors_close(files);
    close_golden(&it);
}

static void packed_tensors_without_a_configuration_are_refused_by_name(void **state) {
    checkpoint it = open_golden("gptq", *state);
    tn_weight_source *source;
    assert_failed(*state, tn_safetensors_source_create(it.files, &(tn_quantization){0}, NULL, *state, &source), TN_UNSUPPORTED,
                  "tensor 'x.qweight' is int32");
    close_golden(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_form_has_the_values_that_were_packed),
        TEST(methods_that_are_not_built_are_refused_by_name),
        TEST(a_weight_whose_tensors_do_not_fit_is_refused_by_name),
        TEST(columns_in_groups_of_unequal_sizes_are_refused),
        TEST(packed_tensors_without_a_configuration_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
