/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_bench.c: processor time of encoding a file with a tokenizer, and of loading its compiled form.
 *
 *     tokenizer_encode_bench TOKENIZER TEXT_FILE [ROUNDS [BYTES]]
 *
 * BYTES: the text is encoded in pieces of so many bytes, each ended at the next line; else at once.
 * scripts/compare_tokenizer_speed runs it in turns with the `tokenizers` library on the same text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "tenon/tokenizer.h"

static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The pieces are encoded one after the other. */
static tn_status encode(const tn_tokenizer *tokenizer, const char *text, size_t size, size_t piece_bytes, size_t *out_num_ids) {
    tn_status status = TN_OK;
    *out_num_ids = 0;
    for (size_t at = 0; at < size && status == TN_OK;) {
        size_t end = size - at > piece_bytes ? at + piece_bytes : size, num_ids;
        while (end < size && text[end - 1] != '\n') end++;
        int32_t *ids;
        status = tn_tokenizer_encode(tokenizer, text + at, end - at, NULL, &ids, &num_ids);
        tn_tokenizer_free(tokenizer, ids);
        *out_num_ids += num_ids;
        at = end;
    }
    return status;
}

static tn_status run(const char *path, const char *text, size_t size, int rounds, size_t piece_bytes) {
    tn_tokenizer *tokenizer;
    tn_status status = tn_tokenizer_load(path, NULL, &tokenizer);
    if (status != TN_OK) return status;
    for (int i = 0; i < rounds && status == TN_OK; i++) {
        size_t num_ids;
        double begin = processor_seconds();
        status = encode(tokenizer, text, size, piece_bytes, &num_ids);
        double seconds = processor_seconds() - begin;
        if (status == TN_OK)
            printf("encode %zu bytes, %zu ids: %.3f s, %.2f MB/s\n", size, num_ids, seconds, (double)size * 1e-6 / seconds);
    }
    char compiled[] = "/tmp/tenon-encode-bench.bin";
    if (status == TN_OK) status = tn_tokenizer_save(tokenizer, compiled, NULL);
    for (int i = 0; i < rounds && status == TN_OK; i++) {
        tn_tokenizer *loaded;
        double begin = processor_seconds();
        status = tn_tokenizer_load(compiled, NULL, &loaded);
        double seconds = processor_seconds() - begin;
        if (status != TN_OK) break;
        printf("load %zu tokens compiled: %.2f ms\n", tn_tokenizer_vocab_size(loaded), seconds * 1e3);
        tn_tokenizer_destroy(loaded);
    }
    (void)remove(compiled);
    tn_tokenizer_destroy(tokenizer);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s TOKENIZER TEXT_FILE [ROUNDS [BYTES]]\n", argv[0]);
        return 2;
    }
    char *text;
    size_t size;
    if (tn_file_read_all(argv[2], (size_t)1 << 30, NULL, NULL, &text, &size) != TN_OK) return 1;
    tn_status status =
        run(argv[1], text, size, argc > 3 ? (int)strtol(argv[3], NULL, 10) : 3, argc > 4 ? strtoul(argv[4], NULL, 10) : size);
    tn_free(NULL, text);
    return status == TN_OK ? 0 : 1;
}
