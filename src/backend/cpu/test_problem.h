/* SPDX-License-Identifier: Apache-2.0
 *
 * test_problem.h: problems made by hand, for the tests and benchmarks of this folder.
 *
 *     test_problem t;
 *     test_problem_init(&t, TN_OP_MATRIX_MULTIPLY);
 *     t.params.matrix_multiply.op_b = TN_MATRIX_TRANSPOSE;
 *     test_add_input(&t, TN_Q15_32, TN_DIMS(rows, k), x);
 *     test_add_weight(&t, &encoding, TN_DIMS(n, k), packed);
 *     test_add_output(&t, TN_FLOAT32, TN_DIMS(rows, n), y);
 *     test_run(&t, device, &tn_cpu_tactic_matmul_q15);
 */
#ifndef TN_BACKEND_CPU_TEST_PROBLEM_H_
#define TN_BACKEND_CPU_TEST_PROBLEM_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/device.h"
#include "backend/cpu/layout_strip16.h"
#include "backend/cpu/tactics/tactics.h"
#include "op/quantized_rows.h"
#include "op/testing.h"

enum { TEST_MAX_OPERANDS = 16, TEST_MAX_VALUES = 96 };

typedef struct test_problem {
    tn_problem problem;
    tn_op_params params;
    tn_operand operands[TEST_MAX_OPERANDS];
    tn_epilogue epilogues[TN_MAX_EPILOGUES];
    int64_t values[TEST_MAX_VALUES]; /* a symbol for each number; 0 is the constant 1 */
    uint32_t num_values;
    void *buffers[TEST_MAX_OPERANDS + 1];
    void *workspace;
    tn_launch launch;
    tn_bound_step step;
} test_problem;

static inline void test_problem_init(test_problem *t, tn_op_kind op) {
    memset(t, 0, sizeof *t);
    t->values[0] = 1;
    t->num_values = 1;
    t->problem.op = op;
    t->problem.params = &t->params;
    t->problem.operands = t->operands;
    t->problem.epilogues = t->epilogues;
    t->problem.compute.batch_invariant = true;
}

static inline tn_operand *test_add(test_problem *t, tn_dtype dtype, tn_operand_role role, tn_dims dims, void *buffer) {
    tn_operand *operand = &t->operands[t->problem.num_operands];
    operand->dtype = dtype;
    operand->role = (uint8_t)role;
    operand->rank = (uint8_t)dims.rank;
    for (int i = 0; i < dims.rank; i++) {
        uint32_t symbol = 0;
        while (symbol < t->num_values && t->values[symbol] != dims.d[i]) symbol++;
        if (symbol == t->num_values) t->values[t->num_values++] = dims.d[i];
        operand->dims[i] = symbol;
    }
    t->buffers[t->problem.num_operands++] = buffer;
    return operand;
}
static inline void test_add_input(test_problem *t, tn_dtype dtype, tn_dims dims, void *buffer) {
    test_add(t, dtype, TN_ROLE_INPUT, dims, buffer);
    t->problem.num_inputs++;
}
static inline void test_add_absent(test_problem *t) {
    test_add(t, TN_DTYPE_NONE, TN_ROLE_INPUT, TN_SCALAR, NULL)->absent = true;
    t->problem.num_inputs++;
}
static inline void test_add_state(test_problem *t, tn_dtype dtype, tn_dims dims, void *buffer) {
    test_add(t, dtype, TN_ROLE_STATE, dims, buffer);
    t->problem.num_inputs++;
}
static inline void test_add_weight(test_problem *t, const tn_encoding *encoding, const char *layout, tn_dims dims, void *buffer) {
    tn_operand *operand = test_add(t, TN_FLOAT32, TN_ROLE_WEIGHT, dims, buffer);
    operand->encoding = *encoding;
    operand->layout = layout;
    t->problem.num_inputs++;
}
static inline void test_add_output(test_problem *t, tn_dtype dtype, tn_dims dims, void *buffer) {
    test_add(t, dtype, TN_ROLE_OUTPUT, dims, buffer);
}
static inline void test_add_epilogue(test_problem *t, tn_epilogue epilogue) {
    t->epilogues[t->problem.num_epilogues++] = epilogue;
}

/* Asks the tactic, prepares the launch and binds it. NULL or why not. */
static inline const char *test_prepare(test_problem *t, const tn_device *device, const tn_tactic *tactic) {
    static char reason[256];
    if (!tactic->supports(&device->info, &t->problem, reason, sizeof reason)) return reason;
    size_t bytes = tactic->workspace_bytes != NULL ? tactic->workspace_bytes(&device->info, &t->problem, t->values) : 0;
    free(t->workspace);
    t->workspace = bytes > 0 ? aligned_alloc(64, (bytes + 63) & ~(size_t)63) : NULL;
    t->buffers[t->problem.num_operands] = t->workspace;
    if (tactic->prepare(&device->info, &t->problem, t->values, &t->launch) != TN_OK) return "prepare failed";
    if (t->launch.workspace_bytes > bytes) return "the launch wants more workspace than the tactic said";
    t->step = (tn_bound_step){&t->launch, &t->problem, t->buffers, t->values};
    return NULL;
}
/* Runs it once; NULL or why not. */
static inline const char *test_run(test_problem *t, tn_device *device, const tn_tactic *tactic) {
    const char *why_not = test_prepare(t, device, tactic);
    if (why_not == NULL) tn_cpu_pool_run(((tn_cpu_device *)device)->pool, &t->step, 1, NULL);
    free(t->workspace);
    t->workspace = NULL;
    return why_not;
}

static inline tn_device *test_device_create(const char *isa, int num_threads) {
    tn_device_options options = {.struct_size = sizeof options, .isa = isa, .num_threads = num_threads};
    tn_device *device = NULL;
    return tn_cpu_backend.device_create(&options, &device) == TN_OK ? device : NULL;
}

/* Numbers in [−1, 1), the same on every machine. */
static inline float test_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}
static inline void test_fill(uint64_t seed, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) values[i] = test_random(&seed);
}

static inline void *test_alloc(size_t bytes) {
    size_t rounded = (bytes + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, rounded > 0 ? rounded : 64);
    if (memory == NULL) {
        fputs("no memory for a test\n", stderr);
        exit(1);
    }
    memset(memory, 0, rounded);
    return memory;
}

/* Random values of [rows, columns] encoded, in the strip16 layout; the caller frees. experts > 0: [experts, rows, columns].
 * decoded, if not NULL, gets the encoding's float32 values. */
static inline void *test_pack_weight(const tn_encoding *encoding, int64_t experts, int64_t rows, int64_t columns, uint64_t seed,
                                     float *decoded) {
    int64_t all = rows * (experts > 0 ? experts : 1);
    tn_strip_type type;
    size_t data_bytes, packed_bytes;
    tn_weight_desc desc = {TN_FLOAT32, *encoding, experts > 0 ? TN_DIMS(experts, rows, columns) : TN_DIMS(rows, columns)};
    if (!tn_strip_type_of(encoding, &type) || !tn_encoding_part_bytes(encoding, TN_PART_DATA, all, columns, &data_bytes)) return NULL;
    const tn_layout *layout = tn_cpu_layouts[type];
    if (layout->size(&desc, &packed_bytes) != TN_OK) return NULL;
    float *values = test_alloc((size_t)(all * columns) * sizeof(float));
    void *data = test_alloc(data_bytes), *packed = test_alloc(packed_bytes);
    void *parts[TN_NUM_WEIGHT_PARTS] = {[TN_PART_DATA] = data};
    tn_weight_parts source = {.part = {[TN_PART_DATA] = data}};
    test_fill(seed, values, all * columns);
    memset(packed, 0xa5, packed_bytes);
    if (tn_encoding_encode(encoding, values, all, columns, parts) != TN_OK) tn_test_fill_weight(encoding, seed, all, columns, parts);
    bool ok = layout->pack_rows(&desc, &source, 0, all, packed) == TN_OK;
    if (ok && decoded != NULL) tn_encoding_decode(encoding, &source, all, columns, decoded);
    free(values);
    free(data);
    if (ok) return packed;
    free(packed);
    return NULL;
}

#endif
