#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""follow_page.py ROOT OUT: does what docs/adding-a-model.md says, in the folder OUT: the family's file, the table with its line, and a
checkpoint with the page's config.json and the weights of a golden Llama under the page's names."""
import json
import pathlib
import re
import struct
import sys

GOLDEN = "tests/golden/models/llama-gqa"
NAMES = {  # Llama's: the page's
    "model.embed_tokens": "tokens", "model.norm": "last_norm", "lm_head": "output", "model.layers.": "blocks.",
    ".input_layernorm": ".norm1", ".post_attention_layernorm": ".norm2", ".self_attn.q_proj": ".attention.query",
    ".self_attn.k_proj": ".attention.key", ".self_attn.v_proj": ".attention.value", ".self_attn.o_proj": ".attention.output",
    ".mlp.gate_proj": ".mlp.gate", ".mlp.up_proj": ".mlp.up", ".mlp.down_proj": ".mlp.down",
}


def block(page, language, number=0):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[number]


def rename(name):
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def write_weights(golden, path):
    data = golden.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    text = json.dumps({rename(name): entry for name, entry in header.items()}).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])


def main():
    root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    page = (root / "docs/adding-a-model.md").read_text()
    declaration, entry = block(page, "text").splitlines()
    (out / "model").mkdir(parents=True, exist_ok=True)
    (out / "example.c").write_text(block(page, "c"))
    table = (root / "src/model/family.c").read_text()
    table, count = re.subn(r'(#include "model/family.h"\n)', rf"\1{declaration}\n", table, count=1)
    table, entries = re.subn(r"(\*const families\[\] = \{)", rf"\1 {entry}", table)
    if count != 1 or entries != 1:
        sys.exit("follow_page.py: src/model/family.c has no longer the form that docs/adding-a-model.md speaks of")
    (out / "family.c").write_text(table)
    (out / "model/config.json").write_text(block(page, "json"))
    write_weights(root / GOLDEN / "model.safetensors", out / "model/model.safetensors")


main()
