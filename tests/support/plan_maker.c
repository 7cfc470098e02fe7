/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_maker.c: see plan_maker.h.
 */
#include "support/plan_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { ALIGNMENT = 64 };

static void must(int condition) {
    if (condition) return;
    (void)fputs("plan_maker: out of memory or misuse\n", stderr);
    abort();
}

#define PUSH(array, ...) must(tn_array_push(NULL, array, (__VA_ARGS__)))

void tn_plan_maker_init(tn_plan_maker *maker, const char *backend) {
    *maker = (tn_plan_maker){.meta = "{}"};
    memcpy(maker->header.magic, TN_PLAN_MAGIC, sizeof maker->header.magic);
    maker->header.format_version = TN_PLAN_FORMAT_VERSION;
    (void)snprintf(maker->header.backend, sizeof maker->header.backend, "%s", backend);
    (void)snprintf(maker->header.builder_version, sizeof maker->header.builder_version, "test");
    (void)snprintf(maker->header.fingerprint, sizeof maker->header.fingerprint, "test");
    tn_text_append_char(&maker->strings, '\0');
}

void tn_plan_maker_deinit(tn_plan_maker *maker) {
    tn_text_deinit(&maker->strings);
    tn_text_deinit(&maker->weight_data);
    tn_array_deinit(NULL, &maker->functions);
    tn_array_deinit(NULL, &maker->tensors);
    tn_array_deinit(NULL, &maker->symbols);
    tn_array_deinit(NULL, &maker->profiles);
    tn_array_deinit(NULL, &maker->steps);
    tn_array_deinit(NULL, &maker->refs);
    tn_array_deinit(NULL, &maker->variants);
    tn_array_deinit(NULL, &maker->states);
    tn_array_deinit(NULL, &maker->weights);
}

uint32_t tn_maker_string(tn_plan_maker *maker, const char *string) {
    size_t length = strlen(string);
    for (size_t at = 0; at < maker->strings.size; at += strlen(maker->strings.data + at) + 1)
        if (strcmp(maker->strings.data + at, string) == 0) return (uint32_t)at;
    uint32_t offset = (uint32_t)maker->strings.size;
    tn_text_append(&maker->strings, string, length + 1);
    must(!maker->strings.failed);
    return offset;
}

static tn_plan_function *current_function(tn_plan_maker *maker) {
    must(maker->functions.count > 0);
    return &maker->functions.data[maker->functions.count - 1];
}

void tn_maker_begin_function(tn_plan_maker *maker, const char *name) {
    tn_plan_function function = {.name = tn_maker_string(maker, name),
                                 .first_tensor = (uint32_t)maker->tensors.count,
                                 .first_symbol = (uint32_t)maker->symbols.count,
                                 .first_step = (uint32_t)maker->steps.count,
                                 .first_profile = (uint32_t)maker->profiles.count};
    PUSH(&maker->functions, function);
    (void)tn_maker_const(maker, 1);
}

void tn_maker_end_function(tn_plan_maker *maker) {
    tn_plan_function *function = current_function(maker);
    function->num_tensors = (uint32_t)maker->tensors.count - function->first_tensor;
    function->num_symbols = (uint32_t)maker->symbols.count - function->first_symbol;
    function->num_steps = (uint32_t)maker->steps.count - function->first_step;
    function->num_profiles = (uint32_t)maker->profiles.count - function->first_profile;
    for (uint32_t i = 0; i < function->num_tensors; i++) { /* live all the time unless the test said otherwise */
        tn_plan_tensor *tensor = &maker->tensors.data[function->first_tensor + i];
        if (tensor->last_step == UINT32_MAX) tensor->last_step = function->num_steps > 0 ? function->num_steps - 1 : 0;
    }
}

uint32_t tn_maker_symbol(tn_plan_maker *maker, const char *op, uint32_t a, uint32_t b, uint32_t c, int64_t value) {
    tn_plan_symbol symbol = {.op = tn_maker_string(maker, op), .a = a, .b = b, .c = c, .value = value};
    PUSH(&maker->symbols, symbol);
    return (uint32_t)maker->symbols.count - 1 - current_function(maker)->first_symbol;
}

uint32_t tn_maker_const(tn_plan_maker *maker, int64_t value) {
    return tn_maker_symbol(maker, "const", 0, 0, 0, value);
}

uint32_t tn_maker_input_dim(tn_plan_maker *maker, uint32_t tensor, uint32_t axis) {
    return tn_maker_symbol(maker, "input_dim", tensor, axis, 0, 0);
}

uint32_t tn_maker_tensor(tn_plan_maker *maker, const char *name, const char *dtype, uint32_t space, uint32_t rank, const uint32_t *dims) {
    tn_plan_tensor tensor = {.name = tn_maker_string(maker, name),
                             .dtype = tn_maker_string(maker, dtype),
                             .space = space,
                             .place = space == TN_SPACE_HOST,
                             .rank = rank,
                             .last_step = UINT32_MAX};
    for (uint32_t i = 0; i < rank && i < 8; i++) tensor.dims[i] = tensor.max_dims[i] = dims[i];
    PUSH(&maker->tensors, tensor);
    return (uint32_t)maker->tensors.count - 1 - current_function(maker)->first_tensor;
}

void tn_maker_profile(tn_plan_maker *maker, uint32_t profile, uint32_t tensor, uint32_t axis, int64_t min, int64_t opt, int64_t max) {
    tn_plan_profile row = {.profile = profile, .tensor = tensor, .axis = axis, .min = min, .opt = opt, .max = max};
    PUSH(&maker->profiles, row);
}

static uint32_t push_step(tn_plan_maker *maker, tn_plan_step step) {
    PUSH(&maker->steps, step);
    return (uint32_t)maker->steps.count - 1 - current_function(maker)->first_step;
}

uint32_t tn_maker_launch(tn_plan_maker *maker, const char *name, const char *problem, const char *tactic, uint32_t tactic_version,
                         uint32_t num_refs, const uint32_t (*refs)[2]) {
    tn_plan_step step = {.kind = TN_STEP_LAUNCH,
                         .device = tactic != NULL,
                         .name = tn_maker_string(maker, name),
                         .problem = tn_maker_string(maker, problem),
                         .first_ref = (uint32_t)maker->refs.count,
                         .num_refs = num_refs,
                         .first_variant = (uint32_t)maker->variants.count,
                         .num_variants = tactic != NULL};
    for (uint32_t i = 0; i < num_refs; i++) {
        tn_plan_ref ref = {.space = refs[i][0], .id = refs[i][1]};
        PUSH(&maker->refs, ref);
    }
    if (tactic != NULL) {
        tn_plan_variant variant = {
            .tactic = tn_maker_string(maker, tactic), .tactic_version = tactic_version, .bucket_min = 0, .bucket_max = INT64_MAX};
        PUSH(&maker->variants, variant);
    }
    return push_step(maker, step);
}

uint32_t tn_maker_transfer(tn_plan_maker *maker, const char *name, tn_step_kind kind, const uint32_t source[2],
                           const uint32_t destination[2]) {
    tn_plan_step step = {
        .kind = kind, .device = 1, .name = tn_maker_string(maker, name), .first_ref = (uint32_t)maker->refs.count, .num_refs = 2};
    tn_plan_ref refs[2] = {{.space = source[0], .id = source[1]}, {.space = destination[0], .id = destination[1]}};
    PUSH(&maker->refs, refs[0]);
    PUSH(&maker->refs, refs[1]);
    return push_step(maker, step);
}

uint32_t tn_maker_loop(tn_plan_maker *maker, const char *name, uint32_t count, uint32_t condition, uint32_t body_end) {
    tn_plan_step step = {
        .kind = TN_STEP_LOOP, .name = tn_maker_string(maker, name), .count = count, .condition = condition, .body_end = body_end};
    return push_step(maker, step);
}

uint32_t tn_maker_weight(tn_plan_maker *maker, const char *name, const char *encoding, const char *dtype, uint32_t rank,
                         const int64_t *dims, const void *data, size_t size_bytes, const char *recipe) {
    while (maker->weight_data.size % ALIGNMENT != 0) tn_text_append_char(&maker->weight_data, '\0');
    size_t padded = (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, offset = maker->weight_data.size;
    tn_text_append(&maker->weight_data, data, size_bytes);
    while (maker->weight_data.size < offset + padded && !maker->weight_data.failed) tn_text_append_char(&maker->weight_data, '\0');
    must(!maker->weight_data.failed);
    tn_plan_weight weight = {.name = tn_maker_string(maker, name),
                             .dtype = tn_maker_string(maker, dtype),
                             .encoding = tn_maker_string(maker, encoding),
                             .layout = tn_maker_string(maker, "plain"),
                             .storage = TN_WEIGHT_INLINE,
                             .recipe = tn_maker_string(maker, recipe),
                             .rank = rank,
                             .offset = offset,
                             .size = padded,
                             .hash = tn_hash(maker->weight_data.data + offset, padded, 0)};
    for (uint32_t i = 0; i < rank && i < 8; i++) weight.dims[i] = dims[i];
    PUSH(&maker->weights, weight);
    return (uint32_t)maker->weights.count - 1;
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------- */

typedef struct section_source {
    uint32_t id;
    const void *data;
    size_t size;
} section_source;

void tn_plan_seal(void *bytes, size_t size_bytes) {
    tn_plan_header *header = bytes;
    tn_plan_section *sections = (tn_plan_section *)(void *)(header + 1);
    size_t head = sizeof *header + (size_t)header->num_sections * sizeof *sections;
    if (header->num_sections > TN_PLAN_MAX_SECTIONS || head > size_bytes) return;
    for (uint32_t i = 0; i < header->num_sections; i++)
        if (sections[i].id != TN_SECTION_WEIGHT_DATA && sections[i].offset <= size_bytes &&
            sections[i].size <= size_bytes - sections[i].offset)
            sections[i].hash = tn_hash((uint8_t *)bytes + sections[i].offset, (size_t)sections[i].size, 0);
    header->header_hash = 0;
    header->header_hash = tn_hash(bytes, head, 0);
}

#define TABLE(id, array) \
    { id, (array).data, (array).count * sizeof *(array).data }

void *tn_plan_maker_finish(tn_plan_maker *maker, size_t *out_size_bytes) {
    const section_source sources[] = {
        {TN_SECTION_STRINGS, maker->strings.data, maker->strings.size},
        {TN_SECTION_META, maker->meta, strlen(maker->meta) + 1},
        TABLE(TN_SECTION_FUNCTIONS, maker->functions),
        TABLE(TN_SECTION_TENSORS, maker->tensors),
        TABLE(TN_SECTION_SYMBOLS, maker->symbols),
        TABLE(TN_SECTION_PROFILES, maker->profiles),
        TABLE(TN_SECTION_STEPS, maker->steps),
        TABLE(TN_SECTION_REFS, maker->refs),
        TABLE(TN_SECTION_VARIANTS, maker->variants),
        TABLE(TN_SECTION_STATES, maker->states),
        TABLE(TN_SECTION_WEIGHTS, maker->weights),
        {TN_SECTION_WEIGHT_DATA, maker->weight_data.data, maker->weight_data.size},
    };
    enum { NUM_SECTIONS = sizeof sources / sizeof sources[0] };
    size_t offsets[NUM_SECTIONS], end = sizeof(tn_plan_header) + NUM_SECTIONS * sizeof(tn_plan_section);
    for (size_t i = 0; i < NUM_SECTIONS; i++) {
        offsets[i] = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        end = offsets[i] + sources[i].size;
    }
    uint8_t *bytes = aligned_alloc(ALIGNMENT, (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    must(bytes != NULL);
    memset(bytes, 0, end);
    maker->header.num_sections = NUM_SECTIONS;
    maker->header.file_bytes = end;
    memcpy(bytes, &maker->header, sizeof maker->header);
    tn_plan_section *sections = (tn_plan_section *)(void *)(bytes + sizeof(tn_plan_header));
    for (size_t i = 0; i < NUM_SECTIONS; i++) {
        sections[i] = (tn_plan_section){.id = sources[i].id, .offset = offsets[i], .size = sources[i].size};
        if (sources[i].size > 0) memcpy(bytes + offsets[i], sources[i].data, sources[i].size);
    }
    tn_plan_seal(bytes, end);
    *out_size_bytes = end;
    return bytes;
}

void tn_plan_maker_save(tn_plan_maker *maker, const char *path) {
    size_t size;
    void *bytes = tn_plan_maker_finish(maker, &size);
    FILE *file = fopen(path, "wb");
    must(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    free(bytes);
}
