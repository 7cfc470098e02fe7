/* SPDX-License-Identifier: Apache-2.0
 *
 * model_info.h: the JSON object that a model's plan carries ("model" in META) for the executor and the inspector:
 *
 *     {"name": "SmolLM2 135M", "architecture": "llama", "vocab_size": 49152, "max_seq_len": 8192, "max_num_tokens": 2048,
 *      "max_batch_size": 16, "tokens_per_block": 32, "max_log_probs": 20, "bos_id": 1, "end_ids": [2], "activations": "auto",
 *      "hidden_states": 576}
 *
 * hidden_states, the columns of that output, stands only in plans that give it.
 */
#ifndef TN_MODEL_MODEL_INFO_H_
#define TN_MODEL_MODEL_INFO_H_

#include "model/model.h"

/* Free with tn_free. NULL: out of memory. options complete (no zeros). */
char *tn_model_info_text(const tn_model_config *config, const tn_model_options *options, const tn_allocator *allocator);

#endif
