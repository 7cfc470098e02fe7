/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_bench.c: bandwidth of products with one row, and operations a second with many, at SmolLM2-135M's shapes.
 * `backend_matmul_bench [isa [threads [encoding …]]]`; with encodings only those, at one shape. One-row products go through several copies of a weight, so that they come from
 * memory (or the last cache, if it holds them all). The tactics take turns; median and least of many runs.
 */
#include <math.h>
#include <time.h>

#include "backend/cpu/test_problem.h"
#include "base/thread.h"

enum { NUM_COPIES = 96, MIN_RUNS = 7, MAX_RUNS = 25 };

/* With one thread the processor time, which other programs disturb least. */
static int64_t now_ns(const tn_device *device) {
    if (device->info.num_workers > 1) return tn_now_ns();
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const tn_tactic *tactic_for(tn_dtype activations, bool streams) {
    switch (activations) {
    case TN_Q15_32: return streams ? &tn_cpu_tactic_matmul_stream_q15 : &tn_cpu_tactic_matmul_q15;
    case TN_Q8_32: return streams ? &tn_cpu_tactic_matmul_stream_q8 : &tn_cpu_tactic_matmul_q8;
    default: return streams ? &tn_cpu_tactic_matmul_stream_f32 : &tn_cpu_tactic_matmul_f32;
    }
}

/* One product with each tactic in turn, over num_copies of its weight; out_us: of one product. */
static void bench(tn_device *device, tn_dtype activations, uint32_t gguf_type, int64_t rows, int64_t n, int64_t k, int num_copies,
                  double out_us[2]) {
    tn_encoding encoding = tn_encoding_plain(TN_FLOAT32);
    char name[64];
    out_us[0] = out_us[1] = NAN;
    if (gguf_type != 0 && tn_encoding_from_gguf(gguf_type, &encoding) != TN_OK) return;
    static test_problem problems[2][NUM_COPIES];
    static tn_bound_step steps[2][NUM_COPIES];
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
    if (tn_cpu_backend.memory_allocate(device, TN_MEMORY_WEIGHTS, packed_bytes * (size_t)num_copies, NULL, &memory) != TN_OK) return;
    for (int i = 0; i < num_copies; i++) {
        void *copy = (char *)memory + packed_bytes * (size_t)i;
        memcpy(copy, source, packed_bytes);
        for (int streams = 0; streams < 2; streams++) {
            test_problem *t = &problems[streams][i];
            test_problem_init(t, TN_OP_MATRIX_MULTIPLY);
            t->params.matrix_multiply.op_b = TN_MATRIX_TRANSPOSE;
            test_add_input(t, activations, TN_DIMS(rows, k), activations == TN_FLOAT32 ? (void *)x : quantized);
            test_add_weight(t, &encoding, tn_strip_layout_name(type), TN_DIMS(n, k), copy);
            test_add_output(t, TN_FLOAT32, TN_DIMS(rows, n), y);
            const char *why_not = test_prepare(t, device, tactic_for(activations, streams != 0));
            if (why_not != NULL) {
                printf("refused: %s\n", why_not);
                return;
            }
            steps[streams][i] = t->step;
        }
    }
    double least[2] = {1e30, 1e30}, all[2][MAX_RUNS];
    int num_runs = rows <= 16 ? MAX_RUNS : MIN_RUNS;
    for (int run = 0; run < 2 * num_runs; run++) {
        int streams = run % 2;
        int64_t begin = now_ns(device);
        tn_cpu_pool_run(((tn_cpu_device *)device)->pool, steps[streams], (size_t)num_copies, NULL);
        double us = (double)(now_ns(device) - begin) * 1e-3 / num_copies;
        least[streams] = us < least[streams] ? us : least[streams];
        all[streams][run / 2] = us;
    }
    double bytes = (double)packed_bytes, ops = 2.0 * (double)rows * (double)n * (double)k;
    for (int streams = 0; streams < 2; streams++) {
        qsort(all[streams], (size_t)num_runs, sizeof(double), compare_doubles);
        out_us[streams] = all[streams][num_runs / 2];
        printf("%-8s %-7s  M %4d  N %5d  K %5d  %-7s %9.1f us, least %9.1f  %7.2f GB/s  %7.3f TOPS\n", tn_dtype_name(activations),
               tn_encoding_name(&encoding, name), (int)rows, (int)n, (int)k, streams != 0 ? "streams" : "", out_us[streams], least[streams],
               bytes / out_us[streams] * 1e-3, ops / out_us[streams] * 1e-6);
    }
    tn_cpu_backend.memory_free(device, memory, packed_bytes * (size_t)num_copies);
    free(source);
    free(x);
    free(y);
    free(quantized);
}

static void bench_encoding(tn_device *device, const char *name) {
    static const int64_t row_counts[] = {1, 16, 512};
    static const tn_dtype dtypes[] = {TN_Q15_32, TN_Q8_32, TN_FLOAT32};
    tn_encoding encoding;
    double us[2];
    if (!tn_encoding_parse(name, &encoding) || encoding.kind != TN_ENCODING_GGUF) {
        printf("there is no encoding %s\n", name);
        return;
    }
    for (size_t d = 0; d < 3; d++)
        for (size_t r = 0; r < 3; r++) bench(device, dtypes[d], encoding.gguf_type, row_counts[r], 1536, 1024, r < 2 ? 24 : 1, us);
}

int main(int argc, char **argv) {
    tn_device *device = test_device_create(argc > 1 ? argv[1] : NULL, argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0);
    if (device == NULL) return 1;
    printf("%s\n", device->description);
    double us[2];
    for (int i = 3; i < argc; i++) bench_encoding(device, argv[i]);
    if (argc > 3) return 0;
    static const int64_t shapes[][2] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}}; /* qkv, o, gate and up, down */
    static const int64_t row_counts[] = {1, 4, 16, 512};
    static const tn_dtype dtypes[] = {TN_Q15_32, TN_Q8_32};
    for (size_t r = 0; r < 4; r++)
        for (size_t d = 0; d < 2; d++) {
            double sums[2] = {0, 0};
            for (size_t s = 0; s < 4; s++) {
                int copies = row_counts[r] <= 16 ? (int)(96e6 / (double)(shapes[s][0] * shapes[s][1])) : 1;
                if (copies > NUM_COPIES) copies = NUM_COPIES;
                bench(device, dtypes[d], TN_GGUF_Q4_1, row_counts[r], shapes[s][0], shapes[s][1], copies, us);
                for (int streams = 0; streams < 2; streams++) sums[streams] += us[streams];
            }
            printf("30 layers' products, %s, M %d: %.2f ms, streams %.2f ms\n", tn_dtype_name(dtypes[d]), (int)row_counts[r],
                   sums[0] * 0.03, sums[1] * 0.03);
        }
    bench(device, TN_Q15_32, TN_GGUF_Q8_0, 1, 49152, 576, 1, us);
    bench(device, TN_Q15_32, TN_GGUF_Q8_0, 16, 49152, 576, 1, us);
    bench(device, TN_Q15_32, TN_GGUF_Q8_0, 512, 1536, 576, 1, us);
    bench(device, TN_Q15_32, TN_GGUF_Q4_0, 512, 1536, 576, 1, us);
    bench(device, TN_FLOAT32, 0, 1, 1536, 576, 24, us);
    bench(device, TN_FLOAT32, 0, 512, 1536, 576, 1, us);
    bench(device, TN_FLOAT32, TN_GGUF_Q4_1, 1, 1536, 576, NUM_COPIES, us);
    bench(device, TN_FLOAT32, TN_GGUF_Q4_1, 512, 1536, 576, 1, us);
    tn_cpu_backend.device_destroy(device);
    return 0;
}
