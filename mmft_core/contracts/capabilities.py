"""What a part may do beside what its base asks: the method is there, or it is not.

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

    So boxes are mirrored and cropped with their picture, and tags follow the tokens of their text.
    Where a codec has this method, it takes the place of `Processor.prepare` and
    `TargetCodec.encode` for every sample, in training, evaluation, prediction and serving. The
    codec is given the processors by its task, and calls their `prepare` with `train=False` for what
    it has already augmented.
    """

    def prepare(
        self, inputs: Mapping[str, Any], target: Any, *, train: bool
    ) -> tuple[Mapping[str, Tensors], Any]:
        """Prepare one sample, augmented if it is for training.

        Random draws come from torch's, numpy's or Python's global generators, which are seeded for
        each sample from the run's seed, the epoch and the sample's index.

        Args:
            inputs: the raw inputs, by modality, that the sample has.
            target: None where there is none, as in prediction.

        Returns:
            by modality what `Processor.collate` joins, and what `TargetCodec.collate` joins (None
            for no target).

        Raises:
            ValueError: it cannot be used; the message says why.
        """


@runtime_checkable
class Calibrated(Protocol):
    """A task that chooses something, such as thresholds, by the validation split.

    It is done once, on the model that is kept, before this is evaluated; what was chosen is kept in
    buffers, so it is saved with the weights and is part of exported graphs.
    """

    def calibrate(self, predictions: Any, targets: Any) -> None:
        """Choose, given all of the validation split.

        Args:
            predictions: as metrics are given them, on the CPU; those of all batches joined along
                their first dimension.
            targets: the same.
        """


@runtime_checkable
class Referenced(Protocol):
    """A task whose loss compares the model with its reference: the model that training starts from.

    Once, before the first step, the model is evaluated on the splits that the task names, and the
    task keeps of this what it needs. It saves that in `save_assets`, which is written after it, and
    is handed it back on resuming.
    """

    def judged_beforehand(self, splits: Collection[str]) -> Collection[str]:
        """Which of the run's splits the model is evaluated on before training."""

    def remember(self, predictions: Any, targets: Any) -> None:
        """Keep what is needed of one of these splits.

        Args:
            predictions: as metrics are given them, on the CPU; those of all batches joined along
                their first dimension.
            targets: the same.
        """

    def reference_model(self) -> nn.Module | None:
        """A frozen copy of the model as it is before training; None if the task needs none.

        The run keeps its weights beside its checkpoints until it ends. On resuming they are read
        into what this returns.
        """


@runtime_checkable
class Completing(Protocol):
    """A task that adds to a sample's record what only its raw inputs tell, such as a span's words.

    It does so wherever records are written or shown, after `Task.decode` and `Task.join`.
    """

    def complete(self, record: dict[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Give the whole record.

        Args:
            inputs: the raw inputs by modality; None for one that the sample lacks.
        """


@runtime_checkable
class Showing(Protocol):
    """A task that draws its predictions onto the inputs: boxes, masks, highlighted spans.

    Reports and the server's page show what it draws in place of the processors' previews.
    """

    def show(
        self, inputs: Mapping[str, Any], record: Mapping[str, Any], target: Any
    ) -> Mapping[str, Preview]:
        """Draw a prediction.

        Args:
            inputs: the raw inputs by modality; None for one that the sample lacks.
            record: what became of the prediction.
            target: the true one, as the data set knows it; None where there is none.

        Returns:
            previews by modality; a modality that is left out is shown by its processor.
        """


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token as a reader is shown it, or several in a row that stand for one thing.

    Attributes:
        text: its text; what a picture stands for by its placeholder.
        learned: whether the loss counts it.
        count: how many tokens they are.
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
    """A processor that tells which tokens of an input a model learns.

    `mmft run --dry-run`, `mmft data check` and the report show it, so that nobody learns the wrong
    part of their data unawares. It must not need the weights of its backbone.
    """

    def show_learned(self, raw: Any) -> Sequence[LearnedPart]:
        """Every token of a training sample, in order.

        Raises:
            ValueError: the sample cannot be used; the message says why.
        """


@runtime_checkable
class Attaching(Protocol):
    """A processor of inputs that files belong to, such as a question about pictures."""

    def attach(self, raw: Any, files: Sequence[Path]) -> Any:
        """The raw input with these files.

        Raises:
            ValueError: one of them cannot be read, or is of a kind that the model does not take.
        """


@runtime_checkable
class Accepting(Protocol):
    """A processor that takes what a program holds for an input, such as the messages of a chat."""

    def accept(self, value: Any) -> Any | None:
        """The raw input that a Python object stands for; None if it is something else.

        Raises:
            ValueError: it stands for one that cannot be used; the message says why.
        """
