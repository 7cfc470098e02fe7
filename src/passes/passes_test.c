/* SPDX-License-Identifier: Apache-2.0
 *
 * passes_test.c: what the pipeline makes of decoders' layers, as an exact list, and of single patterns.
 */
#include "passes/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "functional/functional.h"
#include "support/fault_allocator.h"

typedef struct fixture {
    tn_network *net;
    tn_diag *diag;
    tn_pass_options options;
} fixture;

static tn_status open_fixture(fixture *f, const tn_allocator *allocator, tn_diag *diag) {
    tn_network_options options;
    tn_network_options_init(&options);
    options.allocator = allocator;
    options.diag = diag;
    f->diag = diag;
    f->options = (tn_pass_options){.diag = diag};
    return tn_network_create(&options, &f->net);
}

static int setup(void **state) {
    static fixture f;
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 1;
    *state = &f;
    return open_fixture(&f, NULL, diag) == TN_OK ? 0 : 1;
}

static int teardown(void **state) {
    fixture *f = *state;
    tn_network_destroy(f->net);
    tn_diag_destroy(f->diag);
    return 0;
}

/* --- decoders ------------------------------------------------------------------------------------------------------------- */

enum { HIDDEN = 64, HEADS = 4, KV_HEADS = 2, HEAD_DIM = 16, INTER = 96, VOCAB = 128, EXPERTS = 4 };

typedef struct model {
    uint32_t gguf_type; /* of matrices; 0: float32 */
    bool biases, qk_norms, rotary, gated, layer_norm, experts;
} model;

static const tn_weights *vector(fixture *f, const char *name, int64_t n) {
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(n)};
    return tn_weights_declare(&f->net->arena, NULL, name, &desc, f->diag);
}

static const tn_weights *matrix_as(fixture *f, const char *name, uint32_t gguf_type, tn_dims dims) {
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = dims};
    if (gguf_type != 0) assert_int_equal(tn_encoding_from_gguf(gguf_type, &desc.encoding), TN_OK);
    return tn_weights_declare(&f->net->arena, NULL, name, &desc, f->diag);
}

static tn_tensor *norm(fixture *f, const model *m, tn_tensor *x, const char *name) {
    if (m->layer_norm) return tn_fn_layer_norm(f->net, x, vector(f, "norm.w", HIDDEN), vector(f, "norm.b", HIDDEN), 1e-5, name);
    return tn_fn_rms_norm(f->net, x, vector(f, name, HIDDEN), 1e-5, name);
}

static tn_tensor *add_mlp(fixture *f, const model *m, tn_tensor *x, int64_t layer) {
    uint32_t type = m->gguf_type;
    char name[3][32];
    (void)snprintf(name[0], sizeof name[0], "%lld.gate", (long long)layer);
    (void)snprintf(name[1], sizeof name[1], "%lld.up", (long long)layer);
    (void)snprintf(name[2], sizeof name[2], "%lld.down", (long long)layer);
    if (m->experts) {
        tn_moe_weights weights = {.router = matrix_as(f, "router", 0, TN_DIMS(EXPERTS, HIDDEN)),
                                  .gate = matrix_as(f, name[0], type, TN_DIMS(EXPERTS, INTER, HIDDEN)),
                                  .up = matrix_as(f, name[1], type, TN_DIMS(EXPERTS, INTER, HIDDEN)),
                                  .down = matrix_as(f, name[2], type, TN_DIMS(EXPERTS, HIDDEN, INTER))};
        tn_moe_config config = {.num_experts = EXPERTS, .top_k = 2, .route = TN_ROUTE_TOPK_SOFTMAX, .activation = TN_ACTIVATION_SILU};
        return tn_fn_moe(f->net, x, &weights, &config, "moe");
    }
    if (m->gated)
        return tn_fn_gated_mlp(f->net, x, matrix_as(f, name[0], type, TN_DIMS(INTER, HIDDEN)),
                               matrix_as(f, name[1], type, TN_DIMS(INTER, HIDDEN)), matrix_as(f, name[2], type, TN_DIMS(HIDDEN, INTER)),
                               TN_ACTIVATION_SILU, "mlp");
    return tn_fn_mlp(f->net, x, matrix_as(f, name[1], type, TN_DIMS(INTER, HIDDEN)), vector(f, "up.b", INTER),
                     matrix_as(f, name[2], type, TN_DIMS(HIDDEN, INTER)), vector(f, "down.b", HIDDEN), TN_ACTIVATION_GELU_TANH, "mlp");
}

static void build(fixture *f, const model *m, int64_t num_layers) {
    uint32_t type = m->gguf_type;
    tn_decoder_options options = {.vocab_size = VOCAB,
                                  .max_seq_len = 64,
                                  .num_layers = num_layers,
                                  .tokens_per_block = 16,
                                  .cache_dtype = TN_FLOAT32,
                                  .num_kv_heads = KV_HEADS,
                                  .k_dim = HEAD_DIM,
                                  .v_dim = HEAD_DIM};
    tn_decoder decoder;
    tn_decoder_begin(f->net, &options, &decoder);
    tn_tensor *table = m->rotary ? tn_decoder_rotary(&decoder, &(tn_rope){.dim = HEAD_DIM, .theta = 10000.0}, "rotary") : NULL;
    tn_tensor *x = tn_fn_embedding(f->net, decoder.ids, matrix_as(f, "embed", type, TN_DIMS(VOCAB, HIDDEN)), "embed");
    for (int64_t layer = 0; layer < num_layers; layer++) {
        char name[5][32];
        static const char *const parts[] = {"q", "k", "v", "o", "attn"};
        for (int i = 0; i < 5; i++) (void)snprintf(name[i], sizeof name[i], "%lld.%s", (long long)layer, parts[i]);
        tn_attention_weights weights = {.q = matrix_as(f, name[0], type, TN_DIMS(HEADS * HEAD_DIM, HIDDEN)),
                                        .k = matrix_as(f, name[1], type, TN_DIMS(KV_HEADS * HEAD_DIM, HIDDEN)),
                                        .v = matrix_as(f, name[2], type, TN_DIMS(KV_HEADS * HEAD_DIM, HIDDEN)),
                                        .o = matrix_as(f, name[3], type, TN_DIMS(HIDDEN, HEADS * HEAD_DIM))};
        if (m->biases) {
            weights.q_bias = vector(f, "q.b", HEADS * HEAD_DIM);
            weights.k_bias = vector(f, "k.b", KV_HEADS * HEAD_DIM);
            weights.v_bias = vector(f, "v.b", KV_HEADS * HEAD_DIM);
            if (m->layer_norm) weights.o_bias = vector(f, "o.b", HIDDEN);
        }
        if (m->qk_norms) {
            weights.q_norm = vector(f, "q_norm", HEAD_DIM);
            weights.k_norm = vector(f, "k_norm", HEAD_DIM);
        }
        tn_attention_config config = {
            .num_heads = HEADS, .layer = layer, .norm_epsilon = 1e-6, .norm_type = TN_NORMALIZATION_RMS, .rotary_table = table};
        tn_tensor *y = tn_fn_attention(&decoder, norm(f, m, x, "input_norm"), &weights, &config, name[4]);
        x = tn_fn_add(f->net, x, y, NULL);
        x = tn_fn_add(f->net, x, add_mlp(f, m, norm(f, m, x, "post_norm"), layer), NULL);
    }
    x = norm(f, m, tn_decoder_gather_rows(&decoder, x), "final_norm");
    tn_decoder_end(&decoder, x, matrix_as(f, "head", type, TN_DIMS(VOCAB, HIDDEN)), NULL, NULL, 0.0, 0.0);
}

/* "matrix_multiply|bias,add" a line, without constants. */
static void list_layers(const tn_network *net, tn_text *out) {
    for (const tn_layer *layer = net->first_layer; layer != NULL; layer = layer->next) {
        if (layer->kind == TN_OP_CONSTANT) continue;
        tn_text_append_string(out, tn_op_get_info(layer->kind)->name);
        for (uint32_t i = 0; i < layer->num_epilogues; i++) {
            tn_text_append_char(out, i == 0 ? '|' : ',');
            tn_text_append_string(out, tn_epilogue_kind_name(layer->epilogues[i].kind));
        }
        tn_text_append_char(out, '\n');
    }
}

#define assert_layers(net, expected)                                       \
    do {                                                                   \
        tn_text text = {0};                                                \
        list_layers((net), &text);                                         \
        assert_string_equal(text.data != NULL ? text.data : "", expected); \
        tn_text_deinit(&text);                                             \
    } while (0)

static void run_passes(fixture *f) {
    tn_diag_entry entry = {.message = ""};
    tn_status status = tn_passes_run(f->net, &f->options);
    if (status != TN_OK) (void)tn_diag_get(f->diag, 0, &entry);
    if (status != TN_OK) fail_msg("%s: %s", tn_status_name(status), entry.message);
    status = tn_network_verify(f->net, f->diag);
    if (status != TN_OK) (void)tn_diag_get(f->diag, 0, &entry);
    if (status != TN_OK) fail_msg("%s: %s", tn_status_name(status), entry.message);
}

static const tn_layer *find_layer(const tn_network *net, tn_op_kind kind, int index) {
    for (const tn_layer *layer = net->first_layer; layer != NULL; layer = layer->next)
        if (layer->kind == kind && index-- == 0) return layer;
    return NULL;
}

static void llama_layer_becomes_seven_steps(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_1, .rotary = true, .gated = true}, 1);
    run_passes(f);
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n"
                          "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply|add\n"
                          "normalization|quantize\nmatrix_multiply|gated_activation,quantize\nmatrix_multiply|add\n"
                          "gather\nnormalization|quantize\nmatrix_multiply\n");
    const tn_layer *qkv = find_layer(f->net, TN_OP_MATRIX_MULTIPLY, 0), *cache = find_layer(f->net, TN_OP_QKV_CACHE, 0);
    assert_string_equal(qkv->name, "0.attn.q+k+v");
    assert_int_equal(tn_tensor_dims(qkv->outputs.data[0]).d[1], (HEADS + 2 * KV_HEADS) * HEAD_DIM);
    const tn_weights *weights = tn_tensor_weights(qkv->inputs.data[1]);
    assert_int_equal(weights->op, TN_WEIGHTS_CONCAT);
    assert_string_equal(weights->inputs[0]->name, "0.q");
    assert_string_equal(weights->inputs[1]->name, "0.k");
    assert_string_equal(weights->inputs[2]->name, "0.v");
    assert_ptr_equal(cache->inputs.data[0], qkv->outputs.data[0]);
    assert_int_equal(cache->params.qkv_cache.num_heads, HEADS);
    assert_non_null(cache->inputs.data[1]);
    assert_null(cache->inputs.data[2]);
    assert_ptr_equal(f->net->states.data[0].last, cache->outputs.data[1]);
    const tn_layer *gated = find_layer(f->net, TN_OP_MATRIX_MULTIPLY, 2);
    weights = tn_tensor_weights(gated->inputs.data[1]);
    assert_int_equal(weights->op, TN_WEIGHTS_INTERLEAVE);
    assert_string_equal(weights->inputs[0]->name, "0.gate");
    assert_int_equal(gated->epilogues[0].activation, TN_ACTIVATION_SILU);
    assert_int_equal(gated->outputs.data[0]->dtype, TN_Q15_32);
    assert_int_equal(tn_tensor_dims(gated->outputs.data[0]).d[1], INTER);
}

static void float_weights_keep_float_activations(void **state) {
    fixture *f = *state;
    build(f, &(const model){.rotary = true, .gated = true}, 1);
    run_passes(f);
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n"
                          "normalization\nmatrix_multiply\nqkv_cache\nattention\nmatrix_multiply|add\n"
                          "normalization\nmatrix_multiply|gated_activation\nmatrix_multiply|add\n"
                          "gather\nnormalization\nmatrix_multiply\n");
}

static void activations_follow_the_option(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q8_0, .rotary = true, .gated = true}, 1);
    f->options.activations = TN_ACTIVATIONS_INT8;
    run_passes(f);
    assert_int_equal(find_layer(f->net, TN_OP_NORMALIZATION, 0)->outputs.data[0]->dtype, TN_Q8_32);
}

static void float32_activations_quantise_nothing(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_0, .rotary = true, .gated = true}, 1);
    f->options.activations = TN_ACTIVATIONS_FLOAT32;
    run_passes(f);
    for (size_t i = 0; i < f->net->tensors.count; i++) assert_int_not_equal(f->net->tensors.data[i]->dtype, TN_Q15_32);
    assert_non_null(find_layer(f->net, TN_OP_QKV_CACHE, 0));
}

static void bfloat16_activations_are_refused_by_name(void **state) {
    fixture *f = *state;
    f->options.activations = TN_ACTIVATIONS_BFLOAT16;
    assert_int_equal(tn_passes_run(f->net, &f->options), TN_UNSUPPORTED);
}

static void layers_that_repeat_give_the_same_list_each(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_1, .rotary = true, .gated = true}, 3);
    run_passes(f);
#define LAYER                                                                                       \
    "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply|add\n" \
    "normalization|quantize\nmatrix_multiply|gated_activation,quantize\nmatrix_multiply|add\n"
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n" LAYER LAYER LAYER "gather\nnormalization|quantize\nmatrix_multiply\n");
}

static void gpt2_layer_takes_biases_and_activation(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_1, .biases = true, .layer_norm = true}, 1);
    run_passes(f);
    assert_layers(f->net, "token_ids\ngather\n"
                          "normalization|quantize\nmatrix_multiply|bias\nqkv_cache\nattention|quantize\nmatrix_multiply|bias,add\n"
                          "normalization|quantize\nmatrix_multiply|bias,activation,quantize\nmatrix_multiply|bias,add\n"
                          "gather\nnormalization|quantize\nmatrix_multiply\n");
    const tn_layer *cache = find_layer(f->net, TN_OP_QKV_CACHE, 0);
    assert_null(cache->inputs.data[1]); /* no rotary embedding */
    const tn_layer *qkv = find_layer(f->net, TN_OP_MATRIX_MULTIPLY, 0);
    const tn_weights *bias = tn_tensor_weights(qkv->inputs.data[2]);
    assert_int_equal(bias->op, TN_WEIGHTS_CONCAT);
    assert_int_equal(bias->desc.dims.d[0], (HEADS + 2 * KV_HEADS) * HEAD_DIM);
}

static void qwen2_biases_are_joined(void **state) {
    fixture *f = *state;
    build(f, &(const model){.biases = true, .rotary = true, .gated = true}, 1);
    run_passes(f);
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n"
                          "normalization\nmatrix_multiply|bias\nqkv_cache\nattention\nmatrix_multiply|add\n"
                          "normalization\nmatrix_multiply|gated_activation\nmatrix_multiply|add\n"
                          "gather\nnormalization\nmatrix_multiply\n");
}

static void qwen3_head_norms_go_into_the_cache_step(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_0, .qk_norms = true, .rotary = true, .gated = true}, 1);
    run_passes(f);
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n"
                          "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply|add\n"
                          "normalization|quantize\nmatrix_multiply|gated_activation,quantize\nmatrix_multiply|add\n"
                          "gather\nnormalization|quantize\nmatrix_multiply\n");
    const tn_layer *cache = find_layer(f->net, TN_OP_QKV_CACHE, 0);
    assert_string_equal(tn_tensor_weights(cache->inputs.data[2])->name, "q_norm");
    assert_string_equal(tn_tensor_weights(cache->inputs.data[3])->name, "k_norm");
    assert_true(cache->params.qkv_cache.epsilon == 1e-6);
}

static void experts_keep_a_float_norm_for_the_router(void **state) {
    fixture *f = *state;
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_1, .rotary = true, .experts = true}, 2);
    run_passes(f);
    assert_layers(
        f->net, "token_ids\nrotary_table\ngather\n"
                "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply|add\n"
                "normalization\nquantize_rows\nmatrix_multiply\nroute\ngrouped_matmul|gated_activation,quantize\ngrouped_matmul\ncombine\n"
                "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply|add\n"
                "normalization\nquantize_rows\nmatrix_multiply\nroute\ngrouped_matmul|gated_activation,quantize\ngrouped_matmul\ncombine\n"
                "elementwise\ngather\nnormalization|quantize\nmatrix_multiply\n");
    const tn_layer *second = find_layer(f->net, TN_OP_NORMALIZATION, 2); /* takes the experts' residual sum */
    assert_int_equal(second->outputs.count, 2);
    assert_non_null(second->inputs.data[3]);
    assert_int_equal(second->outputs.data[1]->dtype, TN_FLOAT32);
}

/* --- what the device lacks ------------------------------------------------------------------------------------------------ */

static bool lacks(void *user, const tn_problem *problem) {
    const char *what = user;
    if (strcmp(tn_op_get_info(problem->op)->name, what) == 0) return false;
    for (uint32_t i = 0; i < problem->num_epilogues; i++)
        if (strcmp(tn_epilogue_kind_name(problem->epilogues[i].kind), what) == 0) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++)
        if (!problem->operands[i].absent && strcmp(tn_dtype_get_info(problem->operands[i].dtype)->name, what) == 0) return false;
    return true;
}

static void run_without(fixture *f, const char *what) {
    build(f, &(const model){.gguf_type = TN_GGUF_Q4_1, .rotary = true, .gated = true}, 1);
    f->options.supports = lacks;
    f->options.user = (void *)(uintptr_t)what;
    run_passes(f);
}

static void device_without_the_cache_step_keeps_its_parts(void **state) {
    fixture *f = *state;
    run_without(f, "qkv_cache");
    assert_layers(f->net,
                  "token_ids\nrotary_table\ngather\n"
                  "normalization|quantize\nmatrix_multiply\nslice\nslice\nslice\nrotary\nrotary\nkv_cache_update\nattention|quantize\n"
                  "matrix_multiply|add\nnormalization|quantize\nmatrix_multiply|gated_activation,quantize\nmatrix_multiply|add\n"
                  "gather\nnormalization|quantize\nmatrix_multiply\n");
}

static void device_without_gated_activation_keeps_two_products(void **state) {
    fixture *f = *state;
    run_without(f, "gated_activation");
    assert_layers(f->net,
                  "token_ids\nrotary_table\ngather\n"
                  "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply|add\n"
                  "normalization|quantize\nmatrix_multiply|activation\nmatrix_multiply\nelementwise\nquantize_rows\nmatrix_multiply|add\n"
                  "gather\nnormalization|quantize\nmatrix_multiply\n");
}

static void device_without_quantised_rows_computes_in_floats(void **state) {
    fixture *f = *state;
    run_without(f, "q15_32");
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n"
                          "normalization\nmatrix_multiply\nqkv_cache\nattention\nmatrix_multiply|add\n"
                          "normalization\nmatrix_multiply|gated_activation\nmatrix_multiply|add\n"
                          "gather\nnormalization\nmatrix_multiply\n");
}

static void device_without_residual_epilogue_adds_in_the_norm(void **state) {
    fixture *f = *state;
    run_without(f, "add");
    assert_layers(f->net, "token_ids\nrotary_table\ngather\n"
                          "normalization|quantize\nmatrix_multiply\nqkv_cache\nattention|quantize\nmatrix_multiply\n"
                          "normalization|quantize\nmatrix_multiply|gated_activation,quantize\nmatrix_multiply\nelementwise\n"
                          "gather\nnormalization|quantize\nmatrix_multiply\n");
}

/* --- single patterns ------------------------------------------------------------------------------------------------------ */

static tn_tensor *output(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

static tn_tensor *linear(fixture *f, tn_tensor *x, int64_t n, int64_t k, const char *name) {
    return tn_fn_linear(f->net, x, matrix_as(f, name, 0, TN_DIMS(n, k)), NULL, name);
}

static tn_tensor *scalar(fixture *f, float value) {
    return tn_network_add_weights(f->net, tn_weights_floats(&f->net->arena, &value, TN_DIMS(1, 1), f->diag), NULL);
}

static tn_tensor *rows(fixture *f, int64_t columns) {
    tn_tensor *x = tn_network_add_input(f->net, "x", TN_FLOAT32, TN_DIMS(-1, columns));
    tn_tensor_set_dim_name(x, 0, "num_tokens");
    return x;
}

static void products_by_a_constant_are_scaled_in_the_epilogue(void **state) {
    fixture *f = *state;
    tn_tensor *y = output(tn_network_add_elementwise(f->net, scalar(f, 0.25f), linear(f, rows(f, 32), 64, 32, "w"), TN_ELEMENTWISE_PROD));
    tn_network_mark_output(f->net, y, "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply|scale\n");
    assert_true(find_layer(f->net, TN_OP_MATRIX_MULTIPLY, 0)->epilogues[0].value == 0.25);
}

static void division_that_would_round_differently_stays(void **state) {
    fixture *f = *state;
    tn_tensor *y = output(tn_network_add_elementwise(f->net, linear(f, rows(f, 32), 64, 32, "w"), scalar(f, 3.0f), TN_ELEMENTWISE_DIV));
    tn_network_mark_output(f->net, y, "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply\nelementwise\n");
}

static void soft_cap_is_one_epilogue(void **state) {
    fixture *f = *state;
    tn_tensor *y = linear(f, rows(f, 32), 64, 32, "w");
    y = output(tn_network_add_elementwise(f->net, y, scalar(f, 30.0f), TN_ELEMENTWISE_DIV));
    y = output(tn_network_add_activation(f->net, y, TN_ACTIVATION_TANH));
    y = output(tn_network_add_elementwise(f->net, y, scalar(f, 30.0f), TN_ELEMENTWISE_PROD));
    tn_network_mark_output(f->net, y, "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply|soft_cap\n");
    assert_true(find_layer(f->net, TN_OP_MATRIX_MULTIPLY, 0)->epilogues[0].value == 30.0);
}

static void products_that_something_else_reads_are_not_fused(void **state) {
    fixture *f = *state;
    tn_tensor *product = linear(f, rows(f, 32), 64, 32, "w");
    tn_tensor *y = output(tn_network_add_activation(f->net, product, TN_ACTIVATION_RELU));
    tn_network_mark_output(f->net, product, "product");
    tn_network_mark_output(f->net, y, "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply\nactivation\n");
}

static void debug_tensors_block_fusion(void **state) {
    fixture *f = *state;
    tn_tensor *product = linear(f, rows(f, 32), 64, 32, "w");
    tn_network_mark_debug(f->net, product);
    tn_network_mark_output(f->net, output(tn_network_add_activation(f->net, product, TN_ACTIVATION_RELU)), "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply\nactivation\n");
}

static void residuals_of_unknown_equality_are_not_fused(void **state) {
    fixture *f = *state;
    tn_tensor *product = linear(f, rows(f, 32), 64, 32, "w");
    tn_tensor *residual = tn_network_add_input(f->net, "r", TN_FLOAT32, TN_DIMS(-1, 64));
    tn_network_mark_output(f->net, tn_fn_add(f->net, product, residual, NULL), "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply\nelementwise\n");
}

static void residuals_with_the_same_dimension_name_are_fused(void **state) {
    fixture *f = *state;
    tn_tensor *product = linear(f, rows(f, 32), 64, 32, "w");
    tn_tensor *residual = tn_network_add_input(f->net, "r", TN_FLOAT32, TN_DIMS(-1, 64));
    tn_tensor_set_dim_name(residual, 0, "num_tokens");
    tn_network_mark_output(f->net, tn_fn_add(f->net, product, residual, NULL), "y");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply|add\n");
}

static void weights_of_different_encodings_are_not_joined(void **state) {
    fixture *f = *state;
    tn_tensor *x = rows(f, 32);
    f->options.activations = TN_ACTIVATIONS_FLOAT32;
    tn_tensor *a = tn_fn_linear(f->net, x, matrix_as(f, "a", TN_GGUF_Q4_0, TN_DIMS(64, 32)), NULL, "a");
    tn_tensor *b = tn_fn_linear(f->net, x, matrix_as(f, "b", TN_GGUF_Q8_0, TN_DIMS(64, 32)), NULL, "b");
    tn_network_mark_output(f->net, a, "a");
    tn_network_mark_output(f->net, b, "b");
    run_passes(f);
    assert_layers(f->net, "matrix_multiply\nmatrix_multiply\n");
}

/* Columns stored backwards (step −1) or in their own order, under a permutation all the same. */
static tn_tensor *ordered_linear(fixture *f, tn_tensor *x, const char *name, int step) {
    static uint8_t data[64 * 16];
    static float scales[64];
    int32_t *perm = tn_arena_alloc_array(&f->net->arena, 32, sizeof *perm);
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .dims = TN_DIMS(64, 32)};
    assert_true(tn_encoding_parse("affine_uint4_b1x32_perm", &desc.encoding));
    for (int32_t c = 0; c < 32; c++) perm[c] = step < 0 ? 31 - c : c;
    tn_weight_parts parts = {.part = {[TN_PART_DATA] = data, [TN_PART_SCALE] = scales, [TN_PART_PERM] = perm}};
    return tn_fn_linear(f->net, x, tn_weights_value(&f->net->arena, &desc, &parts, name, f->diag), NULL, name);
}

static void add_ordered_products(fixture *f) {
    tn_tensor *x = rows(f, 32);
    f->options.activations = TN_ACTIVATIONS_FLOAT32;
    tn_network_mark_output(f->net, ordered_linear(f, x, "a", -1), "a");
    tn_network_mark_output(f->net, ordered_linear(f, x, "b", -1), "b");
    tn_network_mark_output(f->net, ordered_linear(f, x, "c", 1), "c");
}

static void products_whose_columns_stand_in_one_order_share_its_gather_and_are_joined(void **state) {
    fixture *f = *state;
    add_ordered_products(f);
    run_passes(f);
    assert_layers(f->net, "gather\ngather\nmatrix_multiply\nslice\nslice\nmatrix_multiply\n");
    const tn_layer *joined = find_layer(f->net, TN_OP_MATRIX_MULTIPLY, 0);
    assert_int_equal(tn_tensor_weights(joined->inputs.data[1])->desc.encoding.kind, TN_ENCODING_AFFINE);
    assert_false(tn_tensor_weights(joined->inputs.data[1])->desc.encoding.has_perm);
}

static bool lacks_affine(void *unused, const tn_problem *problem) {
    (void)unused;
    return problem->op != TN_OP_MATRIX_MULTIPLY || problem->operands[1].encoding.kind != TN_ENCODING_AFFINE;
}

static void device_without_the_encoding_gets_decoded_columns(void **state) {
    fixture *f = *state;
    add_ordered_products(f);
    f->options.supports = lacks_affine;
    run_passes(f);
    assert_layers(f->net, "matrix_multiply\nslice\nslice\nslice\n");
}

static void one_quantisation_serves_all_readers(void **state) {
    fixture *f = *state;
    tn_tensor *x = rows(f, 32);
    tn_tensor *a = tn_fn_linear(f->net, x, matrix_as(f, "a", TN_GGUF_Q4_0, TN_DIMS(64, 32)), NULL, "a");
    tn_tensor *b = tn_fn_linear(f->net, x, matrix_as(f, "b", TN_GGUF_Q8_0, TN_DIMS(64, 32)), NULL, "b");
    tn_network_mark_output(f->net, a, "a");
    tn_network_mark_output(f->net, b, "b");
    run_passes(f);
    assert_layers(f->net, "quantize_rows\nmatrix_multiply\nmatrix_multiply\n");
}

static void equal_layers_become_one(void **state) {
    fixture *f = *state;
    tn_tensor *x = rows(f, 32);
    tn_tensor *a = output(tn_network_add_activation(f->net, x, TN_ACTIVATION_SILU));
    tn_tensor *b = output(tn_network_add_activation(f->net, x, TN_ACTIVATION_SILU));
    tn_tensor *c = output(tn_network_add_activation(f->net, x, TN_ACTIVATION_RELU));
    tn_network_mark_output(f->net, tn_fn_multiply(f->net, tn_fn_add(f->net, a, b, NULL), c, NULL), "y");
    run_passes(f);
    assert_layers(f->net, "activation\nactivation\nelementwise\nelementwise\n");
}

static void slice_of_everything_is_its_input(void **state) {
    fixture *f = *state;
    tn_tensor *x = rows(f, 32);
    tn_tensor *y = output(tn_network_add_slice(f->net, x, TN_DIMS(0, 0), TN_DIMS(-1, 32), TN_DIMS(1, 1)));
    tn_tensor *half = output(tn_network_add_slice(f->net, y, TN_DIMS(0, 0), TN_DIMS(-1, 16), TN_DIMS(1, 1)));
    tn_network_mark_output(f->net, half, "half");
    run_passes(f);
    assert_layers(f->net, "slice\n");
    assert_ptr_equal(half->producer->inputs.data[0], x);
}

static void vectors_stored_as_bfloat16_are_decoded(void **state) {
    fixture *f = *state;
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_BFLOAT16), .dims = TN_DIMS(32)};
    tn_network_mark_output(
        f->net, tn_fn_rms_norm(f->net, rows(f, 32), tn_weights_declare(&f->net->arena, NULL, "s", &desc, f->diag), 1e-5, "n"), "y");
    run_passes(f);
    const tn_weights *scale = tn_tensor_weights(find_layer(f->net, TN_OP_NORMALIZATION, 0)->inputs.data[1]);
    assert_int_equal(scale->desc.encoding.storage, TN_FLOAT32);
    assert_int_equal(scale->op, TN_WEIGHTS_DECODE);
}

static void networks_with_errors_are_refused(void **state) {
    fixture *f = *state;
    (void)tn_network_add_softmax(f->net, rows(f, 32), 7);
    assert_int_equal(tn_passes_run(f->net, &f->options), TN_INVALID_ARGUMENT);
}

static void dumps_to_stderr_change_nothing(void **state) {
    fixture *f = *state;
    tn_network_mark_output(f->net, output(tn_network_add_activation(f->net, linear(f, rows(f, 32), 64, 32, "w"), TN_ACTIVATION_RELU)), "y");
    assert_int_equal(setenv("TN_DUMP", "plan,passes", 1), 0);
    tn_status status = tn_passes_run(f->net, &f->options);
    assert_int_equal(unsetenv("TN_DUMP"), 0);
    assert_int_equal(status, TN_OK);
    assert_layers(f->net, "matrix_multiply|activation\n");
}

/* --- memory --------------------------------------------------------------------------------------------------------------- */

static void each_failing_allocation_is_reported_and_leaks_nothing(void **state) {
    fixture *outer = *state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        fixture f;
        tn_status status = open_fixture(&f, &fault.allocator, outer->diag);
        if (status == TN_OK) {
            tn_tensor *x = rows(&f, 32);
            tn_tensor *gate = output(tn_network_add_activation(f.net, linear(&f, x, 64, 32, "gate"), TN_ACTIVATION_SILU));
            tn_tensor *y = tn_fn_multiply(f.net, gate, linear(&f, x, 64, 32, "up"), NULL);
            tn_tensor *a = tn_fn_linear(f.net, y, matrix_as(&f, "a", TN_GGUF_Q4_0, TN_DIMS(64, 64)), NULL, "a");
            tn_tensor *b = tn_fn_linear(f.net, y, matrix_as(&f, "b", TN_GGUF_Q4_0, TN_DIMS(64, 64)), NULL, "b");
            tn_network_mark_output(f.net, tn_fn_add(f.net, a, b, NULL), "y");
            status = f.net->failed ? TN_OUT_OF_MEMORY : tn_passes_run(f.net, &f.options);
            tn_network_destroy(f.net);
        }
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_not_equal(status, TN_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(llama_layer_becomes_seven_steps),
        TEST(float_weights_keep_float_activations),
        TEST(activations_follow_the_option),
        TEST(float32_activations_quantise_nothing),
        TEST(bfloat16_activations_are_refused_by_name),
        TEST(layers_that_repeat_give_the_same_list_each),
        TEST(gpt2_layer_takes_biases_and_activation),
        TEST(qwen2_biases_are_joined),
        TEST(qwen3_head_norms_go_into_the_cache_step),
        TEST(experts_keep_a_float_norm_for_the_router),
        TEST(device_without_the_cache_step_keeps_its_parts),
        TEST(device_without_gated_activation_keeps_two_products),
        TEST(device_without_quantised_rows_computes_in_floats),
        TEST(device_without_residual_epilogue_adds_in_the_norm),
        TEST(products_by_a_constant_are_scaled_in_the_epilogue),
        TEST(division_that_would_round_differently_stays),
        TEST(soft_cap_is_one_epilogue),
        TEST(products_that_something_else_reads_are_not_fused),
        TEST(debug_tensors_block_fusion),
        TEST(residuals_of_unknown_equality_are_not_fused),
        TEST(residuals_with_the_same_dimension_name_are_fused),
        TEST(weights_of_different_encodings_are_not_joined),
        TEST(products_whose_columns_stand_in_one_order_share_its_gather_and_are_joined),
        TEST(device_without_the_encoding_gets_decoded_columns),
        TEST(one_quantisation_serves_all_readers),
        TEST(equal_layers_become_one),
        TEST(slice_of_everything_is_its_input),
        TEST(vectors_stored_as_bfloat16_are_decoded),
        TEST(networks_with_errors_are_refused),
        TEST(dumps_to_stderr_change_nothing),
        TEST(each_failing_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
