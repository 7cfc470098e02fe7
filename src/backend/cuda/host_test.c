/* SPDX-License-Identifier: Apache-2.0
 *
 * host_test.c: what of the cuda device needs no GPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "backend/cuda/cubins.h"
#include "backend/cuda/device.h"
#include "backend/cuda/tactics/tensors.h"

static void a_machine_without_a_gpu_is_told_so_in_one_line(void **state) {
    tn_diag *diag;
    tn_device *device = NULL;
    tn_device_options options;
    tn_diag_entry entry;
    (void)state;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_device_options_init(&options);
    options.diag = diag;
    tn_status status = tn_device_create("cuda", &options, &device);
    if (status == TN_OK) { /* there is one: device_test.c looks at it */
        tn_device_destroy(device);
        tn_diag_destroy(diag);
        skip();
    }
    assert_int_equal(status, TN_UNAVAILABLE);
    assert_null(device);
    assert_int_equal(tn_diag_num_entries(diag), 1);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.message, "cannot use a GPU: "));
    assert_null(strchr(entry.message, '\n'));
    tn_diag_destroy(diag);
}

static void every_kernel_has_a_source_text_and_a_name(void **state) {
    (void)state;
    for (int i = 0; i < TN_NUM_CUDA_KERNELS; i++) assert_true(strlen(tn_cuda_kernel_name((tn_cuda_kernel)i)) > 0);
#define TN_CUDA_SOURCE(file)
#define TN_CUDA_KERNEL(file, name) assert_non_null(strstr(tn_cuda_kernel_texts[TN_CUDA_SOURCE_##file].data, "\n"));
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE
#undef TN_CUDA_KERNEL
}

static void texts_are_the_whole_files(void **state) {
    (void)state;
    for (int i = 0; i < tn_cuda_num_header_texts; i++) {
        assert_true(strlen(tn_cuda_header_texts[i].name) > 0);
        assert_true(strlen(tn_cuda_header_texts[i].data) > 0);
    }
    const char *text = tn_cuda_kernel_texts[TN_CUDA_SOURCE_copy_blocks].data;
    assert_int_equal(strncmp(text, "/* SPDX-License-Identifier", 26), 0);
    assert_string_equal(text + strlen(text) - 3, "\n}\n");
}

static void architectures_are_named_as_the_compiler_names_them(void **state) {
    char name[16];
    (void)state;
    tn_cuda_architecture_name(80, name);
    assert_string_equal(name, "sm_80");
    tn_cuda_architecture_name(90, name);
    assert_string_equal(name, "sm_90a");
    tn_cuda_architecture_name(120, name);
    assert_string_equal(name, "sm_120");
}

static void an_unknown_compiler_library_is_told(void **state) {
    tn_nvrtc nvrtc;
    tn_diag *diag;
    tn_diag_entry entry;
    (void)state;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_nvrtc_load("/nowhere/libnvrtc.so", diag, &nvrtc), TN_UNAVAILABLE);
    assert_null(nvrtc.library);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.message, "cannot compile GPU kernels"));
    tn_diag_destroy(diag);
}

enum { NUM_TASKS = 1000 };

static void count_task(void *user, int64_t index, int worker) {
    _Atomic int *counts = user;
    if (worker < 4) atomic_fetch_add(&counts[index], 1);
}

static void host_tasks_run_once_each_on_any_number_of_threads(void **state) {
    static _Atomic int counts[NUM_TASKS];
    static tn_cuda_device device;
    (void)state;
    for (int num_threads = 1; num_threads <= 4; num_threads++) {
        device.num_host_threads = num_threads;
        for (int i = 0; i < NUM_TASKS; i++) counts[i] = 0;
        tn_cuda_run_host_tasks(&device.base, count_task, counts, NUM_TASKS);
        for (int i = 0; i < NUM_TASKS; i++) assert_int_equal(counts[i], 1);
    }
    tn_cuda_run_host_tasks(&device.base, count_task, counts, 0);
}

static void launches_hold_what_was_added(void **state) {
    tn_launch launch = {0};
    double value;
    (void)state;
    tn_cuda_launch_add(&launch, TN_CUDA_KERNEL_copy_kv_block, 7, 3, 2, 256, 1024);
    tn_cuda_set_real(&launch, 5, -0.25);
    assert_int_equal(launch.cuda.num_phases, 1);
    assert_int_equal(launch.cuda.phases[0].grid[0] * 100 + launch.cuda.phases[0].grid[1] * 10 + launch.cuda.phases[0].grid[2], 732);
    assert_int_equal(launch.cuda.phases[0].num_threads, 256);
    assert_int_equal(launch.cuda.phases[0].shared_bytes, 1024);
    memcpy(&value, &launch.constants[5], sizeof value);
    assert_true(value == -0.25);
}

static void a_block_of_the_cache_holds_its_tokens_and_their_scales(void **state) {
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT16, TN_INT8, TN_FLOAT8_E4M3FN};
    (void)state;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        tn_kv_geometry geometry = {3, 2, 24, 40, 32, dtypes[i]};
        assert_int_equal(tn_cuda_kv_block_bytes(NULL, &geometry), 32 * tn_kv_token_bytes(&geometry));
    }
}

static void axes_that_lie_together_become_one(void **state) {
    (void)state;
    tn_cuda_axes dense = {4, {2, 3, 1, 5}, {15, 5, 5, 1}}, turned = {3, {4, 2, 3}, {1, 12, 4}};
    int64_t constants[3] = {0};
    tn_cuda_axes_merge(&dense);
    assert_int_equal(dense.count, 0);
    tn_cuda_axes_merge(&turned);
    assert_int_equal(turned.count, 2);
    assert_int_equal(turned.sizes[1], 6);
    assert_int_equal(turned.strides[1], 4);
    assert_true(tn_cuda_axes_store(&turned, constants));
    assert_int_equal(constants[1], (int64_t)4 << 32 | 6);
    turned.strides[0] = (int64_t)1 << 31;
    assert_false(tn_cuda_axes_store(&turned, constants));
}

#define TEST(name) cmocka_unit_test(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_machine_without_a_gpu_is_told_so_in_one_line),
        TEST(every_kernel_has_a_source_text_and_a_name),
        TEST(texts_are_the_whole_files),
        TEST(architectures_are_named_as_the_compiler_names_them),
        TEST(an_unknown_compiler_library_is_told),
        TEST(host_tasks_run_once_each_on_any_number_of_threads),
        TEST(launches_hold_what_was_added),
        TEST(a_block_of_the_cache_holds_its_tokens_and_their_scales),
        TEST(axes_that_lie_together_become_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
