"""Adapts the number of threads: fewer while other processes use the CPUs."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Sequence

import torch

from mmft_core.contracts import Batch
from mmft_core.utils.numbers import counted

_USUAL, _RECENT = 50, 8
"""Steps that tell what is usual, and what happens now."""
_SLOWER = 2.0
"""How much slower than usual the recent steps are if other processes take the CPUs."""
_SHORT, _ENOUGH = 1.0, 5.0
"""Slow steps count only after so many seconds (less may be a short disturbance); after the second
number fewer than `_RECENT` steps suffice."""
_FASTER = 0.8
"""The share of the time that steps with fewer threads may take to be worth it."""
_WAIT, _LONGEST = 30.0, 600.0
"""Seconds until another number of threads is tried again; doubled whenever that was no better."""


class ThreadWatch:
    """Halves the threads when steps suddenly take much longer, if that makes them faster, and goes
    back to all of them when that is faster again.

    The threads of a step wait for one another. If another process uses one of two CPUs, a step can
    take 30 times as long; with a single thread it takes at most twice as long.

    With another number of threads, sums are computed in another order, so a disturbed training is
    not bit-equal to an undisturbed one. `engine.threads` fixes the number.
    """

    def __init__(self, threads: int, on_message: Callable[[str], None]) -> None:
        """Args:
        threads: the number of threads, which torch is set to; with 1 nothing is adapted.
        """
        self.all, self.now, self.on_message = threads, threads, on_message
        self._usual: deque[float] = deque(maxlen=_USUAL)
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._wait, self._until = _WAIT, 0.0
        self._before: float | None = None
        """What a unit of work took with the other number of threads, while one is tried."""
        self._clock = 0.0

    def follow(self, seconds: float, batches: Sequence[Batch]) -> None:
        """Record a step, and change the number of threads if that may help.

        Args:
            seconds: time to compute it.
            batches: its batches.
        """
        if self.all == 1:
            return
        self._clock += seconds
        work = _work(batches)
        self._recent.append((seconds, work))
        recent = statistics.median(s / w for s, w in self._recent)
        if self._before is not None:
            if self._known():
                self._decide(recent)
        elif self.now < self.all:
            if self._clock >= self._until:
                self._try(self.all, recent)
        elif self._disturbed(recent):
            if self._clock >= self._until:
                self._try(self.all // 2, recent)
        else:
            self._usual.append(seconds / work)

    def _disturbed(self, recent: float) -> bool:
        if len(self._usual) < _RECENT or not self._known():
            return False
        slow = recent > _SLOWER * statistics.median(self._usual)
        return slow and sum(seconds for seconds, _ in self._recent) > _SHORT

    def _known(self) -> bool:
        """Whether there are enough recent steps to tell how long one takes."""
        total = sum(seconds for seconds, _ in self._recent)
        return len(self._recent) == _RECENT or (len(self._recent) > 1 and total > _ENOUGH)

    def _try(self, threads: int, recent: float) -> None:
        self._before = recent
        self._set(threads)

    def _decide(self, recent: float) -> None:
        """Keep the number of threads that is being tried, or revert."""
        assert self._before is not None
        fewer = self.now < self.all
        gain, self._before = self._before / recent, None
        if gain * _FASTER > 1:
            self._wait = _WAIT
            if fewer:
                message = (
                    "Other processes are using the CPUs. Training continues with "
                    f"{counted(self.now, 'thread')} instead of {self.all}, which is currently "
                    f"{gain:.1f} times as fast. Results may differ in the last digits from an "
                    "undisturbed run; "
                    f"--set engine.threads={self.all} fixes the number of threads."
                )
            else:
                message = f"Training computes with {self.all} threads again."
            self.on_message(message)
        else:
            self._wait = min(_LONGEST, 2 * self._wait)
            self._set(self.all if fewer else self.all // 2)
        self._until = self._clock + self._wait

    def _set(self, threads: int) -> None:
        self.now = threads
        self._recent.clear()
        torch.set_num_threads(threads)


def _work(batches: Sequence[Batch]) -> float:
    """A measure of the work of a step: the size of its inputs, including padding."""
    tensors = (t for batch in batches for part in batch.inputs.values() for t in part.values())
    return float(sum(t.numel() for t in tensors if isinstance(t, torch.Tensor))) or 1.0
