#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# run_tests.py BUILD_FOLDER [ctest options]: runs CTest and counts the single tests in the programs' output: cmocka's and TAP's
# lines; a program that prints neither is one test. What failed is printed whole, why something was skipped in one line.
# The last line is exactly "N passed, N failed, N skipped". Exit 0 only if something ran and nothing failed.
# With TN_TEST_NAMES=FILE each test, its result and its program are written there, one a line, and what programs say they ran ("RAN
# weights q4_k on cpu"): scripts/check_docs_table.py and scripts/models_table.py read it.
# With TN_TEST_COUNTS=FILE the three numbers are also appended there: .ci/run adds the runs up.
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

CMOCKA = re.compile(r"\[ +(RUN|OK|FAILED|SKIPPED|ERROR) +\] (\S+)")
TAP = re.compile(r"^(not )?ok\b *\d*[ -]*([^#\n]*)(# *SKIP\b.*)?", re.MULTILINE | re.IGNORECASE)


def cmocka_results(output):
    """[(test, "passed" | "failed" | "skipped")] in order; a test that began and never ended has failed (a crash)."""
    results = []
    running = None
    for match in CMOCKA.finditer(output):
        word, name = match.groups()
        if word == "RUN":
            if running:
                results.append((running, "failed"))
            running = name
        elif running == name:
            results.append((name, {"OK": "passed", "SKIPPED": "skipped"}.get(word, "failed")))
            running = None
    if running:
        results.append((running, "failed"))
    return results


def tap_results(output):
    results = []
    for bad, name, skip in TAP.findall(output):
        results.append((name.strip(), "failed" if bad else "skipped" if skip else "passed"))
    return results


def program_results(name, status, output):
    """status: what CTest says of the program: run, fail, notrun (skipped by code 77, or no program)."""
    results = cmocka_results(output) or tap_results(output)
    if status == "run":
        return results or [(name, "passed")]
    if status == "skipped":
        return [r for r in results if r[1] == "failed"] or [(name, "skipped")]
    if not any(result == "failed" for _, result in results):
        results.append((name + " (the program itself)", "failed"))
    return results


def read_junit(path):
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        status = case.get("status", "fail")
        skipped = case.find("skipped")
        if skipped is not None:
            # "SKIP_RETURN_CODE=77" for a program that skipped itself; anything else means that it could not run
            status = "skipped" if "SKIP_RETURN_CODE" in (skipped.get("message") or "") or status == "disabled" else "fail"
        yield case.get("name"), status, float(case.get("time") or 0), case.findtext("system-out") or ""


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def skip_reason(test, output):
    """What follows TAP's SKIP, or what a cmocka test printed before it skipped."""
    tap = re.search(rf"^ok\b[^\n]*{re.escape(test)}[^\n]*# *SKIP\b *([^\n]+)", output, re.MULTILINE | re.IGNORECASE)
    return tap.group(1) if tap else last_line(output.split(f"[  SKIPPED ] {test}")[0])


def report(cases):
    names = open(os.environ["TN_TEST_NAMES"], "w") if os.environ.get("TN_TEST_NAMES") else None
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, status, _, output in cases:
        results = program_results(name, status, output)
        for test, result in results:
            counts[result] += 1
            if names:
                names.write(f"{test}\t{result}\t{name}\n")
        if names and status == "run":
            names.writelines(f"{line}\tpassed\t{name}\n" for line in re.findall(r"^RAN .*", output, re.MULTILINE))
        failed = [test for test, result in results if result == "failed"]
        if failed:
            print(f"\n---- {name} failed: {', '.join(failed)}\n{output.rstrip()}\n----")
        elif status == "skipped":
            print(f"skipped {name}: {last_line(output)}")
        else:
            for test in [test for test, result in results if result == "skipped"]:
                print(f"skipped {name}: {test}: {skip_reason(test, output)}")
    if names:
        names.close()
    slow = sorted(cases, key=lambda case: -case[2])[:3]
    print("slowest: " + ", ".join(f"{name} {seconds:.1f} s" for name, _, seconds, _ in slow))
    return counts


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: scripts/run_tests.py BUILD_FOLDER [ctest options]")
    with tempfile.TemporaryDirectory() as folder:
        junit = os.path.join(folder, "junit.xml")
        everything = str(1 << 30)
        command = ["ctest", "--output-junit", junit, "--test-output-size-passed", everything, "--test-output-size-failed",
                   everything, "-j", str(len(os.sched_getaffinity(0))), "--quiet"] + sys.argv[2:]
        code = subprocess.run(command, cwd=sys.argv[1], stdin=subprocess.DEVNULL).returncode
        try:
            cases = list(read_junit(junit))
        except (OSError, xml.etree.ElementTree.ParseError) as error:
            print(f"tenon: ctest left no results (exit code {code}): {error}")
            cases = []
    counts = report(cases) if cases else {"passed": 0, "failed": 0, "skipped": 0}
    if code != 0 and counts["failed"] == 0:
        counts["failed"] = 1  # ctest itself is not content, so neither are we
    if os.environ.get("TN_TEST_COUNTS"):
        with open(os.environ["TN_TEST_COUNTS"], "a") as file:
            file.write(f"{counts['passed']} {counts['failed']} {counts['skipped']}\n")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(0 if counts["failed"] == 0 and counts["passed"] > 0 else 1)


main()
