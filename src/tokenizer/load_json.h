/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json.h: what the files that read tokenizer.json share.
 */
#ifndef TN_TOKENIZER_LOAD_JSON_H_
#define TN_TOKENIZER_LOAD_JSON_H_

#include "format/json.h"
#include "tokenizer/spec.h"

/* TN_UNSUPPORTED, naming the member, if object has one that `known` (names between spaces) lacks. */
TN_MUST_CHECK tn_status tn_spec_check_members(tn_spec *spec, const tn_json_value *object, const char *known);

/* There, and not null. */
bool tn_json_is_present(const tn_json_value *value);

typedef tn_status (*tn_machine_fn)(tn_spec *spec, const tn_json_value *value, const char *type);
/* Reads a machine, or nothing; a Sequence is the members of its `list` in order. */
TN_MUST_CHECK tn_status tn_spec_read_machine(tn_spec *spec, const tn_json_value *value, const char *list, tn_machine_fn read);
/* TN_UNSUPPORTED: "the `what` 'type' is not supported". */
TN_MUST_CHECK tn_status tn_spec_refuse(tn_spec *spec, const char *what, const char *type);
/* {"pattern": {"String": "…"}} or {"pattern": {"Regex": "…"}}; and with "content" beside it: a replacement. */
TN_MUST_CHECK tn_status tn_spec_read_pattern(tn_spec *spec, const tn_json_value *value, tn_part *part);
TN_MUST_CHECK tn_status tn_spec_read_replace(tn_spec *spec, const tn_json_value *value, tn_part *part);
/* The character of a Metaspace, and whether and where it stands before a text: "always", "first", "never". */
TN_MUST_CHECK tn_status tn_spec_read_metaspace(tn_spec *spec, const tn_json_value *value, tn_bytes *out_character, const char **out_scheme);

/* Each reads one member of tokenizer.json, which may be NULL or null, into the spec. */
TN_MUST_CHECK tn_status tn_spec_read_model(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_normalizer(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_pre_tokenizer(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_post_processor(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_decoder(tn_spec *spec, const tn_json_value *value);

/* Pre-tokenizer parts that loaders share. */
TN_MUST_CHECK tn_status tn_spec_add_split(tn_spec *spec, const char *pattern, tn_split_behavior behavior, bool invert);
TN_MUST_CHECK tn_status tn_spec_add_script_splits(tn_spec *spec); /* UnicodeScripts */
extern const char tn_gpt2_pattern[];
extern const char tn_punctuation_pattern[]; /* one character: Unicode's, and what ASCII adds */

#endif
