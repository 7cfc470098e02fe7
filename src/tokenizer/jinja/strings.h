/* SPDX-License-Identifier: Apache-2.0
 *
 * strings.h: string operations that filters and methods share. Marks stay with their bytes.
 */
#ifndef TN_TOKENIZER_JINJA_STRINGS_H_
#define TN_TOKENIZER_JINJA_STRINGS_H_

#include "tokenizer/jinja/ast.h"

typedef enum tn_jinja_case {
    TN_CASE_UPPER,
    TN_CASE_LOWER,
    TN_CASE_CAPITALIZE,
    TN_CASE_TITLE, /* Python's: behind all but letters */
    TN_CASE_WORDS, /* Jinja's filter title: behind white space and some brackets */
} tn_jinja_case;
bool tn_jinja_change_case(tn_jinja *j, tn_jinja_string text, tn_jinja_case to, tn_jinja_value *out);

/* Python's isupper() and islower(): letters are there, all of that case. */
bool tn_jinja_has_case(tn_jinja_string text, bool upper);

/* Without the characters of set (NULL: white space) at its ends. */
tn_jinja_string tn_jinja_strip(tn_jinja_string text, const tn_jinja_string *set, bool left, bool right);

/* Arguments: old, new, and how often at most. */
bool tn_jinja_replace(tn_jinja *j, tn_jinja_string text, const tn_jinja_arguments *arguments, tn_jinja_value *out);

/* A list of (key, value) tuples. */
bool tn_jinja_pairs(tn_jinja *j, const tn_jinja_dict *dict, tn_jinja_value *out);

#endif
