# SPDX-License-Identifier: Apache-2.0
"""A `tenon serve` with SmolLM2 for all tests of a session. TENON_BINARY names the program; without it or the model tests skip."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from serving import Serving


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
