#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# check_kernels.py: what the compiler said about each GPU kernel: registers, shared memory, stack, spills. A spill of more bytes
# than are accepted here fails.
#
#     scripts/check_kernels.py BUILD_FOLDER [-v]      # -v: every kernel, not only those that spill or keep a stack
import pathlib
import re
import sys

# kernel: bytes stored and loaded, on any architecture.
ACCEPTED = {
    # a register or two at the bounds that __launch_bounds__ sets for occupancy
    "attention_cluster_f32_1_1": 8, "gemv_bf16_8": 32, "gemv_f16_8": 32, "gemv_q4_0_1": 16, "gemv_q4_1_1": 8, "grouped_float_64": 64,
    "gemv_iq4_nl_8": 56, "wgmma_grouped_128x256": 16, "route_choose": 24,
    # scores and sums of a whole tile of heads this wide are more than 255 registers
    "attention_tile_bf16_96": 112, "attention_tile_f16_96": 112, "attention_tile_bf16_128": 424, "attention_tile_f16_128": 424,
}
# More, for the same reasons, on sm_100 alone.
ACCEPTED_ON_SM_100 = {
    "attention_cluster_f32_1_2": 16, "attention_f32_1_2": 16, "float_64": 32, "attention_decode_split_bf16_128": 16,
    "attention_decode_split_f16_128": 16, "attention_decode_wide_bf16_128": 16, "attention_decode_wide_f16_128": 16,
    "attention_tile_bf16_128": 516, "attention_tile_f16_128": 516,
}

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def kernels(text):
    """(name, architecture, registers, shared, stack, spilled bytes) of each kernel of a log."""
    name, stack, spill = None, 0, 0
    for line in text.splitlines():
        if match := ENTRY.search(line):
            name, architecture = match.groups()
        elif (match := STACK.search(line)) and name:
            stack, spill = int(match.group(1)), int(match.group(2)) + int(match.group(3))
        elif (match := USED.search(line)) and name:
            shared = SHARED.search(line)
            yield name, architecture, int(match.group(1)), int(shared.group(1)) if shared else 0, stack, spill
            name, stack, spill = None, 0, 0


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: scripts/check_kernels.py BUILD_FOLDER [-v]")
    logs = sorted(pathlib.Path(sys.argv[1], "src/backend/cuda").glob("*.sm_*.txt"))
    if not logs:
        print("SKIP: no compiled kernels, NVRTC was not found when the build was configured")
        sys.exit(77)
    found = [kernel for log in logs for kernel in kernels(log.read_text())]
    failed = 0
    print(f"{'kernel':32} {'for':8} registers  shared  stack  spilled")
    for name, architecture, registers, shared, stack, spill in sorted(found):
        accepted = ACCEPTED_ON_SM_100.get(name) if architecture == "sm_100" else None
        is_wrong = spill > (accepted or ACCEPTED.get(name, 0))
        failed += is_wrong
        if spill or stack or "-v" in sys.argv[2:]:
            note = "  FAIL" if is_wrong else ""
            print(f"{name:32} {architecture:8} {registers:9} {shared:7} {stack:6} {spill:8}{note}")
    print(f"{len(found)} kernels of {len(logs)} compilations, {failed} spill more than is accepted")
    sys.exit(1 if failed else 0)


main()
