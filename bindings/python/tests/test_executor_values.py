# SPDX-License-Identifier: Apache-2.0
"""The value classes of the Executor API: what upstream's tests without an engine ask, written from their meaning."""

import datetime
import inspect
import json
import math
import pickle
import random

import numpy
import pytest

import tenon
import tenon.version
from tenon import errors
from tenon.bindings import executor as trtllm

seconds = lambda n: datetime.timedelta(seconds=n)  # noqa: E731


def tensor(*shape, dtype=numpy.float32):
    return numpy.arange(math.prod(shape), dtype=dtype).reshape(shape)


def same(a, b):
    return tuple(a.shape) == tuple(b.shape) and bool((a == b).all())


def again(value):
    copy = pickle.loads(pickle.dumps(value))
    assert type(copy) is type(value)
    return copy


def assert_attributes(record, **wanted):
    for name, value in wanted.items():
        assert getattr(record, name) == value, name


SAMPLING = {
    "beam_width": 3, "top_k": 2, "top_p": 0.5, "top_p_min": 0.25, "top_p_reset_ids": 13, "top_p_decay": 0.5, "seed": 7, "temperature": 0.5,
    "min_tokens": 4, "beam_search_diversity_rate": 1.0, "repetition_penalty": 1.25, "presence_penalty": 0.5, "frequency_penalty": 0.75,
    "length_penalty": 0.5, "early_stopping": 5, "num_return_sequences": 2,
}


def test_executor_version():
    assert trtllm.__version__ == tenon.version.__version__ == tenon.__version__


def test_executor_invalid_ctor():
    with pytest.raises(FileNotFoundError, match="File does not exist"):
        trtllm.Executor("Bla", trtllm.ModelType.DECODER_ONLY, trtllm.ExecutorConfig())


# --- sampling and output -------------------------------------------------------------------------------------------------------


def test_sampling_config():
    assert_attributes(trtllm.SamplingConfig(**SAMPLING), **SAMPLING)
    empty = trtllm.SamplingConfig(2)
    assert empty.beam_width == 2
    for name in SAMPLING:
        assert name == "beam_width" or getattr(empty, name) is None


def test_sampling_config_deprecated_args():
    assert trtllm.SamplingConfig(random_seed=42).seed == 42
    assert trtllm.SamplingConfig(random_seed=42, seed=7).seed == 7
    assert trtllm.SamplingConfig(min_length=3).min_tokens == 3
    assert trtllm.SamplingConfig(min_length=3, min_tokens=4).min_tokens == 4


def test_older_spellings_of_other_classes():
    Debug, Retention = trtllm.DebugConfig, trtllm.KvCacheRetentionConfig
    debug = Debug(dump_input_tensors=True)
    assert debug.debug_input_tensors is True and debug.dump_output_tensors is False
    debug.dump_output_tensors = True
    assert debug.debug_output_tensors is True
    retention = Retention(token_range_retention_priorities=[Retention.TokenRangeRetentionPriority(0, 4, 50)])
    assert retention.token_range_retention_configs[0].priority == 50
    config = trtllm.ExecutorConfig(logits_post_processor_map={"a": again})
    assert config.logits_post_processor_config.processor_map == {"a": again}
    with pytest.raises(RuntimeError):
        trtllm.ExecutorConfig(logits_post_processor_batched=again, logits_post_processor_config=trtllm.LogitsPostProcessorConfig())
    with pytest.raises(TypeError):
        Debug(True, dump_input_tensor=True)
    assert Debug(False, dump_input_tensors=True).debug_input_tensors is False


def test_sampling_config_pickle():
    config = trtllm.SamplingConfig(**SAMPLING)
    assert again(config) == config
    config.top_k = 9
    assert again(config).top_k == 9


def test_floats_are_stored_as_float32():
    config = trtllm.SamplingConfig(top_p=0.9, temperature=0.5)
    assert config.top_p != 0.9 and config.top_p == float(numpy.float32(0.9))
    assert config.temperature == 0.5


BAD_SAMPLING = [
    ("beam_width", 0), ("beam_width", 1025), ("top_k", -1), ("top_p", 0.0), ("top_p", 1.1), ("top_p_min", -0.1), ("top_p_min", 1.1),
    ("top_p_reset_ids", -1), ("top_p_decay", 0.0), ("top_p_decay", 1.1), ("temperature", -0.1), ("min_tokens", -1),
    ("beam_search_diversity_rate", -1.0), ("repetition_penalty", 0.0), ("prompt_ignore_length", -1), ("no_repeat_ngram_size", -1),
    ("num_return_sequences", 0), ("min_p", -0.1), ("min_p", 1.1), ("beam_width_array", [1] * 9), ("beam_width_array", [1024]),
]


@pytest.mark.parametrize("name, value", BAD_SAMPLING)
def test_sampling_values_out_of_range_are_refused_in_constructor_and_setter(name, value):
    with pytest.raises(RuntimeError, match=name):
        trtllm.SamplingConfig(**{name: value})
    config = trtllm.SamplingConfig()
    with pytest.raises(ValueError, match=name):
        setattr(config, name, value)
    assert config == trtllm.SamplingConfig()


@pytest.mark.parametrize("name", ["length_penalty", "early_stopping"])
def test_two_sampling_values_are_checked_by_the_constructor_only(name):
    with pytest.raises(RuntimeError):
        trtllm.SamplingConfig(**{name: -1})
    config = trtllm.SamplingConfig()
    setattr(config, name, -1)
    assert getattr(config, name) == -1


def test_beam_widths_and_returned_sequences_fit_together():
    with pytest.raises(RuntimeError):
        trtllm.SamplingConfig(2, num_return_sequences=3)
    assert trtllm.SamplingConfig(4, num_return_sequences=3).num_return_beams == 3
    assert trtllm.SamplingConfig(beam_width_array=[2, 5]).beam_width == 5
    config = trtllm.SamplingConfig(2)
    with pytest.raises(RuntimeError):
        config.num_return_sequences = 3


@pytest.mark.parametrize("name, value", [("top_k", "1"), ("top_k", 1.5), ("top_p", "x"), ("seed", -1), ("beam_width", 2**40)])
def test_wrong_types_are_type_errors(name, value):
    with pytest.raises(TypeError, match=name):
        trtllm.SamplingConfig(**{name: value})


def test_unknown_and_surplus_arguments_are_type_errors():
    with pytest.raises(TypeError, match="topk"):
        trtllm.SamplingConfig(topk=1)
    with pytest.raises(TypeError):
        trtllm.SamplingConfig(1, 2)
    with pytest.raises(TypeError):
        trtllm.SamplingConfig(1, beam_width=2)
    with pytest.raises(AttributeError):
        trtllm.SamplingConfig().topk = 1


OUTPUT = ("return_log_probs", "return_context_logits", "return_generation_logits", "exclude_input_from_output", "return_encoder_output",
          "return_perf_metrics")


def test_output_config():
    config = trtllm.OutputConfig()
    assert_attributes(config, **{name: False for name in OUTPUT}, additional_model_outputs=None)
    more = [trtllm.AdditionalModelOutput("top", True)]
    config = trtllm.OutputConfig(True, False, True, False, True, True, more)
    assert_attributes(config, return_log_probs=True, return_context_logits=False, return_generation_logits=True,
                      exclude_input_from_output=False, return_encoder_output=True, return_perf_metrics=True)
    assert config.additional_model_outputs[0].name == "top" and config.additional_model_outputs[0].gather_context is True


def test_output_config_pickle():
    config = trtllm.OutputConfig(True, False, True, False, True, True, [trtllm.AdditionalModelOutput("top", True)])
    assert again(config) == config


# --- what requests hold -----------------------------------------------------------------------------------------------------------


def test_external_draft_tokens_config():
    config = trtllm.ExternalDraftTokensConfig([1, 2, 3])
    assert_attributes(config, tokens=[1, 2, 3], logits=None, acceptance_threshold=None, fast_logits=None)
    logits = tensor(3, 7)
    config = trtllm.ExternalDraftTokensConfig([1, 2, 3], logits, 0.5, False)
    assert same(config.logits, logits) and config.acceptance_threshold == 0.5 and config.fast_logits is False
    for arguments in (([],), ([1, 2], logits), ([1], tensor(1)), ([1], None, 0.0), ([1], None, 1.5)):
        with pytest.raises(RuntimeError):
            trtllm.ExternalDraftTokensConfig(*arguments)
    assert trtllm.ExternalDraftTokensConfig([1, 2], tensor(1, 4), fast_logits=True).fast_logits is True


def test_prompt_tuning_config():
    table = tensor(100, 64)
    config = trtllm.PromptTuningConfig(table, [1, 2])
    assert same(config.embedding_table, table) and config.input_token_extra_ids == [1, 2]


def test_multimodal_embedding():
    for embedding in (tensor(1, 4, 8), tensor(2, 3), tensor(5)):
        request = trtllm.Request(input_token_ids=[1], max_tokens=1, multimodal_embedding=embedding)
        assert same(request.multimodal_embedding, embedding)


def test_multimodal_input():
    config = trtllm.MultimodalInput([[1, 2], [3, 4]], [5, 6], [7, 8])
    assert_attributes(config, multimodal_hashes=[[1, 2], [3, 4]], multimodal_positions=[5, 6], multimodal_lengths=[7, 8])


def test_mrope_config():
    rotary = tensor(1, 64)
    config = trtllm.MropeConfig(rotary, numpy.array([-50], dtype=numpy.int32)[0])
    assert same(config.mrope_rotary_cos_sin, rotary) and config.mrope_position_deltas == -50


def test_lora_config():
    config = trtllm.LoraConfig(1)
    assert_attributes(config, task_id=1, weights=None, config=None)
    weights, rows = tensor(4, 16), tensor(4, 3, dtype=numpy.int32)
    config = trtllm.LoraConfig(2, weights, rows)
    assert same(config.weights, weights) and same(config.config, rows)
    assert trtllm.LoraConfig(3, config=rows).weights is None
    for bad in ((weights, None), (weights, tensor(3, 3, dtype=numpy.int32)), (tensor(4), rows), (weights, tensor(4, 3))):
        with pytest.raises(RuntimeError):
            trtllm.LoraConfig(2, *bad)


def test_guided_decoding_params():
    types = trtllm.GuidedDecodingParams.GuideType
    assert trtllm.GuidedDecodingParams(types.JSON).guide is None
    for kind in (types.JSON_SCHEMA, types.REGEX, types.EBNF_GRAMMAR):
        params = trtllm.GuidedDecodingParams(kind, "guide")
        assert params.guide_type == kind and params.guide == "guide"
        assert again(params) == params
    with pytest.raises(Exception):
        trtllm.GuidedDecodingParams(types.JSON_SCHEMA)


def make_request(**changes):
    values = {
        "input_token_ids": [1, 2, 3], "max_tokens": 8, "streaming": False, "sampling_config": trtllm.SamplingConfig(),
        "output_config": trtllm.OutputConfig(), "end_id": -1, "pad_id": -2, "bad_words": [[4, 5, 6]], "stop_words": [[7, 8, 9]],
        "embedding_bias": tensor(1), "external_draft_tokens_config": trtllm.ExternalDraftTokensConfig([1, 2, 3]),
        "prompt_tuning_config": trtllm.PromptTuningConfig(tensor(10, 4)), "lora_config": trtllm.LoraConfig(1),
        "logits_post_processor_name": "my_logits_pp", "client_id": 1234, "kv_cache_retention_config": trtllm.KvCacheRetentionConfig([]),
        "priority": 0.75, "return_all_generated_tokens": True, "request_type": trtllm.RequestType.REQUEST_TYPE_CONTEXT_ONLY,
        "allotted_time_ms": seconds(3), "cache_salt_id": 5,
    }
    values.update(changes)
    return trtllm.Request(**values), values


def test_request():
    request, values = make_request()
    for name, value in values.items():
        got = getattr(request, name)
        if name.endswith("config"):
            assert isinstance(got, type(value))
        elif name == "embedding_bias":
            assert same(got, value)
        else:
            assert got == value, name
    assert trtllm.Request.BATCHED_POST_PROCESSOR_NAME == "batched"
    request.backend_hint = "kept"
    assert again(request).backend_hint == "kept"


def test_request_takes_arrays_and_upstreams_old_spellings():
    ids = numpy.array([[1, 2, 3], [4, 5, 6]], dtype=numpy.int32)[1, :2]
    assert trtllm.Request(ids, 4).input_token_ids == [4, 5]
    request = trtllm.Request([1, 2], 4, True, trtllm.SamplingConfig(2), trtllm.OutputConfig(), 9)
    assert_attributes(request, max_tokens=4, streaming=True, end_id=9)
    assert trtllm.Request([1], 2, type=trtllm.RequestType.REQUEST_TYPE_GENERATION_ONLY).request_type == 2


def test_request_deprecated_args():
    assert trtllm.Request(input_token_ids=[1], max_new_tokens=3).max_tokens == 3
    assert trtllm.Request(input_token_ids=[1], max_tokens=5, max_new_tokens=3).max_new_tokens == 5
    request = trtllm.Request([1], 2, num_return_sequences=3)
    assert request.sampling_config.num_return_sequences == 3 and request.num_return_sequences == 3
    with pytest.raises(RuntimeError):
        trtllm.Request([1], 2, sampling_config=trtllm.SamplingConfig(num_return_sequences=2), num_return_sequences=3)


def test_invalid_requests_are_refused_when_they_are_made():
    guided = trtllm.GuidedDecodingParams(trtllm.GuidedDecodingParams.GuideType.JSON)
    for arguments in ({"input_token_ids": []}, {"max_tokens": 0}, {"embedding_bias": tensor(2, 2)}, {"cache_salt": "x" * 257},
                      {"sampling_config": trtllm.SamplingConfig(2), "guided_decoding_params": guided}):
        with pytest.raises(RuntimeError):
            trtllm.Request(**{"input_token_ids": [1], "max_tokens": 1, **arguments})
    with pytest.raises(TypeError):
        trtllm.Request([1])
    with pytest.raises(TypeError):
        trtllm.Request([1.5], 1)
    with pytest.raises(TypeError):
        trtllm.Request("text", 1)


def test_request_configs_are_copies():
    sampling = trtllm.SamplingConfig(top_k=1)
    request = trtllm.Request([1], 1, sampling_config=sampling)
    sampling.top_k = 2
    request.sampling_config.top_k = 3
    request.input_token_ids.append(9)
    assert request.sampling_config.top_k == 1 and request.input_token_ids == [1]


def test_request_pickle():
    request, _ = make_request()
    copy = again(request)
    for name in ("sampling_config", "request_type", "input_token_ids", "max_tokens", "output_config", "client_id", "allotted_time_ms"):
        assert getattr(copy, name) == getattr(request, name)
    params = trtllm.ContextPhaseParams([1], 2, b"state", [3])
    request = trtllm.Request([1], 1, context_phase_params=params)
    assert again(request).context_phase_params == params


def test_return_full_tokens():
    request = trtllm.Request([1], 1)
    assert request.return_all_generated_tokens is False
    request.return_all_generated_tokens = True
    assert request.return_all_generated_tokens is True


def test_allotted_time_ms():
    request = trtllm.Request([1], 1, allotted_time_ms=seconds(1))
    assert request.allotted_time_ms == seconds(1)
    request.allotted_time_ms = datetime.timedelta(milliseconds=5)
    assert request.allotted_time_ms == datetime.timedelta(milliseconds=5)


def test_spec_dec_fast_logits_info():
    info = trtllm.SpeculativeDecodingFastLogitsInfo()
    info.draft_request_id, info.draft_participant_id = 3, 5
    assert info.draft_request_id == 3 and info.draft_participant_id == 5
    assert info.to_tensor().shape[0] == 1


# --- results ---------------------------------------------------------------------------------------------------------------------


def make_result():
    result = trtllm.Result()
    result.is_final = True
    result.output_token_ids = [[1, 2, 3]]
    result.cum_log_probs = [1.0, 2.0, 3.0]
    result.log_probs = [[1.0, 2.0, 3.0]]
    result.context_logits, result.generation_logits, result.encoder_output = tensor(3, 10), tensor(1, 3, 10), tensor(1, 1)
    result.finish_reasons = [trtllm.FinishReason.LENGTH]
    result.sequence_index, result.is_sequence_final, result.decoding_iter = 1, True, 1
    result.avg_decoded_tokens_per_iter = 1.5
    result.context_phase_params = trtllm.ContextPhaseParams([4])
    result.request_perf_metrics = trtllm.RequestPerfMetrics()
    result.request_perf_metrics.last_iter = 33
    result.additional_outputs = [trtllm.AdditionalOutput("generation_top", tensor(1, 4))]
    return result


def test_result():
    result = make_result()
    assert_attributes(result, is_final=True, output_token_ids=[[1, 2, 3]], cum_log_probs=[1.0, 2.0, 3.0], log_probs=[[1.0, 2.0, 3.0]],
                      finish_reasons=[trtllm.FinishReason.LENGTH], sequence_index=1, is_sequence_final=True, decoding_iter=1,
                      avg_decoded_tokens_per_iter=1.5)
    assert same(result.context_logits, tensor(3, 10)) and same(result.generation_logits, tensor(1, 3, 10))
    assert result.request_perf_metrics.last_iter == 33
    assert result.additional_outputs[0].name == "generation_top" and same(result.additional_outputs[0].output, tensor(1, 4))
    tokens = result.output_token_ids[0]
    tokens += [4]
    assert isinstance(tokens, list) and tokens == [1, 2, 3, 4]


def test_result_pickle():
    result = make_result()
    copy = again(result)
    for name in ("is_final", "output_token_ids", "cum_log_probs", "log_probs", "finish_reasons", "sequence_index", "is_sequence_final",
                 "decoding_iter", "avg_decoded_tokens_per_iter", "context_phase_params", "request_perf_metrics"):
        assert getattr(copy, name) == getattr(result, name), name
    assert same(copy.context_logits, result.context_logits) and copy.additional_outputs == []
    assert trtllm.deserialize_result(pickle.dumps(result)).output_token_ids == [[1, 2, 3]]
    with pytest.raises(RuntimeError):
        trtllm.deserialize_result(pickle.dumps([1]))


def test_response():
    response = trtllm.Response(0, "error", 4)
    assert response.request_id == 0 and response.has_error() and response.error_msg == "error" and response.client_id == 4
    with pytest.raises(RuntimeError):
        response.result
    result = make_result()
    response = trtllm.Response(1, result)
    assert response.request_id == 1 and not response.has_error() and response.client_id is None
    assert response.result.output_token_ids == [[1, 2, 3]]
    with pytest.raises(RuntimeError):
        response.error_msg
    response.clear_context_logits()
    response.clear_generation_logits()
    assert response.result.context_logits is None and response.result.generation_logits is None
    assert again(response).result.output_token_ids == [[1, 2, 3]] and again(trtllm.Response(0, "error")).error_msg == "error"
    with pytest.raises(AttributeError):
        response.request_id = 2


def test_request_perf_metrics_pickle():
    metrics = trtllm.RequestPerfMetrics()
    assert metrics.first_iter is None and metrics.timing_metrics.arrival_time == seconds(0)
    timing = metrics.timing_metrics
    for i, name in enumerate(("arrival_time", "first_scheduled_time", "first_token_time", "last_token_time", "kv_cache_transfer_start",
                              "kv_cache_transfer_end")):
        setattr(timing, name, seconds(i + 1))
    timing.kv_cache_size = 1024
    blocks = metrics.kv_cache_metrics
    blocks.num_total_allocated_blocks, blocks.num_new_allocated_blocks, blocks.num_reused_blocks, blocks.num_missed_blocks = 1, 2, 3, 4
    blocks.kv_cache_hit_rate = 0.5
    speculation = metrics.speculative_decoding
    speculation.acceptance_rate, speculation.total_accepted_draft_tokens, speculation.total_draft_tokens = 0.5, 2, 4
    metrics.first_iter, metrics.last_iter, metrics.iter = 1, 2, 3
    copy = again(metrics)
    assert copy == metrics and copy.timing_metrics.last_token_time - copy.timing_metrics.arrival_time == seconds(3)
    assert copy.speculative_decoding.total_draft_tokens == 4 and copy.kv_cache_metrics.num_missed_blocks == 4


# --- configuration -----------------------------------------------------------------------------------------------------------------


def test_dynamic_batch_config():
    config = trtllm.DynamicBatchConfig(True, False, 128)
    assert_attributes(config, enable_batch_size_tuning=True, enable_max_num_tokens_tuning=False, dynamic_batch_moving_average_window=128)
    with pytest.raises(TypeError):
        trtllm.DynamicBatchConfig(True)
    with pytest.raises(AttributeError):
        config.enable_batch_size_tuning = False


def test_dynamic_batch_config_pickle():
    config = trtllm.DynamicBatchConfig(True, True, 64)
    assert again(config) == config


POLICIES = trtllm.CapacitySchedulerPolicy


def test_scheduler_config():
    config = trtllm.SchedulerConfig()
    assert_attributes(config, capacity_scheduler_policy=POLICIES.GUARANTEED_NO_EVICT, context_chunking_policy=None, dynamic_batch_config=None)
    for policy in (POLICIES.MAX_UTILIZATION, POLICIES.GUARANTEED_NO_EVICT, POLICIES.STATIC_BATCH):
        assert trtllm.SchedulerConfig(policy).capacity_scheduler_policy == policy
    chunking = trtllm.ContextChunkingPolicy.FIRST_COME_FIRST_SERVED
    config = trtllm.SchedulerConfig(POLICIES.MAX_UTILIZATION, chunking, trtllm.DynamicBatchConfig(True, True, 8))
    assert config.context_chunking_policy == chunking
    assert config.dynamic_batch_config.dynamic_batch_moving_average_window == 8


def test_scheduler_config_pickle():
    config = trtllm.SchedulerConfig(POLICIES.MAX_UTILIZATION, trtllm.ContextChunkingPolicy.EQUAL_PROGRESS, trtllm.DynamicBatchConfig(True, True, 8))
    assert again(config) == config


KV_DEFAULTS = {
    "enable_block_reuse": True, "max_tokens": None, "max_attention_window": None, "sink_token_length": None, "free_gpu_memory_fraction": None,
    "host_cache_size": None, "onboard_blocks": True, "cross_kv_cache_fraction": None, "secondary_offload_min_priority": None,
    "event_buffer_max_size": 0, "enable_partial_reuse": True, "copy_on_partial_reuse": True, "use_uvm": False,
    "attention_dp_events_gather_period_ms": 5,
}
KV_VALUES = {
    "enable_block_reuse": False, "max_tokens": 3, "max_attention_window": [10, 20], "sink_token_length": 2, "free_gpu_memory_fraction": 0.5,
    "host_cache_size": 4, "onboard_blocks": False, "cross_kv_cache_fraction": 0.5, "secondary_offload_min_priority": 50,
    "event_buffer_max_size": 1024, "enable_partial_reuse": False, "copy_on_partial_reuse": False, "use_uvm": True,
    "attention_dp_events_gather_period_ms": 10,
}


def test_kv_cache_config():
    config = trtllm.KvCacheConfig()
    assert_attributes(config, **KV_DEFAULTS)
    for name, value in KV_VALUES.items():
        setattr(config, name, value)
    assert_attributes(config, **KV_VALUES)
    assert_attributes(trtllm.KvCacheConfig(**KV_VALUES), **KV_VALUES)
    assert trtllm.KvCacheConfig(max_attention_window=16).max_attention_window == [16]
    defaults = trtllm.RuntimeDefaults([16], 4)
    filled = trtllm.KvCacheConfig(runtime_defaults=defaults)
    assert filled.max_attention_window == [16] and filled.sink_token_length == 4
    kept = trtllm.KvCacheConfig(max_attention_window=[8], sink_token_length=1)
    kept.fill_empty_fields_from_runtime_defaults(defaults)
    assert kept.max_attention_window == [8] and kept.sink_token_length == 1


@pytest.mark.parametrize("name, value", [
    ("max_tokens", 0), ("max_attention_window", [4, 0]), ("sink_token_length", 0), ("free_gpu_memory_fraction", 0.0),
    ("free_gpu_memory_fraction", 1.0), ("cross_kv_cache_fraction", 1.0), ("attention_dp_events_gather_period_ms", 0)])
def test_kv_cache_values_out_of_range_are_refused(name, value):
    with pytest.raises(RuntimeError, match=name):
        trtllm.KvCacheConfig(**{name: value})
    with pytest.raises(RuntimeError, match=name):
        setattr(trtllm.KvCacheConfig(), name, value)


def test_kv_cache_config_pickle():
    config = trtllm.KvCacheConfig(**KV_VALUES)
    assert again(config) == config


Range = trtllm.KvCacheRetentionConfig.TokenRangeRetentionConfig


def test_kv_cache_retention_config():
    span = Range(0, 2, 30, seconds(30))
    assert_attributes(span, token_start=0, token_end=2, priority=30, duration_ms=seconds(30))
    assert_attributes(Range(2, None, 80), token_end=None, duration_ms=None)
    assert Range(0, 1).priority == 35
    config = trtllm.KvCacheRetentionConfig([Range(64, 128, 20), Range(0, 64, 80)], 10, seconds(1), trtllm.KvCacheTransferMode.GDS, "/dir")
    assert [r.token_start for r in config.token_range_retention_configs] == [0, 64]
    assert_attributes(config, decode_retention_priority=10, decode_duration_ms=seconds(1), transfer_mode=trtllm.KvCacheTransferMode.GDS,
                      directory="/dir")
    assert trtllm.KvCacheRetentionConfig([], 10) == trtllm.KvCacheRetentionConfig([], 10)
    assert trtllm.KvCacheRetentionConfig([], 10) != trtllm.KvCacheRetentionConfig([], 11)
    mode = trtllm.KvCacheTransferMode.POSIX_DEBUG_FALLBACK
    assert trtllm.KvCacheRetentionConfig([], transfer_mode=mode).transfer_mode == mode
    for ranges in ([Range(0, 64), Range(60, 70)], [Range(0, None), Range(64, 128)], [Range(-1, 3)], [Range(5, 5)]):
        with pytest.raises(ValueError):
            trtllm.KvCacheRetentionConfig(ranges)
    for priority in (-1, 101):
        with pytest.raises(ValueError):
            Range(0, 1, priority)
        with pytest.raises(ValueError):
            trtllm.KvCacheRetentionConfig([], priority)


def test_kv_cache_retention_config_pickle():
    config = trtllm.KvCacheRetentionConfig([Range(0, 2, 30, seconds(30)), Range(2, None, 80)], 10, seconds(1))
    assert again(config) == config
    assert again(Range(0, 2, 30)) == Range(0, 2, 30)


def test_speculative_decoding_config():
    mode, kind = trtllm.DecodingMode, trtllm.DecodingConfig
    assert_attributes(kind(), decoding_mode=None, lookahead_decoding_config=None, medusa_choices=None, eagle_config=None)
    lookahead, eagle, choices = trtllm.LookaheadDecodingConfig(3, 5, 7), trtllm.EagleConfig([[0]]), [[0], [0, 1]]
    for name, value, wanted in (("lookahead_decoding_config", lookahead, mode.Lookahead()), ("medusa_choices", choices, mode.Medusa()),
                                ("eagle_config", eagle, mode.Eagle())):
        with pytest.raises(RuntimeError):
            kind(**{name: value})
        assert getattr(kind(wanted, **{name: value}), name) == value
        config = kind()
        setattr(config, name, value)
        assert config.decoding_mode == wanted
    for refused in (mode.Medusa(), mode.Lookahead(), mode.ExplicitDraftTokens()):
        with pytest.raises(RuntimeError):
            kind().decoding_mode = refused
    config = kind()
    config.decoding_mode = mode.TopK()
    assert config.decoding_mode.isTopK()


def test_speculative_decoding_config_pickle():
    config = trtllm.SpeculativeDecodingConfig(fast_logits=True)
    assert again(config).fast_logits is True


def test_lookahead_decoding_config():
    for sizes in ((3, 5, 7), (5, 10, 3)):
        config = trtllm.LookaheadDecodingConfig(*sizes)
        assert (config.max_window_size, config.max_ngram_size, config.max_verification_set_size) == sizes
    config = trtllm.LookaheadDecodingConfig(max_window_size=4, max_ngram_size=3, max_verification_set_size=4)
    assert config.calculate_speculative_resource() == (16, 3, 15, 2)
    for sizes in ((0, 1, 0), (1, 0, 0), (1, 1, -1), (2, 1, 0), (1, 1, 1)):
        with pytest.raises(RuntimeError):
            trtllm.LookaheadDecodingConfig(*sizes)


def test_lookahead_decoding_config_pickle():
    config = trtllm.LookaheadDecodingConfig(3, 5, 7)
    assert again(config) == config


def test_eagle_config():
    choices = [[0], [1], [0, 1]]
    for arguments in ((choices, False, 0.5), (choices, True), (choices,), (None, True, None, True, 4)):
        config = trtllm.EagleConfig(*arguments)
        assert config.eagle_choices == arguments[0]
        assert config.greedy_sampling == (arguments[1] if len(arguments) > 1 else True)
        assert config.posterior_threshold == (arguments[2] if len(arguments) > 2 else None)
    assert trtllm.EagleConfig(use_dynamic_tree=True, dynamic_tree_max_topK=3).dynamic_tree_max_topK == 3
    with pytest.raises(RuntimeError):
        trtllm.EagleConfig(choices, use_dynamic_tree=True)
    with pytest.raises(RuntimeError):
        trtllm.EagleConfig(posterior_threshold=1.0)


def test_eagle_config_pickle():
    config = trtllm.EagleConfig([[0], [0, 1]], False, 0.5)
    assert again(config) == config


@pytest.mark.parametrize("name, predicate", [
    ("Auto", "isAuto"), ("TopK", "isTopK"), ("TopP", "isTopP"), ("TopKTopP", "isTopKandTopP"), ("BeamSearch", "isBeamSearch"),
    ("Medusa", "isMedusa"), ("Lookahead", "isLookahead"), ("ExplicitDraftTokens", "isExplicitDraftTokens"), ("Eagle", "isEagle")])
def test_decoding_mode(name, predicate):
    mode = getattr(trtllm.DecodingMode, name)()
    assert getattr(mode, predicate)() and mode.name == name
    assert again(mode) == mode
    for other in ("isAuto", "isBeamSearch", "isMedusa", "isLookahead", "isExplicitDraftTokens", "isEagle"):
        assert getattr(mode, other)() == (other == predicate)


def test_decoding_config_pickle():
    config = trtllm.DecodingConfig(decoding_mode=trtllm.DecodingMode.BeamSearch())
    assert again(config).decoding_mode.isBeamSearch()


def test_logits_post_processor_config():
    config = trtllm.LogitsPostProcessorConfig()
    assert_attributes(config, processor_map=None, processor_batched=None, replicate=True)
    config = trtllm.LogitsPostProcessorConfig({"test_pp": None}, again, False)
    assert_attributes(config, processor_map={"test_pp": None}, processor_batched=again, replicate=False)
    with pytest.raises(TypeError):
        trtllm.LogitsPostProcessorConfig({"test_pp": 3})


def test_logits_post_processor_config_pickle():
    config = trtllm.LogitsPostProcessorConfig({"test_pp": None}, None, False)
    assert again(config) == config


def make_guided():
    backend = trtllm.GuidedDecodingConfig.GuidedDecodingBackend.XGRAMMAR
    return trtllm.GuidedDecodingConfig(backend, ["a", "b"], "tokenizer", [0])


def test_guided_decoding_config():
    config = make_guided()
    assert_attributes(config, encoded_vocab=["a", "b"], tokenizer_str="tokenizer", stop_token_ids=[0])
    config.validate()
    config.encoded_vocab = None
    with pytest.raises(RuntimeError):
        config.validate()


def test_guided_decoding_config_pickle():
    assert again(make_guided()) == make_guided()


EXECUTOR_DEFAULTS = {
    "max_beam_width": 1, "enable_chunked_context": False, "normalize_log_probs": True, "iter_stats_max_iterations": 1000,
    "request_stats_max_iterations": 0, "batching_type": trtllm.BatchingType.INFLIGHT, "max_batch_size": None, "max_num_tokens": None,
    "parallel_config": None, "logits_post_processor_config": None, "decoding_config": None, "use_gpu_direct_storage": False,
    "gpu_weights_percent": 1.0, "max_queue_size": None, "debug_config": None, "recv_poll_period_ms": 0,
    "max_seq_idle_microseconds": 180000000, "spec_dec_config": None, "guided_decoding_config": None, "additional_model_outputs": None,
    "cache_transceiver_config": None, "gather_generation_logits": False, "mm_embedding_offloading": False, "enable_trt_overlap": False,
    "fail_fast_on_attention_window_too_large": False,
}


def executor_values():
    return {
        "max_beam_width": 2, "scheduler_config": trtllm.SchedulerConfig(POLICIES.MAX_UTILIZATION), "kv_cache_config": trtllm.KvCacheConfig(),
        "enable_chunked_context": True, "normalize_log_probs": False, "iter_stats_max_iterations": 100, "request_stats_max_iterations": 5,
        "batching_type": trtllm.BatchingType.STATIC, "max_batch_size": 16, "max_num_tokens": 128,
        "parallel_config": trtllm.ParallelConfig(), "peft_cache_config": trtllm.PeftCacheConfig(10),
        "logits_post_processor_config": trtllm.LogitsPostProcessorConfig(),
        "decoding_config": trtllm.DecodingConfig(trtllm.DecodingMode.TopKTopP()), "use_gpu_direct_storage": True, "gpu_weights_percent": 0.5,
        "max_queue_size": 5, "extended_runtime_perf_knob_config": trtllm.ExtendedRuntimePerfKnobConfig(multi_block_mode=False),
        "debug_config": trtllm.DebugConfig(True, True, ["x"], 2), "recv_poll_period_ms": 50, "max_seq_idle_microseconds": 240 * 10**6,
        "spec_dec_config": trtllm.SpeculativeDecodingConfig(True), "guided_decoding_config": make_guided(),
        "additional_model_outputs": [trtllm.AdditionalModelOutput("top")], "gather_generation_logits": True, "mm_embedding_offloading": True,
        "enable_trt_overlap": True,
    }


def test_executor_config():
    config = trtllm.ExecutorConfig()
    assert_attributes(config, **EXECUTOR_DEFAULTS)
    assert isinstance(config.scheduler_config, trtllm.SchedulerConfig) and isinstance(config.kv_cache_config, trtllm.KvCacheConfig)
    assert config.peft_cache_config == trtllm.PeftCacheConfig()
    assert config.extended_runtime_perf_knob_config.multi_block_mode is True
    assert_attributes(trtllm.ExecutorConfig(**executor_values()), **executor_values())
    for name, value in executor_values().items():
        setattr(config, name, value)
    assert_attributes(config, **executor_values())


@pytest.mark.parametrize("name, value", [("max_beam_width", 0), ("iter_stats_max_iterations", -1), ("request_stats_max_iterations", -1),
                                         ("max_batch_size", 0), ("max_num_tokens", 0), ("max_seq_idle_microseconds", 0)])
def test_executor_config_values_out_of_range_are_refused(name, value):
    with pytest.raises(RuntimeError, match=name):
        trtllm.ExecutorConfig(**{name: value})
    with pytest.raises(RuntimeError, match=name):
        setattr(trtllm.ExecutorConfig(), name, value)


def test_executor_config_pickle():
    config = trtllm.ExecutorConfig(**executor_values())
    config.backend = "pytorch"
    copy = again(config)
    assert_attributes(copy, **executor_values(), backend="pytorch")


def test_getters_return_references():
    config = trtllm.ExecutorConfig()
    config.kv_cache_config.max_tokens = 42
    assert config.kv_cache_config.max_tokens == 42


def test_parallel_config():
    config = trtllm.ParallelConfig()
    assert_attributes(config, communication_type=trtllm.CommunicationType.MPI, communication_mode=trtllm.CommunicationMode.LEADER,
                      device_ids=None, participant_ids=None, orchestrator_config=None, num_nodes=None)
    orchestrator = trtllm.OrchestratorConfig(True, __file__, None, True)
    mode = trtllm.CommunicationMode.ORCHESTRATOR
    config = trtllm.ParallelConfig(trtllm.CommunicationType.MPI, mode, [0, 1], [2, 3], orchestrator, 2)
    assert_attributes(config, communication_mode=mode, device_ids=[0, 1], participant_ids=[2, 3], num_nodes=2)
    assert config.orchestrator_config.worker_executable_path == __file__ and config.orchestrator_config.spawn_processes is True
    with pytest.raises(RuntimeError):
        trtllm.OrchestratorConfig()
    assert trtllm.OrchestratorConfig(spawn_processes=False).is_orchestrator is True


def test_parallel_config_pickle():
    config = trtllm.ParallelConfig(device_ids=[0], orchestrator_config=trtllm.OrchestratorConfig(True, __file__, None, True), num_nodes=2)
    assert again(config) == config


def test_peft_cache_config():
    config = trtllm.PeftCacheConfig(1, 2, 3, 4, 5, 6, 7, 8, 9, 0.9, 10, "dir")
    names = [name for name in trtllm.PeftCacheConfig.__fields__]
    assert [getattr(config, name) for name in names[:9]] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert math.isclose(config.device_cache_percent, 0.9, rel_tol=1e-6) and config.host_cache_size == 10 and config.lora_prefetch_dir == "dir"
    assert_attributes(trtllm.PeftCacheConfig(), optimal_adapter_size=8, max_adapter_size=64, max_pages_per_block_host=24,
                      max_pages_per_block_device=8, device_cache_percent=None)


def test_peft_cache_config_pickle():
    config = trtllm.PeftCacheConfig(1, 2, 3, 4, 5, 6, 7, 8, 9, 0.9, 10)
    assert again(config) == config


def test_debug_config_pickle():
    config = trtllm.DebugConfig(debug_input_tensors=True, debug_output_tensors=True, debug_tensor_names=["test"])
    copy = again(config)
    assert copy == config and copy.debug_tensor_names == ["test"] and copy.debug_tensors_max_iterations == 0


def test_cache_transceiver_config_pickle():
    kinds = trtllm.CacheTransceiverBackendType
    config = trtllm.CacheTransceiverConfig(kinds.UCX, 1024)
    assert again(config) == config and config.max_num_tokens == 1024
    assert trtllm.CacheTransceiverConfig(max_num_tokens=128).max_tokens_in_buffer == 128
    assert kinds.from_string("ucx") == kinds.from_string("UCX") == kinds.UCX
    with pytest.raises(ValueError):
        kinds.from_string("pigeon")


def test_runtime_defaults():
    kind = trtllm.RuntimeDefaults
    fields = [name for name, value in inspect.getmembers(kind)
              if isinstance(value, property) or (not callable(value) and not name.startswith("__"))]
    assert sorted(fields) == ["max_attention_window", "sink_token_length"]
    assert kind().max_attention_window is None and kind().sink_token_length is None
    with pytest.raises(AttributeError):
        kind().sink_token_length = 1


# --- statistics ---------------------------------------------------------------------------------------------------------------------


def test_iteration_stats():
    stats = trtllm.IterationStats()
    stats.timestamp, stats.iter, stats.iter_latency_ms = "01:23:56", 1, 100.5
    stats.num_active_requests, stats.gpu_mem_usage = 2, 1024
    told = json.loads(stats.to_json_str())
    assert told["timestamp"] == "01:23:56" and told["iter"] == 1 and told["iterLatencyMS"] == 100.5
    assert told["numActiveRequests"] == stats.num_active_requests and told["gpuMemUsage"] == 1024
    for name, attribute in (("maxNumActiveRequests", "max_num_active_requests"), ("cpuMemUsage", "cpu_mem_usage"),
                            ("numQueuedRequests", "num_queued_requests"), ("pinnedMemUsage", "pinned_mem_usage"),
                            ("newActiveRequestsQueueLatencyMS", "new_active_requests_queue_latency_ms"),
                            ("numCompletedRequests", "num_completed_requests")):
        assert told[name] == getattr(stats, attribute)
    for name in ("kvCacheStats", "staticBatchingStats", "inflightBatchingStats", "specDecodingStats"):
        assert told[name] is None
    assert "crossKvCacheStats" not in told
    stats.kv_cache_stats = trtllm.KvCacheStats(max_num_blocks=7)
    assert json.loads(stats.to_json_str())["kvCacheStats"]["maxNumBlocks"] == 7


def make_request_stats():
    stats = trtllm.RequestStats()
    stats.id, stats.stage = 1, trtllm.RequestStage.CONTEXT_IN_PROGRESS
    stats.context_prefill_position, stats.num_generated_tokens, stats.avg_num_decoded_tokens_per_iter = 2, 3, 2.5
    stats.scheduled, stats.paused = True, False
    return stats


def test_request_stats():
    told = json.loads(make_request_stats().to_json_str())
    assert told["id"] == 1 and told["stage"] == "CONTEXT_IN_PROGRESS" and told["contextPrefillPosition"] == 2
    assert told["numGeneratedTokens"] == 3 and told["avgNumDecodedTokensPerIter"] == 2.5
    assert told["scheduled"] is True and told["paused"] is False and told["disServingStats"] is None


def test_request_stats_per_iteration():
    stats = trtllm.RequestStatsPerIteration()
    stats.iter, stats.request_stats = 1, [make_request_stats()]
    told = json.loads(stats.to_json_str())
    assert told["iter"] == 1 and told["requestStats"][0]["id"] == 1


def test_events_are_records():
    event = trtllm.kv_cache.KVCacheEvent(3, trtllm.kv_cache.KVCacheUpdatedData(7, trtllm.kv_cache.KVCacheEventDiffInt(0, 1)))
    assert event.event_id == 3 and event.data.block_hash == 7 and event.data.cache_level.new_value == 1
    assert again(event) == event


# --- every class ---------------------------------------------------------------------------------------------------------------------

# The names of the checklist: classes and enums that scripts written for upstream touch
NAMES = """AdditionalModelOutput AdditionalOutput BatchingType CacheTransceiverConfig CacheTransceiverBackendType CapacitySchedulerPolicy
CommunicationMode CommunicationType ContextChunkingPolicy ContextPhaseParams DebugConfig DebugTensorsPerIteration DecodingConfig DecodingMode
DisServingRequestStats DynamicBatchConfig EagleConfig Executor ExecutorConfig ExtendedRuntimePerfKnobConfig ExternalDraftTokensConfig FinishReason
GuidedDecodingConfig GuidedDecodingParams InflightBatchingStats IterationStats KvCacheConfig KvCacheMetrics KvCacheRetentionConfig KvCacheStats
KvCacheTransferMode LogitsPostProcessorConfig LookaheadDecodingConfig LoraConfig ModelType MropeConfig MultimodalInput OrchestratorConfig
OutputConfig ParallelConfig PeftCacheConfig PromptTuningConfig Request RequestPerfMetrics RequestStage RequestStats RequestStatsPerIteration
RequestType Response Result RuntimeDefaults SamplingConfig SchedulerConfig SpecDecodingStats SpeculativeDecodingConfig
SpeculativeDecodingFastLogitsInfo SpeculativeDecodingMetrics StaticBatchingStats TimingMetrics deserialize_result kv_cache""".split()


def test_every_name_of_the_api_is_there():
    assert [name for name in NAMES if not hasattr(trtllm, name)] == []
    events = "KVCacheEvent KVCacheCreatedData KVCacheStoredData KVCacheStoredBlockData KVCacheUpdatedData KVCacheRemovedData KVCacheEventDiffInt UniqueToken"
    assert [name for name in events.split() if not hasattr(trtllm.kv_cache, name)] == []
    methods = """can_enqueue_requests enqueue_request enqueue_requests await_responses get_num_responses_ready cancel_request shutdown
    get_latest_iteration_stats get_latest_request_stats get_latest_debug_tensors get_kv_cache_event_manager"""
    assert [name for name in methods.split() if not callable(getattr(trtllm.Executor, name, None))] == []


def defaulted():
    return [kind for kind in vars(trtllm).values()
            if isinstance(kind, type) and hasattr(kind, "__fields__")
            and all(f.default is not tenon._record.REQUIRED or f.factory for f in kind.__fields__.values())]


@pytest.mark.parametrize("kind", [k for k in defaulted() if k is not trtllm.OrchestratorConfig], ids=lambda k: k.__name__)
def test_every_field_reads_back_and_survives_pickling(kind):
    record = kind()
    assert again(record) == record and kind.__doc__ is not None or kind.__name__
    for name, field in kind.__fields__.items():
        value = getattr(record, name)
        if field.fset is None:
            with pytest.raises(AttributeError):
                setattr(record, name, value)
        else:
            setattr(record, name, value)
            assert getattr(record, name) == value
    assert repr(record).startswith(kind.__qualname__)


def test_records_of_any_values_survive_pickling():
    draw = random.Random(5)
    for _ in range(200):
        config = trtllm.SamplingConfig()
        for name, value in SAMPLING.items():
            if draw.random() < 0.5 and name not in ("num_return_sequences", "beam_width"):
                setattr(config, name, value)
        assert again(config) == config
    assert isinstance(errors.InvalidArgumentError("x"), ValueError)
