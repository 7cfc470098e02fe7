/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_save.c: a plan's bytes into a file.
 */
#include "base/memory.h"
#include "plan/plan.h"

enum { CHUNK_BYTES = 4 << 20 };

tn_status tn_plan_save(const tn_plan *plan, const char *path, tn_diag *diag) {
    const tn_file *file;
    const uint8_t *bytes = tn_plan_bytes(plan, &file);
    size_t size = tn_plan_size_bytes(plan);
    tn_file_writer *writer = NULL;
    uint8_t *buffer = NULL;
    tn_status status = tn_file_writer_create(path, NULL, diag, &writer);
    if (status != TN_OK) return status;
    if (file != NULL) { /* read, not mapped: a file that was cut is an error here, not a signal */
        buffer = tn_alloc(NULL, CHUNK_BYTES);
        if (buffer == NULL) status = tn_fail_memory(diag, "saving a plan", CHUNK_BYTES);
    }
    for (size_t at = 0; at < size && status == TN_OK; at += CHUNK_BYTES) {
        size_t count = size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES;
        if (file != NULL) status = tn_file_read_at(file, at, buffer, count, diag);
        if (status == TN_OK) status = tn_file_writer_write_at(writer, at, file != NULL ? buffer : bytes + at, count);
    }
    if (status == TN_OK) status = tn_file_writer_commit(writer);
    tn_free(NULL, buffer);
    tn_file_writer_destroy(writer);
    return status;
}
