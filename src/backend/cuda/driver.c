/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c: finds libcuda and its functions; its errors in words.
 */
#include "backend/cuda/driver.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OLDEST_VERSION = 12000 }; /* attributes of launches */

static tn_status fail_unavailable(tn_diag *diag, const char *hint, const char *reason) {
    tn_where where = {.subject = "cuda", .hint = hint};
    return tn_fail_at(diag, TN_UNAVAILABLE, &where, "cannot use a GPU: %s", reason);
}

static tn_status find_functions(tn_cuda_driver *driver, tn_diag *diag) {
    char reason[128];
    const struct {
        const char *symbol;
        size_t offset;
    } functions[] = {
#define X(name, symbol, parameters) {symbol, offsetof(tn_cuda_driver, name)},
        TN_CUDA_DRIVER_FUNCTIONS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *function = dlsym(driver->library, functions[i].symbol);
        if (function == NULL) {
            (void)snprintf(reason, sizeof reason, "the NVIDIA driver lacks %s", functions[i].symbol);
            return fail_unavailable(diag, "install a driver for CUDA 12 or later", reason);
        }
        memcpy((char *)driver + functions[i].offset, &function, sizeof function);
    }
    return TN_OK;
}

static tn_status check_driver(tn_cuda_driver *driver, tn_diag *diag) {
    char reason[160];
    int count = 0;
    int error = driver->Init(0);
    if (error == 0) error = driver->DriverGetVersion(&driver->version);
    if (error == 0 && driver->version < OLDEST_VERSION) {
        (void)snprintf(reason, sizeof reason, "the NVIDIA driver supports CUDA %d.%d, 12.0 is the oldest that will do",
                       driver->version / 1000, driver->version % 1000 / 10);
        return fail_unavailable(diag, "update the driver", reason);
    }
    if (error == 0) error = driver->DeviceGetCount(&count);
    if (error == TN_CU_ERROR_NO_DEVICE || (error == 0 && count == 0))
        return fail_unavailable(diag, "is CUDA_VISIBLE_DEVICES set to nothing?", "the NVIDIA driver is there but finds no GPU");
    return error == 0 ? TN_OK : tn_cuda_fail(driver, error, TN_UNAVAILABLE, diag, "use a GPU");
}

tn_status tn_cuda_driver_load(tn_diag *diag, tn_cuda_driver *out_driver) {
    *out_driver = (tn_cuda_driver){0};
    out_driver->library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (out_driver->library == NULL)
        return fail_unavailable(diag, "--device cpu needs none", "no NVIDIA driver is installed (libcuda.so.1 was not found)");
    tn_status status = find_functions(out_driver, diag);
    if (status == TN_OK) status = check_driver(out_driver, diag);
    if (status != TN_OK) tn_cuda_driver_unload(out_driver);
    return status;
}

void tn_cuda_driver_unload(tn_cuda_driver *driver) {
    if (driver->library != NULL) (void)dlclose(driver->library);
    *driver = (tn_cuda_driver){0};
}

tn_status tn_cuda_fail(const tn_cuda_driver *driver, int error, tn_status code, tn_diag *diag, const char *action, ...) {
    char text[256];
    const char *name = NULL, *description = NULL;
    va_list arguments;
    va_start(arguments, action);
    (void)vsnprintf(text, sizeof text, action, arguments);
    va_end(arguments);
    (void)driver->GetErrorName(error, &name);
    (void)driver->GetErrorString(error, &description);
    if (error == TN_CU_ERROR_OUT_OF_MEMORY) code = TN_OUT_OF_MEMORY;
    return tn_fail(diag, code, "cannot %s: %s (%s)", text, description != NULL ? description : "unknown error",
                   name != NULL ? name : "no name");
}
