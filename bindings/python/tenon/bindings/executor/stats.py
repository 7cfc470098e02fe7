# SPDX-License-Identifier: Apache-2.0
"""What an Executor tells of itself. ``to_json_str`` gives JSON with upstream's keys; an absent part is null."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from ..._record import A, Anything, Bool, Float32, Float64, Int32, Int64, ListOf, OneOf, Record, Str, UInt64, field, to_json
from .enums import RequestStage


class KvCacheStats(Record):
    """Blocks of the cache; ``cache_hit_rate`` = reused / (reused + missed)."""

    max_num_blocks: int = field(Int64, default=0, json="maxNumBlocks")
    free_num_blocks: int = field(Int64, default=0, json="freeNumBlocks")
    used_num_blocks: int = field(Int64, default=0, json="usedNumBlocks")
    tokens_per_block: int = field(Int32, default=0, json="tokensPerBlock")
    alloc_total_blocks: int = field(Int64, default=0, json="allocTotalBlocks")
    alloc_new_blocks: int = field(Int64, default=0, json="allocNewBlocks")
    reused_blocks: int = field(Int64, default=0, json="reusedBlocks")
    missed_blocks: int = field(Int64, default=0, json="missedBlocks")
    cache_hit_rate: float = field(Float64, default=0.0, json="cacheHitRate")


class StaticBatchingStats(Record):
    """With STATIC_BATCH."""

    num_scheduled_requests: int = field(Int32, default=0, json="numScheduledRequests")
    num_context_requests: int = field(Int32, default=0, json="numContextRequests")
    num_ctx_tokens: int = field(Int32, default=0, json="numCtxTokens")
    num_gen_tokens: int = field(Int32, default=0, json="numGenTokens")
    empty_gen_slots: int = field(Int32, default=0, json="emptyGenSlots")


class InflightBatchingStats(Record):
    num_scheduled_requests: int = field(Int32, default=0, json="numScheduledRequests")
    num_context_requests: int = field(Int32, default=0, json="numContextRequests")
    num_gen_requests: int = field(Int32, default=0, json="numGenRequests")
    num_paused_requests: int = field(Int32, default=0, json="numPausedRequests")
    num_ctx_tokens: int = field(Int32, default=0, json="numCtxTokens")
    micro_batch_id: int = field(Int32, default=0, json="microBatchId")
    avg_num_decoded_tokens_per_iter: float = field(Float32, default=0.0, json="avgNumDecodedTokensPerIter")


class SpecDecodingStats(Record):
    num_draft_tokens: int = field(Int64, default=0, json="numDraftTokens")
    num_accepted_tokens: int = field(Int64, default=0, json="numAcceptedTokens")
    num_requests_with_draft_tokens: int = field(Int64, default=0, json="numRequestsWithDraftTokens")
    acceptance_length: float = field(Float64, default=0.0, json="acceptanceLength")
    iter_latency_ms: float = field(Float64, default=0.0, json="iterLatencyMS")
    draft_overhead: float = field(Float64, default=0.0, json="draftOverhead")


class IterationStats(Record):
    """One step of the engine. Memory in bytes, times in ms; ``timestamp`` as %m-%d-%Y %H:%M:%S."""

    timestamp: str = field(Str, default="", json="timestamp")
    iter: int = field(UInt64, default=0, json="iter")
    iter_latency_ms: float = field(Float64, default=0.0, json="iterLatencyMS")
    new_active_requests_queue_latency_ms: float = field(Float64, default=0.0, json="newActiveRequestsQueueLatencyMS")
    num_new_active_requests: int = field(Int32, default=0, json="numNewActiveRequests")
    num_active_requests: int = field(Int32, default=0, json="numActiveRequests")
    num_queued_requests: int = field(Int32, default=0, json="numQueuedRequests")
    num_completed_requests: int = field(Int32, default=0, json="numCompletedRequests")
    max_num_active_requests: int = field(Int32, default=0, json="maxNumActiveRequests")
    max_batch_size_static: int = field(Int32, default=0, json="maxBatchSizeStatic")
    max_batch_size_tuner_recommended: int = field(Int32, default=0, json="maxBatchSizeTunerRecommended")
    max_batch_size_runtime: int = field(Int32, default=0, json="maxBatchSizeRuntime")
    max_num_tokens_static: int = field(Int32, default=0, json="maxNumTokensStatic")
    max_num_tokens_tuner_recommended: int = field(Int32, default=0, json="maxNumTokensTunerRecommended")
    max_num_tokens_runtime: int = field(Int32, default=0, json="maxNumTokensRuntime")
    gpu_mem_usage: int = field(UInt64, default=0, json="gpuMemUsage")
    cpu_mem_usage: int = field(UInt64, default=0, json="cpuMemUsage")
    pinned_mem_usage: int = field(UInt64, default=0, json="pinnedMemUsage")
    kv_cache_stats: Optional[KvCacheStats] = field(A(KvCacheStats), default=None, json="kvCacheStats")
    cross_kv_cache_stats: Optional[KvCacheStats] = field(A(KvCacheStats), default=None)
    static_batching_stats: Optional[StaticBatchingStats] = field(A(StaticBatchingStats), default=None, json="staticBatchingStats")
    inflight_batching_stats: Optional[InflightBatchingStats] = field(A(InflightBatchingStats), default=None, json="inflightBatchingStats")
    specdec_stats: Optional[SpecDecodingStats] = field(A(SpecDecodingStats), default=None, json="specDecodingStats")

    def to_json_str(self) -> str:
        return json.dumps(to_json(self))


class DisServingRequestStats(Record):
    kv_cache_transfer_ms: float = field(Float64, default=0.0, json="kvCacheTransferMS")
    kv_cache_size: int = field(UInt64, default=0, json="kvCacheSize")


class RequestStats(Record):
    """One request in one iteration. ``context_prefill_position``: tokens of the prompt that are read."""

    id: int = field(UInt64, default=0, json="id")
    stage: RequestStage = field(OneOf(RequestStage), default=RequestStage.QUEUED, json="stage")
    context_prefill_position: int = field(Int32, default=0, json="contextPrefillPosition")
    num_generated_tokens: int = field(Int32, default=0, json="numGeneratedTokens")
    avg_num_decoded_tokens_per_iter: float = field(Float32, default=0.0, json="avgNumDecodedTokensPerIter")
    scheduled: bool = field(Bool, default=False, json="scheduled")
    paused: bool = field(Bool, default=False, json="paused")
    dis_serving_stats: Optional[DisServingRequestStats] = field(A(DisServingRequestStats), default=None, json="disServingStats")
    alloc_total_blocks_per_request: int = field(Int32, default=0, json="allocTotalBlocksPerRequest")
    alloc_new_blocks_per_request: int = field(Int32, default=0, json="allocNewBlocksPerRequest")
    reused_blocks_per_request: int = field(Int32, default=0, json="reusedBlocksPerRequest")
    missed_blocks_per_request: int = field(Int32, default=0, json="missedBlocksPerRequest")
    kv_cache_hit_rate_per_request: float = field(Float32, default=0.0, json="kvCacheHitRatePerRequest")

    def to_json_str(self) -> str:
        return json.dumps(to_json(self))


class RequestStatsPerIteration(Record):
    iter: int = field(UInt64, default=0, json="iter")
    request_stats: List[RequestStats] = field(ListOf(A(RequestStats)), default_factory=list, json="requestStats")

    def to_json_str(self) -> str:
        return json.dumps(to_json(self))


class DebugTensorsPerIteration(Record):
    """``debug_tensors``: name → tensor, such as ``forward.input_ids``."""

    iter: int = field(UInt64, default=0)
    debug_tensors: Dict[str, Any] = field(Anything, default_factory=dict)
