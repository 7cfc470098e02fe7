/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin.h: plugins as network and runtime see them. A plugin is counted: network layers and steps of engines hold one each.
 */
#ifndef TN_PLUGIN_PLUGIN_H_
#define TN_PLUGIN_PLUGIN_H_

#include "base/arena.h"
#include "op/problem.h"
#include "tenon/plugin.h"

enum { TN_PLUGIN_MAX_OUTPUTS = 4 };

tn_plugin *tn_plugin_retain(tn_plugin *plugin);

/* "<namespace>::<type>::<version>": what problems and plans store. */
const char *tn_plugin_id(const tn_plugin *plugin);

/* The message of a failed call: "plugin '<id>' <verb>: <its words>". */
TN_MUST_CHECK tn_status tn_plugin_infer(const tn_plugin *plugin, tn_symbols *symbols, const tn_plugin_shape *inputs, uint32_t num_inputs,
                                        tn_plugin_shape *outputs, char *reason, size_t reason_size);
/* The bytes of its state in `arena`; *out_size 0: it has none. */
TN_MUST_CHECK tn_status tn_plugin_save(const tn_plugin *plugin, tn_arena *arena, tn_diag *diag, const void **out_bytes, size_t *out_size);
/* From a plan. TN_NOT_FOUND, without a report, if the registry (or NULL) does not have the class. */
TN_MUST_CHECK tn_status tn_plugin_restore(tn_plugin_registry *registry, const char *id, const void *bytes, size_t size_bytes,
                                          const tn_allocator *allocator, tn_diag *diag, tn_plugin **out_plugin);
/* The problem of a PLUGIN layer on host memory. `what` names the step for messages. */
TN_MUST_CHECK tn_status tn_plugin_run(const tn_plugin *plugin, const tn_problem *problem, void *const *buffers, const int64_t *values,
                                      const char *what, const tn_allocator *allocator, tn_diag *diag);

/* registry.c */
const tn_plugin_class *tn_plugin_registry_find_id(const tn_plugin_registry *registry, const char *id);
tn_diag *tn_plugin_registry_diag(const tn_plugin_registry *registry);
const tn_allocator *tn_plugin_registry_allocator(const tn_plugin_registry *registry); /* NULL: malloc */
bool tn_plugin_make_id(const tn_plugin_class *plugin_class, tn_label *out_id);

#endif
