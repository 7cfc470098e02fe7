/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_check.c: the shapes that op_kinds.def states, as conditions.
 */
#include "runtime/problem_check.h"

#include "base/checked.h"

/* An operand with its dimensions; `is_given` false: absent, or behind the end of the list. */
typedef struct shape {
    bool is_given;
    tn_dtype dtype;
    bool is_encoded;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t count, rows, columns; /* −1 on overflow */
} shape;

typedef struct checked_problem {
    const tn_problem *problem;
    const tn_op_params *params;
    const int64_t *values;
} checked_problem;

static int64_t product(const int64_t *dims, int rank) {
    int64_t result = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0 || !tn_mul_i64(result, dims[i], &result)) return -1;
    return result;
}

static shape shape_of(const checked_problem *p, uint32_t index) {
    shape s = {.count = -1};
    if (index >= p->problem->num_operands || p->problem->operands[index].absent) return s;
    const tn_operand *operand = &p->problem->operands[index];
    s.is_given = true;
    s.dtype = operand->dtype;
    s.is_encoded = operand->role == TN_ROLE_WEIGHT && operand->encoding.kind != TN_ENCODING_PLAIN;
    s.rank = operand->rank;
    for (int i = 0; i < s.rank; i++) s.dims[i] = p->values[operand->dims[i]];
    s.count = product(s.dims, s.rank);
    s.columns = s.rank > 0 ? s.dims[s.rank - 1] : 1;
    s.rows = product(s.dims, s.rank > 0 ? s.rank - 1 : 0);
    return s;
}

static shape input(const checked_problem *p, uint32_t index) {
    return index < p->problem->num_inputs ? shape_of(p, index) : (shape){.count = -1};
}

static shape output(const checked_problem *p, uint32_t index) {
    return shape_of(p, p->problem->num_inputs + index);
}

/* An optional operand that, if given, has `count` elements. */
static bool is_absent_or(shape s, int64_t count) {
    return !s.is_given || s.count == count;
}

static bool is_matrix(shape s, int64_t rows, int64_t columns) {
    return s.is_given && s.rows == rows && s.columns == columns;
}

/* Rows of types narrower than a byte are padded: their division into rows must agree, too. */
static bool same_elements(shape x, shape y) {
    bool has_rows = x.columns == y.columns;
    bool needs_rows = tn_dtype_get_info(x.dtype)->bits < 8 || tn_dtype_get_info(y.dtype)->bits < 8;
    return x.is_given && y.is_given && x.count >= 0 && x.count == y.count && (has_rows || !needs_rows);
}

/* Dimensions are aligned at the end; 1 broadcasts, so does a missing one. */
static bool broadcasts(const int64_t *dims, int rank, const int64_t *to, int to_rank) {
    if (rank > to_rank) return false;
    for (int i = 0; i < rank; i++)
        if (dims[i] != 1 && dims[i] != to[to_rank - rank + i]) return false;
    return true;
}

static bool fits_broadcast(const checked_problem *p) {
    shape y = output(p, 0);
    for (uint32_t i = 0; i < p->problem->num_inputs; i++) {
        shape x = input(p, i);
        if (!x.is_given || !broadcasts(x.dims, x.rank, y.dims, y.rank)) return false;
    }
    return y.is_given;
}

/* --- epilogues -------------------------------------------------------------------------------------------------------------- */

/* What becomes of a result of rows × columns; the output must hold it. bias_rows: of a bias with a row an expert. */
static bool fits_epilogues(const checked_problem *p, int64_t rows, int64_t columns, int64_t bias_rows, shape y) {
    for (uint32_t i = 0; i < p->problem->num_epilogues; i++) {
        const tn_epilogue *epilogue = &p->problem->epilogues[i];
        shape operand = epilogue->operand >= 0 ? input(p, (uint32_t)epilogue->operand) : (shape){.count = -1};
        int64_t elements;
        switch (epilogue->kind) {
        case TN_EPILOGUE_BIAS:
            if (!operand.is_given || operand.columns != columns || (operand.rows != 1 && operand.rows != bias_rows)) return false;
            break;
        case TN_EPILOGUE_ADD:
            if (!operand.is_given || operand.columns != columns || !tn_mul_i64(rows, columns, &elements) || operand.count != elements)
                return false;
            break;
        case TN_EPILOGUE_GATED_ACTIVATION:
            if (columns % 32 != 0) return false; /* strips of 16 alternate */
            columns /= 2;
            break;
        case TN_EPILOGUE_QUANTIZE:
            if (epilogue->dtype != y.dtype || i + 1 != p->problem->num_epilogues) return false;
            break;
        default: break;
        }
    }
    return is_matrix(y, rows, columns);
}

/* --- values and axes ----------------------------------------------------------------------------------------------------------- */

static bool is_axis(int64_t axis, int rank) {
    return axis >= 0 && axis < rank;
}

static bool fits_reduce(const checked_problem *p) {
    shape x = input(p, 0), y = output(p, 0);
    int64_t kept = 1, axes = p->params->reduce.axes;
    if (!x.is_given || !y.is_given || axes < 0 || axes >> x.rank != 0) return false;
    for (int i = 0; i < x.rank; i++)
        if ((axes >> i & 1) == 0 && !tn_mul_i64(kept, x.dims[i], &kept)) return false;
    return x.count >= 0 && y.count == kept;
}

static bool fits_normalization(const checked_problem *p) {
    shape x = input(p, 0), sum = output(p, 1);
    int64_t n = x.columns;
    return x.is_given && input(p, 1).count == n && is_absent_or(input(p, 2), n) && is_absent_or(input(p, 3), x.count) &&
           fits_epilogues(p, x.rows, n, 1, output(p, 0)) && (!sum.is_given || is_matrix(sum, x.rows, n));
}

static bool is_permutation(const tn_dims *dims, int rank) {
    unsigned seen = 0;
    if (dims->rank == 0) return true; /* none */
    if (dims->rank != rank) return false;
    for (int i = 0; i < rank; i++) {
        if (!is_axis(dims->d[i], rank)) return false;
        seen |= 1u << dims->d[i];
    }
    return seen == (1u << rank) - 1;
}

static bool fits_shuffle(const checked_problem *p) {
    shape x = input(p, 0), y = output(p, 0);
    return same_elements(x, y) && is_permutation(&p->params->shuffle.first, x.rank) && is_permutation(&p->params->shuffle.second, y.rank);
}

static bool fits_slice(const checked_problem *p) {
    const tn_slice_params *params = &p->params->slice;
    shape x = input(p, 0), start = input(p, 1), stride = input(p, 3), y = output(p, 0);
    if (!x.is_given || !y.is_given || x.rank != y.rank || x.count < 0 || y.count < 0) return false;
    if (start.is_given ? start.count < x.rank : params->start.rank != x.rank) return false;
    if (stride.is_given ? stride.count < x.rank : params->stride.rank != 0 && params->stride.rank != x.rank) return false;
    if (start.is_given || stride.is_given) return true; /* the kernel sees the values */
    for (int i = 0; i < x.rank && y.count > 0; i++) {
        int64_t step = params->stride.rank > 0 ? params->stride.d[i] : 1, last;
        if (!tn_mul_i64(y.dims[i] - 1, step, &last) || !tn_add_i64(last, params->start.d[i], &last)) return false;
        if (!is_axis(params->start.d[i], INT32_MAX) || params->start.d[i] >= x.dims[i] || last < 0 || last >= x.dims[i]) return false;
    }
    return true;
}

static bool fits_concatenation(const checked_problem *p) {
    shape y = output(p, 0);
    int64_t axis = p->params->concatenation.axis, sum = 0;
    if (!is_axis(axis, y.rank)) return false;
    for (uint32_t i = 0; i < p->problem->num_inputs; i++) {
        shape x = input(p, i);
        if (!x.is_given || x.rank != y.rank || x.count < 0) return false;
        for (int k = 0; k < y.rank; k++)
            if (k != axis && x.dims[k] != y.dims[k]) return false;
        if (!tn_add_i64(sum, x.dims[axis], &sum)) return false;
    }
    return sum == y.dims[axis];
}

static bool fits_gather(const checked_problem *p) {
    const tn_gather_params *params = &p->params->gather;
    shape data = input(p, 0), indices = input(p, 1), y = output(p, 0);
    int64_t expected;
    if (data.count < 0 || indices.count < 0 || y.count < 0) return false;
    if (params->mode == TN_GATHER_ND) {
        int64_t depth = indices.columns;
        if (data.is_encoded || indices.rank == 0 || depth > data.rank) return false;
        return tn_mul_i64(indices.rows, product(data.dims + depth, data.rank - (int)depth), &expected) && y.count == expected;
    }
    if (!is_axis(params->axis, data.rank)) return false;
    int axis = (int)params->axis;
    if (params->mode == TN_GATHER_ELEMENT) {
        if (data.is_encoded || indices.rank != y.rank || y.rank != data.rank) return false;
        for (int i = 0; i < y.rank; i++)
            if (indices.dims[i] != y.dims[i] || (i != axis && y.dims[i] > data.dims[i])) return false;
        return true;
    }
    int64_t outer = product(data.dims, axis), inner = product(data.dims + axis + 1, data.rank - axis - 1);
    if (data.is_encoded && (axis != 0 || data.rank < 2)) return false;
    if (axis + 1 < data.rank && y.columns != data.columns) return false;
    return tn_mul_i64(outer, indices.count, &expected) && tn_mul_i64(expected, inner, &expected) && y.count == expected;
}

/* --- multiplication ---------------------------------------------------------------------------------------------------------------- */

static bool fits_matmul(const checked_problem *p) {
    const tn_matrix_multiply_params *params = &p->params->matrix_multiply;
    shape a = input(p, 0), b = input(p, 1), y = output(p, 0);
    bool a_vector = params->op_a == TN_MATRIX_VECTOR, b_vector = params->op_b == TN_MATRIX_VECTOR;
    int a_dims = a_vector ? 1 : 2, b_dims = b_vector ? 1 : 2, y_dims = 2 - a_vector - b_vector;
    if (!a.is_given || !b.is_given || !y.is_given || a.rank < a_dims || b.rank < b_dims || y.rank < y_dims) return false;
    if (a.count < 0 || b.count < 0 || y.count < 0) return false;
    int64_t a_rows = a_vector ? 1 : a.dims[a.rank - 2], b_rows = b_vector ? 1 : b.dims[b.rank - 2];
    bool a_turned = params->op_a == TN_MATRIX_TRANSPOSE, b_turned = params->op_b == TN_MATRIX_TRANSPOSE || b_vector;
    int64_t m = a_turned ? a.columns : a_rows, k = a_turned ? a_rows : a.columns;
    int64_t n = b_turned ? b_rows : b.columns, b_k = b_turned ? b.columns : b_rows;
    int lead = y.rank - y_dims;
    if (k != b_k || !broadcasts(a.dims, a.rank - a_dims, y.dims, lead) || !broadcasts(b.dims, b.rank - b_dims, y.dims, lead)) return false;
    if (a_vector && b_vector) return p->problem->num_epilogues == 0;
    if (b_vector) return y.columns == m && p->problem->num_epilogues == 0;
    int64_t rows;
    if (!a_vector && y.dims[y.rank - 2] != m) return false;
    return tn_mul_i64(product(y.dims, lead), m, &rows) && fits_epilogues(p, rows, n, 1, y);
}

static bool fits_grouped_matmul(const checked_problem *p) {
    const tn_grouped_matmul_params *params = &p->params->grouped_matmul;
    shape x = input(p, 0), w = input(p, 1), start = input(p, 2), order = input(p, 3), y = output(p, 0);
    int64_t rows = x.rows;
    if (!x.is_given || !w.is_given || w.rank != 3 || x.columns != w.dims[2] || params->top_k <= 0) return false;
    if (!params->sorted && !tn_mul_i64(rows, params->top_k, &rows)) return false;
    return start.count == w.dims[0] + 1 && order.count == rows && fits_epilogues(p, rows, w.dims[1], w.dims[0], y);
}

/* One scale for all, for each index of the axis, or for each block (0: the whole axis). */
static bool fits_quantization(const checked_problem *p, int64_t axis, const tn_dims *block) {
    shape x = input(p, 0), scale = input(p, 1), zero = input(p, 2), y = output(p, 0);
    if (!same_elements(x, y) || x.columns != y.columns || (zero.is_given && zero.count != 1 && zero.count != scale.count)) return false;
    if (scale.count == 1) return true;
    if (block->rank == 0) return is_axis(axis, x.rank) && scale.count == x.dims[axis];
    if (block->rank != x.rank || scale.rank != x.rank || scale.count < 0) return false;
    for (int i = 0; i < x.rank; i++) {
        int64_t size = block->d[i] > 0 ? block->d[i] : x.dims[i];
        if (block->d[i] < 0 || (size > 0 && scale.dims[i] != x.dims[i] / size + (x.dims[i] % size != 0))) return false;
    }
    return true;
}

/* --- decoders -------------------------------------------------------------------------------------------------------------------------- */

static bool fits_rotary(const checked_problem *p) {
    shape x = input(p, 0), table = input(p, 1);
    int64_t head = p->params->rotary.head_dim;
    return x.is_given && head > 0 && x.columns % head == 0 && table.rows == x.rows && table.columns % 2 == 0 && table.columns <= head &&
           is_matrix(output(p, 0), x.rows, x.columns);
}

/* query_start [S + 1], kv_length [S], block_table [S, B] from operand `first` on */
static bool fits_sequences(const checked_problem *p, uint32_t first) {
    shape query_start = input(p, first), kv_length = input(p, first + 1), block_table = input(p, first + 2);
    return kv_length.count >= 0 && query_start.count == kv_length.count + 1 && block_table.rank == 2 &&
           block_table.dims[0] == kv_length.count;
}

static bool fits_kv_cache_update(const checked_problem *p) {
    const tn_kv_cache_update_params *params = &p->params->kv_cache_update;
    shape k = input(p, 0), v = input(p, 1);
    return k.rows >= 0 && is_matrix(k, k.rows, params->num_kv_heads * params->k_dim) &&
           is_matrix(v, k.rows, params->num_kv_heads * params->v_dim) && fits_sequences(p, 3);
}

static bool has_heads(int64_t num_heads, int64_t num_kv_heads) {
    return num_heads > 0 && num_heads <= INT32_MAX && num_kv_heads > 0 && num_heads % num_kv_heads == 0;
}

static bool fits_attention(const checked_problem *p) {
    const tn_attention_params *params = &p->params->attention;
    shape q = input(p, 0);
    int64_t heads = params->num_heads;
    return has_heads(heads, params->num_kv_heads) && is_matrix(q, q.rows, heads * params->k_dim) && fits_sequences(p, 2) &&
           is_absent_or(input(p, 5), heads) && is_absent_or(input(p, 6), heads) &&
           fits_epilogues(p, q.rows, heads * params->v_dim, 1, output(p, 0));
}

static bool fits_qkv_cache(const checked_problem *p) {
    const tn_qkv_cache_params *params = &p->params->qkv_cache;
    shape qkv = input(p, 0), table = input(p, 1);
    int64_t heads = params->num_heads, groups = params->num_kv_heads;
    if (!has_heads(heads, groups) || !is_matrix(qkv, qkv.rows, (heads + groups) * params->k_dim + groups * params->v_dim)) return false;
    if (table.is_given && (table.rows != qkv.rows || table.columns % 2 != 0 || table.columns > params->k_dim)) return false;
    return is_absent_or(input(p, 2), params->k_dim) && is_absent_or(input(p, 3), params->k_dim) && fits_sequences(p, 5) &&
           is_matrix(output(p, 0), qkv.rows, heads * params->k_dim);
}

static bool fits_route(const checked_problem *p) {
    shape logits = input(p, 0);
    int64_t experts = logits.columns, top_k = p->params->route.top_k, choices;
    return logits.is_given && top_k > 0 && top_k <= experts && is_absent_or(input(p, 1), experts) && output(p, 0).count == experts + 1 &&
           tn_mul_i64(logits.rows, top_k, &choices) && output(p, 1).count == choices && is_matrix(output(p, 2), logits.rows, top_k);
}

static bool fits_combine(const checked_problem *p) {
    shape y = input(p, 0), order = input(p, 1), scores = input(p, 2);
    return y.is_given && order.count == y.rows && scores.count == y.rows && is_matrix(output(p, 0), scores.rows, y.columns);
}

static bool fits_sample(const checked_problem *p) {
    const tn_sample_params *params = &p->params->sample;
    shape logits = input(p, 0), mask = input(p, 4);
    int64_t rows = logits.rows, width = params->max_log_probs + 1;
    if (!is_matrix(logits, rows, params->vocab_size) || params->max_log_probs < 0 || input(p, 1).count != rows || input(p, 2).count != rows)
        return false;
    if (mask.is_given && !is_matrix(mask, rows, (params->vocab_size + 31) / 32)) return false;
    return output(p, 0).count == rows && is_matrix(output(p, 1), rows, width) && is_matrix(output(p, 2), rows, width);
}

static bool fits_tokens(const checked_problem *p) {
    shape ids = input(p, 0), query_start = input(p, 1), seq_slot = input(p, 2);
    return ids.count >= 0 && output(p, 0).count == ids.count && seq_slot.count >= 0 && query_start.count == seq_slot.count + 1;
}

static bool fits_rotary_table(const checked_problem *p) {
    shape positions = input(p, 0), frequencies = input(p, 1);
    return positions.count >= 0 && frequencies.count >= 0 && frequencies.count <= INT32_MAX &&
           is_matrix(output(p, 0), positions.count, 2 * frequencies.count);
}

bool tn_problem_fits(const tn_problem *problem, const int64_t *values) {
    const checked_problem p = {problem, problem->params, values};
    shape x = input(&p, 0), y = output(&p, 0);
    switch (problem->op) {
    case TN_OP_IDENTITY:
    case TN_OP_CAST:
    case TN_OP_UNARY:
    case TN_OP_ACTIVATION: return same_elements(x, y);
    case TN_OP_SHAPE: return y.count == x.rank;
    case TN_OP_FILL: return y.count >= 0 && input(&p, 1).count > 0 && input(&p, 2).count > 0;
    case TN_OP_ELEMENTWISE:
    case TN_OP_SELECT: return fits_broadcast(&p);
    case TN_OP_REDUCE: return fits_reduce(&p);
    case TN_OP_SOFTMAX: return same_elements(x, y) && is_axis(p.params->softmax.axis, x.rank);
    case TN_OP_NORMALIZATION: return fits_normalization(&p);
    case TN_OP_SHUFFLE: return fits_shuffle(&p);
    case TN_OP_SLICE: return fits_slice(&p);
    case TN_OP_CONCATENATION: return fits_concatenation(&p);
    case TN_OP_GATHER: return fits_gather(&p);
    case TN_OP_NON_ZERO: return x.count >= 0 && output(&p, 1).count == 1; /* the first output: by its bound */
    case TN_OP_MATRIX_MULTIPLY: return fits_matmul(&p);
    case TN_OP_QUANTIZE: return fits_quantization(&p, p.params->quantize.axis, &p.params->quantize.block);
    case TN_OP_DEQUANTIZE: return fits_quantization(&p, p.params->dequantize.axis, &p.params->dequantize.block);
    case TN_OP_QUANTIZE_ROWS: return x.is_given && is_matrix(y, x.rows, x.columns);
    case TN_OP_TOKEN_IDS: return fits_tokens(&p);
    case TN_OP_ROTARY_TABLE: return fits_rotary_table(&p);
    case TN_OP_ROTARY: return fits_rotary(&p);
    case TN_OP_KV_CACHE_UPDATE: return fits_kv_cache_update(&p);
    case TN_OP_ATTENTION: return fits_attention(&p);
    case TN_OP_QKV_CACHE: return fits_qkv_cache(&p);
    case TN_OP_ROUTE: return fits_route(&p);
    case TN_OP_GROUPED_MATMUL: return fits_grouped_matmul(&p);
    case TN_OP_COMBINE: return fits_combine(&p);
    case TN_OP_SAMPLE: return fits_sample(&p);
    default: return false; /* no kernel runs the others */
    }
}
