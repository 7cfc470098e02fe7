# SPDX-License-Identifier: Apache-2.0
"""The package itself: loading, versions, errors."""

import pickle
import re

import pytest

import tenon
from conftest import ROOT
from tenon import errors
from tenon._ffi import Diag, check, encode, ffi, lib


def test_version_is_that_of_the_library():
    project = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"project\(tenon VERSION ([\d.]+)", project).group(1) == tenon.__version__


def test_constants_of_the_headers_are_there():
    assert lib.TN_FOREVER == -1
    assert lib.TN_NETWORK_STRONGLY_TYPED == 1
    assert ffi.string(lib.tn_status_name(lib.TN_TIMED_OUT)) == b"timed out"


def test_a_failed_call_raises_what_fits_with_the_reason():
    diag = Diag()
    out = ffi.new("tn_plan **")
    with pytest.raises(FileNotFoundError) as caught:
        check(lib.tn_plan_load(encode("/no/such.plan"), diag.handle, out), diag)
    assert isinstance(caught.value, errors.NotFoundError)
    assert isinstance(caught.value, RuntimeError) and isinstance(caught.value, KeyError)
    assert "/no/such.plan" in str(caught.value)
    assert caught.value.entries[0].status == lib.TN_NOT_FOUND
    assert diag.entries() == []


@pytest.mark.parametrize("status", range(1, 12))
def test_every_status_has_an_exception(status):
    with pytest.raises(errors.TenonError) as caught:
        check(status, message="why")
    assert type(caught.value) is errors.BY_STATUS[status]
    assert caught.value.status == status
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value) and str(again) == "why"


def test_exceptions_are_the_fitting_builtins():
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.OutOfMemoryError, MemoryError)
    assert issubclass(errors.TimedOutError, TimeoutError)
    assert issubclass(errors.UnsupportedError, NotImplementedError)


def test_text_with_a_nul_is_refused():
    with pytest.raises(ValueError):
        encode("a\0b")
