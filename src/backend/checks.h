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

/* --- sets of types: bits 1 << dtype ------------------------------------------------------------------------------------------ */

#define TN_DTYPE_BIT(dtype) (1u << (dtype))
#define TN_DTYPES_FLOATS    (TN_DTYPE_BIT(TN_FLOAT32) | TN_DTYPE_BIT(TN_FLOAT16) | TN_DTYPE_BIT(TN_BFLOAT16))
#define TN_DTYPES_INDICES   (TN_DTYPE_BIT(TN_INT32) | TN_DTYPE_BIT(TN_INT64))
#define TN_DTYPES_INTEGERS  (TN_DTYPES_INDICES | TN_DTYPE_BIT(TN_INT8) | TN_DTYPE_BIT(TN_UINT8))
#define TN_DTYPES_WHOLE_BYTES                                                                                                         \
    (TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS | TN_DTYPE_BIT(TN_BOOL) | TN_DTYPE_BIT(TN_INT16) | TN_DTYPE_BIT(TN_UINT16) |               \
     TN_DTYPE_BIT(TN_UINT32) | TN_DTYPE_BIT(TN_UINT64) | TN_DTYPE_BIT(TN_FLOAT64) | TN_DTYPE_BIT(TN_COMPLEX64) |                      \
     TN_DTYPE_BIT(TN_COMPLEX128) | TN_DTYPE_BIT(TN_FLOAT8_E4M3FN) | TN_DTYPE_BIT(TN_FLOAT8_E4M3FNUZ) | TN_DTYPE_BIT(TN_FLOAT8_E5M2) | \
     TN_DTYPE_BIT(TN_FLOAT8_E5M2FNUZ) | TN_DTYPE_BIT(TN_FLOAT8_E8M0))

/* The operand is absent or of a type of the set; a weight is stored so, and plain. */
bool tn_check_type(const tn_problem *problem, uint32_t operand, uint32_t dtypes, char *reason, size_t reason_size);

/* No epilogues; inputs but those of `optional` are there; every operand has a type of the set. tn_check_equal_types: one type for all. */
bool tn_check_types(const tn_problem *problem, uint32_t optional, uint32_t dtypes, char *reason, size_t reason_size);
bool tn_check_equal_types(const tn_problem *problem, uint32_t optional, uint32_t dtypes, char *reason, size_t reason_size);

/* The inputs of `indices` (bits 1 << input) are int32 or int64, all other operands have one type of `dtypes`; those of `optional` may be
 * absent. */
bool tn_check_moves(const tn_problem *problem, uint32_t indices, uint32_t dtypes, uint32_t optional, char *reason, size_t reason_size);

/* What each operation is defined for, of a backend that computes with `dtypes`. */
bool tn_check_unary(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size);
bool tn_check_activation(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size);
bool tn_check_elementwise(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size);
bool tn_check_select(const tn_problem *problem, uint32_t dtypes, char *reason, size_t reason_size);

/* --- products and caches -------------------------------------------------------------------------------------------------------- */

/* Epilogue operands are float32 and plain; the kinds are those of `allowed` (bits 1 << kind); the output is float32 or what
 * the last epilogue QUANTIZE stores, one of q15_32 and q8_32. */
bool tn_check_epilogues(const tn_problem *problem, uint32_t allowed, char *reason, size_t reason_size);
bool tn_has_epilogue(const tn_problem *problem, tn_epilogue_kind kind);

/* Blocks of 16 to 256 tokens, a power of two; heads of 1 to max_head_dim values; lengths and block table, which follow the
 * cache at operand `first`, are int32. The type of the cache is the tactic's own question. */
bool tn_check_cache(const tn_problem *problem, const tn_kv_geometry *geometry, uint32_t first, int64_t max_head_dim, char *reason,
                    size_t reason_size);

#endif
