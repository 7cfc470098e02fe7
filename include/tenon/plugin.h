/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/plugin.h: layers of the caller's own: a class of plugins, registered in process or from a library that is named.
 *
 * A class derives the shapes of its outputs, runs on host memory, and turns itself into bytes and back, so that a plan carries it.
 * A plan holds names and bytes, never code: whoever loads it gives a registry that has the class (tn_engine_options.plugins), or is
 * refused by the plugin's name. Nothing is searched for.
 *
 *     static tn_status infer(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
 *                            tn_plugin_shape *outputs) {
 *         outputs[0] = inputs[0];                                     // y has x's type and shape
 *         return TN_OK;
 *     }
 *     static tn_status run(const tn_plugin_call *call, const void *self, const tn_plugin_tensor *inputs, uint32_t num_inputs,
 *                          const tn_plugin_tensor *outputs, void *workspace) { … }
 *     static const tn_plugin_class half = {.struct_size = sizeof half, .abi = TN_PLUGIN_ABI, .name_space = "mine", .type = "Half",
 *                                          .version = "1", .min_inputs = 1, .max_inputs = 1, .num_outputs = 1,
 *                                          .infer_shapes = infer, .run = run};
 *     tn_plugin_registry *registry;    tn_plugin_registry_create(NULL, &registry);
 *     tn_plugin_registry_add(registry, &half);                        // or tn_plugin_registry_load_library(registry, "./half.so")
 *     tn_plugin *plugin;               tn_plugin_create(registry, "mine", "Half", NULL, NULL, 0, &plugin);
 *     tn_layer *layer = tn_network_add_plugin(network, &x, 1, NULL, 0, plugin);
 *     tn_plugin_destroy(plugin);                                      // the network keeps what it needs
 *
 * Errors   A callback that returns another status than TN_OK fails what called it, with the message that it gave by set_error. It
 *          must not longjmp or exit.
 * Threads  run may be called from many contexts at once and must not change `self`. The rest is called from one thread.
 * Owners   Registry outlives plugins, networks and engines made with it; classes outlive the registry, those of a library with it.
 */
#ifndef TENON_PLUGIN_H_
#define TENON_PLUGIN_H_

#include <stdbool.h>
#include <stddef.h>

#include "tenon/allocator.h"
#include "tenon/diag.h"
#include "tenon/parameter.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_network tn_network; /* tenon/network.h */
typedef struct tn_tensor tn_tensor;
typedef struct tn_layer tn_layer;

#define TN_PLUGIN_ABI         1u
#define TN_PLUGIN_MAX_TENSORS 32 /* inputs and shape inputs */

/* --- what a class is given ------------------------------------------------------------------------------------------------- */

/* A dimension while a network is defined: a number, or an expression of what is known at run time. */
typedef uint32_t tn_plugin_dim;
typedef enum tn_plugin_dim_op {
    TN_PLUGIN_DIM_ADD = 0,
    TN_PLUGIN_DIM_SUB,
    TN_PLUGIN_DIM_MUL,
    TN_PLUGIN_DIM_FLOOR_DIV,
    TN_PLUGIN_DIM_CEIL_DIV,
    TN_PLUGIN_DIM_MIN,
    TN_PLUGIN_DIM_MAX,
} tn_plugin_dim_op;

/* Tenon's side of a call; functions in a struct, so that a library links against nothing. Valid during the call. */
typedef struct tn_plugin_call {
    size_t struct_size;
    void (*set_error)(const struct tn_plugin_call *call, const char *message); /* copied; what went wrong, with values */
    /* In infer_shapes only. */
    tn_plugin_dim (*make_dim)(const struct tn_plugin_call *call, int64_t value);
    tn_plugin_dim (*compute_dim)(const struct tn_plugin_call *call, tn_plugin_dim_op op, tn_plugin_dim a, tn_plugin_dim b);
    bool (*get_dim)(const struct tn_plugin_call *call, tn_plugin_dim dim, int64_t *out_value); /* false: known at run time only */
} tn_plugin_call;

typedef struct tn_plugin_shape {
    tn_dtype dtype;
    int32_t rank;
    tn_plugin_dim dims[TN_MAX_RANK];
    const tn_plugin_dim *values; /* of a shape input: its elements; NULL else */
    int32_t num_values;
} tn_plugin_shape;

/* Row-major, packed, in host memory on every device. */
typedef struct tn_plugin_tensor {
    tn_dtype dtype;
    tn_dims dims;
    void *data;
} tn_plugin_tensor;

typedef struct tn_plugin_field_info {
    const char *name;
    tn_parameter_type type; /* bool, int, real, dims or text */
    bool is_required;
} tn_plugin_field_info;

typedef struct tn_plugin_class {
    size_t struct_size;                      /* sizeof(tn_plugin_class) */
    uint32_t abi;                            /* TN_PLUGIN_ABI */
    const char *name_space, *type, *version; /* name_space may be ""; together at most 120 bytes, without quotes and backslashes */
    const tn_plugin_field_info *fields;
    uint32_t num_fields;
    uint32_t min_inputs, max_inputs, num_outputs; /* inputs and shape inputs together; 1 to 4 outputs */
    void *user;
    /* Optional: without it an instance is NULL and there are no fields. Fields were checked against `fields`. */
    tn_status (*create)(const tn_plugin_call *call, void *user, const tn_parameter *fields, uint32_t num_fields, void **out_self);
    void (*destroy)(void *self); /* optional */
    /* Types and shapes of num_outputs outputs, or an error that says why these inputs cannot be. */
    tn_status (*infer_shapes)(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                              tn_plugin_shape *outputs);
    size_t (*workspace_size)(const void *self, const tn_plugin_tensor *inputs, uint32_t num_inputs); /* optional: 0 */
    tn_status (*run)(const tn_plugin_call *call, const void *self, const tn_plugin_tensor *inputs, uint32_t num_inputs,
                     const tn_plugin_tensor *outputs, void *workspace);
    /* Both or none. Called with capacity 0 first: *out_size says what is needed. */
    tn_status (*serialize)(const tn_plugin_call *call, const void *self, void *buffer, size_t capacity, size_t *out_size);
    tn_status (*deserialize)(const tn_plugin_call *call, void *user, const void *data, size_t size_bytes, void **out_self);
} tn_plugin_class;

/* The one function that a library exports, by this name: its classes. NULL: none for this abi. */
typedef const tn_plugin_class *const *(*tn_plugin_library_function)(uint32_t abi, uint32_t *out_num_classes);
#define TN_PLUGIN_LIBRARY_FUNCTION "tn_plugin_library"

/* --- registry ---------------------------------------------------------------------------------------------------------------- */

typedef struct tn_plugin_registry tn_plugin_registry;
typedef struct tn_plugin_registry_options {
    size_t struct_size;            /* set by tn_plugin_registry_options_init */
    tn_diag *diag;                 /* borrowed until destroy; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
} tn_plugin_registry_options;
TN_API void tn_plugin_registry_options_init(tn_plugin_registry_options *options);
TN_API TN_MUST_CHECK tn_status tn_plugin_registry_create(const tn_plugin_registry_options *options, tn_plugin_registry **out_registry);
TN_API void tn_plugin_registry_destroy(tn_plugin_registry *registry); /* closes libraries; accepts NULL */
/* The class is borrowed. TN_INVALID_ARGUMENT: incomplete, or there is one of these names already. */
TN_API TN_MUST_CHECK tn_status tn_plugin_registry_add(tn_plugin_registry *registry, const tn_plugin_class *plugin_class);
/* Loads the library and runs its code: name only what you trust. A path with a slash: nothing is searched for.
 * TN_NOT_FOUND: no such file; TN_INVALID_DATA: no library of plugins, or one of another abi. */
TN_API TN_MUST_CHECK tn_status tn_plugin_registry_load_library(tn_plugin_registry *registry, const char *path);
TN_API int tn_plugin_registry_num_classes(const tn_plugin_registry *registry);
TN_API const tn_plugin_class *tn_plugin_registry_class(const tn_plugin_registry *registry, int index); /* NULL out of range */
/* version NULL: the one added last. */
TN_API const tn_plugin_class *tn_plugin_registry_find(const tn_plugin_registry *registry, const char *name_space, const char *type,
                                                      const char *version);

/* --- plugins ------------------------------------------------------------------------------------------------------------------ */

typedef struct tn_plugin tn_plugin;
/* TN_NOT_FOUND: no such class; TN_INVALID_ARGUMENT: a field is unknown, of another type or missing, or the class refuses. */
TN_API TN_MUST_CHECK tn_status tn_plugin_create(tn_plugin_registry *registry, const char *name_space, const char *type, const char *version,
                                                const tn_parameter *fields, uint32_t num_fields, tn_plugin **out_plugin);
TN_API void tn_plugin_destroy(tn_plugin *plugin); /* networks keep it alive; accepts NULL */
TN_API const tn_plugin_class *tn_plugin_get_class(const tn_plugin *plugin);
TN_API const void *tn_plugin_self(const tn_plugin *plugin); /* what create made */

/* Shape inputs follow the inputs: small integer tensors whose elements the class sees when shapes are derived. The layer's kind is
 * "plugin", its parameter "plugin" "<namespace>::<type>::<version>". It runs on the host; copies stand around it where needed. */
TN_API tn_layer *tn_network_add_plugin(tn_network *network, tn_tensor *const *inputs, int num_inputs, tn_tensor *const *shape_inputs,
                                       int num_shape_inputs, tn_plugin *plugin);
TN_API tn_plugin *tn_layer_plugin(const tn_layer *layer); /* NULL: no plugin layer */

#ifdef __cplusplus
}
#endif
#endif
