/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime.h: what the executor needs of engines beyond the public API: paged caches, sampling slots, buffers that go from one
 * function to the next. The executor never sees a backend.
 *
 * States: a tn_state_set holds the memory of all states of an engine (cache blocks, slots). Contexts of different functions
 * bind the same set; everything that touches it goes through one stream, in order.
 */
#ifndef TN_RUNTIME_RUNTIME_H_
#define TN_RUNTIME_RUNTIME_H_

#include "op/kv_geometry.h"
#include "op/slot.h"
#include "tenon/context.h"

typedef struct tn_state_set tn_state_set;

typedef struct tn_state_info {
    const char *name, *kind; /* "kv" or "slots" */
    tn_kv_geometry kv;
    int64_t window, sink_tokens;
    int64_t vocab_size, max_seq_len;
    size_t unit_bytes; /* of one block or one slot */
} tn_state_info;
int tn_engine_num_states(const tn_engine *engine);
const tn_state_info *tn_engine_get_state(const tn_engine *engine, int index); /* borrowed */

/* units[i]: blocks or slots of state i. TN_OUT_OF_MEMORY with sizes. Zeroed. */
TN_MUST_CHECK tn_status tn_state_set_create(tn_engine *engine, const int64_t *units, tn_diag *diag, tn_state_set **out_set);
void tn_state_set_destroy(tn_state_set *set);
void tn_context_set_states(tn_context *context, tn_state_set *set); /* borrowed */

typedef struct tn_block_move {
    int32_t src, dst, num_tokens;
} tn_block_move;
/* Queues copies of the first num_tokens of blocks inside state `state`. */
TN_MUST_CHECK tn_status tn_state_set_copy_blocks(tn_state_set *set, int state, const tn_block_move *moves, size_t num_moves,
                                                 tn_stream *stream, tn_diag *diag);
/* Queue copies of a whole block of a cache state to and from host memory (the state's unit_bytes, as the device has them), which must
 * stay valid until they have run. */
TN_MUST_CHECK tn_status tn_state_set_read_block(tn_state_set *set, int state, int64_t block, void *dst, tn_stream *stream, tn_diag *diag);
TN_MUST_CHECK tn_status tn_state_set_write_block(tn_state_set *set, int state, int64_t block, const void *src, tn_stream *stream,
                                                 tn_diag *diag);
/* Queues the writing of a slot's row: params, history = tokens, their counts, bias [vocab_size] or NULL. last_token becomes the
 * last of tokens. Tokens beyond params.prompt_length were drawn before: top_p is where their draws left it. The arguments may be
 * reused on return. */
TN_MUST_CHECK tn_status tn_state_set_write_slot(tn_state_set *set, int state, int64_t slot, const tn_slot_params *params,
                                                const int32_t *tokens, int64_t num_tokens, const float *bias, tn_stream *stream,
                                                tn_diag *diag);
/* Queues a copy of tn_slot.error of a slot to out_error: did the last draw find nothing to draw? */
TN_MUST_CHECK tn_status tn_state_set_read_slot_error(tn_state_set *set, int state, int64_t slot, int32_t *out_error, tn_stream *stream,
                                                     tn_diag *diag);

/* Gives an output (or input) that has no address memory of the context, for the shapes set now, and says where: device memory,
 * host memory for host tensors. To be asked before tn_context_enqueue; valid until the next tn_context_set_input_shape, then asked
 * again. For binding as another function's input. NULL + report on failure. */
void *tn_context_buffer(tn_context *context, const char *name);
/* Queues a copy of [offset, offset + size) of a bound or own tensor to host memory. */
TN_MUST_CHECK tn_status tn_context_read(tn_context *context, const char *name, size_t offset, size_t size_bytes, void *dst,
                                        tn_stream *stream);

/* Queues a copy of host memory, unchanged until it has run, to [offset, offset + size) of a bound or own tensor on the device. */
TN_MUST_CHECK tn_status tn_context_write(tn_context *context, const char *name, size_t offset, size_t size_bytes, const void *src,
                                         tn_stream *stream);

/* A point in a stream that the host can wait for. */
typedef struct tn_fence tn_fence;
TN_MUST_CHECK tn_status tn_fence_create(tn_engine *engine, tn_diag *diag, tn_fence **out_fence);
void tn_fence_destroy(tn_fence *fence); /* accepts NULL */
TN_MUST_CHECK tn_status tn_fence_record(tn_fence *fence, tn_stream *stream);
/* Blocks until the work queued before the last record is done; the first error of that work. */
TN_MUST_CHECK tn_status tn_fence_wait(tn_fence *fence, tn_diag *diag);

/* The largest value that the profile allows for a named dimension ("num_tokens"); −1 if there is none of that name. */
int64_t tn_engine_max_dim(const tn_engine *engine, const char *function, const char *dim_name);
bool tn_engine_has_function(const tn_engine *engine, const char *function);
tn_device *tn_engine_device(const tn_engine *engine);
size_t tn_engine_available_memory_bytes(const tn_engine *engine); /* what its device has left */
/* Streams run apart from the caller's thread: overlapping pays. */
bool tn_engine_is_asynchronous(const tn_engine *engine);
/* The "model" object of the plan's META; "{}" if none. Borrowed. */
const char *tn_engine_model_info(const tn_engine *engine);
/* Bytes held: weights, activations of all contexts, states. */
typedef struct tn_engine_memory {
    size_t weights_bytes, activations_bytes, states_bytes;
} tn_engine_memory;
void tn_engine_get_memory(const tn_engine *engine, tn_engine_memory *out_memory);

#endif
