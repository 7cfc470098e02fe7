/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_text_fuzz.c: any text as a recipe: refused, or printed as a recipe that reads back as the same one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "weights/recipe_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 4096) return 0;
    char *text = tn_copy_bytes(NULL, data, size);
    tn_diag *diag = NULL;
    if (text == NULL || tn_diag_create(NULL, &diag) != TN_OK) abort();
    tn_arena arena = {0};
    const tn_weights *weights, *again;
    if (tn_weights_parse(text, NULL, &arena, diag, &weights) == TN_OK) {
        tn_text printed = {0};
        if (tn_weights_print(weights, &printed)) {
            if (tn_weights_parse(printed.data, NULL, &arena, diag, &again) != TN_OK || !tn_weights_equal(weights, again) ||
                tn_weights_hash(weights) != tn_weights_hash(again))
                abort();
        }
        tn_text_deinit(&printed);
    }
    tn_arena_deinit(&arena);
    tn_diag_destroy(diag);
    tn_free(NULL, text);
    return 0;
}
