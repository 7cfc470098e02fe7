# SPDX-License-Identifier: Apache-2.0
"""The enums of the Executor API, with upstream's numbers."""

from __future__ import annotations

import enum


class ModelType(enum.IntEnum):
    """Tenon runs decoders; the others are refused by name."""

    DECODER_ONLY = 0
    ENCODER_ONLY = 1
    ENCODER_DECODER = 2


class BatchingType(enum.IntEnum):
    """``STATIC`` may stand in a configuration; an Executor refuses it (use ``CapacitySchedulerPolicy.STATIC_BATCH``)."""

    STATIC = 0
    INFLIGHT = 1


class CapacitySchedulerPolicy(enum.IntEnum):
    """Which requests run.

    ``GUARANTEED_NO_EVICT``: one starts only if the blocks for its prompt and max_tokens are there; none is ever paused.
    ``MAX_UTILIZATION``: one starts when its prompt fits; when blocks run out, the latest is paused and read again later.
    ``STATIC_BATCH``: as the first, but a batch starts only after the whole batch before it.
    """

    MAX_UTILIZATION = 0
    GUARANTEED_NO_EVICT = 1
    STATIC_BATCH = 2


class ContextChunkingPolicy(enum.IntEnum):
    """How long prompts share a step: each as much as fits, in order; or all in turn, a unit at a time."""

    FIRST_COME_FIRST_SERVED = 0
    EQUAL_PROGRESS = 1


class CommunicationType(enum.IntEnum):
    MPI = 0


class CommunicationMode(enum.IntEnum):
    LEADER = 0
    ORCHESTRATOR = 1


class RequestType(enum.IntEnum):
    """The last two belong to disaggregated serving, which is refused by name."""

    REQUEST_TYPE_CONTEXT_AND_GENERATION = 0
    REQUEST_TYPE_CONTEXT_ONLY = 1
    REQUEST_TYPE_GENERATION_ONLY = 2


class FinishReason(enum.IntEnum):
    """Why a sequence ended; ``NOT_FINISHED`` on every response but its last."""

    NOT_FINISHED = 0
    END_ID = 1
    STOP_WORDS = 2
    LENGTH = 3
    TIMED_OUT = 4
    CANCELLED = 5


class RequestStage(enum.IntEnum):
    QUEUED = 0
    ENCODER_IN_PROGRESS = 1
    CONTEXT_IN_PROGRESS = 2
    GENERATION_IN_PROGRESS = 3
    GENERATION_COMPLETE = 4


class KvCacheTransferMode(enum.IntEnum):
    """Between the device's cache and the host's; Tenon does ``DRAM``."""

    DRAM = 0
    GDS = 1
    POSIX_DEBUG_FALLBACK = 2


class CacheTransceiverBackendType(enum.IntEnum):
    DEFAULT = 0
    MPI = 1
    UCX = 2
    NIXL = 3
    MOONCAKE = 4

    @classmethod
    def from_string(cls, name: str) -> "CacheTransceiverBackendType":
        """By name, in capitals or not. ValueError: no such backend."""
        try:
            return cls[name.upper()]
        except KeyError:
            raise ValueError(f"there is no cache transceiver backend '{name}'") from None
