/* SPDX-License-Identifier: Apache-2.0
 *
 * tactic.h: one way to run one problem on one backend, and what it hands to the runtime.
 *
 * Life of a tactic: the builder asks supports() of every tactic for a step's problem, keeps the reasons of refusals,
 * estimates or times the others, and writes name and version into the plan. At run time prepare() turns (problem, symbol
 * values) into a tn_launch, cached per shape; the backend runs launches with buffers bound.
 *
 * All functions are pure and thread-safe; tables are static const.
 */
#ifndef TN_OP_TACTIC_H_
#define TN_OP_TACTIC_H_

#include "op/problem.h"

/* Rounding contracts. Tactics with equal numerics give equal bits for a row at any row count, tile, thread count and ISA
 * level (all but the last two); conformance compares them with memcmp. ARCHITECTURE.md, "numbers", defines each. */
typedef enum tn_numerics {
    TN_NUMERICS_DOUBLE = 0,          /* ref: every sum in double, rounded once; elementwise in double, rounded once */
    TN_NUMERICS_EXACT,               /* no rounding: copies, gathers, integers */
    TN_NUMERICS_F32_ASCENDING,       /* float weights: one fma chain along k */
    TN_NUMERICS_Q15_BLOCK32,         /* integer block sums, one fma a block, blocks ascending; q15_32 activations */
    TN_NUMERICS_Q8_BLOCK32,          /* the same with q8_32 activations */
    TN_NUMERICS_F32_LANES16,         /* sums in 16 lanes by index mod 16, then one fixed tree; polynomials of cpu/vector_math.h */
    TN_NUMERICS_F32_CHUNKED_SOFTMAX, /* attention in chunks of 256 positions */
    /* cuda: an order of a kernel's own, fixed for a shape; equal runs give equal bits, other tactics and row counts need not */
    TN_NUMERICS_F32_CUDA,  /* float32 products, sums and functions */
    TN_NUMERICS_BF16_CUDA, /* operands rounded to bfloat16, float32 sums (tensor cores) */
    TN_NUM_NUMERICS
} tn_numerics;
const char *tn_numerics_name(tn_numerics numerics);
/* false: the order of sums is each kernel's own, so the bits of a row hold for one tactic and shape only. */
bool tn_numerics_is_shared(tn_numerics numerics);

/* What a tactic may know of the machine. */
typedef struct tn_device_info {
    const char *backend;  /* "ref", "null", "cpu", "cuda" */
    char name[128];       /* "Intel(R) Xeon(R) Processor @ 2.50GHz" */
    char fingerprint[64]; /* what timing cache entries are keyed by: backend, ISA level, cache sizes, threads */
    uint32_t isa;         /* backend's own bits; cpu: cpu/isa.h */
    int num_workers;
    size_t l1_bytes, l2_bytes, l3_bytes, memory_bytes;
    double read_bytes_per_us, flops_per_us; /* rough; for estimates */
} tn_device_info;

typedef struct tn_bound_step tn_bound_step;

/* cpu, ref: runs tiles [begin, end) as worker `worker` (0 … num_workers−1). Never allocates, locks or makes threads. */
typedef void (*tn_tile_function)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);

#define TN_MAX_PHASES    2
#define TN_MAX_CONSTANTS 16
/* POD without data addresses. */
typedef struct tn_launch {
    size_t workspace_bytes;
    int64_t constants[TN_MAX_CONSTANTS]; /* the tactic's own: tile sizes, strides */
    union {
        struct {
            int num_phases; /* a barrier stands between phases and after the last */
            struct {
                tn_tile_function run;
                int64_t num_tiles, grain; /* a worker claims `grain` tiles at a time */
            } phases[TN_MAX_PHASES];
        } cpu;
        struct {
            uint32_t num_phases; /* kernels one after another */
            struct {
                uint32_t kernel; /* number in the backend's table of kernels */
                uint32_t grid[3], num_threads, shared_bytes;
            } phases[TN_MAX_PHASES];
            /* A row-major matrix of 16-bit values that kernels read in boxes of box_rows × 64 by the copy engine. columns 0: none */
            struct {
                uint32_t buffer, box_rows;
                int64_t rows, columns;
            } boxes;
        } cuda;
    };
} tn_launch;

struct tn_bound_step {
    const tn_launch *launch;
    const tn_problem *problem;
    void *const *buffers;   /* the operands in order; absent ones NULL; then the workspace (or NULL). A "plain" encoded weight
                             has one entry for each part it has, in tn_weight_part order */
    const int64_t *symbols; /* the function's values by tn_sym, on the host; kernels of other devices get what they need by constants */
};

typedef struct tn_tactic {
    const char *name; /* unique in its backend: "matmul_strip16_vnni" */
    uint32_t version; /* a change that moves time or bits raises it */
    tn_numerics numerics;
    tn_op_kind op;
    /* Names of the weight layouts it reads, NULL-terminated; NULL: only "plain". */
    const char *const *layouts;
    /* false: `reason` (never empty then) says why, for people: "needs AVX-512 VNNI", "q4_1 weights only". Layouts of
     * weight operands may be NULL (not chosen yet: would some layout of mine do?) or one name. */
    bool (*supports)(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size);
    /* Expected time at these symbol values; ranks candidates before timing and bounds the search. */
    double (*estimate_us)(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols);
    /* Upper bound of tn_launch.workspace_bytes over all symbol values ≤ these. NULL: none needed. */
    size_t (*workspace_bytes)(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols);
    /* No allocation. Fails only for our own defects (TN_INTERNAL). */
    tn_status (*prepare)(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch);
} tn_tactic;

#endif
