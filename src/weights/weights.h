/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.h: where a constant's bytes come from, and the recipe from there to what is computed with.
 *
 * A tn_weights is one node of an immutable recipe: a load from a source, or an operation on other recipes. Nodes live in an
 * arena (the network's, or a plan reader's) and may be shared. Passes never touch bytes: fusing q, k and v means making a
 * CONCAT node. Builder, refit, stripped-plan loading and later shards and adapters run the same recipes.
 *
 *     const tn_weights *q = tn_weights_load(&arena, source, "model.layers.0.self_attn.q_proj.weight", diag);
 *     const tn_weights *qkv = tn_weights_concat(&arena, (const tn_weights *[]){q, k, v}, 3, 0, diag);
 *     tn_weights_read_rows(qkv, begin, end, parts, &scratch, diag);
 *
 * Every constructor derives the result's desc, checks its arguments, and on failure reports and returns NULL; NULL inputs give
 * NULL without a second report. Running is thread-safe as long as sources are (they must be).
 */
#ifndef TN_WEIGHTS_WEIGHTS_H_
#define TN_WEIGHTS_WEIGHTS_H_

#include "base/arena.h"
#include "op/encoding.h"
#include "op/layout.h"

/* A file, several files, or memory that holds named tensors. Read from any thread. */
typedef struct tn_weight_source tn_weight_source;
struct tn_weight_source {
    /* Shape and encoding of a tensor. TN_NOT_FOUND without a report if there is none of that name. */
    tn_status (*find)(tn_weight_source *source, const char *name, tn_weight_desc *out_desc);
    /* Bytes [offset, offset + size) of a part, exactly; the caller stays inside tn_encoding_part_bytes. */
    tn_status (*read)(tn_weight_source *source, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst,
                      tn_diag *diag);
    /* Where a part stands in a file as it is, for external weights and mmap. NULL, or TN_NOT_FOUND: it does not. */
    tn_status (*locate)(tn_weight_source *source, const char *name, tn_weight_part part, const char **out_path, uint64_t *out_offset);
    void (*destroy)(tn_weight_source *source);
};
void tn_weight_source_destroy(tn_weight_source *source); /* accepts NULL */

typedef enum tn_weights_op {
    TN_WEIGHTS_LOAD = 0,     /* name, source */
    TN_WEIGHTS_VALUE,        /* bytes in the arena or borrowed until the build returns */
    TN_WEIGHTS_SLICE,        /* axis (0: rows, −1: columns), begin, end */
    TN_WEIGHTS_CONCAT,       /* axis 0 or −1 */
    TN_WEIGHTS_STACK,        /* inputs [n, k] → [inputs, n, k] */
    TN_WEIGHTS_RESHAPE,      /* same number of elements and same columns, or PLAIN */
    TN_WEIGHTS_TRANSPOSE,    /* [n, k] → [k, n]; PLAIN */
    TN_WEIGHTS_INTERLEAVE,   /* two inputs [n, k]; strips of `begin` rows alternate; n is a multiple of it. Rank 3: in each [i] */
    TN_WEIGHTS_PERMUTE_ROWS, /* row r of the result is row table[r] of the input */
    TN_WEIGHTS_DECODE,       /* → PLAIN of `dtype`, a float type */
    TN_WEIGHTS_ENCODE,       /* PLAIN float → encoding */
    TN_WEIGHTS_MUL,          /* PLAIN float times a small tensor: [1], [k], or [n, 1] */
    TN_WEIGHTS_ADD,
    TN_WEIGHTS_COLUMN_ORDER,  /* encoding with perm [n, k] → int32 [k]: the column that stands at each stored one */
    TN_WEIGHTS_AS_STORED,     /* encoding with perm, a column order → the stored columns as they stand, without perm */
    TN_WEIGHTS_INVERSE_NORMS, /* [n, k] → PLAIN float32 [n, 1]: 1 / the length of each row */
    TN_NUM_WEIGHTS_OPS
} tn_weights_op;
const char *tn_weights_op_name(tn_weights_op op); /* "load", "concat" …: what plans store */

typedef struct tn_weights tn_weights;
struct tn_weights {
    tn_weights_op op;
    tn_weight_desc desc;
    const tn_weights *const *inputs;
    uint32_t num_inputs;
    const char *name;         /* LOAD: the tensor's; VALUE: its name for refit, or NULL */
    tn_weight_source *source; /* LOAD; borrowed. NULL in a plan until a refit or refill gives one */
    tn_weight_parts value;    /* VALUE; borrowed */
    int axis;
    int64_t begin, end;
    const int64_t *table; /* PERMUTE_ROWS [rows] */
};

/* A load whose shape is known already; source NULL: the bytes come later (a plan's recipe, a stripped plan). */
const tn_weights *tn_weights_declare(tn_arena *arena, tn_weight_source *source, const char *name, const tn_weight_desc *desc,
                                     tn_diag *diag);
const tn_weights *tn_weights_load(tn_arena *arena, tn_weight_source *source, const char *name, tn_diag *diag);
const tn_weights *tn_weights_value(tn_arena *arena, const tn_weight_desc *desc, const tn_weight_parts *parts, const char *name,
                                   tn_diag *diag);
/* Copies `values` into the arena as float32. */
const tn_weights *tn_weights_floats(tn_arena *arena, const float *values, tn_dims dims, tn_diag *diag);
const tn_weights *tn_weights_slice(tn_arena *arena, const tn_weights *x, int axis, int64_t begin, int64_t end, tn_diag *diag);
const tn_weights *tn_weights_concat(tn_arena *arena, const tn_weights *const *inputs, uint32_t num_inputs, int axis, tn_diag *diag);
const tn_weights *tn_weights_stack(tn_arena *arena, const tn_weights *const *inputs, uint32_t num_inputs, tn_diag *diag);
const tn_weights *tn_weights_reshape(tn_arena *arena, const tn_weights *x, tn_dims dims, tn_diag *diag);
const tn_weights *tn_weights_transpose(tn_arena *arena, const tn_weights *x, tn_diag *diag);
const tn_weights *tn_weights_interleave(tn_arena *arena, const tn_weights *a, const tn_weights *b, int64_t strip, tn_diag *diag);
const tn_weights *tn_weights_permute_rows(tn_arena *arena, const tn_weights *x, const int64_t *table, tn_diag *diag);
const tn_weights *tn_weights_decode(tn_arena *arena, const tn_weights *x, tn_dtype dtype, tn_diag *diag);
const tn_weights *tn_weights_encode(tn_arena *arena, const tn_weights *x, const tn_encoding *encoding, tn_diag *diag);
const tn_weights *tn_weights_mul(tn_arena *arena, const tn_weights *x, const tn_weights *factor, tn_diag *diag);
const tn_weights *tn_weights_inverse_norms(tn_arena *arena, const tn_weights *x, tn_diag *diag);
const tn_weights *tn_weights_add(tn_arena *arena, const tn_weights *x, const tn_weights *term, tn_diag *diag);

/* w · x is as_stored(w) · (x gathered by column_order(w)). The order that as_stored is given may be another weight's: reading fails
 * unless the two are equal. */
const tn_weights *tn_weights_column_order(tn_arena *arena, const tn_weights *x, tn_diag *diag);
const tn_weights *tn_weights_as_stored(tn_arena *arena, const tn_weights *x, const tn_weights *order, tn_diag *diag);

/* Equal recipes over equal sources: one weight in the plan. The hash agrees with it. */
bool tn_weights_equal(const tn_weights *a, const tn_weights *b);
uint64_t tn_weights_hash(const tn_weights *weights);

/* Calls visit for every LOAD and every named VALUE of the recipe, as often as it stands there; stops at false and returns it. */
bool tn_weights_visit_sources(const tn_weights *weights, bool (*visit)(void *user, const tn_weights *leaf), void *user);

/* Computes rows [begin, end) of the result into parts, each with room for those rows (tn_encoding_part_bytes).
 * Scratch is bounded by a few rows' worth of each node's inputs (TRANSPOSE: it reads its whole input once a call, so call it
 * with large ranges); it is reset by the caller. */
TN_MUST_CHECK tn_status tn_weights_read_rows(const tn_weights *weights, int64_t begin, int64_t end, void *const parts[TN_NUM_WEIGHT_PARTS],
                                             tn_arena *scratch, tn_diag *diag);
/* The whole weight in a layout (NULL: "plain") into dst of the layout's size; in row ranges of bounded scratch. Task-parallel
 * callers use tn_weights_pack_range with ranges that start at multiples of tn_weights_pack_step rows. */
int64_t tn_weights_pack_step(const tn_weights *weights, const tn_layout *layout);
TN_MUST_CHECK tn_status tn_weights_pack_range(const tn_weights *weights, const tn_layout *layout, int64_t begin, int64_t end, void *dst,
                                              tn_arena *scratch, tn_diag *diag);
/* Size of the weight in a layout; NULL layout: the parts one after another, each aligned to 64 bytes. */
TN_MUST_CHECK tn_status tn_weights_packed_bytes(const tn_weight_desc *desc, const tn_layout *layout, size_t *out_bytes);
/* Where part `part` starts in the "plain" form. */
size_t tn_weights_plain_offset(const tn_weight_desc *desc, tn_weight_part part);

#endif
