/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: plans by hand and devices for the tests of this folder.
 */
#ifndef TN_RUNTIME_TESTING_H_
#define TN_RUNTIME_TESTING_H_

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
#include "runtime/runtime.h"
#include "support/fault_allocator.h"
#include "support/plan_maker.h"

/* The backend's first tactic for an operation. */
static inline const tn_tactic *tactic_for(const char *backend, tn_op_kind op) {
    const tn_backend *found = tn_backend_find(backend);
    assert_non_null(found);
    for (size_t i = 0; i < found->num_tactics; i++)
        if (found->tactics[i]->op == op) return found->tactics[i];
    fail_msg("%s has no tactic for %s", backend, tn_op_get_info(op)->name);
    return NULL;
}

/* A launch on the device, by that tactic. */
static inline uint32_t add_launch(tn_plan_maker *maker, const char *name, tn_op_kind op, const char *problem, uint32_t num_refs,
                                  const uint32_t (*refs)[2]) {
    const tn_tactic *tactic = tactic_for(maker->header.backend, op);
    return tn_maker_launch(maker, name, problem, tactic->name, tactic->version, num_refs, refs);
}

/* y[n, 4] = relu(x[n, 4]) · w[1, 4]; n from 1 to 8 in profile 0 (named "batch"), from 9 to 16 in profile 1. a, the activation
 * between, is a debug tensor. */
static inline void make_scale_plan(tn_plan_maker *maker, const char *backend) {
    static const float weight[4] = {1, 2, 3, 4};
    static const int64_t weight_dims[2] = {1, 4};
    tn_plan_maker_init(maker, backend);
    (void)tn_maker_weight(maker, "w", "float32", "float32", 2, weight_dims, weight, sizeof weight, "load(\"w\" float32[1,4])");
    tn_maker_begin_function(maker, "forward");
    uint32_t n = tn_maker_input_dim(maker, 0, 0), four = tn_maker_const(maker, 4);
    tn_maker_tensor(maker, "x", "float32", TN_SPACE_INPUT, 2, (uint32_t[]){n, four});
    tn_maker_tensor(maker, "y", "float32", TN_SPACE_OUTPUT, 2, (uint32_t[]){n, four});
    tn_maker_tensor(maker, "a", "float32", TN_SPACE_ACTIVATION, 2, (uint32_t[]){n, four});
    maker->tensors.data[0].dim_names[0] = tn_maker_string(maker, "batch");
    maker->tensors.data[2].flags = TN_TENSOR_DEBUG;
    tn_maker_profile(maker, 0, 0, 0, 1, 2, 8);
    tn_maker_profile(maker, 1, 0, 0, 9, 9, 16);
    add_launch(maker, "relu", TN_OP_ACTIVATION, "activation{type=relu} float32[s1,4] -> float32[s1,4]", 2,
               (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}});
    add_launch(maker, "scale", TN_OP_ELEMENTWISE, "elementwise{op=prod} float32[s1,4] float32:plain[1,4] -> float32[s1,4]", 3,
               (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_OUTPUT, 1}});
    tn_plan_variant first = maker->variants.data[0], second = maker->variants.data[1];
    maker->variants.count = 0;
    for (uint32_t i = 0; i < 4; i++) { /* each step for both profiles */
        tn_plan_variant variant = i < 2 ? first : second;
        variant.profile = i % 2;
        assert_true(tn_array_push(NULL, &maker->variants, variant));
        maker->steps.data[i / 2].first_variant = i / 2 * 2;
        maker->steps.data[i / 2].num_variants = 2;
    }
    tn_maker_end_function(maker);
}

static inline const char *message_of(const tn_diag *diag, size_t index) {
    tn_diag_entry entry;
    return tn_diag_get(diag, index, &entry) == TN_OK ? entry.message : "";
}

static inline bool diag_says(const tn_diag *diag, const char *words) {
    for (size_t i = 0; i < tn_diag_num_entries(diag); i++)
        if (strstr(message_of(diag, i), words) != NULL) return true;
    print_error("wanted '%s', got: %s\n", words, message_of(diag, 0));
    return false;
}

/* Plan bytes that live as long as the test wants. */
typedef struct test_plan {
    void *bytes;
    size_t size;
} test_plan;

static inline test_plan finish_plan(tn_plan_maker *maker) {
    test_plan plan;
    plan.bytes = tn_plan_maker_finish(maker, &plan.size);
    tn_plan_maker_deinit(maker);
    return plan;
}

static inline tn_engine *load_engine(const test_plan *plan, tn_device *device, tn_diag *diag) {
    tn_engine_options options;
    tn_engine *engine;
    tn_engine_options_init(&options);
    options.device = device;
    options.diag = diag;
    assert_int_equal(tn_engine_load_memory(plan->bytes, plan->size, &options, &engine), TN_OK);
    return engine;
}

static inline tn_context *make_context(tn_engine *engine, const char *function, int profile, tn_diag *diag) {
    tn_context_options options;
    tn_context *context;
    tn_context_options_init(&options);
    options.function = function;
    options.profile = profile;
    options.diag = diag;
    assert_int_equal(tn_context_create(engine, &options, &context), TN_OK);
    return context;
}

/* The devices that every test of a group runs on. `async` is ref with memory that host code cannot read. */
typedef struct test_device {
    const char *backend;
    bool async;
} test_device;
static const test_device test_devices[] = {{"ref", false}, {"ref", true}, {"cpu", false}};

/* NULL if this build has no such device. */
static inline tn_device *try_device(const test_device *kind) {
    tn_device_options options;
    tn_device *device = NULL;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_device_options_init(&options);
    options.diag = diag;
    options.async = kind->async;
    options.async_seed = 7;
    options.num_threads = 2;
    tn_status status = tn_device_create(kind->backend, &options, &device);
    if (status != TN_OK) print_message("skipped: no device %s%s: %s\n", kind->backend, kind->async ? " async" : "", message_of(diag, 0));
    tn_diag_destroy(diag);
    return device;
}

#endif
