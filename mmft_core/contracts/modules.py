"""Any torch module as a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmft_core.contracts.backbones import Backbone, Features


class ModuleBackbone(Backbone):
    """A backbone around any network, with everything that follows from the network alone.

    The reusable backbones of one modality (`mmft_vision.parts.ImageBackbone`,
    `mmft_text.parts.TextBackbone`, `mmft_audio.parts.AudioBackbone`) are built on it.

    Attributes:
        body: the network; its parameter names are those of the published network.
    """

    published = "body"

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def layers(self) -> Sequence[nn.Module]:
        """The direct submodules of the body in the order of their registration.

        Each module of a `ModuleList` is a layer; parameters of the body itself, and modules after
        a list (a final norm), belong to the layer before them. Override it if the order of
        registration is not the depth order.
        """
        return _layers(self.body)

    @torch.no_grad()
    def measured_width(self, *example: Tensor) -> int:
        """The width of the features that the body computes from an example batch."""
        training = self.body.training
        found = as_features(self.body.eval()(*example))
        self.body.train(training)
        return found.pooled.shape[-1]


def as_features(output: Any, mask: Tensor | None = None) -> Features:
    """The output of a network as features.

    Args:
        output: `Features`; pooled features (B, D); or a sequence (B, T, D) or a map (B, D, H, W),
            which is averaged.
        mask: (B, T) bool, False for padding in a sequence; None if there is no padding.

    Raises:
        TypeError: the output is none of these.
    """
    if isinstance(output, Features):
        return output
    if isinstance(output, Tensor) and output.ndim == 2:
        return Features(output)
    if isinstance(output, Tensor) and output.ndim == 3:
        pooled = output.mean(1) if mask is None else masked_mean(output, mask)
        return Features(pooled, output, mask)
    if isinstance(output, Tensor) and output.ndim == 4:
        return Features(output.mean((2, 3)), output.flatten(2).transpose(1, 2))
    found = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
    raise TypeError(
        f"the network returns {found}: expected (B, D), (B, T, D), (B, D, H, W) or Features"
    )


def masked_mean(sequence: Tensor, mask: Tensor) -> Tensor:
    """The mean of a sequence (B, T, D) where the mask (B, T) is True."""
    weights = mask.unsqueeze(-1).to(sequence.dtype)
    return (sequence * weights).sum(1) / weights.sum(1).clamp(min=1)


def _layers(body: nn.Module) -> list[nn.Module]:
    layers: list[list[nn.Module]] = [[]]
    loose = list(body.parameters(recurse=False))
    if loose:
        layers[0].append(nn.ParameterList(loose))
    listed = False
    for child in body.children():
        if isinstance(child, nn.ModuleList):
            layers += [[block] for block in child]
            listed = True
        elif listed or not list(child.parameters()):
            layers[-1].append(child)
        else:
            layers.append([child])
    return [nn.ModuleList(parts) for parts in layers if parts]
