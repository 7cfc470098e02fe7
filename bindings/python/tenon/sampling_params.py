# SPDX-License-Identifier: Apache-2.0
"""SamplingParams: what ``tenon.LLM`` is asked for beside a prompt."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Union

from ._record import Bool, Float32, Function, Int32, Kind, ListOf, Record, Str, Tensor, UInt64, above, above_up_to, at_least, between, field
from .errors import InvalidArgumentError


def _accept_strings(value: Any, what: str) -> List[str]:
    return ListOf(Str).accept([value] if isinstance(value, str) else value, what)


_Strings = Kind(_accept_strings, list)


class SamplingParams(Record):
    """How to answer, under the names of TensorRT-LLM's LLM API. None means off, or the executor's default.

    Without ``temperature``, ``top_k``, ``top_p`` and ``min_p`` an answer is greedy; a temperature alone samples from the whole distribution.

    ``max_tokens``: to generate. ``n``: answers for each prompt; ``best_of`` ≥ n: as many are drawn, the n most likely are given.
    ``use_beam_search``: n of ``best_of`` (default n) beams. ``stop``: texts that end an answer; they are left out unless
    ``include_stop_str_in_output``. ``stop_token_ids``: ids that do. ``end_id``: in place of the model's own; -1: none. ``ignore_eos``: go on
    after the model's end ids. ``bad``, ``bad_token_ids``: texts and ids that are not generated. ``logprobs``: K ≥ 0 gives, for each token, its
    own log-probability and the K largest; ``prompt_logprobs``: 0 gives those of the prompt's tokens. ``logits_processor``:
    ``f(request_id, logits, ids, stream, client_id)`` as in ``tenon.bindings.executor``. ``truncate_prompt_tokens``: only the last so many.
    ``allotted_time_ms`` (Tenon's): after it an answer ends with "timeout".

    Values out of range: InvalidArgumentError (a ValueError); wrong types: TypeError.
    """

    max_tokens: int = field(Int32, default=32, check=above(0))
    temperature: Optional[float] = field(Float32, default=None, check=at_least(0))
    top_k: Optional[int] = field(Int32, default=None, check=at_least(0))
    top_p: Optional[float] = field(Float32, default=None, check=above_up_to(0, 1))
    n: int = field(Int32, default=1, check=above(0), kw_only=True)
    best_of: Optional[int] = field(Int32, default=None, check=above(0), kw_only=True)
    use_beam_search: bool = field(Bool, default=False, kw_only=True)
    end_id: Optional[int] = field(Int32, default=None, check=at_least(-1), kw_only=True)
    pad_id: Optional[int] = field(Int32, default=None, kw_only=True)
    ignore_eos: bool = field(Bool, default=False, kw_only=True)
    stop: Optional[Union[str, List[str]]] = field(_Strings, default=None, kw_only=True)
    stop_token_ids: Optional[List[int]] = field(ListOf(Int32), default=None, kw_only=True)
    include_stop_str_in_output: bool = field(Bool, default=False, kw_only=True)
    bad: Optional[Union[str, List[str]]] = field(_Strings, default=None, kw_only=True)
    bad_token_ids: Optional[List[int]] = field(ListOf(Int32), default=None, kw_only=True)
    seed: Optional[int] = field(UInt64, default=None, kw_only=True)
    top_p_min: Optional[float] = field(Float32, default=None, check=between(0, 1), kw_only=True)
    top_p_reset_ids: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)
    top_p_decay: Optional[float] = field(Float32, default=None, check=above_up_to(0, 1), kw_only=True)
    min_p: Optional[float] = field(Float32, default=None, check=between(0, 1), kw_only=True)
    min_tokens: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)
    repetition_penalty: Optional[float] = field(Float32, default=None, check=above(0), kw_only=True)
    presence_penalty: Optional[float] = field(Float32, default=None, kw_only=True)
    frequency_penalty: Optional[float] = field(Float32, default=None, kw_only=True)
    prompt_ignore_length: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)
    no_repeat_ngram_size: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)
    beam_search_diversity_rate: Optional[float] = field(Float32, default=None, check=at_least(0), kw_only=True)
    length_penalty: Optional[float] = field(Float32, default=None, check=at_least(0), kw_only=True)
    early_stopping: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)
    beam_width_array: Optional[List[int]] = field(ListOf(Int32), default=None, kw_only=True)
    embedding_bias: Any = field(Tensor, default=None, kw_only=True)
    logits_processor: Optional[Callable] = field(Function, default=None, kw_only=True)
    logprobs: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)
    prompt_logprobs: Optional[int] = field(Int32, default=None, check=between(0, 0), kw_only=True)
    return_context_logits: bool = field(Bool, default=False, kw_only=True)
    return_generation_logits: bool = field(Bool, default=False, kw_only=True)
    return_perf_metrics: bool = field(Bool, default=False, kw_only=True)
    detokenize: bool = field(Bool, default=True, kw_only=True)
    add_special_tokens: bool = field(Bool, default=True, kw_only=True)
    skip_special_tokens: bool = field(Bool, default=True, kw_only=True)
    truncate_prompt_tokens: Optional[int] = field(Int32, default=None, check=above(0), kw_only=True)
    allotted_time_ms: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)

    def _check(self) -> None:
        if self.best_of is not None and self.best_of < self.n:
            raise InvalidArgumentError(f"SamplingParams.best_of is {self.best_of}, must be at least n, which is {self.n}")
        if self.stop and any(not text for text in self.stop):
            raise InvalidArgumentError("SamplingParams.stop holds an empty text")
        if not self.use_beam_search and self._is_greedy and max(self.n, self.best_of or 0) > 1:
            raise InvalidArgumentError("SamplingParams asks for several answers, but greedy ones are all the same: set a temperature, or use_beam_search")

    @property
    def _is_greedy(self) -> bool:
        return self.temperature == 0 or not (self.temperature or self.top_k or self.top_p or self.min_p)

    @property
    def _num_drawn(self) -> int:
        return max(self.n, self.best_of or 0)
