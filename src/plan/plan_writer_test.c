/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_writer_test.c: what is written reads back; files and memory hold the same bytes; nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "plan/plan_writer.h"
#include "support/fault_allocator.h"
#include "weights/recipe_text.h"

enum { ROWS = 3000, COLUMNS = 300 };

typedef struct fixture {
    char path[64];
    float *large;
    tn_arena arena;
    tn_diag *diag;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->path, sizeof f->path, "/tmp/tenon-plan-writer-%d.plan", (int)getpid());
    f->large = malloc(sizeof *f->large * ROWS * COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++) f->large[i] = (float)(i % 1013);
    return tn_diag_create(NULL, &f->diag) == TN_OK ? 0 : -1;
}

static int teardown(void **state) {
    fixture *f = *state;
    (void)unlink(f->path);
    free(f->large);
    tn_diag_destroy(f->diag);
    tn_arena_deinit(&f->arena);
    free(f);
    return 0;
}

static tn_status add_weight(tn_plan_writer *w, const tn_weights *weights, const char *name, uint32_t storage) {
    size_t size;
    tn_status status = tn_weights_packed_bytes(&weights->desc, NULL, &size);
    tn_plan_weight record = {.name = tn_plan_writer_string(w, name),
                             .dtype = tn_plan_writer_string(w, "float32"),
                             .encoding = tn_plan_writer_string(w, "float32"),
                             .layout = tn_plan_writer_string(w, "plain"),
                             .storage = storage,
                             .recipe = tn_plan_writer_string(w, storage == TN_WEIGHT_STRIPPED ? "load(\"w\" float32[2])" : ""),
                             .rank = (uint32_t)weights->desc.dims.rank,
                             .size = size};
    for (int i = 0; i < weights->desc.dims.rank; i++) record.dims[i] = weights->desc.dims.d[i];
    uint32_t index;
    return status == TN_OK ? tn_plan_writer_add_weight(w, &record, &(tn_plan_weight_source){.recipe = weights}, &index) : status;
}

/* One function that copies its input to its output, three weights: one of several ranges, one small, one left out. */
static tn_status write_plan(fixture *f, const tn_allocator *allocator, const tn_plan_write_options *options, tn_plan **out_plan) {
    tn_plan_writer w;
    tn_plan_writer_init(&w, "ref", allocator, f->diag);
    *out_plan = NULL;
    uint32_t x = tn_plan_writer_string(&w, "x"), y = tn_plan_writer_string(&w, "y"), f32 = tn_plan_writer_string(&w, "float32");
    tn_plan_tensor in = {.name = x, .dtype = f32, .space = TN_SPACE_INPUT}, out = {.name = y, .dtype = f32, .space = TN_SPACE_OUTPUT};
    tn_plan_symbol one = {.op = tn_plan_writer_string(&w, "const"), .value = 1};
    tn_plan_step copy = {.kind = TN_STEP_COPY, .device = 1, .name = tn_plan_writer_string(&w, "copy"), .num_refs = 2};
    tn_plan_ref from = {.space = TN_SPACE_INPUT}, to = {.space = TN_SPACE_OUTPUT, .id = 1};
    tn_plan_function function = {.name = tn_plan_writer_string(&w, "forward"), .num_tensors = 2, .num_symbols = 1, .num_steps = 1};
    bool room = tn_array_push(allocator, &w.tensors, in) && tn_array_push(allocator, &w.tensors, out) &&
                tn_array_push(allocator, &w.symbols, one) && tn_array_push(allocator, &w.steps, copy) &&
                tn_array_push(allocator, &w.refs, from) && tn_array_push(allocator, &w.refs, to) &&
                tn_array_push(allocator, &w.functions, function);
    tn_status status = room ? TN_OK : TN_OUT_OF_MEMORY;
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(ROWS, COLUMNS)};
    const tn_weights *large = tn_weights_value(&f->arena, &desc, &(tn_weight_parts){.part = {f->large}}, NULL, NULL);
    const tn_weights *small = tn_weights_floats(&f->arena, (float[]){1, 2, 3}, TN_DIMS(3), NULL);
    const tn_weights *absent = tn_weights_floats(&f->arena, (float[]){1, 2}, TN_DIMS(2), NULL);
    if (status == TN_OK) status = add_weight(&w, large, "large", TN_WEIGHT_INLINE);
    if (status == TN_OK) status = add_weight(&w, absent, "absent", TN_WEIGHT_STRIPPED);
    if (status == TN_OK) status = add_weight(&w, small, "small", TN_WEIGHT_INLINE);
    w.header.flags = TN_PLAN_STRIPPED;
    tn_text_append_string(&w.meta, "{\"a\":1}");
    if (status == TN_OK) status = tn_plan_writer_finish(&w, options, out_plan);
    tn_plan_writer_deinit(&w);
    return status;
}

static void a_written_plan_reads_back(void **state) {
    fixture *f = *state;
    tn_plan *plan;
    assert_int_equal(write_plan(f, NULL, &(tn_plan_write_options){0}, &plan), TN_OK);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_string_equal(view->meta, "{\"a\":1}");
    assert_int_equal(view->num_weights, 3);
    assert_string_equal(tn_plan_string(view, view->weights[2].name), "small");
    assert_memory_equal(view->weight_data + view->weights[0].offset, f->large, sizeof *f->large * ROWS * COLUMNS);
    assert_memory_equal(view->weight_data + view->weights[2].offset, ((float[16]){1, 2, 3}), 64);
    assert_int_equal(view->weight_data_offset % 4096, 0);
    assert_int_equal(tn_plan_verify_weights(plan, NULL), TN_OK);
    tn_plan_destroy(plan);
}

static void run_backwards(void *user, void (*task)(void *task_user, int64_t index, int worker), void *task_user, int64_t num_tasks) {
    (void)user;
    for (int64_t i = num_tasks; i-- > 0;) task(task_user, i, 0);
}

static void file_and_memory_hold_the_same_bytes_in_any_order_of_tasks(void **state) {
    fixture *f = *state;
    tn_plan *memory, *file;
    assert_int_equal(write_plan(f, NULL, &(tn_plan_write_options){0}, &memory), TN_OK);
    assert_int_equal(write_plan(f, NULL, &(tn_plan_write_options){.path = f->path, .run_tasks = run_backwards}, &file), TN_OK);
    const tn_file *handle;
    assert_int_equal(tn_plan_size_bytes(memory), tn_plan_size_bytes(file));
    assert_memory_equal(tn_plan_bytes(memory, &handle), tn_plan_bytes(file, &handle), tn_plan_size_bytes(memory));
    tn_plan_destroy(file);

    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(tn_plan_save(memory, f->path, NULL), TN_OK);
    assert_int_equal(tn_plan_open_file(f->path, NULL, NULL, &file), TN_OK);
    assert_memory_equal(tn_plan_bytes(memory, &handle), tn_plan_bytes(file, &handle), tn_plan_size_bytes(memory));
    assert_int_equal(tn_plan_save(file, f->path, NULL), TN_OK);
    tn_plan_destroy(file);
    tn_plan_destroy(memory);
    assert_int_equal(unlink(f->path), 0);
}

static void equal_strings_stand_once(void **state) {
    (void)state;
    tn_plan_writer w;
    tn_plan_writer_init(&w, "ref", NULL, NULL);
    uint32_t offsets[1000];
    char name[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 1000; i++) {
            (void)snprintf(name, sizeof name, "name %d", i);
            uint32_t offset = tn_plan_writer_string(&w, name);
            if (round == 0) offsets[i] = offset;
            assert_int_equal(offset, offsets[i]);
            assert_string_equal(w.strings.data + offset, name);
        }
    assert_int_equal(tn_plan_writer_string(&w, ""), 0);
    tn_plan_writer_deinit(&w);
}

static bool refuse(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)total;
    assert_string_equal(phase, "pack weights");
    return done == 0 || user == NULL;
}

static void a_cancelled_write_leaves_no_file(void **state) {
    fixture *f = *state;
    tn_plan *plan;
    tn_progress progress = {.user = f, .report = refuse};
    assert_int_equal(write_plan(f, NULL, &(tn_plan_write_options){.path = f->path, .progress = &progress}, &plan), TN_CANCELLED);
    assert_null(plan);
    assert_int_not_equal(access(f->path, F_OK), 0);
}

static void each_failing_allocation_is_out_of_memory_and_leaks_nothing(void **state) {
    fixture *f = *state;
    for (int to_file = 0; to_file < 2; to_file++)
        for (size_t n = 1;; n++) {
            tn_fault_allocator fault;
            tn_fault_allocator_init(&fault, n);
            tn_plan *plan;
            tn_status status = write_plan(f, &fault.allocator, &(tn_plan_write_options){.path = to_file ? f->path : NULL}, &plan);
            tn_plan_destroy(plan);
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
            assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
            if (!tn_fault_has_failed(&fault)) break;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_plan_reads_back),
        cmocka_unit_test(file_and_memory_hold_the_same_bytes_in_any_order_of_tasks),
        cmocka_unit_test(equal_strings_stand_once),
        cmocka_unit_test(a_cancelled_write_leaves_no_file),
        cmocka_unit_test(each_failing_allocation_is_out_of_memory_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
