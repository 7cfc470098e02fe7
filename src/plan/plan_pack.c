/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_pack.c: weights are packed in batches of neighbours, each batch cut into ranges of rows that run on all threads; then
 * the batch is hashed, and written if it goes to a file.
 */
#include "plan/plan_pack.h"

#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"
#include "base/progress.h"

enum { BATCH_BYTES = 32 << 20, RANGE_BYTES = 1 << 20 };

typedef struct pack_range {
    uint32_t weight;
    int64_t begin, end; /* rows; of packed bytes: bytes */
} pack_range;

typedef struct pack_batch {
    tn_plan_writer *writer;
    const tn_plan_write_options *options;
    uint32_t first, end; /* weights; those that are not INLINE among them are left out */
    uint64_t base;       /* offset of the first byte of `bytes` among the weights */
    uint8_t *bytes;
    TN_ARRAY(pack_range) ranges;
    atomic_int status;
} pack_batch;

static bool is_inline(const tn_plan_writer *writer, uint32_t weight) {
    return writer->weights.data[weight].storage == TN_WEIGHT_INLINE && writer->weights.data[weight].size > 0;
}

static uint8_t *weight_bytes(const pack_batch *batch, uint32_t weight) {
    return batch->bytes + (batch->writer->weights.data[weight].offset - batch->base);
}

static void run_tasks(const pack_batch *batch, void (*task)(void *user, int64_t index, int worker), int64_t count) {
    const tn_plan_write_options *options = batch->options;
    if (options->run_tasks != NULL) {
        options->run_tasks(options->user, task, (void *)(uintptr_t)batch, count);
        return;
    }
    for (int64_t i = 0; i < count; i++) task((void *)(uintptr_t)batch, i, 0);
}

static void pack_task(void *user, int64_t index, int worker) {
    (void)worker;
    pack_batch *batch = user;
    if (atomic_load(&batch->status) != TN_OK) return;
    const pack_range *range = &batch->ranges.data[index];
    const tn_plan_weight_source *source = &batch->writer->weight_sources.data[range->weight];
    uint8_t *dst = weight_bytes(batch, range->weight);
    if (source->recipe == NULL) {
        memcpy(dst + range->begin, (const uint8_t *)source->packed + range->begin, (size_t)(range->end - range->begin));
        return;
    }
    tn_arena scratch = {.allocator = batch->writer->allocator};
    tn_status status = tn_weights_pack_range(source->recipe, source->layout, range->begin, range->end, dst, &scratch, batch->writer->diag);
    tn_arena_deinit(&scratch);
    int none = TN_OK;
    if (status != TN_OK) (void)atomic_compare_exchange_strong(&batch->status, &none, (int)status);
}

static void hash_task(void *user, int64_t index, int worker) {
    (void)worker;
    pack_batch *batch = user;
    uint32_t weight = batch->first + (uint32_t)index;
    if (!is_inline(batch->writer, weight)) return;
    tn_plan_weight *record = &batch->writer->weights.data[weight];
    uint8_t *bytes = weight_bytes(batch, weight);
    record->hash = tn_hash(bytes, (size_t)record->size, 0);
    memset(bytes + record->size, 0, (size_t)(-record->size & 63));
}

/* Ranges of about a megabyte. A small weight is one range. */
static bool add_ranges(pack_batch *batch, uint32_t weight) {
    const tn_plan_weight_source *source = &batch->writer->weight_sources.data[weight];
    int64_t size = (int64_t)batch->writer->weights.data[weight].size;
    int64_t rows = source->recipe != NULL ? tn_weight_num_rows(&source->recipe->desc) : size;
    int64_t step = source->recipe != NULL ? tn_weights_pack_step(source->recipe, source->layout) : 64;
    int64_t chunk = step;
    if (size > 0) {
        double share = (double)RANGE_BYTES / (double)size * (double)rows / (double)step;
        chunk = share >= 1e9 ? rows : (int64_t)share * step;
        if (chunk < step) chunk = step;
    }
    if (rows == 0) return tn_array_push(batch->writer->allocator, &batch->ranges, ((pack_range){.weight = weight}));
    for (int64_t begin = 0; begin < rows; begin += chunk) {
        pack_range range = {.weight = weight, .begin = begin, .end = rows - begin < chunk ? rows : begin + chunk};
        if (!tn_array_push(batch->writer->allocator, &batch->ranges, range)) return false;
        if (range.end == rows) break;
    }
    return true;
}

/* Packs and hashes weights [first, end) into batch->bytes. */
static tn_status pack_batch_weights(pack_batch *batch) {
    batch->ranges.count = 0;
    for (uint32_t weight = batch->first; weight < batch->end; weight++)
        if (is_inline(batch->writer, weight) && !add_ranges(batch, weight))
            return tn_fail_memory(batch->writer->diag, "packing weights", batch->ranges.count * sizeof *batch->ranges.data);
    run_tasks(batch, pack_task, (int64_t)batch->ranges.count);
    tn_status status = (tn_status)atomic_load(&batch->status);
    if (status == TN_OK) run_tasks(batch, hash_task, (int64_t)(batch->end - batch->first));
    return status;
}

/* The next batch: weights until it is full; its bytes are [base, *out_end). */
static void next_batch(pack_batch *batch, uint64_t *out_end) {
    const tn_plan_writer *writer = batch->writer;
    batch->first = batch->end;
    batch->base = *out_end;
    while (batch->end < writer->weights.count) {
        const tn_plan_weight *record = &writer->weights.data[batch->end];
        if (is_inline(writer, batch->end)) {
            uint64_t end = (record->offset + record->size + 63) & ~(uint64_t)63;
            if (end - batch->base > BATCH_BYTES && *out_end > batch->base) break;
            *out_end = end;
        }
        batch->end++;
    }
}

static tn_status report(const pack_batch *batch, uint64_t done) {
    bool goes_on = tn_progress_report(batch->options->progress, "pack weights", done, batch->writer->weight_data_bytes);
    return goes_on ? TN_OK : tn_fail(batch->writer->diag, TN_CANCELLED, "the build was cancelled while packing weights");
}

tn_status tn_plan_pack_to_memory(tn_plan_writer *writer, const tn_plan_write_options *options, uint8_t *dst) {
    pack_batch batch = {.writer = writer, .options = options};
    uint64_t end = 0;
    tn_status status = report(&batch, 0);
    while (status == TN_OK && batch.end < writer->weights.count) {
        next_batch(&batch, &end);
        batch.bytes = dst + batch.base;
        status = pack_batch_weights(&batch);
        if (status == TN_OK) status = report(&batch, end);
    }
    tn_array_deinit(writer->allocator, &batch.ranges);
    return status;
}

static uint64_t largest_batch(tn_plan_writer *writer, const tn_plan_write_options *options) {
    pack_batch batch = {.writer = writer, .options = options};
    uint64_t end = 0, largest = 0;
    while (batch.end < writer->weights.count) {
        next_batch(&batch, &end);
        if (end - batch.base > largest) largest = end - batch.base;
    }
    return largest;
}

tn_status tn_plan_pack_to_file(tn_plan_writer *writer, const tn_plan_write_options *options, tn_file_writer *file, uint64_t file_offset) {
    pack_batch batch = {.writer = writer, .options = options};
    uint64_t end = 0, size = largest_batch(writer, options);
    uint8_t *buffer = tn_alloc(writer->allocator, (size_t)size);
    if (buffer == NULL) return tn_fail_memory(writer->diag, "packing weights", (size_t)size);
    batch.bytes = buffer;
    tn_status status = report(&batch, 0);
    while (status == TN_OK && batch.end < writer->weights.count) {
        next_batch(&batch, &end);
        status = pack_batch_weights(&batch);
        if (status == TN_OK && end > batch.base)
            status = tn_file_writer_write_at(file, file_offset + batch.base, buffer, (size_t)(end - batch.base));
        if (status == TN_OK) status = report(&batch, end);
    }
    tn_array_deinit(writer->allocator, &batch.ranges);
    tn_free(writer->allocator, buffer);
    return status;
}
