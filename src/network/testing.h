/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what this module's tests share: a network with a diag, short adders, assertions on messages and types.
 */
#ifndef TN_NETWORK_TESTING_H_
#define TN_NETWORK_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"
#include "network/network.h"

typedef struct fixture {
    tn_network *net;
    tn_diag *diag;
} fixture;

static inline int setup(void **state) {
    static fixture f;
    tn_network_options options;
    tn_network_options_init(&options);
    if (tn_diag_create(NULL, &f.diag) != TN_OK) return 1;
    options.diag = f.diag;
    *state = &f;
    return tn_network_create(&options, &f.net) == TN_OK ? 0 : 1;
}

static inline int teardown(void **state) {
    fixture *f = *state;
    tn_network_destroy(f->net);
    tn_diag_destroy(f->diag);
    return 0;
}

/* The last message; "" if there is none. */
static inline const char *last_message(const fixture *f) {
    tn_diag_entry entry = {.message = ""};
    size_t count = tn_diag_num_entries(f->diag);
    if (count > 0) (void)tn_diag_get(f->diag, count - 1, &entry);
    return entry.message;
}

#define assert_message(f, part)                                                                    \
    do {                                                                                           \
        if (strstr(last_message(f), (part)) == NULL) fail_msg("message is '%s'", last_message(f)); \
    } while (0)

static inline tn_tensor *output(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

static inline tn_tensor *add_input(fixture *f, const char *name, tn_dims dims) {
    return tn_network_add_input(f->net, name, TN_FLOAT32, dims);
}

static inline tn_tensor *add(fixture *f, tn_tensor *a, tn_tensor *b) {
    return output(tn_network_add_elementwise(f->net, a, b, TN_ELEMENTWISE_SUM));
}

static inline tn_tensor *add_floats(fixture *f, tn_dims dims, const char *name) {
    static const float zeros[4096];
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.d[i];
    return output(
        tn_network_add_constant(f->net, dims, &(tn_weights_data){.dtype = TN_FLOAT32, .data = zeros, .count = count, .name = name}));
}

static inline tn_tensor *add_int64s(fixture *f, const int64_t *values, int64_t count) {
    return output(tn_network_add_constant(f->net, TN_DIMS(count), &(tn_weights_data){.dtype = TN_INT64, .data = values, .count = count}));
}

static inline void assert_dims(const tn_tensor *tensor, tn_dims expected) {
    assert_non_null(tensor);
    tn_dims dims = tn_tensor_dims(tensor);
    assert_int_equal(dims.rank, expected.rank);
    for (int i = 0; i < dims.rank; i++) assert_int_equal(dims.d[i], expected.d[i]);
}

static inline void assert_type(const tn_tensor *tensor, const char *expected) {
    tn_text text = {0};
    assert_non_null(tensor);
    tn_tensor_print_type(tensor, &text);
    assert_string_equal(text.data, expected);
    tn_text_deinit(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
