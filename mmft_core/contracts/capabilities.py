"""Optional capabilities of the parts of a run.

Nothing has to be registered: a class that has the method has the capability.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from mmft_core.contracts.data import Tensors
from mmft_core.contracts.preprocessing import Preview


@runtime_checkable
class JointPreparation(Protocol):
    """A task's codec that prepares the inputs and the target of a sample together.

    For example, boxes are mirrored and cropped with their picture, and tags follow the tokens of
    their text. If a codec has this method, it replaces `Processor.prepare` and
    `TargetCodec.encode` for every sample, in training, evaluation, prediction and serving. The
    codec receives the processors from its task, and calls their `prepare` with `train=False` for
    inputs that it has already augmented.
    """

    def prepare(
        self, inputs: Mapping[str, Any], target: Any, *, train: bool
    ) -> tuple[Mapping[str, Tensors], Any]:
        """Prepare one sample, augmented if it is for training.

        Random draws come from torch's, numpy's or Python's global generators, which are seeded for
        each sample from the run's seed, the epoch and the sample's index.

        Args:
            inputs: the raw inputs that the sample has, by modality.
            target: None if there is none, as in prediction.

        Returns:
            what `Processor.collate` expects, by modality, and what `TargetCodec.collate` expects
            (None for no target).

        Raises:
            ValueError: the sample cannot be used; the message says why.
        """


@runtime_checkable
class Calibrated(Protocol):
    """A task that chooses something, such as thresholds, on the validation split.

    This is done once, on the best model before its final evaluation. The choice is stored in
    buffers, so it is saved with the weights and becomes part of exported graphs.
    """

    def calibrate(self, predictions: Any, targets: Any) -> None:
        """Choose, given the predictions for the whole validation split.

        Args:
            predictions: as metrics receive them, on the CPU; all batches joined along the first
                dimension.
            targets: likewise.
        """


@runtime_checkable
class Referenced(Protocol):
    """A task whose loss compares the model with its reference: the model that training starts from.

    Once, before the first step, the model is evaluated on the splits that the task names, and the
    task stores what it needs of the outputs. It saves this in `save_assets`, which is called
    afterwards, and receives it again when the run is resumed.
    """

    def reference_splits(self, splits: Collection[str]) -> Collection[str]:
        """Which of the run's splits the model is evaluated on before training."""

    def remember(self, predictions: Any, targets: Any) -> None:
        """Store what is needed of one of these splits.

        Args:
            predictions: as metrics receive them, on the CPU; all batches joined along the first
                dimension.
            targets: likewise.
        """

    def reference_model(self) -> nn.Module | None:
        """A frozen copy of the model as it is before training; None if the task needs none.

        The run stores its weights beside its checkpoints until it ends. When the run is resumed,
        they are loaded into the module that this returns.
        """


@runtime_checkable
class Comparable(Protocol):
    """A task whose predictions come in no fixed order, so they cannot be compared number by number.

    An export is compared with its run by this.
    """

    def alike(self, predictions: Any, others: Any) -> Sequence[float]:
        """The share of each sample's predictions that two computations of one model agree on.

        Args:
            predictions: of a batch, as metrics receive them.
            others: of the same samples, in the same form.

        Returns:
            for each sample 0 to 1.
        """


@runtime_checkable
class Completing(Protocol):
    """A task whose records need the raw inputs, such as the words of a span.

    `complete` is called wherever records are written or shown, after `Task.decode` and `Task.join`.
    """

    def complete(self, record: dict[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the complete record.

        Args:
            inputs: the raw inputs by modality; None for one that the sample lacks.
        """


@runtime_checkable
class Showing(Protocol):
    """A task that draws its predictions onto the inputs: boxes, masks, highlighted spans.

    Reports and the server's page show its drawings instead of the processors' previews.
    """

    def show(
        self, inputs: Mapping[str, Any], record: Mapping[str, Any], target: Any
    ) -> Mapping[str, Preview]:
        """Draw a prediction.

        Args:
            inputs: the raw inputs by modality; None for one that the sample lacks.
            record: the decoded prediction.
            target: the true target, as the data set stores it; None if there is none.

        Returns:
            previews by modality; a modality that is left out is shown by its processor.
        """


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token as it is shown to a reader, or several in a row that represent one thing.

    Attributes:
        text: its text; for a picture, the placeholder.
        learned: whether the loss includes it.
        count: the number of tokens.
    """

    text: str
    learned: bool
    count: int = 1


@dataclass(frozen=True, slots=True)
class LearnedPart:
    """A part of a sample, such as a turn of a chat, token by token.

    Attributes:
        label: what it is, in a word.
    """

    label: str
    tokens: tuple[ShownToken, ...]


@runtime_checkable
class ShowingLearned(Protocol):
    """A processor that can say which tokens of an input a model learns.

    `mmft run --dry-run`, `mmft data check` and the report show them, so that nobody trains on the
    wrong part of their data without noticing. It must not need the weights of its backbone.
    """

    def show_learned(self, raw: Any) -> Sequence[LearnedPart]:
        """Every token of a training sample, in order.

        Raises:
            ValueError: the sample cannot be used; the message says why.
        """


@runtime_checkable
class Attaching(Protocol):
    """A processor of inputs that files can be attached to, such as a question about pictures."""

    def attach(self, raw: Any, files: Sequence[Path]) -> Any:
        """The raw input with these files.

        Raises:
            ValueError: one of them cannot be read, or is of a kind that the model does not read.
        """


@runtime_checkable
class Accepting(Protocol):
    """A processor that accepts Python objects as inputs, such as the messages of a chat."""

    def accept(self, value: Any) -> Any | None:
        """The raw input that a Python object represents; None if it represents none.

        Raises:
            ValueError: the input cannot be used; the message says why.
        """
