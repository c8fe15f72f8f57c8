"""A few samples go through what a run will call, so that a fault shows before training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mmft_core.contracts import Batch, Outputs, Task
from mmft_core.contracts.returned import check_features, check_json, check_prepared, decoded
from mmft_core.engine.evaluation import Evaluation
from mmft_core.engine.loop import Engine
from mmft_core.loading.prepared import PreparedSample, PreparedSplit

_FEW = 2


def rehearse(engine: Engine, split: PreparedSplit) -> Evaluation:
    """Evaluate a few samples, and check what the parts of the run return for them.

    Features and records are checked only here, so that no step gets slower.

    Raises:
        PluginError: a part breaks its contract.
    """
    engine.state.update_eval_model()
    task, few = engine.state.eval_model, split.some(np.arange(min(_FEW, len(split))))
    _prepare(task, few)
    with _watched(task) as seen:
        evaluation = engine.evaluate(few, "rehearsal", examples=1)
    trains = task.training
    task.eval()
    with torch.no_grad():
        for batch, outputs in seen:
            for record in decoded(task, outputs.predictions, len(batch)):
                check_json(task, record)
    task.train(trains)
    return evaluation


def _prepare(task: Task, few: PreparedSplit) -> None:
    """Check what the backbones' processors make of samples; `evaluate` reports bad ones."""
    found = [few[0, index] for index in range(len(few))]
    for sample in (own for own in found if isinstance(own, PreparedSample)):
        for name in task.backbones:
            for modality in sample.inputs.keys() & name.split("+"):
                check_prepared(task.backbone(name), sample.inputs[modality])


@contextmanager
def _watched(task: Task) -> Iterator[list[tuple[Batch, Outputs]]]:
    """Check features as backbones return them; yields the batches and outputs of the task."""
    batches: list[Batch] = []
    seen: list[tuple[Batch, Outputs]] = []

    def check(name: str, module: nn.Module, given: tuple[Any, ...], features: Any) -> None:
        rows = None
        if batches and given and given[0] is batches[-1].inputs.get(name):
            held = batches[-1].present.get(name)
            rows = len(batches[-1]) if held is None else int(held.sum())
        check_features(task.backbone(name), features, rows)

    hooks = [
        task.register_forward_pre_hook(lambda module, given: batches.append(given[0])),
        task.register_forward_hook(lambda module, given, outputs: seen.append((given[0], outputs))),
        *(
            task.backbone(name).register_forward_hook(partial(check, name))
            for name in task.backbones
        ),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
