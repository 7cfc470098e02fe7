/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.h: what the files of lowering share.
 *
 *     lower.c          the order of things: declare tensors, state problems, write steps, liveness
 *     lower_symbol.c   network symbols → the function's; bounds of sizes that are known late
 *     lower_tensor.c   where each tensor stands on each side; copies between the sides
 *     lower_control.c  Ifs as guards, Loops as LOOP steps
 *
 * A tensor has a home, the side where it is made, and perhaps a twin on the other side, copied right after it was made, so
 * that whoever reads the twin finds it made on every path. An alias (the value that a branch sees) is another name of its base.
 */
#ifndef TN_BUILDER_LOWER_H_
#define TN_BUILDER_LOWER_H_

#include "builder/builder_internal.h"

typedef struct lowered_tensor {
    tn_tensor *tensor;   /* NULL: no tensor has this number */
    tn_tensor *alias_of; /* NULL: its own */
    uint32_t home;       /* tn_place */
    tn_plan_ref at[2];   /* by place; space NONE: not there */
    bool needs[2];       /* somebody reads it on that side */
    uint32_t copies[2];  /* of constants: 1 + the tensor that holds the value on that side; 0: none */
} lowered_tensor;

typedef struct lowered_layer {
    bool is_launch, is_hosted; /* hosted: the device lacks it, ref does it */
    tn_problem problem;
    tn_operand *operands;
} lowered_layer;

typedef struct lowered_region {
    tn_sym condition;   /* If: of the branch if true. Loop: goes on while ≠ 0; TN_SYM_INVALID: none */
    tn_sym count;       /* Loop; TN_SYM_INVALID: none */
    tn_tensor *carrier; /* Loop: the condition's tensor, if it is made in the body and starts as true */
    bool is_guarded;    /* Loop: the condition of this round is known by now */
    bool was_closed;
    bool has_iteration;
    uint32_t iteration; /* tensor with the number of the round */
    uint32_t loop_step;
} lowered_region;

typedef struct lowering {
    tn_draft *draft;
    tn_draft_function *function;
    uint32_t function_index;
    tn_network *network;
    const tn_lower_options *options;
    tn_arena *arena;
    tn_diag *diag;
    lowered_tensor *tensors; /* by id; then one an region for the numbers of its rounds */
    uint32_t num_ids;        /* of the network; region r's round has number num_ids + r */
    lowered_layer *layers;   /* by id */
    lowered_region *regions;
    TN_ARRAY(uint32_t) symbols; /* network symbol → 1 + function symbol; 0: not yet */
    TN_ARRAY(uint32_t) open_loops;
    uint32_t num_refused[TN_NUM_OP_KINDS];
    tn_status status; /* the first failure; everything after it does nothing */
} lowering;

/* Each returns false once something has failed. */
bool lower_fail_memory(lowering *l);

/* --- symbols: all give 0 (the constant 1) after a failure ------------------------------------------------------------------ */

uint32_t lower_symbol(lowering *l, tn_sym sym);
/* The same as a member that means "none" when it is 0. */
uint32_t lower_symbol_not_0(lowering *l, tn_sym sym);
/* What `sym` is at most, in terms of what is known before the function runs. TN_SYM_INVALID: no bound. */
tn_sym lower_upper_bound(lowering *l, tn_sym sym);
tn_sym lower_element_count(lowering *l, const tn_tensor *tensor);
/* Bytes of a tensor with these dims. TN_SYM_INVALID for types below a byte. */
tn_sym lower_byte_count(lowering *l, tn_dtype dtype, const tn_sym *dims, int rank);

/* --- tensors --------------------------------------------------------------------------------------------------------------- */

/* A new tensor of the function. */
bool lower_add_tensor(lowering *l, const char *name, const tn_tensor *like, uint32_t space, uint32_t place, uint32_t *out_index);
lowered_tensor *lower_base(lowering *l, const tn_tensor *tensor); /* through aliases */
/* The tensor that HOST_VALUE symbols of it read. */
bool lower_host_value_tensor(lowering *l, uint32_t id, uint32_t *out_index);
bool lower_declare_inputs(lowering *l);
/* Makes its home. */
bool lower_declare(lowering *l, tn_tensor *tensor, uint32_t home);
/* Remembers that somebody reads it there; makes the twin. */
bool lower_need(lowering *l, tn_tensor *tensor, uint32_t place);
/* The ref for a reader on that side; constants give weights. */
bool lower_ref(lowering *l, tn_tensor *tensor, uint32_t place, tn_plan_ref *out_ref);
/* A constant as a tensor on that side (for refs that move). */
bool lower_constant_tensor(lowering *l, tn_tensor *tensor, uint32_t place, tn_plan_ref *out_ref);
bool lower_weight(lowering *l, const tn_weights *weights, const char *name, bool is_host, bool is_plain, uint32_t *out_index);

/* --- steps ------------------------------------------------------------------------------------------------------------------- */

uint32_t lower_guard(lowering *l, uint32_t region);
tn_draft_step *lower_add_step(lowering *l, tn_step_kind kind, const char *name, uint32_t num_refs, uint32_t guard);
/* Copies between tensors, between the sides too. size: of the bytes, TN_SYM_INVALID: those of the source's dims. */
bool lower_transfer(lowering *l, const char *name, tn_plan_ref from, tn_plan_ref to, tn_sym size, uint32_t guard);
/* The twins of a tensor that was just made. */
bool lower_made(lowering *l, tn_tensor *tensor, uint32_t region);

/* --- control flow ---------------------------------------------------------------------------------------------------------------- */

bool lower_is_control(tn_op_kind kind);
bool lower_declare_control(lowering *l, tn_layer *layer);
bool lower_enter_region(lowering *l, const tn_layer *layer); /* opens and closes loops up to the layer's region */
bool lower_control_step(lowering *l, tn_layer *layer);
bool lower_close_loops(lowering *l);

#endif
