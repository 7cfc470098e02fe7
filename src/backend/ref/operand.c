/* SPDX-License-Identifier: Apache-2.0
 *
 * operand.c: views of operands and access to their elements.
 */
#include <math.h>

#include "backend/ref/ref.h"
#include "op/quantized_rows.h"

static bool is_encoded(const tn_operand *operand) {
    return operand->role == TN_ROLE_WEIGHT && operand->encoding.kind != TN_ENCODING_PLAIN;
}

static bool is_quantized(tn_dtype dtype) {
    return dtype == TN_Q15_32 || dtype == TN_Q8_32;
}

bool tn_ref_is_integer(tn_dtype dtype) {
    return dtype == TN_BOOL || tn_dtype_get_info(dtype)->is_integer;
}

static uint32_t first_buffer_of(const tn_problem *problem, uint32_t index) {
    uint32_t buffer = 0;
    for (uint32_t i = 0; i < index; i++) {
        if (!is_encoded(&problem->operands[i])) {
            buffer++;
            continue;
        }
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
            buffer += tn_encoding_has_part(&problem->operands[i].encoding, (tn_weight_part)part);
    }
    return buffer;
}

uint32_t tn_ref_num_buffers(const tn_problem *problem) {
    return first_buffer_of(problem, problem->num_operands);
}

tn_ref_view tn_ref_operand(const tn_ref_call *call, uint32_t index) {
    const tn_operand *operand = &call->problem->operands[index];
    uint32_t buffer = first_buffer_of(call->problem, index);
    tn_ref_view view = {.absent = operand->absent, .dtype = operand->dtype, .rank = operand->rank, .data = call->buffers[buffer]};
    bool is_known = true; /* a size that the op itself finds out (NON_ZERO) is not */
    for (int i = 0; i < operand->rank; i++) {
        view.dims[i] = call->symbols[operand->dims[i]];
        is_known = is_known && view.dims[i] >= 0;
    }
    view.rows = is_known ? tn_operand_rows(operand, call->symbols) : 0;
    view.columns = is_known ? tn_operand_columns(operand, call->symbols) : 0;
    view.count = view.rows * view.columns;
    if (is_encoded(operand)) {
        view.encoding = &operand->encoding;
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
            if (tn_encoding_has_part(&operand->encoding, (tn_weight_part)part)) view.parts.part[part] = call->buffers[buffer++];
    } else if (operand->role == TN_ROLE_WEIGHT && operand->encoding.storage != TN_DTYPE_NONE) {
        view.dtype = operand->encoding.storage;
    }
    if (!tn_dtype_matrix_bytes(view.dtype, 1, view.columns, &view.row_bytes)) view.row_bytes = 0;
    return view;
}

tn_ref_view tn_ref_input(const tn_ref_call *call, uint32_t index) {
    if (index >= call->problem->num_inputs || call->problem->operands[index].absent) return (tn_ref_view){.absent = true};
    return tn_ref_operand(call, index);
}

/* Where element `index` lies: its row, and its place there (sub-byte rows are padded). */
static void *locate(const tn_ref_view *view, int64_t index, int64_t *out_column) {
    if (tn_dtype_get_info(view->dtype)->bits >= 8 || view->columns == 0) {
        *out_column = index;
        return view->data;
    }
    *out_column = index % view->columns;
    return (char *)view->data + (size_t)(index / view->columns) * view->row_bytes;
}

double tn_ref_load(const tn_ref_view *view, int64_t index) {
    if (view->dtype == TN_FLOAT32) return (double)((const float *)view->data)[index];
    int64_t column;
    const void *row = locate(view, index, &column);
    return tn_dtype_load(view->dtype, row, column);
}

void tn_ref_store(const tn_ref_view *view, int64_t index, double value) {
    int64_t column;
    void *row = locate(view, index, &column);
    tn_dtype_store(view->dtype, row, column, value);
}

int64_t tn_ref_load_int(const tn_ref_view *view, int64_t index) {
    if (view->dtype == TN_INT64 || view->dtype == TN_UINT64) return ((const int64_t *)view->data)[index];
    return (int64_t)tn_ref_load(view, index);
}

void tn_ref_store_int(const tn_ref_view *view, int64_t index, int64_t value) {
    const tn_dtype_info *info = tn_dtype_get_info(view->dtype);
    if (view->dtype == TN_INT64 || view->dtype == TN_UINT64) {
        ((int64_t *)view->data)[index] = value;
    } else if (info->is_integer) {
        uint64_t low = (uint64_t)value & (((uint64_t)1 << info->bits) - 1);
        bool negative = info->is_signed && (low >> (info->bits - 1)) != 0;
        tn_ref_store(view, index, negative ? (double)low - ldexp(1.0, info->bits) : (double)low);
    } else if (view->dtype == TN_FLOAT32) {
        ((float *)view->data)[index] = (float)value;
    } else {
        tn_ref_store(view, index, (double)value);
    }
}

void tn_ref_copy(const tn_ref_view *dst, int64_t dst_index, const tn_ref_view *src, int64_t src_index) {
    size_t bytes = tn_dtype_get_info(dst->dtype)->bits / 8u;
    if (dst->dtype == src->dtype && bytes > 0)
        memcpy((char *)dst->data + (size_t)dst_index * bytes, (const char *)src->data + (size_t)src_index * bytes, bytes);
    else
        tn_ref_store(dst, dst_index, tn_ref_load(src, src_index));
}

static void load_quantized(const tn_ref_view *view, int64_t row, int64_t begin, int64_t count, double *out) {
    tn_quantized_row parts = tn_quantized_row_at(view->dtype, (char *)view->data + (size_t)row * view->row_bytes, view->columns);
    for (int64_t i = 0; i < count; i++) {
        int64_t column = begin + i;
        int32_t q = parts.lo != NULL ? 256 * parts.hi[column] + parts.lo[column] : parts.hi[column];
        out[i] = (double)parts.scale[column / TN_QUANTIZED_BLOCK] * (double)q;
    }
}

void tn_ref_load_columns(const tn_ref_view *view, int64_t row, int64_t begin, int64_t count, double *out) {
    float decoded[TN_REF_CHUNK];
    if (is_quantized(view->dtype)) {
        load_quantized(view, row, begin, count, out);
    } else if (view->encoding != NULL) {
        for (int64_t at = 0; at < count; at += TN_REF_CHUNK) {
            int64_t n = count - at < TN_REF_CHUNK ? count - at : TN_REF_CHUNK;
            tn_encoding_decode_columns(view->encoding, &view->parts, view->columns, row, begin + at, n, decoded);
            for (int64_t i = 0; i < n; i++) out[at + i] = (double)decoded[i];
        }
    } else if (view->dtype == TN_FLOAT32) {
        const float *from = (const float *)view->data + row * view->columns + begin;
        for (int64_t i = 0; i < count; i++) out[i] = (double)from[i];
    } else {
        for (int64_t i = 0; i < count; i++) out[i] = tn_ref_load(view, row * view->columns + begin + i);
    }
}

void tn_ref_store_columns(const tn_ref_view *view, int64_t row, int64_t begin, int64_t count, const double *values) {
    if (!is_quantized(view->dtype)) {
        for (int64_t i = 0; i < count; i++) tn_ref_store(view, row * view->columns + begin + i, values[i]);
        return;
    }
    float rounded[TN_REF_CHUNK];
    for (int64_t at = 0; at < count; at += TN_REF_CHUNK) {
        int64_t n = count - at < TN_REF_CHUNK ? count - at : TN_REF_CHUNK;
        for (int64_t i = 0; i < n; i++) rounded[i] = (float)values[at + i];
        tn_quantize_columns(view->dtype, rounded, begin + at, n, view->columns, (char *)view->data + (size_t)row * view->row_bytes);
    }
}

void tn_ref_broadcast_strides(const tn_ref_view *view, int rank, int64_t strides[TN_MAX_RANK]) {
    int64_t stride = 1;
    for (int i = 0; i < TN_MAX_RANK; i++) strides[i] = 0;
    for (int i = view->rank - 1; i >= 0; i--) {
        int at = i + rank - view->rank;
        if (at >= 0 && view->dims[i] != 1) strides[at] = stride;
        stride *= view->dims[i];
    }
}

int64_t tn_ref_offset(const tn_ref_view *shape, int64_t index, const int64_t strides[TN_MAX_RANK]) {
    int64_t offset = 0;
    for (int i = shape->rank - 1; i >= 0; i--) {
        offset += index % shape->dims[i] * strides[i];
        index /= shape->dims[i];
    }
    return offset;
}
