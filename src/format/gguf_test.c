/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_test.c: GGUF files as they should be and in every way they should not. Each bad file is opened from memory and from
 * disk and must be refused alike.
 */
#include "format/gguf.h"

#include <math.h>

#include "format/testing.h"
#include "support/fault_allocator.h"

enum { f32 = TN_GGML_F32, q4_0 = TN_GGML_Q4_0 };

/* Pieces of a file. */

static void put_header(tn_text *file, uint32_t version, uint64_t num_tensors, uint64_t num_values) {
    tn_text_append_string(file, "GGUF");
    put_le(file, 4, version);
    put_le(file, 8, num_tensors);
    put_le(file, 8, num_values);
}

static void put_string(tn_text *file, const char *string) {
    put_le(file, 8, strlen(string));
    tn_text_append_string(file, string);
}

static void put_key(tn_text *file, const char *key, uint32_t type) {
    put_string(file, key);
    put_le(file, 4, type);
}

static void put_u32(tn_text *file, const char *key, uint32_t value) {
    put_key(file, key, TN_GGUF_UINT32);
    put_le(file, 4, value);
}

static void put_array(tn_text *file, const char *key, uint32_t element_type, uint64_t count) {
    put_key(file, key, TN_GGUF_ARRAY);
    put_le(file, 4, element_type);
    put_le(file, 8, count);
}

/* dims fastest first */
static void put_tensor(tn_text *file, const char *name, uint32_t type, uint64_t offset, uint32_t rank, const uint64_t *dims) {
    put_string(file, name);
    put_le(file, 4, rank);
    for (uint32_t i = 0; i < rank; i++) put_le(file, 8, dims[i]);
    put_le(file, 4, type);
    put_le(file, 8, offset);
}

static void put_vector(tn_text *file, const char *name, uint64_t offset, uint64_t count) {
    put_tensor(file, name, f32, offset, 1, &count);
}

static void put_padding(tn_text *file, size_t alignment) {
    while (file->size % alignment != 0) tn_text_append_char(file, 0);
}

/* Every metadata type, an array of each kind, two tensors: a [8] F32 at 0, b [2, 32] Q4_0 at 32. */
static void put_small_file(tn_text *file, uint32_t version) {
    put_header(file, version, 2, 18);
    put_key(file, "general.architecture", TN_GGUF_STRING);
    put_string(file, "llama");
    put_key(file, "u8", TN_GGUF_UINT8), put_le(file, 1, 200);
    put_key(file, "i8", TN_GGUF_INT8), put_le(file, 1, (uint64_t)-3);
    put_key(file, "u16", TN_GGUF_UINT16), put_le(file, 2, 60000);
    put_key(file, "i16", TN_GGUF_INT16), put_le(file, 2, (uint64_t)-30000);
    put_u32(file, "u32", 4000000000);
    put_key(file, "i32", TN_GGUF_INT32), put_le(file, 4, (uint64_t)-2000000000);
    put_key(file, "u64", TN_GGUF_UINT64), put_le(file, 8, UINT64_MAX);
    put_key(file, "i64", TN_GGUF_INT64), put_le(file, 8, (uint64_t)INT64_MIN);
    put_key(file, "f32", TN_GGUF_FLOAT32), put_le(file, 4, 0x3fc00000);         /* 1.5 */
    put_key(file, "f64", TN_GGUF_FLOAT64), put_le(file, 8, 0xc004000000000000); /* -2.5 */
    put_key(file, "nan", TN_GGUF_FLOAT32), put_le(file, 4, 0x7fc00000);
    put_key(file, "bool", TN_GGUF_BOOL), put_le(file, 1, 1);
    put_array(file, "tokens", TN_GGUF_STRING, 3);
    put_string(file, "a"), put_string(file, ""), put_string(file, "ccc");
    put_array(file, "types", TN_GGUF_INT32, 3);
    for (int i = 0; i < 3; i++) put_le(file, 4, (uint64_t)-i);
    put_array(file, "scores", TN_GGUF_FLOAT32, 2);
    put_le(file, 4, 0x3fc00000), put_le(file, 4, 0);
    put_array(file, "empty", TN_GGUF_STRING, 0);
    put_array(file, "flags", TN_GGUF_BOOL, 2), put_le(file, 2, 1);
    put_vector(file, "a", 0, 8);
    put_tensor(file, "b", q4_0, 32, 2, (const uint64_t[]){32, 2});
    put_padding(file, 32);
    for (int i = 0; i < 32; i++) put_le(file, 1, (uint64_t)i);
    for (int i = 0; i < 36; i++) put_le(file, 1, (uint64_t)(100 + i));
}

/* Opens the bytes from memory and from a file: both must fail alike. Frees them. */
static void assert_refused(tn_diag *diag, tn_text *file, tn_status code, const char *part) {
    assert_false(file->failed);
    uint8_t *exact = malloc(file->size > 0 ? file->size : 1); /* so that a sanitizer sees a read beyond them */
    assert_non_null(exact);
    if (file->size > 0) memcpy(exact, file->data, file->size);
    tn_gguf *gguf = (tn_gguf *)file;
    tn_status status = tn_gguf_open_memory("m.gguf", exact, file->size, NULL, diag, &gguf);
    assert_null(gguf);
    assert_failed(diag, status, code, part);
    tn_gguf_close(gguf);

    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.gguf", exact, file->size);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    gguf = (tn_gguf *)file;
    status = tn_gguf_open(path, NULL, diag, &gguf);
    assert_null(gguf);
    assert_failed(diag, status, code, part);
    remove_folder(folder, (const char *const[]){"m.gguf"}, 1);
    free(exact);
    tn_text_deinit(file);
}

static tn_gguf *open_bytes(tn_diag *diag, const tn_text *file) {
    tn_gguf *gguf;
    assert_false(file->failed);
    assert_ok(diag, tn_gguf_open_memory("m.gguf", file->data, file->size, NULL, diag, &gguf));
    return gguf;
}

static void check_small_file(tn_diag *diag, const tn_gguf *gguf) {
    int64_t integer;
    assert_int_equal(tn_gguf_num_values(gguf), 18);
    assert_string_equal(tn_gguf_value_at(gguf, 0)->key, "general.architecture");
    const struct {
        const char *key;
        int64_t value;
    } integers[] = {{"u8", 200},         {"i8", -3},           {"u16", 60000},    {"i16", -30000},
                    {"u32", 4000000000}, {"i32", -2000000000}, {"i64", INT64_MIN}};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        assert_ok(diag, tn_gguf_get_integer(gguf, integers[i].key, INT64_MIN, INT64_MAX, diag, &integer));
        assert_true(integer == integers[i].value);
    }
    double number;
    bool flag;
    assert_ok(diag, tn_gguf_get_number(gguf, "f32", 0, 2, diag, &number));
    assert_true(number == 1.5);
    assert_ok(diag, tn_gguf_get_number(gguf, "f64", -3, 2, diag, &number));
    assert_true(number == -2.5);
    assert_ok(diag, tn_gguf_get_number(gguf, "u64", 0, INFINITY, diag, &number));
    assert_true(number == 0x1p64);
    assert_ok(diag, tn_gguf_get_number(gguf, "i8", -5, 5, diag, &number));
    assert_true(number == -3);
    assert_ok(diag, tn_gguf_get_bool(gguf, "bool", diag, &flag));
    assert_true(flag);
    const char *bytes;
    size_t size;
    assert_ok(diag, tn_gguf_get_string(gguf, "general.architecture", diag, &bytes, &size));
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "llama", 5);

    const tn_gguf_value *array;
    assert_ok(diag, tn_gguf_get_array(gguf, "tokens", TN_GGUF_STRING, diag, &array));
    assert_int_equal(array->count, 3);
    assert_memory_equal(tn_gguf_string(array, 2, &size), "ccc", 3);
    assert_int_equal(size, 3);
    (void)tn_gguf_string(array, 1, &size);
    assert_int_equal(size, 0);
    assert_ok(diag, tn_gguf_get_array(gguf, "types", TN_GGUF_INT64, diag, &array));
    assert_true(tn_gguf_integer(array, 2, &integer) && integer == -2);
    assert_ok(diag, tn_gguf_get_array(gguf, "scores", TN_GGUF_FLOAT64, diag, &array));
    assert_true(tn_gguf_number(array, 0) == 1.5);
    assert_ok(diag, tn_gguf_get_array(gguf, "empty", TN_GGUF_STRING, diag, &array));
    assert_int_equal(array->count, 0);

    assert_int_equal(tn_gguf_num_tensors(gguf), 2);
    const tn_gguf_tensor *b = tn_gguf_find_tensor(gguf, "b");
    assert_ptr_equal(b, tn_gguf_tensor_at(gguf, 1));
    assert_null(tn_gguf_find_tensor(gguf, "c"));
    assert_int_equal(b->type, TN_GGML_Q4_0);
    assert_int_equal(b->dims.rank, 2);
    assert_int_equal(b->dims.d[0], 2);
    assert_int_equal(b->dims.d[1], 32);
    assert_int_equal(b->ne[0], 32);
    assert_int_equal(b->ne[1], 2);
    assert_int_equal(b->ne[2], 1);
    assert_int_equal(b->size_bytes, 36);
    assert_int_equal(b->offset % 32, 0);
    uint8_t data[36];
    assert_ok(diag, tn_gguf_read(gguf, b, 0, data, 36, diag));
    assert_int_equal(data[0], 100);
    assert_int_equal(data[35], 135);
    assert_ok(diag, tn_gguf_read(gguf, b, 30, data, 6, diag));
    assert_int_equal(data[0], 130);
    assert_failed(diag, tn_gguf_read(gguf, b, 30, data, 7, diag), TN_INVALID_ARGUMENT,
                  "cannot read 7 bytes at 30 of tensor 'b': it has 36");
    assert_failed(diag, tn_gguf_read(gguf, b, UINT64_MAX, data, 1, diag), TN_INVALID_ARGUMENT, "cannot read 1 bytes");
}

static void versions_2_and_3_are_read_from_memory_and_file(void **state) {
    for (uint32_t version = 2; version <= 3; version++) {
        tn_text file = {0};
        put_small_file(&file, version);
        tn_gguf *gguf = open_bytes(*state, &file);
        assert_int_equal(tn_gguf_version(gguf), version);
        assert_int_equal(tn_gguf_alignment(gguf), 32);
        check_small_file(*state, gguf);
        assert_int_equal(tn_gguf_data(gguf, tn_gguf_tensor_at(gguf, 1))[0], 100);
        tn_gguf_close(gguf);

        char folder[64], path[128];
        make_temporary_folder(folder);
        write_file(folder, "m.gguf", file.data, file.size);
        snprintf(path, sizeof path, "%s/m.gguf", folder);
        assert_ok(*state, tn_gguf_open(path, NULL, *state, &gguf));
        assert_string_equal(tn_gguf_name(gguf), path);
        check_small_file(*state, gguf);
        assert_null(tn_gguf_data(gguf, tn_gguf_tensor_at(gguf, 1)));
        assert_ok(*state, tn_gguf_map(gguf, *state));
        assert_int_equal(tn_gguf_data(gguf, tn_gguf_tensor_at(gguf, 1))[35], 135);
        tn_gguf_close(gguf);
        remove_folder(folder, (const char *const[]){"m.gguf"}, 1);
        tn_text_deinit(&file);
    }
}

static void a_header_larger_than_the_first_read_is_read_whole(void **state) {
    tn_text file = {0};
    enum { count = 30000 };
    put_header(&file, 3, 1, 3);
    put_array(&file, "zeros", TN_GGUF_UINT8, 300000); /* more than the next read would bring */
    put_zeros(&file, 300000);
    put_array(&file, "tokens", TN_GGUF_STRING, count);
    for (int i = 0; i < count; i++) {
        char token[16];
        snprintf(token, sizeof token, "t%d", i);
        put_string(&file, token);
    }
    put_u32(&file, "last", 7);
    put_vector(&file, "a", 0, 1);
    put_padding(&file, 32);
    put_le(&file, 4, 42);
    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.gguf", file.data, file.size);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    tn_gguf *gguf;
    assert_ok(*state, tn_gguf_open(path, NULL, *state, &gguf));
    const tn_gguf_value *tokens;
    assert_ok(*state, tn_gguf_get_array(gguf, "tokens", TN_GGUF_STRING, *state, &tokens));
    for (uint64_t i = 0; i < count; i++) {
        char token[16];
        snprintf(token, sizeof token, "t%d", (int)i);
        size_t size;
        const char *bytes = tn_gguf_string(tokens, i, &size);
        assert_int_equal(size, strlen(token));
        assert_memory_equal(bytes, token, size);
    }
    tn_gguf_close(gguf);
    remove_folder(folder, (const char *const[]){"m.gguf"}, 1);
    tn_text_deinit(&file);
}

static void a_file_without_tensors_is_read(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 0);
    tn_gguf *gguf = open_bytes(*state, &file);
    assert_int_equal(tn_gguf_num_tensors(gguf), 0);
    assert_null(tn_gguf_find_tensor(gguf, "x"));
    assert_null(tn_gguf_find(gguf, "x"));
    tn_gguf_close(gguf);
    tn_text_deinit(&file);
}

static void getters_say_what_a_key_should_have_been(void **state) {
    tn_text file = {0};
    put_small_file(&file, 3);
    tn_gguf *gguf = open_bytes(*state, &file);
    int64_t integer;
    double number;
    bool flag;
    const char *bytes;
    size_t size;
    const tn_gguf_value *array;
    tn_diag *diag = *state;
    assert_failed(diag, tn_gguf_get_integer(gguf, "absent", 0, 1, diag, &integer), TN_INVALID_DATA, "m.gguf: 'absent' is missing");
    assert_failed(diag, tn_gguf_get_number(gguf, "absent", 0, 1, diag, &number), TN_INVALID_DATA, "m.gguf: 'absent' is missing");
    assert_failed(diag, tn_gguf_get_bool(gguf, "absent", diag, &flag), TN_INVALID_DATA, "m.gguf: 'absent' is missing");
    assert_failed(diag, tn_gguf_get_string(gguf, "absent", diag, &bytes, &size), TN_INVALID_DATA, "m.gguf: 'absent' is missing");
    assert_failed(diag, tn_gguf_get_array(gguf, "absent", TN_GGUF_STRING, diag, &array), TN_INVALID_DATA, "m.gguf: 'absent' is missing");
    assert_failed(diag, tn_gguf_get_integer(gguf, "i8", 1, 4096, diag, &integer), TN_INVALID_DATA, "m.gguf: 'i8' is -3, must be 1 to 4096");
    assert_failed(diag, tn_gguf_get_integer(gguf, "u64", 1, 4096, diag, &integer), TN_INVALID_DATA,
                  "'u64' is 18446744073709551615, must be 1 to 4096");
    assert_failed(diag, tn_gguf_get_integer(gguf, "f32", 1, 9, diag, &integer), TN_INVALID_DATA,
                  "'f32' is a float, must be an integer from 1 to 9");
    assert_failed(diag, tn_gguf_get_integer(gguf, "bool", 1, 9, diag, &integer), TN_INVALID_DATA, "'bool' is a bool, must be an integer");
    assert_failed(diag, tn_gguf_get_integer(gguf, "types", 1, 9, diag, &integer), TN_INVALID_DATA,
                  "'types' is an array, each an int32, must be an integer");
    assert_failed(diag, tn_gguf_get_number(gguf, "types", -9, 9, diag, &number), TN_INVALID_DATA,
                  "'types' is an array, each an int32, must be a number");
    assert_failed(diag, tn_gguf_get_number(gguf, "bool", 0, 9, diag, &number), TN_INVALID_DATA, "'bool' is a bool, must be a number");
    assert_failed(diag, tn_gguf_get_string(gguf, "tokens", diag, &bytes, &size), TN_INVALID_DATA,
                  "'tokens' is an array, each a string, must be a string");
    assert_failed(diag, tn_gguf_get_bool(gguf, "flags", diag, &flag), TN_INVALID_DATA, "'flags' is an array, each a bool, must be a bool");
    assert_failed(diag, tn_gguf_get_array(gguf, "general.architecture", TN_GGUF_STRING, diag, &array), TN_INVALID_DATA,
                  "'general.architecture' is a string, must be an array of strings");
    assert_failed(diag, tn_gguf_get_number(gguf, "tokens", 1, 9, diag, &number), TN_INVALID_DATA, "must be a number");
    assert_failed(diag, tn_gguf_get_number(gguf, "nan", -INFINITY, INFINITY, diag, &number), TN_INVALID_DATA, "'nan' is nan, must be");
    assert_failed(diag, tn_gguf_get_bool(gguf, "u8", diag, &flag), TN_INVALID_DATA, "'u8' is a uint8, must be a bool");
    assert_failed(diag, tn_gguf_get_string(gguf, "u8", diag, &bytes, &size), TN_INVALID_DATA, "must be a string");
    assert_failed(diag, tn_gguf_get_array(gguf, "tokens", TN_GGUF_INT64, diag, &array), TN_INVALID_DATA, "must be an array of integers");
    assert_failed(diag, tn_gguf_get_array(gguf, "types", TN_GGUF_FLOAT64, diag, &array), TN_INVALID_DATA, "must be an array of floats");
    assert_failed(diag, tn_gguf_get_array(gguf, "u8", TN_GGUF_STRING, diag, &array), TN_INVALID_DATA, "must be an array of strings");
    assert_ok(diag, tn_gguf_get_integer_or(gguf, "absent", 0, 1, 42, diag, &integer));
    assert_int_equal(integer, 42);
    assert_ok(diag, tn_gguf_get_integer_or(gguf, "u8", 0, 255, 42, diag, &integer));
    assert_int_equal(integer, 200);
    assert_ok(diag, tn_gguf_get_number_or(gguf, "absent", 0, 1, 0.5, diag, &number));
    assert_true(number == 0.5);
    assert_ok(diag, tn_gguf_get_bool_or(gguf, "absent", true, diag, &flag));
    assert_true(flag);
    assert_failed(diag, tn_gguf_get_integer_or(gguf, "u8", 0, 1, 42, diag, &integer), TN_INVALID_DATA, "'u8' is 200, must be 0 to 1");
    assert_failed(diag, tn_gguf_get_number_or(gguf, "u8", 0, 1, 42, diag, &number), TN_INVALID_DATA, "'u8' is 200, must be 0 to 1");
    assert_failed(diag, tn_gguf_get_bool_or(gguf, "u8", true, diag, &flag), TN_INVALID_DATA, "must be a bool");
    assert_false(flag);
    tn_gguf_close(gguf);
    tn_text_deinit(&file);
}

/* Magic, version, counts */

static void bad_magic_is_refused(void **state) {
    tn_text file = {0};
    tn_text_append_string(&file, "ggjt then something");
    assert_refused(*state, &file, TN_INVALID_DATA, "it is not a GGUF file: it starts with 67 67 6a 74");
}

static void a_git_lfs_pointer_is_recognised(void **state) {
    tn_text file = {0};
    tn_text_append_string(&file, "version https://git-lfs.github.com/spec/v1\n");
    tn_gguf *gguf;
    assert_int_equal(tn_gguf_open_memory("m.gguf", file.data, file.size, NULL, *state, &gguf), TN_INVALID_DATA);
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(*state, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.hint, "git lfs pull"));
    tn_text_deinit(&file);
}

static void a_file_with_only_the_magic_is_refused(void **state) {
    tn_text file = {0};
    tn_text_append_string(&file, "GGUF");
    assert_refused(*state, &file, TN_INVALID_DATA, "the header needs 4 bytes at byte 4, the file has 4");
}

static void an_empty_file_is_refused(void **state) {
    tn_text file = {0};
    assert_refused(*state, &file, TN_INVALID_DATA, "the header needs 4 bytes at byte 0, the file has 0");
}

static void other_versions_are_refused_by_number(void **state) {
    const struct {
        uint32_t version;
        tn_status code;
        const char *part;
    } cases[] = {{0, TN_INVALID_DATA, "GGUF version 0 does not exist"},
                 {1, TN_UNSUPPORTED, "it has GGUF version 1, versions 2 and 3 are supported"},
                 {4, TN_UNSUPPORTED, "it has GGUF version 4, versions 2 and 3 are supported"},
                 {UINT32_MAX, TN_UNSUPPORTED, "GGUF version 4294967295"},
                 {0x03000000, TN_UNSUPPORTED, "big-endian"},
                 {0x02000000, TN_UNSUPPORTED, "big-endian"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_text file = {0};
        put_small_file(&file, cases[i].version);
        assert_refused(*state, &file, cases[i].code, cases[i].part);
    }
}

static void huge_counts_are_refused_before_allocating(void **state) {
    for (int which = 0; which < 2; which++) {
        tn_text file = {0};
        put_header(&file, 3, which == 0 ? UINT64_MAX : 0, which == 1 ? UINT64_MAX : 0);
        put_zeros(&file, 64);
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 3); /* the object and its name only */
        fault.keep_failing = true;
        tn_gguf *gguf;
        tn_status status = tn_gguf_open_memory("m.gguf", file.data, file.size, &fault.allocator, *state, &gguf);
        assert_failed(*state, status, TN_INVALID_DATA,
                      which == 0 ? "it claims 18446744073709551615 tensors, but only 64 bytes follow"
                                 : "it claims 18446744073709551615 metadata entries, but only 64 bytes follow");
        assert_refused(*state, &file, TN_INVALID_DATA, "but only 64 bytes follow");
    }
}

/* Keys */

static void key_of_length_zero_or_beyond_64k_is_refused(void **state) {
    const uint64_t lengths[] = {0, 65536, UINT64_MAX, INT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        tn_text file = {0};
        char part[128];
        put_header(&file, 3, 0, 1);
        put_le(&file, 8, lengths[i]);
        put_zeros(&file, 70000);
        snprintf(part, sizeof part, "the key of metadata entry 0 has %llu bytes, must be 1 to 65535", (unsigned long long)lengths[i]);
        assert_refused(*state, &file, TN_INVALID_DATA, part);
    }
}

static void key_beyond_the_file_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 1);
    put_le(&file, 8, 100);
    put_zeros(&file, 20);
    assert_refused(*state, &file, TN_INVALID_DATA, "metadata entry 0 needs 100 bytes at byte 32, the file has 52");
}

static void key_with_nul_or_bad_utf8_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 1);
    put_le(&file, 8, 3);
    tn_text_append(&file, "a\0b", 3);
    put_zeros(&file, 20);
    assert_refused(*state, &file, TN_INVALID_DATA, "the key of metadata entry 0 holds a NUL byte");
    put_header(&file, 3, 0, 1);
    put_u32(&file, "a\xff", 1);
    assert_refused(*state, &file, TN_INVALID_DATA, "the key of metadata entry 0 is not UTF-8");
}

static void duplicate_key_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 3);
    put_u32(&file, "same", 1);
    put_u32(&file, "other", 1);
    put_u32(&file, "same", 1);
    assert_refused(*state, &file, TN_INVALID_DATA, "the metadata key 'same' stands twice");
}

/* Values */

static void unknown_value_type_is_refused(void **state) {
    const uint32_t types[] = {13, UINT32_MAX};
    for (size_t i = 0; i < 2; i++) {
        tn_text file = {0};
        put_header(&file, 3, 0, 1);
        put_key(&file, "k", types[i]);
        put_zeros(&file, 20);
        assert_refused(*state, &file, TN_INVALID_DATA,
                       i == 0 ? "metadata entry 'k' has the unknown type 13" : "the unknown type 4294967295");
    }
}

static void array_of_unknown_type_or_of_arrays_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 1);
    put_array(&file, "k", 77, 1);
    put_zeros(&file, 20);
    assert_refused(*state, &file, TN_INVALID_DATA, "metadata entry 'k' has the unknown type 77");
    put_header(&file, 3, 0, 1);
    put_array(&file, "k", TN_GGUF_ARRAY, 1);
    put_zeros(&file, 20);
    assert_refused(*state, &file, TN_UNSUPPORTED, "metadata entry 'k' is an array of arrays");
}

static void array_with_huge_count_is_refused_before_allocating(void **state) {
    const uint64_t counts[] = {UINT64_MAX, UINT64_MAX / 8 + 1, (uint64_t)1 << 61, 100};
    const uint32_t types[] = {TN_GGUF_STRING, TN_GGUF_UINT64, TN_GGUF_UINT16};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 3; j++) {
            tn_text file = {0};
            put_header(&file, 3, 0, 1);
            put_array(&file, "k", types[j], counts[i]);
            put_zeros(&file, 20);
            assert_refused(*state, &file, TN_INVALID_DATA, "metadata entry 'k' needs ");
        }
    }
}

static void string_longer_than_the_file_is_refused(void **state) {
    const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, 21};
    for (size_t i = 0; i < 3; i++) {
        tn_text file = {0};
        put_header(&file, 3, 0, 1);
        put_key(&file, "k", TN_GGUF_STRING);
        put_le(&file, 8, lengths[i]);
        put_zeros(&file, 20);
        char part[100];
        snprintf(part, sizeof part, "metadata entry 'k' needs %llu bytes at byte 45, the file has 65", (unsigned long long)lengths[i]);
        assert_refused(*state, &file, TN_INVALID_DATA, part);
    }
}

static void bool_that_is_neither_0_nor_1_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 1);
    put_key(&file, "k", TN_GGUF_BOOL);
    put_le(&file, 1, 2);
    assert_refused(*state, &file, TN_INVALID_DATA, "metadata entry 'k' is a bool of value 2, must be 0 or 1");
    put_header(&file, 3, 0, 1);
    put_array(&file, "k", TN_GGUF_BOOL, 3);
    put_le(&file, 3, 0xff0001);
    assert_refused(*state, &file, TN_INVALID_DATA, "metadata entry 'k' is a bool of value 255, must be 0 or 1");
}

static void alignment_that_is_no_power_of_two_up_to_64k_is_refused(void **state) {
    const uint32_t alignments[] = {0, 13, (uint32_t)1 << 31, 131072, UINT32_MAX};
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        tn_text file = {0};
        char part[100];
        put_header(&file, 3, 0, 1);
        put_u32(&file, "general.alignment", alignments[i]);
        snprintf(part, sizeof part, "'general.alignment' is %u, must be a power of two up to 65536", alignments[i]);
        assert_refused(*state, &file, TN_INVALID_DATA, part);
    }
}

static void alignment_of_another_type_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 1);
    put_key(&file, "general.alignment", TN_GGUF_UINT64);
    put_le(&file, 8, 32);
    assert_refused(*state, &file, TN_INVALID_DATA, "the metadata key 'general.alignment' must be a uint32");
    put_header(&file, 3, 0, 1);
    put_array(&file, "general.alignment", TN_GGUF_UINT32, 0);
    assert_refused(*state, &file, TN_INVALID_DATA, "the metadata key 'general.alignment' must be a uint32");
}

static void alignment_from_1_to_64k_is_obeyed(void **state) {
    const uint32_t alignments[] = {1, 8, 64, 65536};
    for (size_t i = 0; i < 4; i++) {
        tn_text file = {0};
        put_header(&file, 3, 2, 1);
        put_u32(&file, "general.alignment", alignments[i]);
        put_vector(&file, "a", 0, 1);
        put_vector(&file, "b", alignments[i] > 4 ? alignments[i] : 4, 1);
        put_padding(&file, alignments[i]);
        put_le(&file, 4, 1);
        put_padding(&file, alignments[i]);
        put_le(&file, 4, 2);
        tn_gguf *gguf = open_bytes(*state, &file);
        assert_int_equal(tn_gguf_data(gguf, tn_gguf_find_tensor(gguf, "b"))[0], 2);
        tn_gguf_close(gguf);
        tn_text_deinit(&file);
    }
}

static void alignment_that_contradicts_the_offsets_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 2, 1);
    put_u32(&file, "general.alignment", 64);
    put_vector(&file, "a", 0, 8);
    put_vector(&file, "b", 32, 8);
    put_padding(&file, 64);
    put_zeros(&file, 64);
    assert_refused(*state, &file, TN_INVALID_DATA, "tensor 'b' starts at offset 32, which is not a multiple of the alignment 64");
}

static void parts_of_a_split_model_in_memory_are_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 2);
    put_key(&file, "split.no", TN_GGUF_UINT16), put_le(&file, 2, 0);
    put_key(&file, "split.count", TN_GGUF_UINT16), put_le(&file, 2, 3);
    tn_gguf *gguf;
    assert_failed(*state, tn_gguf_open_memory("part", file.data, file.size, NULL, *state, &gguf), TN_UNSUPPORTED,
                  "it is one of 3 parts of a split model, in memory");
    tn_text_deinit(&file);
    file = (tn_text){0};
    put_header(&file, 3, 0, 1);
    put_key(&file, "split.count", TN_GGUF_UINT16), put_le(&file, 2, 1);
    tn_gguf_close(open_bytes(*state, &file));
    tn_text_deinit(&file);
}

/* Tensor table */

static void tensor_name_empty_too_long_or_bad_is_refused(void **state) {
    char name[66];
    memset(name, 'n', 65);
    name[65] = 0;
    const struct {
        const char *name, *part;
    } cases[] = {{"", "the name of tensor entry 0 has 0 bytes, must be 1 to 64"},
                 {name, "the name of tensor entry 0 has 65 bytes, must be 1 to 64"},
                 {"\xc3", "the name of tensor entry 0 is not UTF-8"}};
    for (size_t i = 0; i < 3; i++) {
        tn_text file = {0};
        put_header(&file, 3, 1, 0);
        put_vector(&file, cases[i].name, 0, 1);
        put_zeros(&file, 64);
        assert_refused(*state, &file, TN_INVALID_DATA, cases[i].part);
    }
}

static void duplicate_tensor_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 2, 0);
    put_vector(&file, "same", 0, 8);
    put_vector(&file, "same", 32, 8);
    put_padding(&file, 32);
    put_zeros(&file, 64);
    assert_refused(*state, &file, TN_INVALID_DATA, "the tensor name 'same' stands twice");
}

static void rank_beyond_1_to_4_is_refused(void **state) {
    const uint32_t ranks[] = {0, 5, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        tn_text file = {0};
        char part[100];
        put_header(&file, 3, 1, 0);
        put_string(&file, "t");
        put_le(&file, 4, ranks[i]);
        put_zeros(&file, 100);
        snprintf(part, sizeof part, "tensor 't' has %u dimensions, must be 1 to 4", ranks[i]);
        assert_refused(*state, &file, TN_INVALID_DATA, part);
    }
}

static void dimension_below_1_is_refused(void **state) {
    const uint64_t dims[] = {0, UINT64_MAX, (uint64_t)1 << 63};
    for (size_t i = 0; i < 3; i++) {
        tn_text file = {0};
        put_header(&file, 3, 1, 0);
        put_tensor(&file, "t", f32, 0, 2, (const uint64_t[]){4, dims[i]});
        put_zeros(&file, 100);
        assert_refused(*state, &file, TN_INVALID_DATA,
                       i == 0 ? "dimension 1 of tensor 't' is 0, must be at least 1" : "dimension 1 of tensor 't' is -");
    }
}

static void size_that_overflows_is_refused(void **state) {
    const uint64_t big = (uint64_t)1 << 40;
    const struct {
        uint32_t type, rank;
        uint64_t dims[4];
    } cases[] = {{f32, 4, {big, big, big, big}},
                 {f32, 1, {INT64_MAX}},
                 {f32, 1, {(uint64_t)1 << 61}},
                 {q4_0, 2, {(uint64_t)1 << 62, 4}},
                 {TN_GGML_F64, 2, {(uint64_t)1 << 30, (uint64_t)1 << 30}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_text file = {0};
        put_header(&file, 3, 1, 0);
        put_tensor(&file, "t", cases[i].type, 0, cases[i].rank, cases[i].dims);
        put_zeros(&file, 100);
        assert_refused(*state, &file, TN_INVALID_DATA, "tensor 't' is larger than any file");
    }
}

static void row_that_is_not_whole_blocks_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 1, 0);
    put_tensor(&file, "t", q4_0, 0, 2, (const uint64_t[]){48, 2});
    put_zeros(&file, 100);
    assert_refused(*state, &file, TN_INVALID_DATA, "tensor 't' has rows of 48 values, Q4_0 needs a multiple of 32");
}

static void unknown_and_dropped_tensor_types_are_refused(void **state) {
    const struct {
        uint32_t type;
        const char *part;
    } cases[] = {{4, "tensor 't' has type Q4_2, which GGUF has dropped"},
                 {5, "tensor 't' has type Q4_3, which GGUF has dropped"},
                 {31, "tensor 't' has type Q4_0_4_4, which GGUF has dropped"},
                 {32, "Q4_0_4_8"},
                 {33, "Q4_0_8_8"},
                 {36, "IQ4_NL_4_4"},
                 {37, "IQ4_NL_4_8"},
                 {38, "IQ4_NL_8_8"},
                 {99, "tensor 't' has the unknown type 99"},
                 {UINT32_MAX, "tensor 't' has the unknown type 4294967295"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_text file = {0};
        put_header(&file, 3, 1, 0);
        put_tensor(&file, "t", cases[i].type, 0, 1, (const uint64_t[]){32});
        put_zeros(&file, 100);
        assert_refused(*state, &file, TN_UNSUPPORTED, cases[i].part);
    }
}

/* Data */

/* Two vectors of 32 bytes; the second at `offset`, then `size` bytes of data. */
static void put_two_vectors(tn_text *file, uint64_t offset, size_t size) {
    put_header(file, 3, 2, 0);
    put_vector(file, "a", 0, 8);
    put_vector(file, "b", offset, 8);
    put_padding(file, 32);
    put_zeros(file, size);
}

static void offset_that_is_wrong_is_refused(void **state) {
    const struct {
        uint64_t offset;
        const char *part;
    } cases[] = {{33, "tensor 'b' starts at offset 33, which is not a multiple of the alignment 32"},
                 {UINT64_MAX, "tensor 'b' starts at offset 18446744073709551615, which is not a multiple"},
                 {UINT64_MAX - 31, "tensor 'b' starts at offset 18446744073709551584 of the data, but the data before it end at 32"},
                 {64, "tensor 'b' starts at offset 64 of the data, but the data before it end at 32"},
                 {0, "tensor 'b' starts at offset 0 of the data, which overlaps what ends at 32"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_text file = {0};
        put_two_vectors(&file, cases[i].offset, 96);
        assert_refused(*state, &file, TN_INVALID_DATA, cases[i].part);
    }
}

static void tensors_out_of_order_are_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 2, 0);
    put_vector(&file, "a", 32, 8);
    put_vector(&file, "b", 0, 8);
    put_padding(&file, 32);
    put_zeros(&file, 64);
    assert_refused(*state, &file, TN_INVALID_DATA, "tensor 'a' starts at offset 32 of the data, but the data before it end at 0");
}

static void data_short_by_one_byte_is_refused(void **state) {
    tn_text file = {0};
    put_two_vectors(&file, 32, 63);
    assert_refused(*state, &file, TN_INVALID_DATA, "tensor 'b' ends at byte 160, the file has 159");
}

static void tensor_of_exabytes_in_a_small_file_is_refused(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 1, 0);
    put_tensor(&file, "t", f32, 0, 2, (const uint64_t[]){(uint64_t)1 << 30, (uint64_t)1 << 30});
    put_padding(&file, 32);
    put_zeros(&file, 4096);
    assert_refused(*state, &file, TN_INVALID_DATA, "tensor 't' ends at byte 4,611,686,018,427,388,0");
}

static void bytes_after_the_last_tensor_are_refused_beyond_its_padding(void **state) {
    tn_text file = {0};
    put_small_file(&file, 3);
    put_padding(&file, 32);
    tn_gguf_close(open_bytes(*state, &file)); /* padding is legal */
    tn_text_append_char(&file, 0);
    assert_refused(*state, &file, TN_INVALID_DATA, "its data end at byte ");
}

static void truncation_at_every_byte_is_refused(void **state) {
    tn_text file = {0};
    put_small_file(&file, 3);
    const size_t whole = file.size;
    for (size_t size = 0; size < whole; size++) {
        tn_text part = {0};
        tn_text_append(&part, file.data, size);
        assert_refused(*state, &part, TN_INVALID_DATA, "cannot read ");
    }
    tn_text_deinit(&file);
}

static void every_byte_changed_is_refused_or_harmless(void **state) {
    tn_text file = {0};
    put_small_file(&file, 3);
    const uint8_t masks[] = {0xff, 0x80, 0x01};
    for (size_t i = 0; i < file.size * 3; i++) {
        uint8_t *bytes = malloc(file.size);
        memcpy(bytes, file.data, file.size);
        bytes[i / 3] ^= masks[i % 3];
        tn_gguf *gguf;
        if (tn_gguf_open_memory("m.gguf", bytes, file.size, NULL, *state, &gguf) == TN_OK)
            for (size_t t = 0; t < tn_gguf_num_tensors(gguf); t++) {
                const tn_gguf_tensor *tensor = tn_gguf_tensor_at(gguf, t);
                assert_true(tensor->offset + tensor->size_bytes <= file.size);
            }
        tn_gguf_close(gguf);
        tn_diag_clear(*state);
        free(bytes);
    }
    tn_text_deinit(&file);
}

static void file_that_shrinks_after_open_is_an_error_on_read(void **state) {
    tn_text file = {0};
    put_small_file(&file, 3);
    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.gguf", file.data, file.size);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    tn_gguf *gguf;
    assert_ok(*state, tn_gguf_open(path, NULL, *state, &gguf));
    assert_int_equal(truncate(path, 40), 0);
    uint8_t data[36];
    assert_failed(*state, tn_gguf_read(gguf, tn_gguf_find_tensor(gguf, "b"), 0, data, 36, *state), TN_INVALID_DATA, path);
    size_t size;
    const char *bytes;
    assert_ok(*state, tn_gguf_get_string(gguf, "general.architecture", *state, &bytes, &size)); /* the header is a copy */
    assert_memory_equal(bytes, "llama", 5);
    tn_gguf_close(gguf);
    remove_folder(folder, (const char *const[]){"m.gguf"}, 1);
    tn_text_deinit(&file);
}

static void a_header_beyond_its_limit_is_refused_before_reading(void **state) {
    tn_text file = {0};
    put_header(&file, 3, 0, 1);
    put_array(&file, "k", TN_GGUF_UINT8, TN_GGUF_MAX_HEADER_BYTES);
    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.gguf", file.data, file.size);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    assert_int_equal(truncate(path, (off_t)TN_GGUF_MAX_HEADER_BYTES + 4096), 0); /* a hole: takes no disk */
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 101);
    fault.keep_failing = true;
    tn_gguf *gguf;
    tn_status status = tn_gguf_open(path, &fault.allocator, *state, &gguf);
    assert_failed(*state, status, TN_UNSUPPORTED, "its header reaches beyond 134217728 bytes (metadata entry 'k')");
    assert_true(fault.num_calls < 10);
    remove_folder(folder, (const char *const[]){"m.gguf"}, 1);
    tn_text_deinit(&file);
}

static void missing_file_is_not_found(void **state) {
    tn_gguf *gguf;
    assert_failed(*state, tn_gguf_open("/nonexistent/m.gguf", NULL, *state, &gguf), TN_NOT_FOUND, "/nonexistent/m.gguf");
    assert_null(gguf);
}

static void each_allocation_failing_in_turn_is_reported_without_leak(void **state) {
    tn_text file = {0};
    enum { count = 20000 }; /* the string table needs memory of its own */
    put_header(&file, 3, 1, 2);
    put_u32(&file, "u32", 1);
    put_array(&file, "tokens", TN_GGUF_STRING, count);
    put_zeros(&file, 8 * count);
    put_vector(&file, "a", 0, 1);
    put_padding(&file, 32);
    put_zeros(&file, 4);
    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.gguf", file.data, file.size);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    for (int form = 0; form < 4; form++) {
        for (size_t n = 1;; n++) {
            tn_fault_allocator fault;
            tn_fault_allocator_init(&fault, n);
            fault.keep_failing = form >= 2;
            tn_gguf *gguf;
            tn_status status = form % 2 == 0 ? tn_gguf_open_memory("m.gguf", file.data, file.size, &fault.allocator, *state, &gguf)
                                             : tn_gguf_open(path, &fault.allocator, *state, &gguf);
            if (!tn_fault_has_failed(&fault)) {
                assert_ok(*state, status);
                assert_true(n > 6);
                tn_gguf_close(gguf);
                assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
                break;
            }
            assert_null(gguf);
            assert_failed(*state, status, TN_OUT_OF_MEMORY, "out of memory");
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        }
    }
    remove_folder(folder, (const char *const[]){"m.gguf"}, 1);
    tn_text_deinit(&file);
}

static void block_sizes_of_types_are_known(void **state) {
    (void)state;
    const struct {
        uint32_t type;
        int64_t values, bytes;
    } cases[] = {{TN_GGML_F32, 1, 4},       {TN_GGML_BF16, 1, 2},       {TN_GGML_Q4_1, 32, 20},     {TN_GGML_Q5_1, 32, 24},
                 {TN_GGML_Q8_0, 32, 34},    {TN_GGML_Q2_K, 256, 84},    {TN_GGML_Q3_K, 256, 110},   {TN_GGML_Q4_K, 256, 144},
                 {TN_GGML_Q5_K, 256, 176},  {TN_GGML_Q6_K, 256, 210},   {TN_GGML_Q8_K, 256, 292},   {TN_GGML_IQ2_XXS, 256, 66},
                 {TN_GGML_IQ2_XS, 256, 74}, {TN_GGML_IQ3_XXS, 256, 98}, {TN_GGML_IQ1_S, 256, 50},   {TN_GGML_IQ4_NL, 32, 18},
                 {TN_GGML_IQ3_S, 256, 110}, {TN_GGML_IQ2_S, 256, 82},   {TN_GGML_IQ4_XS, 256, 136}, {TN_GGML_IQ1_M, 256, 56},
                 {TN_GGML_TQ1_0, 256, 54},  {TN_GGML_TQ2_0, 256, 66},   {TN_GGML_MXFP4, 32, 17}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t values, bytes;
        assert_true(tn_ggml_type_block(cases[i].type, &values, &bytes));
        assert_int_equal(values, cases[i].values);
        assert_int_equal(bytes, cases[i].bytes);
        uint64_t size;
        assert_true(tn_ggml_tensor_bytes(cases[i].type, &TN_DIMS(3, 5, 512), &size));
        assert_int_equal(size, 15 * 512 / values * bytes);
    }
    assert_string_equal(tn_ggml_type_name(TN_GGML_Q4_K), "Q4_K");
    assert_null(tn_ggml_type_name(4));
    assert_null(tn_ggml_type_name(1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(versions_2_and_3_are_read_from_memory_and_file),
        TEST(a_header_larger_than_the_first_read_is_read_whole),
        TEST(a_file_without_tensors_is_read),
        TEST(getters_say_what_a_key_should_have_been),
        TEST(bad_magic_is_refused),
        TEST(a_git_lfs_pointer_is_recognised),
        TEST(a_file_with_only_the_magic_is_refused),
        TEST(an_empty_file_is_refused),
        TEST(other_versions_are_refused_by_number),
        TEST(huge_counts_are_refused_before_allocating),
        TEST(key_of_length_zero_or_beyond_64k_is_refused),
        TEST(key_beyond_the_file_is_refused),
        TEST(key_with_nul_or_bad_utf8_is_refused),
        TEST(duplicate_key_is_refused),
        TEST(unknown_value_type_is_refused),
        TEST(array_of_unknown_type_or_of_arrays_is_refused),
        TEST(array_with_huge_count_is_refused_before_allocating),
        TEST(string_longer_than_the_file_is_refused),
        TEST(bool_that_is_neither_0_nor_1_is_refused),
        TEST(alignment_that_is_no_power_of_two_up_to_64k_is_refused),
        TEST(alignment_of_another_type_is_refused),
        TEST(alignment_from_1_to_64k_is_obeyed),
        TEST(alignment_that_contradicts_the_offsets_is_refused),
        TEST(parts_of_a_split_model_in_memory_are_refused),
        TEST(tensor_name_empty_too_long_or_bad_is_refused),
        TEST(duplicate_tensor_is_refused),
        TEST(rank_beyond_1_to_4_is_refused),
        TEST(dimension_below_1_is_refused),
        TEST(size_that_overflows_is_refused),
        TEST(row_that_is_not_whole_blocks_is_refused),
        TEST(unknown_and_dropped_tensor_types_are_refused),
        TEST(offset_that_is_wrong_is_refused),
        TEST(tensors_out_of_order_are_refused),
        TEST(data_short_by_one_byte_is_refused),
        TEST(tensor_of_exabytes_in_a_small_file_is_refused),
        TEST(bytes_after_the_last_tensor_are_refused_beyond_its_padding),
        TEST(truncation_at_every_byte_is_refused),
        TEST(every_byte_changed_is_refused_or_harmless),
        TEST(file_that_shrinks_after_open_is_an_error_on_read),
        TEST(a_header_beyond_its_limit_is_refused_before_reading),
        TEST(missing_file_is_not_found),
        TEST(each_allocation_failing_in_turn_is_reported_without_leak),
        TEST(block_sizes_of_types_are_known),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
