/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.c: classes of plugins by name, and libraries of them.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/report.h"
#include "plugin/plugin.h"

struct tn_plugin_registry {
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* NULL: malloc */
    tn_diag *diag;
    TN_ARRAY(const tn_plugin_class *) classes;
    TN_ARRAY(void *) libraries;
};

void tn_plugin_registry_options_init(tn_plugin_registry_options *options) {
    *options = (tn_plugin_registry_options){.struct_size = sizeof *options};
}

tn_status tn_plugin_registry_create(const tn_plugin_registry_options *options, tn_plugin_registry **out_registry) {
    tn_plugin_registry_options defaults;
    *out_registry = NULL;
    tn_plugin_registry_options_init(&defaults);
    if (options == NULL) options = &defaults;
    if (options->struct_size != sizeof *options)
        return tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot create a plugin registry: its options were not made by their init function");
    tn_plugin_registry *registry = tn_alloc_zero(options->allocator, sizeof *registry);
    if (registry == NULL) return tn_fail_memory(options->diag, "a plugin registry", sizeof *registry);
    if (options->allocator != NULL) {
        registry->allocator_copy = *options->allocator;
        registry->allocator = &registry->allocator_copy;
    }
    registry->diag = options->diag;
    *out_registry = registry;
    return TN_OK;
}

void tn_plugin_registry_destroy(tn_plugin_registry *registry) {
    if (registry == NULL) return;
    tn_allocator copy = registry->allocator_copy;
    const tn_allocator *allocator = registry->allocator != NULL ? &copy : NULL;
    for (size_t i = 0; i < registry->libraries.count; i++) (void)dlclose(registry->libraries.data[i]);
    tn_array_deinit(allocator, &registry->libraries);
    tn_array_deinit(allocator, &registry->classes);
    tn_free(allocator, registry);
}

tn_diag *tn_plugin_registry_diag(const tn_plugin_registry *registry) {
    return registry->diag;
}
const tn_allocator *tn_plugin_registry_allocator(const tn_plugin_registry *registry) {
    return registry->allocator;
}

/* --- classes ---------------------------------------------------------------------------------------------------------------- */

bool tn_plugin_make_id(const tn_plugin_class *plugin_class, tn_label *out_id) {
    char id[TN_MAX_LABEL_BYTES];
    int length = snprintf(id, sizeof id, "%s::%s::%s", plugin_class->name_space, plugin_class->type, plugin_class->version);
    return length > 0 && (size_t)length < sizeof id && tn_label_set(out_id, id, (size_t)length);
}

static const char *why_incomplete(const tn_plugin_class *c) {
    tn_label id;
    if (c == NULL) return "it is missing";
    if (c->struct_size != sizeof *c || c->abi != TN_PLUGIN_ABI) return "it was made for another abi";
    if (c->name_space == NULL || c->type == NULL || c->version == NULL || c->type[0] == '\0' || c->version[0] == '\0')
        return "it has no type or version";
    if (strstr(c->name_space, "::") != NULL || strstr(c->type, "::") != NULL || strstr(c->version, "::") != NULL ||
        !tn_plugin_make_id(c, &id))
        return "its names are longer than 120 bytes or hold quotes, backslashes or '::'";
    if (c->infer_shapes == NULL || c->run == NULL) return "it has no infer_shapes or no run";
    if ((c->serialize == NULL) != (c->deserialize == NULL)) return "it has only one of serialize and deserialize";
    if (c->create != NULL && c->serialize == NULL) return "its plugins have a state (create) but no serialize";
    if (c->create == NULL && c->num_fields > 0) return "it has fields but no create";
    if (c->num_outputs < 1 || c->num_outputs > TN_PLUGIN_MAX_OUTPUTS) return "it must have 1 to 4 outputs";
    if (c->min_inputs > c->max_inputs || c->max_inputs > TN_PLUGIN_MAX_TENSORS)
        return "it must have min_inputs to max_inputs inputs, at most 32";
    if (c->fields == NULL && c->num_fields > 0) return "its fields are missing";
    for (uint32_t i = 0; i < c->num_fields; i++) {
        if (c->fields[i].name == NULL || c->fields[i].name[0] == '\0') return "one of its fields has no name";
        if (c->fields[i].type == TN_PARAMETER_ENUM || c->fields[i].type == TN_PARAMETER_DTYPE)
            return "fields are bools, ints, reals, dims and texts";
    }
    return NULL;
}

tn_status tn_plugin_registry_add(tn_plugin_registry *registry, const tn_plugin_class *plugin_class) {
    if (registry == NULL) return tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot add a plugin class: the registry is missing");
    const char *reason = why_incomplete(plugin_class);
    const char *type =
        plugin_class != NULL && plugin_class->struct_size == sizeof *plugin_class && plugin_class->type != NULL ? plugin_class->type : "";
    if (reason == NULL && tn_plugin_registry_find(registry, plugin_class->name_space, type, plugin_class->version) != NULL)
        reason = "there is a class of that namespace, type and version already";
    if (reason != NULL) return tn_fail(registry->diag, TN_INVALID_ARGUMENT, "cannot add plugin class '%s': %s", type, reason);
    return tn_array_push(registry->allocator, &registry->classes, plugin_class)
               ? TN_OK
               : tn_fail_memory(registry->diag, "a plugin registry", sizeof plugin_class);
}

int tn_plugin_registry_num_classes(const tn_plugin_registry *registry) {
    return registry != NULL ? (int)registry->classes.count : 0;
}

const tn_plugin_class *tn_plugin_registry_class(const tn_plugin_registry *registry, int index) {
    return registry != NULL && index >= 0 && (size_t)index < registry->classes.count ? registry->classes.data[index] : NULL;
}

const tn_plugin_class *tn_plugin_registry_find(const tn_plugin_registry *registry, const char *name_space, const char *type,
                                               const char *version) {
    if (registry == NULL || name_space == NULL || type == NULL) return NULL;
    for (size_t i = registry->classes.count; i-- > 0;) {
        const tn_plugin_class *c = registry->classes.data[i];
        if (strcmp(c->name_space, name_space) == 0 && strcmp(c->type, type) == 0 && (version == NULL || strcmp(c->version, version) == 0))
            return c;
    }
    return NULL;
}

const tn_plugin_class *tn_plugin_registry_find_id(const tn_plugin_registry *registry, const char *id) {
    tn_label name;
    for (size_t i = 0; registry != NULL && i < registry->classes.count; i++)
        if (tn_plugin_make_id(registry->classes.data[i], &name) && strcmp(name.text, id) == 0) return registry->classes.data[i];
    return NULL;
}

/* --- libraries --------------------------------------------------------------------------------------------------------------- */

static tn_status fail_library(const tn_plugin_registry *registry, tn_status status, const char *path, const char *reason) {
    return tn_fail_at(registry->diag, status, &(tn_where){.file = path}, "cannot load plugins from %s: %s", path, reason);
}

static tn_status add_all(tn_plugin_registry *registry, const char *path, void *library) {
    union {
        void *object;
        tn_plugin_library_function function;
    } symbol = {.object = dlsym(library, TN_PLUGIN_LIBRARY_FUNCTION)}; /* POSIX: an object pointer is a function pointer too */
    uint32_t num_classes = 0;
    if (symbol.object == NULL) return fail_library(registry, TN_INVALID_DATA, path, "it has no function " TN_PLUGIN_LIBRARY_FUNCTION);
    const tn_plugin_class *const *classes = symbol.function(TN_PLUGIN_ABI, &num_classes);
    if (classes == NULL || num_classes == 0) return fail_library(registry, TN_INVALID_DATA, path, "it has no plugins for this version");
    size_t count = registry->classes.count;
    for (uint32_t i = 0; i < num_classes; i++) {
        tn_status status = tn_plugin_registry_add(registry, classes[i]);
        if (status == TN_OK) continue;
        registry->classes.count = count;
        return status;
    }
    return TN_OK;
}

tn_status tn_plugin_registry_load_library(tn_plugin_registry *registry, const char *path) {
    if (registry == NULL || path == NULL)
        return tn_fail(registry != NULL ? registry->diag : NULL, TN_INVALID_ARGUMENT,
                       "cannot load plugins: the registry or the path is missing");
    if (strchr(path, '/') == NULL)
        return tn_fail_at(registry->diag, TN_INVALID_ARGUMENT,
                          &(tn_where){.file = path, .hint = "write ./ before the name of a file in this folder"},
                          "cannot load plugins from %s: a path with a slash is needed, libraries are not searched for", path);
    if (access(path, R_OK) != 0) return fail_library(registry, TN_NOT_FOUND, path, "there is no such file, or it cannot be read");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        return fail_library(registry, TN_INVALID_DATA, path, reason != NULL ? reason : "it is no library");
    }
    tn_status status = add_all(registry, path, library);
    if (status == TN_OK && !tn_array_push(registry->allocator, &registry->libraries, library))
        status = tn_fail_memory(registry->diag, "a plugin registry", sizeof library);
    if (status != TN_OK) (void)dlclose(library);
    return status;
}
