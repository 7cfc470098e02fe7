# SPDX-License-Identifier: Apache-2.0
"""LLM: prompts in, text out, under the names of TensorRT-LLM's LLM API.

    llm = LLM("SmolLM2-135M-Instruct.gguf")                          # or a Hugging Face directory, or an engine directory
    for output in llm.generate(["Hello, my name is", "The capital of France is"], SamplingParams(max_tokens=16)):
        print(output.prompt, output.outputs[0].text)

    async for output in llm.generate_async("Once upon a time", SamplingParams(temperature=0.8), streaming=True):
        print(output.outputs[0].text_diff, end="")
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import os
import sys
import threading
import time
from typing import Any, AsyncIterator, Deque, Dict, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy

from ._ffi import run_outside
from ._tensor import as_array, give
from .bindings.executor import (Executor, ExecutorConfig, FinishReason, KvCacheConfig, ModelType, OutputConfig, Request,
                                Response, Result, SamplingConfig, SchedulerConfig)
from .bindings.executor._options import MORE, More
from .engine import PLAN_FILE, Engine, build_plan, load_tokenizer, save_plan
from .errors import InvalidArgumentError, NotFoundError, RequestError, TimedOutError, UnavailableError, UnsupportedError
from .sampling_params import SamplingParams
from .tokenizer import Detokenizer, Tokenizer

Prompt = Union[str, Sequence[int], Dict[str, Any]]  # text, ids, or {"prompt": text} or {"prompt_token_ids": ids}

_REASONS = {FinishReason.END_ID: "stop", FinishReason.STOP_WORDS: "stop", FinishReason.LENGTH: "length", FinishReason.TIMED_OUT: "timeout",
            FinishReason.CANCELLED: "cancelled"}


class Logprob(NamedTuple):
    """Of one token at one place. ``rank``: 1 is the most likely; None for a token beyond the K asked for."""

    logprob: float
    rank: Optional[int]


class CompletionOutput:
    """One answer to a prompt, as far as it is.

    ``token_ids``: what was generated, the id that ended it among it; ``text``: without that, and without stop texts.
    ``text_diff``, ``token_ids_diff``: what the last response added. ``logprobs``: a dict of id → :class:`Logprob` for each token.
    ``finish_reason``: None while it runs, then "stop", "length", "timeout" or "cancelled"; ``stop_reason``: the text or id of SamplingParams that
    ended it. ``generation_logits`` [tokens, vocab].
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.text = self.text_diff = ""
        self.token_ids: List[int] = []
        self.token_ids_diff: List[int] = []
        self.cumulative_logprob: Optional[float] = None
        self.logprobs: Optional[List[Dict[int, Logprob]]] = None
        self.prompt_logprobs: Optional[List[float]] = None
        self.finish_reason: Optional[str] = None
        self.stop_reason: Union[str, int, None] = None
        self.generation_logits: Any = None
        self.request_perf_metrics: Any = None

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def __repr__(self) -> str:
        return (f"CompletionOutput(index={self.index}, text={self.text!r}, token_ids={self.token_ids}, finish_reason={self.finish_reason!r}, "
                f"stop_reason={self.stop_reason!r})")


class _Answer:
    """What is known of one sequence: tokens, the text that may be shown, and whether a stop text ended it."""

    def __init__(self, request: "RequestOutput", index: int) -> None:
        self._request, self._params = request, request._params
        self._stops = self._params.stop or []
        self.output = CompletionOutput(index)
        self._begin()

    def _begin(self) -> None:
        self.output = CompletionOutput(self.output.index)
        self._decoder = None
        if self._request._tokenizer is not None and self._params.detokenize:
            self._decoder = Detokenizer(self._request._tokenizer, self._params.skip_special_tokens)
        self._all = ""  # the text with what is held back
        self.is_done = False

    def take(self, ids: List[int], reason: FinishReason, result: Result, beam: int, is_whole: bool) -> None:
        """``ids``: new tokens, or all of them (beam search)."""
        shown = self.output.text
        if is_whole:
            self._begin()
        output = self.output
        rows = result.__dict__[MORE][0][beam]
        kept = len(ids)
        for i, id in enumerate(ids):
            ends = reason == FinishReason.END_ID and i == len(ids) - 1
            if self._decoder is not None and not ends and self._grows(self._decoder.push(id)):
                kept, reason = i + 1, FinishReason.STOP_WORDS
                break
        if reason != FinishReason.NOT_FINISHED and output.stop_reason is None and self._decoder is not None:
            if self._grows(self._decoder.finish()):
                reason = FinishReason.STOP_WORDS
        output.token_ids = output.token_ids + ids[:kept]
        output.token_ids_diff = ids[:kept]
        if rows and self._params.logprobs is not None:
            output.logprobs = (output.logprobs or []) + [_logprob_dict(row, self._params.logprobs) for row in rows[:kept]]
        if rows:
            output.cumulative_logprob = (output.cumulative_logprob or 0.0) + sum(row[0][1] for row in rows[:kept])
        if reason == FinishReason.END_ID and ids and ids[-1] in (self._params.stop_token_ids or []):
            output.stop_reason = ids[-1]
        self.is_done = reason != FinishReason.NOT_FINISHED
        output.finish_reason = _REASONS.get(reason)
        self._show(shown)
        self._take_logits(result.generation_logits, beam, kept)
        output.prompt_logprobs = result.__dict__[MORE][1] or output.prompt_logprobs
        output.request_perf_metrics = result.request_perf_metrics

    def _take_logits(self, logits: Any, beam: int, kept: int) -> None:
        """Of the last response where the caller streams, else of all tokens."""
        if logits is None:
            return
        new = logits[:kept, beam] if self._request._streams_inside else logits[beam][:kept]
        before = self.output.generation_logits
        if self._request._streams_inside and not self._request.streaming and before is not None:
            new = give(numpy.concatenate([as_array(before, numpy.float32), as_array(new, numpy.float32)]))
        self.output.generation_logits = new

    def _grows(self, text: str) -> bool:
        """Adds text; True if a stop text is now in it, at which it is cut."""
        if not text:
            return False
        longest = max(map(len, self._stops), default=0)
        begin = max(0, len(self._all) - longest + 1)
        self._all += text
        found = min(((self._all.find(stop, begin), -len(stop), stop) for stop in self._stops if self._all.find(stop, begin) >= 0), default=None)
        if found is None:
            return False
        place, _, stop = found
        self._all = self._all[: place + (len(stop) if self._params.include_stop_str_in_output else 0)]
        self.output.stop_reason = stop
        return True

    def _show(self, shown: str) -> None:
        """All but an end that may turn out to be the begin of a stop text."""
        held = 0
        if not self.is_done:
            for stop in self._stops:
                held = max(held, next((size for size in range(min(len(stop) - 1, len(self._all)), 0, -1) if self._all.endswith(stop[:size])), 0))
        self.output.text = self._all[: len(self._all) - held]
        self.output.text_diff = self.output.text[len(shown):] if self.output.text.startswith(shown) else self.output.text


def _logprob_dict(row: List[Tuple[int, float]], most: int) -> Dict[int, Logprob]:
    """The K most likely with their ranks, and the token itself, which may be one of them."""
    found = {id: Logprob(value, rank + 1) for rank, (id, value) in enumerate(row[1 : most + 1])}
    found.setdefault(row[0][0], Logprob(row[0][1], None))
    return found


class _Update(NamedTuple):
    outputs: List[CompletionOutput]
    context_logits: Any
    finished: bool
    error: Optional[BaseException]


class RequestOutput:
    """The answers to one prompt; of ``generate`` they are whole, of ``generate_async`` they come.

    ``prompt``, ``prompt_token_ids``, ``outputs`` (:class:`CompletionOutput`, ``n`` of them), ``context_logits`` [prompt, vocab], ``finished``.

    ``result(timeout)`` waits for all of it, ``await`` does too; ``for`` and ``async for`` give this object once for each response. ``abort()`` ends it.
    A request that was refused or failed raises RequestError from these.
    """

    def __init__(self, prompt: Optional[str], prompt_token_ids: List[int], params: SamplingParams, streaming: bool, tokenizer: Optional[Tokenizer],
                 end_ids: List[int]) -> None:
        self.request_id = 0
        self.prompt, self.prompt_token_ids = prompt, prompt_token_ids
        self.streaming = streaming
        self.outputs: List[CompletionOutput] = []
        self.context_logits: Any = None
        self.finished = False
        self._params, self._tokenizer, self._end_ids = params, tokenizer, end_ids
        self._streams_inside = streaming  # also where texts may end it
        self._executor: Optional[Executor] = None
        self._answers: Dict[int, _Answer] = {}  # of the thread that takes responses
        self._updates: Deque[_Update] = collections.deque()
        self._condition = threading.Condition()
        self._waiters: List[Tuple[Any, Any]] = []
        self._error: Optional[BaseException] = None

    # --- called by the thread that takes responses ---

    def _take(self, response: Response) -> bool:
        """True when no more is wanted of this request."""
        if response.has_error():
            self._push(_Update([], None, True, RequestError(response.error_msg)))
            return True
        result = response.result
        is_beam = self._params.use_beam_search
        for beam, ids in enumerate(result.output_token_ids):
            index = beam if is_beam else result.sequence_index
            answer = self._answers.setdefault(index, _Answer(self, index))
            if is_beam or not answer.is_done:
                answer.take(ids, result.finish_reasons[beam], result, beam, is_beam)
        is_over = result.is_final
        if not is_over and not is_beam and len(self._answers) == self._params._num_drawn and all(a.is_done for a in self._answers.values()):
            if self._executor is not None:  # stop texts ended all of them
                self._executor.cancel_request(self.request_id)
            is_over = not self._params.return_context_logits  # which come with the last response
        if self.streaming or is_over:
            self._push(_Update(self._chosen(is_over), result.context_logits, is_over, None))
        return is_over

    def _chosen(self, is_over: bool) -> List[CompletionOutput]:
        """Copies of the answers as they are; at the end, the n best of best_of."""
        outputs = []
        for _, answer in sorted(self._answers.items()):
            copy = CompletionOutput(answer.output.index)
            copy.__dict__.update(answer.output.__dict__)
            outputs.append(copy)
        if is_over and len(outputs) > self._params.n:
            outputs.sort(key=lambda output: -(output.cumulative_logprob or 0.0))
            outputs = outputs[: self._params.n]
            for index, output in enumerate(outputs):
                output.index = index
        return outputs

    def _push(self, update: _Update) -> None:
        with self._condition:
            self._updates.append(update)
            waiters, self._waiters = self._waiters, []
            self._condition.notify_all()
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(lambda future=future: future.done() or future.set_result(None))
            except RuntimeError:  # its loop is closed: nobody waits
                pass

    # --- called by who waits ---

    def _apply(self, update: _Update) -> None:
        if update.outputs:
            self.outputs = update.outputs
        if update.context_logits is not None:
            self.context_logits = update.context_logits
        self.finished = update.finished
        self._error = update.error
        if self._error is not None:
            raise self._error

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise self._error

    def _step(self, deadline: Optional[float]) -> None:
        with self._condition:
            while not self._updates:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimedOutError(f"request {self.request_id} is not done")
                self._condition.wait(left)
            update = self._updates.popleft()
        self._apply(update)

    async def _astep(self) -> None:
        while True:
            with self._condition:
                if self._updates:
                    update = self._updates.popleft()
                    break
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                self._waiters.append((loop, future))
            await future
        self._apply(update)

    def result(self, timeout: Optional[float] = None) -> "RequestOutput":
        """Waits for the whole answer, ``timeout`` seconds at most (TimedOutError)."""
        self._raise_if_failed()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.finished:
            self._step(deadline)
        return self

    async def aresult(self) -> "RequestOutput":
        """The same for asyncio."""
        self._raise_if_failed()
        while not self.finished:
            await self._astep()
        return self

    def __await__(self) -> Generator[Any, None, "RequestOutput"]:
        return self.aresult().__await__()

    def __iter__(self) -> Iterator["RequestOutput"]:
        while not self.finished:
            self._step(None)
            yield self

    async def __aiter__(self) -> AsyncIterator["RequestOutput"]:
        while not self.finished:
            await self._astep()
            yield self

    def abort(self) -> None:
        """Ends the request by the next step; what it has so far comes with finish_reason "cancelled"."""
        if self._executor is not None and not self.finished:
            self._executor.cancel_request(self.request_id)

    def __repr__(self) -> str:
        return f"RequestOutput(request_id={self.request_id}, prompt={self.prompt!r}, outputs={self.outputs}, finished={self.finished})"


class _Book:
    """Requests under way, and the thread that takes their responses. It knows nothing of the LLM, which may go while it waits."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._lock = threading.Lock()
        self._open: Dict[int, RequestOutput] = {}
        self._thread = threading.Thread(target=self._run, name="tenon-responses", daemon=True)
        self._thread.start()

    def enqueue(self, request: Request, output: RequestOutput) -> None:
        with self._lock:  # no response is looked at before its request is known
            output.request_id = self.executor.enqueue_request(request)
            output._executor, output._streams_inside = self.executor, request.streaming
            self._open[output.request_id] = output

    def _run(self) -> None:
        while True:
            try:
                responses = self.executor.await_responses(datetime.timedelta(seconds=1))
            except UnavailableError:
                break
            for response in responses:
                with self._lock:
                    output = self._open.get(response.request_id)
                if output is None:
                    continue  # its stop texts ended it before
                try:
                    is_over = output._take(response)
                except BaseException as error:  # the thread must live
                    output._push(_Update([], None, True, error))
                    is_over = True
                if is_over:
                    with self._lock:
                        self._open.pop(response.request_id, None)
        for output in list(self._open.values()):
            output._push(_Update([], None, True, UnavailableError("the LLM was shut down")))

    def close(self) -> None:
        self.executor._stop(drain=False)
        if threading.current_thread() is not self._thread:
            self._thread.join(10)


class LLM:
    """A model that answers.

    ``model``: a GGUF file or a Hugging Face directory, which is built in memory first, or an engine directory (``llm.save``, ``tenon build``).
    ``tokenizer``: a :class:`~tenon.Tokenizer` or a path, where the model has none or another is wanted. ``skip_tokenizer_init``: ids only.
    ``max_seq_len``, ``max_num_tokens``, ``max_batch_size``: limits of a sequence and of a step. ``max_beam_width``: for beam search.
    ``kv_cache_config``, ``scheduler_config``: of ``tenon.bindings.executor``. ``build_options``: of :func:`tenon.engine.build_plan`
    (``activations``, ``kv_cache_dtype``, ``optimization_level`` …).

    Raises: NotFoundError, InvalidDataError, UnsupportedError (architecture, encoding, tokenizer part, more than one rank), OutOfMemoryError.
    May be used from several threads. ``with`` shuts it down.
    """

    def __init__(self, model: Union[str, os.PathLike], tokenizer: Union[Tokenizer, str, os.PathLike, None] = None, *,
                 skip_tokenizer_init: bool = False, tensor_parallel_size: int = 1, dtype: str = "auto", max_seq_len: Optional[int] = None,
                 max_num_tokens: Optional[int] = None, max_batch_size: Optional[int] = None, max_beam_width: int = 1,
                 enable_chunked_prefill: bool = True, kv_cache_config: Optional[KvCacheConfig] = None,
                 scheduler_config: Optional[SchedulerConfig] = None, iter_stats_max_iterations: int = 1000,
                 build_options: Optional[Dict[str, Any]] = None) -> None:
        self._book: Optional[_Book] = None
        if tensor_parallel_size != 1:
            raise UnsupportedError("cannot open the model: running on more than one rank is not built\n  leave tensor_parallel_size at 1")
        if dtype not in ("auto", "float32"):
            raise UnsupportedError(f"cannot open the model: a dtype of {dtype} is not built\n  activations are chosen by build_options={{'activations': …}}")
        if not os.path.exists(model):
            raise NotFoundError(f"there is no '{os.fspath(model)}'\n  give a GGUF file, a Hugging Face directory, or an engine directory")
        self._plan: Any = None
        executor_config = ExecutorConfig(
            max_beam_width=max_beam_width, enable_chunked_context=enable_chunked_prefill, kv_cache_config=kv_cache_config or KvCacheConfig(),
            scheduler_config=scheduler_config or SchedulerConfig(),
            iter_stats_max_iterations=iter_stats_max_iterations)
        if os.path.exists(os.path.join(model, PLAN_FILE)):
            if build_options:
                raise InvalidArgumentError("build_options are for models; this is an engine, which is built")
            executor_config.max_batch_size, executor_config.max_num_tokens = max_batch_size, max_num_tokens
            engine = Engine.load(model)
        else:
            self._plan = build_plan(model, max_seq_len=max_seq_len, max_num_tokens=max_num_tokens, max_batch_size=max_batch_size,
                                    **(build_options or {}))
            engine = Engine.from_plan(self._plan)
        self._tokenizer: Optional[Tokenizer] = None
        if not skip_tokenizer_init:
            self._tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(model) if tokenizer is None else Tokenizer(tokenizer)
        self._executor = Executor(engine, ModelType.DECODER_ONLY, executor_config)
        self._book = _Book(self._executor)

    @property
    def tokenizer(self) -> Optional[Tokenizer]:
        """None if the model has none, or with ``skip_tokenizer_init``."""
        return self._tokenizer

    @property
    def max_seq_len(self) -> int:
        """The longest prompt and answer together, in tokens."""
        return self._executor._max_seq_len

    def save(self, engine_dir: Union[str, os.PathLike]) -> None:
        """Keeps the built engine, with its tokenizer, as a directory that opens without building. InvalidArgumentError if it was one already."""
        if self._plan is None:
            raise InvalidArgumentError("the model was opened from an engine directory; copy that")
        save_plan(self._plan, engine_dir, self._tokenizer)

    # --- answers ---

    def generate(self, inputs: Union[Prompt, Sequence[Prompt]], sampling_params: Union[SamplingParams, Sequence[SamplingParams], None] = None,
                 use_tqdm: bool = True) -> Union[RequestOutput, List[RequestOutput]]:
        """Answers one prompt, or a list of them, together. A list of ids is one prompt. ``sampling_params``: for all, or one each.
        ``use_tqdm``: a progress bar where stderr is a terminal and tqdm is there.

        Raises: RequestError for the first prompt that could not be answered; the others are ended then.
        """
        is_one = isinstance(inputs, (str, dict)) or _are_ids(inputs)
        prompts: List[Any] = [inputs] if is_one else list(inputs)
        params: List[Any] = list(sampling_params) if isinstance(sampling_params, (list, tuple)) else [sampling_params] * len(prompts)
        if len(params) != len(prompts):
            raise InvalidArgumentError(f"there are {len(prompts)} prompts and {len(params)} sampling params, must be as many, or one for all")
        outputs: List[RequestOutput] = []
        try:
            for prompt, wanted in zip(prompts, params):
                outputs.append(self.generate_async(prompt, wanted))
            for output in _with_progress(outputs, use_tqdm and not is_one):
                output.result()
        except BaseException:
            for output in outputs:
                if not output.finished and self._book is not None:
                    output.abort()
            raise
        return outputs[0] if is_one else outputs

    def generate_async(self, inputs: Prompt, sampling_params: Optional[SamplingParams] = None, streaming: bool = False) -> RequestOutput:
        """Begins to answer a prompt; see :class:`RequestOutput` for how to wait. ``streaming``: a response for each token.

        Raises: InvalidArgumentError (text without a tokenizer), UnavailableError (shut down).
        """
        if self._book is None:
            raise UnavailableError("the LLM is shut down")
        params = sampling_params or SamplingParams()
        if streaming and params.best_of not in (None, params.n) and not params.use_beam_search:
            raise InvalidArgumentError("streaming cannot choose the best of several answers: leave best_of out")
        text, ids = self._ids_of(inputs, params)
        output = RequestOutput(text, ids, params, streaming, self._tokenizer, self._end_ids(params))
        self._book.enqueue(self._request(ids, params, streaming, output._end_ids), output)
        return output

    def _ids_of(self, inputs: Prompt, params: SamplingParams) -> Tuple[Optional[str], List[int]]:
        text: Any = None
        ids: Any = inputs
        if isinstance(inputs, dict):
            text, ids = inputs.get("prompt"), inputs.get("prompt_token_ids")
            if (text is None) == (ids is None) or set(inputs) - {"prompt", "prompt_token_ids"}:
                raise InvalidArgumentError(f"a prompt as a dict has 'prompt' or 'prompt_token_ids', this one has {', '.join(inputs) or 'nothing'}")
        elif isinstance(inputs, str):
            text = inputs
        if text is not None:
            ids = self._needed_tokenizer("a prompt of text").encode(text, add_special_tokens=params.add_special_tokens)
        ids = [int(id) for id in ids]
        return text, ids[-params.truncate_prompt_tokens :] if params.truncate_prompt_tokens else ids

    def _needed_tokenizer(self, what: str) -> Tokenizer:
        if self._tokenizer is None:
            raise InvalidArgumentError(f"{what} needs a tokenizer, this model has none; give token ids, or LLM(…, tokenizer=…)")
        return self._tokenizer

    def _end_ids(self, params: SamplingParams) -> List[int]:
        ids = list(params.stop_token_ids or [])
        if params.end_id is not None:
            return ([params.end_id] if params.end_id >= 0 else []) + ids
        return ([] if params.ignore_eos or self._tokenizer is None else self._tokenizer.end_token_ids) + ids

    def _request(self, ids: List[int], params: SamplingParams, streaming: bool, end_ids: List[int]) -> Request:
        beams = params._num_drawn if params.use_beam_search else 1
        sampling = SamplingConfig(beams)
        for name in SamplingConfig.__fields__:
            if name in SamplingParams.__fields__ and getattr(params, name) is not None:
                setattr(sampling, name, getattr(params, name))
        sampling.num_return_sequences = params.n if params.use_beam_search else params._num_drawn
        if not params._is_greedy and not params.top_k and params.top_p is None:
            sampling.top_p = 1.0  # else the executor takes it for greedy
        output = OutputConfig(return_context_logits=params.return_context_logits, return_generation_logits=params.return_generation_logits,
                              exclude_input_from_output=True, return_perf_metrics=params.return_perf_metrics)
        bad = [[id] for id in params.bad_token_ids or []]
        for text in params.bad or []:
            bad.append(self._needed_tokenizer("a bad text").encode(text, add_special_tokens=False))
        if params.stop:
            self._needed_tokenizer("a stop text")
        request = Request(ids, params.max_tokens, streaming or bool(params.stop) and not params.use_beam_search, sampling, output,
                          end_ids[0] if end_ids else None, bad_words=bad or None, embedding_bias=params.embedding_bias,
                          logits_post_processor=params.logits_processor)
        if params.allotted_time_ms is not None:
            request.allotted_time_ms = datetime.timedelta(milliseconds=params.allotted_time_ms)
        wants_sums = params._num_drawn > params.n and not params.use_beam_search
        num_log_probs = params.logprobs if params.logprobs is not None else 0 if wants_sums else -1
        request.__dict__[MORE] = More(end_ids[1:], num_log_probs, params.prompt_logprobs is not None)
        return request

    # --- looking, and the end ---

    def get_stats(self) -> List[Dict[str, Any]]:
        """Statistics of the steps since the last call, with upstream's JSON keys."""
        import json

        return [json.loads(stats.to_json_str()) for stats in self._executor.get_latest_iteration_stats()]

    def get_kv_cache_events(self, timeout: Optional[float] = 0.0) -> List[Any]:
        """Events of the cache since the last call, waiting up to ``timeout`` s for the first; [] unless KvCacheConfig.event_buffer_max_size is set."""
        manager = self._executor.get_kv_cache_event_manager()
        return [] if manager is None else manager.get_latest_events(None if timeout is None else timeout * 1e3)

    def shutdown(self) -> None:
        """Ends what is under way, which then raises UnavailableError for those who wait. May be called again."""
        book, self._book = self._book, None
        if book is not None:
            book.close()

    def __enter__(self) -> "LLM":
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()

    def __del__(self) -> None:
        book = getattr(self, "_book", None)
        if book is not None and not sys.is_finalizing():
            run_outside(book.close)


def _are_ids(inputs: Any) -> bool:
    return hasattr(inputs, "__len__") and len(inputs) > 0 and all(hasattr(element, "__index__") for element in inputs)


def _with_progress(outputs: List[RequestOutput], wanted: bool) -> Any:
    if not wanted or not sys.stderr.isatty():
        return outputs
    try:
        from tqdm import tqdm
    except ImportError:
        return outputs
    return tqdm(outputs, desc="Processed requests")
