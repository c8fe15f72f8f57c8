"""Captions: a text for a picture or a recording, by any backbone that can write after vectors.

What the encoder sees becomes a prefix of the text, as if it were words (Mokady, Hertz and Bermano,
2021, "ClipCap: CLIP Prefix for Image Captioning").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmft_core.contracts import (
    Backbone,
    Batch,
    Generator,
    Graph,
    Processor,
    Runner,
    Task,
    TaskContext,
    Tensors,
    flatten_tensors,
    input_axes,
    unflatten_tensors,
)
from mmft_core.errors import ConfigError
from mmft_fusion.encoding import Encoded
from mmft_fusion.fusers import with_pooled
from mmft_fusion.options import CaptioningOptions
from mmft_fusion.resampler import Resampler
from mmft_text.written import Written
from mmft_transformers.choosing import seeds_of


class Captioning(Written):
    """An encoder of any modality, and a language model that continues from its features."""

    noun = "caption"

    def __init__(
        self, modality: str, backbones: Mapping[str, Backbone], options: CaptioningOptions
    ) -> None:
        """Args:
        modality: what is described.
        backbones: of that modality, and of the "text" that is written.
        """
        writer = backbones["text"]
        assert isinstance(writer, Generator)
        super().__init__(writer, options, options.max_target_length)
        self.modality = modality
        self.backbones = nn.ModuleDict(backbones)
        reader = backbones[modality]
        self._processor = reader.processor
        self._runner: Runner | None = None  # Of an export, in place of what reads.
        self.projection = nn.Sequential(
            nn.LayerNorm(reader.width), nn.Linear(reader.width, writer.width)
        )
        self.resampler = Resampler(
            writer.width, options.prefix_length, options.layers, options.heads, options.dropout
        )

    @property
    def processors(self) -> dict[str, Processor]:
        return {self.modality: self._processor}

    def source(self, batch: Batch) -> Tensors:
        """Give {"prefix": (B, P, D)}, and "seeds" (B,) where texts are sampled."""
        inputs = batch.inputs[self.modality]
        if self._runner is not None:
            found = self._runner(flatten_tensors({self.modality: inputs}))
        else:
            found = {"prefix": self.prefix(inputs)}
        if not self.generation.sample:
            return found
        return {**found, "seeds": torch.tensor(seeds_of(inputs))}

    def prefix(self, inputs: Tensors) -> Tensor:
        """The vectors (B, P, D) that stand before a text."""
        features = self.backbone(self.modality)(inputs)
        pooled = features.pooled
        there = torch.ones(pooled.shape[0], dtype=torch.bool, device=pooled.device)
        seen, mask = with_pooled(Encoded(pooled, features.sequence, features.mask, there))
        with torch.autocast(seen.device.type, enabled=False):
            found: Tensor = self.resampler(self.projection(seen.float()), mask)
            return found

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        """The language model's graphs, after "prefix", which computes the vectors that precede the
        text."""
        inputs = flatten_tensors(batch.inputs)
        axes = input_axes(self.processors, batch.inputs)
        first = Graph(name="prefix", module=_Prefix(self), inputs=inputs, axes=axes)
        return [first, *super().graphs(batch)]

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self._runner = runners["prefix"]
        del self.backbones[self.modality], self.projection, self.resampler
        return super().adopt(runners)


class _Prefix(nn.Module):
    """{"MODALITY.NAME"} to {"prefix" (B, P, D)}."""

    def __init__(self, task: Captioning) -> None:
        super().__init__()
        self.task = task

    def forward(self, given: Tensors) -> Tensors:
        return {"prefix": self.task.prefix(unflatten_tensors(given)[self.task.modality])}


def build(options: CaptioningOptions, context: TaskContext) -> Captioning:
    """Build the task on an encoder and a language model.

    Raises:
        ConfigError: the options do not suit the language model.
    """
    (modality,) = (m for m in context.backbones if m != "text")
    writer = context.backbones["text"]
    if writer.width % options.heads:
        raise ConfigError(
            f"task.heads = {options.heads} does not divide the language model's width, "
            f"{writer.width}.",
            hint="Give a number of heads that does.",
        )
    positions: int | None = getattr(writer, "positions", None)
    room = options.prefix_length + options.max_target_length
    if positions is not None and room > positions:
        raise ConfigError(
            f"A prefix of {options.prefix_length} and a caption of {options.max_target_length} "
            f"tokens are more than the {positions} positions of the language model.",
            hint="Lower task.prefix_length or task.max_target_length.",
        )
    return Captioning(modality, context.backbones, options)
