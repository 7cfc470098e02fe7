/* SPDX-License-Identifier: Apache-2.0
 *
 * context.h: inside of a context: what was set, and what was prepared for it.
 *
 * For each tuple of input dimensions a *prepared* state holds all that a run needs: symbol values, launches, buffers, bound
 * steps, and a program of segments. A run at a tuple and at addresses that were seen before goes straight to the backend: no
 * allocation, no search through steps. Prepared states and memory layouts are kept in small caches of equal-sized entries,
 * the oldest unused one makes room.
 *
 * Work may be in flight on a stream while the host goes on. What steps point to is changed only after the state's event has
 * passed (tn_prepared_wait).
 */
#ifndef TN_RUNTIME_CONTEXT_H_
#define TN_RUNTIME_CONTEXT_H_

#include "runtime/engine.h"

enum { TN_MAX_PREPARED = 32, TN_MAX_LAYOUTS = 32 };

/* Where the tensors of a function lie for dimensions up to some bucket. */
typedef struct tn_memory_layout {
    bool is_used;
    uint64_t last_use;
    int64_t *leaves;         /* [num_leaves] the values it was planned for */
    size_t *tensor_bytes;    /* [num_tensors] room of each */
    size_t *tensor_offsets;  /* [num_tensors] ACTIVATION: in the activation memory; HOST: in the host memory */
    size_t *workspace_bytes; /* [num_steps] */
    size_t *workspace_offsets;
    size_t activation_bytes, host_bytes;
} tn_memory_layout;

typedef enum tn_program_kind {
    TN_PROGRAM_SEGMENT = 0, /* bound[first … first + count) */
    TN_PROGRAM_LATE,        /* steps [step, end): prepared when their turn comes */
    TN_PROGRAM_HOST,        /* a host step */
    TN_PROGRAM_COPY,
    TN_PROGRAM_READ,
    TN_PROGRAM_LOOP,  /* items up to `next` are the body */
    TN_PROGRAM_DEBUG, /* debug tensors of step */
} tn_program_kind;

typedef struct tn_program_item {
    tn_program_kind kind;
    uint32_t step, end;
    uint32_t first, count;
    uint32_t next;  /* LOOP */
    uint32_t guard; /* a symbol that is known only now; 0: none */
} tn_program_item;

typedef struct tn_prepared {
    bool is_used;    /* the launches are those of `leaves` */
    bool is_bound;   /* the buffers are those of `addresses` and the numbers below */
    bool is_checked; /* the spans of the bound steps fit: only addresses can change */
    uint64_t last_use;
    int64_t *leaves;           /* [num_leaves] */
    void **addresses;          /* [num_io] */
    int64_t *values;           /* [num_symbols] */
    tn_launch *launches;       /* [num_steps] */
    const tn_tactic **tactics; /* [num_steps] */
    void **buffers;            /* [num_buffers] */
    tn_bound_step *bound;      /* [num_steps] */
    uint32_t *bound_steps;     /* [num_steps] step of each bound one */
    tn_program_item *program;
    uint32_t program_size, num_bound;
    tn_memory_layout layout; /* a copy: entries of the cache may go */
    tn_weight_set *weights;  /* retained */
    unsigned weights_generation;
    unsigned states_serial, memory_generation, program_generation;
    tn_event *event; /* NULL: the device is synchronous */
    bool is_in_flight;
} tn_prepared;

typedef enum tn_io_source { TN_IO_UNSET = 0, TN_IO_ADDRESS, TN_IO_HOST, TN_IO_OWN } tn_io_source;

typedef struct tn_io_binding {
    tn_io_source source;
    void *given; /* ADDRESS, HOST */
    void *own;   /* memory of the context: OWN, and HOST on a device with memory of its own */
    size_t own_bytes;
    bool has_dims;
    int64_t dims[TN_MAX_RANK]; /* of inputs */
    void *address;             /* what steps get */
} tn_io_binding;

struct tn_context {
    tn_engine *engine;
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* NULL: malloc */
    const tn_backend *backend;
    tn_diag *diag;
    const tn_function *function;
    uint32_t profile;
    tn_stream *own_stream, *last_stream;
    const tn_state_set *states;
    unsigned states_serial; /* 0: none */

    tn_io_binding *io;              /* [num_io] */
    uint32_t *io_of;                /* [num_tensors] index in `io`; UINT32_MAX: none */
    int64_t *leaves;                /* [num_leaves] of what is set */
    int64_t *values;                /* [num_symbols] */
    bool is_resolved;               /* leaves and values are those of the dimensions set */
    const tn_memory_layout *layout; /* that fits them; NULL: not looked for yet */
    bool is_changed;                /* an address, a shape … changed since `present` was chosen */
    tn_prepared *present;

    tn_prepared prepared[TN_MAX_PREPARED];
    tn_memory_layout layouts[TN_MAX_LAYOUTS];
    uint64_t clock;
    void *activation; /* device memory */
    size_t activation_bytes;
    uint8_t *host; /* memory of HOST tensors */
    size_t host_bytes;
    unsigned memory_generation;  /* changes with `activation`, `host` and own memory */
    unsigned program_generation; /* changes when debugging is switched */

    /* scratch, sized for the function */
    void *requests; /* tn_memory_request [num_tensors + num_steps] */
    uint32_t *request_scratch;
    int64_t *scratch_leaves, *scratch_values;
    tn_diag *quiet;            /* takes reports of attempts that may fail */
    tn_bound_step *late_bound; /* [num_steps] */
    uint32_t *late_steps;
    bool *host_written; /* [num_tensors] */

    tn_debug_callback debug;
    void *debug_user;
    uint8_t *debug_buffer;
    size_t debug_bytes;
    tn_profile_callback profiler;
    void *profiler_user;
    int64_t *durations; /* [num_steps] */
    bool *was_run;      /* [num_steps] */
};

/* shape.c */
TN_MUST_CHECK tn_status tn_function_evaluate(const tn_function *function, const int64_t *leaves, tn_diag *diag, int64_t *values);
int64_t tn_context_bucket(const tn_context *context, const tn_leaf *leaf, int64_t value); /* value rounded up */
/* Leaves and values from the dimensions set, with all checks. */
TN_MUST_CHECK tn_status tn_context_resolve(tn_context *context);
/* The tensor's room: bytes of its dimensions, of its bound where those are known only later. */
bool tn_tensor_room(const tn_function *function, uint32_t tensor, const int64_t *values, size_t *out_bytes);

/* layout.c */
TN_MUST_CHECK tn_status tn_memory_layout_create(tn_context *context, tn_memory_layout *layout);
void tn_memory_layout_copy(const tn_context *context, tn_memory_layout *dst, const tn_memory_layout *src);
void tn_memory_layout_destroy(tn_context *context, tn_memory_layout *layout);
/* A layout that fits the present values, planned now or before. exact: for these dimensions, not for their bucket. Valid until
 * others are resolved. */
TN_MUST_CHECK tn_status tn_context_find_layout(tn_context *context, bool exact, const tn_memory_layout **out_layout);
/* Makes activation, host and own memory large enough for it; waits for running work if something must move. */
TN_MUST_CHECK tn_status tn_context_reserve(tn_context *context, const tn_memory_layout *layout);
void tn_context_set_addresses(tn_context *context); /* io.address, from what is given and owned now */
const tn_plan_variant *tn_step_find_variant(const tn_context *context, const tn_function_step *step, const int64_t *values,
                                            const tn_tactic **out_tactic);

/* prepare.c */
TN_MUST_CHECK tn_status tn_context_prepare(tn_context *context);
TN_MUST_CHECK tn_status tn_prepared_wait(tn_context *context, tn_prepared *prepared); /* until its work is done */
TN_MUST_CHECK tn_status tn_context_wait(tn_context *context);                         /* of all of them */
/* Do the shapes of its operands fit its operation? */
TN_MUST_CHECK tn_status tn_prepared_check(const tn_context *context, const tn_prepared *prepared, uint32_t step);
/* Launch and buffers of one step at the prepared values. */
TN_MUST_CHECK tn_status tn_prepared_launch(tn_context *context, tn_prepared *prepared, uint32_t step);
/* is_checked: the operands' spans were found to fit at these values before. */
TN_MUST_CHECK tn_status tn_prepared_bind(tn_context *context, tn_prepared *prepared, uint32_t step, bool is_checked);
/* The address of one operand; *out_room: bytes from there to the end of its tensor (SIZE_MAX: weights, states). */
TN_MUST_CHECK tn_status tn_prepared_address(tn_context *context, const tn_prepared *prepared, const tn_plan_ref *ref, void **out_address,
                                            size_t *out_room);
void tn_prepared_destroy(tn_context *context, tn_prepared *prepared);

/* run.c */
TN_MUST_CHECK tn_status tn_context_run(tn_context *context, tn_prepared *prepared, tn_stream *stream);

#endif
