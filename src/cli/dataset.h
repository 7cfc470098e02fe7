/* SPDX-License-Identifier: Apache-2.0
 *
 * dataset.h: the requests of `tenon bench throughput|latency|serve`: read from a file in trtllm-bench's format, or made at random.
 *
 *     {"task_id": 0, "input_ids": [3, 5, 8], "output_tokens": 128}        one JSON object a line, blank lines are skipped
 *     {"task_id": 1, "prompt": "Once upon a time", "output_tokens": 64}   the model's tokenizer makes the ids
 *
 * `logits` is an older name of `input_ids`; ids win over a prompt. Without task_id a request is called by its place, from 0.
 * A made dataset depends on its shape and the vocabulary only: the same on every machine.
 */
#ifndef TN_CLI_DATASET_H_
#define TN_CLI_DATASET_H_

#include "base/arena.h"
#include "tenon/tokenizer.h"

typedef struct tn_dataset_request {
    int64_t task_id;
    const int32_t *ids; /* NULL: the prompt is `text` */
    int32_t num_ids, output_tokens;
    const char *text; /* with keep_text; NULL: the prompt is `ids` */
    size_t text_size;
} tn_dataset_request;

typedef struct tn_dataset {
    tn_arena arena;
    tn_dataset_request *requests;
    size_t num_requests;
} tn_dataset;

typedef struct tn_dataset_options {
    const tn_tokenizer *tokenizer; /* NULL: lines with a prompt are refused */
    bool keep_text;                /* prompts stay text; no tokenizer is needed */
    int64_t vocab_size;
    size_t max_requests;           /* only so many from the beginning; 0: all */
    const tn_allocator *allocator; /* borrowed; NULL: malloc */
    tn_diag *diag;                 /* NULL: stderr */
} tn_dataset_options;

/* Every line that is wrong is reported with its number, up to ten. `name` stands in the messages.
 * TN_INVALID_DATA, TN_UNSUPPORTED (lora_request), TN_OUT_OF_MEMORY: the dataset is empty */
TN_MUST_CHECK tn_status tn_dataset_parse(const char *name, const char *text, size_t size_bytes, const tn_dataset_options *options,
                                         tn_dataset *out_dataset);
/* The same of a file; also the errors of tn_file_read_all. */
TN_MUST_CHECK tn_status tn_dataset_load(const char *path, const tn_dataset_options *options, tn_dataset *out_dataset);

/* Lengths are normally distributed, rounded, at least 1. With a range_ratio r they are uniform instead: the whole numbers from
 * mean · (1 − r) to mean · (1 + r). */
typedef struct tn_dataset_shape {
    size_t num_requests;
    double input_mean, input_stdev, output_mean, output_stdev;
    double range_ratio; /* 0 to below 1 */
    uint64_t seed;
} tn_dataset_shape;
TN_MUST_CHECK tn_status tn_dataset_generate(const tn_dataset_shape *shape, int64_t vocab_size, const tn_allocator *allocator, tn_diag *diag,
                                            tn_dataset *out_dataset);
/* Prompt and answer of the longest request that tn_dataset_generate makes. */
int64_t tn_dataset_shape_longest(const tn_dataset_shape *shape);

void tn_dataset_deinit(tn_dataset *dataset); /* accepts a zeroed one */

#endif
