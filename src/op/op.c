/* SPDX-License-Identifier: Apache-2.0
 *
 * op.c: the tables that op.h and op_enums.h declare, expanded from op_kinds.def and the enum lists.
 */
#include "op/op.h"

#include <string.h>

#include "base/text.h"

/* An op without fields lists none. */
#undef TN_NO_FIELDS
#define TN_NO_FIELDS

#define F(type, member, extra) {#member, TN_TYPE_##type, extra, offsetof(params_type, member)},
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields)                                                                   \
    static const tn_op_info *info_of_##member(void) {                                                                                \
        typedef tn_##member##_params params_type;                                                                                    \
        static const tn_op_field list[] = {fields{NULL, TN_TYPE_BOOL, 0, 0}};                                                        \
        static const tn_op_info info = {name, min_in, max_in, outputs, sizeof(params_type), list, sizeof list / sizeof list[0] - 1}; \
        return &info;                                                                                                                \
    }
#include "op/op_kinds.def"
#undef TN_OP
#undef F

const tn_op_info *tn_op_get_info(tn_op_kind kind) {
    static const tn_op_info *(*const functions[TN_NUM_OP_KINDS])(void) = {
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) [TN_OP_##kind] = info_of_##member,
#include "op/op_kinds.def"
#undef TN_OP
    };
    return functions[kind]();
}

bool tn_op_find(const char *name, tn_op_kind *out_kind) {
    for (int kind = 0; kind < TN_NUM_OP_KINDS; kind++)
        if (strcmp(name, tn_op_get_info((tn_op_kind)kind)->name) == 0) {
            *out_kind = (tn_op_kind)kind;
            return true;
        }
    return false;
}

bool tn_label_set(tn_label *label, const char *text, size_t size_bytes) {
    *label = (tn_label){{0}};
    if (size_bytes >= sizeof label->text || !tn_utf8_is_valid(text, size_bytes)) return false;
    for (size_t i = 0; i < size_bytes; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == '"' || text[i] == '\\' || text[i] == 127) return false;
    memcpy(label->text, text, size_bytes);
    return true;
}

bool tn_op_is_reserved(tn_op_kind kind) {
    return kind == TN_OP_COLLECTIVE || kind == TN_OP_LORA_LINEAR;
}

#define VALUE_NAME(value, name) name,
#define ENUM_NAMES(list, TABLE) static const char *const list[] = {TABLE(VALUE_NAME)}
ENUM_NAMES(activation_names, TN_ENUM_ACTIVATION);
ENUM_NAMES(unary_names, TN_ENUM_UNARY);
ENUM_NAMES(elementwise_names, TN_ENUM_ELEMENTWISE);
ENUM_NAMES(reduce_names, TN_ENUM_REDUCE);
ENUM_NAMES(matrix_names, TN_ENUM_MATRIX);
ENUM_NAMES(normalization_names, TN_ENUM_NORMALIZATION);
ENUM_NAMES(gather_names, TN_ENUM_GATHER);
ENUM_NAMES(rotary_names, TN_ENUM_ROTARY);
ENUM_NAMES(route_names, TN_ENUM_ROUTE);
ENUM_NAMES(collective_names, TN_ENUM_COLLECTIVE);
ENUM_NAMES(fill_names, TN_ENUM_FILL);
ENUM_NAMES(topk_names, TN_ENUM_TOPK);
ENUM_NAMES(cumulative_names, TN_ENUM_CUMULATIVE);
ENUM_NAMES(scale_names, TN_ENUM_SCALE);
ENUM_NAMES(pooling_names, TN_ENUM_POOLING);
ENUM_NAMES(padding_names, TN_ENUM_PADDING);
ENUM_NAMES(sample_names, TN_ENUM_SAMPLE);
ENUM_NAMES(interpolation_names, TN_ENUM_INTERPOLATION);
ENUM_NAMES(resize_transform_names, TN_ENUM_RESIZE_TRANSFORM);
ENUM_NAMES(resize_selector_names, TN_ENUM_RESIZE_SELECTOR);
ENUM_NAMES(resize_rounding_names, TN_ENUM_RESIZE_ROUNDING);
ENUM_NAMES(scatter_names, TN_ENUM_SCATTER);
ENUM_NAMES(box_names, TN_ENUM_BOX);

#define ENUM_INFO(name, list) \
    { name, list, (int)(sizeof(list) / sizeof(list)[0]) }
static const tn_enum_info enum_table[TN_NUM_ENUM_IDS] = {
    [TN_ENUM_ID_ACTIVATION] = ENUM_INFO("activation", activation_names),
    [TN_ENUM_ID_UNARY] = ENUM_INFO("unary", unary_names),
    [TN_ENUM_ID_ELEMENTWISE] = ENUM_INFO("elementwise", elementwise_names),
    [TN_ENUM_ID_REDUCE] = ENUM_INFO("reduce", reduce_names),
    [TN_ENUM_ID_MATRIX] = ENUM_INFO("matrix", matrix_names),
    [TN_ENUM_ID_NORMALIZATION] = ENUM_INFO("normalization", normalization_names),
    [TN_ENUM_ID_GATHER] = ENUM_INFO("gather", gather_names),
    [TN_ENUM_ID_ROTARY] = ENUM_INFO("rotary", rotary_names),
    [TN_ENUM_ID_ROUTE] = ENUM_INFO("route", route_names),
    [TN_ENUM_ID_COLLECTIVE] = ENUM_INFO("collective", collective_names),
    [TN_ENUM_ID_FILL] = ENUM_INFO("fill", fill_names),
    [TN_ENUM_ID_TOPK] = ENUM_INFO("topk", topk_names),
    [TN_ENUM_ID_CUMULATIVE] = ENUM_INFO("cumulative", cumulative_names),
    [TN_ENUM_ID_SCALE] = ENUM_INFO("scale", scale_names),
    [TN_ENUM_ID_POOLING] = ENUM_INFO("pooling", pooling_names),
    [TN_ENUM_ID_PADDING] = ENUM_INFO("padding", padding_names),
    [TN_ENUM_ID_SAMPLE] = ENUM_INFO("sample", sample_names),
    [TN_ENUM_ID_INTERPOLATION] = ENUM_INFO("interpolation", interpolation_names),
    [TN_ENUM_ID_RESIZE_TRANSFORM] = ENUM_INFO("resize_transform", resize_transform_names),
    [TN_ENUM_ID_RESIZE_SELECTOR] = ENUM_INFO("resize_selector", resize_selector_names),
    [TN_ENUM_ID_RESIZE_ROUNDING] = ENUM_INFO("resize_rounding", resize_rounding_names),
    [TN_ENUM_ID_SCATTER] = ENUM_INFO("scatter", scatter_names),
    [TN_ENUM_ID_BOX] = ENUM_INFO("box", box_names),
};

const tn_enum_info *tn_enum_get_info(tn_enum_id id) {
    return &enum_table[id];
}

int tn_enum_find(tn_enum_id id, const char *value_name) {
    const tn_enum_info *info = tn_enum_get_info(id);
    for (int i = 0; i < info->num_values; i++)
        if (strcmp(value_name, info->values[i]) == 0) return i;
    return -1;
}
