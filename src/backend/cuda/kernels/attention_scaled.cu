/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_scaled.cu: attention_token.cuh's kernels of int16, int8 and float8 caches: a score is the sum of level · query times the
 * key's scale, a weight is multiplied by the value's scale before the levels (op/kv_geometry.h).
 */
#include "backend/cuda/kernels/attention_token.cuh"

ATTENTIONS(i16, level16)
ATTENTIONS(i8, level8)
ATTENTIONS(e4m3, level_e4m3)
