# SPDX-License-Identifier: Apache-2.0
"""Executor: requests in, tokens out."""

from __future__ import annotations

import atexit
import datetime
import threading
import weakref
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy

from ..._ffi import Diag, check, decode, encode, ffi, lib, owned
from ..._record import UInt64
from ..._tensor import give
from ...errors import InvalidArgumentError, NotFoundError, UnavailableError, UnsupportedError
from ._options import MORE, fill_options, fill_request
from ._processors import Processor, call_processor
from .config import ExecutorConfig
from .enums import FinishReason, ModelType, RequestStage
from .kv_cache import Deadline, KVCacheEventManager
from .request import Request
from .result import AdditionalOutput, KvCacheMetrics, RequestPerfMetrics, Response, Result, TimingMetrics
from .stats import (DebugTensorsPerIteration, InflightBatchingStats, IterationStats, KvCacheStats, RequestStats, RequestStatsPerIteration,
                    StaticBatchingStats)

_MAX_RESPONSES = 256  # taken in one call
_MAX_ENDED = 256
_live: "weakref.WeakSet[Executor]" = weakref.WeakSet()


@atexit.register
def _shut_down_all() -> None:
    """No thread of an executor may call Python when the interpreter is gone."""
    for executor in list(_live):
        executor._stop(drain=False)


class _Pending:
    """What a response needs to know of its request until the final one is taken."""

    __slots__ = ("prompt", "streaming", "returns_all", "returns_log_probs", "log_probs", "additional", "processor", "more")

    def __init__(self, request: Request, processor: Optional[Processor]) -> None:
        values = request.__dict__
        self.streaming = values["streaming"]
        has_beams = values["sampling_config"].beam_width > 1
        self.returns_all = not self.streaming or values["return_all_generated_tokens"] or has_beams
        self.returns_log_probs = values["output_config"].return_log_probs
        self.prompt = [] if self.streaming or values["output_config"].exclude_input_from_output else values["input_token_ids"]
        self.log_probs: Dict[int, List[float]] = {}
        self.additional = [output.name for output in values["output_config"].additional_model_outputs or []]
        self.processor = processor
        self.more = values.get(MORE)


class Executor:
    """Runs a model's engine: batches requests in flight over a paged key/value cache, on a thread of its own.

        Executor(model_path, ModelType.DECODER_ONLY, ExecutorConfig())      # an engine directory (rank0.plan) or a plan file
        Executor(engine_buffer, json_config_str, ModelType.DECODER_ONLY, ExecutorConfig())    # bytes of a plan; the text is not read
        Executor(engine, ModelType.DECODER_ONLY, ExecutorConfig())          # a tenon.engine.Engine

    Methods may be called from any thread. ``with`` shuts it down at the end. A request that the engine cannot serve is answered with an error
    response; post-processor names, the queue's limit and shutdown are checked by ``enqueue_request``.

    Raises: NotFoundError (a FileNotFoundError, "File does not exist"), InvalidDataError, IncompatibleError, UnsupportedError for what is not
    built, OutOfMemoryError.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.RLock()
        self._failures: Dict[int, str] = {}
        self._pending: Dict[int, _Pending] = {}
        self._ended: Dict[int, _Pending] = {}
        self._last_id = 0
        self._is_shut_down = False
        engine, config = _read_arguments(args, kwargs)
        keep: List[Any] = [self._pending]  # post-processors of requests live until the library is done with them
        options = ffi.new("tn_executor_options *")
        fill_options(options, config, keep)
        self._fill_processors(options, config, keep)
        diag = Diag()
        options.diag = diag.handle
        out = ffi.new("tn_executor **")
        if isinstance(engine, bytes):  # a path
            check(lib.tn_executor_create(engine, options, out), diag)
        else:
            keep.append(engine)
            check(lib.tn_executor_create_from_engine(engine.handle, options, out), diag)
        self._handle: Any = owned(out[0], lib.tn_executor_destroy, keep)
        info = self._info()
        self._vocab_size, self._max_seq_len = int(info.vocab_size), int(info.max_seq_len)
        if config.additional_model_outputs and info.hidden_size == 0:
            self._stop(drain=False)
            raise UnsupportedError("cannot create the executor: the engine does not give the additional model output 'hidden_states'\n"
                                   "  build it with hidden_states=True (tenon build --embeddings)")
        _live.add(self)

    def _fill_processors(self, options: Any, config: ExecutorConfig, keep: List[Any]) -> None:
        processors = config.logits_post_processor_config
        named = {name: f for name, f in ((processors.processor_map if processors else None) or {}).items() if f is not None}
        table = ffi.new("tn_logits_post_processor[]", len(named))
        for entry, (name, function) in zip(table, named.items()):
            processor = Processor(function, False, self._failures)
            text = ffi.new("char[]", encode(name))
            entry.name, entry.callback, entry.user = text, call_processor, processor.handle
            keep += [processor, text]
        options.logits_post_processors, options.num_logits_post_processors = table, len(named)
        keep.append(table)
        if processors is not None and processors.processor_batched is not None:
            processor = Processor(processors.processor_batched, True, self._failures)
            options.batched_logits_post_processor = call_processor
            options.batched_logits_post_processor_user = processor.handle
            keep.append(processor)

    # --- requests ---

    def enqueue_request(self, request: Request) -> int:
        """Queues a copy of the request, gives its id (from 1 up).

        Raises: NotFoundError (no such post-processor), UnavailableError (queue full, or shut down).
        """
        return self.enqueue_requests([request])[0]

    def enqueue_requests(self, requests: Sequence[Request]) -> List[int]:
        """All of them or none."""
        if isinstance(requests, Request) or not all(isinstance(request, Request) for request in requests):
            raise TypeError("enqueue_requests() takes a list of Request")
        handle = self._open()
        keep: List[Any] = []
        array = ffi.new("tn_request[]", len(requests))
        pending = []
        for i, request in enumerate(requests):
            fill_request(ffi.addressof(array, i), request, keep)
            processor = None
            if request.logits_post_processor is not None:
                processor = Processor(request.logits_post_processor, False, self._failures)
                array[i].logits_post_processor, array[i].logits_post_processor_user = call_processor, processor.handle
            pending.append(_Pending(request, processor))
        ids = ffi.new("uint64_t[]", len(requests))
        diag = Diag()
        with self._lock:  # no response of theirs is taken before they are known
            check(lib.tn_executor_enqueue_many(handle, array, len(requests), diag.handle, ids), diag)
            new = list(ids)
            self._pending.update(zip(new, pending))
            self._last_id = max([self._last_id, *new])
        return new

    def cancel_request(self, id: int) -> None:
        """By the next step: the request's blocks are freed, its final responses say CANCELLED. Unknown and finished ids: no effect."""
        lib.tn_executor_cancel(self._open(), UInt64.accept(id, "id"))

    def can_enqueue_requests(self) -> bool:
        """False after shutdown, and while the queue is full."""
        handle = self._handle
        return not self._is_shut_down and handle is not None and bool(lib.tn_executor_can_enqueue(handle))

    # --- responses ---

    def await_responses(self, *args: Any, **kwargs: Any) -> Any:
        """Takes responses, waiting up to ``timeout`` (timedelta; None: until there is one, or shutdown).

            await_responses(timeout=None)       → all responses that are ready, of any request; [] when the time is over
            await_responses(id, timeout=None)   → those of this request; an id whose final response was taken gives one error response
            await_responses(ids, timeout=None)  → a list of such lists, in order, within one time-out

        Raises: NotFoundError for an id that was never given out, UnavailableError after shutdown.
        """
        target, timeout = _await_arguments(args, kwargs)
        deadline = Deadline(None if timeout is None else max(timeout.total_seconds() * 1e3, 0.0))
        if target is None:
            return self._await_any(deadline)
        if isinstance(target, list):
            return [self._await_one(id, deadline) for id in target]
        return self._await_one(target, deadline)

    def _await_any(self, deadline: Deadline) -> List[Response]:
        handle = self._open()
        out = ffi.new("tn_response *[]", _MAX_RESPONSES)
        count = ffi.new("size_t *")
        taken: List[Response] = []
        while True:
            wait_ms = deadline.slice_ms() if not taken else 0
            status = lib.tn_executor_await_all_ready(handle, wait_ms, out, _MAX_RESPONSES, count)
            if status == lib.TN_OK:
                taken += [self._convert(out[i]) for i in range(count[0])]
                if count[0] < _MAX_RESPONSES:
                    return taken
            elif status == lib.TN_UNAVAILABLE or taken or (status == lib.TN_TIMED_OUT and wait_ms == 0):
                return taken
            elif status != lib.TN_TIMED_OUT:
                check(status)

    def _await_one(self, id: int, deadline: Deadline) -> List[Response]:
        handle = self._open()
        out = ffi.new("tn_response **")
        taken: List[Response] = []
        while True:
            wait_ms = deadline.slice_ms() if not taken else 0
            status = lib.tn_executor_await(handle, id, wait_ms, out)
            if status == lib.TN_OK:
                taken.append(self._convert(out[0]))
            elif taken or (status == lib.TN_TIMED_OUT and wait_ms == 0) or status == lib.TN_UNAVAILABLE:
                return taken
            elif status == lib.TN_NOT_FOUND:
                if id > self._last_id or id == 0:
                    raise NotFoundError(f"cannot await request {id}: no such id was given out")
                return [Response(id, f"ReqId {id} has already been processed and was terminated.")]
            elif status != lib.TN_TIMED_OUT:
                check(status)

    def get_num_responses_ready(self, id: Optional[int] = None) -> int:
        """Responses that can be taken at once: of this request, or of all. 0 for unknown ids."""
        handle = self._open()
        if id is not None and UInt64.accept(id, "id") == 0:
            return 0
        return int(lib.tn_executor_num_responses_ready(handle, id or 0))

    def _convert(self, pointer: Any) -> Response:
        """A response of ours; the library's is destroyed."""
        response = ffi.gc(pointer, lib.tn_response_destroy)
        id = int(lib.tn_response_id(response))
        is_final = bool(lib.tn_response_is_final(response))
        client_id = int(lib.tn_response_client_id(response)) if lib.tn_response_has_client_id(response) else None
        with self._lock:
            pending = self._pending_of(id, is_final)
            error = lib.tn_response_error(response)
            if error != ffi.NULL:
                said = self._failures.pop(id, "")
                return Response(id, decode(error) + (f": {said}" if said else ""), client_id)
            return Response(id, self._result(response, pending, is_final), client_id)

    def _pending_of(self, id: int, is_final: bool) -> _Pending:
        """There since enqueue. Another thread may have taken the final response before this one is looked at: some are kept for that."""
        pending = self._pending.get(id) or self._ended[id]
        if is_final:
            del self._pending[id]
            self._ended[id] = pending
            if len(self._ended) > _MAX_ENDED:
                del self._ended[next(iter(self._ended))]
        return pending

    def _result(self, response: Any, pending: _Pending, is_final: bool) -> Result:
        count = ffi.new("size_t *")
        beams = range(lib.tn_response_num_beams(response))
        generated = []
        for beam in beams:
            tokens = lib.tn_response_beam_ids(response, beam, count)
            generated.append(ffi.unpack(tokens, count[0]) if count[0] else [])
        sequence = int(lib.tn_response_sequence_index(response))
        values: Dict[str, Any] = {
            "is_final": is_final,
            "output_token_ids": [pending.prompt + ids for ids in generated],
            "finish_reasons": [FinishReason(lib.tn_response_beam_finish_reason(response, beam)) for beam in beams],
            "decoding_iter": int(lib.tn_response_decoding_iter(response)),
            "sequence_index": sequence,
            "is_sequence_final": bool(lib.tn_response_is_sequence_final(response)),
            "request_perf_metrics": _perf_metrics(response),
        }
        if values["decoding_iter"] > 0 and pending.returns_all:
            values["avg_decoded_tokens_per_iter"] = max(map(len, generated), default=0) / values["decoding_iter"]
        if pending.returns_log_probs:
            own = [_own_log_probs(response, beam, len(ids), count) for beam, ids in zip(beams, generated)]
            if not pending.returns_all:  # upstream's are of all tokens so far
                so_far = pending.log_probs.setdefault(sequence, [])
                so_far += own[0]
                own = [list(so_far)]
            values["log_probs"] = own
            values["cum_log_probs"] = [float(lib.tn_response_beam_cum_log_prob(response, beam)) for beam in beams]
        self._add_logits(response, pending, generated, values)
        values["additional_outputs"] = self._additional_outputs(response, pending, generated)
        if pending.more is not None:
            values[MORE] = _more_of(response, generated, count)
        return Result._of(**values)

    def _add_logits(self, response: Any, pending: _Pending, generated: List[List[int]], values: Dict[str, Any]) -> None:
        context = lib.tn_response_context_logits(response)
        rows = [lib.tn_response_beam_generation_logits(response, beam) for beam in range(len(generated))]
        if context != ffi.NULL:
            values["context_logits"] = give(_copied(context, (self._num_prompt_tokens(response), self._vocab_size)))
        if rows[0] != ffi.NULL:
            values["generation_logits"] = _rows_of_beams(rows, generated, self._vocab_size, pending.streaming)

    def _additional_outputs(self, response: Any, pending: _Pending, generated: List[List[int]]) -> List[AdditionalOutput]:
        found = []
        columns = ffi.new("size_t *")
        for name in pending.additional:
            text = encode(name)
            context = lib.tn_response_context_output(response, text, columns)
            if context != ffi.NULL:
                tensor = give(_copied(context, (self._num_prompt_tokens(response), columns[0])))
                found.append(AdditionalOutput(f"context_{name}", tensor))
            rows = [lib.tn_response_beam_generation_output(response, beam, text, columns) for beam in range(len(generated))]
            if rows[0] != ffi.NULL:
                found.append(AdditionalOutput(f"generation_{name}", _rows_of_beams(rows, generated, columns[0], pending.streaming)))
        return found

    @staticmethod
    def _num_prompt_tokens(response: Any) -> int:
        timings = ffi.new("tn_request_timings *")
        lib.tn_response_timings(response, timings)
        return int(timings.num_prompt_tokens)

    # --- looking ---

    def _info(self) -> Any:
        info = ffi.new("tn_executor_info *")
        lib.tn_executor_get_info(self._open(), info)
        return info

    def get_latest_iteration_stats(self) -> List[IterationStats]:
        """Takes the statistics of the iterations since the last call, at most ``iter_stats_max_iterations``, the oldest first."""
        handle = self._open()
        stats = ffi.new("tn_iteration_stats *")
        found: List[IterationStats] = []
        while lib.tn_executor_take_iteration_stats(handle, stats) == lib.TN_OK:
            found.append(_iteration_stats(stats))
        return found

    def get_latest_request_stats(self) -> List[RequestStatsPerIteration]:
        """The same of requests; nothing unless ``request_stats_max_iterations`` is set."""
        handle = self._open()
        out, count = ffi.new("tn_request_stats_list **"), ffi.new("size_t *")
        found: List[RequestStatsPerIteration] = []
        while True:
            status = lib.tn_executor_take_request_stats(handle, out)
            if status == lib.TN_NOT_FOUND:
                return found
            check(status)
            stats = ffi.gc(out[0], lib.tn_request_stats_list_destroy)
            array = lib.tn_request_stats_list_get(stats, count)
            found.append(RequestStatsPerIteration(
                iter=lib.tn_request_stats_list_iter(stats), request_stats=[_request_stats(array[i]) for i in range(count[0])]))

    def get_latest_debug_tensors(self) -> List[DebugTensorsPerIteration]:
        """Takes the tensors that ``DebugConfig`` asks for, an iteration each, the oldest first."""
        handle = self._open()
        out, count = ffi.new("tn_debug_tensors **"), ffi.new("size_t *")
        found: List[DebugTensorsPerIteration] = []
        while True:
            status = lib.tn_executor_take_debug_tensors(handle, out)
            if status == lib.TN_NOT_FOUND:
                return found
            check(status)
            tensors = ffi.gc(out[0], lib.tn_debug_tensors_destroy)
            array = lib.tn_debug_tensors_get(tensors, count)
            found.append(DebugTensorsPerIteration(
                lib.tn_debug_tensors_iter(tensors), {decode(array[i].name): _debug_tensor(array[i]) for i in range(count[0])}))

    def get_kv_cache_event_manager(self) -> Optional[KVCacheEventManager]:
        """None unless ``KvCacheConfig.event_buffer_max_size`` is set."""
        handle = self._open()
        manager = lib.tn_executor_get_kv_event_manager(handle)
        return None if manager == ffi.NULL else KVCacheEventManager(handle, manager, self._max_seq_len)

    # --- the end ---

    def _open(self) -> Any:
        """The handle. Held by a caller it outlives shutdown, so that nobody waits on what is gone."""
        handle = self._handle
        if self._is_shut_down or handle is None:
            raise UnavailableError("the executor is shut down")
        return handle

    def shutdown(self) -> None:
        """Takes no more requests, finishes those that it has, wakes all who wait. May be called again. Ctrl-C cancels what is left."""
        self._stop(drain=True)

    def _stop(self, drain: bool) -> None:
        with self._lock:
            handle, self._is_shut_down, self._handle = self._handle, True, None
        _live.discard(self)
        if handle is None:
            return
        stopper = threading.Thread(target=lib.tn_executor_shutdown, args=(handle, drain), name="tenon-shutdown")
        try:
            stopper.start()
        except RuntimeError:  # the interpreter is ending
            lib.tn_executor_shutdown(handle, drain)
            return
        try:
            while stopper.is_alive():
                stopper.join(0.2)
        except BaseException:
            lib.tn_executor_shutdown(handle, False)
            raise

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()


# --- arguments ----------------------------------------------------------------------------------------------------------------


def _read_arguments(args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
    """(a path as bytes, or an Engine; the configuration) of upstream's constructors."""
    from ...engine import Engine

    args, kwargs = list(args), dict(kwargs)
    if "encoder_model_path" in kwargs or "decoder_model_path" in kwargs or "encoder_engine_buffer" in kwargs or (
            len(args) >= 4 and isinstance(args[1], (str, Path)) and isinstance(args[0], (str, Path))):
        raise UnsupportedError("cannot create the executor: encoder-decoder models are not built")
    names = ["model_path", "model_type", "executor_config"]
    if "engine_buffer" in kwargs or (args and isinstance(args[0], (bytes, bytearray, memoryview))):
        names = ["engine_buffer", "json_config_str", "model_type", "executor_config", "managed_weights"]
    for name, value in zip(names, args):
        if name in kwargs:
            raise TypeError(f"Executor() has two values for '{name}'")
        kwargs[name] = value
    unknown = [name for name in kwargs if name not in names]
    if unknown or len(args) > len(names):
        raise TypeError(f"Executor() has no argument '{unknown[0]}'" if unknown else f"Executor() takes at most {len(names)} arguments")
    missing = [name for name in names if name not in kwargs and name not in ("managed_weights", "json_config_str")]
    if missing:
        raise TypeError(f"Executor() needs '{missing[0]}'")
    config = kwargs["executor_config"]
    if not isinstance(config, ExecutorConfig):
        raise TypeError(f"Executor() takes an ExecutorConfig, not {type(config).__name__}")
    if not isinstance(kwargs["model_type"], ModelType):
        raise TypeError(f"Executor() takes a ModelType, not {type(kwargs['model_type']).__name__}")
    if kwargs["model_type"] != ModelType.DECODER_ONLY:
        raise UnsupportedError(f"cannot create the executor: models of the type {kwargs['model_type'].name} are not built")
    if kwargs.get("managed_weights"):
        raise UnsupportedError("cannot create the executor: managed weights are not built\n  plans hold their weights; tenon.engine refits them")
    if "engine_buffer" in kwargs:
        return Engine.from_bytes(kwargs["engine_buffer"]), config
    source = kwargs["model_path"]
    if isinstance(source, Engine):
        return source, config
    if not isinstance(source, (str, Path)) and not hasattr(source, "__fspath__"):
        raise TypeError(f"Executor() takes a path, not {type(source).__name__}")
    if not Path(source).exists():
        raise NotFoundError(f"cannot create the executor: File does not exist: {source}")
    return encode(source), config


def _await_arguments(args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
    """(None, an id, or a list of ids; the time-out) of upstream's overloads."""
    values = {"target": None, "timeout": None}
    for name, value in kwargs.items():
        if name not in ("timeout", "id", "ids"):
            raise TypeError(f"await_responses() has no argument '{name}'")
        values["timeout" if name == "timeout" else "target"] = value
    rest = list(args)
    if rest and isinstance(rest[0], datetime.timedelta):
        values["timeout"] = rest.pop(0)
    elif rest:
        values["target"] = rest.pop(0)
        if rest:
            values["timeout"] = rest.pop(0)
    if rest:
        raise TypeError("await_responses() takes at most an id, or ids, and a timeout")
    timeout, target = values["timeout"], values["target"]
    if timeout is not None and not isinstance(timeout, datetime.timedelta):
        raise TypeError(f"await_responses() takes a datetime.timedelta as timeout, not {type(timeout).__name__}")
    if target is not None and not isinstance(target, int) and hasattr(target, "__iter__"):
        return [UInt64.accept(id, "ids") for id in target], timeout
    return None if target is None else UInt64.accept(target, "id"), timeout


# --- from C's structs -----------------------------------------------------------------------------------------------------------

_NUMPY_TYPES = {
    lib.TN_BOOL: numpy.bool_, lib.TN_INT8: numpy.int8, lib.TN_UINT8: numpy.uint8, lib.TN_INT16: numpy.int16, lib.TN_UINT16: numpy.uint16,
    lib.TN_INT32: numpy.int32, lib.TN_UINT32: numpy.uint32, lib.TN_INT64: numpy.int64, lib.TN_UINT64: numpy.uint64,
    lib.TN_FLOAT16: numpy.float16, lib.TN_FLOAT32: numpy.float32, lib.TN_FLOAT64: numpy.float64,
}


def _copied(pointer: Any, shape: Any, dtype: Any = numpy.float32) -> numpy.ndarray:
    size = int(numpy.prod(shape, dtype=numpy.int64)) * numpy.dtype(dtype).itemsize
    return numpy.frombuffer(ffi.buffer(pointer, size), dtype=dtype).reshape(shape).copy() if size else numpy.empty(shape, dtype)


def _rows_of_beams(pointers: List[Any], generated: List[List[int]], columns: int, streaming: bool) -> Any:
    """[beams, tokens, columns], or with streaming [tokens, beams, columns]."""
    rows = numpy.zeros((len(generated), max(map(len, generated)), columns), dtype=numpy.float32)
    for beam, ids in enumerate(generated):
        rows[beam, : len(ids)] = _copied(pointers[beam], (len(ids), columns))
    return give(numpy.ascontiguousarray(rows.swapaxes(0, 1)) if streaming else rows)


def _debug_tensor(tensor: Any) -> Any:
    shape = tuple(tensor.dims.d[i] for i in range(tensor.dims.rank))
    if tensor.dtype == lib.TN_BFLOAT16:  # NumPy has none: its bits are the upper half of a float32's
        bits = numpy.frombuffer(ffi.buffer(tensor.data, 2 * int(numpy.prod(shape, dtype=numpy.int64))), dtype=numpy.uint16)
        return give((bits.astype(numpy.uint32) << 16).view(numpy.float32).reshape(shape))
    if tensor.dtype not in _NUMPY_TYPES:
        raise UnsupportedError(f"the debug tensor '{decode(tensor.name)}' is of {decode(lib.tn_dtype_name(tensor.dtype))}, which NumPy lacks")
    return give(_copied(tensor.data, shape, _NUMPY_TYPES[tensor.dtype]))


def _own_log_probs(response: Any, beam: int, num_tokens: int, count: Any) -> List[float]:
    """Of the chosen tokens of this response."""
    return [lib.tn_response_beam_log_probs(response, beam, i, count)[0].value for i in range(num_tokens)]


def _more_of(response: Any, generated: List[List[int]], count: Any) -> Any:
    """([beams][tokens] of [(id, log-probability)], its own first; the prompt's log-probabilities)."""
    rows: List[List[List[Any]]] = []
    for beam, ids in enumerate(generated):
        rows.append([])
        for i in range(len(ids)):
            row = lib.tn_response_beam_log_probs(response, beam, i, count)
            if row != ffi.NULL:
                rows[-1].append([(row[k].id, row[k].value) for k in range(count[0])])
    prompt = lib.tn_response_prompt_log_probs(response, count)
    return rows, ffi.unpack(prompt, count[0]) if prompt != ffi.NULL and count[0] else []


def _time(ns: int) -> datetime.timedelta:
    return datetime.timedelta(microseconds=ns / 1e3)


def _perf_metrics(response: Any) -> Optional[RequestPerfMetrics]:
    m = ffi.new("tn_perf_metrics *")
    if not lib.tn_response_perf_metrics(response, m):
        return None
    return RequestPerfMetrics(
        timing_metrics=TimingMetrics(_time(m.arrival_ns), _time(m.first_scheduled_ns), _time(m.first_token_ns), _time(m.last_token_ns)),
        kv_cache_metrics=KvCacheMetrics(m.num_total_allocated_blocks, m.num_new_allocated_blocks, m.num_reused_blocks, m.num_missed_blocks,
                                        m.kv_cache_hit_rate),
        first_iter=None if m.first_iter < 0 else m.first_iter,
        last_iter=None if m.last_iter < 0 else m.last_iter,
        iter=None if m.iter < 0 else m.iter)


def _same_members(record: Any, struct: Any) -> Any:
    """The record with the values of the struct's members of the same names."""
    values = {name: getattr(struct, name) for name, _ in ffi.typeof(struct).fields if name in record.__fields__}
    return record(**{name: value for name, value in values.items() if isinstance(value, (int, float))})


def _iteration_stats(stats: Any) -> IterationStats:
    found = _same_members(IterationStats, stats[0])
    found.timestamp = decode(stats.timestamp)
    found.kv_cache_stats = _same_members(KvCacheStats, stats.kv_cache_stats)
    if stats.has_static_batching_stats:
        found.static_batching_stats = _same_members(StaticBatchingStats, stats.static_batching_stats)
    else:
        found.inflight_batching_stats = _same_members(InflightBatchingStats, stats.inflight_batching_stats)
    return found


def _request_stats(stats: Any) -> RequestStats:
    return RequestStats(
        id=stats.id, stage=RequestStage(stats.stage), context_prefill_position=stats.context_prefill_position,
        num_generated_tokens=stats.num_generated_tokens, avg_num_decoded_tokens_per_iter=stats.avg_num_decoded_tokens_per_iter,
        scheduled=bool(stats.scheduled), paused=bool(stats.paused), alloc_total_blocks_per_request=stats.alloc_total_blocks,
        alloc_new_blocks_per_request=stats.alloc_new_blocks, reused_blocks_per_request=stats.reused_blocks,
        missed_blocks_per_request=stats.missed_blocks, kv_cache_hit_rate_per_request=stats.kv_cache_hit_rate)
