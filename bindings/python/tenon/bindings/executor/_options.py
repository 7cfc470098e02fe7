# SPDX-License-Identifier: Apache-2.0
"""From the records of this package to the C structs. What Tenon does not do is refused here by name, or named in the request's features."""

from __future__ import annotations

import hashlib
from typing import Any, List, NamedTuple

import numpy

from ..._ffi import encode, ffi, lib
from ..._tensor import as_array
from ...errors import InvalidArgumentError, UnsupportedError
from .config import ExecutorConfig, KvCacheConfig, PeftCacheConfig
from .enums import BatchingType, CommunicationMode, RequestType
from .request import Request, SamplingConfig

# --- requests -----------------------------------------------------------------------------------------------------------------

# field of Request: what it asks for, of tn_request_feature
_FEATURES = {
    "lora_config": lib.TN_REQUEST_LORA,
    "prompt_tuning_config": lib.TN_REQUEST_PROMPT_TUNING,
    "multimodal_input": lib.TN_REQUEST_MULTIMODAL,
    "multimodal_embedding": lib.TN_REQUEST_MULTIMODAL,
    "mrope_config": lib.TN_REQUEST_MROPE,
    "external_draft_tokens_config": lib.TN_REQUEST_EXTERNAL_DRAFT_TOKENS,
    "lookahead_config": lib.TN_REQUEST_LOOKAHEAD,
    "eagle_config": lib.TN_REQUEST_EAGLE,
    "guided_decoding_params": lib.TN_REQUEST_GUIDED_DECODING,
    "encoder_input_token_ids": lib.TN_REQUEST_ENCODER,
    "encoder_input_features": lib.TN_REQUEST_ENCODER,
    "encoder_output_length": lib.TN_REQUEST_ENCODER,
    "cross_attention_mask": lib.TN_REQUEST_ENCODER,
    "skip_cross_attn_blocks": lib.TN_REQUEST_ENCODER,
    "context_phase_params": lib.TN_REQUEST_DISAGGREGATED,
    "position_ids": lib.TN_REQUEST_POSITION_IDS,
    "language_adapter_uid": lib.TN_REQUEST_LANGUAGE_ADAPTER,
}

# fields of SamplingConfig with the same meaning in tn_sampling_config
_SAMPLING = {name: name for name in SamplingConfig.__fields__ if name != "beam_width_array"}
_SAMPLING["top_p_reset_ids"] = "top_p_reset_id"


def features_of(request: Request) -> int:
    features = 0
    for name, feature in _FEATURES.items():
        if request.__dict__[name] is not None:
            features |= feature
    output = request.__dict__["output_config"]
    if output.return_encoder_output:
        features |= lib.TN_REQUEST_ENCODER
    if request.request_type != RequestType.REQUEST_TYPE_CONTEXT_AND_GENERATION:
        features |= lib.TN_REQUEST_DISAGGREGATED
    return features


def _fill_sampling(sampling: Any, config: SamplingConfig, keep: List[Any]) -> None:
    for name, member in _SAMPLING.items():
        value = config.__dict__[name]
        if value is not None:
            setattr(sampling, member, value)
    widths = config.__dict__["beam_width_array"]
    if widths:
        keep.append(ffi.new("int32_t[]", widths))
        sampling.beam_width_array, sampling.num_beam_widths = keep[-1], len(widths)


def _word_lists(words: List[List[int]], keep: List[Any]) -> Any:
    lists = ffi.new("tn_token_list[]", len(words))
    for i, ids in enumerate(words):
        keep.append(ffi.new("int32_t[]", ids))
        lists[i].ids, lists[i].num_ids = keep[-1], len(ids)
    keep.append(lists)
    return lists


def _retention(config: Any, keep: List[Any]) -> Any:
    retention = ffi.new("tn_kv_retention *")
    lib.tn_kv_retention_init(retention)
    ranges = ffi.new("tn_retention_range[]", len(config.token_range_retention_configs))
    for target, source in zip(ranges, config.token_range_retention_configs):
        target.token_start, target.priority = source.token_start, source.priority
        target.token_end = -1 if source.token_end is None else source.token_end
        target.duration_ms = whole_ms(source.duration_ms)
    retention.ranges, retention.num_ranges = ranges, len(ranges)
    retention.decode_priority = config.decode_retention_priority
    retention.decode_duration_ms = whole_ms(config.decode_duration_ms)
    keep += [ranges, retention]
    return retention


def _additional_outputs(outputs: List[Any], keep: List[Any]) -> Any:
    array = ffi.new("tn_additional_output[]", len(outputs))
    for target, output in zip(array, outputs):
        keep.append(ffi.new("char[]", encode(output.name)))
        target.name, target.gather_context = keep[-1], output.gather_context
    keep.append(array)
    return array


def whole_ms(duration: Any) -> int:
    """-1 for None."""
    return -1 if duration is None else int(duration.total_seconds() * 1e3)


def cache_salt_of(request: Request) -> int:
    salt = request.cache_salt_id or 0
    if request.cache_salt is not None:
        salt ^= int.from_bytes(hashlib.blake2b(request.cache_salt.encode(), digest_size=8).digest(), "little")
    return salt


class More(NamedTuple):
    """What tenon.LLM asks for beyond upstream's Request; stands in its ``__dict__`` under ``MORE``, and what it gives in the Result's."""

    end_ids: List[int]  # further ids that end an answer
    num_log_probs: int  # −1: none; K: of each token, and of the K most likely
    prompt_log_probs: bool


MORE = "_more"


def _fill_more(target: Any, more: More, keep: List[Any]) -> None:
    keep.append(ffi.new("int32_t[]", more.end_ids))
    target.more_end_ids, target.num_more_end_ids = keep[-1], len(more.end_ids)
    target.num_log_probs, target.return_prompt_log_probs = more.num_log_probs, more.prompt_log_probs


def fill_request(target: Any, request: Request, keep: List[Any]) -> None:
    """``target``: tn_request *; what it points to lives in ``keep``. The post-processor of its own is the caller's."""
    values = request.__dict__
    ids = ffi.new("int32_t[]", values["input_token_ids"])
    keep.append(ids)
    lib.tn_request_init(target, ids, len(values["input_token_ids"]), values["max_tokens"])
    target.streaming = values["streaming"]
    _fill_sampling(target.sampling, values["sampling_config"], keep)
    if values["end_id"] is not None:
        target.end_id = values["end_id"]
    for name in ("stop_words", "bad_words"):
        if values[name]:
            setattr(target, name, _word_lists(values[name], keep))
            setattr(target, "num_" + name, len(values[name]))
    if values["embedding_bias"] is not None:
        bias = as_array(values["embedding_bias"], numpy.float32)
        keep.append(ffi.from_buffer("float[]", bias))
        target.embedding_bias, target.embedding_bias_size = keep[-1], bias.size
    output = values["output_config"]
    target.num_log_probs = 0 if output.return_log_probs else -1
    target.return_context_logits = output.return_context_logits
    target.return_generation_logits = output.return_generation_logits
    target.return_perf_metrics = output.return_perf_metrics
    if output.additional_model_outputs:
        target.additional_outputs = _additional_outputs(output.additional_model_outputs, keep)
        target.num_additional_outputs = len(output.additional_model_outputs)
    target.priority = values["priority"]
    if values["client_id"] is not None:
        target.client_id, target.has_client_id = values["client_id"], True
    target.cache_salt = cache_salt_of(request)
    target.return_all_generated_tokens = values["return_all_generated_tokens"]
    target.allotted_time_ms = whole_ms(values["allotted_time_ms"])
    if values["logits_post_processor_name"] is not None:
        keep.append(ffi.new("char[]", encode(values["logits_post_processor_name"])))
        target.logits_post_processor_name = keep[-1]
    if values["kv_cache_retention_config"] is not None:
        target.retention = _retention(values["kv_cache_retention_config"], keep)
    target.features = features_of(request)
    more = values.get(MORE)
    if more is not None:
        _fill_more(target, more, keep)


# --- the executor's options ----------------------------------------------------------------------------------------------------


def _refuse(what: str, hint: str = "") -> None:
    raise UnsupportedError(f"cannot create the executor: {what} is not built" + (f"\n  {hint}" if hint else ""))


def refuse_absent(config: ExecutorConfig) -> None:
    """UnsupportedError names the first thing in the configuration that Tenon does not do."""
    if config.batching_type == BatchingType.STATIC:
        raise InvalidArgumentError(
            "cannot create the executor: BatchingType.STATIC is deprecated, use INFLIGHT with CapacitySchedulerPolicy.STATIC_BATCH")
    parallel = config.parallel_config
    if parallel is not None:
        if parallel.communication_mode == CommunicationMode.ORCHESTRATOR or parallel.orchestrator_config is not None:
            _refuse("orchestrator mode")
        if max(len(parallel.device_ids or []), len(parallel.participant_ids or []), parallel.num_nodes or 1) > 1:
            _refuse("running on more than one rank")
    if config.peft_cache_config is not None and config.peft_cache_config != PeftCacheConfig():
        _refuse("LoRA (PeftCacheConfig)", "leave peft_cache_config at its default")
    decoding = config.decoding_config
    mode = decoding.decoding_mode if decoding is not None else None
    if mode is not None and not (mode.isAuto() or mode.isTopKorTopP() or mode.isBeamSearch()):
        _refuse(f"the decoding mode {mode.name}")
    for output in config.additional_model_outputs or []:
        if output.name != "hidden_states":
            _refuse(f"the additional model output '{output.name}'", "there is one: hidden_states")
    cache = config.kv_cache_config
    for what, is_asked in (
        ("weight streaming (gpu_weights_percent)", config.gpu_weights_percent != 1.0),
        ("GPU direct storage", config.use_gpu_direct_storage),
        ("speculative decoding (spec_dec_config)", config.spec_dec_config is not None),
        ("guided decoding", config.guided_decoding_config is not None),
        ("disaggregated serving (cache_transceiver_config)", config.cache_transceiver_config is not None),
        ("offloading of multimodal embeddings", config.mm_embedding_offloading),
        ("a key/value cache in unified memory (use_uvm)", cache.use_uvm),
        ("a share of the cache for cross attention", cache.cross_kv_cache_fraction is not None),
    ):
        if is_asked:
            _refuse(what)


def _fill_cache(options: Any, cache: KvCacheConfig) -> None:
    options.enable_block_reuse = cache.enable_block_reuse
    options.max_cache_tokens = cache.max_tokens or 0
    if cache.free_gpu_memory_fraction is not None:
        options.cache_memory_fraction = cache.free_gpu_memory_fraction
    options.enable_partial_reuse, options.copy_on_partial_reuse = cache.enable_partial_reuse, cache.copy_on_partial_reuse
    options.max_attention_window = min(cache.max_attention_window or [0])
    options.sink_token_length = cache.sink_token_length or 0
    options.host_cache_bytes, options.onboard_blocks = cache.host_cache_size or 0, cache.onboard_blocks
    if cache.secondary_offload_min_priority is not None:
        options.secondary_offload_min_priority = cache.secondary_offload_min_priority
    options.event_buffer_max_size = min(cache.event_buffer_max_size, 2**31 - 1)


def _fill_debug(options: Any, debug: Any, keep: List[Any]) -> None:
    if debug is None:
        return
    wants_any = debug.debug_input_tensors or debug.debug_output_tensors or debug.debug_tensor_names
    if wants_any and debug.debug_tensors_max_iterations <= 0:
        _refuse("writing debug tensors to files", "set DebugConfig.debug_tensors_max_iterations to keep them in memory")
    options.debug_input_tensors, options.debug_output_tensors = debug.debug_input_tensors, debug.debug_output_tensors
    names = [ffi.new("char[]", encode(name)) for name in debug.debug_tensor_names]
    keep += names
    keep.append(ffi.new("char *[]", names))
    options.debug_tensor_names, options.num_debug_tensor_names = keep[-1], len(names)
    options.debug_tensors_max_iterations = debug.debug_tensors_max_iterations


def fill_options(options: Any, config: ExecutorConfig, keep: List[Any]) -> None:
    """``options``: tn_executor_options *, without post-processors."""
    refuse_absent(config)
    lib.tn_executor_options_init(options)
    options.errors_as_responses = True
    options.max_beam_width = config.max_beam_width
    options.normalize_log_probs = config.normalize_log_probs
    options.max_seq_idle_microseconds = min(config.max_seq_idle_microseconds, 2**63 - 1)
    options.max_batch_size, options.max_num_tokens = config.max_batch_size or 0, config.max_num_tokens or 0
    options.max_queue_size = max(config.max_queue_size or 0, 0)
    options.enable_chunked_context = config.enable_chunked_context
    options.iter_stats_max_iterations = config.iter_stats_max_iterations
    options.request_stats_max_iterations = config.request_stats_max_iterations
    scheduler = config.scheduler_config
    options.capacity_policy = int(scheduler.capacity_scheduler_policy)
    if scheduler.context_chunking_policy is not None:
        options.chunking_policy = int(scheduler.context_chunking_policy)
    dynamic = scheduler.dynamic_batch_config
    if dynamic is not None:
        options.enable_batch_size_tuning = dynamic.enable_batch_size_tuning
        options.enable_max_num_tokens_tuning = dynamic.enable_max_num_tokens_tuning
        if dynamic.dynamic_batch_moving_average_window > 0:
            options.dynamic_batch_moving_average_window = dynamic.dynamic_batch_moving_average_window
    _fill_cache(options, config.kv_cache_config)
    _fill_debug(options, config.debug_config, keep)
