#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# run.py BINARY PACKAGE_FOLDER PYTHON [pytest options]: the tests of this folder against the program BINARY, by PYTHON, the interpreter
# of the environment that scripts/make_venv.sh made; where that is not, by this one: what needs the clients is then skipped. One line a
# test as TAP has it. Exit 77 with the reason where there is no pytest.
import importlib.util
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: run.py BINARY PACKAGE_FOLDER PYTHON [pytest options]")
    binary, package, python, *options = sys.argv[1:]
    if os.access(python, os.X_OK) and os.environ.get("TENON_SERVE_PYTHON") != python:
        os.environ["TENON_SERVE_PYTHON"] = python
        os.execv(python, [python, *sys.argv])
    if importlib.util.find_spec("pytest") is None:
        print("python3 has no pytest: run make test-serve")
        sys.exit(77)
    os.environ["TENON_BINARY"] = os.path.abspath(binary)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(HERE.parents[1] / "scripts"), str(HERE), os.path.abspath(package)]

    import pytest
    from pytest_tap import Tap

    sys.exit(int(pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", "--rootdir", str(HERE), *(options or [str(HERE)])], plugins=[Tap()])))


main()
