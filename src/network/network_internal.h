/* SPDX-License-Identifier: Apache-2.0
 *
 * network_internal.h: what the files of network/ share: failing, use-lists, shape functions, host values.
 */
#ifndef TN_NETWORK_NETWORK_INTERNAL_H_
#define TN_NETWORK_NETWORK_INTERNAL_H_

#include "base/text.h"
#include "network/network.h"
#include "tenon/layer.h"

/* Small tensors that shapes depend on: rank ≤ 1 and at most so many elements. */
enum { TN_MAX_HOST_VALUES = 64, TN_MAX_OUTPUTS = 4, TN_MAX_NAME_BYTES = 4096 };

/* Records an error of the definition; the build will refuse. */
#define TN_NETWORK_FAIL(network, status, ...) ((network)->failed = true, (void)tn_fail((network)->diag, (status), __VA_ARGS__))
void tn_network_fail_memory(tn_network *network); /* reports once */
/* True, after recording "cannot <what>", while a pattern only looks (frozen_by). */
bool tn_network_is_frozen(tn_network *network, const char *what);
/* For an adder whose input is NULL: silent if an error was recorded before. */
void tn_network_fail_missing(tn_network *network, const char *what);

void *tn_network_alloc(tn_network *network, size_t size_bytes); /* zeroed, from the arena; NULL after recording */
char *tn_network_copy_string(tn_network *network, const char *string);

/* A constant whose values are copied; for adders. count elements of dtype in row-major order. */
tn_tensor *tn_network_add_copied_constant(tn_network *network, tn_dims dims, tn_dtype dtype, const double *values);
bool tn_layer_is_kind(tn_layer *layer, tn_op_kind kind); /* false after recording; NULL is silent */
/* The options are absent or were made by their init function; `kind` for the message. */
bool tn_network_options_are_made(tn_network *network, const char *kind, const void *options, size_t struct_size, size_t expected);

/* --- making tensors and layers -------------------------------------------------------------------------------------------- */

tn_tensor *tn_network_make_tensor(tn_network *network, const char *name, tn_dtype dtype);
bool tn_tensor_add_use(tn_tensor *tensor, tn_layer *layer, uint32_t input);
void tn_layer_drop_uses(tn_layer *layer);
void tn_network_link_layer(tn_network *network, tn_layer *layer);
void tn_network_move_layer(tn_network *network, tn_layer *layer, tn_layer *behind); /* to just behind another one */
/* Every dimension and host value in its canonical name, after leaves became one value. */
void tn_network_refresh_dims(tn_network *network);
bool tn_region_contains(const tn_network *network, uint32_t outer, uint32_t inner); /* inner is outer or inside it */
tn_network_state *tn_network_find_state(const tn_network *network, const char *name);

/* --- shape functions ------------------------------------------------------------------------------------------------------ */

typedef struct tn_shape_output {
    tn_dtype dtype;
    int rank;
    tn_sym dims[TN_MAX_RANK];
    const char *state; /* the output is this state's next version */
} tn_shape_output;

/* What a shape function sees, and fills: outputs, and fields of params that have a default. */
typedef struct tn_shape {
    tn_network *network;
    tn_op_kind kind;
    const char *name; /* of the layer; "" if it has none yet */
    bool is_change;   /* of a layer that stands; for messages */
    const tn_plugin *plugin;
    uint32_t count_id; /* the number that output 1 has, or will have when the layer and output 0 are made */
    tn_op_params *params;
    tn_tensor *const *inputs;
    uint32_t num_inputs; /* without those of epilogues */
    uint32_t num_outputs;
    tn_shape_output outputs[TN_MAX_OUTPUTS];
} tn_shape;

/* Both record "cannot add <kind> '<name>': …", or "cannot change …", and return false. */
bool tn_shape_fail(const tn_shape *shape, const char *format, ...) TN_PRINTF(2, 3);
bool tn_shape_fail_status(const tn_shape *shape, tn_status status, const char *format, ...) TN_PRINTF(3, 4);
/* "float32 [num_tokens, 576]" for messages; valid until the network dies. */
const char *tn_shape_describe(const tn_shape *shape, const tn_tensor *tensor);
const char *tn_shape_describe_dim(const tn_shape *shape, tn_sym dim);

/* Each records the reason and returns false if the input is not so. `what` names the input for the message. */
bool tn_shape_want_dtype(const tn_shape *shape, uint32_t input, const char *what, tn_dtype dtype);
bool tn_shape_want_float(const tn_shape *shape, uint32_t input, const char *what);
bool tn_shape_want_elements(const tn_shape *shape, uint32_t input); /* not quantised rows, whose elements share scales */
bool tn_shape_want_rank(const tn_shape *shape, uint32_t input, const char *what, int rank);
bool tn_shape_want_dim(const tn_shape *shape, uint32_t input, const char *what, int axis, tn_sym dim); /* refuses NO only */
bool tn_shape_want_axis(const tn_shape *shape, int64_t *axis, int rank);                               /* −1 = the last … */
bool tn_shape_want_weight_vector(const tn_shape *shape, uint32_t input, const char *what, tn_sym size);
bool tn_shape_want_state(const tn_shape *shape, uint32_t input, const char *what, const char *kind);

tn_sym tn_shape_const(const tn_shape *shape, int64_t value);
bool tn_shape_dim_is(const tn_shape *shape, tn_sym dim, int64_t value); /* is the constant `value` */
/* The broadcast of two dimensions; TN_SYM_INVALID if they cannot be. */
tn_sym tn_shape_broadcast(const tn_shape *shape, tn_sym a, tn_sym b);
/* outputs[index] = dtype and shape of the tensor. */
void tn_shape_copy(tn_shape *shape, uint32_t index, const tn_tensor *like, tn_dtype dtype);
bool tn_shape_output_is_input(tn_shape *shape); /* one output like input 0 */

#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) bool tn_shape_##member(tn_shape *shape);
#include "op/op_kinds.def"
#undef TN_OP

/* The outputs' types and shapes from present params and inputs. False after recording. */
bool tn_layer_infer_again(tn_layer *layer);

/* --- changing (change.c) ---------------------------------------------------------------------------------------------------- */

enum { TN_MAX_INPUT_CHANGES = 4 };
typedef struct tn_input_change {
    uint32_t index;
    tn_tensor *tensor; /* NULL: absent */
} tn_input_change;
/* New parameters and inputs; all layers behind follow. False after recording, and nothing is changed. */
bool tn_layer_change(tn_layer *layer, const tn_op_params *params, const tn_input_change *inputs, uint32_t num_inputs);
bool tn_network_input_dims_are_valid(tn_network *network, const char *what, const char *name, const tn_dims *dims);
bool tn_network_input_dtype_is_valid(tn_network *network, const char *what, const char *name, tn_dtype dtype);

/* --- host values ---------------------------------------------------------------------------------------------------------- */

/* After a layer was made: folds its outputs to symbols where its inputs are known. False when out of memory. */
bool tn_layer_fold_host_values(tn_layer *layer);
/* Gives the tensor HOST_VALUE symbols of its own. */
bool tn_tensor_make_host_values(tn_tensor *tensor);
/* Number of elements if fixed, of rank ≤ 1, small and of an integer type or bool. */
bool tn_tensor_host_count(const tn_tensor *tensor, int64_t *out_count);
/* Input `input` of the op is read as a shape, on the host. */
bool tn_op_input_is_shape(tn_op_kind kind, uint32_t input);
bool tn_op_input_is_optional(tn_op_kind kind, uint32_t input);

#endif
