/* SPDX-License-Identifier: Apache-2.0
 *
 * dump.c: TN_DUMP=steps shows the steps after lowering, TN_DUMP=plan the chosen tactics as well. For people; not parsed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder/builder_internal.h"

static bool is_wanted(const char *what) {
    const char *list = getenv("TN_DUMP");
    size_t size = strlen(what);
    while (list != NULL && *list != '\0') {
        size_t item = strcspn(list, ",");
        if (item == size && strncmp(list, what, size) == 0) return true;
        list += item + (list[item] == ',');
    }
    return false;
}

static void print_ref(const tn_draft *draft, const tn_draft_function *f, const tn_plan_ref *ref, tn_text *out) {
    switch (ref->space) {
    case TN_SPACE_NONE: tn_text_append_string(out, " -"); return;
    case TN_SPACE_WEIGHT: tn_text_append_format(out, " weight:%s", draft->weights.data[ref->id].name); return;
    case TN_SPACE_STATE: tn_text_append_format(out, " state:%s", draft->states.data[ref->id].name); return;
    default: tn_text_append_format(out, " %s", f->tensors.data[ref->id].name); break;
    }
    if (ref->stride_symbol != 0) tn_text_append_format(out, "[s%" PRIu32 "*s%" PRIu32 "]", ref->index_symbol, ref->stride_symbol);
}

static void print_step(const tn_draft *draft, const tn_draft_function *f, size_t index, bool with_tactics, tn_text *out) {
    static const char *const kinds[] = {"", "launch", "copy", "read", "loop", "collective", "plugin"};
    const tn_draft_step *step = &f->steps.data[index];
    tn_text_append_format(out, "%4zu %s%s '%s'", index, kinds[step->record.kind], step->record.device == 0 ? "@host" : "", step->name);
    for (uint32_t i = 0; i < step->record.num_refs; i++) print_ref(draft, f, &step->refs[i], out);
    if (step->record.guard != 0) tn_text_append_format(out, " if s%" PRIu32, step->record.guard);
    if (step->record.kind == TN_STEP_LOOP)
        tn_text_append_format(out, " count s%" PRIu32 " while s%" PRIu32 " to %" PRIu32, step->record.count, step->record.condition,
                              step->record.body_end);
    if (step->has_problem) {
        tn_text_append_string(out, "\n       ");
        tn_problem_print(&step->problem, f->symbols.data, f->symbols.count, out);
    }
    for (uint32_t i = 0; with_tactics && i < step->num_variants; i++)
        tn_text_append_format(out, "\n       profile %" PRIu32 " %" PRId64 "..%" PRId64 ": %s", step->variants[i].profile,
                              step->variants[i].bucket_min, step->variants[i].bucket_max, step->variants[i].tactic->name);
    tn_text_append_char(out, '\n');
}

void tn_builder_dump(const tn_draft *draft, const char *what) {
    if (!is_wanted(what)) return;
    tn_text out = {.allocator = draft->allocator};
    for (size_t i = 0; i < draft->functions.count; i++) {
        const tn_draft_function *f = &draft->functions.data[i];
        tn_text_append_format(&out, "function %s: %zu steps, %zu tensors, %zu symbols\n", f->name, f->steps.count, f->tensors.count,
                              f->symbols.count);
        for (size_t k = 0; k < f->steps.count; k++) print_step(draft, f, k, strcmp(what, "plan") == 0, &out);
    }
    if (!out.failed && out.data != NULL) (void)fputs(out.data, stderr);
    tn_text_deinit(&out);
}
