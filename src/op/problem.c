/* SPDX-License-Identifier: Apache-2.0
 *
 * problem.c: the canonical text of a problem, and sizes of its operands. The text is a cache key: every member that a
 * tactic may look at must show in it, and defaults must not.
 */
#include "op/problem.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/text.h"

const char *tn_epilogue_kind_name(tn_epilogue_kind kind) {
    static const char *const names[TN_NUM_EPILOGUE_KINDS] = {
        [TN_EPILOGUE_NONE] = "none",
        [TN_EPILOGUE_BIAS] = "bias",
        [TN_EPILOGUE_ACTIVATION] = "activation",
        [TN_EPILOGUE_GATED_ACTIVATION] = "gated_activation",
        [TN_EPILOGUE_ADD] = "add",
        [TN_EPILOGUE_SCALE] = "scale",
        [TN_EPILOGUE_SOFT_CAP] = "soft_cap",
        [TN_EPILOGUE_QUANTIZE] = "quantize",
    };
    return (int)kind >= 0 && kind < TN_NUM_EPILOGUE_KINDS ? names[kind] : "unknown";
}

/* The shortest decimal form that reads back as the same double. */
static void print_real(double value, tn_text *out) {
    char buffer[40];
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(buffer, sizeof buffer, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value) break;
    }
    tn_text_append_string(out, buffer);
}

static void print_dims(const tn_dims *dims, tn_text *out) {
    tn_text_append_char(out, '[');
    for (int i = 0; i < dims->rank; i++) tn_text_append_format(out, "%s%lld", i > 0 ? "," : "", (long long)dims->d[i]);
    tn_text_append_char(out, ']');
}

/* One field as "name=value" after `separator`; nothing if it has its default. True if it printed. */
static bool print_field(const tn_op_field *field, const void *params, const char *separator, tn_text *out) {
    const void *at = (const char *)params + field->offset;
    switch (field->type) {
    case TN_TYPE_BOOL:
        if (!*(const bool *)at) return false;
        tn_text_append_format(out, "%s%s", separator, field->name);
        return true;
    case TN_TYPE_INT:
        if (*(const int64_t *)at == 0) return false;
        tn_text_append_format(out, "%s%s=%lld", separator, field->name, (long long)*(const int64_t *)at);
        return true;
    case TN_TYPE_REAL:
        if (*(const double *)at == 0.0) return false;
        tn_text_append_format(out, "%s%s=", separator, field->name);
        print_real(*(const double *)at, out);
        return true;
    case TN_TYPE_DTYPE:
        if (*(const tn_dtype *)at == TN_DTYPE_NONE) return false;
        tn_text_append_format(out, "%s%s=%s", separator, field->name, tn_dtype_get_info(*(const tn_dtype *)at)->name);
        return true;
    case TN_TYPE_DIMS:
        if (((const tn_dims *)at)->rank == 0) return false;
        tn_text_append_format(out, "%s%s=", separator, field->name);
        print_dims(at, out);
        return true;
    case TN_TYPE_TEXT:
        if (((const tn_label *)at)->text[0] == '\0') return false;
        tn_text_append_format(out, "%s%s=\"%s\"", separator, field->name, ((const tn_label *)at)->text);
        return true;
    case TN_TYPE_ENUM: {
        const tn_enum_info *info = tn_enum_get_info(field->enum_id);
        int value = *(const int *)at;
        if (value == 0) return false;
        tn_text_append_format(out, "%s%s=%s", separator, field->name, value > 0 && value < info->num_values ? info->values[value] : "?");
        return true;
    }
    }
    return false;
}

static void print_operand(const tn_operand *operand, const tn_sym_node *nodes, size_t num_nodes, tn_text *out) {
    char name[64];
    if (operand->absent) {
        tn_text_append_char(out, '-');
        return;
    }
    if (operand->role == TN_ROLE_WEIGHT) {
        tn_text_append_format(out, "%s:%s", tn_encoding_name(&operand->encoding, name), operand->layout != NULL ? operand->layout : "?");
        tn_dtype implied = operand->encoding.kind == TN_ENCODING_PLAIN ? operand->encoding.storage : TN_FLOAT32;
        if (operand->dtype != implied) tn_text_append_format(out, ">%s", tn_dtype_get_info(operand->dtype)->name);
    } else {
        tn_text_append_string(out, tn_dtype_get_info(operand->dtype)->name);
    }
    tn_text_append_char(out, '[');
    for (int i = 0; i < operand->rank; i++) {
        tn_sym sym = operand->dims[i];
        if (i > 0) tn_text_append_char(out, ',');
        if (nodes != NULL && sym < num_nodes && nodes[sym].op == TN_SYM_CONST)
            tn_text_append_format(out, "%lld", (long long)nodes[sym].value);
        else
            tn_text_append_format(out, "s%u", sym);
    }
    tn_text_append_char(out, ']');
    if (operand->role == TN_ROLE_STATE) tn_text_append_string(out, "@state");
    if (operand->place == TN_PLACE_HOST) tn_text_append_string(out, "@host");
}

static void print_epilogue(const tn_epilogue *epilogue, tn_text *out) {
    tn_text_append_string(out, tn_epilogue_kind_name(epilogue->kind));
    switch (epilogue->kind) {
    case TN_EPILOGUE_BIAS:
    case TN_EPILOGUE_ADD: tn_text_append_format(out, "(%d)", epilogue->operand); break;
    case TN_EPILOGUE_ACTIVATION:
    case TN_EPILOGUE_GATED_ACTIVATION:
        tn_text_append_format(out, "(%s)", tn_enum_get_info(TN_ENUM_ID_ACTIVATION)->values[epilogue->activation]);
        break;
    case TN_EPILOGUE_SCALE:
    case TN_EPILOGUE_SOFT_CAP:
        tn_text_append_char(out, '(');
        print_real(epilogue->value, out);
        tn_text_append_char(out, ')');
        break;
    case TN_EPILOGUE_QUANTIZE: tn_text_append_format(out, "(%s)", tn_dtype_get_info(epilogue->dtype)->name); break;
    default: break;
    }
}

void tn_problem_print(const tn_problem *problem, const tn_sym_node *nodes, size_t num_nodes, struct tn_text *out) {
    const tn_op_info *info = tn_op_get_info(problem->op);
    tn_text_append_string(out, info->name);
    bool any = false;
    for (int i = 0; i < info->num_fields && problem->params != NULL; i++)
        any = print_field(&info->fields[i], problem->params, any ? "," : "{", out) || any;
    if (any) tn_text_append_char(out, '}');
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        if (i == problem->num_inputs) tn_text_append_string(out, " ->");
        tn_text_append_char(out, ' ');
        print_operand(&problem->operands[i], nodes, num_nodes, out);
    }
    for (uint32_t i = 0; i < problem->num_epilogues; i++) {
        tn_text_append_string(out, i == 0 ? " |" : ",");
        print_epilogue(&problem->epilogues[i], out);
    }
    const tn_compute *compute = &problem->compute;
    if (compute->accumulator != TN_DTYPE_NONE) tn_text_append_format(out, " accumulator=%s", tn_dtype_get_info(compute->accumulator)->name);
    if (compute->tf32) tn_text_append_string(out, " tf32");
    if (compute->strict_nans) tn_text_append_string(out, " strict_nans");
    if (compute->batch_invariant) tn_text_append_string(out, " batch_invariant");
}

int64_t tn_operand_rows(const tn_operand *operand, const int64_t *values) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < operand->rank; i++) rows *= values[operand->dims[i]];
    return rows;
}

int64_t tn_operand_columns(const tn_operand *operand, const int64_t *values) {
    return operand->rank > 0 ? values[operand->dims[operand->rank - 1]] : 1;
}

bool tn_operand_bytes(const tn_operand *operand, const int64_t *values, size_t *out_bytes) {
    int64_t rows = 1, columns = tn_operand_columns(operand, values);
    size_t bytes;
    if (columns < 0) return false;
    for (int i = 0; i + 1 < operand->rank; i++) {
        int64_t dim = values[operand->dims[i]];
        if (dim < 0 || !tn_mul_i64(rows, dim, &rows)) return false;
    }
    if (!tn_dtype_matrix_bytes(operand->dtype, rows, columns, &bytes)) return false;
    return tn_align_size(bytes, 64, out_bytes);
}
