/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_testing.h: what the fuzz targets of the loaders share.
 */
#ifndef TN_TOKENIZER_FUZZ_TESTING_H_
#define TN_TOKENIZER_FUZZ_TESTING_H_

#include <stdlib.h>

#include "tokenizer/tokenizer_internal.h"

/* Makes the tokenizer of a spec that was read with `status`, encodes some text with it and decodes that. Ends spec and diag. */
static inline void use_spec(tn_spec *spec, tn_status status, tn_diag *diag) {
    static const char text[] = "ab  c <s> 12 \xC3\xA9\n\n\xFF\xE3\x80\x80 \xE2\x96\x81\xE4\xB8\xAD.";
    tn_tokenizer *t = NULL;
    if (status == TN_OK) status = tn_tokenizer_create_from_spec(spec, &t);
    tn_spec_deinit(spec);
    if (status == TN_OK) {
        tn_encode_options encode = {.struct_size = sizeof encode, .diag = diag, .add_special = true, .parse_special = true};
        int32_t *ids;
        size_t count, size;
        char *decoded = NULL;
        status = tn_tokenizer_encode(t, text, sizeof text - 1, &encode, &ids, &count);
        if (status == TN_OK) status = tn_tokenizer_decode(t, ids, count, true, diag, &decoded, &size);
        if (status == TN_OK && !tn_utf8_is_valid(decoded, size)) abort();
        tn_tokenizer_free(t, decoded);
        tn_tokenizer_free(t, ids);
        tn_tokenizer_destroy(t);
    }
    tn_diag_destroy(diag);
}

#endif
