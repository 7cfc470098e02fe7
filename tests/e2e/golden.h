/* SPDX-License-Identifier: Apache-2.0
 *
 * golden.h: the golden models through the executor against Hugging Face's logits and tokens. One program a backend includes it.
 */
#ifndef TN_TESTS_E2E_GOLDEN_H_
#define TN_TESTS_E2E_GOLDEN_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <math.h>

#include "backend/backend.h"
#include "format/json.h"
#include "support/decoder.h"

enum { GOLDEN_MAX_CASES = 3, GOLDEN_TOKENS = 24, GOLDEN_VOCAB = 320, GOLDEN_MAX_PROMPT = 64, GOLDEN_BEAMS = 4, GOLDEN_BEAM_TOKENS = 12 };
/* GOLDEN_VOCAB: of the given models; those made by scripts/golden have fewer tokens.
 * tests/golden: logits are rounded to 1e-5, Hugging Face adds in another order. A GPU's exponentials and sines are less exact. */
static inline double golden_tolerance(const tn_test_decoder *decoder) {
    return strcmp(decoder->device->backend->name, "cuda") == 0 ? 1e-3 : 2e-4;
}

typedef struct golden_case {
    int32_t ids[GOLDEN_MAX_PROMPT], greedy[GOLDEN_TOKENS];
    size_t num_ids, num_positions, vocab;
    size_t positions[GOLDEN_MAX_PROMPT];
    double margins[GOLDEN_TOKENS]; /* of a greedy token's logit over the next best */
    float logits[GOLDEN_MAX_PROMPT][GOLDEN_VOCAB];
    bool has_beams; /* generate(num_beams=4, max_new_tokens=12, length_penalty=1.0, early_stopping=True) */
    int32_t beams[GOLDEN_BEAMS][GOLDEN_BEAM_TOKENS];
    double scores[GOLDEN_BEAMS];
} golden_case;

typedef struct golden_model {
    const char *name, *config; /* "config.json" or "config.v4.json" */
    golden_case cases[GOLDEN_MAX_CASES];
    size_t num_cases;
} golden_model;

static inline size_t golden_integers(const tn_json_value *object, const char *key, int64_t max, int32_t *out, size_t room) {
    const tn_json_value *array;
    assert_int_equal(tn_json_get_array(object, key, NULL, &array), TN_OK);
    assert_true(tn_json_count(array) <= room);
    for (size_t i = 0; i < tn_json_count(array); i++) {
        int64_t value;
        assert_int_equal(tn_json_to_integer(tn_json_at(array, i), 0, max, NULL, &value), TN_OK);
        out[i] = (int32_t)value;
    }
    return tn_json_count(array);
}

static inline void golden_read_case(const tn_json_value *object, golden_case *out) {
    int32_t positions[GOLDEN_MAX_PROMPT];
    const tn_json_value *rows, *margins;
    out->num_ids = golden_integers(object, "input_ids", GOLDEN_VOCAB - 1, out->ids, GOLDEN_MAX_PROMPT);
    assert_int_equal(golden_integers(object, "greedy", GOLDEN_VOCAB - 1, out->greedy, GOLDEN_TOKENS), GOLDEN_TOKENS);
    assert_int_equal(tn_json_get_array(object, "greedy_margin", NULL, &margins), TN_OK);
    assert_int_equal(tn_json_count(margins), GOLDEN_TOKENS);
    for (size_t i = 0; i < GOLDEN_TOKENS; i++)
        assert_int_equal(tn_json_to_number(tn_json_at(margins, i), 0.0, 1e6, NULL, &out->margins[i]), TN_OK);
    out->num_positions = golden_integers(object, "logits_positions", GOLDEN_MAX_PROMPT - 1, positions, GOLDEN_MAX_PROMPT);
    assert_int_equal(tn_json_get_array(object, "logits", NULL, &rows), TN_OK);
    assert_int_equal(tn_json_count(rows), out->num_positions);
    for (size_t i = 0; i < out->num_positions; i++) {
        out->positions[i] = (size_t)positions[i];
        assert_true(out->positions[i] < out->num_ids);
        out->vocab = tn_json_count(tn_json_at(rows, i));
        assert_true(out->vocab <= GOLDEN_VOCAB);
        for (size_t v = 0; v < out->vocab; v++) {
            double value;
            assert_int_equal(tn_json_to_number(tn_json_at(tn_json_at(rows, i), v), -1e6, 1e6, NULL, &value), TN_OK);
            out->logits[i][v] = (float)value;
        }
    }
}

static inline void golden_read_beams(const tn_json_value *object, golden_case *out) {
    const tn_json_value *beams = tn_json_find(object, "beam4"), *sequences, *scores;
    out->has_beams = beams != NULL;
    if (beams == NULL) return;
    assert_int_equal(tn_json_get_array(beams, "sequences", NULL, &sequences), TN_OK);
    assert_int_equal(tn_json_get_array(beams, "scores", NULL, &scores), TN_OK);
    assert_int_equal(tn_json_count(sequences), GOLDEN_BEAMS);
    assert_int_equal(tn_json_count(scores), GOLDEN_BEAMS);
    for (size_t i = 0; i < GOLDEN_BEAMS; i++) {
        const tn_json_value *ids = tn_json_at(sequences, i);
        assert_int_equal(tn_json_count(ids), GOLDEN_BEAM_TOKENS);
        for (size_t t = 0; t < GOLDEN_BEAM_TOKENS; t++) {
            int64_t id;
            assert_int_equal(tn_json_to_integer(tn_json_at(ids, t), 0, GOLDEN_VOCAB - 1, NULL, &id), TN_OK);
            out->beams[i][t] = (int32_t)id;
        }
        assert_int_equal(tn_json_to_number(tn_json_at(scores, i), -1e6, 0.0, NULL, &out->scores[i]), TN_OK);
    }
}

/* folder: of tests/golden */
static inline golden_model *golden_load_from(const char *folder, const char *name, const char *config) {
    golden_model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->name = name;
    model->config = config;
    char path[256];
    snprintf(path, sizeof path, TN_TEST_DATA "/%s/%s/expected.json", folder, name);
    tn_json *json;
    const tn_json_value *cases;
    assert_int_equal(tn_json_load(path, NULL, NULL, NULL, &json), TN_OK);
    assert_int_equal(tn_json_get_array(tn_json_root(json), "cases", NULL, &cases), TN_OK);
    model->num_cases = tn_json_count(cases);
    assert_true(model->num_cases <= GOLDEN_MAX_CASES);
    for (size_t i = 0; i < model->num_cases; i++) {
        golden_read_case(tn_json_at(cases, i), &model->cases[i]);
        golden_read_beams(tn_json_at(cases, i), &model->cases[i]);
    }
    tn_json_destroy(json);
    return model;
}

static inline golden_model *golden_load(const char *name, const char *config) {
    return golden_load_from("models", name, config);
}

/* A directory with the model's weights and `config` as its config.json. */
static inline void golden_make_directory(const golden_model *model, char path[64]) {
    snprintf(path, 64, "/tmp/tenon-golden-XXXXXX");
    assert_non_null(mkdtemp(path));
    char from[256], to[128];
    snprintf(from, sizeof from, TN_TEST_DATA "/models/%s/%s", model->name, model->config);
    snprintf(to, sizeof to, "%s/config.json", path);
    assert_int_equal(symlink(from, to), 0);
    snprintf(from, sizeof from, TN_TEST_DATA "/models/%s/model.safetensors", model->name);
    snprintf(to, sizeof to, "%s/model.safetensors", path);
    assert_int_equal(symlink(from, to), 0);
}

static inline void golden_remove_directory(const char *path) {
    char file[128];
    snprintf(file, sizeof file, "%s/config.json", path);
    unlink(file);
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    unlink(file);
    assert_int_equal(rmdir(path), 0);
}

static inline uint64_t golden_enqueue(tn_test_decoder *decoder, const golden_case *example) {
    tn_request request;
    uint64_t id;
    tn_request_init(&request, example->ids, example->num_ids, GOLDEN_TOKENS);
    request.return_context_logits = true;
    assert_int_equal(tn_executor_enqueue(decoder->executor, &request, &id), TN_OK);
    return id;
}

static inline void golden_compare(const golden_model *model, size_t index, const char *how, double tolerance, const tn_response *response) {
    const golden_case *example = &model->cases[index];
    if (tn_response_error(response) != NULL) fail_msg("%s: %s", model->name, tn_response_error(response));
    const float *logits = tn_response_context_logits(response);
    assert_non_null(logits);
    for (size_t i = 0; i < example->num_positions; i++)
        for (size_t v = 0; v < example->vocab; v++) {
            double got = (double)logits[example->positions[i] * example->vocab + v], wanted = (double)example->logits[i][v];
            if (!(fabs(got - wanted) <= tolerance))
                fail_msg("%s (%s), %s: case %zu position %zu: logit %zu is %g, wanted %g", model->name, model->config, how, index,
                         example->positions[i], v, got, wanted);
        }
    size_t count;
    const int32_t *ids = tn_response_ids(response, &count);
    assert_int_equal(count, GOLDEN_TOKENS);
    for (size_t i = 0; i < GOLDEN_TOKENS; i++)
        if (ids[i] != example->greedy[i])
            fail_msg("%s (%s), %s: case %zu: token %zu is %d, wanted %d", model->name, model->config, how, index, i, (int)ids[i],
                     (int)example->greedy[i]);
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_LENGTH);
}

static inline void golden_await(tn_test_decoder *decoder, uint64_t id, const golden_model *model, size_t index, const char *how) {
    tn_response *response;
    assert_int_equal(tn_executor_await(decoder->executor, id, TN_FOREVER, &response), TN_OK);
    golden_compare(model, index, how, golden_tolerance(decoder), response);
    tn_response_destroy(response);
}

static inline uint64_t golden_enqueue_beams(tn_test_decoder *decoder, const golden_case *example) {
    tn_request request;
    uint64_t id;
    tn_request_init(&request, example->ids, example->num_ids, GOLDEN_BEAM_TOKENS);
    request.sampling.beam_width = GOLDEN_BEAMS;
    request.sampling.length_penalty = 1.0f;
    request.sampling.early_stopping = 1;
    assert_int_equal(tn_executor_enqueue(decoder->executor, &request, &id), TN_OK);
    return id;
}

static inline void golden_await_beams(tn_test_decoder *decoder, uint64_t id, const golden_model *model, size_t index, const char *how) {
    const golden_case *example = &model->cases[index];
    tn_response *response;
    assert_int_equal(tn_executor_await(decoder->executor, id, TN_FOREVER, &response), TN_OK);
    if (tn_response_error(response) != NULL) fail_msg("%s: %s", model->name, tn_response_error(response));
    assert_int_equal(tn_response_num_beams(response), GOLDEN_BEAMS);
    for (int32_t beam = 0; beam < GOLDEN_BEAMS; beam++) {
        size_t count;
        const int32_t *ids = tn_response_beam_ids(response, beam, &count);
        assert_int_equal(count, GOLDEN_BEAM_TOKENS);
        for (size_t i = 0; i < count; i++)
            if (ids[i] != example->beams[beam][i])
                fail_msg("%s (%s), %s: beam %d: token %zu is %d, wanted %d", model->name, model->config, how, (int)beam, i, (int)ids[i],
                         (int)example->beams[beam][i]);
        double score = (double)tn_response_beam_score(response, beam), tolerance = golden_tolerance(decoder);
        if (!(fabs(score - example->scores[beam]) <= fmax(tolerance, 2e-4) / 2.0)) /* 1e-4 on the host */
            fail_msg("%s (%s), %s: beam %d has score %.6f, wanted %.6f", model->name, model->config, how, (int)beam, score,
                     example->scores[beam]);
        assert_int_equal(tn_response_beam_finish_reason(response, beam), TN_FINISH_LENGTH);
    }
    tn_response_destroy(response);
}

/* Every case alone, then all in one batch; chunk 0: prompts whole. */
static inline void golden_run(tn_test_decoder *decoder, const golden_model *model, int32_t chunk, bool with_beams, const char *how) {
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_chunk_tokens = chunk;
    options.max_cache_tokens = 1024;
    options.max_beam_width = GOLDEN_BEAMS;
    tn_test_decoder_start(decoder, &options);
    char text[96];
    snprintf(text, sizeof text, "%s, alone", how);
    for (size_t i = 0; i < model->num_cases; i++) golden_await(decoder, golden_enqueue(decoder, &model->cases[i]), model, i, text);
    for (size_t i = 0; with_beams && i < model->num_cases; i++)
        if (model->cases[i].has_beams) golden_await_beams(decoder, golden_enqueue_beams(decoder, &model->cases[i]), model, i, text);
    snprintf(text, sizeof text, "%s, in one batch", how);
    uint64_t ids[GOLDEN_MAX_CASES], beam_ids[GOLDEN_MAX_CASES];
    for (size_t i = 0; i < model->num_cases; i++) {
        if (with_beams && model->cases[i].has_beams) beam_ids[i] = golden_enqueue_beams(decoder, &model->cases[i]);
        ids[i] = golden_enqueue(decoder, &model->cases[i]);
    }
    for (size_t i = 0; i < model->num_cases; i++) {
        golden_await(decoder, ids[i], model, i, text);
        if (with_beams && model->cases[i].has_beams) golden_await_beams(decoder, beam_ids[i], model, i, text);
    }
}

#if defined(__SANITIZE_ADDRESS__)
#define GOLDEN_IS_SLOW true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GOLDEN_IS_SLOW true
#endif
#endif
#ifndef GOLDEN_IS_SLOW
#define GOLDEN_IS_SLOW false
#endif

/* In chunks, and, but under a sanitizer, whole. ref, which is slow, leaves beams to the others: they are the executor's. */
static inline void golden_check_path(const golden_model *model, const char *path, const char *backend, int64_t tokens_per_block) {
    char how[64];
    tn_model_options options;
    tn_model_options_init(&options);
    options.tokens_per_block = tokens_per_block;
    options.max_num_tokens = 128;
    options.max_batch_size = 8;
    tn_test_decoder decoder;
    tn_test_decoder_open(&decoder, path, backend, NULL, &options);
    bool with_beams = strcmp(backend, "ref") != 0;
    snprintf(how, sizeof how, "%s, blocks of %d, chunks of 8", backend, (int)tokens_per_block);
    golden_run(&decoder, model, 8, with_beams && !GOLDEN_IS_SLOW, how);
    snprintf(how, sizeof how, "%s, blocks of %d, prompts whole", backend, (int)tokens_per_block);
    if (!GOLDEN_IS_SLOW) golden_run(&decoder, model, 0, with_beams, how);
    tn_test_decoder_close(&decoder);
}

static inline void golden_check_config(const char *name, const char *config, const char *backend, int64_t tokens_per_block) {
    golden_model *model = golden_load(name, config);
    char path[64];
    golden_make_directory(model, path);
    golden_check_path(model, path, backend, tokens_per_block);
    golden_remove_directory(path);
    free(model);
}

/* The same model as llama.cpp's converter would write it (scripts/golden/gguf_models.py); not all have one. */
static inline void golden_check_gguf(const char *name, const char *backend) {
    char path[256];
    snprintf(path, sizeof path, TN_TEST_DATA "/models/%s/model.gguf", name);
    if (access(path, R_OK) != 0) return;
    golden_model *model = golden_load(name, "model.gguf");
    golden_check_path(model, path, backend, 16);
    free(model);
}

/* The older form of config.json gives the same configuration (model/hf_config_test.c); the given goldens have it. */
static inline void golden_check(const char *name, const char *backend) {
    char older[256];
    snprintf(older, sizeof older, TN_TEST_DATA "/models/%s/config.v4.json", name);
    golden_check_config(name, "config.json", backend, 16);
    if (!GOLDEN_IS_SLOW || strcmp(backend, "ref") != 0) golden_check_gguf(name, backend);
    if (access(older, R_OK) == 0 && strcmp(backend, "ref") != 0 && !GOLDEN_IS_SLOW)
        golden_check_config(name, "config.v4.json", backend, 32);
}

/* How many greedy tokens a model with weights rounded to bfloat16 must give as well: up to the first margin of at most 0.1. One case
 * ends before its margin of 0.10056: there ref too, in double precision, finds the other token 0.045 ahead with rounded weights. */
static inline size_t golden_num_sure_tokens(const golden_model *model, size_t index) {
    size_t count = 0;
    if (strcmp(model->name, "llama-tied-mha") == 0 && index == 1) return 20;
    while (count < GOLDEN_TOKENS && model->cases[index].margins[count] > 0.1) count++;
    return count;
}

/* bfloat16 weights and a float16 cache, all cases in one batch. */
static inline void golden_check_bfloat16(const char *name, const char *backend) {
    golden_model *model = golden_load(name, "config.json");
    char path[64];
    tn_model_options options;
    tn_model_options_init(&options);
    options.tokens_per_block = 16;
    options.max_num_tokens = 128;
    options.max_batch_size = 8;
    options.float_dtype = TN_BFLOAT16;
    options.cache_dtype = TN_FLOAT16;
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_cache_tokens = 1024;
    tn_test_decoder decoder;
    golden_make_directory(model, path);
    tn_test_decoder_open(&decoder, path, backend, NULL, &options);
    tn_test_decoder_start(&decoder, &executor);
    uint64_t requests[GOLDEN_MAX_CASES];
    for (size_t c = 0; c < model->num_cases; c++) requests[c] = golden_enqueue(&decoder, &model->cases[c]);
    for (size_t c = 0; c < model->num_cases; c++) {
        const golden_case *example = &model->cases[c];
        size_t count;
        tn_response *response;
        assert_int_equal(tn_executor_await(decoder.executor, requests[c], TN_FOREVER, &response), TN_OK);
        if (tn_response_error(response) != NULL) fail_msg("%s: %s", name, tn_response_error(response));
        const int32_t *ids = tn_response_ids(response, &count);
        assert_int_equal(count, GOLDEN_TOKENS);
        for (size_t i = 0, num_sure = golden_num_sure_tokens(model, c); i < num_sure; i++)
            if (ids[i] != example->greedy[i])
                fail_msg("%s: case %zu: token %zu is %d, wanted %d (margin %g)", name, c, i, (int)ids[i], (int)example->greedy[i],
                         example->margins[i]);
        tn_response_destroy(response);
    }
    tn_test_decoder_close(&decoder);
    golden_remove_directory(path);
    free(model);
}

/* One test a model, named after it: those given, then those that scripts/golden/models.py makes. */
/* clang-format off */
static const char *const golden_names[] = {
    "llama-gqa", "llama-tied-mha", "llama3-rope", "mistral", "qwen2", "qwen3", "gpt2", "mixtral", "gemma2", "phi3", "gptj", "gpt_neox",
    "falcon-mqa", "opt", "bloom", "llama-biases", "llama-linear-rope", "llama-dynamic-rope", "llama-yarn-rope", "mistral-window",
    "mixtral-window", "qwen2-windows", "qwen3-biases", "gpt2-scales", "gemma2-no-caps", "phi3-longrope", "phi3-partial",
    "gptj-whole-head", "gpt_neox-sequential", "falcon-groups", "falcon-one-norm", "falcon-alibi", "opt-narrow", "opt-no-biases",
    "bloom-six-heads", "gemma", "gemma3", "qwen2_moe", "qwen2_moe-normed", "qwen3_moe", "qwen3_moe-plain", "phi", "phi-qk-norms",
    "starcoder2", "starcoder2-window", "olmo2", "olmo2-biases", "granite", "granite-biases", "cohere", "cohere-qk-norms", "cohere2",
    "stablelm", "stablelm-parallel", "smollm3", "smollm3-windows", "nemotron", "nemotron-biases", "mpt", "mpt-clipped", "smollm3-four",
    "cohere2-four", "bloom-four-heads", "gemma3-six", "gemma2-caps", "qwen2_moe-all", "mixtral-all", "gpt_bigcode", "gpt_bigcode-heads",
    "gpt_oss", "deepseek_v2", "deepseek_v3", "exaone", "exaone4", "internlm2", "baichuan", "baichuan-large", "glm", "glm4", "glm4_moe", "chatglm",
    "olmo", "olmo3", "granitemoe", "gemma3-images", "mistral3",
};
/* clang-format on */
enum { GOLDEN_NUM_MODELS = sizeof golden_names / sizeof *golden_names };
static const char *golden_backend;

static inline void golden_test(void **state) {
    golden_check(*state, golden_backend);
}

static inline void golden_bfloat16_test(void **state) {
    golden_check_bfloat16(*state, golden_backend);
}

/* ref, which is slow, is not asked for bfloat16: cmocka passes over tests without a name. */
static inline int golden_main(const char *backend) {
    struct CMUnitTest tests[2 * GOLDEN_NUM_MODELS] = {{0}};
    char titles[2 * GOLDEN_NUM_MODELS][96];
    if (!tn_test_has_device(backend)) return 77;
    golden_backend = backend;
    for (size_t i = 0; i < 2 * GOLDEN_NUM_MODELS; i += 2) {
        const char *name = golden_names[i / 2];
        snprintf(titles[i], sizeof titles[i], "%s_gives_hugging_faces_logits_and_tokens", name);
        tests[i] = (struct CMUnitTest){.name = titles[i], .test_func = golden_test, .initial_state = (void *)(uintptr_t)name};
        if (strcmp(backend, "ref") == 0) continue;
        snprintf(titles[i + 1], sizeof titles[i + 1], "%s_in_bfloat16_gives_its_tokens_up_to_a_margin_of_a_tenth", name);
        tests[i + 1] =
            (struct CMUnitTest){.name = titles[i + 1], .test_func = golden_bfloat16_test, .initial_state = (void *)(uintptr_t)name};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
