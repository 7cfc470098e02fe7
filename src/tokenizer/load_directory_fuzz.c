/* SPDX-License-Identifier: Apache-2.0
 *
 * load_directory_fuzz.c: what stands beside a small tokenizer: tokenizer_config.json up to the first NUL, then special_tokens_map.json,
 * generation_config.json, config.json and chat_template.jinja in the same way.
 * covers: load_directory.c
 */
#include "base/fuzz_testing.h"
#include "tokenizer/fuzz_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char tokenizer[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true},{\"id\":1,\"content\":\"</s>\",\"special\":true}],"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<s>\":0,\"</s>\":1,\"a\":2,\"b\":3,\"ab\":4},\"merges\":[\"a b\"]}}";
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json",
                                        "chat_template.jinja"};
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    (void)fuzz_write("tokenizer.json", tokenizer, sizeof tokenizer - 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
        size_t count = end != NULL ? (size_t)(end - data) : size;
        if (count > 0)
            (void)fuzz_write(names[i], data, count);
        else
            unlink(fuzz_path(names[i]));
        data += count + (end != NULL), size -= count + (end != NULL);
    }
    tn_spec spec;
    tn_spec_init(&spec, NULL, diag);
    use_spec(&spec, tn_spec_read_directory(&spec, fuzz_folder), diag);
    return 0;
}
