#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# fuzz_smoke.py BUILD_FOLDER [SECONDS]: runs every fuzz target for 20 seconds (or SECONDS), two at a time.
#
# The corpus of the target format_gguf_fuzz is tests/fuzz/format_gguf_fuzz/, its dictionary tests/fuzz/format_gguf_fuzz.dict, if
# there. New inputs go to BUILD_FOLDER/corpus, an input that crashes is kept in BUILD_FOLDER/crashes and its command is printed.
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_target(build, target, seconds):
    found, crashes = build / "corpus" / target, build / "crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    seeds, dictionary = ROOT / "tests/fuzz" / target, ROOT / "tests/fuzz" / (target + ".dict")
    program = build / "bin" / target
    command = [str(program), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={crashes}/{target}-", str(found)]
    command += [str(seeds)] if seeds.is_dir() else []
    command += [f"-dict={dictionary}"] if dictionary.is_file() else []
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    return target, run.returncode, run.stdout


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: scripts/fuzz_smoke.py BUILD_FOLDER [SECONDS]")
    build = pathlib.Path(sys.argv[1]).resolve()
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    targets = (build / "fuzzers.txt").read_text().split()
    num_failed = 0
    with concurrent.futures.ThreadPoolExecutor(min(2, len(os.sched_getaffinity(0)))) as pool:
        for target, code, output in pool.map(lambda target: run_target(build, target, seconds), targets):
            runs = re.search(r"number_of_executed_units: (\d+)", output)
            coverage = re.findall(r"cov: (\d+)", output)
            print(f"{'ok    ' if code == 0 else 'FAILED'} {target}: {runs.group(1) if runs else '?'} runs, "
                  f"coverage {coverage[-1] if coverage else '?'}", flush=True)
            if code != 0:
                num_failed += 1
                print("\n".join(output.splitlines()[-60:]))
                artifact = re.search(r"Test unit written to (\S+)", output)
                if artifact:
                    print(f"to see it again: {build}/bin/{target} {artifact.group(1)}")
    print(f"{len(targets) - num_failed} fuzz targets passed, {num_failed} failed")
    sys.exit(1 if num_failed else 0)


main()
