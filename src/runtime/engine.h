/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.h: inside of an engine: the plan's functions made ready for running, weights, memory accounts.
 *
 * Everything but the present weight set and the accounts is immutable after loading. Weights live in sets: a set never
 * changes, contexts hold the one that their prepared steps point into, a refit makes another set that shares what it did not
 * change.
 */
#ifndef TN_RUNTIME_ENGINE_H_
#define TN_RUNTIME_ENGINE_H_

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"
#include "plan/plan.h"
#include "plugin/plugin.h"
#include "runtime/runtime.h"

/* --- functions ------------------------------------------------------------------------------------------------------------ */

#define TN_NO_STEP UINT32_MAX

typedef struct tn_function_step {
    const tn_plan_step *record;
    const tn_plan_ref *refs;         /* [record->num_refs] */
    tn_problem problem;              /* LAUNCH */
    const tn_tactic *const *tactics; /* [record->num_variants] */
    tn_plugin *plugin;               /* of a PLUGIN step, held; NULL else */
    uint32_t first_buffer;           /* in a prepared state's buffers; the operands, then the workspace */
    uint32_t num_buffers;            /* workspace included; 0 if not a LAUNCH */
    bool is_late;                    /* shapes, addresses or the choice of a variant need values that the function computes */
    bool has_late_guard;
    bool writes_debug; /* one of its outputs is marked for debugging */
    uint32_t reader;   /* of its first output, where a later step alone reads it, as operand 0; else TN_NO_STEP */
} tn_function_step;

/* A leaf of the symbols whose value is known before the function runs. */
typedef struct tn_leaf {
    uint32_t symbol, tensor;
    uint32_t index; /* axis of an input, or element of a host input */
    bool is_host_value;
} tn_leaf;

/* Dimensions of inputs that have one name must be equal; each is compared with the first of the name. */
typedef struct tn_named_dim {
    uint32_t tensor, axis, first_tensor, first_axis;
} tn_named_dim;

typedef struct tn_function {
    const char *name;
    const tn_plan_function *record;
    const tn_plan_tensor *tensors; /* [num_tensors] */
    const tn_dtype *dtypes;        /* [num_tensors] */
    const tn_plan_profile *profile_rows;
    tn_function_step *steps; /* [num_steps] */
    tn_sym_node *nodes;      /* [num_symbols], constants of problems added behind the plan's */
    bool *is_late;           /* [num_symbols] */
    tn_leaf *leaves;
    tn_named_dim *named_dims;
    uint32_t *io; /* tensor of each input and output, in the plan's order */
    uint32_t num_tensors, num_steps, num_symbols, num_leaves, num_named_dims, num_io, num_profiles, num_buffers;
    uint32_t num_late_inputs; /* host inputs whose elements are symbols */
    bool has_host_work;       /* host steps, copies, reads, loops: more than one segment */
    bool has_states;
} tn_function;

static inline bool tn_tensor_is_on_host(const tn_plan_tensor *tensor) {
    return tensor->space == TN_SPACE_HOST || (tensor->space != TN_SPACE_ACTIVATION && tensor->place == 1);
}

/* Elements · width at these symbol values, rows padded to whole bytes. False on overflow or an unknown dimension. */
bool tn_tensor_span(tn_dtype dtype, uint32_t rank, const uint32_t *dims, const int64_t *values, size_t *out_bytes);

/* --- weights -------------------------------------------------------------------------------------------------------------- */

typedef struct tn_weight_form {
    const char *name;
    tn_weight_desc desc;
    const tn_layout *layout;                  /* NULL: plain */
    size_t size_bytes;                        /* in the layout */
    size_t part_offsets[TN_NUM_WEIGHT_PARTS]; /* of the parts that are bound, in order */
    uint32_t num_buffers;                     /* 1, or the number of parts of a plain encoded weight */
    bool needs_host_copy;                     /* read by host steps */
} tn_weight_form;

/* Memory that weights stand in: of the device, of the plan, or of a mapped file. */
typedef struct tn_weight_block {
    atomic_int references;
    tn_engine *engine;
    void *memory; /* device memory to free; NULL: none */
    size_t size_bytes;
    void *host_memory; /* a copy for host steps of a device that has memory of its own; NULL: none */
    tn_plan *plan;     /* kept for its bytes; or NULL */
    tn_file file;      /* an external file kept mapped; descriptor −1: none */
} tn_weight_block;

typedef struct tn_weight_slot {
    void *data;                  /* as steps on the device see it; NULL: missing (a stripped plan) */
    const void *host;            /* for host steps; NULL if none reads it */
    tn_weight_block *block;      /* of data; or NULL */
    tn_weight_block *host_block; /* of host where that is not data; or NULL */
} tn_weight_slot;

typedef struct tn_weight_set {
    atomic_int references;
    tn_engine *engine;
    uint32_t num_missing;
    tn_weight_slot slots[]; /* one a weight of the plan */
} tn_weight_set;

/* --- the engine ------------------------------------------------------------------------------------------------------------- */

typedef enum tn_memory_account { TN_ACCOUNT_WEIGHTS = 0, TN_ACCOUNT_ACTIVATIONS, TN_ACCOUNT_STATES, TN_NUM_ACCOUNTS } tn_memory_account;

struct tn_engine {
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* NULL: malloc */
    tn_device *device;
    bool owns_device;
    tn_plan *plan;
    const tn_plan_view *view;
    tn_arena arena; /* functions, forms; filled while loading only */
    tn_function *functions;
    tn_weight_form *weights; /* [view->num_weights] */
    tn_state_info *states;   /* [view->num_states] */
    const char *model_info;

    pthread_mutex_t mutex;       /* of `present` */
    pthread_mutex_t refit_mutex; /* held from reading `present` to changing it */
    bool has_mutex, has_refit_mutex;
    tn_weight_set *present;
    atomic_uint weights_generation; /* changes with `present`, so that contexts notice without the lock */

    atomic_uint num_state_sets; /* made so far */
    atomic_size_t used_bytes[TN_NUM_ACCOUNTS];
    size_t memory_limit_bytes; /* 0: the machine's */

    pthread_t verifier; /* compares checksums of mapped weights in the background */
    bool has_verifier;
    atomic_bool verifier_stops;
    atomic_int damaged_weight; /* index of a weight whose checksum differs; −1: none found */
};

static inline const char *tn_engine_string(const tn_engine *engine, uint32_t offset) {
    return tn_plan_string(engine->view, offset);
}

/* Options as far as the caller's version of the struct has them, over the defaults. */
TN_MUST_CHECK tn_status tn_take_options(const void *options, void *complete, size_t size_bytes, const char *what);

/* After the weights are there: makes the plugins of all functions. TN_NOT_FOUND names the first that the registry lacks. */
TN_MUST_CHECK tn_status tn_engine_make_plugins(tn_engine *engine, tn_plugin_registry *registry, tn_diag *diag);
void tn_engine_destroy_plugins(tn_engine *engine);

TN_MUST_CHECK tn_status tn_function_make(tn_engine *engine, uint32_t index, tn_diag *diag);
const tn_function *tn_engine_find_function(const tn_engine *engine, const char *name); /* NULL name: the first; NULL: none */
/* The tensor of an input or output of that name; −1: none. */
int64_t tn_function_find_io(const tn_engine *engine, const tn_function *function, const char *name);

/* weights.c of the engine: forms from the plan's table, then the bytes. */
TN_MUST_CHECK tn_status tn_engine_make_weight_forms(tn_engine *engine, tn_diag *diag);
TN_MUST_CHECK tn_status tn_engine_load_weights(tn_engine *engine, const tn_engine_options *options, tn_diag *diag);
void tn_engine_stop_verifier(tn_engine *engine);

tn_weight_set *tn_weight_set_create(tn_engine *engine, tn_diag *diag); /* all slots empty */
void tn_weight_set_release(tn_weight_set *set);                        /* accepts NULL */
tn_weight_set *tn_engine_retain_weights(tn_engine *engine, unsigned *out_generation);
/* Takes over the caller's reference. */
void tn_engine_set_weights(tn_engine *engine, tn_weight_set *set);
/* A block with `size_bytes` of device memory (0: none yet), counted in the engine's account. */
TN_MUST_CHECK tn_status tn_weight_block_create(tn_engine *engine, size_t size_bytes, tn_diag *diag, tn_weight_block **out_block);
tn_weight_block *tn_weight_block_retain(tn_weight_block *block);
void tn_weight_block_release(tn_weight_block *block); /* accepts NULL */

/* Device memory within the limits of engine and machine. TN_OUT_OF_MEMORY has the table of what is in use. */
TN_MUST_CHECK tn_status tn_engine_allocate(tn_engine *engine, tn_memory_account account, const char *what, size_t size_bytes, tn_diag *diag,
                                           void **out_memory);
void tn_engine_free(tn_engine *engine, tn_memory_account account, void *memory, size_t size_bytes); /* accepts NULL */
/* What the limits leave now. */
size_t tn_engine_room_bytes(const tn_engine *engine);

#endif
