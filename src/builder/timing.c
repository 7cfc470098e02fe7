/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.c: see timing.h. Buffers are filled with 0x3c: as floats of any width, scales and integers that is an ordinary small
 * number, so that no tactic meets denormals or NaNs that real data does not have.
 *
 * Weights stand there in several copies that runs take in turn: in a model all other weights pass between two uses of one, so
 * a step finds its own in memory and not in a cache, and a tactic that is good at fetching them must be seen to be.
 *
 * On a device that runs apart from the host a sample is one segment of many repeats, long enough that queueing it and waiting for
 * it weigh little; the same segment comes every round, so that a device with graphs replays it.
 */
#include "builder/timing.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/thread.h"
#include "op/dtype.h"
#include "weights/weights.h"

enum { FILL_BYTE = 0x3c, MIN_ROUNDS = 5, MAX_ROUNDS = 15, MAX_REPEATS = 64, MAX_BUFFERS = 64, MAX_COPIES = 64 };
enum { ROUNDS_FOR_ALL = 3 }; /* a run may be interrupted: one bad sample says nothing */
static const size_t max_buffer_bytes = (size_t)192 << 20, max_window_bytes = (size_t)32 << 20;
static const size_t max_device_window_bytes = (size_t)128 << 20;
static const double least_sample_us = 60.0, least_device_sample_us = 1500.0, enough_us = 4000.0, hopeless = 2.5;

/* The repeats of one tactic as a segment. */
typedef struct repeated_step {
    tn_bound_step steps[MAX_REPEATS];
    void *buffers[MAX_REPEATS][MAX_BUFFERS + 1];
} repeated_step;

typedef struct bench {
    const tn_timing_request *request;
    tn_stream *stream;
    uint8_t *memory;
    size_t weight_bytes, other_bytes; /* of one copy of the weights, which stand first; of everything else */
    int num_copies, next_copy;
    size_t offsets[MAX_BUFFERS]; /* in a copy of the weights, or behind all copies */
    bool absent[MAX_BUFFERS], is_weight[MAX_BUFFERS];
    int num_buffers;
    tn_launch launches[TN_MAX_TIMED];
    void *buffers[MAX_BUFFERS + 1];
    repeated_step *repeated; /* [num_tactics]; NULL: the device runs on the host */
    tn_diag *diag;
} bench;

bool tn_timing_is_possible(const tn_problem *problem) {
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        const tn_operand *operand = &problem->operands[i];
        if (operand->absent || operand->role == TN_ROLE_WEIGHT) continue;
        bool is_number = tn_dtype_get_info(operand->dtype)->is_float || operand->dtype == TN_Q15_32 || operand->dtype == TN_Q8_32;
        if (operand->role == TN_ROLE_STATE || operand->place == TN_PLACE_HOST || !is_number) return false;
    }
    return problem->num_operands < MAX_BUFFERS - TN_NUM_WEIGHT_PARTS;
}

static bool add_buffer(bench *b, size_t size, bool is_weight, bool absent) {
    size_t padded, total;
    size_t *section = is_weight ? &b->weight_bytes : &b->other_bytes;
    if (b->num_buffers == MAX_BUFFERS || !tn_align_size(size, 4096, &padded) || !tn_add_size(*section, padded, &total)) return false;
    b->offsets[b->num_buffers] = *section;
    b->is_weight[b->num_buffers] = is_weight;
    b->absent[b->num_buffers++] = absent;
    *section = total;
    return total <= max_buffer_bytes;
}

/* As many copies of the weights as it takes for them, with what else a run touches, to pass through the last cache. */
static bool choose_copies(bench *b) {
    if (b->weight_bytes > max_buffer_bytes - b->other_bytes) return false;
    const tn_device_info *info = &b->request->device->info;
    size_t most = b->request->device->backend->is_host ? max_window_bytes : max_device_window_bytes;
    size_t cache = info->l3_bytes > info->l2_bytes ? info->l3_bytes : info->l2_bytes, run_bytes = b->weight_bytes + b->other_bytes;
    size_t window = b->request->device->backend->is_host ? cache : 2 * cache;
    if (window > most) window = most;
    size_t copies = b->weight_bytes == 0 ? 1 : window / run_bytes;
    b->num_copies = copies < 1 ? 1 : copies > MAX_COPIES ? MAX_COPIES : (int)copies;
    return true;
}

static size_t memory_bytes(const bench *b) {
    return (size_t)b->num_copies * b->weight_bytes + b->other_bytes;
}

static bool add_weight(bench *b, const tn_operand *operand) {
    tn_weight_desc desc = {.dtype = operand->dtype, .encoding = operand->encoding, .dims = {.rank = operand->rank}};
    for (int i = 0; i < operand->rank; i++) desc.dims.d[i] = b->request->symbols[operand->dims[i]];
    const tn_layout *layout = tn_backend_find_layout(b->request->device->backend, operand->layout);
    size_t size;
    if (layout != NULL) return tn_weights_packed_bytes(&desc, layout, &size) == TN_OK && add_buffer(b, size, true, false);
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        if (!tn_encoding_has_part(&desc.encoding, (tn_weight_part)part)) continue;
        if (!tn_encoding_part_bytes(&desc.encoding, (tn_weight_part)part, tn_weight_num_rows(&desc), tn_weight_num_columns(&desc), &size) ||
            !add_buffer(b, size, true, false))
            return false;
    }
    return true;
}

static bool place_buffers(bench *b) {
    const tn_problem *problem = b->request->problem;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        const tn_operand *operand = &problem->operands[i];
        size_t size = 0;
        if (!operand->absent && operand->role == TN_ROLE_WEIGHT) {
            if (!add_weight(b, operand)) return false;
            continue;
        }
        if (!operand->absent && !tn_operand_bytes(operand, b->request->symbols, &size)) return false;
        if (!add_buffer(b, size, false, operand->absent)) return false;
    }
    size_t workspace = 0;
    for (int i = 0; i < b->request->num_tactics; i++) {
        const tn_tactic *tactic = b->request->tactics[i];
        if (tactic->prepare(&b->request->device->info, problem, b->request->symbols, &b->launches[i]) != TN_OK) return false;
        if (b->launches[i].workspace_bytes > workspace) workspace = b->launches[i].workspace_bytes;
    }
    return add_buffer(b, workspace, false, workspace == 0) && choose_copies(b);
}

static tn_status fill_memory(bench *b, const tn_allocator *allocator) {
    tn_device *device = b->request->device;
    const tn_backend *backend = device->backend;
    void *memory = NULL;
    size_t size_bytes = memory_bytes(b);
    tn_status status = backend->memory_allocate(device, TN_MEMORY_ACTIVATIONS, size_bytes, b->diag, &memory);
    if (status != TN_OK) return status;
    b->memory = memory;
    for (int i = 0; i < b->num_buffers; i++)
        b->buffers[i] = b->absent[i] ? NULL : b->memory + b->offsets[i] + (b->is_weight[i] ? 0 : (size_t)b->num_copies * b->weight_bytes);
    if (backend->is_host) {
        memset(b->memory, FILL_BYTE, size_bytes);
        return TN_OK;
    }
    const size_t chunk = (size_t)1 << 20;
    uint8_t *pattern = tn_alloc(allocator, chunk);
    if (pattern == NULL) return tn_fail_memory(b->diag, "timing", chunk);
    memset(pattern, FILL_BYTE, chunk);
    for (size_t at = 0; at < size_bytes && status == TN_OK; at += chunk)
        status = backend->copy(b->stream, TN_COPY_TO_DEVICE, b->memory + at, pattern, size_bytes - at < chunk ? size_bytes - at : chunk,
                               b->diag);
    if (status == TN_OK) status = backend->stream_synchronize(b->stream, b->diag);
    tn_free(allocator, pattern);
    return status;
}

static void take_next_copy(bench *b) {
    uint8_t *copy = b->memory + (size_t)b->next_copy * b->weight_bytes;
    for (int i = 0; i < b->num_buffers; i++)
        if (b->is_weight[i]) b->buffers[i] = copy + b->offsets[i];
    b->next_copy = (b->next_copy + 1) % b->num_copies;
}

static tn_status run_as_one(bench *b, const tn_bound_step *step, int tactic, int repeats) {
    repeated_step *repeated = &b->repeated[tactic];
    b->next_copy = 0;
    for (int i = 0; i < repeats; i++) {
        take_next_copy(b);
        memcpy(repeated->buffers[i], b->buffers, sizeof b->buffers);
        repeated->steps[i] = *step;
        repeated->steps[i].buffers = repeated->buffers[i];
    }
    return b->request->device->backend->run_segment(b->stream, repeated->steps, (size_t)repeats, NULL, b->diag);
}

static tn_status run_once(bench *b, int tactic, int repeats, double *out_us) {
    tn_bound_step step = {
        .launch = &b->launches[tactic], .problem = b->request->problem, .buffers = b->buffers, .symbols = b->request->symbols};
    const tn_backend *backend = b->request->device->backend;
    int64_t begin = tn_now_ns();
    tn_status status = TN_OK;
    if (b->repeated != NULL) status = run_as_one(b, &step, tactic, repeats);
    for (int i = 0; i < repeats && status == TN_OK && b->repeated == NULL; i++) {
        take_next_copy(b);
        status = backend->run_segment(b->stream, &step, 1, NULL, b->diag);
    }
    if (status == TN_OK) status = backend->stream_synchronize(b->stream, b->diag);
    *out_us = (double)(tn_now_ns() - begin) / 1000.0 / repeats;
    return status;
}

/* Turns until every tactic has its samples; those far behind the best drop out after some. */
static tn_status take_turns(bench *b, double *us, bool *out_measured) {
    int num = b->request->num_tactics, repeats[TN_MAX_TIMED];
    double total = 0.0, best = 0.0;
    tn_status status = TN_OK;
    for (int i = 0; i < num && status == TN_OK; i++) {               /* also warms up */
        if (b->repeated != NULL) status = run_once(b, i, 1, &us[i]); /* the first brings the kernel to the device */
        if (status == TN_OK) status = run_once(b, i, 1, &us[i]);
        total += us[i];
        if (i == 0 || us[i] < best) best = us[i];
    }
    int64_t needed_ns = (int64_t)(total * MIN_ROUNDS * 1000.0);
    if (b->request->deadline_ns != 0 && tn_now_ns() + needed_ns > b->request->deadline_ns) return status;
    double least_us = b->repeated != NULL ? least_device_sample_us : least_sample_us;
    for (int i = 0; i < num; i++)
        repeats[i] = us[i] >= least_us ? 1 : us[i] * MAX_REPEATS <= least_us ? MAX_REPEATS : (int)(least_us / us[i]) + 1;
    double spent = 0.0;
    for (int round = 0; round < MAX_ROUNDS && status == TN_OK && (round < MIN_ROUNDS || spent < enough_us); round++)
        for (int i = 0; i < num && status == TN_OK; i++) {
            double sample;
            if (us[i] > best * hopeless && round >= ROUNDS_FOR_ALL) continue;
            status = run_once(b, i, repeats[i], &sample);
            spent += sample * repeats[i];
            if (sample < us[i]) us[i] = sample;
            if (us[i] < best) best = us[i];
        }
    *out_measured = status == TN_OK;
    return status;
}

tn_status tn_timing_measure(const tn_timing_request *request, const tn_allocator *allocator, tn_diag *diag, double *out_us,
                            bool *out_measured) {
    *out_measured = false;
    bench b = {.request = request, .diag = diag};
    if (!place_buffers(&b)) return TN_OK;
    const tn_backend *backend = request->device->backend;
    tn_status status = backend->stream_create(request->device, diag, &b.stream);
    if (status != TN_OK) return status;
    if (!backend->is_host) {
        b.repeated = tn_alloc_array(allocator, (size_t)request->num_tactics, sizeof *b.repeated);
        if (b.repeated == NULL) status = tn_fail_memory(diag, "timing", (size_t)request->num_tactics * sizeof *b.repeated);
    }
    if (status == TN_OK) status = fill_memory(&b, allocator);
    if (status == TN_OK) status = take_turns(&b, out_us, out_measured);
    backend->stream_destroy(b.stream); /* waits for what reads the steps */
    tn_free(allocator, b.repeated);
    if (b.memory != NULL) backend->memory_free(request->device, b.memory, memory_bytes(&b));
    return status;
}
