/* SPDX-License-Identifier: Apache-2.0
 *
 * modules.c: from a kernel's number to a function on the card. Its file's cubin is in the binary, or NVRTC makes it now.
 */
#include <stdio.h>

#include "backend/cuda/cubins.h"
#include "backend/cuda/device.h"

static const struct {
    const char *name;
    tn_cuda_source source;
} kernels[] = {
#define TN_CUDA_SOURCE(file)
#define TN_CUDA_KERNEL(file, name) {#name, TN_CUDA_SOURCE_##file},
#include "backend/cuda/kernels.def"
#undef TN_CUDA_SOURCE
#undef TN_CUDA_KERNEL
};

const char *tn_cuda_kernel_name(tn_cuda_kernel kernel) {
    return kernels[kernel].name;
}

tn_cuda_source tn_cuda_kernel_source(tn_cuda_kernel kernel) {
    return kernels[kernel].source;
}

static tn_status compile(tn_cuda_device *device, tn_cuda_source source, tn_diag *diag, tn_cu_module *out_module) {
    tn_cuda_modules *modules = &device->modules;
    char architecture[16];
    void *cubin = NULL;
    size_t size_bytes;
    tn_cuda_architecture_name(device->base.info.isa, architecture);
    tn_status status = modules->nvrtc.library != NULL ? TN_OK : tn_nvrtc_load(NULL, diag, &modules->nvrtc);
    if (status == TN_OK)
        status = tn_nvrtc_compile(&modules->nvrtc, &tn_cuda_kernel_texts[source], architecture, &device->base.allocator, diag, &cubin,
                                  &size_bytes, NULL);
    if (status != TN_OK) return status;
    int error = device->driver.ModuleLoadData(out_module, cubin);
    tn_free(&device->base.allocator, cubin);
    if (error == 0) return TN_OK;
    return tn_cuda_fail(&device->driver, error, TN_UNAVAILABLE, diag,
                        "load GPU kernels that NVRTC %d.%d compiled (the driver is for CUDA %d.%d)", modules->nvrtc.major,
                        modules->nvrtc.minor, device->driver.version / 1000, device->driver.version % 1000 / 10);
}

static tn_status load_module(tn_cuda_device *device, tn_cuda_source source, tn_diag *diag, tn_cu_module *out_module) {
    size_t size_bytes;
    const void *cubin = tn_cuda_find_cubin(source, device->base.info.isa, &size_bytes);
    /* a driver older than the compiler of the cubins refuses them: then NVRTC, which came with that driver's CUDA */
    if (cubin != NULL && device->driver.ModuleLoadData(out_module, cubin) == 0) return TN_OK;
    return compile(device, source, diag, out_module);
}

static tn_status load_function(tn_cuda_device *device, tn_cuda_kernel kernel, tn_diag *diag, tn_cu_function *out_function) {
    tn_cuda_modules *modules = &device->modules;
    tn_cu_module *module = &modules->modules[kernels[kernel].source];
    tn_status status = *module != NULL ? TN_OK : load_module(device, kernels[kernel].source, diag, module);
    if (status != TN_OK) {
        *module = NULL;
        return status;
    }
    int error = device->driver.ModuleGetFunction(out_function, *module, kernels[kernel].name);
    /* all that the card has beside what the kernel itself declares; the launch says how much of it */
    int declared = 0;
    if (error == 0) error = device->driver.FuncGetAttribute(&declared, TN_CU_FUNCTION_STATIC_SHARED_BYTES, *out_function);
    if (error == 0)
        error = device->driver.FuncSetAttribute(*out_function, TN_CU_FUNCTION_DYNAMIC_SHARED_BYTES, device->max_shared_bytes - declared);
    return error == 0 ? TN_OK : tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "find GPU kernel %s", kernels[kernel].name);
}

tn_status tn_cuda_find_function(tn_cuda_device *device, tn_cuda_kernel kernel, tn_diag *diag, tn_cu_function *out_function) {
    tn_cuda_modules *modules = &device->modules;
    *out_function = NULL;
    if ((unsigned)kernel >= TN_NUM_CUDA_KERNELS) return tn_fail(diag, TN_INTERNAL, "there is no GPU kernel number %u", (unsigned)kernel);
    *out_function = atomic_load_explicit(&modules->functions[kernel], memory_order_acquire);
    if (*out_function != NULL) return TN_OK;
    (void)pthread_mutex_lock(&modules->mutex);
    tn_status status = TN_OK;
    *out_function = atomic_load_explicit(&modules->functions[kernel], memory_order_relaxed);
    if (*out_function == NULL) status = load_function(device, kernel, diag, out_function);
    if (status == TN_OK) atomic_store_explicit(&modules->functions[kernel], *out_function, memory_order_release);
    (void)pthread_mutex_unlock(&modules->mutex);
    return status;
}

void tn_cuda_modules_deinit(tn_cuda_device *device) {
    for (int i = 0; i < TN_NUM_CUDA_SOURCES; i++)
        if (device->modules.modules[i] != NULL) (void)device->driver.ModuleUnload(device->modules.modules[i]);
    tn_nvrtc_unload(&device->modules.nvrtc);
}
