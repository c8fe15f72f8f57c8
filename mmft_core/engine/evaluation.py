"""Evaluation: one streaming pass that feeds the loss, the metrics and the report's examples."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mmft_core.contracts import (
    Batch,
    Example,
    Gallery,
    Metric,
    MetricValue,
    Outputs,
    Task,
    map_tensors,
)
from mmft_core.contracts.returned import computed, outputs_of
from mmft_core.distributed import comm
from mmft_core.engine.top_examples import RankedGallery
from mmft_core.errors import ConfigError, did_you_mean
from mmft_core.loading.loaders import Loader, batches
from mmft_core.precision import Inference


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        loss: mean over all samples; None without targets.
        values: metrics by "metric" or "metric/part"; None for those undefined on these samples.
        remarks: which of them are undefined, and why.
        examples: the samples that the report shows, by heading.
        kinds: for each kind of sample (`Sample.kind`) the number of "samples" and the scalar
            metrics; empty if samples have no kinds.
        samples: how many were evaluated.
        measured: how many of them the metrics cover; the loss covers all.
        seconds: wall-clock time.
    """

    loss: float | None
    values: Mapping[str, MetricValue]
    remarks: tuple[str, ...] = ()
    examples: Mapping[str, list[Example]] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    samples: int = 0
    measured: int = 0
    seconds: float = 0.0

    @property
    def record(self) -> dict[str, MetricValue]:
        """The loss, if there is one, and all values, as plain JSON."""
        loss = {} if self.loss is None else {"loss": self.loss}
        return {name: _defined(value) for name, value in {**loss, **self.values}.items()}

    @property
    def scalars(self) -> dict[str, float | None]:
        """All values that are single numbers, including the loss; None for undefined ones."""
        return {k: v for k, v in self.record.items() if not isinstance(v, list)}

    @property
    def defined_scalars(self) -> dict[str, float]:
        return {k: v for k, v in self.scalars.items() if v is not None}

    def scalar(self, name: str) -> float | None:
        """The scalar of that name, such as the monitored one; None if it is undefined.

        Raises:
            ConfigError: there is none; names the most similar.
        """
        if name not in self.scalars:
            raise ConfigError(
                f"engine.monitor = '{name}' is not among the metrics of this run."
                f"{did_you_mean(name, self.scalars)}",
                hint=f"There are: {', '.join(sorted(self.scalars))}.",
            )
        return self.scalars[name]

    single, figures, figure = scalars, defined_scalars, scalar
    """Their names in mmft 0.1."""

    def why_undefined(self, name: str) -> str:
        """The remark on an undefined value, without the metric's name."""
        own = f"{name.partition('/')[0]}: "
        found = (remark.removeprefix(own) for remark in self.remarks if remark.startswith(own))
        return next(found, "undefined")


class InterruptedEvaluationError(Exception):
    """The evaluation was asked to stop before its end."""


@torch.no_grad()
def evaluate(
    task: Task,
    loader: Loader,
    metrics: Mapping[str, Metric],
    inference: Inference,
    *,
    rest: Loader | None = None,
    examples: int = 0,
    on_batch: Callable[[int], None] = lambda samples: None,
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Evaluate a task on the samples of a loader.

    Args:
        task: the plain task, not wrapped for several processes.
        metrics: metrics by name; they are reset first.
        inference: the device of the task and the precision of the evaluation.
        rest: loader of further samples, for which only the loss is computed.
        examples: number of samples to keep for each heading of the report.
        on_batch: called with the number of samples of each batch.
        stop: called after each batch; True stops the evaluation.

    Raises:
        InterruptedEvaluationError: `stop` returned True.
        SampleError: a sample cannot be read.
    """
    started = time.perf_counter()
    was_training = task.training
    task.eval()
    gallery = (task.gallery(examples) or RankedGallery(task, examples)) if examples else None
    scores = _Scores(metrics, gallery)
    try:
        for batch, task.loss_only in _in_turn(loader, rest):
            batch = batch.to(inference.device)
            with inference.autocast():
                outputs = outputs_of(task, batch)
            scores.add(batch, outputs, task)
            on_batch(len(batch))
            if stop():
                break
    finally:
        task.loss_only = False
        task.train(was_training)
    if comm.any_of(stop()):
        raise InterruptedEvaluationError
    scores.merge()
    return comm.from_main(lambda: scores.evaluation(started))


def _in_turn(loader: Loader, rest: Loader | None) -> Iterator[tuple[Batch, bool]]:
    """The batches of both, and whether they are of the second."""
    for batch in batches(loader):
        yield batch, False
    if rest is not None:
        for batch in batches(rest):
            yield batch, True


class _Scores:
    """Loss, metrics and gallery of the samples that this process has seen."""

    def __init__(self, metrics: Mapping[str, Metric], gallery: Gallery | None) -> None:
        self.metrics, self.gallery, self.sums = metrics, gallery, _Sums()
        for metric in metrics.values():
            metric.reset()
        self.kinds = _Kinds(metrics)

    def add(self, batch: Batch, outputs: Outputs, task: Task) -> None:
        self.sums.add(batch, outputs, task.weight(batch), measured=not task.loss_only)
        if task.loss_only:
            return
        targets = task.targets_of(batch) if outputs.targets is None else outputs.targets
        predictions = map_tensors(outputs.predictions, _to_float)
        if targets is None:
            return
        for metric in self.metrics.values():
            metric.update(predictions, targets)
        self.kinds.update(batch.kinds, predictions, targets)
        if self.gallery is not None:
            self.gallery.update(batch, predictions, targets)

    def merge(self) -> None:
        """Merge the states of all processes in the main one; no sample was seen twice."""
        if not comm.several():
            return
        gallery, seen = self.gallery, self.sums.measured
        states = {name: metric.state() for name, metric in self.metrics.items()} if seen else {}
        shown = gallery.state() if gallery is not None and seen else None
        everyone = comm.gather_to_main((self.sums, states, shown, self.kinds.state()))
        for other, theirs, more, kinds in everyone[1:]:
            self.sums.merge(other)
            self.kinds.merge(kinds)
            for name, state in theirs.items():
                self.metrics[name].merge(state)
            if gallery is not None and more is not None:
                gallery.merge(more)

    def evaluation(self, started: float) -> Evaluation:
        sums = self.sums
        values: dict[str, MetricValue] = {}
        remarks: list[str] = []
        for name, metric in self.metrics.items():
            found = computed(metric)
            own = {f"{name}/{k}" if k else name: _defined(v) for k, v in found.items()}
            values |= own
            remarks += _remarks(name, metric, own)
        loss = sums.loss / sums.weight if sums.has_loss and sums.weight else None
        if loss is not None and not math.isfinite(loss):
            remarks.append(f"loss: undefined, because it is {loss}")
        return Evaluation(
            loss=loss,
            values=values | {name: _defined(mean) for name, mean in sums.means().items()},
            remarks=tuple(remarks),
            examples=self.gallery.examples() if self.gallery is not None else {},
            kinds=self.kinds.values(),
            samples=sums.samples,
            measured=sums.measured,
            seconds=time.perf_counter() - started,
        )


_MOST_KINDS = 50
"""Kinds of samples that are told apart; later ones are counted together as "others"."""


class _Kinds:
    """The metrics for each kind of sample."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.empty = copy.deepcopy(dict(metrics))
        self.counts: dict[str, int] = {}
        self.metrics: dict[str, dict[str, Metric]] = {}

    def update(self, kinds: Sequence[str], predictions: Any, targets: Any) -> None:
        for kind in dict.fromkeys(kinds):
            own = [k for k, other in enumerate(kinds) if other == kind]
            name = self._named(kind)
            self.counts[name] = self.counts.get(name, 0) + len(own)
            for metric in self._of(name).values():
                metric.update(_rows(predictions, own), _rows(targets, own))

    def state(self) -> Any:
        states = {
            kind: {name: metric.state() for name, metric in own.items()}
            for kind, own in self.metrics.items()
        }
        return self.counts, states

    def merge(self, state: Any) -> None:
        counts, states = state
        for kind, theirs in states.items():
            name = self._named(kind)
            self.counts[name] = self.counts.get(name, 0) + counts[kind]
            own = self._of(name)
            for metric, content in theirs.items():
                own[metric].merge(content)

    def values(self) -> dict[str, dict[str, float | None]]:
        """For each kind, in alphabetical order, the number of samples and the scalar metrics."""
        return {kind: self._values(kind) for kind in sorted(self.counts)}

    def _values(self, kind: str) -> dict[str, float | None]:
        found: dict[str, float | None] = {"samples": self.counts[kind]}
        for name, metric in self.metrics[kind].items():
            for part, value in computed(metric).items():
                if not isinstance(value, list):
                    found[f"{name}/{part}" if part else name] = _defined(value)
        return found

    def _named(self, kind: str) -> str:
        named = kind or "none"
        return named if named in self.counts or len(self.counts) < _MOST_KINDS else "others"

    def _of(self, kind: str) -> dict[str, Metric]:
        if kind not in self.metrics:
            self.metrics[kind] = copy.deepcopy(self.empty)
        return self.metrics[kind]


def _rows(tree: Any, rows: Sequence[int]) -> Any:
    """Some rows of a tree of tensors and lists whose first dimension is the batch."""
    if isinstance(tree, Mapping):
        return {key: _rows(value, rows) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_rows(value, rows) for value in tree)
    if isinstance(tree, torch.Tensor):
        return tree[list(rows)]
    return [tree[k] for k in rows]


class Predicted(Metric):
    """A metric that computes nothing and stores predictions and targets on the CPU."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, Any]] = []

    def update(self, predictions: Any, targets: Any) -> None:
        self.batches.append(map_tensors((predictions, targets), torch.Tensor.cpu))

    def compute(self) -> dict[str, MetricValue]:
        return {}

    def state(self) -> list[tuple[Any, Any]]:
        return self.batches

    def merge(self, state: list[tuple[Any, Any]]) -> None:
        self.batches += state

    def reset(self) -> None:
        self.batches = []

    def joined(self) -> tuple[Any, Any]:
        """Predictions and targets of all batches, joined along their first dimension."""
        predictions, targets = _joined(self.batches)
        return predictions, targets


def _joined(parts: Sequence[Any]) -> Any:
    """Trees of one shape as one tree: tensors and lists joined."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(_joined(column) for column in zip(*parts, strict=True))
    if isinstance(first, list):
        return [item for part in parts for item in part]
    return torch.cat(list(parts))


def _defined(value: Any) -> Any:
    """A number, a list or a matrix with None for what is not finite."""
    if isinstance(value, list):
        return [_defined(item) for item in value]
    return value if value is not None and math.isfinite(value) else None


def _remarks(name: str, metric: Metric, values: Mapping[str, MetricValue]) -> Iterator[str]:
    """The metric's remarks on its values; at least one if any of them is undefined."""
    told = metric.remarks()
    yield from (f"{name}: {text}" for text in told)
    lacking = [key for key, value in values.items() if _has_gaps(value)]
    if lacking and not told:
        which = "" if lacking == [name] else f": {', '.join(lacking)}"
        yield f"{name}: undefined on these samples{which}"


def _has_gaps(value: MetricValue) -> bool:
    return any(map(_has_gaps, value)) if isinstance(value, list) else value is None


@dataclass
class _Sums:
    """The loss so far, each batch weighted by the number of items that its loss averages."""

    loss: float = 0.0
    weight: int = 0
    samples: int = 0
    measured: int = 0
    has_loss: bool = True
    scalars: dict[str, float] = field(default_factory=dict)

    def add(self, batch: Batch, outputs: Outputs, weight: int, *, measured: bool) -> None:
        self.samples += len(batch)
        self.measured += len(batch) if measured else 0
        for name, values in outputs.scalars.items() if measured else ():
            self.scalars[name] = self.scalars.get(name, 0.0) + float(values.double().sum())
        if outputs.loss is None:
            self.has_loss = False
        else:
            self.loss += float(outputs.loss.double()) * weight
            self.weight += weight

    def means(self) -> dict[str, float]:
        return {name: total / self.measured for name, total in self.scalars.items()}

    def merge(self, other: _Sums) -> None:
        self.loss += other.loss
        self.weight += other.weight
        self.samples += other.samples
        self.measured += other.measured
        self.has_loss = self.has_loss and other.has_loss
        for name, total in other.scalars.items():
            self.scalars[name] = self.scalars.get(name, 0.0) + total


def _to_float(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
