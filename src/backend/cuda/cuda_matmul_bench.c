/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_matmul_bench.c: each tactic of a linear layer with bf16 weights at Llama-3.1-8B's shapes: time, bytes and operations a
 * second. `backend_cuda_matmul_bench [rows …]`. Weights rotate among copies that no cache holds; a segment of many products is
 * captured as a graph and replayed; medians.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/conformance/problem_builder.h"
#include "backend/cuda/cuda.h"
#include "base/thread.h"

enum { MAX_STEPS = 64, NUM_RUNS = 9, COPIED_BYTES = 400 << 20, MAX_ROWS = 4096, RANDOM_BYTES = 1 << 24 };

typedef struct layer {
    const char *name;
    int64_t n, k;
    bool gated, adds;
} layer;
static const layer layers[] = {
    {"qkv", 6144, 4096, false, false},    {"o", 4096, 4096, false, true},       {"gate_up", 28672, 4096, true, false},
    {"down", 4096, 14336, false, true},   {"head", 128256, 4096, false, false}, {"1b qkv", 3072, 2048, false, false},
    {"1b down", 2048, 8192, false, true},
};

static tn_device *device;
static tn_stream *stream;
static void *host_random;

static void *allocate(size_t size_bytes, bool is_random) {
    void *memory = NULL;
    if (tn_cuda_backend.memory_allocate(device, TN_MEMORY_WEIGHTS, size_bytes, NULL, &memory) != TN_OK) exit(1);
    for (size_t at = 0; at < size_bytes && is_random; at += RANDOM_BYTES) {
        size_t bytes = size_bytes - at < RANDOM_BYTES ? size_bytes - at : RANDOM_BYTES;
        if (tn_cuda_backend.copy(stream, TN_COPY_TO_DEVICE, (char *)memory + at, host_random, bytes, NULL) != TN_OK) exit(1);
    }
    if (tn_cuda_backend.stream_synchronize(stream, NULL) != TN_OK) exit(1);
    return memory;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_us(const tn_bound_step *steps, size_t num_steps) {
    double all[NUM_RUNS];
    for (int run = -3; run < NUM_RUNS; run++) { /* plain, captured, warm */
        int64_t begin = tn_now_ns();
        if (tn_cuda_backend.run_segment(stream, steps, num_steps, NULL, NULL) != TN_OK) return -1.0;
        if (tn_cuda_backend.stream_synchronize(stream, NULL) != TN_OK) exit(1);
        if (run >= 0) all[run] = (double)(tn_now_ns() - begin) * 1e-3 / (double)num_steps;
    }
    qsort(all, NUM_RUNS, sizeof *all, compare_doubles);
    return all[NUM_RUNS / 2];
}

static void bench(const layer *l, int64_t rows, const tn_tactic *tactic, void *const *weights, size_t num_weights, void *x, void *y,
                  void *residual) {
    static tn_problem_builder builders[MAX_STEPS];
    static void *buffers[MAX_STEPS][8];
    static tn_launch launches[MAX_STEPS];
    static tn_bound_step steps[MAX_STEPS];
    tn_matrix_multiply_params params = {.op_b = TN_MATRIX_TRANSPOSE};
    tn_encoding encoding = tn_encoding_plain(TN_BFLOAT16);
    int64_t columns = l->gated ? l->n / 2 : l->n;
    void *workspace = NULL;
    size_t workspace_bytes = 0;
    for (size_t i = 0; i < MAX_STEPS; i++) {
        tn_problem_builder *b = &builders[i];
        tn_weight_parts parts = {{weights[i % num_weights]}};
        tn_build_begin(b, TN_OP_MATRIX_MULTIPLY, &params);
        tn_build_input(b, TN_FLOAT32, x, TN_DIMS(rows, l->k));
        tn_build_weight(b, &encoding, &parts, TN_DIMS(l->n, l->k));
        if (l->adds) tn_build_input(b, TN_FLOAT32, residual, TN_DIMS(rows, columns));
        if (l->gated)
            tn_build_epilogue(b, (tn_epilogue){.kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = TN_ACTIVATION_SILU, .operand = -1});
        if (l->adds) tn_build_epilogue(b, (tn_epilogue){.kind = TN_EPILOGUE_ADD, .operand = 2});
        tn_build_output(b, TN_FLOAT32, y, TN_DIMS(rows, columns));
        const tn_problem *problem = tn_build_problem(b);
        char reason[128];
        if (!tactic->supports(&device->info, problem, reason, sizeof reason)) return;
        if (tactic->prepare(&device->info, problem, b->symbols, &launches[i]) != TN_OK) return;
        if (workspace == NULL && launches[i].workspace_bytes > 0)
            workspace = allocate(workspace_bytes = launches[i].workspace_bytes, false);
        memcpy(buffers[i], b->buffers, sizeof buffers[i]);
        buffers[i][b->num_buffers] = workspace;
        steps[i] = (tn_bound_step){.launch = &launches[i], .problem = problem, .buffers = buffers[i], .symbols = b->symbols};
    }
    double estimate = tactic->estimate_us(&device->info, steps[0].problem, steps[0].symbols);
    size_t num_steps = estimate > 500.0 ? 8 : MAX_STEPS;
    double us = median_us(steps, num_steps), bytes = 2.0 * (double)(l->n * l->k), flops = 2.0 * (double)rows * (double)(l->n * l->k);
    printf("%-8s M %5d  %-14s %9.2f us (estimate %8.2f)  %7.1f GB/s  %7.2f TF\n", l->name, (int)rows, tactic->name, us, estimate,
           bytes / us * 1e-3, flops / us * 1e-6);
    if (workspace != NULL) tn_cuda_backend.memory_free(device, workspace, workspace_bytes);
}

int main(int argc, char **argv) {
    static const int64_t default_rows[] = {1, 2, 4, 8, 16, 64, 128, 256, 512, 2048};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (tn_device_create("cuda", NULL, &device) != TN_OK || tn_cuda_backend.stream_create(device, NULL, &stream) != TN_OK) return 1;
    printf("%s\n", device->description);
    host_random = malloc(RANDOM_BYTES);
    if (host_random == NULL) return 1;
    uint32_t seed = 1;
    for (size_t i = 0; i < RANDOM_BYTES / 4; i++) { /* floats and pairs of bf16 of magnitudes 2^-8 … 1 */
        seed = seed * 1664525u + 1013904223u;
        ((uint32_t *)host_random)[i] = 0x3b803b80u + (seed >> 8 & 0x03ff03ffu) + (seed & 0x80008000u);
    }
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        const layer *l = &layers[i];
        size_t weight_bytes = (size_t)(2 * l->n * l->k), num_weights = COPIED_BYTES / weight_bytes + 1;
        void *weights[MAX_STEPS] = {NULL};
        for (size_t w = 0; w < num_weights; w++) weights[w] = allocate(weight_bytes, true);
        size_t x_bytes = (size_t)(MAX_ROWS * l->k) * 4, y_bytes = (size_t)(MAX_ROWS * l->n) * 4;
        void *x = allocate(x_bytes, true), *y = allocate(y_bytes, false), *residual = allocate(y_bytes, true);
        int num_rows = argc > 1 ? argc - 1 : (int)(sizeof default_rows / sizeof default_rows[0]);
        for (int r = 0; r < num_rows; r++) {
            int64_t rows = argc > 1 ? strtoll(argv[r + 1], NULL, 10) : default_rows[r];
            for (size_t t = 0; t < device->backend->num_tactics; t++) {
                const tn_tactic *tactic = device->backend->tactics[t];
                bool slow = strcmp(tactic->name, "matmul_gemv") == 0 && rows > 16;
                if (tactic->op == TN_OP_MATRIX_MULTIPLY && !slow && rows <= MAX_ROWS)
                    bench(l, rows, tactic, weights, num_weights, x, y, residual);
            }
        }
        for (size_t w = 0; w < num_weights; w++) tn_cuda_backend.memory_free(device, weights[w], weight_bytes);
        tn_cuda_backend.memory_free(device, x, x_bytes);
        tn_cuda_backend.memory_free(device, y, y_bytes);
        tn_cuda_backend.memory_free(device, residual, y_bytes);
    }
    free(host_random);
    tn_cuda_backend.stream_destroy(stream);
    tn_device_destroy(device);
    return 0;
}
