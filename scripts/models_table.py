#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""models_table.py [--write] [NAMES …]: holds the tables of docs/models.md, family × encoding × backend. NAMES are files of what ran
(scripts/run_tests.py writes them where TN_TEST_NAMES says): rows come from the families' sources and the golden checkpoints, cells of a
backend from its tests. Cells of a backend that did not run stay as they are, so a GPU machine's file may be given later. Without NAMES
only rows are compared. --write puts the tables into the page, else a difference fails."""
import json
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/models.md"
BACKENDS = ["ref", "cpu", "cuda"]
TITLE = "_gives_hugging_faces_logits_and_tokens"


def architectures():
    """{Hugging Face's name: family's file}, {GGUF's name: …}"""
    found = {"hf": {}, "gguf": {}}
    for path in sorted((ROOT / "src/model/families").glob("*.c")):
        for kind, names in re.findall(r"(hf|gguf)_\w*architectures\[\]\s*=\s*\{([^}]*)\}", path.read_text()):
            found[kind].update({name: path.stem for name in re.findall(r'"([^"]+)"', names)})
    return found["hf"], found["gguf"]


def encoding_of(folder, config):
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method:
        return method
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    return "/".join(sorted({names.get(entry["dtype"], entry["dtype"]) for name, entry in header.items() if name != "__metadata__"}))


def goldens():
    """{(architecture, encoding): [golden]} of those that the golden tests name."""
    listed = re.search(r"golden_names\[\] = \{(.*?)\};", (ROOT / "tests/e2e/golden.h").read_text(), re.DOTALL).group(1)
    rows = {}
    for name in re.findall(r'"([^"]+)"', listed):
        folder = ROOT / "tests/golden/models" / name
        config = json.loads((folder / "config.json").read_text())
        rows.setdefault((config["architectures"][0], encoding_of(folder, config)), []).append(name)
    return rows


def what_ran(files):
    """({(golden, backend)}, {(kind, encoding, backend)}, {backend of the first}, {backend of the second})"""
    models, weights = set(), set()
    for file in files:
        for line in open(file):
            name, result, program, *_ = [*line.rstrip("\n").split("\t"), "", ""]
            backend = re.fullmatch(r"e2e_golden_(\w+)_test", program)
            ran = re.fullmatch(r"RAN (\w+) (\S+) on (\w+)", name)
            if backend and name.endswith(TITLE) and result == "passed":
                models.add((name[: -len(TITLE)], backend.group(1)))
            elif ran:
                weights.add(ran.groups())
    return models, weights, {backend for _, backend in models}, {backend for *_, backend in weights}


def rows_of(text, mark):
    """{the row's first cells: its last three}, as the page has them."""
    section = text.split(f"<!-- {mark} -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in section.splitlines() if line.startswith("| ")][1:]
    return {row[0] + row[1] if mark == "families" else row[0]: row[-3:] for row in rows}


def family_table(old, models, backends):
    names, gguf = architectures()
    rows = goldens()
    for name in names:
        if not any(architecture == name for architecture, _ in rows):
            rows[(name, "–")] = []
    yield ["architecture", "weights", "checkpoints", *BACKENDS]
    for (architecture, encoding), checkpoints in sorted(rows.items(), key=lambda row: row[0][0].lower()):
        known = old.get(f"`{architecture}`{encoding}", ["not run"] * len(BACKENDS))
        cells = []
        for backend, cell in zip(BACKENDS, known):
            passed = sum((name, backend) in models for name in checkpoints)
            if backend in backends:
                cell = "yes" if passed == len(checkpoints) > 0 else f"{passed} of {len(checkpoints)}" if checkpoints else "not compared"
            cells.append(cell)
        shown = [name + " (+ GGUF)" * (ROOT / "tests/golden/models" / name / "model.gguf").exists() for name in checkpoints]
        yield [f"`{architecture}`", encoding, ", ".join(shown) or "none", *cells]
    yield "GGUF architectures that are read: " + ", ".join(f"`{name}`" for name in sorted(gguf)) + "."


def weight_table(old, weights, backends):
    yield ["encoding", *BACKENDS]
    for name in sorted({encoding for _, encoding, _ in weights} | {row.strip("`") for row in old}):
        cells = []
        for backend, cell in zip(BACKENDS, old.get(f"`{name}`", ["not run"] * len(BACKENDS))):
            if backend in backends:
                matrices, experts = (("matrices", name, backend) in weights), (("experts", name, backend) in weights)
                cell = "yes" if matrices and experts else "matrices" if matrices else "experts" if experts else "no"
            cells.append(cell)
        if set(cells) - {"no", "not run"}:
            yield [f"`{name}`", *cells]


def checkpoint_table():
    """Forms of quantised Hugging Face checkpoints that a test compares with the values that were packed; this one lists them itself."""
    text = (ROOT / "src/model/quantization_test.c").read_text()
    yield ["quantised checkpoint", "kept as"]
    for form, encoding in re.findall(r'^ +\{"(\w+)", "(\w+)"\},$', text.split("each_form_has_the_values_that_were_packed")[1], re.MULTILINE):
        yield [f"`{form}`", f"`{encoding}`"]


def as_text(table):
    lines = []
    for row in table:
        if isinstance(row, str):
            lines += ["", row]
        else:
            lines.append("| " + " | ".join(row) + " |")
            if len(lines) == 1:
                lines.append("|" + "---|" * len(row))
    return "\n" + "\n".join(lines) + "\n\n"


def main():
    files = [name for name in sys.argv[1:] if name != "--write"]
    text = PAGE.read_text()
    models, weights, model_backends, weight_backends = what_ran(files)
    tables = {"families": family_table(rows_of(text, "families"), models, model_backends),
              "checkpoints": checkpoint_table(),
              "weights": weight_table(rows_of(text, "weights"), weights, weight_backends)}
    wanted = text
    for mark, table in tables.items():
        before, behind = wanted.split(f"<!-- {mark} -->")
        wanted = before + f"<!-- {mark} -->\n" + as_text(table) + behind[behind.index("<!-- end -->"):]
    if "--write" in sys.argv:
        PAGE.write_text(wanted)
    elif wanted != text:
        differing = [line for line in wanted.splitlines() if line not in text.splitlines()]
        print(f"docs/models.md is not what the tests ran; run: scripts/models_table.py --write {' '.join(files)}", *differing[:10], sep="\n  ")
        sys.exit(1)
    print(f"docs/models.md: {wanted.count('| `')} rows" + (f", {', '.join(sorted(model_backends | weight_backends))} ran" if files else ""))


main()
