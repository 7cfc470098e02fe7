/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/engine.h: load a plan and look at what it needs. To run it, see tenon/context.h.
 *
 * An engine is a plan in memory with its weights where the device wants them. It never changes after loading, so any number
 * of contexts may use it from any threads. Refitting (below) swaps in a new set of weights; contexts that are running
 * finish on the old one.
 *
 *     tn_engine *engine;
 *     if (tn_engine_load("llama.plan", NULL, &engine) != TN_OK) return 1;   // the reason went to stderr
 *     …
 *     tn_engine_destroy(engine);                                             // after its last context
 */
#ifndef TENON_ENGINE_H_
#define TENON_ENGINE_H_

#include "tenon/device.h"
#include "tenon/dtype.h"
#include "tenon/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_engine tn_engine;

typedef enum tn_weight_loading {
    TN_WEIGHTS_AUTO = 0, /* copy below 2 GB, else map if a probe shows that as fast */
    TN_WEIGHTS_COPY,     /* into memory of the device: huge pages */
    TN_WEIGHTS_MAP,      /* host backends: in place in the mapped file */
} tn_weight_loading;

typedef struct tn_engine_options {
    size_t struct_size;                 /* set by tn_engine_options_init */
    tn_diag *diag;                      /* borrowed for the call; NULL: stderr */
    const tn_allocator *allocator;      /* copied; NULL: malloc */
    tn_device *device;                  /* borrowed, must outlive the engine; NULL: a device of the plan's backend, the engine's own */
    tn_weight_loading weight_loading;   /* default AUTO */
    bool verify_weights;                /* compare every weight's checksum before returning; default false: while copying */
    size_t memory_limit_bytes;          /* 0: what the machine and its cgroup allow */
    struct tn_plugin_registry *plugins; /* classes of the plan's plugins (tenon/plugin.h); borrowed, must outlive the engine; NULL: none */
} tn_engine_options;
TN_API void tn_engine_options_init(tn_engine_options *options);

/* Loads a plan file. Checks every table of it before use.
 * TN_NOT_FOUND       no such file
 * TN_INVALID_DATA    damaged or not a plan: the diagnostic has the offset
 * TN_NOT_FOUND       also: a plugin that options.plugins does not have, by its name
 * TN_INCOMPATIBLE    made for another device and not usable here: the hint has the command that fixes it
 * TN_OUT_OF_MEMORY   the diagnostic has the table of what was needed
 * Blocks until the weights are usable. Allocates. */
TN_API TN_MUST_CHECK tn_status tn_engine_load(const char *path, const tn_engine_options *options, tn_engine **out_engine);
/* bytes are borrowed until the engine is destroyed; 64-byte aligned. */
TN_API TN_MUST_CHECK tn_status tn_engine_load_memory(const void *bytes, size_t size_bytes, const tn_engine_options *options,
                                                     tn_engine **out_engine);
/* Straight from a plan in memory; its weights are used where they are, if the device can. The plan may be destroyed after. */
TN_API TN_MUST_CHECK tn_status tn_engine_create(tn_plan *plan, const tn_engine_options *options, tn_engine **out_engine);
TN_API void tn_engine_destroy(tn_engine *engine); /* accepts NULL */

TN_API int tn_engine_num_functions(const tn_engine *engine);
TN_API const char *tn_engine_function_name(const tn_engine *engine, int function);

typedef struct tn_io_info {
    const char *name, *role;
    tn_dtype dtype;
    tn_dims dims; /* −1: dynamic */
    bool is_input, is_on_host;
} tn_io_info;
/* function NULL: the first. */
TN_API int tn_engine_num_io(const tn_engine *engine, const char *function);
TN_API TN_MUST_CHECK tn_status tn_engine_get_io(const tn_engine *engine, const char *function, int index, tn_io_info *out_info);

/* --- refit: new values for named weights of the source; everything else is shared with the old set -------------------------- */

typedef struct tn_refitter tn_refitter;
TN_API TN_MUST_CHECK tn_status tn_refitter_create(tn_engine *engine, tn_diag *diag, tn_refitter **out_refitter);
TN_API void tn_refitter_destroy(tn_refitter *refitter); /* accepts NULL */
/* All of a source tensor in its own encoding; data is borrowed until the commit. An encoding of several parts: these one after
 * another, each aligned to 64 bytes. TN_NOT_FOUND: no recipe loads that name. */
TN_API TN_MUST_CHECK tn_status tn_refitter_set(tn_refitter *refitter, const char *name, const void *data, size_t size_bytes);
/* Names of source tensors that must be given before a stripped engine can run. */
TN_API int tn_refitter_num_missing(const tn_refitter *refitter);
TN_API const char *tn_refitter_missing(const tn_refitter *refitter, int index);
/* Repacks what the given tensors reach and swaps it in atomically. A recipe of several tensors takes those that were not given
 * from the engine's present weights. On failure the engine is as before. */
TN_API TN_MUST_CHECK tn_status tn_refitter_commit(tn_refitter *refitter);
/* The engine as a plan again, with its present weights, all inside the file. What a stripped engine still misses stays out. */
TN_API TN_MUST_CHECK tn_status tn_engine_save(const tn_engine *engine, const char *path, tn_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
