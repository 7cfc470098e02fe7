/* SPDX-License-Identifier: Apache-2.0
 *
 * networks_test.c: the networks of each family, and what is said when weights do not fit the configuration.
 */
#include "format/json.h"
#include "model/testing.h"
#include "network/network.h"
#include "support/fault_allocator.h"

static tn_model *open_golden(const char *name, tn_diag *diag) {
    char path[256];
    golden_path(name, path);
    tn_model *model;
    assert_ok(diag, tn_model_open(path, NULL, diag, &model));
    return model;
}

/* A copy of a golden model with a change to config.json and, in model.safetensors, of bytes of equal length. */
static void copy_model(const char *name, const char *folder, const char *from, const char *to, const char *bytes, const char *by) {
    size_t size;
    char *text = golden_text(name, "config.json", from, to, &size);
    write_file(folder, "config.json", text, size);
    free(text);
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s/model.safetensors", name);
    assert_int_equal(tn_file_read_all(path, 1 << 24, NULL, NULL, &text, &size), TN_OK);
    if (bytes != NULL) {
        char *at = memmem(text, size, bytes, strlen(bytes));
        assert_non_null(at);
        assert_int_equal(strlen(bytes), strlen(by));
        memcpy(at, by, strlen(by));
    }
    write_file(folder, "model.safetensors", text, size);
    tn_free(NULL, text);
}

/* Opening or building the changed model gives exactly one error. */
static void refused(tn_diag *diag, const char *name, const char *from, const char *to, const char *bytes, const char *by, tn_status code,
                    const char *message) {
    char folder[64];
    make_folder(folder);
    copy_model(name, folder, from, to, bytes, by);
    tn_model *model;
    tn_status status = tn_model_open(folder, NULL, diag, &model);
    if (status == TN_OK) {
        tn_model_options options;
        tn_model_options_init(&options);
        tn_model_networks networks;
        status = tn_model_make_networks(model, &options, diag, &networks);
        if (status == TN_OK) tn_model_networks_deinit(model, &networks);
    }
    size_t num_errors = tn_diag_num_entries(diag);
    assert_failed(diag, status, code, message);
    assert_int_equal(num_errors, 1);
    tn_model_close(model);
    remove_folder(folder);
}

static void networks_of_every_family_verify(void **state) {
    for (int i = 0; i < NUM_GOLDEN; i++) {
        tn_model *model = open_golden(golden_models[i], *state);
        tn_model_options options;
        tn_model_options_init(&options);
        options.hidden_states = true; /* what all other tests leave out */
        tn_model_networks networks;
        assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
        assert_ok(*state, tn_network_verify(networks.forward, *state));
        assert_ok(*state, tn_network_verify(networks.sample, *state));
        tn_model_networks_deinit(model, &networks);
        tn_model_close(model);
    }
}

static void a_decoder_has_the_executors_inputs_and_outputs(void **state) {
    tn_model *model = open_golden("llama-gqa", *state);
    tn_model_options options;
    tn_model_options_init(&options);
    tn_model_networks networks;
    assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
    static const char *const inputs[] = {"input_ids", "positions", "query_start", "seq_slot", "kv_length", "logits_rows", "block_table.0"};
    assert_int_equal(tn_network_num_inputs(networks.forward), 7);
    for (int i = 0; i < 7; i++) assert_string_equal(tn_tensor_name(tn_network_input(networks.forward, i)), inputs[i]);
    assert_int_equal(tn_network_num_outputs(networks.forward), 1);
    tn_tensor *logits = tn_network_output(networks.forward, 0);
    assert_string_equal(tn_tensor_name(logits), "logits");
    assert_int_equal(tn_tensor_dtype(logits), TN_FLOAT32);
    tn_dims dims = tn_tensor_dims(logits);
    assert_int_equal(dims.rank, 2);
    assert_int_equal(dims.d[1], 320);
    assert_int_equal(tn_network_num_outputs(networks.sample), 3);
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
}

static void hidden_states_are_a_second_output_where_asked_for(void **state) {
    static const struct {
        const char *name;
        int64_t columns;
    } models[] = {{"llama-gqa", 64}, {"opt-narrow", 16}}; /* the head of the latter is narrower than the layers */
    for (int i = 0; i < 2; i++) {
        char words[64];
        tn_model *model = open_golden(models[i].name, *state);
        tn_model_options options;
        tn_model_options_init(&options);
        options.hidden_states = true;
        tn_model_networks networks;
        assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
        assert_ok(*state, tn_network_verify(networks.forward, *state));
        assert_int_equal(tn_network_num_outputs(networks.forward), 2);
        assert_string_equal(tn_tensor_name(tn_network_output(networks.forward, 0)), "logits");
        const tn_tensor *hidden = tn_network_output(networks.forward, 1);
        assert_string_equal(tn_tensor_name(hidden), "hidden_states");
        assert_int_equal(tn_tensor_dtype(hidden), TN_FLOAT32);
        assert_int_equal(tn_tensor_dims(hidden).d[1], models[i].columns);
        snprintf(words, sizeof words, ", \"hidden_states\": %lld}", (long long)models[i].columns);
        assert_non_null(strstr(networks.info, words));
        tn_model_networks_deinit(model, &networks);
        tn_model_close(model);
    }
}

static void layers_of_one_window_share_a_cache_group(void **state) {
    char folder[64];
    make_folder(folder);
    copy_model("qwen2", folder, "\"layer_types\": [\n    \"full_attention\",", "\"layer_types\": [\n    \"sliding_attention\",", NULL,
               NULL);
    size_t size;
    char *text;
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(tn_file_read_all(path, 1 << 16, NULL, NULL, &text, &size), TN_OK);
    char *window = strstr(text, "\"sliding_window\": null"), *use = strstr(text, "\"use_sliding_window\": false");
    assert_true(window != NULL && use != NULL);
    memcpy(window, "\"sliding_window\": 16  ", 22);
    memcpy(use, "\"use_sliding_window\": true ", 27);
    write_file(folder, "config.json", text, size);
    tn_free(NULL, text);
    tn_model *model;
    assert_ok(*state, tn_model_open(folder, NULL, *state, &model));
    tn_model_options options;
    tn_model_options_init(&options);
    tn_model_networks networks;
    assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
    assert_ok(*state, tn_network_verify(networks.forward, *state));
    assert_int_equal(networks.forward->states.count, 3); /* kv.0, kv.1, slots */
    assert_string_equal(networks.forward->states.data[0].name, "kv.0");
    assert_int_equal(networks.forward->states.data[0].window, 16);
    assert_int_equal(networks.forward->states.data[0].kv.num_layers, 1);
    assert_int_equal(networks.forward->states.data[1].window, 0);
    assert_int_equal(networks.forward->states.data[1].kv.num_layers, 2);
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
    remove_folder(folder);
}

static void the_cache_is_float32_where_the_weights_are(void **state) {
    tn_model *model = open_golden("llama-gqa", *state);
    tn_model_options options;
    tn_model_options_init(&options);
    tn_model_networks networks;
    assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
    assert_int_equal(networks.forward->states.data[0].kv.dtype, TN_FLOAT32);
    tn_model_networks_deinit(model, &networks);
    options.cache_dtype = TN_FLOAT16;
    assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
    assert_int_equal(networks.forward->states.data[0].kv.dtype, TN_FLOAT16);
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
}

static void the_info_tells_the_executor_what_it_needs(void **state) {
    tn_model *model = open_golden("llama-gqa", *state);
    tn_model_options options;
    tn_model_options_init(&options);
    options.max_seq_len = 100;
    tn_model_networks networks;
    assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
    assert_string_equal(networks.info,
                        "{\"name\": \"\", \"architecture\": \"LlamaForCausalLM\", \"vocab_size\": 320, \"max_seq_len\": 100, "
                        "\"max_num_tokens\": 2048, \"max_batch_size\": 16, \"tokens_per_block\": 32, \"max_log_probs\": 20, "
                        "\"cache_dtype\": \"float32\", \"bos_id\": 1, \"end_ids\": [2], \"activations\": \"auto\"}");
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
}

static void a_missing_tensor_is_named_once(void **state) {
    refused(*state, "llama-gqa", NULL, NULL, "model.layers.1.self_attn.k_proj.weight", "model.layers.1.self_attn.K_proj.weight",
            TN_INVALID_DATA, "tensor 'model.layers.1.self_attn.k_proj.weight' is missing");
    refused(*state, "gpt2", NULL, NULL, "transformer.h.2.mlp.c_fc.bias", "transformer.h.2.mlp.C_fc.bias", TN_INVALID_DATA,
            "tensor 'transformer.h.2.mlp.c_fc.bias' is missing");
    refused(*state, "mixtral", NULL, NULL, "model.layers.0.block_sparse_moe.experts.3.w2.weight",
            "model.layers.0.block_sparse_moe.experts.3.W2.weight", TN_INVALID_DATA,
            "tensor 'model.layers.0.block_sparse_moe.experts.3.w2.weight' is missing");
    refused(*state, "qwen2", NULL, NULL, "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.Q_proj.bias", TN_INVALID_DATA,
            "tensor 'model.layers.0.self_attn.q_proj.bias' is missing");
}

static void a_missing_tensor_of_any_family_is_named_once(void **state) {
    static const struct {
        const char *model, *tensor, *other; /* of equal length, so that the file's offsets stay */
    } cases[] = {
        {"gemma2", "model.layers.0.pre_feedforward_layernorm.weight", "model.layers.0.pre_feedforward_layernorm.Weight"},
        {"phi3", "model.layers.1.self_attn.qkv_proj.weight", "model.layers.1.self_attn.qkv_proj.Weight"},
        {"phi", "lm_head.bias", "lm_head.Bias"},
        {"gptj", "transformer.h.2.attn.v_proj.weight", "transformer.h.2.attn.v_proj.Weight"},
        {"falcon-mqa", "transformer.h.1.self_attention.query_key_value.weight", "transformer.h.1.self_attention.query_key_value.Weight"},
        {"opt", "model.decoder.embed_positions.weight", "model.decoder.embed_positions.Weight"},
        {"bloom", "transformer.word_embeddings_layernorm.bias", "transformer.word_embeddings_layernorm.Bias"},
        {"qwen2_moe", "model.layers.2.mlp.shared_expert_gate.weight", "model.layers.2.mlp.shared_expert_gate.Weight"},
        {"qwen3_moe", "model.layers.0.mlp.experts.3.up_proj.weight", "model.layers.0.mlp.experts.3.up_proj.Weight"},
        {"stablelm-parallel", "model.layers.1.self_attn.q_layernorm.norms.2.weight", "model.layers.1.self_attn.q_layernorm.norms.2.Weight"},
        {"gpt_oss", "model.layers.2.self_attn.sinks", "model.layers.2.self_attn.Sinks"},
        {"gpt_oss", "model.layers.0.mlp.experts.down_proj_bias", "model.layers.0.mlp.experts.down_proj_Bias"},
        {"deepseek_v3", "model.layers.1.mlp.gate.e_score_correction_bias", "model.layers.1.mlp.gate.e_score_correction_Bias"},
        {"deepseek_v2", "model.layers.0.self_attn.kv_b_proj.weight", "model.layers.0.self_attn.kv_b_proj.Weight"},
        {"exaone", "transformer.h.1.mlp.c_fc_1.weight", "transformer.h.1.mlp.c_fc_1.Weight"},
        {"exaone4", "model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.q_norm.Weight"},
        {"internlm2", "model.layers.0.attention.wqkv.bias", "model.layers.0.attention.wqkv.Bias"},
        {"baichuan", "model.layers.1.self_attn.W_pack.weight", "model.layers.1.self_attn.W_pack.Weight"},
        {"granitemoe", "model.layers.1.block_sparse_moe.input_linear.weight", "model.layers.1.block_sparse_moe.input_linear.Weight"},
        {"glm4_moe", "model.layers.1.mlp.gate.e_score_correction_bias", "model.layers.1.mlp.gate.e_score_correction_Bias"},
        {"glm4", "model.layers.1.post_mlp_layernorm.weight", "model.layers.1.post_mlp_layernorm.Weight"},
        {"chatglm", "transformer.encoder.layers.0.mlp.dense_h_to_4h.weight", "transformer.encoder.layers.0.mlp.dense_h_to_4h.Weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[128];
        snprintf(message, sizeof message, "tensor '%s' is missing", cases[i].tensor);
        refused(*state, cases[i].model, NULL, NULL, cases[i].tensor, cases[i].other, TN_INVALID_DATA, message);
    }
}

static void untied_embeddings_without_a_head_are_refused(void **state) {
    refused(*state, "llama-tied-mha", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", NULL, NULL, TN_INVALID_DATA,
            "tensor 'lm_head.weight' is missing");
}

static void tied_embeddings_beside_a_head_use_the_embeddings(void **state) {
    char folder[64];
    make_folder(folder);
    copy_model("llama-gqa", folder, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", NULL, NULL);
    tn_model *model;
    assert_ok(*state, tn_model_open(folder, NULL, *state, &model));
    tn_model_options options;
    tn_model_options_init(&options);
    tn_model_networks networks;
    assert_ok(*state, tn_model_make_networks(model, &options, *state, &networks));
    const tn_layer *head = tn_network_output(networks.forward, 0)->producer;
    assert_string_equal(tn_tensor_weights(head->inputs.data[1])->name, "model.embed_tokens.weight");
    tn_model_networks_deinit(model, &networks);
    tn_model_close(model);
    remove_folder(folder);
}

static void a_tensor_of_another_shape_is_named_with_both_shapes(void **state) {
    refused(*state, "llama-tied-mha", "\"vocab_size\": 320", "\"vocab_size\": 319", NULL, NULL, TN_INVALID_DATA,
            "tensor 'model.embed_tokens.weight' has shape [320, 64], the configuration needs [319, 64]");
    refused(*state, "gpt2", "\"n_positions\": 512", "\"n_positions\": 500", NULL, NULL, TN_INVALID_DATA,
            "tensor 'transformer.wpe.weight' has shape [512, 64], the configuration needs [500, 64]");
    refused(*state, "opt", "\"max_position_embeddings\": 512", "\"max_position_embeddings\": 511", NULL, NULL, TN_INVALID_DATA,
            "tensor 'model.decoder.embed_positions.weight' has shape [514, 64], the configuration needs [513, 64]");
    refused(*state, "exaone", "\"vocab_size\": 96", "\"vocab_size\": 95", NULL, NULL, TN_INVALID_DATA,
            "tensor 'transformer.wte.weight' has shape [96, 32], the configuration needs [95, 32]");
    refused(*state, "falcon-mqa", "\"vocab_size\": 320", "\"vocab_size\": 321", NULL, NULL, TN_INVALID_DATA,
            "tensor 'transformer.word_embeddings.weight' has shape [320, 64], the configuration needs [321, 64]");
}

static void options_out_of_range_are_refused_by_name(void **state) {
    tn_model *model = open_golden("llama-gqa", *state);
    tn_model_networks networks;
#define REFUSED(field, value, code, message)                                                              \
    do {                                                                                                  \
        tn_model_options options;                                                                         \
        tn_model_options_init(&options);                                                                  \
        options.field = (value);                                                                          \
        assert_failed(*state, tn_model_make_networks(model, &options, *state, &networks), code, message); \
        assert_null(networks.forward);                                                                    \
    } while (0)
    REFUSED(max_seq_len, 513, TN_INVALID_ARGUMENT, "max_seq_len is 513, must be 1 to 512");
    REFUSED(max_seq_len, -1, TN_INVALID_ARGUMENT, "max_seq_len is -1, must be 1 to 512");
    REFUSED(max_num_tokens, -1, TN_INVALID_ARGUMENT, "max_num_tokens is -1, must be 1 to 1048576");
    REFUSED(max_batch_size, 1 << 17, TN_INVALID_ARGUMENT, "max_batch_size is 131072, must be 1 to 65536");
    REFUSED(tokens_per_block, 24, TN_INVALID_ARGUMENT, "tokens_per_block is 24, must be a power of two");
    REFUSED(tokens_per_block, 8, TN_INVALID_ARGUMENT, "tokens_per_block is 8, must be 16 to 256");
    REFUSED(tokens_per_block, -16, TN_INVALID_ARGUMENT, "tokens_per_block is -16, must be");
    REFUSED(max_log_probs, 321, TN_INVALID_ARGUMENT, "max_log_probs is 321, must be 0 to 320");
    REFUSED(cache_dtype, TN_INT4, TN_UNSUPPORTED, "a key/value cache of int4 is not built");
    REFUSED(mapping.tp_size, 2, TN_UNSUPPORTED, "a mapping of 2 x 1 x 1 ranks (tp x pp x ep) is not built");
#undef REFUSED
    tn_model_close(model);
}

static void paths_that_are_no_models_are_refused(void **state) {
    tn_model *model;
    assert_failed(*state, tn_model_open("/tmp/no/such/model.gguf", NULL, *state, &model), TN_NOT_FOUND, "/tmp/no/such/model.gguf");
    assert_null(model);
    assert_failed(*state, tn_model_open(GOLDEN "llama-gqa/config.json", NULL, *state, &model), TN_INVALID_DATA, "config.json");
    char folder[64];
    make_folder(folder);
    size_t size;
    char *text = golden_text("llama-gqa", "config.json", NULL, NULL, &size);
    write_file(folder, "config.json", text, size);
    free(text);
    assert_failed(*state, tn_model_open(folder, NULL, *state, &model), TN_NOT_FOUND, "safetensors");
    remove_folder(folder);
}

static void each_failing_allocation_of_open_and_networks_is_reported_and_leaks_nothing(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_diag *diag;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_model *model;
        tn_model_networks networks = {0};
        tn_status status = tn_model_open(GOLDEN "mixtral", &fault.allocator, diag, &model);
        if (status == TN_OK) {
            tn_model_options options;
            tn_model_options_init(&options);
            status = tn_model_make_networks(model, &options, diag, &networks);
            tn_model_networks_deinit(model, &networks);
        }
        tn_model_close(model);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        bool has_failed = tn_fault_has_failed(&fault);
        tn_diag_entry entry = {0};
        if (has_failed && tn_diag_num_entries(diag) > 0) assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
        if (status != (has_failed ? TN_OUT_OF_MEMORY : TN_OK) || (has_failed && entry.code != TN_OUT_OF_MEMORY))
            fail_msg("allocation %zu: %s, \"%s\"", n, tn_status_name(status), entry.message != NULL ? entry.message : "");
        tn_diag_destroy(diag);
        if (!has_failed) {
            assert_true(n > 20);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(networks_of_every_family_verify),
        TEST(a_decoder_has_the_executors_inputs_and_outputs),
        TEST(hidden_states_are_a_second_output_where_asked_for),
        TEST(layers_of_one_window_share_a_cache_group),
        TEST(the_cache_is_float32_where_the_weights_are),
        TEST(the_info_tells_the_executor_what_it_needs),
        TEST(a_missing_tensor_is_named_once),
        TEST(a_missing_tensor_of_any_family_is_named_once),
        TEST(untied_embeddings_without_a_head_are_refused),
        TEST(tied_embeddings_beside_a_head_use_the_embeddings),
        TEST(a_tensor_of_another_shape_is_named_with_both_shapes),
        TEST(options_out_of_range_are_refused_by_name),
        TEST(paths_that_are_no_models_are_refused),
        TEST(each_failing_allocation_of_open_and_networks_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
