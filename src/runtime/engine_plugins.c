/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_plugins.c: plugins of a plan made from its bytes and the caller's registry.
 */
#include "runtime/engine.h"

static tn_status make_plugin(tn_engine *engine, const tn_function *function, tn_function_step *step, tn_plugin_registry *registry,
                             tn_diag *diag) {
    const char *id = ((const tn_op_params *)step->problem.params)->plugin.plugin.text;
    const char *name = tn_engine_string(engine, step->record->name);
    const void *bytes = NULL;
    size_t size_bytes = 0;
    const tn_plan_ref *state = &step->refs[0];
    if (state->space == TN_SPACE_WEIGHT) {
        bytes = engine->present->slots[state->id].host;
        size_bytes = (size_t)engine->weights[state->id].desc.dims.d[0]; /* uint8 [n]: checked when the step was read */
    }
    tn_status status = tn_plugin_restore(registry, id, bytes, size_bytes, engine->allocator, diag, &step->plugin);
    if (status != TN_NOT_FOUND || step->plugin != NULL) return status;
    tn_where where = {
        .subject = name, .file = tn_plan_path(engine->plan), .hint = "give a registry that has it: tn_engine_options.plugins"};
    return tn_fail_at(diag, TN_NOT_FOUND, &where, "cannot load plan: step '%s' of function '%s' needs plugin '%s', which is not registered",
                      name, function->name, id);
}

tn_status tn_engine_make_plugins(tn_engine *engine, tn_plugin_registry *registry, tn_diag *diag) {
    tn_status status = TN_OK;
    for (uint32_t f = 0; f < engine->view->num_functions; f++)
        for (uint32_t i = 0; i < engine->functions[f].num_steps && status == TN_OK; i++) {
            tn_function_step *step = &engine->functions[f].steps[i];
            if (step->record->kind == TN_STEP_LAUNCH && step->problem.op == TN_OP_PLUGIN)
                status = make_plugin(engine, &engine->functions[f], step, registry, diag);
        }
    return status;
}

void tn_engine_destroy_plugins(tn_engine *engine) {
    for (uint32_t f = 0; engine->functions != NULL && f < engine->view->num_functions; f++)
        for (uint32_t i = 0; engine->functions[f].steps != NULL && i < engine->functions[f].num_steps; i++)
            tn_plugin_destroy(engine->functions[f].steps[i].plugin);
}
