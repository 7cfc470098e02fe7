/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_config_fuzz.c: config.json from any bytes, up to the first NUL if there is one: then generation_config.json follows. What is taken
 * must be usable: its rotary frequencies are computed.
 * covers: hf_config.c hf_reader.c hf_rope.c model_config.c
 */
#include "base/fuzz_testing.h"
#include "format/json.h"
#include "model/family.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tn_status read_config(const uint8_t *data, size_t size, tn_arena *arena, tn_diag *diag, tn_model_config *config) {
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    const tn_family *family;
    if (end != NULL) {
        size_t config_size = (size_t)(end - data);
        (void)fuzz_write("config.json", data, config_size);
        (void)fuzz_write("generation_config.json", end + 1, size - config_size - 1);
        return tn_model_config_from_hf(fuzz_folder, arena, diag, config, &family);
    }
    const tn_json_limits limits = {.max_bytes = 1 << 16};
    tn_json *json;
    tn_status status = tn_json_parse("config.json", (const char *)data, size, &limits, NULL, diag, &json);
    if (status == TN_OK) status = tn_model_config_from_json(json, "config.json", arena, diag, config, &family);
    tn_json_destroy(json);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_arena arena = {0};
    tn_model_config config;
    if (read_config(data, size, &arena, diag, &config) == TN_OK) {
        if (config.num_heads % config.num_kv_heads != 0 || config.head_dim < 2 || config.rope.dim > config.head_dim) abort();
        float frequencies[512];
        double scale;
        if (config.rope.dim > 0) tn_rope_frequencies(&config.rope, config.max_positions, frequencies, &scale);
        for (int64_t i = 0; config.layer_windows != NULL && i < config.num_layers; i++)
            if (config.layer_windows[i] < 0) abort();
    }
    tn_arena_deinit(&arena);
    tn_diag_destroy(diag);
    return 0;
}
