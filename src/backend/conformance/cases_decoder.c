/* SPDX-License-Identifier: Apache-2.0
 *
 * cases_decoder.c: norms, rotary positions, the paged cache with attention, experts' routing, sampling.
 */
#include <stdio.h>
#include <string.h>

#include "backend/conformance/conformance.h"
#include "base/checked.h"
#include "op/slot.h"

/* --- norms ---------------------------------------------------------------------------------------------------------------------- */

enum { NORM_BIAS = 1, NORM_RESIDUAL = 2, NORM_PLAIN_INPUTS = 4 };

/* Scale and bias are weights, as they come from a model, or inputs. */
static void add_vector(tn_case_build *build, int64_t n, bool is_weight) {
    tn_encoding plain = tn_encoding_plain(TN_FLOAT32);
    if (is_weight)
        tn_case_weight(build, &plain, TN_DIMS(n));
    else
        (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(n), false);
}

static void make_normalization(tn_case_build *build) {
    const tn_case *from = build->from;
    tn_problem_builder *b = tn_case_begin(build, TN_OP_NORMALIZATION);
    tn_normalization_params *params = &tn_case_params(build)->normalization;
    params->type = from->variant;
    params->epsilon = 1e-5;
    params->scale_offset = (from->option & NORM_RESIDUAL) != 0 ? 0.0 : 1.0;
    tn_dims dims = TN_DIMS(build->num_rows, from->n);
    bool is_weight = (from->option & NORM_PLAIN_INPUTS) == 0;
    (void)tn_case_input(build, from->a, dims, true);
    add_vector(build, from->n, is_weight);
    if ((from->option & NORM_BIAS) != 0)
        add_vector(build, from->n, is_weight);
    else if ((from->option & NORM_RESIDUAL) != 0)
        tn_build_absent(b);
    if ((from->option & NORM_RESIDUAL) != 0) (void)tn_case_input(build, from->a, dims, true);
    if (from->num_epilogues > 0) tn_build_epilogue(b, from->epilogues[0]);
    tn_case_output(build, from->y, dims);
    if ((from->option & NORM_RESIDUAL) != 0) tn_case_output(build, from->a, dims);
}

static void add_norms(tn_case_list *list) {
    static const tn_dtype outputs[] = {TN_FLOAT32, TN_Q15_32, TN_Q8_32};
    static const int64_t columns[] = {64, 576, 70, 1};
    for (int type = 0; type < TN_NUM_NORMALIZATIONS; type++)
        for (int option = 0; option < 8; option++)
            for (int output = 0; output < 3; output++)
                for (int shape = 0; shape < 4; shape++) {
                    tn_case *added = tn_cases_add(list, TN_OP_NORMALIZATION, make_normalization, "%s%s%s%s %lld -> %s",
                                                  type == TN_NORMALIZATION_RMS ? "rms" : "layer", option & NORM_BIAS ? " bias" : "",
                                                  option & NORM_RESIDUAL ? " residual" : "", option & NORM_PLAIN_INPUTS ? " inputs" : "",
                                                  (long long)columns[shape], tn_dtype_name(outputs[output]));
                    added->variant = type, added->option = option, added->rows = 9, added->n = columns[shape], added->has_windows = true;
                    added->has_special_values = shape == 1;
                    added->y = outputs[output];
                    if (output == 0) continue;
                    added->num_epilogues = 1;
                    added->epilogues[0] = (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .dtype = outputs[output], .operand = -1};
                }
}

static void make_quantize_rows(tn_case_build *build) {
    (void)tn_case_begin(build, TN_OP_QUANTIZE_ROWS);
    tn_case_params(build)->quantize_rows.to = build->from->y;
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(build->num_rows, build->from->n), true);
    tn_case_output(build, build->from->y, TN_DIMS(build->num_rows, build->from->n));
}

/* --- positions -------------------------------------------------------------------------------------------------------------------- */

static void make_rotary_table(tn_case_build *build) {
    (void)tn_case_begin(build, TN_OP_ROTARY_TABLE);
    tn_case_params(build)->rotary_table.scale = 1.25;
    int32_t positions[16];
    for (int i = 0; i < build->num_rows; i++) positions[i] = (int32_t)((build->first_row + i) * (build->first_row + i) * 17 % 2048);
    tn_case_given(build, TN_INT32, positions, (size_t)build->num_rows * 4, TN_DIMS(build->num_rows));
    if (build->from->option == 0)
        (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(build->from->n / 2), false);
    else
        add_vector(build, build->from->n / 2, true);
    tn_case_output(build, TN_FLOAT32, TN_DIMS(build->num_rows, build->from->n));
}

static void make_rotary(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_ROTARY);
    tn_case_params(build)->rotary = (tn_rotary_params){.type = from->variant, .head_dim = from->k};
    (void)tn_case_input(build, from->a, TN_DIMS(build->num_rows, 3 * from->k), true);
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(build->num_rows, from->n), true);
    tn_case_output(build, from->y, TN_DIMS(build->num_rows, 3 * from->k));
}

/* --- cache and attention: sequence s of these has so many positions, the last so many of them queries ----------------------------- */

enum { NUM_SEQUENCES = 4, MAX_BLOCKS = 40 };
typedef struct sequence {
    int32_t length, num_queries;
} sequence;
static const sequence few_queries[NUM_SEQUENCES] = {{37, 5}, {1, 1}, {300, 3}, {550, 1}};
/* prompts of more rows than a tile holds, whole and with earlier positions in the cache, and a decoding sequence among them */
static const sequence prompts[NUM_SEQUENCES] = {{60, 60}, {300, 1}, {560, 70}, {70, 9}};

typedef struct step_tables {
    int32_t query_start[NUM_SEQUENCES + 1], length[NUM_SEQUENCES], blocks[NUM_SEQUENCES * MAX_BLOCKS];
    int64_t num_sequences, num_tokens, max_blocks;
} step_tables;

static void make_prompt_attention(tn_case_build *build);

/* Tables for the build's window of sequences; every query (or, filling, every position) is a token. */
static step_tables make_tables(const tn_case_build *build, bool fills) {
    const sequence *sequences = build->from->make == make_prompt_attention ? prompts : few_queries;
    step_tables t = {.num_sequences = build->num_rows, .max_blocks = tn_ceil_div(MAX_BLOCKS * 16, build->geometry.tokens_per_block)};
    for (int64_t i = 0; i < t.num_sequences; i++) {
        int64_t s = build->first_row + i;
        int32_t num = fills ? sequences[s].length : sequences[s].num_queries;
        t.length[i] = sequences[s].length;
        t.query_start[i + 1] = t.query_start[i] + num;
        for (int64_t block = 0; block < t.max_blocks; block++) {
            /* scattered, and none shared: block number and sequence turned around */
            bool is_used = block * build->geometry.tokens_per_block < sequences[s].length;
            t.blocks[i * t.max_blocks + block] = is_used ? (int32_t)((block * NUM_SEQUENCES + s) * 7 % build->kv_blocks) : -1;
        }
    }
    t.num_tokens = t.query_start[t.num_sequences];
    return t;
}

static void add_tables(tn_case_build *build, const step_tables *t) {
    tn_case_given(build, TN_INT32, t->query_start, (size_t)(t->num_sequences + 1) * 4, TN_DIMS(t->num_sequences + 1));
    tn_case_given(build, TN_INT32, t->length, (size_t)t->num_sequences * 4, TN_DIMS(t->num_sequences));
    tn_case_given(build, TN_INT32, t->blocks, (size_t)(t->num_sequences * t->max_blocks) * 4, TN_DIMS(t->num_sequences, t->max_blocks));
}

/* [tokens, columns] whose values depend on sequence and position alone */
static void add_token_rows(tn_case_build *build, const step_tables *t, int64_t columns, uint32_t stream, tn_dtype dtype) {
    float *rows = tn_arena_alloc_array(build->arena, (size_t)(t->num_tokens * columns) + 1, sizeof *rows);
    for (int64_t s = 0; s < t->num_sequences && rows != NULL; s++)
        for (int64_t token = t->query_start[s]; token < t->query_start[s + 1]; token++)
            for (int64_t i = 0; i < columns; i++) {
                int64_t position = t->length[s] - (t->query_start[s + 1] - token);
                rows[token * columns + i] = tn_case_float(build, stream, (build->first_row + s) * 1000 + position, i);
            }
    (void)dtype;
    if (rows != NULL) tn_case_given(build, TN_FLOAT32, rows, (size_t)(t->num_tokens * columns) * 4, TN_DIMS(t->num_tokens, columns));
}

enum { ATTENTION_PLAIN, ATTENTION_WINDOW, ATTENTION_SINK_TOKENS, ATTENTION_SOFT_CAP, ATTENTION_SINKS, ATTENTION_ALIBI, NUM_ATTENTIONS };

static void set_geometry(tn_case_build *build) {
    const tn_case *from = build->from;
    build->geometry = (tn_kv_geometry){.num_layers = 2,
                                       .num_kv_heads = 2,
                                       .k_dim = from->k,
                                       .v_dim = from->n,
                                       .tokens_per_block = from->option,
                                       .dtype = from->encoding.storage};
    build->kv_blocks = 2400 / from->option + 17; /* no multiple of 7, and enough: the block numbers above are distinct */
}

#define SET_KV(params)                                                 \
    do {                                                               \
        (params)->layer = 1;                                           \
        (params)->num_layers = build->geometry.num_layers;             \
        (params)->num_kv_heads = build->geometry.num_kv_heads;         \
        (params)->k_dim = build->geometry.k_dim;                       \
        (params)->v_dim = build->geometry.v_dim;                       \
        (params)->tokens_per_block = build->geometry.tokens_per_block; \
        (params)->cache_dtype = build->geometry.dtype;                 \
    } while (0)

static void fill_cache(tn_case_build *build, int64_t num_heads) {
    const tn_kv_geometry *g = &build->geometry;
    step_tables t = make_tables(build, true);
    (void)num_heads;
    (void)tn_case_begin(build, TN_OP_KV_CACHE_UPDATE);
    SET_KV(&tn_case_params(build)->kv_cache_update);
    add_token_rows(build, &t, g->num_kv_heads * g->k_dim, 1, TN_FLOAT32);
    add_token_rows(build, &t, g->num_kv_heads * g->v_dim, 2, TN_FLOAT32);
    tn_case_state(build, false);
    add_tables(build, &t);
    tn_case_state(build, true);
}

static void add_attention(tn_case_build *build, int variant, int64_t num_heads, tn_dtype y) {
    static const float slopes[6] = {0.5f, 0.25f, 0.125f, 0.0625f, 0.03125f, 0.015625f};
    step_tables t = make_tables(build, false);
    tn_problem_builder *b = tn_case_begin(build, TN_OP_ATTENTION);
    tn_attention_params *params = &tn_case_params(build)->attention;
    SET_KV(params);
    params->num_heads = num_heads;
    params->scale = 0.7;
    params->soft_cap = variant == ATTENTION_SOFT_CAP ? 2.0 : 0.0;
    params->window = variant == ATTENTION_WINDOW || variant == ATTENTION_SINK_TOKENS ? 33 : 0;
    params->sink_tokens = variant == ATTENTION_SINK_TOKENS ? 3 : 0;
    add_token_rows(build, &t, num_heads * params->k_dim, 3, TN_FLOAT32);
    tn_case_state(build, false);
    add_tables(build, &t);
    if (variant == ATTENTION_SINKS) (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(num_heads), false);
    if (variant == ATTENTION_ALIBI) tn_build_absent(b);
    if (variant == ATTENTION_ALIBI) tn_case_given(build, TN_FLOAT32, slopes, sizeof slopes, TN_DIMS(num_heads));
    if (y != TN_FLOAT32) tn_build_epilogue(b, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .dtype = y, .operand = -1});
    tn_case_output(build, y, TN_DIMS(t.num_tokens, num_heads * params->v_dim));
}

static void make_attention(tn_case_build *build) {
    set_geometry(build);
    fill_cache(build, 6);
    add_attention(build, build->from->variant, 6, build->from->y);
}

static void make_prompt_attention(tn_case_build *build) {
    make_attention(build);
}

/* Many heads for one key/value head: 8, and 10, which a block of a kernel need not take at once. */
static void make_attention_of_16(tn_case_build *build) {
    set_geometry(build);
    fill_cache(build, 16);
    add_attention(build, build->from->variant, 16, build->from->y);
}

static void make_attention_of_20(tn_case_build *build) {
    set_geometry(build);
    fill_cache(build, 20);
    add_attention(build, build->from->variant, 20, build->from->y);
}

/* KV_CACHE_UPDATE and QKV_CACHE are seen through what ref-like attention of the same backend reads: the case's subject is then
 * the attention, with the writer before it. */
enum { QKV_TABLE = 1, QKV_Q_NORM = 2, QKV_K_NORM = 4, QKV_INTERLEAVED = 8 };

static void make_qkv_cache(tn_case_build *build) {
    const tn_case *from = build->from;
    tn_encoding plain = tn_encoding_plain(TN_FLOAT32);
    set_geometry(build);
    const tn_kv_geometry *g = &build->geometry;
    step_tables t = make_tables(build, true);
    tn_problem_builder *b = tn_case_begin(build, TN_OP_QKV_CACHE);
    tn_qkv_cache_params *params = &tn_case_params(build)->qkv_cache;
    SET_KV(params);
    params->num_heads = 6;
    params->rotary = (from->variant & QKV_INTERLEAVED) != 0 ? TN_ROTARY_INTERLEAVED : TN_ROTARY_HALVES;
    params->epsilon = 1e-6;
    add_token_rows(build, &t, 6 * g->k_dim + 2 * g->k_dim + 2 * g->v_dim, 1, TN_FLOAT32);
    if ((from->variant & QKV_TABLE) != 0)
        add_token_rows(build, &t, g->k_dim, 4, TN_FLOAT32);
    else
        tn_build_absent(b);
    for (int i = 0; i < 2; i++) {
        if ((from->variant & (i == 0 ? QKV_Q_NORM : QKV_K_NORM)) != 0)
            tn_case_weight(build, &plain, TN_DIMS(g->k_dim));
        else
            tn_build_absent(b);
    }
    tn_case_state(build, false);
    add_tables(build, &t);
    tn_case_output(build, TN_FLOAT32, TN_DIMS(t.num_tokens, 6 * g->k_dim));
    tn_case_state(build, true);
    if (from->op == TN_OP_ATTENTION) add_attention(build, ATTENTION_PLAIN, 6, TN_FLOAT32);
}

static const char *const attention_names[] = {"plain", "window", "sink_tokens", "soft_cap", "sinks", "alibi"};

static void add_prompts(tn_case_list *list) {
    static const tn_dtype stored[] = {TN_FLOAT16, TN_BFLOAT16};
    static const struct {
        int64_t page, k, v;
        tn_dtype all_of;
    } shapes[] = {{16, 64, 64, TN_FLOAT16},
                  {64, 128, 128, TN_BFLOAT16},
                  {256, 80, 80, TN_DTYPE_NONE},
                  {32, 72, 40, TN_DTYPE_NONE},
                  {16, 256, 256, TN_DTYPE_NONE}};
    for (size_t d = 0; d < 2; d++)
        for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++)
            for (int variant = 0; variant < NUM_ATTENTIONS; variant++) {
                bool has_all = shapes[shape].all_of == stored[d];
                if (!has_all && variant != ATTENTION_PLAIN && variant != ATTENTION_SINK_TOKENS) continue;
                tn_case *added = tn_cases_add(list, TN_OP_ATTENTION, make_prompt_attention, "prompts %s %s page %lld heads %lldx%lld",
                                              attention_names[variant], tn_dtype_name(stored[d]), (long long)shapes[shape].page,
                                              (long long)shapes[shape].k, (long long)shapes[shape].v);
                added->variant = variant, added->option = (int)shapes[shape].page, added->k = shapes[shape].k, added->n = shapes[shape].v;
                added->encoding = tn_encoding_plain(stored[d]);
                added->rows = NUM_SEQUENCES, added->has_windows = true, added->is_for_accelerators = true;
                /* queries in bfloat16 move scores of a deviation of up to 4 by up to 0.02, and weights by as much */
                if (stored[d] == TN_BFLOAT16) added->rounded_factor = 4.0;
            }
}

static void add_groups(tn_case_list *list) {
    static const tn_dtype stored[] = {TN_FLOAT16, TN_BFLOAT16};
    static const struct { int64_t page, k, v; } shapes[] = {{32, 128, 128}, {64, 64, 64}, {16, 72, 96}};
    for (size_t d = 0; d < 2; d++)
        for (size_t shape = 0; shape < 3; shape++)
            for (int heads = 16; heads <= 20; heads += 4) {
                tn_case *added = tn_cases_add(list, TN_OP_ATTENTION, heads == 16 ? make_attention_of_16 : make_attention_of_20,
                                              "group of %d heads %s page %lld heads %lldx%lld", heads, tn_dtype_name(stored[d]),
                                              (long long)shapes[shape].page, (long long)shapes[shape].k, (long long)shapes[shape].v);
                added->variant = shape == 1 ? ATTENTION_SINK_TOKENS : ATTENTION_PLAIN, added->option = (int)shapes[shape].page;
                added->k = shapes[shape].k, added->n = shapes[shape].v;
                added->encoding = tn_encoding_plain(stored[d]);
                added->rows = NUM_SEQUENCES, added->has_windows = true;
                if (stored[d] == TN_BFLOAT16) added->rounded_factor = 4.0; /* as of prompts */
            }
}

static void add_caches(tn_case_list *list) {
    static const tn_dtype stored[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT16, TN_INT8, TN_FLOAT8_E4M3FN};
    static const tn_dtype outputs[] = {TN_FLOAT32, TN_Q15_32, TN_Q8_32};
    static const struct { int64_t page, k, v; } shapes[] = {{32, 64, 64}, {16, 20, 36}};
    for (size_t d = 0; d < sizeof stored / sizeof *stored; d++)
        for (size_t shape = 0; shape < 2; shape++) {
            bool has_all = d < 2; /* the others share all but their elements with these */
            for (int variant = 0; variant < NUM_ATTENTIONS; variant++)
                for (size_t y = 0; y < (shape == 0 && has_all ? 3 : 1); y++) {
                    tn_case *added = tn_cases_add(list, TN_OP_ATTENTION, make_attention, "%s %s page %lld heads %lldx%lld -> %s",
                                                  attention_names[variant], tn_dtype_name(stored[d]), (long long)shapes[shape].page,
                                                  (long long)shapes[shape].k, (long long)shapes[shape].v, tn_dtype_name(outputs[y]));
                    added->variant = variant, added->option = (int)shapes[shape].page, added->k = shapes[shape].k,
                    added->n = shapes[shape].v;
                    added->encoding = tn_encoding_plain(stored[d]);
                    added->rows = NUM_SEQUENCES, added->has_windows = true, added->y = outputs[y];
                }
            for (int variant = 0; variant < 16; variant += has_all ? 1 : QKV_TABLE | QKV_K_NORM)
                for (int reads_back = 0; reads_back < 2; reads_back++) {
                    tn_case *added = tn_cases_add(list, reads_back ? TN_OP_ATTENTION : TN_OP_QKV_CACHE, make_qkv_cache,
                                                  "%s%s%s%s%s %s page %lld", reads_back ? "after qkv_cache" : "",
                                                  variant & QKV_TABLE ? " table" : "", variant & QKV_Q_NORM ? " q_norm" : "",
                                                  variant & QKV_K_NORM ? " k_norm" : "", variant & QKV_INTERLEAVED ? " interleaved" : "",
                                                  tn_dtype_name(stored[d]), (long long)shapes[shape].page);
                    added->variant = variant, added->option = (int)shapes[shape].page, added->k = shapes[shape].k,
                    added->n = shapes[shape].v;
                    added->encoding = tn_encoding_plain(stored[d]);
                    added->rows = NUM_SEQUENCES, added->has_windows = true;
                    added->tolerance_factor = 4.0; /* a key that rounds to the other float16 or level moves its score */
                    if (stored[d] != TN_FLOAT32 && stored[d] != TN_INT16 && reads_back) added->tolerance_factor = 200.0;
                }
        }
}

/* --- experts, ids, sampling ------------------------------------------------------------------------------------------------------------ */

static void make_route(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_ROUTE);
    tn_case_params(build)->route =
        (tn_route_params){.type = from->variant, .top_k = 3, .renormalize = (from->option & 1) != 0, .scale = 1.5};
    if ((from->option & 4) != 0) tn_case_params(build)->route.groups = 3, tn_case_params(build)->route.top_groups = 2;
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(from->rows, from->n), false);
    if ((from->option & 2) != 0) (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(from->n), false);
    tn_case_output(build, TN_INT32, TN_DIMS(from->n + 1));
    tn_case_output(build, TN_INT32, TN_DIMS(from->rows * 3));
    tn_case_output(build, TN_FLOAT32, TN_DIMS(from->rows, 3));
}

static void make_combine(tn_case_build *build) {
    enum { MAX_TOKENS = 1100, TOP_K = 2 };
    int32_t order[MAX_TOKENS * TOP_K];
    int64_t tokens = build->from->rows, rows = tokens * TOP_K;
    for (int64_t i = 0; i < rows; i++) order[i] = (int32_t)(i * 7 % rows);
    (void)tn_case_begin(build, TN_OP_COMBINE);
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(rows, build->from->n), false);
    tn_case_given(build, TN_INT32, order, (size_t)rows * sizeof *order, TN_DIMS(rows));
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(tokens, TOP_K), false);
    tn_case_output(build, TN_FLOAT32, TN_DIMS(tokens, build->from->n));
}

enum { VOCAB = 150, MAX_LEN = 40 };

static void make_slots(tn_case_build *build, int num_slots, int variant) {
    tn_slot_layout layout = tn_slot_layout_make(VOCAB, MAX_LEN);
    build->state_bytes = layout.row_bytes * (size_t)num_slots;
    build->state = tn_arena_alloc(build->arena, build->state_bytes);
    for (int i = 0; i < num_slots && build->state != NULL; i++) {
        char *row = (char *)build->state + (size_t)i * layout.row_bytes;
        tn_slot slot = {.last_token = 3 + i, .history_count = 6, .current_top_p = 0.9f};
        slot.params = (tn_slot_params){.seed = 99u + (unsigned)i,
                                       .temperature = 0.9f,
                                       .repetition_penalty = 1.2f,
                                       .top_p_decay = 1.0f,
                                       .top_p_reset_id = -1,
                                       .end_id = 2,
                                       .min_tokens = i,
                                       .prompt_length = 6,
                                       .num_log_probs = 3 * i,
                                       .has_bias = i == 1};
        if (variant > 0) slot.params.top_k = 7 * (i + 1);
        if (variant > 1) slot.params.top_p = 0.9f, slot.params.min_p = 0.01f, slot.params.presence_penalty = 0.3f;
        memcpy(row, &slot, sizeof slot);
        for (int j = 0; j < 6; j++) {
            int32_t token = (int32_t)(tn_case_random(build, 77, i, j) % VOCAB);
            memcpy(row + layout.history_offset + (size_t)j * 4, &token, 4);
            memcpy(row + layout.counts_offset + (size_t)token * 4, &(int32_t){1}, 4);
        }
        for (int j = 0; j < VOCAB; j++) {
            float bias = tn_case_float(build, 78, i, j);
            memcpy(row + layout.bias_offset + (size_t)j * 4, &bias, 4);
        }
    }
}

static void make_sample(tn_case_build *build) {
    const tn_case *from = build->from;
    static const int32_t slots[] = {2, -1, 0, 1}, positions[] = {6, 0, 17, 9};
    make_slots(build, 3, from->variant);
    tn_problem_builder *b = tn_case_begin(build, TN_OP_SAMPLE);
    tn_case_params(build)->sample = (tn_sample_params){.max_log_probs = from->k, .vocab_size = VOCAB, .max_seq_len = MAX_LEN};
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(4, VOCAB), false);
    tn_case_given(build, TN_INT32, slots, sizeof slots, TN_DIMS(4));
    tn_case_given(build, TN_INT32, positions, sizeof positions, TN_DIMS(4));
    tn_case_state(build, false);
    if (from->option == 0)
        tn_build_absent(b);
    else
        (void)tn_case_ints(build, TN_UINT32, TN_DIMS(4, (VOCAB + 31) / 32), 0, 0xffffffff);
    tn_case_output(build, TN_INT32, TN_DIMS(4));
    tn_case_output(build, TN_INT32, TN_DIMS(4, 1 + from->k));
    tn_case_output(build, TN_FLOAT32, TN_DIMS(4, 1 + from->k));
    tn_case_state(build, true);
}

static void make_token_ids(tn_case_build *build) {
    static const int32_t ids[] = {5, -1, 7, -1, -1}, start[] = {0, 1, 2, 4}, slots[] = {0, 2, 1};
    make_slots(build, 3, 0);
    (void)tn_case_begin(build, TN_OP_TOKEN_IDS);
    tn_case_params(build)->token_ids = (tn_token_ids_params){.vocab_size = VOCAB, .max_seq_len = MAX_LEN};
    tn_case_given(build, TN_INT32, ids, 4 * sizeof *ids, TN_DIMS(4));
    tn_case_given(build, TN_INT32, start, sizeof start, TN_DIMS(4));
    tn_case_given(build, TN_INT32, slots, sizeof slots, TN_DIMS(3));
    tn_case_state(build, false);
    tn_case_output(build, TN_INT32, TN_DIMS(4));
}

void tn_cases_add_decoder(tn_case_list *list) {
    add_norms(list);
    static const int64_t columns[] = {64, 576, 33, 1, 1536};
    for (int i = 0; i < 20; i++) {
        tn_dtype to = i % 2 == 0 ? TN_Q15_32 : TN_Q8_32;
        tn_case *added = tn_cases_add(list, TN_OP_QUANTIZE_ROWS, make_quantize_rows, "%s %lld%s", tn_dtype_name(to),
                                      (long long)columns[i / 4], i / 2 % 2 == 0 ? "" : " special");
        added->y = to, added->n = columns[i / 4], added->rows = 6, added->has_windows = true, added->has_special_values = i / 2 % 2 != 0;
    }
    for (int i = 0; i < 4; i++) {
        tn_case *added =
            tn_cases_add(list, TN_OP_ROTARY_TABLE, make_rotary_table, "%d%s", i / 2 == 0 ? 64 : 20, i % 2 == 0 ? "" : " weight");
        added->rows = 12, added->n = i / 2 == 0 ? 64 : 20, added->option = i % 2, added->has_windows = true;
        added->tolerance_factor = 60.0; /* angles to 2,048: a float32 product is off by up to 1.2e-4 of a turn's radian */
    }
    for (int type = 0; type < TN_NUM_ROTARY_TYPES; type++)
        for (int part = 0; part < 2; part++) {
            tn_case *added = tn_cases_add(list, TN_OP_ROTARY, make_rotary, "%s%s", type == TN_ROTARY_HALVES ? "halves" : "interleaved",
                                          part == 0 ? "" : " of a part");
            added->variant = type, added->k = 64, added->n = part == 0 ? 64 : 24, added->rows = 7, added->has_windows = true;
        }
    add_caches(list);
    add_prompts(list);
    add_groups(list);
    for (int type = 0; type < TN_NUM_ROUTE_TYPES; type++)
        for (int option = 0; option < 8; option++) {
            static const int64_t sizes[][2] = {{13, 9}, {200, 126}, {70, 135}, {1, 510}}; /* tokens, experts */
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                tn_case *added = tn_cases_add(list, TN_OP_ROUTE, make_route, "type %d of %lldx%lld%s%s%s", type, (long long)sizes[i][0],
                                              (long long)sizes[i][1], option & 1 ? " renormalize" : "", option & 2 ? " bias" : "",
                                              option & 4 ? " groups" : "");
                added->variant = type, added->option = option, added->rows = sizes[i][0], added->n = sizes[i][1];
            }
        }
    tn_case *zeros = tn_cases_add(list, TN_OP_ROUTE, make_route, "equal logits"); /* zeros of both signs; no score saturates */
    zeros->variant = TN_ROUTE_TOPK_SOFTMAX, zeros->rows = 40, zeros->n = 33, zeros->has_special_values = true;
    for (int i = 0; i < 3; i++) {
        static const int64_t sizes[][2] = {{11, 64}, {11, 37}, {1100, 70}}; /* tokens, columns */
        tn_case *added = tn_cases_add(list, TN_OP_COMBINE, make_combine, "%lldx%lld", (long long)sizes[i][0], (long long)sizes[i][1]);
        added->rows = sizes[i][0], added->n = sizes[i][1];
    }
    for (int variant = 0; variant < 3; variant++)
        for (int option = 0; option < 2; option++) {
            static const char *const names[] = {"greedy", "top_k", "top_k top_p min_p"};
            tn_case *added = tn_cases_add(list, TN_OP_SAMPLE, make_sample, "%s%s", names[variant], option != 0 ? " mask" : "");
            added->variant = variant, added->option = option, added->k = variant * 2;
        }
    (void)tn_cases_add(list, TN_OP_TOKEN_IDS, make_token_ids, "slots");
}
