/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_report.c: what `tenon inspect --time` measured, as a table for people and as JSON.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/inspect_time.h"

/* --- sums ------------------------------------------------------------------------------------------------------------------------- */

static double bytes_of(const tn_step_work *work) {
    return work->bytes_read + work->bytes_written;
}

typedef struct totals {
    double us, bytes_read, bytes_written, flops;
    double floor_us; /* each step at the ceiling that holds it back */
    uint32_t num_run, num_unknown;
} totals;

static double floor_of(const tn_ceilings *ceilings, const tn_step_work *work) {
    double move_us = bytes_of(work) / ceilings->copy_bytes_per_us;
    return ceilings->flops_per_us > 0.0 ? fmax(move_us, work->flops / ceilings->flops_per_us) : move_us;
}

static totals add_up(const tn_time_report *report, const tn_timed_function *function) {
    totals sum = {0};
    for (uint32_t i = 0; i < function->num_steps; i++) {
        const tn_timed_step *step = &function->steps[i];
        if (step->tactic == NULL) continue;
        sum.us += step->us;
        sum.bytes_read += step->work.bytes_read;
        sum.bytes_written += step->work.bytes_written;
        sum.flops += step->work.flops;
        sum.floor_us += floor_of(&report->ceilings, &step->work);
        sum.num_run++;
        sum.num_unknown += !step->work.is_known;
    }
    return sum;
}

/* --- the table -------------------------------------------------------------------------------------------------------------------- */

/* Steps of one kind, tactic and shape: mostly the layers of a model. */
typedef struct step_group {
    const tn_timed_step *first;
    uint32_t count;
    double us;
} step_group;

static bool is_alike(const tn_timed_step *a, const tn_timed_step *b) {
    return strcmp(a->op, b->op) == 0 && strcmp(a->tactic, b->tactic) == 0 && strcmp(a->shape, b->shape) == 0 &&
           bytes_of(&a->work) == bytes_of(&b->work) && a->work.flops == b->work.flops;
}

static int compare_groups(const void *a, const void *b) {
    double x = ((const step_group *)a)->us, y = ((const step_group *)b)->us;
    return (x < y) - (x > y);
}

static uint32_t make_groups(const tn_timed_function *function, step_group *groups) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < function->num_steps; i++) {
        const tn_timed_step *step = &function->steps[i];
        uint32_t at = 0;
        if (step->tactic == NULL) continue;
        while (at < count && !is_alike(groups[at].first, step)) at++;
        if (at == count) groups[count++] = (step_group){.first = step};
        groups[at].count++;
        groups[at].us += step->us;
    }
    qsort(groups, count, sizeof *groups, compare_groups);
    return count;
}

/* "layers.3.mlp.down" → "mlp.down" */
static const char *short_name(const char *name) {
    const char *layers = strstr(name, "layers.");
    if (layers == NULL) return name;
    const char *rest = strchr(layers + strlen("layers."), '.');
    return rest != NULL ? rest + 1 : name;
}

/* Names of a group's steps without their layers, each once. */
static void print_names(const tn_timed_function *function, const step_group *group) {
    enum { MAX_NAMES = 3 };
    const char *names[MAX_NAMES];
    int count = 0;
    for (uint32_t i = 0; i < function->num_steps; i++) {
        const tn_timed_step *step = &function->steps[i];
        if (step->tactic == NULL || !is_alike(group->first, step)) continue;
        const char *name = short_name(step->name);
        bool is_new = true;
        for (int k = 0; k < count; k++) is_new = is_new && strcmp(names[k], name) != 0;
        if (!is_new) continue;
        if (count == MAX_NAMES) {
            fputs(", …", stdout);
            break;
        }
        printf("%s%s", count > 0 ? ", " : "", name);
        names[count++] = name;
    }
}

static void print_percent(double share) {
    if (share > 0.0)
        printf(" %5.*f%%", share < 0.0995 ? 1 : 0, 100.0 * share);
    else
        printf(" %6s", "-");
}

static void print_group(const tn_time_report *report, const tn_timed_function *function, const step_group *group, double total_us) {
    const tn_timed_step *step = group->first;
    const tn_ceilings *ceilings = &report->ceilings;
    double bytes = bytes_of(&step->work) * group->count, flops = step->work.flops * group->count, us = fmax(group->us, 1e-3);
    printf("%5u %9.1f %10.1f", group->count, group->us / group->count, group->us);
    print_percent(group->us / total_us);
    if (step->work.is_known)
        printf(" %10.3f %7.1f", bytes * 1e-6, bytes / us * 1e-3);
    else
        printf(" %10s %7s", "?", "?");
    print_percent(bytes / us / ceilings->copy_bytes_per_us);
    if (flops > 0.0)
        printf(flops < 1e11 ? " %9.3g" : " %9.0f", flops * 1e-9);
    else
        printf(" %9s", "-");
    print_percent(ceilings->flops_per_us > 0.0 ? flops / us / ceilings->flops_per_us : 0.0);
    printf("  %s by %s%s: %s  (", step->op, step->tactic, step->is_host ? " (host)" : "", step->shape);
    print_names(function, group);
    puts(")");
}

static void print_time(const char *what, double us, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void print_time(const char *what, double us, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("  %-10s %10.1f µs  ", what, us);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

static bool print_function(const tn_time_report *report, const tn_timed_function *function) {
    const tn_ceilings *ceilings = &report->ceilings;
    totals sum = add_up(report, function);
    step_group *groups = tn_alloc_array(NULL, function->num_steps, sizeof *groups);
    if (groups == NULL) return false;
    uint32_t num_groups = make_groups(function, groups);
    printf("\nfunction %s: %u step%s", function->name, function->num_steps, function->num_steps == 1 ? "" : "s");
    if (sum.num_run < function->num_steps) printf(", %u of them not needed for this batch", function->num_steps - sum.num_run);
    printf("\n%5s %10s %11s %6s %10s %7s %6s %9s %6s  %s\n", "count", "µs each", "µs", "share", "MB", "GB/s", "copy", "GFLOP", "mult",
           "step by tactic: shape (names)");
    for (uint32_t i = 0; i < num_groups; i++) print_group(report, function, &groups[i], sum.us);
    tn_free(NULL, groups);
    double bytes = sum.bytes_read + sum.bytes_written;
    putchar('\n');
    print_time("steps", sum.us, "each alone, added up: %.3f MB read, %.3f MB written, %.2f GFLOP", sum.bytes_read * 1e-6,
               sum.bytes_written * 1e-6, sum.flops * 1e-9);
    print_time("whole run", function->run_us, "%+.1f µs: %s", function->run_us - sum.us,
               function->run_us > sum.us ? "gaps between steps, inputs and outputs, the host"
                                         : "steps that nobody times wait neither for each other nor for their launch");
    print_time("bytes", bytes / ceilings->copy_bytes_per_us, "if all bytes moved at the copy bandwidth: %.0f %% of the whole run",
               100.0 * bytes / ceilings->copy_bytes_per_us / function->run_us);
    if (ceilings->flops_per_us > 0.0)
        print_time("floor", sum.floor_us, "each step at the ceiling that is lower for it: %.0f %% of the whole run",
                   100.0 * sum.floor_us / function->run_us);
    if (sum.num_unknown > 0) printf("  %u steps of unknown size count with their time only\n", sum.num_unknown);
    return true;
}

static void print_ceilings(const tn_ceilings *ceilings) {
    printf("copy bandwidth  %.1f GB/s, read and written, in copies of %zu MB\n", ceilings->copy_bytes_per_us * 1e-3,
           ceilings->copy_bytes / 1000000);
    if (ceilings->flops_per_us > 0.0)
        printf("multiply rate   %.1f GFLOP/s, %s, %s, %" PRId64 " x %" PRId64 " x %" PRId64 "\n", ceilings->flops_per_us * 1e-3,
               ceilings->product_tactic, ceilings->product_types, ceilings->product_size, ceilings->product_size, ceilings->product_size);
    else
        printf("multiply rate   not measured: %s\n", ceilings->product_refusal);
}

void tn_time_report_print(const tn_time_report *report) {
    const tn_work_batch *batch = &report->batch;
    puts(report->device);
    print_ceilings(&report->ceilings);
    if (report->is_prefill)
        printf("prefill of %" PRId64 " tokens of one sequence from an empty cache", batch->num_new);
    else
        printf("decode of %" PRId64 " sequence%s, %" PRId64 " tokens in the cache of each", batch->num_seqs,
               batch->num_seqs == 1 ? "" : "s", batch->num_cached);
    printf("; medians of %d runs\n", report->num_runs);
    for (int i = 0; i < report->num_functions; i++)
        if (!print_function(report, &report->functions[i])) (void)tn_cli_fail("out of memory");
    puts("\nMB: weights as stored, activations, and the cache that the batch sees, each byte once, read and written; GB/s and copy: of\n"
         "those bytes against the copy bandwidth, above 100 % where caches of the device hold them or where reading is cheaper than\n"
         "copying. GFLOP: matrix products and attention, a multiply-add as two; mult: against the multiply rate.");
}

/* --- JSON -------------------------------------------------------------------------------------------------------------------------- */

static void put_string(tn_text *out, const char *key, const char *value) {
    tn_text_append_format(out, "\"%s\":", key);
    if (value != NULL)
        tn_text_append_json_string(out, value, strlen(value));
    else
        tn_text_append_string(out, "null");
}

static void put_step(tn_text *out, uint32_t index, const tn_timed_step *step) {
    tn_text_append_format(out, "%s{\"index\":%u,", index > 0 ? "," : "", index);
    put_string(out, "name", step->name);
    tn_text_append_char(out, ',');
    put_string(out, "op", step->op);
    tn_text_append_char(out, ',');
    put_string(out, "tactic", step->tactic);
    tn_text_append_format(out, ",\"device\":\"%s\",", step->is_host ? "host" : "device");
    put_string(out, "shape", step->shape);
    tn_text_append_char(out, ',');
    put_string(out, "problem", step->problem);
    if (step->tactic != NULL)
        tn_text_append_format(out, ",\"us\":%.3f", step->us);
    else
        tn_text_append_string(out, ",\"us\":null");
    if (step->work.is_known)
        tn_text_append_format(out, ",\"bytes_read\":%.0f,\"bytes_written\":%.0f,\"flops\":%.0f}", step->work.bytes_read,
                              step->work.bytes_written, step->work.flops);
    else
        tn_text_append_string(out, ",\"bytes_read\":null,\"bytes_written\":null,\"flops\":null}");
}

static void put_function(tn_text *out, const tn_time_report *report, const tn_timed_function *function) {
    totals sum = add_up(report, function);
    tn_text_append_char(out, '{');
    put_string(out, "name", function->name);
    tn_text_append_format(out,
                          ",\"run_us\":%.3f,\"steps_us\":%.3f,\"bytes_read\":%.0f,\"bytes_written\":%.0f,\"flops\":%.0f,"
                          "\"bytes_floor_us\":%.3f,\"floor_us\":%.3f,\"steps\":[",
                          function->run_us, sum.us, sum.bytes_read, sum.bytes_written, sum.flops,
                          (sum.bytes_read + sum.bytes_written) / report->ceilings.copy_bytes_per_us, sum.floor_us);
    for (uint32_t i = 0; i < function->num_steps; i++) put_step(out, i, &function->steps[i]);
    tn_text_append_string(out, "]}");
}

static void put_multiply(tn_text *out, const tn_ceilings *ceilings) {
    if (ceilings->flops_per_us > 0.0) {
        tn_text_append_format(out, "\"multiply\":{\"flops_per_second\":%.0f,\"size\":%" PRId64 ",", ceilings->flops_per_us * 1e6,
                              ceilings->product_size);
        put_string(out, "tactic", ceilings->product_tactic);
        tn_text_append_char(out, ',');
        put_string(out, "types", ceilings->product_types);
        tn_text_append_string(out, "},");
    } else {
        tn_text_append_string(out, "\"multiply\":null,");
        put_string(out, "multiply_refusal", ceilings->product_refusal);
        tn_text_append_char(out, ',');
    }
}

void tn_time_report_put_json(const tn_time_report *report, tn_text *out) {
    tn_text_append_char(out, '{');
    put_string(out, "device", report->device);
    tn_text_append_format(out, ",\"mode\":\"%s\",\"sequences\":%" PRId64 ",\"context\":%" PRId64 ",\"tokens\":%" PRId64 ",\"runs\":%d,",
                          report->is_prefill ? "prefill" : "decode", report->batch.num_seqs, report->batch.num_cached,
                          report->batch.num_new, report->num_runs);
    tn_text_append_format(out, "\"copy\":{\"bytes_per_second\":%.0f,\"size_bytes\":%zu},", report->ceilings.copy_bytes_per_us * 1e6,
                          report->ceilings.copy_bytes);
    put_multiply(out, &report->ceilings);
    tn_text_append_string(out, "\"functions\":[");
    for (int i = 0; i < report->num_functions; i++) {
        if (i > 0) tn_text_append_char(out, ',');
        put_function(out, report, &report->functions[i]);
    }
    tn_text_append_string(out, "]}");
}
