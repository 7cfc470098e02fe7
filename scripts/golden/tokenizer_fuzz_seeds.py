#!/usr/bin/env python3
"""Writes the seed corpora tests/fuzz/tokenizer_*_fuzz: small inputs that together reach each part of the parsers.

The compiled images are made by Tenon itself where TN_LIBRARY names its library (tenon_tokenizer.py); else they stay.
"""
import base64
import json
import os
import pathlib
import struct
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests" / "fuzz"


def write(target, name, data):
    folder = FUZZ / f"tokenizer_{target}_fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def token(id, content, **flags):
    return {"id": id, "content": content, **flags}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
VOCAB = {"<s>": 0, "a": 1, "b": 2, "c": 3, "Ġ": 4, "ab": 5, "abc": 6, "Ġa": 7, "1": 8, "<0x0A>": 9, "▁": 10, "Ã": 11, "©": 12}
MODEL = {"type": "BPE", "dropout": None, "unk_token": "<s>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": True,
         "vocab": VOCAB, "merges": ["a b", ["ab", "c"], "Ġ a"]}
SPECIAL = [token(0, "<s>", special=True), token(20, "<pad>", single_word=True, lstrip=True, rstrip=True, normalized=True)]
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}
SPLITS = ["(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
          "^\\w+$|\\W{,2}|\\bx\\B|[\\w\\d\\s\\h-z]|.", "(a)|(?:b)|(?=c)|(?<=d)|(?<!e)|(?>f)", "[[:alpha:][:digit:]]+?|\\x41\\x{42}\\u0043",
          "(?im:a.b)|\\p{Han}|\\P{Letter}|\\p{^L}|\\A\\z\\Z|\\S\\D\\H", "a{2,3}?b{4}c{,5}d{x"]

DOCUMENTS = {
    "byte_level": {"model": MODEL, "added_tokens": SPECIAL, "pre_tokenizer": BYTE_LEVEL, "decoder": {"type": "ByteLevel"}, "post_processor": TEMPLATE},
    "sentencepiece": {
        "model": MODEL, "added_tokens": SPECIAL,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                                           {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                                     {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}},
    "normalizers": {
        "model": MODEL, "added_tokens": SPECIAL,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": t} for t in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")]
                       + [{"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Strip", "strip_left": True, "strip_right": True}]}},
    "pre_tokenizers": {
        "model": MODEL,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Isolated"},
            {"type": "WhitespaceSplit"}, {"type": "Whitespace"}, split(" ", "Removed", kind="String"), split("b", "MergedWithPrevious"),
            split("b", "MergedWithNext"), split("b", "Contiguous", True), BYTE_LEVEL]},
        "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "RobertaProcessing", "sep": ["<s>", 0], "cls": ["<s>", 0]}]}},
}


def charsmap(rules):
    """Rules for single bytes: a double array whose root has its children at 256 ^ byte, and their values at 512 + 2 * byte."""
    units, strings = [0] * 2048, b"\0"
    units[0] = 256 << 10
    for byte, target in rules.items():
        node = 256 ^ byte
        leaf = 1024 + 2 * byte
        units[node] = byte | 1 << 8 | (node ^ leaf) << 10
        units[leaf] = 1 << 31 | len(strings)
        strings += target.encode() + b"\0"
    return struct.pack("<I", 4 * len(units)) + struct.pack("<2048I", *units) + strings


RULES = charsmap({ord("A"): "a", ord("c"): "b b", 9: " "})
UNIGRAM = {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": [["<s>", 0], ["a", -1], ["b", -2.5], ["ab", -3], ["▁", -1.5], ["▁a", -2],
                                                                            ["<0x31>", -9], ["é", -4]]}
PIECES = {"type": "WordPiece", "unk_token": "<s>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 5,
          "vocab": {"<s>": 0, "a": 1, "##b": 2, "##bc": 3, "1": 4, "é": 5}}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
DOCUMENTS |= {
    "unigram": {"model": UNIGRAM, "added_tokens": [SPECIAL[0]], "pre_tokenizer": METASPACE, "post_processor": TEMPLATE, "normalizer": {
        "type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(RULES).decode()}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, METASPACE, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]}},
    "word_piece": {"model": PIECES, "added_tokens": [SPECIAL[0]], "normalizer": {"type": "BertNormalizer", "clean_text": True, "strip_accents": None},
                   "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
                   "post_processor": {"type": "BertProcessing", "sep": ["<s>", 0], "cls": ["<s>", 0]}},
    "word_level": {"model": {"type": "WordLevel", "unk_token": "<s>", "vocab": VOCAB}, "normalizer": {"type": "StripAccents"},
                   "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "CharDelimiterSplit", "delimiter": "b"}, {"type": "FixedLength", "length": 2}]},
                   "decoder": {"type": "CTC", "pad_token": "<s>", "word_delimiter_token": "1", "cleanup": True}},
    "affixes": {"model": MODEL | {"merges": [], "continuing_subword_prefix": "Ã", "end_of_word_suffix": "c"}, "normalizer": {"type": "ByteLevel"},
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTE_LEVEL, {"type": "Digits"}]}, "decoder": {"type": "BPEDecoder", "suffix": "c"}},
}
for number, pattern in enumerate(SPLITS):
    DOCUMENTS[f"split{number}"] = {"model": MODEL, "pre_tokenizer": split(pattern)}

TEMPLATES = {
    "chatml": "{% for message in messages %}{{'[' + message['role'] + ']\n' + message.content + '\n'}}{% endfor %}{% if add_generation_prompt %}[a]{% endif %}",
    "control": "{%- set ns = namespace(n=0, s='') -%}{% for m in messages if m.role != 'user' %}{% set ns.n = ns.n + 1 %}{% if loop.first %}{% continue %}"
               "{% elif loop.last %}{% break %}{% else %}{{ loop.index0 }}{{ loop.previtem.role }}{{ loop.revindex }}{% endif %}{% else %}none{% endfor %}{{ ns.n }}",
    "macro": "{% macro f(a, b='z') %}({{ a }}{{ b }}){% endmacro %}{{ f(1) }}{{ f('q', b=2) }}{% set t %}x{{ f(3) }}{% endset %}{{ t | trim }}",
    "values": "{{ [1, -2.5, 'a', none, true, {'k': [1e3]}] }}{{ {'a': 1} | tojson(indent=2) }}{{ tools | tojson }}{{ \"it's\\n\\x41\\u00e9\" }}",
    "operators": "{{ 1 + 2 * 3 - 4 // 3 % 5 / 6 }}{{ 'a' ~ 1 }}{{ 1 if 2 > 1 else 3 }}{{ not true and false or 1 <= 2 }}{{ 'a' in 'abc' }}{{ 1 not in [2] }}{{ -3 }}{{ 'x' * 3 }}{{ [1] + [2] }}",
    "slices": "{{ messages[1:] | length }}{{ messages[::-1][0].role }}{{ 'abcd'[1:-1] }}{{ 'abc'[-1] }}{{ messages[0]['role'] }}",
    "filters": "{{ '  a ' | trim | upper | lower | capitalize | title }}{{ messages | map(attribute='role') | list | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | first }}"
               "{{ [3, 1, 3] | unique | reverse | last }}{{ x | default('d', true) }}{{ 'a\nb' | indent(2) }}{{ '12' | int }}{{ 7 | string }}{{ {'b': 1, 'a': 2} | dictsort }}{{ ['a'] | map('upper') | list }}"
               "{{ messages | rejectattr('tool_calls') | list | count }}{{ [0, 1] | select | list }}{{ [0, 1] | reject('odd') | list }}{{ {'a': 1} | items | list }}{{ 'aXb' | replace('X', '-') }}",
    "tests": "{{ x is defined }}{{ x is undefined }}{{ none is none }}{{ 'a' is string }}{{ 1 is number }}{{ 1.0 is float }}{{ {} is mapping }}{{ [] is iterable }}{{ [] is sequence }}{{ 4 is even }}"
             "{{ 3 is odd }}{{ 9 is divisibleby 3 }}{{ 1 is eq 1 }}{{ 1 is not ne(2) }}{{ true is true }}{{ true is boolean }}{{ 1 is integer }}{{ 1 is lt 2 }}{{ 'a' is in ['a'] }}{{ range is callable }}",
    "methods": "{{ ' a '.strip() }}{{ 'a,b'.split(',') }}{{ 'a b'.split() }}{{ 'ab'.startswith('a') }}{{ 'ab'.endswith(('b', 'c')) }}{{ 'aab'.count('a') }}{{ 'ab'.find('b') }}{{ ','.join(['a']) }}"
               "{{ {'a': 1}.get('b', 2) }}{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ {'a': 1}.keys() }}{{ {'a': 1}.values() }}{{ 'x'.replace('x', 'y', 1) }}{{ 'a'.isdigit() }}{{ 'xay'.lstrip('x').rstrip('y') }}",
    "blanks": "  {%- if true +%}\n  a\n  {%+ endif -%}  \n{# note -#}  {{- 1 -}}  {% raw %}{{ x }}{% endraw %}\r\n{% generation %}g{% endgeneration %}",
    "errors": "{{ raise_exception('no') }}",
    "time": "{{ strftime_now('%d %b %Y') }}",
    "dict": "{{ dict(a=1) == {'a': 1} }}{{ [1, [2]] == [1, [2]] }}{{ 1.5 < 2 }}{{ 'a' < 'b' }}{{ range(3, 0, -1) | list }}",
}

TEXTS = ["Hello world", " don't I'LL 1234567 <0><16>\n\n\r\n  <21> <31>x", "naïve é e\u0301 ſ İ 你好 🙂\u200d", "aaaaaaaaaaaaaaaaaaaabcabc the", "\u3000\u00a0\u2028 \t"]



def protobuf(*fields):
    """(number, int), (number, float) or (number, bytes), in their order; numbers up to 127 bits of a varint."""
    def varint(value):
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def sentencepiece(model_type, trainer=(), normalizer=()):
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("ab", -1.0, 1), ("a", -2.0, 1), ("b", -3.0, 1), ("▁", -1.5, 1), ("▁a", -2.5, 1), ("<0x31>", 0.0, 6),
              ("x y", 0.0, 4), ("zz", -4.0, 5), ("é", -5.0, 1)]
    return protobuf(*((1, protobuf((1, text.encode()), (2, score), (3, kind))) for text, score, kind in pieces),
                    (2, protobuf((3, model_type), *trainer)), (3, protobuf(*normalizer)))


def gguf(values):
    """A file without tensors; values are strings, ints (uint32), bools, bytes, or lists of one kind."""
    def string(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def scalar(value):
        if isinstance(value, bool):
            return 7, bytes([value])
        if isinstance(value, int):
            return 4, struct.pack("<I", value)
        if isinstance(value, float):
            return 6, struct.pack("<f", value)
        return 8, string(value)

    out = b"GGUF" + struct.pack("<IQQ", 3, 0, len(values))
    for key, value in values.items():
        if isinstance(value, bytes):
            out += string(key) + struct.pack("<IIQ", 9, 0, len(value)) + value
        elif isinstance(value, list):
            items = [scalar(item) for item in value]
            out += string(key) + struct.pack("<IIQ", 9, items[0][0] if items else 8, len(items)) + b"".join(item[1] for item in items)
        else:
            out += string(key) + struct.pack("<I", scalar(value)[0]) + scalar(value)[1]
    return out + bytes(-len(out) % 32)


TOKENS = ["<unk>", "<s>", "</s>", "a", "b", "ab", "Ġ", "▁", "▁a", "\n", "<0x31>", "c"]
TYPES = [2, 3, 3, 1, 1, 1, 1, 4, 1, 1, 6, 5]
COMMON = {"tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.token_type": TYPES, "tokenizer.ggml.scores": [-float(i) for i in range(len(TOKENS))]}
GGUF = {
    "gpt2": {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.add_eos_token": True,
             "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.add_space_prefix": True, "tokenizer.chat_template": "x"},
    "qwen2": {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.merges": []},
    "gemma4": {"tokenizer.ggml.model": "gemma4", "tokenizer.ggml.merges": ["a b"]},
    "whitespace": {"tokenizer.ggml.model": "whitespace", "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.normalizer.lowercase": True},
    "llama": {"tokenizer.ggml.model": "llama", "tokenizer.ggml.add_space_prefix": True},
    "t5": {"tokenizer.ggml.model": "t5", "tokenizer.ggml.remove_extra_whitespaces": True, "tokenizer.ggml.add_space_prefix": True,
           "tokenizer.ggml.precompiled_charsmap": RULES},
    "bert": {"tokenizer.ggml.model": "bert", "tokenizer.ggml.cls_token_id": 1, "tokenizer.ggml.seperator_token_id": 2},
}

for name, document in DOCUMENTS.items():
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    write("load_json", name, text)
    if "TN_LIBRARY" in os.environ:
        from tenon_tokenizer import Tokenizer
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "tokenizer.json").write_text(text)
            Tokenizer(folder + "/tokenizer.json").save(folder + "/image")
            write("image", name, pathlib.Path(folder, "image").read_bytes())
for name, values in GGUF.items():
    write("load_gguf", name, gguf(COMMON | values))
write("load_sentencepiece", "unigram", sentencepiece(1, [(35, 1)], [(2, RULES)]))
write("load_sentencepiece", "bpe", sentencepiece(2, [(24, 1), (35, 1), (44, b"?")], [(3, 1), (4, 0), (5, 0)]))
write("load_sentencepiece", "word", sentencepiece(3))
for name, text in TEMPLATES.items():
    write("chat", name, text)
for number, text in enumerate(TEXTS):
    for options in range(8):
        write("encode", f"text{number}_{options}", bytes([options]) + text.encode())
write("encode", "bytes", b"\x00\xff\xc3\x28\xe4\xb8 \xf0\x9f\x99\xed\xa0\x80")
