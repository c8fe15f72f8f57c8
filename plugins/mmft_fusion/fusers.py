"""Ways to fuse modalities: from what each backbone yields to one vector of outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmft_core.contracts import Backbone
from mmft_fusion.encoding import Encoded
from mmft_fusion.options import FusionOptions
from mmft_fusion.resampler import Resampler


@dataclass(frozen=True, slots=True)
class Fused:
    """The result of fusion.

    Attributes:
        outputs: (B, O), float32.
        weights: how much each modality counts, (B,) by modality; each sample's sum to one. Empty
            if they are not weighted.
    """

    outputs: Tensor
    weights: Mapping[str, Tensor] = field(default_factory=dict)


class Fuser(nn.Module, ABC):
    """Fuses modalities of which any may be missing from a sample, but never all."""

    @abstractmethod
    def forward(self, encoded: Mapping[str, Encoded]) -> Fused: ...


class Projections(nn.ModuleDict):
    """A norm and a linear layer for each modality, from its width to a common one."""

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__(
            {m: nn.Sequential(nn.LayerNorm(w), nn.Linear(w, width)) for m, w in widths.items()}
        )

    def project(self, modality: str, features: Tensor) -> Tensor:
        """Project (..., D) to (..., W), in float32."""
        projected: Tensor = self[modality](features.float())
        return projected


class Concatenation(Fuser):
    """All modalities side by side through a perceptron; learned vectors stand for missing ones."""

    def __init__(self, widths: Mapping[str, int], outputs: int, options: FusionOptions) -> None:
        super().__init__()
        self.projections = Projections(widths, options.width)
        self.missing = nn.ParameterDict({m: torch.zeros(options.width) for m in widths})
        self.head = _perceptron(len(widths) * options.width, outputs, options)

    def forward(self, encoded: Mapping[str, Encoded]) -> Fused:
        parts = []
        for modality, one in encoded.items():
            projected = self.projections.project(modality, one.pooled)
            parts.append(torch.where(one.present[:, None], projected, self.missing[modality]))
        return Fused(self.head(torch.cat(parts, dim=1)))


class Gated(Fuser):
    """A sum of the modalities, whose weights depend on all of them.

    After the gated multimodal units of Arevalo et al. (2017), with a softmax over the modalities
    that a sample has, so that the weights can be read as shares.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, options: FusionOptions) -> None:
        super().__init__()
        self.projections = Projections(widths, options.width)
        self.gate = nn.Linear(len(widths) * options.width, len(widths))
        self.head = _perceptron(options.width, outputs, options)

    def forward(self, encoded: Mapping[str, Encoded]) -> Fused:
        present = torch.stack([one.present for one in encoded.values()], dim=1)
        values = torch.stack(
            [self.projections.project(m, one.pooled).tanh() for m, one in encoded.items()], dim=1
        )
        values = values * present.unsqueeze(-1)
        logits = self.gate(values.flatten(1)).masked_fill(~present, -torch.inf)
        weights = logits.softmax(1)
        fused = (weights.unsqueeze(-1) * values).sum(1)
        return Fused(self.head(fused), dict(zip(encoded, weights.unbind(1), strict=True)))


class CrossAttention(Fuser):
    """A few learned queries that attend to the sequences of all modalities.

    Each modality's pooled features stand beside its sequence.
    """

    QUERIES = 8

    def __init__(self, widths: Mapping[str, int], outputs: int, options: FusionOptions) -> None:
        super().__init__()
        width = options.width
        self.projections = Projections(widths, width)
        self.kinds = nn.ParameterDict({m: torch.randn(width) * 0.02 for m in widths})
        self.resampler = Resampler(
            width, self.QUERIES, options.layers, options.heads, options.dropout
        )
        self.head = nn.Linear(width, outputs)

    def forward(self, encoded: Mapping[str, Encoded]) -> Fused:
        tokens, masks = [], []
        for modality, one in encoded.items():
            together, mask = with_pooled(one)
            tokens.append(self.projections.project(modality, together) + self.kinds[modality])
            masks.append(mask & one.present[:, None])
        found = self.resampler(torch.cat(tokens, dim=1), torch.cat(masks, dim=1))
        return Fused(self.head(found.mean(1)))


class Late(Fuser):
    """The mean of the outputs of each modality alone, over those that a sample has."""

    def __init__(self, widths: Mapping[str, int], outputs: int, options: FusionOptions) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                m: nn.Sequential(
                    nn.LayerNorm(w), nn.Dropout(options.dropout), nn.Linear(w, outputs)
                )
                for m, w in widths.items()
            }
        )

    def forward(self, encoded: Mapping[str, Encoded]) -> Fused:
        said = torch.stack([self.heads[m](one.pooled.float()) for m, one in encoded.items()], 1)
        present = torch.stack([one.present for one in encoded.values()], dim=1).unsqueeze(-1)
        return Fused((said * present).sum(1) / present.sum(1))


_WAYS: Mapping[str, type[Concatenation | Gated | CrossAttention | Late]] = {
    "concat": Concatenation,
    "gated": Gated,
    "cross-attention": CrossAttention,
    "late": Late,
}


def build_fuser(backbones: Mapping[str, Backbone], outputs: int, options: FusionOptions) -> Fuser:
    """Build the fuser that the options name.

    Args:
        outputs: O, how many numbers the task needs of each sample.
    """
    widths = {modality: backbone.width for modality, backbone in backbones.items()}
    return _WAYS[options.fusion](widths, outputs, options)


def _perceptron(width: int, outputs: int, options: FusionOptions) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, options.width),
        nn.GELU(),
        nn.Dropout(options.dropout),
        nn.Linear(options.width, outputs),
    )


def with_pooled(one: Encoded) -> tuple[Tensor, Tensor]:
    """The pooled features and the sequence as one, (B, 1 + T, D), and their mask (B, 1 + T)."""
    pooled = one.pooled.unsqueeze(1)
    if one.sequence is None:
        return pooled, torch.ones_like(one.present).unsqueeze(1)
    together = torch.cat([pooled, one.sequence.to(pooled.dtype)], dim=1)
    there = torch.ones(together.shape[:2], dtype=torch.bool, device=together.device)
    if one.mask is not None:
        there[:, 1:] = one.mask
    return together, there
