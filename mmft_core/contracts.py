"""What a plugin's objects do: the contracts behind the specs.

A component's `build(options, context)` receives its typed options and a context of its kind, and
returns:

    kind        context             result
    dataset     DatasetContext      Dataset
    backbone    BackboneContext     Backbone
    task        TaskContext         Task
    metric      MetricContext       Metric

Data flows so: `Split[i]` gives a `Sample`, lazily decoded. In a worker process each modality's
`Processor.prepare` turns its raw input into tensors and the task's `TargetCodec.encode` its
target; both collate them into a `Batch`. `Task.forward(batch)` calls `Backbone.encode` and gives
`Outputs`, which metrics and `Task.decode` read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from mmft_core.weights import LoadedWeights, WeightsRequest

Tensors: TypeAlias = dict[str, Tensor]


# --- data ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample.

    Attributes:
        inputs: the raw input of each modality, lazily decoded where it can be (a PIL image that
            is opened but not loaded, a path of an audio file, a string).
        target: as the data set knows it (a class name, a text, a number), or None.
        id: what messages and reports point at: the file, or the table and its row.
    """

    inputs: Mapping[str, Any]
    target: Any
    id: str


class Split(ABC):
    """Random access to the samples of one split. It must be picklable, for worker processes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Raises:
            SampleError: it cannot be read.
        """

    def target(self, index: int) -> Any:
        """The target alone; override where that is cheaper than the whole sample."""
        return self[index].target

    def sample_id(self, index: int) -> str:
        """The id alone; override where that is cheaper than the whole sample."""
        return self[index].id

    def check(self, index: int) -> None:
        """Read the sample as far as is needed to know that it is sound.

        Called for every sample before training, from several threads; override where soundness
        shows more cheaply than by decoding everything.

        Raises:
            SampleError: it is not.
        """
        self[index]


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a data set beside its samples. It is stored with the model.

    Attributes:
        name: for reports: a name or a path.
        classes: the class names in the order of their indices; empty where there are none.
        source: where the data come from.
        licence: theirs, as far as it is known.
        synthetic: generated rather than collected.
        notes: remarks that a reader of the report should see (how it was split, ...).
    """

    name: str
    classes: tuple[str, ...] = ()
    source: str = ""
    licence: str = "unknown"
    synthetic: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Named splits: "train", and where there are any "val" (chooses the model) and "test"."""

    info: DatasetInfo
    splits: Mapping[str, Split]


@dataclass(slots=True)
class Batch:
    """A collated batch.

    Attributes:
        inputs: modality -> what the backbone's processor collated.
        targets: what the task's codec collated, or None where there are no targets.
        ids: sample ids, in order.
    """

    inputs: dict[str, Tensors]
    targets: Any
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Self:
        """Move the tensors to a device, asynchronously from pinned memory."""
        move = lambda t: t.to(device, non_blocking=True)  # noqa: E731
        return type(self)(map_tensors(self.inputs, move), map_tensors(self.targets, move), self.ids)

    def pin_memory(self) -> Self:
        pin = Tensor.pin_memory
        return type(self)(map_tensors(self.inputs, pin), map_tensors(self.targets, pin), self.ids)


def map_tensors(tree: Any, function: Any) -> Any:
    """Apply a function to every tensor in nested dicts, lists and tuples."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_tensors(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(value, function) for value in tree)
    return tree


# --- backbones ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preview:
    """A raw input as a reader can be shown it: MIME type and content."""

    mime: str
    data: bytes


class Processor(ABC):
    """A backbone's preprocessing. It travels to worker processes, so it holds no weights.

    Attributes:
        suffixes: of the files that `read` opens, in lower case with the dot.
    """

    suffixes: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, raw: Any, *, train: bool) -> Tensors:
        """Turn one raw input into tensors, augmented if it is for training.

        Random draws come from torch's, numpy's or Python's global generators, which are seeded
        for each sample.
        """

    @abstractmethod
    def collate(self, items: Sequence[Tensors]) -> Tensors:
        """Join prepared inputs into tensors whose first dimension is the batch."""

    def read(self, source: Path) -> Any:
        """Open a file as a raw input.

        Raises:
            SampleError: it is not a file of this modality.
        """
        raise NotImplementedError(f"{type(self).__name__} reads no files")

    def preview(self, raw: Any) -> Preview | None:
        """Render a raw input for a report, or None where that is not possible."""
        return None


@dataclass(frozen=True, slots=True)
class Features:
    """What a backbone yields.

    Attributes:
        pooled: (B, D), one vector for each sample.
        sequence: (B, T, D), or None where the backbone has none.
        mask: (B, T) bool, True where `sequence` holds something; None for everywhere.
    """

    pooled: Tensor
    sequence: Tensor | None = None
    mask: Tensor | None = None


class Backbone(nn.Module, ABC):
    """An encoder of one modality, which owns its preprocessing.

    Attributes:
        processor: its preprocessing.
        width: D, the width of its features.
        loaded: where its weights came from.
    """

    processor: Processor
    width: int
    loaded: LoadedWeights

    @abstractmethod
    def encode(self, inputs: Tensors) -> Features:
        """Encode what `processor.collate` returned."""

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """The layers in depth order, the one nearest to the input first.

        Every parameter belongs to exactly one. Freezing, layer-wise learning rates and gradual
        unfreezing all work from this list.
        """

    def save_assets(self, folder: Path) -> None:
        """Write what `build` needs beside options and weights (a tokenizer) to reload it."""


@dataclass(frozen=True, kw_only=True)
class DatasetContext:
    """What a dataset is built with.

    Attributes:
        seed: of any random split.
        training: whether it is to be learned from. Otherwise a trained model is judged on it,
            and one class, or no training split, is enough.
    """

    seed: int = 0
    training: bool = True


@dataclass(frozen=True, kw_only=True)
class BackboneContext:
    """What a backbone is built with.

    Attributes:
        weights: which weights are asked for; `weights.load(...)` finds them.
        info: of the data set.
        train: the training split, for what is fitted to data (a tokenizer); None on reloading.
        assets: the folder that `save_assets` filled, on reloading; else None.
    """

    weights: WeightsRequest
    info: DatasetInfo
    train: Split | None = None
    assets: Path | None = None


# --- tasks --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a task's forward pass yields.

    Attributes:
        loss: scalar, the mean over the batch; None without targets.
        predictions: tensors (or lists) whose first dimension is the batch; None in training,
            where nobody reads them.
    """

    loss: Tensor | None
    predictions: Any = None


class TargetCodec(ABC):
    """Turns targets into tensors. It travels to worker processes, so it holds no weights."""

    @abstractmethod
    def encode(self, target: Any) -> Any:
        """Encode one target.

        Raises:
            ValueError: it is not one that the task can learn.
        """

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> Any:
        """Join encoded targets into a batch."""


class Task(nn.Module, ABC):
    """Head, loss and decoding on top of backbones. It never asks which backbones it has.

    Attributes:
        backbones: by modality.
        codec: of its targets.
    """

    backbones: nn.ModuleDict
    codec: TargetCodec

    def backbone(self, modality: str) -> Backbone:
        module = self.backbones[modality]
        assert isinstance(module, Backbone)
        return module

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Compute the loss and, in eval mode, the predictions."""

    @abstractmethod
    def decode(self, predictions: Any, top_k: int = 1) -> list[dict[str, Any]]:
        """Turn the predictions of a batch into one JSON-ready record for each sample."""

    def rank(self, predictions: Any, targets: Any) -> dict[str, Tensor]:
        """Score samples (B,) by what is worth looking at: {"Most wrong": wrongness}.

        The report shows the highest of each ranking; -inf leaves a sample out.
        """
        return {}


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What a task is built with: its backbones by modality, and the data set's info."""

    backbones: Mapping[str, Backbone]
    info: DatasetInfo


# --- metrics ------------------------------------------------------------------------------------

MetricValue: TypeAlias = float | list[float] | list[list[float]]
"""A figure; one for each class, in their order; or a matrix with a row for each true class."""


class Metric(ABC):
    """A streaming figure of merit whose states merge across processes."""

    @abstractmethod
    def update(self, predictions: Any, targets: Any) -> None:
        """Take in a batch."""

    @abstractmethod
    def compute(self) -> dict[str, MetricValue]:
        """The figures over all that was taken in.

        A single figure is keyed "", several by what they are: {"macro": ..., "per-class": ...}.
        """

    @abstractmethod
    def state(self) -> Any:
        """What was taken in, to be merged into another process's metric. Picklable."""

    @abstractmethod
    def merge(self, state: Any) -> None:
        """Take in what another process took in."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""


@dataclass(frozen=True, kw_only=True)
class MetricContext:
    """What a metric is built with."""

    info: DatasetInfo = field(default_factory=lambda: DatasetInfo(name=""))
