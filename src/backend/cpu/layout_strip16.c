/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_strip16.c: packing rows into strips and back; see layout_strip16.h. Each form is two small functions on one row of
 * one strip; everything else is shared.
 */
#include "backend/cpu/layout_strip16.h"

#include "base/checked.h"

enum { LANES = TN_STRIP_ROWS, VECTOR_BYTES = 64 };

typedef void (*row_function)(uint8_t *strip, int lane, uint8_t *row, int64_t columns);

typedef struct strip_form {
    tn_layout layout;
    tn_dtype plain; /* of PLAIN encodings; NONE: a GGUF type */
    uint32_t gguf_type;
    row_function pack, unpack;
} strip_form;

static uint32_t load32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static void store32(uint8_t *bytes, uint32_t value) {
    memcpy(bytes, &value, sizeof value);
}

/* --- float forms --------------------------------------------------------------------------------------------------- */

static void pack_f32(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k++) memcpy(strip + (k * LANES + lane) * 4, row + k * 4, 4);
}
static void unpack_f32(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k++) memcpy(row + k * 4, strip + (k * LANES + lane) * 4, 4);
}

static void pack_f16(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k++) memcpy(strip + (k * LANES + lane) * 2, row + k * 2, 2);
}
static void unpack_f16(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k++) memcpy(row + k * 2, strip + (k * LANES + lane) * 2, 2);
}

static int64_t bf16_offset(int64_t k, int lane) {
    return (k / 2 * LANES + lane) * 4 + k % 2 * 2;
}
static void pack_bf16(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k++) memcpy(strip + bf16_offset(k, lane), row + k * 2, 2);
}
static void unpack_bf16(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k++) memcpy(row + k * 2, strip + bf16_offset(k, lane), 2);
}

/* --- GGUF blocks of 32 ----------------------------------------------------------------------------------------------- */

#define LOW_NIBBLES 0x0f0f0f0fu

/* 16 bytes of a file's block: byte j holds element j low, element j + 16 high. Vector v wants elements 8v + 0…3 low and
 * 8v + 4…7 high in the four bytes of its lane. */
static void pack_nibbles(uint8_t *vectors, int lane, const uint8_t *quants) {
    for (int v = 0; v < 2; v++) {
        uint32_t a = load32(quants + 8 * v), b = load32(quants + 8 * v + 4);
        store32(vectors + v * VECTOR_BYTES + 4 * lane, (a & LOW_NIBBLES) | (b & LOW_NIBBLES) << 4);
        store32(vectors + (v + 2) * VECTOR_BYTES + 4 * lane, (a >> 4 & LOW_NIBBLES) | (b & ~LOW_NIBBLES));
    }
}
static void unpack_nibbles(const uint8_t *vectors, int lane, uint8_t *quants) {
    for (int v = 0; v < 2; v++) {
        uint32_t low = load32(vectors + v * VECTOR_BYTES + 4 * lane), high = load32(vectors + (v + 2) * VECTOR_BYTES + 4 * lane);
        store32(quants + 8 * v, (low & LOW_NIBBLES) | (high & LOW_NIBBLES) << 4);
        store32(quants + 8 * v + 4, (low >> 4 & LOW_NIBBLES) | (high & ~LOW_NIBBLES));
    }
}

enum { Q4_0_BLOCK = 18, Q4_1_BLOCK = 20, Q8_0_BLOCK = 34 };

static void pack_q4_1(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k += 32, strip += 320, row += Q4_1_BLOCK) {
        pack_nibbles(strip, lane, row + 4);
        memcpy(strip + 256 + 2 * lane, row, 2);
        memcpy(strip + 288 + 2 * lane, row + 2, 2);
    }
}
static void unpack_q4_1(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t k = 0; k < columns; k += 32, strip += 320, row += Q4_1_BLOCK) {
        unpack_nibbles(strip, lane, row + 4);
        memcpy(row, strip + 256 + 2 * lane, 2);
        memcpy(row + 2, strip + 288 + 2 * lane, 2);
    }
}

static void pack_q4_0(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, row += Q4_0_BLOCK) {
        uint8_t *unit = strip + b / 2 * 576;
        pack_nibbles(unit + b % 2 * 256, lane, row + 2);
        memcpy(unit + 512 + b % 2 * 32 + 2 * lane, row, 2);
    }
}
static void unpack_q4_0(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, row += Q4_0_BLOCK) {
        uint8_t *unit = strip + b / 2 * 576;
        unpack_nibbles(unit + b % 2 * 256, lane, row + 2);
        memcpy(row, unit + 512 + b % 2 * 32 + 2 * lane, 2);
    }
}

#define SIGN_BITS 0x80808080u

static void pack_q8_0(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, row += Q8_0_BLOCK) {
        uint8_t *unit = strip + b / 2 * 1088, *vectors = unit + b % 2 * 512;
        for (int g = 0; g < 8; g++) store32(vectors + g * VECTOR_BYTES + 4 * lane, load32(row + 2 + 4 * g) ^ SIGN_BITS);
        memcpy(unit + 1024 + b % 2 * 32 + 2 * lane, row, 2);
    }
}
static void unpack_q8_0(uint8_t *strip, int lane, uint8_t *row, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, row += Q8_0_BLOCK) {
        uint8_t *unit = strip + b / 2 * 1088, *vectors = unit + b % 2 * 512;
        for (int g = 0; g < 8; g++) store32(row + 2 + 4 * g, load32(vectors + g * VECTOR_BYTES + 4 * lane) ^ SIGN_BITS);
        memcpy(row, unit + 1024 + b % 2 * 32 + 2 * lane, 2);
    }
}

/* --- shared ----------------------------------------------------------------------------------------------------------- */

static bool accepts(const strip_form *form, tn_strip_type type, const tn_weight_desc *desc) {
    tn_strip_type found;
    if (!tn_strip_type_of(&desc->encoding, &found) || found != type) return false;
    if (desc->dims.rank < 2 || desc->dims.rank > 3) return false;
    return form->plain != TN_DTYPE_NONE || tn_weight_num_columns(desc) % 32 == 0;
}

/* Rows of one matrix: a weight of rank 3 is several. */
static int64_t matrix_rows(const tn_weight_desc *desc) {
    return desc->dims.d[desc->dims.rank - 2];
}

static tn_status packed_size(const strip_form *form, tn_strip_type type, const tn_weight_desc *desc, size_t *out_bytes) {
    *out_bytes = 0;
    if (!accepts(form, type, desc)) return TN_UNSUPPORTED;
    size_t columns = (size_t)tn_weight_num_columns(desc), rows = (size_t)matrix_rows(desc), bytes;
    size_t num_matrices = desc->dims.rank == 3 ? (size_t)desc->dims.d[0] : 1, unit = (size_t)tn_strip_unit_columns(type);
    if (!tn_add_size(columns, unit - 1, &columns) || !tn_mul_size(columns / unit, (size_t)tn_strip_unit_bytes(type), &bytes))
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
static void clear_lanes(tn_strip_type type, uint8_t *strip, int lane, int num_lanes, int64_t first_column, int64_t columns) {
    int64_t unit = tn_strip_unit_columns(type), padded = tn_round_up(columns, unit);
    for (int64_t k = first_column; k < padded; k++) {
        uint8_t *unit_start = strip + k / unit * tn_strip_unit_bytes(type);
        int64_t in_unit = k % unit, block = in_unit / 32;
        for (int n = lane; n < lane + num_lanes; n++) {
            switch (type) {
            case TN_STRIP_F32: memset(unit_start + 4 * n, 0, 4); break;
            case TN_STRIP_F16: memset(unit_start + (in_unit * LANES + n) * 2, 0, 2); break;
            case TN_STRIP_BF16: memset(unit_start + 4 * n + in_unit * 2, 0, 2); break;
            case TN_STRIP_Q4_0:
                if (in_unit % 8 == 0) memset(unit_start + in_unit / 8 * VECTOR_BYTES + 4 * n, 0, 4);
                if (in_unit % 32 == 0) memset(unit_start + 512 + block * 32 + 2 * n, 0, 2);
                break;
            case TN_STRIP_Q4_1:
                if (in_unit % 8 == 0) memset(unit_start + in_unit / 8 * VECTOR_BYTES + 4 * n, 0, 4);
                if (in_unit == 0) memset(unit_start + 256 + 2 * n, 0, 2), memset(unit_start + 288 + 2 * n, 0, 2);
                break;
            default: /* Q8_0 */
                if (in_unit % 4 == 0) memset(unit_start + in_unit / 4 * VECTOR_BYTES + 4 * n, 0, 4);
                if (in_unit % 32 == 0) memset(unit_start + 1024 + block * 32 + 2 * n, 0, 2);
            }
        }
    }
}

static tn_status pack(const strip_form *form, tn_strip_type type, const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin,
                      int64_t end, void *dst) {
    int64_t columns = tn_weight_num_columns(desc);
    size_t row_bytes;
    if (!accepts(form, type, desc) || !tn_encoding_part_bytes(&desc->encoding, TN_PART_DATA, 1, columns, &row_bytes)) return TN_UNSUPPORTED;
    const uint8_t *row = src->part[TN_PART_DATA];
    for (int64_t r = begin; r < end; r++, row += row_bytes) {
        int lane;
        bool last;
        uint8_t *strip = strip_of(type, desc, dst, r, &lane, &last);
        form->pack(strip, lane, (uint8_t *)(uintptr_t)row, columns);
        clear_lanes(type, strip, lane, 1, columns, columns);
        if (last && lane + 1 < LANES) clear_lanes(type, strip, lane + 1, LANES - lane - 1, 0, columns);
    }
    return TN_OK;
}

static tn_status unpack(const strip_form *form, tn_strip_type type, const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end,
                        void *dst_parts[TN_NUM_WEIGHT_PARTS]) {
    int64_t columns = tn_weight_num_columns(desc);
    size_t row_bytes;
    if (!accepts(form, type, desc) || !tn_encoding_part_bytes(&desc->encoding, TN_PART_DATA, 1, columns, &row_bytes)) return TN_UNSUPPORTED;
    uint8_t *row = dst_parts[TN_PART_DATA];
    for (int64_t r = begin; r < end; r++, row += row_bytes) {
        int lane;
        bool last;
        uint8_t *strip = strip_of(type, desc, src, r, &lane, &last);
        form->unpack(strip, lane, row, columns);
    }
    return TN_OK;
}

static const strip_form forms[TN_NUM_STRIP_TYPES];

/* tn_layout's functions have no argument for the layout itself: one set a form. */
#define STRIP_FUNCTIONS(type, member)                                                                                               \
    static bool member##_accepts(const tn_weight_desc *desc) {                                                                      \
        return accepts(&forms[type], type, desc);                                                                                   \
    }                                                                                                                               \
    static tn_status member##_size(const tn_weight_desc *desc, size_t *out_bytes) {                                                 \
        return packed_size(&forms[type], type, desc, out_bytes);                                                                    \
    }                                                                                                                               \
    static tn_status member##_pack(const tn_weight_desc *desc, const tn_weight_parts *src, int64_t begin, int64_t end, void *dst) { \
        return pack(&forms[type], type, desc, src, begin, end, dst);                                                                \
    }                                                                                                                               \
    static tn_status member##_unpack(const tn_weight_desc *desc, const void *src, int64_t begin, int64_t end,                       \
                                     void *dst_parts[TN_NUM_WEIGHT_PARTS]) {                                                        \
        return unpack(&forms[type], type, desc, src, begin, end, dst_parts);                                                        \
    }
STRIP_FUNCTIONS(TN_STRIP_F32, f32)
STRIP_FUNCTIONS(TN_STRIP_F16, f16)
STRIP_FUNCTIONS(TN_STRIP_BF16, bf16)
STRIP_FUNCTIONS(TN_STRIP_Q4_0, q4_0)
STRIP_FUNCTIONS(TN_STRIP_Q4_1, q4_1)
STRIP_FUNCTIONS(TN_STRIP_Q8_0, q8_0)

#define STRIP_FORM(type, member, plain, gguf_type)                                                             \
    [type] = {{"strip16_" #member, 1, LANES, member##_accepts, member##_size, member##_pack, member##_unpack}, \
              plain,                                                                                           \
              gguf_type,                                                                                       \
              pack_##member,                                                                                   \
              unpack_##member}
static const strip_form forms[TN_NUM_STRIP_TYPES] = {
    STRIP_FORM(TN_STRIP_F32, f32, TN_FLOAT32, 0),
    STRIP_FORM(TN_STRIP_F16, f16, TN_FLOAT16, 0),
    STRIP_FORM(TN_STRIP_BF16, bf16, TN_BFLOAT16, 0),
    STRIP_FORM(TN_STRIP_Q4_0, q4_0, TN_DTYPE_NONE, TN_GGUF_Q4_0),
    STRIP_FORM(TN_STRIP_Q4_1, q4_1, TN_DTYPE_NONE, TN_GGUF_Q4_1),
    STRIP_FORM(TN_STRIP_Q8_0, q8_0, TN_DTYPE_NONE, TN_GGUF_Q8_0),
};

const tn_layout *const tn_cpu_layouts[TN_NUM_CPU_LAYOUTS] = {
    &forms[TN_STRIP_F32].layout,  &forms[TN_STRIP_F16].layout,  &forms[TN_STRIP_BF16].layout,
    &forms[TN_STRIP_Q4_0].layout, &forms[TN_STRIP_Q4_1].layout, &forms[TN_STRIP_Q8_0].layout,
};

const char *tn_strip_layout_name(tn_strip_type type) {
    return forms[type].layout.name;
}

bool tn_strip_type_of(const tn_encoding *encoding, tn_strip_type *out_type) {
    for (int i = 0; i < TN_NUM_STRIP_TYPES; i++) {
        bool matches = forms[i].plain != TN_DTYPE_NONE ? encoding->kind == TN_ENCODING_PLAIN && encoding->storage == forms[i].plain
                                                       : encoding->kind == TN_ENCODING_GGUF && encoding->gguf_type == forms[i].gguf_type;
        if (matches) {
            *out_type = (tn_strip_type)i;
            return true;
        }
    }
    return false;
}

void tn_strip_decode_row(tn_strip_type type, const void *strip, int lane, int64_t columns, float *out) {
    const strip_form *form = &forms[type];
    tn_encoding encoding = tn_encoding_plain(form->plain);
    if (form->plain == TN_DTYPE_NONE && tn_encoding_from_gguf(form->gguf_type, &encoding) != TN_OK) return;
    enum { PIECE = 256 }; /* columns at a time: every unit divides it */
    _Alignas(8) uint8_t row[PIECE * 4];
    for (int64_t k = 0; k < columns; k += PIECE) {
        int64_t count = columns - k < PIECE ? columns - k : PIECE;
        const uint8_t *start = (const uint8_t *)strip + k / tn_strip_unit_columns(type) * tn_strip_unit_bytes(type);
        form->unpack((uint8_t *)(uintptr_t)start, lane, row, count);
        tn_weight_parts parts = {.part = {[TN_PART_DATA] = row}};
        tn_encoding_decode(&encoding, &parts, 1, count, out + k);
    }
}
