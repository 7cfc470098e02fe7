/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding_parse.c: an encoding from its name. Whatever was read must print as the same name, so that two spellings of one
 * encoding do not exist.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op/encoding.h"
#include "op/gguf_blocks.h"

#define MAX_NAME 64

/* By the names that tn_encoding_name uses inside longer names; NONE if there is none. */
static tn_dtype find_short_name(const char *name) {
    for (int dtype = TN_BOOL; dtype < TN_NUM_DTYPES; dtype++) {
        tn_encoding probe = {.kind = TN_ENCODING_MX, .storage = (tn_dtype)dtype};
        char buffer[MAX_NAME];
        if (tn_dtype_get_info((tn_dtype)dtype)->bits != 0 && strcmp(tn_encoding_name(&probe, buffer) + strlen("mx_"), name) == 0)
            return (tn_dtype)dtype;
    }
    return TN_DTYPE_NONE;
}

static bool set_dtype(const char *name, tn_dtype *out_dtype) {
    *out_dtype = find_short_name(name);
    return *out_dtype != TN_DTYPE_NONE;
}

/* "b128x64" */
static bool parse_block(const char *text, tn_encoding *encoding) {
    char *end;
    if (text[0] != 'b' || text[1] < '0' || text[1] > '9') return false;
    encoding->block_rows = strtoll(text + 1, &end, 10);
    if (*end != 'x' || end[1] < '0' || end[1] > '9') return false;
    encoding->block_cols = strtoll(end + 1, &end, 10);
    return *end == '\0';
}

/* What follows "affine_": storage, block, then options. */
static bool parse_affine(char *text, tn_encoding *encoding) {
    char *rest = text, *piece = strtok_r(NULL, "_", &rest);
    if (piece == NULL || !set_dtype(piece, &encoding->storage)) return false;
    encoding->bits = tn_dtype_get_info(encoding->storage)->bits;
    encoding->scale_dtype = TN_FLOAT32;
    piece = strtok_r(NULL, "_", &rest);
    if (piece == NULL || !parse_block(piece, encoding)) return false;
    while ((piece = strtok_r(NULL, "_", &rest)) != NULL) {
        if (strcmp(piece, "s2") == 0) {
            encoding->has_scale2 = true;
        } else if (strcmp(piece, "perm") == 0) {
            encoding->has_perm = true;
        } else if (piece[0] == 's') {
            if (!set_dtype(piece + 1, &encoding->scale_dtype)) return false;
        } else if (piece[0] == 'z') {
            encoding->has_zero = true;
            if (!set_dtype(piece + 1, &encoding->zero_dtype)) return false;
        } else {
            return false;
        }
    }
    return true;
}

static bool parse_kind(char *text, tn_encoding *out) {
    if (strncmp(text, "affine_", 7) == 0) {
        out->kind = TN_ENCODING_AFFINE;
        return parse_affine(text + 7, out);
    }
    if (strncmp(text, "mx_", 3) == 0) {
        *out = (tn_encoding){.kind = TN_ENCODING_MX, .scale_dtype = TN_FLOAT8_E8M0, .block_rows = 1, .block_cols = 32};
        if (!set_dtype(text + 3, &out->storage)) return false;
        out->bits = tn_dtype_get_info(out->storage)->bits;
        return true;
    }
    if (strcmp(text, "nvfp4") == 0) {
        *out = (tn_encoding){.kind = TN_ENCODING_NVFP4,
                             .storage = TN_FLOAT4_E2M1,
                             .scale_dtype = TN_FLOAT8_E4M3FN,
                             .bits = 4,
                             .block_rows = 1,
                             .block_cols = 16,
                             .has_scale2 = true};
        return true;
    }
    for (size_t i = 0; i < tn_gguf_num_block_types(); i++) {
        const tn_gguf_block_type *type = tn_gguf_block_type_at(i);
        if (strcmp(type->name, text) == 0) return tn_encoding_from_gguf(type->number, out) == TN_OK;
    }
    tn_dtype dtype = tn_dtype_find(text);
    *out = tn_encoding_plain(dtype);
    return tn_dtype_get_info(dtype)->bits != 0;
}

bool tn_encoding_parse(const char *name, tn_encoding *out_encoding) {
    char copy[MAX_NAME], printed[MAX_NAME];
    *out_encoding = (tn_encoding){0};
    size_t size = strlen(name);
    if (size >= sizeof copy) return false;
    memcpy(copy, name, size + 1);
    if (parse_kind(copy, out_encoding) && strcmp(tn_encoding_name(out_encoding, printed), name) == 0) return true;
    *out_encoding = (tn_encoding){0};
    return false;
}
