/* SPDX-License-Identifier: Apache-2.0
 *
 * filters.h: the filters that filters.c lists and other files have.
 */
#ifndef TN_TOKENIZER_JINJA_FILTERS_H_
#define TN_TOKENIZER_JINJA_FILTERS_H_

#include "tokenizer/jinja/ast.h"

typedef bool tn_jinja_filter_fn(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out);

tn_jinja_filter_fn tn_jinja_filter_tojson;
/* numbers.c */
tn_jinja_filter_fn tn_jinja_filter_int, tn_jinja_filter_float, tn_jinja_filter_abs, tn_jinja_filter_round;
tn_jinja_filter_fn tn_jinja_filter_min, tn_jinja_filter_max, tn_jinja_filter_sum, tn_jinja_filter_sort;

/* The member that a filter's `attribute` names, "a" of each item; NULL or None: the item itself. */
bool tn_jinja_attribute_of(tn_jinja *j, const tn_jinja_value *item, const tn_jinja_value *attribute, tn_jinja_value *out);

#endif
