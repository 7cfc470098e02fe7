/* SPDX-License-Identifier: Apache-2.0
 *
 * diag.c: the list of errors and warnings (tenon/diag.h), and how they get there (report.h).
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"

/* One block: the struct, then the strings that `entry` points to. */
typedef struct diag_record {
    tn_diag_entry entry;
} diag_record;

struct tn_diag {
    tn_allocator allocator;
    bool has_allocator;
    pthread_mutex_t mutex;
    TN_ARRAY(diag_record *) records; /* pointers may move when the array grows, the records never do */
    size_t num_dropped;
};

static const tn_allocator *diag_allocator(const tn_diag *diag) {
    return diag->has_allocator ? &diag->allocator : NULL;
}

tn_status tn_diag_create(const tn_allocator *allocator, tn_diag **out_diag) {
    *out_diag = NULL;
    tn_diag *diag = tn_alloc_zero(allocator, sizeof *diag);
    if (diag == NULL) return TN_OUT_OF_MEMORY;
    if (allocator != NULL) {
        diag->allocator = *allocator;
        diag->has_allocator = true;
    }
    if (pthread_mutex_init(&diag->mutex, NULL) != 0) {
        tn_free(allocator, diag);
        return TN_OUT_OF_MEMORY;
    }
    *out_diag = diag;
    return TN_OK;
}

void tn_diag_clear(tn_diag *diag) {
    if (diag == NULL) return;
    pthread_mutex_lock(&diag->mutex);
    for (size_t i = 0; i < diag->records.count; i++) tn_free(diag_allocator(diag), diag->records.data[i]);
    tn_array_deinit(diag_allocator(diag), &diag->records);
    diag->num_dropped = 0;
    pthread_mutex_unlock(&diag->mutex);
}

void tn_diag_destroy(tn_diag *diag) {
    if (diag == NULL) return;
    tn_diag_clear(diag);
    pthread_mutex_destroy(&diag->mutex);
    tn_allocator allocator = diag->allocator;
    tn_free(diag->has_allocator ? &allocator : NULL, diag);
}

/* Reading changes nothing that a caller can see; only the lock inside needs the object to be writable. */
static void lock_for_reading(const tn_diag *diag) {
    pthread_mutex_lock(&((tn_diag *)diag)->mutex);
}
static void unlock_after_reading(const tn_diag *diag) {
    pthread_mutex_unlock(&((tn_diag *)diag)->mutex);
}

size_t tn_diag_num_entries(const tn_diag *diag) {
    if (diag == NULL) return 0;
    lock_for_reading(diag);
    size_t count = diag->records.count;
    unlock_after_reading(diag);
    return count;
}

tn_status tn_diag_get(const tn_diag *diag, size_t index, tn_diag_entry *out_entry) {
    *out_entry = (tn_diag_entry){.message = "", .subject = "", .file = "", .offset = -1, .hint = ""};
    if (diag == NULL) return TN_NOT_FOUND;
    lock_for_reading(diag);
    bool found = index < diag->records.count;
    if (found) *out_entry = diag->records.data[index]->entry;
    unlock_after_reading(diag);
    return found ? TN_OK : TN_NOT_FOUND;
}

size_t tn_diag_num_dropped(const tn_diag *diag) {
    if (diag == NULL) return 0;
    lock_for_reading(diag);
    size_t count = diag->num_dropped;
    unlock_after_reading(diag);
    return count;
}

static const char *or_empty(const char *string) {
    return string != NULL ? string : "";
}

/* Copies the string to *cursor and moves it past the NUL. */
static const char *put_string(char **cursor, const char *string) {
    size_t size = strlen(string) + 1;
    char *copy = *cursor;
    memcpy(copy, string, size);
    *cursor += size;
    return copy;
}

static diag_record *make_record(const tn_diag *diag, tn_severity severity, tn_status code, const tn_where *where, const char *format,
                                va_list args) {
    static const tn_where nowhere = {0};
    if (where == NULL) where = &nowhere;
    va_list measured;
    va_copy(measured, args);
    int length = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    if (length < 0) return NULL;

    const char *subject = or_empty(where->subject), *file = or_empty(where->file), *hint = or_empty(where->hint);
    size_t message_size = (size_t)length + 1;
    size_t strings_size = message_size + strlen(subject) + strlen(file) + strlen(hint) + 3;
    diag_record *record = tn_alloc(diag_allocator(diag), sizeof *record + strings_size);
    if (record == NULL) return NULL;
    char *cursor = (char *)(record + 1);
    (void)vsnprintf(cursor, message_size, format, args);
    record->entry = (tn_diag_entry){.severity = severity, .code = code, .message = cursor};
    cursor += message_size;
    record->entry.subject = put_string(&cursor, subject);
    record->entry.file = put_string(&cursor, file);
    record->entry.hint = put_string(&cursor, hint);
    record->entry.offset = where->has_offset ? where->offset : -1;
    return record;
}

static void print_entry(tn_severity severity, const tn_where *where, const char *format, va_list args) {
    if (severity == TN_SEVERITY_INFO) return;
    flockfile(stderr);
    fputs(severity == TN_SEVERITY_WARNING ? "tenon: warning: " : "tenon: ", stderr);
    (void)vfprintf(stderr, format, args);
    fputc('\n', stderr);
    if (where != NULL && where->hint != NULL && where->hint[0] != '\0') (void)fprintf(stderr, "  %s\n", where->hint);
    funlockfile(stderr);
}

static void record_entry(tn_diag *diag, tn_severity severity, tn_status code, const tn_where *where, const char *format, va_list args)
    TN_PRINTF(5, 0);
static void record_entry(tn_diag *diag, tn_severity severity, tn_status code, const tn_where *where, const char *format, va_list args) {
    if (diag == NULL) {
        print_entry(severity, where, format, args);
        return;
    }
    diag_record *record = make_record(diag, severity, code, where, format, args);
    pthread_mutex_lock(&diag->mutex);
    if (record != NULL && tn_array_push(diag_allocator(diag), &diag->records, record)) {
        record = NULL;
    } else {
        diag->num_dropped++;
    }
    pthread_mutex_unlock(&diag->mutex);
    tn_free(diag_allocator(diag), record);
}

tn_status tn_fail(tn_diag *diag, tn_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record_entry(diag, TN_SEVERITY_ERROR, code, NULL, format, args);
    va_end(args);
    return code;
}

tn_status tn_fail_at(tn_diag *diag, tn_status code, const tn_where *where, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record_entry(diag, TN_SEVERITY_ERROR, code, where, format, args);
    va_end(args);
    return code;
}

tn_status tn_fail_memory(tn_diag *diag, const char *what, size_t size_bytes) {
    return tn_fail(diag, TN_OUT_OF_MEMORY, "out of memory: %s needs %zu bytes", what, size_bytes);
}

void tn_warn(tn_diag *diag, const tn_where *where, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record_entry(diag, TN_SEVERITY_WARNING, TN_OK, where, format, args);
    va_end(args);
}

void tn_info(tn_diag *diag, const tn_where *where, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record_entry(diag, TN_SEVERITY_INFO, TN_OK, where, format, args);
    va_end(args);
}
