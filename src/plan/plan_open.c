/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_open.c: from bytes to a plan: header, section table, checksums; then the tables (plan_check.c).
 *
 * Of a file, everything before the weights is read into memory of our own and checked there: a file that is changed or cut
 * afterwards can damage weights, never tables. The weights are mapped, and touched only by those who use the mapping.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "plan/plan_reader.h"

enum { TABLE_ALIGNMENT = 64, MAX_MESSAGE = 512 };

static const char *const rebuild_hint = "build the plan again from its model: tenon build MODEL -o DIR";

tn_status tn_plan_fail(const tn_plan_reader *reader, uint64_t offset, const char *format, ...) {
    char text[MAX_MESSAGE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tn_where where = {
        .file = reader->path, .hint = rebuild_hint, .has_offset = offset <= INT64_MAX, .offset = offset <= INT64_MAX ? (int64_t)offset : 0};
    return tn_fail_at(reader->diag, TN_INVALID_DATA, &where, "cannot read plan%s%s: %s (at byte %" PRIu64 ")",
                      reader->path[0] != '\0' ? " " : "", reader->path, text, offset);
}

const char *tn_plan_section_name(tn_plan_section_id section) {
    static const char *const names[] = {"",      "strings", "meta",     "functions", "tensors", "symbols",    "profiles",
                                        "steps", "refs",    "variants", "states",    "weights", "weight data"};
    return section <= TN_SECTION_WEIGHT_DATA ? names[section] : "unknown";
}

size_t tn_plan_record_bytes(tn_plan_section_id section) {
    switch (section) {
    case TN_SECTION_FUNCTIONS: return sizeof(tn_plan_function);
    case TN_SECTION_TENSORS: return sizeof(tn_plan_tensor);
    case TN_SECTION_SYMBOLS: return sizeof(tn_plan_symbol);
    case TN_SECTION_PROFILES: return sizeof(tn_plan_profile);
    case TN_SECTION_STEPS: return sizeof(tn_plan_step);
    case TN_SECTION_REFS: return sizeof(tn_plan_ref);
    case TN_SECTION_VARIANTS: return sizeof(tn_plan_variant);
    case TN_SECTION_STATES: return sizeof(tn_plan_state);
    case TN_SECTION_WEIGHTS: return sizeof(tn_plan_weight);
    default: return 0;
    }
}

static uint64_t record_offset(const tn_plan_reader *reader, tn_plan_section_id section, uint32_t index) {
    if (section > TN_SECTION_WEIGHT_DATA) return 0;
    return reader->section_offset[section] + (uint64_t)index * tn_plan_record_bytes(section);
}

tn_status tn_plan_fail_record(const tn_plan_reader *reader, tn_plan_section_id section, uint32_t index, const char *format, ...) {
    char text[MAX_MESSAGE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return tn_plan_fail(reader, record_offset(reader, section, index), "%s[%" PRIu32 "]: %s", tn_plan_section_name(section), index, text);
}

tn_status tn_plan_fail_reserved(const tn_plan_reader *reader, tn_plan_section_id section, uint32_t index, const char *what) {
    tn_where where = {.file = reader->path,
                      .subject = what,
                      .hint = "a newer version of Tenon made this plan; use that one, or build the plan again with this one",
                      .has_offset = true,
                      .offset = (int64_t)record_offset(reader, section, index)};
    return tn_fail_at(reader->diag, TN_UNSUPPORTED, &where,
                      "cannot read plan%s%s: %s[%" PRIu32 "] needs %s, which this version does not do", reader->path[0] != '\0' ? " " : "",
                      reader->path, tn_plan_section_name(section), index, what);
}

/* --- header and sections ------------------------------------------------------------------------------------------------ */

static bool is_text(const char *field, size_t size) {
    const char *end = memchr(field, '\0', size);
    if (end == NULL) return false;
    for (const char *c = field; c < end; c++)
        if (*c < ' ' || *c > '~') return false;
    for (const char *c = end; c < field + size; c++)
        if (*c != '\0') return false;
    return true;
}

static uint64_t head_hash(const void *head, size_t size_bytes) {
    /* header_hash itself counts as 0 */
    const uint8_t *bytes = head;
    uint8_t copy[sizeof(tn_plan_header) + TN_PLAN_MAX_SECTIONS * sizeof(tn_plan_section)];
    memcpy(copy, bytes, size_bytes);
    memset(copy + offsetof(tn_plan_header, header_hash), 0, sizeof(uint64_t));
    return tn_hash(copy, size_bytes, 0);
}

/* `head` holds the header and, if has_sections, the table; size_bytes is that of the whole plan. */
static tn_status check_header(const tn_plan_reader *reader, const tn_plan_header *header, size_t size_bytes) {
    if (memcmp(header->magic, TN_PLAN_MAGIC, sizeof header->magic) != 0) return tn_plan_fail(reader, 0, "it is not a plan of Tenon");
    if (header->format_version != TN_PLAN_FORMAT_VERSION) {
        tn_where where = {
            .file = reader->path, .hint = rebuild_hint, .has_offset = true, .offset = offsetof(tn_plan_header, format_version)};
        return tn_fail_at(reader->diag, TN_INCOMPATIBLE, &where,
                          "cannot read plan%s%s: it has format %" PRIu32 ", this version reads format %u",
                          reader->path[0] != '\0' ? " " : "", reader->path, header->format_version, TN_PLAN_FORMAT_VERSION);
    }
    if (header->file_bytes != size_bytes)
        return tn_plan_fail(reader, offsetof(tn_plan_header, file_bytes), "it has %zu bytes, its header says %" PRIu64, size_bytes,
                            header->file_bytes);
    if (header->num_sections > TN_PLAN_MAX_SECTIONS)
        return tn_plan_fail(reader, offsetof(tn_plan_header, num_sections), "%" PRIu32 " sections, at most %d are allowed",
                            header->num_sections, TN_PLAN_MAX_SECTIONS);
    if (sizeof *header + header->num_sections * sizeof(tn_plan_section) > size_bytes)
        return tn_plan_fail(reader, offsetof(tn_plan_header, num_sections), "its section table ends beyond its %zu bytes", size_bytes);
    return TN_OK;
}

static tn_status check_header_fields(const tn_plan_reader *reader, const tn_plan_header *header) {
    size_t head_bytes = sizeof *header + header->num_sections * sizeof(tn_plan_section);
    if (head_hash(header, head_bytes) != header->header_hash)
        return tn_plan_fail(reader, offsetof(tn_plan_header, header_hash), "the checksum of header and section table differs");
    if ((header->flags & ~TN_PLAN_STRIPPED) != 0 || header->reserved != 0)
        return tn_plan_fail(reader, offsetof(tn_plan_header, flags), "unknown flags %#" PRIx32, header->flags);
    if (!is_text(header->backend, sizeof header->backend) || header->backend[0] == '\0')
        return tn_plan_fail(reader, offsetof(tn_plan_header, backend), "the backend's name is no text");
    if (!is_text(header->builder_version, sizeof header->builder_version))
        return tn_plan_fail(reader, offsetof(tn_plan_header, builder_version), "the builder's version is no text");
    if (!is_text(header->fingerprint, sizeof header->fingerprint))
        return tn_plan_fail(reader, offsetof(tn_plan_header, fingerprint), "the device's fingerprint is no text");
    return TN_OK;
}

static const tn_plan_section *section_table(const tn_plan_header *header) {
    return (const tn_plan_section *)(const void *)(header + 1);
}

/* Order, bounds and alignment. */
static tn_status check_section_table(const tn_plan_reader *reader, const tn_plan_header *header) {
    const tn_plan_section *sections = section_table(header);
    uint64_t end = sizeof *header + header->num_sections * sizeof *sections;
    uint32_t previous_id = 0;
    for (uint32_t i = 0; i < header->num_sections; i++) {
        const tn_plan_section *section = &sections[i];
        uint64_t at = sizeof *header + i * sizeof *sections;
        const char *name = tn_plan_section_name(section->id);
        if (section->id == 0 || section->id > TN_SECTION_WEIGHT_DATA || section->reserved != 0)
            return tn_plan_fail(reader, at, "unknown section %" PRIu32, section->id);
        if (section->id <= previous_id) return tn_plan_fail(reader, at, "section '%s' stands twice or out of order", name);
        if (section->offset % TABLE_ALIGNMENT != 0 || section->offset < end || section->offset > header->file_bytes ||
            section->size > header->file_bytes - section->offset)
            return tn_plan_fail(reader, at, "section '%s' has offset %" PRIu64 " and %" PRIu64 " bytes, the plan has %" PRIu64, name,
                                section->offset, section->size, header->file_bytes);
        size_t record = tn_plan_record_bytes(section->id);
        if (record != 0 && (section->size % record != 0 || section->size / record > UINT32_MAX))
            return tn_plan_fail(reader, at, "section '%s' has %" PRIu64 " bytes, records have %zu", name, section->size, record);
        if (section->id == TN_SECTION_WEIGHT_DATA && section->hash != 0)
            return tn_plan_fail(reader, at, "section '%s' has a checksum", name);
        previous_id = section->id;
        end = section->offset + section->size;
    }
    return TN_OK;
}

#define SET_TABLE(view, member, count, section, bytes) \
    ((view)->member = (const void *)(bytes), (view)->count = (uint32_t)((section)->size / sizeof *(view)->member))

static void set_table(tn_plan_view *view, const tn_plan_section *section, const uint8_t *bytes) {
    switch (section->id) {
    case TN_SECTION_STRINGS: view->strings = (const char *)bytes; break;
    case TN_SECTION_META: view->meta = (const char *)bytes; break;
    case TN_SECTION_FUNCTIONS: SET_TABLE(view, functions, num_functions, section, bytes); break;
    case TN_SECTION_TENSORS: SET_TABLE(view, tensors, num_tensors, section, bytes); break;
    case TN_SECTION_SYMBOLS: SET_TABLE(view, symbols, num_symbols, section, bytes); break;
    case TN_SECTION_PROFILES: SET_TABLE(view, profiles, num_profiles, section, bytes); break;
    case TN_SECTION_STEPS: SET_TABLE(view, steps, num_steps, section, bytes); break;
    case TN_SECTION_REFS: SET_TABLE(view, refs, num_refs, section, bytes); break;
    case TN_SECTION_VARIANTS: SET_TABLE(view, variants, num_variants, section, bytes); break;
    case TN_SECTION_STATES: SET_TABLE(view, states, num_states, section, bytes); break;
    case TN_SECTION_WEIGHTS: SET_TABLE(view, weights, num_weights, section, bytes); break;
    default: break;
    }
}

static tn_status check_texts(const tn_plan_reader *reader, const tn_plan_section *section, const char *bytes) {
    size_t size = (size_t)section->size;
    if (size == 0 || bytes[size - 1] != '\0' || (section->id == TN_SECTION_STRINGS && bytes[0] != '\0') ||
        (section->id == TN_SECTION_META && strlen(bytes) != size - 1))
        return tn_plan_fail(reader, section->offset, "section '%s' does not begin or end as it must", tn_plan_section_name(section->id));
    if (!tn_utf8_is_valid(bytes, size))
        return tn_plan_fail(reader, section->offset, "section '%s' is not UTF-8", tn_plan_section_name(section->id));
    return TN_OK;
}

/* head: the bytes of the plan up to the weights. */
static tn_status open_sections(tn_plan_reader *reader, const uint8_t *head) {
    tn_plan_view *view = reader->view;
    const tn_plan_header *header = (const tn_plan_header *)(const void *)head;
    const tn_plan_section *sections = section_table(header);
    view->header = header;
    view->strings = "";
    view->meta = "{}";
    static const uint64_t nothing[1]; /* an absent table has an address too: walkers add 0 to it */
    view->functions = (const void *)nothing;
    view->tensors = (const void *)nothing;
    view->symbols = (const void *)nothing;
    view->profiles = (const void *)nothing;
    view->steps = (const void *)nothing;
    view->refs = (const void *)nothing;
    view->variants = (const void *)nothing;
    view->states = (const void *)nothing;
    view->weights = (const void *)nothing;
    reader->strings_bytes = 1;
    for (uint32_t i = 0; i < header->num_sections; i++) {
        const tn_plan_section *section = &sections[i];
        reader->section_offset[section->id] = section->offset;
        if (section->id == TN_SECTION_WEIGHT_DATA) {
            view->weight_data_bytes = section->size;
            view->weight_data_offset = section->offset;
            continue;
        }
        const uint8_t *bytes = head + section->offset;
        if (tn_hash(bytes, (size_t)section->size, 0) != section->hash)
            return tn_plan_fail(reader, section->offset, "the checksum of section '%s' differs", tn_plan_section_name(section->id));
        set_table(view, section, bytes);
        if (section->id == TN_SECTION_STRINGS || section->id == TN_SECTION_META) {
            tn_status status = check_texts(reader, section, (const char *)bytes);
            if (status != TN_OK) return status;
            if (section->id == TN_SECTION_STRINGS) reader->strings_bytes = (size_t)section->size;
        }
    }
    return tn_plan_check_tables(reader);
}

/* Where the weights begin, or the end of the last section. */
static size_t head_end(const tn_plan_header *header) {
    const tn_plan_section *sections = section_table(header);
    size_t end = sizeof *header + header->num_sections * sizeof *sections;
    for (uint32_t i = 0; i < header->num_sections; i++)
        if (sections[i].id != TN_SECTION_WEIGHT_DATA) end = (size_t)(sections[i].offset + sections[i].size);
    return end;
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static tn_plan *create_plan(const char *path, const tn_allocator *allocator, tn_diag *diag) {
    tn_plan *plan = tn_alloc_zero(allocator, sizeof *plan);
    if (plan == NULL) {
        (void)tn_fail_memory(diag, "a plan", sizeof *plan);
        return NULL;
    }
    if (allocator != NULL) {
        plan->allocator_copy = *allocator;
        plan->allocator = &plan->allocator_copy;
    }
    atomic_init(&plan->references, 1);
    plan->file.descriptor = -1;
    plan->path = tn_copy_string(plan->allocator, path);
    if (plan->path == NULL) {
        (void)tn_fail_memory(diag, "a plan's file name", strlen(path) + 1);
        tn_plan_destroy(plan);
        return NULL;
    }
    return plan;
}

static tn_status read_head(tn_plan *plan, const tn_plan_reader *reader) {
    struct {
        tn_plan_header header;
        tn_plan_section sections[TN_PLAN_MAX_SECTIONS];
    } table;
    size_t available = plan->size_bytes < sizeof table ? plan->size_bytes : sizeof table;
    tn_status status = tn_file_read_at(&plan->file, 0, &table, available, reader->diag);
    if (status == TN_OK) status = check_header(reader, &table.header, plan->size_bytes);
    if (status == TN_OK) status = check_header_fields(reader, &table.header);
    if (status == TN_OK) status = check_section_table(reader, &table.header);
    if (status != TN_OK) return status;
    size_t size = head_end(&table.header);
    plan->head = tn_alloc(plan->allocator, size);
    if (plan->head == NULL) return tn_fail_memory(reader->diag, "the tables of a plan", size);
    memcpy(plan->head, &table, size < available ? size : available); /* the header that was checked */
    return size > available ? tn_file_read_at(&plan->file, available, (uint8_t *)plan->head + available, size - available, reader->diag)
                            : TN_OK;
}

static tn_status open_file(tn_plan *plan, tn_plan_reader *reader) {
    tn_status status = tn_file_open(plan->path, plan->allocator, reader->diag, &plan->file);
    if (status != TN_OK) return status;
    plan->has_file = true;
    plan->size_bytes = plan->file.size_bytes;
    if (plan->size_bytes < sizeof(tn_plan_header))
        return tn_plan_fail(reader, 0, "it has %zu bytes, a plan has at least %zu", plan->size_bytes, sizeof(tn_plan_header));
    status = read_head(plan, reader);
    if (status == TN_OK) status = tn_file_map(&plan->file, reader->diag);
    if (status != TN_OK) return status;
    plan->bytes = plan->file.data;
    return open_sections(reader, plan->head);
}

static tn_status open_memory(tn_plan *plan, tn_plan_reader *reader) {
    if ((uintptr_t)plan->bytes % TABLE_ALIGNMENT != 0)
        return tn_fail(reader->diag, TN_INVALID_ARGUMENT, "cannot read plan from memory: its address is not a multiple of %d",
                       TABLE_ALIGNMENT);
    if (plan->size_bytes < sizeof(tn_plan_header))
        return tn_plan_fail(reader, 0, "it has %zu bytes, a plan has at least %zu", plan->size_bytes, sizeof(tn_plan_header));
    const tn_plan_header *header = plan->bytes;
    tn_status status = check_header(reader, header, plan->size_bytes);
    if (status == TN_OK) status = check_header_fields(reader, header);
    if (status == TN_OK) status = check_section_table(reader, header);
    return status == TN_OK ? open_sections(reader, plan->bytes) : status;
}

static tn_status finish_open(tn_plan *plan, tn_status status, tn_plan **out_plan) {
    if (status != TN_OK) {
        plan->free_bytes = NULL; /* on failure the caller keeps them */
        tn_plan_destroy(plan);
        return status;
    }
    if (plan->view.weight_data_bytes > 0) plan->view.weight_data = (const uint8_t *)plan->bytes + plan->view.weight_data_offset;
    *out_plan = plan;
    return TN_OK;
}

tn_status tn_plan_open_file(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_plan **out_plan) {
    *out_plan = NULL;
    tn_plan *plan = create_plan(path, allocator, diag);
    if (plan == NULL) return TN_OUT_OF_MEMORY;
    tn_plan_reader reader = {.view = &plan->view, .path = path, .allocator = plan->allocator, .diag = diag};
    return finish_open(plan, open_file(plan, &reader), out_plan);
}

tn_status tn_plan_open_memory(const void *bytes, size_t size_bytes, void (*free_bytes)(void *user, void *bytes), void *user,
                              const tn_allocator *allocator, tn_diag *diag, tn_plan **out_plan) {
    *out_plan = NULL;
    tn_plan *plan = create_plan("", allocator, diag);
    if (plan == NULL) return TN_OUT_OF_MEMORY;
    plan->bytes = bytes;
    plan->size_bytes = size_bytes;
    plan->free_bytes = free_bytes;
    plan->free_user = user;
    tn_plan_reader reader = {.view = &plan->view, .path = "", .allocator = plan->allocator, .diag = diag};
    return finish_open(plan, open_memory(plan, &reader), out_plan);
}

/* --- the object ---------------------------------------------------------------------------------------------------------------- */

tn_plan *tn_plan_retain(tn_plan *plan) {
    atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
    return plan;
}

void tn_plan_destroy(tn_plan *plan) {
    if (plan == NULL || atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) > 1) return;
    if (plan->free_bytes != NULL) plan->free_bytes(plan->free_user, (void *)plan->bytes);
    tn_file_close(&plan->file);
    tn_free(plan->allocator, plan->head);
    tn_free(plan->allocator, plan->path);
    tn_allocator copy = plan->allocator_copy;
    tn_free(plan->allocator != NULL ? &copy : NULL, plan);
}

const tn_plan_view *tn_plan_get_view(const tn_plan *plan) {
    return &plan->view;
}

const char *tn_plan_path(const tn_plan *plan) {
    return plan->path;
}

const void *tn_plan_bytes(const tn_plan *plan, const tn_file **out_file) {
    *out_file = plan->has_file ? &plan->file : NULL;
    return plan->bytes;
}

size_t tn_plan_size_bytes(const tn_plan *plan) {
    return plan->size_bytes;
}

tn_status tn_plan_verify_weights(const tn_plan *plan, tn_diag *diag) {
    const tn_plan_view *view = &plan->view;
    for (uint32_t i = 0; i < view->num_weights; i++) {
        const tn_plan_weight *weight = &view->weights[i];
        if (weight->storage != TN_WEIGHT_INLINE || weight->hash == 0) continue;
        if (tn_hash(view->weight_data + weight->offset, (size_t)weight->size, 0) == weight->hash) continue;
        uint64_t offset = view->weight_data_offset + weight->offset;
        tn_where where = {.file = plan->path,
                          .subject = tn_plan_string(view, weight->name),
                          .hint = rebuild_hint,
                          .has_offset = true,
                          .offset = (int64_t)offset};
        return tn_fail_at(diag, TN_INVALID_DATA, &where,
                          "cannot use plan %s: the checksum of weight '%s' differs (%" PRIu64 " bytes at byte %" PRIu64 ")", plan->path,
                          tn_plan_string(view, weight->name), weight->size, offset);
    }
    return TN_OK;
}

tn_status tn_plan_load(const char *path, tn_diag *diag, tn_plan **out_plan) {
    return tn_plan_open_file(path, NULL, diag, out_plan);
}
