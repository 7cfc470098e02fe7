/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/parameter.h: a named value: a property of a layer (tenon/layer.h) or a field of a plugin (tenon/plugin.h).
 */
#ifndef TENON_PARAMETER_H_
#define TENON_PARAMETER_H_

#include <stdint.h>

#include "tenon/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tn_parameter_type {
    TN_PARAMETER_BOOL = 0, /* integer */
    TN_PARAMETER_INT,      /* integer */
    TN_PARAMETER_REAL,     /* real */
    TN_PARAMETER_DTYPE,    /* integer (tn_dtype), text its name */
    TN_PARAMETER_DIMS,     /* dims */
    TN_PARAMETER_ENUM,     /* integer (tenon/op_enums.h), text its name */
    TN_PARAMETER_TEXT,     /* text */
} tn_parameter_type;
typedef struct tn_parameter {
    const char *name;
    tn_parameter_type type;
    int64_t integer;
    double real;
    const char *text; /* "" if it has none */
    tn_dims dims;
} tn_parameter;

#ifdef __cplusplus
}
#endif
#endif
