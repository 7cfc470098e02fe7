/* SPDX-License-Identifier: Apache-2.0
 *
 * dataset.c: see dataset.h.
 */
#include "cli/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/report.h"
#include "format/json.h"
#include "op/philox.h"

enum { MAX_BAD_LINES = 10, MAX_LENGTH = 1 << 24 };

/* --- lines -------------------------------------------------------------------------------------------------------------------- */

static tn_status read_ids(const tn_json_value *array, const tn_dataset_options *options, tn_arena *arena, tn_dataset_request *out) {
    tn_status status = tn_json_expect(array, TN_JSON_ARRAY, options->diag);
    size_t count = tn_json_count(array);
    if (status == TN_OK && (count == 0 || count > MAX_LENGTH))
        status = tn_json_fail(array, options->diag, TN_INVALID_DATA, "has %zu ids, must be 1 to %d", count, MAX_LENGTH);
    if (status != TN_OK) return status;
    int32_t *ids = tn_arena_alloc_array(arena, count, sizeof *ids);
    if (ids == NULL) return tn_fail_memory(options->diag, "a dataset", count * sizeof *ids);
    for (size_t i = 0; status == TN_OK && i < count; i++) {
        int64_t id = 0;
        status = tn_json_to_integer(tn_json_at(array, i), 0, options->vocab_size - 1, options->diag, &id);
        ids[i] = (int32_t)id;
    }
    out->ids = ids;
    out->num_ids = (int32_t)count;
    return status;
}

static tn_status read_prompt(const tn_json_value *prompt, const tn_dataset_options *options, tn_arena *arena, tn_dataset_request *out) {
    const char *text;
    size_t size;
    tn_status status = tn_json_to_string(prompt, options->diag, &text, &size);
    if (status != TN_OK) return status;
    if (options->keep_text) {
        out->text = tn_arena_bytes(arena, text, size);
        out->text_size = size;
        return out->text != NULL ? TN_OK : tn_fail_memory(options->diag, "a dataset", size);
    }
    if (options->tokenizer == NULL)
        return tn_json_fail(prompt, options->diag, TN_INVALID_DATA, "needs a tokenizer, this model has none: give 'input_ids'");
    tn_encode_options encode;
    tn_encode_options_init(&encode);
    encode.diag = options->diag;
    int32_t *ids;
    size_t count;
    status = tn_tokenizer_encode(options->tokenizer, text, size, &encode, &ids, &count);
    if (status != TN_OK) return status;
    if (count == 0 || count > MAX_LENGTH)
        status = tn_json_fail(prompt, options->diag, TN_INVALID_DATA, "has %zu tokens, must be 1 to %d", count, MAX_LENGTH);
    out->num_ids = (int32_t)count;
    if (status == TN_OK) out->ids = (const int32_t *)(const void *)tn_arena_bytes(arena, ids, count * sizeof *ids);
    if (status == TN_OK && out->ids == NULL) status = tn_fail_memory(options->diag, "a dataset", count * sizeof *ids);
    tn_tokenizer_free(options->tokenizer, ids);
    return status;
}

static tn_status read_request(const tn_json_value *line, size_t index, const tn_dataset_options *options, tn_arena *arena,
                              tn_dataset_request *out) {
    tn_diag *diag = options->diag;
    int64_t output_tokens = 0;
    tn_status status = tn_json_expect(line, TN_JSON_OBJECT, diag);
    if (status != TN_OK) return status;
    const tn_json_value *ids = tn_json_find(line, "input_ids"), *prompt = tn_json_find(line, "prompt");
    const tn_json_value *lora = tn_json_find(line, "lora_request");
    if (ids == NULL) ids = tn_json_find(line, "logits");
    if (lora != NULL && tn_json_kind_of(lora) != TN_JSON_NULL)
        return tn_json_fail(lora, diag, TN_UNSUPPORTED, "is not built: datasets of requests with LoRA weights");
    if (ids == NULL && prompt == NULL) return tn_json_fail(line, diag, TN_INVALID_DATA, "has neither 'input_ids' nor 'prompt'");
    status = tn_json_get_integer_or(line, "task_id", INT64_MIN, INT64_MAX, (int64_t)index, diag, &out->task_id);
    if (status == TN_OK) status = tn_json_get_integer(line, "output_tokens", 1, MAX_LENGTH, diag, &output_tokens);
    out->output_tokens = (int32_t)output_tokens;
    if (status != TN_OK) return status;
    return ids != NULL ? read_ids(ids, options, arena, out) : read_prompt(prompt, options, arena, out);
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (strchr(" \t\r", text[i]) == NULL || text[i] == '\0') return false;
    return true;
}

static size_t line_size(const char *text, const char *end) {
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    return (size_t)((newline != NULL ? newline : end) - text);
}

static tn_status read_line(const char *name, size_t number, const char *text, size_t size, const tn_dataset_options *options,
                           tn_dataset *dataset) {
    char title[320];
    snprintf(title, sizeof title, "%.256s line %zu", name, number);
    tn_json *json;
    tn_status status = tn_json_parse(title, text, size, NULL, options->allocator, options->diag, &json);
    if (status != TN_OK) return status;
    tn_dataset_request request = {0};
    status = read_request(tn_json_root(json), dataset->num_requests, options, &dataset->arena, &request);
    if (status == TN_OK) dataset->requests[dataset->num_requests++] = request;
    tn_json_destroy(json);
    return status;
}

tn_status tn_dataset_parse(const char *name, const char *text, size_t size_bytes, const tn_dataset_options *options,
                           tn_dataset *out_dataset) {
    *out_dataset = (tn_dataset){.arena = {.allocator = options->allocator}};
    const char *end = text + size_bytes;
    size_t num_lines = 1, num_bad = 0;
    for (const char *at = text; at < end; at++) num_lines += *at == '\n';
    if (options->max_requests > 0 && options->max_requests < num_lines) num_lines = options->max_requests;
    out_dataset->requests = tn_arena_alloc_array(&out_dataset->arena, num_lines, sizeof *out_dataset->requests);
    tn_status result = TN_OK;
    if (out_dataset->requests == NULL) result = tn_fail_memory(options->diag, "a dataset", num_lines * sizeof *out_dataset->requests);
    size_t number = 1;
    for (const char *at = text; at < end && result != TN_OUT_OF_MEMORY && num_bad < MAX_BAD_LINES; number++) {
        if (out_dataset->num_requests == num_lines) break;
        size_t size = line_size(at, end);
        tn_status status = is_blank(at, size) ? TN_OK : read_line(name, number, at, size, options, out_dataset);
        if (status != TN_OK) {
            num_bad++;
            result = status == TN_OUT_OF_MEMORY || result == TN_OK ? status : result;
        }
        at += size + (at + size < end);
    }
    if (result == TN_OK && out_dataset->num_requests == 0)
        result = tn_fail(options->diag, TN_INVALID_DATA, "cannot read %s: it has no requests", name);
    if (result != TN_OK) tn_dataset_deinit(out_dataset);
    return result;
}

tn_status tn_dataset_load(const char *path, const tn_dataset_options *options, tn_dataset *out_dataset) {
    *out_dataset = (tn_dataset){0};
    char *text;
    size_t size;
    tn_status status = tn_file_read_all(path, (size_t)4 << 30, options->allocator, options->diag, &text, &size);
    if (status == TN_OK) status = tn_dataset_parse(path, text, size, options, out_dataset);
    tn_free(options->allocator, text);
    return status;
}

/* --- random ones -------------------------------------------------------------------------------------------------------------- */

static int32_t draw_length(const tn_dataset_shape *shape, double mean, double stdev, uint64_t draw) {
    double length = round(mean + stdev * tn_philox_normal(shape->seed, draw));
    if (shape->range_ratio > 0.0) {
        double low = floor(mean * (1.0 - shape->range_ratio)), high = ceil(mean * (1.0 + shape->range_ratio));
        length = low + floor(tn_philox_uniform(shape->seed, draw, 0) * (high - low + 1.0));
    }
    return (int32_t)fmin(fmax(length, 1.0), MAX_LENGTH);
}

static int32_t input_length(const tn_dataset_shape *shape, size_t index) {
    return draw_length(shape, shape->input_mean, shape->input_stdev, 2 * (uint64_t)index);
}

static int32_t output_length(const tn_dataset_shape *shape, size_t index) {
    return draw_length(shape, shape->output_mean, shape->output_stdev, 2 * (uint64_t)index + 1);
}

int64_t tn_dataset_shape_longest(const tn_dataset_shape *shape) {
    int64_t longest = 0;
    for (size_t i = 0; i < shape->num_requests; i++) {
        int64_t length = (int64_t)input_length(shape, i) + output_length(shape, i);
        if (length > longest) longest = length;
    }
    return longest;
}

static void draw_ids(const tn_dataset_shape *shape, size_t index, int64_t vocab_size, int32_t *ids, int32_t count) {
    const uint32_t key[2] = {(uint32_t)shape->seed, (uint32_t)(shape->seed >> 32)};
    uint32_t words[4] = {0};
    for (int32_t i = 0; i < count; i++) {
        /* The last word is not 0: these counters are none of the lengths'. */
        const uint32_t counter[4] = {(uint32_t)index, (uint32_t)((uint64_t)index >> 32), (uint32_t)i / 4, 1};
        if (i % 4 == 0) tn_philox4x32(counter, key, words);
        ids[i] = (int32_t)((uint64_t)words[i % 4] * (uint64_t)vocab_size >> 32);
    }
}

tn_status tn_dataset_generate(const tn_dataset_shape *shape, int64_t vocab_size, const tn_allocator *allocator, tn_diag *diag,
                              tn_dataset *out_dataset) {
    *out_dataset = (tn_dataset){.arena = {.allocator = allocator}};
    tn_dataset_request *requests = tn_arena_alloc_array(&out_dataset->arena, shape->num_requests, sizeof *requests);
    bool is_ok = requests != NULL;
    for (size_t i = 0; is_ok && i < shape->num_requests; i++) {
        int32_t count = input_length(shape, i), *ids = tn_arena_alloc_array(&out_dataset->arena, (size_t)count, sizeof *ids);
        is_ok = ids != NULL;
        if (is_ok) draw_ids(shape, i, vocab_size, ids, count);
        requests[i] = (tn_dataset_request){.task_id = (int64_t)i, .ids = ids, .num_ids = count, .output_tokens = output_length(shape, i)};
    }
    out_dataset->requests = requests;
    out_dataset->num_requests = shape->num_requests;
    if (is_ok) return TN_OK;
    size_t used_bytes = out_dataset->arena.used_bytes;
    tn_dataset_deinit(out_dataset);
    return tn_fail_memory(diag, "a dataset", used_bytes);
}

void tn_dataset_deinit(tn_dataset *dataset) {
    tn_arena_deinit(&dataset->arena);
    *dataset = (tn_dataset){0};
}
