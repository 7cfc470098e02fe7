/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_format.h: the bytes of a plan. Compiler and runtime meet only here.
 *
 *     0         tn_plan_header                      magic, versions, backend
 *     128       tn_plan_section [num_sections]      id, offset, size, XXH3 of the bytes
 *     …         sections in id order, tables aligned to 64 bytes, WEIGHT_DATA to 4,096 if it is that large, else 64
 *
 * Little-endian, fixed-size records, used in place. A reference to another record is its index in its table; a reference to
 * text is the offset of a NUL-terminated string in STRINGS (0 is ""). Kinds, enums, dtypes, encodings, layouts, tactics and
 * fields are stored by name, so numbers inside the program may change. A problem is its one-line text (op/problem.h), the
 * same that keys the timing cache; a weight's recipe is its text (weights/recipe_text.h).
 *
 * The reader trusts nothing: every offset, count, size, index and string is checked once at open; after that the tables are
 * used without checks. Checksums notice accidents; no memory safety rests on them.
 *
 * A reader refuses another format_version. Unknown section ids are refused too: a plan is cheap to make again.
 */
#ifndef TN_PLAN_PLAN_FORMAT_H_
#define TN_PLAN_PLAN_FORMAT_H_

#include <stdint.h>

#define TN_PLAN_MAGIC          "TENONPLN"
#define TN_PLAN_FORMAT_VERSION 1u

typedef enum tn_plan_section_id {
    TN_SECTION_STRINGS = 1, /* bytes; first and last byte NUL */
    TN_SECTION_META,        /* one JSON text: builder configuration, model, inspector notes (refused tactics) */
    TN_SECTION_FUNCTIONS,
    TN_SECTION_TENSORS,
    TN_SECTION_SYMBOLS,
    TN_SECTION_PROFILES,
    TN_SECTION_STEPS,
    TN_SECTION_REFS,
    TN_SECTION_VARIANTS,
    TN_SECTION_STATES,
    TN_SECTION_WEIGHTS,
    TN_SECTION_WEIGHT_DATA,
} tn_plan_section_id;
#define TN_PLAN_MAX_SECTIONS 32

#define TN_PLAN_STRIPPED (1u << 0) /* weight data is left out; the engine must be refilled by recipe */

typedef struct tn_plan_header { /* 128 bytes */
    char magic[8];
    uint32_t format_version;
    uint32_t num_sections;
    uint64_t file_bytes;
    uint64_t header_hash; /* of header (with this member 0) and section table */
    uint32_t flags;
    uint32_t reserved;
    char backend[16];         /* "cpu" */
    char builder_version[24]; /* "0.1.0" */
    char fingerprint[48];     /* of the device that the tactics were chosen on: other ones retune */
} tn_plan_header;

typedef struct tn_plan_section { /* 32 bytes */
    uint32_t id, reserved;
    uint64_t offset, size, hash; /* hash of WEIGHT_DATA is 0: each weight has its own */
} tn_plan_section;

/* Tables of a function are consecutive ranges of the plan's tables. Indices inside a function (tensors, symbols) are relative
 * to its range. */
typedef struct tn_plan_function {
    uint32_t name;
    uint32_t first_tensor, num_tensors;
    uint32_t first_symbol, num_symbols; /* symbol 0 is the constant 1 */
    uint32_t first_step, num_steps;
    uint32_t first_profile, num_profiles; /* rows of the PROFILES table; profile numbers start at 0 */
    uint32_t reserved;
} tn_plan_function;

enum {
    TN_SPACE_NONE = 0, /* an absent optional operand */
    TN_SPACE_INPUT,
    TN_SPACE_OUTPUT,
    TN_SPACE_ACTIVATION, /* device memory that the memory planner places */
    TN_SPACE_WEIGHT,     /* id: WEIGHTS table */
    TN_SPACE_STATE,      /* id: STATES table */
    TN_SPACE_HOST,       /* small host memory of the context: shape arithmetic, conditions */
    TN_NUM_SPACES
};

#define TN_TENSOR_DEBUG     (1u << 0)
#define TN_TENSOR_ITERATION (1u << 1) /* HOST int64 scalar: the runtime writes the number of the iteration of loop `first_step` */

typedef struct tn_plan_tensor {
    uint32_t name, dtype, role; /* role: "" or an executor role */
    uint32_t space;             /* INPUT, OUTPUT, ACTIVATION or HOST */
    uint32_t place;             /* of inputs and outputs: 0 device, 1 host */
    uint32_t rank, flags;
    uint32_t dims[8];     /* symbols; for data-dependent sizes the bytes are those of max_dims */
    uint32_t max_dims[8]; /* symbols known before the function runs: what memory is planned by */
    uint32_t dim_names[8];
    uint32_t first_step, last_step; /* live from the step that writes it first to the last that reads it (loops widened) */
} tn_plan_tensor;

typedef struct tn_plan_symbol {
    uint32_t op; /* name of tn_sym_op: "const", "input_dim", "host_value", "add" … */
    uint32_t a, b, c;
    int64_t value; /* INPUT_DIM: a = tensor index; HOST_VALUE: a = tensor index, b = element */
} tn_plan_symbol;

/* An axis from here on is an element of a host input instead: TN_PROFILE_VALUES + its index. */
#define TN_PROFILE_VALUES 16u
typedef struct tn_plan_profile { /* one row a dynamic dimension, or a value that shapes depend on, of an input and profile */
    uint32_t profile, tensor, axis, reserved;
    int64_t min, opt, max;
} tn_plan_profile;

typedef enum tn_step_kind {
    TN_STEP_LAUNCH = 1,  /* problem by one of the variants; device 0: by the ref kernels on the host */
    TN_STEP_COPY,        /* refs: source, destination; bytes = those of the source tensor's dims (`size_symbol`·1 byte if ≠ 0) */
    TN_STEP_READ_SYMBOL, /* refs: device tensor, host tensor: waits, copies, symbols of it become known */
    TN_STEP_LOOP,        /* steps up to body_end run `count` times, or while `condition` is not 0 (checked before each) */
    TN_STEP_COLLECTIVE,  /* refused in this version */
    TN_STEP_PLUGIN,      /* refused in this version */
} tn_step_kind;

typedef struct tn_plan_step {
    uint32_t kind;   /* tn_step_kind */
    uint32_t device; /* 0 host, 1 the engine's device */
    uint32_t name, problem;
    uint32_t first_ref, num_refs;         /* LAUNCH: the problem's operands in order */
    uint32_t first_variant, num_variants; /* 0 for host steps */
    uint32_t guard;                       /* symbol; 0 at run time: skipped. Symbol 0 = always */
    uint32_t body_end;                    /* LOOP: index in the function of the first step after its body */
    uint32_t count;                       /* LOOP: symbol of the trip count; 0 with condition ≠ 0: unlimited */
    uint32_t condition;                   /* LOOP: symbol, 0 = none */
    uint32_t size_symbol;                 /* COPY */
    uint32_t bucket_symbol;               /* LAUNCH: variants are chosen by its value; 0: only one range */
} tn_plan_step;

/* Address = base(space, id) + offset + values[index_symbol] · values[stride_symbol] if stride_symbol ≠ 0.
 * For tensors, id is the index in the function. The span must lie inside the tensor; the runtime checks dynamic ones. */
typedef struct tn_plan_ref {
    uint32_t space, id;
    uint32_t index_symbol, stride_symbol; /* stride in bytes */
    uint64_t offset;
} tn_plan_ref;

typedef struct tn_plan_variant {
    uint32_t profile, tactic, tactic_version, reserved;
    int64_t bucket_min, bucket_max; /* of the step's bucket symbol; variants of a profile cover its range without gaps */
    uint64_t workspace_bytes;       /* at the range's end */
} tn_plan_variant;

typedef struct tn_plan_state {
    uint32_t name, kind; /* "kv" or "slots"; others ("lora", "recurrent") are refused by name */
    uint32_t dtype;      /* of kv */
    uint32_t group;
    int64_t num_layers, num_kv_heads, k_dim, v_dim, tokens_per_block, window, sink_tokens;
    int64_t vocab_size, max_seq_len; /* of slots */
} tn_plan_state;

enum { TN_WEIGHT_INLINE = 1, TN_WEIGHT_EXTERNAL, TN_WEIGHT_STRIPPED };
typedef struct tn_plan_weight {
    uint32_t name; /* the constant's */
    uint32_t dtype, encoding, layout;
    uint32_t layout_version;
    uint32_t storage; /* INLINE: offset in WEIGHT_DATA; EXTERNAL: offset in `file`; STRIPPED: no bytes */
    uint32_t file;    /* path relative to the plan's folder, or absolute */
    uint32_t recipe;  /* text; "" = not refittable */
    uint32_t rank, reserved;
    int64_t dims[8];
    uint64_t offset, size, hash; /* size = the layout's; hash 0 = not recorded */
} tn_plan_weight;

#endif
