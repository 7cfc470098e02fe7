# SPDX-License-Identifier: Apache-2.0
"""What an Executor is configured with. Names, order, defaults and rules are upstream's; docs/executor.md says what Tenon refuses."""

from __future__ import annotations

import enum
import os
from typing import Any, Callable, Dict, List, Optional

from ..._record import (A, Anything, Bool, DictOf, Duration, Float32, Function, Int32, Kind, ListOf, Nullable, OneOf, Path, Record, Str,
                        UInt64, above, at_least, between, each, field, inside)
from ...errors import InvalidArgumentError, NotFoundError
from .decoding import DecodingConfig, SpeculativeDecodingConfig
from .enums import (BatchingType, CacheTransceiverBackendType, CapacitySchedulerPolicy, CommunicationMode, CommunicationType,
                    ContextChunkingPolicy, KvCacheTransferMode)
from .request import AdditionalModelOutput


class DynamicBatchConfig(Record):
    """The batch and token limits follow the lengths of the last requests. ``dynamic_batch_moving_average_window``: how many of them."""

    enable_batch_size_tuning: bool = field(Bool, readonly=True)
    enable_max_num_tokens_tuning: bool = field(Bool, readonly=True)
    dynamic_batch_moving_average_window: int = field(Int32, readonly=True)


class SchedulerConfig(Record):
    capacity_scheduler_policy: CapacitySchedulerPolicy = field(
        OneOf(CapacitySchedulerPolicy), default=CapacitySchedulerPolicy.GUARANTEED_NO_EVICT, readonly=True)
    context_chunking_policy: Optional[ContextChunkingPolicy] = field(OneOf(ContextChunkingPolicy), default=None, readonly=True)
    dynamic_batch_config: Optional[DynamicBatchConfig] = field(A(DynamicBatchConfig), default=None, readonly=True)


class RuntimeDefaults(Record):
    """What a model says of its cache, for fields of :class:`KvCacheConfig` that are not set."""

    max_attention_window: Optional[List[int]] = field(ListOf(Int32), default=None, readonly=True)
    sink_token_length: Optional[int] = field(Int32, default=None, readonly=True)


def _accept_windows(value: Any, what: str) -> List[int]:
    return ListOf(Int32).accept([value] if isinstance(value, int) else value, what)  # an int: as in v0.11


class KvCacheConfig(Record):
    """The key/value cache. Its size is the smaller of ``max_tokens`` and ``free_gpu_memory_fraction`` (0.9 where unset) of the memory that is free.

    ``max_attention_window``: tokens, repeated cyclically over the layers; an int stands for a list of one. ``host_cache_size``: bytes.
    ``secondary_offload_min_priority``: only blocks of a priority above it go to the host.
    ``event_buffer_max_size``: cache events that are kept; 0 is off.
    """

    enable_block_reuse: bool = field(Bool, default=True)
    max_tokens: Optional[int] = field(Int32, default=None, check=above(0))
    max_attention_window: Optional[List[int]] = field(Kind(_accept_windows, list), default=None, check=each(above(0)))
    sink_token_length: Optional[int] = field(Int32, default=None, check=above(0))
    free_gpu_memory_fraction: Optional[float] = field(Float32, default=None, check=inside(0, 1))
    host_cache_size: Optional[int] = field(UInt64, default=None)
    onboard_blocks: bool = field(Bool, default=True)
    cross_kv_cache_fraction: Optional[float] = field(Float32, default=None, check=inside(0, 1))
    secondary_offload_min_priority: Optional[int] = field(Int32, default=None)
    event_buffer_max_size: int = field(UInt64, default=0)
    enable_partial_reuse: bool = field(Bool, default=True, kw_only=True)
    copy_on_partial_reuse: bool = field(Bool, default=True, kw_only=True)
    use_uvm: bool = field(Bool, default=False, kw_only=True)
    attention_dp_events_gather_period_ms: int = field(Int32, default=5, check=above(0), kw_only=True)

    def __init__(self, *args: Any, runtime_defaults: Optional[RuntimeDefaults] = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if runtime_defaults is not None:
            self.fill_empty_fields_from_runtime_defaults(runtime_defaults)

    def fill_empty_fields_from_runtime_defaults(self, runtime_defaults: RuntimeDefaults) -> None:
        """Sets ``max_attention_window`` and ``sink_token_length`` where they are None."""
        for name in ("max_attention_window", "sink_token_length"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(runtime_defaults, name))


class TokenRangeRetentionConfig(Record):
    """Blocks whose first token lies in [token_start, token_end) have this priority, 0 to 100; None: to the prompt's end. After
    ``duration_ms`` (timedelta; None: never) it is 35 again."""

    token_start: int = field(Int32)
    token_end: Optional[int] = field(Int32, default=None)
    priority: int = field(Int32, default=35, check=between(0, 100))
    duration_ms: Any = field(Duration, default=None)


class KvCacheRetentionConfig(Record, aliases={"token_range_retention_priorities": "token_range_retention_configs"}):
    """How long a request's blocks are worth keeping. Ranges may touch, not overlap; they are kept sorted by their start, and only the last may be
    open. ``decode_retention_priority``: of the blocks with generated tokens. ValueError for ranges against the rules."""

    token_range_retention_configs: List[TokenRangeRetentionConfig] = field(ListOf(A(TokenRangeRetentionConfig)), readonly=True)
    decode_retention_priority: int = field(Int32, default=35, check=between(0, 100), readonly=True)
    decode_duration_ms: Any = field(Duration, default=None, readonly=True)
    transfer_mode: KvCacheTransferMode = field(OneOf(KvCacheTransferMode), default=KvCacheTransferMode.DRAM, readonly=True)
    directory: Optional[str] = field(Str, default=None, readonly=True)

    def _check(self) -> None:
        ranges = sorted(self.token_range_retention_configs, key=lambda r: r.token_start)
        for i, current in enumerate(ranges):
            if current.token_start < 0:
                raise InvalidArgumentError(f"a retention range starts at {current.token_start}, must be 0 or more")
            if current.token_end is not None and current.token_end <= current.token_start:
                raise InvalidArgumentError(f"a retention range ends at {current.token_end}, must be above its start {current.token_start}")
            if i + 1 < len(ranges) and (current.token_end is None or current.token_end > ranges[i + 1].token_start):
                raise InvalidArgumentError(
                    f"the retention ranges from {current.token_start} and from {ranges[i + 1].token_start} overlap; only the last may be open")
        self.__dict__["token_range_retention_configs"] = ranges


KvCacheRetentionConfig.TokenRangeRetentionConfig = TokenRangeRetentionConfig  # type: ignore[attr-defined]
KvCacheRetentionConfig.TokenRangeRetentionPriority = TokenRangeRetentionConfig  # type: ignore[attr-defined]  # as it was called first
TokenRangeRetentionConfig.__qualname__ = "KvCacheRetentionConfig.TokenRangeRetentionConfig"


class OrchestratorConfig(Record):
    """Refused by an Executor. ``spawn_processes`` needs ``worker_executable_path`` to exist."""

    is_orchestrator: bool = field(Bool, default=True)
    worker_executable_path: str = field(Path, default="")
    orch_leader_comm: Any = field(Anything, default=None)
    spawn_processes: bool = field(Bool, default=True)

    def _check(self) -> None:
        if self.spawn_processes and not os.path.exists(self.worker_executable_path):
            raise NotFoundError(f"OrchestratorConfig.worker_executable_path: there is no '{self.worker_executable_path}'")


class ParallelConfig(Record):
    """Ranks. Tenon runs one: a configuration of more is refused by an Executor."""

    communication_type: CommunicationType = field(OneOf(CommunicationType), default=CommunicationType.MPI)
    communication_mode: CommunicationMode = field(OneOf(CommunicationMode), default=CommunicationMode.LEADER)
    device_ids: Optional[List[int]] = field(ListOf(Int32), default=None)
    participant_ids: Optional[List[int]] = field(ListOf(Int32), default=None)
    orchestrator_config: Optional[OrchestratorConfig] = field(A(OrchestratorConfig), default=None)
    num_nodes: Optional[int] = field(Int32, default=None)


class PeftCacheConfig(Record):
    """The cache of LoRA adapters; anything but the defaults is refused by an Executor."""

    num_host_module_layer: int = field(Int32, default=0, readonly=True)
    num_device_module_layer: int = field(Int32, default=0, readonly=True)
    optimal_adapter_size: int = field(Int32, default=8, readonly=True)
    max_adapter_size: int = field(Int32, default=64, readonly=True)
    num_put_workers: int = field(Int32, default=1, readonly=True)
    num_ensure_workers: int = field(Int32, default=1, readonly=True)
    num_copy_streams: int = field(Int32, default=1, readonly=True)
    max_pages_per_block_host: int = field(Int32, default=24, readonly=True)
    max_pages_per_block_device: int = field(Int32, default=8, readonly=True)
    device_cache_percent: Optional[float] = field(Float32, default=None, readonly=True)
    host_cache_size: Optional[int] = field(UInt64, default=None, readonly=True)
    lora_prefetch_dir: Optional[str] = field(Path, default=None, readonly=True)


class LogitsPostProcessorConfig(Record):
    """Functions that change logits before a token is drawn.

    ``processor_map``: name → ``f(request_id, logits, ids, stream, client_id)``; logits is float32 [1, beams, vocab] in host memory and changed in place
    (a tensor of its size that is returned replaces it), ids is a list of the beams' tokens with the prompt, stream is 0, client_id may be None.
    A function of four arguments gets no client_id. ``processor_batched``: the same with lists of each, and one stream. An exception fails its
    request (batched: the requests of that call), no other.
    """

    processor_map: Optional[Dict[str, Optional[Callable]]] = field(DictOf(Nullable(Function)), default=None)
    processor_batched: Optional[Callable] = field(Function, default=None)
    replicate: bool = field(Bool, default=True)


class GuidedDecodingConfig(Record):
    """Refused by an Executor."""

    class GuidedDecodingBackend(enum.IntEnum):
        XGRAMMAR = 0
        LLGUIDANCE = 1

    backend: "GuidedDecodingConfig.GuidedDecodingBackend" = field(OneOf(GuidedDecodingBackend))
    encoded_vocab: Optional[List[str]] = field(ListOf(Str), default=None)
    tokenizer_str: Optional[str] = field(Str, default=None)
    stop_token_ids: Optional[List[int]] = field(ListOf(Int32), default=None)

    def validate(self) -> None:
        """InvalidArgumentError: XGRAMMAR without ``encoded_vocab``."""
        if self.backend == self.GuidedDecodingBackend.XGRAMMAR and not self.encoded_vocab:
            raise InvalidArgumentError("GuidedDecodingConfig with XGRAMMAR needs encoded_vocab")


class DebugConfig(Record, aliases={"dump_input_tensors": "debug_input_tensors", "dump_output_tensors": "debug_output_tensors"}):
    """Inputs and outputs of the engine after each step. ``debug_tensors_max_iterations``: how many are kept in memory for
    ``get_latest_debug_tensors``; 0 means files upstream, which an Executor refuses here."""

    debug_input_tensors: bool = field(Bool, default=False)
    debug_output_tensors: bool = field(Bool, default=False)
    debug_tensor_names: List[str] = field(ListOf(Str), default_factory=list)
    debug_tensors_max_iterations: int = field(Int32, default=0)


class ExtendedRuntimePerfKnobConfig(Record):
    """Switches of upstream's kernels; they change nothing here."""

    multi_block_mode: bool = field(Bool, default=True)
    enable_context_fmha_fp32_acc: bool = field(Bool, default=False)
    cuda_graph_mode: bool = field(Bool, default=False, init=False)
    cuda_graph_cache_size: int = field(Int32, default=0, init=False)


class CacheTransceiverConfig(Record, aliases={"max_num_tokens": "max_tokens_in_buffer"}):
    """Refused by an Executor."""

    backend: Optional[CacheTransceiverBackendType] = field(OneOf(CacheTransceiverBackendType), default=None)
    max_tokens_in_buffer: Optional[int] = field(UInt64, default=None)


class ExecutorConfig(Record, dynamic=True):
    """Everything an Executor is created with. Nested records are held, not copied: ``config.kv_cache_config.max_tokens = 42`` sticks. Further
    attributes may be set; they change nothing and survive pickling.

    ``max_batch_size``, ``max_num_tokens``: of a step; None: what the engine was built for, which is also the most.
    ``max_queue_size``: waiting sequences; None, 0 or less: no limit.
    """

    max_beam_width: int = field(Int32, default=1, check=above(0))
    scheduler_config: SchedulerConfig = field(A(SchedulerConfig), default_factory=SchedulerConfig)
    kv_cache_config: KvCacheConfig = field(A(KvCacheConfig), default_factory=KvCacheConfig)
    enable_chunked_context: bool = field(Bool, default=False)
    normalize_log_probs: bool = field(Bool, default=True)
    iter_stats_max_iterations: int = field(Int32, default=1000, check=at_least(0))
    request_stats_max_iterations: int = field(Int32, default=0, check=at_least(0))
    batching_type: BatchingType = field(OneOf(BatchingType), default=BatchingType.INFLIGHT)
    max_batch_size: Optional[int] = field(Int32, default=None, check=above(0))
    max_num_tokens: Optional[int] = field(Int32, default=None, check=above(0))
    parallel_config: Optional[ParallelConfig] = field(A(ParallelConfig), default=None)
    peft_cache_config: Optional[PeftCacheConfig] = field(Nullable(A(PeftCacheConfig)), default_factory=PeftCacheConfig)
    logits_post_processor_config: Optional[LogitsPostProcessorConfig] = field(A(LogitsPostProcessorConfig), default=None)
    decoding_config: Optional[DecodingConfig] = field(A(DecodingConfig), default=None)
    use_gpu_direct_storage: bool = field(Bool, default=False)
    gpu_weights_percent: float = field(Float32, default=1.0)
    max_queue_size: Optional[int] = field(Int32, default=None)
    extended_runtime_perf_knob_config: ExtendedRuntimePerfKnobConfig = field(
        A(ExtendedRuntimePerfKnobConfig), default_factory=ExtendedRuntimePerfKnobConfig)
    debug_config: Optional[DebugConfig] = field(A(DebugConfig), default=None)
    recv_poll_period_ms: int = field(Int32, default=0)
    max_seq_idle_microseconds: int = field(UInt64, default=180000000, check=above(0))
    spec_dec_config: Optional[SpeculativeDecodingConfig] = field(A(SpeculativeDecodingConfig), default=None)
    guided_decoding_config: Optional[GuidedDecodingConfig] = field(A(GuidedDecodingConfig), default=None)
    additional_model_outputs: Optional[List[AdditionalModelOutput]] = field(ListOf(A(AdditionalModelOutput)), default=None)
    cache_transceiver_config: Optional[CacheTransceiverConfig] = field(A(CacheTransceiverConfig), default=None)
    gather_generation_logits: bool = field(Bool, default=False)
    mm_embedding_offloading: bool = field(Bool, default=False)
    enable_trt_overlap: bool = field(Bool, default=False)
    fail_fast_on_attention_window_too_large: bool = field(Bool, default=False)

    def __init__(self, *args: Any, logits_post_processor_map: Optional[Dict[str, Callable]] = None,
                 logits_post_processor_batched: Optional[Callable] = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if logits_post_processor_map is not None or logits_post_processor_batched is not None:  # as in v0.11
            if self.logits_post_processor_config is not None:
                raise InvalidArgumentError("ExecutorConfig takes logits_post_processor_config, or the two arguments that it replaces")
            self.logits_post_processor_config = LogitsPostProcessorConfig(logits_post_processor_map, logits_post_processor_batched)
