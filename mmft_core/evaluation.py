"""Evaluation: one streaming pass that feeds the loss, the metrics and the report's examples."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from mmft_core.contracts import Batch, Metric, MetricValue, Task, map_tensors
from mmft_core.data import Loader, batches
from mmft_core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        loss: mean over all samples; None where the data have no targets.
        values: by "metric" or "metric/part".
        examples: for each of the task's rankings, the highest samples.
        samples: how many were judged.
        seconds: wall-clock time.
    """

    loss: float | None
    values: Mapping[str, MetricValue]
    examples: Mapping[str, list[Example]] = field(default_factory=dict)
    samples: int = 0
    seconds: float = 0.0

    @property
    def figures(self) -> dict[str, float]:
        """The single figures, the loss among them."""
        loss = {} if self.loss is None else {"loss": self.loss}
        return loss | {k: v for k, v in self.values.items() if isinstance(v, float | int)}

    def figure(self, name: str) -> float:
        """The figure of that name.

        Raises:
            ConfigError: there is none; names the nearest.
        """
        if name not in self.figures:
            raise ConfigError(
                f"engine.monitor = '{name}' is not among the figures of this run."
                f"{did_you_mean(name, self.figures)}",
                hint=f"There are: {', '.join(sorted(self.figures))}.",
            )
        return self.figures[name]


@dataclass(order=True, frozen=True)
class Example:
    """A sample that a ranking singled out."""

    score: float
    id: str
    prediction: dict[str, Any] = field(compare=False)


class InterruptedEvaluationError(Exception):
    """The evaluation was asked to stop before its end."""


@torch.no_grad()
def evaluate(
    task: Task,
    loader: Loader,
    metrics: Mapping[str, Metric],
    accelerator: Accelerator,
    *,
    examples: int = 0,
    on_batch: Callable[[int], None] = lambda samples: None,
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Judge a task on the samples of a loader.

    Args:
        task: not wrapped for training on several processes.
        metrics: by name; they are reset first.
        examples: how many samples of each of the task's rankings to keep.
        on_batch: told the number of samples of each batch.
        stop: asked after each batch.

    Raises:
        InterruptedEvaluationError: `stop` said so.
        SampleError: a sample cannot be read.
    """
    started = time.perf_counter()
    was_training = task.training
    task.eval()
    gallery = _Gallery(task, examples)
    total, count, has_loss = torch.zeros((), dtype=torch.float64), 0, True
    for metric in metrics.values():
        metric.reset()
    try:
        for batch in batches(loader):
            batch = batch.to(accelerator.device)
            with accelerator.autocast():
                outputs = task(batch)
            predictions = map_tensors(outputs.predictions, _to_float)
            if outputs.loss is None:
                has_loss = False
            else:
                total += outputs.loss.double().cpu() * len(batch)
            count += len(batch)
            if batch.targets is not None:
                for metric in metrics.values():
                    metric.update(predictions, batch.targets)
                gallery.update(batch, predictions)
            on_batch(len(batch))
            if stop():
                raise InterruptedEvaluationError
    finally:
        task.train(was_training)
    total_loss, count = _merge(accelerator, metrics, gallery, float(total), count)
    return Evaluation(
        loss=total_loss / max(1, count) if has_loss else None,
        values=_values(metrics),
        examples=gallery.best(),
        samples=count,
        seconds=time.perf_counter() - started,
    )


def _values(metrics: Mapping[str, Metric]) -> dict[str, MetricValue]:
    return {
        f"{name}/{part}" if part else name: value
        for name, metric in metrics.items()
        for part, value in metric.compute().items()
    }


def _merge(
    accelerator: Accelerator,
    metrics: Mapping[str, Metric],
    gallery: _Gallery,
    loss: float,
    count: int,
) -> tuple[float, int]:
    """Merge what every process saw; each sample was seen by exactly one."""
    if accelerator.num_processes == 1:
        return loss, count
    mine = (loss, count, {name: m.state() for name, m in metrics.items()}, gallery.heaps)
    everyone = gather_object([mine])
    for rank, (_, _, states, heaps) in enumerate(everyone):
        if rank != accelerator.process_index:
            for name, metric in metrics.items():
                metric.merge(states[name])
            gallery.merge(heaps)
    return math.fsum(e[0] for e in everyone), sum(e[1] for e in everyone)


class _Gallery:
    """Keeps the highest samples of each ranking in bounded memory."""

    def __init__(self, task: Task, size: int) -> None:
        self.task, self.size = task, size
        self.heaps: dict[str, list[Example]] = {}

    def update(self, batch: Batch, predictions: Any) -> None:
        if not self.size:
            return
        records: list[dict[str, Any]] | None = None
        for name, scores in self.task.rank(predictions, batch.targets).items():
            heap = self.heaps.setdefault(name, [])
            for i, score in enumerate(scores.tolist()):
                if score == -math.inf or (len(heap) >= self.size and score <= heap[0].score):
                    continue
                records = records or self.task.decode(predictions, top_k=3)
                self._push(heap, Example(score, batch.ids[i], records[i]))

    def merge(self, heaps: Mapping[str, list[Example]]) -> None:
        for name, examples in heaps.items():
            for example in examples:
                self._push(self.heaps.setdefault(name, []), example)

    def best(self) -> dict[str, list[Example]]:
        return {name: sorted(heap, reverse=True) for name, heap in self.heaps.items()}

    def _push(self, heap: list[Example], example: Example) -> None:
        (heapq.heappush if len(heap) < self.size else heapq.heappushpop)(heap, example)


def _to_float(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
