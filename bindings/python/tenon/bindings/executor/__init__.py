# SPDX-License-Identifier: Apache-2.0
"""The Executor API under TensorRT-LLM's names: requests in, tokens out, batched in flight over a paged key/value cache.

    from tenon.bindings import executor as trtllm

    with trtllm.Executor("engine_dir", trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig()) as executor:
        id = executor.enqueue_request(trtllm.Request([1, 2, 3, 4], max_tokens=10))
        print(executor.await_responses(id)[0].result.output_token_ids)

Classes of features that Tenon does not have exist, check and pickle; an Executor or a request that uses one is refused by name. docs/executor.md
says where Tenon differs.
"""

from ...version import __version__
from . import kv_cache
from .config import (CacheTransceiverConfig, DebugConfig, DynamicBatchConfig, ExecutorConfig, ExtendedRuntimePerfKnobConfig, GuidedDecodingConfig,
                     KvCacheConfig, KvCacheRetentionConfig, LogitsPostProcessorConfig, OrchestratorConfig, ParallelConfig, PeftCacheConfig,
                     RuntimeDefaults, SchedulerConfig)
from .decoding import (DecodingConfig, DecodingMode, EagleConfig, ExternalDraftTokensConfig, LookaheadDecodingConfig, SpeculativeDecodingConfig,
                       SpeculativeDecodingFastLogitsInfo)
from .enums import (BatchingType, CacheTransceiverBackendType, CapacitySchedulerPolicy, CommunicationMode, CommunicationType,
                    ContextChunkingPolicy, FinishReason, KvCacheTransferMode, ModelType, RequestStage, RequestType)
from .executor import Executor
from .kv_cache import KVCacheEventManager
from .request import (AdditionalModelOutput, ContextPhaseParams, GuidedDecodingParams, LoraConfig, MropeConfig, MultimodalInput, OutputConfig,
                      PromptTuningConfig, Request, SamplingConfig)
from .result import (AdditionalOutput, KvCacheMetrics, RequestPerfMetrics, Response, Result, SpeculativeDecodingMetrics, TimingMetrics,
                     deserialize_result)
from .stats import (DebugTensorsPerIteration, DisServingRequestStats, InflightBatchingStats, IterationStats, KvCacheStats, RequestStats,
                    RequestStatsPerIteration, SpecDecodingStats, StaticBatchingStats)

__all__ = [name for name in dir() if not name.startswith("_")] + ["__version__"]
