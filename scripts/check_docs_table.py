#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_docs_table.py [NAMES]: holds docs/network.md: every line has one of the three states and its evidence, every test that it names
exists, and every function of the headers it is about stands in a line. And the attacks of docs/server.md: each has tests, which exist.
With NAMES (scripts/run_tests.py writes it where TN_TEST_NAMES says): each named test also ran, or was skipped with a reason that was
shown; those of tests/serve run elsewhere."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/network.md"
HEADERS = ["network.h", "layer.h", "reflect.h", "plugin.h", "rewrite.h"]
STATES = {"works", "refused", "not applicable"}
FEWEST_LINES = 170  # a table that loses lines loses answers
ATTACKS, FEWEST_ATTACKS = ROOT / "docs/server.md", 30


def existing_tests():
    names = set()
    for folder in ("src", "tests"):
        for path in (ROOT / folder).rglob("*_test.c"):
            text = path.read_text()
            names |= set(re.findall(r"static void (\w+)\(void \*\*", text))
            for template in re.findall(r"static void (\w*##file##\w*)\(void", text):  # made for each file of a list
                for made in re.findall(r"#define FILES\(X\)(.*)", text):
                    names |= {template.replace("##file##", word) for word in re.findall(r"X\((\w+)\)", made)}
    return names | python_tests("bindings/python/tests")


def python_tests(folder):
    return {name for path in (ROOT / folder).glob("*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())}


def check_attacks(tests, problems):
    """The tests that the section names."""
    named, lines = set(), 0
    section = ATTACKS.read_text().partition("\n## Attacks\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith("| attack "):
            continue
        attack, evidence = line.strip("| ").rsplit(" | ", 1)
        words = re.findall(r"`(\w+)`", evidence)
        problems += [f"docs/server.md: there is no test '{word}' of '{attack}'" for word in words if word not in tests]
        named |= set(words)
        lines += 1
        if not words:
            problems.append(f"docs/server.md: no test shows '{attack}'")
    if lines < FEWEST_ATTACKS:
        problems.append(f"docs/server.md: {lines} attacks, at least {FEWEST_ATTACKS} are expected")
    return named


def main():
    problems, lines, text = [], 0, PAGE.read_text()
    tests = existing_tests()
    ran = None
    if len(sys.argv) > 1:
        ran = {re.sub(r"\[.*", "", line.split("\t")[0].split("::")[-1]).strip() for line in open(sys.argv[1])}
        if "python_test" in ran:  # the whole program was skipped: run_tests.py has said why
            ran |= {name for name in tests if name.startswith("test_")}
    served = python_tests("tests/serve")
    named = check_attacks(tests | served, problems) - served
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("| ") or line.startswith("| upstream"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        where = f"docs/network.md:{number}"
        lines += 1
        if len(cells) != 4 or cells[2] not in STATES:
            problems.append(f"{where}: a line has four cells, the third works, refused or not applicable")
            continue
        words = re.findall(r"`([a-zA-Z_]\w+)`", cells[3])
        if cells[2] == "works" and not words:
            problems.append(f"{where}: '{cells[0]}' works, but no test shows it")
        if cells[2] != "works" and len(cells[3]) < 10:
            problems.append(f"{where}: '{cells[0]}' has no reason")
        for word in words:
            if word in tests:
                named.add(word)
            elif cells[2] == "works" or not word.startswith(("tn_", "gpt_")):
                problems.append(f"{where}: there is no test '{word}'")
    if lines < FEWEST_LINES:
        problems.append(f"docs/network.md: {lines} lines, at least {FEWEST_LINES} are expected")
    for header in HEADERS:
        for function in re.findall(r"^TN_API[^;{]*?\b(tn_\w+)\(", (ROOT / "include/tenon" / header).read_text(), re.MULTILINE):
            if f"`{function}`" not in text:
                problems.append(f"include/tenon/{header}: {function} stands in no line of docs/network.md")
    if ran is not None:
        problems += [f"docs/network.md or server.md: the test '{name}' did not run" for name in sorted(named - ran)]
    print("\n".join(problems) or f"docs/network.md, server.md: {lines} lines, {len(named)} tests" + ("" if ran is None else ", all ran"))
    sys.exit(1 if problems else 0)


main()
