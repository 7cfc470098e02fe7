/* SPDX-License-Identifier: Apache-2.0
 *
 * host_test.c: what of the cuda device needs no GPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "backend/conformance/problem_builder.h"
#include "backend/cuda/cubins.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kernels/matmul_args.h"
#include "backend/cuda/kernels/norm_args.h"
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

/* --- launches of an H100 ----------------------------------------------------------------------------------------------------------- */

static const tn_device_info h100 = {
    .backend = "cuda", .isa = 90, .num_workers = 132, .memory_bytes = (size_t)80 << 30, .read_bytes_per_us = 3.35e6, .flops_per_us = 6.0e7};

/* x[rows, k], normed, and its product with a bfloat16 weight of n rows, in one numbering of dimensions. */
typedef struct norm_and_product {
    tn_problem_builder norm, product;
    tn_launch norm_launch, product_launch;
} norm_and_product;

static void make_norm_and_product(norm_and_product *p, const char *tactic, int64_t rows, int64_t k, int64_t n) {
    static const tn_normalization_params norm = {.type = TN_NORMALIZATION_RMS, .epsilon = 1e-5};
    static const tn_matrix_multiply_params product = {.op_b = TN_MATRIX_TRANSPOSE};
    tn_encoding bf16 = tn_encoding_plain(TN_BFLOAT16);
    tn_build_begin(&p->norm, TN_OP_NORMALIZATION, &norm);
    tn_build_input(&p->norm, TN_FLOAT32, NULL, TN_DIMS(rows, k));
    tn_build_input(&p->norm, TN_FLOAT32, NULL, TN_DIMS(k));
    tn_build_output(&p->norm, TN_FLOAT32, NULL, TN_DIMS(rows, k));
    tn_build_begin_behind(&p->product, &p->norm, TN_OP_MATRIX_MULTIPLY, &product);
    tn_build_input(&p->product, TN_FLOAT32, NULL, TN_DIMS(rows, k));
    tn_build_weight(&p->product, &bf16, &(tn_weight_parts){.part = {NULL}}, TN_DIMS(n, k));
    tn_build_output(&p->product, TN_FLOAT32, NULL, TN_DIMS(rows, n));
    const tn_problem *norms = tn_build_problem(&p->norm), *products = tn_build_problem(&p->product);
    const tn_tactic *prepares = tn_backend_find_tactic(&tn_cuda_backend, tactic);
    assert_int_equal(tn_cuda_tactic_normalization.prepare(&h100, norms, p->product.symbols, &p->norm_launch), TN_OK);
    assert_int_equal(prepares->prepare(&h100, products, p->product.symbols, &p->product_launch), TN_OK);
}

static void a_norm_packs_what_a_wgmma_product_alone_reads(void **state) {
    static const struct {
        const char *tactic;
        int64_t rows, k;
        bool is_linked;
    } cases[] = {
        {"matmul_wgmma", 100, 192, true},    {"matmul_wgmma", 32, 64, true},   {"matmul_wgmma", 31, 192, false},
        {"matmul_wgmma", 100, 96, false},    {"matmul_wgmma", 100, 36, false}, {"matmul_mma", 100, 192, false},
        {"matmul_wgmma", 100, 20480, false}, {"matmul_gemv", 100, 192, false},
    };
    static norm_and_product p;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_norm_and_product(&p, cases[i].tactic, cases[i].rows, cases[i].k, 320);
        uint32_t num_phases = p.product_launch.cuda.num_phases;
        tn_cuda_backend.link(&p.norm.problem, &p.norm_launch, &p.product.problem, &p.product_launch, p.product.symbols);
        assert_int_equal(p.product_launch.cuda.num_phases, num_phases - cases[i].is_linked);
        assert_int_equal(p.norm_launch.constants[TN_NORM_Y_IS_PACKED], cases[i].is_linked);
        if (cases[i].is_linked) assert_int_equal(p.product_launch.constants[TN_MATMUL_PACKED], TN_MATMUL_X_IS_PACKED);
    }
}

static void blocks_of_wgmma_products_fit_their_multiprocessors(void **state) {
    enum { MAX_SHARED_BYTES = 227 * 1024, MAX_BOX_ROWS = 256 };
    static const int64_t shapes[][2] = {{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}, {128256, 4096}, {50257, 768}, {32, 8}};
    static norm_and_product p;
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int64_t rows = 1; rows < 20000; rows += rows < 300 ? 13 : rows / 3) {
            make_norm_and_product(&p, "matmul_wgmma", rows, shapes[i][1], shapes[i][0]);
            const tn_launch *launch = &p.product_launch;
            assert_int_equal(launch->cuda.num_phases, 2);
            assert_in_range(launch->cuda.phases[1].shared_bytes, 1, MAX_SHARED_BYTES);
            assert_in_range(launch->cuda.phases[1].grid[0], 1, h100.num_workers); /* one part after the other, or a split's halves */
            assert_in_range(launch->cuda.boxes.box_rows, 1, MAX_BOX_ROWS);
            assert_true(tn_cuda_tactic_matmul_wgmma.estimate_us(&h100, &p.product.problem, p.product.symbols) > 0.0);
        }
}

static void blocks_of_grouped_wgmma_products_fit_and_too_many_experts_go_without_them(void **state) {
    enum { MAX_SHARED_BYTES = (227 - 7) * 1024, TOP_K = 8 }; /* beside what the kernels keep of the experts */
    static const int64_t shapes[][3] = {{128, 1536, 2048}, {128, 2048, 768}, {8, 28672, 4096}, {512, 64, 64}, {4, 24, 72}, {513, 64, 64}};
    static tn_problem_builder b;
    const tn_grouped_matmul_params params = {.top_k = TOP_K};
    tn_encoding bf16 = tn_encoding_plain(TN_BFLOAT16);
    tn_launch launch;
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int64_t tokens = 1; tokens < 20000; tokens += tokens < 300 ? 13 : tokens / 3) {
            int64_t experts = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            tn_build_begin(&b, TN_OP_GROUPED_MATMUL, &params);
            tn_build_input(&b, TN_FLOAT32, NULL, TN_DIMS(tokens, k));
            tn_build_weight(&b, &bf16, &(tn_weight_parts){.part = {NULL}}, TN_DIMS(experts, n, k));
            tn_build_input(&b, TN_INT32, NULL, TN_DIMS(experts + 1));
            tn_build_input(&b, TN_INT32, NULL, TN_DIMS(tokens * TOP_K));
            tn_build_output(&b, TN_FLOAT32, NULL, TN_DIMS(tokens * TOP_K, n));
            const tn_problem *problem = tn_build_problem(&b);
            char reason[256];
            assert_true(tn_cuda_tactic_grouped_matmul_wgmma.supports(&h100, problem, reason, sizeof reason));
            assert_true(tn_cuda_tactic_grouped_matmul_wgmma.estimate_us(&h100, problem, b.symbols) > 0.0);
            assert_int_equal(tn_cuda_tactic_grouped_matmul_wgmma.prepare(&h100, problem, b.symbols, &launch), TN_OK);
            if (experts > 512) {
                assert_int_equal(launch.cuda.num_phases, 1);
                continue;
            }
            assert_int_equal(launch.cuda.num_phases, 2);
            assert_in_range(launch.cuda.phases[1].shared_bytes, 1, MAX_SHARED_BYTES);
            assert_in_range(launch.cuda.phases[1].grid[0], 1, h100.num_workers);
            assert_int_equal(launch.cuda.boxes.rows, experts * n);
        }
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
        TEST(a_norm_packs_what_a_wgmma_product_alone_reads),
        TEST(blocks_of_wgmma_products_fit_their_multiprocessors),
        TEST(blocks_of_grouped_wgmma_products_fit_and_too_many_experts_go_without_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
