#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# check_source.py: the rules of CONTRIBUTING.md that a script can hold: banned functions, sizes, licence line, tabs, READMEs.
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = {".c": 1200, ".cu": 600, ".h": 400}
MAX_FUNCTION_LINES = 80
MAX_FAMILY_LINES = 250  # a file of src/model/families: what is longer belongs into the configuration and transformer.c
SPDX = "SPDX-License-Identifier: Apache-2.0"

# name: what to use instead. Everywhere:
BANNED = {
    "alloca": "an arena or tn_alloc_array", "sprintf": "snprintf or tn_text", "vsprintf": "vsnprintf",
    "strcpy": "tn_copy_string or memcpy", "strcat": "tn_text", "strncpy": "memcpy with a checked size",
    "gets": "fgets", "atoi": "strtol and a look at its end", "atol": "strtol and a look at its end", "atof": "strtod",
    "strtok": "strsep", "tmpnam": "mkstemp", "mktemp": "mkstemp",
}
# In the library (src/ without cli and without tests, fuzzers, benchmarks):
BANNED_IN_LIBRARY = {
    "exit": "a tn_status", "_exit": "a tn_status", "abort": "a tn_status, or assert for our own bugs", "printf": "report.h or tn_text",
    "puts": "report.h", "putchar": "report.h", "perror": "report.h", "strerror": "strerrordesc_np (strerror is not thread safe)",
    "rand": "a generator with its own state", "random": "a generator with its own state", "srand": "a generator with its own state",
    "setenv": "options", "putenv": "options", "setlocale": "nothing: the locale belongs to the program",
    "localtime": "localtime_r", "gmtime": "gmtime_r", "system": "nothing", "popen": "nothing", "signal": "nothing: signals belong to the program",
}
MEMORY = {name: "base/memory.h" for name in ("malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "vasprintf")}

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
CALL = re.compile(r"(?<![\w.>])(" + "|".join(sorted({*BANNED, *BANNED_IN_LIBRARY, *MEMORY}, key=len, reverse=True)) + r")\s*\(")
STDOUT = re.compile(r"(?<!\w)stdout(?!\w)")
PROGRAM = re.compile(r"(_(test|fuzz|bench)\.c|(^|_)test(ing)?(_\w+)?\.h)$")


def blank(match):
    """The same number of lines, without the words."""
    return "\n" * match.group().count("\n") or " "


def functions(code):
    """(first line, number of lines, name) of each function, by clang-format's shape: it begins and ends at column 0."""
    head, begin = "", 0
    name = None
    for number, line in enumerate(code.split("\n"), 1):
        if name is not None:
            if line.startswith("}"):
                yield begin, number - begin + 1, name
                name, head = None, ""
            continue
        if not head:
            begin = number
        if not line.strip() or line.startswith("#"):
            head = ""
            continue
        head += " " + line
        if head.rstrip().endswith(("{", ";", "}")):
            match = re.search(r"(\w+)\s*\([^=]*\)\s*\{$", head.rstrip())
            name = match.group(1) if match else None
            head = head if match else ""


def banned_here(path):
    relative = path.relative_to(ROOT).as_posix()
    rules = dict(BANNED)
    if relative.startswith("src/") and not relative.startswith("src/cli/") and not PROGRAM.search(path.name):
        rules.update(BANNED_IN_LIBRARY)
        # tensor memory of a device is the device's own business (tenon/allocator.h)
        if relative != "src/base/memory.c" and not re.fullmatch(r"src/backend/\w+/device\.c", relative):
            rules.update(MEMORY)
    return rules


def check_c(path, text):
    code = TOKEN.sub(blank, text)
    num_lines = text.count("\n")
    waived = re.search(r"\bsize: \S", text) is not None
    limit = MAX_FAMILY_LINES if path.parent.name == "families" else MAX_LINES[path.suffix]
    if num_lines > limit and not waived:
        yield 1, f"{num_lines} lines, at most {limit} (split it, or state a reason: a comment 'size: reason')"
    if not text.startswith(f"/* {SPDX}"):
        yield 1, f"the first line must be '/* {SPDX}'"
    if path.suffix != ".h" and not waived:
        for begin, length, name in functions(code):
            if length > MAX_FUNCTION_LINES:
                yield begin, f"{name} has {length} lines, at most {MAX_FUNCTION_LINES}"
    rules = banned_here(path)
    for match in CALL.finditer(code):
        if match.group(1) in rules:
            yield code.count("\n", 0, match.start()) + 1, f"{match.group(1)} is banned here; use {rules[match.group(1)]}"
    if "exit" in rules:
        for match in STDOUT.finditer(code):
            yield code.count("\n", 0, match.start()) + 1, "the library does not write to stdout"


def files():
    for folder in ("include", "src", "tests", "bench", "scripts", "cmake", ".ci", "bindings"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not {"golden", "fuzz", "__pycache__"} & set(path.relative_to(ROOT).parts):
                yield path
    yield from sorted(ROOT.glob("*.md"))


def main():
    problems = []
    for path in files():
        if path.suffix not in (*MAX_LINES, ".py", ".sh", ".md", ".cmake", ".txt", ".def", ".in", ""):
            continue
        text = path.read_text(errors="replace")
        found = []
        if "\t" in text and path.name not in ("Makefile", "op_kinds.def"):
            found.append((text.count("\n", 0, text.index("\t")) + 1, "tab; use spaces"))
        if path.suffix in MAX_LINES:
            found += check_c(path, text)
        elif path.suffix in (".py", ".sh", "") and SPDX not in "".join(text.splitlines(True)[:3]):
            found.append((1, f"one of the first three lines must be '# {SPDX}'"))
        problems += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in found]
    for folder in sorted((ROOT / "src").iterdir()):
        if folder.is_dir() and any(folder.rglob("*.c")) and not (folder / "README.md").is_file():
            problems.append(f"src/{folder.name}: a README.md with its rules and reasons is missing")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
