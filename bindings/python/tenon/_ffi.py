# SPDX-License-Identifier: Apache-2.0
"""The library: loaded once, ``lib`` has its functions and ``ffi`` its types (cffi, ABI mode).

    diag = Diag()
    out = ffi.new("tn_plan **")
    check(lib.tn_plan_load(encode(path), diag.handle, out), diag)
    plan = owned(out[0], lib.tn_plan_destroy)

cffi releases the GIL around every call, so other threads run while one waits here. A callback takes the GIL for its time.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import warnings
import weakref
from typing import Any, Callable, Iterator, List, Optional, Union

from . import errors

try:
    from ._api import ffi
except ImportError as error:
    if getattr(error, "name", None) not in ("tenon._api", "_cffi_backend"):
        raise
    raise ImportError(
        f"tenon's bindings are not built ({error}); run: pip install ./bindings/python, or in a build folder: ninja python"
    ) from error

_HERE = pathlib.Path(__file__).resolve().parent


def _load() -> Any:
    given = os.environ.get("TENON_LIBRARY")
    beside = _HERE / "libtenon.so"
    for path in [given] if given else [str(beside)] if beside.exists() else ["libtenon.so.0", "libtenon.so"]:
        try:
            return ffi.dlopen(path)
        except OSError as error:
            reason = error
    raise ImportError(f"cannot load libtenon.so: {reason}; set TENON_LIBRARY=/path/libtenon.so")


lib = _load()


def encode(text: Union[str, os.PathLike]) -> bytes:
    """Text or a path as the library wants it. ``ffi`` keeps a bytes argument alive for the call only."""
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise errors.InvalidArgumentError(f"{text!r} holds a NUL")
    return encoded


def decode(text: Any) -> str:
    """A C string; "" for NULL."""
    return ffi.string(text).decode("utf-8", "replace") if text != ffi.NULL else ""


def owned(pointer: Any, destroy: Any, *keep: Any) -> Any:
    """The pointer, destroyed with its last Python reference; what is in ``keep`` lives longer than it.

    Also where the garbage collector finds all of them at once: it clears objects in no order, so the order stands outside of them.
    """
    kind = ffi.typeof(pointer)
    handle = ffi.cast(kind, pointer)
    # Not at exit: threads may still be inside, and the process ends anyway
    weakref.finalize(handle, _end, ffi.cast(kind, pointer), destroy, keep).atexit = False
    return handle


def _end(pointer: Any, destroy: Any, keep: Any) -> None:
    run_outside(lambda: (destroy(pointer), keep))


_here = threading.local()


@contextlib.contextmanager
def inside_callback() -> Iterator[None]:
    """Around Python code that a thread of the library runs."""
    _here.is_inside = True
    try:
        yield
    finally:
        _here.is_inside = False


def run_outside(function: Callable[[], Any]) -> None:
    """Calls what may wait for a thread of the library; in such a thread, on another one: else it would wait for itself."""
    if getattr(_here, "is_inside", False):
        threading.Thread(target=function, name="tenon-outside").start()
    else:
        function()


class Diag:
    """Collects what calls say of themselves (``tn_diag``). Locked inside; may be given to any number of calls."""

    def __init__(self) -> None:
        out = ffi.new("tn_diag **")
        if lib.tn_diag_create(ffi.NULL, out) != 0:
            raise errors.OutOfMemoryError("out of memory")
        self.handle = ffi.gc(out[0], lib.tn_diag_destroy)

    def entries(self) -> List[errors.Entry]:
        """All entries so far, oldest first."""
        entry = ffi.new("tn_diag_entry *")
        found: List[errors.Entry] = []
        while lib.tn_diag_get(self.handle, len(found), entry) == 0:
            found.append(errors.Entry(entry.severity, entry.code, decode(entry.message), decode(entry.subject), decode(entry.file),
                                      entry.offset, decode(entry.hint)))
        return found

    def clear(self) -> None:
        lib.tn_diag_clear(self.handle)

    def take(self) -> List[errors.Entry]:
        found = self.entries()
        self.clear()
        return found


def error_of(status: int, entries: Any = (), message: str = "") -> errors.TenonError:
    """The exception for a status, with the words of all error entries."""
    said = []
    for entry in entries:
        if entry.severity == lib.TN_SEVERITY_ERROR:
            said.append(entry.message + (f"\n  {entry.hint}" if entry.hint else ""))
    text = "\n".join(said) or message or decode(lib.tn_status_name(status))
    return errors.BY_STATUS.get(status, errors.InternalError)(text, entries)


def check(status: int, diag: Optional[Diag] = None, message: str = "") -> None:
    """Raises the exception of a status other than TN_OK, with all that ``diag`` says; warnings become Python's. Empties ``diag``.

    ``message`` stands where the diag says nothing.
    """
    entries = diag.take() if diag is not None else []
    if status != 0:
        raise error_of(status, entries, message)
    for entry in entries:
        if entry.severity == lib.TN_SEVERITY_WARNING:
            warnings.warn(entry.message, errors.TenonWarning, stacklevel=3)
