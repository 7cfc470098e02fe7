/* SPDX-License-Identifier: Apache-2.0
 *
 * compile_kernel.c: the build's tool: one kernel file to a cubin, by the code and the embedded sources that the library uses.
 *
 *     tn_compile_kernel LIBNVRTC FILE.cu sm_90a OUT.cubin OUT.txt      # OUT.txt: registers, stack and spills as ptxas says them
 */
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda.h"
#include "backend/cuda/nvrtc.h"
#include "base/memory.h"

static bool write_file(const char *path, const void *data, size_t size_bytes) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) return false;
    bool is_written = fwrite(data, 1, size_bytes, file) == size_bytes;
    return fclose(file) == 0 && is_written;
}

int main(int argc, char **argv) {
    tn_nvrtc nvrtc;
    void *cubin = NULL;
    size_t size_bytes = 0;
    char *log = NULL;
    const tn_cuda_text *kernel = NULL;
    if (argc != 6) {
        (void)fprintf(stderr, "usage: tn_compile_kernel LIBNVRTC FILE.cu ARCHITECTURE OUT.cubin OUT.txt\n");
        return 2;
    }
    for (int i = 0; i < TN_NUM_CUDA_SOURCES; i++)
        if (strcmp(tn_cuda_kernel_texts[i].name, argv[2]) == 0) kernel = &tn_cuda_kernel_texts[i];
    if (kernel == NULL) {
        (void)fprintf(stderr, "tn_compile_kernel: %s is not in kernels.def\n", argv[2]);
        return 2;
    }
    if (tn_nvrtc_load(argv[1], NULL, &nvrtc) != TN_OK) return 1;
    bool is_done = tn_nvrtc_compile(&nvrtc, kernel, argv[3], NULL, NULL, &cubin, &size_bytes, &log) == TN_OK;
    if (!is_done && log != NULL) (void)fputs(log, stderr);
    is_done = is_done && write_file(argv[4], cubin, size_bytes) && write_file(argv[5], log, log != NULL ? strlen(log) : 0);
    tn_free(NULL, cubin);
    tn_free(NULL, log);
    return is_done ? 0 : 1;
}
