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

#include "runtime/runtime.h"
#include "support/fault_allocator.h"
#include "support/plan_maker.h"

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
    tn_maker_launch(maker, "relu", "activation{type=relu} float32[s1,4] -> float32[s1,4]", "ref_activation", 1, 2,
                    (const uint32_t[][2]){{TN_SPACE_INPUT, 0}, {TN_SPACE_ACTIVATION, 2}});
    tn_maker_launch(maker, "scale", "elementwise{op=prod} float32[s1,4] float32:plain[1,4] -> float32[s1,4]", "ref_elementwise", 1, 3,
                    (const uint32_t[][2]){{TN_SPACE_ACTIVATION, 2}, {TN_SPACE_WEIGHT, 0}, {TN_SPACE_OUTPUT, 1}});
    for (size_t i = 0, count = maker->variants.count; i < count; i++) { /* the same for profile 1, behind each other by step */
        tn_plan_variant variant = maker->variants.data[i];
        assert_true(tn_array_push(NULL, &maker->variants, variant));
    }
    for (size_t i = 0; i < 2; i++) {
        maker->variants.data[2 * i].tactic = maker->variants.data[2 * i + 1].tactic =
            tn_maker_string(maker, i == 0 ? "ref_activation" : "ref_elementwise");
        maker->variants.data[2 * i + 1].profile = 1;
        maker->steps.data[i].first_variant = (uint32_t)(2 * i);
        maker->steps.data[i].num_variants = 2;
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

static inline tn_device *make_device(const char *backend, bool async) {
    tn_device_options options;
    tn_device *device;
    tn_device_options_init(&options);
    options.async = async;
    options.async_seed = 7;
    assert_int_equal(tn_device_create(backend, &options, &device), TN_OK);
    return device;
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

#endif
