/* SPDX-License-Identifier: Apache-2.0
 *
 * builder.c: the builder object, and a build from networks: check, passes, lowering, memory, tactics, plan.
 */
#include <stdio.h>
#include <string.h>

#include "builder/builder_internal.h"
#include "passes/passes.h"

void tn_builder_options_init(tn_builder_options *options) {
    *options = (tn_builder_options){.struct_size = sizeof *options};
}

tn_status tn_builder_create(const tn_builder_options *options, tn_builder **out_builder) {
    *out_builder = NULL;
    tn_builder_options defaults;
    tn_builder_options_init(&defaults);
    if (options == NULL) options = &defaults;
    if (options->struct_size != sizeof *options)
        return tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot create a builder: its options were not made by tn_builder_options_init");
    tn_builder *builder = tn_alloc_zero(options->allocator, sizeof *builder);
    if (builder == NULL) return tn_fail_memory(options->diag, "a builder", sizeof *builder);
    if (options->allocator != NULL) {
        builder->allocator_copy = *options->allocator;
        builder->allocator = &builder->allocator_copy;
    }
    builder->diag = options->diag;
    builder->device = options->device;
    if (builder->device == NULL) {
        tn_device_options device_options;
        tn_device_options_init(&device_options);
        device_options.diag = options->diag;
        device_options.allocator = builder->allocator;
        tn_status status = tn_device_create("cpu", &device_options, &builder->device);
        if (status != TN_OK) {
            tn_builder_destroy(builder);
            return status;
        }
        builder->owns_device = true;
    }
    *out_builder = builder;
    return TN_OK;
}

void tn_builder_destroy(tn_builder *builder) {
    if (builder == NULL) return;
    if (builder->owns_device) tn_device_destroy(builder->device);
    tn_allocator copy = builder->allocator_copy;
    tn_free(builder->allocator != NULL ? &copy : NULL, builder);
}

/* --- checks -------------------------------------------------------------------------------------------------------------------- */

static tn_status check_call(tn_builder *builder, tn_network *const *networks, int num_networks, const tn_builder_config *config) {
    if (builder == NULL || config == NULL || num_networks < 1 || networks == NULL)
        return tn_fail(builder != NULL ? builder->diag : NULL, TN_INVALID_ARGUMENT,
                       "cannot build: a builder, a configuration or a network is missing");
    if (config->out_of_memory) return tn_fail_memory(builder->diag, "the builder's configuration", sizeof *config);
    if (config->invalid) return tn_fail(builder->diag, TN_INVALID_ARGUMENT, "cannot build: the configuration has errors");
    if (config->activations == TN_ACTIVATIONS_BFLOAT16)
        return tn_fail(builder->diag, TN_UNSUPPORTED, "cannot build: activation precision bfloat16 is not built in this version");
    tn_status status = TN_OK;
    for (int i = 0; i < num_networks; i++) {
        if (networks[i] == NULL) return tn_fail(builder->diag, TN_INVALID_ARGUMENT, "cannot build: network %d is missing", i);
        for (int k = 0; k < i; k++)
            if (networks[k] == networks[i] || strcmp(networks[k]->name, networks[i]->name) == 0)
                return tn_fail(builder->diag, TN_INVALID_ARGUMENT, "cannot build: two functions are called '%s'", networks[i]->name);
        if (networks[i]->out_of_memory) return tn_fail_memory(builder->diag, "the definition of a network", networks[i]->arena.used_bytes);
        tn_status verified = tn_network_verify(networks[i], builder->diag);
        if (verified == TN_OK && networks[i]->failed)
            verified =
                tn_fail(builder->diag, TN_INVALID_ARGUMENT, "cannot build network '%s': its definition has errors", networks[i]->name);
        if (status == TN_OK) status = verified;
    }
    return status;
}

/* --- a build ---------------------------------------------------------------------------------------------------------------------- */

static bool some_tactic_supports(void *user, const tn_problem *problem) {
    const tn_device *device = user;
    char unused[256];
    for (size_t i = 0; i < device->backend->num_tactics; i++) {
        const tn_tactic *tactic = device->backend->tactics[i];
        if (tactic->op == problem->op && tactic->supports(&device->info, problem, unused, sizeof unused)) return true;
    }
    return false;
}

/* tn_network_mark_unfused_as_debug: what the passes left. */
static void mark_unfused(tn_network *network) {
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        for (size_t i = 0; i < layer->outputs.count && !layer->is_dead && layer->kind != TN_OP_CONSTANT; i++)
            if (layer->outputs.data[i]->state == NULL) layer->outputs.data[i]->is_debug = true;
}

static tn_status lower_all(tn_draft *draft, tn_builder *builder, tn_network *const *networks, int num_networks,
                           const tn_builder_config *config) {
    tn_network_ranges *ranges = tn_arena_alloc_array(&draft->arena, (size_t)num_networks, sizeof *ranges);
    if (ranges == NULL) return tn_fail_memory(draft->diag, "a build", sizeof *ranges);
    tn_status status = tn_profiles_resolve(config, networks, num_networks, &draft->arena, draft->diag, ranges);
    tn_pass_options pass_options = {
        .activations = config->activations, .supports = some_tactic_supports, .user = builder->device, .diag = draft->diag};
    tn_lower_options lower_options = {
        .device = builder->device, .batch_invariant = config->batch_invariant, .host_fallback = config->host_fallback};
    for (int i = 0; i < num_networks && status == TN_OK; i++) {
        status = tn_passes_run(networks[i], &pass_options);
        if (status == TN_OK && networks[i]->unfused_are_debug) mark_unfused(networks[i]);
        if (status == TN_OK) status = tn_lower_network(draft, networks[i], &ranges[i], &lower_options);
    }
    return status;
}

tn_status tn_builder_select(tn_draft *draft, tn_builder *builder, const tn_builder_config *config, bool layouts_are_fixed) {
    tn_select_options options = {.device = builder->device,
                                 .optimization_level = config->optimization_level,
                                 .timing_budget_ms = config->timing_budget_ms,
                                 .batch_invariant = config->batch_invariant,
                                 .cache = config->timing_cache,
                                 .progress = config->has_progress ? &config->progress : NULL,
                                 .layouts_are_fixed = layouts_are_fixed};
    return tn_select_tactics(draft, &options);
}

static void run_device_tasks(void *user, void (*task)(void *task_user, int64_t index, int worker), void *task_user, int64_t num_tasks) {
    tn_device *device = user;
    device->backend->run_host_tasks(device, task, task_user, num_tasks);
}

tn_status tn_builder_write(tn_draft *draft, tn_builder *builder, const tn_builder_config *config, tn_plan_writer *writer,
                           tn_plan **out_plan) {
    const tn_device *device = builder->device;
    (void)snprintf(writer->header.fingerprint, sizeof writer->header.fingerprint, "%.*s", (int)sizeof writer->header.fingerprint - 1,
                   device->info.fingerprint);
    tn_emit_meta(draft, config, writer);
    tn_plan_write_options options = {.path = config->output_path,
                                     .run_tasks = device->backend->run_host_tasks != NULL ? run_device_tasks : NULL,
                                     .user = builder->device,
                                     .progress = config->has_progress ? &config->progress : NULL};
    return tn_plan_writer_finish(writer, &options, out_plan);
}

tn_status tn_builder_build_functions(tn_builder *builder, tn_network *const *networks, int num_networks, const tn_builder_config *config,
                                     tn_plan **out_plan) {
    *out_plan = NULL;
    tn_status status = check_call(builder, networks, num_networks, config);
    if (status != TN_OK) return status;
    tn_draft draft;
    tn_plan_writer writer;
    tn_text refused = {.allocator = builder->allocator};
    tn_draft_init(&draft, builder->allocator, builder->diag);
    draft.refused = &refused;
    tn_plan_writer_init(&writer, builder->device->backend->name, builder->allocator, builder->diag);
    status = lower_all(&draft, builder, networks, num_networks, config);
    if (status == TN_OK) tn_builder_dump(&draft, "steps");
    if (status == TN_OK) status = tn_builder_check_memory(&draft, builder->device, config);
    if (status == TN_OK) status = tn_builder_select(&draft, builder, config, false);
    if (status == TN_OK) tn_builder_dump(&draft, "plan");
    if (status == TN_OK) status = tn_emit_functions(&draft, &writer);
    if (status == TN_OK) status = tn_emit_weights(&draft, config, &writer);
    if (status == TN_OK) status = tn_builder_write(&draft, builder, config, &writer, out_plan);
    tn_plan_writer_deinit(&writer);
    tn_draft_deinit(&draft);
    tn_text_deinit(&refused);
    return status;
}

tn_status tn_builder_build(tn_builder *builder, tn_network *network, const tn_builder_config *config, tn_plan **out_plan) {
    return tn_builder_build_functions(builder, &network, 1, config, out_plan);
}
