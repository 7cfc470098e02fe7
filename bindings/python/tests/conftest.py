# SPDX-License-Identifier: Apache-2.0
"""What the tests of the package share."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def golden():
    """The folder of golden data."""
    return GOLDEN
