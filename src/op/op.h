/* SPDX-License-Identifier: Apache-2.0
 *
 * op.h: the operation table as C: kinds, parameter structs, and their field lists for code that walks them.
 */
#ifndef TN_OP_OP_H_
#define TN_OP_OP_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/dtype.h"
#include "tenon/op_enums.h"

/* One enum's table by name, for code that walks field lists. */
typedef struct tn_enum_info {
    const char *name; /* "activation" */
    const char *const *values;
    int num_values;
} tn_enum_info;
typedef enum tn_enum_id {
    TN_ENUM_ID_ACTIVATION,
    TN_ENUM_ID_UNARY,
    TN_ENUM_ID_ELEMENTWISE,
    TN_ENUM_ID_REDUCE,
    TN_ENUM_ID_MATRIX,
    TN_ENUM_ID_NORMALIZATION,
    TN_ENUM_ID_GATHER,
    TN_ENUM_ID_ROTARY,
    TN_ENUM_ID_ROUTE,
    TN_ENUM_ID_COLLECTIVE,
    TN_ENUM_ID_FILL,
    TN_ENUM_ID_TOPK,
    TN_ENUM_ID_CUMULATIVE,
    TN_ENUM_ID_SCALE,
    TN_ENUM_ID_POOLING,
    TN_ENUM_ID_PADDING,
    TN_ENUM_ID_SAMPLE,
    TN_ENUM_ID_INTERPOLATION,
    TN_ENUM_ID_RESIZE_TRANSFORM,
    TN_ENUM_ID_RESIZE_SELECTOR,
    TN_ENUM_ID_RESIZE_ROUNDING,
    TN_ENUM_ID_SCATTER,
    TN_ENUM_ID_BOX,
    TN_NUM_ENUM_IDS
} tn_enum_id;
const tn_enum_info *tn_enum_get_info(tn_enum_id id);
int tn_enum_find(tn_enum_id id, const char *value_name); /* −1 if unknown */

/* A short text among parameters: UTF-8 without control characters, quotes and backslashes; all bytes behind it are 0. */
#define TN_MAX_LABEL_BYTES 128
typedef struct tn_label {
    char text[TN_MAX_LABEL_BYTES];
} tn_label;
bool tn_label_set(tn_label *label, const char *text, size_t size_bytes); /* false: too long, or not such a text */

/* The shape of the paged cache that a layer reads or writes; equal for all layers of a group. */
#define TN_KV_FIELDS \
    F(INT, group, 0) \
    F(INT, num_layers, 0) F(INT, num_kv_heads, 0) F(INT, k_dim, 0) F(INT, v_dim, 0) F(INT, tokens_per_block, 0) F(DTYPE, cache_dtype, 0)

#define TN_NO_FIELDS F(BOOL, unused, 0) /* C has no empty struct */

typedef enum tn_op_kind {
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) TN_OP_##kind,
#include "op/op_kinds.def"
#undef TN_OP
    TN_NUM_OP_KINDS
} tn_op_kind;

#define TN_FIELD_BOOL  bool
#define TN_FIELD_INT   int64_t
#define TN_FIELD_REAL  double
#define TN_FIELD_DTYPE tn_dtype
#define TN_FIELD_DIMS  tn_dims
#define TN_FIELD_ENUM  int
#define TN_FIELD_TEXT  tn_label

/* tn_matrix_multiply_params … */
#define F(type, member, extra) TN_FIELD_##type member;
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) \
    typedef struct tn_##member##_params {                          \
        fields                                                     \
    } tn_##member##_params;
#include "op/op_kinds.def"
#undef TN_OP
#undef F

/* Any kind's parameters, to hold them by value. */
typedef union tn_op_params {
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) tn_##member##_params member;
#include "op/op_kinds.def"
#undef TN_OP
} tn_op_params;

typedef enum tn_field_type {
    TN_TYPE_BOOL,
    TN_TYPE_INT,
    TN_TYPE_REAL,
    TN_TYPE_DTYPE,
    TN_TYPE_DIMS,
    TN_TYPE_ENUM,
    TN_TYPE_TEXT
} tn_field_type;

typedef struct tn_op_field {
    const char *name; /* never "unused": that member is not listed */
    tn_field_type type;
    tn_enum_id enum_id; /* of ENUM */
    size_t offset;      /* in the parameter struct */
} tn_op_field;

typedef struct tn_op_info {
    const char *name;
    int min_inputs, max_inputs, num_outputs; /* max_inputs, num_outputs −1: any */
    size_t params_size;
    const tn_op_field *fields;
    int num_fields;
} tn_op_info;

const tn_op_info *tn_op_get_info(tn_op_kind kind); /* kind < TN_NUM_OP_KINDS */
bool tn_op_find(const char *name, tn_op_kind *out_kind);

/* The activation is a function of x alone: what epilogues can hold. */
static inline bool tn_activation_is_plain(tn_activation_type type) {
    return type <= TN_ACTIVATION_GELU_QUICK;
}

/* ROUTE's groups are of equal size, and those that are left have enough experts; 0 or 1 of them: there is nothing to fit. */
static inline bool tn_route_groups_fit(const tn_route_params *params, int64_t experts) {
    if (params->groups == 0 || params->groups == 1) return true;
    return params->groups > 0 && experts % params->groups == 0 && params->top_groups > 0 && params->top_groups <= params->groups &&
           params->top_k <= experts / params->groups * params->top_groups;
}

/* The op finds out a size of output 0 itself and writes it as output 1: what is known before is only its largest value. */
static inline bool tn_op_counts_output(tn_op_kind kind) {
    return kind == TN_OP_NON_ZERO || kind == TN_OP_NMS;
}

/* The layer is only in formats: builder and plan reader refuse it, naming it. */
bool tn_op_is_reserved(tn_op_kind kind);

#endif
