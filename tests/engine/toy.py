"""A task, a backbone and data small enough to train in milliseconds, through the real contracts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmft_classification.metrics import build_accuracy
from mmft_classification.task import Classification
from mmft_core import discover
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import convert
from mmft_core.config.plan import PlanPart, Recipe
from mmft_core.contracts import (
    Backbone,
    DatasetInfo,
    Features,
    MetricContext,
    Processor,
    Sample,
    Split,
    Tensors,
)
from mmft_core.contracts.callbacks import Callback
from mmft_core.engine.device import make_accelerator
from mmft_core.engine.loop import Engine
from mmft_core.engine.monitor import Monitor
from mmft_core.engine.tuning import prepare
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.registry import NoOptions
from mmft_core.specs import OptimizerSpec, ScheduleSpec
from mmft_core.weights import LoadedWeights

CLASSES = ("left", "right")
REGISTRY = discover()
OPTIMIZERS = [
    component.name
    for component in REGISTRY.of(OptimizerSpec)
    if not component.missing_extras() and not component.name.startswith("paged-")
]
"""Those that are installed and work on a CPU."""
SCHEDULES = [component.name for component in REGISTRY.of(ScheduleSpec)]


class Points(Split):
    """Points in the plane, classified by the sign of their first coordinate."""

    def __init__(self, size: int, seed: int, poison: int | None = None) -> None:
        self.points = np.random.default_rng(seed).normal(size=(size, 2)).astype(np.float32)
        self.poison = poison

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Sample:
        point = self.points[index]
        if index == self.poison:
            point = np.full(2, np.inf, dtype=np.float32)
        return Sample({"point": point}, CLASSES[int(self.points[index, 0] > 0)], f"point {index}")


class Jitter(Processor):
    """Adds noise in training, from the generators that the engine seeds."""

    def prepare(self, raw: Any, *, train: bool) -> Tensors:
        noise = 0.05 * torch.randn(2) if train else torch.zeros(2)
        return {"values": torch.from_numpy(np.asarray(raw)) + noise}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        return {"values": torch.stack([item["values"] for item in items])}


class Layered(Backbone):
    """Three layers with batch norm and dropout, so that statistics and draws matter."""

    width = 8
    loaded = LoadedWeights(source="random")

    def __init__(self) -> None:
        super().__init__()
        self.processor = Jitter()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(a, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1))
            for a in (2, 8, 8)
        )

    def encode(self, inputs: Tensors) -> Features:
        x: Tensor = inputs["values"]
        for block in self.blocks:
            x = block(x)
        return Features(x)

    def layers(self) -> Sequence[nn.Module]:
        return list(self.blocks)


class Recorder(Callback):
    """Keeps all that it hears."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.evaluations: list[Any] = []
        self.remarks: list[str] = []

    def on_step(self, event: Any) -> None:
        self.steps.append(event)

    def on_evaluation(self, event: Any) -> None:
        self.evaluations.append(event)

    def on_message(self, text: str) -> None:
        self.remarks.append(text)


def recipe(config: EngineConfig, **options: Any) -> Recipe:
    """What an engine is given: the settings, with the parts that they name.

    Args:
        options: of the optimizer.
    """
    optimizer = REGISTRY.get(OptimizerSpec, config.optimizer)
    schedule = REGISTRY.get(ScheduleSpec, config.schedule)
    return Recipe(
        engine=config,
        optimizer=PlanPart(
            component=optimizer, options=convert(options, optimizer.options_type(), "optimizer")
        ),
        schedule=PlanPart(component=schedule, options=schedule.options_type()()),
    )


def make_engine(
    folder: Path,
    config: EngineConfig,
    *,
    callback: Callback | None = None,
    poison: int | None = None,
    samples: int = 50,
    monitor: str = "accuracy",
    val: bool = True,
) -> Engine:
    """An engine on the toy task, the same for the same configuration."""
    torch.manual_seed(config.seed)
    task = Classification("point", Layered(), CLASSES)
    prepare(task, config)
    info = DatasetInfo(name="points", classes=CLASSES)
    processors = {"point": task.backbone("point").processor}
    return Engine(
        task,
        PreparedSplit(
            Points(samples, 1, poison), processors, task.codec, train=True, seed=config.seed
        ),
        PreparedSplit(Points(40, 2), processors, task.codec, train=False) if val else None,
        recipe(config),
        metrics={"accuracy": build_accuracy(NoOptions(), MetricContext(info=info))},
        monitor=Monitor(name=monitor, higher_is_better=monitor != "loss"),
        accelerator=make_accelerator(config),
        folder=folder,
        callback=callback or Recorder(),
    )


def weights(engine: Engine) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in engine.state.eval_model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
