"""A whole training agrees with the Hugging Face Trainer's, step by step."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmft_core import discover
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import nest
from mmft_core.contracts import Batch, Task
from mmft_core.data.splits import Subset
from mmft_core.engine.device import make_accelerator
from mmft_core.engine.loop import Engine
from mmft_core.engine.monitor import choose_monitor
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.run.build import build_dataset, build_task
from tests.engine.toy import Recorder

STEPS = 50
SETTINGS = {
    "task": "text-cls",
    "task.dropout": 0.0,
    "backbone.text.name": "bert-base",
    "backbone.text.weights": "none",
    "backbone.text.size": "tiny",
    "backbone.text.vocabulary": 500,
    "backbone.text.max_length": 48,
    "dataset.samples": 1300,
    "engine.steps": STEPS,
    "engine.batch_size": 16,
    "engine.lr": 5e-4,
    "engine.weight_decay": 0.01,
    "engine.schedule": "linear",
    "engine.warmup": 0.0,
    "engine.precision": "fp32",
    "engine.workers": 0,
    "engine.device": "cpu",
}


class Taught(nn.Module):
    """The task as the Trainer wants it: tensors by name in, the loss out."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, tokens: Tensor, mask: Tensor, classes: Tensor) -> dict[str, Tensor]:
        inputs = {"text": {"tokens": tokens, "mask": mask}}
        loss = self.task(Batch(inputs, classes, [""] * len(tokens))).loss
        assert loss is not None
        return {"loss": loss}


def trainers_losses(task: Task, data: PreparedSplit, keys: list, output: Path) -> list[float]:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    losses: list[float] = []

    class Listen(TrainerCallback):
        def on_log(self, *_: Any, logs: dict, **__: Any) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return range(len(keys))

    class Keyed(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(keys)

        def __getitem__(self, index: int) -> Any:
            return data[keys[index]]

    def collate(samples: list) -> dict[str, Tensor]:
        batch = data.collate(samples).batch
        assert batch is not None
        return {**batch.inputs["text"], "classes": batch.targets}

    arguments = TrainingArguments(
        str(output),
        per_device_train_batch_size=16,
        max_steps=STEPS,
        learning_rate=5e-4,
        weight_decay=0.01,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
    )
    InOrder(
        model=Taught(task),
        args=arguments,
        train_dataset=Keyed(),
        data_collator=collate,
        callbacks=[Listen()],
    ).train()
    return losses


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_networks")
def test_the_losses_of_fifty_steps_are_the_trainers(tmp_path: Path) -> None:
    registry = discover()
    plan = make_plan(nest(SETTINGS), registry)
    dataset = build_dataset(plan)
    task = build_task(plan, dataset, print)
    for module in task.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # Each draws it from generators of its own.
    twin = copy.deepcopy(task)
    # Whole batches of 16 only, for the Trainer does not cut evenly as mmft does.
    train = Subset(dataset.splits["train"], np.arange(16 * STEPS))
    data = PreparedSplit(train, task.processors, task.codec, train=True)
    callback = Recorder()
    engine = Engine(
        task,
        data,
        None,
        plan,
        metrics={},
        monitor=choose_monitor(plan),
        accelerator=make_accelerator(plan.engine),
        folder=tmp_path / "checkpoints",
        callback=callback,
    )
    keys = [
        key for s in range(STEPS) for part in engine.batch_sampler.micro_batches(s) for key in part
    ]
    engine.fit()
    ours = [step.loss for step in callback.steps]
    theirs = trainers_losses(twin, data, keys, tmp_path / "trainer")
    assert len(ours) == len(theirs) == STEPS
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-4
    assert ours[-1] < ours[0]
