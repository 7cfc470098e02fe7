#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# check_includes.py: holds the arrows between the folders of src/. A wrong include is printed and fails.
#
# A module may include itself, the modules named behind it here, and all that those may include. What a folder must not know,
# it cannot come to depend on: runtime, executor and server never see network, passes, builder or model; only cli joins both
# halves. Programs beside the code (_test.c, _fuzz.c, _bench.c) and their test headers may include any module: nothing includes them.
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

ARROWS = {
    "base": [],
    "op": ["base"],
    "format": ["base"],
    "weights": ["op"],
    "plugin": ["op"],
    "network": ["weights", "plugin"],
    "plan": ["weights"],
    "backend": ["weights"],
    "rewrite": ["network"],
    "functional": ["rewrite"],
    "passes": ["rewrite"],
    "model": ["functional", "format"],
    "onnx": ["functional", "format"],
    "builder": ["passes", "plan", "backend"],
    "runtime": ["plan", "backend", "plugin"],
    "tokenizer": ["format"],
    "executor": ["runtime", "tokenizer"],
    "server": ["executor"],
    "cli": ["server", "builder", "model", "onnx"],
}

# Public headers of the two halves: who may see them. The other public headers are types that all share.
DEFINING = ["network", "rewrite", "functional", "passes", "model", "onnx", "builder", "cli"]
RUNNING = ["runtime", "executor", "server", "cli"]
PUBLIC = {
    "network.h": DEFINING, "rewrite.h": DEFINING, "builder.h": DEFINING, "model.h": ["model", "cli"],
    "layer.h": DEFINING,
    "engine.h": RUNNING, "context.h": RUNNING, "refit.h": RUNNING, "inspector.h": RUNNING,
    "executor.h": ["executor", "server", "cli"], "server.h": ["server", "cli"], "tenon.h": ["cli"],
    "tokenizer.h": ["tokenizer", "executor", "server", "cli"],
}

# Third-party headers have one home each, so that their replacement touches one folder.
THIRD_PARTY = {
    "xxhash.h": "base", "pcre2.h": "tokenizer", "utf8proc.h": "tokenizer", "editline/readline.h": "cli",
    "histedit.h": "cli", "argp.h": "cli", "microhttpd.h": "server", "gnutls/gnutls.h": "server", "gnutls/crypto.h": "server",
    "gnutls/abstract.h": "server", "gnutls/x509.h": "server", "protobuf-c/protobuf-c.h": "format",
}
CUDA = re.compile(r"^(cuda|cublas|cudnn|nvrtc|nvToolsExt|nccl|cooperative_groups)")
STANDARD = set("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
               "stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype".split())
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
PROGRAM = re.compile(r"(_(test|fuzz|bench)\.c|(^|_)test(ing)?(_\w+)?\.h)$")


def reachable(module):
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += ARROWS[name]
    return seen


ALLOWED = {module: reachable(module) for module in ARROWS}


def check_source(path, module, bracket, target):
    """What is wrong with this include of a file in src/MODULE, or None."""
    top = target.split("/")[0]
    if CUDA.match(target) and "backend/cuda/" not in path.as_posix():
        return "CUDA headers belong to src/backend/cuda"
    home = THIRD_PARTY.get(target)
    if home and home != module:
        return f"only src/{home} includes it"
    if PROGRAM.search(path.name) or bracket == "<":
        return None
    if top == "tenon":
        viewers = PUBLIC.get(target[len("tenon/"):])
        return f"only {', '.join(viewers)} may see it" if viewers and module not in viewers else None
    if top in ARROWS and "/" in target:
        return None if top in ALLOWED[module] else f"{module} must not include {top}"
    if (path.parent / target).is_file():
        return None
    return "no such file in a module of src/"


def main():
    problems = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")) + sorted((ROOT / "src").rglob("*.cu")):
        module = path.relative_to(ROOT / "src").parts[0]
        if module not in ARROWS:
            problems.append(f"{path.relative_to(ROOT)}: the folder '{module}' has no arrow in scripts/check_includes.py")
            continue
        text = path.read_text(errors="replace")
        for match in INCLUDE.finditer(text):
            wrong = check_source(path, module, match.group(1), match.group(2))
            if wrong:
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{path.relative_to(ROOT)}:{line}: #include of {match.group(2)}: {wrong}")
    for path in sorted((ROOT / "include").rglob("*.h")):
        for match in INCLUDE.finditer(path.read_text(errors="replace")):
            target = match.group(2)
            if not target.startswith("tenon/") and not (target.endswith(".h") and target[:-2] in STANDARD):
                problems.append(f"{path.relative_to(ROOT)}: #include of {target}: public headers need tenon/ and standard C only")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
