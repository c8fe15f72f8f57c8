"""What is trained, and how fast each layer: from the backbones' layers in depth order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.tuning_choice import Tuning, Tunings
from mmft_core.contracts import Backbone, Task
from mmft_core.engine import kept_weights, lora
from mmft_core.errors import ConfigError, IncompatibleError


def prepare(task: Task, config: EngineConfig) -> None:
    """Make a task's backbones ready for the way they are to be trained.

    Call it once, when their weights are loaded and before anything wraps the task.

    Raises:
        ConfigError: the settings are wrong, or do not suit a backbone.
        IncompatibleError: a backbone cannot be trained so.
    """
    tunings = config.tuning
    tunings.check(task.backbones)
    for modality in task.backbones:
        backbone, tuning = task.backbone(modality), tunings[modality]
        depth = len(list(backbone.layers()))
        if tuning.mode == "last" and tuning.number > depth:
            raise ConfigError(
                f"engine.tune = '{config.tune}' wants more layers than the {modality} backbone's "
                f"{depth}.",
                hint="Give a smaller number, or --tune full.",
            )
        if backbone.quantized:
            _check_quantized(modality, tuning, config)
        if config.gradient_checkpointing:
            backbone.enable_checkpointing()
        if tuning.mode == "lora":
            if config.lora.save == "adapter":
                kept_weights.leave_out(backbone, "engine.lora.save = 'adapter'")
            lora.inject(backbone, config.lora)
        elif backbone.quantized:
            kept_weights.leave_out(backbone, f"The quantized {modality} backbone")
    if config.learns and not _trains(task, tunings):
        raise ConfigError(
            f"engine.tune = '{config.tune}' leaves nothing to train: the task has no parameters of "
            "its own, and the backbone is frozen when training starts.",
            hint="Give --tune full, --tune lora, or --tune last=1.",
        )


def _trains(task: Task, tunings: Tunings) -> bool:
    """Whether anything requires gradients in the first epoch."""
    backbones = {modality: task.backbone(modality) for modality in task.backbones}
    for modality, backbone in backbones.items():
        tuning = tunings[modality]
        if tuning.mode == "lora" or tuning.trained_layers(len(list(backbone.layers())), 0):
            return True
    frozen = {id(p) for backbone in backbones.values() for p in backbone.parameters()}
    return any(id(parameter) not in frozen for parameter in task.parameters())


def _check_quantized(modality: str, tuning: Tuning, config: EngineConfig) -> None:
    if tuning.mode not in ("lora", "head"):
        raise IncompatibleError(
            f"engine.tune = '{config.tune}' cannot train the {modality} backbone, whose weights "
            "are quantized.",
            hint="Give --tune lora or --tune head, or load the weights in full.",
        )
    if tuning.mode == "lora" and config.lora.save == "merged":
        raise IncompatibleError(
            f"The {modality} backbone's weights are quantized, and adapters do not merge "
            "into them without loss.",
            hint="Give --set engine.lora.save=adapter, or load the weights in full.",
        )


def apply(task: Task, tunings: Tunings, epoch: int) -> None:
    """Set which parameters require gradients, and freeze the statistics of frozen layers.

    Call it after `task.train()`, which puts every module into training mode.
    """
    for modality in task.backbones:
        apply_to(task.backbone(modality), tunings[modality], epoch, task.training)


def apply_to(backbone: Backbone, tuning: Tuning, epoch: int, training: bool) -> None:
    """Do this for one backbone."""
    if tuning.mode == "lora":
        lora.train_adapters(backbone, training)
        return
    layers = list(backbone.layers())
    trained = tuning.trained_layers(len(layers), epoch)
    if not trained:
        for part in backbone.children():
            part.eval()  # What has no parameters belongs to no layer: dropout of embeddings.
    for depth, layer in enumerate(layers):
        on = depth >= len(layers) - trained
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
        head_lr: in place of `lr` for the head and for backbones that start from random weights.
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
