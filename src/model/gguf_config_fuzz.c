/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_config_fuzz.c: any bytes as a GGUF model. What is taken must be usable: its rotary frequencies are computed, its weights found.
 * covers: gguf_config.c
 */
#include <stdlib.h>

#include "model/family.h"
#include "model/sources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_arena arena = {0};
    tn_gguf *gguf;
    tn_weight_source *source = NULL;
    tn_model_config config;
    const tn_family *family;
    if (tn_gguf_open_memory("fuzz", data, size, NULL, diag, &gguf) == TN_OK &&
        tn_model_config_from_gguf(gguf, &arena, diag, &config, &family) == TN_OK) {
        if (config.num_heads % config.num_kv_heads != 0 || config.head_dim < 2 || config.rope.dim > config.head_dim) abort();
        float frequencies[512];
        double scale;
        if (config.rope.dim > 0) tn_rope_frequencies(&config.rope, config.max_positions, frequencies, &scale);
        for (int64_t i = 0; config.layer_windows != NULL && i < config.num_layers; i++)
            if (config.layer_windows[i] < 0) abort();
        tn_weight_desc desc;
        if (tn_gguf_source_create(gguf, NULL, diag, &source) == TN_OK && source->find(source, "token_embd.weight", &desc) != TN_OK) abort();
        tn_weight_source_destroy(source);
    }
    tn_gguf_close(gguf);
    tn_arena_deinit(&arena);
    tn_diag_destroy(diag);
    return 0;
}
