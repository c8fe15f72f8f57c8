"""Preprocessing: from raw inputs and targets to tensors, in worker processes."""

from __future__ import annotations

import base64
import functools
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
    """The size of a raw input, in a unit such as "pixels", "seconds" or "characters"."""

    amount: float
    unit: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A raw input in a form that can be shown: MIME type and content.

    Attributes:
        label: for turns of a conversation, the role ("user"); else "".
    """

    mime: str
    data: bytes
    label: str = ""


def data_url(preview: Preview) -> str:
    """A preview as a data: URL, for a page."""
    return f"data:{preview.mime};base64,{base64.b64encode(preview.data).decode()}"


class Processor(ABC):
    """A backbone's preprocessing. It travels to worker processes, so it holds no weights.

    Attributes:
        suffixes: suffixes of the files that `read` opens, in lower case with the dot.
        inspects: whether `inspect` must be called for every sample before training.
        divides: whether `pieces` may cut an input for prediction.
        augments: what `prepare` changes at random in training, and the setting for it, in words
            for a message; "" only if training samples are prepared exactly like others.
    """

    suffixes: tuple[str, ...] = ()
    inspects: bool = False
    divides: bool = False
    augments: str = ""

    @abstractmethod
    def prepare(self, raw: Any, *, train: bool) -> Tensors:
        """Turn one raw input into tensors, augmented if it is for training.

        Draw random numbers from the global generators of torch, NumPy or Python, which are seeded
        for each sample.
        """

    @abstractmethod
    def collate(self, items: Sequence[Tensors]) -> Tensors:
        """Join prepared inputs into tensors whose first dimension is the batch."""

    def axes(self) -> Axes:
        """The dimensions of collated tensors, besides the first, whose size varies with the inputs.

        For example {"tokens": {1: "length"}, "mask": {1: "length"}}. They stay variable in exports.
        """
        return {}

    def longest(self) -> Mapping[str, int]:
        """The maximum sizes of the dimensions that `axes` names, if they have one.

        For example {"length": 512}. Export formats with fixed sizes use these.
        """
        return {}

    def manifest(self) -> Mapping[str, Any]:
        """How a raw input is preprocessed, as plain JSON, for users of an export without mmft.

        It says in words and numbers what they have to do: sizes, sampling rates, files of a
        tokenizer below `assets/MODALITY`.
        """
        return {}

    def read(self, source: Path) -> Any:
        """Open a file as a raw input.

        Raises:
            SampleError: it is not a file of this modality.
        """
        raise SampleError(str(source), "the model reads no files")

    def stamp(self, raw: Any) -> bytes:
        """A key that changes whenever the raw input does, by which cached features are looked up.

        Override it if a raw input is a file that is read later: return its path, size and time of
        change (`mmft_core.utils.files.stamp`).
        """
        return pickle.dumps(raw)

    def sniff(self, head: bytes) -> bool:
        """Whether `read` opens files that begin with these bytes, whatever their name."""
        return False

    def parse(self, text: str) -> Any | None:
        """What a user typed (not the name of a file) as a raw input; None if it is none."""
        return None

    def fields(self) -> Mapping[str, tuple[str, ...] | None]:
        """The columns of inputs that are rows, which `parse` accepts as JSON objects.

        Returns:
            for each column the names of its categories, or None for numbers; empty if inputs are
            not rows.
        """
        return {}

    def extent(self, raw: Any) -> Extent | Sequence[Extent] | None:
        """The size of a raw input, without decoding it, for the limits of the server; the sizes of
        its parts if it has several.

        Raises:
            SampleError: it cannot be read.
        """
        return None

    def pieces(self, raw: Any) -> Sequence[Any]:
        """Cut a raw input that is too long for one prediction; see `Task.join`.

        Raises:
            SampleError: it cannot be read.
        """
        return [raw]

    def measure(self, raw: Any) -> int | None:
        """The length of the prepared input: its size along the variable dimension of `axes`.

        Samples of similar length share a batch, to reduce padding. None if the length is expensive
        to compute; then `Split.sizes` is used.

        Raises:
            ValueError: the input cannot be used.
        """
        return None

    def inspect(self, raw: Any, *, train: bool = False) -> str | None:
        """Inspect a raw input before training, so that it is not changed silently later.

        Args:
            train: whether it is a training sample.

        Returns:
            what will be changed ("longer than 128 tokens, so its end is cut off"), to be counted
            over all samples; None for nothing.

        Raises:
            ValueError: the input cannot be used.
            SampleError: the same, with a hint what to do.
        """
        return None

    def preview(self, raw: Any) -> Preview | None:
        """Render a raw input for a report; None if that is not possible."""
        return None

    def views(self, raw: Any) -> Sequence[Preview]:
        """Everything that a report shows of a raw input: its preview, and any further views."""
        preview = self.preview(raw)
        return () if preview is None else (preview,)


class ProcessorWrapper(Processor):
    """A processor that delegates to another one; a subclass overrides what differs.

    Args:
        inner: the wrapped processor.
    """

    def __init__(self, inner: Processor) -> None:
        self.inner = inner

    def prepare(self, raw: Any, *, train: bool) -> Tensors:
        return self.inner.prepare(raw, train=train)

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        return self.inner.collate(items)


def _hand_on(name: str) -> Any:
    if not callable(getattr(Processor, name)):
        return property(lambda self: getattr(self.inner, name))

    def handed_on(self: ProcessorWrapper, *args: Any, **named: Any) -> Any:
        return getattr(self.inner, name)(*args, **named)

    return functools.wraps(getattr(Processor, name))(handed_on)


for _name in vars(Processor):
    if not _name.startswith("_") and _name not in vars(ProcessorWrapper):
        setattr(ProcessorWrapper, _name, _hand_on(_name))


class TargetCodec(ABC):
    """Turns targets into tensors. It travels to worker processes, so it holds no weights."""

    @abstractmethod
    def encode(self, target: Any) -> Any:
        """Encode one target.

        Raises:
            ValueError: the task cannot learn this target.
        """

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> Any:
        """Join encoded targets into a batch."""

    def for_evaluation(self) -> TargetCodec:
        """The codec for samples that a model is only evaluated on.

        Override it if some targets can be evaluated but not learned, such as a text longer than the
        model generates at once.
        """
        return self.for_judging()

    def for_judging(self) -> TargetCodec:
        """The name of `for_evaluation` in mmft 0.1; plugins written for it may override this."""
        return self

    def measure(self, target: Any) -> int:
        """The length of an encoded target, if targets are padded; see `Processor.measure`.

        Raises:
            ValueError: the task cannot learn this target.
        """
        return 0

    def inspect(self, target: Any) -> str | None:
        """Say what `encode` will change in a target; see `Processor.inspect`.

        Raises:
            ValueError: the task cannot learn this target.
        """
        self.encode(target)
        return None
