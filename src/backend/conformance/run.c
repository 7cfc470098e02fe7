/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: a case's problems on ref and on a device. Device memory is reached through copies only, so that async devices work.
 */
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"

void tn_case_set_layout(tn_problem_builder *builder, const char *layout) {
    bool is_first = true;
    for (uint32_t i = 0; i < builder->problem.num_operands; i++) {
        if (builder->operands[i].role != TN_ROLE_WEIGHT) continue;
        builder->operands[i].layout = is_first ? layout : TN_LAYOUT_PLAIN;
        is_first = false;
    }
}

static void *copy_of(tn_case_build *build, const void *data, size_t size_bytes) {
    char *block = tn_arena_alloc(build->arena, size_bytes + 128);
    if (block == NULL) return NULL;
    block += (64 - (uintptr_t)block % 64) % 64;
    if (data != NULL) memcpy(block, data, size_bytes);
    return block;
}

/* --- ref ----------------------------------------------------------------------------------------------------------------------- */

static size_t state_bytes(const tn_case_build *build, const tn_backend *backend, const tn_device *device) {
    return build->kv_blocks > 0 ? (size_t)build->kv_blocks * backend->kv_block_bytes(device, &build->geometry) : build->state_bytes;
}

tn_status tn_case_run_ref(tn_case_build *build, tn_case_result *out_result, tn_diag *diag) {
    *out_result = (tn_case_result){{NULL}, NULL};
    const tn_backend *ref = tn_backend_find("ref");
    void *state = NULL;
    if (build->kv_blocks > 0 || build->state_bytes > 0) state = copy_of(build, build->state, state_bytes(build, ref, NULL));
    for (int p = 0; p < build->num_problems; p++) {
        tn_problem_builder *builder = &build->problems[p].builder;
        tn_case_set_layout(builder, TN_LAYOUT_PLAIN);
        void *buffers[TN_BUILD_MAX_OPERANDS + 8];
        uint32_t buffer = builder->num_buffers;
        memcpy(buffers, builder->buffers, sizeof buffers);
        /* Outputs are never encoded: they are the last buffers. */
        for (uint32_t i = builder->problem.num_operands; i-- > 0;) {
            const tn_operand *operand = &builder->operands[i];
            if (operand->role == TN_ROLE_WEIGHT) {
                for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
                    buffer -= tn_encoding_has_part(&operand->encoding, (tn_weight_part)part);
                continue;
            }
            buffer--;
            if (operand->role == TN_ROLE_STATE) buffers[buffer] = state;
            if (operand->role == TN_ROLE_OUTPUT) {
                buffers[buffer] = copy_of(build, NULL, tn_case_output_bytes(builder, i));
                if (p + 1 == build->num_problems) out_result->outputs[i] = buffers[buffer];
            }
        }
        tn_status status = tn_ref_run(tn_build_problem(builder), buffers, builder->symbols, diag);
        if (status != TN_OK) return status;
    }
    if (build->kv_blocks == 0) out_result->state = state;
    return TN_OK;
}

/* --- a device ------------------------------------------------------------------------------------------------------------------ */

typedef struct device_block {
    void *memory;
    size_t size_bytes;
} device_block;

typedef struct session {
    tn_case_build *build;
    tn_device *device;
    const tn_backend *backend;
    tn_stream *stream;
    tn_diag *diag;
    device_block blocks[2 * (TN_BUILD_MAX_OPERANDS + 8) + 4];
    size_t num_blocks;
    void *state;
} session;

/* Device memory with these bytes, or with a pattern that no kernel should leave. */
static tn_status place(session *s, const void *data, size_t size_bytes, void **out_memory) {
    size_t padded = (size_bytes + 63u) & ~(size_t)63u;
    tn_status status = s->backend->memory_allocate(s->device, TN_MEMORY_ACTIVATIONS, padded > 0 ? padded : 64, s->diag, out_memory);
    if (status != TN_OK) return status;
    s->blocks[s->num_blocks++] = (device_block){*out_memory, padded > 0 ? padded : 64};
    void *bytes = copy_of(s->build, data, padded);
    if (bytes == NULL) return tn_fail_memory(s->diag, "a copy", padded);
    if (data == NULL) memset(bytes, 0xee, padded);
    status = s->backend->copy(s->stream, TN_COPY_TO_DEVICE, *out_memory, bytes, size_bytes, s->diag);
    return status;
}

static tn_status place_packed(session *s, const tn_operand *operand, const tn_problem_builder *builder, void *const *parts,
                              void **out_memory) {
    const tn_layout *layout = tn_backend_find_layout(s->backend, operand->layout);
    tn_weight_desc desc = {.dtype = operand->dtype, .encoding = operand->encoding, .dims = {.rank = operand->rank}};
    for (int i = 0; i < operand->rank; i++) desc.dims.d[i] = builder->symbols[operand->dims[i]];
    int64_t rows = tn_weight_num_rows(&desc);
    size_t size_bytes = 0;
    tn_weight_parts source = {{NULL}};
    void *unpacked[TN_NUM_WEIGHT_PARTS] = {NULL};
    for (int part = 0, at = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = 0;
        if (!tn_encoding_has_part(&operand->encoding, (tn_weight_part)part)) continue;
        source.part[part] = parts[at++];
        if (tn_encoding_part_bytes(&operand->encoding, (tn_weight_part)part, rows, tn_weight_num_columns(&desc), &bytes))
            unpacked[part] = copy_of(s->build, NULL, bytes);
    }
    tn_status status = layout->size(&desc, &size_bytes);
    if (status != TN_OK) return status;
    void *packed = copy_of(s->build, NULL, size_bytes);
    if (packed == NULL) return tn_fail_memory(s->diag, "a packed weight", size_bytes);
    status = layout->pack_rows(&desc, &source, 0, rows, packed);
    if (status == TN_OK) status = layout->unpack_rows(&desc, packed, 0, rows, unpacked);
    if (status != TN_OK) return status;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = 0;
        if (source.part[part] == NULL) continue;
        (void)tn_encoding_part_bytes(&operand->encoding, (tn_weight_part)part, rows, tn_weight_num_columns(&desc), &bytes);
        if (memcmp(source.part[part], unpacked[part], bytes) != 0)
            return tn_fail(s->diag, TN_INTERNAL, "layout %s: part %s unpacks to other bytes", layout->name,
                           tn_weight_part_name((tn_weight_part)part));
    }
    return place(s, packed, size_bytes, out_memory);
}

static tn_status place_operands(session *s, tn_problem_builder *builder, void **buffers, uint32_t *out_count) {
    uint32_t from = 0, to = 0;
    for (uint32_t i = 0; i < builder->problem.num_operands; i++) {
        tn_operand *operand = &builder->operands[i];
        tn_status status = TN_OK;
        if (operand->role == TN_ROLE_WEIGHT) {
            int64_t rows = tn_operand_rows(operand, builder->symbols), columns = tn_operand_columns(operand, builder->symbols);
            bool is_packed = strcmp(operand->layout, TN_LAYOUT_PLAIN) != 0;
            if (is_packed) status = place_packed(s, operand, builder, &builder->buffers[from], &buffers[to++]);
            for (int part = 0; part < TN_NUM_WEIGHT_PARTS && status == TN_OK; part++) {
                size_t bytes = 0;
                if (!tn_encoding_has_part(&operand->encoding, (tn_weight_part)part)) continue;
                (void)tn_encoding_part_bytes(&operand->encoding, (tn_weight_part)part, rows, columns, &bytes);
                if (!is_packed) status = place(s, builder->buffers[from], bytes, &buffers[to++]);
                from++;
            }
        } else if (operand->absent) {
            buffers[to++] = NULL;
            from++;
        } else if (operand->role == TN_ROLE_STATE) {
            buffers[to++] = s->state;
            from++;
        } else {
            const void *data = operand->role == TN_ROLE_INPUT ? builder->buffers[from] : NULL;
            status = place(s, data, tn_case_output_bytes(builder, i), &buffers[to++]);
            from++;
        }
        if (status != TN_OK) return status;
    }
    *out_count = to;
    return TN_OK;
}

static tn_status run_problem(session *s, tn_problem_builder *builder, const tn_tactic *tactic, tn_case_result *result) {
    void *buffers[TN_BUILD_MAX_OPERANDS + 9] = {NULL};
    uint32_t count = 0;
    tn_launch launch;
    const tn_problem *problem = tn_build_problem(builder);
    *result = (tn_case_result){{NULL}, NULL};
    tn_status status = place_operands(s, builder, buffers, &count);
    if (status == TN_OK) status = tactic->prepare(&s->device->info, problem, builder->symbols, &launch);
    if (status != TN_OK) return status;
    size_t bound = tactic->workspace_bytes != NULL ? tactic->workspace_bytes(&s->device->info, problem, builder->symbols) : 0;
    if (launch.workspace_bytes > bound)
        return tn_fail(s->diag, TN_INTERNAL, "the launch wants %zu bytes of workspace, its tactic promised %zu", launch.workspace_bytes,
                       bound);
    if (launch.workspace_bytes > 0) status = place(s, NULL, launch.workspace_bytes, &buffers[count]);
    tn_bound_step step = {.launch = &launch, .problem = problem, .buffers = buffers, .symbols = builder->symbols};
    if (status == TN_OK) status = s->backend->run_segment(s->stream, &step, 1, NULL, s->diag);
    if (status == TN_OK) status = s->backend->stream_synchronize(s->stream, s->diag);
    /* Outputs are the last `count` buffers, one each. */
    uint32_t num_outputs = problem->num_operands - problem->num_inputs;
    for (uint32_t i = 0; i < num_outputs && status == TN_OK; i++) {
        size_t bytes = tn_case_output_bytes(builder, problem->num_inputs + i);
        void *host = copy_of(s->build, NULL, bytes);
        result->outputs[problem->num_inputs + i] = bytes > 0 ? host : NULL;
        if (bytes > 0) status = s->backend->copy(s->stream, TN_COPY_TO_HOST, host, buffers[count - num_outputs + i], bytes, s->diag);
    }
    if (status == TN_OK) status = s->backend->stream_synchronize(s->stream, s->diag);
    return status;
}

/* The tactic of this backend that runs what comes before the problem under test. */
static const tn_tactic *find_any(const tn_device *device, tn_problem_builder *builder) {
    char reason[128];
    tn_case_set_layout(builder, TN_LAYOUT_PLAIN);
    for (size_t i = 0; i < device->backend->num_tactics; i++) {
        const tn_tactic *tactic = device->backend->tactics[i];
        if (tactic->op == builder->problem.op && tactic->supports(&device->info, tn_build_problem(builder), reason, sizeof reason))
            return tactic;
    }
    return NULL;
}

tn_status tn_case_run(tn_case_build *build, tn_device *device, const tn_tactic *tactic, const char *layout, tn_case_result *out_result,
                      tn_diag *diag) {
    session s = {.build = build, .device = device, .backend = device->backend, .diag = diag};
    *out_result = (tn_case_result){{NULL}, NULL};
    tn_status status = s.backend->stream_create(device, diag, &s.stream);
    size_t bytes = state_bytes(build, s.backend, device);
    if (status == TN_OK && bytes > 0) {
        void *start = copy_of(build, build->state, bytes);
        status = start == NULL ? tn_fail_memory(diag, "a state", bytes) : place(&s, start, bytes, &s.state);
    }
    for (int p = 0; p < build->num_problems && status == TN_OK; p++) {
        tn_problem_builder *builder = &build->problems[p].builder;
        bool is_last = p + 1 == build->num_problems;
        const tn_tactic *chosen = is_last ? tactic : find_any(device, builder);
        if (chosen == NULL) {
            status = TN_NOT_FOUND; /* not this case's subject: the caller shows it as skipped */
            break;
        }
        tn_case_set_layout(builder, is_last ? layout : TN_LAYOUT_PLAIN);
        status = run_problem(&s, builder, chosen, out_result);
    }
    if (status == TN_OK && build->kv_blocks == 0 && bytes > 0) {
        out_result->state = copy_of(build, NULL, bytes);
        status = s.backend->copy(s.stream, TN_COPY_TO_HOST, out_result->state, s.state, bytes, diag);
        if (status == TN_OK) status = s.backend->stream_synchronize(s.stream, diag);
    }
    if (s.stream != NULL) s.backend->stream_destroy(s.stream);
    for (size_t i = 0; i < s.num_blocks; i++) s.backend->memory_free(device, s.blocks[i].memory, s.blocks[i].size_bytes);
    return status;
}
