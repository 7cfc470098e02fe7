/* SPDX-License-Identifier: Apache-2.0
 *
 * unicode_scripts.c: the pre-tokenizer UnicodeScripts as a pattern: one alternative for each script, of its characters and of
 * spaces and unassigned ones, which belong to the script before them. Kana and Han are one script. What stands before the
 * first character with a script is dropped, as in the source library.
 */
#include "tokenizer/load_json.h"

/* Those of Unicode 9, which the source library knows, but for Common, Han and kana. */
static const char scripts[] =
    "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo "
    "Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Coptic Cuneiform "
    "Cypriot Cyrillic Deseret Devanagari Duployan Egyptian_Hieroglyphs Elbasan Ethiopic Georgian Glagolitic Gothic Grantha "
    "Greek Gujarati Gurmukhi Hangul Hanunoo Hatran Hebrew Imperial_Aramaic Inherited Inscriptional_Pahlavi "
    "Inscriptional_Parthian Javanese Kaithi Kannada Kayah_Li Kharoshthi Khmer Khojki Khudawadi Lao Latin Lepcha Limbu "
    "Linear_A Linear_B Lisu Lycian Lydian Mahajani Malayalam Mandaic Manichaean Marchen Meetei_Mayek Mende_Kikakui "
    "Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean New_Tai_Lue Newa Nko Ogham "
    "Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_South_Arabian Old_Turkic Oriya Osage "
    "Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra "
    "Sharada Shavian Siddham SignWriting Sinhala Sora_Sompeng Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le "
    "Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Ugaritic Vai Warang_Citi Yi";

tn_status tn_spec_add_script_splits(tn_spec *spec) {
    tn_text pattern = {.allocator = spec->allocator};
    tn_text_append_string(&pattern, "[\\p{Han}\\p{Hiragana}\\p{Katakana}\\u30FC][\\p{Han}\\p{Hiragana}\\p{Katakana}\\u30FC \\p{Unknown}]*|"
                                    "(?![ \\u30FC])\\p{Common}(?:(?!\\u30FC)[\\p{Common}\\p{Unknown}])*");
    for (const char *at = scripts; *at;) {
        int size = (int)strcspn(at, " ");
        tn_text_append_format(&pattern, "|\\p{%.*s}[\\p{%.*s} \\p{Unknown}]*", size, at, size, at);
        at += size + (at[size] == ' ');
    }
    tn_status status = pattern.failed ? tn_fail_memory(spec->diag, "a pattern", pattern.size)
                                      : tn_spec_add_split(spec, pattern.data, TN_SPLIT_REMOVED, true);
    tn_text_deinit(&pattern);
    return status;
}
