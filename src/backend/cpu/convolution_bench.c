/* SPDX-License-Identifier: Apache-2.0
 *
 * convolution_bench.c: float32 multiply-adds a second of convolutions as LeNet and ResNet-50 have them, one image.
 * `backend_convolution_bench [isa [threads]]`. With one thread the processor time counts, which other programs disturb least.
 */
#include <time.h>

#include "backend/cpu/test_problem.h"
#include "base/thread.h"

enum { NUM_RUNS = 9 };

static int64_t now_ns(const tn_device *device) {
    if (device->info.num_workers > 1) return tn_now_ns();
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

typedef struct layer {
    const char *name;
    int64_t channels, size, filters, kernel, stride, padding, groups;
} layer;

static void bench(tn_device *device, const layer *l) {
    test_problem t;
    int64_t out = (l->size + 2 * l->padding - l->kernel) / l->stride + 1, depth = l->channels / l->groups * l->kernel * l->kernel;
    int64_t num_x = l->channels * l->size * l->size, num_w = l->filters * depth, num_y = l->filters * out * out;
    float *x = test_alloc((size_t)num_x * sizeof *x), *w = test_alloc((size_t)num_w * sizeof *w),
          *y = test_alloc((size_t)num_y * sizeof *y);
    test_fill(1, x, num_x);
    test_fill(2, w, num_w);
    test_problem_init(&t, TN_OP_CONVOLUTION);
    t.params.convolution.stride = TN_DIMS(l->stride, l->stride);
    t.params.convolution.pre_padding = t.params.convolution.post_padding = TN_DIMS(l->padding, l->padding);
    t.params.convolution.groups = l->groups;
    test_add_input(&t, TN_FLOAT32, TN_DIMS(1, l->channels, l->size, l->size), x);
    test_add_input(&t, TN_FLOAT32, TN_DIMS(l->filters, l->channels / l->groups, l->kernel, l->kernel), w);
    test_add_output(&t, TN_FLOAT32, TN_DIMS(1, l->filters, out, out), y);
    const char *why_not = test_prepare(&t, device, &tn_cpu_tactic_convolution);
    if (why_not != NULL) {
        printf("refused: %s\n", why_not);
    } else {
        double least = 1e30;
        for (int run = 0; run < NUM_RUNS; run++) {
            int64_t begin = now_ns(device);
            tn_cpu_pool_run(((tn_cpu_device *)device)->pool, &t.step, 1, NULL);
            double us = (double)(now_ns(device) - begin) * 1e-3;
            least = us < least ? us : least;
        }
        printf("%-28s %9.1f us  %7.1f GFLOP/s\n", l->name, least, 2.0 * (double)num_y * (double)depth / least * 1e-3);
    }
    free(t.workspace);
    free(x);
    free(w);
    free(y);
}

int main(int argc, char **argv) {
    static const layer layers[] = {
        {"LeNet 1 -> 6, 5x5", 1, 28, 6, 5, 1, 2, 1},
        {"LeNet 6 -> 16, 5x5", 6, 14, 16, 5, 1, 0, 1},
        {"ResNet 3 -> 64, 7x7/2, 224", 3, 224, 64, 7, 2, 3, 1},
        {"ResNet 64 -> 64, 1x1, 56", 64, 56, 64, 1, 1, 0, 1},
        {"ResNet 64 -> 64, 3x3, 56", 64, 56, 64, 3, 1, 1, 1},
        {"ResNet 64 -> 256, 1x1, 56", 64, 56, 256, 1, 1, 0, 1},
        {"ResNet 128 -> 128, 3x3, 28", 128, 28, 128, 3, 1, 1, 1},
        {"ResNet 256 -> 256, 3x3, 14", 256, 14, 256, 3, 1, 1, 1},
        {"ResNet 1024 -> 256, 1x1, 14", 1024, 14, 256, 1, 1, 0, 1},
        {"ResNet 512 -> 512, 3x3, 7", 512, 7, 512, 3, 1, 1, 1},
        {"ResNet 512 -> 2048, 1x1, 7", 512, 7, 2048, 1, 1, 0, 1},
        {"depthwise 256, 3x3, 28", 256, 28, 256, 3, 1, 1, 256},
    };
    tn_device *device = test_device_create(argc > 1 ? argv[1] : NULL, argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1);
    if (device == NULL) return 1;
    printf("%s\n", device->description);
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) bench(device, &layers[i]);
    tn_cpu_backend.device_destroy(device);
    return 0;
}
