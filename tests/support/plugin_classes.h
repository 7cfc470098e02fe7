/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin_classes.h: plugin classes for tests: "Affine" (fields, state, run-time shapes), "Tile" (a shape input), and wrong ones.
 */
#ifndef TN_TESTS_SUPPORT_PLUGIN_CLASSES_H_
#define TN_TESTS_SUPPORT_PLUGIN_CLASSES_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenon/plugin.h"

/* y = factor · x + offset, float32 of any shape; fails at x = 1234. */
typedef struct affine {
    double factor, offset;
} affine;

static inline tn_status affine_create(const tn_plugin_call *call, void *user, const tn_parameter *fields, uint32_t num_fields,
                                      void **out_self) {
    (void)user;
    affine *self = calloc(1, sizeof *self);
    if (self == NULL) return TN_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < num_fields; i++) *(strcmp(fields[i].name, "factor") == 0 ? &self->factor : &self->offset) = fields[i].real;
    if (self->factor == 0.0) {
        call->set_error(call, "the factor must not be 0");
        free(self);
        return TN_INVALID_ARGUMENT;
    }
    *out_self = self;
    return TN_OK;
}

static inline tn_status affine_infer(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                                     tn_plugin_shape *outputs) {
    (void)self;
    (void)num_inputs;
    if (inputs[0].dtype != TN_FLOAT32) {
        call->set_error(call, "x must be float32");
        return TN_INVALID_ARGUMENT;
    }
    outputs[0] = inputs[0];
    return TN_OK;
}

static inline tn_status affine_run(const tn_plugin_call *call, const void *self, const tn_plugin_tensor *inputs, uint32_t num_inputs,
                                   const tn_plugin_tensor *outputs, void *workspace) {
    const affine *a = self;
    const float *x = inputs[0].data;
    float *y = outputs[0].data, *scratch = workspace;
    int64_t count = 1;
    (void)num_inputs;
    for (int i = 0; i < inputs[0].dims.rank; i++) count *= inputs[0].dims.d[i];
    for (int64_t i = 0; i < count; i++) {
        if (x[i] == 1234.0f) {
            char text[64];
            (void)snprintf(text, sizeof text, "element %d is 1234", (int)i);
            call->set_error(call, text);
            return TN_INVALID_DATA;
        }
        scratch[i] = (float)a->factor * x[i];
    }
    for (int64_t i = 0; i < count; i++) y[i] = scratch[i] + (float)a->offset;
    return TN_OK;
}

static inline size_t affine_workspace(const void *self, const tn_plugin_tensor *inputs, uint32_t num_inputs) {
    size_t count = 1;
    (void)self;
    (void)num_inputs;
    for (int i = 0; i < inputs[0].dims.rank; i++) count *= (size_t)inputs[0].dims.d[i];
    return count * sizeof(float) + 1;
}

static inline tn_status affine_serialize(const tn_plugin_call *call, const void *self, void *buffer, size_t capacity, size_t *out_size) {
    (void)call;
    *out_size = sizeof(affine);
    if (capacity >= sizeof(affine)) memcpy(buffer, self, sizeof(affine));
    return TN_OK;
}

static inline tn_status affine_deserialize(const tn_plugin_call *call, void *user, const void *data, size_t size_bytes, void **out_self) {
    (void)user;
    if (size_bytes != sizeof(affine)) {
        call->set_error(call, "its state has another size");
        return TN_INVALID_DATA;
    }
    *out_self = malloc(sizeof(affine));
    if (*out_self == NULL) return TN_OUT_OF_MEMORY;
    memcpy(*out_self, data, size_bytes);
    return TN_OK;
}

static const tn_plugin_field_info affine_fields[] = {{"factor", TN_PARAMETER_REAL, true}, {"offset", TN_PARAMETER_REAL, false}};

#define AFFINE_CLASS(space)                                                                                                    \
    {                                                                                                                          \
        .struct_size = sizeof(tn_plugin_class), .abi = TN_PLUGIN_ABI, .name_space = (space), .type = "Affine", .version = "1", \
        .fields = affine_fields, .num_fields = 2, .min_inputs = 1, .max_inputs = 1, .num_outputs = 1, .create = affine_create, \
        .destroy = free, .infer_shapes = affine_infer, .workspace_size = affine_workspace, .run = affine_run,                  \
        .serialize = affine_serialize, .deserialize = affine_deserialize                                                       \
    }

/* x [n] and repeats (shape input, scalar) → y [n · repeats], count int64 [] = n. */
static inline tn_status tile_infer(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                                   tn_plugin_shape *outputs) {
    (void)self;
    (void)num_inputs;
    if (inputs[0].rank != 1 || inputs[1].num_values != 1) {
        call->set_error(call, "x must be a vector and repeats a scalar");
        return TN_INVALID_ARGUMENT;
    }
    outputs[0] = inputs[0];
    outputs[0].dims[0] = call->compute_dim(call, TN_PLUGIN_DIM_MUL, inputs[0].dims[0], inputs[1].values[0]);
    outputs[1] = (tn_plugin_shape){.dtype = TN_INT64, .rank = 0};
    return TN_OK;
}

static inline tn_status tile_run(const tn_plugin_call *call, const void *self, const tn_plugin_tensor *inputs, uint32_t num_inputs,
                                 const tn_plugin_tensor *outputs, void *workspace) {
    (void)call;
    (void)self;
    (void)num_inputs;
    (void)workspace;
    int64_t n = inputs[0].dims.d[0];
    for (int64_t i = 0; i < outputs[0].dims.d[0]; i++) ((float *)outputs[0].data)[i] = ((const float *)inputs[0].data)[n > 0 ? i % n : 0];
    memcpy(outputs[1].data, &n, sizeof n);
    return TN_OK;
}

#define TILE_CLASS                                                                                                                       \
    {                                                                                                                                    \
        .struct_size = sizeof(tn_plugin_class), .abi = TN_PLUGIN_ABI, .name_space = "", .type = "Tile", .version = "2", .min_inputs = 2, \
        .max_inputs = 2, .num_outputs = 2, .infer_shapes = tile_infer, .run = tile_run                                                   \
    }

#endif
