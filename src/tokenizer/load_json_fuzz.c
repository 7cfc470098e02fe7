/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_fuzz.c: any bytes as tokenizer.json; what loads is used.
 * covers: load_json.c load_json_model.c load_json_parts.c load_json_decoder.c regex_translate.c pre_tokenizer.c decoder.c
 */
#include "tokenizer/fuzz_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_spec spec;
    tn_spec_init(&spec, NULL, diag);
    use_spec(&spec, tn_spec_read_json(&spec, "tokenizer.json", (const char *)data, size), diag);
    return 0;
}
