# SPDX-License-Identifier: Apache-2.0
"""A `tenon serve` with SmolLM2 for all tests of a session. TENON_BINARY names the program; without it or the model tests skip."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


class Serving:
    """The running program; `url` has no path."""

    def __init__(self, program, model, *options):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="tenon-serve-", suffix=".log")
        self.process = subprocess.Popen([program, "serve", model, "--port", "0", "--threads", "1", *options], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.url = None
        deadline = time.monotonic() + 120
        while self.url is None:
            assert self.process.poll() is None and time.monotonic() < deadline, "the server did not start:\n" + self.said()
            time.sleep(0.05)
            found = re.search(r"serving \S+ on (http://\S+)$", self.said(), re.MULTILINE)
            self.url = found.group(1) if found else None

    def said(self):
        return pathlib.Path(self.log.name).read_text()

    def stop(self):
        """The exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code


@pytest.fixture(scope="session")
def program():
    """The program `tenon`."""
    path = os.environ.get("TENON_BINARY")
    if not path:
        pytest.skip("TENON_BINARY does not say where the program is: run make test-serve")
    return path


@pytest.fixture(scope="session")
def model():
    """SmolLM2's file."""
    fetched = subprocess.run([str(ROOT / "scripts/fetch_model.sh")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if fetched.returncode != 0:
        pytest.skip(fetched.stderr.strip().splitlines()[-1])
    return fetched.stdout.strip()


@pytest.fixture(scope="session")
def serving(program, model):
    server = Serving(program, model, "--served-model-name", "smollm2", "--cache-size", "1G", "--max-body-size", "2M", "--embeddings")
    yield server
    assert server.stop() == 0, server.said()
