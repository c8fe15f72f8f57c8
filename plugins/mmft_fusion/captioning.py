"""Captions: a text for a picture or a recording, by whatever backbone writes after vectors.

What the encoder sees becomes a prefix of the text, as if it were words (Mokady, Hertz and Bermano,
2021, "ClipCap: CLIP Prefix for Image Captioning").
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmft_text.written import Written
from torch import nn

from mmft_core.contracts import Backbone, Batch, Generator, Processor, TaskContext, Tensors
from mmft_core.errors import ConfigError
from mmft_fusion.encoding import Encoded
from mmft_fusion.fusers import with_pooled
from mmft_fusion.options import CaptioningOptions
from mmft_fusion.resampler import Resampler


class Captioning(Written):
    """An encoder of any modality, and a language model that goes on from what it yields."""

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
        self.projection = nn.Sequential(
            nn.LayerNorm(reader.width), nn.Linear(reader.width, writer.width)
        )
        self.resampler = Resampler(
            writer.width, options.prefix_length, options.layers, options.heads, options.dropout
        )

    @property
    def processors(self) -> dict[str, Processor]:
        return {self.modality: self.backbone(self.modality).processor}

    def source(self, batch: Batch) -> Tensors:
        """Give {"prefix": (B, P, D)}."""
        features = self.backbone(self.modality)(batch.inputs[self.modality])
        there = torch.ones(len(batch), dtype=torch.bool, device=features.pooled.device)
        seen, mask = with_pooled(Encoded(features.pooled, features.sequence, features.mask, there))
        with torch.autocast(seen.device.type, enabled=False):
            return {"prefix": self.resampler(self.projection(seen.float()), mask)}


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
