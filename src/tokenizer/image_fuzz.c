/* SPDX-License-Identifier: Apache-2.0
 *
 * image_fuzz.c: any bytes as a compiled form, its checksum not looked at; what opens is used.
 * covers: image_open.c
 */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    tn_tokenizer *t;
    /* The size stands in the header, so a mutation that changes it would end there: it is set right. */
    uint64_t size_bytes = size;
    char *copy = malloc(size ? size : 1);
    if (copy) memcpy(copy, data, size);
    if (copy && size >= sizeof(tn_image_header)) memcpy(copy + offsetof(tn_image_header, size_bytes), &size_bytes, sizeof size_bytes);
    if (copy && tn_tokenizer_open_unsealed(copy, size, &options, &t) == TN_OK) {
        static const char text[] = "abc <s> <pad> a1b 9 \xC3\xA9";
        tn_encode_options encode = {.struct_size = sizeof encode, .diag = diag, .add_special = true, .parse_special = true};
        int32_t *ids;
        size_t count, text_size;
        if (tn_tokenizer_encode(t, text, sizeof text - 1, &encode, &ids, &count) == TN_OK) {
            char *decoded;
            if (tn_tokenizer_decode(t, ids, count, false, diag, &decoded, &text_size) == TN_OK && !tn_utf8_is_valid(decoded, text_size))
                abort();
            tn_tokenizer_free(t, decoded);
        }
        tn_tokenizer_free(t, ids);
        (void)tn_tokenizer_piece(t, 0, &text_size);
        tn_tokenizer_destroy(t);
    }
    free(copy);
    tn_diag_destroy(diag);
    return 0;
}
