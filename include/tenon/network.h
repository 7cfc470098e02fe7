/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/network.h: define a network: inputs, layers, outputs. To turn it into a plan, see tenon/builder.h.
 *
 * Objects: a network owns its tensors and layers; both live until tn_network_destroy and are never passed elsewhere. Every
 * adder returns NULL after recording the reason, and every function accepts NULL and then records "an input is missing" once,
 * so that a definition can be written without checks and fails at tn_builder_build with all its errors.
 *
 * Shapes: −1 in an input's dims means known at run time. Derived dims that are not constant read back as −1; equal dimension
 * names mean equal values. Tensors that hold shapes are ordinary integer tensors; those that shapes depend on are computed on
 * the host.
 *
 * Ownership: names and dims are copied; weights data is borrowed until the build returns. Not locked.
 *
 *     tn_network *net;                tn_network_create(NULL, &net);
 *     tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, 784));
 *     tn_tensor_set_dim_name(x, 0, "batch");
 *     tn_layer *w = tn_network_add_constant(net, TN_DIMS(10, 784), &weights);
 *     tn_layer *y = tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, tn_layer_output(w, 0), TN_MATRIX_TRANSPOSE);
 *     tn_network_mark_output(net, tn_layer_output(y, 0), "y");
 */
#ifndef TENON_NETWORK_H_
#define TENON_NETWORK_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/allocator.h"
#include "tenon/diag.h"
#include "tenon/dtype.h"
#include "tenon/op_enums.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_network tn_network;
typedef struct tn_tensor tn_tensor;
typedef struct tn_layer tn_layer;

/* Strong typing: types come from inputs, casts and Q/DQ layers only. Without it the builder's precision flags are a set of
 * allowed types. */
#define TN_NETWORK_STRONGLY_TYPED (1u << 0)

typedef struct tn_network_options {
    size_t struct_size;            /* set by tn_network_options_init */
    tn_diag *diag;                 /* borrowed until destroy; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
    uint32_t flags;                /* TN_NETWORK_…; default 0 */
    const char *name;              /* the plan function's name; NULL: "forward" */
} tn_network_options;
TN_API void tn_network_options_init(tn_network_options *options);

TN_API TN_MUST_CHECK tn_status tn_network_create(const tn_network_options *options, tn_network **out_network);
TN_API void tn_network_destroy(tn_network *network); /* accepts NULL */

/* A constant's values, row-major. The bytes are borrowed until the build returns. */
typedef struct tn_weights_data {
    tn_dtype dtype;
    const void *data;
    int64_t count;    /* elements; must be the product of the constant's dims */
    const char *name; /* for refit; NULL: not refittable by name */
} tn_weights_data;

/* --- inputs, outputs, tensors ------------------------------------------------------------------------------------- */

TN_API tn_tensor *tn_network_add_input(tn_network *network, const char *name, tn_dtype dtype, tn_dims dims);
TN_API void tn_network_mark_output(tn_network *network, tn_tensor *tensor, const char *name); /* name NULL: the tensor's */
TN_API void tn_network_unmark_output(tn_network *network, tn_tensor *tensor);
TN_API void tn_network_mark_debug(tn_network *network, tn_tensor *tensor);

TN_API int tn_network_num_inputs(const tn_network *network);
TN_API int tn_network_num_outputs(const tn_network *network);
TN_API int tn_network_num_layers(const tn_network *network);
TN_API tn_tensor *tn_network_input(const tn_network *network, int index); /* NULL out of range */
TN_API tn_tensor *tn_network_output(const tn_network *network, int index);
TN_API tn_layer *tn_network_layer(const tn_network *network, int index); /* O(index) */

TN_API const char *tn_tensor_name(const tn_tensor *tensor);
TN_API void tn_tensor_set_name(tn_tensor *tensor, const char *name);
TN_API tn_dtype tn_tensor_dtype(const tn_tensor *tensor);
TN_API tn_dims tn_tensor_dims(const tn_tensor *tensor);
TN_API void tn_tensor_set_dim_name(tn_tensor *tensor, int axis, const char *name); /* inputs only */
TN_API const char *tn_tensor_dim_name(const tn_tensor *tensor, int axis);

TN_API tn_tensor *tn_layer_output(const tn_layer *layer, int index); /* NULL if layer is NULL or index out of range */
TN_API tn_tensor *tn_layer_input(const tn_layer *layer, int index);
TN_API const char *tn_layer_name(const tn_layer *layer);
TN_API void tn_layer_set_name(tn_layer *layer, const char *name);
TN_API const char *tn_layer_kind(const tn_layer *layer); /* "matrix_multiply" */

/* --- layers: semantics in src/op/op_kinds.def's words ----------------------------------------------------------------- */

TN_API tn_layer *tn_network_add_constant(tn_network *network, tn_dims dims, const tn_weights_data *weights);
TN_API tn_layer *tn_network_add_identity(tn_network *network, tn_tensor *x);
TN_API tn_layer *tn_network_add_cast(tn_network *network, tn_tensor *x, tn_dtype to);
TN_API tn_layer *tn_network_add_shape(tn_network *network, tn_tensor *x);
TN_API tn_layer *tn_network_add_fill(tn_network *network, tn_tensor *dims, tn_tensor *alpha, tn_tensor *beta);
TN_API tn_layer *tn_network_add_unary(tn_network *network, tn_tensor *x, tn_unary_op op);
TN_API tn_layer *tn_network_add_activation(tn_network *network, tn_tensor *x, tn_activation_type type);
TN_API tn_layer *tn_network_add_elementwise(tn_network *network, tn_tensor *a, tn_tensor *b, tn_elementwise_op op);
TN_API tn_layer *tn_network_add_select(tn_network *network, tn_tensor *condition, tn_tensor *if_true, tn_tensor *if_false);
TN_API tn_layer *tn_network_add_reduce(tn_network *network, tn_tensor *x, tn_reduce_op op, uint32_t axes, bool keep_dims);
TN_API tn_layer *tn_network_add_softmax(tn_network *network, tn_tensor *x, int axis);
/* scale and bias are one-dimensional; bias may be NULL. Over the last dimension. */
TN_API tn_layer *tn_network_add_normalization(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_tensor *bias,
                                              tn_normalization_type type, double epsilon);
TN_API tn_layer *tn_network_add_shuffle(tn_network *network, tn_tensor *x); /* then the setters */
TN_API void tn_shuffle_set_first_transpose(tn_layer *layer, tn_dims permutation);
TN_API void tn_shuffle_set_reshape(tn_layer *layer, tn_dims dims);
TN_API void tn_shuffle_set_reshape_tensor(tn_layer *layer, tn_tensor *dims);
TN_API void tn_shuffle_set_second_transpose(tn_layer *layer, tn_dims permutation);
TN_API tn_layer *tn_network_add_slice(tn_network *network, tn_tensor *x, tn_dims start, tn_dims size, tn_dims stride);
/* Dynamic form: each may be NULL to keep the dims given above. Host integer tensors [rank]. */
TN_API void tn_slice_set_tensors(tn_layer *layer, tn_tensor *start, tn_tensor *size, tn_tensor *stride);
TN_API tn_layer *tn_network_add_concatenation(tn_network *network, tn_tensor *const *inputs, int num_inputs, int axis);
TN_API tn_layer *tn_network_add_gather(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_gather_mode mode, int axis);
TN_API tn_layer *tn_network_add_non_zero(tn_network *network, tn_tensor *x);
TN_API tn_layer *tn_network_add_matrix_multiply(tn_network *network, tn_tensor *a, tn_matrix_op op_a, tn_tensor *b, tn_matrix_op op_b);
TN_API tn_layer *tn_network_add_quantize(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, int axis);
TN_API tn_layer *tn_network_add_dequantize(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, int axis);

/* --- If: the layers added between begin and else, and else and end, form the branches -------------------------------------- */

typedef struct tn_if tn_if;
TN_API tn_if *tn_network_begin_if(tn_network *network, tn_tensor *condition); /* scalar bool */
TN_API void tn_if_else(tn_if *conditional);
TN_API void tn_if_end(tn_if *conditional);
/* After end: one value of the two branches. */
TN_API tn_layer *tn_if_add_output(tn_if *conditional, tn_tensor *if_true, tn_tensor *if_false);

/* --- Loop: the layers added between begin and end form the body ------------------------------------------------------------- */

typedef struct tn_loop tn_loop;
TN_API tn_loop *tn_network_begin_loop(tn_network *network);
TN_API void tn_loop_set_trip_limit(tn_loop *loop, tn_tensor *count);    /* scalar integer, from outside */
TN_API void tn_loop_set_condition(tn_loop *loop, tn_tensor *condition); /* scalar bool of the body: goes on while true */
TN_API tn_layer *tn_loop_add_recurrence(tn_loop *loop, tn_tensor *initial);
TN_API void tn_recurrence_set_next(tn_layer *recurrence, tn_tensor *next);
TN_API tn_layer *tn_loop_add_iterator(tn_loop *loop, tn_tensor *x, int axis, bool reverse);
TN_API void tn_loop_end(tn_loop *loop);
/* After end. concatenate false: the last value of x; true: all of them along a new axis. */
TN_API tn_layer *tn_loop_add_output(tn_loop *loop, tn_tensor *x, bool concatenate, int axis);

#ifdef __cplusplus
}
#endif
#endif
