/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_strip16.c: packing rows into strips and back; see layout_strip16.h. Float forms are two small functions on one row of one
 * strip; forms of codes share theirs, which go by op/gguf_blocks.h; everything else is shared by all.
 */
#include "backend/cpu/layout_strip16.h"

#include "base/checked.h"
#include "op/gguf_blocks.h"

enum { LANES = TN_STRIP_ROWS, VECTOR_BYTES = 64 };

typedef void (*row_function)(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns);

typedef struct packing {
    tn_layout layout;
    tn_dtype plain;            /* of PLAIN encodings; else NONE */
    uint32_t gguf_type;        /* of GGUF encodings; else 0 */
    row_function pack, unpack; /* NULL: of several parts */
} packing;

static const packing packings[TN_NUM_STRIP_TYPES];

static uint32_t load32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void store32(uint8_t *bytes, uint32_t value) {
    memcpy(bytes, &value, sizeof value);
}

/* --- float forms --------------------------------------------------------------------------------------------------- */

static void pack_f32(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    (void)type;
    for (int64_t k = 0; k < columns; k++) memcpy(strip + (k * LANES + lane) * 4, row + k * 4, 4);
}
static void unpack_f32(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    (void)type;
    for (int64_t k = 0; k < columns; k++) memcpy(row + k * 4, strip + (k * LANES + lane) * 4, 4);
}

static void pack_f16(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    (void)type;
    for (int64_t k = 0; k < columns; k++) memcpy(strip + (k * LANES + lane) * 2, row + k * 2, 2);
}
static void unpack_f16(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    (void)type;
    for (int64_t k = 0; k < columns; k++) memcpy(row + k * 2, strip + (k * LANES + lane) * 2, 2);
}

static int64_t bf16_offset(int64_t k, int lane) {
    return (k / 2 * LANES + lane) * 4 + k % 2 * 2;
}
static void pack_bf16(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    (void)type;
    for (int64_t k = 0; k < columns; k++) memcpy(strip + bf16_offset(k, lane), row + k * 2, 2);
}
static void unpack_bf16(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    (void)type;
    for (int64_t k = 0; k < columns; k++) memcpy(row + k * 2, strip + bf16_offset(k, lane), 2);
}

/* --- codes ----------------------------------------------------------------------------------------------------------- */

#define LOW_NIBBLES 0x0f0f0f0fu
#define LOW_PAIRS   0x03030303u
#define LOW_BITS    0x01010101u

/* A lane's word of vector v */
static uint8_t *lane_word(uint8_t *vectors, int v, int lane) {
    return vectors + v * VECTOR_BYTES + 4 * lane;
}

/* 32 codes into the vectors of a block. Four columns, a group, at a time. */
static void pack_codes(int bits, uint8_t *vectors, int lane, const uint8_t codes[TN_GGUF_PIECE]) {
    uint32_t groups[8];
    for (int g = 0; g < 8; g++) groups[g] = load32(codes + 4 * g);
    if (bits == 8) {
        for (int g = 0; g < 8; g++) store32(lane_word(vectors, g, lane), groups[g]);
        return;
    }
    if (bits >= 4) {
        for (int v = 0; v < 4; v++)
            store32(lane_word(vectors, v, lane), (groups[2 * v] & LOW_NIBBLES) | (groups[2 * v + 1] & LOW_NIBBLES) << 4);
        for (int g = 0; g < 8; g++) groups[g] >>= 4;
        vectors += 4 * VECTOR_BYTES;
        bits -= 4;
    }
    if (bits >= 2) {
        for (int h = 0; h < 2; h++) {
            uint32_t word = 0;
            for (int i = 0; i < 4; i++) word |= (groups[4 * h + i] & LOW_PAIRS) << 2 * i;
            store32(lane_word(vectors, h, lane), word);
        }
        for (int g = 0; g < 8; g++) groups[g] >>= 2;
        vectors += 2 * VECTOR_BYTES;
        bits -= 2;
    }
    if (bits == 1) {
        uint32_t word = 0;
        for (int g = 0; g < 8; g++) word |= (groups[g] & LOW_BITS) << g;
        store32(lane_word(vectors, 0, lane), word);
    }
}

static void unpack_codes(int bits, uint8_t *vectors, int lane, uint8_t codes[TN_GGUF_PIECE]) {
    uint32_t groups[8] = {0};
    int shift = 0;
    if (bits == 8) {
        for (int g = 0; g < 8; g++) groups[g] = load32(lane_word(vectors, g, lane));
        bits = 0;
    }
    if (bits >= 4) {
        for (int g = 0; g < 8; g++) groups[g] = load32(lane_word(vectors, g / 2, lane)) >> 4 * (g % 2) & LOW_NIBBLES;
        vectors += 4 * VECTOR_BYTES;
        bits -= 4;
        shift = 4;
    }
    if (bits >= 2) {
        for (int g = 0; g < 8; g++) groups[g] |= (load32(lane_word(vectors, g / 4, lane)) >> 2 * (g % 4) & LOW_PAIRS) << shift;
        vectors += 2 * VECTOR_BYTES;
        bits -= 2;
        shift += 2;
    }
    if (bits == 1)
        for (int g = 0; g < 8; g++) groups[g] |= (load32(lane_word(vectors, 0, lane)) >> g & LOW_BITS) << shift;
    for (int g = 0; g < 8; g++) store32(codes + 4 * g, groups[g]);
}

/* Block after block of one row, in a strip and in the file. Divisions would take most of the time, so places are kept. */
typedef struct block_walk {
    const tn_strip_form *form;
    const tn_gguf_block_type *from;
    int lane, piece, in_unit, num_in_unit;     /* piece: of the file's block */
    int64_t code_bytes, own_bytes, half_bytes; /* of a block of the strip */
    uint8_t *unit, *block;                     /* of the strip; of the file, NULL: zeros */
} block_walk;

static block_walk begin_walk(tn_strip_type type, uint8_t *strip, int lane, int64_t column, uint8_t *row) {
    const tn_strip_form *form = &tn_strip_forms[type];
    return (block_walk){.form = form,
                        .from = tn_gguf_block_type_find(packings[type].gguf_type),
                        .lane = lane,
                        .in_unit = (int)(column % form->unit_columns / 32),
                        .num_in_unit = form->unit_columns / 32,
                        .code_bytes = form->code_bits * VECTOR_BYTES,
                        .own_bytes = tn_strip_scale_bytes(type, 32),
                        .half_bytes = tn_strip_scale_bytes(type, form->scale_columns),
                        .unit = strip + column / form->unit_columns * form->unit_bytes,
                        .block = row};
}

static void next_block(block_walk *walk) {
    if (++walk->in_unit == walk->num_in_unit) {
        walk->in_unit = 0;
        walk->unit += walk->form->unit_bytes;
    }
    if (walk->block != NULL && ++walk->piece == walk->from->values / TN_GGUF_PIECE) {
        walk->piece = 0;
        walk->block += walk->from->size_bytes;
    }
}

static uint8_t *codes_of(const block_walk *walk) {
    return walk->unit + walk->in_unit * walk->code_bytes;
}
static uint8_t *own_scales_of(const block_walk *walk) {
    return walk->unit + walk->num_in_unit * walk->code_bytes + walk->in_unit * walk->own_bytes;
}
static uint8_t *unit_scales_of(const block_walk *walk) {
    return walk->unit + walk->num_in_unit * (walk->code_bytes + walk->own_bytes);
}

static void pack_block(const block_walk *walk) {
    static const uint8_t zeros[256];
    const tn_strip_form *form = walk->form;
    const tn_gguf_block_type *from = walk->from;
    const uint8_t *block = walk->block != NULL ? walk->block : zeros;
    uint8_t codes[TN_GGUF_PIECE] = {0}, *scales = own_scales_of(walk);
    int lane = walk->lane;
    if (walk->block != NULL) tn_gguf_load_codes(from, block, walk->piece, codes);
    pack_codes(form->code_bits, codes_of(walk), lane, codes);
    if (from->number == TN_GGUF_MXFP4) {
        scales[lane] = block[0];
        return;
    }
    if (form->has_integers) {
        tn_gguf_integers integers = {{0, 0}, {0, 0}};
        if (walk->block != NULL) integers = tn_gguf_load_integers(from, block, walk->piece);
        for (int half = 0; half * form->scale_columns < 32; half++, scales += walk->half_bytes) {
            scales[lane] = (uint8_t)integers.scale[half];
            if (form->has_minimum) scales[LANES + lane] = integers.minimum[half];
        }
        if (walk->piece > 0) return; /* the unit's are written */
        scales = unit_scales_of(walk);
    }
    memcpy(scales + 2 * lane, block + from->scale_at, 2);
    if (form->has_minimum || form->has_integers) memcpy(scales + 32 + 2 * lane, form->has_minimum ? block + from->minimum_at : zeros, 2);
}

static void unpack_block(const block_walk *walk) {
    const tn_strip_form *form = walk->form;
    const tn_gguf_block_type *from = walk->from;
    uint8_t codes[TN_GGUF_PIECE], *block = walk->block, *scales = own_scales_of(walk);
    int lane = walk->lane;
    unpack_codes(form->code_bits, codes_of(walk), lane, codes);
    tn_gguf_store_codes(from, block, walk->piece, codes);
    if (from->number == TN_GGUF_MXFP4) {
        block[0] = scales[lane];
        return;
    }
    if (form->has_integers) {
        tn_gguf_integers integers = {{0, 0}, {0, 0}};
        for (int half = 0; half * form->scale_columns < 32; half++, scales += walk->half_bytes) {
            integers.scale[half] = (int8_t)scales[lane];
            if (form->has_minimum) integers.minimum[half] = scales[LANES + lane];
        }
        tn_gguf_store_integers(from, block, walk->piece, integers);
        scales = unit_scales_of(walk);
    }
    memcpy(block + from->scale_at, scales + 2 * lane, 2);
    if (form->has_minimum) memcpy(block + from->minimum_at, scales + 32 + 2 * lane, 2);
}

static void pack_gguf(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    block_walk walk = begin_walk(type, strip, lane, 0, row);
    for (int64_t k = 0; k < columns; k += TN_GGUF_PIECE, next_block(&walk)) pack_block(&walk);
}
static void unpack_gguf(tn_strip_type type, uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    block_walk walk = begin_walk(type, strip, lane, 0, row);
    memset(row, 0, (size_t)(columns / walk.from->values * walk.from->size_bytes));
    for (int64_t k = 0; k < columns; k += TN_GGUF_PIECE, next_block(&walk)) unpack_block(&walk);
}

/* --- weights of several parts: AFFINE and MX ------------------------------------------------------------------------------ */

/* A row, its scales and zeros; other rows may share those. */
typedef struct scaled_row {
    const tn_encoding *encoding;
    uint8_t *data;
    void *scale, *zero;
    int64_t columns;
} scaled_row;

static bool has_nibbles(const tn_encoding *encoding) {
    return tn_dtype_get_info(encoding->storage)->bits == 4;
}

/* Codes are unsigned: a signed number's is so much above it. */
static int bias_of(const tn_encoding *encoding) {
    return encoding->storage == TN_INT4 ? 8 : encoding->storage == TN_INT8 ? 128 : 0;
}

static void load_scaled_codes(const scaled_row *row, int64_t k, uint8_t codes[TN_GGUF_PIECE]) {
    const uint8_t *data = row->data + (has_nibbles(row->encoding) ? k / 2 : k);
    for (int i = 0; i < TN_GGUF_PIECE; i++) {
        int stored = has_nibbles(row->encoding) ? data[i / 2] >> 4 * (i % 2) & 15 : data[i];
        codes[i] = (uint8_t)(stored ^ bias_of(row->encoding));
    }
}

static void store_scaled_codes(const scaled_row *row, int64_t k, const uint8_t codes[TN_GGUF_PIECE]) {
    uint8_t *data = row->data + (has_nibbles(row->encoding) ? k / 2 : k);
    int bias = bias_of(row->encoding);
    for (int i = 0; i < TN_GGUF_PIECE && !has_nibbles(row->encoding); i++) data[i] = (uint8_t)(codes[i] ^ bias);
    for (int i = 0; i < TN_GGUF_PIECE && has_nibbles(row->encoding); i += 2)
        data[i / 2] = (uint8_t)((codes[i] ^ bias) | (codes[i + 1] ^ bias) << 4);
}

static int64_t grid_column(const scaled_row *row, int64_t k) {
    return row->encoding->block_cols > 0 ? k / row->encoding->block_cols : 0;
}

/* Where the unit of column k has its scales, and a block of it its codes. */
static uint8_t *scaled_unit(tn_strip_type type, uint8_t *strip, const scaled_row *row, int64_t k, uint8_t **out_codes) {
    const tn_strip_form *form = &tn_strip_forms[type];
    int64_t block_bytes = has_nibbles(row->encoding) ? 256 : 512;
    uint8_t *unit = strip + k / form->unit_columns * form->unit_bytes;
    *out_codes = unit + k % form->unit_columns / 32 * block_bytes;
    return unit + form->unit_columns / 32 * block_bytes;
}

/* row->data NULL: zeros */
static void pack_scaled(tn_strip_type type, uint8_t *strip, int lane, const scaled_row *row) {
    const tn_strip_form *form = &tn_strip_forms[type];
    const tn_encoding *encoding = row->encoding;
    int64_t padded = tn_round_up(row->columns, form->unit_columns);
    for (int64_t k = 0; k < padded; k += TN_GGUF_PIECE) {
        bool is_there = row->data != NULL && k < row->columns;
        uint8_t codes[TN_GGUF_PIECE] = {0}, *packed, *scales = scaled_unit(type, strip, row, k, &packed);
        if (is_there) load_scaled_codes(row, k, codes);
        pack_codes(has_nibbles(encoding) ? 4 : 8, packed, lane, codes);
        if (!form->is_affine) {
            scales[k % form->unit_columns / 32 * 16 + lane] = is_there ? ((const uint8_t *)row->scale)[k / 32] : 0;
        } else if (k % form->unit_columns == 0) {
            float scale = 0.0f, zero = 0.0f;
            if (is_there) {
                scale = (float)tn_dtype_load(encoding->scale_dtype, row->scale, grid_column(row, k));
                zero = (float)bias_of(encoding);
                if (encoding->has_zero) zero += (float)tn_dtype_load(encoding->zero_dtype, row->zero, grid_column(row, k));
            }
            memcpy(scales + 4 * lane, &scale, 4);
            memcpy(scales + 64 + 4 * lane, &zero, 4);
        }
    }
}

static void unpack_scaled(tn_strip_type type, uint8_t *strip, int lane, const scaled_row *row) {
    const tn_strip_form *form = &tn_strip_forms[type];
    const tn_encoding *encoding = row->encoding;
    for (int64_t k = 0; k < row->columns; k += TN_GGUF_PIECE) {
        uint8_t codes[TN_GGUF_PIECE], *packed, *scales = scaled_unit(type, strip, row, k, &packed);
        unpack_codes(has_nibbles(encoding) ? 4 : 8, packed, lane, codes);
        store_scaled_codes(row, k, codes);
        if (!form->is_affine) {
            ((uint8_t *)row->scale)[k / 32] = scales[k % form->unit_columns / 32 * 16 + lane];
            continue;
        }
        float scale, zero;
        memcpy(&scale, scales + 4 * lane, 4);
        memcpy(&zero, scales + 64 + 4 * lane, 4);
        tn_dtype_store(encoding->scale_dtype, row->scale, grid_column(row, k), (double)scale);
        if (encoding->has_zero) tn_dtype_store(encoding->zero_dtype, row->zero, grid_column(row, k), (double)zero - bias_of(encoding));
    }
}

/* The form of an encoding of several parts. */
static bool scaled_type_of(const tn_encoding *encoding, tn_strip_type *out_type) {
    if (encoding->kind == TN_ENCODING_MX) {
        *out_type = TN_STRIP_MX_E2M1;
        return encoding->storage == TN_FLOAT4_E2M1;
    }
    tn_dtype scale = encoding->scale_dtype, zero = encoding->zero_dtype;
    if (encoding->has_perm || encoding->has_scale2 || encoding->block_cols % 32 != 0) return false;
    if (scale != TN_FLOAT32 && scale != TN_FLOAT16 && scale != TN_BFLOAT16) return false;
    if (encoding->has_zero && zero != TN_UINT8 && zero != TN_INT8) return false;
    bool is_wide = encoding->block_cols % 128 == 0;
    switch (encoding->storage) {
    case TN_INT4:
    case TN_UINT4: *out_type = is_wide ? TN_STRIP_A4X128 : TN_STRIP_A4X32; return true;
    case TN_INT8:
    case TN_UINT8: *out_type = is_wide ? TN_STRIP_A8X128 : TN_STRIP_A8X32; return true;
    case TN_FLOAT8_E4M3FN: *out_type = TN_STRIP_E4M3; return is_wide && !encoding->has_zero;
    default: return false;
    }
}

/* --- shared ----------------------------------------------------------------------------------------------------------- */

static bool accepts(tn_strip_type type, const tn_weight_desc *desc) {
    tn_strip_type found;
    if (!tn_strip_type_of(&desc->encoding, &found) || found != type) return false;
    if (desc->dims.rank < 2 || desc->dims.rank > 3) return false;
    return packings[type].plain != TN_DTYPE_NONE || tn_weight_num_columns(desc) % 32 == 0;
}

/* Rows of one matrix: a weight of rank 3 is several. */
static int64_t matrix_rows(const tn_weight_desc *desc) {
    return desc->dims.d[desc->dims.rank - 2];
}

static tn_status packed_size(tn_strip_type type, const tn_weight_desc *desc, size_t *out_bytes) {
    *out_bytes = 0;
    if (!accepts(type, desc)) return TN_UNSUPPORTED;
    size_t columns = (size_t)tn_weight_num_columns(desc), rows = (size_t)matrix_rows(desc), bytes;
    size_t num_matrices = desc->dims.rank == 3 ? (size_t)desc->dims.d[0] : 1, unit = (size_t)tn_strip_forms[type].unit_columns;
    if (!tn_add_size(columns, unit - 1, &columns) || !tn_mul_size(columns / unit, (size_t)tn_strip_forms[type].unit_bytes, &bytes))
        return TN_INVALID_DATA;
    if (!tn_add_size(rows, LANES - 1, &rows) || !tn_mul_size(bytes, rows / LANES, &bytes)) return TN_INVALID_DATA;
    if (!tn_mul_size(bytes, num_matrices, &bytes)) return TN_INVALID_DATA;
    *out_bytes = bytes;
    return TN_OK;
}

/* The strip of a flattened row; its lane; whether it is the last of its matrix. */
static uint8_t *strip_of(tn_strip_type type, const tn_weight_desc *desc, const void *packed, int64_t row, int *out_lane, bool *out_last) {
    int64_t rows = matrix_rows(desc), in_matrix = row % rows;
    int64_t strip = row / rows * tn_ceil_div(rows, LANES) + in_matrix / LANES;
    *out_lane = (int)(in_matrix % LANES);
    *out_last = in_matrix == rows - 1;
    return (uint8_t *)(uintptr_t)packed + strip * tn_strip_bytes(type, tn_weight_num_columns(desc));
}

/* Bytes of a lane (a row of padding, or what stands behind the last column) to zero. */
static void clear_lane(tn_strip_type type, uint8_t *strip, int lane, int64_t first_column, int64_t columns) {
    int64_t unit = tn_strip_forms[type].unit_columns, padded = tn_round_up(columns, unit);
    if (type >= TN_STRIP_Q4_0) {
        block_walk walk = begin_walk(type, strip, lane, first_column, NULL);
        for (int64_t k = first_column; k < padded; k += TN_GGUF_PIECE, next_block(&walk)) pack_block(&walk);
        return;
    }
    for (int64_t k = first_column; k < padded; k++) {
        switch (type) {
        case TN_STRIP_F32: memset(strip + (k * LANES + lane) * 4, 0, 4); break;
        case TN_STRIP_F16: memset(strip + (k * LANES + lane) * 2, 0, 2); break;
        default: memset(strip + bf16_offset(k, lane), 0, 2); break;
        }
    }
}

/* Row r of the parts that begin with row `begin`. */
static scaled_row scaled_row_at(const tn_weight_desc *desc, void *const parts[TN_NUM_WEIGHT_PARTS], int64_t begin, int64_t r) {
    const tn_encoding *encoding = &desc->encoding;
    scaled_row row = {.encoding = encoding, .columns = tn_weight_num_columns(desc)};
    int64_t height = encoding->kind == TN_ENCODING_MX ? 1 : encoding->block_rows, grid_row = height > 0 ? r / height - begin / height : 0;
    size_t bytes = 0;
    if (tn_encoding_part_bytes(encoding, TN_PART_DATA, 1, row.columns, &bytes))
        row.data = (uint8_t *)parts[TN_PART_DATA] + (size_t)(r - begin) * bytes;
    if (tn_encoding_part_bytes(encoding, TN_PART_SCALE, 1, row.columns, &bytes))
        row.scale = (char *)parts[TN_PART_SCALE] + (size_t)grid_row * bytes;
    if (encoding->has_zero && tn_encoding_part_bytes(encoding, TN_PART_ZERO, 1, row.columns, &bytes))
        row.zero = (char *)parts[TN_PART_ZERO] + (size_t)grid_row * bytes;
    return row;
}

/* Rows of several parts, either way. */
static void move_scaled_rows(tn_strip_type type, const tn_weight_desc *desc, void *const parts[TN_NUM_WEIGHT_PARTS], int64_t begin,
                             int64_t end, const void *strips, bool packs) {
    for (int64_t r = begin; r < end; r++) {
        int lane;
        bool last;
        uint8_t *strip = strip_of(type, desc, strips, r, &lane, &last);
        scaled_row row = scaled_row_at(desc, parts, begin, r);
        if (!packs) {
            unpack_scaled(type, strip, lane, &row);
            continue;
        }
        pack_scaled(type, strip, lane, &row);
        row.data = NULL;
        for (int n = lane + 1; n < LANES && last; n++) pack_scaled(type, strip, n, &row);
    }
}

static tn_status pack(tn_strip_type type, const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) {
    int64_t columns = tn_weight_num_columns(desc);
    size_t row_bytes;
    if (!accepts(type, desc) || !tn_encoding_part_bytes(&desc->encoding, TN_PART_DATA, 1, columns, &row_bytes)) return TN_UNSUPPORTED;
    if (packings[type].pack == NULL) {
        void *parts[TN_NUM_WEIGHT_PARTS]; /* only read from */
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) parts[part] = (void *)(uintptr_t)src->part[part];
        move_scaled_rows(type, desc, parts, begin, end, dst, true);
        return TN_OK;
    }
    const uint8_t *row = src->part[TN_PART_DATA];
    for (int64_t r = begin; r < end; r++, row += row_bytes) {
        int lane;
        bool last;
        uint8_t *strip = strip_of(type, desc, dst, r, &lane, &last);
        packings[type].pack(type, strip, lane, (uint8_t *)(uintptr_t)row, columns);
        clear_lane(type, strip, lane, columns, columns);
        for (int n = lane + 1; n < LANES && last; n++) clear_lane(type, strip, n, 0, columns);
    }
    return TN_OK;
}

static tn_status unpack(tn_strip_type type, const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end,
                        void *dst_parts[TN_NUM_WEIGHT_PARTS]) {
    int64_t columns = tn_weight_num_columns(desc);
    size_t row_bytes;
    if (!accepts(type, desc) || !tn_encoding_part_bytes(&desc->encoding, TN_PART_DATA, 1, columns, &row_bytes)) return TN_UNSUPPORTED;
    if (packings[type].unpack == NULL) {
        move_scaled_rows(type, desc, dst_parts, begin, end, src, false);
        return TN_OK;
    }
    uint8_t *row = dst_parts[TN_PART_DATA];
    for (int64_t r = begin; r < end; r++, row += row_bytes) {
        int lane;
        bool last;
        uint8_t *strip = strip_of(type, desc, src, r, &lane, &last);
        packings[type].unpack(type, strip, lane, row, columns);
    }
    return TN_OK;
}

#define ALL_FORMS(X) X(F32, f32) X(F16, f16) X(BF16, bf16) X(E4M3, e4m3) TN_STRIP_CODE_FORMS(X)

/* tn_layout's functions have no argument for the layout itself: one set a form. */
#define STRIP_FUNCTIONS(form, member)                                                                                               \
    static bool member##_accepts(const tn_weight_desc *desc) {                                                                      \
        return accepts(TN_STRIP_##form, desc);                                                                                      \
    }                                                                                                                               \
    static tn_status member##_size(const tn_weight_desc *desc, size_t *out_bytes) {                                                 \
        return packed_size(TN_STRIP_##form, desc, out_bytes);                                                                       \
    }                                                                                                                               \
    static tn_status member##_pack(const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) { \
        return pack(TN_STRIP_##form, desc, src, begin, end, dst);                                                                   \
    }                                                                                                                               \
    static tn_status member##_unpack(const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end,                       \
                                     void *dst_parts[TN_NUM_WEIGHT_PARTS]) {                                                        \
        return unpack(TN_STRIP_##form, desc, src, begin, end, dst_parts);                                                           \
    }
ALL_FORMS(STRIP_FUNCTIONS)

#define STRIP_LAYOUT(member) \
    { "strip16_" #member, 1, LANES, member##_accepts, member##_size, member##_pack, member##_unpack }
#define CODE_PACKING(form, member) [TN_STRIP_##form] = {STRIP_LAYOUT(member), TN_DTYPE_NONE, TN_GGUF_##form, pack_gguf, unpack_gguf},
static const packing packings[TN_NUM_STRIP_TYPES] = {
    [TN_STRIP_F32] = {STRIP_LAYOUT(f32), TN_FLOAT32, 0, pack_f32, unpack_f32},
    [TN_STRIP_F16] = {STRIP_LAYOUT(f16), TN_FLOAT16, 0, pack_f16, unpack_f16},
    [TN_STRIP_BF16] = {STRIP_LAYOUT(bf16), TN_BFLOAT16, 0, pack_bf16, unpack_bf16},
    TN_STRIP_GGUF_FORMS(CODE_PACKING)[TN_STRIP_E4M3] = {STRIP_LAYOUT(e4m3), TN_DTYPE_NONE, 0, NULL, NULL},
    [TN_STRIP_MX_E2M1] = {STRIP_LAYOUT(mx_e2m1), TN_DTYPE_NONE, 0, NULL, NULL},
    [TN_STRIP_A4X32] = {STRIP_LAYOUT(a4x32), TN_DTYPE_NONE, 0, NULL, NULL},
    [TN_STRIP_A4X128] = {STRIP_LAYOUT(a4x128), TN_DTYPE_NONE, 0, NULL, NULL},
    [TN_STRIP_A8X32] = {STRIP_LAYOUT(a8x32), TN_DTYPE_NONE, 0, NULL, NULL},
    [TN_STRIP_A8X128] = {STRIP_LAYOUT(a8x128), TN_DTYPE_NONE, 0, NULL, NULL}};

#define LAYOUT_ADDRESS(form, member) [TN_STRIP_##form] = &packings[TN_STRIP_##form].layout,
const tn_layout *const tn_cpu_layouts[TN_NUM_STRIP_TYPES] = {ALL_FORMS(LAYOUT_ADDRESS)};

#define LAYOUT_NAME(form, member) [TN_STRIP_##form + 1] = "strip16_" #member,
const char *const tn_cpu_layout_names[TN_NUM_STRIP_TYPES + 2] = {TN_LAYOUT_PLAIN, ALL_FORMS(LAYOUT_NAME)};

const char *tn_strip_layout_name(tn_strip_type type) {
    return tn_strip_layout_names[type];
}

bool tn_strip_type_of(const tn_encoding *encoding, tn_strip_type *out_type) {
    if (encoding->kind == TN_ENCODING_AFFINE || encoding->kind == TN_ENCODING_MX) return scaled_type_of(encoding, out_type);
    for (int i = 0; i < TN_STRIP_MX_E2M1; i++) {
        const packing *form = &packings[i];
        if (form->pack == NULL) continue;
        bool matches = form->plain != TN_DTYPE_NONE ? encoding->kind == TN_ENCODING_PLAIN && encoding->storage == form->plain
                                                    : encoding->kind == TN_ENCODING_GGUF && encoding->gguf_type == form->gguf_type;
        if (matches) {
            *out_type = (tn_strip_type)i;
            return true;
        }
    }
    return false;
}

void tn_strip_decode_row(tn_strip_type type, const void *strip, int lane, int64_t columns, float *out) {
    const packing *form = &packings[type];
    tn_encoding encoding = tn_encoding_plain(form->plain);
    if (form->plain == TN_DTYPE_NONE && tn_encoding_from_gguf(form->gguf_type, &encoding) != TN_OK) return;
    enum { PIECE = 256 }; /* columns at a time: every unit divides it */
    _Alignas(8) uint8_t row[PIECE * 4];
    for (int64_t k = 0; k < columns; k += PIECE) {
        int64_t count = columns - k < PIECE ? columns - k : PIECE;
        const uint8_t *start = (const uint8_t *)strip + k / tn_strip_forms[type].unit_columns * tn_strip_forms[type].unit_bytes;
        form->unpack(type, (uint8_t *)(uintptr_t)start, lane, row, count);
        tn_weight_parts parts = {.part = {[TN_PART_DATA] = row}};
        tn_encoding_decode(&encoding, &parts, 1, count, out + k);
    }
}
