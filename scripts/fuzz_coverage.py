#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# fuzz_coverage.py: how many lines of its parser the committed corpus of each fuzz target reaches; 70 % is asked for.
#
# The files that count for src/format/gguf_fuzz.c are those named in its comment "covers: gguf.c gguf_values.c", else gguf*.c
# beside it. Needs clang and llvm; builds in build-fuzz-coverage.
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-fuzz-coverage"
LEAST = 70.0


def tool(name):
    for candidate in (name, f"{name}-14", f"{name}-18"):
        if shutil.which(candidate):
            return candidate
    return sys.exit(f"fuzz_coverage.py: {name} is not installed (package llvm)")


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout


def parser_files(source):
    named = re.search(r"covers: ([^\n*]+)", source.read_text())
    if named:
        return [str((source.parent / name).resolve()) for name in named.group(1).split()]
    stem = source.name[: -len("_fuzz.c")]
    return [str(path) for path in source.parent.glob(f"{stem}*.c") if not re.search(r"_(test|fuzz|bench)\.c$", path.name)]


def main():
    run("cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DTN_FUZZ=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_C_COMPILER=clang",
        "-DCMAKE_C_FLAGS=-fprofile-instr-generate -fcoverage-mapping")
    run("ninja", "-C", BUILD, "fuzzers")
    below = False
    for source in sorted((ROOT / "src").rglob("*_fuzz.c")):
        module = source.relative_to(ROOT / "src").parts[0]
        target = f"{module}_{source.stem}"
        program = BUILD / "bin" / target
        corpus = ROOT / "tests/fuzz" / target
        if not program.exists() or not corpus.is_dir():
            print(f"{target}: no {'program' if not program.exists() else 'corpus ' + str(corpus.relative_to(ROOT))}")
            below = True
            continue
        raw, merged = BUILD / f"{target}.profraw", BUILD / f"{target}.profdata"
        subprocess.run([str(program), "-runs=0", str(corpus)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, "LLVM_PROFILE_FILE": str(raw)})
        run(tool("llvm-profdata"), "merge", "-sparse", raw, "-o", merged)
        totals = json.loads(run(tool("llvm-cov"), "export", "-summary-only", f"-instr-profile={merged}", program, *parser_files(source)))
        lines = totals["data"][0]["totals"]["lines"]
        below |= lines["percent"] < LEAST
        print(f"{target}: {lines['percent']:.1f} % of {lines['count']} lines, {len(list(corpus.iterdir()))} inputs"
              f"{'  BELOW ' + str(LEAST) + ' %' if lines['percent'] < LEAST else ''}")
    sys.exit(1 if below else 0)


main()
