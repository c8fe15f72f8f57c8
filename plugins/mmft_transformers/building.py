"""From what a user asked for to a backbone: reloaded, from a checkpoint, or of random weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from torch import nn

from mmft_core.contracts import BackboneContext
from mmft_core.weights import LoadedWeights
from mmft_transformers.checkpoints import Checkpoint, fill_from_run, find_checkpoint
from mmft_transformers.network import TransformersBackbone

B = TypeVar("B", bound=TransformersBackbone)


@dataclass(frozen=True)
class Builder(ABC, Generic[B]):
    """How the backbone of one name is built.

    Attributes:
        hub_id: of the published weights; None where only the user's own can be loaded.
        tokenizer: whether a published network without one is incomplete.
    """

    hub_id: str | None
    options: Any
    context: BackboneContext

    tokenizer: ClassVar[bool] = True

    def build(self) -> B:
        """Build it, with what is to be told of its weights.

        Raises:
            WeightsError: the weights that were asked for cannot be had, or do not fit.
        """
        weights, assets = self.context.weights, self.context.assets
        if self.finished:
            assert assets is not None
            backbone = self.empty(Checkpoint(assets))
            backbone.loaded = LoadedWeights(source="run")
            return backbone
        checkpoint, loaded = find_checkpoint(self.context, self.hub_id, tokenizer=self.tokenizer)
        if checkpoint is None:
            backbone, loaded = self.random(loaded)
        elif not weights.values:
            self.check(checkpoint)
            backbone = self.empty(checkpoint)
        elif checkpoint.run is not None:
            self.check(checkpoint)
            backbone = self.empty(checkpoint)
            fill_from_run(backbone, checkpoint.run, weights.modality)
        else:
            self.check(checkpoint)
            backbone, loaded = self.filled(checkpoint, loaded)
        backbone.loaded = loaded
        return backbone

    @property
    def finished(self) -> bool:
        """Whether the network is a run's, whose weights are read once the whole task is built.

        Until then its parameters are undefined, so it must not compute anything; see `draw`.
        """
        return self.context.weights.choice == "run" and self.context.assets is not None

    def check(self, checkpoint: Checkpoint) -> None:
        """Check what can be known before weights are read.

        Raises:
            WeightsError: the checkpoint is of another kind.
        """

    @abstractmethod
    def empty(self, checkpoint: Checkpoint) -> B:
        """A backbone whose weights are to be filled in, with a checkpoint's other assets."""

    @abstractmethod
    def filled(self, checkpoint: Checkpoint, loaded: LoadedWeights) -> tuple[B, LoadedWeights]:
        """A backbone with a checkpoint's weights, and what is to be told of them."""

    @abstractmethod
    def random(self, loaded: LoadedWeights) -> tuple[B, LoadedWeights]:
        """A backbone of random weights, and what is to be told of them.

        Args:
            loaded: why it is random.
        """


def draw(network: nn.Module) -> None:
    """Fill the parameters with random numbers, for a trial before the weights are read."""
    for parameter in network.parameters():
        if parameter.is_floating_point():
            parameter.data.normal_(std=0.02)
