/* SPDX-License-Identifier: Apache-2.0
 *
 * model_file.h: where the real model of the tests lies.
 */
#ifndef TN_TESTS_SUPPORT_MODEL_FILE_H_
#define TN_TESTS_SUPPORT_MODEL_FILE_H_

#include <stddef.h>

/* The path of the SmolLM2 GGUF that scripts/fetch_model.sh keeps in the cache folder, in `path`; NULL if it is not there. A
 * test program then prints tn_test_no_model and returns 77: `make test` fetches the model before, so that only a machine
 * without a network skips. */
const char *tn_test_smollm2_path(char *path, size_t size_bytes);
extern const char tn_test_no_model[];

#endif
