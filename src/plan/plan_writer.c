/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_writer.c: sections and their places; strings. The weights are packed by plan_pack.c.
 */
#include "plan/plan_writer.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "plan/plan_pack.h"

enum { TABLE_ALIGNMENT = 64, PAGE_ALIGNMENT = 4096, NUM_SECTIONS = TN_SECTION_WEIGHT_DATA };

void tn_plan_writer_init(tn_plan_writer *writer, const char *backend, const tn_allocator *allocator, tn_diag *diag) {
    *writer = (tn_plan_writer){.allocator = allocator, .diag = diag, .strings.allocator = allocator, .meta.allocator = allocator};
    memcpy(writer->header.magic, TN_PLAN_MAGIC, sizeof writer->header.magic);
    writer->header.format_version = TN_PLAN_FORMAT_VERSION;
    (void)snprintf(writer->header.backend, sizeof writer->header.backend, "%s", backend);
    (void)snprintf(writer->header.builder_version, sizeof writer->header.builder_version, "%s", TN_VERSION);
    tn_text_append_char(&writer->strings, '\0');
}

void tn_plan_writer_deinit(tn_plan_writer *writer) {
    tn_text_deinit(&writer->strings);
    tn_text_deinit(&writer->meta);
    tn_free(writer->allocator, writer->string_slots);
    tn_array_deinit(writer->allocator, &writer->functions);
    tn_array_deinit(writer->allocator, &writer->tensors);
    tn_array_deinit(writer->allocator, &writer->symbols);
    tn_array_deinit(writer->allocator, &writer->profiles);
    tn_array_deinit(writer->allocator, &writer->steps);
    tn_array_deinit(writer->allocator, &writer->refs);
    tn_array_deinit(writer->allocator, &writer->variants);
    tn_array_deinit(writer->allocator, &writer->states);
    tn_array_deinit(writer->allocator, &writer->weights);
    tn_array_deinit(writer->allocator, &writer->weight_sources);
}

/* --- strings -------------------------------------------------------------------------------------------------------------- */

static size_t find_slot(const tn_plan_writer *writer, const char *string) {
    size_t mask = writer->num_string_slots - 1, slot = (size_t)tn_hash(string, strlen(string), 0) & mask;
    while (writer->string_slots[slot] != 0 && strcmp(writer->strings.data + writer->string_slots[slot], string) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static bool grow_slots(tn_plan_writer *writer) {
    if (writer->num_strings * 2 < writer->num_string_slots) return true;
    size_t count = writer->num_string_slots == 0 ? 256 : writer->num_string_slots * 2;
    uint32_t *slots = tn_alloc_array(writer->allocator, count, sizeof *slots);
    if (slots == NULL) return false;
    tn_free(writer->allocator, writer->string_slots);
    writer->string_slots = slots;
    writer->num_string_slots = count;
    for (size_t at = 1; at < writer->strings.size; at += strlen(writer->strings.data + at) + 1)
        slots[find_slot(writer, writer->strings.data + at)] = (uint32_t)at;
    return true;
}

uint32_t tn_plan_writer_string(tn_plan_writer *writer, const char *string) {
    if (string[0] == '\0' || writer->strings.failed) return 0;
    size_t size = strlen(string) + 1;
    if (!grow_slots(writer) || writer->strings.size > UINT32_MAX - size) {
        writer->strings.failed = true;
        return 0;
    }
    size_t slot = find_slot(writer, string);
    if (writer->string_slots[slot] != 0) return writer->string_slots[slot];
    uint32_t offset = (uint32_t)writer->strings.size;
    tn_text_append(&writer->strings, string, size);
    if (writer->strings.failed) return 0;
    writer->string_slots[slot] = offset;
    writer->num_strings++;
    return offset;
}

/* --- weights -------------------------------------------------------------------------------------------------------------- */

tn_status tn_plan_writer_add_weight(tn_plan_writer *writer, const tn_plan_weight *record, const tn_plan_weight_source *source,
                                    uint32_t *out_index) {
    *out_index = (uint32_t)writer->weights.count;
    if (!tn_array_reserve(writer->allocator, &writer->weights, 1) || !tn_array_push(writer->allocator, &writer->weight_sources, *source))
        return tn_fail_memory(writer->diag, "a table of a plan", sizeof *record);
    tn_plan_weight *added = &writer->weights.data[writer->weights.count++];
    *added = *record;
    if (record->storage != TN_WEIGHT_INLINE) return TN_OK;
    added->offset = writer->weight_data_bytes;
    if (__builtin_add_overflow(writer->weight_data_bytes, (record->size + TABLE_ALIGNMENT - 1) / TABLE_ALIGNMENT * TABLE_ALIGNMENT,
                               &writer->weight_data_bytes))
        return tn_fail(writer->diag, TN_INVALID_ARGUMENT, "cannot write a plan: its weights are too large");
    return TN_OK;
}

/* --- sections --------------------------------------------------------------------------------------------------------------- */

typedef struct section_plan {
    const void *data[NUM_SECTIONS];
    tn_plan_section sections[NUM_SECTIONS];
    uint32_t count;
    uint64_t file_bytes;
} section_plan;

static void add_section(section_plan *plan, tn_plan_section_id id, const void *data, uint64_t size) {
    if (size == 0) return;
    plan->data[plan->count] = data;
    plan->sections[plan->count++] = (tn_plan_section){.id = (uint32_t)id, .size = size};
}

#define ADD_TABLE(plan, id, array) add_section(plan, id, (array).data, (array).count * sizeof *(array).data)

static void place_sections(const tn_plan_writer *writer, section_plan *plan) {
    *plan = (section_plan){.count = 0};
    add_section(plan, TN_SECTION_STRINGS, writer->strings.data, writer->strings.size);
    add_section(plan, TN_SECTION_META, writer->meta.data, writer->meta.size + 1);
    ADD_TABLE(plan, TN_SECTION_FUNCTIONS, writer->functions);
    ADD_TABLE(plan, TN_SECTION_TENSORS, writer->tensors);
    ADD_TABLE(plan, TN_SECTION_SYMBOLS, writer->symbols);
    ADD_TABLE(plan, TN_SECTION_PROFILES, writer->profiles);
    ADD_TABLE(plan, TN_SECTION_STEPS, writer->steps);
    ADD_TABLE(plan, TN_SECTION_REFS, writer->refs);
    ADD_TABLE(plan, TN_SECTION_VARIANTS, writer->variants);
    ADD_TABLE(plan, TN_SECTION_STATES, writer->states);
    ADD_TABLE(plan, TN_SECTION_WEIGHTS, writer->weights);
    add_section(plan, TN_SECTION_WEIGHT_DATA, NULL, writer->weight_data_bytes);
    uint64_t end = sizeof(tn_plan_header) + plan->count * sizeof(tn_plan_section);
    for (uint32_t i = 0; i < plan->count; i++) {
        tn_plan_section *section = &plan->sections[i];
        uint64_t alignment = section->id == TN_SECTION_WEIGHT_DATA && section->size >= PAGE_ALIGNMENT ? PAGE_ALIGNMENT : TABLE_ALIGNMENT;
        section->offset = (end + alignment - 1) / alignment * alignment;
        end = section->offset + section->size;
    }
    plan->file_bytes = end;
}

/* Checksums of sections and header; the weights' own hashes must stand in their table already. */
static void seal(tn_plan_writer *writer, section_plan *plan, uint8_t *head) {
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->sections[i].id != TN_SECTION_WEIGHT_DATA)
            plan->sections[i].hash = tn_hash(plan->data[i], (size_t)plan->sections[i].size, 0);
    writer->header.num_sections = plan->count;
    writer->header.file_bytes = plan->file_bytes;
    writer->header.header_hash = 0;
    size_t table_bytes = plan->count * sizeof(tn_plan_section), head_bytes = sizeof writer->header + table_bytes;
    memcpy(head, &writer->header, sizeof writer->header);
    memcpy(head + sizeof writer->header, plan->sections, table_bytes);
    writer->header.header_hash = tn_hash(head, head_bytes, 0);
    memcpy(head, &writer->header, sizeof writer->header);
}

static const tn_plan_section *weight_section(const section_plan *plan) {
    const tn_plan_section *last = &plan->sections[plan->count - 1];
    return last->id == TN_SECTION_WEIGHT_DATA ? last : NULL;
}

/* Everything before the weights, zeros between sections, into `head`. */
static void fill_head(tn_plan_writer *writer, section_plan *plan, uint8_t *head, size_t head_bytes) {
    memset(head, 0, head_bytes);
    seal(writer, plan, head);
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->sections[i].id != TN_SECTION_WEIGHT_DATA)
            memcpy(head + plan->sections[i].offset, plan->data[i], (size_t)plan->sections[i].size);
}

static tn_status finish_file(tn_plan_writer *writer, const tn_plan_write_options *options, section_plan *plan, size_t head_bytes,
                             tn_plan **out_plan) {
    tn_file_writer *file = NULL;
    uint8_t *head = NULL;
    tn_status status = tn_file_writer_create(options->path, writer->allocator, writer->diag, &file);
    if (status != TN_OK) return status;
    const tn_plan_section *weights = weight_section(plan);
    if (weights != NULL) status = tn_plan_pack_to_file(writer, options, file, weights->offset);
    if (status != TN_OK) goto cleanup;
    head = tn_alloc(writer->allocator, head_bytes);
    if (head == NULL) {
        status = tn_fail_memory(writer->diag, "the tables of a plan", head_bytes);
        goto cleanup;
    }
    fill_head(writer, plan, head, head_bytes);
    status = tn_file_writer_write_at(file, 0, head, head_bytes);
    if (status == TN_OK) status = tn_file_writer_commit(file);
    if (status == TN_OK) status = tn_plan_open_file(options->path, writer->allocator, writer->diag, out_plan);
cleanup:
    tn_free(writer->allocator, head);
    tn_file_writer_destroy(file);
    return status;
}

/* The block that an aligned plan in memory stands in. */
typedef struct plan_block {
    tn_allocator allocator;
    bool has_allocator;
} plan_block;

static void free_block(void *user, void *bytes) {
    (void)bytes;
    plan_block *block = user;
    tn_allocator allocator = block->allocator;
    tn_free(block->has_allocator ? &allocator : NULL, block);
}

static tn_status finish_memory(tn_plan_writer *writer, const tn_plan_write_options *options, section_plan *plan, size_t head_bytes,
                               tn_plan **out_plan) {
    size_t size;
    plan_block *block = NULL;
    if (tn_add_size((size_t)plan->file_bytes, sizeof *block + PAGE_ALIGNMENT, &size)) block = tn_alloc(writer->allocator, size);
    if (block == NULL) return tn_fail_memory(writer->diag, "a plan", (size_t)plan->file_bytes);
    *block = (plan_block){.has_allocator = writer->allocator != NULL};
    if (writer->allocator != NULL) block->allocator = *writer->allocator;
    uint8_t *bytes = (uint8_t *)(((uintptr_t)(block + 1) + PAGE_ALIGNMENT - 1) & ~(uintptr_t)(PAGE_ALIGNMENT - 1));
    const tn_plan_section *weights = weight_section(plan);
    tn_status status = weights != NULL ? tn_plan_pack_to_memory(writer, options, bytes + weights->offset) : TN_OK;
    if (status == TN_OK) {
        fill_head(writer, plan, bytes, head_bytes);
        status = tn_plan_open_memory(bytes, (size_t)plan->file_bytes, free_block, block, writer->allocator, writer->diag, out_plan);
    }
    if (status != TN_OK) free_block(block, bytes);
    return status;
}

tn_status tn_plan_writer_finish(tn_plan_writer *writer, const tn_plan_write_options *options, tn_plan **out_plan) {
    *out_plan = NULL;
    if (writer->meta.size == 0) tn_text_append_string(&writer->meta, "{}");
    if (writer->strings.failed || writer->meta.failed) return tn_fail_memory(writer->diag, "the strings of a plan", writer->strings.size);
    section_plan plan;
    place_sections(writer, &plan);
    const tn_plan_section *weights = weight_section(&plan);
    size_t head_bytes = (size_t)(weights != NULL ? weights->offset : plan.file_bytes);
    return options->path != NULL ? finish_file(writer, options, &plan, head_bytes, out_plan)
                                 : finish_memory(writer, options, &plan, head_bytes, out_plan);
}
