"""Backbones: encoders, and generators of text, with their preprocessing."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmft_core.contracts.data import DatasetInfo, Split, Tensors
from mmft_core.contracts.graphs import Axes, Graph, Runner
from mmft_core.errors import IncompatibleError
from mmft_core.generation import Generation
from mmft_core.roles import find_roles
from mmft_core.weights import LoadedWeights, WeightsRequest


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is of a raw input, in a unit such as "pixels", "seconds", "characters"."""

    amount: float
    unit: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A raw input as a reader can be shown it: MIME type and content."""

    mime: str
    data: bytes


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
        raise NotImplementedError(f"{type(self).__name__} reads no files")

    def stamp(self, raw: Any) -> bytes:
        """What changes whenever a raw input does, by which its features are found again.

        Override it where a raw input stands for a file that is read later: by its path, size and
        time of change (`mmft_core.files.stamp`).
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

    def inspect(self, raw: Any, *, train: bool = False) -> str | None:
        """Look at a raw input before training, when it would only be changed silently later.

        Args:
            train: whether it is to be learned from.

        Returns:
            what will be done to it ("longer than 128 tokens, so its end is cut off"), to be
            counted over all samples; None for nothing.

        Raises:
            ValueError: it cannot be used.
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

    def inspect(self, target: Any) -> str | None:
        """Say what `encode` will do to a target, for counting, as `Processor.inspect` does.

        Raises:
            ValueError: it is not one that the task can learn.
        """
        self.encode(target)
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

    def tensors(self) -> Tensors:
        """The same as inputs that a backbone hands on when it is called with them."""
        named = zip(_STORED, (self.pooled, self.sequence, self.mask), strict=True)
        return {name: tensor for name, tensor in named if tensor is not None}

    @classmethod
    def stored(cls, inputs: Tensors) -> Features | None:
        """What `tensors` gave; None if the inputs are others."""
        if _STORED[0] not in inputs:
            return None
        return cls(*(inputs.get(name) for name in _STORED))  # type: ignore[arg-type]


_STORED = ("features.pooled", "features.sequence", "features.mask")


class Backbone(nn.Module, ABC):
    """An encoder of one modality, which owns its preprocessing.

    Attributes:
        processor: its preprocessing.
        width: D, the width of its features.
        loaded: where its weights came from.
        quantized: whether its weights are held in so few bits that they cannot be trained; only
            a head and adapters can then, and the weights are not kept with the model.
        published: the name of the submodule whose parameters have the names that they are published
            under; "" for the backbone itself.
    """

    processor: Processor
    width: int
    loaded: LoadedWeights
    quantized: bool = False
    published: str = ""

    @property
    def augments(self) -> str:
        """What differs at random in training of the features of a sample: its processor's
        `augments`, and what `encode` itself changes. "" for nothing."""
        return self.processor.augments

    def forward(self, inputs: Tensors) -> Features:
        """Encode inputs, or hand on features that were computed before (`mmft_core.features`)."""
        stored = Features.stored(inputs)
        return self.encode(inputs) if stored is None else stored

    @abstractmethod
    def encode(self, inputs: Tensors) -> Features:
        """Encode what `processor.collate` returned. Tasks call the backbone instead."""

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """The layers in depth order, the one nearest to the input first.

        Every parameter belongs to exactly one. Freezing, layer-wise learning rates and gradual
        unfreezing all work from this list. Ask the network each time, for adapters take the place
        of layers.
        """

    def roles(self) -> Mapping[str, Sequence[str]]:
        """The names of the modules that can take adapters, by role.

        Roles are "attention", "mlp", "convolution", or words of the backbone's own. Named are
        linear layers and convolutions that are called, for one whose weight is only read would
        pass its adapter by. Override it where names and types do not tell.
        """
        return find_roles(self)

    def enable_checkpointing(self) -> None:
        """Keep few activations in training and compute the others again for the gradients.

        Losses, gradients and the statistics of norms stay what they are without it (Chen et al.,
        2016, "Training Deep Nets with Sublinear Memory Cost").

        Raises:
            IncompatibleError: the backbone cannot.
        """
        raise IncompatibleError(
            f"engine.gradient_checkpointing: {type(self).__name__} cannot compute its "
            "activations again.",
            hint="Leave it out; a smaller engine.batch_size with engine.accumulate saves memory.",
        )

    def save_assets(self, folder: Path) -> None:
        """Write what `build` needs beside options and weights (a tokenizer) to reload it."""


PADDING = -100
"""What stands in token targets where there is no token; torch's losses pass over it."""


class Generator(Backbone):
    """A backbone that writes text.

    Its inputs are what its processor collates or, if it provides "prefix", {"prefix": (B, P, D)}:
    vectors of its width that stand before the text.

    Attributes:
        codec: of the texts that it writes: `encode` gives token ids (T,) that end with the end of
            text, `collate` gives (B, T) with `PADDING` behind shorter ones.
        prompt: what a source text is best put into to have it summarized; {text} stands for it.
    """

    codec: TargetCodec
    prompt: str = "{text}"

    @abstractmethod
    def token_losses(self, inputs: Tensors, targets: Tensor) -> Tensor:
        """The negative log-likelihood of each target token given the inputs.

        Args:
            targets: (B, T), as `codec` collates them.

        Returns:
            (B, T) in nats, 0 where `targets` is `PADDING`.
        """

    @abstractmethod
    def generate(self, inputs: Tensors, settings: Generation) -> list[str]:
        """Write a text for each input."""

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        """What `generate` computes, as graphs with a key-value cache between its steps.

        Args:
            inputs: an example, on the CPU, of at least two samples.

        Raises:
            IncompatibleError: the backbone cannot be exported.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot be exported.")

    def adopt(self, runners: Mapping[str, Runner]) -> None:
        """Let runners of these graphs compute in place of the network, which has no weights.

        `generate` works as before, with every setting; `token_losses` need not.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot use an export.")


@dataclass(frozen=True, kw_only=True)
class BackboneContext:
    """What a backbone is built with.

    Attributes:
        weights: which weights are asked for; `weights.load(...)` finds them.
        info: of the data set.
        needs: what the task asks of the backbone, of all that it provides (`TaskSpec.needs`).
        train: the training split, for what is fitted to data (a tokenizer); None on reloading,
            and in a dry run, which only asks how large the backbone is.
        assets: the folder that `save_assets` filled, on reloading; else None.
    """

    weights: WeightsRequest
    info: DatasetInfo
    needs: tuple[str, ...] = ("pooled",)
    train: Split | None = None
    assets: Path | None = None
