"""Backbones: encoders and text generators."""

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
    """The output of a backbone.

    Attributes:
        pooled: (B, D), one vector per sample.
        sequence: (B, T, D), or None if the backbone has none.
        mask: (B, T) bool, False for padding in `sequence`; None if there is no padding.
    """

    pooled: Tensor
    sequence: Tensor | None = None
    mask: Tensor | None = None

    def tensors(self) -> Tensors:
        """These features as inputs that a backbone returns unchanged when called with them."""
        named = zip(_STORED, (self.pooled, self.sequence, self.mask), strict=True)
        return {name: tensor for name, tensor in named if tensor is not None}

    @classmethod
    def stored(cls, inputs: Tensors) -> Features | None:
        """The features that `tensors` encoded; None if the inputs are something else."""
        if _STORED[0] not in inputs:
            return None
        return cls(*(inputs.get(name) for name in _STORED))  # type: ignore[arg-type]


_STORED = ("features.pooled", "features.sequence", "features.mask")


class Backbone(nn.Module, ABC):
    """An encoder with its preprocessing.

    Attributes:
        processor: its preprocessing.
        processors: if the backbone reads several modalities, the preprocessing of each
            (`processor` is then any of them); empty for one modality.
        width: D, the width of its features.
        loaded: where its weights came from.
        quantized: whether its weights are stored in too few bits to be trained. Then only a head
            and adapters can be trained, and the weights are not saved with the model.
        bits: per weight of the layers of `roles` if they are quantized, for estimates of memory;
            else None.
        fitted_options: its options, completed with what was found in the training data. A run
            saves them. None if nothing was found.
        published: the name of the submodule whose parameter names are those of the published
            network; "" for the backbone itself.
        fresh: names of submodules that start from random weights although the others were loaded,
            such as a head for new labels. When adapters are trained, these submodules are trained
            too and saved with them.
        component: its name in messages, "backbone 'resnet50' of mmft 1.0"; set when it is built.
    """

    processor: Processor
    width: int
    loaded: LoadedWeights
    processors: Mapping[str, Processor] = MappingProxyType({})
    quantized: bool = False
    bits: int | None = None
    fitted_options: Any = None
    published: str = ""
    fresh: tuple[str, ...] = ()
    component: str = ""

    @property
    def augments(self) -> str:
        """What makes the features of a sample random during training: its processor's `augments`,
        and what `encode` itself changes. "" for nothing."""
        several = (processor.augments for processor in self.processors.values())
        return next(filter(None, several), self.processor.augments)

    def forward(self, inputs: Tensors) -> Features:
        """Encode inputs, or return features that were cached before (`mmft_core.features`)."""
        stored = Features.stored(inputs)
        return self.encode(inputs) if stored is None else stored

    @abstractmethod
    def encode(self, inputs: Tensors) -> Features:
        """Encode what `processor.collate` returned. Tasks call the backbone itself instead.

        A backbone of several modalities receives the tensors of all, named "MODALITY.NAME"; those
        of a modality that no sample of the batch has are missing.
        """

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """The layers in depth order, the one nearest to the input first.

        Every parameter belongs to exactly one layer. Freezing, layer-wise learning rates and
        gradual unfreezing use this list. Collect it anew on each call, because adapters replace
        layers.
        """

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """The layers of each network that the backbone consists of, in depth order, by name.

        The backbone chooses the names ("language", "vision", "connector"; `BackboneSpec.parts`
        lists them before it is built). Each part can be tuned differently; every parameter belongs
        to exactly one part. Empty for a backbone of one network.
        """
        return {}

    def roles(self) -> Mapping[str, Sequence[str]]:
        """The names of the modules that can take adapters, by role.

        Roles are "attention", "mlp", "convolution", or names that the backbone chooses. They list
        linear layers and convolutions that are called as modules; if only the weight of a layer is
        read, its adapter would have no effect. Override it if names and types do not tell.
        """
        return find_roles(self)

    def enable_checkpointing(self) -> None:
        """Turn on gradient checkpointing: store few activations and recompute the others.

        Losses, gradients and the statistics of norms must not change (Chen et al., 2016, "Training
        Deep Nets with Sublinear Memory Cost").

        Raises:
            IncompatibleError: the backbone does not support it.
        """
        raise IncompatibleError(
            f"engine.gradient_checkpointing: {type(self).__name__} cannot compute its "
            "activations again.",
            hint="Leave it out; a smaller engine.batch_size with more "
            "engine.gradient_accumulation_steps saves memory.",
        )

    def save_assets(self, folder: Path) -> None:
        """Save what `build` needs to reload it besides options and weights, such as a tokenizer."""

    def published_name(self, name: str) -> str:
        """The name of a module or parameter of the backbone in the published network.

        Override it if `published` is only a part of a published network.
        """
        return name.removeprefix(f"{self.published}.") if self.published else name

    def adapter_base(self) -> AdapterBase:
        """How other software loads the network that adapters of this backbone belong to."""
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
    """A backbone that generates text.

    Its inputs are what its processor collates or, if it provides "prefix", {"prefix": (B, P, D)}:
    vectors of its width that precede the text.

    Attributes:
        codec: encodes the texts that it generates: `encode` returns token ids (T,) that end with
            the end-of-text token, `collate` returns (B, T), padded on the right with `PADDING`.
        prompt: the recommended prompt for summarizing a source text; {text} is replaced by it.
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
        """Generate a text for each input."""

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        """The computations of `generate` as graphs, with a key-value cache between steps.

        Args:
            inputs: an example batch on the CPU, of at least two samples.

        Raises:
            IncompatibleError: the backbone cannot be exported.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot be exported.")

    def adopt(self, runners: Mapping[str, Runner]) -> None:
        """Compute with runners of these graphs instead of the network, which has no weights.

        `generate` must work as before, with every setting; `token_losses` need not.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot use an export.")


@dataclass(frozen=True, kw_only=True)
class BackboneContext:
    """What a backbone is built with.

    Attributes:
        weights: which weights are requested; `weights.load(...)` finds them.
        info: information about the data set.
        needs: which of its features the task needs (`TaskSpec.needs`).
        train: the training split, for what is fitted to data, such as a tokenizer; None when the
            backbone is reloaded, and in a dry run, which only needs the size of the backbone.
        assets: when the backbone is reloaded, the folder that `save_assets` filled; else None.
        epochs: how often it will be trained on each sample; None if it is not trained.
    """

    weights: WeightsRequest
    info: DatasetInfo
    needs: tuple[str, ...] = ("pooled",)
    train: Split | None = None
    assets: Path | None = None
    epochs: float | None = None
