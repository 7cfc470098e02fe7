/* SPDX-License-Identifier: Apache-2.0
 *
 * conformance_test.c: runs the table. See conformance.h.
 *
 *     backend_conformance_test [FILTER [SHARE/SHARES]]
 *
 * FILTER: a part of "device tactic case"; "cuda " is all of cuda. SHARE: of every SHARES cases that one, from 1 on; for several programs
 * beside each other. Coverage is looked at where nothing of a device is left out.
 */
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"
#include "base/memory.h"

#define MAX_DEVICES   12
#define MAX_FAILURES  60
#define MAX_REF_CASES 32 /* of an operation */
#define MAX_ENCODINGS 64

typedef struct tested_device {
    tn_device *device;
    char label[64];
    size_t num_compared;
    size_t num_by_op[TN_NUM_OP_KINDS];
    struct {
        tn_encoding encoding; /* of weights that were multiplied with */
        tn_op_kind op;
    } multiplied[MAX_ENCODINGS];
    size_t num_multiplied;
} tested_device;

typedef struct suite {
    tested_device devices[MAX_DEVICES];
    size_t num_devices;
    tn_coverage *coverage;
    const char *filter;
    unsigned share, num_shares; /* cases share − 1, share − 1 + num_shares, … run */
    tn_diag *diag;
    tn_arena arena; /* of the case that runs */
    bool has_accelerator;
    size_t num_compared, num_windows, num_failed;
} suite;

static void fail(suite *s, const char *label, const tn_tactic *tactic, const char *layout, const tn_case *c, const char *message) {
    if (s->num_failed++ < MAX_FAILURES) printf("FAIL %s %s (%s) %s: %s\n", label, tactic->name, layout, c->name, message);
}

static const char *last_message(suite *s) {
    static tn_diag_entry entry;
    size_t count = tn_diag_num_entries(s->diag);
    return count > 0 && tn_diag_get(s->diag, count - 1, &entry) == TN_OK ? entry.message : "no message";
}

/* --- devices ---------------------------------------------------------------------------------------------------------------------- */

static void add_device(suite *s, const char *backend, const char *isa, int num_threads, bool is_async) {
    tn_device_options options;
    tn_device_options_init(&options);
    options.isa = isa, options.num_threads = num_threads, options.async = is_async, options.async_seed = 1, options.diag = s->diag;
    tested_device *added = &s->devices[s->num_devices];
    (void)snprintf(added->label, sizeof added->label, "%s%s%s%s", backend, is_async ? "-async" : "", isa != NULL ? "-" : "",
                   isa != NULL ? isa : "");
    if (tn_backend_find(backend) == NULL) {
        printf("SKIP %s: not in this build\n", added->label);
        return;
    }
    if (num_threads > 0) (void)snprintf(added->label + strlen(added->label), 16, "-%dt", num_threads);
    if (tn_device_create(backend, &options, &added->device) == TN_OK) {
        s->num_devices++;
        s->has_accelerator = s->has_accelerator || !added->device->backend->is_host;
    } else {
        printf("SKIP %s: %s\n", added->label, last_message(s));
    }
}

static void add_devices(suite *s) {
    add_device(s, "ref", NULL, 0, false);
    add_device(s, "ref", NULL, 0, true);
    static const char *const levels[] = {"c", "avx2", "avx512_vnni"};
    for (size_t i = 0; i < 3; i++) add_device(s, "cpu", levels[i], 1, false);
    add_device(s, "cpu", NULL, 3, false);
    add_device(s, "cuda", NULL, 0, false);
    printf("SKIP null: does no arithmetic\n");
}

/* --- one case --------------------------------------------------------------------------------------------------------------------- */

static void make_case(const tn_case *c, tn_arena *arena, bool shapes_only, int64_t first_row, int64_t num_rows, tn_case_build *out) {
    memset(out, 0, sizeof *out);
    out->from = c, out->arena = arena, out->shapes_only = shapes_only, out->first_row = first_row, out->num_rows = num_rows;
    c->make(out);
    for (int p = 0; p < out->num_problems; p++) out->problems[p].builder.problem.params = &out->problems[p].params;
}

static tn_problem_builder *subject(tn_case_build *build) {
    return &build->problems[build->num_problems - 1].builder;
}

static double factor_of(const tn_case *c, const tn_tactic *tactic) {
    bool is_rounded = tactic->numerics == TN_NUMERICS_BF16_CUDA && c->rounded_factor > 0.0;
    return (c->tolerance_factor > 0.0 ? c->tolerance_factor : 1.0) * (is_rounded ? c->rounded_factor : 1.0);
}

/* NON_ZERO leaves the rest of its buffer alone. */
static void clear_rest(tn_problem_builder *builder, tn_case_result *result) {
    if (builder->problem.op != TN_OP_NON_ZERO) return;
    int64_t n;
    memcpy(&n, result->outputs[2], sizeof n);
    size_t element = tn_dtype_get_info(builder->operands[1].dtype)->bits / 8;
    size_t used = (size_t)(n * builder->symbols[builder->operands[1].dims[0]]) * element, size = tn_case_output_bytes(builder, 1);
    if (used < size) memset((char *)result->outputs[1] + used, 0, size - used);
}

/* For the table of docs/models.md. */
static void note_weights(tested_device *d, const tn_problem *problem) {
    if (problem->op != TN_OP_MATRIX_MULTIPLY && problem->op != TN_OP_GROUPED_MATMUL) return;
    for (uint32_t i = 0; i < problem->num_inputs; i++) {
        const tn_operand *operand = &problem->operands[i];
        size_t known = 0;
        if (operand->role != TN_ROLE_WEIGHT || operand->rank < 2) continue;
        while (known < d->num_multiplied &&
               (d->multiplied[known].op != problem->op || !tn_encoding_equal(&d->multiplied[known].encoding, &operand->encoding)))
            known++;
        if (known < d->num_multiplied || known == MAX_ENCODINGS) continue;
        d->multiplied[known].encoding = operand->encoding;
        d->multiplied[known].op = problem->op;
        d->num_multiplied++;
    }
}

static void print_weights(const tested_device *d) {
    char name[64];
    for (size_t i = 0; i < d->num_multiplied; i++)
        printf("RAN %s %s on %s\n", d->multiplied[i].op == TN_OP_GROUPED_MATMUL ? "experts" : "matrices",
               tn_encoding_name(&d->multiplied[i].encoding, name), d->device->backend->name);
}

/* What earlier runs of a numerics gave for this case. */
typedef struct seen_result {
    bool is_there;
    tn_case_result result;
    char label[128];
} seen_result;

static bool has_other_bits(tn_problem_builder *builder, size_t state_bytes, const tn_case_result *a, const tn_case_result *b) {
    for (uint32_t i = builder->problem.num_inputs; i < builder->problem.num_operands; i++)
        if (a->outputs[i] != NULL && memcmp(a->outputs[i], b->outputs[i], tn_case_output_bytes(builder, i)) != 0) return true;
    return a->state != NULL && b->state != NULL && memcmp(a->state, b->state, state_bytes) != 0;
}

/* A case, and some of its rows alone, made once for all tactics. */
typedef struct case_window {
    int64_t first, count;
    size_t offsets[TN_BUILD_MAX_OPERANDS]; /* of the outputs' first byte among the whole case's */
    tn_case_build build;
} case_window;
typedef struct case_run {
    const tn_case *from;
    tn_arena *arena;
    tn_case_build build;
    tn_case_result expected;
    case_window windows[2];
    int num_windows;
    bool has_expected, has_windows; /* they are made when first wanted */
} case_run;

static void make_windows(case_run *run) {
    const tn_case *c = run->from;
    static tn_case_build before;
    run->has_windows = true;
    run->num_windows = !c->has_windows || c->rows < 2 ? 0 : c->rows > 3 ? 2 : 1;
    for (int w = 0; w < run->num_windows; w++) {
        case_window *window = &run->windows[w];
        window->first = w == 0 ? c->rows / 2 : 1;
        window->count = w == 0 ? 1 : c->rows - 2;
        make_case(c, run->arena, false, window->first, window->count, &window->build);
        make_case(c, run->arena, true, 0, window->first, &before);
        tn_problem_builder *b = subject(&before);
        for (uint32_t i = b->problem.num_inputs; i < b->problem.num_operands; i++) window->offsets[i] = tn_case_output_bytes(b, i);
    }
}

/* Rows alone give the bits that they have among the others; where a tactic's order of sums may depend on the number of rows, they are
 * compared with ref's instead. */
static void compare_window(suite *s, const tested_device *d, const tn_tactic *tactic, const char *layout, case_run *run,
                           case_window *window, const tn_case_result *whole_result) {
    const tn_case *c = run->from;
    tn_case_result result;
    tn_status status = tn_case_run(&window->build, d->device, tactic, layout, &result, s->diag);
    if (status != TN_OK) fail(s, d->label, tactic, layout, c, last_message(s));
    tn_problem_builder *b = subject(&window->build);
    for (uint32_t i = b->problem.num_inputs; i < b->problem.num_operands && status == TN_OK; i++) {
        if (result.outputs[i] == NULL) continue;
        char message[256] = "rows alone have other bits than among others";
        const char *expected = (const char *)run->expected.outputs[i] + window->offsets[i];
        const char *whole = (const char *)whole_result->outputs[i] + window->offsets[i];
        bool differs = tn_numerics_is_shared(tactic->numerics)
                           ? memcmp(result.outputs[i], whole, tn_case_output_bytes(b, i)) != 0
                           : tn_case_differs(&b->problem, i, b->symbols, tactic->numerics, factor_of(c, tactic), expected,
                                             result.outputs[i], message, sizeof message);
        if (!differs) continue;
        fail(s, d->label, tactic, layout, c, message);
        break;
    }
    s->num_windows++;
}

/* Equal inputs give equal bits. For tactics that nobody else is compared with. */
static void compare_again(suite *s, const tested_device *d, const tn_tactic *tactic, const char *layout, const tn_case *c,
                          tn_case_build *build, const tn_case_result *first) {
    tn_case_result second;
    if (tn_case_run(build, d->device, tactic, layout, &second, s->diag) != TN_OK) {
        fail(s, d->label, tactic, layout, c, last_message(s));
        return;
    }
    clear_rest(subject(build), &second);
    if (has_other_bits(subject(build), build->state_bytes, first, &second))
        fail(s, d->label, tactic, layout, c, "other bits when it ran again");
}

static void compare_one(suite *s, tested_device *d, const tn_tactic *tactic, const char *layout, case_run *run,
                        seen_result seen[TN_NUM_NUMERICS]) {
    tn_case_result result;
    char message[256];
    const tn_case *c = run->from;
    tn_case_build *build = &run->build;
    const tn_case_result *expected = &run->expected;
    tn_problem_builder *b = subject(build);
    tn_status status = tn_case_run(build, d->device, tactic, layout, &result, s->diag);
    if (status == TN_NOT_FOUND) {
        static char told[128];
        if (strcmp(told, d->label) != 0) printf("SKIP %s %s: nothing of this backend fills the cache\n", d->label, tactic->name);
        (void)snprintf(told, sizeof told, "%s", d->label);
        return;
    }
    if (status != TN_OK) {
        fail(s, d->label, tactic, layout, c, last_message(s));
        return;
    }
    clear_rest(b, &result);
    d->num_compared++;
    s->num_compared++;
    tn_coverage_add(s->coverage, d->device, tactic, tn_build_problem(b));
    for (uint32_t i = b->problem.num_inputs; i < b->problem.num_operands; i++)
        if (result.outputs[i] != NULL && tn_case_differs(&b->problem, i, b->symbols, tactic->numerics, factor_of(c, tactic),
                                                         expected->outputs[i], result.outputs[i], message, sizeof message)) {
            fail(s, d->label, tactic, layout, c, message);
            return;
        }
    if (result.state != NULL && memcmp(result.state, expected->state, build->state_bytes) != 0)
        fail(s, d->label, tactic, layout, c, "the state has other bytes than ref's");
    note_weights(d, tn_build_problem(b));
    bool is_shared = tn_numerics_is_shared(tactic->numerics);
    if (!is_shared) compare_again(s, d, tactic, layout, c, build, &result);
    seen_result *earlier = &seen[tactic->numerics];
    if (is_shared && earlier->is_there && has_other_bits(b, build->state_bytes, &earlier->result, &result)) {
        (void)snprintf(message, sizeof message, "other bits than %s, of equal numerics %s", earlier->label,
                       tn_numerics_name(tactic->numerics));
        fail(s, d->label, tactic, layout, c, message);
    }
    if (!earlier->is_there) {
        *earlier = (seen_result){.is_there = true, .result = result};
        (void)snprintf(earlier->label, sizeof earlier->label, "%s %s (%s)", d->label, tactic->name, layout);
    }
    bool is_ref = strcmp(d->device->backend->name, "ref") == 0; /* goes row by row anyway, and slowly */
    if (is_ref) return;
    if (!run->has_windows) make_windows(run);
    for (int w = 0; w < run->num_windows; w++) compare_window(s, d, tactic, layout, run, &run->windows[w], &result);
}

static bool is_wanted(const suite *s, const char *label, const tn_tactic *tactic, const tn_case *c) {
    char line[256];
    (void)snprintf(line, sizeof line, "%s %s %s", label, tactic->name, c->name);
    return s->filter == NULL || strstr(line, s->filter) != NULL;
}

/* Ref runs the same functions as the oracle: what its devices add (memory, streams, the workspace) a few cases show. */
static bool is_left_out(tested_device *d, const tn_case *c) {
    bool is_ref = strcmp(d->device->backend->name, "ref") == 0;
    if (c->is_for_accelerators && d->device->backend->is_host) return true;
    return is_ref && (c->is_for_accelerators || d->num_by_op[c->op]++ >= MAX_REF_CASES);
}

static void run_case(suite *s, const tn_case *c) {
    static const char *const plain[] = {TN_LAYOUT_PLAIN, NULL};
    static case_run run;
    static seen_result seen[TN_NUM_NUMERICS];
    char reason[128];
    if (c->is_for_accelerators && !s->has_accelerator) return;
    memset(&run, 0, sizeof run);
    memset(seen, 0, sizeof seen);
    run.from = c, run.arena = &s->arena;
    make_case(c, run.arena, false, 0, c->rows, &run.build);
    tn_problem_builder *b = subject(&run.build);
    tn_case_set_layout(b, TN_LAYOUT_PLAIN);
    if (!tn_ref_supports(tn_build_problem(b), reason, sizeof reason)) return;
    for (size_t i = 0; i < s->num_devices; i++) {
        tested_device *d = &s->devices[i];
        for (size_t t = 0; t < d->device->backend->num_tactics; t++) {
            const tn_tactic *tactic = d->device->backend->tactics[t];
            if (tactic->op != c->op || !is_wanted(s, d->label, tactic, c) || is_left_out(d, c)) continue;
            for (const char *const *layout = tactic->layouts != NULL ? tactic->layouts : plain; *layout != NULL; layout++) {
                tn_case_set_layout(b, *layout);
                if (!tactic->supports(&d->device->info, tn_build_problem(b), reason, sizeof reason)) continue;
                if (!run.has_expected && tn_case_run_ref(&run.build, &run.expected, s->diag) != TN_OK) {
                    fail(s, "ref", tactic, *layout, c, last_message(s));
                    return;
                }
                if (!run.has_expected) clear_rest(b, &run.expected);
                if (!run.has_expected && strcmp(s->devices[0].device->backend->name, "ref") == 0)
                    note_weights(&s->devices[0], tn_build_problem(b));
                run.has_expected = true;
                tn_case_set_layout(b, *layout);
                compare_one(s, d, tactic, *layout, &run, seen);
            }
        }
    }
}

static void report_missing(void *user, const tn_device *device, const tn_tactic *tactic, const char *message) {
    (void)user;
    printf("FAIL %s %s %s\n", device->backend->name, tactic->name, message);
}

/* Was all of this device's work compared? A filter of its label and a space leaves nothing of it out. */
static bool is_whole(const suite *s, const tested_device *d) {
    size_t length = strlen(d->label);
    if (s->num_shares > 1) return false;
    return s->filter == NULL || (strncmp(s->filter, d->label, length) == 0 && strcmp(s->filter + length, " ") == 0);
}

/* Devices of a backend accept alike but for what they are: one of each kind of them is walked. */
static bool is_walked(const suite *s, size_t device) {
    for (size_t i = 0; i < device; i++) {
        const tn_device *a = s->devices[i].device, *b = s->devices[device].device;
        if (a->backend == b->backend && a->info.isa == b->info.isa && is_whole(s, &s->devices[i])) return true;
    }
    return false;
}

/* Ref is the oracle: its own table of types is wider than the cases. */
static void walk_coverage(suite *s, const tn_case_list *list) {
    for (size_t i = 0; i < s->num_devices; i++) {
        const tested_device *d = &s->devices[i];
        if (strcmp(d->device->backend->name, "ref") == 0 || !is_whole(s, d) || is_walked(s, i)) continue;
        for (size_t c = 0; c < list->count; c++) {
            static tn_case_build build;
            if (list->data[c].is_for_accelerators && d->device->backend->is_host) continue;
            make_case(&list->data[c], &s->arena, true, 0, list->data[c].rows, &build);
            tn_case_set_layout(subject(&build), TN_LAYOUT_PLAIN);
            for (size_t t = 0; t < d->device->backend->num_tactics; t++)
                if (d->device->backend->tactics[t]->op == list->data[c].op)
                    s->num_failed +=
                        tn_coverage_walk(s->coverage, d->device, d->device->backend->tactics[t], subject(&build), report_missing, NULL);
            tn_arena_reset(&s->arena);
        }
    }
}

int main(int argc, char **argv) {
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    static suite s;
    tn_case_list list = {NULL, 0, 0};
    s.filter = argc > 1 ? argv[1] : NULL;
    s.share = s.num_shares = 1;
    if (argc > 2 && (sscanf(argv[2], "%u/%u", &s.share, &s.num_shares) != 2 || s.share < 1 || s.share > s.num_shares)) {
        printf("FAIL %s is no share: 1/8 … 8/8\n", argv[2]);
        return 2;
    }
    s.coverage = tn_coverage_create();
    if (tn_diag_create(NULL, &s.diag) != TN_OK || s.coverage == NULL || !tn_cases_make(&list)) {
        printf("FAIL out of memory\n");
        return 1;
    }
    add_devices(&s);
    for (size_t i = s.share - 1; i < list.count; i += s.num_shares) {
        run_case(&s, &list.data[i]);
        tn_arena_reset(&s.arena);
        tn_diag_clear(s.diag);
    }
    walk_coverage(&s, &list);
    for (size_t i = 0; i < s.num_devices; i++) {
        printf("%-24s %zu comparisons\n", s.devices[i].label, s.devices[i].num_compared);
        print_weights(&s.devices[i]);
        if (s.devices[i].num_compared == 0 && s.filter == NULL)
            printf("FAIL %s was compared with nothing\n", s.devices[i].label), s.num_failed++;
        tn_device_destroy(s.devices[i].device);
    }
    printf("%zu cases, %zu comparisons, %zu windows, %zu failed\n", list.count, s.num_compared, s.num_windows, s.num_failed);
    tn_array_deinit(NULL, &list);
    tn_arena_deinit(&s.arena);
    tn_coverage_destroy(s.coverage);
    tn_diag_destroy(s.diag);
    return s.num_failed == 0 ? 0 : 1;
}
