/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin_library.c: a library of plugins for tests: the classes of plugin_classes.h in the namespace "library". It links against
 * nothing of Tenon.
 */
#include "support/plugin_classes.h"

static const tn_plugin_class affine_class = AFFINE_CLASS("library");
static const tn_plugin_class tile_class = TILE_CLASS;
static const tn_plugin_class *const classes[] = {&affine_class, &tile_class};

__attribute__((visibility("default"))) const tn_plugin_class *const *tn_plugin_library(uint32_t abi, uint32_t *out_num_classes);
const tn_plugin_class *const *tn_plugin_library(uint32_t abi, uint32_t *out_num_classes) {
    *out_num_classes = abi == TN_PLUGIN_ABI ? 2 : 0;
    return abi == TN_PLUGIN_ABI ? classes : NULL;
}
