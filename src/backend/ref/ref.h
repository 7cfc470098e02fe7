/* SPDX-License-Identifier: Apache-2.0
 *
 * ref.h: what the files of the reference backend share: a call, views of its operands, and element access.
 *
 * A kernel is one function that runs a whole problem on one thread. It reads operands through views, computes in double (in
 * int64 for integers), and rounds where it stores. It allocates nothing: what it needs beyond the operands is the workspace.
 */
#ifndef TN_BACKEND_REF_REF_H_
#define TN_BACKEND_REF_REF_H_

#include "backend/backend.h"

typedef struct tn_ref_call {
    const tn_problem *problem;
    void *const *buffers; /* as tn_bound_step.buffers, without the workspace */
    const int64_t *symbols;
    void *workspace; /* tn_ref_kernel.workspace_bytes of these symbols */
    bool on_host;    /* a host step: division by zero is an error, not 0 */
    tn_diag *diag;
} tn_ref_call;

/* An operand with its memory, its shape at this call, and the type of what lies there. */
typedef struct tn_ref_view {
    bool absent;
    tn_dtype dtype;              /* of the stored elements; of an encoded weight what it decodes to */
    const tn_encoding *encoding; /* of an encoded weight, else NULL */
    tn_weight_parts parts;       /* of an encoded weight */
    void *data;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t rows, columns, count; /* count = rows · columns, in elements */
    size_t row_bytes;
} tn_ref_view;

tn_ref_view tn_ref_operand(const tn_ref_call *call, uint32_t index);
uint32_t tn_ref_num_buffers(const tn_problem *problem); /* entries of tn_bound_step.buffers before the workspace */
static inline tn_ref_view tn_ref_output(const tn_ref_call *call, uint32_t index) {
    return tn_ref_operand(call, call->problem->num_inputs + index);
}
/* absent too when the list ends before it */
tn_ref_view tn_ref_input(const tn_ref_call *call, uint32_t index);

/* Element `index` in row-major order. Not for encoded weights and quantised rows. Integers other than uint64 are exact through
 * the _int forms, which wrap on store. */
double tn_ref_load(const tn_ref_view *view, int64_t index);
void tn_ref_store(const tn_ref_view *view, int64_t index, double value);
int64_t tn_ref_load_int(const tn_ref_view *view, int64_t index);
void tn_ref_store_int(const tn_ref_view *view, int64_t index, int64_t value);
/* The same bits if the types are equal, else through double. */
void tn_ref_copy(const tn_ref_view *dst, int64_t dst_index, const tn_ref_view *src, int64_t src_index);

/* Columns [begin, begin + count) of a row, of anything: encoded weights are decoded, quantised rows give scale · q exactly.
 * begin and count are multiples of TN_REF_CHUNK unless the range ends the row. */
#define TN_REF_CHUNK 64
void tn_ref_load_columns(const tn_ref_view *view, int64_t row, int64_t begin, int64_t count, double *out);
/* The inverse, rounding once; quantised rows by tn_quantize_columns (begin and count multiples of 32 but at the end). */
void tn_ref_store_columns(const tn_ref_view *view, int64_t row, int64_t begin, int64_t count, const double *values);

bool tn_ref_is_integer(tn_dtype dtype); /* bool counts; what the _int forms are for */

/* Strides in elements of `view` for walking an output of rank `rank`; 0 where it broadcasts. Leading dimensions may lack. */
void tn_ref_broadcast_strides(const tn_ref_view *view, int rank, int64_t strides[TN_MAX_RANK]);
/* Row-major index → Σ coordinate · stride. */
int64_t tn_ref_offset(const tn_ref_view *shape, int64_t index, const int64_t strides[TN_MAX_RANK]);

double tn_ref_activation(tn_activation_type type, double x);

/* Applies the problem's epilogues to columns [begin, begin + count) of a row and stores them in output 0. GATED halves the
 * columns: begin and count are then multiples of 32. `group`: the row of a rank-2 bias (an expert's). */
#define TN_REF_STRIP 16
void tn_ref_finish_columns(const tn_ref_call *call, int64_t row, int64_t group, int64_t begin, int64_t count, double *values);
bool tn_ref_is_gated(const tn_problem *problem);

/* The paged cache as ref keeps it. Block: for each layer K [kv_heads][tokens][k_dim], V [kv_heads][tokens][v_dim], then of scaled
 * types (op/kv_geometry.h) the scales of K and of V [kv_heads][tokens]. */
size_t tn_ref_kv_block_bytes(const tn_kv_geometry *geometry);
/* Byte offset in the state of the first element of one token's key or value. */
size_t tn_ref_kv_offset(const tn_kv_geometry *geometry, int64_t block, int64_t layer, bool is_value, int64_t head, int64_t token);
/* Of one token's key or value: what its levels are multiplied by; 1 where the type is not scaled. */
double tn_ref_kv_scale(const tn_kv_geometry *geometry, const void *state, int64_t block, int64_t layer, bool is_value, int64_t head,
                       int64_t token);
void tn_ref_kv_copy_blocks(const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies, size_t num_copies);

/* Where each token of a step stands: its sequence, and its index there; −1 for tokens after the last sequence. */
typedef struct tn_ref_tokens {
    tn_ref_view query_start, kv_length, block_table;
} tn_ref_tokens;
bool tn_ref_find_token(const tn_ref_tokens *tokens, int64_t token, int64_t *out_sequence, int64_t *out_index);
/* Block of position `index` of a sequence; negative: dropped or not there. */
int64_t tn_ref_find_block(const tn_ref_tokens *tokens, int64_t sequence, int64_t index, int64_t tokens_per_block);

/* Rotates the first `rotary_dim` of one head in place by a row of the table (cos, then sin). */
void tn_ref_rotate(tn_rotary_type type, const tn_ref_view *table, int64_t token, double *head, int64_t head_dim);

/* --- the table ---------------------------------------------------------------------------------------------------------- */

typedef tn_status (*tn_ref_function)(const tn_ref_call *call);

/* What a kernel takes. Types are checked by class; `check` (may be NULL) says the rest. */
enum {
    TN_REF_FLOAT = 1,   /* floats of all widths */
    TN_REF_INTEGER = 2, /* all but uint64 */
    TN_REF_BOOL = 4,
    TN_REF_QUANTIZED = 8, /* q15_32, q8_32 */
    TN_REF_ENCODED = 16,  /* a weight that is not PLAIN */
    TN_REF_UINT64 = 32,
    TN_REF_COMPLEX = 64,
    TN_REF_NUMBER = TN_REF_FLOAT | TN_REF_INTEGER,
    TN_REF_ELEMENT = TN_REF_NUMBER | TN_REF_BOOL,
    TN_REF_ANY = TN_REF_ELEMENT | TN_REF_UINT64 | TN_REF_COMPLEX,
};

typedef struct tn_ref_kernel {
    tn_ref_function run; /* NULL: not one of ref's */
    uint8_t inputs[8];   /* classes by input; the last listed goes for all after it; states are not checked */
    uint8_t outputs;     /* classes of all outputs */
    bool takes_epilogues, takes_quantize;
    bool (*check)(const tn_problem *problem, char *reason, size_t reason_size);
    size_t (*workspace_bytes)(const tn_problem *problem, const int64_t *symbols);
} tn_ref_kernel;

const tn_ref_kernel *tn_ref_find_kernel(tn_op_kind kind);
size_t tn_ref_workspace_bytes(const tn_problem *problem, const int64_t *symbols);
/* Runs with a workspace that the caller has. */
tn_status tn_ref_run_call(const tn_ref_call *call);
bool tn_ref_refuse(char *reason, size_t reason_size, const char *format, ...) TN_PRINTF(3, 4); /* returns false */

#define TN_REF_NUM_TACTICS 51
extern const tn_tactic *const tn_ref_tactics[TN_REF_NUM_TACTICS];
/* Runs a launched step of one of these on memory that this thread can read. */
tn_status tn_ref_run_step(const tn_bound_step *step, void *const *buffers, tn_diag *diag);

/* --- the device ----------------------------------------------------------------------------------------------------------- */

/* Two vtables under one name: async memory is not the host's. */
extern const tn_backend tn_ref_backend, tn_ref_async_backend;

typedef struct tn_ref_device {
    tn_device base;
    unsigned seed;
    _Atomic size_t used_bytes;
    size_t limit_bytes;           /* 0: none */
    struct tn_ref_memory *memory; /* async only */
} tn_ref_device;

const tn_allocator *tn_ref_device_allocator(const tn_device *device); /* for host objects */
size_t tn_ref_device_kv_block_bytes(const tn_device *device, const tn_kv_geometry *geometry);
/* Counts `size_bytes` in; TN_OUT_OF_MEMORY reports size and limit. */
tn_status tn_ref_device_take(tn_ref_device *device, size_t size_bytes, tn_diag *diag);
void tn_ref_device_give_back(tn_ref_device *device, size_t size_bytes);

tn_status tn_ref_identity(const tn_ref_call *call);
tn_status tn_ref_cast(const tn_ref_call *call);
tn_status tn_ref_shape(const tn_ref_call *call);
tn_status tn_ref_fill(const tn_ref_call *call);
tn_status tn_ref_unary(const tn_ref_call *call);
tn_status tn_ref_activate(const tn_ref_call *call);
tn_status tn_ref_elementwise(const tn_ref_call *call);
tn_status tn_ref_select(const tn_ref_call *call);
tn_status tn_ref_reduce(const tn_ref_call *call);
tn_status tn_ref_softmax(const tn_ref_call *call);
tn_status tn_ref_normalize(const tn_ref_call *call);
tn_status tn_ref_shuffle(const tn_ref_call *call);
tn_status tn_ref_slice(const tn_ref_call *call);
tn_status tn_ref_concatenate(const tn_ref_call *call);
tn_status tn_ref_gather(const tn_ref_call *call);
tn_status tn_ref_non_zero(const tn_ref_call *call);
tn_status tn_ref_matmul(const tn_ref_call *call);
tn_status tn_ref_grouped_matmul(const tn_ref_call *call);
tn_status tn_ref_quantize(const tn_ref_call *call);
tn_status tn_ref_dequantize(const tn_ref_call *call);
tn_status tn_ref_quantize_rows(const tn_ref_call *call);
tn_status tn_ref_token_ids(const tn_ref_call *call);
tn_status tn_ref_rotary_table(const tn_ref_call *call);
tn_status tn_ref_rotary(const tn_ref_call *call);
tn_status tn_ref_kv_cache_update(const tn_ref_call *call);
tn_status tn_ref_attention(const tn_ref_call *call);
tn_status tn_ref_qkv_cache(const tn_ref_call *call);
tn_status tn_ref_route(const tn_ref_call *call);
tn_status tn_ref_combine(const tn_ref_call *call);
tn_status tn_ref_sample(const tn_ref_call *call);
tn_status tn_ref_assert(const tn_ref_call *call);
tn_status tn_ref_parametric_relu(const tn_ref_call *call);
tn_status tn_ref_scale(const tn_ref_call *call);
tn_status tn_ref_lrn(const tn_ref_call *call);
tn_status tn_ref_normalize_nd(const tn_ref_call *call);
tn_status tn_ref_ragged_softmax(const tn_ref_call *call);
tn_status tn_ref_topk(const tn_ref_call *call);
tn_status tn_ref_cumulate(const tn_ref_call *call);
tn_status tn_ref_scatter(const tn_ref_call *call);
tn_status tn_ref_one_hot(const tn_ref_call *call);
tn_status tn_ref_reverse_sequence(const tn_ref_call *call);
tn_status tn_ref_nms(const tn_ref_call *call);
tn_status tn_ref_convolve(const tn_ref_call *call);
tn_status tn_ref_deconvolve(const tn_ref_call *call);
tn_status tn_ref_pool(const tn_ref_call *call);
tn_status tn_ref_resize(const tn_ref_call *call);
tn_status tn_ref_grid_sample(const tn_ref_call *call);
tn_status tn_ref_einsum(const tn_ref_call *call);
tn_status tn_ref_dynamic_quantize(const tn_ref_call *call);

size_t tn_ref_attention_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_qkv_cache_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_kv_cache_update_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_rotary_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_route_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_combine_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_sample_workspace(const tn_problem *problem, const int64_t *symbols);
size_t tn_ref_nms_workspace(const tn_problem *problem, const int64_t *symbols);

#endif
