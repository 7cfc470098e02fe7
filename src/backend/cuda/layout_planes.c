/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_planes.c: packing GGUF rows into planes and back; see layout_planes.h.
 */
#include "backend/cuda/layout_planes.h"

#include <string.h>

#include "backend/cuda/layouts.h"
#include "base/checked.h"

typedef struct planes_form {
    tn_layout layout;
    uint32_t gguf_type;
} planes_form;

static const planes_form forms[TN_NUM_PLANES_TYPES];

static int64_t file_block_bytes(tn_planes_type type) {
    return tn_planes_scale_bytes(type) + tn_planes_quant_bytes(type);
}

/* A file's byte j holds value j low, value j + 16 high. */
static void pack_nibbles(uint8_t *packed, const uint8_t *quants) {
    uint32_t words[4] = {0};
    for (int i = 0; i < TN_PLANES_BLOCK; i++) {
        uint32_t q = i < 16 ? quants[i] & 15u : (uint32_t)quants[i - 16] >> 4;
        words[i / 8] |= q << tn_planes_nibble_shift(i % 8);
    }
    memcpy(packed, words, sizeof words);
}
static void unpack_nibbles(const uint8_t *packed, uint8_t *quants) {
    uint32_t words[4];
    memcpy(words, packed, sizeof words);
    memset(quants, 0, 16);
    for (int i = 0; i < TN_PLANES_BLOCK; i++) {
        uint32_t q = words[i / 8] >> tn_planes_nibble_shift(i % 8) & 15u;
        quants[i % 16] = (uint8_t)(quants[i % 16] | (i < 16 ? q : q << 4));
    }
}
static void flip_signs(uint8_t *to, const uint8_t *from) {
    for (int i = 0; i < TN_PLANES_BLOCK; i++) to[i] = from[i] ^ 0x80u;
}

static bool accepts(tn_planes_type type, const tn_weight_desc *desc) {
    return desc->encoding.kind == TN_ENCODING_GGUF && desc->encoding.gguf_type == forms[type].gguf_type && desc->dims.rank >= 2 &&
           desc->dims.rank <= 3 && tn_weight_num_columns(desc) % TN_PLANES_BLOCK == 0;
}

static tn_status packed_size(tn_planes_type type, const tn_weight_desc *desc, size_t *out_bytes) {
    size_t bytes;
    *out_bytes = 0;
    if (!accepts(type, desc)) return TN_UNSUPPORTED;
    int64_t rows = tn_weight_num_rows(desc), columns = tn_weight_num_columns(desc);
    /* twice the file's bytes fit: then so do the planes and their padding */
    if (!tn_encoding_part_bytes(&desc->encoding, TN_PART_DATA, rows, columns, &bytes) || bytes > INT64_MAX / 2) return TN_INVALID_DATA;
    *out_bytes = (size_t)tn_planes_bytes(type, rows, columns);
    return TN_OK;
}

static tn_status pack(tn_planes_type type, const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) {
    if (!accepts(type, desc)) return TN_UNSUPPORTED;
    int64_t rows = tn_weight_num_rows(desc), columns = tn_weight_num_columns(desc), scale_bytes = tn_planes_scale_bytes(type);
    const uint8_t *block = src->part[TN_PART_DATA];
    uint8_t *packed = dst;
    for (int64_t row = begin; row < end; row++)
        for (int64_t b = 0; b < columns / TN_PLANES_BLOCK; b++, block += file_block_bytes(type)) {
            uint8_t *quants = packed + tn_planes_quant_offset(type, columns, row, b);
            memcpy(packed + tn_planes_scale_offset(type, rows, columns, row, b), block, (size_t)scale_bytes);
            (type == TN_PLANES_Q8_0 ? flip_signs : pack_nibbles)(quants, block + scale_bytes);
        }
    if (end < rows) return TN_OK;
    int64_t used = tn_planes_quant_offset(type, columns, rows, 0), scales = tn_planes_scale_plane(type, rows, columns);
    memset(packed + used, 0, (size_t)(scales - used));
    used = tn_planes_scale_offset(type, rows, columns, rows, 0);
    memset(packed + used, 0, (size_t)(tn_planes_bytes(type, rows, columns) - used));
    return TN_OK;
}

static tn_status unpack(tn_planes_type type, const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end,
                        void *dst_parts[TN_NUM_WEIGHT_PARTS]) {
    if (!accepts(type, desc)) return TN_UNSUPPORTED;
    int64_t rows = tn_weight_num_rows(desc), columns = tn_weight_num_columns(desc), scale_bytes = tn_planes_scale_bytes(type);
    const uint8_t *packed = src;
    uint8_t *block = dst_parts[TN_PART_DATA];
    for (int64_t row = begin; row < end; row++)
        for (int64_t b = 0; b < columns / TN_PLANES_BLOCK; b++, block += file_block_bytes(type)) {
            const uint8_t *quants = packed + tn_planes_quant_offset(type, columns, row, b);
            memcpy(block, packed + tn_planes_scale_offset(type, rows, columns, row, b), (size_t)scale_bytes);
            if (type == TN_PLANES_Q8_0)
                flip_signs(block + scale_bytes, quants);
            else
                unpack_nibbles(quants, block + scale_bytes);
        }
    return TN_OK;
}

/* tn_layout's functions have no argument for the layout itself: one set a form. */
#define PLANES_FUNCTIONS(type, member)                                                                                              \
    static bool member##_accepts(const tn_weight_desc *desc) {                                                                      \
        return accepts(type, desc);                                                                                                 \
    }                                                                                                                               \
    static tn_status member##_size(const tn_weight_desc *desc, size_t *out_bytes) {                                                 \
        return packed_size(type, desc, out_bytes);                                                                                  \
    }                                                                                                                               \
    static tn_status member##_pack(const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) { \
        return pack(type, desc, src, begin, end, dst);                                                                              \
    }                                                                                                                               \
    static tn_status member##_unpack(const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end,                       \
                                     void *dst_parts[TN_NUM_WEIGHT_PARTS]) {                                                        \
        return unpack(type, desc, src, begin, end, dst_parts);                                                                      \
    }
PLANES_FUNCTIONS(TN_PLANES_Q4_0, q4_0)
PLANES_FUNCTIONS(TN_PLANES_Q4_1, q4_1)
PLANES_FUNCTIONS(TN_PLANES_Q8_0, q8_0)

#define PLANES_FORM(member) \
    { "planes_" #member, 1, 1, member##_accepts, member##_size, member##_pack, member##_unpack }
static const planes_form forms[TN_NUM_PLANES_TYPES] = {
    [TN_PLANES_Q4_0] = {PLANES_FORM(q4_0), TN_GGUF_Q4_0},
    [TN_PLANES_Q4_1] = {PLANES_FORM(q4_1), TN_GGUF_Q4_1},
    [TN_PLANES_Q8_0] = {PLANES_FORM(q8_0), TN_GGUF_Q8_0},
};

const tn_layout *const tn_cuda_layouts[TN_NUM_CUDA_LAYOUTS] = {
    &forms[TN_PLANES_Q4_0].layout,
    &forms[TN_PLANES_Q4_1].layout,
    &forms[TN_PLANES_Q8_0].layout,
};

bool tn_planes_type_of(const tn_encoding *encoding, tn_planes_type *out_type) {
    for (int i = 0; i < TN_NUM_PLANES_TYPES; i++) {
        if (encoding->kind != TN_ENCODING_GGUF || encoding->gguf_type != forms[i].gguf_type) continue;
        *out_type = (tn_planes_type)i;
        return true;
    }
    return false;
}

const char *tn_planes_layout_name(tn_planes_type type) {
    return forms[type].layout.name;
}
