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
    };
    return (int)numerics >= 0 && numerics < TN_NUM_NUMERICS ? names[numerics] : "unknown";
}
