/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c: the setters of tn_builder_config and tn_profile. What they cannot keep is remembered and fails the build.
 */
#include <inttypes.h>
#include <string.h>

#include "builder/builder_internal.h"

tn_status tn_builder_config_create(tn_builder *builder, tn_builder_config **out_config) {
    *out_config = NULL;
    if (builder == NULL) return tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot create a builder configuration: the builder is missing");
    tn_builder_config *config = tn_alloc_zero(builder->allocator, sizeof *config);
    if (config == NULL) return tn_fail_memory(builder->diag, "a builder configuration", sizeof *config);
    config->builder = builder;
    config->allocator = builder->allocator;
    config->optimization_level = 1;
    config->timing_budget_ms = 1000;
    config->refit = true;
    config->batch_invariant = builder->device->backend->batch_invariant_by_default;
    *out_config = config;
    return TN_OK;
}

static void destroy_profile(tn_profile *profile, const tn_allocator *allocator) {
    for (size_t i = 0; i < profile->entries.count; i++) {
        tn_free(allocator, profile->entries.data[i].name);
        tn_free(allocator, profile->entries.data[i].values);
    }
    tn_array_deinit(allocator, &profile->entries);
    tn_free(allocator, profile);
}

void tn_builder_config_destroy(tn_builder_config *config) {
    if (config == NULL) return;
    const tn_allocator *allocator = config->allocator;
    for (size_t i = 0; i < config->profiles.count; i++) destroy_profile(config->profiles.data[i], allocator);
    tn_array_deinit(allocator, &config->profiles);
    tn_free(allocator, config->model_info);
    tn_free(allocator, config->output_path);
    tn_free(allocator, config);
}

enum { MAX_VALUES = 64 }; /* elements of an input that shapes depend on: network/host_values.c allows no more */

/* --- profiles -------------------------------------------------------------------------------------------------------------- */

tn_profile *tn_builder_config_add_profile(tn_builder_config *config) {
    if (config == NULL) return NULL;
    tn_profile *profile = tn_alloc_zero(config->allocator, sizeof *profile);
    if (profile != NULL) {
        profile->config = config;
        if (tn_array_push(config->allocator, &config->profiles, profile)) return profile;
        tn_free(config->allocator, profile);
    }
    config->out_of_memory = true;
    return NULL;
}

static void set_entry(tn_profile *profile, const tn_profile_entry *entry, const char *name) {
    const tn_allocator *allocator = profile->config->allocator;
    for (size_t i = 0; i < profile->entries.count; i++) {
        tn_profile_entry *old = &profile->entries.data[i];
        if (old->is_dim != entry->is_dim || (old->values == NULL) != (entry->values == NULL) || strcmp(old->name, name) != 0) continue;
        char *kept = old->name;
        tn_free(allocator, old->values);
        *old = *entry;
        old->name = kept;
        return;
    }
    tn_profile_entry added = *entry;
    added.name = tn_copy_string(allocator, name);
    if (added.name != NULL && tn_array_push(allocator, &profile->entries, added)) return;
    tn_free(allocator, added.name);
    tn_free(allocator, added.values);
    profile->config->out_of_memory = true;
}

static void refuse(tn_builder_config *config, const char *what, const char *reason) {
    config->invalid = true;
    (void)tn_fail(config->builder->diag, TN_INVALID_ARGUMENT, "cannot set %s: %s", what, reason);
}

static bool rank_is_valid(const tn_dims *dims) {
    return dims->rank >= 0 && dims->rank <= TN_MAX_RANK;
}

void tn_profile_set_dims(tn_profile *profile, const char *input, tn_dims min, tn_dims opt, tn_dims max) {
    if (profile == NULL) return;
    if (input == NULL || !rank_is_valid(&min) || min.rank != opt.rank || opt.rank != max.rank) {
        refuse(profile->config, "the dimensions of a profile", input == NULL ? "no input is named" : "the three ranks differ");
        return;
    }
    set_entry(profile, &(tn_profile_entry){.min = min, .opt = opt, .max = max}, input);
}

void tn_profile_set_values(tn_profile *profile, const char *input, const int64_t *min, const int64_t *opt, const int64_t *max,
                           int num_values) {
    if (profile == NULL) return;
    if (input == NULL || min == NULL || opt == NULL || max == NULL || num_values < 1 || num_values > MAX_VALUES) {
        refuse(profile->config, "the values of a profile",
               input == NULL ? "no input is named" : "1 to 64 values are needed, with all three limits");
        return;
    }
    size_t count = (size_t)num_values;
    int64_t *values = tn_alloc_array(profile->config->allocator, 3 * count, sizeof *values);
    if (values == NULL) {
        profile->config->out_of_memory = true;
        return;
    }
    memcpy(values, min, count * sizeof *values);
    memcpy(values + count, opt, count * sizeof *values);
    memcpy(values + 2 * count, max, count * sizeof *values);
    set_entry(profile, &(tn_profile_entry){.values = values, .num_values = num_values}, input);
}

void tn_profile_set_dim(tn_profile *profile, const char *dim_name, int64_t min, int64_t opt, int64_t max) {
    if (profile == NULL) return;
    if (dim_name == NULL) {
        refuse(profile->config, "the dimensions of a profile", "no dimension is named");
        return;
    }
    set_entry(profile, &(tn_profile_entry){.is_dim = true, .min = TN_DIMS(min), .opt = TN_DIMS(opt), .max = TN_DIMS(max)}, dim_name);
}

/* --- plain values ---------------------------------------------------------------------------------------------------------- */

void tn_builder_config_set_activation_precision(tn_builder_config *config, tn_activation_precision precision) {
    if (config == NULL) return;
    if ((int)precision < 0 || precision >= TN_NUM_ACTIVATION_PRECISIONS) {
        refuse(config, "the activation precision", "there is no such precision");
        return;
    }
    config->activations = precision;
}

void tn_builder_config_set_optimization_level(tn_builder_config *config, int level) {
    if (config == NULL) return;
    if (level < 0 || level > 5) {
        refuse(config, "the optimization level", "it must be 0 to 5");
        return;
    }
    config->optimization_level = level;
}

void tn_builder_config_set_timing_budget_ms(tn_builder_config *config, int64_t budget_ms) {
    if (config == NULL) return;
    if (budget_ms < 0) {
        refuse(config, "the timing budget", "it is negative");
        return;
    }
    config->timing_budget_ms = budget_ms;
}

void tn_builder_config_set_batch_invariant(tn_builder_config *config, bool batch_invariant) {
    if (config != NULL) config->batch_invariant = batch_invariant;
}

void tn_builder_config_set_external_weights(tn_builder_config *config, bool external) {
    if (config != NULL) config->external_weights = external;
}

void tn_builder_config_set_strip(tn_builder_config *config, bool strip) {
    if (config != NULL) config->strip = strip;
}

void tn_builder_config_set_refit(tn_builder_config *config, bool refit) {
    if (config != NULL) config->refit = refit;
}

void tn_builder_config_set_host_fallback(tn_builder_config *config, bool host_fallback) {
    if (config != NULL) config->host_fallback = host_fallback;
}

void tn_builder_config_set_progress(tn_builder_config *config, const tn_progress *progress) {
    if (config == NULL) return;
    config->has_progress = progress != NULL;
    config->progress = progress != NULL ? *progress : (tn_progress){0};
}

void tn_builder_config_set_memory_limit(tn_builder_config *config, size_t limit_bytes) {
    if (config != NULL) config->memory_limit_bytes = limit_bytes;
}

void tn_builder_config_set_timing_cache(tn_builder_config *config, tn_timing_cache *cache) {
    if (config != NULL) config->timing_cache = cache;
}

static void set_string(tn_builder_config *config, char **field, const char *value) {
    char *copy = value != NULL ? tn_copy_string(config->allocator, value) : NULL;
    if (value != NULL && copy == NULL) {
        config->out_of_memory = true;
        return;
    }
    tn_free(config->allocator, *field);
    *field = copy;
}

void tn_builder_config_set_model_info(tn_builder_config *config, const char *json) {
    if (config == NULL) return;
    size_t size = json != NULL ? strlen(json) : 0;
    if (json != NULL && (size < 2 || json[0] != '{' || json[size - 1] != '}' || !tn_utf8_is_valid(json, size))) {
        refuse(config, "the model info", "it must be a JSON object, from { to }");
        return;
    }
    set_string(config, &config->model_info, json);
}

void tn_builder_config_set_output_path(tn_builder_config *config, const char *path) {
    if (config != NULL) set_string(config, &config->output_path, path);
}
