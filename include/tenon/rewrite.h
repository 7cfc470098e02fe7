/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/rewrite.h: look at a network as a graph, and change it by patterns. To define one, see tenon/network.h.
 *
 * A pattern looks at one layer (its root) and what stands around it. It never edits a layer: it adds new ones on the old inputs
 * and gives what they make to the users of the old outputs. What nothing reads any more leaves the network when the run ends.
 *
 *     static bool is_sum(tn_rewriter *rewriter, tn_layer *layer) {
 *         return tn_layer_has(layer, "op", TN_ELEMENTWISE_SUM);
 *     }
 *     static bool make_sub(tn_rewriter *rewriter, tn_layer *layer) {
 *         tn_layer *sub = tn_network_add_elementwise(tn_layer_network(layer), tn_layer_input(layer, 0), tn_layer_input(layer, 1),
 *                                                    TN_ELEMENTWISE_SUB);
 *         return tn_tensor_replace_all_uses_with(tn_layer_output(layer, 0), tn_layer_output(sub, 0)) == TN_OK;
 *     }
 *
 *     tn_pattern_rewriter pattern;
 *     tn_pattern_rewriter_init(&pattern);
 *     pattern.name = "add_becomes_sub";
 *     pattern.root_kinds = (const char *const[]){"elementwise"};
 *     pattern.num_root_kinds = 1;
 *     pattern.match = is_sum;
 *     pattern.rewrite = make_sub;
 *     tn_pattern_manager *manager;    tn_pattern_manager_create(NULL, &manager);
 *     tn_pattern_manager_add_rewriter(manager, "add_to_sub", &pattern);
 *     size_t num_rewrites;            tn_pattern_manager_rewrite(manager, network, NULL, &num_rewrites);
 *     tn_pattern_manager_destroy(manager);
 *
 * A run
 * 1. Every layer is shown to the patterns that want its kind: larger benefit first, ties in the order of adding. New layers,
 *    and layers around a change, are shown again, until nothing changes any more.
 * 2. A layer that was replaced or removed is shown to no further pattern.
 * 3. New layers are put before the root and into its region (the body of an If or Loop) and belong to its call; a guard
 *    (below) puts them elsewhere.
 * 4. A run that fails leaves the network as it was before: layers, uses, names, outputs, calls. It fails where a call of this
 *    header or an adder fails in a pattern, where memory is missing, where a pattern says so (tn_rewriter_fail), or where
 *    patterns do not settle; the diagnostic of the network has the reason and the pattern's name.
 * 5. Cost: linear in layers plus uses touched, and a copy of the graph for 4.
 *
 * In a pattern   match and analyze may call what only asks; adders, setters and marks are refused there, by name.
 *                rewrite and match_and_rewrite may call all of this header and of tenon/network.h on this network, but no
 *                other run of it, and may neither build nor destroy it or the manager.
 *
 * Ownership: layers, tensors and calls belong to the network and live as long as it, also when removed: a removed layer has no
 * inputs and outputs, and a removed tensor neither parent nor users. Strings are copied. Not locked: one thread a network.
 */
#ifndef TENON_REWRITE_H_
#define TENON_REWRITE_H_

#include "tenon/layer.h"
#include "tenon/network.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- the graph; NULL asks for nothing: NULL, 0 or false ------------------------------------------------------------------- */

TN_API tn_layer *tn_tensor_parent(const tn_tensor *tensor); /* what makes it; NULL: an input or a state */
/* Layers that read it; one that reads it twice is there twice. The order changes when uses do. */
TN_API int tn_tensor_num_users(const tn_tensor *tensor);
TN_API tn_layer *tn_tensor_user(const tn_tensor *tensor, int index); /* NULL out of range */
TN_API int tn_tensor_user_input(const tn_tensor *tensor, int index); /* which input of that layer it is; −1 out of range */
TN_API tn_network *tn_layer_network(const tn_layer *layer);
TN_API bool tn_layer_is_removed(const tn_layer *layer);
/* Layers in their order: the first one for NULL; NULL after the last. Removed ones are left out. */
TN_API tn_layer *tn_network_next_layer(const tn_network *network, const tn_layer *layer);

/* Parameters of layers ("op", "axis", "epsilon"): tenon/layer.h. */

/* --- changing it ---------------------------------------------------------------------------------------------------------- */

/* All users of `from` read `to` from now on, in O(users). If `from` is an output of the network, `to` takes its place, name and
 * role. Calls that have `from` as an argument get `to`. `from` is still computed until nothing reads its layer and a run ends.
 * TN_INVALID_ARGUMENT, and nothing is changed: one is missing, of another network, removed or a state; their types or shapes
 * differ or cannot be shown to be equal; shapes depend on from's values, and to's differ; `to` stands inside a loop or
 * conditional that a user is outside of, or after a user (then the user may be what `to` is made from: a cycle). */
TN_API TN_MUST_CHECK tn_status tn_tensor_replace_all_uses_with(tn_tensor *from, tn_tensor *to);

/* Takes the layer out, and the layers that only it needed; it must have no users and be no output. The root of a rewrite need
 * not be marked: it goes when nothing reads it any more. A removed layer has no call. */
TN_API TN_MUST_CHECK tn_status tn_layer_mark_as_removed(tn_layer *layer);

/* Where adders put layers: before `before` and in its region, until the guard ends; before NULL: at the end of the network's
 * top. Guards nest, and every begin needs its end. In a pattern the network stands before the root already. */
typedef struct tn_network_guard {
    tn_network *network;
    tn_layer *insert_before;
    uint32_t region;
    const void *call;
} tn_network_guard;
TN_API tn_network_guard tn_network_guard_begin(tn_network *network, tn_layer *before);
TN_API void tn_network_guard_end(tn_network_guard *guard);

/* --- calls: what FLayerInfo is in TensorRT-LLM ----------------------------------------------------------------------------
 *
 * A functional is a function that adds layers. It records its call, so that a pattern finds "an attention" by its arguments
 * where the network has many layers, or one whose inputs say nothing:
 *
 *     tn_call_argument arguments[] = {{.name = "qkv", .tensor = qkv}, {.name = "num_heads", .number = 16}};
 *     tn_call *call = tn_call_begin(network, "gpt_attention", arguments, 2);
 *     …                                                 // adders, other functionals
 *     tn_call_end(call, &output, 1);
 *
 * The functionals that models are made of record linear, rms_norm, layer_norm, embedding, attention, gated_mlp, mlp and moe.
 * Arguments follow tn_tensor_replace_all_uses_with, so that a call always names what its layers read. */

typedef struct tn_call tn_call;

/* A tensor, a list of tensors, a text, or else a number. */
typedef struct tn_call_argument {
    const char *name;
    tn_tensor *tensor;
    double number;
    const char *text;
    tn_tensor *const *tensors;
    uint32_t num_tensors;
} tn_call_argument;

/* Layers added until tn_call_end belong to the call. Calls nest. NULL after recording the error. */
TN_API tn_call *tn_call_begin(tn_network *network, const char *functional, const tn_call_argument *arguments, uint32_t num_arguments);
/* One more argument of a call that has not ended: what it makes itself, such as constants. */
TN_API void tn_call_add_argument(tn_call *call, const tn_call_argument *argument);
/* call NULL: nothing. A call without outputs, or one that is not the innermost open one, is recorded as an error. */
TN_API void tn_call_end(tn_call *call, tn_tensor *const *outputs, uint32_t num_outputs);

/* The memo: the innermost call that the layer belongs to; NULL: none, or the layer or the call is removed. */
TN_API tn_call *tn_layer_call(const tn_layer *layer);
TN_API tn_call *tn_call_outer(const tn_call *call); /* the one it was made in; NULL: none */
TN_API const char *tn_call_functional(const tn_call *call);
TN_API int tn_call_num_arguments(const tn_call *call);
TN_API const tn_call_argument *tn_call_get_argument(const tn_call *call, int index); /* NULL out of range */
/* By name; NULL: none. The answer is valid until the call changes. */
TN_API const tn_call_argument *tn_call_find_argument(const tn_call *call, const char *name);
TN_API tn_tensor *tn_call_input(const tn_call *call, const char *name); /* the tensor of that name, or NULL */
TN_API int tn_call_num_outputs(const tn_call *call);
TN_API tn_tensor *tn_call_output(const tn_call *call, int index);
/* The arguments, to change and to call again with: min(capacity, all) of them are written to `arguments`; returns how many
 * there are. What they point to is borrowed from the call. */
TN_API uint32_t tn_call_clone_arguments(const tn_call *call, tn_call_argument *arguments, uint32_t capacity);
/* In the record only, also in lists; layers do not change. TN_NOT_FOUND: it has no such argument. */
TN_API TN_MUST_CHECK tn_status tn_call_replace_input_with(tn_call *call, tn_tensor *from, tn_tensor *to);
/* Each output's users read the new one, which takes its name (the old one's gets "_deprecated" behind it) and, where it is an
 * output of the network, its place. A new output of another type is cast to the old one's. The call is removed then: its layers
 * have none any more. Errors are those of tn_tensor_replace_all_uses_with, or another number of outputs; nothing is changed. */
TN_API TN_MUST_CHECK tn_status tn_call_replace_outputs_uses_with(tn_call *call, tn_tensor *const *outputs, uint32_t num_outputs);

/* --- patterns ------------------------------------------------------------------------------------------------------------- */

typedef struct tn_rewriter tn_rewriter; /* what a pattern is given; lives as long as the run */
TN_API tn_network *tn_rewriter_network(const tn_rewriter *rewriter);
TN_API void *tn_rewriter_args(const tn_rewriter *rewriter);       /* of this run */
TN_API void *tn_rewriter_user(const tn_rewriter *rewriter);       /* of this pattern */
TN_API const char *tn_rewriter_name(const tn_rewriter *rewriter); /* of this pattern */
/* Ends the run with that status (TN_OK counts as TN_INVALID_ARGUMENT) and "pattern '<name>' failed at layer '<name>': <text>".
 * Returns false, so that it can end a pattern. */
TN_API bool tn_rewriter_fail(tn_rewriter *rewriter, tn_status status, const char *format, ...) TN_PRINTF(3, 4);

/* Changes the network. Either match and rewrite, or match_and_rewrite. */
typedef struct tn_pattern_rewriter {
    size_t struct_size; /* set by tn_pattern_rewriter_init */
    const char *name;
    const char *const *root_kinds; /* as tn_layer_kind says them: "elementwise" */
    uint32_t num_root_kinds;       /* 0: every layer is tried */
    int benefit;                   /* larger is tried first; default 0 */
    void *user;                    /* the pattern's own, for tn_rewriter_user */
    bool (*match)(tn_rewriter *rewriter, tn_layer *layer);
    /* True: the network was changed. False without an error: it was not. */
    bool (*rewrite)(tn_rewriter *rewriter, tn_layer *layer);
    bool (*match_and_rewrite)(tn_rewriter *rewriter, tn_layer *layer);
} tn_pattern_rewriter;
TN_API void tn_pattern_rewriter_init(tn_pattern_rewriter *pattern);

/* Looks and changes nothing. */
typedef struct tn_pattern_analyzer {
    size_t struct_size; /* set by tn_pattern_analyzer_init */
    const char *name;
    const char *const *root_kinds;
    uint32_t num_root_kinds;
    int benefit;
    void *user;
    bool (*match)(tn_rewriter *rewriter, tn_layer *layer); /* NULL: every layer of its kinds */
    void (*analyze)(tn_rewriter *rewriter, tn_layer *layer);
} tn_pattern_analyzer;
TN_API void tn_pattern_analyzer_init(tn_pattern_analyzer *pattern);

/* --- managers: patterns by label ------------------------------------------------------------------------------------------ */

typedef struct tn_pattern_manager tn_pattern_manager;

typedef struct tn_pattern_manager_options {
    size_t struct_size;            /* set by tn_pattern_manager_options_init */
    tn_diag *diag;                 /* of adding patterns; runs report to the network's. Borrowed; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
} tn_pattern_manager_options;
TN_API void tn_pattern_manager_options_init(tn_pattern_manager_options *options);

TN_API TN_MUST_CHECK tn_status tn_pattern_manager_create(const tn_pattern_manager_options *options, tn_pattern_manager **out_manager);
TN_API void tn_pattern_manager_destroy(tn_pattern_manager *manager); /* accepts NULL */
/* Copies label and pattern; label NULL: the pattern's name. Rewriters and analyzers share the labels.
 * TN_INVALID_ARGUMENT: the label is taken, the pattern has no name or nothing to run (or both forms), or an unknown root kind. */
TN_API TN_MUST_CHECK tn_status tn_pattern_manager_add_rewriter(tn_pattern_manager *manager, const char *label,
                                                               const tn_pattern_rewriter *pattern);
TN_API TN_MUST_CHECK tn_status tn_pattern_manager_add_analyzer(tn_pattern_manager *manager, const char *label,
                                                               const tn_pattern_analyzer *pattern);
TN_API const tn_pattern_rewriter *tn_pattern_manager_get_rewriter(const tn_pattern_manager *manager, const char *label); /* NULL: none */
TN_API const tn_pattern_analyzer *tn_pattern_manager_get_analyzer(const tn_pattern_manager *manager, const char *label);

/* Runs the rewriters to a fixpoint; *out_num_rewrites (may be NULL) is the number of rewrites.
 * TN_INVALID_ARGUMENT  the network has errors already, a pattern used it wrongly, or patterns do not settle (the busiest is named)
 * TN_UNAVAILABLE       a run of this network is under way: the call comes from a pattern
 * TN_OUT_OF_MEMORY     the network is as it was */
TN_API TN_MUST_CHECK tn_status tn_pattern_manager_rewrite(tn_pattern_manager *manager, tn_network *network, void *args,
                                                          size_t *out_num_rewrites);
/* Shows every layer once to each analyzer that wants it; *out_num_matches (may be NULL) counts matches. Also in a pattern. */
TN_API TN_MUST_CHECK tn_status tn_pattern_manager_analyze(tn_pattern_manager *manager, tn_network *network, void *args,
                                                          size_t *out_num_matches);

#ifdef __cplusplus
}
#endif
#endif
