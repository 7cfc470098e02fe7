/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_test.c: files and shards as they should be and in every way they should not. Each bad file is opened from
 * memory and from disk and must be refused alike.
 */
#include "format/safetensors.h"

#include "format/safetensors_writer.h"
#include "format/testing.h"
#include "support/fault_allocator.h"

/* A file: header size, header, then data_size bytes 0, 1, 2 … */
static void put_file(tn_text *file, const char *header, size_t data_size) {
    put_le(file, 8, strlen(header));
    tn_text_append_string(file, header);
    for (size_t i = 0; i < data_size; i++) put_le(file, 1, i);
}

static const char good_header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                  "\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[2,10]},"
                                  "\"scalar\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},"
                                  "\"empty\":{\"dtype\":\"I64\",\"shape\":[3,0],\"data_offsets\":[2,2]},"
                                  "\"four\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[10,13]}}   ";

/* Opens the bytes from memory and from a file: both must fail alike. Frees them. */
static void assert_refused_file(tn_diag *diag, tn_text *file, tn_status code, const char *part) {
    assert_false(file->failed);
    uint8_t *exact = malloc(file->size > 0 ? file->size : 1);
    assert_non_null(exact);
    if (file->size > 0) memcpy(exact, file->data, file->size);
    tn_safetensors *model = (tn_safetensors *)file;
    tn_status status = tn_safetensors_open_memory("m.safetensors", exact, file->size, NULL, diag, &model);
    assert_null(model);
    assert_failed(diag, status, code, part);

    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.safetensors", exact, file->size);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    model = (tn_safetensors *)file;
    status = tn_safetensors_open(path, NULL, diag, &model);
    assert_null(model);
    assert_failed(diag, status, code, part);
    remove_folder(folder, (const char *const[]){"m.safetensors"}, 1);
    free(exact);
    tn_text_deinit(file);
}

static void assert_refused(tn_diag *diag, const char *header, size_t data_size, const char *part) {
    tn_text file = {0};
    put_file(&file, header, data_size);
    assert_refused_file(diag, &file, TN_INVALID_DATA, part);
}

static void tensors_are_found_with_their_shape_and_bytes(void **state) {
    tn_text file = {0};
    put_file(&file, good_header, 13);
    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "m.safetensors", file.data, file.size);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    for (int form = 0; form < 3; form++) { /* memory, read, mapped */
        tn_safetensors *model;
        if (form == 0)
            assert_ok(*state, tn_safetensors_open_memory("m", file.data, file.size, NULL, *state, &model));
        else
            assert_ok(*state, tn_safetensors_open(path, NULL, *state, &model));
        if (form == 2) assert_ok(*state, tn_safetensors_map(model, *state));
        assert_int_equal(tn_safetensors_num_tensors(model), 4);
        assert_int_equal(tn_safetensors_num_files(model), 1);
        assert_string_equal(tn_safetensors_file_path(model, 0), form == 0 ? "m" : path);
        assert_string_equal(tn_safetensors_at(model, 0)->name, "empty");
        const tn_safetensors_tensor *w = tn_safetensors_find(model, "w");
        assert_int_equal(w->dtype, TN_FLOAT32);
        assert_int_equal(w->dims.rank, 2);
        assert_int_equal(w->dims.d[0], 2);
        assert_int_equal(w->size_bytes, 8);
        assert_int_equal(w->offset, 8 + strlen(good_header) + 2);
        uint8_t bytes[8];
        assert_ok(*state, tn_safetensors_read(model, w, 3, bytes, 5, *state));
        assert_int_equal(bytes[4], 9);
        assert_failed(*state, tn_safetensors_read(model, w, 3, bytes, 6, *state), TN_INVALID_ARGUMENT,
                      "cannot read 6 bytes at 3 of tensor 'w': it has 8");
        assert_failed(*state, tn_safetensors_read(model, w, UINT64_MAX, bytes, 1, *state), TN_INVALID_ARGUMENT, "cannot read 1 bytes");
        const tn_safetensors_tensor *scalar = tn_safetensors_find(model, "scalar");
        assert_int_equal(scalar->dims.rank, 0);
        assert_int_equal(scalar->size_bytes, 2);
        assert_int_equal(tn_safetensors_find(model, "empty")->size_bytes, 0);
        assert_int_equal(tn_safetensors_find(model, "four")->dtype, TN_FLOAT4_E2M1);
        assert_null(tn_safetensors_find(model, "absent"));
        if (form == 1)
            assert_null(tn_safetensors_data(model, w));
        else
            assert_int_equal(tn_safetensors_data(model, w)[7], 9);
        tn_safetensors_close(model);
    }
    remove_folder(folder, (const char *const[]){"m.safetensors"}, 1);
    tn_text_deinit(&file);
}

static void a_file_without_tensors_is_read(void **state) {
    tn_text file = {0};
    put_file(&file, "{}", 0);
    tn_safetensors *model;
    assert_ok(*state, tn_safetensors_open_memory("m", file.data, file.size, NULL, *state, &model));
    assert_int_equal(tn_safetensors_num_tensors(model), 0);
    assert_null(tn_safetensors_find(model, "x"));
    tn_safetensors_close(model);
    tn_text_deinit(&file);
}

static void file_below_8_bytes_is_refused(void **state) {
    for (size_t size = 0; size < 8; size++) {
        tn_text file = {0};
        put_zeros(&file, size);
        char part[64];
        snprintf(part, sizeof part, "it has %zu bytes, a safetensors file has at least 8", size);
        assert_refused_file(*state, &file, TN_INVALID_DATA, part);
    }
}

static void header_length_out_of_bounds_is_refused(void **state) {
    const struct {
        uint64_t size;
        const char *part;
    } cases[] = {{0, "its header has 0 bytes, must be 2 to 100000000"},
                 {100000001, "its header has 100000001 bytes, must be 2 to 100000000"},
                 {UINT64_MAX, "its header has 18446744073709551615 bytes, must be 2 to 100000000"},
                 {3, "its header has 3 bytes, but only 2 follow"}};
    for (size_t i = 0; i < 4; i++) {
        tn_text file = {0};
        put_le(&file, 8, cases[i].size);
        tn_text_append_string(&file, "{}");
        assert_refused_file(*state, &file, TN_INVALID_DATA, cases[i].part);
    }
}

static void a_git_lfs_pointer_is_recognised(void **state) {
    tn_text file = {0};
    tn_text_append_string(&file, "version https://git-lfs.github.com/spec/v1\n");
    assert_refused_file(*state, &file, TN_INVALID_DATA, "it is a Git LFS pointer, not a safetensors file");
}

static void header_that_is_not_one_json_object_is_refused(void **state) {
    assert_refused(*state, "hello", 0, "its header starts with byte 0x68, must be '{'");
    assert_refused(*state, "[]", 0, "its header starts with byte 0x5b, must be '{'");
    assert_refused(*state, "  {}", 0, "its header starts with byte 0x20, must be '{'");
    assert_refused(*state, "\xef\xbb\xbf{}", 0, "its header starts with byte 0xef, must be '{'");
    assert_refused(*state, "{}x", 0, "m.safetensors (header): bytes follow the document");
    assert_refused(*state, "{\"a\"", 0, "m.safetensors (header): the text ends too early");
    assert_refused(*state, "{\"\xff\":1}", 0, "m.safetensors (header): invalid UTF-8");
}

static void deep_nesting_is_refused(void **state) {
    tn_text header = {0};
    for (int i = 0; i < 100000; i++) tn_text_append_string(&header, "{\"a\":");
    assert_refused(*state, header.data, 0, "nesting deeper than 8 levels");
    tn_text_deinit(&header);
}

static void duplicate_names_are_refused(void **state) {
    assert_refused(
        *state,
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]}}", 2,
        "a name stands twice in one object");
}

static void metadata_that_is_not_strings_is_refused(void **state) {
    assert_refused(*state, "{\"__metadata__\":{\"a\":1}}", 0, "'__metadata__.a' is 1, must be a string");
    assert_refused(*state, "{\"__metadata__\":[]}", 0, "'__metadata__' is an array, must be an object");
}

static void dtype_unknown_or_missing_is_refused(void **state) {
    assert_refused(*state, "{\"a\":{\"dtype\":\"F99\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "'a' has the unknown dtype \"F99\"");
    assert_refused(*state, "{\"a\":{\"dtype\":7,\"shape\":[],\"data_offsets\":[0,1]}}", 1, "'a.dtype' is 7, must be a string");
    assert_refused(*state, "{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1, "'a.dtype' is missing");
    assert_refused(*state, "{\"a\":1}", 1, "'a' is 1, must be an object");
    tn_text file = {0};
    put_file(&file, "{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3);
    assert_refused_file(*state, &file, TN_UNSUPPORTED, "'a' has dtype F6_E2M3, which is not supported");
    put_file(&file, "{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3);
    assert_refused_file(*state, &file, TN_UNSUPPORTED, "'a' has dtype F6_E3M2, which is not supported");
}

static void shape_negative_float_huge_or_overflowing_is_refused(void **state) {
    const struct {
        const char *shape, *part;
    } cases[] = {{"[-1]", "'a.shape[0]' is -1, must be 0 to 9223372036854775807"},
                 {"[1.0]", "'a.shape[0]' is 1, must be an integer from 0 to"},
                 {"[99999999999999999999]", "'a.shape[0]' is 1e+20, must be an integer"},
                 {"[\"1\"]", "'a.shape[0]' is \"1\", must be an integer"},
                 {"[4294967296,4294967296,4294967296]", "'a' has a shape whose size is no number of bytes"},
                 {"[999999999999999999,2]", "'a' has a shape whose size is no number of bytes"},
                 {"{}", "'a.shape' is an object, must be an array"},
                 {"[2]", "'a' needs 8 bytes for its shape and dtype, its data_offsets span 4"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[256];
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,4]}}", cases[i].shape);
        assert_refused(*state, header, 4, cases[i].part);
    }
    assert_refused(*state, "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1,
                   "'a' has a shape whose size is no number of bytes");
    tn_text file = {0};
    put_file(&file, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1);
    assert_refused_file(*state, &file, TN_UNSUPPORTED, "'a' has 9 dimensions, at most 8 are supported");
}

static void offsets_reversed_beyond_or_malformed_are_refused(void **state) {
    const struct {
        const char *offsets, *part;
    } cases[] = {{"[4,0]", "'a.data_offsets' ends at 0, before it begins at 4"},
                 {"[0,5]", "'a.data_offsets' ends at 5, the file has 4 bytes of data; it looks truncated"},
                 {"[0,4,8]", "'a.data_offsets' has 3 numbers, must have 2"},
                 {"[]", "'a.data_offsets' has 0 numbers, must have 2"},
                 {"[-4,0]", "'a.data_offsets[0]' is -4, must be 0 to"},
                 {"[0,4.0]", "'a.data_offsets[1]' is 4, must be an integer"},
                 {"[0,18446744073709551615]", "'a.data_offsets[1]' is 1.84467441e+19, must be an integer"},
                 {"[0,3]", "'a' needs 4 bytes for its shape and dtype, its data_offsets span 3"},
                 {"4", "'a.data_offsets' is 4, must be an array"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[256];
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":%s}}", cases[i].offsets);
        assert_refused(*state, header, 4, cases[i].part);
    }
}

static void overlap_gap_and_trailing_bytes_are_refused(void **state) {
    const struct {
        const char *b;
        size_t data_size;
        const char *part;
    } cases[] = {{"[1,3]", 3, "tensor 'b' begins at data byte 1, which overlaps what ends at 2"},
                 {"[0,2]", 2, "begins at data byte 0, which overlaps what ends at 2"},
                 {"[3,5]", 5, "tensor 'b' begins at data byte 3, but the data before it end at 2"},
                 {"[2,4]", 5, "its tensors end at data byte 4, but the file has 5"}};
    for (size_t i = 0; i < 4; i++) {
        char header[256];
        snprintf(
            header, sizeof header,
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":%s}}",
            cases[i].b);
        assert_refused(*state, header, cases[i].data_size, cases[i].part);
    }
    assert_refused(*state, "{}", 1, "its tensors end at data byte 0, but the file has 1");
    assert_refused(*state, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2,
                   "begins at data byte 1, but the data before it end at 0");
}

static void more_than_a_million_tensors_are_refused_before_parsing(void **state) {
    tn_text file = {0}, header = {0};
    tn_text_append_char(&header, '{');
    for (int i = 0; i < 1000001; i++)
        tn_text_append_format(&header, "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i > 0 ? "," : "", i);
    tn_text_append_char(&header, '}');
    put_file(&file, header.data, 0);
    tn_safetensors *model;
    tn_status status = tn_safetensors_open_memory("m.safetensors", file.data, file.size, NULL, *state, &model);
    assert_failed(*state, status, TN_INVALID_DATA, "m.safetensors (header): more than 4000000 values at byte");
    tn_text_deinit(&header);
    tn_text_deinit(&file);
}

static void truncation_at_every_byte_is_refused(void **state) {
    tn_text file = {0};
    put_file(&file, good_header, 13);
    for (size_t size = 0; size < file.size; size++) {
        tn_text part = {0};
        tn_text_append(&part, file.data, size);
        assert_refused_file(*state, &part, TN_INVALID_DATA, "m.safetensors");
    }
    tn_text_deinit(&file);
}

static void every_byte_changed_is_refused_or_harmless(void **state) {
    tn_text file = {0};
    put_file(&file, good_header, 13);
    const uint8_t masks[] = {0xff, 0x80, 0x01, 0x04};
    for (size_t i = 0; i < file.size * 4; i++) {
        uint8_t *bytes = malloc(file.size);
        memcpy(bytes, file.data, file.size);
        bytes[i / 4] ^= masks[i % 4];
        tn_safetensors *model;
        if (tn_safetensors_open_memory("m", bytes, file.size, NULL, *state, &model) == TN_OK)
            for (size_t t = 0; t < tn_safetensors_num_tensors(model); t++) {
                const tn_safetensors_tensor *tensor = tn_safetensors_at(model, t);
                assert_true(tensor->offset + tensor->size_bytes <= file.size);
            }
        tn_safetensors_close(model);
        tn_diag_clear(*state);
        free(bytes);
    }
    tn_text_deinit(&file);
}

/* Shards: folder/model.safetensors.index.json and files "s1", "s2", each with one byte tensor. */
typedef struct shards {
    char folder[64];
} shards;

static const char *const shard_names[] = {"s1.safetensors", "s2.safetensors", "model.safetensors.index.json"};

static void put_shard(const shards *s, const char *file_name, const char *tensor) {
    tn_text file = {0};
    char header[128];
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", tensor);
    put_file(&file, header, 1);
    write_file(s->folder, file_name, file.data, file.size);
    tn_text_deinit(&file);
}

static void make_shards(shards *s, const char *index) {
    make_temporary_folder(s->folder);
    put_shard(s, "s1.safetensors", "a");
    put_shard(s, "s2.safetensors", "b");
    write_file(s->folder, shard_names[2], index, strlen(index));
}

static void remove_shards(const shards *s) {
    remove_folder(s->folder, shard_names, 3);
}

static void assert_refused_index(tn_diag *diag, const char *index, tn_status code, const char *part) {
    shards s;
    make_shards(&s, index);
    tn_safetensors *model;
    tn_status status = tn_safetensors_open(s.folder, NULL, diag, &model);
    assert_null(model);
    assert_failed(diag, status, code, part);
    remove_shards(&s);
}

static const char good_index[] = "{\"metadata\":{\"total_size\":2},\"weight_map\":{\"b\":\"s2.safetensors\",\"a\":\"s1.safetensors\"}}";

static void shards_are_one_table(void **state) {
    shards s;
    make_shards(&s, good_index);
    for (int form = 0; form < 2; form++) {
        char path[160];
        snprintf(path, sizeof path, form == 0 ? "%s" : "%s/model.safetensors.index.json", s.folder);
        tn_safetensors *model;
        assert_ok(*state, tn_safetensors_open(path, NULL, *state, &model));
        assert_int_equal(tn_safetensors_num_files(model), 2);
        assert_int_equal(tn_safetensors_num_tensors(model), 2);
        const tn_safetensors_tensor *b = tn_safetensors_find(model, "b");
        assert_true(tn_string_ends_with(tn_safetensors_file_path(model, b->file), "/s2.safetensors"));
        uint8_t byte = 9;
        assert_ok(*state, tn_safetensors_read(model, b, 0, &byte, 1, *state));
        assert_int_equal(byte, 0);
        assert_ok(*state, tn_safetensors_map(model, *state));
        assert_int_equal(tn_safetensors_data(model, b)[0], 0);
        tn_safetensors_close(model);
    }
    remove_shards(&s);
}

static void a_single_file_is_preferred_to_an_index(void **state) {
    shards s;
    make_shards(&s, "not read");
    put_shard(&s, "model.safetensors", "only");
    tn_safetensors *model;
    assert_ok(*state, tn_safetensors_open(s.folder, NULL, *state, &model));
    assert_non_null(tn_safetensors_find(model, "only"));
    tn_safetensors_close(model);
    char path[128];
    snprintf(path, sizeof path, "%s/model.safetensors", s.folder);
    unlink(path);
    remove_shards(&s);
}

static void a_missing_shard_is_named(void **state) {
    assert_refused_index(*state, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"c\":\"s3.safetensors\"}}", TN_NOT_FOUND,
                         "/s3.safetensors does not exist");
}

static void a_shard_outside_the_folder_is_refused(void **state) {
    const char *const names[] = {"../s1.safetensors", "/etc/passwd", "sub/s1.safetensors", "..", "", ".hidden", "a\\\\b", "s 1",
                                 "s\\u00e91"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char index[128];
        snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        assert_refused_index(*state, index, TN_INVALID_DATA, "must be a plain file name beside the index");
    }
}

static void a_tensor_in_two_shards_is_refused(void **state) {
    shards s;
    make_shards(&s, good_index);
    put_shard(&s, "s2.safetensors", "a");
    tn_safetensors *model;
    tn_status status = tn_safetensors_open(s.folder, NULL, *state, &model);
    assert_failed(*state, status, TN_INVALID_DATA, "tensor 'a' is in two shards, ");
    remove_shards(&s);
}

static void an_index_that_contradicts_its_shards_is_refused(void **state) {
    assert_refused_index(*state, "{\"weight_map\":{\"a\":\"s2.safetensors\",\"b\":\"s1.safetensors\"}}", TN_INVALID_DATA,
                         "'weight_map.b' is in shard s2.safetensors, the index says s1.safetensors");
    assert_refused_index(*state, "{\"weight_map\":{\"c\":\"s1.safetensors\"}}", TN_INVALID_DATA,
                         "'weight_map.c' is in no shard, the index says s1.safetensors");
}

static void more_shards_than_supported_are_refused(void **state) {
    shards s;
    tn_text index = {0};
    tn_text_append_string(&index, "{\"weight_map\":{");
    for (int i = 0; i <= TN_SAFETENSORS_MAX_SHARDS; i++)
        tn_text_append_format(&index, "%s\"t%d\":\"x%d.safetensors\"", i > 0 ? "," : "", i, i);
    tn_text_append_string(&index, "}}");
    make_shards(&s, index.data);
    for (int i = 0; i <= TN_SAFETENSORS_MAX_SHARDS; i++) {
        char name[32], tensor[16];
        snprintf(name, sizeof name, "x%d.safetensors", i);
        snprintf(tensor, sizeof tensor, "t%d", i);
        put_shard(&s, name, tensor);
    }
    tn_safetensors *model;
    assert_failed(*state, tn_safetensors_open(s.folder, NULL, *state, &model), TN_UNSUPPORTED,
                  "is in one shard more than the 512 that are supported");
    for (int i = 0; i <= TN_SAFETENSORS_MAX_SHARDS; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/x%d.safetensors", s.folder, i);
        unlink(path);
    }
    remove_shards(&s);
    tn_text_deinit(&index);
}

static void a_malformed_index_is_refused(void **state) {
    assert_refused_index(*state, "{\"weight_map\":{\"a\":1}}", TN_INVALID_DATA, "'weight_map.a' is 1, must be a string");
    assert_refused_index(*state, "{\"weight_map\":[]}", TN_INVALID_DATA, "'weight_map' is an array, must be an object");
    assert_refused_index(*state, "{}", TN_INVALID_DATA, "'weight_map' is missing");
    assert_refused_index(*state, "[]", TN_INVALID_DATA, "the document is an array, must be an object");
    assert_refused_index(*state, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"a\":\"s2.safetensors\"}}", TN_INVALID_DATA,
                         "a name stands twice");
    for (size_t size = 0; size < strlen(good_index); size++) {
        char *part = strndup(good_index, size);
        assert_refused_index(*state, part, TN_INVALID_DATA, "cannot read ");
        free(part);
    }
}

static void a_folder_without_a_model_is_not_found(void **state) {
    char folder[64];
    make_temporary_folder(folder);
    tn_safetensors *model;
    assert_failed(*state, tn_safetensors_open(folder, NULL, *state, &model), TN_NOT_FOUND,
                  "it has neither model.safetensors nor model.safetensors.index.json");
    remove_folder(folder, NULL, 0);
    assert_failed(*state, tn_safetensors_open(folder, NULL, *state, &model), TN_NOT_FOUND, folder);
}

static void file_that_shrinks_after_open_is_an_error_on_read(void **state) {
    shards s;
    make_shards(&s, good_index);
    char path[128];
    snprintf(path, sizeof path, "%s/s1.safetensors", s.folder);
    tn_safetensors *model;
    assert_ok(*state, tn_safetensors_open(path, NULL, *state, &model));
    assert_int_equal(truncate(path, 10), 0);
    uint8_t byte;
    assert_failed(*state, tn_safetensors_read(model, tn_safetensors_at(model, 0), 0, &byte, 1, *state), TN_INVALID_DATA, path);
    tn_safetensors_close(model);
    remove_shards(&s);
}

static void each_allocation_failing_in_turn_is_reported_without_leak(void **state) {
    shards s;
    make_shards(&s, good_index);
    tn_text file = {0};
    put_file(&file, good_header, 13);
    for (int form = 0; form < 4; form++) {
        for (size_t n = 1;; n++) {
            tn_fault_allocator fault;
            tn_fault_allocator_init(&fault, n);
            fault.keep_failing = form >= 2;
            tn_safetensors *model;
            tn_status status = form % 2 == 0 ? tn_safetensors_open(s.folder, &fault.allocator, *state, &model)
                                             : tn_safetensors_open_memory("m", file.data, file.size, &fault.allocator, *state, &model);
            if (!tn_fault_has_failed(&fault)) {
                assert_ok(*state, status);
                assert_true(n > 6);
                tn_safetensors_close(model);
                assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
                break;
            }
            assert_null(model);
            assert_failed(*state, status, TN_OUT_OF_MEMORY, "out of memory");
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        }
    }
    tn_text_deinit(&file);
    remove_shards(&s);
}

static void a_real_file_is_read(void **state) {
    tn_safetensors *model;
    assert_ok(*state, tn_safetensors_open(TN_TEST_DATA "/models/llama-gqa", NULL, *state, &model));
    const tn_safetensors_tensor *embedding = tn_safetensors_find(model, "model.embed_tokens.weight");
    assert_non_null(embedding);
    assert_int_equal(embedding->dims.rank, 2);
    assert_non_null(tn_safetensors_find(model, "model.layers.0.self_attn.q_proj.weight"));
    tn_safetensors_close(model);
}

/* The writer */

static tn_status write_sample(const char *path, const tn_allocator *allocator, tn_diag *diag) {
    tn_safetensors_writer *writer;
    tn_status status = tn_safetensors_writer_create(path, allocator, diag, &writer);
    if (status != TN_OK) return status;
    size_t w, scalar, empty;
    tn_safetensors_writer_add_metadata(writer, "format", "pt");
    tn_safetensors_writer_add_tensor(writer, "w \"quoted\"", TN_INT16, TN_DIMS(2, 3), &w);
    tn_safetensors_writer_add_metadata(writer, "more", "x");
    tn_safetensors_writer_add_tensor(writer, "scalar", TN_FLOAT64, TN_SCALAR, &scalar);
    tn_safetensors_writer_add_tensor(writer, "empty", TN_FLOAT32, TN_DIMS(0, 4), &empty);
    status = tn_safetensors_writer_write(writer, scalar, 0, "ABCDEFGH", 8);
    if (status == TN_OK) status = tn_safetensors_writer_write(writer, w, 4, "efghijkl", 8);
    if (status == TN_OK) status = tn_safetensors_writer_write(writer, w, 0, "abcd", 4);
    if (status == TN_OK) status = tn_safetensors_writer_commit(writer);
    tn_safetensors_writer_destroy(writer);
    return status;
}

static void the_reader_reads_what_the_writer_wrote(void **state) {
    char folder[64], path[128];
    make_temporary_folder(folder);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    assert_ok(*state, write_sample(path, NULL, *state));
    tn_safetensors *model;
    assert_ok(*state, tn_safetensors_open(path, NULL, *state, &model));
    assert_int_equal(tn_safetensors_num_tensors(model), 3);
    char bytes[12];
    const tn_safetensors_tensor *w = tn_safetensors_find(model, "w \"quoted\"");
    assert_non_null(w);
    assert_int_equal((w->offset) % 8, 0);
    assert_ok(*state, tn_safetensors_read(model, w, 0, bytes, 12, *state));
    assert_memory_equal(bytes, "abcdefghijkl", 12);
    assert_ok(*state, tn_safetensors_read(model, tn_safetensors_find(model, "scalar"), 0, bytes, 8, *state));
    assert_memory_equal(bytes, "ABCDEFGH", 8);
    tn_safetensors_close(model);
    remove_folder(folder, (const char *const[]){"m.safetensors"}, 1);
}

static void the_writer_refuses_what_is_missing_beyond_or_unknown(void **state) {
    char folder[64], path[128];
    make_temporary_folder(folder);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    tn_safetensors_writer *writer;
    size_t index;
    assert_ok(*state, tn_safetensors_writer_create(path, NULL, *state, &writer));
    tn_safetensors_writer_add_tensor(writer, "a", TN_UINT8, TN_DIMS(2), &index);
    assert_failed(*state, tn_safetensors_writer_commit(writer), TN_INVALID_ARGUMENT, "0 bytes of tensor 0 were written, it has 2");
    tn_safetensors_writer_destroy(writer);
    assert_int_equal(access(path, F_OK), -1);
    assert_ok(*state, tn_safetensors_writer_create(path, NULL, *state, &writer));
    tn_safetensors_writer_add_tensor(writer, "a", TN_UINT8, TN_DIMS(2), &index);
    assert_failed(*state, tn_safetensors_writer_write(writer, index, 1, "ab", 2), TN_INVALID_ARGUMENT,
                  "cannot write 2 bytes at 1 of tensor 0: it has 2");
    tn_safetensors_writer_destroy(writer);
    const tn_dtype dtypes[] = {TN_INT4, TN_Q15_32, TN_DTYPE_NONE, TN_FLOAT4_E2M1};
    for (size_t i = 0; i < 4; i++) {
        assert_ok(*state, tn_safetensors_writer_create(path, NULL, *state, &writer));
        tn_safetensors_writer_add_tensor(writer, "a", dtypes[i], TN_DIMS(3), NULL);
        assert_failed(*state, tn_safetensors_writer_commit(writer), TN_INVALID_ARGUMENT,
                      "cannot write tensor 'a': safetensors has no such dtype and shape");
        tn_safetensors_writer_destroy(writer);
    }
    remove_folder(folder, NULL, 0);
}

static void each_allocation_of_the_writer_failing_in_turn_leaves_no_file(void **state) {
    char folder[64], path[128];
    make_temporary_folder(folder);
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        fault.keep_failing = true;
        tn_status status = write_sample(path, &fault.allocator, *state);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_ok(*state, status);
            break;
        }
        assert_failed(*state, status, TN_OUT_OF_MEMORY, "out of memory");
        assert_int_equal(access(path, F_OK), -1);
    }
    remove_folder(folder, (const char *const[]){"m.safetensors"}, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tensors_are_found_with_their_shape_and_bytes),
        TEST(a_file_without_tensors_is_read),
        TEST(file_below_8_bytes_is_refused),
        TEST(header_length_out_of_bounds_is_refused),
        TEST(a_git_lfs_pointer_is_recognised),
        TEST(header_that_is_not_one_json_object_is_refused),
        TEST(deep_nesting_is_refused),
        TEST(duplicate_names_are_refused),
        TEST(metadata_that_is_not_strings_is_refused),
        TEST(dtype_unknown_or_missing_is_refused),
        TEST(shape_negative_float_huge_or_overflowing_is_refused),
        TEST(offsets_reversed_beyond_or_malformed_are_refused),
        TEST(overlap_gap_and_trailing_bytes_are_refused),
        TEST(more_than_a_million_tensors_are_refused_before_parsing),
        TEST(truncation_at_every_byte_is_refused),
        TEST(every_byte_changed_is_refused_or_harmless),
        TEST(shards_are_one_table),
        TEST(a_single_file_is_preferred_to_an_index),
        TEST(a_missing_shard_is_named),
        TEST(a_shard_outside_the_folder_is_refused),
        TEST(a_tensor_in_two_shards_is_refused),
        TEST(an_index_that_contradicts_its_shards_is_refused),
        TEST(more_shards_than_supported_are_refused),
        TEST(a_malformed_index_is_refused),
        TEST(a_folder_without_a_model_is_not_found),
        TEST(file_that_shrinks_after_open_is_an_error_on_read),
        TEST(each_allocation_failing_in_turn_is_reported_without_leak),
        TEST(a_real_file_is_read),
        TEST(the_reader_reads_what_the_writer_wrote),
        TEST(the_writer_refuses_what_is_missing_beyond_or_unknown),
        TEST(each_allocation_of_the_writer_failing_in_turn_leaves_no_file),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
