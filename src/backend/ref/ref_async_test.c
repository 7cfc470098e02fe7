/* SPDX-License-Identifier: Apache-2.0
 *
 * ref_async_test.c: the asynchronous reference device: work runs later and in order, its memory is not the host's, and what
 * goes wrong is told by synchronize.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"
#include "support/fault_allocator.h"

typedef struct fixture {
    tn_device *device;
    tn_stream *stream;
    const tn_backend *backend;
    tn_diag *diag;
    void *a, *b;
} fixture;

static int setup(void **state) {
    static fixture f;
    tn_device_options options;
    tn_device_options_init(&options);
    options.async = true, options.async_seed = 5;
    assert_int_equal(tn_diag_create(NULL, &f.diag), TN_OK);
    assert_int_equal(tn_device_create("ref", &options, &f.device), TN_OK);
    f.backend = f.device->backend;
    assert_int_equal(tn_stream_create(f.device, f.diag, &f.stream), TN_OK);
    assert_int_equal(f.backend->memory_allocate(f.device, TN_MEMORY_ACTIVATIONS, 4096, f.diag, &f.a), TN_OK);
    assert_int_equal(f.backend->memory_allocate(f.device, TN_MEMORY_ACTIVATIONS, 4096, f.diag, &f.b), TN_OK);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    tn_stream_destroy(f->stream);
    f->backend->memory_free(f->device, f->a, 4096);
    f->backend->memory_free(f->device, f->b, 4096);
    tn_device_destroy(f->device);
    tn_diag_destroy(f->diag);
    return 0;
}

/* y = 2 · x by ELEMENTWISE SUM of x with itself */
static const tn_elementwise_params sum_params = {.op = TN_ELEMENTWISE_SUM};

static void bind_double(tn_problem_builder *b, tn_launch *launch, tn_bound_step *step, void *from, void *to) {
    tn_build_begin(b, TN_OP_ELEMENTWISE, &sum_params);
    tn_build_input(b, TN_FLOAT32, from, TN_DIMS(4));
    tn_build_input(b, TN_FLOAT32, from, TN_DIMS(4));
    tn_build_output(b, TN_FLOAT32, to, TN_DIMS(4));
    const tn_tactic *tactic = tn_backend_find_tactic(tn_backend_find("ref"), "ref_elementwise");
    assert_non_null(tactic);
    assert_int_equal(tactic->prepare(NULL, tn_build_problem(b), b->symbols, launch), TN_OK);
    *step = (tn_bound_step){.launch = launch, .problem = &b->problem, .buffers = b->buffers, .symbols = b->symbols};
}

static void work_runs_in_order(void **state) {
    fixture *f = *state;
    tn_problem_builder forth, back;
    tn_launch launches[2];
    tn_bound_step steps[2];
    float x[4] = {1, 2, 3, -4}, y[4] = {0};
    bind_double(&forth, &launches[0], &steps[0], f->a, f->b);
    bind_double(&back, &launches[1], &steps[1], f->b, f->a);
    assert_false(f->backend->is_host);
    assert_int_equal(f->backend->copy(f->stream, TN_COPY_TO_DEVICE, f->a, x, sizeof x, f->diag), TN_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(f->backend->run_segment(f->stream, steps, 2, NULL, f->diag), TN_OK);
    assert_int_equal(f->backend->copy(f->stream, TN_COPY_TO_HOST, y, f->a, sizeof y, f->diag), TN_OK);
    assert_int_equal(tn_stream_synchronize(f->stream, f->diag), TN_OK);
    assert_memory_equal(y, ((float[]){1024, 2048, 3072, -4096}), sizeof y);
}

static void events_are_done_when_the_work_before_them_is(void **state) {
    fixture *f = *state;
    tn_event *event;
    float x[4] = {7, 8, 9, 10}, y[4] = {0};
    assert_int_equal(f->backend->event_create(f->device, f->diag, &event), TN_OK);
    assert_true(f->backend->event_is_done(event));
    for (int i = 0; i < 20; i++) {
        x[0] = (float)i;
        assert_int_equal(f->backend->copy(f->stream, TN_COPY_TO_DEVICE, f->a, x, sizeof x, f->diag), TN_OK);
        assert_int_equal(f->backend->copy(f->stream, TN_COPY_TO_HOST, y, f->a, sizeof y, f->diag), TN_OK);
        assert_int_equal(f->backend->event_record(f->stream, event), TN_OK);
        assert_int_equal(f->backend->event_wait(event, f->diag), TN_OK);
        assert_true(f->backend->event_is_done(event) && y[0] == (float)i);
    }
    f->backend->event_destroy(event);
}

static void host_memory_as_a_device_buffer_is_told(void **state) {
    fixture *f = *state;
    tn_problem_builder b;
    tn_launch launch;
    tn_bound_step step;
    tn_diag_entry entry;
    float x[4] = {1, 2, 3, 4};
    bind_double(&b, &launch, &step, x, f->a);
    assert_int_equal(f->backend->run_segment(f->stream, &step, 1, NULL, f->diag), TN_OK);
    assert_int_equal(tn_stream_synchronize(f->stream, f->diag), TN_INTERNAL);
    assert_int_equal(tn_diag_get(f->diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "step 0 (elementwise): buffer 0 is host memory, a device step cannot read it");
    assert_int_equal(tn_stream_synchronize(f->stream, f->diag), TN_OK); /* told once; the stream goes on */
    assert_int_equal(f->backend->copy(f->stream, TN_COPY_ON_DEVICE, x, f->a, 4, f->diag), TN_OK);
    assert_int_equal(tn_stream_synchronize(f->stream, f->diag), TN_INTERNAL);
}

static void host_code_that_reads_device_memory_faults(void **state) {
    fixture *f = *state;
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        (void)signal(SIGBUS, SIG_DFL);
        _exit(*(volatile const char *)f->a);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void memory_comes_back_zeroed_and_limits_hold(void **state) {
    fixture *f = *state;
    char bytes[64];
    void *again;
    memset(bytes, 1, sizeof bytes);
    assert_int_equal(f->backend->copy(f->stream, TN_COPY_TO_DEVICE, f->b, bytes, sizeof bytes, f->diag), TN_OK);
    assert_int_equal(tn_stream_synchronize(f->stream, f->diag), TN_OK);
    f->backend->memory_free(f->device, f->b, 4096);
    assert_int_equal(f->backend->memory_allocate(f->device, TN_MEMORY_STATE, 4096, f->diag, &again), TN_OK);
    assert_ptr_equal(again, f->b);
    assert_int_equal(f->backend->copy(f->stream, TN_COPY_TO_HOST, bytes, f->b, sizeof bytes, f->diag), TN_OK);
    assert_int_equal(tn_stream_synchronize(f->stream, f->diag), TN_OK);
    for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(bytes[i], 0);
    assert_int_equal(f->backend->memory_allocate(f->device, TN_MEMORY_STATE, SIZE_MAX / 2, f->diag, &again), TN_OUT_OF_MEMORY);
}

static void a_memory_limit_is_told_with_both_numbers(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "null"};
    for (int i = 0; i < 2; i++) {
        tn_device_options options;
        tn_device *device;
        tn_diag *diag;
        tn_diag_entry entry;
        void *memory;
        char expected[128];
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_device_options_init(&options);
        options.memory_limit_bytes = 1000;
        assert_int_equal(tn_device_create(backends[i], &options, &device), TN_OK);
        assert_int_equal(device->backend->memory_allocate(device, TN_MEMORY_WEIGHTS, 600, diag, &memory), TN_OK);
        void *second;
        assert_int_equal(device->backend->memory_allocate(device, TN_MEMORY_WEIGHTS, 600, diag, &second), TN_OUT_OF_MEMORY);
        assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
        (void)snprintf(expected, sizeof expected, "cannot allocate 600 B of tensor memory on %s: the limit is 1 KB", backends[i]);
        assert_string_equal(entry.message, expected);
        device->backend->memory_free(device, memory, 600);
        tn_device_destroy(device);
        tn_diag_destroy(diag);
    }
}

static void an_unknown_backend_is_told_with_those_there_are(void **state) {
    (void)state;
    tn_device_options options;
    tn_device *device;
    tn_diag_entry entry;
    tn_device_options_init(&options);
    assert_int_equal(tn_diag_create(NULL, &options.diag), TN_OK);
    assert_int_equal(tn_device_create("tpu", &options, &device), TN_NOT_FOUND);
    assert_null(device);
    assert_int_equal(tn_diag_get(options.diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot create a device: there is no backend 'tpu'");
    assert_non_null(strstr(entry.hint, "ref"));
    options.num_threads = -1;
    assert_int_equal(tn_device_create("ref", &options, &device), TN_INVALID_ARGUMENT);
    tn_diag_destroy(options.diag);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    for (int is_async = 0; is_async < 2; is_async++)
        for (size_t n = 1;; n++) {
            tn_fault_allocator fault;
            tn_fault_allocator_init(&fault, n);
            tn_device_options options;
            tn_device_options_init(&options);
            options.async = is_async != 0, options.allocator = &fault.allocator;
            assert_int_equal(tn_diag_create(NULL, &options.diag), TN_OK);
            tn_device *device = NULL;
            tn_stream *stream = NULL;
            tn_status status = tn_device_create("ref", &options, &device);
            if (status == TN_OK) status = tn_stream_create(device, options.diag, &stream);
            char byte = 0;
            void *memory = NULL;
            if (status == TN_OK) status = device->backend->memory_allocate(device, TN_MEMORY_STATE, 64, options.diag, &memory);
            if (status == TN_OK) status = device->backend->copy(stream, TN_COPY_TO_DEVICE, memory, &byte, 1, options.diag);
            if (status == TN_OK) status = tn_stream_synchronize(stream, options.diag);
            tn_stream_destroy(stream);
            if (device != NULL) device->backend->memory_free(device, memory, 64);
            tn_device_destroy(device);
            tn_diag_destroy(options.diag);
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
            if (!tn_fault_has_failed(&fault)) {
                assert_int_equal(status, TN_OK);
                break;
            }
            assert_int_equal(status, TN_OUT_OF_MEMORY);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(work_runs_in_order),
        TEST(events_are_done_when_the_work_before_them_is),
        TEST(host_memory_as_a_device_buffer_is_told),
        TEST(host_code_that_reads_device_memory_faults),
        TEST(memory_comes_back_zeroed_and_limits_hold),
        cmocka_unit_test(a_memory_limit_is_told_with_both_numbers),
        cmocka_unit_test(an_unknown_backend_is_told_with_those_there_are),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
