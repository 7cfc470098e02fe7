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

/* What Hugging Face calls their weights: a part of a table of names. */
#define TN_DEEPSEEK_EXPERT_NAMES                                                                                                   \
    .router = "model.layers.%d.mlp.gate",                                                                                          \
    .choice_bias = "model.layers.%d.mlp.gate.e_score_correction_bias=", .expert_gate = "model.layers.%d.mlp.experts.%d.gate_proj", \
    .expert_up = "model.layers.%d.mlp.experts.%d.up_proj", .expert_down = "model.layers.%d.mlp.experts.%d.down_proj",              \
    .shared_gate = "model.layers.%d.mlp.shared_experts.gate_proj", .shared_up = "model.layers.%d.mlp.shared_experts.up_proj",      \
    .shared_down = "model.layers.%d.mlp.shared_experts.down_proj"

void tn_deepseek_experts_from_hf(tn_hf_reader *reader, const tn_deepseek_experts *defaults);
void tn_deepseek_experts_from_gguf(tn_gguf_reader *reader, bool by_sigmoids);

#endif
