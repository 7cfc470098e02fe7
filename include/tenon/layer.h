/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/layer.h: the properties of layers: what they are, and changing them. To add layers, see tenon/network.h.
 *
 * What distinguishes two layers of a kind are its parameters: the fields of src/op/op_kinds.def by name. `tn_layer_kind` names
 * the kind, so that code for all kinds needs no list of its own:
 *
 *     tn_parameter p;
 *     for (int i = 0; tn_layer_parameter(layer, i, &p); i++) printf("%s\n", p.name);       // op
 *     tn_layer_set_text(layer, "op", "max");                                              // or set_int with TN_ELEMENTWISE_MAX
 *     tn_layer_set_dims(slice, "start", TN_DIMS(0, 2));
 *
 * A change reaches all layers behind: their types and shapes are derived again. Where one of them cannot take it, nothing is
 * changed, the error is recorded (it names that layer) and the setter returns false; as after a failed adder, the build refuses.
 *
 * A value that an input gives instead reads back as integer −1 or rank −1, and setting the parameter takes that input away:
 * slice start, size, stride (inputs 1 to 3), shuffle reshape (1), resize size (1), topk k (1).
 */
#ifndef TENON_LAYER_H_
#define TENON_LAYER_H_

#include "tenon/network.h"
#include "tenon/parameter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

TN_API int tn_layer_num_parameters(const tn_layer *layer);
TN_API bool tn_layer_parameter(const tn_layer *layer, int index, tn_parameter *out_parameter);             /* false: out of range */
TN_API bool tn_layer_find_parameter(const tn_layer *layer, const char *name, tn_parameter *out_parameter); /* false: none */
/* It has a parameter of that name, not real, dims or text, with that value: tn_layer_has(layer, "op", TN_ELEMENTWISE_SUM). */
TN_API bool tn_layer_has(const tn_layer *layer, const char *parameter, int64_t value);

/* All kinds, in no order that stays: "constant", "identity" … NULL out of range. Layers of some come from passes only. */
TN_API int tn_num_layer_kinds(void);
TN_API const char *tn_layer_kind_name(int kind);

/* --- changing; false after recording the error, NULL layers are silent ------------------------------------------------------ */

TN_API bool tn_layer_set_int(tn_layer *layer, const char *parameter, int64_t value); /* bool, int, dtype, enum */
TN_API bool tn_layer_set_real(tn_layer *layer, const char *parameter, double value);
TN_API bool tn_layer_set_dims(tn_layer *layer, const char *parameter, tn_dims dims);
/* Texts; enums and dtypes by their names. */
TN_API bool tn_layer_set_text(tn_layer *layer, const char *parameter, const char *text);
/* Another tensor for an input that is there or optional; NULL for an optional one: absent. It may be made after the layer if all
 * that reads the layer comes later still. */
TN_API bool tn_layer_set_input(tn_layer *layer, int index, tn_tensor *tensor);
/* What this layer's product is stored as, over the configuration's activation precision: matrix products only. */
TN_API bool tn_layer_set_activation_precision(tn_layer *layer, tn_activation_precision precision);
/* Inputs of the network only. A dimension that has a name keeps its value. */
TN_API bool tn_tensor_set_dims(tn_tensor *input, tn_dims dims);
TN_API bool tn_tensor_set_dtype(tn_tensor *input, tn_dtype dtype);

/* The scales of a resize; its size is taken away. */
TN_API bool tn_resize_set_scales(tn_layer *layer, const double *scales, int num_scales);

#ifdef __cplusplus
}
#endif
#endif
