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
TN_API void tn_network_unmark_debug(tn_network *network, tn_tensor *tensor);
/* Also what is left of the layers after fusion, under the names that the inspector shows; this keeps nothing from being fused. */
TN_API void tn_network_mark_unfused_as_debug(tn_network *network, bool mark);
/* An integer tensor of 1 dimension whose elements are wanted as a shape: it is computed on the host before the rest runs if it
 * can be, and the output lies there. */
TN_API void tn_network_mark_output_for_shapes(tn_network *network, tn_tensor *tensor, const char *name);
TN_API bool tn_tensor_is_output(const tn_tensor *tensor);
TN_API bool tn_tensor_is_debug(const tn_tensor *tensor);
TN_API bool tn_tensor_is_input(const tn_tensor *tensor);
/* Its elements are known to the shapes: computed on the host. */
TN_API bool tn_tensor_is_shape(const tn_tensor *tensor);
TN_API bool tn_tensor_is_made_on_host(const tn_tensor *tensor); /* where it is made; final when the network is complete */
/* First of that name; NULL: none. */
TN_API tn_tensor *tn_network_find_tensor(const tn_network *network, const char *name);
TN_API tn_layer *tn_network_find_layer(const tn_network *network, const char *name);
/* Removes the layer that makes the tensor; its other outputs go too. Refused while something reads one, or one is an output. */
TN_API void tn_network_remove_tensor(tn_network *network, tn_tensor *tensor);
TN_API const char *tn_network_name(const tn_network *network);
TN_API void tn_network_set_name(tn_network *network, const char *name); /* UTF-8, not empty */
TN_API uint32_t tn_network_flags(const tn_network *network);

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
TN_API int tn_layer_num_inputs(const tn_layer *layer);   /* absent optional ones count */
TN_API int tn_layer_num_outputs(const tn_layer *layer);
/* Free text that stays with the layer; copied, NULL: none. "" if there is none. */
TN_API void tn_layer_set_metadata(tn_layer *layer, const char *metadata);
TN_API const char *tn_layer_metadata(const tn_layer *layer);
/* The name by which a constant's values are refitted. */
TN_API void tn_constant_set_weights_name(tn_layer *layer, const char *name);

/* --- layers: semantics in src/op/op_kinds.def's words ----------------------------------------------------------------- */

TN_API tn_layer *tn_network_add_constant(tn_network *network, tn_dims dims, const tn_weights_data *weights);
TN_API tn_layer *tn_network_add_identity(tn_network *network, tn_tensor *x);
TN_API tn_layer *tn_network_add_cast(tn_network *network, tn_tensor *x, tn_dtype to);
TN_API tn_layer *tn_network_add_shape(tn_network *network, tn_tensor *x);
/* linspace until tn_fill_set_operation. alpha a scalar, beta a scalar or (linspace) one value an axis; their type is the output's. */
TN_API tn_layer *tn_network_add_fill(tn_network *network, tn_tensor *dims, tn_tensor *alpha, tn_tensor *beta);
/* The same with constants. */
TN_API tn_layer *tn_network_add_fill_constant(tn_network *network, tn_dims dims, tn_fill_op op, tn_dtype dtype, double alpha, double beta);
/* Random numbers are a function of seed and index: equal in every run, on every device. */
TN_API void tn_fill_set_operation(tn_layer *layer, tn_fill_op op, int64_t seed);
/* A false element of the condition (bool, scalar or [n]) stops the run with this message; one that is never true stops the build.
 * The message: UTF-8 of at most 127 bytes without quotes, backslashes and control characters. */
TN_API tn_layer *tn_network_add_assertion(tn_network *network, tn_tensor *condition, const char *message);
TN_API tn_layer *tn_network_add_unary(tn_network *network, tn_tensor *x, tn_unary_op op);
TN_API tn_layer *tn_network_add_activation(tn_network *network, tn_tensor *x, tn_activation_type type);
/* Activations that have them start with: leaky_relu 0.01; elu 1; selu 1.67326…, 1.0507…; softplus 1, 1; clip the range of
 * float32; hard_sigmoid 0.2, 0.5; scaled_tanh 1, 1; thresholded_relu 1. */
TN_API void tn_activation_set_parameters(tn_layer *layer, double alpha, double beta);
TN_API tn_layer *tn_network_add_parametric_relu(tn_network *network, tn_tensor *x, tn_tensor *slope);
/* (x · scale + shift)^power; each may be NULL. axis: of the channels (CHANNEL), or the first that weights have (ELEMENTWISE). */
TN_API tn_layer *tn_network_add_scale(tn_network *network, tn_tensor *x, tn_scale_mode mode, tn_tensor *shift, tn_tensor *scale,
                                      tn_tensor *power, int axis);
TN_API tn_layer *tn_network_add_elementwise(tn_network *network, tn_tensor *a, tn_tensor *b, tn_elementwise_op op);
TN_API tn_layer *tn_network_add_select(tn_network *network, tn_tensor *condition, tn_tensor *if_true, tn_tensor *if_false);
TN_API tn_layer *tn_network_add_reduce(tn_network *network, tn_tensor *x, tn_reduce_op op, uint32_t axes, bool keep_dims);
TN_API tn_layer *tn_network_add_softmax(tn_network *network, tn_tensor *x, int axis);
/* scale and bias are one-dimensional; bias may be NULL. Over the last dimension. */
TN_API tn_layer *tn_network_add_normalization(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_tensor *bias,
                                              tn_normalization_type type, double epsilon);
/* Over the axes of a bit mask; scale and bias have x's rank and broadcast to x. Instance norm: the spatial axes, scale
 * [1, c, 1 …]; group norm: the same with groups > 1, scale [1, c, 1 …] or [1, groups, 1 …]; layer norm: the last axes. */
TN_API tn_layer *tn_network_add_normalization_nd(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_tensor *bias,
                                                 tn_normalization_type type, uint32_t axes, int64_t groups, double epsilon);
TN_API tn_layer *tn_network_add_lrn(tn_network *network, tn_tensor *x, int64_t window, double alpha, double beta, double k);
/* Output 0 the values in order, output 1 their int32 indices. */
TN_API tn_layer *tn_network_add_topk(tn_network *network, tn_tensor *x, tn_topk_op op, int64_t k, int axis);
TN_API void tn_topk_set_k_tensor(tn_layer *layer, tn_tensor *k); /* host integer scalar instead */
TN_API void tn_topk_set_indices_type(tn_layer *layer, tn_dtype dtype);
TN_API tn_layer *tn_network_add_cumulative(tn_network *network, tn_tensor *x, int axis, tn_cumulative_op op, bool exclusive, bool reverse);
/* x [a, b, n]; bounds [a, b, 1]: how many elements of each row count. */
TN_API tn_layer *tn_network_add_ragged_softmax(tn_network *network, tn_tensor *x, tn_tensor *bounds);
TN_API tn_layer *tn_network_add_shuffle(tn_network *network, tn_tensor *x); /* then the setters */
TN_API void tn_shuffle_set_first_transpose(tn_layer *layer, tn_dims permutation);
TN_API void tn_shuffle_set_reshape(tn_layer *layer, tn_dims dims);
TN_API void tn_shuffle_set_reshape_tensor(tn_layer *layer, tn_tensor *dims);
TN_API void tn_shuffle_set_second_transpose(tn_layer *layer, tn_dims permutation);
TN_API void tn_shuffle_set_zero_is_placeholder(tn_layer *layer, bool is_placeholder); /* default true: a 0 copies the dimension */
/* axes: −rank … rank − 1 of the input (squeeze) or of the output (unsqueeze), each once. */
TN_API tn_layer *tn_network_add_squeeze(tn_network *network, tn_tensor *x, const int *axes, int num_axes);
TN_API tn_layer *tn_network_add_unsqueeze(tn_network *network, tn_tensor *x, const int *axes, int num_axes);
TN_API tn_layer *tn_network_add_slice(tn_network *network, tn_tensor *x, tn_dims start, tn_dims size, tn_dims stride);
/* Dynamic form: each may be NULL to keep the dims given above. Host integer tensors [rank]. */
TN_API void tn_slice_set_tensors(tn_layer *layer, tn_tensor *start, tn_tensor *size, tn_tensor *stride);
/* Everything a slice can have. What a tensor gives is not read from the dims. */
typedef struct tn_slice_options {
    size_t struct_size; /* set by tn_slice_options_init */
    tn_dims start, size, stride;
    tn_dims axes;        /* rank 0: all, in order */
    tn_sample_mode mode; /* default strict_bounds */
    tn_tensor *start_tensor, *size_tensor, *stride_tensor;
    tn_tensor *fill; /* scalar of x's type, for mode fill; NULL: 0 */
} tn_slice_options;
TN_API void tn_slice_options_init(tn_slice_options *options);
TN_API tn_layer *tn_network_add_slice_with(tn_network *network, tn_tensor *x, const tn_slice_options *options);
/* Zeros before and after the last dimensions, as many as pre and post have; negative crops. A slice. */
TN_API tn_layer *tn_network_add_padding(tn_network *network, tn_tensor *x, tn_dims pre, tn_dims post);
TN_API tn_layer *tn_network_add_concatenation(tn_network *network, tn_tensor *const *inputs, int num_inputs, int axis);
TN_API tn_layer *tn_network_add_gather(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_gather_mode mode, int axis);
/* The first dimensions that data and indices have in common: 0 or 1 (default), 0 to rank − 1 (nd). */
TN_API tn_layer *tn_network_add_gather_batched(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_gather_mode mode, int axis,
                                               int batch_dims);
TN_API tn_layer *tn_network_add_scatter(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_tensor *updates, tn_scatter_mode mode,
                                        int axis);
TN_API tn_layer *tn_network_add_one_hot(tn_network *network, tn_tensor *indices, tn_tensor *values, int64_t depth, int axis);
TN_API tn_layer *tn_network_add_reverse_sequence(tn_network *network, tn_tensor *x, tn_tensor *lengths, int batch_axis, int sequence_axis);
TN_API tn_layer *tn_network_add_non_zero(tn_network *network, tn_tensor *x);
TN_API void tn_non_zero_set_indices_type(tn_layer *layer, tn_dtype dtype); /* int64 (default) or int32 */

typedef struct tn_nms_options {
    size_t struct_size;                         /* set by tn_nms_options_init */
    tn_box_format format;                       /* default corner_pairs */
    int64_t top_k;                              /* candidates a class; default 5,000 */
    tn_dtype indices;                           /* int32 (default) or int64 */
    tn_tensor *iou_threshold, *score_threshold; /* scalars; NULL: 0, and no threshold */
} tn_nms_options;
TN_API void tn_nms_options_init(tn_nms_options *options);
/* Output 0: (batch, class, box) [m, 3]; output 1: m. max_per_class: host integer scalar. options NULL: defaults. */
TN_API tn_layer *tn_network_add_nms(tn_network *network, tn_tensor *boxes, tn_tensor *scores, tn_tensor *max_per_class,
                                    const tn_nms_options *options);

/* --- windows and sampling: x is [n, c, 1 to 3 spatial dimensions] ---------------------------------------------------------- */

typedef struct tn_window_options {
    size_t struct_size;                /* set by tn_window_options_init */
    tn_dims stride, dilation;          /* rank 0: 1; pooling has no dilation */
    tn_dims pre_padding, post_padding; /* rank 0: 0 */
    tn_padding_mode padding_mode;      /* default explicit_round_down */
    int64_t groups;                    /* of convolutions; default 1 */
    double blend_factor;               /* of max_average_blend: 0 = max, 1 = average */
    bool average_counts_padding;       /* default false */
} tn_window_options;
TN_API void tn_window_options_init(tn_window_options *options);
/* kernel [filters, channels / groups, …], bias [filters] or NULL. options NULL: defaults. */
TN_API tn_layer *tn_network_add_convolution(tn_network *network, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias,
                                            const tn_window_options *options);
/* kernel [channels, filters / groups, …]. */
TN_API tn_layer *tn_network_add_deconvolution(tn_network *network, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias,
                                              const tn_window_options *options);
TN_API tn_layer *tn_network_add_pooling(tn_network *network, tn_tensor *x, tn_pooling_type type, tn_dims window,
                                        const tn_window_options *options);

typedef struct tn_resize_options {
    size_t struct_size;         /* set by tn_resize_options_init */
    tn_tensor *size_tensor;     /* host integers [rank]; else… */
    tn_dims size;               /* …the output's dims; else… */
    double scales[TN_MAX_RANK]; /* …⌊dim · scale⌋; read as the simplest fraction near by (0.6 is 3/5) */
    int num_scales;
    tn_interpolation_mode mode;    /* default nearest */
    tn_resize_transform transform; /* default asymmetric */
    tn_resize_selector selector;
    tn_resize_rounding rounding; /* of nearest; default floor */
    double cubic_coeff;          /* default −0.75 */
    bool exclude_outside;        /* cubic: neighbours outside have no share */
} tn_resize_options;
TN_API void tn_resize_options_init(tn_resize_options *options);
TN_API tn_layer *tn_network_add_resize(tn_network *network, tn_tensor *x, const tn_resize_options *options);
/* grid [n, h, w, 2]; outside: fill (zeros), clamp or reflect. */
TN_API tn_layer *tn_network_add_grid_sample(tn_network *network, tn_tensor *x, tn_tensor *grid, tn_interpolation_mode mode,
                                            bool align_corners, tn_sample_mode outside);

/* --- products ------------------------------------------------------------------------------------------------------------- */

/* "ij,jk->ik": letters a to z, blanks, an ellipsis, with or without "->" and output; 1 to 4 inputs. */
TN_API tn_layer *tn_network_add_einsum(tn_network *network, tn_tensor *const *inputs, int num_inputs, const char *equation);
/* x [n, …] as [n, k] times kernel [outputs, k], + bias [outputs] if given → [n, outputs, 1, 1]. Several layers; the last one. */
TN_API tn_layer *tn_network_add_fully_connected(tn_network *network, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias);
TN_API tn_layer *tn_network_add_matrix_multiply(tn_network *network, tn_tensor *a, tn_matrix_op op_a, tn_tensor *b, tn_matrix_op op_b);

/* Both make several layers; the last one comes back. q [batch, heads, queries, size], k and v [batch, kv heads, keys, size]: softmax
 * of q·kᵀ, unscaled, times v. The numbers of heads and the sizes are fixed. */
typedef struct tn_attention_options {
    size_t struct_size;    /* set by tn_attention_options_init */
    bool softmax;          /* default true; false: the scores as they are */
    tn_causal_mask causal; /* default none; not together with a mask */
    tn_tensor *mask;       /* [batch or 1, heads or 1, queries, keys]: bool, true = seen, or added */
} tn_attention_options;
TN_API void tn_attention_options_init(tn_attention_options *options);
TN_API tn_layer *tn_network_add_attention(tn_network *network, tn_tensor *q, tn_tensor *k, tn_tensor *v,
                                          const tn_attention_options *options);
/* x [batch, heads, length, size]: the first rotary_dim elements (0: all) of each head rotated. cos and sin [positions,
 * rotary_dim / 2] with position_ids [batch, length], or [batch, length, rotary_dim / 2] with NULL. */
TN_API tn_layer *tn_network_add_rotary_embedding(tn_network *network, tn_tensor *x, tn_tensor *cos, tn_tensor *sin, tn_tensor *position_ids,
                                                 bool interleaved, int64_t rotary_dim);

typedef struct tn_kv_cache_update_options {
    size_t struct_size;        /* set by tn_kv_cache_update_options_init */
    tn_tensor *update_lengths; /* integers [batch]: how many of each row's update count; NULL: all */
} tn_kv_cache_update_options;
TN_API void tn_kv_cache_update_options_init(tn_kv_cache_update_options *options);
/* cache [batch, heads, max length, size] with update [batch, heads, length, size] from write_indices[batch] on; what falls outside
 * is dropped. The output is the new cache; give it back as the next run's input. Several layers; the last one. */
TN_API tn_layer *tn_network_add_kv_cache_update(tn_network *network, tn_tensor *cache, tn_tensor *update, tn_tensor *write_indices,
                                                const tn_kv_cache_update_options *options);

/* Per token Σ over its k experts of score · down(act(gate(x)) · up(x)), each with its bias. */
typedef struct tn_moe_options {
    size_t struct_size;                             /* set by tn_moe_options_init */
    tn_tensor *gate, *up;                           /* constants [experts, inner, hidden] */
    tn_tensor *down;                                /* constant [experts, hidden, inner] */
    tn_tensor *gate_bias, *up_bias, *down_bias;     /* [experts, inner], [experts, inner], [experts, hidden]; NULL: none */
    tn_activation_type activation;                  /* default silu */
    double swiglu_limit, swiglu_alpha, swiglu_beta; /* of silu: gate ≤ limit, |up| ≤ limit, gate · σ(alpha · gate) · (up + beta);
                                                       defaults ∞, 1, 0 */
} tn_moe_options;
TN_API void tn_moe_options_init(tn_moe_options *options);
/* x [tokens, hidden] or [batch, tokens, hidden]; experts (int32) and scores (x's type) the same with k columns: the experts of a
 * token, all different, and what they weigh. Several layers; the last one. */
TN_API tn_layer *tn_network_add_moe(tn_network *network, tn_tensor *x, tn_tensor *experts, tn_tensor *scores,
                                    const tn_moe_options *options);

/* Over the ranks of `group` (num_ranks 0: all). One rank runs in this version: the output is x, and a group or a root that needs
 * another rank is TN_UNSUPPORTED. `op` counts for reductions. */
TN_API tn_layer *tn_network_add_collective(tn_network *network, tn_tensor *x, tn_collective_type type, tn_reduce_op op, int64_t root,
                                           const int64_t *group, int num_ranks);

TN_API tn_layer *tn_network_add_quantize(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, int axis);
TN_API tn_layer *tn_network_add_dequantize(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, int axis);
/* Of quantize and dequantize layers; added with a scale of that many blocks. */
TN_API tn_layer *tn_network_add_quantize_blocks(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, tn_dims block);
TN_API tn_layer *tn_network_add_dequantize_blocks(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, tn_dims block);
/* Scales from the largest magnitude of each block. Output 0: the data; output 1: the scales, divided by scale_scale if given. */
TN_API tn_layer *tn_network_add_dynamic_quantize(tn_network *network, tn_tensor *x, tn_tensor *scale_scale, tn_dtype to,
                                                 tn_dtype scale_type, tn_dims block);

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
