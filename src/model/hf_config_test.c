/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_config_test.c: config.json, right and wrong.
 */
#include "format/json.h"
#include "model/testing.h"
#include "support/fault_allocator.h"

typedef struct loaded {
    tn_arena arena;
    tn_model_config config;
    const tn_family *family;
} loaded;

static tn_status load_text(const char *text, size_t size, tn_diag *diag, loaded *out) {
    char folder[64];
    make_folder(folder);
    write_file(folder, "config.json", text, size);
    *out = (loaded){0};
    tn_status status = tn_model_config_from_hf(folder, &out->arena, diag, &out->config, &out->family);
    remove_folder(folder);
    return status;
}

static tn_status load_golden(const char *model, const char *name, const char *from, const char *to, tn_diag *diag, loaded *out) {
    size_t size;
    char *text = golden_text(model, name, from, to, &size);
    tn_status status = load_text(text, size, diag, out);
    free(text);
    return status;
}

/* config.json of llama-gqa, or of `model`, with one change, is refused. */
static void refused_in(tn_diag *diag, const char *model, const char *from, const char *to, tn_status code, const char *message) {
    loaded it;
    tn_status status = load_golden(model, "config.json", from, to, diag, &it);
    assert_failed(diag, status, code, message);
    tn_arena_deinit(&it.arena);
}

static void refused(tn_diag *diag, const char *from, const char *to, tn_status code, const char *message) {
    refused_in(diag, "llama-gqa", from, to, code, message);
}

/* The same change is taken; the config is for the caller to look at. */
static loaded taken_in(tn_diag *diag, const char *model, const char *from, const char *to) {
    loaded it;
    assert_ok(diag, load_golden(model, "config.json", from, to, diag, &it));
    return it;
}

/* --- right ----------------------------------------------------------------------------------------------------------------- */

static void assert_configs_equal(const tn_model_config *a, const tn_model_config *b) {
    assert_string_equal(a->architecture, b->architecture);
#define EQUAL(field) assert_true(a->field == b->field)
    EQUAL(vocab_size), EQUAL(hidden_size), EQUAL(intermediate_size), EQUAL(num_layers), EQUAL(num_heads), EQUAL(num_kv_heads);
    EQUAL(head_dim), EQUAL(max_positions), EQUAL(max_scaled_positions), EQUAL(norm_epsilon), EQUAL(activation), EQUAL(tie_embeddings);
    EQUAL(qk_norm), EQUAL(scale_by_layer), EQUAL(attention_scale), EQUAL(qkv_bias), EQUAL(o_bias), EQUAL(mlp_bias), EQUAL(norm_bias);
    EQUAL(is_layer_norm), EQUAL(norm_offset), EQUAL(norm_order), EQUAL(residual), EQUAL(embedding_scale), EQUAL(logit_soft_cap);
    EQUAL(attention_soft_cap), EQUAL(alibi_max_bias), EQUAL(has_learned_positions), EQUAL(position_offset), EQUAL(qkv_is_by_heads);
    EQUAL(has_plain_mlp), EQUAL(is_gate_joined), EQUAL(head_bias);
    EQUAL(rope.type), EQUAL(rope.scaling), EQUAL(rope.dim), EQUAL(rope.theta), EQUAL(rope.factor), EQUAL(rope.low_freq_factor);
    EQUAL(rope.high_freq_factor), EQUAL(rope.beta_fast), EQUAL(rope.beta_slow), EQUAL(rope.attention_factor);
    EQUAL(rope.original_max_positions), EQUAL(num_experts), EQUAL(experts_per_token), EQUAL(bos_id), EQUAL(num_end_ids);
#undef EQUAL
    assert_memory_equal(a->end_ids, b->end_ids, sizeof a->end_ids);
    assert_int_equal(a->layer_windows == NULL, b->layer_windows == NULL);
    for (int64_t i = 0; a->layer_windows != NULL && i < a->num_layers; i++) assert_int_equal(a->layer_windows[i], b->layer_windows[i]);
}

static void current_and_older_form_of_each_golden_model_give_the_same_config(void **state) {
    for (int i = 0; i < NUM_GOLDEN; i++) {
        loaded current, older;
        assert_ok(*state, load_golden(golden_models[i], "config.json", NULL, NULL, *state, &current));
        assert_ok(*state, load_golden(golden_models[i], "config.v4.json", NULL, NULL, *state, &older));
        assert_configs_equal(&current.config, &older.config);
        assert_ptr_equal(current.family, older.family);
        tn_arena_deinit(&current.arena);
        tn_arena_deinit(&older.arena);
    }
}

static void fields_of_a_llama_are_read(void **state) {
    loaded it = taken_in(*state, "llama-gqa", NULL, NULL);
    const tn_model_config *config = &it.config;
    assert_string_equal(config->architecture, "LlamaForCausalLM");
    assert_ptr_equal(it.family, &tn_family_llama);
    assert_int_equal(config->vocab_size, 320);
    assert_int_equal(config->hidden_size, 64);
    assert_int_equal(config->intermediate_size, 176);
    assert_int_equal(config->num_layers, 3);
    assert_int_equal(config->num_heads, 4);
    assert_int_equal(config->num_kv_heads, 2);
    assert_int_equal(config->head_dim, 16);
    assert_int_equal(config->max_positions, 512);
    assert_true(config->norm_epsilon == 1e-6);
    assert_int_equal(config->activation, TN_ACTIVATION_SILU);
    assert_int_equal(config->rope.type, TN_ROTARY_HALVES);
    assert_int_equal(config->rope.dim, 16);
    assert_true(config->rope.theta == 10000.0);
    assert_int_equal(config->bos_id, 1);
    assert_int_equal(config->num_end_ids, 1);
    assert_int_equal(config->end_ids[0], 2);
    assert_int_equal(config->qkv_bias, TN_BIAS_NONE);
    tn_arena_deinit(&it.arena);
}

static void relatives_differ_where_their_architectures_do(void **state) {
    loaded it = taken_in(*state, "qwen2", NULL, NULL);
    assert_int_equal(it.config.qkv_bias, TN_BIAS_REQUIRED);
    assert_int_equal(it.config.o_bias, TN_BIAS_NONE);
    assert_true(it.config.tie_embeddings);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "qwen3", NULL, NULL);
    assert_int_equal(it.config.qk_norm, TN_QK_NORM_HEAD);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "mixtral", NULL, NULL);
    assert_int_equal(it.config.num_experts, 4);
    assert_int_equal(it.config.experts_per_token, 2);
    assert_int_equal(it.config.head_dim, 16); /* null: hidden size by heads */
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "gpt2", NULL, NULL);
    assert_ptr_equal(it.family, &tn_family_gpt2);
    assert_int_equal(it.config.intermediate_size, 256);
    assert_int_equal(it.config.activation, TN_ACTIVATION_GELU_TANH);
    assert_int_equal(it.config.rope.dim, 0);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "llama3-rope", NULL, NULL);
    assert_int_equal(it.config.rope.scaling, TN_ROPE_LLAMA3);
    assert_int_equal(it.config.rope.original_max_positions, 64);
    tn_arena_deinit(&it.arena);
}

static void experts_of_deepseek_come_out_of_groups(void **state) {
    loaded it = taken_in(*state, "deepseek_v3", NULL, NULL);
    assert_int_equal(it.config.expert_groups, 4);
    assert_int_equal(it.config.chosen_groups, 2);
    assert_int_equal(it.config.route, TN_ROUTE_SIGMOID_TOPK);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "deepseek_v2", "\"group_limited_greedy\"", "\"greedy\"");
    assert_int_equal(it.config.expert_groups, 0);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "deepseek_v2", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5, \"moe_layer_freq\": 2");
    static const bool is_dense[5] = {true, true, false, true, false};
    assert_memory_equal(it.config.layer_is_dense, is_dense, sizeof is_dense);
    tn_arena_deinit(&it.arena);
}

static void layers_without_windows_are_not_rotated_in_exaone_4(void **state) {
    static const uint8_t ropes[4] = {TN_LAYER_ROPE, TN_LAYER_ROPE_NONE, TN_LAYER_ROPE, TN_LAYER_ROPE_NONE};
    loaded it = taken_in(*state, "exaone4", NULL, NULL);
    assert_memory_equal(it.config.layer_ropes, ropes, sizeof ropes);
    tn_arena_deinit(&it.arena);
    static const char text[] =
        "{\"architectures\": [\"Exaone4ForCausalLM\"], \"vocab_size\": 32, \"hidden_size\": 16, \"intermediate_size\": 16,"
        " \"num_hidden_layers\": 4, \"num_attention_heads\": 2, \"max_position_embeddings\": 64, \"sliding_window\": null,"
        " \"sliding_window_pattern\": null}";
    assert_ok(*state, load_text(text, sizeof text - 1, *state, &it));
    assert_null(it.config.layer_ropes);
    assert_int_equal(it.config.layer_windows[0], 0);
    tn_arena_deinit(&it.arena);
}

static void eos_may_be_a_list_an_id_or_null(void **state) {
    loaded it = taken_in(*state, "llama-gqa", "\"eos_token_id\": 2", "\"eos_token_id\": [2, 7, 9]");
    assert_int_equal(it.config.num_end_ids, 3);
    assert_int_equal(it.config.end_ids[2], 9);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "llama-gqa", "\"eos_token_id\": 2", "\"eos_token_id\": null");
    assert_int_equal(it.config.num_end_ids, 0);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "llama-gqa", "\"eos_token_id\": 2,", "");
    assert_int_equal(it.config.num_end_ids, 0);
    tn_arena_deinit(&it.arena);
}

static void generation_config_has_the_last_word_on_end_ids(void **state) {
    char folder[64];
    make_folder(folder);
    size_t size;
    char *text = golden_text("llama-gqa", "config.json", NULL, NULL, &size);
    write_file(folder, "config.json", text, size);
    free(text);
    static const struct {
        const char *text;
        int count, first;
    } cases[] = {{"{\"eos_token_id\": [5, 6]}", 2, 5}, {"{\"eos_token_id\": 4}", 1, 4}, {"{\"do_sample\": true}", 1, 2}};
    for (size_t i = 0; i < 3; i++) {
        write_file(folder, "generation_config.json", cases[i].text, strlen(cases[i].text));
        loaded it = {0};
        assert_ok(*state, tn_model_config_from_hf(folder, &it.arena, *state, &it.config, &it.family));
        assert_int_equal(it.config.num_end_ids, cases[i].count);
        assert_int_equal(it.config.end_ids[0], cases[i].first);
        tn_arena_deinit(&it.arena);
    }
    static const struct {
        const char *text, *message;
    } bad[] = {{"[]", "must be an object"},
               {"{\"eos_token_id\": 320}", "'eos_token_id' is 320, must be 0 to 319"},
               {"{", "the text ends too early"}};
    for (size_t i = 0; i < 3; i++) {
        write_file(folder, "generation_config.json", bad[i].text, strlen(bad[i].text));
        loaded it = {0};
        tn_status status = tn_model_config_from_hf(folder, &it.arena, *state, &it.config, &it.family);
        assert_failed(*state, status, TN_INVALID_DATA, bad[i].message);
        tn_arena_deinit(&it.arena);
    }
    remove_folder(folder);
}

static void sliding_windows_are_read_as_each_architecture_means_them(void **state) {
    loaded it = taken_in(*state, "mistral", "\"sliding_window\": null", "\"sliding_window\": 128");
    for (int i = 0; i < 3; i++) assert_int_equal(it.config.layer_windows[i], 128);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "mistral", "\"sliding_window\": null,", ""); /* transformers' default for Mistral */
    assert_int_equal(it.config.layer_windows[0], 4096);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "mixtral", "\"sliding_window\": null,", "");
    assert_int_equal(it.config.layer_windows[0], 0);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "qwen2", "\"sliding_window\": null", "\"sliding_window\": 128"); /* use_sliding_window is false */
    assert_int_equal(it.config.layer_windows[0], 0);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "qwen3", "\"sliding_window\": null,", "\"sliding_window\": 32,");
    assert_int_equal(it.config.layer_windows[2], 0);
    tn_arena_deinit(&it.arena);
}

static void windows_of_single_layers_come_from_layer_types(void **state) {
    static const char config[] =
        "{\"architectures\": [\"Qwen2ForCausalLM\"], \"vocab_size\": 32, \"hidden_size\": 16, \"intermediate_size\": 16,"
        " \"num_hidden_layers\": 3, \"num_attention_heads\": 2, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6,"
        " \"hidden_act\": \"silu\", \"use_sliding_window\": true, \"sliding_window\": 24%s}";
    static const struct {
        const char *rest;
        int64_t windows[3];
    } cases[] = {
        {", \"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\"]", {24, 0, 24}},
        {", \"max_window_layers\": 2", {0, 0, 24}},
        {", \"max_window_layers\": 0", {24, 24, 24}},
        {"", {0, 0, 0}}, /* the default of max_window_layers is 28 */
    };
    for (size_t c = 0; c < 4; c++) {
        char text[1024];
        snprintf(text, sizeof text, config, cases[c].rest);
        loaded it;
        assert_ok(*state, load_text(text, strlen(text), *state, &it));
        for (int i = 0; i < 3; i++) assert_int_equal(it.config.layer_windows[i], cases[c].windows[i]);
        tn_arena_deinit(&it.arena);
    }
}

static void all_rotary_scalings_are_read(void **state) {
    static const char *const from = "\"rope_type\": \"default\"";
    loaded it = taken_in(*state, "llama-gqa", from, "\"rope_type\": \"linear\", \"factor\": 4");
    assert_int_equal(it.config.rope.scaling, TN_ROPE_LINEAR);
    assert_true(it.config.rope.factor == 4.0);
    assert_int_equal(it.config.max_positions, 512);
    assert_int_equal(it.config.max_scaled_positions, 2048);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "llama-gqa", from, "\"type\": \"dynamic\", \"factor\": 2.0, \"original_max_position_embeddings\": 64");
    assert_int_equal(it.config.rope.scaling, TN_ROPE_DYNAMIC);
    assert_int_equal(it.config.rope.original_max_positions, 512); /* transformers compares with max_position_embeddings */
    assert_int_equal(it.config.max_scaled_positions, 1024);
    tn_arena_deinit(&it.arena);
    it = taken_in(
        *state, "llama-gqa", from,
        "\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 256, \"beta_fast\": 16, \"truncate\": false,"
        " \"attention_factor\": 1.5");
    assert_int_equal(it.config.rope.scaling, TN_ROPE_YARN);
    assert_int_equal(it.config.rope.original_max_positions, 256);
    assert_true(it.config.rope.beta_fast == 16.0 && it.config.rope.beta_slow == 1.0 && it.config.rope.attention_factor == 1.5);
    assert_true(it.config.rope.keep_correction_range_fractional);
    assert_int_equal(it.config.max_scaled_positions, 1024);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "llama-gqa", from, "\"rope_type\": \"yarn\", \"original_max_position_embeddings\": 128");
    assert_true(it.config.rope.factor == 4.0); /* max positions by original ones */
    tn_arena_deinit(&it.arena);
}

static void biases_follow_their_switches(void **state) {
    loaded it = taken_in(*state, "llama-gqa", "\"attention_bias\": false", "\"attention_bias\": true");
    assert_int_equal(it.config.qkv_bias, TN_BIAS_REQUIRED);
    assert_int_equal(it.config.o_bias, TN_BIAS_REQUIRED);
    assert_int_equal(it.config.mlp_bias, TN_BIAS_NONE);
    tn_arena_deinit(&it.arena);
    it = taken_in(*state, "llama-gqa", "\"mlp_bias\": false", "\"mlp_bias\": true");
    assert_int_equal(it.config.qkv_bias, TN_BIAS_NONE);
    assert_int_equal(it.config.mlp_bias, TN_BIAS_REQUIRED);
    tn_arena_deinit(&it.arena);
}

static void unknown_fields_that_say_off_are_taken(void **state) {
    static const char *const values[] = {"null", "false", "{}", "[]"};
    for (size_t i = 0; i < 4; i++) {
        char field[64];
        snprintf(field, sizeof field, "\"quantization_config\": %s, \"vocab_size\"", values[i]);
        loaded it = taken_in(*state, "llama-gqa", "\"vocab_size\"", field);
        tn_arena_deinit(&it.arena);
    }
}

static void fields_that_published_models_have_beside_are_taken(void **state) {
    static const struct {
        const char *model, *fields;
    } cases[] = {
        {"gemma2", "\"cache_implementation\": \"hybrid\", \"hidden_act\": \"gelu_pytorch_tanh\", "},
        {"opt", "\"activation_dropout\": 0.0, \"prefix\": \"</s>\", "},
        {"bloom", "\"attention_softmax_in_fp32\": true, \"masked_softmax_fusion\": true, \"offset_alibi\": 100, \"seq_length\": 512, "},
        {"starcoder2", "\"activation_function\": \"gelu\", \"norm_type\": \"layer_norm\", \"mlp_type\": \"default\", "},
        {"gpt_bigcode", "\"inference_runner\": 0, \"pre_allocate_kv_cache\": true, \"validate_runner_input\": true, "},
        {"cohere", "\"model_max_length\": 131072, "},
        {"gpt_oss", "\"initial_context_length\": 4096, \"experts_per_token\": 2, "},
        {"deepseek_v2",
         "\"aux_loss_alpha\": 0.001, \"seq_aux\": true, \"scoring_func\": \"softmax\", \"moe_layer_freq\": 1, \"ep_size\": 1, "},
        {"mpt", "\"verbose\": 0, \"init_config\": {\"name\": \"kaiming_normal_\"}, "},
        {"exaone", "\"prefix_projection\": false, \"resid_dropout\": 0.0, "},
        {"internlm2", "\"rms_norm_type\": null, \"pretraining_tp\": 1, "},
        {"gpt_neox", "\"rotary_pct\": 0.25, \"rotary_emb_base\": 10000, "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char to[256];
        snprintf(to, sizeof to, "%s\"vocab_size\"", cases[i].fields);
        loaded it = taken_in(*state, cases[i].model, "\"vocab_size\"", to);
        tn_arena_deinit(&it.arena);
    }
}

/* --- wrong ------------------------------------------------------------------------------------------------------------------ */

static void zero_negative_and_huge_sizes_are_refused(void **state) {
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": 0", TN_INVALID_DATA, "'hidden_size' is 0, must be 1 to 16777216");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": -64", TN_INVALID_DATA, "'hidden_size' is -64, must be 1 to 16777216");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": 1000000000000", TN_INVALID_DATA, "'hidden_size' is 1000000000000, must be");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": 99999999999999999999999", TN_INVALID_DATA, "'hidden_size' is 1e+23, must be");
    refused(*state, "\"vocab_size\": 320", "\"vocab_size\": 0", TN_INVALID_DATA, "'vocab_size' is 0, must be 1 to 16777216");
    refused(*state, "\"vocab_size\": 320", "\"vocab_size\": 2147483648", TN_INVALID_DATA, "'vocab_size' is 2147483648, must be");
    refused(*state, "\"intermediate_size\": 176", "\"intermediate_size\": -1", TN_INVALID_DATA, "'intermediate_size' is -1, must be");
    refused(*state, "\"max_position_embeddings\": 512", "\"max_position_embeddings\": 0", TN_INVALID_DATA,
            "'max_position_embeddings' is 0, must be 1 to 1073741824");
    refused(*state, "\"num_attention_heads\": 4", "\"num_attention_heads\": 0", TN_INVALID_DATA, "'num_attention_heads' is 0, must be");
    refused(*state, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 0", TN_INVALID_DATA, "'num_key_value_heads' is 0, must be");
    refused(*state, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": -2", TN_INVALID_DATA, "'num_key_value_heads' is -2, must be");
    refused(*state, "\"head_dim\": 16", "\"head_dim\": 0", TN_INVALID_DATA, "'head_dim' is 0, must be");
    refused(*state, "\"head_dim\": 16", "\"head_dim\": 4096", TN_INVALID_DATA, "the head size is 4096, must be even and 2 to 1024");
    refused_in(*state, "gpt2", "\"n_embd\": 64", "\"n_embd\": 0", TN_INVALID_DATA, "'n_embd' is 0, must be 1 to 16777216");
    refused_in(*state, "gpt2", "\"n_positions\": 512", "\"n_positions\": -1", TN_INVALID_DATA, "'n_positions' is -1, must be");
    refused_in(*state, "mixtral", "\"num_local_experts\": 4", "\"num_local_experts\": 0", TN_INVALID_DATA,
               "'num_local_experts' is 0, must");
    refused_in(*state, "mixtral", "\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 5", TN_INVALID_DATA,
               "'num_experts_per_tok' is 5, must be 1 to 4");
}

static void heads_that_do_not_divide_are_refused(void **state) {
    refused(*state, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", TN_INVALID_DATA,
            "4 attention heads cannot share 3 key/value heads evenly");
    refused(*state, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 8", TN_INVALID_DATA,
            "4 attention heads cannot share 8 key/value heads evenly");
    refused_in(*state, "mixtral", "\"num_attention_heads\": 4", "\"num_attention_heads\": 6", TN_INVALID_DATA,
               "has 6 attention heads, which do not divide a hidden size of 64");
    refused_in(*state, "gpt2", "\"n_head\": 4", "\"n_head\": 5", TN_INVALID_DATA,
               "has 5 attention heads, which do not divide a hidden size of 64");
    refused(*state, "\"head_dim\": 16", "\"head_dim\": 15", TN_INVALID_DATA, "the head size is 15, must be even");
}

static void a_layer_count_of_a_billion_is_refused_before_allocating(void **state) {
    refused(*state, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1000000000", TN_INVALID_DATA,
            "'num_hidden_layers' is 1000000000, must be 1 to 4096");
    refused(*state, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 0", TN_INVALID_DATA, "'num_hidden_layers' is 0, must be 1 to 4096");
    refused_in(*state, "gpt2", "\"n_layer\": 3", "\"n_layer\": 1000000000", TN_INVALID_DATA, "'n_layer' is 1000000000, must be 1 to 4096");
}

static void an_epsilon_of_zero_or_none_is_refused(void **state) {
    refused(*state, "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0", TN_INVALID_DATA, "'rms_norm_eps' is 0, must be");
    refused(*state, "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1e-6", TN_INVALID_DATA, "'rms_norm_eps' is -1e-06, must be");
    refused(*state, "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": NaN", TN_INVALID_DATA, "invalid JSON");
    refused(*state, "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": null", TN_INVALID_DATA, "'rms_norm_eps' is null, must be");
    refused(*state, "\"rms_norm_eps\": 1e-06,", "", TN_INVALID_DATA, "'rms_norm_eps' is missing");
    refused_in(*state, "gpt2", "\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 0.0", TN_INVALID_DATA,
               "'layer_norm_epsilon' is 0, must be");
}

static void rope_factors_that_are_no_factors_are_refused(void **state) {
    static const char *const models[] = {"linear", "dynamic", "llama3", "yarn"};
    static const struct {
        const char *value, *message;
    } values[] = {{"NaN", "invalid JSON"},
                  {"Infinity", "invalid JSON"},
                  {"1e400", "a number beyond the range of a double"},
                  {"0", "'rope_parameters.factor' is 0, must be"},
                  {"0.0", "'rope_parameters.factor' is 0, must be"},
                  {"-8", "'rope_parameters.factor' is -8, must be"},
                  {"\"8\"", "'rope_parameters.factor' is \"8\", must be"},
                  {"1e30", "'rope_parameters.factor' is 1e+30, must be"}};
    for (size_t m = 0; m < 4; m++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            char to[128];
            snprintf(to, sizeof to, "\"rope_type\": \"%s\", \"factor\": %s", models[m], values[v].value);
            refused(*state, "\"rope_type\": \"default\"", to, TN_INVALID_DATA, values[v].message);
        }
    refused(*state, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\"", TN_INVALID_DATA, "'rope_parameters.factor' is missing");
    refused_in(*state, "llama3-rope", "\"low_freq_factor\": 1.0", "\"low_freq_factor\": 0", TN_INVALID_DATA, "low_freq_factor' is 0, must");
    refused_in(*state, "llama3-rope", "\"low_freq_factor\": 1.0", "\"low_freq_factor\": 4.0", TN_INVALID_DATA,
               "'rope_parameters' has high_freq_factor <= low_freq_factor");
    refused_in(*state, "llama3-rope", "\"original_max_position_embeddings\": 64", "\"original_max_position_embeddings\": 0",
               TN_INVALID_DATA, "original_max_position_embeddings' is 0, must be");
    refused(*state, "\"rope_theta\": 10000.0", "\"rope_theta\": 0", TN_INVALID_DATA, "'rope_parameters.rope_theta' is 0, must be");
    refused(*state, "\"rope_theta\": 10000.0", "\"rope_theta\": 1", TN_INVALID_DATA, "'rope_parameters.rope_theta' is 1, must be");
    refused(*state, "\"rope_theta\": 10000.0", "\"rope_theta\": 1e4, \"partial_rotary_factor\": 0.01", TN_INVALID_DATA,
            "the rotated part of a head is 0 of 16, must be even and not 0");
    refused(*state, "\"rope_theta\": 10000.0", "\"rope_theta\": 1e4, \"partial_rotary_factor\": 1.5", TN_INVALID_DATA,
            "partial_rotary_factor' is 1.5, must be");
}

static void unknown_rotary_scalings_and_their_fields_are_refused_by_name(void **state) {
    refused(*state, "\"rope_type\": \"default\"", "\"rope_type\": \"spiral\"", TN_UNSUPPORTED,
            "'rope_parameters' has type 'spiral', a rotary scaling that Tenon does not know");
    refused(*state, "\"rope_type\": \"default\"", "\"rope_type\": \"linear\", \"factor\": 2, \"long_factor\": [1, 2]", TN_UNSUPPORTED,
            "'rope_parameters.long_factor' is a field that Tenon does not know");
    refused(*state, "\"rope_type\": \"default\"", "\"rope_type\": 7", TN_INVALID_DATA,
            "'rope_parameters.rope_type' is 7, must be a string");
}

static void encoder_decoders_are_refused_as_what_they_are(void **state) {
    static const char text[] = "{\"architectures\": [\"T5ForConditionalGeneration\"], \"is_encoder_decoder\": true, \"vocab_size\": 32128}";
    loaded it;
    assert_failed(*state, load_text(text, sizeof text - 1, *state, &it), TN_UNSUPPORTED,
                  "is 'T5ForConditionalGeneration', an encoder-decoder; only decoders are built");
    tn_arena_deinit(&it.arena);
}

/* As its publisher wrote Gemma 3 4B: what is not said is transformers' default. */
static void a_decoder_beside_an_image_tower_is_read_from_text_config(void **state) {
    static const char text[] =
        "{\"architectures\": [\"Gemma3ForConditionalGeneration\"], \"boi_token_index\": 255999, \"eoi_token_index\": 256000, "
        "\"eos_token_id\": [1, 106], \"image_token_index\": 262144, \"initializer_range\": 0.02, \"mm_tokens_per_image\": 256, "
        "\"model_type\": \"gemma3\", \"text_config\": {\"hidden_size\": 2560, \"intermediate_size\": 10240, "
        "\"model_type\": \"gemma3_text\", \"num_hidden_layers\": 34, \"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}, "
        "\"sliding_window\": 1024}, \"torch_dtype\": \"bfloat16\", \"vision_config\": {\"hidden_size\": 1152, \"image_size\": 896}}";
    loaded it;
    assert_ok(*state, load_text(text, sizeof text - 1, *state, &it));
    assert_string_equal(it.config.architecture, "Gemma3ForConditionalGeneration");
    assert_int_equal(it.config.vocab_size, 262208);
    assert_int_equal(it.config.hidden_size, 2560);
    assert_int_equal(it.config.num_heads, 8);
    assert_int_equal(it.config.num_kv_heads, 4);
    assert_int_equal(it.config.head_dim, 256);
    assert_int_equal(it.config.max_positions, 131072);
    assert_true(it.config.head_is_optional);
    assert_true(it.config.rope.factor == 8.0 && it.config.rope.theta == 1e6);
    assert_true(it.config.local_rope.factor == 1.0 && it.config.local_rope.theta == 1e4);
    assert_int_equal(it.config.layer_windows[4], 1024);
    assert_int_equal(it.config.layer_windows[5], 0);
    assert_int_equal(it.config.num_end_ids, 2);
    assert_int_equal(it.config.end_ids[1], 106);
    assert_int_equal(it.config.bos_id, 2);
    tn_arena_deinit(&it.arena);
}

static void a_wrong_decoder_beside_an_image_tower_is_refused(void **state) {
    refused_in(*state, "mistral3", "\"model_type\": \"mistral\"", "\"model_type\": \"ministral3\"", TN_UNSUPPORTED,
               "'text_config.model_type' is 'ministral3', a decoder that Tenon does not know in Mistral3ForConditionalGeneration");
    refused_in(*state, "mistral3", "\"text_config\"", "\"language_config\"", TN_INVALID_DATA, "'text_config' is missing");
    refused_in(*state, "mistral3", "\"sliding_window\": null", "\"attention_sinks\": 4", TN_UNSUPPORTED,
               "'text_config.attention_sinks' is a field that Tenon does not know of Mistral3ForConditionalGeneration");
    refused_in(*state, "mistral3", "\"hidden_size\": 32", "\"hidden_size\": null", TN_INVALID_DATA, "'text_config.hidden_size' is null");
    refused_in(*state, "mistral3", "\"spatial_merge_size\": 2", "\"quantization_config\": {\"quant_method\": \"spiral\"}", TN_UNSUPPORTED,
               "spiral");
}

static void an_unknown_architecture_is_refused_by_name(void **state) {
    refused(*state, "LlamaForCausalLM", "GrokForCausalLM", TN_UNSUPPORTED,
            "is 'GrokForCausalLM', an architecture that Tenon does not know");
    refused(*state, "\"LlamaForCausalLM\"", "\"LlamaForCausalLM\", \"GPT2LMHeadModel\"", TN_INVALID_DATA,
            "'architectures' has 2 names, must have one");
    refused(*state, "\"LlamaForCausalLM\"", "", TN_INVALID_DATA, "'architectures' has 0 names, must have one");
    refused(*state, "\"LlamaForCausalLM\"", "12", TN_INVALID_DATA, "'architectures[0]' is 12, must be a string");
    refused(*state, "\"architectures\"", "\"_architectures\"", TN_INVALID_DATA, "'architectures' is missing");
}

static void wrong_json_types_are_refused_by_name(void **state) {
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": \"64\"", TN_INVALID_DATA, "'hidden_size' is \"64\", must be");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": 64.5", TN_INVALID_DATA, "'hidden_size' is 64.5, must be");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": [64]", TN_INVALID_DATA, "'hidden_size' is an array, must be");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": true", TN_INVALID_DATA, "'hidden_size' is true, must be");
    refused(*state, "\"hidden_size\": 64", "\"hidden_size\": null", TN_INVALID_DATA, "'hidden_size' is null, must be");
    refused(*state, "\"hidden_size\": 64,", "", TN_INVALID_DATA, "'hidden_size' is missing");
    refused(*state, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 0", TN_INVALID_DATA, "'tie_word_embeddings' is 0, must be");
    refused(*state, "\"hidden_act\": \"silu\"", "\"hidden_act\": 3", TN_INVALID_DATA, "'hidden_act' is 3, must be a string");
    refused(*state, "\"hidden_act\": \"silu\"", "\"hidden_act\": \"mish\"", TN_UNSUPPORTED,
            "'hidden_act' is 'mish', an activation that Tenon does not know");
    refused(*state, "\"attention_bias\": false", "\"attention_bias\": \"no\"", TN_INVALID_DATA, "'attention_bias' is \"no\", must be");
    refused_in(*state, "qwen2", "\"full_attention\",", "12,", TN_INVALID_DATA, "'layer_types[0]' is 12, must be a string");
    loaded it;
    assert_failed(*state, load_text("[1]", 3, *state, &it), TN_INVALID_DATA, "must be an object");
    tn_arena_deinit(&it.arena);
    static const char text[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"rope_scaling\": 3}";
    assert_failed(*state, load_text(text, sizeof text - 1, *state, &it), TN_INVALID_DATA, "'vocab_size' is missing");
    tn_arena_deinit(&it.arena);
    size_t size;
    char *older = golden_text("llama-gqa", "config.v4.json", "\"rope_scaling\": null", "\"rope_scaling\": [1]", &size);
    assert_failed(*state, load_text(older, size, *state, &it), TN_INVALID_DATA, "'rope_scaling' is an array, must be an object");
    tn_arena_deinit(&it.arena);
    free(older);
}

static void end_ids_outside_the_vocabulary_and_too_many_are_refused(void **state) {
    refused(*state, "\"eos_token_id\": 2", "\"eos_token_id\": 320", TN_INVALID_DATA, "'eos_token_id' is 320, must be 0 to 319");
    refused(*state, "\"eos_token_id\": 2", "\"eos_token_id\": -1", TN_INVALID_DATA, "'eos_token_id' is -1, must be 0 to 319");
    refused(*state, "\"eos_token_id\": 2", "\"eos_token_id\": [2, 320]", TN_INVALID_DATA, "'eos_token_id[1]' is 320, must be 0 to 319");
    refused(*state, "\"eos_token_id\": 2", "\"eos_token_id\": \"2\"", TN_INVALID_DATA, "'eos_token_id' is \"2\", must be");
    refused(*state, "\"eos_token_id\": 2", "\"eos_token_id\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", TN_UNSUPPORTED,
            "'eos_token_id' has 17 ids, at most 16 are supported");
    refused(*state, "\"bos_token_id\": 1", "\"bos_token_id\": 9999", TN_INVALID_DATA, "'bos_token_id' is 9999, must be 0 to 319");
}

static void unknown_fields_that_change_results_are_refused_by_name(void **state) {
    static const char *const fields[] = {"\"attn_logit_softcapping\": 50.0", "\"use_mrope\": true", "\"is_encoder_decoder\": true",
                                         "\"embedding_multiplier\": 12.0"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char to[128];
        snprintf(to, sizeof to, "%s, \"vocab_size\"", fields[i]);
        refused(*state, "\"vocab_size\"", to, TN_UNSUPPORTED,
                "is a field that Tenon does not know of LlamaForCausalLM; it could change the results");
    }
}

static void fields_of_other_architectures_are_refused(void **state) {
    refused(*state, "\"vocab_size\"", "\"sliding_window\": 4096, \"vocab_size\"", TN_UNSUPPORTED,
            "'sliding_window' is a field that Tenon does not know of LlamaForCausalLM");
    refused(*state, "\"vocab_size\"", "\"num_local_experts\": 8, \"vocab_size\"", TN_UNSUPPORTED,
            "'num_local_experts' is a field that Tenon does not know of LlamaForCausalLM");
    refused_in(*state, "mistral", "\"vocab_size\"", "\"attention_bias\": true, \"vocab_size\"", TN_UNSUPPORTED,
               "'attention_bias' is a field that Tenon does not know of MistralForCausalLM");
    refused_in(*state, "gpt2", "\"add_cross_attention\": false", "\"add_cross_attention\": true", TN_UNSUPPORTED,
               "'add_cross_attention' is true: cross attention is not built");
}

static void what_a_family_cannot_build_is_refused_by_name(void **state) {
    static const struct {
        const char *model, *from, *to;
        const char *message;
    } cases[] = {
        {"gemma2", "\"use_bidirectional_attention\": null", "\"use_bidirectional_attention\": true",
         "attention to later tokens is not built"},
        {"gemma2", "\"vocab_size\"", "\"partial_rotation\": 0.5, \"vocab_size\"", "a field that Tenon does not know of Gemma2ForCausalLM"},
        {"opt", "\"layer_norm_elementwise_affine\": true", "\"layer_norm_elementwise_affine\": false",
         "norms without weights are not built"},
        {"mpt", "\"qk_ln\": false", "\"qk_ln\": true", "has qk_ln true, which is not built"},
        {"mpt", "\"alibi\": true", "\"alibi\": false", "has alibi false, which is not built"},
        {"mpt", "\"multihead_attention\"", "\"multiquery_attention\"", "another attn_type than multihead_attention"},
        {"mpt", "\"qk_ln\": false", "\"rope\": true", "'attn_config.rope' is a field that Tenon does not know"},
        {"mpt", "\"no_bias\": true", "\"no_bias\": false", "biases are not built for MPT"},
        {"gpt_oss", "\"swiglu_alpha\": 1.702", "\"swiglu_alpha\": 1.5", "another factor than 1.702"},
        {"deepseek_v3", "\"hidden_act\"", "\"topk_method\": \"greedy\", \"hidden_act\"", "'topk_method' is a way to choose experts"},
        {"deepseek_v3", "\"hidden_act\"", "\"scoring_func\": \"softmax\", \"hidden_act\"", "'scoring_func' is a way to choose experts"},
        {"deepseek_v2", "\"group_limited_greedy\"", "\"noaux_tc\"", "'topk_method' is a way to choose experts that is not built"},
        {"chatglm", "\"rmsnorm\": true", "\"rmsnorm\": false", "'rmsnorm' is false: LayerNorm is not built for ChatGLM"},
        {"chatglm", "\"add_bias_linear\": false", "\"add_bias_linear\": true", "biases of the MLP are not built"},
        {"internlm2", "\"bias\": true", "\"biases\": true", "'biases' is a field that Tenon does not know of InternLM2ForCausalLM"},
        {"baichuan", "\"hidden_act\"", "\"rope_ratio\": 2.0, \"hidden_act\"",
         "'rope_ratio' is a field that Tenon does not know of Baichuan"},
        {"exaone", "\"embed_dropout\"", "\"sliding_window\": 8, \"embed_dropout\"",
         "a field that Tenon does not know of ExaoneForCausalLM"},
        {"granitemoe", "\"hidden_act\"", "\"shared_intermediate_size\": 8, \"hidden_act\"", "'shared_intermediate_size' is a field"},
        {"olmo", "\"hidden_act\"", "\"weight_tying\": true, \"hidden_act\"",
         "'weight_tying' is a field that Tenon does not know of OlmoFor"},
        {"glm4", "\"hidden_act\"", "\"use_qk_norm\": true, \"hidden_act\"", "'use_qk_norm' is a field that Tenon does not know of Glm4"},
        {"gpt_neox", "\"is_decoder\": false", "\"is_decoder\": true", "cross attention is not built"},
        {"nemotron", "\"relu2\"", "\"relu3\"", "'hidden_act' is 'relu3', an activation that Tenon does not know"},
        {"smollm3-windows", "\"layer_types\"", "\"_layer_types\"", "is true without layer_types, which is not built"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused_in(*state, cases[i].model, cases[i].from, cases[i].to, TN_UNSUPPORTED, cases[i].message);
    refused_in(*state, "deepseek_v3", "\"n_group\": 4", "\"n_group\": 3", TN_INVALID_DATA,
               "3 of 8 experts cannot come out of 2 of 3 groups");
    refused_in(*state, "deepseek_v3", "\"topk_group\": 2", "\"topk_group\": 1", TN_INVALID_DATA,
               "3 of 8 experts cannot come out of 1 of 4");
    refused_in(*state, "phi3-longrope", "\"long_factor\": [", "\"long_factor\": [2.0,", TN_INVALID_DATA,
               "has 5 factors, the rotated part of a head needs 4");
    refused_in(*state, "phi3-longrope", "\"long_factor\"", "\"_long_factor\"", TN_UNSUPPORTED, "is a field that Tenon does not know");
    refused_in(*state, "qwen2_moe", "\"mlp_only_layers\": [", "\"mlp_only_layers\": [-1,", TN_INVALID_DATA, "'mlp_only_layers[0]' is -1");
    refused_in(*state, "smollm3", "\"no_rope_layers\": [", "\"no_rope_layers\": [1,", TN_INVALID_DATA,
               "must have one entry for each layer");
}

static void layer_types_that_do_not_fit_are_refused(void **state) {
    refused_in(*state, "qwen2", "\"full_attention\",", "", TN_INVALID_DATA, "'layer_types' has 2 entries for 3 layers");
    refused_in(*state, "qwen2", "\"full_attention\"", "\"linear_attention\"", TN_UNSUPPORTED,
               "'layer_types[0]' is 'linear_attention', a kind of layer that Tenon cannot build");
    refused_in(*state, "qwen2", "\"full_attention\"", "\"sliding_attention\"", TN_UNSUPPORTED, "'layer_types[0]' is 'sliding_attention'");
    refused_in(*state, "mistral", "\"sliding_window\": null", "\"sliding_window\": 0", TN_INVALID_DATA, "'sliding_window' is 0, must be");
}

static void config_json_truncated_at_any_byte_is_refused(void **state) {
    for (int i = 0; i < NUM_GOLDEN; i++) {
        size_t size;
        char *text = golden_text(golden_models[i], "config.json", NULL, NULL, &size);
        while (size > 0 && text[size - 1] == '\n') size--;
        assert_true(size <= 4096);
        char folder[64], path[128];
        make_folder(folder);
        write_file(folder, "config.json", text, size);
        snprintf(path, sizeof path, "%s/config.json", folder);
        for (size_t cut = size; cut-- > 0;) {
            assert_int_equal(truncate(path, (off_t)cut), 0);
            loaded it = {0};
            tn_status status = tn_model_config_from_hf(folder, &it.arena, *state, &it.config, &it.family);
            assert_failed(*state, status, TN_INVALID_DATA, "config.json");
            tn_arena_deinit(&it.arena);
        }
        remove_folder(folder);
        free(text);
    }
}

static void a_directory_without_config_json_is_refused_with_the_path(void **state) {
    loaded it = {0};
    tn_status status = tn_model_config_from_hf("/tmp/no/such/model", &it.arena, *state, &it.config, &it.family);
    assert_failed(*state, status, TN_NOT_FOUND, "/tmp/no/such/model/config.json");
    tn_arena_deinit(&it.arena);
}

static void each_failing_allocation_is_reported_and_leaks_nothing(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_diag *diag;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        loaded it = {.arena = {.allocator = &fault.allocator}};
        tn_status status = tn_model_config_from_hf(GOLDEN "qwen2", &it.arena, diag, &it.config, &it.family);
        tn_arena_deinit(&it.arena);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_destroy(diag);
        if (!tn_fault_has_failed(&fault)) {
            assert_true(n > 5);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(current_and_older_form_of_each_golden_model_give_the_same_config),
        TEST(fields_of_a_llama_are_read),
        TEST(relatives_differ_where_their_architectures_do),
        TEST(experts_of_deepseek_come_out_of_groups),
        TEST(layers_without_windows_are_not_rotated_in_exaone_4),
        TEST(eos_may_be_a_list_an_id_or_null),
        TEST(generation_config_has_the_last_word_on_end_ids),
        TEST(sliding_windows_are_read_as_each_architecture_means_them),
        TEST(windows_of_single_layers_come_from_layer_types),
        TEST(all_rotary_scalings_are_read),
        TEST(biases_follow_their_switches),
        TEST(unknown_fields_that_say_off_are_taken),
        TEST(fields_that_published_models_have_beside_are_taken),
        TEST(zero_negative_and_huge_sizes_are_refused),
        TEST(heads_that_do_not_divide_are_refused),
        TEST(a_layer_count_of_a_billion_is_refused_before_allocating),
        TEST(an_epsilon_of_zero_or_none_is_refused),
        TEST(rope_factors_that_are_no_factors_are_refused),
        TEST(unknown_rotary_scalings_and_their_fields_are_refused_by_name),
        TEST(encoder_decoders_are_refused_as_what_they_are),
        TEST(a_decoder_beside_an_image_tower_is_read_from_text_config),
        TEST(a_wrong_decoder_beside_an_image_tower_is_refused),
        TEST(an_unknown_architecture_is_refused_by_name),
        TEST(wrong_json_types_are_refused_by_name),
        TEST(end_ids_outside_the_vocabulary_and_too_many_are_refused),
        TEST(unknown_fields_that_change_results_are_refused_by_name),
        TEST(fields_of_other_architectures_are_refused),
        TEST(what_a_family_cannot_build_is_refused_by_name),
        TEST(layer_types_that_do_not_fit_are_refused),
        TEST(config_json_truncated_at_any_byte_is_refused),
        TEST(a_directory_without_config_json_is_refused_with_the_path),
        TEST(each_failing_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
