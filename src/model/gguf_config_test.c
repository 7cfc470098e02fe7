/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_config_test.c: configurations from GGUF metadata, right and wrong.
 */
#include <math.h>

#include "format/gguf_writer.h"
#include "model/sources.h"
#include "model/testing.h"

enum { HIDDEN = 64, VOCAB = 96 };

typedef struct maker {
    char folder[64], path[96];
    tn_gguf_writer *writer;
} maker;

static void begin(maker *self, const char *architecture, tn_diag *diag) {
    make_folder(self->folder);
    snprintf(self->path, sizeof self->path, "%s/model.gguf", self->folder);
    assert_int_equal(tn_gguf_writer_create(self->path, 32, NULL, diag, &self->writer), TN_OK);
    if (architecture != NULL) tn_gguf_writer_add_string(self->writer, "general.architecture", architecture, strlen(architecture));
}

static void add_integer(const maker *self, const char *key, int64_t value) {
    tn_gguf_writer_add_integer(self->writer, key, TN_GGUF_UINT32, value);
}

/* The sizes that every decoder states, but for `skipped`. */
static void add_sizes(const maker *self, const char *architecture, const char *skipped) {
    static const struct {
        const char *name;
        int64_t value;
    } sizes[] = {{"block_count", 2},           {"context_length", 128},     {"embedding_length", HIDDEN},
                 {"feed_forward_length", 160}, {"attention.head_count", 4}, {"attention.head_count_kv", 2}};
    char key[96];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (skipped != NULL && strcmp(skipped, sizes[i].name) == 0) continue;
        snprintf(key, sizeof key, "%s.%s", architecture, sizes[i].name);
        add_integer(self, key, sizes[i].value);
    }
    bool is_gpt2 = strcmp(architecture, "gpt2") == 0;
    snprintf(key, sizeof key, "%s.attention.%s", architecture, is_gpt2 ? "layer_norm_epsilon" : "layer_norm_rms_epsilon");
    if (skipped == NULL || strcmp(skipped, "epsilon") != 0) tn_gguf_writer_add_float(self->writer, key, 1e-5f);
}

static void add_floats(const maker *self, const char *name, tn_dims dims, float value, size_t *out_index) {
    (void)value;
    tn_gguf_writer_add_tensor(self->writer, name, TN_GGML_F32, dims, out_index);
}

static void write_floats(const maker *self, size_t index, size_t count, float value) {
    float *data = malloc(count * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < count; i++) data[i] = value;
    assert_int_equal(tn_gguf_writer_write(self->writer, index, 0, data, count * sizeof *data), TN_OK);
    free(data);
}

/* Embeddings, and rope_freqs of that value if it is not 0; then the file is read. */
static tn_status finish(maker *self, float rope_factor, tn_dims rope_dims, tn_arena *arena, tn_diag *diag, tn_model_config *config,
                        const tn_family **family) {
    size_t embedding, rope = 0;
    add_floats(self, "token_embd.weight", TN_DIMS(VOCAB, HIDDEN), 0.0f, &embedding);
    if (rope_factor != 0.0f) add_floats(self, "rope_freqs.weight", rope_dims, rope_factor, &rope);
    write_floats(self, embedding, (size_t)VOCAB * HIDDEN, 0.0f);
    if (rope_factor != 0.0f) write_floats(self, rope, (size_t)rope_dims.d[0], rope_factor);
    assert_int_equal(tn_gguf_writer_commit(self->writer), TN_OK);
    tn_gguf_writer_destroy(self->writer);
    tn_gguf *gguf;
    assert_int_equal(tn_gguf_open(self->path, NULL, diag, &gguf), TN_OK);
    tn_status status = tn_model_config_from_gguf(gguf, arena, diag, config, family);
    tn_gguf_close(gguf);
    remove_folder(self->folder);
    return status;
}

static tn_model_config read_ok(maker *self, tn_arena *arena, tn_diag *diag, const tn_family **family) {
    tn_model_config config;
    assert_ok(diag, finish(self, 0.0f, TN_DIMS(1), arena, diag, &config, family));
    return config;
}

static void refused(maker *self, tn_diag *diag, tn_status code, const char *message) {
    tn_arena arena = {0};
    tn_model_config config;
    const tn_family *family;
    assert_failed(diag, finish(self, 0.0f, TN_DIMS(1), &arena, diag, &config, &family), code, message);
    tn_arena_deinit(&arena);
}

/* --- right ----------------------------------------------------------------------------------------------------------------- */

static void each_architecture_is_read(void **state) {
    static const struct {
        const char *name;
        const tn_family *family;
        tn_rotary_type rotary;
        tn_qk_norm qk_norm;
    } cases[] = {{"llama", &tn_family_llama, TN_ROTARY_INTERLEAVED, TN_QK_NORM_NONE},
                 {"qwen2", &tn_family_llama, TN_ROTARY_HALVES, TN_QK_NORM_NONE},
                 {"qwen3", &tn_family_llama, TN_ROTARY_HALVES, TN_QK_NORM_HEAD},
                 {"gpt2", &tn_family_gpt2, TN_ROTARY_HALVES, TN_QK_NORM_NONE}};
    for (size_t i = 0; i < 4; i++) {
        maker self;
        tn_arena arena = {0};
        const tn_family *family;
        begin(&self, cases[i].name, *state);
        add_sizes(&self, cases[i].name, NULL);
        add_integer(&self, "tokenizer.ggml.bos_token_id", 1);
        add_integer(&self, "tokenizer.ggml.eos_token_id", 2);
        add_integer(&self, "tokenizer.ggml.eot_token_id", 5);
        tn_gguf_writer_add_string(self.writer, "general.name", "Tiny", 4);
        tn_model_config config = read_ok(&self, &arena, *state, &family);
        assert_ptr_equal(family, cases[i].family);
        assert_string_equal(config.architecture, cases[i].name);
        assert_string_equal(config.name, "Tiny");
        assert_int_equal(config.vocab_size, VOCAB);
        assert_int_equal(config.hidden_size, HIDDEN);
        assert_int_equal(config.num_layers, 2);
        assert_int_equal(config.num_kv_heads, 2);
        assert_int_equal(config.head_dim, 16);
        assert_int_equal(config.max_positions, 128);
        assert_int_equal(config.qk_norm, cases[i].qk_norm);
        assert_true(config.tie_embeddings); /* no output.weight */
        assert_int_equal(config.activation, family == &tn_family_gpt2 ? TN_ACTIVATION_GELU_TANH : TN_ACTIVATION_SILU);
        assert_int_equal(config.bos_id, 1);
        assert_int_equal(config.num_end_ids, 2);
        assert_int_equal(config.end_ids[1], 5);
        assert_int_equal(config.qkv_bias, family == &tn_family_gpt2 ? TN_BIAS_REQUIRED : TN_BIAS_AS_STORED);
        if (family == &tn_family_llama) {
            assert_int_equal(config.rope.type, cases[i].rotary);
            assert_int_equal(config.rope.dim, 16);
            assert_true(config.rope.theta == 10000.0);
        }
        tn_arena_deinit(&arena);
    }
}

static void rotary_keys_and_factors_are_read(void **state) {
    maker self;
    tn_arena arena = {0};
    const tn_family *family;
    tn_model_config config;
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    tn_gguf_writer_add_float(self.writer, "llama.rope.freq_base", 500000.0f);
    add_integer(&self, "llama.rope.dimension_count", 8);
    tn_gguf_writer_add_string(self.writer, "llama.rope.scaling.type", "yarn", 4);
    tn_gguf_writer_add_float(self.writer, "llama.rope.scaling.factor", 4.0f);
    add_integer(&self, "llama.rope.scaling.original_context_length", 32);
    assert_ok(*state, finish(&self, 8.0f, TN_DIMS(4), &arena, *state, &config, &family));
    assert_true(config.rope.theta == 500000.0 && config.rope.factor == 4.0);
    assert_int_equal(config.rope.dim, 8);
    assert_int_equal(config.rope.scaling, TN_ROPE_YARN);
    assert_int_equal(config.rope.original_max_positions, 32);
    assert_non_null(config.rope.frequency_factors);
    for (int i = 0; i < 4; i++) assert_true(config.rope.frequency_factors[i] == 8.0f);
    tn_arena_deinit(&arena);
}

/* What stands in files that were made before absorbed projections, and in later ones. */
static void sizes_of_latent_heads_are_read_in_both_forms(void **state) {
    for (int is_later = 0; is_later < 2; is_later++) {
        maker self;
        tn_arena arena = {0};
        const tn_family *family;
        begin(&self, "deepseek2", *state);
        add_sizes(&self, "deepseek2", "attention.head_count_kv");
        add_integer(&self, "deepseek2.attention.head_count_kv", is_later ? 1 : 4);
        add_integer(&self, "deepseek2.attention.kv_lora_rank", 32);
        add_integer(&self, "deepseek2.rope.dimension_count", 8);
        add_integer(&self, "deepseek2.attention.key_length", is_later ? 40 : 24);
        add_integer(&self, "deepseek2.attention.value_length", is_later ? 32 : 12);
        if (is_later) add_integer(&self, "deepseek2.attention.key_length_mla", 24);
        if (is_later) add_integer(&self, "deepseek2.attention.value_length_mla", 12);
        tn_gguf_writer_add_string(self.writer, "deepseek2.rope.scaling.type", "yarn", 4);
        tn_gguf_writer_add_float(self.writer, "deepseek2.rope.scaling.factor", 4.0f);
        tn_gguf_writer_add_float(self.writer, "deepseek2.rope.scaling.yarn_log_multiplier", 0.1f);
        tn_model_config config = read_ok(&self, &arena, *state, &family);
        assert_ptr_equal(family, &tn_family_deepseek);
        assert_int_equal(config.num_kv_heads, 4);
        assert_int_equal(config.head_dim, 24);
        assert_int_equal(config.v_head_dim, 12);
        assert_int_equal(config.latent.rope_dim, 8);
        assert_int_equal(config.route, TN_ROUTE_SOFTMAX_TOPK);
        assert_true(config.rope.attention_factor == 1.0);
        double raise = 0.1 * log(4.0) + 1.0;
        assert_true(fabs(config.attention_scale - raise * raise / sqrt(24.0)) < 1e-6);
        tn_arena_deinit(&arena);
    }
}

static void a_pattern_of_windows_may_be_a_list(void **state) {
    static const uint8_t pattern[] = {1, 0};
    for (size_t count = 1; count <= 2; count++) {
        maker self;
        tn_arena arena = {0};
        tn_model_config config;
        const tn_family *family;
        begin(&self, "exaone4", *state);
        add_sizes(&self, "exaone4", NULL);
        add_integer(&self, "exaone4.attention.sliding_window", 16);
        tn_gguf_writer_add_array(self.writer, "exaone4.attention.sliding_window_pattern", TN_GGUF_BOOL, pattern, count);
        tn_status status = finish(&self, 0.0f, TN_DIMS(1), &arena, *state, &config, &family);
        if (count == 1) {
            assert_failed(*state, status, TN_INVALID_DATA, "sliding_window_pattern' must have one bool for each of 2 layers");
        } else {
            assert_ok(*state, status);
            assert_int_equal(config.layer_windows[0], 16);
            assert_int_equal(config.layer_windows[1], 0);
            assert_int_equal(config.layer_ropes[1], TN_LAYER_ROPE_NONE);
        }
        tn_arena_deinit(&arena);
    }
}

/* --- wrong ------------------------------------------------------------------------------------------------------------------ */

static void an_unknown_architecture_is_refused_by_name(void **state) {
    maker self;
    begin(&self, "mamba", *state);
    add_sizes(&self, "mamba", NULL);
    refused(&self, *state, TN_UNSUPPORTED, "architecture 'mamba' is not known to Tenon");
    begin(&self, "t5", *state);
    add_sizes(&self, "t5", NULL);
    refused(&self, *state, TN_UNSUPPORTED, "architecture 't5' is an encoder-decoder; only decoders are built");
    begin(&self, NULL, *state);
    refused(&self, *state, TN_INVALID_DATA, "general.architecture");
}

static void missing_keys_are_named(void **state) {
    static const char *const keys[] = {"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        maker self;
        char message[64];
        begin(&self, "llama", *state);
        add_sizes(&self, "llama", keys[i]);
        snprintf(message, sizeof message, "llama.%s", keys[i]);
        refused(&self, *state, TN_INVALID_DATA, message);
    }
    maker self;
    begin(&self, "qwen2", *state);
    add_sizes(&self, "qwen2", "epsilon");
    refused(&self, *state, TN_INVALID_DATA, "qwen2.attention.layer_norm_rms_epsilon");
}

static void unknown_keys_of_the_architecture_are_refused_by_name(void **state) {
    maker self;
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    tn_gguf_writer_add_float(self.writer, "llama.logit_scale", 0.5f);
    refused(&self, *state, TN_UNSUPPORTED, "metadata 'llama.logit_scale' is not known to Tenon and could change the results");
}

static void values_out_of_range_are_refused_with_key_and_value(void **state) {
    static const struct {
        const char *name;
        int64_t value;
    } cases[] = {{"block_count", 0},
                 {"block_count", 1000000000},
                 {"context_length", 0},
                 {"embedding_length", 0},
                 {"feed_forward_length", 0},
                 {"attention.head_count", 0},
                 {"attention.head_count", 4000000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        maker self;
        char key[64], message[96];
        begin(&self, "llama", *state);
        add_sizes(&self, "llama", cases[i].name);
        snprintf(key, sizeof key, "llama.%s", cases[i].name);
        add_integer(&self, key, cases[i].value);
        snprintf(message, sizeof message, "%s", key);
        refused(&self, *state, TN_INVALID_DATA, message);
    }
    maker self;
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", "attention.head_count");
    add_integer(&self, "llama.attention.head_count", 5);
    refused(&self, *state, TN_INVALID_DATA, "5 attention heads do not divide an embedding length of 64");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", "attention.head_count_kv");
    add_integer(&self, "llama.attention.head_count_kv", 3);
    refused(&self, *state, TN_INVALID_DATA, "4 attention heads cannot share 3 key/value heads evenly");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", "epsilon");
    tn_gguf_writer_add_float(self.writer, "llama.attention.layer_norm_rms_epsilon", 0.0f);
    refused(&self, *state, TN_INVALID_DATA, "llama.attention.layer_norm_rms_epsilon");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    add_integer(&self, "tokenizer.ggml.eos_token_id", VOCAB);
    refused(&self, *state, TN_INVALID_DATA, "tokenizer.ggml.eos_token_id");
}

static void arrays_and_strings_in_the_place_of_numbers_are_refused(void **state) {
    static const int32_t heads[] = {4, 2};
    maker self;
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", "attention.head_count");
    tn_gguf_writer_add_array(self.writer, "llama.attention.head_count", TN_GGUF_INT32, heads, 2);
    refused(&self, *state, TN_INVALID_DATA, "llama.attention.head_count");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", "block_count");
    tn_gguf_writer_add_string(self.writer, "llama.block_count", "2", 1);
    refused(&self, *state, TN_INVALID_DATA, "llama.block_count");
}

static void rotary_values_that_cannot_be_are_refused(void **state) {
    maker self;
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    tn_gguf_writer_add_string(self.writer, "llama.rope.scaling.type", "spiral", 6);
    refused(&self, *state, TN_UNSUPPORTED, "rotary scaling 'spiral' is not known to Tenon");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    tn_gguf_writer_add_float(self.writer, "llama.rope.freq_base", 0.0f);
    refused(&self, *state, TN_INVALID_DATA, "llama.rope.freq_base");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    tn_gguf_writer_add_float(self.writer, "llama.rope.scaling.factor", NAN);
    refused(&self, *state, TN_INVALID_DATA, "llama.rope.scaling.factor");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    add_integer(&self, "llama.rope.dimension_count", 32);
    refused(&self, *state, TN_INVALID_DATA, "the rotated part of a head is 32 of 16");
    static const float factors[] = {-1.0f, INFINITY, NAN};
    for (size_t i = 0; i < 4; i++) {
        tn_arena arena = {0};
        tn_model_config config;
        const tn_family *family;
        begin(&self, "llama", *state);
        add_sizes(&self, "llama", NULL);
        tn_status status = finish(&self, i < 3 ? factors[i] : 1.0f, i < 3 ? TN_DIMS(8) : TN_DIMS(7), &arena, *state, &config, &family);
        assert_failed(*state, status, TN_INVALID_DATA, i < 3 ? "must be above 0" : "must be F32 with 8 values");
        tn_arena_deinit(&arena);
    }
}

static void windows_and_other_value_heads_are_refused_by_name(void **state) {
    maker self;
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    add_integer(&self, "llama.attention.sliding_window", 64);
    refused(&self, *state, TN_UNSUPPORTED, "metadata 'llama.attention.sliding_window' is not known");
    begin(&self, "llama", *state);
    add_sizes(&self, "llama", NULL);
    add_integer(&self, "llama.attention.value_length", 32);
    refused(&self, *state, TN_UNSUPPORTED, "value heads of 32 beside key heads of 16 are not built");
}

static void weights_of_types_without_an_encoding_are_refused_by_name(void **state) {
    static const tn_ggml_type types[] = {TN_GGML_IQ1_S, TN_GGML_IQ1_M, TN_GGML_IQ2_XXS, TN_GGML_IQ2_XS, TN_GGML_IQ2_S, TN_GGML_IQ3_XXS,
                                         TN_GGML_IQ3_S, TN_GGML_TQ1_0, TN_GGML_TQ2_0,   TN_GGML_Q8_1,   TN_GGML_Q8_K,  TN_GGML_I32};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        maker self;
        size_t index;
        tn_dims dims = TN_DIMS(1, 256);
        uint64_t bytes;
        char message[128];
        begin(&self, "llama", *state);
        add_sizes(&self, "llama", NULL);
        tn_gguf_writer_add_tensor(self.writer, "blk.0.attn_q.weight", types[i], dims, &index);
        static const uint8_t zeros[1024];
        assert_true(tn_ggml_tensor_bytes(types[i], &dims, &bytes));
        assert_int_equal(tn_gguf_writer_write(self.writer, index, 0, zeros, bytes), TN_OK);
        assert_int_equal(tn_gguf_writer_commit(self.writer), TN_OK);
        tn_gguf_writer_destroy(self.writer);
        tn_gguf *gguf;
        tn_weight_source *source;
        assert_int_equal(tn_gguf_open(self.path, NULL, *state, &gguf), TN_OK);
        (void)snprintf(message, sizeof message, "tensor 'blk.0.attn_q.weight' is %s, a type of weights that is not built",
                       tn_ggml_type_name(types[i]));
        assert_failed(*state, tn_gguf_source_create(gguf, NULL, *state, &source), TN_UNSUPPORTED, message);
        assert_null(source);
        tn_gguf_close(gguf);
        remove_folder(self.folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_architecture_is_read),
        TEST(rotary_keys_and_factors_are_read),
        TEST(sizes_of_latent_heads_are_read_in_both_forms),
        TEST(a_pattern_of_windows_may_be_a_list),
        TEST(an_unknown_architecture_is_refused_by_name),
        TEST(missing_keys_are_named),
        TEST(unknown_keys_of_the_architecture_are_refused_by_name),
        TEST(values_out_of_range_are_refused_with_key_and_value),
        TEST(arrays_and_strings_in_the_place_of_numbers_are_refused),
        TEST(rotary_values_that_cannot_be_are_refused),
        TEST(windows_and_other_value_heads_are_refused_by_name),
        TEST(weights_of_types_without_an_encoding_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
