"""Low-rank adapters (Hu et al., 2021, "LoRA") with PEFT: adding, training, merging.

PEFT wraps each chosen layer: the layer keeps its name, its weight becomes
`NAME.base_layer.weight`, with `NAME.lora_A.default.weight` and `lora_B` beside it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmft_core.config.engine_config import LoraConfig
from mmft_core.contracts import Backbone
from mmft_core.errors import ConfigError, IncompatibleError

if TYPE_CHECKING:
    import peft

# PEFT takes seconds to import, and most runs do without: it is imported where it is used.


def is_adapter(name: str) -> bool:
    """Whether a parameter of that name belongs to an adapter."""
    return any(part.startswith("lora_") for part in name.split("."))


def is_fresh(backbone: Backbone, name: str) -> bool:
    """Whether a parameter belongs to a module that is trained whole beside adapters."""
    return name.startswith(tuple(f"{module}." for module in backbone.fresh))


def without_adapters(name: str) -> str:
    """The name that a base weight has without adapters around it."""
    return name.replace(".base_layer.", ".")


def inject(
    backbone: Backbone, config: LoraConfig, within: Sequence[nn.Module] | None = None
) -> None:
    """Add adapters to the layers of the chosen roles. Initially they change nothing.

    Args:
        within: modules that the layers must be part of; None for the whole backbone.

    Raises:
        ConfigError: the backbone has no layers of such a role.
        IncompatibleError: it has none that can take adapters.
    """
    import peft

    chosen = _chosen(backbone.roles(), config.targets)
    names = [name for name in chosen if not is_fresh(backbone, f"{name}.")]
    if within is not None:
        inside = {id(parameter) for module in within for parameter in module.parameters()}
        names = [n for n in names if id(backbone.get_submodule(n).weight) in inside]
        if not names:
            raise ConfigError(
                "engine.tune = 'lora': the parts that should get adapters have no layers of the "
                f"roles {', '.join(config.targets)}.",
                hint="Give --set 'engine.lora.targets=[\"all\"]', or adapters to other parts.",
            )
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        # PEFT takes a list's names for endings, which may fit other layers as well.
        target_modules="|".join(re.escape(name) for name in names),
    )
    put(backbone, settings)


def _chosen(roles: Mapping[str, Sequence[str]], targets: Sequence[str]) -> list[str]:
    """The names of all layers that adapters are added to."""
    if not roles:
        raise IncompatibleError(
            "engine.tune = 'lora': the backbone has no layers that take adapters.",
            hint="Choose full, head, last=N or gradual.",
        )
    known = (*roles, "all")
    for target in targets:
        if target not in known:
            raise ConfigError(
                f"engine.lora.targets: the backbone has no layers of role '{target}'.",
                hint=f"Its roles are: {', '.join(known)}.",
            )
    return [n for role in roles if "all" in targets or role in targets for n in roles[role]]


def put(backbone: Backbone, settings: peft.LoraConfig, name: str = "default") -> None:
    """Add adapters to the layers that PEFT's settings name.

    Args:
        name: name for these adapters, if the backbone has others already.

    Raises:
        ValueError: there are no such layers.
    """
    import peft

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="peft")  # About the types of layers.
        peft.inject_adapter_in_model(settings, backbone, adapter_name=name)
    for place, module in backbone.named_modules():
        if re.search(r"\.lora_[AB]\.\w+$", place) and isinstance(module, nn.Conv2d):
            base = backbone.get_submodule(place.rpartition(".lora_")[0] + ".base_layer")
            weight = base.weight
            if isinstance(weight, torch.Tensor) and _is_channels_last(weight):
                module.to(memory_format=torch.channels_last)


def _is_channels_last(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


def train_adapters(backbone: Backbone, training: bool) -> None:
    """Train only adapters and fresh modules; freeze the rest, including statistics of norms."""
    backbone.train(training)
    for module in backbone.modules():
        if getattr(module, "running_mean", None) is not None:
            module.eval()
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(is_adapter(name) or is_fresh(backbone, name))


def merge(module: nn.Module) -> None:
    """Merge all adapters into the weights and remove them."""
    for name in adapted_layers(module):
        adapted: Any = module.get_submodule(name)
        adapted.merge()
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, adapted.get_base_layer())
    for part in module.modules():
        vars(part).pop("peft_config", None)


def adapted_layers(module: nn.Module) -> list[str]:
    """The names of the layers that have adapters."""
    return [
        name
        for name, layer in module.named_modules()
        if any(key.startswith("lora_") for key in layer._modules)
    ]


def has_adapters(module: nn.Module) -> bool:
    return bool(adapted_layers(module))


def choose(module: nn.Module, name: str) -> None:
    """Activate the adapters of this name and no others."""
    for place in adapted_layers(module):
        layer: Any = module.get_submodule(place)
        layer.set_adapter(name)
