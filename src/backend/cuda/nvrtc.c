/* SPDX-License-Identifier: Apache-2.0
 *
 * nvrtc.c: loads NVRTC and compiles our kernels with it.
 */
#include "backend/cuda/nvrtc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { MAX_HEADERS = 64 };

static tn_status fail_unavailable(tn_diag *diag, const char *reason) {
    tn_where where = {.subject = "NVRTC", .hint = "install the CUDA toolkit's NVRTC (libnvrtc.so.13 or .12)"};
    return tn_fail_at(diag, TN_UNAVAILABLE, &where, "cannot compile GPU kernels: %s", reason);
}

tn_status tn_nvrtc_load(const char *path, tn_diag *diag, tn_nvrtc *out_nvrtc) {
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"};
    const struct {
        const char *symbol;
        size_t offset;
    } functions[] = {
#define FUNCTION(name) {"nvrtc" #name, offsetof(tn_nvrtc, name)}
        FUNCTION(Version),      FUNCTION(GetErrorString), FUNCTION(CreateProgram),     FUNCTION(DestroyProgram), FUNCTION(CompileProgram),
        FUNCTION(GetCUBINSize), FUNCTION(GetCUBIN),       FUNCTION(GetProgramLogSize), FUNCTION(GetProgramLog),
#undef FUNCTION
    };
    *out_nvrtc = (tn_nvrtc){0};
    if (path != NULL) out_nvrtc->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && path == NULL && out_nvrtc->library == NULL; i++)
        out_nvrtc->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (out_nvrtc->library == NULL) return fail_unavailable(diag, "NVIDIA's run-time compiler (libnvrtc) was not found");
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *function = dlsym(out_nvrtc->library, functions[i].symbol);
        if (function == NULL) {
            char reason[96];
            (void)snprintf(reason, sizeof reason, "libnvrtc lacks %s", functions[i].symbol);
            tn_nvrtc_unload(out_nvrtc);
            return fail_unavailable(diag, reason);
        }
        memcpy((char *)out_nvrtc + functions[i].offset, &function, sizeof function);
    }
    (void)out_nvrtc->Version(&out_nvrtc->major, &out_nvrtc->minor);
    return TN_OK;
}

void tn_nvrtc_unload(tn_nvrtc *nvrtc) {
    if (nvrtc->library != NULL) (void)dlclose(nvrtc->library);
    *nvrtc = (tn_nvrtc){0};
}

static char *copy_log(const tn_nvrtc *nvrtc, void *program, const tn_allocator *allocator) {
    size_t size = 0;
    if (nvrtc->GetProgramLogSize(program, &size) != 0) return NULL;
    char *log = tn_alloc_zero(allocator, size + 1);
    if (log != NULL && size > 0) (void)nvrtc->GetProgramLog(program, log);
    return log;
}

static tn_status fail_compile(const tn_nvrtc *nvrtc, int error, const tn_cuda_text *kernel, const char *architecture, const char *log,
                              tn_diag *diag) {
    const char *line = log != NULL ? strstr(log, "error") : NULL;
    while (line != NULL && line > log && line[-1] != '\n') line--;
    int length = line != NULL ? (int)strcspn(line, "\n") : 0;
    enum { INVALID_OPTION = 5 };
    tn_where where = {.subject = kernel->name};
    if (error == INVALID_OPTION) where.hint = "this NVRTC is older than the card: install a newer one";
    return tn_fail_at(diag, TN_UNAVAILABLE, &where, "cannot compile GPU kernel file %s for %s with NVRTC %d.%d: %s%s%.*s", kernel->name,
                      architecture, nvrtc->major, nvrtc->minor, nvrtc->GetErrorString(error), length > 0 ? ": " : "", length,
                      length > 0 ? line : "");
}

tn_status tn_nvrtc_compile(const tn_nvrtc *nvrtc, const tn_cuda_text *kernel, const char *architecture, const tn_allocator *allocator,
                           tn_diag *diag, void **out_cubin, size_t *out_size_bytes, char **out_log) {
    char arch_option[32];
    (void)snprintf(arch_option, sizeof arch_option, "-arch=%s", architecture);
    const char *options[] = {arch_option, "--std=c++17", "-default-device", "--ptxas-options=-v"};
    const char *names[MAX_HEADERS], *texts[MAX_HEADERS];
    int num_headers = tn_cuda_num_header_texts < MAX_HEADERS ? tn_cuda_num_header_texts : MAX_HEADERS;
    void *program = NULL;
    *out_cubin = NULL;
    *out_size_bytes = 0;
    for (int i = 0; i < num_headers; i++) names[i] = tn_cuda_header_texts[i].name, texts[i] = tn_cuda_header_texts[i].data;
    int error = nvrtc->CreateProgram(&program, kernel->data, kernel->name, num_headers, texts, names);
    if (error == 0) error = nvrtc->CompileProgram(program, sizeof options / sizeof options[0], options);
    char *log = program != NULL ? copy_log(nvrtc, program, allocator) : NULL;
    size_t size = 0;
    if (error == 0) error = nvrtc->GetCUBINSize(program, &size);
    tn_status status = error == 0 ? TN_OK : fail_compile(nvrtc, error, kernel, architecture, log, diag);
    if (status == TN_OK) {
        *out_cubin = tn_alloc(allocator, size);
        if (*out_cubin == NULL) status = tn_fail_memory(diag, "a compiled kernel", size);
    }
    if (status == TN_OK && nvrtc->GetCUBIN(program, *out_cubin) != 0)
        status = tn_fail(diag, TN_INTERNAL, "cannot take the compiled form of %s from NVRTC", kernel->name);
    if (status == TN_OK) {
        *out_size_bytes = size;
    } else {
        tn_free(allocator, *out_cubin);
        *out_cubin = NULL;
    }
    if (out_log != NULL)
        *out_log = log;
    else
        tn_free(allocator, log);
    if (program != NULL) (void)nvrtc->DestroyProgram(&program);
    return status;
}
