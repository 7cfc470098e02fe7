/* SPDX-License-Identifier: Apache-2.0
 *
 * deepseek.h: how experts are chosen by DeepSeek, for families that choose theirs so.
 */
#ifndef TN_MODEL_FAMILIES_DEEPSEEK_H_
#define TN_MODEL_FAMILIES_DEEPSEEK_H_

#include "model/gguf_reader.h"
#include "model/hf_reader.h"

/* What config.json may leave out. By sigmoids there is a bias of the choice, and scores may be divided by their sum. */
typedef struct tn_deepseek_experts {
    bool by_sigmoids;
    int64_t groups, chosen_groups, num_dense;
    double scale;
} tn_deepseek_experts;

void tn_deepseek_experts_from_hf(tn_hf_reader *reader, const tn_deepseek_experts *defaults);
void tn_deepseek_experts_from_gguf(tn_gguf_reader *reader, bool by_sigmoids);

#endif
