/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_text.c: recipes to text and back. The reader meets plans from anywhere: depth, counts and numbers are bounded, and
 * the constructors check every shape.
 */
#include "weights/recipe_text.h"

#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { MAX_DEPTH = 32, MAX_VALUE_BYTES = 1 << 16, MAX_WORD = 64 };

/* --- printing ------------------------------------------------------------------------------------------------------------- */

static tn_dtype usual_dtype(const tn_encoding *encoding) {
    return encoding->kind == TN_ENCODING_PLAIN ? encoding->storage : TN_FLOAT32;
}

static void print_dims(const tn_dims *dims, tn_text *out) {
    tn_text_append_char(out, '[');
    for (int i = 0; i < dims->rank; i++) tn_text_append_format(out, "%s%lld", i > 0 ? "," : "", (long long)dims->d[i]);
    tn_text_append_char(out, ']');
}

static void print_desc(const tn_weight_desc *desc, tn_text *out) {
    char name[64];
    tn_text_append_string(out, tn_encoding_name(&desc->encoding, name));
    if (desc->dtype != usual_dtype(&desc->encoding)) tn_text_append_format(out, ">%s", tn_dtype_name(desc->dtype));
    print_dims(&desc->dims, out);
}

static void print_name(const char *name, tn_text *out) {
    tn_text_append_char(out, '"');
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            tn_text_append_format(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            tn_text_append_format(out, "\\x%02x", (unsigned)*c);
        else
            tn_text_append_char(out, *c);
    }
    tn_text_append_char(out, '"');
}

static size_t value_bytes(const tn_weights *x) {
    size_t bytes = 0;
    bool fits =
        tn_encoding_part_bytes(&x->desc.encoding, TN_PART_DATA, tn_weight_num_rows(&x->desc), tn_weight_num_columns(&x->desc), &bytes);
    return fits ? bytes : SIZE_MAX;
}

static bool is_printable(const tn_weights *x) {
    if (x->op == TN_WEIGHTS_VALUE && x->name == NULL && (x->desc.encoding.kind != TN_ENCODING_PLAIN || value_bytes(x) > MAX_VALUE_BYTES))
        return false;
    for (uint32_t i = 0; i < x->num_inputs; i++)
        if (!is_printable(x->inputs[i])) return false;
    return true;
}

static void print_leaf(const tn_weights *x, tn_text *out) {
    if (x->name != NULL) {
        tn_text_append_string(out, "load(");
        print_name(x->name, out);
        tn_text_append_char(out, ' ');
        print_desc(&x->desc, out);
    } else {
        static const char digits[] = "0123456789abcdef";
        const unsigned char *bytes = x->value.part[TN_PART_DATA];
        tn_text_append_string(out, "value(");
        print_desc(&x->desc, out);
        tn_text_append_string(out, " \"");
        for (size_t i = 0; i < value_bytes(x); i++) tn_text_append(out, (char[]){digits[bytes[i] >> 4], digits[bytes[i] & 15]}, 2);
        tn_text_append_char(out, '"');
    }
    tn_text_append_char(out, ')');
}

/* The arguments before the inputs; each ends with ", ". */
static void print_numbers(const tn_weights *x, tn_text *out) {
    char name[64];
    switch (x->op) {
    case TN_WEIGHTS_SLICE: tn_text_append_format(out, "%d, %lld, %lld, ", x->axis, (long long)x->begin, (long long)x->end); break;
    case TN_WEIGHTS_CONCAT: tn_text_append_format(out, "%d, ", x->axis); break;
    case TN_WEIGHTS_INTERLEAVE: tn_text_append_format(out, "%lld, ", (long long)x->begin); break;
    case TN_WEIGHTS_RESHAPE:
        print_dims(&x->desc.dims, out);
        tn_text_append_string(out, ", ");
        break;
    case TN_WEIGHTS_PERMUTE_ROWS:
        tn_text_append_char(out, '[');
        for (int64_t i = 0; i < tn_weight_num_rows(&x->desc); i++)
            tn_text_append_format(out, "%s%lld", i > 0 ? "," : "", (long long)x->table[i]);
        tn_text_append_string(out, "], ");
        break;
    case TN_WEIGHTS_DECODE: tn_text_append_format(out, "%s, ", tn_dtype_name(x->desc.dtype)); break;
    case TN_WEIGHTS_ENCODE: tn_text_append_format(out, "%s, ", tn_encoding_name(&x->desc.encoding, name)); break;
    default: break;
    }
}

static void print_node(const tn_weights *x, tn_text *out) {
    if (x->op == TN_WEIGHTS_LOAD || x->op == TN_WEIGHTS_VALUE) {
        print_leaf(x, out);
        return;
    }
    tn_text_append_format(out, "%s(", tn_weights_op_name(x->op));
    print_numbers(x, out);
    for (uint32_t i = 0; i < x->num_inputs; i++) {
        if (i > 0) tn_text_append_string(out, ", ");
        print_node(x->inputs[i], out);
    }
    tn_text_append_char(out, ')');
}

bool tn_weights_print(const tn_weights *weights, struct tn_text *out) {
    if (!is_printable(weights)) return false;
    print_node(weights, out);
    return true;
}

/* --- parsing ---------------------------------------------------------------------------------------------------------------- */

typedef struct recipe_reader {
    const char *text, *at;
    tn_weight_source *source;
    tn_arena *arena;
    tn_diag *diag;
    int depth;
    bool reported;
} recipe_reader;

static const tn_weights *parse_node(recipe_reader *r);

static bool fail_here(recipe_reader *r, const char *expected) {
    if (!r->reported && !r->arena->out_of_memory)
        (void)tn_fail_at(r->diag, TN_INVALID_DATA, &(tn_where){.has_offset = true, .offset = r->at - r->text},
                         "cannot read a weight's recipe: %s expected at character %lld of '%.80s%s'", expected,
                         (long long)(r->at - r->text), r->text, strlen(r->text) > 80 ? "…" : "");
    r->reported = true;
    return false;
}

static bool fail_arena(recipe_reader *r, size_t size_bytes) {
    if (!r->reported) (void)tn_fail_memory(r->diag, "a weight's recipe", size_bytes);
    r->reported = true;
    return false;
}

static void skip_spaces(recipe_reader *r) {
    while (*r->at == ' ') r->at++;
}

static bool accept(recipe_reader *r, char c) {
    skip_spaces(r);
    if (*r->at != c) return false;
    r->at++;
    return true;
}

static bool expect(recipe_reader *r, char c) {
    if (accept(r, c)) return true;
    char what[4] = {'\'', c, '\'', '\0'};
    return fail_here(r, what);
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool parse_word(recipe_reader *r, char word[MAX_WORD]) {
    skip_spaces(r);
    size_t size = 0;
    while (is_word(r->at[size])) size++;
    if (size == 0 || size >= MAX_WORD) return fail_here(r, "a name");
    memcpy(word, r->at, size);
    word[size] = '\0';
    r->at += size;
    return true;
}

static bool parse_number(recipe_reader *r, int64_t *out) {
    skip_spaces(r);
    bool negative = *r->at == '-';
    const char *c = r->at + (negative ? 1 : 0);
    int64_t value = 0;
    if (*c < '0' || *c > '9') return fail_here(r, "a number");
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(value, (int64_t)10, &value) || __builtin_add_overflow(value, (int64_t)(*c - '0'), &value))
            return fail_here(r, "a smaller number");
    r->at = c;
    *out = negative ? -value : value;
    return true;
}

static bool parse_dims(recipe_reader *r, tn_dims *out) {
    *out = (tn_dims){0};
    if (!expect(r, '[')) return false;
    if (accept(r, ']')) return true;
    do {
        if (out->rank == TN_MAX_RANK) return fail_here(r, "at most 8 dimensions");
        if (!parse_number(r, &out->d[out->rank++])) return false;
    } while (accept(r, ','));
    return expect(r, ']');
}

static bool parse_encoding(recipe_reader *r, tn_encoding *out) {
    char word[MAX_WORD];
    if (!parse_word(r, word)) return false;
    return tn_encoding_parse(word, out) || fail_here(r, "an encoding before that");
}

static bool parse_dtype(recipe_reader *r, tn_dtype *out) {
    char word[MAX_WORD];
    tn_encoding plain;
    if (!parse_word(r, word)) return false;
    if (!tn_encoding_parse(word, &plain) || plain.kind != TN_ENCODING_PLAIN) return fail_here(r, "an element type before that");
    *out = plain.storage;
    return true;
}

static bool parse_desc(recipe_reader *r, tn_weight_desc *out) {
    *out = (tn_weight_desc){0};
    if (!parse_encoding(r, &out->encoding)) return false;
    out->dtype = usual_dtype(&out->encoding);
    if (accept(r, '>') && !parse_dtype(r, &out->dtype)) return false;
    return parse_dims(r, &out->dims);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A quoted name into the arena. */
static bool parse_name(recipe_reader *r, char **out) {
    if (!expect(r, '"')) return false;
    const char *end = r->at;
    while (*end != '"' && *end != '\0') end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    if (*end == '\0') {
        r->at = end;
        return fail_here(r, "'\"'");
    }
    char *name = tn_arena_alloc(r->arena, (size_t)(end - r->at) + 1), *to = name;
    if (name == NULL) return fail_arena(r, (size_t)(end - r->at) + 1);
    while (r->at < end) {
        char c = *r->at++;
        if (c == '\\' && *r->at == 'x') {
            int high = hex_digit(r->at[1]), low = high >= 0 ? hex_digit(r->at[2]) : -1;
            if (low < 0 || (high | low) == 0) return fail_here(r, "two hex digits");
            c = (char)(high << 4 | low);
            r->at += 3;
        } else if (c == '\\') {
            c = *r->at++;
        }
        *to++ = c;
    }
    r->at = end + 1;
    *out = name;
    return true;
}

static const tn_weights *parse_load(recipe_reader *r) {
    char *name = NULL;
    tn_weight_desc desc;
    if (!parse_name(r, &name) || !parse_desc(r, &desc)) return NULL;
    return tn_weights_declare(r->arena, r->source, name, &desc, r->diag);
}

static const tn_weights *parse_value(recipe_reader *r) {
    tn_weight_desc desc;
    if (!parse_desc(r, &desc)) return NULL;
    if (desc.encoding.kind != TN_ENCODING_PLAIN) return fail_here(r, "a plain encoding before that"), NULL;
    tn_weight_parts none = {{NULL}};
    const tn_weights *checked = tn_weights_value(r->arena, &desc, &none, NULL, r->diag); /* its shape is possible */
    if (checked == NULL) return NULL;
    size_t size = value_bytes(checked);
    if (size > MAX_VALUE_BYTES) return fail_here(r, "fewer bytes"), NULL;
    if (!expect(r, '"')) return NULL;
    unsigned char *bytes = tn_arena_alloc(r->arena, size);
    if (bytes == NULL) return fail_arena(r, size), NULL;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(r->at[0]), low = high >= 0 ? hex_digit(r->at[1]) : -1;
        if (low < 0) return fail_here(r, "two hex digits"), NULL;
        bytes[i] = (unsigned char)(high << 4 | low);
        r->at += 2;
    }
    if (!expect(r, '"')) return NULL;
    return tn_weights_value(r->arena, &desc, &(tn_weight_parts){.part = {bytes}}, NULL, r->diag);
}

typedef TN_ARRAY(const tn_weights *) node_list;
typedef TN_ARRAY(int64_t) number_list;

static bool parse_nodes(recipe_reader *r, node_list *list) {
    do {
        const tn_weights *node = parse_node(r);
        if (node == NULL) return false;
        if (!tn_array_push(r->arena->allocator, list, node)) {
            r->arena->out_of_memory = true;
            return fail_arena(r, sizeof node);
        }
    } while (accept(r, ','));
    return true;
}

static const tn_weights *parse_joined(recipe_reader *r, tn_weights_op op) {
    int64_t axis = 0;
    if (op == TN_WEIGHTS_CONCAT && (!parse_number(r, &axis) || !expect(r, ','))) return NULL;
    if (axis < -1 || axis > 0) return fail_here(r, "axis 0 or -1 before that"), NULL;
    node_list list = {0};
    const tn_weights *node = NULL;
    if (parse_nodes(r, &list))
        node = op == TN_WEIGHTS_CONCAT ? tn_weights_concat(r->arena, list.data, (uint32_t)list.count, (int)axis, r->diag)
                                       : tn_weights_stack(r->arena, list.data, (uint32_t)list.count, r->diag);
    tn_array_deinit(r->arena->allocator, &list);
    return node;
}

static const tn_weights *parse_permuted(recipe_reader *r) {
    number_list table = {0};
    const tn_weights *node = NULL, *x = NULL;
    bool good = expect(r, '[');
    if (good && !accept(r, ']')) {
        do {
            int64_t row = 0;
            good = parse_number(r, &row);
            if (good && !tn_array_push(r->arena->allocator, &table, row)) {
                r->arena->out_of_memory = true;
                good = fail_arena(r, sizeof row);
            }
        } while (good && accept(r, ','));
        good = good && expect(r, ']');
    }
    if (good && expect(r, ',')) x = parse_node(r);
    if (x != NULL && x->desc.dims.rank > 1 && (int64_t)table.count != tn_weight_num_rows(&x->desc))
        (void)fail_here(r, "as many rows as the weight has");
    else if (x != NULL && x->desc.dims.rank == 1 && (int64_t)table.count != tn_weight_num_columns(&x->desc))
        (void)fail_here(r, "as many rows as the weight has");
    else if (x != NULL)
        node = tn_weights_permute_rows(r->arena, x, table.data, r->diag);
    tn_array_deinit(r->arena->allocator, &table);
    return node;
}

static const tn_weights *parse_slice(recipe_reader *r) {
    int64_t axis = 0, begin = 0, end = 0;
    if (!parse_number(r, &axis) || !expect(r, ',') || !parse_number(r, &begin) || !expect(r, ',') || !parse_number(r, &end) ||
        !expect(r, ','))
        return NULL;
    if (axis < -1 || axis > 0) return fail_here(r, "axis 0 or -1 before that"), NULL;
    return tn_weights_slice(r->arena, parse_node(r), (int)axis, begin, end, r->diag);
}

static const tn_weights *parse_two(recipe_reader *r, tn_weights_op op) {
    int64_t strip = 0;
    if (op == TN_WEIGHTS_INTERLEAVE && (!parse_number(r, &strip) || !expect(r, ','))) return NULL;
    const tn_weights *a = parse_node(r);
    const tn_weights *b = a != NULL && expect(r, ',') ? parse_node(r) : NULL;
    if (a == NULL || b == NULL) return NULL;
    if (op == TN_WEIGHTS_INTERLEAVE) return tn_weights_interleave(r->arena, a, b, strip, r->diag);
    if (op == TN_WEIGHTS_AS_STORED) return tn_weights_as_stored(r->arena, a, b, r->diag);
    return op == TN_WEIGHTS_MUL ? tn_weights_mul(r->arena, a, b, r->diag) : tn_weights_add(r->arena, a, b, r->diag);
}

static const tn_weights *parse_arguments(recipe_reader *r, tn_weights_op op) {
    tn_dims dims;
    tn_dtype dtype;
    tn_encoding encoding;
    switch (op) {
    case TN_WEIGHTS_LOAD: return parse_load(r);
    case TN_WEIGHTS_VALUE: return parse_value(r);
    case TN_WEIGHTS_SLICE: return parse_slice(r);
    case TN_WEIGHTS_CONCAT:
    case TN_WEIGHTS_STACK: return parse_joined(r, op);
    case TN_WEIGHTS_RESHAPE:
        return parse_dims(r, &dims) && expect(r, ',') ? tn_weights_reshape(r->arena, parse_node(r), dims, r->diag) : NULL;
    case TN_WEIGHTS_TRANSPOSE: return tn_weights_transpose(r->arena, parse_node(r), r->diag);
    case TN_WEIGHTS_COLUMN_ORDER: return tn_weights_column_order(r->arena, parse_node(r), r->diag);
    case TN_WEIGHTS_INVERSE_NORMS: return tn_weights_inverse_norms(r->arena, parse_node(r), r->diag);
    case TN_WEIGHTS_PERMUTE_ROWS: return parse_permuted(r);
    case TN_WEIGHTS_DECODE:
        return parse_dtype(r, &dtype) && expect(r, ',') ? tn_weights_decode(r->arena, parse_node(r), dtype, r->diag) : NULL;
    case TN_WEIGHTS_ENCODE:
        return parse_encoding(r, &encoding) && expect(r, ',') ? tn_weights_encode(r->arena, parse_node(r), &encoding, r->diag) : NULL;
    default: return parse_two(r, op);
    }
}

static const tn_weights *parse_node(recipe_reader *r) {
    char word[MAX_WORD];
    if (!parse_word(r, word)) return NULL;
    int op = 0;
    while (op < TN_NUM_WEIGHTS_OPS && strcmp(word, tn_weights_op_name((tn_weights_op)op)) != 0) op++;
    if (op == TN_NUM_WEIGHTS_OPS) return fail_here(r, "an operation before that"), NULL;
    if (r->depth == MAX_DEPTH) return fail_here(r, "a recipe less deep"), NULL;
    if (!expect(r, '(')) return NULL;
    r->depth++;
    const tn_weights *node = parse_arguments(r, (tn_weights_op)op);
    r->depth--;
    return node != NULL && expect(r, ')') ? node : NULL;
}

tn_status tn_weights_parse(const char *text, tn_weight_source *source, tn_arena *arena, tn_diag *diag, const tn_weights **out_weights) {
    *out_weights = NULL;
    recipe_reader reader = {.text = text, .at = text, .source = source, .arena = arena, .diag = diag};
    const tn_weights *weights = parse_node(&reader);
    skip_spaces(&reader);
    if (weights != NULL && *reader.at != '\0') {
        (void)fail_here(&reader, "nothing more");
        weights = NULL;
    }
    if (weights == NULL) return arena->out_of_memory ? TN_OUT_OF_MEMORY : TN_INVALID_DATA;
    *out_weights = weights;
    return TN_OK;
}
