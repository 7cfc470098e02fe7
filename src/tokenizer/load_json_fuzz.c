/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_fuzz.c: any bytes as tokenizer.json; what loads is used.
 * covers: load_json.c load_json_parts.c regex_translate.c normalizer.c pre_tokenizer.c decode.c
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
    if (tn_tokenizer_load_json((const char *)data, size, &options, &t) == TN_OK) {
        static const char text[] = "ab c <s> 12 \xC3\xA9\n";
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
        tn_tokenizer_destroy(t);
    }
    tn_diag_destroy(diag);
    return 0;
}
