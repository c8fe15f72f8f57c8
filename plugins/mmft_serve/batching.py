"""Micro-batches: whatever waits when the model is free is its next batch.

Nothing waits for company: an idle model takes a single item at once. Under load batches grow by
themselves, for more items come while one batch is computed.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from mmft_core.utils import out_of_memory

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Waiting(Future[Result], Generic[Item, Result]):
    """A result that is waited for, and the item that it is of.

    Attributes:
        waited: seconds until a batch took the item.
    """

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item, self.waited, self._since = item, 0.0, time.perf_counter()

    def start(self) -> bool:
        """Whether it is still waited for, now that a batch takes it."""
        self.waited = time.perf_counter() - self._since
        return self.set_running_or_notify_cancel()


class Batcher(Generic[Item, Result]):
    """One thread that computes, and what waits for it."""

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        most: int,
        kind: Callable[[Item], Hashable] = lambda item: None,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Args:
        compute: gives a result for each item; it is called in one thread only.
        most: items of a batch.
        kind: only items of one kind share a batch.
        on_batch: is told the size of each.
        """
        self._compute, self._most, self._kind, self._on_batch = compute, most, kind, on_batch
        self._waiting: deque[Waiting[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def accepting(self) -> bool:
        return self._thread.is_alive() and not self._closing

    @property
    def waiting(self) -> int:
        """The items that no batch has taken yet."""
        return len(self._waiting)

    def submit(self, item: Item) -> Waiting[Item, Result]:
        """Queue an item. Cancelling its future takes it out of the queue.

        Raises:
            RuntimeError: the batcher is closed.
        """
        future: Waiting[Item, Result] = Waiting(item)
        with self._changed:
            if self._closing:
                raise RuntimeError("the batcher is closed")
            self._waiting.append(future)
            self._changed.notify()
        return future

    def close(self, seconds: float | None = None) -> None:
        """Compute what waits, then end.

        Args:
            seconds: to wait for that; as long as it takes by default.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while batch := self._take():
            running = [future for future in batch if future.start()]
            if running:
                self._answer(running)

    def _take(self) -> list[Waiting[Item, Result]]:
        """The next batch, as soon as there is one; empty at the end.

        It is of the kind that has waited longest.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch: list[Waiting[Item, Result]] = []
            left: deque[Waiting[Item, Result]] = deque()
            for future in self._waiting:
                alike = not batch or self._kind(future.item) == self._kind(batch[0].item)
                (batch if alike and len(batch) < self._most else left).append(future)
            self._waiting = left
            return batch

    def _answer(self, batch: Sequence[Waiting[Item, Result]]) -> None:
        """Compute a batch. If that fails, each item is tried alone, for it may be one's fault."""
        error = self._try(batch)
        if error is None:
            return
        # A batch that failed is gone by now, with the memory that it held.
        if out_of_memory(error):
            gc.collect()
        if len(batch) == 1:
            batch[0].set_exception(error)
            return
        if out_of_memory(error):
            message = "Memory ran out for a batch of %d inputs; each is computed alone."
            _log.warning(f"{message} A smaller --max-batch avoids it.", len(batch))
        for alone in batch:
            self._answer([alone])

    def _try(self, batch: Sequence[Waiting[Item, Result]]) -> Exception | None:
        """Compute a batch; what is wrong with it is returned."""
        try:
            self._on_batch(len(batch))
            results = self._compute([future.item for future in batch])
            for future, result in zip(batch, list(results), strict=True):
                future.set_result(result)
        except Exception as error:
            # The frames of its traceback hold what the batch has taken.
            return error.with_traceback(None) if out_of_memory(error) else error
        return None
