/* SPDX-License-Identifier: Apache-2.0
 *
 * quantization.c: see quantization.h. What the configuration says; which tensors a weight is made of.
 */
#include "model/quantization.h"

#include <stdio.h>
#include <string.h>

#include "base/report.h"

/* --- configuration -------------------------------------------------------------------------------------------------------- */

static tn_status refuse(const tn_json_value *value, const char *key, const char *text, tn_diag *diag) {
    const tn_json_value *member = tn_json_find(value, key);
    return tn_json_fail(member != NULL ? member : value, diag, TN_UNSUPPORTED, "is '%s', a form of quantised weights that is not built",
                        text);
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list != NULL; list++)
        if (strcmp(text, *list) == 0) return true;
    return false;
}

static tn_status read_bits(const tn_json_value *value, const char *key, bool only_four, tn_diag *diag, tn_quantization *out) {
    int64_t bits;
    tn_status status = tn_json_get_integer_or(value, key, 1, 16, 4, diag, &bits);
    if (status != TN_OK) return status;
    if (bits != 4 && (bits != 8 || only_four))
        return tn_json_fail(tn_json_find(value, key), diag, TN_UNSUPPORTED, "is %lld: weights of so many bits are not built",
                            (long long)bits);
    out->bits = (int)bits;
    return TN_OK;
}

static tn_status read_awq(const tn_json_value *value, tn_diag *diag, tn_quantization *out) {
    static const char *const versions[] = {"gemm", "GEMM", NULL};
    const char *version;
    tn_status status = tn_json_get_string_or(value, "version", "gemm", diag, &version);
    if (status == TN_OK && !is_one_of(version, versions)) return refuse(value, "version", version, diag);
    return status == TN_OK ? read_bits(value, tn_json_find(value, "w_bit") != NULL ? "w_bit" : "bits", true, diag, out) : status;
}

static tn_status read_gptq(const tn_json_value *value, tn_diag *diag, tn_quantization *out) {
    static const char *const formats[] = {"gptq", "gptq_v2", NULL};
    const char *format;
    tn_status status = tn_json_get_string_or(value, "checkpoint_format", "gptq", diag, &format);
    if (status == TN_OK && !is_one_of(format, formats)) return refuse(value, "checkpoint_format", format, diag);
    if (status != TN_OK) return status;
    out->zeros_are_one_less = strcmp(format, "gptq") == 0;
    return read_bits(value, "bits", false, diag, out);
}

/* Groups of layers; all must store weights alike. */
static tn_status read_compressed(const tn_json_value *value, tn_diag *diag, tn_quantization *out) {
    static const char *const formats[] = {"pack-quantized", "int-quantized", "float-quantized", "naive-quantized", NULL};
    static const char *const unbuilt[] = {"sparsity_config", "transform_config"};
    const char *format;
    const tn_json_value *groups;
    tn_status status = tn_json_get_string(value, "format", diag, &format, NULL);
    if (status == TN_OK && !is_one_of(format, formats)) return refuse(value, "format", format, diag);
    for (size_t i = 0; i < 2 && status == TN_OK; i++) {
        const tn_json_value *member = tn_json_find(value, unbuilt[i]);
        if (member != NULL && tn_json_kind_of(member) == TN_JSON_OBJECT && tn_json_count(member) > 0)
            status = tn_json_fail(member, diag, TN_UNSUPPORTED, "is set, which is not built");
    }
    if (status == TN_OK) status = tn_json_get_object(value, "config_groups", diag, &groups);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(groups); i++) {
        const tn_json_value *weights;
        tn_quantization group = {0};
        status = tn_json_expect(tn_json_at(groups, i), TN_JSON_OBJECT, diag);
        if (status == TN_OK) status = tn_json_get_object(tn_json_at(groups, i), "weights", diag, &weights);
        if (status == TN_OK) status = read_bits(weights, "num_bits", false, diag, &group);
        if (status == TN_OK && i > 0 && group.bits != out->bits)
            status =
                tn_json_fail(weights, diag, TN_UNSUPPORTED, "has %d bits, another group has %d: only one is built", group.bits, out->bits);
        out->bits = group.bits;
    }
    return status;
}

static tn_status read_fp8(const tn_json_value *value, tn_diag *diag, tn_quantization *out) {
    const tn_json_value *block = tn_json_find(value, "weight_block_size");
    const char *format;
    tn_status status = tn_json_get_string_or(value, "fmt", "e4m3", diag, &format);
    if (status == TN_OK && strcmp(format, "e4m3") != 0) return refuse(value, "fmt", format, diag);
    if (status != TN_OK || block == NULL || tn_json_kind_of(block) == TN_JSON_NULL) return status;
    status = tn_json_expect(block, TN_JSON_ARRAY, diag);
    if (status == TN_OK && tn_json_count(block) != 2)
        status = tn_json_fail(block, diag, TN_INVALID_DATA, "has %zu sizes, must have two", tn_json_count(block));
    if (status == TN_OK) status = tn_json_to_integer(tn_json_at(block, 0), 1, 1 << 20, diag, &out->block_rows);
    if (status == TN_OK) status = tn_json_to_integer(tn_json_at(block, 1), 1, 1 << 20, diag, &out->block_cols);
    return status;
}

tn_status tn_quantization_from_json(const tn_json_value *value, tn_diag *diag, tn_quantization *out_quantization) {
    static const struct {
        const char *name;
        tn_quantization_method method;
        tn_status (*read)(const tn_json_value *value, tn_diag *diag, tn_quantization *out);
    } methods[] = {
        {"awq", TN_QUANTIZATION_AWQ, read_awq},
        {"gptq", TN_QUANTIZATION_GPTQ, read_gptq},
        {"compressed-tensors", TN_QUANTIZATION_COMPRESSED, read_compressed},
        {"fp8", TN_QUANTIZATION_FP8, read_fp8},
        {"mxfp4", TN_QUANTIZATION_MXFP4, NULL},
    };
    *out_quantization = (tn_quantization){0};
    const char *name;
    tn_status status = tn_json_expect(value, TN_JSON_OBJECT, diag);
    if (status == TN_OK) status = tn_json_get_string(value, "quant_method", diag, &name, NULL);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(methods[i].name, name) != 0) continue;
        out_quantization->method = methods[i].method;
        return methods[i].read != NULL ? methods[i].read(value, diag, out_quantization) : TN_OK;
    }
    return refuse(value, "quant_method", name, diag);
}

/* --- which tensors -------------------------------------------------------------------------------------------------------- */

typedef struct finder {
    const tn_safetensors *files;
    const tn_quantization *quantization;
    char base[512]; /* the name without ".weight" */
    tn_quantized_weight *out;
    const char *problem;
} finder;

static const tn_safetensors_tensor *part_of(const finder *f, const char *suffix) {
    char name[600];
    (void)snprintf(name, sizeof name, "%s%s", f->base, suffix);
    return tn_safetensors_find(f->files, name);
}

static tn_status broken(finder *f, const char *problem) {
    f->problem = problem;
    return TN_INVALID_DATA;
}

static bool is_matrix(const tn_safetensors_tensor *tensor, tn_dtype dtype, int64_t rows, int64_t columns) {
    return tensor != NULL && tensor->dtype == dtype && tensor->dims.rank == 2 && tensor->dims.d[0] == rows && tensor->dims.d[1] == columns;
}

static bool is_scale_type(tn_dtype dtype) {
    return dtype == TN_FLOAT16 || dtype == TN_BFLOAT16 || dtype == TN_FLOAT32;
}

static tn_status finish(finder *f, tn_encoding encoding, tn_dims dims) {
    size_t bytes;
    tn_weight_desc *desc = &f->out->desc;
    *desc = (tn_weight_desc){.dtype = TN_FLOAT32, .encoding = encoding, .dims = dims};
    if (!tn_encoding_part_bytes(&encoding, TN_PART_DATA, tn_weight_num_rows(desc), tn_weight_num_columns(desc), &bytes))
        return broken(f, "its columns are no multiple of its blocks");
    return TN_OK;
}

/* Are the columns' groups 0, 0, …, 1, 1, …? All are as large, whatever their order. */
static tn_status check_order(finder *f, int64_t columns, int64_t group, bool *out_ascending) {
    int32_t part[256], sizes[TN_QUANTIZED_MAX_GROUPS] = {0};
    const tn_safetensors_tensor *order = f->out->order;
    *out_ascending = true;
    if (order == NULL) return TN_OK;
    if (order->dtype != TN_INT32 || order->dims.rank != 1 || order->dims.d[0] != columns)
        return broken(f, "its g_idx is no int32 a column");
    if (f->out->num_groups > TN_QUANTIZED_MAX_GROUPS) return broken(f, "its g_idx has more groups than are built");
    for (int64_t i = 0; i < columns; i += 256) {
        int64_t count = columns - i < 256 ? columns - i : 256;
        tn_status status = tn_safetensors_read(f->files, order, (uint64_t)i * 4, part, (size_t)count * 4, NULL);
        if (status != TN_OK) return broken(f, "its g_idx cannot be read");
        for (int64_t j = 0; j < count; j++) {
            if (part[j] < 0 || part[j] >= f->out->num_groups) return broken(f, "its g_idx names a group that is not there");
            if (++sizes[part[j]] > group) return broken(f, "its g_idx has groups of unequal sizes");
            *out_ascending = *out_ascending && part[j] == (i + j) / group;
        }
    }
    return TN_OK;
}

/* AWQ and GPTQ: [columns, rows], one of both packed in int32. */
static tn_status find_transposed(finder *f) {
    const tn_quantization *q = f->quantization;
    const tn_safetensors_tensor *data = part_of(f, ".qweight"), *scale = part_of(f, ".scales"), *zero = part_of(f, ".qzeros");
    if (data == NULL) return TN_NOT_FOUND;
    bool is_awq = q->method == TN_QUANTIZATION_AWQ;
    int64_t per_word = 32 / q->bits;
    if (scale == NULL || !is_scale_type(scale->dtype) || scale->dims.rank != 2) return broken(f, "its .scales is no matrix of floats");
    int64_t groups = scale->dims.d[0], rows = scale->dims.d[1];
    if (data->dims.rank != 2 || data->dims.d[0] > INT64_MAX / 8 || rows % per_word != 0)
        return broken(f, "its .qweight does not fit its .scales");
    int64_t columns = data->dims.d[0] * (is_awq ? 1 : per_word);
    if (groups < 1 || columns < 1 || columns % groups != 0 || !is_matrix(data, TN_INT32, data->dims.d[0], is_awq ? rows / per_word : rows))
        return broken(f, "its .qweight does not fit its .scales");
    if (!is_matrix(zero, TN_INT32, groups, rows / per_word)) return broken(f, "its .qzeros does not fit its .scales");
    *f->out = (tn_quantized_weight){
        .data = data, .scale = scale, .zero = zero, .order = is_awq ? NULL : part_of(f, ".g_idx"), .num_groups = groups};
    bool is_ascending;
    tn_status status = check_order(f, columns, columns / groups, &is_ascending);
    if (status != TN_OK) return status;
    if (is_ascending) f->out->order = NULL;
    return finish(f,
                  (tn_encoding){.kind = TN_ENCODING_AFFINE,
                                .storage = q->bits == 4 ? TN_UINT4 : TN_UINT8,
                                .scale_dtype = scale->dtype,
                                .zero_dtype = TN_UINT8,
                                .bits = (uint8_t)q->bits,
                                .block_rows = 1,
                                .block_cols = columns / groups,
                                .has_zero = true,
                                .has_perm = !is_ascending},
                  TN_DIMS(rows, columns));
}

/* The grid of a scale beside [rows, columns]: one, one a row, one a group of columns. */
static bool find_grid(const tn_safetensors_tensor *scale, int64_t rows, int64_t columns, tn_encoding *encoding) {
    if (scale == NULL || !is_scale_type(scale->dtype)) return false;
    encoding->scale_dtype = scale->dtype;
    int64_t count = 1, last = scale->dims.rank > 0 ? scale->dims.d[scale->dims.rank - 1] : 1;
    for (int i = 0; i < scale->dims.rank; i++) {
        if (scale->dims.d[i] < 1 || scale->dims.d[i] > INT32_MAX || count > INT32_MAX) return false;
        count *= scale->dims.d[i];
    }
    if (count == 1) return true;
    encoding->block_rows = 1;
    if (count == rows && (scale->dims.rank == 1 || last == 1)) return true;
    if (scale->dims.rank != 2 || scale->dims.d[0] != rows || columns % last != 0) return false;
    encoding->block_cols = columns / last;
    return true;
}

static tn_status find_packed(finder *f, const tn_safetensors_tensor *data) {
    const tn_safetensors_tensor *scale = part_of(f, ".weight_scale"), *zero = part_of(f, ".weight_zero_point");
    int bits = f->quantization->bits;
    int64_t per_word = 32 / bits;
    if (data->dtype != TN_INT32 || data->dims.rank != 2 || data->dims.d[1] > INT64_MAX / 8)
        return broken(f, "its .weight_packed is no matrix of int32");
    int64_t rows = data->dims.d[0], columns = data->dims.d[1] * per_word;
    tn_encoding encoding = {.kind = TN_ENCODING_AFFINE, .bits = (uint8_t)bits};
    encoding.storage = zero == NULL ? (bits == 4 ? TN_INT4 : TN_INT8) : bits == 4 ? TN_UINT4 : TN_UINT8;
    if (!find_grid(scale, rows, columns, &encoding)) return broken(f, "its .weight_scale does not fit its .weight_packed");
    int64_t groups = encoding.block_cols > 0 ? columns / encoding.block_cols : 1;
    *f->out = (tn_quantized_weight){.data = data, .scale = scale, .zero = zero, .order = part_of(f, ".weight_g_idx"), .num_groups = groups};
    if (zero != NULL) {
        encoding.has_zero = true;
        encoding.zero_dtype = TN_UINT8;
        if (encoding.block_rows != 1 || rows % per_word != 0 || !is_matrix(zero, TN_INT32, rows / per_word, groups))
            return broken(f, "its .weight_zero_point does not fit its .weight_scale");
    }
    bool is_ascending;
    tn_status status = check_order(f, columns, columns / groups, &is_ascending);
    if (status != TN_OK) return status;
    if (!is_ascending) {
        f->problem = "its columns are ordered by weight_g_idx, which is not built";
        return TN_UNSUPPORTED;
    }
    f->out->order = NULL;
    return finish(f, encoding, TN_DIMS(rows, columns));
}

/* X.weight of int8 or fp8 beside its scale. */
static tn_status find_bytes(finder *f) {
    const tn_safetensors_tensor *data = part_of(f, ".weight"), *scale = part_of(f, ".weight_scale"),
                                *zero = part_of(f, ".weight_zero_point");
    const tn_safetensors_tensor *inverse = part_of(f, ".weight_scale_inv");
    if (data == NULL || (data->dtype != TN_INT8 && data->dtype != TN_FLOAT8_E4M3FN)) return TN_NOT_FOUND;
    if (data->dims.rank != 2) return broken(f, "it is no matrix");
    int64_t rows = data->dims.d[0], columns = data->dims.d[1];
    tn_encoding encoding = {.kind = TN_ENCODING_AFFINE, .storage = data->dtype, .bits = 8};
    int64_t height = f->quantization->block_rows, width = f->quantization->block_cols;
    if (inverse != NULL && height > 0) {
        scale = inverse;
        encoding.block_rows = height;
        encoding.block_cols = width;
        encoding.scale_dtype = scale->dtype;
        if (!is_scale_type(scale->dtype) || columns % width != 0 ||
            !is_matrix(scale, scale->dtype, (rows + height - 1) / height, columns / width))
            return broken(f, "its .weight_scale_inv does not fit weight_block_size");
    } else if (!find_grid(scale != NULL ? scale : inverse, rows, columns, &encoding)) {
        return broken(f, "its .weight_scale does not fit");
    }
    if (scale == NULL) scale = inverse;
    if (zero != NULL) {
        encoding.has_zero = true;
        encoding.zero_dtype = TN_INT8;
        if (data->dtype != TN_INT8 || zero->dtype != TN_INT8 ||
            zero->size_bytes * tn_dtype_get_info(scale->dtype)->bits / 8 != scale->size_bytes)
            return broken(f, "its .weight_zero_point does not fit its .weight_scale");
    }
    *f->out = (tn_quantized_weight){.data = data, .scale = scale, .zero = zero};
    return finish(f, encoding, data->dims);
}

static tn_status find_mx(finder *f) {
    const tn_safetensors_tensor *data = part_of(f, "_blocks"), *scale = part_of(f, "_scales");
    if (data == NULL) return TN_NOT_FOUND;
    int rank = data->dims.rank - 1;
    bool fits = scale != NULL && data->dtype == TN_UINT8 && scale->dtype == TN_UINT8 && rank >= 2 && scale->dims.rank == rank &&
                data->dims.d[rank] == 16;
    for (int i = 0; i < rank && fits; i++) fits = data->dims.d[i] == scale->dims.d[i];
    if (!fits || data->dims.d[rank - 1] > INT64_MAX / 32) return broken(f, "its _blocks and _scales do not fit each other");
    *f->out = (tn_quantized_weight){.data = data, .scale = scale};
    tn_dims dims = scale->dims;
    dims.d[rank - 1] *= 32;
    tn_encoding encoding;
    if (!tn_encoding_parse("mx_e2m1", &encoding)) return TN_INTERNAL;
    return finish(f, encoding, dims);
}

tn_status tn_quantized_find(const tn_safetensors *files, const tn_quantization *quantization, const char *name,
                            tn_quantized_weight *out_weight, const char **out_problem) {
    static const char suffix[] = ".weight";
    finder f = {.files = files, .quantization = quantization, .out = out_weight, .problem = ""};
    *out_weight = (tn_quantized_weight){0};
    *out_problem = "";
    size_t size = strlen(name), tail = sizeof suffix - 1;
    bool has_suffix = size > tail && strcmp(name + size - tail, suffix) == 0;
    if (size >= sizeof f.base || (!has_suffix && quantization->method != TN_QUANTIZATION_MXFP4)) return TN_NOT_FOUND;
    memcpy(f.base, name, has_suffix ? size - tail : size); /* stacked experts of gpt-oss have no ".weight" in their names */
    tn_status status = TN_NOT_FOUND;
    const tn_safetensors_tensor *packed = part_of(&f, ".weight_packed");
    switch (quantization->method) {
    case TN_QUANTIZATION_AWQ:
    case TN_QUANTIZATION_GPTQ: status = find_transposed(&f); break;
    case TN_QUANTIZATION_COMPRESSED: status = packed != NULL ? find_packed(&f, packed) : find_bytes(&f); break;
    case TN_QUANTIZATION_FP8: status = find_bytes(&f); break;
    case TN_QUANTIZATION_MXFP4: status = find_mx(&f); break;
    default: break;
    }
    *out_problem = f.problem;
    if (status != TN_OK) *out_weight = (tn_quantized_weight){0};
    return status;
}
