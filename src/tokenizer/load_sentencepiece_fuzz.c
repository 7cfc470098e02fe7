/* SPDX-License-Identifier: Apache-2.0
 *
 * load_sentencepiece_fuzz.c: any bytes as a sentencepiece model; what loads is used.
 * covers: load_sentencepiece.c scored_merges.c charsmap.c unigram.c decoder.c
 */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_spec spec;
    tn_tokenizer *t = NULL;
    tn_spec_init(&spec, NULL, diag);
    tn_status status = tn_spec_read_sentencepiece(&spec, "fuzz.model", data, size);
    if (status == TN_OK) status = tn_tokenizer_create_from_spec(&spec, &t);
    tn_spec_deinit(&spec);
    if (status == TN_OK) {
        static const char text[] = "ab  c <s> 12 \xC3\xA9\n\xFF\xE3\x80\x80 \xE2\x96\x81";
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
