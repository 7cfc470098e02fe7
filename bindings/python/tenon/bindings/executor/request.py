# SPDX-License-Identifier: Apache-2.0
"""What a client asks for: Request, and what it holds."""

from __future__ import annotations

import datetime
import enum
from typing import Any, Callable, ClassVar, List, Optional

from ..._record import (A, Bool, Bytes, Duration, Float32, Function, Int32, Kind, ListOf, OneOf, Record, Rule, Str, Tensor, UInt64, above,
                        above_up_to, at_least, between, field, not_empty)
from ..._tensor import shape_of
from ...errors import InvalidArgumentError
from .decoding import EagleConfig, ExternalDraftTokensConfig, LookaheadDecodingConfig
from .enums import RequestType


class SamplingConfig(Record, aliases={"random_seed": "seed", "min_length": "min_tokens"}):
    """How tokens are drawn. None means the default in the comment; without ``top_k`` and ``top_p`` a request is greedy.

    Numbers are float32: 0.9 reads back as 0.8999999762.
    """

    beam_width: int = field(Int32, default=1, check=between(1, 1024))
    top_k: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)  # 0 = all
    top_p: Optional[float] = field(Float32, default=None, check=above_up_to(0, 1), kw_only=True)  # off
    top_p_min: Optional[float] = field(Float32, default=None, check=between(0, 1), kw_only=True)  # 1e-6
    top_p_reset_ids: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)  # none
    top_p_decay: Optional[float] = field(Float32, default=None, check=above_up_to(0, 1), kw_only=True)  # 1
    seed: Optional[int] = field(UInt64, default=None, kw_only=True)  # 0
    temperature: Optional[float] = field(Float32, default=None, check=at_least(0), kw_only=True)  # 1; 0 = greedy
    min_tokens: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)  # 1
    beam_search_diversity_rate: Optional[float] = field(Float32, default=None, check=at_least(0), kw_only=True)  # 0
    repetition_penalty: Optional[float] = field(Float32, default=None, check=above(0), kw_only=True)  # 1
    presence_penalty: Optional[float] = field(Float32, default=None, kw_only=True)  # 0
    frequency_penalty: Optional[float] = field(Float32, default=None, kw_only=True)  # 0
    prompt_ignore_length: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)  # 0: prompt tokens that penalties skip
    length_penalty: Optional[float] = field(Float32, default=None, check=at_least(0), kw_only=True, free_setter=True)  # 0
    early_stopping: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True, free_setter=True)  # 1
    no_repeat_ngram_size: Optional[int] = field(Int32, default=None, check=at_least(0), kw_only=True)  # off
    num_return_sequences: Optional[int] = field(Int32, default=None, check=above(0), kw_only=True)  # 1
    min_p: Optional[float] = field(Float32, default=None, check=between(0, 1), kw_only=True)  # 0
    beam_width_array: Optional[List[int]] = field(
        ListOf(Int32), default=None, kw_only=True,
        check=Rule(lambda widths: len(widths) <= 8 and all(1 <= w <= 1023 for w in widths), "at most 8 widths of 1 to 1023"))

    def _check(self) -> None:
        if self.beam_width_array:
            self.__dict__["beam_width"] = max([self.beam_width, *self.beam_width_array])
        self._check_sequences(self.beam_width, self.num_return_sequences)

    @staticmethod
    def _check_sequences(beam_width: int, num_return_sequences: Optional[int]) -> None:
        if beam_width > 1 and num_return_sequences is not None and num_return_sequences > beam_width:
            raise InvalidArgumentError(
                f"SamplingConfig.num_return_sequences is {num_return_sequences}, must be at most beam_width, which is {beam_width}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "num_return_sequences":
            self._check_sequences(self.beam_width, value)
        super().__setattr__(name, value)

    @property
    def num_return_beams(self) -> int:
        """Beams in an answer: ``num_return_sequences`` of them where both are set, else all."""
        return min(self.num_return_sequences or self.beam_width, self.beam_width) if self.beam_width > 1 else self.beam_width


class AdditionalModelOutput(Record):
    """An output of the model by name: ``hidden_states`` (what goes into the product that makes the logits), of engines built with
    ``hidden_states=True``; others are refused by name. ``gather_context``: also a row for each token of the prompt."""

    name: str = field(Str)
    gather_context: bool = field(Bool, default=False)


class OutputConfig(Record):
    """What comes with the tokens. ``exclude_input_from_output``: without streaming, the prompt is left out of ``output_token_ids``."""

    return_log_probs: bool = field(Bool, default=False)
    return_context_logits: bool = field(Bool, default=False)
    return_generation_logits: bool = field(Bool, default=False)
    exclude_input_from_output: bool = field(Bool, default=False)
    return_encoder_output: bool = field(Bool, default=False)
    return_perf_metrics: bool = field(Bool, default=False)
    additional_model_outputs: Optional[List[AdditionalModelOutput]] = field(ListOf(A(AdditionalModelOutput)), default=None)


class PromptTuningConfig(Record):
    """``embedding_table`` [virtual vocabulary, hidden]; ``input_token_extra_ids``: one a prompt token."""

    embedding_table: Any = field(Tensor, readonly=True)
    input_token_extra_ids: Optional[List[int]] = field(ListOf(UInt64), default=None, readonly=True)


class MropeConfig(Record):
    """``mrope_position_deltas`` may be a tensor of one element."""

    mrope_rotary_cos_sin: Any = field(Tensor, readonly=True)
    mrope_position_deltas: int = field(Int32, readonly=True)


class MultimodalInput(Record):
    multimodal_hashes: List[List[int]] = field(ListOf(ListOf(Int32)), readonly=True)
    multimodal_positions: List[int] = field(ListOf(Int32), readonly=True)
    multimodal_lengths: List[int] = field(ListOf(Int32), readonly=True)


class LoraConfig(Record):
    """``weights`` [modules · layers, size] and ``config`` [modules · layers, 3] (module, layer, rank; int32). Weights need a config."""

    task_id: int = field(UInt64, readonly=True)
    weights: Any = field(Tensor, default=None, readonly=True)
    config: Any = field(Tensor, default=None, readonly=True)

    def _check(self) -> None:
        for name in ("weights", "config"):
            value = getattr(self, name)
            if value is not None and len(shape_of(value)) != 2:
                raise InvalidArgumentError(f"LoraConfig.{name} has {len(shape_of(value))} dimensions, must have 2")
        if self.config is not None and "int32" not in str(self.config.dtype):
            raise InvalidArgumentError(f"LoraConfig.config is of {self.config.dtype}, must be int32")
        if self.weights is None:
            return
        if self.config is None:
            raise InvalidArgumentError("LoraConfig with weights needs a config")
        if shape_of(self.weights)[0] != shape_of(self.config)[0]:
            raise InvalidArgumentError(
                f"LoraConfig: weights has {shape_of(self.weights)[0]} rows and config {shape_of(self.config)[0]}, must be as many")


class GuidedDecodingParams(Record):
    """``guide``: the schema, pattern or grammar; only JSON does without."""

    class GuideType(enum.IntEnum):
        JSON = 0
        JSON_SCHEMA = 1
        REGEX = 2
        EBNF_GRAMMAR = 3
        STRUCTURAL_TAG = 4

    guide_type: "GuidedDecodingParams.GuideType" = field(OneOf(GuideType), readonly=True)
    guide: Optional[str] = field(Str, default=None, readonly=True)

    def _check(self) -> None:
        if self.guide_type != self.GuideType.JSON and self.guide is None:
            raise InvalidArgumentError(f"GuidedDecodingParams of type {self.guide_type.name} needs a guide")


class ContextPhaseParams(Record):
    """What the context half of disaggregated serving hands to the other."""

    first_gen_tokens: List[int] = field(ListOf(Int32), readonly=True)
    req_id: int = field(UInt64, default=0, readonly=True)
    opaque_state: Optional[bytes] = field(Bytes, default=None, readonly=True)
    draft_tokens: Optional[List[int]] = field(ListOf(Int32), default=None, readonly=True)


def _retention(value: Any, what: str) -> Any:
    from .config import KvCacheRetentionConfig  # which needs AdditionalModelOutput of this file

    return A(KvCacheRetentionConfig).accept(value, what)


def _salt(value: Any, what: str) -> int:
    if isinstance(value, str):
        raise TypeError(f"{what} is a str, must be an integer; text goes into cache_salt")
    return UInt64.accept(value, what)


_one_dimension = Rule(lambda tensor: len(shape_of(tensor)) == 1, "a tensor of 1 dimension")


class Request(Record, dynamic=True, aliases={"max_new_tokens": "max_tokens"}):
    """A prompt and what to do with it. The same object may be enqueued many times: enqueue copies.

    ``max_tokens``: to generate, without the prompt. ``end_id`` None or -1: no token ends the answer.
    ``embedding_bias`` [vocab]: added to the logits. ``priority``: higher runs first. ``allotted_time_ms`` (timedelta): after it the request ends
    with TIMED_OUT. ``sampling_config`` and ``output_config`` are copied in and out.

    The fields of features that Tenon does not have (draft tokens, prompt tuning, multimodal input, MRoPE, LoRA, lookahead, EAGLE, guided decoding,
    encoder input, disaggregation, position ids, language adapters) are kept and pickled; an executor answers such a request with an error that
    names the feature.
    """

    BATCHED_POST_PROCESSOR_NAME: ClassVar[str] = "batched"

    input_token_ids: List[int] = field(ListOf(Int32), check=not_empty, readonly=True)
    max_tokens: int = field(Int32, check=above(0), readonly=True)
    streaming: bool = field(Bool, default=False)
    sampling_config: SamplingConfig = field(A(SamplingConfig, copied=True), default_factory=SamplingConfig)
    output_config: OutputConfig = field(A(OutputConfig, copied=True), default_factory=OutputConfig)
    end_id: Optional[int] = field(Int32, default=None)
    pad_id: Optional[int] = field(Int32, default=None, kw_only=True)
    position_ids: Optional[List[int]] = field(ListOf(Int32), default=None, kw_only=True)
    bad_words: Optional[List[List[int]]] = field(ListOf(ListOf(Int32)), default=None, kw_only=True)
    stop_words: Optional[List[List[int]]] = field(ListOf(ListOf(Int32)), default=None, kw_only=True)
    embedding_bias: Any = field(Tensor, default=None, check=_one_dimension, kw_only=True)
    external_draft_tokens_config: Optional[ExternalDraftTokensConfig] = field(A(ExternalDraftTokensConfig), default=None, kw_only=True)
    prompt_tuning_config: Optional[PromptTuningConfig] = field(A(PromptTuningConfig), default=None, kw_only=True)
    multimodal_input: Optional[MultimodalInput] = field(A(MultimodalInput), default=None, kw_only=True)
    multimodal_embedding: Any = field(Tensor, default=None, kw_only=True)
    mrope_config: Optional[MropeConfig] = field(A(MropeConfig), default=None, kw_only=True)
    lora_config: Optional[LoraConfig] = field(A(LoraConfig), default=None, kw_only=True)
    lookahead_config: Optional[LookaheadDecodingConfig] = field(A(LookaheadDecodingConfig), default=None, kw_only=True)
    kv_cache_retention_config: Any = field(Kind(_retention), default=None, kw_only=True)
    logits_post_processor_name: Optional[str] = field(Str, default=None, kw_only=True)
    logits_post_processor: Optional[Callable] = field(Function, default=None, kw_only=True)
    encoder_input_token_ids: Optional[List[int]] = field(ListOf(Int32), default=None, kw_only=True)
    client_id: Optional[int] = field(UInt64, default=None, kw_only=True)
    return_all_generated_tokens: bool = field(Bool, default=False, kw_only=True)
    priority: float = field(Float32, default=0.5, kw_only=True)
    request_type: RequestType = field(OneOf(RequestType), default=RequestType.REQUEST_TYPE_CONTEXT_AND_GENERATION, kw_only=True)
    context_phase_params: Optional[ContextPhaseParams] = field(A(ContextPhaseParams), default=None, kw_only=True)
    encoder_input_features: Any = field(Tensor, default=None, kw_only=True)
    encoder_output_length: Optional[int] = field(Int32, default=None, kw_only=True)
    cross_attention_mask: Any = field(Tensor, default=None, kw_only=True)
    eagle_config: Optional[EagleConfig] = field(A(EagleConfig), default=None, kw_only=True)
    skip_cross_attn_blocks: Any = field(Tensor, default=None, kw_only=True)
    guided_decoding_params: Optional[GuidedDecodingParams] = field(A(GuidedDecodingParams), default=None, kw_only=True)
    language_adapter_uid: Optional[int] = field(Int32, default=None, kw_only=True)
    allotted_time_ms: Optional[datetime.timedelta] = field(Duration, default=None, kw_only=True)
    cache_salt_id: Optional[int] = field(Kind(_salt), default=None, kw_only=True)
    cache_salt: Optional[str] = field(Str, default=None, kw_only=True, check=Rule(lambda s: len(s.encode()) <= 256, "of at most 256 bytes"))

    def __init__(self, *args: Any, num_return_sequences: Optional[int] = None, type: Optional[RequestType] = None, **kwargs: Any) -> None:
        if type is not None:
            kwargs.setdefault("request_type", type)
        super().__init__(*args, **kwargs)
        if num_return_sequences is not None:
            self._set_num_return_sequences(num_return_sequences)

    def _check(self) -> None:
        if self.guided_decoding_params is not None and self.__dict__["sampling_config"].beam_width > 1:
            raise InvalidArgumentError("a Request with guided_decoding_params needs a beam_width of 1")

    def _set_num_return_sequences(self, count: int) -> None:
        sampling = self.__dict__["sampling_config"]
        if sampling.num_return_sequences not in (None, count):
            raise InvalidArgumentError(
                f"Request.num_return_sequences is {count}, the sampling config says {sampling.num_return_sequences}; give it there only")
        sampling.num_return_sequences = count

    @property
    def num_return_sequences(self) -> int:
        """Of the sampling config; 1 where it says nothing."""
        return self.__dict__["sampling_config"].num_return_sequences or 1

    @num_return_sequences.setter
    def num_return_sequences(self, count: int) -> None:
        self.__dict__["sampling_config"].num_return_sequences = count
