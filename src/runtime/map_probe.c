/* SPDX-License-Identifier: Apache-2.0
 *
 * map_probe.c: see map_probe.h.
 */
#include "runtime/map_probe.h"

#include <string.h>

#include "base/thread.h"

enum { NUM_PASSES = 3 };
#define PROBE_BYTES ((size_t)64 << 20)

static int64_t read_ns(const uint8_t *data, uint64_t *sum) {
    int64_t begin = tn_now_ns();
    for (size_t i = 0; i < PROBE_BYTES; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + i, sizeof word);
        *sum += word;
    }
    return tn_now_ns() - begin;
}

bool tn_map_probe_is_fast(tn_device *device, const tn_file *file) {
    void *memory;
    if (file->size_bytes < PROBE_BYTES) return false;
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return true;
    tn_status status = device->backend->memory_allocate(device, TN_MEMORY_WEIGHTS, PROBE_BYTES, diag, &memory);
    tn_diag_destroy(diag);
    if (status != TN_OK) return true;        /* no room to copy either */
    memcpy(memory, file->data, PROBE_BYTES); /* brings the pages in, too */
    uint64_t sum = 0;
    int64_t mapped_ns = INT64_MAX, memory_ns = INT64_MAX;
    for (int pass = 0; pass < NUM_PASSES; pass++) {
        int64_t mapped = read_ns(file->data, &sum), copied = read_ns(memory, &sum);
        if (mapped < mapped_ns) mapped_ns = mapped;
        if (copied < memory_ns) memory_ns = copied;
    }
    ((volatile uint8_t *)memory)[0] = (uint8_t)sum; /* keeps the sums */
    device->backend->memory_free(device, memory, PROBE_BYTES);
    return (double)mapped_ns * 0.95 <= (double)memory_ns;
}
