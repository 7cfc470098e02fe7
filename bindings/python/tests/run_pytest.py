#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# run_pytest.py [--skip=REASON] PACKAGE_FOLDER [pytest options]: pytest over this folder with one line a test as TAP has it, which
# scripts/run_tests.py counts. Exit 77 with the reason where the tests cannot run.
import importlib.util
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    arguments = sys.argv[1:]
    if arguments and arguments[0].startswith("--skip="):
        print(arguments[0][len("--skip="):])
        sys.exit(77)
    if not arguments:
        sys.exit("usage: run_pytest.py [--skip=REASON] PACKAGE_FOLDER [pytest options]")
    missing = [name for name in ("cffi", "numpy", "pytest") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"python3 has no {', '.join(missing)}: apt-get install {' '.join('python3-' + name for name in missing)}")
        sys.exit(77)
    package = os.path.abspath(arguments[0])
    sys.path.insert(0, package)
    os.environ["PYTHONPATH"] = package  # of the programs that tests start
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True

    sys.path.insert(0, str(HERE.parents[2] / "scripts"))

    import pytest
    from pytest_tap import Tap

    options = arguments[1:] or [str(HERE)]
    code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", "--rootdir", str(HERE), *options],
                       plugins=[Tap()])
    sys.exit(int(code))


main()
