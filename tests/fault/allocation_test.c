/* SPDX-License-Identifier: Apache-2.0
 *
 * allocation_test.c: from model file to text, with each allocation failing in turn: tokenizer, model, networks, passes, builder,
 * plan file, engine, executor, one request. Every failure is TN_OUT_OF_MEMORY with a message and without a leak; whatever was
 * running answers the same afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/report.h"
#include "format/gguf_writer.h"
#include "format/safetensors_writer.h"
#include "model/model.h"
#include "support/fault_allocator.h"
#include "tenon/builder.h"
#include "tenon/executor.h"
#include "tenon/plan.h"
#include "tenon/tokenizer.h"

enum { HIDDEN = 32, VOCAB = 32, NUM_ANSWER = 4 };

/* --- models ------------------------------------------------------------------------------------------------------------- */

/* *state: two tiny models and a folder for engines. */
typedef struct files {
    char root[64], directory[96], gguf[96], engine[96];
} files;

typedef struct tensor {
    const char *name, *gguf_name;
    int64_t rows, columns; /* rows 0: a vector */
} tensor;

static const tensor tensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight", VOCAB, HIDDEN},
    {"model.norm.weight", "output_norm.weight", 0, HIDDEN},
    {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", 0, HIDDEN},
    {"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", 0, HIDDEN},
    {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", HIDDEN, HIDDEN},
    {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", HIDDEN / 2, HIDDEN},
    {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", HIDDEN / 2, HIDDEN},
    {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", HIDDEN, HIDDEN},
    {"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", HIDDEN, HIDDEN},
    {"model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", HIDDEN, HIDDEN},
    {"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", HIDDEN, HIDDEN},
};
enum { NUM_TENSORS = sizeof tensors / sizeof *tensors };

static const char space_a[] = "\xC4\xA0"
                              "a";
static const char *const pieces[] = {"<s>", "a", "b", "c", "\xC4\xA0", "ab", "abc", space_a};
enum { NUM_PIECES = sizeof pieces / sizeof *pieces };

static const char config_json[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\",\"hidden_size\":32,"
    "\"intermediate_size\":32,\"max_position_embeddings\":64,\"num_attention_heads\":2,\"num_hidden_layers\":1,"
    "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,\"tie_word_embeddings\":true,\"vocab_size\":32,"
    "\"bos_token_id\":0}";

static const char tokenizer_json[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"single_word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":null,"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"fuse_unk\":false,"
    "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{\"<s>\":0,\"a\":1,\"b\":2,\"c\":3,\"\xC4\xA0\":4,\"ab\":5,\"abc\":6,"
    "\"\xC4\xA0"
    "a\":7},\"merges\":[\"a b\",\"ab c\",\"\xC4\xA0 a\"]}}";

/* Values that are no multiples of each other, near 1 in norms; the same in both files but for GGUF's rounding to blocks. */
static float value_of(size_t index, size_t element, bool is_norm) {
    uint32_t bits = (uint32_t)(index * 7919 + element + 1) * 2654435761u;
    float value = (float)(bits >> 8) / 16777216.0f - 0.5f;
    return is_norm ? 1.0f + value / 4 : value;
}

static void write_text(const char *folder, const char *name, const char *text) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void make_directory_model(const char *folder) {
    char path[160];
    float values[VOCAB * HIDDEN];
    tn_safetensors_writer *writer;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_text(folder, "config.json", config_json);
    write_text(folder, "tokenizer.json", tokenizer_json);
    assert_int_equal(tn_safetensors_writer_create(path, NULL, NULL, &writer), TN_OK);
    for (size_t i = 0; i < NUM_TENSORS; i++) {
        const tensor *t = &tensors[i];
        tn_safetensors_writer_add_tensor(writer, t->name, TN_FLOAT32, t->rows > 0 ? TN_DIMS(t->rows, t->columns) : TN_DIMS(t->columns),
                                         NULL);
    }
    for (size_t i = 0; i < NUM_TENSORS; i++) {
        size_t count = (size_t)((tensors[i].rows > 0 ? tensors[i].rows : 1) * tensors[i].columns);
        for (size_t e = 0; e < count; e++) values[e] = value_of(i, e, tensors[i].rows == 0);
        assert_int_equal(tn_safetensors_writer_write(writer, i, 0, values, count * sizeof *values), TN_OK);
    }
    assert_int_equal(tn_safetensors_writer_commit(writer), TN_OK);
    tn_safetensors_writer_destroy(writer);
}

static void add_gguf_metadata(tn_gguf_writer *writer) {
    static const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"llama.block_count", 1},           {"llama.context_length", 64},      {"llama.embedding_length", HIDDEN},
                 {"llama.feed_forward_length", 32},  {"llama.attention.head_count", 2}, {"llama.attention.head_count_kv", 1},
                 {"tokenizer.ggml.bos_token_id", 0}, {"tokenizer.ggml.eos_token_id", 0}};
    static const char *const merges[] = {"a b", "ab c", "\xC4\xA0 a"};
    const char *vocab[VOCAB];
    char unused[VOCAB][16];
    for (int i = 0; i < VOCAB; i++) {
        snprintf(unused[i], sizeof unused[i], "<unused%d>", i);
        vocab[i] = i < NUM_PIECES ? pieces[i] : unused[i];
    }
    tn_gguf_writer_add_string(writer, "general.architecture", "llama", 5);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        tn_gguf_writer_add_integer(writer, sizes[i].key, TN_GGUF_UINT32, sizes[i].value);
    tn_gguf_writer_add_float(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    tn_gguf_writer_add_string(writer, "tokenizer.ggml.model", "gpt2", 4);
    tn_gguf_writer_add_string(writer, "tokenizer.ggml.pre", "gpt-2", 5);
    tn_gguf_writer_add_string_array(writer, "tokenizer.ggml.tokens", vocab, VOCAB);
    tn_gguf_writer_add_string_array(writer, "tokenizer.ggml.merges", merges, 3);
}

/* Matrices as Q8_0: a float16 scale and 32 bytes a block. */
static void make_gguf_model(const char *path) {
    enum { block_bytes = 34, block_values = 32 };
    tn_gguf_writer *writer;
    assert_int_equal(tn_gguf_writer_create(path, 32, NULL, NULL, &writer), TN_OK);
    add_gguf_metadata(writer);
    for (size_t i = 0; i < NUM_TENSORS; i++) {
        const tensor *t = &tensors[i];
        if (t->rows > 0)
            tn_gguf_writer_add_tensor(writer, t->gguf_name, TN_GGML_Q8_0, TN_DIMS(t->rows, t->columns), NULL);
        else
            tn_gguf_writer_add_tensor(writer, t->gguf_name, TN_GGML_F32, TN_DIMS(t->columns), NULL);
    }
    for (size_t i = 0; i < NUM_TENSORS; i++) {
        float norm[HIDDEN];
        uint8_t blocks[VOCAB * HIDDEN / block_values][block_bytes];
        size_t num_blocks = (size_t)(tensors[i].rows * tensors[i].columns) / block_values;
        for (size_t e = 0; e < HIDDEN; e++) norm[e] = value_of(i, e, true);
        for (size_t b = 0; b < num_blocks; b++) {
            blocks[b][0] = 0x00, blocks[b][1] = 0x1c; /* 2^-8 */
            for (size_t e = 0; e < block_values; e++)
                blocks[b][2 + e] = (uint8_t)(int8_t)(value_of(i, b * block_values + e, false) * 254.0f);
        }
        const void *data = num_blocks > 0 ? (const void *)blocks : norm;
        assert_int_equal(tn_gguf_writer_write(writer, i, 0, data, num_blocks > 0 ? num_blocks * block_bytes : sizeof norm), TN_OK);
    }
    assert_int_equal(tn_gguf_writer_commit(writer), TN_OK);
    tn_gguf_writer_destroy(writer);
}

static int make_files(void **state) {
    files *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    snprintf(f->root, sizeof f->root, "%s/tenon-fault-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* saving waits for a disk */
    if (mkdtemp(f->root) == NULL) return -1;
    snprintf(f->directory, sizeof f->directory, "%s/model", f->root);
    snprintf(f->gguf, sizeof f->gguf, "%s/model.gguf", f->root);
    snprintf(f->engine, sizeof f->engine, "%s/engine", f->root);
    if (mkdir(f->directory, 0700) != 0 || mkdir(f->engine, 0700) != 0) return -1;
    make_directory_model(f->directory);
    make_gguf_model(f->gguf);
    *state = f;
    return 0;
}

static int remove_files(void **state) {
    static const char *const names[] = {"model/config.json", "model/tokenizer.json", "model/model.safetensors", "model",
                                        "model.gguf",        "engine/rank0.plan",    "engine/tokenizer.bin",    "engine"};
    files *f = *state;
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", f->root, names[i]);
        (void)remove(path);
    }
    int result = rmdir(f->root); /* fails if some half-written file was left */
    free(f);
    return result;
}

/* --- the chain ----------------------------------------------------------------------------------------------------------- */

typedef struct chain {
    const char *backend, *model_path, *engine_path;
    const tn_allocator *allocator;
    tn_diag *diag;
    const char *stage; /* what is being done: for messages */
    bool keeps_failing;
    int32_t ids[NUM_ANSWER], wanted[NUM_ANSWER];
    size_t num_ids;
    char text[64];
    bool failed_in_await;
} chain;

static tn_status save_tokenizer(chain *c) {
    char path[160];
    tn_tokenizer_options options;
    tn_tokenizer_options_init(&options);
    options.diag = c->diag;
    options.allocator = c->allocator;
    tn_tokenizer *tokenizer;
    c->stage = "tokenizer of the model";
    tn_status status = tn_tokenizer_load(c->model_path, &options, &tokenizer);
    snprintf(path, sizeof path, "%s/tokenizer.bin", c->engine_path);
    if (status == TN_OK) status = tn_tokenizer_save(tokenizer, path, c->diag);
    tn_tokenizer_destroy(tokenizer);
    return status;
}

static tn_status build_networks(chain *c, tn_device *device, const tn_model *model, const tn_model_options *model_options,
                                const tn_model_networks *networks, tn_plan **out_plan) {
    tn_builder_options options;
    tn_builder *builder = NULL;
    tn_builder_config *config = NULL;
    tn_builder_options_init(&options);
    options.diag = c->diag;
    options.allocator = c->allocator;
    options.device = device;
    c->stage = "build";
    tn_status status = tn_builder_create(&options, &builder);
    if (status == TN_OK) status = tn_builder_config_create(builder, &config);
    if (status == TN_OK) {
        tn_model_set_profile(model, model_options, config);
        tn_builder_config_set_optimization_level(config, 0);
        tn_builder_config_set_model_info(config, networks->info);
        tn_network *functions[] = {networks->forward, networks->sample};
        status = tn_builder_build_functions(builder, functions, 2, config, out_plan);
    }
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    return status;
}

static tn_status save_engine(chain *c, tn_device *device) {
    char path[160];
    tn_model_options options;
    tn_model_options_init(&options);
    options.max_num_tokens = 16;
    options.max_batch_size = 2;
    options.tokens_per_block = 16;
    options.max_log_probs = 1;
    options.hidden_states = true;
    tn_model *model;
    tn_model_networks networks = {0};
    tn_plan *plan = NULL;
    c->stage = "model";
    tn_status status = tn_model_open(c->model_path, c->allocator, c->diag, &model);
    if (status == TN_OK) {
        c->stage = "networks";
        status = tn_model_make_networks(model, &options, c->diag, &networks);
        if (status == TN_OK) status = build_networks(c, device, model, &options, &networks, &plan);
        tn_model_networks_deinit(model, &networks);
    }
    tn_model_close(model);
    snprintf(path, sizeof path, "%s/rank0.plan", c->engine_path);
    if (status == TN_OK) {
        c->stage = "plan file";
        status = tn_plan_save(plan, path, c->diag);
    }
    tn_plan_destroy(plan);
    return status;
}

/* One request, from ids to ids. A step that finds no memory fails the request in its response, and the executor goes on. */
static tn_status ask(chain *c, tn_executor *executor, const int32_t *prompt, size_t num_prompt) {
    tn_request request;
    tn_response *response;
    uint64_t id;
    tn_request_init(&request, prompt, num_prompt, NUM_ANSWER);
    request.num_log_probs = 1;
    request.return_prompt_log_probs = request.return_context_logits = request.return_generation_logits = true;
    request.additional_outputs = &(const tn_additional_output){TN_OUTPUT_HIDDEN_STATES, true};
    request.num_additional_outputs = 1;
    c->stage = "request";
    tn_status status = tn_executor_enqueue_diag(executor, &request, c->diag, &id);
    if (status != TN_OK) return status;
    c->stage = "response";
    tn_status awaited = tn_executor_await(executor, id, TN_FOREVER, &response);
    c->failed_in_await = awaited == TN_OUT_OF_MEMORY;
    if (c->failed_in_await) { /* nothing is lost: the response waits */
        assert_null(response);
        if (c->keeps_failing) return awaited;
        status = tn_executor_await(executor, id, TN_FOREVER, &response);
    } else {
        status = awaited;
    }
    assert_int_equal(status, TN_OK);
    assert_true(tn_response_is_final(response));
    c->num_ids = 0;
    if (tn_response_error(response) != NULL) {
        c->stage = "step";
        status = tn_fail(c->diag, tn_response_status(response), "%s", tn_response_error(response));
    } else {
        const int32_t *ids = tn_response_ids(response, &c->num_ids);
        assert_int_equal(c->num_ids, NUM_ANSWER);
        memcpy(c->ids, ids, sizeof c->ids);
    }
    tn_response_destroy(response);
    return status != TN_OK ? status : awaited;
}

static tn_status answer(chain *c, tn_executor *executor, const tn_tokenizer *tokenizer) {
    static const char prompt[] = "abc ab a";
    tn_encode_options encode;
    tn_encode_options_init(&encode);
    encode.diag = c->diag;
    int32_t *prompt_ids = NULL;
    size_t num_prompt = 0;
    c->stage = "encode";
    tn_status status = tn_tokenizer_encode(tokenizer, prompt, strlen(prompt), &encode, &prompt_ids, &num_prompt);
    if (status != TN_OK) return status;
    status = ask(c, executor, prompt_ids, num_prompt);
    if (status != TN_OK && !c->keeps_failing) {
        const char *stage = c->stage;
        bool failed_in_await = c->failed_in_await;
        assert_int_equal(ask(c, executor, prompt_ids, num_prompt), TN_OK); /* the executor is as good as new */
        assert_memory_equal(c->ids, c->wanted, sizeof c->ids);
        c->stage = stage;
        c->failed_in_await = failed_in_await;
    }
    tn_executor_info info;
    tn_executor_get_info(executor, &info);
    if (!c->keeps_failing) assert_int_equal(info.num_free_blocks, info.num_blocks);
    tn_tokenizer_free(tokenizer, prompt_ids);
    if (status != TN_OK) return status;
    char *text = NULL;
    size_t size = 0;
    c->stage = "decode";
    status = tn_tokenizer_decode(tokenizer, c->ids, c->num_ids, false, c->diag, &text, &size);
    if (status == TN_OK) snprintf(c->text, sizeof c->text, "%s", text);
    tn_tokenizer_free(tokenizer, text);
    return status;
}

static tn_status serve(chain *c, tn_device *device) {
    tn_tokenizer_options tokenizer_options;
    tn_tokenizer *tokenizer;
    tn_tokenizer_options_init(&tokenizer_options);
    tokenizer_options.diag = c->diag;
    tokenizer_options.allocator = c->allocator;
    c->stage = "tokenizer of the engine";
    tn_status status = tn_tokenizer_load(c->engine_path, &tokenizer_options, &tokenizer);
    if (status != TN_OK) return status;
    tn_executor_options options;
    tn_executor *executor;
    tn_executor_options_init(&options);
    options.diag = c->diag;
    options.allocator = c->allocator;
    options.device = device;
    options.max_cache_tokens = 64;
    c->stage = "engine and executor";
    status = tn_executor_create(c->engine_path, &options, &executor);
    if (status == TN_OK) status = answer(c, executor, tokenizer);
    tn_executor_destroy(executor);
    tn_tokenizer_destroy(tokenizer);
    return status;
}

static tn_status run_chain(chain *c) {
    tn_device_options options;
    tn_device *device;
    tn_device_options_init(&options);
    options.diag = c->diag;
    options.allocator = c->allocator;
    options.num_threads = 1;
    c->stage = "device";
    tn_status status = tn_device_create(c->backend, &options, &device);
    if (status != TN_OK) return status;
    status = save_tokenizer(c);
    if (status == TN_OK) status = save_engine(c, device);
    if (status == TN_OK) status = serve(c, device);
    tn_device_destroy(device);
    return status;
}

/* --- tests ----------------------------------------------------------------------------------------------------------------- */

static void assert_same_answer(const chain *a, const chain *b) {
    assert_int_equal(a->num_ids, b->num_ids);
    assert_memory_equal(a->ids, b->ids, a->num_ids * sizeof *a->ids);
    assert_string_equal(a->text, b->text);
}

/* The first entry that is an error; false: there is none. */
static bool find_error(const tn_diag *diag, tn_diag_entry *out_entry) {
    for (size_t i = 0; tn_diag_get(diag, i, out_entry) == TN_OK; i++)
        if (out_entry->severity == TN_SEVERITY_ERROR) return true;
    return false;
}

/* The nth call fails, alone or with all after it. */
static void check_failure(chain *c, size_t n, bool keep_failing) {
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, n);
    fault.keep_failing = keep_failing;
    c->allocator = &fault.allocator;
    c->keeps_failing = keep_failing;
    c->failed_in_await = false;
    tn_status status = run_chain(c);
    tn_diag_entry entry = {0};
    bool has_message = find_error(c->diag, &entry);
    bool is_right = has_message ? entry.code == TN_OUT_OF_MEMORY && strstr(entry.message, "out of memory") != NULL
                                : c->failed_in_await; /* which has no diag */
    if (!tn_fault_has_failed(&fault) || status != TN_OUT_OF_MEMORY || !is_right || tn_fault_num_live_blocks(&fault) != 0 ||
        atomic_load(&fault.live_bytes) != 0)
        fail_msg("%s, %s: allocation %zu%s, while it made %s: %s, %s, \"%s\", %zu blocks of %zu bytes left", c->backend, c->model_path, n,
                 keep_failing ? " and all after it" : "", c->stage, tn_fault_has_failed(&fault) ? "failed" : "DID NOT FAIL",
                 tn_status_name(status), has_message ? entry.message : "(no message)", tn_fault_num_live_blocks(&fault),
                 atomic_load(&fault.live_bytes));
    tn_diag_clear(c->diag);
}

static size_t run_without_failure(chain *c) {
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    c->allocator = &fault.allocator;
    tn_status status = run_chain(c);
    tn_diag_entry entry;
    bool has_message = find_error(c->diag, &entry);
    if (status != TN_OK || has_message) fail_msg("%s: %s: %s", c->stage, tn_status_name(status), has_message ? entry.message : "");
    tn_diag_clear(c->diag);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
    return atomic_load(&fault.num_calls);
}

static void check_all(const files *f, const char *backend, const char *model_path) {
    chain first = {.backend = backend, .model_path = model_path, .engine_path = f->engine};
    assert_int_equal(tn_diag_create(NULL, &first.diag), TN_OK);
    size_t num_calls = run_without_failure(&first);
    memcpy(first.wanted, first.ids, sizeof first.wanted);
    chain again = first;
    assert_int_equal(run_without_failure(&again), num_calls);
    assert_same_answer(&again, &first);
    print_message("%s, %s: %zu allocations\n", backend, model_path, num_calls);
    for (size_t n = 1; n <= num_calls; n++) {
        check_failure(&again, n, false);
        if (n % 3 == 0) check_failure(&again, n, true);
    }
    (void)run_without_failure(&again);
    assert_same_answer(&again, &first);
    tn_diag_destroy(first.diag);
}

static void each_allocation_failing_from_a_directory_to_text_on_ref(void **state) {
    const files *f = *state;
    check_all(f, "ref", f->directory);
}

static void each_allocation_failing_from_a_directory_to_text_on_cpu(void **state) {
    const files *f = *state;
    check_all(f, "cpu", f->directory);
}

static void each_allocation_failing_from_a_gguf_file_to_text_on_ref(void **state) {
    const files *f = *state;
    check_all(f, "ref", f->gguf);
}

static void each_allocation_failing_from_a_gguf_file_to_text_on_cpu(void **state) {
    const files *f = *state;
    check_all(f, "cpu", f->gguf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_failing_from_a_directory_to_text_on_ref),
        cmocka_unit_test(each_allocation_failing_from_a_directory_to_text_on_cpu),
        cmocka_unit_test(each_allocation_failing_from_a_gguf_file_to_text_on_ref),
        cmocka_unit_test(each_allocation_failing_from_a_gguf_file_to_text_on_cpu),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
