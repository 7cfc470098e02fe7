/* SPDX-License-Identifier: Apache-2.0
 *
 * tolerance.c: how far a result may stand from ref's. Widening an entry needs a reason in the commit.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"
#include "op/quantized_rows.h"

/* Relative to the largest magnitude of the output's row: a sum's error is that of its terms, not of its result. */
static double numerics_tolerance(tn_numerics numerics) {
    switch (numerics) {
    case TN_NUMERICS_DOUBLE: return 1.2e-7;            /* one rounding, perhaps the other way */
    case TN_NUMERICS_EXACT: return 0.0;                /* no rounding at all */
    case TN_NUMERICS_F32_ASCENDING: return 1e-5;       /* a chain of up to 1,120 float additions of random signs */
    case TN_NUMERICS_Q15_BLOCK32: return 4e-6;         /* block sums are exact; two roundings a block of 32 */
    case TN_NUMERICS_Q8_BLOCK32: return 4e-6;          /* the same */
    case TN_NUMERICS_F32_LANES16: return 4e-6;         /* short chains, polynomials of a few units in the last place */
    case TN_NUMERICS_F32_CHUNKED_SOFTMAX: return 1e-5; /* exponentials times sums of a few hundred */
    case TN_NUMERICS_F32_CUDA: return 1e-5;            /* as above; exponentials and sines of the special function unit */
    case TN_NUMERICS_BF16_CUDA: return 0x1p-7;         /* two operands rounded by up to 2^-9 each, in rows of small magnitude twice that */
    default: return 0.0;
    }
}

/* Relative to the element: a step of the output's own type, as two values on either side of a tie may round apart. */
static double dtype_step(tn_dtype dtype) {
    switch (dtype) {
    case TN_FLOAT16: return 0x1p-10;
    case TN_BFLOAT16: return 0x1p-7;
    case TN_FLOAT8_E4M3FN:
    case TN_FLOAT8_E4M3FNUZ: return 0x1p-3;
    case TN_FLOAT8_E5M2:
    case TN_FLOAT8_E5M2FNUZ: return 0x1p-2;
    default: return 0.0;
    }
}

typedef struct row_reader {
    tn_dtype dtype;
    int64_t columns;
    size_t row_bytes;
} row_reader;

static double read_element(const row_reader *reader, const void *data, int64_t row, int64_t column, double *out_step) {
    const char *at = (const char *)data + (size_t)row * reader->row_bytes;
    *out_step = 0.0;
    if (reader->dtype != TN_Q15_32 && reader->dtype != TN_Q8_32) {
        double value = tn_dtype_load(reader->dtype, at, column);
        *out_step = fabs(value) * dtype_step(reader->dtype);
        return value;
    }
    tn_quantized_row parts = tn_quantized_row_at(reader->dtype, (void *)(uintptr_t)at, reader->columns);
    int32_t q = parts.lo != NULL ? 256 * parts.hi[column] + parts.lo[column] : parts.hi[column];
    double scale = (double)parts.scale[column / TN_QUANTIZED_BLOCK];
    *out_step = fabs(scale); /* a value near a tie goes to either level */
    return scale * (double)q;
}

static bool element_differs(double expected, double got, double tolerance) {
    if (isnan(expected) || isnan(got)) return isnan(expected) != isnan(got);
    if (isinf(expected) || isinf(got)) return expected != got;
    return fabs(expected - got) > tolerance;
}

bool tn_case_differs(const tn_problem *problem, uint32_t output, const int64_t *symbols, tn_numerics numerics, double factor,
                     const void *expected, const void *got, char *message, size_t message_size) {
    const tn_operand *operand = &problem->operands[output];
    row_reader reader = {.dtype = operand->dtype, .columns = tn_operand_columns(operand, symbols)};
    if (!tn_dtype_matrix_bytes(operand->dtype, 1, reader.columns, &reader.row_bytes)) return true;
    int64_t rows = tn_operand_rows(operand, symbols);
    bool is_exact = numerics == TN_NUMERICS_EXACT ||
                    (!tn_dtype_get_info(operand->dtype)->is_float && operand->dtype != TN_Q15_32 && operand->dtype != TN_Q8_32);
    for (int64_t row = 0; row < rows; row++) {
        double largest = 0.0, step;
        size_t offset = (size_t)row * reader.row_bytes;
        if (is_exact && memcmp((const char *)expected + offset, (const char *)got + offset, reader.row_bytes) == 0) continue;
        for (int64_t i = 0; i < reader.columns; i++) {
            double magnitude = fabs(read_element(&reader, expected, row, i, &step));
            if (isfinite(magnitude) && magnitude > largest) largest = magnitude;
        }
        for (int64_t i = 0; i < reader.columns; i++) {
            double want = read_element(&reader, expected, row, i, &step), have = read_element(&reader, got, row, i, &(double){0});
            double tolerance = is_exact ? 0.0 : largest * numerics_tolerance(numerics) * factor + step + 1e-42;
            if (!element_differs(want, have, tolerance) && !(is_exact && want != have)) continue;
            (void)snprintf(message, message_size, "output %u row %lld column %lld is %.9g, ref has %.9g (tolerance %.2g)",
                           output - problem->num_inputs, (long long)row, (long long)i, have, want, tolerance);
            return true;
        }
        unsigned bits = tn_dtype_get_info(operand->dtype)->bits;
        if (is_exact && (bits == 0 || bits >= 8)) { /* below a byte: the row's padding */
            (void)snprintf(message, message_size, "output %u row %lld has other bits than ref's", output - problem->num_inputs,
                           (long long)row);
            return true;
        }
    }
    return false;
}

size_t tn_case_output_bytes(const tn_problem_builder *builder, uint32_t operand) {
    const tn_operand *output = &builder->operands[operand];
    int64_t rows = tn_operand_rows(output, builder->symbols), columns = tn_operand_columns(output, builder->symbols);
    size_t bytes = 0;
    if (output->role == TN_ROLE_STATE || !tn_dtype_matrix_bytes(output->dtype, rows, columns, &bytes)) return 0;
    return bytes;
}
