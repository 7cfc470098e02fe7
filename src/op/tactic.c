/* SPDX-License-Identifier: Apache-2.0
 *
 * tactic.c: names of the rounding contracts.
 */
#include "op/tactic.h"

const char *tn_numerics_name(tn_numerics numerics) {
    static const char *const names[TN_NUM_NUMERICS] = {
        [TN_NUMERICS_DOUBLE] = "double",
        [TN_NUMERICS_EXACT] = "exact",
        [TN_NUMERICS_F32_ASCENDING] = "f32_ascending",
        [TN_NUMERICS_Q15_BLOCK32] = "q15_block32",
        [TN_NUMERICS_Q8_BLOCK32] = "q8_block32",
        [TN_NUMERICS_F32_LANES16] = "f32_lanes16",
        [TN_NUMERICS_F32_CHUNKED_SOFTMAX] = "f32_chunked_softmax",
        [TN_NUMERICS_F32_CUDA] = "f32_cuda",
        [TN_NUMERICS_BF16_CUDA] = "bf16_cuda",
    };
    return (int)numerics >= 0 && numerics < TN_NUM_NUMERICS ? names[numerics] : "unknown";
}

bool tn_numerics_is_shared(tn_numerics numerics) {
    return numerics != TN_NUMERICS_F32_CUDA && numerics != TN_NUMERICS_BF16_CUDA;
}
