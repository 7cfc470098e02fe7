/* SPDX-License-Identifier: Apache-2.0
 *
 * checks.h: what the tactics of every backend ask of a problem before they accept it. Each writes the reason and returns
 * false where the answer is no.
 */
#ifndef TN_BACKEND_CHECKS_H_
#define TN_BACKEND_CHECKS_H_

#include "op/kv_geometry.h"
#include "op/problem.h"

/* Writes the reason and returns false. */
bool tn_refuse(char *reason, size_t reason_size, const char *format, ...) TN_PRINTF(3, 4);

/* No operand is absent but those of `optional` (bits 1 << index); there are no epilogues unless has_epilogues. */
bool tn_check_complete(const tn_problem *problem, uint32_t optional, bool has_epilogues, char *reason, size_t reason_size);

/* Every input (but absent ones) and output has the dtype; weights are plain in storage and layout. */
bool tn_check_all_are(const tn_problem *problem, tn_dtype dtype, char *reason, size_t reason_size);

/* One operand is absent, or float32 with plain storage and layout. */
bool tn_check_plain_f32(const tn_problem *problem, uint32_t operand, char *reason, size_t reason_size);

/* Epilogue operands are float32 and plain; the kinds are those of `allowed` (bits 1 << kind); the output is float32 or what
 * the last epilogue QUANTIZE stores, one of q15_32 and q8_32. */
bool tn_check_epilogues(const tn_problem *problem, uint32_t allowed, char *reason, size_t reason_size);
bool tn_has_epilogue(const tn_problem *problem, tn_epilogue_kind kind);

/* Blocks of 16 to 256 tokens, a power of two; heads of 1 to max_head_dim values; lengths and block table, which follow the
 * cache at operand `first`, are int32. The type of the cache is the tactic's own question. */
bool tn_check_cache(const tn_problem *problem, const tn_kv_geometry *geometry, uint32_t first, int64_t max_head_dim, char *reason,
                    size_t reason_size);

#endif
