#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""byte_tokenizer.py: writes tests/golden/tokenizers/bytes320: a byte-level BPE of 320 tokens, as many as the golden models have: 5 special
ones, the 256 bytes, 59 merges of frequent English pairs; with a ChatML template that knows tools. Text of any kind can be said with it.

    python3 scripts/golden/byte_tokenizer.py
"""
import json
import pathlib

out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tokenizers/bytes320"
special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]

# GPT-2's letters for bytes: printable ones stand for themselves, the others follow from U+0100 on
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters, extra = {}, 0
for byte in range(256):
    letters[byte] = chr(byte) if byte in printable else chr(256 + extra)
    extra += byte not in printable
space = letters[32]

pairs = ("t h|th e|h e|i n|e r|a n|r e|o n|a t|e n|n d|t i|e s|o r|t e|o f|e d|i s|i t|a l|a r|s t|t o|n t|o u|"
         "_ t|_ a|_ s|_ w|_ o|_ the|in g|_ to|_ of|_ an|_ and|_ in|_ h|_ b|_ c|_ m|_ f|_ d|_ p|a s|l e|s e|h a|v e|"
         "c o|m e|d e|h i|r i|r o|i c|n e|e a|r a|io n").split("|")
merges = [[left.replace("_", space), right.replace("_", space)] for left, right in (pair.split(" ") for pair in pairs)]
vocab = {name: i for i, name in enumerate(special)}
for byte in range(256):
    vocab[letters[byte]] = len(vocab)
kept = []
for left, right in merges:
    if left in vocab and right in vocab and left + right not in vocab:
        vocab[left + right] = len(vocab)
        kept.append([left, right])
for number in range(320 - len(vocab)):  # whatever merges left free
    vocab[letters[48 + number % 10] + letters[48 + number // 10] + letters[48]] = len(vocab)
assert len(vocab) == 320

level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
         for i, name in enumerate(special)]
tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": level,
             "post_processor": None, "decoder": {**level, "add_prefix_space": True},
             "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                       "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": kept}}
template = ("{% if tools %}<|im_start|>system\n<tools>{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>\n"
            "Call them as <tool_call>{\"name\", \"arguments\"}</tool_call><|im_end|>\n{% endif %}"
            "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": template, "tokenizer_class": "PreTrainedTokenizerFast"}
out.mkdir(parents=True, exist_ok=True)
(out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=None) + "\n", encoding="utf-8")
(out / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
