/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/context.h: one execution of one function of an engine: shapes, addresses, activation memory.
 *
 *     tn_context *ctx;
 *     tn_context_create(engine, NULL, &ctx);
 *     tn_context_set_input_shape(ctx, "x", TN_DIMS(4, 784));
 *     tn_context_set_address(ctx, "x", in);
 *     tn_context_set_address(ctx, "y", out);
 *     tn_context_enqueue(ctx, NULL);                     // NULL stream: returns when done
 *
 * A context is used by one thread at a time; contexts of one engine are independent. Shapes and addresses stay set.
 */
#ifndef TENON_CONTEXT_H_
#define TENON_CONTEXT_H_

#include "tenon/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_context tn_context;

typedef struct tn_context_options {
    size_t struct_size;            /* set by tn_context_options_init */
    tn_diag *diag;                 /* borrowed until the context is destroyed; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: the engine's */
    const char *function;          /* NULL: the first */
    int profile;                   /* default 0 */
} tn_context_options;
TN_API void tn_context_options_init(tn_context_options *options);

TN_API TN_MUST_CHECK tn_status tn_context_create(tn_engine *engine, const tn_context_options *options, tn_context **out_context);
TN_API void tn_context_destroy(tn_context *context); /* waits for its work; accepts NULL */

/* TN_INVALID_ARGUMENT: unknown input, wrong rank, a fixed dimension differs, or outside the profile (both ranges in the text). */
TN_API TN_MUST_CHECK tn_status tn_context_set_input_shape(tn_context *context, const char *input, tn_dims dims);
/* The shape of an output for the inputs set; −1 where it is known only after running. */
TN_API TN_MUST_CHECK tn_status tn_context_get_shape(const tn_context *context, const char *name, tn_dims *out_dims);

/* Bytes that the memory of an input or output must have for the inputs set: of its shape, or of its bound where that is known only
 * after running. */
TN_API TN_MUST_CHECK tn_status tn_context_get_max_size(tn_context *context, const char *name, size_t *out_bytes);

/* Inputs whose elements shapes depend on are read when the function is enqueued; TN_INVALID_ARGUMENT then, where one is outside the
 * profile's range of values.
 *
 * Memory that the device can reach (cpu: any; ref async and cuda: device memory) of at least the tensor's bytes; of an output
 * whose size is known only after running, the bytes of its bound. Host inputs and outputs: host memory. NULL: not set. */
TN_API TN_MUST_CHECK tn_status tn_context_set_address(tn_context *context, const char *name, void *memory);
/* Host memory on any device: inputs are copied in before, outputs out after the function. With a stream of the caller's it must
 * stay valid and unchanged until that was synchronised. */
TN_API TN_MUST_CHECK tn_status tn_context_set_host_address(tn_context *context, const char *name, void *memory);

/* Runs the function. NULL stream: returns when done; else it returns when the work is queued.
 * TN_INVALID_ARGUMENT: something is not set, or dimensions of one name differ. TN_OUT_OF_MEMORY: activations. */
TN_API TN_MUST_CHECK tn_status tn_context_enqueue(tn_context *context, tn_stream *stream);

/* Debug tensors (tn_network_mark_debug): called with a host copy after the step that made it, on the thread that enqueues. */
typedef void (*tn_debug_callback)(void *user, const char *name, tn_dtype dtype, const int64_t *dims, int rank, const void *data);
TN_API void tn_context_set_debug_callback(tn_context *context, tn_debug_callback callback, void *user);

/* Time of each step, summed over runs since the profiler was set: called at the end of each run, once for each step that ran in
 * it. Runs are synchronous meanwhile. NULL: off. */
typedef void (*tn_profile_callback)(void *user, const char *step, const char *problem, const char *tactic, int64_t duration_ns);
TN_API void tn_context_set_profiler(tn_context *context, tn_profile_callback callback, void *user);

#ifdef __cplusplus
}
#endif
#endif
