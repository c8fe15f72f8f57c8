"""An export beside its run, on real samples: differences, the metric, latency, size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmft_core.contracts import (
    Batch,
    Callback,
    Comparable,
    Dataset,
    Metric,
    Task,
    map_tensors,
)
from mmft_core.data import Unlabelled
from mmft_core.engine import Evaluation, Monitor, Predicted
from mmft_core.errors import ExportError
from mmft_core.inference import Predictor
from mmft_core.loading import PreparedSplit
from mmft_core.utils import counted

TOLERANCE = 1e-3
"""Largest difference of a prediction in full precision, of numbers above 1 in proportion."""

ALIKE = 0.95
"""Share of texts, or of what else is compared as a whole, that must be the same in full precision;
near ties may go either way."""

_SECONDS, _REPEATS = 3.0, 30
"""How long a latency is measured at most, and how often."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two.

    Attributes:
        metric: the monitored metric, or None where there is none without a loss.
        latency: median milliseconds by the number of samples computed at once.
        megabytes: of its weights or graphs.
    """

    metric: float | None
    latency: Mapping[int, float]
    megabytes: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How an export compares with its run.

    Attributes:
        difference: the largest of any number that is predicted; None for texts, and for what the
            task compares itself (`Comparable`).
        relative: the same, of numbers above 1 in proportion to them.
        alike: share of predictions that are the same, of these; None for numbers.
        metric: the name of the monitored metric.
        drop: how much worse it is; negative for better.
    """

    samples: int
    difference: float | None
    relative: float | None
    alike: float | None
    metric: str
    drop: float | None
    torch: Side
    export: Side

    def check(self, *, exact: bool, most: float) -> None:
        """Raises:
        ExportError: the export is another model than the run.

        Args:
            exact: whether it is in full precision.
            most: by how much the metric may be worse.
        """
        worse = self.drop is not None and self.drop > most
        if worse:
            raise ExportError(
                f"The export was refused: its {self.metric} is {self.export.metric:.4f} and the "
                f"run's {self.torch.metric:.4f} on {counted(self.samples, 'sample')}.",
                hint="Raise --max-drop."
                if exact
                else "Raise --max-drop, or try the other --quantize mode.",
            )
        if exact and not _close(self.relative, self.alike):
            found = (
                f"{1 - self.alike:.0%} of its predictions differ"
                if self.alike is not None
                else f"its predictions differ by up to {self.difference:.2g}"
            )
            raise ExportError(
                f"The export was refused: {found} from the run's on "
                f"{counted(self.samples, 'sample')}.",
                hint="Try another --format, and please report this, which should not happen.",
            )


def _close(relative: float | None, alike: float | None) -> bool:
    if alike is not None:
        return alike >= ALIKE
    # Not `>`: what is no number is not close.
    return relative is not None and relative <= TOLERANCE


def compare(
    run: Predictor,
    export: Predictor,
    dataset: Dataset,
    split: str,
    metrics: Mapping[str, Metric],
    monitor: Monitor,
    megabytes: tuple[float, float],
    callback: Callback,
) -> Comparison:
    """Let both predict a split, and measure them.

    Args:
        megabytes: of the run's weights and of the export's files.
    """
    predicted = (Predicted(), Predicted())
    evaluations = [
        p.evaluate(dataset, split, {**metrics, "": own}, told, skip_bad=True)
        for p, own, told in zip(
            (run, export), predicted, (callback, _ProgressAlone(callback)), strict=True
        )
    ]
    name = _compared_metric(monitor, evaluations)
    values = [e.defined_scalars.get(name) for e in evaluations]
    if _target_shapes(predicted[0]) != _target_shapes(predicted[1]):
        raise ExportError(
            f"The export was refused: {run.model.task.component} compares predictions with targets "
            "that its forward pass computes, which an export lacks.",
            hint="Its author has to provide them with Task.targets_of.",
        )
    latencies = _latencies((run, export), _batches(run, dataset, split))
    drop = None
    if values[0] is not None and values[1] is not None:
        drop = values[0] - values[1] if monitor.higher_is_better else values[1] - values[0]
    sides = [
        Side(metric=value, latency=latency, megabytes=size)
        for value, latency, size in zip(values, latencies, megabytes, strict=True)
    ]
    wanted, got = ([predictions for predictions, _ in own.batches] for own in predicted)
    alike = _alike(run.model.task, wanted, got)
    numbers = list(zip(leaves(wanted), leaves(got), strict=True)) if alike is None else []
    return Comparison(
        samples=evaluations[0].samples,
        difference=_largest(numbers, lambda w: torch.ones_like(w)),
        relative=_largest(numbers, lambda w: w.abs().clamp(min=1)),
        alike=alike,
        metric=name,
        drop=drop,
        torch=sides[0],
        export=sides[1],
    )


def _compared_metric(monitor: Monitor, evaluations: Sequence[Evaluation]) -> str:
    """The monitored metric, or where one has no loss the first that both have."""
    names = [n for n in evaluations[0].defined_scalars if n in evaluations[1].defined_scalars]
    if monitor.name in names or not names:
        return monitor.name
    return next((n for n in names if n != "loss"), monitor.name)


def _target_shapes(predicted: Predicted) -> list[Any]:
    """The shapes of the targets of each batch; their values may differ as predictions do."""
    return [map_tensors(targets, lambda t: tuple(t.shape)) for _, targets in predicted.batches]


class _ProgressAlone(Callback):
    """For when the data are read once more: what there is to say of them has been said."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        self.callback.on_evaluation_progress(split, done, total)


def _alike(task: Task, wanted: Sequence[Any], got: Sequence[Any]) -> float | None:
    """The share of predictions that are the same; None where numbers are compared one by one.

    Args:
        wanted, got: the predictions of the batches.
    """
    if isinstance(task, Comparable):
        pairs = zip(wanted, got, strict=True)
        shares = [share for one, other in pairs for share in task.alike(one, other)]
    else:
        leaf_pairs = zip(leaves(wanted), leaves(got), strict=True)
        shares = [float(w == g) for w, g in leaf_pairs if not isinstance(w, Tensor)]
    return sum(shares) / len(shares) if shares else None


def leaves(tree: Any) -> list[Any]:
    """The tensors of predictions, and the texts; of records their text."""
    if isinstance(tree, Mapping):
        if isinstance(tree.get("text"), str):
            return [tree["text"]]
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, list | tuple):
        return [leaf for value in tree for leaf in leaves(value)]
    return [tree]


def _largest(
    pairs: Sequence[tuple[Tensor, Tensor]], unit: Callable[[Tensor], Tensor]
) -> float | None:
    found = []
    for wanted, got in pairs:
        if len(wanted):
            apart = (wanted.double() - got.double()).abs() / unit(wanted.double())
            found.append(float(apart.max()))
    if any(value != value for value in found):
        return float("nan")
    return max(found, default=None)


def _batches(predictor: Predictor, dataset: Dataset, split: str) -> list[Batch]:
    """A batch of one sample, and one as large as the configuration has it."""
    from mmft_core.inference import choose_split

    data = PreparedSplit(
        Unlabelled(choose_split(dataset, split)),
        predictor.processors,
        predictor.model.task.codec,
        train=False,
    )
    sizes = sorted({1, min(predictor.config.batch_size, len(data))})
    found = [data.collate([data[0, index] for index in range(size)]).batch for size in sizes]
    return [batch for batch in found if batch is not None]


def _latencies(predictors: Sequence[Predictor], batches: Sequence[Batch]) -> list[dict[int, float]]:
    """Median milliseconds of each, taken in turns."""
    found: list[dict[int, float]] = [{} for _ in predictors]
    for batch in batches:
        times: list[list[float]] = [[] for _ in predictors]
        for predictor in predictors:
            predictor.compute(batch)  # The first call prepares things.
        ends = time.perf_counter() + _SECONDS
        while len(times[0]) < _REPEATS and (time.perf_counter() < ends or len(times[0]) < 3):
            for predictor, own in zip(predictors, times, strict=True):
                started = time.perf_counter()
                predictor.compute(batch)
                own.append(1000 * (time.perf_counter() - started))
        for own, result in zip(times, found, strict=True):
            result[len(batch)] = statistics.median(own)
    return found
