/* SPDX-License-Identifier: Apache-2.0
 *
 * load_gguf_fuzz.c: any bytes as a GGUF file that holds a tokenizer; what loads is used.
 * covers: load_gguf.c gguf_patterns.c word_piece.c
 */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_gguf *gguf = NULL;
    tn_spec spec;
    tn_tokenizer *t = NULL;
    tn_spec_init(&spec, NULL, diag);
    tn_status status = tn_gguf_open_memory("fuzz.gguf", data, size, NULL, diag, &gguf);
    if (status == TN_OK) status = tn_spec_read_gguf(&spec, gguf);
    if (status == TN_OK) status = tn_tokenizer_create_from_spec(&spec, &t);
    tn_spec_deinit(&spec);
    tn_gguf_close(gguf);
    if (status == TN_OK) {
        static const char text[] = "ab  c <s> 12 \xC3\xA9\n\n\xFF\xE4\xB8\xAD.";
        tn_encode_options encode = {.struct_size = sizeof encode, .diag = diag, .add_special = true, .parse_special = true};
        int32_t *ids;
        size_t count, text_size;
        if (tn_tokenizer_encode(t, text, sizeof text - 1, &encode, &ids, &count) == TN_OK) {
            char *decoded;
            if (tn_tokenizer_decode(t, ids, count, true, diag, &decoded, &text_size) == TN_OK && !tn_utf8_is_valid(decoded, text_size))
                abort();
            tn_tokenizer_free(t, decoded);
        }
        tn_tokenizer_free(t, ids);
        tn_tokenizer_destroy(t);
    }
    tn_diag_destroy(diag);
    return 0;
}
