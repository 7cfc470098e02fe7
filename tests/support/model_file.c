/* SPDX-License-Identifier: Apache-2.0
 *
 * model_file.c: see model_file.h.
 */
#include "support/model_file.h"

#include <stdio.h>

#include "base/file.h"
#include "base/memory.h"

const char tn_test_no_model[] = "skipped: SmolLM2 is not in the cache folder; scripts/fetch_model.sh fetches it (needs a network)\n";

const char *tn_test_smollm2_path(char *path, size_t size_bytes) {
    char *cache;
    if (tn_cache_directory(NULL, NULL, &cache) != TN_OK) return NULL;
    int length = snprintf(path, size_bytes, "%s/models/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
    tn_free(NULL, cache);
    return length > 0 && (size_t)length < size_bytes && tn_path_exists(path) ? path : NULL;
}
