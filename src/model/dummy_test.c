/* SPDX-License-Identifier: Apache-2.0
 *
 * dummy_test.c: dummy models have the shapes they are named after, and the same values however they are read.
 */
#include "model/dummy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

typedef struct fixture {
    tn_arena arena;
    tn_model_config config;
    const tn_family *family;
    tn_weight_source *source;
} fixture;

static void open_dummy(fixture *f, const char *name) {
    *f = (fixture){0};
    assert_int_equal(tn_dummy_config(name, &f->arena, NULL, &f->config, &f->family), TN_OK);
    assert_int_equal(tn_dummy_source_create(&f->config, f->family, NULL, NULL, &f->source), TN_OK);
}

static void close_dummy(fixture *f) {
    tn_weight_source_destroy(f->source);
    tn_arena_deinit(&f->arena);
}

static void every_name_makes_its_network(void **state) {
    (void)state;
    for (const char *const *name = tn_dummy_names(); *name != NULL; name++) {
        tn_model *model;
        tn_model_options options;
        tn_model_networks networks;
        tn_model_options_init(&options);
        options.max_seq_len = 256;
        assert_int_equal(tn_model_open_dummy(*name, NULL, NULL, &model), TN_OK);
        assert_int_equal(tn_model_make_networks(model, &options, NULL, &networks), TN_OK);
        tn_model_networks_deinit(model, &networks);
        tn_model_close(model);
    }
}

static void the_weights_have_the_published_size(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t parameters;
    } published[] = {{"llama-3.1-8b", 8030261248},
                     {"llama-3.2-1b", 1235814400},
                     {"gpt-j-6b", 6050882784},
                     {"qwen3-30b-a3b", 30532122624},
                     {"falcon-180b", 179522565120}};
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        fixture f;
        open_dummy(&f, published[i].name);
        assert_int_equal(tn_dummy_weight_bytes(f.source), 2 * published[i].parameters);
        close_dummy(&f);
    }
}

static void values_do_not_depend_on_the_pieces_they_are_read_in(void **state) {
    (void)state;
    fixture f;
    open_dummy(&f, "llama-3.2-1b");
    const char *name = "model.layers.3.self_attn.q_proj.weight";
    unsigned char whole[999], pieces[999];
    assert_int_equal(f.source->read(f.source, name, TN_PART_DATA, 4001, sizeof whole, whole, NULL), TN_OK);
    for (size_t at = 0, step = 1; at < sizeof pieces; at += step, step = step % 13 + 1) {
        if (at + step > sizeof pieces) step = sizeof pieces - at;
        assert_int_equal(f.source->read(f.source, name, TN_PART_DATA, 4001 + at, step, pieces + at, NULL), TN_OK);
    }
    assert_memory_equal(whole, pieces, sizeof whole);
    close_dummy(&f);
}

static void values_have_the_scale_that_keeps_sums_level(void **state) {
    (void)state;
    fixture f;
    open_dummy(&f, "llama-3.2-1b");
    enum { COUNT = 65536 };
    static uint16_t bits[COUNT];
    assert_int_equal(f.source->read(f.source, "model.layers.0.mlp.up_proj.weight", TN_PART_DATA, 0, sizeof bits, bits, NULL), TN_OK);
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        uint32_t wide = (uint32_t)bits[i] << 16;
        float value;
        memcpy(&value, &wide, sizeof value);
        sum += (double)value;
        squares += (double)value * (double)value;
    }
    assert_true(fabs(sum / COUNT) < 0.001);
    assert_true(fabs(squares / COUNT * 2048 - 1) < 0.02); /* variance 1 / columns */
    close_dummy(&f);
}

static void an_unknown_name_or_tensor_is_refused(void **state) {
    (void)state;
    fixture f = {0};
    tn_diag *diag;
    tn_diag_entry entry;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_dummy_config("llama-9", &f.arena, diag, &f.config, &f.family), TN_NOT_FOUND);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot make a dummy model: there is no shape 'llama-9'");
    assert_non_null(strstr(entry.hint, "llama-3.1-8b"));
    tn_diag_destroy(diag);
    tn_arena_deinit(&f.arena);
    open_dummy(&f, "llama-3.1-8b");
    tn_weight_desc desc;
    assert_int_equal(f.source->find(f.source, "model.layers.32.mlp.up_proj.weight", &desc), TN_NOT_FOUND);
    assert_int_equal(f.source->find(f.source, "model.layers.x.mlp.up_proj.weight", &desc), TN_NOT_FOUND);
    assert_int_equal(f.source->find(f.source, "model.layers.0.mlp.up_proj.bias", &desc), TN_NOT_FOUND);
    assert_int_equal(f.source->find(f.source, "model.layers.31.mlp.up_proj.weight", &desc), TN_OK);
    close_dummy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_makes_its_network),
        cmocka_unit_test(the_weights_have_the_published_size),
        cmocka_unit_test(values_do_not_depend_on_the_pieces_they_are_read_in),
        cmocka_unit_test(values_have_the_scale_that_keeps_sums_level),
        cmocka_unit_test(an_unknown_name_or_tensor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
