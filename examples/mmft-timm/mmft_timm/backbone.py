"""timm's networks as backbones, all by the same few lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import timm
import torch
from mmft_core.contracts import BackboneContext, Features, Tensors, called_layers, find_roles
from mmft_core.errors import ConfigError, did_you_mean, first_line
from mmft_core.weights import LoadedWeights
from mmft_vision.parts import ImageBackbone, count_once
from timm.data import resolve_model_data_config
from timm.data.transforms import str_to_interp_mode
from timm.layers import ScaledStdConv2d, StdConv2d
from timm.models import group_parameters
from torch import Tensor, nn

from mmft_timm.options import TimmOptions
from mmft_timm.weights import load

_STANDARDIZED = (StdConv2d, ScaledStdConv2d)
"""Convolutions that change their weights before use, into which no adapter could be merged."""


class TimmBackbone(ImageBackbone):
    """A network of timm without its classifier."""

    def __init__(
        self,
        body: nn.Module,
        size: int,
        options: TimmOptions,
        context: BackboneContext,
        loaded: LoadedWeights,
    ) -> None:
        """Args:
        size: the side of its pictures.
        """
        data = resolve_model_data_config(body)
        super().__init__(
            body,
            options,
            context,
            size=size,
            width=body.head_hidden_size,
            colours=(data["mean"], data["std"]),
            crop=data["crop_pct"],
            interpolation=str_to_interp_mode(data["interpolation"]),
            loaded=loaded,
        )
        self.sequence = "sequence" in context.needs

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"pixels": (B, 3, S, S), 0 to 255}; the sequence is patches or places of a map."""
        found = self.body.forward_features(self.normalized(inputs))
        pooled = self.body.forward_head(found, pre_logits=True)
        if not self.sequence:
            return Features(pooled)
        # Some look at several scales, and have no one map of places.
        single = isinstance(found, Tensor)
        return Features(pooled, self._places(found) if single else pooled[:, None])

    def layers(self) -> Sequence[nn.Module]:
        parts: dict[int, list[nn.Module]] = defaultdict(list)
        _divide(self.body, "", _depths(self.body), parts, set())
        return [nn.ModuleList(parts[depth]) for depth in sorted(parts)]

    def roles(self) -> Mapping[str, Sequence[str]]:
        """Whatever network it is: what a pass through it calls tells."""
        modules = dict(self.named_modules())
        roles = {
            role: [name for name in names if not isinstance(modules[name], _STANDARDIZED)]
            for role, names in find_roles(self).items()
        }
        return called_layers(self, roles, self.encode_blank)

    def encode_blank(self) -> Features:
        """Encode a black picture, to see what becomes of it."""
        side = self.processor.size
        return self.encode({"pixels": torch.zeros(1, 3, side, side, device=self.mean.device)})

    def enable_checkpointing(self) -> None:
        try:
            self.body.set_grad_checkpointing(True)
        except (AssertionError, AttributeError):  # By these timm says that a network cannot.
            super().enable_checkpointing()
        count_once(self.body)

    def _places(self, found: Tensor) -> Tensor:
        """What was found at each place, or for each patch: (B, T, D)."""
        if found.ndim == 3:
            return found[:, getattr(self.body, "num_prefix_tokens", 0) :]
        last = found.shape[1] != self.body.num_features  # Where channels are.
        places = found.flatten(1, 2) if last else found.flatten(2).transpose(1, 2)
        if self.width == self.body.num_features:
            return places
        # The head widens what was pooled; it does the same to each place, as a map of one pixel.
        single = places.flatten(0, 1)
        single = single[:, None, None] if last else single[:, :, None, None]
        return self.body.forward_head(single, pre_logits=True).unflatten(0, places.shape[:2])


def build(options: TimmOptions, context: BackboneContext) -> TimmBackbone:
    """Raises:
    ConfigError: timm has no such network, or not for pictures of that size.
    WeightsError: weights were insisted on and cannot be had, or do not fit.
    """
    name = options.model
    _check(name)
    published = timm.get_pretrained_cfg(name)
    size = options.image_size or published.input_size[-1]
    sized = {"img_size": size} if published.fixed_input_size else {}
    try:
        body = timm.create_model(name, num_classes=0, **sized)
        loaded = load(body, name, sized, context.weights)
        backbone = TimmBackbone(body, size, options, context, loaded)
        if not backbone.mean.is_meta:
            with torch.no_grad():
                backbone.eval().encode_blank()
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"backbone.image.model = '{name}' takes no pictures of {size} pixels: "
            f"{first_line(error) or type(error).__name__}.",
            hint=f"Its weights are published for {published.input_size[-1]}.",
        ) from error
    return backbone.train()


def _check(name: str) -> None:
    """Raises:
    ConfigError: timm knows no such network.
    """
    known = timm.list_models()
    if "." in name:
        known = timm.list_pretrained()
    if name not in known:
        raise ConfigError(
            f"backbone.image.model = '{name}' is no network of timm {timm.__version__}."
            f"{did_you_mean(name, known)}",
            hint="`python -c 'import timm; print(*timm.list_models())'` lists them.",
        )


def _depths(body: nn.Module) -> dict[str, int]:
    """The depth of each parameter by its name: timm's, or else its place among the children."""
    if hasattr(body, "group_matcher"):
        return group_parameters(body, body.group_matcher(), reverse=True)
    children = [name for name, _ in body.named_children()]
    names = [name for name, _ in body.named_parameters()]
    places = {name: name.partition(".")[0] for name in names}
    return {n: children.index(c) if c in children else -1 for n, c in places.items()}


def _divide(
    module: nn.Module,
    prefix: str,
    depths: Mapping[str, int],
    parts: dict[int, list[nn.Module]],
    seen: set[nn.Parameter],
) -> None:
    """Give every depth the largest modules whose parameters all belong to it, and to no other."""
    parameters = {prefix + name: parameter for name, parameter in module.named_parameters()}
    below = {depths[name] for name in parameters if name in depths}
    if len(below) == 1 and seen.isdisjoint(parameters.values()):
        seen.update(parameters.values())
        parts[below.pop()].append(module)
        return
    for name, parameter in module.named_parameters(recurse=False):
        if prefix + name in depths and parameter not in seen:
            seen.add(parameter)
            parts[depths[prefix + name]].append(nn.ParameterList([parameter]))
    for name, child in module.named_children():
        _divide(child, f"{prefix}{name}.", depths, parts, seen)
