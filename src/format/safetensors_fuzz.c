/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_fuzz.c: any bytes as a safetensors file; bytes that start with '{' as an index instead, in a folder with one
 * shard, s.safetensors, that holds "a" and "b".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

/* The folder stays until the process ends. */
static char folder[] = "/tmp/tenon-fuzz-XXXXXX", index_path[64], shard_path[64];

static void remove_folder(void) {
    unlink(index_path);
    unlink(shard_path);
    rmdir(folder);
}

static void make_folder(void) {
    static const char shard[] = "\x70\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}       xy";
    if (mkdtemp(folder) == NULL || atexit(remove_folder) != 0) abort();
    snprintf(shard_path, sizeof shard_path, "%s/s.safetensors", folder);
    snprintf(index_path, sizeof index_path, "%s/model.safetensors.index.json", folder);
    write_file(shard_path, shard, sizeof shard - 1);
}

static void fuzz_index(const uint8_t *data, size_t size, tn_diag *diag) {
    if (index_path[0] == 0) make_folder();
    write_file(index_path, data, size);
    tn_safetensors *model;
    (void)tn_safetensors_open(index_path, NULL, diag, &model);
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
