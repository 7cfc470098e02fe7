/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_smollm2_test.c: a real model file, whole and truncated. Its path: $TENON_SMOLLM2, else the cache folder; skipped if it
 * is not there.
 */
#include "base/file.h"
#include "base/memory.h"
#include "format/gguf.h"
#include "format/testing.h"

static char *model_path;

static void all_tensors_and_keys_are_read(void **state) {
    tn_gguf *gguf;
    assert_ok(*state, tn_gguf_open(model_path, NULL, *state, &gguf));
    assert_int_equal(tn_gguf_num_tensors(gguf), 272);
    int64_t integer;
    assert_ok(*state, tn_gguf_get_integer(gguf, "llama.block_count", 1, 4096, *state, &integer));
    assert_int_equal(integer, 30);
    assert_ok(*state, tn_gguf_get_integer(gguf, "llama.embedding_length", 1, 65536, *state, &integer));
    assert_int_equal(integer, 576);
    const tn_gguf_value *tokens, *merges;
    assert_ok(*state, tn_gguf_get_array(gguf, "tokenizer.ggml.tokens", TN_GGUF_STRING, *state, &tokens));
    assert_int_equal(tokens->count, 49152);
    assert_ok(*state, tn_gguf_get_array(gguf, "tokenizer.ggml.merges", TN_GGUF_STRING, *state, &merges));
    assert_int_equal(merges->count, 48900);
    size_t size;
    assert_memory_equal(tn_gguf_string(tokens, 1, &size), "<|im_start|>", 12);
    assert_int_equal(size, 12);
    const tn_gguf_tensor *embedding = tn_gguf_find_tensor(gguf, "token_embd.weight");
    assert_int_equal(embedding->dims.d[0], 49152);
    assert_int_equal(embedding->dims.d[1], 576);
    assert_ok(*state, tn_gguf_map(gguf, *state));
    for (size_t i = 0; i < tn_gguf_num_tensors(gguf); i++) {
        const tn_gguf_tensor *tensor = tn_gguf_tensor_at(gguf, i);
        assert_ptr_equal(tn_gguf_find_tensor(gguf, tensor->name), tensor);
        uint8_t last;
        assert_ok(*state, tn_gguf_read(gguf, tensor, tensor->size_bytes - 1, &last, 1, *state));
        assert_int_equal(tn_gguf_data(gguf, tensor)[tensor->size_bytes - 1], last);
    }
    tn_gguf_close(gguf);
}

/* SplitMix64. */
static uint64_t next_random(uint64_t *seed) {
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Half of the offsets fall into the header, which is 2 % of the file. The header's bytes are copied to a block of exactly
 * their size, so that a sanitizer sees a read beyond; in the data section, the mapping is enough. */
static void truncation_at_500_offsets_is_refused(void **state) {
    tn_file file;
    assert_ok(*state, tn_file_open(model_path, NULL, *state, &file));
    assert_ok(*state, tn_file_map(&file, *state));
    uint64_t seed = 20250101;
    const size_t header_size = 1 << 21;
    assert_true(file.size_bytes > header_size);
    for (int i = 0; i < 500; i++) {
        size_t size = next_random(&seed) % (i % 2 == 0 ? header_size : file.size_bytes);
        void *copy = size <= header_size ? tn_copy_bytes(NULL, file.data, size) : NULL;
        tn_gguf *gguf;
        tn_status status = tn_gguf_open_memory("m.gguf", copy != NULL ? copy : file.data, size, NULL, *state, &gguf);
        assert_null(gguf);
        assert_failed(*state, status, TN_INVALID_DATA, "cannot read m.gguf: ");
        tn_free(NULL, copy);
    }
    tn_file_close(&file);
}

int main(void) {
    const char *from_environment = getenv("TENON_SMOLLM2");
    if (from_environment != NULL) {
        model_path = tn_copy_string(NULL, from_environment);
    } else {
        char *folder = NULL;
        if (tn_cache_directory(NULL, NULL, &folder) == TN_OK)
            model_path = tn_path_join(NULL, folder, "models/SmolLM2-135M-Instruct.Q4_1.gguf");
        tn_free(NULL, folder);
    }
    if (model_path == NULL || !tn_path_exists(model_path)) {
        printf("SKIPPED: no SmolLM2 model at %s; `make demo` fetches it, or set TENON_SMOLLM2 to its path\n",
               model_path != NULL ? model_path : "the cache folder");
        tn_free(NULL, model_path);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        TEST(all_tensors_and_keys_are_read),
        TEST(truncation_at_500_offsets_is_refused),
    };
    int result = cmocka_run_group_tests_name("gguf_smollm2", tests, NULL, NULL);
    tn_free(NULL, model_path);
    return result;
}
