/* SPDX-License-Identifier: Apache-2.0
 *
 * generator.c: operands with values that depend on the case, the operand and the place alone.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"
#include "base/hash.h"
#include "base/memory.h"
#include "op/quantized_rows.h"
#include "op/testing.h"

tn_case *tn_cases_add(tn_case_list *list, tn_op_kind op, tn_case_function make, const char *format, ...) {
    static tn_case lost; /* written to when there is no memory; tn_cases_make notices */
    if (!tn_array_reserve(NULL, list, 1)) return &lost;
    tn_case *added = &list->data[list->count++];
    *added = (tn_case){.op = op, .make = make, .a = TN_FLOAT32, .y = TN_FLOAT32};
    int length = snprintf(added->name, sizeof added->name, "%s ", tn_op_get_info(op)->name);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(added->name + length, sizeof added->name - (size_t)length, format, arguments);
    va_end(arguments);
    return added;
}

bool tn_cases_make(tn_case_list *list) {
    tn_cases_add_matmul(list);
    tn_cases_add_decoder(list);
    tn_cases_add_tensors(list);
    tn_cases_add_layers(list);
    tn_cases_add_forms(list);
    return list->count > 0;
}

tn_problem_builder *tn_case_begin(tn_case_build *build, tn_op_kind op) {
    int index = build->num_problems++;
    build->problems[index].params = (tn_op_params){0};
    tn_build_begin(&build->problems[index].builder, op, &build->problems[index].params);
    return &build->problems[index].builder;
}

tn_op_params *tn_case_params(tn_case_build *build) {
    return &build->problems[build->num_problems - 1].params;
}

static tn_problem_builder *current(tn_case_build *build) {
    return &build->problems[build->num_problems - 1].builder;
}

uint64_t tn_case_random(const tn_case_build *build, uint32_t stream, int64_t row, int64_t column) {
    static uint64_t seeds[TN_NUM_OP_KINDS]; /* by the kind's name, not its number: other operations in the table change no values */
    const uint64_t place[3] = {stream, (uint64_t)row, (uint64_t)column};
    uint64_t *seed = &seeds[build->from->op];
    const char *name = tn_op_get_info(build->from->op)->name;
    if (*seed == 0) *seed = tn_hash(name, strlen(name), 0);
    return tn_hash(place, sizeof place, *seed);
}

/* Mostly in [−1, 1]; a special case has zeros, denormals and values to ±300 among them. */
float tn_case_float(const tn_case_build *build, uint32_t stream, int64_t row, int64_t column) {
    uint64_t bits = tn_case_random(build, stream, row, column);
    float value = (float)((double)(bits >> 11) * 0x1p-52 - 1.0);
    if (!build->from->has_special_values) return value;
    switch (bits & 31) {
    case 0:
    case 1: return 0.0f;
    case 2: return -0.0f;
    case 3: return value * 1e-40f;
    case 4: return value * 300.0f;
    default: return value;
    }
}

static void *allocate(tn_case_build *build, size_t size_bytes) {
    /* 64 bytes of alignment, and a whole number of lines */
    if (build->shapes_only) return NULL;
    char *block = tn_arena_alloc(build->arena, size_bytes + 128);
    if (block == NULL) return NULL;
    return block + (64 - (uintptr_t)block % 64) % 64;
}

static void fill_rows(tn_case_build *build, tn_dtype dtype, int64_t rows, int64_t columns, int64_t first_row, void *out) {
    size_t row_bytes = 0;
    if (out == NULL || !tn_dtype_matrix_bytes(dtype, 1, columns, &row_bytes)) return;
    float *line = tn_arena_alloc_array(build->arena, (size_t)columns + 1, sizeof *line);
    for (int64_t row = 0; row < rows && line != NULL; row++) {
        char *to = (char *)out + (size_t)row * row_bytes;
        for (int64_t i = 0; i < columns; i++) line[i] = tn_case_float(build, build->num_operands_made, first_row + row, i);
        if (dtype == TN_Q15_32 || dtype == TN_Q8_32)
            tn_quantize_row(dtype, line, columns, to);
        else
            for (int64_t i = 0; i < columns; i++) {
                bool is_integer = tn_dtype_get_info(dtype)->is_integer;
                tn_dtype_store(dtype, to, i, dtype == TN_BOOL ? line[i] > 0.0f : (double)line[i] * (is_integer ? 100.0 : 1.0));
            }
    }
}

static void matrix_of(tn_dims dims, int64_t *out_rows, int64_t *out_columns) {
    *out_rows = 1;
    for (int i = 0; i + 1 < dims.rank; i++) *out_rows *= dims.d[i];
    *out_columns = dims.rank > 0 ? dims.d[dims.rank - 1] : 1;
}

static void *allocate_dims(tn_case_build *build, tn_dtype dtype, tn_dims dims) {
    int64_t rows, columns;
    size_t bytes = 0;
    matrix_of(dims, &rows, &columns);
    return tn_dtype_matrix_bytes(dtype, rows, columns, &bytes) ? allocate(build, bytes) : NULL;
}

void *tn_case_input(tn_case_build *build, tn_dtype dtype, tn_dims dims, bool by_row) {
    int64_t rows, columns;
    matrix_of(dims, &rows, &columns);
    void *data = allocate_dims(build, dtype, dims);
    build->num_operands_made++;
    fill_rows(build, dtype, rows, columns, by_row ? build->first_row : 0, data);
    tn_build_input(current(build), dtype, data, dims);
    return data;
}

void *tn_case_ints(tn_case_build *build, tn_dtype dtype, tn_dims dims, int64_t low, int64_t high) {
    int64_t rows, columns;
    matrix_of(dims, &rows, &columns);
    void *data = allocate_dims(build, dtype, dims);
    build->num_operands_made++;
    for (int64_t i = 0; i < rows * columns && data != NULL; i++) {
        uint64_t bits = tn_case_random(build, build->num_operands_made, i, 0);
        tn_dtype_store(dtype, data, i, (double)(low + (int64_t)(bits % (uint64_t)(high - low + 1))));
    }
    tn_build_input(current(build), dtype, data, dims);
    return data;
}

void tn_case_given(tn_case_build *build, tn_dtype dtype, const void *values, size_t size_bytes, tn_dims dims) {
    void *data = allocate(build, size_bytes);
    if (data != NULL) memcpy(data, values, size_bytes);
    tn_build_input(current(build), dtype, data, dims);
}

void tn_case_weight(tn_case_build *build, const tn_encoding *encoding, tn_dims dims) {
    tn_weight_parts parts = {{NULL}};
    int64_t rows, columns;
    matrix_of(dims, &rows, &columns);
    void *made[TN_NUM_WEIGHT_PARTS] = {NULL};
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = 0;
        if (!tn_encoding_has_part(encoding, (tn_weight_part)part)) continue;
        if (tn_encoding_part_bytes(encoding, (tn_weight_part)part, rows, columns, &bytes)) made[part] = allocate(build, bytes);
        parts.part[part] = made[part];
    }
    float *values = allocate(build, (size_t)(rows * columns) * sizeof *values);
    build->num_operands_made++;
    for (int64_t i = 0; i < rows * columns && values != NULL; i++)
        values[i] = tn_case_float(build, build->num_operands_made, i / columns, i % columns);
    bool is_made = values != NULL && made[TN_PART_DATA] != NULL;
    if (is_made && tn_encoding_encode(encoding, values, rows, columns, made) != TN_OK) /* types that are only read */
        tn_test_fill_weight(encoding, tn_case_random(build, build->num_operands_made, 0, 0), rows, columns, made);
    tn_build_weight(current(build), encoding, &parts, dims);
}

void tn_case_output(tn_case_build *build, tn_dtype dtype, tn_dims dims) {
    tn_build_output(current(build), dtype, allocate_dims(build, dtype, dims), dims);
}

void tn_case_state(tn_case_build *build, bool is_output) {
    tn_build_state(current(build), build->state, is_output);
}
