/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_fuzz.c: any bytes as a safetensors file; bytes that start with '{' as an index instead, in a folder with one
 * shard, s.safetensors, that holds "a" and "b".
 */
#include "base/fuzz_testing.h"
#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_index(const uint8_t *data, size_t size, tn_diag *diag) {
    static const char shard[] = "\x70\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}       xy";
    (void)fuzz_write("s.safetensors", shard, sizeof shard - 1);
    tn_safetensors *model;
    (void)tn_safetensors_open(fuzz_write("model.safetensors.index.json", data, size), NULL, diag, &model);
    tn_safetensors_close(model);
}

static void fuzz_file(const uint8_t *data, size_t size, tn_diag *diag) {
    tn_safetensors *model;
    volatile uint64_t sum = 0;
    if (tn_safetensors_open_memory("fuzz", data, size, NULL, diag, &model) == TN_OK)
        for (size_t i = 0; i < tn_safetensors_num_tensors(model); i++) {
            const tn_safetensors_tensor *tensor = tn_safetensors_at(model, i);
            const uint8_t *bytes = tn_safetensors_data(model, tensor);
            for (uint64_t j = 0; j < tensor->size_bytes; j++) sum += bytes[j];
            sum += tn_safetensors_find(model, tensor->name) == tensor;
        }
    (void)sum;
    tn_safetensors_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    if (size > 0 && data[0] == '{')
        fuzz_index(data, size, diag);
    else
        fuzz_file(data, size, diag);
    tn_diag_destroy(diag);
    return 0;
}
