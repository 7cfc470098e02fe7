# SPDX-License-Identifier: Apache-2.0
"""``logger``: what TensorRT-LLM's scripts call; Python's logging under the name "tenon"."""

from __future__ import annotations

import logging
from typing import Any

_LEVELS = {"verbose": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR,
           "internal_error": logging.CRITICAL}


class _Logger:
    def __init__(self) -> None:
        self._logger = logging.getLogger("tenon")
        self._trt: Any = None

    def set_level(self, level: str) -> None:
        if level not in _LEVELS:
            raise ValueError(f"a level is one of {', '.join(_LEVELS)}, not {level!r}")
        self._logger.setLevel(_LEVELS[level])

    def __getattr__(self, name: str) -> Any:
        if name in ("debug", "info", "warning", "error", "critical", "log"):
            return getattr(self._logger, name)
        raise AttributeError(f"the logger has no attribute '{name}'")

    @property
    def trt_logger(self) -> Any:
        """The same for ``tenon.trt``."""
        if self._trt is None:
            from . import trt

            class Forward(trt.Logger):
                def log(self, severity: Any, msg: str) -> None:
                    level = {"VERBOSE": logging.DEBUG}.get(severity.name, _LEVELS.get(severity.name.lower(), logging.INFO))
                    logging.getLogger("tenon").log(level, msg)

            self._trt = Forward(trt.Logger.VERBOSE)
        return self._trt


logger = _Logger()
