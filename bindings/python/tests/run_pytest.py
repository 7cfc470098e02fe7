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


class Tap:
    """One line a test; a failure in its set-up or tear-down is a failure."""

    def __init__(self):
        self.number = 0
        self.results = {}

    def pytest_runtest_logreport(self, report):
        outcome = self.results.setdefault(report.nodeid, ["passed", ""])
        if report.failed:
            outcome[0] = "failed"
        elif report.skipped and outcome[0] == "passed":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(getattr(report, "wasxfail", ""))
            outcome[:] = ["skipped", reason.replace("Skipped: ", "")]
        if report.when == "teardown":
            self.number += 1
            state, reason = self.results.pop(report.nodeid)
            name = report.nodeid.split("/")[-1].replace("#", " ")
            bad = "not " if state == "failed" else ""
            print(f"\n{bad}ok {self.number} - {name}" + (f" # SKIP {reason}" if state == "skipped" else ""), flush=True)

    def pytest_collectreport(self, report):
        if report.failed:  # a module that cannot be imported has no tests to count
            self.number += 1
            print(f"\nnot ok {self.number} - {report.nodeid}", flush=True)


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

    import pytest

    options = arguments[1:] or [str(HERE)]
    code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", "--rootdir", str(HERE), *options],
                       plugins=[Tap()])
    sys.exit(int(code))


main()
