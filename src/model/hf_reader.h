/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_reader.h: config.json field by field, as families read it. The reader remembers which fields were asked for: one that no
 * question met could change the results, so tn_hf_finish refuses it by name, unless its value says "off" or it only matters in
 * training. The first error sticks: every later call does nothing and returns its fallback (1 for sizes), so that a family reads
 * without looking.
 *
 *     tn_hf_sizes(reader, &(tn_hf_keys){...});
 *     config->qkv_bias = tn_hf_bool(reader, "use_bias", true) ? TN_BIAS_REQUIRED : TN_BIAS_NONE;
 *
 * Keys are "name|older name": the first that is there counts. null is as good as absent where there is a fallback.
 */
#ifndef TN_MODEL_HF_READER_H_
#define TN_MODEL_HF_READER_H_

#include "format/json.h"
#include "model/model_config.h"

enum { TN_HF_MAX_SIZE = 1 << 24, TN_HF_MAX_LAYERS = 4096, TN_HF_MAX_HEADS = 65536, TN_HF_MAX_EXPERTS = 65536 };

typedef struct tn_hf_reader {
    const tn_json_value *json;     /* the object */
    const tn_json_value *defaults; /* an object of fields that `json` may leave out; NULL: none */
    tn_arena *arena;
    tn_diag *diag;
    tn_model_config *config; /* what is filled */
    bool *is_asked;          /* of each member */
    tn_status status;
} tn_hf_reader;

/* NULL: absent or null. */
const tn_json_value *tn_hf_find(tn_hf_reader *reader, const char *keys);
bool tn_hf_has(tn_hf_reader *reader, const char *keys);
int64_t tn_hf_integer(tn_hf_reader *reader, const char *keys, int64_t min, int64_t max); /* must be there */
int64_t tn_hf_integer_or(tn_hf_reader *reader, const char *keys, int64_t min, int64_t max, int64_t fallback);
double tn_hf_number(tn_hf_reader *reader, const char *keys, double min, double max);
double tn_hf_number_or(tn_hf_reader *reader, const char *keys, double min, double max, double fallback);
bool tn_hf_bool(tn_hf_reader *reader, const char *keys, bool fallback);
/* A bias that a switch turns on. */
tn_bias_rule tn_hf_bias(tn_hf_reader *reader, const char *keys, bool fallback);
/* Fills activation and squares_activation. fallback NULL: must be there. */
void tn_hf_activation(tn_hf_reader *reader, const char *keys, const char *fallback);
/* Of training or bookkeeping, or its value says "off" (null, false, empty): it cannot change results. */
bool tn_hf_is_harmless(const tn_json_value *member);
/* TN_UNSUPPORTED unless the field is absent, null or has the value. */
void tn_hf_require_bool(tn_hf_reader *reader, const char *key, bool value, const char *what_else);
void tn_hf_fail(tn_hf_reader *reader, const tn_json_value *value, tn_status code, const char *what);
void tn_hf_fail_memory(tn_hf_reader *reader, size_t bytes);

/* The names of the sizes; NULL: as Llama's. kv_heads "": as many as heads. inner of another name: 4 · hidden
 * unless given. positions "": the family's business. */
typedef struct tn_hf_keys {
    const char *hidden, *layers, *heads, *kv_heads, *inner, *positions;
} tn_hf_keys;
void tn_hf_sizes(tn_hf_reader *reader, const tn_hf_keys *keys);

/* rope_parameters, or rope_theta and rope_scaling; fills rope (a name: of that kind of layer, where there are several) and
 * max_scaled_positions. Reads partial_rotary_factor. */
void tn_hf_rope(tn_hf_reader *reader, const char *layer_type, double theta, double partial, tn_rotary_type type, tn_rope *out_rope);

/* layer_windows by layer_types, where the file has them; else layer i has the window if (i + 1) % pattern is not 0 and i is at
 * least first. pattern 0: all have it. window 0: none has. */
void tn_hf_windows(tn_hf_reader *reader, int64_t window, int64_t first, int64_t pattern);

tn_status tn_hf_finish(tn_hf_reader *reader);

#endif
