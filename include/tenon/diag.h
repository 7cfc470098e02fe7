/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/diag.h: why a call failed, and what to do about it. A tn_diag collects every error and warning of the calls it is
 * given to, not the last one only.
 *
 *     tn_diag *diag;
 *     if (tn_diag_create(NULL, &diag) != TN_OK) return 1;
 *     tn_engine_options options;
 *     tn_engine_options_init(&options);
 *     options.diag = diag;
 *     if (tn_engine_load("llama.plan", &options, &engine) != TN_OK)
 *         for (size_t i = 0; i < tn_diag_num_entries(diag); i++) {
 *             tn_diag_entry entry;
 *             tn_diag_get(diag, i, &entry);
 *             fprintf(stderr, "%s\n  %s\n", entry.message, entry.hint);
 *         }
 *     tn_diag_destroy(diag);
 *
 * Threads: locked inside; any number of threads may report to one diag. Entries are never changed or moved, so what
 * tn_diag_get lends lives until tn_diag_clear or tn_diag_destroy.
 * Where a function takes a `tn_diag *`, NULL means: write errors and warnings to stderr.
 */
#ifndef TENON_DIAG_H_
#define TENON_DIAG_H_

#include <stddef.h>
#include <stdint.h>

#include "tenon/allocator.h"
#include "tenon/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_diag tn_diag;

typedef enum tn_severity {
    TN_SEVERITY_INFO = 0,    /* a decision worth knowing: a lowered limit, a retune */
    TN_SEVERITY_WARNING = 1, /* the call went on, with less than was asked for */
    TN_SEVERITY_ERROR = 2,   /* the call failed */
} tn_severity;

typedef struct tn_diag_entry {
    tn_severity severity;
    tn_status code;      /* TN_OK for infos and warnings */
    const char *message; /* attempted action, reason, value; no newline at the end */
    const char *subject; /* the layer, tensor, field or request at fault; "" if none */
    const char *file;    /* "" if none */
    int64_t offset;      /* byte in the file, or -1 */
    const char *hint;    /* the next step for the user; "" if none */
} tn_diag_entry;

/* TN_OUT_OF_MEMORY is the only error. NULL allocator: malloc. */
TN_API TN_MUST_CHECK tn_status tn_diag_create(const tn_allocator *allocator, tn_diag **out_diag);
TN_API void tn_diag_destroy(tn_diag *diag); /* accepts NULL */

TN_API size_t tn_diag_num_entries(const tn_diag *diag);
/* Fills *out_entry with borrowed strings. TN_NOT_FOUND when index is past the end. */
TN_API tn_status tn_diag_get(const tn_diag *diag, size_t index, tn_diag_entry *out_entry);
TN_API void tn_diag_clear(tn_diag *diag);

/* The messages that could not be kept for lack of memory; such an entry is counted, never invented. */
TN_API size_t tn_diag_num_dropped(const tn_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
