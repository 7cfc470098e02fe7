/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_check_test.c: problems whose shapes fit pass, each broken in one place is refused.
 */
#include "runtime/problem_check.h"

#include "plan/plan.h"
#include "runtime/testing.h"

enum { MAX_CONSTANTS = 64 };

/* Constants are their own symbols. */
typedef struct constants {
    int64_t values[MAX_CONSTANTS];
    uint32_t count;
} constants;

static tn_sym add_constant(void *user, int64_t value) {
    constants *c = user;
    assert_true(c->count < MAX_CONSTANTS);
    c->values[c->count] = value;
    return c->count++;
}

static bool fits(const char *text) {
    constants c = {.count = 0};
    tn_arena arena = {0};
    tn_problem problem;
    assert_int_equal(tn_problem_parse(text, add_constant, &c, 0, &arena, NULL, &problem), TN_OK);
    bool result = tn_problem_fits(&problem, c.values);
    tn_arena_deinit(&arena);
    return result;
}

#define KV "num_layers=2,num_kv_heads=2,k_dim=8,v_dim=4,tokens_per_block=16,cache_dtype=float32"

static const char *const fitting[] = {
    "identity float32[2,3] -> float32[3,2]",
    "cast{to=int8} float32[2,3] -> int8[2,3]",
    "activation{type=silu} float32[0,3] -> float32[0,3]",
    "shape float32[2,3] -> int64[2]@host",
    "fill{dtype=float32,rank=2} int64[2]@host float32[] float32[] -> float32[2,3]",
    "elementwise float32[2,3] float32[1,3] -> float32[2,3]",
    "elementwise float32[2,3] float32[3] -> float32[2,3]",
    "elementwise float32[] float32[2,3] -> float32[2,3]",
    "select bool[2,1] float32[2,3] float32[1,1] -> float32[2,3]",
    "reduce{axes=2} float32[2,3,4] -> float32[2,4]",
    "reduce{axes=2,keep_dims} float32[2,3,4] -> float32[2,1,4]",
    "reduce{axes=7} float32[2,3,4] -> float32[]",
    "softmax{axis=1} float32[2,3] -> float32[2,3]",
    "normalization{type=rms} float32[2,8] float32:plain[8] -> float32[2,8]",
    "normalization{type=rms} float32[2,8] float32:plain[8] - float32[2,8] -> float32[2,8] float32[2,8]",
    "normalization float32[2,8] float32:plain[8] float32:plain[8] -> q15_32[2,8] |quantize(q15_32)",
    "shuffle{first=[1,0]} float32[2,3] -> float32[3,2]",
    "shuffle{reshape=[6],has_reshape} float32[2,3] -> float32[6]",
    "slice{start=[0,1],size=[2,2]} float32[2,3] -> float32[2,2]",
    "slice{start=[1,2],size=[2,2],stride=[-1,-2]} float32[2,3] -> float32[2,2]",
    "slice{size=[2,2]} float32[2,3] int64[2]@host - - -> float32[2,2]",
    "concatenation{axis=1} float32[2,3] float32[2,4] float32[2,0] -> float32[2,7]",
    "gather{axis=0} q4_1:strip16_q4_1[100,64] int32[5] -> float32[5,64]",
    "gather{axis=1} float32[2,3,4] int32[5,6] -> float32[2,5,6,4]",
    "gather{mode=element,axis=1} float32[2,3] int32[2,9] -> float32[2,9]",
    "gather{mode=nd} float32[2,3,4] int32[7,2] -> float32[7,4]",
    "non_zero float32[2,3] -> int64[2,6] int64[]",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:strip16_q4_1[32,64] -> float32[5,32]",
    "matrix_multiply{op_b=transpose} float32[2,5,64] float32:plain[32,64] -> float32[2,5,32]",
    "matrix_multiply float32[7,2,3] float32[1,3,4] -> float32[7,2,4]",
    "matrix_multiply{op_a=transpose} float32[3,2] float32[3,4] -> float32[2,4]",
    "matrix_multiply{op_b=vector} float32[7,2,3] float32[3] -> float32[7,2]",
    "matrix_multiply{op_a=vector,op_b=vector} float32[3] float32[3] -> float32[]",
    "matrix_multiply{op_b=transpose} q15_32[5,64] q4_1:x[64,64] float32:plain[64] float32[5,32] -> q15_32[5,32] "
    "|bias(2),gated_activation(silu),add(3),quantize(q15_32)",
    "quantize{to=int8} float32[2,3] float32[] -> int8[2,3]",
    "quantize{to=int8,axis=1} float32[2,3] float32[3] -> int8[2,3]",
    "dequantize{to=float32,block=[1,2]} int8[2,5] float32[2,3] int8[2,3] -> float32[2,5]",
    "quantize_rows{to=q15_32} float32[5,64] -> q15_32[5,64]",
    "token_ids{vocab_size=9,max_seq_len=9} int32[5] int32[3] int32[2] uint8[1]@state -> int32[5]",
    "rotary_table int32[5] float32:plain[4] -> float32[5,8]",
    "rotary{head_dim=16} float32[5,32] float32[5,8] -> float32[5,32]",
    "kv_cache_update{" KV "} float32[5,16] float32[5,8] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[1]@state",
    "attention{num_heads=4," KV "} float32[5,32] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,16]",
    "attention{num_heads=4," KV "} float32[5,32] float32[1]@state int32[3] int32[2] int32[2,7] float32[4] float32[4] -> "
    "q15_32[5,16] |quantize(q15_32)",
    "qkv_cache{num_heads=4," KV "} float32[5,56] float32[5,8] float32[8] - float32[1]@state int32[3] int32[2] int32[2,7] -> "
    "float32[5,32] float32[1]@state",
    "route{top_k=2} float32[5,8] float32[8] -> int32[9] int32[10] float32[5,2]",
    "grouped_matmul{top_k=2} float32[5,64] q4_1:x[8,32,64] int32[9] int32[10] -> float32[10,32]",
    "grouped_matmul{top_k=2,sorted} float32[10,64] q4_1:x[8,32,64] int32[9] int32[10] float32[8,32] -> float32[10,32] |bias(4)",
    "combine float32[10,32] int32[10] float32[5,2] -> float32[5,32]",
    "sample{max_log_probs=3,vocab_size=40,max_seq_len=9} float32[2,40] int32[2] int32[2] uint8[1]@state uint32[2,2] -> int32[2] "
    "int32[2,4] float32[2,4] uint8[1]@state",
    "fill{dtype=float32,rank=2} int64[2]@host float32[] float32[2] -> float32[2,3]",
    "fill{dtype=float32,rank=2,op=random_normal,seed=7} int64[2]@host float32[] float32[] -> float32[2,3]",
    "assertion{message=\"it holds\"} bool[2]@host -> bool[2]@host",
    "unary{op=isnan} float32[2,3] -> bool[2,3]",
    "parametric_relu float32[2,3,4] float32[1,3,1] -> float32[2,3,4]",
    "scale{mode=channel,axis=1} float32[2,3,4] float32[3] float32[3] - -> float32[2,3,4]",
    "scale{mode=elementwise,axis=1} float32[2,3,4] - float32[3,4] - -> float32[2,3,4]",
    "ragged_softmax float32[2,3,4] int32[2,3,1] -> float32[2,3,4]",
    "topk{k=2,axis=1,indices=int32} float32[2,3,4] -> float32[2,2,4] int32[2,2,4]",
    "topk{axis=1,indices=int32} float32[2,3,4] int64[]@host -> float32[2,0,4] int32[2,0,4]",
    "cumulative{axis=2,reverse} float32[2,3,4] -> float32[2,3,4]",
    "normalization_nd{axes=12,groups=2,epsilon=1e-05} float32[1,4,2,3] float32[1,2,1,1] float32[1,4,1,1] -> float32[1,4,2,3]",
    "lrn{window=3,alpha=1} float32[1,4,2,3] -> float32[1,4,2,3]",
    "squeeze{axes=1} float32[1,3] -> float32[3]",
    "unsqueeze{axes=2} float32[3] -> float32[3,1]",
    "slice{start=[-3],size=[9],stride=[2],mode=wrap,axes=[1]} float32[2,3] - - - - -> float32[2,9]",
    "slice{start=[-3,0],size=[9,3],mode=fill} float32[2,3] - - - float32[] -> float32[9,3]",
    "gather{axis=1,batch_dims=1} float32[2,3,4] int32[2,5] -> float32[2,5,4]",
    "gather{mode=nd,batch_dims=1} float32[2,3,4] int32[2,5,1] -> float32[2,5,4]",
    "scatter{axis=1} float32[2,3] int32[1,2] float32[1,2] -> float32[2,3]",
    "scatter{mode=nd} float32[2,3,4] int32[5,2] float32[5,4] -> float32[2,3,4]",
    "one_hot{depth=4,axis=1} int32[2,3] float32[2] -> float32[2,4,3]",
    "reverse_sequence{sequence_axis=1} float32[2,3] int32[2] -> float32[2,3]",
    "nms{indices=int32} float32[1,6,4] float32[1,6,3] int64[]@host float32[] - -> int32[18,3] int64[]",
    "convolution{stride=[2,2],pre_padding=[1,1],groups=2} float32[1,4,5,5] float32[6,2,3,3] float32[6] -> float32[1,6,2,2]",
    "convolution{stride=[2],padding_mode=same_upper} float32[1,4,5] float32[6,4,3] -> float32[1,6,3]",
    "deconvolution{stride=[2,2],pre_padding=[1,1],groups=2} float32[1,4,5,5] float32[4,3,3,3] -> float32[1,6,10,10]",
    "pooling{window=[2,2],stride=[2,2],padding_mode=explicit_round_up} float32[1,4,5,5] -> float32[1,4,3,3]",
    "resize{size=[1,7]} float32[1,4] -> float32[1,7]",
    "resize{numerators=[1,3],denominators=[1,2],mode=linear} float32[1,4] -> float32[1,6]",
    "grid_sample{outside=clamp} float32[1,2,3,4] float32[1,5,6,2] -> float32[1,2,5,6]",
    "einsum{equation=\"ab,bc->ac\"} float32[2,3] float32[3,4] -> float32[2,4]",
    "dynamic_quantize{to=int8,scale_type=float32,block=[1,4]} float32[2,5] -> int8[2,5] float32[2,2]",
};

static const char *const broken[] = {
    "fill{dtype=float32,rank=2} int64[2]@host float32[] float32[1] -> float32[2,3]",
    "assertion bool[2]@host -> bool[3]@host",
    "parametric_relu float32[2,3,4] float32[1,4,1] -> float32[2,3,4]",
    "parametric_relu float32[2,1,4] float32[1,3,1] -> float32[2,3,4]",
    "scale{mode=channel,axis=1} float32[2,3,4] float32[2] - - -> float32[2,3,4]",
    "scale{mode=channel,axis=3} float32[2,3,4] float32[9] - - -> float32[2,3,4]",
    "scale{mode=elementwise,axis=1} float32[2,3,4] - - float32[3] -> float32[2,3,4]",
    "ragged_softmax float32[2,3,4] int32[2,2,1] -> float32[2,3,4]",
    "topk{axis=1,indices=int32} float32[2,3,4] -> float32[2,4,4] int32[2,4,4]",
    "topk{axis=1,indices=int32} float32[2,3,4] -> float32[2,2,4] int32[2,1,4]",
    "topk{axis=3,indices=int32} float32[2,3,4] -> float32[2,3,4] int32[2,3,4]",
    "cumulative{axis=3} float32[2,3,4] -> float32[2,3,4]",
    "normalization_nd{axes=12,groups=3} float32[1,4,2,3] float32[1,4,1,1] - -> float32[1,4,2,3]",
    "normalization_nd{axes=16} float32[1,4,2,3] float32[1,4,1,1] - -> float32[1,4,2,3]",
    "normalization_nd{axes=12} float32[1,4,2,3] float32[1,5,1,1] - -> float32[1,4,2,3]",
    "normalization_nd{axes=12} float32[1,4,2,3] float32[4] - -> float32[1,4,2,3]",
    "lrn float32[1,4,2,3] -> float32[1,4,2,3]",
    "lrn{window=3} float32[4] -> float32[4]",
    "squeeze{axes=1} float32[1,3] -> float32[4]",
    "slice{start=[-3],size=[9],mode=wrap,axes=[1]} float32[2,3] -> float32[3,9]",
    "slice{start=[-3],size=[9],mode=wrap,axes=[2]} float32[2,3] -> float32[2,9]",
    "slice{start=[0,0],size=[2,3],axes=[1,1]} float32[2,3] -> float32[2,3]",
    "slice{start=[0,0],size=[2,3],mode=fill} float32[2,3] - - - float32[0] -> float32[2,3]",
    "gather{axis=1,batch_dims=1} float32[2,3,4] int32[3,5] -> float32[2,5,4]",
    "gather{axis=1,batch_dims=2} float32[2,3,4] int32[2,3] -> float32[2,3,4]",
    "gather{mode=nd,batch_dims=1} float32[2,3,4] int32[2,5,3] -> float32[2,5]",
    "gather{mode=nd,batch_dims=-1} float32[2,3,4] int32[2,5,1] -> float32[2,5,3,4]",
    "scatter{axis=1} float32[2,3] int32[3,2] float32[3,2] -> float32[2,3]",
    "scatter{axis=1} float32[2,3] int32[1,2] float32[1,1] -> float32[2,3]",
    "scatter{mode=nd} float32[2,3,4] int32[5,4] float32[5] -> float32[2,3,4]",
    "scatter{mode=nd} float32[2,3,4] int32[5,2] float32[5,3] -> float32[2,3,4]",
    "one_hot{depth=4,axis=1} int32[2,3] float32[1] -> float32[2,4,3]",
    "one_hot{depth=4,axis=1} int32[2,3] float32[2] -> float32[2,4,4]",
    "reverse_sequence{sequence_axis=1} float32[2,3] int32[1] -> float32[2,3]",
    "reverse_sequence float32[2,3] int32[2] -> float32[2,3]",
    "nms{indices=int32} float32[1,5,4] float32[1,6,3] int64[]@host - - -> int32[18,3] int64[]",
    "nms{indices=int32} float32[1,6,2,4] float32[1,6,3] int64[]@host - - -> int32[18,3] int64[]",
    "nms{indices=int32} float32[1,6,4] float32[1,6,3] int64[0]@host - - -> int32[18,3] int64[]",
    "convolution float32[1,4,5,5] float32[6,3,3,3] -> float32[1,6,3,3]",
    "convolution float32[1,4,5,5] float32[6,4,3,3] -> float32[1,6,4,3]",
    "convolution float32[1,4,5,5] float32[6,4,3,3] float32[5] -> float32[1,6,3,3]",
    "convolution{stride=[0,1]} float32[1,4,5,5] float32[6,4,3,3] -> float32[1,6,3,3]",
    "convolution{stride=[1]} float32[1,4,5,5] float32[6,4,3,3] -> float32[1,6,3,3]",
    "convolution{pre_padding=[-1,0]} float32[1,4,5,5] float32[6,4,3,3] -> float32[1,6,2,3]",
    "convolution{groups=4} float32[1,4,5,5] float32[6,1,3,3] -> float32[1,6,3,3]",
    "convolution{groups=4611686018427387904} float32[1,4,5,5] float32[6,4,3,3] -> float32[1,6,3,3]",
    "deconvolution float32[1,4,5,5] float32[4,3,3,3] -> float32[1,3,6,7]",
    "pooling{window=[2,2]} float32[1,4,5,5] -> float32[1,3,4,4]",
    "pooling{window=[9,9]} float32[1,4,5,5] -> float32[1,4,0,0]",
    "pooling float32[1,4,5,5] -> float32[1,4,5,5]",
    "resize{size=[1,7]} float32[1,0] -> float32[1,7]",
    "resize{numerators=[1,3],denominators=[1,0]} float32[1,4] -> float32[1,6]",
    "resize float32[1,4] -> float32[1,6]",
    "grid_sample float32[1,2,3,4] float32[1,5,6,3] -> float32[1,2,5,6]",
    "grid_sample float32[1,2,0,4] float32[1,5,6,2] -> float32[1,2,5,6]",
    "einsum{equation=\"ab,bc->ac\"} float32[2,3] float32[4,4] -> float32[2,4]",
    "einsum{equation=\"ab,bc->ac\"} float32[2,3] float32[3,4] -> float32[2,5]",
    "einsum{equation=\"ab,bc\"} float32[2,3] float32[3,4] -> float32[2,4]",
    "einsum{equation=\"ab->ad\"} float32[2,3] -> float32[2,4]",
    "dynamic_quantize{to=int8,scale_type=float32,block=[1,4]} float32[2,5] -> int8[2,5] float32[2,1]",
    "dynamic_quantize{to=int8,scale_type=float32,block=[0,4]} float32[2,5] -> int8[2,5] float32[2,2]",
    "identity float32[2,3] -> float32[2,4]",
    "identity float32[-1,-6] -> float32[2,3]",
    "identity float32[4294967296,4294967296] -> float32[4294967296,4294967296]",
    "identity - -> float32[2,3]",
    "cast{to=int4} float32[2,3] -> int4[3,2]",
    "shape float32[2,3] -> int64[3]@host",
    "fill{dtype=float32,rank=2} int64[2]@host float32[0] float32[] -> float32[2,3]",
    "elementwise float32[2,3] float32[2,2] -> float32[2,3]",
    "elementwise float32[2,3] float32[3] -> float32[3]",
    "elementwise float32[4] float32[4] -> float32[5]",
    "select bool[2] float32[2,3] float32[2,3] -> float32[2,3]",
    "reduce{axes=2} float32[2,3,4] -> float32[2,3]",
    "reduce{axes=8} float32[2,3,4] -> float32[2,3,4]",
    "reduce{axes=-1} float32[2,3,4] -> float32[]",
    "softmax{axis=2} float32[2,3] -> float32[2,3]",
    "softmax{axis=-1} float32[2,3] -> float32[2,3]",
    "normalization float32[2,8] float32:plain[7] -> float32[2,8]",
    "normalization float32[2,8] float32:plain[8] float32:plain[9] -> float32[2,8]",
    "normalization float32[2,8] float32:plain[8] - float32[3,8] -> float32[2,8] float32[2,8]",
    "normalization float32[2,8] float32:plain[8] - float32[2,8] -> float32[2,8] float32[1,8]",
    "normalization float32[2,8] float32:plain[8] -> float32[2,9]",
    "normalization float32[2,8] float32:plain[8] -> float32[2,8] |quantize(q15_32)",
    "shuffle{first=[1,1]} float32[2,3] -> float32[3,2]",
    "shuffle{first=[0,2]} float32[2,3] -> float32[3,2]",
    "shuffle{first=[0]} float32[2,3] -> float32[3,2]",
    "shuffle{second=[0,-1]} float32[2,3] -> float32[3,2]",
    "shuffle float32[2,3] -> float32[7]",
    "slice{start=[0,1],size=[2,3]} float32[2,3] -> float32[2,3]",
    "slice{start=[0,-1],size=[2,1]} float32[2,3] -> float32[2,1]",
    "slice{start=[0,0],size=[2,2],stride=[1,3]} float32[2,3] -> float32[2,2]",
    "slice{start=[0,2],size=[2,3],stride=[1,9223372036854775807]} float32[2,3] -> float32[2,3]",
    "slice{start=[0],size=[2,3]} float32[2,3] -> float32[2,3]",
    "slice{size=[2,2]} float32[2,3] int64[1]@host -> float32[2,2]",
    "concatenation{axis=1} float32[2,3] float32[2,4] -> float32[2,8]",
    "concatenation{axis=1} float32[2,3] float32[3,4] -> float32[2,7]",
    "concatenation{axis=2} float32[2,3] float32[2,4] -> float32[2,7]",
    "gather{axis=0} q4_1:strip16_q4_1[100,64] int32[5] -> float32[5,32]",
    "gather{axis=1} q4_1:strip16_q4_1[100,64] int32[5] -> float32[100,5]",
    "gather{axis=0} float32[100,64] int32[5] -> float32[6,64]",
    "gather{axis=3} float32[2,3,4] int32[5] -> float32[2,3,5]",
    "gather{mode=element,axis=1} float32[2,3] int32[3,9] -> float32[3,9]",
    "gather{mode=nd} float32[2,3,4] int32[7,4] -> float32[7]",
    "gather{mode=nd} float32[2,3,4] int32[7,2] -> float32[7,5]",
    "non_zero float32[2,3] -> int64[2,6] int64[2]",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[32,32] -> float32[5,32]",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[32,64] -> float32[6,32]",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[32,64] -> float32[5,33]",
    "matrix_multiply float32[7,2,3] float32[2,3,4] -> float32[7,2,4]",
    "matrix_multiply float32[8,2,3] float32[3,4] -> float32[7,2,4]",
    "matrix_multiply float32[3] float32[3,4] -> float32[3,4]",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[64,64] float32:plain[32] -> float32[5,64] |bias(2)",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[64,64] float32[5,63] -> float32[5,64] |add(2)",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[40,64] -> float32[5,20] |gated_activation(silu)",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[64,64] -> float32[5,64] |gated_activation(silu)",
    "matrix_multiply{op_b=transpose} float32[5,64] q4_1:x[64,64] -> float32[5,64] |quantize(q15_32)",
    "quantize{to=int8} float32[2,3] float32[4] -> int8[2,3]",
    "quantize{to=int8,axis=7} float32[2,3] float32[3] -> int8[2,3]",
    "dequantize{to=float32,block=[1,2]} int8[2,5] float32[2,2] -> float32[2,5]",
    "dequantize{to=float32,block=[1,2]} int8[2,5] float32[6] -> float32[2,5]",
    "dequantize{to=float32} int8[2,3] float32[] int8[3] -> float32[2,3]",
    "quantize_rows{to=q15_32} float32[5,64] -> q15_32[10,32]",
    "token_ids{vocab_size=9,max_seq_len=9} int32[5] int32[2] int32[2] uint8[1]@state -> int32[5]",
    "token_ids{vocab_size=9,max_seq_len=9} int32[5] int32[3] int32[2] uint8[1]@state -> int32[6]",
    "rotary_table int32[5] float32:plain[4] -> float32[5,4]",
    "rotary{head_dim=16} float32[5,40] float32[5,8] -> float32[5,40]",
    "rotary float32[5,32] float32[5,8] -> float32[5,32]",
    "rotary{head_dim=16} float32[5,32] float32[4,8] -> float32[5,32]",
    "rotary{head_dim=16} float32[5,32] float32[5,18] -> float32[5,32]",
    "kv_cache_update{" KV "} float32[5,15] float32[5,8] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[1]@state",
    "kv_cache_update{" KV "} float32[5,16] float32[4,8] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[1]@state",
    "kv_cache_update{" KV "} float32[5,16] float32[5,8] float32[1]@state int32[2] int32[2] int32[2,7] -> float32[1]@state",
    "kv_cache_update{" KV "} float32[5,16] float32[5,8] float32[1]@state int32[3] int32[2] int32[1,7] -> float32[1]@state",
    "attention{num_heads=3," KV "} float32[5,24] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,12]",
    "attention{num_heads=4," KV "} float32[5,16] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,16]",
    "attention{num_heads=4," KV "} float32[5,32] float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,32]",
    "attention{num_heads=4," KV "} float32[5,32] float32[1]@state int32[3] int32[2] int32[2,7] float32[3] -> float32[5,16]",
    "attention{num_heads=4," KV "} float32[5,32] float32[1]@state int32[3] int32[2] int32[14] -> float32[5,16]",
    "qkv_cache{num_heads=4," KV "} float32[5,55] - - - float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,32] float32[1]@state",
    "qkv_cache{num_heads=4," KV "} float32[5,56] float32[5,9] - - float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,32] "
    "float32[1]@state",
    "qkv_cache{num_heads=4," KV "} float32[5,56] - float32[7] - float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,32] "
    "float32[1]@state",
    "qkv_cache{num_heads=4," KV "} float32[5,56] - - - float32[1]@state int32[3] int32[2] int32[2,7] -> float32[5,31] float32[1]@state",
    "route{top_k=9} float32[5,8] -> int32[9] int32[45] float32[5,9]",
    "route float32[5,8] -> int32[9] int32[0] float32[5,0]",
    "route{top_k=2} float32[5,8] -> int32[8] int32[10] float32[5,2]",
    "route{top_k=2} float32[5,8] -> int32[9] int32[9] float32[5,2]",
    "grouped_matmul{top_k=2} float32[5,64] q4_1:x[8,32,32] int32[9] int32[10] -> float32[10,32]",
    "grouped_matmul{top_k=2} float32[5,64] q4_1:x[8,32,64] int32[8] int32[10] -> float32[10,32]",
    "grouped_matmul{top_k=2} float32[5,64] q4_1:x[8,32,64] int32[9] int32[5] -> float32[10,32]",
    "grouped_matmul{sorted} float32[10,64] q4_1:x[8,32,64] int32[9] int32[10] -> float32[10,32]",
    "combine float32[10,32] int32[9] float32[5,2] -> float32[5,32]",
    "combine float32[10,32] int32[10] float32[5,2] -> float32[4,32]",
    "sample{max_log_probs=3,vocab_size=41,max_seq_len=9} float32[2,40] int32[2] int32[2] uint8[1]@state -> int32[2] int32[2,4] "
    "float32[2,4] uint8[1]@state",
    "sample{max_log_probs=3,vocab_size=40,max_seq_len=9} float32[2,40] int32[1] int32[2] uint8[1]@state -> int32[2] int32[2,4] "
    "float32[2,4] uint8[1]@state",
    "sample{max_log_probs=3,vocab_size=40,max_seq_len=9} float32[2,40] int32[2] int32[2] uint8[1]@state uint32[2,1] -> int32[2] "
    "int32[2,4] float32[2,4] uint8[1]@state",
    "sample{max_log_probs=3,vocab_size=40,max_seq_len=9} float32[2,40] int32[2] int32[2] uint8[1]@state -> int32[2] int32[2,3] "
    "float32[2,4] uint8[1]@state",
    "constant{dtype=float32} -> float32[2]",
};

static void problems_whose_shapes_fit_pass(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fitting / sizeof fitting[0]; i++) {
        if (!fits(fitting[i])) print_error("refused: %s\n", fitting[i]);
        assert_true(fits(fitting[i]));
    }
}

static void problems_broken_in_one_place_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        if (fits(broken[i])) print_error("accepted: %s\n", broken[i]);
        assert_false(fits(broken[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_whose_shapes_fit_pass),
        cmocka_unit_test(problems_broken_in_one_place_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
