/* SPDX-License-Identifier: Apache-2.0
 *
 * device.h: the cpu backend's device object. What others need is in backend/backend.h; the backend itself is the symbol
 * tn_cpu_backend.
 */
#ifndef TN_BACKEND_CPU_DEVICE_H_
#define TN_BACKEND_CPU_DEVICE_H_

#include <stdatomic.h>

#include "backend/backend.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/pool.h"

typedef struct tn_cpu_device {
    tn_device base;
    tn_cpu_pool *pool;
    size_t memory_limit_bytes; /* 0: none */
    _Atomic size_t memory_used_bytes;
} tn_cpu_device;

extern const tn_backend tn_cpu_backend;

#endif
