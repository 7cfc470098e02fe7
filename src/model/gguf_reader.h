/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_reader.h: GGUF metadata "<architecture>.<key>" key by key, as hf_reader.h reads config.json: what no family asked for is
 * refused by name, the first error sticks.
 */
#ifndef TN_MODEL_GGUF_READER_H_
#define TN_MODEL_GGUF_READER_H_

#include "format/gguf.h"
#include "model/model_config.h"

typedef struct tn_gguf_reader {
    const tn_gguf *gguf;
    tn_arena *arena;
    tn_diag *diag;
    tn_model_config *config; /* sizes and rope are filled before the family's read_gguf */
    bool *is_asked;          /* of each metadata value */
    tn_status status;
} tn_gguf_reader;

/* Names are without the architecture. */
bool tn_gguf_has_key(tn_gguf_reader *reader, const char *name);
int64_t tn_gguf_integer_key(tn_gguf_reader *reader, const char *name, int64_t min, int64_t max); /* must be there */
int64_t tn_gguf_integer_key_or(tn_gguf_reader *reader, const char *name, int64_t min, int64_t max, int64_t fallback);
double tn_gguf_number_key(tn_gguf_reader *reader, const char *name, double min, double max);
double tn_gguf_number_key_or(tn_gguf_reader *reader, const char *name, double min, double max, double fallback);
bool tn_gguf_bool_key(tn_gguf_reader *reader, const char *name, bool fallback);
bool tn_gguf_has_tensor(const tn_gguf_reader *reader, const char *name);
/* Is the architecture that? */
bool tn_gguf_is(const tn_gguf_reader *reader, const char *architecture);

/* The norm's epsilon, by is_layer_norm. */
void tn_gguf_norm(tn_gguf_reader *reader, bool is_layer_norm);
/* The rotary keys into config.rope; theta 0 unless a family calls it. */
void tn_gguf_rope(tn_gguf_reader *reader, tn_rotary_type type);
/* attention.sliding_window for the layers that sliding_window_pattern lists, or, where it is a number or absent, for those whose
 * (index + 1) % pattern is not 0; pattern 0: for all. */
void tn_gguf_windows(tn_gguf_reader *reader, int64_t pattern);

#endif
