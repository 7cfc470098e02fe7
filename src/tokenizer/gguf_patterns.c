/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_patterns.c: what the names of pre-tokenizers in GGUF files stand for. GGUF names a pre-tokenizer instead of describing
 * it. Where the name's own model is known to cut by another pattern than the format's reference reader approximates, the
 * model's own stands here. A name that is not here is refused: a wrong guess gives tokens that are nearly right.
 */
#include "tokenizer/gguf_patterns.h"

#include <string.h>

#define CONTRACTIONS        "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES              "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3_WITH(digits) CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES
#define LLAMA3              LLAMA3_WITH("\\p{N}{1,3}")
#define QWEN2               LLAMA3_WITH("\\p{N}")
#define GPT2                "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Words that are upper case first, then lower case; `end` may follow them. */
#define UPPER      "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER      "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end) "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" end
#define GPT4O      CASED(CONTRACTIONS "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES

/* The same without Han, which is cut first. */
#define NO_HAN "(?!\\p{Han})"
#define KIMI_CASED(end)                                                                                                                   \
    "[^\\r\\n\\p{L}\\p{N}]?(?:" NO_HAN UPPER ")*(?:" NO_HAN LOWER ")+" end "|[^\\r\\n\\p{L}\\p{N}]?(?:" NO_HAN UPPER ")+(?:" NO_HAN LOWER \
    ")*" end
#define KIMI "\\p{Han}+|" KIMI_CASED(CONTRACTIONS "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES

#define ASCII_MARKS   "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define DEEPSEEK3     ASCII_MARKS "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES
#define DEEPSEEK3_CJK "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+"
#define DEEPSEEK_CJK  "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+"
#define DEEPSEEK_LETTERS                                                                                                     \
    "\\s?["                                                                                                                  \
    "A-Za-z\\u00B5\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u01BA\\u01BC-\\u01BF\\u01C4-\\u0293\\u0295-\\u02AF\\u0370-\\u0373" \
    "\\u0376\\u0377\\u037B-\\u037D\\u037F\\u0386\\u0388-\\u038A\\u038C\\u038E-\\u03A1\\u03A3-\\u03F5\\u03F7-\\u0481\\u048A-" \
    "\\u052F\\u0531-\\u0556\\u10A0-\\u10C5\\u13A0-\\u13F5\\u13F8-\\u13FD\\u1C90-\\u1CBA\\u1CBD-\\u1CBF\\u1D00-\\u1D2B"       \
    "\\u1D6B-\\u1D77\\u1D79-\\u1D9A\\u1E00-\\u1F15\\u1F18-\\u1F1D\\u1F20-\\u1F45\\u1F48-\\u1F4D\\u1F50-\\u1F57\\u1F59"       \
    "\\u1F5B\\u1F5D\\u1F5F-\\u1F7D\\u1F80-\\u1FB4\\u1FB6-\\u1FBC\\u1FBE\\u1FC2-\\u1FC4\\u1FC6-\\u1FCC\\u1FD0-\\u1FD3\\u1FD6" \
    "-\\u1FDB\\u1FE0-\\u1FEC\\u1FF2-\\u1FF4\\u1FF6-\\u1FFC\\u2102\\u2107\\u210A-\\u2113\\u2115\\u2119-\\u211D\\u2124\\u2126" \
    "\\u2128\\u212A-\\u212D\\u212F-\\u2134\\u2139\\u213C-\\u213F\\u2145-\\u2149\\u214E\\u2183\\u2184\\u2C00-\\u2C7B\\u2C7E-" \
    "\\u2CE4\\u2CEB-\\u2CEE\\u2CF2\\u2CF3\\uA640-\\uA66D\\uA680-\\uA69B\\uA722-\\uA76F\\uA771-\\uA787\\uA78B-\\uA78E\\uAB70" \
    "-\\uABBF\\uFB00-\\uFB06\\uFB13-\\uFB17\\uFF21-\\uFF3A\\uFF41-\\uFF5A\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"         \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"              \
    "]+"
#define BLOOM " ?[^(\\s|.,!?\\u2026\\u3002\\uFF0C\\u3001\\u0964\\u06D4\\u060C)]+"
#define AFMOE_SCRIPTS                                                                                                           \
    "[\\u4E00-\\u9FFF\\u3400-\\u4DBF\\uF900-\\uFAFF\\u3040-\\u309F\\u30A0-\\u30FF\\uFF65-\\uFF9F\\u2F00-\\u2FDF\\u0E00-\\u0E7F" \
    "\\u0E80-\\u0EFF\\u1780-\\u17FF\\u1000-\\u109F\\uAA60-\\uAA7F\\uA9E0-\\uA9FF\\uAC00-\\uD7AF\\u1100-\\u11FF]+"

static const tn_gguf_pattern patterns[] = {
    {"gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en jina-v2-code roberta-bpe mpt olmo "
     "jais trillion granite-docling exaone4",
     {GPT2},
     0},
    {"default", {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, 0},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", {"\\p{N}", GPT2}, 0},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", {LLAMA3}, TN_GGUF_IGNORE_MERGES | TN_GGUF_ADD_BOS},
    {"glm4 glm5", {LLAMA3}, TN_GGUF_IGNORE_MERGES},
    {"dbrx smaug-bpe chatglm-bpe", {LLAMA3}, 0},
    {"qwen2", {QWEN2}, TN_GGUF_NFC},
    {"deepseek-r1-qwen stablelm2 kormo f2llmv2 megrez hunyuan solar-open grok-2", {QWEN2}, 0},
    {"qwen35", {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES}, 0},
    {"minicpm5", {"\\p{N}{1,3}", LLAMA3_WITH("\\p{N}+")}, TN_GGUF_IGNORE_MERGES},
    {"jais-2",
     {CONTRACTIONS
      "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|"
      "\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"},
     0},
    {"deepseek-llm",
     {"[\\r\\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3000-\\u3002]+", "\\s+$", DEEPSEEK_CJK,
      "\\p{N}+"},
     0},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "\\p{N}"}, 0},
    {"deepseek-v3 hunyuan-dense hy_v4 joyai-llm", {"\\p{N}{1,3}", DEEPSEEK3_CJK, DEEPSEEK3}, 0},
    {"spark2_5",
     {"\\p{N}{1,3}", DEEPSEEK3_CJK,
      ASCII_MARKS "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}"},
     0},
    {"youtu",
     {"[\\uAC00-\\uD7A3\\u3131-\\u318E]+|[\\uFF01\\u2026\\u201C\\u201D\\u2018\\u2019\\u2014\\uFF1A\\uFF1B\\uFF0C\\u3001-\\u303F\\uFE30-"
      "\\uFE4F]+|"
      "[\\u3105-\\u312F]+|" DEEPSEEK3_CJK,
      CASED(CONTRACTIONS "?") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES},
     TN_GGUF_IGNORE_MERGES},
    {"falcon", {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}, 0},
    {"poro-chat bloom gpt3-finnish", {BLOOM}, 0},
    {"viking", {BLOOM, "\\p{N}"}, 0},
    {"tekken", {CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES}, TN_GGUF_IGNORE_MERGES | TN_GGUF_ADD_BOS},
    {"chameleon",
     {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2},
     TN_GGUF_ADD_BOS},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {GPT4O}, 0},
    {"granite-embed-multi-97m", {GPT4O}, TN_GGUF_IGNORE_MERGES},
    {"tiny_aya cohere2moe", {"\\d{1,3}(?=(?:\\d{3})*\\b)", GPT4O}, 0},
    {"kimi-k2", {KIMI}, 0},
    {"superbpe", {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}, 0},
    {"bailingmoe bailingmoe2 llada-moe",
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
     0},
    {"seed-coder", {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES}, 0},
    {"ufakzeka", {"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES}, 0},
    {"afmoe", {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))", AFMOE_SCRIPTS, DEEPSEEK3}, 0},
    {"laguna", {"[^\\n]+|[\\n]+", QWEN2}, 0},
    {"exaone-moe",
     {CONTRACTIONS
      "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
     0},
    {"gemma4 granite-embed-multi-311m", {"[^\\n]+|[\\n]+"}, TN_GGUF_RAW | TN_GGUF_ESCAPE_SPACES | TN_GGUF_WHOLE_LINE_FEEDS},
    {"sarvam-moe", {"[^\\n]+|[\\n]+"}, TN_GGUF_RAW | TN_GGUF_ESCAPE_SPACES},
    {"whitespace", {"\\s"}, TN_GGUF_RAW | TN_GGUF_REMOVED},
};

const tn_gguf_pattern *tn_gguf_find_pattern(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        for (const char *at = patterns[i].names; *at;) {
            size_t length = strcspn(at, " ");
            if (length == size && memcmp(at, name, size) == 0) return &patterns[i];
            at += length + (at[length] == ' ');
        }
    return NULL;
}
