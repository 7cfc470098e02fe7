/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_decoder.c: the post-processors and decoders of tokenizer.json → spec.
 */
#include <string.h>

#include "tokenizer/load_json.h"

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

static tn_status read_one_post_processor(tn_spec *spec, const tn_json_value *value, const char *type) {
    if (strcmp(type, "ByteLevel") == 0) return tn_spec_check_members(spec, value, "type add_prefix_space trim_offsets use_regex");
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(spec, value);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        tn_status status = tn_spec_check_members(spec, value, "type sep cls trim_offsets add_prefix_space");
        if (status == TN_OK) status = read_pair_member(spec, value, "cls", &spec->prefix);
        return status == TN_OK ? read_pair_member(spec, value, "sep", &spec->suffix) : status;
    }
    return tn_spec_refuse(spec, "post-processor", type);
}

tn_status tn_spec_read_post_processor(tn_spec *spec, const tn_json_value *value) {
    return tn_spec_read_machine(spec, value, "processors", read_one_post_processor);
}

/* ---- decoder ---- */

static tn_status read_strip(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    int64_t start = 0, stop = 0;
    tn_status status = tn_spec_check_members(spec, value, "type content start stop");
    if (status == TN_OK) status = tn_json_get_string(value, "content", spec->diag, &part->a.data, &part->a.size);
    if (status == TN_OK) status = tn_json_get_integer(value, "start", 0, UINT32_MAX, spec->diag, &start);
    if (status == TN_OK) status = tn_json_get_integer(value, "stop", 0, UINT32_MAX, spec->diag, &stop);
    part->number_a = (uint32_t)start;
    part->number_b = (uint32_t)stop;
    if (status == TN_OK && part->a.size == 0) status = tn_json_fail(value, spec->diag, TN_INVALID_DATA, "strips nothing");
    return status;
}

static tn_status read_metaspace(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    const char *scheme;
    tn_status status = tn_spec_read_metaspace(spec, value, &part->a, &scheme);
    if (status == TN_OK) part->number_a = strcmp(scheme, "never") != 0;
    return status;
}

static tn_status read_cleanup(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    bool cleanup = true;
    tn_status status = tn_json_get_bool_or(value, "cleanup", true, spec->diag, &cleanup);
    part->number_a = cleanup;
    return status;
}

static tn_status read_word_pieces(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    tn_status status = tn_spec_check_members(spec, value, "type prefix cleanup");
    if (status == TN_OK) status = tn_json_get_string(value, "prefix", spec->diag, &part->a.data, &part->a.size);
    return status == TN_OK ? read_cleanup(spec, value, part) : status;
}

static tn_status read_ctc(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    tn_status status = tn_spec_check_members(spec, value, "type pad_token word_delimiter_token cleanup");
    if (status == TN_OK) status = tn_json_get_string(value, "pad_token", spec->diag, &part->a.data, &part->a.size);
    if (status == TN_OK) status = tn_json_get_string(value, "word_delimiter_token", spec->diag, &part->b.data, &part->b.size);
    return status == TN_OK ? read_cleanup(spec, value, part) : status;
}

static tn_status read_word_ends(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    tn_status status = tn_spec_check_members(spec, value, "type suffix");
    return status == TN_OK ? tn_json_get_string(value, "suffix", spec->diag, &part->a.data, &part->a.size) : status;
}

static tn_status read_byte_level(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    (void)part;
    return tn_spec_check_members(spec, value, "type add_prefix_space trim_offsets use_regex");
}

static tn_status read_plain(tn_spec *spec, const tn_json_value *value, tn_part *part) {
    (void)part;
    return tn_spec_check_members(spec, value, "type");
}

static tn_status read_one_decoder(tn_spec *spec, const tn_json_value *value, const char *type) {
    static const struct {
        const char *type;
        tn_part_kind kind;
        tn_status (*read)(tn_spec *spec, const tn_json_value *value, tn_part *part);
    } kinds[] = {{"ByteLevel", TN_PART_BYTE_LEVEL, read_byte_level},   {"Replace", TN_PART_REPLACE, tn_spec_read_replace},
                 {"ByteFallback", TN_PART_BYTE_FALLBACK, read_plain},  {"Fuse", TN_PART_FUSE, read_plain},
                 {"Strip", TN_PART_STRIP_COUNT, read_strip},           {"Metaspace", TN_PART_METASPACE, read_metaspace},
                 {"WordPiece", TN_PART_WORD_PIECES, read_word_pieces}, {"CTC", TN_PART_CTC, read_ctc},
                 {"BPEDecoder", TN_PART_WORD_ENDS, read_word_ends}};
    size_t count = spec->decoder.count;
    if (count > 0 && spec->decoder.data[count - 1].kind == TN_PART_BYTE_LEVEL)
        return tn_spec_refuse(spec, "decoder behind ByteLevel", type);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].type) != 0) continue;
        tn_part part = {.kind = kinds[i].kind};
        tn_status status = kinds[i].read(spec, value, &part);
        return status == TN_OK ? tn_spec_add_part(spec, &spec->decoder, part) : status;
    }
    return tn_spec_refuse(spec, "decoder", type);
}

tn_status tn_spec_read_decoder(tn_spec *spec, const tn_json_value *value) {
    return tn_spec_read_machine(spec, value, "decoders", read_one_decoder);
}
