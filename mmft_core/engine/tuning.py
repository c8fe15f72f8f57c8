"""Which layers are trained and with which learning rates, from the backbones' layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.tuning_choice import Tuning, Tunings
from mmft_core.contracts import Backbone, Task
from mmft_core.engine import kept_weights, lora
from mmft_core.errors import ConfigError, IncompatibleError


def prepare(task: Task, config: EngineConfig) -> None:
    """Prepare a task's backbones for how they will be trained.

    Call it once, after their weights are loaded and before anything wraps the task.

    Raises:
        ConfigError: the settings are wrong, or do not suit a backbone.
        IncompatibleError: a backbone cannot be trained in this way.
    """
    tunings = config.tuning
    parts = [part for modality in task.backbones for part in task.backbone(modality).parts()]
    tunings.check(task.backbones, parts)
    for modality in task.backbones:
        backbone = task.backbone(modality)
        groups = tuned(backbone, modality, tunings)
        for group in groups:
            _check_group(group, modality, backbone, config)
        if any(group.tuning.mode == "lora" for group in groups) and config.lora.save == "adapter":
            _check_adapters_alone(groups, config)
            kept_weights.leave_out(backbone, "engine.lora.save = 'adapter'")
        change_layers(backbone, groups, config)
    if config.learns and not _trains(task, tunings):
        raise ConfigError(
            f"engine.tune = '{config.tune}' leaves nothing to train: the task has no parameters of "
            "its own, and the backbone is frozen when training starts.",
            hint="Give --tune full, --tune lora, or --tune last=1.",
        )


@dataclass(frozen=True)
class TunedLayers:
    """Layers of a backbone, in depth order, that are tuned in the same way.

    Attributes:
        part: the name of their part; "" for the whole backbone.
    """

    part: str
    tuning: Tuning
    layers: Sequence[nn.Module]


def tuned(backbone: Backbone, modality: str, tunings: Tunings) -> list[TunedLayers]:
    """How a backbone is tuned: as a whole, or each of its parts if any is named."""
    parts = backbone.parts()
    if tunings.own.keys() & parts.keys():
        return [
            TunedLayers(part, tunings.of_part(modality, part), list(own))
            for part, own in parts.items()
        ]
    return [TunedLayers("", tunings[modality], list(backbone.layers()))]


def change_layers(backbone: Backbone, groups: Sequence[TunedLayers], config: EngineConfig) -> None:
    """Turn on gradient checkpointing and add adapters, where the settings ask for them.

    Raises:
        ConfigError, IncompatibleError: the backbone cannot have them.
    """
    if config.gradient_checkpointing:
        backbone.enable_checkpointing()
    if any(group.tuning.mode == "lora" for group in groups):
        put_adapters(backbone, groups, config)


def put_adapters(backbone: Backbone, groups: Sequence[TunedLayers], config: EngineConfig) -> None:
    """Add adapters to all layers, or to those of the parts that are tuned with LoRA.

    Raises:
        ConfigError, IncompatibleError: there are no layers that can take them.
    """
    adapted = [group for group in groups if group.tuning.mode == "lora"]
    within = None if len(adapted) == len(groups) else [m for group in adapted for m in group.layers]
    lora.inject(backbone, config.lora, within)


def _check_group(
    group: TunedLayers, modality: str, backbone: Backbone, config: EngineConfig
) -> None:
    what = f"{group.part} part of the {modality} backbone" if group.part else f"{modality} backbone"
    if group.tuning.mode == "last" and group.tuning.number > len(group.layers):
        raise ConfigError(
            f"engine.tune = '{config.tune}' asks for more layers than the {len(group.layers)} of "
            f"the {what}.",
            hint="Give a smaller number, or --tune full.",
        )
    if backbone.quantized:
        _check_quantized(what, group.tuning, config)


def _check_adapters_alone(groups: Sequence[TunedLayers], config: EngineConfig) -> None:
    """Check that only adapters are trained if only adapters are saved."""
    for group in groups:
        if group.tuning.mode not in ("lora", "head"):
            raise IncompatibleError(
                f"engine.lora.save = 'adapter' saves only adapters, but engine.tune = "
                f"'{config.tune}' trains the weights of the {group.part} as well.",
                hint="Give --set engine.lora.save=merged, or adapters to the other parts, too.",
            )


def _trains(task: Task, tunings: Tunings) -> bool:
    """Whether anything requires gradients in the first epoch."""
    backbones = {modality: task.backbone(modality) for modality in task.backbones}
    for modality, backbone in backbones.items():
        for group in tuned(backbone, modality, tunings):
            if group.tuning.mode == "lora" or group.tuning.trained_layers(len(group.layers), 0):
                return True
    frozen = {id(p) for backbone in backbones.values() for p in backbone.parameters()}
    return any(id(parameter) not in frozen for parameter in task.parameters())


def _check_quantized(what: str, tuning: Tuning, config: EngineConfig) -> None:
    if tuning.mode not in ("lora", "head"):
        raise IncompatibleError(
            f"engine.tune = '{config.tune}' cannot train the {what}, whose weights are quantized.",
            hint="Give --tune lora or --tune head, or load the weights in full.",
        )
    if tuning.mode == "lora" and config.lora.save == "merged":
        raise IncompatibleError(
            f"The weights of the {what} are quantized, and adapters cannot be merged into them "
            "without loss.",
            hint="Give --set engine.lora.save=adapter, or load the weights in full.",
        )


def apply(task: Task, tunings: Tunings, epoch: int) -> None:
    """Set which parameters require gradients, and freeze the statistics of frozen layers.

    Call it after `task.train()`, which puts every module into training mode.
    """
    for modality in task.backbones:
        backbone = task.backbone(modality)
        apply_to(backbone, tuned(backbone, modality, tunings), epoch, task.training)


def apply_to(backbone: Backbone, groups: Sequence[TunedLayers], epoch: int, training: bool) -> None:
    """Do what `apply` does for one backbone."""
    if any(group.tuning.mode == "lora" for group in groups):
        lora.train_adapters(backbone, training)
    for group in groups:
        if group.tuning.mode == "lora":
            continue
        trained = group.tuning.trained_layers(len(group.layers), epoch)
        if not trained and not group.part:
            for part in backbone.children():
                part.eval()  # What has no parameters belongs to no layer: dropout of embeddings.
        for depth, layer in enumerate(group.layers):
            on = depth >= len(group.layers) - trained
            layer.requires_grad_(on)
            layer.train(on and training)


def parameter_groups(
    task: Task,
    lr: float,
    weight_decay: float,
    layer_decay: float,
    head_lr: float | None = None,
) -> list[dict[str, Any]]:
    """Group parameters by learning rate and weight decay, for an optimizer.

    The k-th layer from the top of a backbone learns with `lr * layer_decay**k`, the head with
    `lr`. Parameters of at most one dimension (biases, norms) get no weight decay.

    Args:
        head_lr: replaces `lr` for the head and for backbones that start from random weights.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for rate, parameter in _with_rates(task, lr, layer_decay, head_lr or lr):
        decay = weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _with_rates(
    task: Task, lr: float, layer_decay: float, head_lr: float
) -> Iterator[tuple[float, nn.Parameter]]:
    seen: set[int] = set()
    for modality in task.backbones:
        backbone = task.backbone(modality)
        top = lr if head_lr == lr or backbone.loaded.source != "random" else head_lr
        layers = list(backbone.layers())
        for depth, layer in enumerate(layers):
            rate = top * layer_decay ** (len(layers) - depth)
            for parameter in layer.parameters():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield rate, parameter
    for parameter in task.parameters():
        if id(parameter) not in seen:
            yield head_lr, parameter


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Return (all, trained) numbers of parameters."""
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in counts), sum(n for n, trained in counts if trained)
