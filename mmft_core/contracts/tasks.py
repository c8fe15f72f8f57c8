"""Tasks: head, loss and decoding, and the samples that a report shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmft_core.contracts.backbones import Backbone
from mmft_core.contracts.data import Batch, DatasetInfo, Split
from mmft_core.contracts.graphs import Graph, Runner
from mmft_core.contracts.preprocessing import Processor, TargetCodec


@dataclass(frozen=True, slots=True)
class Outputs:
    """The output of a task's forward pass.

    Attributes:
        loss: scalar, the mean over the batch; None without targets.
        predictions: tensors (or lists) whose first dimension is the batch; None in training.
        targets: what metrics compare predictions with, if `Task.targets_of` cannot tell; not
            available in exports, which compute only predictions.
        scalars: in eval mode, further numbers per sample, (B,) by name; an evaluation reports their
            means ("modality-weight/image").
        figures: the name of `scalars` in mmft 0.1; it can still be passed, but not read.

    What metrics receive, by what the task predicts (`TaskSpec.predicts`):

        predicts        predictions                         targets
        "classes"       probabilities (B, C)                class indices (B,)
        "labels"        {"probabilities": (B, L),           0 and 1 (B, L)
                        "thresholds": (B, L)}
        "numbers"       (B,)                                (B,)
        "text"          list of B texts                     list of B texts
        "likelihoods"   nats of each sample's tokens (B,)   numbers of these tokens (B,)
        "embeddings"    of length one (B, D)                {"group": (B,) int64, equal for samples
                                                            that should find each other; "query":
                                                            (B, D), if items are not their own
                                                            queries}
        "pairs"         by modality, two (B, D) of length   {"group": as above}
                        one
    """

    loss: Tensor | None
    predictions: Any = None
    targets: Any = None
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    figures: InitVar[Mapping[str, Tensor] | None] = None

    def __post_init__(self, figures: Mapping[str, Tensor] | None) -> None:
        if figures is not None:
            object.__setattr__(self, "scalars", figures)


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
        score: the score by which it was ranked.
        prediction: the decoded record.
        related: samples of the same split to show beside it.
    """

    score: float
    id: str
    prediction: dict[str, Any] = field(compare=False)
    related: tuple[Related, ...] = field(default=(), compare=False)


class Gallery(ABC):
    """Collects the samples that a report shows, during an evaluation."""

    @abstractmethod
    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        """Add a batch, with what its metrics receive."""

    @abstractmethod
    def state(self) -> Any:
        """Everything that was added, to be merged in another process. Picklable."""

    @abstractmethod
    def merge(self, state: Any) -> None:
        """Add the state of another process."""

    @abstractmethod
    def examples(self) -> dict[str, list[Example]]:
        """The samples below each heading of the report, in order."""


class NoTargets(TargetCodec):
    """The codec of a task that learns only from its inputs."""

    def encode(self, target: Any) -> Any:
        return None

    def collate(self, targets: Sequence[Any]) -> Any:
        return None


class Task(nn.Module, ABC):
    """Head, loss and decoding on top of backbones. It does not depend on which backbones it has.

    Attributes:
        backbones: its backbones by modality.
        codec: the codec of its targets.
        group_size: number of samples of one class to keep together in training batches, for losses
            that compare samples; 1 for any order.
        compares: whether its loss compares the samples of a batch with each other, so that it
            depends on the composition of the batch.
        minimum_batch_size: minimum number of samples in a training batch, for losses that need
            others to compare with.
        reads: which of its backbones' features it uses: "pooled", "sequence". Others are not
            cached.
        augments: what it changes at random in training inputs before a backbone encodes them, and
            the setting for it, in words for a message; "" for nothing.
        component: its name in messages, "task 'image-cls' of mmft 1.0"; set when it is built.
        loss_only: whether only the loss is wanted, in eval mode too; set by the engine.
    """

    backbones: nn.ModuleDict
    codec: TargetCodec
    group_size: int = 1
    compares: bool = False
    minimum_batch_size: int = 1
    reads: tuple[str, ...] = ("pooled", "sequence")
    augments: str = ""
    component: str = ""
    loss_only: bool = False

    @property
    def predicting(self) -> bool:
        """Whether `forward` has to compute predictions. A task whose predictions take much longer
        than its loss should check this instead of `not self.training`."""
        return not (self.training or self.loss_only)

    def backbone(self, modality: str) -> Backbone:
        module = self.backbones[modality]
        assert isinstance(module, Backbone)
        return module

    @property
    def processors(self) -> dict[str, Processor]:
        """The preprocessing of each modality: that of the backbones, or a wrapper of the task."""
        found: dict[str, Processor] = {}
        for name in self.backbones:
            backbone = self.backbone(name)
            found |= backbone.processors or {name: backbone.processor}
        return found

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Compute the loss and, in eval mode, the predictions."""

    def targets_of(self, batch: Batch) -> Any:
        """What metrics and `rank` compare predictions with, in the form of predictions."""
        return batch.targets

    def weight(self, batch: Batch) -> int:
        """The number of items (samples, tokens) that the batch's loss is the mean of."""
        return len(batch)

    @abstractmethod
    def decode(self, predictions: Any, top_k: int = 1) -> list[dict[str, Any]]:
        """Turn the predictions of a batch into one JSON-serializable record per sample."""

    def join(self, pieces: Sequence[Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Join the records of the pieces that `Processor.pieces` cut an input into."""
        return records[0]

    def rank(self, predictions: Any, targets: Any) -> dict[str, Tensor]:
        """Score samples (B,) by how much a reader should see them: {"Most wrong": error}.

        The report shows the highest of each ranking; -inf leaves a sample out.
        """
        return {}

    def gallery(self, size: int) -> Gallery | None:
        """Collects samples for the report if `rank`, which sees one batch at a time, cannot."""
        return None

    def save_assets(self, folder: Path) -> None:
        """Save what `build` needs besides options and weights, such as a vocabulary.

        `TaskContext.assets` is that folder. Tensors are better stored as buffers.
        """

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        """The parts of the model that are exported, traced with an example batch.

        The default is a single graph, "model", from all inputs to the predictions, which must be
        tensors. Override it, and `adopt`, if some of the work cannot be in a graph (beam search),
        or if several graphs are more useful (one for each of two modalities with separate
        embeddings).

        Args:
            batch: on the CPU, at least two samples, without targets.

        Raises:
            IncompatibleError: the model cannot be exported.
        """
        from mmft_core.contracts.whole import whole_graph

        return [whole_graph(self, batch)]

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        """The same task, but with its `graphs` computed by these runners (by the graphs' names).

        It is called on a task without weights: its parameters have shapes but no values. The
        returned task decodes, joins, ranks and chooses targets like this one; it may lack a loss.
        """
        from mmft_core.contracts.whole import WholeTask

        return WholeTask(self, runners["model"])


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What a task is built with.

    Attributes:
        backbones: its backbones by modality.
        info: information about the data set.
        train: the training split, for what follows from it (class weights, a vocabulary). Use
            `Split.target` to read only targets. None when the task is reloaded.
        assets: when the task is reloaded or the run resumed, the folder that `save_assets` filled;
            else None.
    """

    backbones: Mapping[str, Backbone]
    info: DatasetInfo
    train: Split | None = None
    assets: Path | None = None
