/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_parts.c: the machines of tokenizer.json (normalizer, pre-tokenizer, post-processor, decoder), reduced to the kinds
 * of part.h. A machine, or a setting of one, that has no line here is refused by its name.
 */
#include <string.h>

#include "format/quote.h"
#include "tokenizer/load_json.h"

/* The words of GPT-2: contractions, letters, digits, the rest, white space that leaves one space to the word behind it. */
const char tn_gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

#define MAX_NESTING 8

typedef tn_status (*read_fn)(tn_spec *spec, const tn_json_value *value, const char *type, int depth);

static tn_status refuse(tn_spec *spec, const char *what, const char *type) {
    char quoted[TN_QUOTE_SIZE];
    return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use the tokenizer: the %s '%s' is not supported", what,
                   tn_quote(type, strlen(type), quoted));
}

/* A machine, or nothing; a Sequence is its members in order. */
static tn_status read_machine(tn_spec *spec, const tn_json_value *value, const char *list, read_fn read, int depth) {
    if (!value || tn_json_kind_of(value) == TN_JSON_NULL) return TN_OK;
    if (depth > MAX_NESTING) return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "is nested deeper than %d", MAX_NESTING);
    const char *type;
    tn_status status = tn_json_get_string(value, "type", spec->diag, &type, NULL);
    if (status != TN_OK || strcmp(type, "Sequence") != 0) return status != TN_OK ? status : read(spec, value, type, depth);
    const tn_json_value *members;
    status = tn_json_get_array(value, list, spec->diag, &members);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(members); i++)
        status = read_machine(spec, tn_json_at(members, i), list, read, depth + 1);
    return status;
}

/* {"String": "…"} or {"Regex": "…"} */
static tn_status read_pattern(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    const tn_json_value *pattern;
    tn_status status = tn_json_get_object(value, "pattern", spec->diag, &pattern);
    if (status != TN_OK) return status;
    bool is_string = tn_json_find(pattern, "String") != NULL;
    if ((status = tn_spec_check_members(spec, pattern, is_string ? "String" : "Regex")) != TN_OK) return status;
    if (is_string) part->flags |= TN_PART_LITERAL;
    return tn_json_get_string(pattern, is_string ? "String" : "Regex", spec->diag, &part->a.data, &part->a.size);
}

static tn_status read_replace(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    part->kind = TN_PART_REPLACE;
    tn_status status = tn_spec_check_members(spec, value, "type pattern content");
    if (status == TN_OK) status = read_pattern(spec, value, part);
    if (status == TN_OK) status = tn_json_get_string(value, "content", spec->diag, &part->b.data, &part->b.size);
    return status;
}

/* ---- normalizer ---- */

static tn_status read_one_normalizer(tn_spec *spec, const tn_json_value *value, const char *type, int depth) {
    (void)depth;
    static const struct {
        const char *type;
        tn_part_kind kind;
    } plain[] = {
        {"NFC", TN_PART_NFC}, {"NFD", TN_PART_NFD}, {"NFKC", TN_PART_NFKC}, {"NFKD", TN_PART_NFKD}, {"Lowercase", TN_PART_LOWERCASE}};
    tn_part part = {.kind = TN_NUM_PART_KINDS};
    tn_status status = TN_OK;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(type, plain[i].type) == 0) part.kind = plain[i].kind;
    if (part.kind != TN_NUM_PART_KINDS) {
        status = tn_spec_check_members(spec, value, "type");
    } else if (strcmp(type, "Prepend") == 0) {
        part.kind = TN_PART_PREPEND;
        status = tn_spec_check_members(spec, value, "type prepend");
        if (status == TN_OK) status = tn_json_get_string(value, "prepend", spec->diag, &part.a.data, &part.a.size);
    } else if (strcmp(type, "Replace") == 0) {
        status = read_replace(spec, value, &part);
    } else if (strcmp(type, "Strip") == 0) {
        bool left = false, right = false;
        part.kind = TN_PART_STRIP_ENDS;
        status = tn_spec_check_members(spec, value, "type strip_left strip_right");
        if (status == TN_OK) status = tn_json_get_bool(value, "strip_left", spec->diag, &left);
        if (status == TN_OK) status = tn_json_get_bool(value, "strip_right", spec->diag, &right);
        part.number_a = left;
        part.number_b = right;
    } else {
        return refuse(spec, "normalizer", type);
    }
    return status == TN_OK ? tn_spec_add_part(spec, &spec->normalizer, part) : status;
}

tn_status tn_spec_read_normalizer(tn_spec *spec, const tn_json_value *value) {
    return read_machine(spec, value, "normalizers", read_one_normalizer, 0);
}

/* ---- pre-tokenizer ---- */

tn_status tn_spec_add_split(tn_spec *spec, const char *pattern, tn_split_behavior behavior, bool invert) {
    tn_part part = {.kind = TN_PART_SPLIT, .flags = invert ? TN_PART_INVERT : 0, .number_a = behavior, .a = tn_bytes_of(pattern)};
    return tn_spec_add_part(spec, &spec->pre_tokenizer, part);
}

tn_status tn_spec_add_byte_level(tn_spec *spec) {
    return tn_spec_add_part(spec, &spec->pre_tokenizer, (tn_part){.kind = TN_PART_BYTE_LEVEL});
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
    if (status == TN_OK) status = read_pattern(spec, value, &part);
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
    if (status == TN_OK && prefix_space) status = tn_spec_add_part(spec, &spec->pre_tokenizer, (tn_part){.kind = TN_PART_PREFIX_SPACE});
    if (status == TN_OK && use_regex) status = tn_spec_add_split(spec, tn_gpt2_pattern, TN_SPLIT_ISOLATED, false);
    return status == TN_OK ? tn_spec_add_byte_level(spec) : status;
}

static tn_status read_one_pre_tokenizer(tn_spec *spec, const tn_json_value *value, const char *type, int depth) {
    (void)depth;
    tn_status status = TN_OK;
    size_t count = spec->pre_tokenizer.count;
    if (count > 0 && spec->pre_tokenizer.data[count - 1].kind == TN_PART_BYTE_LEVEL)
        return refuse(spec, "pre-tokenizer behind ByteLevel", type);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(spec, value);
    if (strcmp(type, "Split") == 0) return read_split(spec, value);
    if (strcmp(type, "Digits") == 0) {
        bool individual = false;
        status = tn_spec_check_members(spec, value, "type individual_digits");
        if (status == TN_OK) status = tn_json_get_bool_or(value, "individual_digits", false, spec->diag, &individual);
        if (status != TN_OK) return status;
        return tn_spec_add_split(spec, "\\p{N}", individual ? TN_SPLIT_ISOLATED : TN_SPLIT_CONTIGUOUS, false);
    }
    if (strcmp(type, "Whitespace") == 0) {
        static const char word[] =
            "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}\\s]+";
        status = tn_spec_check_members(spec, value, "type");
        return status == TN_OK ? tn_spec_add_split(spec, word, TN_SPLIT_REMOVED, true) : status;
    }
    if (strcmp(type, "WhitespaceSplit") == 0) {
        status = tn_spec_check_members(spec, value, "type");
        return status == TN_OK ? tn_spec_add_split(spec, "\\s", TN_SPLIT_REMOVED, false) : status;
    }
    if (strcmp(type, "Punctuation") == 0) {
        uint32_t behavior = TN_SPLIT_ISOLATED;
        status = tn_spec_check_members(spec, value, "type behavior");
        if (status == TN_OK && tn_json_find(value, "behavior")) status = read_behavior(spec, value, &behavior);
        return status == TN_OK ? tn_spec_add_split(spec, "[\\p{P}$+<=>^`|~]", (tn_split_behavior)behavior, false) : status;
    }
    return refuse(spec, "pre-tokenizer", type);
}

tn_status tn_spec_read_pre_tokenizer(tn_spec *spec, const tn_json_value *value) {
    return read_machine(spec, value, "pretokenizers", read_one_pre_tokenizer, 0);
}

/* ---- post-processor ---- */

/* The ids of one special token of a template. */
static tn_status read_template_token(tn_spec *spec, const tn_json_value *piece, const tn_json_value *table, tn_spec_ids *ids) {
    const char *name;
    const tn_json_value *token, *list = NULL;
    tn_status status = tn_json_get_string(piece, "id", spec->diag, &name, NULL);
    if (status != TN_OK) return status;
    token = tn_json_find(table, name);
    if (!token) return tn_json_fail(piece, spec->diag, TN_INVALID_DATA, "names a token that 'special_tokens' lacks");
    status = tn_json_get_array(token, "ids", spec->diag, &list);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(list); i++) {
        int64_t id;
        status = tn_json_to_integer(tn_json_at(list, i), 0, TN_MAX_TOKENS - 1, spec->diag, &id);
        if (status == TN_OK && ((size_t)id >= spec->tokens.count || !(spec->tokens.data[id].flags & TN_TOKEN_USED)))
            status = tn_json_fail(tn_json_at(list, i), spec->diag, TN_INVALID_DATA, "is %lld, which no token has", (long long)id);
        if (status == TN_OK) status = tn_spec_add_id(spec, ids, (int32_t)id);
    }
    return status;
}

static tn_status read_template(tn_spec *spec, const tn_json_value *value) {
    const tn_json_value *pieces, *table;
    size_t old_prefix = spec->prefix.count;
    bool seen_text = false;
    tn_status status = tn_spec_check_members(spec, value, "type single pair special_tokens");
    if (status == TN_OK) status = tn_json_get_array(value, "single", spec->diag, &pieces);
    if (status == TN_OK) status = tn_json_get_object(value, "special_tokens", spec->diag, &table);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(pieces); i++) {
        const tn_json_value *piece = tn_json_at(pieces, i);
        const tn_json_value *token = tn_json_find(piece, "SpecialToken"), *text = tn_json_find(piece, "Sequence");
        if (token) {
            status = read_template_token(spec, token, table, seen_text ? &spec->suffix : &spec->prefix);
        } else if (text && !seen_text) {
            const char *id;
            seen_text = true;
            status = tn_json_get_string(text, "id", spec->diag, &id, NULL);
            if (status == TN_OK && strcmp(id, "A") != 0)
                status = tn_json_fail(text, spec->diag, TN_UNSUPPORTED, "is not supported: only A is");
        } else {
            status = tn_json_fail(piece, spec->diag, TN_UNSUPPORTED, "is not supported: one Sequence and SpecialTokens are");
        }
    }
    if (status == TN_OK && !seen_text) status = tn_json_fail(value, spec->diag, TN_UNSUPPORTED, "has no Sequence in 'single'");
    if (status == TN_OK && old_prefix > 0 && spec->prefix.count > old_prefix)
        status = tn_json_fail(value, spec->diag, TN_UNSUPPORTED, "is not supported: another processor already adds tokens");
    return status;
}

/* Bert and Roberta: [token, id] before and behind. */
static tn_status read_pair_member(tn_spec *spec, const tn_json_value *value, const char *key, tn_spec_ids *ids) {
    const tn_json_value *pair;
    int64_t id;
    tn_status status = tn_json_get_array(value, key, spec->diag, &pair);
    if (status != TN_OK) return status;
    if (tn_json_count(pair) != 2) return tn_json_fail(pair, spec->diag, TN_INVALID_DATA, "must be a token and its id");
    status = tn_json_to_integer(tn_json_at(pair, 1), 0, TN_MAX_TOKENS - 1, spec->diag, &id);
    if (status == TN_OK && ((size_t)id >= spec->tokens.count || !(spec->tokens.data[id].flags & TN_TOKEN_USED)))
        status = tn_json_fail(pair, spec->diag, TN_INVALID_DATA, "has id %lld, which no token has", (long long)id);
    return status == TN_OK ? tn_spec_add_id(spec, ids, (int32_t)id) : status;
}

static tn_status read_one_post_processor(tn_spec *spec, const tn_json_value *value, const char *type, int depth) {
    (void)depth;
    if (strcmp(type, "ByteLevel") == 0) return tn_spec_check_members(spec, value, "type add_prefix_space trim_offsets use_regex");
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(spec, value);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        tn_status status = tn_spec_check_members(spec, value, "type sep cls trim_offsets add_prefix_space");
        if (status == TN_OK) status = read_pair_member(spec, value, "cls", &spec->prefix);
        return status == TN_OK ? read_pair_member(spec, value, "sep", &spec->suffix) : status;
    }
    return refuse(spec, "post-processor", type);
}

tn_status tn_spec_read_post_processor(tn_spec *spec, const tn_json_value *value) {
    return read_machine(spec, value, "processors", read_one_post_processor, 0);
}

/* ---- decoder ---- */

static tn_status read_one_decoder(tn_spec *spec, const tn_json_value *value, const char *type, int depth) {
    (void)depth;
    tn_part part = {.kind = TN_NUM_PART_KINDS};
    tn_status status = TN_OK;
    if (strcmp(type, "ByteLevel") == 0) {
        part.kind = TN_PART_BYTE_LEVEL;
        status = tn_spec_check_members(spec, value, "type add_prefix_space trim_offsets use_regex");
    } else if (strcmp(type, "Replace") == 0) {
        status = read_replace(spec, value, &part);
    } else if (strcmp(type, "ByteFallback") == 0 || strcmp(type, "Fuse") == 0) {
        part.kind = type[0] == 'F' ? TN_PART_FUSE : TN_PART_BYTE_FALLBACK;
        status = tn_spec_check_members(spec, value, "type");
    } else if (strcmp(type, "Strip") == 0) {
        int64_t start = 0, stop = 0;
        part.kind = TN_PART_STRIP_COUNT;
        status = tn_spec_check_members(spec, value, "type content start stop");
        if (status == TN_OK) status = tn_json_get_string(value, "content", spec->diag, &part.a.data, &part.a.size);
        if (status == TN_OK) status = tn_json_get_integer(value, "start", 0, UINT32_MAX, spec->diag, &start);
        if (status == TN_OK) status = tn_json_get_integer(value, "stop", 0, UINT32_MAX, spec->diag, &stop);
        part.number_a = (uint32_t)start;
        part.number_b = (uint32_t)stop;
    } else {
        return refuse(spec, "decoder", type);
    }
    if (status != TN_OK) return status;
    size_t count = spec->decoder.count;
    if (!tn_is_decoder_order(count ? spec->decoder.data[count - 1].kind : TN_NUM_PART_KINDS, &part))
        return tn_json_fail(value, spec->diag, TN_UNSUPPORTED, "is not supported at this place of a decoder");
    return tn_spec_add_part(spec, &spec->decoder, part);
}

tn_status tn_spec_read_decoder(tn_spec *spec, const tn_json_value *value) {
    return read_machine(spec, value, "decoders", read_one_decoder, 0);
}
