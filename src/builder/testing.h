/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what this module's tests share: a device whose tactics and layouts a test chooses, and small networks.
 */
#ifndef TN_BUILDER_TESTING_H_
#define TN_BUILDER_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "network/network.h"
#include "plan/plan.h"
#include "tenon/builder.h"

enum { MAX_FAKE_TACTICS = 64, MAX_FAKE_LAYOUTS = 4 };

/* The ref device with other tables. Tactics that ref has not run as ref's do. */
typedef struct fake_device {
    tn_backend backend;
    const tn_tactic *tactics[MAX_FAKE_TACTICS];
    const tn_layout *layouts[MAX_FAKE_LAYOUTS];
    tn_device *device;
} fake_device;

static inline void fake_device_open(fake_device *fake) {
    const tn_backend *ref = tn_backend_find("ref");
    assert_int_equal(tn_device_create("ref", NULL, &fake->device), TN_OK);
    fake->backend = *fake->device->backend;
    for (size_t i = 0; i < ref->num_tactics; i++) fake->tactics[i] = ref->tactics[i];
    fake->backend.tactics = fake->tactics;
    fake->backend.num_tactics = ref->num_tactics;
    fake->backend.layouts = fake->layouts;
    fake->backend.num_layouts = 0;
    static const int64_t range_ends[] = {1, 4, 32};
    fake->backend.range_ends = range_ends;
    fake->backend.num_range_ends = 3;
    fake->device->backend = &fake->backend;
}

static inline void fake_add_tactic(fake_device *fake, const tn_tactic *tactic) {
    fake->tactics[fake->backend.num_tactics++] = tactic;
}

static inline void fake_remove_op(fake_device *fake, tn_op_kind op) {
    size_t kept = 0;
    for (size_t i = 0; i < fake->backend.num_tactics; i++)
        if (fake->tactics[i]->op != op) fake->tactics[kept++] = fake->tactics[i];
    fake->backend.num_tactics = kept;
}

static inline void fake_device_close(fake_device *fake) {
    tn_device_destroy(fake->device);
}

typedef struct fixture {
    fake_device fake;
    tn_diag *diag;
    tn_builder *builder;
    tn_builder_config *config;
    char path[80];
} fixture;

static inline void make_builder(fixture *f, const tn_allocator *allocator) {
    tn_builder_options options;
    tn_builder_options_init(&options);
    options.device = f->fake.device;
    options.diag = f->diag;
    options.allocator = allocator;
    assert_int_equal(tn_builder_create(&options, &f->builder), TN_OK);
    assert_int_equal(tn_builder_config_create(f->builder, &f->config), TN_OK);
    tn_builder_config_set_optimization_level(f->config, 0);
}

static inline int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->path, sizeof f->path, "/tmp/tenon-builder-%d", (int)getpid());
    fake_device_open(&f->fake);
    if (tn_diag_create(NULL, &f->diag) != TN_OK) return -1;
    make_builder(f, NULL);
    return 0;
}

static inline int tear_down(void **state) {
    fixture *f = *state;
    tn_builder_config_destroy(f->config);
    tn_builder_destroy(f->builder);
    tn_diag_destroy(f->diag);
    fake_device_close(&f->fake);
    (void)unlink(f->path);
    free(f);
    return 0;
}

static inline tn_network *make_network(const char *name) {
    tn_network_options options;
    tn_network *network;
    tn_network_options_init(&options);
    options.name = name;
    assert_int_equal(tn_network_create(&options, &network), TN_OK);
    return network;
}

static inline tn_tensor *first(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

enum { IN = 32, OUT = 64 };
static float matrix[OUT * IN];

/* y = relu(x · wᵀ), x [batch, 32] */
static inline tn_network *linear_network(const char *name, const float *w, const char *weight_name) {
    tn_network *net = make_network(name);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, IN));
    tn_tensor_set_dim_name(x, 0, "batch");
    tn_layer *weight = tn_network_add_constant(net, TN_DIMS(OUT, IN), &(tn_weights_data){TN_FLOAT32, w, OUT * IN, weight_name});
    tn_layer *mm = tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, first(weight), TN_MATRIX_TRANSPOSE);
    tn_layer *norm = tn_network_add_softmax(net, first(mm), -1);
    tn_network_mark_output(net, first(norm), "y");
    return net;
}

static inline void set_batch(fixture *f, int64_t min, int64_t opt, int64_t max) {
    tn_profile_set_dim(tn_builder_config_add_profile(f->config), "batch", min, opt, max);
}

static inline tn_plan *build(fixture *f, tn_network *network) {
    tn_plan *plan;
    assert_int_equal(tn_builder_build(f->builder, network, f->config, &plan), TN_OK);
    tn_network_destroy(network);
    return plan;
}

static inline void assert_refused(fixture *f, tn_network *network, tn_status status) {
    tn_plan *plan;
    assert_int_equal(tn_builder_build(f->builder, network, f->config, &plan), status);
    assert_null(plan);
    tn_network_destroy(network);
}

static inline bool diag_says(const tn_diag *diag, const char *words) {
    tn_diag_entry entry;
    for (size_t i = 0; tn_diag_get(diag, i, &entry) == TN_OK; i++)
        if (strstr(entry.message, words) != NULL) return true;
    for (size_t i = 0; tn_diag_get(diag, i, &entry) == TN_OK; i++) print_error("wanted '%s', got: %s\n", words, entry.message);
    return false;
}

/* The step of that name; fails the test if there is none. */
static inline const tn_plan_step *find_step(const tn_plan *plan, const char *part) {
    const tn_plan_view *view = tn_plan_get_view(plan);
    for (uint32_t i = 0; i < view->num_steps; i++)
        if (strstr(tn_plan_string(view, view->steps[i].problem), part) == tn_plan_string(view, view->steps[i].problem) &&
            view->steps[i].kind == TN_STEP_LAUNCH)
            return &view->steps[i];
    fail_msg("the plan has no %s", part);
    return NULL;
}

static inline const char *tactic_of(const tn_plan *plan, const char *op, uint32_t variant) {
    const tn_plan_view *view = tn_plan_get_view(plan);
    const tn_plan_step *step = find_step(plan, op);
    assert_true(variant < step->num_variants);
    return tn_plan_string(view, view->variants[step->first_variant + variant].tactic);
}

#endif
