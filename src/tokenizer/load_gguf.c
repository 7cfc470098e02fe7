/* SPDX-License-Identifier: Apache-2.0
 *
 * load_gguf.c: a GGUF file's metadata → spec, for the kind "gpt2" (byte-level BPE). GGUF names a pre-tokenizer instead of
 * describing it, so this file knows what the names stand for. A name that is not here is refused: a wrong guess gives tokens
 * that are nearly right.
 */
#include <string.h>

#include "format/quote.h"
#include "tokenizer/load_json.h"
#include "tokenizer/tokenizer_internal.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LLAMA3(digits) \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* patterns: one split after the other, isolated. */
typedef struct pre_tokenizer {
    const char *names; /* between spaces */
    const char *patterns[5];
    bool ignore_merges, nfc;
} pre_tokenizer;

static const pre_tokenizer pre_tokenizers[] = {
    {"gpt-2 phi-2 mpt olmo jais trillion", {tn_gpt2_pattern}, false, false},
    {"smollm starcoder refact command-r codeshell", {"\\p{N}", tn_gpt2_pattern}, false, false},
    {"llama-bpe llama3 llama-v3", {LLAMA3("\\p{N}{1,3}")}, true, false},
    {"dbrx smaug-bpe", {LLAMA3("\\p{N}{1,3}")}, false, false},
    {"qwen2", {LLAMA3("\\p{N}")}, false, true},
    {"deepseek-r1-qwen stablelm2", {LLAMA3("\\p{N}")}, false, false},
    {"deepseek-coder",
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+", "\\p{N}"},
     false,
     false},
    {"falcon", {"[\\p{P}$+<=>^~|`]+", tn_gpt2_pattern, "[0-9][0-9][0-9]"}, false, false},
    {"deepseek-v3",
     {"\\p{N}{1,3}", "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     false,
     false},
};

static const pre_tokenizer *find_pre_tokenizer(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof pre_tokenizers / sizeof *pre_tokenizers; i++)
        for (const char *at = pre_tokenizers[i].names; *at;) {
            size_t length = strcspn(at, " ");
            if (length == size && memcmp(at, name, size) == 0) return &pre_tokenizers[i];
            at += length + (at[length] == ' ');
        }
    return NULL;
}

static tn_status read_pre_tokenizer(tn_spec *spec, const tn_gguf *gguf) {
    const char *name;
    size_t size;
    char quoted[TN_QUOTE_SIZE];
    if (!tn_gguf_find(gguf, "tokenizer.ggml.pre"))
        return tn_fail(spec->diag, TN_UNSUPPORTED,
                       "cannot use the tokenizer of %s: the file does not name its pre-tokenizer (tokenizer.ggml.pre)", tn_gguf_name(gguf));
    tn_status status = tn_gguf_get_string(gguf, "tokenizer.ggml.pre", spec->diag, &name, &size);
    if (status != TN_OK) return status;
    const pre_tokenizer *found = find_pre_tokenizer(name, size);
    if (!found)
        return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use the tokenizer of %s: the pre-tokenizer '%s' is not supported",
                       tn_gguf_name(gguf), tn_quote(name, size, quoted));
    if (found->ignore_merges) spec->model_flags |= TN_MODEL_IGNORE_MERGES;
    if (found->nfc) status = tn_spec_add_part(spec, &spec->normalizer, (tn_part){.kind = TN_PART_NFC});
    bool prefix_space = false;
    if (status == TN_OK) status = tn_gguf_get_bool_or(gguf, "tokenizer.ggml.add_space_prefix", false, spec->diag, &prefix_space);
    if (status == TN_OK && prefix_space) status = tn_spec_add_part(spec, &spec->pre_tokenizer, (tn_part){.kind = TN_PART_PREFIX_SPACE});
    for (size_t i = 0; status == TN_OK && i < sizeof found->patterns / sizeof *found->patterns && found->patterns[i]; i++)
        status = tn_spec_add_split(spec, found->patterns[i], TN_SPLIT_ISOLATED, false);
    return status == TN_OK ? tn_spec_add_byte_level(spec) : status;
}

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };

static tn_status read_tokens(tn_spec *spec, const tn_gguf *gguf) {
    const tn_gguf_value *tokens, *types = NULL;
    tn_status status = tn_gguf_get_array(gguf, "tokenizer.ggml.tokens", TN_GGUF_STRING, spec->diag, &tokens);
    if (status == TN_OK && tn_gguf_find(gguf, "tokenizer.ggml.token_type"))
        status = tn_gguf_get_array(gguf, "tokenizer.ggml.token_type", TN_GGUF_INT64, spec->diag, &types);
    if (status == TN_OK && types && types->count != tokens->count)
        status = tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: it has %llu tokens but %llu token types", tn_gguf_name(gguf),
                         (unsigned long long)tokens->count, (unsigned long long)types->count);
    for (uint64_t i = 0; status == TN_OK && i < tokens->count; i++) {
        tn_bytes piece;
        piece.data = tn_gguf_string(tokens, i, &piece.size);
        int64_t type = 0;
        if (types && !tn_gguf_integer(types, i, &type)) type = 0;
        if (!tn_utf8_is_valid(piece.data, piece.size))
            return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: token %llu is not UTF-8", tn_gguf_name(gguf),
                           (unsigned long long)i);
        status = tn_spec_set_token(spec, i, (size_t)tokens->count, piece, TN_TOKEN_MODEL);
        if (status != TN_OK || (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER_DEFINED)) continue;
        status = tn_spec_add_added(spec, (uint32_t)i, type == TYPE_USER_DEFINED ? 0 : TN_ADDED_SPECIAL);
    }
    return status;
}

static tn_status read_merges(tn_spec *spec, const tn_gguf *gguf) {
    const tn_gguf_value *merges;
    tn_status status = tn_gguf_get_array(gguf, "tokenizer.ggml.merges", TN_GGUF_STRING, spec->diag, &merges);
    for (uint64_t i = 0; status == TN_OK && i < merges->count; i++) {
        tn_bytes both;
        both.data = tn_gguf_string(merges, i, &both.size);
        const char *space = both.size > 1 ? memchr(both.data + 1, ' ', both.size - 1) : NULL;
        if (!space)
            return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: merge %llu is not two tokens with a space between",
                           tn_gguf_name(gguf), (unsigned long long)i);
        size_t left = (size_t)(space - both.data);
        status = tn_spec_add_merge(spec, (tn_bytes){both.data, left}, (tn_bytes){space + 1, both.size - left - 1});
    }
    return status;
}

static tn_status read_id(tn_spec *spec, const tn_gguf *gguf, const char *key, int32_t *out_id) {
    int64_t id;
    tn_status status = tn_gguf_get_integer_or(gguf, key, 0, (int64_t)spec->tokens.count - 1, -1, spec->diag, &id);
    *out_id = (int32_t)id;
    return status;
}

/* Converters name one end id; chat models end their answers with others too, known by their strings. */
static tn_status add_known_end_ids(tn_spec *spec) {
    static const char *const names[] = {"<|im_end|>",    "<|eot_id|>",    "<|eom_id|>",      "<|end|>",
                                        "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>"};
    tn_status status = TN_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == TN_OK; i++) {
        int32_t id = tn_spec_find(spec, tn_bytes_of(names[i]));
        if (id >= 0 && (spec->tokens.data[id].flags & TN_TOKEN_SPECIAL)) status = tn_spec_add_end_id(spec, id);
    }
    return status;
}

static tn_status read_special(tn_spec *spec, const tn_gguf *gguf) {
    int32_t eot_id = -1, eom_id = -1;
    bool add_bos = false, add_eos = false;
    tn_status status = read_id(spec, gguf, "tokenizer.ggml.bos_token_id", &spec->bos_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.eos_token_id", &spec->eos_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.padding_token_id", &spec->pad_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.eot_token_id", &eot_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.eom_token_id", &eom_id);
    if (status == TN_OK) status = tn_spec_add_end_id(spec, spec->eos_id);
    if (status == TN_OK) status = tn_spec_add_end_id(spec, eot_id);
    if (status == TN_OK) status = tn_spec_add_end_id(spec, eom_id);
    if (status == TN_OK) status = add_known_end_ids(spec);
    bool is_llama3 = (spec->model_flags & TN_MODEL_IGNORE_MERGES) != 0; /* whose files may leave the flag out */
    if (status == TN_OK) status = tn_gguf_get_bool_or(gguf, "tokenizer.ggml.add_bos_token", is_llama3, spec->diag, &add_bos);
    if (status == TN_OK) status = tn_gguf_get_bool_or(gguf, "tokenizer.ggml.add_eos_token", false, spec->diag, &add_eos);
    if (status == TN_OK && add_bos && spec->bos_id >= 0) status = tn_spec_add_id(spec, &spec->prefix, spec->bos_id);
    if (status == TN_OK && add_eos && spec->eos_id >= 0) status = tn_spec_add_id(spec, &spec->suffix, spec->eos_id);
    return status;
}

tn_status tn_spec_read_gguf(tn_spec *spec, const tn_gguf *gguf) {
    const char *model;
    size_t size;
    char quoted[TN_QUOTE_SIZE];
    if (!tn_gguf_find(gguf, "tokenizer.ggml.model"))
        return tn_fail(spec->diag, TN_NOT_FOUND, "cannot read a tokenizer from %s: the file has none", tn_gguf_name(gguf));
    tn_status status = tn_gguf_get_string(gguf, "tokenizer.ggml.model", spec->diag, &model, &size);
    if (status == TN_OK && (size != 4 || memcmp(model, "gpt2", 4) != 0))
        status = tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use the tokenizer of %s: the kind '%s' is not supported, only gpt2 is",
                         tn_gguf_name(gguf), tn_quote(model, size, quoted));
    if (status == TN_OK) status = read_pre_tokenizer(spec, gguf);
    if (status == TN_OK) status = read_tokens(spec, gguf);
    if (status == TN_OK) status = read_merges(spec, gguf);
    if (status == TN_OK) status = read_special(spec, gguf);
    if (status == TN_OK) status = tn_spec_add_part(spec, &spec->decoder, (tn_part){.kind = TN_PART_BYTE_LEVEL});
    if (status != TN_OK || !tn_gguf_find(gguf, "tokenizer.chat_template")) return status;
    tn_bytes text;
    status = tn_gguf_get_string(gguf, "tokenizer.chat_template", spec->diag, &text.data, &text.size);
    return status == TN_OK ? tn_spec_set_chat_template(spec, text) : status;
}
