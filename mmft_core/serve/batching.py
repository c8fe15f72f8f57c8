"""Micro-batches: whatever waits when the model is free is its next batch.

Nothing waits for company: an idle model takes a single item at once. Under load batches grow by
themselves, for more items come while one batch is computed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def accepting(self) -> bool:
        return self._thread.is_alive() and not self._closing

    def submit(self, item: Item) -> Future[Result]:
        """Queue an item. Cancelling its future takes it out of the queue.

        Raises:
            RuntimeError: the batcher is closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closing:
                raise RuntimeError("the batcher is closed")
            self._waiting.append((item, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Compute what waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            running = [(item, f) for item, f in batch if f.set_running_or_notify_cancel()]
            if running:
                self._answer(running)

    def _take(self) -> list[_Waiting[Item, Result]]:
        """The next batch, as soon as there is one; empty at the end.

        It is of the kind that has waited longest.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch: list[_Waiting[Item, Result]] = []
            left: deque[_Waiting[Item, Result]] = deque()
            for item, future in self._waiting:
                alike = not batch or self._kind(item) == self._kind(batch[0][0])
                (batch if alike and len(batch) < self._most else left).append((item, future))
            self._waiting = left
            return batch

    def _answer(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        """Compute a batch. If that fails, each item is tried alone, for it may be one's fault."""
        self._on_batch(len(batch))
        try:
            results = self._compute([item for item, _ in batch])
            answered = list(zip(batch, results, strict=True))
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for alone in batch:
                self._answer([alone])
            return
        for (_, future), result in answered:
            future.set_result(result)


_Waiting: TypeAlias = tuple[Item, "Future[Result]"]
