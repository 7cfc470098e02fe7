# SPDX-License-Identifier: Apache-2.0
"""A normal client beside a thousand idle connections, two hundred slow readers, and slowhttptest's four modes. The figures are printed,
not asserted: bench/serve-overload measures them on a quiet machine."""

import shutil
import subprocess
import time

import pytest

from conftest import ROOT
from overload import Client, Crowd, describe, measure
from serving import Serving

GOLDEN = ROOT / "tests/golden"
MODES = {"heads": ["-H", "-i", "1"], "bodies": ["-B", "-i", "1", "-s", "8192", "-t", "POST", "-f", "application/json"], "ranges": ["-R", "-a", "10", "-b", "300"],
         "readers": ["-X", "-w", "64", "-y", "128", "-n", "1", "-z", "16", "-k", "3"]}
PATHS = {"heads": "/", "bodies": "/v1/completions", "ranges": "/page/style.css", "readers": "/page/style.css"}


@pytest.fixture(scope="module")
def small(program, tmp_path_factory):
    """The small golden model: what is not the server takes next to no time."""
    folder = tmp_path_factory.mktemp("small") / "model"
    shutil.copytree(GOLDEN / "tokenizers/bytes320", folder)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(GOLDEN / "models/llama-gqa" / name, folder)
    server = Serving(program, str(folder), "--level", "0", "--no-access-log")
    yield server
    assert server.stop() == 0, server.said()


def test_idle_and_slow_clients_change_no_answer(small):
    alone, processor = measure(small, 40)
    print(describe("alone", alone, processor))
    crowd = Crowd(small.url)
    assert crowd.num_waiting() >= 150  # most sockets are full: the readers are slow
    beside, processor = measure(small, 40)
    print(describe("beside 1,000 idle and 200 slow ones", beside, processor))
    assert beside.answers == alone.answers and crowd.num_lost == 0
    crowd.close()


@pytest.mark.parametrize("mode", MODES)
def test_slow_clients_do_not_keep_others_waiting(small, mode):
    if shutil.which("slowhttptest") is None:
        pytest.skip("no slowhttptest here: apt-get install slowhttptest")
    command = ["slowhttptest", *MODES[mode], "-c", "300", "-r", "200", "-l", "4", "-p", "2", "-u", small.url + PATHS[mode]]
    attack = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    client = Client(small.url)
    while attack.poll() is None:
        client.ask()
        time.sleep(0.02)
    said = attack.stdout.read().decode(errors="replace")
    client.close()
    assert attack.returncode == 0, said
    print(f"{mode}: {len(client.seconds)} requests beside, the slowest took {max(client.seconds):.3f} s")
    assert len(client.seconds) >= 20 and all(answer == client.answers[0] for answer in client.answers)
    assert max(client.seconds) < 2.0, said
