/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.h: the part of the CUDA driver that Tenon calls, found in libcuda.so.1 at run time. The declarations are our own, so
 * that nothing of CUDA is needed to build; names are the driver's without "cu".
 *
 *     tn_cuda_driver driver;
 *     if (tn_cuda_driver_load(diag, &driver) != TN_OK) …             // TN_UNAVAILABLE: one line says why
 *     int result = driver.MemAlloc(&address, size_bytes);
 *     if (result != 0) return tn_cuda_fail(&driver, result, diag, "allocate %zu bytes", size_bytes);
 */
#ifndef TN_BACKEND_CUDA_DRIVER_H_
#define TN_BACKEND_CUDA_DRIVER_H_

#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

/* Handles of the driver; addresses of device memory are integers there. */
typedef struct tn_cu_context *tn_cu_context;
typedef struct tn_cu_module *tn_cu_module;
typedef struct tn_cu_function *tn_cu_function;
typedef struct tn_cu_stream *tn_cu_stream;
typedef struct tn_cu_event *tn_cu_event;
typedef struct tn_cu_graph *tn_cu_graph;
typedef struct tn_cu_graph_exec *tn_cu_graph_exec;
typedef uint64_t tn_cu_address;

enum {
    TN_CU_ERROR_OUT_OF_MEMORY = 2,
    TN_CU_ERROR_NO_DEVICE = 100,
    TN_CU_ERROR_NOT_READY = 600,
    TN_CU_ATTRIBUTE_NUM_MULTIPROCESSORS = 16,
    TN_CU_ATTRIBUTE_CLOCK_KHZ = 13,
    TN_CU_ATTRIBUTE_MEMORY_CLOCK_KHZ = 36,
    TN_CU_ATTRIBUTE_MEMORY_BUS_BITS = 37,
    TN_CU_ATTRIBUTE_L2_BYTES = 38,
    TN_CU_ATTRIBUTE_CAPABILITY_MAJOR = 75,
    TN_CU_ATTRIBUTE_CAPABILITY_MINOR = 76,
    TN_CU_ATTRIBUTE_SHARED_BYTES = 97, /* of a block, when a kernel asks for it */
    TN_CU_FUNCTION_STATIC_SHARED_BYTES = 1,
    TN_CU_FUNCTION_DYNAMIC_SHARED_BYTES = 8,
    TN_CU_HOST_PORTABLE = 1,
    TN_CU_STREAM_NON_BLOCKING = 1,
    TN_CU_EVENT_TIMING = 0,
    TN_CU_EVENT_NO_TIMING = 2,
    TN_CU_LAUNCH_DEPENDENT = 6, /* "programmatic stream serialization": starts while its predecessor ends */
    TN_CU_CAPTURE_THREAD_LOCAL = 1,
    TN_CU_TENSOR_MAP_BFLOAT16 = 9,
    TN_CU_TENSOR_MAP_PLAIN = 0,       /* no interleaving; no special value beyond the edges: zeros */
    TN_CU_TENSOR_MAP_SWIZZLE_128 = 3, /* 16-byte piece c of 128-byte row r stands at c ^ (r % 8) */
    TN_CU_TENSOR_MAP_PROMOTE_256 = 3, /* the second-level cache reads 256 bytes at a time */
};

typedef struct tn_cu_launch_attribute {
    int id;
    union {
        char bytes[64];
        int allowed;
    } value __attribute__((aligned(8)));
} tn_cu_launch_attribute;

/* How the copy engine finds boxes of a matrix (compute capability 9.0); its inside is the driver's. */
typedef struct tn_cu_tensor_map {
    uint64_t words[16] __attribute__((aligned(64)));
} tn_cu_tensor_map;

typedef struct tn_cu_launch_config {
    unsigned grid[3], block[3], shared_bytes;
    tn_cu_stream stream;
    tn_cu_launch_attribute *attributes;
    unsigned num_attributes;
} tn_cu_launch_config;

/* X(name in the table, symbol, parameters); all return 0 or an error's number. */
#define TN_CUDA_DRIVER_FUNCTIONS(X)                                                                                                      \
    X(Init, "cuInit", (unsigned flags))                                                                                                  \
    X(DriverGetVersion, "cuDriverGetVersion", (int *out_version))                                                                        \
    X(GetErrorName, "cuGetErrorName", (int error, const char **out_text))                                                                \
    X(GetErrorString, "cuGetErrorString", (int error, const char **out_text))                                                            \
    X(DeviceGetCount, "cuDeviceGetCount", (int *out_count))                                                                              \
    X(DeviceGet, "cuDeviceGet", (int *out_device, int ordinal))                                                                          \
    X(DeviceGetName, "cuDeviceGetName", (char *name, int size, int device))                                                              \
    X(DeviceGetAttribute, "cuDeviceGetAttribute", (int *out_value, int attribute, int device))                                           \
    X(DeviceTotalMem, "cuDeviceTotalMem_v2", (size_t * out_bytes, int device))                                                           \
    X(DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (tn_cu_context * out_context, int device))                                     \
    X(DevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (int device))                                                             \
    X(CtxPushCurrent, "cuCtxPushCurrent_v2", (tn_cu_context context))                                                                    \
    X(CtxPopCurrent, "cuCtxPopCurrent_v2", (tn_cu_context * out_context))                                                                \
    X(MemGetInfo, "cuMemGetInfo_v2", (size_t * out_free, size_t * out_total))                                                            \
    X(MemAlloc, "cuMemAlloc_v2", (tn_cu_address * out_address, size_t size_bytes))                                                       \
    X(MemFree, "cuMemFree_v2", (tn_cu_address address))                                                                                  \
    X(MemHostAlloc, "cuMemHostAlloc", (void **out_memory, size_t size_bytes, unsigned flags))                                            \
    X(MemFreeHost, "cuMemFreeHost", (void *memory))                                                                                      \
    X(MemsetD8Async, "cuMemsetD8Async", (tn_cu_address address, unsigned char value, size_t size_bytes, tn_cu_stream stream))            \
    X(MemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (tn_cu_address dst, const void *src, size_t size_bytes, tn_cu_stream stream))             \
    X(MemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *dst, tn_cu_address src, size_t size_bytes, tn_cu_stream stream))                   \
    X(MemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (tn_cu_address dst, tn_cu_address src, size_t size_bytes, tn_cu_stream stream))           \
    X(ModuleLoadData, "cuModuleLoadData", (tn_cu_module * out_module, const void *image))                                                \
    X(ModuleUnload, "cuModuleUnload", (tn_cu_module module))                                                                             \
    X(ModuleGetFunction, "cuModuleGetFunction", (tn_cu_function * out_function, tn_cu_module module, const char *name))                  \
    X(FuncGetAttribute, "cuFuncGetAttribute", (int *out_value, int attribute, tn_cu_function function))                                  \
    X(FuncSetAttribute, "cuFuncSetAttribute", (tn_cu_function function, int attribute, int value))                                       \
    X(LaunchKernelEx, "cuLaunchKernelEx", (const tn_cu_launch_config *config, tn_cu_function function, void **parameters, void **extra)) \
    X(TensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                                                                    \
      (tn_cu_tensor_map * out_map, int type, unsigned rank, void *address, const uint64_t *dims, const uint64_t *strides,                \
       const unsigned *box, const unsigned *steps, int interleave, int swizzle, int promotion, int fill))                                \
    X(StreamCreate, "cuStreamCreate", (tn_cu_stream * out_stream, unsigned flags))                                                       \
    X(StreamDestroy, "cuStreamDestroy_v2", (tn_cu_stream stream))                                                                        \
    X(StreamSynchronize, "cuStreamSynchronize", (tn_cu_stream stream))                                                                   \
    X(StreamBeginCapture, "cuStreamBeginCapture_v2", (tn_cu_stream stream, int mode))                                                    \
    X(StreamEndCapture, "cuStreamEndCapture", (tn_cu_stream stream, tn_cu_graph * out_graph))                                            \
    X(GraphInstantiate, "cuGraphInstantiateWithFlags", (tn_cu_graph_exec * out_exec, tn_cu_graph graph, unsigned long long flags))       \
    X(GraphLaunch, "cuGraphLaunch", (tn_cu_graph_exec exec, tn_cu_stream stream))                                                        \
    X(GraphExecDestroy, "cuGraphExecDestroy", (tn_cu_graph_exec exec))                                                                   \
    X(GraphDestroy, "cuGraphDestroy", (tn_cu_graph graph))                                                                               \
    X(EventCreate, "cuEventCreate", (tn_cu_event * out_event, unsigned flags))                                                           \
    X(EventDestroy, "cuEventDestroy_v2", (tn_cu_event event))                                                                            \
    X(EventRecord, "cuEventRecord", (tn_cu_event event, tn_cu_stream stream))                                                            \
    X(EventSynchronize, "cuEventSynchronize", (tn_cu_event event))                                                                       \
    X(EventQuery, "cuEventQuery", (tn_cu_event event))                                                                                   \
    X(EventElapsedTime, "cuEventElapsedTime", (float *out_ms, tn_cu_event begin, tn_cu_event end))

typedef struct tn_cuda_driver {
    void *library;
    int version; /* 1000 · major + 10 · minor of the CUDA that it supports */
#define X(name, symbol, parameters) int(*name) parameters;
    TN_CUDA_DRIVER_FUNCTIONS(X)
#undef X
} tn_cuda_driver;

/* TN_UNAVAILABLE with one line: no driver, too old, without a symbol, or no GPU. */
TN_MUST_CHECK tn_status tn_cuda_driver_load(tn_diag *diag, tn_cuda_driver *out_driver);
void tn_cuda_driver_unload(tn_cuda_driver *driver);

/* "cannot <action>: out of memory (CUDA_ERROR_OUT_OF_MEMORY)". Returns TN_OUT_OF_MEMORY for that error, else `code`. */
tn_status tn_cuda_fail(const tn_cuda_driver *driver, int error, tn_status code, tn_diag *diag, const char *action, ...) TN_PRINTF(5, 6);

#endif
