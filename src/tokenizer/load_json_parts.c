/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_parts.c: the normalizers and pre-tokenizers of tokenizer.json, reduced to the kinds of part.h, and what all readers
 * of machines share. A machine, or a setting of one, that has no line here is refused by its name.
 */
#include <string.h>

#include "format/quote.h"
#include "tokenizer/load_json.h"

/* The words of GPT-2: contractions, letters, digits, the rest, white space that leaves one space to the word behind it. */
const char tn_gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/* Less what its older Unicode tables in the source library do not know. */
const char tn_punctuation_pattern[] =
    "(?!["
    "\\u061D\\u09FD\\u0A76\\u0C77\\u0C84\\u1B7D-\\u1B7E\\u2E43-\\u2E4F\\u2E52-\\u2E5D\\x{10EAD}"
    "\\x{10F55}-\\x{10F59}\\x{10F86}-\\x{10F89}\\x{1144B}-\\x{1144F}\\x{1145A}-\\x{1145B}\\x{1145D}"
    "\\x{11660}-\\x{1166C}\\x{116B9}\\x{1183B}\\x{11944}-\\x{11946}\\x{119E2}\\x{11A3F}-\\x{11A46}"
    "\\x{11A9A}-\\x{11A9C}\\x{11A9E}-\\x{11AA2}\\x{11B00}-\\x{11B09}\\x{11C41}-\\x{11C45}\\x{11C70}-\\x{11C71}"
    "\\x{11EF7}-\\x{11EF8}\\x{11F43}-\\x{11F4F}\\x{11FFF}\\x{12FF1}-\\x{12FF2}\\x{16E97}-\\x{16E9A}\\x{16FE2}"
    "\\x{1E95E}-\\x{1E95F}"
    "])[\\p{P}$+<=>^`|~\\u166D\\x{111C9}]";

#define MAX_NESTING 8

tn_status tn_spec_refuse(tn_spec *spec, const char *what, const char *type) {
    char quoted[TN_QUOTE_SIZE];
    return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use the tokenizer: the %s '%s' is not supported", what,
                   tn_quote(type, strlen(type), quoted));
}

static tn_status read_nested(tn_spec *spec, const tn_json_value *value, const char *list, tn_machine_fn read, int depth) {
    if (!tn_json_is_present(value)) return TN_OK;
    if (depth > MAX_NESTING) return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "is nested deeper than %d", MAX_NESTING);
    const char *type;
    tn_status status = tn_json_get_string(value, "type", spec->diag, &type, NULL);
    if (status != TN_OK || strcmp(type, "Sequence") != 0) return status != TN_OK ? status : read(spec, value, type);
    const tn_json_value *members;
    status = tn_json_get_array(value, list, spec->diag, &members);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(members); i++)
        status = read_nested(spec, tn_json_at(members, i), list, read, depth + 1);
    return status;
}

tn_status tn_spec_read_machine(tn_spec *spec, const tn_json_value *value, const char *list, tn_machine_fn read) {
    return read_nested(spec, value, list, read, 0);
}

tn_status tn_spec_read_pattern(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    const tn_json_value *pattern;
    tn_status status = tn_json_get_object(value, "pattern", spec->diag, &pattern);
    if (status != TN_OK) return status;
    bool is_string = tn_json_find(pattern, "String") != NULL;
    if ((status = tn_spec_check_members(spec, pattern, is_string ? "String" : "Regex")) != TN_OK) return status;
    if (is_string) part->flags |= TN_PART_LITERAL;
    return tn_json_get_string(pattern, is_string ? "String" : "Regex", spec->diag, &part->a.data, &part->a.size);
}

tn_status tn_spec_read_replace(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    part->kind = TN_PART_REPLACE;
    tn_status status = tn_spec_check_members(spec, value, "type pattern content");
    if (status == TN_OK) status = tn_spec_read_pattern(spec, value, part);
    if (status == TN_OK) status = tn_json_get_string(value, "content", spec->diag, &part->b.data, &part->b.size);
    return status;
}

/* Older files have add_prefix_space in place of prepend_scheme, and the character twice. */
tn_status tn_spec_read_metaspace(tn_spec *spec, const tn_json_value *value, tn_bytes *out_character, const char **out_scheme) {
    bool has_prefix = true;
    tn_status status = tn_spec_check_members(spec, value, "type replacement str_rep add_prefix_space prepend_scheme split");
    if (status == TN_OK) status = tn_json_get_string(value, "replacement", spec->diag, &out_character->data, &out_character->size);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "add_prefix_space", true, spec->diag, &has_prefix);
    if (status == TN_OK) status = tn_json_get_string_or(value, "prepend_scheme", has_prefix ? "always" : "never", spec->diag, out_scheme);
    if (status != TN_OK) return status;
    uint32_t code_point;
    if (tn_utf8_decode(out_character->data, out_character->size, &code_point) != (int)out_character->size || out_character->size == 0)
        return tn_json_fail(tn_json_find(value, "replacement"), spec->diag, TN_INVALID_DATA, "must be one character");
    if (strcmp(*out_scheme, "always") != 0 && strcmp(*out_scheme, "first") != 0 && strcmp(*out_scheme, "never") != 0)
        return tn_json_fail(tn_json_find(value, "prepend_scheme"), spec->diag, TN_UNSUPPORTED, "is not a known scheme");
    return TN_OK;
}

/* ---- normalizer ---- */

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The table of rules is written in base64. */
static tn_status read_charsmap(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    tn_bytes text;
    const tn_json_value *table = tn_json_find(value, "precompiled_charsmap");
    tn_status status = tn_spec_check_members(spec, value, "type precompiled_charsmap");
    if (status == TN_OK && !tn_json_is_present(table)) return TN_OK;
    if (status == TN_OK) status = tn_json_to_string(table, spec->diag, &text.data, &text.size);
    if (status != TN_OK) return status;
    while (text.size > 0 && text.data[text.size - 1] == '=') text.size--;
    unsigned char *bytes = tn_arena_alloc(&spec->arena, text.size);
    if (!bytes) return tn_fail_memory(spec->diag, "character rules", text.size);
    uint32_t bits = 0, num_bits = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        int digit = base64_value(text.data[i]);
        if (digit < 0) return tn_json_fail(table, spec->diag, TN_INVALID_DATA, "is not base64 at byte %zu", i);
        bits = bits << 6 | (uint32_t)digit;
        if ((num_bits += 6) < 8) continue;
        num_bits -= 8;
        bytes[size++] = (unsigned char)(bits >> num_bits);
    }
    part->a = (tn_bytes){(const char *)bytes, size};
    return TN_OK;
}

static tn_status read_strip(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    bool left = false, right = false;
    tn_status status = tn_spec_check_members(spec, value, "type strip_left strip_right");
    if (status == TN_OK) status = tn_json_get_bool(value, "strip_left", spec->diag, &left);
    if (status == TN_OK) status = tn_json_get_bool(value, "strip_right", spec->diag, &right);
    part->number_a = left;
    part->number_b = right;
    return status;
}

static tn_status add_normalizer_if(tn_spec *spec, bool is_set, tn_part_kind kind) {
    return is_set ? tn_spec_add_part(spec, &spec->normalizer, (tn_part){.kind = kind}) : TN_OK;
}

static tn_status read_bert(tn_spec *spec, const tn_json_value *value) {
    bool clean = true, han = true, lower = true, strip = false;
    tn_status status = tn_spec_check_members(spec, value, "type clean_text handle_chinese_chars strip_accents lowercase");
    if (status == TN_OK) status = tn_json_get_bool_or(value, "clean_text", true, spec->diag, &clean);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "handle_chinese_chars", true, spec->diag, &han);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "lowercase", true, spec->diag, &lower);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "strip_accents", lower, spec->diag, &strip);
    if (status == TN_OK) status = add_normalizer_if(spec, clean, TN_PART_CLEAN_CONTROLS);
    if (status == TN_OK) status = add_normalizer_if(spec, han, TN_PART_SPACE_HAN);
    if (status == TN_OK) status = add_normalizer_if(spec, strip, TN_PART_NFD);
    if (status == TN_OK) status = add_normalizer_if(spec, strip, TN_PART_STRIP_MARKS);
    return status == TN_OK ? add_normalizer_if(spec, lower, TN_PART_LOWERCASE) : status;
}

static tn_status read_one_normalizer(tn_spec *spec, const tn_json_value *value, const char *type) {
    static const struct {
        const char *type;
        tn_part_kind kind;
    } plain[] = {{"NFC", TN_PART_NFC},
                 {"NFD", TN_PART_NFD},
                 {"NFKC", TN_PART_NFKC},
                 {"NFKD", TN_PART_NFKD},
                 {"Lowercase", TN_PART_LOWERCASE},
                 {"Nmt", TN_PART_NMT},
                 {"StripAccents", TN_PART_STRIP_MARKS}};
    tn_part part = {.kind = TN_NUM_PART_KINDS};
    tn_status status = TN_OK;
    if (strcmp(type, "BertNormalizer") == 0) return read_bert(spec, value);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(type, plain[i].type) == 0) part.kind = plain[i].kind;
    if (part.kind != TN_NUM_PART_KINDS) {
        part.number_a = part.kind == TN_PART_STRIP_MARKS; /* all marks; BERT's own strips fewer */
        status = tn_spec_check_members(spec, value, "type");
    } else if (strcmp(type, "Prepend") == 0) {
        part.kind = TN_PART_PREPEND;
        status = tn_spec_check_members(spec, value, "type prepend");
        if (status == TN_OK) status = tn_json_get_string(value, "prepend", spec->diag, &part.a.data, &part.a.size);
    } else if (strcmp(type, "Replace") == 0) {
        status = tn_spec_read_replace(spec, value, &part);
    } else if (strcmp(type, "Strip") == 0) {
        part.kind = TN_PART_STRIP_ENDS;
        status = read_strip(spec, value, &part);
    } else if (strcmp(type, "Precompiled") == 0) {
        part.kind = TN_PART_CHARSMAP;
        status = read_charsmap(spec, value, &part);
    } else if (strcmp(type, "ByteLevel") == 0) {
        part.kind = TN_PART_BYTE_CHARACTERS;
        status = tn_spec_check_members(spec, value, "type add_prefix_space trim_offsets use_regex");
    } else {
        return tn_spec_refuse(spec, "normalizer", type);
    }
    return status == TN_OK ? tn_spec_add_part(spec, &spec->normalizer, part) : status;
}

tn_status tn_spec_read_normalizer(tn_spec *spec, const tn_json_value *value) {
    return tn_spec_read_machine(spec, value, "normalizers", read_one_normalizer);
}

/* ---- pre-tokenizer ---- */

tn_status tn_spec_add_split(tn_spec *spec, const char *pattern, tn_split_behavior behavior, bool invert) {
    tn_part part = {.kind = TN_PART_SPLIT, .flags = invert ? TN_PART_INVERT : 0, .number_a = behavior, .a = tn_bytes_of(pattern)};
    return tn_spec_add_part(spec, &spec->pre_tokenizer, part);
}

static tn_status add_pre_tokenizer(tn_spec *spec, tn_part part) {
    return tn_spec_add_part(spec, &spec->pre_tokenizer, part);
}

static tn_status read_behavior(tn_spec *spec, const tn_json_value *value, uint32_t *out_behavior) {
    static const char *const names[TN_NUM_SPLIT_BEHAVIORS] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const char *name;
    tn_status status = tn_json_get_string(value, "behavior", spec->diag, &name, NULL);
    if (status != TN_OK) return status;
    for (uint32_t i = 0; i < TN_NUM_SPLIT_BEHAVIORS; i++)
        if (strcmp(name, names[i]) == 0) {
            *out_behavior = i;
            return TN_OK;
        }
    return tn_json_fail(tn_json_find(value, "behavior"), spec->diag, TN_UNSUPPORTED, "is not a known behavior");
}

static tn_status read_split(tn_spec *spec, const tn_json_value *value) {
    tn_part part = {.kind = TN_PART_SPLIT};
    bool invert = false;
    tn_status status = tn_spec_check_members(spec, value, "type pattern behavior invert");
    if (status == TN_OK) status = tn_spec_read_pattern(spec, value, &part);
    if (status == TN_OK) status = read_behavior(spec, value, &part.number_a);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "invert", false, spec->diag, &invert);
    if (invert) part.flags |= TN_PART_INVERT;
    return status == TN_OK ? tn_spec_add_part(spec, &spec->pre_tokenizer, part) : status;
}

static tn_status read_byte_level(tn_spec *spec, const tn_json_value *value) {
    bool prefix_space = false, use_regex = false;
    tn_status status = tn_spec_check_members(spec, value, "type add_prefix_space trim_offsets use_regex");
    if (status == TN_OK) status = tn_json_get_bool(value, "add_prefix_space", spec->diag, &prefix_space);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "use_regex", true, spec->diag, &use_regex);
    if (status == TN_OK && prefix_space) status = add_pre_tokenizer(spec, (tn_part){.kind = TN_PART_PREFIX, .a = tn_bytes_of(" ")});
    if (status == TN_OK && use_regex) status = tn_spec_add_split(spec, tn_gpt2_pattern, TN_SPLIT_ISOLATED, false);
    return status == TN_OK ? add_pre_tokenizer(spec, (tn_part){.kind = TN_PART_BYTE_CHARACTERS}) : status;
}

static tn_status read_digits(tn_spec *spec, const tn_json_value *value) {
    bool individual = false;
    tn_status status = tn_spec_check_members(spec, value, "type individual_digits");
    if (status == TN_OK) status = tn_json_get_bool_or(value, "individual_digits", false, spec->diag, &individual);
    if (status != TN_OK) return status;
    return tn_spec_add_split(spec, "\\p{N}", individual ? TN_SPLIT_ISOLATED : TN_SPLIT_CONTIGUOUS, false);
}

static tn_status read_punctuation(tn_spec *spec, const tn_json_value *value) {
    uint32_t behavior = TN_SPLIT_ISOLATED;
    tn_status status = tn_spec_check_members(spec, value, "type behavior");
    if (status == TN_OK && tn_json_find(value, "behavior")) status = read_behavior(spec, value, &behavior);
    return status == TN_OK ? tn_spec_add_split(spec, tn_punctuation_pattern, (tn_split_behavior)behavior, false) : status;
}

static tn_status read_whitespace(tn_spec *spec, const tn_json_value *value) {
    static const char word[] =
        "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}\\s]+";
    tn_status status = tn_spec_check_members(spec, value, "type");
    return status == TN_OK ? tn_spec_add_split(spec, word, TN_SPLIT_REMOVED, true) : status;
}

static tn_status read_whitespace_split(tn_spec *spec, const tn_json_value *value) {
    tn_status status = tn_spec_check_members(spec, value, "type");
    return status == TN_OK ? tn_spec_add_split(spec, "\\s", TN_SPLIT_REMOVED, false) : status;
}

static tn_status read_bert_words(tn_spec *spec, const tn_json_value *value) {
    tn_status status = read_whitespace_split(spec, value);
    return status == TN_OK ? tn_spec_add_split(spec, tn_punctuation_pattern, TN_SPLIT_ISOLATED, false) : status;
}

static tn_status read_delimiter(tn_spec *spec, const tn_json_value *value) {
    tn_part part = {.kind = TN_PART_SPLIT, .flags = TN_PART_LITERAL, .number_a = TN_SPLIT_REMOVED};
    tn_status status = tn_spec_check_members(spec, value, "type delimiter");
    if (status == TN_OK) status = tn_json_get_string(value, "delimiter", spec->diag, &part.a.data, &part.a.size);
    return status == TN_OK ? add_pre_tokenizer(spec, part) : status;
}

static tn_status read_metaspace(tn_spec *spec, const tn_json_value *value) {
    tn_bytes character;
    const char *scheme;
    bool has_split = true;
    tn_status status = tn_spec_read_metaspace(spec, value, &character, &scheme);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "split", true, spec->diag, &has_split);
    if (status != TN_OK) return status;
    tn_part replace = {.kind = TN_PART_REPLACE, .flags = TN_PART_LITERAL, .a = tn_bytes_of(" "), .b = character};
    tn_part prefix = {.kind = TN_PART_PREFIX, .flags = strcmp(scheme, "first") == 0 ? TN_PART_FIRST : 0, .a = character};
    tn_part split = {.kind = TN_PART_SPLIT, .flags = TN_PART_LITERAL, .number_a = TN_SPLIT_MERGED_WITH_NEXT, .a = character};
    status = add_pre_tokenizer(spec, replace);
    if (status == TN_OK && strcmp(scheme, "never") != 0) status = add_pre_tokenizer(spec, prefix);
    return status == TN_OK && has_split ? add_pre_tokenizer(spec, split) : status;
}

static tn_status read_fixed_length(tn_spec *spec, const tn_json_value *value) {
    int64_t length = 5;
    tn_status status = tn_spec_check_members(spec, value, "type length");
    if (status == TN_OK) status = tn_json_get_integer_or(value, "length", 1, UINT32_MAX, 5, spec->diag, &length);
    return status == TN_OK ? add_pre_tokenizer(spec, (tn_part){.kind = TN_PART_FIXED_LENGTH, .number_a = (uint32_t)length}) : status;
}

static tn_status read_scripts(tn_spec *spec, const tn_json_value *value) {
    tn_status status = tn_spec_check_members(spec, value, "type");
    return status == TN_OK ? tn_spec_add_script_splits(spec) : status;
}

static tn_status read_one_pre_tokenizer(tn_spec *spec, const tn_json_value *value, const char *type) {
    static const struct {
        const char *type;
        tn_status (*read)(tn_spec *spec, const tn_json_value *value);
    } kinds[] = {{"ByteLevel", read_byte_level},
                 {"Split", read_split},
                 {"Digits", read_digits},
                 {"Punctuation", read_punctuation},
                 {"Whitespace", read_whitespace},
                 {"WhitespaceSplit", read_whitespace_split},
                 {"BertPreTokenizer", read_bert_words},
                 {"CharDelimiterSplit", read_delimiter},
                 {"Metaspace", read_metaspace},
                 {"FixedLength", read_fixed_length},
                 {"UnicodeScripts", read_scripts}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(type, kinds[i].type) == 0) return kinds[i].read(spec, value);
    return tn_spec_refuse(spec, "pre-tokenizer", type);
}

/* A BPE model reads the bytes themselves where nothing follows their characters. */
tn_status tn_spec_read_pre_tokenizer(tn_spec *spec, const tn_json_value *value) {
    tn_status status = tn_spec_read_machine(spec, value, "pretokenizers", read_one_pre_tokenizer);
    size_t count = spec->pre_tokenizer.count;
    if (status == TN_OK && count > 0 && spec->model_kind == TN_MODEL_BPE &&
        spec->pre_tokenizer.data[count - 1].kind == TN_PART_BYTE_CHARACTERS)
        spec->pre_tokenizer.data[count - 1].kind = TN_PART_BYTE_LEVEL;
    return status;
}
