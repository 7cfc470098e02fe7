/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_writer_test.c: what the writer writes, the reader reads.
 */
#include "format/gguf_writer.h"

#include "format/testing.h"
#include "support/fault_allocator.h"

typedef struct folder {
    char path[64], file[128];
} folder;

static void make_folder(folder *out) {
    make_temporary_folder(out->path);
    snprintf(out->file, sizeof out->file, "%s/m.gguf", out->path);
}

static void remove_it(const folder *f) {
    remove_folder(f->path, (const char *const[]){"m.gguf"}, 1);
}

/* One entry of each kind, three tensors; the bytes are written back to front and in pieces. */
static tn_status write_sample(const char *path, uint32_t alignment, const tn_allocator *allocator, tn_diag *diag) {
    tn_gguf_writer *writer;
    tn_status status = tn_gguf_writer_create(path, alignment, allocator, diag, &writer);
    if (status != TN_OK) return status;
    tn_gguf_writer_add_string(writer, "general.architecture", "llama", 5);
    tn_gguf_writer_add_integer(writer, "u8", TN_GGUF_UINT8, 200);
    tn_gguf_writer_add_integer(writer, "i16", TN_GGUF_INT16, -2);
    tn_gguf_writer_add_integer(writer, "u64", TN_GGUF_UINT64, INT64_MAX);
    tn_gguf_writer_add_float(writer, "f", 1.5f);
    tn_gguf_writer_add_bool(writer, "b", true);
    tn_gguf_writer_add_string_array(writer, "tokens", (const char *const[]){"x", "", "yz"}, 3);
    tn_gguf_writer_add_array(writer, "types", TN_GGUF_INT32, (const int32_t[]){1, -1}, 2);
    tn_gguf_writer_add_array(writer, "bytes", TN_GGUF_UINT8, "ab", 2);
    size_t a, b, c;
    tn_gguf_writer_add_tensor(writer, "a", TN_GGML_F32, TN_DIMS(3), &a);
    tn_gguf_writer_add_tensor(writer, "b", TN_GGML_Q8_0, TN_DIMS(2, 32), &b);
    tn_gguf_writer_add_tensor(writer, "c", TN_GGML_F16, TN_DIMS(1, 2, 3), &c);
    uint8_t bytes[68];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i + 1);
    status = tn_gguf_writer_write(writer, c, 0, bytes, 12);
    if (status == TN_OK) status = tn_gguf_writer_write(writer, b, 34, bytes + 34, 34);
    if (status == TN_OK) status = tn_gguf_writer_write(writer, b, 0, bytes, 34);
    if (status == TN_OK) status = tn_gguf_writer_write(writer, a, 0, bytes, 12);
    if (status == TN_OK) status = tn_gguf_writer_commit(writer);
    tn_gguf_writer_destroy(writer);
    return status;
}

static void the_reader_reads_what_the_writer_wrote(void **state) {
    const uint32_t alignments[] = {1, 32, 4096};
    for (size_t i = 0; i < 3; i++) {
        folder f;
        make_folder(&f);
        assert_ok(*state, write_sample(f.file, alignments[i], NULL, *state));
        tn_gguf *gguf;
        assert_ok(*state, tn_gguf_open(f.file, NULL, *state, &gguf));
        assert_int_equal(tn_gguf_alignment(gguf), alignments[i]);
        int64_t integer;
        double number;
        bool flag;
        assert_ok(*state, tn_gguf_get_integer(gguf, "u8", 0, 255, *state, &integer));
        assert_int_equal(integer, 200);
        assert_ok(*state, tn_gguf_get_integer(gguf, "i16", -9, 255, *state, &integer));
        assert_int_equal(integer, -2);
        assert_ok(*state, tn_gguf_get_integer(gguf, "u64", 0, INT64_MAX, *state, &integer));
        assert_true(integer == INT64_MAX);
        assert_ok(*state, tn_gguf_get_number(gguf, "f", 0, 9, *state, &number));
        assert_true(number == 1.5);
        assert_ok(*state, tn_gguf_get_bool(gguf, "b", *state, &flag));
        assert_true(flag);
        const tn_gguf_value *array;
        size_t size;
        assert_ok(*state, tn_gguf_get_array(gguf, "tokens", TN_GGUF_STRING, *state, &array));
        assert_memory_equal(tn_gguf_string(array, 2, &size), "yz", 2);
        assert_ok(*state, tn_gguf_get_array(gguf, "types", TN_GGUF_INT64, *state, &array));
        assert_true(tn_gguf_integer(array, 1, &integer) && integer == -1);
        assert_ok(*state, tn_gguf_get_array(gguf, "bytes", TN_GGUF_INT64, *state, &array));
        assert_true(tn_gguf_integer(array, 1, &integer) && integer == 'b');
        const tn_gguf_tensor *b = tn_gguf_find_tensor(gguf, "b");
        assert_int_equal(b->dims.d[0], 2);
        assert_int_equal(b->dims.d[1], 32);
        uint8_t bytes[68];
        assert_ok(*state, tn_gguf_read(gguf, b, 0, bytes, sizeof bytes, *state));
        for (size_t j = 0; j < sizeof bytes; j++) assert_int_equal(bytes[j], j + 1);
        const tn_gguf_tensor *c = tn_gguf_find_tensor(gguf, "c");
        assert_ok(*state, tn_gguf_read(gguf, c, 0, bytes, 12, *state));
        assert_int_equal(bytes[11], 12);
        assert_int_equal(c->ne[0], 3);
        tn_gguf_close(gguf);
        remove_it(&f);
    }
}

static void a_tensor_with_missing_bytes_is_refused_at_commit_and_leaves_no_file(void **state) {
    folder f;
    make_folder(&f);
    tn_gguf_writer *writer;
    size_t index;
    assert_ok(*state, tn_gguf_writer_create(f.file, 32, NULL, *state, &writer));
    tn_gguf_writer_add_tensor(writer, "a", TN_GGML_F32, TN_DIMS(3), &index);
    assert_ok(*state, tn_gguf_writer_write(writer, index, 0, "12345678", 8));
    assert_failed(*state, tn_gguf_writer_commit(writer), TN_INVALID_ARGUMENT, "8 bytes of tensor 0 were written, it has 12");
    tn_gguf_writer_destroy(writer);
    assert_int_equal(access(f.file, F_OK), -1);
    remove_it(&f);
}

static void a_write_beyond_the_tensor_is_refused(void **state) {
    folder f;
    make_folder(&f);
    tn_gguf_writer *writer;
    size_t index;
    assert_ok(*state, tn_gguf_writer_create(f.file, 32, NULL, *state, &writer));
    tn_gguf_writer_add_tensor(writer, "a", TN_GGML_F32, TN_DIMS(1), &index);
    assert_failed(*state, tn_gguf_writer_write(writer, index, 1, "1234", 4), TN_INVALID_ARGUMENT,
                  "cannot write 4 bytes at 1 of tensor 0: it has 4");
    tn_gguf_writer_destroy(writer);
    assert_ok(*state, tn_gguf_writer_create(f.file, 32, NULL, *state, &writer));
    tn_gguf_writer_add_tensor(writer, "a", TN_GGML_F32, TN_DIMS(1), &index);
    assert_failed(*state, tn_gguf_writer_write(writer, index, UINT64_MAX, "1", 1), TN_INVALID_ARGUMENT, "cannot write 1 bytes");
    tn_gguf_writer_destroy(writer);
    remove_it(&f);
}

static void a_shape_or_alignment_that_gguf_lacks_is_refused(void **state) {
    folder f;
    make_folder(&f);
    const tn_dims dims[] = {TN_DIMS(2, 33), TN_DIMS(1, 1, 1, 1, 32), TN_SCALAR, TN_DIMS(0, 32)};
    for (size_t i = 0; i < 4; i++) {
        tn_gguf_writer *writer;
        assert_ok(*state, tn_gguf_writer_create(f.file, 32, NULL, *state, &writer));
        tn_gguf_writer_add_tensor(writer, "a", TN_GGML_Q4_0, dims[i], NULL);
        assert_failed(*state, tn_gguf_writer_commit(writer), TN_INVALID_ARGUMENT,
                      "cannot write tensor 'a': GGUF has no such type and shape");
        tn_gguf_writer_destroy(writer);
    }
    const uint32_t alignments[] = {0, 33, 131072};
    for (size_t i = 0; i < 3; i++) {
        tn_gguf_writer *writer;
        assert_failed(*state, tn_gguf_writer_create(f.file, alignments[i], NULL, *state, &writer), TN_INVALID_ARGUMENT,
                      "must be a power of two up to 65536");
        assert_null(writer);
    }
    tn_gguf_writer_destroy(NULL);
    remove_it(&f);
}

static void each_allocation_failing_in_turn_is_reported_and_leaves_no_file(void **state) {
    folder f;
    make_folder(&f);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        fault.keep_failing = true;
        tn_status status = write_sample(f.file, 64, &fault.allocator, *state);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_ok(*state, status);
            break;
        }
        assert_failed(*state, status, TN_OUT_OF_MEMORY, "out of memory");
        assert_int_equal(access(f.file, F_OK), -1);
    }
    remove_it(&f);
}

/* Part `no` of `count` with one tensor of that value. */
static void write_part(const folder *f, const char *name, int64_t no, int64_t count, const char *tensor, float value, tn_diag *diag) {
    char path[160];
    tn_gguf_writer *writer;
    size_t index;
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    assert_ok(diag, tn_gguf_writer_create(path, 32, NULL, diag, &writer));
    if (no == 0) tn_gguf_writer_add_string(writer, "general.architecture", "llama", 5);
    tn_gguf_writer_add_integer(writer, "split.no", TN_GGUF_UINT16, no);
    tn_gguf_writer_add_integer(writer, "split.count", TN_GGUF_UINT16, count);
    tn_gguf_writer_add_tensor(writer, tensor, TN_GGML_F32, TN_DIMS(1), &index);
    assert_ok(diag, tn_gguf_writer_write(writer, index, 0, &value, sizeof value));
    assert_ok(diag, tn_gguf_writer_commit(writer));
    tn_gguf_writer_destroy(writer);
}

static const char *const part_names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf", "m.gguf"};

static tn_status open_part(const folder *f, int part, tn_diag *diag, tn_gguf **out_gguf) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", f->path, part_names[part]);
    return tn_gguf_open(path, NULL, diag, out_gguf);
}

static void the_parts_of_a_split_model_are_one_table(void **state) {
    folder f;
    tn_gguf *gguf;
    make_folder(&f);
    static const char *const tensors[] = {"c", "a", "b"};
    for (int i = 0; i < 3; i++) write_part(&f, part_names[i], i, 3, tensors[i], (float)i, *state);
    assert_ok(*state, open_part(&f, 0, *state, &gguf));
    assert_int_equal(tn_gguf_num_tensors(gguf), 3);
    assert_non_null(tn_gguf_find(gguf, "general.architecture"));
    for (int i = 0; i < 3; i++) {
        float value = -1.0f;
        const tn_gguf_tensor *tensor = tn_gguf_find_tensor(gguf, tensors[i]);
        assert_non_null(tensor);
        assert_ok(*state, tn_gguf_read(gguf, tensor, 0, &value, sizeof value, *state));
        assert_true(value == (float)i);
        assert_non_null(strstr(tn_gguf_tensor_path(gguf, tensor), part_names[i]));
    }
    assert_ok(*state, tn_gguf_map(gguf, *state));
    assert_non_null(tn_gguf_data(gguf, tn_gguf_find_tensor(gguf, "b")));
    tn_gguf_close(gguf);
    remove_folder(f.path, part_names, 3);
}

static void parts_that_do_not_belong_together_are_refused(void **state) {
    folder f;
    tn_gguf *gguf;
    make_folder(&f);
    write_part(&f, part_names[0], 0, 3, "a", 0.0f, *state);
    assert_failed(*state, open_part(&f, 0, *state, &gguf), TN_NOT_FOUND, part_names[1]);
    write_part(&f, part_names[1], 2, 3, "b", 0.0f, *state);
    assert_failed(*state, open_part(&f, 0, *state, &gguf), TN_INVALID_DATA, "it says that it is part 3 of 3, wanted is part 2 of 3");
    assert_failed(*state, open_part(&f, 1, *state, &gguf), TN_INVALID_ARGUMENT, "it is part 3 of 3 of a split model");
    write_part(&f, part_names[1], 1, 3, "b", 0.0f, *state);
    write_part(&f, part_names[2], 2, 3, "a", 0.0f, *state);
    assert_failed(*state, open_part(&f, 0, *state, &gguf), TN_INVALID_DATA, "the tensor name 'a' stands twice");
    write_part(&f, part_names[3], 0, 3, "a", 0.0f, *state);
    assert_failed(*state, open_part(&f, 3, *state, &gguf), TN_INVALID_DATA, "its name does not end in '-00001-of-00003.gguf'");
    assert_null(gguf);
    remove_folder(f.path, part_names, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_reader_reads_what_the_writer_wrote),
        TEST(a_tensor_with_missing_bytes_is_refused_at_commit_and_leaves_no_file),
        TEST(a_write_beyond_the_tensor_is_refused),
        TEST(a_shape_or_alignment_that_gguf_lacks_is_refused),
        TEST(each_allocation_failing_in_turn_is_reported_and_leaves_no_file),
        TEST(the_parts_of_a_split_model_are_one_table),
        TEST(parts_that_do_not_belong_together_are_refused),
    };
    return cmocka_run_group_tests_name("gguf_writer", tests, NULL, NULL);
}
