/* SPDX-License-Identifier: Apache-2.0
 *
 * load_gguf_fuzz.c: any bytes as a GGUF file that holds a tokenizer; what loads is used.
 * covers: load_gguf.c gguf_patterns.c word_piece.c
 */
#include "tokenizer/fuzz_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_spec spec;
    tn_spec_init(&spec, NULL, diag);
    tn_gguf *gguf = NULL;
    tn_status status = tn_gguf_open_memory("fuzz.gguf", data, size, NULL, diag, &gguf);
    if (status == TN_OK) status = tn_spec_read_gguf(&spec, gguf);
    tn_gguf_close(gguf);
    use_spec(&spec, status, diag);
    return 0;
}
