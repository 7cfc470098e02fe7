/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_check_steps.c: checks the steps of a function: operands against the problem they belong to, loops, variants.
 */
#include <inttypes.h>
#include <string.h>

#include "plan/plan_reader.h"
#include "plan/symbol_names.h"

enum { MAX_LOOP_DEPTH = 32 };

typedef struct step_checker {
    const tn_plan_reader *reader;
    const tn_plan_function *function;
    uint32_t num_profiles;
    tn_arena arena; /* of one problem */
} step_checker;

#define FAIL_STEP(checker, local, ...) \
    tn_plan_fail_record((checker)->reader, TN_SECTION_STEPS, (checker)->function->first_step + (local), __VA_ARGS__)

/* The numbers of constants do not matter here. */
static tn_sym any_constant(void *user, int64_t value) {
    (void)user;
    (void)value;
    return TN_SYM_ONE;
}

static const tn_plan_tensor *tensor_at(const step_checker *checker, uint32_t id) {
    return &checker->reader->view->tensors[checker->function->first_tensor + id];
}

static bool is_tensor_space(uint32_t space) {
    return space == TN_SPACE_INPUT || space == TN_SPACE_OUTPUT || space == TN_SPACE_ACTIVATION || space == TN_SPACE_HOST;
}

static bool is_on_host(const tn_plan_tensor *tensor) {
    return tensor->space == TN_SPACE_HOST || (tensor->space != TN_SPACE_ACTIVATION && tensor->place == 1);
}

/* Space, index, symbols; liveness of what the memory planner places. */
static tn_status check_ref(step_checker *checker, uint32_t local, uint32_t ref_index) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_ref *ref = &view->refs[ref_index];
    if (ref->index_symbol >= checker->function->num_symbols || ref->stride_symbol >= checker->function->num_symbols)
        return tn_plan_fail_record(checker->reader, TN_SECTION_REFS, ref_index, "symbol %" PRIu32 " or %" PRIu32 " of %" PRIu32,
                                   ref->index_symbol, ref->stride_symbol, checker->function->num_symbols);
    if (ref->space >= TN_NUM_SPACES)
        return tn_plan_fail_record(checker->reader, TN_SECTION_REFS, ref_index, "unknown space %" PRIu32, ref->space);
    if (ref->offset > INT64_MAX)
        return tn_plan_fail_record(checker->reader, TN_SECTION_REFS, ref_index, "an offset of %" PRIu64, ref->offset);
    if (!is_tensor_space(ref->space)) {
        uint32_t count = ref->space == TN_SPACE_WEIGHT ? view->num_weights : ref->space == TN_SPACE_STATE ? view->num_states : 1;
        if (ref->id >= count || ref->offset != 0 || ref->stride_symbol != 0)
            return tn_plan_fail_record(checker->reader, TN_SECTION_REFS, ref_index, "number %" PRIu32 " of %" PRIu32 ", or a part of it",
                                       ref->id, count);
        return TN_OK;
    }
    if (ref->id >= checker->function->num_tensors || tensor_at(checker, ref->id)->space != ref->space)
        return tn_plan_fail_record(checker->reader, TN_SECTION_REFS, ref_index, "no tensor %" PRIu32 " in space %" PRIu32, ref->id,
                                   ref->space);
    const tn_plan_tensor *tensor = tensor_at(checker, ref->id);
    if (ref->space == TN_SPACE_ACTIVATION && (local < tensor->first_step || local > tensor->last_step))
        return tn_plan_fail_record(checker->reader, TN_SECTION_REFS, ref_index,
                                   "step %" PRIu32 " uses tensor '%s', which lives from step %" PRIu32 " to %" PRIu32, local,
                                   view->strings + tensor->name, tensor->first_step, tensor->last_step);
    return TN_OK;
}

static bool is_named(const tn_plan_view *view, uint32_t string, const char *name) {
    return name != NULL && strcmp(view->strings + string, name) == 0;
}

/* Dimensions are compared by the engine, where their values are known. */
static bool weight_matches(const tn_plan_view *view, const tn_plan_weight *weight, const tn_operand *operand) {
    char name[64];
    return is_named(view, weight->dtype, tn_dtype_get_info(operand->dtype)->name) && weight->rank == operand->rank &&
           is_named(view, weight->encoding, tn_encoding_name(&operand->encoding, name)) && is_named(view, weight->layout, operand->layout);
}

static bool tensor_matches(const step_checker *checker, const tn_plan_step *step, tn_op_kind op, const tn_plan_ref *ref,
                           const tn_operand *operand) {
    const tn_plan_tensor *tensor = tensor_at(checker, ref->id);
    if (tn_dtype_find(checker->reader->view->strings + tensor->dtype) != operand->dtype) return false;
    if (is_on_host(tensor) != (operand->place == TN_PLACE_HOST)) return false;
    bool reads_dims_only = op == TN_OP_SHAPE && operand->role == TN_ROLE_INPUT;
    return step->device == 1 || operand->place == TN_PLACE_HOST || reads_dims_only;
}

static tn_status check_operand(step_checker *checker, uint32_t local, uint32_t index, tn_op_kind op, const tn_operand *operand) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_step *step = &view->steps[checker->function->first_step + local];
    const tn_plan_ref *ref = &view->refs[step->first_ref + index];
    tn_status status = check_ref(checker, local, step->first_ref + index);
    if (status != TN_OK) return status;
    bool fits = false;
    if (operand->absent)
        fits = ref->space == TN_SPACE_NONE;
    else if (operand->role == TN_ROLE_WEIGHT)
        fits = ref->space == TN_SPACE_WEIGHT && weight_matches(view, &view->weights[ref->id], operand);
    else if (operand->role == TN_ROLE_STATE)
        fits = ref->space == TN_SPACE_STATE && step->device == 1;
    else if (is_tensor_space(ref->space))
        fits = !(operand->role == TN_ROLE_OUTPUT && ref->space == TN_SPACE_INPUT) && tensor_matches(checker, step, op, ref, operand);
    return fits ? TN_OK
                : FAIL_STEP(checker, local, "operand %" PRIu32 " of '%s' is not what the problem says", index, view->strings + step->name);
}

static tn_status check_launch(step_checker *checker, uint32_t local) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_step *step = &view->steps[checker->function->first_step + local];
    tn_problem problem;
    tn_arena_reset(&checker->arena);
    tn_status status = tn_problem_parse(view->strings + step->problem, any_constant, NULL, checker->function->num_symbols, &checker->arena,
                                        checker->reader->diag, &problem);
    if (status == TN_OUT_OF_MEMORY) return status;
    if (status != TN_OK) return FAIL_STEP(checker, local, "the problem of '%s' is damaged", view->strings + step->name);
    if (tn_op_is_reserved(problem.op)) {
        char what[64] = "operation ";
        strncat(what, tn_op_get_info(problem.op)->name, sizeof what - strlen(what) - 1);
        return tn_plan_fail_reserved(checker->reader, TN_SECTION_STEPS, checker->function->first_step + local, what);
    }
    if (problem.num_operands != step->num_refs)
        return FAIL_STEP(checker, local, "%" PRIu32 " operands, the problem has %" PRIu32, step->num_refs, problem.num_operands);
    if ((step->num_variants == 0) != (step->device == 0))
        return FAIL_STEP(checker, local, "'%s' has %" PRIu32 " variants on device %" PRIu32, view->strings + step->name, step->num_variants,
                         step->device);
    for (uint32_t i = 0; i < problem.num_operands && status == TN_OK; i++)
        status = check_operand(checker, local, i, problem.op, &problem.operands[i]);
    return status;
}

/* COPY and READ_SYMBOL: from refs[0] to refs[1]. */
static tn_status check_transfer(step_checker *checker, uint32_t local) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_step *step = &view->steps[checker->function->first_step + local];
    if (step->num_refs != 2) return FAIL_STEP(checker, local, "a copy has %" PRIu32 " operands", step->num_refs);
    tn_status status = check_ref(checker, local, step->first_ref);
    if (status == TN_OK) status = check_ref(checker, local, step->first_ref + 1);
    if (status != TN_OK) return status;
    const tn_plan_ref *source = &view->refs[step->first_ref], *destination = source + 1;
    bool fits = is_tensor_space(destination->space) && destination->space != TN_SPACE_INPUT;
    if (step->kind == TN_STEP_READ_SYMBOL)
        fits = fits && is_tensor_space(source->space) && !is_on_host(tensor_at(checker, source->id)) && destination->space == TN_SPACE_HOST;
    else
        fits = fits && (is_tensor_space(source->space) || source->space == TN_SPACE_WEIGHT);
    return fits ? TN_OK
                : FAIL_STEP(checker, local, "'%s' cannot copy from space %" PRIu32 " to %" PRIu32, view->strings + step->name,
                            source->space, destination->space);
}

/* --- variants ------------------------------------------------------------------------------------------------------------ */

/* The range that the profile gives the bucket symbol, if that is an input's dimension with a row. */
static bool bucket_range(const step_checker *checker, uint32_t bucket_symbol, uint32_t profile, int64_t *out_min, int64_t *out_max) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_function *function = checker->function;
    const tn_plan_symbol *symbol = &view->symbols[function->first_symbol + bucket_symbol];
    if (bucket_symbol == 0) return false;
    if (tn_sym_op_find(view->strings + symbol->op) != TN_SYM_INPUT_DIM) return false;
    for (uint32_t i = 0; i < function->num_profiles; i++) {
        const tn_plan_profile *row = &view->profiles[function->first_profile + i];
        if (row->profile != profile || row->tensor != symbol->a || row->axis != symbol->b) continue;
        *out_min = row->min;
        *out_max = row->max;
        return true;
    }
    return false;
}

/* One profile's variants from `*index` on, which moves behind them. */
static tn_status check_profile_variants(step_checker *checker, uint32_t local, uint32_t profile, uint32_t *index, uint32_t end) {
    const tn_plan_view *view = checker->reader->view;
    const uint32_t bucket_symbol = view->steps[checker->function->first_step + local].bucket_symbol;
    int64_t min = 0, max = 0, covered = 0;
    bool has_range = bucket_range(checker, bucket_symbol, profile, &min, &max);
    const uint32_t first = *index;
    for (; *index < end && view->variants[*index].profile == profile; (*index)++) {
        const tn_plan_variant *variant = &view->variants[*index];
        const char *tactic = tn_plan_find_string(checker->reader, variant->tactic);
        if (tactic == NULL || tactic[0] == '\0' || variant->reserved != 0)
            return tn_plan_fail_record(checker->reader, TN_SECTION_VARIANTS, *index, "it has no tactic");
        if (variant->bucket_min > variant->bucket_max ||
            (*index > first ? variant->bucket_min != covered + 1 : has_range && variant->bucket_min > min))
            return tn_plan_fail_record(checker->reader, TN_SECTION_VARIANTS, *index,
                                       "the range from %" PRId64 " to %" PRId64 " leaves a gap or overlaps the one before",
                                       variant->bucket_min, variant->bucket_max);
        covered = variant->bucket_max;
        if (covered == INT64_MAX && *index + 1 < end && view->variants[*index + 1].profile == profile)
            return tn_plan_fail_record(checker->reader, TN_SECTION_VARIANTS, *index + 1, "a range behind the last number");
    }
    if (bucket_symbol == 0 && *index - first > 1) return FAIL_STEP(checker, local, "it has ranges, but no symbol to choose one by");
    if (has_range && covered < max)
        return FAIL_STEP(checker, local, "its variants for profile %" PRIu32 " end at %" PRId64 ", the profile allows %" PRId64, profile,
                         covered, max);
    return TN_OK;
}

static tn_status check_variants(step_checker *checker, uint32_t local) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_step *step = &view->steps[checker->function->first_step + local];
    if (step->num_variants == 0) return TN_OK;
    uint32_t index = step->first_variant, end = index + step->num_variants;
    for (uint32_t profile = 0; profile < checker->num_profiles; profile++) {
        if (index >= end || view->variants[index].profile != profile)
            return FAIL_STEP(checker, local, "it has no variant for profile %" PRIu32, profile);
        tn_status status = check_profile_variants(checker, local, profile, &index, end);
        if (status != TN_OK) return status;
    }
    if (index != end) return FAIL_STEP(checker, local, "it has variants for more than the %" PRIu32 " profiles", checker->num_profiles);
    return TN_OK;
}

/* --- steps ----------------------------------------------------------------------------------------------------------------- */

static tn_status check_step_fields(step_checker *checker, uint32_t local) {
    const tn_plan_view *view = checker->reader->view;
    const tn_plan_step *step = &view->steps[checker->function->first_step + local];
    uint32_t num_symbols = checker->function->num_symbols;
    if (step->device > 1) return FAIL_STEP(checker, local, "unknown device %" PRIu32, step->device);
    const char *name = tn_plan_find_string(checker->reader, step->name);
    if (name == NULL || name[0] == '\0' || tn_plan_find_string(checker->reader, step->problem) == NULL)
        return FAIL_STEP(checker, local, "its name or problem is no string");
    if (step->first_ref > view->num_refs || step->num_refs > view->num_refs - step->first_ref || step->first_variant > view->num_variants ||
        step->num_variants > view->num_variants - step->first_variant)
        return FAIL_STEP(checker, local, "its operands or variants end beyond their tables");
    if (step->guard >= num_symbols || step->count >= num_symbols || step->condition >= num_symbols || step->size_symbol >= num_symbols ||
        step->bucket_symbol >= num_symbols)
        return FAIL_STEP(checker, local, "a symbol beyond the %" PRIu32 " of the function", num_symbols);
    bool is_loop = step->kind == TN_STEP_LOOP;
    if ((!is_loop && (step->count != 0 || step->condition != 0 || step->body_end != 0)) ||
        (step->kind != TN_STEP_COPY && step->size_symbol != 0) ||
        (step->kind != TN_STEP_LAUNCH && (step->num_variants != 0 || step->bucket_symbol != 0)))
        return FAIL_STEP(checker, local, "a member that its kind does not have is not 0");
    return TN_OK;
}

static tn_status check_step(step_checker *checker, uint32_t local, uint32_t enclosing_end) {
    const tn_plan_step *step = &checker->reader->view->steps[checker->function->first_step + local];
    uint32_t index = checker->function->first_step + local;
    if (step->kind == TN_STEP_COLLECTIVE) return tn_plan_fail_reserved(checker->reader, TN_SECTION_STEPS, index, "a collective step");
    if (step->kind == TN_STEP_PLUGIN) return tn_plan_fail_reserved(checker->reader, TN_SECTION_STEPS, index, "a plugin step");
    if (step->kind == 0 || step->kind > TN_STEP_PLUGIN) return FAIL_STEP(checker, local, "unknown kind %" PRIu32, step->kind);
    tn_status status = check_step_fields(checker, local);
    if (status != TN_OK) return status;
    switch ((tn_step_kind)step->kind) {
    case TN_STEP_LAUNCH: status = check_launch(checker, local); return status == TN_OK ? check_variants(checker, local) : status;
    case TN_STEP_LOOP:
        if (step->num_refs != 0 || step->body_end <= local || step->body_end > enclosing_end)
            return FAIL_STEP(checker, local, "its body ends before step %" PRIu32 ", the steps around it at %" PRIu32, step->body_end,
                             enclosing_end);
        return TN_OK;
    default: return check_transfer(checker, local);
    }
}

tn_status tn_plan_check_steps(const tn_plan_reader *reader, const tn_plan_function *function) {
    step_checker checker = {.reader = reader, .function = function, .num_profiles = 1, .arena = {.allocator = reader->allocator}};
    if (function->num_profiles > 0)
        checker.num_profiles = reader->view->profiles[function->first_profile + function->num_profiles - 1].profile + 1;
    uint32_t ends[MAX_LOOP_DEPTH + 1] = {function->num_steps};
    int depth = 0;
    tn_status status = TN_OK;
    for (uint32_t local = 0; local < function->num_steps && status == TN_OK; local++) {
        while (depth > 0 && local >= ends[depth]) depth--;
        status = check_step(&checker, local, ends[depth]);
        const tn_plan_step *step = &reader->view->steps[function->first_step + local];
        if (status != TN_OK || step->kind != TN_STEP_LOOP) continue;
        if (depth == MAX_LOOP_DEPTH)
            status = FAIL_STEP(&checker, local, "loops stand inside each other more than %d deep", MAX_LOOP_DEPTH);
        else
            ends[++depth] = step->body_end;
    }
    tn_arena_deinit(&checker.arena);
    return status;
}
