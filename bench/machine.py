# SPDX-License-Identifier: Apache-2.0
#
# machine.py: what the programs beside it share: running commands, and knowing when a machine's figures count. They do if the machine was
# at least 95 % idle just before a run (else: wait, after 10 minutes give up), and if bandwidth and integer rate, probed before and after
# it, differ by less than 10 % (else: the run is repeated).
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
IDLE_NEEDED = 0.95
IDLE_WAIT_SECONDS = 600
PROBE_TOLERANCE = 0.10
MAX_TRIES = 8


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {text}")


def cache_folder():
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    folder = os.environ.get("TENON_CACHE") or (xdg + "/tenon" if xdg.startswith("/") else "")
    folder = folder or (os.environ["HOME"] + "/.cache/tenon" if os.environ.get("HOME") else "")
    return pathlib.Path(folder) if folder else fail("none of TENON_CACHE, XDG_CACHE_HOME, HOME is set")


def run(command, text=""):
    """What the command prints, given the text on its standard input."""
    result = subprocess.run([str(part) for part in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        tail = (result.stderr or result.stdout or "").strip().splitlines()[-5:]
        fail(f"{' '.join(map(str, command))} ended with {result.returncode}\n  " + "\n  ".join(tail))
    return result.stdout


def build_probe(cache):
    source, program = ROOT / "bench/machine_probe.c", cache / "machine_probe"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        cache.mkdir(parents=True, exist_ok=True)
        run(["cc", "-O3", "-march=native", "-pthread", source, "-o", program])
    return program


def cpu_times():
    fields = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)  # idle with iowait, everything with steal


def idle_share(seconds=1.0):
    idle, total = cpu_times()
    time.sleep(seconds)
    idle_after, total_after = cpu_times()
    return (idle_after - idle) / max(1, total_after - total)


def wait_until_idle():
    end = time.monotonic() + IDLE_WAIT_SECONDS
    told = False
    while True:
        share = idle_share()
        if share >= IDLE_NEEDED:
            return share
        if time.monotonic() > end:
            fail(f"the machine stayed busy for {IDLE_WAIT_SECONDS // 60} minutes (idle {share:.0%}, {IDLE_NEEDED:.0%} is needed): "
                 "no figure is given")
        if not told:
            say(f"  waiting: the machine is {share:.0%} idle, {IDLE_NEEDED:.0%} is needed")
            told = True


def differ(before, after):
    for key in ("read_gb_per_second", "integer_tops"):
        low, high = sorted((before[key], after[key]))
        if high > 0 and (high - low) / high >= PROBE_TOLERANCE:
            return True
    return False


def measure(probe, what, work):
    """work() between two probes that agree: (what it gives, probe)."""
    for _ in range(MAX_TRIES):
        wait_until_idle()
        before = json.loads(run([probe]))
        figure = work()
        after = json.loads(run([probe]))
        if not differ(before, after):
            return figure, before
        say("  repeated: the probes differ: "
            f"{before['read_gb_per_second']} and {after['read_gb_per_second']} GB/s, {before['integer_tops']} and {after['integer_tops']} TOPS")
    return fail(f"the probes around {what} differed {MAX_TRIES} times: no figure is given")


def hardware():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    flags = (re.search(r"flags\s*: (.*)", text) or [None, ""])[1].split()
    interesting = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if flag in flags]
    return f"{name.group(1) if name else platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, {' '.join(interesting)}, " \
           f"Linux {platform.release()}, {run(['cc', '--version']).splitlines()[0]}"
