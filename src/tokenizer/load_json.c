/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json.c: tokenizer.json → spec: the document and its added tokens. The model is read by load_json_model.c, the machines by
 * load_json_parts.c and load_json_decoder.c.
 */
#include "tokenizer/load_json.h"

#include <string.h>

#include "format/quote.h"
#include "tokenizer/tokenizer_internal.h"

bool tn_json_is_present(const tn_json_value *value) {
    return value && tn_json_kind_of(value) != TN_JSON_NULL;
}

tn_status tn_spec_check_members(tn_spec *spec, const tn_json_value *object, const char *known) {
    for (size_t i = 0; i < tn_json_count(object); i++) {
        size_t size;
        const tn_json_value *member = tn_json_at(object, i);
        const char *key = tn_json_key(member, &size);
        bool found = false;
        for (const char *at = known; (at = strstr(at, key)) != NULL && size > 0; at++)
            if ((at == known || at[-1] == ' ') && (at[size] == ' ' || at[size] == 0)) {
                found = true;
                break;
            }
        if (!found) return tn_json_fail(member, spec->diag, TN_UNSUPPORTED, "is not known, so its effect on the tokens is not either");
    }
    return TN_OK;
}

/* ---- added tokens ---- */

static tn_status read_added_flags(tn_spec *spec, const tn_json_value *value, uint32_t *out_flags) {
    static const struct {
        const char *key;
        uint32_t flag;
    } flags[] = {{"single_word", TN_ADDED_SINGLE_WORD},
                 {"lstrip", TN_ADDED_LSTRIP},
                 {"rstrip", TN_ADDED_RSTRIP},
                 {"normalized", TN_ADDED_NORMALIZED},
                 {"special", TN_ADDED_SPECIAL}};
    *out_flags = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool is_set;
        tn_status status = tn_json_get_bool_or(value, flags[i].key, false, spec->diag, &is_set);
        if (status != TN_OK) return status;
        if (is_set) *out_flags |= flags[i].flag;
    }
    return TN_OK;
}

static tn_status read_added_token(tn_spec *spec, const tn_json_value *value) {
    int64_t id;
    tn_bytes content;
    uint32_t flags;
    tn_status status = tn_spec_check_members(spec, value, "id content single_word lstrip rstrip normalized special");
    if (status == TN_OK) status = tn_json_get_integer(value, "id", 0, TN_MAX_TOKENS - 1, spec->diag, &id);
    if (status == TN_OK) status = tn_json_get_string(value, "content", spec->diag, &content.data, &content.size);
    if (status == TN_OK) status = read_added_flags(spec, value, &flags);
    if (status != TN_OK) return status;
    int32_t known = tn_spec_find(spec, content);
    if (known >= 0 && known != id)
        return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "has id %lld, the vocabulary gives it %d", (long long)id, known);
    if (known < 0 && (status = tn_spec_set_token(spec, (uint64_t)id, spec->num_pieces, content, 0)) != TN_OK) return status;
    return tn_spec_add_added(spec, (uint32_t)id, flags);
}

static tn_status read_added_tokens(tn_spec *spec, const tn_json_value *root) {
    const tn_json_value *added = tn_json_find(root, "added_tokens");
    if (!tn_json_is_present(added)) return TN_OK;
    tn_status status = tn_json_expect(added, TN_JSON_ARRAY, spec->diag);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(added); i++) status = read_added_token(spec, tn_json_at(added, i));
    return status;
}

tn_status tn_spec_read_json(tn_spec *spec, const char *name, const char *text, size_t size_bytes) {
    static const tn_json_limits limits = {.max_bytes = (size_t)256 << 20, .max_values = 8000000};
    tn_json *json = NULL;
    const tn_json_value *model = NULL;
    tn_status status = tn_json_parse(name, text, size_bytes, &limits, spec->allocator, spec->diag, &json);
    if (status != TN_OK) return status;
    const tn_json_value *root = tn_json_root(json);
    status = tn_json_get_object(root, "model", spec->diag, &model);
    if (status == TN_OK)
        status = tn_spec_check_members(spec, root,
                                       "version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder model");
    if (status == TN_OK) status = tn_spec_read_model(spec, model);
    if (status == TN_OK) status = read_added_tokens(spec, root);
    if (status == TN_OK) status = tn_spec_read_normalizer(spec, tn_json_find(root, "normalizer"));
    if (status == TN_OK) status = tn_spec_read_pre_tokenizer(spec, tn_json_find(root, "pre_tokenizer"));
    if (status == TN_OK) status = tn_spec_read_post_processor(spec, tn_json_find(root, "post_processor"));
    if (status == TN_OK) status = tn_spec_read_decoder(spec, tn_json_find(root, "decoder"));
    tn_json_destroy(json);
    return status;
}
