"""torchvision's networks as backbones, each family by one small recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision.models as zoo
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.vision_transformer import interpolate_embeddings

from mmft_core.contracts import AdapterBase, BackboneContext, Features, Tensors
from mmft_core.errors import ConfigError, WeightsError
from mmft_core.weights import LoadedWeights, StateDict, ensure_reachable
from mmft_vision.attention import WindowAttention, call_projections
from mmft_vision.image_backbone import ImageBackbone
from mmft_vision.options import ImageBackboneOptions
from mmft_vision.recomputed import recompute


@dataclass(frozen=True)
class Recipe:
    """What has to be known about a family of networks.

    Attributes:
        head: names of the submodules that only serve the published classifier.
        layers: the rest in order of depth; each entry lists the modules of one layer.
        tokens: runs the network up to (pooled (B, D), sequence (B, T, D)).
        blocks: names of the sequences that hold the blocks.
        sized: whether the network is built for one picture size.
        arguments: for torchvision's builder.
    """

    head: tuple[str, ...]
    layers: Callable[[Any], list[list[nn.Module]]]
    tokens: Callable[[Any, Tensor], tuple[Tensor, Tensor]]
    blocks: tuple[str, ...] = ("features",)
    sized: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


class TorchvisionBackbone(ImageBackbone):
    """A network of torchvision without its classifier."""

    def __init__(
        self,
        name: str,
        body: nn.Module,
        recipe: Recipe,
        options: ImageBackboneOptions,
        context: BackboneContext,
    ) -> None:
        """Args:
        name: torchvision's name of the network.
        """
        for head in recipe.head:
            parent, _, child = head.rpartition(".")
            setattr(body.get_submodule(parent), child, nn.Identity())
        loaded = context.weights.load(
            body,
            published=lambda: _published(name, recipe, options.image_size),
            head=tuple(f"{h}." for h in recipe.head),
        )
        super().__init__(body, options, context, width=_width(body), loaded=loaded)
        self.name, self.recipe = name, recipe

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"pixels": (B, 3, S, S), 0 to 255}; the sequence is the grid of positions."""
        return Features(*self.recipe.tokens(self.body, self.normalized(inputs)))

    def layers(self) -> Sequence[nn.Module]:
        return [nn.ModuleList(parts) for parts in self.recipe.layers(self.body)]

    def enable_checkpointing(self) -> None:
        recompute(self.body, self.recipe.blocks)

    def adapter_base(self) -> AdapterBase:
        return AdapterBase(code=_code(self.name, self.recipe, self.loaded, self.processor.size))


def _grid(feature_map: Tensor) -> tuple[Tensor, Tensor]:
    """Pool and flatten a map (B, D, H, W)."""
    return feature_map.mean((2, 3)), feature_map.flatten(2).transpose(1, 2)


def _resnet_tokens(body: zoo.ResNet, x: Tensor) -> tuple[Tensor, Tensor]:
    x = body.maxpool(body.relu(body.bn1(body.conv1(x))))
    return _grid(body.layer4(body.layer3(body.layer2(body.layer1(x)))))


def _convnext_tokens(body: zoo.ConvNeXt, x: Tensor) -> tuple[Tensor, Tensor]:
    x = body.features(x)
    pooled = body.classifier[0](body.avgpool(x)).flatten(1)
    return pooled, _grid(x)[1]


def _vit_tokens(body: zoo.VisionTransformer, x: Tensor) -> tuple[Tensor, Tensor]:
    x = body._process_input(x)
    x = torch.cat([body.class_token.expand(x.shape[0], -1, -1), x], 1)
    x = body.encoder(x)
    return x[:, 0], x[:, 1:]


def _vit_layers(body: zoo.VisionTransformer) -> list[list[nn.Module]]:
    loose = nn.ParameterList([body.class_token, body.encoder.pos_embedding])
    *blocks, last = body.encoder.layers
    return [[body.conv_proj, loose], *([block] for block in blocks), [last, body.encoder.ln]]


def _swin_tokens(body: zoo.SwinTransformer, x: Tensor) -> tuple[Tensor, Tensor]:
    sequence = body.norm(body.features(x)).flatten(1, 2)
    return sequence.mean(1), sequence


def _feature_layers(body: Any, *last: nn.Module) -> list[list[nn.Module]]:
    *blocks, top = body.features
    return [*([block] for block in blocks), [top, *last]]


RESNET = Recipe(
    head=("fc",),
    layers=lambda b: [[b.conv1, b.bn1], [b.layer1], [b.layer2], [b.layer3], [b.layer4]],
    tokens=_resnet_tokens,
    blocks=("layer1", "layer2", "layer3", "layer4"),
)
CONVNEXT = Recipe(
    head=("classifier.2",),
    layers=lambda b: _feature_layers(b, b.classifier[0]),
    tokens=_convnext_tokens,
)
FEATURES = Recipe(
    head=("classifier",), layers=_feature_layers, tokens=lambda b, x: _grid(b.features(x))
)
VIT = Recipe(
    head=("heads",), layers=_vit_layers, tokens=_vit_tokens, blocks=("encoder.layers",), sized=True
)
SWIN = Recipe(
    head=("head",),
    layers=lambda b: _feature_layers(b, b.norm),
    tokens=_swin_tokens,
    arguments={"block": partial(SwinTransformerBlock, attn_layer=WindowAttention)},
)


def _width(body: nn.Module) -> int:
    """The width of the features: the input width of the removed classifier."""
    for module in reversed(list(body.modules())):
        if isinstance(module, nn.Conv2d):
            return module.out_channels
        if isinstance(module, nn.LayerNorm):
            return int(module.normalized_shape[0])
    raise AssertionError("no layer that tells the width")


def _builder(name: str, recipe: Recipe) -> Callable[..., TorchvisionBackbone]:
    """Make the `build` of one network, named as torchvision names it."""

    def build(options: ImageBackboneOptions, context: BackboneContext) -> TorchvisionBackbone:
        sized = {"image_size": options.image_size} if recipe.sized else {}
        if recipe.sized and options.image_size % 16:
            raise ConfigError(
                f"backbone.image_size = {options.image_size} is not a multiple of 16, "
                f"the side of {name}'s patches."
            )
        body = zoo.get_model(name, weights=None, **sized, **recipe.arguments)
        call_projections(body)
        return TorchvisionBackbone(name, body, recipe, options, context)

    return build


def _code(name: str, recipe: Recipe, loaded: LoadedWeights, size: int) -> str:
    """Python code that makes the network with its weights; empty if others cannot load these."""
    imports, after = ["from torchvision.models import get_model"], []
    arguments = repr(name)
    if recipe.sized and size != 224:
        arguments += f", image_size={size}"
    if loaded.source == "published" and (not recipe.sized or size == 224):
        arguments += ', weights="DEFAULT"'
    elif loaded.source.endswith(".safetensors"):
        imports.insert(0, "from safetensors.torch import load_file")
        after = ["base.load_state_dict(load_file({weights!r}), strict=False)"]
    else:
        return ""
    if recipe is SWIN:
        imports = [_IGNORED, "from mmft_vision.backbones import SWIN", *imports]
        arguments += ", **SWIN.arguments"
    elif recipe is VIT:
        imports = [_IGNORED, "from mmft_vision.attention import call_projections", *imports]
        after.append("call_projections(base)")
    return "\n".join([*imports, "", f"base = get_model({arguments})", *after])


_IGNORED = "# torchvision's own attention reads its layers' weights, so adapters would be ignored."


def _published(name: str, recipe: Recipe, image_size: int) -> tuple[StateDict, str]:
    """Load torchvision's default weights, from its cache or by download.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    weights: WeightsEnum = zoo.get_model_weights(name).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not cached.exists():
        ensure_reachable(weights.url)
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{weights.url} cannot be loaded: {error}.") from None
    if recipe.sized and image_size != 224:
        state = interpolate_embeddings(image_size, 16, state)
    return state, f"torchvision {weights}"


build_resnet18 = _builder("resnet18", RESNET)
build_resnet34 = _builder("resnet34", RESNET)
build_resnet50 = _builder("resnet50", RESNET)
build_resnet101 = _builder("resnet101", RESNET)
build_resnet152 = _builder("resnet152", RESNET)
build_convnext_tiny = _builder("convnext_tiny", CONVNEXT)
build_convnext_base = _builder("convnext_base", CONVNEXT)
build_efficientnet_b0 = _builder("efficientnet_b0", FEATURES)
build_efficientnet_v2_s = _builder("efficientnet_v2_s", FEATURES)
build_mobilenet_v3_large = _builder("mobilenet_v3_large", FEATURES)
build_vit_b_16 = _builder("vit_b_16", VIT)
build_swin_t = _builder("swin_t", SWIN)
