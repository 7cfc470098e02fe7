/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics_test.c: the builder's measured choice on whole models: what the timing cache does, and that no choice changes a bit.
 *
 * llama-gqa has float32 weights and always runs; SmolLM2 has q4_1 and q8_0 ones. Nothing here depends on how long anything took.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "support/decoder.h"
#include "support/model_file.h"

enum { PROMPT = 45, ANSWER = 6, MAX_BYTES = 1 << 20 };

typedef struct subject {
    const char *path;
    const char *plain, *streamed; /* tactics of its linear layers */
    size_t vocab;
} subject;

static char smollm2_path[4096], cache_path[64];
static const subject golden = {TN_TEST_DATA "/models/llama-gqa", "matmul_strip16_f32", "matmul_strip16_stream_f32", 320};
static const subject smollm2 = {smollm2_path, "matmul_strip16_q15", "matmul_strip16_stream_q15", 49152};

static tn_timing_cache *load_cache(void) {
    tn_timing_cache *cache;
    assert_int_equal(tn_timing_cache_create(NULL, &cache), TN_OK);
    assert_int_equal(tn_timing_cache_load(cache, cache_path, NULL), TN_OK); /* a missing file is an empty cache */
    return cache;
}

/* Builds with the cache file and writes it back; returns how many times were measured. */
static size_t open_with_cache(tn_test_decoder *decoder, const subject *model) {
    tn_model_options options;
    tn_model_options_init(&options);
    options.max_seq_len = 128;
    options.max_num_tokens = 64;
    tn_timing_cache *cache = load_cache();
    tn_test_decoder_open_timed(decoder, model->path, "cpu", NULL, &options, cache);
    size_t num_measured = tn_timing_cache_num_measured(cache);
    assert_int_equal(tn_timing_cache_save(cache, cache_path, NULL), TN_OK);
    tn_timing_cache_destroy(cache);
    return num_measured;
}

/* A user's edit: every time of a tactic in the file. Fails if the file has none. */
static void edit_cache(const char *tactic, const char *time) {
    char *text, *rest, *line, field[64];
    size_t size, num_edited = 0;
    (void)snprintf(field, sizeof field, "\t%s\t", tactic);
    assert_int_equal(tn_file_read_all(cache_path, MAX_BYTES, NULL, NULL, &text, &size), TN_OK);
    FILE *file = fopen(cache_path, "w");
    assert_non_null(file);
    for (rest = text; (line = strsep(&rest, "\n")) != NULL && (rest != NULL || line[0] != '\0');) {
        char *tab = strrchr(line, '\t');
        bool is_edited = tab != NULL && strstr(line, field) != NULL;
        num_edited += is_edited;
        if (is_edited)
            (void)fprintf(file, "%.*s\t%s\n", (int)(tab - line), line, time);
        else
            (void)fprintf(file, "%s\n", line);
    }
    assert_int_equal(fclose(file), 0);
    assert_true(num_edited > 0);
    tn_free(NULL, text);
}

/* Does some step of the plan run it? As the inspector says. */
static bool uses(const tn_test_decoder *decoder, const char *tactic) {
    char *json, text[96];
    assert_int_equal(tn_plan_inspect(decoder->plan, NULL, &json), TN_OK);
    (void)snprintf(text, sizeof text, "\"tactic\":\"%s\"", tactic);
    bool is_there = strstr(json, text) != NULL;
    tn_string_free(json);
    return is_there;
}

static void *saved_bytes(const tn_test_decoder *decoder, size_t *out_size) {
    char path[80], *bytes;
    (void)snprintf(path, sizeof path, "%s.plan", cache_path);
    assert_int_equal(tn_plan_save(decoder->plan, path, NULL), TN_OK);
    assert_int_equal(tn_file_read_all(path, (size_t)1 << 30, NULL, NULL, &bytes, out_size), TN_OK);
    assert_int_equal(unlink(path), 0);
    return bytes;
}

/* A prompt whole and by eights, then tokens one by one: every range of rows but that of 2 to 4. */
static tn_response *answer(tn_test_decoder *decoder, const subject *model, int32_t chunk) {
    int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++) ids[i] = (int32_t)((size_t)(i * 7919 + 11) % (model->vocab < 1000 ? model->vocab : 1000));
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_chunk_tokens = chunk;
    tn_test_decoder_start(decoder, &options);
    tn_request request;
    tn_request_init(&request, ids, PROMPT, ANSWER);
    request.return_generation_logits = true;
    tn_response *response = tn_test_answer(decoder, &request);
    assert_null(tn_response_error(response));
    return response;
}

static void assert_same_bits(tn_test_decoder *a, tn_test_decoder *b, const subject *model) {
    static const int32_t chunks[] = {0, 8, 3};
    for (int c = 0; c < 3; c++) {
        tn_response *of_a = answer(a, model, chunks[c]), *of_b = answer(b, model, chunks[c]);
        size_t count_a, count_b;
        const int32_t *ids_a = tn_response_ids(of_a, &count_a), *ids_b = tn_response_ids(of_b, &count_b);
        assert_int_equal(count_a, count_b);
        assert_memory_equal(ids_a, ids_b, count_a * sizeof *ids_a);
        assert_memory_equal(tn_response_generation_logits(of_a), tn_response_generation_logits(of_b),
                            count_a * model->vocab * sizeof(float));
        tn_response_destroy(of_a);
        tn_response_destroy(of_b);
    }
}

static void check_cache(const subject *model) {
    tn_test_decoder first, second;
    size_t sizes[2];
    assert_true(open_with_cache(&first, model) > 0);
    assert_int_equal(open_with_cache(&second, model), 0);
    void *bytes[2] = {saved_bytes(&first, &sizes[0]), saved_bytes(&second, &sizes[1])};
    assert_int_equal(sizes[0], sizes[1]);
    assert_int_equal(memcmp(bytes[0], bytes[1], sizes[0]), 0);
    tn_free(NULL, bytes[0]);
    tn_free(NULL, bytes[1]);
    tn_test_decoder_close(&first);
    tn_test_decoder_close(&second);
}

static void check_edits(const subject *model) {
    tn_test_decoder measured, plain, streamed;
    (void)open_with_cache(&measured, model);
    edit_cache(model->streamed, "5000");
    edit_cache(model->plain, "0.5");
    assert_int_equal(open_with_cache(&plain, model), 0);
    assert_true(uses(&plain, model->plain) && !uses(&plain, model->streamed));
    edit_cache(model->plain, "5000");
    edit_cache(model->streamed, "0.5");
    assert_int_equal(open_with_cache(&streamed, model), 0);
    assert_true(uses(&streamed, model->streamed) && !uses(&streamed, model->plain));
    assert_same_bits(&plain, &streamed, model);
    assert_same_bits(&plain, &measured, model);
    tn_test_decoder_close(&measured);
    tn_test_decoder_close(&plain);
    tn_test_decoder_close(&streamed);
}

/* The device of another machine: without vectors, one thread. */
static void check_retune(const subject *model) {
    tn_test_decoder here, there = {0};
    tn_device_options device_options;
    tn_device_options_init(&device_options);
    device_options.isa = "c";
    device_options.num_threads = 1;
    (void)open_with_cache(&here, model);
    assert_int_equal(tn_device_create("cpu", &device_options, &there.device), TN_OK);
    tn_builder *builder;
    tn_builder_config *config;
    tn_builder_options builder_options;
    tn_builder_options_init(&builder_options);
    builder_options.device = there.device;
    assert_int_equal(tn_builder_create(&builder_options, &builder), TN_OK);
    assert_int_equal(tn_builder_config_create(builder, &config), TN_OK);
    assert_int_equal(tn_builder_retune(builder, here.plan, config, &there.plan), TN_OK);
    assert_true(uses(&there, model->plain) || uses(&there, model->streamed));
    tn_engine_options engine_options;
    tn_engine_options_init(&engine_options);
    engine_options.device = there.device;
    assert_int_equal(tn_engine_create(there.plan, &engine_options, &there.engine), TN_OK);
    assert_same_bits(&here, &there, model);
    tn_builder_config_destroy(config);
    tn_builder_destroy(builder);
    tn_test_decoder_close(&here);
    tn_test_decoder_close(&there);
}

static void a_second_build_times_nothing_and_gives_the_same_bytes(void **state) {
    (void)state;
    check_cache(&golden);
}

static void an_edited_entry_changes_the_tactic_and_no_bit_of_an_answer(void **state) {
    (void)state;
    check_edits(&golden);
}

static void a_plan_retuned_for_another_machine_answers_with_the_same_bits(void **state) {
    (void)state;
    check_retune(&golden);
}

static void need_smollm2(void) {
    if (smollm2_path[0] != '\0') return;
    printf("%s\n", tn_test_no_model);
    skip();
}

static void smollm2_built_twice_times_nothing_and_gives_the_same_bytes(void **state) {
    (void)state;
    need_smollm2();
    check_cache(&smollm2);
}

static void smollm2_takes_the_tactic_of_an_edited_entry_and_answers_with_the_same_bits(void **state) {
    (void)state;
    need_smollm2();
    check_edits(&smollm2);
}

static int forget_times(void **state) {
    (void)state;
    (void)unlink(cache_path);
    return 0;
}

int main(void) {
    (void)snprintf(cache_path, sizeof cache_path, "/tmp/tenon-tactics-%d", (int)getpid());
    if (tn_test_smollm2_path(smollm2_path, sizeof smollm2_path) == NULL) smollm2_path[0] = '\0';
#define TEST(function) cmocka_unit_test_setup_teardown(function, forget_times, forget_times)
    const struct CMUnitTest tests[] = {
        TEST(a_second_build_times_nothing_and_gives_the_same_bytes),
        TEST(an_edited_entry_changes_the_tactic_and_no_bit_of_an_answer),
        TEST(a_plan_retuned_for_another_machine_answers_with_the_same_bits),
        TEST(smollm2_built_twice_times_nothing_and_gives_the_same_bytes),
        TEST(smollm2_takes_the_tactic_of_an_edited_entry_and_answers_with_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
