"""The way of a request through the server: admitted, prepared, computed, answered."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from mmft_core.batches.prepared import PreparedSample
from mmft_core.errors import SampleError
from mmft_core.serve.batching import Batcher
from mmft_core.serve.gates import Admission
from mmft_core.serve.inputs import Given, Inputs
from mmft_core.serve.metrics import Metrics
from mmft_core.serve.model import Prepared, Reply, ServedModel, modalities
from mmft_core.serve.refused import RefusedError
from mmft_core.serve.request import read_given
from mmft_core.serve.settings import ServeSettings

_log = logging.getLogger(__name__)


class Service:
    """A model at work. It belongs to one event loop."""

    def __init__(
        self, model: ServedModel, inputs: Inputs, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self.model, self.inputs, self.settings = model, inputs, settings
        self.pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="prepare")
        self.batcher: Batcher[PreparedSample, Reply] = Batcher(
            model.answer,
            most=settings.max_batch,
            kind=modalities,
            on_batch=metrics.batches.observe,
        )
        self.admission = Admission(settings.queue, lambda: self.batcher.accepting)
        metrics.watch_depth(lambda: self.admission.depth)

    async def predict(self, request: Request) -> Reply:
        """Answer a request.

        Raises:
            RefusedError: it cannot be, for whatever reason.
        """
        deadline = asyncio.get_running_loop().time() + self.settings.timeout
        seconds = f"{self.settings.timeout:g} s"
        with self.admission.admit():
            try:
                async with _until(deadline, 408, f"The request did not arrive within {seconds}."):
                    given = await read_given(request, self.model.processors)
                async with _until(deadline, 504, f"There was no answer within {seconds}."):
                    return await self._answer(given)
            finally:
                await request.close()

    def close(self) -> None:
        """Finish what was begun, and end the threads."""
        self.pool.shutdown()
        self.batcher.close()

    async def _answer(self, given: Given) -> Reply:
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self.pool, self._prepare, given)
        futures = [self.batcher.submit(sample) for sample in prepared.samples]
        try:
            replies = await asyncio.gather(*map(asyncio.wrap_future, futures))
            return self.model.join(prepared, replies)
        except Exception:
            for future in futures:
                future.cancel()
            _log.exception("The model failed on an input.")
            raise RefusedError(
                500, "The model failed on this input; the server's log says why."
            ) from (None)

    def _prepare(self, given: Given) -> Prepared:
        """Prepare what was given, in a thread of the pool."""
        with tempfile.TemporaryDirectory(prefix="mmft-serve-") as folder:
            try:
                return self.model.prepare(self.inputs.sample(given, Path(folder)))
            except RefusedError:
                raise
            except SampleError as error:
                raise RefusedError(422, f"The input cannot be used: {error.reason}.") from None
            except Exception:  # Decoders raise anything on bytes that they did not expect.
                _log.warning("An input was refused.", exc_info=True)
                raise RefusedError(422, "The input cannot be decoded.") from None


@asynccontextmanager
async def _until(deadline: float, status: int, message: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise RefusedError(status, message) from None
