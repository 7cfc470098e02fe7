# SPDX-License-Identifier: Apache-2.0
"""How tokens are chosen, beyond sampling: decoding modes and what belongs to speculation. Tenon runs the sampling modes; the classes of the
others check and pickle, an Executor or a request that uses one is refused by name."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from ..._record import A, Bool, Float32, Int32, ListOf, Record, Rule, Tensor, UInt32, UInt64, above_up_to, at_least, field, not_empty
from ..._tensor import shape_of
from ...errors import InvalidArgumentError

# Bits of a mode: features below, the mode itself above
_FLAGS = {"penalties": 0b111, "temperature": 1 << 3, "min_length": 1 << 4, "ban_words": 1 << 5, "stop_words": 1 << 6, "max_length_stop": 1 << 7,
          "explicit_eos_stop": 1 << 8, "no_repeat_ngram": 1 << 9, "min_p": 1 << 10, "variable_beam_width": 1 << 11}
_MODES = ["Auto", "TopK", "TopP", "BeamSearch", "Medusa", "Lookahead", "ExplicitDraftTokens", "ExternalDraftTokens", "Eagle"]
_BIT = {name: 1 << (12 + i) for i, name in enumerate(_MODES)}
_STOPS = _FLAGS["stop_words"] | _FLAGS["max_length_stop"] | _FLAGS["explicit_eos_stop"]
_ALL = _STOPS | _FLAGS["penalties"] | _FLAGS["temperature"] | _FLAGS["min_length"] | _FLAGS["ban_words"] | _FLAGS["no_repeat_ngram"] | _FLAGS["min_p"]


class DecodingMode:
    """A set of bits: the mode and the features it has. Made by the static methods ``Auto()``, ``TopK()`` …"""

    __slots__ = ("_state",)

    def __init__(self, state: int) -> None:
        self._state = UInt32.accept(state, "DecodingMode.state")

    @staticmethod
    def Auto() -> "DecodingMode":
        """TopKTopP where the beam width is 1, else BeamSearch."""
        return DecodingMode(_BIT["Auto"] | _ALL)

    @staticmethod
    def TopK() -> "DecodingMode":
        return DecodingMode(_BIT["TopK"] | _ALL)

    @staticmethod
    def TopP() -> "DecodingMode":
        return DecodingMode(_BIT["TopP"] | _ALL)

    @staticmethod
    def TopKTopP() -> "DecodingMode":
        return DecodingMode(_BIT["TopK"] | _BIT["TopP"] | _ALL)

    @staticmethod
    def BeamSearch() -> "DecodingMode":
        return DecodingMode(_BIT["BeamSearch"] | _ALL)

    @staticmethod
    def Medusa() -> "DecodingMode":
        return DecodingMode(_BIT["Medusa"] | _STOPS | _FLAGS["min_length"])

    @staticmethod
    def Lookahead() -> "DecodingMode":
        return DecodingMode(_BIT["Lookahead"] | _STOPS | _FLAGS["min_length"])

    @staticmethod
    def ExplicitDraftTokens() -> "DecodingMode":
        return DecodingMode(_BIT["ExplicitDraftTokens"] | _STOPS)

    @staticmethod
    def ExternalDraftTokens() -> "DecodingMode":
        return DecodingMode(_BIT["ExternalDraftTokens"] | _ALL)

    @staticmethod
    def Eagle() -> "DecodingMode":
        return DecodingMode(_BIT["Eagle"] | _STOPS)

    def useVariableBeamWidthSearch(self, use: bool) -> "DecodingMode":
        """Sets or clears the bit of beam widths that change from step to step; gives itself."""
        bit = _FLAGS["variable_beam_width"]
        self._state = self._state | bit if use else self._state & ~bit
        return self

    def _has(self, *modes: str) -> bool:
        return any(self._state & _BIT[mode] for mode in modes)

    def isAuto(self) -> bool:
        return self._has("Auto")

    def isTopK(self) -> bool:
        return self._has("TopK")

    def isTopP(self) -> bool:
        return self._has("TopP")

    def isTopKorTopP(self) -> bool:
        return self._has("TopK", "TopP")

    def isTopKandTopP(self) -> bool:
        return self._has("TopK") and self._has("TopP")

    def isBeamSearch(self) -> bool:
        return self._has("BeamSearch")

    def isMedusa(self) -> bool:
        return self._has("Medusa")

    def isLookahead(self) -> bool:
        return self._has("Lookahead")

    def isExplicitDraftTokens(self) -> bool:
        return self._has("ExplicitDraftTokens")

    def isExternalDraftTokens(self) -> bool:
        return self._has("ExternalDraftTokens")

    def isEagle(self) -> bool:
        return self._has("Eagle")

    @property
    def name(self) -> str:
        """"TopKTopP", "Medusa" …"""
        if self.isTopKandTopP():
            return "TopKTopP"
        return next((mode for mode in _MODES if self._has(mode)), "None")

    def __eq__(self, other: Any) -> Any:
        return self._state == other._state if isinstance(other, DecodingMode) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._state)

    def __repr__(self) -> str:
        return f"DecodingMode.{self.name}()"

    def __reduce__(self) -> Tuple[type, Tuple[int]]:
        return DecodingMode, (self._state,)


class LookaheadDecodingConfig(Record):
    """Window, n-gram and verification sizes. An n-gram of 1 needs a window of 1 and no verification set."""

    max_window_size: int = field(Int32, check=at_least(1), readonly=True)
    max_ngram_size: int = field(Int32, check=at_least(1), readonly=True)
    max_verification_set_size: int = field(Int32, check=at_least(0), readonly=True)

    def _check(self) -> None:
        if self.max_ngram_size == 1 and (self.max_window_size != 1 or self.max_verification_set_size != 0):
            raise InvalidArgumentError("LookaheadDecodingConfig with max_ngram_size 1 needs max_window_size 1 and max_verification_set_size 0")

    @staticmethod
    def calculate_speculative_resource_tuple(window: int, ngram: int, verification_set: int) -> Tuple[int, int, int, int]:
        """(max_decoding_tokens, max_path_len, max_draft_tokens, max_draft_path_len) of these sizes."""
        draft = (0 if ngram == 1 else ngram - 2) + (window - 1 + verification_set) * (ngram - 1)
        return draft + 1, ngram, draft, ngram - 1

    def calculate_speculative_resource(self) -> Tuple[int, int, int, int]:
        return self.calculate_speculative_resource_tuple(self.max_window_size, self.max_ngram_size, self.max_verification_set_size)

    @staticmethod
    def get_default_lookahead_decoding_window() -> int:
        return 4

    @staticmethod
    def get_default_lookahead_decoding_ngram() -> int:
        return 3

    @staticmethod
    def get_default_lookahead_decoding_verification_set() -> int:
        return 4


class EagleConfig(Record):
    """``posterior_threshold`` in [0, 1), effective default 0.09. A dynamic tree has no choices."""

    eagle_choices: Optional[List[List[int]]] = field(ListOf(ListOf(Int32)), default=None, readonly=True)
    greedy_sampling: bool = field(Bool, default=True, readonly=True)
    posterior_threshold: Optional[float] = field(Float32, default=None, readonly=True, check=Rule(lambda t: 0 <= t < 1, "0 or more and below 1"))
    use_dynamic_tree: bool = field(Bool, default=False, readonly=True)
    dynamic_tree_max_topK: Optional[int] = field(Int32, default=None, readonly=True)

    def _check(self) -> None:
        if self.use_dynamic_tree and self.eagle_choices:
            raise InvalidArgumentError("EagleConfig with use_dynamic_tree takes no eagle_choices")


class DecodingConfig(Record):
    """The mode, and what it needs. In the constructor a setting needs its mode beside it; setting a property later sets the mode too."""

    decoding_mode: Optional[DecodingMode] = field(A(DecodingMode), default=None)
    lookahead_decoding_config: Optional[LookaheadDecodingConfig] = field(A(LookaheadDecodingConfig), default=None)
    medusa_choices: Optional[List[List[int]]] = field(ListOf(ListOf(Int32)), default=None)
    eagle_config: Optional[EagleConfig] = field(A(EagleConfig), default=None)

    _NEEDS = staticmethod(lambda: (("lookahead_decoding_config", "Lookahead"), ("medusa_choices", "Medusa"), ("eagle_config", "Eagle")))

    def _check(self) -> None:
        for name, mode in self._NEEDS():
            if getattr(self, name) is not None and (self.decoding_mode is None or not self.decoding_mode._has(mode)):
                raise InvalidArgumentError(f"DecodingConfig with {name} needs decoding_mode DecodingMode.{mode}()")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "decoding_mode" and value is not None and value._has("Medusa", "Lookahead", "ExplicitDraftTokens"):
            raise InvalidArgumentError(f"DecodingConfig.decoding_mode cannot be set to {value.name}: set what the mode needs, or construct with both")
        super().__setattr__(name, value)
        for setting, mode in self._NEEDS():
            if setting == name and value is not None:
                super().__setattr__("decoding_mode", getattr(DecodingMode, mode)())


class ExternalDraftTokensConfig(Record):
    """``tokens``: the draft; ``logits`` [num tokens, vocab] of them; ``acceptance_threshold`` in (0, 1]. With ``fast_logits`` the logits are
    fetched from the draft executor."""

    tokens: List[int] = field(ListOf(Int32), check=not_empty, readonly=True)
    logits: Any = field(Tensor, default=None, readonly=True)
    acceptance_threshold: Optional[float] = field(Float32, default=None, check=above_up_to(0, 1), readonly=True)
    fast_logits: Optional[bool] = field(Bool, default=None, readonly=True)

    def _check(self) -> None:
        if self.logits is None:
            return
        shape = shape_of(self.logits)
        wanted = 1 if self.fast_logits else len(self.tokens)
        if len(shape) != 2 or shape[0] != wanted:
            raise InvalidArgumentError(f"ExternalDraftTokensConfig.logits has shape {list(shape)}, must be [{wanted}, …]")


class SpeculativeDecodingConfig(Record):
    fast_logits: bool = field(Bool, default=False)


class SpeculativeDecodingFastLogitsInfo(Record):
    """Where a draft's logits lie."""

    draft_request_id: int = field(UInt64, default=0)
    draft_participant_id: int = field(Int32, default=-1)

    def to_tensor(self) -> Any:
        """Both numbers as float32 bits, [1, 4]: (request id, participant, padding)."""
        import numpy

        from ..._tensor import give

        bits = numpy.zeros(2, dtype=numpy.uint64)
        bits[0] = self.draft_request_id
        bits[1:].view(numpy.int32)[0] = self.draft_participant_id
        return give(bits.view(numpy.float32).reshape(1, 4))
