"""Preprocessing: from raw inputs and targets to tensors, in worker processes."""

from __future__ import annotations

import base64
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmft_core.contracts.data import Tensors
from mmft_core.contracts.graphs import Axes
from mmft_core.errors import SampleError


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is of a raw input, in a unit such as "pixels", "seconds", "characters"."""

    amount: float
    unit: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A raw input as a reader can be shown it: MIME type and content.

    Attributes:
        label: of views that are turns of a conversation, who has it ("user"); else "".
    """

    mime: str
    data: bytes
    label: str = ""


def data_url(preview: Preview) -> str:
    """A preview as an address that holds it, for a page."""
    return f"data:{preview.mime};base64,{base64.b64encode(preview.data).decode()}"


class Processor(ABC):
    """A backbone's preprocessing. It travels to worker processes, so it holds no weights.

    Attributes:
        suffixes: of the files that `read` opens, in lower case with the dot.
        inspects: whether `inspect` is worth calling for every sample before training.
        divides: whether `pieces` may cut an input that is to be predicted.
        augments: what `prepare` changes at random in training, and the setting for it, in words
            for a message; "" only if training samples are prepared exactly as others are.
    """

    suffixes: tuple[str, ...] = ()
    inspects: bool = False
    divides: bool = False
    augments: str = ""

    @abstractmethod
    def prepare(self, raw: Any, *, train: bool) -> Tensors:
        """Turn one raw input into tensors, augmented if it is for training.

        Random draws come from torch's, numpy's or Python's global generators, which are seeded
        for each sample.
        """

    @abstractmethod
    def collate(self, items: Sequence[Tensors]) -> Tensors:
        """Join prepared inputs into tensors whose first dimension is the batch."""

    def axes(self) -> Axes:
        """Of what `collate` gives, the dimensions beyond the first whose size follows the inputs.

        {"tokens": {1: "length"}, "mask": {1: "length"}}, for example. An export keeps them open.
        """
        return {}

    def longest(self) -> Mapping[str, int]:
        """The greatest sizes of the dimensions that `axes` names, where there are such.

        {"length": 512}, for example. A runtime whose graphs are of fixed sizes takes these.
        """
        return {}

    def manifest(self) -> Mapping[str, Any]:
        """How a raw input becomes what `collate` gives, in plain JSON, for users of an export.

        It says in words and numbers what somebody without mmft has to do: sizes, sampling rates,
        files of a tokenizer below `assets/MODALITY`.
        """
        return {}

    def read(self, source: Path) -> Any:
        """Open a file as a raw input.

        Raises:
            SampleError: it is not a file of this modality.
        """
        raise SampleError(str(source), "the model reads no files")

    def stamp(self, raw: Any) -> bytes:
        """What changes whenever a raw input does, by which its features are found again.

        Override it where a raw input stands for a file that is read later: by its path, size and
        time of change (`mmft_core.utils.files.stamp`).
        """
        return pickle.dumps(raw)

    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins so is one that `read` opens, by whatever name."""
        return False

    def parse(self, text: str) -> Any | None:
        """Take what a user typed, and what names no file, as a raw input; None if it is none."""
        return None

    def fields(self) -> Mapping[str, tuple[str, ...] | None]:
        """Of inputs that are rows, which `parse` takes as JSON objects: what each column holds.

        Returns:
            by column the names of its categories, or None for numbers; empty for what is no row.
        """
        return {}

    def extent(self, raw: Any) -> Extent | None:
        """How much a raw input holds, told without decoding it, for limits on what is served.

        Raises:
            SampleError: it cannot be read.
        """
        return None

    def pieces(self, raw: Any) -> Sequence[Any]:
        """Cut a raw input that is too long to be predicted at once; see `Task.join`.

        Raises:
            SampleError: it cannot be read.
        """
        return [raw]

    def measure(self, raw: Any) -> int | None:
        """How long what `prepare` makes of a raw input is: its size along the dimension of `axes`.

        Samples of like lengths share a batch, so that little of it is padding. None where it
        cannot be told without much work; then batches go by `Split.sizes`.

        Raises:
            ValueError: it cannot be used.
        """
        return None

    def inspect(self, raw: Any, *, train: bool = False) -> str | None:
        """Look at a raw input before training, when it would only be changed silently later.

        Args:
            train: whether it is to be learned from.

        Returns:
            what will be done to it ("longer than 128 tokens, so its end is cut off"), to be
            counted over all samples; None for nothing.

        Raises:
            ValueError: it cannot be used.
            SampleError: the same, with a hint what to do about it.
        """
        return None

    def preview(self, raw: Any) -> Preview | None:
        """Render a raw input for a report, or None where that is not possible."""
        return None

    def views(self, raw: Any) -> Sequence[Preview]:
        """All that a report shows of a raw input: its preview, and what else there is to see."""
        preview = self.preview(raw)
        return () if preview is None else (preview,)


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

    def for_judging(self) -> TargetCodec:
        """The codec for samples that a model is evaluated on and does not learn from.

        Override it where more can be evaluated than learned, such as a text that is longer than the
        model writes at once.
        """
        return self

    def measure(self, target: Any) -> int:
        """How long what `encode` makes of a target is, if it is padded; see `Processor.measure`.

        Raises:
            ValueError: it is not one that the task can learn.
        """
        return 0

    def inspect(self, target: Any) -> str | None:
        """Say what `encode` will do to a target, for counting, as `Processor.inspect` does.

        Raises:
            ValueError: it is not one that the task can learn.
        """
        self.encode(target)
        return None
