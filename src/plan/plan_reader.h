/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_reader.h: inside of the plan reader, shared by plan_open.c (bytes and sections), plan_check.c (functions, tensors,
 * symbols, profiles), plan_check_steps.c and plan_check_weights.c.
 *
 * Each check runs once and reports the first thing that is wrong, with the place in the file. Later checks rely on what the
 * earlier ones made sure of; the order is that of tn_plan_check_tables.
 */
#ifndef TN_PLAN_PLAN_READER_H_
#define TN_PLAN_PLAN_READER_H_

#include <stdatomic.h>

#include "base/checked.h"
#include "base/memory.h"
#include "plan/plan.h"

struct tn_plan {
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* NULL: malloc */
    atomic_int references;
    tn_plan_view view;
    char *path;
    tn_file file; /* of tn_plan_open_file; else closed */
    bool has_file;
    void *head; /* owned copy of all bytes before WEIGHT_DATA, so that a file that changes cannot undo the checks */
    const void *bytes;
    size_t size_bytes;
    void (*free_bytes)(void *user, void *bytes);
    void *free_user;
};

typedef struct tn_plan_reader {
    tn_plan_view *view;
    const char *path; /* "" for memory */
    size_t strings_bytes;
    uint64_t section_offset[TN_SECTION_WEIGHT_DATA + 1]; /* in the file, for messages; 0: absent */
    const tn_allocator *allocator;
    tn_diag *diag;
} tn_plan_reader;

/* TN_INVALID_DATA at byte `offset` of the file. */
tn_status tn_plan_fail(const tn_plan_reader *reader, uint64_t offset, const char *format, ...) TN_PRINTF(3, 4);
/* TN_INVALID_DATA at record `index` of a table: "function 2: …". */
tn_status tn_plan_fail_record(const tn_plan_reader *reader, tn_plan_section_id section, uint32_t index, const char *format, ...)
    TN_PRINTF(4, 5);
/* TN_UNSUPPORTED: stands in the format, not in this version. */
tn_status tn_plan_fail_reserved(const tn_plan_reader *reader, tn_plan_section_id section, uint32_t index, const char *what);

size_t tn_plan_record_bytes(tn_plan_section_id section); /* 0: not a table */
const char *tn_plan_section_name(tn_plan_section_id section);

/* NULL if it is no offset of a string. */
const char *tn_plan_find_string(const tn_plan_reader *reader, uint32_t offset);

TN_MUST_CHECK tn_status tn_plan_check_tables(const tn_plan_reader *reader);
TN_MUST_CHECK tn_status tn_plan_check_steps(const tn_plan_reader *reader, const tn_plan_function *function);
TN_MUST_CHECK tn_status tn_plan_check_states(const tn_plan_reader *reader);
TN_MUST_CHECK tn_status tn_plan_check_weights(const tn_plan_reader *reader);

#endif
