/* SPDX-License-Identifier: Apache-2.0
 *
 * coverage.c: which aspects of problems each tactic was compared on, and the walk that looks for accepted ones that were not.
 *
 * Aspects: the types of all operands together; each parameter's value (numbers: zero or not); each epilogue; each kind of epilogue
 * behind another. A problem counts as compared when each of its aspects was, in whichever case.
 */
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"
#include "op/gguf_blocks.h"

#define TABLE_SIZE (1u << 18)

struct tn_coverage {
    uint64_t table[TABLE_SIZE]; /* hashes of aspects; 0 = free */
    size_t count;
};

tn_coverage *tn_coverage_create(void) {
    return tn_alloc_zero(NULL, sizeof(tn_coverage));
}

void tn_coverage_destroy(tn_coverage *coverage) {
    tn_free(NULL, coverage);
}

/* True if it was there; adds it if not and if there is room. */
static bool meet(tn_coverage *coverage, uint64_t hash, bool adds) {
    hash |= hash == 0;
    size_t at = hash % TABLE_SIZE;
    while (coverage->table[at] != 0 && coverage->table[at] != hash) at = (at + 1) % TABLE_SIZE;
    if (coverage->table[at] == hash) return true;
    if (adds && coverage->count < TABLE_SIZE / 2) coverage->table[at] = hash, coverage->count++;
    return false;
}

/* Calls visit for each aspect as a line of text; stops and returns false when visit does. */
typedef bool (*aspect_visitor)(void *user, const char *aspect);

static void print_types(const tn_problem *problem, tn_text *text) {
    char name[64];
    uint32_t last = problem->num_inputs; /* one past the last input that is given: absent ones behind it say nothing */
    while (last > 0 && problem->operands[last - 1].absent) last--;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        const tn_operand *operand = &problem->operands[i];
        if (i >= last && i < problem->num_inputs) continue;
        tn_text_append_string(text, i == problem->num_inputs ? " -> " : " ");
        if (operand->absent)
            tn_text_append_string(text, "-");
        else if (operand->role == TN_ROLE_STATE)
            tn_text_append_string(text, "state");
        else if (operand->role == TN_ROLE_WEIGHT)
            tn_text_append_format(text, "%s:%s>%s", tn_encoding_name(&operand->encoding, name),
                                  operand->layout != NULL ? operand->layout : "?", tn_dtype_get_info(operand->dtype)->name);
        else
            tn_text_append_string(text, tn_dtype_get_info(operand->dtype)->name);
    }
}

static bool visit_field(const tn_op_field *field, const void *params, aspect_visitor visit, void *user) {
    const char *at = (const char *)params + field->offset;
    char line[128];
    int value = 0;
    switch (field->type) {
    case TN_TYPE_BOOL: value = *(const bool *)at; break;
    case TN_TYPE_INT: value = *(const int64_t *)(const void *)at != 0; break;
    case TN_TYPE_REAL: value = *(const double *)(const void *)at != 0.0; break;
    case TN_TYPE_DTYPE: value = (int)*(const tn_dtype *)(const void *)at; break;
    case TN_TYPE_DIMS: value = ((const tn_dims *)(const void *)at)->rank > 0; break;
    case TN_TYPE_ENUM: value = *(const int *)(const void *)at; break;
    case TN_TYPE_TEXT: value = *at != '\0'; break;
    }
    if (field->type == TN_TYPE_ENUM)
        (void)snprintf(line, sizeof line, "%s=%s", field->name, tn_enum_get_info(field->enum_id)->values[value]);
    else
        (void)snprintf(line, sizeof line, "%s=%d", field->name, value);
    return visit(user, line);
}

static bool visit_aspects(const tn_problem *problem, aspect_visitor visit, void *user) {
    tn_text text = {0};
    print_types(problem, &text);
    bool goes_on = text.data == NULL || visit(user, text.data);
    const tn_op_info *info = tn_op_get_info(problem->op);
    for (int i = 0; i < info->num_fields && goes_on; i++) goes_on = visit_field(&info->fields[i], problem->params, visit, user);
    for (uint32_t i = 0; i < problem->num_epilogues && goes_on; i++) {
        const tn_epilogue *epilogue = &problem->epilogues[i];
        bool has_activation = epilogue->kind == TN_EPILOGUE_ACTIVATION || epilogue->kind == TN_EPILOGUE_GATED_ACTIVATION;
        char line[96];
        (void)snprintf(line, sizeof line, "epilogue %s %s", tn_epilogue_kind_name(epilogue->kind),
                       has_activation ? tn_enum_get_info(TN_ENUM_ID_ACTIVATION)->values[epilogue->activation]
                                      : tn_dtype_get_info(epilogue->dtype)->name);
        goes_on = visit(user, line);
        if (!goes_on || i == 0) continue;
        (void)snprintf(line, sizeof line, "epilogue %s behind %s", tn_epilogue_kind_name(epilogue->kind),
                       tn_epilogue_kind_name(problem->epilogues[i - 1].kind));
        goes_on = visit(user, line);
    }
    tn_text_deinit(&text);
    return goes_on;
}

typedef struct visitor_state {
    tn_coverage *coverage;
    uint64_t seed; /* of backend and tactic */
    bool adds;
    char missing[256];
} visitor_state;

static bool visit_one(void *user, const char *aspect) {
    visitor_state *state = user;
    if (meet(state->coverage, tn_hash(aspect, strlen(aspect), state->seed), state->adds) || state->adds) return true;
    (void)snprintf(state->missing, sizeof state->missing, "%s", aspect);
    return false;
}

static visitor_state make_state(tn_coverage *coverage, const tn_device *device, const tn_tactic *tactic, bool adds) {
    uint64_t seed = tn_hash(tactic->name, strlen(tactic->name), tn_hash(device->backend->name, strlen(device->backend->name), 1));
    return (visitor_state){.coverage = coverage, .seed = seed, .adds = adds};
}

void tn_coverage_add(tn_coverage *coverage, const tn_device *device, const tn_tactic *tactic, const tn_problem *problem) {
    visitor_state state = make_state(coverage, device, tactic, true);
    (void)visit_aspects(problem, visit_one, &state);
}

/* --- the walk -------------------------------------------------------------------------------------------------------------------- */

typedef struct walk {
    tn_coverage *coverage;
    const tn_device *device;
    const tn_tactic *tactic;
    tn_coverage_report report;
    void *user;
    size_t num_missing;
} walk;

static void try_variation(walk *w, tn_problem_builder *builder) {
    char reason[128];
    const tn_problem *problem = tn_build_problem(builder);
    if (!w->tactic->supports(&w->device->info, problem, reason, sizeof reason)) {
        if (reason[0] != '\0') return;
        w->num_missing++;
        w->report(w->user, w->device, w->tactic, "refuses without a reason");
        return;
    }
    visitor_state state = make_state(w->coverage, w->device, w->tactic, false);
    if (visit_aspects(problem, visit_one, &state)) return;
    tn_text text = {0};
    tn_text_append_format(&text, "accepts what was never compared: %s\n     ", state.missing);
    tn_problem_print(problem, builder->nodes, builder->num_symbols, &text);
    w->num_missing++;
    w->report(w->user, w->device, w->tactic, text.data != NULL ? text.data : state.missing);
    tn_text_deinit(&text);
    tn_coverage_add(w->coverage, w->device, w->tactic, problem); /* told once */
}

/* op_kinds.def marks them "?": those beyond the least number of inputs, and the middle ones of QKV_CACHE. */
static bool is_optional(const tn_problem *problem, uint32_t input) {
    if (input >= problem->num_inputs) return false;
    if (problem->op == TN_OP_QKV_CACHE) return input >= 1 && input <= 3;
    bool is_epilogue = false;
    for (uint32_t i = 0; i < problem->num_epilogues; i++) is_epilogue = is_epilogue || problem->epilogues[i].operand == (int32_t)input;
    return !is_epilogue && input >= (uint32_t)tn_op_get_info(problem->op)->min_inputs;
}

static void vary_types(walk *w, const tn_problem_builder *base) {
    static const uint32_t floats[] = {0, 1, 30};
    /* Types that are only read are compared without epilogues, which do not know where sums come from. */
    const size_t num_types = 3 + tn_gguf_num_block_types();
    for (uint32_t i = 0; i < base->problem.num_operands; i++) {
        if (base->operands[i].role == TN_ROLE_STATE) continue;
        for (int dtype = TN_DTYPE_NONE + 1; dtype < TN_NUM_DTYPES; dtype++)
            for (int everywhere = 0; everywhere < 2; everywhere++) {
                tn_problem_builder b = *base;
                for (uint32_t j = 0; j < b.problem.num_operands; j++)
                    if (j == i || (everywhere != 0 && b.operands[j].dtype == base->operands[i].dtype))
                        b.operands[j].dtype = (tn_dtype)dtype;
                try_variation(w, &b);
            }
        tn_problem_builder b = *base;
        b.operands[i].absent = !b.operands[i].absent && is_optional(tn_build_problem(&b), i);
        if (b.operands[i].absent) try_variation(w, &b);
        if (base->operands[i].role != TN_ROLE_WEIGHT) continue;
        for (size_t type = 0; type < num_types + 1; type++) {
            b = *base;
            tn_encoding affine = {
                .kind = TN_ENCODING_AFFINE, .storage = TN_INT4, .scale_dtype = TN_FLOAT16, .bits = 4, .block_rows = 1, .block_cols = 32};
            b.operands[i].encoding = affine;
            const tn_gguf_block_type *blocks = type >= 3 && type < num_types ? tn_gguf_block_type_at(type - 3) : NULL;
            bool is_written = type < 3 || (blocks != NULL && tn_gguf_encoder_of(blocks) != NULL);
            if (!is_written && base->problem.num_epilogues > 0) continue;
            if (type < num_types) (void)tn_encoding_from_gguf(blocks != NULL ? blocks->number : floats[type], &b.operands[i].encoding);
            for (const char *const *layout = w->tactic->layouts; layout != NULL && *layout != NULL; layout++) {
                b.operands[i].layout = *layout;
                try_variation(w, &b);
            }
            b.operands[i].layout = TN_LAYOUT_PLAIN;
            try_variation(w, &b);
        }
    }
}

static void vary_params(walk *w, const tn_problem_builder *base) {
    const tn_op_info *info = tn_op_get_info(base->problem.op);
    for (int i = 0; i < info->num_fields; i++) {
        const tn_op_field *field = &info->fields[i];
        int num_values = field->type == TN_TYPE_ENUM ? tn_enum_get_info(field->enum_id)->num_values : field->type == TN_TYPE_BOOL ? 2 : 0;
        for (int value = 0; value < num_values; value++) {
            tn_problem_builder b = *base;
            tn_op_params params = {0};
            memcpy(&params, base->problem.params, info->params_size);
            char *at = (char *)&params + field->offset;
            if (field->type == TN_TYPE_BOOL)
                *(bool *)at = value != 0;
            else
                *(int *)(void *)at = value;
            b.problem.params = &params;
            try_variation(w, &b);
        }
    }
}

static void vary_epilogues(walk *w, const tn_problem_builder *base) {
    static const tn_dtype quantised[] = {TN_Q15_32, TN_Q8_32};
    for (int kind = TN_EPILOGUE_BIAS; kind < TN_NUM_EPILOGUE_KINDS; kind++)
        for (int activation = 0; activation < TN_NUM_ACTIVATIONS; activation++)
            for (uint32_t kept = 0; kept <= base->problem.num_epilogues && kept < TN_MAX_EPILOGUES; kept++) {
                tn_problem_builder b = *base;
                bool has_activation = kind == TN_EPILOGUE_ACTIVATION || kind == TN_EPILOGUE_GATED_ACTIVATION;
                if (!has_activation && kind != TN_EPILOGUE_QUANTIZE && activation > 0) continue;
                tn_epilogue added = {.kind = (tn_epilogue_kind)kind, .operand = -1, .value = 2.0};
                if (has_activation) added.activation = (tn_activation_type)activation;
                if (kind == TN_EPILOGUE_BIAS || kind == TN_EPILOGUE_ADD) {
                    if (b.problem.num_inputs <= 2) continue; /* the case has no operand to give */
                    added.operand = (int32_t)b.problem.num_inputs - 1;
                }
                if (kind == TN_EPILOGUE_QUANTIZE) added.dtype = b.operands[b.problem.num_inputs].dtype = quantised[activation % 2];
                b.problem.num_epilogues = kept;
                tn_build_epilogue(&b, added);
                try_variation(w, &b);
            }
}

size_t tn_coverage_walk(tn_coverage *coverage, const tn_device *device, const tn_tactic *tactic, tn_problem_builder *builder,
                        tn_coverage_report report, void *user) {
    walk w = {.coverage = coverage, .device = device, .tactic = tactic, .report = report, .user = user};
    vary_types(&w, builder);
    vary_params(&w, builder);
    vary_epilogues(&w, builder);
    return w.num_missing;
}
