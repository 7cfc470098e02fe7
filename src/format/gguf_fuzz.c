/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_fuzz.c: any bytes as a GGUF file; every value, string and tensor byte of it is then read. Bytes that start with '2' instead
 * as a model in two parts: the first one's size in two bytes, then both.
 */
#include "base/fuzz_testing.h"
#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum_bytes(const void *bytes, size_t size) {
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++) sum += ((const uint8_t *)bytes)[i];
    return sum;
}

static uint64_t read_value(const tn_gguf *gguf, const tn_gguf_value *value, tn_diag *diag) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->type == TN_GGUF_STRING) {
            size_t size;
            const char *bytes = tn_gguf_string(value, i, &size);
            sum += sum_bytes(bytes, size);
        } else {
            sum += tn_gguf_number(value, i) > 0;
        }
    }
    int64_t integer;
    double number;
    bool flag;
    const char *bytes;
    size_t size;
    const tn_gguf_value *array;
    (void)tn_gguf_get_integer(gguf, value->key, 0, 100, diag, &integer);
    (void)tn_gguf_get_number(gguf, value->key, 0, 100, diag, &number);
    (void)tn_gguf_get_bool(gguf, value->key, diag, &flag);
    (void)tn_gguf_get_string(gguf, value->key, diag, &bytes, &size);
    (void)tn_gguf_get_array(gguf, value->key, TN_GGUF_STRING, diag, &array);
    (void)tn_gguf_get_array(gguf, value->key, TN_GGUF_INT64, diag, &array);
    (void)tn_gguf_get_array(gguf, value->key, TN_GGUF_FLOAT64, diag, &array);
    (void)tn_gguf_get_integer_or(gguf, "a", 0, 100, 5, diag, &integer);
    (void)tn_gguf_get_number_or(gguf, "a", 0, 100, 5, diag, &number);
    (void)tn_gguf_get_bool_or(gguf, "a", true, diag, &flag);
    tn_diag_clear(diag);
    return sum;
}

static tn_status open_parts(const uint8_t *data, size_t size, tn_diag *diag, tn_gguf **out_gguf) {
    size_t first = size < 3 ? 0 : (size_t)data[1] | (size_t)data[2] << 8;
    *out_gguf = NULL;
    if (size < 3 || first > size - 3) return TN_INVALID_DATA;
    (void)fuzz_write("m-00002-of-00002.gguf", data + 3 + first, size - 3 - first);
    return tn_gguf_open(fuzz_write("m-00001-of-00002.gguf", data + 3, first), NULL, diag, out_gguf);
}

static uint64_t read_tensor(const tn_gguf *gguf, const tn_gguf_tensor *tensor, tn_diag *diag) {
    static uint8_t bytes[4096];
    const void *data = tn_gguf_data(gguf, tensor);
    size_t count = tensor->size_bytes < sizeof bytes ? tensor->size_bytes : sizeof bytes;
    if (data != NULL) return sum_bytes(data, tensor->size_bytes);
    if (tn_gguf_read(gguf, tensor, tensor->size_bytes - count, bytes, count, diag) != TN_OK) return 0;
    return sum_bytes(bytes, count) + strlen(tn_gguf_tensor_path(gguf, tensor));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_gguf *gguf;
    volatile uint64_t sum = 0;
    tn_status status =
        size > 0 && data[0] == '2' ? open_parts(data, size, diag, &gguf) : tn_gguf_open_memory("fuzz", data, size, NULL, diag, &gguf);
    if (status == TN_OK) {
        for (size_t i = 0; i < tn_gguf_num_values(gguf); i++) sum += read_value(gguf, tn_gguf_value_at(gguf, i), diag);
        for (size_t i = 0; i < tn_gguf_num_tensors(gguf); i++) {
            const tn_gguf_tensor *tensor = tn_gguf_tensor_at(gguf, i);
            sum += read_tensor(gguf, tensor, diag);
            sum += tn_gguf_find_tensor(gguf, tensor->name) == tensor;
        }
    }
    (void)sum;
    tn_gguf_close(gguf);
    tn_diag_destroy(diag);
    return 0;
}
