/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.c: what begins a step, the same code at every instruction set level: TOKEN_IDS, GATHER of embedding rows, and
 * ROTARY_TABLE (its angles need double: positions times frequencies exceed what float32 holds of a turn).
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/kernels/sequence.h"
#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"
#include "op/slot.h"

/* --- TOKEN_IDS ------------------------------------------------------------------------------------------------------------- */

static void token_ids_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_token_ids_params *params = step->problem->params;
    const int32_t *ids = step->buffers[0], *query_start = step->buffers[1], *seq_slot = step->buffers[2];
    int32_t *out = step->buffers[4];
    int64_t num_seqs = tn_operand_dim(&step->problem->operands[2], 0, step->symbols);
    tn_slot_layout layout = tn_slot_layout_make(params->vocab_size, params->max_seq_len);
    for (int64_t t = begin; t < end; t++) {
        out[t] = ids[t];
        if (ids[t] != -1) continue;
        int64_t s = sequence_of_token(query_start, num_seqs, t);
        int64_t slot = s < num_seqs ? seq_slot[s] : -1;
        if (slot < 0) continue;
        const tn_slot *row = (const tn_slot *)(const void *)((const char *)step->buffers[3] + (size_t)slot * layout.row_bytes);
        out[t] = row->last_token;
    }
}

static bool token_ids_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < 5; i++)
        if (i != 3 && problem->operands[i].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 operands only");
    return true;
}

static tn_status token_ids_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, token_ids_tile, tn_operand_dim(&problem->operands[0], 0, symbols), 4, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_token_ids = {
    .name = "token_ids",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_TOKEN_IDS,
    .supports = token_ids_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = token_ids_prepare,
};

/* --- GATHER ------------------------------------------------------------------------------------------------------------------ */

static int64_t load_index(const tn_operand *operand, const void *indices, int64_t i) {
    return operand->dtype == TN_INT64 ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
}

/* launch constants: [0] strip type of the weight's layout, −1: plain */
static void gather_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_operand *data = &step->problem->operands[0], *indices = &step->problem->operands[1];
    int64_t rows = tn_operand_dim(data, 0, step->symbols), columns = tn_operand_dim(data, 1, step->symbols);
    int64_t type = step->launch->constants[0];
    const char *stored = step->buffers[0];
    tn_encoding plain = tn_encoding_plain(data->dtype), encoding = data->role == TN_ROLE_WEIGHT ? data->encoding : plain;
    size_t row_bytes = 0;
    (void)tn_encoding_part_bytes(&encoding, TN_PART_DATA, 1, columns, &row_bytes);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = load_index(indices, step->buffers[1], i);
        float *out = (float *)step->buffers[2] + i * columns;
        if (row < 0 || row >= rows) {
            memset(out, 0, (size_t)columns * sizeof *out);
        } else if (type >= 0) {
            const char *strip = stored + row / TN_STRIP_ROWS * tn_strip_bytes((tn_strip_type)type, columns);
            tn_strip_decode_row((tn_strip_type)type, strip, (int)(row % TN_STRIP_ROWS), columns, out);
        } else {
            tn_weight_parts parts = {.part = {[TN_PART_DATA] = stored + (size_t)row * row_bytes}};
            tn_encoding_decode(&encoding, &parts, 1, columns, out);
        }
    }
}

static bool gather_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_gather_params *params = problem->params;
    const tn_operand *data = &problem->operands[0], *indices = &problem->operands[1];
    tn_strip_type type;
    char name[64];
    if (params->mode != TN_GATHER_DEFAULT || params->axis != 0 || data->rank != 2)
        return tn_refuse(reason, reason_size, "rows of a matrix only");
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[2].dtype != TN_FLOAT32 || data->dtype != TN_FLOAT32)
        return tn_refuse(reason, reason_size, "float32 output of float32 data only");
    if (indices->dtype != TN_INT32 && indices->dtype != TN_INT64) return tn_refuse(reason, reason_size, "int32 and int64 indices only");
    if (data->role != TN_ROLE_WEIGHT) return true;
    if (indices->dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 indices into weights only");
    if (!tn_strip_type_of(&data->encoding, &type) || type == TN_STRIP_E4M3 || type >= TN_STRIP_MX_E2M1) /* rows of several parts */
        return tn_refuse(reason, reason_size, "no weights in %s", tn_encoding_name(&data->encoding, name));
    if (data->layout != NULL && strcmp(data->layout, TN_LAYOUT_PLAIN) != 0 && strcmp(data->layout, tn_strip_layout_name(type)) != 0)
        return tn_refuse(reason, reason_size, "reads layouts plain and %s, not %s", tn_strip_layout_name(type), data->layout);
    return true;
}

static tn_status gather_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_operand *data = &problem->operands[0], *indices = &problem->operands[1];
    tn_strip_type type;
    memset(out_launch, 0, sizeof *out_launch);
    bool packed = data->role == TN_ROLE_WEIGHT && data->layout != NULL && strcmp(data->layout, TN_LAYOUT_PLAIN) != 0;
    out_launch->constants[0] = packed && tn_strip_type_of(&data->encoding, &type) ? (int64_t)type : -1;
    int64_t count = tn_operand_rows(indices, symbols) * tn_operand_columns(indices, symbols);
    tn_cpu_launch_tiles(out_launch, gather_tile, count, tn_operand_dim(data, 1, symbols) * 4, 8 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_gather = {
    .name = "gather_rows",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_GATHER,
    .layouts = tn_cpu_layout_names,
    .supports = gather_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = gather_prepare,
};

/* --- ROTARY_TABLE -------------------------------------------------------------------------------------------------------------- */

/* sin and cos of an angle of at most 2^30: reduced by π/2 in two parts (the first has 33 bits, so its multiples are exact up to
 * 2^20 turns), then Taylor's series on [−π/4, π/4]; the last terms are below 1e-13. */
static void sine_and_cosine(double angle, double *sine, double *cosine) {
    double turns = rint(angle * 0x1.45f306dc9c883p-1);
    double r = angle - turns * 0x1.921fb544p+0 - turns * 0x1.0b4611a626331p-34, q = r * r;
    double s =
        r +
        r * q * (-1.0 / 6 + q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880 + q * (-1.0 / 39916800 + q * (1.0 / 6227020800.0))))));
    double c =
        1.0 + q * (-0.5 + q * (1.0 / 24 +
                               q * (-1.0 / 720 + q * (1.0 / 40320 + q * (-1.0 / 3628800 + q * (1.0 / 479001600.0 - q / 87178291200.0))))));
    switch ((int64_t)turns & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}

static void rotary_table_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_rotary_table_params *params = step->problem->params;
    const int32_t *positions = step->buffers[0];
    const float *frequencies = step->buffers[1];
    int64_t half = tn_operand_columns(&step->problem->operands[1], step->symbols);
    for (int64_t t = begin; t < end; t++) {
        float *out = (float *)step->buffers[2] + t * 2 * half;
        for (int64_t i = 0; i < half; i++) {
            double sine, cosine;
            sine_and_cosine((double)positions[t] * (double)frequencies[i], &sine, &cosine);
            out[i] = (float)(cosine * params->scale);
            out[half + i] = (float)(sine * params->scale);
        }
    }
}

static bool rotary_table_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[0].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 positions only");
    return tn_check_plain_f32(problem, 1, reason, reason_size) && tn_check_plain_f32(problem, 2, reason, reason_size);
}

static tn_status rotary_table_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                      tn_launch *out_launch) {
    (void)device;
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, rotary_table_tile, tn_operand_dim(&problem->operands[0], 0, symbols),
                        tn_operand_columns(&problem->operands[1], symbols), 64);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_rotary_table = {
    .name = "rotary_table",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_ROTARY_TABLE,
    .supports = rotary_table_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = rotary_table_prepare,
};
