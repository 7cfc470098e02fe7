/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_open_fuzz.c: any bytes as a plan. Checksums are made right first, so that the fuzzer reaches the checks behind them;
 * an odd first byte leaves them as they are.
 * covers: plan_open.c plan_check.c plan_check_steps.c plan_check_weights.c problem_parse.c symbol_names.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "plan/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ALIGNMENT = 64 };

static void seal(uint8_t *bytes, size_t size) {
    tn_plan_header *header = (tn_plan_header *)(void *)bytes;
    tn_plan_section *sections = (tn_plan_section *)(void *)(header + 1);
    if (size < sizeof *header) return;
    header->file_bytes = size;
    size_t head = sizeof *header + header->num_sections * sizeof *sections;
    if (header->num_sections > TN_PLAN_MAX_SECTIONS || head > size) return;
    for (uint32_t i = 0; i < header->num_sections; i++)
        if (sections[i].id != TN_SECTION_WEIGHT_DATA && sections[i].offset <= size && sections[i].size <= size - sections[i].offset)
            sections[i].hash = tn_hash(bytes + sections[i].offset, (size_t)sections[i].size, 0);
    header->header_hash = 0;
    header->header_hash = tn_hash(bytes, head, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    bool sealed = data[0] % 2 == 0;
    uint8_t *bytes = aligned_alloc(ALIGNMENT, (size + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    tn_diag *diag;
    tn_plan *plan;
    if (bytes == NULL || tn_diag_create(NULL, &diag) != TN_OK) {
        free(bytes);
        return 0;
    }
    memcpy(bytes, data, size);
    if (sealed) seal(bytes, size);
    tn_status status = tn_plan_open_memory(bytes, size, NULL, NULL, NULL, diag, &plan);
    if (status == TN_OK) status = tn_plan_verify_weights(plan, diag);
    if (status != TN_OK && tn_diag_num_entries(diag) == 0) abort();
    tn_plan_destroy(plan);
    tn_diag_destroy(diag);
    free(bytes);
    return 0;
}
