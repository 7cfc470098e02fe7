/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_text.h: a weight's recipe as one line of text: what plans store, refit runs, and people read.
 *
 *     concat(0, load("q" q4_1[576,576]), load("k" q4_1[192,576]), load("v" q4_1[192,576]))
 *     add(decode(float32, load("w" float16[64])), value(float32[1] "0000803f"))
 *
 *     load("name" encoding[dims])      a tensor of the source; a named VALUE prints the same: refit gives it by name
 *     value(encoding[dims] "hex")      bytes that have no name; plain encodings only
 *     slice(axis, begin, end, x)       concat(axis, x, …)       stack(x, …)            reshape([dims], x)
 *     transpose(x)                     interleave(strip, a, b)  permute_rows([…], x)   decode(dtype, x)
 *     encode(encoding, x)              mul(x, factor)           add(x, term)
 *
 * `encoding>dtype[dims]` where the dtype is not the encoding's usual one (its storage, else float32). In names `"` and `\` stand
 * after a `\`, control characters as \xHH.
 */
#ifndef TN_WEIGHTS_RECIPE_TEXT_H_
#define TN_WEIGHTS_RECIPE_TEXT_H_

#include "weights/weights.h"

struct tn_text;
/* False (and nothing appended) if the recipe has unnamed bytes that are not small plain ones: it cannot be run again elsewhere. */
bool tn_weights_print(const tn_weights *weights, struct tn_text *out);

/* The recipe again, its nodes in `arena`, every load with `source` (NULL: none yet), which is not asked for anything here.
 * TN_INVALID_DATA names the place: text that is not a recipe, or shapes that do not fit. */
TN_MUST_CHECK tn_status tn_weights_parse(const char *text, tn_weight_source *source, tn_arena *arena, tn_diag *diag,
                                         const tn_weights **out_weights);

#endif
