"""What is trained, and how fast each layer: from the backbones' layers in depth order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from mmft_core.contracts import Backbone, Task
from mmft_core.errors import ConfigError, IncompatibleError, did_you_mean
from mmft_core.planning.config import EngineConfig, LoraConfig
from mmft_core.training import kept_weights, lora

_FORM = re.compile(r"(?P<mode>full|head|last|gradual|lora)(?::(?P<number>[1-9]\d*))?")
_ALONE = ("full", "head", "lora")


@dataclass(frozen=True)
class Tuning:
    """Which of a backbone's layers are trained, at each epoch.

    "gradual" starts with the head alone and adds one layer, the deepest first, every `number`
    epochs (Howard and Ruder, 2018, "Universal Language Model Fine-tuning"). "lora" trains adapters
    on all layers, and none of these themselves.
    """

    mode: Literal["full", "head", "last", "gradual", "lora"] = "full"
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Tuning:
        """Read "full", "head", "last:N", "gradual", "gradual:N" or "lora".

        Raises:
            ConfigError: it is none of these.
        """
        match = _FORM.fullmatch(text)
        number = match["number"] if match else None
        if not match or (match["mode"] in _ALONE and number):
            match = None
        if match is None or (match["mode"] == "last" and number is None):
            raise _invalid(text)
        return cls(match["mode"], int(number or 1))  # type: ignore[arg-type]

    def trained_layers(self, depth: int, epoch: int) -> int:
        """How many of a backbone's last layers are trained in an epoch, which counts from 0."""
        if self.mode == "gradual":
            return min(depth, epoch // self.number)
        return {"full": depth, "last": min(depth, self.number)}.get(self.mode, 0)

    @property
    def changes(self) -> bool:
        """Whether the trained layers change from epoch to epoch."""
        return self.mode == "gradual"


@dataclass(frozen=True)
class Tunings:
    """The tuning of every backbone: one for all, or some modalities their own."""

    shared: Tuning = field(default_factory=Tuning)
    own: Mapping[str, Tuning] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Tunings:
        """Read "head", "image=head,text=lora" (others fully), or "head,text=lora".

        Raises:
            ConfigError: it is none of these.
        """
        own: dict[str, Tuning] = {}
        for entry in text.split(","):
            modality, equals, way = entry.rpartition("=")
            if modality.strip() in own or (equals and not modality.strip()):
                raise _invalid(text)
            own[modality.strip()] = Tuning.parse(way.strip())
        return cls(own.pop("", Tuning()), own)

    @classmethod
    def of(cls, config: EngineConfig, modalities: Iterable[str] | None = None) -> Tunings:
        """Read the settings of a run.

        Args:
            modalities: those of the run's backbones, none of which another may be named.

        Raises:
            ConfigError: they are wrong, or do not go together.
        """
        tunings = cls.parse(config.tune)
        if not tunings.adapts and config.lora != LoraConfig():
            default = LoraConfig()
            names = [n for n, v in vars(config.lora).items() if v != getattr(default, n)]
            raise ConfigError(
                f"engine.lora.{names[0]} is set, but engine.tune = '{config.tune}' uses no "
                "adapters.",
                hint="Give --tune lora, or leave the setting out.",
            )
        known = list(tunings.own if modalities is None else modalities)
        strange = [modality for modality in tunings.own if modality not in known]
        if strange:
            raise ConfigError(
                f"engine.tune = '{config.tune}' names {strange[0]}, of which there is no backbone."
                f"{did_you_mean(strange[0], known)}",
                hint=f"The run's backbones read {', '.join(known)}.",
            )
        return tunings

    def __getitem__(self, modality: str) -> Tuning:
        return self.own.get(modality, self.shared)

    @property
    def changes(self) -> bool:
        """Whether the trained layers of a backbone change from epoch to epoch."""
        return any(tuning.changes for tuning in (self.shared, *self.own.values()))

    @property
    def adapts(self) -> bool:
        """Whether any backbone gets adapters."""
        return any(tuning.mode == "lora" for tuning in (self.shared, *self.own.values()))


def _invalid(text: str) -> ConfigError:
    return ConfigError(
        f"engine.tune = {text!r} is not valid."
        + (" Adapters are not combined with another way." if "lora" in text else ""),
        hint="Give full, head, last:N, gradual, gradual:N or lora; for several backbones also "
        "MODALITY=WAY,MODALITY=WAY.",
    )


def prepare(task: Task, config: EngineConfig) -> None:
    """Make a task's backbones ready for the way they are to be trained.

    Call it once, when their weights are loaded and before anything wraps the task.

    Raises:
        ConfigError: the settings are wrong, or do not suit a backbone.
        IncompatibleError: a backbone cannot be trained so.
    """
    tunings = Tunings.of(config, task.backbones)
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
            kept_weights.leave_out(backbone, f"The {modality} backbone in few bits")


def _check_quantized(modality: str, tuning: Tuning, config: EngineConfig) -> None:
    if tuning.mode not in ("lora", "head"):
        raise IncompatibleError(
            f"engine.tune = '{config.tune}' cannot train the {modality} backbone, whose weights "
            "are held in few bits.",
            hint="Give --tune lora or --tune head, or load the weights in full.",
        )
    if tuning.mode == "lora" and config.lora.save == "merged":
        raise IncompatibleError(
            f"The {modality} backbone's weights are held in few bits, and adapters do not merge "
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
    fresh_lr: float | None = None,
) -> list[dict[str, object]]:
    """Group parameters by learning rate and weight decay, for an optimizer.

    The k-th layer from the top of a backbone learns with `lr * layer_decay**k`, the head with
    `lr`. Parameters of at most one dimension (biases, norms) get no weight decay.

    Args:
        fresh_lr: in place of `lr` for the head and for backbones that start from random weights.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for rate, parameter in _with_rates(task, lr, layer_decay, fresh_lr or lr):
        decay = weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _with_rates(
    task: Task, lr: float, layer_decay: float, fresh_lr: float
) -> Iterator[tuple[float, nn.Parameter]]:
    seen: set[int] = set()
    for modality in task.backbones:
        backbone = task.backbone(modality)
        top = lr if fresh_lr == lr or backbone.loaded.source != "random" else fresh_lr
        layers = list(backbone.layers())
        for depth, layer in enumerate(layers):
            rate = top * layer_decay ** (len(layers) - depth)
            for parameter in layer.parameters():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield rate, parameter
    for parameter in task.parameters():
        if id(parameter) not in seen:
            yield fresh_lr, parameter


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Return (all, trained) numbers of parameters."""
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in counts), sum(n for n, trained in counts if trained)
