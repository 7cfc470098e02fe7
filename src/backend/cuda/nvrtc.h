/* SPDX-License-Identifier: Apache-2.0
 *
 * nvrtc.h: NVIDIA's run-time compiler, found with dlopen, and how our kernels are compiled with it: at build time by
 * compile_kernel.c, and on machines whose architecture has no cubin in the binary.
 *
 *     tn_nvrtc nvrtc;
 *     tn_nvrtc_load(NULL, diag, &nvrtc);
 *     tn_nvrtc_compile(&nvrtc, &tn_cuda_files.…, "sm_90a", allocator, diag, &cubin, &size, NULL);
 */
#ifndef TN_BACKEND_CUDA_NVRTC_H_
#define TN_BACKEND_CUDA_NVRTC_H_

#include <stddef.h>

#include "base/report.h"
#include "tenon/allocator.h"

/* A text in the binary; ends with a NUL that size_bytes does not count. */
typedef struct tn_cuda_text {
    const char *name; /* as #include names it */
    const char *data;
} tn_cuda_text;

/* text.c: the kernels by tn_cuda_source, and every header that they may include */
extern const tn_cuda_text tn_cuda_kernel_texts[];
extern const tn_cuda_text tn_cuda_header_texts[];
extern const int tn_cuda_num_header_texts;

typedef struct tn_nvrtc {
    void *library; /* NULL: not loaded */
    int major, minor;
    int (*Version)(int *major, int *minor);
    const char *(*GetErrorString)(int error);
    int (*CreateProgram)(void **out_program, const char *text, const char *name, int num_headers, const char *const *headers,
                         const char *const *names);
    int (*DestroyProgram)(void **program);
    int (*CompileProgram)(void *program, int num_options, const char *const *options);
    int (*GetCUBINSize)(void *program, size_t *out_bytes);
    int (*GetCUBIN)(void *program, char *out_cubin);
    int (*GetProgramLogSize)(void *program, size_t *out_bytes);
    int (*GetProgramLog)(void *program, char *out_log);
} tn_nvrtc;

/* path: the library; NULL: whichever version the system finds. TN_UNAVAILABLE with one line if there is none. */
TN_MUST_CHECK tn_status tn_nvrtc_load(const char *path, tn_diag *diag, tn_nvrtc *out_nvrtc);
void tn_nvrtc_unload(tn_nvrtc *nvrtc);

/* The kernel file as a cubin for an architecture ("sm_90a"). *out_log, if asked for: what the compiler said, with registers, stack
 * and spills of each kernel. Both are freed with tn_free. Errors carry the first line of the log. */
TN_MUST_CHECK tn_status tn_nvrtc_compile(const tn_nvrtc *nvrtc, const tn_cuda_text *kernel, const char *architecture,
                                         const tn_allocator *allocator, tn_diag *diag, void **out_cubin, size_t *out_size_bytes,
                                         char **out_log);

#endif
