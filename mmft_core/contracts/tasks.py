"""Tasks: head, loss and decoding; and what a report shows of their predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmft_core.contracts.backbones import Backbone
from mmft_core.contracts.data import Batch, DatasetInfo, Split
from mmft_core.contracts.graphs import Graph, Runner
from mmft_core.contracts.preprocessing import Processor, TargetCodec


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a task's forward pass yields.

    Attributes:
        loss: scalar, the mean over the batch; None without targets.
        predictions: tensors (or lists) whose first dimension is the batch; None in training,
            where nobody reads them.
        targets: what metrics compare predictions with, where `Task.targets_of` does not tell; an
            export, which computes predictions alone, cannot give them.
        figures: in eval mode, what else is worth knowing of each sample, (B,) by name; an
            evaluation gives the means ("modality-weight/image").

    What metrics are given, by what the task predicts (`TaskSpec.predicts`):

        predicts        predictions                         targets
        "classes"       probabilities (B, C)                class indices (B,)
        "labels"        {"probabilities": (B, L),           0 and 1 (B, L)
                        "thresholds": (B, L)}
        "numbers"       (B,)                                (B,)
        "text"          list of B texts                     list of B texts
        "likelihoods"   nats of each sample's tokens (B,)   numbers of these tokens (B,)
        "embeddings"    of length one (B, D)                {"group": (B,) int64, equal where one
                                                            is to find the other; "query": (B, D),
                                                            where items are not their own queries}
        "pairs"         by modality, two (B, D) of length   {"group": as above}
                        one
    """

    loss: Tensor | None
    predictions: Any = None
    targets: Any = None
    figures: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Related:
    """Another sample that a prediction points at, such as a neighbour."""

    id: str
    score: float
    right: bool | None = None


@dataclass(order=True, frozen=True)
class Example:
    """A sample that a report singles out.

    Attributes:
        score: by which it was ranked.
        prediction: the record that the task decoded.
        related: samples of the same split, to be shown beside it.
    """

    score: float
    id: str
    prediction: dict[str, Any] = field(compare=False)
    related: tuple[Related, ...] = field(default=(), compare=False)


class Gallery(ABC):
    """Collects the samples that a report shows, while an evaluation streams by."""

    @abstractmethod
    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        """Take in a batch, with what its metrics are given."""

    @abstractmethod
    def state(self) -> Any:
        """What was taken in, to be merged into another process's gallery. Picklable."""

    @abstractmethod
    def merge(self, state: Any) -> None:
        """Take in what another process took in."""

    @abstractmethod
    def examples(self) -> dict[str, list[Example]]:
        """For each heading of the report the samples below it, in their order."""


class NoTargets(TargetCodec):
    """The codec of a task that learns from its inputs alone."""

    def encode(self, target: Any) -> Any:
        return None

    def collate(self, targets: Sequence[Any]) -> Any:
        return None


class Task(nn.Module, ABC):
    """Head, loss and decoding on top of backbones. It never asks which backbones it has.

    Attributes:
        backbones: by modality.
        codec: of its targets.
        group_size: how many samples of one class are to stand together in training batches, for
            losses that compare samples; 1 for any order.
        compares: whether its loss compares the samples of a batch with each other, so that it
            depends on who meets in one.
        minimum_batch_size: how few samples a batch of training may hold, for losses that have
            nothing to compare in less.
        reads: what it looks at of its backbones' features: "pooled", "sequence". The rest is not
            kept where features are computed once.
        augments: what it changes at random of training inputs before a backbone encodes them, and
            the setting for it, in words for a message; "" for nothing.
        component: what messages call it, "task 'image-cls' of mmft 1.0"; set when it is built.
    """

    backbones: nn.ModuleDict
    codec: TargetCodec
    group_size: int = 1
    compares: bool = False
    minimum_batch_size: int = 1
    reads: tuple[str, ...] = ("pooled", "sequence")
    augments: str = ""
    component: str = ""

    def backbone(self, modality: str) -> Backbone:
        module = self.backbones[modality]
        assert isinstance(module, Backbone)
        return module

    @property
    def processors(self) -> dict[str, Processor]:
        """The preprocessing of each modality: the backbones', or a task's own around them."""
        found: dict[str, Processor] = {}
        for name in self.backbones:
            backbone = self.backbone(name)
            found |= backbone.processors or {name: backbone.processor}
        return found

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Compute the loss and, in eval mode, the predictions."""

    def targets_of(self, batch: Batch) -> Any:
        """What metrics and `rank` compare predictions with, in the shape of the latter."""
        return batch.targets

    def weight(self, batch: Batch) -> int:
        """How many things (samples, tokens) the batch's loss is the mean of."""
        return len(batch)

    @abstractmethod
    def decode(self, predictions: Any, top_k: int = 1) -> list[dict[str, Any]]:
        """Turn the predictions of a batch into one JSON-ready record for each sample."""

    def join(self, pieces: Sequence[Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make one record of those of the pieces that `Processor.pieces` cut an input into."""
        return records[0]

    def rank(self, predictions: Any, targets: Any) -> dict[str, Tensor]:
        """Score samples (B,) by what is worth looking at: {"Most wrong": wrongness}.

        The report shows the highest of each ranking; -inf leaves a sample out.
        """
        return {}

    def gallery(self, size: int) -> Gallery | None:
        """What collects samples for the report where `rank`, which sees one batch, cannot."""
        return None

    def save_assets(self, folder: Path) -> None:
        """Write what `build` needs beside options and weights (a vocabulary) to rebuild the task.

        It is handed back as `TaskContext.assets`. What is a tensor is better kept as a buffer.
        """

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        """The parts of the model that are exported, traced with a batch as an example.

        Here it is one, "model", from all inputs to the predictions, which must be tensors. Override
        it, and `adopt`, where some of the work is not for a graph (searching by beams), or where
        several graphs serve better (one for each of two modalities that are embedded apart).

        Args:
            batch: on the CPU, of at least two samples, without targets.

        Raises:
            IncompatibleError: the model cannot be exported.
        """
        from mmft_core.contracts.whole import whole_graph

        return [whole_graph(self, batch)]

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        """The same task, whose `graphs` are computed by these runners, by the graphs' names.

        It is called on a task without weights: its parameters have shapes and no values. What is
        returned decodes, joins, ranks and chooses targets as this task does; a loss it may lack.
        """
        from mmft_core.contracts.whole import WholeTask

        return WholeTask(self, runners["model"])


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What a task is built with.

    Attributes:
        backbones: by modality.
        info: of the data set.
        train: the training split, for what follows from it (class weights, a vocabulary). Its
            targets alone are read by `Split.target`. None on reloading.
        assets: the folder that `save_assets` filled, on reloading and resuming; else None.
    """

    backbones: Mapping[str, Backbone]
    info: DatasetInfo
    train: Split | None = None
    assets: Path | None = None
