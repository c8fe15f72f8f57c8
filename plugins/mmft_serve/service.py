"""The way of a request through the server: read, admitted, parsed, prepared, computed, answered."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request

from mmft_core.errors import SampleError
from mmft_core.loading import PreparedSample
from mmft_core.utils import out_of_memory
from mmft_serve.batching import Batcher
from mmft_serve.body import Bodies, Body
from mmft_serve.gates import Admission
from mmft_serve.inputs import Given, Inputs
from mmft_serve.metrics import Metrics
from mmft_serve.model import Job, Prepared, Reply, ServedModel, company
from mmft_serve.refused import RefusedError
from mmft_serve.request import FORMS, BodyParser, media_type
from mmft_serve.settings import ServeSettings

_log = logging.getLogger(__name__)
_LARGE = 1024 * 1024
"""Bytes of a body from which on it is parsed in a thread of its own."""
_LAST_BATCH = 5.0
"""Seconds for a batch whose requests have been given up when the server ended."""
_ADVICE = "Give the server more memory, or lower --limit, --max-bytes, --max-buffered or --queue."
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


class Service:
    """A model at work. It belongs to one event loop."""

    def __init__(
        self, model: ServedModel, inputs: Inputs, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self.model, self.inputs, self.settings = model, inputs, settings
        self.pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="prepare")
        self.large = ThreadPoolExecutor(1, thread_name_prefix="parse")
        """Where large bodies wait for one another, and for no small one."""
        self.parser = BodyParser(model.processors, settings)
        self.bodies = Bodies(settings.max_buffered)
        self.batcher: Batcher[PreparedSample | Job, Any] = Batcher(
            model.work,
            most=settings.max_batch,
            kind=company,
            on_batch=metrics.batches.observe,
        )
        self.admission = Admission(settings.queue, lambda: self.batcher.accepting)
        metrics.watch_queue(lambda: self.admission.depth, lambda: self.batcher.waiting)

    async def predict(self, request: Request, *, show: bool = False) -> Reply:
        """Answer a request.

        Args:
            show: whether the prediction is to be drawn onto what was given.

        Raises:
            RefusedError: it cannot be, for whatever reason.
        """
        async with self.admitted(request) as body, _until(self.settings.timeout):
            given = await self.in_pool(body, self.parser.parse, request.headers, body.content)
            prepared = await self._prepared(given)
            body.release()
            with prepared.files:
                return await self._answer(request, prepared, show)

    async def answer_given(self, request: Request, given: Given) -> Reply:
        """Answer an input that a request holds in a form of its own, and that is admitted.

        Raises:
            RefusedError: it cannot be.
        """
        async with _until(self.settings.timeout):
            prepared = await self._prepared(given)
            with prepared.files:
                return await self._answer(request, prepared, False)

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[Body]:
        """The whole body of a request, which counts as worked on meanwhile.

        Raises:
            RefusedError: there is no room, or it is too much.
        """
        self.admission.check_room()
        is_json = media_type(request.headers) not in FORMS
        body = await self.bodies.read(request, self._check_json if is_json else None)
        try:
            with self.admission.admit():
                yield body
        finally:
            body.release()

    async def in_pool(
        self, body: Body, function: Callable[_Args, _Result], *args: _Args.args, **_: _Args.kwargs
    ) -> _Result:
        """Call a function in a thread that may parse or decode what a body holds."""
        pool = self.large if len(body.content) > _LARGE else self.pool
        with self._within_memory():
            return await _in_thread(pool, function, *args, **_)

    def close(self) -> None:
        """End the threads. Nobody waits for an answer any more."""
        for pool in (self.large, self.pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self.batcher.close(_LAST_BATCH)

    async def _check_json(self, arrived: bytearray) -> None:
        await _in_thread(self.large, self.parser.check_json, arrived)

    async def _prepared(self, given: Given) -> Prepared:
        with self._within_memory():
            return await _in_thread(self.pool, self._prepare, given)

    async def _answer(self, request: Request, prepared: Prepared, show: bool) -> Reply:
        futures = [self.batcher.submit(sample) for sample in prepared.samples]
        try:
            replies = await asyncio.gather(*map(asyncio.wrap_future, futures))
            request.state.waited = max(future.waited for future in futures)
            reply = self.model.join(prepared, replies)
            if self.model.looks_back:
                finish = partial(self.model.finish, show=show)
                reply = await _in_thread(self.pool, finish, prepared, reply)
            return reply
        except Exception as error:
            for future in futures:
                future.cancel()
            if out_of_memory(error):
                raise _too_large() from None
            _log.exception("The model failed on an input.")
            raise RefusedError(
                500, "The model failed on this input; the server's log says why."
            ) from (None)

    @contextmanager
    def _within_memory(self) -> Iterator[None]:
        """Refuse a request when memory runs out, which other requests may have taken."""
        try:
            yield
        except Exception as error:
            if not out_of_memory(error):
                raise
            if self.admission.depth == 1:
                raise _too_large() from None
            _log.warning("Memory ran out while an input was read. %s", _ADVICE)
            message = "The server has no memory left for this request; try again later."
            raise RefusedError(503, message, {"Retry-After": "5"}) from None

    def _prepare(self, given: Given) -> Prepared:
        """Prepare what was given, in a thread of the pool."""
        with ExitStack() as files:
            folder = files.enter_context(tempfile.TemporaryDirectory(prefix="mmft-serve-"))
            try:
                prepared = self.model.prepare(self.inputs.sample(given, Path(folder)))
                if self.model.looks_back:
                    prepared = replace(prepared, files=files.pop_all())
                return prepared
            except RefusedError:
                raise
            except SampleError as error:
                raise RefusedError(422, f"The input cannot be used: {error.reason}.") from None
            except Exception as error:  # Decoders raise anything on bytes that they did not expect.
                if out_of_memory(error):
                    raise MemoryError from None
                _log.warning("An input was refused.", exc_info=True)
                raise RefusedError(422, "The input cannot be decoded.") from None


def _too_large() -> RefusedError:
    """What is answered when memory runs out for one input alone."""
    _log.warning("Memory ran out for a single input. %s", _ADVICE)
    sentence = "This input needs more memory than the server has; send a smaller one"
    return RefusedError(413, f"{sentence}: fewer pixels, seconds or characters.")


async def _in_thread(
    pool: ThreadPoolExecutor,
    function: Callable[_Args, _Result],
    *args: _Args.args,
    **_: _Args.kwargs,
) -> _Result:
    """Call a function in a thread that knows which request it works for."""
    call = partial(contextvars.copy_context().run, function, *args)
    return await asyncio.get_running_loop().run_in_executor(pool, call)


@asynccontextmanager
async def _until(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise RefusedError(504, f"There was no answer within {seconds:g} s.") from None
