# SPDX-License-Identifier: Apache-2.0
"""pytest_tap.py: a plugin of pytest: one line a test as TAP has it, which scripts/run_tests.py counts."""


class Tap:
    """A failure in a test's set-up or tear-down is a failure."""

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
            state, reason = self.results.pop(report.nodeid)
            self._print(report.nodeid, state, reason)

    def pytest_collectreport(self, report):
        if report.failed:  # a module that cannot be imported has no tests to count
            self._print(report.nodeid, "failed", "")
        elif report.skipped:
            self._print(report.nodeid, "skipped", report.longrepr[2].replace("Skipped: ", ""))

    def _print(self, nodeid, state, reason):
        self.number += 1
        name = nodeid.split("/")[-1].replace("#", " ")
        bad = "not " if state == "failed" else ""
        print(f"\n{bad}ok {self.number} - {name}" + (f" # SKIP {reason}" if state == "skipped" else ""), flush=True)
