/* SPDX-License-Identifier: Apache-2.0
 *
 * load_sentencepiece_fuzz.c: any bytes as a sentencepiece model; what loads is used.
 * covers: load_sentencepiece.c scored_merges.c charsmap.c unigram.c
 */
#include "tokenizer/fuzz_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_spec spec;
    tn_spec_init(&spec, NULL, diag);
    use_spec(&spec, tn_spec_read_sentencepiece(&spec, "fuzz.model", data, size), diag);
    return 0;
}
