/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/op_enums.h: the enums that layers' parameters use, each as one table: enumerator and the name that files and the text
 * form store. Value 0 is the default.
 */
#ifndef TENON_OP_ENUMS_H_
#define TENON_OP_ENUMS_H_

#define TN_ENUM_ACTIVATION(X)                                                                                          \
    X(TN_ACTIVATION_NONE, "none")                                                                                      \
    X(TN_ACTIVATION_RELU, "relu")                                                                                      \
    X(TN_ACTIVATION_SIGMOID, "sigmoid")                                                                                \
    X(TN_ACTIVATION_TANH, "tanh")                                                                                      \
    X(TN_ACTIVATION_SILU, "silu")                         /* x · sigmoid(x) */                                        \
    X(TN_ACTIVATION_GELU_ERF, "gelu_erf")                 /* x · Φ(x) */                                             \
    X(TN_ACTIVATION_GELU_TANH, "gelu_tanh")               /* 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) */     \
    X(TN_ACTIVATION_GELU_QUICK, "gelu_quick")             /* x · sigmoid(1.702·x) */                                 \
    X(TN_ACTIVATION_LEAKY_RELU, "leaky_relu")             /* x < 0 ? alpha·x : x; from here on with alpha and beta */ \
    X(TN_ACTIVATION_ELU, "elu")                           /* x < 0 ? alpha·(eˣ − 1) : x */                         \
    X(TN_ACTIVATION_SELU, "selu")                         /* beta·(x < 0 ? alpha·(eˣ − 1) : x) */                 \
    X(TN_ACTIVATION_SOFTSIGN, "softsign")                 /* x / (1 + |x|) */                                          \
    X(TN_ACTIVATION_SOFTPLUS, "softplus")                 /* alpha · log(1 + e^(beta·x)) */                          \
    X(TN_ACTIVATION_CLIP, "clip")                         /* max(alpha, min(beta, x)) */                               \
    X(TN_ACTIVATION_HARD_SIGMOID, "hard_sigmoid")         /* max(0, min(1, alpha·x + beta)) */                        \
    X(TN_ACTIVATION_SCALED_TANH, "scaled_tanh")           /* alpha · tanh(beta·x) */                                 \
    X(TN_ACTIVATION_THRESHOLDED_RELU, "thresholded_relu") /* x > alpha ? x : 0 */

#define TN_ENUM_UNARY(X)                          \
    X(TN_UNARY_EXP, "exp")                        \
    X(TN_UNARY_LOG, "log")                        \
    X(TN_UNARY_SQRT, "sqrt")                      \
    X(TN_UNARY_RECIP, "recip")                    \
    X(TN_UNARY_ABS, "abs")                        \
    X(TN_UNARY_NEG, "neg")                        \
    X(TN_UNARY_SIN, "sin")                        \
    X(TN_UNARY_COS, "cos")                        \
    X(TN_UNARY_ERF, "erf")                        \
    X(TN_UNARY_FLOOR, "floor")                    \
    X(TN_UNARY_CEIL, "ceil")                      \
    X(TN_UNARY_ROUND, "round") /* half to even */ \
    X(TN_UNARY_NOT, "not")     /* bool */         \
    X(TN_UNARY_TAN, "tan")                        \
    X(TN_UNARY_SINH, "sinh")                      \
    X(TN_UNARY_COSH, "cosh")                      \
    X(TN_UNARY_ASIN, "asin")                      \
    X(TN_UNARY_ACOS, "acos")                      \
    X(TN_UNARY_ATAN, "atan")                      \
    X(TN_UNARY_ASINH, "asinh")                    \
    X(TN_UNARY_ACOSH, "acosh")                    \
    X(TN_UNARY_ATANH, "atanh")                    \
    X(TN_UNARY_SIGN, "sign")   /* −1, 0, 1 */   \
    X(TN_UNARY_ISINF, "isinf") /* → bool */     \
    X(TN_UNARY_ISNAN, "isnan") /* → bool */

#define TN_ENUM_ELEMENTWISE(X)                                                                                  \
    X(TN_ELEMENTWISE_SUM, "sum")                                                                                \
    X(TN_ELEMENTWISE_PROD, "prod")                                                                              \
    X(TN_ELEMENTWISE_MAX, "max")                                                                                \
    X(TN_ELEMENTWISE_MIN, "min")                                                                                \
    X(TN_ELEMENTWISE_SUB, "sub")                                                                                \
    X(TN_ELEMENTWISE_DIV, "div") /* integers: truncates; by zero: TN_INVALID_DATA on the host, 0 on a device */ \
    X(TN_ELEMENTWISE_POW, "pow")                                                                                \
    X(TN_ELEMENTWISE_FLOOR_DIV, "floor_div")                                                                    \
    X(TN_ELEMENTWISE_MOD, "mod") /* sign of the divisor */                                                      \
    X(TN_ELEMENTWISE_AND, "and") /* bool */                                                                     \
    X(TN_ELEMENTWISE_OR, "or")                                                                                  \
    X(TN_ELEMENTWISE_XOR, "xor")                                                                                \
    X(TN_ELEMENTWISE_EQUAL, "equal") /* → bool */                                                             \
    X(TN_ELEMENTWISE_GREATER, "greater")                                                                        \
    X(TN_ELEMENTWISE_LESS, "less")

#define TN_ENUM_REDUCE(X)     \
    X(TN_REDUCE_SUM, "sum")   \
    X(TN_REDUCE_PROD, "prod") \
    X(TN_REDUCE_MAX, "max")   \
    X(TN_REDUCE_MIN, "min")   \
    X(TN_REDUCE_AVG, "avg")

#define TN_ENUM_MATRIX(X)               \
    X(TN_MATRIX_NONE, "none")           \
    X(TN_MATRIX_TRANSPOSE, "transpose") \
    X(TN_MATRIX_VECTOR, "vector") /* the operand lacks its matrix dimension of size 1 */

#define TN_ENUM_NORMALIZATION(X)                                                           \
    X(TN_NORMALIZATION_LAYER, "layer") /* (x − mean) / √(var + eps) · scale + bias */ \
    X(TN_NORMALIZATION_RMS, "rms")     /* x / √(mean(x²) + eps) · scale */

#define TN_ENUM_GATHER(X)           \
    X(TN_GATHER_DEFAULT, "default") \
    X(TN_GATHER_ELEMENT, "element") \
    X(TN_GATHER_ND, "nd")

#define TN_ENUM_ROTARY(X)                                                                                    \
    X(TN_ROTARY_HALVES, "halves")           /* pairs (i, i + dim/2): Hugging Face's rotate_half, GPT-NeoX */ \
    X(TN_ROTARY_INTERLEAVED, "interleaved") /* pairs (2i, 2i + 1): GPT-J, GGUF llama */

#define TN_ENUM_ROUTE(X)                                                                                                                \
    X(TN_ROUTE_SOFTMAX_TOPK, "softmax_topk") /* softmax over all experts, then the k largest; param renormalize divides by their sum */ \
    X(TN_ROUTE_TOPK_SOFTMAX, "topk_softmax") /* the k largest logits, then softmax over those: Mixtral */                               \
    X(TN_ROUTE_SIGMOID_TOPK, "sigmoid_topk")

#define TN_ENUM_COLLECTIVE(X)                         \
    X(TN_COLLECTIVE_ALL_REDUCE, "all_reduce")         \
    X(TN_COLLECTIVE_ALL_GATHER, "all_gather")         \
    X(TN_COLLECTIVE_REDUCE_SCATTER, "reduce_scatter") \
    X(TN_COLLECTIVE_BROADCAST, "broadcast")           \
    X(TN_COLLECTIVE_SEND, "send")                     \
    X(TN_COLLECTIVE_RECV, "recv")                     \
    X(TN_COLLECTIVE_ALL_TO_ALL_V, "all_to_all_v")     \
    X(TN_COLLECTIVE_REDUCE, "reduce")                 \
    X(TN_COLLECTIVE_ALL_TO_ALL, "all_to_all")         \
    X(TN_COLLECTIVE_GATHER, "gather")                 \
    X(TN_COLLECTIVE_SCATTER, "scatter")

#define TN_ENUM_FILL(X)                                                                    \
    X(TN_FILL_LINSPACE, "linspace")             /* alpha + Σ beta[axis] · index[axis] */ \
    X(TN_FILL_RANDOM_UNIFORM, "random_uniform") /* in [alpha, beta) */                     \
    X(TN_FILL_RANDOM_NORMAL, "random_normal")   /* mean alpha, standard deviation beta */

#define TN_ENUM_TOPK(X)   \
    X(TN_TOPK_MAX, "max") \
    X(TN_TOPK_MIN, "min")

#define TN_ENUM_CUMULATIVE(X) X(TN_CUMULATIVE_SUM, "sum")

#define TN_ENUM_SCALE(X)                                                  \
    X(TN_SCALE_UNIFORM, "uniform")         /* one value for all */        \
    X(TN_SCALE_CHANNEL, "channel")         /* one an index of the axis */ \
    X(TN_SCALE_ELEMENTWISE, "elementwise") /* one an element from the axis on */

#define TN_ENUM_POOLING(X)           \
    X(TN_POOLING_MAX, "max")         \
    X(TN_POOLING_AVERAGE, "average") \
    X(TN_POOLING_MAX_AVERAGE_BLEND, "max_average_blend") /* blend·average + (1 − blend)·max */

/* SAME: the output is ⌈input / stride⌉, and what padding that needs is split, the odd one after (upper) or before (lower). */
#define TN_ENUM_PADDING(X)                                   \
    X(TN_PADDING_EXPLICIT_ROUND_DOWN, "explicit_round_down") \
    X(TN_PADDING_EXPLICIT_ROUND_UP, "explicit_round_up")     \
    X(TN_PADDING_SAME_UPPER, "same_upper")                   \
    X(TN_PADDING_SAME_LOWER, "same_lower")

/* What stands outside a tensor where a slice or a sample reaches there. */
#define TN_ENUM_SAMPLE(X)                                                        \
    X(TN_SAMPLE_STRICT_BOUNDS, "strict_bounds") /* an error */                   \
    X(TN_SAMPLE_WRAP, "wrap")                   /* the other end: index mod n */ \
    X(TN_SAMPLE_CLAMP, "clamp")                 /* the nearest element */        \
    X(TN_SAMPLE_FILL, "fill")                   /* a value, default 0 */         \
    X(TN_SAMPLE_REFLECT, "reflect")             /* mirrored at the edge elements, which are not repeated */

#define TN_ENUM_INTERPOLATION(X)           \
    X(TN_INTERPOLATION_NEAREST, "nearest") \
    X(TN_INTERPOLATION_LINEAR, "linear")   \
    X(TN_INTERPOLATION_CUBIC, "cubic")

/* Output index → place in the input; s = output / input size. */
#define TN_ENUM_RESIZE_TRANSFORM(X)                                                       \
    X(TN_RESIZE_ASYMMETRIC, "asymmetric")       /* i / s */                               \
    X(TN_RESIZE_ALIGN_CORNERS, "align_corners") /* i · (input − 1) / (output − 1) */ \
    X(TN_RESIZE_HALF_PIXEL, "half_pixel")       /* (i + 0.5) / s − 0.5 */

/* Where an output dimension is 1. */
#define TN_ENUM_RESIZE_SELECTOR(X)         \
    X(TN_RESIZE_SELECT_FORMULA, "formula") \
    X(TN_RESIZE_SELECT_UPPER, "upper") /* the first element */

#define TN_ENUM_RESIZE_ROUNDING(X)      \
    X(TN_RESIZE_FLOOR, "floor")         \
    X(TN_RESIZE_HALF_UP, "half_up")     \
    X(TN_RESIZE_HALF_DOWN, "half_down") \
    X(TN_RESIZE_CEIL, "ceil")

#define TN_ENUM_SCATTER(X)           \
    X(TN_SCATTER_ELEMENT, "element") \
    X(TN_SCATTER_ND, "nd")

#define TN_ENUM_BOX(X)                                                                 \
    X(TN_BOX_CORNER_PAIRS, "corner_pairs") /* y1, x1, y2, x2, any two opposite ones */ \
    X(TN_BOX_CENTER_SIZES, "center_sizes") /* x centre, y centre, width, height */

/* Which keys a query sees: key j ≤ query i, counted from the first of both, or from the last. */
#define TN_ENUM_CAUSAL(X)                 \
    X(TN_CAUSAL_NONE, "none")             \
    X(TN_CAUSAL_UPPER_LEFT, "upper_left") \
    X(TN_CAUSAL_LOWER_RIGHT, "lower_right")

/* What the activations of matrix multiplications are stored as (design: activation_precision). */
#define TN_ENUM_ACTIVATION_PRECISION(X)    \
    X(TN_ACTIVATIONS_AUTO, "auto")         \
    X(TN_ACTIVATIONS_FLOAT32, "float32")   \
    X(TN_ACTIVATIONS_BFLOAT16, "bfloat16") \
    X(TN_ACTIVATIONS_Q15, "q15")           \
    X(TN_ACTIVATIONS_INT8, "int8")

#define TN_ENUM_VALUE(value, name)         value,
#define TN_DEFINE_ENUM(type, TABLE, COUNT) typedef enum type { TABLE(TN_ENUM_VALUE) COUNT } type;

TN_DEFINE_ENUM(tn_activation_type, TN_ENUM_ACTIVATION, TN_NUM_ACTIVATIONS)
TN_DEFINE_ENUM(tn_unary_op, TN_ENUM_UNARY, TN_NUM_UNARY_OPS)
TN_DEFINE_ENUM(tn_elementwise_op, TN_ENUM_ELEMENTWISE, TN_NUM_ELEMENTWISE_OPS)
TN_DEFINE_ENUM(tn_reduce_op, TN_ENUM_REDUCE, TN_NUM_REDUCE_OPS)
TN_DEFINE_ENUM(tn_matrix_op, TN_ENUM_MATRIX, TN_NUM_MATRIX_OPS)
TN_DEFINE_ENUM(tn_normalization_type, TN_ENUM_NORMALIZATION, TN_NUM_NORMALIZATIONS)
TN_DEFINE_ENUM(tn_gather_mode, TN_ENUM_GATHER, TN_NUM_GATHER_MODES)
TN_DEFINE_ENUM(tn_rotary_type, TN_ENUM_ROTARY, TN_NUM_ROTARY_TYPES)
TN_DEFINE_ENUM(tn_route_type, TN_ENUM_ROUTE, TN_NUM_ROUTE_TYPES)
TN_DEFINE_ENUM(tn_collective_type, TN_ENUM_COLLECTIVE, TN_NUM_COLLECTIVES)
TN_DEFINE_ENUM(tn_fill_op, TN_ENUM_FILL, TN_NUM_FILL_OPS)
TN_DEFINE_ENUM(tn_topk_op, TN_ENUM_TOPK, TN_NUM_TOPK_OPS)
TN_DEFINE_ENUM(tn_cumulative_op, TN_ENUM_CUMULATIVE, TN_NUM_CUMULATIVE_OPS)
TN_DEFINE_ENUM(tn_scale_mode, TN_ENUM_SCALE, TN_NUM_SCALE_MODES)
TN_DEFINE_ENUM(tn_pooling_type, TN_ENUM_POOLING, TN_NUM_POOLING_TYPES)
TN_DEFINE_ENUM(tn_padding_mode, TN_ENUM_PADDING, TN_NUM_PADDING_MODES)
TN_DEFINE_ENUM(tn_sample_mode, TN_ENUM_SAMPLE, TN_NUM_SAMPLE_MODES)
TN_DEFINE_ENUM(tn_interpolation_mode, TN_ENUM_INTERPOLATION, TN_NUM_INTERPOLATION_MODES)
TN_DEFINE_ENUM(tn_resize_transform, TN_ENUM_RESIZE_TRANSFORM, TN_NUM_RESIZE_TRANSFORMS)
TN_DEFINE_ENUM(tn_resize_selector, TN_ENUM_RESIZE_SELECTOR, TN_NUM_RESIZE_SELECTORS)
TN_DEFINE_ENUM(tn_resize_rounding, TN_ENUM_RESIZE_ROUNDING, TN_NUM_RESIZE_ROUNDINGS)
TN_DEFINE_ENUM(tn_scatter_mode, TN_ENUM_SCATTER, TN_NUM_SCATTER_MODES)
TN_DEFINE_ENUM(tn_box_format, TN_ENUM_BOX, TN_NUM_BOX_FORMATS)
TN_DEFINE_ENUM(tn_causal_mask, TN_ENUM_CAUSAL, TN_NUM_CAUSAL_MASKS)
TN_DEFINE_ENUM(tn_activation_precision, TN_ENUM_ACTIVATION_PRECISION, TN_NUM_ACTIVATION_PRECISIONS)

#endif
