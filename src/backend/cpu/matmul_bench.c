/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_bench.c: bandwidth of products with one row, and operations a second with many, at SmolLM2-135M's shapes.
 * `backend_matmul_bench [isa [threads]]`. One-row products go through several copies of a weight, so that they come from
 * memory (or the last cache, if it holds them all). Minimum of many runs.
 */
#include <math.h>
#include <time.h>

#include "backend/cpu/test_problem.h"
#include "base/thread.h"

enum { NUM_COPIES = 96, MIN_RUNS = 7 };

/* With one thread the processor time, which other programs disturb least. */
static int64_t now_ns(const tn_device *device) {
    if (device->info.num_workers > 1) return tn_now_ns();
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double bench(tn_device *device, tn_dtype activations, uint32_t gguf_type, int64_t rows, int64_t n, int64_t k, int num_copies) {
    tn_encoding encoding = tn_encoding_plain(TN_FLOAT32);
    if (gguf_type != 0 && tn_encoding_from_gguf(gguf_type, &encoding) != TN_OK) return NAN;
    static test_problem problems[NUM_COPIES];
    static tn_bound_step steps[NUM_COPIES];
    const tn_tactic *tactic = activations == TN_Q15_32  ? &tn_cpu_tactic_matmul_q15
                              : activations == TN_Q8_32 ? &tn_cpu_tactic_matmul_q8
                                                        : &tn_cpu_tactic_matmul_f32;
    float *x = test_alloc((size_t)(rows * k) * sizeof *x), *y = test_alloc((size_t)(rows * n) * sizeof *y);
    size_t row_bytes = tn_quantized_row_bytes(activations, k);
    char *quantized = test_alloc((size_t)rows * row_bytes);
    test_fill(1, x, rows * k);
    for (int64_t r = 0; r < rows && activations != TN_FLOAT32; r++)
        tn_quantize_row(activations, x + r * k, k, quantized + (size_t)r * row_bytes);
    void *source = test_pack_weight(&encoding, 0, n, k, 2, NULL);
    tn_strip_type type = TN_STRIP_F32;
    (void)tn_strip_type_of(&encoding, &type);
    size_t packed_bytes = (size_t)((n + 15) / 16 * tn_strip_bytes(type, k));
    void *memory = NULL;
    if (tn_cpu_backend.memory_allocate(device, TN_MEMORY_WEIGHTS, packed_bytes * (size_t)num_copies, NULL, &memory) != TN_OK) return NAN;
    for (int i = 0; i < num_copies; i++) {
        test_problem *t = &problems[i];
        test_problem_init(t, TN_OP_MATRIX_MULTIPLY);
        t->params.matrix_multiply.op_b = TN_MATRIX_TRANSPOSE;
        void *copy = (char *)memory + packed_bytes * (size_t)i;
        memcpy(copy, source, packed_bytes);
        test_add_input(t, activations, TN_DIMS(rows, k), activations == TN_FLOAT32 ? (void *)x : quantized);
        test_add_weight(t, &encoding, tn_strip_layout_name(type), TN_DIMS(n, k), copy);
        test_add_output(t, TN_FLOAT32, TN_DIMS(rows, n), y);
        const char *why_not = test_prepare(t, device, tactic);
        if (why_not != NULL) {
            printf("refused: %s\n", why_not);
            return NAN;
        }
        steps[i] = t->step;
    }
    double best = 1e30;
    for (int run = 0; run < MIN_RUNS; run++) {
        int64_t begin = now_ns(device);
        tn_cpu_pool_run(((tn_cpu_device *)device)->pool, steps, (size_t)num_copies, NULL);
        double us = (double)(now_ns(device) - begin) * 1e-3 / num_copies;
        best = us < best ? us : best;
    }
    double bytes = (double)packed_bytes, ops = 2.0 * (double)rows * (double)n * (double)k;
    printf("%-8s gguf %u  M %4d  N %5d  K %5d  %9.1f us  %7.2f GB/s  %7.3f TOPS\n", tn_dtype_name(activations), gguf_type, (int)rows,
           (int)n, (int)k, best, bytes / best * 1e-3, ops / best * 1e-6);
    tn_cpu_backend.memory_free(device, memory, packed_bytes * (size_t)num_copies);
    free(source);
    free(x);
    free(y);
    free(quantized);
    return best;
}

int main(int argc, char **argv) {
    tn_device *device = test_device_create(argc > 1 ? argv[1] : NULL, argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0);
    if (device == NULL) return 1;
    printf("%s\n", device->description);
    static const int64_t shapes[][2] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}}; /* qkv, o, gate and up, down */
    static const int64_t row_counts[] = {1, 4, 16, 512};
    for (size_t r = 0; r < 4; r++) {
        double q15 = 0, q8 = 0;
        for (size_t s = 0; s < 4; s++) {
            int copies = row_counts[r] <= 16 ? (int)(96e6 / (double)(shapes[s][0] * shapes[s][1])) : 1;
            if (copies > NUM_COPIES) copies = NUM_COPIES;
            q15 += bench(device, TN_Q15_32, TN_GGUF_Q4_1, row_counts[r], shapes[s][0], shapes[s][1], copies);
            q8 += bench(device, TN_Q8_32, TN_GGUF_Q4_1, row_counts[r], shapes[s][0], shapes[s][1], copies);
        }
        printf("30 layers' products, M %d: q15 %.2f ms, q8 %.2f ms\n", (int)row_counts[r], q15 * 0.03, q8 * 0.03);
    }
    bench(device, TN_Q15_32, TN_GGUF_Q8_0, 1, 49152, 576, 1);
    bench(device, TN_Q15_32, TN_GGUF_Q8_0, 16, 49152, 576, 1);
    bench(device, TN_Q15_32, TN_GGUF_Q8_0, 512, 1536, 576, 1);
    bench(device, TN_Q15_32, TN_GGUF_Q4_0, 512, 1536, 576, 1);
    bench(device, TN_FLOAT32, 0, 1, 1536, 576, 8);
    bench(device, TN_FLOAT32, 0, 512, 1536, 576, 1);
    bench(device, TN_FLOAT32, TN_GGUF_Q4_1, 512, 1536, 576, 1);
    tn_cpu_backend.device_destroy(device);
    return 0;
}
