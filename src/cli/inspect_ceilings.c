/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_ceilings.c: see inspect_ceilings.h.
 *
 * The product is the plan's own kind: for each way in which the function multiplies (tactic, types, layout of the weight) a square
 * problem without epilogues, doubled in size until a run takes long. Memory is filled with bits that are numbers around 1 in every
 * float type: kernels are slower on denormals and GPUs faster on zeros.
 */
#include "cli/inspect_ceilings.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"

enum { NUM_RUNS = 6, FIRST_SIZE = 256, LAST_SIZE = 8192, LONG_NS = 30000000, MAX_BUFFERS = 8 };

static const size_t fill_bytes = 1u << 24, host_copy_bytes = 1u << 27, device_copy_bytes = 1u << 30;

/* --- memory ----------------------------------------------------------------------------------------------------------------------- */

typedef struct bench {
    tn_device *device;
    const tn_backend *backend;
    tn_stream *stream;
    tn_diag *quiet; /* takes reports of what may fail */
    uint16_t *pattern;
} bench;

static void bench_deinit(bench *b) {
    if (b->stream != NULL) b->backend->stream_destroy(b->stream);
    tn_diag_destroy(b->quiet);
    tn_free(NULL, b->pattern);
}

static bool bench_init(bench *b, tn_engine *engine) {
    *b = (bench){.device = engine->device, .backend = engine->device->backend};
    b->pattern = tn_alloc(NULL, fill_bytes);
    if (b->pattern == NULL || tn_diag_create(NULL, &b->quiet) != TN_OK) return false;
    uint32_t random = 1;
    for (size_t i = 0; i < fill_bytes / sizeof *b->pattern; i++) {
        random = random * 1664525u + 1013904223u;
        b->pattern[i] = (uint16_t)((random >> 16 & 0x83ffu) | 0x3c00u);
    }
    return b->backend->stream_create(b->device, NULL, &b->stream) == TN_OK;
}

static tn_status fill(bench *b, void *memory, size_t size_bytes) {
    tn_status status = TN_OK;
    for (size_t at = 0; at < size_bytes && status == TN_OK; at += fill_bytes) {
        size_t part = size_bytes - at < fill_bytes ? size_bytes - at : fill_bytes;
        status = b->backend->copy(b->stream, TN_COPY_TO_DEVICE, (char *)memory + at, b->pattern, part, b->quiet);
    }
    return status == TN_OK ? b->backend->stream_synchronize(b->stream, b->quiet) : status;
}

static void release(bench *b, void *memory, size_t size_bytes) {
    if (memory != NULL) b->backend->memory_free(b->device, memory, size_bytes);
}

static void *allocate(bench *b, size_t size_bytes) {
    void *memory = NULL;
    if (b->backend->memory_allocate(b->device, TN_MEMORY_ACTIVATIONS, size_bytes, b->quiet, &memory) != TN_OK) return NULL;
    if (fill(b, memory, size_bytes) == TN_OK) return memory;
    release(b, memory, size_bytes);
    return NULL;
}

/* --- copying ------------------------------------------------------------------------------------------------------------------------ */

typedef struct shared_copy {
    char *dst;
    const char *src;
    size_t part_bytes;
} shared_copy;

static void copy_part(void *user, int64_t index, int worker) {
    const shared_copy *copy = user;
    size_t offset = (size_t)index * copy->part_bytes;
    (void)worker;
    memcpy(copy->dst + offset, copy->src + offset, copy->part_bytes);
}

/* A host device copies with all its threads, as its kernels do. */
static tn_status copy_once(bench *b, void *dst, const void *src, size_t size_bytes) {
    if (b->backend->is_host && b->backend->run_host_tasks != NULL) {
        int num_workers = b->device->info.num_workers;
        shared_copy copy = {dst, src, size_bytes / (size_t)num_workers};
        b->backend->run_host_tasks(b->device, copy_part, &copy, num_workers);
        return TN_OK;
    }
    return b->backend->copy(b->stream, TN_COPY_ON_DEVICE, dst, src, size_bytes, b->quiet);
}

static bool measure_copy(bench *b, tn_ceilings *out) {
    void *src = NULL, *dst = NULL;
    size_t size = b->backend->is_host ? host_copy_bytes : device_copy_bytes;
    for (; size >= fill_bytes && dst == NULL; size /= 2) { /* less where there is less room */
        src = allocate(b, size);
        dst = src != NULL ? allocate(b, size) : NULL;
        if (dst != NULL) break;
        release(b, src, size);
        src = NULL;
    }
    tn_status status = dst != NULL ? TN_OK : TN_OUT_OF_MEMORY;
    int num_copies = b->backend->is_host ? 1 : 4; /* so that the way to a GPU and back does not count */
    for (int run = 0; run < NUM_RUNS && status == TN_OK; run++) {
        int64_t begin_ns = tn_now_ns();
        for (int i = 0; i < num_copies && status == TN_OK; i++) status = copy_once(b, dst, src, size);
        if (status == TN_OK) status = b->backend->stream_synchronize(b->stream, b->quiet);
        double rate = 2e3 * num_copies * (double)size / (double)(tn_now_ns() - begin_ns);
        if (rate > out->copy_bytes_per_us) out->copy_bytes_per_us = rate;
    }
    out->copy_bytes = size;
    release(b, src, size);
    release(b, dst, size);
    return status == TN_OK;
}

/* --- multiplying --------------------------------------------------------------------------------------------------------------------- */

typedef struct product {
    const tn_tactic *tactic;
    tn_operand operands[3];
    tn_problem problem;
} product;

/* The step's way at the most rows that the plan allows, for square operands. false: no such step. */
static bool make_product(const tn_function_step *step, product *out) {
    const tn_problem *problem = &step->problem;
    if (step->record->kind != TN_STEP_LAUNCH || step->record->device == 0 || problem->op != TN_OP_MATRIX_MULTIPLY) return false;
    if (problem->operands[0].rank != 2 || problem->operands[1].rank != 2 || problem->operands[1].role != TN_ROLE_WEIGHT) return false;
    if (step->record->num_variants == 0 || problem->operands[1].encoding.has_perm) return false;
    *out = (product){.tactic = step->tactics[step->record->num_variants - 1],
                     .operands = {problem->operands[0], problem->operands[1], problem->operands[problem->num_inputs]},
                     .problem = *problem};
    out->operands[0].role = TN_ROLE_INPUT;
    for (int i = 0; i < 3; i++) out->operands[i].dims[0] = out->operands[i].dims[1] = 1; /* the symbol of the size */
    /* What an epilogue does to the output is not asked for. */
    if (problem->num_epilogues > 0 && problem->epilogues[problem->num_epilogues - 1].kind == TN_EPILOGUE_QUANTIZE)
        out->operands[2].dtype = TN_FLOAT32;
    out->problem.epilogues = NULL;
    out->problem.num_epilogues = 0;
    out->problem.operands = out->operands;
    out->problem.num_operands = 3;
    out->problem.num_inputs = 2;
    return true;
}

static bool is_same_product(const product *a, const product *b) {
    return a->tactic == b->tactic && a->operands[0].dtype == b->operands[0].dtype &&
           tn_encoding_equal(&a->operands[1].encoding, &b->operands[1].encoding) &&
           strcmp(a->operands[1].layout, b->operands[1].layout) == 0 && a->operands[2].dtype == b->operands[2].dtype;
}

static bool weight_buffer_sizes(const bench *b, const tn_operand *weight, int64_t size, size_t *sizes, uint32_t *count) {
    const tn_layout *layout = tn_backend_find_layout(b->backend, weight->layout);
    if (layout != NULL) {
        tn_weight_desc desc = {.dtype = weight->dtype, .encoding = weight->encoding, .dims = TN_DIMS(size, size)};
        return layout->accepts(&desc) && layout->size(&desc, &sizes[(*count)++]) == TN_OK;
    }
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        if (!tn_encoding_has_part(&weight->encoding, (tn_weight_part)part)) continue;
        if (!tn_encoding_part_bytes(&weight->encoding, (tn_weight_part)part, size, size, &sizes[(*count)++])) return false;
    }
    return true;
}

static void record_duration(void *user, size_t index, int64_t begin_ns, int64_t end_ns) {
    (void)index;
    *(int64_t *)user = end_ns - begin_ns;
}

/* Nanoseconds of the quickest of some runs; 0: it cannot be run at this size. */
static int64_t time_product(bench *b, const product *p, int64_t size) {
    int64_t symbols[2] = {1, size}, best_ns = 0;
    size_t sizes[MAX_BUFFERS];
    void *buffers[MAX_BUFFERS + 1] = {NULL};
    uint32_t count = 1;
    tn_launch launch;
    memset(&launch, 0, sizeof launch);
    if (!tn_operand_bytes(&p->operands[0], symbols, &sizes[0]) || !weight_buffer_sizes(b, &p->operands[1], size, sizes, &count)) return 0;
    if (!tn_operand_bytes(&p->operands[2], symbols, &sizes[count++])) return 0;
    if (p->tactic->prepare(&b->device->info, &p->problem, symbols, &launch) != TN_OK) return 0;
    if (launch.workspace_bytes > 0) sizes[count++] = launch.workspace_bytes;
    bool is_ok = true;
    uint32_t num_allocated = 0;
    for (; num_allocated < count && is_ok; num_allocated += is_ok)
        is_ok = (buffers[num_allocated] = allocate(b, sizes[num_allocated])) != NULL;
    tn_bound_step step = {.launch = &launch, .problem = &p->problem, .buffers = buffers, .symbols = symbols};
    int64_t duration_ns = 0;
    tn_profile_sink sink = {.user = &duration_ns, .record = record_duration};
    for (int run = 0; run < NUM_RUNS && is_ok && best_ns * run < 3 * (int64_t)LONG_NS; run++) {
        is_ok = b->backend->run_segment(b->stream, &step, 1, &sink, b->quiet) == TN_OK &&
                b->backend->stream_synchronize(b->stream, b->quiet) == TN_OK;
        if (is_ok && (best_ns == 0 || duration_ns < best_ns)) best_ns = duration_ns;
    }
    for (uint32_t i = 0; i < num_allocated; i++) release(b, buffers[i], sizes[i]);
    return is_ok ? best_ns : 0;
}

static void measure_product(bench *b, const product *p, tn_ceilings *out) {
    char reason[sizeof out->product_refusal] = "", encoding[64];
    if (!p->tactic->supports(&b->device->info, &p->problem, reason, sizeof reason)) {
        if (out->flops_per_us == 0.0)
            (void)snprintf(out->product_refusal, sizeof out->product_refusal, "%.60s: %.90s", p->tactic->name, reason);
        return;
    }
    int64_t duration_ns = 1;
    for (int64_t size = FIRST_SIZE; size <= LAST_SIZE && duration_ns > 0 && duration_ns < LONG_NS; size *= 2) {
        duration_ns = time_product(b, p, size);
        double rate = duration_ns > 0 ? 2e3 * (double)size * (double)size * (double)size / (double)duration_ns : 0.0;
        if (rate <= out->flops_per_us) continue;
        out->flops_per_us = rate;
        out->product_size = size;
        out->product_tactic = p->tactic->name;
        (void)snprintf(out->product_types, sizeof out->product_types, "%s x %s", tn_dtype_get_info(p->operands[0].dtype)->name,
                       tn_encoding_name(&p->operands[1].encoding, encoding));
    }
}

static void measure_products(bench *b, const tn_function *function, tn_ceilings *out) {
    (void)snprintf(out->product_refusal, sizeof out->product_refusal, "the plan has no product with a weight on the device");
    for (uint32_t i = 0; i < function->num_steps; i++) {
        product p, other;
        bool is_new = make_product(&function->steps[i], &p);
        for (uint32_t k = 0; k < i && is_new; k++) is_new = !make_product(&function->steps[k], &other) || !is_same_product(&p, &other);
        if (is_new) measure_product(b, &p, out);
    }
}

bool tn_ceilings_measure_copy(tn_engine *engine, tn_ceilings *ceilings) {
    bench b;
    bool is_ok = bench_init(&b, engine) && measure_copy(&b, ceilings);
    bench_deinit(&b);
    if (!is_ok) (void)tn_fail(NULL, TN_OUT_OF_MEMORY, "cannot measure the copy bandwidth: the device has no room for two blocks of 16 MB");
    return is_ok;
}

bool tn_ceilings_measure_product(tn_engine *engine, const tn_function *function, tn_ceilings *ceilings) {
    bench b;
    bool is_ok = bench_init(&b, engine);
    if (is_ok) measure_products(&b, function, ceilings);
    bench_deinit(&b);
    if (!is_ok) (void)tn_fail(NULL, TN_OUT_OF_MEMORY, "cannot measure the multiply rate: out of memory");
    return is_ok;
}
