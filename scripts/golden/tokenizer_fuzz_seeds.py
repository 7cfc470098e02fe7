#!/usr/bin/env python3
"""Writes the seed corpora tests/fuzz/tokenizer_*_fuzz: small inputs that together reach each part of the parsers.

The compiled images are made by the tokenizer itself: pass a program that reads tokenizer.json and writes its compiled form
(a few lines around tn_tokenizer_get_compiled) to make them again; without one they stay.
"""
import json
import pathlib
import subprocess
import sys

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

for name, document in DOCUMENTS.items():
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    write("load_json", name, text)
    if len(sys.argv) > 1:
        write("image", name, subprocess.run([sys.argv[1]], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout)
for name, text in TEMPLATES.items():
    write("chat", name, text)
for number, text in enumerate(TEXTS):
    for options in range(8):
        write("encode", f"text{number}_{options}", bytes([options]) + text.encode())
write("encode", "bytes", b"\x00\xff\xc3\x28\xe4\xb8 \xf0\x9f\x99\xed\xa0\x80")
