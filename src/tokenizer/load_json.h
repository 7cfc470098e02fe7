/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json.h: what the two files that read tokenizer.json share.
 */
#ifndef TN_TOKENIZER_LOAD_JSON_H_
#define TN_TOKENIZER_LOAD_JSON_H_

#include "format/json.h"
#include "tokenizer/spec.h"

/* TN_UNSUPPORTED, naming the member, if object has one that `known` (names between spaces) lacks. */
TN_MUST_CHECK tn_status tn_spec_check_members(tn_spec *spec, const tn_json_value *object, const char *known);

/* Each reads one member of tokenizer.json, which may be NULL or null, into the spec. */
TN_MUST_CHECK tn_status tn_spec_read_normalizer(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_pre_tokenizer(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_post_processor(tn_spec *spec, const tn_json_value *value);
TN_MUST_CHECK tn_status tn_spec_read_decoder(tn_spec *spec, const tn_json_value *value);

/* Pre-tokenizer parts that loaders share. */
TN_MUST_CHECK tn_status tn_spec_add_split(tn_spec *spec, const char *pattern, tn_split_behavior behavior, bool invert);
TN_MUST_CHECK tn_status tn_spec_add_byte_level(tn_spec *spec);
extern const char tn_gpt2_pattern[];

#endif
