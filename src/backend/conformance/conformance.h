/* SPDX-License-Identifier: Apache-2.0
 *
 * conformance.h: one table of cases, run through every tactic of every backend and compared with the reference kernels.
 *
 *     build/bin/backend_conformance_test [FILTER]      # FILTER: part of "<device> <tactic> <case>"; "cuda ": all of that device
 *
 * A case is built by a function from a seed: the same seed gives the same rows wherever a row stands, so that a row computed
 * alone can be compared with the same row among others. What is compared, for each device, tactic and layout that accepts:
 *   1. with ref, within the tolerance of the tactic's numerics and the output's type (tolerance.c says why);
 *   2. with every earlier result of the same numerics, by memcmp: other tactics, layouts, instruction sets, thread counts; where a
 *      numerics is not shared (tn_numerics_is_shared), with a second run of its own;
 *   3. where rows stand alone: some rows alone, by memcmp with those of the whole (not shared: with ref's);
 *   4. a packed weight unpacks to the bytes it was made from.
 * Then the coverage walk (coverage.c): every accepted variation of a case must have been compared.
 */
#ifndef TN_BACKEND_CONFORMANCE_CONFORMANCE_H_
#define TN_BACKEND_CONFORMANCE_CONFORMANCE_H_

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"
#include "base/arena.h"

typedef struct tn_case tn_case;

/* One case made concrete. A problem that fills the cache may come before the one under test. */
typedef struct tn_case_build {
    const tn_case *from;
    tn_arena *arena;
    bool shapes_only;            /* no values are made: every buffer is NULL */
    int64_t first_row, num_rows; /* the rows (or, by sequences, the sequences) to build */
    int num_problems;
    struct {
        tn_problem_builder builder;
        tn_op_params params;
    } problems[2];
    /* The state: a cache of kv_blocks, or bytes to start with. */
    tn_kv_geometry geometry;
    int64_t kv_blocks;
    void *state;
    size_t state_bytes;
    uint32_t num_operands_made; /* numbers the operands for the generator */
} tn_case_build;

typedef void (*tn_case_function)(tn_case_build *build);

enum { TN_CASE_MAX_EPILOGUES = 4 };

struct tn_case {
    char name[96];
    tn_case_function make;
    tn_op_kind op;
    /* What the builders read; each uses some of these. */
    tn_dtype a, y;        /* type of the activations and of the output */
    tn_encoding encoding; /* of the weight */
    int64_t rows, n, k;
    bool has_windows;        /* rows stand alone: build->first_row and num_rows are obeyed */
    int variant, option;     /* of the builder's own */
    bool has_special_values; /* zeros, denormals, large values among the inputs */
    tn_epilogue epilogues[TN_CASE_MAX_EPILOGUES];
    uint32_t num_epilogues;
    double tolerance_factor;  /* 0 = 1 */
    double rounded_factor;    /* the same, where operands are rounded to bfloat16; 0 = 1 */
    bool is_for_accelerators; /* so large that it tells something only where thousands of threads run; left out on the host */
};

typedef struct tn_case_list {
    tn_case *data;
    size_t count, capacity;
} tn_case_list;

/* All cases of the table; false: out of memory. cases_*.c add theirs. */
bool tn_cases_make(tn_case_list *list);
void tn_cases_add_matmul(tn_case_list *list);
void tn_cases_add_decoder(tn_case_list *list);
void tn_cases_add_tensors(tn_case_list *list);
void tn_cases_add_layers(tn_case_list *list);
void tn_cases_add_forms(tn_case_list *list);
tn_case *tn_cases_add(tn_case_list *list, tn_op_kind op, tn_case_function make, const char *format, ...) TN_PRINTF(4, 5);

/* --- for builders ---------------------------------------------------------------------------------------------------------- */

tn_problem_builder *tn_case_begin(tn_case_build *build, tn_op_kind op); /* params zeroed: fill problems[num_problems − 1].params */
tn_op_params *tn_case_params(tn_case_build *build);
/* A number that depends on the case, `stream`, row and column alone. */
uint64_t tn_case_random(const tn_case_build *build, uint32_t stream, int64_t row, int64_t column);
float tn_case_float(const tn_case_build *build, uint32_t stream, int64_t row, int64_t column);
/* Operands with generated values. `by_row`: the operand's rows are the case's rows, so they start at first_row. */
void *tn_case_input(tn_case_build *build, tn_dtype dtype, tn_dims dims, bool by_row);
void *tn_case_ints(tn_case_build *build, tn_dtype dtype, tn_dims dims, int64_t low, int64_t high); /* [low, high] */
void tn_case_given(tn_case_build *build, tn_dtype dtype, const void *values, size_t size_bytes, tn_dims dims);
void tn_case_weight(tn_case_build *build, const tn_encoding *encoding, tn_dims dims);
void tn_case_output(tn_case_build *build, tn_dtype dtype, tn_dims dims);
void tn_case_state(tn_case_build *build, bool is_output);

/* --- running -------------------------------------------------------------------------------------------------------------- */

/* Does an output differ more than numerics and types allow? Fills `message` for people if so. */
bool tn_case_differs(const tn_problem *problem, uint32_t output, const int64_t *symbols, tn_numerics numerics, double factor,
                     const void *expected, const void *got, char *message, size_t message_size);
/* Bytes of an output's buffer; 0 for states. */
size_t tn_case_output_bytes(const tn_problem_builder *builder, uint32_t operand);

/* Outputs of one run by operand, in the build's arena; NULL for inputs. The state's final bytes if it is not a cache. */
typedef struct tn_case_result {
    void *outputs[TN_BUILD_MAX_OPERANDS];
    void *state;
} tn_case_result;

tn_status tn_case_run_ref(tn_case_build *build, tn_case_result *out_result, tn_diag *diag);
/* Runs the last problem by `tactic` with its first weight in `layout` ("plain" or a name). */
tn_status tn_case_run(tn_case_build *build, tn_device *device, const tn_tactic *tactic, const char *layout, tn_case_result *out_result,
                      tn_diag *diag);
/* Sets the layout of the first weight; the others are plain. */
void tn_case_set_layout(tn_problem_builder *builder, const char *layout);

/* --- coverage --------------------------------------------------------------------------------------------------------------- */

typedef struct tn_coverage tn_coverage; /* the aspects of problems that each tactic was compared on */
tn_coverage *tn_coverage_create(void);  /* NULL: out of memory */
void tn_coverage_destroy(tn_coverage *coverage);
void tn_coverage_add(tn_coverage *coverage, const tn_device *device, const tn_tactic *tactic, const tn_problem *problem);
/* Varies the problem one aspect at a time. Reports each variation that the tactic accepts and that was never compared, and a
 * refusal without a reason; returns their number. */
typedef void (*tn_coverage_report)(void *user, const tn_device *device, const tn_tactic *tactic, const char *message);
size_t tn_coverage_walk(tn_coverage *coverage, const tn_device *device, const tn_tactic *tactic, tn_problem_builder *builder,
                        tn_coverage_report report, void *user);

#endif
