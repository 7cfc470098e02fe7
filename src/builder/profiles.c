/* SPDX-License-Identifier: Apache-2.0
 *
 * profiles.c: from a config's profiles to a range for every dimension of every input. All that is wrong is reported.
 */
#include <inttypes.h>
#include <string.h>

#include "builder/builder_internal.h"

typedef struct resolver {
    const tn_builder_config *config;
    tn_network *const *networks;
    int num_networks;
    tn_diag *diag;
    bool failed;
} resolver;

#define FAIL(r, subject_name, ...) \
    ((r)->failed = true, (void)tn_fail_at((r)->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = (subject_name)}, __VA_ARGS__))

static const tn_profile_entry *find_entry(const tn_profile *profile, const char *name, bool is_dim) {
    for (size_t i = 0; profile != NULL && name != NULL && i < profile->entries.count; i++)
        if (profile->entries.data[i].is_dim == is_dim && profile->entries.data[i].values == NULL &&
            strcmp(profile->entries.data[i].name, name) == 0)
            return &profile->entries.data[i];
    return NULL;
}

static const tn_profile_entry *find_values(const tn_profile *profile, const char *name) {
    for (size_t i = 0; profile != NULL && i < profile->entries.count; i++)
        if (profile->entries.data[i].values != NULL && strcmp(profile->entries.data[i].name, name) == 0) return &profile->entries.data[i];
    return NULL;
}

static bool network_has_dim(const tn_network *network, const char *name) {
    for (size_t i = 0; i < network->inputs.count; i++)
        for (int axis = 0; axis < network->inputs.data[i]->rank; axis++) {
            const char *dim_name = network->inputs.data[i]->dim_names[axis];
            if (dim_name != NULL && strcmp(dim_name, name) == 0) return true;
        }
    return false;
}

static const tn_tensor *find_input(const tn_network *network, const char *name) {
    for (size_t i = 0; i < network->inputs.count; i++)
        if (strcmp(network->inputs.data[i]->name, name) == 0) return network->inputs.data[i];
    return NULL;
}

/* An entry that no network takes is a slip of the pen. */
static void check_entry_is_used(resolver *r, const tn_profile_entry *entry, size_t profile) {
    bool used = false;
    for (int n = 0; n < r->num_networks && !used; n++)
        used = entry->is_dim ? network_has_dim(r->networks[n], entry->name) : find_input(r->networks[n], entry->name) != NULL;
    if (!used)
        FAIL(r, entry->name, "profile %zu sets %s '%s', but the network has no such %s", profile, entry->is_dim ? "the dimension" : "input",
             entry->name, entry->is_dim ? "dimension" : "input");
}

static void check_entry_order(resolver *r, const tn_profile_entry *entry, size_t profile) {
    for (int i = 0; i < entry->min.rank; i++) {
        int64_t min = entry->min.d[i], opt = entry->opt.d[i], max = entry->max.d[i];
        if (min >= 0 && min <= opt && opt <= max) continue;
        FAIL(r, entry->name,
             "profile %zu: the range of '%s'[%d] is %" PRId64 ", %" PRId64 ", %" PRId64 "; it must be 0 <= min <= opt <= max", profile,
             entry->name, i, min, opt, max);
    }
}

static void check_values(resolver *r, const tn_tensor *input, const tn_profile_entry *entry, size_t profile) {
    int n = entry->num_values;
    if (!tn_tensor_is_shape(input)) {
        FAIL(r, input->name, "profile %zu gives the values of input '%s' a range, but no shape depends on them", profile, input->name);
        return;
    }
    if (n != input->num_host_values) {
        FAIL(r, input->name, "profile %zu gives %d values of input '%s' a range, it has %" PRId64, profile, n, input->name,
             input->num_host_values);
        return;
    }
    for (int i = 0; i < n; i++) {
        int64_t min = entry->values[i], opt = entry->values[n + i], max = entry->values[2 * n + i];
        if (min > opt || opt > max)
            FAIL(r, input->name,
                 "profile %zu: the range of value %d of '%s' is %" PRId64 ", %" PRId64 ", %" PRId64 "; it must be min <= opt <= max",
                 profile, i, input->name, min, opt, max);
    }
}

/* The range that another input of this profile gives a dimension of this name. */
static const tn_profile_entry *find_by_other_input(const tn_network *network, const tn_profile *profile, const char *dim_name,
                                                   int *out_axis) {
    for (size_t i = 0; dim_name != NULL && i < network->inputs.count; i++) {
        const tn_tensor *input = network->inputs.data[i];
        const tn_profile_entry *entry = find_entry(profile, input->name, false);
        if (entry == NULL || entry->min.rank != input->rank) continue;
        for (int axis = 0; axis < input->rank; axis++) {
            if (input->dim_names[axis] == NULL || strcmp(input->dim_names[axis], dim_name) != 0) continue;
            *out_axis = axis;
            return entry;
        }
    }
    return NULL;
}

static void check_against_fixed(resolver *r, const tn_tensor *input, int axis, size_t profile, int64_t fixed, tn_dim_range range) {
    if (range.min == fixed && range.max == fixed) return;
    FAIL(r, input->name, "profile %zu: dimension %d of input '%s' is %" PRId64 ", its range is %" PRId64 " to %" PRId64, profile, axis,
         input->name, fixed, range.min, range.max);
}

static tn_dim_range resolve_dim(resolver *r, const tn_network *network, const tn_tensor *input, int axis, size_t profile_index) {
    const tn_profile *profile = profile_index < r->config->profiles.count ? r->config->profiles.data[profile_index] : NULL;
    const char *dim_name = input->dim_names[axis];
    int from_axis = axis;
    const tn_profile_entry *entry = find_entry(profile, input->name, false);
    if (entry != NULL && entry->min.rank != input->rank) return (tn_dim_range){0}; /* reported for the input */
    if (entry == NULL) {
        entry = find_entry(profile, dim_name, true);
        from_axis = 0;
    }
    if (entry == NULL) entry = find_by_other_input(network, profile, dim_name, &from_axis);
    tn_dim_range range = {0};
    if (entry != NULL) range = (tn_dim_range){entry->min.d[from_axis], entry->opt.d[from_axis], entry->max.d[from_axis]};
    int64_t fixed;
    if (tn_sym_is_const(network->symbols, input->dims[axis], &fixed)) {
        if (entry != NULL) check_against_fixed(r, input, axis, profile_index, fixed, range);
        return (tn_dim_range){fixed, fixed, fixed};
    }
    if (entry == NULL)
        FAIL(r, input->name, "profile %zu has no range for dimension %d%s%s%s of input '%s'", profile_index, axis,
             dim_name != NULL ? " (" : "", dim_name != NULL ? dim_name : "", dim_name != NULL ? ")" : "", input->name);
    return range;
}

/* Dimensions that are one value must have one range. */
static void check_equal_names(resolver *r, const tn_network *network, const tn_dim_range *ranges, size_t profile) {
    for (size_t i = 0; i < network->inputs.count * TN_MAX_RANK; i++) {
        const tn_tensor *a = network->inputs.data[i / TN_MAX_RANK];
        int a_axis = (int)(i % TN_MAX_RANK);
        if (a_axis >= a->rank || a->dim_names[a_axis] == NULL) continue;
        for (size_t j = 0; j < i; j++) {
            const tn_tensor *b = network->inputs.data[j / TN_MAX_RANK];
            int b_axis = (int)(j % TN_MAX_RANK);
            if (b_axis >= b->rank || b->dim_names[b_axis] == NULL || strcmp(a->dim_names[a_axis], b->dim_names[b_axis]) != 0) continue;
            if (ranges[i].min == ranges[j].min && ranges[i].opt == ranges[j].opt && ranges[i].max == ranges[j].max) break;
            FAIL(r, a->name,
                 "profile %zu: '%s' is %" PRId64 ", %" PRId64 ", %" PRId64 " in input '%s' and %" PRId64 ", %" PRId64 ", %" PRId64
                 " in input '%s'; equal names mean equal values",
                 profile, a->dim_names[a_axis], ranges[j].min, ranges[j].opt, ranges[j].max, b->name, ranges[i].min, ranges[i].opt,
                 ranges[i].max, a->name);
            break;
        }
    }
}

static void resolve_network(resolver *r, const tn_network *network, tn_network_ranges *out) {
    for (uint32_t profile = 0; profile < out->num_profiles; profile++) {
        tn_dim_range *ranges = out->ranges + (size_t)profile * out->num_inputs * TN_MAX_RANK;
        bool failed_before = r->failed;
        r->failed = false;
        for (size_t i = 0; i < out->num_inputs; i++) {
            const tn_tensor *input = network->inputs.data[i];
            const tn_profile *p = profile < r->config->profiles.count ? r->config->profiles.data[profile] : NULL;
            const tn_profile_entry *entry = find_entry(p, input->name, false);
            if (entry != NULL && entry->min.rank != input->rank)
                FAIL(r, input->name, "profile %u gives input '%s' %d dimensions, it has %d", profile, input->name, (int)entry->min.rank,
                     (int)input->rank);
            const tn_profile_entry *values = find_values(p, input->name);
            if (values != NULL) check_values(r, input, values, profile);
            out->values[(size_t)profile * out->num_inputs + i] = values;
            for (int axis = 0; axis < input->rank; axis++)
                ranges[i * TN_MAX_RANK + (size_t)axis] = resolve_dim(r, network, input, axis, profile);
        }
        if (!r->failed) check_equal_names(r, network, ranges, profile);
        r->failed = r->failed || failed_before;
    }
}

tn_status tn_profiles_resolve(const tn_builder_config *config, tn_network *const *networks, int num_networks, tn_arena *arena,
                              tn_diag *diag, tn_network_ranges *out_ranges) {
    resolver r = {.config = config, .networks = networks, .num_networks = num_networks, .diag = diag};
    for (size_t p = 0; p < config->profiles.count; p++)
        for (size_t i = 0; i < config->profiles.data[p]->entries.count; i++) {
            const tn_profile_entry *entry = &config->profiles.data[p]->entries.data[i];
            check_entry_is_used(&r, entry, p);
            check_entry_order(&r, entry, p);
        }
    for (int n = 0; n < num_networks; n++) {
        tn_network_ranges *out = &out_ranges[n];
        out->num_profiles = config->profiles.count > 0 ? (uint32_t)config->profiles.count : 1;
        out->num_inputs = networks[n]->inputs.count;
        size_t count = (size_t)out->num_profiles * out->num_inputs * TN_MAX_RANK;
        out->ranges = tn_arena_alloc_array(arena, count, sizeof *out->ranges);
        out->values = tn_arena_alloc_array(arena, (size_t)out->num_profiles * out->num_inputs, sizeof *out->values);
        if (out->ranges == NULL || out->values == NULL) return tn_fail_memory(diag, "profiles", count * sizeof *out->ranges);
        resolve_network(&r, networks[n], out);
    }
    return r.failed ? TN_INVALID_ARGUMENT : TN_OK;
}
