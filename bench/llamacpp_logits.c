/* SPDX-License-Identifier: Apache-2.0
 *
 * llamacpp_logits.c: llama.cpp's logits of every position of one prompt. Built and run by kl-llamacpp.
 *
 *     llamacpp_logits MODEL.gguf OUT FLASH CACHE THREADS <ids     FLASH: 0 or 1, CACHE: f16 or f32, ids: numbers between blanks
 *
 * OUT gets float32 [num_ids, vocab_size] without a head. All ids go into one context from position 0, in llama.cpp's own default
 * sizes of batches; everything that the arguments do not name is llama.cpp's default.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama.h"

enum { MAX_IDS = 8192 };

static void show_errors(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static struct llama_context *open_context(struct llama_model *model, int count, char **arguments) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)count;
    params.n_batch = (uint32_t)count; /* one call; it is computed in pieces of n_ubatch */
    params.flash_attn_type = strcmp(arguments[0], "1") == 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = params.type_v = strcmp(arguments[1], "f32") == 0 ? GGML_TYPE_F32 : GGML_TYPE_F16;
    params.n_threads = params.n_threads_batch = (int32_t)strtol(arguments[2], NULL, 10);
    return llama_init_from_model(model, params);
}

static bool write_logits(struct llama_context *context, const llama_token *ids, int count, size_t vocab_size, FILE *out) {
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
        batch.token[i] = ids[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    bool is_good = llama_decode(context, batch) == 0;
    for (int i = 0; i < count && is_good; i++) {
        const float *row = llama_get_logits_ith(context, i);
        is_good = row != NULL && fwrite(row, sizeof *row, vocab_size, out) == vocab_size;
    }
    llama_batch_free(batch);
    return is_good;
}

int main(int argc, char **argv) {
    static llama_token ids[MAX_IDS];
    int count = 0, status = 1;
    if (argc != 6) {
        fputs("usage: llamacpp_logits MODEL.gguf OUT FLASH CACHE THREADS <ids\n", stderr);
        return 2;
    }
    while (count < MAX_IDS && scanf("%d", &ids[count]) == 1) count++;
    llama_log_set(show_errors, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    struct llama_context *context = model != NULL && count > 0 ? open_context(model, count, argv + 3) : NULL;
    FILE *out = fopen(argv[2], "wb");
    if (context != NULL && out != NULL) {
        size_t vocab_size = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
        status = write_logits(context, ids, count, vocab_size, out) ? 0 : 1;
    }
    if (out != NULL && fclose(out) != 0) status = 1;
    if (status != 0) fputs("llamacpp_logits: no logits\n", stderr);
    if (context != NULL) llama_free(context);
    if (model != NULL) llama_model_free(model);
    llama_backend_free();
    return status;
}
