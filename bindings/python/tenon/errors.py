# SPDX-License-Identifier: Apache-2.0
"""The exceptions of this package.

Every failure of the library is a :class:`TenonError`, which is a ``RuntimeError``; each subclass is also the builtin that fits, so that
``except ValueError`` or ``except FileNotFoundError`` work as one expects.

============================  =======================================  ====================================================
class                         also a                                   what the caller can do
============================  =======================================  ====================================================
``InvalidArgumentError``      ``ValueError``                           the call is wrong: fix the program
``InvalidDataError``          ``ValueError``                           a file, model or message is damaged: fix the input
``NotFoundError``             ``FileNotFoundError``, ``KeyError``      no such file, tensor, request: fix the name
``UnsupportedError``          ``NotImplementedError``                  valid, but not built: the message names it
``IncompatibleError``                                                  made for another device or version: the hint says how
``OutOfMemoryError``          ``MemoryError``                          less work at once, or a larger limit
``UnavailableError``                                                   full, busy or shut down: back off
``CancelledError``                                                     the caller asked for it
``TimedOutError``             ``TimeoutError``                         the time is over; the work may go on
``IoError``                   ``OSError``                              the operating system refused
``InternalError``                                                      a defect of Tenon: report it
``RequestError``                                                       of ``tenon.LLM``: a request was refused or failed
============================  =======================================  ====================================================
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Sequence, Type


class Entry(NamedTuple):
    """One error or warning of a call (``tn_diag_entry``)."""

    severity: int  # 0 info, 1 warning, 2 error
    status: int  # a number of tn_status; 0 for infos and warnings
    message: str
    subject: str  # the layer, tensor, field or request at fault; "" if none
    file: str
    offset: int  # byte in the file, or -1
    hint: str  # the next step; "" if none


class TenonError(RuntimeError):
    """A call of the library failed. ``str()`` gives every error of the call with its hint.

    ``status``: the number of ``tn_status``; ``entries``: the call's :class:`Entry` list; ``hint``: the first error's next step.
    """

    status = 11

    def __init__(self, message: str = "", entries: Sequence[Entry] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.entries = tuple(entries)

    @property
    def hint(self) -> str:
        return next((entry.hint for entry in self.entries if entry.hint), "")

    def __str__(self) -> str:  # KeyError and OSError have forms of their own
        return self.message

    def __reduce__(self):
        return type(self), (self.message, self.entries)


class InvalidArgumentError(TenonError, ValueError):
    status = 1


class InvalidDataError(TenonError, ValueError):
    status = 2


class NotFoundError(TenonError, FileNotFoundError, KeyError):
    status = 3


class UnsupportedError(TenonError, NotImplementedError):
    status = 4


class IncompatibleError(TenonError):
    status = 5


class OutOfMemoryError(TenonError, MemoryError):
    status = 6


class UnavailableError(TenonError):
    status = 7


class CancelledError(TenonError):
    status = 8


class TimedOutError(TenonError, TimeoutError):
    status = 9


class IoError(TenonError, OSError):
    status = 10


class InternalError(TenonError):
    status = 11


class RequestError(TenonError):
    """A request was refused, or failed while it ran; the message says why. No other request suffers."""

    status = 1


class TenonWarning(RuntimeWarning):
    """The call went on, with less than was asked for."""


BY_STATUS: Dict[int, Type[TenonError]] = {
    error.status: error
    for error in (
        InvalidArgumentError, InvalidDataError, NotFoundError, UnsupportedError, IncompatibleError, OutOfMemoryError,
        UnavailableError, CancelledError, TimedOutError, IoError, InternalError,
    )
}
