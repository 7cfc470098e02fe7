/* SPDX-License-Identifier: Apache-2.0
 *
 * network.h: the graph behind include/tenon/network.h, as passes, functionals, the verifier and lowering see it.
 *
 * 1. A layer is one operation of op_kinds.def; a tensor is one output of a layer, an input, or a state of the network.
 * 2. Layers stand in one list; producers stand before users. Patterns insert new layers before the one they replace, so the
 *    order stays topological without sorting.
 * 3. Every use of a tensor is in its use-list; tn_network_replace_uses is O(uses).
 * 4. Shapes are symbols (op/symbol.h), derived when a layer is added (shape functions in network/shape_*.c). What the shape
 *    function cannot accept is recorded as an error of the network; the adder returns NULL.
 * 5. A state tensor that a layer updates comes out as a new tensor of the same memory (`state` names it). The layers that
 *    read an older version must stand before the one that makes the newer: the verifier checks it.
 * 6. Layers stand in a region; region 0 is the top. Regions are the bodies of Ifs and Loops.
 * 7. Everything (names, layers, tensors, weights recipes) lives in the network's arena and dies with it.
 *
 * Not locked: one thread at a time.
 */
#ifndef TN_NETWORK_NETWORK_H_
#define TN_NETWORK_NETWORK_H_

#include "base/arena.h"
#include "base/memory.h"
#include "op/kv_geometry.h"
#include "op/problem.h"
#include "tenon/network.h"
#include "tenon/plugin.h"
#include "tenon/rewrite.h"
#include "weights/weights.h"

typedef struct tn_use {
    tn_layer *layer;
    uint32_t input;
} tn_use;

struct tn_tensor {
    tn_network *network;
    const char *name;
    uint32_t id; /* unique in the network; never reused; what HOST_VALUE symbols name */
    tn_dtype dtype;
    uint8_t rank;
    uint8_t place; /* tn_place: where it is made. A device layer that reads a host tensor as data needs a copy, and vice versa */
    bool is_input, is_output, is_debug;
    int32_t input_index; /* of inputs: the number that INPUT_DIM symbols use; −1 else */
    tn_sym dims[TN_MAX_RANK];
    const char *dim_names[TN_MAX_RANK]; /* NULL: unnamed */
    tn_layer *producer;                 /* NULL: input or state */
    uint32_t output_index;
    const char *state;         /* name of the state whose memory this is; NULL: an ordinary tensor */
    const char *role;          /* executor role of an input or output ("input_ids"); NULL: none */
    const int64_t *host_value; /* known elements of a small host integer tensor (rank ≤ 1) as constants… */
    const tn_sym *host_syms;   /* …or symbols; NULL: unknown */
    int64_t num_host_values;
    TN_ARRAY(tn_use) uses;
};

typedef struct tn_region {
    uint32_t id, parent; /* a construct's number is the id of its first region: the branch if true, the loop's body */
    tn_layer *owner;     /* the CONDITION or TRIP_LIMIT layer (of a count, else of a condition); NULL for the top */
    bool is_else;        /* region construct + 1 */
    bool is_loop;
} tn_region;

/* Signature of a functional call, recorded so that patterns can match an opaque call by its arguments (design §6). Arguments and
 * outputs are never changed in place: a changed list is a new one, so that saving a call is saving this struct. */
struct tn_call {
    tn_network *network;
    const char *functional; /* "attention" */
    tn_call *outer;         /* NULL: none */
    tn_call *previous;      /* of the network, in the order of their beginning */
    const tn_call_argument *arguments;
    tn_tensor *const *outputs;
    uint32_t num_arguments, num_outputs;
    bool is_removed;
};

struct tn_layer {
    tn_network *network;
    const char *name;
    uint32_t id;
    tn_op_kind kind;
    tn_op_params params;
    TN_ARRAY(tn_tensor *) inputs;     /* NULL for an absent optional one; all optional ones stand in the list */
    TN_ARRAY(uint32_t) use_positions; /* of each input: where in its tensor's use-list this layer stands */
    TN_ARRAY(tn_tensor *) outputs;
    tn_epilogue epilogues[TN_MAX_EPILOGUES];
    uint32_t num_epilogues;
    const tn_weights *weights; /* CONSTANT */
    uint32_t region;
    tn_activation_precision precision; /* a constraint set by the user; AUTO: none */
    const char *metadata;
    tn_plugin *plugin; /* of PLUGIN, held; NULL else */
    tn_call *call;     /* the functional this layer belongs to; NULL: none */
    uint64_t order;    /* grows along the list of layers */
    tn_layer *previous, *next;
    bool is_dead;            /* replaced or unused, waiting for the sweep; uses nothing any more */
    bool is_live, is_queued; /* scratch of the sweep and of the rewriting driver; false between */
    tn_layer *next_retired;  /* scratch of tn_network_retire */
};

typedef struct tn_network_state {
    const char *name;                /* "kv.0", "slots" */
    const char *kind;                /* "kv", "slots" */
    tn_kv_geometry kv;               /* of kv */
    int64_t window, sink_tokens;     /* of kv: the largest any reader needs; 0 = all */
    int64_t vocab_size, max_seq_len; /* of slots */
    tn_tensor *tensor;               /* the version that a step starts with */
    tn_tensor *last;                 /* the version that it leaves behind; the same if nothing updates it */
} tn_network_state;

struct tn_network {
    const tn_allocator *allocator;
    tn_allocator allocator_copy;
    tn_diag *diag;
    tn_arena arena;
    tn_symbols *symbols;
    uint32_t flags;
    const char *name; /* the plan function's; "forward" by default */
    tn_layer *first_layer, *last_layer;
    uint32_t num_layers, next_id;
    TN_ARRAY(tn_tensor *) tensors, inputs, outputs;
    TN_ARRAY(tn_region) regions;
    TN_ARRAY(tn_network_state) states;
    uint32_t current_region; /* where adders put layers */
    tn_layer *insert_before; /* adders insert before this layer; NULL: at the end */
    tn_call *current_call, *last_call;
    tn_plugin *adding_plugin;                         /* of the PLUGIN layer that is being added */
    void (*layer_added)(void *user, tn_layer *layer); /* called for each new layer; the rewriting driver's. NULL: none */
    void *layer_added_user;
    const char *frozen_by;  /* the pattern that only looks at present: nothing may be changed; NULL: none */
    bool unfused_are_debug; /* so are all outputs of layers that are left when the passes have run */
    bool failed;            /* an adder failed: the build refuses and the diag has the reasons */
    bool out_of_memory;
};

/* The adder behind all adders: checks arity, dtypes and shapes, makes the outputs. `inputs` may hold NULL for absent optional
 * ones. name NULL: "<op>_<id>". Returns NULL after recording the error. */
tn_layer *tn_network_add_layer(tn_network *network, tn_op_kind kind, const tn_op_params *params, tn_tensor *const *inputs,
                               uint32_t num_inputs, const char *name);
/* The same with epilogues, for passes; epilogue operands are among the inputs. */
tn_layer *tn_network_add_fused_layer(tn_network *network, tn_op_kind kind, const tn_op_params *params, tn_tensor *const *inputs,
                                     uint32_t num_inputs, const tn_epilogue *epilogues, uint32_t num_epilogues, const char *name);
/* A constant from a recipe. */
tn_tensor *tn_network_add_weights(tn_network *network, const tn_weights *weights, const char *name);
/* States: dims are [1], since the extent is the runtime's; the tensor is the version that a step starts with. */
tn_tensor *tn_network_add_kv_state(tn_network *network, const char *name, const tn_kv_geometry *geometry, int64_t window,
                                   int64_t sink_tokens);
tn_tensor *tn_network_add_slots_state(tn_network *network, int64_t vocab_size, int64_t max_seq_len);
void tn_tensor_set_role(tn_tensor *tensor, const char *role);

/* All uses of `from` (also as network output, which then takes from's name and role) become uses of `to`. */
void tn_network_replace_uses(tn_network *network, tn_tensor *from, tn_tensor *to);
/* Without checks, and without deriving anything again (tn_layer_change does both). */
void tn_layer_connect(tn_layer *layer, uint32_t index, tn_tensor *tensor);
/* Marks the layer dead if nothing needs it (see sweep), and then those of its producers that nothing needs any more. */
void tn_network_retire(tn_network *network, tn_layer *layer);
/* Unlinks layers none of whose outputs is used, an output, debug tensor or the last version of a state; repeats. */
void tn_network_sweep(tn_network *network);
/* Unlinks the dead layers only: what is not used yet stays. */
void tn_network_remove_dead(tn_network *network);
/* Why `to` cannot take all uses of `from`: reported to the network's diag, without marking the network as failed. */
TN_MUST_CHECK tn_status tn_tensor_check_replacement(const tn_tensor *from, const tn_tensor *to);
/* In calls that name `from`: `to` from now on. After tn_tensor_check_replacement, before the uses move. False: out of memory. */
bool tn_network_replace_in_calls(tn_network *network, const tn_tensor *from, tn_tensor *to);

/* The graph as it is (layers, tensors, uses, outputs, regions, states, calls, symbols), to go back to while no layer has been
 * unlinked since. Restoring cannot fail; what was added since is forgotten, its memory stays in the arena. */
typedef struct tn_network_saved tn_network_saved;
TN_MUST_CHECK tn_status tn_network_save(const tn_network *network, tn_network_saved **out_saved);
void tn_network_restore(tn_network *network, const tn_network_saved *saved);
void tn_network_saved_destroy(tn_network_saved *saved); /* accepts NULL */

/* Everything wrong, all at once, into the diag; TN_INVALID_ARGUMENT if anything is. */
TN_MUST_CHECK tn_status tn_network_verify(tn_network *network, tn_diag *diag);

/* Text form, one line a layer; tn_network_parse reads back what tn_network_print wrote (weights by name from `source`). */
struct tn_text;
void tn_network_print(const tn_network *network, struct tn_text *out);
/* "float32 [num_tokens, 576]" and one dimension of it. */
void tn_tensor_print_type(const tn_tensor *tensor, struct tn_text *out);
void tn_network_print_dim(const tn_network *network, tn_sym dim, struct tn_text *out);
/* Graphviz: layers as boxes, regions as clusters. */
void tn_network_print_dot(const tn_network *network, struct tn_text *out);
tn_network *tn_network_parse(const char *text, tn_weight_source *source, const tn_network_options *options);

/* Does the layer run on the host? So do layers that make host tensors, and CONDITION and TRIP_LIMIT. */
bool tn_layer_is_on_host(const tn_layer *layer);
/* The elements of a small integer tensor as symbols (host_syms): folded where the layers before it can be, else HOST_VALUE of
 * a tensor that is now placed on the host, or that stays on the device and must be read back. False, without a report, if it
 * has no fixed number of elements or too many. */
bool tn_tensor_require_host(tn_tensor *tensor);

/* The problem that a layer states; operands, epilogues and params live in the arena. Layouts are NULL. An operand's place is
 * where the step wants it: shape inputs (reshape, start, dims …) and all operands of host layers on the host, else the device.
 * A CONSTANT states no problem: TN_INVALID_ARGUMENT. */
TN_MUST_CHECK tn_status tn_layer_make_problem(const tn_layer *layer, tn_arena *arena, tn_problem *out_problem, tn_diag *diag);

/* The constant behind a tensor, or NULL. */
const tn_weights *tn_tensor_weights(const tn_tensor *tensor);

#endif
