/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/op_enums.h: the enums that layers' parameters use, each as one table: enumerator and the name that files and the text
 * form store. Value 0 is the default.
 */
#ifndef TENON_OP_ENUMS_H_
#define TENON_OP_ENUMS_H_

#define TN_ENUM_ACTIVATION(X)                                                                          \
    X(TN_ACTIVATION_NONE, "none")                                                                      \
    X(TN_ACTIVATION_RELU, "relu")                                                                      \
    X(TN_ACTIVATION_SIGMOID, "sigmoid")                                                                \
    X(TN_ACTIVATION_TANH, "tanh")                                                                      \
    X(TN_ACTIVATION_SILU, "silu")             /* x · sigmoid(x) */                                    \
    X(TN_ACTIVATION_GELU_ERF, "gelu_erf")     /* x · Φ(x) */                                         \
    X(TN_ACTIVATION_GELU_TANH, "gelu_tanh")   /* 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) */ \
    X(TN_ACTIVATION_GELU_QUICK, "gelu_quick") /* x · sigmoid(1.702·x) */

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
    X(TN_UNARY_NOT, "not")     /* bool */

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
    X(TN_COLLECTIVE_ALL_TO_ALL_V, "all_to_all_v")

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
TN_DEFINE_ENUM(tn_activation_precision, TN_ENUM_ACTIVATION_PRECISION, TN_NUM_ACTIVATION_PRECISIONS)

#endif
