"""Backbones: encoders, and generators of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mmft_core.contracts.data import DatasetInfo, Split, Tensors
from mmft_core.contracts.graphs import Graph, Runner
from mmft_core.contracts.lora_targets import find_roles
from mmft_core.contracts.preprocessing import Processor, TargetCodec
from mmft_core.contracts.published import AdapterBase, PublishedModel
from mmft_core.errors import IncompatibleError
from mmft_core.weights import LoadedWeights, WeightsRequest

if TYPE_CHECKING:
    from mmft_core.config.generation import Generation
    from mmft_core.contracts.tasks import Task


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
    """An encoder, which owns its preprocessing.

    Attributes:
        processor: its preprocessing.
        processors: of a backbone that reads several modalities, the preprocessing of each
            (`processor` is then any of them); empty for one modality.
        width: D, the width of its features.
        loaded: where its weights came from.
        quantized: whether its weights are held in so few bits that they cannot be trained; only
            a head and adapters can then, and the weights are not kept with the model.
        fitted_options: those that it was built with, with what was found in the training data
            filled in, where options say it in full. A run keeps them. None where nothing was found.
        published: the name of the submodule whose parameters have the names that they are published
            under; "" for the backbone itself.
        fresh: names of submodules that start from random weights although the others were loaded,
            such as a head for new labels. Where adapters are trained, these are trained as well,
            and kept with them.
    """

    processor: Processor
    width: int
    loaded: LoadedWeights
    processors: Mapping[str, Processor] = MappingProxyType({})
    quantized: bool = False
    fitted_options: Any = None
    published: str = ""
    fresh: tuple[str, ...] = ()

    @property
    def augments(self) -> str:
        """What differs at random in training of the features of a sample: its processor's
        `augments`, and what `encode` itself changes. "" for nothing."""
        several = (processor.augments for processor in self.processors.values())
        return next(filter(None, several), self.processor.augments)

    def forward(self, inputs: Tensors) -> Features:
        """Encode inputs, or hand on features that were computed before (`mmft_core.features`)."""
        stored = Features.stored(inputs)
        return self.encode(inputs) if stored is None else stored

    @abstractmethod
    def encode(self, inputs: Tensors) -> Features:
        """Encode what `processor.collate` returned. Tasks call the backbone instead.

        A backbone of several modalities gets the tensors of all, named "MODALITY.NAME"; those of a
        modality that no sample of the batch has are missing.
        """

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """The layers in depth order, the one nearest to the input first.

        Every parameter belongs to exactly one. Freezing, layer-wise learning rates and gradual
        unfreezing all work from this list. Ask the network each time, for adapters take the place
        of layers.
        """

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """The layers of each network that the backbone is made of, in depth order, by its name.

        Names are the backbone's own ("language", "vision", "connector"; `BackboneSpec.parts` says
        them before it is built). Each part can be tuned in another way; every parameter belongs to
        exactly one. Empty for a backbone of one network.
        """
        return {}

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
            hint="Leave it out; a smaller engine.batch_size with more "
            "engine.gradient_accumulation_steps saves memory.",
        )

    def save_assets(self, folder: Path) -> None:
        """Write what `build` needs beside options and weights (a tokenizer) to reload it."""

    def published_name(self, name: str) -> str:
        """The name that a module or parameter of the backbone has where its network is published.

        Override it where `published` is only a part of a published network.
        """
        return name.removeprefix(f"{self.published}.") if self.published else name

    def adapter_base(self) -> AdapterBase:
        """How others load the network that adapters on this backbone belong to."""
        return AdapterBase()

    def published_model(self, task: Task) -> PublishedModel:
        """The network as other software loads it, for `mmft export --format safetensors`.

        Args:
            task: the task that the backbone is part of, whose head may belong to the model.
        """
        return PublishedModel(self, self.get_submodule(self.published))


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
        epochs: how often it will be trained on each sample; None where it is not trained.
    """

    weights: WeightsRequest
    info: DatasetInfo
    needs: tuple[str, ...] = ("pooled",)
    train: Split | None = None
    assets: Path | None = None
    epochs: float | None = None
