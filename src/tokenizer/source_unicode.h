/* SPDX-License-Identifier: Apache-2.0
 *
 * source_unicode.h: what the source library's normalizers take for accents, marks and controls. Its tables are of older versions
 * of Unicode than ours, and its tokens depend on them, so what came later is left out here. `category` is the code point's own.
 */
#ifndef TN_TOKENIZER_SOURCE_UNICODE_H_
#define TN_TOKENIZER_SOURCE_UNICODE_H_

#include <stdbool.h>
#include <stdint.h>
#include <utf8proc.h>

bool tn_source_is_accent(utf8proc_category_t category, uint32_t c);  /* BERT strips it */
bool tn_source_is_mark(utf8proc_category_t category, uint32_t c);    /* StripAccents strips it */
bool tn_source_is_control(utf8proc_category_t category, uint32_t c); /* BERT's cleaning drops it */

#endif
