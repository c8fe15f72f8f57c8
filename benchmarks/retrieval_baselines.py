"""What a training for image retrieval brought: against the same network untrained, and pixels.

    python benchmarks/retrieval_baselines.py runs/NAME

Judges on the run's test split (or val) the trained model, the network that the run started from
with its seed and random weights, and the pictures' own pixels as the network would get them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmft_core import artifacts
from mmft_core.contracts import Batch, Dataset, Task
from mmft_core.data import PreparedSplit, batches, evaluation_loader
from mmft_core.discovery import discover
from mmft_core.parts import build_dataset, build_metrics, build_task
from mmft_core.plan import Plan, resolve
from mmft_core.run_directory import RunDirectory

Embed = Callable[[Batch], Tensor]


def main(run: Path) -> None:
    registry = discover()
    plan = resolve(RunDirectory(run).open(), registry)
    dataset = build_dataset(plan)
    trained = artifacts.load(run, registry).task
    untrained = build_task(_from_random_weights(plan), dataset, say=print).eval()
    rows = {
        "trained": _judge(plan, dataset, trained, lambda batch: trained(batch).predictions),
        "untrained": _judge(plan, dataset, untrained, lambda batch: untrained(batch).predictions),
        "pixels": _judge(plan, dataset, trained, _pixels),
    }
    names = list(rows["trained"])
    print(f"{'':12}" + "".join(f"{name:>26}" for name in names))
    for title, figures in rows.items():
        print(f"{title:12}" + "".join(f"{figures[name]:26.4f}" for name in names))


def _from_random_weights(plan: Plan) -> Plan:
    parts = {m: replace(part, weights="none") for m, part in plan.backbones.items()}
    return replace(plan, backbones=parts)


def _pixels(batch: Batch) -> Tensor:
    pixels = batch.inputs["image"]["pixels"].float().flatten(1)
    return F.normalize(pixels - pixels.mean(1, keepdim=True), dim=-1)


@torch.no_grad()
def _judge(plan: Plan, dataset: Dataset, task: Task, embed: Embed) -> Mapping[str, float]:
    metrics = build_metrics(plan.metrics, dataset.info)
    split = dataset.splits.get("test") or dataset.splits["val"]
    data = PreparedSplit(split, task.processors, task.codec, train=False)
    for batch in batches(evaluation_loader(data, plan.engine.batch_size, workers=0)):
        embeddings = embed(batch)
        for metric in metrics.values():
            metric.update(embeddings, batch.targets)
    return {
        f"{name}/{part}" if part else name: float(value)
        for name, metric in metrics.items()
        for part, value in metric.compute().items()
        if isinstance(value, float)
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
