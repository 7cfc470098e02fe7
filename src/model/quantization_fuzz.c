/* SPDX-License-Identifier: Apache-2.0
 *
 * quantization_fuzz.c: a quantization_config up to the first NUL, then a safetensors file. Of what is taken first and last rows can be
 * read.
 * covers: quantization.c quantization_read.c sources.c
 */
#include <string.h>

#include "format/json.h"
#include "model/sources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_rows(tn_weight_source *source, const char *name, tn_diag *diag) {
    static uint8_t row[1 << 16];
    tn_weight_desc desc;
    if (source->find(source, name, &desc) != TN_OK) return;
    int64_t rows = tn_weight_num_rows(&desc);
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS && rows > 0; part++) {
        size_t all, bytes;
        bool is_known = tn_encoding_part_bytes(&desc.encoding, (tn_weight_part)part, 1, tn_weight_num_columns(&desc), &bytes) &&
                        tn_encoding_part_bytes(&desc.encoding, (tn_weight_part)part, rows, tn_weight_num_columns(&desc), &all);
        if (!is_known || bytes == 0 || bytes > sizeof row || all < bytes) continue;
        (void)source->read(source, name, (tn_weight_part)part, 0, bytes, row, diag);
        (void)source->read(source, name, (tn_weight_part)part, all - bytes, bytes, row, diag);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, 0, size);
    tn_diag *diag;
    if (end == NULL || tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_json *json = NULL;
    tn_safetensors *files = NULL;
    tn_weight_source *source = NULL;
    tn_quantization quantization;
    const tn_json_limits limits = {.max_bytes = 1 << 12};
    size_t config_size = (size_t)(end - data);
    if (tn_json_parse("config.json", (const char *)data, config_size, &limits, NULL, diag, &json) == TN_OK &&
        tn_quantization_from_json(tn_json_root(json), diag, &quantization) == TN_OK &&
        tn_safetensors_open_memory("fuzz", end + 1, size - config_size - 1, NULL, diag, &files) == TN_OK &&
        tn_safetensors_source_create(files, &quantization, NULL, diag, &source) == TN_OK)
        for (size_t i = 0; i < tn_safetensors_num_tensors(files); i++) read_rows(source, tn_safetensors_at(files, i)->name, diag);
    if (source != NULL) {
        read_rows(source, "x.weight", diag);
        tn_weight_source_destroy(source);
    }
    tn_safetensors_close(files);
    tn_json_destroy(json);
    tn_diag_destroy(diag);
    return 0;
}
