"""torchvision's networks with few channels and few blocks, put together as the whole ones are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torch import nn
from torchvision import models
from torchvision.models import resnet
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig


class NarrowResNet(resnet.ResNet):
    """An eighth of the channels behind the first convolution."""

    def _make_layer(self, block: Any, planes: int, *more: Any, **named: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, *more, **named)


def _resnet(block: type[nn.Module]) -> Callable[..., nn.Module]:
    return lambda **more: NarrowResNet(block, [2, 1, 1, 1], **more)  # type: ignore[arg-type]


def _convnext(**more: Any) -> nn.Module:
    widths = (16, 24, 32, 48)
    blocks = [CNBlockConfig(*pair, 1) for pair in zip(widths, (*widths[1:], None), strict=True)]
    return models.ConvNeXt(blocks, stochastic_depth_prob=0.1, **more)


def _efficientnet_v2(**more: Any) -> nn.Module:
    blocks = [
        FusedMBConvConfig(1, 3, 1, 8, 8, 1),
        FusedMBConvConfig(4, 3, 2, 8, 16, 2),
        FusedMBConvConfig(4, 3, 2, 16, 16, 1),
        MBConvConfig(4, 3, 2, 16, 24, 2),
        MBConvConfig(6, 3, 1, 24, 32, 1),
        MBConvConfig(6, 3, 2, 32, 48, 1),
    ]
    return models.EfficientNet(blocks, dropout=0.2, last_channel=64, **more)


def _vit(**more: Any) -> nn.Module:
    return models.VisionTransformer(
        **{"image_size": 224} | more,
        patch_size=16,
        num_layers=3,
        num_heads=2,
        hidden_dim=48,
        mlp_dim=96,
    )


def _swin(**more: Any) -> nn.Module:
    return models.SwinTransformer(
        [4, 4], 12, [1, 1, 2, 1], [1, 2, 2, 4], [7, 7], stochastic_depth_prob=0.2, **more
    )


NARROW: dict[str, Callable[..., nn.Module]] = {
    "resnet18": _resnet(resnet.BasicBlock),
    "resnet34": _resnet(resnet.BasicBlock),
    "resnet50": _resnet(resnet.Bottleneck),
    "resnet101": _resnet(resnet.Bottleneck),
    "resnet152": _resnet(resnet.Bottleneck),
    "convnext_tiny": _convnext,
    "convnext_base": _convnext,
    "efficientnet_v2_s": _efficientnet_v2,
    "vit_b_16": _vit,
    "swin_t": _swin,
}


@contextmanager
def narrow_models(names: Collection[str] = tuple(NARROW)) -> Iterator[None]:
    """While it lasts, networks of these names are narrow."""
    whole = models.get_model

    def get_model(name: str, *, weights: Any = None, **more: Any) -> nn.Module:
        return NARROW[name](**more) if name in names else whole(name, weights=weights, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "get_model", get_model)
        yield
