/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin_wrong_library.c: a library that has classes for no version.
 */
#include "tenon/plugin.h"

__attribute__((visibility("default"))) const tn_plugin_class *const *tn_plugin_library(uint32_t abi, uint32_t *out_num_classes);
const tn_plugin_class *const *tn_plugin_library(uint32_t abi, uint32_t *out_num_classes) {
    (void)abi;
    *out_num_classes = 0;
    return NULL;
}
