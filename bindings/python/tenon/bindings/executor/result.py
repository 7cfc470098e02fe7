# SPDX-License-Identifier: Apache-2.0
"""What an Executor answers: Response, and the Result in it."""

from __future__ import annotations

import datetime
import pickle
from typing import Any, List, Optional, Union

from ..._record import A, Bool, Duration, Float32, Int32, Int64, ListOf, OneOf, Record, Str, Tensor, UInt64, field
from ...errors import InvalidArgumentError
from .decoding import SpeculativeDecodingFastLogitsInfo
from .enums import FinishReason
from .request import ContextPhaseParams

_UNSET = datetime.timedelta(0)


class TimingMetrics(Record):
    """Times on the monotonic clock as timedelta; 0: not yet."""

    arrival_time: datetime.timedelta = field(Duration, default=_UNSET)
    first_scheduled_time: datetime.timedelta = field(Duration, default=_UNSET)
    first_token_time: datetime.timedelta = field(Duration, default=_UNSET)
    last_token_time: datetime.timedelta = field(Duration, default=_UNSET)
    kv_cache_transfer_start: datetime.timedelta = field(Duration, default=_UNSET)
    kv_cache_transfer_end: datetime.timedelta = field(Duration, default=_UNSET)
    kv_cache_size: int = field(UInt64, default=0)


class KvCacheMetrics(Record):
    """Blocks of one sequence. ``kv_cache_hit_rate`` = reused / (reused + missed)."""

    num_total_allocated_blocks: int = field(Int32, default=0)
    num_new_allocated_blocks: int = field(Int32, default=0)
    num_reused_blocks: int = field(Int32, default=0)
    num_missed_blocks: int = field(Int32, default=0)
    kv_cache_hit_rate: float = field(Float32, default=0.0)


class SpeculativeDecodingMetrics(Record):
    acceptance_rate: float = field(Float32, default=0.0)
    total_accepted_draft_tokens: int = field(Int32, default=0)
    total_draft_tokens: int = field(Int32, default=0)


class RequestPerfMetrics(Record):
    """Of one sequence; ``iter`` counts its iterations before that of this response's last token."""

    timing_metrics: TimingMetrics = field(A(TimingMetrics), default_factory=TimingMetrics)
    kv_cache_metrics: KvCacheMetrics = field(A(KvCacheMetrics), default_factory=KvCacheMetrics)
    speculative_decoding: SpeculativeDecodingMetrics = field(A(SpeculativeDecodingMetrics), default_factory=SpeculativeDecodingMetrics)
    first_iter: Optional[int] = field(UInt64, default=None)
    last_iter: Optional[int] = field(UInt64, default=None)
    iter: Optional[int] = field(UInt64, default=None)


class AdditionalOutput(Record):
    """``name``: "context_" or "generation_" before that of the request's AdditionalModelOutput; ``output`` has the shape of the logits of these
    tokens, with the output's own columns."""

    name: str = field(Str)
    output: Any = field(Tensor)


class Result(Record):
    """One response's content.

    ``output_token_ids`` [beams][tokens]: without streaming the prompt (unless excluded) and all that was generated, with streaming the tokens since
    the last response, or all so far. ``log_probs`` [beams][tokens generated so far], ``cum_log_probs`` [beams].
    ``context_logits`` [prompt, vocab]. ``generation_logits``: without streaming [beams, tokens, vocab]; with it [tokens of this response, beams, vocab].
    ``finish_reasons`` [beams]. ``is_final``: the whole request is done; ``is_sequence_final``: this sequence.
    """

    is_final: bool = field(Bool, default=False)
    output_token_ids: List[List[int]] = field(ListOf(ListOf(Int32)), default_factory=list)
    cum_log_probs: Optional[List[float]] = field(ListOf(Float32), default=None)
    log_probs: Optional[List[List[float]]] = field(ListOf(ListOf(Float32)), default=None)
    context_logits: Any = field(Tensor, default=None)
    generation_logits: Any = field(Tensor, default=None)
    spec_dec_fast_logits_info: Optional[SpeculativeDecodingFastLogitsInfo] = field(A(SpeculativeDecodingFastLogitsInfo), default=None)
    encoder_output: Any = field(Tensor, default=None)
    finish_reasons: List[FinishReason] = field(ListOf(OneOf(FinishReason)), default_factory=list)
    context_phase_params: Optional[ContextPhaseParams] = field(A(ContextPhaseParams), default=None)
    decoding_iter: int = field(Int32, default=0)
    avg_decoded_tokens_per_iter: float = field(Float32, default=0.0)
    sequence_index: int = field(Int32, default=0)
    is_sequence_final: bool = field(Bool, default=False)
    request_perf_metrics: Optional[RequestPerfMetrics] = field(A(RequestPerfMetrics), default=None)
    additional_outputs: List[AdditionalOutput] = field(ListOf(A(AdditionalOutput)), default_factory=list)

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        state["additional_outputs"], state["spec_dec_fast_logits_info"] = [], None  # upstream does not keep them either
        return state


def deserialize_result(data: bytes) -> Result:
    """The Result that ``pickle.dumps`` made these bytes of. Only for bytes that you trust, as with pickle."""
    result = pickle.loads(data)
    if not isinstance(result, Result):
        raise InvalidArgumentError(f"the bytes hold a {type(result).__name__}, not a Result")
    return result


class Response:
    """An answer, or a part of it: ``Response(request_id, Result)``, or an error: ``Response(request_id, "why")``."""

    __slots__ = ("_request_id", "_client_id", "_error", "_result")

    def __init__(self, request_id: int, result: Union[Result, str, None] = None, client_id: Optional[int] = None, *,
                 error_msg: Optional[str] = None) -> None:
        if isinstance(result, str):
            result, error_msg = None, result
        if (result is None) == (error_msg is None):
            raise TypeError("Response() needs a Result or an error message")
        if result is not None and not isinstance(result, Result):
            raise TypeError(f"Response() takes a Result or a str, not {type(result).__name__}")
        self._request_id = UInt64.accept(request_id, "Response.request_id")
        self._client_id = None if client_id is None else UInt64.accept(client_id, "Response.client_id")
        self._error, self._result = error_msg, result

    @property
    def request_id(self) -> int:
        return self._request_id

    @property
    def client_id(self) -> Optional[int]:
        return self._client_id

    def has_error(self) -> bool:
        return self._error is not None

    @property
    def error_msg(self) -> str:
        """RuntimeError if there is none."""
        if self._error is None:
            raise InvalidArgumentError(f"the response of request {self._request_id} has no error")
        return self._error

    @property
    def result(self) -> Result:
        """RuntimeError if the request failed."""
        if self._result is None:
            raise InvalidArgumentError(f"the response of request {self._request_id} is an error: {self._error}")
        return self._result

    def clear_context_logits(self) -> None:
        if self._result is not None:
            self._result.context_logits = None

    def clear_generation_logits(self) -> None:
        if self._result is not None:
            self._result.generation_logits = None

    def __reduce__(self) -> Any:
        return Response, (self._request_id, self._error if self._result is None else self._result, self._client_id)

    def __repr__(self) -> str:
        return f"Response({self._request_id}, {self._error if self._result is None else self._result!r})"
