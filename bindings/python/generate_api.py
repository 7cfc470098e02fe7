#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# generate_api.py INCLUDE_FOLDER OUTPUT: makes the module tenon/_api.py (cffi, out of line, ABI mode) from the public headers. The C
# preprocessor expands them, without the system's headers and without attributes; macros that are integers become constants.
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SYSTEM_HEADERS = ("stdbool.h", "stddef.h", "stdint.h", "stdarg.h")  # cffi knows what these define
MACRO = re.compile(r"^#define (TN_[A-Z0-9_]+) +(\S.*)$", re.MULTILINE)
INTEGER = re.compile(r"[\d\s()+\-*<|xXuUlLa-fA-F]+")


def preprocess(include, arguments):
    with tempfile.TemporaryDirectory() as empty:
        for name in SYSTEM_HEADERS:
            pathlib.Path(empty, name).touch()
        source = "".join(f'#include "tenon/{path.name}"\n' for path in sorted(pathlib.Path(include, "tenon").glob("*.h")))
        compiler = os.environ.get("CC", "cc").split()
        # Without __GNUC__, the headers' attributes are empty
        command = [*compiler, "-E", "-P", "-x", "c", "-std=c11", "-nostdinc", "-U__GNUC__", "-I", empty, "-I", str(include), *arguments, "-"]
        return subprocess.run(command, input=source, check=True, capture_output=True, text=True).stdout


def constants(include):
    for name, text in MACRO.findall(preprocess(include, ["-dM"])):
        digits = re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", text)
        if INTEGER.fullmatch(digits):
            yield name, eval(digits, {"__builtins__": {}})  # digits and operators only


def generate(include, output):
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("".join(f"#define {name} {value}\n" for name, value in constants(include)))
    ffi.cdef(preprocess(include, []))
    ffi.set_source("tenon._api", None)
    output = pathlib.Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    made = output.with_suffix(f".{os.getpid()}.py")
    ffi.emit_python_code(str(made))
    made.replace(output)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: generate_api.py INCLUDE_FOLDER OUTPUT")
    generate(sys.argv[1], sys.argv[2])
